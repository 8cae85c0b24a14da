/* The two slots of WATERMARK: see watermark.h for the picture. */
#include "watermark.h"

#include <stdlib.h>

#include "base/codec.h"
#include "base/crc32c.h"

enum { SLOT = 4096, USED = 36 };
static const uint8_t magic[8] = { 'F', 'L', 'O', 'T', 'M', 'A', 'R', 'K' };

struct watermark {
    struct env_file *file;
    uint64_t sequence, batch, incarnation;
};

static err_t write_slot(struct env_file *file, const struct watermark *mark, struct err *e)
{
    uint8_t slot[SLOT] = { 0 }, *at = slot;
    put_bytes(&at, bytes_from(magic, sizeof magic));
    put_u64(&at, mark->sequence);
    put_u64(&at, mark->batch);
    put_u64(&at, mark->incarnation);
    put_u32(&at, crc32c(0, bytes_from(slot, USED - 4)));
    struct bytes all = bytes_from(slot, sizeof slot);
    return env_file_write(file, mark->sequence % 2 * SLOT, &all, 1, e);
}

static bool take_slot(struct bytes in, struct watermark *ret)
{
    struct bytes whole = in, seen;
    uint32_t crc;
    return take_bytes(&in, sizeof magic, &seen) &&
           bytes_equal(seen, bytes_from(magic, sizeof magic)) && take_u64(&in, &ret->sequence) &&
           take_u64(&in, &ret->batch) && take_u64(&in, &ret->incarnation) && take_u32(&in, &crc) &&
           crc == crc32c(0, bytes_from(whole.data, USED - 4));
}

err_t watermark_create(struct env *env, const char *path, uint64_t incarnation, struct err *e)
{
    struct env_file *file = NULL;
    unsigned flags = ENV_OPEN_READ | ENV_OPEN_WRITE | ENV_OPEN_CREATE | ENV_OPEN_TRUNCATE;
    err_t rc = env_file_open(env, path, flags, &file, e);
    for (uint64_t sequence = 1; sequence <= 2 && rc == ERR_OK; sequence++)
        rc = write_slot(file,
                        &(struct watermark){ .sequence = sequence, .incarnation = incarnation }, e);
    if (rc == ERR_OK)
        rc = env_file_sync(file, e);
    env_file_close(file);
    return rc == ERR_OK ? ERR_OK : err_wrap(e, rc, "could not create \"%s\"", path);
}

err_t watermark_open(struct env *env, const char *path, uint64_t incarnation,
                     struct watermark **ret, struct err *e)
{
    struct env_file *file = NULL;
    uint8_t slots[2 * SLOT];
    size_t got = 0;
    err_t rc = env_file_open(env, path, ENV_OPEN_READ | ENV_OPEN_WRITE, &file, e);
    if (rc == ERR_OK)
        rc = env_file_read(file, 0, slots, sizeof slots, &got, e);
    struct watermark newest = { 0 }, slot;
    for (size_t at = 0; rc == ERR_OK && at < got; at += SLOT)
        if (take_slot(bytes_from(slots + at, got - at), &slot) && slot.sequence > newest.sequence)
            newest = slot;
    if (rc == ERR_OK && newest.sequence == 0)
        rc = err_set(e, ERR_NOT_FOUND, "\"%s\" holds no watermark that validates", path);
    if (rc == ERR_OK && newest.incarnation != incarnation)
        rc = err_set(e, ERR_DATA_LOSS, "\"%s\" belongs to another store than IDENT", path);
    if (rc != ERR_OK) {
        env_file_close(file);
        return rc;
    }
    struct watermark *mark = malloc(sizeof *mark);
    if (mark == NULL)
        abort(); /* small and fixed */
    *mark = newest;
    mark->file = file;
    *ret = mark;
    return ERR_OK;
}

void watermark_close(struct watermark *mark)
{
    if (mark == NULL)
        return;
    env_file_close(mark->file);
    free(mark);
}

uint64_t watermark_batch(const struct watermark *mark)
{
    return mark->batch;
}

err_t watermark_write(struct watermark *mark, uint64_t batch, struct err *e)
{
    if (batch == mark->batch)
        return ERR_OK;
    struct watermark next = *mark;
    next.sequence++;
    next.batch = batch;
    err_t rc = write_slot(mark->file, &next, e);
    if (rc == ERR_OK)
        rc = env_file_sync(mark->file, e);
    if (rc != ERR_OK)
        return err_wrap(e, rc, "could not write the watermark");
    *mark = next;
    return ERR_OK;
}
