/* The table of namespaces: see namespaces.h for the picture. */
#include "namespaces.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "layout.h"

struct table {
    struct table *older;
    size_t count;
    struct storage_namespace *rows[]; /* sorted by id; all of them are in every later table too */
};

struct namespaces {
    struct table *_Atomic current;
    struct table *staged; /* NULL: nothing is staged */
};

static struct storage_namespace *row_new(uint32_t id, struct bytes name, struct bytes mode)
{
    struct storage_namespace *row = calloc(1, sizeof *row);
    if (row != NULL) {
        row->id = id;
        memcpy(row->name, name.data, name.len);
        memcpy(row->mode, mode.data, mode.len);
    }
    return row;
}

static const struct storage_namespace *by_id(const struct table *table, uint32_t id)
{
    for (size_t lo = 0, hi = table->count; lo < hi;) {
        size_t mid = lo + (hi - lo) / 2;
        if (table->rows[mid]->id == id)
            return table->rows[mid];
        if (table->rows[mid]->id < id)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

static const struct storage_namespace *by_name(const struct table *table, struct bytes name)
{
    for (size_t i = 0; i < table->count; i++)
        if (bytes_equal(BYTES(table->rows[i]->name), name))
            return table->rows[i];
    return NULL;
}

/* A copy of `table` with one row more, in its place. */
static struct table *with(const struct table *table, struct storage_namespace *row)
{
    size_t count = table != NULL ? table->count : 0, at = 0;
    struct table *next = malloc(sizeof *next + (count + 1) * sizeof next->rows[0]);
    if (next == NULL)
        return NULL;
    while (at < count && table->rows[at]->id < row->id)
        at++;
    for (size_t i = 0; i < count; i++)
        next->rows[i < at ? i : i + 1] = table->rows[i];
    next->rows[at] = row;
    next->count = count + 1;
    next->older = NULL;
    return next;
}

static const struct table *current(const struct namespaces *all)
{
    return atomic_load_explicit(&all->current, memory_order_acquire);
}

static const struct table *newest(const struct namespaces *all)
{
    return all->staged != NULL ? all->staged : current(all);
}

/* ---- Loading --------------------------------------------------------------------------------- */

err_t namespaces_open(const struct engine_ops *ops, struct engine *engine, struct namespaces **ret,
                      struct err *e)
{
    struct namespaces *all = calloc(1, sizeof *all);
    if (all == NULL)
        abort(); /* small and fixed */
    err_t rc = namespaces_stage(all, 1, BYTES("default"), BYTES("strong"));
    struct engine_iter *iter = NULL;
    if (rc == ERR_OK)
        rc = ops->scan(engine, ENGINE_META, BYTES("n"), BYTES("o"), &iter, e);
    if (rc == ERR_OK) {
        struct bytes key, value, name, mode;
        uint32_t id;
        while (rc == ERR_OK && ops->iter_next(iter, &key, &value)) {
            rc = layout_take_namespace(key, value, &id, &name, &mode);
            if (rc == ERR_OK)
                rc = namespaces_stage(all, id, name, mode);
            if (rc != ERR_OK)
                err_set(e, rc, "a namespace's record in the engine is damaged");
        }
        if (rc == ERR_OK)
            rc = ops->iter_error(iter, e);
        ops->iter_close(iter);
    }
    if (rc != ERR_OK) {
        namespaces_close(all);
        return rc;
    }
    namespaces_publish(all);
    *ret = all;
    return ERR_OK;
}

void namespaces_close(struct namespaces *all)
{
    if (all == NULL)
        return;
    struct table *table = all->staged, *rest = atomic_load(&all->current);
    if (table != NULL)
        table->older = rest;
    else
        table = rest;
    for (size_t i = 0; table != NULL && i < table->count; i++)
        free(table->rows[i]); /* the newest table has them all */
    while (table != NULL) {
        struct table *older = table->older;
        free(table);
        table = older;
    }
    free(all);
}

/* ---- Changing -------------------------------------------------------------------------------- */

bool namespaces_staged_exists(const struct namespaces *all, uint32_t id)
{
    return id == 1 || by_id(newest(all), id) != NULL;
}

err_t namespaces_stage(struct namespaces *all, uint32_t id, struct bytes name, struct bytes mode)
{
    const struct table *base = newest(all);
    if (base != NULL && (by_id(base, id) != NULL || by_name(base, name) != NULL))
        return ERR_ALREADY_EXISTS;
    if (base != NULL && base->count == NAMESPACES_MAX)
        return ERR_RESOURCE_EXHAUSTED;
    struct storage_namespace *row = row_new(id, name, mode);
    struct table *next = row != NULL ? with(base, row) : NULL;
    if (next == NULL) {
        free(row);
        return ERR_NOMEM;
    }
    free(all->staged); /* nobody else has seen it */
    all->staged = next;
    return ERR_OK;
}

void namespaces_publish(struct namespaces *all)
{
    if (all->staged == NULL)
        return;
    all->staged->older = atomic_load_explicit(&all->current, memory_order_relaxed);
    atomic_store_explicit(&all->current, all->staged, memory_order_release);
    all->staged = NULL;
}

/* ---- Reading --------------------------------------------------------------------------------- */

void namespaces_each(const struct namespaces *all,
                     void (*each)(void *user, const struct storage_namespace *ns), void *user)
{
    const struct table *table = current(all);
    for (size_t i = 0; i < table->count; i++)
        each(user, table->rows[i]);
}

bool namespaces_exists(const struct namespaces *all, uint32_t id)
{
    return id == 1 || by_id(current(all), id) != NULL;
}

err_t namespaces_find(const struct namespaces *all, struct bytes name,
                      struct storage_namespace *ret)
{
    const struct storage_namespace *found = by_name(current(all), name);
    if (found == NULL)
        return ERR_NOT_FOUND;
    *ret = *found;
    return ERR_OK;
}

uint32_t namespaces_next(const struct namespaces *all)
{
    const struct table *table = current(all);
    return table->rows[table->count - 1]->id + 1;
}
