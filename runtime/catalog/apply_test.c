/* Rows 002-05, 06, 08, 12, 15 to 18, 48 with A2.3; traps D58, D59, D60 where a snapshot or a
 * delta is taken over. */
#include "engine_rig.h"

#include "base/prng.h"

static struct engine_rig new_engine(void)
{
    return engine_rig_new((struct catalog_engine_config){ .default_route = true });
}

/* Nothing happened: version 2, "a" at group 5. */
static void check_untouched(struct engine_rig *g)
{
    CHECK_EQ(catalog_engine_version(g->engine), 2);
    CHECK_EQ(engine_rig_group(g, "a"), 5);
    CHECK_EQ(engine_rig_group(g, "z"), 0);
}

static struct engine_rig engine_at_2(void)
{
    struct engine_rig g = new_engine();
    struct route r = rig_route(1, "a", "b", 5);
    struct err e = { 0 };
    CHECK_OK(engine_rig_apply(&g, 2, &r, 1, &e), e);
    check_untouched(&g);
    return g;
}

static void check_refused(struct route *routes, size_t count, err_t want)
{
    struct engine_rig g = engine_at_2();
    struct err e = { 0 };
    CHECK_EQ(engine_rig_apply(&g, 3, routes, count, &e), want);
    CHECK_CONTAINS(e.msg, catalog_error_text(want));
    check_untouched(&g);
    engine_rig_free(&g);
}

TEST(r002_48_a_newer_snapshot_replaces_everything_in_any_order)
{
    struct engine_rig g = engine_at_2();
    struct route routes[] = { rig_route(9, "m", NULL, 3), rig_route(4, "", "c", 1),
                              rig_route(7, "c", "k", 2) };
    struct err e = { 0 };
    for (unsigned i = 0; i < 5; i++)
        catalog_engine_record_access(g.reader, BYTES("a"));
    CHECK_OK(engine_rig_apply(&g, 7, routes, 3, &e), e);
    CHECK_EQ(catalog_engine_version(g.engine), 7);
    struct route_list list;
    CHECK_OK(catalog_engine_stats(g.engine, &list, &e), e);
    CHECK_EQ(list.count, 3);
    CHECK(rig_same(&list.items[0], &routes[1])); /* loads are 0 again */
    CHECK(rig_same(&list.items[1], &routes[2]));
    CHECK(rig_same(&list.items[2], &routes[0]));
    route_list_free(&list);
    CHECK_EQ(engine_rig_group(&g, "l"), 0); /* a gap */
    engine_rig_free(&g);
}

TEST(r002_48_the_engine_keeps_no_pointer_into_a_snapshot)
{
    struct engine_rig g = new_engine();
    uint8_t start[] = "a", end[] = "b";
    struct route r = { .id = 1, .group_id = 5, .start = { start, 1 }, .end = { end, 1 } };
    struct err e = { 0 };
    CHECK_OK(engine_rig_apply(&g, 2, &r, 1, &e), e);
    start[0] = 'x', end[0] = 'y';
    check_untouched(&g);
    engine_rig_free(&g);
}

TEST(r002_48_no_routes_are_legal_and_clear_the_table)
{
    struct engine_rig g = engine_at_2();
    struct err e = { 0 };
    CHECK_OK(engine_rig_apply(&g, 3, NULL, 0, &e), e);
    CHECK_EQ(engine_rig_group(&g, "a"), 0);
    CHECK_EQ(catalog_engine_version(g.engine), 3);
    engine_rig_free(&g);
}

TEST(r002_15_an_older_snapshot_is_stale_and_its_routes_are_not_looked_at)
{
    struct engine_rig g = engine_at_2();
    struct route bad = rig_route(0, "z", "a", 0);
    struct err e = { 0 };
    CHECK_EQ(engine_rig_apply(&g, 1, &bad, 1, &e), ERR_ENGINE_SNAPSHOT_VERSION_STALE);
    CHECK_CONTAINS(e.msg, "engine snapshot version is stale");
    CHECK_CONTAINS(e.msg, "snapshot version 1");
    CHECK_CONTAINS(e.msg, "engine catalog version 2");
    check_untouched(&g);
    engine_rig_free(&g);
}

TEST(r002_48_the_same_version_changes_nothing)
{
    struct engine_rig g = engine_at_2();
    struct route r = rig_route(1, "a", "b", 5);
    struct err e = { 0 };
    catalog_engine_record_access(g.reader, BYTES("a"));
    CHECK_OK(engine_rig_apply(&g, 2, &r, 1, &e), e);
    struct route have;
    CHECK_EQ(catalog_engine_get_route(g.reader, BYTES("a"), &have, NULL), ERR_OK);
    CHECK_EQ(have.load, 1);
    route_free(&have);
    engine_rig_free(&g);
}

TEST(r002_48_version_0_meets_the_default_route_and_changes_nothing)
{
    struct engine_rig g = new_engine();
    struct route bad = rig_route(0, "z", "a", 0); /* nor is anything validated */
    struct err e = { 0 };
    CHECK_OK(engine_rig_apply(&g, 0, &bad, 1, &e), e);
    CHECK_EQ(engine_rig_group(&g, "anything"), 1);
    engine_rig_free(&g);
}

TEST(r002_48_the_version_is_looked_at_again_under_the_lock)
{
    struct engine_rig g = engine_at_2();
    struct route three = rig_route(1, "a", "b", 3), four = rig_route(1, "a", "b", 4);
    struct catalog_snapshot s = engine_rig_snapshot(3, &three, 1);
    struct catalog_table *prepared;
    struct err e = { 0 };
    CHECK_OK(catalog_engine_prepare(g.engine, &s, &prepared, &e), e);
    CHECK_OK(engine_rig_apply(&g, 4, &four, 1, &e), e); /* overtakes */
    CHECK_EQ(catalog_engine_commit(g.engine, prepared, &e), ERR_ENGINE_SNAPSHOT_VERSION_STALE);
    CHECK_EQ(engine_rig_group(&g, "a"), 4);
    struct catalog_snapshot same = engine_rig_snapshot(5, &four, 1);
    CHECK_OK(catalog_engine_prepare(g.engine, &same, &prepared, &e), e);
    CHECK_OK(engine_rig_apply(&g, 5, &four, 1, &e), e);
    CHECK_OK(catalog_engine_commit(g.engine, prepared, &e), e); /* equal: nothing */
    CHECK_EQ(catalog_engine_version(g.engine), 5);
    engine_rig_free(&g);
}

/* ---- Faults of routes ---- */

TEST(r002_05_06_08_12_a_snapshot_obeys_the_catalogs_rules)
{
    struct route r = rig_route(0, "a", "b", 1);
    check_refused(&r, 1, ERR_CATALOG_ROUTE_ID_REQUIRED);
    r = rig_route(1, "a", "b", 0);
    check_refused(&r, 1, ERR_CATALOG_GROUP_ID_REQUIRED);
    r = rig_route(1, "b", "b", 1);
    check_refused(&r, 1, ERR_CATALOG_INVALID_ROUTE_RANGE);
    r = rig_route(1, "a", "b", 1);
    r.state = (enum route_state)4;
    check_refused(&r, 1, ERR_CATALOG_INVALID_ROUTE_STATE);
}

TEST(d60_a_present_empty_end_is_not_taken_over)
{
    struct route r = rig_route(1, "", "", 1);
    check_refused(&r, 1, ERR_CATALOG_INVALID_ROUTE_RANGE);
}

TEST(r002_16_duplicate_ids)
{
    struct route r[] = { rig_route(3, "a", "b", 1), rig_route(4, "b", "c", 1),
                         rig_route(3, "c", "d", 1) };
    check_refused(r, 3, ERR_ENGINE_SNAPSHOT_DUPLICATE_ID);
}

TEST(r002_17_overlapping_routes)
{
    struct route r[] = { rig_route(3, "c", "e", 1), rig_route(4, "a", "c0", 1) };
    check_refused(r, 2, ERR_ENGINE_SNAPSHOT_ROUTE_OVERLAP);
}

TEST(r002_18_equal_starts_and_an_unbounded_route_that_is_not_the_last)
{
    struct route equal[] = { rig_route(3, "a", "b", 1), rig_route(4, "a", "c", 1) };
    check_refused(equal, 2, ERR_ENGINE_SNAPSHOT_ROUTE_ORDER);
    struct route open[] = { rig_route(4, "c", "d", 1), rig_route(3, "a", NULL, 1) };
    check_refused(open, 2, ERR_ENGINE_SNAPSHOT_ROUTE_ORDER);
}

/* ---- D58 ---- */

static const struct catalog_id here = { { 1 } }, there = { { 2 } };

static struct catalog_stamp stamp_of(uint64_t version, const struct catalog_id *id,
                                     const struct route *routes, size_t count)
{
    return (struct catalog_stamp){ .version = version,
                                   .incarnation = *id,
                                   .hash = catalog_hash_of(routes, count) };
}

TEST(d58_one_version_with_two_contents_raises_an_alarm)
{
    struct engine_rig g = engine_at_2();
    struct route other = rig_route(1, "a", "b", 6);
    struct err e = { 0 };
    CHECK_EQ(engine_rig_apply(&g, 2, &other, 1, &e), ERR_CATALOG_INTEGRITY);
    CHECK_CONTAINS(e.msg, "version 2 has two contents");
    check_untouched(&g);
    struct catalog_snapshot s = engine_rig_snapshot(2, &other, 1);
    s.stamp.hash.bytes[0] = 1; /* a hash that came along */
    CHECK_EQ(catalog_engine_apply(g.engine, &s, &e), ERR_CATALOG_INTEGRITY);
    check_untouched(&g);
    engine_rig_free(&g);
}

TEST(d58_another_incarnation_raises_an_alarm_at_any_version)
{
    for (uint64_t version = 1; version <= 4; version++) {
        struct engine_rig g = new_engine();
        struct route r = rig_route(1, "a", "b", 5);
        struct catalog_snapshot s = engine_rig_snapshot(2, &r, 1);
        struct err e = { 0 };
        s.stamp = stamp_of(2, &here, &r, 1);
        CHECK_OK(catalog_engine_apply(g.engine, &s, &e), e);
        s.stamp = stamp_of(version, &there, &r, 1);
        CHECK_EQ(catalog_engine_apply(g.engine, &s, &e), ERR_CATALOG_INTEGRITY);
        CHECK_CONTAINS(e.msg, "two catalogs");
        check_untouched(&g);
        engine_rig_free(&g);
    }
}

/* ---- Deltas ---- */

TEST(d59_deltas_are_contiguous)
{
    struct engine_rig g = engine_at_2();
    struct route r[] = { rig_route(1, "a", "b", 5), rig_route(2, "x", "z", 6) };
    struct catalog_delta d = { .put = &r[1], .put_count = 1 };
    struct err e = { 0 };
    d.stamp = stamp_of(4, &here, r, 2); /* a hole */
    CHECK_EQ(catalog_engine_apply_delta(g.engine, &d, &e), ERR_CATALOG_VERSION_MISMATCH);
    CHECK_CONTAINS(e.msg, "a delta to version 4 met version 2");
    check_untouched(&g);
    d.stamp = stamp_of(3, &here, r, 2);
    CHECK_OK(catalog_engine_apply_delta(g.engine, &d, &e), e);
    CHECK_EQ(catalog_engine_version(g.engine), 3);
    CHECK_EQ(engine_rig_group(&g, "y"), 6);
    CHECK_OK(catalog_engine_apply_delta(g.engine, &d, &e), e); /* again: nothing */
    d.stamp = stamp_of(2, &here, r, 1);
    CHECK_EQ(catalog_engine_apply_delta(g.engine, &d, &e), ERR_ENGINE_SNAPSHOT_VERSION_STALE);
    CHECK_EQ(catalog_engine_version(g.engine), 3);
    engine_rig_free(&g);
}

TEST(d58_a_delta_that_does_not_lead_where_it_says_raises_an_alarm)
{
    struct engine_rig g = engine_at_2();
    struct route r[] = { rig_route(1, "a", "b", 5), rig_route(2, "x", "z", 6) };
    struct catalog_delta d = { .put = &r[1], .put_count = 1, .stamp = stamp_of(3, &here, r, 1) };
    struct err e = { 0 };
    CHECK_EQ(catalog_engine_apply_delta(g.engine, &d, &e), ERR_CATALOG_INTEGRITY);
    check_untouched(&g);
    uint64_t missing = 77; /* removes what we do not have, so we miss something else too */
    d = (struct catalog_delta){ .removed = &missing, .removed_count = 1 };
    d.stamp = stamp_of(3, &here, NULL, 0);
    CHECK_EQ(catalog_engine_apply_delta(g.engine, &d, &e), ERR_CATALOG_INTEGRITY);
    uint64_t both = 2;
    d = (struct catalog_delta){
        .removed = &both, .removed_count = 1, .put = &r[1], .put_count = 1
    };
    d.stamp = stamp_of(3, &here, r, 2);
    CHECK_EQ(catalog_engine_apply_delta(g.engine, &d, &e), ERR_CATALOG_INTEGRITY);
    check_untouched(&g);
    engine_rig_free(&g);
}

TEST(d57_a_delta_obeys_the_rules_of_a_snapshot)
{
    struct engine_rig g = engine_at_2();
    struct route all[] = { rig_route(1, "a", "b", 5), rig_route(2, "aa", "z", 6) };
    struct catalog_delta d = { .put = &all[1],
                               .put_count = 1,
                               .stamp = stamp_of(3, &here, all, 2) };
    struct err e = { 0 };
    CHECK_EQ(catalog_engine_apply_delta(g.engine, &d, &e), ERR_ENGINE_SNAPSHOT_ROUTE_OVERLAP);
    struct route twice[] = { rig_route(2, "x", "y", 6), rig_route(2, "y", "z", 6) };
    d = (struct catalog_delta){ .put = twice, .put_count = 2, .stamp = { .version = 3 } };
    CHECK_EQ(catalog_engine_apply_delta(g.engine, &d, &e), ERR_ENGINE_SNAPSHOT_DUPLICATE_ID);
    twice[0].group_id = 0;
    CHECK_EQ(catalog_engine_apply_delta(g.engine, &d, &e), ERR_CATALOG_GROUP_ID_REQUIRED);
    check_untouched(&g);
    engine_rig_free(&g);
}

TEST(d56_after_a_split_that_no_catalog_knows_a_delta_asks_for_a_snapshot)
{
    struct engine_rig g = engine_rig_new((struct catalog_engine_config){ .threshold = 1 });
    struct route r[] = { rig_route(1, "a", "b", 5), rig_route(2, "x", "z", 6) };
    struct catalog_delta d = { .put = &r[1], .put_count = 1, .stamp = stamp_of(3, &here, r, 2) };
    struct err e = { 0 };
    CHECK_OK(engine_rig_apply(&g, 2, r, 1, &e), e);
    catalog_engine_record_access(g.reader, BYTES("a"));
    CHECK_EQ(catalog_engine_apply_delta(g.engine, &d, &e), ERR_CATALOG_VERSION_MISMATCH);
    CHECK_OK(engine_rig_apply(&g, 3, r, 2, &e), e);
    engine_rig_free(&g);
}

TEST(a_first_delta_ends_the_default_route)
{
    struct engine_rig g = new_engine();
    struct route r = rig_route(1, "a", "b", 5);
    struct catalog_delta d = { .put = &r, .put_count = 1, .stamp = stamp_of(1, &here, &r, 1) };
    struct err e = { 0 };
    CHECK_OK(catalog_engine_apply_delta(g.engine, &d, &e), e);
    CHECK_EQ(engine_rig_group(&g, "z"), 0);
    CHECK_EQ(engine_rig_group(&g, "a"), 5);
    engine_rig_free(&g);
}

static void check_same_engines(struct engine_rig *a, struct engine_rig *b)
{
    struct route_list left, right;
    struct catalog_stamp have, want;
    CHECK_EQ(catalog_engine_stats(a->engine, &left, NULL), ERR_OK);
    CHECK_EQ(catalog_engine_stats(b->engine, &right, NULL), ERR_OK);
    CHECK_EQ(left.count, right.count);
    for (size_t i = 0; i < left.count; i++) {
        left.items[i].load = right.items[i].load = 0;
        CHECK(rig_same(&left.items[i], &right.items[i]));
    }
    catalog_engine_stamp(a->engine, &have);
    catalog_engine_stamp(b->engine, &want);
    CHECK(memcmp(&have, &want, sizeof have) == 0);
    route_list_free(&left);
    route_list_free(&right);
}

/* Saves at random; one engine follows by snapshots, one by deltas. */
TEST(d59_deltas_lead_where_snapshots_lead)
{
    struct rig *r = rig_new();
    struct engine_rig by_snapshot = new_engine(), by_delta = new_engine();
    struct prng p;
    prng_seed(&p, 59);
    char keys[41][4];
    for (unsigned i = 0; i <= 40; i++)
        snprintf(keys[i], sizeof keys[i], "%02u", i);
    for (uint64_t version = 0; version < 150; version++) {
        struct route routes[40];
        size_t count = 0;
        for (unsigned i = 0; i < 40; i++) {
            struct route route = rig_route(i + 1, keys[i], keys[i + 1], 1 + prng_below(&p, 3));
            if (prng_chance(&p, 4, 5))
                routes[count++] = route;
        }
        struct catalog_plan plan;
        struct catalog_snapshot s;
        struct err e = { 0 };
        CHECK_OK(catalog_plan(&r->catalog, version, routes, count, &plan, &e), e);
        CHECK_OK(r->door.apply(r, &plan.batch, &e), e);
        CHECK_OK(catalog_snapshot(&r->catalog, &s, &e), e);
        CHECK_OK(catalog_engine_apply(by_snapshot.engine, &s, &e), e);
        CHECK_OK(catalog_engine_apply_delta(by_delta.engine, &plan.delta, &e), e);
        check_same_engines(&by_delta, &by_snapshot);
        catalog_snapshot_free(&s);
        catalog_plan_free(&plan);
    }
    engine_rig_free(&by_snapshot);
    engine_rig_free(&by_delta);
    rig_free(r);
}

TEST(loads_of_routes_that_a_delta_does_not_touch_go_on)
{
    struct engine_rig g = engine_at_2();
    struct route r[] = { rig_route(1, "a", "b", 5), rig_route(2, "x", "z", 6) };
    struct catalog_delta d = { .put = &r[1], .put_count = 1, .stamp = stamp_of(3, &here, r, 2) };
    struct route have;
    struct err e = { 0 };
    catalog_engine_record_access(g.reader, BYTES("a"));
    CHECK_OK(catalog_engine_apply_delta(g.engine, &d, &e), e);
    CHECK_EQ(catalog_engine_get_route(g.reader, BYTES("a"), &have, NULL), ERR_OK);
    CHECK_EQ(have.load, 1);
    route_free(&have);
    engine_rig_free(&g);
}

TEST_MAIN()
