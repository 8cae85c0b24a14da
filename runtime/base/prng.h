/* A small, fast, seeded generator of pseudo-random numbers: xoshiro256** (Blackman and Vigna,
 * "Scrambled linear pseudorandom number generators", 2021), its state filled by SplitMix64.
 *
 * The same seed gives the same sequence on every machine: simulations, election time-outs,
 * jitter. Never for secrets. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct prng {
    uint64_t s[4];
};

/* Any seed is good, 0 too. */
void prng_seed(struct prng *p, uint64_t seed);
/* A generator of its own for a part of the work (`stream` names it), so that one more draw here
 * moves nothing there. */
struct prng prng_fork(const struct prng *p, uint64_t stream);
uint64_t prng_u64(struct prng *p);
/* Uniform in [0, n), without bias; n > 0. */
uint64_t prng_below(struct prng *p, uint64_t n);
/* Uniform in [lo, hi], both included; lo <= hi. */
uint64_t prng_range(struct prng *p, uint64_t lo, uint64_t hi);
/* True `num` times of `den`; den > 0. */
bool prng_chance(struct prng *p, uint64_t num, uint64_t den);
/* Uniform in [0, 1), a multiple of 2^-53. */
double prng_unit(struct prng *p);
void prng_fill(struct prng *p, void *out, size_t len);
