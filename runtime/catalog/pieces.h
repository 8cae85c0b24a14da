/* What snapshots and deltas have in common on the wire. */
#pragma once

#include "catalog/record.h"
#include "catalog/route.h"

enum {
    PIECES_STAMP_SIZE = 8 + 16 + DIGEST_SIZE,
    PIECES_ROUTE_MIN = 4 + ROUTE_ENCODED_MIN, /* with its length */
};

/* Room was made by the caller. */
void pieces_put_stamp(uint8_t **at, const struct catalog_stamp *stamp);
MUST_USE bool pieces_take_stamp(struct bytes *in, struct catalog_stamp *ret);
/* Appends u32 len | record. */
MUST_USE err_t pieces_append_route(struct buf *out, const struct route *r, struct err *e);
/* Keys are views. */
MUST_USE err_t pieces_take_route(struct bytes *in, struct route *ret, struct err *e);
