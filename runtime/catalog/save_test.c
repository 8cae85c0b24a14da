/* Rows 002-02 to 08, 33, 37 with A2.2; traps D57, D58, D60, D61 (ids). */
#include "catalog_rig.h"

#include "base/prng.h"

static struct route three[3];

static void three_routes(void)
{
    three[0] = rig_route(1, "", "c", 1);
    three[1] = rig_route(2, "c", "m", 2);
    three[2] = rig_route(3, "m", NULL, 3);
}

static struct rig *saved_three(void)
{
    struct rig *r = rig_new();
    struct err e = { 0 };
    three_routes();
    CHECK_OK(catalog_save(&r->catalog, 0, three, 3, NULL, &e), e);
    return r;
}

static void check_refused(struct rig *r, uint64_t expected, const struct route *routes,
                          size_t count, err_t want)
{
    struct catalog_snapshot s = { .read_ts = 77 };
    struct err e = { 0 };
    uint64_t before = rig_now(r);
    unsigned applies = r->applies;
    CHECK_EQ(catalog_save(&r->catalog, expected, routes, count, &s, &e), want);
    CHECK_CONTAINS(e.msg, catalog_error_text(want));
    CHECK_EQ(s.read_ts, 77);
    CHECK_EQ(rig_now(r), before);
    CHECK_EQ(r->applies, applies);
}

static struct catalog_snapshot snapshot_of(struct rig *r)
{
    struct catalog_snapshot s;
    struct err e = { 0 };
    CHECK_OK(catalog_snapshot(&r->catalog, &s, &e), e);
    return s;
}

TEST(r002_37_and_33_a_save_answers_the_new_catalog)
{
    struct rig *r = rig_new();
    struct catalog_snapshot s;
    struct err e = { 0 };
    uint8_t start[] = "c";
    three_routes();
    struct route routes[] = { three[2], three[1], three[0] };
    routes[1].start = bytes_from(start, 1);
    routes[1].load = 99; /* an engine's, and none of the catalog's */
    CHECK_OK(catalog_save(&r->catalog, 0, routes, 3, &s, &e), e);
    start[0] = 'X'; /* deep */
    CHECK_EQ(s.stamp.version, 1);
    CHECK_EQ(s.read_ts, 0);
    CHECK_EQ(s.routes.count, 3);
    for (unsigned i = 0; i < 3; i++)
        CHECK(rig_same(&s.routes.items[i], &three[i]));
    struct catalog_snapshot stored = snapshot_of(r);
    CHECK_EQ(stored.routes.count, 3);
    CHECK(memcmp(&stored.stamp, &s.stamp, sizeof s.stamp) == 0);
    CHECK(stored.read_ts > 0);
    catalog_snapshot_free(&stored);
    catalog_snapshot_free(&s);
    rig_free(r);
}

TEST(r002_37_versions_grow_by_exactly_one)
{
    struct rig *r = saved_three();
    for (uint64_t v = 1; v < 5; v++) {
        struct catalog_snapshot s;
        struct err e = { 0 };
        CHECK_OK(catalog_save(&r->catalog, v, three, 3, &s, &e), e);
        CHECK_EQ(s.stamp.version, v + 1);
        catalog_snapshot_free(&s);
    }
    rig_free(r);
}

/* ---- The order of checks ---- */

TEST(r002_02_another_version_than_expected)
{
    struct rig *r = saved_three();
    check_refused(r, 0, three, 3, ERR_CATALOG_VERSION_MISMATCH);
    check_refused(r, 2, three, 3, ERR_CATALOG_VERSION_MISMATCH);
    check_refused(r, UINT64_MAX, three, 3, ERR_CATALOG_VERSION_MISMATCH);
    rig_free(r);
}

TEST(r002_37_routes_are_checked_before_the_version)
{
    struct rig *r = saved_three();
    struct route bad = rig_route(0, "a", "b", 1);
    check_refused(r, 99, &bad, 1, ERR_CATALOG_ROUTE_ID_REQUIRED);
    bad = rig_route(1, "a", "b", 0);
    check_refused(r, 99, &bad, 1, ERR_CATALOG_GROUP_ID_REQUIRED);
    bad = rig_route(1, "a", "b", 1);
    bad.state = (enum route_state)4;
    check_refused(r, 99, &bad, 1, ERR_CATALOG_INVALID_ROUTE_STATE);
    bad = rig_route(1, "b", "b", 1);
    check_refused(r, 99, &bad, 1, ERR_CATALOG_INVALID_ROUTE_RANGE);
    rig_free(r);
}

TEST(r002_37_routes_are_checked_in_the_order_given)
{
    struct rig *r = saved_three();
    struct route twice_then_bad[] = { three[0], three[0], rig_route(0, "x", "y", 1) };
    check_refused(r, 1, twice_then_bad, 3, ERR_CATALOG_DUPLICATE_ROUTE_ID);
    struct route bad_then_twice[] = { three[0], rig_route(0, "x", "y", 1), three[0] };
    check_refused(r, 1, bad_then_twice, 3, ERR_CATALOG_ROUTE_ID_REQUIRED);
    struct route id_before_group = { .id = 0, .group_id = 0, .state = (enum route_state)9 };
    check_refused(r, 1, &id_before_group, 1, ERR_CATALOG_ROUTE_ID_REQUIRED);
    id_before_group.id = 1;
    check_refused(r, 1, &id_before_group, 1, ERR_CATALOG_GROUP_ID_REQUIRED);
    id_before_group.group_id = 1;
    check_refused(r, 1, &id_before_group, 1, ERR_CATALOG_INVALID_ROUTE_STATE);
    id_before_group.state = ROUTE_ACTIVE;
    check_refused(r, 1, &id_before_group, 1, ERR_CATALOG_INVALID_ROUTE_RANGE);
    rig_free(r);
}

TEST(r002_07_an_id_twice_in_the_input)
{
    struct rig *r = rig_new();
    struct route twice[] = { rig_route(4, "a", "b", 1), rig_route(5, "b", "c", 1),
                             rig_route(4, "c", "d", 1) };
    check_refused(r, 0, twice, 3, ERR_CATALOG_DUPLICATE_ROUTE_ID);
    rig_free(r);
}

TEST(d57_overlaps_are_refused_before_anything_is_written)
{
    struct rig *r = saved_three();
    struct route overlap[] = { rig_route(1, "m", "z", 1), rig_route(2, "a", "n", 1) };
    check_refused(r, 1, overlap, 2, ERR_ENGINE_SNAPSHOT_ROUTE_OVERLAP);
    struct route same_start[] = { rig_route(1, "a", "b", 1), rig_route(2, "a", "c", 1) };
    check_refused(r, 1, same_start, 2, ERR_ENGINE_SNAPSHOT_ROUTE_ORDER);
    struct route open[] = { rig_route(1, "a", NULL, 1), rig_route(2, "b", "c", 1) };
    check_refused(r, 1, open, 2, ERR_ENGINE_SNAPSHOT_ROUTE_ORDER);
    rig_free(r);
}

TEST(d57_precedence_a_duplicate_id_comes_first_and_the_version_after)
{
    struct rig *r = saved_three();
    struct route twice_and_overlap[] = { rig_route(1, "a", "m", 1), rig_route(1, "b", "z", 1) };
    check_refused(r, 1, twice_and_overlap, 2, ERR_CATALOG_DUPLICATE_ROUTE_ID);
    struct route overlap[] = { rig_route(1, "a", "m", 1), rig_route(2, "b", "z", 1) };
    check_refused(r, 99, overlap, 2, ERR_ENGINE_SNAPSHOT_ROUTE_OVERLAP);
    rig_free(r);
}

TEST(d57_gaps_stay_legal)
{
    struct rig *r = rig_new();
    struct err e = { 0 };
    struct route gaps[] = { rig_route(1, "b", "c", 1), rig_route(2, "x", "y", 1) };
    CHECK_OK(catalog_save(&r->catalog, 0, gaps, 2, NULL, &e), e);
    CHECK_OK(catalog_save(&r->catalog, 1, NULL, 0, NULL, &e), e); /* nothing at all is a gap too */
    struct catalog_snapshot s = snapshot_of(r);
    CHECK_EQ(s.stamp.version, 2);
    CHECK_EQ(s.routes.count, 0);
    catalog_snapshot_free(&s);
    rig_free(r);
}

TEST(d60_a_present_empty_end_is_not_stored)
{
    struct rig *r = rig_new();
    struct route empty_end = rig_route(1, "", "", 1);
    check_refused(r, 0, &empty_end, 1, ERR_CATALOG_INVALID_ROUTE_RANGE);
    struct route all = rig_route(1, "", NULL, 1);
    struct err e = { 0 };
    CHECK_OK(catalog_save(&r->catalog, 0, &all, 1, NULL, &e), e);
    struct catalog_snapshot s = snapshot_of(r);
    CHECK(s.routes.items[0].end_unbounded);
    catalog_snapshot_free(&s);
    rig_free(r);
}

/* ---- Overflows ---- */

static void write_version(struct rig *r, uint64_t version)
{
    uint8_t number[RECORD_NUMBER_SIZE], identity[RECORD_IDENTITY_SIZE];
    struct catalog_stamp stamp = { .version = version, .hash = catalog_hash_empty() };
    record_version_encode(version, number);
    record_identity_encode(&stamp, identity);
    struct mvcc_mutation rows[] = {
        { .key = record_version_key(), .value = bytes_from(number, sizeof number) },
        { .key = record_identity_key(), .value = bytes_from(identity, sizeof identity) },
    };
    struct mvcc_batch b = { .mutations = rows, .count = 2, .start_ts = rig_now(r) };
    CHECK_EQ(mvcc_mem_apply(r->mem, &b, NULL, NULL), ERR_OK);
}

TEST(r002_03_the_last_version_has_no_successor)
{
    struct rig *r = rig_new();
    three_routes();
    write_version(r, UINT64_MAX);
    check_refused(r, UINT64_MAX, three, 3, ERR_CATALOG_VERSION_OVERFLOW);
    check_refused(r, UINT64_MAX - 1, three, 3, ERR_CATALOG_VERSION_MISMATCH);
    rig_free(r);
}

static void use_up_time(void *user)
{
    struct rig *r = user;
    struct bytes x = BYTES("x");
    struct mvcc_mutation m = { .key = BYTES("k"), .value = x };
    struct mvcc_batch b = { .mutations = &m, .count = 1, .commit_ts = UINT64_MAX };
    b.start_ts = rig_now(r);
    CHECK_EQ(mvcc_mem_apply(r->mem, &b, NULL, NULL), ERR_OK);
}

TEST(r002_03_the_last_timestamp_has_no_successor)
{
    struct rig *r = rig_new();
    three_routes();
    use_up_time(r);
    check_refused(r, 0, three, 3, ERR_CATALOG_VERSION_OVERFLOW);
    check_refused(r, 1, three, 3, ERR_CATALOG_VERSION_MISMATCH); /* which is looked at first */
    rig_free(r);
}

TEST(r002_03_nor_if_it_is_used_up_while_planning)
{
    struct rig *r = rig_new();
    struct err e = { 0 };
    three_routes();
    r->before_scan = use_up_time;
    r->user = r;
    CHECK_EQ(catalog_save(&r->catalog, 0, three, 3, NULL, &e), ERR_CATALOG_VERSION_OVERFLOW);
    CHECK_EQ(r->applies, 0);
    rig_free(r);
    r = rig_new();
    r->before_apply = use_up_time;
    r->user = r;
    CHECK_EQ(catalog_save(&r->catalog, 0, three, 3, NULL, &e), ERR_CATALOG_VERSION_OVERFLOW);
    CHECK_CONTAINS(e.msg, "catalog version overflow");
    rig_free(r);
}

TEST(r002_04_an_id_without_successor_cannot_be_saved)
{
    struct rig *r = rig_new();
    struct route last = rig_route(UINT64_MAX, "a", "b", 1);
    check_refused(r, 0, &last, 1, ERR_CATALOG_ROUTE_ID_OVERFLOW);
    rig_free(r);
}

/* ---- What is written ---- */

static const struct mvcc_mutation *find(const struct mvcc_batch *b, struct bytes key)
{
    for (size_t i = 0; i < b->count; i++) {
        if (bytes_equal(b->mutations[i].key, key))
            return &b->mutations[i];
    }
    return NULL;
}

static const struct mvcc_mutation *find_route(const struct mvcc_batch *b, uint64_t id)
{
    uint8_t key[RECORD_ROUTE_KEY_SIZE];
    record_route_key(id, key);
    return find(b, bytes_from(key, sizeof key));
}

TEST(r002_37_unchanged_rows_are_not_rewritten)
{
    struct rig *r = saved_three();
    struct catalog_plan p;
    struct err e = { 0 };
    struct route next[] = { three[0], three[1], rig_route(4, "m", NULL, 3) };
    next[1].group_id = 9; /* changed; 3 removed; 4 new; 1 as it was */
    CHECK_OK(catalog_plan(&r->catalog, 1, next, 3, &p, &e), e);
    CHECK_EQ(p.batch.count, 3 + 3);
    CHECK(find_route(&p.batch, 1) == NULL);
    CHECK(!find_route(&p.batch, 2)->remove);
    CHECK(find_route(&p.batch, 3)->remove);
    CHECK(!find_route(&p.batch, 4)->remove);
    CHECK_BYTES(find(&p.batch, record_version_key())->value, bytes_from("\1\0\0\0\0\0\0\0\2", 9));
    CHECK_BYTES(find(&p.batch, record_next_route_id_key())->value,
                bytes_from("\1\0\0\0\0\0\0\0\5", 9));
    CHECK_EQ(p.delta.stamp.version, 2);
    CHECK_EQ(p.delta.removed_count, 1);
    CHECK_EQ(p.delta.removed[0], 3);
    CHECK_EQ(p.delta.put_count, 2);
    CHECK_EQ(p.delta.put[0].id, 2);
    CHECK_EQ(p.delta.put[1].id, 4);
    catalog_plan_free(&p);
    catalog_plan_free(&p);
    catalog_plan_free(NULL);
    rig_free(r);
}

TEST(r002_37_every_field_makes_a_change)
{
    struct rig *r = saved_three();
    struct route changed[6];
    for (unsigned i = 0; i < 6; i++)
        changed[i] = three[1];
    changed[0].group_id++;
    changed[1].parent_id++;
    changed[2].state = ROUTE_WRITE_FENCED;
    changed[3].start = BYTES("d");
    changed[4].end = BYTES("k");
    changed[5].end = (struct bytes){ 0 };
    changed[5].end_unbounded = true;
    for (unsigned i = 0; i < 6; i++) {
        struct catalog_plan p;
        struct err e = { 0 };
        struct route routes[] = { three[0], changed[i] };
        CHECK_OK(catalog_plan(&r->catalog, 1, routes, 2, &p, &e), e);
        CHECK(find_route(&p.batch, 2) != NULL && !find_route(&p.batch, 2)->remove);
        CHECK(find_route(&p.batch, 1) == NULL);
        catalog_plan_free(&p);
    }
    rig_free(r);
}

TEST(r002_37_unchanged_rows_keep_their_commit_timestamp)
{
    struct rig *r = saved_three();
    struct err e = { 0 };
    uint64_t first = rig_now(r);
    three[1].group_id = 9;
    CHECK_OK(catalog_save(&r->catalog, 1, three, 3, NULL, &e), e);
    /* A writer that began at `first` may still write rows 1 and 3, and not row 2. */
    for (uint64_t id = 1; id <= 3; id++) {
        uint8_t key[RECORD_ROUTE_KEY_SIZE];
        record_route_key(id, key);
        struct mvcc_mutation m = { .key = bytes_from(key, sizeof key), .remove = true };
        struct mvcc_batch b = { .mutations = &m, .count = 1, .start_ts = first };
        CHECK_EQ(mvcc_mem_apply(r->mem, &b, NULL, NULL), id == 2 ? ERR_CONFLICT : ERR_OK);
    }
    rig_free(r);
}

TEST(d61_ids_are_never_given_twice)
{
    struct rig *r = rig_new();
    struct err e = { 0 };
    uint64_t next = 0;
    struct route high = rig_route(100, "a", "b", 1), low = rig_route(3, "a", "b", 1);
    CHECK_OK(catalog_save(&r->catalog, 0, &high, 1, NULL, &e), e);
    CHECK_OK(catalog_save(&r->catalog, 1, &low, 1, NULL, &e), e); /* 100 is gone */
    CHECK_OK(catalog_next_route_id(&r->catalog, &next, &e), e);
    CHECK_EQ(next, 101);
    CHECK_OK(catalog_save(&r->catalog, 2, NULL, 0, NULL, &e), e);
    CHECK_OK(catalog_next_route_id(&r->catalog, &next, &e), e);
    CHECK_EQ(next, 101);
    rig_free(r);
}

TEST(r002_37_next_id_is_the_largest_of_counter_stored_and_new)
{
    struct rig *r = rig_new();
    struct err e = { 0 };
    uint64_t next = 0;
    struct route stored = rig_route(50, "a", "b", 1);
    struct buf record = { 0 };
    uint8_t key[RECORD_ROUTE_KEY_SIZE];
    record_route_key(50, key);
    CHECK_EQ(route_encode(&stored, &record, NULL), ERR_OK);
    struct bytes value = buf_bytes(&record);
    rig_write(r->mem, bytes_from(key, sizeof key), &value); /* a row without a counter */
    three_routes();
    CHECK_OK(catalog_save(&r->catalog, 0, three, 3, NULL, &e), e);
    CHECK_OK(catalog_next_route_id(&r->catalog, &next, &e), e);
    CHECK_EQ(next, 51);
    buf_free(&record);
    rig_free(r);
}

/* ---- Races ---- */

static void save_as_other(void *user)
{
    struct rig *r = user;
    struct catalog other = { .store = &r->inner };
    struct route route = rig_route(8, "q", "r", 8);
    CHECK_EQ(catalog_save(&other, 1, &route, 1, NULL, NULL), ERR_OK);
}

TEST(r002_02_the_loser_of_the_atomic_write_gets_a_mismatch)
{
    struct rig *r = saved_three();
    struct catalog_snapshot s = { .read_ts = 77 };
    struct err e = { 0 };
    r->before_apply = save_as_other;
    r->user = r;
    CHECK_EQ(catalog_save(&r->catalog, 1, three, 3, &s, &e), ERR_CATALOG_VERSION_MISMATCH);
    CHECK_CONTAINS(e.msg, "catalog version mismatch");
    CHECK_EQ(s.read_ts, 77);
    struct catalog_snapshot stored = snapshot_of(r);
    CHECK_EQ(stored.stamp.version, 2);
    CHECK_EQ(stored.routes.count, 1);
    CHECK_EQ(stored.routes.items[0].id, 8);
    catalog_snapshot_free(&stored);
    rig_free(r);
}

static void write_unrelated(void *user)
{
    struct rig *r = user;
    struct bytes x = BYTES("x");
    for (unsigned i = 0; i < 5; i++)
        rig_write(r->mem, BYTES("unrelated"), &x);
}

TEST(r002_37_unrelated_writes_between_planning_and_writing_do_no_harm)
{
    struct rig *r = saved_three();
    struct err e = { 0 };
    r->before_scan = write_unrelated;
    r->user = r;
    CHECK_OK(catalog_save(&r->catalog, 1, three, 2, NULL, &e), e);
    r->before_apply = write_unrelated;
    CHECK_OK(catalog_save(&r->catalog, 2, three, 1, NULL, &e), e);
    struct catalog_snapshot s = snapshot_of(r);
    CHECK_EQ(s.stamp.version, 3);
    CHECK_EQ(s.routes.count, 1);
    catalog_snapshot_free(&s);
    rig_free(r);
}

TEST(r002_37_commit_is_above_read_and_above_the_last_commit)
{
    struct rig *r = saved_three();
    struct catalog_plan p;
    struct err e = { 0 };
    uint64_t read = rig_now(r);
    CHECK_OK(catalog_plan(&r->catalog, 1, three, 2, &p, &e), e);
    CHECK_EQ(p.batch.start_ts, read);
    CHECK_EQ(p.batch.commit_ts, read + 1);
    catalog_plan_free(&p);
    r->before_scan = write_unrelated;
    r->user = r;
    CHECK_OK(catalog_plan(&r->catalog, 1, three, 2, &p, &e), e);
    CHECK_EQ(p.batch.start_ts, read);
    CHECK_EQ(p.batch.commit_ts, rig_now(r) + 1);
    catalog_plan_free(&p);
    rig_free(r);
}

/* ---- Through a log ---- */

TEST(a_plan_goes_through_a_log_and_gives_the_same_catalog_on_every_replica)
{
    struct rig *r = saved_three();
    struct mvcc_mem *replica;
    struct buf image = { 0 }, entry = { 0 };
    struct catalog_plan p;
    struct mvcc_batch b;
    struct arena arena;
    struct err e = { 0 };
    arena_init(&arena, SIZE_MAX, NULL, 0);
    CHECK_EQ(mvcc_mem_encode(r->mem, &image, NULL), ERR_OK);
    CHECK_EQ(mvcc_mem_decode(buf_bytes(&image), &replica, NULL), ERR_OK);
    CHECK_OK(catalog_plan(&r->catalog, 1, three, 1, &p, &e), e);
    CHECK_OK(mvcc_batch_encode(&p.batch, &entry, &e), e);
    CHECK_OK(mvcc_batch_decode(buf_bytes(&entry), &arena, &b, &e), e);
    CHECK_EQ(catalog_conflict(&p, mvcc_mem_apply(r->mem, &b, NULL, NULL), &e), ERR_OK);
    CHECK_EQ(catalog_conflict(&p, mvcc_mem_apply(replica, &b, NULL, NULL), &e), ERR_OK);
    /* The same entry again, or an older plan: a mismatch, and the same one everywhere. */
    CHECK_EQ(catalog_conflict(&p, mvcc_mem_apply(replica, &b, NULL, &e), &e),
             ERR_CATALOG_VERSION_MISMATCH);
    struct mvcc door = mvcc_mem_door(replica);
    struct catalog there = { .store = &door };
    struct catalog_snapshot s;
    CHECK_OK(catalog_snapshot(&there, &s, &e), e);
    CHECK_EQ(s.routes.count, 1);
    CHECK(memcmp(&s.stamp, &p.stamp, sizeof s.stamp) == 0);
    catalog_snapshot_free(&s);
    catalog_plan_free(&p);
    arena_free(&arena);
    buf_free(&image);
    buf_free(&entry);
    mvcc_mem_free(replica);
    rig_free(r);
}

/* ---- D58 ---- */

TEST(d58_incarnation_comes_from_the_first_save_and_stays)
{
    struct rig *r = saved_three();
    struct catalog_snapshot s = snapshot_of(r);
    CHECK(memcmp(&s.stamp.incarnation, &r->catalog.fresh, sizeof s.stamp.incarnation) == 0);
    catalog_snapshot_free(&s);
    struct catalog other = { .store = &r->door, .fresh = { { 9, 9, 9 } } };
    struct err e = { 0 };
    CHECK_OK(catalog_save(&other, 1, three, 2, &s, &e), e);
    CHECK(memcmp(&s.stamp.incarnation, &r->catalog.fresh, sizeof s.stamp.incarnation) == 0);
    catalog_snapshot_free(&s);
    rig_free(r);
}

/* Random saves: what is stored is what was wanted, and the hash that went along by differences
 * is the true one. */
TEST(d58_and_r002_37_a_hundred_random_saves)
{
    struct rig *r = rig_new();
    struct prng p;
    prng_seed(&p, 37);
    for (uint64_t version = 0; version < 100; version++) {
        struct route routes[30];
        char keys[31][4];
        size_t count = 0;
        for (unsigned i = 0; i <= 30; i++)
            snprintf(keys[i], sizeof keys[i], "%02u", i);
        for (unsigned i = 0; i < 30; i++) {
            if (prng_chance(&p, 1, 4))
                continue;
            struct route route = rig_route(i + 1 + 100 * prng_below(&p, 2), keys[i], keys[i + 1],
                                           1 + prng_below(&p, 2));
            route.state = (enum route_state)prng_below(&p, 4);
            routes[count++] = route;
        }
        for (size_t i = count; i > 1; i--) { /* in any order */
            size_t k = prng_below(&p, i);
            struct route swap = routes[k];
            routes[k] = routes[i - 1];
            routes[i - 1] = swap;
        }
        struct catalog_snapshot s, stored;
        struct err e = { 0 };
        CHECK_OK(catalog_save(&r->catalog, version, routes, count, &s, &e), e);
        stored = snapshot_of(r);
        struct digest hash = catalog_hash_of(s.routes.items, s.routes.count);
        CHECK(digest_equal(&hash, &s.stamp.hash) && digest_equal(&hash, &stored.stamp.hash));
        CHECK_EQ(stored.routes.count, count);
        for (size_t i = 0; i < count; i++)
            CHECK(rig_same(&s.routes.items[i], &stored.routes.items[i]));
        catalog_snapshot_free(&stored);
        catalog_snapshot_free(&s);
    }
    rig_free(r);
}

TEST_MAIN()
