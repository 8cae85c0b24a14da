/* What a group knows of its log without its entries: where terms begin and how far things have
 * come.
 *
 *      compacted      first                                                    last
 *   ...............|----- term 3 -----|-- term 5 --|----------- term 6 -----------|
 *     prev (index,        run {12, 3}    run {15, 5}                   run {31, 6}
 *           term)                    ^applied    ^commit       ^stable
 *
 * Entries of one term lie together, so a log of any length is a handful of runs {last index,
 * term}, and the term of an index is a search over them that cannot fail with I/O. Payloads stay
 * with the log's owner and are named by ranges of indexes.
 *
 * What must stay true (raft_log_check asserts all of it): 1. prev + 1 <= first run; runs and
 * their terms strictly grow; the last run ends at last. 2. prev <= applied <= commit <= last,
 * and prev <= stable <= last. 3. Nothing at or below commit is ever truncated (I4); commit and
 * applied never go back. 4. applied <= stable: only what is locally durable is applied
 * (etcd#14370: data loss otherwise).
 *
 * Refusals are return codes and change nothing. ERR_FAILED_PRECONDITION means that the other
 * side, or the disk, asks for what Raft excludes: the group is broken and stops; the process
 * lives. No allocation: the caller gives the ring of runs; ERR_RESOURCE_EXHAUSTED says that it
 * is full. */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "raft/raft.h"

struct raft_run {
    raft_index last;
    raft_term term;
};

struct raft_log {
    raft_index prev_index; /* the entry before the first: compacted, or 0 */
    raft_term prev_term;   /* 0 only at index 0 */
    raft_index last;       /* prev_index if the log is empty */
    raft_index stable;     /* up to here locally durable */
    raft_index commit, applied;
    struct raft_run *runs; /* the caller's; `count` of them from `head` on, cyclic */
    uint32_t head, count, cap;
};

/* An empty log that begins at index 1. `runs` is memory for `cap` runs that outlives it. */
void raft_log_init(struct raft_log *l, struct raft_run *runs, uint32_t cap);
/* A log as storage found it at boot: all of `found` is durable. ERR_FAILED_PRECONDITION (with
 * the contradiction in `e`) for runs out of order, or applied > last, which is amnesia. commit
 * is raised to applied. */
MUST_USE err_t raft_log_restore(struct raft_log *l, raft_index prev_index, raft_term prev_term,
                                const struct raft_run *found, uint32_t count, raft_index commit,
                                raft_index applied, struct err *e);
/* Moves the runs to larger memory; the old memory is the caller's again. cap >= count. */
void raft_log_move(struct raft_log *l, struct raft_run *runs, uint32_t cap);

static inline raft_index raft_log_first(const struct raft_log *l)
{
    return l->prev_index + 1;
}
/* The term of the entry at `index`, which may be the compacted one before the first. False: it is
 * compacted away, or beyond the end. */
MUST_USE bool raft_log_term(const struct raft_log *l, raft_index index, raft_term *ret);
raft_term raft_log_last_term(const struct raft_log *l);
/* True if the entry at `index` is there and has `term`. */
bool raft_log_matches(const struct raft_log *l, raft_index index, raft_term term);
/* The rule of votes: a log that ends with (last, term) is at least as up to date as ours. */
bool raft_log_is_up_to_date(const struct raft_log *l, raft_index last, raft_term term);

/* Appends `n` entries of `term`, which is not below the last one's (a leader's own, or received
 * ones after raft_log_truncate). */
MUST_USE err_t raft_log_append(struct raft_log *l, raft_term term, uint32_t n);
/* Removes all entries from `from` on. ERR_FAILED_PRECONDITION at or below commit. stable goes
 * back to from - 1 at most: what storage still syncs of the removed tail no longer counts. */
MUST_USE err_t raft_log_truncate(struct raft_log *l, raft_index from);
/* The first of `n` consecutive received entries that we do not have with the same term: truncate
 * and append from there. ents[n - 1].index + 1 if we have them all. Entries at or below
 * prev_index count as had: they are committed. */
raft_index raft_log_conflict(const struct raft_log *l, const struct raft_ent *ents, uint32_t n);
/* Fast backtracking: the largest index at or below `index` whose entry has a term of at most
 * `term`, with its term; one step a run. prev_index if there is none in the log; the term there
 * is 0 if the guess fell behind what is compacted. A hint, never a match. */
raft_index raft_log_hint(const struct raft_log *l, raft_index index, raft_term term,
                         raft_term *ret);

/* Storage has synced up to (index, term). Ignored unless that entry is still the one in the log: an
 * older one may have been truncated and written again meanwhile (ABA). */
void raft_log_stable_to(struct raft_log *l, raft_index index, raft_term term);
/* Commits up to `index`; a smaller one changes nothing. ERR_FAILED_PRECONDITION beyond the end. */
MUST_USE err_t raft_log_commit_to(struct raft_log *l, raft_index index);
/* Applied up to `index`: applied <= index <= min(commit, stable), which is our own promise:
 * asserted. */
void raft_log_applied_to(struct raft_log *l, raft_index index);
/* The last index that may be applied: min(commit, stable). */
static inline raft_index raft_log_applicable(const struct raft_log *l)
{
    return l->commit < l->stable ? l->commit : l->stable;
}

/* Forgets all entries up to `index`: prev_index <= index <= applied, asserted. */
void raft_log_compact(struct raft_log *l, raft_index index);
/* Replaces everything by a snapshot at (index, term): durable, committed and applied by its own. */
void raft_log_reset(struct raft_log *l, raft_index index, raft_term term);

/* Asserts every invariant of this page. */
void raft_log_check(const struct raft_log *l);
