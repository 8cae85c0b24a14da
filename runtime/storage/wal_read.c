/* Reading batches back, by place: while the log is replayed, and beside the writer from any thread.
 *
 *   cursor ──pin──> segment 7          a pinned segment is not given up: whoever wants to waits
 *     window [ 41 | 42 | 43 ]          one read of the file serves the batches that follow
 *
 * A batch is checked as a whole before any byte of it is handed out. */
#include "wal_int.h"

#include <assert.h>
#include <inttypes.h>

static err_t peek(struct wal_cursor *cursor, uint64_t offset, size_t len, struct bytes *ret,
                  struct err *e)
{
    assert(offset + len <= cursor->bytes);
    if (offset < cursor->offset || offset + len > cursor->offset + cursor->window.len) {
        size_t want = len > cursor->ahead ? len : cursor->ahead;
        if (want > cursor->bytes - offset)
            want = (size_t)(cursor->bytes - offset);
        buf_clear(&cursor->window);
        if (buf_reserve(&cursor->window, want) == NULL)
            return err_set(e, ERR_NOMEM, "no memory to read %zu bytes of the log", want);
        size_t got = 0;
        err_t rc = env_file_read(cursor->file, offset, cursor->window.data, want, &got, e);
        if (rc != ERR_OK)
            return rc;
        cursor->offset = offset;
        cursor->window.len = got;
        if (got < len)
            return err_set(e, ERR_DATA_LOSS, "a log segment became shorter while it was read");
    }
    *ret = bytes_from(cursor->window.data + (offset - cursor->offset), len);
    return ERR_OK;
}

err_t wal_cursor_take(struct wal_cursor *cursor, uint64_t offset, struct wal_batch_header *header,
                      struct bytes *batch, struct err *e)
{
    uint64_t room = cursor->bytes - offset;
    struct bytes head;
    err_t rc = peek(cursor, offset, WAL_BATCH_HEADER, &head, e);
    if (rc == ERR_OK)
        rc = wal_format_take_batch_header(head, cursor->seed, room, header);
    if (rc == ERR_OK)
        rc = peek(cursor, offset, header->length, batch, e);
    if (rc == ERR_OK && wal_format_batch_crc(cursor->seed, *batch) != header->crc)
        rc = ERR_CORRUPTION;
    return rc;
}

void wal_cursor_point(struct wal_cursor *cursor, const struct wal_segment *segment)
{
    cursor->segment = segment->number;
    cursor->file = segment->file;
    cursor->bytes = segment->bytes;
    cursor->seed = segment->seed;
    cursor->offset = 0;
    buf_clear(&cursor->window);
}

/* ---- Pins ------------------------------------------------------------------------------------ */

/* With the lock held. */
static struct wal_segment *find(struct wal *wal, uint64_t number)
{
    for (size_t i = 0; i < wal->live_count; i++)
        if (wal->live[i].number == number)
            return &wal->live[i];
    return NULL;
}

static err_t pin(struct wal_cursor *cursor, uint64_t number, struct err *e)
{
    struct wal *wal = cursor->wal;
    env_lock_enter(wal->lock);
    struct wal_segment *segment = find(wal, number);
    err_t rc = segment == NULL || segment->leaving
                   ? err_set(e, ERR_NOT_FOUND, "log segment %016" PRIx64 " was given up", number)
                   : wal_segment_open(wal, segment, e);
    if (rc == ERR_OK) {
        segment->readers++;
        wal_cursor_point(cursor, segment);
        cursor->pinned = true;
    }
    env_lock_leave(wal->lock);
    return rc;
}

static void unpin(struct wal_cursor *cursor)
{
    struct wal *wal = cursor->wal;
    if (!cursor->pinned)
        return;
    env_lock_enter(wal->lock);
    struct wal_segment *segment = find(wal, cursor->segment);
    assert(segment != NULL && segment->readers > 0);
    if (--segment->readers == 0)
        env_lock_wake(wal->lock);
    env_lock_leave(wal->lock);
    cursor->pinned = false;
}

err_t wal_cursor_read(struct wal_cursor *cursor, uint64_t segment, uint64_t offset,
                      struct bytes *batch, struct err *e)
{
    assert(offset >= WAL_BLOCK && offset % WAL_BLOCK == 0);
    err_t rc = ERR_OK;
    if (!cursor->pinned || cursor->segment != segment) {
        unpin(cursor);
        rc = pin(cursor, segment, e);
    }
    struct wal_batch_header header;
    if (rc == ERR_OK)
        rc = wal_cursor_take(cursor, offset, &header, batch, e);
    if (rc == ERR_CORRUPTION)
        rc = err_set(e, ERR_DATA_LOSS,
                     "log segment %016" PRIx64 " has no batch at offset %" PRIu64
                     " any more: the disk, or memory, is failing",
                     segment, offset);
    return rc;
}

void wal_cursor_end(struct wal_cursor *cursor)
{
    unpin(cursor);
    buf_free(&cursor->window);
}

err_t wal_read(struct wal *wal, uint64_t segment, uint64_t offset, struct buf *ret, struct err *e)
{
    struct wal_cursor cursor = { .wal = wal };
    struct bytes batch;
    err_t rc = wal_cursor_read(&cursor, segment, offset, &batch, e);
    if (rc == ERR_OK) {
        buf_clear(ret);
        rc = buf_append(ret, batch);
    }
    wal_cursor_end(&cursor);
    return rc;
}
