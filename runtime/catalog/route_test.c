/* Rows 002-04 to 08, 11, 12, 22 to 31, 56 to 60, 000-09; trap D60. */
#include "catalog_rig.h"

#include "base/prng.h"

/* ---- Golden records ---- */

static const char fenced_hex[] = "01"
                                 "0000000000000007"
                                 "0000000000000003"
                                 "01"
                                 "0000000000000002"
                                 "0000000000000001"
                                 "61"
                                 "01"
                                 "0000000000000001"
                                 "6d";
static const char unbounded_hex[] = "01"
                                    "0000000000000009"
                                    "0000000000000002"
                                    "00"
                                    "0000000000000000"
                                    "0000000000000001"
                                    "6d"
                                    "00";

static struct route fenced(void)
{
    struct route r = rig_route(7, "a", "m", 3);
    r.state = ROUTE_WRITE_FENCED;
    r.parent_id = 2;
    return r;
}

static void check_golden(const struct route *r, const char *hex)
{
    struct buf want = test_hex(hex), have = { 0 };
    struct err e = { 0 };
    CHECK_OK(route_encode(r, &have, &e), e);
    CHECK_BYTES(buf_bytes(&have), buf_bytes(&want));
    CHECK_EQ(route_encoded_size(r), want.len);
    struct route back = { 0 };
    CHECK_OK(route_decode(buf_bytes(&want), &back, &e), e);
    CHECK(rig_same(&back, r));
    CHECK(back.end_unbounded == r->end_unbounded);
    buf_free(&want);
    buf_free(&have);
}

TEST(r002_29_route_record_golden_bytes)
{
    struct route bounded = fenced(), unbounded = rig_route(9, "m", NULL, 2);
    check_golden(&bounded, fenced_hex);
    check_golden(&unbounded, unbounded_hex);
}

TEST(r002_29_encode_appends_and_refuses_what_is_invalid)
{
    struct route r = fenced();
    struct buf out = { 0 };
    struct err e = { 0 };
    CHECK_EQ(buf_append(&out, BYTES("x")), ERR_OK);
    r.id = 0;
    CHECK_EQ(route_encode(&r, &out, &e), ERR_CATALOG_ROUTE_ID_REQUIRED);
    CHECK_EQ(out.len, 1);
    r.id = 7;
    CHECK_OK(route_encode(&r, &out, &e), e);
    CHECK_EQ(out.len, 1 + route_encoded_size(&r));
    buf_free(&out);
}

TEST(r002_30_decode_is_the_inverse)
{
    struct prng p;
    prng_seed(&p, 30);
    for (unsigned i = 0; i < 10000; i++) {
        uint8_t start[20], end[20];
        prng_fill(&p, start, sizeof start);
        prng_fill(&p, end, sizeof end);
        start[0] = 1, end[0] = 2;
        struct route r = { .id = prng_range(&p, 1, UINT64_MAX),
                           .group_id = prng_range(&p, 1, UINT64_MAX),
                           .parent_id = prng_u64(&p),
                           .state = (enum route_state)prng_below(&p, 4),
                           .end_unbounded = prng_chance(&p, 1, 3),
                           .start = bytes_from(start, prng_below(&p, sizeof start)) };
        if (!r.end_unbounded)
            r.end = bytes_from(end, prng_range(&p, 1, sizeof end));
        struct buf record = { 0 };
        struct route back = { 0 };
        struct err e = { 0 };
        CHECK_OK(route_encode(&r, &record, &e), e);
        CHECK_OK(route_decode(buf_bytes(&record), &back, &e), e);
        CHECK(rig_same(&r, &back));
        struct digest of_record = digest_of(buf_bytes(&record)), of_route = route_digest(&r);
        CHECK(digest_equal(&of_record, &of_route));
        buf_free(&record);
    }
}

/* ---- What is no record ---- */

static void check_decode(struct bytes in, err_t want)
{
    struct route r = { .id = 42 };
    struct err e = { 0 };
    CHECK_EQ(route_decode(in, &r, &e), want);
    CHECK_EQ(r.id, 42);
    CHECK_CONTAINS(e.msg, catalog_error_text(want));
}

TEST(r002_11_every_truncation_is_an_invalid_record)
{
    const char *hex[] = { fenced_hex, unbounded_hex };
    for (unsigned i = 0; i < 2; i++) {
        struct buf whole = test_hex(hex[i]);
        for (size_t n = 0; n < whole.len; n++) {
            uint8_t *exact = malloc(n + 1); /* a read behind it is seen by the sanitizer */
            memcpy(exact + 1, whole.data, n);
            check_decode(bytes_from(exact + 1, n), ERR_CATALOG_INVALID_ROUTE_RECORD);
            free(exact);
        }
        buf_free(&whole);
    }
}

/* The golden record with one byte changed, or with `more` bytes. */
static void check_changed(size_t at, uint8_t to, err_t want)
{
    struct buf record = test_hex(fenced_hex);
    record.data[at] = to;
    check_decode(buf_bytes(&record), want);
    buf_free(&record);
}

TEST(r002_11_other_codecs_flags_and_lengths_are_invalid_records)
{
    enum { CODEC = 0, START_LEN = 26, END_FLAG = 35, END_LEN = 36 };
    check_changed(CODEC, 0, ERR_CATALOG_INVALID_ROUTE_RECORD);
    check_changed(CODEC, 2, ERR_CATALOG_INVALID_ROUTE_RECORD);
    check_changed(END_FLAG, 2, ERR_CATALOG_INVALID_ROUTE_RECORD);
    check_changed(END_FLAG, 0, ERR_CATALOG_INVALID_ROUTE_RECORD); /* trailing bytes */
    check_changed(START_LEN, 0xff, ERR_CATALOG_INVALID_ROUTE_RECORD);
    check_changed(START_LEN, 0x7f, ERR_CATALOG_INVALID_ROUTE_RECORD);
    check_changed(END_LEN, 0xff, ERR_CATALOG_INVALID_ROUTE_RECORD);
    check_changed(END_LEN + 7, 2, ERR_CATALOG_INVALID_ROUTE_RECORD);
    struct buf longer = test_hex(fenced_hex);
    CHECK_EQ(buf_append(&longer, BYTES("x")), ERR_OK);
    check_decode(buf_bytes(&longer), ERR_CATALOG_INVALID_ROUTE_RECORD);
    buf_free(&longer);
}

TEST(r002_05_route_id_is_required)
{
    check_changed(8, 0, ERR_CATALOG_ROUTE_ID_REQUIRED);
    struct route r = rig_route(0, "a", "b", 1);
    struct err e = { 0 };
    CHECK_EQ(route_check(&r, &e), ERR_CATALOG_ROUTE_ID_REQUIRED);
    CHECK_CONTAINS(e.msg, "catalog route id is required");
}

TEST(r002_06_group_id_is_required)
{
    check_changed(16, 0, ERR_CATALOG_GROUP_ID_REQUIRED);
    struct route r = rig_route(1, "a", "b", 0);
    struct err e = { 0 };
    CHECK_EQ(route_check(&r, &e), ERR_CATALOG_GROUP_ID_REQUIRED);
    CHECK_CONTAINS(e.msg, "catalog group id is required");
}

TEST(r002_12_states_above_3_are_invalid)
{
    for (unsigned s = 0; s < 256; s++) {
        if (s > 3)
            check_changed(17, (uint8_t)s, ERR_CATALOG_INVALID_ROUTE_STATE);
    }
    struct route r = fenced();
    r.state = (enum route_state)4;
    CHECK_EQ(route_check(&r, NULL), ERR_CATALOG_INVALID_ROUTE_STATE);
}

TEST(r002_08_start_must_be_below_an_end_that_is_present)
{
    struct err e = { 0 };
    struct route equal = rig_route(1, "m", "m", 1), reversed = rig_route(1, "n", "m", 1);
    CHECK_EQ(route_check(&equal, &e), ERR_CATALOG_INVALID_ROUTE_RANGE);
    CHECK_CONTAINS(e.msg, "catalog route range is invalid");
    CHECK_CONTAINS(e.msg, "[\"m\", \"m\")");
    CHECK_EQ(route_check(&reversed, &e), ERR_CATALOG_INVALID_ROUTE_RANGE);
    check_changed(sizeof fenced_hex / 2 - 1, 'a', ERR_CATALOG_INVALID_ROUTE_RANGE);
    check_changed(sizeof fenced_hex / 2 - 1, 'A', ERR_CATALOG_INVALID_ROUTE_RANGE);
}

TEST(d60_no_end_is_a_flag_and_an_empty_end_is_invalid)
{
    struct route empty_end = rig_route(1, "", "", 1), all = rig_route(1, "", NULL, 1);
    struct buf out = { 0 };
    struct err e = { 0 };
    CHECK_EQ(route_check(&empty_end, &e), ERR_CATALOG_INVALID_ROUTE_RANGE);
    CHECK_EQ(route_encode(&empty_end, &out, &e), ERR_CATALOG_INVALID_ROUTE_RANGE);
    CHECK_EQ(out.len, 0);
    CHECK_OK(route_check(&all, &e), e);
    all.end = BYTES("z"); /* both: a caller that mixes them up */
    CHECK_EQ(route_check(&all, &e), ERR_CATALOG_INVALID_ROUTE_RANGE);
    struct buf record = test_hex("01"
                                 "0000000000000009"
                                 "0000000000000002"
                                 "00"
                                 "0000000000000000"
                                 "0000000000000000"
                                 "01"
                                 "0000000000000000");
    check_decode(buf_bytes(&record), ERR_CATALOG_INVALID_ROUTE_RANGE);
    buf_free(&record);
}

/* ---- Copies ---- */

TEST(r002_25_clone_bytes_keeps_null_and_empty_apart)
{
    struct bytes copy = BYTES("x");
    CHECK_EQ(route_clone_bytes((struct bytes){ 0 }, &copy), ERR_OK);
    CHECK(copy.data == NULL && copy.len == 0);
    CHECK_EQ(route_clone_bytes(BYTES(""), &copy), ERR_OK);
    CHECK(copy.data != NULL && copy.len == 0);
    free((void *)(uintptr_t)copy.data);
    uint8_t original[] = "abc";
    CHECK_EQ(route_clone_bytes(bytes_from(original, 3), &copy), ERR_OK);
    original[0] = 'x';
    CHECK_BYTES(copy, BYTES("abc"));
    free((void *)(uintptr_t)copy.data);
}

TEST(r002_26_clone_is_deep)
{
    uint8_t start[] = "a", end[] = "m";
    struct route r = fenced(), clone;
    r.start = bytes_from(start, 1);
    r.end = bytes_from(end, 1);
    CHECK_EQ(route_clone(&r, &clone), ERR_OK);
    CHECK(rig_same(&r, &clone));
    ((uint8_t *)(uintptr_t)clone.start.data)[0] = 'b';
    ((uint8_t *)(uintptr_t)clone.end.data)[0] = 'n';
    clone.state = ROUTE_ACTIVE;
    CHECK_BYTES(r.start, BYTES("a"));
    CHECK_BYTES(r.end, BYTES("m"));
    CHECK_EQ(r.state, ROUTE_WRITE_FENCED);
    start[0] = 'z';
    CHECK_BYTES(clone.start, BYTES("b"));
    route_free(&clone);
    CHECK(clone.start.data == NULL);
    route_free(&clone);
    route_free(NULL);
}

TEST(route_list_owns_what_it_holds)
{
    struct route_list list = { 0 };
    char key[8];
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(key, sizeof key, "k%06u", 999 - i);
        struct route r = rig_route(i + 1, key, i == 0 ? NULL : "l", 1);
        CHECK_EQ(route_list_add(&list, &r), ERR_OK);
    }
    CHECK_BYTES(list.items[0].start, BYTES("k000999"));
    route_list_sort(&list);
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(key, sizeof key, "k%06u", i);
        CHECK_BYTES(list.items[i].start, BYTES(key));
        CHECK_EQ(list.items[i].id, 1000 - i);
    }
    route_list_free(&list);
    route_list_free(&list);
    route_list_free(NULL);
}

/* ---- Order ---- */

TEST(r002_31_floor_is_one_above_the_largest_id)
{
    uint64_t next = 0;
    struct err e = { 0 };
    struct route some[] = { rig_route(4, "a", "b", 1), rig_route(11, "c", "d", 1),
                            rig_route(2, "e", "f", 1) };
    CHECK_OK(route_next_id_floor(some, 3, &next, &e), e);
    CHECK_EQ(next, 12);
    CHECK_OK(route_next_id_floor(NULL, 0, &next, &e), e);
    CHECK_EQ(next, 1);
}

TEST(r002_04_the_last_id_has_no_successor)
{
    uint64_t next = 77;
    struct err e = { 0 };
    struct route last = rig_route(UINT64_MAX, "a", "b", 1);
    CHECK_EQ(route_next_id_floor(&last, 1, &next, &e), ERR_CATALOG_ROUTE_ID_OVERFLOW);
    CHECK_CONTAINS(e.msg, "catalog route id overflow");
    CHECK_EQ(next, 77);
    last.id--;
    CHECK_OK(route_next_id_floor(&last, 1, &next, &e), e);
    CHECK(next == UINT64_MAX);
}

TEST(route_check_order_names_both_ranges)
{
    struct err e = { 0 };
    struct route gap[] = { rig_route(1, "a", "b", 1), rig_route(2, "c", NULL, 1) };
    CHECK_OK(route_check_order(gap, 2, &e), e);
    struct route overlap[] = { rig_route(1, "a", "n", 1), rig_route(2, "m", "z", 1) };
    CHECK_EQ(route_check_order(overlap, 2, &e), ERR_ENGINE_SNAPSHOT_ROUTE_OVERLAP);
    CHECK_CONTAINS(e.msg, "route 1 [\"a\", \"n\") and route 2 [\"m\", \"z\")");
    struct route same[] = { rig_route(1, "a", "b", 1), rig_route(2, "a", "z", 1) };
    CHECK_EQ(route_check_order(same, 2, &e), ERR_ENGINE_SNAPSHOT_ROUTE_ORDER);
    struct route open[] = { rig_route(1, "a", NULL, 1), rig_route(2, "m", "z", 1) };
    CHECK_EQ(route_check_order(open, 2, &e), ERR_ENGINE_SNAPSHOT_ROUTE_ORDER);
    CHECK_CONTAINS(e.msg, "end of keys");
}

TEST(route_compare_orders_by_start_then_end_then_id)
{
    struct route sorted[] = { rig_route(9, "a", "b", 1),  rig_route(1, "a", "c", 1),
                              rig_route(2, "a", "c", 1),  rig_route(1, "a", NULL, 1),
                              rig_route(2, "a", NULL, 1), rig_route(1, "b", "c", 1) };
    for (unsigned i = 0; i < RIG_COUNT(sorted); i++) {
        for (unsigned k = 0; k < RIG_COUNT(sorted); k++) {
            int order = route_compare(&sorted[i], &sorted[k]);
            CHECK((order < 0) == (i < k) && (order > 0) == (i > k));
        }
    }
}

/* ---- Membership ---- */

/* Another way to say it: pad to one length, with a digit for "here the key ends". */
static int reference_compare(struct bytes a, struct bytes b)
{
    for (size_t i = 0;; i++) {
        int left = i < a.len ? a.data[i] : -1, right = i < b.len ? b.data[i] : -1;
        if (left != right || left < 0)
            return left - right;
    }
}

TEST(r000_09_contains_against_a_reference_for_100000_triples)
{
    struct prng p;
    unsigned inside = 0;
    prng_seed(&p, 9);
    for (unsigned i = 0; i < 100000; i++) {
        uint8_t raw[3][4];
        struct bytes key[3];
        for (unsigned k = 0; k < 3; k++) {
            for (unsigned n = 0; n < 4; n++) /* few bytes, so that bounds are met exactly */
                raw[k][n] = (uint8_t[]){ 0, 1, 0x7f, 0x80, 0xff }[prng_below(&p, 5)];
            key[k] = bytes_from(raw[k], prng_below(&p, 5));
        }
        struct route r = { .id = 1, .group_id = 1, .start = key[0], .end = key[1] };
        r.end_unbounded = prng_chance(&p, 1, 4);
        bool want = reference_compare(key[2], key[0]) >= 0 &&
                    (r.end_unbounded || reference_compare(key[2], key[1]) < 0);
        CHECK_EQ(route_contains(&r, key[2]), want);
        inside += want;
    }
    CHECK(inside > 10000 && inside < 90000);
}

/* ---- States ---- */

TEST(r002_58_states_have_fixed_numbers_and_names)
{
    CHECK_EQ(ROUTE_ACTIVE, 0);
    CHECK_EQ(ROUTE_WRITE_FENCED, 1);
    CHECK_EQ(ROUTE_MIGRATING_SOURCE, 2);
    CHECK_EQ(ROUTE_MIGRATING_TARGET, 3);
    CHECK_STR(route_state_name(ROUTE_ACTIVE), "active");
    CHECK_STR(route_state_name(ROUTE_WRITE_FENCED), "write_fenced");
    CHECK_STR(route_state_name(ROUTE_MIGRATING_SOURCE), "migrating_source");
    CHECK_STR(route_state_name(ROUTE_MIGRATING_TARGET), "migrating_target");
    CHECK_STR(route_state_name((enum route_state)4), "unknown");
}

TEST(r002_59_a_fence_refuses_writes_and_can_be_retried)
{
    CHECK_EQ(route_state_admits(ROUTE_WRITE_FENCED, true), ERR_WRITE_FENCED);
    CHECK_EQ(route_state_admits(ROUTE_WRITE_FENCED, false), ERR_OK);
    CHECK_EQ(route_state_admits(ROUTE_ACTIVE, true), ERR_OK);
    CHECK_EQ(route_state_admits(ROUTE_ACTIVE, false), ERR_OK);
}

TEST(r002_60_a_source_serves_and_a_target_does_not_yet)
{
    CHECK_EQ(route_state_admits(ROUTE_MIGRATING_SOURCE, false), ERR_OK);
    CHECK_EQ(route_state_admits(ROUTE_MIGRATING_TARGET, false), ERR_UNAVAILABLE);
    CHECK_EQ(route_state_admits(ROUTE_MIGRATING_TARGET, true), ERR_UNAVAILABLE);
    CHECK_EQ(route_state_admits((enum route_state)9, false), ERR_UNAVAILABLE);
}

TEST(r002_56_and_57_a_route_is_what_the_rows_list)
{
    struct route r = fenced();
    r.load = 5;
    CHECK_EQ(r.id, 7);
    CHECK_EQ(r.group_id, 3);
    CHECK_EQ(r.parent_id, 2);
    CHECK_EQ(r.state, ROUTE_WRITE_FENCED);
    check_golden(&(struct route){ .id = 7,
                                  .group_id = 3,
                                  .parent_id = 2,
                                  .state = ROUTE_WRITE_FENCED,
                                  .start = BYTES("a"),
                                  .end = BYTES("m") },
                 fenced_hex); /* a load is not stored */
    struct buf record = { 0 };
    CHECK_EQ(route_encode(&r, &record, NULL), ERR_OK);
    CHECK_EQ(record.len, sizeof fenced_hex / 2);
    buf_free(&record);
}

TEST(route_text_shows_any_key)
{
    char text[ROUTE_TEXT_MAX];
    struct route r = { .id = 3, .start = bytes_from("a\0\"", 3), .end = bytes_from("\xff", 1) };
    CHECK_STR(route_text(&r, text, sizeof text), "route 3 [\"a\\x00\\x22\", \"\\xff\")");
    uint8_t key[4096];
    memset(key, 0, sizeof key);
    r.start = r.end = bytes_from(key, sizeof key);
    CHECK(strlen(route_text(&r, text, sizeof text)) < sizeof text);
}

TEST_MAIN()
