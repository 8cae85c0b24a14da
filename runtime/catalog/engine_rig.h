/* An engine in a simulated world, with one reader. */
#pragma once

#include "catalog_rig.h"

#include "catalog/engine.h"
#include "engine_int.h"
#include "sim_world/world.h"

struct engine_rig {
    struct sim_world *world;
    struct env *env;
    struct catalog_engine *engine;
    struct catalog_reader *reader;
};

static struct engine_rig engine_rig_new(struct catalog_engine_config config)
{
    struct engine_rig g = { .world = sim_world_new(1, NULL) };
    struct err e = { 0 };
    g.env = sim_world_env(g.world);
    CHECK_OK(catalog_engine_new(g.env, &config, &g.engine, &e), e);
    CHECK_OK(catalog_reader_open(g.engine, &g.reader, &e), e);
    return g;
}

static void engine_rig_free(struct engine_rig *g)
{
    catalog_reader_close(g->reader);
    catalog_engine_free(g->engine);
    sim_world_close(g->world);
}

/* The group that serves `key`, 0 if none does. */
static uint64_t engine_rig_group(struct engine_rig *g, const char *key)
{
    struct route r;
    if (catalog_engine_get_route(g->reader, BYTES(key), &r, NULL) != ERR_OK)
        return 0;
    uint64_t group = r.group_id;
    route_free(&r);
    return group;
}

/* A snapshot by hand: borrowed routes, no hash, no catalog; not to be freed. */
static struct catalog_snapshot engine_rig_snapshot(uint64_t version, struct route *routes,
                                                   size_t count)
{
    return (struct catalog_snapshot){ .stamp = { .version = version },
                                      .routes = { .items = routes, .count = count } };
}

static err_t engine_rig_apply(struct engine_rig *g, uint64_t version, struct route *routes,
                              size_t count, struct err *e)
{
    struct catalog_snapshot s = engine_rig_snapshot(version, routes, count);
    return catalog_engine_apply(g->engine, &s, e);
}

static void engine_rig_update(struct engine_rig *g, const char *start, const char *end,
                              uint64_t group)
{
    struct bytes last = BYTES(end != NULL ? end : "");
    struct err e = { 0 };
    CHECK_OK(
        catalog_engine_update_route(g->engine, BYTES(start), end != NULL ? &last : NULL, group, &e),
        e);
}
