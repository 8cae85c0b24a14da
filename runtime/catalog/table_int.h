/* The table from inside, for engine.c and table.c. */
#pragma once

#include <stdatomic.h>

#include "catalog/table.h"

struct catalog_table {
    struct catalog_stamp stamp;
    size_t count, bytes;
    size_t shared;  /* bytes that all starts but the first begin with */
    bool disjoint;  /* false: ranges overlap, as only catalog_engine_update_route() can make them */
    bool ephemeral; /* there are routes of no catalog */
    uint64_t *heads;
    struct route *routes;
    _Atomic uint64_t *loads;
    _Atomic uint32_t refs;
    struct catalog_table *next_retired; /* the engine's */
};

/* A table of copies of `routes`, sorted by start; their loads are taken over. NULL if memory is
 * gone. */
struct catalog_table *catalog_table_new(const struct route *routes, size_t count,
                                        const struct catalog_stamp *stamp);
void catalog_table_free(struct catalog_table *t); /* nobody looks at it any more; NULL is welcome */
/* Counts an access, and answers the sum. */
uint64_t catalog_table_count_access(const struct catalog_table *t, const struct route *r);
void catalog_table_reset_load(const struct catalog_table *t, const struct route *r);
