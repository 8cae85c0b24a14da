/* The routing engine: which group serves a key, for readers that never wait.
 *
 *   writers (one at a time)             engine                         readers (any thread, one struct reader each)
 *   build a whole new table  -- swap --> [current table] <-- enter --  find, find, find ... leave
 *                                        [retired][retired]  freed when no reader and no reference is on them
 *
 * A reader writes down which table it looks at (its hazard), then checks that this is still the
 * current one; a writer that has swapped frees an old table only when it finds it in no reader
 * and with no reference. So reading is one store and two loads, and never waits; memory is
 * bounded by one table for each reader and each reference, besides the current one. A reader
 * sees a whole version or the whole next one, never a mixture.
 *
 * What is stored here is a hint. An owner decides by its own applied range and epoch (trap D54). */
#pragma once

#include "catalog/delta.h"
#include "catalog/snapshot.h"
#include "catalog/table.h"
#include "env/env.h"

struct catalog_engine;
struct catalog_reader;

struct catalog_engine_config {
    bool default_route; /* begins with one ephemeral route: all keys, group 1; else with none */
    /* Accesses at which a route is hot; 0: only counted. */
    uint64_t threshold;
    /* Called on the thread of the access that made a route hot, with its counter back at 0: a
     * node proposes a split there. NULL: the engine splits its own table, which no catalog knows
     * and the next snapshot ends (as elastickv's did; for tests and comparisons, never in a
     * node: trap D56). */
    void (*hot)(void *user, const struct route *r);
    void *user;
    /* update_route() of an equal range replaces it; else it only appends, as elastickv's did. */
    bool replace_equal;
};

MUST_USE err_t catalog_engine_new(struct env *env, const struct catalog_engine_config *config,
                                  struct catalog_engine **ret, struct err *e);
/* All readers are closed, all references back. NULL is welcome. */
void catalog_engine_free(struct catalog_engine *en);

/* ---- Readers ---- */

MUST_USE err_t catalog_reader_open(struct catalog_engine *en, struct catalog_reader **ret,
                                   struct err *e);
void catalog_reader_close(struct catalog_reader *r); /* NULL is welcome */
/* The current table, until the leave that belongs to it. Nests: an inner enter gives the outer
 * one's table. For one thread at a time. */
struct catalog_table *catalog_reader_enter(struct catalog_reader *r);
void catalog_reader_leave(struct catalog_reader *r);

/* One lookup: a deep copy of the route of `key` with its load. ERR_NOT_FOUND in a gap. The
 * caller ends it with route_free(). Where it counts, use enter, catalog_table_find(), leave. */
MUST_USE err_t catalog_engine_get_route(struct catalog_reader *r, struct bytes key,
                                        struct route *ret, struct err *e);
/* All routes that meet [start, end), or [start, end of keys) without an end; deep copies with
 * loads, in the order of starts. The caller frees `ret`. */
MUST_USE err_t catalog_engine_get_intersecting(struct catalog_reader *r, struct bytes start,
                                               const struct bytes *end, struct route_list *ret,
                                               struct err *e);
/* Counts an access; at the threshold see catalog_engine_config. Without a route for the key
 * nothing happens. */
void catalog_engine_record_access(struct catalog_reader *r, struct bytes key);

/* ---- The engine: any thread; these take its lock ---- */

/* All routes with their loads, deep copies. */
MUST_USE err_t catalog_engine_stats(struct catalog_engine *en, struct route_list *ret,
                                    struct err *e);
/* The catalog version last applied, and what came with it. */
uint64_t catalog_engine_version(struct catalog_engine *en);
void catalog_engine_stamp(struct catalog_engine *en, struct catalog_stamp *ret);
/* 1, 2, 3 ... in this process, and again from 1 in the next: never for anything that is stored
 * or sent (trap D44); for those there are the TSO and the HLC. */
uint64_t catalog_engine_next_timestamp_volatile(struct catalog_engine *en);

/* Takes a snapshot over if it is newer, all loads 0. Older: ERR_ENGINE_SNAPSHOT_VERSION_STALE.
 * The same version: nothing, unless its content or its catalog is another:
 * ERR_CATALOG_INTEGRITY. A fault of the routes has its own code and leaves everything as it was.
 * Order does not matter; no routes are legal. */
MUST_USE err_t catalog_engine_apply(struct catalog_engine *en,
                                    const struct catalog_snapshot *snapshot, struct err *e);
/* The same by what changed; loads of untouched routes go on. ERR_CATALOG_VERSION_MISMATCH: it
 * does not begin at our version, ask for what lies between (journal.h); ERR_CATALOG_INTEGRITY:
 * it does not lead where it says. */
MUST_USE err_t catalog_engine_apply_delta(struct catalog_engine *en,
                                          const struct catalog_delta *delta, struct err *e);
/* Registers an ephemeral, active route (`end` NULL: unbounded). Of several with one start the
 * last one answers. ERR_CATALOG_INVALID_ROUTE_RANGE for an end that is not behind the start. */
MUST_USE err_t catalog_engine_update_route(struct catalog_engine *en, struct bytes start,
                                           const struct bytes *end, uint64_t group_id,
                                           struct err *e);
/* Frees the old tables that nobody looks at any more; every swap does that too. */
void catalog_engine_reclaim(struct catalog_engine *en);

struct catalog_engine_memory {
    size_t tables;  /* that are alive, the current one too */
    size_t bytes;   /* of the current one */
    size_t readers; /* open */
};
void catalog_engine_memory(struct catalog_engine *en, struct catalog_engine_memory *ret);
