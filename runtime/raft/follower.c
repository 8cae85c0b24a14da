/* Followers and candidates: appends, heartbeats, snapshots, votes, campaigns. */
#include "raft_int.h"

#include <assert.h>

/* ---- From a leader ------------------------------------------------------------------------------------------ */

static void commit_to(struct raft *r, raft_index index)
{
    if (index > r->log.commit)
        r->log.commit = index;
}

static void ack(struct raft *r, raft_id to, raft_index index)
{
    raft_send(r, (struct raft_msg){ .type = RAFT_MSG_APP_RESP, .to = to, .index = index });
}

/* Takes what is new of the message's entries. Entries that agree with ours are not touched: an old append that comes
 * late must not cut the log. */
static bool take_entries(struct raft *r, const struct raft_msg *m)
{
    uint32_t skip = 0;
    while (skip < m->nents && raft_log_match(&r->log, m->ents[skip].index, m->ents[skip].term))
        skip++;
    if (skip == m->nents)
        return true;
    const struct raft_ent *fresh = m->ents + skip;
    if (fresh->index <= r->log.commit) {
        raft_break(r, "an append contradicts a committed entry");
        return false;
    }
    if (fresh->index <= raft_log_last(&r->log))
        raft_forget_appends(r, fresh->index);
    raft_log_truncate(&r->log, fresh->index);
    for (uint32_t i = skip; i < m->nents; i++)
        raft_log_push(&r->log, m->ents[i].term, m->ents[i].type == RAFT_ENT_CONF);
    r->cfg.log.append(r->cfg.log.ctx, fresh, m->nents - skip);
    return true;
}

void raft_follower_append(struct raft *r, const struct raft_msg *m)
{
    raft_term hint_term;
    if (m->index < r->log.commit) { /* stale: tell it how far we are */
        ack(r, m->from, r->log.commit);
        return;
    }
    if (raft_log_match(&r->log, m->index, m->log_term)) {
        raft_index last = m->index + m->nents;
        if (!take_entries(r, m))
            return;
        commit_to(r, m->commit < last ? m->commit : last);
        ack(r, m->from, last);
        return;
    }
    raft_index hint = m->index < raft_log_last(&r->log) ? m->index : raft_log_last(&r->log);
    hint = raft_log_conflict(&r->log, hint, m->log_term, &hint_term);
    raft_send(r, (struct raft_msg){ .type = RAFT_MSG_APP_RESP,
                                    .to = m->from,
                                    .index = m->index,
                                    .reject = true,
                                    .hint = hint,
                                    .log_term = hint_term });
}

void raft_follower_heartbeat(struct raft *r, const struct raft_msg *m)
{
    if (m->commit > raft_log_last(&r->log)) {
        /* We have lost what we acknowledged. Saying so by a rejection lets the leader repair us; committing would
         * be a lie, and dying would take the whole process along (etcd-io/raft#197). */
        raft_term term;
        raft_index last = raft_log_last(&r->log);
        raft_index hint = raft_log_conflict(&r->log, last, m->term, &term);
        raft_send(r, (struct raft_msg){ .type = RAFT_MSG_APP_RESP,
                                        .to = m->from,
                                        .index = m->commit,
                                        .reject = true,
                                        .hint = hint,
                                        .log_term = term });
        return;
    }
    commit_to(r, m->commit);
    raft_send(r,
              (struct raft_msg){ .type = RAFT_MSG_HEARTBEAT_RESP, .to = m->from, .ctx = m->ctx });
}

/* False: it is not needed, or not for us. */
static bool restore(struct raft *r, const struct raft_snap *snap)
{
    if (snap->index <= r->log.commit || conf_find(&snap->conf, r->cfg.id) < 0)
        return false;
    if (raft_log_match(&r->log, snap->index, snap->term)) {
        commit_to(r,
                  snap->index); /* we have the entries: the commit index is all that was missing */
        return false;
    }
    const char *why = conf_broken(&snap->conf);
    if (why != NULL) {
        raft_break(r, why);
        return false;
    }
    struct raft_snap *copy = raft_snap_copy(r, snap);
    struct raft_peer *peers = r->cfg.mem(r->cfg.mem_ctx, NULL, snap->conf.n * sizeof *peers);
    if (copy == NULL || peers == NULL) {
        r->cfg.mem(r->cfg.mem_ctx, copy, 0);
        r->cfg.mem(r->cfg.mem_ctx, peers, 0);
        return false; /* the leader will send another */
    }
    raft_forget_appends(r, 0);
    raft_log_restore(&r->log, copy);
    for (unsigned i = 0; i < r->conf.n; i++)
        r->cfg.mem(r->cfg.mem_ctx, r->peers[i].flight.ring, 0);
    r->cfg.mem(r->cfg.mem_ctx, r->peers, 0);
    r->peers = peers;
    r->conf = snap->conf;
    for (unsigned i = 0; i < r->conf.n; i++)
        peers[i] = (struct raft_peer){ .next = raft_log_last(&r->log) + 1, .active = true };
    raft_self(r)->match = raft_log_last(&r->log);
    raft_check_conf(r);
    return true;
}

void raft_follower_snapshot(struct raft *r, const struct raft_msg *m)
{
    bool taken = restore(r, m->snap);
    if (r->why_broken == NULL)
        ack(r, m->from, taken ? raft_log_last(&r->log) : r->log.commit);
}

err_t raft_follower_step(struct raft *r, const struct raft_msg *m)
{
    switch (m->type) {
    case RAFT_MSG_APP:
    case RAFT_MSG_HEARTBEAT:
    case RAFT_MSG_SNAP:
        r->election_elapsed = 0;
        r->lead = m->from;
        if (m->type == RAFT_MSG_APP)
            raft_follower_append(r, m);
        else if (m->type == RAFT_MSG_HEARTBEAT)
            raft_follower_heartbeat(r, m);
        else
            raft_follower_snapshot(r, m);
        return ERR_OK;
    case RAFT_MSG_TRANSFER:
    case RAFT_MSG_READ: {
        if (r->lead == RAFT_NONE)
            return ERR_OK;
        struct raft_msg onward = *m;
        onward.to = r->lead;
        raft_send(r, onward);
        return ERR_OK;
    }
    case RAFT_MSG_READ_RESP:
        raft_read_answer(r, m->index, m->ctx);
        return ERR_OK;
    case RAFT_MSG_TIMEOUT_NOW:
        raft_hup(r, RAFT_CAMPAIGN_FORCED);
        return ERR_OK;
    default:
        return ERR_OK;
    }
}

/* ---- Votes -------------------------------------------------------------------------------------------------- */

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
        raft_become_follower(r, r->term, RAFT_NONE);
}

void raft_vote_asked(struct raft *r, const struct raft_msg *m)
{
    bool pre = m->type == RAFT_MSG_PREVOTE;
    bool free_to_vote = r->vote == m->from || (r->vote == RAFT_NONE && r->lead == RAFT_NONE) ||
                        (pre && m->term > r->term);
    struct raft_msg answer = { .type = pre ? RAFT_MSG_PREVOTE_RESP : RAFT_MSG_VOTE_RESP,
                               .to = m->from };
    if (free_to_vote && raft_log_up_to_date(&r->log, m->index, m->log_term)) {
        answer.term = m->term; /* a pre-vote is for a term that is not ours yet */
        if (!pre) {
            r->election_elapsed = 0;
            r->vote = m->from;
        }
    } else {
        answer.term = r->term; /* also to lower terms: it frees a candidate that is behind */
        answer.reject = true;
        attach_commit(r, &answer);
    }
    raft_send(r, answer);
}

static void campaign(struct raft *r, enum raft_campaign_kind kind)
{
    bool pre = kind == RAFT_CAMPAIGN && raft_flag(r, RAFT_PREVOTE);
    if (pre)
        raft_become_precandidate(r);
    else
        raft_become_candidate(r);
    struct raft_msg ask = { .type = pre ? RAFT_MSG_PREVOTE : RAFT_MSG_VOTE,
                            .term = pre ? r->term + 1 : r->term,
                            .index = raft_log_last(&r->log),
                            .log_term = raft_log_last_term(&r->log),
                            .forced = kind == RAFT_CAMPAIGN_FORCED };
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

void raft_hup(struct raft *r, enum raft_campaign_kind kind)
{
    if (r->role == RAFT_LEADER || !raft_promotable(r))
        return;
    /* A committed change that is not applied yet may have removed us, or added those who must be asked. */
    if (r->log.commit > r->log.applied && raft_log_has_conf(&r->log, r->log.applied, r->log.commit))
        return;
    campaign(r, kind);
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
            campaign(r, RAFT_CAMPAIGN_ELECTION);
        } else {
            raft_become_leader(r);
            raft_leader_broadcast(r);
        }
        break;
    case QUORUM_LOST:
        raft_become_follower(r, r->term, RAFT_NONE); /* the vote of this term stays */
        break;
    case QUORUM_PENDING:
        break;
    }
}

void raft_candidate_step(struct raft *r, const struct raft_msg *m)
{
    switch (m->type) {
    case RAFT_MSG_APP:
    case RAFT_MSG_HEARTBEAT:
    case RAFT_MSG_SNAP: /* somebody else has won this term */
        raft_become_follower(r, m->term, m->from);
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
