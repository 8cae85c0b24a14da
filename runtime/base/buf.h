/* Byte ranges that are borrowed, and byte buffers that are owned. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/err.h"

struct bytes {
    const uint8_t *data;
    size_t len;
}; /* borrowed: valid until its owner changes */

struct buf {
    uint8_t *data;
    size_t len, cap;
}; /* growable, one owner; {0} is empty */

/* A string literal, or any NUL-terminated text, as bytes without the NUL. */
#define BYTES(text) bytes_from_text(text)

static inline struct bytes bytes_from_text(const char *text)
{
    return (struct bytes){ (const uint8_t *)text, strlen(text) };
}

static inline struct bytes bytes_from(const void *data, size_t len)
{
    return (struct bytes){ (const uint8_t *)data, len };
}

/* The order of keys everywhere: memcmp, then the shorter one first. Negative, 0 or positive. */
int bytes_compare(struct bytes a, struct bytes b);
bool bytes_equal(struct bytes a, struct bytes b);
bool bytes_starts_with(struct bytes whole, struct bytes prefix);

/* Appends a copy of `src`. On ERR_NOMEM nothing has changed. `src` may lie within `b`. */
MUST_USE err_t buf_append(struct buf *b, struct bytes src);
/* Appends formatted text, without a NUL. On ERR_NOMEM nothing has changed. */
MUST_USE err_t buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Makes room for `more` bytes behind len and answers where they begin, NULL if memory is gone. `len` stays. */
uint8_t *buf_reserve(struct buf *b, size_t more);
/* A view of what is there. Valid until `b` changes. */
static inline struct bytes buf_bytes(const struct buf *b)
{
    return (struct bytes){ b->data, b->len };
}
/* Forgets the bytes, keeps the memory. */
static inline void buf_clear(struct buf *b)
{
    b->len = 0;
}
/* Moves the bytes out: the caller ends them with buf_free(); `b` becomes {0}. */
struct buf buf_take(struct buf *b);
/* Frees and resets to {0}. NULL and {0} are welcome, so every exit path may call it. */
void buf_free(struct buf *b);
