/* All regions of a store: opening, the end of a turn, Raft's time, the first failure, stopping.
 *
 *   open --> serving --> closing --> closed        what was begun and needs nobody else is finished
 *               |
 *               +--> latched: a write or sync failed. In flight: UNDETERMINED; new: UNAVAILABLE
 *
 * The end of a turn works until nothing is left that can be done without waiting: queues become entries, Readys become
 * work for the log, for apply and for other stores, and these leave once, together. */
#include "region_int.h"

#include <assert.h>
#include <stdlib.h>

#include "base/container.h"

enum { TICK_MS = 100, ELECTION_TICKS = 10, HEARTBEAT_TICKS = 3, CACHE_BYTES = 64 << 20 };
#define MS UINT64_C(1000000)

/* ---- A turn ------------------------------------------------------------------------------- */

void region_touch(struct region *r)
{
    if (!list_linked(&r->dirty))
        list_push_back(&r->rs->dirty, &r->dirty);
}

void region_store_work(struct region_store *rs)
{
    do {
        region_propose_turn(rs);
        while (!list_empty(&rs->dirty)) {
            struct region *r = container_of(list_pop_front(&rs->dirty), struct region, dirty);
            region_read_ask(r);
            region_ready(r);
        }
        region_log_pump(rs);
    } while (region_apply_pump(rs) || !list_empty(&rs->dirty));
    region_send_flush(rs);
}

static void turn_end(struct env_turn *hook)
{
    struct region_store *rs = container_of(hook, struct region_store, hook);
    if (!rs->stats.latched)
        region_store_work(rs);
}

/* ---- Time --------------------------------------------------------------------------------- */

/* Counts the ticks that have passed by now. */
static void count_ticks(struct region_store *rs)
{
    uint64_t now = env_now(rs->env);
    if (now < rs->tick_due)
        return;
    uint64_t n = (now - rs->tick_due) / rs->tick_ns + 1;
    rs->ticks += n;
    rs->tick_due += n * rs->tick_ns;
}

void region_catch_up(struct region *r)
{
    struct region_store *rs = r->rs;
    count_ticks(rs);
    uint64_t n = rs->ticks - r->ticked;
    if (n == 0)
        return;
    uint64_t most = 4 * rs->config.election_ticks; /* after a suspend: more would change nothing */
    r->ticked = rs->ticks;
    raft_tick(r->raft, (uint32_t)(n < most ? n : most));
    region_touch(r);
}

/* The core is told of ticks when one of them would do something, or when it is asked. */
static void ticker_fire(struct env_timer *timer)
{
    struct region_store *rs = container_of(timer, struct region_store, ticker);
    uint64_t now = env_now(rs->env);
    count_ticks(rs);
    list_for_each(node, &rs->regions) {
        struct region *r = container_of(node, struct region, node);
        region_propose_expire(r, now);
        region_read_expire(r, now);
        if (!(region_is_alone(r) && r->role == RAFT_LEADER) &&
            rs->ticks - r->ticked >= raft_deadline(r->raft))
            region_catch_up(r);
        if (!list_empty(&r->queue))
            region_touch(r); /* a transfer may have ended */
    }
    env_timer_start(rs->env, &rs->ticker, rs->tick_due > now ? rs->tick_due - now : 1);
}

/* The turn that a timer makes is all that is wanted of it. */
static void turn_wanted(struct env_timer *timer)
{
    (void)timer;
}

/* Regions that had more to do than one go allows. */
static void again_fire(struct env_timer *timer)
{
    struct region_store *rs = container_of(timer, struct region_store, again);
    list_for_each(node, &rs->regions) {
        struct region *r = container_of(node, struct region, node);
        if (raft_has_ready(r->raft))
            region_touch(r);
    }
}

/* ---- Opening ------------------------------------------------------------------------------ */

static void take_defaults(struct region_config *c)
{
    if (c->tick_ms == 0)
        c->tick_ms = TICK_MS;
    if (c->election_ticks == 0)
        c->election_ticks = ELECTION_TICKS;
    if (c->heartbeat_ticks == 0)
        c->heartbeat_ticks = HEARTBEAT_TICKS;
    if (c->cache_bytes == 0)
        c->cache_bytes = CACHE_BYTES;
}

static err_t open_one(void *user, const struct storage_group *group, struct err *e)
{
    return region_open(user, group, e);
}

static void init_lists(struct region_store *rs)
{
    struct list *const lists[] = { &rs->regions,     &rs->dirty,         &rs->proposing,
                                   &rs->appends,     &rs->spare_appends, &rs->tasks,
                                   &rs->spare_tasks, &rs->links_out,     &rs->spare_proposals };
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        list_init(lists[i]);
}

static void close_lanes(struct region_store *rs)
{
    struct env_lane **const lanes[] = { &rs->bulk_lane, &rs->log_lane, &rs->apply_lane,
                                        &rs->read_lane };
    for (size_t i = 0; i < sizeof lanes / sizeof *lanes; i++) {
        env_lane_close(*lanes[i]); /* bulk first: apply may be waiting for it */
        *lanes[i] = NULL;
    }
}

err_t region_store_open(struct env *env, struct logger *log, struct storage *store,
                        const struct region_config *config, struct region_store **ret,
                        struct err *e)
{
    struct region_store *rs = calloc(1, sizeof *rs);
    if (rs == NULL)
        abort(); /* small and fixed */
    rs->env = env;
    rs->log = log;
    rs->store = store;
    rs->config = *config;
    take_defaults(&rs->config);
    rs->store_id = storage_ident(store)->store_id;
    rs->hook.run = turn_end;
    rs->ticker.fire = ticker_fire;
    rs->again.fire = again_fire;
    rs->clock_retry.fire = turn_wanted;
    rs->tick_ns = rs->config.tick_ms * MS;
    rs->tick_due = env_now(env) + rs->tick_ns;
    init_lists(rs);
    map_init(&rs->by_id, env_random_u64(env));
    region_log_open(rs);
    region_apply_open(rs);
    err_t rc = env_lane_open(env, ENV_LANE_LOG, "log", &rs->log_lane, e);
    if (rc == ERR_OK)
        rc = env_lane_open(env, ENV_LANE_APPLY, "apply", &rs->apply_lane, e);
    if (rc == ERR_OK)
        rc = env_lane_open(env, ENV_LANE_READ, "read", &rs->read_lane, e);
    if (rc == ERR_OK)
        rc = env_lane_open(env, ENV_LANE_BULK, "bulk", &rs->bulk_lane, e);
    if (rc == ERR_OK)
        rc = region_clock_open(rs, e);
    if (rc == ERR_OK)
        rc = region_stats_open(rs, e);
    if (rc == ERR_OK)
        rc = storage_groups(store, open_one, rs, e);
    if (rc == ERR_OK &&
        rs->count == 0) /* made before there were metas, and nothing was written yet */
        rc = region_open(rs, &(struct storage_group){ .region = REGION_SYSTEM }, e);
    if (rc != ERR_OK) {
        rs->closing = true;
        env_timer_stop(env, &rs->clock_watch);
        region_stats_stop(rs);
        close_lanes(rs);
        region_store_close(rs);
        return err_wrap(e, rc, "could not open the regions");
    }
    env_timer_start(env, &rs->ticker, rs->tick_ns);
    env_turn_add(env, &rs->hook);
    *ret = rs;
    return ERR_OK;
}

/* ---- Stopping ----------------------------------------------------------------------------- */

void region_store_hand_over(struct region_store *rs)
{
    list_for_each(node, &rs->regions) {
        struct region *r = container_of(node, struct region, node);
        struct raft_status s;
        raft_id best = RAFT_NONE;
        raft_index match = 0;
        if (r->role != RAFT_LEADER || region_is_alone(r))
            continue;
        raft_status(r->raft, &s);
        for (unsigned i = 0; i < s.conf.n; i++)
            if ((s.conf.voters >> i & 1) && s.conf.id[i] != r->peer && s.peers[i].active &&
                s.peers[i].match >= match) {
                best = s.conf.id[i];
                match = s.peers[i].match;
            }
        if (best != RAFT_NONE && raft_transfer(r->raft, best) == ERR_OK)
            region_touch(r);
    }
}

static void end_all(struct region_store *rs, err_t refuse, const char *why, const char *doubt)
{
    list_for_each(node, &rs->regions) {
        struct region *r = container_of(node, struct region, node);
        region_propose_refuse(r, refuse, why);
        region_propose_doubt(r, doubt);
        region_read_end(r, refuse);
    }
}

void region_store_stop(struct region_store *rs, bool clean)
{
    static const char refused[] = "the node is stopping: nothing was done";
    assert(!rs->closing);
    rs->closing = true;
    env_turn_remove(rs->env, &rs->hook);
    env_timer_stop(rs->env, &rs->ticker);
    env_timer_stop(rs->env, &rs->again);
    env_timer_stop(rs->env, &rs->log_retry);
    list_for_each(node, &rs->regions)
        region_propose_refuse(container_of(node, struct region, node), ERR_UNAVAILABLE, refused);
    close_lanes(rs); /* what a lane has ended goes on to the next one, or is done on this thread */
    region_log_last(rs, clean);
    end_all(rs, ERR_UNAVAILABLE, refused, "the node stopped while the write was under way");
    region_clock_stop(rs);
    region_stats_stop(rs);
    region_send_flush(rs);
}

void region_store_close(struct region_store *rs)
{
    if (rs == NULL)
        return;
    assert(rs->closing);
    region_apply_close(rs);
    region_log_close(rs);
    while (!list_empty(&rs->regions))
        region_close(container_of(rs->regions.next, struct region, node));
    region_propose_close(rs);
    region_send_close(rs);
    region_stats_close(rs);
    map_free(&rs->by_id);
    free(rs->by_start);
    free(rs);
}

void region_fail(struct region_store *rs, err_t rc, const struct err *why)
{
    struct err copy = *why;
    if (rs->stats.latched)
        return;
    rs->stats.latched = true;
    logger_error(rs->log, "the store has failed: nothing more is written", logger_err(&copy));
    end_all(
        rs, ERR_UNAVAILABLE, "the store has failed and the node is about to exit",
        "the store failed while the write was under way: after the restart it may be there or not");
    if (rs->config.failed != NULL)
        rs->config.failed(rs->config.user, rc, copy.msg);
}

/* ---- Messages ----------------------------------------------------------------------------- */

/* Copies the payloads of an append, so that the core's log and ours share them. False: no memory, the message counts as
 * lost. */
static bool take_payloads(struct region_store *rs, struct raft_msg *m)
{
    struct raft_ent *ents = rs->ents;
    if (m->nents > rs->ents_cap) {
        ents = realloc(rs->ents, m->nents * sizeof *ents);
        if (ents == NULL)
            return false;
        rs->ents = ents;
        rs->ents_cap = m->nents;
    }
    for (uint32_t i = 0; i < m->nents; i++) {
        struct region_entry *entry = region_entry_new(m->ents[i].len);
        if (entry == NULL) {
            while (i-- > 0)
                region_entry_unref(region_entry_of(ents[i].data));
            return false;
        }
        entry->term = m->ents[i].term;
        entry->index = m->ents[i].index;
        entry->type = m->ents[i].type;
        if (entry->len > 0)
            memcpy(entry->data, m->ents[i].data, entry->len);
        ents[i] = region_entry_ent(entry);
        region_clock_saw(rs, entry->type == RAFT_ENT_NORMAL
                                 ? storage_entry_hlc(bytes_from(entry->data, entry->len))
                                 : 0);
    }
    m->ents = ents;
    return true;
}

static void receive_one(struct region_store *rs, struct region_message *m)
{
    struct region *r = region_find(rs, m->region_id);
    if (r == NULL || m->raft.to != r->peer || region_meta_store(&r->meta, m->raft.from) == 0) {
        rs->stats
            .messages_refused++; /* of another life of that region, or from nobody that we know (trap D20) */
        return;
    }
    region_catch_up(r);
    if (m->raft.nents > 0 && !take_payloads(rs, &m->raft)) {
        rs->stats.messages_refused++;
        return;
    }
    err_t rc = raft_step(r->raft, &m->raft);
    for (uint32_t i = 0; i < m->raft.nents; i++) /* what the log took, it holds itself */
        region_entry_unref(region_entry_of(m->raft.ents[i].data));
    if (rc != ERR_OK)
        rs->stats.messages_refused++;
    else if (m->held > r->held && m->raft.from == raft_lead(r->raft))
        r->held = m->held;
    region_touch(r);
}

err_t region_store_receive(struct region_store *rs, uint64_t from, struct bytes body, struct err *e)
{
    struct region_message m;
    struct region_batch_reader *reader = &rs->reader;
    if (rs->closing || rs->stats.latched)
        return ERR_OK;
    err_t rc = region_batch_open(reader, body, e);
    if (rc != ERR_OK)
        return rc;
    if (reader->from_store != from || reader->to_store != rs->store_id)
        return err_set(
            e, ERR_CORRUPTION,
            "the batch is from store %llu to store %llu, but came from store %llu to store %llu",
            (unsigned long long)reader->from_store, (unsigned long long)reader->to_store,
            (unsigned long long)from, (unsigned long long)rs->store_id);
    struct err why = { 0 };
    if (region_hlc_observe(rs, reader->hlc, &why) != ERR_OK) {
        region_clock_doubted(rs, reader->hlc);
        /* Its clock or ours is wrong: who is alone with its time is alone (trap D43). */
        if (env_now(rs->env) >= rs->refused_told) {
            logger_warn(rs->log, "messages of a store are refused: its clock is too far ahead",
                        logger_u64("store", from), logger_err(&why));
            rs->refused_told = env_now(rs->env) + 1000 * MS;
        }
        return ERR_OK;
    }
    while ((rc = region_batch_next(reader, &m, e)) == ERR_OK) {
        rs->stats.messages_in++;
        receive_one(rs, &m);
    }
    return rc == ERR_NOT_FOUND ? ERR_OK : rc;
}

void region_store_unreachable(struct region_store *rs, uint64_t store)
{
    list_for_each(node, &rs->regions) {
        struct region *r = container_of(node, struct region, node);
        raft_id peer = region_meta_peer(&r->meta, store);
        if (r->role == RAFT_LEADER && peer != RAFT_NONE) {
            raft_unreachable(r->raft, peer);
            region_touch(r);
        }
    }
}
