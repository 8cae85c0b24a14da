/* Trap D59: how a reader resumes. */
#include "engine_rig.h"

#include "catalog/journal.h"

static const struct catalog_id here = { { 1 } }, there = { { 2 } };

/* Version v holds route v alone. */
static struct catalog_stamp stamp_at(uint64_t version)
{
    char key[8];
    snprintf(key, sizeof key, "%04d", (int)version);
    struct route r = rig_route(version, key, NULL, version);
    struct catalog_stamp s = { .version = version };
    if (version > 0) {
        s.incarnation = here;
        s.hash = catalog_hash_of(&r, 1);
    }
    return s;
}

static err_t add(struct catalog_journal *j, uint64_t version, struct err *e)
{
    char key[8];
    snprintf(key, sizeof key, "%04d", (int)version);
    struct route r = rig_route(version, key, NULL, version);
    uint64_t before = version - 1;
    struct catalog_delta d = { .stamp = stamp_at(version),
                               .removed = &before,
                               .removed_count = version > 1,
                               .put = &r,
                               .put_count = 1 };
    return catalog_journal_add(j, &d, e);
}

static struct catalog_journal *journal_5_to_8(void)
{
    struct catalog_journal *j = catalog_journal_new(
        &(struct catalog_journal_config){ .deltas_max = 10, .bytes_max = 10000 });
    struct catalog_stamp five = stamp_at(5);
    struct err e = { 0 };
    catalog_journal_reset(j, &five);
    for (uint64_t v = 6; v <= 8; v++)
        CHECK_OK(add(j, v, &e), e);
    return j;
}

static void check_resume(struct catalog_journal *j, const struct catalog_stamp *cursor, err_t want,
                         enum catalog_resume how)
{
    enum catalog_resume have = (enum catalog_resume)77;
    struct err e = { 0 };
    CHECK_EQ(catalog_journal_resume(j, cursor, &have, &e), want);
    CHECK_EQ(have, want == ERR_OK ? how : (enum catalog_resume)77);
    CHECK_CONTAINS(e.msg, catalog_error_text(want));
}

TEST(d59_a_cursor_decides_how_a_reader_goes_on)
{
    struct catalog_journal *j = journal_5_to_8();
    for (uint64_t v = 0; v < 12; v++) {
        struct catalog_stamp cursor = stamp_at(v);
        enum catalog_resume how = v < 5    ? CATALOG_RESUME_SNAPSHOT
                                  : v == 8 ? CATALOG_RESUME_NOTHING
                                           : CATALOG_RESUME_DELTAS;
        check_resume(j, &cursor, v > 8 ? ERR_CATALOG_CURSOR_AHEAD : ERR_OK, how);
        CHECK_EQ(catalog_journal_after(j, v).len > 0, v >= 5 && v < 8);
    }
    catalog_journal_free(j);
    catalog_journal_free(NULL);
}

TEST(d58_and_d59_a_cursor_of_another_content_or_catalog_raises_an_alarm)
{
    struct catalog_journal *j = journal_5_to_8();
    for (uint64_t v = 5; v <= 8; v++) {
        struct catalog_stamp cursor = stamp_at(v);
        cursor.hash.bytes[3] ^= 1;
        check_resume(j, &cursor, ERR_CATALOG_INTEGRITY, 0);
    }
    for (uint64_t v = 1; v <= 9; v++) {
        struct catalog_stamp cursor = stamp_at(v);
        cursor.incarnation = there;
        check_resume(j, &cursor, ERR_CATALOG_INTEGRITY, 0);
    }
    catalog_journal_free(j);
}

TEST(d59_a_hole_is_not_taken)
{
    struct catalog_journal *j = journal_5_to_8();
    struct err e = { 0 };
    const uint64_t wrong[] = { 1, 7, 8, 10, 99 };
    for (unsigned i = 0; i < RIG_COUNT(wrong); i++) {
        CHECK_EQ(add(j, wrong[i], &e), ERR_CATALOG_INTEGRITY);
        CHECK_CONTAINS(e.msg, "catalog integrity alarm");
    }
    struct catalog_delta other = { .stamp = stamp_at(9) };
    other.stamp.incarnation = there;
    CHECK_EQ(catalog_journal_add(j, &other, &e), ERR_CATALOG_INTEGRITY);
    struct catalog_journal_stats s;
    catalog_journal_stats(j, &s);
    CHECK_EQ(s.head, 8);
    CHECK_EQ(s.deltas, 3);
    CHECK_OK(add(j, 9, &e), e);
    catalog_journal_free(j);
}

TEST(d59_the_floor_rises_and_readers_below_it_get_a_snapshot)
{
    struct catalog_journal *j = catalog_journal_new(
        &(struct catalog_journal_config){ .deltas_max = 4, .bytes_max = 10000 });
    struct catalog_journal_stats s;
    struct err e = { 0 };
    for (uint64_t v = 1; v <= 30; v++) {
        CHECK_OK(add(j, v, &e), e);
        catalog_journal_stats(j, &s);
        CHECK_EQ(s.head, v);
        CHECK_EQ(s.floor, v > 4 ? v - 4 : 0);
        struct catalog_stamp floor = stamp_at(s.floor);
        check_resume(j, &floor, ERR_OK, CATALOG_RESUME_DELTAS);
    }
    struct catalog_stamp below = stamp_at(25);
    check_resume(j, &below, ERR_OK, CATALOG_RESUME_SNAPSHOT);
    catalog_journal_free(j);
}

TEST(journal_is_bounded_in_bytes)
{
    struct catalog_journal *j = catalog_journal_new(
        &(struct catalog_journal_config){ .deltas_max = 1000, .bytes_max = 1000 });
    struct catalog_journal_stats s;
    struct err e = { 0 };
    for (uint64_t v = 1; v <= 100; v++)
        CHECK_OK(add(j, v, &e), e);
    catalog_journal_stats(j, &s);
    CHECK(s.bytes <= 1000 && s.bytes > 500 && s.deltas < 20);
    CHECK_EQ(s.floor, 100 - s.deltas);
    catalog_journal_free(j);
    j = catalog_journal_new(&(struct catalog_journal_config){ .deltas_max = 3, .bytes_max = 1 });
    CHECK_OK(add(j, 1, &e), e); /* larger than all: not kept, and the floor says so */
    catalog_journal_stats(j, &s);
    CHECK_EQ(s.deltas, 0);
    CHECK_EQ(s.floor, 1);
    catalog_journal_free(j);
}

/* A reader that is away for a while, comes back, and follows to the head by what the journal says. */
TEST(d59_a_reader_that_was_away_follows_to_the_head)
{
    struct catalog_journal *j = catalog_journal_new(
        &(struct catalog_journal_config){ .deltas_max = 50, .bytes_max = 100000 });
    struct engine_rig g = engine_rig_new((struct catalog_engine_config){ 0 });
    struct err e = { 0 };
    for (uint64_t v = 1; v <= 40; v++) {
        CHECK_OK(add(j, v, &e), e);
        if (v % 7 != 0)
            continue;
        struct catalog_stamp cursor;
        catalog_engine_stamp(g.engine, &cursor);
        check_resume(j, &cursor, ERR_OK, CATALOG_RESUME_DELTAS);
        for (struct bytes next; (next = catalog_journal_after(j, cursor.version)).len > 0;
             cursor.version++) {
            struct arena arena;
            struct catalog_delta d;
            arena_init(&arena, SIZE_MAX, NULL, 0);
            CHECK_OK(catalog_delta_decode(next, &arena, &d, &e), e);
            CHECK_OK(catalog_engine_apply_delta(g.engine, &d, &e), e);
            arena_free(&arena);
        }
        CHECK_EQ(catalog_engine_version(g.engine), v);
        CHECK_EQ(engine_rig_group(&g, "9999"), v);
    }
    engine_rig_free(&g);
    catalog_journal_free(j);
}

TEST_MAIN()
