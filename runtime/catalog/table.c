/* The table of routes: built once, then only read. */
#include <assert.h>
#include <stdlib.h>

#include "base/codec.h"
#include "table_int.h"

/* The first 8 bytes of `key` behind `skip`, as a number that sorts as they do; what is missing
 * counts as zeros, so equal heads do not mean equal keys. */
static uint64_t head_of(struct bytes key, size_t skip)
{
    uint8_t bytes[8] = { 0 };
    if (key.len >= skip + 8)
        return load_u64_be(key.data + skip);
    if (key.len > skip)
        memcpy(bytes, key.data + skip, key.len - skip);
    return load_u64_be(bytes);
}

/* ---- Building ---- */

static bool shares_bound(const struct route *routes, size_t i)
{
    return i > 0 && !routes[i - 1].end_unbounded && bytes_equal(routes[i - 1].end, routes[i].start);
}

static size_t key_bytes(const struct route *routes, size_t count)
{
    size_t sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += routes[i].end.len + (shares_bound(routes, i) ? 0 : routes[i].start.len);
    return sum;
}

static struct bytes keep(uint8_t **at, struct bytes key)
{
    struct bytes kept = { *at, key.len };
    put_bytes(at, key);
    return kept;
}

static void fill(struct catalog_table *t, const struct route *routes, uint8_t *keys)
{
    t->disjoint = true;
    for (size_t i = 0; i < t->count; i++) {
        struct route *r = &t->routes[i];
        *r = routes[i];
        r->load = 0;
        r->start = shares_bound(routes, i) ? t->routes[i - 1].end : keep(&keys, routes[i].start);
        r->end = keep(&keys, routes[i].end);
        atomic_init(&t->loads[i], routes[i].load);
        t->ephemeral = t->ephemeral || r->id == 0;
        if (i > 0 && (r[-1].end_unbounded || bytes_compare(r[-1].end, r->start) > 0))
            t->disjoint = false;
    }
}

/* What the starts have in common. Without the first, which is often the empty key; the last is
 * the furthest from it. */
static size_t shared_bytes(const struct catalog_table *t)
{
    if (t->count < 3)
        return 0;
    struct bytes a = t->routes[1].start, b = t->routes[t->count - 1].start;
    size_t n = 0;
    while (n < a.len && n < b.len && a.data[n] == b.data[n])
        n++;
    return n;
}

struct catalog_table *catalog_table_new(const struct route *routes, size_t count,
                                        const struct catalog_stamp *stamp)
{
    size_t keys = key_bytes(routes, count);
    size_t per_route = sizeof(uint64_t) + sizeof(struct route) + sizeof(_Atomic uint64_t);
    size_t bytes = sizeof(struct catalog_table) + count * per_route + keys;
    struct catalog_table *t = malloc(bytes);
    if (t == NULL)
        return NULL;
    *t = (struct catalog_table){ .stamp = *stamp, .count = count, .bytes = bytes };
    t->routes = (struct route *)(t + 1);
    t->heads = (uint64_t *)(t->routes + count);
    t->loads = (_Atomic uint64_t *)(t->heads + count);
    fill(t, routes, (uint8_t *)t + bytes - keys);
    t->shared = shared_bytes(t);
    for (size_t i = 0; i < count; i++)
        t->heads[i] = head_of(t->routes[i].start, t->shared);
    return t;
}

void catalog_table_free(struct catalog_table *t)
{
    free(t);
}

/* ---- Searching ---- */

/* The last route whose start is at or before `key`, in [low, high) and known to be there; heads
 * first, keys on a tie. */
static size_t last_at(const struct catalog_table *t, struct bytes key, size_t low, size_t high)
{
    uint64_t head = head_of(key, t->shared);
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        uint64_t there = t->heads[middle];
        bool before =
            there != head ? there < head : bytes_compare(t->routes[middle].start, key) <= 0;
        low = before ? middle : low;
        high = before ? high : middle;
    }
    return low;
}

/* The last route that starts at or before `key`; count if there is none. */
static size_t place_of(const struct catalog_table *t, struct bytes key)
{
    if (t->count == 0 || bytes_compare(key, t->routes[0].start) < 0)
        return t->count;
    if (t->count == 1)
        return 0;
    /* Heads order the starts from 1 on, and only the keys that begin as those do. */
    struct bytes shared = bytes_from(t->routes[1].start.data, t->shared);
    int order =
        bytes_compare(bytes_from(key.data, key.len < t->shared ? key.len : t->shared), shared);
    if (order < 0)
        return 0;
    return order > 0 ? t->count - 1 : last_at(t, key, 0, t->count);
}

const struct route *catalog_table_find(const struct catalog_table *t, struct bytes key)
{
    size_t place = place_of(t, key);
    if (place == t->count)
        return NULL;
    const struct route *r = &t->routes[place];
    /* The search has shown that the key is before the next start. Where that is also our end,
     * its bytes, which are in nobody's cache, need not be looked at again. */
    if (r->end_unbounded || (place + 1 < t->count && r[1].start.data == r->end.data))
        return r;
    return bytes_compare(key, r->end) < 0 ? r : NULL;
}

static bool reaches_behind(const struct route *r, struct bytes start)
{
    return r->end_unbounded || bytes_compare(r->end, start) > 0;
}

size_t catalog_table_seek(const struct catalog_table *t, struct bytes start)
{
    size_t place = 0;
    if (t->disjoint) {
        place = place_of(t, start);
        if (place == t->count)
            place = 0; /* all starts are behind it */
    }
    while (place < t->count && !reaches_behind(&t->routes[place], start))
        place++;
    return place;
}

/* ---- The rest ---- */

size_t catalog_table_count(const struct catalog_table *t)
{
    return t->count;
}

const struct route *catalog_table_at(const struct catalog_table *t, size_t place)
{
    assert(place < t->count);
    return &t->routes[place];
}

const struct catalog_stamp *catalog_table_stamp(const struct catalog_table *t)
{
    return &t->stamp;
}

static _Atomic uint64_t *load_of(const struct catalog_table *t, const struct route *r)
{
    assert(r >= t->routes && r < t->routes + t->count);
    return &t->loads[r - t->routes];
}

uint64_t catalog_table_load(const struct catalog_table *t, const struct route *r)
{
    return atomic_load_explicit(load_of(t, r), memory_order_relaxed);
}

uint64_t catalog_table_count_access(const struct catalog_table *t, const struct route *r)
{
    return atomic_fetch_add_explicit(load_of(t, r), 1, memory_order_relaxed) + 1;
}

void catalog_table_reset_load(const struct catalog_table *t, const struct route *r)
{
    atomic_store_explicit(load_of(t, r), 0, memory_order_relaxed);
}

size_t catalog_table_bytes(const struct catalog_table *t)
{
    return t->bytes;
}

void catalog_table_ref(struct catalog_table *t)
{
    atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
}

void catalog_table_unref(struct catalog_table *t)
{
    if (t == NULL)
        return;
    uint32_t before = atomic_fetch_sub_explicit(&t->refs, 1, memory_order_release);
    assert(before > 0);
}
