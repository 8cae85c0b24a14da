/* One region: from what log and engine hold to a member of its group, and back; who is asked for what. */
#include "region_int.h"

#include <assert.h>
#include <stdlib.h>

#include "base/container.h"

enum {
    MSG_BYTES = 1 << 20,
    INFLIGHT = 256,
    APPLY_BYTES = 16 << 20,
    FLAGS = RAFT_PREVOTE | RAFT_CHECK_QUORUM | RAFT_LEASE_READ | RAFT_ASYNC |
            RAFT_STEP_DOWN_ON_REMOVAL | RAFT_TRANSFER_ON_REMOVAL | RAFT_NO_FORWARD |
            RAFT_COMMIT_IN_VOTE | RAFT_GATHER,
};

/* ---- Opening ------------------------------------------------------------------------------ */

static err_t load_meta(struct region *r, const struct storage_group *group, struct err *e)
{
    if (group->meta.len == 0 && group->region == REGION_SYSTEM) {
        /* A directory from before there were metas: one region, this replica alone, its peer numbered 1. */
        region_meta_first(&r->meta, &r->rs->store_id, 1);
        r->meta.conf.id[0] = 1;
        return ERR_OK;
    }
    err_t rc = region_meta_decode(group->meta, &r->meta);
    if (rc == ERR_OK && r->meta.id != group->region)
        rc = ERR_CORRUPTION;
    return rc == ERR_OK ? ERR_OK
                        : err_set(e, rc, "the record of region %llu does not decode",
                                  (unsigned long long)group->region);
}

static err_t open_raft(struct region *r, const struct storage_group *group, struct err *e)
{
    struct region_store *rs = r->rs;
    struct raft_cfg cfg = {
        .id = r->peer,
        .seed = env_random_u64(rs->env),
        .election_tick = (uint16_t)rs->config.election_ticks,
        .heartbeat_tick = (uint16_t)rs->config.heartbeat_ticks,
        .flags = FLAGS,
        .max_msg_bytes = MSG_BYTES,
        .max_inflight_msgs = INFLIGHT,
        .max_inflight_bytes = rs->config.uncommitted_bytes_max,
        .max_apply_bytes = APPLY_BYTES,
        .log = region_log_ops(r),
    };
    struct raft_boot boot = {
        .hs = group->hs,
        .snap = { .index = group->base, .term = group->base_term, .conf = r->meta.conf },
        .applied = group->applied,
        .runs = group->runs,
        .nruns = group->nruns,
        .restarted =
            true, /* also where the log is empty: an answer to a heartbeat leaves before its term is written */
    };
    err_t rc = raft_open(&cfg, &boot, &r->raft);
    return rc == ERR_OK ? ERR_OK
                        : err_set(e, rc == ERR_INVALID_ARGUMENT ? ERR_DATA_LOSS : rc,
                                  "region %llu: its log and its state do not fit each other",
                                  (unsigned long long)group->region);
}

static void index_region(struct region_store *rs, struct region *r)
{
    if (rs->count == rs->cap) {
        rs->cap = rs->cap == 0 ? 8 : rs->cap * 2;
        rs->by_start = realloc(rs->by_start, rs->cap * sizeof(void *));
        if (rs->by_start == NULL)
            abort(); /* a pointer a region */
    }
    size_t at = rs->count;
    struct bytes start = buf_bytes(&r->meta.start);
    while (at > 0 && bytes_compare(buf_bytes(&rs->by_start[at - 1]->meta.start), start) > 0)
        at--;
    memmove(rs->by_start + at + 1, rs->by_start + at, (rs->count - at) * sizeof(void *));
    rs->by_start[at] = r;
    rs->count++;
}

err_t region_open(struct region_store *rs, const struct storage_group *group, struct err *e)
{
    struct region *r = calloc(1, sizeof *r);
    if (r == NULL)
        abort(); /* small and fixed */
    r->rs = rs;
    struct list *const lists[] = { &r->starved, &r->queue, &r->proposals, &r->asked,
                                   &r->waiting, &r->node,  &r->dirty,     &r->proposing };
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        list_init(lists[i]);
    list_push_back(&rs->regions, &r->node);
    err_t rc = load_meta(r, group, e);
    if (rc == ERR_OK && (r->peer = region_meta_peer(&r->meta, rs->store_id)) == RAFT_NONE)
        rc = err_set(e, ERR_DATA_LOSS,
                     "region %llu has no replica on store %llu, whose directory holds it",
                     (unsigned long long)group->region, (unsigned long long)rs->store_id);
    if (rc == ERR_OK)
        rc = open_raft(r, group, e);
    if (rc == ERR_OK)
        rc = map_put_u64(&rs->by_id, r->meta.id, r, NULL);
    if (rc != ERR_OK) {
        region_close(r);
        return rc;
    }
    index_region(rs, r);
    r->applied = group->applied;
    r->applied_hlc = group->applied_hlc;
    r->hs = r->saved = group->hs;
    if (r->hs.commit < r->applied)
        r->hs.commit = r->applied;
    rs->stats.replayed += group->last - r->applied;
    rs->stats.committed += r->hs.commit;
    rs->stats.applied += r->applied;
    r->ticked = rs->ticks;
    region_clock_saw(rs, group->applied_hlc);
    rs->stats.regions++;
    if (region_is_alone(r))
        (void)!raft_campaign(r->raft);
    region_touch(r);
    return ERR_OK;
}

void region_close(struct region *r)
{
    struct region_store *rs = r->rs;
    assert(list_empty(&r->queue) && list_empty(&r->proposals) && list_empty(&r->asked) &&
           list_empty(&r->waiting) && r->writing == 0);
    if (map_remove_u64(&rs->by_id, r->meta.id) != NULL) {
        size_t at = 0;
        while (rs->by_start[at] != r)
            at++;
        rs->count--;
        memmove(rs->by_start + at, rs->by_start + at + 1, (rs->count - at) * sizeof(void *));
    }
    list_remove(&r->node);
    list_remove(&r->dirty);
    list_remove(&r->proposing);
    region_window_close(r);
    region_entries_free(&r->entries);
    raft_close(r->raft);
    region_meta_free(&r->meta);
    free(r);
}

/* ---- Finding ------------------------------------------------------------------------------ */

struct region *region_find(struct region_store *rs, uint64_t id)
{
    return map_get_u64(&rs->by_id, id);
}

struct region *region_at(struct region_store *rs, uint32_t ns, struct bytes key)
{
    size_t lo = 0, hi = rs->count; /* the last one whose start is not behind the key */
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (region_meta_begins(&rs->by_start[mid]->meta, ns, key))
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo == 0 || !region_meta_holds(&rs->by_start[lo - 1]->meta, ns, key))
        return NULL;
    return rs->by_start[lo - 1];
}

/* Equality, not "at least": who knows more than this replica must not read what it does not know yet (trap D1). */
static err_t check_epoch(const struct region *r, const struct region_context *c, struct err *e)
{
    if ((c->conf_ver == 0 || c->conf_ver == r->meta.conf_ver) &&
        (c->version == 0 || c->version == r->meta.version) &&
        (c->peer_id == 0 || c->peer_id == r->peer))
        return ERR_OK;
    r->rs->stats.refused_epoch++;
    return err_set(
        e, ERR_EPOCH_NOT_MATCH,
        "region %llu has epoch {%llu,%llu} and peer %llu, the request says {%llu,%llu} and "
        "%llu: ask for the routes again",
        (unsigned long long)r->meta.id, (unsigned long long)r->meta.conf_ver,
        (unsigned long long)r->meta.version, (unsigned long long)r->peer,
        (unsigned long long)c->conf_ver, (unsigned long long)c->version,
        (unsigned long long)c->peer_id);
}

err_t region_route(struct region_store *rs, const struct region_context *c, uint32_t ns,
                   struct bytes key, struct region **ret, struct err *e)
{
    struct region *r = c->region_id != 0 ? region_find(rs, c->region_id) : region_at(rs, ns, key);
    if (r == NULL) {
        rs->stats.refused_epoch++;
        if (c->region_id == 0)
            return err_set(e, ERR_REGION_NOT_FOUND,
                           "no region of this store holds the key: ask for the routes");
        return err_set(e, ERR_REGION_NOT_FOUND, "region %llu is not here: ask for the routes again",
                       (unsigned long long)c->region_id);
    }
    err_t rc = check_epoch(r, c, e);
    if (rc == ERR_OK && !region_meta_holds(&r->meta, ns, key)) {
        rs->stats.refused_epoch++;
        rc = err_set(e, ERR_EPOCH_NOT_MATCH,
                     "the key is not in region %llu: ask for the routes again",
                     (unsigned long long)r->meta.id);
    }
    if (rc == ERR_OK && c->hlc != 0)
        rc = region_hlc_observe(rs, c->hlc, e);
    if (rc == ERR_OK)
        *ret = r;
    return rc;
}

bool region_is_alone(const struct region *r)
{
    const struct raft_conf *c = &r->meta.conf;
    return c->n == 1 && c->outgoing == 0;
}

err_t region_not_leader(const struct region *r, struct region_hint *hint, struct err *e)
{
    hint->region_id = r->meta.id;
    hint->leader_store = r->lead == r->peer ? 0 : region_meta_store(&r->meta, r->lead);
    r->rs->stats.refused_leader++;
    if (hint->leader_store == 0)
        return err_set(e, ERR_NOT_LEADER,
                       "region %llu has no leader that this node knows of: try again soon",
                       (unsigned long long)r->meta.id);
    return err_set(e, ERR_NOT_LEADER, "store %llu leads region %llu: nothing was done here",
                   (unsigned long long)hint->leader_store, (unsigned long long)r->meta.id);
}

/* ---- Facts -------------------------------------------------------------------------------- */

static void fill_info(const struct region *r, struct region_info *ret)
{
    struct raft_status s;
    raft_status(r->raft, &s);
    *ret = (struct region_info){ .id = r->meta.id,
                                 .conf_ver = r->meta.conf_ver,
                                 .version = r->meta.version,
                                 .peer_id = r->peer,
                                 .leader_peer = s.lead,
                                 .leader_store = region_meta_store(&r->meta, s.lead),
                                 .start = buf_bytes(&r->meta.start),
                                 .end = buf_bytes(&r->meta.end),
                                 .end_unbounded = r->meta.end_unbounded,
                                 .leads = s.role == RAFT_LEADER,
                                 .broken = s.broken,
                                 .term = s.term,
                                 .first = s.first,
                                 .last = s.last,
                                 .committed = s.commit,
                                 .applied = r->applied,
                                 .applied_hlc = r->applied_hlc,
                                 .peer_count = s.conf.n };
    for (unsigned i = 0; i < s.conf.n; i++)
        ret->peers[i] =
            (struct region_peer_info){ .id = s.conf.id[i],
                                       .store = region_meta_store(&r->meta, s.conf.id[i]),
                                       .voter = (s.conf.voters >> i & 1) != 0,
                                       .learner = (s.conf.learners >> i & 1) != 0,
                                       .active = s.peers[i].active,
                                       .match = s.peers[i].match };
}

void region_each(struct region_store *rs, void (*each)(void *user, const struct region_info *info),
                 void *user)
{
    struct region_info info;
    for (size_t i = 0; i < rs->count; i++) {
        fill_info(rs->by_start[i], &info);
        each(user, &info);
    }
}

err_t region_info(struct region_store *rs, uint64_t id, struct region_info *ret)
{
    struct region *r = region_find(rs, id);
    if (r == NULL)
        return ERR_REGION_NOT_FOUND;
    fill_info(r, ret);
    return ERR_OK;
}

bool region_leads(const struct region_store *rs, uint64_t id, raft_term *term)
{
    const struct region *r = map_get_u64(&rs->by_id, id);
    if (r == NULL || r->role != RAFT_LEADER || r->led_term == 0)
        return false;
    if (term != NULL)
        *term = r->led_term;
    return true;
}

err_t region_transfer(struct region_store *rs, uint64_t id, uint64_t store, struct err *e)
{
    struct region *r = region_find(rs, id);
    struct region_hint hint;
    if (r == NULL)
        return err_set(e, ERR_REGION_NOT_FOUND, "region %llu is not here", (unsigned long long)id);
    if (r->role != RAFT_LEADER)
        return region_not_leader(r, &hint, e);
    raft_id to = region_meta_peer(&r->meta, store);
    if (to == RAFT_NONE)
        return err_set(e, ERR_INVALID_ARGUMENT, "region %llu has no replica on store %llu",
                       (unsigned long long)id, (unsigned long long)store);
    err_t rc = raft_transfer(r->raft, to);
    region_touch(r);
    return rc == ERR_OK ? ERR_OK : err_set(e, rc, "the transfer was not begun");
}
