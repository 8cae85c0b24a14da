/* Linear probing with the Robin Hood rule: an entry that is further from its home place takes
 * the place of one that is nearer to its own, so that all distances stay short and a search may
 * stop at the first nearer one. Removing shifts the followers back: there are no tombstones, and
 * a map that lives for months is as fast as a new one. */
#include "base/map.h"

#include <assert.h>
#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { CAP_MIN = 8 };

static uint64_t hash_bytes(const struct map *m, struct bytes key)
{
    return XXH3_64bits_withSeed(key.data, key.len, m->seed);
}

static uint64_t hash_u64(const struct map *m, uint64_t key)
{
    return XXH3_64bits_withSeed(&key, sizeof key, m->seed);
}

static bool same(const struct map_entry *a, const struct map_entry *b)
{
    if (a->hash != b->hash)
        return false;
    if (a->key.data == NULL || b->key.data == NULL)
        return a->id == b->id && a->key.len == b->key.len;
    return bytes_equal(a->key, b->key);
}

static size_t distance(const struct map *m, size_t place)
{
    return (place - m->entries[place].hash) & (m->cap - 1);
}

/* Where `want` is; SIZE_MAX if it is not there. */
static size_t find(const struct map *m, const struct map_entry *want)
{
    if (m->cap == 0)
        return SIZE_MAX;
    size_t place = want->hash & (m->cap - 1);
    for (size_t d = 0;; d++, place = (place + 1) & (m->cap - 1)) {
        const struct map_entry *e = &m->entries[place];
        if (e->value == NULL || distance(m, place) < d)
            return SIZE_MAX;
        if (same(e, want))
            return place;
    }
}

/* Adds an entry that is not there; there is a free place. */
static void insert(struct map *m, struct map_entry entry)
{
    size_t place = entry.hash & (m->cap - 1);
    for (size_t d = 0;; d++, place = (place + 1) & (m->cap - 1)) {
        struct map_entry *e = &m->entries[place];
        if (e->value == NULL) {
            *e = entry;
            m->count++;
            return;
        }
        size_t theirs = distance(m, place);
        if (theirs < d) {
            struct map_entry nearer = *e;
            *e = entry;
            entry = nearer;
            d = theirs;
        }
    }
}

static err_t grow(struct map *m)
{
    struct map bigger = { .cap = m->cap == 0 ? CAP_MIN : 2 * m->cap, .seed = m->seed };
    bigger.entries = calloc(bigger.cap, sizeof *bigger.entries);
    if (bigger.entries == NULL)
        return ERR_NOMEM;
    map_for_each(e, m)
        insert(&bigger, *e);
    free(m->entries);
    *m = bigger;
    return ERR_OK;
}

static err_t put(struct map *m, struct map_entry entry, void **old)
{
    assert(entry.value != NULL);
    size_t place = find(m, &entry);
    void *before = NULL;
    if (place != SIZE_MAX) {
        before = m->entries[place].value;
        m->entries[place] = entry;
    } else {
        if (m->count + 1 > m->cap / 8 * 7 && grow(m) != ERR_OK)
            return ERR_NOMEM;
        insert(m, entry);
    }
    if (old != NULL)
        *old = before;
    return ERR_OK;
}

static void *take(struct map *m, const struct map_entry *want)
{
    size_t place = find(m, want);
    if (place == SIZE_MAX)
        return NULL;
    void *value = m->entries[place].value;
    for (;;) { /* the followers that are not at home move one place back */
        size_t next = (place + 1) & (m->cap - 1);
        if (m->entries[next].value == NULL || distance(m, next) == 0)
            break;
        m->entries[place] = m->entries[next];
        place = next;
    }
    m->entries[place] = (struct map_entry){ 0 };
    m->count--;
    return value;
}

void map_init(struct map *m, uint64_t seed)
{
    *m = (struct map){ .seed = seed };
}

void map_free(struct map *m)
{
    free(m->entries);
    map_init(m, m->seed);
}

void map_clear(struct map *m)
{
    if (m->count > 0)
        memset(m->entries, 0, m->cap * sizeof m->entries[0]);
    m->count = 0;
}

/* A byte key without bytes still needs an address: data NULL marks u64 keys. */
static struct map_entry by_bytes(const struct map *m, struct bytes key, void *value)
{
    static const uint8_t nothing[1];
    if (key.data == NULL)
        key.data = nothing;
    return (struct map_entry){ .hash = hash_bytes(m, key), .key = key, .value = value };
}

static struct map_entry by_u64(const struct map *m, uint64_t key, void *value)
{
    return (struct map_entry){ .hash = hash_u64(m, key), .id = key, .value = value };
}

void *map_get(const struct map *m, struct bytes key)
{
    struct map_entry want = by_bytes(m, key, NULL);
    size_t place = find(m, &want);
    return place == SIZE_MAX ? NULL : m->entries[place].value;
}

void *map_get_u64(const struct map *m, uint64_t key)
{
    struct map_entry want = by_u64(m, key, NULL);
    size_t place = find(m, &want);
    return place == SIZE_MAX ? NULL : m->entries[place].value;
}

err_t map_put(struct map *m, struct bytes key, void *value, void **old)
{
    return put(m, by_bytes(m, key, value), old);
}

err_t map_put_u64(struct map *m, uint64_t key, void *value, void **old)
{
    return put(m, by_u64(m, key, value), old);
}

void *map_remove(struct map *m, struct bytes key)
{
    struct map_entry want = by_bytes(m, key, NULL);
    return take(m, &want);
}

void *map_remove_u64(struct map *m, uint64_t key)
{
    struct map_entry want = by_u64(m, key, NULL);
    return take(m, &want);
}

struct map_entry *map_next(const struct map *m, size_t *cursor)
{
    while (*cursor < m->cap) {
        struct map_entry *e = &m->entries[(*cursor)++];
        if (e->value != NULL)
            return e;
    }
    return NULL;
}
