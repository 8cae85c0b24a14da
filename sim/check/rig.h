/* A register that is right by construction, the histories of clients that use it, and ways to spoil them. It shares
 * no code with the model that it tests: it executes operations and looks at what they answer. */
#pragma once

#include <assert.h>

#include "base/prng.h"
#include "base/test.h"
#include "sim_check/linear.h"

enum { RIG_TEXT = 40 };

struct rig_op {
    unsigned client, key;
    enum history_kind kind;
    uint64_t expected;
    bool conditional;
    char value[RIG_TEXT], wanted[RIG_TEXT];
    uint64_t call, ret;
    enum history_outcome outcome; /* PENDING: never ended */
    bool has_version, absent, has_saw;
    uint64_t version;
    char saw[RIG_TEXT];
};

/* ---- The right register -------------------------------------------------------------------- */

struct rig_register {
    uint64_t version;
    bool there;
    char text[RIG_TEXT];
};

static inline void rig_answer(struct rig_op *op, enum history_outcome outcome)
{
    op->outcome = outcome;
    op->has_version = op->absent = op->has_saw = false;
    op->version = 0;
    op->saw[0] = '\0';
}

static inline void rig_show(struct rig_op *op, const struct rig_register *r, bool value)
{
    op->has_version = op->kind >= HISTORY_CAS;
    op->version = op->has_version ? r->version : 0;
    op->absent = op->outcome == HISTORY_CONFLICT && op->has_version && !r->there;
    op->has_saw = value && r->there;
    if (op->has_saw)
        strcpy(op->saw, r->text);
}

static inline void rig_write(struct rig_register *r, const char *text)
{
    r->there = text != NULL;
    if (text != NULL && text != r->text)
        snprintf(r->text, sizeof r->text, "%s", text);
}

static inline void rig_do_raw(struct rig_register *r, struct rig_op *op)
{
    rig_answer(op, HISTORY_OK);
    if (op->kind == HISTORY_PUT || op->kind == HISTORY_DELETE) {
        rig_write(r, op->kind == HISTORY_PUT ? op->value : NULL);
    } else if (op->kind == HISTORY_GET) {
        op->outcome = r->there ? HISTORY_OK : HISTORY_NOT_FOUND;
        rig_show(op, r, true);
    } else if (op->kind == HISTORY_APPEND) {
        char whole[2 * RIG_TEXT];
        int len = snprintf(whole, sizeof whole, "%s%s", r->there ? r->text : "", op->value);
        assert(len < RIG_TEXT);
        rig_write(r, whole);
    } else if (r->there && strcmp(r->text, op->wanted) == 0) {
        rig_write(r, op->value);
    } else {
        op->outcome = HISTORY_CONFLICT;
        rig_show(op, r, true);
    }
}

static inline void rig_do_versioned(struct rig_register *r, struct rig_op *op)
{
    bool match = r->there ? op->expected == r->version : op->expected == 0;
    rig_answer(op, HISTORY_OK);
    if (op->kind == HISTORY_CAS_GET) {
        op->outcome = r->there ? HISTORY_OK : HISTORY_NOT_FOUND;
        rig_show(op, r, true);
        return;
    }
    if (op->kind == HISTORY_CAS_DELETE && !r->there) {
        op->outcome = HISTORY_NOT_FOUND;
        rig_show(op, r, false);
        return;
    }
    if ((op->kind == HISTORY_CAS || op->conditional) && !match) {
        op->outcome = HISTORY_CONFLICT;
        rig_show(op, r, true);
        return;
    }
    r->version++;
    rig_write(r, op->kind == HISTORY_CAS ? op->value : NULL);
    rig_show(op, r, false);
}

/* Executes it and fills its answer. */
static inline void rig_do(struct rig_register *r, struct rig_op *op)
{
    if (op->kind >= HISTORY_CAS)
        rig_do_versioned(r, op);
    else
        rig_do_raw(r, op);
}

/* ---- Clients ------------------------------------------------------------------------------- */

enum rig_family { RIG_PLAIN, RIG_SWAP, RIG_APPEND, RIG_VERSIONED, RIG_FAMILIES };

struct rig_plan {
    uint64_t seed;
    enum rig_family family;
    unsigned ops, clients, keys;
    unsigned values; /* so many different ones; 0: every write has its own */
    unsigned lost;   /* permille of operations that end undetermined, or never */
    unsigned failed; /* permille */
    unsigned quiet;  /* permille of answers that tell less than they could */
    bool ties;       /* several events at one time */
};

struct rig {
    struct rig_plan plan;
    struct prng prng;
    struct rig_register *registers;
    struct rig_op *ops;
    unsigned count;
    uint64_t now;
};

enum rig_stage { RIG_IDLE, RIG_BEGUN, RIG_DONE };
enum rig_fate { RIG_ANSWERED, RIG_LOST, RIG_FAILED };

struct rig_client {
    enum rig_stage stage;
    enum rig_fate fate;
    unsigned op;
};

static inline void rig_value(struct rig *rig, char *out)
{
    if (rig->plan.values > 0)
        snprintf(out, RIG_TEXT, "%c", (char)('a' + prng_below(&rig->prng, rig->plan.values)));
    else
        snprintf(out, RIG_TEXT, "v%u", rig->count);
}

static inline enum history_kind rig_kind(struct rig *rig)
{
    static const enum history_kind kinds[RIG_FAMILIES][10] = {
        { HISTORY_PUT, HISTORY_PUT, HISTORY_PUT, HISTORY_PUT, HISTORY_GET, HISTORY_GET, HISTORY_GET,
          HISTORY_GET, HISTORY_GET, HISTORY_DELETE },
        { HISTORY_PUT, HISTORY_PUT, HISTORY_GET, HISTORY_GET, HISTORY_GET, HISTORY_SWAP,
          HISTORY_SWAP, HISTORY_SWAP, HISTORY_SWAP, HISTORY_DELETE },
        { HISTORY_PUT, HISTORY_APPEND, HISTORY_APPEND, HISTORY_APPEND, HISTORY_GET, HISTORY_GET,
          HISTORY_GET, HISTORY_GET, HISTORY_GET, HISTORY_DELETE },
        { HISTORY_CAS, HISTORY_CAS, HISTORY_CAS, HISTORY_CAS, HISTORY_CAS, HISTORY_CAS_GET,
          HISTORY_CAS_GET, HISTORY_CAS_GET, HISTORY_CAS_DELETE, HISTORY_CAS_DELETE },
    };
    return kinds[rig->plan.family][prng_below(&rig->prng, 10)];
}

static inline void rig_begin(struct rig *rig, struct rig_client *c, unsigned client)
{
    struct prng *p = &rig->prng;
    struct rig_op *op = &rig->ops[rig->count];
    *op = (struct rig_op){ .client = client,
                           .key = (unsigned)prng_below(p, rig->plan.keys),
                           .kind = rig_kind(rig),
                           .call = rig->now };
    const struct rig_register *r = &rig->registers[op->key];
    if (op->kind != HISTORY_GET && op->kind != HISTORY_DELETE && op->kind < HISTORY_CAS_DELETE)
        rig_value(rig, op->value);
    if (op->kind == HISTORY_SWAP)
        rig_value(rig, op->wanted);
    if (op->kind == HISTORY_SWAP && r->there && prng_chance(p, 1, 2))
        strcpy(op->wanted, r->text);
    op->conditional = op->kind == HISTORY_CAS_DELETE && prng_chance(p, 2, 3);
    if (op->kind == HISTORY_CAS || op->conditional) /* mostly what is there as it begins */
        op->expected = prng_chance(p, 3, 4) ? (r->there ? r->version : 0) : prng_below(p, 4);
    uint64_t fate = prng_below(p, 1000);
    c->fate = fate < rig->plan.lost                      ? RIG_LOST
              : fate < rig->plan.lost + rig->plan.failed ? RIG_FAILED
                                                         : RIG_ANSWERED;
    c->stage = RIG_BEGUN;
    c->op = rig->count++;
}

static inline void rig_end(struct rig *rig, struct rig_client *c)
{
    struct rig_op *op = &rig->ops[c->op];
    op->ret = rig->now;
    if (c->fate == RIG_LOST)
        rig_answer(op, prng_chance(&rig->prng, 1, 2) ? HISTORY_UNDETERMINED : HISTORY_PENDING);
    else if (c->fate == RIG_FAILED)
        rig_answer(op, HISTORY_FAILED);
    else if (prng_below(&rig->prng, 1000) < rig->plan.quiet && op->kind >= HISTORY_CAS) {
        bool value =
            op->has_saw && (op->outcome == HISTORY_CONFLICT || prng_chance(&rig->prng, 1, 2));
        op->has_version = op->absent = false;
        op->version = 0;
        op->has_saw = op->outcome == HISTORY_OK ? op->has_saw : value;
    }
    c->stage = RIG_IDLE;
}

/* What is lost may take effect now, at any later time (floating: executed when another client moves), or never. */
static inline void rig_move(struct rig *rig, struct rig_client *c, unsigned client,
                            unsigned *floating, unsigned *floats)
{
    struct prng *p = &rig->prng;
    if (!rig->plan.ties || prng_chance(p, 1, 2))
        rig->now += 1 + prng_below(p, 3);
    if (*floats > 0 && prng_chance(p, 1, 8)) {
        unsigned at = (unsigned)prng_below(p, *floats);
        struct rig_op ghost = rig->ops[floating[at]];
        rig_do(&rig->registers[ghost.key], &ghost);
        floating[at] = floating[--*floats];
    }
    if (c->stage == RIG_IDLE && rig->count < rig->plan.ops) {
        rig_begin(rig, c, client);
    } else if (c->stage == RIG_BEGUN) {
        struct rig_op *op = &rig->ops[c->op];
        if (c->fate == RIG_ANSWERED || (c->fate == RIG_LOST && prng_chance(p, 1, 3)))
            rig_do(&rig->registers[op->key], op);
        else if (c->fate == RIG_LOST && prng_chance(p, 1, 2))
            floating[(*floats)++] = c->op;
        c->stage = RIG_DONE;
    } else if (c->stage == RIG_DONE) {
        rig_end(rig, c);
    }
}

/* Runs the clients of a plan; rig_free() ends it. */
static inline void rig_run(struct rig *rig, const struct rig_plan *plan)
{
    *rig = (struct rig){ .plan = *plan, .now = 10 };
    prng_seed(&rig->prng, plan->seed);
    rig->registers = calloc(plan->keys, sizeof *rig->registers);
    rig->ops = calloc(plan->ops + 1, sizeof *rig->ops);
    struct rig_client *clients = calloc(plan->clients, sizeof *clients);
    unsigned *floating = calloc(plan->ops, sizeof *floating), floats = 0;
    CHECK(rig->registers != NULL && rig->ops != NULL && clients != NULL && floating != NULL);
    unsigned busy = 1;
    while (rig->count < plan->ops || busy > 0) {
        unsigned client = (unsigned)prng_below(&rig->prng, plan->clients);
        rig_move(rig, &clients[client], client, floating, &floats);
        busy = 0;
        for (unsigned i = 0; rig->count == plan->ops && i < plan->clients; i++)
            busy += clients[i].stage != RIG_IDLE;
    }
    free(clients);
    free(floating);
}

static inline void rig_free(struct rig *rig)
{
    free(rig->registers);
    free(rig->ops);
}

static inline void rig_add(struct history *h, const struct rig_op *op)
{
    char key[16];
    snprintf(key, sizeof key, "k%u", op->key);
    struct history_call call = { .client = op->client,
                                 .at = op->call,
                                 .kind = op->kind,
                                 .key = BYTES(key),
                                 .value = BYTES(op->value),
                                 .wanted = BYTES(op->wanted),
                                 .expected = op->expected,
                                 .conditional = op->conditional };
    struct history_answer answer = { .at = op->ret,
                                     .outcome = op->outcome,
                                     .has_value = op->has_saw,
                                     .has_version = op->has_version,
                                     .value = BYTES(op->saw),
                                     .version = op->version,
                                     .absent = op->absent };
    history_add(h, &call, op->outcome == HISTORY_PENDING ? NULL : &answer);
}

static inline struct history *rig_history(const struct rig *rig)
{
    struct history *h = history_new();
    for (unsigned i = 0; i < rig->count; i++)
        rig_add(h, &rig->ops[i]);
    return h;
}
