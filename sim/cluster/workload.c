/* Slots, values, the history, timestamps (workload.h has the picture). */
#include "sim_cluster/workload.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define MS      UINT64_C(1000000)
#define SECOND  UINT64_C(1000000000)
#define LOOK_NS (15 * SECOND)
enum { SLOTS_MAX = 8, KEYS_MAX = 64, NUMBER = 8 };

struct slot {
    struct workload *w;
    unsigned client, number; /* number: over all clients */
    struct env_timer think;
    struct sim_client_op op;
    unsigned key;
    uint64_t value; /* the number that it writes */
    struct buf bytes;
    char key_text[8];
    size_t in_history;
    uint64_t called, called_ns;
    bool busy, look;
};

struct stamps {
    uint64_t first, count, called, returned;
};

struct workload {
    struct sim_cluster *cluster;
    struct workload_plan plan;
    struct prng prng;
    struct history *history;
    struct slot slots[SIM_CLUSTER_CLIENTS_MAX * SLOTS_MAX];
    unsigned slot_count, busy;
    bool stopped;
    uint64_t next_value, clock; /* clock: one more for every call and answer */
    uint64_t seen[SIM_CLUSTER_CLIENTS_MAX][KEYS_MAX]; /* versions, as far as a client knows */
    struct stamps *stamps;
    size_t stamp_count, stamp_cap;
    struct workload_counts counts;
    char fault[300];
    /* the look: a slot of its own and what is left to do */
    struct slot looker;
    unsigned look_at, look_end, look_failed;
    uint64_t look_until; /* until then what was not served is asked again */
};

/* ---- Values ------------------------------------------------------------------------------------------------- */

static size_t filler_length(const struct workload *w, uint64_t number)
{
    uint64_t h = number * UINT64_C(0x9e3779b97f4a7c15);
    return w->plan.value_max == 0 ? 0 : (size_t)((h >> 33) % w->plan.value_max);
}

static uint8_t filler_byte(uint64_t number, size_t i)
{
    return (uint8_t)((number * 131 + i * 29) >> (i & 3));
}

static void make_value(const struct workload *w, uint64_t number, struct buf *out)
{
    size_t more = filler_length(w, number);
    buf_clear(out);
    uint8_t *to = buf_reserve(out, NUMBER + more);
    if (to == NULL)
        abort();
    memcpy(to, &number, NUMBER);
    for (size_t i = 0; i < more; i++)
        to[NUMBER + i] = filler_byte(number, i);
    out->len = NUMBER + more;
}

/* The number in a value that was read; a fault if it is not as it was written. */
static uint64_t value_number(struct workload *w, const struct slot *s, struct bytes value)
{
    uint64_t number = 0;
    bool whole = value.len >= NUMBER;
    if (whole)
        memcpy(&number, value.data, NUMBER);
    whole = whole && number >= 1 && number <= w->next_value &&
            value.len == NUMBER + filler_length(w, number);
    for (size_t i = 0; whole && i + NUMBER < value.len; i++)
        whole = value.data[NUMBER + i] == filler_byte(number, i);
    if (!whole && w->fault[0] == '\0')
        snprintf(w->fault, sizeof w->fault,
                 "%s(%s) answers %zu bytes that nobody has written (number %" PRIu64 ")",
                 sim_client_kind_name(s->op.kind), s->key_text, value.len, number);
    return number;
}

/* ---- The history -------------------------------------------------------------------------------------------- */

static void note_call(struct slot *s)
{
    static const enum history_kind kinds[] = {
        [SIM_CLIENT_PUT] = HISTORY_PUT,         [SIM_CLIENT_DELETE] = HISTORY_DELETE,
        [SIM_CLIENT_GET] = HISTORY_GET,         [SIM_CLIENT_CAS] = HISTORY_CAS,
        [SIM_CLIENT_CAS_GET] = HISTORY_CAS_GET, [SIM_CLIENT_CAS_DELETE] = HISTORY_CAS_DELETE,
    };
    struct workload *w = s->w;
    const struct sim_client_op *op = &s->op;
    s->called = ++w->clock;
    s->called_ns = sim_cluster_now(w->cluster);
    if (op->kind == SIM_CLIENT_TSO)
        return;
    bool writes_value = op->kind == SIM_CLIENT_PUT || op->kind == SIM_CLIENT_CAS;
    struct history_call call = {
        .client = s->number,
        .at = sim_cluster_now(w->cluster),
        .kind = kinds[op->kind],
        .key = op->key,
        .value = writes_value ? bytes_from(&s->value, NUMBER) : (struct bytes){ 0 },
        .expected = op->expected,
        .conditional = op->conditional,
    };
    s->in_history = history_begin(w->history, &call);
}

static void note_stamps(struct slot *s)
{
    struct workload *w = s->w;
    if (s->op.outcome != SIM_CLIENT_DONE)
        return;
    if (w->stamp_count == w->stamp_cap) {
        w->stamp_cap = 2 * w->stamp_cap + 64;
        w->stamps = realloc(w->stamps, w->stamp_cap * sizeof *w->stamps);
        if (w->stamps == NULL)
            abort();
    }
    w->stamps[w->stamp_count++] = (struct stamps){ s->op.first, s->op.count, s->called, w->clock };
}

static enum history_outcome outcome_of(const struct sim_client_op *op)
{
    if (op->outcome == SIM_CLIENT_UNDETERMINED)
        return HISTORY_UNDETERMINED;
    if (op->outcome == SIM_CLIENT_NOT_DONE)
        return HISTORY_FAILED;
    if (op->code == ERR_CONFLICT)
        return HISTORY_CONFLICT;
    bool read = op->kind == SIM_CLIENT_GET || op->kind == SIM_CLIENT_CAS_GET;
    return op->code == ERR_NOT_FOUND || (read && !op->found) ? HISTORY_NOT_FOUND : HISTORY_OK;
}

static void note_answer(struct slot *s)
{
    struct workload *w = s->w;
    const struct sim_client_op *op = &s->op;
    w->clock++;
    if (op->kind == SIM_CLIENT_TSO) {
        note_stamps(s);
        return;
    }
    struct history_answer a = { .at = sim_cluster_now(w->cluster), .outcome = outcome_of(op) };
    uint64_t number = 0;
    bool versioned = op->kind == SIM_CLIENT_CAS || op->kind == SIM_CLIENT_CAS_GET ||
                     op->kind == SIM_CLIENT_CAS_DELETE;
    if (a.outcome == HISTORY_OK && op->found) {
        number = value_number(w, s, buf_bytes(&op->have));
        a.has_value = true;
        a.value = bytes_from(&number, NUMBER);
    }
    /* A NOT_FOUND of cas_delete does not say which tombstone there is. */
    if (versioned && op->outcome == SIM_CLIENT_DONE && op->code != ERR_NOT_FOUND) {
        a.has_version = true;
        a.version = op->version;
        a.absent = a.outcome == HISTORY_CONFLICT && (op->absent || op->version == 0);
        w->seen[s->client][s->key] =
            op->absent || a.outcome == HISTORY_NOT_FOUND ||
                    (op->kind == SIM_CLIENT_CAS_DELETE && a.outcome == HISTORY_OK)
                ? 0
                : op->version;
    }
    history_end(w->history, s->in_history, &a);
}

/* ---- Slots -------------------------------------------------------------------------------------------------- */

/* "put k03 = 17", "cas k03 = 17 if 4", "get k03", "tso 5" */
static void print_asked(const struct slot *s, char *out, size_t cap)
{
    const struct sim_client_op *op = &s->op;
    char value[40] = "", condition[40] = "";
    if (s->value != 0)
        snprintf(value, sizeof value, " = %" PRIu64, s->value);
    if (op->kind == SIM_CLIENT_CAS || op->conditional)
        snprintf(condition, sizeof condition, " if %" PRIu64, op->expected);
    if (op->kind == SIM_CLIENT_TSO)
        snprintf(out, cap, "tso %u", op->count);
    else
        snprintf(out, cap, "%s %s%s%s", sim_client_kind_name(op->kind), s->key_text, value,
                 condition);
}

static void print_answer(const struct slot *s, char *out, size_t cap)
{
    static const char *const outcomes[] = { "", "not done: ", "UNDETERMINED: " };
    const struct sim_client_op *op = &s->op;
    uint64_t number = 0;
    if (op->have.len >= NUMBER)
        memcpy(&number, op->have.data, NUMBER);
    if (op->outcome != SIM_CLIENT_DONE)
        snprintf(out, cap, "%s%s", outcomes[op->outcome],
                 op->code != 0 ? err_name((err_t)op->code) : "no answer");
    else if (op->kind == SIM_CLIENT_TSO)
        snprintf(out, cap, "%" PRIu64, op->first);
    else if (op->kind == SIM_CLIENT_GET || op->kind == SIM_CLIENT_CAS_GET)
        snprintf(out, cap, op->found ? "%" PRIu64 " version %" PRIu64 : "nothing", number,
                 op->version);
    else
        snprintf(out, cap, "%s version %" PRIu64, err_name((err_t)op->code), op->version);
}

static void tell_answer(const struct slot *s)
{
    const struct sim_client_op *op = &s->op;
    char who[12], asked[100], answer[100];
    if (sim_cluster_config(s->w->cluster)->trace == NULL)
        return;
    snprintf(who, sizeof who, "c%u.%u", s->client + 1, s->number + 1);
    print_asked(s, asked, sizeof asked);
    print_answer(s, answer, sizeof answer);
    uint64_t us = (sim_cluster_now(s->w->cluster) - s->called_ns) / 1000;
    sim_cluster_tell(s->w->cluster, who,
                     "%-24s -> %s   (%" PRIu64 ".%03" PRIu64 " ms, n%u, try %u)", asked, answer,
                     us / 1000, us % 1000, op->endpoint + 1, op->tries);
}

static void tell_again(struct sim_client_op *op)
{
    const struct slot *s = container_of(op, struct slot, op);
    char who[12], asked[100];
    if (sim_cluster_config(s->w->cluster)->trace == NULL)
        return;
    snprintf(who, sizeof who, "c%u.%u", s->client + 1, s->number + 1);
    print_asked(s, asked, sizeof asked);
    sim_cluster_tell(s->w->cluster, who, "%-24s .. %s from n%u, try %u", asked,
                     op->code != 0 ? err_name((err_t)op->code) : "the connection is gone",
                     op->endpoint + 1, op->tries);
}

static void count_answer(struct workload *w, const struct sim_client_op *op)
{
    if (op->outcome == SIM_CLIENT_DONE) {
        w->counts.acknowledged++;
        w->counts.kinds[op->kind]++;
        w->counts.conflicts += op->code == ERR_CONFLICT;
    } else if (op->outcome == SIM_CLIENT_UNDETERMINED) {
        w->counts.undetermined++;
    } else {
        w->counts.refused++;
    }
}

static void look_answered(struct workload *w);

static void answered(struct sim_client_op *op)
{
    struct slot *s = container_of(op, struct slot, op);
    struct workload *w = s->w;
    note_answer(s);
    tell_answer(s);
    count_answer(w, op);
    s->busy = false;
    w->busy--;
    if (s->look) {
        look_answered(w);
    } else if (!w->stopped) {
        env_timer_start(sim_cluster_client_env(w->cluster, s->client), &s->think,
                        prng_below(&w->prng, 2 * w->plan.think_ns));
    }
}

static void ask(struct slot *s, enum sim_client_kind kind, unsigned key)
{
    struct workload *w = s->w;
    struct sim_client_op *op = &s->op;
    s->key = key;
    snprintf(s->key_text, sizeof s->key_text, "k%02u", key);
    op->kind = kind;
    op->key = BYTES(s->key_text);
    op->value = (struct bytes){ 0 };
    s->value = 0;
    if (kind == SIM_CLIENT_PUT || kind == SIM_CLIENT_CAS) {
        s->value = ++w->next_value;
        make_value(w, s->value, &s->bytes);
        op->value = buf_bytes(&s->bytes);
    }
    op->conditional = kind == SIM_CLIENT_CAS_DELETE && op->conditional;
    if (kind != SIM_CLIENT_CAS && !op->conditional)
        op->expected = 0;
    op->done = answered;
    op->again = tell_again;
    s->busy = true;
    w->busy++;
    note_call(s);
    sim_client_ask(sim_cluster_client(w->cluster, s->client), op);
}

static enum sim_client_kind draw_kind(struct workload *w)
{
    unsigned all = 0, kind = 0;
    for (unsigned i = 0; i < SIM_CLIENT_KINDS; i++)
        all += w->plan.weight[i];
    for (uint64_t at = prng_below(&w->prng, all); at >= w->plan.weight[kind]; kind++)
        at -= w->plan.weight[kind];
    return (enum sim_client_kind)kind;
}

static void think_over(struct env_timer *timer)
{
    struct slot *s = container_of(timer, struct slot, think);
    struct workload *w = s->w;
    if (w->stopped)
        return;
    unsigned key =
        prng_chance(&w->prng, w->plan.hot, 100) ? 0 : (unsigned)prng_below(&w->prng, w->plan.keys);
    /* Mostly the version that it knows; sometimes one that cannot be right. */
    uint64_t known = w->seen[s->client][key];
    s->op.expected = prng_chance(&w->prng, 1, 8) ? prng_below(&w->prng, known + 2) : known;
    s->op.conditional = prng_chance(&w->prng, 2, 3);
    s->op.count = (uint32_t)prng_range(&w->prng, 1, 20);
    s->op.patience_ns = prng_range(&w->prng, 200 * MS, 6 * SECOND);
    ask(s, draw_kind(w), key);
}

/* ---- The look ----------------------------------------------------------------------------------------------- */

/* One after the other: a put, a get and a stamp, then all keys. */
static void look_next(struct workload *w)
{
    static const enum sim_client_kind first[] = { SIM_CLIENT_PUT, SIM_CLIENT_GET, SIM_CLIENT_TSO };
    struct slot *s = &w->looker;
    if (w->look_at == w->look_end)
        return;
    unsigned at = w->look_at++;
    s->op.expected = 0;
    s->op.conditional = false;
    s->op.count = 1;
    s->op.patience_ns = 5 * SECOND;
    if (at < 3)
        ask(s, first[at], w->plan.keys); /* a key of its own */
    else
        ask(s, at % 2 == 1 ? SIM_CLIENT_GET : SIM_CLIENT_CAS_GET, (at - 3) / 2);
}

/* A connection from before a crash is noticed by the first request on it, which may be a write in doubt: so each gets
 * served in the end, if not at the first try. */
static void look_answered(struct workload *w)
{
    bool again =
        w->looker.op.outcome != SIM_CLIENT_DONE && sim_cluster_now(w->cluster) < w->look_until;
    if (again)
        w->look_at--;
    else
        w->look_failed += w->looker.op.outcome != SIM_CLIENT_DONE;
    look_next(w);
}

void workload_look(struct workload *w, unsigned endpoint, bool all_keys)
{
    w->look_until = sim_cluster_now(w->cluster) + LOOK_NS;
    sim_client_prefer(sim_cluster_client(w->cluster, w->looker.client), endpoint);
    w->look_at = w->look_failed = 0;
    w->look_end = all_keys ? 3 + 2 * (w->plan.keys + 1) : 3;
    look_next(w);
}

unsigned workload_look_failed(const struct workload *w)
{
    return w->look_failed;
}

/* ---- Checks ------------------------------------------------------------------------------------------------- */

static int by_called(const void *a, const void *b)
{
    const struct stamps *x = a, *y = b;
    return x->called < y->called ? -1 : x->called > y->called;
}

static int by_first(const void *a, const void *b)
{
    const struct stamps *x = a, *y = b;
    return x->first < y->first ? -1 : x->first > y->first;
}

static int by_returned(const void *a, const void *b)
{
    const struct stamps *x = *(struct stamps *const *)a, *y = *(struct stamps *const *)b;
    return x->returned < y->returned ? -1 : x->returned > y->returned;
}

/* Whatever was returned before a call is below what the call got. */
static bool stamps_grow(const struct workload *w, struct buf *why)
{
    const struct stamps **returned = calloc(w->stamp_count + 1, sizeof *returned);
    if (returned == NULL)
        abort();
    for (size_t i = 0; i < w->stamp_count; i++)
        returned[i] = &w->stamps[i];
    qsort(returned, w->stamp_count, sizeof *returned, by_returned);
    bool ok = true;
    size_t at = 0;
    uint64_t above = 0;
    for (size_t i = 0; ok && i < w->stamp_count; i++) {
        for (; at < w->stamp_count && returned[at]->returned < w->stamps[i].called; at++)
            if (returned[at]->first + returned[at]->count > above)
                above = returned[at]->first + returned[at]->count;
        ok = w->stamps[i].first >= above;
        if (!ok)
            (void)!buf_printf(why, "timestamp %" PRIu64 " was given after %" PRIu64 "\n",
                              w->stamps[i].first, above - 1);
    }
    free(returned);
    return ok;
}

static bool stamps_sound(struct workload *w, struct buf *why)
{
    if (w->stamp_count == 0)
        return true;
    qsort(w->stamps, w->stamp_count, sizeof *w->stamps, by_first);
    for (size_t i = 1; i < w->stamp_count; i++)
        if (w->stamps[i].first < w->stamps[i - 1].first + w->stamps[i - 1].count) {
            (void)!buf_printf(why, "timestamp %" PRIu64 " was given twice\n", w->stamps[i].first);
            return false;
        }
    qsort(w->stamps, w->stamp_count, sizeof *w->stamps, by_called);
    return stamps_grow(w, why);
}

const char *workload_fault(const struct workload *w)
{
    return w->fault[0] != '\0' ? w->fault : NULL;
}

enum linear_verdict workload_check(struct workload *w, struct buf *why)
{
    if (w->fault[0] != '\0' || !stamps_sound(w, why)) {
        (void)!buf_printf(why, "%s%s", w->fault, w->fault[0] != '\0' ? "\n" : "");
        return LINEAR_NO;
    }
    struct linear_report report;
    enum linear_verdict verdict =
        linear_check(w->history, &(struct linear_options){ .explanations = 1 }, &report);
    size_t bad = 0;
    for (size_t i = 0; i < report.count; i++) {
        const struct linear_register *r = &report.registers[i];
        if (r->verdict == LINEAR_YES || bad++ > 0)
            continue;
        (void)!buf_printf(why, "%s %.*s: %s (%zu operations; times in ns)\n%.*s",
                          r->versioned ? "versioned key" : "key", (int)r->key.len,
                          (const char *)r->key.data, linear_verdict_name(r->verdict), r->operations,
                          (int)r->why.len, r->why.len > 0 ? (const char *)r->why.data : "");
    }
    if (bad > 1)
        (void)!buf_printf(why, "and %zu more registers\n", bad - 1);
    linear_report_free(&report);
    return verdict;
}

const struct history *workload_history(const struct workload *w)
{
    return w->history;
}

void workload_counts(const struct workload *w, struct workload_counts *ret)
{
    *ret = w->counts;
    for (unsigned i = 0; i < sim_cluster_config(w->cluster)->clients; i++) {
        const struct sim_client_counts *c = sim_client_counts(sim_cluster_client(w->cluster, i));
        ret->retries += c->retries;
        ret->hints += c->hints;
        ret->drops += c->drops;
    }
}

unsigned workload_busy(const struct workload *w)
{
    return w->busy;
}

/* ---- Birth and end ------------------------------------------------------------------------------------------ */

void workload_draw(struct workload_plan *p, struct prng *prng)
{
    static const unsigned values[] = { 0, 40, 40, 300, 300, 3000 };
    memset(p, 0, sizeof *p);
    p->slots = (unsigned)prng_range(prng, 1, 4);
    p->keys = (unsigned)prng_range(prng, 2, 16);
    p->hot = prng_chance(prng, 1, 3) ? 70 : 0;
    p->value_max = values[prng_below(prng, 6)];
    for (unsigned i = 0; i < SIM_CLIENT_KINDS; i++)
        p->weight[i] = (unsigned)prng_range(prng, 1, 10);
    /* Some ten operations a second over all clients: thousands in ten minutes. */
    p->think_ns = p->slots * prng_range(prng, 150 * MS, 400 * MS);
}

static void slot_init(struct workload *w, struct slot *s, unsigned client, unsigned number)
{
    s->w = w;
    s->client = client;
    s->number = number;
    s->think.fire = think_over;
}

struct workload *workload_new(struct sim_cluster *c, uint64_t seed,
                              const struct workload_plan *plan)
{
    struct workload *w = calloc(1, sizeof *w);
    unsigned clients = sim_cluster_config(c)->clients;
    assert(w != NULL && plan->slots <= SLOTS_MAX && plan->keys < KEYS_MAX && clients >= 1);
    w->cluster = c;
    w->plan = *plan;
    w->history = history_new();
    prng_seed(&w->prng, seed);
    for (unsigned i = 0; i < clients * plan->slots; i++) {
        struct slot *s = &w->slots[w->slot_count++];
        slot_init(w, s, i % clients, i);
        env_timer_start(sim_cluster_client_env(c, s->client), &s->think,
                        prng_below(&w->prng, 2 * plan->think_ns));
    }
    slot_init(w, &w->looker, 0, w->slot_count);
    w->looker.look = true;
    return w;
}

void workload_stop(struct workload *w)
{
    w->stopped = true;
}

void workload_free(struct workload *w)
{
    if (w == NULL)
        return;
    for (unsigned i = 0; i < w->slot_count; i++) {
        buf_free(&w->slots[i].bytes);
        buf_free(&w->slots[i].op.have);
    }
    buf_free(&w->looker.bytes);
    buf_free(&w->looker.op.have);
    history_free(w->history);
    free(w->stamps);
    free(w);
}
