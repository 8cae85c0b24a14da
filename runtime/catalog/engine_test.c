/* Rows 002-19, 45 to 47, 49 to 56 with A2.4; traps D44, D56. */
#include "engine_rig.h"

#include "base/prng.h"

static struct route_list stats_of(struct engine_rig *g)
{
    struct route_list list;
    struct err e = { 0 };
    CHECK_OK(catalog_engine_stats(g->engine, &list, &e), e);
    return list;
}

static void check_route(const struct route *r, const char *start, const char *end, uint64_t group,
                        uint64_t load)
{
    struct route want = rig_route(r->id, start, end, group);
    want.state = r->state;
    want.load = load;
    CHECK(rig_same(r, &want));
}

static void access_times(struct engine_rig *g, const char *key, unsigned times)
{
    for (unsigned i = 0; i < times; i++)
        catalog_engine_record_access(g->reader, BYTES(key));
}

TEST(r002_46_an_engine_with_the_default_route)
{
    struct engine_rig g = engine_rig_new((struct catalog_engine_config){ .default_route = true });
    struct route_list list = stats_of(&g);
    CHECK_EQ(list.count, 1);
    check_route(&list.items[0], "", NULL, 1, 0);
    CHECK_EQ(list.items[0].id, 0);
    CHECK_EQ(list.items[0].state, ROUTE_ACTIVE);
    CHECK_EQ(catalog_engine_version(g.engine), 0);
    CHECK_EQ(engine_rig_group(&g, ""), 1);
    CHECK_EQ(engine_rig_group(&g, "anything"), 1);
    route_list_free(&list);
    engine_rig_free(&g);
}

TEST(r002_47_threshold_0_only_counts)
{
    struct engine_rig g = engine_rig_new((struct catalog_engine_config){ 0 });
    CHECK_EQ(engine_rig_group(&g, "a"), 0); /* and begins without routes */
    engine_rig_update(&g, "a", "c", 1);
    access_times(&g, "b", 1000);
    struct route_list list = stats_of(&g);
    CHECK_EQ(list.count, 1);
    check_route(&list.items[0], "a", "c", 1, 1000);
    route_list_free(&list);
    engine_rig_free(&g);
}

TEST(r002_50_get_route_is_right_half_open_and_misses_gaps)
{
    struct engine_rig g = engine_rig_new((struct catalog_engine_config){ 0 });
    engine_rig_update(&g, "b", "d", 1);
    engine_rig_update(&g, "d", "f", 2);
    engine_rig_update(&g, "m", NULL, 3);
    const struct {
        const char *key;
        uint64_t group;
    } cases[] = { { "", 0 },    { "a", 0 }, { "azz", 0 }, { "b", 1 },
                  { "czz", 1 }, { "d", 2 }, { "e", 2 },   { "ezzz", 2 },
                  { "f", 0 },   { "l", 0 }, { "m", 3 },   { "\xff\xff", 3 } };
    for (unsigned i = 0; i < RIG_COUNT(cases); i++)
        CHECK_EQ(engine_rig_group(&g, cases[i].key), cases[i].group);
    struct route r = { .id = 77 };
    struct err e = { 0 };
    CHECK_EQ(catalog_engine_get_route(g.reader, BYTES("a"), &r, &e), ERR_NOT_FOUND);
    CHECK_EQ(r.id, 77);
    CHECK_CONTAINS(e.msg, "no route");
    engine_rig_free(&g);
}

TEST(r002_50_get_route_is_a_deep_copy)
{
    struct engine_rig g = engine_rig_new((struct catalog_engine_config){ 0 });
    struct route r;
    engine_rig_update(&g, "b", "d", 1);
    CHECK_EQ(catalog_engine_get_route(g.reader, BYTES("c"), &r, NULL), ERR_OK);
    ((uint8_t *)(uintptr_t)r.start.data)[0] = 'x';
    CHECK_EQ(engine_rig_group(&g, "c"), 1);
    engine_rig_update(&g, "m", NULL, 2); /* the table is another now */
    CHECK_BYTES(r.end, BYTES("d"));
    route_free(&r);
    engine_rig_free(&g);
}

/* ---- The search ---- */

/* Keys that share long beginnings, and keys that are each other's beginnings. */
static struct bytes random_key(struct prng *p, uint8_t out[24])
{
    size_t shared = (size_t[]){ 0, 3, 8, 12 }[prng_below(p, 4)];
    memset(out, 'p', shared);
    size_t len = shared + prng_below(p, 10);
    for (size_t i = shared; i < len; i++)
        out[i] = (uint8_t[]){ 0, 1, 'p', 0xff }[prng_below(p, 4)];
    return bytes_from(out, len);
}

static int by_bytes(const void *a, const void *b)
{
    const struct route *left = a, *right = b;
    return bytes_compare(left->start, right->start);
}

/* Random disjoint routes with gaps over random keys. */
static size_t random_routes(struct prng *p, struct route *routes, uint8_t (*keys)[24], size_t max)
{
    size_t count = 0, kept = 0;
    for (size_t i = 0; i < max; i++)
        routes[i] = (struct route){ .group_id = 1, .start = random_key(p, keys[i]) };
    qsort(routes, max, sizeof *routes, by_bytes);
    for (size_t i = 0; i < max; i++) { /* without equal ones */
        if (i == 0 || !bytes_equal(routes[i].start, routes[count - 1].start))
            routes[count++] = routes[i];
    }
    for (size_t i = 0; i < count; i++) {
        struct route r = routes[i];
        r.id = i + 1;
        r.end_unbounded = i + 1 == count;
        r.end = r.end_unbounded ? (struct bytes){ 0 } : routes[i + 1].start;
        if (!prng_chance(p, 1, 5)) /* else a gap */
            routes[kept++] = r;
    }
    return kept;
}

TEST(r002_50_the_search_against_looking_at_every_route)
{
    struct prng p;
    unsigned hits = 0, misses = 0;
    prng_seed(&p, 50);
    for (unsigned round = 0; round < 200; round++) {
        struct engine_rig g = engine_rig_new((struct catalog_engine_config){ 0 });
        struct route routes[64];
        uint8_t keys[64][24], raw[24];
        size_t count = random_routes(&p, routes, keys, prng_below(&p, 64));
        struct err e = { 0 };
        CHECK_OK(engine_rig_apply(&g, 1, routes, count, &e), e);
        struct catalog_table *t = catalog_reader_enter(g.reader);
        for (unsigned i = 0; i < 200; i++) {
            struct bytes key = i < count ? routes[i].start : random_key(&p, raw);
            uint64_t want = 0;
            for (size_t k = 0; k < count; k++)
                want = route_contains(&routes[k], key) ? routes[k].id : want;
            const struct route *found = catalog_table_find(t, key);
            CHECK_EQ(found == NULL ? 0 : found->id, want);
            size_t place = catalog_table_seek(t, key);
            CHECK(place == count || routes[place].end_unbounded ||
                  bytes_compare(routes[place].end, key) > 0);
            CHECK(place == 0 || bytes_compare(routes[place - 1].end, key) <= 0);
            hits += want > 0;
            misses += want == 0;
        }
        catalog_reader_leave(g.reader);
        engine_rig_free(&g);
    }
    CHECK(hits > 1000 && misses > 1000);
}

TEST(r002_49_intersecting_routes)
{
    struct engine_rig g = engine_rig_new((struct catalog_engine_config){ 0 });
    struct err e = { 0 };
    struct route routes[] = { rig_route(4, "x", NULL, 4), rig_route(1, "b", "d", 1),
                              rig_route(3, "h", "m", 3), rig_route(2, "d", "f", 2) };
    CHECK_OK(engine_rig_apply(&g, 1, routes, 4, &e), e);
    const struct {
        const char *start, *end, *want; /* ids */
    } cases[] = { { "", NULL, "1234" },   { "c", "e", "12" },  { "d", "e", "2" },
                  { "b", "d", "1" },      { "f", "h", "" },    { "", "b", "" },
                  { "", "b0", "1" },      { "g", NULL, "34" }, { "m", NULL, "4" },
                  { "z", NULL, "4" },     { "z", "zz", "4" },  { "m", "x", "" },
                  { "czz", "x0", "1234" } };
    for (unsigned i = 0; i < RIG_COUNT(cases); i++) {
        struct route_list list;
        struct bytes end = BYTES(cases[i].end != NULL ? cases[i].end : "");
        CHECK_OK(catalog_engine_get_intersecting(g.reader, BYTES(cases[i].start),
                                                 cases[i].end != NULL ? &end : NULL, &list, &e),
                 e);
        char have[8] = "";
        for (size_t k = 0; k < list.count; k++)
            snprintf(have + k, sizeof have - k, "%d", (int)list.items[k].id);
        CHECK_STR(have, cases[i].want);
        route_list_free(&list);
    }
    engine_rig_free(&g);
}

TEST(r002_49_and_53_answers_are_deep_copies_with_loads)
{
    struct engine_rig g = engine_rig_new((struct catalog_engine_config){ 0 });
    engine_rig_update(&g, "b", "d", 1);
    access_times(&g, "c", 7);
    struct route_list list, stats = stats_of(&g);
    CHECK_EQ(catalog_engine_get_intersecting(g.reader, BYTES(""), NULL, &list, NULL), ERR_OK);
    check_route(&list.items[0], "b", "d", 1, 7);
    check_route(&stats.items[0], "b", "d", 1, 7);
    ((uint8_t *)(uintptr_t)list.items[0].start.data)[0] = 'x';
    ((uint8_t *)(uintptr_t)stats.items[0].start.data)[0] = 'x';
    CHECK_EQ(engine_rig_group(&g, "b"), 1);
    route_list_free(&list);
    route_list_free(&stats);
    engine_rig_free(&g);
}

TEST(r002_54_update_route_keeps_the_order_and_appends)
{
    struct engine_rig g = engine_rig_new((struct catalog_engine_config){ 0 });
    engine_rig_update(&g, "m", NULL, 3);
    engine_rig_update(&g, "", "c", 1);
    engine_rig_update(&g, "c", "m", 2);
    access_times(&g, "d", 4);
    engine_rig_update(&g, "c", "m", 9); /* appends; the later one answers */
    struct route_list list = stats_of(&g);
    CHECK_EQ(list.count, 4);
    check_route(&list.items[0], "", "c", 1, 0);
    check_route(&list.items[1], "c", "m", 2, 4);
    check_route(&list.items[2], "c", "m", 9, 0);
    check_route(&list.items[3], "m", NULL, 3, 0);
    CHECK_EQ(engine_rig_group(&g, "d"), 9);
    route_list_free(&list);
    engine_rig_free(&g);
}

TEST(r002_54_and_d60_an_end_that_is_present_lies_behind_the_start)
{
    struct engine_rig g = engine_rig_new((struct catalog_engine_config){ 0 });
    struct bytes empty = BYTES(""), a = BYTES("a");
    struct err e = { 0 };
    CHECK_EQ(catalog_engine_update_route(g.engine, BYTES(""), &empty, 1, &e),
             ERR_CATALOG_INVALID_ROUTE_RANGE);
    CHECK_EQ(catalog_engine_update_route(g.engine, BYTES("b"), &a, 1, &e),
             ERR_CATALOG_INVALID_ROUTE_RANGE);
    struct route_list list = stats_of(&g);
    CHECK_EQ(list.count, 0);
    route_list_free(&list);
    engine_rig_free(&g);
}

TEST(r002_54_replacing_an_equal_range_is_an_extension)
{
    struct engine_rig g = engine_rig_new((struct catalog_engine_config){ .replace_equal = true });
    engine_rig_update(&g, "c", "m", 2);
    engine_rig_update(&g, "m", NULL, 3);
    engine_rig_update(&g, "c", "m", 9);
    engine_rig_update(&g, "m", NULL, 8);
    engine_rig_update(&g, "c", "k", 7); /* not equal */
    struct route_list list = stats_of(&g);
    CHECK_EQ(list.count, 3);
    check_route(&list.items[0], "c", "m", 9, 0);
    check_route(&list.items[1], "c", "k", 7, 0);
    check_route(&list.items[2], "m", NULL, 8, 0);
    route_list_free(&list);
    engine_rig_free(&g);
}

TEST(r002_49_over_ranges_that_overlap)
{
    struct engine_rig g = engine_rig_new((struct catalog_engine_config){ 0 });
    engine_rig_update(&g, "a", "z", 1); /* only update_route can make such a table */
    engine_rig_update(&g, "c", "d", 2);
    struct route_list list;
    CHECK_EQ(catalog_engine_get_intersecting(g.reader, BYTES("m"), NULL, &list, NULL), ERR_OK);
    CHECK_EQ(list.count, 1);
    check_route(&list.items[0], "a", "z", 1, 0);
    route_list_free(&list);
    engine_rig_free(&g);
}

/* ---- Accesses ---- */

TEST(r002_52_a_route_is_split_when_the_counter_reaches_the_threshold)
{
    struct engine_rig g = engine_rig_new((struct catalog_engine_config){ .threshold = 3 });
    struct err e = { 0 };
    struct route routes[] = { rig_route(7, "a", "c", 5), rig_route(8, "c", "m", 6) };
    routes[0].state = ROUTE_MIGRATING_SOURCE;
    CHECK_OK(engine_rig_apply(&g, 4, routes, 2, &e), e);
    access_times(&g, "d", 1);
    access_times(&g, "b", 2);
    struct route_list list = stats_of(&g);
    CHECK_EQ(list.count, 2);
    check_route(&list.items[0], "a", "c", 5, 2);
    route_list_free(&list);
    access_times(&g, "b", 1);
    list = stats_of(&g);
    CHECK_EQ(list.count, 3);
    CHECK_BYTES(list.items[0].start, BYTES("a"));
    CHECK_BYTES(list.items[0].end, bytes_from("a\0", 2)); /* start and a zero byte */
    CHECK_BYTES(list.items[1].start, bytes_from("a\0", 2));
    CHECK_BYTES(list.items[1].end, BYTES("c"));
    for (unsigned i = 0; i < 2; i++) {
        CHECK_EQ(list.items[i].id, 0);
        CHECK_EQ(list.items[i].group_id, 5);
        CHECK_EQ(list.items[i].state, ROUTE_ACTIVE); /* the parent's is lost: that is D56 */
        CHECK_EQ(list.items[i].load, 0);
    }
    check_route(&list.items[2], "c", "m", 6, 1); /* the neighbour's count goes on */
    route_list_free(&list);
    CHECK_EQ(catalog_engine_version(g.engine), 4);
    CHECK_OK(engine_rig_apply(&g, 5, routes, 2, &e), e); /* and the next snapshot wipes it */
    list = stats_of(&g);
    CHECK_EQ(list.count, 2);
    CHECK_EQ(list.items[0].id, 7);
    route_list_free(&list);
    engine_rig_free(&g);
}

TEST(r002_52_without_a_midpoint_the_counter_begins_again)
{
    struct engine_rig g = engine_rig_new((struct catalog_engine_config){ .threshold = 3 });
    struct bytes end = bytes_from("a\0", 2);
    CHECK_EQ(catalog_engine_update_route(g.engine, BYTES("a"), &end, 1, NULL), ERR_OK);
    engine_rig_update(&g, "b", NULL, 2);
    access_times(&g, "a", 3);
    access_times(&g, "z", 4);
    struct route_list list = stats_of(&g);
    CHECK_EQ(list.count, 2);
    CHECK_EQ(list.items[0].load, 0);
    CHECK_EQ(list.items[1].load, 1);
    route_list_free(&list);
    engine_rig_free(&g);
}

TEST(r002_52_an_access_without_a_route_is_nothing)
{
    struct engine_rig g = engine_rig_new((struct catalog_engine_config){ .threshold = 1 });
    engine_rig_update(&g, "b", "c", 1);
    access_times(&g, "a", 5);
    access_times(&g, "c", 5);
    struct route_list list = stats_of(&g);
    CHECK_EQ(list.count, 1);
    CHECK_EQ(list.items[0].load, 0);
    route_list_free(&list);
    engine_rig_free(&g);
}

struct hot_seen {
    struct engine_rig *rig;
    unsigned calls;
    uint64_t id, load;
    enum route_state state;
};

static void on_hot(void *user, const struct route *r)
{
    struct hot_seen *seen = user;
    seen->calls++;
    seen->id = r->id;
    seen->load = r->load;
    seen->state = r->state;
    CHECK_EQ(catalog_engine_version(seen->rig->engine), 3); /* the engine may be asked */
}

TEST(d56_a_node_proposes_a_split_and_its_table_keeps_the_fence)
{
    struct hot_seen seen = { 0 };
    struct engine_rig g = engine_rig_new(
        (struct catalog_engine_config){ .threshold = 3, .hot = on_hot, .user = &seen });
    struct err e = { 0 };
    struct route routes[] = { rig_route(7, "a", "c", 5) };
    routes[0].state = ROUTE_WRITE_FENCED;
    seen.rig = &g;
    CHECK_OK(engine_rig_apply(&g, 3, routes, 1, &e), e);
    access_times(&g, "b", 2);
    CHECK_EQ(seen.calls, 0);
    access_times(&g, "b", 1);
    CHECK_EQ(seen.calls, 1);
    CHECK_EQ(seen.id, 7);
    CHECK_EQ(seen.load, 3);
    CHECK_EQ(seen.state, ROUTE_WRITE_FENCED);
    struct route_list list = stats_of(&g);
    CHECK_EQ(list.count, 1);
    CHECK_EQ(list.items[0].state, ROUTE_WRITE_FENCED);
    CHECK_EQ(list.items[0].load, 0);
    route_list_free(&list);
    access_times(&g, "b", 6);
    CHECK_EQ(seen.calls, 3);
    engine_rig_free(&g);
}

/* ---- Timestamps, versions ---- */

TEST(r002_51_and_d44_timestamps_grow_and_begin_again_with_every_engine)
{
    struct engine_rig g = engine_rig_new((struct catalog_engine_config){ 0 });
    for (uint64_t i = 1; i < 100; i++)
        CHECK_EQ(catalog_engine_next_timestamp_volatile(g.engine), i);
    engine_rig_free(&g);
    g = engine_rig_new((struct catalog_engine_config){ 0 }); /* hence "volatile" */
    CHECK_EQ(catalog_engine_next_timestamp_volatile(g.engine), 1);
    engine_rig_free(&g);
}

TEST(r002_55_version_is_that_of_the_last_snapshot)
{
    struct engine_rig g = engine_rig_new((struct catalog_engine_config){ .default_route = true });
    struct err e = { 0 };
    CHECK_EQ(catalog_engine_version(g.engine), 0);
    CHECK_OK(engine_rig_apply(&g, 41, NULL, 0, &e), e);
    CHECK_EQ(catalog_engine_version(g.engine), 41);
    engine_rig_update(&g, "a", NULL, 1);
    CHECK_EQ(catalog_engine_version(g.engine), 41);
    engine_rig_free(&g);
}

/* ---- Lives of tables ---- */

static size_t tables(struct engine_rig *g)
{
    struct catalog_engine_memory m;
    catalog_engine_memory(g->engine, &m);
    return m.tables;
}

TEST(r002_45_a_reader_keeps_the_table_that_it_entered)
{
    struct engine_rig g = engine_rig_new((struct catalog_engine_config){ 0 });
    struct err e = { 0 };
    struct route one = rig_route(1, "a", "b", 1), two = rig_route(1, "a", "b", 2);
    CHECK_OK(engine_rig_apply(&g, 1, &one, 1, &e), e);
    CHECK_EQ(tables(&g), 1);
    struct catalog_table *t = catalog_reader_enter(g.reader);
    CHECK_OK(engine_rig_apply(&g, 2, &two, 1, &e), e);
    CHECK_EQ(tables(&g), 2);
    CHECK_EQ(catalog_table_find(t, BYTES("a"))->group_id, 1);
    CHECK_EQ(catalog_table_stamp(t)->version, 1);
    CHECK(catalog_reader_enter(g.reader) == t); /* nests, and stays at that version */
    catalog_reader_leave(g.reader);
    catalog_reader_leave(g.reader);
    catalog_engine_reclaim(g.engine);
    CHECK_EQ(tables(&g), 1);
    CHECK_EQ(engine_rig_group(&g, "a"), 2);
    engine_rig_free(&g);
}

TEST(r002_45_a_reader_that_is_overtaken_while_it_enters_begins_again)
{
    struct engine_rig g = engine_rig_new((struct catalog_engine_config){ 0 });
    struct err e = { 0 };
    struct route two = rig_route(1, "a", "b", 2);
    struct catalog_table *seen = catalog_engine_current(g.engine);
    CHECK_OK(engine_rig_apply(&g, 2, &two, 1, &e),
             e); /* nobody is seen on the old table: it is freed */
    CHECK_EQ(tables(&g), 1);
    CHECK(!catalog_reader_try(g.reader, seen));
    CHECK_EQ(catalog_table_stamp(catalog_reader_enter(g.reader))->version, 2);
    catalog_reader_leave(g.reader);
    engine_rig_free(&g);
}

TEST(d90_a_reference_keeps_one_version_for_a_whole_request)
{
    struct engine_rig g = engine_rig_new((struct catalog_engine_config){ 0 });
    struct err e = { 0 };
    struct route one = rig_route(1, "a", "b", 1), two = rig_route(1, "a", "b", 2);
    CHECK_OK(engine_rig_apply(&g, 1, &one, 1, &e), e);
    struct catalog_table *t = catalog_reader_enter(g.reader);
    catalog_table_ref(t);
    catalog_reader_leave(g.reader);
    for (uint64_t v = 2; v < 10; v++)
        CHECK_OK(engine_rig_apply(&g, v, &two, 1, &e), e);
    CHECK_EQ(tables(&g), 2); /* those in between are gone */
    CHECK_EQ(catalog_table_find(t, BYTES("a"))->group_id, 1);
    catalog_table_unref(t);
    catalog_table_unref(NULL);
    catalog_engine_reclaim(g.engine);
    CHECK_EQ(tables(&g), 1);
    engine_rig_free(&g);
}

TEST(catalog_engine_memory_counts)
{
    struct engine_rig g = engine_rig_new((struct catalog_engine_config){ 0 });
    struct catalog_reader *more;
    struct err e = { 0 };
    CHECK_OK(catalog_reader_open(g.engine, &more, &e), e);
    struct catalog_engine_memory m;
    catalog_engine_memory(g.engine, &m);
    CHECK_EQ(m.readers, 2);
    CHECK(m.bytes > 0);
    catalog_reader_close(more);
    catalog_reader_close(NULL);
    catalog_engine_memory(g.engine, &m);
    CHECK_EQ(m.readers, 1);
    engine_rig_free(&g);
    catalog_engine_free(NULL);
}

TEST(r002_19_an_engine_is_required)
{
    struct catalog_reader *reader;
    struct catalog_snapshot s = { 0 };
    struct catalog_delta d = { 0 };
    struct err e = { 0 };
    CHECK_EQ(catalog_reader_open(NULL, &reader, &e), ERR_ENGINE_REQUIRED);
    CHECK_CONTAINS(e.msg, "engine is required");
    CHECK_EQ(catalog_engine_apply(NULL, &s, &e), ERR_ENGINE_REQUIRED);
    CHECK_EQ(catalog_engine_apply_delta(NULL, &d, &e), ERR_ENGINE_REQUIRED);
}

TEST_MAIN()
