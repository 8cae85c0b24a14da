/* Hash maps from byte keys, or from u64 keys, to pointers; open addressing over XXH3 with a seed
 * per map.
 *
 * The map owns its table alone. A byte key is borrowed and must stay as it is while its entry is
 * in: usually it lies in the very object that the value points to. Values are never NULL, so
 * NULL says "not there". One map holds keys of one kind.
 *
 * A seed that the other side cannot know keeps it from choosing keys that collide. Walking order
 * depends on seed and history alone, so the simulator sees the same one twice; nothing that
 * leaves the process may depend on it. */
#pragma once

#include "base/buf.h"

struct map_entry {
    uint64_t hash;    /* of a u64 key too */
    struct bytes key; /* u64 keys: data is NULL, `id` is the key */
    uint64_t id;
    void *value; /* NULL: a free place */
};

struct map {
    struct map_entry *entries; /* cap of them, a power of two; NULL while cap is 0 */
    size_t count, cap;
    uint64_t seed;
};

/* An empty map that has allocated nothing. */
void map_init(struct map *m, uint64_t seed);
/* Frees the table, not the values; the map is empty and may be used again. */
void map_free(struct map *m);

/* Takes out everything, keeps the table. */
void map_clear(struct map *m);

/* The value at `key`, NULL if there is none. */
void *map_get(const struct map *m, struct bytes key);
void *map_get_u64(const struct map *m, uint64_t key);
/* Puts `value` at `key` and answers the one that it replaces through `old` (NULL: none; `old`
 * may be NULL). With a replaced value the entry's key is borrowed anew from `key`. On ERR_NOMEM
 * nothing has changed. */
MUST_USE err_t map_put(struct map *m, struct bytes key, void *value, void **old);
MUST_USE err_t map_put_u64(struct map *m, uint64_t key, void *value, void **old);
/* Takes the entry out and answers its value, NULL if there is none. */
void *map_remove(struct map *m, struct bytes key);
void *map_remove_u64(struct map *m, uint64_t key);

/* The first entry at or after place `*cursor` (begin with 0), which moves behind it; NULL at the
 * end. */
struct map_entry *map_next(const struct map *m, size_t *cursor);
/* The body must not put or remove. */
#define map_for_each(entry, m)                                                                     \
    for (size_t entry##_cursor = 0, entry##_once = 1; entry##_once; entry##_once = 0)              \
        for (struct map_entry * entry; (entry = map_next((m), &entry##_cursor)) != NULL;)
