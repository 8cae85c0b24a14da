/* xoshiro256** and what is drawn from it. */
#include "base/prng.h"

#include <assert.h>
#include <string.h>

static uint64_t rotl(uint64_t v, unsigned by)
{
    return v << by | v >> (64 - by);
}

static uint64_t splitmix(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

void prng_seed(struct prng *p, uint64_t seed)
{
    for (size_t i = 0; i < 4; i++) /* four successive values are never all zero */
        p->s[i] = splitmix(&seed);
}

struct prng prng_fork(const struct prng *p, uint64_t stream)
{
    uint64_t mix = stream;
    mix = p->s[0] ^ rotl(p->s[3], 17) ^ splitmix(&mix);
    struct prng child;
    prng_seed(&child, mix);
    return child;
}

uint64_t prng_u64(struct prng *p)
{
    uint64_t *s = p->s;
    uint64_t out = rotl(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return out;
}

/* Lemire, "Fast random integer generation in an interval" (2019): the high half of a product is
 * the answer, and the few low halves that would favour some answers are drawn again. */
uint64_t prng_below(struct prng *p, uint64_t n)
{
    assert(n > 0);
    unsigned __int128 product = (unsigned __int128)prng_u64(p) * n;
    if ((uint64_t)product < n) {
        uint64_t unfair = -n % n;
        while ((uint64_t)product < unfair)
            product = (unsigned __int128)prng_u64(p) * n;
    }
    return (uint64_t)(product >> 64);
}

uint64_t prng_range(struct prng *p, uint64_t lo, uint64_t hi)
{
    assert(lo <= hi);
    uint64_t span = hi - lo + 1; /* 0: all of 64 bits */
    return span == 0 ? prng_u64(p) : lo + prng_below(p, span);
}

bool prng_chance(struct prng *p, uint64_t num, uint64_t den)
{
    return prng_below(p, den) < num;
}

double prng_unit(struct prng *p)
{
    return (double)(prng_u64(p) >> 11) * 0x1p-53;
}

void prng_fill(struct prng *p, void *out, size_t len)
{
    for (uint8_t *at = out; len > 0;) {
        uint64_t v = prng_u64(p);
        size_t n = len < sizeof v ? len : sizeof v;
        memcpy(at, &v, n);
        at += n;
        len -= n;
    }
}
