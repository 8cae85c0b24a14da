#include "wire.h"

#include <stdlib.h>

#include "base/codec.h"

static bool take_value(struct bytes *in, struct wire_field *f)
{
    uint32_t small;
    switch (f->type) {
    case WIRE_VARINT:
        return take_varint(in, &f->value);
    case WIRE_FIXED64:
        return take_u64(in, &f->value);
    case WIRE_BYTES:
        return take_varint(in, &f->value) && f->value <= in->len &&
               take_bytes(in, (size_t)f->value, &f->bytes);
    case WIRE_FIXED32:
        if (!take_u32(in, &small))
            return false;
        f->value = small;
        return true;
    }
    return false; /* groups, and types that do not exist */
}

bool wire_next(struct bytes *in, struct wire_field *ret)
{
    if (in->len == 0)
        return false;
    struct bytes rest = *in;
    uint64_t tag;
    struct wire_field f = { .bytes = { (const uint8_t *)"", 0 } };
    if (!take_varint(&rest, &tag) || tag >> 3 == 0 || tag >> 3 > (1 << 29) - 1)
        return false;
    f.number = (uint32_t)(tag >> 3);
    f.type = tag & 7;
    if (!take_value(&rest, &f))
        return false;
    *in = rest;
    *ret = f;
    return true;
}

static uint8_t *room(struct buf *b, size_t more)
{
    uint8_t *at = buf_reserve(b, more);
    if (at == NULL)
        abort();
    return at;
}

void wire_put_u64(struct buf *b, uint32_t number, uint64_t value)
{
    if (value == 0)
        return;
    uint8_t *at = room(b, 2 * VARINT_MAX);
    put_varint(&at, (uint64_t)number << 3 | WIRE_VARINT);
    put_varint(&at, value);
    b->len = (size_t)(at - b->data);
}

void wire_put_fixed64(struct buf *b, uint32_t number, uint64_t value)
{
    if (value == 0)
        return;
    uint8_t *at = room(b, VARINT_MAX + 8);
    put_varint(&at, (uint64_t)number << 3 | WIRE_FIXED64);
    put_u64(&at, value);
    b->len = (size_t)(at - b->data);
}

void wire_put_bool(struct buf *b, uint32_t number, bool value)
{
    wire_put_u64(b, number, value);
}

void wire_put_header(struct buf *b, uint32_t number, size_t len)
{
    uint8_t *at = room(b, 2 * VARINT_MAX);
    put_varint(&at, (uint64_t)number << 3 | WIRE_BYTES);
    put_varint(&at, len);
    b->len = (size_t)(at - b->data);
}

void wire_put_bytes(struct buf *b, uint32_t number, struct bytes value)
{
    wire_put_header(b, number, value.len);
    uint8_t *at = room(b, value.len);
    put_bytes(&at, value);
    b->len += value.len;
}

size_t wire_size_u64(uint32_t number, uint64_t value)
{
    return value == 0 ? 0 : varint_size((uint64_t)number << 3) + varint_size(value);
}

size_t wire_size_bytes(uint32_t number, size_t len)
{
    return varint_size((uint64_t)number << 3) + varint_size(len) + len;
}
