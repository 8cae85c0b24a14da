/* A store's life: open, close, and the latch that ends it early.
 *
 *   open    LOCK, PANIC?, IDENT, engine; then the log (store_boot.c)
 *   close   engine forced, clean mark as the log's last record, WATERMARK
 *   latch   PANIC with the reason; nothing is written any more */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "store_int.h"

char *store_join(const char *path, const char *name)
{
    size_t len = strlen(path) + strlen(name) + 2;
    char *joined = malloc(len);
    if (joined == NULL)
        abort();
    snprintf(joined, len, "%s/%s", path, name);
    return joined;
}

void store_stage_enter(struct store_stage *stage)
{
    env_lock_enter(stage->lock);
    while (stage->busy)
        env_lock_wait(stage->lock, UINT64_MAX);
    stage->busy = true;
    env_lock_leave(stage->lock);
}

void store_stage_leave(struct store_stage *stage)
{
    env_lock_enter(stage->lock);
    stage->busy = false;
    env_lock_wake(stage->lock);
    env_lock_leave(stage->lock);
}

/* ---- The latch ------------------------------------------------------------------------------- */

/* Whoever is told of the latch may end the process: so nobody is told before the mark is left. */
err_t storage_latched(const struct storage *store, struct err *e)
{
    if (!atomic_load_explicit(&store->latched, memory_order_acquire))
        return ERR_OK;
    env_lock_enter(store->latch_lock);
    env_lock_leave(store->latch_lock);
    if (e != NULL)
        *e = store->latch;
    return store->latch.code;
}

/* Where the reason cannot be written the name alone is the mark: on a disk without room it still finds its place. */
static void leave_mark(struct storage *store)
{
    char *mark = store_join(store->path, "PANIC");
    struct env_file *file = NULL;
    struct err why = { 0 };
    struct buf text = { 0 };
    err_t rc = buf_printf(&text, "%s: %s\n", err_name(store->latch.code), store->latch.msg);
    if (rc == ERR_OK)
        rc = env_write_file(store->env, mark, buf_bytes(&text), &why);
    if (rc != ERR_OK)
        rc = env_file_open(store->env, mark, ENV_OPEN_WRITE | ENV_OPEN_CREATE, &file, &why);
    if (rc == ERR_OK && file != NULL)
        rc = env_dir_sync(store->env, store->path, &why);
    if (rc != ERR_OK)
        logger_error(store->log_to, "the panic mark could not be left", logger_err(&why));
    env_file_close(file);
    buf_free(&text);
    free(mark);
}

err_t store_latch(struct storage *store, err_t rc, struct err *e)
{
    assert(rc != ERR_OK);
    if (rc == ERR_DISK_FULL) /* which would mean "not applied", and this means "unknown" */
        rc = ERR_IO;
    env_lock_enter(store->latch_lock);
    if (!atomic_load(&store->latched)) {
        store->latch = e != NULL && e->code != ERR_OK ? *e : (struct err){ .code = rc };
        store->latch.code = rc;
        err_wrap(&store->latch, rc, "store \"%s\" has stopped after a failed write", store->path);
        atomic_store_explicit(&store->latched, true, memory_order_release);
        logger_error(store->log_to, "store stopped: a write or sync has failed",
                     logger_err(&store->latch));
        leave_mark(store);
    }
    env_lock_leave(store->latch_lock);
    return storage_latched(store, e);
}

/* ---- Open ------------------------------------------------------------------------------------ */

err_t store_lock_directory(struct env *env, const char *path, struct env_file **ret, struct err *e)
{
    char *name = store_join(path, "LOCK");
    struct env_file *file = NULL;
    err_t rc = env_file_open(env, name, ENV_OPEN_READ | ENV_OPEN_WRITE | ENV_OPEN_CREATE, &file, e);
    free(name);
    if (rc == ERR_OK)
        rc = env_file_lock(file, e);
    if (rc != ERR_OK) {
        env_file_close(file);
        return rc == ERR_LOCKED ? err_set(e, rc, "another process has the store \"%s\" open", path)
                                : rc;
    }
    *ret = file;
    return ERR_OK;
}

err_t store_check_config(const struct storage_config *config, struct err *e)
{
    if (config->segment_bytes == 0 ||
        (config->segment_bytes >= STORE_SEGMENT_MIN && config->segment_bytes <= STORE_SEGMENT_MAX))
        return ERR_OK;
    return err_set(e, ERR_INVALID_ARGUMENT, "segment_bytes is %llu; it must be from %d to %d",
                   (unsigned long long)config->segment_bytes, (int)STORE_SEGMENT_MIN,
                   (int)STORE_SEGMENT_MAX);
}

struct wal_config store_wal_config(const struct storage_config *config, const char *dir,
                                   uint64_t incarnation)
{
    return (struct wal_config){
        .dir = dir,
        .segment_bytes = config->segment_bytes != 0 ? config->segment_bytes / WAL_BLOCK * WAL_BLOCK
                                                    : STORE_SEGMENT,
        .spares = config->spare_segments != 0 ? config->spare_segments : STORE_SPARES,
        .incarnation = incarnation,
    };
}

static err_t check_panic(struct storage *store, bool *marked, struct err *e)
{
    char *mark = store_join(store->path, "PANIC");
    struct buf why = { 0 };
    err_t rc = env_read_file(store->env, mark, 4096, &why, e);
    free(mark);
    *marked = rc != ERR_NOT_FOUND;
    if (rc == ERR_NOT_FOUND)
        return ERR_OK;
    if (rc == ERR_OK && !store->config.accept_panic)
        rc = err_set(
            e, ERR_PANIC_MARK,
            "the last run stopped after a failed write: %.*s\nCheck the disk; then start once with "
            "--accept-panic",
            (int)why.len, (const char *)why.data);
    buf_free(&why);
    return rc;
}

static err_t open_locks(struct storage *store, struct err *e)
{
    struct env_lock **const locks[] = { &store->log.lock,    &store->applying.lock,
                                        &store->latch_lock,  &store->queue_lock,
                                        &store->ledger_lock, &store->stats_lock };
    err_t rc = ERR_OK;
    for (size_t i = 0; i < sizeof locks / sizeof locks[0] && rc == ERR_OK; i++)
        rc = env_lock_new(store->env, locks[i], e);
    return rc;
}

/* With an IDENT the store is whole: from now on nobody may take it for a half-made one, also if IDENT
 * should be lost. */
static err_t finish_init(struct storage *store, struct err *e)
{
    char *begun = store_join(store->path, "INIT");
    err_t rc = env_remove(store->env, begun, e);
    free(begun);
    return rc == ERR_OK || rc == ERR_NOT_FOUND ? env_dir_sync(store->env, store->path, e) : rc;
}

static err_t open_parts(struct storage *store, struct err *e)
{
    bool marked = false;
    struct engine_config config = store->config.engine_config;
    config.path = store->db_path;
    config.create = false;
    char *ident = store_join(store->path, "IDENT");
    bool is_dir;
    uint64_t size, seed;
    err_t rc = env_stat(store->env, ident, &is_dir, &size, e); /* before LOCK would be made */
    if (rc == ERR_NOT_FOUND)
        err_set(e, rc, "there is no store here (no IDENT): run `flotilla init` first");
    if (rc == ERR_OK)
        rc = store_lock_directory(store->env, store->path, &store->lock_file, e);
    if (rc == ERR_OK)
        rc = check_panic(store, &marked, e);
    if (rc == ERR_OK)
        rc = ident_read(store->env, ident, &store->ident, e);
    free(ident);
    if (rc == ERR_OK) /* init may have died between the rename of IDENT and this */
        rc = finish_init(store, e);
    if (rc == ERR_OK)
        rc = store->ops->open(store->env, &config, &store->engine, e);
    if (rc == ERR_OK)
        rc = namespaces_open(store->ops, store->engine, &store->namespaces, e);
    seed = env_random_u64(store->env);
    ledger_init(&store->ledger, seed);
    if (rc == ERR_OK)
        rc = progress_open(store->env, store->ops, store->engine, seed, &store->progress, e);
    if (rc == ERR_OK)
        rc = apply_open(store->ops, store->engine, store->namespaces, store->progress, seed,
                        &store->apply, e);
    if (rc == ERR_OK)
        rc = store_boot(store, e);
    if (rc == ERR_OK && marked) {
        char *mark = store_join(store->path, "PANIC");
        rc = env_remove(store->env, mark, e);
        if (rc == ERR_OK)
            rc = env_dir_sync(store->env, store->path, e);
        free(mark);
    }
    return rc;
}

/* Frees what there is, also of a half-open store; writes nothing. */
static void store_free(struct storage *store)
{
    store_groups_free(store);
    apply_close(store->apply);
    progress_close(store->progress);
    namespaces_close(store->namespaces);
    if (store->engine != NULL)
        store->ops->close(store->engine);
    wal_close(store->wal);
    watermark_close(store->watermark);
    wal_batch_free(&store->batch);
    ledger_free(&store->ledger);
    for (unsigned kind = 0; kind < LEDGER_LOCALS; kind++)
        buf_free(&store->locals[kind]);
    env_lock_free(store->log.lock);
    env_lock_free(store->applying.lock);
    env_lock_free(store->latch_lock);
    env_lock_free(store->queue_lock);
    env_lock_free(store->ledger_lock);
    env_lock_free(store->stats_lock);
    env_file_close(store->lock_file); /* last: the directory is free for the next one */
    free(store->path);
    free(store->db_path);
    free(store->wal_path);
    free(store);
}

err_t storage_open(struct env *env, const struct storage_config *config, struct storage **ret,
                   struct err *e)
{
    struct storage *store = calloc(1, sizeof *store);
    if (store == NULL)
        abort(); /* small and fixed */
    store->env = env;
    store->config = *config;
    store->path = strdup(config->path);
    if (store->path == NULL)
        abort();
    store->config.path = store->path;
    store->db_path = store_join(store->path, "db");
    store->wal_path = store_join(store->path, "wal");
    store->ops = config->engine;
    store->log_to = config->log;
    err_t rc = store_check_config(config, e);
    if (rc == ERR_OK)
        rc = open_locks(store, e);
    if (rc == ERR_OK)
        rc = open_parts(store, e);
    if (rc != ERR_OK) {
        err_wrap(e, rc, "could not open store \"%s\"", store->path);
        store_free(store);
        return rc;
    }
    *ret = store;
    return ERR_OK;
}

/* ---- Close ----------------------------------------------------------------------------------- */

void storage_close(struct storage *store)
{
    if (store == NULL)
        return;
    struct err e = { 0 };
    if (storage_latched(store, NULL) == ERR_OK) {
        err_t rc = store->ops->force(store->engine, &e);
        if (rc != ERR_OK &&
            rc != ERR_DEADLINE_EXCEEDED) /* slow is no failure; the log has it all */
            (void)store_latch(store, rc, &e);
        if (rc == ERR_OK) {
            uint8_t index[8];
            struct layout_apply_state applied;
            progress_applied(store->progress, STORE_REGION, &applied);
            store_u64(index, applied.index);
            wal_batch_reset(&store->batch);
            wal_batch_local(&store->batch, STORAGE_LOCAL_CLEAN, bytes_from(index, sizeof index));
            rc = store_write_batch(store, &store->batch, &e);
        }
        if (rc == ERR_OK)
            rc = watermark_write(store->watermark, wal_number(store->wal), &e);
        if (rc != ERR_OK)
            logger_warn(store->log_to, "the store was closed without its clean mark",
                        logger_err(&e));
    }
    store_free(store);
}

void storage_abandon(struct storage *store)
{
    if (store != NULL)
        store_free(store);
}

const struct storage_ident *storage_ident(const struct storage *store)
{
    return &store->ident;
}

struct bytes storage_local(const struct storage *store, enum storage_local kind)
{
    assert((unsigned)kind < LEDGER_LOCALS);
    return buf_bytes(&store->locals[kind]);
}
