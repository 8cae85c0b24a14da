/* Operations on keys: submitted, and the calls that wait for them. */
#include "client_int.h"

#include <stdlib.h>

/* ---- Submitted ---------------------------------------------------------------------------------------------- */

static void finish_public(struct client_op *op, const struct client_reply *reply)
{
    struct flotilla_result r = { .code = reply->code,
                                 .backoff_ms = reply->backoff_ms,
                                 .message = reply->message };
    bool answered = reply->body.len > 0;
    if (answered && (r.code == FLOTILLA_OK || r.code == FLOTILLA_CONFLICT) &&
        !client_message_result(op, reply, &r)) {
        r = (struct flotilla_result){
            .code = op->flags & CLIENT_WRITE ? FLOTILLA_UNDETERMINED : FLOTILLA_INTERNAL,
            .message = "the server's answer lacks what it must have",
        };
    }
    if (op->kind == FLOTILLA_OP_BATCH && r.code != FLOTILLA_OK)
        client_batch_fill_all(op->batch, r.code);
    op->done(op->user, &r);
}

int flotilla_submit(struct flotilla *f, const struct flotilla_op *op, flotilla_done *done,
                    void *user, struct flotilla_error *error)
{
    client_error_clear(error);
    struct client_op *request = client_message_request(op, error);
    if (request == NULL)
        return error != NULL ? error->code : FLOTILLA_INVALID_ARGUMENT;
    request->finish = finish_public;
    request->done = done;
    request->user = user;
    return client_op_submit(f, request, op->timeout_ms, error);
}

/* ---- Waited for --------------------------------------------------------------------------------------------- */

struct call {
    struct client_wait wait;
    uint64_t version, first;
    struct flotilla_value *value; /* NULL: not wanted */
};

static bool copy_value(struct flotilla_value *to, const struct flotilla_result *r)
{
    *to = (struct flotilla_value){ .found = r->found, .version = r->version };
    if (!r->found || r->value.data == NULL)
        return true;
    to->data = malloc(r->value.len + 1);
    if (to->data == NULL)
        return false;
    if (r->value.len > 0)
        memcpy(to->data, r->value.data, r->value.len);
    ((char *)to->data)[r->value.len] = '\0';
    to->len = r->value.len;
    return true;
}

static void waited(void *user, const struct flotilla_result *r)
{
    struct call *c = user;
    c->version = r->version;
    c->first = r->first;
    bool wanted = c->value != NULL && (r->code == FLOTILLA_OK || r->code == FLOTILLA_CONFLICT);
    if (wanted && !copy_value(c->value, r) && r->code == FLOTILLA_OK)
        client_wait_end(&c->wait, FLOTILLA_RESOURCE_EXHAUSTED, 0, "no memory for the value");
    else
        client_wait_end(&c->wait, r->code, r->backoff_ms, r->message);
}

static int run(struct flotilla *f, const struct flotilla_op *op, struct call *c,
               struct flotilla_error *error)
{
    struct flotilla_error own;
    error = error != NULL ? error : &own;
    client_error_clear(error);
    if (c->value != NULL)
        *c->value = (struct flotilla_value){ 0 };
    struct client_op *request = client_message_request(op, error);
    if (request == NULL)
        return error->code;
    request->finish = finish_public;
    request->done = waited;
    return client_op_run(f, request, &c->wait, error);
}

int flotilla_raw_put(struct flotilla *f, uint32_t ns, struct flotilla_bytes key,
                     struct flotilla_bytes value, struct flotilla_error *error)
{
    struct flotilla_op op = { .kind = FLOTILLA_OP_RAW_PUT, .ns = ns, .key = key, .value = value };
    return run(f, &op, &(struct call){ 0 }, error);
}

int flotilla_get(struct flotilla *f, uint32_t ns, struct flotilla_bytes key,
                 struct flotilla_value *ret, struct flotilla_error *error)
{
    struct flotilla_op op = { .kind = FLOTILLA_OP_GET, .ns = ns, .key = key };
    return run(f, &op, &(struct call){ .value = ret }, error);
}

int flotilla_delete(struct flotilla *f, uint32_t ns, struct flotilla_bytes key,
                    struct flotilla_error *error)
{
    struct flotilla_op op = { .kind = FLOTILLA_OP_DELETE, .ns = ns, .key = key };
    return run(f, &op, &(struct call){ 0 }, error);
}

int flotilla_cas_put(struct flotilla *f, uint32_t ns, struct flotilla_bytes key, uint64_t expected,
                     struct flotilla_bytes value, uint64_t *version, struct flotilla_value *current,
                     struct flotilla_error *error)
{
    struct flotilla_op op = { .kind = FLOTILLA_OP_CAS_PUT,
                              .ns = ns,
                              .key = key,
                              .value = value,
                              .expected = expected,
                              .want_current = current != NULL };
    struct call c = { .value = current };
    int rc = run(f, &op, &c, error);
    if (rc == FLOTILLA_OK && version != NULL)
        *version = c.version;
    return rc;
}

int flotilla_cas_get(struct flotilla *f, uint32_t ns, struct flotilla_bytes key,
                     struct flotilla_value *ret, struct flotilla_error *error)
{
    struct flotilla_op op = { .kind = FLOTILLA_OP_CAS_GET, .ns = ns, .key = key };
    return run(f, &op, &(struct call){ .value = ret }, error);
}

int flotilla_cas_delete(struct flotilla *f, uint32_t ns, struct flotilla_bytes key,
                        const uint64_t *expected, uint64_t *version, struct flotilla_value *current,
                        struct flotilla_error *error)
{
    struct flotilla_op op = { .kind = FLOTILLA_OP_CAS_DELETE,
                              .ns = ns,
                              .key = key,
                              .conditional = expected != NULL,
                              .expected = expected != NULL ? *expected : 0,
                              .want_current = current != NULL };
    struct call c = { .value = current };
    int rc = run(f, &op, &c, error);
    if (rc == FLOTILLA_OK && version != NULL)
        *version = c.version;
    return rc;
}

int flotilla_get_tso(struct flotilla *f, uint32_t count, uint64_t *first,
                     struct flotilla_error *error)
{
    struct flotilla_op op = { .kind = FLOTILLA_OP_GET_TSO, .count = count };
    struct call c = { 0 };
    int rc = run(f, &op, &c, error);
    if (rc == FLOTILLA_OK)
        *first = c.first;
    return rc;
}

int flotilla_batch_commit(struct flotilla *f, struct flotilla_batch *batch,
                          struct flotilla_error *error)
{
    struct flotilla_op op = { .kind = FLOTILLA_OP_BATCH, .batch = batch };
    return run(f, &op, &(struct call){ 0 }, error);
}
