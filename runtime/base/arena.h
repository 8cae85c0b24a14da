/* A bump arena with a cap: many small allocations, freed together.
 *
 *   first, often the caller's stack        then from malloc, each twice the last
 *   [ used ......... | free ... ]            ->   [ used ... | free ................... ]
 *
 * What untrusted input makes us allocate comes from here, so that the cap holds whatever the
 * input says. Its two last functions have the shape of protobuf-c's ProtobufCAllocator. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena_chunk;

struct arena {
    uint8_t *at, *end;          /* what is free of the current chunk */
    struct arena_chunk *chunks; /* from malloc, the newest first */
    void *first;                /* the caller's memory, or NULL */
    size_t first_len;
    size_t used, cap; /* bytes handed out, with their padding; `used` never exceeds `cap` */
    bool refused;     /* an allocation failed since the last reset */
};

/* Begins an arena that hands out at most `cap` bytes. `first` is `first_len` bytes of the
 * caller's that outlive it, or NULL and 0. */
void arena_init(struct arena *a, size_t cap, void *first, size_t first_len);
/* `size` bytes, aligned for any type, not cleared; NULL above the cap or if memory is gone. Size
 * 0 is an address. */
void *arena_alloc(struct arena *a, size_t size);
/* The same, cleared, for `count` objects; NULL if the product overflows. */
void *arena_zalloc(struct arena *a, size_t count, size_t size);
/* Takes back everything; keeps the caller's memory alone. */
void arena_reset(struct arena *a);
/* The same; the arena may be begun again or left. {0} is welcome. */
void arena_free(struct arena *a);

/* arena_alloc() and nothing, with the signatures of ProtobufCAllocator's alloc and free. */
void *arena_allocator_alloc(void *arena, size_t size);
void arena_allocator_free(void *arena, void *pointer);
