/* UTF-8 (RFC 3629, section 4: the syntax of byte sequences). */
#include "base/utf8.h"

size_t utf8_next(struct bytes in)
{
    if (in.len == 0)
        return 0;
    const uint8_t *b = in.data;
    size_t n = b[0] < 0x80   ? 1
               : b[0] < 0xc2 ? 0
               : b[0] < 0xe0 ? 2
               : b[0] < 0xf0 ? 3
               : b[0] < 0xf5 ? 4
                             : 0;
    if (n > in.len)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((b[i] & 0xc0) != 0x80)
            return 0;
    if ((b[0] == 0xe0 && b[1] < 0xa0) || (b[0] == 0xed && b[1] > 0x9f) ||
        (b[0] == 0xf0 && b[1] < 0x90) || (b[0] == 0xf4 && b[1] > 0x8f))
        return 0;
    return n;
}

bool utf8_is_valid(struct bytes in)
{
    while (in.len > 0) {
        size_t n = utf8_next(in);
        if (n == 0)
            return false;
        in.data += n;
        in.len -= n;
    }
    return true;
}
