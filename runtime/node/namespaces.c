#include "namespaces.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/container.h"
#include "base/pb.h"

enum { NAME_MAX_LEN = 64, WAITING_MAX = 1024 };

struct node_namespaces {
    struct node_calls *calls;
    struct region_store *regions;
    struct storage *store;
    struct list waiting; /* struct node_namespace_create; the first one may be under way */
    unsigned waiting_count;
    bool busy;
    struct region_write write;
    struct command command;
    struct buf body; /* pd.Namespace: id 1, name 2, mode 3 */
    struct bytes body_bytes;
    uint32_t id;
    struct method {
        struct node_namespaces *owner;
        struct node_method *counts;
    } methods[NODE_NAMESPACE_HANDLERS];
    struct net_handler handlers[NODE_NAMESPACE_HANDLERS];
};

/* ---- Creating ----------------------------------------------------------------------------- */

static err_t check(struct node_namespaces *n, struct node_namespace_create *c)
{
    bool good = c->name.len >= 1 && c->name.len <= NAME_MAX_LEN;
    for (size_t i = 0; good && i < c->name.len; i++) {
        uint8_t b = c->name.data[i];
        good = (b >= 'a' && b <= 'z') || (b >= '0' && b <= '9') || b == '_' || b == '-';
    }
    if (!good)
        return err_set(&c->error, ERR_INVALID_ARGUMENT,
                       "a namespace's name is 1 to %d of a-z, 0-9, _ and -", NAME_MAX_LEN);
    if (c->mode.len != 0 && !bytes_equal(c->mode, BYTES("strong"))) {
        if (bytes_equal(c->mode, BYTES("eventual")) || bytes_equal(c->mode, BYTES("assertion")))
            return err_set(&c->error, ERR_UNIMPLEMENTED,
                           "the mode \"%.*s\" is not there yet: use \"strong\"", (int)c->mode.len,
                           (const char *)c->mode.data);
        return err_set(&c->error, ERR_INVALID_ARGUMENT, "unknown mode: use \"strong\"");
    }
    struct storage_namespace have;
    if (storage_namespace_find(n->store, c->name, &have) == ERR_OK)
        return err_set(&c->error, ERR_ALREADY_EXISTS, "namespace \"%s\" exists, with id %u",
                       have.name, have.id);
    return ERR_OK;
}

static void create_end(struct node_namespaces *n, struct node_namespace_create *c, err_t rc)
{
    list_remove(&c->node);
    n->waiting_count--;
    c->rc = rc;
    c->done(c);
}

static void create_next(struct node_namespaces *n);

static void create_written(struct region_write *w)
{
    struct node_namespaces *n = container_of(w, struct node_namespaces, write);
    struct node_namespace_create *c =
        container_of(n->waiting.next, struct node_namespace_create, node);
    n->busy = false;
    err_t rc = w->rc;
    if (rc != ERR_OK) {
        c->backoff_ms = w->backoff_ms;
        c->hint = w->hint;
        err_set(&c->error, rc, "%s", w->error.msg);
    } else if ((rc = region_write_result(w, 0)->rc) != ERR_OK) {
        err_set(&c->error, rc, "namespace %u could not be created: %s", n->id, err_name(rc));
    } else {
        c->created.id = n->id;
        snprintf(c->created.name, sizeof c->created.name, "%.*s", (int)c->name.len,
                 (const char *)c->name.data);
        snprintf(c->created.mode, sizeof c->created.mode, "strong");
    }
    create_end(n, c, rc);
    create_next(n);
}

static void create_next(struct node_namespaces *n)
{
    while (!n->busy && !list_empty(&n->waiting)) {
        struct node_namespace_create *c =
            container_of(n->waiting.next, struct node_namespace_create, node);
        err_t rc = check(n, c);
        if (rc != ERR_OK) {
            create_end(n, c, rc);
            continue;
        }
        n->id = storage_namespace_next(n->store);
        buf_clear(&n->body);
        pb_append_u64(&n->body, 1, n->id);
        pb_append_bytes(&n->body, 2, c->name);
        pb_append_bytes(&n->body, 3, BYTES("strong"));
        n->body_bytes = buf_bytes(&n->body);
        rc = command_decode(COMMAND_NAMESPACE, n->body_bytes, &n->command, &c->error);
        if (rc != ERR_OK) {
            create_end(n, c, rc);
            continue;
        }
        n->busy = true;
        n->write.commands = &n->command;
        n->write.bodies = &n->body_bytes;
        n->write.count = 1;
        n->write.deadline = c->deadline;
        n->write.done = create_written;
        region_propose(n->regions, &n->write);
    }
}

void node_namespaces_create(struct node_namespaces *n, struct node_namespace_create *c)
{
    c->error = (struct err){ 0 };
    c->backoff_ms = 0;
    c->hint = (struct region_hint){ 0 };
    list_init(&c->node);
    if (n->waiting_count >= WAITING_MAX) {
        c->rc = err_set(&c->error, ERR_SERVER_IS_BUSY, "%d namespaces are being created already",
                        WAITING_MAX);
        c->done(c);
        return;
    }
    n->waiting_count++;
    list_push_back(&n->waiting, &c->node);
    create_next(n);
}

/* ---- On the wire -------------------------------------------------------------------------- */

static void put_namespace(struct buf *b, uint32_t number, const struct storage_namespace *ns)
{
    struct bytes name = BYTES(ns->name), mode = BYTES(ns->mode);
    pb_append_head(b, number,
                   pb_u64_size(1, ns->id) + pb_bytes_size(2, name.len) +
                       pb_bytes_size(3, mode.len));
    pb_append_u64(b, 1, ns->id);
    pb_append_bytes(b, 2, name);
    pb_append_bytes(b, 3, mode);
}

/* The bytes of fields 1 and 2, which is all that these requests have. */
static bool take_two(struct bytes in, struct bytes *first, struct bytes *second)
{
    struct pb_field f;
    *first = *second = (struct bytes){ (const uint8_t *)"", 0 };
    while (pb_next(&in, &f)) {
        if (f.type == PB_BYTES && f.number == 1)
            *first = f.bytes;
        if (f.type == PB_BYTES && f.number == 2)
            *second = f.bytes;
    }
    return in.len == 0;
}

/* A look at the namespaces: what is there once it is proved that we lead. */
struct look_op {
    struct region_barrier barrier;
    struct node_call call;
    struct node_namespaces *owner;
    struct buf name; /* of the one that is looked for */
    void (*answer)(struct look_op *op, struct buf *reply);
};

static void look_proved(struct region_barrier *barrier)
{
    struct look_op *op = container_of(barrier, struct look_op, barrier);
    struct buf reply = { 0 };
    if (barrier->rc != ERR_OK)
        node_call_refuse(&op->call, barrier->rc, barrier->error.msg, barrier->backoff_ms,
                         &barrier->hint);
    else
        op->answer(op, &reply);
    buf_free(&reply);
    buf_free(&op->name);
    free(op);
}

static struct look_op *look_begin(const struct method *m, struct net_call *net,
                                  void (*answer)(struct look_op *op, struct buf *reply))
{
    struct look_op *op = calloc(1, sizeof *op);
    if (op == NULL)
        abort(); /* small; limited by the requests in flight */
    node_call_begin(&op->call, m->owner->calls, m->counts, net);
    op->owner = m->owner;
    op->answer = answer;
    op->barrier.region_id = REGION_SYSTEM;
    op->barrier.deadline = net_call_deadline(net);
    op->barrier.done = look_proved;
    return op;
}

static void look_fail(struct look_op *op, err_t rc, const char *why)
{
    node_call_fail(&op->call, rc, why, 0);
    buf_free(&op->name);
    free(op);
}

static void answer_get(struct look_op *op, struct buf *reply)
{
    struct storage_namespace ns;
    if (storage_namespace_find(op->owner->store, buf_bytes(&op->name), &ns) != ERR_OK) {
        node_call_fail(&op->call, ERR_NOT_FOUND, "there is no namespace of that name: create it",
                       0);
        return;
    }
    node_put_status(reply, 1, ERR_OK, (struct bytes){ 0 }, 0);
    put_namespace(reply, 2, &ns);
    node_call_reply(&op->call, ERR_OK, reply);
}

static void handle_get(void *user, struct net_call *net)
{
    const struct method *m = user;
    struct look_op *op = look_begin(m, net, answer_get);
    struct bytes name, unused;
    if (!take_two(net_call_body(net), &name, &unused)) {
        look_fail(op, ERR_INVALID_ARGUMENT, "the request is malformed");
        return;
    }
    if (buf_append(&op->name, name) != ERR_OK) {
        look_fail(op, ERR_RESOURCE_EXHAUSTED, "no memory for a name");
        return;
    }
    region_barrier(m->owner->regions, &op->barrier);
}

static void list_one(void *user, const struct storage_namespace *ns)
{
    put_namespace(user, 2, ns);
}

static void answer_list(struct look_op *op, struct buf *reply)
{
    node_put_status(reply, 1, ERR_OK, (struct bytes){ 0 }, 0);
    storage_namespaces(op->owner->store, list_one, reply);
    node_call_reply(&op->call, ERR_OK, reply);
}

static void handle_list(void *user, struct net_call *net)
{
    const struct method *m = user;
    struct look_op *op = look_begin(m, net, answer_list);
    struct bytes body = net_call_body(net);
    struct pb_field unknown; /* the request has no fields yet */
    while (pb_next(&body, &unknown))
        continue;
    if (body.len != 0) {
        look_fail(op, ERR_INVALID_ARGUMENT, "the request is malformed");
        return;
    }
    region_barrier(m->owner->regions, &op->barrier);
}

struct create_op {
    struct node_namespace_create create;
    struct node_call call;
};

static void create_done(struct node_namespace_create *c)
{
    struct create_op *op = container_of(c, struct create_op, create);
    if (c->rc != ERR_OK) {
        node_call_refuse(&op->call, c->rc, c->error.msg, c->backoff_ms, &c->hint);
    } else {
        struct buf reply = { 0 };
        node_put_status(&reply, 1, ERR_OK, (struct bytes){ 0 }, 0);
        put_namespace(&reply, 2, &c->created);
        node_call_reply(&op->call, ERR_OK, &reply);
        buf_free(&reply);
    }
    free(op);
}

static void handle_create(void *user, struct net_call *net)
{
    const struct method *m = user;
    struct create_op *op = calloc(1, sizeof *op);
    if (op == NULL)
        abort(); /* small; limited by the requests in flight */
    node_call_begin(&op->call, m->owner->calls, m->counts, net);
    op->create.deadline = net_call_deadline(net);
    op->create.done = create_done;
    if (!take_two(net_call_body(net), &op->create.name, &op->create.mode)) {
        node_call_fail(&op->call, ERR_INVALID_ARGUMENT, "the request is malformed", 0);
        free(op);
        return;
    }
    node_namespaces_create(m->owner, &op->create);
}

struct node_namespaces *node_namespaces_new(struct node_calls *calls, struct region_store *regions,
                                            struct storage *store)
{
    static const struct {
        uint16_t number;
        const char *name;
        void (*handle)(void *user, struct net_call *net);
    } methods[NODE_NAMESPACE_HANDLERS] = {
        { NET_GET_NAMESPACE, "GetNamespace", handle_get },
        { NET_LIST_NAMESPACES, "ListNamespaces", handle_list },
        { NET_CREATE_NAMESPACE, "CreateNamespace", handle_create },
    };
    struct node_namespaces *n = calloc(1, sizeof *n);
    if (n == NULL)
        abort(); /* small and fixed */
    n->calls = calls;
    n->regions = regions;
    n->store = store;
    list_init(&n->waiting);
    for (unsigned i = 0; i < NODE_NAMESPACE_HANDLERS; i++) {
        n->methods[i] = (struct method){ n, node_calls_add(calls, methods[i].name) };
        n->handlers[i] = (struct net_handler){ methods[i].number, methods[i].name,
                                               methods[i].handle, &n->methods[i], false };
    }
    return n;
}

void node_namespaces_free(struct node_namespaces *n)
{
    if (n == NULL)
        return;
    assert(!n->busy && list_empty(&n->waiting));
    buf_free(&n->body);
    free(n);
}

const struct net_handler *node_namespaces_handlers(const struct node_namespaces *n)
{
    return n->handlers;
}
