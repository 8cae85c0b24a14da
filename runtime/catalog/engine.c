/* Readers, accesses, and the life of tables. */
#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "catalog/error.h"
#include "engine_int.h"

enum { DEFAULT_GROUP = 1 };

/* ---- Life ---- */

static const struct catalog_stamp no_stamp;

err_t catalog_engine_new(struct env *env, const struct catalog_engine_config *config,
                         struct catalog_engine **ret, struct err *e)
{
    struct route all = { .group_id = DEFAULT_GROUP, .end_unbounded = true };
    struct catalog_engine *en = calloc(1, sizeof *en);
    struct catalog_table *table = catalog_table_new(&all, config->default_route, &no_stamp);
    err_t rc = en == NULL || table == NULL ? err_set(e, ERR_NOMEM, "no memory for a routing engine")
                                           : env_lock_new(env, &en->lock, e);
    if (rc != ERR_OK) {
        catalog_table_free(table);
        free(en);
        return rc;
    }
    en->config = *config;
    atomic_init(&en->current, table);
    *ret = en;
    return ERR_OK;
}

void catalog_engine_free(struct catalog_engine *en)
{
    if (en == NULL)
        return;
    assert(en->readers == NULL);
    catalog_engine_reclaim(en);
    assert(en->retired == NULL); /* a reference was not given back */
    catalog_table_free(atomic_load(&en->current));
    env_lock_free(en->lock);
    free(en);
}

err_t catalog_reader_open(struct catalog_engine *en, struct catalog_reader **ret, struct err *e)
{
    if (en == NULL)
        return catalog_error(e, ERR_ENGINE_REQUIRED, "a reader has none");
    struct catalog_reader *r = calloc(1, sizeof *r);
    if (r == NULL)
        return err_set(e, ERR_NOMEM, "no memory for a reader");
    r->engine = en;
    env_lock_enter(en->lock);
    r->next = en->readers;
    en->readers = r;
    env_lock_leave(en->lock);
    *ret = r;
    return ERR_OK;
}

void catalog_reader_close(struct catalog_reader *r)
{
    if (r == NULL)
        return;
    assert(r->depth == 0);
    env_lock_enter(r->engine->lock);
    struct catalog_reader **at = &r->engine->readers;
    while (*at != r)
        at = &(*at)->next;
    *at = r->next;
    env_lock_leave(r->engine->lock);
    free(r);
}

/* ---- Hazards ---- */

/* All four accesses are sequentially consistent, and that is the proof: either this store comes
 * before the writer's look at it, and the writer keeps the table; or the writer's swap came
 * before our load, and we see another table. */
bool catalog_reader_try(struct catalog_reader *r, struct catalog_table *table)
{
    atomic_store(&r->hazard, table);
    return atomic_load(&r->engine->current) == table;
}

struct catalog_table *catalog_reader_enter(struct catalog_reader *r)
{
    if (r->depth++ > 0)
        return atomic_load_explicit(&r->hazard, memory_order_relaxed);
    struct catalog_table *table;
    do
        table = atomic_load(&r->engine->current);
    while (!catalog_reader_try(r, table));
    return table;
}

void catalog_reader_leave(struct catalog_reader *r)
{
    assert(r->depth > 0);
    if (--r->depth == 0)
        atomic_store_explicit(&r->hazard, NULL, memory_order_release);
}

/* Readers first, references second: a reference can only be added by who has the table already,
 * so once no reader has it, a count of zero stays zero. */
static bool in_use(const struct catalog_engine *en, struct catalog_table *table)
{
    for (struct catalog_reader *r = en->readers; r != NULL; r = r->next) {
        if (atomic_load(&r->hazard) == table)
            return true;
    }
    return atomic_load(&table->refs) > 0;
}

static void reclaim(struct catalog_engine *en)
{
    for (struct catalog_table **at = &en->retired; *at != NULL;) {
        struct catalog_table *table = *at;
        if (in_use(en, table)) {
            at = &table->next_retired;
            continue;
        }
        *at = table->next_retired;
        catalog_table_free(table);
    }
}

struct catalog_table *catalog_engine_current(struct catalog_engine *en)
{
    return atomic_load_explicit(&en->current, memory_order_relaxed);
}

void catalog_engine_swap(struct catalog_engine *en, struct catalog_table *table)
{
    struct catalog_table *old = atomic_exchange(&en->current, table);
    old->next_retired = en->retired;
    en->retired = old;
    reclaim(en);
}

void catalog_engine_reclaim(struct catalog_engine *en)
{
    env_lock_enter(en->lock);
    reclaim(en);
    env_lock_leave(en->lock);
}

/* ---- Copies ---- */

static struct route with_load(const struct catalog_table *t, const struct route *r)
{
    struct route copy = *r;
    copy.load = catalog_table_load(t, r);
    return copy;
}

err_t catalog_engine_get_route(struct catalog_reader *r, struct bytes key, struct route *ret,
                               struct err *e)
{
    const struct catalog_table *t = catalog_reader_enter(r);
    const struct route *found = catalog_table_find(t, key);
    err_t rc = ERR_NOT_FOUND;
    if (found != NULL) {
        struct route copy = with_load(t, found);
        rc = route_clone(&copy, ret);
    }
    catalog_reader_leave(r);
    if (rc == ERR_OK)
        return rc;
    return err_set(e, rc, rc == ERR_NOT_FOUND ? "no route for the key" : "no memory for a route");
}

/* The routes that meet [start, end), or reach behind `start` without an end. */
static err_t copy_routes(const struct catalog_table *t, struct bytes start, const struct bytes *end,
                         struct route_list *ret, struct err *e)
{
    struct route_list list = { 0 };
    for (size_t place = catalog_table_seek(t, start); place < t->count; place++) {
        const struct route *r = &t->routes[place];
        if (end != NULL && bytes_compare(r->start, *end) >= 0)
            break;
        if (!r->end_unbounded && bytes_compare(r->end, start) <= 0)
            continue; /* only where ranges overlap */
        struct route copy = with_load(t, r);
        if (route_list_add(&list, &copy) != ERR_OK) {
            route_list_free(&list);
            return err_set(e, ERR_NOMEM, "no memory for %zu routes", t->count);
        }
    }
    *ret = list;
    return ERR_OK;
}

err_t catalog_engine_get_intersecting(struct catalog_reader *r, struct bytes start,
                                      const struct bytes *end, struct route_list *ret,
                                      struct err *e)
{
    const struct catalog_table *t = catalog_reader_enter(r);
    err_t rc = copy_routes(t, start, end, ret, e);
    catalog_reader_leave(r);
    return rc;
}

err_t catalog_engine_stats(struct catalog_engine *en, struct route_list *ret, struct err *e)
{
    env_lock_enter(en->lock);
    err_t rc = copy_routes(catalog_engine_current(en), (struct bytes){ 0 }, NULL, ret, e);
    env_lock_leave(en->lock);
    return rc;
}

void catalog_engine_stamp(struct catalog_engine *en, struct catalog_stamp *ret)
{
    env_lock_enter(en->lock);
    *ret = catalog_engine_current(en)->stamp;
    env_lock_leave(en->lock);
}

uint64_t catalog_engine_version(struct catalog_engine *en)
{
    struct catalog_stamp stamp;
    catalog_engine_stamp(en, &stamp);
    return stamp.version;
}

uint64_t catalog_engine_next_timestamp_volatile(struct catalog_engine *en)
{
    return atomic_fetch_add(&en->timestamp, 1) + 1;
}

void catalog_engine_memory(struct catalog_engine *en, struct catalog_engine_memory *ret)
{
    env_lock_enter(en->lock);
    *ret =
        (struct catalog_engine_memory){ .tables = 1, .bytes = catalog_engine_current(en)->bytes };
    for (const struct catalog_table *t = en->retired; t != NULL; t = t->next_retired)
        ret->tables++;
    for (const struct catalog_reader *r = en->readers; r != NULL; r = r->next)
        ret->readers++;
    env_lock_leave(en->lock);
}

/* ---- Changes that no catalog knows ---- */

/* Under the lock: the current routes with their loads, and room for `more`. NULL if memory is gone. */
static struct route *routes_now(const struct catalog_table *t, size_t more)
{
    struct route *routes = malloc((t->count + more) * sizeof *routes);
    for (size_t i = 0; routes != NULL && i < t->count; i++)
        routes[i] = with_load(t, &t->routes[i]);
    return routes;
}

/* Under the lock: a table of these routes with the stamp of the current one. */
static bool swap_routes(struct catalog_engine *en, const struct route *routes, size_t count)
{
    struct catalog_table *table =
        catalog_table_new(routes, count, &catalog_engine_current(en)->stamp);
    if (table != NULL)
        catalog_engine_swap(en, table);
    return table != NULL;
}

/* Where the route goes: over an equal range, if that is wanted, else behind all that start at or
 * before it. */
static size_t place_for(const struct catalog_engine *en, const struct route *routes, size_t count,
                        const struct route *r, bool *replaces)
{
    size_t place = 0;
    *replaces = false;
    for (; place < count && bytes_compare(routes[place].start, r->start) <= 0; place++) {
        const struct route *there = &routes[place];
        if (en->config.replace_equal && bytes_equal(there->start, r->start) &&
            there->end_unbounded == r->end_unbounded && bytes_equal(there->end, r->end)) {
            *replaces = true;
            return place;
        }
    }
    return place;
}

err_t catalog_engine_update_route(struct catalog_engine *en, struct bytes start,
                                  const struct bytes *end, uint64_t group_id, struct err *e)
{
    struct route r = { .start = start,
                       .end = end != NULL ? *end : (struct bytes){ 0 },
                       .end_unbounded = end == NULL,
                       .group_id = group_id };
    if (end != NULL && bytes_compare(start, *end) >= 0)
        return catalog_error(e, ERR_CATALOG_INVALID_ROUTE_RANGE,
                             "it ends where it starts, or before");
    env_lock_enter(en->lock);
    size_t count = catalog_engine_current(en)->count, place;
    struct route *routes = routes_now(catalog_engine_current(en), 1);
    bool replaces, done = false;
    if (routes != NULL) {
        place = place_for(en, routes, count, &r, &replaces);
        if (!replaces)
            memmove(routes + place + 1, routes + place, (count++ - place) * sizeof *routes);
        routes[place] = r;
        done = swap_routes(en, routes, count);
    }
    free(routes);
    env_lock_leave(en->lock);
    return done ? ERR_OK : err_set(e, ERR_NOMEM, "no memory for another route");
}

/* ---- Hot routes ---- */

/* Under the lock: the half of `r` behind its first possible key is split off, if there is such a
 * key. */
static void split_here(struct catalog_engine *en, const struct catalog_table *t,
                       const struct route *r)
{
    struct buf cut = { 0 };
    struct route *routes = NULL;
    if (!r->end_unbounded && buf_append(&cut, r->start) == ERR_OK &&
        buf_append(&cut, bytes_from("", 1)) == ERR_OK && bytes_compare(buf_bytes(&cut), r->end) < 0)
        routes = routes_now(t, 1);
    size_t place = (size_t)(r - t->routes);
    if (routes != NULL) {
        memmove(routes + place + 1, routes + place, (t->count - place) * sizeof *routes);
        struct route *left = &routes[place], *right = left + 1;
        *left = *right =
            (struct route){ .group_id = r->group_id, .start = r->start, .end = r->end };
        left->end = right->start = buf_bytes(&cut);
    }
    if (routes == NULL || !swap_routes(en, routes, t->count + 1))
        catalog_table_reset_load(t, r); /* counts from the start again */
    free(routes);
    buf_free(&cut);
}

/* The access that the reader saw was counted; whether the route is still hot is asked again
 * under the lock. */
static void got_hot(struct catalog_engine *en, struct bytes key)
{
    struct route hot = { 0 };
    env_lock_enter(en->lock);
    struct catalog_table *t = catalog_engine_current(en);
    const struct route *r = catalog_table_find(t, key);
    bool still = r != NULL && catalog_table_load(t, r) >= en->config.threshold, tell = false;
    if (still && en->config.hot == NULL) {
        split_here(en, t, r);
    } else if (still) {
        hot = with_load(t, r);
        tell = route_clone(&hot, &hot) == ERR_OK;
        catalog_table_reset_load(t, r);
    }
    env_lock_leave(en->lock);
    if (tell) {
        en->config.hot(en->config.user, &hot); /* without the lock: it may ask the engine */
        route_free(&hot);
    }
}

void catalog_engine_record_access(struct catalog_reader *r, struct bytes key)
{
    struct catalog_engine *en = r->engine;
    const struct catalog_table *t = catalog_reader_enter(r);
    const struct route *found = catalog_table_find(t, key);
    bool hot = found != NULL && catalog_table_count_access(t, found) >= en->config.threshold &&
               en->config.threshold > 0;
    catalog_reader_leave(r);
    if (hot)
        got_hot(en, key);
}
