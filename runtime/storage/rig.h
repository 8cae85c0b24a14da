/* For tests: a machine with a store on a simulated disk, its power switch, and short words for what
 * tests do. */
#pragma once

#include "base/test.h"

#include "command_int.h"
#include "sim_world/disk.h"
#include "sim_world/world.h"
#include "storage/engine_mem.h"
#include "storage/state.h"

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
                                          .spare_segments = 1,
                                          .alone = true };
    rig_boot(&rig);
    return rig;
}

static inline err_t rig_init(struct rig *rig, struct err *e)
{
    struct storage_ident ident = { .cluster_id = { 1, 2, 3 },
                                   .store_id = 7,
                                   .incarnation = 0x1234 };
    return storage_init(rig->env, &rig->config, &ident, NULL, e);
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

/* ---- The halves ------------------------------------------------------------------------------ */

/* One local record, synced. */
static inline void rig_local(struct rig *rig, enum storage_local kind, struct bytes value)
{
    struct err e = { 0 };
    struct storage_records *records = storage_records_new(rig->store);
    CHECK_EQ(storage_records_local(records, kind, value), ERR_OK);
    CHECK_OK(storage_sync(rig->store, records, &e), e);
    storage_records_free(records);
}

/* An entry, logged and applied as a group of one would: region, index, term 1. */
static inline void rig_entry(struct rig *rig, uint64_t region, raft_index index, struct bytes data,
                             struct storage_apply *apply, uint32_t *slot)
{
    struct err e = { 0 };
    struct storage_records *records = storage_records_new(rig->store);
    struct raft_ent ent = { .term = 1,
                            .index = index,
                            .len = (uint32_t)data.len,
                            .type = RAFT_ENT_NORMAL,
                            .data = data.data };
    struct raft_hs hs = { .term = 1, .vote = 1, .commit = index - 1 };
    CHECK_EQ(storage_records_append(records, region, hs, &ent, 1), ERR_OK);
    CHECK_OK(storage_sync(rig->store, records, &e), e);
    CHECK_EQ(storage_apply_entry(apply, region, &ent, 1, slot), ERR_OK);
    CHECK_OK(storage_apply_run(rig->store, apply, &e), e);
    storage_records_free(records);
}

static inline void rig_add(struct buf *entry, const struct command *command)
{
    struct buf body = { 0 };
    CHECK_EQ(command_encode(command, &body), ERR_OK);
    CHECK_EQ(storage_entry_add(entry, command->kind, buf_bytes(&body)), ERR_OK);
    buf_free(&body);
}

/* One region's promise, synced: hard state and entries. */
static inline err_t rig_promise(struct rig *rig, uint64_t region, struct raft_hs hs,
                                const struct raft_ent *ents, uint32_t n, struct err *e)
{
    struct storage_records *records = storage_records_new(rig->store);
    CHECK_EQ(storage_records_append(records, region, hs, ents, n), ERR_OK);
    err_t rc = storage_sync(rig->store, records, e);
    storage_records_free(records);
    return rc;
}

struct rig_look {
    struct storage_group group; /* what it points to is gone, but for `data` */
    struct buf meta;
};

static inline err_t rig_look_at(void *user, const struct storage_group *group, struct err *e)
{
    (void)e;
    struct rig_look *look = user;
    if (group->region != look->group.region)
        return ERR_OK;
    look->group = *group;
    look->group.snap = NULL;
    look->group.gone = NULL;
    look->group.runs = NULL;
    buf_clear(&look->meta);
    return buf_append(&look->meta, group->meta);
}

/* What a start would tell of a region; zeros: nothing. */
static inline struct storage_group rig_group(struct rig *rig, uint64_t region)
{
    struct err e = { 0 };
    struct rig_look look = { .group = { .region = region } };
    CHECK_OK(storage_groups(rig->store, rig_look_at, &look, &e), e);
    buf_free(&look.meta);
    look.group.meta = (struct bytes){ 0 };
    return look.group;
}
