/* What every handler needs: a status on the wire, and counts per method.
 *
 * A handler's work is an operation that embeds a node_call; answering it counts the request by
 * method and outcome, and its latency. */
#pragma once

#include "base/buf.h"
#include "base/histogram.h"
#include "env/env.h"
#include "net/rpc.h"
#include "region/region.h"

enum { NODE_METHODS_MAX = 24, NODE_CODES = 64 };

struct node_method {
    const char *name;              /* "RawPut" */
    uint64_t outcomes[NODE_CODES]; /* answers by code of Status */
    struct histogram latency_us;   /* from the handler's begin to its answer */
};
struct node_calls {
    struct env *env;
    struct node_method methods[NODE_METHODS_MAX];
    unsigned count;
    /* Where a store can be reached; NULL: not known. May be NULL itself. */
    const char *(*address_of)(void *self, uint64_t store);
    void *self;
};

struct node_call {
    struct node_calls *calls;
    struct node_method *method;
    struct net_call *net;
    uint64_t began;
};

/* Names a method for its handlers; the answer is valid as long as `calls`. */
struct node_method *node_calls_add(struct node_calls *calls, const char *name);
void node_call_begin(struct node_call *c, struct node_calls *calls, struct node_method *method,
                     struct net_call *net);
/* Answers with an encoded response whose status is `rc`; `body` is empty afterwards, its memory
 * taken over if large, else still the caller's to use again or to free. */
void node_call_reply(struct node_call *c, err_t rc, struct buf *body);
/* Answers with a Status alone. backoff_ms 0: none. */
void node_call_fail(struct node_call *c, err_t rc, const char *message, uint32_t backoff_ms);
void node_call_too_large(struct node_call *c, const char *message, const char *limit, uint64_t max,
                         uint64_t have);

/* Answers that another store leads: number and address ("127.0.0.1:7701") as far as they are known, else 0 and empty.
 * The client then asks there. */
void node_call_not_leader(struct node_call *c, uint64_t region_id, uint64_t store,
                          struct bytes address);
/* Answers with what a region has refused: NOT_LEADER with whom to ask instead, as far as it is known. */
void node_call_refuse(struct node_call *c, err_t rc, const char *message, uint32_t backoff_ms,
                      const struct region_hint *hint);

/* A Status as field `number`: {} for OK. */
void node_put_status(struct buf *b, uint32_t number, err_t rc, struct bytes message,
                     uint32_t backoff_ms);
