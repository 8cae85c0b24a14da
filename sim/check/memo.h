/* Configurations that were visited, as fingerprints of 128 bits.
 *
 * What is kept is not the configuration (a set of operations and a state) but the exclusive or of one random number for
 * each of its operations, and of one for its state. Two of c configurations share a fingerprint with a probability
 * below c^2 / 2^129: less than 10^-24 for the default budget. It could only hide an order, never invent one. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mark {
    uint64_t a, b;
};

struct memo {
    struct mark *table; /* cap places, a power of two; {0, 0} is a free one */
    size_t count, cap;
};

/* False if it is in already. */
bool memo_add(struct memo *m, struct mark mark);
void memo_free(struct memo *m);

/* A number for a thing (`what`, `more`), the same in every run. */
struct mark mark_of(uint64_t what, uint64_t more);
static inline struct mark mark_mix(struct mark x, struct mark y)
{
    return (struct mark){ x.a ^ y.a, x.b ^ y.b };
}
