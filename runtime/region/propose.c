/* Writes on their way into the log.
 *
 *   queue   [w][w][w][w] ...         proposed; limited by bytes and count
 *              | end of a turn of the loop, no sync running, a turn idle
 *   turn    [w][w][w]                as many whole writes as fit one entry
 *              | LOG lane: one write, one sync
 *   commit
 *
 * While one turn syncs the next one's writes gather in the queue: that is the group commit. The
 * next turn is written only after the sync has ended, so the log never has two unsynced batches. */
#include "region_int.h"

#include <assert.h>
#include <stdlib.h>

#include "base/codec.h"
#include "base/container.h"

enum {
    ENTRY_OVERHEAD = 16,  /* command.h: the entry's header */
    COMMAND_OVERHEAD = 8, /* and a command's */
    LOCAL_OVERHEAD = 64,  /* a local record, generously */
    LOCALS_MAX = 7,       /* of one turn; and the clock's */
    TURN_OVERHEAD = ENTRY_OVERHEAD + (LOCALS_MAX + 1) * LOCAL_OVERHEAD,
};

static void log_run(struct env_job *job)
{
    struct region_turn *t = container_of(job, struct region_turn, log);
    t->began = env_now(t->region->env);
    t->rc = storage_append_sync(t->region->store, t->records, t->stamp, &t->index, &t->error);
    t->ended = env_now(t->region->env);
}

/* There was no room for another log segment, and nothing was written: the store goes on. */
static void turn_refused(struct region *r, struct region_turn *t)
{
    if (t->has_bound && r->bound_owed == 0)
        r->bound_owed = load_u64(t->bound); /* it was counted as saved: the next turn carries it */
    r->stats.refused_disk += t->commands;
    logger_warn(r->log, "a turn was refused, nothing of it was written", logger_err(&t->error));
    region_turn_done(r, t, t->rc);
}

static void log_done(struct env_job *job)
{
    struct region_turn *t = container_of(job, struct region_turn, log);
    struct region *r = t->region;
    r->logging = false;
    r->stats.sync_began = 0;
    histogram_add(&r->stats.sync_us, (t->ended - t->began) / 1000);
    if (t->rc != ERR_OK && storage_latched(r->store, NULL) == ERR_OK) {
        turn_refused(r, t);
        return;
    }
    if (t->rc != ERR_OK) {
        struct err why = t->error;
        region_fail(r, t->rc, &why);
        region_turn_done(r, t, ERR_UNDETERMINED);
        return;
    }
    r->stats.turns++;
    while (!list_empty(&t->locals)) {
        struct region_local *l =
            container_of(list_pop_front(&t->locals), struct region_local, node);
        l->done(l, ERR_OK);
    }
    region_commit(r, t);
}

static void retry_fire(struct env_timer *timer)
{
    (void)timer; /* the turn that follows tries again */
}

void region_propose_open(struct region *r)
{
    r->turn_max = storage_turn_max(r->store);
    r->clock_retry.fire = retry_fire;
    list_init(&r->queue);
    list_init(&r->locals);
    list_init(&r->idle);
    list_init(&r->committed);
    for (unsigned i = 0; i < REGION_TURNS; i++) {
        struct region_turn *t = &r->turns[i];
        t->region = r;
        t->records = storage_turn_new(r->store);
        t->log = (struct env_job){ .run = log_run, .done = log_done };
        list_init(&t->writes);
        list_init(&t->locals);
        list_init(&t->node);
        list_push_back(&r->idle, &t->node);
    }
}

void region_propose_close(struct region *r)
{
    assert(list_empty(&r->queue) && list_empty(&r->locals));
    env_timer_stop(r->env, &r->clock_retry);
    for (unsigned i = 0; i < REGION_TURNS; i++)
        storage_turn_free(r->turns[i].records);
}

static void write_end(struct region *r, struct region_write *w, err_t rc)
{
    r->stats.uncommitted -= w->count;
    r->stats.uncommitted_bytes -= w->cost;
    w->rc = rc;
    histogram_add(&r->stats.write_us, (env_now(r->env) - w->began) / 1000);
    w->done(w);
}

/* Ends the writes at the head of the queue whose deadline has passed. (One behind the head waits
 * for its turn: the queue is short.) */
static void queue_expire(struct region *r, uint64_t now)
{
    while (!list_empty(&r->queue)) {
        struct region_write *w = container_of(r->queue.next, struct region_write, node);
        if (w->deadline > now)
            return;
        list_remove(&w->node);
        r->stats.expired++;
        write_end(r, w,
                  err_set(&w->error, ERR_DEADLINE_EXCEEDED,
                          "the deadline passed before the write was begun: nothing was done"));
    }
}

/* Moves whole writes from the queue into the turn until the entry is full. */
static void turn_fill_writes(struct region *r, struct region_turn *t)
{
    while (!list_empty(&r->queue)) {
        struct region_write *w = container_of(r->queue.next, struct region_write, node);
        if (t->bytes + w->cost > r->turn_max || t->commands + w->count > COMMAND_COUNT_MAX)
            return;
        for (uint32_t i = 0; i < w->count; i++) {
            uint32_t slot = 0;
            err_t rc = storage_turn_add(t->records, &w->commands[i], w->bodies[i], &slot);
            assert(rc == ERR_OK); /* the sizes above are the storage's own limits */
            (void)rc;
            if (i == 0)
                w->first_slot = slot;
            assert(slot == w->first_slot + i);
            t->probe_cas |=
                w->commands[i].kind == COMMAND_CAS || w->commands[i].kind == COMMAND_CAS_DELETE;
        }
        w->turn = t->records;
        t->bytes += w->cost;
        t->commands += w->count;
        list_remove(&w->node);
        list_push_back(&t->writes, &w->node);
    }
}

static void turn_fill_locals(struct region *r, struct region_turn *t)
{
    for (unsigned n = 0; n < LOCALS_MAX && !list_empty(&r->locals); n++) {
        struct region_local *l = container_of(r->locals.next, struct region_local, node);
        err_t rc = storage_turn_add_local(t->records, l->kind, bytes_from(l->value, l->len));
        assert(rc == ERR_OK);
        (void)rc;
        list_remove(&l->node);
        list_push_back(&t->locals, &l->node);
    }
}

void region_propose_turn(struct region *r)
{
    if (r->closing || r->stats.latched || r->logging || list_empty(&r->idle))
        return;
    queue_expire(r, env_now(r->env));
    if (list_empty(&r->queue) && list_empty(&r->locals))
        return;
    struct region_turn *t = container_of(r->idle.next, struct region_turn, node);
    if (!region_clock_stamp(r, t)) {
        env_timer_start(r->env, &r->clock_retry, 1000000); /* that turn's hook comes back here */
        return;
    }
    t->bytes = TURN_OVERHEAD;
    t->commands = 0;
    t->probe_cas = false;
    t->error = (struct err){ 0 };
    turn_fill_locals(r, t);
    turn_fill_writes(r, t);
    list_remove(&t->node);
    r->logging = true;
    r->stats.sync_began = env_now(r->env);
    env_work(r->log_lane, &t->log);
}

static bool write_only_deletes(const struct region_write *w)
{
    for (uint32_t i = 0; i < w->count; i++)
        if (w->commands[i].kind != COMMAND_RAW_DELETE && w->commands[i].kind != COMMAND_CAS_DELETE)
            return false;
    return true;
}

/* What is refused here was not begun: nothing of it will ever happen. */
static err_t write_check(struct region *r, struct region_write *w)
{
    struct err *e = &w->error;
    if (r->stats.latched)
        return err_set(e, ERR_UNAVAILABLE, "the store has failed and the node is about to exit");
    if (r->closing)
        return err_set(e, ERR_UNAVAILABLE, "the node is stopping: try another, or wait");
    if (w->cost + TURN_OVERHEAD > r->turn_max || w->count > COMMAND_COUNT_MAX)
        return err_set(e, ERR_TOO_LARGE,
                       "%u commands of %zu bytes: at most %u and %u fit one request; send several",
                       w->count, w->cost, (unsigned)COMMAND_COUNT_MAX,
                       (unsigned)(r->turn_max - TURN_OVERHEAD));
    if (r->stats.uncommitted + w->count > r->config.uncommitted_max ||
        r->stats.uncommitted_bytes + w->cost > r->config.uncommitted_bytes_max) {
        r->stats.refused_busy++;
        w->backoff_ms = r->config.busy_backoff_ms;
        bool by_count = r->stats.uncommitted + w->count > r->config.uncommitted_max;
        return err_set(e, ERR_SERVER_IS_BUSY, "%s is reached: try again in %u ms",
                       by_count ? "region.uncommitted_max" : "region.uncommitted_bytes_max",
                       w->backoff_ms);
    }
    if (r->stats.disk_full && !write_only_deletes(w)) {
        r->stats.refused_disk++;
        return err_set(e, ERR_DISK_FULL,
                       "less than %u %% of the disk is free: delete keys, or make room "
                       "(deletes and reads are served)",
                       r->config.disk_reserve_percent);
    }
    for (uint32_t i = 0; i < w->count; i++) {
        const struct command *c = &w->commands[i];
        struct region_context context = { c->region_id, c->conf_ver, c->version, c->peer_id,
                                          c->client_hlc };
        err_t rc = region_check_context(r, &context, e);
        if (rc != ERR_OK)
            return rc;
    }
    return ERR_OK;
}

void region_propose(struct region *r, struct region_write *w)
{
    assert(w->count > 0);
    list_init(&w->node);
    w->backoff_ms = 0;
    w->hlc = 0;
    w->error.code = ERR_OK;
    w->error.msg[0] = 0;
    w->cost = 0;
    for (uint32_t i = 0; i < w->count; i++)
        w->cost += COMMAND_OVERHEAD + w->bodies[i].len;
    err_t rc = write_check(r, w);
    if (rc != ERR_OK) {
        w->rc = rc;
        w->done(w);
        return;
    }
    w->began = env_now(r->env);
    r->stats.uncommitted += w->count;
    r->stats.uncommitted_bytes += w->cost;
    list_push_back(&r->queue, &w->node);
}

const struct storage_result *region_write_result(const struct region_write *w, uint32_t i)
{
    assert(w->rc == ERR_OK && i < w->count);
    return storage_turn_result(w->turn, w->first_slot + i);
}

void region_propose_local(struct region *r, struct region_local *l)
{
    assert(!r->closing && l->len <= sizeof l->value);
    list_init(&l->node);
    list_push_back(&r->locals, &l->node);
}

void region_local_at_close(struct region *r, enum storage_local kind, struct bytes value)
{
    assert((unsigned)kind < REGION_LOCALS && value.len <= sizeof r->last_local[0].value);
    r->last_local[kind].len = (uint32_t)value.len;
    memcpy(r->last_local[kind].value, value.data, value.len);
}

err_t region_propose_last(struct region *r, struct err *e)
{
    struct storage_turn *last = r->turns[0].records;
    storage_turn_reset(last);
    for (unsigned kind = 0; kind < REGION_LOCALS; kind++) {
        if (r->last_local[kind].len == 0)
            continue;
        err_t rc = storage_turn_add_local(
            last, kind, bytes_from(r->last_local[kind].value, r->last_local[kind].len));
        assert(rc == ERR_OK);
        (void)rc;
    }
    raft_index index;
    err_t rc = storage_append_sync(r->store, last, hlc_last(&r->clock), &index, e);
    storage_turn_reset(last);
    return rc;
}

void region_turn_done(struct region *r, struct region_turn *t, err_t rc)
{
    while (!list_empty(&t->locals)) {
        struct region_local *l =
            container_of(list_pop_front(&t->locals), struct region_local, node);
        l->done(l, rc);
    }
    while (!list_empty(&t->writes)) {
        struct region_write *w =
            container_of(list_pop_front(&t->writes), struct region_write, node);
        w->hlc = t->stamp;
        if (rc != ERR_OK && rc != ERR_UNDETERMINED)
            err_set(&w->error, rc, "nothing was done: %s", t->error.msg);
        if (rc == ERR_UNDETERMINED)
            err_set(&w->error, rc,
                    "the store failed while the write was under way: after the "
                    "restart it may be there or not (%s)",
                    t->error.msg);
        write_end(r, w, rc);
    }
    storage_turn_reset(t->records);
    list_push_back(&r->idle, &t->node);
}

/* Ends what no turn has taken: it never happened. */
static void queue_refuse(struct region *r, err_t rc, const char *why)
{
    while (!list_empty(&r->locals)) {
        struct region_local *l =
            container_of(list_pop_front(&r->locals), struct region_local, node);
        l->done(l, rc);
    }
    while (!list_empty(&r->queue)) {
        struct region_write *w = container_of(list_pop_front(&r->queue), struct region_write, node);
        write_end(r, w, err_set(&w->error, rc, "%s", why));
    }
}

void region_propose_refuse(struct region *r)
{
    queue_refuse(r, ERR_UNAVAILABLE, "the node is stopping: nothing was done");
}

void region_propose_fail(struct region *r)
{
    queue_refuse(r, ERR_UNAVAILABLE, "the store has failed: nothing was done");
    while (!list_empty(&r->committed)) { /* in the log, perhaps never applied before the exit */
        struct region_turn *t =
            container_of(list_pop_front(&r->committed), struct region_turn, node);
        region_turn_done(r, t, ERR_UNDETERMINED);
    }
}
