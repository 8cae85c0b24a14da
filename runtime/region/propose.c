/* Writes on their way into the log.
 *
 *   queue      [w][w][w][w] ...      of a region; limited by bytes and count over all regions
 *                 | end of a turn of the loop, no sync running, we lead
 *   entry      [w w w w]             as many whole writes as fit one: the bytes of the requests, copied once
 *   proposal   until the entry is applied: answered by its results
 *
 * While one turn syncs the next one's writes gather in the queue: that is the group commit.
 *
 * What becomes of a proposal. Applied at its index and term: done. Something else applied at its index: never done,
 * by nobody (thesis 3.6.3; that it was replaced in our log would not be enough: another one may still have it and
 * lead). We lead no more: for some ticks the answer may still come, then it is UNDETERMINED. */
#include "region_int.h"

#include <assert.h>
#include <stdlib.h>

#include "base/container.h"

enum { DEPOSED_ELECTIONS = 2 }; /* how long a deposed leader's proposals may still be decided */

/* ---- Ends --------------------------------------------------------------------------------- */

static void write_end(struct region_store *rs, struct region_write *w, err_t rc)
{
    rs->stats.uncommitted -= w->count;
    rs->stats.uncommitted_bytes -= w->cost;
    rs->stats.undetermined += rc == ERR_UNDETERMINED;
    w->rc = rc;
    histogram_add(&rs->stats.write_us, (env_now(rs->env) - w->began) / 1000);
    w->done(w);
}

static struct region_proposal *proposal_new(struct region_store *rs)
{
    struct region_proposal *p;
    if (!list_empty(&rs->spare_proposals))
        p = container_of(list_pop_front(&rs->spare_proposals), struct region_proposal, node);
    else if ((p = calloc(1, sizeof *p)) == NULL)
        abort(); /* small; limited by what is uncommitted */
    list_init(&p->node);
    list_init(&p->writes);
    return p;
}

static void proposal_free(struct region_store *rs, struct region_proposal *p)
{
    list_remove(&p->node);
    list_push_back(&rs->spare_proposals, &p->node);
}

/* Ends the proposal's writes; `why` NULL: w->error is theirs already. */
static void proposal_end(struct region *r, struct region_proposal *p, err_t rc, const char *why)
{
    struct region_store *rs = r->rs;
    struct list writes;
    list_init(&writes);
    list_splice(&writes, &p->writes);
    proposal_free(rs, p);
    while (!list_empty(&writes)) {
        struct region_write *w = container_of(list_pop_front(&writes), struct region_write, node);
        if (rc == ERR_NOT_LEADER)
            region_not_leader(r, &w->hint, &w->error);
        else if (rc != ERR_OK)
            err_set(&w->error, rc, "%s", why);
        write_end(rs, w, rc);
    }
}

/* ---- Entries ------------------------------------------------------------------------------ */

/* Ends the writes at the head of the queue whose deadline has passed. (One behind the head waits
 * for its turn: the queue is short.) */
static void queue_expire(struct region *r, uint64_t now)
{
    while (!list_empty(&r->queue)) {
        struct region_write *w = container_of(r->queue.next, struct region_write, node);
        if (w->deadline > now)
            return;
        list_remove(&w->node);
        r->rs->stats.expired++;
        write_end(r->rs, w,
                  err_set(&w->error, ERR_DEADLINE_EXCEEDED,
                          "the deadline passed before the write was begun: nothing was done"));
    }
}

/* Whole writes from the head of the queue that fit one entry: moved into `p`. Answers the entry's size. */
static size_t gather(struct region *r, struct region_proposal *p, uint32_t *count)
{
    size_t bytes = STORAGE_ENTRY_HEADER;
    *count = 0;
    while (!list_empty(&r->queue)) {
        struct region_write *w = container_of(r->queue.next, struct region_write, node);
        if (bytes + w->cost > r->rs->entry_max || *count + w->count > COMMAND_COUNT_MAX)
            break;
        w->first = *count;
        bytes += w->cost;
        *count += w->count;
        list_remove(&w->node);
        list_push_back(&p->writes, &w->node);
    }
    return bytes;
}

static void ungather(struct region *r, struct region_proposal *p)
{
    list_splice(&p->writes, &r->queue);
    list_splice(&r->queue, &p->writes);
    proposal_free(r->rs, p);
}

/* Into the entry's own memory, which has just the room. */
static void encode(const struct region_proposal *p, struct region_entry *entry, uint32_t count,
                   uint64_t hlc, uint64_t version)
{
    struct buf bytes = { .data = entry->data, .cap = entry->len };
    err_t rc = storage_entry_begin(&bytes, hlc, version);
    list_for_each(node, &p->writes) {
        struct region_write *w = container_of(node, struct region_write, node);
        w->hlc = hlc;
        for (uint32_t i = 0; i < w->count && rc == ERR_OK; i++)
            rc = storage_entry_add(&bytes, w->commands[i].kind, w->bodies[i]);
    }
    storage_entry_end(&bytes, (uint16_t)count);
    assert(rc == ERR_OK && bytes.data == entry->data && bytes.len == entry->len);
}

/* One entry of what waits. False: not now. */
static bool propose_one(struct region *r)
{
    struct region_store *rs = r->rs;
    uint64_t hlc;
    if (!region_clock_stamp(rs, &hlc)) {
        env_timer_start(rs->env, &rs->clock_retry, 1000000); /* that turn's hook comes back here */
        return false;
    }
    struct region_proposal *p = proposal_new(rs);
    uint32_t count;
    size_t bytes = gather(r, p, &count);
    struct region_entry *entry = region_entry_new((uint32_t)bytes);
    if (entry == NULL) {
        proposal_end(r, p, ERR_RESOURCE_EXHAUSTED, "no memory for an entry: nothing was done");
        return true;
    }
    entry->type = RAFT_ENT_NORMAL;
    encode(p, entry, count, hlc, r->meta.version);
    struct raft_ent ent = region_entry_ent(entry);
    err_t rc = raft_propose(r->raft, &ent, 1);
    if (rc == ERR_OK) {
        p->index = ent.index;
        p->term = ent.term;
        list_push_back(&r->proposals, &p->node);
    } else if (rc == ERR_UNAVAILABLE && raft_role(r->raft) == RAFT_LEADER) {
        ungather(r, p); /* it is handing over: soon it leads no more, or leads on */
    } else if (rc == ERR_UNAVAILABLE) {
        proposal_end(r, p, ERR_NOT_LEADER, NULL);
    } else {
        proposal_end(r, p, ERR_UNAVAILABLE, "the region takes no proposals: nothing was done");
    }
    region_entry_unref(entry); /* the log has its own reference */
    region_touch(r);
    return rc == ERR_OK;
}

void region_propose_turn(struct region_store *rs)
{
    if (rs->closing || rs->stats.latched || rs->logging || list_empty(&rs->proposing))
        return;
    uint64_t now = env_now(rs->env);
    list_for_each_safe(node, &rs->proposing) {
        struct region *r = container_of(node, struct region, proposing);
        queue_expire(r, now);
        if (r->role == RAFT_LEADER && !list_empty(&r->queue))
            (void)propose_one(r);
        if (list_empty(&r->queue))
            list_remove(&r->proposing);
    }
}

/* ---- Answers ------------------------------------------------------------------------------ */

static void count_write(struct region_store *rs, const struct region_write *w)
{
    for (uint32_t i = 0; i < w->count; i++) {
        const struct command *c = &w->commands[i];
        rs->stats.conflicts += region_write_result(w, i)->rc == ERR_CONFLICT;
        region_stats_touch(rs, c->namespace_id, c->key);
        if (c->kind == COMMAND_RAW_PUT || c->kind == COMMAND_CAS)
            region_stats_row(rs, c->key.len, c->value.len);
    }
}

static void answer(struct region *r, struct region_proposal *p, uint32_t slot)
{
    struct region_store *rs = r->rs;
    struct storage_apply *apply = rs->turn.apply;
    if (storage_apply_outcome(apply, slot) != ERR_OK) {
        proposal_end(
            r, p, ERR_EPOCH_NOT_MATCH,
            "the region was changed before the write was reached: nothing was done; ask for the routes");
        return;
    }
    list_for_each(node, &p->writes) {
        struct region_write *w = container_of(node, struct region_write, node);
        w->rc = ERR_OK;
        w->apply = apply;
        w->slot = slot;
        count_write(rs, w);
    }
    proposal_end(r, p, ERR_OK, NULL);
}

/* Of one term the proposals are in the order of their indexes; but who was deposed and leads again has others of
 * earlier terms in front of them, at the same indexes and behind. */
void region_propose_applied(struct region *r, const struct region_entry *entry, uint32_t slot)
{
    list_for_each_safe(node, &r->proposals) {
        struct region_proposal *p = container_of(node, struct region_proposal, node);
        assert(p->index >= entry->index); /* each index was looked at when it was applied */
        if (p->index > entry->index && p->term == r->hs.term)
            return;
        if (p->index > entry->index)
            continue;
        if (p->term == entry->term)
            answer(r, p, slot);
        else
            proposal_end(r, p, ERR_NOT_LEADER, NULL); /* another entry has its place, for ever */
    }
}

const struct storage_result *region_write_result(const struct region_write *w, uint32_t i)
{
    assert(w->rc == ERR_OK && i < w->count);
    return storage_apply_result(w->apply, w->slot, w->first + i, NULL);
}

void region_propose_deposed(struct region *r)
{
    struct region_store *rs = r->rs;
    uint64_t until = env_now(rs->env) + DEPOSED_ELECTIONS * rs->config.election_ticks * rs->tick_ns;
    list_for_each(node, &r->proposals) {
        struct region_proposal *p = container_of(node, struct region_proposal, node);
        list_for_each(inner, &p->writes) {
            struct region_write *w = container_of(inner, struct region_write, node);
            w->deadline = w->deadline < until ? w->deadline : until;
        }
    }
    if (region_is_alone(r))
        return; /* it will lead again */
    while (!list_empty(&r->queue)) {
        struct region_write *w = container_of(list_pop_front(&r->queue), struct region_write, node);
        write_end(rs, w, region_not_leader(r, &w->hint, &w->error));
    }
}

void region_propose_expire(struct region *r, uint64_t now)
{
    queue_expire(r, now);
    list_for_each_safe(node, &r->proposals) {
        struct region_proposal *p = container_of(node, struct region_proposal, node);
        list_for_each_safe(inner, &p->writes) {
            struct region_write *w = container_of(inner, struct region_write, node);
            if (w->deadline > now)
                continue;
            list_remove(&w->node);
            write_end(
                r->rs, w,
                err_set(&w->error, ERR_UNDETERMINED,
                        "no quorum has answered in time: the write may still happen, or never"));
        }
    }
}

void region_propose_refuse(struct region *r, err_t rc, const char *why)
{
    while (!list_empty(&r->queue)) {
        struct region_write *w = container_of(list_pop_front(&r->queue), struct region_write, node);
        write_end(r->rs, w, err_set(&w->error, rc, "%s", why));
    }
    list_remove(&r->proposing);
}

void region_propose_doubt(struct region *r, const char *why)
{
    while (!list_empty(&r->proposals))
        proposal_end(r, container_of(r->proposals.next, struct region_proposal, node),
                     ERR_UNDETERMINED, why);
}

void region_propose_close(struct region_store *rs)
{
    env_timer_stop(rs->env, &rs->clock_retry);
    while (!list_empty(&rs->spare_proposals))
        free(container_of(list_pop_front(&rs->spare_proposals), struct region_proposal, node));
}

/* ---- Proposing ---------------------------------------------------------------------------- */

static bool write_only_deletes(const struct region_write *w)
{
    for (uint32_t i = 0; i < w->count; i++)
        if (w->commands[i].kind != COMMAND_RAW_DELETE && w->commands[i].kind != COMMAND_CAS_DELETE)
            return false;
    return true;
}

/* The region of a write: all its commands are in one. */
static err_t write_route(struct region_store *rs, struct region_write *w, struct region **ret)
{
    for (uint32_t i = 0; i < w->count; i++) {
        const struct command *c = &w->commands[i];
        struct region_context context = { c->region_id, c->conf_ver, c->version, c->peer_id,
                                          c->client_hlc };
        bool system = c->kind == COMMAND_NAMESPACE || c->kind == COMMAND_TSO;
        if (system)
            context = (struct region_context){ .region_id = REGION_SYSTEM };
        struct region *r = NULL;
        err_t rc = region_route(rs, &context, system ? 0 : c->namespace_id,
                                system ? (struct bytes){ 0 } : c->key, &r, &w->error);
        if (rc != ERR_OK)
            return rc;
        if (i > 0 && r != *ret)
            return err_set(
                &w->error, ERR_EPOCH_NOT_MATCH,
                "the commands are of several regions: ask for the routes, send one request each");
        *ret = r;
    }
    return ERR_OK;
}

/* What is refused here was not begun: nothing of it will ever happen. */
static err_t write_check(struct region_store *rs, struct region_write *w)
{
    struct err *e = &w->error;
    if (rs->stats.latched)
        return err_set(e, ERR_UNAVAILABLE, "the store has failed and the node is about to exit");
    if (rs->closing)
        return err_set(e, ERR_UNAVAILABLE, "the node is stopping: try another, or wait");
    if (rs->clock_suspect)
        return err_set(e, ERR_UNAVAILABLE,
                       "the clock of this machine has jumped ahead: try another node");
    if (w->cost + STORAGE_ENTRY_HEADER > rs->entry_max || w->count > COMMAND_COUNT_MAX)
        return err_set(e, ERR_TOO_LARGE,
                       "%u commands of %zu bytes: at most %u and %u fit one request; send several",
                       w->count, w->cost, (unsigned)COMMAND_COUNT_MAX,
                       (unsigned)(rs->entry_max - STORAGE_ENTRY_HEADER));
    if (rs->stats.uncommitted + w->count > rs->config.uncommitted_max ||
        rs->stats.uncommitted_bytes + w->cost > rs->config.uncommitted_bytes_max) {
        rs->stats.refused_busy++;
        w->backoff_ms = rs->config.busy_backoff_ms;
        bool by_count = rs->stats.uncommitted + w->count > rs->config.uncommitted_max;
        return err_set(e, ERR_SERVER_IS_BUSY, "%s is reached: try again in %u ms",
                       by_count ? "region.uncommitted_max" : "region.uncommitted_bytes_max",
                       w->backoff_ms);
    }
    if (rs->stats.disk_full && !write_only_deletes(w)) {
        rs->stats.refused_disk++;
        return err_set(e, ERR_DISK_FULL,
                       "less than %u %% of the disk is free: delete keys, or make room "
                       "(deletes and reads are served)",
                       rs->config.disk_reserve_percent);
    }
    return ERR_OK;
}

void region_propose(struct region_store *rs, struct region_write *w)
{
    struct region *r = NULL;
    assert(w->count > 0);
    list_init(&w->node);
    w->backoff_ms = 0;
    w->hint = (struct region_hint){ 0 };
    w->hlc = 0;
    w->error.code = ERR_OK;
    w->error.msg[0] = 0;
    w->cost = 0;
    for (uint32_t i = 0; i < w->count; i++)
        w->cost += STORAGE_COMMAND_HEADER + w->bodies[i].len;
    err_t rc = write_check(rs, w);
    if (rc == ERR_OK)
        rc = write_route(rs, w, &r);
    if (rc == ERR_OK && r->broken_told)
        rc = err_set(&w->error, ERR_UNAVAILABLE, "this replica has stopped: ask another one");
    if (rc == ERR_OK && r->role != RAFT_LEADER && !region_is_alone(r))
        rc = region_not_leader(r, &w->hint, &w->error);
    if (rc != ERR_OK) {
        w->rc = rc;
        w->done(w);
        return;
    }
    w->began = env_now(rs->env);
    rs->stats.uncommitted += w->count;
    rs->stats.uncommitted_bytes += w->cost;
    list_push_back(&r->queue, &w->node);
    if (!list_linked(&r->proposing))
        list_push_back(&rs->proposing, &r->proposing);
}
