/* The rows of a catalog in its store: their keys, and the records that are not routes.
 *
 *   !dist|meta|identity        01 | incarnation, 16 bytes | version be64 | content hash, 32 bytes
 *   !dist|meta|next_route_id   01 | be64, never 0
 *   !dist|meta|version         01 | be64
 *   !dist|route| id be64       a route's record (route.h): byte order is the order of ids
 *
 * The identity row changes in the same atomic write as the version: which catalog this is, and
 * what its version holds, so that one version with two contents cannot pass for one (trap D58). */
#pragma once

#include "base/digest.h"

enum { RECORD_ROUTE_KEY_SIZE = 12 + 8, RECORD_NUMBER_SIZE = 9, RECORD_IDENTITY_SIZE = 57 };

/* Static. */
struct bytes record_version_key(void);
struct bytes record_next_route_id_key(void);
struct bytes record_identity_key(void);
struct bytes record_route_prefix(void);
/* The first key behind all that begin with the prefix. */
struct bytes record_route_prefix_end(void);

void record_route_key(uint64_t id, uint8_t out[RECORD_ROUTE_KEY_SIZE]);
/* Looks at the prefix alone. */
bool record_is_route_key(struct bytes key);
/* True for the prefix and exactly 8 bytes; then `ret` is the id. */
MUST_USE bool record_route_id_from_key(struct bytes key, uint64_t *ret);

void record_version_encode(uint64_t version, uint8_t out[RECORD_NUMBER_SIZE]);
MUST_USE err_t record_version_decode(struct bytes in, uint64_t *ret, struct err *e);
void record_next_route_id_encode(uint64_t id, uint8_t out[RECORD_NUMBER_SIZE]);
MUST_USE err_t record_next_route_id_decode(struct bytes in, uint64_t *ret, struct err *e);

/* Which catalog: drawn once, at its first save. All zero: not known. */
struct catalog_id {
    uint8_t bytes[16];
};
/* What travels with a version. */
struct catalog_stamp {
    uint64_t version; /* 0: never saved; then the rest is zero */
    struct catalog_id incarnation;
    struct digest hash; /* of the content (catalog/hash.h); all zero: not known */
};

void record_identity_encode(const struct catalog_stamp *stamp, uint8_t out[RECORD_IDENTITY_SIZE]);
/* ERR_CATALOG_INTEGRITY if it is no identity record. */
MUST_USE err_t record_identity_decode(struct bytes in, struct catalog_stamp *ret, struct err *e);
