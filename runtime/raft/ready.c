/* The Ready: everything that has to be done, gathered once per turn; and the boxes that messages wait in.
 *
 *   synchronous    out + after (to others) ---> msgs, to be sent once the write is durable
 *                  after (to ourselves) ------> stepped by raft_advance()
 *   asynchronous   out -----------------------> msgs, to be sent at once
 *                  after ---------------------> the responses of STORE_APPEND, to be sent when its write is durable
 *
 * `after` holds every promise: acks and votes. Nothing in it leaves before what it promises is on disk (trap D30). */
#include "raft_int.h"

#include <assert.h>
#include <string.h>

/* ---- Boxes -------------------------------------------------------------------------------------------------- */

static err_t box_grow(struct raft *r, struct raft_box *box, uint32_t room)
{
    uint32_t cap = box->cap < 8 ? 8 : box->cap;
    while (cap < box->n + room)
        cap *= 2;
    struct raft_msg *msgs = r->cfg.mem(r->cfg.mem_ctx, box->msgs, cap * sizeof *msgs);
    if (msgs == NULL)
        return ERR_NOMEM;
    box->msgs = msgs;
    box->cap = cap;
    return ERR_OK;
}

static inline err_t box_reserve(struct raft *r, struct raft_box *box, uint32_t room)
{
    return box->cap - box->n >= room ? ERR_OK : box_grow(r, box, room);
}

static void box_clear(struct raft *r, struct raft_box *box)
{
    for (uint32_t i = 0; i < box->n; i++) {
        struct raft_msg *m = &box->msgs[i];
        if (m->type == RAFT_MSG_SNAP)
            r->cfg.mem(r->cfg.mem_ctx, (void *)(uintptr_t)m->snap, 0);
        if (m->type == RAFT_MSG_PROP)
            r->cfg.mem(r->cfg.mem_ctx, (void *)(uintptr_t)m->ents, 0);
    }
    box->n = 0;
}

void raft_turn_free(struct raft *r)
{
    struct raft_turn *t = r->turn;
    if (t == NULL)
        return;
    struct raft_box *boxes[] = { &t->out, &t->after, &t->self, &t->given, &t->resp };
    for (size_t i = 0; i < sizeof boxes / sizeof boxes[0]; i++) {
        box_clear(r, boxes[i]);
        r->cfg.mem(r->cfg.mem_ctx, boxes[i]->msgs, 0);
    }
    r->cfg.mem(r->cfg.mem_ctx, t->reads.reads, 0);
    r->cfg.mem(r->cfg.mem_ctx, t->given_reads.reads, 0);
    r->cfg.mem(r->cfg.mem_ctx, t, 0);
    r->turn = NULL;
}

size_t raft_turn_bytes(const struct raft *r)
{
    const struct raft_turn *t = r->turn;
    if (t == NULL)
        return 0;
    uint32_t msgs = t->out.cap + t->after.cap + t->self.cap + t->given.cap + t->resp.cap;
    uint32_t reads = t->reads.cap + t->given_reads.cap;
    return sizeof *t + msgs * sizeof(struct raft_msg) + reads * sizeof(struct raft_read);
}

static err_t turn_reserve(struct raft *r)
{
    if (r->turn != NULL)
        return ERR_OK;
    r->turn = r->cfg.mem(r->cfg.mem_ctx, NULL, sizeof *r->turn);
    if (r->turn == NULL)
        return ERR_NOMEM;
    *r->turn = (struct raft_turn){ 0 };
    return ERR_OK;
}

static err_t answers_reserve(struct raft *r, struct raft_answers *a, uint32_t room)
{
    if (a->cap - a->n >= room)
        return ERR_OK;
    uint32_t cap = 2 * (a->n + room);
    struct raft_read *reads = r->cfg.mem(r->cfg.mem_ctx, a->reads, cap * sizeof *reads);
    if (reads == NULL)
        return ERR_NOMEM;
    a->reads = reads;
    a->cap = cap;
    return ERR_OK;
}

/* Room for what one call may do at most: a message of every kind to every member, an answer to every waiting read,
 * an entry of our own, `runs` more runs in the log. Whatever fails, nothing has changed. */
err_t raft_reserve(struct raft *r, uint32_t runs)
{
    uint32_t members = r->conf.n + 1u;
    uint32_t room = 4 * members + r->nwaits + 4;
    err_t rc = turn_reserve(r);
    if (rc == ERR_OK)
        rc = box_reserve(r, &r->turn->out, room);
    if (rc == ERR_OK)
        rc = box_reserve(r, &r->turn->after, members + 4);
    if (rc == ERR_OK)
        rc = answers_reserve(r, &r->turn->reads, r->nwaits + 2);
    if (rc == ERR_OK)
        rc = raft_log_reserve(&r->log, runs + 2);
    if (rc == ERR_OK && r->waits_cap < r->nwaits + 1) {
        uint32_t cap = r->waits_cap == 0 ? 8 : 2 * r->waits_cap;
        void *waits = r->cfg.mem(r->cfg.mem_ctx, r->waits, cap * sizeof *r->waits);
        if (waits == NULL)
            return ERR_NOMEM;
        r->waits = waits;
        r->waits_cap = cap;
    }
    return rc;
}

bool raft_room(struct raft *r)
{
    return box_reserve(r, &r->turn->out, r->nwaits + 4) == ERR_OK;
}

struct raft_snap *raft_snap_copy(struct raft *r, const struct raft_snap *snap)
{
    struct raft_snap *copy = r->cfg.mem(r->cfg.mem_ctx, NULL, sizeof *copy);
    if (copy != NULL)
        *copy = *snap;
    return copy;
}

void raft_send(struct raft *r, struct raft_msg m)
{
    bool vote = m.type == RAFT_MSG_VOTE || m.type == RAFT_MSG_VOTE_RESP ||
                m.type == RAFT_MSG_PREVOTE || m.type == RAFT_MSG_PREVOTE_RESP;
    bool promise = m.type == RAFT_MSG_APP_RESP || m.type == RAFT_MSG_VOTE_RESP ||
                   m.type == RAFT_MSG_PREVOTE_RESP;
    struct raft_box *box = promise ? &r->turn->after : &r->turn->out;
    if (m.from == RAFT_NONE)
        m.from = r->cfg.id;
    if (!vote && m.type != RAFT_MSG_PROP && m.type != RAFT_MSG_READ)
        m.term = r->term;
    assert(!vote || m.term != 0);
    if (box->n == box->cap && box_reserve(r, box, 1) != ERR_OK) {
        raft_break(r,
                   "no memory for a message"); /* beyond what was reserved: never silently lost */
        return;
    }
    box->msgs[box->n++] = m;
}

/* Messages name their entries by place: these would find others there, or none. */
bool raft_names_entries(const struct raft *r, raft_index from, raft_index to)
{
    for (uint32_t i = 0; r->turn != NULL && i < r->turn->out.n; i++) {
        const struct raft_msg *m = &r->turn->out.msgs[i];
        if (m->type == RAFT_MSG_APP && m->nents > 0 && m->first <= to && m->first + m->nents > from)
            return true;
    }
    return false;
}

void raft_forget_appends(struct raft *r, raft_index from)
{
    struct raft_box *out = &r->turn->out;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < out->n; i++) {
        const struct raft_msg *m = &out->msgs[i];
        if (m->type != RAFT_MSG_APP || m->nents == 0 || m->first + m->nents <= from)
            out->msgs[kept++] = *m;
    }
    out->n = kept;
}

/* ---- Ready -------------------------------------------------------------------------------------------------- */

static struct raft_hs hard_state(const struct raft *r)
{
    return (struct raft_hs){ r->term, r->vote, r->log.commit };
}

static bool hs_equal(struct raft_hs a, struct raft_hs b)
{
    return a.term == b.term && a.vote == b.vote && a.commit == b.commit;
}

static bool sync_mode(const struct raft *r)
{
    return !raft_flag(r, RAFT_ASYNC);
}

static bool may_apply(const struct raft *r)
{
    const struct raft_log *l = &r->log;
    return !l->apply_paused && l->snap == NULL && l->applying < raft_log_appliable(l, sync_mode(r));
}

bool raft_has_ready(const struct raft *r)
{
    const struct raft_log *l = &r->log;
    const struct raft_turn *t = r->turn;
    return r->why_broken == NULL &&
           (r->lead != r->lead_given || r->role != r->role_given ||
            !hs_equal(hard_state(r), r->hs_given) || (l->snap != NULL && !l->snap_staged) ||
            (t != NULL && (t->out.n > 0 || t->after.n > 0 || t->reads.n > 0)) || r->gather ||
            l->staged < raft_log_last(l) || may_apply(r));
}

/* The next committed entries within the limit of what may be on its way to apply. */
static uint64_t take_committed(struct raft *r, struct raft_range *ret)
{
    struct raft_log *l = &r->log;
    uint64_t bytes = 0;
    if (!may_apply(r))
        return 0;
    raft_index lo = l->applying + 1, hi = raft_log_appliable(l, sync_mode(r)) + 1;
    uint32_t n =
        r->cfg.log.fit(r->cfg.log.ctx, lo, hi, l->apply_bytes_max - l->apply_bytes, &bytes);
    if (n == 0) { /* not in the cache: one at a time */
        n = 1;
        bytes = 0;
    }
    *ret = (struct raft_range){ lo, lo + n };
    l->applying = lo + n - 1;
    l->apply_bytes += bytes;
    l->apply_paused = l->apply_bytes >= l->apply_bytes_max || l->applying < hi - 1;
    return bytes;
}

/* The storage threads' work, as messages; `promises` travel with the append. */
static void give_async(struct raft *r, const struct raft_ready *rd, uint64_t apply_bytes)
{
    struct raft_log *l = &r->log;
    struct raft_turn *t = r->turn;
    bool entries = rd->ents.lo < rd->ents.hi;
    if (entries || rd->hs_changed || rd->snap != NULL || t->resp.n > 0) {
        struct raft_msg m = { .type = RAFT_MSG_STORE_APPEND,
                              .from = r->cfg.id,
                              .to = RAFT_APPEND_THREAD,
                              .first = rd->ents.lo,
                              .nents = (uint32_t)(rd->ents.hi - rd->ents.lo),
                              .snap = rd->snap };
        if (rd->hs_changed) {
            m.term = rd->hs.term;
            m.vote = rd->hs.vote;
            m.commit = rd->hs.commit;
        }
        bool unstable = l->stable < raft_log_last(l);
        if (unstable || rd->snap != NULL)
            t->resp.msgs[t->resp.n++] = (struct raft_msg){
                .type = RAFT_MSG_STORE_APPEND_RESP,
                .from = RAFT_APPEND_THREAD,
                .to = r->cfg.id,
                .term = r->term,
                .index = unstable ? raft_log_last(l) : 0,
                .log_term = unstable ? raft_log_last_term(l) : 0,
                .hint = rd->snap != NULL ? rd->snap->index : 0,
                .snap = rd->snap,
            };
        m.resp = t->resp.msgs;
        m.nresp = t->resp.n;
        t->given.msgs[t->given.n++] = m;
    }
    if (rd->committed.lo < rd->committed.hi) {
        uint32_t n = (uint32_t)(rd->committed.hi - rd->committed.lo);
        t->apply_done = (struct raft_msg){ .type = RAFT_MSG_STORE_APPLY_RESP,
                                           .from = RAFT_APPLY_THREAD,
                                           .to = r->cfg.id,
                                           .first = rd->committed.lo,
                                           .nents = n,
                                           .hint = apply_bytes };
        t->given.msgs[t->given.n++] = (struct raft_msg){ .type = RAFT_MSG_STORE_APPLY,
                                                         .from = r->cfg.id,
                                                         .to = RAFT_APPLY_THREAD,
                                                         .first = rd->committed.lo,
                                                         .nents = n,
                                                         .resp = &t->apply_done,
                                                         .nresp = 1 };
    }
}

static void give_sync(struct raft *r, const struct raft_ready *rd, uint64_t apply_bytes)
{
    struct raft_log *l = &r->log;
    struct raft_turn *t = r->turn;
    for (uint32_t i = 0; i < t->resp.n; i++) {
        struct raft_box *box = t->resp.msgs[i].to == r->cfg.id ? &t->self : &t->given;
        box->msgs[box->n++] = t->resp.msgs[i];
    }
    t->resp.n = 0;
    if (l->stable < raft_log_last(l) || rd->snap != NULL)
        t->self.msgs[t->self.n++] = (struct raft_msg){
            .type = RAFT_MSG_STORE_APPEND_RESP,
            .from = RAFT_APPEND_THREAD,
            .to = r->cfg.id,
            .term = r->term,
            .index = l->stable < raft_log_last(l) ? raft_log_last(l) : 0,
            .log_term = raft_log_last_term(l),
            .hint = rd->snap != NULL ? rd->snap->index : 0,
        };
    if (rd->committed.lo < rd->committed.hi)
        t->self.msgs[t->self.n++] =
            (struct raft_msg){ .type = RAFT_MSG_STORE_APPLY_RESP,
                               .from = RAFT_APPLY_THREAD,
                               .to = r->cfg.id,
                               .first = rd->committed.lo,
                               .nents = (uint32_t)(rd->committed.hi - rd->committed.lo),
                               .hint = apply_bytes };
}

static void box_swap(struct raft_box *a, struct raft_box *b)
{
    struct raft_box t = *a;
    *a = *b;
    *b = t;
}

/* Room for all that a Ready may hold. */
static err_t ready_reserve(struct raft *r)
{
    err_t rc = turn_reserve(r);
    struct raft_turn *t = r->turn;
    if (rc == ERR_OK)
        rc = box_reserve(r, &t->out, t->after.n + 2);
    if (rc == ERR_OK)
        rc = box_reserve(r, &t->self, t->after.n + 2);
    if (rc == ERR_OK)
        rc = box_reserve(r, &t->after, 2);
    return rc;
}

/* What waited for this Ready moves into it. */
static void hand_out(struct raft_turn *t)
{
    struct raft_answers answers = t->given_reads;
    box_swap(&t->out, &t->given);
    box_swap(&t->after, &t->resp);
    t->given_reads = t->reads;
    t->reads = answers;
}

const struct raft_ready *raft_ready(struct raft *r)
{
    static const struct raft_ready nothing = { 0 };
    struct raft_log *l = &r->log;
    assert(!r->ready_out); /* one at a time: raft_advance() ends it */
    r->ready_out = true;
    if (r->gather && r->why_broken == NULL && raft_reserve(r, 0) == ERR_OK) {
        r->gather = false;
        raft_leader_broadcast(r);
    }
    if (r->why_broken != NULL || ready_reserve(r) != ERR_OK)
        return &nothing; /* nothing is handed out, nothing is lost: ask again */
    struct raft_turn *t = r->turn;
    struct raft_ready *rd = &t->ready;
    *rd = (struct raft_ready){ .lead = r->lead, .role = r->role, .hs = hard_state(r) };
    rd->soft_changed = r->lead != r->lead_given || r->role != r->role_given;
    rd->hs_changed = !hs_equal(rd->hs, r->hs_given);
    rd->ents = (struct raft_range){ l->staged + 1, raft_log_last(l) + 1 };
    rd->must_sync = rd->ents.lo < rd->ents.hi || rd->hs.term != r->hs_given.term ||
                    rd->hs.vote != r->hs_given.vote;
    if (l->snap != NULL && !l->snap_staged)
        rd->snap = l->snap;
    uint64_t apply_bytes = take_committed(r, &rd->committed);

    hand_out(t);
    if (sync_mode(r))
        give_sync(r, rd, apply_bytes);
    else
        give_async(r, rd, apply_bytes);
    l->staged = raft_log_last(l);
    l->snap_staged = l->snap != NULL;

    rd->msgs = t->given.msgs;
    rd->nmsgs = t->given.n;
    rd->reads = t->given_reads.reads;
    rd->nreads = t->given_reads.n;
    r->lead_given = r->lead;
    r->role_given = r->role;
    r->hs_given = rd->hs;
    return rd;
}

void raft_advance(struct raft *r)
{
    struct raft_turn *t = r->turn;
    assert(r->ready_out);
    r->ready_out = false;
    if (t == NULL)
        return;
    box_clear(r, &t->given);
    t->resp.n = 0;
    t->given_reads.n = 0;
    /* Stepping an ack may send, never add to `self`. */
    for (uint32_t i = 0; i < t->self.n; i++)
        (void)!raft_step(r, &t->self.msgs[i]);
    t->self.n = 0;
}

static bool turn_empty(const struct raft_turn *t)
{
    return t->out.n == 0 && t->after.n == 0 && t->self.n == 0 && t->reads.n == 0;
}

void raft_trim(struct raft *r)
{
    if (r->ready_out)
        return;
    if (r->turn != NULL && turn_empty(r->turn))
        raft_turn_free(r);
    raft_log_trim(&r->log);
    for (unsigned i = 0; i < r->conf.n; i++)
        if (r->peers[i].flight.count == 0) {
            r->cfg.mem(r->cfg.mem_ctx, r->peers[i].flight.ring, 0);
            r->peers[i].flight = (struct raft_flight){ 0 };
        }
    if (r->nwaits == 0) {
        r->cfg.mem(r->cfg.mem_ctx, r->waits, 0);
        r->waits = NULL;
        r->waits_cap = 0;
    }
}
