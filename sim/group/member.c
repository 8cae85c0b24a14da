/* One member: what the driver of a struct raft owes it (raft.h, "The driver's duties"), and a disk that may forget. */
#include "group_int.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static void *must(void *memory)
{
    if (memory == NULL)
        abort();
    return memory;
}

/* ---- Payloads ----------------------------------------------------------------------------------------------- */

static uint64_t ent_bytes(const struct group_ent *ent)
{
    uint8_t cc[RAFT_CC_BYTES_MAX];
    if (ent->type == RAFT_ENT_CONF)
        return raft_cc_encode(&ent->cc, cc);
    return ent->value == 0 ? 0 : sizeof *ent; /* 0: a no-op of the core */
}

static void put_ents(struct group_ent **ents, uint32_t *count, uint32_t *cap, uint32_t at,
                     const struct group_ent *more, uint32_t n)
{
    if (at + n > *cap) {
        *cap = 2 * (at + n) + 16;
        *ents = must(realloc(*ents, *cap * sizeof **ents));
    }
    if (n > 0)
        memcpy(*ents + at, more, n * sizeof **ents);
    *count = at + n;
}

/* The core took entries: its own (a no-op, the end of a joint state), a proposal's, or a message's. Ours carry a
 * struct group_ent as their payload; what the core makes itself is raw. */
static void log_append(void *ctx, const struct raft_ent *ents, uint32_t n)
{
    struct member *m = ctx;
    if (ents[0].index < m->first || ents[0].index > m->first + m->count) {
        m->first = ents[0].index;
        m->count = 0;
    }
    for (uint32_t i = 0; i < n; i++) {
        struct group_ent ent = { .type = ents[i].type };
        if (ents[i].len == sizeof ent)
            memcpy(&ent, ents[i].data, sizeof ent);
        else if (ent.type == RAFT_ENT_CONF &&
                 raft_cc_decode(ents[i].data, ents[i].len, &ent.cc) != ERR_OK)
            group_fail(m->g, "member %lu took a change that does not decode", (unsigned long)m->id);
        ent.term = ents[i].term;
        ent.type = ents[i].type;
        put_ents(&m->log, &m->count, &m->cap, (uint32_t)(ents[i].index - m->first), &ent, 1);
    }
}

static const struct group_ent *payload(const struct member *m, raft_index index)
{
    assert(index >= m->first && index < m->first + m->count);
    return &m->log[index - m->first];
}

static uint32_t log_fit(void *ctx, raft_index lo, raft_index hi, uint64_t max, uint64_t *bytes)
{
    const struct member *m = ctx;
    uint32_t n = 0;
    *bytes = 0;
    for (; lo + n < hi; n++) {
        uint64_t more = ent_bytes(payload(m, lo + n));
        if (n > 0 && *bytes + more > max)
            break;
        *bytes += more;
    }
    return n;
}

static bool log_snapshot(void *ctx, struct raft_snap *ret)
{
    const struct member *m = ctx;
    *ret = (struct raft_snap){ .index = m->applied, .conf = m->conf };
    return m->applied > 0 && raft_term_of(m->r, m->applied, &ret->term);
}

/* ---- Messages ----------------------------------------------------------------------------------------------- */

void msg_free(struct group_msg *msg)
{
    if (msg == NULL)
        return;
    free(msg->ents);
    free(msg);
}

struct group_msg *msg_copy(const struct group_msg *msg)
{
    struct group_msg *copy = must(malloc(sizeof *copy));
    *copy = *msg;
    copy->ents = must(malloc((msg->m.nents + 1u) * sizeof *copy->ents));
    if (msg->m.nents > 0)
        memcpy(copy->ents, msg->ents, msg->m.nents * sizeof *copy->ents);
    return copy;
}

/* The state machine's hash at an index, as somebody applied it first. */
static uint64_t chain_of(const struct member *m, raft_index index)
{
    return index < GROUP_INDEX_MAX ? m->g->chain_at[index] : 0;
}

/* What the core sent, with copies of what it names; handed to the network. */
static void send(struct member *m, const struct raft_msg *out)
{
    struct group_msg msg = { .m = *out };
    struct group_ent *ents = must(malloc((out->nents + 1u) * sizeof *ents));
    for (uint32_t i = 0; i < out->nents; i++) {
        if (out->ents == NULL)
            ents[i] = *payload(m, out->first + i);
        else if (out->ents[i].len == sizeof *ents) /* a forwarded proposal */
            memcpy(&ents[i], out->ents[i].data, sizeof *ents);
        else {
            ents[i] = (struct group_ent){ .type = out->ents[i].type };
            if (ents[i].type == RAFT_ENT_CONF &&
                raft_cc_decode(out->ents[i].data, out->ents[i].len, &ents[i].cc) != ERR_OK)
                group_fail(m->g, "a forwarded change does not decode");
        }
    }
    msg.ents = ents;
    if (out->snap != NULL) {
        msg.snap = *out->snap;
        msg.snap_chain = chain_of(m, out->snap->index);
    }
    check_sent(m->g, m, out);
    msg.m.resp = NULL;
    msg.m.nresp = 0;
    struct group_msg *copy = msg_copy(&msg);
    free(ents);
    group_send(m->g, &copy->m, m); /* takes the copy over: `m` is its first field */
}

void member_step(struct member *m, struct group_msg *msg)
{
    struct raft_msg in = msg->m;
    struct raft_ent *ents = must(malloc((in.nents + 1u) * sizeof *ents));
    for (uint32_t i = 0; i < in.nents; i++)
        ents[i] = (struct raft_ent){ .term = msg->ents[i].term,
                                     .index = in.index + 1 + i,
                                     .type = msg->ents[i].type,
                                     .len = sizeof msg->ents[i],
                                     .data = &msg->ents[i] };
    uint8_t cc[RAFT_CC_BYTES_MAX];
    for (uint32_t i = 0; in.type == RAFT_MSG_PROP && i < in.nents; i++)
        if (ents[i].type == RAFT_ENT_CONF) { /* the leader will look into it */
            ents[i].len = (uint32_t)raft_cc_encode(&msg->ents[i].cc, cc);
            ents[i].data = cc;
        }
    in.ents = ents;
    if (in.snap != NULL)
        in.snap = &msg->snap;
    (void)!raft_step(m->r, &in);
    free(ents);
}

/* ---- The disk ----------------------------------------------------------------------------------------------- */

bool member_durable_term(const struct member *m, raft_index index, raft_term *ret)
{
    if (index < m->d_snap.index || index > m->d_snap.index + m->d_count)
        return false;
    *ret = index == m->d_snap.index ? m->d_snap.term : m->d_log[index - m->d_snap.index - 1].term;
    return true;
}

static void write_apply(struct member *m, struct group_write *w)
{
    if (w->has_snap) {
        m->d_snap = w->snap;
        m->d_chain = w->snap_chain;
        m->d_count = 0;
    }
    if (w->has_hs)
        m->d_hs = w->hs;
    if (w->nents > 0) {
        uint32_t at = (uint32_t)(w->first - m->d_snap.index - 1);
        assert(at <= m->d_count);
        put_ents(&m->d_log, &m->d_count, &m->d_cap, at, w->ents, w->nents);
    }
}

static void write_free(struct group_write *w)
{
    free(w->ents);
    free(w->resp);
}

static void queue_write(struct member *m, bool has_hs, struct raft_hs hs, struct raft_range ents,
                        const struct raft_snap *snap, const struct raft_msg *resp, uint32_t nresp)
{
    assert(m->nwrites < WRITES_MAX);
    struct group_write *w = &m->writes[m->nwrites++];
    *w = (struct group_write){ .has_hs = has_hs, .hs = hs, .first = ents.lo, .nresp = nresp };
    w->nents = (uint32_t)(ents.hi - ents.lo);
    w->ents = must(malloc((w->nents + 1u) * sizeof *w->ents));
    for (uint32_t i = 0; i < w->nents; i++)
        w->ents[i] = *payload(m, ents.lo + i);
    if (snap != NULL) {
        w->has_snap = true;
        w->snap = *snap;
        w->snap_chain = chain_of(m, snap->index);
    }
    w->resp = must(malloc((nresp + 1u) * sizeof *w->resp));
    if (nresp > 0)
        memcpy(w->resp, resp, nresp * sizeof *w->resp);
}

/* The state machine jumps to a snapshot that has become durable. */
static void install(struct member *m, const struct raft_snap *snap, uint64_t chain)
{
    if (snap->index <= m->applied)
        return;
    m->applied = m->seen_applied = snap->index;
    group_tell(m->g, "%lu installs %lu", (unsigned long)m->id, (unsigned long)snap->index);
    m->chain = chain;
    m->conf = snap->conf;
    m->overtaken = false;
}

bool member_write_one(struct member *m)
{
    if (m->nwrites == 0)
        return false;
    struct group_write w = m->writes[0];
    memmove(m->writes, m->writes + 1, (m->nwrites - 1) * sizeof *m->writes);
    m->nwrites--;
    write_apply(m, &w);
    if (w.has_snap)
        install(m, &w.snap, w.snap_chain);
    for (uint32_t i = 0; i < w.nresp; i++) {
        w.resp[i].snap = NULL;
        if (w.resp[i].to == m->id) {
            check_sent(m->g, m, &w.resp[i]);
            (void)!raft_step(m->r, &w.resp[i]);
        } else {
            send(m, &w.resp[i]);
        }
    }
    write_free(&w);
    return true;
}

/* ---- The state machine -------------------------------------------------------------------------------------- */

static struct group_ent *range_copy(const struct member *m, struct raft_range range)
{
    struct group_ent *ents = must(malloc((range.hi - range.lo + 1) * sizeof *ents));
    for (raft_index i = range.lo; i < range.hi; i++)
        ents[i - range.lo] = *payload(m, i);
    return ents;
}

static void apply(struct member *m, struct raft_range range, const struct group_ent *ents)
{
    for (raft_index i = range.lo; i < range.hi && !group_failed(m->g) && !m->overtaken; i++) {
        struct group_ent ent = ents[i - range.lo];
        if (i <= m->applied)
            continue; /* a snapshot has overtaken this work */
        if (i != m->applied + 1) {
            group_fail(m->g, "member %lu applies %lu after %lu", (unsigned long)m->id,
                       (unsigned long)i, (unsigned long)m->applied);
            return;
        }
        uint64_t x = m->chain ^ (ent.value * 0x9e3779b97f4a7c15u) ^ (ent.term << 40) ^ i ^
                     (uint64_t)ent.type << 60;
        m->chain = (x ^ (x >> 29)) * 0xbf58476d1ce4e5b9u | 1;
        m->applied = i;
        if (ent.type == RAFT_ENT_CONF) {
            err_t rc = raft_apply_conf(m->r, &ent.cc, &m->conf);
            if (rc == ERR_FAILED_PRECONDITION) {
                m->overtaken = true;
                return;
            }
            group_tell(m->g, "%lu applies a change at %lu: %s, voters %x outgoing %x learners %x",
                       (unsigned long)m->id, (unsigned long)i, err_name(rc), m->conf.voters,
                       m->conf.outgoing, m->conf.learners);
        }
        check_applied(m, i, &ent);
    }
}

bool member_apply_one(struct member *m)
{
    if (m->napplies == 0)
        return false;
    struct group_apply a = m->applies[0];
    memmove(m->applies, m->applies + 1, (m->napplies - 1) * sizeof *m->applies);
    m->napplies--;
    apply(m, a.range, a.ents);
    free(a.ents);
    if (m->up && !group_failed(m->g))
        (void)!raft_step(m->r, &a.done);
    return true;
}

void member_compact(struct member *m, raft_index index)
{
    raft_term term;
    raft_term durable;
    /* Never above what is applied and durable (trap D35); what the snapshot says must be what was applied there. */
    if (index > m->applied || index <= m->d_snap.index || m->nwrites > 0 ||
        !raft_term_of(m->r, index, &term) || !member_durable_term(m, index, &durable) ||
        durable != term || index != m->applied)
        return;
    if (raft_compacted(m->r, index) != ERR_OK)
        return;
    uint32_t gone = (uint32_t)(index - m->d_snap.index);
    if (m->d_count > gone)
        memmove(m->d_log, m->d_log + gone, (m->d_count - gone) * sizeof *m->d_log);
    m->d_count -= gone;
    m->d_snap = (struct raft_snap){ .index = index, .term = term, .conf = m->conf };
    m->d_chain = m->chain;
    if (m->d_hs.commit < index)
        m->d_hs.commit = index;
    gone = (uint32_t)(index + 1 - m->first);
    if (m->count > gone)
        memmove(m->log, m->log + gone, (m->count - gone) * sizeof *m->log);
    m->count -= gone;
    m->first = index + 1;
    m->g->ret->counts.compactions++;
}

/* ---- Ready -------------------------------------------------------------------------------------------------- */

static bool maybe_crash(struct member *m)
{
    struct group *g = m->g;
    if (g->swarm.crash == 0 || !prng_chance(&g->prng, g->swarm.crash, 20000))
        return false;
    member_crash(m, (unsigned)prng_below(&g->prng, m->nwrites + 1));
    return true;
}

/* Between every two effects the machine may go down. */
static void ready_sync(struct member *m, const struct raft_ready *rd)
{
    if (maybe_crash(m))
        return;
    struct raft_range committed = rd->committed;
    queue_write(m, rd->hs_changed, rd->hs, rd->ents, rd->snap, NULL, 0);
    if (maybe_crash(m))
        return;
    member_write_one(m);
    for (uint32_t i = 0; i < rd->nmsgs; i++) {
        if (maybe_crash(m))
            return;
        send(m, &rd->msgs[i]);
    }
    if (maybe_crash(m))
        return;
    for (uint32_t i = 0; i < rd->nreads; i++)
        check_read_served(m, &rd->reads[i]);
    struct group_ent *ents = range_copy(m, committed);
    apply(m, committed, ents);
    free(ents);
    raft_advance(m->r);
}

static void ready_async(struct member *m, const struct raft_ready *rd)
{
    for (uint32_t i = 0; i < rd->nmsgs; i++) {
        const struct raft_msg *msg = &rd->msgs[i];
        if (msg->to == RAFT_APPEND_THREAD) {
            struct raft_range ents = { msg->first, msg->first + msg->nents };
            bool has_hs = msg->term != 0 || msg->vote != 0 || msg->commit != 0;
            queue_write(m, has_hs, (struct raft_hs){ msg->term, msg->vote, msg->commit }, ents,
                        msg->snap, msg->resp, msg->nresp);
        } else if (msg->to == RAFT_APPLY_THREAD) {
            assert(m->napplies < WRITES_MAX);
            m->applies[m->napplies++] = (struct group_apply){ .range = rd->committed,
                                                              .ents = range_copy(m, rd->committed),
                                                              .done = msg->resp[0] };
        } else {
            send(m, msg);
        }
    }
    for (uint32_t i = 0; i < rd->nreads; i++)
        check_read_served(m, &rd->reads[i]);
    raft_advance(m->r);
}

void member_ready(struct member *m)
{
    if (m->nwrites + 1 >= WRITES_MAX || m->napplies + 1 >= WRITES_MAX || !raft_has_ready(m->r))
        return;
    const struct raft_ready *rd = raft_ready(m->r);
    if (m->cfg.flags & RAFT_ASYNC)
        ready_async(m, rd);
    else
        ready_sync(m, rd);
}

/* ---- Time --------------------------------------------------------------------------------------------------- */

bool member_stalled(const struct member *m)
{
    return m->g->event < m->stalled_until;
}

static uint64_t clock_of(const struct member *m)
{
    return (m->g->now + m->phase) / m->period;
}

void member_catch_up(struct member *m)
{
    if (!m->up || !(m->cfg.flags & RAFT_LEASE_READ))
        return;
    uint64_t ticks = clock_of(m) - m->told;
    m->told += ticks;
    if (ticks > 0)
        raft_tick(m->r, (uint32_t)ticks);
}

/* ---- Life and death ----------------------------------------------------------------------------------------- */

void member_open(struct member *m)
{
    struct raft_run *runs = must(malloc((m->d_count + 1u) * sizeof *runs));
    struct raft_boot boot = { .hs = m->d_hs,
                              .snap = m->d_snap,
                              .runs = runs,
                              .restarted = m->g->incarnation[m->id - 1] > 0 };
    for (uint32_t i = 0; i < m->d_count; i++) {
        bool conf = m->d_log[i].type == RAFT_ENT_CONF;
        if (boot.nruns == 0 || runs[boot.nruns - 1].term != m->d_log[i].term ||
            runs[boot.nruns - 1].conf != conf)
            boot.nruns++;
        runs[boot.nruns - 1] = (struct raft_run){ m->d_snap.index + 1 + i, m->d_log[i].term, conf };
    }
    m->cfg.seed = prng_u64(&m->g->prng);
    m->cfg.log = (struct raft_log_ops){ log_append, log_fit, log_snapshot, m };
    err_t rc = raft_open(&m->cfg, &boot, &m->r);
    free(runs);
    if (rc != ERR_OK) {
        group_fail(m->g, "member %lu does not open after a crash: %s", (unsigned long)m->id,
                   err_name(rc));
        return;
    }
    m->first = m->d_snap.index + 1;
    put_ents(&m->log, &m->count, &m->cap, 0, m->d_log, m->d_count);
    m->applied = m->seen_applied = m->d_snap.index;
    m->chain = m->d_chain;
    m->conf = m->d_snap.conf;
    m->seen_term = m->seen_commit = 0;
    m->seen_role = RAFT_FOLLOWER;
    m->led_term = 0;
    m->overtaken = false;
    m->up = true;
    m->told = clock_of(m);
}

void member_crash(struct member *m, unsigned keep)
{
    for (unsigned i = 0; i < m->nwrites; i++) {
        if (i < keep)
            write_apply(m, &m->writes[i]);
        write_free(&m->writes[i]);
    }
    for (unsigned i = 0; i < m->napplies; i++)
        free(m->applies[i].ents);
    if (keep < m->nwrites)
        m->g->ret->counts.torn++;
    m->nwrites = m->napplies = 0;
    raft_close(m->r);
    m->r = NULL;
    m->up = false;
    m->g->incarnation[m->id - 1]++;
    m->g->ret->counts.crashes++;
    group_tell(m->g, "crash %lu", (unsigned long)m->id);
}

void member_create(struct group *g, raft_id id, const struct raft_conf *conf)
{
    struct member *m = &g->members[id - 1];
    const struct group_swarm *s = &g->swarm;
    *m = (struct member){ .g = g, .id = id };
    m->period = 100 - s->differ / 2 + (uint32_t)prng_below(&g->prng, s->differ + 1);
    m->phase = prng_below(&g->prng, 100);
    m->cfg = (struct raft_cfg){ .id = id,
                                .election_tick = s->election_tick,
                                .heartbeat_tick = s->heartbeat_tick,
                                .flags = s->flags,
                                .max_msg_bytes = s->max_msg_bytes,
                                .max_inflight_msgs = s->max_inflight,
                                .max_inflight_bytes = s->max_inflight_bytes,
                                .max_uncommitted = s->max_uncommitted,
                                .max_apply_bytes = s->max_apply_bytes };
    /* A group begins with a snapshot that everybody has: index 1 of term 1, with the first configuration. */
    if (conf != NULL) {
        m->d_snap = (struct raft_snap){ .index = 1, .term = 1, .conf = *conf };
        m->d_hs = (struct raft_hs){ .term = 1, .commit = 1 };
        m->d_chain = 1;
    }
    member_open(m);
}

void member_free(struct member *m)
{
    for (unsigned i = 0; i < m->nwrites; i++)
        write_free(&m->writes[i]);
    for (unsigned i = 0; i < m->napplies; i++)
        free(m->applies[i].ents);
    raft_close(m->r);
    free(m->log);
    free(m->d_log);
}
