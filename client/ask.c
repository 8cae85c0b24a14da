/* Asking which region holds a key: GetRegion, one question at a time.
 *
 *   a single key, a scan     does not wait: it goes to any server, which routes it; the next one will know
 *   a batch                  waits in f->asking, since it may have to be split before it is sent
 *
 * A server that does not know the question, or cannot answer it, is not pestered: for a while everything goes to any
 * server. So nothing depends on an answer, and a wrong one is found out by whoever it leads to. */
#include "client_int.h"

#include "net/method.h"

static const uint64_t ms = 1000000;

static void off(struct flotilla *f, uint64_t for_ms)
{
    f->ask_off = true;
    f->ask_again_at = client_now() + for_ms * ms;
}

/* True: now it is known where the key lives and who leads there. */
static bool learn(struct flotilla *f, struct client_op *op, struct bytes answer)
{
    struct bytes address = client_message_bytes(answer, 4);
    struct client_conn *leader = client_servers_hinted(f, address);
    (void)!client_regions_learn(f, client_message_bytes(answer, 2), leader);
    const struct client_region *r = client_regions_find(f, op->ns, client_op_key(op));
    return r != NULL && r->leader != NULL;
}

static void finish_ask(struct client_op *op, const struct client_reply *reply)
{
    struct flotilla *f = op->user;
    f->ask = NULL;
    if (reply->code == FLOTILLA_UNIMPLEMENTED)
        off(f, CLIENT_ASK_NEVER_MS);
    else if (reply->code != FLOTILLA_OK || !learn(f, op, reply->body))
        off(f, CLIENT_ASK_LATER_MS);
    struct list waiting;
    list_init(&waiting);
    list_splice(&waiting, &f->asking);
    while (!list_empty(&waiting))
        client_route(f, container_of(list_pop_front(&waiting), struct client_op, link));
}

bool client_ask(struct flotilla *f, uint32_t ns, struct bytes key)
{
    if (f->ask != NULL)
        return true;
    if (f->ask_off || f->closing)
        return false;
    size_t encoded = 4 + key.len;
    struct client_op *op =
        client_op_new(NET_GET_REGION, CLIENT_INNER, pb_bytes_size(1, encoded), 0);
    if (op == NULL)
        return false;
    uint8_t *at = client_op_body(op);
    pb_put_head(&at, 1, encoded);
    put_u32_be(&at, ns);
    put_bytes(&at, key);
    op->ns = ns;
    op->key_at = (uint32_t)(at - client_op_body(op)) - (uint32_t)key.len;
    op->key_len = (uint32_t)key.len;
    op->user = f;
    op->finish = finish_ask;
    f->ask = op;
    client_op_start(f, op, client_now() + f->timeout_ms * ms);
    return true;
}

void client_ask_tick(struct flotilla *f, uint64_t now)
{
    if (f->ask_off && now >= f->ask_again_at)
        f->ask_off = false;
}
