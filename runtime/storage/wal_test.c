/* The log against a model: batches of all sizes, crashes of all kinds, segments that come and go; and large batches of
 * which every part may be missing. */
#include "rig.h"

#include "base/crc32c.h"
#include "base/prng.h"
#include "wal_int.h"

enum { BATCHES_MAX = 4000 };

struct model {
    struct sim_disk *disk;
    struct sim_world *world;
    struct wal *wal;
    struct wal_config config;
    struct wal_batch batch;
    struct prng chance;
    uint64_t seed;
    struct {
        uint32_t records; /* crc of the records, 0: no such batch */
        uint64_t segment, offset;
    } batches[BATCHES_MAX + 1];
    uint64_t synced, written;    /* numbers: acknowledged; perhaps there */
    uint64_t first, last, rolls; /* seen by the replay */
};

static uint32_t sum(struct bytes batch)
{
    return crc32c(1, bytes_from(batch.data + WAL_BATCH_HEADER, batch.len - WAL_BATCH_HEADER)) | 1;
}

static err_t visit(void *user, const struct wal_place *place, const struct wal_record *record,
                   struct err *e)
{
    struct model *model = user;
    (void)e;
    CHECK(record->kind >= WAL_APPEND && record->kind <= WAL_LOCAL);
    if (place->number != model->last) { /* the first record of a batch */
        CHECK(model->last == 0 || place->number == model->last + 1);
        CHECK(place->number <= model->written);
        CHECK_EQ(sum(place->batch), model->batches[place->number].records);
        model->batches[place->number].segment = place->segment;
        model->batches[place->number].offset = place->offset;
        if (model->first == 0)
            model->first = place->number;
        model->last = place->number;
    }
    return ERR_OK;
}

static void model_open(struct model *model)
{
    struct err e = { 0 };
    model->world = sim_world_new(model->seed++, model->disk);
    model->first = model->last = 0;
    CHECK_OK(wal_open(sim_world_env(model->world), &model->config, visit, model, &model->wal, &e),
             e);
    CHECK(model->last >= model->synced);
    CHECK_EQ(wal_number(model->wal), model->last);
    model->synced = model->written = model->last; /* what was read counts */
}

static void model_crash(struct model *model, enum sim_crash how)
{
    wal_close(model->wal);
    sim_disk_crash(model->disk, how);
    sim_world_close(model->world);
    model_open(model);
}

static struct model *model_new(uint64_t seed, uint64_t segment_bytes)
{
    struct model *model = calloc(1, sizeof *model);
    struct err e = { 0 };
    model->disk = sim_disk_new(seed);
    model->seed = seed;
    model->config = (struct wal_config){
        .dir = "/wal", .segment_bytes = segment_bytes, .spares = 2, .incarnation = 99
    };
    prng_seed(&model->chance, seed);
    struct sim_world *world = sim_world_new(seed, model->disk);
    CHECK_OK(wal_create(sim_world_env(world), &model->config, &e), e);
    CHECK_OK(env_dir_sync(sim_world_env(world), "/", &e), e);
    sim_world_close(world);
    model_open(model);
    return model;
}

static void model_free(struct model *model)
{
    wal_close(model->wal);
    wal_batch_free(&model->batch);
    sim_world_close(model->world);
    sim_disk_free(model->disk);
    free(model);
}

/* A batch of drawn records; large values are of bytes that look like a log. */
static void draw_batch(struct model *model)
{
    static uint8_t value[WAL_BLOCK * 12];
    struct prng *chance = &model->chance;
    struct raft_hs hs = { 1, 2, 3 };
    wal_batch_reset(&model->batch);
    for (uint64_t n = 1 + prng_below(chance, 3); n > 0; n--) {
        uint64_t most = prng_chance(chance, 1, 4) ? sizeof value / 3 : 300;
        struct bytes bytes = bytes_from(value, (size_t)prng_below(chance, most));
        struct raft_ent ent = { .term = 1, .len = (uint32_t)bytes.len, .data = value };
        prng_fill(chance, value, bytes.len < 64 ? bytes.len : 64);
        switch (prng_below(chance, 4)) {
        case 0:
            wal_batch_append(&model->batch, 1, hs, 1 + prng_below(chance, 100), &ent, 1);
            break;
        case 1:
            wal_batch_local(&model->batch, (uint32_t)prng_below(chance, 9), bytes);
            break;
        case 2:
            wal_batch_snap(&model->batch, 1, 2, 3, bytes, BYTES("f"));
            break;
        default:
            wal_batch_cut(&model->batch, 1, 2, 3);
        }
    }
}

static err_t write_one(struct model *model)
{
    struct err e = { 0 };
    uint64_t number = 0;
    unsigned n;
    draw_batch(model);
    struct buf all = { 0 };
    CHECK_EQ(wal_batch_seal(&model->batch, 1, 0, &n), ERR_OK);
    for (unsigned i = 0; i < n; i++)
        CHECK_EQ(buf_append(&all, model->batch.iov[i]), ERR_OK);
    uint64_t segment = wal_segment(model->wal);
    CHECK(model->synced + 1 <= BATCHES_MAX);
    model->batches[model->synced + 1].records = sum(bytes_from(all.data, model->batch.length));
    buf_free(&all);
    model->written = model->synced + 1;
    err_t rc = wal_write(model->wal, &model->batch, &number, &e);
    if (rc == ERR_OK) {
        CHECK_EQ(number, model->written);
        model->synced = number;
        model->rolls += wal_segment(model->wal) != segment;
        model->batches[number].segment = wal_segment(model->wal);
        model->batches[number].offset = model->wal->end - wal_batch_bytes(&model->batch);
    }
    return rc;
}

/* A batch of the past, by its place. */
static void read_one(struct model *model)
{
    struct err e = { 0 };
    struct buf batch = { 0 };
    uint64_t number = 1 + prng_below(&model->chance, model->synced);
    if (model->batches[number].segment < wal_oldest(model->wal))
        return;
    CHECK_OK(wal_read(model->wal, model->batches[number].segment, model->batches[number].offset,
                      &batch, &e),
             e);
    CHECK_EQ(sum(buf_bytes(&batch)), model->batches[number].records);
    buf_free(&batch);
}

static void run_model(uint64_t seed)
{
    struct model *model = model_new(seed, RIG_SEGMENT);
    struct err e = { 0 };
    bool more;
    unsigned crashes = 0, freed = 0;
    for (unsigned i = 0; i < 250; i++) {
        uint64_t what = prng_below(&model->chance, 20);
        err_t rc = ERR_OK;
        bool stop = prng_chance(&model->chance, 1, 10);
        if (stop)
            sim_disk_stop_at(model->disk,
                             sim_disk_effects(model->disk) + 1 + prng_below(&model->chance, 8));
        for (unsigned k = 0; k < 4 && rc == ERR_OK; k++) {
            if (what < 14)
                rc = write_one(model);
            else if (what < 17)
                rc = wal_prepare(model->wal, &more, &e);
            else if (what < 19 && wal_segment(model->wal) > wal_oldest(model->wal) + 1)
                rc = wal_free_oldest(model->wal, &e), freed++;
            else if (model->synced > 0)
                read_one(model);
            if (what == 19)
                break;
        }
        if (stop || rc != ERR_OK) {
            static const enum sim_crash kinds[] = { SIM_CRASH_KILL, SIM_CRASH_LOSE,
                                                    SIM_CRASH_PREFIX, SIM_CRASH_SECTORS,
                                                    SIM_CRASH_KEEP };
            CHECK(stop);
            model_crash(model, kinds[prng_below(&model->chance, 5)]);
            crashes++;
        }
    }
    CHECK(crashes > 5 && freed > 5 && model->rolls > 5);
    model_free(model);
}

TEST(replay_equals_model)
{
    for (uint64_t seed = 1; seed <= 25; seed++)
        run_model(seed);
}

/* A batch of many blocks whose sectors reached the disk in any order: accepted whole, or not at all. */
TEST(a_large_batch_is_whole_or_absent)
{
    unsigned whole = 0, absent = 0;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct model *model = model_new(seed, 256 << 10);
        struct err e = { 0 };
        uint64_t number;
        uint8_t value[100000];
        prng_fill(&model->chance, value, sizeof value);
        wal_batch_reset(&model->batch);
        wal_batch_local(&model->batch, 1, bytes_from(value, sizeof value));
        unsigned n;
        CHECK_EQ(wal_batch_seal(&model->batch, 1, 0, &n), ERR_OK);
        struct buf all = { 0 };
        for (unsigned i = 0; i < n; i++)
            CHECK_EQ(buf_append(&all, model->batch.iov[i]), ERR_OK);
        model->batches[1].records = sum(bytes_from(all.data, model->batch.length));
        model->written = 1;
        buf_free(&all);
        sim_disk_stop_at(model->disk, sim_disk_effects(model->disk) + 2); /* written, not synced */
        CHECK(wal_write(model->wal, &model->batch, &number, &e) != ERR_OK);
        static const enum sim_crash kinds[] = { SIM_CRASH_SECTORS, SIM_CRASH_PREFIX,
                                                SIM_CRASH_KEEP };
        model_crash(model, kinds[seed % 3]);
        whole += model->last == 1;
        absent += model->last == 0;
        CHECK_EQ(write_one(model), ERR_OK); /* over what is left of it */
        model_crash(model, SIM_CRASH_LOSE);
        CHECK_EQ(model->last, model->synced);
        model_free(model);
    }
    CHECK(whole > 50 && absent > 50);
}

/* What a batch of the segment's earlier life left is no batch, even where the new life has the same numbers. */
TEST(an_earlier_life_of_a_segment_is_forgotten)
{
    struct model *model = model_new(3, RIG_SEGMENT);
    struct err e = { 0 };
    bool more;
    while (wal_segment(model->wal) < 3)
        CHECK_EQ(write_one(model), ERR_OK);
    CHECK_OK(wal_free_oldest(model->wal, &e), e);
    struct buf before = { 0 }, after = { 0 };
    CHECK_EQ(sim_disk_peek(model->disk, "/wal/0000000000000001.free", &before), ERR_OK);
    while (wal_segment(model->wal) < 4) {
        CHECK_OK(wal_prepare(model->wal, &more, &e), e);
        CHECK_EQ(write_one(model), ERR_OK);
    }
    CHECK(sim_disk_peek(model->disk, "/wal/0000000000000001.free", &after) == ERR_NOT_FOUND);
    CHECK_EQ(sim_disk_peek(model->disk, "/wal/0000000000000004.seg", &after), ERR_OK);
    size_t half = RIG_SEGMENT / 2; /* the first batches are new, the rest is the old life's */
    CHECK(bytes_equal(bytes_from(before.data + half, half), bytes_from(after.data + half, half)));
    struct wal_segment_header life[2];
    CHECK_EQ(wal_format_take_segment_header(buf_bytes(&before), &life[0]), ERR_OK);
    CHECK_EQ(wal_format_take_segment_header(buf_bytes(&after), &life[1]), ERR_OK);
    CHECK(life[0].salt != life[1].salt); /* drawn anew, so that nobody could write for this life */
    bool old = false;
    for (size_t i = half; i < RIG_SEGMENT; i++)
        old = old || after.data[i] != 0;
    CHECK(old);
    model_crash(model, SIM_CRASH_LOSE);
    CHECK_EQ(model->last, model->synced);
    buf_free(&before);
    buf_free(&after);
    model_free(model);
}

/* A segment of another store, or of another number, under this name. */
TEST(a_foreign_segment_is_refused)
{
    struct model *model = model_new(4, RIG_SEGMENT);
    struct err e = { 0 };
    CHECK_EQ(write_one(model), ERR_OK);
    wal_close(model->wal);
    model->wal = NULL;
    struct env *env = sim_world_env(model->world);
    model->config.incarnation++;
    CHECK_EQ(wal_open(env, &model->config, visit, model, &model->wal, &e), ERR_DATA_LOSS);
    CHECK_CONTAINS(e.msg, "another store");
    model->config.incarnation--;
    CHECK_OK(env_rename(env, "/wal/0000000000000001.seg", "/wal/0000000000000002.seg", &e), e);
    CHECK_EQ(wal_open(env, &model->config, visit, model, &model->wal, &e), ERR_DATA_LOSS);
    CHECK_OK(env_rename(env, "/wal/0000000000000002.seg", "/wal/0000000000000001.seg", &e), e);
    CHECK_OK(env_write_file(env, "/wal/notes.txt", BYTES("x"), &e), e);
    CHECK_EQ(wal_open(env, &model->config, visit, model, &model->wal, &e), ERR_DATA_LOSS);
    CHECK_CONTAINS(e.msg, "notes.txt");
    model_free(model);
}

TEST_MAIN()
