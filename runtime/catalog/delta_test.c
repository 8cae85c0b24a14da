/* Deltas and snapshots as bytes. */
#include "catalog_rig.h"

static const struct catalog_id id = { { 0xaa, 0xbb } };

static void check_delta(const struct catalog_delta *have, const struct catalog_delta *want)
{
    CHECK(memcmp(&have->stamp, &want->stamp, sizeof have->stamp) == 0);
    CHECK_EQ(have->removed_count, want->removed_count);
    CHECK_EQ(have->put_count, want->put_count);
    for (size_t i = 0; i < have->removed_count; i++)
        CHECK_EQ(have->removed[i], want->removed[i]);
    for (size_t i = 0; i < have->put_count; i++)
        CHECK(rig_same(&have->put[i], &want->put[i]));
}

TEST(delta_round_trip_and_every_truncation)
{
    const uint64_t removed[] = { 3, 900 };
    struct route put[] = { rig_route(7, "a", "m", 3), rig_route(9, "m", NULL, 2) };
    struct catalog_delta d = {
        .stamp = { .version = 12, .incarnation = id, .hash = catalog_hash_empty() },
        .removed = removed,
        .removed_count = 2,
        .put = put,
        .put_count = 2
    };
    struct catalog_delta back = { 0 };
    struct buf bytes = { 0 };
    struct arena arena;
    struct err e = { 0 };
    arena_init(&arena, SIZE_MAX, NULL, 0);
    CHECK_EQ(buf_append(&bytes, BYTES("x")), ERR_OK);
    CHECK_OK(catalog_delta_encode(&d, &bytes, &e), e);
    struct bytes wire = bytes_from(bytes.data + 1, bytes.len - 1);
    for (size_t n = 0; n < wire.len; n++) {
        err_t rc = catalog_delta_decode(bytes_from(wire.data, n), &arena, &back, &e);
        CHECK(rc == ERR_CORRUPTION || rc == ERR_CATALOG_INVALID_ROUTE_RECORD);
        CHECK(back.put == NULL && e.msg[0] != '\0');
    }
    CHECK_OK(catalog_delta_decode(wire, &arena, &back, &e), e);
    check_delta(&back, &d);
    buf_free(&bytes);
    arena_free(&arena);
}

static void check_refused(const struct catalog_delta *d, err_t encode, err_t decode)
{
    struct catalog_delta back;
    struct buf bytes = { 0 };
    struct arena arena;
    struct err e = { 0 };
    arena_init(&arena, SIZE_MAX, NULL, 0);
    CHECK_EQ(catalog_delta_encode(d, &bytes, &e), encode);
    if (encode == ERR_OK)
        CHECK_EQ(catalog_delta_decode(buf_bytes(&bytes), &arena, &back, &e), decode);
    else
        CHECK_EQ(bytes.len, 0);
    buf_free(&bytes);
    arena_free(&arena);
}

TEST(delta_of_the_smallest_route)
{
    struct route all = rig_route(1, "", NULL, 1);
    struct catalog_delta d = { .stamp.version = 1, .put = &all, .put_count = 1 }, back = { 0 };
    struct buf bytes = { 0 };
    struct arena arena;
    struct err e = { 0 };
    arena_init(&arena, SIZE_MAX, NULL, 0);
    CHECK_EQ(route_encoded_size(&all), ROUTE_ENCODED_MIN);
    CHECK_OK(catalog_delta_encode(&d, &bytes, &e), e);
    CHECK_OK(catalog_delta_decode(buf_bytes(&bytes), &arena, &back, &e), e);
    check_delta(&back, &d);
    buf_free(&bytes);
    arena_free(&arena);
}

TEST(delta_refuses_what_no_save_makes)
{
    const uint64_t unsorted[] = { 5, 5 };
    struct route backwards[] = { rig_route(9, "m", NULL, 2), rig_route(7, "a", "m", 3) };
    struct route bad = rig_route(7, "m", "a", 3);
    struct catalog_delta none = { .stamp.version = 0 };
    check_refused(&none, ERR_OK, ERR_CORRUPTION);
    struct catalog_delta d = { .stamp.version = 1, .removed = unsorted, .removed_count = 2 };
    check_refused(&d, ERR_OK, ERR_CORRUPTION);
    d = (struct catalog_delta){ .stamp.version = 1, .put = backwards, .put_count = 2 };
    check_refused(&d, ERR_OK, ERR_CORRUPTION);
    d = (struct catalog_delta){ .stamp.version = 1, .put = &bad, .put_count = 1 };
    check_refused(&d, ERR_CATALOG_INVALID_ROUTE_RANGE, ERR_OK);
}

TEST(snapshot_round_trip_and_every_truncation)
{
    struct catalog_snapshot s = { .read_ts = 55 }, back = { 0 };
    struct route r[] = { rig_route(7, "a", "m", 3), rig_route(9, "m", NULL, 2) };
    struct buf bytes = { 0 };
    struct err e = { 0 };
    r[1].state = ROUTE_MIGRATING_TARGET;
    CHECK_EQ(route_list_copy(r, 2, &s.routes), ERR_OK);
    s.stamp =
        (struct catalog_stamp){ .version = 6, .incarnation = id, .hash = catalog_hash_of(r, 2) };
    CHECK_OK(catalog_snapshot_encode(&s, &bytes, &e), e);
    for (size_t n = 0; n < bytes.len; n++) {
        CHECK(catalog_snapshot_decode(bytes_from(bytes.data, n), &back, &e) != ERR_OK);
        CHECK(back.routes.items == NULL);
    }
    CHECK_OK(catalog_snapshot_decode(buf_bytes(&bytes), &back, &e), e);
    CHECK(memcmp(&back.stamp, &s.stamp, sizeof s.stamp) == 0);
    CHECK_EQ(back.read_ts, 55);
    CHECK_EQ(back.routes.count, 2);
    for (unsigned i = 0; i < 2; i++)
        CHECK(rig_same(&back.routes.items[i], &r[i]));
    catalog_snapshot_free(&back);
    CHECK_EQ(buf_append(&bytes, BYTES("x")), ERR_OK);
    CHECK_EQ(catalog_snapshot_decode(buf_bytes(&bytes), &back, &e), ERR_CORRUPTION);
    catalog_snapshot_free(&s);
    buf_free(&bytes);
}

TEST(d58_a_snapshot_on_the_wire_is_what_its_hash_says)
{
    struct catalog_snapshot s = { 0 }, back = { 0 };
    struct route r = rig_route(7, "a", "m", 3);
    struct buf bytes = { 0 };
    struct err e = { 0 };
    CHECK_EQ(route_list_copy(&r, 1, &s.routes), ERR_OK);
    s.stamp =
        (struct catalog_stamp){ .version = 6, .incarnation = id, .hash = catalog_hash_of(&r, 1) };
    CHECK_OK(catalog_snapshot_encode(&s, &bytes, &e), e);
    bytes.data[bytes.len - 1] = 'n'; /* the end of the range */
    CHECK_EQ(catalog_snapshot_decode(buf_bytes(&bytes), &back, &e), ERR_CATALOG_INTEGRITY);
    CHECK(back.routes.items == NULL);
    catalog_snapshot_free(&s);
    buf_free(&bytes);
}

TEST_MAIN()
