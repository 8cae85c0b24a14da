/* Roles: which may follow which, and what a change of role forgets.
 *
 *                 +--------------- higher term, or a leader of this term ----------------+
 *                 v                                                                       |
 *   start --> FOLLOWER -- timeout --> PRECANDIDATE -- a quorum would --> CANDIDATE --> LEADER
 *                 |                        |  (RAFT_PREVOTE)               ^
 *                 +-- told to (transfer), or without pre-votes ------------+
 *
 * The vote belongs to the term: it survives every change of role within it. */
#include "raft_int.h"

#include <assert.h>

static const unsigned role_next[] = {
    [RAFT_FOLLOWER] = 1u << RAFT_FOLLOWER | 1u << RAFT_PRECANDIDATE | 1u << RAFT_CANDIDATE,
    [RAFT_PRECANDIDATE] = 1u << RAFT_FOLLOWER | 1u << RAFT_PRECANDIDATE | 1u << RAFT_CANDIDATE,
    [RAFT_CANDIDATE] =
        1u << RAFT_FOLLOWER | 1u << RAFT_PRECANDIDATE | 1u << RAFT_CANDIDATE | 1u << RAFT_LEADER,
    [RAFT_LEADER] = 1u << RAFT_FOLLOWER,
};

static void role_move(struct raft *r, enum raft_role next)
{
    assert(role_next[r->role] & 1u << next);
    r->role = next;
}

static void new_timeout(struct raft *r)
{
    r->election_timeout = r->cfg.election_tick;
    if (!r->cfg.no_jitter)
        r->election_timeout += (uint32_t)prng_below(&r->prng, r->cfg.election_tick);
}

static void reset(struct raft *r, raft_term term)
{
    if (term != r->term) {
        r->term = term;
        r->vote = RAFT_NONE; /* and only then: within a term a vote survives every change of role */
    }
    r->lead = RAFT_NONE;
    r->transferee = RAFT_NONE;
    r->election_elapsed = r->heartbeat_elapsed = 0;
    r->granted = r->rejected = 0;
    r->pending_conf = 0;
    r->uncommitted = 0;
    r->gather = false;
    new_timeout(r);
    raft_read_drop(r);
    for (unsigned i = 0; i < r->conf.n; i++) {
        struct raft_peer *p = &r->peers[i];
        struct raft_flight flight = { .ring = p->flight.ring, .cap = p->flight.cap };
        *p = (struct raft_peer){ .next = raft_log_last(&r->log) + 1, .flight = flight };
        if (r->conf.id[i] == r->cfg.id)
            p->match = r->log.stable; /* others may elect us before our own disk has caught up */
    }
}

void raft_role_follower(struct raft *r, raft_term term, raft_id lead)
{
    role_move(r, RAFT_FOLLOWER);
    reset(r, term);
    r->lead = lead;
}

/* Asks without a new term: nobody is disturbed by a node that cannot win. */
void raft_role_precandidate(struct raft *r)
{
    role_move(r, RAFT_PRECANDIDATE);
    r->granted = r->rejected = 0;
    r->lead = RAFT_NONE; /* a known leader would keep us from granting others */
}

void raft_role_candidate(struct raft *r)
{
    role_move(r, RAFT_CANDIDATE);
    reset(r, r->term + 1);
    r->vote = r->cfg.id;
}

void raft_role_leader(struct raft *r)
{
    struct raft_ent empty = { .type = RAFT_ENT_NORMAL };
    role_move(r, RAFT_LEADER);
    reset(r, r->term);
    r->lead = r->cfg.id;
    struct raft_peer *self = raft_self(r);
    raft_peer_replicate(self);
    self->active = true;
    r->transfers = 0;
    r->promise =
        (struct raft_promise){ .term = r->term }; /* what we owed an older leader is over: we won */
    /* There may be an unapplied change in the log: none may be proposed before all of it is applied. */
    r->pending_conf = raft_log_last(&r->log);
    raft_leader_append_own(r, &empty, 1); /* what older terms left commits with it */
}

bool raft_role_promotable(const struct raft *r)
{
    int place = conf_find(&r->conf, r->cfg.id);
    return place >= 0 && !(r->conf.learners & conf_bit((unsigned)place)) && r->log.snap == NULL;
}
