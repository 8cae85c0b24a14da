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

static err_t box_reserve(struct raft *r, struct raft_box *box, uint32_t room)
{
    if (box->cap - box->n >= room)
        return ERR_OK;
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

void raft_box_free(struct raft *r, struct raft_box *box)
{
    box_clear(r, box);
    r->cfg.mem(r->cfg.mem_ctx, box->msgs, 0);
    *box = (struct raft_box){ 0 };
}

/* Room for what one call may do at most: a message of every kind to every member, an answer to every waiting read,
 * an entry of our own, `runs` more runs in the log. Whatever fails, nothing has changed. */
err_t raft_reserve(struct raft *r, uint32_t runs)
{
    uint32_t members = r->conf.n + 1u;
    uint32_t room = 4 * members + r->nwaits + 4;
    err_t rc = box_reserve(r, &r->out, room);
    if (rc == ERR_OK)
        rc = box_reserve(r, &r->after, members + 4);
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
    if (rc == ERR_OK && r->reads_cap < r->nreads + r->nwaits + 2) {
        uint32_t cap = 2 * (r->nreads + r->nwaits + 4);
        void *reads = r->cfg.mem(r->cfg.mem_ctx, r->reads, cap * sizeof *r->reads);
        if (reads == NULL)
            return ERR_NOMEM;
        r->reads = reads;
        r->reads_cap = cap;
    }
    return rc;
}

bool raft_room(struct raft *r)
{
    return box_reserve(r, &r->out, r->nwaits + 4) == ERR_OK;
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
    struct raft_box *box = promise ? &r->after : &r->out;
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
    for (uint32_t i = 0; i < r->out.n; i++) {
        const struct raft_msg *m = &r->out.msgs[i];
        if (m->type == RAFT_MSG_APP && m->nents > 0 && m->first <= to && m->first + m->nents > from)
            return true;
    }
    return false;
}

void raft_forget_appends(struct raft *r, raft_index from)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < r->out.n; i++) {
        const struct raft_msg *m = &r->out.msgs[i];
        if (m->type != RAFT_MSG_APP || m->nents == 0 || m->first + m->nents <= from)
            r->out.msgs[kept++] = *m;
    }
    r->out.n = kept;
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
    return r->why_broken == NULL &&
           (r->lead != r->lead_given || r->role != r->role_given ||
            !hs_equal(hard_state(r), r->hs_given) || (l->snap != NULL && !l->snap_staged) ||
            r->out.n > 0 || r->after.n > 0 || r->gather || l->staged < raft_log_last(l) ||
            may_apply(r) || r->nreads > 0);
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
    bool entries = rd->ents.lo < rd->ents.hi;
    if (entries || rd->hs_changed || rd->snap != NULL || r->resp.n > 0) {
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
            r->resp.msgs[r->resp.n++] = (struct raft_msg){
                .type = RAFT_MSG_STORE_APPEND_RESP,
                .from = RAFT_APPEND_THREAD,
                .to = r->cfg.id,
                .term = r->term,
                .index = unstable ? raft_log_last(l) : 0,
                .log_term = unstable ? raft_log_last_term(l) : 0,
                .hint = rd->snap != NULL ? rd->snap->index : 0,
                .snap = rd->snap,
            };
        m.resp = r->resp.msgs;
        m.nresp = r->resp.n;
        r->given.msgs[r->given.n++] = m;
    }
    if (rd->committed.lo < rd->committed.hi) {
        uint32_t n = (uint32_t)(rd->committed.hi - rd->committed.lo);
        r->apply_done = (struct raft_msg){ .type = RAFT_MSG_STORE_APPLY_RESP,
                                           .from = RAFT_APPLY_THREAD,
                                           .to = r->cfg.id,
                                           .first = rd->committed.lo,
                                           .nents = n,
                                           .hint = apply_bytes };
        r->given.msgs[r->given.n++] = (struct raft_msg){ .type = RAFT_MSG_STORE_APPLY,
                                                         .from = r->cfg.id,
                                                         .to = RAFT_APPLY_THREAD,
                                                         .first = rd->committed.lo,
                                                         .nents = n,
                                                         .resp = &r->apply_done,
                                                         .nresp = 1 };
    }
}

static void give_sync(struct raft *r, const struct raft_ready *rd, uint64_t apply_bytes)
{
    struct raft_log *l = &r->log;
    for (uint32_t i = 0; i < r->resp.n; i++) {
        struct raft_box *box = r->resp.msgs[i].to == r->cfg.id ? &r->self : &r->given;
        box->msgs[box->n++] = r->resp.msgs[i];
    }
    r->resp.n = 0;
    if (l->stable < raft_log_last(l) || rd->snap != NULL)
        r->self.msgs[r->self.n++] = (struct raft_msg){
            .type = RAFT_MSG_STORE_APPEND_RESP,
            .from = RAFT_APPEND_THREAD,
            .to = r->cfg.id,
            .term = r->term,
            .index = l->stable < raft_log_last(l) ? raft_log_last(l) : 0,
            .log_term = raft_log_last_term(l),
            .hint = rd->snap != NULL ? rd->snap->index : 0,
        };
    if (rd->committed.lo < rd->committed.hi)
        r->self.msgs[r->self.n++] =
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

const struct raft_ready *raft_ready(struct raft *r)
{
    struct raft_log *l = &r->log;
    struct raft_ready *rd = &r->ready;
    assert(!r->ready_out); /* one at a time: raft_advance() ends it */
    *rd = (struct raft_ready){ .lead = r->lead, .role = r->role, .hs = hard_state(r) };
    if (r->gather && r->why_broken == NULL && raft_reserve(r, 0) == ERR_OK) {
        r->gather = false;
        raft_leader_broadcast(r);
    }
    if (r->why_broken != NULL || box_reserve(r, &r->given, r->out.n + r->after.n + 2) != ERR_OK ||
        box_reserve(r, &r->self, r->after.n + 2) != ERR_OK ||
        box_reserve(r, &r->after, 2) !=
            ERR_OK) { /* nothing is handed out, nothing is lost: ask again */
        r->ready_out = true;
        return rd;
    }
    rd->soft_changed = r->lead != r->lead_given || r->role != r->role_given;
    rd->hs_changed = !hs_equal(rd->hs, r->hs_given);
    rd->ents = (struct raft_range){ l->staged + 1, raft_log_last(l) + 1 };
    rd->must_sync = rd->ents.lo < rd->ents.hi || rd->hs.term != r->hs_given.term ||
                    rd->hs.vote != r->hs_given.vote;
    if (l->snap != NULL && !l->snap_staged)
        rd->snap = l->snap;
    uint64_t apply_bytes = take_committed(r, &rd->committed);

    if (r->out.n > 0)
        memcpy(r->given.msgs, r->out.msgs, r->out.n * sizeof *r->out.msgs);
    r->given.n = r->out.n;
    r->out.n = 0;
    box_swap(&r->after, &r->resp);
    if (sync_mode(r))
        give_sync(r, rd, apply_bytes);
    else
        give_async(r, rd, apply_bytes);
    l->staged = raft_log_last(l);
    l->snap_staged = l->snap != NULL;

    rd->msgs = r->given.msgs;
    rd->nmsgs = r->given.n;
    rd->reads = r->reads;
    rd->nreads = r->nreads;
    r->lead_given = r->lead;
    r->role_given = r->role;
    r->hs_given = rd->hs;
    r->ready_out = true;
    return rd;
}

void raft_advance(struct raft *r)
{
    assert(r->ready_out);
    r->ready_out = false;
    box_clear(r, &r->given);
    r->resp.n = 0;
    r->nreads -= r->ready.nreads;
    if (r->nreads > 0)
        memmove(r->reads, r->reads + r->ready.nreads, r->nreads * sizeof *r->reads);
    /* Stepping an ack may send, never add to `self`. */
    for (uint32_t i = 0; i < r->self.n; i++)
        (void)!raft_step(r, &r->self.msgs[i]);
    r->self.n = 0;
}

void raft_trim(struct raft *r)
{
    struct raft_box *boxes[] = { &r->out, &r->after, &r->self, &r->given, &r->resp };
    if (r->ready_out)
        return;
    for (size_t i = 0; i < sizeof boxes / sizeof boxes[0]; i++)
        if (boxes[i]->n == 0)
            raft_box_free(r, boxes[i]);
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
    if (r->nreads == 0) {
        r->cfg.mem(r->cfg.mem_ctx, r->reads, 0);
        r->reads = NULL;
        r->reads_cap = 0;
    }
}
