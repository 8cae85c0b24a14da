/* The search against one that knows nothing: all orders of small histories, tried on the rig's register. */
#include "rig.h"

enum {
    SMALL = 8,        /* operations: 8! orders at most */
    HISTORIES = 8000, /* of each family */
};

/* ---- All orders ---------------------------------------------------------------------------- */

static bool agrees(const struct rig_op *said, const struct rig_op *found)
{
    if (said->outcome != found->outcome)
        return false;
    if (said->has_version &&
        (!found->has_version || said->version != found->version || said->absent != found->absent))
        return false;
    return !said->has_saw || (found->has_saw && strcmp(said->saw, found->saw) == 0);
}

static bool is_answered(const struct rig_op *op)
{
    return op->outcome >= HISTORY_OK;
}

/* May `i` be the next one, after those in `used`? */
static bool may_follow(const struct rig *rig, unsigned used, unsigned i)
{
    if (used >> i & 1 || rig->ops[i].outcome == HISTORY_FAILED)
        return false;
    for (unsigned k = 0; k < rig->count; k++)
        if (!(used >> k & 1) && is_answered(&rig->ops[k]) && rig->ops[k].ret < rig->ops[i].call)
            return false;
    return true;
}

static bool has_order(const struct rig *rig, unsigned used, struct rig_register r)
{
    bool all = true;
    for (unsigned i = 0; i < rig->count; i++)
        all = all && (used >> i & 1 || !is_answered(&rig->ops[i]));
    if (all)
        return true;
    for (unsigned i = 0; i < rig->count; i++) {
        if (!may_follow(rig, used, i))
            continue;
        struct rig_op found = rig->ops[i];
        struct rig_register after = r;
        rig_do(&after, &found);
        if ((!is_answered(&rig->ops[i]) || agrees(&rig->ops[i], &found)) &&
            has_order(rig, used | 1u << i, after))
            return true;
    }
    return false;
}

/* ---- Spoiling ------------------------------------------------------------------------------ */

static void spoil_answer(struct rig *rig, struct rig_op *op)
{
    struct prng *p = &rig->prng;
    const struct rig_op *other = &rig->ops[prng_below(p, rig->count)];
    if (op->has_version && prng_chance(p, 1, 2))
        op->version = prng_below(p, 5);
    else if (op->has_saw)
        strcpy(op->saw, other->value[0] != '\0' ? other->value : "a");
    else if (op->kind == HISTORY_GET && other->value[0] != '\0')
        op->outcome = HISTORY_OK, op->has_saw = true, strcpy(op->saw, other->value);
    else if (op->kind == HISTORY_CAS && op->outcome == HISTORY_CONFLICT)
        rig_answer(op, HISTORY_OK);
    else if (op->kind == HISTORY_SWAP)
        rig_answer(op, op->outcome == HISTORY_OK ? HISTORY_CONFLICT : HISTORY_OK);
}

static void spoil_times(struct rig *rig, struct rig_op *op)
{
    uint64_t len = op->ret - op->call, end = rig->now;
    op->call = prng_below(&rig->prng, end);
    op->ret = op->call + prng_below(&rig->prng, len + 1);
}

/* A stale or foreign answer; another time; a lost write, a write answered for nothing; a doubled one. */
static void spoil(struct rig *rig)
{
    struct rig_op *op = &rig->ops[prng_below(&rig->prng, rig->count)];
    switch (prng_below(&rig->prng, 4)) {
    case 0:
        if (is_answered(op))
            spoil_answer(rig, op);
        return;
    case 1:
        spoil_times(rig, op);
        return;
    case 2:
        if (is_answered(op))
            rig_answer(op, HISTORY_FAILED);
        return;
    case 3:
        rig->ops[prng_below(&rig->prng, rig->count)] = *op;
        return;
    }
}

/* ---- Both ---------------------------------------------------------------------------------- */

static enum linear_verdict check(const struct rig *rig)
{
    struct history *h = rig_history(rig);
    struct linear_report report;
    struct linear_options options = { .explanations = 1 };
    enum linear_verdict verdict = linear_check(h, &options, &report);
    CHECK_EQ(report.operations, rig->count);
    CHECK_EQ(verdict == LINEAR_NO, report.count > 0 && report.registers[0].why.len > 0);
    linear_report_free(&report);
    history_free(h);
    return verdict;
}

static struct rig_plan small_plan(uint64_t seed, enum rig_family family)
{
    struct prng p;
    prng_seed(&p, seed);
    return (struct rig_plan){ .seed = seed,
                              .family = family,
                              .ops = (unsigned)prng_range(&p, 2, SMALL),
                              .clients = (unsigned)prng_range(&p, 1, 5),
                              .keys = 1,
                              .values = (unsigned)prng_below(&p, 4),
                              .lost = (unsigned)prng_below(&p, 2) * 300,
                              .failed = 50,
                              .quiet = (unsigned)prng_below(&p, 2) * 300,
                              .ties = prng_chance(&p, 1, 3) };
}

static void print_rig(const struct rig *rig)
{
    struct history *h = rig_history(rig);
    struct buf text = { 0 };
    CHECK_EQ(history_write(h, &text), ERR_OK);
    print_message("%.*s", (int)text.len, (const char *)text.data);
    buf_free(&text);
    history_free(h);
}

static void compare(enum rig_family family, unsigned histories)
{
    unsigned good = 0, bad = 0;
    for (uint64_t seed = 1; seed <= histories; seed++) {
        struct rig rig;
        struct rig_plan plan = small_plan(seed, family);
        rig_run(&rig, &plan);
        for (uint64_t times = seed % 4 * 2; times > 0; times--)
            spoil(&rig);
        bool want = has_order(&rig, 0, (struct rig_register){ 0 });
        enum linear_verdict have = check(&rig);
        if (have != (want ? LINEAR_YES : LINEAR_NO))
            print_rig(&rig);
        if (seed % 4 == 0)
            CHECK(want); /* nothing was spoiled */
        CHECK_EQ(have, want ? LINEAR_YES : LINEAR_NO);
        good += want;
        bad += !want;
        rig_free(&rig);
    }
    print_message("%u linearizable, %u not\n", good, bad);
    CHECK(good > histories / 10 && bad > histories / 10);
}

TEST(plain_registers_agree_with_all_orders)
{
    compare(RIG_PLAIN, HISTORIES);
}
TEST(registers_with_swaps_agree_with_all_orders)
{
    compare(RIG_SWAP, HISTORIES);
}
TEST(registers_with_appends_agree_with_all_orders)
{
    compare(RIG_APPEND, HISTORIES);
}
TEST(versioned_registers_agree_with_all_orders)
{
    compare(RIG_VERSIONED, HISTORIES);
}

TEST_MAIN()
