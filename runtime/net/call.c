/* A request on its way from the frame to its answer.
 *
 *   dispatch -> handler ........ net_call_reply | net_call_fail | net_call_busy -> gone
 *            '-> answered here: unknown method, deadline over, too much in flight, draining
 *
 * 1. A call is answered once, whatever happens to its connection; the answer to a closed one is dropped.
 * 2. Its body stays valid until then: the call holds the slab. */
#include "net_int.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "net/status.h"

enum { IDLE_CALLS_MAX = 1024 };

static struct net_call *call_get(struct net_server *s)
{
    struct list *node = list_pop_front(&s->idle_calls);
    if (node == NULL)
        return malloc(sizeof(struct net_call));
    s->idle_call_count--;
    return container_of(node, struct net_call, link);
}

static void call_put(struct net_server *s, struct net_call *call)
{
    if (s->idle_call_count >= IDLE_CALLS_MAX) {
        free(call);
        return;
    }
    s->idle_call_count++;
    list_push_front(&s->idle_calls, &call->link); /* the warmest is taken next */
}

static void respond(struct net_conn *c, uint16_t method, uint64_t id, struct buf *body)
{
    if (body->len > c->server->limits.frame_max -
                        NET_FRAME_HEADER) { /* a handler's mistake, told to its client */
        logger_error(c->server->log, "a response is too large", logger_u64("method", method),
                     logger_u64("bytes", body->len),
                     logger_u64("frame_max", c->server->limits.frame_max));
        buf_clear(body); /* its memory is large enough for a sentence */
        err_t rc = net_status_append(body, ERR_TOO_LARGE,
                                     "the response is larger than a frame; ask for less", 0);
        assert(rc == ERR_OK);
    }
    struct net_frame f = { .kind = NET_FRAME_RESPONSE, .method = method, .request_id = id };
    net_out_frame_owned(c, &f, body);
    c->server->stats.replies++;
}

static void respond_status(struct net_conn *c, uint16_t method, uint64_t id, err_t rc,
                           const char *message, uint32_t backoff_ms)
{
    struct buf body = { 0 };
    if (net_status_append(&body, rc, message, backoff_ms) != ERR_OK) {
        buf_free(&body);
        net_conn_close(c); /* a success must never be made of a failure that found no memory */
        return;
    }
    respond(c, method, id, &body);
}

/* What the client is told without asking a handler: true if it was. */
static bool answered_here(struct net_conn *c, const struct net_frame *f,
                          const struct net_handler *h, uint64_t deadline)
{
    struct net_server *s = c->server;
    char text[160];
    if (h == NULL) {
        snprintf(text, sizeof text, "method 0x%04x is not known to %.*s", (unsigned)f->method,
                 (int)(s->identity.len > 64 ? 64 : s->identity.len),
                 (const char *)s->identity.data);
        respond_status(c, f->method, f->request_id, ERR_UNIMPLEMENTED, text, 0);
    } else if (h->internal && c->store == 0) {
        snprintf(text, sizeof text, "%s is for stores of this cluster", h->name);
        respond_status(c, f->method, f->request_id, ERR_PERMISSION_DENIED, text, 0);
    } else if (c->inflight >= s->limits.inflight_max) { /* of a store: others are not read from */
        respond_status(c, f->method, f->request_id, ERR_SERVER_IS_BUSY,
                       "too many requests of this store are unanswered; nothing was done",
                       NET_BUSY_BACKOFF_MS);
    } else if (f->raw.len > 0) {
        snprintf(text, sizeof text, "%s takes no raw value behind its body", h->name);
        respond_status(c, f->method, f->request_id, ERR_INVALID_ARGUMENT, text, 0);
    } else if (s->draining) {
        respond_status(c, f->method, f->request_id, ERR_UNAVAILABLE,
                       "the node is stopping; nothing was done", 0);
    } else if (deadline <= c->now) {
        respond_status(c, f->method, f->request_id, ERR_DEADLINE_EXCEEDED,
                       "the deadline was over before the request was looked at; nothing was done",
                       0);
    } else if (s->stats.inflight_bytes + s->unsent + f->body.len > s->limits.inflight_bytes_max) {
        respond_status(
            c, f->method, f->request_id, ERR_SERVER_IS_BUSY,
            "too many bytes are in flight on this node; nothing was done, try again later",
            NET_BUSY_BACKOFF_MS);
    } else {
        return false;
    }
    return true;
}

void net_call_dispatch(struct net_conn *c, const struct net_frame *f)
{
    struct net_server *s = c->server;
    s->stats.requests++;
    const struct net_handler *h = net_server_handler(s, f->method);
    uint64_t deadline =
        f->deadline_ms == 0 ? UINT64_MAX : c->read_at + (uint64_t)f->deadline_ms * 1000000u;
    if (answered_here(c, f, h, deadline))
        return;
    struct net_call *call = call_get(s);
    if (call == NULL) {
        respond_status(c, f->method, f->request_id, ERR_NOMEM, "no memory; nothing was done", 0);
        return;
    }
    *call = (struct net_call){ .conn = c,
                               .slab = slab_ref(c->in),
                               .body = f->body,
                               .id = f->request_id,
                               .deadline = deadline,
                               .method = f->method };
    list_push_back(&c->calls, &call->link);
    c->inflight++;
    s->stats.inflight++;
    s->stats.inflight_bytes += f->body.len;
    h->handle(h->user, call);
}

/* Ends the call itself; its connection may be freed by that. */
static void end(struct net_call *call)
{
    struct net_conn *c = call->conn;
    struct net_server *s = c->server;
    assert(c->inflight > 0);
    list_remove(&call->link);
    slab_unref(call->slab);
    s->stats.inflight_bytes -= call->body.len;
    s->stats.inflight--;
    c->inflight--;
    call_put(s, call);
    if (s->draining)
        net_server_kick(s);
    if (c->state == NET_CONN_CLOSED)
        net_conn_settle(c);
    else
        net_conn_wake(c);
}

void net_call_reply(struct net_call *call, struct buf *body)
{
    if (call->conn->state == NET_CONN_OPEN)
        respond(call->conn, call->method, call->id, body);
    else
        buf_free(body);
    end(call);
}

void net_call_reply_bytes(struct net_call *call, struct bytes body)
{
    struct net_conn *c = call->conn;
    if (c->state == NET_CONN_OPEN && body.len <= NET_REPLY_COPIED) {
        net_out_frame(c, &(struct net_frame){ .kind = NET_FRAME_RESPONSE,
                                              .method = call->method,
                                              .request_id = call->id,
                                              .body = body });
        c->server->stats.replies++;
        end(call);
        return;
    }
    struct buf copy = { 0 };
    if (c->state == NET_CONN_OPEN && buf_append(&copy, body) != ERR_OK)
        net_conn_close(c);
    net_call_reply(call, &copy);
}

void net_call_fail(struct net_call *call, err_t rc, const char *message)
{
    assert(rc != ERR_OK);
    if (call->conn->state == NET_CONN_OPEN)
        respond_status(call->conn, call->method, call->id, rc, message, 0);
    end(call);
}

void net_call_busy(struct net_call *call, uint32_t backoff_ms, const char *message)
{
    if (call->conn->state == NET_CONN_OPEN)
        respond_status(call->conn, call->method, call->id, ERR_SERVER_IS_BUSY, message, backoff_ms);
    end(call);
}

void net_call_cancel(struct net_call *call)
{
    if (call->cancelled)
        return;
    call->cancelled = true;
    if (call->on_cancel != NULL)
        call->on_cancel(call->on_cancel_user);
}

void net_call_cancel_all(struct net_conn *c)
{
    bool again;
    do { /* a callback may answer its call, or others: begin anew after each */
        again = false;
        list_for_each(node, &c->calls) {
            struct net_call *call = container_of(node, struct net_call, link);
            if (!call->cancelled) {
                net_call_cancel(call);
                again = true;
                break;
            }
        }
    } while (again);
}

uint16_t net_call_method(const struct net_call *call)
{
    return call->method;
}

struct bytes net_call_body(const struct net_call *call)
{
    return call->body;
}

uint64_t net_call_deadline(const struct net_call *call)
{
    return call->deadline;
}

const struct env_peer *net_call_peer(const struct net_call *call)
{
    struct net_conn *c = call->conn;
    if (!c->have_peer && !c->gone) {
        env_stream_peer(c->stream, &c->peer);
        c->have_peer = true;
    }
    return &c->peer;
}

uint64_t net_call_store(const struct net_call *call)
{
    return call->conn->store;
}

uint64_t net_call_connection(const struct net_call *call)
{
    return call->conn->id;
}

void net_call_on_cancel(struct net_call *call, void (*cancelled)(void *user), void *user)
{
    call->on_cancel = cancelled;
    call->on_cancel_user = user;
    if (call->cancelled && cancelled != NULL)
        cancelled(user);
}
