#include "ballast.h"

#include "base/test.h"
#include "sim_world/disk.h"
#include "sim_world/world.h"

#define PATH "/store/" NODE_BALLAST_NAME
enum { KIB = 1024 };

struct rig {
    struct sim_disk *disk;
    struct sim_world *world;
    struct env *env;
};

/* A disk of `capacity` bytes with a data directory. */
static struct rig rig_new(uint64_t capacity)
{
    struct err e = { 0 };
    struct rig r = { .disk = sim_disk_new(1) };
    r.world = sim_world_new(1, r.disk);
    r.env = sim_world_env(r.world);
    CHECK_OK(env_mkdir(r.env, "/store", &e), e);
    sim_disk_capacity(r.disk, capacity);
    return r;
}

static void rig_free(struct rig *r)
{
    sim_world_close(r->world);
    sim_disk_free(r->disk);
}

/* -1: there is none. */
static int64_t ballast(struct rig *r)
{
    bool is_dir;
    uint64_t size;
    err_t rc = env_stat(r->env, PATH, &is_dir, &size, NULL);
    CHECK(rc == ERR_OK || rc == ERR_NOT_FOUND);
    return rc == ERR_OK ? (int64_t)size : -1;
}

/* What others have on the disk. */
static void fill(struct rig *r, size_t bytes)
{
    struct err e = { 0 };
    struct env_file *file = NULL;
    struct buf content = { 0 };
    memset(buf_reserve(&content, bytes), 'x', bytes);
    content.len = bytes;
    struct bytes all = buf_bytes(&content);
    CHECK_OK(env_file_open(r->env, "/others", ENV_OPEN_WRITE | ENV_OPEN_CREATE | ENV_OPEN_TRUNCATE,
                           &file, &e),
             e);
    CHECK_OK(env_file_write(file, 0, &all, 1, &e), e);
    CHECK_OK(env_file_sync(file, &e), e);
    env_file_close(file);
    buf_free(&content);
}

static uint64_t room(struct rig *r)
{
    struct err e = { 0 };
    uint64_t available, total;
    CHECK_OK(env_dir_sync(r->env, "/store", &e), e); /* until then a removed file may come back */
    CHECK_OK(env_disk_free(r->env, "/store", &available, &total, &e), e);
    return available;
}

TEST(ballast_holds_room_and_says_what_it_is)
{
    struct rig r = rig_new(100000 * KIB);
    struct buf text = { 0 };
    uint64_t before = room(&r);
    node_ballast_keep(r.env, NULL, "/store", 600 * KIB + 7, 5);
    CHECK_EQ(ballast(&r), 600 * KIB + 7);
    CHECK_EQ(before - room(&r), 600 * KIB + 7);
    CHECK_EQ(sim_disk_peek(r.disk, PATH, &text), ERR_OK);
    CHECK(memmem(text.data, 60, "holds room in reserve", 21) != NULL);
    buf_free(&text);
    uint64_t effects = sim_disk_effects(r.disk);
    node_ballast_keep(r.env, NULL, "/store", 600 * KIB + 7, 5);
    CHECK_EQ(sim_disk_effects(r.disk), effects); /* it was right */
    rig_free(&r);
}

TEST(ballast_is_at_most_a_hundredth_of_the_disk)
{
    struct rig r = rig_new(10000 * KIB);
    node_ballast_keep(r.env, NULL, "/store", UINT64_MAX, 5);
    CHECK_EQ(ballast(&r), 100 * KIB);
    rig_free(&r);
}

TEST(ballast_follows_the_config)
{
    struct rig r = rig_new(100000 * KIB);
    static const uint64_t sizes[] = { 100, 300 * KIB, 20 };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        node_ballast_keep(r.env, NULL, "/store", sizes[i], 5);
        CHECK_EQ(ballast(&r), sizes[i]);
    }
    node_ballast_keep(r.env, NULL, "/store", 0, 5);
    CHECK_EQ(ballast(&r), -1);
    node_ballast_keep(r.env, NULL, "/store", 0, 5);
    CHECK_EQ(ballast(&r), -1);
    rig_free(&r);
}

/* The recovery: it is not made again as long as that would take the room that its removal has given. */
TEST(ballast_is_not_made_on_a_disk_without_room)
{
    struct rig r = rig_new(1000 * KIB); /* a ballast has 10 KiB, the reserve 50 KiB */
    node_ballast_keep(r.env, NULL, "/store", UINT64_MAX, 5);
    CHECK_EQ(ballast(&r), 10 * KIB);
    fill(&r, 990 * KIB);
    CHECK_EQ(room(&r), 0);
    node_ballast_keep(r.env, NULL, "/store", UINT64_MAX, 5);
    CHECK_EQ(ballast(&r), 10 * KIB); /* the one that is there stays */
    struct err e = { 0 };
    CHECK_OK(env_remove(r.env, PATH, &e), e);
    CHECK_EQ(room(&r), 10 * KIB);
    node_ballast_keep(r.env, NULL, "/store", UINT64_MAX, 5);
    CHECK_EQ(ballast(&r), -1);
    fill(&r, 941 * KIB); /* one byte short, as it were: 59 KiB are free, 60 are needed */
    node_ballast_keep(r.env, NULL, "/store", UINT64_MAX, 5);
    CHECK_EQ(ballast(&r), -1);
    fill(&r, 940 * KIB);
    node_ballast_keep(r.env, NULL, "/store", UINT64_MAX, 5);
    CHECK_EQ(ballast(&r), 10 * KIB);
    rig_free(&r);
}

TEST(ballast_that_cannot_be_written_leaves_nothing_behind)
{
    static const enum sim_fault faults[] = { SIM_FAULT_FULL, SIM_FAULT_WRITE, SIM_FAULT_SYNC };
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        struct rig r = rig_new(100000 * KIB);
        uint64_t before = room(&r);
        sim_disk_fault(r.disk, faults[i], "BALLAST", 1);
        node_ballast_keep(r.env, NULL, "/store", 700 * KIB, 5);
        CHECK_EQ(sim_disk_fault_count(r.disk, faults[i]), 1);
        CHECK_EQ(ballast(&r), -1);
        CHECK_EQ(room(&r), before);
        node_ballast_keep(r.env, NULL, "/store", 700 * KIB, 5); /* the next start */
        CHECK_EQ(ballast(&r), 700 * KIB);
        rig_free(&r);
    }
}

/* A crash in the middle leaves a short one: the next start makes it whole. */
TEST(ballast_that_was_cut_off_is_made_whole)
{
    struct rig r = rig_new(100000 * KIB);
    sim_disk_fault(r.disk, SIM_FAULT_WRITE, "BALLAST", 2);
    sim_disk_fault(r.disk, SIM_FAULT_NAME, "BALLAST", 2); /* the removal too: as a crash would */
    node_ballast_keep(r.env, NULL, "/store", 700 * KIB, 5);
    CHECK(ballast(&r) > 0 && ballast(&r) < 700 * KIB);
    node_ballast_keep(r.env, NULL, "/store", 700 * KIB, 5);
    CHECK_EQ(ballast(&r), 700 * KIB);
    rig_free(&r);
}

TEST_MAIN()
