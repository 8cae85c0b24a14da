/* The memory engine against the contract, and its own promise: what it leaves after a crash is what the file holds. */
#include "engine_contract.h"

#include "sim_world/world.h"
#include "storage/engine_mem.h"

/* A machine of its own, whose disk outlives it. */
struct rig {
    struct sim_disk *disk;
    struct sim_world *world;
    struct engine_subject subject;
};

static void rig_start(struct rig *rig, uint64_t seed)
{
    rig->world = sim_world_new(seed, rig->disk);
    rig->subject.env = sim_world_env(rig->world);
}

static struct rig rig_new(uint64_t seed)
{
    struct rig rig = { .disk = sim_disk_new(seed),
                       .subject = {
                           .ops = &engine_mem, .dir = "/store", .memtable_bytes = 64 << 10 } };
    struct err e = { 0 };
    rig_start(&rig, seed);
    CHECK_OK(env_mkdir(rig.subject.env, "/store", &e), e);
    CHECK_OK(env_dir_sync(rig.subject.env, "/", &e), e);
    return rig;
}

static void rig_free(struct rig *rig)
{
    sim_world_close(rig->world);
    sim_disk_free(rig->disk);
}

#define RUN_PROMISE(name)                                                                          \
    TEST(name)                                                                                     \
    {                                                                                              \
        struct rig rig = rig_new(1);                                                               \
        engine_contract_##name(&rig.subject);                                                      \
        rig_free(&rig);                                                                            \
    }
ENGINE_PROMISES(RUN_PROMISE)

static uint64_t number(struct engine *engine, bool durable)
{
    uint64_t n = 0;
    struct err e = { 0 };
    CHECK_OK(durable ? engine_mem.durable(engine, &n, &e) : engine_mem.last(engine, &n, &e), e);
    return n;
}

TEST(crash_takes_the_chosen_suffix)
{
    enum { DURABLE = 5, LAST = 12 };
    for (uint64_t keep = DURABLE; keep <= LAST; keep++) {
        struct rig rig = rig_new(1);
        struct engine *engine = engine_contract_open(&rig.subject, true);
        struct err e = { 0 };
        engine_mem_hold(engine, true);
        for (uint64_t n = 1; n <= LAST; n++) {
            engine_contract_write(&rig.subject, engine, n);
            if (n == DURABLE)
                CHECK_OK(engine_mem.force(engine, &e), e);
        }
        CHECK_EQ(number(engine, true), DURABLE);
        CHECK_OK(engine_mem_crash(engine, keep, &e), e);
        engine = engine_contract_open(&rig.subject, false);
        CHECK_EQ(engine_contract_check_cut(&rig.subject, engine, LAST), keep);
        CHECK_EQ(number(engine, true), keep);
        engine_contract_write(&rig.subject, engine, keep + 1); /* and on it goes */
        CHECK_OK(engine_mem.force(engine, &e), e);
        engine_mem.close(engine);
        engine = engine_contract_open(&rig.subject, false);
        CHECK_EQ(number(engine, false), keep + 1);
        engine_mem.close(engine);
        rig_free(&rig);
    }
}

/* So that the simulator's nodes take the path of a cache miss too. */
TEST(a_key_is_cold_after_a_restart)
{
    struct rig rig = rig_new(1);
    struct engine *engine = engine_contract_open(&rig.subject, true);
    struct buf have = { 0 };
    struct err e = { 0 };
    engine_contract_write(&rig.subject, engine, 1);
    CHECK_OK(engine_mem.force(engine, &e), e);
    CHECK_OK(engine_mem.get(engine, ENGINE_CAS, BYTES("n"), true, &have, &e), e);
    engine_mem.close(engine);
    engine = engine_contract_open(&rig.subject, false);
    buf_clear(&have);
    CHECK_EQ(engine_mem.get(engine, ENGINE_CAS, BYTES("n"), true, &have, &e), ERR_UNAVAILABLE);
    CHECK_EQ(engine_mem.get(engine, ENGINE_CAS, BYTES("m"), true, &have, &e), ERR_NOT_FOUND);
    CHECK_EQ(have.len, 0);
    CHECK_OK(engine_mem.get(engine, ENGINE_CAS, BYTES("n"), false, &have, &e), e);
    CHECK_OK(engine_mem.get(engine, ENGINE_CAS, BYTES("n"), true, &have, &e), e);
    CHECK_EQ(engine_mem.get(engine, ENGINE_META, BYTES("n"), true, &have, &e), ERR_UNAVAILABLE);
    engine_contract_write(&rig.subject, engine, 2);
    CHECK_OK(engine_mem.get(engine, ENGINE_META, BYTES("n"), true, &have, &e), e);
    engine_mem.close(engine);
    buf_free(&have);
    rig_free(&rig);
}

TEST(held_batches_stay_in_memory)
{
    struct rig rig = rig_new(1);
    struct engine *engine = engine_contract_open(&rig.subject, true);
    engine_mem_hold(engine, true);
    for (uint64_t n = 1; n <= 2000; n++) /* many times what it would keep */
        engine_contract_write(&rig.subject, engine, n);
    CHECK_EQ(number(engine, true), 0);
    engine_mem.close(engine);
    engine = engine_contract_open(&rig.subject, false);
    CHECK_EQ(engine_contract_check_cut(&rig.subject, engine, 2000), 0);
    engine_mem.close(engine);
    rig_free(&rig);
}

/* Cut off or damaged at any byte, the file yields whole batches up to there and nothing behind. */
TEST(every_damage_leaves_a_prefix)
{
    enum { BATCHES = 4 };
    struct rig rig = rig_new(1);
    struct engine *engine = engine_contract_open(&rig.subject, true);
    struct buf content = { 0 };
    struct err e = { 0 };
    char path[600];
    uint64_t ends[BATCHES + 1], size;
    bool is_dir;
    snprintf(path, sizeof path, "%s/db/CURRENT", rig.subject.dir);
    for (uint64_t n = 0; n <= BATCHES; n++) {
        if (n > 0)
            engine_contract_write(&rig.subject, engine, n);
        CHECK_OK(engine_mem.force(engine, &e), e);
        CHECK_OK(env_stat(rig.subject.env, path, &is_dir, &size, &e), e);
        ends[n] = size;
    }
    engine_mem.close(engine);
    CHECK_OK(env_read_file(rig.subject.env, path, 1 << 20, &content, &e), e);
    for (int flip = 0; flip < 2; flip++)
        for (uint64_t at = ends[0]; at < content.len; at++) {
            uint64_t whole = 0;
            while (ends[whole + 1] <= at)
                whole++;
            struct bytes left = bytes_from(content.data, flip ? content.len : at);
            content.data[at] ^= flip ? 0x40 : 0;
            CHECK_OK(env_write_file(rig.subject.env, path, left, &e), e);
            content.data[at] ^= flip ? 0x40 : 0;
            engine = engine_contract_open(&rig.subject, false);
            CHECK_EQ(engine_contract_check_cut(&rig.subject, engine, BATCHES), whole);
            engine_mem.close(engine);
        }
    content.data[0] ^= 1; /* not our file */
    CHECK_OK(env_write_file(rig.subject.env, path, buf_bytes(&content), &e), e);
    char db[512];
    snprintf(db, sizeof db, "%s/db", rig.subject.dir);
    struct engine_config config = { .path = db };
    CHECK_EQ(engine_mem.open(rig.subject.env, &config, &engine, &e), ERR_CORRUPTION);
    buf_free(&content);
    rig_free(&rig);
}

TEST(the_file_does_not_grow_with_overwrites)
{
    struct rig rig = rig_new(1);
    rig.subject.memtable_bytes = 8 << 10;
    struct engine *engine = engine_contract_open(&rig.subject, true);
    struct engine_batch *batch = engine_mem.batch_new(engine);
    struct err e = { 0 };
    char path[600];
    static uint8_t value[1024];
    uint64_t size;
    bool is_dir;
    snprintf(path, sizeof path, "%s/db/CURRENT", rig.subject.dir);
    for (uint64_t n = 1; n <= 3000; n++) {
        engine_mem.batch_clear(batch);
        memcpy(value, &n, sizeof n);
        engine_mem.put(batch, ENGINE_DEFAULT, BYTES("k"), bytes_from(value, sizeof value));
        CHECK_OK(engine_mem.write(engine, batch, n, &e), e);
        CHECK_OK(env_stat(rig.subject.env, path, &is_dir, &size, &e), e);
        CHECK(size < 64 << 10);
    }
    engine_mem.batch_free(batch);
    CHECK_OK(engine_mem.force(engine, &e), e);
    engine_mem.close(engine);
    engine = engine_contract_open(&rig.subject, false);
    struct buf have = { 0 };
    CHECK_EQ(number(engine, false), 3000);
    CHECK_OK(engine_mem.get(engine, ENGINE_DEFAULT, BYTES("k"), false, &have, &e), e);
    CHECK(bytes_equal(buf_bytes(&have), bytes_from(value, sizeof value)));
    buf_free(&have);
    engine_mem.close(engine);
    rig_free(&rig);
}

/* ---- Crashes of the machine ------------------------------------------------------------------------------------
 *
 * A writer, stopped before its k-th effect on the disk, then a power cut of some kind: what is left is a whole cut
 * that holds everything that was durable. Every k, several seeds: so every kind of crash at every place. */

/* Writes until the machine stops or `most` batches are in; answers the last number known to be durable. */
static uint64_t write_until_stopped(const struct engine_subject *subject, uint64_t most)
{
    char path[64];
    snprintf(path, sizeof path, "%s/db", subject->dir);
    struct engine_config config = { .path = path, .create = true, .memtable_bytes = 2 << 10 };
    struct engine *engine = NULL;
    uint64_t durable = 0;
    if (subject->ops->open(subject->env, &config, &engine, NULL) != ERR_OK)
        return 0;
    err_t rc = env_dir_sync(subject->env, subject->dir, NULL);
    for (uint64_t n = number(engine, false) + 1; n <= most && rc == ERR_OK; n++) {
        struct engine_batch *batch = engine_mem.batch_new(engine);
        char text[32], row[32];
        snprintf(text, sizeof text, "%llu", (unsigned long long)n);
        snprintf(row, sizeof row, "row-%llu", (unsigned long long)n);
        for (unsigned family = 0; family < ENGINE_TICK; family++)
            engine_mem.put(batch, (enum engine_family)family, BYTES("n"), BYTES(text));
        engine_mem.put(batch, ENGINE_CAS, BYTES(row), BYTES(text));
        rc = engine_mem.write(engine, batch, n, NULL);
        engine_mem.batch_free(batch);
        if (rc == ERR_OK && n % 16 == 0)
            rc = engine_mem.force(engine, NULL);
        if (rc == ERR_OK)
            durable = number(engine, true);
    }
    engine_mem.close(engine);
    return durable;
}

TEST(power_cut_before_every_effect)
{
    enum { MOST = 40 };
    uint64_t cut = 0, kept = 0;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        bool stopped = true;
        for (uint64_t effect = 1; stopped; effect++) {
            struct rig rig = rig_new(seed * 1000 + effect);
            sim_disk_stop_at(rig.disk, sim_disk_effects(rig.disk) + effect);
            uint64_t durable = write_until_stopped(&rig.subject, MOST);
            stopped = sim_disk_stopped(rig.disk);
            sim_world_close(rig.world);
            sim_disk_crash(rig.disk, SIM_CRASH_DRAW);
            rig_start(&rig, seed + 7);
            char path[64];
            snprintf(path, sizeof path, "%s/db", rig.subject.dir);
            struct engine_config config = { .path = path, .create = durable == 0 };
            struct engine *engine = NULL;
            struct err e = { 0 };
            CHECK_OK(engine_mem.open(rig.subject.env, &config, &engine, &e), e);
            uint64_t last = engine_contract_check_cut(&rig.subject, engine, MOST);
            CHECK(last >= durable && last <= MOST);
            kept += last > durable;
            engine_mem.close(engine);
            rig_free(&rig);
            cut++;
        }
    }
    CHECK(cut > 100);
    CHECK(kept > 0); /* some crash took less than it might have */
}

TEST(failed_sync_is_an_error_and_what_was_durable_stays)
{
    struct rig rig = rig_new(3);
    struct engine *engine = engine_contract_open(&rig.subject, true);
    struct err e = { 0 };
    engine_contract_write(&rig.subject, engine, 1);
    CHECK_OK(engine_mem.force(engine, &e), e);
    engine_contract_write(&rig.subject, engine, 2);
    sim_disk_fault(rig.disk, SIM_FAULT_SYNC, "CURRENT", 1);
    CHECK_EQ(engine_mem.force(engine, &e), ERR_IO);
    CHECK_EQ(sim_disk_fault_count(rig.disk, SIM_FAULT_SYNC), 1);
    CHECK_EQ(number(engine, true), 1);
    engine_mem.close(engine);
    sim_world_close(rig.world);
    sim_disk_crash(rig.disk, SIM_CRASH_LOSE);
    rig_start(&rig, 4);
    engine = engine_contract_open(&rig.subject, false);
    CHECK_EQ(engine_contract_check_cut(&rig.subject, engine, 2), 1);
    engine_mem.close(engine);
    rig_free(&rig);
}

TEST_MAIN()
