/* The first frame of a connection, and what those are told who do not fit.
 *
 *   a peer of ours        hello request -> hello response, then requests
 *   of another cluster,   hello response with a Status that names both sides, then the end
 *   version, or refused
 *   somebody else         one readable line (an HTTP client: an HTTP answer), then the end
 *
 * Nothing that was said before a hello is trusted with more than 4 KiB and hello_ms. */
#include "net_int.h"

#include <stdio.h>

#include "base/pb.h"
#include "net/status.h"

enum { PROTOCOL_MIN = 1, PROTOCOL_MAX = 1, IDENTITY_SHOWN = 64 };

struct hello {
    uint64_t protocol_min, protocol_max;
    uint64_t node_id, incarnation;
    struct bytes cluster_id, identity;
};

static err_t hello_read(struct bytes body, struct hello *ret)
{
    struct hello h = { 0 };
    struct pb_field f;
    while (pb_next(&body, &f)) {
        if (f.number == 1 && f.type == PB_VARINT)
            h.protocol_min = f.value;
        else if (f.number == 2 && f.type == PB_VARINT)
            h.protocol_max = f.value;
        else if (f.number == 3 && f.type == PB_BYTES)
            h.cluster_id = f.bytes;
        else if (f.number == 4 && f.type == PB_BYTES)
            h.identity = f.bytes;
        else if (f.number == 6 && f.type == PB_VARINT)
            h.node_id = f.value;
        else if (f.number == 7 && f.type == PB_FIXED64)
            h.incarnation = f.value;
    }
    if (body.len != 0)
        return ERR_CORRUPTION;
    *ret = h;
    return ERR_OK;
}

/* Hex of at most 16 bytes, which is what an id has. */
static const char *hex(struct bytes id, char out[36])
{
    size_t n = 0;
    out[0] = '\0';
    for (size_t i = 0; i < id.len && i < 16; i++)
        n += (size_t)snprintf(out + n, 36 - n, "%02x", id.data[i]);
    return out;
}

/* A store says which cluster it belongs to, and is another than this one. */
static err_t check_store(const struct net_server *s, const struct hello *h, char *why, size_t size)
{
    if (h->cluster_id.len == 0)
        snprintf(why, size, "store %llu does not say to which cluster it belongs",
                 (unsigned long long)h->node_id);
    else if (h->node_id == s->node_id)
        snprintf(
            why, size,
            "you say that you are store %llu, which is this node; was a data directory copied?",
            (unsigned long long)h->node_id);
    else
        return ERR_OK;
    return ERR_FAILED_PRECONDITION;
}

static err_t check(const struct net_server *s, const struct hello *h, char *why, size_t size)
{
    char ours[36], theirs[36];
    if (h->protocol_min > PROTOCOL_MAX || h->protocol_max < PROTOCOL_MIN) {
        snprintf(why, size,
                 "you speak protocols %llu to %llu, this node %d to %d; upgrade the older side",
                 (unsigned long long)h->protocol_min, (unsigned long long)h->protocol_max,
                 PROTOCOL_MIN, PROTOCOL_MAX);
        return ERR_UPGRADE_REQUIRED;
    }
    if (h->cluster_id.len > 0 && !bytes_equal(h->cluster_id, buf_bytes(&s->cluster_id))) {
        snprintf(why, size,
                 "you ask for cluster %s, this node belongs to cluster %s; check the address",
                 hex(h->cluster_id, theirs), hex(buf_bytes(&s->cluster_id), ours));
        return ERR_FAILED_PRECONDITION;
    }
    return h->node_id == 0 ? ERR_OK : check_store(s, h, why, size);
}

static void answer(struct net_conn *c, uint64_t id, err_t rc, const char *why)
{
    struct net_server *s = c->server;
    const struct net_limits *l = &s->limits;
    struct buf body = { 0 };
    size_t size = 64 + s->cluster_id.len + s->identity.len;
    if (net_status_append(&body, rc, why, 0) != ERR_OK || buf_reserve(&body, size) == NULL) {
        buf_free(&body);
        net_conn_close(c);
        return;
    }
    uint8_t *at = body.data + body.len;
    pb_put_u64(&at, 2, PROTOCOL_MAX);
    pb_put_bytes(&at, 3, buf_bytes(&s->cluster_id));
    pb_put_u64(&at, 4, s->node_id);
    pb_put_bytes(&at, 5, buf_bytes(&s->identity));
    pb_put_u64(&at, 7, l->frame_max);
    pb_put_u64(&at, 8, l->inflight_max);
    pb_put_u64(&at, 9, l->idle_ms);
    body.len = (size_t)(at - body.data);
    struct net_frame f = { .kind = NET_FRAME_RESPONSE, .method = NET_HELLO, .request_id = id };
    net_out_frame_owned(c, &f, &body);
}

/* The connection is a store's from now on, and the only one: what an older one still has in its buffers would come
 * behind what is newer. */
static void become_store(struct net_conn *c, const struct hello *h)
{
    struct net_conn *older;
    do {
        older = NULL;
        list_for_each(node, &c->server->conns) {
            struct net_conn *at = container_of(node, struct net_conn, link);
            if (at->store == h->node_id && at->state == NET_CONN_OPEN)
                older = at;
        }
        if (older != NULL) {
            logger_info(c->server->log, "a store connects anew; its older connection ends",
                        logger_each(logger_u64("store", h->node_id)));
            net_conn_close(older); /* may call back: look again */
        }
    } while (older != NULL);
    c->store = h->node_id;
    c->incarnation = h->incarnation;
}

void net_hello_handle(struct net_conn *c, const struct net_frame *f)
{
    struct net_server *s = c->server;
    struct hello h;
    if (f->kind != NET_FRAME_REQUEST || f->method != NET_HELLO ||
        hello_read(f->body, &h) != ERR_OK) {
        s->stats.protocol_errors++;
        net_hello_refuse(c, ERR_FAILED_PRECONDITION,
                         "the first frame must be a hello request (method 1)");
        return;
    }
    char why[200] = "";
    err_t rc = check(s, &h, why, sizeof why);
    if (rc == ERR_OK && s->draining) {
        rc = ERR_UNAVAILABLE;
        snprintf(why, sizeof why, "the node is stopping");
    }
    answer(c, f->request_id, rc, why);
    if (rc == ERR_OK) {
        if (c->state == NET_CONN_HELLO)
            c->state = NET_CONN_OPEN;
        if (h.node_id != 0)
            become_store(c, &h);
        return;
    }
    s->stats.refused++;
    struct bytes who = h.identity;
    if (who.len > IDENTITY_SHOWN)
        who.len = IDENTITY_SHOWN;
    logger_warn(s->log, "a hello was refused", logger_bytes("identity", who),
                logger_text("reason", why));
    net_conn_linger(c);
}

void net_hello_refuse(struct net_conn *c, err_t rc, const char *message)
{
    struct buf body = { 0 };
    if (net_status_append(&body, rc, message, 0) == ERR_OK) {
        struct bytes whole = buf_bytes(&body), status;
        struct pb_field field;
        status = pb_next(&whole, &field) ? field.bytes : (struct bytes){ 0 };
        net_out_frame(c, &(struct net_frame){ .kind = NET_FRAME_ERROR, .body = status });
    }
    buf_free(&body);
    net_conn_linger(c);
}

static bool is_http(struct bytes first)
{
    static const char *const words[] = { "GET ", "POST", "HEAD", "PUT ", "DELE",
                                         "OPTI", "PATC", "CONN", "TRAC", "PRI " };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (bytes_starts_with(first, bytes_from(words[i], 4)))
            return true;
    return false;
}

void net_hello_stranger(struct net_conn *c, struct bytes first)
{
    struct buf *identity = &c->server->identity;
    char line[256], text[512];
    int n = snprintf(
        line, sizeof line,
        "%.*s: this port speaks Flotilla's binary protocol; use libflotilla or the flotilla program%s\n",
        (int)(identity->len > IDENTITY_SHOWN ? IDENTITY_SHOWN : identity->len),
        (const char *)identity->data,
        is_http(first) ? " (metrics and health have a port of their own)" : "");
    if (is_http(first))
        n = snprintf(
            text, sizeof text,
            "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n"
            "Connection: close\r\n\r\n%s",
            n, line);
    else
        memcpy(text, line, (size_t)n + 1);
    net_out_bytes(c, bytes_from(text, (size_t)n));
    net_conn_linger(c);
}
