/* Terms and marks of the log (log.h has the picture). */
#include "log.h"

#include <assert.h>
#include <string.h>

/* The run that holds `index`: the first whose last is not before it. base < index <= last. */
static uint32_t run_of(const struct raft_log *l, raft_index index)
{
    uint32_t lo = 0, hi = l->nruns - 1;
    assert(index > l->base && index <= raft_log_last(l));
    if (hi > 0 && index > l->runs[hi - 1].last) /* nearly always asked about the end */
        return hi;
    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;
        if (l->runs[mid].last < index)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

raft_term raft_log_last_term(const struct raft_log *l)
{
    return l->nruns > 0 ? l->runs[l->nruns - 1].term : l->base_term;
}

bool raft_log_term(const struct raft_log *l, raft_index index, raft_term *ret)
{
    if (index < l->base || index > raft_log_last(l))
        return false;
    *ret = index == l->base ? l->base_term : l->runs[run_of(l, index)].term;
    return true;
}

bool raft_log_match(const struct raft_log *l, raft_index index, raft_term term)
{
    raft_term have;
    return raft_log_term(l, index, &have) && have == term;
}

bool raft_log_up_to_date(const struct raft_log *l, raft_index index, raft_term term)
{
    raft_term ours = raft_log_last_term(l);
    return term > ours || (term == ours && index >= raft_log_last(l));
}

raft_index raft_log_conflict(const struct raft_log *l, raft_index index, raft_term term,
                             raft_term *ret_term)
{
    *ret_term = 0;
    if (index > raft_log_last(l) || index < l->base)
        return index; /* out of what we know: the caller's guess stands */
    for (uint32_t run = index == l->base ? 0 : run_of(l, index) + 1; run > 0; run--) {
        if (l->runs[run - 1].term <= term) {
            *ret_term = l->runs[run - 1].term;
            return index;
        }
        index = run > 1 ? l->runs[run - 2].last : l->base; /* one step skips a whole term */
    }
    if (l->base_term <= term) {
        *ret_term = l->base_term;
        return l->base;
    }
    return l->base > 0 ? l->base - 1 : 0; /* before the base nothing is known */
}

bool raft_log_has_conf(const struct raft_log *l, raft_index lo, raft_index hi)
{
    if (lo < l->base)
        lo = l->base;
    if (hi > raft_log_last(l))
        hi = raft_log_last(l);
    if (lo >= hi)
        return false;
    for (uint32_t run = run_of(l, lo + 1); run < l->nruns; run++) {
        if (l->runs[run].conf)
            return true;
        if (l->runs[run].last >= hi)
            break;
    }
    return false;
}

err_t raft_log_reserve(struct raft_log *l, uint32_t n)
{
    if (l->nruns + n <= l->cap)
        return ERR_OK;
    uint32_t cap = l->cap < 4 ? 4 : l->cap;
    while (cap < l->nruns + n)
        cap *= 2;
    struct raft_run *runs = l->mem(l->mem_ctx, l->runs, cap * sizeof *runs);
    if (runs == NULL)
        return ERR_NOMEM;
    l->runs = runs;
    l->cap = cap;
    return ERR_OK;
}

void raft_log_trim(struct raft_log *l)
{
    if (l->nruns == l->cap)
        return;
    struct raft_run *runs = l->mem(l->mem_ctx, l->runs, l->nruns * sizeof *runs);
    if (runs == NULL && l->nruns > 0)
        return; /* it stays as large as it is */
    l->runs = runs;
    l->cap = l->nruns;
}

void raft_log_push(struct raft_log *l, raft_term term, bool conf)
{
    struct raft_run *end = l->nruns > 0 ? &l->runs[l->nruns - 1] : NULL;
    if (end != NULL && end->term == term && end->conf == conf) {
        end->last++;
        return;
    }
    assert(l->nruns < l->cap);
    raft_index last = raft_log_last(l);
    l->runs[l->nruns++] = (struct raft_run){ .last = last + 1, .term = term, .conf = conf };
}

void raft_log_truncate(struct raft_log *l, raft_index index)
{
    assert(index > l->commit);
    if (index > raft_log_last(l))
        return;
    uint32_t run = run_of(l, index);
    raft_index before = run > 0 ? l->runs[run - 1].last : l->base;
    l->runs[run].last = index - 1;
    l->nruns = index - 1 > before ? run + 1 : run;
    if (l->stable >= index)
        l->stable = index - 1;
    if (l->staged >= index)
        l->staged = index - 1;
}

void raft_log_stable_to(struct raft_log *l, raft_index index, raft_term term)
{
    if (index <= l->stable || !raft_log_match(l, index, term))
        return;
    l->stable = index;
    if (l->staged < index)
        l->staged = index;
}

void raft_log_restore(struct raft_log *l, struct raft_snap *snap)
{
    assert(snap->index > l->commit);
    l->mem(l->mem_ctx, l->snap, 0);
    l->snap = snap;
    l->snap_staged = false;
    if (l->applying > l->applied)
        l->overtaken = l->applying;
    l->nruns = 0;
    l->base = l->commit = l->stable = l->staged = snap->index;
    l->base_term = snap->term;
}

void raft_log_compact(struct raft_log *l, raft_index index)
{
    raft_term term;
    bool known = raft_log_term(l, index, &term);
    assert(known && index <= l->applied);
    if (index == l->base)
        return;
    uint32_t run = run_of(l, index);
    if (l->runs[run].last == index)
        run++;
    l->nruns -= run;
    memmove(l->runs, l->runs + run, l->nruns * sizeof *l->runs);
    l->base = index;
    l->base_term = term;
    if (l->stable < index)
        l->stable = index;
    if (l->staged < index)
        l->staged = index;
}

raft_index raft_log_appliable(const struct raft_log *l, bool unstable_too)
{
    return unstable_too || l->commit < l->stable ? l->commit : l->stable;
}

void raft_log_free(struct raft_log *l)
{
    l->mem(l->mem_ctx, l->runs, 0);
    l->mem(l->mem_ctx, l->snap, 0);
    l->runs = NULL;
    l->snap = NULL;
    l->nruns = l->cap = 0;
}
