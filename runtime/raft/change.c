/* A committed change of configuration is adopted: what is known of those who stay is kept; a removed leader leaves.
 *
 * The algebra of configurations is conf.c's, the rule when one may be proposed leader.c's (change_allowed). */
#include "raft_int.h"

/* Carries over what is known of those who stay; newcomers begin at the end of the log, as if just heard of. */
static err_t adopt(struct raft *r, const struct raft_conf *conf, uint16_t fresh)
{
    struct raft_peer *peers = r->cfg.mem(r->cfg.mem_ctx, NULL, (conf->n + 1u) * sizeof *peers);
    uint16_t granted = 0, rejected = 0;
    if (peers == NULL)
        return ERR_NOMEM;
    for (unsigned i = 0; i < conf->n; i++) {
        int old = conf_find(&r->conf, conf->id[i]);
        raft_index last = raft_log_last(&r->log);
        peers[i] = (struct raft_peer){ .next = last > 1 ? last : 1, .active = true };
        if (old < 0)
            continue;
        granted |= (uint16_t)((r->granted >> old & 1) << i);
        rejected |= (uint16_t)((r->rejected >> old & 1) << i);
        if (fresh & conf_bit(i))
            continue;
        peers[i] = r->peers[old];
        r->peers[old].flight.ring = NULL; /* moved */
    }
    for (unsigned i = 0; i < r->conf.n; i++)
        r->cfg.mem(r->cfg.mem_ctx, r->peers[i].flight.ring, 0);
    r->cfg.mem(r->cfg.mem_ctx, r->peers, 0);
    r->peers = peers;
    r->conf = *conf;
    r->granted = granted;
    r->rejected = rejected;
    raft_check_conf(r);
    return ERR_OK;
}

/* Before it leaves, a removed leader names the most advanced voter: else those who stay may not know what is
 * committed (raft.md section 6). */
static void hand_over(struct raft *r)
{
    int best = -1;
    for (unsigned i = 0; i < r->conf.n; i++)
        if ((r->conf.voters & conf_bit(i)) && r->conf.id[i] != r->cfg.id && r->peers[i].active &&
            (best < 0 || r->peers[i].match > r->peers[best].match))
            best = (int)i;
    if (best < 0)
        return;
    raft_leader_send(r, (unsigned)best, true);
    r->transfers++;
    raft_leader_timeout_now(r, r->conf.id[best]);
}

err_t raft_apply_conf(struct raft *r, const struct raft_cc *cc, struct raft_conf *ret)
{
    struct raft_conf conf;
    uint16_t fresh = 0;
    if (r->why_broken != NULL)
        return ERR_DATA_LOSS;
    err_t rc = raft_reserve(r, 0);
    if (rc != ERR_OK)
        return rc;
    if (r->log.overtaken != 0)
        return ERR_FAILED_PRECONDITION; /* the configuration is the snapshot's, which knows this change */
    const char *why = conf_apply(&r->conf, cc, &conf, &fresh);
    if (why != NULL) {
        raft_break(r, why);
        return ERR_INVALID_ARGUMENT;
    }
    rc = adopt(r, &conf, fresh);
    if (rc != ERR_OK)
        return rc;
    if (ret != NULL)
        *ret = conf;
    if (r->role != RAFT_LEADER)
        return ERR_OK;
    if (raft_self(r) == NULL || conf_in(&r->conf, r->conf.learners, r->cfg.id)) {
        if (raft_flag(r, RAFT_STEP_DOWN_ON_REMOVAL)) {
            if (raft_flag(r, RAFT_TRANSFER_ON_REMOVAL))
                hand_over(r);
            raft_role_follower(r, r->term, RAFT_NONE);
        }
    } else if (r->conf.voters != 0) {
        raft_leader_switched(r);
    }
    raft_check(r);
    return ERR_OK;
}
