/* Coarse deadlines for many things that hardly ever expire: one timer for all, nothing to do while all is well.
 *
 *   slot   0    1    2    3   ...  127        a node waits in the slot of its deadline; one slot a tick is visited
 *          |         |                        beyond the last slot it waits there, and is put again when visited
 *          n - n     n
 *
 * A visit is a question, not a verdict: the owner looks at its real deadline, which activity has moved without
 * telling the wheel, and puts the node again or acts. */
#pragma once

#include <stdint.h>

#include "base/list.h"

enum { NET_WHEEL_SLOTS = 128 };

struct net_wheel {
    uint64_t tick_ns, at; /* `at`: the tick that was visited last */
    struct list slots[NET_WHEEL_SLOTS];
};

void net_wheel_init(struct net_wheel *w, uint64_t tick_ns, uint64_t now);
/* Puts or moves `node`: visited at the first tick not before `due` (clock of `now`), or at the wheel's horizon. */
void net_wheel_put(struct net_wheel *w, struct list *node, uint64_t due);
/* Calls `visit` for every node whose slot has passed; it is out of the wheel then. */
void net_wheel_advance(struct net_wheel *w, uint64_t now,
                       void (*visit)(void *user, struct list *node), void *user);
