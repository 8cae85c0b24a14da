/* Runs pass, repeat, and fail when something is lost: a checker that never failed proves nothing. */
#include "sim_cluster/run.h"

#include "base/test.h"
#include "sim_cluster/seeds.h"

static const struct run_output silent = { .log = LOGGER_ERROR };

static struct run_plan run_of(uint64_t seed, unsigned nodes, uint64_t seconds, const char *faults)
{
    struct run_plan plan = { .seed = seed, .nodes = nodes, .seconds = seconds };
    char bad[32];
    CHECK(seeds_parse_faults(faults, &plan.faults.allowed, bad));
    return plan;
}

TEST(run_of_a_seed_is_the_same_twice_and_another_seed_is_another)
{
    uint64_t hashes[6];
    for (uint64_t i = 0; i < 6; i++) {
        struct run_plan plan = run_of(1 + i / 2, 1, 60, "all");
        struct run_result r;
        run_one(&plan, &silent, &r);
        if (r.verdict != RUN_PASSED)
            fail_msg("flotilla sim --seed %lu --nodes 1 --minutes 1: %s", (unsigned long)plan.seed,
                     r.why);
        hashes[i] = r.hash;
        if (i % 2 == 1)
            CHECK(hashes[i] == hashes[i - 1]);
        else if (i > 0)
            CHECK(hashes[i] != hashes[i - 1]);
    }
}

/* Three replicas pass, repeat, and hold the same in the end. The seeds of make test: scripts/sim-seeds.sh. */
TEST(run_of_three_nodes_passes_twice_alike)
{
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct run_plan plan = run_of(seed, 3, 60, "all");
        struct run_result a, b;
        run_one(&plan, &silent, &a);
        if (a.verdict != RUN_PASSED)
            fail_msg("flotilla sim --seed %lu --minutes 1: %s", (unsigned long)seed, a.why);
        run_one(&plan, &silent, &b);
        CHECK(a.hash == b.hash && a.events == b.events);
    }
}

/* Tracing and logging look and do not touch. */
TEST(run_is_not_changed_by_being_watched)
{
    struct run_plan plan = run_of(4, 1, 30, "all");
    struct run_result a, b;
    char *text = NULL, *events = NULL;
    size_t len = 0, events_len = 0;
    struct run_output watched = { .trace = open_memstream(&text, &len),
                                  .events = open_memstream(&events, &events_len),
                                  .log = LOGGER_TRACE };
    run_one(&plan, &silent, &a);
    run_one(&plan, &watched, &b);
    fclose(watched.trace);
    fclose(watched.events);
    CHECK(a.hash == b.hash);
    CHECK_CONTAINS(text, "nemesis #0 ");
    CHECK_CONTAINS(text, "n1      log ");
    CHECK_CONTAINS(events, " sync ");
    free(text);
    free(events);
}

TEST(run_without_faults_passes_and_is_not_void)
{
    struct run_plan plan = run_of(5, 1, 60, "none");
    struct run_result r;
    run_one(&plan, &silent, &r);
    CHECK_EQ(r.verdict, RUN_PASSED);
    CHECK_EQ(r.nodes.crashes, 0);
    CHECK(r.ops.acknowledged > 100);
    CHECK_EQ(r.ops.undetermined, 0);
}

/* A disk that lies about its syncs loses what was acknowledged, and that is seen. */
TEST(run_notices_that_acknowledged_writes_are_lost)
{
    unsigned failed = 0;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct run_plan plan = run_of(seed, 1, 600, "power,blackout,effect,lie");
        struct run_result r;
        run_one(&plan, &silent, &r);
        failed += r.verdict == RUN_FAILED;
    }
    CHECK(failed >= 2);
}

/* An attack that is left out leaves the others as they were. */
TEST(run_without_an_attack_keeps_the_others)
{
    char *text[2] = { NULL, NULL };
    for (unsigned i = 0; i < 2; i++) {
        struct run_plan plan = run_of(6, 1, 120, "all");
        size_t len = 0;
        struct run_output out = { .trace = open_memstream(&text[i], &len), .log = LOGGER_ERROR };
        struct run_result r;
        if (i == 1)
            CHECK(seeds_parse_skip("2", &plan.faults));
        run_one(&plan, &out, &r);
        fclose(out.trace);
    }
    unsigned same = 0;
    for (unsigned attack = 0; attack < 30; attack++) {
        char mark[12], *at[2], line[2][100];
        snprintf(mark, sizeof mark, " #%u ", attack);
        for (unsigned i = 0; i < 2; i++) {
            at[i] = strstr(text[i], mark);
            if (at[i] != NULL)
                snprintf(line[i], sizeof line[i], "%.*s", (int)strcspn(at[i], "\n"), at[i]);
        }
        if (attack == 2)
            CHECK(at[0] == NULL || at[1] == NULL);
        if (attack == 2 || at[0] == NULL || at[1] == NULL)
            continue;
        CHECK_STR(line[0], line[1]);
        same++;
    }
    CHECK(same >= 5);
    free(text[0]);
    free(text[1]);
}

TEST_MAIN()
