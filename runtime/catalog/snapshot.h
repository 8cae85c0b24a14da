/* A catalog as it was at one time: its stamp and its routes. */
#pragma once

#include "catalog/record.h"
#include "catalog/route.h"

struct catalog_snapshot {
    struct catalog_stamp stamp;
    uint64_t read_ts;         /* at which it was read; 0 in the result of a save */
    struct route_list routes; /* sorted: start, end (unbounded last), id */
};

/* Frees and resets to {0}. NULL and {0} are welcome. */
void catalog_snapshot_free(struct catalog_snapshot *s);

/* A snapshot as bytes, for a reader that is too far behind for deltas; little-endian, records
 * big-endian as stored:
 *
 *   u8 format = 1 | u64 version | 16 incarnation | 32 hash | u64 read ts | u32 count | count times: u32 len | record */
MUST_USE err_t catalog_snapshot_encode(const struct catalog_snapshot *s, struct buf *out,
                                       struct err *e);
/* The caller frees `ret`. ERR_CORRUPTION for bytes that are none; the code of a route's fault;
 * ERR_CATALOG_INTEGRITY if the routes are not what the hash says. Memory is bounded by the
 * length of `in`. */
MUST_USE err_t catalog_snapshot_decode(struct bytes in, struct catalog_snapshot *ret,
                                       struct err *e);
