/* The server's side of the wire against one peer that sends the input. The first byte says how:
 *
 *   1  the peer says hello first       2  checksums are put right       4  calls are answered late
 *   8  its hello says that it is a store of the cluster
 *
 * Whatever comes, the server answers whole frames or closes; once the peer is gone and the calls
 * are answered, nothing is counted any more. Bytes travel in small pieces through the simulated
 * network. */
#include "frames.h"
#include "fuzz.h"
#include "net/rpc.h"
#include "peer.h"
#include "sim_world/world.h"

enum { ECHO = 0x7001, LATER = 0x7002, HELD_MAX = 64, STORE = 9, INCARNATION = 77, MS = 1000000 };

static const char cluster[] = "0123456789abcdef";

/* ---- The server ------------------------------------------------------------------------------ */

struct side {
    uint64_t pushes;
    struct net_call *held[HELD_MAX];
    size_t held_count;
};

static void echo(void *user, struct net_call *call)
{
    (void)user;
    net_call_reply_bytes(call, net_call_body(call));
}

static void later(void *user, struct net_call *call)
{
    struct side *s = user;
    if (s->held_count == HELD_MAX)
        net_call_busy(call, 5, "enough");
    else
        s->held[s->held_count++] = call;
}

/* Some pushes are not understood. */
static err_t take_push(void *user, uint64_t store, uint64_t incarnation, uint16_t method,
                       struct bytes body)
{
    struct side *s = user;
    (void)incarnation;
    FUZZ_CHECK(store != 0 && store != 7); /* the input may say a hello of its own */
    s->pushes++;
    return method % 7 == 6 || (body.len > 0 && body.data[0] == 0xff) ? ERR_CORRUPTION : ERR_OK;
}

static void answer_held(struct side *s)
{
    for (size_t i = 0; i < s->held_count; i++)
        net_call_reply_bytes(s->held[i], net_call_body(s->held[i]));
    s->held_count = 0;
}

/* All that the server sent is whole frames, the first of them its hello. */
static void check_answers(struct bytes in)
{
    unsigned count = 0;
    while (in.len > 0) {
        struct net_frame f;
        size_t size;
        FUZZ_CHECK(net_frame_decode(in, NET_FRAME_MAX, &f, &size) == ERR_OK);
        FUZZ_CHECK(count++ > 0 ||
                   (f.kind == NET_FRAME_RESPONSE && f.request_id == FRAMES_HELLO_ID));
        in = bytes_from(in.data + size, in.len - size);
    }
    FUZZ_CHECK(count > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len == 0)
        return 0;
    bool hello = data[0] & 1, late = data[0] & 4, store = data[0] & 8;
    struct err e = { 0 };
    struct side side = { .held_count = 0 };
    struct sim_world *world = sim_world_new(len, NULL);
    struct sim_net net = sim_world_net_default();
    net.segment_most = 300;
    sim_world_set_net(world, &net);
    struct env *env = sim_world_env(world);
    const struct net_handler handlers[] = { { ECHO, "Echo", echo, &side, false },
                                            { LATER, "Later", later, &side, false } };
    const struct net_server_config config = {
        .address = "127.0.0.1:0",
        .limits = { .frame_max = 64 << 10,
                    .connections_max = 4,
                    .inflight_max = 8,
                    .inflight_bytes_max = 1 << 20,
                    .backlog_max = 1 << 20,
                    .hello_ms = 500,
                    .idle_ms = 60000,
                    .slow_ms = 3000 },
        .handlers = handlers,
        .handler_count = 2,
        .cluster_id = { (const uint8_t *)cluster, 16 },
        .node_id = 7,
        .identity = "flotilla/fuzz",
        .push = take_push,
        .push_user = &side,
    };
    struct net_server *server = NULL;
    FUZZ_CHECK(net_server_open(env, NULL, &config, &server, &e) == ERR_OK);

    struct peer *p = peer_new();
    if (hello && store)
        frames_hello_of_store(&p->out, config.cluster_id, STORE, INCARNATION);
    else if (hello)
        frames_hello(&p->out);
    size_t from = p->out.len;
    FUZZ_CHECK(buf_append(&p->out, bytes_from(data + 1, len - 1)) == ERR_OK);
    if (data[0] & 2)
        frames_repair(p->out.data + from, p->out.len - from);
    peer_connect(p, env, net_server_address(server));
    for (int i = 0; i < 8; i++) { /* replies make room for more requests */
        sim_world_run_for(world, 50 * MS);
        if (!late || i >= 2)
            answer_held(&side);
    }
    if (hello)
        check_answers(buf_bytes(&p->in));
    peer_close(p);
    sim_world_run_for(world, 200 * MS);
    answer_held(&side);
    sim_world_run_for(world, 200 * MS);
    FUZZ_CHECK(p->closed);

    struct net_stats stats;
    net_server_stats(server, &stats);
    FUZZ_CHECK(stats.pushes == side.pushes && (side.pushes == 0 || !hello || store));
    FUZZ_CHECK(stats.accepted == 1 && stats.connections == 0);
    FUZZ_CHECK(stats.inflight == 0 && stats.inflight_bytes == 0 && stats.replies <= stats.requests);
    net_server_close(server);
    sim_world_close(world);
    peer_free(p);
    return 0;
}
