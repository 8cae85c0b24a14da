/* The loop: one turn after another.
 *
 *   poll ──> events (streams, accepts, watches, signals)
 *   prepare: round:  results of lanes and posts, timers that are due, hooks, writes that leave, their `done`
 *            another round while these made work (a few at most, then poll without sleeping)
 *   sleep until an event, the earliest timer, or a wake
 *
 * A thread that brings work while the loop is awake pays no system call: the loop looks again before it sleeps. */
#include "world_int.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS_MAX = 4 };

struct signal_watch {
    struct list link; /* in world->signals */
    struct world *world;
    uv_signal_t handle;
    void (*fired)(void *user, int signum);
    void *user;
};

void *world_alloc(size_t len)
{
    void *p = calloc(1, len);
    if (p == NULL)
        abort();
    return p;
}

/* ---- Clocks and chance ---- */

static uint64_t read_clock(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t ops_now(struct env *env)
{
    (void)env;
    return read_clock(CLOCK_BOOTTIME);
}

static uint64_t ops_wall(struct env *env)
{
    (void)env;
    return read_clock(CLOCK_REALTIME);
}

static void ops_random(struct env *env, void *out, size_t len)
{
    (void)env;
    uint8_t *at = out;
    while (len > 0) {
        ssize_t n = getrandom(at, len, 0);
        if (n < 0 && errno != EINTR)
            abort(); /* a kernel without chance: nothing that we draw could be trusted */
        at += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
}

/* ---- Work from other threads ---- */

/* Safe from a thread of idle priority, which may be stopped for long after any instruction: nobody waits for it to
 * finish (as uv_async_send() makes the loop do), and nobody relies on it to wake the loop (so it does not clear
 * `asleep`: two threads that come at the same time both write). */
void world_wake(struct world *world)
{
    const uint64_t one = 1;
    if (atomic_load(&world->asleep) && write(world->wake_fd, &one, sizeof one) < 0)
        assert(errno == EAGAIN); /* the counter is full: it has been woken */
}

static void ops_post(struct env *env, struct env_job *job)
{
    struct world *world = world_of(env);
    struct env_job *head = atomic_load_explicit(&world->posted, memory_order_relaxed);
    do
        job->next = head;
    while (!atomic_compare_exchange_weak(&world->posted, &head, job));
    world_wake(world);
}

static void ops_stop(struct env *env)
{
    struct world *world = world_of(env);
    atomic_store(&world->stop, true);
    world_wake(world);
}

static bool serve_posts(struct world *world)
{
    struct env_job *newest = atomic_exchange(&world->posted, NULL), *oldest = NULL;
    while (newest != NULL) {
        struct env_job *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    bool any = oldest != NULL;
    while (oldest != NULL) {
        struct env_job *next = oldest->next;
        oldest->done(oldest);
        oldest = next;
    }
    return any;
}

/* ---- Writes that are over ---- */

void world_write_over(struct world *world, struct env_write *write, err_t rc)
{
    write->world = (void *)(uintptr_t)rc;
    write->next = NULL;
    if (world->done == NULL)
        world->done = write;
    else
        world->done_last->next = write;
    world->done_last = write;
}

bool world_serve_writes(struct world *world)
{
    bool any = false;
    while (world->done != NULL) {
        struct env_write *write = world->done;
        world->done = write->next;
        write->done(write, (err_t)(uintptr_t)write->world);
        any = true;
    }
    return any;
}

/* ---- Turns ---- */

static void count_log2(uint64_t histogram[WORLD_HISTOGRAM], uint64_t ns)
{
    unsigned bucket = ns == 0 ? 0 : 63 - (unsigned)__builtin_clzll(ns);
    histogram[bucket < WORLD_HISTOGRAM ? bucket : WORLD_HISTOGRAM - 1]++;
}

static void fire_timers(struct world *world)
{
    uint64_t due = env_timers_next(&world->env);
    if (due == UINT64_MAX)
        return;
    uint64_t now = ops_now(&world->env);
    if (due > now)
        return;
    count_log2(world->stats.late_log2, now - due);
    env_timers_fire(&world->env, now);
}

static void on_timer(uv_poll_t *timer, int status, int events)
{
    (void)status, (void)events;
    struct world *world = timer->data;
    uint64_t expirations; /* read, or it stays readable when no timer follows */
    (void)!read(world->timer_fd, &expirations, sizeof expirations);
    world->timer_due = UINT64_MAX; /* `prepare` follows, fires what is due and sets it anew */
}

/* True if a timer is due already. One that was stopped leaves its wake behind: an empty turn costs less than a system
 * call for every timer, most of which are stopped before they fire. */
static bool arm_timer(struct world *world)
{
    uint64_t due = env_timers_next(&world->env);
    if (due >= world->timer_due)
        return false;
    if (due <= ops_now(&world->env))
        return true;
    struct itimerspec at = { .it_value = { .tv_sec = (time_t)(due / 1000000000),
                                           .tv_nsec = (long)(due % 1000000000) } };
    if (at.it_value.tv_sec < INT32_MAX) /* a timer in sixty years needs no wake */
        timerfd_settime(world->timer_fd, TFD_TIMER_ABSTIME, &at, NULL);
    world->timer_due = due;
    return false;
}

static bool work_is_waiting(struct world *world)
{
    return atomic_load(&world->posted) != NULL || world_lanes_have_results(world) ||
           atomic_load(&world->stop);
}

static void do_nothing(uv_idle_t *idle)
{
    (void)idle;
}

static void on_prepare(uv_prepare_t *prepare)
{
    struct world *world = prepare->data;
    bool more = true;
    for (unsigned round = 0; more && round < ROUNDS_MAX; round++) {
        serve_posts(world);
        world_lanes_serve(world);
        fire_timers(world);
        env_turns_run(&world->env);
        while (!list_empty(&world->dirty))
            world_stream_flush(list_pop_front(&world->dirty));
        more = world_serve_writes(world) || !list_empty(&world->dirty) || work_is_waiting(world);
    }
    more = arm_timer(world) || more;
    if (atomic_load(&world->stop))
        uv_stop(&world->loop); /* this turn is the last: the poll that follows does not sleep */
    uint64_t now = ops_now(&world->env), took = now - world->turn_began;
    world->stats.turns++;
    world->stats.busy_ns += took;
    world->stats.longest_ns = took > world->stats.longest_ns ? took : world->stats.longest_ns;
    count_log2(world->stats.turn_log2, took);
    atomic_store(&world->asleep, true);
    /* Look once more: work that came before `asleep` was set has not woken us. */
    if (more || work_is_waiting(world)) {
        atomic_store(&world->asleep, false);
        uv_idle_start(&world->idle, do_nothing);
    } else {
        uv_idle_stop(&world->idle);
    }
}

static void on_check(uv_check_t *check)
{
    struct world *world = check->data;
    atomic_store_explicit(&world->asleep, false, memory_order_relaxed);
    world->turn_began = ops_now(&world->env);
}

static void on_wake(uv_poll_t *wake, int status, int events)
{
    struct world *world = wake->data;
    uint64_t count;
    (void)status, (void)events;
    if (read(world->wake_fd, &count, sizeof count) < 0)
        assert(errno == EAGAIN || errno == EINTR);
    /* `prepare` follows and finds the work */
}

void world_run(struct world *world)
{
    world->thread = pthread_self();
    world->turn_began = ops_now(&world->env);
    uv_run(&world->loop, UV_RUN_DEFAULT);
    atomic_store(&world->stop, false);
}

void world_stats(struct world *world, struct world_stats *ret)
{
    *ret = world->stats;
}

/* ---- Signals ---- */

static void on_signal(uv_signal_t *handle, int signum)
{
    struct signal_watch *watch = handle->data;
    watch->fired(watch->user, signum);
}

err_t world_on_signal(struct world *world, int signum, void (*fired)(void *user, int signum),
                      void *user, struct err *e)
{
    struct signal_watch *watch = world_alloc(sizeof *watch);
    watch->world = world;
    watch->fired = fired;
    watch->user = user;
    int rc = uv_signal_init(&world->loop, &watch->handle);
    if (rc != 0) {
        free(watch);
        return err_errno(e, -rc, "could not watch signals");
    }
    watch->handle.data = watch;
    list_push_back(&world->signals, &watch->link);
    rc = uv_signal_start(&watch->handle, on_signal, signum);
    return rc == 0 ? ERR_OK : err_errno(e, -rc, "could not watch signal %d", signum);
}

static void on_signal_closed(uv_handle_t *handle)
{
    free(handle->data);
}

/* ---- Birth and end ---- */

static const struct env_ops ops = {
    .now = ops_now,
    .wall = ops_wall,
    .random = ops_random,
    .lane_open = world_lane_open,
    .work = world_lane_work,
    .lane_depth = world_lane_depth,
    .lane_close = world_lane_close,
    .post = ops_post,
    .stop = ops_stop,
    .lock_new = world_lock_new,
    .lock_free = world_lock_free,
    .lock_enter = world_lock_enter,
    .lock_leave = world_lock_leave,
    .lock_wait = world_lock_wait,
    .lock_wake = world_lock_wake,
    .listen = world_listen,
    .listener_address = world_listener_address,
    .listener_close = world_listener_close,
    .connect = world_connect,
    .connect_cancel = world_connect_cancel,
    .stream_start = world_stream_start,
    .stream_pause = world_stream_pause,
    .stream_resume = world_stream_resume,
    .stream_write = world_stream_write,
    .stream_backlog = world_stream_backlog,
    .stream_end = world_stream_end,
    .stream_close = world_stream_close,
    .stream_peer = world_stream_peer,
    .file_open = world_file_open,
    .file_read = world_file_read,
    .file_write = world_file_write,
    .file_sync = world_file_sync,
    .file_size = world_file_size,
    .file_truncate = world_file_truncate,
    .file_lock = world_file_lock,
    .file_close = world_file_close,
    .rename = world_rename,
    .remove = world_remove,
    .mkdir = world_mkdir,
    .dir_sync = world_dir_sync,
    .dir_list = world_dir_list,
    .stat = world_stat,
    .disk_free = world_disk_free,
    .watch_start = world_watch_start,
    .watch_stop = world_watch_stop,
};

err_t world_open(const struct world_config *config, struct world **ret, struct err *e)
{
    struct world *world = world_alloc(sizeof *world);
    if (config != NULL)
        world->config = *config;
    world->env.ops = &ops;
    world->thread = pthread_self();
    world->timer_due = UINT64_MAX;
    list_init(&world->lanes);
    list_init(&world->signals);
    list_init(&world->dirty);
    signal(SIGPIPE, SIG_IGN);
    world->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    world->timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    world->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    bool opened = world->reserve_fd >= 0 && world->timer_fd >= 0 && world->wake_fd >= 0;
    int rc = opened ? uv_loop_init(&world->loop) : -errno;
    if (rc == 0 && ((rc = uv_poll_init(&world->loop, &world->wake, world->wake_fd)) != 0 ||
                    (rc = uv_poll_init(&world->loop, &world->timer, world->timer_fd)) != 0))
        abort(); /* the loop has its descriptors: only memory can be missing */
    if (rc != 0) {
        if (world->reserve_fd >= 0)
            close(world->reserve_fd);
        if (world->timer_fd >= 0)
            close(world->timer_fd);
        if (world->wake_fd >= 0)
            close(world->wake_fd);
        free(world);
        return err_errno(e, -rc,
                         "could not start the event loop (is the limit of open files reached?)");
    }
    uv_prepare_init(&world->loop, &world->prepare);
    uv_check_init(&world->loop, &world->check);
    uv_idle_init(&world->loop, &world->idle);
    world->timer.data = world->wake.data = world->prepare.data = world->check.data = world;
    uv_poll_start(&world->wake, UV_READABLE, on_wake);
    uv_poll_start(&world->timer, UV_READABLE, on_timer);
    uv_prepare_start(&world->prepare, on_prepare);
    uv_check_start(&world->check, on_check);
    *ret = world;
    return ERR_OK;
}

struct env *world_env(struct world *world)
{
    return &world->env;
}

void world_close(struct world *world)
{
    if (world == NULL)
        return;
    world->thread = pthread_self();
    env_fini(&world->env); /* no hook, no timer from here on */
    while (world->closing > 0 || work_is_waiting(world)) {
        atomic_store(&world->stop, false);
        /* Work alone is served before the poll, which then has nothing to wait for. */
        uv_run(&world->loop, world->closing > 0 ? UV_RUN_ONCE : UV_RUN_NOWAIT);
    }
    assert(world->users == 0); /* somebody has not closed a stream, listener, connect or watch */
    assert(list_empty(&world->lanes)); /* or a lane */
    list_for_each_safe(at, &world->signals)
        uv_close((uv_handle_t *)&container_of(at, struct signal_watch, link)->handle,
                 on_signal_closed);
    uv_close((uv_handle_t *)&world->timer, NULL);
    uv_close((uv_handle_t *)&world->prepare, NULL);
    uv_close((uv_handle_t *)&world->check, NULL);
    uv_close((uv_handle_t *)&world->idle, NULL);
    uv_close((uv_handle_t *)&world->wake, NULL);
    uv_run(&world->loop, UV_RUN_DEFAULT);
    int rc = uv_loop_close(&world->loop);
    assert(rc == 0);
    (void)rc;
    close(world->reserve_fd);
    close(world->timer_fd);
    close(world->wake_fd);
    env_fini(&world->env);
    free(world);
}
