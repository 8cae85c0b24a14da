/* One group: opening, the rules of terms, roles, ticks, and the calls of raft.h.
 *
 *                 +--------------- higher term, or a leader of this term ----------------+
 *                 v                                                                       |
 *   start --> FOLLOWER -- timeout --> PRECANDIDATE -- a quorum would --> CANDIDATE --> LEADER
 *                 |                        |  (RAFT_PREVOTE)               ^
 *                 +-- told to (transfer), or without pre-votes ------------+
 *
 * Every message passes raft_step(): first the rules that hold for all (terms, leases), then one function by role. */
#include "raft_int.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { WAITS_MAX = 4096 }; /* reads that wait in one group */

static void *mem_default(void *ctx, void *old, size_t size)
{
    (void)ctx;
    if (size == 0) {
        free(old);
        return NULL;
    }
    return realloc(old, size);
}

bool raft_flag(const struct raft *r, enum raft_flags flag)
{
    return (r->cfg.flags & flag) != 0;
}

void raft_break(struct raft *r, const char *why)
{
    if (r->why_broken == NULL)
        r->why_broken = why;
}

struct raft_peer *raft_peer_of(struct raft *r, raft_id id)
{
    int place = conf_find(&r->conf, id);
    return place < 0 ? NULL : &r->peers[place];
}

struct raft_peer *raft_self(struct raft *r)
{
    return raft_peer_of(r, r->cfg.id);
}

/* ---- Roles -------------------------------------------------------------------------------------------------- */

static const unsigned role_next[] = {
    [RAFT_FOLLOWER] = 1u << RAFT_FOLLOWER | 1u << RAFT_PRECANDIDATE | 1u << RAFT_CANDIDATE,
    [RAFT_PRECANDIDATE] = 1u << RAFT_FOLLOWER | 1u << RAFT_PRECANDIDATE | 1u << RAFT_CANDIDATE,
    [RAFT_CANDIDATE] =
        1u << RAFT_FOLLOWER | 1u << RAFT_PRECANDIDATE | 1u << RAFT_CANDIDATE | 1u << RAFT_LEADER,
    [RAFT_LEADER] = 1u << RAFT_FOLLOWER,
};

static void role_move(struct raft *r, enum raft_role next)
{
    assert(role_next[r->role] & 1u << next);
    r->role = next;
}

static void new_timeout(struct raft *r)
{
    r->election_timeout = r->cfg.election_tick;
    if (!r->cfg.no_jitter)
        r->election_timeout += (uint32_t)prng_below(&r->prng, r->cfg.election_tick);
}

static void reset(struct raft *r, raft_term term)
{
    if (term != r->term) {
        r->term = term;
        r->vote = RAFT_NONE; /* and only then: within a term a vote survives every change of role */
    }
    r->lead = RAFT_NONE;
    r->transferee = RAFT_NONE;
    r->election_elapsed = r->heartbeat_elapsed = 0;
    r->granted = r->rejected = 0;
    r->pending_conf = 0;
    r->uncommitted = 0;
    r->gather = false;
    new_timeout(r);
    raft_read_drop(r);
    for (unsigned i = 0; i < r->conf.n; i++) {
        struct raft_peer *p = &r->peers[i];
        struct raft_flight flight = { .ring = p->flight.ring, .cap = p->flight.cap };
        *p = (struct raft_peer){ .next = raft_log_last(&r->log) + 1, .flight = flight };
        if (r->conf.id[i] == r->cfg.id)
            p->match = r->log.stable; /* others may elect us before our own disk has caught up */
    }
}

void raft_become_follower(struct raft *r, raft_term term, raft_id lead)
{
    role_move(r, RAFT_FOLLOWER);
    reset(r, term);
    r->lead = lead;
}

/* Asks without a new term: nobody is disturbed by a node that cannot win. */
void raft_become_precandidate(struct raft *r)
{
    role_move(r, RAFT_PRECANDIDATE);
    r->granted = r->rejected = 0;
    r->lead = RAFT_NONE; /* a known leader would keep us from granting others */
}

void raft_become_candidate(struct raft *r)
{
    role_move(r, RAFT_CANDIDATE);
    reset(r, r->term + 1);
    r->vote = r->cfg.id;
}

void raft_become_leader(struct raft *r)
{
    struct raft_ent empty = { .type = RAFT_ENT_NORMAL };
    role_move(r, RAFT_LEADER);
    reset(r, r->term);
    r->lead = r->cfg.id;
    struct raft_peer *self = raft_self(r);
    raft_peer_replicate(self);
    self->active = true;
    /* There may be an unapplied change in the log: none may be proposed before all of it is applied. */
    r->pending_conf = raft_log_last(&r->log);
    raft_leader_append_own(r, &empty, 1); /* what older terms left commits with it */
}

bool raft_promotable(const struct raft *r)
{
    int place = conf_find(&r->conf, r->cfg.id);
    return place >= 0 && !(r->conf.learners & conf_bit((unsigned)place)) && r->log.snap == NULL;
}

/* ---- Opening ------------------------------------------------------------------------------------------------ */

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
    return conf_broken(&boot->snap.conf) == NULL && boot->applied <= last &&
           boot->hs.commit <= last && (fresh || boot->hs.term >= term);
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
    raft_become_follower(r, r->term, RAFT_NONE);
    r->hs_given = (struct raft_hs){ r->term, r->vote, l->commit };
    r->role_given = RAFT_FOLLOWER;
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

/* ---- Time --------------------------------------------------------------------------------------------------- */

static void check_quorum(struct raft *r)
{
    uint16_t active = 0;
    for (unsigned i = 0; i < r->conf.n; i++)
        if (r->peers[i].active)
            active |= conf_bit(i);
    if (!quorum_has(r->conf.voters, r->conf.outgoing, active))
        raft_become_follower(r, r->term, RAFT_NONE);
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
        r->transferee = RAFT_NONE; /* it had its time */
    }
    if (r->heartbeat_elapsed >= r->cfg.heartbeat_tick) {
        r->heartbeat_elapsed = 0;
        raft_leader_heartbeat(r);
    }
}

static void tick_follower(struct raft *r)
{
    r->election_elapsed++;
    if (r->election_elapsed < r->election_timeout || !raft_promotable(r))
        return;
    r->election_elapsed = 0;
    raft_hup(r, RAFT_CAMPAIGN);
}

void raft_tick(struct raft *r, uint32_t n)
{
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
    if (r->why_broken != NULL)
        return UINT32_MAX;
    if (r->role != RAFT_LEADER)
        return raft_promotable(r) ? left(r->election_timeout, r->election_elapsed) : UINT32_MAX;
    uint32_t heartbeat = left(r->cfg.heartbeat_tick, r->heartbeat_elapsed);
    uint32_t election = left(r->cfg.election_tick, r->election_elapsed);
    return heartbeat < election ? heartbeat : election;
}

/* ---- Messages ----------------------------------------------------------------------------------------------- */

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

/* A message of a higher term. False: it is ignored, since we hear a leader (thesis 4.2.3 and 6.4.1). */
static bool newer_term(struct raft *r, const struct raft_msg *m)
{
    bool asks = m->type == RAFT_MSG_VOTE || m->type == RAFT_MSG_PREVOTE;
    bool leased = raft_flag(r, RAFT_CHECK_QUORUM) && r->lead != RAFT_NONE &&
                  r->election_elapsed < r->cfg.election_tick;
    if (asks && leased && !m->forced)
        return false;
    if (m->type == RAFT_MSG_PREVOTE || (m->type == RAFT_MSG_PREVOTE_RESP && !m->reject))
        return true; /* its term is not there yet */
    bool leads =
        m->type == RAFT_MSG_APP || m->type == RAFT_MSG_HEARTBEAT || m->type == RAFT_MSG_SNAP;
    raft_become_follower(r, m->term, leads ? m->from : RAFT_NONE);
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
    if (m->type == RAFT_MSG_HEARTBEAT || m->type == RAFT_MSG_APP) {
        /* A leader that was left behind learns our term from the answer and steps down (paper, 5.1). It may have
         * no other way to: with leases and pre-votes nobody's vote request reaches it, and who follows it need not be
         * anybody that campaigns. */
        raft_send(r, (struct raft_msg){ .type = RAFT_MSG_APP_RESP, .to = m->from });
    } else if (m->type == RAFT_MSG_PREVOTE) {
        /* A dropped one would be a deadlock of the higher term and the longer log. */
        struct raft_msg answer = {
            .type = RAFT_MSG_PREVOTE_RESP, .to = m->from, .term = r->term, .reject = true
        };
        raft_send(r, answer);
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
    raft_candidate_step(r, m);
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
    if (rc == ERR_OK)
        rc = step(r, m);
    raft_check(r);
    return rc;
}

/* ---- Requests ----------------------------------------------------------------------------------------------- */

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
    raft_send(r, (struct raft_msg){ .type = RAFT_MSG_TIMEOUT_NOW, .to = r->conf.id[best] });
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
            raft_become_follower(r, r->term, RAFT_NONE);
        }
    } else if (r->conf.voters != 0) {
        raft_leader_switched(r);
    }
    raft_check(r);
    return ERR_OK;
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
    if (rc == ERR_OK)
        raft_hup(r, RAFT_CAMPAIGN);
    raft_check(r);
    return rc;
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
    if (r->role == RAFT_FOLLOWER)
        r->lead = RAFT_NONE;
    return ERR_OK;
}

void raft_unreachable(struct raft *r, raft_id peer)
{
    struct raft_peer *p = raft_peer_of(r, peer);
    if (r->role == RAFT_LEADER && p != NULL && p->state == RAFT_REPLICATE)
        raft_peer_probe(p); /* an append was probably lost: go back to one at a time */
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

bool raft_quiet(const struct raft *r)
{
    raft_index last = raft_log_last(&r->log);
    if (r->role != RAFT_LEADER || r->why_broken != NULL || r->transferee != RAFT_NONE ||
        r->nwaits > 0 || r->log.applied != last || r->log.stable != last || conf_joint(&r->conf) ||
        raft_has_ready(r))
        return false;
    for (unsigned i = 0; i < r->conf.n; i++)
        if (r->peers[i].match != last ||
            (r->conf.id[i] != r->cfg.id && r->peers[i].state != RAFT_REPLICATE) ||
            r->peers[i].sent_commit < (r->conf.id[i] == r->cfg.id ? 0 : last) ||
            !r->peers[i].active)
            return false;
    return true;
}

/* ---- Facts -------------------------------------------------------------------------------------------------- */

void raft_status(const struct raft *r, struct raft_status *ret)
{
    *ret = (struct raft_status){ .id = r->cfg.id,
                                 .lead = r->lead,
                                 .vote = r->vote,
                                 .transferee = r->transferee,
                                 .term = r->term,
                                 .role = r->role,
                                 .first = r->log.base + 1,
                                 .last = raft_log_last(&r->log),
                                 .commit = r->log.commit,
                                 .applying = r->log.applying,
                                 .applied = r->log.applied,
                                 .stable = r->log.stable,
                                 .conf = r->conf,
                                 .broken = r->why_broken != NULL,
                                 .why = r->why_broken };
    ret->bytes = sizeof *r + r->conf.n * sizeof *r->peers + r->log.cap * sizeof *r->log.runs +
                 r->waits_cap * sizeof *r->waits + raft_turn_bytes(r);
    for (unsigned i = 0; i < r->conf.n; i++) {
        const struct raft_peer *p = &r->peers[i];
        ret->bytes += p->flight.cap * sizeof *p->flight.ring;
        ret->peers[i] = (struct raft_peer_status){
            .id = r->conf.id[i],
            .state = (enum raft_peer_state)p->state,
            .match = p->match,
            .next = p->next,
            .pending_snap = p->pending_snap,
            .learner = (r->conf.learners & conf_bit(i)) != 0,
            .paused = raft_peer_paused(p),
            .active = p->active,
            .full = raft_peer_full(p, &r->window),
            .inflight = p->flight.count,
        };
    }
}

bool raft_term_of(const struct raft *r, raft_index index, raft_term *ret)
{
    return raft_log_term(&r->log, index, ret);
}

bool raft_broken(const struct raft *r)
{
    return r->why_broken != NULL;
}

void raft_set_election_timeout(struct raft *r, uint32_t ticks)
{
    r->election_timeout = ticks;
}
