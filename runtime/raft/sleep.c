/* Hibernation: an idle group sends nothing and needs no ticks.
 *
 *   leader    quiet, and its driver wants it: SLEEP to everybody ───> asleep      no heartbeats, no lease
 *   follower  SLEEP, and it has applied all that there is ──────────> asleep      no election timeout
 *             it has not: an answer that says so ───────────────────> the leader wakes
 *   asleep    a message, a request, the driver (its store is lost) ─> awake: what it was, as if it had just heard
 *
 * Nobody notices the death of a leader that is silent by agreement: whoever lets groups sleep watches stores instead
 * (trap D40). Nothing else rests on it: a sleeper votes, steps down and answers as ever, since whatever is told wakes
 * it first; and it holds no lease, so another leader that was elected meanwhile is no danger to a read. */
#include "raft_int.h"

static bool caught_up(const struct raft *r, unsigned place)
{
    const struct raft_peer *p = &r->peers[place];
    raft_index last = raft_log_last(&r->log);
    return p->match == last && p->active &&
           (r->conf.id[place] == r->cfg.id ||
            (p->state == RAFT_REPLICATE && p->sent_commit >= last));
}

/* Nothing is to be written, applied or installed here. */
static bool settled(const struct raft *r)
{
    raft_index last = raft_log_last(&r->log);
    return r->why_broken == NULL && r->log.applied == last && r->log.stable == last &&
           r->log.snap == NULL && !conf_joint(&r->conf);
}

bool raft_quiet(const struct raft *r)
{
    if (r->role != RAFT_LEADER || !settled(r) || r->transferee != RAFT_NONE || r->nwaits > 0 ||
        raft_has_ready(r))
        return false;
    for (unsigned i = 0; i < r->conf.n; i++)
        if (!caught_up(r, i))
            return false;
    return true;
}

err_t raft_sleep(struct raft *r)
{
    if (r->why_broken != NULL)
        return ERR_DATA_LOSS;
    if (r->asleep)
        return ERR_OK;
    /* Without checks of the quorum nobody is ever inactive: one that is lost would sleep for a member that is not. */
    if (!raft_flag(r, RAFT_CHECK_QUORUM) || !raft_quiet(r))
        return ERR_FAILED_PRECONDITION;
    err_t rc = raft_reserve(r, 0);
    if (rc != ERR_OK)
        return rc;
    for (unsigned i = 0; i < r->conf.n; i++)
        if (r->conf.id[i] != r->cfg.id)
            raft_send(r, (struct raft_msg){ .type = RAFT_MSG_SLEEP,
                                            .to = r->conf.id[i],
                                            .index = raft_log_last(&r->log) });
    raft_read_end_lease(r);
    r->asleep = true;
    raft_check(r);
    return ERR_OK;
}

bool raft_asleep(const struct raft *r)
{
    return r->asleep;
}

void raft_sleep_told(struct raft *r, const struct raft_msg *m)
{
    if (m->index == raft_log_last(&r->log) && settled(r))
        r->asleep = true;
    else
        raft_send(
            r, (struct raft_msg){ .type = RAFT_MSG_HEARTBEAT_RESP, .to = m->from, .reject = true });
}

/* What was under way when the leader fell asleep says nothing new; nor does the word to sleep, twice. */
static bool disturbs(const struct raft *r, const struct raft_msg *m)
{
    if (m->type >= RAFT_MSG_STORE_APPEND)
        return false;
    if (r->role == RAFT_LEADER)
        return m->term != r->term || m->reject ||
               (m->type != RAFT_MSG_HEARTBEAT_RESP && m->type != RAFT_MSG_APP_RESP);
    return m->type != RAFT_MSG_SLEEP || m->term != r->term;
}

static void wake(struct raft *r)
{
    r->asleep = false;
    r->election_elapsed = 0;
    if (r->role != RAFT_LEADER)
        return;
    r->heartbeat_elapsed = r->cfg.heartbeat_tick; /* everybody else is woken by the next tick */
    for (unsigned i = 0; i < r->conf.n; i++)
        if (r->conf.id[i] != r->cfg.id)
            r->peers[i].active = false; /* that was long ago */
}

void raft_sleep_disturbed(struct raft *r, const struct raft_msg *m)
{
    if (r->asleep && (m == NULL || disturbs(r, m)))
        wake(r);
}

void raft_wake(struct raft *r, bool leader_lost)
{
    raft_sleep_disturbed(r, NULL);
    if (leader_lost && r->role == RAFT_FOLLOWER && r->election_elapsed < r->cfg.election_tick)
        r->election_elapsed = r->cfg.election_tick; /* it grants votes now, and campaigns soon */
}
