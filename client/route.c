/* Which server an operation goes to, and where it goes when that one refuses, or is gone.
 *
 *   NOT_LEADER with an address    there, at once; with a pause if it was sent around three times already
 *   NOT_LEADER without one        the next server of the circle, after a pause
 *   REGION_NOT_FOUND, an epoch    likewise: whoever was asked does not know, or knows better
 *   busy, fenced                  the same server, after the pause that it asks for
 *   no connection                 the next server at once; after a whole round the pauses are the servers' retry_at
 *
 * All of these say that nothing was done, so a write may go on as well. The operation's one deadline bounds it: a
 * pause that would end behind it is not begun, and the refusal is the outcome. */
#include "client_int.h"

void client_route(struct flotilla *f, struct client_op *op)
{
    op->conn = f->current;
    list_push_back(&op->conn->queue, &op->link);
}

static void go_on(struct flotilla *f, struct client_conn *from, uint64_t now)
{
    if (f->current == from) /* else somebody has gone on already */
        f->current = client_servers_next(f, from, now);
}

void client_route_lost(struct flotilla *f, struct client_conn *c, bool idle, uint64_t now)
{
    if (idle)
        return;
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
    for (size_t i = 0; i < f->conn_count; i++)
        list_splice(&waiting, &f->conns[i]->queue);
    list_splice(&waiting, &f->delayed);
    while (!list_empty(&waiting))
        client_op_fail(f, container_of(waiting.next, struct client_op, link), c->last.code, 0, "%s",
                       c->last.message);
}

/* ---- Refusals ----------------------------------------------------------------------------------------------- */

/* Worth a try now: not one that has just failed. A server that is gone is still named by those who have not noticed. */
static bool usable(const struct client_conn *c, uint64_t now)
{
    return c->state == CLIENT_READY || c->failures == 0 ||
           (c->state == CLIENT_OFFLINE && c->retry_at <= now);
}

/* The server that leads, if the answer names one that is worth a try. */
static struct client_conn *leader_of(struct flotilla *f, const struct client_reply *reply,
                                     uint64_t now)
{
    if (reply->code != FLOTILLA_NOT_LEADER || !reply->status.has_leader)
        return NULL;
    struct client_conn *c = client_servers_hinted(f, reply->status.leader_address);
    return c != NULL && usable(c, now) ? c : NULL;
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
    uint64_t now = client_now();
    struct client_conn *leader = leader_of(f, reply, now);
    if (leader != NULL && leader != op->conn) {
        f->current = leader; /* for all that follow */
        if (op->redirects < CLIENT_REDIRECTS_MAX) {
            op->redirects++;
            op->conn = leader;
            list_remove(&op->link);
            list_push_back(&leader->queue, &op->link);
            return true;
        }
    } else if (elsewhere) {
        go_on(f, op->conn, now);
    }
    uint64_t due = now + pause_of(f, op, reply);
    if (due >= op->deadline)
        return false;
    list_remove(&op->link);
    client_op_delay(f, op, due);
    return true;
}
