/* Protobuf's wire format and the Status message. The picture is in pb.h.
 *
 * Whatever comes in is drawn within its bounds, and nothing is allocated for it: a field is a view. */
#include "net/pb.h"

#include <assert.h>

enum { NUMBER_MAX = (1 << 29) - 1, MESSAGE_MAX = 4096 };

err_t net_pb_next(struct bytes *in, struct net_pb_field *ret)
{
    if (in->len == 0)
        return ERR_SHORT;
    struct net_pb_field f = { 0 };
    uint64_t tag, len;
    if (!take_varint(in, &tag) || tag >> 3 == 0 || tag >> 3 > NUMBER_MAX)
        return ERR_CORRUPTION;
    f.number = (uint32_t)(tag >> 3);
    f.type = tag & 7;
    uint32_t four = 0;
    bool whole = false;
    switch (f.type) {
    case NET_PB_VARINT:
        whole = take_varint(in, &f.number_value);
        break;
    case NET_PB_FIXED64:
        whole = take_u64(in, &f.number_value);
        break;
    case NET_PB_BYTES:
        whole = take_varint(in, &len) && len <= in->len && take_bytes(in, (size_t)len, &f.bytes);
        break;
    case NET_PB_FIXED32:
        whole = take_u32(in, &four);
        f.number_value = four;
        break;
    default: /* groups left proto3 */
        break;
    }
    if (!whole)
        return ERR_CORRUPTION;
    *ret = f;
    return ERR_OK;
}

void net_pb_put_u64(uint8_t **at, uint32_t number, uint64_t v)
{
    if (v == 0)
        return;
    put_varint(at, (uint64_t)number << 3 | NET_PB_VARINT);
    put_varint(at, v);
}

void net_pb_put_bytes(uint8_t **at, uint32_t number, struct bytes v)
{
    if (v.len == 0)
        return;
    net_pb_put_head(at, number, v.len);
    put_bytes(at, v);
}

void net_pb_put_fixed64(uint8_t **at, uint32_t number, uint64_t v)
{
    if (v == 0)
        return;
    put_varint(at, (uint64_t)number << 3 | NET_PB_FIXED64);
    put_u64(at, v);
}

size_t net_pb_head_size(uint32_t number, size_t len)
{
    return varint_size((uint64_t)number << 3) + varint_size(len);
}

void net_pb_put_head(uint8_t **at, uint32_t number, size_t len)
{
    put_varint(at, (uint64_t)number << 3 | NET_PB_BYTES);
    put_varint(at, len);
}

static err_t read_conflict(struct bytes in, struct net_status *s)
{
    struct net_pb_field f;
    err_t rc;
    s->has_conflict = true;
    while ((rc = net_pb_next(&in, &f)) == ERR_OK) {
        if (f.number == 1 && f.type == NET_PB_VARINT)
            s->current_version = f.number_value;
        else if (f.number == 2 && f.type == NET_PB_VARINT)
            s->absent = f.number_value != 0;
        else if (f.number == 3 && f.type == NET_PB_BYTES)
            s->current_value = f.bytes;
        else if (f.number == 4 && f.type == NET_PB_VARINT)
            s->has_value = f.number_value != 0;
    }
    return rc == ERR_SHORT ? ERR_OK : rc;
}

err_t net_status_read(struct bytes in, struct net_status *ret)
{
    struct net_status s = { 0 };
    struct net_pb_field f;
    err_t rc;
    while ((rc = net_pb_next(&in, &f)) == ERR_OK) {
        if (f.number == 1 && f.type == NET_PB_VARINT) {
            bool known = f.number_value < ERR_SHORT && err_is_wire((unsigned)f.number_value);
            s.number = f.number_value;
            s.code = known ? (err_t)f.number_value : ERR_INTERNAL;
        } else if (f.number == 2 && f.type == NET_PB_BYTES) {
            s.message = f.bytes;
        } else if (f.number == 3 && f.type == NET_PB_BYTES) {
            if (s.has_conflict || read_conflict(f.bytes, &s) != ERR_OK)
                return ERR_CORRUPTION; /* twice: mergers disagree, so nobody may send it */
        } else if (f.number == 4 && f.type == NET_PB_VARINT) {
            s.backoff_ms = f.number_value > UINT32_MAX ? UINT32_MAX : (uint32_t)f.number_value;
        }
    }
    if (rc != ERR_SHORT)
        return ERR_CORRUPTION;
    *ret = s;
    return ERR_OK;
}

err_t net_status_append(struct buf *out, err_t code, const char *message, uint32_t backoff_ms)
{
    struct bytes text = message != NULL ? BYTES(message) : (struct bytes){ 0 };
    if (text.len > MESSAGE_MAX)
        text.len = MESSAGE_MAX;
    err_t wire = err_to_wire(code);
    size_t size =
        net_pb_u64_size(1, wire) + net_pb_bytes_size(2, text.len) + net_pb_u64_size(4, backoff_ms);
    uint8_t *begin = buf_reserve(out, net_pb_head_size(1, size) + size), *at = begin;
    if (at == NULL)
        return ERR_NOMEM;
    net_pb_put_head(&at, 1, size);
    net_pb_put_u64(&at, 1, wire);
    net_pb_put_bytes(&at, 2, text);
    net_pb_put_u64(&at, 4, backoff_ms);
    assert((size_t)(at - begin) == net_pb_head_size(1, size) + size);
    out->len += (size_t)(at - begin);
    return ERR_OK;
}
