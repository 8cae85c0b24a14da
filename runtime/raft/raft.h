/* The types of consensus that the log already carries: entries, hard state.
 *
 * The core itself (step, tick, propose, ready) comes with replication; until then a store has
 * one region with one replica: region 1, term 1, and what is synced is committed. */
#pragma once

#include <stdint.h>

typedef uint64_t raft_id, raft_term, raft_index;

struct raft_ent {
    raft_term term;
    raft_index index;
    uint32_t len;
    uint8_t type; /* enum raft_ent_type */
    const void *data; /* borrowed */
};
enum raft_ent_type { RAFT_ENT_NORMAL = 0, RAFT_ENT_CONF = 1 };

struct raft_hs {
    raft_term term;
    raft_id vote;
    raft_index commit;
}; /* term and vote never apart: one record */
