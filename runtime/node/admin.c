#include "admin.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/pb.h"

struct node_admin {
    struct node_calls *calls;
    struct node_method *counts;
    struct script_host *host;
    unsigned under_way;
};

struct admin_op {
    struct node_admin *owner;
    struct node_call call;
    char who[128];
};

enum { UNDER_WAY_MAX = 64, VERB_MAX = 64, ARGUMENTS_MAX = 1 << 20 };

static void verb_done(void *user, err_t rc, struct bytes result)
{
    struct admin_op *op = user;
    struct buf reply = { 0 };
    if (rc == ERR_SCRIPT) /* the verb's own error: about its arguments, most likely */
        rc = ERR_INVALID_ARGUMENT;
    node_put_status(&reply, 1, rc, rc != ERR_OK ? result : (struct bytes){ 0 }, 0);
    if (rc == ERR_OK)
        pb_append_bytes(&reply, 2, result);
    node_call_reply(&op->call, rc, &reply);
    buf_free(&reply);
    op->owner->under_way--;
    free(op);
}

static void handle(void *user, struct net_call *net)
{
    struct node_admin *a = user;
    struct node_call call;
    struct bytes in = net_call_body(net), verb = { 0 }, arguments = BYTES("{}");
    struct pb_field f;
    node_call_begin(&call, a->calls, a->counts, net);
    while (pb_next(&in, &f)) {
        if (f.type == PB_BYTES && f.number == 1)
            verb = f.bytes;
        if (f.type == PB_BYTES && f.number == 2 && f.bytes.len > 0)
            arguments = f.bytes;
    }
    if (in.len != 0 || verb.len == 0 || verb.len > VERB_MAX || arguments.len > ARGUMENTS_MAX) {
        node_call_fail(&call, ERR_INVALID_ARGUMENT,
                       "an admin request is a verb of at most 64 bytes and a JSON object of at "
                       "most 1 MiB",
                       0);
        return;
    }
    if (a->host == NULL) {
        node_call_fail(&call, ERR_UNAVAILABLE, "this node runs without scripts", 0);
        return;
    }
    if (a->under_way >= UNDER_WAY_MAX) {
        node_call_fail(&call, ERR_SERVER_IS_BUSY, "64 admin verbs are running already", 100);
        return;
    }
    struct admin_op *op = calloc(1, sizeof *op);
    if (op == NULL)
        abort(); /* small; limited above */
    op->owner = a;
    op->call = call;
    const struct env_peer *peer = net_call_peer(net);
    if (peer->has_credentials)
        snprintf(op->who, sizeof op->who, "uid %u", peer->uid);
    else
        snprintf(op->who, sizeof op->who, "%s", peer->address);
    a->under_way++;
    script_admin(a->host, verb, arguments, op->who, verb_done, op);
}

struct node_admin *node_admin_new(struct node_calls *calls)
{
    struct node_admin *a = calloc(1, sizeof *a);
    if (a == NULL)
        abort(); /* small and fixed */
    a->calls = calls;
    a->counts = node_calls_add(calls, "Admin");
    return a;
}

void node_admin_host(struct node_admin *a, struct script_host *host)
{
    a->host = host;
}

void node_admin_free(struct node_admin *a)
{
    assert(a == NULL || a->under_way == 0);
    free(a);
}

struct net_handler node_admin_handler(struct node_admin *a)
{
    return (struct net_handler){ NET_ADMIN, "Admin", handle, a, false };
}
