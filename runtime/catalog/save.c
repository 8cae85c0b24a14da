/* Saving a catalog: what is there, what is wanted, and the batch that leads from one to the other.
 *
 *   stored, by id     1   2   3   5        delete the row of 3: nobody wants it
 *   wanted, by id     1   2'      5  6     put 2' and 6; 1 and 5 are as they were and keep their commit timestamps
 *   and               version + 1, next id (it never sinks), identity
 *
 * Both are walked side by side in the order of ids. The batch's start is the time of the read,
 * so anything that was written to these rows meanwhile is a conflict; every save writes the
 * version's row, so any other save is one. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/codec.h"
#include "catalog/error.h"
#include "catalog/hash.h"
#include "catalog_int.h"

enum { META_ROWS = 3 };

struct save {
    const struct catalog *c;
    uint64_t read_ts;
    struct catalog_stamp now;    /* what is stored */
    struct route_list stored;    /* by id */
    const struct route **wanted; /* into plan->routes, by id */
    struct catalog_plan *plan;
    struct mvcc_mutation *mutations;
    uint64_t *removed;
    struct route *put;
};

/* ---- Steps 2 to 4: the input, the version, the overflows ---- */

static err_t check_input(const struct route *routes, size_t count, struct route_list *ret,
                         struct err *e)
{
    struct route_list list = { 0 };
    err_t rc = route_check_each(routes, count, ERR_CATALOG_DUPLICATE_ROUTE_ID, e);
    if (rc == ERR_OK && (rc = route_list_copy(routes, count, &list)) != ERR_OK)
        err_set(e, rc, "no memory for %zu routes", count);
    if (rc == ERR_OK) {
        route_list_sort(&list);
        rc = route_check_order(list.items, list.count, e);
    }
    if (rc != ERR_OK) {
        route_list_free(&list);
        return rc;
    }
    for (size_t i = 0; i < list.count; i++)
        list.items[i].load = 0;
    *ret = list;
    return ERR_OK;
}

static err_t check_version(struct save *s, uint64_t expected, struct err *e)
{
    uint64_t version;
    err_t rc = catalog_version_at(s->c, s->read_ts, &version, e);
    if (rc != ERR_OK)
        return rc;
    if (version != expected)
        return catalog_error(e, ERR_CATALOG_VERSION_MISMATCH,
                             "expected %" PRIu64 ", and it is %" PRIu64, expected, version);
    if (expected == UINT64_MAX)
        return catalog_error(e, ERR_CATALOG_VERSION_OVERFLOW, "version %" PRIu64 " is the last one",
                             expected);
    if (s->read_ts == UINT64_MAX)
        return catalog_error(e, ERR_CATALOG_VERSION_OVERFLOW,
                             "timestamp %" PRIu64 " is the last one", s->read_ts);
    return ERR_OK;
}

/* ---- Step 5: what is there, the next id ---- */

static err_t load(struct save *s, struct err *e)
{
    err_t rc = catalog_stamp_at(s->c, s->read_ts, &s->now, e);
    return rc != ERR_OK ? rc : catalog_routes_at(s->c, s->read_ts, &s->stored, e);
}

static err_t next_id(const struct save *s, uint64_t *ret, struct err *e)
{
    uint64_t counter, old = 0, new = 0;
    err_t rc = catalog_counter_at(s->c, s->read_ts, &counter, e);
    if (rc == ERR_OK)
        rc = route_next_id_floor(s->stored.items, s->stored.count, &old, e);
    if (rc == ERR_OK)
        rc = route_next_id_floor(s->plan->routes.items, s->plan->routes.count, &new, e);
    if (rc != ERR_OK)
        return rc;
    *ret = counter > old ? counter : old;
    *ret = *ret > new ? *ret : new;
    return ERR_OK;
}

/* ---- Step 6: the difference ---- */

static struct bytes in_arena(struct arena *a, const void *data, size_t len)
{
    uint8_t *copy = arena_alloc(a, len);
    if (copy != NULL)
        memcpy(copy, data, len);
    return bytes_from(copy, copy == NULL ? 0 : len);
}

static struct bytes route_key(struct arena *a, uint64_t id)
{
    uint8_t key[RECORD_ROUTE_KEY_SIZE];
    record_route_key(id, key);
    return in_arena(a, key, sizeof key);
}

static void plan_remove(struct save *s, const struct route *r)
{
    struct catalog_plan *p = s->plan;
    s->removed[p->delta.removed_count++] = r->id;
    s->mutations[p->batch.count++] =
        (struct mvcc_mutation){ .remove = true, .key = route_key(&p->memory, r->id) };
    catalog_hash_remove(&p->stamp.hash, r);
}

static void plan_put(struct save *s, const struct route *r)
{
    struct catalog_plan *p = s->plan;
    s->put[p->delta.put_count++] = *r;
    struct mvcc_mutation *m = &s->mutations[p->batch.count++];
    m->key = route_key(&p->memory, r->id);
    size_t size = route_encoded_size(r);
    uint8_t *record = arena_alloc(&p->memory, size);
    if (record != NULL) /* else the arena says so at the end */
        route_put(r, record);
    m->value = bytes_from(record, size);
    catalog_hash_add(&p->stamp.hash, r);
}

static bool same_route(const struct route *a, const struct route *b)
{
    return a->group_id == b->group_id && a->parent_id == b->parent_id && a->state == b->state &&
           a->end_unbounded == b->end_unbounded && bytes_equal(a->start, b->start) &&
           bytes_equal(a->end, b->end);
}

static void plan_difference(struct save *s)
{
    size_t i = 0, k = 0, stored = s->stored.count, wanted = s->plan->routes.count;
    while (i < stored || k < wanted) {
        const struct route *old = i < stored ? &s->stored.items[i] : NULL;
        const struct route *new = k < wanted ? s->wanted[k] : NULL;
        if (new == NULL || (old != NULL && old->id < new->id)) {
            plan_remove(s, old);
            i++;
        } else if (old == NULL || new->id < old->id) {
            plan_put(s, new);
            k++;
        } else {
            if (!same_route(old, new)) {
                catalog_hash_remove(&s->plan->stamp.hash, old);
                plan_put(s, new);
            }
            i++;
            k++;
        }
    }
}

static void plan_row(struct save *s, struct bytes key, const uint8_t *value, size_t len)
{
    struct catalog_plan *p = s->plan;
    s->mutations[p->batch.count++] =
        (struct mvcc_mutation){ .key = key, .value = in_arena(&p->memory, value, len) };
}

static void plan_meta(struct save *s, uint64_t next)
{
    uint8_t version[RECORD_NUMBER_SIZE], id[RECORD_NUMBER_SIZE], identity[RECORD_IDENTITY_SIZE];
    record_version_encode(s->plan->stamp.version, version);
    record_next_route_id_encode(next, id);
    record_identity_encode(&s->plan->stamp, identity);
    plan_row(s, record_version_key(), version, sizeof version);
    plan_row(s, record_next_route_id_key(), id, sizeof id);
    plan_row(s, record_identity_key(), identity, sizeof identity);
}

static int by_id(const void *a, const void *b)
{
    const struct route *const *left = a, *const *right = b;
    return ((*left)->id > (*right)->id) - ((*left)->id < (*right)->id);
}

static int by_place(const void *a, const void *b)
{
    return route_compare(a, b);
}

static bool make_room(struct save *s)
{
    struct catalog_plan *p = s->plan;
    size_t stored = s->stored.count, wanted = p->routes.count;
    arena_init(&p->memory, SIZE_MAX, NULL, 0);
    s->mutations = arena_zalloc(&p->memory, stored + wanted + META_ROWS, sizeof *s->mutations);
    s->removed = arena_zalloc(&p->memory, stored, sizeof *s->removed);
    s->put = arena_zalloc(&p->memory, wanted, sizeof *s->put);
    s->wanted = malloc((wanted + 1) * sizeof(const struct route *));
    return s->wanted != NULL && !p->memory.refused;
}

static void stamp_next(struct save *s)
{
    struct catalog_stamp *stamp = &s->plan->stamp;
    *stamp = s->now;
    stamp->version++;
    if (s->now.version == 0)
        stamp->incarnation = s->c->fresh;
}

/* The first version is told whole: its readers know nothing, even if rows without a version were
 * lying here. */
static void tell_all(struct save *s)
{
    struct catalog_plan *p = s->plan;
    p->delta.removed_count = 0;
    p->delta.put_count = p->routes.count;
    for (size_t i = 0; i < p->routes.count; i++)
        s->put[i] = p->routes.items[i];
    p->stamp.hash = catalog_hash_of(p->routes.items, p->routes.count);
}

/* Step 7: above the read, and above whatever was committed while we planned. */
static err_t commit_ts(const struct save *s, uint64_t *ret, struct err *e)
{
    uint64_t last = s->c->store->last_commit_ts(s->c->store->self);
    if (last == UINT64_MAX)
        return catalog_error(e, ERR_CATALOG_VERSION_OVERFLOW,
                             "timestamp %" PRIu64 " is the last one", last);
    *ret = last > s->read_ts ? last + 1 : s->read_ts + 1;
    return ERR_OK;
}

static err_t plan_all(struct save *s, struct err *e)
{
    struct catalog_plan *p = s->plan;
    uint64_t next;
    err_t rc = next_id(s, &next, e);
    if (rc != ERR_OK)
        return rc;
    if (!make_room(s))
        return err_set(e, ERR_NOMEM, "no memory to plan a save of %zu routes", p->routes.count);
    for (size_t i = 0; i < p->routes.count; i++)
        s->wanted[i] = &p->routes.items[i];
    qsort((void *)s->wanted, p->routes.count, sizeof(const struct route *), by_id);
    stamp_next(s);
    plan_difference(s);
    if (s->now.version == 0)
        tell_all(s);
    plan_meta(s, next);
    qsort(s->put, p->delta.put_count, sizeof *s->put, by_place);
    if (p->memory.refused)
        return err_set(e, ERR_NOMEM, "no memory to plan a save of %zu routes", p->routes.count);
    p->batch.mutations = s->mutations;
    p->batch.start_ts = s->read_ts;
    p->delta.stamp = p->stamp;
    p->delta.removed = s->removed;
    p->delta.put = s->put;
    return commit_ts(s, &p->batch.commit_ts, e);
}

/* ---- Public ---- */

err_t catalog_plan(const struct catalog *c, uint64_t expected, const struct route *routes,
                   size_t count, struct catalog_plan *ret, struct err *e)
{
    struct catalog_plan plan = { 0 };
    struct save s = { .c = c, .plan = &plan };
    err_t rc = catalog_check(c, e);
    if (rc == ERR_OK)
        rc = check_input(routes, count, &plan.routes, e);
    if (rc == ERR_OK) {
        s.read_ts = c->store->last_commit_ts(c->store->self);
        rc = check_version(&s, expected, e);
    }
    if (rc == ERR_OK)
        rc = load(&s, e);
    if (rc == ERR_OK)
        rc = plan_all(&s, e);
    route_list_free(&s.stored);
    free((void *)s.wanted);
    if (rc != ERR_OK) {
        catalog_plan_free(&plan);
        return rc;
    }
    *ret = plan;
    return ERR_OK;
}

void catalog_plan_free(struct catalog_plan *plan)
{
    if (plan == NULL)
        return;
    route_list_free(&plan->routes);
    arena_free(&plan->memory);
    *plan = (struct catalog_plan){ 0 };
}

err_t catalog_conflict(const struct catalog_plan *plan, err_t rc, struct err *e)
{
    if (rc == ERR_OVERFLOW)
        return catalog_error(e, ERR_CATALOG_VERSION_OVERFLOW, "the store has no higher timestamp");
    if (rc != ERR_CONFLICT)
        return rc;
    return catalog_error(e, ERR_CATALOG_VERSION_MISMATCH,
                         "another save than that of version %" PRIu64 " was faster",
                         plan->stamp.version);
}

err_t catalog_save(const struct catalog *c, uint64_t expected, const struct route *routes,
                   size_t count, struct catalog_snapshot *ret, struct err *e)
{
    struct catalog_plan plan;
    err_t rc = catalog_plan(c, expected, routes, count, &plan, e);
    if (rc != ERR_OK)
        return rc;
    rc = catalog_conflict(&plan, c->store->apply(c->store->self, &plan.batch, e), e);
    if (rc == ERR_OK && ret != NULL) {
        *ret = (struct catalog_snapshot){ .stamp = plan.stamp, .routes = plan.routes };
        plan.routes = (struct route_list){ 0 };
    }
    catalog_plan_free(&plan);
    return rc;
}
