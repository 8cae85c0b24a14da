/* A group is made from what was durable, and ended. */
#include "raft_int.h"

#include <stdlib.h>
#include <string.h>

static void *mem_default(void *ctx, void *old, size_t size)
{
    (void)ctx;
    if (size == 0) {
        free(old);
        return NULL;
    }
    return realloc(old, size);
}

static bool boot_sane(const struct raft_cfg *cfg, const struct raft_boot *boot)
{
    raft_index last = boot->snap.index;
    raft_term term = boot->snap.term;
    if (cfg->id == RAFT_NONE || cfg->election_tick <= cfg->heartbeat_tick ||
        cfg->heartbeat_tick == 0 || cfg->log.append == NULL || cfg->log.fit == NULL ||
        cfg->log.snapshot == NULL ||
        ((cfg->flags & RAFT_LEASE_READ) && !(cfg->flags & RAFT_CHECK_QUORUM)))
        return false;
    for (uint32_t i = 0; i < boot->nruns; i++) {
        if (boot->runs[i].last <= last || boot->runs[i].term < term)
            return false;
        last = boot->runs[i].last;
        term = boot->runs[i].term;
    }
    /* A log from a later term than the hard state would let us campaign in a term that has had a leader. */
    bool fresh = boot->hs.term == 0 && boot->nruns == 0;
    return raft_conf_broken(&boot->snap.conf) == NULL && boot->applied <= last &&
           boot->hs.commit <= last && (fresh || boot->hs.term >= term);
}

/* Nobody else can lead, now or by a change that is in the log. */
static bool alone(const struct raft *r)
{
    const struct raft_conf *c = &r->conf;
    return !conf_joint(c) && conf_in(c, c->voters, r->cfg.id) &&
           (c->voters & (c->voters - 1)) == 0 &&
           !raft_log_has_conf(&r->log, r->log.applied, raft_log_last(&r->log));
}

err_t raft_open(const struct raft_cfg *cfg, const struct raft_boot *boot, struct raft **ret)
{
    if (!boot_sane(cfg, boot))
        return ERR_INVALID_ARGUMENT;
    void *(*mem)(void *, void *, size_t) = cfg->mem != NULL ? cfg->mem : mem_default;
    struct raft *r = mem(cfg->mem_ctx, NULL, sizeof *r);
    struct raft_peer *peers = mem(cfg->mem_ctx, NULL, (boot->snap.conf.n + 1u) * sizeof *peers);
    if (r == NULL || peers == NULL) {
        mem(cfg->mem_ctx, r, 0);
        mem(cfg->mem_ctx, peers, 0);
        return ERR_NOMEM;
    }
    *r = (struct raft){
        .cfg = *cfg, .peers = peers, .conf = boot->snap.conf, .role = RAFT_FOLLOWER
    };
    memset(peers, 0, (boot->snap.conf.n + 1u) * sizeof *peers);
    r->cfg.mem = mem;
    if (r->cfg.max_msg_bytes == 0)
        r->cfg.max_msg_bytes = UINT64_MAX;
    if (r->cfg.max_inflight_msgs == 0)
        r->cfg.max_inflight_msgs = 256;
    r->window = (struct raft_window){ r->cfg.max_inflight_msgs, cfg->max_inflight_bytes, mem,
                                      cfg->mem_ctx };
    prng_seed(&r->prng, cfg->seed ^ cfg->id * 0x9e3779b97f4a7c15u);

    struct raft_log *l = &r->log;
    *l = (struct raft_log){ .mem = mem, .mem_ctx = cfg->mem_ctx };
    l->base = boot->snap.index;
    l->base_term = boot->snap.term;
    l->apply_bytes_max = cfg->max_apply_bytes != 0 ? cfg->max_apply_bytes : UINT64_MAX;
    err_t rc = raft_log_reserve(l, boot->nruns);
    if (rc != ERR_OK) {
        raft_close(r);
        return rc;
    }
    if (boot->nruns > 0)
        memcpy(l->runs, boot->runs, boot->nruns * sizeof *l->runs);
    l->nruns = boot->nruns;
    l->stable = l->staged = raft_log_last(l);
    l->applied = l->applying = boot->applied != 0 ? boot->applied : l->base;
    l->commit = boot->hs.commit > l->applied ? boot->hs.commit : l->applied;
    r->term = boot->hs.term;
    r->vote = boot->hs.vote;
    raft_role_follower(r, r->term, RAFT_NONE);
    r->hs_given = (struct raft_hs){ r->term, r->vote, l->commit };
    r->role_given = RAFT_FOLLOWER;
    if (boot->restarted && raft_flag(r, RAFT_LEASE_READ) && !alone(r))
        r->wait_until = cfg->election_tick;
    *ret = r;
    return ERR_OK;
}

void raft_close(struct raft *r)
{
    if (r == NULL)
        return;
    void *(*mem)(void *, void *, size_t) = r->cfg.mem;
    void *ctx = r->cfg.mem_ctx;
    raft_turn_free(r);
    for (unsigned i = 0; i < r->conf.n; i++)
        mem(ctx, r->peers[i].flight.ring, 0);
    raft_log_free(&r->log);
    mem(ctx, r->peers, 0);
    mem(ctx, r->waits, 0);
    mem(ctx, r, 0);
}
