/* Every message passes raft_step(): what no peer may send is refused, then the rules that hold for all roles (terms,
 * leases), then one function by role.
 *
 *   raft_step ─ refuse ─ reserve ─┬─ higher term: step down, unless a leader is heard (newer_term)
 *                                 ├─ lower term: tell who is left behind (older_term)
 *                                 └─ this term: dispatch ─> storage threads, votes (vote.c), leader.c, follower.c
 */
#include "raft_int.h"

#include <string.h>

void raft_break(struct raft *r, const char *why)
{
    if (r->why_broken == NULL)
        r->why_broken = why;
}

static bool local(raft_id id)
{
    return id == RAFT_APPEND_THREAD || id == RAFT_APPLY_THREAD;
}

/* Terms and indexes of an honest group are small; what is added to them must not come round to 0. */
static bool numbers_sane(const struct raft_msg *m)
{
    const uint64_t most = UINT64_MAX >> 1;
    return m->term <= most && m->log_term <= most && m->index <= most && m->commit <= most &&
           m->hint <= most && m->commit_term <= most &&
           (m->snap == NULL || (m->snap->index <= most && m->snap->term <= most));
}

/* Anything that a peer may send, whatever it holds. */
static bool message_sane(const struct raft_msg *m)
{
    if (m->type >= RAFT_MSG_TYPES || m->from == RAFT_NONE ||
        local(m->from) != (m->type >= RAFT_MSG_STORE_APPEND) ||
        (m->nents > 0 && m->type <= RAFT_MSG_APP && m->ents == NULL))
        return false;
    bool asks =
        m->type == RAFT_MSG_PROP || m->type == RAFT_MSG_READ || m->type == RAFT_MSG_TRANSFER;
    if (!local(m->from) && (!numbers_sane(m) || (m->term == 0 && !asks)))
        return false;
    if (m->type == RAFT_MSG_SNAP)
        return m->snap != NULL && m->snap->index > 0 && m->snap->term <= m->term;
    if (m->type != RAFT_MSG_APP)
        return true;
    raft_term term = m->log_term;
    for (uint32_t i = 0; i < m->nents; i++) {
        if (m->ents[i].index != m->index + 1 + i || m->ents[i].term < term ||
            m->ents[i].term > m->term)
            return false;
        term = m->ents[i].term;
    }
    return term <= m->term;
}

static bool is_response(uint8_t type)
{
    return type == RAFT_MSG_APP_RESP || type == RAFT_MSG_VOTE_RESP ||
           type == RAFT_MSG_PREVOTE_RESP || type == RAFT_MSG_HEARTBEAT_RESP;
}

/* Runs that the entries of an append may add. */
static uint32_t runs_of(const struct raft_msg *m)
{
    uint32_t n = 1;
    for (uint32_t i = 1; m->type == RAFT_MSG_APP && i < m->nents; i++)
        n += m->ents[i].term != m->ents[i - 1].term || m->ents[i].type != m->ents[i - 1].type;
    return n + 1;
}

/* A message of a higher term. False: it is ignored (raft_vote_kept). */
static bool newer_term(struct raft *r, const struct raft_msg *m)
{
    bool asks = m->type == RAFT_MSG_VOTE || m->type == RAFT_MSG_PREVOTE;
    if (asks && raft_vote_kept(r, m))
        return false;
    if (m->type == RAFT_MSG_PREVOTE || (m->type == RAFT_MSG_PREVOTE_RESP && !m->reject))
        return true; /* its term is not there yet */
    bool leads = m->type == RAFT_MSG_APP || m->type == RAFT_MSG_HEARTBEAT ||
                 m->type == RAFT_MSG_SNAP || m->type == RAFT_MSG_SLEEP;
    raft_role_follower(r, m->term, leads ? m->from : RAFT_NONE);
    return true;
}

static void applied_to(struct raft *r, raft_index index, uint64_t bytes)
{
    struct raft_log *l = &r->log;
    if (index > l->commit) {
        raft_break(r, "applied more than is committed");
        return;
    }
    if (index > l->applied)
        l->applied = index;
    if (l->applying < l->applied)
        l->applying = l->applied;
    l->apply_bytes -= bytes < l->apply_bytes ? bytes : l->apply_bytes;
    l->apply_paused = l->apply_bytes >= l->apply_bytes_max;
    raft_leader_leave_joint(r);
}

static void snapshot_stable(struct raft *r, raft_index index)
{
    struct raft_log *l = &r->log;
    if (l->snap != NULL && l->snap->index == index) {
        r->cfg.mem(r->cfg.mem_ctx, l->snap, 0);
        l->snap = NULL;
        l->snap_staged = false;
    }
    applied_to(r, index, 0);
}

/* A message of a lower term. */
static void older_term(struct raft *r, const struct raft_msg *m)
{
    if (m->type == RAFT_MSG_HEARTBEAT || m->type == RAFT_MSG_APP || m->type == RAFT_MSG_SLEEP) {
        /* A leader that was left behind learns our term from the answer and steps down (paper, 5.1). It may have
         * no other way to: with leases and pre-votes nobody's vote request reaches it, and who follows it need not be
         * anybody that campaigns. */
        raft_send(r, (struct raft_msg){ .type = RAFT_MSG_APP_RESP, .to = m->from });
    } else if (m->type == RAFT_MSG_PREVOTE || m->type == RAFT_MSG_VOTE) {
        /* A dropped pre-vote would be a deadlock of the higher term and the longer log. A candidate that never hears
         * of the term would stay behind another who campaigns as often, and whose log is too short to win. */
        raft_vote_refuse(r, m);
    } else if (m->type == RAFT_MSG_STORE_APPEND_RESP && m->hint != 0) {
        snapshot_stable(
            r,
            m->hint); /* committed state has no term; entries of an older one may be gone (ABA) */
    }
}

static err_t dispatch(struct raft *r, const struct raft_msg *m)
{
    switch (m->type) {
    case RAFT_MSG_STORE_APPEND_RESP:
        if (m->index != 0)
            raft_log_stable_to(&r->log, m->index, m->log_term);
        if (m->hint != 0)
            snapshot_stable(r, m->hint);
        return ERR_OK;
    case RAFT_MSG_STORE_APPLY_RESP:
        r->uncommitted -= m->hint < r->uncommitted ? m->hint : r->uncommitted;
        if (m->first + m->nents > r->log.overtaken)
            r->log.overtaken = 0;
        applied_to(r, m->first + m->nents - 1, m->hint);
        return ERR_OK;
    case RAFT_MSG_VOTE:
    case RAFT_MSG_PREVOTE:
        raft_vote_asked(r, m);
        return ERR_OK;
    default:
        break;
    }
    if (r->role == RAFT_LEADER)
        return raft_leader_step(r, m);
    if (r->role == RAFT_FOLLOWER)
        return raft_follower_step(r, m);
    raft_vote_step(r, m);
    return ERR_OK;
}

static err_t step(struct raft *r, const struct raft_msg *m)
{
    raft_vote_commit(r, m); /* what is committed is so in every term */
    if (m->term > r->term) {
        if (!newer_term(r, m))
            return ERR_OK;
    } else if (m->term != 0 && m->term < r->term) {
        older_term(r, m);
        return ERR_OK;
    }
    return dispatch(r, m);
}

static err_t step_proposal(struct raft *r, const struct raft_msg *m)
{
    struct raft_ent *ents = r->cfg.mem(r->cfg.mem_ctx, NULL, (m->nents + 1u) * sizeof *ents);
    if (ents == NULL)
        return ERR_NOMEM;
    if (m->nents > 0)
        memcpy(ents, m->ents, m->nents * sizeof *ents);
    err_t rc = raft_propose(r, ents, m->nents);
    r->cfg.mem(r->cfg.mem_ctx, ents, 0);
    return rc;
}

err_t raft_step(struct raft *r, const struct raft_msg *m)
{
    if (r->why_broken != NULL)
        return ERR_DATA_LOSS;
    if (!message_sane(m))
        return ERR_INVALID_ARGUMENT;
    if (is_response(m->type) && !local(m->from) && conf_find(&r->conf, m->from) < 0)
        return ERR_NOT_FOUND;
    if (m->type == RAFT_MSG_PROP)
        return step_proposal(r, m);
    err_t rc = raft_reserve(r, runs_of(m));
    if (rc == ERR_OK) {
        raft_sleep_disturbed(r, m);
        rc = step(r, m);
    }
    raft_check(r);
    return rc;
}
