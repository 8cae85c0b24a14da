/* The timer wheel of wheel.h. A node is in one slot at most, and no slot is visited before its tick has passed. */
#include "wheel.h"

void net_wheel_init(struct net_wheel *w, uint64_t tick_ns, uint64_t now)
{
    w->tick_ns = tick_ns;
    w->at = now / tick_ns;
    for (unsigned i = 0; i < NET_WHEEL_SLOTS; i++)
        list_init(&w->slots[i]);
}

void net_wheel_put(struct net_wheel *w, struct list *node, uint64_t due)
{
    uint64_t tick = due / w->tick_ns + 1; /* rounded up: never early */
    if (tick <= w->at)
        tick = w->at + 1;
    if (tick >= w->at + NET_WHEEL_SLOTS)
        tick = w->at + NET_WHEEL_SLOTS - 1;
    list_remove(node);
    list_push_back(&w->slots[tick % NET_WHEEL_SLOTS], node);
}

void net_wheel_advance(struct net_wheel *w, uint64_t now,
                       void (*visit)(void *user, struct list *node), void *user)
{
    uint64_t to = now / w->tick_ns;
    struct list due;
    list_init(&due);
    for (unsigned n = 0; w->at < to && n < NET_WHEEL_SLOTS;
         n++) /* after a long sleep: every slot once */
        list_splice(&due, &w->slots[++w->at % NET_WHEEL_SLOTS]);
    w->at = to;
    struct list *node;
    while ((node = list_pop_front(&due)) != NULL)
        visit(user, node);
}
