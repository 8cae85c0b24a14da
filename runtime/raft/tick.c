/* Time: election timeouts, heartbeats, the check of the quorum; and when the next of them is due. */
#include "raft_int.h"

static void check_quorum(struct raft *r)
{
    uint16_t active = 0;
    for (unsigned i = 0; i < r->conf.n; i++)
        if (r->peers[i].active)
            active |= conf_bit(i);
    if (!quorum_has(r->conf.voters, r->conf.outgoing, active))
        raft_role_follower(r, r->term, RAFT_NONE);
    for (unsigned i = 0; i < r->conf.n; i++)
        if (r->conf.id[i] != r->cfg.id)
            r->peers[i].active = false;
}

static void tick_leader(struct raft *r)
{
    r->heartbeat_elapsed++;
    r->election_elapsed++;
    if (r->election_elapsed >= r->cfg.election_tick) {
        r->election_elapsed = 0;
        if (raft_flag(r, RAFT_CHECK_QUORUM))
            check_quorum(r);
        if (r->role != RAFT_LEADER)
            return;
        raft_leader_transfer_end(r); /* it had its time */
    }
    if (r->heartbeat_elapsed >= r->cfg.heartbeat_tick) {
        r->heartbeat_elapsed = 0;
        raft_leader_heartbeat(r);
    }
}

static void tick_follower(struct raft *r)
{
    r->election_elapsed++;
    if (r->election_elapsed < r->election_timeout || !raft_role_promotable(r))
        return;
    r->election_elapsed = 0;
    raft_vote_campaign(r, RAFT_CAMPAIGN, 0);
}

/* All that ticks can bring comes within two election timeouts: a machine that slept for a night does not campaign for
 * every second of it. */
void raft_tick(struct raft *r, uint32_t n)
{
    uint32_t most = 2u * r->cfg.election_tick;
    if (n > most) {
        r->ticks += n - most;
        n = most;
    }
    if (r->asleep) {
        r->ticks += n;
        return;
    }
    for (; n > 0 && r->why_broken == NULL; n--) {
        r->ticks++;
        if (raft_reserve(r, 0) != ERR_OK)
            continue; /* no room to say anything: as a tick that comes late */
        if (r->role == RAFT_LEADER)
            tick_leader(r);
        else
            tick_follower(r);
    }
    raft_check(r);
}

static uint32_t left(uint32_t limit, uint32_t elapsed)
{
    return limit > elapsed ? limit - elapsed : 1;
}

uint32_t raft_deadline(const struct raft *r)
{
    if (r->why_broken != NULL || r->asleep)
        return UINT32_MAX;
    if (r->role != RAFT_LEADER)
        return raft_role_promotable(r) ? left(r->election_timeout, r->election_elapsed)
                                       : UINT32_MAX;
    uint32_t heartbeat = left(r->cfg.heartbeat_tick, r->heartbeat_elapsed);
    uint32_t election = left(r->cfg.election_tick, r->election_elapsed);
    return heartbeat < election ? heartbeat : election;
}
