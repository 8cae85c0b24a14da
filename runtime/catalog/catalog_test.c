/* Rows 002-01, 07, 13, 14, 33, 35, 36, 38, 39, 40; the past; trap D58 at rest. */
#include "catalog_rig.h"

static void save(struct rig *r, uint64_t expected, const struct route *routes, size_t count)
{
    struct err e = { 0 };
    CHECK_OK(catalog_save(&r->catalog, expected, routes, count, NULL, &e), e);
}

/* Puts a row of a route as nobody should. */
static void write_route(struct rig *r, struct bytes key, const struct route *route)
{
    struct buf record = { 0 };
    CHECK_EQ(route_encode(route, &record, NULL), ERR_OK);
    struct bytes value = buf_bytes(&record);
    rig_write(r->mem, key, &value);
    buf_free(&record);
}

static void write_own(struct rig *r, const struct route *route)
{
    uint8_t key[RECORD_ROUTE_KEY_SIZE];
    record_route_key(route->id, key);
    write_route(r, bytes_from(key, sizeof key), route);
}

static void check_snapshot_fails(struct rig *r, err_t want)
{
    struct catalog_snapshot s = { .read_ts = 77 };
    struct err e = { 0 };
    CHECK_EQ(catalog_snapshot(&r->catalog, &s, &e), want);
    CHECK_CONTAINS(e.msg, catalog_error_text(want));
    CHECK_EQ(s.read_ts, 77);
}

static void check_store_required(const struct catalog *c)
{
    struct catalog_snapshot s;
    struct catalog_stamp stamp;
    struct catalog_plan plan;
    uint64_t u;
    struct err e = { 0 };
    const err_t want = ERR_CATALOG_STORE_REQUIRED;
    CHECK_EQ(catalog_version(c, &u, &e), want);
    CHECK_CONTAINS(e.msg, "catalog store is required");
    CHECK_EQ(catalog_stamp_at(c, 1, &stamp, NULL), want);
    CHECK_EQ(catalog_snapshot(c, &s, NULL), want);
    CHECK_EQ(catalog_snapshot_at(c, 1, &s, NULL), want);
    CHECK_EQ(catalog_ts_of(c, 1, &u, NULL), want);
    CHECK_EQ(catalog_next_route_id(c, &u, NULL), want);
    CHECK_EQ(catalog_next_route_id_at(c, 1, &u, NULL), want);
    CHECK_EQ(catalog_plan(c, 0, NULL, 0, &plan, NULL), want);
    CHECK_EQ(catalog_save(c, 0, NULL, 0, &s, NULL), want);
}

TEST(r002_01_every_function_wants_a_catalog_with_a_store)
{
    struct catalog no_store = { 0 };
    check_store_required(NULL);
    check_store_required(&no_store);
}

TEST(r002_39_version_reads_its_own_row_alone)
{
    struct rig *r = rig_new();
    uint64_t version = 99;
    CHECK_EQ(catalog_version(&r->catalog, &version, NULL), ERR_OK);
    CHECK_EQ(version, 0); /* absent */
    struct route route = rig_route(1, "a", NULL, 1);
    save(r, 0, &route, 1);
    r->gets = r->scans = 0;
    CHECK_EQ(catalog_version(&r->catalog, &version, NULL), ERR_OK);
    CHECK_EQ(version, 1);
    CHECK_EQ(r->gets, 1);
    CHECK_EQ(r->scans, 0);
    rig_free(r);
}

TEST(r002_09_a_damaged_version_row_is_named)
{
    struct rig *r = rig_new();
    uint64_t version = 99;
    struct bytes bad = BYTES("12345678");
    rig_write(r->mem, record_version_key(), &bad);
    CHECK_EQ(catalog_version(&r->catalog, &version, NULL), ERR_CATALOG_INVALID_VERSION_RECORD);
    CHECK_EQ(version, 99);
    check_snapshot_fails(r, ERR_CATALOG_INVALID_VERSION_RECORD);
    rig_free(r);
}

TEST(r002_33_and_38_snapshot_is_of_one_time_and_sorted)
{
    struct rig *r = rig_new();
    struct route routes[] = { rig_route(3, "m", NULL, 2), rig_route(1, "", "c", 1),
                              rig_route(2, "c", "m", 3) };
    routes[2].parent_id = 9;
    routes[2].state = ROUTE_MIGRATING_SOURCE;
    save(r, 0, routes, 3);
    struct bytes other = BYTES("other");
    rig_write(r->mem, BYTES("unrelated"), &other);
    struct catalog_snapshot s;
    struct err e = { 0 };
    CHECK_OK(catalog_snapshot(&r->catalog, &s, &e), e);
    CHECK_EQ(s.stamp.version, 1);
    CHECK_EQ(s.read_ts, rig_now(r));
    CHECK_EQ(s.routes.count, 3);
    CHECK(rig_same(&s.routes.items[0], &routes[1]));
    CHECK(rig_same(&s.routes.items[1], &routes[2]));
    CHECK(rig_same(&s.routes.items[2], &routes[0]));
    catalog_snapshot_free(&s);
    catalog_snapshot_free(&s);
    catalog_snapshot_free(NULL);
    rig_free(r);
}

/* A save that lands between the two reads of a snapshot. */
static void save_second(void *user)
{
    struct rig *r = user;
    struct catalog c = { .store = &r->inner };
    struct route route = rig_route(5, "x", "y", 5);
    CHECK_EQ(catalog_save(&c, 1, &route, 1, NULL, NULL), ERR_OK);
}

TEST(r002_38_a_save_in_the_middle_of_a_snapshot_is_not_seen)
{
    struct rig *r = rig_new();
    struct route route = rig_route(1, "a", "b", 1);
    save(r, 0, &route, 1);
    r->before_scan = save_second;
    r->user = r;
    struct catalog_snapshot s;
    struct err e = { 0 };
    CHECK_OK(catalog_snapshot(&r->catalog, &s, &e), e);
    CHECK(r->before_scan == NULL);
    CHECK_EQ(s.stamp.version, 1);
    CHECK_EQ(s.routes.count, 1);
    CHECK_EQ(s.routes.items[0].id, 1);
    catalog_snapshot_free(&s);
    rig_free(r);
}

TEST(r002_40_routes_are_read_by_pages_of_256)
{
    enum { COUNT = 700 };
    struct rig *r = rig_new();
    struct route *routes = calloc(COUNT, sizeof *routes);
    char(*keys)[8] = calloc(COUNT + 1, sizeof *keys);
    for (unsigned i = 0; i <= COUNT; i++)
        snprintf(keys[i], sizeof keys[i], "k%05u", i);
    for (unsigned i = 0; i < COUNT; i++)
        routes[i] = rig_route(COUNT - i, keys[i], keys[i + 1], 1);
    save(r, 0, routes, COUNT);
    r->scans = r->rows = 0;
    struct catalog_snapshot s;
    struct err e = { 0 };
    CHECK_OK(catalog_snapshot(&r->catalog, &s, &e), e);
    CHECK_EQ(r->last_limit, 256);
    CHECK_EQ(r->scans, 3);
    CHECK_EQ(r->rows, COUNT);
    CHECK_EQ(s.routes.count, COUNT);
    for (unsigned i = 0; i < COUNT; i++)
        CHECK(rig_same(&s.routes.items[i], &routes[i]));
    catalog_snapshot_free(&s);
    free(keys);
    free(routes);
    rig_free(r);
}

TEST(r002_40_a_full_last_page_is_followed_by_an_empty_one)
{
    struct rig *r = rig_new();
    struct route routes[256];
    char keys[257][8];
    for (unsigned i = 0; i <= 256; i++)
        snprintf(keys[i], sizeof keys[i], "k%05u", i);
    for (unsigned i = 0; i < 256; i++)
        routes[i] = rig_route(i + 1, keys[i], keys[i + 1], 1);
    save(r, 0, routes, 256);
    r->scans = 0;
    struct catalog_snapshot s;
    CHECK_EQ(catalog_snapshot(&r->catalog, &s, NULL), ERR_OK);
    CHECK_EQ(s.routes.count, 256);
    CHECK_EQ(r->scans, 2);
    catalog_snapshot_free(&s);
    rig_free(r);
}

TEST(r002_13_a_route_row_with_another_suffix_is_named)
{
    struct rig *r = rig_new();
    struct route route = rig_route(1, "a", "b", 1);
    write_route(r, BYTES("!dist|route|short"), &route);
    check_snapshot_fails(r, ERR_CATALOG_INVALID_ROUTE_KEY);
    rig_write(r->mem, BYTES("!dist|route|short"), NULL);
    write_route(r, BYTES("!dist|route|longer than 8"), &route);
    check_snapshot_fails(r, ERR_CATALOG_INVALID_ROUTE_KEY);
    rig_free(r);
}

TEST(r002_14_a_row_with_the_record_of_another_id_is_named)
{
    struct rig *r = rig_new();
    uint8_t key[RECORD_ROUTE_KEY_SIZE];
    struct route route = rig_route(1, "a", "b", 1);
    record_route_key(2, key);
    write_route(r, bytes_from(key, sizeof key), &route);
    check_snapshot_fails(r, ERR_CATALOG_ROUTE_KEY_ID_MISMATCH);
    rig_free(r);
}

TEST(r002_07_stored_rows_that_come_twice_are_named)
{
    struct rig *r = rig_new();
    struct route route = rig_route(1, "a", "b", 1);
    save(r, 0, &route, 1);
    r->repeat = true;
    check_snapshot_fails(r, ERR_CATALOG_DUPLICATE_ROUTE_ID);
    rig_free(r);
}

TEST(r002_11_a_damaged_route_row_is_named_with_its_id)
{
    struct rig *r = rig_new();
    uint8_t key[RECORD_ROUTE_KEY_SIZE];
    struct bytes bad = BYTES("bad");
    record_route_key(12, key);
    rig_write(r->mem, bytes_from(key, sizeof key), &bad);
    struct catalog_snapshot s;
    struct err e = { 0 };
    CHECK_EQ(catalog_snapshot(&r->catalog, &s, &e), ERR_CATALOG_INVALID_ROUTE_RECORD);
    CHECK_CONTAINS(e.msg, "route 12");
    rig_free(r);
}

TEST(r002_35_next_route_id_is_the_counter_else_the_floor)
{
    struct rig *r = rig_new();
    uint64_t next = 0;
    CHECK_EQ(catalog_next_route_id(&r->catalog, &next, NULL), ERR_OK);
    CHECK_EQ(next, 1); /* empty */
    struct route route = rig_route(41, "a", "b", 1);
    write_own(r, &route); /* from before there was a counter */
    CHECK_EQ(catalog_next_route_id(&r->catalog, &next, NULL), ERR_OK);
    CHECK_EQ(next, 42);
    uint8_t record[RECORD_NUMBER_SIZE];
    record_next_route_id_encode(77, record);
    struct bytes value = bytes_from(record, sizeof record);
    rig_write(r->mem, record_next_route_id_key(), &value);
    r->scans = 0;
    CHECK_EQ(catalog_next_route_id(&r->catalog, &next, NULL), ERR_OK);
    CHECK_EQ(next, 77);
    CHECK_EQ(r->scans, 0);
    rig_free(r);
}

TEST(r002_10_a_damaged_counter_is_named)
{
    struct rig *r = rig_new();
    uint64_t next = 5;
    struct bytes zero = bytes_from("\1\0\0\0\0\0\0\0\0", 9);
    struct err e = { 0 };
    rig_write(r->mem, record_next_route_id_key(), &zero);
    CHECK_EQ(catalog_next_route_id(&r->catalog, &next, &e), ERR_CATALOG_INVALID_NEXT_ROUTE_ID);
    CHECK_CONTAINS(e.msg, "catalog next route id record is invalid");
    CHECK_EQ(next, 5);
    rig_free(r);
}

TEST(r002_04_next_route_id_of_a_catalog_that_is_full)
{
    struct rig *r = rig_new();
    uint64_t next = 5;
    struct route route = rig_route(UINT64_MAX, "a", "b", 1);
    write_own(r, &route);
    CHECK_EQ(catalog_next_route_id(&r->catalog, &next, NULL), ERR_CATALOG_ROUTE_ID_OVERFLOW);
    rig_free(r);
}

TEST(r002_36_next_route_id_of_the_past)
{
    struct rig *r = rig_new();
    uint64_t next = 0, first, second;
    struct route a = rig_route(5, "a", "b", 1), b = rig_route(9, "a", "b", 1);
    save(r, 0, &a, 1);
    first = rig_now(r);
    save(r, 1, &b, 1);
    second = rig_now(r);
    CHECK_EQ(catalog_next_route_id_at(&r->catalog, 0, &next, NULL), ERR_OK);
    CHECK_EQ(next, 1);
    CHECK_EQ(catalog_next_route_id_at(&r->catalog, first, &next, NULL), ERR_OK);
    CHECK_EQ(next, 6);
    CHECK_EQ(catalog_next_route_id_at(&r->catalog, second, &next, NULL), ERR_OK);
    CHECK_EQ(next, 10);
    rig_free(r);
}

/* ---- The past ---- */

TEST(catalog_versions_of_the_past_are_found_until_they_are_trimmed)
{
    enum { VERSIONS = 20 };
    struct rig *r = rig_new();
    uint64_t ts[VERSIONS + 1] = { 0 }, found = 77;
    struct err e = { 0 };
    for (unsigned v = 1; v <= VERSIONS; v++) {
        struct route route = rig_route(v, "a", "b", v);
        struct bytes noise = BYTES("noise");
        save(r, v - 1, &route, 1);
        ts[v] = rig_now(r);
        rig_write(r->mem, BYTES("unrelated"), &noise);
    }
    for (unsigned v = 0; v <= VERSIONS; v++) {
        CHECK_OK(catalog_ts_of(&r->catalog, v, &found, &e), e);
        CHECK_EQ(found, ts[v]);
        struct catalog_snapshot s;
        CHECK_OK(catalog_snapshot_at(&r->catalog, found, &s, &e), e);
        CHECK_EQ(s.stamp.version, v);
        CHECK(v == 0 || s.routes.items[0].group_id == v);
        catalog_snapshot_free(&s);
    }
    CHECK_EQ(catalog_ts_of(&r->catalog, VERSIONS + 1, &found, &e), ERR_NOT_FOUND);
    mvcc_mem_trim(r->mem, ts[7] + 1);
    CHECK_EQ(catalog_ts_of(&r->catalog, 6, &found, &e), ERR_CATALOG_HISTORY_TRIMMED);
    CHECK_CONTAINS(e.msg, "the oldest one known is 7");
    CHECK_OK(catalog_ts_of(&r->catalog, 7, &found, &e), e);
    CHECK_EQ(found, ts[7] + 1);
    struct catalog_snapshot s;
    CHECK_EQ(catalog_snapshot_at(&r->catalog, ts[7], &s, &e), ERR_CATALOG_HISTORY_TRIMMED);
    rig_free(r);
}

TEST(catalog_store_errors_come_through)
{
    struct rig *r = rig_new();
    struct catalog_snapshot s;
    uint64_t u;
    struct err e = { 0 };
    r->fail_gets = 1;
    CHECK_EQ(catalog_version(&r->catalog, &u, &e), ERR_IO);
    CHECK_CONTAINS(e.msg, "the store is away");
    r->fail_gets = 1;
    CHECK_EQ(catalog_snapshot(&r->catalog, &s, &e), ERR_IO);
    r->fail_scans = 1;
    CHECK_EQ(catalog_snapshot(&r->catalog, &s, &e), ERR_IO);
    r->fail_scans = 1;
    CHECK_EQ(catalog_next_route_id(&r->catalog, &u, &e), ERR_IO);
    r->fail_gets = 1;
    CHECK_EQ(catalog_save(&r->catalog, 0, NULL, 0, &s, &e), ERR_IO);
    CHECK_OK(catalog_snapshot(&r->catalog, &s, &e), e);
    catalog_snapshot_free(&s);
    rig_free(r);
}

/* ---- D58 at rest ---- */

TEST(d58_routes_that_are_not_those_that_were_saved_raise_an_alarm)
{
    struct rig *r = rig_new();
    struct route routes[] = { rig_route(1, "a", "b", 1), rig_route(2, "b", "c", 2) };
    save(r, 0, routes, 2);
    struct route changed = rig_route(2, "b", "c", 3);
    write_own(r, &changed);
    check_snapshot_fails(r, ERR_CATALOG_INTEGRITY);
    write_own(r, &routes[1]);
    struct catalog_snapshot s;
    struct err e = { 0 };
    CHECK_OK(catalog_snapshot(&r->catalog, &s, &e), e);
    catalog_snapshot_free(&s);
    uint8_t key[RECORD_ROUTE_KEY_SIZE];
    record_route_key(1, key);
    rig_write(r->mem, bytes_from(key, sizeof key), NULL); /* one row is lost */
    check_snapshot_fails(r, ERR_CATALOG_INTEGRITY);
    rig_free(r);
}

TEST(d58_a_version_without_its_identity_raises_an_alarm)
{
    struct rig *r = rig_new();
    struct route route = rig_route(1, "a", "b", 1);
    save(r, 0, &route, 1);
    uint8_t two[RECORD_NUMBER_SIZE];
    record_version_encode(2, two);
    struct bytes value = bytes_from(two, sizeof two);
    rig_write(r->mem, record_version_key(), &value); /* not through a save */
    struct catalog_stamp stamp;
    struct err e = { 0 };
    CHECK_EQ(catalog_stamp_at(&r->catalog, rig_now(r), &stamp, &e), ERR_CATALOG_INTEGRITY);
    CHECK_CONTAINS(e.msg, "version 2 and the identity of version 1");
    check_snapshot_fails(r, ERR_CATALOG_INTEGRITY);
    rig_write(r->mem, record_identity_key(), NULL);
    check_snapshot_fails(r, ERR_CATALOG_INTEGRITY);
    CHECK_EQ(catalog_save(&r->catalog, 2, &route, 1, NULL, &e), ERR_CATALOG_INTEGRITY);
    rig_free(r);
}

TEST_MAIN()
