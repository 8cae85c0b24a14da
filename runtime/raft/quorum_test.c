#include "quorum.h"

#include "base/prng.h"
#include "base/test.h"

/* From the definition: the largest value that more than half of the members have reached. */
static raft_index slow_half(uint16_t half, const raft_index *value)
{
    raft_index best = half == 0 ? UINT64_MAX : 0;
    for (unsigned i = 0; i < RAFT_MAX_PEERS; i++) {
        int reached = 0;
        for (unsigned k = 0; k < RAFT_MAX_PEERS; k++)
            reached += (half >> k & 1) && value[k] >= value[i];
        if ((half >> i & 1) && 2 * reached > __builtin_popcount(half) && value[i] > best)
            best = value[i];
    }
    return best;
}

TEST(quorum_committed_is_its_definition)
{
    struct prng p;
    prng_seed(&p, 5);
    for (unsigned round = 0; round < 50000; round++) {
        uint16_t a = (uint16_t)prng_u64(&p), b = prng_chance(&p, 1, 3) ? 0 : (uint16_t)prng_u64(&p);
        raft_index value[RAFT_MAX_PEERS];
        for (unsigned i = 0; i < RAFT_MAX_PEERS; i++)
            value[i] = prng_below(&p, 12);
        raft_index x = slow_half(a, value), y = slow_half(b, value),
                   got = quorum_committed(a, b, value);
        CHECK_EQ(got, x < y ? x : y);
        CHECK_EQ(got, quorum_committed(b, a, value));
        CHECK_EQ(quorum_committed(a, 0, value), quorum_committed(a, a, value));
    }
}

TEST(quorum_votes_agree_with_counting)
{
    struct prng p;
    prng_seed(&p, 6);
    for (unsigned round = 0; round < 50000; round++) {
        uint16_t a = (uint16_t)prng_u64(&p), b = prng_chance(&p, 1, 3) ? 0 : (uint16_t)prng_u64(&p);
        uint16_t yes = (uint16_t)prng_u64(&p), no = (uint16_t)(prng_u64(&p) & ~yes);
        bool won = true, lost = false;
        for (unsigned h = 0; h < 2; h++) {
            uint16_t half = h == 0 ? a : b;
            int n = __builtin_popcount(half), y = __builtin_popcount(half & yes),
                r = __builtin_popcount(half & no);
            won = won && (n == 0 || 2 * y > n);
            lost = lost || (n > 0 && 2 * (n - r) <= n);
        }
        CHECK_EQ(quorum_vote(a, b, yes, no), lost  ? QUORUM_LOST
                                             : won ? QUORUM_WON
                                                   : QUORUM_PENDING);
        CHECK_EQ(quorum_has(a, b, yes), quorum_vote(a, b, yes, 0) == QUORUM_WON);
    }
}

TEST_MAIN()
