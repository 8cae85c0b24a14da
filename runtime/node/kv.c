/* Requests that are one command or one key. */
#include "kv_int.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/container.h"

enum { VALUE_KEPT = 64 << 10 }; /* bytes of scratch that an operation keeps in the pool */

struct kv_op *kv_op_begin(const struct kv_method *m, struct net_call *call)
{
    struct kv *kv = m->kv;
    struct kv_op *op = kv->pool;
    if (op != NULL) {
        kv->pool = op->next;
        kv->pooled--;
    } else if ((op = calloc(1, sizeof *op)) == NULL) {
        abort(); /* small; their number is limited by the requests in flight */
    }
    kv->under_way++;
    op->method = m;
    op->error.code = ERR_OK;
    op->error.msg[0] = 0;
    node_call_begin(&op->call, kv->calls, m->counts, call);
    return op;
}

static void op_free(struct kv_op *op)
{
    buf_free(&op->value);
    buf_free(&op->reply);
    free(op);
}

void kv_op_end(struct kv_op *op)
{
    struct kv *kv = op->method->kv;
    kv->under_way--;
    free(op->commands);
    free(op->bodies);
    op->commands = NULL;
    op->bodies = NULL;
    if (op->reply.cap > VALUE_KEPT)
        buf_free(&op->reply);
    buf_clear(&op->reply);
    if (op->value.cap > VALUE_KEPT)
        buf_free(&op->value);
    buf_clear(&op->value);
    if (kv->pooled >= KV_OPS_KEPT) {
        op_free(op);
        return;
    }
    op->next = kv->pool;
    kv->pool = op;
    kv->pooled++;
}

void kv_op_fail(struct kv_op *op, err_t rc, const char *message, uint32_t backoff_ms)
{
    node_call_fail(&op->call, rc, message, backoff_ms);
    kv_op_end(op);
}

void kv_op_refuse(struct kv_op *op, err_t rc, const char *message, uint32_t backoff_ms,
                  const struct region_hint *hint)
{
    node_call_refuse(&op->call, rc, message, backoff_ms, hint);
    kv_op_end(op);
}

void kv_op_reply(struct kv_op *op, err_t rc)
{
    node_call_reply(&op->call, rc, &op->reply);
    kv_op_end(op);
}

err_t kv_check_namespace(struct kv *kv, uint32_t id, struct err *e)
{
    if (kv->backend.namespace_exists(kv->backend.self, id))
        return ERR_OK;
    return err_set(e, ERR_NOT_FOUND,
                   "namespace %u does not exist: list them, or create it (1 is \"default\")", id);
}

err_t kv_context(struct bytes in, struct region_context *ret, struct err *e)
{
    struct pb_field f;
    *ret = (struct region_context){ 0 };
    while (pb_next(&in, &f)) {
        uint64_t *to[] = { &ret->region_id, &ret->conf_ver, &ret->version, &ret->peer_id,
                           &ret->hlc };
        if (f.number <= sizeof to / sizeof *to && f.type == PB_VARINT)
            *to[f.number - 1] = f.value;
    }
    if (in.len != 0)
        return err_set(e, ERR_INVALID_ARGUMENT, "the request's context is malformed");
    return ERR_OK;
}

/* ---- Writes ------------------------------------------------------------------------------- */

static void put_conflict(struct buf *b, const struct storage_result *result,
                         const struct command *command)
{
    char text[160];
    if (result->absent || result->version == 0)
        snprintf(text, sizeof text, "the key is absent, not at version %llu",
                 (unsigned long long)command->expected_version);
    else if (command->expected_version == 0)
        snprintf(text, sizeof text, "the key is at version %llu, it should be absent",
                 (unsigned long long)result->version);
    else
        snprintf(text, sizeof text, "the key is at version %llu, not %llu",
                 (unsigned long long)result->version,
                 (unsigned long long)command->expected_version);
    pb_append_u64(b, 1, ERR_CONFLICT);
    pb_append_bytes(b, 2, BYTES(text));
    size_t len = pb_u64_size(1, result->version) + pb_u64_size(2, result->absent) +
                 pb_u64_size(4, result->has_value);
    if (result->has_value)
        len += pb_item_size(3, result->value.len);
    pb_append_head(b, 3, len);
    pb_append_u64(b, 1, result->version);
    pb_append_u64(b, 2, result->absent);
    if (result->has_value)
        pb_append_item(b, 3, buf_bytes(&result->value));
    pb_append_u64(b, 4, result->has_value);
}

void kv_put_result(struct buf *b, uint32_t number, const struct storage_result *result,
                   const struct command *command)
{
    const char *text = "";
    switch (result->rc) {
    case ERR_OK:
        break;
    case ERR_CONFLICT: {
        struct buf status = { 0 };
        put_conflict(&status, result, command);
        pb_append_item(b, number, buf_bytes(&status));
        buf_free(&status);
        return;
    }
    case ERR_NOT_FOUND:
        text = "the key is absent";
        break;
    case ERR_CORRUPTION:
        text = "the stored record of this key is shorter than its version: nothing was changed; "
               "restore it from a backup";
        break;
    case ERR_OVERFLOW:
        text = "the key's version is at its end, 2^64 - 1: nothing was changed; use another key";
        break;
    default:
        text = err_name(result->rc);
        break;
    }
    node_put_status(b, number, result->rc, BYTES(text), 0);
}

static void write_done(struct region_write *w)
{
    struct kv_op *op = container_of(w, struct kv_op, write);
    if (w->rc != ERR_OK) {
        kv_op_refuse(op, w->rc, w->error.msg, w->backoff_ms, &w->hint);
        return;
    }
    const struct kv_backend *b = &op->method->kv->backend;
    const struct storage_result *result = b->result(b->self, w, 0);
    bool versioned = op->method->kind == COMMAND_CAS || op->method->kind == COMMAND_CAS_DELETE;
    kv_put_result(&op->reply, 1, result, &op->command);
    if (versioned) { /* CasResponse, CasDeleteResponse: version 2, hlc 3 */
        if (result->rc == ERR_OK)
            pb_append_u64(&op->reply, 2, result->version);
        pb_append_u64(&op->reply, 3, w->hlc);
    } else { /* RawPutResponse, RawDeleteResponse: hlc 2 */
        pb_append_u64(&op->reply, 2, w->hlc);
    }
    kv_op_reply(op, result->rc);
}

void kv_handle_write(void *user, struct net_call *call)
{
    const struct kv_method *m = user;
    struct kv_op *op = kv_op_begin(m, call);
    op->body = net_call_body(call);
    err_t rc = command_decode(m->kind, op->body, &op->command, &op->error);
    if (rc == ERR_OK)
        rc = kv_check_namespace(m->kv, op->command.namespace_id, &op->error);
    if (rc != ERR_OK) {
        kv_op_fail(op, rc, op->error.msg, 0);
        return;
    }
    op->write.commands = &op->command;
    op->write.bodies = &op->body;
    op->write.count = 1;
    op->write.deadline = net_call_deadline(call);
    op->write.done = write_done;
    m->kv->backend.write(m->kv->backend.self, &op->write);
}

/* ---- Reads of one key --------------------------------------------------------------------- */

static void get_done(struct region_read *q)
{
    struct kv_op *op = container_of(q, struct kv_op, read);
    bool found = q->rc == ERR_OK;
    if (!found && q->rc != ERR_NOT_FOUND) {
        kv_op_refuse(op, q->rc, q->error.msg, q->backoff_ms, &q->hint);
        return;
    }
    node_put_status(&op->reply, 1, ERR_OK, (struct bytes){ 0 }, 0);
    pb_append_u64(&op->reply, 2, found);
    if (op->method->cas) { /* CasGetResponse: found 2, version 3, value 4 */
        pb_append_u64(&op->reply, 3, q->version);
        if (found)
            pb_append_item(&op->reply, 4, buf_bytes(&op->value));
    } else if (found) { /* RawGetResponse: found 2, value 3 */
        pb_append_item(&op->reply, 3, buf_bytes(&op->value));
    }
    kv_op_reply(op, ERR_OK);
}

void kv_handle_get(void *user, struct net_call *call)
{
    const struct kv_method *m = user;
    struct kv_op *op = kv_op_begin(m, call);
    struct command c;
    /* RawGetRequest and CasGetRequest have the fields of RawDeleteRequest: context 1,
     * namespace_id 2, key 3. One decoder, one set of limits. */
    err_t rc = command_decode(COMMAND_RAW_DELETE, net_call_body(call), &c, &op->error);
    if (rc == ERR_OK)
        rc = kv_check_namespace(m->kv, c.namespace_id, &op->error);
    if (rc != ERR_OK) {
        kv_op_fail(op, rc, op->error.msg, 0);
        return;
    }
    struct region_read *q = &op->read;
    q->context =
        (struct region_context){ c.region_id, c.conf_ver, c.version, c.peer_id, c.client_hlc };
    q->cas = m->cas;
    q->ns = c.namespace_id;
    q->key = c.key;
    q->value = &op->value;
    q->deadline = net_call_deadline(call);
    q->done = get_done;
    m->kv->backend.get(m->kv->backend.self, q);
}

/* ---- All of them -------------------------------------------------------------------------- */

struct kv *kv_new(struct node_calls *calls, const struct kv_backend *backend,
                  const struct kv_config *config)
{
    static const struct {
        uint16_t number;
        const char *name;
        void (*handle)(void *user, struct net_call *call);
        enum command_kind kind;
        bool cas;
    } methods[KV_HANDLERS] = {
        { NET_RAW_PUT, "RawPut", kv_handle_write, COMMAND_RAW_PUT, false },
        { NET_RAW_GET, "RawGet", kv_handle_get, 0, false },
        { NET_RAW_DELETE, "RawDelete", kv_handle_write, COMMAND_RAW_DELETE, false },
        { NET_RAW_SCAN, "RawScan", kv_handle_scan, 0, false },
        { NET_CAS, "Cas", kv_handle_write, COMMAND_CAS, true },
        { NET_CAS_GET, "CasGet", kv_handle_get, 0, true },
        { NET_CAS_DELETE, "CasDelete", kv_handle_write, COMMAND_CAS_DELETE, true },
        { NET_CAS_SCAN, "CasScan", kv_handle_scan, 0, true },
        { NET_BATCH, "Batch", kv_handle_batch, 0, false },
    };
    struct kv *kv = calloc(1, sizeof *kv);
    if (kv == NULL)
        abort(); /* small and fixed */
    kv->calls = calls;
    kv->backend = *backend;
    kv->config = *config;
    for (unsigned i = 0; i < KV_HANDLERS; i++) {
        kv->methods[i] = (struct kv_method){ kv, node_calls_add(calls, methods[i].name),
                                             methods[i].kind, methods[i].cas };
        kv->handlers[i] = (struct net_handler){ methods[i].number, methods[i].name,
                                                methods[i].handle, &kv->methods[i], false };
    }
    return kv;
}

void kv_free(struct kv *kv)
{
    if (kv == NULL)
        return;
    assert(kv->under_way == 0);
    while (kv->pool != NULL) {
        struct kv_op *op = kv->pool;
        kv->pool = op->next;
        op_free(op);
    }
    free(kv);
}

const struct net_handler *kv_handlers(const struct kv *kv)
{
    return kv->handlers;
}

uint64_t kv_under_way(const struct kv *kv)
{
    return kv->under_way;
}
