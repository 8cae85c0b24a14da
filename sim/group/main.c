/* raft_sim: runs seeds of a group and prints what they met (usage below). */
#include "group.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { EVENTS_LEAST = 50000, FAILURES_MOST = 10, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_VOID = 3 };

static const char usage[] =
    "usage: raft_sim [--seed N] [--seeds COUNT] [--events N] [--without NAME,...] [--first] [--no-shrink] [--trace]\n"
    "\n"
    "Runs Raft groups under faults, one seed after the other, and checks every invariant after every event.\n"
    "\n"
    "  --seed N        the first seed (1)\n"
    "  --seeds COUNT   how many (1)\n"
    "  --events N      of each, before everything is healed (50000)\n"
    "  --without A,B   faults that are switched off; the seed draws the rest as ever\n"
    "  --first         stop at the first failure, as it is\n"
    "  --no-shrink     print failures as they are\n"
    "  --trace         every message and fault of the run, see sim/group/README.md\n"
    "\n"
    "A failure prints one line that repeats it, with as few faults and events as were found to be enough. Every 100th\n"
    "seed runs twice: its hash must be equal. Exit code: 0 passed; 1 failed; 2 usage; 3 void: nothing failed, and\n"
    "nothing is proved, since a seed had fewer than 50000 events or a fault never happened.\n"
    "\n"
    "faults:";

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
           " duplicated %" PRIu64 " late %" PRIu64 " held %" PRIu64 " echoes %" PRIu64 "\n",
           c->events, c->ticks, c->delivered, c->lost, c->duplicated, c->late, c->held, c->echoes);
    printf("crashes %" PRIu64 " torn %" PRIu64 " restarts %" PRIu64 " cuts %" PRIu64
           " one-way %" PRIu64 " isolations %" PRIu64 " stalls %" PRIu64 " compactions %" PRIu64
           " snapshots %" PRIu64 "\n",
           c->crashes, c->torn, c->restarts, c->cuts, c->one_way_cuts, c->isolations, c->stalls,
           c->compactions, c->snapshots);
    printf("elections %" PRIu64 " proposals %" PRIu64 " committed %" PRIu64 " changes %" PRIu64
           " transfers %" PRIu64 " reads %" PRIu64 " served %" PRIu64 " leases %" PRIu64
           " sleeps %" PRIu64 " lost-leaders %" PRIu64 "\n",
           c->elections, c->proposals, c->committed, c->changes, c->transfers, c->reads,
           c->reads_served, c->leases, c->sleeps, c->lost_leaders);
}

/* A fault that never happened, or NULL. */
static const char *missing(const struct group_counts *c)
{
    const struct {
        const char *name;
        uint64_t count;
    } faults[] = {
        { "loss", c->lost },
        { "duplicates", c->duplicated },
        { "late messages", c->late },
        { "held messages", c->held },
        { "echoes", c->echoes },
        { "crashes", c->crashes },
        { "torn writes", c->torn },
        { "cuts", c->cuts },
        { "one-way cuts", c->one_way_cuts },
        { "isolations", c->isolations },
        { "stalls", c->stalls },
        { "snapshots", c->snapshots },
        { "changes", c->changes },
        { "transfers", c->transfers },
        { "leases", c->leases },
        { "reads", c->reads_served },
        { "elections", c->elections },
        { "sleeps", c->sleeps },
        { "lost leaders", c->lost_leaders },
    };
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
        if (faults[i].count == 0)
            return faults[i].name;
    return NULL;
}

static bool parse_without(char *list, unsigned *ret)
{
    char *rest = NULL;
    for (char *name = strtok_r(list, ",", &rest); name != NULL; name = strtok_r(NULL, ",", &rest)) {
        unsigned i = 0;
        while (i < GROUP_SWITCHES && strcmp(name, group_switches[i]) != 0)
            i++;
        if (i == GROUP_SWITCHES) {
            fprintf(stderr, "raft_sim: there is no fault \"%s\" (raft_sim --help names them)\n",
                    name);
            return false;
        }
        *ret |= 1u << i;
    }
    return true;
}

static void print_failure(const struct group_plan *plan, const struct group_result *ret)
{
    printf("FAIL at event %" PRIu64 ": %s\n  again: raft_sim --seed %" PRIu64 " --events %" PRIu64,
           ret->event, ret->why, plan->seed, plan->events);
    const char *before = " --without ";
    for (unsigned i = 0; i < GROUP_SWITCHES; i++)
        if (plan->without >> i & 1) {
            printf("%s%s", before, group_switches[i]);
            before = ",";
        }
    printf(" --no-shrink --trace\n");
    fflush(stdout);
}

static int help(FILE *to, int code)
{
    fputs(usage, to);
    for (unsigned i = 0; i < GROUP_SWITCHES; i++)
        fprintf(to, " %s", group_switches[i]);
    fputc('\n', to);
    return code;
}

int main(int argc, char **argv)
{
    static const struct option options[] = { { "seed", required_argument, NULL, 's' },
                                             { "seeds", required_argument, NULL, 'n' },
                                             { "events", required_argument, NULL, 'e' },
                                             { "without", required_argument, NULL, 'w' },
                                             { "first", no_argument, NULL, 'f' },
                                             { "no-shrink", no_argument, NULL, 'k' },
                                             { "trace", no_argument, NULL, 't' },
                                             { "help", no_argument, NULL, 'h' },
                                             { NULL, 0, NULL, 0 } };
    struct group_plan first = { .seed = 1, .events = EVENTS_LEAST };
    uint64_t seeds = 1, ran = 0, failed = 0, most = FAILURES_MOST;
    bool trace = false, shrink = true;
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 's')
            first.seed = strtoull(optarg, NULL, 0);
        else if (c == 'n')
            seeds = strtoull(optarg, NULL, 0);
        else if (c == 'e')
            first.events = strtoull(optarg, NULL, 0);
        else if (c == 'w' && !parse_without(optarg, &first.without))
            return EXIT_USAGE;
        else if (c == 'f')
            most = 1, shrink = false;
        else if (c == 'k')
            shrink = false;
        else if (c == 't')
            trace = true;
        else if (c != 'w')
            return help(c == 'h' ? stdout : stderr, c == 'h' ? 0 : EXIT_USAGE);
    }
    struct group_counts sum = { 0 };
    printf("raft_sim: %" PRIu64 " seeds from %" PRIu64 ", %" PRIu64 " events each\n", seeds,
           first.seed, first.events);
    fflush(stdout); /* an assertion of the core ends the process: what ran must be known */
    for (; ran < seeds && failed < most; ran++) {
        struct group_plan plan = first;
        struct group_result ret, again;
        plan.seed += ran;
        group_run(&plan, trace ? stdout : NULL, &ret);
        add(&sum, &ret.counts);
        if (ret.failed) {
            failed++;
            if (shrink)
                group_shrink(&plan, &ret);
            print_failure(&plan, &ret);
        } else if (ran % 100 == 0) {
            group_run(&plan, NULL, &again);
            if (again.hash != ret.hash) {
                failed++;
                snprintf(ret.why, sizeof ret.why,
                         "two runs have two hashes, %016" PRIx64 " and %016" PRIx64, ret.hash,
                         again.hash);
                print_failure(&plan, &ret);
            }
        }
        if (seeds == 1)
            printf("hash %016" PRIx64 "\n", ret.hash);
    }
    print_counts(&sum);
    printf("%" PRIu64 " passed, %" PRIu64 " failed\n", ran - failed, failed);
    if (failed > 0)
        return EXIT_FAILED;
    const char *fault = missing(&sum);
    if (first.events < EVENTS_LEAST)
        printf("void: fewer than %d events a seed\n", EVENTS_LEAST);
    else if (fault != NULL)
        printf("void: there were no %s\n", fault);
    return first.events < EVENTS_LEAST || fault != NULL ? EXIT_VOID : 0;
}
