/* Crashes: at every effect of a run, in recovery too, with the log damaged afterwards.
 *
 * A run is drawn from a seed: raw puts and deletes, CAS and CAS deletes on a few keys. A model
 * holds what was acknowledged; the one command that was under way when the machine stopped may be
 * there or not, whole or not at all, and never twice. */
#include "rig.h"

#include "base/prng.h"
#include "store_int.h"

enum { RAW_KEYS = 6, CAS_KEYS = 4, OPS = 150 };

struct model {
    char raw[RAW_KEYS][32]; /* "": absent */
    struct {
        uint64_t version;
        bool live;
        char value[32];
    } cas[CAS_KEYS];
};

struct run {
    struct rig rig;
    struct prng chance;
    struct model sure, maybe; /* maybe: with the command that was under way */
    uint64_t done;
};

static struct bytes key_of(char *out, char kind, uint64_t i)
{
    snprintf(out, 32, "%c%d", kind, (int)i);
    return BYTES(out);
}

/* One drawn command on the model `to`; the store is asked the same. ERR_OK or the store's error. */
static err_t step(struct run *run, struct err *e)
{
    struct model *to = &run->maybe;
    char name[32], value[32];
    uint64_t what = prng_below(&run->chance, 10), number = run->done;
    snprintf(value, sizeof value, "v%d", (int)number);
    struct storage *store = run->rig.store;
    struct storage_result result = { 0 };
    *to = run->sure;
    if (what < 4) {
        uint64_t i = prng_below(&run->chance, RAW_KEYS);
        memcpy(to->raw[i], value, sizeof value);
        return storage_put_raw(store, 1, key_of(name, 'r', i), BYTES(value), e);
    }
    if (what < 5) {
        uint64_t i = prng_below(&run->chance, RAW_KEYS);
        to->raw[i][0] = '\0';
        return storage_delete_raw(store, 1, key_of(name, 'r', i), e);
    }
    uint64_t i = prng_below(&run->chance, CAS_KEYS);
    uint64_t version = to->cas[i].version;
    to->cas[i].version++;
    if (what < 9 || !to->cas[i].live) {
        uint64_t expected = to->cas[i].live ? version : 0;
        to->cas[i].live = true;
        memcpy(to->cas[i].value, value, sizeof value);
        return storage_cas(store, 1, key_of(name, 'c', i), expected, BYTES(value), false, &result,
                           e);
    }
    to->cas[i].live = false;
    return storage_delete_cas(store, 1, key_of(name, 'c', i), true, version, &result, e);
}

static void read_model(struct storage *store, struct model *ret)
{
    struct err e = { 0 };
    char name[32];
    memset(ret, 0, sizeof *ret);
    for (unsigned i = 0; i < RAW_KEYS; i++) {
        struct buf value = { 0 };
        err_t rc = storage_get_raw(store, 1, key_of(name, 'r', i), &value, &e);
        CHECK(rc == ERR_OK || rc == ERR_NOT_FOUND);
        CHECK(value.len < 32);
        if (rc == ERR_OK)
            memcpy(ret->raw[i], value.data, value.len);
        buf_free(&value);
    }
    for (unsigned i = 0; i < CAS_KEYS; i++) {
        struct buf value = { 0 };
        uint64_t version = 0;
        err_t rc = storage_get_cas(store, 1, key_of(name, 'c', i), &version, &value, &e);
        CHECK(rc == ERR_OK || rc == ERR_NOT_FOUND);
        ret->cas[i].version = version;
        ret->cas[i].live = rc == ERR_OK;
        if (rc == ERR_OK)
            memcpy(ret->cas[i].value, value.data, value.len);
        buf_free(&value);
    }
}

static bool same(const struct model *a, const struct model *b)
{
    for (unsigned i = 0; i < RAW_KEYS; i++)
        if (strcmp(a->raw[i], b->raw[i]) != 0)
            return false;
    for (unsigned i = 0; i < CAS_KEYS; i++)
        if (a->cas[i].version != b->cas[i].version || a->cas[i].live != b->cas[i].live ||
            (a->cas[i].live && strcmp(a->cas[i].value, b->cas[i].value) != 0))
            return false;
    return true;
}

/* The store must hold exactly what was acknowledged, with or without the command that was under
 * way. From now on that is sure. */
static void check_model(struct run *run, const char *when, uint64_t at)
{
    struct model have;
    read_model(run->rig.store, &have);
    if (!same(&have, &run->sure) && !same(&have, &run->maybe))
        fail_msg(
            "%s, effect %d: the store holds neither what was acknowledged nor one command more",
            when, (int)at);
    run->sure = run->maybe = have;
}

static struct run run_new(uint64_t seed)
{
    struct run run = { .rig = rig_ready(seed) };
    prng_seed(&run.chance, seed);
    return run;
}

/* Works until an error, or `ops` commands. */
static err_t work(struct run *run, unsigned ops)
{
    struct err e = { 0 };
    for (unsigned i = 0; i < ops; i++) {
        err_t rc = step(run, &e);
        if (rc == ERR_OK && i % 8 == 7)
            rc = storage_tend(run->rig.store, &e);
        if (rc == ERR_OK && i % 16 == 15)
            rc = storage_prepare(run->rig.store, &e);
        if (rc != ERR_OK)
            return rc;
        run->sure = run->maybe;
        run->done++;
    }
    return ERR_OK;
}

static enum sim_crash kind_of(uint64_t n)
{
    static const enum sim_crash kinds[] = { SIM_CRASH_KILL,   SIM_CRASH_SECTORS, SIM_CRASH_LOSE,
                                            SIM_CRASH_PREFIX, SIM_CRASH_KEEP,    SIM_CRASH_SECTORS,
                                            SIM_CRASH_PREFIX };
    return kinds[n % (sizeof kinds / sizeof kinds[0])];
}

/* The run ended by design, not by a failing disk: no mark must tell otherwise. */
static void accept_mark(struct run *run)
{
    run->rig.config.accept_panic =
        true; /* a stopped machine answers ERR_IO, so the store has latched */
}

/* `kill`: the process dies at each effect; else the power fails, in another way at each. */
static void crash_everywhere(bool kill)
{
    uint64_t replayed = 0, segments = 0, crashes = 0;
    for (uint64_t n = 1;; n++) {
        struct run run = run_new(42);
        accept_mark(&run);
        uint64_t base = sim_disk_effects(run.rig.disk);
        sim_disk_stop_at(run.rig.disk, base + n);
        err_t rc = work(&run, OPS);
        if (!sim_disk_stopped(run.rig.disk)) {
            CHECK_EQ(rc, ERR_OK);
            CHECK(crashes > OPS * 2);
            CHECK(segments > 1);
            CHECK(replayed > 0);
            rig_free(&run.rig);
            break;
        }
        CHECK(rc != ERR_OK);
        rig_crash(&run.rig, kill ? SIM_CRASH_KILL : kind_of(n));
        rig_reopen(&run.rig);
        check_model(&run, "after a crash", n);
        struct storage_stats stats;
        storage_stats(run.rig.store, &stats);
        replayed += stats.replayed;
        if (wal_segment(run.rig.store->wal) > segments)
            segments = wal_segment(run.rig.store->wal);
        crashes++;
        /* It goes on from there; after a kill far enough to rely on all that was not synced when it
         * came. */
        CHECK_EQ(work(&run, kill ? 40 : 3), ERR_OK);
        rig_crash(&run.rig, SIM_CRASH_LOSE);
        rig_reopen(&run.rig);
        check_model(&run, "after going on", n);
        rig_free(&run.rig);
    }
}

TEST(power_cut_at_every_effect_of_a_run)
{
    crash_everywhere(false);
}

TEST(kill_at_every_effect_of_a_run)
{
    crash_everywhere(true);
}

TEST(crash_at_every_effect_of_recovery)
{
    unsigned stops = 0;
    for (uint64_t n = 1;; n++) {
        struct run run = run_new(7);
        accept_mark(&run);
        uint64_t base = sim_disk_effects(run.rig.disk);
        sim_disk_stop_at(run.rig.disk, base + 301);
        CHECK(work(&run, OPS) != ERR_OK);
        rig_crash(&run.rig, kind_of(n));
        base = sim_disk_effects(run.rig.disk);
        sim_disk_stop_at(run.rig.disk, base + n);
        struct err e = { 0 };
        err_t rc = rig_open(&run.rig, &e);
        bool stopped = sim_disk_stopped(run.rig.disk);
        CHECK(stopped || rc == ERR_OK);
        sim_disk_stop_at(run.rig.disk, 0);
        rig_crash(&run.rig, kind_of(n / 7));
        rig_reopen(&run.rig);
        check_model(&run, "after a crash in recovery", n);
        rig_free(&run.rig);
        if (!stopped)
            break;
        stops++;
    }
    CHECK(stops > 5);
}

TEST(crash_at_every_effect_of_init_leaves_no_half_store)
{
    uint64_t effects = 1000;
    for (uint64_t i = 0, n; (n = i / 7 + 1) <= effects;
         i++) { /* every effect, every kind of crash */
        uint64_t seed = i % 7;
        struct err e = { 0 };
        struct rig rig = rig_new(n);
        sim_disk_stop_at(rig.disk, n);
        err_t rc = rig_init(&rig, &e);
        bool stopped = sim_disk_stopped(rig.disk);
        CHECK(stopped || rc == ERR_OK);
        rig_crash(&rig, stopped ? kind_of(seed + n) : SIM_CRASH_LOSE);
        rc = rig_open(&rig, &e);
        if (rc == ERR_OK) { /* what a start has found stays */
            rig_crash(&rig, SIM_CRASH_LOSE);
            rig_reopen(&rig);
        } else { /* no store yet: init does it again */
            CHECK_EQ(rc, ERR_NOT_FOUND);
            CHECK(stopped);
            CHECK_OK(rig_init(&rig, &e), e);
            rig_reopen(&rig);
        }
        CHECK_EQ(env_stat(rig.env, "/store/INIT", &(bool){ 0 }, &(uint64_t){ 0 }, NULL),
                 ERR_NOT_FOUND);
        rig_put(&rig, "k", "v");
        rig_crash(&rig, SIM_CRASH_LOSE);
        rig_reopen(&rig);
        rig_expect(&rig, "k", "v");
        rig_free(&rig);
        if (!stopped)
            effects = n;
    }
    CHECK(effects > 10 && effects < 1000);
}

/* Any suffix of the engine's batches is lost: the log brings it back, every command once. */
TEST(engine_loses_any_suffix)
{
    for (uint64_t lost = 0; lost <= 40; lost++) {
        struct run run = run_new(3);
        struct storage *store = run.rig.store;
        struct err e = { 0 };
        engine_mem_hold(store->engine, true);
        CHECK_EQ(work(&run, 40), ERR_OK);
        uint64_t last = 0;
        CHECK_OK(engine_mem.last(store->engine, &last, &e), e);
        CHECK(last >= 40);
        apply_close(store->apply);
        store->apply = NULL;
        progress_close(store->progress);
        store->progress = NULL;
        CHECK_OK(engine_mem_crash(store->engine, last - lost, &e), e);
        store->engine = NULL;
        rig_crash(&run.rig, SIM_CRASH_KILL);
        rig_reopen(&run.rig);
        CHECK_EQ(run.rig.store->replayed, lost);
        check_model(&run, "after losing batches", lost);
        rig_free(&run.rig);
    }
}

/* ---- Damage ---------------------------------------------------------------------------------- */

static void segment_path(struct rig *rig, char *out)
{
    snprintf(out, 64, "/store/wal/%016x.seg", (unsigned)wal_segment(rig->store->wal));
}

/* The last batch was written and never acknowledged (its sync did not return). With any one byte of
 * it changed, or with it cut off anywhere, all acknowledged commands are there and nothing else. */
TEST(every_byte_of_an_unanswered_last_batch_may_be_damaged)
{
    struct run run = run_new(11);
    char path[64];
    CHECK_EQ(work(&run, 20), ERR_OK);
    segment_path(&run.rig, path);
    sim_disk_stop_at(run.rig.disk,
                     sim_disk_effects(run.rig.disk) + 2); /* after the write, before its sync */
    CHECK(work(&run, 1) != ERR_OK);
    uint64_t offset = 0, len = 0;
    CHECK(sim_disk_last_write(run.rig.disk, path, &offset, &len));
    storage_abandon(run.rig.store);
    run.rig.store = NULL;
    sim_disk_crash(run.rig.disk, SIM_CRASH_KEEP);
    sim_world_close(run.rig.world);
    run.rig.world = NULL;
    struct buf content = { 0 };
    CHECK_EQ(sim_disk_peek(run.rig.disk, path, &content), ERR_OK);
    uint32_t used;
    memcpy(&used, content.data + offset, sizeof used);
    CHECK(used > WAL_BATCH_HEADER && used < len);
    unsigned gone = 0, there = 0;
    for (uint64_t at = 0; at < len; at += at < used ? 1 : 97) {
        struct run copy = run;
        copy.rig.disk = sim_disk_copy(run.rig.disk, at);
        rig_boot(&copy.rig);
        CHECK_EQ(sim_disk_flip(copy.rig.disk, path, offset + at, at % 8), ERR_OK);
        rig_reopen(&copy.rig);
        struct model have;
        read_model(copy.rig.store, &have);
        if (at < used) {
            CHECK(same(&have, &run.sure)); /* a changed batch is no batch */
            gone++;
        } else {
            CHECK(same(&have, &run.maybe)); /* its padding says nothing */
            there++;
        }
        rig_free(&copy.rig);
    }
    CHECK(gone == used && there > 0);
    buf_free(&content);
    sim_disk_free(run.rig.disk);
}

/* A store that was stopped or tended knows how far its log went: damage at its end is no end. */
TEST(every_byte_of_an_acknowledged_last_batch_is_missed)
{
    struct run run = run_new(12);
    struct err e = { 0 };
    char path[64];
    CHECK_EQ(work(&run, 20), ERR_OK);
    CHECK_OK(storage_tend(run.rig.store, &e), e); /* the watermark covers all of it */
    segment_path(&run.rig, path);
    uint64_t offset = 0, len = 0;
    CHECK(sim_disk_last_write(run.rig.disk, path, &offset, &len));
    storage_abandon(run.rig.store);
    sim_disk_crash(run.rig.disk, SIM_CRASH_LOSE);
    sim_world_close(run.rig.world);
    for (uint64_t at = 0; at < 150; at++) {
        struct run copy = run;
        copy.rig.disk = sim_disk_copy(run.rig.disk, at);
        rig_boot(&copy.rig);
        CHECK_EQ(sim_disk_flip(copy.rig.disk, path, offset + at, at % 8), ERR_OK);
        struct buf whole = { 0 };
        err_t rc = rig_open(&copy.rig, &e);
        if (at < 100) { /* every command is longer than that: here it is damage for sure */
            CHECK_EQ(rc, ERR_AMNESIA);
            CHECK_CONTAINS(e.msg, "its end is lost");
        } else {
            CHECK(rc == ERR_AMNESIA || rc == ERR_OK);
        }
        buf_free(&whole);
        rig_free(&copy.rig);
    }
    sim_disk_free(run.rig.disk);
}

TEST(damage_in_the_middle_is_data_loss_with_segment_and_offset)
{
    struct run run = run_new(13);
    struct err e = { 0 };
    char path[64];
    CHECK_EQ(work(&run, 10), ERR_OK);
    segment_path(&run.rig, path);
    rig_crash(&run.rig, SIM_CRASH_LOSE);
    sim_world_close(run.rig.world);
    for (unsigned batch = 0; batch < 9; batch++)
        for (unsigned at = 0; at < 90; at += 7) {
            struct run copy = run;
            copy.rig.disk = sim_disk_copy(run.rig.disk, at);
            rig_boot(&copy.rig);
            CHECK_EQ(sim_disk_flip(copy.rig.disk, path, (batch + 1) * WAL_BLOCK + at, at % 8),
                     ERR_OK);
            CHECK_EQ(rig_open(&copy.rig, &e), ERR_DATA_LOSS);
            char want[80];
            snprintf(want, sizeof want, "segment \"%s\" at offset %u", path,
                     (batch + 1) * WAL_BLOCK);
            CHECK_CONTAINS(e.msg, want);
            rig_free(&copy.rig);
        }
    sim_disk_free(run.rig.disk);
}

TEST(a_lost_log_is_never_an_empty_one)
{
    struct run run = run_new(14);
    struct err e = { 0 };
    CHECK_EQ(work(&run, 60), ERR_OK);
    CHECK(wal_segment(run.rig.store->wal) > 3);
    char path[64], first[64];
    segment_path(&run.rig, path);
    snprintf(first, sizeof first, "/store/wal/%016x.seg", (unsigned)wal_oldest(run.rig.store->wal));
    rig_crash(&run.rig, SIM_CRASH_LOSE);
    sim_world_close(run.rig.world);
    for (unsigned how = 0; how < 6; how++) {
        struct run copy = run;
        copy.rig.disk = sim_disk_copy(run.rig.disk, how);
        rig_boot(&copy.rig);
        err_t want = ERR_DATA_LOSS;
        if (how == 0)
            CHECK_EQ(sim_disk_lose(copy.rig.disk, path),
                     ERR_OK); /* the last one: a spare behind it, or none */
        if (how == 1)
            CHECK_EQ(sim_disk_cut(copy.rig.disk, path, 0), ERR_OK);
        if (how == 2)
            CHECK_EQ(sim_disk_cut(copy.rig.disk, path, RIG_SEGMENT / 2), ERR_OK);
        if (how == 3)
            CHECK_EQ(sim_disk_zero(copy.rig.disk, path, 0, WAL_BLOCK), ERR_OK);
        if (how == 4) {
            CHECK_EQ(sim_disk_zero(copy.rig.disk, path, WAL_BLOCK, RIG_SEGMENT - WAL_BLOCK),
                     ERR_OK);
            want = ERR_AMNESIA;
        }
        if (how == 5)
            CHECK_EQ(sim_disk_zero(copy.rig.disk, first, WAL_BLOCK, RIG_SEGMENT - WAL_BLOCK),
                     ERR_OK);
        err_t rc = rig_open(&copy.rig, &e);
        if (how == 0)
            CHECK(rc == ERR_DATA_LOSS || rc == ERR_AMNESIA);
        else
            CHECK_EQ(rc, want);
        rig_free(&copy.rig);
    }
    sim_disk_free(run.rig.disk);
}

TEST_MAIN()
