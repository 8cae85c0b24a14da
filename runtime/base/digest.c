/* BLAKE2b by libsodium. */
#include "base/digest.h"

#include <assert.h>
#include <sodium.h>

_Static_assert(sizeof(crypto_generichash_state) <= sizeof(struct digest_state),
               "opaque is too small");

static crypto_generichash_state *state_of(struct digest_state *s)
{
    return (crypto_generichash_state *)(void *)s->opaque;
}

err_t digest_init(void)
{
    return sodium_init() < 0 ? ERR_INTERNAL : ERR_OK;
}

void digest_make(uint8_t *out, size_t len, struct bytes in, struct bytes key)
{
    assert(len > 0 && len <= DIGEST_MAX && key.len <= DIGEST_KEY_MAX);
    /* libsodium's own lower limits on lengths are advice; its unchecked state takes them all. */
    crypto_generichash_blake2b_state s;
    if (len >= crypto_generichash_BYTES_MIN && key.len == 0) {
        crypto_generichash(out, len, in.data, in.len, NULL, 0);
        return;
    }
    crypto_generichash_blake2b_init(&s, key.len > 0 ? key.data : NULL, key.len, len);
    crypto_generichash_blake2b_update(&s, in.data, in.len);
    crypto_generichash_blake2b_final(&s, out, len);
}

struct digest digest_of(struct bytes in)
{
    struct digest d;
    digest_make(d.bytes, sizeof d.bytes, in, (struct bytes){ NULL, 0 });
    return d;
}

void digest_begin(struct digest_state *s)
{
    crypto_generichash_init(state_of(s), NULL, 0, DIGEST_SIZE);
}

void digest_add(struct digest_state *s, struct bytes more)
{
    if (more.len > 0)
        crypto_generichash_update(state_of(s), more.data, more.len);
}

struct digest digest_end(struct digest_state *s)
{
    struct digest d;
    crypto_generichash_final(state_of(s), d.bytes, sizeof d.bytes);
    return d;
}
