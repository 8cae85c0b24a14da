/* A batch over several regions is a request for each, and one outcome.
 *
 *   batch     [ put a | put x | put b | put y ]           regions [a ... m) and [m ... end
 *   parts     [ put a | put b ]   [ put x | put y ]       each with its region's context, each retried by itself
 *   order       0       2           1       3             where the outcomes of a part belong
 *
 * The batch waits in no list while its parts are under way; the last one to end ends it. A part whose region has been
 * split since is split again. What was done is known for each command; of the whole it is OK if all parts are, a
 * failure if none of them was done, and else UNDETERMINED, so that nobody repeats it without a look. */
#include "client_int.h"

#include <stdio.h>
#include <stdlib.h>

#include "net/method.h"

struct client_whole {
    struct flotilla *f;
    struct client_op *op; /* the batch */
    size_t parts;         /* that have no outcome yet */
    bool done, undetermined;
    int code; /* of the first part that failed; OK: none did */
    uint32_t backoff_ms;
    uint64_t hlc;
    char message[300];
};

/* ---- Reading a batch ---------------------------------------------------------------------------------------- */

struct command {
    struct bytes whole; /* with its tag, as it lies in a BatchRequest */
    uint32_t ns;
    struct bytes key;
};

/* Draws the next command of a body that batch.c, or make_part(), has written. */
static bool next_command(struct bytes *in, struct command *ret)
{
    struct pb_field item, member, field;
    const uint8_t *from = in->data;
    if (!pb_next(in, &item))
        return false;
    struct command c = { .whole = bytes_from(from, (size_t)(in->data - from)) };
    struct bytes request = pb_next(&item.bytes, &member) ? member.bytes : (struct bytes){ 0 };
    while (pb_next(&request, &field))
        if (field.number == 2)
            c.ns = (uint32_t)field.value;
        else if (field.number == 3) {
            c.key = field.bytes;
            break; /* the value is behind it */
        }
    *ret = c;
    return true;
}

static struct bytes body_of(struct client_op *op)
{
    return bytes_from(client_op_body(op), op->size - NET_FRAME_HEADER);
}

/* The first command names the key by which the batch is routed. */
static void note_key(struct client_op *op)
{
    struct bytes in = body_of(op);
    struct command c;
    if (!next_command(&in, &c))
        return;
    op->ns = c.ns;
    op->key_at = (uint32_t)(c.key.data - client_op_body(op));
    op->key_len = (uint32_t)c.key.len;
}

/* ---- Outcomes ----------------------------------------------------------------------------------------------- */

static void deliver(struct client_op *op, const struct client_reply *reply)
{
    struct flotilla_result r = { .code = reply->code,
                                 .backoff_ms = reply->backoff_ms,
                                 .message = reply->message,
                                 .hlc = op->whole->hlc };
    op->done(op->user, &r);
    free(op->whole);
}

static void finish_whole(struct client_whole *w)
{
    struct client_reply reply = { .code = w->code, .message = w->message };
    if (w->undetermined || (w->done && w->code != FLOTILLA_OK))
        reply.code = FLOTILLA_UNDETERMINED;
    else
        reply.backoff_ms = w->backoff_ms;
    char text[sizeof w->message + 100];
    if (w->done && w->code != FLOTILLA_OK) {
        snprintf(text, sizeof text, "a part of the batch was done, another was not: %s",
                 w->message);
        reply.message = text;
    }
    w->op->finish = deliver;
    client_op_finish(w->f, w->op, &reply);
}

static void finish_part(struct client_op *op, const struct client_reply *reply)
{
    struct client_whole *w = op->whole;
    struct flotilla_batch *batch = w->op->batch;
    int code = reply->code;
    const char *message = reply->message;
    if (code == FLOTILLA_OK && !client_batch_fill_part(batch, op->order, op->count, reply->body)) {
        code = FLOTILLA_UNDETERMINED;
        message = "the server's answer lacks what it must have";
    }
    if (code == FLOTILLA_OK) {
        uint64_t hlc = client_message_u64(reply->body, 3);
        w->hlc = hlc > w->hlc ? hlc : w->hlc;
        w->done = true;
    } else {
        client_batch_fill_part_all(batch, op->order, op->count, code);
        w->undetermined =
            w->undetermined || flotilla_error_class(code) == FLOTILLA_CLASS_UNDETERMINED;
        if (w->code == FLOTILLA_OK) {
            w->code = code;
            w->backoff_ms = reply->backoff_ms;
            snprintf(w->message, sizeof w->message, "%s", message);
        }
    }
    if (--w->parts == 0)
        finish_whole(w);
}

/* ---- Splitting ---------------------------------------------------------------------------------------------- */

/* Of a command: where it goes, and which it is. */
struct piece {
    const struct client_region *region; /* NULL: not known */
    struct bytes whole;
    uint32_t index;
};

static int by_region(const void *a, const void *b)
{
    const struct piece *x = a, *y = b;
    if (x->region != y->region)
        return (uintptr_t)x->region < (uintptr_t)y->region ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

static struct client_op *make_part(const struct client_op *from, const struct piece *pieces,
                                   size_t n)
{
    size_t size = 0;
    for (size_t i = 0; i < n; i++)
        size += pieces[i].whole.len;
    struct client_op *part = client_op_new(NET_BATCH, CLIENT_WRITE | CLIENT_INNER, size, 0);
    if (part == NULL)
        return NULL;
    part->order = malloc(n * sizeof *part->order);
    if (part->order == NULL) {
        client_op_free(part);
        return NULL;
    }
    uint8_t *at = client_op_body(part);
    for (size_t i = 0; i < n; i++) {
        put_bytes(&at, pieces[i].whole);
        part->order[i] = from->order != NULL ? from->order[pieces[i].index] : pieces[i].index;
    }
    part->keys = CLIENT_KEYS_MANY;
    part->count = (uint32_t)n;
    part->attempts = from->attempts;
    part->redirects = from->redirects;
    part->finish = finish_part;
    note_key(part);
    return part;
}

/* The pieces in the order of their regions. NULL: memory is gone. */
static struct piece *sort_pieces(struct flotilla *f, struct client_op *op)
{
    struct piece *pieces = malloc(op->count * sizeof *pieces);
    struct bytes in = body_of(op);
    struct command c;
    uint32_t n = 0;
    if (pieces == NULL)
        return NULL;
    while (n < op->count && next_command(&in, &c)) {
        pieces[n] = (struct piece){ client_regions_find(f, c.ns, c.key), c.whole, n };
        n++;
    }
    qsort(pieces, n, sizeof *pieces, by_region);
    return pieces;
}

static size_t run_length(const struct piece *pieces, size_t n)
{
    size_t k = 1;
    while (k < n && pieces[k].region == pieces[0].region)
        k++;
    return k;
}

/* All parts or none, as a list; false: memory is gone. */
static bool make_parts(const struct client_op *op, const struct piece *pieces, struct list *parts)
{
    for (size_t i = 0, k; i < op->count; i += k) {
        k = run_length(pieces + i, op->count - i);
        struct client_op *part = make_part(op, pieces + i, k);
        if (part == NULL) {
            while (!list_empty(parts))
                client_op_free(container_of(list_pop_front(parts), struct client_op, link));
            return false;
        }
        list_push_back(parts, &part->link);
    }
    return true;
}

static struct client_whole *whole_of(struct flotilla *f, struct client_op *op)
{
    if (op->whole != NULL)
        return op->whole;
    struct client_whole *w = calloc(1, sizeof *w);
    if (w == NULL)
        return NULL;
    *w = (struct client_whole){ .f = f, .op = op, .parts = 1 };
    client_batch_fill_all(op->batch, FLOTILLA_UNDETERMINED);
    return op->whole = w;
}

/* Replaces `op` by a part for each region. False: memory is gone, and it is as before. */
static bool cut(struct flotilla *f, struct client_op *op)
{
    struct list parts;
    list_init(&parts);
    struct piece *pieces = sort_pieces(f, op);
    struct client_whole *w = pieces != NULL ? whole_of(f, op) : NULL;
    bool made = w != NULL && make_parts(op, pieces, &parts);
    free(pieces);
    if (!made)
        return false;
    w->parts--;
    list_for_each(node, &parts)
        w->parts++;
    uint64_t deadline = op->deadline;
    if (w->op != op)
        client_op_free(op);
    while (!list_empty(&parts)) {
        struct client_op *part = container_of(list_pop_front(&parts), struct client_op, link);
        part->whole = w;
        part->id = ++f->next_id;
        part->deadline = deadline;
        client_route_to(f, part, client_regions_find(f, part->ns, client_op_key(part)));
    }
    return true;
}

enum where { ONE_REGION, SEVERAL_REGIONS, NOT_KNOWN };

/* Looks at every key; `unknown` is the first of no known region. */
static enum where look(struct flotilla *f, struct client_op *op, struct command *unknown)
{
    struct bytes in = body_of(op);
    const struct client_region *first = client_regions_find(f, op->ns, client_op_key(op)),
                               *last = first;
    struct command c;
    enum where where = ONE_REGION;
    while (next_command(&in, &c)) {
        if (last == NULL || !client_regions_holds(last, c.ns, c.key))
            last = client_regions_find(f, c.ns, c.key);
        if (last == NULL) {
            *unknown = c;
            return NOT_KNOWN;
        }
        if (last != first)
            where = SEVERAL_REGIONS;
    }
    return where;
}

bool client_split(struct flotilla *f, struct client_op *op)
{
    struct command unknown;
    op->conn = f->current; /* for who looks at it while it waits */
    if (op->key_len == 0)
        note_key(op);
    if (f->ask_off && f->region_count == 0)
        return false;
    switch (look(f, op, &unknown)) {
    case ONE_REGION:
        return false;
    case NOT_KNOWN:
        list_push_back(&f->asking, &op->link);
        if (client_ask(f, unknown.ns, unknown.key))
            return true;
        list_remove(&op->link);
        if (f->region_count == 0)
            return false;
        break; /* what is not known is a part of its own */
    case SEVERAL_REGIONS:
        break;
    }
    if (!cut(f, op))
        client_op_delay(f, op, client_now() + CLIENT_BACKOFF_LEAST_MS * 1000000);
    return true;
}
