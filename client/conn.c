/* The connection of a handle.
 *
 *   OFFLINE -> CONNECTING -> HELLO -> READY
 *      ^            |           |       |
 *      '------------+-----------+-------'   dropped: f->last says why, a jittered pause, then again if there is work
 *
 * The wire is a list of operations in the order of their frames; f->unsent is where writing stands. What lies before
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

static void close_socket(struct flotilla *f)
{
    if (f->fd >= 0)
        close(f->fd);
    f->fd = -1;
    f->state = CLIENT_OFFLINE;
    f->probe_until = 0;
    f->in_at = f->in.len = 0;
}

/* `told`: the server has said that nothing of what it did not answer will ever be done. */
static void drop(struct flotilla *f, uint64_t now, bool told)
{
    bool was_ready = f->state == CLIENT_READY;
    close_socket(f);
    if (was_ready)
        f->failures = 0;
    uint64_t most = CLIENT_BACKOFF_LEAST_MS;
    for (unsigned i = 0; i < f->failures && most < CLIENT_BACKOFF_MOST_MS; i++)
        most *= 2;
    f->retry_at = now + prng_range(&f->chance, most / 2, most) * ms;
    f->failures++;
    struct list lost;
    list_init(&lost);
    bool whole = !told;
    while (!list_empty(&f->wire)) {
        struct list *node = f->wire.next;
        if (node == f->unsent)
            whole = false;
        struct client_op *op = container_of(node, struct client_op, link);
        op->sent_whole = whole;
        list_remove(node);
        list_push_back(&lost, node);
    }
    f->unsent = &f->wire;
    f->unsent_at = 0;
    f->wire_count = 0;
    while (!list_empty(&lost)) {
        struct client_op *op = container_of(list_pop_front(&lost), struct client_op, link);
        client_op_lost(f, op, op->sent_whole);
    }
}

void client_conn_drop(struct flotilla *f, uint64_t now)
{
    drop(f, now, false);
}

/* The server, or its address, will not be another one soon: whoever waits is told. */
static void refuse_all(struct flotilla *f, uint64_t now)
{
    client_conn_drop(f, now);
    struct list waiting;
    list_init(&waiting);
    list_splice(&waiting, &f->queue);
    list_splice(&waiting, &f->delayed);
    while (!list_empty(&waiting))
        client_op_fail(f, container_of(waiting.next, struct client_op, link), f->last.code, 0, "%s",
                       f->last.message);
}

/* ---- Connecting --------------------------------------------------------------------------------------------- */

static bool next_address(struct flotilla *f)
{
    if (f->address != NULL)
        f->address = f->address->ai_next;
    return f->address != NULL;
}

static bool resolve(struct flotilla *f)
{
    char host[sizeof f->endpoint];
    const char *port = "7700", *from = f->endpoint;
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
    if (f->addresses != NULL)
        freeaddrinfo(f->addresses);
    f->addresses = f->address = NULL;
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
    int rc = getaddrinfo(host, port, &hints, &f->addresses);
    if (rc != 0) {
        f->addresses = NULL;
        client_error(&f->last, FLOTILLA_UNAVAILABLE, "could not resolve \"%s\": %s", f->endpoint,
                     gai_strerror(rc));
        return false;
    }
    f->address = f->addresses;
    return true;
}

static int open_socket(struct flotilla *f)
{
    if (strncmp(f->endpoint, "unix:", 5) == 0) {
        struct sockaddr_un to = { .sun_family = AF_UNIX };
        snprintf(to.sun_path, sizeof to.sun_path, "%s", f->endpoint + 5);
        f->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        return f->fd < 0 ? -1 : connect(f->fd, (struct sockaddr *)&to, sizeof to);
    }
    const struct addrinfo *to = f->address;
    f->fd = socket(to->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (f->fd < 0)
        return -1;
    int one = 1;
    setsockopt(f->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(f->fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
    return connect(f->fd, to->ai_addr, to->ai_addrlen);
}

static void connect_failed(struct flotilla *f, int number, uint64_t now)
{
    client_error(&f->last, FLOTILLA_UNAVAILABLE, "could not connect to %s: %s%s", f->endpoint,
                 strerror(number),
                 number == ECONNREFUSED || number == ENOENT ? "; is the node running there?" : "");
    bool another = strncmp(f->endpoint, "unix:", 5) != 0 && next_address(f);
    unsigned failures = f->failures;
    client_conn_drop(f, now);
    if (another) { /* of the same host: at once, as part of the same attempt */
        f->retry_at = now;
        f->failures = failures;
    }
}

/* ---- Hello -------------------------------------------------------------------------------------------------- */

static void put_on_wire(struct flotilla *f, struct client_op *op, struct list *before)
{
    list_push_back(before, &op->link);
    f->wire_count++;
    if (f->unsent == before)
        f->unsent = &op->link;
}

static void encode(struct client_op *op, enum net_frame_kind kind, uint32_t deadline_ms)
{
    struct net_frame frame = {
        .kind = kind,
        .method = op->method,
        .deadline_ms = deadline_ms,
        .request_id = op->id,
        .body = bytes_from(client_op_body(op), op->size - NET_FRAME_HEADER),
    };
    net_frame_encode(&frame, op->frame);
}

static void no_finish(struct client_op *op, const struct client_reply *reply)
{
    (void)op, (void)reply;
}

/* A frame of our own, in front of what was not begun. */
static bool send_control(struct flotilla *f, enum net_frame_kind kind, uint16_t method, uint64_t id,
                         unsigned flags, struct bytes body)
{
    struct client_op *op = client_op_new(method, CLIENT_CONTROL | flags, body.len);
    if (op == NULL)
        return false;
    if (body.len > 0)
        memcpy(client_op_body(op), body.data, body.len);
    op->id = id;
    op->finish = no_finish;
    encode(op, kind, 0);
    struct list *before = f->unsent;
    if (f->unsent_at > 0)
        before = before->next; /* not into the middle of a frame */
    put_on_wire(f, op, before);
    return true;
}

static void say_hello(struct flotilla *f, uint64_t now)
{
    uint8_t body[160], *at = body;
    pb_put_u64(&at, 1, 1);
    pb_put_u64(&at, 2, 1);
    if (f->have_cluster_id)
        pb_put_bytes(&at, 3, bytes_from(f->cluster_id, sizeof f->cluster_id));
    pb_put_bytes(&at, 4, BYTES(f->identity));
    f->state = CLIENT_HELLO;
    if (!send_control(f, NET_FRAME_REQUEST, NET_HELLO, 0, 0,
                      bytes_from(body, (size_t)(at - body)))) {
        client_error(&f->last, FLOTILLA_RESOURCE_EXHAUSTED, "no memory to connect");
        client_conn_drop(f, now);
    }
}

static uint32_t bounded_u32(uint64_t v, uint32_t least, uint32_t most)
{
    return v < least ? least : v > most ? most : (uint32_t)v;
}

static void take_hello(struct flotilla *f, const struct net_frame *frame, uint64_t now)
{
    struct net_status status = { 0 };
    struct bytes wire = client_message_bytes(frame->body, 1),
                 id = client_message_bytes(frame->body, 3),
                 who = client_message_bytes(frame->body, 5);
    if (frame->method != NET_HELLO || !client_message_valid(frame->body) ||
        net_status_read(wire, &status) != ERR_OK) {
        client_error(&f->last, FLOTILLA_FAILED_PRECONDITION, "%s answers hello with something else",
                     f->endpoint);
        refuse_all(f, now);
        return;
    }
    if (status.code != ERR_OK) {
        client_error(&f->last, (int)status.code, "%s refuses us: %.*s", f->endpoint,
                     (int)(status.message.len > 300 ? 300 : status.message.len),
                     (const char *)status.message.data);
        if (flotilla_error_class((int)status.code) == FLOTILLA_CLASS_FINAL)
            refuse_all(f, now);
        else
            client_conn_drop(f, now);
        return;
    }
    struct flotilla_server *s = &f->server;
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
    f->have_server = true;
    f->state = CLIENT_READY;
    f->failures = 0;
    client_error_clear(&f->last);
}

static void start(struct flotilla *f, uint64_t now)
{
    bool local = strncmp(f->endpoint, "unix:", 5) == 0;
    f->attempt_until = now + f->connect_ms * ms;
    if (!local && f->address == NULL && !resolve(f)) {
        client_conn_drop(f, now);
        return;
    }
    f->state = CLIENT_CONNECTING;
    if (open_socket(f) == 0)
        say_hello(f, now);
    else if (errno != EINPROGRESS)
        connect_failed(f, errno, now);
}

static void finish_connect(struct flotilla *f, uint64_t now)
{
    struct pollfd p = { .fd = f->fd, .events = POLLOUT };
    if (poll(&p, 1, 0) <= 0 || p.revents == 0)
        return;
    int number = 0;
    socklen_t len = sizeof number;
    getsockopt(f->fd, SOL_SOCKET, SO_ERROR, &number, &len);
    if (number != 0)
        connect_failed(f, number, now);
    else
        say_hello(f, now);
}

/* ---- Sending ------------------------------------------------------------------------------------------------ */

/* Fills the window with operations that wait. */
static void assign(struct flotilla *f, uint64_t now)
{
    uint32_t window = f->server.inflight_max;
    if (f->inflight_max != 0 && f->inflight_max < window)
        window = f->inflight_max;
    while (f->wire_count < window && !list_empty(&f->queue)) {
        struct client_op *op = container_of(list_pop_front(&f->queue), struct client_op, link);
        if (op->size > f->server.frame_max) {
            client_op_fail(f, op, FLOTILLA_TOO_LARGE, 0,
                           "the request has %zu bytes, the server takes frames of %u", op->size,
                           (unsigned)f->server.frame_max);
            continue;
        }
        uint64_t left = op->deadline > now ? (op->deadline - now + ms - 1) / ms : 1;
        encode(op, NET_FRAME_REQUEST, left > UINT32_MAX ? UINT32_MAX : (uint32_t)left);
        put_on_wire(f, op, &f->wire);
    }
}

/* `n` more bytes of the wire were written: moves on, forgets frames that nobody will answer. */
static void advance(struct flotilla *f, size_t n)
{
    while (n > 0) {
        struct client_op *op = container_of(f->unsent, struct client_op, link);
        size_t rest = op->size - f->unsent_at;
        if (n < rest) {
            f->unsent_at += n;
            return;
        }
        n -= rest;
        f->unsent = f->unsent->next;
        f->unsent_at = 0;
        if (op->flags & CLIENT_ONE_WAY) {
            list_remove(&op->link);
            f->wire_count--;
            client_op_free(op);
        }
    }
}

static void send_wire(struct flotilla *f, uint64_t now)
{
    while (f->unsent != &f->wire) {
        struct iovec iov[IOV_OURS];
        size_t n = 0, skip = f->unsent_at, total = 0;
        for (struct list *node = f->unsent; node != &f->wire && n < IOV_OURS; node = node->next) {
            struct client_op *op = container_of(node, struct client_op, link);
            iov[n++] = (struct iovec){ op->frame + skip, op->size - skip };
            total += op->size - skip;
            skip = 0;
        }
        struct msghdr message = { .msg_iov = iov, .msg_iovlen = n };
        ssize_t sent = sendmsg(f->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (sent < 0) {
            client_error(&f->last, FLOTILLA_UNAVAILABLE, "the connection to %s broke: %s",
                         f->endpoint, strerror(errno));
            client_conn_drop(f, now);
            return;
        }
        advance(f, (size_t)sent);
        if ((size_t)sent < total)
            return;
    }
}

bool client_conn_recall(struct flotilla *f, struct client_op *op)
{
    bool begun = f->unsent_at > 0;
    for (struct list *node = f->unsent; node != &f->wire; node = node->next) {
        if (node == &op->link && !begun) {
            if (f->unsent == node)
                f->unsent = node->next;
            list_remove(node);
            f->wire_count--;
            return true;
        }
        begun = false;
    }
    return false;
}

void client_conn_cancel(struct flotilla *f, uint64_t id)
{
    if (f->state == CLIENT_READY)
        send_control(f, NET_FRAME_CANCEL, 0, id, CLIENT_ONE_WAY, (struct bytes){ 0 });
}

void client_conn_probe(struct flotilla *f, uint64_t now)
{
    if (f->state != CLIENT_READY || f->probe_until != 0)
        return;
    if (send_control(f, NET_FRAME_PING, 0, 0, CLIENT_ONE_WAY, (struct bytes){ 0 }))
        f->probe_until = now + f->connect_ms * ms;
}

/* ---- Receiving ---------------------------------------------------------------------------------------------- */

static void stranger(struct flotilla *f, uint64_t now)
{
    char said[80];
    size_t n = f->in.len - f->in_at, k = 0;
    for (size_t i = 0; i < n && k + 1 < sizeof said; i++) {
        uint8_t c = f->in.data[f->in_at + i];
        if (c == '\r' || c == '\n')
            break;
        said[k++] = c >= 0x20 && c < 0x7f ? (char)c : '.';
    }
    said[k] = '\0';
    client_error(&f->last, FLOTILLA_FAILED_PRECONDITION,
                 "%s does not speak Flotilla's protocol (it says \"%s\"); check the port",
                 f->endpoint, said);
    refuse_all(f, now);
}

/* Id 0: about the connection, which ends. */
static void take_error(struct flotilla *f, const struct net_frame *frame, uint64_t now)
{
    struct net_status status = { .code = ERR_INTERNAL };
    if (net_status_read(frame->body, &status) != ERR_OK || status.code == ERR_OK)
        status.code = ERR_INTERNAL;
    client_error(&f->last, (int)status.code, "%s ended the connection: %.*s", f->endpoint,
                 (int)(status.message.len > 300 ? 300 : status.message.len),
                 (const char *)status.message.data);
    bool early = f->state == CLIENT_HELLO;
    if (early && (status.code == ERR_PERMISSION_DENIED || status.code == ERR_UPGRADE_REQUIRED))
        refuse_all(f, now);
    else
        drop(f, now, status.code == ERR_UNAVAILABLE);
}

static void take_frame(struct flotilla *f, const struct net_frame *frame, uint64_t now)
{
    if (frame->kind == NET_FRAME_ERROR && frame->request_id == 0) {
        take_error(f, frame, now);
        return;
    }
    if (frame->kind != NET_FRAME_RESPONSE && frame->kind != NET_FRAME_ERROR)
        return; /* the answer to a ping, or a push that nobody asked for */
    for (struct list *node = f->wire.next; node != f->unsent; node = node->next) {
        struct client_op *op = container_of(node, struct client_op, link);
        if (op->id != frame->request_id)
            continue;
        list_remove(node);
        f->wire_count--;
        if (op->flags & CLIENT_CONTROL) {
            client_op_free(op);
            take_hello(f, frame, now);
        } else {
            client_op_answer(f, op, frame);
        }
        return;
    }
}

/* Takes whole frames off the input. The connection may be gone afterwards. */
static void take_frames(struct flotilla *f, uint64_t now)
{
    while (f->fd >= 0 && f->in_at < f->in.len) {
        struct net_frame frame;
        size_t size;
        err_t rc = net_frame_decode(bytes_from(f->in.data + f->in_at, f->in.len - f->in_at),
                                    NET_FRAME_MAX, &frame, &size);
        if (rc == ERR_SHORT)
            break;
        if (rc != ERR_OK && f->state == CLIENT_HELLO) {
            stranger(f, now);
            return;
        }
        if (rc != ERR_OK) {
            client_error(&f->last, FLOTILLA_UNAVAILABLE, "a frame from %s is damaged", f->endpoint);
            client_conn_drop(f, now);
            return;
        }
        f->in_at += size;
        take_frame(f, &frame, now);
    }
    if (f->in_at == f->in.len) {
        f->in_at = f->in.len = 0;
        if (f->in.cap > INPUT_KEPT)
            buf_free(&f->in);
    } else if (f->in_at > f->in.len / 2) {
        memmove(f->in.data, f->in.data + f->in_at, f->in.len - f->in_at);
        f->in.len -= f->in_at;
        f->in_at = 0;
    }
}

static void receive(struct flotilla *f, uint64_t now)
{
    while (f->fd >= 0) {
        size_t want = f->in.data == NULL ? READ_FIRST : READ_LEAST;
        uint8_t *to =
            f->in.cap - f->in.len >= want ? f->in.data + f->in.len : buf_reserve(&f->in, want);
        if (to == NULL) {
            client_error(&f->last, FLOTILLA_RESOURCE_EXHAUSTED, "no memory to receive into");
            client_conn_drop(f, now);
            return;
        }
        size_t room = f->in.cap - f->in.len;
        ssize_t got = recv(f->fd, to, room, MSG_DONTWAIT);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (got <= 0) {
            if (f->state == CLIENT_HELLO && f->in.len > f->in_at) {
                stranger(f, now);
                return;
            }
            if (got == 0)
                client_error(&f->last, FLOTILLA_UNAVAILABLE, "%s closed the connection",
                             f->endpoint);
            else
                client_error(&f->last, FLOTILLA_UNAVAILABLE, "the connection to %s broke: %s",
                             f->endpoint, strerror(errno));
            client_conn_drop(f, now);
            return;
        }
        f->in.len += (size_t)got;
        f->probe_until = 0;
        take_frames(f, now);
        if ((size_t)got < room)
            return;
    }
}

/* ---- The face ----------------------------------------------------------------------------------------------- */

static void check_time(struct flotilla *f, uint64_t now)
{
    if ((f->state == CLIENT_CONNECTING || f->state == CLIENT_HELLO) && now >= f->attempt_until) {
        client_error(&f->last, FLOTILLA_UNAVAILABLE, "%s did not %s within %u ms", f->endpoint,
                     f->state == CLIENT_HELLO ? "answer hello" : "accept the connection",
                     (unsigned)f->connect_ms);
        next_address(f);
        client_conn_drop(f, now);
    } else if (f->probe_until != 0 && now >= f->probe_until) {
        client_error(&f->last, FLOTILLA_UNAVAILABLE, "%s does not answer", f->endpoint);
        client_conn_drop(f, now);
    }
}

void client_conn_process(struct flotilla *f, uint64_t now)
{
    check_time(f, now);
    bool work = !list_empty(&f->queue) || f->want_open;
    if (f->state == CLIENT_OFFLINE && work && now >= f->retry_at)
        start(f, now);
    if (f->state == CLIENT_CONNECTING)
        finish_connect(f, now);
    if (f->state == CLIENT_HELLO || f->state == CLIENT_READY)
        receive(f, now);
    if (f->state == CLIENT_READY)
        assign(f, now);
    if (f->state == CLIENT_HELLO || f->state == CLIENT_READY)
        send_wire(f, now);
}
