/* Many threads on one store, in the machine: group commit, one winner per version, readers beside
 * writers. */
#include "base/test.h"

#include <pthread.h>
#include <stdatomic.h>

#include "storage/engine_mem.h"
#include "store_int.h"
#include "uv/world.h"

struct bench {
    struct world *world;
    struct env *env;
    char *dir;
    struct storage_config config;
    struct storage *store;
};

static void bench_open(struct bench *bench)
{
    struct err e = { 0 };
    CHECK_OK(storage_open(bench->env, &bench->config, &bench->store, &e), e);
}

static struct bench bench_new(void)
{
    struct bench bench = { .dir = test_dir() };
    struct err e = { 0 };
    CHECK_OK(world_open(NULL, &bench.world, &e), e);
    bench.env = world_env(bench.world);
    bench.config = (struct storage_config){
        .path = bench.dir, .engine = &engine_mem, .segment_bytes = 1 << 20, .alone = true
    };
    struct storage_ident ident = { .store_id = 1, .incarnation = 2 };
    CHECK_OK(storage_init(bench.env, &bench.config, &ident, NULL, &e), e);
    bench_open(&bench);
    return bench;
}

static void bench_free(struct bench *bench)
{
    storage_close(bench->store);
    world_close(bench->world);
    free(bench->dir);
}

enum { CALLERS = 8, VERSIONS = 400 };

struct caller {
    struct bench *bench;
    pthread_t thread;
    unsigned id;
    uint64_t wins, conflicts;
    _Atomic unsigned *winners; /* by version */
};

/* Everybody wants to write the next version. */
static void *compete(void *arg)
{
    struct caller *caller = arg;
    uint64_t seen = 0;
    while (seen < VERSIONS) {
        struct err e = { 0 };
        struct storage_result result;
        char value[32];
        snprintf(value, sizeof value, "%u", caller->id);
        err_t rc = storage_cas(caller->bench->store, 1, BYTES("counter"), seen, BYTES(value), true,
                               &result, &e);
        if (rc == ERR_OK) {
            atomic_fetch_add(&caller->winners[result.version], 1);
            caller->wins++;
        } else if (rc == ERR_CONFLICT) {
            caller->conflicts++;
            if (result.version <= seen && result.version != 0)
                abort(); /* time goes forward */
        } else {
            abort();
        }
        seen = result.version;
        storage_result_free(&result);
    }
    return NULL;
}

TEST(eight_callers_exactly_one_winner_per_version)
{
    struct bench bench = bench_new();
    static _Atomic unsigned winners[VERSIONS + CALLERS + 1];
    struct caller callers[CALLERS];
    uint64_t wins = 0;
    for (unsigned i = 0; i < CALLERS; i++) {
        callers[i] = (struct caller){ .bench = &bench, .id = i, .winners = winners };
        CHECK_EQ(pthread_create(&callers[i].thread, NULL, compete, &callers[i]), 0);
    }
    for (unsigned i = 0; i < CALLERS; i++) {
        pthread_join(callers[i].thread, NULL);
        wins += callers[i].wins;
    }
    struct err e = { 0 };
    struct buf value = { 0 };
    uint64_t version = 0;
    CHECK_OK(storage_get_cas(bench.store, 1, BYTES("counter"), &version, &value, &e), e);
    CHECK(version >= VERSIONS);
    CHECK_EQ(version, wins);
    for (uint64_t v = 1; v <= version; v++)
        CHECK_EQ(atomic_load(&winners[v]), 1);
    buf_free(&value);
    bench_free(&bench);
}

enum { WRITERS = 32, WRITES = 60 };

struct writer {
    struct bench *bench;
    pthread_t thread;
    unsigned id;
};

static void *write_keys(void *arg)
{
    struct writer *writer = arg;
    for (unsigned i = 0; i < WRITES; i++) {
        char key[32], value[32];
        struct err e = { 0 };
        struct buf got = { 0 };
        snprintf(key, sizeof key, "w%u", writer->id);
        snprintf(value, sizeof value, "%u", i);
        if (storage_put_raw(writer->bench->store, 1, BYTES(key), BYTES(value), &e) != ERR_OK ||
            storage_get_raw(writer->bench->store, 1, BYTES(key), &got, &e) != ERR_OK ||
            !bytes_equal(buf_bytes(&got), BYTES(value))) /* one reads one's own write */
            abort();
        buf_free(&got);
    }
    return NULL;
}

static void *tend(void *arg)
{
    struct writer *writer = arg;
    for (unsigned i = 0; i < 40; i++) {
        struct err e = { 0 };
        struct storage_stats stats;
        if (storage_tend(writer->bench->store, &e) != ERR_OK ||
            storage_prepare(writer->bench->store, &e) != ERR_OK)
            abort();
        storage_stats(writer->bench->store, &stats);
        if (stats.durable > stats.applied || stats.applied > stats.last)
            abort();
    }
    return NULL;
}

TEST(writers_share_syncs_and_every_write_stays)
{
    struct bench bench = bench_new();
    struct writer writers[WRITERS + 1];
    for (unsigned i = 0; i <= WRITERS; i++) {
        writers[i] = (struct writer){ .bench = &bench, .id = i };
        CHECK_EQ(
            pthread_create(&writers[i].thread, NULL, i < WRITERS ? write_keys : tend, &writers[i]),
            0);
    }
    for (unsigned i = 0; i <= WRITERS; i++)
        pthread_join(writers[i].thread, NULL);
    struct storage_stats stats;
    storage_stats(bench.store, &stats);
    CHECK_EQ(stats.commands, WRITERS * WRITES);
    CHECK_EQ(stats.applied, stats.last);
    print_message("%d commands in %d syncs\n", (int)stats.commands, (int)stats.syncs);
    CHECK(stats.syncs < stats.commands / 2); /* they met */
    storage_abandon(bench.store);
    bench_open(&bench);
    for (unsigned i = 0; i < WRITERS; i++) {
        char key[32], want[32];
        struct err e = { 0 };
        struct buf got = { 0 };
        snprintf(key, sizeof key, "w%u", i);
        snprintf(want, sizeof want, "%d", WRITES - 1);
        CHECK_OK(storage_get_raw(bench.store, 1, BYTES(key), &got, &e), e);
        CHECK_BYTES(buf_bytes(&got), BYTES(want));
        buf_free(&got);
    }
    bench_free(&bench);
}

/* Large and small writes together: what does not fit into one entry goes into the next group. */
static void *write_large(void *arg)
{
    struct writer *writer = arg;
    static const size_t sizes[] = { 10, 300000, 900000, 40000 };
    for (unsigned i = 0; i < 8; i++) {
        char key[32];
        struct err e = { 0 };
        size_t len = sizes[(i + writer->id) % 4];
        uint8_t *value = malloc(len);
        memset(value, (int)writer->id, len);
        snprintf(key, sizeof key, "l%u", writer->id);
        err_t rc = storage_put_raw(writer->bench->store, 1, BYTES(key), bytes_from(value, len), &e);
        free(value);
        if (rc != ERR_OK)
            abort();
    }
    return NULL;
}

TEST(groups_larger_than_an_entry_are_cut)
{
    struct bench bench = bench_new();
    struct writer writers[16];
    for (unsigned i = 0; i < 16; i++) {
        writers[i] = (struct writer){ .bench = &bench, .id = i };
        CHECK_EQ(pthread_create(&writers[i].thread, NULL, write_large, &writers[i]), 0);
    }
    for (unsigned i = 0; i < 16; i++)
        pthread_join(writers[i].thread, NULL);
    struct storage_stats stats;
    storage_stats(bench.store, &stats);
    CHECK_EQ(stats.commands, 16 * 8);
    bench_free(&bench);
}

/* The halves on their threads: one syncs records of some regions, one applies, one reads entries back, one
 * tends and frees what is durable. */
enum { LANES_REGIONS = 6, LANES_TURNS = 1500 };

struct lanes {
    struct bench *bench;
    _Atomic raft_index synced[LANES_REGIONS], applied[LANES_REGIONS];
    _Atomic bool done;
    _Atomic uint64_t reads;
};

static struct raft_ent lanes_entry(unsigned region, raft_index index, char out[400])
{
    size_t len = 20 + index % 300;
    memset(out, (int)('a' + region), len);
    snprintf(out, 20, "%llu", (unsigned long long)index);
    return (struct raft_ent){ .term = 1,
                              .index = index,
                              .len = (uint32_t)len,
                              .type = RAFT_ENT_CONF, /* moves the index, and nothing else */
                              .data = out };
}

static void *lanes_sync(void *arg)
{
    struct lanes *lanes = arg;
    struct storage *store = lanes->bench->store;
    struct storage_records *records = storage_records_new(store);
    struct err e = { 0 };
    for (unsigned turn = 0; turn < LANES_TURNS; turn++) {
        storage_records_reset(records);
        for (unsigned r = turn % 2; r < LANES_REGIONS; r += 2) {
            char data[400];
            raft_index last = atomic_load(&lanes->synced[r]);
            struct raft_ent ent = lanes_entry(r, last + 1, data);
            struct raft_hs hs = { .term = 1, .vote = 1, .commit = last };
            if (storage_records_append(records, r + 1, hs, &ent, 1) != ERR_OK)
                abort();
        }
        if (storage_sync(store, records, &e) != ERR_OK)
            abort();
        for (unsigned r = turn % 2; r < LANES_REGIONS; r += 2)
            atomic_fetch_add(&lanes->synced[r], 1);
    }
    storage_records_free(records);
    atomic_store(&lanes->done, true);
    return NULL;
}

static void *lanes_apply(void *arg)
{
    struct lanes *lanes = arg;
    struct storage *store = lanes->bench->store;
    struct storage_apply *apply = storage_apply_new(store);
    struct err e = { 0 };
    for (bool done = false; !done;) {
        raft_index to[LANES_REGIONS];
        done = atomic_load(&lanes->done);
        storage_apply_reset(apply);
        for (unsigned r = 0; r < LANES_REGIONS; r++) {
            raft_index at = atomic_load(&lanes->applied[r]);
            to[r] = atomic_load(&lanes->synced[r]);
            while (at < to[r]) {
                char data[400];
                uint32_t slot;
                struct raft_ent ent = lanes_entry(r, ++at, data);
                if (storage_apply_entry(apply, r + 1, &ent, 1, &slot) != ERR_OK)
                    abort();
            }
        }
        if (storage_apply_run(store, apply, &e) != ERR_OK)
            abort();
        for (unsigned r = 0; r < LANES_REGIONS; r++)
            atomic_store(&lanes->applied[r], to[r]);
    }
    storage_apply_free(apply);
    return NULL;
}

/* What is not there any more was released. */
static void lanes_read_one(struct lanes *lanes, unsigned r, raft_index lo, struct buf *bytes)
{
    struct storage *store = lanes->bench->store;
    struct raft_ent ents[32];
    struct err e = { 0 };
    uint32_t n = 0;
    buf_clear(bytes);
    err_t rc = storage_entries(store, r + 1, lo, lo + 32, 1 << 20, 32, bytes, ents, &n, &e);
    if (rc == ERR_NOT_FOUND && lo <= storage_durable(store, r + 1))
        return;
    if (rc != ERR_OK || n == 0)
        abort();
    for (uint32_t i = 0; i < n; i++) {
        char data[400];
        struct raft_ent want = lanes_entry(r, lo + i, data);
        if (ents[i].index != lo + i || ents[i].term != 1 ||
            !bytes_equal(bytes_from(ents[i].data, ents[i].len), bytes_from(want.data, want.len)))
            abort();
    }
    atomic_fetch_add(&lanes->reads, n);
}

static void *lanes_read(void *arg)
{
    struct lanes *lanes = arg;
    struct buf bytes = { 0 };
    for (uint64_t i = 1; !atomic_load(&lanes->done); i++) {
        unsigned r = (unsigned)(i % LANES_REGIONS);
        raft_index last = atomic_load(&lanes->synced[r]);
        if (last > 0)
            lanes_read_one(lanes, r, 1 + i * 2654435761u % last, &bytes);
    }
    buf_free(&bytes);
    return NULL;
}

static void *lanes_tend(void *arg)
{
    struct lanes *lanes = arg;
    struct storage *store = lanes->bench->store;
    struct err e = { 0 };
    while (!atomic_load(&lanes->done)) {
        uint64_t holder;
        if (storage_tend(store, &e) != ERR_OK || storage_prepare(store, &e) != ERR_OK)
            abort();
        for (unsigned r = 0; r < LANES_REGIONS; r++)
            storage_release(store, r + 1, storage_durable(store, r + 1), 1);
        (void)storage_log_is_long(store, &holder);
    }
    return NULL;
}

TEST(readers_find_entries_beside_writers_and_freed_segments)
{
    struct bench bench = bench_new();
    struct err e = { 0 };
    storage_close(bench.store);
    bench.config.alone = false;
    bench.config.segment_bytes = 64 << 10;
    bench.config.engine_config.memtable_bytes = 8 << 10;
    bench_open(&bench);
    struct lanes *lanes = calloc(1, sizeof *lanes);
    lanes->bench = &bench;
    static void *(*const runs[])(void *) = { lanes_sync, lanes_apply, lanes_read, lanes_read,
                                             lanes_tend };
    pthread_t threads[5];
    for (unsigned i = 0; i < 5; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, runs[i], lanes), 0);
    for (unsigned i = 0; i < 5; i++)
        pthread_join(threads[i], NULL);
    print_message("%d entries read back, segments %d to %d\n", (int)lanes->reads,
                  (int)wal_oldest(bench.store->wal), (int)wal_segment(bench.store->wal));
    CHECK(lanes->reads > 0);
    CHECK_OK(engine_mem.force(bench.store->engine, &e), e);
    CHECK_OK(storage_tend(bench.store, &e), e);
    for (unsigned r = 0; r < LANES_REGIONS; r++) {
        CHECK_EQ(storage_durable(bench.store, r + 1), LANES_TURNS / 2);
        storage_release(bench.store, r + 1, LANES_TURNS / 2, 1);
    }
    CHECK_OK(storage_tend(bench.store, &e), e);
    CHECK(wal_oldest(bench.store->wal) > 5);
    free(lanes);
    bench_free(&bench);
}

TEST_MAIN()
