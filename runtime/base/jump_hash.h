/* Jump consistent hashing (Lamping and Veach, arXiv:1406.2294): which of n buckets a key belongs
 * to.
 *
 * Going from n to n + 1 buckets, a key stays or moves to the new bucket, never between old ones,
 * and about 1 / (n + 1) of all keys move. Placement of data depends on these numbers: they never
 * change. */
#pragma once

#include <stdint.h>

#include "base/err.h"

/* The bucket of `key`, in [0, buckets). ERR_INVALID_ARGUMENT for no buckets. */
MUST_USE err_t jump_hash(uint64_t key, uint32_t buckets, uint32_t *ret);
/* The bucket of a digest of at least 8 bytes, by jump_hash() of its first 8, little-endian. */
MUST_USE err_t jump_hash_digest(const uint8_t *digest, uint32_t buckets, uint32_t *ret);
/* Compatibility alone: the digest's first 4 bytes, little-endian, modulo `buckets`. It moves nearly
 * every key when `buckets` changes. */
MUST_USE err_t jump_hash_modulo_compat(const uint8_t *digest, uint32_t buckets, uint32_t *ret);
