/* A mutex with its condition, on the monotonic clock: a step of the wall clock ends no wait. */
#include "world_int.h"

#include <errno.h>
#include <stdlib.h>

struct lock {
    struct env_lock base;
    pthread_mutex_t mutex;
    pthread_cond_t cond;
};

static struct lock *lock_of(struct env_lock *base)
{
    return container_of(base, struct lock, base);
}

err_t world_lock_new(struct env *env, struct env_lock **ret, struct err *e)
{
    (void)e;
    struct lock *lock = world_alloc(sizeof *lock);
    lock->base.env = env;
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&lock->mutex, NULL);
    pthread_cond_init(&lock->cond, &attr);
    pthread_condattr_destroy(&attr);
    *ret = &lock->base;
    return ERR_OK;
}

void world_lock_free(struct env_lock *base)
{
    struct lock *lock = lock_of(base);
    pthread_cond_destroy(&lock->cond);
    pthread_mutex_destroy(&lock->mutex);
    free(lock);
}

void world_lock_enter(struct env_lock *base)
{
    pthread_mutex_lock(&lock_of(base)->mutex);
}

void world_lock_leave(struct env_lock *base)
{
    pthread_mutex_unlock(&lock_of(base)->mutex);
}

bool world_lock_wait(struct env_lock *base, uint64_t timeout_ns)
{
    struct lock *lock = lock_of(base);
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    uint64_t seconds = timeout_ns / 1000000000u;
    if (seconds > 1000000000u) { /* thirty years are for ever, and cannot overflow */
        pthread_cond_wait(&lock->cond, &lock->mutex);
        return true;
    }
    until.tv_sec += (time_t)seconds;
    until.tv_nsec += (long)(timeout_ns % 1000000000u);
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    return pthread_cond_timedwait(&lock->cond, &lock->mutex, &until) != ETIMEDOUT;
}

void world_lock_wake(struct env_lock *base)
{
    pthread_cond_broadcast(&lock_of(base)->cond);
}
