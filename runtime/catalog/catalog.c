/* Reading a catalog. */
#include "catalog/catalog.h"

#include <inttypes.h>

#include "catalog/error.h"
#include "catalog/hash.h"
#include "catalog_int.h"

enum { SCAN_PAGE = 256 }; /* rows */

err_t catalog_check(const struct catalog *c, struct err *e)
{
    if (c != NULL && c->store != NULL)
        return ERR_OK;
    return catalog_error(e, ERR_CATALOG_STORE_REQUIRED, "%s",
                         c == NULL ? "there is no catalog" : "the catalog has none");
}

/* ---- Single rows ---- */

static err_t number_at(const struct catalog *c, struct bytes key, uint64_t ts,
                       err_t (*decode)(struct bytes in, uint64_t *ret, struct err *e),
                       uint64_t *ret, struct err *e)
{
    struct buf row = { 0 };
    err_t rc = c->store->get_at(c->store->self, key, ts, &row, e);
    if (rc == ERR_OK) {
        rc = decode(buf_bytes(&row), ret, e);
    } else if (rc == ERR_NOT_FOUND) {
        *ret = 0;
        rc = ERR_OK;
    }
    buf_free(&row);
    return rc;
}

err_t catalog_version_at(const struct catalog *c, uint64_t ts, uint64_t *ret, struct err *e)
{
    return number_at(c, record_version_key(), ts, record_version_decode, ret, e);
}

err_t catalog_counter_at(const struct catalog *c, uint64_t ts, uint64_t *ret, struct err *e)
{
    return number_at(c, record_next_route_id_key(), ts, record_next_route_id_decode, ret, e);
}

static uint64_t now_of(const struct catalog *c)
{
    return c->store->last_commit_ts(c->store->self);
}

err_t catalog_version(const struct catalog *c, uint64_t *ret, struct err *e)
{
    err_t rc = catalog_check(c, e);
    return rc != ERR_OK ? rc : catalog_version_at(c, now_of(c), ret, e);
}

static err_t identity_at(const struct catalog *c, uint64_t ts, uint64_t version,
                         struct catalog_stamp *ret, struct err *e)
{
    struct buf row = { 0 };
    struct catalog_stamp stamp = { 0 };
    err_t rc = c->store->get_at(c->store->self, record_identity_key(), ts, &row, e);
    if (rc == ERR_OK)
        rc = record_identity_decode(buf_bytes(&row), &stamp, e);
    else if (rc == ERR_NOT_FOUND && version == 0)
        rc = ERR_OK;
    if ((rc == ERR_OK && stamp.version != version) || rc == ERR_NOT_FOUND)
        rc = catalog_error(e, ERR_CATALOG_INTEGRITY,
                           "it has version %" PRIu64 " and the identity of version %" PRIu64,
                           version, stamp.version);
    buf_free(&row);
    if (rc == ERR_OK)
        *ret = stamp;
    return rc;
}

err_t catalog_stamp_at(const struct catalog *c, uint64_t ts, struct catalog_stamp *ret,
                       struct err *e)
{
    uint64_t version;
    err_t rc = catalog_check(c, e);
    if (rc == ERR_OK)
        rc = catalog_version_at(c, ts, &version, e);
    return rc != ERR_OK ? rc : identity_at(c, ts, version, ret, e);
}

/* ---- Routes ---- */

struct scan {
    struct route_list *list;
    size_t rows; /* of this page */
};

/* Keys ascend, so an id that is not above the last one was there before. */
static err_t check_row(const struct scan *scan, uint64_t id, uint64_t found, struct err *e)
{
    const struct route_list *list = scan->list;
    if (found != id)
        return catalog_error(e, ERR_CATALOG_ROUTE_KEY_ID_MISMATCH,
                             "the row of route %" PRIu64 " holds route %" PRIu64, id, found);
    if (list->count > 0 && list->items[list->count - 1].id >= id)
        return catalog_error(e, ERR_CATALOG_DUPLICATE_ROUTE_ID,
                             "the store gives id %" PRIu64 " twice", id);
    return ERR_OK;
}

static err_t scan_row(void *user, struct bytes key, struct bytes value, struct err *e)
{
    struct scan *scan = user;
    uint64_t id;
    struct route r;
    if (!record_route_id_from_key(key, &id))
        return catalog_error(e, ERR_CATALOG_INVALID_ROUTE_KEY, "a key of %zu bytes", key.len);
    err_t rc = route_decode(value, &r, e);
    if (rc != ERR_OK)
        return err_wrap(e, rc, "could not read the row of route %" PRIu64, id);
    rc = check_row(scan, id, r.id, e);
    if (rc != ERR_OK)
        return rc;
    scan->rows++;
    rc = route_list_add(scan->list, &r);
    return rc == ERR_OK ? rc : err_set(e, rc, "no memory for the catalog's routes");
}

err_t catalog_routes_at(const struct catalog *c, uint64_t ts, struct route_list *ret, struct err *e)
{
    struct route_list list = { 0 };
    struct scan scan = { .list = &list };
    uint8_t
        cursor[RECORD_ROUTE_KEY_SIZE + 1]; /* the last key and a zero byte: the next possible one */
    struct mvcc_range range = { .start = record_route_prefix(),
                                .end = record_route_prefix_end(),
                                .limit = SCAN_PAGE,
                                .ts = ts };
    err_t rc;
    do {
        scan.rows = 0;
        rc = c->store->scan_at(c->store->self, &range, scan_row, &scan, e);
        if (rc == ERR_OK && scan.rows > 0) {
            record_route_key(list.items[list.count - 1].id, cursor);
            cursor[RECORD_ROUTE_KEY_SIZE] = 0;
            range.start = bytes_from(cursor, sizeof cursor);
        }
    } while (rc == ERR_OK && scan.rows == SCAN_PAGE);
    if (rc != ERR_OK) {
        route_list_free(&list);
        return rc;
    }
    *ret = list;
    return ERR_OK;
}

static err_t check_content(const struct catalog_snapshot *s, struct err *e)
{
    if (s->stamp.version == 0)
        return ERR_OK;
    struct catalog_stamp found = s->stamp;
    found.hash = catalog_hash_of(s->routes.items, s->routes.count);
    err_t rc = catalog_hash_check(&s->stamp, &found, e);
    return rc == ERR_OK ? rc : err_wrap(e, rc, "the stored routes are not those that were saved");
}

err_t catalog_snapshot_at(const struct catalog *c, uint64_t ts, struct catalog_snapshot *ret,
                          struct err *e)
{
    struct catalog_snapshot s = { .read_ts = ts };
    err_t rc = catalog_stamp_at(c, ts, &s.stamp, e);
    if (rc == ERR_OK)
        rc = catalog_routes_at(c, ts, &s.routes, e);
    if (rc == ERR_OK)
        rc = check_content(&s, e);
    if (rc != ERR_OK) {
        catalog_snapshot_free(&s);
        return rc;
    }
    route_list_sort(&s.routes);
    *ret = s;
    return ERR_OK;
}

err_t catalog_snapshot(const struct catalog *c, struct catalog_snapshot *ret, struct err *e)
{
    err_t rc = catalog_check(c, e);
    return rc != ERR_OK ? rc : catalog_snapshot_at(c, now_of(c), ret, e);
}

/* ---- Ids and the past ---- */

err_t catalog_next_route_id_at(const struct catalog *c, uint64_t ts, uint64_t *ret, struct err *e)
{
    uint64_t next = 0;
    struct route_list list = { 0 };
    err_t rc = catalog_check(c, e);
    if (rc == ERR_OK)
        rc = catalog_counter_at(c, ts, &next, e);
    if (rc == ERR_OK && next == 0) {
        rc = catalog_routes_at(c, ts, &list, e);
        if (rc == ERR_OK)
            rc = route_next_id_floor(list.items, list.count, &next, e);
        route_list_free(&list);
    }
    if (rc == ERR_OK)
        *ret = next;
    return rc;
}

err_t catalog_next_route_id(const struct catalog *c, uint64_t *ret, struct err *e)
{
    err_t rc = catalog_check(c, e);
    return rc != ERR_OK ? rc : catalog_next_route_id_at(c, now_of(c), ret, e);
}

/* As catalog_version_at(); what was trimmed counts as before version 1. */
static err_t version_or_trimmed(const struct catalog *c, uint64_t ts, uint64_t *ret, bool *trimmed,
                                struct err *e)
{
    err_t rc = catalog_version_at(c, ts, ret, e);
    *trimmed = rc == ERR_CATALOG_HISTORY_TRIMMED;
    return *trimmed ? ERR_OK : rc;
}

/* Versions grow with time, so the first timestamp of one is found by halving. */
err_t catalog_ts_of(const struct catalog *c, uint64_t version, uint64_t *ret, struct err *e)
{
    err_t rc = catalog_check(c, e);
    if (rc != ERR_OK)
        return rc;
    uint64_t low = 0, high = now_of(c), found = 0;
    bool trimmed;
    rc = catalog_version_at(c, high, &found, e);
    if (rc == ERR_OK && found < version)
        return err_set(e, ERR_NOT_FOUND,
                       "the catalog is at version %" PRIu64 ", not yet at %" PRIu64, found,
                       version);
    while (rc == ERR_OK && low < high) {
        uint64_t middle = low + (high - low) / 2, there;
        rc = version_or_trimmed(c, middle, &there, &trimmed, e);
        if (trimmed || (rc == ERR_OK && there < version))
            low = middle + 1;
        else
            high = middle;
    }
    if (rc == ERR_OK)
        rc = catalog_version_at(c, low, &found, e);
    if (rc == ERR_OK && found != version)
        return catalog_error(e, ERR_CATALOG_HISTORY_TRIMMED,
                             "version %" PRIu64 "; the oldest one known is %" PRIu64, version,
                             found);
    if (rc == ERR_OK)
        *ret = low;
    return rc;
}
