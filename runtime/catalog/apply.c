/* Taking a catalog's newer version over: checked whole, then swapped whole.
 *
 *   snapshot   its routes, sorted                                        --> table
 *   delta      old routes without those it names, merged with those it puts --> table, whose hash must be the delta's
 *
 * Checked and built outside the lock; under it the version is looked at again, since another one
 * may have been faster. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/map.h"
#include "catalog/error.h"
#include "catalog/hash.h"
#include "engine_int.h"

/* Which catalog, then which version. OK and `newer` false: it is the one that is there. */
static err_t check_stamp(const struct catalog_stamp *have, const struct catalog_stamp *come,
                         bool *newer, struct err *e)
{
    err_t rc = catalog_hash_check(have, come, e);
    if (rc != ERR_OK)
        return rc;
    *newer = come->version > have->version;
    if (come->version < have->version)
        return catalog_error(e, ERR_ENGINE_SNAPSHOT_VERSION_STALE,
                             "snapshot version %" PRIu64
                             " is older than engine catalog version %" PRIu64,
                             come->version, have->version);
    return ERR_OK;
}

static int by_start(const void *a, const void *b)
{
    const struct route *left = a, *right = b;
    return bytes_compare(left->start, right->start);
}

/* A sorted array of the same routes, keys borrowed, loads 0. NULL if memory is gone. */
static struct route *sorted(const struct route *routes, size_t count)
{
    struct route *copy = malloc((count + 1) * sizeof *copy);
    if (copy == NULL)
        return NULL;
    bool in_order = true;
    for (size_t i = 0; i < count; i++) {
        copy[i] = routes[i];
        copy[i].load = 0;
        in_order = in_order && (i == 0 || by_start(&copy[i - 1], &copy[i]) <= 0);
    }
    if (!in_order)
        qsort(copy, count, sizeof *copy, by_start);
    return copy;
}

/* ---- Snapshots ---- */

static err_t table_of(const struct catalog_snapshot *s, struct catalog_table **ret, struct err *e)
{
    const struct route_list *list = &s->routes;
    err_t rc = route_check_each(list->items, list->count, ERR_ENGINE_SNAPSHOT_DUPLICATE_ID, e);
    if (rc != ERR_OK)
        return rc;
    struct route *routes = sorted(list->items, list->count);
    if (routes == NULL)
        return err_set(e, ERR_NOMEM, "no memory for %zu routes", list->count);
    rc = route_check_order(routes, list->count, e);
    struct catalog_stamp stamp = s->stamp;
    if (rc == ERR_OK && !catalog_hash_known(&stamp.hash)) /* made by hand */
        stamp.hash = catalog_hash_of(routes, list->count);
    if (rc == ERR_OK && (*ret = catalog_table_new(routes, list->count, &stamp)) == NULL)
        rc = err_set(e, ERR_NOMEM, "no memory for a table of %zu routes", list->count);
    free(routes);
    return rc;
}

/* A snapshot made by hand has no hash, and one version must not have two contents. */
static struct catalog_stamp stamp_of(const struct catalog_snapshot *s,
                                     const struct catalog_stamp *have)
{
    struct catalog_stamp stamp = s->stamp;
    if (stamp.version == have->version && stamp.version > 0 && !catalog_hash_known(&stamp.hash))
        stamp.hash = catalog_hash_of(s->routes.items, s->routes.count);
    return stamp;
}

err_t catalog_engine_prepare(struct catalog_engine *en, const struct catalog_snapshot *snapshot,
                             struct catalog_table **ret, struct err *e)
{
    struct catalog_stamp have;
    bool newer;
    catalog_engine_stamp(en, &have);
    struct catalog_stamp come = stamp_of(snapshot, &have);
    err_t rc = check_stamp(&have, &come, &newer, e);
    *ret = NULL;
    return rc == ERR_OK && newer ? table_of(snapshot, ret, e) : rc;
}

err_t catalog_engine_commit(struct catalog_engine *en, struct catalog_table *table, struct err *e)
{
    bool newer = false;
    env_lock_enter(en->lock);
    err_t rc = check_stamp(&catalog_engine_current(en)->stamp, &table->stamp, &newer, e);
    if (newer)
        catalog_engine_swap(en, table);
    env_lock_leave(en->lock);
    if (!newer)
        catalog_table_free(table);
    return rc;
}

err_t catalog_engine_apply(struct catalog_engine *en, const struct catalog_snapshot *snapshot,
                           struct err *e)
{
    struct catalog_table *table;
    if (en == NULL)
        return catalog_error(e, ERR_ENGINE_REQUIRED, "a snapshot has nowhere to go");
    err_t rc = catalog_engine_prepare(en, snapshot, &table, e);
    return rc == ERR_OK && table != NULL ? catalog_engine_commit(en, table, e) : rc;
}

/* ---- Deltas ---- */

struct merge {
    const struct catalog_table *old;
    const struct catalog_delta *delta;
    struct map named; /* ids that the delta removes or puts */
    struct digest hash;
    struct route *routes;
    size_t count;
};

static err_t name_ids(struct merge *m, struct err *e)
{
    const struct catalog_delta *d = m->delta;
    err_t rc = route_check_each(d->put, d->put_count, ERR_ENGINE_SNAPSHOT_DUPLICATE_ID, e);
    for (size_t i = 0; i < d->removed_count && rc == ERR_OK; i++)
        rc = map_put_u64(&m->named, d->removed[i], m, NULL);
    for (size_t i = 0; i < d->put_count && rc == ERR_OK; i++) {
        void *removed = NULL;
        rc = map_put_u64(&m->named, d->put[i].id, m, &removed);
        if (rc == ERR_OK && removed != NULL)
            rc = catalog_error(e, ERR_CATALOG_INTEGRITY,
                               "a delta removes route %" PRIu64 " and puts it", d->put[i].id);
    }
    return rc;
}

/* The old routes that stay, in their order, and the new ones in theirs: both sorted by start. */
static void merge_routes(struct merge *m, const struct route *put)
{
    size_t k = 0, put_count = m->delta->put_count;
    size_t old_count = m->old->stamp.version == 0 ? 0 : m->old->count; /* 0: of no catalog */
    for (size_t i = 0; i < old_count; i++) {
        const struct route *r = &m->old->routes[i];
        if (map_get_u64(&m->named, r->id) != NULL) {
            catalog_hash_remove(&m->hash, r);
            continue;
        }
        while (k < put_count && bytes_compare(put[k].start, r->start) < 0)
            m->routes[m->count++] = put[k++];
        m->routes[m->count] = *r;
        m->routes[m->count++].load = catalog_table_load(m->old, r);
    }
    while (k < put_count)
        m->routes[m->count++] = put[k++];
    for (k = 0; k < put_count; k++)
        catalog_hash_add(&m->hash, &put[k]);
}

static err_t merged_table(struct merge *m, struct catalog_table **ret, struct err *e)
{
    struct route *put = sorted(m->delta->put, m->delta->put_count);
    m->routes = malloc((m->old->count + m->delta->put_count + 1) * sizeof *m->routes);
    err_t rc = put == NULL || m->routes == NULL ? err_set(e, ERR_NOMEM, "no memory for a merge")
                                                : name_ids(m, e);
    if (rc == ERR_OK) {
        struct catalog_stamp come = m->delta->stamp;
        merge_routes(m, put);
        come.hash = m->hash;
        rc = catalog_hash_check(&m->delta->stamp, &come, e);
    }
    if (rc == ERR_OK)
        rc = route_check_order(m->routes, m->count, e);
    if (rc == ERR_OK && (*ret = catalog_table_new(m->routes, m->count, &m->delta->stamp)) == NULL)
        rc = err_set(e, ERR_NOMEM, "no memory for a table of %zu routes", m->count);
    free(put);
    free(m->routes);
    return rc;
}

/* Under the lock, all of it: a delta is small, and what it is merged with must not change. */
static err_t apply_delta(struct catalog_engine *en, const struct catalog_delta *delta,
                         struct err *e)
{
    struct catalog_table *old = catalog_engine_current(en), *table;
    struct merge m = { .old = old, .delta = delta, .hash = old->stamp.hash };
    bool newer;
    err_t rc = check_stamp(&old->stamp, &delta->stamp, &newer, e);
    if (rc != ERR_OK || !newer)
        return rc;
    if (old->stamp.version != delta->stamp.version - 1 ||
        (old->ephemeral && old->stamp.version > 0))
        return catalog_error(e, ERR_CATALOG_VERSION_MISMATCH,
                             "a delta to version %" PRIu64 " met version %" PRIu64 "%s",
                             delta->stamp.version, old->stamp.version,
                             old->ephemeral ? " with routes of no catalog" : "");
    if (old->stamp.version == 0)
        m.hash = catalog_hash_empty();
    map_init(&m.named, delta->stamp.version);
    rc = merged_table(&m, &table, e);
    map_free(&m.named);
    if (rc == ERR_OK)
        catalog_engine_swap(en, table);
    return rc;
}

err_t catalog_engine_apply_delta(struct catalog_engine *en, const struct catalog_delta *delta,
                                 struct err *e)
{
    if (en == NULL)
        return catalog_error(e, ERR_ENGINE_REQUIRED, "a delta has nowhere to go");
    env_lock_enter(en->lock);
    err_t rc = apply_delta(en, delta, e);
    env_lock_leave(en->lock);
    return rc;
}
