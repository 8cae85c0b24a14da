/* Batches: several commands in one log entry, each with its own outcome.
 *
 * BatchRequest: context 1, commands 2, each a oneof { raw_put 1, raw_delete 2, cas 3, cas_delete 4 }
 * that holds the request of the single form: its bytes become the command's body as they are. A
 * command must be given exactly once (protobuf would merge repeated ones; nobody sends that). */
#include "kv_int.h"

#include <stdlib.h>

#include "base/container.h"

static const enum command_kind kinds[] = { 0, COMMAND_RAW_PUT, COMMAND_RAW_DELETE, COMMAND_CAS,
                                           COMMAND_CAS_DELETE };

static err_t batch_context(struct bytes in, struct region_context *context, uint64_t *count,
                           struct err *e)
{
    struct pb_field f;
    *count = 0;
    *context = (struct region_context){ 0 };
    while (pb_next(&in, &f)) {
        if (f.type != PB_BYTES)
            continue;
        if (f.number == 1) {
            err_t rc = kv_context(f.bytes, context, e);
            if (rc != ERR_OK)
                return rc;
        }
        *count += f.number == 2;
    }
    if (in.len != 0)
        return err_set(e, ERR_INVALID_ARGUMENT, "the batch is malformed");
    if (*count == 0)
        return err_set(e, ERR_INVALID_ARGUMENT, "the batch has no commands: send at least one");
    if (*count > COMMAND_COUNT_MAX)
        return err_set(e, ERR_TOO_LARGE, "the batch has %llu commands: at most %d fit one request",
                       (unsigned long long)*count, (int)COMMAND_COUNT_MAX);
    return ERR_OK;
}

static err_t command_of(struct bytes in, struct command *ret, struct bytes *body, struct err *e)
{
    struct pb_field f;
    unsigned found = 0;
    enum command_kind kind = 0;
    while (pb_next(&in, &f)) {
        if (f.number < sizeof kinds / sizeof *kinds && f.type == PB_BYTES) {
            kind = kinds[f.number];
            *body = f.bytes;
            found++;
        }
    }
    if (in.len != 0 || found != 1)
        return err_set(e, ERR_INVALID_ARGUMENT,
                       "a command is one of raw_put, raw_delete, cas, cas_delete");
    return command_decode(kind, *body, ret, e);
}

/* Where a command does not say which region it means, the batch does. */
static void inherit(struct command *c, const struct region_context *context)
{
    if (c->region_id == 0 && c->conf_ver == 0 && c->version == 0 && c->peer_id == 0) {
        c->region_id = context->region_id;
        c->conf_ver = context->conf_ver;
        c->version = context->version;
        c->peer_id = context->peer_id;
    }
    if (c->client_hlc == 0)
        c->client_hlc = context->hlc;
}

static err_t batch_decode(struct kv_op *op, struct bytes in, const struct region_context *context,
                          struct err *e)
{
    struct pb_field f;
    uint32_t i = 0;
    while (pb_next(&in, &f)) {
        if (f.number != 2 || f.type != PB_BYTES)
            continue;
        err_t rc = command_of(f.bytes, &op->commands[i], &op->bodies[i], e);
        if (rc == ERR_OK)
            rc = kv_check_namespace(op->method->kv, op->commands[i].namespace_id, e);
        if (rc != ERR_OK)
            return err_wrap(e, rc, "command %u of the batch, nothing of which was done", i);
        inherit(&op->commands[i], context);
        i++;
    }
    return ERR_OK;
}

static void batch_done(struct region_write *w)
{
    struct kv_op *op = container_of(w, struct kv_op, write);
    if (w->rc != ERR_OK) {
        kv_op_refuse(op, w->rc, w->error.msg, w->backoff_ms, &w->hint);
        return;
    }
    /* BatchResponse: status 1, results 2 { status 1, version 2 }, hlc 3 */
    const struct kv_backend *b = &op->method->kv->backend;
    struct buf result = { 0 };
    node_put_status(&op->reply, 1, ERR_OK, (struct bytes){ 0 }, 0);
    for (uint32_t i = 0; i < w->count; i++) {
        const struct storage_result *r = b->result(b->self, w, i);
        buf_clear(&result);
        kv_put_result(&result, 1, r, &op->commands[i]);
        if (r->rc == ERR_OK)
            pb_append_u64(&result, 2, r->version);
        pb_append_item(&op->reply, 2, buf_bytes(&result));
    }
    buf_free(&result);
    pb_append_u64(&op->reply, 3, w->hlc);
    kv_op_reply(op, ERR_OK);
}

void kv_handle_batch(void *user, struct net_call *call)
{
    const struct kv_method *m = user;
    struct kv_op *op = kv_op_begin(m, call);
    struct bytes body = net_call_body(call);
    struct region_context context;
    uint64_t count = 0;
    if (body.len > COMMAND_ENTRY_MAX) {
        node_call_too_large(&op->call, "the batch is above the size of one log entry: send several",
                            "batch_max", COMMAND_ENTRY_MAX, body.len);
        kv_op_end(op);
        return;
    }
    err_t rc = batch_context(body, &context, &count, &op->error);
    if (rc == ERR_OK) {
        op->commands = calloc(count, sizeof *op->commands);
        op->bodies = calloc(count, sizeof *op->bodies);
        if (op->commands == NULL || op->bodies == NULL)
            rc = err_set(&op->error, ERR_NOMEM, "no memory for %llu commands",
                         (unsigned long long)count);
    }
    if (rc == ERR_OK)
        rc = batch_decode(op, body, &context, &op->error);
    if (rc != ERR_OK) {
        kv_op_fail(op, rc, op->error.msg, 0);
        return;
    }
    op->write.commands = op->commands;
    op->write.bodies = op->bodies;
    op->write.count = (uint32_t)count;
    op->write.deadline = net_call_deadline(call);
    op->write.done = batch_done;
    m->kv->backend.write(m->kv->backend.self, &op->write);
}
