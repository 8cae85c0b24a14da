/* Output of one connection: the replies of a turn, gathered, then written once.
 *
 *   c->out -> [ piece: frame frame frame-header | owned body ] -> [ piece: frame frame ... ]
 *                                                                         one iovec entry each, bodies their own
 *
 * 1. Small bodies are copied behind each other; a large one stays where the handler has built it.
 * 2. A piece belongs to us until it is given to the stream, then to its write until `done`. */
#include "net_int.h"

#include <assert.h>

enum { IOV_MAX_OURS = 64 };

struct net_out { /* lies at the beginning of a slab */
    struct env_write write;
    struct net_conn *conn;
    struct net_out *next;
    struct slab *slab;
    size_t len, cap, total; /* total: of the write that this piece is the first of */
    struct buf owned;       /* follows the bytes; a piece with one is full */
    uint8_t bytes[];
};

static struct net_out *piece_new(struct net_conn *c, size_t least)
{
    size_t size = NET_OUT_FIRST;
    if (c->out_last != NULL) /* the more a turn says, the larger its pieces */
        size = c->out_last->slab->cap >= NET_OUT_PIECE_MAX ? NET_OUT_PIECE_MAX
                                                           : c->out_last->slab->cap * 4;
    if (size < sizeof(struct net_out) + least)
        size = sizeof(struct net_out) + least;
    struct slab *slab = slab_get(c->server->slabs, size);
    if (slab == NULL)
        return NULL;
    struct net_out *o = (struct net_out *)(void *)slab->data;
    *o = (struct net_out){ .conn = c, .slab = slab, .cap = slab->cap - sizeof *o };
    if (c->out_last != NULL)
        c->out_last->next = o;
    else
        c->out = o;
    c->out_last = o;
    return o;
}

static void piece_free(struct net_out *o)
{
    buf_free(&o->owned);
    slab_unref(o->slab);
}

static void count(struct net_conn *c, size_t len)
{
    c->unsent += len;
    c->server->unsent += len;
    if (!list_linked(&c->dirty)) {
        list_push_back(&c->server->dirty, &c->dirty);
        net_server_kick(c->server);
    }
}

/* Room for `len` bytes in one piece, NULL if the connection is ending, also for want of memory. */
static uint8_t *room(struct net_conn *c, size_t len)
{
    if (c->state == NET_CONN_CLOSED || c->ended)
        return NULL;
    struct net_out *o = c->out_last;
    if (o == NULL || o->owned.data != NULL || o->cap - o->len < len)
        o = piece_new(c, len);
    if (o == NULL) {
        net_conn_close(c);
        return NULL;
    }
    uint8_t *at = o->bytes + o->len;
    o->len += len;
    count(c, len);
    return at;
}

void net_out_bytes(struct net_conn *c, struct bytes bytes)
{
    uint8_t *at = room(c, bytes.len);
    if (at != NULL)
        put_bytes(&at, bytes);
}

void net_out_frame(struct net_conn *c, const struct net_frame *f)
{
    assert(f->raw.len == 0);
    uint8_t *at = room(c, NET_FRAME_HEADER + f->body.len);
    if (at == NULL)
        return;
    net_frame_encode(f, at);
    at += NET_FRAME_HEADER;
    put_bytes(&at, f->body);
}

void net_out_frame_owned(struct net_conn *c, const struct net_frame *f, struct buf *body)
{
    struct net_frame whole = *f;
    whole.body = buf_bytes(body);
    if (body->len <= NET_REPLY_COPIED) {
        net_out_frame(c, &whole);
        buf_free(body);
        return;
    }
    uint8_t *at = room(c, NET_FRAME_HEADER);
    if (at == NULL) {
        buf_free(body);
        return;
    }
    net_frame_encode(&whole, at);
    count(c, body->len);
    c->out_last->owned = buf_take(body);
}

static void written(struct env_write *write, err_t rc)
{
    struct net_out *o = container_of(write, struct net_out, write);
    struct net_conn *c = o->conn;
    struct net_server *s = c->server;
    assert(c->unsent >= o->total && s->unsent >= o->total);
    c->unsent -= o->total;
    s->unsent -= o->total;
    s->stats.bytes_out += rc == ERR_OK ? o->total : 0;
    while (o != NULL) {
        struct net_out *next = o->next;
        piece_free(o);
        o = next;
    }
    if (rc != ERR_OK) {
        net_conn_close(c);
        return;
    }
    c->last = env_now(s->env);
    if (c->unsent <= s->limits.backlog_max)
        c->slow_since = 0;
    if (c->peer_ended && c->unsent == 0)
        net_conn_close(c);
    else
        net_conn_wake(c);
    if (s->draining)
        net_server_kick(s);
}

/* Somebody who asks and does not read: first no more is read from him, then he has slow_ms. */
static void watch_backlog(struct net_conn *c)
{
    struct net_server *s = c->server;
    if (c->unsent >
        4 * s->limits.backlog_max + s->limits.frame_max) { /* answers under way are many, too */
        s->stats.slow_closed++;
        net_conn_close(c);
    } else if (c->unsent > s->limits.backlog_max && c->slow_since == 0) {
        c->slow_since = env_now(s->env);
        net_wheel_put(&s->wheel, &c->wheel, c->slow_since + (uint64_t)s->limits.slow_ms * 1000000u);
    }
}

void net_out_flush(struct net_conn *c)
{
    list_remove(&c->dirty);
    while (c->out != NULL) {
        struct bytes iov[IOV_MAX_OURS];
        unsigned n = 0;
        struct net_out *first = c->out, *last = NULL;
        first->total = 0;
        for (struct net_out *o = first; o != NULL && n + 2 <= IOV_MAX_OURS; o = o->next) {
            iov[n++] = bytes_from(o->bytes, o->len);
            if (o->owned.len > 0)
                iov[n++] = buf_bytes(&o->owned);
            first->total += o->len + o->owned.len;
            last = o;
        }
        c->out = last->next;
        last->next = NULL;
        first->write.done = written;
        env_stream_write(c->stream, iov, n, &first->write);
    }
    c->out_last = NULL;
    watch_backlog(c);
}

void net_out_drop(struct net_conn *c)
{
    list_remove(&c->dirty);
    while (c->out != NULL) {
        struct net_out *o = c->out;
        size_t len = o->len + o->owned.len;
        c->out = o->next;
        c->unsent -= len;
        c->server->unsent -= len;
        piece_free(o);
    }
    c->out_last = NULL;
}
