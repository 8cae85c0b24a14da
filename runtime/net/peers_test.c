/* Stores that talk to each other in the simulated world: every machine has its clock, links break and heal, and time
 * is virtual. Calls are in peers_call_test.c; what needs real sockets is in peers_uv_test.c. */
#include "peers_sim.inc"

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
        struct sim_net net = sim_world_net_default();
        net.reset_per_million = 3000;
        sim_world_set_net(worlds[1], &net);
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
        with_limits(rows[i]);
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
    with_limits((struct net_peers_limits){ .messages_max = 20 });
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
static unsigned reads;
static struct env_stream *deaf_streams[64];
static unsigned deaf_count;

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

struct deaf {
    bool reading;
    const char *head; /* of its hello, before the cluster id */
    size_t head_len;
    const uint8_t *cluster;
    struct buf wire;
};

/* Takes the connection and answers hello, without having read it; then it reads, or not, and says nothing. */
static void deaf_accept(void *user, struct env_stream *stream)
{
    static const struct env_stream_ops ops = { deaf_read_room, deaf_read, deaf_closed };
    struct deaf *d = user;
    struct buf body = { 0 };
    struct env_write *write = calloc(1, sizeof *write);
    CHECK_EQ(buf_append(&body, bytes_from(d->head, d->head_len)), ERR_OK);
    CHECK_EQ(buf_append(&body, bytes_from(d->cluster, 16)), ERR_OK);
    CHECK_EQ(buf_append(&body, bytes_from("\x20\x02\x38\xff\xff\xff\x07", 7)), ERR_OK);
    buf_free(&d->wire);
    CHECK_EQ(net_frame_append(&d->wire, &(struct net_frame){ .kind = NET_FRAME_RESPONSE,
                                                             .method = NET_HELLO,
                                                             .body = buf_bytes(&body) }),
             ERR_OK);
    buf_free(&body);
    CHECK(deaf_count < 64);
    deaf_streams[deaf_count++] = stream;
    env_stream_start(stream, &ops, NULL);
    if (!d->reading)
        env_stream_pause(stream);
    struct bytes iov = buf_bytes(&d->wire);
    write->done = hello_written;
    env_stream_write(stream, &iov, 1, write);
}

static struct deaf deaf_peer(bool reading)
{
    return (struct deaf){
        .reading = reading, .head = "\x0a\0\x10\x01\x1a\x10", .head_len = 6, .cluster = cluster_ours
    };
}

static struct env_listener *deaf_listen(struct deaf *d)
{
    struct env_listener *listener;
    struct err e = { 0 };
    deaf_count = reads = 0;
    CHECK_OK(env_listen(b->env, "127.0.0.1:0", deaf_accept, d, &listener, &e), e);
    net_peers_set(a->peers, 2, env_listener_address(listener));
    return listener;
}

static void deaf_end(struct deaf *d, struct env_listener *listener)
{
    for (unsigned i = 0; i < deaf_count; i++)
        env_stream_close(deaf_streams[i]);
    env_listener_close(listener);
    finish();
    buf_free(&d->wire);
}

/* Whatever it is that answers there: nothing but hello was said to it. */
TEST(peers_look_closely_at_hello)
{
    static const struct {
        const char *head;
        size_t len;
        const uint8_t *cluster;
        const char *why;
    } rows[] = {
        { "\x0a\0\x10\x01\x1a\x10", 6, cluster_other, "a node of another cluster" },
        { "\x0a\0\x10\x02\x1a\x10", 6, cluster_ours, "it speaks protocol 2" },
        { "\x10\x01\x1a\x10", 4, cluster_ours, "something else" },             /* no status */
        { "\x0a\0\x0a\0\x10\x01\x1a\x10", 8, cluster_ours, "something else" }, /* two */
        { "\x0a\x02\x08\x0d\x10\x01\x1a\x10", 8, cluster_ours, "it refuses us" },
        { "\x0a\0\x10\x01\x1a\x70", 6, cluster_ours, "something else" }, /* cut off */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        begin(36, 2);
        struct deaf d = deaf_peer(true);
        d.head = rows[i].head;
        d.head_len = rows[i].len;
        d.cluster = rows[i].cluster;
        struct env_listener *listener = deaf_listen(&d);
        send_to(a, 2, 10);
        WAIT(status_of(a, 2).lost > 0);
        CHECK_CONTAINS(status_of(a, 2).why, rows[i].why);
        CHECK_EQ(status_of(a, 2).sent, 0);
        deaf_end(&d, listener);
    }
}

/* A slow reader and a mute one are given up after silent_ms, not before, and tried again. */
static void check_silent(bool reading)
{
    struct ask q;
    begin(40 + reading, 2);
    struct deaf d = deaf_peer(reading);
    struct env_listener *listener = deaf_listen(&d);
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
    deaf_end(&d, listener);
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
