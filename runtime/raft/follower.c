/* Followers: appends, heartbeats, snapshots. */
#include "raft_int.h"

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
    raft_vote_promise(r, m);
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
    const char *why = raft_conf_broken(&snap->conf);
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
    case RAFT_MSG_SLEEP:
        r->election_elapsed = 0;
        r->lead = m->from;
        if (m->type == RAFT_MSG_APP)
            raft_follower_append(r, m);
        else if (m->type == RAFT_MSG_HEARTBEAT)
            raft_follower_heartbeat(r, m);
        else if (m->type == RAFT_MSG_SNAP)
            raft_follower_snapshot(r, m);
        else
            raft_sleep_told(r, m);
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
        raft_vote_campaign(r, RAFT_CAMPAIGN_FORCED, m->ctx);
        return ERR_OK;
    default:
        return ERR_OK;
    }
}
