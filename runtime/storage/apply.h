/* Apply: commands become rows, in log order, on every replica alike.
 *
 *   apply_begin     an empty engine batch, an empty overlay
 *   apply_command   reads through   overlay (this batch)  ->  engine (earlier ones)
 *                   writes to       engine batch, and the overlay for the commands behind it
 *   apply_commit    the batch and the applied index, atomically (trap D33)
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
#include "storage/command.h"
#include "storage/engine.h"

struct apply;

/* Reads the apply state and the namespaces. `region` is whose commands these are. */
MUST_USE err_t apply_open(const struct engine_ops *ops, struct engine *engine,
                          struct namespaces *namespaces, uint64_t region, uint64_t seed,
                          struct apply **ret, struct err *e);
void apply_close(struct apply *apply); /* NULL is welcome */

/* The newest committed state; index 0: nothing was applied yet. */
const struct layout_apply_state *apply_state(const struct apply *apply);
/* What a crash would leave of it. Any thread. ERR_CORRUPTION, and what the engine answers. */
MUST_USE err_t apply_durable(const struct engine_ops *ops, struct engine *engine, uint64_t region,
                             struct layout_apply_state *ret, struct err *e);

/* `count` is how many commands will come, or 0 if that is not known. */
void apply_begin(struct apply *apply, uint32_t count);
/* The key and value are borrowed until apply_commit(). `result` is filled in; not ERR_OK: see rule
 * 2. */
MUST_USE err_t apply_command(struct apply *apply, const struct command *command,
                             struct storage_result *result, struct err *e);
MUST_USE err_t apply_commit(struct apply *apply, const struct layout_apply_state *state,
                            struct err *e);
size_t apply_bytes(const struct apply *apply); /* of the batch so far */

/* A versioned key as the engine has it: the version of the live record (`*live`, value appended to
 * `ret` if that is not NULL) or of the tombstone, or 0. Any thread; see layout.h for why two reads
 * are enough. ERR_CORRUPTION: a record that is none; ERR_UNAVAILABLE with `cached_only`. */
MUST_USE err_t apply_read(const struct engine_ops *ops, struct engine *engine, uint32_t ns,
                          struct bytes key, bool cached_only, bool *live, uint64_t *version,
                          struct buf *ret, struct err *e);
