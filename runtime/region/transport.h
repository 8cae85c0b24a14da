/* The door to other stores: batches of messages go out through it, and come in by region_store_receive(). Filled by
 * the node with net/peers.h, by tests with a wire of their own. */
#pragma once

#include "base/buf.h"

struct region_transport {
    /* Sends a batch to a store, in order behind earlier ones. The body is taken over. What cannot be sent is
     * dropped, and region_store_unreachable() tells of it, in a later turn. */
    void (*send)(void *user, uint64_t store, struct buf *body);
    void *user;
};
