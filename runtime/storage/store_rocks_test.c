/* The store over RocksDB, in the machine: what is lost of the engine comes back from the log, and segments go. */
#include "base/test.h"

#include "store_int.h"
#include "uv/world.h"

enum { KEYS = 50 };

struct machine {
    struct world *world;
    char *dir;
    struct storage_config config;
    struct storage *store;
};

static void machine_open(struct machine *machine)
{
    struct err e = { 0 };
    CHECK_OK(storage_open(world_env(machine->world), &machine->config, &machine->store, &e), e);
}

static struct machine machine_new(void)
{
    struct machine machine = { .dir = test_dir() };
    struct storage_ident ident = { .store_id = 1, .incarnation = 2 };
    struct err e = { 0 };
    CHECK_OK(world_open(NULL, &machine.world, &e), e);
    machine.config = (struct storage_config){ .path = machine.dir,
                                              .engine = &engine_rocks,
                                              .engine_config = { .memtable_bytes = 1 << 20 },
                                              .segment_bytes = 256 << 10,
                                              .alone = true };
    CHECK_OK(storage_init(world_env(machine.world), &machine.config, &ident, NULL, &e), e);
    machine_open(&machine);
    return machine;
}

static void machine_free(struct machine *machine)
{
    storage_close(machine->store);
    world_close(machine->world);
    free(machine->dir);
}

static void write_round(struct machine *machine, uint64_t round, size_t len)
{
    struct err e = { 0 };
    uint8_t *value = malloc(len);
    memset(value, (int)round, len);
    for (unsigned i = 0; i < KEYS; i++) {
        char key[32];
        struct storage_result result;
        snprintf(key, sizeof key, "k%u", i);
        CHECK_OK(storage_put_raw(machine->store, 1, BYTES(key), bytes_from(value, len), &e), e);
        CHECK_OK(storage_cas(machine->store, 1, BYTES(key), round, bytes_from(value, 1), false,
                             &result, &e),
                 e);
        CHECK_EQ(result.version, round + 1);
    }
    free(value);
}

static void check_round(struct machine *machine, uint64_t round, size_t len)
{
    struct err e = { 0 };
    for (unsigned i = 0; i < KEYS; i++) {
        char key[32];
        struct buf value = { 0 };
        uint64_t version = 0;
        snprintf(key, sizeof key, "k%u", i);
        CHECK_OK(storage_get_raw(machine->store, 1, BYTES(key), &value, &e), e);
        CHECK_EQ(value.len, len);
        CHECK_EQ(value.data[len - 1], round);
        buf_clear(&value);
        CHECK_OK(storage_get_cas(machine->store, 1, BYTES(key), &version, &value, &e), e);
        CHECK_EQ(version, round + 1);
        buf_free(&value);
    }
}

TEST(what_rocksdb_forgets_the_log_brings_back)
{
    struct machine machine = machine_new();
    for (uint64_t round = 0; round < 4; round++) {
        write_round(&machine, round, 100);
        storage_abandon(machine.store); /* its own log is off: what was not flushed is gone */
        machine_open(&machine);
        CHECK(machine.store->replayed >= 2 * KEYS);
        check_round(&machine, round, 100);
    }
    storage_close(machine.store);
    machine_open(&machine);
    CHECK_EQ(machine.store->replayed, 0);
    check_round(&machine, 3, 100);
    machine_free(&machine);
}

TEST(segments_go_when_rocksdb_has_flushed)
{
    struct machine machine = machine_new();
    struct err e = { 0 };
    uint64_t round = 0;
    while (wal_oldest(machine.store->wal) ==
           1) { /* waits for a condition: RocksDB flushes when it likes */
        write_round(&machine, round++, 10000);
        CHECK(round < 250);
        CHECK_OK(storage_tend(machine.store, &e), e);
        CHECK_OK(storage_prepare(machine.store, &e), e);
    }
    storage_abandon(machine.store);
    machine_open(&machine);
    check_round(&machine, round - 1, 10000);
    machine_free(&machine);
}

TEST_MAIN()
