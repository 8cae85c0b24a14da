/* One run: a seed, nodes, minutes, faults; a verdict.
 *
 *   start ── load, storms, calms ──> heal ── all come up ── every endpoint serves ── all keys are read ──> check
 *
 * passed   nothing acknowledged was lost, no read was stale, timestamps grew, everybody serves again after healing
 * failed   or not: `why` says what
 * void     nothing is proved: too few operations were acknowledged, no fault has hit, or the checker gave up */
#pragma once

#include "sim_cluster/nemesis.h"
#include "sim_cluster/workload.h"

enum { RUN_NODES_DEFAULT = 3, RUN_SECONDS_DEFAULT = 600, RUN_ACKNOWLEDGED_PER_MINUTE = 100 };

struct run_plan {
    uint64_t seed;
    unsigned nodes;
    uint64_t seconds; /* virtual, under load and faults; healing comes behind */
    struct nemesis_plan faults;
};

enum run_verdict { RUN_PASSED = 0, RUN_FAILED = 1, RUN_VOID = 3 };

/* No pointers: it crosses from process to process. */
struct run_result {
    enum run_verdict verdict;
    char why[4000];
    uint64_t ended_s;             /* when it failed, or ended: virtual seconds */
    uint64_t virtual_ns, wall_ns; /* of the whole; the latter by seeds.c */
    uint64_t hash, events;
    struct workload_counts ops;
    struct sim_cluster_counts nodes;
    uint64_t faults[NEMESIS_KINDS];
    unsigned attacks;
    uint32_t swarm;
};

struct run_output {
    FILE *trace; /* what nodes, clients and nemesis do; NULL: nothing */
    enum logger_level log;
    FILE *events;  /* every event of the universe */
    FILE *history; /* what clients saw, as JSON lines for history_check */
};

/* The same plan gives the same result, wherever it runs. */
void run_one(const struct run_plan *plan, const struct run_output *output, struct run_result *ret);
