/* Completion queues: outcomes that wait to be fetched, for languages that cannot be called back.
 *
 *   submit(tag) -> flying ---- finish ----> landed -> next() -> shown, until the next call
 *
 * An entry is made when its operation is submitted, so that there is room for every outcome: what cannot be copied then
 * is a value, and a read without its value says so. */
#include "client_int.h"

#include <stdlib.h>

enum { MESSAGE_KEPT = 480 };

struct entry {
    struct list link;             /* flying or landed */
    struct flotilla_queue *queue; /* NULL: the queue was closed meanwhile */
    struct flotilla_completion c;
    bool reads; /* its value is what was asked for */
    void *copy; /* of the value, then of the message */
};

struct flotilla_queue {
    struct flotilla *f;
    struct list flying, landed;
    struct entry *shown;
    size_t pending; /* flying and landed */
};

static void entry_free(struct entry *e)
{
    if (e == NULL)
        return;
    list_remove(&e->link);
    free(e->copy);
    free(e);
}

int flotilla_queue_open(struct flotilla *f, struct flotilla_queue **ret,
                        struct flotilla_error *error)
{
    client_error_clear(error);
    struct flotilla_queue *q = calloc(1, sizeof *q);
    if (q == NULL)
        return client_error(error, FLOTILLA_RESOURCE_EXHAUSTED, "no memory for a queue");
    q->f = f;
    list_init(&q->flying);
    list_init(&q->landed);
    *ret = q;
    return FLOTILLA_OK;
}

void flotilla_queue_close(struct flotilla_queue *q)
{
    if (q == NULL)
        return;
    while (!list_empty(&q->flying)) /* freed when their operations end */
        container_of(list_pop_front(&q->flying), struct entry, link)->queue = NULL;
    while (!list_empty(&q->landed))
        entry_free(container_of(q->landed.next, struct entry, link));
    entry_free(q->shown);
    free(q);
}

/* Copies what is borrowed. The text is cut, so that a message never costs more than its value. */
static void keep(struct entry *e, const struct flotilla_result *r)
{
    struct flotilla_completion *c = &e->c;
    size_t value = r->value.data != NULL ? r->value.len + 1 : 0;
    size_t text = r->code != FLOTILLA_OK ? strnlen(r->message, MESSAGE_KEPT) : 0;
    c->message = "";
    if (value + text == 0)
        return;
    char *at = e->copy = malloc(value + text + 1);
    if (at == NULL) {
        c->message = r->code != FLOTILLA_OK ? flotilla_code_name(r->code) : "";
        if (e->reads && r->code == FLOTILLA_OK) {
            c->code = FLOTILLA_RESOURCE_EXHAUSTED;
            c->message = "no memory for the value";
        }
        return;
    }
    if (value > 0) {
        memcpy(at, r->value.data, r->value.len);
        at[r->value.len] = '\0';
        c->value = flotilla_bytes(at, r->value.len);
    }
    if (text > 0)
        memcpy(at + value, r->message, text);
    at[value + text] = '\0';
    c->message = at + value;
}

static void land(void *user, const struct flotilla_result *r)
{
    struct entry *e = user;
    if (e->queue == NULL) {
        entry_free(e);
        return;
    }
    e->c.code = r->code;
    e->c.backoff_ms = r->backoff_ms;
    e->c.found = r->found;
    e->c.version = r->version;
    e->c.hlc = r->hlc;
    e->c.first = r->first;
    keep(e, r);
    list_remove(&e->link);
    list_push_back(&e->queue->landed, &e->link);
}

int flotilla_queue_submit(struct flotilla_queue *q, const struct flotilla_op *op, uint64_t tag,
                          struct flotilla_error *error)
{
    struct flotilla_error own;
    error = error != NULL ? error : &own;
    struct entry *e = calloc(1, sizeof *e);
    if (e == NULL)
        return client_error(error, FLOTILLA_RESOURCE_EXHAUSTED, "no memory for an entry");
    e->queue = q;
    e->c.tag = tag;
    e->reads = op->kind == FLOTILLA_OP_GET || op->kind == FLOTILLA_OP_CAS_GET;
    list_init(&e->link);
    int rc = flotilla_submit(q->f, op, land, e, error);
    if (rc != FLOTILLA_OK) {
        entry_free(e);
        return rc;
    }
    list_push_back(&q->flying, &e->link);
    q->pending++;
    return FLOTILLA_OK;
}

size_t flotilla_queue_pending(const struct flotilla_queue *q)
{
    return q->pending;
}

/* Waits until something has landed, or `timeout_ms` are over. */
static void wait_for_one(struct flotilla_queue *q, int timeout_ms)
{
    uint64_t until = client_now() + (uint64_t)(timeout_ms > 0 ? timeout_ms : 0) * 1000000;
    flotilla_process(q->f);
    while (list_empty(&q->landed) && !list_empty(&q->flying) && !q->f->busy && timeout_ms != 0) {
        uint64_t now = client_now();
        if (timeout_ms > 0 && now >= until)
            return;
        flotilla_wait(q->f, timeout_ms < 0 ? -1 : (int)((until - now + 999999) / 1000000));
    }
}

bool flotilla_queue_next(struct flotilla_queue *q, int timeout_ms, struct flotilla_completion *ret)
{
    entry_free(q->shown);
    q->shown = NULL;
    if (list_empty(&q->landed) && !list_empty(&q->flying))
        wait_for_one(q, timeout_ms);
    if (list_empty(&q->landed))
        return false;
    q->shown = container_of(list_pop_front(&q->landed), struct entry, link);
    q->pending--;
    *ret = q->shown->c;
    return true;
}
