/* The hash of a catalog's content, and the alarm that it is for. */
#include "catalog/hash.h"

#include <inttypes.h>

#include "base/codec.h"
#include "catalog/error.h"

enum { LANES = DIGEST_SIZE / 8 };

struct digest catalog_hash_empty(void)
{
    return digest_of(BYTES("flotilla catalog"));
}

void catalog_hash_add(struct digest *hash, const struct route *r)
{
    struct digest d = route_digest(r);
    for (unsigned i = 0; i < LANES; i++)
        store_u64(hash->bytes + 8 * i, load_u64(hash->bytes + 8 * i) + load_u64(d.bytes + 8 * i));
}

void catalog_hash_remove(struct digest *hash, const struct route *r)
{
    struct digest d = route_digest(r);
    for (unsigned i = 0; i < LANES; i++)
        store_u64(hash->bytes + 8 * i, load_u64(hash->bytes + 8 * i) - load_u64(d.bytes + 8 * i));
}

struct digest catalog_hash_of(const struct route *routes, size_t count)
{
    struct digest hash = catalog_hash_empty();
    for (size_t i = 0; i < count; i++)
        catalog_hash_add(&hash, &routes[i]);
    return hash;
}

static bool any(const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (bytes[i] != 0)
            return true;
    }
    return false;
}

bool catalog_hash_known(const struct digest *hash)
{
    return any(hash->bytes, sizeof hash->bytes);
}

bool catalog_id_known(const struct catalog_id *id)
{
    return any(id->bytes, sizeof id->bytes);
}

err_t catalog_hash_check(const struct catalog_stamp *have, const struct catalog_stamp *come,
                         struct err *e)
{
    uint64_t a = load_u64_be(have->incarnation.bytes), b = load_u64_be(come->incarnation.bytes);
    if (catalog_id_known(&have->incarnation) && catalog_id_known(&come->incarnation) &&
        memcmp(&have->incarnation, &come->incarnation, sizeof have->incarnation) != 0)
        return catalog_error(e, ERR_CATALOG_INTEGRITY,
                             "version %" PRIu64 " of catalog %016" PRIx64 " met version %" PRIu64
                             " of catalog %016" PRIx64 ": these are two catalogs",
                             have->version, a, come->version, b);
    if (have->version == come->version && catalog_hash_known(&have->hash) &&
        catalog_hash_known(&come->hash) && !digest_equal(&have->hash, &come->hash))
        return catalog_error(
            e, ERR_CATALOG_INTEGRITY,
            "version %" PRIu64 " has two contents: hash %016" PRIx64 " and hash %016" PRIx64,
            have->version, load_u64_be(have->hash.bytes), load_u64_be(come->hash.bytes));
    return ERR_OK;
}
