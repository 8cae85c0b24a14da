/* Reference-counted blocks of memory for what sockets receive.
 *
 *   read into a slab -> frames, commands, log records are views into it -> the last user lets it go
 *
 * Whoever keeps a view takes a reference; the bytes are never copied on their way (design: "one
 * copy"). A pool has one owner thread, the loop, which alone may call slab_get(); slab_ref() and
 * slab_unref() are for any thread. Slabs that come back are kept for the next read, up to
 * `idle_max` bytes. */
#pragma once

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct slab_pool;

struct slab {
    _Atomic uint32_t refs;
    uint32_t order; /* size class; the pool's */
    size_t cap;     /* bytes at data */
    struct slab_pool *pool;
    struct slab *next; /* the pool's, while idle */
    _Alignas(16) uint8_t data[];
};

enum { SLAB_MIN = 4096, SLAB_CLASSES = 7 }; /* 4, 16, 64, 256 KiB, 1, 4, 16 MiB */

/* A pool that keeps at most `idle_max` bytes of slabs that nobody uses. NULL if memory is gone. */
struct slab_pool *slab_pool_new(size_t idle_max);
/* Frees the pool; every slab has come back. NULL is welcome. */
void slab_pool_free(struct slab_pool *pool);
/* Bytes in slabs that somebody uses. Any thread. */
size_t slab_pool_live(const struct slab_pool *pool);

/* A slab of at least `size` bytes with one reference; its contents are undefined. NULL if memory
 * is gone, or above the largest class. Owner thread. */
struct slab *slab_get(struct slab_pool *pool, size_t size);
/* Takes one more reference, and answers the slab. */
struct slab *slab_ref(struct slab *slab);
/* Lets a reference go; with the last one the slab goes back to its pool. NULL is welcome. */
void slab_unref(struct slab *slab);
