/* What the client makes of a server that loses, refuses, delays, damages and ends. */
#include "fake_server.inc"

#define KEY   FLOTILLA_TEXT("key")
#define VALUE FLOTILLA_TEXT("value")

/* ---- Scripts ---- */

static void serve_ok(struct fake *s)
{
    struct net_frame f;
    if (!fake_hello(s))
        return;
    while (fake_request(s, &f))
        fake_answer(s, &f, bytes_from("\x0a\x00", 2)); /* a Status that says OK */
}

static void take_one_and_close(struct fake *s)
{
    struct net_frame f;
    if (fake_hello(s))
        fake_request(s, &f);
}

/* A node that stops: what it did not answer, it says, was not done. */
static void take_one_and_part(struct fake *s)
{
    struct net_frame f, farewell = { .kind = NET_FRAME_ERROR };
    struct buf wire = { 0 };
    uint8_t body[64], *at = body;
    if (!fake_hello(s) || !fake_request(s, &f))
        return;
    pb_put_u64(&at, 1, ERR_UNAVAILABLE);
    pb_put_bytes(&at, 2, BYTES("stopping"));
    farewell.body = bytes_from(body, (size_t)(at - body));
    CHECK_EQ(net_frame_append(&wire, &farewell), ERR_OK);
    fake_send(s, buf_bytes(&wire));
    buf_free(&wire);
}

static void close_after_hello(struct fake *s)
{
    fake_hello(s);
}

static void close_at_once(struct fake *s)
{
    (void)s;
}

static void never_answer(struct fake *s)
{
    struct net_frame f;
    if (!fake_hello(s))
        return;
    while (fake_request(s, &f)) {}
}

static void say_busy_twice(struct fake *s)
{
    struct net_frame f;
    if (!fake_hello(s))
        return;
    for (int n = 0; fake_request(s, &f); n++)
        if (n < 2)
            fake_answer_status(s, &f, ERR_SERVER_IS_BUSY, "full", 30);
        else
            fake_answer(s, &f, bytes_from("\x0a\x00", 2));
}

static void always_busy(struct fake *s)
{
    struct net_frame f;
    if (!fake_hello(s))
        return;
    while (fake_request(s, &f))
        fake_answer_status(s, &f, ERR_SERVER_IS_BUSY, "full", 50);
}

static int put(struct flotilla *db, struct flotilla_error *e)
{
    return flotilla_raw_put(db, FLOTILLA_NAMESPACE, KEY, VALUE, e);
}

static int get(struct flotilla *db, struct flotilla_error *e)
{
    struct flotilla_value v;
    int rc = flotilla_get(db, FLOTILLA_NAMESPACE, KEY, &v, e);
    flotilla_value_free(&v);
    return rc;
}

/* ---- Outcomes ---- */

TEST(flotilla_write_without_an_answer_is_undetermined_and_not_sent_again)
{
    struct fake s = { .scripts = { take_one_and_close, serve_ok } };
    struct flotilla_error e;
    fake_start(&s);
    struct flotilla *db = fake_connect(&s, 10000);
    CHECK_EQ(put(db, &e), FLOTILLA_UNDETERMINED);
    CHECK_CONTAINS(e.message, "may or may not");
    CHECK_EQ(flotilla_error_class(e.code), FLOTILLA_CLASS_UNDETERMINED);
    CHECK_EQ(atomic_load(&s.requests), 1);
    CHECK_EQ(put(db, &e), FLOTILLA_OK); /* the handle is as good as before */
    CHECK_EQ(atomic_load(&s.requests), 2);
    flotilla_close(db);
    fake_stop(&s);
}

TEST(flotilla_write_that_a_stopping_node_disowns_is_sent_again)
{
    struct fake s = { .scripts = { take_one_and_part, serve_ok } };
    struct flotilla_error e;
    fake_start(&s);
    struct flotilla *db = fake_connect(&s, 10000);
    CHECK_EQ(put(db, &e), FLOTILLA_OK);
    CHECK_EQ(atomic_load(&s.requests), 2);
    flotilla_close(db);
    fake_stop(&s);
}

TEST(flotilla_read_without_an_answer_is_asked_again)
{
    struct fake s = { .scripts = { take_one_and_close, close_at_once, take_one_and_close,
                                   serve_ok } };
    struct flotilla_error e;
    fake_start(&s);
    struct flotilla *db = fake_connect(&s, 10000);
    CHECK_EQ(get(db, &e), FLOTILLA_OK);
    CHECK_EQ(atomic_load(&s.requests), 3);
    CHECK_EQ(atomic_load(&s.connections), 4);
    flotilla_close(db);
    fake_stop(&s);
}

TEST(flotilla_write_that_was_not_sent_waits_for_a_connection)
{
    struct fake s = { .scripts = { close_after_hello, close_at_once, serve_ok } };
    struct flotilla_error e;
    fake_start(&s);
    struct flotilla *db = fake_connect(&s, 10000);
    while (flotilla_fd(db) >= 0) /* the client has seen the end before it writes */
        flotilla_wait(db, 20);
    CHECK_EQ(put(db, &e), FLOTILLA_OK);
    CHECK_EQ(atomic_load(&s.requests), 1);
    flotilla_close(db);
    fake_stop(&s);
}

TEST(flotilla_refused_write_is_sent_again_after_a_pause)
{
    struct fake s = { .scripts = { say_busy_twice } };
    struct flotilla_error e;
    fake_start(&s);
    struct flotilla *db = fake_connect(&s, 10000);
    CHECK_EQ(put(db, &e), FLOTILLA_OK);
    CHECK_EQ(atomic_load(&s.requests), 3);
    flotilla_close(db);
    fake_stop(&s);
}

TEST(flotilla_busy_server_is_told_when_there_is_no_time_left)
{
    struct fake s = { .scripts = { always_busy } };
    struct flotilla_error e;
    fake_start(&s);
    struct flotilla *db = fake_connect(&s, 2000);
    CHECK_EQ(put(db, &e), FLOTILLA_SERVER_IS_BUSY);
    CHECK_EQ(e.backoff_ms, 50);
    CHECK_STR(e.message, "full");
    CHECK(atomic_load(&s.requests) >= 2 &&
          atomic_load(&s.requests) <= 41); /* 2,000 ms of pauses of at least 50 */
    flotilla_close(db);
    fake_stop(&s);
}

TEST(flotilla_deadline_ends_reads_and_leaves_writes_open)
{
    struct fake s = { .scripts = { never_answer } };
    struct flotilla_error e;
    fake_start(&s);
    struct flotilla *db = fake_connect(&s, 1000);
    CHECK_EQ(get(db, &e), FLOTILLA_DEADLINE_EXCEEDED);
    CHECK_EQ(put(db, &e), FLOTILLA_UNDETERMINED);
    CHECK_CONTAINS(e.message, "no answer within the deadline");
    while (atomic_load(&s.cancels) < 2 ||
           atomic_load(&s.pings) < 1) /* the server is told, and asked if it lives */
        flotilla_wait(db, 20);
    CHECK_EQ(atomic_load(&s.requests), 2);
    CHECK_EQ(atomic_load(&s.connections), 1);
    flotilla_close(db);
    fake_stop(&s);
}

TEST(flotilla_deadline_ends_what_was_never_sent)
{
    struct fake s = { .scripts = { never_answer }, .inflight_max = 1 };
    struct flotilla_error e;
    fake_start(&s);
    struct flotilla *db = fake_connect(&s, 1000);
    CHECK_EQ(put(db, &e), FLOTILLA_UNDETERMINED);
    CHECK_EQ(put(db, &e), FLOTILLA_DEADLINE_EXCEEDED); /* the window is full: it stayed here */
    CHECK_CONTAINS(e.message, "nothing was done");
    CHECK_EQ(atomic_load(&s.requests), 1);
    flotilla_close(db);
    fake_stop(&s);
}

/* ---- Every code ---- */

/* Three times with the code, then OK. */
static void answer_with_code(struct fake *s)
{
    struct net_frame f;
    uint8_t body[] = { 0x0a, 2, 0x08, 0 };
    if (!fake_hello(s))
        return;
    for (int n = 0; fake_request(s, &f); n++) {
        body[3] = n < 3 ? (uint8_t) * (unsigned *)s->user : 0;
        fake_answer(s, &f, bytes_from(body, sizeof body));
    }
}

TEST(flotilla_every_code_of_a_write_arrives_and_only_refusals_are_repeated)
{
    for (unsigned code = 1; code < 64; code++) {
        struct fake s = { .scripts = { answer_with_code }, .user = &code };
        struct flotilla_error e;
        fake_start(&s);
        enum flotilla_class class = flotilla_error_class((int)code);
        bool repeated = class == FLOTILLA_CLASS_RETRY_SAME || class == FLOTILLA_CLASS_RETRY_ROUTE;
        struct flotilla *db = fake_connect(&s, 20000);
        bool known = err_is_wire(code) &&
                     code != FLOTILLA_CONFLICT; /* a conflict without its detail is none */
        int want = repeated ? FLOTILLA_OK : known ? (int)code : FLOTILLA_UNDETERMINED;
        CHECK_EQ(put(db, &e), want);
        CHECK_EQ(e.code, want);
        CHECK_EQ(e.message[0] == '\0', repeated);
        CHECK_EQ(atomic_load(&s.requests), repeated ? 4 : 1);
        flotilla_close(db);
        fake_stop(&s);
    }
}

/* ---- Answers that are none ---- */

static const char *const bad_bodies[] = {
    "", "\x10\x01", "\x0a\x05\x08", "\x0a\x00\x0a\x00", "\x08\x00", "\x0a\x00\xff",
};
enum { BAD_BODIES = 6 };

static void answer_badly(struct fake *s)
{
    struct net_frame f;
    if (!fake_hello(s))
        return;
    for (unsigned n = 0; fake_request(s, &f); n++) {
        unsigned i = n / 2 % BAD_BODIES;
        size_t len = i == 0 ? 0 : i == 3 ? 4 : i == 1 || i == 4 ? 2 : 3;
        fake_answer(s, &f, bytes_from(bad_bodies[i], len));
    }
}

TEST(flotilla_answer_that_says_nothing_is_no_success)
{
    struct fake s = { .scripts = { answer_badly } };
    struct flotilla_error e;
    fake_start(&s);
    struct flotilla *db = fake_connect(&s, 10000);
    for (int i = 0; i < BAD_BODIES; i++) {
        CHECK_EQ(put(db, &e), FLOTILLA_UNDETERMINED);
        CHECK_EQ(get(db, &e), FLOTILLA_INTERNAL);
    }
    CHECK_EQ(atomic_load(&s.requests), 2 * BAD_BODIES);
    flotilla_close(db);
    fake_stop(&s);
}

static void answer_damaged(struct fake *s)
{
    struct net_frame f;
    struct buf wire = { 0 };
    if (!fake_hello(s) || !fake_request(s, &f))
        return;
    struct net_frame reply = { .kind = NET_FRAME_RESPONSE,
                               .method = f.method,
                               .request_id = f.request_id,
                               .body = bytes_from("\x0a\x00", 2) };
    if (net_frame_append(&wire, &reply) != ERR_OK)
        abort();
    wire.data[24] ^= 1; /* the checksum */
    fake_send(s, buf_bytes(&wire));
    buf_free(&wire);
    while (fake_frame(s, &f)) {}
}

TEST(flotilla_damaged_frame_ends_the_connection)
{
    struct fake s = { .scripts = { answer_damaged, answer_damaged, serve_ok } };
    struct flotilla_error e;
    fake_start(&s);
    struct flotilla *db = fake_connect(&s, 10000);
    CHECK_EQ(put(db, &e), FLOTILLA_UNDETERMINED);
    CHECK_CONTAINS(e.message, "damaged");
    CHECK_EQ(get(db, &e), FLOTILLA_OK);
    CHECK_EQ(atomic_load(&s.connections), 3);
    flotilla_close(db);
    fake_stop(&s);
}

/* ---- Opening ---- */

static int try_open(const char *endpoint, const char *cluster_id, struct flotilla_error *e)
{
    struct flotilla *db = NULL;
    struct flotilla_options o = {
        .size = sizeof o, .endpoint = endpoint, .cluster_id = cluster_id, .connect_ms = 2000
    };
    int rc = flotilla_open(&o, &db, e);
    CHECK(rc != FLOTILLA_OK && db == NULL);
    return rc;
}

static void speak_http(struct fake *s)
{
    struct net_frame f;
    fake_frame(s, &f);
    fake_send(s, BYTES("HTTP/1.1 400 Bad Request\r\n\r\n"));
}

static void refuse_cluster(struct fake *s)
{
    struct net_frame f;
    if (fake_frame(s, &f))
        fake_answer_status(s, &f, ERR_FAILED_PRECONDITION, "you ask for cluster aa, this is bb", 0);
}

static void full_house(struct fake *s)
{
    struct buf body = { 0 }, wire = { 0 };
    struct net_frame f;
    fake_frame(s, &f);
    if (net_status_append(&body, ERR_RESOURCE_EXHAUSTED, "the limit of 2 connections", 0) != ERR_OK)
        abort();
    f = (struct net_frame){ .kind = NET_FRAME_ERROR,
                            .body = bytes_from(body.data + 2, body.len - 2) };
    if (net_frame_append(&wire, &f) != ERR_OK)
        abort();
    fake_send(s, buf_bytes(&wire));
    buf_free(&body);
    buf_free(&wire);
}

TEST(flotilla_open_says_what_is_wrong)
{
    struct fake s = { .scripts = { speak_http, refuse_cluster, full_house, close_at_once } };
    struct flotilla_error e;
    fake_start(&s);
    CHECK_EQ(try_open(s.endpoint, NULL, &e), FLOTILLA_FAILED_PRECONDITION);
    CHECK_CONTAINS(e.message, "HTTP/1.1 400 Bad Request");
    CHECK_EQ(try_open(s.endpoint, "00112233445566778899aabbccddeeff", &e),
             FLOTILLA_FAILED_PRECONDITION);
    CHECK_CONTAINS(e.message, "cluster aa");
    CHECK_EQ(try_open(s.endpoint, NULL, &e), FLOTILLA_RESOURCE_EXHAUSTED);
    CHECK_CONTAINS(e.message, "limit of 2");
    CHECK_EQ(try_open(s.endpoint, NULL, &e), FLOTILLA_UNAVAILABLE);
    fake_stop(&s);
    CHECK_EQ(try_open(s.endpoint, NULL, &e), FLOTILLA_UNAVAILABLE);
    CHECK_CONTAINS(e.message, "is the node running there?");
    CHECK_EQ(try_open("unix:/nonexistent/socket", NULL, &e), FLOTILLA_UNAVAILABLE);
    CHECK_EQ(try_open("unix:", NULL, &e), FLOTILLA_INVALID_ARGUMENT);
    CHECK_EQ(try_open("", NULL, &e), FLOTILLA_INVALID_ARGUMENT);
    CHECK_EQ(try_open(s.endpoint, "00", &e), FLOTILLA_INVALID_ARGUMENT);
    CHECK_EQ(try_open("no.such.host.invalid:1", NULL, &e), FLOTILLA_UNAVAILABLE);
}

TEST(flotilla_open_knows_the_server)
{
    struct fake s = { .scripts = { serve_ok }, .one_by_one = true };
    struct flotilla_server server;
    fake_start(&s);
    struct flotilla *db = fake_connect(&s, 0);
    CHECK_EQ(flotilla_server(db, &server), FLOTILLA_OK);
    CHECK_STR(server.identity, "flotilla/fake");
    CHECK_STR(server.cluster_id, "aabbccddeeff00112233445566778899");
    CHECK_EQ(server.node_id, 7);
    CHECK_EQ(server.inflight_max, 128);
    flotilla_close(db);
    fake_stop(&s);
}

TEST(flotilla_lazy_handle_fails_when_it_must)
{
    struct flotilla *db;
    struct flotilla_error e;
    struct flotilla_options o = {
        .size = sizeof o, .endpoint = "127.0.0.1:1", .lazy = true, .timeout_ms = 150
    };
    CHECK_EQ(flotilla_open(&o, &db, &e), FLOTILLA_OK);
    CHECK_EQ(flotilla_server(db, &(struct flotilla_server){ 0 }), FLOTILLA_UNAVAILABLE);
    CHECK_EQ(put(db, &e), FLOTILLA_UNAVAILABLE);
    CHECK_CONTAINS(e.message, "nothing was done");
    CHECK_CONTAINS(e.message, "refused");
    flotilla_close(db);
}

/* ---- Many at once ---- */

struct tally {
    unsigned done, ok, undetermined, cancelled, other;
    struct flotilla *db;
    unsigned resubmit;
};

static void count(void *user, const struct flotilla_result *r)
{
    struct tally *t = user;
    struct flotilla_error e;
    t->done++;
    t->ok += r->code == FLOTILLA_OK;
    t->undetermined += r->code == FLOTILLA_UNDETERMINED;
    t->cancelled += r->code == FLOTILLA_CANCELLED;
    t->other +=
        r->code != FLOTILLA_OK && r->code != FLOTILLA_UNDETERMINED && r->code != FLOTILLA_CANCELLED;
    if (t->resubmit > 0) {
        t->resubmit--;
        struct flotilla_op op = { .kind = FLOTILLA_OP_GET, .ns = 1, .key = KEY };
        CHECK_EQ(flotilla_submit(t->db, &op, count, t, &e), FLOTILLA_OK);
        struct flotilla_value v;
        CHECK_EQ(flotilla_get(t->db, 1, KEY, &v, &e),
                 FLOTILLA_FAILED_PRECONDITION); /* a callback must not wait */
    }
}

/* Answers eight at a time, the last first. */
static void serve_backwards(struct fake *s)
{
    struct net_frame f[8];
    if (!fake_hello(s))
        return;
    for (size_t n = 0; fake_request(s, &f[n]);)
        if (++n == 8)
            while (n > 0)
                fake_answer(s, &f[--n], bytes_from("\x0a\x00", 2));
}

TEST(flotilla_many_operations_in_any_order)
{
    struct fake s = { .scripts = { serve_backwards }, .inflight_max = 32 };
    struct flotilla_error e;
    fake_start(&s);
    struct flotilla *db = fake_connect(&s, 20000);
    struct tally t = { .db = db, .resubmit = 500 };
    for (int i = 0; i < 500; i++) {
        struct flotilla_op op = { .kind = i % 2 == 0 ? FLOTILLA_OP_RAW_PUT : FLOTILLA_OP_GET,
                                  .ns = 1,
                                  .key = KEY };
        CHECK_EQ(flotilla_submit(db, &op, count, &t, &e), FLOTILLA_OK);
    }
    CHECK_EQ(flotilla_pending(db), 500);
    while (flotilla_pending(db) > 0)
        flotilla_wait(db, -1);
    CHECK_EQ(t.done, 1000);
    CHECK_EQ(t.ok, 1000);
    CHECK_EQ(atomic_load(&s.connections), 1);
    flotilla_close(db);
    fake_stop(&s);
}

/* Takes the first megabytes, then ends while more is on its way. */
static void end_while_more_comes(struct fake *s)
{
    struct net_frame f;
    if (!fake_hello(s))
        return;
    for (int i = 0; i < 3; i++)
        if (!fake_request(s, &f))
            return;
}

TEST(flotilla_what_was_not_sent_as_a_whole_goes_to_the_next_connection)
{
    enum { N = 40, SIZE = 1024 * 1024 };
    struct fake s = { .scripts = { end_while_more_comes, serve_ok } };
    struct flotilla_error e;
    char *value = calloc(1, SIZE);
    fake_start(&s);
    struct flotilla *db = fake_connect(&s, 20000);
    struct tally t = { 0 };
    for (int i = 0; i < N; i++) {
        struct flotilla_op op = {
            .kind = FLOTILLA_OP_RAW_PUT, .ns = 1, .key = KEY, .value = flotilla_bytes(value, SIZE)
        };
        CHECK_EQ(flotilla_submit(db, &op, count, &t, &e), FLOTILLA_OK);
    }
    while (flotilla_pending(db) > 0)
        flotilla_wait(db, -1);
    CHECK_EQ(t.ok + t.undetermined, N);
    CHECK(t.undetermined >= 3);
    CHECK(t.ok >= 1);                             /* 40 MB do not fit into two socket buffers */
    CHECK_EQ(atomic_load(&s.requests), 3 + t.ok); /* nothing undetermined was sent again */
    flotilla_close(db);
    free(value);
    fake_stop(&s);
}

TEST(flotilla_close_ends_what_is_open)
{
    struct fake s = { .scripts = { never_answer }, .inflight_max = 4 };
    struct flotilla_error e;
    fake_start(&s);
    struct flotilla *db = fake_connect(&s, 20000);
    struct tally t = { 0 };
    struct flotilla_op op = { .kind = FLOTILLA_OP_RAW_PUT, .ns = 1, .key = KEY };
    for (int i = 0; i < 10; i++)
        CHECK_EQ(flotilla_submit(db, &op, count, &t, &e), FLOTILLA_OK);
    while (atomic_load(&s.requests) < 4)
        flotilla_wait(db, 20);
    flotilla_close(db);
    CHECK_EQ(t.undetermined, 4);
    CHECK_EQ(t.cancelled, 6);
    fake_stop(&s);
}

TEST(flotilla_limits_are_said_here)
{
    struct fake s = { .scripts = { serve_ok } };
    struct flotilla_error e;
    char *large = calloc(1, 1024 * 1024 + 1);
    fake_start(&s);
    struct flotilla_options o = { .size = sizeof o,
                                  .endpoint = s.endpoint,
                                  .queue_bytes_max = 5000 };
    struct flotilla *db;
    CHECK_EQ(flotilla_open(&o, &db, &e), FLOTILLA_OK);
    CHECK_EQ(flotilla_raw_put(db, 1, FLOTILLA_NONE, VALUE, &e), FLOTILLA_INVALID_ARGUMENT);
    CHECK_EQ(flotilla_raw_put(db, 1, flotilla_bytes(large, 4096), VALUE, &e), FLOTILLA_OK);
    CHECK_EQ(flotilla_raw_put(db, 1, flotilla_bytes(large, 4097), VALUE, &e), FLOTILLA_TOO_LARGE);
    CHECK_EQ(flotilla_raw_put(db, 1, KEY, flotilla_bytes(large, 1024 * 1024 + 1), &e),
             FLOTILLA_TOO_LARGE);
    CHECK_EQ(flotilla_raw_put(db, 1, KEY, flotilla_bytes(large, 6000), &e),
             FLOTILLA_RESOURCE_EXHAUSTED);
    CHECK_CONTAINS(e.message, "queue_bytes_max");
    CHECK_EQ(flotilla_get_tso(db, 0, &(uint64_t){ 0 }, &e), FLOTILLA_INVALID_ARGUMENT);
    struct flotilla_range range = { .end = flotilla_bytes("", 0) };
    struct flotilla_scan *scan;
    CHECK_EQ(flotilla_scan(db, 1, &range, &scan, &e), FLOTILLA_INVALID_ARGUMENT);
    CHECK_EQ(put(db, NULL), FLOTILLA_OK); /* errors are optional */
    flotilla_close(db);
    free(large);
    fake_stop(&s);
}

TEST_MAIN()
