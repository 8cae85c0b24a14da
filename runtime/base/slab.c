/* The pool keeps two stacks a size class: `idle` is the owner's, `returned` takes slabs from any
 * thread. The owner takes all of `returned` at once, never one of it, so that a slab that comes
 * back twice in between (ABA) cannot harm. */
#include "base/slab.h"

#include <assert.h>
#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__)
#define SLAB_POISON 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SLAB_POISON 1
#endif
#endif
#if defined(SLAB_POISON) /* an idle slab is out of bounds, as if it had been freed */
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, len)   ((void)(at), (void)(len))
#define ASAN_UNPOISON_MEMORY_REGION(at, len) ((void)(at), (void)(len))
#endif

struct slab_pool {
    struct slab *idle[SLAB_CLASSES];
    _Atomic(struct slab *) returned[SLAB_CLASSES];
    _Atomic size_t idle_bytes, live_bytes;
    size_t idle_max;
};

static size_t order_size(uint32_t order)
{
    return (size_t)SLAB_MIN << 2 * order;
}

struct slab_pool *slab_pool_new(size_t idle_max)
{
    struct slab_pool *pool = calloc(1, sizeof *pool);
    if (pool != NULL)
        pool->idle_max = idle_max;
    return pool;
}

static void destroy(struct slab *slab)
{
    ASAN_UNPOISON_MEMORY_REGION(slab->data, slab->cap);
    free(slab);
}

static void destroy_all(struct slab *slab)
{
    while (slab != NULL) {
        struct slab *next = slab->next;
        destroy(slab);
        slab = next;
    }
}

void slab_pool_free(struct slab_pool *pool)
{
    if (pool == NULL)
        return;
    assert(slab_pool_live(pool) == 0); /* or somebody would come back to nothing */
    for (uint32_t c = 0; c < SLAB_CLASSES; c++) {
        destroy_all(pool->idle[c]);
        destroy_all(atomic_exchange(&pool->returned[c], NULL));
    }
    free(pool);
}

size_t slab_pool_live(const struct slab_pool *pool)
{
    return atomic_load_explicit(&pool->live_bytes, memory_order_acquire);
}

static struct slab *take_idle(struct slab_pool *pool, uint32_t order)
{
    if (pool->idle[order] == NULL)
        pool->idle[order] = atomic_exchange(&pool->returned[order], NULL);
    struct slab *slab = pool->idle[order];
    if (slab == NULL)
        return NULL;
    pool->idle[order] = slab->next;
    atomic_fetch_sub(&pool->idle_bytes, slab->cap);
    ASAN_UNPOISON_MEMORY_REGION(slab->data, slab->cap);
    return slab;
}

struct slab *slab_get(struct slab_pool *pool, size_t size)
{
    uint32_t order = 0;
    while (order < SLAB_CLASSES && order_size(order) < size)
        order++;
    if (order == SLAB_CLASSES)
        return NULL;
    struct slab *slab = take_idle(pool, order);
    if (slab == NULL) {
        slab = malloc(sizeof *slab + order_size(order));
        if (slab == NULL)
            return NULL;
        slab->order = order;
        slab->cap = order_size(order);
        slab->pool = pool;
    }
    slab->next = NULL;
    atomic_init(&slab->refs, 1);
    atomic_fetch_add(&pool->live_bytes, slab->cap);
    return slab;
}

struct slab *slab_ref(struct slab *slab)
{
    uint32_t before = atomic_fetch_add_explicit(&slab->refs, 1, memory_order_relaxed);
    assert(before > 0 && before < UINT32_MAX);
    (void)before;
    return slab;
}

static void give_back(struct slab *slab)
{
    struct slab_pool *pool = slab->pool;
    size_t cap = slab->cap;
    if (atomic_fetch_add(&pool->idle_bytes, cap) + cap > pool->idle_max) {
        atomic_fetch_sub(&pool->idle_bytes, cap);
        destroy(slab);
    } else {
        ASAN_POISON_MEMORY_REGION(slab->data, cap);
        slab->next = atomic_load_explicit(&pool->returned[slab->order], memory_order_relaxed);
        while (!atomic_compare_exchange_weak(&pool->returned[slab->order], &slab->next, slab))
            continue;
    }
    atomic_fetch_sub_explicit(&pool->live_bytes, cap,
                              memory_order_release); /* last: the pool may now be freed */
}

void slab_unref(struct slab *slab)
{
    if (slab == NULL)
        return;
    uint32_t before = atomic_fetch_sub_explicit(&slab->refs, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before == 1)
        give_back(slab);
}
