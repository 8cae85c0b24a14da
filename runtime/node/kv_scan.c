/* Scans: rows are encoded on the READ lane's thread as they come, into the answer itself.
 *
 * RawScanRequest, CasScanRequest: context 1, namespace_id 2, start_key 3, oneof end { end_key 4,
 * unbounded 5 }, limit 6, keys_only 7. Responses: status 1, rows 2 { key 1, value 2, version 3 },
 * more 3, next_key 4. */
#include "kv_int.h"

#include "base/container.h"

static err_t scan_row(void *user, struct bytes key, uint64_t version, struct bytes value)
{
    struct kv_op *op = user;
    bool with_value = !op->scan.args.keys_only;
    size_t len = pb_bytes_size(1, key.len) + pb_u64_size(3, version);
    if (with_value)
        len += pb_item_size(2, value.len);
    pb_append_head(&op->reply, 2, len);
    pb_append_bytes(&op->reply, 1, key);
    if (with_value)
        pb_append_item(&op->reply, 2, value);
    pb_append_u64(&op->reply, 3, version);
    return ERR_OK;
}

static void scan_done(struct region_scan *s)
{
    struct kv_op *op = container_of(s, struct kv_op, scan);
    if (s->rc != ERR_OK) {
        buf_free(&s->next);
        kv_op_refuse(op, s->rc, s->error.msg, s->backoff_ms, &s->hint);
        return;
    }
    pb_append_u64(&op->reply, 3, s->more);
    if (s->more)
        pb_append_bytes(&op->reply, 4, buf_bytes(&s->next));
    buf_free(&s->next);
    kv_op_reply(op, ERR_OK);
}

/* The oneof: the later field wins. */
static err_t scan_decode(struct bytes in, struct region_scan *s, bool *ended, struct err *e)
{
    struct pb_field f;
    uint64_t limit = 0;
    *ended = false;
    s->context = (struct region_context){ 0 };
    s->args = (struct storage_scan){ .start = { (const uint8_t *)"", 0 } };
    while (pb_next(&in, &f)) {
        if (f.number == 1 && f.type == PB_BYTES) {
            err_t rc = kv_context(f.bytes, &s->context, e);
            if (rc != ERR_OK)
                return rc;
        } else if (f.number == 2 && f.type == PB_VARINT) {
            s->args.ns = (uint32_t)f.value;
        } else if (f.number == 3 && f.type == PB_BYTES) {
            s->args.start = f.bytes;
        } else if (f.number == 4 && f.type == PB_BYTES) {
            s->args.end = f.bytes;
            *ended = true;
        } else if (f.number == 5 && f.type == PB_VARINT) {
            s->args.end = (struct bytes){ 0 };
            *ended = false;
        } else if (f.number == 6 && f.type == PB_VARINT) {
            limit = f.value & UINT32_MAX;
        } else if (f.number == 7 && f.type == PB_VARINT) {
            s->args.keys_only = f.value != 0;
        }
    }
    if (in.len != 0)
        return err_set(e, ERR_INVALID_ARGUMENT, "the scan's request is malformed");
    s->args.limit = (uint32_t)limit;
    return ERR_OK;
}

static err_t scan_check(const struct region_scan *s, bool ended, struct err *e)
{
    if (s->args.start.len > COMMAND_KEY_MAX || s->args.end.len > COMMAND_KEY_MAX)
        return err_set(e, ERR_TOO_LARGE, "a bound of the scan is longer than a key: at most %d",
                       (int)COMMAND_KEY_MAX);
    if (ended && s->args.end.len == 0)
        return err_set(e, ERR_INVALID_ARGUMENT,
                       "the end key is present and empty: give a key, or say unbounded");
    if (ended && bytes_compare(s->args.start, s->args.end) > 0)
        return err_set(e, ERR_INVALID_ARGUMENT, "the scan ends before it starts: swap the keys");
    return ERR_OK;
}

void kv_handle_scan(void *user, struct net_call *call)
{
    const struct kv_method *m = user;
    struct kv *kv = m->kv;
    struct kv_op *op = kv_op_begin(m, call);
    struct region_scan *s = &op->scan;
    bool ended;
    err_t rc = scan_decode(net_call_body(call), s, &ended, &op->error);
    if (rc == ERR_OK)
        rc = scan_check(s, ended, &op->error);
    if (rc == ERR_OK)
        rc = kv_check_namespace(kv, s->args.ns, &op->error);
    if (rc != ERR_OK) {
        kv_op_fail(op, rc, op->error.msg, 0);
        return;
    }
    s->args.cas = m->cas;
    if (s->args.limit == 0 || s->args.limit > kv->config.scan_rows_max)
        s->args.limit = kv->config.scan_rows_max;
    s->args.limit_bytes = kv->config.scan_bytes_max;
    s->next = (struct buf){ 0 };
    s->row = scan_row;
    s->user = op;
    s->deadline = net_call_deadline(call);
    s->done = scan_done;
    node_put_status(&op->reply, 1, ERR_OK, (struct bytes){ 0 }, 0);
    kv->backend.scan(kv->backend.self, s);
}
