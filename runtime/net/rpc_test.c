/* The server against raw peers in the simulated world, where bytes come one by one and time is virtual. What needs
 * real sockets is in rpc_uv_test.c. */
#include "base/prng.h"
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
}

static void seconds(uint64_t n)
{
    sim_world_run_for(world, n * 1000000000u);
}

static void one_byte_segments(void)
{
    struct sim_net net = sim_world_net_default();
    net.segment_least = net.segment_most = 1;
    sim_world_set_net(world, &net);
}

TEST(net_server_answers_after_hello)
{
    begin(1, limits_small());
    struct peer p;
    struct net_frame frame;
    peer_greet(&p, f);
    peer_request(&p, ECHO, 42, BYTES("hello there"));
    WAIT(peer_frame(&p, &frame));
    CHECK_EQ(frame.kind, NET_FRAME_RESPONSE);
    CHECK_EQ(frame.method, ECHO);
    CHECK_EQ(frame.request_id, 42);
    CHECK_BYTES(frame.body, BYTES("hello there"));
    peer_end(&p);
    WAIT(f->disconnects == 1);
    finish();
}

TEST(net_server_hello_tells_who_it_is)
{
    begin(2, limits_small());
    struct peer p;
    struct net_frame frame;
    struct pb_field field;
    uint64_t protocol = 0, node = 0, frame_max = 0, inflight = 0;
    struct bytes cluster = { 0 };
    peer_connect(&p, f);
    peer_send_hello(&p, 1, (struct bytes){ 0 }); /* a client that was given an address alone */
    WAIT(peer_frame(&p, &frame));
    while (pb_next(&frame.body, &field)) {
        protocol = field.number == 2 ? field.value : protocol;
        cluster = field.number == 3 ? field.bytes : cluster;
        node = field.number == 4 ? field.value : node;
        frame_max = field.number == 7 ? field.value : frame_max;
        inflight = field.number == 8 ? field.value : inflight;
    }
    CHECK_EQ(protocol, 1);
    CHECK_BYTES(cluster, bytes_from(cluster_ours, 16));
    CHECK_EQ(node, 7);
    CHECK_EQ(frame_max, NET_FRAME_MAX);
    CHECK_EQ(inflight, 64);
    peer_end(&p);
    finish();
}

TEST(net_server_takes_bytes_one_by_one_and_all_at_once)
{
    begin(3, limits_small());
    one_byte_segments();
    struct peer p;
    struct net_frame frame;
    peer_greet(&p, f);
    struct buf all = { 0 };
    for (uint64_t id = 1; id <= 20; id++)
        CHECK_EQ(net_frame_append(&all, &(struct net_frame){ .kind = NET_FRAME_REQUEST,
                                                             .method = ECHO,
                                                             .request_id = id,
                                                             .body = BYTES("abcdefgh") }),
                 ERR_OK);
    peer_send(&p, buf_bytes(&all));
    for (uint64_t id = 1; id <= 20; id++) {
        WAIT(peer_frame(&p, &frame));
        CHECK_EQ(frame.request_id, id);
    }
    buf_free(&all);
    peer_end(&p);
    finish();
}

TEST(net_server_carries_large_bodies_both_ways)
{
    begin(4, limits_small());
    struct peer p;
    struct net_frame frame;
    peer_greet(&p, f);
    struct buf body = { 0 };
    for (uint32_t i = 0; i < 300000; i++)
        CHECK_EQ(buf_append(&body, bytes_from(&i, sizeof i)), ERR_OK);
    for (uint64_t id = 1; id <= 3; id++) {
        peer_request(&p, ECHO, id, buf_bytes(&body));
        peer_request(&p, ECHO, id + 100, BYTES("small")); /* right behind, in the same reads */
        WAIT(peer_frame(&p, &frame));
        CHECK_EQ(frame.request_id, id);
        CHECK_BYTES(frame.body, buf_bytes(&body));
        WAIT(peer_frame(&p, &frame));
        CHECK_EQ(frame.request_id, id + 100);
    }
    buf_free(&body);
    peer_end(&p);
    finish();
}

TEST(net_server_replies_in_any_order_and_keeps_bodies)
{
    begin(5, limits_small());
    struct peer p;
    struct net_frame frame;
    peer_greet(&p, f);
    peer_request(&p, LATER, 1, BYTES("first"));
    peer_request(&p, LATER, 2, BYTES("second"));
    for (uint64_t id = 10; id < 30; id++) /* meanwhile the slab is written on */
        peer_request(&p, ECHO, id, BYTES("noise that must not touch the held ones"));
    WAIT(f->handled == 22);
    net_call_reply_bytes(f->held[1], net_call_body(f->held[1]));
    net_call_reply_bytes(f->held[0], net_call_body(f->held[0]));
    f->held_count = 0;
    uint64_t order[2] = { 0 };
    for (size_t seen = 0; seen < 2;) {
        WAIT(peer_frame(&p, &frame));
        if (frame.request_id > 2)
            continue;
        CHECK_BYTES(frame.body, frame.request_id == 1 ? BYTES("first") : BYTES("second"));
        order[seen++] = frame.request_id;
    }
    CHECK_EQ(order[0], 2);
    CHECK_EQ(order[1], 1);
    peer_end(&p);
    finish();
}

TEST(net_server_knows_what_it_does_not_know)
{
    begin(6, limits_small());
    struct peer p;
    struct net_frame frame;
    peer_greet(&p, f);
    peer_request(&p, 0x6666, 5, BYTES("?"));
    WAIT(peer_frame(&p, &frame));
    CHECK_EQ(status_of(&frame).code, ERR_UNIMPLEMENTED);
    CHECK(message_has(status_of(&frame).message, "0x6666"));
    peer_send_frame(
        &p, (struct net_frame){
                .kind = NET_FRAME_REQUEST, .method = ECHO, .request_id = 6, .raw = BYTES("r") });
    WAIT(peer_frame(&p, &frame));
    CHECK_EQ(status_of(&frame).code, ERR_INVALID_ARGUMENT);
    peer_request(&p, ECHO, 7, BYTES("still here"));
    WAIT(peer_frame(&p, &frame));
    CHECK_BYTES(frame.body, BYTES("still here"));
    peer_end(&p);
    finish();
}

TEST(net_server_does_no_work_whose_deadline_is_over)
{
    struct net_limits limits = limits_small();
    limits.inflight_max = 1;
    begin(7, limits);
    struct peer p;
    struct net_frame frame;
    peer_greet(&p, f);
    peer_request(&p, LATER, 1, BYTES("holds the only place"));
    peer_send_frame(
        &p, (struct net_frame){
                .kind = NET_FRAME_REQUEST, .method = ECHO, .deadline_ms = 100, .request_id = 2 });
    peer_send_frame(
        &p, (struct net_frame){
                .kind = NET_FRAME_REQUEST, .method = ECHO, .deadline_ms = 60000, .request_id = 3 });
    WAIT(f->held_count == 1);
    CHECK_EQ(net_call_deadline(f->held[0]), UINT64_MAX);
    seconds(1);
    answer_held(f);
    WAIT(peer_frame(&p, &frame) && frame.request_id == 1);
    WAIT(peer_frame(&p, &frame));
    CHECK_EQ(frame.request_id, 2);
    CHECK_EQ(status_of(&frame).code, ERR_DEADLINE_EXCEEDED);
    WAIT(peer_frame(&p, &frame));
    CHECK_EQ(frame.request_id, 3);
    CHECK_EQ(f->handled, 2);
    peer_end(&p);
    finish();
}

TEST(net_server_cancels_and_pings)
{
    begin(8, limits_small());
    struct peer p;
    struct net_frame frame;
    peer_greet(&p, f);
    peer_request(&p, LATER, 9, BYTES("long"));
    WAIT(f->held_count == 1);
    for (int i = 0; i < 2; i++) /* the second has no effect */
        peer_send_frame(&p, (struct net_frame){ .kind = NET_FRAME_CANCEL, .request_id = 9 });
    peer_send_frame(
        &p, (struct net_frame){ .kind = NET_FRAME_CANCEL, .request_id = 10 }); /* nobody's */
    peer_send_frame(&p, (struct net_frame){ .kind = NET_FRAME_PING, .request_id = 77 });
    WAIT(peer_frame(&p, &frame));
    CHECK_EQ(frame.kind, NET_FRAME_PING);
    CHECK_EQ(frame.method, 1);
    CHECK_EQ(frame.request_id, 77);
    CHECK_EQ(f->cancelled, 1);
    net_call_fail(f->held[0], ERR_CANCELLED, "as you wish");
    f->held_count = 0;
    WAIT(peer_frame(&p, &frame));
    CHECK_EQ(status_of(&frame).code, ERR_CANCELLED);
    peer_end(&p);
    finish();
}

TEST(net_server_cancels_what_a_lost_connection_asked)
{
    begin(9, limits_small());
    struct peer p;
    peer_greet(&p, f);
    peer_request(&p, LATER, 1, BYTES("body that outlives its connection"));
    peer_request(&p, LATER, 2, BYTES("and another"));
    WAIT(f->held_count == 2);
    uint64_t connection = net_call_connection(f->held[0]);
    CHECK_EQ(net_call_connection(f->held[1]), connection);
    peer_end(&p);
    WAIT(f->disconnects == 1);
    CHECK_EQ(f->last_disconnected, connection);
    CHECK_EQ(f->cancelled, 2);
    CHECK_BYTES(net_call_body(f->held[0]), BYTES("body that outlives its connection"));
    CHECK_EQ(stats_of(f).inflight, 2);
    answer_held(f); /* dropped */
    CHECK_EQ(stats_of(f).inflight, 0);
    CHECK_EQ(stats_of(f).inflight_bytes, 0);
    CHECK_EQ(stats_of(f).connections, 0);
    finish();
}

TEST(net_server_tells_strangers_what_it_is)
{
    static const char *const strangers[] = {
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "hello?\n",
        "\x16\x03\x01\x02\x00\x01\x00",
        "SSH-2.0-OpenSSH_9.2\r\n",
        "*1\r\n$4\r\nPING\r\n",
    };
    begin(10, limits_small());
    for (size_t i = 0; i < sizeof strangers / sizeof *strangers; i++) {
        struct peer p;
        peer_connect(&p, f);
        peer_send(&p, i == 2 ? bytes_from(strangers[i], 7) : BYTES(strangers[i]));
        WAIT(p.ended);
        CHECK(message_has(buf_bytes(&p.in), "this port speaks Flotilla's binary protocol"));
        CHECK_EQ(p.in.data[p.in.len - 1], '\n');
        CHECK_EQ(message_has(buf_bytes(&p.in), "HTTP/1.1 400"), i == 0);
        peer_end(&p);
    }
    CHECK_EQ(stats_of(f).protocol_errors, 5);
    WAIT(stats_of(f).connections == 0);
    finish();
}

/* Sends bytes, expects a frame with a Status and the end of the connection. */
static void refused_with(struct bytes wire, err_t want, const char *part)
{
    struct peer p;
    struct net_frame frame;
    peer_connect(&p, f);
    peer_send(&p, wire);
    WAIT(peer_frame(&p, &frame));
    CHECK_EQ(status_of(&frame).code, want);
    CHECK(message_has(status_of(&frame).message, part));
    WAIT(p.ended);
    peer_end(&p);
}

TEST(net_server_refuses_hellos_that_do_not_fit)
{
    begin(11, limits_small());
    static const uint8_t theirs[16] = { 0xbb, 9 };
    static const struct {
        uint32_t protocol;
        const uint8_t *cluster;
        err_t want;
        const char *part;
    } cases[] = {
        { 2, cluster_ours, ERR_UPGRADE_REQUIRED, "protocols 2 to 2" },
        { 1, theirs, ERR_FAILED_PRECONDITION, "bb090000000000000000000000000000" },
        { 1, theirs, ERR_FAILED_PRECONDITION, "aa010203000000000000000000000000" },
    };
    for (size_t i = 0; i < 3; i++) {
        struct peer p;
        struct net_frame frame;
        peer_connect(&p, f);
        peer_send_hello(&p, cases[i].protocol, bytes_from(cases[i].cluster, 16));
        peer_request(&p, ECHO, 2, BYTES("too early"));
        WAIT(peer_frame(&p, &frame));
        CHECK_EQ(frame.method, NET_HELLO);
        CHECK_EQ(status_of(&frame).code, cases[i].want);
        CHECK(message_has(status_of(&frame).message, cases[i].part));
        WAIT(p.ended);
        CHECK(!peer_frame(&p, &frame));
        peer_end(&p);
    }
    CHECK_EQ(f->handled, 0);
    CHECK_EQ(stats_of(f).refused, 3);
    finish();
}

TEST(net_server_refuses_damaged_and_oversized_frames)
{
    begin(12, limits_small());
    struct buf wire = { 0 };
    struct net_frame echo_first = { .kind = NET_FRAME_REQUEST, .method = ECHO, .request_id = 1 };
    CHECK_EQ(net_frame_append(&wire, &echo_first), ERR_OK);
    refused_with(buf_bytes(&wire), ERR_FAILED_PRECONDITION, "hello");
    wire.data[20] ^= 1; /* body_len */
    refused_with(buf_bytes(&wire), ERR_INVALID_ARGUMENT, "damaged");
    wire.data[20] ^= 1;
    wire.data[24] ^= 0x80; /* checksum */
    refused_with(buf_bytes(&wire), ERR_INVALID_ARGUMENT, "damaged");
    uint8_t head[] = { 0, 0x10, 0, 0, NET_FRAME_VERSION }; /* 4,096 and 4 */
    refused_with(bytes_from(head, 5), ERR_TOO_LARGE, "limit of 4096");
    CHECK_EQ(f->handled, 0);
    buf_free(&wire);

    struct peer p;
    struct net_frame frame;
    peer_greet(&p, f); /* after hello the limit is frame_max */
    store_u32(head, NET_FRAME_MAX - 3);
    peer_send(&p, bytes_from(head, 5));
    WAIT(peer_frame(&p, &frame));
    CHECK_EQ(frame.kind, NET_FRAME_ERROR);
    CHECK_EQ(status_of(&frame).code, ERR_TOO_LARGE);
    WAIT(p.ended);
    peer_end(&p);
    finish();
}

TEST(net_server_survives_a_cut_at_every_byte)
{
    begin(13, limits_small());
    struct buf wire = { 0 };
    uint8_t body[] = { 0x08, 1, 0x10, 1 };
    CHECK_EQ(net_frame_append(&wire, &(struct net_frame){ .kind = NET_FRAME_REQUEST,
                                                          .method = NET_HELLO,
                                                          .request_id = 1,
                                                          .body = bytes_from(body, 4) }),
             ERR_OK);
    CHECK_EQ(net_frame_append(&wire, &(struct net_frame){ .kind = NET_FRAME_REQUEST,
                                                          .method = ECHO,
                                                          .request_id = 2,
                                                          .body = BYTES("payload") }),
             ERR_OK);
    for (size_t n = 0; n < wire.len; n++) {
        struct peer p;
        peer_connect(&p, f);
        if (n > 0)
            peer_send(&p, bytes_from(wire.data, n));
        env_stream_end(p.stream);
        WAIT(p.ended);
        peer_end(&p);
    }
    CHECK_EQ(f->handled, 0);
    WAIT(stats_of(f).connections == 0);
    buf_free(&wire);
    finish();
}

TEST(net_server_survives_resets_at_any_time)
{
    for (uint64_t seed = 100; seed < 130; seed++) {
        begin(seed, limits_small());
        struct sim_net net = sim_world_net_default();
        net.reset_per_million = 20000;
        net.segment_most = 200;
        sim_world_set_net(world, &net);
        struct peer p[4] = { 0 };
        for (size_t i = 0; i < 4; i++)
            peer_start(&p[i], f);
        for (size_t i = 0; i < 4; i++) {
            WAIT(p[i].connected);
            if (p[i].stream == NULL)
                continue;
            peer_send_hello(&p[i], 1, bytes_from(cluster_ours, 16));
            for (uint64_t id = 2; id < 40; id++)
                peer_request(&p[i], id % 3 == 0 ? LATER : ECHO, id, BYTES("some body or other"));
        }
        seconds(1);
        answer_held(f);
        seconds(1);
        for (size_t i = 0; i < 4; i++)
            peer_end(&p[i]);
        WAIT(stats_of(f).connections == 0);
        CHECK_EQ(stats_of(f).inflight, 0);
        CHECK_EQ(stats_of(f).inflight_bytes, 0);
        finish();
    }
}

/* One of many peers that ask at random, and check that every answer is theirs and comes once. */
struct asker {
    struct peer peer;
    uint64_t asked, answered;
    bool seen[256];
};

static struct buf random_body(struct prng *p, uint64_t id)
{
    struct buf b = { 0 };
    size_t len = prng_chance(p, 1, 20) ? prng_below(p, 200000) : prng_below(p, 300);
    uint8_t *at = buf_reserve(&b, len + 8);
    store_u64(at, id);
    memset(at + 8, (int)(id & 0xff), len);
    b.len = len + 8;
    return b;
}

static void ask(struct asker *a, struct prng *p)
{
    uint64_t id = ++a->asked;
    struct buf body = random_body(p, id);
    peer_request(&a->peer, prng_chance(p, 1, 3) ? LATER : ECHO, id, buf_bytes(&body));
    if (prng_chance(p, 1, 10))
        peer_send_frame(&a->peer, (struct net_frame){ .kind = NET_FRAME_CANCEL,
                                                      .request_id = 1 + prng_below(p, id) });
    buf_free(&body);
}

static void take_answers(struct asker *a)
{
    struct net_frame frame;
    while (peer_frame(&a->peer, &frame)) {
        uint64_t id = frame.request_id;
        CHECK_EQ(frame.kind, NET_FRAME_RESPONSE);
        CHECK(id >= 1 && id <= a->asked && !a->seen[id]);
        a->seen[id] = true;
        a->answered++;
        CHECK(frame.body.len >= 8 && load_u64(frame.body.data) == id);
        for (size_t i = 8; i < frame.body.len; i++)
            if (frame.body.data[i] != (id & 0xff))
                fail_msg("byte %zu of answer %llu is another's", i, (unsigned long long)id);
    }
}

static void answer_some(struct prng *p)
{
    for (size_t i = 0; i < f->held_count;)
        if (prng_chance(p, 1, 2)) {
            net_call_reply_bytes(f->held[i], net_call_body(f->held[i]));
            f->held[i] = f->held[--f->held_count];
        } else {
            i++;
        }
}

TEST(net_server_answers_everybody_once_under_any_schedule)
{
    enum { PEERS = 5, ASKS = 200 };
    static struct asker askers[PEERS];
    for (uint64_t seed = 200; seed < 240; seed++) {
        struct prng p;
        struct net_limits limits = limits_small();
        struct sim_net net = sim_world_net_default();
        prng_seed(&p, seed);
        limits.inflight_max = 1 + (uint32_t)prng_below(&p, 20);
        limits.backlog_max = 1000 + prng_below(&p, 1000000);
        begin(seed, limits);
        net.segment_most = 1 + prng_below(&p, 20000);
        sim_world_set_net(world, &net);
        for (int i = 0; i < PEERS; i++) {
            askers[i] = (struct asker){ 0 };
            peer_greet(&askers[i].peer, f);
        }
        for (bool done = false; !done;) {
            done = true;
            for (int i = 0; i < PEERS; i++) {
                struct asker *a = &askers[i];
                for (uint64_t n = prng_below(&p, 30); n > 0 && a->asked < ASKS; n--)
                    ask(a, &p);
                take_answers(a);
                CHECK(!a->peer.ended);
                done = done && a->answered == ASKS;
            }
            sim_world_run_for(world, 1 + prng_below(&p, 2000000));
            answer_some(&p);
        }
        CHECK_EQ(stats_of(f).requests, PEERS * ASKS);
        CHECK_EQ(stats_of(f).replies, PEERS * ASKS);
        CHECK_EQ(stats_of(f).inflight_bytes, 0);
        for (int i = 0; i < PEERS; i++)
            peer_end(&askers[i].peer);
        WAIT(stats_of(f).connections == 0);
        finish();
    }
}

TEST(net_server_stops_reading_at_the_window)
{
    struct net_limits limits = limits_small();
    limits.inflight_max = 8;
    begin(14, limits);
    struct peer p;
    struct net_frame frame;
    peer_greet(&p, f);
    for (uint64_t id = 1; id <= 100; id++)
        peer_request(&p, LATER, id, BYTES("x"));
    size_t answered = 0;
    while (answered < 100) {
        seconds(1);
        CHECK(f->held_count > 0 && f->held_count <= 8); /* never more, and never none */
        answered += f->held_count;
        answer_held(f);
    }
    for (uint64_t id = 1; id <= 100; id++) {
        WAIT(peer_frame(&p, &frame));
        CHECK_EQ(frame.request_id, id);
    }
    peer_end(&p);
    finish();
}

TEST(net_server_is_busy_above_its_bytes)
{
    struct net_limits limits = limits_small();
    limits.frame_max = 8192;
    limits.inflight_bytes_max = 10000;
    begin(15, limits);
    struct peer p;
    struct net_frame frame;
    char body[4000];
    memset(body, 'x', sizeof body);
    peer_greet(&p, f);
    for (uint64_t id = 1; id <= 3; id++)
        peer_request(&p, LATER, id, bytes_from(body, sizeof body));
    WAIT(peer_frame(&p, &frame));
    CHECK_EQ(frame.request_id, 3);
    CHECK_EQ(status_of(&frame).code, ERR_SERVER_IS_BUSY);
    CHECK(status_of(&frame).backoff_ms > 0);
    CHECK_EQ(f->held_count, 2);
    answer_held(f);
    WAIT(peer_frame(&p, &frame));
    WAIT(peer_frame(&p, &frame)); /* both answers have left */
    seconds(1);
    peer_request(&p, LATER, 4, bytes_from(body, sizeof body));
    WAIT(f->held_count == 1);
    peer_end(&p);
    finish();
}

TEST(net_server_closes_those_who_are_slow_to_say_hello)
{
    begin(16, limits_small());
    struct peer silent, loris;
    peer_connect(&silent, f);
    peer_connect(&loris, f);
    struct buf wire = { 0 };
    uint8_t body[] = { 0x08, 1, 0x10, 1 };
    CHECK_EQ(net_frame_append(&wire, &(struct net_frame){ .kind = NET_FRAME_REQUEST,
                                                          .method = NET_HELLO,
                                                          .request_id = 1,
                                                          .body = bytes_from(body, 4) }),
             ERR_OK);
    for (size_t n = 0; n < 7 && !loris.ended; n++) { /* a byte a second does not help */
        peer_send(&loris, bytes_from(wire.data + n, 1));
        seconds(1);
        if (n == 3)
            CHECK(!silent.ended && !loris.ended);
    }
    CHECK(silent.ended && loris.ended);
    CHECK_EQ(stats_of(f).idle_closed, 2);
    buf_free(&wire);
    peer_end(&silent);
    peer_end(&loris);
    finish();
}

TEST(net_server_closes_the_idle_and_keeps_those_who_ping_or_wait)
{
    begin(17, limits_small());
    struct peer idle, pings, waits, half;
    peer_greet(&idle, f);
    peer_greet(&pings, f);
    peer_greet(&waits, f);
    peer_greet(&half, f);
    peer_request(&waits, LATER, 1, BYTES("patient"));
    uint8_t head[] = { 100, 0, 0, 0, NET_FRAME_VERSION };
    peer_send(&half, bytes_from(head, 5));
    for (int i = 0; i < 7; i++) {
        peer_send_frame(&pings, (struct net_frame){ .kind = NET_FRAME_PING, .request_id = 1 });
        if (i < 5 && i > 0)
            peer_send(&half, bytes_from("x", 1)); /* a frame that never ends */
        seconds(10);
    }
    CHECK(idle.ended);
    CHECK(half.ended);
    CHECK(!pings.ended);
    CHECK(!waits.ended);
    CHECK_EQ(stats_of(f).idle_closed, 2);
    peer_end(&idle);
    peer_end(&pings);
    peer_end(&waits);
    peer_end(&half);
    finish();
}

TEST(net_server_closes_those_who_do_not_read)
{
    begin(18, limits_small());
    struct peer p = { .deaf = true };
    peer_start(&p, f);
    WAIT(p.connected);
    peer_send_hello(&p, 1, bytes_from(cluster_ours, 16));
    for (uint64_t id = 1; id <= 60; id++)
        peer_big(&p, id, 256 * 1024);
    seconds(1);
    size_t handled = f->handled;
    CHECK(handled >= 4 && handled < 12); /* 1 MiB of backlog, and what the network holds */
    seconds(4);
    CHECK_EQ(f->handled, handled);
    CHECK_EQ(stats_of(f).slow_closed, 1);
    peer_end(&p);
    WAIT(stats_of(f).connections == 0);
    finish();
}

TEST(net_server_goes_on_with_a_reader_that_catches_up)
{
    begin(19, limits_small());
    struct peer p = { .deaf = true };
    struct net_frame frame;
    peer_start(&p, f);
    WAIT(p.connected);
    peer_send_hello(&p, 1, bytes_from(cluster_ours, 16));
    for (uint64_t id = 1; id <= 40; id++)
        peer_big(&p, id, 256 * 1024);
    seconds(1);
    CHECK(f->handled < 40);
    env_stream_resume(p.stream);
    WAIT(peer_frame(&p, &frame)); /* hello */
    for (uint64_t id = 1; id <= 40; id++) {
        WAIT(peer_frame(&p, &frame));
        CHECK_EQ(frame.request_id, id);
        CHECK_EQ(frame.body.len, 256 * 1024);
    }
    CHECK_EQ(stats_of(f).slow_closed, 0);
    peer_end(&p);
    finish();
}

TEST(net_server_has_a_limit_of_connections)
{
    struct net_limits limits = limits_small();
    limits.connections_max = 2;
    begin(20, limits);
    struct peer a, b, c;
    struct net_frame frame;
    peer_greet(&a, f);
    peer_greet(&b, f);
    peer_connect(&c, f);
    WAIT(peer_frame(&c, &frame));
    CHECK_EQ(frame.kind, NET_FRAME_ERROR);
    CHECK_EQ(status_of(&frame).code, ERR_RESOURCE_EXHAUSTED);
    CHECK(message_has(status_of(&frame).message, "limit of 2 connections"));
    WAIT(c.ended);
    peer_end(&c);
    peer_end(&a);
    WAIT(stats_of(f).connections == 1);
    peer_greet(&c, f); /* there is room again */
    peer_end(&c);
    peer_end(&b);
    finish();
}

static bool admit_nobody(void *user, const struct env_peer *peer)
{
    (void)user, (void)peer;
    return false;
}

TEST(net_server_admits_whom_it_should)
{
    world = sim_world_new(21, NULL);
    fixture_open_admitting(f, limits_small(), "127.0.0.1:0", admit_nobody);
    struct peer p;
    struct net_frame frame;
    peer_connect(&p, f);
    WAIT(peer_frame(&p, &frame));
    CHECK_EQ(status_of(&frame).code, ERR_PERMISSION_DENIED);
    WAIT(p.ended);
    peer_end(&p);
    finish();
}

TEST(net_server_drains)
{
    begin(22, limits_small());
    struct peer p;
    struct net_frame frame;
    peer_greet(&p, f);
    peer_request(&p, LATER, 1, BYTES("under way"));
    WAIT(f->held_count == 1);
    net_server_drain(f->server, on_drained, f);
    peer_request(&p, ECHO, 2, BYTES("too late"));
    WAIT(peer_frame(&p, &frame));
    CHECK_EQ(frame.request_id, 2);
    CHECK_EQ(status_of(&frame).code, ERR_UNAVAILABLE);
    seconds(1);
    CHECK(!f->drained);
    answer_held(f);
    WAIT(f->drained);
    WAIT(peer_frame(&p, &frame));
    CHECK_EQ(frame.request_id, 1);
    net_server_part(f->server); /* whatever is still on its way will never be done */
    WAIT(peer_frame(&p, &frame));
    CHECK_EQ(frame.kind, NET_FRAME_ERROR);
    CHECK_EQ(frame.request_id, 0);
    WAIT(p.ended);
    peer_end(&p);
    finish();
}

TEST(net_server_close_outlives_its_calls)
{
    begin(23, limits_small());
    struct peer p;
    peer_greet(&p, f);
    peer_request(&p, LATER, 1, BYTES("the handler is slow"));
    WAIT(f->held_count == 1);
    net_server_close(f->server);
    seconds(1);
    CHECK_EQ(f->cancelled, 1);
    CHECK(p.ended);
    CHECK_BYTES(net_call_body(f->held[0]), BYTES("the handler is slow"));
    answer_held(f);
    peer_end(&p);
    sim_world_close(world);
}

TEST(net_server_refuses_a_config_without_limits)
{
    world = sim_world_new(24, NULL);
    struct net_server *s;
    struct err e = { 0 };
    struct net_server_config config = { .address = "127.0.0.1:0",
                                        .identity = "x",
                                        .limits = limits_small() };
    config.limits.slow_ms = 0;
    CHECK_EQ(net_server_open(the_env(), NULL, &config, &s, &e), ERR_INVALID_ARGUMENT);
    config.limits = limits_small();
    config.limits.inflight_bytes_max = 100;
    CHECK_EQ(net_server_open(the_env(), NULL, &config, &s, &e), ERR_INVALID_ARGUMENT);
    CHECK_CONTAINS(e.msg, "inflight_bytes_max");
    sim_world_close(world);
}

TEST_MAIN()
