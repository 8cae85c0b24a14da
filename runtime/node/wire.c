#include "wire.h"

#include <stdlib.h>

bool wire_next(struct bytes *in, struct wire_field *ret)
{
    struct net_pb_field f;
    struct bytes rest = *in;
    if (net_pb_next(&rest, &f) != ERR_OK)
        return false;
    *in = rest;
    ret->number = f.number;
    ret->type = f.type;
    ret->value = f.number_value;
    ret->bytes = f.bytes.data != NULL ? f.bytes : bytes_from("", 0);
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
