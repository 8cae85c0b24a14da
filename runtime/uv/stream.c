/* Streams over TCP and unix sockets.
 *
 *   env_stream_write ──> queue ──end of the turn──> one gathered write ──> kernel
 *                          └─ what the kernel did not take ──> uv_write, then the next gathered write
 *
 * Closing: pending writes are over with ERR_CLOSED, libuv lets go of the handle, then `closed`, exactly once. */
#include "world_int.h"

#include <assert.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/un.h>
#include <unistd.h>

/* More than this waiting: do not gather until the end of the turn, let the kernel begin. */
enum { EAGER_BYTES = 128 * 1024, GATHER_MAX = 1024, SUGGESTED_ROOM = 64 * 1024 };

struct world_stream {
    struct env_stream base;
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } uv;
    const struct env_stream_ops *ops;
    void *user;
    bool is_unix, reading, paused, ended, finished, shut, closing, in_flight;
    err_t write_rc; /* of the first write that failed: later ones fail alike */
    struct list dirty;
    struct env_write *first, *last; /* not over yet; write->world: `written` at its end */
    uv_buf_t *iov; /* their bytes: [0, flying) are libuv's, [flying, iov_len) wait */
    unsigned iov_len, iov_cap, flying;
    uint64_t written, taken;
    size_t flying_bytes;
    uv_write_t write;
    uv_shutdown_t shutdown;
};

static struct world_stream *stream_of(struct env_stream *base)
{
    return container_of(base, struct world_stream, base);
}

static struct world *world_of_stream(struct world_stream *s)
{
    return world_of(s->base.env);
}

static err_t rc_of_uv(int rc)
{
    return rc == UV_EOF         ? ERR_CLOSED
           : rc == UV_ECANCELED ? ERR_CLOSED
                                : err_errno(NULL, -rc, "%s", "");
}

/* ---- Writing ---- */

static void mark_dirty(struct world_stream *s)
{
    if (!list_linked(&s->dirty))
        list_push_back(&world_of_stream(s)->dirty, &s->dirty);
}

/* The kernel has `bytes` more: finish the writes that are whole. */
static void take(struct world_stream *s, uint64_t bytes)
{
    s->taken += bytes;
    while (s->first != NULL && (uint64_t)(uintptr_t)s->first->world <= s->taken) {
        struct env_write *write = s->first;
        s->first = write->next;
        world_write_over(world_of_stream(s), write, ERR_OK);
    }
}

static void fail_writes(struct world_stream *s, err_t rc)
{
    if (s->write_rc == ERR_OK)
        s->write_rc = rc;
    s->iov_len = s->flying; /* what flies belongs to libuv until its callback */
    s->taken = s->written;
    while (s->first != NULL) {
        struct env_write *write = s->first;
        s->first = write->next;
        world_write_over(world_of_stream(s), write, rc);
    }
}

static void drop_iov(struct world_stream *s, unsigned count)
{
    s->iov_len -= count;
    memmove(s->iov, s->iov + count, s->iov_len * sizeof s->iov[0]);
}

/* Takes `bytes` off the front of the array. */
static void consume(struct world_stream *s, size_t bytes)
{
    unsigned i = 0;
    while (i < s->iov_len && s->iov[i].len <= bytes)
        bytes -= s->iov[i++].len;
    drop_iov(s, i);
    if (bytes > 0) {
        s->iov[0].base += bytes;
        s->iov[0].len -= bytes;
    }
}

static void on_shutdown(uv_shutdown_t *request, int rc)
{
    (void)request, (void)rc; /* a peer that is gone has noticed already */
}

static void on_write(uv_write_t *request, int rc)
{
    struct world_stream *s = container_of(request, struct world_stream, write);
    size_t bytes = s->flying_bytes;
    drop_iov(s, s->flying);
    s->flying = 0;
    s->flying_bytes = 0;
    s->in_flight = false;
    if (s->closing || s->write_rc != ERR_OK)
        return; /* its writes are over already */
    if (rc < 0)
        fail_writes(s, rc_of_uv(rc));
    else
        take(s, bytes);
    mark_dirty(s);
}

static void flush(struct world_stream *s)
{
    if (s->closing || s->in_flight)
        return;
    while (s->iov_len > 0) {
        unsigned n = s->iov_len < GATHER_MAX ? s->iov_len : GATHER_MAX;
        int rc = uv_try_write(&s->uv.stream, s->iov, n);
        if (rc < 0 && rc != UV_EAGAIN) {
            fail_writes(s, rc_of_uv(rc));
            return;
        }
        if (rc <= 0)
            break;
        consume(s, (size_t)rc);
        take(s, (uint64_t)rc);
    }
    take(s, 0); /* writes of nothing */
    if (s->iov_len > 0) {
        for (unsigned i = 0; i < s->iov_len; i++)
            s->flying_bytes += s->iov[i].len;
        s->flying = s->iov_len;
        int rc = uv_write(&s->write, &s->uv.stream, s->iov, s->iov_len, on_write);
        s->in_flight = rc == 0;
        if (rc != 0) {
            s->flying = 0;
            s->flying_bytes = 0;
            fail_writes(s, rc_of_uv(rc));
        }
    } else if (s->finished && !s->shut) {
        s->shut = true;
        uv_shutdown(&s->shutdown, &s->uv.stream, on_shutdown);
    }
}

void world_stream_flush(struct list *dirty_link)
{
    flush(container_of(dirty_link, struct world_stream, dirty));
}

void world_stream_write(struct env_stream *base, const struct bytes *iov, unsigned n,
                        struct env_write *write)
{
    struct world_stream *s = stream_of(base);
    assert(!s->finished && world_on_loop(world_of_stream(s)));
    if (s->closing || s->write_rc != ERR_OK) {
        world_write_over(world_of_stream(s), write, s->closing ? ERR_CLOSED : s->write_rc);
        return;
    }
    if (s->iov_len + n > s->iov_cap) {
        s->iov_cap = 2 * (s->iov_len + n);
        s->iov = realloc(s->iov, s->iov_cap * sizeof s->iov[0]);
        if (s->iov == NULL)
            abort();
    }
    for (unsigned i = 0; i < n; i++) {
        if (iov[i].len == 0)
            continue;
        s->iov[s->iov_len].base = (char *)(uintptr_t)iov[i].data; /* libuv does not write there */
        s->iov[s->iov_len++].len = iov[i].len;
        s->written += iov[i].len;
    }
    write->next = NULL;
    write->world = (void *)(uintptr_t)s->written;
    if (s->first == NULL)
        s->first = write;
    else
        s->last->next = write;
    s->last = write;
    mark_dirty(s);
    if (s->written - s->taken >= EAGER_BYTES)
        flush(s);
}

size_t world_stream_backlog(const struct env_stream *base)
{
    const struct world_stream *s = (const struct world_stream *)(const void *)base;
    size_t flown =
        s->in_flight ? s->flying_bytes - uv_stream_get_write_queue_size(&s->uv.stream) : 0;
    return (size_t)(s->written - s->taken) - flown;
}

void world_stream_end(struct env_stream *base)
{
    struct world_stream *s = stream_of(base);
    s->finished = true;
    if (!s->closing)
        mark_dirty(s);
}

/* ---- Reading ---- */

/* Pausing costs nothing until bytes come: then `room` is not asked, and libuv reads no more. A pause that is over
 * before the next poll has cost no system call. */
static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
    (void)suggested;
    struct world_stream *s = handle->data;
    *ret = uv_buf_init(NULL, 0);
    if (s->paused)
        return;
    struct env_room room = s->ops->room(s->user, SUGGESTED_ROOM);
    assert(room.data != NULL && room.len > 0);
    *ret = uv_buf_init((char *)room.data, (unsigned)(room.len < INT32_MAX ? room.len : INT32_MAX));
}

static void stop_reading(struct world_stream *s)
{
    if (s->reading)
        uv_read_stop(&s->uv.stream);
    s->reading = false;
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    (void)buf;
    struct world_stream *s = stream->data;
    if (n == 0)
        return; /* nothing after all */
    if (n < 0)
        stop_reading(s);
    if (n == UV_ENOBUFS && s->paused)
        return;
    s->ended = n < 0;
    s->ops->read(s->user, n > 0 ? (size_t)n : 0, n > 0 ? ERR_OK : rc_of_uv((int)n));
}

static void read_if_wanted(struct world_stream *s)
{
    if (s->reading || s->paused || s->ended || s->closing || s->ops == NULL)
        return;
    int rc = uv_read_start(&s->uv.stream, on_alloc, on_read);
    assert(rc == 0); /* the stream is connected and not closing */
    (void)rc;
    s->reading = true;
}

void world_stream_start(struct env_stream *base, const struct env_stream_ops *ops, void *user)
{
    struct world_stream *s = stream_of(base);
    assert(s->ops == NULL && !s->closing);
    s->ops = ops;
    s->user = user;
    read_if_wanted(s);
}

void world_stream_pause(struct env_stream *base)
{
    stream_of(base)->paused = true;
}

void world_stream_resume(struct env_stream *base)
{
    struct world_stream *s = stream_of(base);
    s->paused = false;
    read_if_wanted(s);
}

/* ---- Birth and end ---- */

struct world_stream *world_stream_new(struct world *world, bool is_unix)
{
    struct world_stream *s = world_alloc(sizeof *s);
    s->base.env = &world->env;
    s->is_unix = is_unix;
    list_init(&s->dirty);
    int rc = is_unix ? uv_pipe_init(&world->loop, &s->uv.pipe, 0)
                     : uv_tcp_init(&world->loop, &s->uv.tcp);
    assert(rc == 0); /* neither makes a socket yet */
    (void)rc;
    s->uv.handle.data = s;
    world->users++;
    world->stats.streams++;
    return s;
}

struct env_stream *world_stream_env(struct world_stream *s)
{
    return &s->base;
}

uv_handle_t *world_stream_handle(struct world_stream *s)
{
    return &s->uv.handle;
}

static void on_closed(uv_handle_t *handle)
{
    struct world_stream *s = handle->data;
    struct world *world = world_of_stream(s);
    world_serve_writes(world); /* `closed` comes after every `done` */
    world->closing--;
    world->stats.streams--;
    const struct env_stream_ops *ops = s->ops;
    void *user = s->user;
    free(s->iov);
    free(s);
    if (ops != NULL)
        ops->closed(user);
}

void world_stream_close(struct env_stream *base)
{
    struct world_stream *s = stream_of(base);
    struct world *world = world_of_stream(s);
    assert(world_on_loop(world));
    if (s->closing)
        return;
    s->closing = true;
    s->reading = false;
    list_remove(&s->dirty);
    fail_writes(s, ERR_CLOSED);
    world->users--;
    world->closing++;
    uv_close(&s->uv.handle, on_closed);
}

/* ---- Who is there ---- */

void world_stream_peer(struct env_stream *base, struct env_peer *ret)
{
    struct world_stream *s = stream_of(base);
    union {
        struct sockaddr any;
        struct sockaddr_in ip4;
        struct sockaddr_in6 ip6;
        struct sockaddr_un path;
    } a = { .any.sa_family = AF_UNSPEC };
    socklen_t len = sizeof a;
    uv_os_fd_t fd = -1;
    char host[INET6_ADDRSTRLEN] = "";
    *ret = (struct env_peer){ .address = "" };
    if (uv_fileno(&s->uv.handle, &fd) != 0)
        return;
    memset(&a, 0, sizeof a);
    if (s->is_unix) {
        struct ucred credentials;
        socklen_t size = sizeof credentials;
        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) == 0) {
            ret->has_credentials = true;
            ret->uid = credentials.uid;
            ret->pid = (uint32_t)credentials.pid;
        }
        /* The side that connected has no name; both sides are known by the listener's. */
        if (getpeername(fd, &a.any, &len) != 0 || a.path.sun_path[0] == '\0') {
            len = sizeof a;
            (void)!getsockname(fd, &a.any, &len);
        }
        snprintf(ret->address, sizeof ret->address, "unix:%.*s", (int)sizeof ret->address - 6,
                 a.path.sun_path);
    } else if (getpeername(fd, &a.any, &len) == 0 && a.any.sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &a.ip6.sin6_addr, host, sizeof host);
        snprintf(ret->address, sizeof ret->address, "[%s]:%u", host, ntohs(a.ip6.sin6_port));
    } else if (a.any.sa_family == AF_INET) {
        inet_ntop(AF_INET, &a.ip4.sin_addr, host, sizeof host);
        snprintf(ret->address, sizeof ret->address, "%s:%u", host, ntohs(a.ip4.sin_port));
    }
}
