#include "texts.h"

#include <assert.h>

struct text {
    size_t len;
    uint32_t number;
    uint8_t data[];
};

enum { SEED = 1 }; /* nothing that anybody sees depends on it */

void texts_init(struct texts *t)
{
    *t = (struct texts){ 0 };
    map_init(&t->map, SEED);
}

void texts_free(struct texts *t)
{
    for (uint32_t i = 0; i < t->count; i++)
        free(t->items[i]);
    free(t->items);
    map_free(&t->map);
    texts_init(t);
}

uint32_t texts_find(const struct texts *t, struct bytes text)
{
    const struct text *found = map_get(&t->map, text);
    return found != NULL ? found->number : 0;
}

static struct text *text_new(struct bytes from, uint32_t number)
{
    struct text *text = texts_must(malloc(sizeof *text + from.len));
    text->len = from.len;
    text->number = number;
    if (from.len > 0)
        memcpy(text->data, from.data, from.len);
    return text;
}

uint32_t texts_add(struct texts *t, struct bytes text)
{
    uint32_t number = texts_find(t, text);
    if (number != 0)
        return number;
    if (t->count == t->cap) {
        t->cap = t->cap == 0 ? 64 : 2 * t->cap;
        t->items = texts_must(realloc(t->items, t->cap * sizeof(struct text *)));
    }
    struct text *own = text_new(text, t->count + 1);
    if (map_put(&t->map, bytes_from(own->data, own->len), own, NULL) != ERR_OK)
        abort();
    t->items[t->count++] = own;
    return own->number;
}

struct bytes texts_get(const struct texts *t, uint32_t number)
{
    assert(number > 0 && number <= t->count);
    const struct text *text = t->items[number - 1];
    return bytes_from(text->data, text->len);
}
