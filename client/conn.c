/* The connection to a server.
 *
 *   OFFLINE -> CONNECTING -> HELLO -> READY
 *      ^            |           |       |
 *      '------------+-----------+-------'   dropped: c->last says why, a jittered pause, then again if there is work
 *                                            here still: another server may be asked meanwhile (route.c)
 *
 * The wire is a list of operations in the order of their frames; c->unsent is where writing stands. What lies before
 * it was sent as a whole and is waiting for answers; what lies behind was not begun and may be taken back. */
#include "client_int.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "net/method.h"

enum { IOV_OURS = 64, READ_LEAST = 16 * 1024, READ_FIRST = 64 * 1024, INPUT_KEPT = 1024 * 1024 };

static const uint64_t ms = 1000000;

/* ---- Ending ------------------------------------------------------------------------------------------------- */

void client_conn_init(struct client_conn *c, struct flotilla *f)
{
    memset(c, 0, sizeof *c);
    c->f = f;
    c->fd = -1;
    list_init(&c->queue);
    list_init(&c->wire);
    c->unsent = &c->wire;
}

void client_conn_free(struct client_conn *c)
{
    if (c->addresses != NULL)
        freeaddrinfo(c->addresses);
    buf_free(&c->in);
    free(c);
}

static void close_socket(struct client_conn *c)
{
    if (c->fd >= 0)
        close(c->fd); /* which takes it out of the epoll too */
    c->fd = -1;
    c->watched = 0;
    c->state = CLIENT_OFFLINE;
    c->probe_until = 0;
    c->in_at = c->in.len = 0;
}

/* Moves the wire to `lost`; an operation that goes there knows whether it was sent as a whole. */
static void take_wire(struct client_conn *c, struct list *lost, bool told)
{
    bool whole = !told;
    while (!list_empty(&c->wire)) {
        struct list *node = c->wire.next;
        if (node == c->unsent)
            whole = false;
        struct client_op *op = container_of(node, struct client_op, link);
        op->sent_whole = whole;
        list_remove(node);
        list_push_back(lost, node);
    }
    c->unsent = &c->wire;
    c->unsent_at = 0;
    c->wire_count = 0;
}

/* `told`: the server has said that nothing of what it did not answer will ever be done. */
static void drop(struct client_conn *c, uint64_t now, bool told)
{
    bool was_ready = c->state == CLIENT_READY, idle = was_ready && !told && list_empty(&c->wire);
    close_socket(c);
    if (was_ready)
        c->failures = 0;
    uint64_t most = CLIENT_BACKOFF_LEAST_MS;
    for (unsigned i = 0; i < c->failures && most < CLIENT_BACKOFF_MOST_MS; i++)
        most *= 2;
    c->retry_at = now + prng_range(&c->f->chance, most / 2, most) * ms;
    c->failures++;
    struct list lost;
    list_init(&lost);
    take_wire(c, &lost, told);
    client_route_lost(c->f, c, idle, now);
    while (!list_empty(&lost)) {
        struct client_op *op = container_of(list_pop_front(&lost), struct client_op, link);
        client_op_lost(c->f, op, op->sent_whole);
    }
}

void client_conn_drop(struct client_conn *c, uint64_t now)
{
    drop(c, now, false);
}

/* The server, or its address, will not be another one soon. */
static void refuse(struct client_conn *c, uint64_t now)
{
    c->refused = true;
    client_conn_drop(c, now);
    client_route_refused(c->f, c);
}

/* ---- Connecting --------------------------------------------------------------------------------------------- */

static bool next_address(struct client_conn *c)
{
    if (c->address != NULL)
        c->address = c->address->ai_next;
    return c->address != NULL;
}

static bool resolve(struct client_conn *c)
{
    char host[sizeof c->endpoint];
    const char *port = "7700", *from = c->endpoint;
    size_t len = strlen(from);
    if (from[0] == '[' && strchr(from, ']') != NULL) {
        const char *end = strchr(from, ']');
        len = (size_t)(end - from) - 1;
        port = end[1] == ':' ? end + 2 : port;
        from++;
    } else if (strchr(from, ':') != NULL && strchr(from, ':') == strrchr(from, ':')) {
        len = (size_t)(strchr(from, ':') - from);
        port = from + len + 1;
    }
    snprintf(host, sizeof host, "%.*s", (int)len, from);
    if (c->addresses != NULL)
        freeaddrinfo(c->addresses);
    c->addresses = c->address = NULL;
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
    int rc = getaddrinfo(host, port, &hints, &c->addresses);
    if (rc != 0) {
        c->addresses = NULL;
        client_error(&c->last, FLOTILLA_UNAVAILABLE, "could not resolve \"%s\": %s", c->endpoint,
                     gai_strerror(rc));
        return false;
    }
    c->address = c->addresses;
    return true;
}

static int open_socket(struct client_conn *c)
{
    if (strncmp(c->endpoint, "unix:", 5) == 0) {
        struct sockaddr_un to = { .sun_family = AF_UNIX };
        snprintf(to.sun_path, sizeof to.sun_path, "%s", c->endpoint + 5);
        c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        return c->fd < 0 ? -1 : connect(c->fd, (struct sockaddr *)&to, sizeof to);
    }
    const struct addrinfo *to = c->address;
    c->fd = socket(to->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        return -1;
    int one = 1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(c->fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
    return connect(c->fd, to->ai_addr, to->ai_addrlen);
}

static void connect_failed(struct client_conn *c, int number, uint64_t now)
{
    client_error(&c->last, FLOTILLA_UNAVAILABLE, "could not connect to %s: %s%s", c->endpoint,
                 strerror(number),
                 number == ECONNREFUSED || number == ENOENT ? "; is the node running there?" : "");
    if (strncmp(c->endpoint, "unix:", 5) != 0 && next_address(c)) {
        close_socket(c);   /* nothing is on the wire yet */
        c->retry_at = now; /* another of the same host: at once, as part of the same attempt */
    } else {
        client_conn_drop(c, now);
    }
}

/* ---- Hello -------------------------------------------------------------------------------------------------- */

static void put_on_wire(struct client_conn *c, struct client_op *op, struct list *before)
{
    list_push_back(before, &op->link);
    c->wire_count++;
    if (c->unsent == before)
        c->unsent = &op->link;
}

static void encode(struct client_op *op, enum net_frame_kind kind, uint32_t deadline_ms)
{
    struct net_frame frame = {
        .kind = kind,
        .method = op->method,
        .deadline_ms = deadline_ms,
        .request_id = op->id,
        .body = bytes_from(client_op_wire(op) + NET_FRAME_HEADER,
                           client_op_wire_size(op) - NET_FRAME_HEADER),
    };
    net_frame_encode(&frame, client_op_wire(op));
}

static void no_finish(struct client_op *op, const struct client_reply *reply)
{
    (void)op, (void)reply;
}

/* A frame of our own, in front of what was not begun. */
static bool send_control(struct client_conn *c, enum net_frame_kind kind, uint16_t method,
                         uint64_t id, unsigned flags, struct bytes body)
{
    struct client_op *op = client_op_new(method, CLIENT_CONTROL | flags, body.len, 0);
    if (op == NULL)
        return false;
    if (body.len > 0)
        memcpy(client_op_body(op), body.data, body.len);
    op->id = id;
    op->finish = no_finish;
    encode(op, kind, 0);
    struct list *before = c->unsent;
    if (c->unsent_at > 0)
        before = before->next; /* not into the middle of a frame */
    put_on_wire(c, op, before);
    return true;
}

/* The server's address as others would name it, so that it is not taken for one more. */
static void note_peer(struct client_conn *c)
{
    struct sockaddr_storage from;
    socklen_t len = sizeof from;
    char host[48], port[8];
    if (getpeername(c->fd, (struct sockaddr *)&from, &len) != 0 || from.ss_family == AF_UNIX ||
        getnameinfo((struct sockaddr *)&from, len, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return;
    snprintf(c->peer, sizeof c->peer, from.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}

static void say_hello(struct client_conn *c, uint64_t now)
{
    uint8_t body[160], *at = body;
    pb_put_u64(&at, 1, 1);
    pb_put_u64(&at, 2, 1);
    if (c->f->have_cluster_id)
        pb_put_bytes(&at, 3, bytes_from(c->f->cluster_id, sizeof c->f->cluster_id));
    pb_put_bytes(&at, 4, BYTES(c->f->identity));
    note_peer(c);
    c->state = CLIENT_HELLO;
    if (!send_control(c, NET_FRAME_REQUEST, NET_HELLO, 0, 0,
                      bytes_from(body, (size_t)(at - body)))) {
        client_error(&c->last, FLOTILLA_RESOURCE_EXHAUSTED, "no memory to connect");
        client_conn_drop(c, now);
    }
}

static uint32_t bounded_u32(uint64_t v, uint32_t least, uint32_t most)
{
    return v < least ? least : v > most ? most : (uint32_t)v;
}

static void take_hello(struct client_conn *c, const struct net_frame *frame, uint64_t now)
{
    struct net_status status = { 0 };
    struct bytes wire = client_message_bytes(frame->body, 1),
                 id = client_message_bytes(frame->body, 3),
                 who = client_message_bytes(frame->body, 5);
    if (frame->method != NET_HELLO || !client_message_valid(frame->body) ||
        net_status_read(wire, &status) != ERR_OK) {
        client_error(&c->last, FLOTILLA_FAILED_PRECONDITION, "%s answers hello with something else",
                     c->endpoint);
        refuse(c, now);
        return;
    }
    if (status.code != ERR_OK) {
        client_error(&c->last, (int)status.code, "%s refuses us: %.*s", c->endpoint,
                     (int)(status.message.len > 300 ? 300 : status.message.len),
                     (const char *)status.message.data);
        if (flotilla_error_class((int)status.code) == FLOTILLA_CLASS_FINAL)
            refuse(c, now);
        else
            client_conn_drop(c, now);
        return;
    }
    struct flotilla_server *s = &c->f->server;
    c->refused = false;
    *s = (struct flotilla_server){ 0 };
    snprintf(s->identity, sizeof s->identity, "%.*s", (int)(who.len > 63 ? 63 : who.len),
             (const char *)who.data);
    for (size_t i = 0; i < id.len && i < 16; i++)
        snprintf(s->cluster_id + 2 * i, 3, "%02x", id.data[i]);
    s->protocol = bounded_u32(client_message_u64(frame->body, 2), 0, UINT32_MAX);
    s->node_id = client_message_u64(frame->body, 4);
    s->frame_max =
        bounded_u32(client_message_u64(frame->body, 7), NET_FRAME_MAX_UNKNOWN, NET_FRAME_MAX);
    s->inflight_max = bounded_u32(client_message_u64(frame->body, 8), 1, UINT32_MAX);
    c->f->have_server = true;
    c->frame_max = s->frame_max;
    c->inflight_max = s->inflight_max;
    if (c->f->inflight_max != 0 && c->f->inflight_max < c->inflight_max)
        c->inflight_max = c->f->inflight_max;
    c->state = CLIENT_READY;
    c->failures = 0;
    client_error_clear(&c->last);
}

static void start(struct client_conn *c, uint64_t now)
{
    bool local = strncmp(c->endpoint, "unix:", 5) == 0;
    c->attempt_until = now + c->f->connect_ms * ms;
    if (!local && c->address == NULL && !resolve(c)) {
        client_conn_drop(c, now);
        return;
    }
    c->state = CLIENT_CONNECTING;
    if (open_socket(c) == 0)
        say_hello(c, now);
    else if (errno != EINPROGRESS)
        connect_failed(c, errno, now);
}

static void finish_connect(struct client_conn *c, uint64_t now)
{
    struct pollfd p = { .fd = c->fd, .events = POLLOUT };
    if (poll(&p, 1, 0) <= 0 || p.revents == 0)
        return;
    int number = 0;
    socklen_t len = sizeof number;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &number, &len);
    if (number != 0)
        connect_failed(c, number, now);
    else
        say_hello(c, now);
}

/* ---- Sending ------------------------------------------------------------------------------------------------ */

bool client_conn_assignable(const struct client_conn *c)
{
    return c->state == CLIENT_READY && c->wire_count < c->inflight_max && !list_empty(&c->queue);
}

/* Fills the window with operations that wait. */
static void assign(struct client_conn *c, uint64_t now)
{
    if (list_empty(&c->wire))
        c->heard_at = now;
    while (client_conn_assignable(c)) {
        struct client_op *op = container_of(list_pop_front(&c->queue), struct client_op, link);
        if (client_op_wire_size(op) > c->frame_max) {
            client_op_fail(c->f, op, FLOTILLA_TOO_LARGE, 0,
                           "the request has %zu bytes, the server takes frames of %u",
                           client_op_wire_size(op), (unsigned)c->frame_max);
            continue;
        }
        uint64_t left = op->deadline > now ? (op->deadline - now + ms - 1) / ms : 1;
        encode(op, NET_FRAME_REQUEST, left > UINT32_MAX ? UINT32_MAX : (uint32_t)left);
        put_on_wire(c, op, &c->wire);
    }
}

/* `n` more bytes of the wire were written: moves on, forgets frames that nobody will answer. */
static void advance(struct client_conn *c, size_t n)
{
    while (n > 0) {
        struct client_op *op = container_of(c->unsent, struct client_op, link);
        size_t rest = client_op_wire_size(op) - c->unsent_at;
        if (n < rest) {
            c->unsent_at += n;
            return;
        }
        n -= rest;
        c->unsent = c->unsent->next;
        c->unsent_at = 0;
        if (op->flags & CLIENT_ONE_WAY) {
            list_remove(&op->link);
            c->wire_count--;
            client_op_free(op);
        }
    }
}

static void send_wire(struct client_conn *c, uint64_t now)
{
    while (c->unsent != &c->wire) {
        struct iovec iov[IOV_OURS];
        size_t n = 0, skip = c->unsent_at, total = 0;
        for (struct list *node = c->unsent; node != &c->wire && n < IOV_OURS; node = node->next) {
            struct client_op *op = container_of(node, struct client_op, link);
            size_t size = client_op_wire_size(op) - skip;
            iov[n++] = (struct iovec){ client_op_wire(op) + skip, size };
            total += size;
            skip = 0;
        }
        struct msghdr message = { .msg_iov = iov, .msg_iovlen = n };
        ssize_t sent = sendmsg(c->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (sent < 0) {
            client_error(&c->last, FLOTILLA_UNAVAILABLE, "the connection to %s broke: %s",
                         c->endpoint, strerror(errno));
            client_conn_drop(c, now);
            return;
        }
        advance(c, (size_t)sent);
        if ((size_t)sent < total)
            return;
    }
}

bool client_conn_recall(struct client_conn *c, struct client_op *op)
{
    bool begun = c->unsent_at > 0;
    for (struct list *node = c->unsent; node != &c->wire; node = node->next) {
        if (node == &op->link && !begun) {
            if (c->unsent == node)
                c->unsent = node->next;
            list_remove(node);
            c->wire_count--;
            return true;
        }
        begun = false;
    }
    return false;
}

void client_conn_cancel(struct client_conn *c, uint64_t id)
{
    if (c->state == CLIENT_READY)
        send_control(c, NET_FRAME_CANCEL, 0, id, CLIENT_ONE_WAY, (struct bytes){ 0 });
}

void client_conn_probe(struct client_conn *c, uint64_t now)
{
    if (c->state != CLIENT_READY || c->probe_until != 0)
        return;
    if (send_control(c, NET_FRAME_PING, 0, 0, CLIENT_ONE_WAY, (struct bytes){ 0 }))
        c->probe_until = now + c->f->connect_ms * ms;
}

/* ---- Receiving ---------------------------------------------------------------------------------------------- */

static void stranger(struct client_conn *c, uint64_t now)
{
    char said[80];
    size_t n = c->in.len - c->in_at, k = 0;
    for (size_t i = 0; i < n && k + 1 < sizeof said; i++) {
        uint8_t byte = c->in.data[c->in_at + i];
        if (byte == '\r' || byte == '\n')
            break;
        said[k++] = byte >= 0x20 && byte < 0x7f ? (char)byte : '.';
    }
    said[k] = '\0';
    client_error(&c->last, FLOTILLA_FAILED_PRECONDITION,
                 "%s does not speak Flotilla's protocol (it says \"%s\"); check the port",
                 c->endpoint, said);
    refuse(c, now);
}

/* Id 0: about the connection, which ends. */
static void take_error(struct client_conn *c, const struct net_frame *frame, uint64_t now)
{
    struct net_status status = { .code = ERR_INTERNAL };
    if (net_status_read(frame->body, &status) != ERR_OK || status.code == ERR_OK)
        status.code = ERR_INTERNAL;
    client_error(&c->last, (int)status.code, "%s ended the connection: %.*s", c->endpoint,
                 (int)(status.message.len > 300 ? 300 : status.message.len),
                 (const char *)status.message.data);
    bool early = c->state == CLIENT_HELLO;
    if (early && (status.code == ERR_PERMISSION_DENIED || status.code == ERR_UPGRADE_REQUIRED))
        refuse(c, now);
    else
        drop(c, now, status.code == ERR_UNAVAILABLE);
}

static void take_frame(struct client_conn *c, const struct net_frame *frame, uint64_t now)
{
    if (frame->kind == NET_FRAME_ERROR && frame->request_id == 0) {
        take_error(c, frame, now);
        return;
    }
    if (frame->kind != NET_FRAME_RESPONSE && frame->kind != NET_FRAME_ERROR)
        return; /* the answer to a ping, or a push that nobody asked for */
    for (struct list *node = c->wire.next; node != c->unsent; node = node->next) {
        struct client_op *op = container_of(node, struct client_op, link);
        if (op->id != frame->request_id)
            continue;
        list_remove(node);
        c->wire_count--;
        if (op->flags & CLIENT_CONTROL) {
            client_op_free(op);
            take_hello(c, frame, now);
        } else {
            client_op_answer(c->f, op, frame);
        }
        return;
    }
}

/* Takes whole frames off the input. The connection may be gone afterwards. */
static void take_frames(struct client_conn *c, uint64_t now)
{
    while (c->fd >= 0 && c->in_at < c->in.len) {
        struct net_frame frame;
        size_t size;
        err_t rc = net_frame_decode(bytes_from(c->in.data + c->in_at, c->in.len - c->in_at),
                                    NET_FRAME_MAX, &frame, &size);
        if (rc == ERR_SHORT)
            break;
        if (rc != ERR_OK && c->state == CLIENT_HELLO) {
            stranger(c, now);
            return;
        }
        if (rc != ERR_OK) {
            client_error(&c->last, FLOTILLA_UNAVAILABLE, "a frame from %s is damaged", c->endpoint);
            client_conn_drop(c, now);
            return;
        }
        c->in_at += size;
        take_frame(c, &frame, now);
    }
    if (c->in_at == c->in.len) {
        c->in_at = c->in.len = 0;
        if (c->in.cap > INPUT_KEPT)
            buf_free(&c->in);
    } else if (c->in_at > c->in.len / 2) {
        memmove(c->in.data, c->in.data + c->in_at, c->in.len - c->in_at);
        c->in.len -= c->in_at;
        c->in_at = 0;
    }
}

static void receive(struct client_conn *c, uint64_t now)
{
    while (c->fd >= 0) {
        size_t want = c->in.data == NULL ? READ_FIRST : READ_LEAST;
        uint8_t *to =
            c->in.cap - c->in.len >= want ? c->in.data + c->in.len : buf_reserve(&c->in, want);
        if (to == NULL) {
            client_error(&c->last, FLOTILLA_RESOURCE_EXHAUSTED, "no memory to receive into");
            client_conn_drop(c, now);
            return;
        }
        size_t room = c->in.cap - c->in.len;
        ssize_t got = recv(c->fd, to, room, MSG_DONTWAIT);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (got <= 0) {
            if (c->state == CLIENT_HELLO && c->in.len > c->in_at) {
                stranger(c, now);
                return;
            }
            if (got == 0)
                client_error(&c->last, FLOTILLA_UNAVAILABLE, "%s closed the connection",
                             c->endpoint);
            else
                client_error(&c->last, FLOTILLA_UNAVAILABLE, "the connection to %s broke: %s",
                             c->endpoint, strerror(errno));
            client_conn_drop(c, now);
            return;
        }
        c->in.len += (size_t)got;
        c->probe_until = 0;
        c->heard_at = now;
        take_frames(c, now);
        if ((size_t)got < room)
            return;
    }
}

/* ---- The face ----------------------------------------------------------------------------------------------- */

bool client_conn_wanted(const struct client_conn *c)
{
    return !list_empty(&c->queue) || (c->f->want_open && c == c->f->current);
}

/* Where another server could be asked, one that owes answers and says nothing is not waited for until the end. */
static uint64_t silent_at(const struct client_conn *c)
{
    bool owes = c->state == CLIENT_READY && c->wire_count > 0;
    return owes && c->f->conn_count > 1 && c->probe_until == 0 ? c->heard_at + CLIENT_SILENT_MS * ms
                                                               : UINT64_MAX;
}

uint64_t client_conn_due(const struct client_conn *c)
{
    uint64_t due = silent_at(c);
    if (c->state == CLIENT_OFFLINE && client_conn_wanted(c) && c->retry_at < due)
        due = c->retry_at;
    if ((c->state == CLIENT_CONNECTING || c->state == CLIENT_HELLO) && c->attempt_until < due)
        due = c->attempt_until;
    if (c->probe_until != 0 && c->probe_until < due)
        due = c->probe_until;
    return client_conn_assignable(c) ? 0 : due;
}

static void check_time(struct client_conn *c, uint64_t now)
{
    if ((c->state == CLIENT_CONNECTING || c->state == CLIENT_HELLO) && now >= c->attempt_until) {
        client_error(&c->last, FLOTILLA_UNAVAILABLE, "%s did not %s within %u ms", c->endpoint,
                     c->state == CLIENT_HELLO ? "answer hello" : "accept the connection",
                     (unsigned)c->f->connect_ms);
        next_address(c);
        client_conn_drop(c, now);
    } else if (c->probe_until != 0 && now >= c->probe_until) {
        client_error(&c->last, FLOTILLA_UNAVAILABLE, "%s does not answer", c->endpoint);
        client_conn_drop(c, now);
    } else if (now >= silent_at(c)) {
        client_conn_probe(c, now);
    }
}

void client_conn_receive(struct client_conn *c, bool look, uint64_t now)
{
    check_time(c, now);
    if (c->state == CLIENT_OFFLINE && client_conn_wanted(c) && now >= c->retry_at)
        start(c, now);
    if (c->state == CLIENT_CONNECTING)
        finish_connect(c, now);
    if (look && (c->state == CLIENT_HELLO || c->state == CLIENT_READY))
        receive(c, now);
}

void client_conn_send(struct client_conn *c, uint64_t now)
{
    if (client_conn_assignable(c))
        assign(c, now);
    if (c->state == CLIENT_HELLO || c->state == CLIENT_READY)
        send_wire(c, now);
}
