/* BLAKE2b (RFC 7693) by libsodium: names of scripts and bundles, hashes of contents. */
#pragma once

#include "base/buf.h"

enum { DIGEST_SIZE = 32, DIGEST_MAX = 64, DIGEST_KEY_MAX = 64 }; /* bytes */

struct digest {
    uint8_t bytes[DIGEST_SIZE];
};

/* Lets libsodium pick the fastest code for this processor: once, at the start of a program. All of
 * digest.h and sign.h is right without it too. */
MUST_USE err_t digest_init(void);

/* BLAKE2b-256 of `in`. */
struct digest digest_of(struct bytes in);
static inline bool digest_equal(const struct digest *a, const struct digest *b)
{
    return memcmp(a->bytes, b->bytes, DIGEST_SIZE) == 0;
}

/* The same piece by piece: begin, any number of adds, end. The state may be copied between. */
struct digest_state {
    _Alignas(64) uint8_t opaque[384];
};
void digest_begin(struct digest_state *s);
void digest_add(struct digest_state *s, struct bytes more);
struct digest digest_end(struct digest_state *s);

/* BLAKE2b of any length from 1 to DIGEST_MAX bytes, with a key of at most DIGEST_KEY_MAX or
 * none. */
void digest_make(uint8_t *out, size_t len, struct bytes in, struct bytes key);
