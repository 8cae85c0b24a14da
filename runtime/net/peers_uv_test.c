/* Stores that talk to each other over real sockets: volume, a server that comes back, closing at once. */
#include "peers_fixture.inc"
#include "uv/world.h"

static struct world *world;
static struct node nodes[NODES + 1], *const a = &nodes[1], *const b = &nodes[2];

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

static void begin(unsigned n)
{
    struct err e = { 0 };
    CHECK_OK(world_open(NULL, &world, &e), e);
    for (unsigned i = 1; i <= n; i++)
        node_open(&nodes[i], world_env(world), i);
}

static void finish(unsigned n)
{
    for (unsigned i = 1; i <= n; i++)
        node_close(&nodes[i]);
    world_close(world);
}

TEST(peers_over_tcp_in_order_whatever_the_size)
{
    static struct ask asks[100];
    struct prng p;
    prng_seed(&p, 1);
    begin(2);
    meet(a, b);
    meet(b, a);
    uint8_t *body = calloc(1, 1 << 20);
    store_u64(body, 4096); /* without a number */
    for (unsigned i = 0; i < 3000; i++) {
        send_to(a, 2, prng_chance(&p, 1, 100) ? prng_below(&p, 1 << 20) : prng_below(&p, 500));
        send_to(b, 1, prng_below(&p, 300));
        if (i % 30 == 0)
            ask(&asks[i / 30], a, 2, ECHO, bytes_from(body, 8 + prng_below(&p, 1 << 19)),
                UINT64_MAX);
        if (prng_chance(&p, 1, 10))
            turn();
    }
    WAIT(b->got[1].count == 3000 && a->got[2].count == 3000);
    for (unsigned i = 0; i < 100; i++) {
        WAIT(asks[i].done);
        CHECK_EQ(asks[i].rc, ERR_OK);
        CHECK(asks[i].body.len >= 8);
        buf_free(&asks[i].body);
    }
    CHECK_EQ(a->unreachable[2] + b->unreachable[1], 0);
    CHECK_EQ(status_of(a, 2).connected, 1);
    free(body);
    finish(2);
}

TEST(peers_find_a_server_that_comes_back)
{
    struct ask q;
    begin(2);
    stop_serving(b);
    meet(a, b);
    send_to(a, 2, 10);
    WAIT(status_of(a, 2).lost > 0 && a->unreachable[2] == 1);
    serve(b, usual_limits(), b->address, 2, cluster_ours);
    while (b->got[1].count == 0) {
        if (!is_ready(a, 2) && status_of(a, 2).messages == 0)
            send_to(a, 2, 10);
        turn();
    }
    ask(&q, a, 2, LATER, BYTES("x"), UINT64_MAX);
    WAIT(b->held_count == 1);
    stop_serving(b);
    WAIT(q.done);
    CHECK_EQ(q.rc, ERR_UNDETERMINED);
    CHECK_EQ(a->unreachable[2], 2);
    serve(b, usual_limits(), b->address, 2, cluster_ours);
    WAIT(is_ready(a, 2)); /* by itself */
    buf_free(&q.body);
    finish(2);
}

TEST(peers_sixteen_connections_over_tcp)
{
    begin(NODES);
    for (unsigned i = 2; i <= NODES; i++)
        meet(a, &nodes[i]);
    for (unsigned round = 0; round < 50; round++) {
        for (unsigned i = 2; i <= NODES; i++)
            send_to(a, i, i * round);
        turn();
    }
    for (unsigned i = 2; i <= NODES; i++)
        WAIT(nodes[i].got[1].count == 50);
    finish(NODES);
}

/* Closed in whatever state, and the world right behind: nothing is left over. */
TEST(peers_over_tcp_stop_at_any_moment)
{
    for (unsigned turns = 0; turns < 12; turns++) {
        struct ask q;
        begin(2);
        meet(a, b);
        if (turns % 3 == 2)
            net_peers_set(a->peers, 2, "127.0.0.1:1"); /* refuses */
        ask(&q, a, 2, LATER, BYTES("x"), UINT64_MAX);
        send_to(a, 2, 3 << 20);
        for (unsigned i = 0; i < turns; i++)
            turn();
        net_peers_close(a->peers);
        a->peers = NULL;
        CHECK(q.done);
        buf_free(&q.body);
        finish(2);
    }
}

TEST_MAIN()
