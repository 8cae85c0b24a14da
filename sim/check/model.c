#include "model.h"

#include <assert.h>

/* ---- Values -------------------------------------------------------------------------------- */

void model_numbers_init(struct model_numbers *n, const struct history *h)
{
    size_t texts = h->texts.count + 1;
    *n = (struct model_numbers){ .local = texts_zeroed(texts, sizeof *n->local),
                                 .owner = texts_zeroed(texts, sizeof *n->owner) };
}

void model_numbers_free(struct model_numbers *n)
{
    free(n->local);
    free(n->owner);
    *n = (struct model_numbers){ 0 };
}

static void mention(struct model *m, struct model_numbers *n, uint32_t text)
{
    if (text == 0 || n->owner[text] == n->registers)
        return;
    n->owner[text] = n->registers;
    n->local[text] = m->values++;
}

static uint32_t number_of(const struct model *m, const struct model_numbers *n, uint32_t text)
{
    if (m->family == MODEL_APPEND)
        return text;
    return n->owner[text] == n->registers ? n->local[text] : MODEL_UNSEEN;
}

/* ---- Building ------------------------------------------------------------------------------ */

static enum model_family family_of(const struct history *h, const uint32_t *numbers, size_t count)
{
    enum model_family family = MODEL_PLAIN;
    for (size_t i = 0; i < count; i++) {
        unsigned kind = h->ops[numbers[i]].kind;
        if (history_is_versioned(kind))
            return MODEL_VERSIONED;
        if (kind == HISTORY_APPEND)
            family = MODEL_APPEND;
        else if (kind == HISTORY_SWAP && family == MODEL_PLAIN)
            family = MODEL_SWAP;
    }
    return family;
}

void model_forget(struct model_op *op)
{
    op->ret = MODEL_NEVER;
    op->outcome = HISTORY_UNDETERMINED;
    op->has_version = op->absent = false;
    op->version = 0;
    op->saw = MODEL_NONE;
}

static struct model_op op_of(const struct model *m, const struct model_numbers *n,
                             const struct history_op *from, uint32_t number)
{
    struct model_op op = { .call = from->call,
                           .ret = from->ret,
                           .expected = from->expected,
                           .version = from->version,
                           .number = number,
                           .value = from->value != 0 ? number_of(m, n, from->value) : MODEL_ABSENT,
                           .wanted = from->wanted != 0 ? number_of(m, n, from->wanted) : MODEL_NONE,
                           .saw = from->saw != 0 ? number_of(m, n, from->saw) : MODEL_NONE,
                           .kind = from->kind,
                           .outcome = from->outcome,
                           .conditional = from->conditional,
                           .has_version = from->has_version,
                           .absent = from->absent };
    if (!history_is_answered(from->outcome))
        model_forget(&op);
    return op;
}

/* What a write is, beside its times. That its outcome is unknown makes no difference. */
struct likeness {
    uint64_t expected, version;
    uint32_t value, wanted;
    uint32_t bits;
    uint32_t first; /* the operation that had it first; not compared */
};

static struct likeness likeness_of(const struct model_op *op, uint32_t i)
{
    unsigned bits = op->kind | (unsigned)op->conditional << 8 | (unsigned)op->has_version << 9;
    return (struct likeness){ .expected = op->expected,
                              .version = op->version,
                              .value = op->value,
                              .wanted = op->wanted,
                              .bits = bits,
                              .first = i };
}

static void find_twins(struct model *m)
{
    struct map seen;
    struct likeness *all = texts_zeroed(m->count, sizeof *all);
    map_init(&seen, 1);
    for (uint32_t i = 0; i < m->count; i++) {
        struct model_op *op = &m->ops[i];
        op->twin = i;
        if (model_looks(op))
            continue;
        all[i] = likeness_of(op, i);
        struct bytes key = bytes_from(&all[i], offsetof(struct likeness, first));
        const struct likeness *before = map_get(&seen, key);
        if (before != NULL)
            op->twin = before->first;
        else if (map_put(&seen, key, &all[i], NULL) != ERR_OK)
            abort();
    }
    map_free(&seen);
    free(all);
}

/* What is known of a value of a versioned register. */
struct origin {
    uint32_t writers;
    bool seen;
    uint64_t version; /* with which it was seen; if with several, no order exists anyway */
};

/* An undetermined write whose value was seen, and which nobody else writes, did happen, and made the version that was
 * seen with it. */
static void resolve(struct model *m)
{
    if (m->family != MODEL_VERSIONED)
        return;
    struct origin *origins = texts_zeroed(m->values, sizeof *origins);
    for (size_t i = 0; i < m->count; i++) {
        struct model_op *op = &m->ops[i];
        if (!model_looks(op))
            origins[op->value].writers++;
        else if (op->saw != MODEL_NONE && op->has_version)
            origins[op->saw].seen = true, origins[op->saw].version = op->version;
    }
    for (size_t i = 0; i < m->count; i++) {
        struct model_op *op = &m->ops[i];
        const struct origin *o = &origins[op->value];
        if (op->outcome != HISTORY_UNDETERMINED || model_looks(op))
            continue;
        op->has_version = o->seen && o->writers == 1;
        op->version = op->has_version ? o->version : 0;
    }
    free(origins);
}

void model_build(struct model *m, const struct history *h, const uint32_t *numbers, size_t count,
                 struct model_numbers *n)
{
    *m = (struct model){ .family = family_of(h, numbers, count),
                         .ops = texts_zeroed(count, sizeof *m->ops),
                         .values = MODEL_UNSEEN + 1,
                         .known = &h->texts };
    texts_init(&m->made);
    n->registers++;
    for (size_t i = 0; i < count; i++) {
        mention(m, n, h->ops[numbers[i]].saw);
        mention(m, n, h->ops[numbers[i]].wanted);
    }
    for (size_t i = 0; i < count; i++)
        if (h->ops[numbers[i]].outcome != HISTORY_FAILED)
            m->ops[m->count++] = op_of(m, n, &h->ops[numbers[i]], numbers[i]);
    resolve(m);
    find_twins(m);
}

void model_with(struct model *m, const struct model *from, struct model_op *ops, size_t count)
{
    *m = *from;
    m->ops = ops;
    m->count = count;
    texts_init(&m->made);
    resolve(m);
    find_twins(m);
}

void model_free(struct model *m)
{
    free(m->ops);
    texts_free(&m->made);
    *m = (struct model){ 0 };
}

/* ---- Behaviour ----------------------------------------------------------------------------- */

bool model_looks(const struct model_op *op)
{
    return op->kind == HISTORY_GET || op->kind == HISTORY_CAS_GET ||
           op->outcome == HISTORY_CONFLICT || op->outcome == HISTORY_NOT_FOUND;
}

/* Does the condition of a cas or cas_delete hold? */
static bool holds(const struct model_op *op, struct model_state s)
{
    bool there = s.value != MODEL_ABSENT;
    if (op->kind == HISTORY_CAS)
        return op->expected == 0 ? !there : there && s.version == op->expected;
    return there && (!op->conditional || s.version == op->expected);
}

static bool shows(const struct model_op *op, struct model_state s)
{
    return (op->saw == MODEL_NONE || op->saw == s.value) &&
           (!op->has_version || op->version == s.version);
}

static bool accepts_versioned(const struct model_op *op, struct model_state s)
{
    bool there = s.value != MODEL_ABSENT;
    switch (op->outcome) {
    case HISTORY_CONFLICT:
        if (op->kind == HISTORY_CAS_DELETE && !there)
            return false; /* that would be NOT_FOUND */
        return !holds(op, s) && shows(op, s) && (!op->has_version || op->absent == !there);
    case HISTORY_NOT_FOUND:
        return !there && shows(op, s);
    default:
        if (op->kind == HISTORY_CAS_GET)
            return there && shows(op, s);
        return holds(op, s) && (!op->has_version || op->version == s.version + 1);
    }
}

bool model_accepts(const struct model *m, const struct model_op *op, struct model_state s)
{
    if (m->family == MODEL_VERSIONED)
        return accepts_versioned(op, s);
    if (op->kind == HISTORY_GET)
        return s.value == (op->outcome == HISTORY_NOT_FOUND ? MODEL_ABSENT : op->saw);
    if (op->kind != HISTORY_SWAP)
        return true;
    return op->outcome == HISTORY_CONFLICT ? s.value != op->wanted && shows(op, s)
                                           : s.value == op->wanted;
}

static struct bytes text_of(const struct model *m, uint32_t number)
{
    if (number == MODEL_ABSENT)
        return (struct bytes){ 0 };
    return number <= m->known->count ? texts_get(m->known, number)
                                     : texts_get(&m->made, number - m->known->count);
}

static uint32_t append(struct model *m, uint32_t front, uint32_t back)
{
    struct buf whole = { 0 };
    if (buf_append(&whole, text_of(m, front)) != ERR_OK ||
        buf_append(&whole, text_of(m, back)) != ERR_OK)
        abort();
    uint32_t number = texts_find(m->known, buf_bytes(&whole));
    if (number == 0)
        number = m->known->count + texts_add(&m->made, buf_bytes(&whole));
    buf_free(&whole);
    return number;
}

struct model_state model_after(struct model *m, const struct model_op *op, struct model_state s)
{
    assert(!model_looks(op));
    if (m->family == MODEL_VERSIONED)
        s.version++;
    s.value = op->kind == HISTORY_APPEND ? append(m, s.value, op->value) : op->value;
    return s;
}

static bool versioned_needs(const struct model_op *op, uint64_t *ret)
{
    if (op->has_version) {
        *ret = model_looks(op) ? op->version : op->version - 1; /* -1: a version that never comes */
        return true;
    }
    bool exact = op->outcome != HISTORY_CONFLICT && op->outcome != HISTORY_NOT_FOUND &&
                 ((op->kind == HISTORY_CAS && op->expected > 0) ||
                  (op->kind == HISTORY_CAS_DELETE && op->conditional));
    if (exact)
        *ret = op->expected;
    return exact;
}

bool model_needs(const struct model *m, const struct model_op *op, uint64_t *ret)
{
    if (m->family == MODEL_VERSIONED)
        return versioned_needs(op, ret);
    if (m->family == MODEL_APPEND)
        return false;
    uint32_t value = op->saw;
    if (op->kind == HISTORY_GET && op->outcome == HISTORY_NOT_FOUND)
        value = MODEL_ABSENT;
    if (op->kind == HISTORY_SWAP && op->outcome != HISTORY_CONFLICT)
        value = op->wanted;
    *ret = value;
    return value != MODEL_NONE;
}

uint32_t model_makes(const struct model *m, const struct model_op *op)
{
    if (model_looks(op) || m->family == MODEL_APPEND || m->family == MODEL_VERSIONED)
        return MODEL_NONE;
    return op->value;
}
