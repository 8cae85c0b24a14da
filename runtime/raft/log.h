/* The log as consensus sees it: terms and marks, no payloads.
 *
 *        snapshot        runs: {last index, term, kind}, one per stretch of equal ones
 *           |      +---------------+----------+------------------+
 *   ... first - 1  | first ...     |          |             last |
 *           +------+---------------+----------+------------------+
 *                      ^      ^        ^          ^       ^
 *                   applied applying commit     stable  staged
 *
 *   stable    the last entry known to be durable here (stable < last: the unstable tail)
 *   staged    the last entry handed out to be made durable; stable <= staged <= last
 *   applying  the last entry handed out to be applied; applied <= applying <= commit
 *
 * A snapshot that was received and is not yet installed blocks apply until it is durable. */
#pragma once

#include "raft/raft.h"

struct raft_log {
    struct raft_run *runs; /* ring-free array, ascending; nruns of cap */
    uint32_t nruns, cap;
    raft_index base; /* first - 1 */
    raft_term base_term;
    raft_index commit, applying, applied, stable, staged;
    uint64_t apply_bytes, apply_bytes_max; /* handed out, not yet applied */
    bool apply_paused;
    raft_index overtaken;   /* apply work up to here is out, and a snapshot holds more; 0: none */
    struct raft_snap *snap; /* received, not yet durable; NULL: none */
    bool snap_staged;
    void *(*mem)(void *ctx, void *old, size_t size);
    void *mem_ctx;
};

static inline raft_index raft_log_last(const struct raft_log *l)
{
    return l->nruns > 0 ? l->runs[l->nruns - 1].last : l->base;
}
raft_term raft_log_last_term(const struct raft_log *l);
/* False: before the base, or beyond the end. The base's own term is known. */
bool raft_log_term(const struct raft_log *l, raft_index index, raft_term *ret);
bool raft_log_match(const struct raft_log *l, raft_index index, raft_term term);
/* Is (index, term) at least as new as our end? Thesis 3.6.1. */
bool raft_log_up_to_date(const struct raft_log *l, raft_index index, raft_term term);
/* The largest index <= `index` whose term is <= `term`, and that entry's term (0 where it is not known). */
raft_index raft_log_conflict(const struct raft_log *l, raft_index index, raft_term term,
                             raft_term *ret_term);
/* Is there an entry of type RAFT_ENT_CONF in (lo, hi]? */
bool raft_log_has_conf(const struct raft_log *l, raft_index lo, raft_index hi);
/* Room for `n` more runs. ERR_NOMEM, nothing changed. */
MUST_USE err_t raft_log_reserve(struct raft_log *l, uint32_t n);
/* Gives back the room that is not used. */
void raft_log_trim(struct raft_log *l);
/* Appends behind the end (room was reserved). */
void raft_log_push(struct raft_log *l, raft_term term, bool conf);
/* Drops everything from `index` on; index > commit. */
void raft_log_truncate(struct raft_log *l, raft_index index);
/* (index, term) and all before it are durable. Nothing if the entry there is another one by now (the ABA case). */
void raft_log_stable_to(struct raft_log *l, raft_index index, raft_term term);
/* The log begins anew behind this snapshot. Takes the snapshot over. */
void raft_log_restore(struct raft_log *l, struct raft_snap *snap);
void raft_log_compact(struct raft_log *l, raft_index index);
/* The last index that may be applied now; only stable entries unless `unstable_too`. */
raft_index raft_log_appliable(const struct raft_log *l, bool unstable_too);
void raft_log_free(struct raft_log *l);
