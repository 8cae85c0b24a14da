/* The bump arena. */
#include "base/arena.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGN = 16, CHUNK_MIN = 4096, CHUNK_MAX = 1 << 20 }; /* bytes */

struct arena_chunk {
    _Alignas(ALIGN) struct arena_chunk *next;
    size_t len;
    _Alignas(ALIGN) uint8_t data[];
};

static void use(struct arena *a, uint8_t *data, size_t len)
{
    size_t skip = data == NULL ? 0 : -(uintptr_t)data % ALIGN;
    a->at = skip <= len ? data + skip : data;
    a->end = skip <= len ? data + len : data;
}

void arena_init(struct arena *a, size_t cap, void *first, size_t first_len)
{
    *a = (struct arena){ .first = first, .first_len = first_len, .cap = cap };
    if (first != NULL)
        use(a, first, first_len);
}

static bool chunk_add(struct arena *a, size_t size)
{
    size_t len = a->chunks == NULL ? CHUNK_MIN : 2 * a->chunks->len;
    if (len > CHUNK_MAX)
        len = CHUNK_MAX;
    if (len < size)
        len = size;
    struct arena_chunk *c = malloc(sizeof *c + len);
    if (c == NULL)
        return false;
    c->len = len;
    c->next = a->chunks;
    a->chunks = c;
    use(a, c->data, len);
    return true;
}

void *arena_alloc(struct arena *a, size_t size)
{
    size_t padded = size == 0 ? ALIGN : (size + ALIGN - 1) / ALIGN * ALIGN;
    if (size > a->cap || padded > a->cap - a->used ||
        (padded > (size_t)(a->end - a->at) && !chunk_add(a, padded))) {
        a->refused = true;
        return NULL;
    }
    void *out = a->at;
    a->at += padded;
    a->used += padded;
    return out;
}

void *arena_zalloc(struct arena *a, size_t count, size_t size)
{
    size_t all;
    if (__builtin_mul_overflow(count, size, &all)) {
        a->refused = true;
        return NULL;
    }
    void *out = arena_alloc(a, all);
    if (out != NULL)
        memset(out, 0, all);
    return out;
}

void arena_reset(struct arena *a)
{
    while (a->chunks != NULL) {
        struct arena_chunk *c = a->chunks;
        a->chunks = c->next;
        free(c);
    }
    arena_init(a, a->cap, a->first, a->first_len);
}

void arena_free(struct arena *a)
{
    arena_reset(a);
}

void *arena_allocator_alloc(void *arena, size_t size)
{
    return arena_alloc(arena, size);
}

void arena_allocator_free(void *arena, void *pointer)
{
    (void)arena, (void)pointer;
}
