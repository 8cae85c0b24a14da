/* Varints: seven bits a byte, the least significant first, the top bit says that more follow. */
#include "base/codec.h"

bool take_long_varint(struct bytes *in, uint64_t *ret)
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
