#include "sim_cluster/seeds.h"

#include "base/test.h"

TEST(seeds_parse_lists_of_faults)
{
    uint32_t set;
    char bad[32];
    CHECK(seeds_parse_faults("all", &set, bad));
    CHECK_EQ(set, NEMESIS_ALL);
    CHECK(seeds_parse_faults("none", &set, bad));
    CHECK_EQ(set, 0);
    CHECK(seeds_parse_faults("kill,power", &set, bad));
    CHECK_EQ(set, 3);
    CHECK(seeds_parse_faults("-kill,-power", &set, bad));
    CHECK_EQ(set, NEMESIS_ALL & ~UINT32_C(3));
    CHECK(seeds_parse_faults("all,lie", &set, bad));
    CHECK(set != NEMESIS_ALL && (set & NEMESIS_ALL) == NEMESIS_ALL);
    CHECK(!seeds_parse_faults("kill,powr", &set, bad));
    CHECK_STR(bad, "powr");
}

TEST(seeds_parse_lists_of_attacks)
{
    struct nemesis_plan plan = { 0 };
    CHECK(seeds_parse_skip("0,5,62-65", &plan));
    CHECK_EQ(plan.skipped[0], UINT64_C(3) << 62 | 33);
    CHECK_EQ(plan.skipped[1], 3);
    CHECK(!seeds_parse_skip("x", &plan));
    CHECK(!seeds_parse_skip("5-3", &plan));
    CHECK(!seeds_parse_skip("1024", &plan));
    CHECK(!seeds_parse_skip("1;2", &plan));
}

/* Runs; `text` gets what was printed, the caller frees it. Answers the code. */
static int seeds_output(struct seeds_plan *plan, char **text)
{
    size_t len = 0;
    FILE *out = open_memstream(text, &len);
    int code = seeds_run(plan, out);
    fclose(out);
    return code;
}

TEST(seeds_run_side_by_side_and_sum_up)
{
    struct seeds_plan plan = { .first = { .seed = 1, .nodes = 1, .seconds = 60 },
                               .count = 4,
                               .jobs = 2,
                               .twice_every = 2,
                               .output.log = LOGGER_ERROR };
    plan.first.faults.allowed = NEMESIS_ALL;
    char *text = NULL;
    CHECK_EQ(seeds_output(&plan, &text), RUN_PASSED);
    CHECK_CONTAINS(text, "4 passed, 0 failed, 0 void");
    CHECK_CONTAINS(text, "seed 4  virtual 1:2");
    free(text);
}

/* What failed is repeated with less, by the line that is printed. */
TEST(seeds_shrink_what_fails_to_one_line)
{
    char bad[32];
    struct seeds_plan plan = { .first = { .seed = 1, .nodes = 1, .seconds = 120 },
                               .count = 10,
                               .jobs = 1,
                               .shrink = true,
                               .output.log = LOGGER_ERROR };
    CHECK(seeds_parse_faults("power,effect,lane,chop,clock,lie", &plan.first.faults.allowed, bad));
    char *text = NULL;
    CHECK_EQ(seeds_output(&plan, &text), RUN_FAILED);
    const char *less = strstr(text, "  less:  flotilla sim --seed ");
    CHECK(less != NULL);
    char line[500];
    snprintf(line, sizeof line, "%.*s", (int)strcspn(less, "\n"), less);
    CHECK_CONTAINS(line, "lie");
    CHECK(strstr(line, "chop") == NULL && strstr(line, "clock") == NULL);
    free(text);
}

TEST(seeds_that_prove_nothing_are_void)
{
    struct seeds_plan plan = { .first = { .seed = 1, .nodes = 1, .seconds = 4 },
                               .count = 1,
                               .jobs = 1,
                               .output.log = LOGGER_ERROR };
    plan.first.faults.allowed = NEMESIS_ALL; /* the first storm comes later */
    char *text = NULL;
    CHECK_EQ(seeds_output(&plan, &text), RUN_VOID);
    CHECK_CONTAINS(text, "no fault has hit");
    free(text);
}

TEST_MAIN()
