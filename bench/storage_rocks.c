/* Side B: bare RocksDB with its own log, synced before a write returns; options as our engine's where both have one. */
#include "storage_bench.h"

#include <pthread.h>
#include <rocksdb/c.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct bare {
    const struct bench_case *what;
    rocksdb_t *db;
    rocksdb_writeoptions_t *synced;
    rocksdb_readoptions_t *reading;
    uint64_t ends; /* when the clock stops */
    _Atomic uint64_t log_bytes;
};

struct caller {
    struct bare *bare;
    unsigned index;
    uint64_t ops;
    struct bench_samples samples;
    char *error;
    pthread_t thread;
};

static rocksdb_options_t *options_new(void)
{
    rocksdb_options_t *options = rocksdb_options_create();
    rocksdb_options_set_create_if_missing(options, 1);
    rocksdb_options_set_write_buffer_size(options, 16 << 20);
    rocksdb_options_set_db_write_buffer_size(options, 64 << 20);
    rocksdb_options_set_max_write_buffer_number(options, 4);
    rocksdb_options_set_max_background_jobs(options, 3);
    rocksdb_options_set_level_compaction_dynamic_level_bytes(options, 1);
    rocksdb_options_set_max_bytes_for_level_base(options, 64 << 20);
    rocksdb_options_set_compression(options, rocksdb_lz4_compression);
    rocksdb_options_set_bytes_per_sync(options, 1 << 20);
    rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();
    rocksdb_cache_t *cache = rocksdb_cache_create_lru(64 << 20);
    rocksdb_block_based_options_set_block_cache(table, cache);
    rocksdb_block_based_options_set_block_size(table, 16 << 10);
    rocksdb_block_based_options_set_filter_policy(table,
                                                  rocksdb_filterpolicy_create_bloom_full(10));
    rocksdb_options_set_block_based_table_factory(options, table);
    rocksdb_cache_destroy(cache);
    rocksdb_block_based_options_destroy(table);
    return options;
}

static uint64_t load_u64(const char *in)
{
    uint64_t n = 0;
    for (int i = 0; i < 8; i++)
        n = n << 8 | (uint8_t)in[i];
    return n;
}

static void store_u64(uint64_t n, uint8_t *out)
{
    for (int i = 0; i < 8; i++)
        out[i] = (uint8_t)(n >> (56 - 8 * i));
}

/* Puts one operation into the batch: for CAS, reads and compares the version before, as a caller of RocksDB would. */
static void add_one(struct bare *bare, rocksdb_writebatch_t *batch, uint32_t number,
                    uint64_t *random, char **error)
{
    uint8_t key[BENCH_KEY], record[8 + BENCH_VALUE];
    bench_key(number, key);
    bench_value(random, record + 8);
    if (bare->what->op == BENCH_PUT) {
        rocksdb_writebatch_put(batch, (char *)key, BENCH_KEY, (char *)record + 8, BENCH_VALUE);
        return;
    }
    size_t len;
    uint64_t version = 0;
    rocksdb_pinnableslice_t *slice =
        rocksdb_get_pinned(bare->db, bare->reading, (char *)key, BENCH_KEY, error);
    if (slice != NULL) {
        version = load_u64(rocksdb_pinnableslice_value(slice, &len));
        rocksdb_pinnableslice_destroy(slice);
    }
    store_u64(version + 1, record);
    rocksdb_writebatch_put(batch, (char *)key, BENCH_KEY, (char *)record, sizeof record);
}

static void *call(void *argument)
{
    struct caller *caller = argument;
    struct bare *bare = caller->bare;
    const struct bench_case *what = bare->what;
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    uint64_t random = 88172645463325252u + caller->index, now = bench_now();
    uint32_t share = BENCH_KEYS / what->threads; /* callers do not meet on keys */
    while (now < bare->ends && caller->error == NULL) {
        size_t size;
        uint32_t first = (uint32_t)(bench_random(&random) % share);
        rocksdb_writebatch_clear(batch);
        for (uint32_t i = 0; i < what->batch; i++)
            add_one(bare, batch, caller->index * share + (first + i) % share, &random,
                    &caller->error);
        (void)rocksdb_writebatch_data(batch, &size);
        if (caller->error == NULL)
            rocksdb_write(bare->db, bare->synced, batch, &caller->error);
        atomic_fetch_add(&bare->log_bytes, size);
        uint64_t then = now;
        now = bench_now();
        bench_samples_add(&caller->samples, now - then);
        caller->ops += what->batch;
    }
    rocksdb_writebatch_destroy(batch);
    return NULL;
}

static char *load(struct bare *bare)
{
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    uint64_t random = 1;
    char *error = NULL;
    for (uint32_t number = 0; number < BENCH_KEYS && error == NULL; number++) {
        add_one(bare, batch, number, &random, &error);
        if (number % BENCH_BATCH_MAX == BENCH_BATCH_MAX - 1 && error == NULL) {
            rocksdb_write(bare->db, bare->synced, batch, &error);
            rocksdb_writebatch_clear(batch);
        }
    }
    rocksdb_writebatch_destroy(batch);
    return error;
}

static char *run(struct bare *bare, double seconds, struct bench_result *ret)
{
    struct caller callers[BENCH_THREADS_MAX] = { { 0 } };
    struct bench_samples samples[BENCH_THREADS_MAX];
    unsigned n = bare->what->threads;
    char *error = NULL;
    uint64_t begun = bench_now();
    double cpu = bench_cpu();
    bare->ends = begun + (uint64_t)(seconds * 1e9);
    for (unsigned i = 0; i < n; i++) {
        callers[i] = (struct caller){ .bare = bare, .index = i };
        pthread_create(&callers[i].thread, NULL, call, &callers[i]);
    }
    for (unsigned i = 0; i < n; i++) {
        pthread_join(callers[i].thread, NULL);
        ret->ops += callers[i].ops;
        samples[i] = callers[i].samples;
        error = callers[i].error != NULL ? callers[i].error : error;
    }
    ret->seconds = (double)(bench_now() - begun) * 1e-9;
    ret->cpu_seconds = bench_cpu() - cpu;
    ret->log_bytes = (double)atomic_load(&bare->log_bytes);
    ret->user_bytes = (double)ret->ops * (BENCH_KEY + BENCH_VALUE);
    bench_samples_finish(samples, n, ret);
    return error;
}

void bench_rocks(const struct bench_case *what, const char *dir, double seconds,
                 struct bench_result *ret)
{
    struct bare bare = { .what = what };
    char path[600], *error = NULL;
    snprintf(path, sizeof path, "%s/db", dir);
    rocksdb_options_t *options = options_new();
    bare.synced = rocksdb_writeoptions_create();
    rocksdb_writeoptions_set_sync(bare.synced, 1);
    bare.reading = rocksdb_readoptions_create();
    bare.db = rocksdb_open(options, path, &error);
    if (error == NULL)
        error = load(&bare);
    if (error == NULL)
        error = run(&bare, seconds, ret);
    ret->ok = error == NULL;
    if (error != NULL)
        snprintf(ret->error, sizeof ret->error, "%s", error);
    if (bare.db != NULL)
        rocksdb_close(bare.db);
    rocksdb_readoptions_destroy(bare.reading);
    rocksdb_writeoptions_destroy(bare.synced);
    rocksdb_options_destroy(options);
    free(error);
}
