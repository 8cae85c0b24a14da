/* Rows 002-34, 19, 01; trap D61. */
#include "engine_rig.h"

#include "catalog/ensure.h"

static struct engine_rig default_engine(void)
{
    return engine_rig_new((struct catalog_engine_config){ .default_route = true });
}

static struct catalog_snapshot ensure(struct rig *r, struct engine_rig *g)
{
    struct catalog_snapshot s;
    struct err e = { 0 };
    CHECK_OK(catalog_ensure(&r->catalog, g->engine, &s, &e), e);
    CHECK_EQ(catalog_engine_version(g->engine), s.stamp.version);
    return s;
}

TEST(r002_34_an_empty_catalog_gets_the_engines_routes)
{
    struct rig *r = rig_new();
    struct engine_rig g = engine_rig_new((struct catalog_engine_config){ 0 });
    engine_rig_update(&g, "m", NULL, 7);
    engine_rig_update(&g, "", "c", 5);
    engine_rig_update(&g, "c", "m", 6);
    struct catalog_snapshot s = ensure(r, &g);
    CHECK_EQ(s.stamp.version, 1);
    CHECK_EQ(s.routes.count, 3);
    struct route want[] = { rig_route(1, "", "c", 5), rig_route(2, "c", "m", 6),
                            rig_route(3, "m", NULL, 7) };
    for (unsigned i = 0; i < 3; i++)
        CHECK(rig_same(&s.routes.items[i], &want[i])); /* ids 1 to n by start, parent 0 */
    catalog_snapshot_free(&s);
    uint64_t next;
    CHECK_EQ(catalog_next_route_id(&r->catalog, &next, NULL), ERR_OK);
    CHECK_EQ(next, 4);
    struct route have;
    CHECK_EQ(catalog_engine_get_route(g.reader, BYTES("d"), &have, NULL), ERR_OK);
    CHECK_EQ(have.id, 2); /* applied back */
    route_free(&have);
    engine_rig_free(&g);
    rig_free(r);
}

TEST(r002_34_states_are_kept)
{
    struct rig *r = rig_new(), *old = rig_new();
    struct engine_rig g = default_engine();
    struct route fenced = rig_route(9, "a", "b", 5);
    struct err e = { 0 };
    fenced.state = ROUTE_WRITE_FENCED;
    fenced.parent_id = 4;
    CHECK_OK(catalog_save(&old->catalog, 0, &fenced, 1, NULL, &e), e);
    struct catalog_snapshot s = ensure(old, &g);
    catalog_snapshot_free(&s);
    CHECK_OK(catalog_ensure(&old->catalog, g.engine, NULL, &e),
             e); /* again, and without an answer */
    /* The engine's routes, fence and all, seed another catalog: but this engine is at version 1
     * of the first one. */
    CHECK_EQ(catalog_ensure(&r->catalog, g.engine, &s, &e), ERR_CATALOG_INTEGRITY);
    CHECK_EQ(catalog_snapshot(&r->catalog, &s, &e), ERR_OK);
    CHECK_EQ(s.routes.items[0].id, 1);
    CHECK_EQ(s.routes.items[0].parent_id, 0);
    CHECK_EQ(s.routes.items[0].state, ROUTE_WRITE_FENCED);
    catalog_snapshot_free(&s);
    engine_rig_free(&g);
    rig_free(old);
    rig_free(r);
}

TEST(r002_34_a_catalog_that_is_there_is_loaded)
{
    struct rig *r = rig_new();
    struct engine_rig g = default_engine();
    struct route route = rig_route(8, "a", "b", 5);
    struct err e = { 0 };
    CHECK_OK(catalog_save(&r->catalog, 0, &route, 1, NULL, &e), e);
    r->applies = 0;
    struct catalog_snapshot s = ensure(r, &g);
    CHECK_EQ(r->applies, 0);
    CHECK_EQ(s.stamp.version, 1);
    CHECK(s.read_ts > 0);
    CHECK_EQ(s.routes.items[0].id, 8);
    CHECK_EQ(engine_rig_group(&g, "a"), 5);
    CHECK_EQ(engine_rig_group(&g, "z"), 0);
    catalog_snapshot_free(&s);
    engine_rig_free(&g);
    rig_free(r);
}

TEST(r002_34_a_saved_catalog_without_routes_is_not_seeded)
{
    struct rig *r = rig_new();
    struct engine_rig g = default_engine();
    struct err e = { 0 };
    CHECK_OK(catalog_save(&r->catalog, 0, NULL, 0, NULL, &e), e);
    struct catalog_snapshot s = ensure(r, &g);
    CHECK_EQ(s.stamp.version, 1);
    CHECK_EQ(s.routes.count, 0);
    CHECK_EQ(engine_rig_group(&g, "a"), 0);
    catalog_snapshot_free(&s);
    engine_rig_free(&g);
    rig_free(r);
}

TEST(r002_34_routes_without_a_version_are_not_seeded_over)
{
    struct rig *r = rig_new();
    struct engine_rig g = default_engine();
    struct route route = rig_route(8, "a", "b", 5);
    struct buf record = { 0 };
    uint8_t key[RECORD_ROUTE_KEY_SIZE];
    record_route_key(8, key);
    CHECK_EQ(route_encode(&route, &record, NULL), ERR_OK);
    struct bytes value = buf_bytes(&record);
    rig_write(r->mem, bytes_from(key, sizeof key), &value);
    struct catalog_snapshot s = ensure(r, &g);
    CHECK_EQ(s.stamp.version, 0);
    CHECK_EQ(s.routes.count, 1);
    catalog_snapshot_free(&s);
    buf_free(&record);
    engine_rig_free(&g);
    rig_free(r);
}

TEST(r002_19_and_01_ensure_wants_an_engine_and_a_store)
{
    struct rig *r = rig_new();
    struct engine_rig g = default_engine();
    struct err e = { 0 };
    CHECK_EQ(catalog_ensure(&r->catalog, NULL, NULL, &e), ERR_ENGINE_REQUIRED);
    CHECK_CONTAINS(e.msg, "engine is required");
    CHECK_EQ(catalog_ensure(NULL, g.engine, NULL, &e), ERR_CATALOG_STORE_REQUIRED);
    engine_rig_free(&g);
    rig_free(r);
}

/* ---- Two nodes at once ---- */

struct rival {
    struct rig *rig;
    struct engine_rig engine;
    unsigned runs;
};

/* The other node seeds the same store, with its own engine, just before our write. */
static void seed_first(void *user)
{
    struct rival *rival = user;
    struct catalog c = { .store = &rival->rig->inner, .fresh = { { 0xdd } } };
    struct err e = { 0 };
    rival->runs++;
    CHECK_OK(catalog_ensure(&c, rival->engine.engine, NULL, &e), e);
}

TEST(d61_the_loser_of_the_seeding_race_takes_what_the_winner_saved)
{
    struct rig *r = rig_new();
    struct engine_rig g = default_engine();
    struct rival rival = { .rig = r,
                           .engine = engine_rig_new((struct catalog_engine_config){ 0 }) };
    engine_rig_update(&rival.engine, "", "k", 31);
    engine_rig_update(&rival.engine, "k", NULL, 32);
    r->before_apply = seed_first;
    r->user = &rival;
    struct catalog_snapshot s = ensure(r, &g);
    CHECK_EQ(rival.runs, 1);
    CHECK_EQ(r->applies, 1);
    CHECK_EQ(s.stamp.version, 1);
    CHECK_EQ(s.routes.count, 2);
    CHECK_EQ(s.stamp.incarnation.bytes[0], 0xdd);
    CHECK_EQ(engine_rig_group(&g, "a"), 31);
    CHECK_EQ(engine_rig_group(&g, "z"), 32);
    struct catalog_stamp left, right;
    catalog_engine_stamp(g.engine, &left);
    catalog_engine_stamp(rival.engine.engine, &right);
    CHECK(memcmp(&left, &right, sizeof left) == 0);
    catalog_snapshot_free(&s);
    uint64_t next;
    CHECK_EQ(catalog_next_route_id(&r->catalog, &next, NULL), ERR_OK);
    CHECK_EQ(next, 3); /* nothing was doubled */
    engine_rig_free(&g);
    engine_rig_free(&rival.engine);
    rig_free(r);
}

/* A store that always says that somebody was faster. */
static err_t always_conflict(void *self, const struct mvcc_batch *batch, struct err *e)
{
    struct rig *r = self;
    (void)batch;
    r->applies++;
    return err_set(e, ERR_CONFLICT, "no");
}

TEST(d61_ensure_ends_even_if_it_never_wins)
{
    struct rig *r = rig_new();
    struct engine_rig g = default_engine();
    struct catalog_snapshot s = { .read_ts = 77 };
    struct err e = { 0 };
    r->door.apply = always_conflict;
    CHECK_EQ(catalog_ensure(&r->catalog, g.engine, &s, &e), ERR_CATALOG_VERSION_MISMATCH);
    CHECK(r->applies > 1 && r->applies < 10);
    CHECK_EQ(s.read_ts, 77);
    CHECK_EQ(engine_rig_group(&g, "a"), 1);
    engine_rig_free(&g);
    rig_free(r);
}

TEST(ensure_passes_the_stores_errors_on)
{
    struct rig *r = rig_new();
    struct engine_rig g = default_engine();
    struct err e = { 0 };
    r->fail_gets = 1;
    CHECK_EQ(catalog_ensure(&r->catalog, g.engine, NULL, &e), ERR_IO);
    CHECK_EQ(catalog_engine_version(g.engine), 0);
    engine_rig_free(&g);
    rig_free(r);
}

TEST_MAIN()
