/* Reading the log back, and the one question that matters there: an end, or damage?
 *
 *   | 41 | 42 | torn 43 | zeros ...            end: nothing valid with a higher number comes later. 43 was never
 *                                              acknowledged, because the sync behind it had not returned.
 *   | 41 | 42 | ?????? | 44 | zeros ...        damage: 44 was written only after 43 was durable.  ERR_DATA_LOSS
 *   | 41 | 42 | zeros ]   [ 43 | 44 | ...      no damage: 43 did not fit into the rest of the segment
 *   | 41 | 42 | zeros ]   [ 44 | ...           damage */
#include "wal_int.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/codec.h"

enum { WINDOW = 1 << 20 }; /* bytes of one read */

static uint64_t next_offset(uint64_t offset, uint32_t length)
{
    return offset + ((uint64_t)length + WAL_BLOCK - 1) / WAL_BLOCK * WAL_BLOCK;
}

struct replay {
    struct wal *wal;
    wal_visit *visit;
    void *user;
    struct wal_cursor cursor;
    uint64_t number;    /* of the last batch; 0: none yet */
    size_t end_segment; /* where it ends: index into live */
    uint64_t end_offset;
    size_t last_segment; /* where it begins */
    uint64_t last_offset;
    uint32_t last_length;
    bool ended; /* a segment without a batch was seen */
};

static err_t damaged(const struct replay *replay, size_t segment, uint64_t offset, const char *why,
                     struct err *e)
{
    char path[WAL_NAME_MAX];
    wal_segment_path(replay->wal, replay->wal->live[segment].number, "seg", path);
    return err_set(e, ERR_DATA_LOSS,
                   "the write-ahead log is damaged in segment \"%s\" at offset %" PRIu64
                   ": %s. Acknowledged writes are gone; replace this replica, or restore the store",
                   path, offset, why);
}

static err_t visit_batch(struct replay *replay, size_t segment, uint64_t offset,
                         const struct wal_batch_header *header, struct bytes batch, struct err *e)
{
    struct wal_place place = { .segment = replay->wal->live[segment].number,
                               .offset = offset,
                               .number = header->number,
                               .batch = batch };
    struct bytes records = bytes_from(batch.data + WAL_BATCH_HEADER, batch.len - WAL_BATCH_HEADER);
    uint32_t count = 0;
    while (records.len > 0) {
        struct wal_record record;
        err_t rc = wal_format_take_record(&records, &record);
        if (rc == ERR_UPGRADE_REQUIRED)
            return err_set(e, rc, "the write-ahead log holds a record of a later version");
        if (rc != ERR_OK)
            return damaged(replay, segment, offset, "a batch holds a record that is none", e);
        rc = replay->visit(replay->user, &place, &record, e);
        if (rc != ERR_OK)
            return rc;
        count++;
    }
    if (count != header->records)
        return damaged(replay, segment, offset,
                       "a batch has another number of records than it says", e);
    return ERR_OK;
}

/* Nothing valid with a higher number may come at or behind `offset`; `hole` is where the log
 * stopped. */
static err_t check_rest(struct replay *replay, size_t segment, uint64_t offset, size_t hole_segment,
                        uint64_t hole_offset, struct err *e)
{
    for (; offset + WAL_BLOCK <= replay->cursor.bytes; offset += WAL_BLOCK) {
        struct wal_batch_header header;
        struct bytes batch;
        err_t rc = wal_cursor_take(&replay->cursor, offset, &header, &batch, e);
        if (rc == ERR_CORRUPTION || (rc == ERR_OK && header.number <= replay->number))
            continue;
        if (rc != ERR_OK)
            return rc;
        char why[256];
        snprintf(why, sizeof why,
                 "batch %" PRIu64 " is missing or broken, but batch %" PRIu64
                 " is whole (segment %016" PRIx64 ", offset %" PRIu64 ")",
                 replay->number + 1, header.number, replay->wal->live[segment].number, offset);
        return damaged(replay, hole_segment, hole_offset, why, e);
    }
    return ERR_OK;
}

static err_t replay_segment(struct replay *replay, size_t segment, struct err *e)
{
    struct wal_segment *file = &replay->wal->live[segment];
    err_t rc = wal_segment_open(replay->wal, file, e);
    if (rc != ERR_OK)
        return rc;
    wal_cursor_point(&replay->cursor, file);

    uint64_t offset = WAL_BLOCK;
    while (!replay->ended && offset + WAL_BLOCK <= file->bytes) {
        struct wal_batch_header header;
        struct bytes batch;
        rc = wal_cursor_take(&replay->cursor, offset, &header, &batch, e);
        if (rc == ERR_CORRUPTION)
            break;
        if (rc != ERR_OK)
            return rc;
        if (replay->number != 0 && header.number != replay->number + 1)
            break; /* check_rest() tells what that means */
        rc = visit_batch(replay, segment, offset, &header, batch, e);
        if (rc != ERR_OK)
            return rc;
        replay->number = header.number;
        replay->last_segment = segment;
        replay->last_offset = offset;
        replay->last_length = header.length;
        offset = next_offset(offset, header.length);
        replay->end_segment = segment;
        replay->end_offset = offset;
    }
    if (offset == WAL_BLOCK)
        replay->ended = true; /* a spare, or the first of all; segments are begun in their order */
    return check_rest(replay, segment, offset, replay->end_segment, replay->end_offset, e);
}

/* The last batch may be in the page cache alone, if only the process died: it counts from now on,
 * so its own bytes are written again and synced (after a failed sync the cache may even be clean
 * while the disk has less). */
static err_t settle(struct replay *replay, struct err *e)
{
    if (replay->number == 0)
        return ERR_OK;
    struct wal *wal = replay->wal;
    struct wal_segment *segment = &wal->live[replay->last_segment];
    struct buf batch = { 0 };
    err_t rc = wal_read(wal, segment->number, replay->last_offset, &batch, e);
    if (rc == ERR_OK) {
        struct bytes bytes = buf_bytes(&batch);
        rc = env_file_write(segment->file, replay->last_offset, &bytes, 1, e);
    }
    if (rc == ERR_OK)
        rc = env_file_sync(segment->file, e);
    buf_free(&batch);
    return rc;
}

err_t wal_replay(struct wal *wal, wal_visit *visit, void *user, struct err *e)
{
    struct replay replay = { .wal = wal,
                             .visit = visit,
                             .user = user,
                             .cursor = { .wal = wal, .ahead = WINDOW },
                             .end_offset = WAL_BLOCK };
    err_t rc = ERR_OK;
    for (size_t i = 0; i < wal->live_count && rc == ERR_OK; i++)
        rc = replay_segment(&replay, i, e);
    if (rc == ERR_OK)
        rc = settle(&replay, e);
    wal_cursor_end(&replay.cursor);
    if (rc != ERR_OK)
        return rc;
    wal->number = replay.number;
    wal->end = replay.end_offset;
    size_t live = replay.end_segment + 1;
    for (size_t i = live; i < wal->live_count; i++) {
        if (wal->spare_count < WAL_SPARES_MAX) {
            wal->spares[wal->spare_count++] = wal->live[i];
            continue;
        }
        return err_set(e, ERR_DATA_LOSS, "more than %d spare log segments in \"%s\"",
                       WAL_SPARES_MAX, wal->dir);
    }
    wal->live_count = live;
    for (size_t i = 0; i + 1 < live; i++) {
        env_file_close(wal->live[i].file);
        wal->live[i].file = NULL;
    }
    return ERR_OK;
}
