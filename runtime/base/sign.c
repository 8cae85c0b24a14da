/* Ed25519 by libsodium. */
#include "base/sign.h"

#include <sodium.h>

_Static_assert(crypto_sign_SEEDBYTES == SIGN_SEED_SIZE && crypto_sign_BYTES == SIGN_SIZE &&
                   crypto_sign_PUBLICKEYBYTES == SIGN_PUBLIC_SIZE &&
                   crypto_sign_SECRETKEYBYTES == SIGN_SECRET_SIZE,
               "sizes of Ed25519");

void sign_key_make(struct sign_key *key, const uint8_t seed[SIGN_SEED_SIZE])
{
    crypto_sign_seed_keypair(key->public, key->secret, seed);
}

void sign_key_wipe(struct sign_key *key)
{
    sodium_memzero(key, sizeof *key);
}

void sign_make(const struct sign_key *key, struct bytes message, uint8_t signature[SIGN_SIZE])
{
    crypto_sign_detached(signature, NULL, message.data, message.len, key->secret);
}

bool sign_check(const uint8_t public[SIGN_PUBLIC_SIZE], struct bytes message,
                struct bytes signature)
{
    return signature.len == SIGN_SIZE &&
           crypto_sign_verify_detached(signature.data, message.data, message.len, public) == 0;
}
