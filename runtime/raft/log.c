/* The term-run log. Run i ends at its `last` and begins behind the one before it (or behind
 * prev). */
#include "raft/log.h"

#include <assert.h>
#include <string.h>

static struct raft_run *run_at(const struct raft_log *l, uint32_t i)
{
    return &l->runs[(l->head + i) % l->cap];
}

/* The run that holds `index`, for prev_index < index <= last. */
static uint32_t run_of(const struct raft_log *l, raft_index index)
{
    uint32_t lo = 0, hi = l->count - 1;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (run_at(l, mid)->last < index)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

void raft_log_init(struct raft_log *l, struct raft_run *runs, uint32_t cap)
{
    assert(cap > 0);
    *l = (struct raft_log){ .runs = runs, .cap = cap };
}

err_t raft_log_restore(struct raft_log *l, raft_index prev_index, raft_term prev_term,
                       const struct raft_run *found, uint32_t count, raft_index commit,
                       raft_index applied, struct err *e)
{
    if (count > l->cap)
        return err_set(e, ERR_RESOURCE_EXHAUSTED, "%u terms in the log, %u have room", count,
                       l->cap);
    struct raft_run before = { prev_index, prev_term };
    for (uint32_t i = 0; i < count; before = found[i++])
        if (found[i].last <= before.last || found[i].term < before.term + (i > 0))
            return err_set(
                e, ERR_FAILED_PRECONDITION,
                "log out of order: index %llu of term %llu after index %llu of term %llu",
                (unsigned long long)found[i].last, (unsigned long long)found[i].term,
                (unsigned long long)before.last, (unsigned long long)before.term);
    commit = commit > applied ? commit : applied;
    if (applied < prev_index || commit > before.last)
        return err_set(
            e, ERR_FAILED_PRECONDITION,
            "the log holds %llu to %llu, but %llu is applied and %llu committed: its end is "
            "lost, or its beginning was cut too far",
            (unsigned long long)prev_index + 1, (unsigned long long)before.last,
            (unsigned long long)applied, (unsigned long long)commit);
    if (count > 0)
        memcpy(l->runs, found, count * sizeof *found);
    *l = (struct raft_log){ .prev_index = prev_index,
                            .prev_term = prev_term,
                            .last = before.last,
                            .stable = before.last,
                            .commit = commit,
                            .applied = applied,
                            .runs = l->runs,
                            .count = count,
                            .cap = l->cap };
    raft_log_check(l);
    return ERR_OK;
}

void raft_log_move(struct raft_log *l, struct raft_run *runs, uint32_t cap)
{
    assert(cap >= l->count && cap > 0);
    for (uint32_t i = 0; i < l->count; i++)
        runs[i] = *run_at(l, i);
    l->runs = runs;
    l->head = 0;
    l->cap = cap;
}

bool raft_log_term(const struct raft_log *l, raft_index index, raft_term *ret)
{
    if (index < l->prev_index || index > l->last)
        return false;
    *ret = index == l->prev_index ? l->prev_term : run_at(l, run_of(l, index))->term;
    return true;
}

raft_term raft_log_last_term(const struct raft_log *l)
{
    return l->count == 0 ? l->prev_term : run_at(l, l->count - 1)->term;
}

bool raft_log_matches(const struct raft_log *l, raft_index index, raft_term term)
{
    raft_term have;
    return raft_log_term(l, index, &have) && have == term;
}

bool raft_log_is_up_to_date(const struct raft_log *l, raft_index last, raft_term term)
{
    raft_term ours = raft_log_last_term(l);
    return term > ours || (term == ours && last >= l->last);
}

err_t raft_log_append(struct raft_log *l, raft_term term, uint32_t n)
{
    raft_term last_term = raft_log_last_term(l);
    if (n == 0)
        return ERR_OK;
    if (term < last_term || term == 0)
        return ERR_FAILED_PRECONDITION;
    if (l->count > 0 && term == last_term) {
        run_at(l, l->count - 1)->last += n;
    } else {
        if (l->count == l->cap)
            return ERR_RESOURCE_EXHAUSTED;
        *run_at(l, l->count++) = (struct raft_run){ l->last + n, term };
    }
    l->last += n;
    return ERR_OK;
}

err_t raft_log_truncate(struct raft_log *l, raft_index from)
{
    if (from <= l->commit)
        return ERR_FAILED_PRECONDITION;
    if (from > l->last)
        return ERR_OK;
    l->last = from - 1;
    while (l->count > 0 &&
           (l->count == 1 ? l->prev_index : run_at(l, l->count - 2)->last) >= l->last)
        l->count--;
    if (l->count > 0)
        run_at(l, l->count - 1)->last = l->last;
    if (l->stable > l->last)
        l->stable = l->last;
    return ERR_OK;
}

raft_index raft_log_conflict(const struct raft_log *l, const struct raft_ent *ents, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (ents[i].index > l->prev_index && !raft_log_matches(l, ents[i].index, ents[i].term))
            return ents[i].index;
    return n == 0 ? 0 : ents[n - 1].index + 1;
}

raft_index raft_log_hint(const struct raft_log *l, raft_index index, raft_term term, raft_term *ret)
{
    if (index > l->last)
        index = l->last;
    if (index > l->prev_index) {
        for (uint32_t i = run_of(l, index) + 1; i-- > 0;) {
            const struct raft_run *run = run_at(l, i);
            if (run->term <= term) {
                *ret = run->term;
                return index < run->last ? index : run->last;
            }
        }
    }
    *ret = index >= l->prev_index && l->prev_term <= term ? l->prev_term : 0;
    return l->prev_index < index ? l->prev_index : index;
}

void raft_log_stable_to(struct raft_log *l, raft_index index, raft_term term)
{
    if (index > l->stable && raft_log_matches(l, index, term))
        l->stable = index;
}

err_t raft_log_commit_to(struct raft_log *l, raft_index index)
{
    if (index > l->last)
        return ERR_FAILED_PRECONDITION;
    if (index > l->commit)
        l->commit = index;
    return ERR_OK;
}

void raft_log_applied_to(struct raft_log *l, raft_index index)
{
    assert(index >= l->applied && index <= raft_log_applicable(l));
    l->applied = index;
}

void raft_log_compact(struct raft_log *l, raft_index index)
{
    assert(index >= l->prev_index && index <= l->applied);
    raft_term term;
    bool known = raft_log_term(l, index, &term);
    assert(known);
    (void)known;
    while (l->count > 0 && run_at(l, 0)->last <= index) {
        l->head = (l->head + 1) % l->cap;
        l->count--;
    }
    l->prev_index = index;
    l->prev_term = term;
}

void raft_log_reset(struct raft_log *l, raft_index index, raft_term term)
{
    assert(index >= l->commit);
    *l = (struct raft_log){ .prev_index = index,
                            .prev_term = term,
                            .last = index,
                            .stable = index,
                            .commit = index,
                            .applied = index,
                            .runs = l->runs,
                            .cap = l->cap };
}

void raft_log_check(const struct raft_log *l)
{
    struct raft_run before = { l->prev_index, l->prev_term };
    assert(l->count <= l->cap && l->head < l->cap);
    assert((l->prev_index == 0) == (l->prev_term == 0));
    for (uint32_t i = 0; i < l->count; before = *run_at(l, i++))
        assert(run_at(l, i)->last > before.last &&
               (run_at(l, i)->term > before.term || (i == 0 && run_at(l, i)->term == before.term)));
    assert(l->last == before.last);
    assert(l->prev_index <= l->applied && l->applied <= l->commit && l->commit <= l->last);
    assert(l->applied <= l->stable && l->stable <= l->last);
    (void)before;
}
