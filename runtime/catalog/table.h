/* One version of the routing table: immutable, sorted, of one piece; only the counters of
 * accesses move.
 *
 *   heads    | 8 bytes of each start, behind what all share | ...  the binary search runs here
 *   routes   | id, group, range, state                        | ...  looked at when it is done
 *   loads    | accesses, atomic                               | ...
 *   keys     | start start start ...                                 a shared bound is kept once
 *
 * A table is borrowed between catalog_reader_enter() and leave() (engine.h), or held by a
 * reference. */
#pragma once

#include "catalog/record.h"
#include "catalog/route.h"

struct catalog_table;

/* The route of `key`, NULL in a gap and before the first start. Its `load` is 0; valid as long
 * as the table. */
const struct route *catalog_table_find(const struct catalog_table *t, struct bytes key);
/* The place of the first route that reaches behind `start`; count if there is none. */
size_t catalog_table_seek(const struct catalog_table *t, struct bytes start);
size_t catalog_table_count(const struct catalog_table *t);
const struct route *catalog_table_at(const struct catalog_table *t, size_t place);
/* Zero version: from no catalog. */
const struct catalog_stamp *catalog_table_stamp(const struct catalog_table *t);
/* Accesses of a route of this table. */
uint64_t catalog_table_load(const struct catalog_table *t, const struct route *r);
/* Bytes of memory, all of it. */
size_t catalog_table_bytes(const struct catalog_table *t);

/* Keeps the table beyond leave(), for a request that must see one version to its end (trap D90).
 * Whoever holds it, by a reader or by a reference, may take another reference; any thread may
 * give one back. */
void catalog_table_ref(struct catalog_table *t);
void catalog_table_unref(struct catalog_table *t); /* NULL is welcome */
