/* The Status message: whatever comes in is drawn within its bounds, and texts are views. */
#include "net/status.h"

#include <assert.h>

#include "base/pb.h"

enum { MESSAGE_MAX = 4096 };

static err_t read_conflict(struct bytes in, struct net_status *s)
{
    struct pb_field f;
    s->has_conflict = true;
    while (pb_next(&in, &f)) {
        if (f.number == 1 && f.type == PB_VARINT)
            s->current_version = f.value;
        else if (f.number == 2 && f.type == PB_VARINT)
            s->absent = f.value != 0;
        else if (f.number == 3 && f.type == PB_BYTES)
            s->current_value = f.bytes;
        else if (f.number == 4 && f.type == PB_VARINT)
            s->has_value = f.value != 0;
    }
    return in.len == 0 ? ERR_OK : ERR_CORRUPTION;
}

static err_t read_leader(struct bytes in, struct net_status *s)
{
    struct pb_field f;
    s->has_leader = true;
    while (pb_next(&in, &f)) {
        if (f.number == 1 && f.type == PB_VARINT)
            s->region_id = f.value;
        else if (f.number == 2 && f.type == PB_VARINT)
            s->leader_store = f.value;
        else if (f.number == 3 && f.type == PB_BYTES)
            s->leader_address = f.bytes;
    }
    return in.len == 0 ? ERR_OK : ERR_CORRUPTION;
}

err_t net_status_read(struct bytes in, struct net_status *ret)
{
    struct net_status s = { 0 };
    struct pb_field f;
    while (pb_next(&in, &f)) {
        if (f.number == 1 && f.type == PB_VARINT) {
            bool known = f.value < ERR_SHORT && err_is_wire((unsigned)f.value);
            s.number = f.value;
            s.code = known ? (err_t)f.value : ERR_INTERNAL;
        } else if (f.number == 2 && f.type == PB_BYTES) {
            s.message = f.bytes;
        } else if (f.number == 3 && f.type == PB_BYTES) {
            if (s.has_conflict || read_conflict(f.bytes, &s) != ERR_OK)
                return ERR_CORRUPTION; /* twice: mergers disagree, so nobody may send it */
        } else if (f.number == 4 && f.type == PB_VARINT) {
            s.backoff_ms = f.value > UINT32_MAX ? UINT32_MAX : (uint32_t)f.value;
        } else if (f.number == 6 && f.type == PB_BYTES) {
            if (s.has_leader || read_leader(f.bytes, &s) != ERR_OK)
                return ERR_CORRUPTION;
        } else if (f.number == 7 && f.type == PB_BYTES) {
            s.epoch_not_match = f.bytes;
        }
    }
    if (in.len != 0)
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
    size_t size = pb_u64_size(1, wire) + pb_bytes_size(2, text.len) + pb_u64_size(4, backoff_ms);
    uint8_t *begin = buf_reserve(out, pb_head_size(1, size) + size), *at = begin;
    if (at == NULL)
        return ERR_NOMEM;
    pb_put_head(&at, 1, size);
    pb_put_u64(&at, 1, wire);
    pb_put_bytes(&at, 2, text);
    pb_put_u64(&at, 4, backoff_ms);
    assert((size_t)(at - begin) == pb_head_size(1, size) + size);
    out->len += (size_t)(at - begin);
    return ERR_OK;
}
