/* The write-ahead log of a store: the files behind the bytes of wal_format.h.
 *
 *   wal/0000000000000007.seg   live, the oldest         freed strictly oldest first, kept as .free
 *   wal/0000000000000008.seg   live, being written      | header | 41 | 42 | 43 | <- end
 *   wal/0000000000000009.seg   spare: header and zeros
 *   wal/000000000000000a.new   being made: no segment until its bytes are durable and it is renamed
 *
 * 1. A name ending in .seg is a whole segment: header, full size, all of it durable. Numbers have
 *    no hole.
 * 2. A batch is one pwritev and one fdatasync; the next is written only after that sync. So at most
 *    one batch, the last, is not durable, and after a crash any part of it may be there: the log
 *    ends at the first batch that does not validate. A valid batch with a higher number behind that
 *    place is damage, never an end (trap D34).
 * 3. A failed write or sync is never retried: the log is broken, and every later call says so (trap
 *    D32).
 *
 * Threads: wal_write, wal_free_oldest: one at a time. wal_prepare, cursors: any thread, beside them. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "env/env.h"
#include "wal_batch.h"
#include "wal_format.h"

struct wal;

struct wal_config {
    const char *dir;
    uint64_t segment_bytes; /* of new segments: a multiple of WAL_BLOCK, at least two of them */
    uint32_t spares;        /* how many wal_prepare() keeps */
    uint64_t incarnation;
};

/* Where a record lies, while the log is replayed. */
struct wal_place {
    uint64_t segment, offset; /* of its batch */
    uint64_t number;
    struct bytes batch; /* all its bytes, valid during the call */
};
/* Gets every record of the log in order; an error ends the replay and is answered. */
typedef err_t wal_visit(void *user, const struct wal_place *place, const struct wal_record *record,
                        struct err *e);

/* Makes the directory and a first segment. The directory may exist, and be empty. */
MUST_USE err_t wal_create(struct env *env, const struct wal_config *config, struct err *e);
/* Reads the whole log through `visit`, then makes its end durable and stands ready to write behind
 * it. ERR_DATA_LOSS names segment and offset of damage; ERR_UPGRADE_REQUIRED: written by a later
 * version. Nothing but unfinished files and the last batch (rewritten with its own bytes) is
 * touched. */
MUST_USE err_t wal_open(struct env *env, const struct wal_config *config, wal_visit *visit,
                        void *user, struct wal **ret, struct err *e);
void wal_close(struct wal *wal); /* closes files, writes nothing; NULL is welcome */

/* Writes the batch behind the last one and syncs it; `*number` is its own. ERR_TOO_LARGE: more than
 * a segment holds; ERR_DISK_FULL while the log is not broken: no room for a new segment, nothing
 * was written. After any other error the log is broken. */
MUST_USE err_t wal_write(struct wal *wal, struct wal_batch *batch, uint64_t *number, struct err *e);
/* The largest batch, in bytes as wal_batch_bytes() counts. */
size_t wal_capacity(const struct wal *wal);
bool wal_broken(const struct wal *wal);

/* Where the last batch begins, in the segment that is being written. */
uint64_t wal_offset(const struct wal *wal);

/* Reads batches of live segments, from any thread, beside the writer; one thread a cursor. Begin with { .wal,
 * .ahead } and the rest zero: `ahead` bytes are read at once where batches lie close together. While it
 * stands on a segment, that one is not given up. ERR_NOT_FOUND: the segment was; ERR_DATA_LOSS: there is no
 * batch any more. `batch` is valid until the next read. */
struct wal_cursor {
    struct wal *wal;
    size_t ahead;
    uint64_t segment; /* the rest is the log's */
    bool pinned;
    struct env_file *file;
    uint64_t bytes;
    uint32_t seed;
    uint64_t offset; /* of the window */
    struct buf window;
};
MUST_USE err_t wal_cursor_read(struct wal_cursor *cursor, uint64_t segment, uint64_t offset,
                               struct bytes *batch, struct err *e);
void wal_cursor_end(struct wal_cursor *cursor);
/* One batch into `ret` (replaced). */
MUST_USE err_t wal_read(struct wal *wal, uint64_t segment, uint64_t offset, struct buf *ret,
                        struct err *e);

uint64_t wal_number(const struct wal *wal);  /* of the last batch; 0: none yet */
uint64_t wal_segment(const struct wal *wal); /* being written */
uint64_t wal_oldest(const struct wal *wal);
size_t wal_spares(struct wal *wal);

/* Gives up the oldest segment, which must not be the one being written, after the readers on it have left.
 * Durable when it returns. */
MUST_USE err_t wal_free_oldest(struct wal *wal, struct err *e);
/* Makes one spare segment if fewer than `spares` wait; `*more`: another call would make one more.
 * ERR_DISK_FULL: nothing has changed. */
MUST_USE err_t wal_prepare(struct wal *wal, bool *more, struct err *e);
