/* One operation: from submit to its outcome.
 *
 *   outcome of a write        answered: what the answer says        not sent as a whole: not done
 *                             sent, not answered: UNDETERMINED, and never sent again
 *   outcome of a read         answered, or asked again until the deadline
 *
 * 1. finish() is called once, and only from flotilla_process() or flotilla_close().
 * 2. OK comes from a Status that was there and said so; an answer that cannot be read is no success. */
#include "client_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static const uint64_t ms = 1000000;

uint64_t client_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void client_error_clear(struct flotilla_error *error)
{
    if (error != NULL)
        *error = (struct flotilla_error){ .code = FLOTILLA_OK };
}

int client_error(struct flotilla_error *error, int code, const char *fmt, ...)
{
    if (error == NULL)
        return code;
    va_list args;
    va_start(args, fmt);
    error->code = code;
    error->backoff_ms = 0;
    vsnprintf(error->message, sizeof error->message, fmt, args);
    va_end(args);
    return code;
}

struct client_op *client_op_new(uint16_t method, unsigned flags, size_t size, size_t tail)
{
    if (size > NET_FRAME_MAX - NET_FRAME_HEADER)
        return NULL;
    struct client_op *op = malloc(sizeof *op + CLIENT_CONTEXT_MAX + NET_FRAME_HEADER + size + tail);
    if (op == NULL)
        return NULL;
    memset(op, 0, sizeof *op); /* not the body: it may be a megabyte, and is written next */
    list_init(&op->link);
    op->method = method;
    op->flags = flags;
    op->size = NET_FRAME_HEADER + size;
    return op;
}

void client_op_free(struct client_op *op)
{
    free(op->order);
    free(op);
}

void client_op_start(struct flotilla *f, struct client_op *op, uint64_t deadline)
{
    op->id = ++f->next_id;
    op->deadline = deadline;
    if (deadline < f->next_deadline)
        f->next_deadline = deadline;
    client_route(f, op);
}

int client_op_submit(struct flotilla *f, struct client_op *op, uint32_t timeout_ms,
                     struct flotilla_error *error)
{
    if (f->closing) {
        client_op_free(op);
        return client_error(error, FLOTILLA_CANCELLED, "the handle is being closed");
    }
    if (f->pending_bytes + op->size > f->queue_bytes_max) {
        client_op_free(op);
        return client_error(
            error, FLOTILLA_RESOURCE_EXHAUSTED,
            "%zu bytes are queued already (queue_bytes_max %zu); let some complete first",
            f->pending_bytes, f->queue_bytes_max);
    }
    if (f->have_server && op->size > f->server.frame_max) {
        size_t size = op->size;
        client_op_free(op);
        return client_error(error, FLOTILLA_TOO_LARGE,
                            "the request has %zu bytes, the server takes frames of %u", size,
                            (unsigned)f->server.frame_max);
    }
    f->pending++;
    f->pending_bytes += op->size;
    client_op_start(f, op, client_now() + (timeout_ms != 0 ? timeout_ms : f->timeout_ms) * ms);
    return FLOTILLA_OK;
}

/* Hands the outcome over and ends the operation, or lets it wait as a zombie for its answer. */
static void finish(struct flotilla *f, struct client_op *op, const struct client_reply *reply,
                   bool keep)
{
    if (!(op->flags & CLIENT_INNER)) {
        f->pending--;
        f->pending_bytes -= op->size;
        f->completed++;
    }
    op->zombie = true;
    op->finish(op, reply);
    if (!keep) {
        list_remove(&op->link);
        client_op_free(op);
    }
}

void client_op_finish(struct flotilla *f, struct client_op *op, const struct client_reply *reply)
{
    finish(f, op, reply, false);
}

static void fail(struct flotilla *f, struct client_op *op, int code, uint32_t backoff_ms,
                 const char *message, bool keep)
{
    struct client_reply reply = { .code = code, .backoff_ms = backoff_ms, .message = message };
    finish(f, op, &reply, keep);
}

void client_op_fail(struct flotilla *f, struct client_op *op, int code, uint32_t backoff_ms,
                    const char *fmt, ...)
{
    char text[sizeof op->conn->last.message + 200];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    fail(f, op, code, backoff_ms, text, false);
}

/* ---- Answers ------------------------------------------------------------------------------------------------ */

uint64_t client_op_pause(struct flotilla *f, unsigned attempts, uint32_t least_ms, uint32_t most_ms,
                         uint32_t asked_ms)
{
    uint64_t most = least_ms;
    while (attempts-- > 0 && most < most_ms)
        most *= 2;
    if (most < asked_ms)
        most = asked_ms;
    return prng_range(&f->chance, asked_ms > most / 2 ? asked_ms : most / 2, most + most / 2) * ms;
}

void client_op_delay(struct flotilla *f, struct client_op *op, uint64_t due)
{
    op->attempts++;
    op->not_before = due;
    if (due < f->next_delayed)
        f->next_delayed = due;
    list_push_back(&f->delayed, &op->link);
}

/* What an answer says. False: it cannot be read, or says nothing. */
static bool read_status(const struct net_frame *frame, struct net_status *ret)
{
    struct bytes in = frame->body;
    struct pb_field field;
    bool found = false;
    while (pb_next(&in, &field)) {
        if (field.number != 1)
            continue;
        if (found || field.type != PB_BYTES || net_status_read(field.bytes, ret) != ERR_OK)
            return false;
        found = true;
    }
    return found && in.len == 0;
}

void client_op_answer(struct flotilla *f, struct client_op *op, const struct net_frame *frame)
{
    if (op->zombie) {
        list_remove(&op->link);
        client_op_free(op);
        return;
    }
    struct client_reply reply = { .body = frame->body, .message = "" };
    int unknown = op->flags & CLIENT_WRITE ? FLOTILLA_UNDETERMINED : FLOTILLA_INTERNAL;
    char text[480];
    if (frame->kind != NET_FRAME_RESPONSE || frame->method != op->method ||
        !read_status(frame, &reply.status)) {
        client_op_fail(f, op, unknown, 0, "the server's answer cannot be understood");
        return;
    }
    const struct net_status *s = &reply.status;
    reply.code = (int)s->code;
    reply.backoff_ms = s->backoff_ms;
    if (s->number != (uint64_t)s->code) /* a code of a newer server */
        reply.code = unknown;
    if (reply.code != FLOTILLA_OK) {
        snprintf(text, sizeof text, "%.*s",
                 (int)(s->message.len < sizeof text ? s->message.len : sizeof text - 1),
                 (const char *)s->message.data);
        reply.message = text[0] != '\0' ? text : flotilla_code_name(reply.code);
        if (client_route_again(f, op, &reply))
            return;
    }
    finish(f, op, &reply, false);
}

void client_op_lost(struct flotilla *f, struct client_op *op, bool whole)
{
    if (op->zombie || (op->flags & CLIENT_CONTROL)) {
        list_remove(&op->link);
        client_op_free(op);
    } else if (whole && (op->flags & CLIENT_WRITE)) {
        client_op_fail(
            f, op, FLOTILLA_UNDETERMINED, 0,
            "the connection was lost after the request was sent, so it may or may not have been done (%s); "
            "read before you decide",
            op->conn->last.message);
    } else if (whole && (op->flags & CLIENT_ONCE)) {
        client_op_fail(f, op, FLOTILLA_UNAVAILABLE, 0, "the connection was lost (%s)",
                       op->conn->last.message);
    } else {
        op->attempts++;
        list_remove(&op->link);
        client_route(f, op);
    }
}

/* ---- Time --------------------------------------------------------------------------------------------------- */

static void expire_waiting(struct flotilla *f, struct client_op *op)
{
    const struct client_conn *c = op->conn;
    if (c->state != CLIENT_READY)
        client_op_fail(f, op, FLOTILLA_UNAVAILABLE, 0,
                       "no connection to %s within the deadline; nothing was done: %s", c->endpoint,
                       c->last.message[0] != '\0' ? c->last.message : "it does not answer");
    else
        client_op_fail(
            f, op, FLOTILLA_DEADLINE_EXCEEDED, 0,
            "the deadline was over before the server took the request; nothing was done");
}

/* On the wire: the server may be at it. */
static void expire_on_wire(struct flotilla *f, struct client_op *op, uint64_t now)
{
    struct client_conn *c = op->conn;
    if (client_conn_recall(c, op)) {
        expire_waiting(f, op);
        return;
    }
    bool write = (op->flags & CLIENT_WRITE) != 0;
    uint64_t id = op->id;
    fail(
        f, op, write ? FLOTILLA_UNDETERMINED : FLOTILLA_DEADLINE_EXCEEDED, 0,
        write
            ? "no answer within the deadline; the write may or may not have been done, or may still be: read before "
              "you decide"
            : "no answer within the deadline",
        true);
    client_conn_cancel(c, id);
    client_conn_probe(c, now);
}

static void collect_expired(struct list *from, struct list *to, uint64_t now, uint64_t *next)
{
    list_for_each_safe(node, from) {
        struct client_op *op = container_of(node, struct client_op, link);
        if (op->zombie || (op->flags & CLIENT_CONTROL))
            continue;
        if (op->deadline <= now) {
            list_remove(node);
            list_push_back(to, node);
        } else if (op->deadline < *next) {
            *next = op->deadline;
        }
    }
}

/* Those on a wire. A callback may submit, so begin anew after each; those on the wire are few. */
static void expire_wire(struct flotilla *f, struct client_conn *c, uint64_t now, uint64_t *next)
{
    bool found;
    do {
        found = false;
        list_for_each(node, &c->wire) {
            struct client_op *op = container_of(node, struct client_op, link);
            if (op->zombie || (op->flags & CLIENT_CONTROL))
                continue;
            if (op->deadline <= now) {
                expire_on_wire(f, op, now);
                found = true;
                break;
            }
            if (op->deadline < *next)
                *next = op->deadline;
        }
    } while (found);
}

static void expire(struct flotilla *f, uint64_t now)
{
    struct list expired;
    list_init(&expired);
    f->next_deadline = UINT64_MAX;
    uint64_t next = UINT64_MAX;
    for (size_t i = 0; i < f->conn_count; i++)
        collect_expired(&f->conns[i]->queue, &expired, now, &next);
    collect_expired(&f->delayed, &expired, now, &next);
    collect_expired(&f->asking, &expired, now, &next);
    while (!list_empty(&expired))
        expire_waiting(f, container_of(expired.next, struct client_op, link));
    for (size_t i = 0; i < f->conn_count; i++)
        expire_wire(f, f->conns[i], now, &next);
    if (next < f->next_deadline) /* what callbacks have submitted counts as well */
        f->next_deadline = next;
}

void client_op_cancel(struct flotilla *f, uint64_t id)
{
    for (size_t i = 0; i < f->conn_count; i++)
        list_for_each(node, &f->conns[i]->wire)
            if (container_of(node, struct client_op, link)->id == id) {
                client_conn_cancel(f->conns[i], id);
                return;
            }
}

void client_op_tick(struct flotilla *f, uint64_t now)
{
    if (now >= f->next_deadline)
        expire(f, now);
    client_ask_tick(f, now);
    if (now < f->next_delayed)
        return;
    f->next_delayed = UINT64_MAX;
    list_for_each_safe(node, &f->delayed) {
        struct client_op *op = container_of(node, struct client_op, link);
        if (op->not_before <= now) {
            list_remove(node);
            client_route(f, op);
        } else if (op->not_before < f->next_delayed) {
            f->next_delayed = op->not_before;
        }
    }
}

int client_op_run(struct flotilla *f, struct client_op *op, struct client_wait *wait,
                  struct flotilla_error *error)
{
    if (f->busy) {
        client_op_free(op);
        return client_error(error, FLOTILLA_FAILED_PRECONDITION,
                            "a callback must not wait; submit instead");
    }
    op->user = wait;
    wait->error = error;
    int rc = client_op_submit(f, op, 0, error);
    if (rc != FLOTILLA_OK)
        return rc;
    while (!wait->done)
        flotilla_wait(f, -1);
    return wait->code;
}

void client_wait_end(struct client_wait *wait, int code, uint32_t backoff_ms, const char *message)
{
    wait->done = true;
    wait->code = code;
    client_error_clear(wait->error);
    if (code != FLOTILLA_OK)
        client_error(wait->error, code, "%s", message);
    if (wait->error != NULL)
        wait->error->backoff_ms = backoff_ms;
}
