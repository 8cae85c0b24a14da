/* The oracle's service over a real store on a simulated machine. */
#include "pd/tso.h"

#include "base/container.h"
#include "base/test.h"
#include "base/tso.h"
#include "region/meta.h"
#include "sim_world/disk.h"
#include "sim_world/world.h"
#include "storage/engine_mem.h"

#define SECOND UINT64_C(1000000000)

struct machine {
    struct sim_disk *disk;
    struct sim_world *world;
    struct env *env;
    struct storage *store;
    struct region_store *regions;
    struct pd_tso *oracle;
    struct pd_tso_config config;
    uint64_t seed;
};

static void init(struct machine *m, const struct storage_config *c, bool with_region, struct err *e)
{
    static const uint64_t store_id = 1;
    struct storage_ident ident = { .store_id = store_id, .incarnation = 1 };
    struct region_meta meta;
    struct buf bytes = { 0 };
    region_meta_first(&meta, &store_id, 1);
    CHECK_EQ(region_meta_encode(&meta, &bytes), ERR_OK);
    struct storage_first first = { .region = REGION_SYSTEM, .meta = buf_bytes(&bytes) };
    CHECK_OK(storage_init(m->env, c, &ident, with_region ? &first : NULL, e), *e);
    buf_free(&bytes);
}

static void machine_start(struct machine *m)
{
    struct err e = { 0 };
    struct storage_config c = { .path = "/store", .engine = &engine_mem, .segment_bytes = 1 << 20 };
    struct region_config rc_config = { .uncommitted_bytes_max = 16 << 20,
                                       .uncommitted_max = 1000,
                                       .reads_max = 100,
                                       .apply_inline_bytes = 64 << 10,
                                       .max_offset_ms = 500,
                                       .hlc_window_ms = 500,
                                       .path = "/store" };
    m->world = sim_world_new(m->seed++, m->disk);
    m->env = sim_world_env(m->world);
    err_t rc = storage_open(m->env, &c, &m->store, &e);
    if (rc == ERR_NOT_FOUND) {
        init(m, &c, true, &e);
        rc = storage_open(m->env, &c, &m->store, &e);
    }
    CHECK_OK(rc, e);
    CHECK_OK(region_store_open(m->env, NULL, m->store, &rc_config, &m->regions, &e), e);
    m->oracle = pd_tso_open(m->env, NULL, m->store, m->regions, &m->config);
}

static struct machine *machine_new(uint64_t seed)
{
    struct machine *m = calloc(1, sizeof *m);
    m->disk = sim_disk_new(seed);
    m->seed = seed;
    m->config = (struct pd_tso_config){ .window_ms = 500, .count_max = 65536, .waiting_max = 8 };
    machine_start(m);
    return m;
}

static void machine_end(struct machine *m, bool clean)
{
    if (!clean)
        sim_world_crash(m->world, SIM_CRASH_LOSE);
    pd_tso_stop(m->oracle);
    region_store_stop(m->regions, clean);
    pd_tso_close(m->oracle);
    region_store_close(m->regions);
    if (clean)
        storage_close(m->store);
    else
        storage_abandon(m->store);
    sim_world_close(m->world);
}

static void machine_free(struct machine *m)
{
    machine_end(m, true);
    sim_disk_free(m->disk);
    free(m);
}

struct ask {
    struct pd_tso_request request;
    bool done;
};

static void ask_done(struct pd_tso_request *q)
{
    struct ask *a = container_of(q, struct ask, request);
    CHECK(!a->done);
    a->done = true;
}

static void ask_start(struct machine *m, struct ask *a, uint32_t count)
{
    *a = (struct ask){ .request = { .count = count, .deadline = UINT64_MAX, .done = ask_done } };
    pd_tso_get(m->oracle, &a->request);
}

static uint64_t ask_now(struct machine *m, uint32_t count)
{
    struct ask a;
    ask_start(m, &a, count);
    for (int i = 0; i < 100000 && !a.done; i++)
        CHECK(sim_world_turn(m->world));
    CHECK(a.done);
    CHECK_EQ(a.request.rc, ERR_OK);
    return a.request.first;
}

TEST(pd_tso_is_near_the_clock_and_within_the_saved_window)
{
    struct machine *m = machine_new(1);
    struct pd_tso_stats s;
    uint64_t stamp = ask_now(m, 1), now_ms = env_wall(m->env) / 1000000;
    CHECK(tso_physical(stamp) <= now_ms && tso_physical(stamp) + 1000 > now_ms);
    for (int i = 0; i < 50; i++) {
        stamp = ask_now(m, 1000);
        pd_tso_stats(m->oracle, &s);
        CHECK(tso_physical(stamp) < s.window_ms);
        sim_world_run_for(m->world, SECOND / 10);
    }
    CHECK(s.windows > 5); /* five seconds, half-second windows: saved again and again */
    CHECK_EQ(s.stamps, 50001);
    machine_free(m);
}

TEST(pd_tso_window_that_was_not_saved_is_never_used)
{
    struct machine *m = machine_new(2);
    uint64_t last = ask_now(m, 1);
    for (int round = 0; round < 10; round++) {
        last = ask_now(m, 3) + 2;
        machine_end(m, round % 3 == 0);
        machine_start(m);
        sim_world_step_wall(m->world, -(int64_t)(3600 * SECOND));
        uint64_t next = ask_now(m, 1);
        CHECK(next > last);
        last = next;
    }
    machine_free(m);
}

TEST(pd_tso_waiting_is_limited_and_count_0_refused)
{
    struct machine *m = machine_new(3);
    struct ask a[10], zero;
    ask_start(m, &zero, 0);
    if (!zero.done) /* nobody leads yet */
        sim_world_run_for(m->world, SECOND);
    CHECK_EQ(zero.request.rc, ERR_INVALID_ARGUMENT);
    machine_end(m, true);
    machine_start(m);
    for (int i = 0; i < 10; i++) /* nothing can be given until the first window is saved */
        ask_start(m, &a[i], 65536);
    CHECK_EQ(a[9].request.rc, ERR_SERVER_IS_BUSY);
    CHECK(a[8].done && !a[7].done);
    sim_world_run_for(m->world, SECOND);
    uint64_t last = 0;
    for (int i = 0; i < 8; i++) { /* 8 x 65,536 stamps: more than a millisecond has */
        CHECK(a[i].done);
        CHECK_EQ(a[i].request.rc, ERR_OK);
        CHECK(a[i].request.first > last);
        CHECK_EQ(tso_physical(a[i].request.first), tso_physical(a[i].request.first + 65535));
        last = a[i].request.first + 65535;
    }
    machine_free(m);
}

TEST(pd_tso_idle_oracle_saves_nothing)
{
    struct machine *m = machine_new(4);
    struct pd_tso_stats before, after;
    (void)ask_now(m, 1);
    sim_world_run_for(m->world, 2 * SECOND);
    pd_tso_stats(m->oracle, &before);
    sim_world_run_for(m->world, 60 * SECOND);
    pd_tso_stats(m->oracle, &after);
    CHECK_EQ(before.windows, after.windows);
    machine_free(m);
}

TEST(d46_pd_tso_missing_window_is_data_loss)
{
    /* A directory that was made without one stands for one that has lost it. */
    struct machine *m = machine_new(5);
    struct err e = { 0 };
    struct ask a;
    machine_end(m, true);
    sim_disk_free(m->disk);
    m->disk = sim_disk_new(6);
    m->world = sim_world_new(7, m->disk);
    m->env = sim_world_env(m->world);
    struct storage_config c = { .path = "/store", .engine = &engine_mem, .segment_bytes = 1 << 20 };
    init(m, &c, false, &e);
    c.alone = true;
    CHECK_OK(storage_open(m->env, &c, &m->store, &e), e);
    CHECK_OK(storage_put_raw(m->store, 1, BYTES("k"), BYTES("v"), &e), e);
    storage_close(m->store);
    sim_world_close(m->world);
    machine_start(m);
    ask_start(m, &a, 1);
    sim_world_run_for(m->world, SECOND);
    CHECK(a.done);
    CHECK_EQ(a.request.rc, ERR_DATA_LOSS);
    machine_free(m);
}

TEST_MAIN()
