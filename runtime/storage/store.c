/* A store's life: init, open, close, and the latch that ends it early.
 *
 *   init    INIT mark, LOCK, wal/, db/, WATERMARK, and last IDENT: with it the directory is a store, without it never
 *   open    LOCK, PANIC?, IDENT, engine, the log is read to its end, compared with WATERMARK and the engine,
 *           and what the engine has lost is applied again
 *   close   engine forced, clean mark as the log's last record, WATERMARK
 *   latch   PANIC with the reason; nothing is written any more */
#include <assert.h>
#include <inttypes.h>
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

/* ---- Init ------------------------------------------------------------------------------------ */

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

static err_t lock_directory(struct env *env, const char *path, struct env_file **ret, struct err *e)
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

static err_t make_directory(struct env *env, const char *path, struct err *e)
{
    err_t rc = env_mkdir(env, path, e);
    if (rc != ERR_OK && rc != ERR_ALREADY_EXISTS)
        return rc;
    char *above = store_join(path, "");
    size_t len = strlen(above);
    while (len > 1 && above[len - 1] == '/')
        above[--len] = '\0';
    char *slash = strrchr(above, '/');
    if (slash != NULL && slash != above)
        *slash = '\0';
    rc = env_dir_sync(env, slash == NULL ? "." : slash == above ? "/" : above, e);
    free(above);
    return rc;
}

static err_t check_config(const struct storage_config *config, struct err *e)
{
    if (config->segment_bytes == 0 ||
        (config->segment_bytes >= STORE_SEGMENT_MIN && config->segment_bytes <= STORE_SEGMENT_MAX))
        return ERR_OK;
    return err_set(e, ERR_INVALID_ARGUMENT, "segment_bytes is %llu; it must be from %d to %d",
                   (unsigned long long)config->segment_bytes, (int)STORE_SEGMENT_MIN,
                   (int)STORE_SEGMENT_MAX);
}

static struct wal_config wal_config_of(const struct storage_config *config, const char *dir,
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

static err_t make_parts(struct env *env, const struct storage_config *config,
                        const struct storage_ident *ident, struct err *e)
{
    char *wal = store_join(config->path, "wal"), *db = store_join(config->path, "db");
    char *mark = store_join(config->path, "WATERMARK"), *name = store_join(config->path, "IDENT");
    char *begun = store_join(config->path, "INIT");
    struct wal_config log = wal_config_of(config, wal, ident->incarnation);
    struct engine_config db_config = config->engine_config;
    db_config.path = db;
    db_config.create = true;
    struct engine *engine = NULL;
    err_t rc = env_write_file(env, begun, BYTES("init has begun and not ended\n"), e);
    if (rc == ERR_OK)
        rc = remove_tree(env, wal, e);
    if (rc == ERR_OK)
        rc = remove_tree(env, db, e);
    if (rc == ERR_OK)
        rc = wal_create(env, &log, e);
    if (rc == ERR_OK)
        rc = config->engine->open(env, &db_config, &engine, e);
    if (rc == ERR_OK) {
        config->engine->close(engine);
        rc = watermark_create(env, mark, ident->incarnation, e);
    }
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
                   const struct storage_ident *ident, struct err *e)
{
    struct env_file *lock = NULL;
    struct names names = { 0 };
    char *name = store_join(config->path, "IDENT");
    bool is_dir;
    uint64_t size;
    err_t rc = check_config(config, e);
    if (rc == ERR_OK)
        rc = make_directory(env, config->path, e);
    if (rc == ERR_OK)
        rc = lock_directory(env, config->path, &lock, e);
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
        rc = make_parts(env, config, ident, e);
    buf_free(&names.text);
    free(name);
    env_file_close(lock);
    return rc == ERR_OK ? ERR_OK
                        : err_wrap(e, rc, "could not make a store in \"%s\"", config->path);
}

/* ---- Open ------------------------------------------------------------------------------------ */

struct position {
    raft_index index;
    raft_term term;
    uint64_t segment, offset;
    uint32_t at, len; /* of the entry, within the batch */
};

struct opening {
    struct storage *store;
    struct position *entries; /* that are above the engine's applied index, by index */
    size_t count, cap;
    raft_index applied, first; /* first: the smallest index in the log, 0 if it has none */
    uint64_t clean;            /* the number of the batch with the newest clean mark */
};

static err_t found_entry(struct opening *opening, const struct position *entry)
{
    if (entry->index <= opening->applied)
        return ERR_OK;
    while (opening->count > 0 && opening->entries[opening->count - 1].index >= entry->index)
        opening->count--; /* replaced by a later leader's */
    if (opening->count == opening->cap) {
        size_t cap = opening->cap == 0 ? 256 : opening->cap * 2;
        struct position *entries = realloc(opening->entries, cap * sizeof *entries);
        if (entries == NULL)
            return ERR_NOMEM;
        opening->entries = entries;
        opening->cap = cap;
    }
    opening->entries[opening->count++] = *entry;
    return ERR_OK;
}

static err_t found_append(struct opening *opening, const struct wal_place *place,
                          const struct wal_record *record, struct err *e)
{
    struct ledger *ledger = &opening->store->ledger;
    raft_index index = record->append.first;
    if (opening->first != 0 && index > ledger->last + 1)
        return err_set(e, ERR_DATA_LOSS,
                       "log entries %" PRIu64 " to %" PRIu64
                       " are missing before segment %016" PRIx64 ", offset %" PRIu64,
                       ledger->last + 1, index - 1, place->segment, place->offset);
    struct bytes entries = record->append.entries;
    struct raft_ent ent;
    raft_term term = 0;
    for (; wal_format_take_entry(&entries, &ent); index++) {
        struct position entry = { .index = index,
                                  .term = term = ent.term,
                                  .segment = place->segment,
                                  .offset = place->offset,
                                  .at = (uint32_t)((const uint8_t *)ent.data - place->batch.data),
                                  .len = ent.len };
        err_t rc = found_entry(opening, &entry);
        if (rc != ERR_OK)
            return err_set(e, rc, "no memory for the log's entries");
        if (opening->first == 0)
            opening->first = index;
    }
    ledger_append(ledger, record->append.hs, record->append.count > 0 ? index - 1 : 0, term);
    return ERR_OK;
}

static err_t found_record(void *user, const struct wal_place *place,
                          const struct wal_record *record, struct err *e)
{
    struct opening *opening = user;
    struct ledger *ledger = &opening->store->ledger;
    ledger_segment(ledger, place->segment);
    if (record->kind != WAL_LOCAL && record->region != STORE_REGION)
        return err_set(e, ERR_UPGRADE_REQUIRED,
                       "the log carries region %" PRIu64 ": a later version wrote it",
                       record->region);
    switch (record->kind) {
    case WAL_APPEND:
        return found_append(opening, place, record, e);
    case WAL_CUT:
        ledger_cut(ledger, record->cut.index, record->cut.term);
        return ERR_OK;
    case WAL_LOCAL:
        if (record->local.kind >= LEDGER_LOCALS)
            return err_set(e, ERR_UPGRADE_REQUIRED,
                           "the log carries a local record of a later version");
        if (record->local.kind == STORAGE_LOCAL_CLEAN)
            opening->clean = place->number;
        return ledger_local(ledger, record->local.kind, record->local.value);
    default:
        return err_set(e, ERR_UPGRADE_REQUIRED,
                       "the log carries snapshots or removed peers: a later version wrote it");
    }
}

/* The log has been read: is it whole? */
static err_t check_end(struct storage *store, const struct opening *opening, struct err *e)
{
    uint64_t number = wal_number(store->wal), mark = 0;
    bool clean = number != 0 && opening->clean == number;
    if (store->watermark != NULL)
        mark = watermark_batch(store->watermark);
    else if (!clean)
        return err_set(
            e, ERR_AMNESIA,
            "WATERMARK is missing or broken, and the log does not end with a clean stop: nobody knows "
            "whether the log is whole. Replace this replica, or restore the store");
    if (number < mark)
        return err_set(e, ERR_AMNESIA,
                       "the log ends at batch %" PRIu64 ", but batch %" PRIu64
                       " was synced: its end is lost. "
                       "Replace this replica, or restore the store",
                       number, mark);
    if (opening->applied > store->ledger.last)
        return err_set(e, ERR_AMNESIA,
                       "the log ends at index %" PRIu64 ", but index %" PRIu64
                       " was applied: its end is lost. "
                       "Replace this replica, or restore the store",
                       store->ledger.last, opening->applied);
    raft_index needed = opening->applied + 1;
    raft_index first = opening->count > 0 ? opening->entries[0].index : store->ledger.last + 1;
    if (first != needed)
        return err_set(e, ERR_DATA_LOSS,
                       "the log begins at index %" PRIu64 ", but the engine needs it from %" PRIu64
                       " on: replace this replica",
                       first, needed);
    return ERR_OK;
}

static err_t apply_entry(struct storage *store, struct bytes in, struct layout_apply_state *state,
                         struct err *e)
{
    uint16_t count;
    err_t rc = command_take_entry(&in, &count, &state->hlc, e);
    for (uint16_t i = 0; i < count && rc == ERR_OK; i++) {
        struct command command;
        struct storage_result result;
        rc = command_take(&in, &command, e);
        if (rc == ERR_OK) {
            rc = apply_command(store->apply, &command, &result, e);
            storage_result_free(&result); /* whoever waited for it is gone */
        }
    }
    if (rc == ERR_OK && in.len != 0)
        rc = err_set(e, ERR_CORRUPTION, "a log entry has more bytes than its commands");
    return rc;
}

static err_t apply_again(struct storage *store, const struct opening *opening, struct err *e)
{
    struct buf batch = { 0 };
    err_t rc = ERR_OK;
    for (size_t i = 0; i < opening->count && rc == ERR_OK; i++) {
        const struct position *entry = &opening->entries[i];
        rc = wal_read(store->wal, entry->segment, entry->offset, &batch, e);
        if (rc != ERR_OK)
            break;
        assert(entry->at + (size_t)entry->len <= batch.len);
        struct layout_apply_state state = { .index = entry->index, .term = entry->term };
        apply_begin(store->apply, 0);
        rc = apply_entry(store, bytes_from(batch.data + entry->at, entry->len), &state, e);
        if (rc == ERR_OK)
            rc = apply_commit(store->apply, &state, e);
        if (rc != ERR_OK)
            err_wrap(e, rc, "could not apply log index %" PRIu64 " again", entry->index);
        store->replayed++;
    }
    buf_free(&batch);
    return rc;
}

static err_t open_log(struct storage *store, struct err *e)
{
    char *mark = store_join(store->path, "WATERMARK");
    struct opening opening = { .store = store, .applied = apply_state(store->apply)->index };
    struct wal_config config =
        wal_config_of(&store->config, store->wal_path, store->ident.incarnation);
    err_t rc = watermark_open(store->env, mark, store->ident.incarnation, &store->watermark, e);
    if (rc == ERR_OK || rc == ERR_NOT_FOUND)
        rc = wal_open(store->env, &config, found_record, &opening, &store->wal, e);
    if (rc == ERR_OK)
        rc = check_end(store, &opening, e);
    if (rc == ERR_OK)
        rc = apply_again(store, &opening, e);
    if (rc == ERR_OK && store->watermark == NULL) {
        rc = watermark_create(store->env, mark, store->ident.incarnation, e);
        if (rc == ERR_OK)
            rc = env_dir_sync(store->env, store->path, e);
        if (rc == ERR_OK)
            rc = watermark_open(store->env, mark, store->ident.incarnation, &store->watermark, e);
    }
    if (rc == ERR_OK)
        rc = watermark_write(store->watermark, wal_number(store->wal), e);
    for (unsigned kind = 0; kind < LEDGER_LOCALS && rc == ERR_OK; kind++)
        if (kind != STORAGE_LOCAL_CLEAN || opening.clean == wal_number(store->wal))
            rc = buf_append(&store->locals[kind], buf_bytes(&store->ledger.locals[kind].value));
    free(opening.entries);
    free(mark);
    if (rc != ERR_OK)
        return rc;
    ledger_segment(&store->ledger, wal_segment(store->wal));
    atomic_store(&store->last, store->ledger.last);
    atomic_store(&store->applied, apply_state(store->apply)->index);
    atomic_store(&store->stamp, apply_state(store->apply)->hlc);
    atomic_store(&store->segments, wal_segment(store->wal) - wal_oldest(store->wal) + 1);
    store->watermark_at = env_now(store->env);
    return ERR_OK;
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
    struct env_lock **const locks[] = { &store->log.lock, &store->applying.lock, &store->latch_lock,
                                        &store->queue_lock, &store->stats_lock };
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
        rc = lock_directory(store->env, store->path, &store->lock_file, e);
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
    if (rc == ERR_OK) {
        env_random(store->env, &seed, sizeof seed);
        rc = apply_open(store->ops, store->engine, store->namespaces, STORE_REGION, seed,
                        &store->apply, e);
    }
    if (rc == ERR_OK)
        rc = open_log(store, e);
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
    err_t rc = check_config(config, e);
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
            store_u64(index, atomic_load(&store->applied));
            wal_batch_reset(&store->batch);
            wal_batch_local(&store->batch, STORAGE_LOCAL_CLEAN, bytes_from(index, sizeof index));
            rc = store_write_batch(store, &e);
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
