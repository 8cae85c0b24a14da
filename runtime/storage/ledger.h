/* The ledger of the log: what in which segment is still needed, so that the oldest one can be given
 * up.
 *
 *   segment    7          8            9 (being written)
 *   entries    .. 412     .. 977       .. 1203                 may go once durable >= 412
 *   live       TSO window              hard state, CUT(1, 0), HLC bound
 *
 * Before segment 7 goes, what is live in it (here the TSO window) is written again at the end, with
 * CUT(1, 412, term). Spilling entries that others still want to family raft_log comes with
 * consensus; alone, a store wants none of them.
 *
 * Belongs to whoever writes the log. */
#pragma once

#include "storage/store.h"
#include "wal.h"

enum { LEDGER_LOCALS = 8, LEDGER_REGION = 1 }; /* kinds of LOCAL records are below LEDGER_LOCALS */

struct ledger_seal {
    uint64_t segment;
    raft_index last; /* of the entries in it; 0: none */
    raft_term term;  /* of that entry */
};

struct ledger {
    struct ledger_seal *seals; /* one per live segment, oldest first */
    size_t count, cap;
    struct raft_hs hs;
    uint64_t hs_segment; /* 0: no hard state yet */
    raft_index cut;      /* entries up to it are not in the log */
    raft_term cut_term;
    raft_index last; /* of the log */
    struct {
        uint64_t segment; /* 0: none */
        struct buf value;
    } locals[LEDGER_LOCALS];
};

void ledger_free(struct ledger *ledger);
/* A batch went to `segment`; the calls below say what was in it. */
void ledger_segment(struct ledger *ledger, uint64_t segment);
void ledger_append(struct ledger *ledger, struct raft_hs hs, raft_index last,
                   raft_term term); /* last 0: no entry */
void ledger_cut(struct ledger *ledger, raft_index index, raft_term term);
MUST_USE err_t ledger_local(struct ledger *ledger, uint32_t kind,
                            struct bytes value); /* ERR_NOMEM */

/* Whether the oldest segment may go when everything up to `durable` is safe. */
bool ledger_oldest_spent(const struct ledger *ledger, raft_index durable);
/* Adds to `batch` what must be written again before the oldest segment goes: always at least the
 * CUT. */
void ledger_forward(const struct ledger *ledger, struct wal_batch *batch);
/* That batch was written to `segment`, and the oldest segment is gone. */
void ledger_drop_oldest(struct ledger *ledger, uint64_t segment);
