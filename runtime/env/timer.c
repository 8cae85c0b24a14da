/* The timers of one world, in one heap. */
#include "env/env_ops.h"

#include <stdlib.h>

#include "base/container.h"

uint64_t env_timers_next(const struct env *env)
{
    struct heap_node *top = heap_top(&env->timers);
    return top == NULL ? UINT64_MAX : top->due;
}

bool env_timers_fire(struct env *env, uint64_t now)
{
    bool fired = false;
    uint64_t limit =
        env->timers.seq; /* one without delay that restarts itself must not hold the loop here */
    for (;;) {
        struct heap_node *top = heap_top(&env->timers);
        if (top == NULL || top->due > now || top->seq >= limit)
            return fired;
        heap_pop(&env->timers);
        struct env_timer *timer = container_of(top, struct env_timer, node);
        timer->fire(timer);
        fired = true;
    }
}

void env_timer_start(struct env *env, struct env_timer *timer, uint64_t delay_ns)
{
    uint64_t next = env_timers_next(env), now = env_now(env);
    heap_remove(&env->timers, &timer->node);
    timer->node.due = delay_ns > UINT64_MAX - 1 - now ? UINT64_MAX - 1 : now + delay_ns;
    if (heap_push(&env->timers, &timer->node) != ERR_OK)
        abort(); /* a pointer a timer: small, and there is no one to tell */
    if (env->ops->timers_changed != NULL && env_timers_next(env) != next)
        env->ops->timers_changed(env);
}

void env_timer_stop(struct env *env, struct env_timer *timer)
{
    heap_remove(&env->timers, &timer->node);
}
