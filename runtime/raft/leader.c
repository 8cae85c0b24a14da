/* The leader: proposals, appends and their acks, heartbeats, snapshots, transfer. */
#include "raft_int.h"

#include <assert.h>

/* ---- Sending ------------------------------------------------------------------------------------------------ */

/* What it needs is compacted away: a snapshot, to those who are heard of. */
static bool send_snapshot(struct raft *r, unsigned place)
{
    struct raft_peer *p = &r->peers[place];
    struct raft_snap snap;
    if (!p->active || !r->cfg.log.snapshot(r->cfg.log.ctx, &snap) || snap.index == 0)
        return false;
    struct raft_snap *copy = raft_snap_copy(r, &snap);
    if (copy == NULL)
        return false;
    raft_peer_snapshot(p, snap.index);
    raft_send(r, (struct raft_msg){ .type = RAFT_MSG_SNAP, .to = r->conf.id[place], .snap = copy });
    return true;
}

bool raft_leader_send(struct raft *r, unsigned place, bool even_if_empty)
{
    struct raft_peer *p = &r->peers[place];
    raft_term term;
    uint32_t n = 0;
    uint64_t bytes = 0;
    if (raft_peer_paused(p) || !raft_room(r))
        return false;
    if (!raft_log_term(&r->log, p->next - 1, &term))
        return send_snapshot(r, place);
    bool window = p->state != RAFT_REPLICATE ||
                  (!raft_peer_full(p, &r->window) && raft_peer_reserve(p, &r->window) == ERR_OK);
    raft_index end = raft_log_last(&r->log) + 1;
    if (window && p->next < end)
        n = r->cfg.log.fit(r->cfg.log.ctx, p->next, end, r->cfg.max_msg_bytes, &bytes);
    if (n == 0 && !even_if_empty)
        return false;
    raft_send(r, (struct raft_msg){ .type = RAFT_MSG_APP,
                                    .to = r->conf.id[place],
                                    .index = p->next - 1,
                                    .log_term = term,
                                    .first = p->next,
                                    .nents = n,
                                    .commit = r->log.commit });
    raft_peer_sent(p, &r->window, n, bytes);
    p->sent_commit = r->log.commit;
    return true;
}

void raft_leader_broadcast(struct raft *r)
{
    for (unsigned i = 0; i < r->conf.n; i++)
        if (r->conf.id[i] != r->cfg.id)
            raft_leader_send(r, i, true);
}

/* Now, or once for all that this turn brings. */
static void broadcast_soon(struct raft *r)
{
    if (raft_flag(r, RAFT_GATHER))
        r->gather = true;
    else
        raft_leader_broadcast(r);
}

void raft_leader_heartbeat(struct raft *r)
{
    if (raft_flag(r, RAFT_LEASE_READ) && r->lease_seq == 0 && r->transferee == RAFT_NONE) {
        r->lease_seq = ++r->read_seq; /* one round at a time renews the lease */
        r->lease_sent = r->ticks;
    }
    for (unsigned i = 0; i < r->conf.n; i++) {
        struct raft_peer *p = &r->peers[i];
        if (r->conf.id[i] == r->cfg.id)
            continue;
        /* never beyond what it is known to have: its log may still differ there */
        raft_index commit = p->match < r->log.commit ? p->match : r->log.commit;
        raft_send(r, (struct raft_msg){ .type = RAFT_MSG_HEARTBEAT,
                                        .to = r->conf.id[i],
                                        .commit = commit,
                                        .ctx = r->read_seq,
                                        .hint = r->promise.given_up });
        p->sent_commit = commit;
    }
}

void raft_leader_timeout_now(struct raft *r, raft_id to)
{
    raft_send(r, (struct raft_msg){ .type = RAFT_MSG_TIMEOUT_NOW, .to = to, .ctx = r->transfers });
}

/* ---- Proposals ---------------------------------------------------------------------------------------------- */

void raft_leader_append_own(struct raft *r, struct raft_ent *ents, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        ents[i].term = r->term;
        ents[i].index = raft_log_last(&r->log) + 1;
        raft_log_push(&r->log, r->term, ents[i].type == RAFT_ENT_CONF);
    }
    r->cfg.log.append(r->cfg.log.ctx, ents, n);
    /* Our own copy counts like everybody's: once it is durable (thesis 10.2.1). */
    raft_send(r, (struct raft_msg){
                     .type = RAFT_MSG_APP_RESP, .to = r->cfg.id, .index = raft_log_last(&r->log) });
}

static uint64_t payload(const struct raft_ent *ents, uint32_t n)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < n; i++)
        bytes += ents[i].len;
    return bytes;
}

/* A change must wait until the one before it is applied; then the configuration that it will meet is today's, so one
 * that cannot be applied (a second joint state, nobody left to vote) is seen now. */
static bool change_allowed(const struct raft *r, const struct raft_ent *ent)
{
    struct raft_cc cc;
    struct raft_conf after;
    if (raft_cc_decode(ent->data, ent->len, &cc) != ERR_OK)
        return false;
    if (raft_flag(r, RAFT_NO_CONF_CHECK))
        return true;
    return r->pending_conf <= r->log.applied && conf_apply(&r->conf, &cc, &after, NULL) == NULL;
}

err_t raft_leader_propose(struct raft *r, struct raft_ent *ents, uint32_t n)
{
    if (raft_self(r) == NULL || r->transferee != RAFT_NONE)
        return ERR_UNAVAILABLE;
    uint64_t bytes = payload(ents, n);
    if (r->cfg.max_uncommitted != 0 && bytes > 0 && r->uncommitted > 0 &&
        r->uncommitted + bytes > r->cfg.max_uncommitted)
        return ERR_SERVER_IS_BUSY;
    err_t rc = raft_log_reserve(&r->log, n);
    if (rc != ERR_OK)
        return rc;
    for (uint32_t i = 0; i < n; i++) {
        if (ents[i].type != RAFT_ENT_CONF)
            continue;
        if (change_allowed(r, &ents[i])) {
            r->pending_conf = raft_log_last(&r->log) + i + 1;
        } else { /* its place is kept, so that the proposer's indexes hold */
            bytes -= ents[i].len;
            ents[i].type = RAFT_ENT_NORMAL;
            ents[i].len = 0;
            ents[i].data = NULL;
        }
    }
    r->uncommitted += bytes;
    raft_leader_append_own(r, ents, n);
    broadcast_soon(r);
    return ERR_OK;
}

void raft_leader_leave_joint(struct raft *r)
{
    if (r->role != RAFT_LEADER || !r->conf.auto_leave || r->log.applied < r->pending_conf)
        return;
    struct raft_ent leave = { .type = RAFT_ENT_CONF };
    (void)!raft_leader_propose(r, &leave,
                               1); /* refused during a transfer: the next apply asks again */
}

/* ---- Commit ------------------------------------------------------------------------------------------------- */

bool raft_leader_commit(struct raft *r)
{
    raft_index match[RAFT_MAX_PEERS];
    for (unsigned i = 0; i < r->conf.n; i++)
        match[i] = r->peers[i].match;
    raft_index index = quorum_committed(r->conf.voters, r->conf.outgoing, match);
    /* Only an entry of our own term commits by counting; it takes the older ones along (thesis 3.6.2, Figure 3.7). */
    if (index <= r->log.commit || index > raft_log_last(&r->log) ||
        !raft_log_match(&r->log, index, r->term))
        return false;
    r->log.commit = index;
    return true;
}

void raft_leader_committed(struct raft *r)
{
    raft_read_committed(r);
    broadcast_soon(r);
}

/* ---- Answers ------------------------------------------------------------------------------------------------ */

static void append_rejected(struct raft *r, unsigned place, const struct raft_msg *m)
{
    struct raft_peer *p = &r->peers[place];
    raft_index hint = m->hint;
    raft_term ignored;
    if (m->log_term > 0) /* skip every term that the peer cannot have: thesis 3.5, end */
        hint = raft_log_conflict(&r->log, m->hint, m->log_term, &ignored);
    if (!raft_peer_rejected(p, m->index, hint))
        return;
    if (p->state == RAFT_REPLICATE)
        raft_peer_probe(p);
    raft_leader_send(r, place, true);
}

static void append_acked(struct raft *r, unsigned place, const struct raft_msg *m)
{
    struct raft_peer *p = &r->peers[place];
    if (m->index > raft_log_last(&r->log)) {
        raft_break(r, "a member acknowledged more than there is");
        return;
    }
    if (!raft_peer_acked(p, m->index) && !(p->match == m->index && p->state == RAFT_PROBE))
        return;
    if (p->state == RAFT_PROBE) {
        raft_peer_replicate(p);
    } else if (p->state == RAFT_SNAPSHOT) {
        if (p->match >= r->log.base) /* whatever snapshot it got: the log goes on from there */
            raft_peer_replicate(p);
    } else {
        raft_peer_free_to(p, m->index);
    }
    if (raft_leader_commit(r))
        raft_leader_committed(r);
    else if (m->from != r->cfg.id && raft_peer_wants_commit(p, r->log.commit))
        raft_leader_send(r, place, true);
    if (m->from == r->cfg.id)
        return;
    while (raft_leader_send(r, place, false))
        ;
    if (m->from == r->transferee && p->match == raft_log_last(&r->log))
        raft_leader_timeout_now(r, m->from);
}

static void heartbeat_answered(struct raft *r, unsigned place, const struct raft_msg *m)
{
    struct raft_peer *p = &r->peers[place];
    p->active = true;
    p->paused = false; /* what was under way may be lost: an empty append finds out */
    if (p->state == RAFT_SNAPSHOT && p->match >= p->pending_snap)
        raft_peer_probe(p); /* its ack was older than the snapshot: no other will come */
    if (p->match < raft_log_last(&r->log) || p->state == RAFT_PROBE)
        raft_leader_send(r, place, true);
    if (m->ctx > p->read_ack && m->ctx <= r->read_seq) {
        p->read_ack = m->ctx;
        raft_read_confirmed(r);
    }
}

/* ---- Transfer (thesis 3.10) --------------------------------------------------------------------------------- */

/* Whoever answers a later heartbeat knows that it is over: without that a TimeoutNow, or a vote that it forces, could
 * come after the lease was renewed and bypass it (vote.c has the picture). */
void raft_leader_transfer_end(struct raft *r)
{
    r->transferee = RAFT_NONE;
    r->promise.given_up = r->transfers;
}

void raft_leader_transfer(struct raft *r, raft_id to)
{
    int place = conf_find(&r->conf, to);
    if (place < 0 || !((r->conf.voters | r->conf.outgoing) & conf_bit((unsigned)place)) ||
        r->transferee == to)
        return;
    raft_leader_transfer_end(r);
    if (to == r->cfg.id)
        return;
    r->transferee = to;
    r->transfers++;
    r->election_elapsed = 0; /* it has one election timeout */
    raft_read_end_lease(r);  /* its election bypasses the lease (trap D38) */
    if (r->peers[place].match == raft_log_last(&r->log))
        raft_leader_timeout_now(r, to);
    else
        raft_leader_send(r, (unsigned)place, true);
}

/* A new configuration holds: what was not enough may be enough now, and newcomers want everything. A lease was given by
 * a quorum of the old one, which need not meet every quorum of the next but one. */
void raft_leader_switched(struct raft *r)
{
    raft_read_end_lease(r);
    if (raft_leader_commit(r)) {
        raft_read_committed(r);
        raft_leader_broadcast(r);
    } else {
        for (unsigned i = 0; i < r->conf.n; i++)
            if (r->conf.id[i] != r->cfg.id)
                raft_leader_send(r, i, false);
    }
    raft_read_confirmed(r);
    if (r->transferee != RAFT_NONE &&
        !conf_in(&r->conf, r->conf.voters | r->conf.outgoing, r->transferee))
        raft_leader_transfer_end(r);
}

/* ---- Dispatch ----------------------------------------------------------------------------------------------- */

err_t raft_leader_step(struct raft *r, const struct raft_msg *m)
{
    int found = conf_find(&r->conf, m->from);
    unsigned place = (unsigned)found;
    switch (m->type) {
    case RAFT_MSG_READ:
        raft_read_asked(r, m->from, m->ctx);
        return ERR_OK;
    case RAFT_MSG_TRANSFER:
        raft_leader_transfer(r, m->from);
        return ERR_OK;
    case RAFT_MSG_APP_RESP:
        if (found < 0)
            return ERR_OK;
        r->peers[place].active = true;
        if (m->reject)
            append_rejected(r, place, m);
        else
            append_acked(r, place, m);
        return ERR_OK;
    case RAFT_MSG_HEARTBEAT_RESP:
        if (found >= 0)
            heartbeat_answered(r, place, m);
        return ERR_OK;
    default:
        return ERR_OK; /* late votes, and what an impostor of our own term would send */
    }
}
