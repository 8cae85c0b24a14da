/* Handles: options, opening and closing, and what an event loop asks. */
#include "client_int.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/un.h>
#include <unistd.h>

#ifndef FLOTILLA_VERSION
#error "the build says which version this is"
#endif

static const uint64_t ms = 1000000;

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
    const char *endpoint = o->endpoint != NULL ? o->endpoint : FLOTILLA_ENDPOINT_DEFAULT;
    size_t len = strlen(endpoint);
    if (len == 0 || len >= sizeof f->endpoint)
        return client_error(error, FLOTILLA_INVALID_ARGUMENT,
                            "the endpoint must have 1 to %zu characters", sizeof f->endpoint - 1);
    if (strncmp(endpoint, "unix:", 5) == 0 &&
        (len == 5 || len - 5 >= sizeof((struct sockaddr_un *)0)->sun_path))
        return client_error(error, FLOTILLA_INVALID_ARGUMENT,
                            "\"%s\": the path of a Unix socket has 1 to %zu bytes", endpoint,
                            sizeof((struct sockaddr_un *)0)->sun_path - 1);
    snprintf(f->endpoint, sizeof f->endpoint, "%s", endpoint);
    snprintf(f->identity, sizeof f->identity, "%s",
             o->identity != NULL ? o->identity : "libflotilla/" FLOTILLA_VERSION);
    if (o->cluster_id != NULL && !parse_cluster_id(o->cluster_id, f->cluster_id))
        return client_error(error, FLOTILLA_INVALID_ARGUMENT,
                            "the cluster id \"%s\" is not 32 hex digits", o->cluster_id);
    f->have_cluster_id = o->cluster_id != NULL;
    f->timeout_ms = o->timeout_ms != 0 ? o->timeout_ms : CLIENT_TIMEOUT_MS;
    f->connect_ms = o->connect_ms != 0 ? o->connect_ms : CLIENT_CONNECT_MS;
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

/* Sleeps until the socket or the clock has something, at most `timeout_ms` (-1: no bound of its own). */
static void wait_once(struct flotilla *f, int timeout_ms)
{
    int most = flotilla_timeout(f);
    if (timeout_ms < 0 || (most >= 0 && most < timeout_ms))
        timeout_ms = most;
    struct pollfd p = { .fd = flotilla_fd(f), .events = flotilla_events(f) };
    if (timeout_ms < 0 && p.fd < 0)
        return; /* nothing is asked, nothing will come */
    poll(&p, 1, timeout_ms);
}

static int connect_once(struct flotilla *f, struct flotilla_error *error)
{
    f->want_open = true;
    flotilla_process(f);
    while (f->state != CLIENT_READY && f->failures == 0) {
        wait_once(f, -1);
        flotilla_process(f);
    }
    f->want_open = false;
    if (f->state == CLIENT_READY)
        return FLOTILLA_OK;
    return client_error(error, f->last.code, "%s", f->last.message);
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
    f->fd = -1;
    f->next_deadline = f->next_delayed = UINT64_MAX;
    list_init(&f->queue);
    list_init(&f->delayed);
    list_init(&f->wire);
    list_init(&f->names);
    f->unsent = &f->wire;
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

void flotilla_close(struct flotilla *f)
{
    if (f == NULL)
        return;
    f->busy = true; /* callbacks must not wait */
    client_error(&f->last, FLOTILLA_CANCELLED, "the handle was closed");
    client_conn_drop(f, client_now());
    struct list *lists[] = { &f->queue, &f->delayed };
    for (size_t i = 0; i < 2; i++)
        while (!list_empty(lists[i]))
            client_op_fail(f, container_of(lists[i]->next, struct client_op, link),
                           FLOTILLA_CANCELLED, 0,
                           "the handle was closed before the request was sent; nothing was done");
    while (!list_empty(&f->names))
        free(container_of(list_pop_front(&f->names), struct client_name, link));
    if (f->addresses != NULL)
        freeaddrinfo(f->addresses);
    buf_free(&f->in);
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

/* ---- Loops -------------------------------------------------------------------------------------------------- */

size_t flotilla_pending(const struct flotilla *f)
{
    return f->pending;
}

int flotilla_fd(const struct flotilla *f)
{
    return f->fd;
}

short flotilla_events(const struct flotilla *f)
{
    switch (f->state) {
    case CLIENT_CONNECTING:
        return POLLOUT;
    case CLIENT_READY:
        if (f->unsent != &f->wire ||
            (!list_empty(&f->queue) && f->wire_count < f->server.inflight_max &&
             (f->inflight_max == 0 || f->wire_count < f->inflight_max)))
            return POLLIN | POLLOUT;
        return POLLIN;
    case CLIENT_HELLO:
        return f->unsent != &f->wire ? POLLIN | POLLOUT : POLLIN;
    default:
        return 0;
    }
}

int flotilla_timeout(const struct flotilla *f)
{
    uint64_t due = f->next_deadline < f->next_delayed ? f->next_deadline : f->next_delayed;
    bool work = !list_empty(&f->queue) || f->want_open;
    if (f->state == CLIENT_OFFLINE && work && f->retry_at < due)
        due = f->retry_at;
    if ((f->state == CLIENT_CONNECTING || f->state == CLIENT_HELLO) && f->attempt_until < due)
        due = f->attempt_until;
    if (f->probe_until != 0 && f->probe_until < due)
        due = f->probe_until;
    if (due == UINT64_MAX)
        return -1;
    uint64_t now = client_now(), wait = due <= now ? 0 : (due - now + ms - 1) / ms;
    return wait > 1000000 ? 1000000 : (int)wait;
}

void flotilla_process(struct flotilla *f)
{
    if (f->busy)
        return;
    f->busy = true;
    uint64_t now = client_now();
    client_op_tick(f, now);
    client_conn_process(f, now);
    f->busy = false;
}

size_t flotilla_wait(struct flotilla *f, int timeout_ms)
{
    size_t before = f->completed;
    flotilla_process(f);
    if (f->completed != before || f->busy)
        return f->completed - before;
    wait_once(f, timeout_ms);
    flotilla_process(f);
    return f->completed - before;
}
