/* Bytes as hexadecimal digits. */
#include "base/hex.h"

err_t hex_encode(struct bytes in, struct buf *ret)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t *out = buf_reserve(ret, 2 * in.len);
    if (out == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < in.len; i++) {
        *out++ = (uint8_t)digits[in.data[i] >> 4];
        *out++ = (uint8_t)digits[in.data[i] & 15];
    }
    ret->len += 2 * in.len;
    return ERR_OK;
}

static unsigned value_of(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10u : 16;
}

err_t hex_decode(struct bytes text, struct buf *ret)
{
    if (text.len % 2 != 0)
        return ERR_INVALID_ARGUMENT;
    uint8_t *out = buf_reserve(ret, text.len / 2);
    if (out == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < text.len; i += 2) {
        unsigned high = value_of(text.data[i]), low = value_of(text.data[i + 1]);
        if (high > 15 || low > 15)
            return ERR_INVALID_ARGUMENT;
        *out++ = (uint8_t)(high << 4 | low);
    }
    ret->len += text.len / 2;
    return ERR_OK;
}
