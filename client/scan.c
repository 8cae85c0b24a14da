/* Scans: an iterator that asks for page after page.
 *
 *   [ row row row ... ] next_key --> [ row row row ... ] next_key --> [ row ] end
 *
 * A page is kept as the bytes of its response; rows are views into it, drawn one by one. It ends with its region: the
 * next one begins there. */
#include "client_int.h"

#include <stdlib.h>

#include "net/method.h"

enum { PAGE_DEFAULT = 1000 };

struct flotilla_scan {
    struct flotilla *f;
    uint16_t method;
    uint32_t ns, page;
    bool bounded, keys_only, limited;
    uint64_t left; /* rows still wanted, if limited */
    struct buf start, end;
    struct buf response; /* of this page */
    struct buf border; /* where its region ended, if that was before the range's end; else empty */
    struct bytes at;   /* what of it is not drawn yet */
    bool more, begun;
};

struct page_call {
    struct client_wait wait;
    struct flotilla_scan *scan;
};

static void finish_page(struct client_op *op, const struct client_reply *reply)
{
    struct page_call *c = op->user;
    struct flotilla_scan *s = c->scan;
    bool kept = reply->code != FLOTILLA_OK || buf_append(&s->response, reply->body) == ERR_OK;
    buf_clear(&s->border);
    if (op->clipped && kept) {
        struct pb_field end;
        struct bytes tail = bytes_from(client_op_tail(op), op->tail_len);
        kept = pb_next(&tail, &end) && buf_append(&s->border, end.bytes) == ERR_OK;
    }
    if (!kept)
        client_wait_end(&c->wait, FLOTILLA_RESOURCE_EXHAUSTED, 0,
                        "no memory for a page of the scan");
    else
        client_wait_end(&c->wait, reply->code, reply->backoff_ms, reply->message);
}

static int ask(struct flotilla_scan *s, struct flotilla_error *error)
{
    uint32_t limit = s->limited && s->left < s->page ? (uint32_t)s->left : s->page;
    size_t size = pb_u64_size(2, s->ns) + pb_bytes_size(3, s->start.len) + pb_u64_size(6, limit) +
                  pb_u64_size(7, s->keys_only);
    size_t end =
        s->end.len > CLIENT_KEY_MAX ? s->end.len : CLIENT_KEY_MAX; /* ours, or a region's */
    struct client_op *op = client_op_new(s->method, 0, size, pb_bytes_size(4, end));
    if (op == NULL)
        return client_error(error, FLOTILLA_RESOURCE_EXHAUSTED, "no memory for a request");
    uint8_t *at = client_op_body(op);
    pb_put_u64(&at, 2, s->ns);
    pb_put_bytes(&at, 3, buf_bytes(&s->start));
    op->keys = CLIENT_KEYS_RANGE;
    op->ns = s->ns;
    op->key_len = (uint32_t)s->start.len;
    op->key_at = (uint32_t)(at - client_op_body(op)) - op->key_len;
    if (s->bounded)
        op->end = buf_bytes(&s->end);
    pb_put_u64(&at, 6, limit);
    pb_put_u64(&at, 7, s->keys_only);
    op->finish = finish_page;
    buf_clear(&s->response);
    struct page_call c = { .scan = s };
    return client_op_run(s->f, op, &c.wait, error);
}

/* Fetches the next page and learns whether another follows. */
static int turn_page(struct flotilla_scan *s, struct flotilla_error *error)
{
    int rc = ask(s, error);
    if (rc != FLOTILLA_OK)
        return rc;
    s->begun = true;
    s->at = buf_bytes(&s->response);
    s->more = client_message_u64(s->at, 3) != 0;
    struct bytes next = client_message_bytes(s->at, 4);
    if (!s->more && s->border.len > 0) { /* the next region */
        s->more = true;
        next = buf_bytes(&s->border);
    }
    if (!s->more)
        return FLOTILLA_OK;
    if (bytes_compare(next, buf_bytes(&s->start)) <= 0) /* it would go round in circles */
        return client_error(error, FLOTILLA_INTERNAL,
                            "the server's page does not say where to go on");
    buf_clear(&s->start);
    if (buf_append(&s->start, next) != ERR_OK)
        return client_error(error, FLOTILLA_RESOURCE_EXHAUSTED, "no memory to go on with the scan");
    return FLOTILLA_OK;
}

static int scan_new(struct flotilla *f, uint16_t method, uint32_t ns,
                    const struct flotilla_range *range, struct flotilla_scan **ret,
                    struct flotilla_error *error)
{
    static const struct flotilla_range everything;
    client_error_clear(error);
    const struct flotilla_range *r = range != NULL ? range : &everything;
    if (r->end.data != NULL && r->end.len == 0)
        return client_error(error, FLOTILLA_INVALID_ARGUMENT,
                            "the end of the range is empty; for no end leave it NULL");
    struct flotilla_scan *s = calloc(1, sizeof *s);
    if (s == NULL || buf_append(&s->start, client_bytes(r->start)) != ERR_OK ||
        buf_append(&s->end, client_bytes(r->end)) != ERR_OK) {
        flotilla_scan_close(s);
        return client_error(error, FLOTILLA_RESOURCE_EXHAUSTED, "no memory for a scan");
    }
    s->f = f;
    s->method = method;
    s->ns = ns;
    s->page = r->page != 0 ? r->page : PAGE_DEFAULT;
    s->bounded = r->end.data != NULL;
    s->keys_only = r->keys_only;
    s->limited = r->limit != 0;
    s->left = r->limit;
    *ret = s;
    return FLOTILLA_OK;
}

int flotilla_scan(struct flotilla *f, uint32_t ns, const struct flotilla_range *range,
                  struct flotilla_scan **ret, struct flotilla_error *error)
{
    return scan_new(f, NET_RAW_SCAN, ns, range, ret, error);
}

int flotilla_cas_scan(struct flotilla *f, uint32_t ns, const struct flotilla_range *range,
                      struct flotilla_scan **ret, struct flotilla_error *error)
{
    return scan_new(f, NET_CAS_SCAN, ns, range, ret, error);
}

static struct flotilla_row row_of(struct bytes message)
{
    struct bytes key = client_message_bytes(message, 1), value = client_message_bytes(message, 2);
    return (struct flotilla_row){
        .key = flotilla_bytes(key.data, key.len),
        .value = flotilla_bytes(value.data, value.len),
        .version = client_message_u64(message, 3),
    };
}

bool flotilla_scan_next(struct flotilla_scan *s, struct flotilla_row *row,
                        struct flotilla_error *error)
{
    client_error_clear(error);
    while (!s->limited || s->left > 0) {
        struct pb_field f;
        while (pb_next(&s->at, &f)) {
            if (f.number != 2 || f.type != PB_BYTES)
                continue;
            if (!client_message_valid(f.bytes)) {
                client_error(error, FLOTILLA_INTERNAL, "a row of the server's page cannot be read");
                return false;
            }
            *row = row_of(f.bytes);
            s->left -= s->limited;
            return true;
        }
        if ((s->begun && !s->more) || turn_page(s, error) != FLOTILLA_OK)
            return false;
    }
    return false;
}

void flotilla_scan_close(struct flotilla_scan *s)
{
    if (s == NULL)
        return;
    buf_free(&s->start);
    buf_free(&s->end);
    buf_free(&s->response);
    buf_free(&s->border);
    free(s);
}
