/* The engine contract kept by RocksDB 7.8 through its C API. The one home of rocksdb/c.h.
 *
 *   batch n  { rows of any family, tick: "n" = n } --write, own log off--> memtables of all families
 *                                                                              | automatic flush: all families
 *   durable() = persisted-tier get of tick: "n"  <-- manifest <-- SST files <--+ at one cut, in the write thread
 *
 * 1. RocksDB's own log is off in every write: the store's log is the only one.
 * 2. atomic_flush, and automatic flushes alone. What else flushes (flush_cf, checkpoint, compact_range, close) chooses
 *    its families before it waits for the writer and can tear a batch across them: none of it is called, and close is
 *    told not to flush (avoid_flush_during_shutdown).
 * 3. There is no flush listener in the C API, so each batch leaves its number in `tick`. To ask for a flush, `tick` is
 *    filled until its write buffer is full.
 * 4. No retries below us: a background error stays one (max_bgerror_resume_count=0), durable() reports it.
 * 5. Nothing is written to RocksDB's text log: see options_new().
 * 6. Handles of families are destroyed before close: Debian's build has RocksDB's asserts compiled in. */
#include "storage/engine.h"

#include <assert.h>
#include <rocksdb/c.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine_int.h"

enum {
    MEMTABLE_BYTES = 16 << 20, /* of one family: larger ones miss the CPU's cache */
    TICK_BYTES = 1 << 20,      /* write buffer of tick: see struct all_options */
    FILL_BYTES = TICK_BYTES + TICK_BYTES / 4,
    BLOCK_BYTES = 16 << 10,
    BLOOM_BITS = 10,
    JOBS_MIN = 3, /* with fewer, a long compaction can keep a flush waiting */
    LEVELS = 7,
    LOG_FATAL = 4, /* rocksdb::InfoLogLevel: see options_new() */
};
static const uint64_t memtables_default = 64 << 20, cache_default = 64 << 20;
static const uint64_t force_limit_ns = 60000000000u, force_poll_ns = 1000000u;
enum read_tier { TIER_ALL = 0, TIER_CACHED = 1, TIER_PERSISTED = 2 }; /* rocksdb::ReadTier */

/* What the C API has no setter for. */
static const char more_options[] = "avoid_flush_during_shutdown=true;"
                                   "max_bgerror_resume_count=0;"
                                   "verify_sst_unique_id_in_manifest=true;"
                                   "force_consistency_checks=true;"
                                   "memtable_whole_key_filtering=true";

struct engine {
    struct env *env;
    struct env_lock *lock; /* to wait on, in force() */
    rocksdb_t *db;
    rocksdb_column_family_handle_t *
        *handles; /* ours, in the order of enum engine_family, then unknown ones */
    size_t handle_count;
    rocksdb_writeoptions_t *writing, *poking;
    rocksdb_readoptions_t *reading, *cached, *persisted;
    _Atomic uint64_t last;
};

struct engine_batch {
    struct engine *engine;
    rocksdb_writebatch_t *rows;
};

struct engine_iter {
    rocksdb_iterator_t *rows;
    rocksdb_readoptions_t *reading;
    struct buf end; /* the bound that `reading` points to */
    bool empty, begun, ended, asked;
};

static void *must(void *memory)
{
    if (memory == NULL)
        abort(); /* small and fixed */
    return memory;
}

/* ---- Errors -------------------------------------------------------------------------------------------------- */

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

/* The C API tells the kind of an error in its text alone. */
static err_t error_kind(const char *text)
{
    if (begins(text, "Corruption"))
        return ERR_CORRUPTION;
    if (begins(text, "Result incomplete"))
        return ERR_UNAVAILABLE;
    if (strstr(text, "No space left on device") != NULL)
        return ERR_DISK_FULL;
    if (begins(text, "IO error: lock") || strstr(text, "/LOCK: Resource temporarily") != NULL)
        return ERR_LOCKED;
    if (begins(text, "NotFound"))
        return ERR_NOT_FOUND;
    if (begins(text, "IO error"))
        return ERR_IO;
    return ERR_INTERNAL;
}

/* Takes over RocksDB's `text`: "what: text". */
static err_t failed(struct err *e, char *text, const char *what)
{
    err_t rc = err_set(e, error_kind(text), "%s: RocksDB: %s", what, text);
    rocksdb_free(text);
    return rc;
}

/* ---- Options ------------------------------------------------------------------------------------------------- */

static void set_tables(rocksdb_options_t *options, rocksdb_cache_t *cache)
{
    rocksdb_block_based_table_options_t *table = must(rocksdb_block_based_options_create());
    rocksdb_block_based_options_set_block_cache(table, cache);
    rocksdb_block_based_options_set_block_size(table, BLOCK_BYTES);
    rocksdb_block_based_options_set_format_version(table, 5);
    rocksdb_block_based_options_set_filter_policy(
        table, rocksdb_filterpolicy_create_bloom_full(BLOOM_BITS));
    rocksdb_block_based_options_set_cache_index_and_filter_blocks(table, 1); /* one memory budget */
    rocksdb_block_based_options_set_cache_index_and_filter_blocks_with_high_priority(table, 1);
    rocksdb_block_based_options_set_pin_l0_filter_and_index_blocks_in_cache(table, 1);
    rocksdb_options_set_block_based_table_factory(options, table);
    rocksdb_block_based_options_destroy(table);
}

static rocksdb_options_t *options_new(const struct engine_config *config, bool atomic,
                                      rocksdb_cache_t *cache, struct err *e)
{
    uint64_t memtables = config->memtable_bytes != 0 ? config->memtable_bytes : memtables_default;
    uint32_t jobs = config->background_jobs > JOBS_MIN ? config->background_jobs : JOBS_MIN;
    rocksdb_options_t *base = must(rocksdb_options_create());
    rocksdb_options_set_create_if_missing(base, config->create);
    rocksdb_options_set_create_missing_column_families(base, 1);
    rocksdb_options_set_paranoid_checks(base, 1);
    rocksdb_options_set_max_open_files(base, -1); /* so each file is opened and checked at once */
    rocksdb_options_set_atomic_flush(base, atomic);
    rocksdb_options_set_allow_concurrent_memtable_write(base, 0); /* one writer */
    rocksdb_options_set_max_background_jobs(base, (int)jobs);
    rocksdb_options_set_db_write_buffer_size(base, memtables);
    rocksdb_options_set_write_buffer_size(base,
                                          memtables < MEMTABLE_BYTES ? memtables : MEMTABLE_BYTES);
    rocksdb_options_set_max_write_buffer_number(base, 4);
    rocksdb_options_set_level_compaction_dynamic_level_bytes(base, 1);
    /* as large as level 0 gets */
    rocksdb_options_set_max_bytes_for_level_base(base, 4 * MEMTABLE_BYTES);
    rocksdb_options_set_compression(base, rocksdb_lz4_compression);
    rocksdb_options_set_bottommost_compression(base, rocksdb_zstd_compression);
    rocksdb_options_set_bytes_per_sync(base, 1 << 20); /* no long sync for the log to wait behind */
    rocksdb_options_set_stats_dump_period_sec(base, 0);
    /* Debian's asserts abort the process at the write after a failed one, the text log's writes included: on a disk
     * that fails or is full we would die without having left our mark. So nothing but its heading is ever logged. */
    rocksdb_options_set_info_log_level(base, LOG_FATAL);
    rocksdb_options_set_keep_log_file_num(base, 2);
    set_tables(base, cache);
    rocksdb_options_t *options = must(rocksdb_options_create());
    char *text = NULL;
    rocksdb_get_options_from_string(base, more_options, options, &text);
    rocksdb_options_destroy(base);
    if (text == NULL)
        return options;
    rocksdb_options_destroy(options);
    (void)failed(e, text, "options");
    return NULL;
}

/* By kind of family. */
struct all_options {
    rocksdb_options_t *plain;
    /* Each batch leaves some 40 bytes in `tick`, and a full write buffer flushes every family. 1 MiB is little
     * enough for force() to fill; at 64 KiB two thousand small batches would end in seven tiny files. */
    rocksdb_options_t *tick;
    /* `cas` and its tombstones in `meta` are read before they are written, mostly for keys that no memtable has: a
     * bloom filter saves a search in each (15 % of a CAS's CPU). Raw puts would pay 10 % and have nothing of it. */
    rocksdb_options_t *read_first;
};

static err_t all_options_init(struct all_options *all, const struct engine_config *config,
                              bool atomic, struct err *e)
{
    uint64_t cache_bytes =
        config->block_cache_bytes != 0 ? config->block_cache_bytes : cache_default;
    rocksdb_cache_t *cache = must(rocksdb_cache_create_lru(cache_bytes));
    *all = (struct all_options){ .plain = options_new(config, atomic, cache, e) };
    rocksdb_cache_destroy(cache); /* the options share it */
    if (all->plain == NULL)
        return ERR_INTERNAL;
    all->tick = must(rocksdb_options_create_copy(all->plain));
    rocksdb_options_set_write_buffer_size(all->tick, TICK_BYTES);
    all->read_first = must(rocksdb_options_create_copy(all->plain));
    rocksdb_options_set_memtable_prefix_bloom_size_ratio(all->read_first, 0.02);
    return ERR_OK;
}

static void all_options_free(struct all_options *all)
{
    rocksdb_options_destroy(all->plain);
    rocksdb_options_destroy(all->tick);
    rocksdb_options_destroy(all->read_first);
}

static const rocksdb_options_t *options_of(const struct all_options *all, enum engine_family family)
{
    if (family == ENGINE_TICK)
        return all->tick;
    return family == ENGINE_CAS || family == ENGINE_META ? all->read_first : all->plain;
}

/* ---- Families: ours first, then those we do not know and keep -------------------------------------------------- */

struct families {
    const char **names;
    const rocksdb_options_t **options;
    rocksdb_column_family_handle_t **handles;
    size_t count;
    char **listed;
    size_t listed_count;
};

static bool is_ours(const char *name)
{
    for (unsigned family = 0; family < ENGINE_FAMILIES; family++)
        if (strcmp(name, engine_family_name((enum engine_family)family)) == 0)
            return true;
    return false;
}

static void add_family(struct families *families, const char *name,
                       const rocksdb_options_t *options)
{
    families->names[families->count] = name;
    families->options[families->count] = options;
    families->count++;
}

static err_t families_init(struct families *families, const char *path, bool found,
                           const struct all_options *all, const struct engine_rocks_shape *shape,
                           struct err *e)
{
    *families = (struct families){ 0 };
    if (found) {
        char *text = NULL;
        families->listed =
            rocksdb_list_column_families(all->plain, path, &families->listed_count, &text);
        if (text != NULL) {
            families->listed = NULL;
            return failed(e, text, "could not list the families");
        }
    }
    size_t most = ENGINE_FAMILIES + families->listed_count + 1;
    families->names = must(calloc(most, sizeof *families->names));
    families->options = must(calloc(most, sizeof *families->options));
    families->handles = must(calloc(most, sizeof *families->handles));
    for (unsigned family = 0; family < ENGINE_FAMILIES - (shape->without_tick ? 1 : 0); family++)
        add_family(families, engine_family_name((enum engine_family)family),
                   options_of(all, (enum engine_family)family));
    for (size_t i = 0; i < families->listed_count; i++)
        if (!is_ours(families->listed[i]))
            add_family(families, families->listed[i], all->plain);
    if (shape->extra_family != NULL)
        add_family(families, shape->extra_family, all->plain);
    return ERR_OK;
}

static void families_free(struct families *families)
{
    if (families->listed != NULL)
        rocksdb_list_column_families_destroy(families->listed, families->listed_count);
    free(families->names);
    free(families->options);
    free(families->handles);
}

/* ---- Open and close ------------------------------------------------------------------------------------------ */

static void rocks_close(struct engine *engine)
{
    if (engine == NULL)
        return;
    for (size_t i = 0; i < engine->handle_count; i++)
        rocksdb_column_family_handle_destroy(engine->handles[i]);
    free(engine->handles);
    if (engine->db != NULL)
        rocksdb_close(engine->db);
    rocksdb_readoptions_destroy(engine->persisted);
    rocksdb_readoptions_destroy(engine->cached);
    rocksdb_readoptions_destroy(engine->reading);
    rocksdb_writeoptions_destroy(engine->poking);
    rocksdb_writeoptions_destroy(engine->writing);
    env_lock_free(engine->lock);
    free(engine);
}

static struct engine *engine_new(struct env *env)
{
    struct engine *engine = must(calloc(1, sizeof *engine));
    engine->env = env;
    engine->writing = must(rocksdb_writeoptions_create());
    rocksdb_writeoptions_disable_WAL(engine->writing, 1);
    engine->poking = must(rocksdb_writeoptions_create());
    rocksdb_writeoptions_disable_WAL(engine->poking, 1);
    rocksdb_writeoptions_set_no_slowdown(engine->poking, 1);
    engine->reading = must(rocksdb_readoptions_create());
    engine->cached = must(rocksdb_readoptions_create());
    rocksdb_readoptions_set_read_tier(engine->cached, TIER_CACHED);
    engine->persisted = must(rocksdb_readoptions_create());
    rocksdb_readoptions_set_read_tier(engine->persisted, TIER_PERSISTED);
    return engine;
}

/* Opens RocksDB with all its families. */
static err_t open_db(struct engine *engine, const struct engine_config *config, bool found,
                     const struct engine_rocks_shape *shape, struct err *e)
{
    struct all_options all;
    err_t rc = all_options_init(&all, config, !shape->torn, e);
    if (rc != ERR_OK)
        return rc;
    struct families families;
    rc = families_init(&families, config->path, found, &all, shape, e);
    if (rc == ERR_OK) {
        char *text = NULL;
        engine->db =
            rocksdb_open_column_families(all.plain, config->path, (int)families.count,
                                         families.names, families.options, families.handles, &text);
        if (text != NULL) {
            engine->db = NULL;
            rc = failed(e, text, "could not open the database");
        } else {
            engine->handles = families.handles;
            engine->handle_count = families.count;
            families.handles = NULL;
        }
    }
    families_free(&families);
    all_options_free(&all);
    return rc;
}

static err_t tick_get(struct engine *engine, const rocksdb_readoptions_t *reading, uint64_t *n,
                      struct err *e)
{
    struct bytes key = engine_tick_key();
    char *text = NULL;
    rocksdb_pinnableslice_t *slice = rocksdb_get_pinned_cf(
        engine->db, reading, engine->handles[ENGINE_TICK], (const char *)key.data, key.len, &text);
    if (text != NULL)
        return failed(e, text, "could not read the number of the last batch");
    *n = 0;
    if (slice == NULL)
        return ERR_OK;
    size_t len;
    const char *value = rocksdb_pinnableslice_value(slice, &len);
    err_t rc = ERR_OK;
    if (len == 8)
        *n = engine_tick_decode((const uint8_t *)value);
    else
        rc = err_set(e, ERR_CORRUPTION, "the number of the last batch has %zu bytes, not 8", len);
    rocksdb_pinnableslice_destroy(slice);
    return rc;
}

err_t engine_rocks_open_shape(struct env *env, const struct engine_config *config,
                              const struct engine_rocks_shape *shape, struct engine **ret,
                              struct err *e)
{
    bool found;
    err_t rc = engine_find_current(env, config, &found, e);
    if (rc != ERR_OK)
        return rc;
    if (!found) { /* RocksDB would make it readable for everybody */
        rc = env_mkdir(env, config->path, e);
        if (rc != ERR_OK && rc != ERR_ALREADY_EXISTS)
            return rc;
    }
    struct engine *engine = engine_new(env);
    uint64_t last = 0;
    rc = env_lock_new(env, &engine->lock, e);
    if (rc == ERR_OK)
        rc = open_db(engine, config, found, shape, e);
    if (rc == ERR_OK && !shape->without_tick)
        rc = tick_get(engine, engine->reading, &last, e);
    if (rc != ERR_OK) {
        rocks_close(engine);
        return err_wrap(e, rc, "could not open the engine at \"%s\"", config->path);
    }
    atomic_store(&engine->last, last);
    *ret = engine;
    return ERR_OK;
}

static err_t rocks_open(struct env *env, const struct engine_config *config, struct engine **ret,
                        struct err *e)
{
    return engine_rocks_open_shape(env, config, &(struct engine_rocks_shape){ 0 }, ret, e);
}

/* ---- Writing ------------------------------------------------------------------------------------------------- */

static struct engine_batch *rocks_batch_new(struct engine *engine)
{
    struct engine_batch *batch = must(malloc(sizeof *batch));
    *batch = (struct engine_batch){ .engine = engine, .rows = must(rocksdb_writebatch_create()) };
    return batch;
}

static void rocks_batch_free(struct engine_batch *batch)
{
    if (batch != NULL)
        rocksdb_writebatch_destroy(batch->rows);
    free(batch);
}

static void rocks_batch_clear(struct engine_batch *batch)
{
    rocksdb_writebatch_clear(batch->rows);
}

static void rocks_put(struct engine_batch *batch, enum engine_family family, struct bytes key,
                      struct bytes value)
{
    assert((unsigned)family < ENGINE_FAMILIES);
    rocksdb_writebatch_put_cf(batch->rows, batch->engine->handles[family], (const char *)key.data,
                              key.len, (const char *)value.data, value.len);
}

static void rocks_del(struct engine_batch *batch, enum engine_family family, struct bytes key)
{
    assert((unsigned)family < ENGINE_FAMILIES);
    rocksdb_writebatch_delete_cf(batch->rows, batch->engine->handles[family],
                                 (const char *)key.data, key.len);
}

static size_t rocks_batch_bytes(const struct engine_batch *batch)
{
    size_t size;
    (void)rocksdb_writebatch_data(batch->rows, &size);
    return size;
}

static err_t rocks_write(struct engine *engine, struct engine_batch *batch, uint64_t n,
                         struct err *e)
{
    assert(n == atomic_load_explicit(&engine->last, memory_order_relaxed) + 1);
    uint8_t number[8];
    engine_tick_encode(n, number);
    rocks_put(batch, ENGINE_TICK, engine_tick_key(), bytes_from(number, sizeof number));
    char *text = NULL;
    rocksdb_write(engine->db, engine->writing, batch->rows, &text);
    if (text != NULL)
        return failed(e, text, "could not apply a batch");
    atomic_store_explicit(&engine->last, n, memory_order_release);
    return ERR_OK;
}

static err_t rocks_last(struct engine *engine, uint64_t *n, struct err *e)
{
    (void)e;
    *n = atomic_load_explicit(&engine->last, memory_order_acquire);
    return ERR_OK;
}

static uint64_t property(struct engine *engine, const char *name)
{
    uint64_t value = 0;
    return rocksdb_property_int(engine->db, name, &value) == 0 ? value : 0;
}

static err_t rocks_durable(struct engine *engine, uint64_t *n, struct err *e)
{
    uint64_t errors = property(engine, "rocksdb.background-errors");
    if (errors != 0)
        return err_set(e, ERR_IO,
                       "RocksDB could not flush or compact (%llu times): the disk fails or is full",
                       (unsigned long long)errors);
    return tick_get(engine, engine->persisted, n, e);
}

/* Writes one row of `tick` past the numbering; a stalled engine answers at once and is asked again later. */
static err_t poke(struct engine *engine, struct bytes key, struct bytes value, struct err *e)
{
    char *text = NULL;
    rocksdb_put_cf(engine->db, engine->poking, engine->handles[ENGINE_TICK], (const char *)key.data,
                   key.len, (const char *)value.data, value.len, &text);
    if (text == NULL)
        return ERR_OK;
    err_t rc = failed(e, text, "could not ask for a flush");
    return rc == ERR_UNAVAILABLE ? ERR_OK : rc;
}

static void pause_for(struct engine *engine, uint64_t ns)
{
    env_lock_enter(engine->lock);
    (void)env_lock_wait(engine->lock, ns);
    env_lock_leave(engine->lock);
}

/* A full memtable is only noted by the write that fills it; the next write starts the flush, hence the small rows. */
static err_t flush_until(struct engine *engine, uint64_t want, struct bytes fill, struct err *e)
{
    uint64_t begun = env_now(engine->env), asked = 0, durable = 0, seen = 0;
    for (;;) {
        err_t rc = rocks_durable(engine, &durable, e);
        if (rc != ERR_OK || durable >= want)
            return rc;
        uint64_t now = env_now(engine->env);
        if (durable != seen) {
            seen = durable;
            begun = now;
        }
        if (now - begun > force_limit_ns)
            return err_set(
                e, ERR_DEADLINE_EXCEEDED,
                "batch %llu is not durable after %llu s (durable: %llu, running flushes: "
                "%llu): the disk is too slow or hangs",
                (unsigned long long)want, (unsigned long long)(force_limit_ns / 1000000000u),
                (unsigned long long)durable,
                (unsigned long long)property(engine, "rocksdb.num-running-flushes"));
        bool fill_again = asked == 0 || now - asked > 1000000000u;
        if (fill_again)
            asked = now;
        rc = poke(engine, bytes_from("fill", 4), fill_again ? fill : (struct bytes){ 0 }, e);
        if (rc == ERR_OK && fill_again)
            rc = poke(engine, bytes_from("fill", 4), (struct bytes){ 0 }, e);
        if (rc != ERR_OK)
            return rc;
        pause_for(engine, force_poll_ns);
    }
}

static err_t rocks_force(struct engine *engine, struct err *e)
{
    uint64_t durable, want = atomic_load(&engine->last);
    err_t rc = rocks_durable(engine, &durable, e);
    if (rc != ERR_OK || durable >= want)
        return rc;
    uint8_t *fill = calloc(1, FILL_BYTES);
    if (fill == NULL)
        return err_set(e, ERR_NOMEM, "no memory to ask for a flush");
    rc = flush_until(engine, want, bytes_from(fill, FILL_BYTES), e);
    free(fill);
    return rc;
}

/* ---- Reading ------------------------------------------------------------------------------------------------- */

static err_t get_at(struct engine *engine, const rocksdb_readoptions_t *reading,
                    enum engine_family family, struct bytes key, struct buf *ret, struct err *e)
{
    assert((unsigned)family < ENGINE_FAMILIES);
    char *text = NULL;
    rocksdb_pinnableslice_t *slice = rocksdb_get_pinned_cf(
        engine->db, reading, engine->handles[family], (const char *)key.data, key.len, &text);
    if (text != NULL)
        return failed(e, text, "could not read a key");
    if (slice == NULL)
        return ERR_NOT_FOUND;
    size_t len;
    const char *value = rocksdb_pinnableslice_value(slice, &len);
    err_t rc = buf_append(ret, bytes_from(value, len));
    rocksdb_pinnableslice_destroy(slice);
    return rc == ERR_OK ? ERR_OK : err_set(e, rc, "no memory for a value of %zu bytes", len);
}

static err_t rocks_get(struct engine *engine, enum engine_family family, struct bytes key,
                       bool cached_only, struct buf *ret, struct err *e)
{
    return get_at(engine, cached_only ? engine->cached : engine->reading, family, key, ret, e);
}

static err_t rocks_get_durable(struct engine *engine, enum engine_family family, struct bytes key,
                               struct buf *ret, struct err *e)
{
    return get_at(engine, engine->persisted, family, key, ret, e);
}

static err_t rocks_scan(struct engine *engine, enum engine_family family, struct bytes start,
                        struct bytes end, struct engine_iter **ret, struct err *e)
{
    assert((unsigned)family < ENGINE_FAMILIES);
    struct engine_iter *iter = must(calloc(1, sizeof *iter));
    if (buf_append(&iter->end, end) != ERR_OK) {
        free(iter);
        return err_set(e, ERR_NOMEM, "no memory for a scan");
    }
    iter->empty = end.data != NULL && end.len == 0;
    iter->reading = must(rocksdb_readoptions_create());
    rocksdb_readoptions_set_background_purge_on_iterator_cleanup(iter->reading, 1);
    if (iter->end.len > 0)
        rocksdb_readoptions_set_iterate_upper_bound(iter->reading, (const char *)iter->end.data,
                                                    iter->end.len);
    iter->rows = rocksdb_create_iterator_cf(engine->db, iter->reading, engine->handles[family]);
    rocksdb_iter_seek(iter->rows, (const char *)start.data, start.len);
    *ret = iter;
    return ERR_OK;
}

static bool rocks_iter_next(struct engine_iter *iter, struct bytes *key, struct bytes *value)
{
    if (iter->ended)
        return false;
    if (iter->begun)
        rocksdb_iter_next(iter->rows);
    iter->begun = true;
    if (iter->empty || !rocksdb_iter_valid(iter->rows)) {
        iter->ended = true;
        return false;
    }
    size_t len;
    const char *data = rocksdb_iter_key(iter->rows, &len);
    *key = bytes_from(data, len);
    data = rocksdb_iter_value(iter->rows, &len);
    *value = bytes_from(data, len);
    return true;
}

static err_t rocks_iter_error(struct engine_iter *iter, struct err *e)
{
    char *text = NULL;
    iter->asked = true;
    rocksdb_iter_get_error(iter->rows, &text);
    return text == NULL ? ERR_OK : failed(e, text, "a scan ended early");
}

static void rocks_iter_close(struct engine_iter *iter)
{
    if (iter == NULL)
        return;
    assert(!iter->ended || iter->asked); /* or a corrupt block would pass for the end */
    rocksdb_iter_destroy(iter->rows);
    rocksdb_readoptions_destroy(iter->reading);
    buf_free(&iter->end);
    free(iter);
}

/* ---- Facts --------------------------------------------------------------------------------------------------- */

static uint64_t property_all(struct engine *engine, const char *name)
{
    uint64_t sum = 0, value;
    for (size_t i = 0; i < engine->handle_count; i++)
        if (rocksdb_property_int_cf(engine->db, engine->handles[i], name, &value) == 0)
            sum += value;
    return sum;
}

static uint64_t count_files(struct engine *engine)
{
    uint64_t sum = 0;
    for (int level = 0; level < LEVELS; level++) {
        char name[64];
        snprintf(name, sizeof name, "rocksdb.num-files-at-level%d", level);
        for (size_t i = 0; i < engine->handle_count; i++) {
            char *text = rocksdb_property_value_cf(engine->db, engine->handles[i], name);
            if (text != NULL)
                sum += strtoull(text, NULL, 10);
            rocksdb_free(text);
        }
    }
    return sum;
}

static void rocks_stats(struct engine *engine, struct engine_stats *ret)
{
    *ret = (struct engine_stats){
        .memtable_bytes = property_all(engine, "rocksdb.cur-size-all-mem-tables"),
        .block_cache_bytes = property(engine, "rocksdb.block-cache-usage"),
        .sst_files = count_files(engine),
        .running_compactions = property(engine, "rocksdb.num-running-compactions"),
        .running_flushes = property(engine, "rocksdb.num-running-flushes"),
        .background_errors = property(engine, "rocksdb.background-errors"),
        .stalled = property(engine, "rocksdb.is-write-stopped") != 0 ||
                   property(engine, "rocksdb.actual-delayed-write-rate") != 0,
    };
    /* RocksDB's estimate of live data leaves out files of level 0 that overlap: most of a young store. */
    ret->approximate_bytes =
        property_all(engine, "rocksdb.live-sst-files-size") + ret->memtable_bytes;
}

const struct engine_ops engine_rocks = {
    .name = "rocks",
    .open = rocks_open,
    .close = rocks_close,
    .batch_new = rocks_batch_new,
    .batch_free = rocks_batch_free,
    .batch_clear = rocks_batch_clear,
    .put = rocks_put,
    .del = rocks_del,
    .batch_bytes = rocks_batch_bytes,
    .write = rocks_write,
    .last = rocks_last,
    .durable = rocks_durable,
    .force = rocks_force,
    .get = rocks_get,
    .get_durable = rocks_get_durable,
    .scan = rocks_scan,
    .iter_next = rocks_iter_next,
    .iter_error = rocks_iter_error,
    .iter_close = rocks_iter_close,
    .stats = rocks_stats,
};
