/* Protobuf's wire format, field by field, without a generated message: what the hot paths and the client library read
 * and write. The rest of the tree uses protobuf-c under a capped arena (proto/decode.h); tests hold the two against
 * each other.
 *
 *   tag = number << 3 | type      0 varint      1 eight bytes      2 length, bytes      5 four bytes
 *
 *   pb_next      draws a field off a message: a view, nothing is allocated or copied
 *   pb_*_size    how many bytes a field will have
 *   pb_put_*     writes it at a cursor; room was made by the caller
 *   pb_append_*  writes it behind a buffer, which grows
 *
 * Two kinds of byte fields. `bytes` is left out where it is empty, as numbers and flags that are 0 are: so proto3
 * says. An `item` is there also if empty: submessages, elements of a list, members of a oneof. */
#pragma once

#include "base/buf.h"
#include "base/codec.h"

enum pb_type { PB_VARINT = 0, PB_FIXED64 = 1, PB_BYTES = 2, PB_FIXED32 = 5 };

struct pb_field {
    uint32_t number;
    enum pb_type type;
    uint64_t value;     /* of numbers; else 0 */
    struct bytes bytes; /* of byte fields, a view; else NULL and 0 */
};
/* Draws the next field off `in`. False at its end; and with `in` (then not empty) and `ret` unchanged where it is
 * malformed: cut off, number 0 or above 2^29 - 1, a group, an unknown type, a tag or a length of more than five
 * bytes. So after
 *
 *     while (pb_next(&in, &f)) ...
 *
 * in.len == 0 says that all of it was read. A field that nobody knows is drawn like any other. */
MUST_USE bool pb_next(struct bytes *in, struct pb_field *ret);

/* ---- Sizes -------------------------------------------------------------------------------------------------- */

static inline size_t pb_tag_size(uint32_t number)
{
    return varint_size((uint64_t)number << 3);
}
static inline size_t pb_u64_size(uint32_t number, uint64_t v)
{
    return v == 0 ? 0 : pb_tag_size(number) + varint_size(v);
}
static inline size_t pb_fixed64_size(uint32_t number, uint64_t v)
{
    return v == 0 ? 0 : pb_tag_size(number) + 8;
}
/* Tag and length of an item of `len` bytes. */
static inline size_t pb_head_size(uint32_t number, size_t len)
{
    return pb_tag_size(number) + varint_size(len);
}
static inline size_t pb_item_size(uint32_t number, size_t len)
{
    return pb_head_size(number, len) + len;
}
static inline size_t pb_bytes_size(uint32_t number, size_t len)
{
    return len == 0 ? 0 : pb_item_size(number, len);
}

/* ---- At a cursor: each writes what its size says -------------------------------------------------------------- */

void pb_put_u64(uint8_t **at, uint32_t number, uint64_t v);
void pb_put_fixed64(uint8_t **at, uint32_t number, uint64_t v);
void pb_put_bytes(uint8_t **at, uint32_t number, struct bytes v);
void pb_put_item(uint8_t **at, uint32_t number, struct bytes v);
/* The head of an item whose `len` bytes follow. */
void pb_put_head(uint8_t **at, uint32_t number, size_t len);

/* ---- Behind a buffer ------------------------------------------------------------------------------------------ */

/* Memory for a node's answers is limited before they are made: these abort where it is gone, so they are not for the
 * client library. */
void pb_append_u64(struct buf *b, uint32_t number, uint64_t v);
void pb_append_fixed64(struct buf *b, uint32_t number, uint64_t v);
void pb_append_bytes(struct buf *b, uint32_t number, struct bytes v);
void pb_append_item(struct buf *b, uint32_t number, struct bytes v);
void pb_append_head(struct buf *b, uint32_t number, size_t len);
