/* A binary heap in an array: the children of place i are 2i + 1 and 2i + 2, and no child is
 * before its parent. */
#include "base/heap.h"

#include <assert.h>
#include <stdlib.h>

static bool before(const struct heap_node *a, const struct heap_node *b)
{
    return a->due != b->due ? a->due < b->due : a->seq < b->seq;
}

static void place(struct heap *h, size_t i, struct heap_node *node)
{
    h->nodes[i] = node;
    node->slot = i + 1;
}

static void rise(struct heap *h, size_t i, struct heap_node *node)
{
    while (i > 0 && before(node, h->nodes[(i - 1) / 2])) {
        place(h, i, h->nodes[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    place(h, i, node);
}

static void sink(struct heap *h, size_t i, struct heap_node *node)
{
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= h->count)
            break;
        if (child + 1 < h->count && before(h->nodes[child + 1], h->nodes[child]))
            child++;
        if (!before(h->nodes[child], node))
            break;
        place(h, i, h->nodes[child]);
        i = child;
    }
    place(h, i, node);
}

err_t heap_reserve(struct heap *h, size_t count)
{
    if (count <= h->cap)
        return ERR_OK;
    size_t cap = h->cap < 8 ? 8 : 2 * h->cap;
    if (cap < count)
        cap = count;
    struct heap_node **nodes = realloc(h->nodes, cap * sizeof *nodes);
    if (nodes == NULL)
        return ERR_NOMEM;
    h->nodes = nodes;
    h->cap = cap;
    return ERR_OK;
}

err_t heap_push(struct heap *h, struct heap_node *node)
{
    assert(node->slot == 0);
    if (heap_reserve(h, h->count + 1) != ERR_OK)
        return ERR_NOMEM;
    node->seq = h->seq++;
    rise(h, h->count++, node);
    return ERR_OK;
}

struct heap_node *heap_pop(struct heap *h)
{
    struct heap_node *top = heap_top(h);
    if (top != NULL)
        heap_remove(h, top);
    return top;
}

void heap_remove(struct heap *h, struct heap_node *node)
{
    if (node->slot == 0)
        return;
    size_t i = node->slot - 1;
    assert(i < h->count && h->nodes[i] == node);
    node->slot = 0;
    struct heap_node *last = h->nodes[--h->count];
    if (last == node)
        return;
    if (i > 0 && before(last, h->nodes[(i - 1) / 2]))
        rise(h, i, last);
    else
        sink(h, i, last);
}

void heap_free(struct heap *h)
{
    for (size_t i = 0; i < h->count; i++)
        h->nodes[i]->slot = 0;
    free(h->nodes);
    *h = (struct heap){ 0 };
}
