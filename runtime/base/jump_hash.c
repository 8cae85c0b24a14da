/* Jump consistent hashing. */
#include "base/jump_hash.h"

#include "base/codec.h"

err_t jump_hash(uint64_t key, uint32_t buckets, uint32_t *ret)
{
    if (buckets == 0)
        return ERR_INVALID_ARGUMENT;
    /* `jump` is the next bucket count at which the key moves; the last one below `buckets` counts.
     * Each is drawn by a linear congruential generator from the key. */
    int64_t bucket, jump = 0;
    do {
        bucket = jump;
        key = key * 2862933555777941757u + 1;
        jump = (int64_t)((double)(bucket + 1) * ((double)(1ll << 31) / (double)((key >> 33) + 1)));
    } while (jump < (int64_t)buckets);
    *ret = (uint32_t)bucket;
    return ERR_OK;
}

err_t jump_hash_digest(const uint8_t *digest, uint32_t buckets, uint32_t *ret)
{
    return jump_hash(load_u64(digest), buckets, ret);
}

err_t jump_hash_modulo_compat(const uint8_t *digest, uint32_t buckets, uint32_t *ret)
{
    if (buckets == 0)
        return ERR_INVALID_ARGUMENT;
    *ret = load_u32(digest) % buckets;
    return ERR_OK;
}
