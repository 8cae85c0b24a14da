/* Protobuf's wire format. The picture is in pb.h.
 *
 * Whatever comes in is drawn within its bounds, and nothing is allocated for it: a field is a view. */
#include "base/pb.h"

#include <stdlib.h>

enum { NUMBER_MAX = (1 << 29) - 1, HEAD_MAX = 2 * VARINT_MAX, SHORT_MAX = 5 };

/* Tags and lengths: 32 bits, so nobody needs more than five bytes; readers disagree on what longer ones say. */
static bool take_short(struct bytes *in, uint64_t *ret)
{
    size_t before = in->len;
    return take_varint(in, ret) && before - in->len <= SHORT_MAX;
}

/* The content of a field whose tag was drawn. */
static bool take_content(struct bytes *in, struct pb_field *f)
{
    uint64_t len;
    uint32_t four;
    switch (f->type) {
    case PB_VARINT:
        return take_varint(in, &f->value);
    case PB_FIXED64:
        return take_u64(in, &f->value);
    case PB_BYTES:
        return take_short(in, &len) && len <= in->len && take_bytes(in, (size_t)len, &f->bytes);
    case PB_FIXED32:
        if (!take_u32(in, &four))
            return false;
        f->value = four;
        return true;
    }
    return false; /* groups left proto3 */
}

bool pb_next(struct bytes *in, struct pb_field *ret)
{
    struct bytes rest = *in;
    uint64_t tag;
    if (rest.len == 0 || !take_short(&rest, &tag) || tag >> 3 == 0 || tag >> 3 > NUMBER_MAX)
        return false;
    struct pb_field f = { .number = (uint32_t)(tag >> 3), .type = (enum pb_type)(tag & 7) };
    if (!take_content(&rest, &f))
        return false;
    *in = rest;
    *ret = f;
    return true;
}

/* ---- At a cursor -------------------------------------------------------------------------------------------- */

static void put_tag(uint8_t **at, uint32_t number, enum pb_type type)
{
    put_varint(at, (uint64_t)number << 3 | type);
}

void pb_put_u64(uint8_t **at, uint32_t number, uint64_t v)
{
    if (v == 0)
        return;
    put_tag(at, number, PB_VARINT);
    put_varint(at, v);
}

void pb_put_fixed64(uint8_t **at, uint32_t number, uint64_t v)
{
    if (v == 0)
        return;
    put_tag(at, number, PB_FIXED64);
    put_u64(at, v);
}

void pb_put_head(uint8_t **at, uint32_t number, size_t len)
{
    put_tag(at, number, PB_BYTES);
    put_varint(at, len);
}

void pb_put_item(uint8_t **at, uint32_t number, struct bytes v)
{
    pb_put_head(at, number, v.len);
    put_bytes(at, v);
}

void pb_put_bytes(uint8_t **at, uint32_t number, struct bytes v)
{
    if (v.len > 0)
        pb_put_item(at, number, v);
}

/* ---- Behind a buffer ---------------------------------------------------------------------------------------- */

static uint8_t *room(struct buf *b, size_t more)
{
    uint8_t *at = buf_reserve(b, more);
    if (at == NULL)
        abort();
    return at;
}

static void written(struct buf *b, const uint8_t *end)
{
    b->len = (size_t)(end - b->data);
}

void pb_append_u64(struct buf *b, uint32_t number, uint64_t v)
{
    uint8_t *at = room(b, HEAD_MAX);
    pb_put_u64(&at, number, v);
    written(b, at);
}

void pb_append_fixed64(struct buf *b, uint32_t number, uint64_t v)
{
    uint8_t *at = room(b, VARINT_MAX + 8);
    pb_put_fixed64(&at, number, v);
    written(b, at);
}

void pb_append_head(struct buf *b, uint32_t number, size_t len)
{
    uint8_t *at = room(b, HEAD_MAX);
    pb_put_head(&at, number, len);
    written(b, at);
}

void pb_append_item(struct buf *b, uint32_t number, struct bytes v)
{
    uint8_t *at = room(b, HEAD_MAX + v.len);
    pb_put_item(&at, number, v);
    written(b, at);
}

void pb_append_bytes(struct buf *b, uint32_t number, struct bytes v)
{
    if (v.len > 0)
        pb_append_item(b, number, v);
}
