/* Protobuf's wire format, field by field, without a generated message: what the hot path and the client library read
 * and write. (The rest of the tree uses protobuf-c under a capped arena; pb_test.c holds the two against each other.)
 *
 *   tag = number << 3 | type      0 varint      1 eight bytes      2 length, bytes      5 four bytes */
#pragma once

#include "base/buf.h"
#include "base/codec.h"

enum { NET_PB_VARINT = 0, NET_PB_FIXED64 = 1, NET_PB_BYTES = 2, NET_PB_FIXED32 = 5 };

struct net_pb_field {
    uint32_t number;
    uint8_t type;
    uint64_t number_value; /* of a varint or fixed field; else 0 */
    struct bytes bytes;    /* of a bytes field, a view; else empty */
};

/* Draws the next field off `in`. ERR_SHORT: the message has ended where a field may end. ERR_CORRUPTION: cut off,
 * number 0 or above 2^29 - 1, a group, or an unknown type. A field nobody knows is drawn like any other. */
MUST_USE err_t net_pb_next(struct bytes *in, struct net_pb_field *ret);

/* Writing: each appends to `out` what net_pb_*_size() says. A zero or empty value is left out, as proto3 does. */
static inline size_t net_pb_u64_size(uint32_t number, uint64_t v)
{
    return v == 0 ? 0 : varint_size((uint64_t)number << 3) + varint_size(v);
}
static inline size_t net_pb_bytes_size(uint32_t number, size_t len)
{
    return len == 0 ? 0 : varint_size((uint64_t)number << 3) + varint_size(len) + len;
}
void net_pb_put_u64(uint8_t **at, uint32_t number, uint64_t v);
void net_pb_put_bytes(uint8_t **at, uint32_t number, struct bytes v);
void net_pb_put_fixed64(uint8_t **at, uint32_t number, uint64_t v);
/* The head of a field of `len` bytes that follow, also of none: submessages, members of a oneof. */
size_t net_pb_head_size(uint32_t number, size_t len);
void net_pb_put_head(uint8_t **at, uint32_t number, size_t len);

/* ---- Status, field 1 of every response ------------------------------------------------------------------------ */

struct net_status {
    err_t code;
    uint64_t number; /* as it came: code is ERR_INTERNAL if err.h does not know it */
    struct bytes message;
    uint32_t backoff_ms; /* with SERVER_IS_BUSY */
    bool has_conflict;   /* with CONFLICT: the fields below */
    uint64_t current_version;
    bool absent;
    struct bytes current_value;
    bool has_value;
};
/* Reads a Status; a number that err.h does not know is ERR_INTERNAL. ERR_CORRUPTION if it is none. */
MUST_USE err_t net_status_read(struct bytes in, struct net_status *ret);
/* Appends field 1 of a response: a Status with code, message and, if not 0, the backoff. */
MUST_USE err_t net_status_append(struct buf *out, err_t code, const char *message,
                                 uint32_t backoff_ms);
