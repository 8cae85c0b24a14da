/* Deltas as bytes. */
#include "catalog/delta.h"

#include "base/codec.h"
#include "pieces.h"

enum { FORMAT = 1, HEAD_SIZE = 1 + PIECES_STAMP_SIZE + 4 };

static err_t append_removed(const struct catalog_delta *d, struct buf *out)
{
    size_t size = HEAD_SIZE + 8 * d->removed_count + 4;
    uint8_t *at = buf_reserve(out, size);
    if (at == NULL || d->removed_count > UINT32_MAX || d->put_count > UINT32_MAX)
        return ERR_NOMEM;
    put_u8(&at, FORMAT);
    pieces_put_stamp(&at, &d->stamp);
    put_u32(&at, (uint32_t)d->removed_count);
    for (size_t i = 0; i < d->removed_count; i++)
        put_u64(&at, d->removed[i]);
    put_u32(&at, (uint32_t)d->put_count);
    out->len += size;
    return ERR_OK;
}

err_t catalog_delta_encode(const struct catalog_delta *d, struct buf *out, struct err *e)
{
    size_t before = out->len;
    if (append_removed(d, out) != ERR_OK)
        return err_set(e, ERR_NOMEM, "no memory for a delta of %zu routes", d->put_count);
    err_t rc = ERR_OK;
    for (size_t i = 0; i < d->put_count && rc == ERR_OK; i++)
        rc = pieces_append_route(out, &d->put[i], e);
    if (rc != ERR_OK)
        out->len = before;
    return rc;
}

static err_t take_removed(struct bytes *in, struct arena *arena, struct catalog_delta *d)
{
    uint32_t count;
    if (!take_u32(in, &count) || count > in->len / 8)
        return ERR_CORRUPTION;
    uint64_t *ids = arena_zalloc(arena, count, sizeof *ids), last = 0;
    if (ids == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < count; i++) {
        if (!take_u64(in, &ids[i]) || ids[i] <= last)
            return ERR_CORRUPTION;
        last = ids[i];
    }
    d->removed = ids;
    d->removed_count = count;
    return ERR_OK;
}

static err_t take_put(struct bytes *in, struct arena *arena, struct catalog_delta *d, struct err *e)
{
    uint32_t count;
    if (!take_u32(in, &count) || count > in->len / PIECES_ROUTE_MIN)
        return err_set(e, ERR_CORRUPTION, "more routes than bytes");
    struct route *put = arena_zalloc(arena, count, sizeof *put);
    if (put == NULL)
        return err_set(e, ERR_NOMEM, "no memory for %u routes", count);
    for (uint32_t i = 0; i < count; i++) {
        err_t rc = pieces_take_route(in, &put[i], e);
        if (rc != ERR_OK)
            return rc;
        if (i > 0 && route_compare(&put[i - 1], &put[i]) >= 0)
            return err_set(e, ERR_CORRUPTION, "its routes are not sorted");
    }
    d->put = put;
    d->put_count = count;
    return in->len == 0 ? ERR_OK : err_set(e, ERR_CORRUPTION, "%zu bytes too many", in->len);
}

err_t catalog_delta_decode(struct bytes in, struct arena *arena, struct catalog_delta *ret,
                           struct err *e)
{
    struct catalog_delta d = { 0 };
    uint8_t format;
    if (!take_u8(&in, &format) || format != FORMAT || !pieces_take_stamp(&in, &d.stamp) ||
        d.stamp.version == 0)
        return err_set(e, ERR_CORRUPTION, "the bytes are no delta of a catalog");
    err_t rc = take_removed(&in, arena, &d);
    if (rc != ERR_OK)
        return err_set(e, rc, "a delta's removed routes are damaged");
    rc = take_put(&in, arena, &d, e);
    if (rc != ERR_OK)
        return err_wrap(e, rc, "a delta is damaged");
    *ret = d;
    return ERR_OK;
}
