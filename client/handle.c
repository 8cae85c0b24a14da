/* Handles: options, opening and closing. */
#include "client_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#ifndef FLOTILLA_VERSION
#error "the build says which version this is"
#endif

const char *flotilla_version(void)
{
    return FLOTILLA_VERSION;
}

void flotilla_free(void *memory)
{
    free(memory);
}

void flotilla_value_free(struct flotilla_value *value)
{
    if (value == NULL)
        return;
    free(value->data);
    *value = (struct flotilla_value){ 0 };
}

/* ---- Opening ------------------------------------------------------------------------------------------------ */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool parse_cluster_id(const char *text, uint8_t out[16])
{
    for (size_t i = 0; i < 16; i++) {
        int high = hex_digit(text[2 * i]), low = high < 0 ? -1 : hex_digit(text[2 * i + 1]);
        if (low < 0)
            return false;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return text[32] == '\0';
}

static int apply(struct flotilla *f, const struct flotilla_options *o, struct flotilla_error *error)
{
    int rc = client_servers_parse(f, o->endpoint != NULL ? o->endpoint : FLOTILLA_ENDPOINT_DEFAULT,
                                  error);
    if (rc != FLOTILLA_OK)
        return rc;
    snprintf(f->identity, sizeof f->identity, "%s",
             o->identity != NULL ? o->identity : "libflotilla/" FLOTILLA_VERSION);
    if (o->cluster_id != NULL && !parse_cluster_id(o->cluster_id, f->cluster_id))
        return client_error(error, FLOTILLA_INVALID_ARGUMENT,
                            "the cluster id \"%s\" is not 32 hex digits", o->cluster_id);
    f->have_cluster_id = o->cluster_id != NULL;
    f->timeout_ms = o->timeout_ms != 0 ? o->timeout_ms : CLIENT_TIMEOUT_MS;
    f->connect_ms = o->connect_ms != 0  ? o->connect_ms
                    : f->seed_count > 1 ? CLIENT_MANY_CONNECT_MS
                                        : CLIENT_CONNECT_MS;
    f->inflight_max = o->inflight_max;
    f->queue_bytes_max = o->queue_bytes_max != 0 ? o->queue_bytes_max : CLIENT_QUEUE_BYTES;
    return FLOTILLA_OK;
}

static uint64_t seed(const void *mixed_in)
{
    uint64_t s;
    if (getrandom(&s, sizeof s, GRND_NONBLOCK) != sizeof s)
        s = client_now() ^ (uint64_t)getpid() << 32 ^ (uint64_t)(uintptr_t)mixed_in;
    return s;
}

/* Ready, or every endpoint was tried. */
static bool tried(const struct flotilla *f)
{
    bool all = true;
    for (size_t i = 0; i < f->seed_count; i++) {
        if (f->conns[i]->state == CLIENT_READY)
            return true;
        all = all && f->conns[i]->failures > 0;
    }
    return all;
}

static int connect_once(struct flotilla *f, struct flotilla_error *error)
{
    f->want_open = true;
    flotilla_process(f);
    while (!tried(f)) {
        client_loop_wait(f, -1);
        flotilla_process(f);
    }
    f->want_open = false;
    char all[sizeof error->message] = "";
    size_t len = 0;
    for (size_t i = 0; i < f->seed_count; i++) {
        if (f->conns[i]->state == CLIENT_READY)
            return FLOTILLA_OK;
        int n = snprintf(all + len, sizeof all - len, "%s%s", i > 0 ? "; " : "",
                         f->conns[i]->last.message);
        len = n < 0 || (size_t)n >= sizeof all - len ? sizeof all - 1 : len + (size_t)n;
    }
    return client_error(error, f->current->last.code, "%s", all);
}

int flotilla_open(const struct flotilla_options *options, struct flotilla **ret,
                  struct flotilla_error *error)
{
    client_error_clear(error);
    struct flotilla_options o = { 0 };
    if (options != NULL) /* an older caller has a shorter struct: what it lacks is 0 */
        memcpy(&o, options, options->size < sizeof o ? options->size : sizeof o);
    struct flotilla *f = calloc(1, sizeof *f);
    if (f == NULL)
        return client_error(error, FLOTILLA_RESOURCE_EXHAUSTED, "no memory for a handle");
    f->epoll = -1;
    f->next_deadline = f->next_delayed = UINT64_MAX;
    list_init(&f->delayed);
    list_init(&f->asking);
    list_init(&f->names);
    prng_seed(&f->chance, seed(f));
    int rc = apply(f, &o, error);
    if (rc == FLOTILLA_OK && !o.lazy)
        rc = connect_once(f, error);
    if (rc != FLOTILLA_OK) {
        flotilla_close(f);
        return rc;
    }
    *ret = f;
    return FLOTILLA_OK;
}

/* Ends what waits; nothing new is taken any more. */
static void cancel_all(struct flotilla *f, struct list *waiting)
{
    while (!list_empty(waiting))
        client_op_fail(f, container_of(waiting->next, struct client_op, link), FLOTILLA_CANCELLED,
                       0, "the handle was closed before the request was sent; nothing was done");
}

void flotilla_close(struct flotilla *f)
{
    if (f == NULL)
        return;
    f->busy = f->closing = true; /* callbacks must not wait, and cannot submit */
    for (size_t i = 0; i < f->conn_count; i++) {
        client_error(&f->conns[i]->last, FLOTILLA_CANCELLED, "the handle was closed");
        client_conn_drop(f->conns[i], client_now());
    }
    do { /* what waited for a question goes to a queue, when that is cancelled */
        for (size_t i = 0; i < f->conn_count; i++)
            cancel_all(f, &f->conns[i]->queue);
        cancel_all(f, &f->delayed);
    } while (f->pending > 0);
    client_regions_free(f);
    client_servers_free(f);
    while (!list_empty(&f->names))
        free(container_of(list_pop_front(&f->names), struct client_name, link));
    if (f->epoll >= 0)
        close(f->epoll);
    free(f);
}

void flotilla_set_timeout(struct flotilla *f, uint32_t timeout_ms)
{
    f->timeout_ms = timeout_ms != 0 ? timeout_ms : CLIENT_TIMEOUT_MS;
}

int flotilla_server(const struct flotilla *f, struct flotilla_server *ret)
{
    if (!f->have_server)
        return FLOTILLA_UNAVAILABLE;
    *ret = f->server;
    return FLOTILLA_OK;
}
