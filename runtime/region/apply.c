/* Committed entries become state, in log order; then those who wait for them are answered.
 *
 *   STORE_APPLY of a region -> tasks [7][12][7] ...           payloads in memory; those that miss some are starved
 *                                 | all that wait, up to a limit
 *                              one engine batch      here if the lane is idle, the batch small, and nothing would
 *                              wait for
 *                                 |                  the disk; else in the APPLY lane
 *                              results, applied index, reads
 *
 * 1. One batch at a time, and its tasks in the order in which the groups gave them.
 * 2. A change of configuration is adopted when apply reaches it, and written with the applied index (trap D19). */
#include "region_int.h"

#include <assert.h>
#include <stdlib.h>

#include "base/container.h"

enum { TURN_BYTES = 4 << 20 };
#define SLOW_APPLY_NS  UINT64_C(2000000)
#define LANE_PERIOD_NS UINT64_C(50000000)

/* ---- Tasks -------------------------------------------------------------------------------- */

static struct region_task *task_new(struct region *r, uint32_t count)
{
    struct region_store *rs = r->rs;
    struct region_task *t;
    if (!list_empty(&rs->spare_tasks))
        t = container_of(list_pop_front(&rs->spare_tasks), struct region_task, node);
    else if ((t = calloc(1, sizeof *t)) == NULL)
        abort(); /* small; as many as Readys are being applied */
    list_init(&t->node);
    t->region = r;
    if (count > t->cap) {
        t->entries = realloc(t->entries, count * sizeof(void *));
        if (t->entries == NULL)
            abort(); /* a pointer an entry */
        t->cap = count;
    }
    t->count = count;
    t->missing = 0;
    return t;
}

static void task_release(struct region_store *rs, struct region_task *t)
{
    for (uint32_t i = 0; i < t->count; i++)
        region_entry_unref(t->entries[i]);
    t->count = 0;
    list_push_back(&rs->spare_tasks, &t->node);
}

static bool task_feed(struct region_task *t)
{
    for (uint32_t i = 0; t->missing > 0 && i < t->count; i++) {
        if (t->entries[i] != NULL)
            continue;
        struct region_entry *entry = region_payload(t->region, t->lo + i);
        if (entry == NULL)
            return false;
        t->entries[i] = region_entry_ref(entry);
        t->missing--;
    }
    return t->missing == 0;
}

void region_apply_take(struct region *r, struct raft_range range, const struct raft_msg *done)
{
    struct region_task *t = task_new(r, (uint32_t)(range.hi - range.lo));
    t->lo = range.lo;
    t->done = *done;
    memset(t->entries, 0, t->count * sizeof(void *));
    t->missing = t->count;
    bool fed = task_feed(t) && list_empty(&r->starved);
    list_push_back(fed ? &r->rs->tasks : &r->starved, &t->node);
}

void region_apply_fed(struct region *r)
{
    while (!list_empty(&r->starved)) {
        struct region_task *t = container_of(r->starved.next, struct region_task, node);
        if (!task_feed(t))
            return;
        list_remove(&t->node);
        list_push_back(&r->rs->tasks, &t->node);
    }
}

/* ---- A turn ------------------------------------------------------------------------------- */

static err_t adopt_conf(struct region *r, struct storage_apply *apply, const struct raft_ent *ent)
{
    struct raft_cc cc;
    struct raft_conf conf;
    struct buf meta = { 0 };
    err_t rc = raft_cc_decode(ent->data, ent->len, &cc);
    if (rc == ERR_OK)
        rc = raft_apply_conf(r->raft, &cc, &conf);
    if (rc == ERR_OK)
        rc = region_meta_adopt(&r->meta, &conf, &cc, bytes_from(ent->data, ent->len));
    if (rc == ERR_OK)
        rc = region_meta_encode(&r->meta, &meta);
    if (rc == ERR_OK)
        rc = storage_apply_meta(apply, r->meta.id, buf_bytes(&meta));
    buf_free(&meta);
    region_touch(r);
    return rc == ERR_FAILED_PRECONDITION || rc == ERR_INVALID_ARGUMENT
               ? ERR_OK
               : rc; /* the group has said why */
}

static err_t add_task(struct region_turn *turn, struct region_task *t)
{
    err_t rc = ERR_OK;
    for (uint32_t i = 0; i < t->count && rc == ERR_OK; i++) {
        struct raft_ent ent = region_entry_ent(t->entries[i]);
        uint32_t slot;
        rc = storage_apply_entry(turn->apply, t->region->meta.id, &ent, t->region->meta.version,
                                 &slot);
        if (i == 0)
            t->slot = slot;
        if (rc == ERR_OK && ent.type == RAFT_ENT_CONF)
            rc = adopt_conf(t->region, turn->apply, &ent);
    }
    return rc;
}

static void apply_run(struct env_job *job)
{
    struct region_turn *turn = container_of(job, struct region_turn, job);
    turn->began = env_now(turn->rs->env);
    turn->rc = storage_apply_run(turn->rs->store, turn->apply, &turn->error);
    turn->ended = env_now(turn->rs->env);
}

static void drop_applied(struct region *r)
{
    struct region_entries *c = &r->entries;
    bool feeds = r->role == RAFT_LEADER && !region_is_alone(r);
    uint64_t keep =
        feeds && r->rs->stats.cache_bytes <= r->rs->config.cache_bytes ? REGION_KEEP_BYTES : 0;
    while (c->count > 0 && c->first <= r->applied &&
           (c->bytes > keep || c->count > REGION_KEEP_COUNT))
        region_entries_drop(c, c->first);
}

static void task_applied(struct region_store *rs, struct region_task *t)
{
    struct region *r = t->region;
    for (uint32_t i = 0; i < t->count; i++) {
        const struct region_entry *entry = t->entries[i];
        rs->stats.applied += entry->index - r->applied;
        r->applied = entry->index;
        uint64_t hlc = storage_apply_hlc(rs->turn.apply, t->slot + i);
        r->applied_hlc = hlc != 0 ? hlc : r->applied_hlc;
        rs->stats.writes += storage_apply_commands(rs->turn.apply, t->slot + i);
        rs->written_bytes += entry->len;
        if (r->role == RAFT_LEADER && entry->term == r->hs.term)
            r->led_term = entry->term;
        region_propose_applied(r, entry, t->slot + i);
    }
    (void)!raft_step(r->raft, &t->done);
    region_touch(r);
    drop_applied(r);
    region_read_applied(r);
}

static void turn_applied(struct region_turn *turn)
{
    struct region_store *rs = turn->rs;
    struct list tasks;
    histogram_add(&rs->stats.apply_us, (turn->ended - turn->began) / 1000);
    rs->stats.turns++;
    list_init(&tasks);
    list_splice(&tasks, &turn->tasks);
    if (turn->rc != ERR_OK)
        region_fail(rs, turn->rc, &turn->error);
    while (!list_empty(&tasks)) {
        struct region_task *t = container_of(list_pop_front(&tasks), struct region_task, node);
        if (turn->rc == ERR_OK)
            task_applied(rs, t);
        task_release(rs, t);
    }
    storage_apply_reset(turn->apply);
    rs->applying = false;
}

static void apply_done(struct env_job *job)
{
    struct region_turn *turn = container_of(job, struct region_turn, job);
    struct region_store *rs = turn->rs;
    turn_applied(turn);
    if (rs->closing && !rs->stats.latched)
        region_store_work(rs);
}

static bool apply_inline(struct region_store *rs)
{
    if (rs->closing)
        return true;
    return !rs->preparing && storage_apply_bytes(rs->turn.apply) <= rs->config.apply_inline_bytes &&
           env_now(rs->env) >= rs->lane_until && !rs->stats.storage.engine.stalled &&
           storage_apply_is_cached(rs->turn.apply);
}

static err_t gather(struct region_store *rs, struct region_turn *turn)
{
    err_t rc = ERR_OK;
    while (rc == ERR_OK && !list_empty(&rs->tasks) &&
           storage_apply_bytes(turn->apply) < TURN_BYTES) {
        struct region_task *t = container_of(list_pop_front(&rs->tasks), struct region_task, node);
        list_push_back(&turn->tasks, &t->node);
        rc = add_task(turn, t);
    }
    return rc;
}

bool region_apply_pump(struct region_store *rs)
{
    struct region_turn *turn = &rs->turn;
    if (rs->applying || rs->stats.latched || list_empty(&rs->tasks))
        return false;
    rs->applying = true;
    turn->error = (struct err){ 0 };
    turn->rc = gather(rs, turn);
    if (turn->rc != ERR_OK) {
        err_set(&turn->error, turn->rc, "committed entries could not be taken: %s",
                err_name(turn->rc));
        turn->began = turn->ended = 0;
        turn_applied(turn);
        return false;
    }
    if (!apply_inline(rs)) {
        env_work(rs->apply_lane, &turn->job);
        return false;
    }
    apply_run(&turn->job);
    rs->stats.turns_inline++;
    if (turn->ended - turn->began > SLOW_APPLY_NS)
        rs->lane_until = turn->ended + LANE_PERIOD_NS;
    turn_applied(turn);
    return !rs->stats.latched;
}

/* ---- Opening and closing ------------------------------------------------------------------ */

void region_apply_open(struct region_store *rs)
{
    rs->turn.rs = rs;
    rs->turn.apply = storage_apply_new(rs->store);
    rs->turn.job = (struct env_job){ .run = apply_run, .done = apply_done };
    list_init(&rs->turn.tasks);
}

static void end_tasks(struct region_store *rs, struct list *tasks)
{
    while (!list_empty(tasks))
        task_release(rs, container_of(list_pop_front(tasks), struct region_task, node));
}

void region_apply_close(struct region_store *rs)
{
    list_for_each(node, &rs->regions)
        end_tasks(rs, &container_of(node, struct region, node)->starved);
    end_tasks(rs, &rs->tasks);
    end_tasks(rs, &rs->turn.tasks);
    while (!list_empty(&rs->spare_tasks)) {
        struct region_task *t =
            container_of(list_pop_front(&rs->spare_tasks), struct region_task, node);
        free(t->entries);
        free(t);
    }
    storage_apply_free(rs->turn.apply);
}
