/* Apply: commands become rows, in log order, on every replica alike.
 *
 *   apply_begin     an empty engine batch, an empty overlay
 *   apply_command   reads through   overlay (this batch)  ->  engine (earlier ones)
 *                   writes to       engine batch, and the overlay for the commands behind it
 *   apply_move      how far a region has come with them
 *   apply_commit    the batch and the applied indexes, atomically (trap D33)
 *
 * 1. A version is compared here and nowhere else: two CAS of one turn see each other (trap D49).
 * 2. The outcome depends on the log and the rows alone. A command that cannot be done is a result,
 *    and changes nothing; what only this machine suffers (a failed read, no memory) is an error of
 *    apply itself, and latches.
 *
 * One thread at a time. */
#pragma once

#include "layout.h"
#include "namespaces.h"
#include "progress.h"
#include "storage/command.h"
#include "storage/engine.h"

struct apply;

MUST_USE err_t apply_open(const struct engine_ops *ops, struct engine *engine,
                          struct namespaces *namespaces, struct progress *progress, uint64_t seed,
                          struct apply **ret, struct err *e);
void apply_close(struct apply *apply); /* NULL is welcome */

/* `versioned`: how many commands on versioned keys will come. */
void apply_begin(struct apply *apply, uint32_t versioned);
/* The key and value are borrowed until apply_commit(). `result` is filled in; not ERR_OK: see rule
 * 2. */
MUST_USE err_t apply_command(struct apply *apply, const struct command *command,
                             struct storage_result *result, struct err *e);
/* The entry at `index`, the one behind the last, was reached; `hlc` 0: it has no stamp. */
MUST_USE err_t apply_move(struct apply *apply, uint64_t region, raft_index index, raft_term term,
                          uint64_t hlc, struct err *e);
/* The region's rows are a snapshot's. */
MUST_USE err_t apply_snap(struct apply *apply, uint64_t region,
                          const struct layout_apply_state *state, struct err *e);
/* Empty: the region is no more of this store, its apply state goes too. */
MUST_USE err_t apply_meta(struct apply *apply, uint64_t region, struct bytes meta, struct err *e);
MUST_USE err_t apply_commit(struct apply *apply, struct err *e);
size_t apply_bytes(const struct apply *apply); /* of the batch so far */

/* What the row of the TSO says, as committed. Any thread. */
uint64_t apply_tso(const struct apply *apply);

/* A versioned key as the engine has it: the version of the live record (`*live`, value appended to
 * `ret` if that is not NULL) or of the tombstone, or 0. Any thread; see layout.h for why two reads
 * are enough. ERR_CORRUPTION: a record that is none; ERR_UNAVAILABLE with `cached_only`. */
MUST_USE err_t apply_read(const struct engine_ops *ops, struct engine *engine, uint32_t ns,
                          struct bytes key, bool cached_only, bool *live, uint64_t *version,
                          struct buf *ret, struct err *e);
