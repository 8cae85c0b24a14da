/* Several servers: who leads, who is gone, who sends us in circles. */
#include <stdlib.h>

#include "fake_server.inc"

#define KEY   FLOTILLA_TEXT("key")
#define VALUE FLOTILLA_TEXT("value")

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

/* ---- Scripts ---- */

static void serve_ok(struct fake *s)
{
    struct net_frame f;
    if (!fake_hello(s))
        return;
    while (fake_request(s, &f))
        fake_answer(s, &f, bytes_from("\x0a\x00", 2));
}

/* Says that `user`, an address or NULL, leads. */
static void point_elsewhere(struct fake *s)
{
    struct net_frame f;
    if (!fake_hello(s))
        return;
    while (fake_request(s, &f))
        fake_answer_not_leader(s, &f, s->user);
}

static void say_epoch_once_then_ok(struct fake *s)
{
    struct net_frame f;
    if (!fake_hello(s))
        return;
    for (int n = 0; fake_request(s, &f); n++)
        if (n == 0)
            fake_answer_status(s, &f, ERR_EPOCH_NOT_MATCH, "split", 0);
        else
            fake_answer(s, &f, bytes_from("\x0a\x00", 2));
}

static void say_unavailable(struct fake *s)
{
    struct net_frame f;
    if (!fake_hello(s))
        return;
    while (fake_request(s, &f))
        fake_answer_status(s, &f, ERR_UNAVAILABLE, "not ready", 0);
}

static void serve_one_and_close(struct fake *s)
{
    struct net_frame f;
    if (!fake_hello(s) || !fake_request(s, &f))
        return;
    fake_answer(s, &f, bytes_from("\x0a\x00", 2));
    if (atomic_load(&s->connections) == 1 && fake_frame(s, &f)) { /* where does the key live? */
        CHECK_EQ(f.method, NET_GET_REGION);
        fake_answer_status(s, &f, ERR_UNIMPLEMENTED, "no such method", 0);
    }
}

static void close_at_once(struct fake *s)
{
    (void)s;
}

static void take_one_and_close(struct fake *s)
{
    struct net_frame f;
    if (fake_hello(s))
        fake_request(s, &f);
}

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

static void refuse_cluster(struct fake *s)
{
    struct net_frame f;
    if (fake_frame(s, &f))
        fake_answer_status(s, &f, ERR_FAILED_PRECONDITION, "another cluster", 0);
}

/* Takes requests and answers nothing, no ping either: a process that was stopped. */
static void freeze(struct fake *s)
{
    struct net_frame f;
    if (!fake_hello(s) || !fake_request(s, &f))
        return;
    while (!atomic_load(&s->stop))
        poll(NULL, 0, 20);
}

/* ---- A few servers ---- */

enum { SERVERS_MAX = 3 };

struct cluster {
    struct fake s[SERVERS_MAX];
    size_t n;
    char endpoints[200];
};

static struct cluster *start(fake_script *a, fake_script *b, fake_script *c)
{
    struct cluster *all = calloc(1, sizeof *all);
    fake_script *scripts[] = { a, b, c };
    for (; all->n < SERVERS_MAX && scripts[all->n] != NULL; all->n++) {
        struct fake *s = &all->s[all->n];
        s->scripts[0] = scripts[all->n];
        fake_start(s);
        size_t len = strlen(all->endpoints);
        snprintf(all->endpoints + len, sizeof all->endpoints - len, "%s%s", len > 0 ? "," : "",
                 s->endpoint);
    }
    return all;
}

static void stop(struct cluster *all)
{
    for (size_t i = 0; i < all->n; i++)
        fake_stop(&all->s[i]);
    free(all);
}

static int try_open(const char *endpoint, uint32_t timeout_ms, struct flotilla **ret,
                    struct flotilla_error *e)
{
    struct flotilla_options o = {
        .size = sizeof o, .endpoint = endpoint, .timeout_ms = timeout_ms, .connect_ms = 1000
    };
    return flotilla_open(&o, ret, e);
}

static struct flotilla *connected(const struct cluster *all, uint32_t timeout_ms)
{
    struct flotilla *db;
    struct flotilla_error e;
    if (try_open(all->endpoints, timeout_ms, &db, &e) != FLOTILLA_OK)
        fail_msg("open: %s", e.message);
    return db;
}

static struct flotilla *lazy(const struct cluster *all)
{
    struct flotilla *db;
    struct flotilla_error e;
    struct flotilla_options o = { .size = sizeof o, .endpoint = all->endpoints, .lazy = true };
    CHECK_EQ(flotilla_open(&o, &db, &e), FLOTILLA_OK);
    return db;
}

static unsigned requests(const struct cluster *all, size_t i)
{
    return atomic_load(&all->s[i].requests);
}

static unsigned connections(const struct cluster *all, size_t i)
{
    return atomic_load(&all->s[i].connections);
}

/* An endpoint where nobody listens. */
static void dead_endpoint(char out[64])
{
    struct fake s = { .scripts = { serve_ok } };
    fake_start(&s);
    snprintf(out, 64, "%s", s.endpoint);
    fake_stop(&s);
}

/* ---- Several endpoints ---- */

TEST(cluster_next_endpoint_is_tried_when_one_is_gone)
{
    struct cluster *all = start(serve_ok, NULL, NULL);
    struct flotilla *db;
    struct flotilla_error e;
    char dead[64], list[300];
    dead_endpoint(dead);
    snprintf(list, sizeof list, "%s,%s", dead, all->endpoints);
    CHECK_EQ(try_open(list, 10000, &db, &e), FLOTILLA_OK);
    CHECK_EQ(put(db, &e), FLOTILLA_OK);
    CHECK_EQ(requests(all, 0), 1);
    flotilla_close(db);
    stop(all);
    CHECK_EQ(try_open(list, 10000, &db, &e), FLOTILLA_UNAVAILABLE);
    CHECK_CONTAINS(e.message, dead); /* both are named */
    CHECK_CONTAINS(e.message, strrchr(list, ',') + 1);
}

TEST(cluster_write_without_an_answer_is_not_sent_to_another_server)
{
    struct cluster *all = start(take_one_and_close, serve_ok, NULL);
    struct flotilla_error e;
    struct flotilla *db = connected(all, 10000);
    CHECK_EQ(put(db, &e), FLOTILLA_UNDETERMINED);
    CHECK_EQ(requests(all, 0), 1);
    CHECK_EQ(requests(all, 1), 0);
    CHECK_EQ(put(db, &e), FLOTILLA_OK); /* the next call asks the other one */
    CHECK_EQ(requests(all, 0), 1);
    CHECK_EQ(requests(all, 1), 1);
    flotilla_close(db);
    stop(all);
}

TEST(cluster_read_without_an_answer_is_asked_elsewhere)
{
    struct cluster *all = start(take_one_and_close, take_one_and_close, serve_ok);
    struct flotilla_error e;
    struct flotilla *db = connected(all, 10000);
    CHECK_EQ(get(db, &e), FLOTILLA_OK);
    for (size_t i = 0; i < 3; i++)
        CHECK_EQ(requests(all, i), 1);
    flotilla_close(db);
    stop(all);
}

TEST(cluster_write_that_a_stopping_node_disowns_goes_elsewhere)
{
    struct cluster *all = start(take_one_and_part, serve_ok, NULL);
    struct flotilla_error e;
    struct flotilla *db = connected(all, 10000);
    CHECK_EQ(put(db, &e), FLOTILLA_OK);
    CHECK_EQ(requests(all, 0), 1);
    CHECK_EQ(requests(all, 1), 1);
    flotilla_close(db);
    stop(all);
}

TEST(cluster_foreign_server_is_passed_over_unless_all_are)
{
    struct cluster *all = start(refuse_cluster, serve_ok, NULL);
    struct flotilla_error e;
    struct flotilla *db = connected(all, 10000);
    CHECK_EQ(put(db, &e), FLOTILLA_OK);
    flotilla_close(db);
    db = lazy(all);
    CHECK_EQ(put(db, &e), FLOTILLA_OK); /* also if somebody waits when the first refuses */
    flotilla_close(db);
    stop(all);
    all = start(refuse_cluster, refuse_cluster, NULL);
    CHECK_EQ(try_open(all->endpoints, 10000, &db, &e), FLOTILLA_FAILED_PRECONDITION);
    CHECK_CONTAINS(e.message, "another cluster");
    db = lazy(all);
    CHECK_EQ(put(db, &e), FLOTILLA_FAILED_PRECONDITION); /* and not at the deadline */
    CHECK_EQ(connections(all, 0), 2);
    flotilla_close(db);
    stop(all);
}

TEST(cluster_frozen_server_is_left_before_the_deadline)
{
    struct cluster *all = start(freeze, serve_ok, NULL);
    struct flotilla_error e;
    struct flotilla *db = connected(all, 60000);
    CHECK_EQ(get(db, &e), FLOTILLA_OK);
    CHECK_EQ(requests(all, 0), 1);
    CHECK_EQ(requests(all, 1), 1);
    flotilla_close(db);
    stop(all);
}

TEST(cluster_node_that_is_not_ready_is_passed_over)
{
    struct cluster *all = start(say_unavailable, serve_ok, NULL);
    struct flotilla_error e;
    struct flotilla *db = connected(all, 10000);
    CHECK_EQ(put(db, &e), FLOTILLA_OK);
    CHECK_EQ(requests(all, 0), 1);
    CHECK_EQ(requests(all, 1), 1);
    flotilla_close(db);
    stop(all);
}

TEST(cluster_connection_that_was_idle_is_made_again_to_the_same_server)
{
    struct cluster *all = start(serve_one_and_close, serve_ok, NULL);
    struct flotilla_error e;
    struct flotilla *db = connected(all, 10000);
    for (unsigned i = 1; i <= 3; i++) {
        CHECK_EQ(put(db, &e), FLOTILLA_OK);
        CHECK_EQ(requests(all, 0), i);
        while (flotilla_fd(db) >= 0) /* the end is seen before the next one */
            flotilla_wait(db, 20);
    }
    flotilla_close(db);
    stop(all);
}

/* ---- Who leads ---- */

TEST(cluster_leader_is_followed_and_remembered)
{
    struct cluster *all = start(point_elsewhere, serve_ok, serve_ok);
    struct flotilla_error e;
    char *endpoints = all->endpoints;
    all->s[0].user = all->s[2].endpoint;
    *strchr(endpoints, ',') = '\0'; /* the first alone: the others are known by its answers */
    struct flotilla *db = connected(all, 10000);
    CHECK_EQ(put(db, &e), FLOTILLA_OK);
    CHECK_EQ(put(db, &e), FLOTILLA_OK);
    CHECK_EQ(get(db, &e), FLOTILLA_OK);
    CHECK_EQ(requests(all, 0), 1);
    CHECK_EQ(requests(all, 1), 0);
    CHECK_EQ(requests(all, 2), 3);
    CHECK_EQ(connections(all, 2), 1); /* kept */
    flotilla_close(db);
    stop(all);
}

static void serve_but_timestamps(struct fake *s)
{
    struct net_frame f;
    if (!fake_hello(s))
        return;
    while (fake_request(s, &f))
        if (f.method == NET_GET_TSO)
            fake_answer_not_leader(s, &f, s->user);
        else
            fake_answer(s, &f, bytes_from("\x0a\x00", 2));
}

static void serve_timestamps_alone(struct fake *s)
{
    static const uint8_t stamp[] = { 0x0a, 0, 0x11, 1, 2, 3, 4, 5, 6, 7, 8 };
    struct net_frame f;
    if (!fake_hello(s))
        return;
    while (fake_request(s, &f))
        fake_answer(s, &f, bytes_from(stamp, f.method == NET_GET_TSO ? sizeof stamp : 0));
}

TEST(cluster_placement_driver_has_a_leader_of_its_own)
{
    struct cluster *all = start(serve_but_timestamps, serve_timestamps_alone, NULL);
    struct flotilla_error e;
    uint64_t first = 0;
    all->s[0].user = all->s[1].endpoint;
    struct flotilla *db = connected(all, 10000);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(flotilla_get_tso(db, 1, &first, &e), FLOTILLA_OK);
        CHECK_EQ(put(db, &e), FLOTILLA_OK); /* stays with the first */
    }
    CHECK_EQ(first, 0x0807060504030201);
    CHECK_EQ(requests(all, 0), 1 + 3);
    CHECK_EQ(requests(all, 1), 3);
    flotilla_close(db);
    stop(all);
}

TEST(cluster_without_a_leader_is_asked_around)
{
    struct cluster *all = start(point_elsewhere, point_elsewhere, serve_ok);
    struct flotilla_error e;
    struct flotilla *db = connected(all, 10000);
    CHECK_EQ(put(db, &e), FLOTILLA_OK);
    for (size_t i = 0; i < 3; i++)
        CHECK_EQ(requests(all, i), 1);
    flotilla_close(db);
    stop(all);
}

TEST(cluster_servers_that_point_at_each_other_are_not_asked_in_circles)
{
    struct cluster *all = start(point_elsewhere, point_elsewhere, NULL);
    struct flotilla_error e;
    all->s[0].user = all->s[1].endpoint;
    all->s[1].user = all->s[0].endpoint;
    struct flotilla *db = connected(all, 1000);
    CHECK_EQ(put(db, &e), FLOTILLA_NOT_LEADER);
    /* Four at once, then with pauses of at least 10, 20, 40, 80, 100, 100 ... ms. */
    CHECK(requests(all, 0) + requests(all, 1) >= 5);
    CHECK(requests(all, 0) + requests(all, 1) <= 4 + 4 + 9);
    flotilla_close(db);
    stop(all);
}

TEST(cluster_server_that_points_at_itself_is_not_asked_in_circles)
{
    struct cluster *all = start(point_elsewhere, NULL, NULL);
    struct flotilla_error e;
    all->s[0].user = all->s[0].endpoint;
    struct flotilla *db = connected(all, 500);
    CHECK_EQ(put(db, &e), FLOTILLA_NOT_LEADER);
    CHECK(requests(all, 0) >= 2 && requests(all, 0) <= 1 + 4 + 4);
    flotilla_close(db);
    stop(all);
}

TEST(cluster_leader_that_is_gone_does_not_hold_up_the_others)
{
    struct cluster *all = start(point_elsewhere, serve_ok, NULL);
    struct flotilla_error e;
    char dead[64];
    dead_endpoint(dead);
    all->s[0].user = dead;
    struct flotilla *db = connected(all, 10000);
    CHECK_EQ(put(db, &e), FLOTILLA_OK);
    CHECK_EQ(requests(all, 1), 1);
    flotilla_close(db);
    stop(all);
}

TEST(cluster_name_instead_of_an_address_is_not_followed)
{
    struct cluster *all = start(point_elsewhere, serve_ok, NULL);
    struct flotilla_error e;
    char name[80];
    snprintf(name, sizeof name, "localhost%s", strchr(all->s[1].endpoint, ':'));
    all->s[0].user = name;
    *strchr(all->endpoints, ',') = '\0';
    struct flotilla *db = connected(all, 2000);
    CHECK_EQ(put(db, &e), FLOTILLA_NOT_LEADER);
    CHECK_EQ(connections(all, 1), 0);
    flotilla_close(db);
    stop(all);
}

TEST(cluster_epoch_that_does_not_match_is_asked_again)
{
    struct cluster *all = start(say_epoch_once_then_ok, say_epoch_once_then_ok, NULL);
    struct flotilla_error e;
    struct flotilla *db = connected(all, 10000);
    CHECK_EQ(put(db, &e), FLOTILLA_OK);
    CHECK_EQ(requests(all, 0), 2);
    CHECK_EQ(requests(all, 1), 1);
    flotilla_close(db);
    stop(all);
}

/* ---- Many at once, in somebody else's loop ---- */

struct tally {
    unsigned done, ok;
};

static void count(void *user, const struct flotilla_result *r)
{
    struct tally *t = user;
    t->done++;
    t->ok += r->code == FLOTILLA_OK;
}

/* Every third is pointed at the others, every seventh at nobody. */
static void point_often(struct fake *s)
{
    struct net_frame f;
    if (!fake_hello(s))
        return;
    for (unsigned n = 1; fake_request(s, &f); n++)
        if (n % 3 == 0 || n % 7 == 0)
            fake_answer_not_leader(s, &f, n % 3 == 0 ? s->user : NULL);
        else
            fake_answer(s, &f, bytes_from("\x0a\x00", 2));
}

static void drive(struct flotilla *db)
{
    for (flotilla_process(db); flotilla_pending(db) > 0; flotilla_process(db)) {
        struct pollfd p = { .fd = flotilla_fd(db), .events = flotilla_events(db) };
        poll(&p, 1, flotilla_timeout(db));
    }
}

TEST(cluster_many_operations_among_servers_in_a_foreign_loop)
{
    struct cluster *all = start(point_often, point_often, point_often);
    struct flotilla_error e;
    for (size_t i = 0; i < 3; i++)
        all->s[i].user = all->s[(i + 1) % 3].endpoint;
    struct flotilla *db = connected(all, 60000);
    struct tally t = { 0 };
    for (int i = 0; i < 2000; i++) {
        struct flotilla_op op = { .kind = i % 2 == 0 ? FLOTILLA_OP_RAW_PUT : FLOTILLA_OP_GET,
                                  .ns = 1,
                                  .key = KEY };
        CHECK_EQ(flotilla_submit(db, &op, count, &t, &e), FLOTILLA_OK);
    }
    drive(db);
    CHECK_EQ(t.done, 2000);
    CHECK_EQ(t.ok, 2000);
    for (size_t i = 0; i < 3; i++)
        CHECK_EQ(connections(all, i), 1);
    flotilla_close(db);
    stop(all);
}

TEST(cluster_two_answers_of_one_server_are_one_reason_to_go_on)
{
    struct cluster *all = start(point_elsewhere, serve_ok, serve_ok);
    struct flotilla_error e;
    struct flotilla *db = connected(all, 60000);
    struct tally t = { 0 };
    struct flotilla_op op = { .kind = FLOTILLA_OP_RAW_PUT, .ns = 1, .key = KEY };
    for (int i = 0; i < 2; i++)
        CHECK_EQ(flotilla_submit(db, &op, count, &t, &e), FLOTILLA_OK);
    drive(db);
    CHECK_EQ(t.ok, 2);
    CHECK_EQ(requests(all, 0), 2);
    CHECK_EQ(requests(all, 1), 2);
    flotilla_close(db);
    stop(all);
}

static void submit_again(void *user, const struct flotilla_result *r)
{
    (void)r;
    struct flotilla_error e;
    struct flotilla_op op = { .kind = FLOTILLA_OP_GET, .ns = 1, .key = KEY };
    CHECK_EQ(flotilla_submit(user, &op, submit_again, user, &e), FLOTILLA_CANCELLED);
}

TEST(cluster_close_takes_nothing_new)
{
    struct cluster *all = start(freeze, close_at_once, NULL);
    struct flotilla_error e;
    struct flotilla *db = connected(all, 10000);
    struct flotilla_op op = { .kind = FLOTILLA_OP_GET, .ns = 1, .key = KEY };
    for (int i = 0; i < 200; i++)
        CHECK_EQ(flotilla_submit(db, &op, submit_again, db, &e), FLOTILLA_OK);
    flotilla_process(db);
    flotilla_close(db);
    stop(all);
}

TEST_MAIN()
