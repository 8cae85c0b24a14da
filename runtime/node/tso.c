#include "tso.h"

#include <stdlib.h>

#include "base/container.h"
#include "base/pb.h"

struct node_tso {
    struct node_calls *calls;
    struct node_method *counts;
    struct pd_tso *oracle;
    struct tso_op *pool;
    unsigned pooled;
};

struct tso_op {
    struct tso_op *next;
    struct node_tso *owner;
    struct node_call call;
    struct pd_tso_request request;
};

enum { POOL_MAX = 1024 };

static void op_end(struct tso_op *op)
{
    struct node_tso *t = op->owner;
    if (t->pooled >= POOL_MAX) {
        free(op);
        return;
    }
    op->next = t->pool;
    t->pool = op;
    t->pooled++;
}

static void stamped(struct pd_tso_request *q)
{
    struct tso_op *op = container_of(q, struct tso_op, request);
    if (q->rc != ERR_OK) {
        node_call_refuse(&op->call, q->rc, q->error.msg, 0, &q->hint);
    } else {
        struct buf reply = { 0 };
        node_put_status(&reply, 1, ERR_OK, (struct bytes){ 0 }, 0);
        pb_append_fixed64(&reply, 2, q->first);
        pb_append_u64(&reply, 3, q->count);
        node_call_reply(&op->call, ERR_OK, &reply);
        buf_free(&reply);
    }
    op_end(op);
}

static void handle(void *user, struct net_call *net)
{
    struct node_tso *t = user;
    struct tso_op *op = t->pool;
    if (op != NULL) {
        t->pool = op->next;
        t->pooled--;
    } else if ((op = calloc(1, sizeof *op)) == NULL) {
        abort(); /* small; limited by the requests in flight */
    }
    op->owner = t;
    node_call_begin(&op->call, t->calls, t->counts, net);
    struct bytes in = net_call_body(net);
    struct pb_field f;
    uint64_t count = 0;
    while (pb_next(&in, &f))
        if (f.number == 1 && f.type == PB_VARINT)
            count = f.value;
    if (in.len != 0) {
        node_call_fail(&op->call, ERR_INVALID_ARGUMENT, "the request is malformed", 0);
        op_end(op);
        return;
    }
    op->request.count = count > UINT32_MAX ? UINT32_MAX : (uint32_t)count;
    op->request.deadline = net_call_deadline(net);
    op->request.done = stamped;
    pd_tso_get(t->oracle, &op->request);
}

struct node_tso *node_tso_new(struct node_calls *calls, struct pd_tso *oracle)
{
    struct node_tso *t = calloc(1, sizeof *t);
    if (t == NULL)
        abort(); /* small and fixed */
    t->calls = calls;
    t->counts = node_calls_add(calls, "GetTso");
    t->oracle = oracle;
    return t;
}

void node_tso_free(struct node_tso *t)
{
    if (t == NULL)
        return;
    while (t->pool != NULL) {
        struct tso_op *op = t->pool;
        t->pool = op->next;
        free(op);
    }
    free(t);
}

struct net_handler node_tso_handler(struct node_tso *t)
{
    return (struct net_handler){ NET_GET_TSO, "GetTso", handle, t, false };
}
