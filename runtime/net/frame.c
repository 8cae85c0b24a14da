/* The frame codec. The picture is in frame.h: what both sides trust before they look at a single message.
 *
 * 1. A length is compared with its limit before anybody makes room for it.
 * 2. A frame is believed only when its checksum is right; a stream with a wrong one is out of step for good. */
#include "net/frame.h"

#include <assert.h>

#include "base/codec.h"
#include "base/crc32c.h"

enum { OFFSET_VERSION = 4, OFFSET_CRC = 24, LENGTH_MIN = NET_FRAME_HEADER - 4 };

static uint32_t checksum(const uint8_t *header, struct bytes body, struct bytes raw)
{
    static const uint8_t zero[4];
    uint32_t crc = crc32c(0, bytes_from(header, OFFSET_CRC));
    crc = crc32c(crc, bytes_from(zero, sizeof zero));
    crc = crc32c(crc, body);
    return raw.len == 0 ? crc : crc32c(crc, raw);
}

err_t net_frame_size(struct bytes in, uint32_t max, size_t *ret)
{
    if (in.len <= OFFSET_VERSION)
        return ERR_SHORT;
    uint32_t length = load_u32(in.data);
    if (in.data[OFFSET_VERSION] != NET_FRAME_VERSION)
        return ERR_UPGRADE_REQUIRED;
    if (length < LENGTH_MIN)
        return ERR_CORRUPTION;
    if ((uint64_t)length + 4 > max)
        return ERR_TOO_LARGE;
    *ret = (size_t)length + 4;
    return ERR_OK;
}

err_t net_frame_decode(struct bytes in, uint32_t max, struct net_frame *ret, size_t *size)
{
    size_t whole;
    err_t rc = net_frame_size(in, max, &whole);
    if (rc != ERR_OK)
        return rc;
    if (in.len < whole)
        return ERR_SHORT;
    struct bytes at = bytes_from(in.data + OFFSET_VERSION + 1, whole - OFFSET_VERSION - 1);
    struct net_frame f;
    uint8_t kind;
    uint32_t body_len, crc;
    bool there = take_u8(&at, &kind) && take_u16(&at, &f.method) && take_u32(&at, &f.deadline_ms) &&
                 take_u64(&at, &f.request_id) && take_u32(&at, &body_len) && take_u32(&at, &crc);
    assert(there); /* net_frame_size() has seen to a whole header */
    if (kind < NET_FRAME_REQUEST || kind > NET_FRAME_PING || !take_bytes(&at, body_len, &f.body))
        return ERR_CORRUPTION;
    f.kind = kind;
    f.raw = at;
    if (checksum(in.data, f.body, f.raw) != crc)
        return ERR_CORRUPTION;
    *ret = f;
    *size = whole;
    return ERR_OK;
}

void net_frame_encode(const struct net_frame *f, uint8_t header[NET_FRAME_HEADER])
{
    assert(f->body.len <= NET_FRAME_MAX - NET_FRAME_HEADER &&
           f->raw.len <= NET_FRAME_MAX - NET_FRAME_HEADER - f->body.len);
    uint8_t *at = header;
    put_u32(&at, (uint32_t)(LENGTH_MIN + f->body.len + f->raw.len));
    put_u8(&at, NET_FRAME_VERSION);
    put_u8(&at, (uint8_t)f->kind);
    put_u16(&at, f->method);
    put_u32(&at, f->deadline_ms);
    put_u64(&at, f->request_id);
    put_u32(&at, (uint32_t)f->body.len);
    put_u32(&at, checksum(header, f->body, f->raw));
}

err_t net_frame_append(struct buf *out, const struct net_frame *f)
{
    size_t size = NET_FRAME_HEADER + f->body.len + f->raw.len;
    uint8_t *at = buf_reserve(out, size);
    if (at == NULL)
        return ERR_NOMEM;
    net_frame_encode(f, at);
    at += NET_FRAME_HEADER;
    put_bytes(&at, f->body);
    put_bytes(&at, f->raw);
    out->len += size;
    return ERR_OK;
}
