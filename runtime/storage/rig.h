/* For tests: a machine with a store on a simulated disk, its power switch, and short words for what
 * tests do. */
#pragma once

#include "base/test.h"

#include "sim_world/disk.h"
#include "sim_world/world.h"
#include "storage/engine_mem.h"
#include "storage/store.h"

struct rig {
    struct sim_disk *disk;
    struct sim_world *world;
    struct env *env;
    struct storage_config config;
    struct storage *store;
    uint64_t seed;
};

enum { RIG_SEGMENT = 64 << 10 }; /* bytes: small, so that tests roll over */

static inline void rig_boot(struct rig *rig)
{
    rig->world = sim_world_new(rig->seed++, rig->disk);
    rig->env = sim_world_env(rig->world);
}

/* A machine with an empty disk; no store yet. */
static inline struct rig rig_new(uint64_t seed)
{
    struct rig rig = { .disk = sim_disk_new(seed), .seed = seed };
    rig.config = (struct storage_config){ .path = "/store",
                                          .engine = &engine_mem,
                                          .engine_config = { .memtable_bytes = 16 << 10 },
                                          .segment_bytes = RIG_SEGMENT,
                                          .spare_segments = 1 };
    rig_boot(&rig);
    return rig;
}

static inline err_t rig_init(struct rig *rig, struct err *e)
{
    struct storage_ident ident = { .cluster_id = { 1, 2, 3 },
                                   .store_id = 7,
                                   .incarnation = 0x1234 };
    return storage_init(rig->env, &rig->config, &ident, e);
}

static inline err_t rig_open(struct rig *rig, struct err *e)
{
    rig->store = NULL;
    return storage_open(rig->env, &rig->config, &rig->store, e);
}

/* The process dies; with `how` other than SIM_CRASH_KILL the power fails too. Then the machine
 * boots again. */
static inline void rig_crash(struct rig *rig, enum sim_crash how)
{
    storage_abandon(rig->store);
    rig->store = NULL;
    sim_disk_crash(rig->disk, how);
    sim_world_close(rig->world);
    rig_boot(rig);
}

static inline void rig_free(struct rig *rig)
{
    storage_abandon(rig->store);
    sim_world_close(rig->world);
    sim_disk_free(rig->disk);
}

/* A machine with an open, fresh store. */
static inline struct rig rig_ready(uint64_t seed)
{
    struct err e = { 0 };
    struct rig rig = rig_new(seed);
    CHECK_OK(rig_init(&rig, &e), e);
    CHECK_OK(rig_open(&rig, &e), e);
    return rig;
}

static inline void rig_reopen(struct rig *rig)
{
    struct err e = { 0 };
    CHECK_OK(rig_open(rig, &e), e);
}

static inline void rig_put(struct rig *rig, const char *key, const char *value)
{
    struct err e = { 0 };
    CHECK_OK(storage_put_raw(rig->store, 1, BYTES(key), BYTES(value), &e), e);
}

static inline void rig_expect(struct rig *rig, const char *key, const char *value)
{
    struct err e = { 0 };
    struct buf got = { 0 };
    CHECK_OK(storage_get_raw(rig->store, 1, BYTES(key), &got, &e), e);
    CHECK_BYTES(buf_bytes(&got), BYTES(value));
    buf_free(&got);
}
