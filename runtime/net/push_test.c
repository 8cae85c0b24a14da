/* What the server does for stores of its cluster and for nobody else: pushes, internal methods, and reading on while
 * their requests are unanswered. Raw peers in the simulated world. */
#include "rpc_fixture.inc"
#include "sim_world/world.h"

static struct sim_world *world;
static struct fixture fixture, *const f = &fixture;

static void turn(void)
{
    CHECK(sim_world_turn(world));
}

static struct env *the_env(void)
{
    return sim_world_env(world);
}

static void begin(uint64_t seed, struct net_limits limits)
{
    world = sim_world_new(seed, NULL);
    fixture_open(f, limits);
}

static void finish(void)
{
    answer_held(f);
    net_server_close(f->server);
    sim_world_close(world);
    buf_free(&f->pushed);
}

static void seconds(uint64_t n)
{
    sim_world_run_for(world, n * 1000000000u);
}

static void say_store(struct peer *p, struct bytes cluster, uint64_t store, uint64_t incarnation)
{
    struct buf body = { 0 };
    pb_append_u64(&body, 1, 1);
    pb_append_u64(&body, 2, 1);
    pb_append_bytes(&body, 3, cluster);
    pb_append_u64(&body, 6, store);
    pb_append_fixed64(&body, 7, incarnation);
    peer_request(p, NET_HELLO, 1, buf_bytes(&body));
    buf_free(&body);
}

static void greet_as_store(struct peer *p, uint64_t store)
{
    struct net_frame frame;
    peer_connect(p, f);
    say_store(p, bytes_from(cluster_ours, 16), store, 0xfedcba9876543210);
    WAIT(peer_frame(p, &frame));
    CHECK_EQ(status_of(&frame).code, ERR_OK);
}

static void push(struct peer *p, uint16_t method, struct bytes body)
{
    peer_send_frame(p,
                    (struct net_frame){ .kind = NET_FRAME_PUSH, .method = method, .body = body });
}

/* Waits for an error frame about the connection, which then ends. */
static struct net_status refused(struct peer *p)
{
    struct net_frame frame;
    WAIT(peer_frame(p, &frame));
    CHECK_EQ(frame.kind, NET_FRAME_ERROR);
    CHECK_EQ(frame.request_id, 0);
    WAIT(p->ended);
    return status_of(&frame);
}

TEST(net_server_takes_pushes_of_stores)
{
    begin(1, limits_small());
    struct peer p;
    greet_as_store(&p, 9);
    push(&p, NET_RAFT, BYTES("first"));
    push(&p, 0x05ff, BYTES(""));
    WAIT(f->pushes == 2);
    CHECK_EQ(f->store, 9);
    CHECK(f->incarnation == 0xfedcba9876543210);
    CHECK_EQ(f->method, 0x05ff);
    CHECK_EQ(f->pushed.len, 0);
    CHECK_EQ(stats_of(f).pushes, 2);
    CHECK_EQ(stats_of(f).protocol_errors, 0);
    peer_end(&p);
    finish();
}

TEST(net_server_refuses_pushes_of_clients)
{
    begin(2, limits_small());
    struct peer p;
    peer_greet(&p, f); /* it names the cluster, and is no store of it */
    push(&p, NET_RAFT, BYTES("x"));
    struct net_status s = refused(&p);
    CHECK_EQ(s.code, ERR_INVALID_ARGUMENT);
    CHECK(message_has(s.message, "pushes are for stores of this cluster"));
    CHECK_EQ(f->pushes, 0);
    CHECK_EQ(stats_of(f).protocol_errors, 1);
    peer_end(&p);
    finish();
}

TEST(net_server_ends_who_pushes_what_nobody_understands)
{
    begin(3, limits_small());
    struct peer p;
    greet_as_store(&p, 9);
    f->push_rc = ERR_CORRUPTION;
    push(&p, NET_RAFT, BYTES("x"));
    push(&p, NET_RAFT, BYTES("y"));
    CHECK(message_has(refused(&p).message, "a push of method 0x0501 was not understood"));
    CHECK_EQ(f->pushes, 1);
    peer_end(&p);
    finish();
}

TEST(net_server_believes_no_half_store)
{
    static const struct {
        size_t cluster_len;
        uint64_t store;
        const char *why;
    } rows[] = {
        { 0, 9, "store 9 does not say to which cluster" },
        { 16, 7, "store 7, which is this node" },
        { 15, 9, "check the address" },
    };
    begin(4, limits_small());
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct peer p;
        struct net_frame frame;
        peer_connect(&p, f);
        say_store(&p, bytes_from(cluster_ours, rows[i].cluster_len), rows[i].store, 1);
        WAIT(peer_frame(&p, &frame));
        CHECK_EQ(status_of(&frame).code, ERR_FAILED_PRECONDITION);
        CHECK(message_has(status_of(&frame).message, rows[i].why));
        push(&p, NET_RAFT, BYTES("x"));
        WAIT(p.ended);
        peer_end(&p);
    }
    CHECK_EQ(f->pushes, 0);
    finish();
}

/* Half of a connection may live on after its other end is gone, with messages in its buffers. */
TEST(net_server_knows_a_store_by_its_last_connection)
{
    begin(8, limits_small());
    struct peer old, other, new;
    greet_as_store(&old, 9);
    greet_as_store(&other, 10);
    peer_request(&old, LATER, 1, BYTES("x"));
    WAIT(f->held_count == 1);
    greet_as_store(&new, 9);
    push(&old, NET_RAFT, BYTES("late"));
    push(&new, NET_RAFT, BYTES("new"));
    push(&other, NET_RAFT, BYTES("other"));
    WAIT(old.ended);
    WAIT(f->pushes == 2);
    seconds(1);
    CHECK_EQ(f->pushes, 2);
    CHECK_EQ(f->cancelled, 1);
    CHECK(!other.ended && !new.ended);
    answer_held(f);
    CHECK_EQ(stats_of(f).connections, 2);
    peer_end(&old);
    peer_end(&other);
    peer_end(&new);
    finish();
}

/* Row 004-40. */
TEST(net_server_keeps_internal_methods_from_clients)
{
    begin(5, limits_small());
    struct peer client, store;
    struct net_frame frame;
    peer_greet(&client, f);
    greet_as_store(&store, 9);
    peer_request(&client, INSIDE, 5, BYTES("x"));
    peer_request(&client, ECHO, 6, BYTES("x"));
    WAIT(peer_frame(&client, &frame));
    CHECK_EQ(status_of(&frame).code, ERR_PERMISSION_DENIED);
    CHECK(message_has(status_of(&frame).message, "Inside is for stores of this cluster"));
    WAIT(peer_frame(&client, &frame)); /* the connection goes on */
    CHECK_EQ(frame.request_id, 6);
    CHECK_EQ(f->handled, 1);
    peer_request(&store, INSIDE, 7, BYTES("y"));
    WAIT(peer_frame(&store, &frame));
    CHECK_BYTES(frame.body, BYTES("y"));
    CHECK_EQ(f->handled, 2);
    peer_end(&client);
    peer_end(&store);
    finish();
}

TEST(net_server_tells_handlers_which_store_asks)
{
    begin(6, limits_small());
    struct peer client, store;
    peer_greet(&client, f);
    greet_as_store(&store, 9);
    peer_request(&client, LATER, 1, BYTES("x"));
    WAIT(f->held_count == 1);
    peer_request(&store, LATER, 1, BYTES("x"));
    WAIT(f->held_count == 2);
    CHECK_EQ(net_call_store(f->held[0]), 0);
    CHECK_EQ(net_call_store(f->held[1]), 9);
    answer_held(f);
    peer_end(&client);
    peer_end(&store);
    finish();
}

/* A gateway that waits for many answers goes on to be heard: heartbeats travel on the same connection. */
TEST(net_server_hears_pushes_above_the_window_of_requests)
{
    struct net_limits limits = limits_small();
    limits.inflight_max = 8;
    begin(7, limits);
    struct peer p;
    struct net_frame frame;
    greet_as_store(&p, 9);
    for (uint64_t id = 1; id <= 10; id++)
        peer_request(&p, LATER, id, BYTES("x"));
    push(&p, NET_RAFT, BYTES("heartbeat"));
    WAIT(f->pushes == 1);
    CHECK_EQ(f->held_count, 8);
    for (uint64_t id = 9; id <= 10; id++) {
        WAIT(peer_frame(&p, &frame));
        CHECK_EQ(frame.request_id, id);
        CHECK_EQ(status_of(&frame).code, ERR_SERVER_IS_BUSY);
    }
    answer_held(f);
    for (uint64_t id = 1; id <= 8; id++)
        WAIT(peer_frame(&p, &frame));
    peer_request(&p, ECHO, 11, BYTES("x"));
    WAIT(peer_frame(&p, &frame));
    CHECK_EQ(frame.request_id, 11);
    CHECK_EQ(frame.body.len, 1);
    peer_end(&p);
    seconds(1);
    CHECK_EQ(stats_of(f).connections, 0);
    finish();
}

TEST_MAIN()
