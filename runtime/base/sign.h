/* Ed25519 signatures (RFC 8032) by libsodium. Deterministic: a key and a message give one
 * signature. */
#pragma once

#include "base/buf.h"

enum {
    SIGN_SEED_SIZE = 32,
    SIGN_PUBLIC_SIZE = 32,
    SIGN_SECRET_SIZE = 64,
    SIGN_SIZE = 64
}; /* bytes */

struct sign_key {
    uint8_t public[SIGN_PUBLIC_SIZE];
    uint8_t secret[SIGN_SECRET_SIZE];
}; /* sign_key_wipe() when done */

/* The key pair of a secret, random seed. */
void sign_key_make(struct sign_key *key, const uint8_t seed[SIGN_SEED_SIZE]);
void sign_key_wipe(struct sign_key *key);
void sign_make(const struct sign_key *key, struct bytes message, uint8_t signature[SIGN_SIZE]);
/* True if `signature` is that of `message` under the public key. False also for another length, and
 * for what RFC 8032 calls malleable or libsodium a small-order key. */
bool sign_check(const uint8_t public[SIGN_PUBLIC_SIZE], struct bytes message,
                struct bytes signature);
