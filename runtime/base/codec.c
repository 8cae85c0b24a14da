/* Varints: seven bits a byte, the least significant first, the top bit says that more follow. */
#include "base/codec.h"

bool take_varint(struct bytes *in, uint64_t *ret)
{
    uint64_t v = 0;
    size_t most = in->len < VARINT_MAX ? in->len : VARINT_MAX;
    for (size_t i = 0; i < most; i++) {
        uint8_t byte = in->data[i];
        if (i == VARINT_MAX - 1 && byte > 1) /* would carry bits above the 64th */
            return false;
        v |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte < 0x80) {
            in->data += i + 1;
            in->len -= i + 1;
            *ret = v;
            return true;
        }
    }
    return false;
}

void put_varint(uint8_t **at, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        *(*at)++ = (uint8_t)(v | 0x80);
    *(*at)++ = (uint8_t)v;
}

size_t varint_size(uint64_t v)
{
    size_t n = 1;
    while (v >>= 7)
        n++;
    return n;
}
