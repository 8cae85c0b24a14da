/* A line of a dump: one key with its value.
 *
 *     {"key":"azE=","value":"djE="}                 a raw key: both are base64 (RFC 4648, padded)
 *     {"key":"azE=","value":"djE=","version":3}     a versioned key
 *     {"key_text":"k1","value_text":"v1"}           what people write by hand: text, UTF-8, as it stands
 *
 * `kv dump` writes the first two alone, so that every byte survives. A line has either form of the key and either
 * form of the value, and nothing else. */
#pragma once

#include "base/buf.h"

enum {
    JSONL_LINE_MAX = 4 << 20
}; /* bytes of a line: more than base64 of the largest key and value */

struct jsonl_row {
    struct buf key, value; /* owned */
    bool versioned;
    uint64_t version;
};

/* Appends the line with its newline. */
MUST_USE err_t jsonl_write(struct bytes key, struct bytes value, bool versioned, uint64_t version,
                           struct buf *out);
/* Reads a line (without its newline). ERR_INVALID_ARGUMENT says what is wrong with it. Ended by jsonl_row_free(). */
MUST_USE err_t jsonl_read(struct bytes line, struct jsonl_row *ret, struct err *e);
void jsonl_row_free(struct jsonl_row *row); /* {0} is welcome */
