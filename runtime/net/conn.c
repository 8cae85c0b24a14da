/* One connection: bytes in, frames out of them, and when to stop listening.
 *
 *   room -> [ shared slab: frame frame frame par ]      whole frames are dispatched from where they lie
 *                                            '-> copied to a slab of its own, which grows as bytes really come
 *
 * 1. An idle connection holds no slab: reads go to one that all share; what is half read moves to its own.
 * 2. Nothing is allocated for what a length field promises: a slab of its own is at most four times what has come.
 * 3. Above a limit of this connection nothing is dispatched and nothing is read: the other side's kernel waits. */
#include "net_int.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

static const uint64_t ms = 1000000;

/* ---- Receiving ---------------------------------------------------------------------------------------------- */

static uint32_t frame_max(const struct net_conn *c)
{
    return c->state == NET_CONN_HELLO ? NET_FRAME_MAX_UNKNOWN : c->server->limits.frame_max;
}

static void drop_input(struct net_conn *c)
{
    slab_unref(c->in);
    c->in = NULL;
    c->in_shared = false;
    c->begin = c->end = 0;
}

/* What is pending moves to a slab of its own with room for more of its frame. */
static bool move_input(struct net_conn *c)
{
    struct bytes have = bytes_from(c->in->data + c->begin, c->end - c->begin);
    size_t frame, want = 4 * have.len;
    if (net_frame_size(have, frame_max(c), &frame) == ERR_OK && want > frame)
        want = frame;
    if (want < have.len)
        want = have.len; /* several frames are waiting for a limit */
    struct net_server *s = c->server;
    if (want > NET_READ_SLAB && slab_pool_live(s->slabs) + want > 2 * s->limits.inflight_bytes_max)
        return false; /* half-read frames of many together have a limit too */
    struct slab *own = slab_get(s->slabs, want);
    if (own == NULL)
        return false;
    memcpy(own->data, have.data, have.len);
    drop_input(c);
    c->in = own;
    c->end = have.len;
    return true;
}

static struct env_room conn_room(void *user, size_t suggested)
{
    (void)suggested;
    struct net_conn *c = user;
    struct net_server *s = c->server;
    bool fine = c->in == NULL || c->end < c->in->cap || move_input(c);
    if (c->in == NULL) {
        c->in = s->shared != NULL ? s->shared : slab_get(s->slabs, NET_READ_SLAB);
        c->begin = c->end = s->shared != NULL ? s->shared_used : 0;
        s->shared = NULL; /* lent until the read */
        c->in_shared = c->in != NULL;
    }
    c->starved = !fine || c->in == NULL;
    if (c->starved)
        return (struct env_room){ &c->spare_byte, 1 }; /* the read that follows closes */
    return (struct env_room){ c->in->data + c->end, c->in->cap - c->end };
}

/* After a read: the shared slab goes back, what is half read moves out of it. */
static bool give_back_shared(struct net_conn *c)
{
    struct net_server *s = c->server;
    struct slab *slab = slab_ref(c->in);
    size_t used = c->end;
    bool moved = c->begin == c->end || move_input(c);
    if (c->begin == c->end)
        drop_input(c);
    if (atomic_load_explicit(&slab->refs, memory_order_acquire) == 1)
        used = 0; /* nobody borrows from it: from the start again, which is still in the cache */
    if (s->shared == NULL && slab->cap - used >= NET_READ_LEAST) {
        s->shared = slab;
        s->shared_used = used;
    } else {
        slab_unref(slab);
    }
    return moved;
}

static void settle_input(struct net_conn *c)
{
    if (c->in == NULL)
        return;
    bool fine = true;
    if (c->in_shared)
        fine = give_back_shared(c);
    else if (c->begin == c->end)
        drop_input(c);
    else if (c->end == c->in->cap)
        fine = move_input(c);
    if (!fine) {
        logger_warn(c->server->log, "no memory for a frame", logger_u64("connection", c->id));
        net_conn_close(c);
    }
}

/* ---- Frames ------------------------------------------------------------------------------------------------- */

static void protocol_error(struct net_conn *c, err_t rc, struct bytes pending)
{
    c->server->stats.protocol_errors++;
    if (c->state == NET_CONN_HELLO && rc != ERR_TOO_LARGE && pending.len > 0 &&
        pending.data[pending.len > 4 ? 4 : 0] != NET_FRAME_VERSION) {
        net_hello_stranger(c, pending);
        return;
    }
    char text[160];
    if (rc == ERR_TOO_LARGE)
        snprintf(text, sizeof text, "a frame of %llu bytes is above the limit of %u",
                 4ull + load_u32(pending.data), (unsigned)frame_max(c));
    else if (rc == ERR_UPGRADE_REQUIRED)
        snprintf(text, sizeof text, "frame version %u is not spoken here, %u is",
                 (unsigned)pending.data[4], (unsigned)NET_FRAME_VERSION);
    else
        snprintf(text, sizeof text,
                 "a frame is damaged (checksum, kind or lengths); the stream is out of step");
    net_hello_refuse(c, rc == ERR_CORRUPTION ? ERR_INVALID_ARGUMENT : rc, text);
}

static void handle_push(struct net_conn *c, const struct net_frame *f)
{
    struct net_server *s = c->server;
    char text[160];
    if (c->store == 0 || s->push == NULL) {
        s->stats.protocol_errors++;
        net_hello_refuse(c, ERR_INVALID_ARGUMENT,
                         c->store == 0 ? "pushes are for stores of this cluster; send requests"
                                       : "this port takes no pushes");
        return;
    }
    s->stats.pushes++;
    err_t rc = s->push(s->push_user, c->store, c->incarnation, f->method, f->body);
    if (rc == ERR_OK)
        return;
    s->stats.protocol_errors++;
    snprintf(text, sizeof text, "a push of method 0x%04x was not understood (%s)",
             (unsigned)f->method, err_name(rc));
    logger_warn(s->log, "a push was not understood", logger_each(logger_u64("store", c->store)),
                logger_u64("method", f->method), logger_text("error", err_name(rc)));
    net_hello_refuse(c, ERR_INVALID_ARGUMENT, text);
}

static void handle_open(struct net_conn *c, const struct net_frame *f)
{
    switch (f->kind) {
    case NET_FRAME_REQUEST:
        net_call_dispatch(c, f);
        break;
    case NET_FRAME_CANCEL:
        list_for_each(node, &c->calls) {
            struct net_call *call = container_of(node, struct net_call, link);
            if (call->id == f->request_id) {
                net_call_cancel(call);
                break;
            }
        }
        break; /* answered already: nothing to do */
    case NET_FRAME_PING:
        if (f->method == 0)
            net_out_frame(c, &(struct net_frame){ .kind = NET_FRAME_PING,
                                                  .method = 1,
                                                  .request_id = f->request_id });
        break;
    case NET_FRAME_PUSH:
        handle_push(c, f);
        break;
    default: /* a server is sent no responses or errors */
        c->server->stats.protocol_errors++;
        net_hello_refuse(c, ERR_INVALID_ARGUMENT,
                         "a server takes requests, cancels and pings alone");
    }
}

static bool over_limit(const struct net_conn *c)
{
    const struct net_limits *l = &c->server->limits;
    return (c->inflight >= l->inflight_max && c->store == 0) || c->unsent > l->backlog_max;
}

/* Dispatches whole frames from the front. */
static void dispatch_pending(struct net_conn *c)
{
    while (c->in != NULL && c->begin < c->end && c->state <= NET_CONN_OPEN &&
           !(c->paused = over_limit(c))) {
        struct bytes pending = bytes_from(c->in->data + c->begin, c->end - c->begin);
        struct net_frame f;
        size_t size;
        err_t rc = net_frame_decode(pending, frame_max(c), &f, &size);
        if (rc == ERR_SHORT && c->state == NET_CONN_HELLO && pending.len >= 4 &&
            load_u32(pending.data) > NET_FRAME_MAX_UNKNOWN)
            rc = ERR_CORRUPTION; /* four bytes tell a stranger: do not wait for a fifth */
        if (rc == ERR_SHORT) {
            if (c->partial_since == 0)
                c->partial_since = c->read_at;
            return;
        }
        if (rc != ERR_OK) {
            protocol_error(c, rc, pending);
            return;
        }
        c->begin += size;
        c->partial_since = 0;
        if (c->state == NET_CONN_HELLO)
            net_hello_handle(c, &f);
        else
            handle_open(c, &f);
    }
}

void net_conn_go_on(struct net_conn *c, uint64_t now)
{
    list_remove(&c->ready);
    c->now = now;
    c->parsing = true;
    dispatch_pending(c);
    if (c->state >= NET_CONN_LINGER)
        c->begin = c->end; /* nobody listens any more */
    c->parsing = false;
    settle_input(c);
    if (c->state == NET_CONN_CLOSED)
        return;
    c->paused = c->state == NET_CONN_OPEN && over_limit(c);
    if (c->paused != c->reading_off) {
        c->reading_off = c->paused;
        if (c->paused)
            env_stream_pause(c->stream);
        else
            env_stream_resume(c->stream);
    }
}

void net_conn_wake(struct net_conn *c)
{
    const struct net_limits *l = &c->server->limits;
    if (!c->paused || c->parsing || c->state != NET_CONN_OPEN || list_linked(&c->ready))
        return;
    if (c->inflight > l->inflight_max / 2 || c->unsent > l->backlog_max / 2)
        return; /* go on in large steps, not one request at a time */
    list_push_back(&c->server->ready, &c->ready);
    net_server_kick(c->server);
}

static void conn_read(void *user, size_t len, err_t rc)
{
    struct net_conn *c = user;
    struct net_server *s = c->server;
    if (c->state == NET_CONN_CLOSED)
        return;
    if (len == 0) { /* they have gone: nobody waits for answers that are not there yet */
        if (rc != ERR_CLOSED)
            logger_debug(s->log, "a connection broke", logger_u64("connection", c->id),
                         logger_text("error", err_name(rc)));
        c->peer_ended = true;
        net_conn_linger(c);
        if (c->unsent == 0)
            net_conn_close(c);
        return;
    }
    if (c->starved) {
        logger_warn(s->log, "no memory to read into", logger_u64("connection", c->id));
        net_conn_close(c);
        return;
    }
    s->stats.bytes_in += len;
    c->end += len;
    assert(c->in != NULL && c->end <= c->in->cap);
    c->read_at = c->last = env_now(s->env);
    net_conn_go_on(c, c->read_at);
}

/* ---- The end ------------------------------------------------------------------------------------------------ */

void net_conn_linger(struct net_conn *c)
{
    if (c->state >= NET_CONN_LINGER)
        return;
    struct net_server *s = c->server;
    net_call_cancel_all(c);
    if (c->state >= NET_CONN_LINGER)
        return;
    net_out_flush(c);
    c->ended = true;
    c->state = NET_CONN_LINGER;
    env_stream_end(c->stream);
    c->linger_until = env_now(s->env) + NET_LINGER_MS * ms;
    net_wheel_put(&s->wheel, &c->wheel, c->linger_until);
    if (c->reading_off) {
        c->reading_off = false;
        env_stream_resume(c->stream);
    }
}

void net_conn_close(struct net_conn *c)
{
    if (c->state == NET_CONN_CLOSED)
        return;
    c->state = NET_CONN_CLOSED;
    list_remove(&c->wheel);
    list_remove(&c->ready);
    net_out_drop(c);
    env_stream_close(c->stream);
    net_call_cancel_all(c);
}

void net_conn_settle(struct net_conn *c)
{
    if (!c->gone || c->inflight > 0 || c->parsing)
        return;
    assert(c->unsent == 0 && c->out == NULL);
    net_server_forget(c);
}

static void conn_closed(void *user)
{
    struct net_conn *c = user;
    struct net_server *s = c->server;
    if (c->state != NET_CONN_CLOSED)
        net_conn_close(c);
    drop_input(c); /* the memory of `room` was the stream's until now */
    c->gone = true;
    if (s->on_disconnect != NULL)
        s->on_disconnect(s->on_disconnect_user, c->id);
    net_conn_settle(c);
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t net_conn_judge(struct net_conn *c, uint64_t now)
{
    const struct net_limits *l = &c->server->limits;
    struct net_stats *stats = &c->server->stats;
    uint64_t due = UINT64_MAX;
    uint64_t *blame = &stats->idle_closed;
    if (c->state == NET_CONN_LINGER)
        due = c->linger_until;
    else if (c->state == NET_CONN_HELLO)
        due = c->opened + l->hello_ms * ms; /* for the whole of it, not from byte to byte */
    else if (c->inflight == 0 || c->unsent > 0)
        due = c->last + l->idle_ms * ms;
    if (c->partial_since != 0 && !c->paused)
        due = sooner(due, c->partial_since + l->idle_ms * ms);
    if (c->slow_since != 0 && c->slow_since + l->slow_ms * ms < due) {
        due = c->slow_since + l->slow_ms * ms;
        blame = &stats->slow_closed;
    }
    if (due > now)
        return due;
    if (c->state != NET_CONN_LINGER)
        ++*blame;
    net_conn_close(c);
    return 0;
}

struct net_conn *net_conn_new(struct net_server *s, struct env_stream *stream)
{
    static const struct env_stream_ops ops = { conn_room, conn_read, conn_closed };
    struct net_conn *c = calloc(1, sizeof *c);
    if (c == NULL) {
        env_stream_close(stream);
        return NULL;
    }
    c->server = s;
    c->stream = stream;
    c->id = ++s->next_id;
    c->last = c->opened = env_now(s->env);
    list_init(&c->wheel);
    list_init(&c->dirty);
    list_init(&c->ready);
    list_init(&c->calls);
    list_push_back(&s->conns, &c->link);
    net_wheel_put(&s->wheel, &c->wheel, c->last + s->limits.hello_ms * ms);
    env_stream_start(stream, &ops, c);
    return c;
}
