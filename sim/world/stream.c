/* Streams in memory: two ends, and in each direction bytes that are
 *
 *   written --pump--> on the way (segments, drawn sizes and times, in order) --arrive--> unread --deliver--> read
 *   (borrowed)        |<------------------------ at most `window` bytes ------------------------>|
 *
 * While the link is cut, what arrives is held back, and all that follows it, so that bytes keep their order; healing
 * releases it. What is held back when its sender ends is lost, with all that follows: nobody would send it again.
 *
 * An end that is closed or finished sends a FIN behind its bytes; one that is closed with bytes unread, or that gets
 * bytes after it was closed, sends a reset, which drops what is on the way. */
#include "world_int.h"

#include <assert.h>
#include <stdlib.h>

enum { PUMP_NS_MOST = 5000 };

struct conn;

struct sim_stream_end {
    struct env_stream base;
    struct sim_world *world; /* NULL once that is gone */
    struct list link;        /* in world->ends, as long as the connection */
    struct conn *conn;
    struct env_peer peer;
    const struct env_stream_ops *ops;
    void *user;
    bool paused, finished, closing, gone; /* finished: no write follows */
    bool fin_sent, fin_came, end_read, reset;
    bool lost;   /* nothing arrives any more: a gap would be in it */
    bool silent; /* no power: takes bytes until the window is full, answers nothing */
    /* written, not yet taken: the writes in order, and their bytes */
    struct env_write *first, *last;
    struct bytes *iov;
    size_t iov_len, iov_at, iov_cap;
    size_t backlog;
    uint64_t written, taken; /* bytes in all; write->world is the `written` at its end */
    /* on the way to us and unread */
    size_t on_the_way;
    struct buf in;
    size_t in_at;
    uint64_t last_due; /* of a segment to us: keeps the order */
    struct list held;  /* segments to us, while the link is cut */
    struct sim_event pump, deliver, close, release;
};

struct conn {
    struct sim_stream_end end[2]; /* client, server */
    struct sim *sim;
    uint64_t id;
    unsigned refs; /* ends not gone, segments on the way */
};

enum kind { DATA, FIN, RESET };

struct segment {
    struct sim_event event;
    struct list link; /* in world->segments of the receiver, or in to->held */
    struct sim_stream_end *to;
    enum kind kind;
    size_t len;
    uint8_t data[];
};

static struct sim_stream_end *end_of(struct env_stream *stream)
{
    return container_of(stream, struct sim_stream_end, base);
}

static struct sim_stream_end *other(const struct sim_stream_end *end)
{
    return &end->conn->end[end == &end->conn->end[0]];
}

static void soon(struct sim_stream_end *end, struct sim_event *event)
{
    struct sim *sim = end->conn->sim;
    if (end->world != NULL && !heap_linked(&event->node))
        sim_at(sim, event, sim->now + sim_draw(sim, 0, PUMP_NS_MOST));
}

static void conn_unref(struct conn *conn)
{
    if (--conn->refs > 0)
        return;
    for (unsigned i = 0; i < 2; i++) {
        struct sim_stream_end *end = &conn->end[i];
        sim_cancel(conn->sim, &end->pump);
        sim_cancel(conn->sim, &end->deliver);
        sim_cancel(conn->sim, &end->close);
        sim_cancel(conn->sim, &end->release);
        list_remove(&end->link);
        buf_free(&end->in);
        free(end->iov);
    }
    free(conn);
}

/* ---- On the way ---- */

static void become_reset(struct sim_stream_end *end)
{
    if (end->reset || end->gone)
        return;
    end->reset = end->fin_came = true;
    end->in_at = end->in.len = 0;
    soon(end, &end->pump); /* pending writes fail there */
    soon(end, &end->deliver);
}

static void drop_segment(struct segment *s)
{
    struct conn *conn = s->to->conn;
    sim_cancel(conn->sim, &s->event);
    list_remove(&s->link);
    s->to->on_the_way -= s->len;
    free(s);
    conn_unref(conn);
}

static void arrive(struct sim_event *event);

/* Segments to an end keep their order, whatever latency is drawn. */
static void send_segment(struct sim_stream_end *from, enum kind kind, struct bytes data)
{
    struct sim_stream_end *to = other(from);
    struct sim *sim = from->conn->sim;
    if (to->world == NULL) { /* it has started again, and knows nothing of this connection */
        if (kind == DATA)
            become_reset(from);
        return;
    }
    if (to->silent) {
        to->on_the_way += data.len;
        return;
    }
    if (kind == DATA && prng_chance(&sim->chance, sim->net.reset_per_million, 1000000)) {
        sim_stream_reset(from);
        return;
    }
    struct segment *s = disk_alloc(sizeof *s + data.len);
    s->to = to;
    s->kind = kind;
    s->len = data.len;
    if (data.len > 0)
        memcpy(s->data, data.data, data.len);
    s->event = (struct sim_event){ .world = to->world,
                                   .fire = arrive,
                                   .what = kind == DATA  ? "data"
                                           : kind == FIN ? "fin"
                                                         : "reset",
                                   .id = from->conn->id };
    list_push_back(&to->world->segments, &s->link);
    to->on_the_way += data.len;
    from->conn->refs++;
    uint64_t at = sim->now + sim_draw(sim, sim->net.least_ns, sim->net.most_ns);
    to->last_due = at > to->last_due ? at : to->last_due;
    sim_at(sim, &s->event, to->last_due);
}

static bool is_cut(const struct sim_stream_end *to)
{
    const struct sim_stream_end *from = other(to);
    return from->world != NULL && sim_net_is_cut(from->world, to->world);
}

/* It is there. */
static void take(struct segment *s)
{
    struct sim_stream_end *to = s->to;
    if (to->reset || to->lost) {
        ; /* nobody reads it */
    } else if (s->kind == RESET) {
        become_reset(to);
    } else if (to->closing) {
        if (s->kind == DATA) {
            to->reset = true;
            send_segment(to, RESET, (struct bytes){ 0 });
        }
    } else {
        if (s->kind == FIN)
            to->fin_came = true;
        else if (buf_append(&to->in, bytes_from(s->data, s->len)) != ERR_OK)
            abort();
        sim_hash_bytes(to->conn->sim, s->data, s->len);
        soon(to, &to->deliver);
    }
    drop_segment(s);
}

static void arrive(struct sim_event *event)
{
    struct segment *s = container_of(event, struct segment, event);
    if (list_empty(&s->to->held) && !is_cut(s->to)) {
        take(s);
        return;
    }
    list_remove(&s->link);
    list_push_back(&s->to->held, &s->link);
}

static void release(struct sim_event *event)
{
    struct sim_stream_end *end = container_of(event, struct sim_stream_end, release);
    end->conn->refs++; /* of its segments may be the last ones */
    while (!list_empty(&end->held) && !is_cut(end))
        take(container_of(end->held.next, struct segment, link));
    conn_unref(end->conn);
}

void sim_stream_release(struct sim_world *from, struct sim_world *to)
{
    struct sim *sim = to->sim;
    list_for_each(at, &to->ends) {
        struct sim_stream_end *end = container_of(at, struct sim_stream_end, link);
        if (!list_empty(&end->held) && other(end)->world == from)
            sim_at(sim, &end->release,
                   sim->now + sim_draw(sim, sim->net.least_ns, sim->net.most_ns));
    }
}

static void drop_held(struct sim_stream_end *end)
{
    end->lost = end->lost || !list_empty(&end->held);
    list_for_each_safe(at, &end->held)
        drop_segment(container_of(at, struct segment, link));
}

/* Of a machine that has ended: what is held back for it, and without power what its kernel would have sent again. One
 * at a time, since the last one frees its connection. */
static bool drop_one_held(struct sim_world *world)
{
    list_for_each(at, &world->ends) {
        struct sim_stream_end *end = container_of(at, struct sim_stream_end, link);
        bool theirs = list_empty(&end->held);
        if (theirs && (!world->powerless || list_empty(&other(end)->held)))
            continue;
        drop_held(theirs ? other(end) : end);
        return true;
    }
    return false;
}

/* ---- Writing ---- */

/* Calls `done` of the writes whose bytes are all taken; of all pending ones if `rc` is an error. */
static void finish_writes(struct sim_stream_end *end, err_t rc)
{
    while (end->first != NULL &&
           (rc != ERR_OK || (uint64_t)(uintptr_t)end->first->world <= end->taken)) {
        struct env_write *write = end->first;
        end->first = write->next;
        write->done(write, rc);
    }
}

static void pump(struct sim_event *event)
{
    struct sim_stream_end *end = container_of(event, struct sim_stream_end, pump), *to = other(end);
    struct sim *sim = end->conn->sim;
    if (end->closing)
        return; /* the close event ends the writes */
    size_t unread = to->in.len - to->in_at;
    while (!end->reset && end->iov_at < end->iov_len) {
        size_t used = to->on_the_way + unread;
        size_t room = used < sim->net.window ? sim->net.window - used : 0;
        struct bytes *head = &end->iov[end->iov_at];
        size_t len = (size_t)sim_draw(sim, sim->net.segment_least, sim->net.segment_most);
        len = len < head->len ? len : head->len;
        len = len < room ? len : room;
        if (len == 0 && head->len > 0)
            break; /* blocked: the reader wakes us */
        if (len > 0)
            send_segment(end, DATA, bytes_from(head->data, len));
        head->data += len;
        head->len -= len;
        end->backlog -= len;
        end->taken += len;
        if (head->len == 0)
            end->iov_at++;
    }
    if (end->iov_at == end->iov_len)
        end->iov_at = end->iov_len = 0;
    if (end->finished && end->iov_len == 0 && !end->fin_sent && !end->reset) {
        end->fin_sent = true;
        send_segment(end, FIN, (struct bytes){ 0 });
    }
    if (end->reset) {
        end->iov_at = end->iov_len = end->backlog = 0;
        finish_writes(end, ERR_CLOSED);
    } else {
        finish_writes(end, ERR_OK);
    }
}

void sim_stream_write(struct env_stream *stream, const struct bytes *iov, unsigned n,
                      struct env_write *write)
{
    struct sim_stream_end *end = end_of(stream);
    assert(!end->finished && !end->gone);
    write->next = NULL;
    if (end->first == NULL)
        end->first = write;
    else
        end->last->next = write;
    end->last = write;
    if (end->iov_len + n > end->iov_cap) {
        end->iov_cap = 2 * (end->iov_len + n);
        end->iov = realloc(end->iov, end->iov_cap * sizeof end->iov[0]);
        if (end->iov == NULL)
            abort();
    }
    for (unsigned i = 0; i < n; i++) {
        end->iov[end->iov_len++] = iov[i];
        end->backlog += iov[i].len;
        end->written += iov[i].len;
    }
    write->world = (void *)(uintptr_t)end->written;
    if (!end->closing)
        soon(end, &end->pump);
}

size_t sim_stream_backlog(const struct env_stream *stream)
{
    return ((const struct sim_stream_end *)(const void *)stream)->backlog;
}

void sim_stream_finish(struct env_stream *stream)
{
    struct sim_stream_end *end = end_of(stream);
    end->finished = true;
    if (!end->closing)
        soon(end, &end->pump);
}

/* ---- Reading ---- */

static void deliver(struct sim_event *event)
{
    struct sim_stream_end *end = container_of(event, struct sim_stream_end, deliver);
    enum { SUGGESTED = 65536 };
    while (end->ops != NULL && !end->paused && !end->closing && end->in_at < end->in.len) {
        struct env_room room = end->ops->room(end->user, SUGGESTED);
        assert(room.data != NULL && room.len > 0);
        size_t len = end->in.len - end->in_at;
        len = len < room.len ? len : room.len;
        memcpy(room.data, end->in.data + end->in_at, len);
        end->in_at += len;
        if (end->in_at == end->in.len)
            end->in_at = end->in.len = 0;
        soon(other(end), &other(end)->pump); /* there is room again */
        end->ops->read(end->user, len, ERR_OK);
    }
    if (end->ops != NULL && !end->paused && !end->closing && end->fin_came && !end->end_read &&
        end->in_at == end->in.len) {
        end->end_read = true;
        end->ops->read(end->user, 0, ERR_CLOSED);
    }
}

void sim_stream_start(struct env_stream *stream, const struct env_stream_ops *ops, void *user)
{
    struct sim_stream_end *end = end_of(stream);
    assert(end->ops == NULL && !end->closing);
    end->ops = ops;
    end->user = user;
    soon(end, &end->deliver);
}

void sim_stream_pause(struct env_stream *stream)
{
    end_of(stream)->paused = true;
}

void sim_stream_resume(struct env_stream *stream)
{
    struct sim_stream_end *end = end_of(stream);
    end->paused = false;
    if (!end->closing)
        soon(end, &end->deliver);
}

/* ---- Closing ---- */

static void run_close(struct sim_event *event)
{
    struct sim_stream_end *end = container_of(event, struct sim_stream_end, close);
    const struct env_stream_ops *ops = end->ops;
    void *user = end->user;
    finish_writes(end, ERR_CLOSED);
    end->gone = true;
    conn_unref(end->conn);
    if (ops != NULL)
        ops->closed(user);
}

void sim_stream_close(struct env_stream *stream)
{
    struct sim_stream_end *end = end_of(stream);
    if (end->closing)
        return;
    end->closing = true;
    end->backlog = end->iov_at = end->iov_len = 0;
    sim_cancel(end->conn->sim, &end->pump);
    sim_cancel(end->conn->sim, &end->deliver);
    if (!sim_world_crashed(end->world) && !end->reset && !end->fin_sent)
        send_segment(end, end->in_at < end->in.len ? RESET : FIN, (struct bytes){ 0 });
    soon(end, &end->close);
}

void sim_stream_peer(struct env_stream *stream, struct env_peer *ret)
{
    *ret = end_of(stream)->peer;
}

/* ---- Birth, reset, the end of a machine ---- */

struct env_stream *sim_stream_of(struct sim_stream_end *end)
{
    return &end->base;
}

static void end_init(struct sim_stream_end *end, struct conn *conn, struct sim_world *world,
                     const struct env_peer *peer)
{
    end->base.env = &world->env;
    end->world = world;
    end->conn = conn;
    end->peer = *peer;
    end->pump = (struct sim_event){ .world = world, .fire = pump, .what = "pump", .id = conn->id };
    end->deliver =
        (struct sim_event){ .world = world, .fire = deliver, .what = "deliver", .id = conn->id };
    end->close =
        (struct sim_event){ .world = world, .fire = run_close, .what = "close", .id = conn->id };
    end->release =
        (struct sim_event){ .world = world, .fire = release, .what = "release", .id = conn->id };
    list_init(&end->held);
    list_push_back(&world->ends, &end->link);
}

void sim_stream_pair(struct sim_world *client, struct sim_world *server,
                     const struct env_peer *client_sees, const struct env_peer *server_sees,
                     struct sim_stream_end *ret[2])
{
    struct conn *conn = disk_alloc(sizeof *conn);
    conn->sim = client->sim;
    conn->id = client->sim->next_id++;
    conn->refs = 2;
    end_init(&conn->end[0], conn, client, client_sees);
    end_init(&conn->end[1], conn, server, server_sees);
    ret[0] = &conn->end[0];
    ret[1] = &conn->end[1];
}

/* Both ends at once, as if something between them had lost its mind. */
void sim_stream_reset(struct sim_stream_end *end)
{
    struct sim *sim = end->conn->sim;
    if (end->reset || other(end)->reset)
        return;
    sim->resets++;
    sim_note(sim, end->world, "rst", end->conn->id, 0, 0);
    become_reset(end);
    become_reset(other(end));
}

size_t sim_stream_reset_all(struct sim_world *world)
{
    size_t count = 0;
    list_for_each(at, &world->ends) {
        struct sim_stream_end *end = container_of(at, struct sim_stream_end, link);
        if (!end->gone && !end->closing && !end->reset) {
            sim_stream_reset(end);
            count++;
        }
    }
    return count;
}

void sim_stream_crash(struct sim_world *world)
{
    list_for_each(at, &world->ends) {
        struct sim_stream_end *end = container_of(at, struct sim_stream_end, link);
        if (!world->powerless && !end->gone && !end->reset && !end->closing)
            send_segment(end, RESET, (struct bytes){ 0 });
        end->silent = world->powerless;
    }
    while (drop_one_held(world))
        ;
    list_for_each_safe(at, &world->segments)
        drop_segment(container_of(at, struct segment, link));
}

void sim_stream_run_closing(struct sim_world *world)
{
    for (;;) {
        struct sim_stream_end *found = NULL;
        list_for_each(at, &world->ends) {
            struct sim_stream_end *end = container_of(at, struct sim_stream_end, link);
            if (end->closing && !end->gone) {
                found = end;
                break;
            }
        }
        if (found == NULL)
            return;
        sim_cancel(world->sim, &found->close);
        run_close(&found->close);
    }
}

bool sim_stream_forget(struct sim_world *world)
{
    bool clean = true;
    list_for_each_safe(at, &world->segments)
        drop_segment(container_of(at, struct segment, link));
    while (!list_empty(&world->ends)) {
        struct sim_stream_end *end = container_of(world->ends.next, struct sim_stream_end, link);
        sim_cancel(world->sim, &end->pump);
        sim_cancel(world->sim, &end->deliver);
        sim_cancel(world->sim, &end->close);
        sim_cancel(world->sim, &end->release);
        list_remove(&end->link);
        end->conn->refs++;
        drop_held(end);
        drop_held(other(end));
        end->world = NULL;
        if (!end->gone) {
            clean = false;
            end->gone = end->closing = true;
            conn_unref(end->conn);
        }
        conn_unref(end->conn);
    }
    return clean;
}
