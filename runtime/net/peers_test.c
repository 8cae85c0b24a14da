/* Stores that talk to each other in the simulated world: every machine has its clock, links break and heal, and time
 * is virtual. What needs real sockets is in peers_uv_test.c. */
#include "peers_fixture.inc"
#include "sim_world/world.h"

static const uint64_t ms = 1000000, second = 1000000000;
static struct sim_world *worlds[NODES + 1];
static struct node nodes[NODES + 1], *const a = &nodes[1], *const b = &nodes[2];
static unsigned count;

static void turn(void)
{
    CHECK(sim_world_turn(worlds[1]));
}

static struct env *the_env(void)
{
    return sim_world_env(worlds[1]);
}

static void run(uint64_t ns)
{
    sim_world_run_for(worlds[1], ns);
}

/* `n` machines with a store on each. */
static void begin(uint64_t seed, unsigned n)
{
    count = n;
    for (unsigned i = 1; i <= n; i++) {
        worlds[i] = i == 1 ? sim_world_new(seed, NULL) : sim_world_beside(worlds[1], NULL);
        node_open(&nodes[i], sim_world_env(worlds[i]), i);
    }
}

static void finish(void)
{
    for (unsigned i = 1; i <= count; i++)
        node_close(&nodes[i]);
    for (unsigned i = count; i >= 1; i--)
        sim_world_close(worlds[i]);
}

static void change_net(void (*how)(struct sim_net *net))
{
    struct sim_net net = sim_world_net_default();
    how(&net);
    sim_world_set_net(worlds[1], &net);
}

static void patient_limits(struct net_peers_limits limits)
{
    net_peers_close(a->peers);
    reach(a, NULL, limits);
    meet(a, b);
}

/* ---- Messages ----------------------------------------------------------------------------------------------- */

TEST(peers_messages_come_in_order_and_say_from_whom)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct prng p;
        prng_seed(&p, seed);
        begin(seed, 2);
        meet(a, b);
        meet(b, a);
        for (unsigned i = 0; i < 300; i++) {
            send_to(a, 2, prng_chance(&p, 1, 20) ? prng_below(&p, 200000) : prng_below(&p, 300));
            if (i % 3 == 0)
                send_to(b, 1, prng_below(&p, 3000));
            if (prng_chance(&p, 1, 4))
                run(prng_below(&p, 300000));
        }
        WAIT(b->got[1].count == 300 &&
             a->got[2].count == 100); /* none is lost: also the first waited */
        CHECK(b->got[1].incarnation == 0x1000000000000001 && b->got[1].last == 300);
        CHECK(a->got[2].incarnation == 0x1000000000000002);
        CHECK_EQ(a->unreachable[2] + b->unreachable[1], 0);
        struct net_peer_status s = status_of(a, 2);
        CHECK(s.state == NET_PEER_READY && s.sent == 300 && s.sent_bytes == b->got[1].bytes);
        CHECK(s.messages == 0 && s.message_bytes == 0 && s.dropped == 0 && s.connected == 1);
        finish();
    }
}

TEST(peers_connect_on_demand_alone)
{
    begin(11, 2);
    meet(a, b);
    uint64_t events = sim_world_events(worlds[1]);
    run(20 * second);
    CHECK_EQ(status_of(a, 2).state, NET_PEER_IDLE);
    CHECK_EQ(sim_world_events(worlds[1]), events);
    send_to(a, 2, 1);
    CHECK_EQ(status_of(a, 2).state, NET_PEER_CONNECTING);
    WAIT(b->got[1].count == 1);
    finish();
}

static unsigned reads;
static struct env_stream *deaf_streams[64];
static unsigned deaf_count;

/* Not there: told once, tried again in growing pauses, and heard as soon as it is there. */
TEST(peers_unreachable_is_told_once_until_a_message_has_left)
{
    begin(12, 2);
    stop_serving(b);
    meet(a, b);
    for (unsigned i = 0; i < 400; i++) {
        send_to(a, 2, 10);
        run(100 * ms);
    }
    CHECK_EQ(a->unreachable[2], 1);
    struct net_peer_status s = status_of(a, 2);
    CHECK(s.lost >= 12 && s.lost <= 40); /* 40 s in pauses of up to 3 s */
    CHECK_EQ(s.dropped, 400);
    CHECK_CONTAINS(s.why, "could not connect");
    serve(b, usual_limits(), b->address, 2, cluster_ours);
    while (!is_ready(a, 2)) {
        send_to(a, 2, 10);
        run(100 * ms);
    }
    send_to(a, 2, 10);
    WAIT(b->got[1].last == a->sent[2]);
    CHECK_EQ(a->unreachable[2], 1);
    stop_serving(b);
    run(second);
    CHECK_EQ(a->unreachable[2], 2); /* what had left may have been lost with the connection */
    send_to(a, 2, 10);
    run(second);
    CHECK_EQ(a->unreachable[2], 2);
    serve(b, usual_limits(), b->address, 2, cluster_ours);
    finish();
}

/* A store that was talked to is looked for again without being asked. */
TEST(peers_come_back_by_themselves)
{
    begin(13, 2);
    meet(a, b);
    send_to(a, 2, 10);
    WAIT(is_ready(a, 2));
    CHECK_EQ(sim_world_reset_streams(worlds[1]), 1);
    WAIT(!is_ready(a, 2));
    WAIT(is_ready(a, 2));
    CHECK_EQ(status_of(a, 2).connected, 2);
    CHECK_EQ(a->unreachable[2], 1);
    finish();
}

static void resets(struct sim_net *net)
{
    net->reset_per_million = 3000;
}

/* Streams break at any segment, also in the middle of a hello: what comes, comes in order and once; what is lost is
 * told; every call ends once, and what ended as not sent was never seen. */
TEST(peers_survive_resets_at_any_time)
{
    enum { CALLS = 150 };
    unsigned broken = 0, undetermined = 0, unavailable = 0, fine = 0;
    for (uint64_t seed = 100; seed < 130; seed++) {
        static struct ask asks[CALLS];
        struct prng p;
        prng_seed(&p, seed);
        begin(seed, 2);
        change_net(resets);
        meet(a, b);
        meet(b, a);
        for (unsigned i = 0; i < CALLS; i++) {
            uint8_t body[3000] = { 0 };
            store_u64(body, i);
            ask(&asks[i], a, 2, prng_chance(&p, 1, 2) ? ECHO : LATER,
                bytes_from(body, 8 + prng_below(&p, prng_chance(&p, 1, 4) ? 2990 : 10)),
                UINT64_MAX);
            send_to(a, 2, prng_below(&p, 20000));
            send_to(b, 1, prng_below(&p, 500));
            if (prng_chance(&p, 1, 3))
                run(prng_below(&p, 40 * ms));
            if (prng_chance(&p, 1, 8))
                answer_held(b);
        }
        for (unsigned i = 0; i < CALLS; i++) {
            while (!asks[i].done) {
                answer_held(b);
                run(ms);
            }
            bool seen = b->seen[i / 64] >> i % 64 & 1;
            CHECK(asks[i].rc == ERR_OK || asks[i].rc == ERR_UNDETERMINED ||
                  asks[i].rc == ERR_UNAVAILABLE);
            CHECK(asks[i].rc != ERR_OK || (seen && load_u64(asks[i].body.data) == i));
            CHECK(asks[i].rc != ERR_UNAVAILABLE || !seen);
            fine += asks[i].rc == ERR_OK;
            undetermined += asks[i].rc == ERR_UNDETERMINED;
            unavailable += asks[i].rc == ERR_UNAVAILABLE;
            buf_free(&asks[i].body);
        }
        struct net_peer_status s = status_of(a, 2);
        broken += s.connected > 1;
        CHECK(s.sent + s.dropped == CALLS || s.messages > 0);
        CHECK(b->got[1].count <= CALLS);
        CHECK((b->got[1].count < CALLS) <= (a->unreachable[2] > 0)); /* no silent loss */
        finish();
    }
    CHECK(broken > 20 && undetermined > 20 && unavailable > 20 && fine > 1000);
}

/* ---- Limits ------------------------------------------------------------------------------------------------- */

/* The link is cut: bytes pile up in the network's window, then here. */
TEST(peers_messages_have_limits_by_count_and_bytes)
{
    static const struct net_peers_limits rows[] = {
        { .messages_max = 20, .silent_ms = 1000000 },
        { .message_bytes_max = 200000, .silent_ms = 1000000 },
    };
    for (size_t i = 0; i < 2; i++) {
        begin(20 + i, 2);
        patient_limits(rows[i]);
        send_to(a, 2, 10);
        WAIT(b->got[1].count == 1);
        sim_world_cut_link(worlds[1], worlds[2], true);
        for (unsigned k = 0; k < 500; k++) {
            send_to(a, 2, 9992);
            run(ms);
        }
        struct net_peer_status s = status_of(a, 2);
        CHECK_EQ(s.messages, 20);
        CHECK_EQ(s.message_bytes, 200000);
        CHECK_EQ(s.sent + s.dropped + s.messages, 501);
        CHECK(s.dropped > 400);
        CHECK_EQ(a->unreachable[2], 1);
        sim_world_cut_link(worlds[1], worlds[2], false);
        WAIT(status_of(a, 2).messages == 0);
        send_to(a, 2, 10);
        WAIT(b->got[1].last == a->sent[2]);
        CHECK_EQ(b->got[1].count, 502 - s.dropped);
        CHECK_EQ(status_of(a, 2).connected, 1);
        sim_world_cut_link(worlds[1], worlds[2], true);
        for (unsigned k = 0; k < 100; k++)
            send_to(a, 2, 9992);
        run(ms);
        CHECK_EQ(a->unreachable[2], 2); /* some have left in between */
        sim_world_cut_link(worlds[1], worlds[2], false);
        finish();
    }
}

/* While it is connecting, messages wait within the same limits. */
TEST(peers_messages_wait_for_a_connection)
{
    begin(22, 2);
    patient_limits((struct net_peers_limits){ .messages_max = 20 });
    for (unsigned k = 0; k < 25; k++)
        send_to(a, 2, 100);
    CHECK_EQ(status_of(a, 2).messages, 20);
    run(0);
    CHECK_EQ(a->unreachable[2], 1);
    WAIT(b->got[1].count == 20);
    CHECK_EQ(b->got[1].last, 20);
    finish();
}

TEST(peers_frames_that_the_other_side_does_not_take)
{
    struct net_limits small = usual_limits();
    struct ask q;
    begin(23, 2);
    stop_serving(b);
    small.frame_max = 8192;
    serve(b, small, NULL, 2, cluster_ours);
    meet(a, b);
    send_to(a, 2, 8192 - NET_FRAME_HEADER - 8);
    send_to(a, 2, 8192 - NET_FRAME_HEADER - 7);
    send_to(a, 2, 5);
    uint8_t body[8192] = { 0xff, 0xff };
    ask(&q, a, 2, ECHO, bytes_from(body, sizeof body - NET_FRAME_HEADER + 1), UINT64_MAX);
    WAIT(q.done);
    CHECK_EQ(q.rc, ERR_TOO_LARGE);
    WAIT(b->got[1].last == 3);
    CHECK_EQ(b->got[1].count, 2);
    CHECK_EQ(a->unreachable[2], 1);
    CHECK_EQ(status_of(a, 2).dropped, 1);
    CHECK_EQ(status_of(a, 2).message_bytes, 0);
    finish();
}

/* ---- Who is there ------------------------------------------------------------------------------------------- */

static void keep_line(void *user, struct bytes line)
{
    struct buf *lines = user;
    CHECK_EQ(buf_append(lines, line), ERR_OK);
    CHECK_EQ(buf_append(lines, BYTES("\n")), ERR_OK);
}

static uint64_t no_time(void *user)
{
    (void)user;
    return 0;
}

static void check_refused(uint64_t id, const uint8_t cluster[16], const char *why)
{
    struct buf lines = { 0 };
    struct logger_config config = {
        .level = LOGGER_INFO, .wall = no_time, .write = keep_line, .user = &lines
    };
    struct logger *log = logger_new(&config);
    begin(30 + id, 2);
    stop_serving(b);
    serve(b, usual_limits(), NULL, id, cluster);
    net_peers_close(a->peers);
    reach(a, log, (struct net_peers_limits){ 0 });
    meet(a, b);
    for (unsigned i = 0; i < 100; i++) {
        send_to(a, 2, 10);
        run(100 * ms);
    }
    CHECK_EQ(b->got[1].count, 0);
    CHECK_EQ(a->unreachable[2], 1);
    CHECK_EQ(status_of(a, 2).connected, 0);
    CHECK_CONTAINS(status_of(a, 2).why, why);
    CHECK_EQ(buf_append(&lines, bytes_from("", 1)), ERR_OK);
    CHECK_CONTAINS((const char *)lines.data, why);
    CHECK_CONTAINS((const char *)lines.data, b->address);
    const char *first = strstr((const char *)lines.data, why);
    CHECK(strstr(first + 1, why) == NULL); /* once, not at every attempt */
    buf_free(&lines);
    finish();
    logger_free(log);
}

TEST(peers_refuse_another_store_at_that_address)
{
    check_refused(3, cluster_ours, "store 3 answers there, not store 2");
}

TEST(peers_refuse_another_cluster)
{
    check_refused(2, cluster_other, "belongs to cluster bb040000");
}

TEST(peers_refuse_what_is_no_store)
{
    check_refused(0, cluster_ours, "store 0 answers there, not store 2");
}

/* ---- One that does not read, or does not speak ---------------------------------------------------------------- */

static uint8_t deaf_room[65536];

static struct env_room deaf_read_room(void *user, size_t suggested)
{
    (void)user, (void)suggested;
    return (struct env_room){ deaf_room, sizeof deaf_room };
}

static void deaf_read(void *user, size_t len, err_t rc)
{
    (void)user, (void)rc;
    reads += len > 0;
}

static void deaf_closed(void *user)
{
    (void)user;
}

static void hello_written(struct env_write *write, err_t rc)
{
    (void)rc;
    free(write);
}

/* Takes the connection and answers hello, without having read it; then it reads, or not, and says nothing. */
static void deaf_accept(void *user, struct env_stream *stream)
{
    static const struct env_stream_ops ops = { deaf_read_room, deaf_read, deaf_closed };
    static struct buf wire;
    bool *reading = user;
    struct buf body = { 0 };
    uint8_t hello[] = { 0x0a, 0, 0x10, 1, 0x1a, 16 };
    struct env_write *write = calloc(1, sizeof *write);
    CHECK_EQ(buf_append(&body, bytes_from(hello, sizeof hello)), ERR_OK);
    CHECK_EQ(buf_append(&body, bytes_from(cluster_ours, 16)), ERR_OK);
    CHECK_EQ(buf_append(&body, bytes_from("\x20\x02\x38\xff\xff\xff\x07", 7)), ERR_OK);
    buf_free(&wire);
    CHECK_EQ(net_frame_append(&wire, &(struct net_frame){ .kind = NET_FRAME_RESPONSE,
                                                          .method = NET_HELLO,
                                                          .body = buf_bytes(&body) }),
             ERR_OK);
    buf_free(&body);
    CHECK(deaf_count < 64);
    deaf_streams[deaf_count++] = stream;
    env_stream_start(stream, &ops, NULL);
    if (!*reading)
        env_stream_pause(stream);
    struct bytes iov = buf_bytes(&wire);
    write->done = hello_written;
    env_stream_write(stream, &iov, 1, write);
}

/* A slow reader and a mute one are given up after silent_ms, not before, and tried again. */
static void check_silent(bool reading)
{
    struct env_listener *listener;
    struct err e = { 0 };
    struct ask q;
    begin(40 + reading, 2);
    CHECK_OK(env_listen(b->env, "127.0.0.1:0", deaf_accept, &reading, &listener, &e), e);
    deaf_count = reads = 0;
    net_peers_set(a->peers, 2, env_listener_address(listener));
    ask(&q, a, 2, ECHO, BYTES("anybody?"), UINT64_MAX);
    WAIT(is_ready(a, 2));
    for (unsigned i = 0; i < 95; i++) {
        send_to(a, 2, 100000);
        run(100 * ms);
        CHECK(is_ready(a, 2) && !q.done);
    }
    CHECK_EQ(a->unreachable[2], 0); /* all of it waits within its limits */
    CHECK(reading == (reads > 0));
    WAIT(!is_ready(a, 2));
    run(0);
    CHECK(q.done);
    CHECK_EQ(q.rc, ERR_UNDETERMINED);
    CHECK_CONTAINS(status_of(a, 2).why, "nothing came from it for");
    CHECK_EQ(a->unreachable[2], 1);
    WAIT(is_ready(a, 2));
    CHECK_EQ(deaf_count, 2);
    for (unsigned i = 0; i < deaf_count; i++)
        env_stream_close(deaf_streams[i]);
    env_listener_close(listener);
    finish();
}

TEST(peers_give_up_one_that_does_not_read)
{
    check_silent(false);
}

TEST(peers_give_up_one_that_reads_and_says_nothing)
{
    check_silent(true);
}

/* Nobody says anything for a minute, and the server closes who is idle for 3 s: pings keep the connection. */
TEST(peers_keep_an_idle_connection)
{
    struct net_limits limits = usual_limits();
    begin(42, 2);
    stop_serving(b);
    limits.idle_ms = 3000;
    serve(b, limits, NULL, 2, cluster_ours);
    meet(a, b);
    send_to(a, 2, 10);
    run(60 * second);
    CHECK(is_ready(a, 2));
    CHECK_EQ(status_of(a, 2).connected, 1);
    finish();
}

/* Both ends are there, and nothing gets through, one way or the other. */
TEST(peers_notice_a_cut_link)
{
    for (unsigned way = 0; way < 2; way++) {
        begin(43 + way, 2);
        meet(a, b);
        send_to(a, 2, 10);
        WAIT(b->got[1].count == 1);
        struct sim_world *from = worlds[1 + way], *to = worlds[2 - way];
        sim_world_cut_link(from, to, true);
        for (unsigned i = 0; i < 200; i++) {
            send_to(a, 2, 10);
            run(100 * ms);
        }
        CHECK(!is_ready(a, 2));
        CHECK_EQ(a->unreachable[2], 1);
        sim_world_cut_link(from, to, false);
        while (b->got[1].last != a->sent[2]) {
            send_to(a, 2, 10);
            run(100 * ms);
        }
        finish();
    }
}

/* ---- Addresses ---------------------------------------------------------------------------------------------- */

TEST(peers_follow_a_store_to_another_address)
{
    begin(50, 3);
    struct node *c = &nodes[3];
    struct ask q, waits;
    stop_serving(c);
    serve(c, usual_limits(), NULL, 2, cluster_ours); /* store 2 has moved there */
    meet(a, b);
    send_to(a, 2, 10);
    WAIT(b->got[1].count == 1);
    ask(&q, a, 2, LATER, BYTES("x"), UINT64_MAX);
    WAIT(b->held_count == 1);
    net_peers_set(a->peers, 2, b->address); /* the same: nothing happens */
    CHECK(is_ready(a, 2));
    net_peers_set(a->peers, 2, c->address);
    CHECK_EQ(status_of(a, 2).state, NET_PEER_CONNECTING); /* at once */
    ask(&waits, a, 2, ECHO, BYTES("y"), UINT64_MAX);
    send_to(a, 2, 10);
    WAIT(c->got[1].count == 1 && waits.done && q.done);
    CHECK_EQ(q.rc, ERR_UNDETERMINED);
    CHECK_EQ(waits.rc, ERR_OK);
    CHECK_EQ(b->got[1].count, 1);
    buf_free(&waits.body);
    finish();
}

TEST(peers_forget_a_store)
{
    struct net_peer_status s;
    struct ask given, waits;
    begin(51, 3);
    meet(a, b);
    ask(&given, a, 2, LATER, BYTES("x"), UINT64_MAX);
    WAIT(b->held_count == 1);
    net_peers_set(a->peers, 3, nodes[3].address);
    ask(&waits, a, 3, ECHO, BYTES("y"), UINT64_MAX);
    send_to(a, 3, 10);
    net_peers_remove(a->peers, 2);
    net_peers_remove(a->peers, 3);
    net_peers_remove(a->peers, 3);
    CHECK(!net_peers_status(a->peers, 2, &s));
    CHECK(!given.done && !waits.done);
    run(second);
    CHECK(given.done && waits.done);
    CHECK_EQ(given.rc, ERR_UNDETERMINED);
    CHECK_EQ(waits.rc, ERR_UNAVAILABLE);
    CHECK_EQ(a->unreachable[3], 0); /* without a word */
    send_to(a, 3, 10);
    run(second);
    CHECK_EQ(nodes[3].got[1].count, 0);
    CHECK_EQ(b->cancelled, 1);
    finish();
}

TEST(peers_pause_longer_from_failure_to_failure_and_not_in_step)
{
    uint64_t at[2][6];
    for (unsigned k = 0; k < 2; k++) {
        begin(60 + k, 1);
        net_peers_set(a->peers, 2, "127.0.0.1:9");
        uint64_t began = env_now(a->env);
        for (unsigned n = 0; n < 6; n++) {
            while (status_of(a, 2).lost == n) {
                send_to(a, 2, 1);
                run(ms);
            }
            at[k][n] = env_now(a->env) - began;
        }
        uint64_t least = 25 * ms;
        for (unsigned n = 1; n < 6; n++, least *= 2)
            CHECK(at[k][n] - at[k][n - 1] >= least &&
                  at[k][n] - at[k][n - 1] <= 2 * least + 3 * ms);
        finish();
    }
    CHECK(at[0][5] / ms != at[1][5] / ms);
}

TEST(peers_an_address_that_is_none)
{
    struct ask q;
    begin(62, 1);
    net_peers_set(a->peers, 2, "nowhere");
    ask(&q, a, 2, ECHO, BYTES("x"), UINT64_MAX);
    send_to(a, 2, 10);
    CHECK(!q.done && a->unreachable[2] == 0); /* never from inside */
    run(ms);
    CHECK(q.done && a->unreachable[2] == 1);
    CHECK_EQ(q.rc, ERR_UNAVAILABLE);
    CHECK_CONTAINS(status_of(a, 2).why, "nowhere");
    finish();
}

/* ---- Calls -------------------------------------------------------------------------------------------------- */

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
    struct ask sent, unsent, over, fine;
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
    run(ms);
    CHECK_EQ(over.rc, ERR_DEADLINE_EXCEEDED);
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
    patient_limits((struct net_peers_limits){ .calls_max = 4, .call_bytes_max = 1000 });
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

/* ---- Many, and the end -------------------------------------------------------------------------------------- */

TEST(peers_seventeen_stores_all_to_all)
{
    begin(80, NODES);
    for (unsigned i = 1; i <= NODES; i++)
        for (unsigned k = 1; k <= NODES; k++)
            if (i != k)
                meet(&nodes[i], &nodes[k]);
    for (unsigned round = 0; round < 30; round++) {
        for (unsigned i = 1; i <= NODES; i++)
            for (unsigned k = 1; k <= NODES; k++)
                if (i != k)
                    send_to(&nodes[i], k, (i * k) % 700);
        run(3 * ms);
    }
    run(second);
    for (unsigned i = 1; i <= NODES; i++)
        for (unsigned k = 1; k <= NODES; k++)
            if (i != k)
                CHECK(nodes[i].got[k].count == 30 && nodes[i].unreachable[k] == 0);
    for (unsigned i = 1; i <= NODES; i++)
        for (unsigned k = 1; k <= NODES; k++)
            if (i != k)
                CHECK_EQ(status_of(&nodes[i], k).connected, 1);
    finish();
}

/* Closed at any moment: every call ends before net_peers_close() returns, nothing is called afterwards. */
TEST(peers_stop_at_any_moment)
{
    unsigned states[5] = { 0 };
    for (uint64_t seed = 200; seed < 400; seed++) {
        struct prng p;
        struct ask asks[3];
        prng_seed(&p, seed);
        begin(seed, 2);
        if (seed % 4 == 0)
            stop_serving(b);
        meet(a, b);
        if (seed % 5 != 0) {
            for (unsigned i = 0; i < 3; i++)
                ask(&asks[i], a, 2, i == 0 ? ECHO : LATER, BYTES("x"), second);
            send_to(a, 2, prng_below(&p, 300000));
        }
        run(prng_below(&p, 2 * ms));
        states[status_of(a, 2).state]++;
        unsigned told = a->unreachable[2];
        net_peers_close(a->peers);
        if (seed % 5 != 0) {
            for (unsigned i = 0; i < 3; i++) {
                CHECK(asks[i].done);
                buf_free(&asks[i].body);
            }
        }
        run(prng_below(&p, 5 * second));
        CHECK_EQ(a->unreachable[2], told);
        reach(a, NULL, (struct net_peers_limits){ 0 });
        if (b->server == NULL)
            serve(b, usual_limits(), NULL, 2, cluster_ours);
        finish();
    }
    for (unsigned i = 0; i < 5; i++)
        CHECK(states[i] > 5);
}

/* The other machine ends without a word, while it is connected to, while it is talked to. */
TEST(peers_survive_the_death_of_a_machine)
{
    for (uint64_t seed = 500; seed < 540; seed++) {
        struct prng p;
        prng_seed(&p, seed);
        begin(seed, 2);
        meet(a, b);
        send_to(a, 2, 100);
        run(prng_below(&p, 2 * ms));
        sim_world_crash(worlds[2], seed % 2 == 0 ? SIM_CRASH_KILL : SIM_CRASH_LOSE);
        for (unsigned i = 0; i < 200; i++) {
            send_to(a, 2, 100);
            run(100 * ms);
        }
        CHECK(!is_ready(a, 2));
        CHECK_EQ(a->unreachable[2], 1);
        finish();
    }
}

TEST_MAIN()
