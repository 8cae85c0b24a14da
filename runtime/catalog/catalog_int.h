/* What catalog.c and save.c share. */
#pragma once

#include "catalog/catalog.h"

/* ERR_CATALOG_STORE_REQUIRED. */
MUST_USE err_t catalog_check(const struct catalog *c, struct err *e);
MUST_USE err_t catalog_version_at(const struct catalog *c, uint64_t ts, uint64_t *ret,
                                  struct err *e);
/* 0: there is no counter. */
MUST_USE err_t catalog_counter_at(const struct catalog *c, uint64_t ts, uint64_t *ret,
                                  struct err *e);
/* All routes, in the order of ids. The caller frees `ret`. */
MUST_USE err_t catalog_routes_at(const struct catalog *c, uint64_t ts, struct route_list *ret,
                                 struct err *e);
