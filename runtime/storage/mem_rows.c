/* One skip list a family, one chain of versions a key (mem_rows.h). */
#include "mem_rows.h"

#include <assert.h>
#include <stdlib.h>

enum { HEIGHT_MAX = 16 };

struct version {
    struct version *older;
    uint64_t n;
    bool deleted;
    size_t len;
    uint8_t data[];
};

struct node {
    struct version *newest;
    struct node *next_stale; /* valid while `stale` */
    enum engine_family family;
    bool stale; /* has something that prune may drop later */
    bool cold;
    unsigned height;
    size_t key_len;
    uint8_t *key; /* behind next[height] */
    struct node *next[];
};

struct mem_rows {
    struct node *heads[ENGINE_FAMILIES];
    struct node *stale;
    uint64_t height_state, bytes;
};

static struct bytes node_key(const struct node *node)
{
    return bytes_from(node->key, node->key_len);
}

static struct node *node_new(enum engine_family family, struct bytes key, unsigned height)
{
    struct node *node = malloc(sizeof *node + height * sizeof node->next[0] + key.len);
    if (node == NULL)
        return NULL;
    *node = (struct node){ .family = family, .height = height, .key_len = key.len };
    node->key = (uint8_t *)&node->next[height];
    memset(node->next, 0, height * sizeof node->next[0]);
    if (key.len > 0)
        memcpy(node->key, key.data, key.len);
    return node;
}

static void node_free(struct node *node)
{
    while (node->newest != NULL) {
        struct version *version = node->newest;
        node->newest = version->older;
        free(version);
    }
    free(node);
}

struct mem_rows *mem_rows_new(void)
{
    struct mem_rows *rows = calloc(1, sizeof *rows);
    if (rows == NULL)
        abort();
    rows->height_state = 0x9e3779b97f4a7c15u;
    for (unsigned family = 0; family < ENGINE_FAMILIES; family++) {
        rows->heads[family] = node_new((enum engine_family)family, (struct bytes){ 0 }, HEIGHT_MAX);
        if (rows->heads[family] == NULL)
            abort();
    }
    return rows;
}

void mem_rows_free(struct mem_rows *rows)
{
    if (rows == NULL)
        return;
    for (unsigned family = 0; family < ENGINE_FAMILIES; family++)
        while (rows->heads[family] != NULL) {
            struct node *node = rows->heads[family];
            rows->heads[family] = node->next[0];
            node_free(node);
        }
    free(rows);
}

/* The first node at or behind `key`; `before` (if any) gets its predecessor on each level. */
static struct node *find(const struct mem_rows *rows, enum engine_family family, struct bytes key,
                         struct node **before)
{
    struct node *at = rows->heads[family];
    for (unsigned level = HEIGHT_MAX; level-- > 0;) {
        while (at->next[level] != NULL && bytes_compare(node_key(at->next[level]), key) < 0)
            at = at->next[level];
        if (before != NULL)
            before[level] = at;
    }
    return at->next[0];
}

static unsigned draw_height(struct mem_rows *rows)
{
    uint64_t x = rows->height_state; /* xorshift: shape alone, so it needs no seed from outside */
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    rows->height_state = x;
    unsigned height = 1;
    while (height < HEIGHT_MAX && (x & 3) == 0) {
        x >>= 2;
        height++;
    }
    return height;
}

static const struct version *visible(const struct node *node, uint64_t as_of)
{
    const struct version *version = node->newest;
    while (version != NULL && version->n > as_of)
        version = version->older;
    return version != NULL && !version->deleted ? version : NULL;
}

static struct node *insert(struct mem_rows *rows, enum engine_family family, struct bytes key)
{
    struct node *before[HEIGHT_MAX];
    struct node *node = find(rows, family, key, before);
    if (node != NULL && bytes_equal(node_key(node), key))
        return node;
    node = node_new(family, key, draw_height(rows));
    if (node == NULL)
        return NULL;
    for (unsigned level = 0; level < node->height; level++) {
        node->next[level] = before[level]->next[level];
        before[level]->next[level] = node;
    }
    return node;
}

static void mark_stale(struct mem_rows *rows, struct node *node)
{
    if (node->stale)
        return;
    node->stale = true;
    node->next_stale = rows->stale;
    rows->stale = node;
}

err_t mem_rows_set(struct mem_rows *rows, enum engine_family family, struct bytes key,
                   const struct bytes *value, uint64_t n)
{
    size_t len = value != NULL ? value->len : 0;
    struct version *version = malloc(sizeof *version + len);
    struct node *node = version != NULL ? insert(rows, family, key) : NULL;
    if (node == NULL) {
        free(version);
        return ERR_NOMEM;
    }
    struct version *was = node->newest;
    assert(was == NULL || was->n <= n);
    if (was != NULL && !was->deleted)
        rows->bytes -= key.len + was->len;
    if (value != NULL)
        rows->bytes += key.len + len;
    *version = (struct version){ .older = was, .n = n, .deleted = value == NULL, .len = len };
    if (len > 0)
        memcpy(version->data, value->data, len);
    if (was != NULL && was->n == n) { /* the later one of a batch wins */
        version->older = was->older;
        free(was);
    }
    node->newest = version;
    node->cold = false;
    if (version->older != NULL || version->deleted)
        mark_stale(rows, node);
    return ERR_OK;
}

enum mem_rows_found mem_rows_get(struct mem_rows *rows, enum engine_family family, struct bytes key,
                                 uint64_t as_of, bool cached_only, struct bytes *value)
{
    struct node *node = find(rows, family, key, NULL);
    if (node == NULL || !bytes_equal(node_key(node), key))
        return MEM_ROWS_ABSENT;
    if (node->cold && cached_only)
        return MEM_ROWS_COLD;
    node->cold = false;
    const struct version *version = visible(node, as_of);
    if (version == NULL)
        return MEM_ROWS_ABSENT;
    *value = bytes_from(version->data, version->len);
    return MEM_ROWS_FOUND;
}

void mem_rows_cool(struct mem_rows *rows)
{
    for (unsigned family = 0; family < ENGINE_FAMILIES; family++)
        for (struct node *node = rows->heads[family]->next[0]; node != NULL; node = node->next[0])
            node->cold = true;
}

bool mem_rows_seek(const struct mem_rows *rows, enum engine_family family, struct bytes from,
                   bool behind, uint64_t as_of, struct bytes *key, struct bytes *value)
{
    const struct node *node = find(rows, family, from, NULL);
    if (behind && node != NULL && bytes_equal(node_key(node), from))
        node = node->next[0];
    const struct version *version = NULL;
    while (node != NULL && (version = visible(node, as_of)) == NULL)
        node = node->next[0];
    if (node == NULL)
        return false;
    *key = node_key(node);
    *value = bytes_from(version->data, version->len);
    return true;
}

static void unlink_node(struct mem_rows *rows, struct node *node)
{
    struct node *before[HEIGHT_MAX];
    struct node *found = find(rows, node->family, node_key(node), before);
    assert(found == node);
    for (unsigned level = 0; level < node->height; level++)
        before[level]->next[level] = node->next[level];
    node_free(node);
}

/* Keeps every version above `floor` and the value that is seen at it. */
static void prune_node(struct mem_rows *rows, struct node *node, uint64_t floor)
{
    struct version **at = &node->newest;
    while (*at != NULL && (*at)->n > floor)
        at = &(*at)->older;
    if (*at != NULL && !(*at)->deleted)
        at = &(*at)->older;
    while (*at != NULL) {
        struct version *version = *at;
        *at = version->older;
        free(version);
    }
    if (node->newest == NULL)
        unlink_node(rows, node);
    else if (node->newest->older != NULL || node->newest->deleted)
        mark_stale(rows, node);
}

void mem_rows_prune(struct mem_rows *rows, uint64_t floor)
{
    struct node *list = rows->stale;
    rows->stale = NULL;
    while (list != NULL) {
        struct node *node = list;
        list = node->next_stale;
        node->stale = false;
        prune_node(rows, node, floor);
    }
}

uint64_t mem_rows_bytes(const struct mem_rows *rows)
{
    return rows->bytes;
}
