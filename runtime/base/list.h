/* Intrusive doubly linked lists: the nodes live in their owners, nothing is allocated.
 *
 *   head <-> node <-> node <-> head        an empty list is a head that points to itself
 *
 * A FIFO is list_push_back() and list_pop_front(). A node that is in no list points to itself
 * too (list_init), so list_remove() of it is harmless and list_linked() answers. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/container.h"

struct list {
    struct list *next, *prev;
};

static inline void list_init(struct list *l)
{
    l->next = l->prev = l;
}

static inline bool list_empty(const struct list *head)
{
    return head->next == head;
}

/* True while `node` is in a list. */
static inline bool list_linked(const struct list *node)
{
    return node->next != node;
}

/* Puts `node`, which is in no list, before `at`: at the head itself this is the end of the list. */
static inline void list_push_back(struct list *at, struct list *node)
{
    node->next = at;
    node->prev = at->prev;
    at->prev->next = node;
    at->prev = node;
}

static inline void list_push_front(struct list *at, struct list *node)
{
    list_push_back(at->next, node);
}

/* Takes `node` out of its list, if it is in one. */
static inline void list_remove(struct list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}

/* Takes out and answers the first node, NULL if the list is empty. */
static inline struct list *list_pop_front(struct list *head)
{
    if (list_empty(head))
        return NULL;
    struct list *first = head->next;
    list_remove(first);
    return first;
}

/* Moves all of `from` to the end of `to`; `from` becomes empty. */
static inline void list_splice(struct list *to, struct list *from)
{
    if (list_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}

#define list_for_each(node, head)                                                                  \
    for (struct list *node = (head)->next; node != (head); node = node->next)

/* The body may remove `node` (and no other). */
#define list_for_each_safe(node, head)                                                             \
    for (struct list *node = (head)->next, *node##_next = node->next; node != (head);              \
         node = node##_next, node##_next = node->next)
