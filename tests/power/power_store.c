/* A store on a disk that is about to die, and the check of what must be left of it.
 *
 *   init DIR                       a store with small log segments
 *   write DIR ROUND [log|flush]    concurrent writers, until killed; 16 bytes on stdout an acknowledged operation
 *   check DIR ACKS...              ACKS: the output of round 0, 1, ...; all that was acknowledged is there, and no more
 *   cut MOUNT                      the power of an ext4 mount fails: nothing in flight reaches the disk
 *
 * A writer repeats four operations on keys of its own, each blocking: put a fresh key, overwrite one of sixteen, CAS a
 * counter, delete an old key. After a cut its state is that of the last acknowledged operation or of the one after it,
 * which was in flight: every other key is compared exactly, and keys that should not exist are looked for.
 *
 * Exit codes: 0 fine, 1 lost or foreign data, 2 usage or malfunction, 3 the store stopped after a failed write,
 * 4 the store refuses to open because of a panic mark. scripts/powercut.sh and scripts/fsyncgate.sh use it. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "storage/store.h"
#include "uv/world.h"

enum {
    WRITERS = 8,
    STEPS = 4,     /* operations of a writer's cycle */
    KEPT = 20,     /* fresh keys that live before they are deleted */
    SLOTS = 16,    /* keys that are overwritten */
    NAMESPACE = 1, /* "default" */
    ROUNDS_MAX = 1000,
};
enum exit_code { EXIT_LOST = 1, EXIT_BROKEN = 2, EXIT_LATCHED = 3, EXIT_PANIC = 4 };

/* EXT4_IOC_SHUTDOWN of linux/fs/ext4; the flag asks for no log flush: as if the plug were pulled. */
#define SHUTDOWN _IOR('X', 125, uint32_t)
enum { SHUTDOWN_NO_LOG_FLUSH = 2 };

struct ack {
    uint32_t writer, round;
    uint64_t op;
};

/* ---- What a writer does at operation `op`, and what is there afterwards ------------------------------------------ */

static struct bytes fresh_key(char out[48], uint32_t round, uint32_t writer, uint64_t cycle)
{
    snprintf(out, 48, "fresh/%03u/%u/%08" PRIu64, round, writer, cycle);
    return BYTES(out);
}

static struct bytes slot_key(char out[48], uint32_t round, uint32_t writer, uint64_t cycle)
{
    snprintf(out, 48, "slot/%03u/%u/%02u", round, writer, (unsigned)(cycle % SLOTS));
    return BYTES(out);
}

static struct bytes counter_key(char out[48], uint32_t round, uint32_t writer)
{
    snprintf(out, 48, "counter/%03u/%u", round, writer);
    return BYTES(out);
}

/* A value that only this operation writes: its number, then bytes that follow from it. */
static struct bytes value_of(char out[2048], uint32_t writer, uint64_t op)
{
    int len = snprintf(out, 2048, "%u.%" PRIu64 ".", writer, op);
    uint64_t random = op * 0x9e3779b97f4a7c15u + writer;
    size_t more = (size_t)(random >> 33) % 1500;
    for (size_t i = 0; i < more; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        out[(size_t)len + i] = (char)(random >> 56);
    }
    return bytes_from(out, (size_t)len + more);
}

static err_t do_op(struct storage *store, uint32_t round, uint32_t writer, uint64_t op,
                   struct err *e)
{
    char key[48], value[2048];
    uint64_t cycle = op / STEPS;
    struct bytes bytes = value_of(value, writer, op);
    switch (op % STEPS) {
    case 0:
        return storage_put_raw(store, NAMESPACE, fresh_key(key, round, writer, cycle), bytes, e);
    case 1:
        return storage_put_raw(store, NAMESPACE, slot_key(key, round, writer, cycle), bytes, e);
    case 2: {
        struct storage_result result = { 0 };
        err_t rc = storage_cas(store, NAMESPACE, counter_key(key, round, writer), cycle, bytes,
                               false, &result, e);
        storage_result_free(&result);
        return rc;
    }
    default:
        if (cycle < KEPT)
            return ERR_OK;
        return storage_delete_raw(store, NAMESPACE, fresh_key(key, round, writer, cycle - KEPT), e);
    }
}

/* How many operations of step `step` are among the first `done`. */
static uint64_t count_step(uint64_t done, unsigned step)
{
    return (done + STEPS - 1 - step) / STEPS;
}

/* ---- Writing ----------------------------------------------------------------------------------------------------- */

/* `first` tells what shall need new room on the disk first: "log" keeps the engine's state in memory, "flush" has
 * enough log segments made ahead; NULL: both as it comes. */
static struct storage_config config_of(const char *dir, const char *first)
{
    bool log = first != NULL && strcmp(first, "log") == 0;
    bool flush = first != NULL && strcmp(first, "flush") == 0;
    return (struct storage_config){
        .path = dir,
        .engine = &engine_rocks,
        .engine_config = { .memtable_bytes = log ? 64 << 20 : 1 << 20,
                           .block_cache_bytes = 8 << 20 },
        .segment_bytes = 1 << 20,
        .spare_segments = flush ? 8 : 1,
        .alone = true,
    };
}

struct writer {
    struct storage *store;
    uint32_t round, index;
    err_t rc;
    struct err e;
    pthread_t thread;
};

static void *write_on(void *argument)
{
    struct writer *writer = argument;
    for (uint64_t op = 0; writer->rc == ERR_OK; op++) {
        writer->rc = do_op(writer->store, writer->round, writer->index, op, &writer->e);
        struct ack ack = { writer->index, writer->round, op };
        if (writer->rc == ERR_OK && write(STDOUT_FILENO, &ack, sizeof ack) != sizeof ack)
            writer->rc = err_set(&writer->e, ERR_CLOSED, "nobody takes the acknowledgements");
    }
    return NULL;
}

/* What a node does once a second. */
static void *tend_on(void *argument)
{
    struct writer *tender = argument;
    while (tender->rc == ERR_OK) {
        tender->rc = storage_tend(tender->store, &tender->e);
        err_t rc = tender->rc == ERR_OK ? storage_prepare(tender->store, &tender->e) : ERR_OK;
        if (rc != ERR_OK && rc != ERR_DISK_FULL)
            tender->rc = rc;
        nanosleep(&(struct timespec){ .tv_nsec = 100000000 }, NULL);
    }
    return NULL;
}

static int run_writers(struct storage *store, uint32_t round)
{
    static struct writer writers[WRITERS + 1];
    for (uint32_t i = 0; i <= WRITERS; i++) {
        writers[i] = (struct writer){ .store = store, .round = round, .index = i };
        if (pthread_create(&writers[i].thread, NULL, i < WRITERS ? write_on : tend_on,
                           &writers[i]) != 0)
            return EXIT_BROKEN;
    }
    for (uint32_t i = 0; i <= WRITERS; i++) /* the first failure latches all */
        pthread_join(writers[i].thread, NULL);
    struct err e = { 0 };
    if (storage_latched(store, &e) == ERR_OK) {
        fprintf(stderr, "power_store: a writer failed, and the store is not latched: %s\n",
                writers[0].e.msg);
        return EXIT_BROKEN;
    }
    fprintf(stderr, "power_store: %s\n", e.msg);
    storage_close(store); /* as a node would: a latched store closes, and writes nothing */
    return EXIT_LATCHED;
}

/* ---- Checking ---------------------------------------------------------------------------------------------------- */

struct check {
    struct storage *store;
    uint64_t acked, in_flight, keys; /* counts, for the report */
    uint64_t wrong;
};

static void wrong(struct check *check, struct bytes key, const char *what)
{
    if (check->wrong++ < 10)
        fprintf(stderr, "power_store: %.*s: %s\n", (int)key.len, (const char *)key.data, what);
}

/* The raw value of a key is that of operation `op` of the writer (`there`), or the key is absent. */
static bool raw_is(struct check *check, struct bytes key, uint32_t writer, uint64_t op, bool there)
{
    char want[2048];
    struct buf have = { 0 };
    struct err e = { 0 };
    err_t rc = storage_get_raw(check->store, NAMESPACE, key, &have, &e);
    bool same = there ? rc == ERR_OK && bytes_equal(buf_bytes(&have), value_of(want, writer, op))
                      : rc == ERR_NOT_FOUND;
    if (rc != ERR_OK && rc != ERR_NOT_FOUND)
        wrong(check, key, e.msg);
    buf_free(&have);
    return same;
}

/* Everything of a writer after its first `done` operations; false at the first difference, which is told if `tell`. */
static bool state_is(struct check *check, uint32_t round, uint32_t writer, uint64_t done, bool tell)
{
    char name[48], want[2048];
    uint64_t fresh = count_step(done, 0), slots = count_step(done, 1),
             version = count_step(done, 2);
    uint64_t deleted = count_step(done, 3) > KEPT ? count_step(done, 3) - KEPT : 0;
    for (uint64_t cycle = 0; cycle < fresh + 2; cycle++) {
        struct bytes key = fresh_key(name, round, writer, cycle);
        if (!raw_is(check, key, writer, cycle * STEPS, cycle >= deleted && cycle < fresh)) {
            if (tell)
                wrong(check, key,
                      cycle < deleted ? "deleted, and there"
                      : cycle < fresh ? "lost"
                                      : "never written, and there");
            return false;
        }
    }
    for (uint64_t slot = 0; slot < SLOTS; slot++) {
        struct bytes key = slot_key(name, round, writer, slot);
        uint64_t times = slots > slot ? (slots - slot + SLOTS - 1) / SLOTS : 0;
        uint64_t cycle = times > 0 ? (times - 1) * SLOTS + slot : 0;
        if (!raw_is(check, key, writer, cycle * STEPS + 1, times > 0)) {
            if (tell)
                wrong(check, key, "not the last value written");
            return false;
        }
    }
    struct buf have = { 0 };
    uint64_t have_version = 0;
    struct bytes key = counter_key(name, round, writer);
    err_t rc = storage_get_cas(check->store, NAMESPACE, key, &have_version, &have, NULL);
    bool same = version == 0 ? rc == ERR_NOT_FOUND
                             : rc == ERR_OK && have_version == version &&
                                   bytes_equal(buf_bytes(&have),
                                               value_of(want, writer, (version - 1) * STEPS + 2));
    buf_free(&have);
    if (!same && tell)
        wrong(check, key, "not the last version written");
    return same;
}

static void check_round(struct check *check, uint32_t round, const uint64_t done[WRITERS])
{
    for (uint32_t writer = 0; writer < WRITERS; writer++) {
        check->acked += done[writer];
        if (state_is(check, round, writer, done[writer], false))
            continue;
        if (state_is(check, round, writer, done[writer] + 1, false))
            check->in_flight++;
        else
            (void)state_is(check, round, writer, done[writer], true);
    }
}

static err_t count_key(void *user, struct bytes key, uint64_t version, struct bytes value)
{
    struct check *check = user;
    (void)key, (void)version, (void)value;
    check->keys++;
    return ERR_OK;
}

/* As many raw keys as the writers left: none from elsewhere, none that a scan does not see. */
static err_t scan_all(struct check *check, struct err *e)
{
    struct buf from = { 0 };
    bool more = true;
    err_t rc = ERR_OK;
    while (more && rc == ERR_OK) {
        struct buf next = { 0 };
        struct storage_scan scan = { .ns = NAMESPACE,
                                     .start = buf_bytes(&from),
                                     .limit = 1000,
                                     .limit_bytes = 1 << 20,
                                     .keys_only = true };
        rc = storage_scan(check->store, &scan, count_key, check, &more, &next, e);
        buf_free(&from);
        from = next;
    }
    buf_free(&from);
    return rc;
}

/* Reads the acknowledgements of one round: how many operations of each writer, in order and without a hole. */
static int read_acks(const char *path, uint32_t round, uint64_t done[WRITERS])
{
    FILE *file = fopen(path, "rb");
    struct ack ack;
    if (file == NULL) {
        fprintf(stderr, "power_store: %s: %s\n", path, strerror(errno));
        return EXIT_BROKEN;
    }
    memset(done, 0, WRITERS * sizeof done[0]);
    int code = 0;
    while (code == 0 && fread(&ack, sizeof ack, 1, file) == 1) {
        if (ack.writer >= WRITERS || ack.round != round || ack.op != done[ack.writer])
            code = EXIT_BROKEN;
        else
            done[ack.writer]++;
    }
    fclose(file);
    if (code != 0)
        fprintf(stderr, "power_store: %s is not the output of round %u\n", path, round);
    return code;
}

static int run_check(struct storage *store, char **paths, int count)
{
    static uint64_t done[ROUNDS_MAX][WRITERS];
    struct check check = { .store = store };
    struct storage_stats stats;
    struct err e = { 0 };
    uint64_t least = 0, most = 0;
    for (int round = 0; round < count; round++) {
        int code = read_acks(paths[round], (uint32_t)round, done[round]);
        if (code != 0)
            return code;
        check_round(&check, (uint32_t)round, done[round]);
        for (uint32_t writer = 0; writer < WRITERS; writer++)
            for (uint64_t more = 0; more < 2; more++) {
                uint64_t ops = done[round][writer] + more, slots = count_step(ops, 1);
                uint64_t deleted = count_step(ops, 3) > KEPT ? count_step(ops, 3) - KEPT : 0;
                uint64_t keys = count_step(ops, 0) - deleted + (slots < SLOTS ? slots : SLOTS);
                *(more == 0 ? &least : &most) += keys;
            }
    }
    if (scan_all(&check, &e) != ERR_OK) {
        fprintf(stderr, "power_store: scan: %s\n", e.msg);
        check.wrong++;
    }
    /* one operation in flight a writer may have added a key, or taken one */
    uint64_t slack = (uint64_t)count * WRITERS;
    if (check.keys + slack < least || check.keys > most + slack) {
        fprintf(stderr, "power_store: %" PRIu64 " keys in a scan, about %" PRIu64 " written\n",
                check.keys, least);
        check.wrong++;
    }
    storage_stats(store, &stats);
    printf("acknowledged %" PRIu64 ", in flight and kept %" PRIu64 ", re-applied %" PRIu64
           ", wrong %" PRIu64 "\n",
           check.acked, check.in_flight, stats.replayed, check.wrong);
    return check.wrong != 0 ? EXIT_LOST : 0;
}

/* ---- Verbs ------------------------------------------------------------------------------------------------------- */

static int run_cut(const char *mount)
{
    uint32_t flag = SHUTDOWN_NO_LOG_FLUSH;
    int fd = open(mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || ioctl(fd, SHUTDOWN, &flag) != 0) {
        fprintf(stderr, "power_store: cut %s: %s\n", mount, strerror(errno));
        return EXIT_BROKEN;
    }
    close(fd);
    return 0;
}

static int run_init(struct env *env, const char *dir)
{
    struct storage_config config = config_of(dir, NULL);
    struct storage_ident ident = { .store_id = 1 };
    struct err e = { 0 };
    env_random(env, ident.cluster_id, sizeof ident.cluster_id);
    ident.incarnation = env_random_u64(env) | 1;
    if (storage_init(env, &config, &ident, NULL, &e) == ERR_OK)
        return 0;
    fprintf(stderr, "power_store: %s\n", e.msg);
    return EXIT_BROKEN;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "cut") == 0)
        return run_cut(argv[2]);
    bool writes = (argc == 4 || argc == 5) && strcmp(argv[1], "write") == 0;
    bool checks = argc >= 4 && argc < ROUNDS_MAX && strcmp(argv[1], "check") == 0;
    bool inits = argc == 3 && strcmp(argv[1], "init") == 0;
    if (!writes && !checks && !inits) {
        fprintf(
            stderr,
            "usage: power_store init DIR | write DIR ROUND [log|flush] | check DIR ACKS... | cut MOUNT\n");
        return EXIT_BROKEN;
    }
    struct world *world = NULL;
    struct storage *store = NULL;
    struct err e = { 0 };
    if (world_open(NULL, &world, &e) != ERR_OK) {
        fprintf(stderr, "power_store: %s\n", e.msg);
        return EXIT_BROKEN;
    }
    if (inits) {
        int code = run_init(world_env(world), argv[2]);
        world_close(world);
        return code;
    }
    struct storage_config config = config_of(argv[2], writes && argc == 5 ? argv[4] : NULL);
    config.accept_panic = getenv("ACCEPT_PANIC") != NULL;
    err_t rc = storage_open(world_env(world), &config, &store, &e);
    if (rc != ERR_OK) {
        fprintf(stderr, "power_store: %s\n", e.msg);
        world_close(world);
        return rc == ERR_PANIC_MARK ? EXIT_PANIC : EXIT_BROKEN;
    }
    if (writes) {
        int code = run_writers(store, (uint32_t)strtoul(argv[3], NULL, 10));
        world_close(world);
        return code;
    }
    int code = run_check(store, argv + 3, argc - 3);
    storage_abandon(store);
    world_close(world);
    return code;
}
