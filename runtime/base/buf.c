/* Byte ranges and growable buffers. */
#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>

int bytes_compare(struct bytes a, struct bytes b)
{
    size_t common = a.len < b.len ? a.len : b.len;
    int order = common == 0 ? 0 : memcmp(a.data, b.data, common);
    if (order != 0)
        return order;
    return a.len < b.len ? -1 : a.len > b.len;
}

bool bytes_equal(struct bytes a, struct bytes b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

bool bytes_starts_with(struct bytes whole, struct bytes prefix)
{
    return whole.len >= prefix.len && bytes_equal(bytes_from(whole.data, prefix.len), prefix);
}

uint8_t *buf_reserve(struct buf *b, size_t more)
{
    if (more > SIZE_MAX / 2 - b->len)
        return NULL;
    size_t need = b->len + more;
    if (need > b->cap || b->data == NULL) {
        size_t cap = b->cap < 64 ? 64 : b->cap;
        while (cap < need)
            cap *= 2;
        uint8_t *data = realloc(b->data, cap);
        if (data == NULL)
            return NULL;
        b->data = data;
        b->cap = cap;
    }
    return b->data + b->len;
}

err_t buf_append(struct buf *b, struct bytes src)
{
    if (src.len == 0)
        return ERR_OK;
    bool inside = b->data != NULL && src.data >= b->data && src.data < b->data + b->cap;
    size_t offset = inside ? (size_t)(src.data - b->data) : 0;
    uint8_t *to = buf_reserve(b, src.len);
    if (to == NULL)
        return ERR_NOMEM;
    memmove(to, inside ? b->data + offset : src.data, src.len);
    b->len += src.len;
    return ERR_OK;
}

err_t buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    uint8_t *to = n < 0 ? NULL : buf_reserve(b, (size_t)n + 1);
    if (to != NULL) {
        vsnprintf((char *)to, (size_t)n + 1, fmt, again);
        b->len += (size_t)n;
    }
    va_end(again);
    return to != NULL ? ERR_OK : ERR_NOMEM;
}

struct buf buf_take(struct buf *b)
{
    struct buf taken = *b;
    *b = (struct buf){ 0 };
    return taken;
}

void buf_free(struct buf *b)
{
    if (b == NULL)
        return;
    free(b->data);
    *b = (struct buf){ 0 };
}
