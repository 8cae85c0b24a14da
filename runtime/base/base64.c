/* Base64: three bytes are four digits of six bits. */
#include "base/base64.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

err_t base64_encode(struct bytes in, struct buf *ret)
{
    size_t len = (in.len + 2) / 3 * 4;
    uint8_t *out = buf_reserve(ret, len);
    if (out == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < in.len; i += 3) {
        size_t have = in.len - i;
        uint32_t v = (uint32_t)in.data[i] << 16;
        v |= have > 1 ? (uint32_t)in.data[i + 1] << 8 : 0;
        v |= have > 2 ? in.data[i + 2] : 0;
        *out++ = (uint8_t)digits[v >> 18];
        *out++ = (uint8_t)digits[v >> 12 & 63];
        *out++ = have > 1 ? (uint8_t)digits[v >> 6 & 63] : '=';
        *out++ = have > 2 ? (uint8_t)digits[v & 63] : '=';
    }
    ret->len += len;
    return ERR_OK;
}

/* The six bits of a digit, or 64. */
static uint32_t value_of(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : 64;
}

err_t base64_decode(struct bytes text, struct buf *ret)
{
    if (text.len % 4 != 0)
        return ERR_INVALID_ARGUMENT;
    size_t pad = 0;
    while (pad < 2 && pad < text.len && text.data[text.len - 1 - pad] == '=')
        pad++;
    size_t len = text.len / 4 * 3 - pad;
    uint8_t *out = buf_reserve(ret, len + 2); /* a padded group is written whole */
    if (out == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < text.len; i += 4) {
        size_t known = i + 4 == text.len ? 4 - pad : 4;
        uint32_t v = 0;
        for (size_t k = 0; k < 4; k++) {
            uint32_t bits = k < known ? value_of(text.data[i + k]) : 0;
            if (bits == 64)
                return ERR_INVALID_ARGUMENT;
            v = v << 6 | bits;
        }
        if (known < 4 && (v & (known == 3 ? 0xff : 0xffff)) != 0)
            return ERR_INVALID_ARGUMENT;
        *out++ = (uint8_t)(v >> 16);
        *out++ = (uint8_t)(v >> 8);
        *out++ = (uint8_t)v;
    }
    ret->len += len;
    return ERR_OK;
}
