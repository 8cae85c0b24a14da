/* What the driver asks of a group (raft.h): proposals, reads, campaigns, transfers; what it reports. */
#include "raft_int.h"

#include <string.h>

enum { WAITS_MAX = 4096 }; /* reads that wait in one group */

/* A follower sends a proposal on: the payload is copied, since the caller's ends with the call. */
static err_t forward(struct raft *r, const struct raft_ent *ents, uint32_t n)
{
    size_t size = n * sizeof *ents;
    for (uint32_t i = 0; i < n; i++)
        size += ents[i].len;
    struct raft_ent *copy = r->cfg.mem(r->cfg.mem_ctx, NULL, size);
    if (copy == NULL)
        return ERR_NOMEM;
    memcpy(copy, ents, n * sizeof *ents);
    uint8_t *at = (uint8_t *)(copy + n);
    for (uint32_t i = 0; i < n; i++) {
        if (ents[i].len > 0)
            memcpy(at, ents[i].data, ents[i].len);
        copy[i].data = at;
        at += ents[i].len;
    }
    raft_send(r,
              (struct raft_msg){ .type = RAFT_MSG_PROP, .to = r->lead, .ents = copy, .nents = n });
    return ERR_OK;
}

err_t raft_propose(struct raft *r, struct raft_ent *ents, uint32_t n)
{
    if (r->why_broken != NULL)
        return ERR_DATA_LOSS;
    if (n == 0)
        return ERR_INVALID_ARGUMENT;
    err_t rc = raft_reserve(r, 0);
    if (rc != ERR_OK)
        return rc;
    raft_sleep_disturbed(r, NULL);
    if (r->role == RAFT_LEADER)
        rc = raft_leader_propose(r, ents, n);
    else if (r->role == RAFT_FOLLOWER && r->lead != RAFT_NONE && !raft_flag(r, RAFT_NO_FORWARD))
        rc = forward(r, ents, n);
    else
        rc = ERR_UNAVAILABLE;
    raft_check(r);
    return rc;
}

err_t raft_propose_conf(struct raft *r, const struct raft_cc *cc, struct bytes context)
{
    uint8_t head[RAFT_CC_BYTES_MAX];
    struct buf bytes = { 0 };
    struct raft_ent ent = { .type = RAFT_ENT_CONF };
    err_t rc = buf_append(&bytes, bytes_from(head, raft_cc_encode(cc, head)));
    if (rc == ERR_OK)
        rc = buf_append(&bytes, context);
    if (rc == ERR_OK) {
        ent.data = bytes.data;
        ent.len = (uint32_t)bytes.len;
        rc = raft_propose(r, &ent, 1);
    }
    buf_free(&bytes);
    return rc;
}

err_t raft_read_index(struct raft *r, uint64_t ctx)
{
    if (r->why_broken != NULL)
        return ERR_DATA_LOSS;
    if (r->nwaits >= WAITS_MAX)
        return ERR_SERVER_IS_BUSY;
    if (r->lead == RAFT_NONE)
        return ERR_UNAVAILABLE;
    err_t rc = raft_reserve(r, 0);
    if (rc != ERR_OK)
        return rc;
    raft_sleep_disturbed(r, NULL);
    if (r->role == RAFT_LEADER)
        raft_read_asked(r, r->cfg.id, ctx);
    else
        raft_send(r, (struct raft_msg){ .type = RAFT_MSG_READ, .to = r->lead, .ctx = ctx });
    raft_check(r);
    return ERR_OK;
}

err_t raft_campaign(struct raft *r)
{
    if (r->why_broken != NULL)
        return ERR_DATA_LOSS;
    err_t rc = raft_reserve(r, 0);
    if (rc != ERR_OK)
        return rc;
    raft_sleep_disturbed(r, NULL);
    raft_vote_campaign(r, RAFT_CAMPAIGN, 0);
    raft_check(r);
    return ERR_OK;
}

err_t raft_transfer(struct raft *r, raft_id to)
{
    if (r->why_broken != NULL)
        return ERR_DATA_LOSS;
    if (r->lead == RAFT_NONE)
        return ERR_UNAVAILABLE;
    err_t rc = raft_reserve(r, 0);
    if (rc != ERR_OK)
        return rc;
    raft_sleep_disturbed(r, NULL);
    if (r->role == RAFT_LEADER)
        raft_leader_transfer(r, to);
    else
        raft_send(r, (struct raft_msg){ .type = RAFT_MSG_TRANSFER, .from = to, .to = r->lead });
    raft_check(r);
    return ERR_OK;
}

err_t raft_forget_leader(struct raft *r)
{
    if (raft_flag(r, RAFT_LEASE_READ))
        return ERR_FAILED_PRECONDITION; /* granting a vote within a lease would break the lease */
    raft_sleep_disturbed(r, NULL);
    if (r->role == RAFT_FOLLOWER)
        r->lead = RAFT_NONE;
    return ERR_OK;
}

void raft_unreachable(struct raft *r, raft_id peer)
{
    struct raft_peer *p = raft_peer_of(r, peer);
    if (r->role != RAFT_LEADER || p == NULL || p->state != RAFT_REPLICATE)
        return;
    raft_sleep_disturbed(r, NULL); /* it may be the word to sleep that was lost */
    raft_peer_probe(p);            /* or an append: go back to one at a time */
}

void raft_snap_done(struct raft *r, raft_id peer, bool ok)
{
    struct raft_peer *p = raft_peer_of(r, peer);
    if (r->role != RAFT_LEADER || p == NULL || p->state != RAFT_SNAPSHOT)
        return;
    if (!ok)
        p->pending_snap = 0;
    raft_peer_probe(p);
    p->paused = true; /* wait for its answer, or for the next heartbeat's */
}

void raft_kick(struct raft *r, raft_id peer)
{
    int place = conf_find(&r->conf, peer);
    if (r->role != RAFT_LEADER || place < 0 || peer == r->cfg.id || raft_reserve(r, 0) != ERR_OK)
        return;
    while (raft_leader_send(r, (unsigned)place, false))
        ;
}

err_t raft_compacted(struct raft *r, raft_index index)
{
    if (index < r->log.base || index > r->log.applied)
        return ERR_INVALID_ARGUMENT;
    if (raft_names_entries(r, 0, index))
        return ERR_FAILED_PRECONDITION;
    raft_log_compact(&r->log, index);
    return ERR_OK;
}
