#include "base/nearest.h"
#include "base/test.h"

TEST(nearest_distance_counts_slips)
{
    CHECK_EQ(nearest_distance("", ""), 0);
    CHECK_EQ(nearest_distance("", "abc"), 3);
    CHECK_EQ(nearest_distance("scan", "scan"), 0);
    CHECK_EQ(nearest_distance("SCAN", "scan"), 0);
    CHECK_EQ(nearest_distance("scna", "scan"), 1);  /* neighbours swapped */
    CHECK_EQ(nearest_distance("scn", "scan"), 1);   /* one left out */
    CHECK_EQ(nearest_distance("sccan", "scan"), 1); /* one too many */
    CHECK_EQ(nearest_distance("scam", "scan"), 1);  /* one wrong */
    CHECK_EQ(nearest_distance("kitten", "sitting"), 3);
    CHECK_EQ(nearest_distance("ca", "abc"), 3); /* the restricted form: 2 without the restriction */
}

TEST(nearest_distance_refuses_long_words)
{
    char longer[65], longest[64];
    memset(longer, 'a', 64);
    longer[64] = '\0';
    memset(longest, 'a', 63);
    longest[63] = '\0';
    CHECK_EQ(nearest_distance(longest, longest), 0);
    CHECK(nearest_distance(longer, longer) > 1000);
    CHECK(nearest_distance("a", longer) > 1000);
}

TEST(nearest_names_what_was_meant_or_nothing)
{
    static const char *const words[] = { "put", "get", "delete", "scan", "cas", "status", "start" };
    size_t n = sizeof words / sizeof words[0];
    CHECK_STR(nearest("stauts", words, n), "status");
    CHECK_STR(nearest("strat", words, n), "start");
    CHECK_STR(nearest("del", words, n), "delete");
    CHECK_STR(nearest("gte", words, n), "get");
    CHECK_STR(nearest("Put", words, n), "put");
    CHECK(nearest("frobnicate", words, n) == NULL);
    CHECK(nearest("x", words, n) == NULL);
    CHECK(nearest("", words, n) == NULL);
    CHECK(nearest("get", words, 0) == NULL);
}

TEST_MAIN()
