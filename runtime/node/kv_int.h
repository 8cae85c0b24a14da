/* What the files of the key-value handlers share. */
#pragma once

#include "kv.h"
#include "base/pb.h"

enum { KV_OPS_KEPT = 1024 }; /* in the pool; more are freed */

/* A method on the wire and what it is here. */
struct kv_method {
    struct kv *kv;
    struct node_method *counts;
    enum command_kind kind; /* of writes */
    bool cas;               /* reads: versioned keys */
};

/* One request from its handler to its answer. */
struct kv_op {
    struct kv_op *next; /* in the pool */
    const struct kv_method *method;
    struct node_call call;
    union {
        struct region_write write;
        struct region_read read;
        struct region_scan scan;
    };
    struct command command; /* of a request that is one write */
    struct bytes body;
    struct command *commands; /* of a batch: owned */
    struct bytes *bodies;
    struct buf value; /* reads; kept with the operation while small */
    struct buf reply;
    struct err error; /* of decoding */
};

struct kv {
    struct node_calls *calls;
    struct kv_backend backend;
    struct kv_config config;
    struct kv_method methods[KV_HANDLERS];
    struct net_handler handlers[KV_HANDLERS];
    struct kv_op *pool;
    unsigned pooled;
    uint64_t under_way;
};

struct kv_op *kv_op_begin(const struct kv_method *m, struct net_call *call);
/* Ends the operation after its answer. */
void kv_op_end(struct kv_op *op);
/* Answers with a Status alone (TOO_LARGE with its limit) and ends. */
void kv_op_fail(struct kv_op *op, err_t rc, const char *message, uint32_t backoff_ms);
/* The same for what the region has refused: NOT_LEADER says whom to ask. */
void kv_op_refuse(struct kv_op *op, err_t rc, const char *message, uint32_t backoff_ms,
                  const struct region_hint *hint);
/* Answers with what is in op->reply and ends. */
void kv_op_reply(struct kv_op *op, err_t rc);

/* ERR_NOT_FOUND names the namespace. */
MUST_USE err_t kv_check_namespace(struct kv *kv, uint32_t id, struct err *e);
/* Context: region_id 1, conf_ver 2, version 3, peer_id 4, hlc 5. */
MUST_USE err_t kv_context(struct bytes in, struct region_context *ret, struct err *e);
/* A result's Status as field `number`. */
void kv_put_result(struct buf *b, uint32_t number, const struct storage_result *result,
                   const struct command *command);

void kv_handle_write(void *user, struct net_call *call);
void kv_handle_get(void *user, struct net_call *call);
void kv_handle_scan(void *user, struct net_call *call);
void kv_handle_batch(void *user, struct net_call *call);
