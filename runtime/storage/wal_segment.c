/* Segment files: named, made, recycled, freed.
 *
 *   zero-filled    <n>.new: zeros, header, sync  ->  rename <n>.seg, directory sync
 *   recycled       <m>.free  ->  rename <n>.new, directory sync, header, sync  ->  rename <n>.seg, directory sync
 *   freed          <m>.seg  ->  rename <m>.free, directory sync
 *
 * Zeros are written once in a file's life, so that a sync of the log changes no metadata (a growing
 * or merely allocated file makes every fdatasync a journal commit). What a recycled file still
 * holds cannot be taken for a batch: the crc begins with the segment's number. */
#include "wal_int.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    FILL_CHUNK = 1 << 20, /* bytes of one write of zeros */
    FILL_SYNC =
        4 << 20, /* bytes between two syncs: the log's own sync waits behind at most so many */
    SUFFIX = 16, /* hexadecimal digits before it */
};

void wal_segment_path(const struct wal *wal, uint64_t number, const char *suffix, char *out)
{
    snprintf(out, WAL_NAME_MAX, "%s/%016" PRIx64 ".%s", wal->dir, number, suffix);
}

void wal_segment_push(struct wal *wal, struct wal_segment segment)
{
    if (wal->live_count == wal->live_cap) {
        wal->live_cap = wal->live_cap == 0 ? 8 : wal->live_cap * 2;
        wal->live = realloc(wal->live, wal->live_cap * sizeof wal->live[0]);
        if (wal->live == NULL)
            abort(); /* small: one per segment */
    }
    wal->live[wal->live_count++] = segment;
}

void wal_segment_push_freed(struct wal *wal, uint64_t number)
{
    if (wal->freed_count == wal->freed_cap) {
        wal->freed_cap = wal->freed_cap == 0 ? 8 : wal->freed_cap * 2;
        wal->freed = realloc(wal->freed, wal->freed_cap * sizeof wal->freed[0]);
        if (wal->freed == NULL)
            abort();
    }
    wal->freed[wal->freed_count++] = number;
}

/* ---- Listing --------------------------------------------------------------------------------- */

struct listing {
    struct wal *wal;
    struct buf unfinished; /* names, each with its NUL */
    struct err *e;
};

static err_t list_one(void *user, const char *name, bool is_dir)
{
    struct listing *listing = user;
    struct wal *wal = listing->wal;
    char *suffix;
    uint64_t number = strtoull(name, &suffix, 16);
    if (!is_dir && suffix == name + SUFFIX && number != 0) {
        if (strcmp(suffix, ".seg") == 0) {
            wal_segment_push(wal, (struct wal_segment){ .number = number });
            return ERR_OK;
        }
        if (strcmp(suffix, ".free") == 0) {
            wal_segment_push_freed(wal, number);
            return ERR_OK;
        }
        if (strcmp(suffix, ".new") == 0)
            return buf_append(&listing->unfinished, bytes_from(name, strlen(name) + 1));
    }
    return err_set(listing->e, ERR_DATA_LOSS,
                   "\"%s/%s\" is no file of a write-ahead log; move it away if it is yours",
                   wal->dir, name);
}

static err_t remove_unfinished(struct wal *wal, struct bytes names, struct err *e)
{
    err_t rc = ERR_OK;
    while (names.len > 0 && rc == ERR_OK) {
        const char *name = (const char *)names.data;
        size_t used = strlen(name) + 1;
        char path[WAL_NAME_MAX];
        snprintf(path, sizeof path, "%s/%s", wal->dir, name);
        rc = env_remove(wal->env, path, e);
        names.data += used;
        names.len -= used;
    }
    return rc;
}

err_t wal_segment_list(struct wal *wal, struct err *e)
{
    struct listing listing = { .wal = wal, .e = e };
    err_t rc = env_dir_list(wal->env, wal->dir, list_one, &listing, e); /* sorted: so are numbers */
    if (rc == ERR_OK)
        rc = remove_unfinished(wal, buf_bytes(&listing.unfinished), e);
    buf_free(&listing.unfinished);
    if (rc == ERR_NOT_FOUND || (rc == ERR_OK && wal->live_count == 0))
        return err_set(e, ERR_DATA_LOSS, "there is no log segment in \"%s\"", wal->dir);
    for (size_t i = 1; rc == ERR_OK && i < wal->live_count; i++)
        if (wal->live[i].number != wal->live[i - 1].number + 1)
            rc =
                err_set(e, ERR_DATA_LOSS,
                        "log segment %016" PRIx64 ".seg is missing in \"%s\", later ones are there",
                        wal->live[i - 1].number + 1, wal->dir);
    if (rc != ERR_OK)
        return rc;
    wal->next = wal->live[wal->live_count - 1].number + 1;
    /* The last process may have died between a rename and this: what was found here is relied upon.
     * */
    return env_dir_sync(wal->env, wal->dir, e);
}

err_t wal_segment_open(struct wal *wal, struct wal_segment *segment, struct err *e)
{
    if (segment->file != NULL)
        return ERR_OK;
    char path[WAL_NAME_MAX];
    wal_segment_path(wal, segment->number, "seg", path);
    struct env_file *file = NULL;
    struct wal_segment_header header;
    uint8_t bytes[WAL_SEGMENT_HEADER];
    size_t got = 0;
    uint64_t size = 0;
    err_t rc = env_file_open(wal->env, path, ENV_OPEN_READ | ENV_OPEN_WRITE, &file, e);
    if (rc == ERR_OK)
        rc = env_file_size(file, &size, e);
    if (rc == ERR_OK)
        rc = env_file_read(file, 0, bytes, sizeof bytes, &got, e);
    if (rc == ERR_OK) {
        rc = wal_format_take_segment_header(bytes_from(bytes, got), &header);
        if (rc == ERR_UPGRADE_REQUIRED)
            err_set(e, rc, "log segment \"%s\" was written by a later version", path);
        else if (rc != ERR_OK || header.number != segment->number)
            rc = err_set(e, ERR_DATA_LOSS, "log segment \"%s\" is damaged at offset 0: its header",
                         path);
        else if (header.incarnation != wal->config.incarnation)
            rc = err_set(e, ERR_DATA_LOSS, "log segment \"%s\" belongs to another store", path);
        else if (size != header.bytes || header.bytes % WAL_BLOCK != 0 ||
                 header.bytes < 2 * WAL_BLOCK)
            rc = err_set(e, ERR_DATA_LOSS,
                         "log segment \"%s\" is damaged at offset %" PRIu64
                         ": it should have %" PRIu64 " bytes",
                         path, size, header.bytes);
    }
    if (rc != ERR_OK) {
        env_file_close(file);
        return rc;
    }
    segment->file = file;
    segment->bytes = header.bytes;
    segment->seed = wal_format_seed(&header);
    return ERR_OK;
}

/* ---- Making and freeing ---------------------------------------------------------------------- */

/* A write that finds no room has changed nothing that counts: the disk is full. A sync that finds
 * none (a thin disk) has lost pages which the next one would not miss: that breaks the log. */
static err_t sync_made(struct env_file *file, struct err *e)
{
    err_t rc = env_file_sync(file, e);
    return rc == ERR_DISK_FULL ? ERR_IO : rc;
}

static err_t fill(struct env_file *file, uint64_t bytes, struct err *e)
{
    uint8_t *zeros = calloc(1, FILL_CHUNK);
    if (zeros == NULL)
        return err_set(e, ERR_NOMEM, "no memory to fill a log segment");
    err_t rc = ERR_OK;
    for (uint64_t at = 0; at < bytes && rc == ERR_OK;) {
        size_t n = bytes - at < FILL_CHUNK ? (size_t)(bytes - at) : FILL_CHUNK;
        struct bytes chunk = bytes_from(zeros, n);
        rc = env_file_write(file, at, &chunk, 1, e);
        at += n;
        if (rc == ERR_OK && at % FILL_SYNC == 0)
            rc = sync_made(file, e);
    }
    free(zeros);
    return rc;
}

static err_t write_header(struct wal *wal, struct env_file *file, uint64_t number, uint32_t *seed,
                          struct err *e)
{
    uint8_t block[WAL_BLOCK] = { 0 };
    struct wal_segment_header header = { .number = number,
                                         .incarnation = wal->config.incarnation,
                                         .bytes = wal->config.segment_bytes,
                                         .salt = env_random_u64(wal->env) };
    *seed = wal_format_seed(&header);
    wal_format_segment_header(&header, block);
    struct bytes all = bytes_from(block, sizeof block);
    err_t rc = env_file_write(file, 0, &all, 1, e);
    return rc == ERR_OK ? sync_made(file, e) : rc;
}

/* A freed file of the right size becomes `to`; ERR_NOT_FOUND if it has another size and was removed
 * instead. */
static err_t reuse(struct wal *wal, uint64_t from, const char *to, struct env_file **ret,
                   struct err *e)
{
    char old[WAL_NAME_MAX];
    wal_segment_path(wal, from, "free", old);
    bool is_dir;
    uint64_t size;
    err_t rc = env_stat(wal->env, old, &is_dir, &size, e);
    if (rc == ERR_OK && size != wal->config.segment_bytes) {
        rc = env_remove(wal->env, old, e);
        return rc == ERR_OK ? ERR_NOT_FOUND : rc;
    }
    if (rc == ERR_OK)
        rc = env_rename(wal->env, old, to, e);
    if (rc == ERR_OK)
        rc =
            env_dir_sync(wal->env, wal->dir, e); /* before the header says what the name does not */
    if (rc == ERR_OK)
        rc = env_file_open(wal->env, to, ENV_OPEN_READ | ENV_OPEN_WRITE, ret, e);
    return rc;
}

err_t wal_segment_make(struct wal *wal, uint64_t number, uint64_t from, struct wal_segment *ret,
                       struct err *e)
{
    char made[WAL_NAME_MAX], name[WAL_NAME_MAX];
    wal_segment_path(wal, number, "new", made);
    wal_segment_path(wal, number, "seg", name);
    uint32_t seed = 0;
    struct env_file *file = NULL;
    err_t rc = ERR_NOT_FOUND;
    if (from != 0)
        rc = reuse(wal, from, made, &file, e);
    if (rc == ERR_NOT_FOUND) {
        unsigned flags = ENV_OPEN_READ | ENV_OPEN_WRITE | ENV_OPEN_CREATE | ENV_OPEN_TRUNCATE;
        rc = env_file_open(wal->env, made, flags, &file, e);
        if (rc == ERR_OK)
            rc = fill(file, wal->config.segment_bytes, e);
    }
    if (rc == ERR_OK)
        rc = write_header(wal, file, number, &seed, e);
    if (rc == ERR_OK)
        rc = env_rename(wal->env, made, name, e);
    if (rc == ERR_OK)
        rc = env_dir_sync(wal->env, wal->dir, e);
    if (rc != ERR_OK) {
        env_file_close(file);
        if (rc == ERR_DISK_FULL && env_remove(wal->env, made, NULL) != ERR_OK)
            return err_wrap(e, ERR_IO, "could not take back log segment \"%s\"", name);
        return err_wrap(e, rc, "could not make log segment \"%s\"", name);
    }
    *ret = (struct wal_segment){
        .number = number, .bytes = wal->config.segment_bytes, .seed = seed, .file = file
    };
    return ERR_OK;
}

err_t wal_segment_free(struct wal *wal, struct wal_segment *segment, struct err *e)
{
    char name[WAL_NAME_MAX], freed[WAL_NAME_MAX];
    wal_segment_path(wal, segment->number, "seg", name);
    wal_segment_path(wal, segment->number, "free", freed);
    env_file_close(segment->file);
    segment->file = NULL;
    err_t rc = env_rename(wal->env, name, freed, e);
    if (rc == ERR_OK)
        rc = env_dir_sync(wal->env, wal->dir, e);
    return rc == ERR_OK ? ERR_OK : err_wrap(e, rc, "could not free log segment \"%s\"", name);
}
