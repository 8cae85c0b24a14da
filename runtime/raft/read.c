/* Linearizable reads without a log entry (thesis 6.4): one number, the sequence, instead of a context per request.
 *
 *   asked:      index = commit now, seq = the next round       (a leader without a commit in its term: later)
 *   heartbeat:  carries the newest seq; an answer carries it back, and confirms all older ones too
 *   confirmed:  a quorum of each half answered with >= seq: the reads up to seq may be served
 *
 * The round starts after the request, so an old leader cannot be confirmed by answers from before. */
#include "raft_int.h"

#include <assert.h>
#include <string.h>

static bool committed_in_term(const struct raft *r)
{
    raft_term term;
    return raft_log_term(&r->log, r->log.commit, &term) && term == r->term;
}

void raft_read_answer(struct raft *r, raft_index index, uint64_t ctx)
{
    struct raft_answers *a = &r->turn->reads;
    assert(a->n < a->cap);
    a->reads[a->n++] = (struct raft_read){ .index = index, .ctx = ctx };
}

static void answer(struct raft *r, const struct raft_wait *w)
{
    if (w->from == r->cfg.id)
        raft_read_answer(r, w->index, w->ctx);
    else
        raft_send(
            r, (struct raft_msg){
                   .type = RAFT_MSG_READ_RESP, .to = w->from, .index = w->index, .ctx = w->ctx });
}

/* A round of heartbeats for what waits, unless we are a quorum ourselves: then nobody else can lead. */
static void begin_round(struct raft *r)
{
    uint32_t waiting = r->nwaits;
    raft_read_confirmed(r);
    if (r->nwaits == waiting)
        raft_leader_heartbeat(r);
}

void raft_read_asked(struct raft *r, raft_id from, uint64_t ctx)
{
    struct raft_wait w = { .from = from, .ctx = ctx };
    assert(r->nwaits < r->waits_cap);
    /* In a group of one too: its commit index may be stale after a restart. */
    if (!committed_in_term(r)) {
        r->waits[r->nwaits++] = w;
        return;
    }
    w.index = r->log.commit;
    if (raft_lease_valid(r)) {
        answer(r, &w);
        return;
    }
    w.seq = ++r->read_seq;
    r->waits[r->nwaits++] = w;
    begin_round(r);
}

void raft_read_committed(struct raft *r)
{
    bool round = false;
    if (r->nwaits == 0 || !committed_in_term(r))
        return;
    for (uint32_t i = 0; i < r->nwaits; i++)
        if (r->waits[i].seq == 0) {
            r->waits[i].index = r->log.commit;
            r->waits[i].seq = r->read_seq + 1;
            round = true;
        }
    if (!round)
        return;
    r->read_seq++;
    begin_round(r);
}

void raft_read_confirmed(struct raft *r)
{
    raft_index acks[RAFT_MAX_PEERS];
    for (unsigned i = 0; i < r->conf.n; i++)
        acks[i] = r->conf.id[i] == r->cfg.id ? r->read_seq : r->peers[i].read_ack;
    uint64_t confirmed = quorum_committed(r->conf.voters, r->conf.outgoing, acks);
    if (r->lease_seq != 0 && confirmed >= r->lease_seq) {
        /* From the time of sending (trap D37). Those who answered wait for one election minimum, of which the first
         * tick may come at once; a tenth of the rest is for clocks that differ. */
        r->lease_until = r->lease_sent + (uint64_t)(r->cfg.election_tick - 1) * 9 / 10;
        r->lease_seq = 0;
    }
    uint32_t done = 0;
    while (done < r->nwaits && r->waits[done].seq != 0 && r->waits[done].seq <= confirmed)
        answer(r, &r->waits[done++]);
    r->nwaits -= done;
    if (done > 0 && r->nwaits > 0)
        memmove(r->waits, r->waits + done, r->nwaits * sizeof *r->waits);
}

void raft_read_drop(struct raft *r)
{
    r->nwaits = 0;
    raft_read_end_lease(r);
}

void raft_read_end_lease(struct raft *r)
{
    r->lease_seq = 0;
    r->lease_until = 0;
}

bool raft_lease_valid(const struct raft *r)
{
    return r->role == RAFT_LEADER && raft_flag(r, RAFT_LEASE_READ) && committed_in_term(r) &&
           r->ticks < r->lease_until;
}
