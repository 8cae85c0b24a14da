/* Building a log batch: see wal_batch.h for the picture. */
#include "wal_batch.h"

#include <assert.h>
#include <stdlib.h>

#include "base/codec.h"
#include "base/crc32c.h"

/* Below it a copy costs less than one more part of the system call; above, at most WAL_BATCH_MAX /
 * BORROW_MIN parts are borrowed, and with the scratch between them the parts stay below the
 * kernel's IOV_MAX of 1024. */
enum { BORROW_MIN = 32 << 10 };
static const uint8_t zeros[WAL_BLOCK];

void wal_batch_reset(struct wal_batch *batch)
{
    batch->scratch.len = 0;
    batch->piece_count = 0;
    batch->length = 0;
    batch->records = 0;
    batch->rc = ERR_OK;
    wal_batch_room(batch, WAL_BATCH_HEADER);
}

void wal_batch_free(struct wal_batch *batch)
{
    if (batch == NULL)
        return;
    buf_free(&batch->scratch);
    free(batch->pieces);
    free(batch->iov);
    *batch = (struct wal_batch){ 0 };
}

static bool fail(struct wal_batch *batch, err_t rc)
{
    if (batch->rc == ERR_OK)
        batch->rc = rc;
    return false;
}

static struct wal_piece *piece_new(struct wal_batch *batch)
{
    if (batch->piece_count == batch->piece_cap) {
        size_t cap = batch->piece_cap == 0 ? 16 : batch->piece_cap * 2;
        struct wal_piece *pieces = realloc(batch->pieces, cap * sizeof *pieces);
        if (pieces != NULL)
            batch->pieces = pieces;
        struct bytes *iov = realloc(batch->iov, (cap + 1) * sizeof *iov); /* and the padding */
        if (iov != NULL)
            batch->iov = iov;
        if (pieces == NULL || iov == NULL)
            return NULL;
        batch->piece_cap = cap;
    }
    return &batch->pieces[batch->piece_count++];
}

static bool within(struct wal_batch *batch, size_t more)
{
    if (batch->rc == ERR_OK && more > WAL_BATCH_MAX - batch->length)
        fail(batch, ERR_TOO_LARGE);
    return batch->rc == ERR_OK;
}

uint8_t *wal_batch_room(struct wal_batch *batch, size_t n)
{
    if (!within(batch, n))
        return NULL;
    uint8_t *at = buf_reserve(&batch->scratch, n);
    if (at == NULL) {
        fail(batch, ERR_NOMEM);
        return NULL;
    }
    struct wal_piece *last = batch->piece_count > 0 ? &batch->pieces[batch->piece_count - 1] : NULL;
    if (last == NULL || last->borrowed != NULL) {
        last = piece_new(batch);
        if (last == NULL) {
            fail(batch, ERR_NOMEM);
            return NULL;
        }
        *last = (struct wal_piece){ .offset = batch->scratch.len };
    }
    last->len += n;
    batch->scratch.len += n;
    batch->length += n;
    return at;
}

void wal_batch_part(struct wal_batch *batch, struct bytes part)
{
    if (part.len == 0 || !within(batch, part.len))
        return;
    if (part.len < BORROW_MIN) {
        uint8_t *at = wal_batch_room(batch, part.len);
        if (at != NULL)
            memcpy(at, part.data, part.len);
        return;
    }
    struct wal_piece *piece = piece_new(batch);
    if (piece == NULL) {
        fail(batch, ERR_NOMEM);
        return;
    }
    *piece = (struct wal_piece){ .borrowed = part.data, .len = part.len };
    batch->length += part.len;
}

/* ---- Records --------------------------------------------------------------------------------- */

static void record_begin(struct wal_batch *batch, enum wal_kind kind)
{
    batch->record_at = batch->scratch.len;
    uint8_t *at = wal_batch_room(batch, WAL_RECORD_HEADER);
    if (at != NULL)
        wal_format_put_record(&at, kind, 0);
    batch->record_length = batch->length;
}

static void record_end(struct wal_batch *batch)
{
    if (batch->rc != ERR_OK)
        return;
    store_u32(batch->scratch.data + batch->record_at + 4,
              (uint32_t)(batch->length - batch->record_length));
    batch->records++;
}

static void append_begin(struct wal_batch *batch, uint64_t region, struct raft_hs hs,
                         raft_index first, uint32_t count)
{
    record_begin(batch, WAL_APPEND);
    uint8_t *at = wal_batch_room(batch, WAL_APPEND_HEADER);
    if (at != NULL)
        wal_format_put_append(&at, region, hs, first, count);
}

static void entry_header(struct wal_batch *batch, raft_term term, uint8_t type, uint32_t length)
{
    batch->entry_at = batch->scratch.len;
    uint8_t *at = wal_batch_room(batch, WAL_ENTRY_HEADER);
    if (at != NULL)
        wal_format_put_entry(&at, term, type, length);
    batch->entry_length = batch->length;
}

void wal_batch_append(struct wal_batch *batch, uint64_t region, struct raft_hs hs, raft_index first,
                      const struct raft_ent *ents, uint32_t n)
{
    append_begin(batch, region, hs, first, n);
    for (uint32_t i = 0; i < n; i++) {
        entry_header(batch, ents[i].term, ents[i].type, ents[i].len);
        wal_batch_part(batch, bytes_from(ents[i].data, ents[i].len));
    }
    record_end(batch);
}

void wal_batch_entry_begin(struct wal_batch *batch, uint64_t region, struct raft_hs hs,
                           raft_term term, raft_index index, uint8_t type)
{
    append_begin(batch, region, hs, index, 1);
    entry_header(batch, term, type, 0);
}

void wal_batch_entry_end(struct wal_batch *batch)
{
    if (batch->rc == ERR_OK)
        store_u32(batch->scratch.data + batch->entry_at + 8,
                  (uint32_t)(batch->length - batch->entry_length));
    record_end(batch);
}

void wal_batch_cut(struct wal_batch *batch, uint64_t region, raft_index index, raft_term term)
{
    record_begin(batch, WAL_CUT);
    uint8_t *at = wal_batch_room(batch, 24);
    if (at != NULL) {
        put_u64(&at, region);
        put_u64(&at, index);
        put_u64(&at, term);
    }
    record_end(batch);
}

static void put_sized(struct wal_batch *batch, struct bytes bytes)
{
    uint8_t *at = wal_batch_room(batch, 4);
    if (at != NULL)
        put_u32(&at, (uint32_t)bytes.len);
    wal_batch_part(batch, bytes);
}

static void put_snap(struct wal_batch *batch, enum wal_kind kind, uint64_t region, raft_index index,
                     raft_term term, struct bytes conf, struct bytes files)
{
    record_begin(batch, kind);
    uint8_t *at = wal_batch_room(batch, 24);
    if (at != NULL) {
        put_u64(&at, region);
        put_u64(&at, index);
        put_u64(&at, term);
    }
    put_sized(batch, conf);
    put_sized(batch, files);
    record_end(batch);
}

void wal_batch_snap(struct wal_batch *batch, uint64_t region, raft_index index, raft_term term,
                    struct bytes conf, struct bytes files)
{
    put_snap(batch, WAL_SNAP, region, index, term, conf, files);
}

void wal_batch_snap_again(struct wal_batch *batch, uint64_t region, raft_index index,
                          raft_term term, struct bytes conf, struct bytes files)
{
    put_snap(batch, WAL_SNAP_AGAIN, region, index, term, conf, files);
}

static void put_gone(struct wal_batch *batch, enum wal_kind kind, uint64_t region, uint64_t peer,
                     uint64_t conf_ver, uint64_t version)
{
    record_begin(batch, kind);
    uint8_t *at = wal_batch_room(batch, 32);
    if (at != NULL) {
        put_u64(&at, region);
        put_u64(&at, peer);
        put_u64(&at, conf_ver);
        put_u64(&at, version);
    }
    record_end(batch);
}

void wal_batch_gone(struct wal_batch *batch, uint64_t region, uint64_t peer, uint64_t conf_ver,
                    uint64_t version)
{
    put_gone(batch, WAL_GONE, region, peer, conf_ver, version);
}

void wal_batch_gone_again(struct wal_batch *batch, uint64_t region, uint64_t peer,
                          uint64_t conf_ver, uint64_t version)
{
    put_gone(batch, WAL_GONE_AGAIN, region, peer, conf_ver, version);
}

void wal_batch_local(struct wal_batch *batch, uint32_t kind, struct bytes value)
{
    record_begin(batch, WAL_LOCAL);
    uint8_t *at = wal_batch_room(batch, 8);
    if (at != NULL) {
        put_u32(&at, kind);
        put_u32(&at, 0);
    }
    wal_batch_part(batch, value);
    record_end(batch);
}

/* ---- The whole ------------------------------------------------------------------------------- */

size_t wal_batch_bytes(const struct wal_batch *batch)
{
    return (batch->length + WAL_BLOCK - 1) / WAL_BLOCK * WAL_BLOCK;
}

err_t wal_batch_seal(struct wal_batch *batch, uint64_t number, uint32_t seed, unsigned *n)
{
    if (batch->rc != ERR_OK)
        return batch->rc;
    assert(batch->records > 0 && batch->piece_count > 0 && batch->pieces[0].borrowed == NULL);
    struct wal_batch_header header = { .length = (uint32_t)batch->length,
                                       .number = number,
                                       .records = batch->records };
    wal_format_batch_header(&header, seed, batch->scratch.data);
    uint32_t crc = seed;
    for (size_t i = 0; i < batch->piece_count; i++) {
        const struct wal_piece *piece = &batch->pieces[i];
        const uint8_t *data =
            piece->borrowed != NULL ? piece->borrowed : batch->scratch.data + piece->offset;
        batch->iov[i] = bytes_from(data, piece->len);
        crc = crc32c(crc, batch->iov[i]);
    }
    store_u32(batch->scratch.data + 4, crc);
    size_t padding = wal_batch_bytes(batch) - batch->length;
    batch->iov[batch->piece_count] = bytes_from(zeros, padding);
    *n = (unsigned)batch->piece_count + (padding > 0);
    return ERR_OK;
}
