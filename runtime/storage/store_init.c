/* A store is made: whole, or not at all.
 *
 *   INIT mark, LOCK, wal/, db/ (with the first region's meta), WATERMARK, and last IDENT
 *
 * With an IDENT the directory is a store, without one never; what carries the INIT mark and no IDENT is made again. */
#include <assert.h>
#include <stdlib.h>

#include "store_int.h"

struct names {
    struct buf text; /* name NUL name NUL ... */
    bool foreign;    /* something that no store has */
    bool begun;      /* the INIT mark: a half-made store */
    bool data;       /* wal/ or db/ */
};

static err_t names_add(void *user, const char *name, bool is_dir)
{
    static const char *const known[] = { "LOCK", "INIT", "INIT.tmp", "IDENT.tmp", "WATERMARK" };
    struct names *names = user;
    bool ours = false;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        ours = ours || strcmp(name, known[i]) == 0;
    bool data = is_dir && (strcmp(name, "wal") == 0 || strcmp(name, "db") == 0);
    names->begun = names->begun || strcmp(name, "INIT") == 0;
    names->data = names->data || data;
    names->foreign = names->foreign || !(ours || data);
    return buf_append(&names->text, bytes_from(name, strlen(name) + 1));
}

/* Removes a directory with all it holds; nothing there is fine. */
static err_t remove_tree(struct env *env, const char *path, struct err *e)
{
    bool is_dir;
    uint64_t size;
    err_t rc = env_stat(env, path, &is_dir, &size, e);
    if (rc == ERR_NOT_FOUND)
        return ERR_OK;
    struct names names = { 0 };
    if (rc == ERR_OK && is_dir)
        rc = env_dir_list(env, path, names_add, &names, e);
    struct bytes rest = buf_bytes(&names.text);
    while (rc == ERR_OK && rest.len > 0) {
        const char *name = (const char *)rest.data;
        size_t used = strlen(name) + 1;
        char *inner = store_join(path, name);
        rc = remove_tree(env, inner, e);
        free(inner);
        rest.data += used;
        rest.len -= used;
    }
    buf_free(&names.text);
    return rc == ERR_OK ? env_remove(env, path, e) : rc;
}

/* The path of the directory above, from malloc: "." and "/" at the least. */
static char *directory_above(const char *path)
{
    char *above = store_join(path, "");
    size_t len = strlen(above);
    while (len > 1 && above[len - 1] == '/')
        above[--len] = '\0';
    char *slash = strrchr(above, '/');
    if (slash == NULL)
        strcpy(above, "."); /* there was at least a slash */
    else
        slash[slash == above] = '\0';
    return above;
}

/* With those above it that are missing. */
static err_t make_directory(struct env *env, const char *path, struct err *e)
{
    char *above = directory_above(path);
    err_t rc = env_mkdir(env, path, e);
    if (rc == ERR_NOT_FOUND && strcmp(above, path) != 0) {
        rc = make_directory(env, above, e);
        if (rc == ERR_OK)
            rc = env_mkdir(env, path, e);
    }
    if (rc == ERR_OK || rc == ERR_ALREADY_EXISTS)
        rc = env_dir_sync(env, above, e);
    free(above);
    return rc;
}

/* The first region's meta, as the engine's first batch. */
static err_t write_first(const struct engine_ops *ops, struct engine *engine,
                         const struct storage_first *first, struct err *e)
{
    if (first == NULL)
        return ERR_OK;
    uint8_t key[9];
    struct engine_batch *batch = ops->batch_new(engine);
    layout_raft_state_key(first->region, LAYOUT_META, key);
    ops->put(batch, ENGINE_RAFT_STATE, bytes_from(key, sizeof key), first->meta);
    /* A cluster has a window of timestamps from its first moment on: one that is missing later is lost (trap D46). */
    uint8_t window[9];
    layout_tso(1, window);
    ops->put(batch, ENGINE_META, BYTES(LAYOUT_TSO_KEY), bytes_from(window, sizeof window));
    err_t rc = ops->write(engine, batch, 1, e);
    ops->batch_free(batch);
    return rc == ERR_OK ? ops->force(engine, e) : rc;
}

static err_t make_engine(struct env *env, const struct storage_config *config, const char *db,
                         const struct storage_first *first, struct err *e)
{
    struct engine_config db_config = config->engine_config;
    db_config.path = db;
    db_config.create = true;
    struct engine *engine = NULL;
    err_t rc = config->engine->open(env, &db_config, &engine, e);
    if (rc != ERR_OK)
        return rc;
    rc = write_first(config->engine, engine, first, e);
    config->engine->close(engine);
    return rc;
}

static err_t make_parts(struct env *env, const struct storage_config *config,
                        const struct storage_ident *ident, const struct storage_first *first,
                        struct err *e)
{
    char *wal = store_join(config->path, "wal"), *db = store_join(config->path, "db");
    char *mark = store_join(config->path, "WATERMARK"), *name = store_join(config->path, "IDENT");
    char *begun = store_join(config->path, "INIT");
    struct wal_config log = store_wal_config(config, wal, ident->incarnation);
    err_t rc = env_write_file(env, begun, BYTES("init has begun and not ended\n"), e);
    if (rc == ERR_OK)
        rc = remove_tree(env, wal, e);
    if (rc == ERR_OK)
        rc = remove_tree(env, db, e);
    if (rc == ERR_OK)
        rc = wal_create(env, &log, e);
    if (rc == ERR_OK)
        rc = make_engine(env, config, db, first, e);
    if (rc == ERR_OK)
        rc = watermark_create(env, mark, ident->incarnation, e);
    if (rc == ERR_OK)
        rc = env_dir_sync(env, config->path, e);
    if (rc == ERR_OK)
        rc = ident_write(env, name, ident, e);
    if (rc == ERR_OK)
        rc = env_remove(env, begun, e);
    free(wal);
    free(db);
    free(mark);
    free(name);
    free(begun);
    return rc;
}

err_t storage_init(struct env *env, const struct storage_config *config,
                   const struct storage_ident *ident, const struct storage_first *first,
                   struct err *e)
{
    assert(first == NULL || first->meta.len > 0);
    struct env_file *lock = NULL;
    struct names names = { 0 };
    char *name = store_join(config->path, "IDENT");
    bool is_dir;
    uint64_t size;
    err_t rc = store_check_config(config, e);
    if (rc == ERR_OK)
        rc = make_directory(env, config->path, e);
    if (rc == ERR_OK)
        rc = store_lock_directory(env, config->path, &lock, e);
    if (rc == ERR_OK) {
        rc = env_stat(env, name, &is_dir, &size, e);
        if (rc == ERR_OK)
            rc = err_set(e, ERR_ALREADY_EXISTS, "there is a store already: it has an IDENT");
        else if (rc == ERR_NOT_FOUND)
            rc = env_dir_list(env, config->path, names_add, &names, e);
    }
    if (rc == ERR_OK && names.foreign)
        rc = err_set(e, ERR_ALREADY_EXISTS,
                     "the directory is not empty, and what it holds is no store's");
    if (rc == ERR_OK && names.data && !names.begun)
        rc = err_set(
            e, ERR_ALREADY_EXISTS,
            "the directory holds the data of a store that has lost its IDENT; move it away first");
    if (rc == ERR_OK)
        rc = make_parts(env, config, ident, first, e);
    buf_free(&names.text);
    free(name);
    env_file_close(lock);
    return rc == ERR_OK ? ERR_OK
                        : err_wrap(e, rc, "could not make a store in \"%s\"", config->path);
}
