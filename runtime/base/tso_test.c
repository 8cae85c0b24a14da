#include "base/prng.h"
#include "base/test.h"
#include "base/tso.h"

static struct tso start(uint64_t now_ms, uint64_t saved_window_ms)
{
    struct tso t;
    struct err e = { 0 };
    CHECK_OK(
        tso_start(&t, TSO_COUNT_MAX, 3000, now_ms, saved_window_ms, saved_window_ms == 0, 0, &e),
        e);
    return t;
}

static struct tso_answer take(struct tso *t, uint64_t now_ms, uint32_t count)
{
    struct tso_answer a;
    struct err e = { 0 };
    CHECK_OK(tso_take(t, now_ms, count, &a, &e), e);
    return a;
}

TEST(tso_first_stamps_wait_for_a_durable_window)
{
    struct tso t = start(1000, 0), before = t;
    struct tso_answer a = take(&t, 1000, 5);
    CHECK(a.kind == TSO_WINDOW && a.window_ms == 4000);
    CHECK(memcmp(&t, &before, sizeof t) == 0); /* asking changes nothing */
    tso_window_saved(&t, a.window_ms);
    a = take(&t, 1000, 5);
    CHECK(a.kind == TSO_STAMPS);
    CHECK_EQ(a.first, tso_pack(1000, 0));
    CHECK_EQ(take(&t, 1000, 1).first, tso_pack(1000, 5));
    CHECK_EQ(take(&t, 1001, 1).first, tso_pack(1001, 0));
    CHECK_EQ(take(&t, 500, 1).first, tso_pack(1001, 1)); /* set back */
    CHECK_EQ(take(&t, 3999, 1).kind, TSO_STAMPS);
    CHECK_EQ(take(&t, 4000, 1).kind, TSO_WINDOW); /* the window itself is not in it */
    CHECK_EQ(tso_physical(tso_pack(4000, 7)), 4000);
    CHECK_EQ(tso_logical(tso_pack(4000, 7)), 7);
}

TEST(tso_counts_are_limited)
{
    struct tso t = start(1000, 0);
    struct tso_answer a;
    struct err e = { 0 };
    tso_window_saved(&t, 4000);
    t.count_max = 100;
    CHECK_EQ(tso_take(&t, 1000, 0, &a, &e), ERR_INVALID_ARGUMENT);
    CHECK_EQ(tso_take(&t, 1000, 101, &a, &e), ERR_INVALID_ARGUMENT);
    CHECK_CONTAINS(e.msg, "take 1 to 100");
    CHECK_EQ(tso_take(&t, 1000, UINT32_MAX, &a, &e), ERR_INVALID_ARGUMENT);
    CHECK_EQ(take(&t, 1000, 100).kind, TSO_STAMPS);
}

TEST(tso_full_millisecond_waits_for_the_next_one)
{
    struct tso t = start(1000, 0);
    tso_window_saved(&t, 9000);
    CHECK_EQ(take(&t, 1000, TSO_COUNT_MAX - 3).kind, TSO_STAMPS);
    struct tso_answer a = take(&t, 1000, 4); /* would span two milliseconds */
    CHECK(a.kind == TSO_WAIT && a.until_ms == 1001);
    CHECK_EQ(take(&t, 1000, 3).first, tso_pack(1000, TSO_COUNT_MAX - 3)); /* this many fit */
    a = take(&t, 1000, 1); /* exactly full is full too */
    CHECK(a.kind == TSO_WAIT && a.until_ms == 1001);
    CHECK_EQ(take(&t, 1001, TSO_COUNT_MAX).first, tso_pack(1001, 0));
    CHECK_EQ(take(&t, 1001, 1).kind, TSO_WAIT);
}

TEST(tso_clock_behind_does_not_wait_for_an_hour)
{
    struct tso t = start(5000000, 0);
    tso_window_saved(&t, 5000100);
    CHECK_EQ(take(&t, 5000000, TSO_COUNT_MAX).kind, TSO_STAMPS);
    struct tso_answer a = take(&t, 5000000 - 3600000, 2);
    CHECK_EQ(a.kind, TSO_STAMPS);
    CHECK_EQ(a.first, tso_pack(5000001, 0));
}

TEST(tso_window_is_wanted_before_it_is_needed)
{
    struct tso t = start(1000, 0);
    CHECK_EQ(tso_window_wanted(&t, 1000), 4000);
    tso_window_saved(&t, 4000);
    CHECK_EQ(tso_window_wanted(&t, 1000), 0);
    CHECK_EQ(tso_window_wanted(&t, 2500), 0);
    CHECK_EQ(tso_window_wanted(&t, 2501), 5501);
    tso_window_saved(&t, 5501);
    tso_window_saved(&t, 4000); /* late news changes nothing */
    CHECK_EQ(t.window_ms, 5501);
}

TEST(tso_lost_window_is_an_error_and_the_floor_a_way_on)
{
    struct tso t;
    struct err e = { 0 };
    CHECK_EQ(tso_start(&t, 10, 3000, 1000, 0, false, 0, &e), ERR_DATA_LOSS);
    CHECK_CONTAINS(e.msg, "give a floor");
    tso_start_above(&t, 10, 3000, tso_pack(77777, 12));
    struct tso_answer a = take(&t, 1000, 1);
    CHECK_EQ(a.kind, TSO_WINDOW);
    tso_window_saved(&t, a.window_ms);
    CHECK(take(&t, 1000, 1).first > tso_pack(77777, 12));
    CHECK_OK(tso_start(&t, 10, 3000, 1000, 0, true, 5, &e), e);
    CHECK_EQ(tso_physical(t.next), 1005); /* the guard */
}

/* Any clock, restarts that remember what was saved alone, saves that do not happen: every stamp is
 * above all earlier ones, lies below a durable window, and no batch leaves its millisecond. */
TEST(tso_grows_under_any_clock_and_across_restarts)
{
    struct prng p;
    prng_seed(&p, 8);
    uint64_t now = 1ull << 33, saved = 0, last = 0;
    unsigned stamps = 0, waits = 0, windows = 0;
    struct tso t = start(now, 0);
    for (int step = 0; step < 200000; step++) {
        if (prng_chance(&p, 1, 500) && saved != 0)
            t = start(now, saved);
        if (prng_chance(&p, 1, 200))
            now += prng_below(&p, 3600000);
        if (prng_chance(&p, 1, 200))
            now -= prng_below(&p, 3600000);
        if (prng_chance(&p, 1, 3))
            now += prng_below(&p, 3);
        uint32_t count = (uint32_t)(1 + prng_below(&p, prng_chance(&p, 1, 4) ? TSO_COUNT_MAX : 50));
        struct tso_answer a = take(&t, now, count);
        switch (a.kind) {
        case TSO_STAMPS:
            CHECK(a.first > last);
            last = a.first + count - 1;
            CHECK_EQ(tso_physical(a.first), tso_physical(last));
            CHECK(tso_physical(last) < saved);
            stamps++;
            break;
        case TSO_WINDOW:
            CHECK(a.window_ms > t.window_ms);
            if (prng_chance(&p, 1, 2))
                tso_window_saved(&t, saved = a.window_ms);
            windows++;
            break;
        case TSO_WAIT:
            CHECK_EQ(a.until_ms, now + 1);
            now = a.until_ms;
            waits++;
            break;
        }
    }
    print_message("%u batches, %u waits, %u windows\n", stamps, waits, windows);
    CHECK(stamps > 50000 && waits > 100 && windows > 100);
}

TEST_MAIN()
