#include "sim_group/group.h"

#include "base/test.h"

TEST(group_seeds_pass_and_repeat)
{
    struct group_counts sum = { 0 };
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct group_result a, b;
        struct group_plan plan = { .seed = seed, .events = 20000 };
        group_run(&plan, NULL, &a);
        if (a.failed)
            fail_msg("raft_sim --seed %lu --events 20000: event %lu: %s", (unsigned long)seed,
                     (unsigned long)a.event, a.why);
        if (seed % 10 == 0) {
            group_run(&plan, NULL, &b);
            CHECK_EQ(a.hash, b.hash);
        }
        sum.crashes += a.counts.crashes;
        sum.torn += a.counts.torn;
        sum.cuts += a.counts.cuts;
        sum.lost += a.counts.lost;
        sum.isolations += a.counts.isolations;
        sum.echoes += a.counts.echoes;
        sum.elections += a.counts.elections;
        sum.changes += a.counts.changes;
        sum.snapshots += a.counts.snapshots;
        sum.reads_served += a.counts.reads_served;
        sum.committed += a.counts.committed;
    }
    /* A run without its faults is void. */
    CHECK(sum.crashes > 0 && sum.torn > 0 && sum.cuts > 0 && sum.lost > 0 && sum.snapshots > 0);
    CHECK(sum.isolations > 0 && sum.echoes > 0);
    CHECK(sum.elections > 60 && sum.changes > 0 && sum.reads_served > 60 && sum.committed > 10000);
}

TEST_MAIN()
