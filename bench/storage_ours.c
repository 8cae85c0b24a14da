/* Side A: the storage library. A batch is an entry through the halves that a node uses (sync, then apply), on one
 * thread or, with lanes, on two, so that one turn is applied while the next is synced; single operations are the
 * blocking calls. */
#include "storage_bench.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "storage/state.h"
#include "uv/world.h"

enum { NAMESPACE = 1, REGION = 1, BODY_MAX = BENCH_KEY + BENCH_VALUE + 32 };

struct ours {
    const struct bench_case *what;
    struct storage *store;
    uint64_t ends;
    raft_index last;    /* of the log */
    uint64_t *versions; /* of every key; each caller has its own share */
    _Atomic bool ended;
    err_t tended; /* read after the join */
};

/* What a node does in its lanes: frees log segments, makes new ones ahead. */
static void *tend(void *argument)
{
    struct ours *ours = argument;
    while (!atomic_load(&ours->ended) && ours->tended == ERR_OK) {
        ours->tended = storage_tend(ours->store, NULL);
        if (ours->tended == ERR_OK)
            ours->tended = storage_prepare(ours->store, NULL);
        nanosleep(&(struct timespec){ .tv_nsec = 200000000 }, NULL);
    }
    return NULL;
}

/* ---- Requests, as a client would send them ----------------------------------------------------------------------- */

static uint8_t *put_varint(uint8_t *to, uint64_t n)
{
    for (; n >= 0x80; n >>= 7)
        *to++ = (uint8_t)(n | 0x80);
    *to++ = (uint8_t)n;
    return to;
}

static uint8_t *put_bytes(uint8_t *to, uint8_t field, const uint8_t *from, size_t len)
{
    *to++ = (uint8_t)(field << 3 | 2);
    to = put_varint(to, len);
    memcpy(to, from, len);
    return to + len;
}

/* A RawPutRequest or CasRequest. */
static size_t encode(const struct bench_case *what, const uint8_t *key, uint64_t expected,
                     const uint8_t *value, uint8_t out[BODY_MAX])
{
    uint8_t *to = out;
    *to++ = 2 << 3;
    to = put_varint(to, NAMESPACE);
    to = put_bytes(to, 3, key, BENCH_KEY);
    if (what->op == BENCH_CAS) {
        *to++ = 4 << 3;
        to = put_varint(to, expected);
    }
    to = put_bytes(to, what->op == BENCH_CAS ? 5 : 4, value, BENCH_VALUE);
    return (size_t)(to - out);
}

/* ---- Turns ------------------------------------------------------------------------------------------------------- */

struct turn {
    struct storage_records *records;
    struct storage_apply *apply;
    struct buf entry;
    struct raft_ent ent;
    uint32_t count;
    uint64_t begun;
};

/* A request is decoded, as a node does with what it takes in, and its bytes become the entry's. */
static err_t fill(struct ours *ours, struct turn *turn, uint32_t first, uint32_t count,
                  uint64_t *random)
{
    turn->begun = bench_now();
    turn->count = count;
    buf_clear(&turn->entry);
    err_t rc = storage_entry_begin(&turn->entry, turn->begun << 16, 1);
    for (uint32_t i = 0; i < count && rc == ERR_OK; i++) {
        uint8_t key[BENCH_KEY], value[BENCH_VALUE], body[BODY_MAX];
        uint32_t number = (first + i) % BENCH_KEYS;
        struct command command;
        enum command_kind kind = ours->what->op == BENCH_CAS ? COMMAND_CAS : COMMAND_RAW_PUT;
        bench_key(number, key);
        bench_value(random, value);
        size_t len = encode(ours->what, key, ours->versions[number]++, value, body);
        rc = command_decode(kind, bytes_from(body, len), &command, NULL);
        if (rc == ERR_OK)
            rc = storage_entry_add(&turn->entry, kind, bytes_from(body, len));
    }
    if (rc == ERR_OK)
        storage_entry_end(&turn->entry, (uint16_t)count);
    return rc;
}

static err_t log_turn(struct ours *ours, struct turn *turn, struct err *e)
{
    raft_index index = ++ours->last;
    struct raft_hs hs = { .term = 1, .vote = 1, .commit = index - 1 };
    turn->ent = (struct raft_ent){
        .term = 1, .index = index, .len = (uint32_t)turn->entry.len, .data = turn->entry.data
    };
    storage_records_reset(turn->records);
    err_t rc = storage_records_append(turn->records, REGION, hs, &turn->ent, 1);
    return rc == ERR_OK ? storage_sync(ours->store, turn->records, e) : rc;
}

static err_t apply_turn(struct ours *ours, struct turn *turn, struct err *e)
{
    uint32_t slot;
    storage_apply_reset(turn->apply);
    err_t rc = storage_apply_entry(turn->apply, REGION, &turn->ent, 1, &slot);
    if (rc == ERR_OK)
        rc = storage_apply_run(ours->store, turn->apply, e);
    for (uint32_t i = 0; rc == ERR_OK && i < turn->count; i++) {
        err_t outcome = storage_apply_result(turn->apply, slot, i, NULL)->rc;
        if (outcome != ERR_OK)
            rc = err_set(e, ERR_INTERNAL, "an operation answered %s", err_name(outcome));
    }
    return rc;
}

static struct turn *turn_new(struct ours *ours)
{
    struct turn *turn = calloc(1, sizeof *turn);
    if (turn == NULL)
        abort();
    turn->records = storage_records_new(ours->store);
    turn->apply = storage_apply_new(ours->store);
    return turn;
}

static void turn_free(struct turn *turn)
{
    storage_records_free(turn->records);
    storage_apply_free(turn->apply);
    buf_free(&turn->entry);
    free(turn);
}

static err_t load(struct ours *ours, struct err *e)
{
    struct turn *turn = turn_new(ours);
    uint64_t random = 1;
    err_t rc = ERR_OK;
    for (uint32_t first = 0; first < BENCH_KEYS && rc == ERR_OK; first += BENCH_BATCH_MAX) {
        rc = fill(ours, turn, first, BENCH_BATCH_MAX, &random);
        if (rc == ERR_OK)
            rc = log_turn(ours, turn, e);
        if (rc == ERR_OK)
            rc = apply_turn(ours, turn, e);
    }
    turn_free(turn);
    return rc;
}

static err_t run_turns(struct ours *ours, struct bench_result *ret, struct err *e)
{
    struct turn *turn = turn_new(ours);
    struct bench_samples samples = { 0 };
    uint64_t random = 88172645463325252u;
    err_t rc = ERR_OK;
    while (bench_now() < ours->ends && rc == ERR_OK) {
        rc = fill(ours, turn, (uint32_t)(bench_random(&random) % BENCH_KEYS), ours->what->batch,
                  &random);
        if (rc == ERR_OK)
            rc = log_turn(ours, turn, e);
        if (rc == ERR_OK)
            rc = apply_turn(ours, turn, e);
        bench_samples_add(&samples, bench_now() - turn->begun);
        ret->ops += ours->what->batch;
    }
    turn_free(turn);
    bench_samples_finish(&samples, 1, ret);
    return rc;
}

/* ---- Turns through two lanes ------------------------------------------------------------------------------------- */

enum { TURNS = 3 };
struct lanes {
    struct ours *ours;
    pthread_mutex_t mutex;
    pthread_cond_t moved;
    struct turn *turns[TURNS];
    uint64_t logged, applied; /* how many turns */
    bool ended;
    err_t rc;
    struct err e;
    struct bench_samples samples;
};

static void *apply_lane(void *argument)
{
    struct lanes *lanes = argument;
    pthread_mutex_lock(&lanes->mutex);
    for (;;) {
        while (lanes->applied == lanes->logged && !lanes->ended)
            pthread_cond_wait(&lanes->moved, &lanes->mutex);
        if (lanes->applied == lanes->logged || lanes->rc != ERR_OK)
            break;
        struct turn *turn = lanes->turns[lanes->applied % TURNS];
        pthread_mutex_unlock(&lanes->mutex);
        err_t rc = apply_turn(lanes->ours, turn, &lanes->e);
        bench_samples_add(&lanes->samples, bench_now() - turn->begun);
        pthread_mutex_lock(&lanes->mutex);
        lanes->applied++;
        lanes->rc = rc;
        pthread_cond_broadcast(&lanes->moved);
    }
    pthread_mutex_unlock(&lanes->mutex);
    return NULL;
}

static err_t run_lanes(struct ours *ours, struct bench_result *ret, struct err *e)
{
    struct lanes lanes = { .ours = ours,
                           .mutex = PTHREAD_MUTEX_INITIALIZER,
                           .moved = PTHREAD_COND_INITIALIZER };
    pthread_t lane;
    uint64_t random = 88172645463325252u;
    err_t rc = ERR_OK;
    for (int i = 0; i < TURNS; i++)
        lanes.turns[i] = turn_new(ours);
    pthread_create(&lane, NULL, apply_lane, &lanes);
    while (bench_now() < ours->ends && rc == ERR_OK) {
        pthread_mutex_lock(&lanes.mutex);
        while (lanes.logged - lanes.applied >= TURNS - 1 && lanes.rc == ERR_OK)
            pthread_cond_wait(&lanes.moved, &lanes.mutex);
        rc = lanes.rc;
        struct turn *turn = lanes.turns[lanes.logged % TURNS];
        pthread_mutex_unlock(&lanes.mutex);
        if (rc == ERR_OK)
            rc = fill(ours, turn, (uint32_t)(bench_random(&random) % BENCH_KEYS), ours->what->batch,
                      &random);
        if (rc == ERR_OK)
            rc = log_turn(ours, turn, e);
        pthread_mutex_lock(&lanes.mutex);
        lanes.logged += rc == ERR_OK;
        pthread_cond_broadcast(&lanes.moved);
        pthread_mutex_unlock(&lanes.mutex);
    }
    pthread_mutex_lock(&lanes.mutex);
    lanes.ended = true;
    pthread_cond_broadcast(&lanes.moved);
    pthread_mutex_unlock(&lanes.mutex);
    pthread_join(lane, NULL);
    ret->ops = lanes.applied * ours->what->batch;
    if (lanes.rc != ERR_OK) {
        rc = lanes.rc;
        *e = lanes.e;
    }
    for (int i = 0; i < TURNS; i++)
        turn_free(lanes.turns[i]);
    bench_samples_finish(&lanes.samples, 1, ret);
    return rc;
}

/* ---- Blocking calls ---------------------------------------------------------------------------------------------- */

struct caller {
    struct ours *ours;
    unsigned index;
    uint64_t ops;
    struct bench_samples samples;
    err_t rc;
    struct err e;
    pthread_t thread;
};

static err_t call_one(struct caller *caller, uint64_t *random)
{
    struct ours *ours = caller->ours;
    uint32_t share = BENCH_KEYS / ours->what->threads;
    uint32_t number = caller->index * share + (uint32_t)(bench_random(random) % share);
    uint8_t key[BENCH_KEY], value[BENCH_VALUE];
    struct storage_result result = { 0 };
    bench_key(number, key);
    bench_value(random, value);
    if (ours->what->op == BENCH_PUT)
        return storage_put_raw(ours->store, NAMESPACE, bytes_from(key, sizeof key),
                               bytes_from(value, sizeof value), &caller->e);
    err_t rc =
        storage_cas(ours->store, NAMESPACE, bytes_from(key, sizeof key), ours->versions[number]++,
                    bytes_from(value, sizeof value), false, &result, &caller->e);
    storage_result_free(&result);
    return rc;
}

static void *call(void *argument)
{
    struct caller *caller = argument;
    uint64_t random = 88172645463325252u + caller->index, now = bench_now();
    while (now < caller->ours->ends && caller->rc == ERR_OK) {
        caller->rc = call_one(caller, &random);
        uint64_t then = now;
        now = bench_now();
        bench_samples_add(&caller->samples, now - then);
        caller->ops++;
    }
    return NULL;
}

static err_t run_callers(struct ours *ours, struct bench_result *ret, struct err *e)
{
    static struct caller callers[BENCH_THREADS_MAX]; /* a process measures once */
    struct bench_samples samples[BENCH_THREADS_MAX];
    unsigned n = ours->what->threads;
    err_t rc = ERR_OK;
    for (unsigned i = 0; i < n; i++) {
        callers[i] = (struct caller){ .ours = ours, .index = i };
        pthread_create(&callers[i].thread, NULL, call, &callers[i]);
    }
    for (unsigned i = 0; i < n; i++) {
        pthread_join(callers[i].thread, NULL);
        ret->ops += callers[i].ops;
        samples[i] = callers[i].samples;
        if (callers[i].rc != ERR_OK) {
            rc = callers[i].rc;
            *e = callers[i].e;
        }
    }
    bench_samples_finish(samples, n, ret);
    return rc;
}

/* ---- A measurement ----------------------------------------------------------------------------------------------- */

static err_t run(struct ours *ours, double seconds, struct bench_result *ret, struct err *e)
{
    struct storage_stats before, after;
    uint64_t begun = bench_now();
    double cpu = bench_cpu();
    storage_stats(ours->store, &before);
    ours->ends = begun + (uint64_t)(seconds * 1e9);
    err_t rc = ours->what->batch == 1 ? run_callers(ours, ret, e)
               : ours->what->lanes    ? run_lanes(ours, ret, e)
                                      : run_turns(ours, ret, e);
    ret->seconds = (double)(bench_now() - begun) * 1e-9;
    ret->cpu_seconds = bench_cpu() - cpu;
    storage_stats(ours->store, &after);
    ret->log_bytes = (double)(after.wal_bytes - before.wal_bytes);
    ret->user_bytes = (double)ret->ops * (BENCH_KEY + BENCH_VALUE);
    return rc;
}

void bench_ours(const struct bench_case *what, const char *dir, double seconds,
                struct bench_result *ret)
{
    struct ours ours = { .what = what };
    struct world *world = NULL;
    pthread_t tender;
    struct err e = { 0 };
    char path[600];
    snprintf(path, sizeof path, "%s/store", dir);
    struct storage_config config = { .path = path, .engine = &engine_rocks, .alone = true };
    struct storage_ident ident = { .store_id = 1, .incarnation = 1 };
    ours.versions = calloc(BENCH_KEYS, sizeof ours.versions[0]);
    err_t rc = world_open(NULL, &world, &e);
    if (rc == ERR_OK)
        rc = storage_init(world_env(world), &config, &ident, NULL, &e);
    if (rc == ERR_OK)
        rc = storage_open(world_env(world), &config, &ours.store, &e);
    if (rc == ERR_OK && pthread_create(&tender, NULL, tend, &ours) == 0) {
        rc = load(&ours, &e);
        if (rc == ERR_OK)
            rc = run(&ours, seconds, ret, &e);
        atomic_store(&ours.ended, true);
        pthread_join(tender, NULL);
        rc = rc != ERR_OK ? rc : ours.tended;
    }
    ret->ok = rc == ERR_OK;
    if (rc != ERR_OK)
        snprintf(ret->error, sizeof ret->error, "%s: %.300s", err_name(rc), e.msg);
    storage_close(ours.store);
    world_close(world);
    free(ours.versions);
}
