#include "history_int.h"

#include <assert.h>
#include <inttypes.h>

const char *const history_kind_names[HISTORY_KINDS] = {
    [HISTORY_PUT] = "put",
    [HISTORY_DELETE] = "delete",
    [HISTORY_GET] = "get",
    [HISTORY_APPEND] = "append",
    [HISTORY_SWAP] = "swap",
    [HISTORY_CAS] = "cas",
    [HISTORY_CAS_DELETE] = "cas_delete",
    [HISTORY_CAS_GET] = "cas_get",
};
const char *const history_outcome_names[HISTORY_OUTCOMES] = {
    [HISTORY_PENDING] = "pending",   [HISTORY_UNDETERMINED] = "undetermined",
    [HISTORY_FAILED] = "failed",     [HISTORY_OK] = "ok",
    [HISTORY_CONFLICT] = "conflict", [HISTORY_NOT_FOUND] = "not_found",
};

struct history *history_new(void)
{
    struct history *h = texts_zeroed(1, sizeof *h);
    texts_init(&h->texts);
    return h;
}

void history_free(struct history *h)
{
    if (h == NULL)
        return;
    texts_free(&h->texts);
    free(h->ops);
    free(h);
}

size_t history_count(const struct history *h)
{
    return h->count;
}

/* ---- What is possible ---------------------------------------------------------------------- */

#define BIT(outcome) (1u << (outcome))

/* The answers of each kind, beside FAILED and UNDETERMINED. */
static const unsigned answers[HISTORY_KINDS] = {
    [HISTORY_PUT] = BIT(HISTORY_OK),
    [HISTORY_DELETE] = BIT(HISTORY_OK),
    [HISTORY_GET] = BIT(HISTORY_OK) | BIT(HISTORY_NOT_FOUND),
    [HISTORY_APPEND] = BIT(HISTORY_OK),
    [HISTORY_SWAP] = BIT(HISTORY_OK) | BIT(HISTORY_CONFLICT),
    [HISTORY_CAS] = BIT(HISTORY_OK) | BIT(HISTORY_CONFLICT),
    [HISTORY_CAS_DELETE] = BIT(HISTORY_OK) | BIT(HISTORY_CONFLICT) | BIT(HISTORY_NOT_FOUND),
    [HISTORY_CAS_GET] = BIT(HISTORY_OK) | BIT(HISTORY_NOT_FOUND),
};

static bool kind_writes(enum history_kind kind)
{
    return kind == HISTORY_PUT || kind == HISTORY_APPEND || kind == HISTORY_SWAP ||
           kind == HISTORY_CAS;
}

err_t history_check_call(const struct history_call *call, struct err *e)
{
    if ((unsigned)call->kind >= HISTORY_KINDS)
        return err_set(e, ERR_INVALID_ARGUMENT, "there is no kind of operation %d", call->kind);
    const char *name = history_kind_names[call->kind];
    if (call->at > HISTORY_TIME_MAX)
        return err_set(e, ERR_INVALID_ARGUMENT, "%s: the time is no time", name);
    if (call->value.len > 0 && !kind_writes(call->kind))
        return err_set(e, ERR_INVALID_ARGUMENT, "%s takes no value", name);
    if (call->wanted.len > 0 && call->kind != HISTORY_SWAP)
        return err_set(e, ERR_INVALID_ARGUMENT, "%s compares no value", name);
    if (call->expected != 0 && call->kind != HISTORY_CAS &&
        !(call->kind == HISTORY_CAS_DELETE && call->conditional))
        return err_set(e, ERR_INVALID_ARGUMENT, "%s compares no version", name);
    return ERR_OK;
}

/* May an answer of that kind and outcome carry a value? */
static bool may_see_value(enum history_kind kind, enum history_outcome outcome)
{
    return outcome == HISTORY_CONFLICT ||
           (outcome == HISTORY_OK && (kind == HISTORY_GET || kind == HISTORY_CAS_GET));
}

err_t history_check_answer(const struct history_call *call, const struct history_answer *a,
                           struct err *e)
{
    const char *name = history_kind_names[call->kind];
    if (a->outcome == HISTORY_PENDING || (unsigned)a->outcome >= HISTORY_OUTCOMES)
        return err_set(e, ERR_INVALID_ARGUMENT, "%s: there is no outcome %d", name, a->outcome);
    const char *outcome = history_outcome_names[a->outcome];
    bool answered = history_is_answered(a->outcome);
    if (a->at > HISTORY_TIME_MAX)
        return err_set(e, ERR_INVALID_ARGUMENT, "%s, %s: the time is no time", name, outcome);
    if (a->outcome == HISTORY_CONFLICT && call->kind == HISTORY_CAS_DELETE && !call->conditional)
        return err_set(e, ERR_INVALID_ARGUMENT, "cas_delete without \"expected\" has no conflicts");
    if (answered && (answers[call->kind] & BIT(a->outcome)) == 0)
        return err_set(e, ERR_INVALID_ARGUMENT, "%s is never answered %s", name, outcome);
    if (a->has_value && !may_see_value(call->kind, a->outcome))
        return err_set(e, ERR_INVALID_ARGUMENT, "%s, %s: carries no value", name, outcome);
    if (a->has_version && (!answered || !history_is_versioned(call->kind)))
        return err_set(e, ERR_INVALID_ARGUMENT, "%s, %s: carries no version", name, outcome);
    if (a->absent && (a->outcome != HISTORY_CONFLICT || !a->has_version))
        return err_set(e, ERR_INVALID_ARGUMENT,
                       "%s, %s: \"absent\" belongs to a conflict's version", name, outcome);
    if (a->absent && a->has_value)
        return err_set(e, ERR_INVALID_ARGUMENT, "%s, %s: absent, and yet a value", name, outcome);
    if (a->outcome == HISTORY_OK && call->kind == HISTORY_GET && !a->has_value)
        return err_set(e, ERR_INVALID_ARGUMENT, "get, ok: which value?");
    if (a->outcome == HISTORY_OK && call->kind == HISTORY_CAS_GET && !a->has_value &&
        !a->has_version)
        return err_set(e, ERR_INVALID_ARGUMENT, "cas_get, ok: which value or version?");
    return ERR_OK;
}

/* ---- Recording ----------------------------------------------------------------------------- */

static struct history_op *add_op(struct history *h, const struct history_call *call)
{
    struct err e = { 0 };
    err_t rc = history_check_call(call, &e);
    assert(rc == ERR_OK);
    (void)rc;
    if (h->count == h->cap) {
        h->cap = h->cap == 0 ? 64 : 2 * h->cap;
        h->ops = texts_must(realloc(h->ops, h->cap * sizeof *h->ops));
    }
    struct history_op *op = &h->ops[h->count++];
    *op = (struct history_op){ .client = call->client,
                               .call = call->at,
                               .kind = (uint8_t)call->kind,
                               .expected = call->expected,
                               .conditional = call->conditional,
                               .key = texts_add(&h->texts, call->key) };
    if (kind_writes(call->kind))
        op->value = texts_add(&h->texts, call->value);
    if (call->kind == HISTORY_SWAP)
        op->wanted = texts_add(&h->texts, call->wanted);
    return op;
}

static void end_op(struct history *h, struct history_op *op, const struct history_answer *a,
                   uint64_t at)
{
    struct err e = { 0 };
    struct history_call asked = { .kind = op->kind, .conditional = op->conditional };
    err_t rc = history_check_answer(&asked, a, &e);
    assert(rc == ERR_OK && op->outcome == HISTORY_PENDING && op->call <= at);
    (void)rc;
    op->ret = at;
    op->outcome = (uint8_t)a->outcome;
    op->has_version = a->has_version;
    op->version = a->version;
    op->absent = a->absent;
    if (a->has_value)
        op->saw = texts_add(&h->texts, a->value);
}

static uint64_t later(struct history *h, uint64_t at)
{
    h->last = h->count > 0 && at <= h->last ? h->last + 1 : at;
    assert(h->last <= HISTORY_TIME_MAX);
    return h->last;
}

size_t history_begin(struct history *h, const struct history_call *call)
{
    uint64_t at = later(h, call->at);
    add_op(h, call)->call = at;
    return h->count - 1;
}

void history_end(struct history *h, size_t number, const struct history_answer *answer)
{
    assert(number < h->count);
    end_op(h, &h->ops[number], answer, later(h, answer->at));
}

size_t history_add(struct history *h, const struct history_call *call,
                   const struct history_answer *answer)
{
    struct history_op *op = add_op(h, call);
    if (answer != NULL)
        end_op(h, op, answer, answer->at);
    uint64_t latest = answer != NULL ? answer->at : call->at;
    if (latest > h->last)
        h->last = latest;
    return h->count - 1;
}

/* ---- For people ---------------------------------------------------------------------------- */

enum { SHOWN_MAX = 24 }; /* bytes of a key or value */

#define ADD(out, ...)                                                                              \
    do {                                                                                           \
        if (buf_printf(out, __VA_ARGS__) != ERR_OK)                                                \
            abort();                                                                               \
    } while (0)

static bool is_printable(struct bytes b)
{
    for (size_t i = 0; i < b.len; i++)
        if (b.data[i] < 0x20 || b.data[i] > 0x7E)
            return false;
    return true;
}

void history_print_bytes(struct bytes b, struct buf *out)
{
    struct bytes shown = { b.data, b.len <= SHOWN_MAX ? b.len : SHOWN_MAX };
    if (is_printable(shown)) {
        ADD(out, "\"%.*s\"", (int)shown.len, (const char *)shown.data);
    } else {
        ADD(out, "x'");
        for (size_t i = 0; i < shown.len; i++)
            ADD(out, "%02x", shown.data[i]);
        ADD(out, "'");
    }
    if (b.len > shown.len)
        ADD(out, "... (%zu bytes)", b.len);
}

static void print_text(const struct history *h, uint32_t number, struct buf *out)
{
    history_print_bytes(texts_get(&h->texts, number), out);
}

void history_print_call(const struct history *h, const struct history_op *op, struct buf *out)
{
    ADD(out, "%s(", history_kind_names[op->kind]);
    if (op->kind == HISTORY_CAS || (op->kind == HISTORY_CAS_DELETE && op->conditional))
        ADD(out, "expected %" PRIu64 "%s", op->expected, op->value != 0 ? ", " : "");
    if (op->wanted != 0) {
        print_text(h, op->wanted, out);
        ADD(out, ", ");
    }
    if (op->value != 0)
        print_text(h, op->value, out);
    ADD(out, ")");
}

void history_print_answer(const struct history *h, const struct history_op *op, struct buf *out)
{
    ADD(out, "%s", history_outcome_names[op->outcome]);
    if (op->has_version)
        ADD(out, ", version %" PRIu64 "%s", op->version, op->absent ? " (absent)" : "");
    if (op->saw != 0) {
        ADD(out, ", ");
        print_text(h, op->saw, out);
    }
}
