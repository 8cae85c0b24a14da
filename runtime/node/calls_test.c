/* Statuses written by hand, read by protobuf-c. The call is a fake: this program defines net_call_*. */
#include "calls.h"

#include "base/test.h"
#include "proto/kvrpc.pb-c.h"

struct net_call {
    struct buf reply;
};

void net_call_reply(struct net_call *call, struct buf *body)
{
    call->reply = buf_take(body);
}

void net_call_reply_bytes(struct net_call *call, struct bytes body)
{
    CHECK_EQ(buf_append(&call->reply, body), ERR_OK);
}

uint64_t env_now(struct env *env)
{
    (void)env;
    return 1;
}

static void check_not_leader(uint64_t region, uint64_t store, const char *address)
{
    struct node_calls calls = { 0 };
    struct net_call net = { 0 };
    struct node_call call;
    struct node_method *method = node_calls_add(&calls, "RawPut");
    node_call_begin(&call, &calls, method, &net);
    node_call_not_leader(&call, region, store, BYTES(address));
    CHECK_EQ(method->outcomes[ERR_NOT_LEADER], 1);
    Flotilla__Kv__RawPutResponse *r =
        flotilla__kv__raw_put_response__unpack(NULL, net.reply.len, net.reply.data);
    CHECK(r != NULL && r->status != NULL);
    CHECK_EQ(r->status->code, ERR_NOT_LEADER);
    CHECK_EQ(r->status->detail_case, FLOTILLA__KV__STATUS__DETAIL_NOT_LEADER);
    const Flotilla__Kv__NotLeader *leader = r->status->not_leader;
    CHECK(leader->region_id == region && leader->leader_store == store);
    CHECK_BYTES(bytes_from(leader->leader_address.data, leader->leader_address.len),
                BYTES(address));
    flotilla__kv__raw_put_response__free_unpacked(r, NULL);
    buf_free(&net.reply);
}

TEST(calls_not_leader_names_the_leader_as_far_as_it_is_known)
{
    check_not_leader(7, 3, "127.0.0.1:7702");
    check_not_leader(UINT64_MAX, UINT64_MAX, "[::1]:7702");
    check_not_leader(7, 0, "");
    check_not_leader(0, 0, "");
}

TEST_MAIN()
