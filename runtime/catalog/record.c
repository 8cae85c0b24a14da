/* Keys and small records. */
#include "catalog/record.h"

#include "base/codec.h"
#include "catalog/error.h"

enum { CODEC_VERSION = 1 };

static const char route_prefix[] = "!dist|route|";
_Static_assert(sizeof route_prefix - 1 + 8 == RECORD_ROUTE_KEY_SIZE, "prefix and id");
_Static_assert(1 + sizeof(struct catalog_id) + 8 + DIGEST_SIZE == RECORD_IDENTITY_SIZE, "identity");

struct bytes record_version_key(void)
{
    return BYTES("!dist|meta|version");
}

struct bytes record_next_route_id_key(void)
{
    return BYTES("!dist|meta|next_route_id");
}

struct bytes record_identity_key(void)
{
    return BYTES("!dist|meta|identity");
}

struct bytes record_route_prefix(void)
{
    return BYTES(route_prefix);
}

struct bytes record_route_prefix_end(void)
{
    return BYTES("!dist|route}"); /* the last byte plus one */
}

void record_route_key(uint64_t id, uint8_t out[RECORD_ROUTE_KEY_SIZE])
{
    put_bytes(&out, record_route_prefix());
    put_u64_be(&out, id);
}

bool record_is_route_key(struct bytes key)
{
    return bytes_starts_with(key, record_route_prefix());
}

bool record_route_id_from_key(struct bytes key, uint64_t *ret)
{
    if (!record_is_route_key(key) || key.len != RECORD_ROUTE_KEY_SIZE)
        return false;
    *ret = load_u64_be(key.data + sizeof route_prefix - 1);
    return true;
}

static bool number_decode(struct bytes in, uint64_t *ret)
{
    uint8_t codec;
    return in.len == RECORD_NUMBER_SIZE && take_u8(&in, &codec) && codec == CODEC_VERSION &&
           take_u64_be(&in, ret);
}

void record_version_encode(uint64_t version, uint8_t out[RECORD_NUMBER_SIZE])
{
    put_u8(&out, CODEC_VERSION);
    put_u64_be(&out, version);
}

err_t record_version_decode(struct bytes in, uint64_t *ret, struct err *e)
{
    if (number_decode(in, ret))
        return ERR_OK;
    return catalog_error(e, ERR_CATALOG_INVALID_VERSION_RECORD, "%zu bytes, codec %u", in.len,
                         in.len > 0 ? in.data[0] : 0);
}

void record_next_route_id_encode(uint64_t id, uint8_t out[RECORD_NUMBER_SIZE])
{
    record_version_encode(id, out);
}

err_t record_next_route_id_decode(struct bytes in, uint64_t *ret, struct err *e)
{
    uint64_t id = 0;
    if (number_decode(in, &id) && id != 0) {
        *ret = id;
        return ERR_OK;
    }
    return catalog_error(e, ERR_CATALOG_INVALID_NEXT_ROUTE_ID, "%zu bytes, codec %u, id 0", in.len,
                         in.len > 0 ? in.data[0] : 0);
}

void record_identity_encode(const struct catalog_stamp *stamp, uint8_t out[RECORD_IDENTITY_SIZE])
{
    put_u8(&out, CODEC_VERSION);
    put_bytes(&out, bytes_from(stamp->incarnation.bytes, sizeof stamp->incarnation.bytes));
    put_u64_be(&out, stamp->version);
    put_bytes(&out, bytes_from(stamp->hash.bytes, DIGEST_SIZE));
}

err_t record_identity_decode(struct bytes in, struct catalog_stamp *ret, struct err *e)
{
    struct bytes at = in, incarnation, hash;
    uint8_t codec;
    uint64_t version;
    if (in.len != RECORD_IDENTITY_SIZE || !take_u8(&at, &codec) || codec != CODEC_VERSION ||
        !take_bytes(&at, sizeof ret->incarnation.bytes, &incarnation) ||
        !take_u64_be(&at, &version) || !take_bytes(&at, DIGEST_SIZE, &hash))
        return catalog_error(e, ERR_CATALOG_INTEGRITY,
                             "its identity record has %zu bytes, codec %u", in.len,
                             in.len > 0 ? in.data[0] : 0);
    ret->version = version;
    memcpy(ret->incarnation.bytes, incarnation.data, incarnation.len);
    memcpy(ret->hash.bytes, hash.data, hash.len);
    return ERR_OK;
}
