/* The handlers of keys and values: a request's bytes become commands or reads, results become its
 * response.
 *
 *   net_call --body, in place--> struct command --> kv_backend (the region, or a test's fake)
 *                                                        | later
 *   net_call_reply <--response appended by hand-- results
 *
 * Bodies are borrowed from the connection's slab until the answer. Operations are pooled. */
#pragma once

#include "calls.h"
#include "net/rpc.h"
#include "region/region.h"

/* What the handlers need of a store. node.c fills it with the region; kv_test.c with a fake. Each
 * operation's `done` is called exactly once, at once or later, on the loop thread. */
struct kv_backend {
    void (*write)(void *self, struct region_write *w);
    /* What became of command `i`, inside `done` of a write that is OK. */
    const struct storage_result *(*result)(void *self, const struct region_write *w, uint32_t i);
    void (*get)(void *self, struct region_read *q);
    void (*scan)(void *self, struct region_scan *s);
    bool (*namespace_exists)(void *self, uint32_t id);
    void *self;
};
struct kv_config {
    uint32_t scan_rows_max;  /* of one answer; also where a request says 0 */
    uint32_t scan_bytes_max; /* of keys and values of one answer */
};

struct kv;
/* `calls` must outlive the answer. */
struct kv *kv_new(struct node_calls *calls, const struct kv_backend *backend,
                  const struct kv_config *config);
void kv_free(struct kv *kv); /* nothing is under way any more; NULL is welcome */

enum { KV_HANDLERS = 9 };
/* The handlers for a server; valid as long as `kv`. */
const struct net_handler *kv_handlers(const struct kv *kv);
/* Operations that are not answered yet. */
uint64_t kv_under_way(const struct kv *kv);
