/* Snapshots as bytes. */
#include "catalog/snapshot.h"

#include <inttypes.h>

#include "base/codec.h"
#include "catalog/error.h"
#include "catalog/hash.h"
#include "pieces.h"

enum { FORMAT = 1, HEAD_SIZE = 1 + PIECES_STAMP_SIZE + 8 + 4 };

void catalog_snapshot_free(struct catalog_snapshot *s)
{
    if (s == NULL)
        return;
    route_list_free(&s->routes);
    *s = (struct catalog_snapshot){ 0 };
}

err_t catalog_snapshot_encode(const struct catalog_snapshot *s, struct buf *out, struct err *e)
{
    size_t before = out->len;
    uint8_t *at = buf_reserve(out, HEAD_SIZE);
    if (at == NULL || s->routes.count > UINT32_MAX)
        return err_set(e, ERR_NOMEM, "no memory for a snapshot of %zu routes", s->routes.count);
    put_u8(&at, FORMAT);
    pieces_put_stamp(&at, &s->stamp);
    put_u64(&at, s->read_ts);
    put_u32(&at, (uint32_t)s->routes.count);
    out->len += HEAD_SIZE;
    err_t rc = ERR_OK;
    for (size_t i = 0; i < s->routes.count && rc == ERR_OK; i++)
        rc = pieces_append_route(out, &s->routes.items[i], e);
    if (rc != ERR_OK)
        out->len = before;
    return rc;
}

static err_t take_routes(struct bytes *in, uint32_t count, struct route_list *list, struct err *e)
{
    for (uint32_t i = 0; i < count; i++) {
        struct route r;
        err_t rc = pieces_take_route(in, &r, e);
        if (rc == ERR_OK && i > 0 && route_compare(&list->items[i - 1], &r) >= 0)
            rc = err_set(e, ERR_CORRUPTION, "its routes are not sorted");
        if (rc == ERR_OK && (rc = route_list_add(list, &r)) != ERR_OK)
            err_set(e, rc, "no memory for %u routes", count);
        if (rc != ERR_OK)
            return rc;
    }
    return in->len == 0 ? ERR_OK : err_set(e, ERR_CORRUPTION, "%zu bytes too many", in->len);
}

static err_t check_hash(const struct catalog_snapshot *s, struct err *e)
{
    if (s->stamp.version == 0)
        return ERR_OK;
    struct catalog_stamp found = s->stamp;
    found.hash = catalog_hash_of(s->routes.items, s->routes.count);
    return catalog_hash_check(&s->stamp, &found, e);
}

err_t catalog_snapshot_decode(struct bytes in, struct catalog_snapshot *ret, struct err *e)
{
    struct catalog_snapshot s = { 0 };
    uint8_t format;
    uint32_t count;
    if (!take_u8(&in, &format) || format != FORMAT || !pieces_take_stamp(&in, &s.stamp) ||
        !take_u64(&in, &s.read_ts) || !take_u32(&in, &count) || count > in.len / PIECES_ROUTE_MIN)
        return err_set(e, ERR_CORRUPTION, "the bytes are no catalog");
    err_t rc = take_routes(&in, count, &s.routes, e);
    if (rc == ERR_OK)
        rc = check_hash(&s, e);
    if (rc != ERR_OK) {
        catalog_snapshot_free(&s);
        return err_wrap(e, rc, "could not read a catalog of %u routes", count);
    }
    *ret = s;
    return ERR_OK;
}
