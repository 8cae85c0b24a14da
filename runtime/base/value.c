/* Value trees: building, reading, freeing. JSON is in value_json.c. */
#include "base/value.h"

#include <assert.h>
#include <stdlib.h>

#include "base/units.h"

static void reset(struct value *v)
{
    if (v->kind == VALUE_BYTES)
        buf_free(&v->bytes);
    if (v->kind == VALUE_LIST || v->kind == VALUE_MAP) {
        for (size_t i = 0; i < v->count; i++) {
            reset(&v->items[i]);
            if (v->keys != NULL)
                buf_free(&v->keys[i]);
        }
        free(v->items);
        free(v->keys);
    }
    *v = (struct value){ .kind = VALUE_NIL };
}

static void *grown(void *array, size_t cap, size_t size)
{
    void *wider = realloc(array, cap * size);
    if (wider == NULL)
        abort();
    return wider;
}

static struct value *add(struct value *v)
{
    if (v->count == v->cap) {
        v->cap = v->cap == 0 ? 4 : v->cap * 2;
        v->items = grown(v->items, v->cap, sizeof *v->items);
        if (v->kind == VALUE_MAP)
            v->keys = grown(v->keys, v->cap, sizeof *v->keys);
    }
    v->items[v->count] = (struct value){ .kind = VALUE_NIL };
    return &v->items[v->count++];
}

static size_t find(const struct value *map, struct bytes key)
{
    size_t i = 0;
    while (i < map->count && !bytes_equal(buf_bytes(&map->keys[i]), key))
        i++;
    return i;
}

struct value *value_new(enum value_kind kind)
{
    struct value *v = calloc(1, sizeof *v);
    if (v == NULL)
        abort();
    v->kind = kind;
    return v;
}

void value_free(struct value *v)
{
    if (v == NULL)
        return;
    reset(v);
    free(v);
}

struct value *value_add(struct value *list)
{
    assert(list->kind == VALUE_LIST);
    return add(list);
}

struct value *value_set(struct value *map, const char *key)
{
    return value_set_bytes(map, BYTES(key));
}

struct value *value_set_bytes(struct value *map, struct bytes key)
{
    assert(map->kind == VALUE_MAP);
    size_t i = find(map, key);
    if (i < map->count) {
        reset(&map->items[i]);
        return &map->items[i];
    }
    struct value *v = add(map);
    map->keys[i] = (struct buf){ 0 };
    if (buf_append(&map->keys[i], key) != ERR_OK)
        abort();
    return v;
}

void value_put_nil(struct value *v)
{
    reset(v);
}

void value_put_bool(struct value *v, bool x)
{
    reset(v);
    v->kind = VALUE_BOOL;
    v->boolean = x;
}

void value_put_number(struct value *v, double x)
{
    reset(v);
    v->kind = VALUE_NUMBER;
    v->number = x;
}

void value_put_u64(struct value *v, uint64_t x)
{
    reset(v);
    v->kind = VALUE_U64;
    v->u64 = x;
}

void value_put_bytes(struct value *v, struct bytes x)
{
    struct buf copy = { 0 }; /* before the reset: `x` may lie in `v` */
    if (buf_append(&copy, x) != ERR_OK)
        abort();
    reset(v);
    v->kind = VALUE_BYTES;
    v->bytes = copy;
}

void value_put_text(struct value *v, const char *x)
{
    value_put_bytes(v, BYTES(x));
}

void value_put_list(struct value *v)
{
    reset(v);
    v->kind = VALUE_LIST;
}

void value_put_map(struct value *v)
{
    reset(v);
    v->kind = VALUE_MAP;
}

void value_put_copy(struct value *v, const struct value *from)
{
    struct value copy = { .kind = VALUE_NIL };
    switch (from->kind) {
    case VALUE_BYTES:
        value_put_bytes(&copy, buf_bytes(&from->bytes));
        break;
    case VALUE_LIST:
    case VALUE_MAP:
        copy.kind = from->kind;
        for (size_t i = 0; i < from->count; i++) {
            struct value *to = from->kind == VALUE_LIST
                                   ? add(&copy)
                                   : value_set_bytes(&copy, buf_bytes(&from->keys[i]));
            value_put_copy(to, &from->items[i]);
        }
        break;
    default:
        copy = *from;
    }
    reset(v);
    *v = copy;
}

const struct value *value_get(const struct value *map, const char *key)
{
    if (map == NULL || map->kind != VALUE_MAP)
        return NULL;
    size_t i = find(map, BYTES(key));
    return i < map->count ? &map->items[i] : NULL;
}

struct bytes value_get_bytes(const struct value *map, const char *key, struct bytes otherwise)
{
    const struct value *v = value_get(map, key);
    return v != NULL && v->kind == VALUE_BYTES ? buf_bytes(&v->bytes) : otherwise;
}

double value_get_number(const struct value *map, const char *key, double otherwise)
{
    const struct value *v = value_get(map, key);
    return v != NULL && v->kind == VALUE_NUMBER ? v->number : otherwise;
}

uint64_t value_get_u64(const struct value *map, const char *key, uint64_t otherwise)
{
    const struct value *v = value_get(map, key);
    uint64_t x;
    if (v == NULL)
        return otherwise;
    if (v->kind == VALUE_U64)
        return v->u64;
    if (v->kind == VALUE_BYTES && units_decimal(buf_bytes(&v->bytes), &x))
        return x;
    bool whole = v->kind == VALUE_NUMBER && v->number >= 0 && v->number <= 9007199254740992.0 &&
                 v->number == (double)(uint64_t)v->number;
    return whole ? (uint64_t)v->number : otherwise;
}

bool value_get_bool(const struct value *map, const char *key, bool otherwise)
{
    const struct value *v = value_get(map, key);
    return v != NULL && v->kind == VALUE_BOOL ? v->boolean : otherwise;
}

bool value_equal(const struct value *a, const struct value *b)
{
    if (a->kind != b->kind)
        return false;
    switch (a->kind) {
    case VALUE_NIL:
        return true;
    case VALUE_BOOL:
        return a->boolean == b->boolean;
    case VALUE_NUMBER:
        return a->number == b->number;
    case VALUE_U64:
        return a->u64 == b->u64;
    case VALUE_BYTES:
        return bytes_equal(buf_bytes(&a->bytes), buf_bytes(&b->bytes));
    case VALUE_LIST:
    case VALUE_MAP:
        break;
    }
    bool same = a->count == b->count;
    for (size_t i = 0; same && i < a->count; i++)
        same = (a->keys == NULL || bytes_equal(buf_bytes(&a->keys[i]), buf_bytes(&b->keys[i]))) &&
               value_equal(&a->items[i], &b->items[i]);
    return same;
}
