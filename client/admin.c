/* Namespaces, admin verbs and the console: requests of which a handle has one at a time. */
#include "client_int.h"

#include <stdio.h>
#include <stdlib.h>

#include "console.h"
#include "net/method.h"

enum { TEXT_MAX = 1024 * 1024 };

/* One request and its whole answer, copied. */
struct exchange {
    struct client_wait wait;
    struct buf body;
};

static void finish_exchange(struct client_op *op, const struct client_reply *reply)
{
    struct exchange *x = op->user;
    if (buf_append(&x->body, reply->body) != ERR_OK && reply->code == FLOTILLA_OK) {
        client_wait_end(&x->wait,
                        op->flags & CLIENT_WRITE ? FLOTILLA_UNDETERMINED
                                                 : FLOTILLA_RESOURCE_EXHAUSTED,
                        0, "no memory for the answer");
        return;
    }
    client_wait_end(&x->wait, reply->code, reply->backoff_ms, reply->message);
}

struct text_field {
    uint32_t number;
    struct bytes text;
};

static struct client_op *request(uint16_t method, unsigned flags, const struct text_field *fields,
                                 size_t n, uint32_t number_field, uint64_t number,
                                 struct flotilla_error *error)
{
    size_t size = pb_u64_size(number_field, number);
    for (size_t i = 0; i < n; i++) {
        if (fields[i].text.len > TEXT_MAX) {
            client_error(error, FLOTILLA_TOO_LARGE, "the text has %zu bytes, at most %d go",
                         fields[i].text.len, (int)TEXT_MAX);
            return NULL;
        }
        size += pb_bytes_size(fields[i].number, fields[i].text.len);
    }
    struct client_op *op = client_op_new(method, flags, size, 0);
    if (op == NULL) {
        client_error(error, FLOTILLA_RESOURCE_EXHAUSTED, "no memory for a request");
        return NULL;
    }
    uint8_t *at = client_op_body(op);
    for (size_t i = 0; i < n; i++)
        pb_put_bytes(&at, fields[i].number, fields[i].text);
    pb_put_u64(&at, number_field, number);
    op->finish = finish_exchange;
    return op;
}

static int run(struct flotilla *f, struct client_op *op, struct exchange *x,
               struct flotilla_error *error)
{
    if (op == NULL)
        return error->code;
    return client_op_run(f, op, &x->wait, error);
}

/* Copies with a NUL behind. NULL if memory is gone. */
static char *copy_text(struct bytes from)
{
    char *text = malloc(from.len + 1);
    if (text == NULL)
        return NULL;
    if (from.len > 0)
        memcpy(text, from.data, from.len);
    text[from.len] = '\0';
    return text;
}

/* ---- Namespaces --------------------------------------------------------------------------------------------- */

static void remember(struct flotilla *f, const char *name, uint32_t id)
{
    struct client_name *n = calloc(1, sizeof *n);
    if (n == NULL)
        return; /* asked again next time */
    n->id = id;
    snprintf(n->name, sizeof n->name, "%s", name);
    list_push_back(&f->names, &n->link);
}

static struct flotilla_namespace namespace_of(struct bytes message)
{
    struct flotilla_namespace ns = { .id = (uint32_t)client_message_u64(message, 1) };
    struct bytes name = client_message_bytes(message, 2), mode = client_message_bytes(message, 3);
    snprintf(ns.name, sizeof ns.name, "%.*s", (int)(name.len > 64 ? 64 : name.len),
             (const char *)name.data);
    snprintf(ns.mode, sizeof ns.mode, "%.*s", (int)(mode.len > 15 ? 15 : mode.len),
             (const char *)mode.data);
    return ns;
}

/* Runs GetNamespace or CreateNamespace: both answer a Namespace as field 2. */
static int resolve(struct flotilla *f, struct client_op *op, const char *name, uint32_t *ret,
                   struct flotilla_error *error)
{
    struct exchange x = { 0 };
    int lacking =
        op != NULL && (op->flags & CLIENT_WRITE) ? FLOTILLA_UNDETERMINED : FLOTILLA_INTERNAL;
    int rc = run(f, op, &x, error);
    if (rc == FLOTILLA_OK) {
        struct flotilla_namespace ns = namespace_of(client_message_bytes(buf_bytes(&x.body), 2));
        if (ns.id == 0)
            rc = client_error(error, lacking, "the server's answer names no namespace");
        else
            remember(f, name, *ret = ns.id);
    }
    buf_free(&x.body);
    return rc;
}

int flotilla_namespace_find(struct flotilla *f, const char *name, uint32_t *ret,
                            struct flotilla_error *error)
{
    struct flotilla_error own;
    error = error != NULL ? error : &own;
    client_error_clear(error);
    if (strcmp(name, "default") == 0) {
        *ret = FLOTILLA_NAMESPACE;
        return FLOTILLA_OK;
    }
    list_for_each(node, &f->names) {
        struct client_name *n = container_of(node, struct client_name, link);
        if (strcmp(n->name, name) == 0) {
            *ret = n->id;
            return FLOTILLA_OK;
        }
    }
    struct text_field fields[] = { { 1, BYTES(name) } };
    return resolve(f, request(NET_GET_NAMESPACE, 0, fields, 1, 9, 0, error), name, ret, error);
}

int flotilla_namespace_create(struct flotilla *f, const char *name, const char *mode, uint32_t *ret,
                              struct flotilla_error *error)
{
    struct flotilla_error own;
    error = error != NULL ? error : &own;
    client_error_clear(error);
    struct text_field fields[] = { { 1, BYTES(name) },
                                   { 2, BYTES(mode != NULL ? mode : "strong") } };
    return resolve(f, request(NET_CREATE_NAMESPACE, CLIENT_WRITE, fields, 2, 9, 0, error), name,
                   ret, error);
}

int flotilla_namespace_list(struct flotilla *f, struct flotilla_namespace **ret, size_t *count,
                            struct flotilla_error *error)
{
    struct flotilla_error own;
    error = error != NULL ? error : &own;
    client_error_clear(error);
    struct exchange x = { 0 };
    int rc = run(f, request(NET_LIST_NAMESPACES, 0, NULL, 0, 9, 0, error), &x, error);
    struct pb_field field;
    size_t n = 0;
    for (struct bytes in = buf_bytes(&x.body); rc == FLOTILLA_OK && pb_next(&in, &field);)
        n += field.number == 2;
    struct flotilla_namespace *all = rc == FLOTILLA_OK ? calloc(n + 1, sizeof *all) : NULL;
    if (rc == FLOTILLA_OK && all == NULL)
        rc = client_error(error, FLOTILLA_RESOURCE_EXHAUSTED, "no memory for %zu namespaces", n);
    if (rc == FLOTILLA_OK) {
        n = 0;
        for (struct bytes in = buf_bytes(&x.body); pb_next(&in, &field);)
            if (field.number == 2)
                all[n++] = namespace_of(field.bytes);
        *ret = all;
        *count = n;
    }
    buf_free(&x.body);
    return rc;
}

/* ---- Admin -------------------------------------------------------------------------------------------------- */

int flotilla_admin(struct flotilla *f, const char *verb, const char *arguments, char **result,
                   struct flotilla_error *error)
{
    struct flotilla_error own;
    error = error != NULL ? error : &own;
    client_error_clear(error);
    struct exchange x = { 0 };
    struct text_field fields[] = { { 1, BYTES(verb) },
                                   { 2, BYTES(arguments != NULL ? arguments : "{}") } };
    int rc = run(f, request(NET_ADMIN, CLIENT_WRITE, fields, 2, 9, 0, error), &x, error);
    if (rc == FLOTILLA_OK) {
        char *text = copy_text(client_message_bytes(buf_bytes(&x.body), 2));
        if (text == NULL)
            rc = client_error(error, FLOTILLA_RESOURCE_EXHAUSTED,
                              "the verb was run; no memory for its result");
        else
            *result = text;
    }
    buf_free(&x.body);
    return rc;
}

/* ---- Console ------------------------------------------------------------------------------------------------ */

static int eval_until_done(struct flotilla *f, struct client_op *op, struct exchange *x,
                           volatile sig_atomic_t *cancel, struct flotilla_error *error)
{
    bool told = false;
    uint64_t id;
    op->user = &x->wait;
    x->wait.error = error;
    int rc = client_op_submit(f, op, f->timeout_ms, error);
    if (rc != FLOTILLA_OK)
        return rc;
    id = op->id;
    while (!x->wait.done) {
        if (cancel != NULL && *cancel != 0 && !told) {
            client_op_cancel(f, id);
            told = true;
        }
        flotilla_wait(f, cancel != NULL
                             ? 50
                             : -1); /* a signal between look and wait costs 50 ms, not the wait */
    }
    return x->wait.code;
}

int flotilla_console_eval(struct flotilla *f, const char *text, const char *format,
                          uint32_t budget_ms, volatile sig_atomic_t *cancel,
                          struct flotilla_output *ret, struct flotilla_error *error)
{
    struct flotilla_error own;
    error = error != NULL ? error : &own;
    client_error_clear(error);
    *ret = (struct flotilla_output){ 0 };
    if (f->busy)
        return client_error(error, FLOTILLA_FAILED_PRECONDITION, "a callback must not wait");
    struct exchange x = { 0 };
    struct text_field fields[] = { { 1, BYTES(text) }, { 2, BYTES(format) } };
    struct client_op *op =
        request(NET_CONSOLE_EVAL, CLIENT_WRITE | CLIENT_ONCE, fields, 2, 3, budget_ms, error);
    int rc = op == NULL ? error->code : eval_until_done(f, op, &x, cancel, error);
    struct bytes body = buf_bytes(&x.body), output = client_message_bytes(body, 2);
    ret->text = copy_text(output);
    ret->len = ret->text != NULL ? output.len : 0;
    ret->incomplete = client_message_u64(body, 3) != 0;
    ret->elapsed_us = client_message_u64(body, 4);
    ret->instructions = client_message_u64(body, 5);
    if (ret->text == NULL && rc == FLOTILLA_OK)
        rc = client_error(error, FLOTILLA_RESOURCE_EXHAUSTED,
                          "the text was run; no memory for its output");
    buf_free(&x.body);
    return rc;
}

int flotilla_console_complete(struct flotilla *f, const char *text, uint32_t *start, char ***words,
                              size_t *count, struct flotilla_error *error)
{
    struct flotilla_error own;
    error = error != NULL ? error : &own;
    client_error_clear(error);
    struct exchange x = { 0 };
    struct text_field fields[] = { { 1, BYTES(text) } };
    int rc = run(f, request(NET_CONSOLE_COMPLETE, 0, fields, 1, 9, 0, error), &x, error);
    struct bytes body = buf_bytes(&x.body);
    struct pb_field field;
    size_t n = 0, size = 0;
    for (struct bytes in = body; pb_next(&in, &field);)
        if (field.number == 3) {
            n++;
            size += field.bytes.len + 1;
        }
    char **list = rc == FLOTILLA_OK ? malloc((n + 1) * sizeof *list + size) : NULL;
    if (rc == FLOTILLA_OK && list == NULL)
        rc = client_error(error, FLOTILLA_RESOURCE_EXHAUSTED, "no memory for %zu words", n);
    if (rc == FLOTILLA_OK) {
        char *at = (char *)(list + n + 1);
        n = 0;
        for (struct bytes in = body; pb_next(&in, &field);)
            if (field.number == 3) {
                list[n++] = at;
                memcpy(at, field.bytes.len > 0 ? (const void *)field.bytes.data : "",
                       field.bytes.len);
                at[field.bytes.len] = '\0';
                at += field.bytes.len + 1;
            }
        list[n] = NULL;
        *start = (uint32_t)client_message_u64(body, 2);
        *words = list;
        *count = n;
    }
    buf_free(&x.body);
    return rc;
}
