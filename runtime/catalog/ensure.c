/* The first catalog. */
#include "catalog/ensure.h"

#include "catalog/error.h"
#include "catalog_int.h"

/* One for the race that is meant; more of them only if somebody keeps saving and removing. */
enum { TRIES = 3 };

/* Saves the engine's routes as version 1. */
static err_t seed(const struct catalog *c, struct catalog_engine *en, struct catalog_snapshot *ret,
                  struct err *e)
{
    struct route_list routes;
    err_t rc = catalog_engine_stats(en, &routes, e);
    if (rc != ERR_OK)
        return rc;
    for (size_t i = 0; i < routes.count; i++) {
        routes.items[i].id = i + 1;
        routes.items[i].parent_id = 0;
    }
    rc = catalog_save(c, 0, routes.items, routes.count, ret, e);
    route_list_free(&routes);
    return rc;
}

/* One try: what is there, or what we make of it. */
static err_t load_or_seed(const struct catalog *c, struct catalog_engine *en,
                          struct catalog_snapshot *ret, struct err *e)
{
    struct catalog_snapshot there;
    err_t rc = catalog_snapshot(c, &there, e);
    if (rc != ERR_OK)
        return rc;
    if (there.stamp.version > 0 || there.routes.count > 0) {
        *ret = there;
        return ERR_OK;
    }
    catalog_snapshot_free(&there);
    return seed(c, en, ret, e);
}

err_t catalog_ensure(const struct catalog *c, struct catalog_engine *en,
                     struct catalog_snapshot *ret, struct err *e)
{
    struct catalog_snapshot s = { 0 };
    err_t rc = catalog_check(c, e);
    if (rc == ERR_OK && en == NULL)
        rc = catalog_error(e, ERR_ENGINE_REQUIRED, "there is nothing to make equal to the catalog");
    if (rc != ERR_OK)
        return rc;
    rc = ERR_CATALOG_VERSION_MISMATCH;
    for (unsigned i = 0; i < TRIES && rc == ERR_CATALOG_VERSION_MISMATCH; i++)
        rc = load_or_seed(c, en, &s, e);
    if (rc == ERR_OK)
        rc = catalog_engine_apply(en, &s, e);
    if (rc == ERR_OK && ret != NULL)
        *ret = s;
    else
        catalog_snapshot_free(&s);
    return rc;
}
