/* The wheel: never early, at most a tick late, and never lost. */
#include "base/container.h"
#include "base/prng.h"
#include "base/test.h"
#include "wheel.h"

enum { TICK = 100, NODES = 300 };

struct thing {
    struct list node;
    uint64_t due, visited;
};

struct visits {
    struct net_wheel *wheel;
    uint64_t now, count;
};

static void visit(void *user, struct list *node)
{
    struct visits *v = user;
    struct thing *t = container_of(node, struct thing, node);
    if (t->due > v->now) { /* beyond the horizon when it was put */
        net_wheel_put(v->wheel, node, t->due);
        return;
    }
    t->visited = v->now;
    v->count++;
}

TEST(net_wheel_visits_in_time)
{
    struct net_wheel w;
    struct prng p;
    struct thing things[NODES] = { 0 };
    prng_seed(&p, 7);
    net_wheel_init(&w, TICK, 12345);
    struct visits v = { .wheel = &w, .now = 12345 };
    for (size_t i = 0; i < NODES; i++) {
        list_init(&things[i].node);
        things[i].due = 12345 + prng_below(&p, 5 * NET_WHEEL_SLOTS * TICK);
        net_wheel_put(&w, &things[i].node, things[i].due);
    }
    while (v.count < NODES) {
        v.now += 1 + prng_below(&p, TICK);
        net_wheel_advance(&w, v.now, visit, &v);
        CHECK(v.now < 12345 + 6 * NET_WHEEL_SLOTS * TICK);
    }
    for (size_t i = 0; i < NODES; i++) {
        CHECK(things[i].visited >= things[i].due);
        CHECK(things[i].visited <= things[i].due + 2 * TICK);
    }
}

TEST(net_wheel_moves_and_survives_a_long_sleep)
{
    struct net_wheel w;
    struct thing a = { .due = 50 }, b = { .due = 500000 };
    net_wheel_init(&w, TICK, 0);
    list_init(&a.node);
    list_init(&b.node);
    net_wheel_put(&w, &a.node, 10 * TICK);
    net_wheel_put(&w, &a.node, 50); /* sooner after all */
    net_wheel_put(&w, &b.node, 500000);
    struct visits v = { .wheel = &w, .now = 2 * TICK };
    net_wheel_advance(&w, v.now, visit, &v);
    CHECK_EQ(v.count, 1);
    v.now = 100000000;
    net_wheel_advance(&w, v.now, visit, &v);
    CHECK_EQ(v.count, 2);
    CHECK_EQ(b.visited, v.now);
}

TEST_MAIN()
