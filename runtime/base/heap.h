/* An intrusive binary min-heap of deadlines: the nodes live in their owners (timers of env.h,
 * time-outs).
 *
 * Order: the earlier `due` first; of equal ones, the one that was pushed first. Every node knows
 * its place, so that removing one from the middle costs as little as popping. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct heap_node {
    uint64_t due; /* set by the owner before the push; unchanged while it is in the heap */
    uint64_t seq; /* the heap's */
    size_t slot;  /* the heap's: 1 + place; 0: in no heap */
};

struct heap {
    struct heap_node **nodes;
    size_t count, cap;
    uint64_t seq;
}; /* {0} is empty */

/* Adds a node that is in no heap. On ERR_NOMEM nothing has changed; never that after
 * heap_reserve(). */
MUST_USE err_t heap_push(struct heap *h, struct heap_node *node);
/* Makes room for `count` nodes in all. */
MUST_USE err_t heap_reserve(struct heap *h, size_t count);
/* The node that is due first, NULL if there is none. It stays. */
static inline struct heap_node *heap_top(const struct heap *h)
{
    return h->count == 0 ? NULL : h->nodes[0];
}
/* Takes out and answers the node that is due first, NULL if there is none. */
struct heap_node *heap_pop(struct heap *h);
/* Takes `node` out, if it is in (it must be in this heap, or in none). */
void heap_remove(struct heap *h, struct heap_node *node);
static inline bool heap_linked(const struct heap_node *node)
{
    return node->slot != 0;
}
/* Frees the heap's own memory and resets to {0}. Nodes that were in it are no longer (slot 0). */
void heap_free(struct heap *h);
