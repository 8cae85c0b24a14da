/* Votes: asked for, given, counted; and kept.
 *
 *   leader   heartbeat ---------->  lease: nine tenths of it, from sending  |
 *   voter               `-> answer, and a promise: no vote for an election minimum ...... |
 *                                    unless the leader itself wants another: a transfer
 *
 * A quorum has promised whenever a lease is valid, so nobody else can win meanwhile (thesis 6.4.1). The promise is the
 * voter's, not its term's: whatever moves it to another term (a rejected pre-vote that comes late, say), it stands.
 *
 * A transfer may break a promise, but only while it lasts. Transfers have numbers, which TimeoutNow and the votes that
 * it forces carry; a leader that gives one up renews its lease only by heartbeats that say so. So whoever has promised
 * anew knows which transfers are over, and theirs is a vote like any other, however late it comes (trap D38;
 * etcd-io/raft#99). A voter that restarts has forgotten what it promised: it waits (trap D37).
 *
 * What is told about terms before it comes to a vote is raft.c's (newer_term). */
#include "raft_int.h"

/* ---- Promises ----------------------------------------------------------------------------------------------- */

static bool promised(const struct raft *r)
{
    return r->ticks < r->wait_until ||
           (raft_flag(r, RAFT_LEASE_READ) && r->ticks < r->promise.until);
}

/* Does the transfer that forces this election, of the leader of `term`, still bypass what was promised? To a leader of
 * an older term nothing is owed: that there is a newer one proves that its lease was over. */
static bool transfer_holds(const struct raft *r, raft_term term, uint64_t transfer)
{
    return r->ticks >= r->wait_until &&
           (term > r->promise.term || (term == r->promise.term && transfer > r->promise.given_up));
}

void raft_vote_promise(struct raft *r, const struct raft_msg *heartbeat)
{
    struct raft_promise *p = &r->promise;
    if (p->term != r->term)
        *p = (struct raft_promise){ .term = r->term };
    p->until = r->ticks + r->cfg.election_tick;
    if (heartbeat->hint > p->given_up)
        p->given_up = heartbeat->hint;
}

bool raft_vote_kept(const struct raft *r, const struct raft_msg *m)
{
    if (m->forced && transfer_holds(r, m->term - 1, m->ctx))
        return false;
    bool hears = raft_flag(r, RAFT_CHECK_QUORUM) && r->lead != RAFT_NONE &&
                 r->election_elapsed < r->cfg.election_tick; /* thesis 4.2.3 */
    return hears || promised(r);
}

/* ---- Given -------------------------------------------------------------------------------------------------- */

/* (commit, its term) for a vote or its rejection, where they travel. */
static void attach_commit(const struct raft *r, struct raft_msg *m)
{
    raft_term term;
    if (raft_flag(r, RAFT_COMMIT_IN_VOTE) && raft_log_term(&r->log, r->log.commit, &term)) {
        m->commit = r->log.commit;
        m->commit_term = term;
    }
}

void raft_vote_commit(struct raft *r, const struct raft_msg *m)
{
    if (r->role == RAFT_LEADER || m->commit_term == 0 || m->commit <= r->log.commit ||
        !raft_log_match(&r->log, m->commit, m->commit_term))
        return;
    r->log.commit = m->commit;
    /* What it revealed may change who has to be asked: apply that first, then campaign anew. */
    if (r->role != RAFT_FOLLOWER && raft_log_has_conf(&r->log, r->log.applied, r->log.commit))
        raft_role_follower(r, r->term, RAFT_NONE);
}

/* With our term: it frees a candidate that is behind. */
void raft_vote_refuse(struct raft *r, const struct raft_msg *m)
{
    bool pre = m->type == RAFT_MSG_PREVOTE;
    struct raft_msg answer = { .type = pre ? RAFT_MSG_PREVOTE_RESP : RAFT_MSG_VOTE_RESP,
                               .to = m->from,
                               .term = r->term,
                               .reject = true };
    attach_commit(r, &answer);
    raft_send(r, answer);
}

void raft_vote_asked(struct raft *r, const struct raft_msg *m)
{
    bool pre = m->type == RAFT_MSG_PREVOTE;
    bool free_to_vote = r->vote == m->from ||
                        (r->vote == RAFT_NONE && r->lead == RAFT_NONE && !raft_vote_kept(r, m)) ||
                        (pre && m->term > r->term);
    if (r->ticks < r->wait_until)
        return;
    if (!free_to_vote || !raft_log_up_to_date(&r->log, m->index, m->log_term)) {
        raft_vote_refuse(r, m);
        return;
    }
    if (!pre) {
        r->election_elapsed = 0;
        r->vote = m->from;
    }
    raft_send(r, (struct raft_msg){ .type = pre ? RAFT_MSG_PREVOTE_RESP : RAFT_MSG_VOTE_RESP,
                                    .to = m->from,
                                    .term = m->term }); /* of a pre-vote: not ours yet */
}

/* ---- Asked for, counted ------------------------------------------------------------------------------------- */

static void campaign(struct raft *r, enum raft_campaign_kind kind, uint64_t transfer)
{
    bool pre = kind == RAFT_CAMPAIGN && raft_flag(r, RAFT_PREVOTE);
    if (pre)
        raft_role_precandidate(r);
    else
        raft_role_candidate(r);
    struct raft_msg ask = { .type = pre ? RAFT_MSG_PREVOTE : RAFT_MSG_VOTE,
                            .term = pre ? r->term + 1 : r->term,
                            .index = raft_log_last(&r->log),
                            .log_term = raft_log_last_term(&r->log),
                            .forced = kind == RAFT_CAMPAIGN_FORCED,
                            .ctx = transfer };
    attach_commit(r, &ask);
    for (unsigned i = 0; i < r->conf.n; i++) {
        if (!((r->conf.voters | r->conf.outgoing) & conf_bit(i)))
            continue;
        ask.to = r->conf.id[i];
        if (ask.to == r->cfg.id) /* our own vote counts once it is durable, too */
            raft_send(r,
                      (struct raft_msg){ .type = pre ? RAFT_MSG_PREVOTE_RESP : RAFT_MSG_VOTE_RESP,
                                         .to = ask.to,
                                         .term = ask.term });
        else
            raft_send(r, ask);
    }
}

void raft_vote_campaign(struct raft *r, enum raft_campaign_kind kind, uint64_t transfer)
{
    if (r->role == RAFT_LEADER || !raft_role_promotable(r))
        return;
    if (kind == RAFT_CAMPAIGN_FORCED ? !transfer_holds(r, r->term, transfer) : promised(r))
        return;
    /* A committed change that is not applied yet may have removed us, or added those who must be asked. */
    if (r->log.commit > r->log.applied && raft_log_has_conf(&r->log, r->log.applied, r->log.commit))
        return;
    campaign(r, kind, transfer);
}

static void vote_answered(struct raft *r, const struct raft_msg *m)
{
    int place = conf_find(&r->conf, m->from);
    if (place < 0)
        return;
    uint16_t bit = conf_bit((unsigned)place);
    if (!((r->granted | r->rejected) & bit)) {
        if (m->reject)
            r->rejected |= bit;
        else
            r->granted |= bit;
    }
    switch (quorum_vote(r->conf.voters, r->conf.outgoing, r->granted, r->rejected)) {
    case QUORUM_WON:
        if (r->role == RAFT_PRECANDIDATE) {
            campaign(r, RAFT_CAMPAIGN_ELECTION, 0);
        } else {
            raft_role_leader(r);
            raft_leader_broadcast(r);
        }
        break;
    case QUORUM_LOST:
        raft_role_follower(r, r->term, RAFT_NONE); /* the vote of this term stays */
        break;
    case QUORUM_PENDING:
        break;
    }
}

void raft_vote_step(struct raft *r, const struct raft_msg *m)
{
    switch (m->type) {
    case RAFT_MSG_APP:
    case RAFT_MSG_HEARTBEAT:
    case RAFT_MSG_SNAP:
    case RAFT_MSG_SLEEP: /* somebody else has won this term */
        raft_role_follower(r, m->term, m->from);
        (void)!raft_follower_step(r, m);
        break;
    case RAFT_MSG_VOTE_RESP:
        if (r->role == RAFT_CANDIDATE)
            vote_answered(r, m);
        break;
    case RAFT_MSG_PREVOTE_RESP:
        if (r->role == RAFT_PRECANDIDATE)
            vote_answered(r, m);
        break;
    default:
        break;
    }
}
