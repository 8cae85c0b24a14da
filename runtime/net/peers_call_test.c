/* Calls to other stores, in the simulated world: each ends once, and says what may have happened. */
#include "peers_sim.inc"

TEST(peers_calls_are_answered_in_any_order)
{
    enum { CALLS = 60 };
    static struct ask asks[CALLS];
    struct prng p;
    prng_seed(&p, 70);
    begin(70, 2);
    meet(a, b);
    for (uint64_t i = 0; i < CALLS; i++)
        ask(&asks[i], a, 2, LATER, bytes_from(&i, 8), UINT64_MAX);
    WAIT(b->held_count == CALLS);
    CHECK_EQ(status_of(a, 2).calls, CALLS);
    while (b->held_count > 0) {
        size_t k = prng_below(&p, b->held_count);
        net_call_reply_bytes(b->held[k], net_call_body(b->held[k]));
        b->held[k] = b->held[--b->held_count];
    }
    for (uint64_t i = 0; i < CALLS; i++) {
        WAIT(asks[i].done);
        CHECK_EQ(asks[i].rc, ERR_OK);
        CHECK_BYTES(buf_bytes(&asks[i].body), bytes_from(&i, 8));
        buf_free(&asks[i].body);
    }
    CHECK_EQ(status_of(a, 2).calls, 0);
    finish();
}

TEST(peers_large_calls_and_answers)
{
    struct ask up, down;
    begin(71, 2);
    meet(a, b);
    uint8_t *much = malloc(5 << 20), four[4];
    memset(much, 'u', 5 << 20);
    store_u32(four, 7 << 20);
    ask(&up, a, 2, ECHO, bytes_from(much, 5 << 20), UINT64_MAX);
    memset(much, 'x', 5 << 20); /* it was copied */
    ask(&down, a, 2, BIG, bytes_from(four, 4), UINT64_MAX);
    WAIT(up.done && down.done);
    CHECK(up.rc == ERR_OK && down.rc == ERR_OK);
    CHECK(up.body.len == 5 << 20 && up.body.data[0] == 'u' && up.body.data[up.body.len - 1] == 'u');
    CHECK(down.body.len == 7 << 20 && down.body.data[0] == 'b');
    free(much);
    buf_free(&up.body);
    buf_free(&down.body);
    finish();
}

TEST(peers_deadlines)
{
    struct ask sent, unsent, over, past, fine;
    begin(72, 2);
    meet(a, b);
    ask(&fine, a, 2, ECHO, BYTES("x"), second);
    WAIT(fine.done);
    CHECK_EQ(fine.rc, ERR_OK);
    buf_free(&fine.body);
    ask(&sent, a, 2, LATER, BYTES("x"), 50 * ms);
    WAIT(b->held_count == 1);
    uint64_t left = net_call_deadline(b->held[0]) - env_now(b->env); /* it travels */
    CHECK(left > 40 * ms && left <= 51 * ms);
    run(45 * ms);
    CHECK(!sent.done);
    run(6 * ms);
    CHECK(sent.done);
    CHECK_EQ(sent.rc, ERR_UNDETERMINED);
    answer_held(b); /* too late: nobody minds */
    run(ms);
    CHECK(is_ready(a, 2));
    sim_world_cut_link(worlds[1], worlds[2], true);
    for (unsigned i = 0; i < 20; i++)
        send_to(a, 2, 100000); /* the window is full */
    ask(&unsent, a, 2, ECHO, BYTES("x"), 50 * ms);
    ask(&over, a, 2, ECHO, BYTES("x"), 0);
    ask(&past, a, 2, ECHO, BYTES("x"), 0 - second);
    run(ms);
    CHECK(over.done && past.done);
    CHECK_EQ(over.rc, ERR_DEADLINE_EXCEEDED);
    CHECK_EQ(past.rc, ERR_DEADLINE_EXCEEDED);
    run(60 * ms);
    CHECK(unsent.done && over.done);
    CHECK_EQ(unsent.rc, ERR_DEADLINE_EXCEEDED);
    sim_world_cut_link(worlds[1], worlds[2], false);
    WAIT(status_of(a, 2).messages == 0);
    run(second);
    CHECK_EQ(b->handled, 2); /* what was not sent by then is never sent */
    finish();
}

TEST(peers_cancel)
{
    struct ask sent, unsent, over;
    begin(73, 2);
    meet(a, b);
    ask(&unsent, a, 2, ECHO, BYTES("x"), second);
    CHECK(!net_peers_cancel(&unsent.call)); /* it waits for a connection */
    ask(&sent, a, 2, LATER, BYTES("x"), second);
    WAIT(b->held_count == 1);
    CHECK(net_peers_cancel(&sent.call));
    WAIT(b->cancelled == 1); /* the other side is told */
    answer_held(b);
    ask(&over, a, 3, ECHO, BYTES("x"), second); /* refused, and not told yet */
    CHECK(!net_peers_cancel(&over.call));
    run(2 * second);
    CHECK(!sent.done && !unsent.done && !over.done);
    CHECK_EQ(b->handled, 1);
    CHECK_EQ(status_of(a, 2).calls, 0);
    finish();
}

TEST(peers_calls_have_limits)
{
    struct ask asks[6], large, far;
    begin(74, 2);
    with_limits((struct net_peers_limits){ .calls_max = 4, .call_bytes_max = 1000 });
    uint8_t body[1001] = { 0xff, 0xff };
    ask(&large, a, 2, ECHO, bytes_from(body, 1001), UINT64_MAX);
    ask(&asks[0], a, 2, LATER, bytes_from(body, 999), UINT64_MAX);
    ask(&asks[1], a, 2, LATER, bytes_from(body, 2), UINT64_MAX); /* the first has not left */
    run(second);
    CHECK(large.done && asks[1].done && !asks[0].done);
    CHECK(large.rc == ERR_SERVER_IS_BUSY && asks[1].rc == ERR_SERVER_IS_BUSY);
    for (unsigned i = 2; i < 6; i++)
        ask(&asks[i], a, 2, LATER, BYTES("x"), UINT64_MAX);
    run(second);
    CHECK(asks[5].done && !asks[4].done);
    CHECK_EQ(asks[5].rc, ERR_SERVER_IS_BUSY);
    answer_held(b);
    run(second);
    CHECK(asks[0].done && asks[2].done && asks[3].done && asks[4].done);
    for (unsigned i = 0; i < 6; i++)
        buf_free(&asks[i].body);
    uint8_t *huge = calloc(1, NET_FRAME_MAX);
    ask(&far, a, 2, ECHO, bytes_from(huge, NET_FRAME_MAX - NET_FRAME_HEADER + 1), UINT64_MAX);
    run(ms);
    CHECK_EQ(far.rc, ERR_TOO_LARGE);
    free(huge);
    finish();
}

/* A node that stops says that it will not do what it has not answered: that is no doubt. */
static void never_mind(void *user)
{
    (void)user;
}

TEST(peers_know_what_a_stopping_store_will_not_do)
{
    struct ask early, late;
    begin(75, 2);
    meet(a, b);
    ask(&early, a, 2, LATER, BYTES("x"), UINT64_MAX);
    WAIT(b->held_count == 1);
    net_server_drain(b->server, never_mind, NULL);
    answer_held(b);
    WAIT(early.done);
    CHECK_EQ(early.rc, ERR_OK);
    buf_free(&early.body);
    sim_world_cut_link(worlds[1], worlds[2], true);
    ask(&late, a, 2, ECHO, BYTES("x"), UINT64_MAX); /* on its way when the node parts */
    run(ms);
    net_server_part(b->server);
    run(10 * ms);
    CHECK(late.done);
    CHECK_EQ(late.rc, ERR_UNAVAILABLE);
    CHECK_CONTAINS(status_of(a, 2).why, "the node is stopping");
    sim_world_cut_link(worlds[1], worlds[2], false);
    finish();
}

/* `done` may do anything: ask again, or forget the very store. */
struct again {
    struct net_peer_call call;
    unsigned left;
    bool removes;
};

static void ask_again(struct net_peer_call *call, err_t rc, struct bytes body)
{
    struct again *g = container_of(call, struct again, call);
    (void)rc, (void)body;
    if (g->left-- > 1) {
        call->body = BYTES("again");
        net_peers_call(a->peers, 2, call);
    } else if (g->removes) {
        net_peers_remove(a->peers, 2);
    }
}

TEST(peers_done_may_do_anything)
{
    struct again g[3] = { { .left = 5 }, { .left = 3, .removes = true }, { .left = 100 } };
    begin(76, 2);
    meet(a, b);
    for (unsigned i = 0; i < 3; i++) {
        g[i].call.method = ECHO;
        g[i].call.body = BYTES("first");
        g[i].call.deadline = UINT64_MAX;
        g[i].call.done = ask_again;
        net_peers_call(a->peers, 2, &g[i].call);
    }
    run(second);
    for (unsigned i = 0; i < 3; i++)
        CHECK_EQ(g[i].left, 0);
    finish();
}

TEST_MAIN()
