/* A store that is answered whatever the input says: what the connections to other stores (runtime/net/peers.c) make of
 * it. The first byte says how:
 *
 *   1  hello is answered properly     2  the rest is a list of answers, framed and with right ids:
 *                                        request u8 (which one) | kind u8 | length u8 | body
 *
 * else it is the byte stream itself. Every call ends exactly once, with a code that it may have; nothing but hello is
 * sent to who was not greeted; what is lost is told. Bytes travel in small pieces through the simulated network. */
#include "net/peers.h"

#include "base/codec.h"
#include "base/container.h"
#include "fuzz.h"
#include "net/frame.h"
#include "sim_world/world.h"

enum { CALLS = 6, ECHO = 0x7001, STORE = 5, MS = 1000000 };

static const char cluster[] = "0123456789abcdef";

/* ---- The other end --------------------------------------------------------------------------- */

struct end {
    struct bytes script;
    bool proper, framed, closed;
    struct env_stream *stream;
    struct env_write write;
    struct buf in, out;
    unsigned accepted;
    uint8_t room[4096];
};

static struct env_room end_room(void *user, size_t suggested)
{
    (void)suggested;
    struct end *e = user;
    return (struct env_room){ e->room, sizeof e->room };
}

static void end_read(void *user, size_t len, err_t rc)
{
    (void)rc;
    struct end *e = user;
    if (len == 0)
        env_stream_close(e->stream);
    else
        FUZZ_CHECK(buf_append(&e->in, bytes_from(e->room, len)) == ERR_OK);
}

static void end_closed(void *user)
{
    ((struct end *)user)->closed = true;
}

static void end_written(struct env_write *write, err_t rc)
{
    (void)write, (void)rc;
}

static void append(struct end *e, struct net_frame f)
{
    FUZZ_CHECK(net_frame_append(&e->out, &f) == ERR_OK);
}

static void say_hello(struct end *e)
{
    uint8_t body[64] = "\x0a\0\x10\x01\x1a\x10";
    memcpy(body + 6, cluster, 16);
    memcpy(body + 22, "\x20\x05\x38\x80\x80\x04", 6); /* node id 5, frame_max 64 KiB */
    append(e, (struct net_frame){
                  .kind = NET_FRAME_RESPONSE, .method = NET_HELLO, .body = { body, 28 } });
}

/* Ids of calls begin with 1, in the order of their asking. */
static void say_answers(struct end *e)
{
    struct bytes in = e->script, body;
    uint8_t which, kind, len;
    while (take_u8(&in, &which) && take_u8(&in, &kind) && take_u8(&in, &len) &&
           take_bytes(&in, len, &body))
        append(e, (struct net_frame){ .kind = kind % 8 < 6 ? (enum net_frame_kind)(1 + kind % 8)
                                                           : NET_FRAME_RESPONSE,
                                      .method = kind < 0xf0 ? ECHO : kind,
                                      .request_id = which % (CALLS + 2),
                                      .body = body });
}

static void accepted(void *user, struct env_stream *stream)
{
    static const struct env_stream_ops ops = { end_room, end_read, end_closed };
    struct end *e = user;
    if (e->accepted++ > 0) { /* the first one is what this is about */
        env_stream_close(stream);
        return;
    }
    e->stream = stream;
    env_stream_start(stream, &ops, e);
    if (e->proper)
        say_hello(e);
    if (e->framed)
        say_answers(e);
    else
        FUZZ_CHECK(buf_append(&e->out, e->script) == ERR_OK);
    struct bytes iov = buf_bytes(&e->out);
    e->write.done = end_written;
    env_stream_write(stream, &iov, 1, &e->write);
}

/* ---- Our store ------------------------------------------------------------------------------- */

struct ask {
    struct net_peer_call call;
    unsigned done;
};

static void ask_done(struct net_peer_call *call, err_t rc, struct bytes body)
{
    struct ask *a = container_of(call, struct ask, call);
    FUZZ_CHECK(a->done++ == 0);
    FUZZ_CHECK(rc == ERR_OK || rc == ERR_UNAVAILABLE || rc == ERR_UNDETERMINED ||
               rc == ERR_DEADLINE_EXCEEDED);
    FUZZ_CHECK(rc == ERR_OK || body.len == 0);
    for (size_t i = 0; i < body.len; i++)
        __asm__ volatile("" ::"r"(body.data[i]));
}

static void unreachable(void *user, uint64_t store)
{
    FUZZ_CHECK(store == STORE);
    ++*(unsigned *)user;
}

/* What we have sent is whole frames, hello alone unless somebody was greeted. */
static void check_sent(struct bytes in, bool greeted)
{
    struct net_frame f;
    size_t size;
    for (unsigned n = 0; net_frame_decode(in, NET_FRAME_MAX, &f, &size) == ERR_OK; n++) {
        FUZZ_CHECK((n == 0) == (f.kind == NET_FRAME_REQUEST && f.method == NET_HELLO));
        FUZZ_CHECK(n == 0 || greeted);
        in = bytes_from(in.data + size, in.len - size);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len == 0)
        return 0;
    struct sim_world *world = sim_world_new(len, NULL);
    struct sim_net net = sim_world_net_default();
    net.segment_most = 300;
    sim_world_set_net(world, &net);
    struct env *env = sim_world_env(world);
    struct end *end = calloc(1, sizeof *end);
    end->script = bytes_from(data + 1, len - 1);
    end->proper = data[0] & 1;
    end->framed = data[0] & 2;
    struct env_listener *listener = NULL;
    struct net_peers *peers = NULL;
    struct err e = { 0 };
    unsigned told = 0;
    const struct net_peers_config config = { .cluster_id = { (const uint8_t *)cluster, 16 },
                                             .node_id = 9,
                                             .identity = "flotilla/fuzz",
                                             .unreachable = unreachable,
                                             .user = &told };
    FUZZ_CHECK(env_listen(env, "127.0.0.1:0", accepted, end, &listener, &e) == ERR_OK);
    FUZZ_CHECK(net_peers_open(env, NULL, &config, &peers, &e) == ERR_OK);
    net_peers_set(peers, STORE, env_listener_address(listener));

    struct ask asks[CALLS] = { 0 };
    for (unsigned i = 0; i < CALLS; i++) {
        struct buf message = { 0 };
        FUZZ_CHECK(buf_append(&message, BYTES("message")) == ERR_OK);
        asks[i].call =
            (struct net_peer_call){ .method = ECHO,
                                    .body = BYTES("call"),
                                    .deadline = i == 0 ? env_now(env) + 5 * MS : UINT64_MAX,
                                    .done = ask_done };
        net_peers_call(peers, STORE, &asks[i].call);
        net_peers_send(peers, STORE, NET_RAFT, &message);
    }
    sim_world_run_for(world, 40 * MS);
    struct net_peer_status s;
    FUZZ_CHECK(net_peers_status(peers, STORE, &s));
    FUZZ_CHECK(s.connected + s.lost > 0 || s.state == NET_PEER_HELLO);
    FUZZ_CHECK(told == (s.lost > 0));
    FUZZ_CHECK(s.calls <= CALLS &&
               (s.state == NET_PEER_READY || s.state == NET_PEER_HELLO || s.calls == 0));
    check_sent(buf_bytes(&end->in), s.connected > 0);
    net_peers_close(peers);
    for (unsigned i = 0; i < CALLS; i++)
        FUZZ_CHECK(asks[i].done == 1);
    env_listener_close(listener);
    sim_world_run_for(world, 100 * MS);
    FUZZ_CHECK(end->closed);
    sim_world_close(world);
    buf_free(&end->in);
    buf_free(&end->out);
    free(end);
    return 0;
}
