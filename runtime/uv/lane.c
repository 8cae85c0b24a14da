/* Lanes: a FIFO and its thread.
 *
 *   loop:    work ──> queue (mutex) ──wake if asleep──> thread: run
 *   loop: <── done <── finished (lock-free, newest first) <──┘      one wake of the loop for many results
 *
 * LOG and APPLY are on the way of every commit: their thread may look for the next job before it sleeps. It does so
 * only while that pays: a spin that found nothing ends spinning for a while, for longer every time. BULK is nice and
 * last in the queue of the disk; SCRIPT runs when nothing else wants to (SCHED_IDLE). */
#include "world_int.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    REST_MAX = 1023,
    BULK_NICE = 10,
    IOPRIO_WHO_PROCESS = 1,
    IOPRIO_CLASS_BE = 2,
    IOPRIO_LOWEST = 7
};

struct lane {
    struct env_lane base;
    struct list link; /* in world->lanes */
    struct world *world;
    enum env_lane_kind kind;
    pthread_t thread;
    size_t depth;   /* loop thread */
    uint64_t round; /* loop thread: of world_lanes_serve() */
    _Atomic(struct env_job *) finished;
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    struct env_job *first, *last; /* under the mutex */
    atomic_bool queued;           /* first != NULL, for the one who spins */
    bool asleep, ending;          /* under the mutex */
    bool started;
    int start_error;
    unsigned rest,
        next_rest; /* its thread: jobs until spinning is tried again, after the next failure */
};

/* ---- The thread ---- */

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

static uint64_t monotonic(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Looks for a job before sleeping. In vain: whoever would bring one has no core to run on, or has none; then we rest
 * for twice as many jobs as the last time. */
static void spin(struct lane *lane)
{
    uint64_t ns = lane->world->config.spin_ns;
    if (ns == 0 || lane->kind > ENV_LANE_APPLY)
        return;
    if (lane->rest > 0) {
        lane->rest--;
        return;
    }
    uint64_t until = monotonic() + ns;
    bool found = false;
    do
        for (unsigned i = 0; i < 32 && !found; i++) {
            relax();
            found = atomic_load_explicit(&lane->queued, memory_order_relaxed);
        }
    while (!found && monotonic() < until);
    lane->next_rest = found ? 1 : lane->next_rest < REST_MAX ? 2 * lane->next_rest + 1 : REST_MAX;
    lane->rest = found ? 0 : lane->next_rest;
}

static struct env_job *take_all(struct lane *lane)
{
    pthread_mutex_lock(&lane->mutex);
    if (lane->first == NULL && !lane->ending) {
        pthread_mutex_unlock(&lane->mutex);
        spin(lane);
        pthread_mutex_lock(&lane->mutex);
    }
    while (lane->first == NULL && !lane->ending) {
        lane->asleep = true;
        pthread_cond_wait(&lane->cond, &lane->mutex);
        lane->asleep = false;
    }
    struct env_job *jobs = lane->first;
    lane->first = lane->last = NULL;
    atomic_store_explicit(&lane->queued, false, memory_order_relaxed);
    pthread_mutex_unlock(&lane->mutex);
    return jobs;
}

static void give_back(struct lane *lane, struct env_job *job)
{
    struct env_job *head = atomic_load_explicit(&lane->finished, memory_order_relaxed);
    do
        job->next = head;
    while (!atomic_compare_exchange_weak(&lane->finished, &head, job));
    world_wake(lane->world);
}

/* 0, or errno. Priorities of Linux belong to threads. */
static int lower_priority(enum env_lane_kind kind)
{
    if (kind == ENV_LANE_SCRIPT) {
        struct sched_param none = { 0 };
        if (sched_setscheduler(0, SCHED_IDLE, &none) != 0)
            return errno;
    }
    if (kind == ENV_LANE_BULK) {
        id_t self = (id_t)syscall(SYS_gettid);
        if (setpriority(PRIO_PROCESS, self, BULK_NICE) != 0)
            return errno;
        if (syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_CLASS_BE << 13 | IOPRIO_LOWEST) !=
            0)
            return errno;
    }
    return 0;
}

static void *serve(void *arg)
{
    struct lane *lane = arg;
    int error = lower_priority(lane->kind);
    pthread_mutex_lock(&lane->mutex);
    lane->start_error = error;
    lane->started = true;
    pthread_cond_signal(&lane->cond);
    pthread_mutex_unlock(&lane->mutex);
    struct env_job *jobs;
    while (error == 0 && (jobs = take_all(lane)) != NULL) {
        while (jobs != NULL) {
            struct env_job *next = jobs->next;
            jobs->run(jobs);
            give_back(lane, jobs);
            jobs = next;
        }
    }
    return NULL;
}

/* ---- The loop's side ---- */

static void lane_free(struct lane *lane)
{
    pthread_cond_destroy(&lane->cond);
    pthread_mutex_destroy(&lane->mutex);
    free(lane);
}

/* Signals are for the loop's thread, but those that a thread brings upon itself. */
static int start_thread(struct lane *lane, const char *name)
{
    static const int own[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGPROF };
    sigset_t block, before;
    sigfillset(&block);
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        sigdelset(&block, own[i]);
    pthread_sigmask(SIG_SETMASK, &block, &before);
    int rc = pthread_create(&lane->thread, NULL, serve, lane);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0)
        return rc;
    pthread_setname_np(lane->thread, name);
    pthread_mutex_lock(&lane->mutex);
    while (!lane->started)
        pthread_cond_wait(&lane->cond, &lane->mutex);
    pthread_mutex_unlock(&lane->mutex);
    if (lane->start_error != 0)
        pthread_join(lane->thread, NULL);
    return lane->start_error;
}

err_t world_lane_open(struct env *env, enum env_lane_kind kind, const char *name,
                      struct env_lane **ret, struct err *e)
{
    struct world *world = world_of(env);
    struct lane *lane = world_alloc(sizeof *lane);
    lane->base.env = env;
    lane->world = world;
    lane->kind = kind;
    pthread_mutex_init(&lane->mutex, NULL);
    pthread_cond_init(&lane->cond, NULL);
    int rc = start_thread(lane, name);
    if (rc != 0) {
        lane_free(lane);
        return err_errno(e, rc, "could not start the thread of lane \"%s\"", name);
    }
    list_push_back(&world->lanes, &lane->link);
    *ret = &lane->base;
    return ERR_OK;
}

void world_lane_work(struct env_lane *base, struct env_job *job)
{
    struct lane *lane = container_of(base, struct lane, base);
    assert(world_on_loop(lane->world));
    job->next = NULL;
    lane->depth++;
    pthread_mutex_lock(&lane->mutex);
    if (lane->first == NULL)
        lane->first = job;
    else
        lane->last->next = job;
    lane->last = job;
    atomic_store_explicit(&lane->queued, true, memory_order_relaxed);
    bool asleep = lane->asleep;
    lane->asleep = false; /* one wake is enough */
    pthread_mutex_unlock(&lane->mutex);
    if (asleep)
        pthread_cond_signal(&lane->cond);
}

size_t world_lane_depth(const struct env_lane *base)
{
    return ((const struct lane *)(const void *)base)->depth;
}

static bool serve_finished(struct lane *lane)
{
    struct env_job *newest = atomic_exchange(&lane->finished, NULL), *oldest = NULL;
    while (newest != NULL) {
        struct env_job *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    bool any = oldest != NULL;
    while (oldest != NULL) {
        struct env_job *next = oldest->next;
        lane->depth--;
        oldest->done(oldest);
        oldest = next;
    }
    return any;
}

bool world_lanes_have_results(struct world *world)
{
    list_for_each(at, &world->lanes)
        if (atomic_load(&container_of(at, struct lane, link)->finished) != NULL)
            return true;
    return false;
}

/* A `done` may open and close lanes, also ones that come later here: look from the start after each that had results,
 * but serve every lane once, or one that always has results would keep the loop here. */
bool world_lanes_serve(struct world *world)
{
    bool any = false;
    world->lane_round++;
    for (struct list *at = world->lanes.next; at != &world->lanes;) {
        struct lane *lane = container_of(at, struct lane, link);
        at = at->next;
        if (lane->round == world->lane_round || atomic_load(&lane->finished) == NULL)
            continue;
        lane->round = world->lane_round;
        serve_finished(lane);
        any = true;
        at = world->lanes.next;
    }
    return any;
}

void world_lane_close(struct env_lane *base)
{
    struct lane *lane = container_of(base, struct lane, base);
    assert(world_on_loop(lane->world));
    while (lane->depth > 0) { /* a shutdown may wait for its jobs like this: in short naps */
        if (!serve_finished(lane))
            usleep(50);
    }
    pthread_mutex_lock(&lane->mutex);
    lane->ending = true;
    pthread_cond_signal(&lane->cond);
    pthread_mutex_unlock(&lane->mutex);
    pthread_join(lane->thread, NULL);
    list_remove(&lane->link);
    lane_free(lane);
}
