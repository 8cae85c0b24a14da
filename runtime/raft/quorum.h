/* Quorums over masks: what a majority of each half has, and how a vote stands. */
#pragma once

#include "raft/raft.h"

enum quorum_vote { QUORUM_PENDING, QUORUM_LOST, QUORUM_WON };

/* The largest value that a majority of each half has reached; UINT64_MAX for an empty configuration. */
raft_index quorum_committed(uint16_t voters, uint16_t outgoing,
                            const raft_index value[RAFT_MAX_PEERS]);
/* How a vote stands in both halves. An empty half agrees with everything. */
enum quorum_vote quorum_vote(uint16_t voters, uint16_t outgoing, uint16_t granted,
                             uint16_t rejected);
/* Is `have` a majority of each half? */
bool quorum_has(uint16_t voters, uint16_t outgoing, uint16_t have);
