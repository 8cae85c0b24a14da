/* Memory that forgets: the engine contract, with nothing more than it promises.
 *
 *   file   | magic | batch | batch | batch | ...        path/CURRENT, written and synced through env
 *                          ^synced          ^written             ^last
 *          |<- durable() ->|<- a crash takes any suffix of this ->|
 *
 * All rows live in memory, as versions: number of the batch, value or tombstone. A batch goes into memory at once, to
 * the file once half of `memtable_bytes` has gathered, and is synced when all of it has: so the world's disk decides
 * what a crash leaves, and in the simulator its seed. At open the file is read up to the first batch that does not
 * validate, and the rest is cut off: a part of a batch, or a batch behind a missing one, never comes back.
 *
 * 1. A reader at number n sees the newest version <= n of every key. (mem_rows.c)
 * 2. Versions are dropped only below every reader and below the durable cut. (prune)
 * 3. After an open every key is cold, as after a restart on a real disk: the first get of it may not be cached_only.
 * 4. Iterators hold no pointers into the tables: each step seeks the key behind the last one. */
#include "storage/engine_mem.h"

#include <assert.h>
#include <stdlib.h>

#include "base/crc32c.h"
#include "engine_int.h"
#include "mem_rows.h"

enum {
    FRAME = 24,          /* u64 length of the body, u64 number, u64 crc32c of both and the body */
    ROW = 10,            /* u8 kind, u8 family, u32 key length, u32 value length */
    CUT_BYTES = 1 << 20, /* if the configuration names none */
    FILE_MAX_GROWTH = 4, /* the file is rewritten when it is this many times the live data */
};
static const char magic[8] = "FLOTMEM1";
enum row_kind { ROW_PUT = 1, ROW_DELETE = 2 };

struct engine_iter {
    struct engine *engine;
    enum engine_family family;
    uint64_t as_of;
    struct buf from, end, key, value;
    bool bounded, begun, ended, asked;
    err_t rc;
    struct engine_iter *prev, *next;
};

struct engine_batch {
    struct buf rows;
};

struct engine {
    struct env *env;
    struct env_lock *lock; /* rows, readers, numbers; the file belongs to the writer alone */
    struct buf path;
    struct mem_rows *rows;
    struct engine_iter *readers;
    uint64_t last, durable;

    struct env_file *file;
    struct buf pending;      /* framed batches that are not in the file */
    struct buf ends;         /* uint64_t: where each batch above `durable` ends in the file */
    uint64_t file_end;       /* of what was written */
    uint64_t next_end;       /* file_end plus pending */
    size_t cut_bytes, uncut; /* bytes since the last cut */
    bool held;
};

static void *must(void *memory)
{
    if (memory == NULL)
        abort(); /* small and fixed */
    return memory;
}

/* Drops the versions that neither a reader nor a crash can bring to light again. */
static void prune(struct engine *engine)
{
    uint64_t floor = engine->durable;
    for (const struct engine_iter *reader = engine->readers; reader != NULL; reader = reader->next)
        if (reader->as_of < floor)
            floor = reader->as_of;
    mem_rows_prune(engine->rows, floor);
}

/* ---- Batches ------------------------------------------------------------------------------------------------- */

static struct engine_batch *mem_batch_new(struct engine *engine)
{
    (void)engine;
    return must(calloc(1, sizeof(struct engine_batch)));
}

static void mem_batch_free(struct engine_batch *batch)
{
    if (batch != NULL)
        buf_free(&batch->rows);
    free(batch);
}

static void mem_batch_clear(struct engine_batch *batch)
{
    buf_clear(&batch->rows);
}

static void add_row(struct buf *rows, enum row_kind kind, enum engine_family family,
                    struct bytes key, struct bytes value)
{
    assert((unsigned)family < ENGINE_FAMILIES);
    uint8_t *to = must(buf_reserve(rows, ROW + key.len + value.len));
    uint32_t key_len = (uint32_t)key.len, value_len = (uint32_t)value.len;
    to[0] = (uint8_t)kind;
    to[1] = (uint8_t)family;
    memcpy(to + 2, &key_len, 4);
    memcpy(to + 6, &value_len, 4);
    if (key.len > 0)
        memcpy(to + ROW, key.data, key.len);
    if (value.len > 0)
        memcpy(to + ROW + key.len, value.data, value.len);
    rows->len += ROW + key.len + value.len;
}

static void mem_put(struct engine_batch *batch, enum engine_family family, struct bytes key,
                    struct bytes value)
{
    add_row(&batch->rows, ROW_PUT, family, key, value);
}

static void mem_del(struct engine_batch *batch, enum engine_family family, struct bytes key)
{
    add_row(&batch->rows, ROW_DELETE, family, key, (struct bytes){ 0 });
}

static size_t mem_batch_bytes(const struct engine_batch *batch)
{
    return batch->rows.len;
}

/* Applies the rows of a batch. They are ours, or passed their check; lengths are looked at all the same. */
static err_t apply_rows(struct engine *engine, struct bytes rows, uint64_t n)
{
    while (rows.len > 0) {
        uint32_t key_len, value_len;
        if (rows.len < ROW)
            return ERR_CORRUPTION;
        memcpy(&key_len, rows.data + 2, 4);
        memcpy(&value_len, rows.data + 6, 4);
        uint64_t whole = (uint64_t)ROW + key_len + value_len;
        uint8_t kind = rows.data[0], family = rows.data[1];
        if (whole > rows.len || family >= ENGINE_FAMILIES || kind < ROW_PUT || kind > ROW_DELETE)
            return ERR_CORRUPTION;
        struct bytes key = bytes_from(rows.data + ROW, key_len);
        struct bytes value = bytes_from(rows.data + ROW + key_len, value_len);
        err_t rc = mem_rows_set(engine->rows, (enum engine_family)family, key,
                                kind == ROW_PUT ? &value : NULL, n);
        if (rc != ERR_OK)
            return rc;
        rows = bytes_from(rows.data + whole, rows.len - whole);
    }
    return ERR_OK;
}

/* ---- The file ------------------------------------------------------------------------------------------------ */

static uint64_t frame_check(const uint64_t head[3], struct bytes body)
{
    return crc32c(crc32c(0, bytes_from(head, 2 * sizeof head[0])), body);
}

static err_t frame_append(struct buf *out, uint64_t n, struct bytes body)
{
    uint64_t head[3] = { body.len, n, 0 };
    head[2] = frame_check(head, body);
    if (buf_reserve(out, FRAME + body.len) == NULL)
        return ERR_NOMEM;
    err_t rc = buf_append(out, bytes_from(head, sizeof head));
    return rc == ERR_OK ? buf_append(out, body) : rc;
}

/* Writes what is pending, up to `bytes` of it, without a sync. */
static err_t write_out(struct engine *engine, size_t bytes, struct err *e)
{
    if (bytes == 0)
        return ERR_OK;
    struct bytes all = bytes_from(engine->pending.data, bytes);
    err_t rc = env_file_write(engine->file, engine->file_end, &all, 1, e);
    if (rc != ERR_OK)
        return rc;
    engine->file_end += bytes;
    memmove(engine->pending.data, engine->pending.data + bytes, engine->pending.len - bytes);
    engine->pending.len -= bytes;
    return ERR_OK;
}

/* Puts one batch with all live rows in the place of the file. Called right after a cut. */
static err_t rewrite(struct engine *engine, struct err *e)
{
    struct buf rows = { 0 }, content = { 0 };
    env_lock_enter(engine->lock); /* closing iterators prune */
    for (unsigned family = 0; family < ENGINE_FAMILIES; family++) {
        struct bytes key = { 0 }, value;
        bool behind = false;
        while (mem_rows_seek(engine->rows, (enum engine_family)family, key, behind, engine->last,
                             &key, &value)) {
            add_row(&rows, ROW_PUT, (enum engine_family)family, key, value);
            behind = true;
        }
    }
    env_lock_leave(engine->lock);
    err_t rc = buf_append(&content, bytes_from(magic, sizeof magic));
    if (rc == ERR_OK)
        rc = frame_append(&content, engine->last, buf_bytes(&rows));
    buf_free(&rows);
    if (rc == ERR_OK)
        rc = env_write_file(engine->env, (const char *)engine->path.data, buf_bytes(&content), e);
    if (rc == ERR_OK) {
        env_file_close(engine->file);
        engine->file = NULL;
        rc = env_file_open(engine->env, (const char *)engine->path.data,
                           ENV_OPEN_READ | ENV_OPEN_WRITE, &engine->file, e);
        engine->file_end = engine->next_end = content.len;
    }
    buf_free(&content);
    return rc;
}

/* Makes everything written so far durable. */
static err_t cut(struct engine *engine, struct err *e)
{
    err_t rc = write_out(engine, engine->pending.len, e);
    if (rc == ERR_OK)
        rc = env_file_sync(engine->file, e);
    if (rc != ERR_OK)
        return rc;
    buf_clear(&engine->ends);
    engine->uncut = 0;
    env_lock_enter(engine->lock);
    engine->durable = engine->last;
    prune(engine);
    env_lock_leave(engine->lock);
    if (engine->file_end > FILE_MAX_GROWTH * (mem_rows_bytes(engine->rows) + engine->cut_bytes))
        return rewrite(engine, e);
    return ERR_OK;
}

static err_t mem_write(struct engine *engine, struct engine_batch *batch, uint64_t n, struct err *e)
{
    assert(n == engine->last + 1);
    uint8_t number[8];
    engine_tick_encode(n, number);
    add_row(&batch->rows, ROW_PUT, ENGINE_TICK, engine_tick_key(), bytes_from(number, 8));
    size_t was = engine->pending.len;
    err_t rc = frame_append(&engine->pending, n, buf_bytes(&batch->rows));
    if (rc != ERR_OK)
        return err_set(e, rc, "no memory for batch %llu", (unsigned long long)n);
    engine->next_end += engine->pending.len - was;
    engine->uncut += engine->pending.len - was;
    rc = buf_append(&engine->ends, bytes_from(&engine->next_end, sizeof engine->next_end));
    env_lock_enter(engine->lock);
    if (rc == ERR_OK)
        rc = apply_rows(engine, buf_bytes(&batch->rows), n);
    if (rc == ERR_OK)
        engine->last = n;
    env_lock_leave(engine->lock);
    if (rc != ERR_OK)
        return err_set(e, rc, "could not apply batch %llu", (unsigned long long)n);
    if (engine->held)
        return ERR_OK;
    if (engine->uncut >= engine->cut_bytes)
        return cut(engine, e);
    if (engine->uncut >= engine->cut_bytes / 2)
        return write_out(engine, engine->pending.len, e);
    return ERR_OK;
}

/* Applies every whole batch of `content`, in order; `*end` is where they end. */
static err_t load_batches(struct engine *engine, struct bytes content, uint64_t *end)
{
    size_t at = sizeof magic;
    while (content.len - at >= FRAME) {
        uint64_t head[3];
        memcpy(head, content.data + at, sizeof head);
        if (head[0] > content.len - at - FRAME)
            break;
        struct bytes body = bytes_from(content.data + at + FRAME, head[0]);
        bool first = at == sizeof magic;
        if (head[2] != frame_check(head, body) || (!first && head[1] != engine->last + 1))
            break;
        err_t rc = apply_rows(engine, body, head[1]);
        if (rc != ERR_OK)
            return rc;
        engine->last = head[1];
        at += FRAME + head[0];
    }
    *end = at;
    return ERR_OK;
}

static err_t load(struct engine *engine, struct err *e)
{
    const char *path = (const char *)engine->path.data;
    struct buf content = { 0 };
    uint64_t end = 0;
    err_t rc = env_read_file(engine->env, path, SIZE_MAX, &content, e);
    if (rc != ERR_OK)
        return rc;
    if (content.len < sizeof magic || memcmp(content.data, magic, sizeof magic) != 0)
        rc = err_set(e, ERR_CORRUPTION, "\"%s\" is no file of the memory engine", path);
    else if ((rc = load_batches(engine, buf_bytes(&content), &end)) != ERR_OK)
        (void)err_set(e, rc, "\"%s\": a batch behind %llu is malformed", path,
                      (unsigned long long)engine->last);
    buf_free(&content);
    if (rc == ERR_OK)
        rc = env_file_open(engine->env, path, ENV_OPEN_READ | ENV_OPEN_WRITE, &engine->file, e);
    if (rc == ERR_OK)
        rc = env_file_truncate(engine->file, end, e);
    if (rc == ERR_OK) /* a crash of the process alone leaves what was written and not synced */
        rc = env_file_sync(engine->file, e);
    if (rc != ERR_OK)
        return rc;
    engine->file_end = engine->next_end = end;
    engine->durable = engine->last;
    prune(engine);
    mem_rows_cool(engine->rows);
    return ERR_OK;
}

/* ---- Open and close ------------------------------------------------------------------------------------------ */

static void mem_close(struct engine *engine)
{
    if (engine == NULL)
        return;
    assert(engine->readers == NULL);
    mem_rows_free(engine->rows);
    env_file_close(engine->file);
    env_lock_free(engine->lock);
    buf_free(&engine->path);
    buf_free(&engine->pending);
    buf_free(&engine->ends);
    free(engine);
}

static err_t mem_open(struct env *env, const struct engine_config *config, struct engine **ret,
                      struct err *e)
{
    bool found;
    err_t rc = engine_find_current(env, config, &found, e);
    if (rc != ERR_OK)
        return rc;
    struct engine *engine = must(calloc(1, sizeof *engine));
    engine->env = env;
    engine->rows = mem_rows_new();
    engine->cut_bytes = config->memtable_bytes != 0 ? config->memtable_bytes : CUT_BYTES;
    rc = buf_printf(&engine->path, "%s/CURRENT", config->path);
    if (rc == ERR_OK)
        rc = buf_append(&engine->path, bytes_from("", 1));
    if (rc == ERR_OK)
        rc = env_lock_new(env, &engine->lock, e);
    if (rc == ERR_OK && !found) {
        rc = env_mkdir(env, config->path, e);
        if (rc == ERR_OK || rc == ERR_ALREADY_EXISTS)
            rc = env_write_file(env, (const char *)engine->path.data,
                                bytes_from(magic, sizeof magic), e);
    }
    if (rc == ERR_OK)
        rc = load(engine, e);
    if (rc != ERR_OK) {
        mem_close(engine);
        return err_wrap(e, rc, "could not open the memory engine at \"%s\"", config->path);
    }
    *ret = engine;
    return ERR_OK;
}

void engine_mem_hold(struct engine *engine, bool hold)
{
    engine->held = hold;
}

err_t engine_mem_crash(struct engine *engine, uint64_t keep, struct err *e)
{
    assert(keep >= engine->durable && keep <= engine->last);
    const uint64_t *ends = (const uint64_t *)(const void *)engine->ends.data;
    uint64_t end = engine->next_end - engine->uncut; /* of the durable part */
    if (keep > engine->durable)
        end = ends[keep - engine->durable - 1];
    err_t rc = ERR_OK;
    if (end > engine->file_end)
        rc = write_out(engine, end - engine->file_end, e);
    if (rc == ERR_OK)
        rc = env_file_truncate(engine->file, end, e);
    if (rc == ERR_OK)
        rc = env_file_sync(engine->file, e);
    mem_close(engine);
    return rc;
}

/* ---- Reading ------------------------------------------------------------------------------------------------- */

static err_t mem_last(struct engine *engine, uint64_t *n, struct err *e)
{
    (void)e;
    env_lock_enter(engine->lock);
    *n = engine->last;
    env_lock_leave(engine->lock);
    return ERR_OK;
}

static err_t mem_durable(struct engine *engine, uint64_t *n, struct err *e)
{
    (void)e;
    env_lock_enter(engine->lock);
    *n = engine->durable;
    env_lock_leave(engine->lock);
    return ERR_OK;
}

static err_t mem_force(struct engine *engine, struct err *e)
{
    return engine->durable == engine->last ? ERR_OK : cut(engine, e);
}

static err_t get_at(struct engine *engine, enum engine_family family, struct bytes key,
                    bool durable, bool cached_only, struct buf *ret, struct err *e)
{
    static const err_t answers[] = { [MEM_ROWS_ABSENT] = ERR_NOT_FOUND,
                                     [MEM_ROWS_COLD] = ERR_UNAVAILABLE,
                                     [MEM_ROWS_FOUND] = ERR_OK };
    struct bytes value;
    env_lock_enter(engine->lock);
    uint64_t as_of = durable ? engine->durable : engine->last;
    err_t rc = answers[mem_rows_get(engine->rows, family, key, as_of, cached_only, &value)];
    if (rc == ERR_OK)
        rc = buf_append(ret, value);
    env_lock_leave(engine->lock);
    return rc == ERR_NOMEM ? err_set(e, rc, "no memory for a value") : rc;
}

static err_t mem_get(struct engine *engine, enum engine_family family, struct bytes key,
                     bool cached_only, struct buf *ret, struct err *e)
{
    return get_at(engine, family, key, false, cached_only, ret, e);
}

static err_t mem_get_durable(struct engine *engine, enum engine_family family, struct bytes key,
                             struct buf *ret, struct err *e)
{
    return get_at(engine, family, key, true, false, ret, e);
}

static void iter_free(struct engine_iter *iter)
{
    buf_free(&iter->from);
    buf_free(&iter->end);
    buf_free(&iter->key);
    buf_free(&iter->value);
    free(iter);
}

static err_t mem_scan(struct engine *engine, enum engine_family family, struct bytes start,
                      struct bytes end, struct engine_iter **ret, struct err *e)
{
    struct engine_iter *iter = must(calloc(1, sizeof *iter));
    iter->engine = engine;
    iter->family = family;
    iter->bounded = end.data != NULL;
    err_t rc = buf_append(&iter->from, start);
    if (rc == ERR_OK)
        rc = buf_append(&iter->end, end);
    if (rc != ERR_OK) {
        iter_free(iter);
        return err_set(e, rc, "no memory for a scan");
    }
    env_lock_enter(engine->lock);
    iter->as_of = engine->last;
    iter->next = engine->readers;
    if (iter->next != NULL)
        iter->next->prev = iter;
    engine->readers = iter;
    env_lock_leave(engine->lock);
    *ret = iter;
    return ERR_OK;
}

/* Copies the next row into the iterator. False: the end, or no memory. */
static bool step(struct engine_iter *iter)
{
    struct bytes from = buf_bytes(iter->begun ? &iter->key : &iter->from), key, value;
    if (!mem_rows_seek(iter->engine->rows, iter->family, from, iter->begun, iter->as_of, &key,
                       &value))
        return false;
    if (iter->bounded && bytes_compare(key, buf_bytes(&iter->end)) >= 0)
        return false;
    iter->begun = true;
    buf_clear(&iter->key);
    buf_clear(&iter->value);
    iter->rc = buf_append(&iter->key, key);
    if (iter->rc == ERR_OK)
        iter->rc = buf_append(&iter->value, value);
    return iter->rc == ERR_OK;
}

static bool mem_iter_next(struct engine_iter *iter, struct bytes *key, struct bytes *value)
{
    if (iter->ended)
        return false;
    env_lock_enter(iter->engine->lock);
    iter->ended = !step(iter);
    env_lock_leave(iter->engine->lock);
    if (iter->ended)
        return false;
    *key = buf_bytes(&iter->key);
    *value = buf_bytes(&iter->value);
    return true;
}

static err_t mem_iter_error(struct engine_iter *iter, struct err *e)
{
    iter->asked = true;
    return iter->rc == ERR_OK ? ERR_OK : err_set(e, iter->rc, "a scan ended early");
}

static void mem_iter_close(struct engine_iter *iter)
{
    if (iter == NULL)
        return;
    assert(!iter->ended || iter->asked);
    struct engine *engine = iter->engine;
    env_lock_enter(engine->lock);
    if (iter->prev != NULL)
        iter->prev->next = iter->next;
    else
        engine->readers = iter->next;
    if (iter->next != NULL)
        iter->next->prev = iter->prev;
    if (iter->as_of < engine->last)
        prune(engine);
    env_lock_leave(engine->lock);
    iter_free(iter);
}

static void mem_stats(struct engine *engine, struct engine_stats *ret)
{
    *ret = (struct engine_stats){ 0 };
    env_lock_enter(engine->lock);
    ret->approximate_bytes = mem_rows_bytes(engine->rows);
    ret->memtable_bytes = mem_rows_bytes(engine->rows);
    env_lock_leave(engine->lock);
}

const struct engine_ops engine_mem = {
    .name = "mem",
    .open = mem_open,
    .close = mem_close,
    .batch_new = mem_batch_new,
    .batch_free = mem_batch_free,
    .batch_clear = mem_batch_clear,
    .put = mem_put,
    .del = mem_del,
    .batch_bytes = mem_batch_bytes,
    .write = mem_write,
    .last = mem_last,
    .durable = mem_durable,
    .force = mem_force,
    .get = mem_get,
    .get_durable = mem_get_durable,
    .scan = mem_scan,
    .iter_next = mem_iter_next,
    .iter_error = mem_iter_error,
    .iter_close = mem_iter_close,
    .stats = mem_stats,
};
