/* The durable, versioned catalog of routes, over a store with a history (mvcc.h).
 *
 *   save(expected, routes)      checks everything, then writes what changed in one batch: routes, version + 1, next id,
 *                               identity. Two savers that expected one version: one wins, the other gets
 *                               ERR_CATALOG_VERSION_MISMATCH and has changed nothing
 *   snapshot                    version and routes of one time; also of the past, while the store keeps it
 *
 * Gaps between routes are legal, overlaps are refused before anything is written: every reader
 * would refuse them for ever (trap D57). Ids are never given twice, even after their routes are
 * gone (D61).
 *
 * The catalog is an index and a hint. Who owns a key is decided by the region that applied it
 * (D54).
 *
 * A store whose writes are entries of a log does not block here: catalog_plan() makes the batch,
 * its owner proposes mvcc_batch_encode() of it, and at apply every replica gives it to
 * mvcc_mem_apply(); catalog_conflict() names the outcome. catalog_save() is the same in one
 * step, for a store that answers at once. */
#pragma once

#include "catalog/delta.h"
#include "catalog/mvcc.h"
#include "catalog/snapshot.h"

struct catalog {
    const struct mvcc *store;
    /* Drawn by env_random(): the incarnation of the catalog, if this is who saves first. */
    struct catalog_id fresh;
};

/* Every function here: ERR_CATALOG_STORE_REQUIRED if `c` or its store is NULL; errors of the
 * store as they are; the code of whatever record is damaged. */

/* Reads the version's row alone. 0: never saved. */
MUST_USE err_t catalog_version(const struct catalog *c, uint64_t *ret, struct err *e);
/* Version and identity at one time. ERR_CATALOG_INTEGRITY if the two rows do not belong together. */
MUST_USE err_t catalog_stamp_at(const struct catalog *c, uint64_t ts, struct catalog_stamp *ret,
                                struct err *e);
/* The newest catalog; the caller frees `ret`. ERR_CATALOG_INTEGRITY if the routes are not what
 * the stamp says. */
MUST_USE err_t catalog_snapshot(const struct catalog *c, struct catalog_snapshot *ret,
                                struct err *e);
MUST_USE err_t catalog_snapshot_at(const struct catalog *c, uint64_t ts,
                                   struct catalog_snapshot *ret, struct err *e);
/* The first timestamp at which the catalog had that version, as far as the store remembers:
 * ERR_NOT_FOUND for a version of the future, ERR_CATALOG_HISTORY_TRIMMED for one that is gone. */
MUST_USE err_t catalog_ts_of(const struct catalog *c, uint64_t version, uint64_t *ret,
                             struct err *e);
/* The stored counter, else the floor of the stored routes; 1 for an empty catalog. */
MUST_USE err_t catalog_next_route_id(const struct catalog *c, uint64_t *ret, struct err *e);
MUST_USE err_t catalog_next_route_id_at(const struct catalog *c, uint64_t ts, uint64_t *ret,
                                        struct err *e);

/* A save that is ready to be written. All of it lives until catalog_plan_free(). */
struct catalog_plan {
    struct mvcc_batch batch;
    struct catalog_stamp stamp; /* that it leads to */
    struct catalog_delta delta; /* for the readers, once it is written */
    struct route_list routes;   /* the whole new catalog, sorted */
    struct arena memory;
};
/* Checks in this order: store; every route with its id not seen before, in the order given;
 * overlap; expected version; overflow of version and timestamps. Then reads what is there and
 * plans the difference: rows that do not change are not written. `routes` may be in any order. */
MUST_USE err_t catalog_plan(const struct catalog *c, uint64_t expected, const struct route *routes,
                            size_t count, struct catalog_plan *ret, struct err *e);
void catalog_plan_free(struct catalog_plan *plan); /* NULL and {0} are welcome */
/* What the outcome of writing a plan means: ERR_CONFLICT becomes ERR_CATALOG_VERSION_MISMATCH. */
err_t catalog_conflict(const struct catalog_plan *plan, err_t rc, struct err *e);

/* Plans and writes. `ret` (may be NULL) is the new catalog, its read_ts 0; the caller frees it. */
MUST_USE err_t catalog_save(const struct catalog *c, uint64_t expected, const struct route *routes,
                            size_t count, struct catalog_snapshot *ret, struct err *e);
