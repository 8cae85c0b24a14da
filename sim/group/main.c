/* raft_sim: runs seeds of a group and prints what they met.
 *
 *   raft_sim [--seed N] [--seeds COUNT] [--events N] [--trace]
 *
 * A failure prints one line that repeats it, and exits with 1. Every 100th seed runs twice: its hash must be equal. */
#include "group.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static void add(struct group_counts *sum, const struct group_counts *one)
{
    uint64_t *to = (uint64_t *)sum;
    const uint64_t *from = (const uint64_t *)one;
    for (size_t i = 0; i < sizeof *sum / sizeof *to; i++)
        to[i] += from[i];
}

static void print_counts(const struct group_counts *c)
{
    printf("events %" PRIu64 " ticks %" PRIu64 " delivered %" PRIu64 " lost %" PRIu64
           " duplicated %" PRIu64 " late %" PRIu64 "\n",
           c->events, c->ticks, c->delivered, c->lost, c->duplicated, c->late);
    printf("crashes %" PRIu64 " torn %" PRIu64 " restarts %" PRIu64 " cuts %" PRIu64
           " one-way %" PRIu64 " stalls %" PRIu64 " compactions %" PRIu64 " snapshots %" PRIu64
           "\n",
           c->crashes, c->torn, c->restarts, c->cuts, c->one_way_cuts, c->stalls, c->compactions,
           c->snapshots);
    printf("elections %" PRIu64 " proposals %" PRIu64 " committed %" PRIu64 " changes %" PRIu64
           " transfers %" PRIu64 " reads %" PRIu64 " served %" PRIu64 " leases %" PRIu64 "\n",
           c->elections, c->proposals, c->committed, c->changes, c->transfers, c->reads,
           c->reads_served, c->leases);
}

int main(int argc, char **argv)
{
    static const struct option options[] = { { "seed", required_argument, NULL, 's' },
                                             { "seeds", required_argument, NULL, 'n' },
                                             { "events", required_argument, NULL, 'e' },
                                             { "trace", no_argument, NULL, 't' },
                                             { NULL, 0, NULL, 0 } };
    uint64_t seed = 1, seeds = 1, events = 50000, failed = 0;
    bool trace = false;
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 's')
            seed = strtoull(optarg, NULL, 0);
        else if (c == 'n')
            seeds = strtoull(optarg, NULL, 0);
        else if (c == 'e')
            events = strtoull(optarg, NULL, 0);
        else if (c == 't')
            trace = true;
        else
            return 2;
    }
    struct group_counts sum = { 0 };
    printf("raft_sim: %" PRIu64 " seeds from %" PRIu64 ", %" PRIu64 " events each\n", seeds, seed,
           events);
    for (uint64_t i = 0; i < seeds; i++) {
        struct group_result ret, again;
        group_run(seed + i, events, trace ? stdout : NULL, &ret);
        add(&sum, &ret.counts);
        if (!ret.failed && i % 100 == 0) {
            group_run(seed + i, events, NULL, &again);
            if (again.hash != ret.hash) {
                ret.failed = true;
                snprintf(ret.why, sizeof ret.why,
                         "two runs have two hashes, %016" PRIx64 " and %016" PRIx64, ret.hash,
                         again.hash);
            }
        }
        if (ret.failed) {
            failed++;
            printf("FAIL at event %" PRIu64 ": %s\n  again: raft_sim --seed %" PRIu64
                   " --events %" PRIu64 " --trace\n",
                   ret.event, ret.why, seed + i, events);
            if (failed >= 10)
                break;
        }
        if (seeds == 1)
            printf("hash %016" PRIx64 "\n", ret.hash);
    }
    print_counts(&sum);
    printf("%" PRIu64 " passed, %" PRIu64 " failed\n", seeds - failed, failed);
    return failed > 0;
}
