/* The log half of a store, for consensus: what every region has promised, one batch a turn.
 *
 *   records   APPEND(7, hard state, entries)  APPEND(12, ...)  LOCAL(HLC bound)      gathered on the loop
 *      |
 *   storage_sync           LOG lane: one write, one sync; then the promises may leave
 *      |
 *   storage_entries        any thread: payloads that memory has let go, by region and index
 *   storage_release        what nobody wants any more: whole segments go, oldest first
 *
 * 1. Records of one turn are durable together or not at all, in their order; hard state and entries are one record.
 * 2. An append at or below the end of a region's log replaces the tail: what stood there is gone.
 * 3. Nothing goes that is not applied durably and released (trap D35). */
#pragma once

#include "storage/store.h"

struct storage_records;

struct storage_records *storage_records_new(struct storage *store);
void storage_records_free(struct storage_records *records); /* NULL is welcome */
void storage_records_reset(struct storage_records *records);
bool storage_records_empty(const struct storage_records *records);
size_t storage_records_bytes(const struct storage_records *records);
/* Bytes that one batch may hold: twice an entry's limit, or less where segments are small. */
size_t storage_records_max(const struct storage *store);
/* Bytes of the largest entry that fits into a batch: COMMAND_ENTRY_MAX, or less where segments are small. */
size_t storage_entry_max(const struct storage *store);

/* All of these: ERR_TOO_LARGE: the batch is full, nothing was added: sync it first. ERR_NOMEM: the records
 * are of no use until their reset. What they say must follow from the region's log: entries are asserted to,
 * when they are synced. */

/* Hard state and `n` entries (may be 0) with indexes ents[0].index, ... in sequence. Their data is borrowed until the
 * reset. */
MUST_USE err_t storage_records_append(struct storage_records *records, uint64_t region,
                                      struct raft_hs hs, const struct raft_ent *ents, uint32_t n);
/* A snapshot at `index` is going to be installed: the region's log is reset to it. `conf` and `files` are the
 * region layer's own; they are borrowed until the reset, and handed back at every open until a CUT ends the
 * snapshot. */
MUST_USE err_t storage_records_snap(struct storage_records *records, uint64_t region,
                                    raft_index index, raft_term term, struct bytes conf,
                                    struct bytes files);
/* The region's log begins behind `index`, which must be durable by storage_durable(): what ends a snapshot.
 * Elsewhere the store writes them by itself, see storage_release(). */
MUST_USE err_t storage_records_cut(struct storage_records *records, uint64_t region,
                                   raft_index index, raft_term term);
/* The region's peer has left this store: its log is forgotten, the mark stays, also when a new peer comes. */
MUST_USE err_t storage_records_gone(struct storage_records *records, uint64_t region, uint64_t peer,
                                    uint64_t conf_ver, uint64_t version);
/* A record of the store's own: the newest of its kind is handed back at open. `value` (STORAGE_LOCAL_MAX
 * bytes at most) is copied. */
enum { STORAGE_LOCAL_MAX = 4096 };
MUST_USE err_t storage_records_local(struct storage_records *records, enum storage_local kind,
                                     struct bytes value);

/* LOG lane: one write and one sync. ERR_OK: all of it is durable. ERR_DISK_FULL: there was no room for a
 * segment, nothing was written, it may be tried again. ERR_NOMEM while storage_latched() says ERR_OK:
 * likewise. Any other error: the store is latched. */
MUST_USE err_t storage_sync(struct storage *store, struct storage_records *records, struct err *e);

/* ---- At open ------------------------------------------------------------------------------- */

/* A snapshot whose installation has begun and was not ended by a CUT. */
struct storage_snap {
    raft_index index;
    raft_term term;
    struct bytes conf, files;
};
/* The newest peer of a region that has left this store. */
struct storage_gone {
    uint64_t peer, conf_ver, version;
};

/* What log and engine hold of one region. Everything is borrowed until the call returns. */
struct storage_group {
    uint64_t region;
    struct raft_hs hs;     /* zeros: the log has none */
    raft_index base, last; /* entries base + 1 ... last are in the log */
    raft_term base_term;
    const struct raft_run *runs; /* of those entries */
    uint32_t nruns;
    raft_index applied;
    raft_term applied_term;
    uint64_t applied_hlc; /* packed stamp of the newest applied entry that had one */
    struct bytes meta;    /* as storage_apply_meta() or storage_init() wrote it; empty: none */
    const struct storage_snap *snap; /* NULL: none; else base is its index, or above it */
    const struct storage_gone
        *gone; /* NULL: none. What else is here may be of a newer peer, or a remainder */
};
/* Every region that log or engine know, in the order of ids; an error of `each` ends it. Before the first sync. */
MUST_USE err_t storage_groups(struct storage *store,
                              err_t (*each)(void *user, const struct storage_group *group,
                                            struct err *e),
                              void *user, struct err *e);

/* ---- Reading back, letting go -------------------------------------------------------------- */

/* Entries lo, lo + 1, ... below `hi`, at most `cap` and `max_bytes` of payload: at least one, and not always
 * all that there are. Their data is appended to `bytes`, which they point into. Any thread; it reads the
 * disk. ERR_NOT_FOUND: `lo` is not in the log (any more); ERR_DATA_LOSS. */
MUST_USE err_t storage_entries(struct storage *store, uint64_t region, raft_index lo, raft_index hi,
                               size_t max_bytes, uint32_t cap, struct buf *bytes,
                               struct raft_ent *ents, uint32_t *n, struct err *e);
/* The applied index of a region that no crash takes, as the last storage_tend() found it. Any thread. */
raft_index storage_durable(const struct storage *store, uint64_t region);
/* Nobody wants the region's entries up to `index` (of `term`), which must be durable by storage_durable(): a
 * later tend may free their segments. Any thread. */
void storage_release(struct storage *store, uint64_t region, raft_index index, raft_term term);
/* True: the log is longer than it should be. Those who hold its oldest segment, and whose entries there are
 * durable, should let go, also of slow followers (answered: one of them, 0 if there is none). What is not
 * durable in it is made so by storage_prepare(). Any thread. */
bool storage_log_is_long(const struct storage *store, uint64_t *region);
