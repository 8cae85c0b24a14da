/* The server's side of the wire against one peer that sends the input. The first byte says how:
 *
 *   1  the peer says hello first       2  checksums are put right       4  calls are answered late
 *
 * Whatever comes, the server answers whole frames or closes; once the peer is gone and the calls
 * are answered, nothing is counted any more. Bytes travel in small pieces through the simulated
 * network. */
#include "base/codec.h"
#include "base/container.h"
#include "base/crc32c.h"
#include "fuzz.h"
#include "net/frame.h"
#include "net/rpc.h"
#include "sim_world/world.h"

enum { ECHO = 0x7001, LATER = 0x7002, HELD_MAX = 64, CRC_AT = 24, MS = 1000000 };

/* ---- The server ------------------------------------------------------------------------------ */

struct side {
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

static void answer_held(struct side *s)
{
    for (size_t i = 0; i < s->held_count; i++)
        net_call_reply_bytes(s->held[i], net_call_body(s->held[i]));
    s->held_count = 0;
}

/* ---- The peer -------------------------------------------------------------------------------- */

struct peer {
    struct env_connect connect;
    struct env_write write;
    struct env_stream *stream;
    struct bytes out;
    struct buf in;
    bool closed;
    uint8_t room[4096];
};

static struct env_room peer_room(void *user, size_t suggested)
{
    (void)suggested;
    struct peer *p = user;
    return (struct env_room){ p->room, sizeof p->room };
}

static void peer_read(void *user, size_t len, err_t rc)
{
    (void)rc;
    struct peer *p = user;
    if (len > 0)
        FUZZ_CHECK(buf_append(&p->in, bytes_from(p->room, len)) == ERR_OK);
}

static void peer_closed(void *user)
{
    ((struct peer *)user)->closed = true;
}

static void peer_written(struct env_write *write, err_t rc)
{
    (void)write, (void)rc;
}

static void peer_connected(struct env_connect *connect, err_t rc, struct env_stream *stream)
{
    static const struct env_stream_ops ops = { peer_room, peer_read, peer_closed };
    struct peer *p = container_of(connect, struct peer, connect);
    FUZZ_CHECK(rc == ERR_OK);
    p->stream = stream;
    env_stream_start(stream, &ops, p);
    p->write.done = peer_written;
    env_stream_write(stream, &p->out, 1, &p->write);
}

/* A hello as a client says it: protocol 1 to 1, any cluster. */
static void say_hello(struct buf *out)
{
    static const uint8_t body[] = { 0x08, 1, 0x10, 1 };
    struct net_frame hello = {
        .kind = NET_FRAME_REQUEST, .method = 1, .request_id = 1, .body = { body, sizeof body }
    };
    FUZZ_CHECK(net_frame_append(out, &hello) == ERR_OK);
}

static void repair(uint8_t *data, size_t len)
{
    for (size_t at = 0; len - at >= NET_FRAME_HEADER;) {
        uint64_t size = 4 + (uint64_t)load_u32(data + at);
        if (size < NET_FRAME_HEADER || size > len - at)
            return;
        store_u32(data + at + CRC_AT, 0);
        store_u32(data + at + CRC_AT, crc32c(0, bytes_from(data + at, (size_t)size)));
        at += (size_t)size;
    }
}

/* All that the server sent is whole frames, the first of them its hello. */
static void check_answers(struct bytes in)
{
    unsigned count = 0;
    while (in.len > 0) {
        struct net_frame f;
        size_t size;
        FUZZ_CHECK(net_frame_decode(in, NET_FRAME_MAX, &f, &size) == ERR_OK);
        FUZZ_CHECK(count++ > 0 || (f.kind == NET_FRAME_RESPONSE && f.request_id == 1));
        in = bytes_from(in.data + size, in.len - size);
    }
    FUZZ_CHECK(count > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len == 0)
        return 0;
    bool hello = data[0] & 1, late = data[0] & 4;
    struct err e = { 0 };
    struct side side = { .held_count = 0 };
    struct sim_world *world = sim_world_new(len, NULL);
    struct sim_net net = sim_world_net_default();
    net.segment_most = 300;
    sim_world_set_net(world, &net);
    struct env *env = sim_world_env(world);
    const struct net_handler handlers[] = { { ECHO, "Echo", echo, &side },
                                            { LATER, "Later", later, &side } };
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
        .cluster_id = { (const uint8_t *)"0123456789abcdef", 16 },
        .node_id = 7,
        .identity = "flotilla/fuzz",
    };
    struct net_server *server = NULL;
    FUZZ_CHECK(net_server_open(env, NULL, &config, &server, &e) == ERR_OK);

    struct peer *p = calloc(1, sizeof *p);
    struct buf out = { 0 };
    if (hello)
        say_hello(&out);
    size_t from = out.len;
    FUZZ_CHECK(buf_append(&out, bytes_from(data + 1, len - 1)) == ERR_OK);
    if (data[0] & 2)
        repair(out.data + from, out.len - from);
    p->out = buf_bytes(&out);
    p->connect.done = peer_connected;
    FUZZ_CHECK(env_connect(env, net_server_address(server), &p->connect, &e) == ERR_OK);
    for (int i = 0; i < 8; i++) { /* replies make room for more requests */
        sim_world_run_for(world, 50 * MS);
        if (!late || i >= 2)
            answer_held(&side);
    }
    if (hello)
        check_answers(buf_bytes(&p->in));
    env_stream_close(p->stream);
    sim_world_run_for(world, 200 * MS);
    answer_held(&side);
    sim_world_run_for(world, 200 * MS);
    FUZZ_CHECK(p->closed);

    struct net_stats stats;
    net_server_stats(server, &stats);
    FUZZ_CHECK(stats.accepted == 1 && stats.connections == 0);
    FUZZ_CHECK(stats.inflight == 0 && stats.inflight_bytes == 0 && stats.replies <= stats.requests);
    net_server_close(server);
    sim_world_close(world);
    buf_free(&p->in);
    free(p);
    buf_free(&out);
    return 0;
}
