/* Texts by number: equal bytes are one number, so that the search compares and hashes words.
 *
 *   "k1" -> 1   "v-17" -> 2   ...       numbers begin at 1 and are never taken back; 0 is no text
 *
 * All memory of this layer is the caller's history or grows with the work on it: it aborts where none is left, for
 * a checker without memory has no verdict to give. */
#pragma once

#include <stdlib.h>

#include "base/map.h"

struct texts {
    struct map map;
    struct text **items; /* items[number - 1] */
    uint32_t count, cap;
};

void texts_init(struct texts *t);
void texts_free(struct texts *t);
/* The number of these bytes, which are copied if they are new. */
uint32_t texts_add(struct texts *t, struct bytes text);
/* The same, 0 if they are not there. */
uint32_t texts_find(const struct texts *t, struct bytes text);
/* Valid as long as `t`. */
struct bytes texts_get(const struct texts *t, uint32_t number);

/* Memory, or the end. */
static inline void *texts_must(void *memory)
{
    if (memory == NULL)
        abort();
    return memory;
}

/* `count` zeroed objects, at least one. */
static inline void *texts_zeroed(size_t count, size_t size)
{
    return texts_must(calloc(count > 0 ? count : 1, size));
}
