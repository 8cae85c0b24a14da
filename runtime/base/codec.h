/* Numbers and byte ranges in memory: the smallest parts of every codec of ours.
 *
 *   take_*   draws from the front of a borrowed range; false, and nothing changed, if too little is there
 *   put_*    writes at a cursor and moves it on; room was made by the caller
 *   load_*, store_*   one number at a fixed place
 *
 * Little-endian, but for the names that end in _be (keys: their bytes must sort as their numbers
 * do). */
#pragma once

#include "base/buf.h"

/* X(bits, suffix, to): `to` turns a host number into the format's, and back. */
#define CODEC_TABLE(X)                                                                             \
    X(16, 16, CODEC_LE16)                                                                          \
    X(32, 32, CODEC_LE32)                                                                          \
    X(64, 64, CODEC_LE64)                                                                          \
    X(16, 16_be, CODEC_BE16)                                                                       \
    X(32, 32_be, CODEC_BE32)                                                                       \
    X(64, 64_be, CODEC_BE64)

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define CODEC_LE16(v) (v)
#define CODEC_LE32(v) (v)
#define CODEC_LE64(v) (v)
#define CODEC_BE16(v) __builtin_bswap16(v)
#define CODEC_BE32(v) __builtin_bswap32(v)
#define CODEC_BE64(v) __builtin_bswap64(v)
#else
#define CODEC_LE16(v) __builtin_bswap16(v)
#define CODEC_LE32(v) __builtin_bswap32(v)
#define CODEC_LE64(v) __builtin_bswap64(v)
#define CODEC_BE16(v) (v)
#define CODEC_BE32(v) (v)
#define CODEC_BE64(v) (v)
#endif

/* load_u16(), store_u32_be(), put_u64(), take_u16(), ... for every row of the table. */
#define CODEC_DEFINE(bits, suffix, to)                                                             \
    static inline uint##bits##_t load_u##suffix(const uint8_t *from)                               \
    {                                                                                              \
        uint##bits##_t v;                                                                          \
        memcpy(&v, from, sizeof v);                                                                \
        return to(v);                                                                              \
    }                                                                                              \
    static inline void store_u##suffix(uint8_t *at, uint##bits##_t v)                              \
    {                                                                                              \
        v = to(v);                                                                                 \
        memcpy(at, &v, sizeof v);                                                                  \
    }                                                                                              \
    static inline void put_u##suffix(uint8_t **at, uint##bits##_t v)                               \
    {                                                                                              \
        store_u##suffix(*at, v);                                                                   \
        *at += sizeof v;                                                                           \
    }                                                                                              \
    static inline MUST_USE bool take_u##suffix(struct bytes *in, uint##bits##_t *ret)              \
    {                                                                                              \
        if (in->len < sizeof *ret)                                                                 \
            return false;                                                                          \
        *ret = load_u##suffix(in->data);                                                           \
        in->data += sizeof *ret;                                                                   \
        in->len -= sizeof *ret;                                                                    \
        return true;                                                                               \
    }
CODEC_TABLE(CODEC_DEFINE)
#undef CODEC_DEFINE

static inline void put_u8(uint8_t **at, uint8_t v)
{
    *(*at)++ = v;
}

static inline void put_bytes(uint8_t **at, struct bytes src)
{
    if (src.len > 0)
        memcpy(*at, src.data, src.len);
    *at += src.len;
}

static inline MUST_USE bool take_u8(struct bytes *in, uint8_t *ret)
{
    if (in->len == 0)
        return false;
    *ret = *in->data++;
    in->len--;
    return true;
}

/* Draws `len` bytes as a view into `in`. */
static inline MUST_USE bool take_bytes(struct bytes *in, size_t len, struct bytes *ret)
{
    if (in->len < len)
        return false;
    *ret = (struct bytes){ in->data, len };
    if (len > 0)
        in->data += len;
    in->len -= len;
    return true;
}

enum { VARINT_MAX = 10 }; /* bytes of the longest varint */

MUST_USE bool take_long_varint(struct bytes *in, uint64_t *ret);
/* Draws a base-128 varint as protobuf writes it. False: cut off, longer than 10 bytes, or above
 * 2^64 - 1. */
static inline MUST_USE bool take_varint(struct bytes *in, uint64_t *ret)
{
    if (in->len == 0 || in->data[0] >= 0x80)
        return take_long_varint(in, ret);
    *ret = *in->data++; /* most are of one byte: tags, lengths, flags */
    in->len--;
    return true;
}
/* Writes the shortest varint of `v`: at most VARINT_MAX bytes. */
static inline void put_varint(uint8_t **at, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        *(*at)++ = (uint8_t)(v | 0x80);
    *(*at)++ = (uint8_t)v;
}
/* How many bytes put_varint() writes: seven bits in each. */
static inline size_t varint_size(uint64_t v)
{
    unsigned bits = 64 - (unsigned)__builtin_clzll(v | 1);
    return (bits + 6) / 7;
}
