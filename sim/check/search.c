/* The search for a linearization, after Wing and Gong ("Testing and verifying concurrent objects", 1993) with Lowe's
 * list and memory ("Testing for linearizability", 2017):
 *
 *   the list   ^ call 0   ^ call 1   v return 0   ^ call 2   v return 2   ...      in the order of time
 *              calls before the first return are enabled: each of them may be the next in the order
 *   lifting    an operation leaves the list with both its entries when it is put into the order, and comes back
 *              when the search takes that back
 *   memory     a configuration (the set of lifted operations, the state) that failed once fails again (memo.h)
 *
 * A search through all orders is exponential. Most choices are none, though; what is left out here is left out because
 * an order that exists can be changed into one that takes the step proposed. With s the present state, in which no
 * enabled look is accepted any more (rule 1 has taken them), such an order begins with a write.
 *
 * 1. An enabled look that is accepted is taken at once. It changes nothing, and nothing has to come before it.
 *
 * 2. Of enabled twins (equal writes) only the one that returns first is tried. If the order takes twin b now, and a
 *    later or never, let them change places: a is enabled already, and what stands between them was called before a's
 *    return, thus before b's.
 *
 * 3. An enabled write after which rule 1 leaves nobody who needs its value is taken, and nothing else is tried: it
 *    settles. Plain registers only: take it and its lookers out of their places in the order and put them in front.
 *    What stood behind it there is a write, which needs no state, and so is what stands in front now. With rules 1
 *    to 3 a plain register of distinct values is searched without a single choice: every value either settles when it
 *    is chosen or never can.
 *
 * 4. A configuration is doomed if an answered operation needs a value other than the present one that nobody is left
 *    to write; or if it needs a version that was left behind. Undetermined operations that need such a version are
 *    lifted without effect, so that configurations which differ in them alone are one.
 *
 * 5. Undetermined operations need not be taken, and end when all answered ones are. In a plain register one whose
 *    value nobody saw is left out from the start: out of the order too, since a write follows it or nothing does.
 *
 * An order that was found is replayed against the model and the times by `replay`, which knows none of these rules:
 * LINEAR_YES rests on that alone. That LINEAR_NO is right is tested against exhaustive search (search_test.c). */
#include "search.h"

#include <assert.h>

#include "memo.h"

#define DROPPED 0x80000000u /* in the trail: lifted without effect */

struct frame {
    size_t trail;             /* its length in this configuration */
    struct model_state state; /* of this configuration */
    size_t at, end;           /* the candidates that were not tried yet */
};

struct search {
    struct model *m;
    struct model_state state;
    size_t left; /* answered operations in the list */

    /* Entries: 0 is the head, 2i + 1 the call of operation i, 2i + 2 its return. */
    uint32_t *next, *prev;
    uint64_t *needs;            /* by operation: the value or version, NOBODY if there is none */
    uint32_t *need, *supply;    /* by value or version: answered operations in the list; writes */
    uint64_t places;            /* of them */
    size_t doomed;              /* values that are needed and cannot come again */
    uint32_t *expiring, *chain; /* by version, by operation: undetermined operations that need it */
    bool *lifted;
    bool hopeless; /* an operation needs a version beyond all */

    uint32_t *trail;
    size_t trail_len;
    struct mark mark;
    struct frame *frames;
    size_t depth, frames_cap;
    uint32_t *candidates;
    size_t candidates_len, candidates_cap;
    size_t open; /* candidates of all frames together */
    uint64_t *twin_seen;
    size_t *twin_at; /* by twin: a candidate of the frame that is being made, valid if seen in it */
    uint64_t *ready_seen;
    uint32_t *ready; /* by value: enabled looks that need it, likewise */
    uint64_t round;
    struct memo memo;
    uint64_t configurations;
};

#define NOBODY UINT64_MAX

static bool is_call(uint32_t entry)
{
    return entry % 2 == 1;
}
static uint32_t op_of(uint32_t entry)
{
    return (entry - 1) / 2;
}
static bool is_answered(const struct model_op *op)
{
    return op->ret != MODEL_NEVER;
}
static bool has_values(const struct search *s)
{
    return s->m->family == MODEL_PLAIN || s->m->family == MODEL_SWAP;
}

/* ---- The list ------------------------------------------------------------------------------ */

static void unlink_entry(struct search *s, uint32_t entry)
{
    s->next[s->prev[entry]] = s->next[entry];
    s->prev[s->next[entry]] = s->prev[entry];
}

static void relink_entry(struct search *s, uint32_t entry)
{
    s->next[s->prev[entry]] = entry;
    s->prev[s->next[entry]] = entry;
}

struct event {
    uint64_t time;
    uint32_t entry;
};

/* At equal times calls come first: such operations are concurrent. */
static int by_time(const void *one, const void *other)
{
    const struct event *x = one, *y = other;
    if (x->time != y->time)
        return x->time < y->time ? -1 : 1;
    if (is_call(x->entry) != is_call(y->entry))
        return is_call(x->entry) ? -1 : 1;
    return x->entry < y->entry ? -1 : 1;
}

static size_t list_events(struct search *s, struct event *events)
{
    size_t count = 0;
    for (uint32_t i = 0; i < s->m->count; i++) {
        const struct model_op *op = &s->m->ops[i];
        if (s->lifted[i])
            continue;
        events[count++] = (struct event){ op->call, 2 * i + 1 };
        if (is_answered(op))
            events[count++] = (struct event){ op->ret, 2 * i + 2 };
    }
    qsort(events, count, sizeof *events, by_time);
    return count;
}

static void make_list(struct search *s)
{
    struct event *events = texts_zeroed(2 * s->m->count, sizeof *events);
    size_t count = list_events(s, events);
    uint32_t last = 0;
    for (size_t i = 0; i < count; i++) {
        s->next[last] = events[i].entry;
        s->prev[events[i].entry] = last;
        last = events[i].entry;
    }
    s->next[last] = 0;
    s->prev[0] = last;
    free(events);
}

/* ---- Who needs what ------------------------------------------------------------------------ */

static bool is_doomed(const struct search *s, uint64_t value)
{
    return s->need[value] > 0 && s->supply[value] == 0;
}

/* Operation `i` enters (+1) or leaves (-1) the list. */
static void count_op(struct search *s, uint32_t i, int by)
{
    const struct model_op *op = &s->m->ops[i];
    uint64_t needs = is_answered(op) ? s->needs[i] : NOBODY;
    uint32_t makes = has_values(s) ? model_makes(s->m, op) : MODEL_NONE;
    if (needs != NOBODY) {
        s->doomed -= is_doomed(s, needs);
        s->need[needs] += (uint32_t)by;
        s->doomed += is_doomed(s, needs);
    }
    if (makes != MODEL_NONE) {
        s->doomed -= is_doomed(s, makes);
        s->supply[makes] += (uint32_t)by;
        s->doomed += is_doomed(s, makes);
    }
    if (is_answered(op))
        s->left += (size_t)by;
}

static void find_needs(struct search *s)
{
    for (uint32_t i = 0; i < s->m->count; i++) {
        const struct model_op *op = &s->m->ops[i];
        uint64_t needs;
        s->needs[i] = NOBODY;
        if (!model_needs(s->m, op, &needs))
            continue;
        if (s->m->family == MODEL_VERSIONED)
            needs -= s->m->start.version;
        if (needs < s->places)
            s->needs[i] = needs;
        else if (is_answered(op))
            s->hopeless = true;
        else
            s->lifted[i] = true; /* it can never take effect */
    }
}

static void chain_expiring(struct search *s)
{
    for (uint64_t v = 0; v < s->places; v++) {
        s->expiring[v] = MODEL_NONE;
        s->supply[v] = s->m->family == MODEL_VERSIONED; /* versions come, one after the other */
    }
    for (uint32_t i = 0; i < s->m->count; i++)
        if (s->m->family == MODEL_VERSIONED && s->needs[i] != NOBODY &&
            !is_answered(&s->m->ops[i])) {
            s->chain[i] = s->expiring[s->needs[i]];
            s->expiring[s->needs[i]] = i;
        }
}

/* Rule 5: what needs no place in the list. */
static void leave_out(struct search *s)
{
    for (uint32_t i = 0; i < s->m->count; i++) {
        const struct model_op *op = &s->m->ops[i];
        bool unseen = s->m->family == MODEL_PLAIN && !model_looks(op) && s->need[op->value] == 0;
        if (!is_answered(op) && (model_looks(op) || unseen) && !s->lifted[i]) {
            count_op(s, i, -1);
            s->lifted[i] = true;
        }
    }
}

/* ---- Moving -------------------------------------------------------------------------------- */

static void lift(struct search *s, uint32_t i, uint32_t how)
{
    unlink_entry(s, 2 * i + 1);
    if (is_answered(&s->m->ops[i]))
        unlink_entry(s, 2 * i + 2);
    count_op(s, i, -1);
    s->lifted[i] = true;
    s->mark = mark_mix(s->mark, mark_of(i, 0));
    s->trail[s->trail_len++] = i | how;
}

static void go_back(struct search *s, size_t trail, struct model_state state)
{
    while (s->trail_len > trail) {
        uint32_t i = s->trail[--s->trail_len] & ~DROPPED;
        if (is_answered(&s->m->ops[i]))
            relink_entry(s, 2 * i + 2);
        relink_entry(s, 2 * i + 1);
        count_op(s, i, 1);
        s->lifted[i] = false;
        s->mark = mark_mix(s->mark, mark_of(i, 0));
    }
    s->state = state;
}

/* Rule 1. */
static void take_looks(struct search *s)
{
    for (uint32_t entry = s->next[0], then; is_call(entry); entry = then) {
        uint32_t i = op_of(entry);
        const struct model_op *op = &s->m->ops[i];
        bool take = model_looks(op) && model_accepts(s->m, op, s->state);
        if (take)
            lift(s, i, 0);
        then = s->next[entry]; /* a lifted entry still knows who followed it */
        if (take && then == entry + 1 && s->lifted[i])
            then = s->next[then]; /* its own return, which went with it */
    }
}

/* Rule 4, of versions: false if somebody needs the one that is left. */
static bool leave_version(struct search *s, uint64_t version)
{
    if (s->need[version] > 0)
        return false;
    for (uint32_t i = s->expiring[version]; i != MODEL_NONE; i = s->chain[i])
        if (!s->lifted[i])
            lift(s, i, DROPPED);
    return true;
}

/* Rule 4, of values. In a plain register what is needed now and was not taken by rule 1 stays so. */
static bool is_alive(const struct search *s)
{
    if (!has_values(s))
        return true;
    bool now = is_doomed(s, s->state.value);
    return s->doomed == now && !(now && s->m->family == MODEL_PLAIN);
}

/* Puts write `i` next, and all looks that follow. False if that leads nowhere; go_back() takes it back. */
static bool take(struct search *s, uint32_t i)
{
    uint64_t version = s->state.version - s->m->start.version;
    s->state = model_after(s->m, &s->m->ops[i], s->state);
    lift(s, i, 0);
    if (s->m->family == MODEL_VERSIONED && !leave_version(s, version))
        return false;
    take_looks(s);
    return is_alive(s);
}

/* ---- Choosing ------------------------------------------------------------------------------ */

static void add_candidate(struct search *s, uint32_t i)
{
    if (s->candidates_len == s->candidates_cap) {
        s->candidates_cap = 2 * s->candidates_cap + 64;
        s->candidates =
            texts_must(realloc(s->candidates, s->candidates_cap * sizeof *s->candidates));
    }
    s->candidates[s->candidates_len++] = i;
}

/* Rule 2. */
static void note_write(struct search *s, uint32_t i)
{
    const struct model_op *ops = s->m->ops;
    uint32_t twin = ops[i].twin;
    if (s->twin_seen[twin] != s->round) {
        s->twin_seen[twin] = s->round;
        s->twin_at[twin] = s->candidates_len;
        add_candidate(s, i);
    } else if (ops[i].ret < ops[s->candidates[s->twin_at[twin]]].ret) {
        s->candidates[s->twin_at[twin]] = i;
    }
}

static void note_look(struct search *s, uint32_t i)
{
    if (s->m->family != MODEL_PLAIN)
        return;
    uint64_t value = s->needs[i];
    if (s->ready_seen[value] != s->round) {
        s->ready_seen[value] = s->round;
        s->ready[value] = 0;
    }
    s->ready[value]++;
}

/* Gathers the enabled operations; answers the first return, 0 if there is none. */
static uint32_t gather(struct search *s)
{
    uint32_t entry = s->next[0];
    s->round++;
    for (; is_call(entry); entry = s->next[entry]) {
        uint32_t i = op_of(entry);
        const struct model_op *op = &s->m->ops[i];
        if (model_looks(op))
            note_look(s, i);
        else if (model_accepts(s->m, op, s->state))
            note_write(s, i);
    }
    return entry;
}

/* Does it settle, by rule 3? Only what is enabled now can be taken with it, unless the first return is its own or one
 * of its lookers': then more becomes enabled, and it is tried. */
static bool settles(struct search *s, uint32_t i, uint32_t first_return)
{
    uint64_t value = s->m->ops[i].value;
    uint32_t ready = s->ready_seen[value] == s->round ? s->ready[value] : 0;
    if (s->need[value] == ready)
        return true;
    uint32_t first = op_of(first_return);
    if (first_return == 0 || (first != i && s->needs[first] != value))
        return false;
    size_t trail = s->trail_len;
    struct model_state state = s->state;
    take(s, i);
    bool settled = s->need[value] == 0;
    go_back(s, trail, state);
    return settled;
}

/* What rule 3 leaves of the candidates from `from` on. */
static void choose_plain(struct search *s, size_t from, uint32_t first_return)
{
    size_t kept = from;
    for (size_t c = from; c < s->candidates_len; c++) {
        uint32_t i = s->candidates[c];
        if (settles(s, i, first_return)) {
            s->candidates[from] = i;
            s->candidates_len = from + 1;
            return;
        }
        if (s->supply[s->m->ops[i].value] > 1) /* or its lookers are lost with it */
            s->candidates[kept++] = i;
    }
    s->candidates_len = kept;
}

/* The earliest return first: that is how most histories went. */
static void sort_candidates(struct search *s, size_t from)
{
    const struct model_op *ops = s->m->ops;
    for (size_t c = from + 1; c < s->candidates_len; c++) {
        uint32_t i = s->candidates[c];
        size_t at = c;
        for (; at > from && ops[s->candidates[at - 1]].ret > ops[i].ret; at--)
            s->candidates[at] = s->candidates[at - 1];
        s->candidates[at] = i;
    }
}

/* The present configuration becomes the top frame. */
static void push_frame(struct search *s)
{
    if (s->depth == s->frames_cap) {
        s->frames_cap = 2 * s->frames_cap + 64;
        s->frames = texts_must(realloc(s->frames, s->frames_cap * sizeof *s->frames));
    }
    size_t from = s->candidates_len;
    uint32_t first_return = gather(s);
    if (s->m->family == MODEL_PLAIN)
        choose_plain(s, from, first_return);
    sort_candidates(s, from);
    s->frames[s->depth++] = (struct frame){
        .trail = s->trail_len, .state = s->state, .at = from, .end = s->candidates_len
    };
    s->open += s->candidates_len - from;
    s->configurations++;
}

/* False if this configuration was here before. Where nothing is left to try elsewhere, none comes again. */
static bool is_new(struct search *s)
{
    if (s->open == 0)
        return true;
    return memo_add(&s->memo, mark_mix(s->mark, mark_of(s->state.version, 1 + s->state.value)));
}

static void pop_frame(struct search *s)
{
    s->depth--;
    s->candidates_len = s->depth > 0 ? s->frames[s->depth - 1].end : 0;
}

/* ---- Proof --------------------------------------------------------------------------------- */

/* The trail is an order: every answered operation is in it once, accepted where it stands, and none stands before one
 * that had returned when it was called. */
static void replay(struct search *s)
{
    struct model *m = s->m;
    struct model_state state = m->start;
    bool *taken = texts_zeroed(m->count, sizeof *taken);
    for (size_t at = 0; at < s->trail_len; at++) {
        uint32_t i = s->trail[at];
        if (i & DROPPED)
            continue;
        const struct model_op *op = &m->ops[i];
        assert(!taken[i] && model_accepts(m, op, state));
        taken[i] = true;
        if (!model_looks(op))
            state = model_after(m, op, state);
    }
    for (uint32_t i = 0; i < m->count; i++)
        assert(taken[i] || !is_answered(&m->ops[i]));
    uint64_t earliest = MODEL_NEVER; /* return of those behind */
    for (size_t at = s->trail_len; at-- > 0;) {
        uint32_t i = s->trail[at];
        if (i & DROPPED)
            continue;
        assert(m->ops[i].call <= earliest);
        if (m->ops[i].ret < earliest)
            earliest = m->ops[i].ret;
    }
    free(taken);
}

/* ---- The search ---------------------------------------------------------------------------- */

static void search_begin(struct search *s, struct model *m)
{
    size_t n = m->count;
    *s = (struct search){ .m = m, .state = m->start };
    s->places = m->family == MODEL_VERSIONED ? n + 1 : m->values;
    s->next = texts_zeroed(2 * n + 1, sizeof *s->next);
    s->prev = texts_zeroed(2 * n + 1, sizeof *s->prev);
    s->needs = texts_zeroed(n, sizeof *s->needs);
    s->need = texts_zeroed(s->places, sizeof *s->need);
    s->supply = texts_zeroed(s->places, sizeof *s->supply);
    s->expiring = texts_zeroed(s->places, sizeof *s->expiring);
    s->chain = texts_zeroed(n, sizeof *s->chain);
    s->lifted = texts_zeroed(n, sizeof *s->lifted);
    s->trail = texts_zeroed(n, sizeof *s->trail);
    s->twin_seen = texts_zeroed(n, sizeof *s->twin_seen);
    s->twin_at = texts_zeroed(n, sizeof *s->twin_at);
    s->ready_seen = texts_zeroed(s->places, sizeof *s->ready_seen);
    s->ready = texts_zeroed(s->places, sizeof *s->ready);
    find_needs(s);
    chain_expiring(s);
    for (uint32_t i = 0; i < n; i++)
        if (!s->lifted[i])
            count_op(s, i, 1);
    leave_out(s);
    make_list(s);
}

static void search_end(struct search *s)
{
    void *all[] = { s->next,    s->prev,       s->needs,  s->need,   s->supply,
                    s->chain,   s->expiring,   s->lifted, s->trail,  s->twin_seen,
                    s->twin_at, s->ready_seen, s->ready,  s->frames, s->candidates };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        free(all[i]);
    memo_free(&s->memo);
}

static enum linear_verdict search(struct search *s, uint64_t most)
{
    take_looks(s);
    if (s->hopeless || !is_alive(s))
        return LINEAR_NO;
    if (s->left > 0)
        push_frame(s);
    while (s->left > 0) {
        if (s->depth == 0)
            return LINEAR_NO;
        struct frame *top = &s->frames[s->depth - 1];
        go_back(s, top->trail, top->state);
        if (top->at == top->end) {
            pop_frame(s);
            continue;
        }
        s->open--;
        if (!take(s, s->candidates[top->at++]) || s->left == 0 || !is_new(s))
            continue;
        if (s->configurations >= most)
            return LINEAR_UNKNOWN;
        push_frame(s);
    }
    return LINEAR_YES;
}

struct search_result search_run(struct model *m, uint64_t budget)
{
    struct search s;
    search_begin(&s, m);
    uint64_t most = budget < UINT64_MAX - m->count ? budget + m->count : UINT64_MAX;
    enum linear_verdict verdict = search(&s, most);
    if (verdict == LINEAR_YES)
        replay(&s);
    struct search_result ret = { verdict, s.configurations };
    search_end(&s);
    return ret;
}
