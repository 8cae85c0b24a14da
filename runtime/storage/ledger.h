/* The ledger of the log: what every region has in it, where it lies, and what is still needed, so that
 * entries are found again and the oldest segment can be given up.
 *
 *   segment    7                 8                    9 (being written)
 *   region 1   .. 412            .. 977               .. 1203, hard state     may go once released >= 412
 *   region 12  hard state, CUT   -                    -
 *   store      TSO window                             HLC bound
 *
 * Before segment 7 goes, what is live in it is written again at the end: region 12's hard state and CUT, the TSO
 * window; and CUT(1, 412, term), because region 1 has entries in it.
 *
 * 1. A region's log is base + 1 ... last; `base` is what CUT or SNAP say. An append at or below `last`
 *    replaces the tail: places and runs behind it go.
 * 2. A segment knows which regions have touched it, so that neither a batch nor a freed segment looks at all of them.
 * 3. What is read back at a start goes through the same functions as what is written.
 *
 * Changed by whoever writes the log, under the store's ledger lock; read by others under it. */
#pragma once

#include "base/map.h"
#include "storage/store.h"
#include "wal.h"

enum { LEDGER_LOCALS = 8 }; /* kinds of LOCAL records are below it */

/* Where the record of some entries lies: from `first` to the next place's, or to the end of the log. */
struct ledger_place {
    raft_index first;
    uint64_t segment;
    uint32_t block; /* of the batch: offset / WAL_BLOCK */
    uint32_t at;    /* of the record, within the batch */
};

/* A snapshot that is being installed: no CUT at or above it was written yet. */
struct ledger_snap {
    uint64_t segment;
    raft_index index;
    raft_term term;
    size_t conf;      /* bytes of the configuration; those of the files are behind them */
    struct buf bytes; /* both */
};

struct ledger_gone {
    uint64_t segment, peer, conf_ver, version;
};

struct ledger_region {
    uint64_t id;
    struct raft_hs hs;
    raft_index base, last, released;
    raft_term base_term;         /* 0 while only the first entry of the log says where it begins */
    uint64_t hs_segment;         /* 0: no hard state yet */
    uint64_t base_segment;       /* of the CUT or SNAP that says `base`; 0: none does */
    uint64_t touched;            /* the newest segment in whose list it is */
    bool begun;                  /* base and last are known */
    struct ledger_place *places; /* ascending, in `first` and in the log */
    struct raft_run *runs;       /* of base + 1 ... last */
    uint32_t place_count, place_cap, run_count, run_cap;
    struct ledger_snap *snap; /* NULL: none */
    struct ledger_gone *gone; /* NULL: none */
};

struct ledger_seal {
    uint64_t segment;
    struct ledger_region **regions; /* that have touched it */
    size_t count, cap;
};

struct ledger {
    struct map regions;        /* id -> struct ledger_region */
    struct ledger_seal *seals; /* one per live segment, oldest first */
    size_t count, cap;
    size_t checked; /* regions of the oldest seal that hold it no more */
    bool replaying; /* a log that was there is being read: it may begin anywhere */
    struct {
        uint64_t segment; /* 0: none */
        struct buf value;
    } locals[LEDGER_LOCALS];
};

void ledger_init(struct ledger *ledger, uint64_t seed);
void ledger_free(struct ledger *ledger); /* {0} is welcome */

/* NULL: the log has nothing of it. */
struct ledger_region *ledger_region(const struct ledger *ledger, uint64_t id);
raft_term ledger_region_term(const struct ledger_region *region,
                             raft_index index); /* 0: not there */
/* The place of an entry: its number in `places`; false if it is not in the log. */
bool ledger_region_find(const struct ledger_region *region, raft_index index, uint32_t *place);

/* Entries of one record. `runs` say their terms and kinds. */
struct ledger_entries {
    raft_index first;
    uint32_t count;
    const struct raft_run *runs; /* `last` counts from the record's first entry: 1 ... count */
    uint32_t run_count;
    uint64_t offset; /* of the batch */
    uint32_t at;     /* of the record, within it */
};

/* A batch went to `segment`; the calls below say what was in it, in order. ERR_NOMEM; ERR_DATA_LOSS: it does
 * not follow from what came before, ERR_CORRUPTION: its terms go back. Then nothing has changed; at a start
 * it means damage, and later on it cannot be.
 *
 * While a log is read back, a region's first entries may begin anywhere behind its base: what lies between
 * them was given up with its segment, because it had been replaced. Then the replacing record comes later. So
 * a hole there counts when all has been read (places[0].first > base + 1). */
void ledger_segment(struct ledger *ledger, uint64_t segment);
MUST_USE err_t ledger_append(struct ledger *ledger, uint64_t id, struct raft_hs hs,
                             const struct ledger_entries *entries);
MUST_USE err_t ledger_cut(struct ledger *ledger, uint64_t id, raft_index index, raft_term term);
/* `again`: written again, before its segment goes: the entries behind it stay. */
MUST_USE err_t ledger_snap(struct ledger *ledger, uint64_t id, bool again, raft_index index,
                           raft_term term, struct bytes conf, struct bytes files);
MUST_USE err_t ledger_gone(struct ledger *ledger, uint64_t id, uint64_t peer, uint64_t conf_ver,
                           uint64_t version);
MUST_USE err_t ledger_gone_again(struct ledger *ledger, uint64_t id, uint64_t peer,
                                 uint64_t conf_ver, uint64_t version);
MUST_USE err_t ledger_local(struct ledger *ledger, uint32_t kind, struct bytes value);

/* ---- Giving segments up ---------------------------------------------------------------------- */

/* The next region, from place `*next` of the oldest segment's list on, that has unreleased entries in it, up
 * to `*index`; NULL: none, or it is the only segment. `*next` is its place. */
struct ledger_region *ledger_holder(const struct ledger *ledger, size_t *next, raft_index *index);
/* True if the oldest segment may go. */
bool ledger_oldest_spent(struct ledger *ledger);
/* Adds to `batch` what must be written again before the oldest segment goes, from region number `*next` on
 * (begin with 0), while the batch has at most `max` bytes; moves `*next` on. False: there was nothing left. */
bool ledger_forward(const struct ledger *ledger, size_t *next, struct wal_batch *batch, size_t max);
/* That batch was written to the newest segment: it held what regions `from` ... `to` - 1 needed. */
MUST_USE err_t ledger_forwarded(struct ledger *ledger, size_t from, size_t to);
/* The oldest segment is gone. */
void ledger_drop_oldest(struct ledger *ledger);
