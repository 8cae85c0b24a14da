#include "http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <microhttpd.h>

#define STALE_NS (10 * UINT64_C(1000000000))
enum { CONNECTIONS_MAX = 32, TIMEOUT_S = 10 };

struct node_http {
    struct env *env;
    struct MHD_Daemon *daemon;
    struct env_lock *lock;
    char address[64];
    struct buf metrics; /* under the lock, as all below */
    char not_ready[512];
    uint64_t published; /* env_now() */
};

static enum MHD_Result answer(struct MHD_Connection *c, unsigned code, const char *type,
                              struct bytes text)
{
    void *data; /* not const in the library's interface, though it copies */
    memcpy(&data, &text.data, sizeof data);
    struct MHD_Response *r = MHD_create_response_from_buffer(text.len, data, MHD_RESPMEM_MUST_COPY);
    if (r == NULL)
        return MHD_NO;
    MHD_add_response_header(r, "Content-Type", type);
    MHD_add_response_header(r, "Cache-Control", "no-store");
    enum MHD_Result ok = MHD_queue_response(c, code, r);
    MHD_destroy_response(r);
    return ok;
}

static enum MHD_Result answer_metrics(struct node_http *h, struct MHD_Connection *c)
{
    env_lock_enter(h->lock);
    enum MHD_Result ok =
        answer(c, MHD_HTTP_OK, "text/plain; version=0.0.4; charset=utf-8", buf_bytes(&h->metrics));
    env_lock_leave(h->lock);
    return ok;
}

static enum MHD_Result answer_health(struct node_http *h, struct MHD_Connection *c, bool ready)
{
    char text[640];
    unsigned code = MHD_HTTP_SERVICE_UNAVAILABLE;
    env_lock_enter(h->lock);
    uint64_t age = env_now(h->env) - h->published;
    if (age > STALE_NS)
        snprintf(text, sizeof text, "the loop has been silent for %llu s\n",
                 (unsigned long long)(age / 1000000000));
    else if (ready && h->not_ready[0] != 0)
        snprintf(text, sizeof text, "%s\n", h->not_ready);
    else {
        code = MHD_HTTP_OK;
        snprintf(text, sizeof text, "ok\n");
    }
    env_lock_leave(h->lock);
    return answer(c, code, "text/plain; charset=utf-8", BYTES(text));
}

static enum MHD_Result handle(void *user, struct MHD_Connection *c, const char *url,
                              const char *method, const char *version, const char *data,
                              size_t *size, void **state)
{
    struct node_http *h = user;
    (void)version, (void)data, (void)size, (void)state;
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
        return answer(c, MHD_HTTP_METHOD_NOT_ALLOWED, "text/plain", BYTES("GET alone\n"));
    if (strcmp(url, "/metrics") == 0)
        return answer_metrics(h, c);
    if (strcmp(url, "/healthz") == 0)
        return answer_health(h, c, false);
    if (strcmp(url, "/readyz") == 0)
        return answer_health(h, c, true);
    return answer(c, MHD_HTTP_NOT_FOUND, "text/plain",
                  BYTES("here are /metrics, /healthz and /readyz\n"));
}

/* "127.0.0.1:80", "[::1]:80"; localhost is 127.0.0.1. */
static err_t parse(const char *text, struct sockaddr_storage *ret, struct err *e)
{
    const char *colon = strrchr(text, ':');
    char host[64], *end = NULL;
    unsigned long port = colon != NULL ? strtoul(colon + 1, &end, 10) : 0;
    size_t len = colon != NULL ? (size_t)(colon - text) : 0;
    struct sockaddr_in *v4 = (struct sockaddr_in *)ret;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ret;
    memset(ret, 0, sizeof *ret);
    if (colon != NULL && end != colon + 1 && *end == 0 && port <= 65535 && len < sizeof host) {
        snprintf(host, sizeof host, "%.*s", (int)len, text);
        if (strcmp(host, "localhost") == 0)
            snprintf(host, sizeof host, "127.0.0.1");
        if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
            v4->sin_family = AF_INET;
            v4->sin_port = htons((uint16_t)port);
            return ERR_OK;
        }
        if (len > 2 && host[0] == '[' && host[len - 1] == ']') {
            host[len - 1] = 0;
            if (inet_pton(AF_INET6, host + 1, &v6->sin6_addr) == 1) {
                v6->sin6_family = AF_INET6;
                v6->sin6_port = htons((uint16_t)port);
                return ERR_OK;
            }
        }
    }
    return err_set(e, ERR_INVALID_ARGUMENT,
                   "http.address \"%s\" is no address: write for example \"127.0.0.1:7780\"", text);
}

static void remember_address(struct node_http *h, const char *asked)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_BIND_PORT);
    const char *colon = strrchr(asked, ':');
    snprintf(h->address, sizeof h->address, "%.*s:%u", (int)(colon - asked), asked,
             info != NULL ? (unsigned)info->port : (unsigned)atoi(colon + 1));
}

err_t node_http_open(struct env *env, const char *address, struct node_http **ret, struct err *e)
{
    struct sockaddr_storage bind;
    err_t rc = parse(address, &bind, e);
    if (rc != ERR_OK)
        return rc;
    struct node_http *h = calloc(1, sizeof *h);
    if (h == NULL)
        abort(); /* small and fixed */
    h->env = env;
    h->published = env_now(env);
    snprintf(h->not_ready, sizeof h->not_ready, "starting");
    rc = env_lock_new(env, &h->lock, e);
    if (rc != ERR_OK) {
        free(h);
        return rc;
    }
    unsigned flags = MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL;
    if (bind.ss_family == AF_INET6)
        flags |= MHD_USE_IPv6;
    errno = 0;
    h->daemon =
        MHD_start_daemon(flags, 0, NULL, NULL, handle, h, MHD_OPTION_SOCK_ADDR, &bind,
                         MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX,
                         MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)TIMEOUT_S, MHD_OPTION_END);
    if (h->daemon == NULL) {
        int number = errno;
        node_http_close(h);
        return err_set(e, ERR_ADDRESS_IN_USE,
                       "could not listen for HTTP on %s: %s; stop what listens there, or set "
                       "http.address (\"\" turns it off)",
                       address, number != 0 ? strerror(number) : "address in use");
    }
    remember_address(h, address);
    *ret = h;
    return ERR_OK;
}

const char *node_http_address(const struct node_http *h)
{
    return h->address;
}

void node_http_publish(struct node_http *h, struct buf *metrics, const char *not_ready)
{
    env_lock_enter(h->lock);
    struct buf old = h->metrics;
    h->metrics = buf_take(metrics);
    snprintf(h->not_ready, sizeof h->not_ready, "%s", not_ready);
    h->published = env_now(h->env);
    env_lock_leave(h->lock);
    *metrics = old; /* its memory is used again */
    buf_clear(metrics);
}

void node_http_close(struct node_http *h)
{
    if (h == NULL)
        return;
    if (h->daemon != NULL)
        MHD_stop_daemon(h->daemon);
    env_lock_free(h->lock);
    buf_free(&h->metrics);
    free(h);
}
