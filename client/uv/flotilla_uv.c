/* libflotilla in a libuv loop: one uv_poll on the handle's epoll, one uv_timer for what is due by time.
 *
 *   poll: something came  -+
 *   timer: due, or woken  -+-> flotilla_process() -> callbacks -> the timer is set anew
 *
 * Sockets come and go behind the epoll, which stays: libuv must not see a descriptor close while it polls it. */
#include "flotilla_uv.h"

#include <stdlib.h>

struct flotilla_uv {
    uv_poll_t poll;
    uv_timer_t timer;
    struct flotilla *db;
    bool awake; /* the timer is set for now */
    unsigned closing;
    void (*stopped)(void *user);
    void *user;
};

static void turn(struct flotilla_uv *uv);

static void on_poll(uv_poll_t *poll, int status, int events)
{
    (void)status, (void)events; /* an error is found by who reads */
    turn(poll->data);
}

static void on_timer(uv_timer_t *timer)
{
    struct flotilla_uv *uv = timer->data;
    uv->awake = false;
    turn(uv);
}

/* Only what has no outcome keeps the loop alive. */
static void hold(struct flotilla_uv *uv)
{
    if (flotilla_pending(uv->db) > 0)
        uv_ref((uv_handle_t *)&uv->poll);
    else
        uv_unref((uv_handle_t *)&uv->poll);
}

static void set_timer(struct flotilla_uv *uv)
{
    int due = flotilla_timeout(uv->db);
    uv->awake = due == 0;
    if (due < 0)
        uv_timer_stop(&uv->timer);
    else
        uv_timer_start(&uv->timer, on_timer, (uint64_t)due, 0);
}

static void turn(struct flotilla_uv *uv)
{
    flotilla_process(uv->db);
    set_timer(uv);
    hold(uv);
}

static void on_closed(uv_handle_t *handle)
{
    struct flotilla_uv *uv = handle->data;
    if (--uv->closing > 0)
        return;
    void (*stopped)(void *) = uv->stopped;
    void *user = uv->user;
    free(uv);
    if (stopped != NULL)
        stopped(user);
}

int flotilla_uv_start(uv_loop_t *loop, struct flotilla *db, struct flotilla_uv **ret)
{
    int fd = flotilla_loop_fd(db);
    if (fd < 0)
        return UV_EMFILE;
    struct flotilla_uv *uv = calloc(1, sizeof *uv);
    if (uv == NULL)
        return UV_ENOMEM;
    uv->db = db;
    int rc = uv_poll_init(loop, &uv->poll, fd);
    if (rc != 0) {
        free(uv);
        return rc;
    }
    uv_timer_init(loop, &uv->timer);
    uv->poll.data = uv->timer.data = uv;
    uv_unref((uv_handle_t *)&uv->timer);
    rc = uv_poll_start(&uv->poll, UV_READABLE, on_poll);
    if (rc != 0) {
        flotilla_uv_stop(uv, NULL, NULL);
        return rc;
    }
    set_timer(uv);
    hold(uv);
    *ret = uv;
    return 0;
}

void flotilla_uv_wake(struct flotilla_uv *uv)
{
    hold(uv);
    if (uv->awake)
        return;
    uv->awake = true;
    uv_timer_start(&uv->timer, on_timer, 0, 0);
}

int flotilla_uv_submit(struct flotilla_uv *uv, const struct flotilla_op *op, flotilla_done *done,
                       void *user, struct flotilla_error *error)
{
    int rc = flotilla_submit(uv->db, op, done, user, error);
    if (rc == FLOTILLA_OK)
        flotilla_uv_wake(uv);
    return rc;
}

void flotilla_uv_stop(struct flotilla_uv *uv, void (*stopped)(void *user), void *user)
{
    uv->stopped = stopped;
    uv->user = user;
    uv->closing = 2;
    uv_close((uv_handle_t *)&uv->poll, on_closed);
    uv_close((uv_handle_t *)&uv->timer, on_closed);
}
