/* What the catalog needs of a store: rows with their history.
 *
 *   commit ts      3            7            9          a read at ts sees, of every key, the newest version <= ts
 *   key a          put x                     put y      start_ts: what the writer had read; a batch conflicts if any of
 *   key b                       put z        remove     its keys has a version above it
 *
 * A door: whoever has rows with a history fills it. mvcc_mem.h does, and is what a log drives
 * (mvcc_batch_encode). */
#pragma once

#include "base/arena.h"
#include "base/buf.h"

struct mvcc_mutation {
    bool remove; /* then there is no value */
    struct bytes key, value;
};

/* All of it or nothing. Of two mutations of one key the later counts. */
struct mvcc_batch {
    const struct mvcc_mutation *mutations;
    size_t count;
    uint64_t start_ts;
    uint64_t commit_ts; /* at least; the store commits above its last commit in any case */
};

struct mvcc_range {
    struct bytes start, end; /* end: exclusive, and there is one */
    size_t limit;
    uint64_t ts;
};

struct mvcc {
    /* Appends the value to `ret`. ERR_NOT_FOUND: no row at that time;
     * ERR_CATALOG_HISTORY_TRIMMED: nobody knows. */
    err_t (*get_at)(void *self, struct bytes key, uint64_t ts, struct buf *ret, struct err *e);
    /* Calls `each` for at most `limit` rows in the order of their keys; stops at its first error
     * and answers that. The row is borrowed for the call. */
    err_t (*scan_at)(void *self, const struct mvcc_range *range,
                     err_t (*each)(void *user, struct bytes key, struct bytes value, struct err *e),
                     void *user, struct err *e);
    /* ERR_CONFLICT: a key of it was written after start_ts; nothing was done. */
    err_t (*apply)(void *self, const struct mvcc_batch *batch, struct err *e);
    uint64_t (*last_commit_ts)(void *self);
    void *self;
};

/* A batch as bytes, for an entry of a log; all numbers little-endian:
 *
 *   u8 format = 1 | u64 start_ts | u64 commit_ts | u32 count | count mutations
 *   mutation: u8 remove | u32 key len | key | if it is a put: u32 value len | value */
MUST_USE err_t mvcc_batch_encode(const struct mvcc_batch *batch, struct buf *out, struct err *e);
/* Keys and values are views into `in`; the array comes from `arena` and is bounded by the length
 * of `in`. ERR_CORRUPTION for anything that mvcc_batch_encode() would not have written. */
MUST_USE err_t mvcc_batch_decode(struct bytes in, struct arena *arena, struct mvcc_batch *ret,
                                 struct err *e);
