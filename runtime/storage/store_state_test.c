/* The state half: entries of many regions in one batch, epochs, metas, the TSO's window, snapshots and farewells. */
#include "rig.h"

#include "store_int.h"

static struct rig ready(uint64_t seed)
{
    struct err e = { 0 };
    struct rig rig = rig_new(seed);
    rig.config.alone = false;
    rig.config.accept_panic = true;
    CHECK_OK(rig_init(&rig, &e), e);
    CHECK_OK(rig_open(&rig, &e), e);
    return rig;
}

struct proposal {
    struct buf data;
    struct raft_ent ent;
};

/* An entry of one command, or an empty one (NULL). */
static void propose(struct proposal *p, raft_index index, uint64_t version,
                    const struct command *command)
{
    buf_clear(&p->data);
    if (command != NULL) {
        CHECK_EQ(storage_entry_begin(&p->data, 100 + index, version), ERR_OK);
        rig_add(&p->data, command);
        storage_entry_end(&p->data, 1);
    }
    p->ent = (struct raft_ent){
        .term = 1, .index = index, .len = (uint32_t)p->data.len, .data = p->data.data
    };
}

static struct command put_of(const char *key, const char *value)
{
    return (struct command){
        .kind = COMMAND_RAW_PUT, .namespace_id = 1, .key = BYTES(key), .value = BYTES(value)
    };
}

static uint64_t engine_last(struct rig *rig)
{
    struct err e = { 0 };
    uint64_t n = 0;
    CHECK_OK(engine_mem.last(rig->store->engine, &n, &e), e);
    return n;
}

static void expect_meta(struct rig *rig, uint64_t region, const char *want)
{
    struct err e = { 0 };
    struct rig_look look = { .group = { .region = region } };
    CHECK_OK(storage_groups(rig->store, rig_look_at, &look, &e), e);
    CHECK_BYTES(buf_bytes(&look.meta), BYTES(want));
    buf_free(&look.meta);
}

/* ---- Batches ---------------------------------------------------------------------------------- */

TEST(entries_of_many_regions_are_one_batch)
{
    struct rig rig = ready(1);
    struct err e = { 0 };
    struct storage_apply *apply = storage_apply_new(rig.store);
    struct proposal p[8] = { 0 };
    struct command put = put_of("k", "1");
    uint32_t slot;
    raft_index next[3] = { 1, 1, 1 };
    for (unsigned i = 0; i < 8; i++) { /* mixed, each region's in order */
        unsigned which = i * 5 % 3;
        propose(&p[i], next[which]++, 1, i == 3 ? NULL : &put);
        CHECK_EQ(storage_apply_entry(apply, 256 + which, &p[i].ent, 1, &slot), ERR_OK);
        CHECK_EQ(slot, i);
    }
    CHECK_EQ(storage_apply_meta(apply, 256, BYTES("of 256")), ERR_OK);
    CHECK_EQ(storage_apply_meta(apply, 9, BYTES("a child")), ERR_OK);
    CHECK_EQ(storage_apply_count(apply), 8);
    CHECK(storage_apply_bytes(apply) > 8 * STORAGE_COMMAND_HEADER);
    uint64_t before = engine_last(&rig);
    CHECK_OK(storage_apply_run(rig.store, apply, &e), e);
    CHECK_EQ(engine_last(&rig), before + 1);
    CHECK_EQ(storage_apply_commands(apply, 3), 0);
    CHECK_EQ(storage_apply_hlc(apply, 3), 0);
    CHECK_EQ(storage_apply_hlc(apply, 7), 100 + p[7].ent.index);
    for (unsigned which = 0; which < 3; which++) {
        struct layout_apply_state applied;
        progress_applied(rig.store->progress, 256 + which, &applied);
        CHECK_EQ(applied.index, next[which] - 1);
        CHECK_EQ(applied.term, 1);
    }
    storage_apply_free(apply);
    CHECK_OK(engine_mem.force(rig.store->engine, &e), e);
    CHECK_OK(storage_tend(rig.store, &e), e);
    CHECK_EQ(storage_durable(rig.store, 256), next[0] - 1);
    expect_meta(&rig, 256, "of 256");
    expect_meta(&rig, 9, "a child"); /* known by its meta alone */
    CHECK_EQ(rig_group(&rig, 9).applied, 0);
    for (unsigned i = 0; i < 8; i++)
        buf_free(&p[i].data);
    rig_free(&rig);
}

/* Empty entries and changes of configuration move the index, all of a run in one batch; no entry at all, none. */
TEST(runs_without_commands_are_one_batch_or_none)
{
    struct rig rig = ready(2);
    struct err e = { 0 };
    struct storage_apply *apply = storage_apply_new(rig.store);
    struct raft_ent conf = { .term = 1, .len = 3, .type = RAFT_ENT_CONF, .data = "abc" };
    uint32_t slot;
    uint64_t before = engine_last(&rig);
    CHECK_OK(storage_apply_run(rig.store, apply, &e), e);
    CHECK_EQ(engine_last(&rig), before);
    storage_apply_reset(apply);
    for (uint64_t region = 1; region <= 50; region++) {
        conf.index = 1;
        CHECK_EQ(storage_apply_entry(apply, region, &conf, 7, &slot), ERR_OK);
        struct raft_ent empty = { .term = 1, .index = 2 };
        CHECK_EQ(storage_apply_entry(apply, region, &empty, 7, &slot), ERR_OK);
    }
    CHECK_OK(storage_apply_run(rig.store, apply, &e), e);
    CHECK_EQ(engine_last(&rig), before + 1);
    for (uint32_t i = 0; i < 100; i++) {
        CHECK_EQ(storage_apply_outcome(apply, i), ERR_OK);
        CHECK_EQ(storage_apply_commands(apply, i), 0);
    }
    storage_apply_free(apply);
    rig_free(&rig);
}

/* ---- Epochs ---------------------------------------------------------------------------------- */

/* Trap D1: what was proposed under another version is not done, not in part, and the region goes on. */
TEST(d01_an_entry_of_another_version_does_nothing)
{
    struct rig rig = ready(3);
    struct err e = { 0 };
    struct storage_apply *apply = storage_apply_new(rig.store);
    struct proposal p[4] = { 0 };
    struct command a = put_of("a", "1"), b = put_of("b", "2"), c = put_of("c", "3");
    struct buf got = { 0 };
    uint32_t slot;
    propose(&p[0], 1, 4, &a);
    propose(&p[1], 2, 4, &b); /* proposed before the split that made it 5 */
    propose(&p[2], 3, 6, &b); /* by somebody who knows more */
    propose(&p[3], 4, 5, &c);
    CHECK_EQ(storage_apply_entry(apply, 7, &p[0].ent, 4, &slot), ERR_OK);
    CHECK_EQ(storage_apply_entry(apply, 7, &p[1].ent, 5, &slot), ERR_OK);
    CHECK_EQ(storage_apply_entry(apply, 7, &p[2].ent, 5, &slot), ERR_OK);
    CHECK_EQ(storage_apply_entry(apply, 7, &p[3].ent, 5, &slot), ERR_OK);
    CHECK_OK(storage_apply_run(rig.store, apply, &e), e);
    static const err_t want[] = { ERR_OK, ERR_EPOCH_NOT_MATCH, ERR_EPOCH_NOT_MATCH, ERR_OK };
    for (uint32_t i = 0; i < 4; i++) {
        CHECK_EQ(storage_apply_outcome(apply, i), want[i]);
        CHECK_EQ(storage_apply_commands(apply, i), want[i] == ERR_OK);
        CHECK_EQ(storage_apply_hlc(apply, i), 101 + i);
    }
    rig_expect(&rig, "a", "1");
    rig_expect(&rig, "c", "3");
    CHECK_EQ(storage_get_raw(rig.store, 1, BYTES("b"), &got, &e), ERR_NOT_FOUND);
    CHECK_EQ(rig_group(&rig, 7).applied, 4);
    CHECK_EQ(rig_group(&rig, 7).applied_hlc, 104);
    CHECK_EQ(rig.store->commands, 2);
    storage_apply_free(apply);
    for (unsigned i = 0; i < 4; i++)
        buf_free(&p[i].data);
    rig_free(&rig);
}

TEST(what_does_not_decode_stops_the_replica)
{
    static const struct {
        const char *hex;
        err_t rc;
    } rows[] = {
        { "03000100000000000000000000000000000000000000000001", ERR_UPGRADE_REQUIRED },
        { "0200", ERR_CORRUPTION },
        { "020000000000000000000000000000000100000000000000ff", ERR_CORRUPTION }, /* too long */
        { "020001000000000000000000000000000100000000000000", ERR_CORRUPTION },   /* too short */
        { "0200010000000000000000000000000001000000000000000100000002000000ffff", ERR_CORRUPTION },
        { "0200010000000000000000000000000001000000000000006300000000000000",
          ERR_UPGRADE_REQUIRED },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (unsigned probed = 0; probed < 2; probed++) {
            struct rig rig = ready(4);
            struct err e = { 0 };
            struct storage_apply *apply = storage_apply_new(rig.store);
            struct buf data = test_hex(rows[i].hex);
            struct raft_ent ent = {
                .term = 1, .index = 1, .len = (uint32_t)data.len, .data = data.data
            };
            uint32_t slot;
            CHECK_EQ(storage_apply_entry(apply, 7, &ent, 1, &slot), ERR_OK);
            if (probed)
                CHECK(storage_apply_is_cached(apply));
            CHECK_EQ(storage_apply_run(rig.store, apply, &e), rows[i].rc);
            CHECK_CONTAINS(e.msg, "entry 1 of region 7 cannot be applied");
            CHECK_EQ(storage_latched(rig.store, &e), rows[i].rc);
            storage_apply_free(apply);
            buf_free(&data);
            rig_free(&rig);
        }
}

/* ---- The TSO --------------------------------------------------------------------------------- */

TEST(a_window_grows_and_is_given_once)
{
    struct rig rig = ready(5);
    struct err e = { 0 };
    struct storage_apply *apply = storage_apply_new(rig.store);
    struct proposal p[5] = { 0 };
    static const uint64_t windows[] = { 1000, 3000, 3000, 2000, 3001 };
    static const err_t want[] = { ERR_OK, ERR_OK, ERR_CONFLICT, ERR_CONFLICT, ERR_OK };
    uint32_t slot;
    CHECK_EQ(storage_tso_window(rig.store), 0);
    for (unsigned i = 0; i < 5; i++) {
        struct command tso = { .kind = COMMAND_TSO, .window_ms = windows[i] };
        propose(&p[i], i + 1, 1, &tso);
        if (i == 4) { /* in a later batch */
            CHECK_OK(storage_apply_run(rig.store, apply, &e), e);
            CHECK_EQ(storage_tso_window(rig.store), 3000);
            for (unsigned k = 0; k < 4; k++) {
                CHECK_EQ(storage_apply_result(apply, k, 0, NULL)->rc, want[k]);
                CHECK_EQ(storage_apply_result(apply, k, 0, NULL)->version,
                         want[k] == ERR_OK ? windows[k] : 3000);
            }
            storage_apply_reset(apply);
        }
        CHECK_EQ(storage_apply_entry(apply, 1, &p[i].ent, 1, &slot), ERR_OK);
    }
    CHECK_OK(storage_apply_run(rig.store, apply, &e), e);
    CHECK_EQ(storage_tso_window(rig.store), 3001);
    storage_apply_free(apply);
    CHECK_OK(engine_mem.force(rig.store->engine, &e), e);
    struct raft_hs hs = { .term = 1, .vote = 1 };
    struct raft_ent ents[5];
    for (unsigned i = 0; i < 5; i++)
        ents[i] = p[i].ent;
    CHECK_OK(rig_promise(&rig, 1, hs, ents, 5, &e), e);
    rig_crash(&rig, SIM_CRASH_LOSE);
    rig_reopen(&rig);
    CHECK_EQ(storage_tso_window(rig.store), 3001);
    uint8_t local[8];
    store_u64(local, 5000); /* of the first format: it counts, and no command has to pass it */
    rig_local(&rig, STORAGE_LOCAL_TSO, bytes_from(local, 8));
    rig_crash(&rig, SIM_CRASH_LOSE);
    rig_reopen(&rig);
    CHECK_EQ(storage_tso_window(rig.store), 5000);
    apply = storage_apply_new(rig.store);
    struct command tso = { .kind = COMMAND_TSO, .window_ms = 4000 };
    propose(&p[0], 6, 1, &tso);
    CHECK_EQ(storage_apply_entry(apply, 1, &p[0].ent, 1, &slot), ERR_OK);
    CHECK_OK(storage_apply_run(rig.store, apply, &e), e);
    CHECK_EQ(storage_apply_result(apply, 0, 0, NULL)->rc, ERR_OK); /* by log and rows alone */
    CHECK_EQ(storage_tso_window(rig.store), 5000);
    storage_apply_free(apply);
    for (unsigned i = 0; i < 5; i++)
        buf_free(&p[i].data);
    rig_free(&rig);
}

/* ---- Init with a region ---------------------------------------------------------------------- */

TEST(a_store_begins_with_its_first_region_or_not_at_all)
{
    unsigned stops = 0;
    for (uint64_t n = 1;; n++) {
        struct err e = { 0 };
        struct rig rig = rig_new(n);
        struct storage_ident ident = { .store_id = 7, .incarnation = 0x1234 };
        struct storage_first first = { .region = 1, .meta = BYTES("peers, range, epoch") };
        rig.config.alone = false;
        sim_disk_stop_at(rig.disk, n);
        err_t rc = storage_init(rig.env, &rig.config, &ident, &first, &e);
        bool stopped = sim_disk_stopped(rig.disk);
        CHECK(stopped || rc == ERR_OK);
        rig_crash(&rig, n % 2 ? SIM_CRASH_SECTORS : SIM_CRASH_LOSE);
        rc = rig_open(&rig, &e);
        if (rc != ERR_OK) {
            CHECK_EQ(rc, ERR_NOT_FOUND);
            CHECK_OK(storage_init(rig.env, &rig.config, &ident, &first, &e), e);
            rig_reopen(&rig);
        }
        expect_meta(&rig, 1, "peers, range, epoch");
        CHECK_EQ(rig_group(&rig, 1).applied, 0);
        rig_free(&rig);
        stops += stopped;
        if (!stopped)
            break;
    }
    CHECK(stops > 15);
}

/* ---- Boot rules ------------------------------------------------------------------------------ */

/* Applied, durably, up to `applied`; the log has entries up to `last`. */
static void fill(struct rig *rig, uint64_t region, raft_index last, raft_index applied)
{
    struct err e = { 0 };
    struct storage_apply *apply = storage_apply_new(rig->store);
    struct raft_hs hs = { .term = 1, .vote = 1, .commit = last };
    for (raft_index i = 1; i <= last; i++) {
        struct proposal p = { 0 };
        struct command put = put_of("k", "v");
        uint32_t slot;
        propose(&p, i, 1, &put);
        CHECK_OK(rig_promise(rig, region, hs, &p.ent, 1, &e), e);
        if (i <= applied) {
            CHECK_EQ(storage_apply_entry(apply, region, &p.ent, 1, &slot), ERR_OK);
            CHECK_OK(storage_apply_run(rig->store, apply, &e), e);
            storage_apply_reset(apply);
        }
        buf_free(&p.data);
    }
    CHECK_OK(engine_mem.force(rig->store->engine, &e), e);
    storage_apply_free(apply);
}

/* A region that is only in the log, one that is only in the engine, one that has lost the end of its log. */
TEST(a_start_compares_log_and_engine_region_by_region)
{
    struct rig rig = ready(6);
    struct err e = { 0 };
    fill(&rig, 5, 4, 2);
    fill(&rig, 6, 3, 0);
    struct storage_apply *apply = storage_apply_new(rig.store);
    CHECK_EQ(storage_apply_meta(apply, 8, BYTES("a child that nobody has written to")), ERR_OK);
    CHECK_OK(storage_apply_run(rig.store, apply, &e), e);
    CHECK_OK(engine_mem.force(rig.store->engine, &e), e);
    storage_apply_free(apply);
    rig_crash(&rig, SIM_CRASH_LOSE);
    rig_reopen(&rig);
    CHECK_EQ(rig_group(&rig, 5).applied, 2);
    CHECK_EQ(rig_group(&rig, 5).last, 4);
    CHECK_EQ(rig_group(&rig, 6).applied, 0); /* not known to the engine: kept */
    CHECK_EQ(rig_group(&rig, 6).last, 3);
    CHECK_EQ(rig_group(&rig, 8).last, 0);
    CHECK_EQ(rig_group(&rig, 8).hs.term, 0);

    uint8_t key[9], row[25]; /* the engine says more than the log */
    struct engine_batch *batch = engine_mem.batch_new(rig.store->engine);
    layout_raft_state_key(6, LAYOUT_APPLY_STATE, key);
    layout_apply_state(&(struct layout_apply_state){ .index = 4, .term = 1 }, row);
    engine_mem.put(batch, ENGINE_RAFT_STATE, bytes_from(key, 9), bytes_from(row, 25));
    CHECK_OK(engine_mem.write(rig.store->engine, batch, engine_last(&rig) + 1, &e), e);
    CHECK_OK(engine_mem.force(rig.store->engine, &e), e);
    engine_mem.batch_free(batch);
    rig_crash(&rig, SIM_CRASH_LOSE);
    CHECK_EQ(rig_open(&rig, &e), ERR_AMNESIA);
    CHECK_CONTAINS(e.msg, "the log of region 6 ends at index 3, but index 4 was applied");
    rig_free(&rig);
}

/* Writes a batch by hand, behind the store's back. */
static void write_log(struct rig *rig, void (*build)(struct wal_batch *batch))
{
    struct err e = { 0 };
    struct wal_batch batch = { 0 };
    uint64_t number;
    wal_batch_reset(&batch);
    build(&batch);
    CHECK_OK(wal_write(rig->store->wal, &batch, &number, &e), e);
    wal_batch_free(&batch);
}

static const struct raft_hs some_hs = { 1, 1, 1 };

static void with_hole(struct wal_batch *batch)
{
    struct raft_ent ent = { .term = 1 };
    wal_batch_append(batch, 5, some_hs, 6, &ent, 1);
}
static void without_beginning(struct wal_batch *batch)
{
    struct raft_ent ent = { .term = 1 };
    wal_batch_append(batch, 77, some_hs, 6, &ent, 1);
}
static void with_late_beginning(struct wal_batch *batch)
{
    without_beginning(batch);
    wal_batch_cut(batch, 77, 5, 1);
}

static void with_older_term(struct wal_batch *batch)
{
    struct raft_ent ents[2] = { { .term = 2 }, { .term = 1 } };
    wal_batch_append(batch, 5, some_hs, 5, ents, 2);
}

/* 2 was applied. */
static void with_another(struct wal_batch *batch)
{
    struct raft_ent ent = { .term = 2 };
    wal_batch_append(batch, 5, some_hs, 2, &ent, 1);
}

/* What an older record has left, then the newer ones. */
static void replaced(struct wal_batch *batch)
{
    struct raft_ent ent = { .term = 1 };
    without_beginning(batch);
    wal_batch_append(batch, 77, some_hs, 4, &ent, 1);
    wal_batch_append(batch, 77, some_hs, 1, &ent, 1);
}

TEST(holes_are_told_with_segment_and_offset)
{
    static const struct {
        void (*build)(struct wal_batch *batch);
        err_t rc;
        const char *text;
    } rows[] = {
        { with_hole, ERR_DATA_LOSS,
          "entries of region 5 are missing in the log: it has 1 to 4, and goes on with 6 in "
          "segment 0000000000000001, offset 20480" },
        { without_beginning, ERR_DATA_LOSS,
          "entries 1 to 5 of region 77 are missing before segment 0000000000000001, offset 20480" },
        { with_late_beginning, ERR_DATA_LOSS,
          "the log of region 77 begins at index 6, but the engine needs it from 1 on: replace" },
        { with_older_term, ERR_DATA_LOSS,
          "the log has entries of region 5 from 5 on whose terms go back: segment "
          "0000000000000001, offset 20480" },
        { with_another, ERR_DATA_LOSS, "the log of region 5 has another entry at index 2 than" },
        { replaced, ERR_OK, NULL },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rig rig = ready(7);
        struct err e = { 0 };
        fill(&rig, 5, 4, 2);
        write_log(&rig, rows[i].build);
        rig_crash(&rig, SIM_CRASH_LOSE);
        CHECK_EQ(rig_open(&rig, &e), rows[i].rc);
        if (rows[i].text != NULL)
            CHECK_CONTAINS(e.msg, rows[i].text);
        else
            CHECK(rig_group(&rig, 77).last == 1 && rig_group(&rig, 77).nruns == 1);
        rig_free(&rig);
    }
}

/* ---- Snapshots and farewells ----------------------------------------------------------------- */

struct pending {
    uint64_t region;
    raft_index index; /* 0: none */
    uint64_t gone;    /* 0: none */
    raft_index base, last;
};

static err_t look_pending(void *user, const struct storage_group *group, struct err *e)
{
    (void)e;
    struct pending *p = user;
    if (group->region != p->region)
        return ERR_OK;
    p->base = group->base;
    p->last = group->last;
    p->index = group->snap != NULL ? group->snap->index : 0;
    if (group->snap != NULL) {
        CHECK_EQ(group->snap->term, 3);
        CHECK_BYTES(group->snap->conf, BYTES("who"));
        CHECK_BYTES(group->snap->files, BYTES("which files"));
    }
    p->gone = group->gone != NULL ? group->gone->peer : 0;
    if (group->gone != NULL)
        CHECK(group->gone->conf_ver == 5 && group->gone->version == 6);
    return ERR_OK;
}

static struct pending pending(struct rig *rig, uint64_t region)
{
    struct err e = { 0 };
    struct pending p = { .region = region };
    CHECK_OK(storage_groups(rig->store, look_pending, &p, &e), e);
    return p;
}

static err_t sync_snap(struct rig *rig, uint64_t region, raft_index index, struct err *e)
{
    struct storage_records *records = storage_records_new(rig->store);
    CHECK_EQ(storage_records_snap(records, region, index, 3, BYTES("who"), BYTES("which files")),
             ERR_OK);
    err_t rc = storage_sync(rig->store, records, e);
    storage_records_free(records);
    return rc;
}

static err_t sync_gone(struct rig *rig, uint64_t region, uint64_t peer, struct err *e)
{
    struct storage_records *records = storage_records_new(rig->store);
    CHECK_EQ(storage_records_gone(records, region, peer, 5, 6), ERR_OK);
    err_t rc = storage_sync(rig->store, records, e);
    storage_records_free(records);
    return rc;
}

static err_t sync_cut(struct rig *rig, uint64_t region, raft_index index, struct err *e)
{
    struct storage_records *records = storage_records_new(rig->store);
    CHECK_EQ(storage_records_cut(records, region, index, 3), ERR_OK);
    err_t rc = storage_sync(rig->store, records, e);
    storage_records_free(records);
    return rc;
}

/* Other records until `more` segments have come; they go too if somebody tends. */
static err_t roll(struct rig *rig, unsigned more, bool tended, struct err *e)
{
    static const uint8_t filler[STORAGE_LOCAL_MAX];
    uint64_t until = wal_segment(rig->store->wal) + more;
    err_t rc = ERR_OK;
    struct storage_records *records = storage_records_new(rig->store);
    while (rc == ERR_OK && wal_segment(rig->store->wal) < until) {
        storage_records_reset(records);
        CHECK_EQ(storage_records_local(records, STORAGE_LOCAL_HLC, bytes_from(filler, 4000)),
                 ERR_OK);
        rc = storage_sync(rig->store, records, e);
        if (rc == ERR_OK && tended)
            rc = storage_tend(rig->store, e);
    }
    storage_records_free(records);
    return rc;
}

/* SNAP resets the log; the engine takes the rows; then the CUT. In between everything may stop, segments go,
 * entries come. */
static err_t install(struct rig *rig, unsigned *step, struct err *e)
{
    struct raft_hs hs = { .term = 3, .vote = 2, .commit = 101 };
    struct raft_ent ent = { .term = 3, .index = 101 };
    struct storage_apply *apply = storage_apply_new(rig->store);
    *step = 0;
    err_t rc = sync_snap(rig, 5, 100, e);
    if (rc == ERR_OK)
        *step = 1, rc = roll(rig, 4, true, e); /* its segments go */
    if (rc == ERR_OK)
        rc = roll(rig, 1, false, e);
    if (rc == ERR_OK)
        rc = rig_promise(rig, 5, hs, &ent, 1, e);
    if (rc == ERR_OK)
        *step = 2, rc = storage_tend(rig->store, e); /* it is written again behind the entry */
    if (rc == ERR_OK) {
        CHECK_EQ(storage_apply_snap(apply, 5, 100, 3, 7), ERR_OK);
        CHECK_EQ(storage_apply_meta(apply, 5, BYTES("new")), ERR_OK);
        rc = storage_apply_run(rig->store, apply, e);
    }
    if (rc == ERR_OK)
        rc = engine_mem.force(rig->store->engine, e);
    if (rc == ERR_OK)
        rc = storage_tend(rig->store, e);
    if (rc == ERR_OK) {
        *step = 3;
        CHECK_EQ(storage_durable(rig->store, 5), 100);
        rc = sync_cut(rig, 5, 100, e);
    }
    if (rc == ERR_OK)
        *step = 4, rc = roll(rig, 2, true, e);
    storage_apply_free(apply);
    return rc;
}

TEST(a_snapshot_is_pending_until_its_cut_whatever_stops)
{
    static const enum sim_crash kinds[] = { SIM_CRASH_KILL, SIM_CRASH_SECTORS, SIM_CRASH_LOSE };
    unsigned seen[5] = { 0 };
    for (uint64_t n = 1;; n++) {
        struct rig rig = ready(8);
        struct err e = { 0 };
        unsigned step;
        fill(&rig, 5, 4, 2);
        fill(&rig, 6, 2, 2);
        CHECK_OK(storage_tend(rig.store, &e), e);
        storage_release(rig.store, 6, storage_durable(rig.store, 6), 1);
        sim_disk_stop_at(rig.disk, sim_disk_effects(rig.disk) + n);
        err_t rc = install(&rig, &step, &e);
        bool stopped = sim_disk_stopped(rig.disk);
        CHECK(stopped || rc == ERR_OK);
        rig_crash(&rig, kinds[n % 3]);
        rig_reopen(&rig);
        struct pending p = pending(&rig, 5);
        seen[step]++;
        if (step == 0 && p.index == 0)
            CHECK(p.base == 0 && p.last == 4);
        else if (step <= 1)
            CHECK(p.index == 100 && p.base == 100 && (p.last == 100 || p.last == 101));
        else
            CHECK(p.base == 100 && p.last == 101); /* the entry behind it stays */
        if (step == 1 || step == 2)
            CHECK_EQ(p.index, 100);
        if (step == 4)
            CHECK_EQ(p.index, 0);
        if (step >= 3)
            expect_meta(&rig, 5, "new");
        CHECK_EQ(pending(&rig, 6).last, 2);
        rig_free(&rig);
        if (!stopped)
            break;
    }
    for (unsigned i = 0; i < 5; i++)
        CHECK(seen[i] > 0);
}

/* A CUT above it ends a snapshot too: its entries went with their segment. */
TEST(a_snapshot_ends_with_the_segment_of_later_entries)
{
    struct rig rig = ready(9);
    struct err e = { 0 };
    struct storage_apply *apply = storage_apply_new(rig.store);
    struct raft_hs hs = { .term = 3, .vote = 2 };
    struct raft_ent ent = { .term = 3, .index = 101 };
    uint32_t slot;
    CHECK_OK(sync_snap(&rig, 5, 100, &e), e);
    CHECK_OK(rig_promise(&rig, 5, hs, &ent, 1, &e), e);
    CHECK_EQ(storage_apply_snap(apply, 5, 100, 3, 7), ERR_OK);
    CHECK_OK(storage_apply_run(rig.store, apply, &e), e);
    storage_apply_reset(apply);
    CHECK_EQ(storage_apply_entry(apply, 5, &ent, 1, &slot), ERR_OK);
    CHECK_OK(storage_apply_run(rig.store, apply, &e), e);
    CHECK_OK(engine_mem.force(rig.store->engine, &e), e);
    CHECK_OK(storage_tend(rig.store, &e), e);
    CHECK_EQ(storage_durable(rig.store, 5), 101);
    storage_release(rig.store, 5, 101, 3);
    CHECK_OK(roll(&rig, 3, true, &e), e);
    CHECK(wal_oldest(rig.store->wal) > 1);
    storage_apply_free(apply);
    for (unsigned again = 0; again < 2; again++) {
        struct pending p = pending(&rig, 5);
        CHECK(p.index == 0 && p.base == 101 && p.last == 101);
        CHECK_EQ(rig_group(&rig, 5).base_term, 3);
        CHECK_EQ(rig_group(&rig, 5).hs.vote, 2);
        rig_crash(&rig, SIM_CRASH_LOSE);
        rig_reopen(&rig);
    }
    rig_free(&rig);
}

/* Who is gone is remembered, also when its segments went, also beside a new peer, whose log it does not touch. Other
 * regions keep theirs (row 000-27). */
TEST(who_is_gone_stays_gone_and_takes_nobody_along)
{
    static const enum sim_crash kinds[] = { SIM_CRASH_KILL, SIM_CRASH_SECTORS, SIM_CRASH_LOSE };
    static const uint64_t others[] = { 1, 257, (uint64_t)1 << 63 };
    unsigned gone = 0;
    for (uint64_t n = 1;; n++) {
        struct rig rig = ready(10);
        struct err e = { 0 };
        struct raft_hs hs = { .term = 9, .vote = 8 };
        fill(&rig, 256, 4, 2);
        for (unsigned i = 0; i < 3; i++)
            fill(&rig, others[i], 3, 3);
        CHECK_OK(storage_tend(rig.store, &e), e);
        for (unsigned i = 0; i < 3; i++)
            storage_release(rig.store, others[i], 3, 1);
        sim_disk_stop_at(rig.disk, sim_disk_effects(rig.disk) + n);
        bool told = false, voted = false;
        err_t rc = sync_gone(&rig, 256, 33, &e);
        if (rc == ERR_OK)
            told = true, rc = roll(&rig, 2, true, &e);
        if (rc == ERR_OK)
            rc = roll(&rig, 1, false, &e);
        if (rc == ERR_OK)
            rc = rig_promise(&rig, 256, hs, NULL, 0, &e); /* the new peer's first vote */
        if (rc == ERR_OK)
            voted = true,
            rc = storage_tend(rig.store, &e); /* the mark is written again behind it */
        if (rc == ERR_OK)
            rc = roll(&rig, 3, true, &e);
        bool stopped = sim_disk_stopped(rig.disk);
        CHECK(stopped || rc == ERR_OK);
        rig_crash(&rig, kinds[n % 3]);
        rig_reopen(&rig);
        struct pending p = pending(&rig, 256);
        CHECK(p.gone == 33 || (!told && p.gone == 0));
        CHECK_EQ(p.last, p.gone == 0 ? 4 : 0);
        gone += p.gone != 0;
        if (voted)
            CHECK(rig_group(&rig, 256).hs.term == 9 && rig_group(&rig, 256).hs.vote == 8);
        for (unsigned i = 0; i < 3; i++) {
            struct storage_group group = rig_group(&rig, others[i]);
            CHECK(group.last == 3 && group.applied == 3 && group.hs.term == 1);
        }
        rig_free(&rig);
        if (!stopped)
            break;
    }
    CHECK(gone > 50);
}

/* Meta and apply state of a region that leaves go in one batch; its neighbours' stay. */
TEST(a_region_leaves_the_engine)
{
    struct rig rig = ready(11);
    struct err e = { 0 };
    static const uint64_t ids[] = { 1, 255, 256, 257, (uint64_t)1 << 63, UINT64_MAX };
    struct storage_apply *apply = storage_apply_new(rig.store);
    for (unsigned i = 0; i < 6; i++) {
        fill(&rig, ids[i], 2, 2);
        CHECK_EQ(storage_apply_meta(apply, ids[i], BYTES("meta")), ERR_OK);
    }
    CHECK_OK(storage_apply_run(rig.store, apply, &e), e);
    storage_apply_reset(apply);
    CHECK_EQ(storage_apply_meta(apply, 256, (struct bytes){ 0 }), ERR_OK);
    CHECK_OK(storage_apply_run(rig.store, apply, &e), e);
    storage_apply_free(apply);
    CHECK_OK(sync_gone(&rig, 256, 3, &e), e);
    CHECK_OK(engine_mem.force(rig.store->engine, &e), e);
    rig_crash(&rig, SIM_CRASH_LOSE);
    rig_reopen(&rig);
    for (unsigned i = 0; i < 6; i++) {
        bool left = ids[i] == 256;
        CHECK_EQ(rig_group(&rig, ids[i]).applied, left ? 0 : 2);
        CHECK_EQ(rig_group(&rig, ids[i]).last, left ? 0 : 2);
        expect_meta(&rig, ids[i], left ? "" : "meta");
    }
    rig_free(&rig);
}

TEST_MAIN()
