/* Routes: rules, records, copies. */
#include "catalog/route.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/codec.h"
#include "base/map.h"
#include "catalog/error.h"

enum {
    CODEC_VERSION = 1,
    HEAD_SIZE = 1 + 8 + 8 + 1 + 8 + 8, /* up to the start key */
    MIDDLE_MAX = 1 + 8,                /* between the keys */
    KEY_SHOWN = 24,                    /* bytes of a key in a message */
};

_Static_assert(HEAD_SIZE + 1 == ROUTE_ENCODED_MIN, "no keys, no end");

/* ---- States ---- */

const char *route_state_name(enum route_state state)
{
    switch (state) {
    case ROUTE_ACTIVE:
        return "active";
    case ROUTE_WRITE_FENCED:
        return "write_fenced";
    case ROUTE_MIGRATING_SOURCE:
        return "migrating_source";
    case ROUTE_MIGRATING_TARGET:
        return "migrating_target";
    }
    return "unknown";
}

err_t route_state_admits(enum route_state state, bool write)
{
    switch (state) {
    case ROUTE_ACTIVE:
    case ROUTE_MIGRATING_SOURCE:
        return ERR_OK;
    case ROUTE_WRITE_FENCED:
        return write ? ERR_WRITE_FENCED : ERR_OK;
    case ROUTE_MIGRATING_TARGET:
        break;
    }
    return ERR_UNAVAILABLE; /* of a state that we do not know too */
}

/* ---- Ranges ---- */

bool route_contains(const struct route *r, struct bytes key)
{
    return bytes_compare(key, r->start) >= 0 &&
           (r->end_unbounded || bytes_compare(key, r->end) < 0);
}

static size_t key_text(struct bytes key, char *out, size_t len)
{
    size_t used = 0, shown = key.len < KEY_SHOWN ? key.len : KEY_SHOWN;
    out[used++] = '"';
    for (size_t i = 0; i < shown && used + 5 < len; i++) {
        uint8_t c = key.data[i];
        bool plain = c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
        used += (size_t)snprintf(out + used, len - used, plain ? "%c" : "\\x%02x", c);
    }
    used += (size_t)snprintf(out + used, len - used, shown < key.len ? "\"..." : "\"");
    return used;
}

const char *route_text(const struct route *r, char *out, size_t len)
{
    char start[5 * KEY_SHOWN + 8], end[5 * KEY_SHOWN + 8];
    key_text(r->start, start, sizeof start);
    key_text(r->end, end, sizeof end);
    snprintf(out, len, "route %" PRIu64 " [%s, %s)", r->id, start,
             r->end_unbounded ? "end of keys" : end);
    return out;
}

/* ---- Rules ---- */

err_t route_check(const struct route *r, struct err *e)
{
    char text[ROUTE_TEXT_MAX];
    if (r->id == 0)
        return catalog_error(e, ERR_CATALOG_ROUTE_ID_REQUIRED, "%s",
                             route_text(r, text, sizeof text));
    if (r->group_id == 0)
        return catalog_error(e, ERR_CATALOG_GROUP_ID_REQUIRED, "%s",
                             route_text(r, text, sizeof text));
    if ((unsigned)r->state > ROUTE_MIGRATING_TARGET)
        return catalog_error(e, ERR_CATALOG_INVALID_ROUTE_STATE, "%s has state %u",
                             route_text(r, text, sizeof text), (unsigned)r->state);
    if (r->end_unbounded ? r->end.len > 0 : bytes_compare(r->start, r->end) >= 0)
        return catalog_error(e, ERR_CATALOG_INVALID_ROUTE_RANGE, "%s",
                             route_text(r, text, sizeof text));
    return ERR_OK;
}

err_t route_check_order(const struct route *routes, size_t count, struct err *e)
{
    for (size_t i = 1; i < count; i++) {
        const struct route *a = &routes[i - 1], *b = &routes[i];
        int starts = bytes_compare(a->start, b->start);
        assert(starts <= 0); /* sorted by us */
        err_t rc = ERR_OK;
        if (starts == 0 || a->end_unbounded)
            rc = ERR_ENGINE_SNAPSHOT_ROUTE_ORDER;
        else if (bytes_compare(a->end, b->start) > 0)
            rc = ERR_ENGINE_SNAPSHOT_ROUTE_OVERLAP;
        if (rc == ERR_OK)
            continue;
        char first[ROUTE_TEXT_MAX], second[ROUTE_TEXT_MAX];
        return catalog_error(e, rc, "%s and %s", route_text(a, first, sizeof first),
                             route_text(b, second, sizeof second));
    }
    return ERR_OK;
}

err_t route_check_each(const struct route *routes, size_t count, err_t duplicate, struct err *e)
{
    struct map seen;
    map_init(&seen, count);
    err_t rc = ERR_OK;
    for (size_t i = 0; i < count && rc == ERR_OK; i++) {
        void *before = NULL;
        rc = route_check(&routes[i], e);
        if (rc != ERR_OK)
            break;
        rc = map_put_u64(&seen, routes[i].id, &seen, &before);
        if (rc == ERR_OK && before != NULL)
            rc = catalog_error(e, duplicate, "id %" PRIu64, routes[i].id);
    }
    map_free(&seen);
    return rc;
}

int route_compare(const struct route *a, const struct route *b)
{
    int order = bytes_compare(a->start, b->start);
    if (order != 0)
        return order;
    if (a->end_unbounded != b->end_unbounded)
        return a->end_unbounded ? 1 : -1;
    order = a->end_unbounded ? 0 : bytes_compare(a->end, b->end);
    return order != 0 ? order : (a->id > b->id) - (a->id < b->id);
}

err_t route_next_id_floor(const struct route *routes, size_t count, uint64_t *ret, struct err *e)
{
    uint64_t most = 0;
    for (size_t i = 0; i < count; i++)
        most = routes[i].id > most ? routes[i].id : most;
    if (most == UINT64_MAX)
        return catalog_error(e, ERR_CATALOG_ROUTE_ID_OVERFLOW, "id %" PRIu64 " is the last one",
                             most);
    *ret = most + 1;
    return ERR_OK;
}

/* ---- Records ---- */

size_t route_encoded_size(const struct route *r)
{
    return HEAD_SIZE + r->start.len + 1 + (r->end_unbounded ? 0 : 8 + r->end.len);
}

static uint8_t *put_head(const struct route *r, uint8_t *at)
{
    put_u8(&at, CODEC_VERSION);
    put_u64_be(&at, r->id);
    put_u64_be(&at, r->group_id);
    put_u8(&at, (uint8_t)r->state);
    put_u64_be(&at, r->parent_id);
    put_u64_be(&at, r->start.len);
    return at;
}

/* What stands between the start key and the end key. */
static uint8_t *put_middle(const struct route *r, uint8_t *at)
{
    put_u8(&at, !r->end_unbounded);
    if (!r->end_unbounded)
        put_u64_be(&at, r->end.len);
    return at;
}

uint8_t *route_put(const struct route *r, uint8_t *at)
{
    at = put_head(r, at);
    put_bytes(&at, r->start);
    at = put_middle(r, at);
    put_bytes(&at, r->end);
    return at;
}

struct digest route_digest(const struct route *r)
{
    uint8_t head[HEAD_SIZE], middle[MIDDLE_MAX];
    struct digest_state s;
    digest_begin(&s);
    digest_add(&s, bytes_from(head, (size_t)(put_head(r, head) - head)));
    digest_add(&s, r->start);
    digest_add(&s, bytes_from(middle, (size_t)(put_middle(r, middle) - middle)));
    digest_add(&s, r->end);
    return digest_end(&s);
}

err_t route_encode(const struct route *r, struct buf *out, struct err *e)
{
    err_t rc = route_check(r, e);
    if (rc != ERR_OK)
        return rc;
    size_t size = route_encoded_size(r);
    uint8_t *at = buf_reserve(out, size);
    if (at == NULL)
        return err_set(e, ERR_NOMEM, "no memory for a route's record");
    route_put(r, at);
    out->len += size;
    return ERR_OK;
}

/* A length and that many bytes. */
static bool take_key(struct bytes *in, struct bytes *ret)
{
    uint64_t len;
    return take_u64_be(in, &len) && len <= in->len && take_bytes(in, (size_t)len, ret);
}

static bool take_route(struct bytes *in, struct route *r)
{
    uint8_t codec, state, has_end;
    if (!take_u8(in, &codec) || codec != CODEC_VERSION || !take_u64_be(in, &r->id) ||
        !take_u64_be(in, &r->group_id) || !take_u8(in, &state) || !take_u64_be(in, &r->parent_id) ||
        !take_key(in, &r->start) || !take_u8(in, &has_end) || has_end > 1)
        return false;
    r->state = (enum route_state)state;
    r->end_unbounded = !has_end;
    return r->end_unbounded || take_key(in, &r->end);
}

err_t route_decode(struct bytes in, struct route *ret, struct err *e)
{
    struct route r = { 0 };
    size_t len = in.len;
    if (!take_route(&in, &r) || in.len > 0)
        return catalog_error(e, ERR_CATALOG_INVALID_ROUTE_RECORD,
                             "%zu bytes, wrong at or behind %zu", len, len - in.len);
    err_t rc = route_check(&r, e);
    if (rc == ERR_OK)
        *ret = r;
    return rc;
}

/* ---- Copies ---- */

err_t route_clone_bytes(struct bytes in, struct bytes *ret)
{
    if (in.data == NULL) {
        *ret = (struct bytes){ 0 };
        return ERR_OK;
    }
    uint8_t *data = malloc(in.len > 0 ? in.len : 1);
    if (data == NULL)
        return ERR_NOMEM;
    if (in.len > 0)
        memcpy(data, in.data, in.len);
    *ret = bytes_from(data, in.len);
    return ERR_OK;
}

static void bytes_free(struct bytes *b)
{
    free((void *)(uintptr_t)b->data);
    *b = (struct bytes){ 0 };
}

err_t route_clone(const struct route *r, struct route *ret)
{
    struct route copy = *r;
    err_t rc = route_clone_bytes(r->start, &copy.start);
    if (rc != ERR_OK)
        return rc;
    rc = route_clone_bytes(r->end, &copy.end);
    if (rc != ERR_OK) {
        bytes_free(&copy.start);
        return rc;
    }
    *ret = copy;
    return ERR_OK;
}

void route_free(struct route *r)
{
    if (r == NULL)
        return;
    bytes_free(&r->start);
    bytes_free(&r->end);
    *r = (struct route){ 0 };
}

/* ---- Lists ---- */

static err_t list_grow(struct route_list *list)
{
    if (list->count < list->cap)
        return ERR_OK;
    size_t cap = list->cap == 0 ? 16 : 2 * list->cap;
    struct route *items = realloc(list->items, cap * sizeof *items);
    if (items == NULL)
        return ERR_NOMEM;
    if (list->cap == 0)
        arena_init(&list->keys, SIZE_MAX, NULL, 0);
    list->items = items;
    list->cap = cap;
    return ERR_OK;
}

err_t route_list_add(struct route_list *list, const struct route *r)
{
    if (list_grow(list) != ERR_OK)
        return ERR_NOMEM;
    uint8_t *keys = arena_alloc(&list->keys, r->start.len + r->end.len);
    if (keys == NULL)
        return ERR_NOMEM;
    struct route *copy = &list->items[list->count++];
    *copy = *r;
    copy->start = bytes_from(keys, r->start.len);
    copy->end = bytes_from(keys + r->start.len, r->end.len);
    put_bytes(&keys, r->start);
    put_bytes(&keys, r->end);
    return ERR_OK;
}

err_t route_list_copy(const struct route *routes, size_t count, struct route_list *ret)
{
    struct route_list list = { 0 };
    for (size_t i = 0; i < count; i++) {
        if (route_list_add(&list, &routes[i]) != ERR_OK) {
            route_list_free(&list);
            return ERR_NOMEM;
        }
    }
    *ret = list;
    return ERR_OK;
}

static int by_place(const void *a, const void *b)
{
    return route_compare(a, b);
}

void route_list_sort(struct route_list *list)
{
    size_t i = 1;
    while (i < list->count && route_compare(&list->items[i - 1], &list->items[i]) <= 0)
        i++;
    if (i < list->count) /* most lists come sorted */
        qsort(list->items, list->count, sizeof list->items[0], by_place);
}

void route_list_free(struct route_list *list)
{
    if (list == NULL)
        return;
    free(list->items);
    arena_free(&list->keys);
    *list = (struct route_list){ 0 };
}
