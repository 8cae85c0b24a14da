/* What one save changed: how readers follow without reading everything.
 *
 *   version 6, hash h6  --removed ids, routes put-->  version 7, hash h7
 *
 * It leads to stamp.version from the version before, and from nowhere else; its hash says what
 * must come out. */
#pragma once

#include "catalog/record.h"
#include "catalog/route.h"

/* Borrowed: from the plan that made it, or from the arena and the bytes that it was decoded from. */
struct catalog_delta {
    struct catalog_stamp stamp;
    const uint64_t *removed; /* ascending */
    size_t removed_count;
    const struct route *put; /* new ones, and new contents of old ids; sorted by start */
    size_t put_count;
};

/* u8 format = 1 | u64 version | 16 incarnation | 32 hash | u32 count | ids, u64 each
 * | u32 count | count times: u32 len | record          little-endian, records as they are stored */
MUST_USE err_t catalog_delta_encode(const struct catalog_delta *d, struct buf *out, struct err *e);
/* Arrays come from `arena`, keys are views into `in`; memory is bounded by the length of `in`. */
MUST_USE err_t catalog_delta_decode(struct bytes in, struct arena *arena, struct catalog_delta *ret,
                                    struct err *e);
