/* Protobuf's wire format, as much as the handlers need: fields drawn in place, fields appended.
 *
 *   tag (number << 3 | type) | varint, or 8 bytes, or length and bytes, or 4 bytes
 *
 * Nothing is allocated while reading; what is read is borrowed from the input. The messages are
 * those of proto/NAME.proto, and wire_test.c holds both directions against protobuf-c. */
#pragma once

#include "base/buf.h"
#include "base/err.h"

enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

struct wire_field {
    uint32_t number;
    enum wire_type type;
    uint64_t value;     /* VARINT, FIXED64, FIXED32 */
    struct bytes bytes; /* BYTES; never with a NULL pointer */
};
/* Draws the next field. False at the end of `in`, and where it is malformed: then in->len is not 0. */
bool wire_next(struct bytes *in, struct wire_field *ret);

/* Append a field; numbers and flags that are 0 are left out, as proto3 says. Memory for replies is
 * limited before they are made: these abort where it is gone. */
void wire_put_u64(struct buf *b, uint32_t number, uint64_t value);
void wire_put_fixed64(struct buf *b, uint32_t number, uint64_t value);
void wire_put_bool(struct buf *b, uint32_t number, bool value);
void wire_put_bytes(struct buf *b, uint32_t number, struct bytes value); /* also if empty */
/* Tag and length of a message whose `len` bytes the caller appends next. */
void wire_put_header(struct buf *b, uint32_t number, size_t len);
size_t wire_size_u64(uint32_t number, uint64_t value);
size_t wire_size_bytes(uint32_t number, size_t len);
