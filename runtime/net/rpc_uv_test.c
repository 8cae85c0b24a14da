/* The server over real sockets: what the simulated world cannot say, and what many connections cost. */
#include <sys/resource.h>
#include <unistd.h>

#include "net_int.h"
#include "rpc_fixture.inc"
#include "uv/world.h"

static struct world *world;
static struct fixture fixture, *const f = &fixture;

static void stop_hook(struct env_turn *hook)
{
    (void)hook;
    env_stop(world_env(world));
}

/* One turn, without sleeping. */
static void turn(void)
{
    struct env_turn hook = { .run = stop_hook };
    env_turn_add(world_env(world), &hook);
    world_run(world);
    env_turn_remove(world_env(world), &hook);
}

static struct env *the_env(void)
{
    return world_env(world);
}

static void open_world(void)
{
    struct err e = { 0 };
    CHECK_OK(world_open(NULL, &world, &e), e);
}

static void begin(struct net_limits limits)
{
    open_world();
    fixture_open(f, limits);
}

static void finish(void)
{
    answer_held(f);
    net_server_close(f->server);
    world_close(world);
}

TEST(net_server_works_over_tcp)
{
    begin(limits_small());
    struct peer p;
    struct net_frame frame;
    peer_greet(&p, f);
    for (uint64_t id = 1; id <= 200; id++)
        peer_request(&p, ECHO, id, BYTES("over a real socket"));
    for (uint64_t id = 1; id <= 200; id++) {
        WAIT(peer_frame(&p, &frame));
        CHECK_EQ(frame.request_id, id);
        CHECK_BYTES(frame.body, BYTES("over a real socket"));
    }
    peer_big(&p, 7, 5 * 1024 * 1024);
    WAIT(peer_frame(&p, &frame));
    CHECK_EQ(frame.body.len, 5 * 1024 * 1024);
    peer_request(&p, ECHO, 8, frame.body); /* and back */
    WAIT(peer_frame(&p, &frame));
    CHECK_EQ(frame.body.len, 5 * 1024 * 1024);
    peer_end(&p);
    WAIT(f->disconnects == 1);
    finish();
}

static uint32_t admitted_uid;

static bool admit_uid(void *user, const struct env_peer *peer)
{
    (void)user;
    return peer->has_credentials && peer->uid == admitted_uid;
}

TEST(net_server_knows_who_comes_over_a_unix_socket)
{
    char *dir = test_dir(), address[300];
    struct peer p;
    struct net_frame frame;
    snprintf(address, sizeof address, "unix:%s/s", dir);
    open_world();
    admitted_uid = getuid();
    fixture_open_admitting(f, limits_small(), address, admit_uid);
    peer_greet(&p, f);
    peer_request(&p, LATER, 1, BYTES("me"));
    WAIT(f->held_count == 1);
    CHECK(net_call_peer(f->held[0])->has_credentials);
    CHECK_EQ(net_call_peer(f->held[0])->uid, getuid());
    CHECK_EQ(net_call_peer(f->held[0])->pid, getpid());
    answer_held(f);
    admitted_uid = getuid() + 1;
    struct peer other;
    peer_connect(&other, f);
    WAIT(peer_frame(&other, &frame));
    CHECK_EQ(status_of(&frame).code, ERR_PERMISSION_DENIED);
    WAIT(other.ended);
    peer_end(&other);
    peer_end(&p);
    finish();
    free(dir);
}

TEST(net_server_tells_http_clients_over_tcp)
{
    begin(limits_small());
    struct peer p;
    peer_connect(&p, f);
    peer_send(&p, BYTES("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    WAIT(p.ended);
    CHECK(message_has(buf_bytes(&p.in), "HTTP/1.1 400"));
    CHECK(message_has(buf_bytes(&p.in), "libflotilla"));
    peer_end(&p);
    finish();
}

/* How many connections the limits of this process allow, both ends counted. */
static size_t affordable(size_t wanted)
{
    struct rlimit r;
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &r), 0);
    r.rlim_cur = r.rlim_max;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &r), 0);
    if (r.rlim_cur >= 2 * wanted + 100)
        return wanted;
    print_message("SKIP in part: %lu descriptors allow fewer than %zu connections\n",
                  (unsigned long)r.rlim_cur, wanted);
    return (size_t)(r.rlim_cur - 100) / 2;
}

TEST(net_server_keeps_thousands_of_idle_connections_without_buffers)
{
    size_t n = affordable(5000);
    begin(limits_small());
    struct peer *peers = calloc(n, sizeof *peers), live;
    struct net_frame frame;
    CHECK(peers != NULL);
    for (size_t i = 0; i < n; i++)
        peer_greet(&peers[i], f);
    CHECK_EQ(stats_of(f).connections, n);
    /* Each costs its struct; the one shared slab is all that is lent for reading. */
    CHECK(sizeof(struct net_conn) <= 512);
    CHECK(slab_pool_live(f->server->slabs) <= NET_READ_SLAB + SLAB_MIN);
    /* Each has half a frame, and costs the smallest slab, not the megabyte that it speaks of. */
    uint8_t head[] = { 0, 0, 16, 0, NET_FRAME_VERSION };
    for (size_t i = 0; i < n; i++)
        peer_send(&peers[i], bytes_from(head, sizeof head));
    uint64_t bytes_in = stats_of(f).bytes_in;
    peer_greet(&live, f);
    WAIT(stats_of(f).bytes_in >= bytes_in + n * sizeof head);
    CHECK(slab_pool_live(f->server->slabs) <= n * SLAB_MIN + 2 * NET_READ_SLAB);
    peer_request(&live, ECHO, 1, BYTES("still quick"));
    WAIT(peer_frame(&live, &frame));
    peer_end(&live);
    for (size_t i = 0; i < n; i++)
        env_stream_close(peers[i].stream);
    for (size_t i = 0; i < n; i++)
        peer_end(&peers[i]);
    WAIT(stats_of(f).connections == 0);
    CHECK(slab_pool_live(f->server->slabs) <= NET_READ_SLAB);
    free(peers);
    finish();
}

TEST(net_server_gives_back_what_bad_peers_took)
{
    begin(limits_small());
    size_t n = 200;
    struct peer *peers = calloc(n, sizeof *peers);
    struct buf good = { 0 };
    uint8_t noise[3000];
    uint32_t x = 12345;
    for (unsigned round = 0; round < 3; round++) {
        for (size_t i = 0; i < n; i++) {
            peer_connect(&peers[i], f);
            if (i % 2 == 0)
                peer_send_hello(&peers[i], 1, bytes_from(cluster_ours, 16));
            for (size_t k = 0; k < sizeof noise; k++)
                noise[k] = (uint8_t)((x = x * 1664525 + 1013904223) >> 24);
            if (i % 4 == 0) { /* a frame whose body was damaged on its way */
                buf_clear(&good);
                CHECK_EQ(net_frame_append(
                             &good, &(struct net_frame){ .kind = NET_FRAME_REQUEST,
                                                         .method = LATER,
                                                         .body = bytes_from(noise, sizeof noise) }),
                         ERR_OK);
                good.data[100] ^= 1;
                peer_send(&peers[i], buf_bytes(&good));
            } else {
                peer_send(&peers[i], bytes_from(noise, (x >> 8) % sizeof noise + 1));
            }
        }
        for (size_t i = 0; i < n; i++)
            peer_end(&peers[i]);
        WAIT(stats_of(f).connections == 0);
        CHECK_EQ(stats_of(f).inflight, 0);
        CHECK(slab_pool_live(f->server->slabs) <= NET_READ_SLAB);
    }
    CHECK_EQ(f->handled, 0);
    buf_free(&good);
    free(peers);
    finish();
}

TEST_MAIN()
