/* The disk keeps what was synced, may lose anything else, and says how often it lied. */
#include "base/test.h"

#include "sim_world/world.h"

struct fixture {
    struct sim_disk *disk;
    struct sim_world *world;
    struct env *env;
    struct err e;
};

static void start(struct fixture *f, uint64_t seed)
{
    *f = (struct fixture){ .disk = sim_disk_new(seed) };
    f->world = sim_world_new(seed, f->disk);
    f->env = sim_world_env(f->world);
}

static void end(struct fixture *f)
{
    sim_world_close(f->world);
    sim_disk_free(f->disk);
}

/* Power cut, and a fresh world on the same disk. */
static void reboot(struct fixture *f, enum sim_crash how)
{
    sim_world_crash(f->world, how);
    sim_world_close(f->world);
    f->world = sim_world_new(99, f->disk);
    f->env = sim_world_env(f->world);
}

static struct env_file *must_open(struct fixture *f, const char *path, unsigned flags)
{
    struct env_file *file = NULL;
    CHECK_OK(env_file_open(f->env, path, flags | ENV_OPEN_READ | ENV_OPEN_WRITE, &file, &f->e),
             f->e);
    return file;
}

static void must_write(struct fixture *f, struct env_file *file, uint64_t offset, const char *text)
{
    struct bytes b = BYTES(text);
    CHECK_OK(env_file_write(file, offset, &b, 1, &f->e), f->e);
}

/* A file whose name and first content are durable. */
static struct env_file *durable_file(struct fixture *f, const char *path, const char *text)
{
    struct env_file *file = must_open(f, path, ENV_OPEN_CREATE);
    must_write(f, file, 0, text);
    CHECK_OK(env_file_sync(file, &f->e), f->e);
    CHECK_OK(env_dir_sync(f->env, "/", &f->e), f->e);
    return file;
}

static void check_content(struct fixture *f, const char *path, const char *want)
{
    struct buf have = { 0 };
    CHECK_OK(env_read_file(f->env, path, 1 << 20, &have, &f->e), f->e);
    CHECK_BYTES(buf_bytes(&have), BYTES(want));
    buf_free(&have);
}

static bool exists(struct fixture *f, const char *path)
{
    bool is_dir;
    uint64_t size;
    return env_stat(f->env, path, &is_dir, &size, NULL) == ERR_OK;
}

TEST(disk_crash_loses_only_what_was_not_synced)
{
    static const enum sim_crash all[] = { SIM_CRASH_KILL,   SIM_CRASH_KEEP,    SIM_CRASH_LOSE,
                                          SIM_CRASH_PREFIX, SIM_CRASH_SECTORS, SIM_CRASH_DRAW };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        for (uint64_t seed = 0; seed < 20; seed++) {
            struct fixture f;
            start(&f, seed);
            struct env_file *file = durable_file(&f, "a", "synced ");
            must_write(&f, file, 7, "unsynced");
            CHECK_EQ(sim_disk_unsynced(f.disk), 8);
            env_file_close(file);
            reboot(&f, all[i]);
            struct buf have = { 0 };
            CHECK_OK(env_read_file(f.env, "a", 100, &have, &f.e), f.e);
            CHECK(have.len >= 7 && memcmp(have.data, "synced ", 7) == 0);
            if (all[i] == SIM_CRASH_KILL || all[i] == SIM_CRASH_KEEP)
                CHECK_EQ(have.len, 15);
            if (all[i] == SIM_CRASH_LOSE)
                CHECK_EQ(have.len, 7);
            buf_free(&have);
            end(&f);
        }
    }
}

TEST(disk_kill_leaves_unsynced_bytes_unsynced)
{
    struct fixture f;
    start(&f, 1);
    struct env_file *file = durable_file(&f, "a", "old");
    must_write(&f, file, 0, "new");
    env_file_close(file);
    reboot(&f, SIM_CRASH_KILL);
    check_content(&f, "a", "new");
    reboot(&f, SIM_CRASH_LOSE);
    check_content(&f, "a", "old");
    end(&f);
}

TEST(disk_name_without_dir_sync_may_be_lost)
{
    struct fixture f;
    start(&f, 1);
    env_file_close(durable_file(&f, "old", "1"));
    struct env_file *file = must_open(&f, "new", ENV_OPEN_CREATE);
    must_write(&f, file, 0, "2");
    CHECK_OK(env_file_sync(file, &f.e), f.e); /* contents, not the name */
    env_file_close(file);
    CHECK_OK(env_rename(f.env, "new", "old", &f.e), f.e);
    check_content(&f, "old", "2");
    reboot(&f, SIM_CRASH_LOSE);
    check_content(&f, "old", "1");
    CHECK(!exists(&f, "new"));
    CHECK_OK(env_remove(f.env, "old", &f.e), f.e);
    reboot(&f, SIM_CRASH_LOSE);
    check_content(&f, "old", "1");
    CHECK_OK(env_remove(f.env, "old", &f.e), f.e);
    CHECK_OK(env_dir_sync(f.env, ".", &f.e), f.e);
    reboot(&f, SIM_CRASH_LOSE);
    CHECK(!exists(&f, "old"));
    end(&f);
}

/* The old content or the new one, whole, at a crash before every effect, under every seed tried. */
TEST(disk_write_file_is_atomic_at_every_effect)
{
    unsigned old = 0, new = 0;
    for (uint64_t seed = 0; seed < 50; seed++) {
        for (uint64_t stop = 1;; stop++) {
            struct fixture f;
            start(&f, seed);
            CHECK_OK(env_write_file(f.env, "a", BYTES("old"), &f.e), f.e);
            uint64_t before = sim_disk_effects(f.disk);
            sim_disk_stop_at(f.disk, before + stop);
            err_t rc = env_write_file(f.env, "a", BYTES("newer"), &f.e);
            bool stopped = sim_disk_stopped(f.disk);
            CHECK_EQ(rc, stopped ? ERR_IO : ERR_OK);
            reboot(&f, SIM_CRASH_DRAW);
            struct buf have = { 0 };
            CHECK_OK(env_read_file(f.env, "a", 100, &have, &f.e), f.e);
            bool is_new = bytes_equal(buf_bytes(&have), BYTES("newer"));
            CHECK(is_new || bytes_equal(buf_bytes(&have), BYTES("old")));
            if (!stopped)
                CHECK(is_new);
            *(is_new ? &new : &old) += 1;
            buf_free(&have);
            end(&f);
            if (!stopped)
                break;
        }
    }
    CHECK(old > 50 && new > 50); /* both were met, often */
}

TEST(disk_torn_write_ends_at_a_sector)
{
    enum { SECTORS = 8 };
    unsigned partial = 0, out_of_order = 0;
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct fixture f;
        start(&f, seed);
        struct env_file *file = must_open(&f, "log", ENV_OPEN_CREATE);
        char text[SECTORS * SIM_SECTOR + 1];
        memset(text, 'o', sizeof text - 1);
        text[sizeof text - 1] = '\0';
        must_write(&f, file, 0, text);
        CHECK_OK(env_file_sync(file, &f.e), f.e);
        CHECK_OK(env_dir_sync(f.env, "/", &f.e), f.e);
        memset(text, 'n', sizeof text - 1);
        must_write(&f, file, 0, text);
        env_file_close(file);
        reboot(&f, seed % 2 == 0 ? SIM_CRASH_PREFIX : SIM_CRASH_SECTORS);
        struct buf have = { 0 };
        CHECK_OK(env_read_file(f.env, "log", sizeof text, &have, &f.e), f.e);
        CHECK_EQ(have.len, SECTORS * SIM_SECTOR);
        unsigned count = 0;
        bool gap = false, hole = false;
        for (size_t s = 0; s < SECTORS; s++) {
            for (size_t i = 1; i < SIM_SECTOR; i++)
                CHECK_EQ(have.data[s * SIM_SECTOR + i], have.data[s * SIM_SECTOR]);
            bool is_new = have.data[s * SIM_SECTOR] == 'n';
            hole = hole || (is_new && gap);
            gap = gap || !is_new;
            count += is_new;
        }
        if (seed % 2 == 0)
            CHECK(!hole); /* a prefix has none */
        partial += count > 0 && count < SECTORS;
        out_of_order += hole;
        buf_free(&have);
        end(&f);
    }
    CHECK(partial > 50 && out_of_order > 20);
}

/* Two unsynced writes to a sector: never the second without the first where only the first wrote. */
TEST(disk_sector_is_in_one_of_its_versions)
{
    bool seen[3] = { false };
    for (uint64_t seed = 0; seed < 100; seed++) {
        struct fixture f;
        start(&f, seed);
        struct env_file *file = durable_file(&f, "a", "0000");
        must_write(&f, file, 0, "11");
        must_write(&f, file, 2, "22");
        env_file_close(file);
        reboot(&f, SIM_CRASH_SECTORS);
        struct buf have = { 0 };
        CHECK_OK(env_read_file(f.env, "a", 100, &have, &f.e), f.e);
        static const char *const versions[] = { "0000", "1100", "1122" };
        bool known = false;
        for (size_t i = 0; i < 3; i++)
            if (bytes_equal(buf_bytes(&have), BYTES(versions[i])))
                known = seen[i] = true;
        CHECK(known);
        buf_free(&have);
        end(&f);
    }
    CHECK(seen[0] && seen[1] && seen[2]);
}

TEST(disk_fsyncgate)
{
    struct fixture f;
    start(&f, 1);
    struct env_file *file = durable_file(&f, "a", "old");
    must_write(&f, file, 0, "new");
    sim_disk_fault(f.disk, SIM_FAULT_SYNC, "a", 1);
    CHECK_EQ(env_file_sync(file, &f.e), ERR_IO);
    CHECK_OK(env_file_sync(file, &f.e), f.e); /* what fooled everybody */
    check_content(&f, "a", "new");
    CHECK_EQ(sim_disk_fault_count(f.disk, SIM_FAULT_SYNC), 1);
    env_file_close(file);
    reboot(&f, SIM_CRASH_KEEP);
    check_content(&f, "a", "old");
    end(&f);
}

TEST(disk_lying_sync)
{
    struct fixture f;
    start(&f, 1);
    struct env_file *file = durable_file(&f, "a", "old");
    must_write(&f, file, 0, "new");
    sim_disk_chance(f.disk, SIM_FAULT_LIE, 1000000);
    CHECK_OK(env_file_sync(file, &f.e), f.e);
    env_file_close(file);
    CHECK_EQ(sim_disk_fault_count(f.disk, SIM_FAULT_LIE), 1);
    reboot(&f, SIM_CRASH_LOSE);
    check_content(&f, "a", "old");
    end(&f);
}

TEST(disk_failed_writes_leave_a_beginning)
{
    bool some = false, none = false;
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct fixture f;
        start(&f, seed);
        struct env_file *file = durable_file(&f, "a", "");
        struct bytes b = BYTES("123");
        sim_disk_fault(f.disk, SIM_FAULT_WRITE, NULL, 2);
        CHECK_OK(env_file_write(file, 0, &b, 1, &f.e), f.e);
        CHECK_EQ(env_file_write(file, 3, &b, 1, &f.e), ERR_IO);
        uint64_t size;
        CHECK_OK(env_file_size(file, &size, &f.e), f.e);
        CHECK(size >= 3 && size <= 6);
        some = some || size > 3;
        none = none || size == 3;
        env_file_close(file);
        end(&f);
    }
    CHECK(some && none);
}

TEST(disk_full)
{
    struct fixture f;
    start(&f, 1);
    sim_disk_capacity(f.disk, 5);
    struct env_file *file = must_open(&f, "a", ENV_OPEN_CREATE);
    struct bytes b = BYTES("1234567");
    CHECK_EQ(env_file_write(file, 0, &b, 1, &f.e), ERR_DISK_FULL);
    uint64_t free_bytes, total;
    CHECK_OK(env_disk_free(f.env, "/", &free_bytes, &total, &f.e), f.e);
    CHECK_EQ(free_bytes, 0);
    CHECK_EQ(total, 5);
    CHECK_OK(env_file_truncate(file, 2, &f.e), f.e);
    CHECK_OK(env_disk_free(f.env, "/", &free_bytes, &total, &f.e), f.e);
    CHECK_EQ(free_bytes, 3);
    env_file_close(file);
    CHECK_OK(env_remove(f.env, "a", &f.e), f.e);
    CHECK_OK(env_dir_sync(f.env, "/", &f.e), f.e);
    CHECK_OK(env_disk_free(f.env, "/", &free_bytes, &total, &f.e), f.e);
    CHECK_EQ(free_bytes, 5);
    end(&f);
}

TEST(disk_reads_fail_and_flip)
{
    struct fixture f;
    start(&f, 1);
    struct env_file *file = durable_file(&f, "a", "abcd");
    char out[4];
    size_t got;
    sim_disk_fault(f.disk, SIM_FAULT_READ, "a", 1);
    CHECK_EQ(env_file_read(file, 0, out, 4, &got, &f.e), ERR_IO);
    sim_disk_fault(f.disk, SIM_FAULT_FLIP, "a", 1);
    CHECK_OK(env_file_read(file, 0, out, 4, &got, &f.e), f.e);
    unsigned bits = 0;
    for (size_t i = 0; i < 4; i++)
        bits += (unsigned)__builtin_popcount((unsigned char)(out[i] ^ "abcd"[i]));
    CHECK_EQ(bits, 1);
    CHECK_OK(env_file_read(file, 0, out, 4, &got, &f.e), f.e);
    CHECK(memcmp(out, "abcd", 4) == 0);
    env_file_close(file);
    end(&f);
}

TEST(disk_stop_ends_everything_until_the_crash)
{
    struct fixture f;
    start(&f, 1);
    struct env_file *file = durable_file(&f, "a", "old");
    sim_disk_stop_at(f.disk, sim_disk_effects(f.disk) + 2);
    must_write(&f, file, 0, "new");
    struct bytes b = BYTES("x");
    char out[3];
    size_t got;
    CHECK_EQ(env_file_sync(file, &f.e), ERR_IO);
    CHECK_EQ(env_file_write(file, 0, &b, 1, &f.e), ERR_IO);
    CHECK_EQ(env_file_read(file, 0, out, 3, &got, &f.e), ERR_IO);
    CHECK_EQ(env_remove(f.env, "a", &f.e), ERR_IO);
    CHECK(sim_world_crashed(f.world));
    sim_disk_crash(f.disk, SIM_CRASH_KEEP);
    CHECK_EQ(env_file_write(file, 0, &b, 1, &f.e), ERR_IO); /* a handle of the life before */
    env_file_close(file);
    check_content(&f, "a", "new");
    end(&f);
}

TEST(disk_lock_ends_with_a_crash)
{
    struct fixture f;
    start(&f, 1);
    struct env_file *a = durable_file(&f, "LOCK", ""), *b = must_open(&f, "LOCK", 0);
    CHECK_OK(env_file_lock(a, &f.e), f.e);
    CHECK_EQ(env_file_lock(b, &f.e), ERR_LOCKED);
    sim_disk_crash(f.disk, SIM_CRASH_KILL);
    struct env_file *c = must_open(&f, "LOCK", 0);
    CHECK_OK(env_file_lock(c, &f.e), f.e);
    env_file_close(a);
    env_file_close(b);
    env_file_close(c);
    end(&f);
}

TEST(disk_copy_is_independent_and_damage_is_exact)
{
    struct fixture f;
    start(&f, 1);
    CHECK_OK(env_mkdir(f.env, "d", &f.e), f.e);
    struct env_file *file = durable_file(&f, "d/a", "0123456789");
    must_write(&f, file, 4, "xyz");
    uint64_t offset, len;
    CHECK(sim_disk_last_write(f.disk, "d/a", &offset, &len));
    CHECK_EQ(offset, 4);
    CHECK_EQ(len, 3);
    CHECK_OK(env_file_sync(file, &f.e), f.e);
    CHECK_OK(env_dir_sync(f.env, "d", &f.e), f.e);
    env_file_close(file);

    struct fixture g = { .disk = sim_disk_copy(f.disk, 7) };
    g.world = sim_world_new(7, g.disk);
    g.env = sim_world_env(g.world);
    CHECK_EQ(sim_disk_flip(g.disk, "d/a", 0, 0), ERR_OK);
    CHECK_EQ(sim_disk_zero(g.disk, "d/a", 8, 1), ERR_OK);
    CHECK_EQ(sim_disk_cut(g.disk, "d/a", 9), ERR_OK);
    CHECK_EQ(sim_disk_flip(g.disk, "d/b", 0, 0), ERR_NOT_FOUND);
    reboot(&g, SIM_CRASH_LOSE);
    struct buf have = { 0 };
    CHECK_EQ(sim_disk_peek(g.disk, "d/a", &have), ERR_OK);
    CHECK_BYTES(buf_bytes(&have), bytes_from("1123xyz7\0", 9));
    buf_free(&have);
    CHECK_EQ(sim_disk_lose(g.disk, "d/a"), ERR_OK);
    CHECK(!exists(&g, "d/a"));
    end(&g);
    check_content(&f, "d/a", "0123xyz789");
    end(&f);
}

TEST(disk_report_counts_faults_and_crashes)
{
    struct fixture f;
    char *text = NULL;
    size_t len = 0;
    start(&f, 1);
    struct env_file *file = durable_file(&f, "a", "old");
    sim_disk_fault(f.disk, SIM_FAULT_SYNC, "a", 1);
    CHECK_EQ(env_file_sync(file, &f.e), ERR_IO);
    env_file_close(file);
    uint64_t effects = sim_disk_effects(f.disk);
    sim_disk_crash(f.disk, SIM_CRASH_KILL);
    for (int i = 0; i < 30; i++)
        sim_disk_crash(f.disk, SIM_CRASH_DRAW);
    CHECK_EQ(sim_disk_crash_count(f.disk, SIM_CRASH_DRAW), 0);
    CHECK_EQ(sim_disk_crash_count(f.disk, SIM_CRASH_LOSE) +
                 sim_disk_crash_count(f.disk, SIM_CRASH_PREFIX) +
                 sim_disk_crash_count(f.disk, SIM_CRASH_SECTORS),
             30);
    FILE *to = open_memstream(&text, &len);
    sim_disk_report(f.disk, to);
    fclose(to);
    char begin[64];
    snprintf(begin, sizeof begin, "effects=%llu fault-sync=1 kill=1 power-",
             (unsigned long long)effects);
    CHECK(strncmp(text, begin, strlen(begin)) == 0);
    free(text);
    end(&f);
}

TEST(disk_same_seed_same_history)
{
    uint64_t hash[3];
    for (int run = 0; run < 3; run++) {
        struct fixture f;
        start(&f, run == 2 ? 6 : 5);
        sim_disk_chance(f.disk, SIM_FAULT_WRITE, 100000);
        for (int i = 0; i < 50; i++)
            (void)!env_write_file(f.env, i % 2 ? "a" : "b", BYTES("some text"), NULL);
        CHECK(sim_disk_fault_count(f.disk, SIM_FAULT_WRITE) > 0);
        hash[run] = sim_world_hash(f.world);
        end(&f);
    }
    CHECK(hash[0] == hash[1]);
    CHECK(hash[0] != hash[2]);
}

TEST_MAIN()
