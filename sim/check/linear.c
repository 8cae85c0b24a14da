/* From a history to its registers and back: what is said of each is said of the whole. */
#include "sim_check/linear.h"

#include <assert.h>

#include "explain.h"
#include "search.h"

enum { OPERATIONS_MAX = 1 << 30 }; /* the search numbers their calls and returns */

/* Operations by register: bucket 2k is key k raw, 2k + 1 versioned. */
struct registers {
    uint32_t *numbers; /* of operations, bucket after bucket, in the order of the history */
    uint32_t *ends;    /* of the buckets */
    size_t buckets;
};

static size_t bucket_of(const struct history_op *op)
{
    return 2 * (size_t)op->key + history_is_versioned(op->kind);
}

static void divide(const struct history *h, struct registers *r)
{
    r->buckets = 2 * ((size_t)h->texts.count + 1);
    r->ends = texts_zeroed(r->buckets + 1, sizeof *r->ends);
    r->numbers = texts_zeroed(h->count, sizeof *r->numbers);
    for (size_t i = 0; i < h->count; i++)
        r->ends[bucket_of(&h->ops[i]) + 1]++;
    for (size_t b = 0; b < r->buckets; b++)
        r->ends[b + 1] += r->ends[b];
    for (size_t i = 0; i < h->count; i++) /* the begin of each bucket moves to its end */
        r->numbers[r->ends[bucket_of(&h->ops[i])]++] = (uint32_t)i;
}

static void count_ops(const struct history *h, struct linear_report *ret)
{
    for (size_t i = 0; i < h->count; i++) {
        unsigned outcome = h->ops[i].outcome;
        ret->answered += history_is_answered(outcome);
        ret->failed += outcome == HISTORY_FAILED;
    }
    ret->operations = h->count;
    ret->undetermined = h->count - ret->answered - ret->failed;
}

static enum linear_verdict worse(enum linear_verdict a, enum linear_verdict b)
{
    if (a == LINEAR_NO || b == LINEAR_NO)
        return LINEAR_NO;
    return a == LINEAR_UNKNOWN ? a : b;
}

struct check {
    const struct history *h;
    struct model_numbers numbers;
    uint64_t budget;
    size_t explanations; /* left */
};

static struct linear_register check_register(struct check *c, const uint32_t *numbers, size_t count)
{
    const struct history_op *first = &c->h->ops[numbers[0]];
    struct model m;
    model_build(&m, c->h, numbers, count, &c->numbers);
    struct search_result found = search_run(&m, c->budget);
    struct linear_register ret = { .key = texts_get(&c->h->texts, first->key),
                                   .versioned = history_is_versioned(first->kind),
                                   .verdict = found.verdict,
                                   .operations = count,
                                   .configurations = found.configurations };
    if (found.verdict == LINEAR_NO && c->explanations > 0) {
        c->explanations--;
        explain(c->h, &m, c->budget, &ret.why);
    }
    model_free(&m);
    return ret;
}

enum linear_verdict linear_check(const struct history *h, const struct linear_options *options,
                                 struct linear_report *ret)
{
    struct check c = { .h = h, .budget = LINEAR_BUDGET };
    struct registers r;
    assert(h->count < OPERATIONS_MAX);
    if (options != NULL && options->budget != 0)
        c.budget = options->budget;
    if (options != NULL)
        c.explanations = options->explanations;
    *ret = (struct linear_report){ .verdict = LINEAR_YES };
    count_ops(h, ret);
    divide(h, &r);
    model_numbers_init(&c.numbers, h);
    ret->registers = texts_zeroed(r.buckets, sizeof *ret->registers);
    for (size_t b = 0; b < r.buckets; b++) {
        size_t from = b > 0 ? r.ends[b - 1] : 0;
        if (r.ends[b] == from)
            continue;
        struct linear_register *reg = &ret->registers[ret->count++];
        *reg = check_register(&c, r.numbers + from, r.ends[b] - from);
        ret->verdict = worse(ret->verdict, reg->verdict);
    }
    model_numbers_free(&c.numbers);
    free(r.numbers);
    free(r.ends);
    return ret->verdict;
}

void linear_report_free(struct linear_report *r)
{
    for (size_t i = 0; i < r->count; i++)
        buf_free(&r->registers[i].why);
    free(r->registers);
    *r = (struct linear_report){ 0 };
}

const char *linear_verdict_name(enum linear_verdict v)
{
    static const char *const names[] = { "linearizable", "NOT linearizable", "undecided" };
    return names[v];
}
