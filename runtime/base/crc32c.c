/* CRC-32C: the processor's instruction where there is one, else eight tables, eight bytes at a
 * time.
 *
 * A CRC is linear: the row of a byte is the exclusive or of the rows of its bits. So each table
 * is written here as the eight rows of the single bits, and the compiler works out the other
 * 248. */
#include "base/crc32c.h"

#include "base/codec.h"

/* ROW(byte, rows of 0x01, 0x02, ... 0x80) */
#define ROW(i, a, b, c, d, e, f, g, h)                                                             \
    (((i)&1 ? a : 0) ^ ((i)&2 ? b : 0) ^ ((i)&4 ? c : 0) ^ ((i)&8 ? d : 0) ^ ((i)&16 ? e : 0) ^    \
     ((i)&32 ? f : 0) ^ ((i)&64 ? g : 0) ^ ((i)&128 ? h : 0))
#define ROWS4(i, ...)                                                                              \
    ROW(i, __VA_ARGS__), ROW((i) + 1, __VA_ARGS__), ROW((i) + 2, __VA_ARGS__),                     \
        ROW((i) + 3, __VA_ARGS__)
#define ROWS16(i, ...)                                                                             \
    ROWS4(i, __VA_ARGS__), ROWS4((i) + 4, __VA_ARGS__), ROWS4((i) + 8, __VA_ARGS__),               \
        ROWS4((i) + 12, __VA_ARGS__)
#define ROWS64(i, ...)                                                                             \
    ROWS16(i, __VA_ARGS__), ROWS16((i) + 16, __VA_ARGS__), ROWS16((i) + 32, __VA_ARGS__),          \
        ROWS16((i) + 48, __VA_ARGS__)
#define TABLE(...)                                                                                 \
    {                                                                                              \
        ROWS64(0, __VA_ARGS__), ROWS64(64, __VA_ARGS__), ROWS64(128, __VA_ARGS__),                 \
            ROWS64(192, __VA_ARGS__)                                                               \
    }

/* table[k][i]: the CRC register after byte i and k zero bytes. */
static const uint32_t table[8][256] = {
    TABLE(0xf26b8303, 0xe13b70f7, 0xc79a971f, 0x8ad958cf, 0x105ec76f, 0x20bd8ede, 0x417b1dbc,
          0x82f63b78),
    TABLE(0x13a29877, 0x274530ee, 0x4e8a61dc, 0x9d14c3b8, 0x3fc5f181, 0x7f8be302, 0xff17c604,
          0xfbc3faf9),
    TABLE(0xa541927e, 0x4f6f520d, 0x9edea41a, 0x38513ec5, 0x70a27d8a, 0xe144fb14, 0xc76580d9,
          0x8b277743),
    TABLE(0xdd45aab8, 0xbf672381, 0x7b2231f3, 0xf64463e6, 0xe964b13d, 0xd725148b, 0xaba65fe7,
          0x52a0c93f),
    TABLE(0x38116fac, 0x7022df58, 0xe045beb0, 0xc5670b91, 0x8f2261d3, 0x1ba8b557, 0x37516aae,
          0x6ea2d55c),
    TABLE(0xef306b19, 0xdb8ca0c3, 0xb2f53777, 0x6006181f, 0xc00c303e, 0x85f4168d, 0x0e045beb,
          0x1c08b7d6),
    TABLE(0x68032cc8, 0xd0065990, 0xa5e0c5d1, 0x4e2dfd53, 0x9c5bfaa6, 0x3d5b83bd, 0x7ab7077a,
          0xf56e0ef4),
    TABLE(0x493c7d27, 0x9278fa4e, 0x211d826d, 0x423b04da, 0x847609b4, 0x0d006599, 0x1a00cb32,
          0x34019664),
};

uint32_t crc32c_portable(uint32_t crc, struct bytes more)
{
    const uint8_t *at = more.data;
    size_t left = more.len;
    crc = ~crc;
    for (; left >= 8; at += 8, left -= 8) {
        uint64_t v = load_u64(at) ^ crc;
        crc = table[7][v & 0xff] ^ table[6][v >> 8 & 0xff] ^ table[5][v >> 16 & 0xff] ^
              table[4][v >> 24 & 0xff] ^ table[3][v >> 32 & 0xff] ^ table[2][v >> 40 & 0xff] ^
              table[1][v >> 48 & 0xff] ^ table[0][v >> 56];
    }
    for (; left > 0; at++, left--)
        crc = crc >> 8 ^ table[0][(crc ^ *at) & 0xff];
    return ~crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t by_instruction(uint32_t crc, struct bytes more)
{
    const uint8_t *at = more.data;
    size_t left = more.len;
    uint64_t wide = (uint32_t)~crc;
    for (; left >= 8; at += 8, left -= 8)
        wide = __builtin_ia32_crc32di(wide, load_u64(at));
    crc = (uint32_t)wide;
    for (; left > 0; at++, left--)
        crc = __builtin_ia32_crc32qi(crc, *at);
    return ~crc;
}
#endif

uint32_t crc32c(uint32_t crc, struct bytes more)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2"))
        return by_instruction(crc, more);
#endif
    return crc32c_portable(crc, more);
}
