#include "base/histogram.h"

#include "base/test.h"

TEST(histogram_add_finds_the_bucket_on_both_sides_of_every_bound)
{
    for (unsigned b = 0; b + 1 < HISTOGRAM_BUCKETS; b++) {
        struct histogram h = { 0 };
        histogram_add(&h, histogram_bound(b));
        histogram_add(&h, histogram_bound(b) + 1);
        CHECK_EQ(h.buckets[b], 1);
        CHECK_EQ(h.buckets[b + 1], 1);
        CHECK_EQ(h.count, 2);
    }
    struct histogram h = { 0 };
    histogram_add(&h, 0);
    histogram_add(&h, UINT64_MAX);
    CHECK_EQ(h.buckets[0], 1);
    CHECK_EQ(h.buckets[HISTOGRAM_BUCKETS - 1], 1);
}

TEST(histogram_percentile_is_the_bound_of_its_bucket)
{
    struct histogram h = { 0 };
    CHECK_EQ(histogram_percentile(&h, 99), 0);
    for (int i = 0; i < 99; i++)
        histogram_add(&h, 100);
    histogram_add(&h, 100000);
    CHECK_EQ(histogram_percentile(&h, 50), 128);
    CHECK_EQ(histogram_percentile(&h, 99), 128);
    CHECK_EQ(histogram_percentile(&h, 99.5), 131072);
}

TEST_MAIN()
