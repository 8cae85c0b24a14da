/* How stores lose data, one test a way (traps D24, D30 to D35, D95). Beside each: a change of one line that
 * turns it red. */
#include "rig.h"

#include "base/prng.h"
#include "store_int.h"
#include "wal_int.h"

enum { A = 7, B = 12 }; /* two regions */

static struct rig ready(uint64_t seed)
{
    struct err e = { 0 };
    struct rig rig = rig_new(seed);
    rig.config.alone = false;
    rig.config.accept_panic = true; /* a stopped machine answers ERR_IO, so the store latches */
    CHECK_OK(rig_init(&rig, &e), e);
    CHECK_OK(rig_open(&rig, &e), e);
    return rig;
}

static const enum sim_crash kinds[] = { SIM_CRASH_KILL, SIM_CRASH_SECTORS, SIM_CRASH_LOSE,
                                        SIM_CRASH_PREFIX, SIM_CRASH_KEEP };
enum { KINDS = sizeof kinds / sizeof kinds[0] };

/* Commands that set a region's counter from index - 1 to index: each is right once. */
static void count_up(uint64_t region, raft_index index, struct raft_ent *ent, struct buf *data)
{
    char key[32];
    snprintf(key, sizeof key, "%d", (int)region);
    struct command cas = { .kind = COMMAND_CAS,
                           .namespace_id = 1,
                           .key = BYTES(key),
                           .value = BYTES("counted"),
                           .expected_version = index - 1 };
    buf_clear(data);
    CHECK_EQ(storage_entry_begin(data, index, 1), ERR_OK);
    rig_add(data, &cas);
    storage_entry_end(data, 1);
    *ent = (struct raft_ent){
        .term = 1, .index = index, .len = (uint32_t)data->len, .data = data->data
    };
}

static err_t append_counts(struct rig *rig, uint64_t region, raft_index first, uint32_t n,
                           struct err *e)
{
    struct raft_ent ents[8];
    struct buf data[8] = { 0 };
    for (uint32_t i = 0; i < n; i++)
        count_up(region, first + i, &ents[i], &data[i]);
    struct raft_hs hs = { .term = 1, .vote = 1, .commit = first - 1 };
    err_t rc = rig_promise(rig, region, hs, ents, n, e);
    for (uint32_t i = 0; i < n; i++)
        buf_free(&data[i]);
    return rc;
}

/* Applies all of a region's log, as it is read back; every command must have been done exactly once. */
static err_t apply_all(struct rig *rig, uint64_t region, raft_index applied, raft_index last,
                       struct err *e)
{
    struct storage_apply *apply = storage_apply_new(rig->store);
    struct buf bytes = { 0 };
    err_t rc = ERR_OK;
    while (applied < last && rc == ERR_OK) {
        struct raft_ent ents[8];
        uint32_t n = 0, slot;
        buf_clear(&bytes);
        rc = storage_entries(rig->store, region, applied + 1, last + 1, 1 << 20, 8, &bytes, ents,
                             &n, e);
        for (uint32_t i = 0; i < n && rc == ERR_OK; i++)
            CHECK_EQ(storage_apply_entry(apply, region, &ents[i], 1, &slot), ERR_OK);
        if (rc == ERR_OK)
            rc = storage_apply_run(rig->store, apply, e);
        for (uint32_t i = 0; i < n && rc == ERR_OK; i++) {
            CHECK_EQ(storage_apply_result(apply, i, 0, NULL)->rc, ERR_OK);
            CHECK_EQ(storage_apply_result(apply, i, 0, NULL)->version, ents[i].index);
        }
        storage_apply_reset(apply);
        applied += n;
    }
    storage_apply_free(apply);
    buf_free(&bytes);
    return rc;
}

/* A directory that was made anew under the old store's id has nothing of its promises. The incarnation tells,
 * and no part of the old one is taken for the new one's. Red: wal_segment_open() does not compare the
 * incarnation. */
TEST(d24_a_store_made_anew_takes_nothing_of_the_old_one)
{
    struct rig rig = ready(1);
    struct err e = { 0 };
    CHECK_OK(append_counts(&rig, A, 1, 3, &e), e);
    storage_abandon(rig.store);
    rig.store = NULL;
    struct sim_disk *old = sim_disk_copy(rig.disk, 1);
    static const char *const all[] = { "/store/IDENT",
                                       "/store/LOCK",
                                       "/store/WATERMARK",
                                       "/store/db/CURRENT",
                                       "/store/wal/0000000000000001.seg",
                                       "/store/db",
                                       "/store/wal" };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        CHECK_OK(env_remove(rig.env, all[i], &e), e);
    struct storage_ident ident = { .cluster_id = { 1, 2, 3 },
                                   .store_id = 7,
                                   .incarnation = 0x4321 };
    CHECK_OK(storage_init(rig.env, &rig.config, &ident, NULL, &e), e);
    rig_reopen(&rig);
    CHECK_EQ(storage_ident(rig.store)->incarnation, 0x4321);
    CHECK_EQ(rig_group(&rig, A).last, 0);
    storage_abandon(rig.store);
    struct buf segment = { 0 };
    CHECK_EQ(sim_disk_peek(old, all[4], &segment), ERR_OK);
    CHECK_EQ(sim_disk_poke(rig.disk, all[4], 0, buf_bytes(&segment)), ERR_OK);
    CHECK_EQ(rig_open(&rig, &e), ERR_DATA_LOSS);
    CHECK_CONTAINS(e.msg, "another store");
    buf_free(&segment);
    sim_disk_free(old);
    rig_free(&rig);
}

/* Who was told ERR_OK may answer.        Red: wal_write() leaves its env_file_sync() out. */
TEST(d30_no_answered_vote_is_forgotten)
{
    for (uint64_t seed = 1; seed <= 100; seed++) {
        struct rig rig = ready(seed);
        struct err e = { 0 };
        struct storage_records *records = storage_records_new(rig.store);
        for (uint64_t region = 1; region <= 5; region++) {
            struct raft_hs hs = { .term = 3 + region, .vote = region, .commit = 0 };
            CHECK_EQ(storage_records_append(records, region, hs, NULL, 0), ERR_OK);
        }
        CHECK_OK(storage_sync(rig.store, records, &e), e);
        storage_records_free(records);
        rig_crash(&rig, kinds[seed % KINDS]);
        rig_reopen(&rig);
        for (uint64_t region = 1; region <= 5; region++) {
            CHECK_EQ(rig_group(&rig, region).hs.term, 3 + region);
            CHECK_EQ(rig_group(&rig, region).hs.vote, region);
        }
        rig_free(&rig);
    }
}

/* The power fails between write and sync: whatever is left, hard state and entries of all regions are of one time.
 * Red: wal_format_batch_crc() covers the header alone. */
TEST(d31_hard_state_and_entries_are_one)
{
    unsigned old = 0, new = 0;
    static uint8_t large[12000];
    for (uint64_t seed = 1; seed <= 150; seed++) {
        struct rig rig = ready(seed);
        struct err e = { 0 };
        struct raft_ent ent = { .term = 1, .index = 1, .len = sizeof large, .data = large };
        struct raft_hs hs = { .term = 1, .vote = 1 };
        CHECK_OK(rig_promise(&rig, A, hs, &ent, 1, &e), e);
        CHECK_OK(rig_promise(&rig, B, hs, &ent, 1, &e), e);
        struct storage_records *records = storage_records_new(rig.store);
        hs = (struct raft_hs){ .term = 2, .vote = 3, .commit = 1 };
        ent.index = ent.term = 2;
        memset(large, (int)seed, sizeof large);
        CHECK_EQ(storage_records_append(records, A, hs, &ent, 1), ERR_OK);
        CHECK_EQ(storage_records_append(records, B, hs, &ent, 1), ERR_OK);
        sim_disk_stop_at(rig.disk, sim_disk_effects(rig.disk) + 2); /* written, not synced */
        CHECK(storage_sync(rig.store, records, &e) != ERR_OK);
        storage_records_free(records);
        rig_crash(&rig, kinds[seed % KINDS]);
        rig_reopen(&rig);
        struct storage_group a = rig_group(&rig, A), b = rig_group(&rig, B);
        CHECK(a.hs.term == a.last && b.hs.term == b.last && a.last == b.last);
        CHECK_EQ(a.hs.vote, a.last == 2 ? 3 : 1);
        old += a.last == 1;
        new += a.last == 2;
        rig_free(&rig);
    }
    CHECK(old > 30 && new > 30);
}

/* The first failure is the last: nothing is tried again, neither a sync nor a name.
 * Red: break_log() does not set `broken`. */
TEST(d32_a_failed_sync_ends_the_store)
{
    for (unsigned name = 0; name < 2; name++) {
        struct rig rig = ready(3);
        struct err e = { 0 };
        CHECK_OK(append_counts(&rig, A, 1, 3, &e), e);
        if (name) {
            sim_disk_fault(rig.disk, SIM_FAULT_NAME, ".seg", 1);
            CHECK(storage_prepare(rig.store, &e) != ERR_OK);
        } else {
            sim_disk_fault(rig.disk, SIM_FAULT_SYNC, ".seg", 1);
            CHECK(append_counts(&rig, A, 4, 1, &e) != ERR_OK);
        }
        uint64_t effects = sim_disk_effects(rig.disk);
        CHECK_EQ(append_counts(&rig, A, 4, 1, &e), ERR_IO);
        CHECK_CONTAINS(e.msg, "has stopped after a failed write");
        CHECK_EQ(apply_all(&rig, A, 0, 3, &e), ERR_IO);
        CHECK_EQ(storage_tend(rig.store, &e), ERR_IO);
        CHECK_EQ(sim_disk_effects(rig.disk), effects);
        rig_crash(&rig, SIM_CRASH_LOSE);
        rig.config.accept_panic = false;
        CHECK_EQ(rig_open(&rig, &e), ERR_PANIC_MARK);
        rig.config.accept_panic = true;
        rig_reopen(&rig);
        CHECK(rig_group(&rig, A).last >= 3);
        rig_free(&rig);
    }
}

/* Counters of two regions; the engine loses any number of its newest batches, or stops at any effect of its
 * own: nothing counts twice, nothing is left out. Red: apply_commit() writes the apply states in a second
 * batch. */
static void count_both(struct rig *rig, raft_index last[2], err_t *rc, struct err *e)
{
    for (unsigned i = 0; i < 24 && *rc == ERR_OK; i++) {
        unsigned which = i % 3 == 0;
        uint64_t region = which ? B : A;
        *rc = append_counts(rig, region, last[which] + 1, 2, e);
        if (*rc == ERR_OK)
            *rc = apply_all(rig, region, last[which], last[which] + 2, e);
        if (*rc == ERR_OK)
            last[which] += 2;
    }
}

/* Brings both forward; answers how many entries the engine had lost. */
static raft_index recount(struct rig *rig, const raft_index last[2])
{
    struct err e = { 0 };
    raft_index lost = 0;
    for (unsigned which = 0; which < 2; which++) {
        struct storage_group group = rig_group(rig, which ? B : A);
        CHECK(group.last >= last[which] && group.applied <= group.last);
        lost += group.last - group.applied;
        CHECK_OK(apply_all(rig, which ? B : A, group.applied, group.last, &e), e);
    }
    return lost;
}

TEST(d33_applied_index_and_rows_are_one_batch)
{
    uint64_t batches = 1;
    for (uint64_t keep = 0; keep <= batches; keep++) {
        struct rig rig = ready(9);
        struct err e = { 0 };
        err_t rc = ERR_OK;
        raft_index last[2] = { 0 };
        engine_mem_hold(rig.store->engine, true);
        count_both(&rig, last, &rc, &e);
        CHECK_EQ(rc, ERR_OK);
        CHECK_OK(engine_mem.last(rig.store->engine, &batches, &e), e);
        apply_close(rig.store->apply);
        progress_close(rig.store->progress);
        rig.store->apply = NULL;
        rig.store->progress = NULL;
        CHECK_OK(engine_mem_crash(rig.store->engine, keep, &e), e);
        rig.store->engine = NULL;
        rig_crash(&rig, SIM_CRASH_KILL);
        rig_reopen(&rig);
        CHECK_EQ(recount(&rig, last), 2 * (batches - keep));
        rig_free(&rig);
    }
    CHECK_EQ(batches, 24);
}

TEST(d33_a_crash_at_every_effect_counts_once)
{
    unsigned crashes = 0;
    raft_index again = 0;
    for (uint64_t n = 1;; n++) {
        struct rig rig = ready(9);
        struct err e = { 0 };
        err_t rc = ERR_OK;
        raft_index last[2] = { 0 };
        sim_disk_stop_at(rig.disk, sim_disk_effects(rig.disk) + n);
        for (unsigned i = 0; i < 2 && rc == ERR_OK; i++) {
            count_both(&rig, last, &rc, &e);
            if (rc == ERR_OK)
                rc = engine_mem.force(rig.store->engine, &e);
        }
        bool stopped = sim_disk_stopped(rig.disk);
        CHECK(stopped || rc == ERR_OK);
        rig_crash(&rig, kinds[n % KINDS]);
        rig_reopen(&rig);
        again += recount(&rig, last);
        rig_free(&rig);
        crashes += stopped;
        if (!stopped)
            break;
    }
    CHECK(crashes > 90);
    CHECK(again > 500);
}

static void segment_path(struct rig *rig, char *out)
{
    snprintf(out, 64, "/store/wal/%016x.seg", (unsigned)wal_segment(rig->store->wal));
}

/* A store with some batches of three regions; then one more, of all of them, that may have been answered or not. */
static struct rig three_regions(bool answered, char path[64], uint64_t *offset, uint64_t *len)
{
    struct rig rig = ready(21);
    struct err e = { 0 };
    for (raft_index i = 1; i <= 3; i++)
        for (uint64_t region = 1; region <= 3; region++)
            CHECK_OK(append_counts(&rig, region, i, 1, &e), e);
    struct storage_records *records = storage_records_new(rig.store);
    struct raft_hs hs = { .term = 2, .vote = 2, .commit = 1 };
    struct raft_ent ent = { .term = 2, .index = 3, .len = 5, .data = "other" };
    CHECK_EQ(storage_records_append(records, 1, hs, &ent, 1), ERR_OK); /* replaces */
    ent.index = 4;
    CHECK_EQ(storage_records_append(records, 2, hs, &ent, 1), ERR_OK);
    CHECK_EQ(storage_records_append(records, 3, hs, NULL, 0), ERR_OK);
    segment_path(&rig, path);
    if (!answered)
        sim_disk_stop_at(rig.disk, sim_disk_effects(rig.disk) + 2);
    CHECK_EQ(storage_sync(rig.store, records, &e) == ERR_OK, answered);
    CHECK(sim_disk_last_write(rig.disk, path, offset, len));
    storage_records_free(records);
    storage_abandon(rig.store);
    rig.store = NULL;
    sim_disk_crash(rig.disk, SIM_CRASH_KEEP);
    sim_world_close(rig.world);
    rig.world = NULL;
    return rig;
}

static void expect_before(struct rig *rig)
{
    struct err e = { 0 };
    for (uint64_t region = 1; region <= 3; region++) {
        CHECK_EQ(rig_group(rig, region).last, 3);
        CHECK_EQ(rig_group(rig, region).hs.term, 1);
        CHECK_OK(apply_all(rig, region, 0, 3, &e), e); /* the old third entry is there */
    }
}

static void expect_after(struct rig *rig)
{
    struct raft_ent ent;
    struct buf bytes = { 0 };
    struct err e = { 0 };
    uint32_t n;
    CHECK_EQ(rig_group(rig, 1).last, 3);
    CHECK_EQ(rig_group(rig, 2).last, 4);
    CHECK_EQ(rig_group(rig, 3).last, 3);
    for (uint64_t region = 1; region <= 3; region++)
        CHECK_EQ(rig_group(rig, region).hs.term, 2);
    CHECK_OK(storage_entries(rig->store, 1, 3, 4, 100, 1, &bytes, &ent, &n, &e), e);
    CHECK_BYTES(bytes_from(ent.data, ent.len), BYTES("other"));
    buf_free(&bytes);
}

/* An end, or damage? Every byte of the last batch, whose regions share its fate; and every batch before it.
 * Red: check_rest() answers ERR_OK without looking. */
TEST(d34_a_torn_end_is_cut_and_damage_is_told)
{
    char path[64];
    uint64_t offset = 0, len = 0;
    struct rig rig = three_regions(false, path, &offset, &len);
    struct buf content = { 0 };
    CHECK_EQ(sim_disk_peek(rig.disk, path, &content), ERR_OK);
    uint32_t used;
    memcpy(&used, content.data + offset, sizeof used);
    CHECK(used > 200 && used < len);
    for (uint64_t at = 0; at < len; at += at < used ? 1 : 97) {
        struct rig copy = rig;
        copy.disk = sim_disk_copy(rig.disk, at);
        rig_boot(&copy);
        CHECK_EQ(sim_disk_flip(copy.disk, path, offset + at, at % 8), ERR_OK);
        rig_reopen(&copy);
        if (at < used)
            expect_before(&copy); /* nobody was answered */
        else
            expect_after(&copy); /* the padding says nothing */
        rig_free(&copy);
    }
    for (uint64_t at = WAL_BLOCK; at < offset; at += 61) { /* in the middle */
        struct rig copy = rig;
        struct err e = { 0 };
        uint32_t length;
        memcpy(&length, content.data + at / WAL_BLOCK * WAL_BLOCK, sizeof length);
        copy.disk = sim_disk_copy(rig.disk, at);
        rig_boot(&copy);
        CHECK_EQ(sim_disk_flip(copy.disk, path, at, at % 8), ERR_OK);
        err_t rc = rig_open(&copy, &e);
        char want[96];
        snprintf(want, sizeof want, "segment \"%s\" at offset %d", path,
                 (int)(at / WAL_BLOCK * WAL_BLOCK));
        CHECK_EQ(rc, at % WAL_BLOCK < length ? ERR_DATA_LOSS : ERR_OK);
        if (rc != ERR_OK)
            CHECK_CONTAINS(e.msg, want);
        rig_free(&copy);
    }
    buf_free(&content);
    sim_disk_free(rig.disk);
}

/* An answered batch is missed, also where no batch stands behind it: the mark on another file knows.
 * Red: check_batches() does not compare with the watermark. */
TEST(d34_a_lost_end_that_was_answered_is_amnesia)
{
    char path[64];
    uint64_t offset = 0, len = 0;
    struct rig rig = three_regions(true, path, &offset, &len);
    rig_boot(&rig);
    rig_reopen(&rig); /* writes the watermark */
    expect_after(&rig);
    storage_abandon(rig.store);
    rig.store = NULL;
    struct err e = { 0 };
    CHECK_EQ(sim_disk_zero(rig.disk, path, offset, len), ERR_OK);
    CHECK_EQ(rig_open(&rig, &e), ERR_AMNESIA);
    rig_free(&rig);
}

/* A segment goes when all of its regions have let go of what was applied durably, and not before.
 * Red: last_in() answers 0; ledger_holder() looks at the first region alone. */
TEST(d35_the_log_waits_for_the_last_who_wants_it)
{
    struct rig rig = ready(31);
    struct err e = { 0 };
    uint64_t holder;
    raft_index last = 1;
    CHECK_OK(append_counts(&rig, A, 1, 1, &e), e);
    CHECK_OK(apply_all(&rig, A, 0, 1, &e), e);
    CHECK_OK(append_counts(&rig, B, 1, 2, &e), e); /* B's follower is slow */
    CHECK_OK(apply_all(&rig, B, 0, 2, &e), e);
    while (wal_segment(rig.store->wal) < STORE_SEGMENTS_MAX + 2) {
        CHECK_OK(append_counts(&rig, A, last + 1, 8, &e), e);
        CHECK_OK(apply_all(&rig, A, last, last + 8, &e), e);
        last += 8;
        CHECK_OK(storage_tend(rig.store, &e), e);
        storage_release(rig.store, A, storage_durable(rig.store, A), 1);
        CHECK_OK(storage_prepare(rig.store, &e),
                 e); /* the engine makes durable what is in a long log */
    }
    CHECK_OK(engine_mem.force(rig.store->engine, &e), e);
    CHECK_OK(storage_tend(rig.store, &e), e);
    CHECK_EQ(wal_oldest(rig.store->wal), 1);
    CHECK(storage_log_is_long(rig.store, &holder));
    CHECK_EQ(holder, B);
    rig_crash(&rig, SIM_CRASH_LOSE);
    rig_reopen(&rig);
    CHECK_EQ(rig_group(&rig, B).base, 0); /* all of it */
    CHECK_EQ(rig_group(&rig, A).base, 0);
    storage_release(rig.store, A, storage_durable(rig.store, A), 1);
    storage_release(rig.store, B, 1, 1); /* one of two: the segment is still wanted */
    CHECK_OK(storage_tend(rig.store, &e), e);
    CHECK_EQ(wal_oldest(rig.store->wal), 1);
    storage_release(rig.store, B, 2, 1);
    CHECK_OK(storage_tend(rig.store, &e), e);
    CHECK(wal_oldest(rig.store->wal) + 1 >= wal_segment(rig.store->wal));
    CHECK(!storage_log_is_long(rig.store, &holder));
    rig_crash(&rig, SIM_CRASH_LOSE);
    rig_reopen(&rig);
    CHECK_EQ(rig_group(&rig, B).base, 2);
    CHECK_EQ(rig_group(&rig, B).base_term, 1);
    CHECK_EQ(rig_group(&rig, B).last, 2);
    CHECK_EQ(rig_group(&rig, A).last, last);
    CHECK_OK(append_counts(&rig, B, 3, 1, &e), e); /* and it goes on */
    rig_free(&rig);
}

/* Entries that are applied, and not durably so, are nobody's to release; and a quiet region does not hold the
 * log for ever.
 * Red: engine_holds() answers false. */
TEST(d35_a_quiet_region_is_made_durable)
{
    struct rig rig = ready(32);
    struct err e = { 0 };
    engine_mem_hold(rig.store->engine, true);
    CHECK_OK(append_counts(&rig, B, 1, 1, &e), e);
    CHECK_OK(apply_all(&rig, B, 0, 1, &e), e);
    CHECK_EQ(storage_durable(rig.store, B), 0);
    for (unsigned i = 1; wal_segment(rig.store->wal) < STORE_SEGMENTS_MAX + 2; i++)
        rig_local(&rig, STORAGE_LOCAL_HLC, bytes_from(&i, sizeof i));
    uint64_t holder;
    CHECK_OK(storage_tend(rig.store, &e), e);
    CHECK(storage_log_is_long(rig.store, &holder));
    CHECK_EQ(holder, 0); /* nobody could let go */
    CHECK_OK(storage_prepare(rig.store, &e), e);
    CHECK_OK(storage_tend(rig.store, &e), e);
    CHECK_EQ(storage_durable(rig.store, B), 1);
    CHECK(storage_log_is_long(rig.store, &holder));
    CHECK_EQ(holder, B);
    storage_release(rig.store, B, 1, 1);
    CHECK_OK(storage_tend(rig.store, &e), e);
    CHECK(wal_oldest(rig.store->wal) + 1 >= wal_segment(rig.store->wal));
    rig_free(&rig);
}

/* A write that failed half way, at any place: it ends the run, and the next one goes on behind the last whole batch.
 * Red: replay_segment() leaves end_offset behind the torn batch. */
TEST(d95_a_torn_append_is_never_built_upon)
{
    unsigned torn = 0;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct rig rig = ready(seed);
        struct err e = { 0 };
        static uint8_t large[20000];
        struct raft_hs hs = { .term = 1, .vote = 1 };
        struct raft_ent ent = { .term = 1, .index = 3, .len = sizeof large, .data = large };
        memset(large, 0xab,
               sizeof large); /* a torn end of zeros would be none: segments are of zeros */
        CHECK_OK(append_counts(&rig, A, 1, 2, &e), e);
        sim_disk_fault(rig.disk, seed % 2 ? SIM_FAULT_WRITE : SIM_FAULT_FULL, ".seg", 1);
        CHECK_EQ(rig_promise(&rig, A, hs, &ent, 1, &e), ERR_IO);
        CHECK_EQ(rig_promise(&rig, A, hs, &ent, 1, &e), ERR_IO);
        rig_crash(&rig, kinds[seed % KINDS]);
        rig_reopen(&rig);
        raft_index last = rig_group(&rig, A).last; /* all of it may have been written */
        CHECK(last == 2 || last == 3);
        CHECK_EQ(rig.store->wal->end, last == 2 ? 2 * WAL_BLOCK : 7 * WAL_BLOCK);
        torn += last == 2;
        CHECK_OK(append_counts(&rig, A, 3, 1, &e), e);
        CHECK_OK(append_counts(&rig, A, 4, 1, &e), e);
        rig_crash(&rig, SIM_CRASH_LOSE);
        rig_reopen(&rig);
        CHECK_EQ(rig_group(&rig, A).last, 4);
        CHECK_OK(apply_all(&rig, A, 0, 4, &e), e);
        rig_free(&rig);
    }
    print_message("%u of 60 were torn\n", torn);
    CHECK(torn > 40);
}

TEST_MAIN()
