/* A log batch while it is built: records in order, small bytes copied, large ones borrowed.
 *
 *   scratch   | batch header | record header | fixed part | small bytes | ...  | record header | ...
 *   pieces      scratch[0..a)                  borrowed bytes (a value of a megabyte)   scratch[a..b)   ...
 *
 * The pieces in their order are the batch; wal_write() hands them to one pwritev with the zeros up
 * to the next block. A batch is reused: after wal_batch_reset() its memory serves again. Errors
 * (memory, size) are kept and answered by wal_batch_seal(), so that building needs no checks in
 * between. One thread at a time. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "wal_format.h"

struct wal_piece {
    const uint8_t *borrowed; /* NULL: lies in scratch, from `offset` */
    size_t offset, len;
};

struct wal_batch {
    struct buf scratch;
    struct wal_piece *pieces;
    struct bytes *iov; /* pieces and padding, after wal_batch_seal() */
    size_t piece_count, piece_cap;
    size_t length; /* header and records so far */
    uint32_t records;
    size_t record_at,
        record_length; /* of the open record: place in scratch, `length` where its payload began */
    size_t entry_at, entry_length;
    err_t rc;
};

void wal_batch_reset(
    struct wal_batch *batch); /* {0} is an empty one too, but must be reset before it is built */
void wal_batch_free(struct wal_batch *batch);

/* Hard state and `n` entries of a region; entry i has index first + i (their own `index` is not
 * written). n may be 0. */
void wal_batch_append(struct wal_batch *batch, uint64_t region, struct raft_hs hs, raft_index first,
                      const struct raft_ent *ents, uint32_t n);
/* The same for one entry that is given in parts, between begin and end. Bytes of wal_batch_part()
 * are borrowed until the batch is written if they are many; wal_batch_room() answers where to write
 * `n` bytes at once (NULL: no memory). */
void wal_batch_entry_begin(struct wal_batch *batch, uint64_t region, struct raft_hs hs,
                           raft_term term, raft_index index, uint8_t type);
uint8_t *wal_batch_room(struct wal_batch *batch, size_t n);
void wal_batch_part(struct wal_batch *batch, struct bytes part);
void wal_batch_entry_end(struct wal_batch *batch);

void wal_batch_cut(struct wal_batch *batch, uint64_t region, raft_index index, raft_term term);
void wal_batch_snap(struct wal_batch *batch, uint64_t region, raft_index index, raft_term term,
                    struct bytes conf, struct bytes files);
void wal_batch_gone(struct wal_batch *batch, uint64_t region, uint64_t peer, uint64_t conf_ver,
                    uint64_t version);
/* The newest ones, written again. */
void wal_batch_snap_again(struct wal_batch *batch, uint64_t region, raft_index index,
                          raft_term term, struct bytes conf, struct bytes files);
void wal_batch_gone_again(struct wal_batch *batch, uint64_t region, uint64_t peer,
                          uint64_t conf_ver, uint64_t version);
void wal_batch_local(struct wal_batch *batch, uint32_t kind, struct bytes value);

/* Numbers the batch, computes its crc and fills `iov` with `*n` parts: whole blocks. ERR_NOMEM;
 * ERR_TOO_LARGE above WAL_BATCH_MAX. May be called again with another number or seed. */
MUST_USE err_t wal_batch_seal(struct wal_batch *batch, uint64_t number, uint32_t seed, unsigned *n);
/* Bytes that the batch takes in its segment: a multiple of WAL_BLOCK. */
size_t wal_batch_bytes(const struct wal_batch *batch);
