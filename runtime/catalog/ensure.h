/* At a start: engine and catalog become one. */
#pragma once

#include "catalog/catalog.h"
#include "catalog/engine.h"

/* A catalog that was never saved and holds nothing gets the engine's routes, with ids 1 to n in
 * the order of starts; else it is loaded. Then the engine takes it over. Of two nodes that do
 * this at once one seeds; the other reads what that one saved (trap D61). `ret` (may be NULL) is
 * the catalog; the caller frees it. */
MUST_USE err_t catalog_ensure(const struct catalog *c, struct catalog_engine *en,
                              struct catalog_snapshot *ret, struct err *e);
