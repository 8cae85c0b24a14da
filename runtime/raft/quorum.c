/* Majorities of one half, then of both (thesis 4.3: joint consensus needs each). */
#include "quorum.h"

static unsigned count(uint16_t mask)
{
    return (unsigned)__builtin_popcount(mask);
}

static unsigned majority(uint16_t half)
{
    return count(half) / 2 + 1;
}

static raft_index half_committed(uint16_t half, const raft_index value[RAFT_MAX_PEERS])
{
    raft_index sorted[RAFT_MAX_PEERS]; /* descending */
    unsigned n = 0;
    if (half == 0)
        return UINT64_MAX;
    for (uint16_t left = half; left != 0; left &= (uint16_t)(left - 1)) {
        raft_index v = value[__builtin_ctz(left)];
        unsigned at = n++;
        for (; at > 0 && sorted[at - 1] < v; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = v;
    }
    return sorted[majority(half) - 1];
}

raft_index quorum_committed(uint16_t voters, uint16_t outgoing,
                            const raft_index value[RAFT_MAX_PEERS])
{
    raft_index a = half_committed(voters, value), b = half_committed(outgoing, value);
    return a < b ? a : b;
}

static enum quorum_vote half_vote(uint16_t half, uint16_t granted, uint16_t rejected)
{
    if (half == 0 || count(granted & half) >= majority(half))
        return QUORUM_WON;
    if (count(half) - count(rejected & half) < majority(half))
        return QUORUM_LOST;
    return QUORUM_PENDING;
}

enum quorum_vote quorum_vote(uint16_t voters, uint16_t outgoing, uint16_t granted,
                             uint16_t rejected)
{
    enum quorum_vote a = half_vote(voters, granted, rejected),
                     b = half_vote(outgoing, granted, rejected);
    if (a == b)
        return a;
    return a == QUORUM_LOST || b == QUORUM_LOST ? QUORUM_LOST : QUORUM_PENDING;
}

bool quorum_has(uint16_t voters, uint16_t outgoing, uint16_t have)
{
    return quorum_vote(voters, outgoing, have, 0) == QUORUM_WON;
}
