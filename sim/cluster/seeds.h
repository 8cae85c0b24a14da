/* Many runs: each in a process of its own, so that an assertion of the code under test is a failure like any
 * other; several at a time; what failed is run again with fewer faults and less time, and printed as one line. */
#pragma once

#include "sim_cluster/run.h"

struct seeds_plan {
    struct run_plan first; /* its seed, and the ones behind it */
    uint64_t count;
    unsigned jobs; /* runs at a time */
    bool shrink;
    unsigned twice_every; /* one seed of so many runs twice: its hash must be equal; 0: none */
    struct run_output output;
};

/* Prints what happened to `out` and answers the exit code: enum run_verdict, the worst first. */
int seeds_run(const struct seeds_plan *plan, FILE *out);
/* "kill,cut,slow", "all", "none", or "-cut,-slow" (all but these). False: `bad` is the word that is none. */
bool seeds_parse_faults(const char *list, uint32_t *ret, char bad[32]);
/* "3,17,20-25": attacks that are left out. */
bool seeds_parse_skip(const char *list, struct nemesis_plan *ret);
