/* The state half of a store, for consensus: committed entries become rows.
 *
 *   storage_apply_entry ... (loop)     entries of any regions, each region's in log order, payloads borrowed
 *   storage_apply_meta                 what a region keeps beside its rows: written with them
 *   storage_apply_run                  APPLY lane or loop: one engine batch for all of it, with the applied indexes
 *   storage_apply_result               what became of each command
 *
 * 1. Rows, applied index, and the region's meta are one batch in all families (trap D33).
 * 2. The outcome depends on the log and the rows alone: commands read through the batch that is being built
 *    (trap D49).
 * 3. An entry says under which version of its region's epoch it was proposed; under another one nothing of it
 *    is done, on every replica alike (trap D1).
 *
 * One batch runs at a time; batches run in the order of the log. */
#pragma once

#include "storage/log.h"

struct storage_apply;

struct storage_apply *storage_apply_new(struct storage *store);
void storage_apply_free(struct storage_apply *apply); /* NULL is welcome */
/* Forgets entries and results; the memory stays for the next turn. */
void storage_apply_reset(struct storage_apply *apply);

/* Adds a committed entry (its data is borrowed until the reset). An empty one, or one that is no list of
 * commands (type RAFT_ENT_CONF), moves the applied index alone. `version`: of the region's epoch at this
 * entry. `*slot` names it for the results. ERR_NOMEM. */
MUST_USE err_t storage_apply_entry(struct storage_apply *apply, uint64_t region,
                                   const struct raft_ent *ent, uint64_t version, uint32_t *slot);
/* The region's meta, behind the entries that were added: copied. Empty: the region leaves this store, its
 * meta and its apply state go. ERR_NOMEM. */
MUST_USE err_t storage_apply_meta(struct storage_apply *apply, uint64_t region, struct bytes meta);
/* The region's rows are those of a snapshot at `index` (which the caller has put there): it goes on from
 * there. ERR_NOMEM. */
MUST_USE err_t storage_apply_snap(struct storage_apply *apply, uint64_t region, raft_index index,
                                  raft_term term, uint64_t hlc);
uint32_t storage_apply_count(const struct storage_apply *apply); /* entries */
size_t storage_apply_bytes(const struct storage_apply *apply);   /* of their payloads */

/* True if every versioned key that the entries compare is answered from memory: it will not wait for the
 * disk. Looks at a few at most. */
bool storage_apply_is_cached(struct storage_apply *apply);

/* Not ERR_OK: the store is latched. ERR_CORRUPTION: an entry that does not decode: it is committed, so this
 * replica cannot go on. */
MUST_USE err_t storage_apply_run(struct storage *store, struct storage_apply *apply, struct err *e);

/* After the run. The entry as a whole: ERR_OK, or ERR_EPOCH_NOT_MATCH (no command was done). */
err_t storage_apply_outcome(const struct storage_apply *apply, uint32_t slot);
uint32_t storage_apply_commands(const struct storage_apply *apply, uint32_t slot);
/* The entry's stamp, 0 if it has none. */
uint64_t storage_apply_hlc(const struct storage_apply *apply, uint32_t slot);
/* Command `i` of an entry whose outcome is OK; valid until the reset. `command` (may be NULL) gets it, decoded. */
const struct storage_result *storage_apply_result(const struct storage_apply *apply, uint32_t slot,
                                                  uint32_t i, const struct command **command);

/* Up to where stamps of the TSO may have been given out (milliseconds), as applied: what COMMAND_TSO has
 * raised, or what a store of the first format has left. Any thread. */
uint64_t storage_tso_window(const struct storage *store);

/* ---- Entries, for who proposes them (command.h has the bytes) -------------------------------- */

/* Writes an entry's header and its commands into `ret`, which is empty at the beginning: begin, add ..., then
 * end fills in the count. */
MUST_USE err_t storage_entry_begin(struct buf *ret, uint64_t hlc, uint64_t version);
MUST_USE err_t storage_entry_add(struct buf *ret, enum command_kind kind, struct bytes body);
void storage_entry_end(struct buf *ret, uint16_t count);
enum { STORAGE_ENTRY_HEADER = 24, STORAGE_COMMAND_HEADER = 8 }; /* bytes around bodies */
/* The packed stamp of an entry; 0: it has none. */
uint64_t storage_entry_hlc(struct bytes entry);
