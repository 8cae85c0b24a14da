/* The history that nobody in the group has, and the invariants over it (raft.md section 5; numbers are those of its
 * table). The white-box ones, votes and durable logs, notice a broken quorum long before two leaders meet. */
#include "group_int.h"

#include <stdlib.h>
#include <string.h>

#define U(x) ((unsigned long)(x))

static void *zeroed(size_t n, size_t size)
{
    void *memory = calloc(n, size);
    if (memory == NULL)
        abort();
    return memory;
}

void check_init(struct group *g)
{
    g->leader_of = zeroed(GROUP_TERM_MAX, sizeof *g->leader_of);
    g->voted = zeroed((size_t)GROUP_TERM_MAX * GROUP_MEMBERS_MAX, sizeof *g->voted);
    g->commit_term = zeroed(GROUP_INDEX_MAX, sizeof *g->commit_term);
    g->commit_value = zeroed(GROUP_INDEX_MAX, sizeof *g->commit_value);
    g->commit_in = zeroed(GROUP_INDEX_MAX, sizeof *g->commit_in);
    g->chain_at = zeroed(GROUP_INDEX_MAX, sizeof *g->chain_at);
    g->commit_term[1] = 1; /* the snapshot that everybody begins with */
    g->chain_at[1] = 1;
    g->committed = 1;
}

void check_free(struct group *g)
{
    free(g->leader_of);
    free(g->voted);
    free(g->commit_term);
    free(g->commit_value);
    free(g->commit_in);
    free(g->chain_at);
    free(g->reads);
}

static unsigned popcount(unsigned mask)
{
    return (unsigned)__builtin_popcount(mask);
}

static bool majority_of_each(const struct raft_conf *c, uint16_t have)
{
    return 2 * popcount(have & c->voters) > popcount(c->voters) &&
           (c->outgoing == 0 || 2 * popcount(have & c->outgoing) > popcount(c->outgoing));
}

/* ---- Leaders and votes -------------------------------------------------------------------------------------- */

static void check_new_leader(struct member *m, const struct raft_status *s)
{
    struct group *g = m->g;
    raft_id *leader = &g->leader_of[s->term];
    uint16_t granted = 0;
    g->ret->counts.elections++;
    if (*leader != RAFT_NONE && *leader != m->id)
        group_fail(g, "term %lu has two leaders, %lu and %lu (I1)", U(s->term), U(*leader),
                   U(m->id));
    *leader = m->id;
    for (unsigned i = 0; i < s->conf.n; i++) {
        bool own = s->conf.id[i] == m->id && m->d_hs.term == s->term && m->d_hs.vote == m->id;
        if (own || g->voted[s->term * GROUP_MEMBERS_MAX + s->conf.id[i] - 1] == m->id)
            granted |= (uint16_t)(1u << i);
    }
    if (!majority_of_each(&s->conf, granted))
        group_fail(g, "member %lu leads term %lu without the votes of a quorum (I3)", U(m->id),
                   U(s->term));
    for (raft_index i = s->first; i <= g->committed;
         i++) { /* from its base on: what is before was committed */
        raft_term term = 0;
        if (g->commit_term[i] != 0 &&
            g->commit_in[i] < s->term && /* late votes may elect a leader of long ago */
            (!raft_term_of(m->r, i, &term) || term != g->commit_term[i])) {
            group_fail(g, "leader %lu of term %lu lacks committed entry %lu (I8)", U(m->id),
                       U(s->term), U(i));
            return;
        }
    }
}

/* ---- Commit ------------------------------------------------------------------------------------------------- */

/* A leader that advances its commit index: a majority of each half has the entry on its disk (I7). */
static void check_quorum_log(struct member *m, const struct raft_status *s)
{
    struct group *g = m->g;
    uint16_t have = 0;
    raft_term term = 0;
    if (!raft_term_of(m->r, s->commit, &term))
        return;
    if (term != s->term)
        group_fail(g, "leader %lu of term %lu commits entry %lu of term %lu by counting (I10)",
                   U(m->id), U(s->term), U(s->commit), U(term));
    for (unsigned i = 0; i < s->conf.n; i++) {
        const struct member *peer = &g->members[s->conf.id[i] - 1];
        raft_term durable;
        if (s->commit < peer->d_snap.index || peer->d_hs.term > s->term ||
            (member_durable_term(peer, s->commit, &durable) && durable == term))
            have |= (uint16_t)(1u << i);
    }
    if (!majority_of_each(&s->conf, have))
        group_fail(g, "leader %lu commits %lu/%lu, which a majority does not have on disk (I7)",
                   U(m->id), U(term), U(s->commit));
}

static void check_commit(struct member *m, const struct raft_status *s)
{
    struct group *g = m->g;
    if (s->commit < m->seen_commit)
        group_fail(g, "the commit index of %lu went back from %lu to %lu (I11)", U(m->id),
                   U(m->seen_commit), U(s->commit));
    if (s->commit == m->seen_commit)
        return;
    if (s->role == RAFT_LEADER && m->seen_role == RAFT_LEADER && m->seen_term == s->term)
        check_quorum_log(m, s);
    raft_index from = m->seen_commit + 1 > s->first ? m->seen_commit + 1 : s->first;
    for (raft_index i = from; i <= s->commit && i < GROUP_INDEX_MAX; i++) {
        raft_term term = 0;
        if (!raft_term_of(m->r, i, &term))
            continue;
        uint64_t value = m->log[i - m->first].value;
        if (g->commit_term[i] == 0) {
            g->commit_term[i] = term;
            g->commit_value[i] = value;
            g->commit_in[i] = s->term; /* its leader is the first to know */
            g->ret->counts.committed++;
        } else if (g->commit_term[i] != term || g->commit_value[i] != value) {
            group_fail(g, "entry %lu is committed as %lu/%lu, and as %lu/%lu on %lu (I6)", U(i),
                       U(g->commit_term[i]), U(g->commit_value[i]), U(term), U(value), U(m->id));
        }
    }
    if (s->commit > g->committed)
        g->committed = s->commit;
    m->seen_commit = s->commit;
}

/* ---- Progress ----------------------------------------------------------------------------------------------- */

static void check_matches(struct member *m, const struct raft_status *s)
{
    struct group *g = m->g;
    bool same = m->led_term == s->term;
    for (unsigned i = 0; i < s->conf.n; i++) {
        const struct raft_peer_status *p = &s->peers[i];
        const struct member *peer = &g->members[p->id - 1];
        raft_term mine, durable;
        bool moved_on =
            peer->d_hs.term > s->term; /* what it acknowledged to us may be cut by now */
        if (moved_on)
            ;
        else if (p->match > peer->d_snap.index + peer->d_count)
            group_fail(g, "leader %lu believes that %lu has %lu, its disk ends at %lu (I12)",
                       U(m->id), U(p->id), U(p->match), U(peer->d_snap.index + peer->d_count));
        else if (raft_term_of(m->r, p->match, &mine) &&
                 member_durable_term(peer, p->match, &durable) && mine != durable)
            group_fail(g, "leader %lu believes that %lu has %lu/%lu, it has %lu there (I12)",
                       U(m->id), U(p->id), U(mine), U(p->match), U(durable));
        if (p->pending_snap != 0 && p->state != RAFT_SNAPSHOT)
            group_fail(g, "member %lu has a pending snapshot in another state (I14)", U(p->id));
        for (unsigned k = 0; same && k < RAFT_MAX_PEERS; k++)
            if (m->seen_match_id[k] == p->id && p->match < m->seen_match[k] && p->match != 0)
                group_fail(g, "the match of %lu went back from %lu to %lu (I11)", U(p->id),
                           U(m->seen_match[k]), U(p->match));
        if (p->inflight > g->swarm.max_inflight)
            group_fail(g, "%u appends are on their way to %lu (I14, I19)", p->inflight, U(p->id));
    }
    memset(m->seen_match_id, 0, sizeof m->seen_match_id);
    for (unsigned i = 0; i < s->conf.n; i++) {
        m->seen_match_id[i] = s->conf.id[i];
        m->seen_match[i] = s->peers[i].match;
    }
    m->led_term = s->term;
}

/* While a lease is claimed, nobody else may lead a later term, clocks of equal rate granted (I17). */
static void check_lease(struct member *m, const struct raft_status *s)
{
    struct group *g = m->g;
    if (!raft_lease_valid(m->r))
        return;
    g->ret->counts.leases++;
    g->leased_at = g->event;
    for (unsigned i = 0; i < g->swarm.members; i++) {
        struct member *other = &g->members[i];
        struct raft_status o;
        if (!other->up || other == m)
            continue;
        raft_status(other->r, &o);
        if (o.role == RAFT_LEADER && o.term > s->term)
            group_fail(g, "%lu holds a lease of term %lu while %lu leads term %lu (I17)", U(m->id),
                       U(s->term), U(other->id), U(o.term));
    }
}

/* Whoever sleeps has nothing left to do; a leader that does knows the same of everybody (trap D40). */
static void check_sleep(struct member *m, const struct raft_status *s)
{
    struct group *g = m->g;
    if (!raft_asleep(m->r))
        return;
    bool done = s->applied == s->last && s->stable == s->last && s->conf.outgoing == 0 &&
                s->transferee == RAFT_NONE && raft_deadline(m->r) == UINT32_MAX;
    for (unsigned i = 0; s->role == RAFT_LEADER && i < s->conf.n; i++)
        done = done && s->peers[i].match == s->last;
    if (!done)
        group_fail(g, "%lu sleeps, and something is left to do (D40)", U(m->id));
}

void check_member(struct member *m)
{
    struct group *g = m->g;
    struct raft_status s;
    if (!m->up || group_failed(g))
        return;
    raft_status(m->r, &s);
    if (s.broken) {
        group_fail(g, "the group broke on %lu: %s", U(m->id), s.why);
        return;
    }
    if (s.term >= GROUP_TERM_MAX || s.last >= GROUP_INDEX_MAX)
        return; /* group.c ends the run before it comes to that */
    if (s.term < m->seen_term)
        group_fail(g, "the term of %lu went back from %lu to %lu (I11)", U(m->id), U(m->seen_term),
                   U(s.term));
    if (s.role == RAFT_LEADER && (m->seen_role != RAFT_LEADER || m->seen_term != s.term))
        check_new_leader(m, &s);
    check_commit(m, &s);
    if (s.role == RAFT_LEADER)
        check_matches(m, &s);
    if (m->cfg.flags & RAFT_LEASE_READ)
        check_lease(m, &s);
    check_sleep(m, &s);
    m->seen_term = s.term;
    m->seen_role = s.role;
    group_mix(g, s.term << 32 ^ s.commit << 8 ^ (uint64_t)s.role ^ m->id << 56);
}

/* ---- What leaves a member ----------------------------------------------------------------------------------- */

void check_sent(struct group *g, const struct member *from, const struct raft_msg *m)
{
    group_mix(g, (uint64_t)m->type ^ m->to << 8 ^ m->term << 16 ^ m->index << 32 ^ m->commit << 48 ^
                     m->nents);
    if (m->term >= GROUP_TERM_MAX)
        return;
    if (m->type == RAFT_MSG_VOTE_RESP && !m->reject) {
        raft_id *to = &g->voted[m->term * GROUP_MEMBERS_MAX + from->id - 1];
        if (*to != RAFT_NONE && *to != m->to)
            group_fail(g, "%lu votes for %lu and for %lu in term %lu (I2)", U(from->id), U(*to),
                       U(m->to), U(m->term));
        *to = m->to;
    }
    bool promise = m->type == RAFT_MSG_APP_RESP || m->type == RAFT_MSG_VOTE_RESP;
    if (promise && m->term > from->d_hs.term)
        group_fail(g, "%lu promises something in term %lu, its disk knows term %lu (I18)",
                   U(from->id), U(m->term), U(from->d_hs.term));
    /* An ack of an older term may leave behind the write that cut those entries: whoever moved to a later term had
     * them in mind when it voted, and the older leader's quorum cannot be complete without somebody who did not. */
    if (m->type == RAFT_MSG_APP_RESP && !m->reject && m->term == from->d_hs.term &&
        m->index > from->d_snap.index + from->d_count)
        group_fail(g, "%lu acknowledges %lu, its disk ends at %lu (I12)", U(from->id), U(m->index),
                   U(from->d_snap.index + from->d_count));
    if (m->type == RAFT_MSG_SNAP)
        g->ret->counts.snapshots++;
}

void check_applied(struct member *m, raft_index index, const struct group_ent *ent)
{
    struct group *g = m->g;
    raft_term durable;
    if (index >= GROUP_INDEX_MAX)
        return;
    if ((m->cfg.flags & RAFT_ASYNC) &&
        (!member_durable_term(m, index, &durable) || durable != ent->term))
        group_fail(g, "%lu applies %lu, which its disk does not have (I13)", U(m->id), U(index));
    if (g->commit_term[index] != 0 &&
        (g->commit_term[index] != ent->term || g->commit_value[index] != ent->value))
        group_fail(g, "%lu applies %lu/%lu at %lu, committed was %lu/%lu (I9)", U(m->id),
                   U(ent->term), U(ent->value), U(index), U(g->commit_term[index]),
                   U(g->commit_value[index]));
    if (g->chain_at[index] == 0)
        g->chain_at[index] = m->chain;
    else if (g->chain_at[index] != m->chain)
        group_fail(g, "the state of %lu differs at %lu (I9)", U(m->id), U(index));
}

/* ---- Reads (I16) -------------------------------------------------------------------------------------------- */

void check_read_asked(struct member *m, uint64_t ctx)
{
    struct group *g = m->g;
    if (g->nreads == g->reads_cap) {
        g->reads_cap = g->reads_cap == 0 ? 64 : 2 * g->reads_cap;
        g->reads = realloc(g->reads, g->reads_cap * sizeof *g->reads);
        if (g->reads == NULL)
            abort();
    }
    g->reads[g->nreads++] = (struct group_pending_read){ .member = m->id,
                                                         .incarnation = g->incarnation[m->id - 1],
                                                         .ctx = ctx,
                                                         .committed = g->committed };
}

void check_read_served(struct member *m, const struct raft_read *read)
{
    struct group *g = m->g;
    g->ret->counts.reads_served++;
    for (unsigned i = 0; i < g->nreads; i++) {
        struct group_pending_read *r = &g->reads[i];
        if (r->ctx != read->ctx || r->member != m->id)
            continue;
        if (r->incarnation == g->incarnation[m->id - 1] && read->index < r->committed)
            group_fail(
                g, "a read on %lu is answered at %lu, %lu was committed before it was asked (I16)",
                U(m->id), U(read->index), U(r->committed));
        *r = g->reads[--g->nreads];
        return;
    }
}

/* ---- Now and then, and at the end --------------------------------------------------------------------------- */

/* Equal (index, term) means an equal prefix, as far as both logs still have it (I5). */
void check_logs(struct group *g)
{
    for (unsigned a = 0; a < g->swarm.members; a++)
        for (unsigned b = a + 1; b < g->swarm.members; b++) {
            const struct member *x = &g->members[a], *y = &g->members[b];
            raft_index lo = (x->d_snap.index > y->d_snap.index ? x : y)->d_snap.index + 1;
            raft_index ex = x->d_snap.index + x->d_count, ey = y->d_snap.index + y->d_count;
            bool agree = false;
            for (raft_index i = ex < ey ? ex : ey; i >= lo; i--) {
                const struct group_ent *p = &x->d_log[i - x->d_snap.index - 1];
                const struct group_ent *q = &y->d_log[i - y->d_snap.index - 1];
                agree = agree || p->term == q->term;
                if (agree && (p->term != q->term || p->value != q->value || p->type != q->type)) {
                    group_fail(g, "the logs of %lu and %lu agree later and differ at %lu (I5)",
                               U(x->id), U(y->id), U(i));
                    return;
                }
            }
        }
}

static const char *unsettled(struct group *g)
{
    const struct member *leader = NULL;
    struct raft_status s;
    for (unsigned i = 0; i < g->swarm.members; i++) {
        raft_status(g->members[i].r, &s);
        if (s.role == RAFT_LEADER && (leader == NULL || s.term > leader->seen_term))
            leader = &g->members[i];
    }
    if (leader == NULL)
        return "nobody leads";
    raft_status(leader->r, &s);
    if (s.transferee != RAFT_NONE)
        return "a transfer is pending";
    if (s.conf.outgoing != 0 && s.conf.auto_leave)
        return "a joint configuration is not left";
    for (unsigned i = 0; i < s.conf.n; i++) {
        const struct member *peer = &g->members[s.conf.id[i] - 1];
        if (peer->applied != leader->applied || peer->chain != leader->chain)
            return "a member has not applied what the leader has";
    }
    return NULL;
}

bool check_settled(struct group *g, const char **why)
{
    const char *open = unsettled(g);
    if (why != NULL)
        *why = open;
    return open == NULL;
}
