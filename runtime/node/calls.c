#include "calls.h"

#include <assert.h>

#include "base/pb.h"

enum { SMALL_REPLY = 4096 }; /* bytes up to which copying is cheaper than allocating */

/* Status: code 1, message 2, oneof { conflict 3, backoff_ms 4, limit 5, not_leader 6 }; Limit: name 1, max 2,
 * have 3; NotLeader: region_id 1, leader_store 2, leader_address 3 (proto/kvrpc.proto) */

struct node_method *node_calls_add(struct node_calls *calls, const char *name)
{
    assert(calls->count < NODE_METHODS_MAX);
    struct node_method *m = &calls->methods[calls->count++];
    m->name = name;
    return m;
}

void node_call_begin(struct node_call *c, struct node_calls *calls, struct node_method *method,
                     struct net_call *net)
{
    *c = (struct node_call){ calls, method, net, env_now(calls->env) };
}

static void count(struct node_call *c, err_t rc)
{
    unsigned code = (unsigned)err_to_wire(rc);
    c->method->outcomes[code < NODE_CODES ? code : ERR_INTERNAL]++;
    histogram_add(&c->method->latency_us, (env_now(c->calls->env) - c->began) / 1000);
}

void node_call_reply(struct node_call *c, err_t rc, struct buf *body)
{
    count(c, rc);
    if (body->len <= SMALL_REPLY) {
        net_call_reply_bytes(c->net, buf_bytes(body)); /* copied: the buffer is used again */
        buf_clear(body);
    } else {
        net_call_reply(c->net, body);
    }
}

void node_put_status(struct buf *b, uint32_t number, err_t rc, struct bytes message,
                     uint32_t backoff_ms)
{
    unsigned code = (unsigned)err_to_wire(rc);
    size_t len = pb_u64_size(1, code) + pb_bytes_size(2, message.len) + pb_u64_size(4, backoff_ms);
    pb_append_head(b, number, len);
    pb_append_u64(b, 1, code);
    pb_append_bytes(b, 2, message);
    pb_append_u64(b, 4, backoff_ms);
}

void node_call_fail(struct node_call *c, err_t rc, const char *message, uint32_t backoff_ms)
{
    struct buf body = { 0 };
    node_put_status(&body, 1, rc, BYTES(message), backoff_ms);
    node_call_reply(c, rc, &body);
    buf_free(&body);
}

void node_call_not_leader(struct node_call *c, uint64_t region_id, uint64_t store,
                          struct bytes address)
{
    struct buf body = { 0 };
    size_t detail =
        pb_u64_size(1, region_id) + pb_u64_size(2, store) + pb_bytes_size(3, address.len);
    pb_append_head(&body, 1, pb_u64_size(1, ERR_NOT_LEADER) + pb_item_size(6, detail));
    pb_append_u64(&body, 1, ERR_NOT_LEADER);
    pb_append_head(&body, 6, detail);
    pb_append_u64(&body, 1, region_id);
    pb_append_u64(&body, 2, store);
    pb_append_bytes(&body, 3, address);
    node_call_reply(c, ERR_NOT_LEADER, &body);
    buf_free(&body);
}

void node_call_refuse(struct node_call *c, err_t rc, const char *message, uint32_t backoff_ms,
                      const struct region_hint *hint)
{
    const char *address = NULL;
    if (rc != ERR_NOT_LEADER) {
        node_call_fail(c, rc, message, backoff_ms);
        return;
    }
    if (hint->leader_store != 0 && c->calls->address_of != NULL)
        address = c->calls->address_of(c->calls->self, hint->leader_store);
    node_call_not_leader(c, hint->region_id, hint->leader_store,
                         BYTES(address != NULL ? address : ""));
}

void node_call_too_large(struct node_call *c, const char *message, const char *limit, uint64_t max,
                         uint64_t have)
{
    struct buf detail = { 0 }, status = { 0 }, body = { 0 };
    pb_append_bytes(&detail, 1, BYTES(limit));
    pb_append_u64(&detail, 2, max);
    pb_append_u64(&detail, 3, have);
    pb_append_u64(&status, 1, ERR_TOO_LARGE);
    pb_append_bytes(&status, 2, BYTES(message));
    pb_append_item(&status, 5, buf_bytes(&detail));
    pb_append_item(&body, 1, buf_bytes(&status));
    buf_free(&detail);
    buf_free(&status);
    node_call_reply(c, ERR_TOO_LARGE, &body);
    buf_free(&body);
}
