/* Namespaces: looked up, listed, created; for the wire and for the scripts' door alike.
 *
 * They are rows of the system region: its leader answers, after it has proved that it leads, and others say who that
 * is. A namespace's id is the next free one at the moment of its proposal, so creations go one after
 * the other: the next is proposed when the one before is applied. */
#pragma once

#include "calls.h"
#include "region/region.h"

struct node_namespaces;

struct node_namespaces *node_namespaces_new(struct node_calls *calls, struct region_store *regions,
                                            struct storage *store);
void node_namespaces_free(struct node_namespaces *n); /* nothing is under way; NULL is welcome */

enum { NODE_NAMESPACE_HANDLERS = 3 };
const struct net_handler *node_namespaces_handlers(const struct node_namespaces *n);

/* Embedded in its caller until `done`, which is called once, perhaps at once. */
struct node_namespace_create {
    struct bytes name, mode; /* borrowed until `done`; an empty mode is "strong" */
    uint64_t deadline;
    void (*done)(struct node_namespace_create *c);
    err_t rc; /* OK; ALREADY_EXISTS, INVALID_ARGUMENT, UNIMPLEMENTED, and those of writes */
    struct region_hint hint; /* with NOT_LEADER */
    struct storage_namespace created;
    uint32_t backoff_ms;
    struct err error;
    struct list node;
};
void node_namespaces_create(struct node_namespaces *n, struct node_namespace_create *c);
