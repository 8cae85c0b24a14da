/* The servers that a handle knows.
 *
 *   [ seed seed seed | pointed to, pointed to, ... ]      the seeds are the options'; an answer may point to others
 *
 * There are at most CLIENT_CONNS_MAX. When one more is named, one that was pointed to and is not in use makes room.
 * An answer comes from the network: what it names is followed only if it is a numeric address with a port, never
 * resolved. */
#include "client_int.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>

static struct client_conn *find(struct flotilla *f, struct bytes endpoint)
{
    for (size_t i = 0; i < f->conn_count; i++)
        if (bytes_equal(BYTES(f->conns[i]->endpoint), endpoint) ||
            (f->conns[i]->peer[0] != '\0' && bytes_equal(BYTES(f->conns[i]->peer), endpoint)))
            return f->conns[i];
    return NULL;
}

/* One that nobody uses and that was not in the options. Its memory stays: it may be looked at up the stack. */
static struct client_conn *recycle(struct flotilla *f)
{
    for (size_t i = f->seed_count; i < f->conn_count; i++) {
        struct client_conn *c = f->conns[i];
        if (c == f->current || c == f->driver || c->state != CLIENT_OFFLINE ||
            !list_empty(&c->queue) || !list_empty(&c->wire))
            continue;
        if (c->addresses != NULL)
            freeaddrinfo(c->addresses);
        buf_free(&c->in);
        client_regions_leaderless(f, c);
        return c;
    }
    return NULL;
}

static struct client_conn *add(struct flotilla *f, struct bytes endpoint)
{
    struct client_conn *c = find(f, endpoint);
    if (c != NULL)
        return c;
    if (f->conn_count == CLIENT_CONNS_MAX) {
        c = recycle(f);
    } else {
        c = malloc(sizeof *c);
        if (c != NULL)
            f->conns[f->conn_count++] = c;
    }
    if (c == NULL)
        return NULL;
    client_conn_init(c, f);
    snprintf(c->endpoint, sizeof c->endpoint, "%.*s", (int)endpoint.len,
             (const char *)endpoint.data);
    return c;
}

void client_servers_free(struct flotilla *f)
{
    while (f->conn_count > 0)
        client_conn_free(f->conns[--f->conn_count]);
}

/* ---- From the options --------------------------------------------------------------------------------------- */

static int check(const char *text, size_t len, struct flotilla_error *error)
{
    const size_t path_max = sizeof((struct sockaddr_un *)0)->sun_path - 1;
    if (len == 0 || len > CLIENT_ENDPOINT_MAX)
        return client_error(error, FLOTILLA_INVALID_ARGUMENT,
                            "an endpoint must have 1 to %d characters", (int)CLIENT_ENDPOINT_MAX);
    if (len >= 5 && strncmp(text, "unix:", 5) == 0 && (len == 5 || len - 5 > path_max))
        return client_error(error, FLOTILLA_INVALID_ARGUMENT,
                            "\"%.*s\": the path of a Unix socket has 1 to %zu bytes", (int)len,
                            text, path_max);
    return FLOTILLA_OK;
}

int client_servers_parse(struct flotilla *f, const char *text, struct flotilla_error *error)
{
    for (;;) {
        text += strspn(text, " ");
        size_t whole = strcspn(text, ","), len = whole;
        while (len > 0 && text[len - 1] == ' ')
            len--;
        int rc = check(text, len, error);
        if (rc != FLOTILLA_OK)
            return rc;
        if (f->conn_count == CLIENT_ENDPOINTS_MAX)
            return client_error(error, FLOTILLA_INVALID_ARGUMENT, "more than %d endpoints",
                                (int)CLIENT_ENDPOINTS_MAX);
        struct client_conn *c = add(f, bytes_from(text, len));
        if (c == NULL)
            return client_error(error, FLOTILLA_RESOURCE_EXHAUSTED, "no memory for a handle");
        f->seed_count = f->conn_count;
        f->current = f->conns[0];
        if (text[whole] == '\0')
            return FLOTILLA_OK;
        text += whole + 1;
    }
}

/* ---- From an answer ----------------------------------------------------------------------------------------- */

static bool is_port(const char *text)
{
    size_t digits = strspn(text, "0123456789");
    long port = digits >= 1 && digits <= 5 && text[digits] == '\0' ? strtol(text, NULL, 10) : 0;
    return port >= 1 && port <= 65535;
}

/* "127.0.0.1:7701" or "[::1]:7701". */
static bool is_numeric(const char *text)
{
    char host[INET6_ADDRSTRLEN];
    uint8_t address[sizeof(struct in6_addr)];
    bool six = text[0] == '[';
    const char *end = strchr(text, six ? ']' : ':');
    if (end == NULL)
        return false;
    const char *from = six ? text + 1 : text, *colon = six ? end + 1 : end;
    size_t len = (size_t)(end - from);
    if (len >= sizeof host || colon[0] != ':' || !is_port(colon + 1))
        return false;
    memcpy(host, from, len);
    host[len] = '\0';
    return inet_pton(six ? AF_INET6 : AF_INET, host, address) == 1;
}

struct client_conn *client_servers_hinted(struct flotilla *f, struct bytes address)
{
    char text[CLIENT_ENDPOINT_MAX + 1];
    if (address.len == 0 || address.len > CLIENT_ENDPOINT_MAX)
        return NULL;
    memcpy(text, address.data, address.len);
    text[address.len] = '\0';
    if (strlen(text) != address.len || !is_numeric(text))
        return NULL;
    return add(f, address);
}

/* ---- Around ------------------------------------------------------------------------------------------------- */

struct client_conn *client_servers_next(struct flotilla *f, struct client_conn *c, uint64_t now)
{
    size_t at = 0;
    while (f->conns[at] != c)
        at++;
    struct client_conn *soonest = c;
    for (size_t i = 1; i <= f->conn_count; i++) {
        struct client_conn *next = f->conns[(at + i) % f->conn_count];
        if (next->state != CLIENT_OFFLINE || next->retry_at <= now)
            return next;
        if (next->retry_at < soonest->retry_at)
            soonest = next;
    }
    return soonest;
}
