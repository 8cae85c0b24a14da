/* Rows 002-32, 41 to 44 with A2.5; traps D54, D58, D59. */
#include "engine_rig.h"

#include "catalog/watcher.h"

#define MS UINT64_C(1000000)

struct node {
    struct rig *store;
    struct engine_rig g;
    struct catalog_watcher w;
};

static void node_open(struct node *n)
{
    n->store = rig_new();
    n->g = engine_rig_new((struct catalog_engine_config){ .default_route = true });
    catalog_watcher_init(&n->w, n->g.env, &n->store->catalog, n->g.engine);
}

static void node_close(struct node *n)
{
    catalog_watcher_stop(&n->w);
    engine_rig_free(&n->g);
    rig_free(n->store);
}

static void save(struct node *n, uint64_t expected, uint64_t group)
{
    struct route r = rig_route(1, "a", "b", group);
    struct err e = { 0 };
    CHECK_OK(catalog_save(&n->store->catalog, expected, &r, 1, NULL, &e), e);
}

static void start(struct node *n)
{
    struct err e = { 0 };
    CHECK_OK(catalog_watcher_start(&n->w, &e), e);
}

static void run_ms(struct node *n, uint64_t ms)
{
    sim_world_run_for(n->g.world, ms * MS);
}

TEST(r002_41_and_32_polls_at_once_and_then_every_interval)
{
    struct node n;
    node_open(&n);
    save(&n, 0, 5);
    start(&n);
    CHECK_EQ(n.w.stats.polls, 1); /* before anything runs */
    CHECK_EQ(engine_rig_group(&n.g, "a"), 5);
    save(&n, 1, 6);
    CHECK_EQ(engine_rig_group(&n.g, "a"), 5);
    run_ms(&n, 101);
    CHECK_EQ(engine_rig_group(&n.g, "a"), 6);
    CHECK_EQ(n.w.stats.polls, 2);
    CHECK_EQ(n.w.stats.applied, 2);
    run_ms(&n, 1000);
    CHECK_EQ(n.w.stats.polls, 12);
    CHECK_EQ(n.w.stats.applied, 2);
    CHECK_EQ(n.w.stats.failed, 0);
    catalog_watcher_stop(&n.w);
    save(&n, 2, 7);
    run_ms(&n, 1000);
    CHECK_EQ(n.w.stats.polls, 12);
    CHECK_EQ(engine_rig_group(&n.g, "a"), 6);
    catalog_watcher_stop(&n.w); /* again */
    start(&n);                  /* and on */
    CHECK_EQ(engine_rig_group(&n.g, "a"), 7);
    node_close(&n);
}

TEST(r002_42_default_interval_and_logger)
{
    struct node n;
    node_open(&n);
    CHECK_EQ(n.w.interval_ns, 100 * MS);
    CHECK(n.w.log == NULL); /* writes nothing */
    node_close(&n);
}

TEST(r002_43_intervals_that_are_not_positive_are_ignored)
{
    struct node n;
    node_open(&n);
    catalog_watcher_set_interval(&n.w, 7 * MS);
    catalog_watcher_set_interval(&n.w, 0);
    catalog_watcher_set_interval(&n.w, -5);
    catalog_watcher_set_interval(&n.w, INT64_MIN);
    CHECK_EQ(n.w.interval_ns, 7 * MS);
    start(&n);
    run_ms(&n, 71);
    CHECK_EQ(n.w.stats.polls, 11);
    node_close(&n);
}

static void write_line(void *user, struct bytes line)
{
    struct buf *out = user;
    CHECK_EQ(buf_append(out, line), ERR_OK);
}

static uint64_t no_time(void *user)
{
    (void)user;
    return 0;
}

static struct logger *logger_to(struct buf *out)
{
    struct logger_config c = {
        .level = LOGGER_INFO, .wall = no_time, .write = write_line, .user = out
    };
    return logger_new(&c);
}

static const char *text_of(struct buf *b)
{
    CHECK_EQ(buf_append(b, bytes_from("", 1)), ERR_OK);
    b->len--;
    return (const char *)b->data;
}

TEST(r002_44_a_null_logger_is_ignored)
{
    struct node n;
    struct buf out = { 0 };
    struct logger *log = logger_to(&out);
    node_open(&n);
    catalog_watcher_set_logger(&n.w, log);
    catalog_watcher_set_logger(&n.w, NULL);
    CHECK(n.w.log == log);
    node_close(&n);
    logger_free(log);
    buf_free(&out);
}

TEST(r002_32_run_with_and_without_a_logger)
{
    struct node n;
    struct buf out = { 0 };
    struct logger *log = logger_to(&out);
    struct err e = { 0 };
    node_open(&n);
    n.store->fail_gets = 1;
    CHECK_OK(catalog_watcher_run(&n.w, n.g.env, &n.store->catalog, n.g.engine, NULL, &e), e);
    CHECK_EQ(n.w.stats.failed, 1); /* and nobody was told */
    catalog_watcher_stop(&n.w);
    n.store->fail_gets = 1;
    CHECK_OK(catalog_watcher_run(&n.w, n.g.env, &n.store->catalog, n.g.engine, log, &e), e);
    CHECK_CONTAINS(text_of(&out), "catalog watcher sync failed");
    node_close(&n);
    logger_free(log);
    buf_free(&out);
}

TEST(r002_32_and_19_only_what_is_missing_is_an_error)
{
    struct node n;
    struct err e = { 0 };
    node_open(&n);
    n.w.engine = NULL;
    CHECK_EQ(catalog_watcher_start(&n.w, &e), ERR_ENGINE_REQUIRED);
    CHECK_EQ(catalog_watcher_poll(&n.w, &e), ERR_ENGINE_REQUIRED);
    n.w.engine = n.g.engine;
    n.w.catalog = NULL;
    CHECK_EQ(catalog_watcher_start(&n.w, &e), ERR_CATALOG_STORE_REQUIRED);
    struct catalog no_store = { 0 };
    n.w.catalog = &no_store;
    CHECK_EQ(catalog_watcher_start(&n.w, &e), ERR_CATALOG_STORE_REQUIRED);
    n.w.catalog = &n.store->catalog;
    n.w.interval_ns = 0; /* one that was never initialised */
    CHECK_EQ(catalog_watcher_start(&n.w, &e), ERR_INVALID_ARGUMENT);
    CHECK_CONTAINS(e.msg, "interval");
    CHECK_EQ(n.w.stats.polls, 0);
    node_close(&n);
    struct catalog_watcher never = { 0 };
    catalog_watcher_stop(&never);
}

TEST(r002_41_errors_are_logged_and_tried_again)
{
    struct node n;
    struct buf out = { 0 };
    struct logger *log = logger_to(&out);
    node_open(&n);
    catalog_watcher_set_logger(&n.w, log);
    save(&n, 0, 5);
    n.store->fail_gets = 3;
    start(&n);
    CHECK_EQ(n.w.stats.failed, 1);
    CHECK_CONTAINS(text_of(&out), "catalog watcher sync failed");
    CHECK_CONTAINS(text_of(&out), "the store is away");
    CHECK_CONTAINS(n.w.last_error.msg, "the store is away");
    n.store->fail_scans = 1;
    run_ms(&n, 550);
    CHECK_EQ(n.w.stats.failed, 4);
    CHECK_EQ(n.w.stats.applied, 1);
    CHECK_EQ(engine_rig_group(&n.g, "a"), 5);
    node_close(&n);
    logger_free(log);
    buf_free(&out);
}

TEST(r002_41_the_version_is_read_first_and_routes_only_when_newer)
{
    struct node n;
    node_open(&n);
    save(&n, 0, 5);
    start(&n);
    unsigned scans = n.store->scans, gets = n.store->gets;
    run_ms(&n, 1001);
    CHECK_EQ(n.store->scans, scans);
    CHECK_EQ(n.store->gets - gets, 20); /* version and identity, ten times */
    node_close(&n);
}

static void save_more(void *user)
{
    struct node *n = user;
    struct catalog c = { .store = &n->store->inner };
    struct route r = rig_route(1, "a", "b", 6);
    CHECK_EQ(catalog_save(&c, 1, &r, 1, NULL, NULL), ERR_OK);
}

TEST(r002_41_version_and_routes_are_of_one_timestamp)
{
    struct node n;
    node_open(&n);
    save(&n, 0, 5);
    n.store->before_scan = save_more; /* between the version and the routes */
    n.store->user = &n;
    start(&n);
    CHECK_EQ(n.w.stats.failed, 0);
    CHECK_EQ(catalog_engine_version(n.g.engine), 1);
    CHECK_EQ(engine_rig_group(&n.g, "a"), 5);
    run_ms(&n, 101);
    CHECK_EQ(catalog_engine_version(n.g.engine), 2);
    CHECK_EQ(engine_rig_group(&n.g, "a"), 6);
    node_close(&n);
}

static void apply_newer(void *user)
{
    struct node *n = user;
    struct route r = rig_route(1, "a", "b", 9);
    CHECK_EQ(engine_rig_apply(&n->g, 8, &r, 1, NULL), ERR_OK);
}

TEST(r002_41_a_stale_apply_is_swallowed)
{
    struct node n;
    node_open(&n);
    save(&n, 0, 5);
    n.store->before_scan = apply_newer; /* somebody else has told the engine meanwhile */
    n.store->user = &n;
    start(&n);
    CHECK_EQ(n.w.stats.failed, 0);
    CHECK_EQ(n.w.stats.applied, 0);
    CHECK_EQ(engine_rig_group(&n.g, "a"), 9);
    node_close(&n);
}

TEST(d59_a_catalog_behind_its_reader_is_refused)
{
    struct node n;
    struct err e = { 0 };
    node_open(&n);
    save(&n, 0, 5);
    apply_newer(&n);
    CHECK_EQ(catalog_watcher_poll(&n.w, &e), ERR_CATALOG_CURSOR_AHEAD);
    CHECK_CONTAINS(e.msg, "it is at version 1, the engine at 8");
    CHECK_EQ(engine_rig_group(&n.g, "a"), 9);
    node_close(&n);
}

TEST(d58_the_same_version_with_another_content_raises_an_alarm_at_every_poll)
{
    struct node n;
    struct buf out = { 0 };
    struct logger *log = logger_to(&out);
    node_open(&n);
    catalog_watcher_set_logger(&n.w, log);
    save(&n, 0, 5);
    start(&n);
    struct rig *restored = rig_new(); /* the same version of the same catalog, and not the same */
    struct route r = rig_route(1, "a", "b", 6);
    CHECK_EQ(catalog_save(&restored->catalog, 0, &r, 1, NULL, NULL), ERR_OK);
    n.w.catalog = &restored->catalog;
    run_ms(&n, 301);
    CHECK_EQ(n.w.stats.alarms, 3);
    CHECK_EQ(n.w.stats.failed, 3);
    CHECK_CONTAINS(text_of(&out), "level=error msg=\"catalog integrity alarm\"");
    CHECK_EQ(engine_rig_group(&n.g, "a"), 5);
    struct rig *foreign = rig_new(); /* another catalog, far ahead */
    foreign->catalog.fresh.bytes[0] = 0x77;
    for (uint64_t v = 0; v < 4; v++)
        CHECK_EQ(catalog_save(&foreign->catalog, v, &r, 1, NULL, NULL), ERR_OK);
    n.w.catalog = &foreign->catalog;
    run_ms(&n, 100);
    CHECK_EQ(n.w.stats.alarms, 4);
    CHECK_CONTAINS(n.w.last_error.msg, "two catalogs");
    CHECK_EQ(engine_rig_group(&n.g, "a"), 5);
    node_close(&n);
    rig_free(restored);
    rig_free(foreign);
    logger_free(log);
    buf_free(&out);
}

TEST(d54_the_engine_serves_what_it_has_while_the_catalog_moves_on)
{
    /* The table is a hint: a reader between two polls is sent to the old owner, with no error
     * from here. The owner's own range and epoch refuse it (runtime/region). */
    struct node n;
    node_open(&n);
    save(&n, 0, 5);
    start(&n);
    save(&n, 1, 6);
    CHECK_EQ(engine_rig_group(&n.g, "a"), 5);
    struct catalog_table *t = catalog_reader_enter(n.g.reader);
    CHECK_EQ(catalog_table_stamp(t)->version, 1); /* what a request may take along */
    catalog_reader_leave(n.g.reader);
    node_close(&n);
}

TEST(a_poll_frees_tables_that_were_read_when_they_were_replaced)
{
    struct node n;
    struct catalog_engine_memory m;
    node_open(&n);
    save(&n, 0, 5);
    start(&n);
    (void)catalog_reader_enter(n.g.reader);
    save(&n, 1, 6);
    run_ms(&n, 101);
    catalog_reader_leave(n.g.reader);
    catalog_engine_memory(n.g.engine, &m);
    CHECK_EQ(m.tables, 2);
    run_ms(&n, 100);
    catalog_engine_memory(n.g.engine, &m);
    CHECK_EQ(m.tables, 1);
    node_close(&n);
}

TEST_MAIN()
