/* Stamps and routes inside snapshots and deltas. */
#include "pieces.h"

#include "base/codec.h"

void pieces_put_stamp(uint8_t **at, const struct catalog_stamp *stamp)
{
    put_u64(at, stamp->version);
    put_bytes(at, bytes_from(stamp->incarnation.bytes, sizeof stamp->incarnation.bytes));
    put_bytes(at, bytes_from(stamp->hash.bytes, DIGEST_SIZE));
}

bool pieces_take_stamp(struct bytes *in, struct catalog_stamp *ret)
{
    struct bytes incarnation, hash;
    if (in->len < PIECES_STAMP_SIZE || !take_u64(in, &ret->version) ||
        !take_bytes(in, sizeof ret->incarnation.bytes, &incarnation) ||
        !take_bytes(in, DIGEST_SIZE, &hash))
        return false;
    memcpy(ret->incarnation.bytes, incarnation.data, incarnation.len);
    memcpy(ret->hash.bytes, hash.data, hash.len);
    return true;
}

err_t pieces_append_route(struct buf *out, const struct route *r, struct err *e)
{
    size_t size = route_encoded_size(r), before = out->len;
    if (size > UINT32_MAX)
        return err_set(e, ERR_TOO_LARGE, "a route of %zu bytes", size);
    uint8_t *at = buf_reserve(out, 4 + size);
    if (at == NULL)
        return err_set(e, ERR_NOMEM, "no memory for a route of %zu bytes", size);
    put_u32(&at, (uint32_t)size);
    out->len += 4;
    err_t rc = route_encode(r, out, e);
    if (rc != ERR_OK)
        out->len = before;
    return rc;
}

err_t pieces_take_route(struct bytes *in, struct route *ret, struct err *e)
{
    uint32_t len;
    struct bytes record;
    if (!take_u32(in, &len) || !take_bytes(in, len, &record))
        return err_set(e, ERR_CORRUPTION, "a route is cut off");
    return route_decode(record, ret, e);
}
