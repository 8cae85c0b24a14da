/* Many regions in one log, against a model that remembers what was promised.
 *
 * A run is drawn from a seed: batches of hard states and entries (also such that replace a tail), of
 * snapshots and farewells, applies, releases, freed segments, crashes. After every start a region has in its
 * log what was synced, entry for entry, or that and all of the one batch that was under way; and nothing that
 * was replaced. */
#include "rig.h"

#include "base/prng.h"
#include "store_int.h"

enum { REGIONS = 5, STRANGE = 4, LOG_MAX = 1500, META = 24 };
/* Row 000-27: neighbours in any order of bytes. The last one is never applied: snapshots come, its peers go. */
static const uint64_t ids[REGIONS] = { 1, 256, 257, (uint64_t)1 << 63, UINT64_MAX };

struct entry {
    raft_term term;
    uint32_t seed;
};

struct group {
    struct raft_hs hs;
    raft_index base, last, applied, released; /* base: of the last SNAP or GONE */
    raft_index durable;                       /* as the store has said */
    raft_term base_term;
    struct entry log[LOG_MAX]; /* by index */
    raft_index snap;
    uint64_t gone, peer;
    uint32_t meta; /* applied: seed of the region's meta; 0: none */
};

struct model {
    struct group groups[REGIONS];
    uint64_t hlc; /* the local record */
};

struct run {
    struct rig rig;
    struct prng chance;
    struct model sure, maybe; /* of the log; applied: what the engine has taken */
    struct storage_records *records;
    struct storage_apply *apply;
    struct buf data[16];
    unsigned used;
    uint32_t seeds;
    unsigned quiet; /* regions, as a mask: nobody writes to them for a while */
    uint64_t reads, freed, replaced;
};

/* The bytes of an entry follow from its seed. */
static void make_entry(uint64_t id, uint32_t seed, struct raft_ent *ent, struct buf *data)
{
    struct prng chance;
    char key[32];
    static uint8_t value[9000];
    prng_seed(&chance, seed);
    buf_clear(data);
    ent->type = RAFT_ENT_NORMAL;
    if (seed % 7 == 0) { /* a leader's first */
        ent->len = 0;
        ent->data = NULL;
        return;
    }
    prng_fill(&chance, value, 40);
    size_t len =
        prng_chance(&chance, 1, 12) ? prng_below(&chance, sizeof value) : prng_below(&chance, 60);
    if (seed % 5 == 0) {
        ent->type = RAFT_ENT_CONF;
        CHECK_EQ(buf_append(data, bytes_from(value, len)), ERR_OK);
    } else {
        snprintf(key, sizeof key, "%llx", (unsigned long long)id);
        struct command put = { .kind = COMMAND_RAW_PUT,
                               .namespace_id = 1,
                               .key = BYTES(key),
                               .value = bytes_from(value, len) };
        CHECK_EQ(storage_entry_begin(data, seed, 1), ERR_OK);
        rig_add(data, &put);
        storage_entry_end(data, 1);
    }
    ent->len = (uint32_t)data->len;
    ent->data = data->data;
}

static struct bytes make_meta(uint32_t seed, uint8_t out[META])
{
    struct prng chance;
    prng_seed(&chance, seed);
    prng_fill(&chance, out, META);
    return bytes_from(out, META);
}

static bool chance(struct run *run, uint32_t num, uint32_t den)
{
    return prng_chance(&run->chance, num, den);
}

static uint64_t below(struct run *run, uint64_t n)
{
    return prng_below(&run->chance, n);
}

/* ---- What the store has ---------------------------------------------------------------------- */

struct seen {
    struct run *run;
    const struct model *want;
    unsigned at; /* region */
    bool equal;
};

static raft_term run_term(const struct storage_group *group, raft_index index, bool *conf)
{
    for (uint32_t i = 0; i < group->nruns; i++)
        if (group->runs[i].last >= index) {
            *conf = group->runs[i].conf;
            return group->runs[i].term;
        }
    return 0;
}

static bool same_runs(const struct storage_group *have, const struct group *want)
{
    struct buf data = { 0 };
    bool same = have->nruns == 0 ? have->base == have->last
                                 : have->runs[have->nruns - 1].last == have->last;
    raft_index before = have->base;
    for (uint32_t i = 0; i < have->nruns; before = have->runs[i++].last)
        same = same && have->runs[i].last > before;
    for (raft_index i = have->base + 1; i <= have->last && same; i++) {
        struct raft_ent ent;
        bool conf = false;
        make_entry(have->region, want->log[i].seed, &ent, &data);
        same = run_term(have, i, &conf) == want->log[i].term && conf == (ent.type == RAFT_ENT_CONF);
    }
    buf_free(&data);
    return same;
}

static bool same_group(const struct storage_group *have, const struct group *want)
{
    raft_term base_term = have->base == want->base ? want->base_term : want->log[have->base].term;
    return memcmp(&have->hs, &want->hs, sizeof have->hs) == 0 && have->last == want->last &&
           have->base >= want->base && (have->base == want->base || have->base <= want->released) &&
           have->base_term == base_term && (have->snap != NULL) == (want->snap > 0) &&
           (have->snap == NULL || (have->snap->index == want->snap && have->base == want->snap)) &&
           (have->gone != NULL ? have->gone->peer : 0) == want->gone && same_runs(have, want);
}

static bool is_absent(const struct group *want)
{
    return want->hs.term == 0 && want->last == 0 && want->gone == 0;
}

static err_t compare(void *user, const struct storage_group *have, struct err *e)
{
    (void)e;
    struct seen *seen = user;
    for (; seen->at < REGIONS && ids[seen->at] < have->region; seen->at++)
        seen->equal = seen->equal && is_absent(&seen->want->groups[seen->at]);
    CHECK(seen->at < REGIONS && ids[seen->at] == have->region);
    seen->equal = seen->equal && same_group(have, &seen->want->groups[seen->at]);
    seen->at++;
    return ERR_OK;
}

static bool log_is(struct run *run, const struct model *want)
{
    struct err e = { 0 };
    struct seen seen = { .run = run, .want = want, .equal = true };
    CHECK_OK(storage_groups(run->rig.store, compare, &seen, &e), e);
    for (; seen.at < REGIONS; seen.at++)
        seen.equal = seen.equal && is_absent(&want->groups[seen.at]);
    struct bytes hlc = storage_local(run->rig.store, STORAGE_LOCAL_HLC);
    return seen.equal && (hlc.len == 8 ? load_u64(hlc.data) : 0) == want->hlc;
}

static err_t take_applied(void *user, const struct storage_group *have, struct err *e)
{
    (void)e;
    struct run *run = user;
    uint8_t meta[META];
    for (unsigned g = 0; g < REGIONS; g++) {
        struct group *want = &run->sure.groups[g];
        if (ids[g] != have->region)
            continue;
        CHECK(have->applied >= want->durable && have->applied <= want->applied);
        if (have->applied == want->applied && want->meta != 0)
            CHECK_BYTES(have->meta, make_meta(want->meta, meta)); /* one batch: trap D33 */
        if (have->applied != want->applied)
            want->meta = 0; /* an older one may be there */
        want->applied = have->applied;
        CHECK_EQ(storage_durable(run->rig.store, ids[g]), have->applied);
        want->durable = have->applied;
    }
    return ERR_OK;
}

/* Entries by place, in one piece or several. */
static void read_range(struct run *run, unsigned g, raft_index lo, raft_index hi)
{
    struct err e = { 0 };
    struct buf bytes = { 0 }, data = { 0 };
    struct raft_ent ents[40];
    size_t max = below(run, 20000);
    uint32_t cap = 1 + (uint32_t)below(run, 40);
    while (lo < hi) {
        uint32_t n = 0;
        buf_clear(&bytes);
        CHECK_OK(storage_entries(run->rig.store, ids[g], lo, hi, max, cap, &bytes, ents, &n, &e),
                 e);
        CHECK(n > 0 && n <= cap && lo + n <= hi);
        CHECK(n == 1 || bytes.len <= max);
        for (uint32_t i = 0; i < n; i++, lo++) {
            struct raft_ent want;
            make_entry(ids[g], run->sure.groups[g].log[lo].seed, &want, &data);
            CHECK_EQ(ents[i].index, lo);
            CHECK_EQ(ents[i].term, run->sure.groups[g].log[lo].term);
            CHECK_EQ(ents[i].type, want.type);
            CHECK_BYTES(bytes_from(ents[i].data, ents[i].len), bytes_from(want.data, want.len));
            run->reads++;
        }
    }
    buf_free(&bytes);
    buf_free(&data);
}

static raft_index begin_of(struct run *run, unsigned g)
{
    const struct ledger_region *region = ledger_region(&run->rig.store->ledger, ids[g]);
    return region != NULL ? region->base : 0;
}

static void read_all(struct run *run)
{
    struct err e = { 0 };
    struct buf bytes = { 0 };
    struct raft_ent ent;
    uint32_t n;
    for (unsigned g = 0; g < REGIONS; g++) {
        raft_index base = begin_of(run, g), last = run->sure.groups[g].last;
        read_range(run, g, base + 1, last + 1);
        CHECK_EQ(
            storage_entries(run->rig.store, ids[g], last + 1, last + 2, 1, 1, &bytes, &ent, &n, &e),
            ERR_NOT_FOUND);
        if (base > 0)
            CHECK_EQ(
                storage_entries(run->rig.store, ids[g], base, base + 1, 1, 1, &bytes, &ent, &n, &e),
                ERR_NOT_FOUND);
    }
    buf_free(&bytes);
}

static void check_rows(struct run *run)
{
    struct err e = { 0 };
    struct buf have = { 0 }, data = { 0 };
    for (unsigned g = 0; g < STRANGE; g++) {
        char key[32];
        struct group *group = &run->sure.groups[g];
        raft_index i = group->applied;
        struct raft_ent ent = { 0 };
        for (; i > 0; i--) { /* the newest put */
            make_entry(ids[g], group->log[i].seed, &ent, &data);
            if (ent.type == RAFT_ENT_NORMAL && ent.len > 0)
                break;
        }
        snprintf(key, sizeof key, "%llx", (unsigned long long)ids[g]);
        buf_clear(&have);
        err_t rc = storage_get_raw(run->rig.store, 1, BYTES(key), &have, &e);
        CHECK_EQ(rc, i > 0 ? ERR_OK : ERR_NOT_FOUND);
        if (i == 0)
            continue;
        struct bytes in = buf_bytes(&data);
        struct command put;
        uint16_t count;
        uint64_t hlc, version;
        CHECK_EQ(command_take_entry(&in, &count, &hlc, &version, NULL), ERR_OK);
        CHECK_EQ(command_take(&in, &put, NULL), ERR_OK);
        CHECK_BYTES(buf_bytes(&have), put.value);
    }
    buf_free(&have);
    buf_free(&data);
}

/* ---- What it is asked to do ------------------------------------------------------------------ */

static void run_open(struct run *run)
{
    rig_reopen(&run->rig);
    run->records = storage_records_new(run->rig.store);
    run->apply = storage_apply_new(run->rig.store);
}

static struct run *run_new(uint64_t seed)
{
    struct run *run = calloc(1, sizeof *run);
    struct err e = { 0 };
    run->rig = rig_new(seed);
    run->rig.config.alone = false;
    run->rig.config.accept_panic =
        true; /* a stopped machine answers ERR_IO, so the store latches */
    CHECK_OK(rig_init(&run->rig, &e), e);
    prng_seed(&run->chance, seed);
    run_open(run);
    return run;
}

static void run_close(struct run *run)
{
    storage_records_free(run->records);
    storage_apply_free(run->apply);
    run->records = NULL;
    run->apply = NULL;
}

static void run_free(struct run *run)
{
    run_close(run);
    for (unsigned i = 0; i < 16; i++)
        buf_free(&run->data[i]);
    rig_free(&run->rig);
    free(run);
}

static void run_crash(struct run *run, enum sim_crash how, const char *when, uint64_t at)
{
    run_close(run);
    rig_crash(&run->rig, how);
    run_open(run);
    if (log_is(run, &run->maybe))
        run->sure = run->maybe;
    else if (!log_is(run, &run->sure))
        fail_msg("%s, %d: the log holds neither what was promised nor one batch more", when,
                 (int)at);
    struct err e = { 0 };
    CHECK_OK(storage_groups(run->rig.store, take_applied, run, &e), e);
    for (unsigned g = 0; g < REGIONS; g++) /* what was released may be there again */
        if (run->sure.groups[g].released > run->sure.groups[g].durable)
            fail_msg("%s, %d: released what was not durable", when, (int)at);
    run->maybe = run->sure;
    read_all(run);
    check_rows(run);
}

static void draw_entries(struct run *run, unsigned g, struct raft_ent *ents, uint32_t n)
{
    struct group *group = &run->maybe.groups[g];
    raft_index first = group->last + 1;
    raft_index least = group->applied > group->base ? group->applied : group->base;
    if (chance(run, 1, 4) && group->last > least) {
        first = least + 1 + below(run, group->last - least);
        run->replaced++;
    }
    if (first + n >= LOG_MAX)
        n = 0;
    for (uint32_t i = 0; i < n; i++) {
        struct buf *data = &run->data[run->used++];
        uint32_t seed = ++run->seeds;
        make_entry(ids[g], seed, &ents[i], data);
        ents[i].index = first + i;
        ents[i].term = group->hs.term - (i == 0 && chance(run, 1, 3) && group->hs.term > 1 &&
                                         group->log[first - 1].term < group->hs.term);
        if (i == 0 && ents[i].term <
                          (first - 1 > group->base ? group->log[first - 1].term : group->base_term))
            ents[i].term = group->hs.term;
        group->log[first + i] = (struct entry){ ents[i].term, seed };
        group->last = first + i;
    }
    CHECK_EQ(storage_records_append(run->records, ids[g], group->hs, ents, n), ERR_OK);
}

static void draw_strange(struct run *run)
{
    struct group *group = &run->maybe.groups[STRANGE];
    if (chance(run, 1, 2) && group->last + 100 < LOG_MAX && group->peer > group->gone) {
        raft_index index = group->last + 1 + below(run, 20);
        group->base = group->last = group->snap = index;
        group->base_term = group->hs.term;
        CHECK_EQ(storage_records_snap(run->records, ids[STRANGE], index, group->hs.term,
                                      BYTES("conf"), BYTES("files")),
                 ERR_OK);
    } else {
        uint64_t gone = ++group->peer;
        *group = (struct group){ .gone = gone, .peer = gone + 1 };
        CHECK_EQ(storage_records_gone(run->records, ids[STRANGE], gone, 1, 1), ERR_OK);
    }
}

static err_t step_log(struct run *run, struct err *e)
{
    struct raft_ent ents[16];
    storage_records_reset(run->records);
    run->used = 0;
    run->maybe = run->sure;
    for (uint64_t n = 1 + below(run, REGIONS); n > 0; n--) {
        unsigned g = (unsigned)below(run, REGIONS);
        if (run->quiet >> g & 1)
            continue;
        struct group *group = &run->maybe.groups[g];
        if (group->hs.term == 0 || chance(run, 1, 5)) {
            group->hs.term++;
            group->hs.vote = 1 + below(run, 3);
        }
        if (g == STRANGE && chance(run, 1, 3))
            draw_strange(run);
        if (group->hs.term > 0)
            draw_entries(run, g, ents, run->used < 12 ? (uint32_t)below(run, 4) : 0);
    }
    if (chance(run, 1, 6)) {
        uint8_t value[8];
        store_u64(value, ++run->maybe.hlc);
        CHECK_EQ(storage_records_local(run->records, STORAGE_LOCAL_HLC, bytes_from(value, 8)),
                 ERR_OK);
    }
    if (storage_records_empty(run->records))
        return ERR_OK;
    err_t rc = storage_sync(run->rig.store, run->records, e);
    if (rc == ERR_OK)
        run->sure = run->maybe;
    return rc;
}

/* Some of several regions in one engine batch, with their metas. */
static err_t step_apply(struct run *run, struct err *e)
{
    struct buf data[12] = { 0 };
    unsigned used = 0;
    uint32_t slot;
    struct model next = run->sure;
    storage_apply_reset(run->apply);
    for (unsigned g = 0; g < STRANGE && used < 12; g++) {
        struct group *group = &next.groups[g];
        for (uint64_t n = below(run, 8); n > 0 && used < 12 && group->applied < group->last; n--) {
            struct raft_ent ent = { .index = ++group->applied };
            make_entry(ids[g], group->log[ent.index].seed, &ent, &data[used++]);
            ent.term = group->log[ent.index].term;
            CHECK_EQ(storage_apply_entry(run->apply, ids[g], &ent, 1, &slot), ERR_OK);
        }
        if (group->applied > run->sure.groups[g].applied && chance(run, 1, 2)) {
            uint8_t meta[META];
            group->meta = ++run->seeds;
            CHECK_EQ(storage_apply_meta(run->apply, ids[g], make_meta(group->meta, meta)), ERR_OK);
        }
    }
    err_t rc = storage_apply_run(run->rig.store, run->apply, e);
    for (unsigned g = 0; g < STRANGE; g++) { /* after an error it may have been done */
        run->sure.groups[g].applied = run->maybe.groups[g].applied = next.groups[g].applied;
        run->sure.groups[g].meta = run->maybe.groups[g].meta = next.groups[g].meta;
    }
    storage_apply_reset(run->apply);
    for (unsigned i = 0; i < 12; i++)
        buf_free(&data[i]);
    return rc;
}

static err_t step_tend(struct run *run, struct err *e)
{
    if (chance(run, 1, 4)) {
        store_stage_enter(&run->rig.store->applying);
        err_t rc = engine_mem.force(run->rig.store->engine, e);
        store_stage_leave(&run->rig.store->applying);
        if (rc != ERR_OK)
            return rc;
    }
    uint64_t oldest = wal_oldest(run->rig.store->wal);
    err_t rc = storage_tend(run->rig.store, e);
    if (rc != ERR_OK)
        return rc;
    run->freed += wal_oldest(run->rig.store->wal) - oldest;
    for (unsigned g = 0; g < STRANGE; g++) {
        struct group *group = &run->sure.groups[g];
        raft_index durable = storage_durable(run->rig.store, ids[g]);
        CHECK(durable >= group->durable && durable <= group->applied);
        group->durable = run->maybe.groups[g].durable = durable;
        if (durable > group->released && chance(run, 3, 4)) {
            group->released += 1 + below(run, durable - group->released);
            run->maybe.groups[g].released = group->released;
            storage_release(run->rig.store, ids[g], group->released,
                            group->log[group->released].term);
        }
    }
    return ERR_OK;
}

static err_t step(struct run *run, struct err *e)
{
    uint64_t what = below(run, 20);
    if (chance(run, 1, 60))
        run->quiet = chance(run, 1, 3) ? 0 : (unsigned)below(run, 1 << REGIONS);
    if (what < 11)
        return step_log(run, e);
    if (what < 15)
        return step_apply(run, e);
    if (what < 18)
        return step_tend(run, e);
    if (what < 19)
        return storage_prepare(run->rig.store, e);
    unsigned g = (unsigned)below(run, REGIONS);
    raft_index base = begin_of(run, g), last = run->sure.groups[g].last;
    if (base < last) {
        raft_index lo = base + 1 + below(run, last - base);
        read_range(run, g, lo, lo + 1 + below(run, last - lo + 1));
    }
    return ERR_OK;
}

static err_t work(struct run *run, unsigned steps)
{
    struct err e = { 0 };
    err_t rc = ERR_OK;
    for (unsigned i = 0; i < steps && rc == ERR_OK; i++)
        rc = step(run, &e);
    return rc;
}

/* ---- Tests ----------------------------------------------------------------------------------- */

static const enum sim_crash kinds[] = { SIM_CRASH_KILL, SIM_CRASH_SECTORS, SIM_CRASH_LOSE,
                                        SIM_CRASH_PREFIX, SIM_CRASH_KEEP };

TEST(the_log_equals_the_model)
{
    uint64_t freed = 0, reads = 0, replaced = 0;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct run *run = run_new(seed);
        for (unsigned i = 0; i < 25; i++) {
            bool stop = chance(run, 1, 2);
            if (stop)
                sim_disk_stop_at(run->rig.disk,
                                 sim_disk_effects(run->rig.disk) + 1 + below(run, 60));
            err_t rc = work(run, 5 + (unsigned)below(run, 40));
            CHECK(rc == ERR_OK || sim_disk_stopped(run->rig.disk));
            sim_disk_stop_at(run->rig.disk, 0);
            run_crash(run, kinds[below(run, 5)], "seed", seed);
        }
        freed += run->freed;
        reads += run->reads;
        replaced += run->replaced;
        run_free(run);
    }
    CHECK(freed > 50);
    CHECK(reads > 10000);
    CHECK(replaced > 500);
}

TEST(a_crash_at_every_effect_keeps_every_promise)
{
    unsigned crashes = 0;
    uint64_t freed = 0;
    for (uint64_t n = 1;; n++) {
        struct run *run = run_new(77);
        sim_disk_stop_at(run->rig.disk, sim_disk_effects(run->rig.disk) + n);
        err_t rc = work(run, 260);
        bool stopped = sim_disk_stopped(run->rig.disk);
        CHECK(stopped || rc == ERR_OK);
        freed = run->freed > freed ? run->freed : freed;
        if (stopped) {
            run_crash(run, kinds[n % 5], "effect", n);
            crashes++;
            CHECK_EQ(work(run, 6), ERR_OK);
            run_crash(run, SIM_CRASH_LOSE, "after effect", n);
        }
        run_free(run);
        if (!stopped)
            break;
    }
    print_message("%u crashes, %u segments freed\n", crashes, (unsigned)freed);
    CHECK(crashes > 250);
    CHECK(freed > 3);
}

TEST_MAIN()
