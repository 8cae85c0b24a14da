/* The engine from inside, for engine.c, apply.c and their tests. */
#pragma once

#include "catalog/engine.h"
#include "table_int.h"

struct catalog_reader {
    struct catalog_engine *engine;
    struct catalog_reader *next; /* of the engine's, under its lock */
    _Atomic(struct catalog_table *) hazard;
    unsigned depth; /* the reader's thread alone */
};

struct catalog_engine {
    _Atomic(struct catalog_table *) current;
    _Atomic uint64_t timestamp;
    struct env_lock *lock; /* over all below, and over every change of `current` */
    struct catalog_table *retired;
    struct catalog_reader *readers;
    struct catalog_engine_config config;
};

/* The second half of an enter: puts up the hazard for a table that was the current one a moment
 * ago, and answers whether it still is; if not, the table may be gone already. */
MUST_USE bool catalog_reader_try(struct catalog_reader *r, struct catalog_table *table);

/* Under the lock: the current table, which nobody can take away meanwhile. */
struct catalog_table *catalog_engine_current(struct catalog_engine *en);
/* Under the lock: makes `table` the current one and retires the old. */
void catalog_engine_swap(struct catalog_engine *en, struct catalog_table *table);

/* The two halves of catalog_engine_apply(): a table from a snapshot (NULL: it is the version
 * that is there), and its swap, which looks at the version again. */
MUST_USE err_t catalog_engine_prepare(struct catalog_engine *en,
                                      const struct catalog_snapshot *snapshot,
                                      struct catalog_table **ret, struct err *e);
MUST_USE err_t catalog_engine_commit(struct catalog_engine *en, struct catalog_table *table,
                                     struct err *e);
