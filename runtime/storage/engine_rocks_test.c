/* RocksDB against the contract, and what only RocksDB can get wrong: torn cuts, unknown families, corrupt blocks. */
#include "engine_contract.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine_int.h"
#include "uv/world.h"

/* The one world of this program; never closed: it holds nothing. */
static struct env *machine(void)
{
    static struct world *world;
    struct err e = { 0 };
    if (world == NULL)
        CHECK_OK(world_open(NULL, &world, &e), e);
    return world_env(world);
}

static struct engine_subject subject_new(void)
{
    return (struct engine_subject){
        .ops = &engine_rocks, .env = machine(), .dir = test_dir(), .memtable_bytes = 64 << 10
    };
}

static void subject_free(struct engine_subject *subject)
{
    free((void *)(uintptr_t)subject->dir);
}

#define RUN_PROMISE(name)                                                                          \
    TEST(name)                                                                                     \
    {                                                                                              \
        struct engine_subject subject = subject_new();                                             \
        engine_contract_##name(&subject);                                                          \
        subject_free(&subject);                                                                    \
    }
ENGINE_PROMISES(RUN_PROMISE)
RUN_PROMISE(readers_see_whole_batches)

static struct engine_config config_in(char *path, size_t cap, const char *dir, bool create)
{
    snprintf(path, cap, "%s/db", dir);
    return (struct engine_config){ .path = path, .create = create, .memtable_bytes = 256 << 10 };
}

/* ---- Files of the database ----------------------------------------------------------------------------------- */

struct search {
    const char *dir, *suffix, *prefix;
    char found[700];
};

static err_t match(void *user, const char *name, bool is_dir)
{
    struct search *search = user;
    size_t len = strlen(name), suffix = strlen(search->suffix);
    if (!is_dir && len >= suffix && strcmp(name + len - suffix, search->suffix) == 0 &&
        strncmp(name, search->prefix, strlen(search->prefix)) == 0)
        snprintf(search->found, sizeof search->found, "%s/%s", search->dir, name);
    return ERR_OK;
}

/* The last file of the database with this prefix and suffix. */
static struct search find_file(const char *path, const char *prefix, const char *suffix)
{
    struct search search = { .dir = path, .prefix = prefix, .suffix = suffix };
    struct err e = { 0 };
    CHECK_OK(env_dir_list(machine(), path, match, &search, &e), e);
    CHECK(search.found[0] != '\0');
    return search;
}

/* Flips every bit of `len` bytes at `offset`. */
static void flip(const char *path, uint64_t offset, size_t len)
{
    struct env_file *file = NULL;
    struct err e = { 0 };
    uint8_t bytes[512];
    size_t got;
    CHECK(len <= sizeof bytes);
    CHECK_OK(env_file_open(machine(), path, ENV_OPEN_READ | ENV_OPEN_WRITE, &file, &e), e);
    CHECK_OK(env_file_read(file, offset, bytes, len, &got, &e), e);
    CHECK_EQ(got, len);
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)~bytes[i];
    struct bytes out = bytes_from(bytes, len);
    CHECK_OK(env_file_write(file, offset, &out, 1, &e), e);
    env_file_close(file);
}

/* ---- Families ------------------------------------------------------------------------------------------------ */

static bool in_manifest(const char *path, const char *text)
{
    struct search manifest = find_file(path, "MANIFEST-", "");
    struct buf content = { 0 };
    struct err e = { 0 };
    CHECK_OK(env_read_file(machine(), manifest.found, 1 << 20, &content, &e), e);
    bool found = memmem(content.data, content.len, text, strlen(text)) != NULL;
    buf_free(&content);
    return found;
}

TEST(unknown_family_is_kept)
{
    struct engine_subject subject = subject_new();
    char path[512];
    struct engine_config config = config_in(path, sizeof path, subject.dir, true);
    struct engine *engine = NULL;
    struct err e = { 0 };
    struct engine_rocks_shape shape = { .extra_family = "from_the_future" };
    CHECK_OK(engine_rocks_open_shape(machine(), &config, &shape, &engine, &e), e);
    engine_contract_write(&subject, engine, 1);
    CHECK_OK(engine_rocks.force(engine, &e), e);
    engine_rocks.close(engine);
    for (uint64_t n = 2; n < 4; n++) {
        engine = engine_contract_open(&subject, false);
        engine_contract_write(&subject, engine, n);
        CHECK_OK(engine_rocks.force(engine, &e), e);
        CHECK_EQ(engine_contract_check_cut(&subject, engine, n), n);
        engine_rocks.close(engine);
        CHECK(in_manifest(path, "from_the_future")); /* each open writes the manifest anew */
    }
    CHECK(!in_manifest(path, "from_the_past"));
    subject_free(&subject);
}

TEST(missing_family_is_made)
{
    struct engine_subject subject = subject_new();
    char path[512];
    struct engine_config config = config_in(path, sizeof path, subject.dir, true);
    struct engine *engine = NULL;
    struct err e = { 0 };
    struct engine_rocks_shape shape = { .without_tick = true };
    CHECK_OK(engine_rocks_open_shape(machine(), &config, &shape, &engine, &e), e);
    engine_rocks.close(engine);
    CHECK(!in_manifest(path, "tick"));
    engine = engine_contract_open(&subject, false);
    engine_contract_write(&subject, engine, 1);
    CHECK_OK(engine_rocks.force(engine, &e), e);
    engine_rocks.close(engine);
    CHECK(in_manifest(path, "tick"));
    engine = engine_contract_open(&subject, false);
    CHECK_EQ(engine_contract_check_cut(&subject, engine, 1), 1);
    engine_rocks.close(engine);
    subject_free(&subject);
}

TEST(second_open_is_refused)
{
    struct engine_subject subject = subject_new();
    char path[512];
    struct engine_config config = config_in(path, sizeof path, subject.dir, false);
    struct engine *engine = engine_contract_open(&subject, true), *second = NULL;
    struct err e = { 0 };
    CHECK_EQ(engine_rocks.open(machine(), &config, &second, &e), ERR_LOCKED);
    CHECK_CONTAINS(e.msg, path);
    engine_rocks.close(engine);
    subject_free(&subject);
}

TEST(create_beside_data_is_refused)
{
    struct engine_subject subject = subject_new();
    char path[512], current[600];
    struct engine_config config = config_in(path, sizeof path, subject.dir, true);
    struct engine *engine = engine_contract_open(&subject, true);
    struct err e = { 0 };
    engine_contract_write(&subject, engine, 1);
    CHECK_OK(engine_rocks.force(engine, &e), e);
    engine_rocks.close(engine);
    snprintf(current, sizeof current, "%s/CURRENT", path);
    CHECK_OK(env_remove(machine(), current, &e), e);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(engine_rocks.open(machine(), &config, &engine, &e), ERR_DATA_LOSS);
    (void)find_file(path, "", ".sst"); /* still there */
    subject_free(&subject);
}

/* ---- Damage -------------------------------------------------------------------------------------------------- */

enum { DAMAGE_ROWS = 2000 };

TEST(corrupt_block_is_an_error_and_no_short_scan)
{
    struct engine_subject subject = subject_new();
    subject.memtable_bytes = 8 << 20; /* one file */
    struct engine *engine = engine_contract_open(&subject, true);
    struct engine_batch *batch = engine_rocks.batch_new(engine);
    struct err e = { 0 };
    char path[512], key[32], value[200];
    uint64_t size;
    bool is_dir;
    (void)config_in(path, sizeof path, subject.dir, false);
    uint32_t random = 7;
    for (int i = 0; i < DAMAGE_ROWS; i++) {
        snprintf(key, sizeof key, "%06d", i);
        for (size_t at = 0; at < sizeof value; at++) /* so that blocks do not shrink to one */
            value[at] = (char)((random = random * 1664525 + 1013904223) >> 24);
        engine_rocks.put(batch, ENGINE_CAS, BYTES(key), bytes_from(value, sizeof value));
    }
    CHECK_OK(engine_rocks.write(engine, batch, 1, &e), e);
    engine_rocks.batch_free(batch);
    CHECK_OK(engine_rocks.force(engine, &e), e);
    engine_rocks.close(engine);

    struct search largest = { 0 };
    uint64_t most = 0;
    for (int number = 0; number < 40; number++) {
        char file[700];
        snprintf(file, sizeof file, "%s/%06d.sst", path, number);
        if (env_stat(machine(), file, &is_dir, &size, NULL) == ERR_OK && size > most) {
            most = size;
            snprintf(largest.found, sizeof largest.found, "%s", file);
        }
    }
    CHECK(most > DAMAGE_ROWS * 150);
    flip(largest.found, most / 2, 64); /* in the middle of the data blocks */

    engine = engine_contract_open(&subject, false);
    struct engine_iter *iter = NULL;
    struct bytes k, v;
    int rows = 0, bad = 0;
    CHECK_OK(engine_rocks.scan(engine, ENGINE_CAS, BYTES(""), (struct bytes){ 0 }, &iter, &e), e);
    while (engine_rocks.iter_next(iter, &k, &v))
        rows++;
    CHECK(rows > 0 && rows < DAMAGE_ROWS);
    CHECK_EQ(engine_rocks.iter_error(iter, &e), ERR_CORRUPTION);
    engine_rocks.iter_close(iter);
    for (int i = 0; i < DAMAGE_ROWS; i++) {
        struct buf have = { 0 };
        snprintf(key, sizeof key, "%06d", i);
        err_t rc = engine_rocks.get(engine, ENGINE_CAS, BYTES(key), false, &have, &e);
        CHECK(rc == ERR_OK || rc == ERR_CORRUPTION); /* never NOT_FOUND */
        bad += rc == ERR_CORRUPTION;
        buf_free(&have);
    }
    CHECK(bad > 0 && bad < 300);
    engine_rocks.close(engine);
    subject_free(&subject);
}

/* ---- Torn cuts -------------------------------------------------------------------------------------------------
 *
 * A writer puts the same number into all families, batch by batch, while automatic flushes run. Beside it the hunter
 * reads the numbers from the persisted tier: they must be equal, since all families are cut between the same batches.
 * Two gets may stand on the two sides of a flush that is being installed, so unequal numbers are a suspicion only;
 * then the writer is stopped, and if they are still unequal when no flush runs any more, a crash would have torn the
 * batch. */

struct hunt {
    const struct engine_subject *subject;
    struct engine *engine;
    _Atomic bool stop, pause, paused;
    _Atomic uint64_t written;
    err_t rc; /* of the writer; read after the join */
};

static void *hunted_writer(void *argument)
{
    struct hunt *hunt = argument;
    struct engine_batch *batch = engine_rocks.batch_new(hunt->engine);
    uint32_t random = 3;
    char filler[400];
    memset(filler, 'f', sizeof filler);
    for (uint64_t n = 1; !atomic_load(&hunt->stop) && hunt->rc == ERR_OK; n++) {
        while (atomic_load(&hunt->pause) && !atomic_load(&hunt->stop)) {
            atomic_store(&hunt->paused, true);
            usleep(100);
        }
        atomic_store(&hunt->paused, false);
        char number[32];
        snprintf(number, sizeof number, "%llu", (unsigned long long)n);
        random = random * 1664525 + 1013904223;
        engine_rocks.batch_clear(batch);
        for (unsigned family = 0; family < ENGINE_TICK; family++)
            engine_rocks.put(batch, (enum engine_family)family, BYTES("n"), BYTES(number));
        engine_rocks.put(batch, (enum engine_family)(random >> 24) % ENGINE_TICK, BYTES(number),
                         bytes_from(filler, sizeof filler));
        hunt->rc = engine_rocks.write(hunt->engine, batch, n, NULL);
        if (hunt->rc == ERR_OK && n % 5000 == 0)
            hunt->rc = engine_rocks.force(hunt->engine, NULL);
        atomic_store(&hunt->written, n);
    }
    engine_rocks.batch_free(batch);
    return NULL;
}

/* Reads the durable number of every family; true if all are the same. */
static bool durable_cut(struct hunt *hunt, uint64_t numbers[ENGINE_FAMILIES])
{
    struct err e = { 0 };
    struct buf have = { 0 };
    bool equal = true;
    CHECK_OK(engine_rocks.durable(hunt->engine, &numbers[ENGINE_TICK], &e), e);
    for (unsigned family = 0; family < ENGINE_TICK; family++) {
        buf_clear(&have);
        err_t rc = engine_rocks.get_durable(hunt->engine, (enum engine_family)family, BYTES("n"),
                                            &have, &e);
        CHECK(rc == ERR_OK || rc == ERR_NOT_FOUND);
        CHECK_EQ(buf_append(&have, bytes_from("", 1)), ERR_OK);
        numbers[family] = strtoull((const char *)have.data, NULL, 10);
        equal = equal && numbers[family] == numbers[ENGINE_TICK];
    }
    buf_free(&have);
    return equal;
}

/* Stops the writer, lets flushes end, and looks again. True: torn. */
static bool torn_at_rest(struct hunt *hunt)
{
    uint64_t before[ENGINE_FAMILIES], now[ENGINE_FAMILIES];
    struct engine_stats stats;
    atomic_store(&hunt->pause, true);
    while (!atomic_load(&hunt->paused))
        usleep(100);
    bool equal = durable_cut(hunt, now);
    for (int still = 0; !equal && still < 20;) { /* the same for 20 looks while no flush runs */
        memcpy(before, now, sizeof before);
        usleep(5000);
        engine_rocks.stats(hunt->engine, &stats);
        equal = durable_cut(hunt, now);
        still = stats.running_flushes == 0 && memcmp(before, now, sizeof now) == 0 ? still + 1 : 0;
    }
    atomic_store(&hunt->pause, false);
    return !equal;
}

enum { CUTS = 60 }; /* or HUNT_CUTS of the environment: scripts/test-deep.sh */

static uint64_t cuts_wanted(void)
{
    const char *wanted = getenv("HUNT_CUTS");
    return wanted != NULL ? strtoull(wanted, NULL, 10) : CUTS;
}

/* Hunts until a torn cut, or until `cuts` different durable numbers were seen. */
static bool hunt_torn_cut(struct engine *engine, uint64_t cuts)
{
    struct hunt hunt = { .engine = engine };
    uint64_t numbers[ENGINE_FAMILIES], seen = 0, last = 0, looks = 0;
    pthread_t writer;
    bool torn = false;
    CHECK_EQ(pthread_create(&writer, NULL, hunted_writer, &hunt), 0);
    while (!torn && seen < cuts) {
        looks++;
        if (!durable_cut(&hunt, numbers))
            torn = torn_at_rest(&hunt);
        usleep(50); /* a tear lasts until the next flush, some milliseconds */
        seen += numbers[ENGINE_TICK] != last;
        last = numbers[ENGINE_TICK];
    }
    atomic_store(&hunt.stop, true);
    pthread_join(writer, NULL);
    CHECK_EQ(hunt.rc, ERR_OK);
    print_message("%llu looks, %llu cuts, %llu batches\n", (unsigned long long)looks,
                  (unsigned long long)seen, (unsigned long long)atomic_load(&hunt.written));
    return torn;
}

TEST(no_cut_is_torn_beside_a_writer)
{
    struct engine_subject subject = subject_new();
    char path[512];
    struct engine_config config = config_in(path, sizeof path, subject.dir, true);
    struct engine *engine = NULL;
    struct err e = { 0 };
    CHECK_OK(engine_rocks.open(machine(), &config, &engine, &e), e);
    CHECK(!hunt_torn_cut(engine, cuts_wanted()));
    engine_rocks.close(engine);
    subject_free(&subject);
}

TEST(the_hunter_finds_a_planted_tear)
{
    struct engine_subject subject = subject_new();
    char path[512];
    struct engine_config config = config_in(path, sizeof path, subject.dir, true);
    struct engine *engine = NULL;
    struct err e = { 0 };
    struct engine_rocks_shape shape = { .torn = true };
    CHECK_OK(engine_rocks_open_shape(machine(), &config, &shape, &engine, &e), e);
    CHECK(hunt_torn_cut(engine, cuts_wanted()));
    engine_rocks.close(engine);
    subject_free(&subject);
}

/* ---- Children: a process of its own, since RocksDB's threads do not survive a fork ----------------------------- */

/* Writes for ever; tells the durable number through stdout whenever it rises. */
static int child_writes(const char *dir)
{
    struct engine_subject subject = {
        .ops = &engine_rocks, .env = machine(), .dir = dir, .memtable_bytes = 64 << 10
    };
    struct engine *engine = engine_contract_open(&subject, true);
    uint64_t told = 0, durable;
    for (uint64_t n = 1;; n++) {
        engine_contract_write(&subject, engine, n);
        if (engine_rocks.durable(engine, &durable, NULL) == ERR_OK && durable > told) {
            told = durable;
            if (write(STDOUT_FILENO, &told, sizeof told) != sizeof told)
                return 1;
        }
    }
}

/* Lets RocksDB's flush fail: no file may grow above 64 KiB. Exits with 42 if durable() has told. */
static int child_fails_to_flush(const char *dir)
{
    struct engine_subject subject = {
        .ops = &engine_rocks, .env = machine(), .dir = dir, .memtable_bytes = 1 << 20
    };
    struct engine *engine = engine_contract_open(&subject, true);
    struct rlimit limit = { .rlim_cur = 64 << 10, .rlim_max = RLIM_INFINITY };
    struct engine_batch *batch = engine_rocks.batch_new(engine);
    uint64_t durable;
    uint32_t random = 1;
    struct err e = { 0 };
    char value[1000];
    signal(SIGXFSZ, SIG_IGN);
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0)
        return 1;
    for (uint64_t n = 1; n < 100000; n++) {
        for (size_t at = 0; at < sizeof value; at++)
            value[at] = (char)((random = random * 1664525 + 1013904223) >> 24);
        engine_rocks.batch_clear(batch);
        engine_rocks.put(batch, ENGINE_DEFAULT, bytes_from(&n, sizeof n),
                         bytes_from(value, sizeof value));
        err_t rc = engine_rocks.write(engine, batch, n, &e);
        err_t told = engine_rocks.durable(engine, &durable, &e);
        if (told != ERR_OK || rc != ERR_OK) {
            engine_rocks.batch_free(batch);
            err_t forced = engine_rocks.force(engine, &e);
            engine_rocks.close(engine);
            return told == ERR_IO && forced != ERR_OK ? 42 : 2;
        }
    }
    return 3;
}

static pid_t spawn(const char *what, const char *dir, int *from)
{
    int ends[2];
    CHECK_EQ(pipe(ends), 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        close(ends[1]);
        execl("/proc/self/exe", "child", what, dir, (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    *from = ends[0];
    return child;
}

TEST(kill_takes_a_suffix_alone)
{
    struct engine_subject subject = subject_new();
    int from, status;
    uint64_t told = 0, n;
    pid_t child = spawn("--writes", subject.dir, &from);
    for (int i = 0; i < 5 && read(from, &n, sizeof n) == sizeof n; i++)
        told = n;
    CHECK_EQ(kill(child, SIGKILL), 0);
    while (read(from, &n, sizeof n) == sizeof n)
        told = n;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    close(from);
    CHECK(told > 0);
    struct engine *engine = engine_contract_open(&subject, false);
    CHECK(engine_contract_check_cut(&subject, engine, told + 100) >= told);
    engine_rocks.close(engine);
    subject_free(&subject);
}

TEST(failed_flush_is_told_and_latched)
{
    struct engine_subject subject = subject_new();
    int from, status;
    char line[1024];
    pid_t child = spawn("--fails-to-flush", subject.dir, &from);
    while (read(from, line, sizeof line) > 0)
        ;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 42);
    close(from);
    subject_free(&subject);
}

struct test_case *test_cases;

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--writes") == 0)
        return child_writes(argv[2]);
    if (argc == 3 && strcmp(argv[1], "--fails-to-flush") == 0)
        return child_fails_to_flush(argv[2]);
    return test_main(argc, argv);
}
