/* A history of thousands of operations that is not linearizable is no help; the three that contradict each other are.
 * Each step drops operations in a way that a linearizable history survives, so that what is left, still impossible,
 * proves that the whole was:
 *
 *   1. the beginning up to the first return after which no order exists; what returns later becomes undetermined
 *   2. versioned: what stands before some version (the write that made it stays, as the first), and after some
 *   3. looks; in plain registers also writes whose value nobody needs any more. By halves, then one by one
 *
 * Undetermined writes are not dropped as long as they might matter: less freedom proves nothing. Those whose value none
 * of the others saw are counted, not shown. */
#include "explain.h"

#include <inttypes.h>
#include <stdio.h>

#include "search.h"

enum {
    BUDGET_MAX =
        2000, /* configurations a search, beyond one an operation: this is a courtesy, not the verdict */
    WORK_MAX = 3000000, /* operations and configurations of all searches */
    SHOWN_MAX = 12,     /* operations that were concurrent */
    CORE_MAX = 40,      /* operations of the contradiction */
};

#define ADD(out, ...)                                                                              \
    do {                                                                                           \
        if (buf_printf(out, __VA_ARGS__) != ERR_OK)                                                \
            abort();                                                                               \
    } while (0)

static struct model copy_of(const struct model *m)
{
    struct model_op *ops = texts_zeroed(m->count, sizeof *ops);
    memcpy(ops, m->ops, m->count * sizeof *ops);
    struct model copy;
    model_with(&copy, m, ops, m->count);
    return copy;
}

/* What is not decided within bounds counts as possible: the explanation is longer then, but right. */
struct effort {
    uint64_t budget, work;
};

static bool is_impossible(struct model *m, struct effort *f)
{
    if (f->work > WORK_MAX)
        return false;
    struct search_result found = search_run(m, f->budget);
    f->work += m->count + found.configurations;
    return found.verdict == LINEAR_NO;
}

static bool is_answered(const struct model_op *op)
{
    return op->ret != MODEL_NEVER;
}

/* Makes `try` the model if it is impossible too; ends the one that loses. */
static bool keep_if_impossible(struct model *m, struct model *try, struct effort *f)
{
    bool better = is_impossible(try, f);
    struct model loser = better ? *m : *try;
    if (better)
        *m = *try;
    model_free(&loser);
    return better;
}

/* ---- 1. The shortest beginning ------------------------------------------------------------- */

static int by_u64(const void *one, const void *other)
{
    uint64_t x = *(const uint64_t *)one, y = *(const uint64_t *)other;
    return (x > y) - (x < y);
}

static int by_call(const void *one, const void *other)
{
    const struct model_op *x = one, *y = other;
    if (x->call != y->call)
        return x->call < y->call ? -1 : 1;
    return (x->number > y->number) - (x->number < y->number);
}

static struct model beginning(const struct model *m, uint64_t until)
{
    struct model_op *ops = texts_zeroed(m->count, sizeof *ops);
    size_t count = 0;
    for (size_t i = 0; i < m->count; i++) {
        if (m->ops[i].call > until)
            continue;
        ops[count] = m->ops[i];
        if (ops[count].ret > until)
            model_forget(&ops[count]);
        count++;
    }
    qsort(ops, count, sizeof *ops, by_call);
    struct model ret;
    model_with(&ret, m, ops, count);
    return ret;
}

/* The time of the first return with which the beginning is impossible; at least the last one is. */
static uint64_t first_impossible(const struct model *m, struct effort *f)
{
    uint64_t *returns = texts_zeroed(m->count, sizeof *returns);
    size_t count = 0;
    for (size_t i = 0; i < m->count; i++)
        if (is_answered(&m->ops[i]))
            returns[count++] = m->ops[i].ret;
    qsort(returns, count, sizeof *returns, by_u64);
    size_t lo = 0, hi = count > 0 ? count - 1 : 0;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        struct model try = beginning(m, returns[mid]);
        if (is_impossible(&try, f))
            hi = mid;
        else
            lo = mid + 1;
        model_free(&try);
    }
    uint64_t ret = count > 0 ? returns[lo] : 0;
    free(returns);
    return ret;
}

/* ---- 2. Some versions of it ---------------------------------------------------------------- */

struct version {
    uint64_t from;
    size_t at; /* the operation that moves it on */
};

static int by_from(const void *one, const void *other)
{
    const struct version *x = one, *y = other;
    return (x->from > y->from) - (x->from < y->from);
}

/* The versions that answered writes have moved on, in order; none if one does not tell. The caller frees. */
static struct version *list_versions(const struct model *m, size_t *count)
{
    struct version *versions = texts_zeroed(m->count, sizeof *versions);
    *count = 0;
    for (size_t i = 0; i < m->count; i++) {
        if (!is_answered(&m->ops[i]) || model_looks(&m->ops[i]))
            continue;
        if (!model_needs(m, &m->ops[i], &versions[*count].from)) {
            *count = 0;
            break;
        }
        versions[(*count)++].at = i;
    }
    qsort(versions, *count, sizeof *versions, by_from);
    return versions;
}

/* What happens with versions above `above` (but `first`, which moves it on, stays) up to `to`. */
static struct model part(const struct model *m, const struct model_op *first, uint64_t above,
                         uint64_t to)
{
    struct model_op *ops = texts_zeroed(m->count, sizeof *ops);
    size_t count = 0;
    for (size_t i = 0; i < m->count; i++) {
        struct model_op op = m->ops[i];
        uint64_t needs;
        bool exact = model_needs(m, &op, &needs), is_first = &m->ops[i] == first;
        if (exact && !is_first && ((first != NULL && needs <= above) || needs > to))
            continue;
        if (!exact && is_answered(&op) && model_looks(&op))
            continue; /* it may have looked outside */
        ops[count++] = op;
    }
    struct model ret;
    model_with(&ret, m, ops, count);
    return ret;
}

static struct model part_after(const struct model *m, const struct version *v)
{
    const struct model_op *first = &m->ops[v->at];
    struct model ret = part(m, first, v->from, UINT64_MAX);
    bool creates = first->kind == HISTORY_CAS && first->expected == 0;
    ret.start = (struct model_state){ v->from, creates ? MODEL_ABSENT : MODEL_UNSEEN };
    return ret;
}

static struct model part_until(const struct model *m, const struct version *v)
{
    return part(m, NULL, 0, v->from);
}

/* How many parts from the left are impossible; all that follow are possible. */
static size_t count_impossible(const struct model *m, const struct version *versions, size_t count,
                               struct effort *f)
{
    size_t lo = 0, hi = count;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        struct model try = part_after(m, &versions[mid]);
        if (is_impossible(&try, f))
            lo = mid + 1;
        else
            hi = mid;
        model_free(&try);
    }
    return lo;
}

/* How many parts from the left are possible; all that follow are impossible. */
static size_t count_possible(const struct model *m, const struct version *versions, size_t count,
                             struct effort *f)
{
    size_t lo = 0, hi = count;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        struct model try = part_until(m, &versions[mid]);
        if (is_impossible(&try, f))
            hi = mid;
        else
            lo = mid + 1;
        model_free(&try);
    }
    return lo;
}

static void narrow(struct model *m, struct effort *f)
{
    size_t count;
    struct version *versions = list_versions(m, &count);
    size_t at = count_impossible(m, versions, count, f);
    if (at > 0) {
        struct model late = part_after(m, &versions[at - 1]);
        keep_if_impossible(m, &late, f);
    }
    free(versions);
    versions = list_versions(m, &count);
    at = count_possible(m, versions, count, f);
    if (at < count) {
        struct model early = part_until(m, &versions[at]);
        keep_if_impossible(m, &early, f);
    }
    free(versions);
}

/* ---- 3. Fewer operations ------------------------------------------------------------------- */

/* How many answered operations, but those dropped, need each value. */
static uint32_t *count_needs(const struct model *m, const bool *dropped)
{
    uint32_t *need = texts_zeroed(m->values, sizeof *need);
    uint64_t value;
    for (size_t i = 0; i < m->count; i++)
        if (!dropped[i] && is_answered(&m->ops[i]) && model_needs(m, &m->ops[i], &value))
            need[value]++;
    return need;
}

static size_t drop_looks(const struct model *m, size_t from, size_t to, bool *dropped)
{
    size_t count = 0;
    for (size_t i = from; i < to; i++) {
        dropped[i] = model_looks(&m->ops[i]);
        count += dropped[i];
    }
    return count;
}

static size_t drop_writes(const struct model *m, size_t from, size_t to, bool *dropped)
{
    if (m->family != MODEL_PLAIN)
        return 0;
    uint32_t *need = count_needs(m, dropped);
    size_t count = 0;
    for (size_t i = from; i < to; i++)
        if (!model_looks(&m->ops[i]) && need[m->ops[i].value] == 0) {
            dropped[i] = true;
            count++;
        }
    free(need);
    return count;
}

/* Tries without what can be dropped of [from, to); true if that made the model smaller. */
static bool try_without(struct model *m, size_t from, size_t to, struct effort *f)
{
    bool *dropped = texts_zeroed(m->count, sizeof *dropped);
    bool smaller = false;
    size_t count = drop_looks(m, from, to, dropped);
    if (count + drop_writes(m, from, to, dropped) > 0) {
        struct model_op *ops = texts_zeroed(m->count, sizeof *ops);
        count = 0;
        for (size_t i = 0; i < m->count; i++)
            if (!dropped[i])
                ops[count++] = m->ops[i];
        struct model try;
        model_with(&try, m, ops, count);
        smaller = keep_if_impossible(m, &try, f);
    }
    free(dropped);
    return smaller;
}

static void shrink(struct model *m, struct effort *f)
{
    for (size_t chunk = m->count; chunk > 0; chunk /= 2) {
        bool again = true; /* writes can go only after those who need them */
        for (int pass = 0; again && pass < 4; pass++) {
            again = false;
            for (size_t at = 0; at < m->count && f->work < WORK_MAX;) {
                size_t to = at + chunk < m->count ? at + chunk : m->count;
                if (try_without(m, at, to, f))
                    again = true;
                else
                    at += chunk;
            }
        }
    }
}

/* ---- Text ---------------------------------------------------------------------------------- */

static void print_row(const struct history *h, uint32_t number, bool last, struct buf *out)
{
    const struct history_op *op = &h->ops[number];
    struct buf call = { 0 }, answer = { 0 };
    char returned[24] = "-";
    history_print_call(h, op, &call);
    history_print_answer(h, op, &answer);
    if (history_is_answered(op->outcome))
        snprintf(returned, sizeof returned, "%" PRIu64, op->ret);
    ADD(out, "  %c %8" PRIu32 " %8" PRIu64 " %16" PRIu64 " %16s  %-32.*s %.*s\n", last ? '>' : ' ',
        number, op->client, op->call, returned, (int)call.len, (const char *)call.data,
        (int)answer.len, (const char *)answer.data);
    buf_free(&call);
    buf_free(&answer);
}

static void print_head(struct buf *out)
{
    ADD(out, "    %8s %8s %16s %16s  %-32s %s\n", "number", "client", "called", "returned",
        "operation", "answer");
}

/* Did an answer of the model show what this write writes? */
static bool is_seen(const struct model *m, const struct model_op *write)
{
    for (size_t i = 0; i < m->count; i++)
        if (m->ops[i].saw == write->value)
            return true;
    return false;
}

static bool helps(const struct model *core, const struct model_op *op)
{
    return is_answered(op) || is_seen(core, op);
}

static void print_core(const struct history *h, const struct model *core, uint32_t last,
                       struct buf *out)
{
    size_t count = 0, left;
    for (size_t i = 0; i < core->count; i++)
        count += helps(core, &core->ops[i]);
    left = count > CORE_MAX ? count - CORE_MAX : 0;
    ADD(out, "  These operations alone contradict each other:\n");
    print_head(out);
    if (left > 0)
        ADD(out, "    %zu, and\n", left);
    for (size_t i = 0, seen = 0; i < core->count; i++) {
        const struct model_op *op = &core->ops[i];
        if (helps(core, op) && seen++ >= left)
            print_row(h, op->number, op->number == last, out);
    }
    if (count < core->count)
        ADD(out, "  and %zu unanswered writes that none of these saw do not help.\n",
            core->count - count);
}

static bool is_in(const struct model *m, uint32_t number)
{
    for (size_t i = 0; i < m->count; i++)
        if (m->ops[i].number == number)
            return true;
    return false;
}

/* Who writes what `last` saw, if that is not among the core: later, without success, or nobody. */
static void print_origin(const struct history *h, const struct model *core, uint32_t last,
                         struct buf *out)
{
    const struct history_op *reader = &h->ops[last];
    size_t found = 0, count = 0;
    for (uint32_t i = 0; reader->saw != 0 && i < h->count; i++) {
        const struct history_op *op = &h->ops[i];
        if (op->key != reader->key || op->value != reader->saw ||
            history_is_versioned(op->kind) != history_is_versioned(reader->kind))
            continue;
        found++;
        if (is_in(core, i))
            continue;
        if (count == 0) {
            ADD(out, "  What number %" PRIu32 " saw is written by:\n", last);
            print_head(out);
        }
        if (count++ < SHOWN_MAX)
            print_row(h, i, false, out);
    }
    if (reader->saw != 0 && found == 0)
        ADD(out, "  Nobody writes what number %" PRIu32 " saw.\n", last);
}

/* What was under way together with `last` and is not among the core: what was answered, then what was not. */
static void print_concurrent(const struct history *h, const struct model *all,
                             const struct model *core, const struct model_op *last, struct buf *out)
{
    size_t count = 0;
    for (size_t i = 0; i < 2 * all->count; i++) {
        const struct model_op *op = &all->ops[i % all->count];
        bool turn = is_answered(op) ? i < all->count : i >= all->count && !model_looks(op);
        if (!turn || op->call > last->ret || op->ret < last->call || is_in(core, op->number))
            continue;
        if (count == 0) {
            ADD(out, "  Also concurrent with number %" PRIu32 ":\n", last->number);
            print_head(out);
        }
        if (count++ < SHOWN_MAX)
            print_row(h, op->number, false, out);
    }
    if (count > SHOWN_MAX)
        ADD(out, "    and %zu more\n", count - SHOWN_MAX);
}

/* The operation whose return ends the beginning. */
static struct model_op last_of(const struct model *m)
{
    size_t last = 0;
    for (size_t i = 0; i < m->count; i++)
        if (is_answered(&m->ops[i]) &&
            (!is_answered(&m->ops[last]) || m->ops[i].ret >= m->ops[last].ret))
            last = i;
    return m->ops[last];
}

void explain(const struct history *h, const struct model *m, uint64_t budget, struct buf *out)
{
    struct effort f = { .budget = budget < BUDGET_MAX ? budget : BUDGET_MAX };
    struct model whole = beginning(m, first_impossible(m, &f));
    struct model core = copy_of(&whole);
    struct model_op last = last_of(&whole);
    if (whole.family == MODEL_VERSIONED)
        narrow(&core, &f);
    shrink(&core, &f);
    ADD(out,
        "  There is no order of the first %zu of %zu operations, those called until number %" PRIu32
        " returned.\n",
        whole.count, m->count, last.number);
    print_core(h, &core, last.number, out);
    print_origin(h, &core, last.number, out);
    print_concurrent(h, m, &core, &last, out);
    model_free(&core);
    model_free(&whole);
}
