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

TEST_MAIN()
