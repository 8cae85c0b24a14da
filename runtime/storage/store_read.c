/* Reading applied state, and the facts about a store. Any thread, without waiting for writers. */
#include <assert.h>

#include "store_int.h"

static err_t read_raw(struct storage *store, uint32_t ns, struct bytes key, bool cached_only,
                      struct buf *ret, struct err *e)
{
    struct buf name = { 0 };
    err_t rc = layout_key(ns, key, &name);
    if (rc == ERR_OK)
        rc = store->ops->get(store->engine, ENGINE_DEFAULT, buf_bytes(&name), cached_only, ret, e);
    buf_free(&name);
    return rc;
}

err_t storage_read(struct storage *store, bool cas, uint32_t ns, struct bytes key, bool cached_only,
                   uint64_t *version, struct buf *ret, struct err *e)
{
    err_t rc = storage_latched(store, e);
    if (rc == ERR_OK)
        rc = store_namespace_check(store, ns, e);
    if (rc == ERR_OK && key.len == 0)
        rc = err_set(e, ERR_INVALID_ARGUMENT, "the key is empty");
    if (rc != ERR_OK)
        return rc;
    if (!cas) {
        rc = read_raw(store, ns, key, cached_only, ret, e);
        return rc == ERR_NOT_FOUND ? err_set(e, rc, "the key is absent") : rc;
    }
    bool live;
    uint64_t found;
    rc = apply_read(store->ops, store->engine, ns, key, cached_only, &live, &found, ret, e);
    if (rc != ERR_OK)
        return rc;
    if (version != NULL)
        *version = found;
    return live ? ERR_OK : err_set(e, ERR_NOT_FOUND, "the key is absent");
}

err_t storage_get_raw(struct storage *store, uint32_t ns, struct bytes key, struct buf *ret,
                      struct err *e)
{
    return storage_read(store, false, ns, key, false, NULL, ret, e);
}

err_t storage_get_cas(struct storage *store, uint32_t ns, struct bytes key, uint64_t *version,
                      struct buf *ret, struct err *e)
{
    return storage_read(store, true, ns, key, false, version, ret, e);
}

/* ---- Scans ----------------------------------------------------------------------------------- */

struct scanning {
    const struct storage_scan *scan;
    err_t (*row)(void *user, struct bytes key, uint64_t version, struct bytes value);
    void *user;
    uint32_t rows;
    size_t bytes;
};

/* One row of the engine. `*full`: the limits leave no room for it. */
static err_t give_row(struct scanning *scanning, struct bytes name, struct bytes record, bool *full,
                      struct err *e)
{
    const struct storage_scan *scan = scanning->scan;
    assert(name.len >= LAYOUT_KEY_HEAD);
    struct bytes key = bytes_from(name.data + LAYOUT_KEY_HEAD, name.len - LAYOUT_KEY_HEAD),
                 value = record;
    uint64_t version = 0;
    if (scan->cas && layout_take_cas_value(record, &version, &value) != ERR_OK)
        return err_set(e, ERR_CORRUPTION, "the record of a versioned key is damaged (%zu bytes)",
                       record.len);
    if (scan->keys_only)
        value = (struct bytes){ 0 };
    size_t bytes = key.len + value.len;
    *full = scanning->rows == scan->limit ||
            (scanning->rows > 0 && scanning->bytes + bytes > scan->limit_bytes);
    if (*full)
        return ERR_OK;
    scanning->rows++;
    scanning->bytes += bytes;
    return scanning->row(scanning->user, key, version, value);
}

static err_t scan_rows(struct storage *store, struct scanning *scanning, struct bytes start,
                       struct bytes end, bool *more, struct buf *next, struct err *e)
{
    struct engine_iter *iter;
    struct bytes name, record;
    enum engine_family family = scanning->scan->cas ? ENGINE_CAS : ENGINE_DEFAULT;
    bool full = false, any = false;
    err_t rc = store->ops->scan(store->engine, family, start, end, &iter, e);
    if (rc != ERR_OK)
        return rc;
    while (rc == ERR_OK && !full && (any = store->ops->iter_next(iter, &name, &record)))
        rc = give_row(scanning, name, record, &full, e);
    if (rc == ERR_OK && full)
        rc = buf_append(next, bytes_from(name.data + LAYOUT_KEY_HEAD, name.len - LAYOUT_KEY_HEAD));
    if (rc == ERR_OK && !any)
        rc = store->ops->iter_error(iter, e); /* a corrupt block merely ends the loop */
    store->ops->iter_close(iter);
    *more = full;
    return rc;
}

err_t storage_scan(struct storage *store, const struct storage_scan *scan,
                   err_t (*row)(void *user, struct bytes key, uint64_t version, struct bytes value),
                   void *user, bool *more, struct buf *next, struct err *e)
{
    assert(scan->limit > 0);
    err_t rc = storage_latched(store, e);
    if (rc == ERR_OK)
        rc = store_namespace_check(store, scan->ns, e);
    if (rc != ERR_OK)
        return rc;
    struct scanning scanning = { .scan = scan, .row = row, .user = user };
    struct buf start = { 0 }, end = { 0 };
    rc = layout_key(scan->ns, scan->start, &start);
    if (rc == ERR_OK && scan->end.data != NULL)
        rc = layout_key(scan->ns, scan->end, &end);
    else if (rc == ERR_OK && scan->ns != UINT32_MAX)
        rc = layout_key(scan->ns + 1, (struct bytes){ 0 }, &end);
    if (rc == ERR_OK && end.data != NULL && bytes_compare(buf_bytes(&start), buf_bytes(&end)) >= 0)
        *more = false; /* an empty range */
    else if (rc == ERR_OK)
        rc = scan_rows(store, &scanning, buf_bytes(&start), buf_bytes(&end), more, next, e);
    buf_free(&start);
    buf_free(&end);
    return rc;
}

/* ---- Facts ----------------------------------------------------------------------------------- */

/* The library's own region, and how many there are. */
static void region_stats(struct storage *store, struct storage_stats *ret)
{
    struct layout_apply_state applied;
    env_lock_enter(store->ledger_lock);
    const struct ledger_region *region = ledger_region(&store->ledger, STORE_REGION);
    ret->last = region != NULL ? region->last : 0;
    ret->regions = store->ledger.regions.count;
    env_lock_leave(store->ledger_lock);
    progress_applied(store->progress, STORE_REGION, &applied);
    ret->applied = applied.index;
    ret->durable = progress_durable(store->progress, STORE_REGION);
}

void storage_stats(struct storage *store, struct storage_stats *ret)
{
    *ret = (struct storage_stats){
        .batches = atomic_load(&store->batches),
        .syncs = atomic_load(&store->syncs),
        .commands = atomic_load(&store->commands),
        .wal_bytes = atomic_load(&store->wal_bytes),
        .user_bytes = atomic_load(&store->user_bytes),
        .segments = atomic_load(&store->segments),
        .spare_segments = wal_spares(store->wal),
        .replayed = store->replayed,
    };
    region_stats(store, ret);
    env_lock_enter(store->stats_lock);
    ret->sync_ns_p50 = store_histogram_quantile(&store->syncs_ns, 50);
    ret->sync_ns_p99 = store_histogram_quantile(&store->syncs_ns, 99);
    env_lock_leave(store->stats_lock);
    store->ops->stats(store->engine, &ret->engine);
}

void storage_namespaces(struct storage *store,
                        void (*each)(void *user, const struct storage_namespace *ns), void *user)
{
    namespaces_each(store->namespaces, each, user);
}

err_t storage_namespace_find(struct storage *store, struct bytes name,
                             struct storage_namespace *ret)
{
    return namespaces_find(store->namespaces, name, ret);
}

bool storage_namespace_exists(struct storage *store, uint32_t id)
{
    return namespaces_exists(store->namespaces, id);
}

uint32_t storage_namespace_next(struct storage *store)
{
    return namespaces_next(store->namespaces);
}
