/* What the files of the log share: wal.c (writing), wal_segment.c (files), wal_read.c (batches by
 * place), wal_replay.c (all of them). */
#pragma once

#include <stdatomic.h>

#include "wal.h"

enum { WAL_SPARES_MAX = 16, WAL_NAME_MAX = 512 };

struct wal_segment {
    uint64_t number, bytes;
    uint32_t seed;         /* of its batches; known while the file is open */
    struct env_file *file; /* NULL: opened when it is needed */
    uint32_t readers;      /* cursors that stand on it, under the lock */
    bool leaving;          /* being given up: no cursor may come */
};

struct wal {
    struct env *env;
    struct wal_config config;
    char *dir;

    struct wal_segment
        *live; /* oldest first; the last one is being written. The writer alone adds and removes, */
    size_t live_count, live_cap; /* under the lock: cursors look for theirs */
    uint64_t end;                /* where the next batch goes, in the last live segment */
    uint64_t offset;             /* where the last one began */
    uint64_t number;             /* of the last batch */

    struct env_lock *lock; /* and the rest: wal_prepare runs beside the writer */
    struct wal_segment spares[WAL_SPARES_MAX];
    size_t spare_count;
    uint64_t *freed; /* numbers of .free files */
    size_t freed_count, freed_cap;
    uint64_t next;  /* number of the next segment to make */
    bool preparing; /* one at a time */
    _Atomic bool broken;
};

/* ---- wal_segment.c ---- */

/* "dir/<number>.<suffix>"; `out` has WAL_NAME_MAX bytes. */
void wal_segment_path(const struct wal *wal, uint64_t number, const char *suffix, char *out);
/* Lists the directory: live segments and spares into `live` (sorted, without a hole, files closed),
 * freed ones into `freed`; removes unfinished ones. */
MUST_USE err_t wal_segment_list(struct wal *wal, struct err *e);
/* Opens the file if it is not, checks header and size. ERR_DATA_LOSS; ERR_UPGRADE_REQUIRED. */
MUST_USE err_t wal_segment_open(struct wal *wal, struct wal_segment *segment, struct err *e);
/* A new segment: recycled from the .free file `from` if that is not 0, else zero-filled. */
MUST_USE err_t wal_segment_make(struct wal *wal, uint64_t number, uint64_t from,
                                struct wal_segment *ret, struct err *e);
/* Renames a segment's file to .free, durably, and closes it. */
MUST_USE err_t wal_segment_free(struct wal *wal, struct wal_segment *segment, struct err *e);
void wal_segment_push(struct wal *wal, struct wal_segment segment); /* to the live ones */
void wal_segment_push_freed(struct wal *wal, uint64_t number);

/* ---- wal_read.c ---- */

/* Stands on an open segment without pinning it: while nobody else is there. */
void wal_cursor_point(struct wal_cursor *cursor, const struct wal_segment *segment);
/* The batch at `offset`. ERR_CORRUPTION without a message: none begins here. */
MUST_USE err_t wal_cursor_take(struct wal_cursor *cursor, uint64_t offset,
                               struct wal_batch_header *header, struct bytes *batch, struct err *e);

/* ---- wal_replay.c ---- */

/* Reads all of the live segments; sets number, end, and moves those behind the end to the spares. */
MUST_USE err_t wal_replay(struct wal *wal, wal_visit *visit, void *user, struct err *e);
