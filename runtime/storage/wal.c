/* The write-ahead log: opened, written, rolled over, broken for good. See wal.h for the picture. */
#include "wal_int.h"

#include <assert.h>
#include <stdlib.h>

static struct wal *wal_new(struct env *env, const struct wal_config *config)
{
    assert(config->segment_bytes % WAL_BLOCK == 0 && config->segment_bytes >= 2 * WAL_BLOCK);
    struct wal *wal = calloc(1, sizeof *wal);
    char *dir = strdup(config->dir);
    if (wal == NULL || dir == NULL)
        abort(); /* small and fixed */
    wal->env = env;
    wal->config = *config;
    if (wal->config.spares > WAL_SPARES_MAX)
        wal->config.spares = WAL_SPARES_MAX;
    wal->config.dir = wal->dir = dir;
    wal->next = 1;
    return wal;
}

void wal_close(struct wal *wal)
{
    if (wal == NULL)
        return;
    for (size_t i = 0; i < wal->live_count; i++)
        env_file_close(wal->live[i].file);
    for (size_t i = 0; i < wal->spare_count; i++)
        env_file_close(wal->spares[i].file);
    env_lock_free(wal->lock);
    free(wal->live);
    free(wal->freed);
    free(wal->dir);
    free(wal);
}

err_t wal_create(struct env *env, const struct wal_config *config, struct err *e)
{
    struct wal *wal = wal_new(env, config);
    struct wal_segment first = { 0 };
    err_t rc = env_mkdir(env, config->dir, e);
    if (rc == ERR_ALREADY_EXISTS)
        rc = ERR_OK;
    if (rc == ERR_OK)
        rc = wal_segment_make(wal, 1, 0, &first, e);
    env_file_close(first.file);
    wal_close(wal);
    return rc;
}

static err_t break_log(struct wal *wal, err_t rc)
{
    atomic_store(&wal->broken, true);
    return rc;
}

/* ---- Spares ---------------------------------------------------------------------------------- */

/* Makes the next segment. Called with the lock held and `preparing` not set; leaves the lock while
 * it works. */
static err_t prepare(struct wal *wal, struct err *e)
{
    assert(!wal->preparing && wal->spare_count < WAL_SPARES_MAX);
    wal->preparing = true;
    uint64_t from = wal->freed_count > 0 ? wal->freed[--wal->freed_count] : 0;
    env_lock_leave(wal->lock);
    struct wal_segment made;
    err_t rc = wal_segment_make(wal, wal->next, from, &made, e);
    if (rc != ERR_OK && rc != ERR_DISK_FULL)
        break_log(wal, rc);
    env_lock_enter(wal->lock);
    wal->preparing = false;
    if (rc == ERR_OK) {
        wal->spares[wal->spare_count++] = made;
        wal->next++;
    }
    env_lock_wake(wal->lock);
    return rc;
}

err_t wal_prepare(struct wal *wal, bool *more, struct err *e)
{
    err_t rc = ERR_OK;
    env_lock_enter(wal->lock);
    if (!wal->preparing && wal->spare_count < wal->config.spares && !wal_broken(wal))
        rc = prepare(wal, e);
    *more = rc == ERR_OK && wal->spare_count < wal->config.spares && !wal_broken(wal);
    env_lock_leave(wal->lock);
    return rc;
}

size_t wal_spares(struct wal *wal)
{
    env_lock_enter(wal->lock);
    size_t count = wal->spare_count;
    env_lock_leave(wal->lock);
    return count;
}

/* Spares of another size than the configuration's now asks for are given up, the youngest first: no
 * hole. */
static err_t drop_odd_spares(struct wal *wal, struct err *e)
{
    bool odd = false;
    for (size_t i = 0; i < wal->spare_count; i++)
        odd = odd || wal->spares[i].bytes != wal->config.segment_bytes;
    err_t rc = ERR_OK;
    while (odd && wal->spare_count > 0 && rc == ERR_OK) {
        struct wal_segment *last = &wal->spares[wal->spare_count - 1];
        rc = wal_segment_free(wal, last, e);
        if (rc == ERR_OK) {
            wal_segment_push_freed(wal, last->number);
            wal->next = last->number;
            wal->spare_count--;
        }
    }
    return rc;
}

/* The next spare becomes the segment that is written. */
static err_t roll(struct wal *wal, struct err *e)
{
    struct wal_segment *full = &wal->live[wal->live_count - 1];
    err_t rc = ERR_OK;
    env_lock_enter(wal->lock);
    while (rc == ERR_OK && wal->spare_count == 0) {
        if (wal->preparing)
            env_lock_wait(wal->lock, UINT64_MAX);
        else
            rc = wal_broken(wal) ? err_set(e, ERR_IO, "the log is broken") : prepare(wal, e);
    }
    if (rc == ERR_OK) {
        struct wal_segment next = wal->spares[0];
        wal->spare_count--;
        memmove(wal->spares, wal->spares + 1, wal->spare_count * sizeof wal->spares[0]);
        assert(next.number == full->number + 1 && next.file != NULL);
        if (full->readers == 0) {
            env_file_close(full->file);
            full->file = NULL;
        }
        wal_segment_push(wal, next);
        wal->end = WAL_BLOCK;
    }
    env_lock_leave(wal->lock);
    return rc;
}

err_t wal_open(struct env *env, const struct wal_config *config, wal_visit *visit, void *user,
               struct wal **ret, struct err *e)
{
    struct wal *wal = wal_new(env, config);
    err_t rc = env_lock_new(env, &wal->lock, e);
    if (rc == ERR_OK)
        rc = wal_segment_list(wal, e);
    if (rc == ERR_OK)
        rc = wal_replay(wal, visit, user, e);
    if (rc == ERR_OK)
        rc = drop_odd_spares(wal, e);
    if (rc != ERR_OK) {
        wal_close(wal);
        return rc;
    }
    *ret = wal;
    return ERR_OK;
}

/* ---- Writing --------------------------------------------------------------------------------- */

size_t wal_capacity(const struct wal *wal)
{
    uint64_t room = wal->config.segment_bytes - WAL_BLOCK;
    return room < WAL_BATCH_MAX ? (size_t)room : WAL_BATCH_MAX;
}

err_t wal_write(struct wal *wal, struct wal_batch *batch, uint64_t *number, struct err *e)
{
    if (wal_broken(wal))
        return err_set(e, ERR_IO, "the log is broken: an earlier write or sync has failed");
    size_t bytes = wal_batch_bytes(batch);
    if (batch->rc == ERR_OK && bytes > wal_capacity(wal))
        return err_set(e, ERR_TOO_LARGE, "%zu bytes are more than a log segment holds (%zu)", bytes,
                       wal_capacity(wal));
    const struct wal_segment *segment = &wal->live[wal->live_count - 1];
    if (wal->end + bytes > segment->bytes) {
        err_t rc = roll(wal, e);
        if (rc != ERR_OK)
            return rc;
        segment = &wal->live[wal->live_count - 1];
    }
    unsigned n;
    err_t rc = wal_batch_seal(batch, wal->number + 1, segment->seed, &n);
    if (rc != ERR_OK)
        return err_set(e, rc,
                       rc == ERR_NOMEM ? "no memory for a log batch" : "a log batch is too large");
    rc = env_file_write(segment->file, wal->end, batch->iov, n, e);
    if (rc == ERR_OK)
        rc = env_file_sync(segment->file, e);
    if (rc != ERR_OK)
        return break_log(wal, rc);
    wal->offset = wal->end;
    wal->end += bytes;
    *number = ++wal->number;
    return ERR_OK;
}

bool wal_broken(const struct wal *wal)
{
    return atomic_load(&wal->broken);
}

uint64_t wal_number(const struct wal *wal)
{
    return wal->number;
}

uint64_t wal_segment(const struct wal *wal)
{
    return wal->live[wal->live_count - 1].number;
}

uint64_t wal_offset(const struct wal *wal)
{
    return wal->offset;
}

uint64_t wal_oldest(const struct wal *wal)
{
    return wal->live[0].number;
}

/* No cursor comes to the oldest segment any more, and those on it have left. */
static void wait_for_readers(struct wal *wal)
{
    env_lock_enter(wal->lock);
    wal->live[0].leaving = true;
    while (wal->live[0].readers > 0)
        env_lock_wait(wal->lock, UINT64_MAX);
    env_lock_leave(wal->lock);
}

err_t wal_free_oldest(struct wal *wal, struct err *e)
{
    assert(wal->live_count > 1);
    uint64_t oldest = wal->live[0].number;
    wait_for_readers(wal);
    err_t rc = wal_segment_free(wal, &wal->live[0],
                                e); /* in place: it closes the file, also when it fails */
    if (rc == ERR_OK) {
        env_lock_enter(wal->lock);
        wal->live_count--;
        memmove(wal->live, wal->live + 1, wal->live_count * sizeof wal->live[0]);
        bool keep = wal->freed_count + wal->spare_count < (size_t)wal->config.spares + 1;
        if (keep)
            wal_segment_push_freed(wal, oldest);
        env_lock_leave(wal->lock);
        if (!keep) {
            char path[WAL_NAME_MAX];
            wal_segment_path(wal, oldest, "free", path);
            rc = env_remove(wal->env, path, e);
        }
    }
    return rc == ERR_OK ? ERR_OK : break_log(wal, rc);
}
