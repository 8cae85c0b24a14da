/* What clients do, and what they must have seen.
 *
 *   slot (of a client's machine): think, draw an operation on one of few keys, ask, note call and answer, think ...
 *
 * Every value is written once in a run and carries a filler that follows from it, so that a read shows whose write it
 * was and that it came whole. The history goes to the checker of sim/check; timestamps are checked here: no two alike,
 * and growing along happens-before, over all nodes and restarts. */
#pragma once

#include "sim_cluster/cluster.h"
#include "sim_check/linear.h"

struct workload_plan {
    unsigned slots; /* operations under way at once, of each client */
    unsigned keys;  /* of each key space */
    unsigned hot;   /* of 100 operations, those on the first key */
    unsigned weight[SIM_CLIENT_KINDS];
    uint64_t think_ns;  /* between two operations of a slot, on the average */
    unsigned value_max; /* bytes */
};

struct workload_counts {
    uint64_t acknowledged, undetermined,
        refused;                      /* refused: not done, or a read that learnt nothing */
    uint64_t kinds[SIM_CLIENT_KINDS]; /* acknowledged */
    uint64_t conflicts, retries, hints, drops;
};

struct workload;
void workload_draw(struct workload_plan *plan, struct prng *prng);
struct workload *workload_new(struct sim_cluster *c, uint64_t seed,
                              const struct workload_plan *plan);
/* Before the cluster is freed. NULL is welcome. */
void workload_stop(struct workload *w); /* no new operations from now on */
void workload_free(struct workload *w); /* after the cluster */
/* Operations under way. */
unsigned workload_busy(const struct workload *w);
/* Puts, reads and asks for a stamp, beginning at that endpoint, then reads every key in both key spaces through it.
 * Once at a time; done when workload_busy() is 0. The answer: how many of these were not acknowledged. */
void workload_look(struct workload *w, unsigned endpoint, bool all_keys);
unsigned workload_look_failed(const struct workload *w);
void workload_counts(const struct workload *w, struct workload_counts *ret);
/* What is wrong by now; NULL: nothing. Valid as long as `w`. Looks at what is known on the way: damaged values. */
const char *workload_fault(const struct workload *w);
/* Looks at everything, at the end. LINEAR_NO with the reasons in `why`. */
enum linear_verdict workload_check(struct workload *w, struct buf *why);
/* The history as JSON lines, for the checker's own program. */
const struct history *workload_history(const struct workload *w);
