/* Which server an operation goes to, and where it goes when that one refuses, or is gone.
 *
 *   a key whose region is known     the region's leader if that is known, with the region's epoch as context
 *   placement driver                whoever leads it, as far as that was said
 *   all else                        the current server: the first, until it fails or points to another
 *
 *   NOT_LEADER with an address      there, at once; with a pause if it was sent around three times already
 *   NOT_LEADER without one          the next server of the circle, after a pause
 *   EPOCH_NOT_MATCH                 what it says of the regions is learned; if that was new, at once by it
 *   REGION_NOT_FOUND                it is forgotten if it was known, and at once by what is known now
 *   busy, fenced                    the same server, after the pause that it asks for
 *   no connection                   the next server at once; after a whole round the pauses are the servers' retry_at
 *
 * All of these say that nothing was done, so a write may go on as well. The operation's one deadline bounds it: a
 * pause that would end behind it is not begun, and the refusal is the outcome. */
#include "client_int.h"

#include "net/method.h"

/* Worth a try now: not one that has just failed. A server that is gone is still named by those who have not noticed. */
static bool usable(const struct client_conn *c)
{
    return c->state == CLIENT_READY || c->failures == 0 ||
           (c->state == CLIENT_OFFLINE && c->retry_at <= client_now());
}

/* ---- Going -------------------------------------------------------------------------------------------------- */

static bool asks_driver(const struct client_op *op)
{
    return op->method >= NET_GET_TSO && op->method < NET_ADMIN;
}

static struct client_conn *server_for(struct flotilla *f, const struct client_op *op,
                                      const struct client_region *r)
{
    struct client_conn *c = r != NULL ? r->leader : asks_driver(op) ? f->driver : NULL;
    return c != NULL && usable(c) ? c : f->current;
}

static void put_context(struct client_op *op, struct client_epoch e)
{
    size_t size =
        e.id == 0 ? 0
                  : pb_u64_size(1, e.id) + pb_u64_size(2, e.conf_ver) + pb_u64_size(3, e.version);
    op->region = e;
    op->context_len = size == 0 ? 0 : (uint32_t)pb_item_size(1, size);
    if (size == 0)
        return;
    uint8_t *at = client_op_wire(op) + NET_FRAME_HEADER; /* ends where the body begins */
    pb_put_head(&at, 1, size);
    pb_put_u64(&at, 1, e.id);
    pb_put_u64(&at, 2, e.conf_ver);
    pb_put_u64(&at, 3, e.version);
}

/* The end of a range: its own, or its region's if that is before it. */
static void put_end(struct client_op *op, const struct client_region *r)
{
    struct bytes end = op->end;
    op->clipped = false;
    if (r != NULL && r->bounded && r->end_len > 4 &&
        load_u32_be(client_region_end(r).data) == op->ns) {
        struct bytes border = bytes_from(client_region_end(r).data + 4, r->end_len - 4);
        op->clipped = end.data == NULL || bytes_compare(border, end) < 0;
        end = op->clipped ? border : end;
    }
    uint8_t *at = client_op_tail(op);
    if (end.data != NULL)
        pb_put_bytes(&at, 4, end);
    else
        pb_put_u64(&at, 5, 1);
    op->tail_len = (uint32_t)(at - client_op_tail(op));
}

void client_route_to(struct flotilla *f, struct client_op *op, const struct client_region *r)
{
    put_context(op, r != NULL ? r->epoch : (struct client_epoch){ 0 });
    if (op->keys == CLIENT_KEYS_RANGE)
        put_end(op, r);
    op->conn = server_for(f, op, r);
    list_push_back(&op->conn->queue, &op->link);
}

void client_route(struct flotilla *f, struct client_op *op)
{
    if (op->keys == CLIENT_KEYS_MANY && client_split(f, op))
        return;
    struct client_region *r = NULL;
    if (op->keys != CLIENT_KEYS_NONE)
        r = client_regions_find(f, op->ns, client_op_key(op));
    client_route_to(f, op, r);
    if (op->keys != CLIENT_KEYS_NONE && (r == NULL || r->leader == NULL))
        client_ask(f, op->ns, client_op_key(op)); /* it does not wait; the next one will know */
}

/* ---- Loss --------------------------------------------------------------------------------------------------- */

static void go_on(struct flotilla *f, struct client_conn *from, uint64_t now)
{
    if (f->current == from) /* else somebody has gone on already */
        f->current = client_servers_next(f, from, now);
}

void client_route_lost(struct flotilla *f, struct client_conn *c, bool idle, uint64_t now)
{
    if (idle)
        return;
    client_regions_leaderless(f, c);
    go_on(f, c, now);
    struct list waiting;
    list_init(&waiting);
    list_splice(&waiting, &c->queue);
    while (!list_empty(&waiting))
        client_route(f, container_of(list_pop_front(&waiting), struct client_op, link));
}

void client_route_refused(struct flotilla *f, struct client_conn *c)
{
    struct list waiting;
    list_init(&waiting);
    for (size_t i = 0; i < f->seed_count; i++)
        if (!f->conns[i]->refused)
            return;
    list_splice(&waiting, &f->asking); /* before the question ends, which lets them go on */
    for (size_t i = 0; i < f->conn_count; i++)
        list_splice(&waiting, &f->conns[i]->queue);
    list_splice(&waiting, &f->delayed);
    while (!list_empty(&waiting))
        client_op_fail(f, container_of(waiting.next, struct client_op, link), c->last.code, 0, "%s",
                       c->last.message);
}

/* ---- Refusals ----------------------------------------------------------------------------------------------- */

/* The region that it was sent for, if that is known still. */
static struct client_region *region_of(struct flotilla *f, struct client_op *op)
{
    if (op->region.id == 0)
        return NULL;
    struct client_region *r = client_regions_find(f, op->ns, client_op_key(op));
    return r != NULL && r->epoch.id == op->region.id ? r : NULL;
}

/* True: the region that it was sent for was known still, and is not any more. */
static bool forget(struct flotilla *f, struct client_op *op)
{
    const struct client_region *r = region_of(f, op);
    if (r != NULL)
        client_regions_forget(f, r);
    return r != NULL;
}

/* Who leads is what the answer says, for all that follow. True: that is another server, and worth a try. */
static bool follow(struct flotilla *f, struct client_op *op, const struct net_status *status)
{
    struct client_conn *leader = NULL;
    if (status->has_leader)
        leader = client_servers_hinted(f, status->leader_address);
    if (leader != NULL && (leader == op->conn || !usable(leader)))
        leader = NULL;
    struct client_region *r = region_of(f, op);
    if (r != NULL)
        r->leader = leader;
    else if (asks_driver(op))
        f->driver = leader;
    else if (leader != NULL)
        f->current = leader;
    return leader != NULL;
}

/* True: something about the regions was new, or what was thought of this one is forgotten: because nothing is said in
 * its place, or it never works. */
static bool learn(struct flotilla *f, struct client_op *op, const struct net_status *status)
{
    struct bytes in = status->epoch_not_match;
    struct pb_field field;
    bool fresh = false;
    while (pb_next(&in, &field))
        if (field.number == 1 && field.type == PB_BYTES)
            fresh = client_regions_learn(f, field.bytes, NULL) || fresh;
    return fresh || ((status->epoch_not_match.len == 0 || op->attempts >= CLIENT_REDIRECTS_MAX) &&
                     forget(f, op));
}

/* Learns from a refusal. True: there is another way now, worth a try without a pause. */
static bool goes_at_once(struct flotilla *f, struct client_op *op, const struct client_reply *reply)
{
    switch (reply->code) {
    case FLOTILLA_NOT_LEADER:
        return follow(f, op, &reply->status);
    case FLOTILLA_EPOCH_NOT_MATCH:
        return learn(f, op, &reply->status);
    case FLOTILLA_REGION_NOT_FOUND:
        return forget(f, op);
    }
    return false;
}

static uint64_t pause_of(struct flotilla *f, const struct client_op *op,
                         const struct client_reply *reply)
{
    if (flotilla_error_class(reply->code) == FLOTILLA_CLASS_RETRY_ROUTE)
        return client_op_pause(f, op->attempts, CLIENT_ROUTE_LEAST_MS, CLIENT_ROUTE_MOST_MS, 0);
    return client_op_pause(f, op->attempts, CLIENT_BACKOFF_LEAST_MS, CLIENT_BACKOFF_MOST_MS,
                           reply->backoff_ms);
}

bool client_route_again(struct flotilla *f, struct client_op *op, const struct client_reply *reply)
{
    enum flotilla_class class = flotilla_error_class(reply->code);
    bool elsewhere = class == FLOTILLA_CLASS_RETRY_ROUTE || reply->code == FLOTILLA_UNAVAILABLE;
    if ((class != FLOTILLA_CLASS_RETRY_SAME && !elsewhere) || (op->flags & CLIENT_ONCE))
        return false;
    bool at_once = goes_at_once(f, op, reply);
    uint64_t now = client_now();
    if (at_once && op->redirects < CLIENT_REDIRECTS_MAX) {
        op->redirects++;
        list_remove(&op->link);
        client_route(f, op);
        return true;
    }
    if (elsewhere && !at_once)
        go_on(f, op->conn, now);
    uint64_t due = now + pause_of(f, op, reply);
    if (due >= op->deadline)
        return false;
    list_remove(&op->link);
    client_op_delay(f, op, due);
    return true;
}
