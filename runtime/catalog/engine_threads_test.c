/* Rows 002-45, 48, 51, 52 under real threads: for the thread sanitizer above all. No test here
 * is decided by timing: the threads do fixed amounts of work, and what is checked holds in any
 * order. */
#include "catalog_rig.h"

#include <pthread.h>

#include "catalog/engine.h"
#include "uv/world.h"

enum { THREADS = 4, ROUTES = 64, VERSIONS = 300, LOOKUPS = 4000, DRAWS = 200000 };

struct stage {
    struct world *world;
    struct catalog_engine *engine;
    _Atomic unsigned seen_hot;
};

static void on_hot(void *user, const struct route *r)
{
    struct stage *s = user;
    (void)r;
    s->seen_hot++;
}

static void stage_open(struct stage *s, struct catalog_engine_config config)
{
    struct err e = { 0 };
    *s = (struct stage){ 0 };
    config.user = s;
    CHECK_OK(world_open(NULL, &s->world, &e), e);
    CHECK_OK(catalog_engine_new(world_env(s->world), &config, &s->engine, &e), e);
}

static void stage_close(struct stage *s)
{
    catalog_engine_free(s->engine);
    world_close(s->world);
}

static void run_threads(void *(*const *work)(void *), unsigned count, struct stage *s)
{
    pthread_t threads[16];
    for (unsigned i = 0; i < count; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, work[i], s), 0);
    for (unsigned i = 0; i < count; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
}

/* cmocka's checks are for the main thread. */
static void must(bool holds)
{
    if (!holds)
        abort();
}

static struct catalog_reader *reader_of(struct stage *s)
{
    struct catalog_reader *r = NULL;
    must(catalog_reader_open(s->engine, &r, NULL) == ERR_OK);
    return r;
}

/* ---- Tables are whole ---- */

/* All routes of version v are at group v. */
static err_t apply_version(struct stage *s, uint64_t version)
{
    struct route routes[ROUTES];
    char keys[ROUTES + 1][4];
    for (unsigned i = 0; i <= ROUTES; i++)
        snprintf(keys[i], sizeof keys[i], "%03u", i);
    for (unsigned i = 0; i < ROUTES; i++)
        routes[i] = rig_route(i + 1, keys[i], keys[i + 1], version);
    struct catalog_snapshot snapshot = { .stamp = { .version = version },
                                         .routes = { .items = routes, .count = ROUTES } };
    return catalog_engine_apply(s->engine, &snapshot, NULL);
}

static void *apply_versions(void *user)
{
    struct stage *s = user;
    for (uint64_t v = 1; v <= VERSIONS; v++) {
        err_t rc = apply_version(s, v);
        must(rc == ERR_OK || rc == ERR_ENGINE_SNAPSHOT_VERSION_STALE);
    }
    return NULL;
}

static void check_whole(const struct catalog_table *t)
{
    uint64_t version = catalog_table_stamp(t)->version;
    must(catalog_table_count(t) == (version == 0 ? 0 : ROUTES));
    for (size_t i = 0; i < catalog_table_count(t); i++)
        must(catalog_table_at(t, i)->group_id == version);
}

static void *read_whole_tables(void *user)
{
    struct stage *s = user;
    struct catalog_reader *r = reader_of(s);
    uint64_t last = 0;
    for (unsigned i = 0; i < LOOKUPS; i++) {
        const struct catalog_table *t = catalog_reader_enter(r);
        check_whole(t);
        const struct route *found = catalog_table_find(t, BYTES("0225"));
        must(catalog_table_count(t) == 0 || (found != NULL && found->id == 23));
        must(catalog_table_stamp(t)->version >= last);
        last = catalog_table_stamp(t)->version;
        catalog_reader_leave(r);
        if (i % 100 == 0) { /* readers come and go */
            catalog_reader_close(r);
            r = reader_of(s);
        }
    }
    catalog_reader_close(r);
    return NULL;
}

static void *hold_references(void *user)
{
    struct stage *s = user;
    struct catalog_reader *r = reader_of(s);
    struct catalog_table *held[8] = { NULL };
    for (unsigned i = 0; i < LOOKUPS; i++) {
        struct catalog_table *t = catalog_reader_enter(r);
        catalog_table_ref(t);
        catalog_reader_leave(r);
        catalog_table_unref(held[i % 8]);
        held[i % 8] = t;
        check_whole(held[(i + 1) % 8] != NULL ? held[(i + 1) % 8] : t);
    }
    for (unsigned i = 0; i < 8; i++)
        catalog_table_unref(held[i]);
    catalog_reader_close(r);
    return NULL;
}

TEST(r002_45_and_48_readers_see_whole_tables_of_growing_versions)
{
    struct stage s;
    stage_open(&s, (struct catalog_engine_config){ 0 });
    void *(*const work[])(void *) = { apply_versions, apply_versions, read_whole_tables,
                                      read_whole_tables, hold_references };
    run_threads(work, RIG_COUNT(work), &s);
    CHECK_EQ(catalog_engine_version(s.engine), VERSIONS);
    struct catalog_engine_memory m;
    catalog_engine_reclaim(s.engine);
    catalog_engine_memory(s.engine, &m);
    CHECK_EQ(m.tables, 1);
    CHECK_EQ(m.readers, 0);
    stage_close(&s);
}

/* ---- Counters ---- */

static void *access_often(void *user)
{
    struct stage *s = user;
    struct catalog_reader *r = reader_of(s);
    for (unsigned i = 0; i < LOOKUPS; i++)
        catalog_engine_record_access(r, BYTES("k"));
    catalog_reader_close(r);
    return NULL;
}

static void *(*const accesses[THREADS])(void *) = { access_often, access_often, access_often,
                                                    access_often };

static void add_route(struct stage *s, const char *start, const char *end)
{
    struct bytes last = BYTES(end);
    CHECK_EQ(catalog_engine_update_route(s->engine, BYTES(start), &last, 1, NULL), ERR_OK);
}

TEST(r002_52_no_access_is_lost)
{
    struct stage s;
    struct route_list list;
    stage_open(&s, (struct catalog_engine_config){ 0 });
    add_route(&s, "a", "z");
    run_threads(accesses, THREADS, &s);
    CHECK_EQ(catalog_engine_stats(s.engine, &list, NULL), ERR_OK);
    CHECK_EQ(list.items[0].load, THREADS * LOOKUPS);
    route_list_free(&list);
    stage_close(&s);
}

TEST(r002_52_one_split_however_many_reach_the_threshold_at_once)
{
    for (unsigned round = 0; round < 20; round++) {
        struct stage s;
        struct route_list list;
        stage_open(&s, (struct catalog_engine_config){ .threshold = THREADS * LOOKUPS / 2 + 1 });
        add_route(&s, "a", "z");
        run_threads(accesses, THREADS, &s);
        CHECK_EQ(catalog_engine_stats(s.engine, &list, NULL), ERR_OK);
        CHECK_EQ(list.count, 2); /* the halves cannot reach it again */
        CHECK_BYTES(list.items[1].start, bytes_from("a\0", 2));
        route_list_free(&list);
        stage_close(&s);
    }
}

TEST(r002_52_and_d56_hot_is_told_once_for_every_threshold)
{
    struct stage s;
    stage_open(&s, (struct catalog_engine_config){ .threshold = THREADS * LOOKUPS / 2 + 1,
                                                   .hot = on_hot });
    add_route(&s, "a", "z");
    run_threads(accesses, THREADS, &s);
    CHECK_EQ(s.seen_hot, 1);
    stage_close(&s);
}

/* ---- Timestamps ---- */

static void *draw_timestamps(void *user)
{
    struct stage *s = user;
    uint64_t last = 0;
    for (unsigned i = 0; i < DRAWS; i++) {
        uint64_t next = catalog_engine_next_timestamp_volatile(s->engine);
        must(next > last);
        last = next;
    }
    return NULL;
}

TEST(r002_51_timestamps_are_given_once)
{
    struct stage s;
    stage_open(&s, (struct catalog_engine_config){ 0 });
    void *(*const work[])(void *) = { draw_timestamps, draw_timestamps, draw_timestamps };
    run_threads(work, 3, &s);
    CHECK_EQ(catalog_engine_next_timestamp_volatile(s.engine), 3 * DRAWS + 1);
    stage_close(&s);
}

TEST_MAIN()
