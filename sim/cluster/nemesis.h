/* Whoever wishes the cluster ill: faults drawn from the seed, each counted.
 *
 *   storm .......... calm ... storm ................ calm ...        in a storm an attack every few seconds; some last,
 *   kill  cut-----|         stall---|  power  slow----|              some overlap; in a calm nothing is wrong
 *
 * A seed draws a swarm, the kinds of attack that it has; what attack number k is depends on the seed and on k alone, so
 * that a failure can be run again without some of them, and the others stay as they were. */
#pragma once

#include "sim_cluster/cluster.h"

enum { NEMESIS_SWARM = 26, NEMESIS_KINDS = 28, NEMESIS_ATTACKS_MAX = 1024 };
/* What a seed may have. Kinds behind these are on demand: a disk that lies is more than a store can survive, and proves
 * that the checks notice. */
#define NEMESIS_ALL ((UINT32_C(1) << NEMESIS_SWARM) - 1)
/* A word for --faults, and a line on what it is. */
const char *nemesis_name(unsigned kind);
const char *nemesis_doc(unsigned kind);

struct nemesis_plan {
    uint32_t allowed; /* bits over the names; the swarm is drawn among all, then cut to these */
    uint64_t skipped[NEMESIS_ATTACKS_MAX / 64]; /* attacks, by number, that are left out */
};

struct nemesis;
struct nemesis *nemesis_new(struct sim_cluster *c, uint64_t seed, const struct nemesis_plan *plan);
void nemesis_free(struct nemesis *n);
/* Does what is due; call it every few milliseconds of virtual time. */
void nemesis_step(struct nemesis *n);
/* Ends all that lasts; nothing begins any more. */
void nemesis_heal(struct nemesis *n);
/* Attacks so far, those left out too. */
unsigned nemesis_attacks(const struct nemesis *n);
/* How often each kind has hit. Of faults of the disk: what the disk counts. */
void nemesis_counts(const struct nemesis *n, uint64_t ret[NEMESIS_KINDS]);
/* The kinds of this seed, without regard to `allowed`. */
uint32_t nemesis_swarm(const struct nemesis *n);
