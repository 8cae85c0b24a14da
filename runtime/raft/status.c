/* Facts about a group; nothing here changes it. */
#include "raft_int.h"

void raft_status(const struct raft *r, struct raft_status *ret)
{
    *ret = (struct raft_status){ .id = r->cfg.id,
                                 .lead = r->lead,
                                 .vote = r->vote,
                                 .transferee = r->transferee,
                                 .term = r->term,
                                 .role = r->role,
                                 .first = r->log.base + 1,
                                 .last = raft_log_last(&r->log),
                                 .commit = r->log.commit,
                                 .applying = r->log.applying,
                                 .applied = r->log.applied,
                                 .stable = r->log.stable,
                                 .conf = r->conf,
                                 .broken = r->why_broken != NULL,
                                 .why = r->why_broken };
    ret->bytes = sizeof *r + r->conf.n * sizeof *r->peers + r->log.cap * sizeof *r->log.runs +
                 r->waits_cap * sizeof *r->waits + raft_turn_bytes(r);
    for (unsigned i = 0; i < r->conf.n; i++) {
        const struct raft_peer *p = &r->peers[i];
        ret->bytes += p->flight.cap * sizeof *p->flight.ring;
        ret->peers[i] = (struct raft_peer_status){
            .id = r->conf.id[i],
            .state = (enum raft_peer_state)p->state,
            .match = p->match,
            .next = p->next,
            .pending_snap = p->pending_snap,
            .learner = (r->conf.learners & conf_bit(i)) != 0,
            .paused = raft_peer_paused(p),
            .active = p->active,
            .full = raft_peer_full(p, &r->window),
            .inflight = p->flight.count,
        };
    }
}

raft_id raft_lead(const struct raft *r)
{
    return r->lead;
}

enum raft_role raft_role(const struct raft *r)
{
    return r->role;
}

raft_term raft_term_now(const struct raft *r)
{
    return r->term;
}

raft_index raft_commit(const struct raft *r)
{
    return r->log.commit;
}

raft_index raft_applied(const struct raft *r)
{
    return r->log.applied;
}

raft_index raft_last(const struct raft *r)
{
    return raft_log_last(&r->log);
}

bool raft_term_of(const struct raft *r, raft_index index, raft_term *ret)
{
    return raft_log_term(&r->log, index, ret);
}

bool raft_broken(const struct raft *r)
{
    return r->why_broken != NULL;
}

void raft_set_election_timeout(struct raft *r, uint32_t ticks)
{
    r->election_timeout = ticks;
}
