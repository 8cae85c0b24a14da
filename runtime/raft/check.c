/* Invariants of one group (raft.md section 5): I13 marks, I14 progress, I15 configuration. What takes several nodes to
 * see (one leader per term, equal logs) is the simulator's. They stay on in release: 7 % of a core that does nothing
 * but consensus. */
#include "raft_int.h"

#include <assert.h>

static void check_marks(const struct raft *r)
{
    const struct raft_log *l = &r->log;
    raft_index last = raft_log_last(l);
    assert(l->applied <= l->applying && l->applying <= l->commit && l->commit <= last);
    assert(l->base <= l->stable && l->stable <= l->staged && l->staged <= last);
    for (uint32_t i = l->nruns > 2 ? l->nruns - 2 : 1; i < l->nruns;
         i++) { /* they change at the end alone */
        assert(l->runs[i].last > l->runs[i - 1].last);
        assert(l->runs[i].term >= l->runs[i - 1].term);
    }
    assert(raft_log_last_term(l) <= r->term || r->term == 0); /* 0: booted from a snapshot alone */
}

static void check_progress(const struct raft *r)
{
    raft_index last = raft_log_last(&r->log);
    for (unsigned i = 0; i < r->conf.n; i++) {
        const struct raft_peer *p = &r->peers[i];
        assert(p->match < p->next);
        assert(p->match <= last);
        assert(p->state == RAFT_SNAPSHOT ? p->pending_snap > 0 : p->pending_snap == 0);
        assert(p->state == RAFT_REPLICATE || p->flight.count == 0);
        assert(p->flight.count <= r->window.msgs && p->flight.count <= p->flight.cap);
    }
}

static void check_roles(const struct raft *r)
{
    assert(r->role != RAFT_LEADER || r->lead == r->cfg.id);
    assert(r->role != RAFT_CANDIDATE || r->vote == r->cfg.id);
    assert(r->transferee == RAFT_NONE || r->role == RAFT_LEADER);
    assert(!r->asleep || r->role == RAFT_LEADER ||
           (r->role == RAFT_FOLLOWER && r->lead != RAFT_NONE));
    assert(!r->asleep || r->lease_until == 0);
    assert(r->lease_until == 0 || (r->role == RAFT_LEADER && r->transferee == RAFT_NONE));
}

void raft_check_conf(const struct raft *r)
{
    assert(raft_conf_broken(&r->conf) == NULL);
}

void raft_check(const struct raft *r)
{
    if (r->why_broken != NULL)
        return;
    check_marks(r);
    if (r->role == RAFT_LEADER) /* nobody else keeps any */
        check_progress(r);
    check_roles(r);
}
