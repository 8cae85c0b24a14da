/* Rows with their history in memory: ordered, deterministic, driven by calls or by a log.
 *
 *   floor ........................ last commit     reads at any time in between answer the same
 *     |  the history that is kept  |               for ever; below the floor they are refused,
 *                                                  and so is a batch whose start_ts lies there
 *
 * The same calls in the same order give the same state on every replica, and the same bytes
 * (mvcc_mem_encode). One thread at a time. */
#pragma once

#include "catalog/mvcc.h"

struct mvcc_mem;

struct mvcc_mem *mvcc_mem_new(void);    /* small and fixed: aborts if memory is gone */
void mvcc_mem_free(struct mvcc_mem *m); /* NULL is welcome */
/* The door, over `m`. */
struct mvcc mvcc_mem_door(struct mvcc_mem *m);

/* Commits at max(commit_ts, last commit + 1), which `committed` gets (may be NULL).
 * ERR_CONFLICT: a key of the batch was written after start_ts, or start_ts is below the floor;
 * ERR_OVERFLOW: there is no higher timestamp. After any error nothing has changed. */
MUST_USE err_t mvcc_mem_apply(struct mvcc_mem *m, const struct mvcc_batch *batch,
                              uint64_t *committed, struct err *e);
/* The newest value at `ts`, a view until the next change. ERR_NOT_FOUND,
 * ERR_CATALOG_HISTORY_TRIMMED. */
MUST_USE err_t mvcc_mem_get(const struct mvcc_mem *m, struct bytes key, uint64_t ts,
                            struct bytes *ret, struct err *e);
/* Forgets what no reader at `before` or later can see; at most up to the last commit. The floor
 * never sinks. */
void mvcc_mem_trim(struct mvcc_mem *m, uint64_t before);

struct mvcc_mem_stats {
    uint64_t last_commit_ts, floor;
    size_t keys, versions; /* versions: tombstones too */
    size_t bytes;          /* of keys and values, all versions */
};
void mvcc_mem_stats(const struct mvcc_mem *m, struct mvcc_mem_stats *ret);

/* The whole state, history and floor included; equal states give equal bytes (mvcc_image.c draws
 * them). */
MUST_USE err_t mvcc_mem_encode(const struct mvcc_mem *m, struct buf *out, struct err *e);
/* A new store from those bytes; memory is bounded by their length. ERR_CORRUPTION. */
MUST_USE err_t mvcc_mem_decode(struct bytes in, struct mvcc_mem **ret, struct err *e);
