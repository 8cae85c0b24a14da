#include "base/prng.h"
#include "base/test.h"

/* The first outputs from the state {1, 2, 3, 4}, worked out from the paper by hand and by an
 * independent program. */
TEST(prng_is_xoshiro256_starstar)
{
    struct prng p = { { 1, 2, 3, 4 } };
    static const uint64_t want[] = { 11520, 0, 1509978240, 1215971899390074240ull };
    for (size_t i = 0; i < 4; i++)
        CHECK_EQ(prng_u64(&p), want[i]);
}

TEST(prng_same_seed_same_sequence)
{
    struct prng a, b, c;
    prng_seed(&a, 42), prng_seed(&b, 42), prng_seed(&c, 43);
    unsigned same = 0;
    for (int i = 0; i < 1000; i++) {
        uint64_t v = prng_u64(&a);
        CHECK_EQ(v, prng_u64(&b));
        same += v == prng_u64(&c);
    }
    CHECK_EQ(same, 0);
}

TEST(prng_forks_differ_and_leave_the_parent_alone)
{
    struct prng p, before;
    prng_seed(&p, 7);
    before = p;
    struct prng a = prng_fork(&p, 1), b = prng_fork(&p, 2), a2 = prng_fork(&p, 1);
    CHECK(memcmp(&p, &before, sizeof p) == 0);
    CHECK(memcmp(&a, &a2, sizeof a) == 0);
    CHECK(prng_u64(&a) != prng_u64(&b));
}

/* Chi-square over 7 buckets, 6 degrees of freedom: above 22.5 one time of a thousand, and the
 * seed is fixed. */
TEST(prng_below_is_even)
{
    struct prng p;
    prng_seed(&p, 1);
    enum { N = 70000 };
    unsigned bucket[7] = { 0 };
    for (int i = 0; i < N; i++)
        bucket[prng_below(&p, 7)]++;
    double chi = 0;
    for (size_t i = 0; i < 7; i++)
        chi += (bucket[i] - N / 7.0) * (bucket[i] - N / 7.0) / (N / 7.0);
    CHECK(chi < 22.5);
}

/* With n = 3 * 2^62 the 2^64 inputs fall on the answers as 2, 1, 1, 2, 1, 1 ... unless some are drawn
 * again: half of the answers would be multiples of three. */
TEST(prng_below_draws_unfair_values_again)
{
    struct prng p;
    prng_seed(&p, 2);
    unsigned multiples = 0;
    for (int i = 0; i < 30000; i++)
        multiples += prng_below(&p, 3ull << 62) % 3 == 0;
    CHECK(multiples > 9700 && multiples < 10300);
}

TEST(prng_bounds_hold)
{
    struct prng p;
    prng_seed(&p, 3);
    bool lo = false, hi = false;
    for (int i = 0; i < 1000; i++) {
        uint64_t v = prng_range(&p, 10, 12);
        CHECK(v >= 10 && v <= 12);
        lo |= v == 10, hi |= v == 12;
        double u = prng_unit(&p);
        CHECK(u >= 0 && u < 1);
        CHECK_EQ(prng_below(&p, 1), 0);
        CHECK(!prng_chance(&p, 0, 5) && prng_chance(&p, 5, 5));
    }
    CHECK(lo && hi);
    CHECK_EQ(prng_range(&p, 5, 5), 5);
    (void)prng_range(&p, 0, UINT64_MAX);
    uint8_t bytes[13 + 1] = { 0 };
    prng_fill(&p, bytes, 13);
    CHECK_EQ(bytes[13], 0);
}

TEST_MAIN()
