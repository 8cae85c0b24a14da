/* What an event loop asks of a handle, and waiting without one.
 *
 *   one connection        the loop waits for its socket itself: nothing stands between
 *   two and more          the loop waits for an epoll of the handle, which waits for all of them
 *
 * The epoll is made when it is first needed, or asked for, and stays. If the kernel has none for us, all sockets are
 * looked at every few milliseconds: slower, and still right. */
#include "client_int.h"

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>

enum { EVENTS_A_LOOK = 64, BLIND_MS = 5 };

static const uint64_t ms = 1000000;

size_t flotilla_pending(const struct flotilla *f)
{
    return f->pending;
}

static struct client_conn *only_socket(const struct flotilla *f)
{
    for (size_t i = 0; i < f->conn_count; i++)
        if (f->conns[i]->fd >= 0)
            return f->conns[i];
    return NULL;
}

int flotilla_fd(const struct flotilla *f)
{
    if (f->epoll >= 0)
        return f->epoll;
    const struct client_conn *c = only_socket(f);
    return c != NULL ? c->fd : -1;
}

static short events_of(const struct client_conn *c)
{
    if (c->state == CLIENT_CONNECTING)
        return POLLOUT;
    return c->unsent != &c->wire || client_conn_assignable(c) ? POLLIN | POLLOUT : POLLIN;
}

short flotilla_events(const struct flotilla *f)
{
    if (f->epoll >= 0)
        return POLLIN;
    const struct client_conn *c = only_socket(f);
    return c != NULL ? events_of(c) : 0;
}

int flotilla_timeout(const struct flotilla *f)
{
    uint64_t due = f->next_deadline < f->next_delayed ? f->next_deadline : f->next_delayed;
    if (f->pending == 0)
        due = UINT64_MAX; /* what was to expire has been answered */
    for (size_t i = 0; i < f->conn_count; i++) {
        uint64_t at = client_conn_due(f->conns[i]);
        due = at < due ? at : due;
    }
    if (due == UINT64_MAX && !f->unwatched)
        return -1;
    uint64_t now = client_now(), wait = due <= now ? 0 : (due - now + ms - 1) / ms;
    if (f->unwatched && wait > BLIND_MS)
        return BLIND_MS;
    return wait > 1000000 ? 1000000 : (int)wait;
}

/* ---- The epoll ---------------------------------------------------------------------------------------------- */

static bool watch(struct flotilla *f, struct client_conn *c)
{
    short wanted = events_of(c);
    uint32_t events =
        (wanted & POLLIN ? (uint32_t)EPOLLIN : 0) | (wanted & POLLOUT ? (uint32_t)EPOLLOUT : 0);
    if (c->fd < 0 || events == c->watched)
        return true;
    struct epoll_event event = { .events = events, .data.ptr = c };
    if (epoll_ctl(f->epoll, c->watched != 0 ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, c->fd, &event) != 0)
        return false;
    c->watched = events;
    return true;
}

/* Once there are two sockets, tells the epoll what each of them waits for. */
static void watch_all(struct flotilla *f)
{
    size_t sockets = 0;
    for (size_t i = 0; i < f->conn_count; i++)
        sockets += f->conns[i]->fd >= 0;
    f->unwatched = false;
    if (f->epoll < 0 && sockets < 2)
        return;
    if (f->epoll < 0)
        f->epoll = epoll_create1(EPOLL_CLOEXEC);
    f->unwatched = f->epoll < 0;
    for (size_t i = 0; i < f->conn_count && !f->unwatched; i++)
        f->unwatched = !watch(f, f->conns[i]);
}

int flotilla_loop_fd(struct flotilla *f)
{
    if (f->epoll < 0)
        f->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (f->epoll >= 0)
        watch_all(f);
    return f->epoll;
}

/* Marks the connections that have something; waits for one at most `timeout_ms`. */
static void look(struct flotilla *f, int timeout_ms)
{
    struct epoll_event events[EVENTS_A_LOOK];
    int n = epoll_wait(f->epoll, events, EVENTS_A_LOOK, timeout_ms);
    for (int i = 0; i < n; i++)
        ((struct client_conn *)events[i].data.ptr)->stirred = true;
    f->stirred = true;
}

/* ---- Doing -------------------------------------------------------------------------------------------------- */

void flotilla_process(struct flotilla *f)
{
    if (f->busy)
        return;
    f->busy = true;
    bool marked = f->epoll >= 0 && !f->unwatched && f->conn_count > 1;
    if (marked && !f->stirred)
        look(f, 0);
    f->stirred = false;
    uint64_t now = client_now();
    client_op_tick(f, now);
    for (size_t i = 0; i < f->conn_count; i++) {
        struct client_conn *c = f->conns[i];
        bool stirred = c->stirred || !marked || c->watched == 0;
        c->stirred = false;
        client_conn_receive(c, stirred, now);
    }
    for (size_t i = 0; i < f->conn_count; i++)
        client_conn_send(f->conns[i], now);
    if (f->conn_count > 1 || f->epoll >= 0)
        watch_all(f);
    f->busy = false;
}

void client_loop_wait(struct flotilla *f, int timeout_ms)
{
    int most = flotilla_timeout(f);
    if (timeout_ms < 0 || (most >= 0 && most < timeout_ms))
        timeout_ms = most;
    struct pollfd p = { .fd = flotilla_fd(f), .events = flotilla_events(f) };
    if (timeout_ms < 0 && p.fd < 0)
        return; /* nothing is asked, nothing will come */
    if (f->epoll >= 0 && !f->unwatched)
        look(f, timeout_ms);
    else
        poll(&p, 1, timeout_ms);
}

size_t flotilla_wait(struct flotilla *f, int timeout_ms)
{
    size_t before = f->completed;
    flotilla_process(f);
    if (f->completed != before || f->busy)
        return f->completed - before;
    client_loop_wait(f, timeout_ms);
    flotilla_process(f);
    return f->completed - before;
}
