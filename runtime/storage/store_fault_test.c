/* A disk that fails, fills up, lies and forgets: the store latches, says why, and starts again only
 * when it is told to. */
#include "rig.h"

#include "store_int.h"
#include "wal_int.h"

static err_t put(struct rig *rig, const char *key, struct err *e)
{
    return storage_put_raw(rig->store, 1, BYTES(key), BYTES("v"), e);
}

static bool exists(struct rig *rig, const char *path)
{
    bool is_dir;
    uint64_t size;
    return env_stat(rig->env, path, &is_dir, &size, NULL) == ERR_OK;
}

/* The store has just latched on `rig`: every call says so, the mark is there, a start refuses, and
 * one that accepts goes on with all that was acknowledged. */
static void check_latched(struct rig *rig, err_t code)
{
    struct err e = { 0 };
    struct buf value = { 0 };
    uint64_t effects = sim_disk_effects(rig->disk);
    CHECK_EQ(storage_latched(rig->store, &e), code);
    CHECK_CONTAINS(e.msg, "has stopped after a failed write");
    CHECK_EQ(put(rig, "later", &e), code);
    CHECK_EQ(storage_get_raw(rig->store, 1, BYTES("k"), &value, &e), code);
    CHECK_EQ(storage_tend(rig->store, &e), code);
    CHECK_EQ(storage_prepare(rig->store, &e), code);
    CHECK_EQ(sim_disk_effects(rig->disk), effects); /* never retried: nothing is written any more */
    CHECK(exists(rig, "/store/PANIC"));
    storage_close(rig->store);
    rig->store = NULL;
    CHECK_EQ(rig_open(rig, &e), ERR_PANIC_MARK);
    CHECK_CONTAINS(e.msg, "--accept-panic");
    CHECK_EQ(rig_open(rig, &e), ERR_PANIC_MARK); /* and it does not wear off */
    rig->config.accept_panic = true;
    CHECK_OK(rig_open(rig, &e), e);
    CHECK(!exists(rig, "/store/PANIC"));
    rig->config.accept_panic = false;
    rig_expect(rig, "k", "v");
    CHECK_OK(put(rig, "later", &e), e);
    rig_crash(rig, SIM_CRASH_LOSE);
    rig_reopen(rig);
    rig_expect(rig, "k", "v");
    rig_expect(rig, "later", "v");
}

TEST(a_failed_sync_of_the_log_latches)
{
    struct rig rig = rig_ready(1);
    struct err e = { 0 };
    rig_put(&rig, "k", "v");
    sim_disk_fault(rig.disk, SIM_FAULT_SYNC, ".seg", 1);
    CHECK_EQ(put(&rig, "unknown", &e), ERR_IO);
    CHECK_EQ(sim_disk_fault_count(rig.disk, SIM_FAULT_SYNC), 1);
    check_latched(&rig, ERR_IO);
    rig_free(&rig);
}

TEST(a_failed_write_of_the_log_latches)
{
    for (uint64_t seed = 1; seed <= 20; seed++) { /* a drawn part of the batch was written */
        struct rig rig = rig_ready(seed);
        struct err e = { 0 };
        rig_put(&rig, "k", "v");
        sim_disk_fault(rig.disk, seed % 2 ? SIM_FAULT_WRITE : SIM_FAULT_FULL, ".seg", 1);
        CHECK_EQ(put(&rig, "unknown", &e), ERR_IO); /* never DISK_FULL: that means "not applied" */
        check_latched(&rig, ERR_IO);
        rig_free(&rig);
    }
}

/* After a failed sync the cache shows what the disk does not have. What a start has read counts, so
 * it must be written again before anything is answered. */
TEST(what_a_start_has_read_survives_a_power_cut)
{
    for (unsigned failed = 0; failed < 2; failed++) {
        struct rig rig = rig_ready(5);
        struct err e = { 0 };
        rig_put(&rig, "k", "v");
        if (failed)
            sim_disk_fault(rig.disk, SIM_FAULT_SYNC, ".seg", 1);
        else
            sim_disk_stop_at(rig.disk, sim_disk_effects(rig.disk) + 2);
        CHECK(put(&rig, "maybe", &e) != ERR_OK);
        rig.config.accept_panic = true;
        rig_crash(&rig, SIM_CRASH_KILL);
        rig_reopen(&rig);
        rig_expect(&rig, "maybe", "v");
        rig_crash(&rig, SIM_CRASH_LOSE);
        rig_reopen(&rig);
        rig_expect(&rig, "maybe", "v");
        rig_free(&rig);
    }
}

/* Killed between the rename of a new segment and the directory's sync: the next start sees the
 * name, and relies on it. */
TEST(a_segment_that_a_start_has_found_survives_a_power_cut)
{
    struct err e = { 0 };
    struct rig rig = rig_ready(16);
    uint64_t before = sim_disk_effects(rig.disk);
    CHECK_OK(storage_prepare(rig.store, &e), e);
    uint64_t effects = sim_disk_effects(rig.disk) - before;
    rig_free(&rig);

    rig = rig_ready(16);
    rig.config.accept_panic = true;
    sim_disk_stop_at(rig.disk, sim_disk_effects(rig.disk) + effects); /* the last one */
    CHECK(storage_prepare(rig.store, &e) != ERR_OK);
    rig_crash(&rig, SIM_CRASH_KILL);
    rig_reopen(&rig);
    CHECK_EQ(wal_spares(rig.store->wal), 1);
    while (wal_segment(rig.store->wal) == 1)
        rig_put(&rig, "k", "v");
    rig_put(&rig, "last", "v");
    rig_crash(&rig, SIM_CRASH_LOSE);
    rig_reopen(&rig);
    rig_expect(&rig, "last", "v");
    rig_free(&rig);
}

TEST(a_failed_watermark_latches)
{
    struct rig rig = rig_ready(2);
    struct err e = { 0 };
    rig_put(&rig, "k", "v");
    sim_disk_fault(rig.disk, SIM_FAULT_SYNC, "WATERMARK", 1);
    CHECK_EQ(storage_tend(rig.store, &e), ERR_IO);
    check_latched(&rig, ERR_IO);
    rig_free(&rig);
}

/* fsyncgate at segment filling: the new segment's zeros are not on the disk. */
TEST(a_failed_sync_while_filling_a_segment_latches)
{
    for (unsigned inline_fill = 0; inline_fill < 2; inline_fill++) {
        struct rig rig = rig_ready(3);
        struct err e = { 0 };
        rig_put(&rig, "k", "v");
        sim_disk_fault(rig.disk, SIM_FAULT_SYNC, ".new", 1);
        err_t rc = ERR_OK;
        if (inline_fill)
            for (unsigned i = 0; i < 100 && rc == ERR_OK; i++)
                rc = put(&rig, "k", &e);
        else
            rc = storage_prepare(rig.store, &e);
        CHECK_EQ(rc, ERR_IO);
        CHECK_EQ(sim_disk_fault_count(rig.disk, SIM_FAULT_SYNC), 1);
        check_latched(&rig, ERR_IO);
        rig_free(&rig);
    }
}

TEST(a_failed_engine_write_latches)
{
    struct rig rig = rig_ready(4);
    struct err e = { 0 };
    rig_put(&rig, "k", "v");
    sim_disk_fault(rig.disk, SIM_FAULT_SYNC, "/db/", 1);
    err_t rc = ERR_OK;
    char value[600];
    memset(value, 'x', sizeof value);
    for (unsigned i = 0; i < 100 && rc == ERR_OK; i++)
        rc = storage_put_raw(rig.store, 1, BYTES("big"), bytes_from(value, sizeof value), &e);
    CHECK(rc != ERR_OK);
    CHECK_EQ(sim_disk_fault_count(rig.disk, SIM_FAULT_SYNC), 1);
    check_latched(&rig, rc);
    rig_free(&rig);
}

/* No room for a new segment: nothing was written, so nothing is broken; with room it goes on. */
TEST(a_full_disk_refuses_writes_and_recovers)
{
    struct rig rig = rig_ready(6);
    struct err e = { 0 };
    rig_put(&rig, "k", "v");
    sim_disk_capacity(rig.disk, 3 * RIG_SEGMENT / 2);
    CHECK_EQ(storage_prepare(rig.store, &e), ERR_DISK_FULL);
    err_t rc = ERR_OK;
    unsigned done = 0;
    char key[32];
    while (rc == ERR_OK && done < 1000) {
        snprintf(key, sizeof key, "k%u", done);
        rc = put(&rig, key, &e);
        done += rc == ERR_OK;
    }
    CHECK_EQ(rc, ERR_DISK_FULL);
    CHECK(done > 5);
    CHECK_EQ(storage_latched(rig.store, &e), ERR_OK);
    CHECK_EQ(put(&rig, "more", &e), ERR_DISK_FULL);
    CHECK_EQ(storage_tend(rig.store, &e), ERR_OK);
    rig_expect(&rig, "k", "v"); /* reads pass */
    rig_crash(&rig, SIM_CRASH_LOSE);
    rig_reopen(&rig);
    CHECK_EQ(put(&rig, "more", &e), ERR_DISK_FULL);
    sim_disk_capacity(rig.disk, 0);
    CHECK_OK(put(&rig, "more", &e), e);
    for (unsigned i = 0; i < done; i++) {
        snprintf(key, sizeof key, "k%u", i);
        rig_expect(&rig, key, "v");
    }
    rig_free(&rig);
}

/* ---- Who am I, and is that all? -------------------------------------------------------------- */

TEST(start_never_creates)
{
    struct rig rig = rig_new(7);
    struct err e = { 0 };
    CHECK_EQ(rig_open(&rig, &e), ERR_NOT_FOUND);
    CHECK_CONTAINS(e.msg, "flotilla init");
    CHECK(!exists(&rig, "/store"));
    CHECK_OK(rig_init(&rig, &e), e);
    CHECK_EQ(rig_init(&rig, &e), ERR_ALREADY_EXISTS);
    CHECK_EQ(env_remove(rig.env, "/store/db/CURRENT", &e), ERR_OK);
    CHECK(rig_open(&rig, &e) != ERR_OK);
    CHECK(rig_open(&rig, &e) != ERR_OK); /* nor at the second try */
    CHECK_EQ(env_remove(rig.env, "/store/IDENT", &e), ERR_OK);
    CHECK_EQ(rig_open(&rig, &e), ERR_NOT_FOUND);
    CHECK_EQ(rig_init(&rig, &e), ERR_ALREADY_EXISTS); /* data without IDENT is nobody's to wipe */
    CHECK_CONTAINS(e.msg, "lost its IDENT");
    rig_free(&rig);
}

TEST(absurd_segments_are_refused_by_name)
{
    struct rig rig = rig_new(18);
    struct err e = { 0 };
    static const uint64_t sizes[] = { 1, 4096, STORE_SEGMENT_MIN - 1, STORE_SEGMENT_MAX + 1ull,
                                      UINT64_MAX };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        rig.config.segment_bytes = sizes[i];
        CHECK_EQ(rig_init(&rig, &e), ERR_INVALID_ARGUMENT);
        CHECK_CONTAINS(e.msg, "segment_bytes");
    }
    CHECK(!exists(&rig, "/store"));
    rig_free(&rig);
}

TEST(init_leaves_other_peoples_files_alone)
{
    struct rig rig = rig_new(8);
    struct err e = { 0 };
    CHECK_OK(env_mkdir(rig.env, "/store", &e), e);
    CHECK_OK(env_write_file(rig.env, "/store/thesis.txt", BYTES("x"), &e), e);
    CHECK_EQ(rig_init(&rig, &e), ERR_ALREADY_EXISTS);
    CHECK_CONTAINS(e.msg, "not empty");
    CHECK(exists(&rig, "/store/thesis.txt"));
    rig_free(&rig);
}

TEST(one_process_at_a_time)
{
    struct rig rig = rig_ready(9);
    struct err e = { 0 };
    struct storage *second = NULL;
    CHECK_EQ(storage_open(rig.env, &rig.config, &second, &e), ERR_LOCKED);
    CHECK_EQ(rig_init(&rig, &e), ERR_LOCKED);
    storage_close(rig.store);
    CHECK_OK(rig_open(&rig, &e), e);
    rig_free(&rig);
}

TEST(a_store_that_lost_its_watermark_is_amnesiac_unless_it_was_stopped_cleanly)
{
    for (unsigned how = 0; how < 4; how++) {
        bool clean = how % 2 == 0;
        struct rig rig = rig_ready(10);
        struct err e = { 0 };
        rig_put(&rig, "k", "v");
        if (clean)
            storage_close(rig.store);
        else
            storage_abandon(rig.store);
        rig.store = NULL;
        if (how < 2)
            CHECK_EQ(sim_disk_lose(rig.disk, "/store/WATERMARK"), ERR_OK);
        else
            CHECK_EQ(sim_disk_zero(rig.disk, "/store/WATERMARK", 0, 8192), ERR_OK);
        err_t rc = rig_open(&rig, &e);
        if (clean) {
            CHECK_OK(rc, e);
            CHECK(exists(&rig, "/store/WATERMARK"));
            rig_put(&rig, "more", "v");
            rig_crash(&rig, SIM_CRASH_LOSE);
            rig_reopen(&rig); /* the new one counts */
        } else {
            CHECK_EQ(rc, ERR_AMNESIA);
            CHECK_CONTAINS(e.msg, "WATERMARK");
        }
        rig_free(&rig);
    }
}

/* The watermark is at most a second old without anybody tending it, as long as there are writes. */
TEST(writes_alone_keep_the_watermark_young)
{
    struct rig rig = rig_ready(11);
    rig_put(&rig, "k", "v");
    uint64_t before = watermark_batch(rig.store->watermark);
    sim_world_run_for(rig.world, 1100000000);
    rig_put(&rig, "k", "v");
    CHECK(watermark_batch(rig.store->watermark) > before);
    CHECK_EQ(watermark_batch(rig.store->watermark), wal_number(rig.store->wal));
    rig_free(&rig);
}

/* A lying disk: syncs do nothing, then the power fails. The engine's own file may have been synced
 * for real. */
TEST(a_log_shorter_than_what_was_applied_is_amnesia)
{
    struct rig rig = rig_ready(12);
    struct err e = { 0 };
    for (unsigned i = 0; i < 10; i++)
        rig_put(&rig, "k", "v");
    CHECK_EQ(engine_mem.force(rig.store->engine, &e), ERR_OK);
    storage_abandon(rig.store);
    rig.store = NULL;
    CHECK_EQ(
        sim_disk_zero(rig.disk, "/store/wal/0000000000000001.seg", 6 * WAL_BLOCK, 10 * WAL_BLOCK),
        ERR_OK);
    CHECK_EQ(rig_open(&rig, &e), ERR_AMNESIA);
    CHECK_CONTAINS(e.msg, "was applied");
    rig_free(&rig);
}

/* ---- Giving segments up ---------------------------------------------------------------------- */

TEST(segments_are_given_up_oldest_first_and_used_again)
{
    struct rig rig = rig_ready(13);
    struct err e = { 0 };
    rig_local(&rig, STORAGE_LOCAL_TSO, BYTES("window"));
    struct storage_stats stats;
    uint64_t most = 0;
    char value[32];
    for (unsigned i = 0; i < 400; i++) {
        snprintf(value, sizeof value, "v%u", i);
        rig_put(&rig, "k", value);
        if (i % 10 == 0) {
            CHECK_OK(storage_tend(rig.store, &e), e);
            CHECK_OK(storage_prepare(rig.store, &e), e);
        }
        storage_stats(rig.store, &stats);
        most = stats.segments > most ? stats.segments : most;
        CHECK(stats.durable <= stats.applied && stats.applied <= stats.last);
    }
    CHECK(wal_oldest(rig.store->wal) > 10); /* many came and went */
    CHECK(most < 16);
    CHECK_OK(storage_prepare(rig.store, &e), e);
    storage_stats(rig.store, &stats);
    CHECK_EQ(stats.spare_segments, 1);
    rig_crash(&rig, SIM_CRASH_SECTORS);
    rig_reopen(&rig);
    rig_expect(&rig, "k", value);
    CHECK_BYTES(storage_local(rig.store, STORAGE_LOCAL_TSO),
                BYTES("window")); /* it was written again and again */
    rig_free(&rig);
}

/* An idle store whose log holds no entries any more still knows where it was. */
TEST(hard_state_and_cut_are_written_again)
{
    struct rig rig = rig_ready(14);
    struct err e = { 0 };
    rig_put(&rig, "k", "v");
    CHECK_OK(engine_mem.force(rig.store->engine, &e), e);
    for (unsigned i = 0; i < 100; i++) { /* local records alone */
        rig_local(&rig, STORAGE_LOCAL_HLC, bytes_from(&i, sizeof i));
        CHECK_OK(storage_tend(rig.store, &e), e);
    }
    CHECK(wal_oldest(rig.store->wal) > 3);
    rig_crash(&rig, SIM_CRASH_LOSE);
    rig_reopen(&rig);
    const struct ledger_region *region = ledger_region(&rig.store->ledger, STORE_REGION);
    CHECK_EQ(region->hs.term, 1);
    CHECK_EQ(region->hs.vote, STORE_VOTE);
    CHECK_EQ(region->base, 1);
    CHECK_EQ(region->base_term, 1);
    CHECK_EQ(region->last, 1);
    unsigned newest = 99;
    CHECK_BYTES(storage_local(rig.store, STORAGE_LOCAL_HLC), bytes_from(&newest, sizeof newest));
    rig_put(&rig, "k", "w");
    CHECK_EQ(region->last, 2);
    rig_free(&rig);
}

/* An engine that keeps a little in memory for ever would keep the whole log alive. */
TEST(a_long_log_makes_the_engine_durable)
{
    struct rig rig = rig_ready(17);
    struct err e = { 0 };
    struct storage_stats stats;
    engine_mem_hold(rig.store->engine, true); /* no flush by itself */
    do {
        rig_put(&rig, "k", "v");
        storage_stats(rig.store, &stats);
        CHECK_EQ(stats.durable, 0);
    } while (stats.segments <= STORE_SEGMENTS_MAX);
    CHECK_OK(storage_tend(rig.store, &e), e);
    storage_stats(rig.store, &stats);
    CHECK(stats.segments > STORE_SEGMENTS_MAX);
    CHECK_OK(storage_prepare(rig.store, &e), e);
    CHECK_OK(storage_tend(rig.store, &e), e);
    storage_stats(rig.store, &stats);
    CHECK_EQ(stats.durable, stats.applied);
    CHECK(stats.segments <= 2);
    rig_crash(&rig, SIM_CRASH_LOSE);
    rig_reopen(&rig);
    rig_expect(&rig, "k", "v");
    rig_free(&rig);
}

TEST(another_segment_size_takes_over)
{
    struct rig rig = rig_ready(15);
    struct err e = { 0 };
    CHECK_OK(storage_prepare(rig.store, &e), e);
    rig_put(&rig, "k", "v");
    storage_close(rig.store);
    rig.config.segment_bytes = 2 * RIG_SEGMENT;
    rig_reopen(&rig);
    for (unsigned i = 0; i < 40; i++)
        rig_put(&rig, "k2", "v");
    CHECK_EQ(rig.store->wal->config.segment_bytes, 2 * RIG_SEGMENT);
    rig_crash(&rig, SIM_CRASH_SECTORS);
    rig_reopen(&rig);
    rig_expect(&rig, "k", "v");
    rig_free(&rig);
}

TEST_MAIN()
