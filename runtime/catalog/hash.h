/* The hash of a catalog's content: a sum, so that a change costs as much as what changed.
 *
 *   hash(routes) = hash of nothing + sum over routes of BLAKE2b-256(record), in four lanes of 64 bits, modulo 2^64
 *
 * It does not depend on an order. It finds what was mixed up, lost or damaged; it does not stop
 * somebody who chooses routes in order to collide, and nobody who could needs to. */
#pragma once

#include "base/digest.h"
#include "catalog/record.h"
#include "catalog/route.h"

/* The hash of no routes; it is not all zero. */
struct digest catalog_hash_empty(void);
void catalog_hash_add(struct digest *hash, const struct route *r);
void catalog_hash_remove(struct digest *hash, const struct route *r);
struct digest catalog_hash_of(const struct route *routes, size_t count);

/* False for all zero. */
bool catalog_hash_known(const struct digest *hash);
bool catalog_id_known(const struct catalog_id *id);

/* Whether two stamps can be of one catalog (trap D58): not if both incarnations are known and
 * differ, nor if one version has two known hashes. Then ERR_CATALOG_INTEGRITY, and the message
 * names both. */
MUST_USE err_t catalog_hash_check(const struct catalog_stamp *have,
                                  const struct catalog_stamp *come, struct err *e);
