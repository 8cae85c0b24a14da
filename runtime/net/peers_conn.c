/* One connection to another store: connecting, hello, frames out and in, silence.
 *
 *   connect --> hello out ... hello in: the store that we mean? --> READY --> frames both ways
 *                                  '-- another: refused, with both names
 *
 * 1. Frames leave in the order of their asking; the stream gathers those of a turn into one write. It is given at most
 *    PEERS_WINDOW ahead of the kernel: what waits here is known not to have been sent.
 * 2. Pushes travel one way, so silence says nothing about the other end: it is pinged, and given up if it does not
 *    answer.
 * 3. A connection that was let go finishes its writes and closes by itself; nothing that comes over it is looked at. */
#include "peers_int.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/pb.h"
#include "net/status.h"

enum { PROTOCOL = 1, SHOWN_MAX = 120 };

static const uint64_t ms = 1000000;

static void conn_free(struct peers_conn *c)
{
    struct net_peers *p = c->peers;
    assert(list_empty(&c->given) && c->store == NULL);
    buf_free(&c->in);
    free(c);
    p->conns--;
    net_peers_free_if_done(p);
}

static void fail(struct peers_conn *c, const char *why)
{
    snprintf(c->store->why, sizeof c->store->why, "%s", why);
    net_peers_lose(c->store, ERR_UNDETERMINED);
}

/* ---- Out ---------------------------------------------------------------------------------------------------- */

static void written(struct env_write *write, err_t rc)
{
    struct net_peers_frame *f = container_of(write, struct net_peers_frame, write);
    struct peers_conn *c = f->conn;
    struct net_peers_store *s = c->store;
    list_remove(&f->link);
    c->given_bytes -= NET_FRAME_HEADER + f->body.len;
    if (f->call != NULL)
        f->call->frame = NULL; /* sent as a whole, or the call ends below */
    if (s != NULL) {
        net_peers_frame_uncount(s, f);
        if (rc == ERR_OK)
            net_peers_left(s, f);
    }
    net_peers_frame_free(c->peers, f);
    if (s != NULL && rc != ERR_OK)
        fail(c, "the connection broke while writing");
    else if (s != NULL && s->state == NET_PEER_READY)
        peers_conn_give(c);
}

static void give(struct peers_conn *c, struct net_peers_frame *f)
{
    uint32_t left_ms = 0;
    if (f->call != NULL && f->call->deadline != UINT64_MAX) {
        uint64_t now = env_now(c->peers->env), due = f->call->deadline;
        uint64_t left = due > now ? (due - now + ms - 1) / ms : 1;
        left_ms = left > UINT32_MAX ? UINT32_MAX : (uint32_t)left;
    }
    net_frame_encode(&(struct net_frame){ .kind = f->kind,
                                          .method = f->method,
                                          .deadline_ms = left_ms,
                                          .request_id = f->id,
                                          .body = buf_bytes(&f->body) },
                     f->header);
    struct bytes iov[] = { bytes_from(f->header, sizeof f->header), buf_bytes(&f->body) };
    f->conn = c;
    f->write.done = written;
    list_push_back(&c->given, &f->link);
    c->given_bytes += sizeof f->header + f->body.len;
    env_stream_write(c->stream, iov, 2, &f->write);
}

void peers_conn_give(struct peers_conn *c)
{
    struct net_peers_store *s = c->store;
    assert(s->state == NET_PEER_READY); /* hello has said who is there */
    while (!list_empty(&s->queue)) {
        struct net_peers_frame *f = container_of(s->queue.next, struct net_peers_frame, link);
        if (c->given_bytes > 0 && c->given_bytes + f->body.len > PEERS_WINDOW)
            return;
        if (NET_FRAME_HEADER + f->body.len > c->frame_max) {
            net_peers_too_large(s, f);
            continue;
        }
        list_remove(&f->link);
        give(c, f);
    }
}

void peers_conn_say(struct peers_conn *c, struct net_peers_frame *f)
{
    give(c, f);
}

static void say_hello(struct peers_conn *c)
{
    struct net_peers *p = c->peers;
    struct net_peers_frame *f = net_peers_frame_new(p, NET_FRAME_REQUEST, NET_HELLO, 0);
    pb_append_u64(&f->body, 1, PROTOCOL);
    pb_append_u64(&f->body, 2, PROTOCOL);
    pb_append_bytes(&f->body, 3, buf_bytes(&p->cluster_id));
    pb_append_bytes(&f->body, 4, buf_bytes(&p->identity));
    pb_append_u64(&f->body, 6, p->node_id);
    pb_append_fixed64(&f->body, 7, p->incarnation);
    give(c, f);
}

/* ---- Hello -------------------------------------------------------------------------------------------------- */

struct hello {
    struct net_status status;
    bool has_status;
    uint64_t protocol, node_id, frame_max, idle_ms;
    struct bytes cluster_id;
};

static bool hello_read(struct bytes in, struct hello *h)
{
    struct pb_field f;
    *h = (struct hello){ 0 };
    while (pb_next(&in, &f)) {
        if (f.number == 1 && f.type == PB_BYTES) {
            if (h->has_status || net_status_read(f.bytes, &h->status) != ERR_OK)
                return false;
            h->has_status = true;
        } else if (f.number == 3 && f.type == PB_BYTES) {
            h->cluster_id = f.bytes;
        } else if (f.type == PB_VARINT) {
            uint64_t *to = f.number == 2   ? &h->protocol
                           : f.number == 4 ? &h->node_id
                           : f.number == 7 ? &h->frame_max
                           : f.number == 9 ? &h->idle_ms
                                           : NULL;
            if (to != NULL)
                *to = f.value;
        }
    }
    return in.len == 0 && h->has_status;
}

/* Text of the other side, for people: as it came, cut. */
static const char *shown(struct bytes text, char out[SHOWN_MAX])
{
    size_t n = text.len < SHOWN_MAX - 1 ? text.len : SHOWN_MAX - 1;
    for (size_t i = 0; i < n; i++)
        out[i] = text.data[i] >= 0x20 && text.data[i] != 0x7f ? (char)text.data[i] : '.';
    out[n] = '\0';
    return out;
}

/* The node that answers is not the one that we mean: nothing is sent to it. */
static bool is_meant(struct peers_conn *c, const struct hello *h)
{
    struct net_peers_store *s = c->store;
    char text[SHOWN_MAX];
    if (h->status.code != ERR_OK) {
        snprintf(s->why, sizeof s->why, "it refuses us: %s", shown(h->status.message, text));
        return false;
    }
    if (!bytes_equal(h->cluster_id, buf_bytes(&c->peers->cluster_id))) {
        snprintf(s->why, sizeof s->why, "a node of another cluster answers there");
        return false;
    }
    if (h->node_id != s->id) {
        snprintf(s->why, sizeof s->why,
                 "store %llu answers there, not store %llu: a foreign node, or one that was wiped "
                 "and joined anew",
                 (unsigned long long)h->node_id, (unsigned long long)s->id);
        return false;
    }
    if (h->protocol != PROTOCOL) {
        snprintf(s->why, sizeof s->why, "it speaks protocol %llu", (unsigned long long)h->protocol);
        return false;
    }
    return true;
}

static void greeted(struct peers_conn *c, const struct net_frame *f)
{
    struct net_peers_store *s = c->store;
    struct net_peers *p = c->peers;
    struct hello h;
    if (f->kind != NET_FRAME_RESPONSE || f->method != NET_HELLO || !hello_read(f->body, &h)) {
        fail(c, "it answers hello with something else");
        return;
    }
    if (!is_meant(c, &h)) {
        net_peers_lose(s, ERR_UNDETERMINED);
        return;
    }
    c->frame_max = h.frame_max < NET_FRAME_MAX_UNKNOWN ? NET_FRAME_MAX_UNKNOWN
                   : h.frame_max > NET_FRAME_MAX       ? NET_FRAME_MAX
                                                       : (uint32_t)h.frame_max;
    s->ping_ns = p->limits.ping_ms * ms;
    if (h.idle_ms > 0 && h.idle_ms / 3 < p->limits.ping_ms)
        s->ping_ns = (h.idle_ms / 3 + 1) * ms; /* it closes whoever is idle */
    s->state = NET_PEER_READY;
    s->failures = 0;
    s->complaint[0] = '\0';
    s->connected++;
    logger_info(p->log, "connected to a store", logger_each(logger_u64("store", s->id)),
                logger_text("address", s->address));
    env_timer_start(p->env, &s->timer, s->ping_ns);
    peers_conn_give(c);
}

/* ---- In ----------------------------------------------------------------------------------------------------- */

/* About the connection, which ends. UNAVAILABLE: what was not answered was not done and will not be. */
static void parted(struct peers_conn *c, const struct net_frame *f)
{
    struct net_status status = { .code = ERR_INTERNAL };
    char text[SHOWN_MAX];
    if (net_status_read(f->body, &status) != ERR_OK)
        status = (struct net_status){ .code = ERR_INTERNAL };
    snprintf(c->store->why, sizeof c->store->why, "it ends the connection: %s",
             shown(status.message, text));
    net_peers_lose(c->store, status.code == ERR_UNAVAILABLE ? ERR_UNAVAILABLE : ERR_UNDETERMINED);
}

static void take_frame(struct peers_conn *c, const struct net_frame *f)
{
    if (f->kind == NET_FRAME_ERROR)
        parted(c, f);
    else if (c->store->state == NET_PEER_HELLO)
        greeted(c, f);
    else if (f->kind == NET_FRAME_RESPONSE && !net_peers_answer(c->store, f))
        fail(c, "it answers what was not asked");
    else if (f->kind != NET_FRAME_RESPONSE && f->kind != NET_FRAME_PING)
        fail(c, "it sends what only a client sends");
}

/* Takes whole frames off the input. Callbacks may let the connection go. */
static void take_frames(struct peers_conn *c)
{
    while (c->store != NULL && c->at < c->in.len) {
        uint32_t max = c->store->state == NET_PEER_HELLO ? NET_FRAME_MAX_UNKNOWN : NET_FRAME_MAX;
        struct net_frame f;
        size_t size;
        err_t rc =
            net_frame_decode(bytes_from(c->in.data + c->at, c->in.len - c->at), max, &f, &size);
        if (rc == ERR_SHORT)
            return;
        if (rc != ERR_OK) {
            fail(c, "it sends no frames of ours; check the address");
            return;
        }
        c->at += size;
        take_frame(c, &f);
    }
}

static struct env_room conn_room(void *user, size_t suggested)
{
    struct peers_conn *c = user;
    (void)suggested;
    if (c->at > 0) { /* what is half read moves to the front */
        c->in.len -= c->at;
        memmove(c->in.data, c->in.data + c->at, c->in.len);
        c->at = 0;
    }
    uint8_t *room =
        buf_reserve(&c->in, PEERS_READ); /* doubles: by what came, not by what was promised */
    c->starved = room == NULL;
    if (room == NULL)
        return (struct env_room){ &c->spare_byte, 1 };
    return (struct env_room){ room, c->in.cap - c->in.len };
}

static void conn_read(void *user, size_t len, err_t rc)
{
    struct peers_conn *c = user;
    if (c->store == NULL)
        return;
    if (len == 0 || c->starved) {
        fail(c, c->starved         ? "no memory to read into"
                : rc == ERR_CLOSED ? "it closed the connection"
                                   : err_name(rc));
        return;
    }
    c->in.len += len;
    c->last_read = env_now(c->peers->env);
    take_frames(c);
    if (c->at == c->in.len) {
        c->at = c->in.len = 0;
        if (c->in.cap > PEERS_INPUT_KEPT)
            buf_free(&c->in);
    }
}

void peers_conn_look(struct peers_conn *c)
{
    struct net_peers_store *s = c->store;
    struct net_peers *p = c->peers;
    uint64_t silence = env_now(p->env) - c->last_read;
    if (silence >= p->limits.silent_ms * ms) {
        snprintf(s->why, sizeof s->why, "nothing came from it for %llu ms",
                 (unsigned long long)(silence / ms));
        net_peers_lose(s, ERR_UNDETERMINED);
        return;
    }
    if (silence >= s->ping_ns)
        peers_conn_say(c, net_peers_frame_new(p, NET_FRAME_PING, 0, 0));
    env_timer_start(p->env, &s->timer, s->ping_ns);
}

/* ---- Birth and end ------------------------------------------------------------------------------------------ */

static void conn_closed(void *user)
{
    struct peers_conn *c = user;
    conn_free(c);
}

static void connected(struct env_connect *connect, err_t rc, struct env_stream *stream)
{
    static const struct env_stream_ops ops = { conn_room, conn_read, conn_closed };
    struct peers_conn *c = container_of(connect, struct peers_conn, connect);
    if (rc != ERR_OK) {
        if (c->store != NULL) {
            struct net_peers_store *s = c->store;
            snprintf(s->why, sizeof s->why, "could not connect (%s); is it running?", err_name(rc));
            net_peers_lose(s, ERR_UNDETERMINED);
        }
        conn_free(c);
        return;
    }
    assert(c->store != NULL); /* a cancelled one ends with CANCELLED */
    c->stream = stream;
    c->last_read = env_now(c->peers->env);
    c->store->state = NET_PEER_HELLO;
    env_stream_start(stream, &ops, c);
    say_hello(c);
}

void peers_conn_start(struct net_peers_store *s)
{
    struct net_peers *p = s->peers;
    struct peers_conn *c = calloc(1, sizeof *c);
    struct err e = { 0 };
    if (c == NULL)
        abort(); /* small, one a store */
    c->peers = p;
    c->store = s;
    c->frame_max = NET_FRAME_MAX_UNKNOWN;
    c->connect.done = connected;
    list_init(&c->given);
    p->conns++;
    s->conn = c;
    s->state = NET_PEER_CONNECTING;
    s->wanted = false;
    env_timer_start(p->env, &s->timer, p->limits.connect_ms * ms);
    err_t rc = env_connect(p->env, s->address, &c->connect, &e);
    if (rc == ERR_OK)
        return;
    snprintf(s->why, sizeof s->why, "%s", e.msg);
    net_peers_lose(s, ERR_UNDETERMINED);
    conn_free(c);
}

void peers_conn_let_go(struct peers_conn *c)
{
    c->store->conn = NULL;
    c->store = NULL;
    list_for_each(node, &c->given) { /* their calls are over */
        container_of(node, struct net_peers_frame, link)->counted = false;
    }
    if (c->stream != NULL)
        env_stream_close(c->stream);
    else if (c->connect.world != NULL)
        env_connect_cancel(c->peers->env, &c->connect);
}
