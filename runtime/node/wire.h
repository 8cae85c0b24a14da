/* Protobuf fields for the handlers: drawn in place, appended to a buffer. A thin layer over
 * net/pb.h, which knows the format; the messages are those of proto/. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "net/pb.h"

enum wire_type {
    WIRE_VARINT = NET_PB_VARINT,
    WIRE_FIXED64 = NET_PB_FIXED64,
    WIRE_BYTES = NET_PB_BYTES,
    WIRE_FIXED32 = NET_PB_FIXED32,
};

struct wire_field {
    uint32_t number;
    enum wire_type type;
    uint64_t value;     /* of numbers */
    struct bytes bytes; /* of bytes; never with a NULL pointer */
};
/* Draws the next field. False at the end of `in`; and where it is malformed: in->len is not 0. */
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
