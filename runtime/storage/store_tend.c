/* Periodic work: how far the log was synced, what the engine cannot lose any more, segments that nobody needs.
 *
 *   oldest segment   7: 41..43   12: hard state   TSO window        may go when 43 is released
 *      |
 *   forward          CUT(7, 43)  APPEND(12, hard state)  LOCAL(TSO)   one batch, or several where they are small
 *      |
 *   freed            its file waits to be used again
 *
 * After a crash in between the forwarded records are there twice: they say the same. */
#include <assert.h>

#include "store_int.h"

static err_t write_watermark(struct storage *store, struct err *e)
{
    err_t rc = watermark_write(store->watermark, wal_number(store->wal), e);
    if (rc != ERR_OK)
        return store_latch(store, rc, e);
    store->watermark_at = env_now(store->env);
    return ERR_OK;
}

/* Gives up the oldest segment after what is live in it was written again (ledger.h). */
static err_t free_oldest(struct storage *store, struct err *e)
{
    struct wal_batch *batch = &store->batch;
    size_t max = wal_capacity(store->wal), next = 0;
    for (;;) {
        size_t from = next;
        wal_batch_reset(batch);
        env_lock_enter(store->ledger_lock);
        bool any = ledger_forward(&store->ledger, &next, batch, max);
        env_lock_leave(store->ledger_lock);
        if (!any)
            break;
        err_t rc = store_write_batch(store, batch, e);
        if (rc != ERR_OK)
            return rc;
        env_lock_enter(store->ledger_lock);
        rc = ledger_forwarded(&store->ledger, from, next);
        env_lock_leave(store->ledger_lock);
        if (rc != ERR_OK)
            return store_latch(store, err_set(e, rc, "no memory for what is in the log"), e);
    }
    err_t rc = wal_free_oldest(store->wal, e);
    if (rc != ERR_OK)
        return store_latch(store, rc, e);
    env_lock_enter(store->ledger_lock);
    ledger_drop_oldest(&store->ledger);
    env_lock_leave(store->ledger_lock);
    atomic_fetch_sub(&store->segments, 1);
    return ERR_OK;
}

/* Nobody but us wants the entries of a store that is alone. */
static void release_durable(struct storage *store)
{
    const struct ledger_seal *oldest = &store->ledger.seals[0];
    for (size_t i = 0; i < oldest->count; i++) {
        struct ledger_region *region = oldest->regions[i];
        raft_index durable = progress_durable(store->progress, region->id);
        if (region->released < durable)
            region->released = durable;
    }
}

static bool oldest_spent(struct storage *store)
{
    env_lock_enter(store->ledger_lock);
    if (store->config.alone)
        release_durable(store);
    bool spent = ledger_oldest_spent(&store->ledger);
    env_lock_leave(store->ledger_lock);
    return spent;
}

err_t store_tend_log(struct storage *store, struct err *e)
{
    err_t rc = storage_latched(store, e);
    if (rc == ERR_OK)
        rc = write_watermark(store, e);
    if (rc != ERR_OK)
        return rc;
    rc = progress_refresh(store->progress, STORE_REFRESH_MAX, e);
    if (rc != ERR_OK)
        return store_latch(store, rc, e);
    /* What is written again may begin new segments; those are for the next time, or it would never end. */
    uint64_t newest = wal_segment(store->wal);
    while (rc == ERR_OK && wal_oldest(store->wal) < newest && oldest_spent(store))
        rc = free_oldest(store, e);
    return rc == ERR_DISK_FULL && !wal_broken(store->wal) ? ERR_OK
                                                          : rc; /* later, when there is room */
}

err_t storage_tend(struct storage *store, struct err *e)
{
    struct engine_stats stats;
    store->ops->stats(store->engine, &stats);
    if (stats.background_errors != 0)
        return store_latch(store,
                           err_set(e, ERR_IO, "the engine reports %llu background errors",
                                   (unsigned long long)stats.background_errors),
                           e);
    store_stage_enter(&store->log);
    err_t rc = store_tend_log(store, e);
    store_stage_leave(&store->log);
    return rc;
}

/* ---- A long log ------------------------------------------------------------------------------ */

/* True if entries of the oldest segment are applied and not durable: that is the engine's to change. */
static bool engine_holds(struct storage *store)
{
    bool holds = false;
    raft_index index;
    const struct ledger_region *holder;
    env_lock_enter(store->ledger_lock);
    for (size_t next = store->ledger.checked;
         !holds && (holder = ledger_holder(&store->ledger, &next, &index)) != NULL; next++) {
        struct layout_apply_state applied;
        progress_applied(store->progress, holder->id, &applied);
        holds = progress_durable(store->progress, holder->id) < index && applied.index >= index;
    }
    env_lock_leave(store->ledger_lock);
    return holds;
}

/* The log is long because the engine keeps a little in memory for very long: make it durable, so
 * that the next tending can give segments up. */
static err_t shorten(struct storage *store, struct err *e)
{
    if (atomic_load(&store->segments) <= STORE_SEGMENTS_MAX || !engine_holds(store))
        return ERR_OK;
    store_stage_enter(&store->applying);
    err_t rc = store->ops->force(store->engine, e);
    store_stage_leave(&store->applying);
    return rc == ERR_OK ? ERR_OK : store_latch(store, rc, e);
}

err_t storage_prepare(struct storage *store, struct err *e)
{
    err_t rc = storage_latched(store, e);
    for (bool more = true; more && rc == ERR_OK;)
        rc = wal_prepare(store->wal, &more, e);
    if (rc != ERR_OK && wal_broken(store->wal))
        return store_latch(store, rc, e);
    return rc == ERR_OK ? shorten(store, e) : rc;
}
