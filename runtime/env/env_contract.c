/* Contract: clocks, timers, turns, posts, lanes, locks. */
#include "env_contract/env_contract.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "base/container.h"
#include "base/test.h"

/* ---- Running until a condition holds ---- */

struct until {
    struct env *env;
    bool (*reached)(void *user);
    void *user;
    struct env_turn turn;
    struct env_timer first, guard;
    bool late;
};

static void nothing(struct env_timer *timer)
{
    (void)timer;
}

static void look(struct env_turn *turn)
{
    struct until *u = container_of(turn, struct until, turn);
    if (u->reached(u->user))
        env_stop(u->env);
}

static void give_up(struct env_timer *timer)
{
    struct until *u = container_of(timer, struct until, guard);
    u->late = true;
    env_stop(u->env);
}

void env_contract_until(struct env_contract *c, struct env *env, bool (*reached)(void *user),
                        void *user)
{
    struct until u = { .env = env,
                       .reached = reached,
                       .user = user,
                       .turn.run = look,
                       .first.fire = nothing,
                       .guard.fire = give_up };
    env_turn_add(env, &u.turn);
    env_timer_start(env, &u.first, 0); /* a turn at once: it may be true already */
    env_timer_start(env, &u.guard, 60000000000);
    c->run(c);
    env_timer_stop(env, &u.first);
    env_timer_stop(env, &u.guard);
    env_turn_remove(env, &u.turn);
    CHECK(!u.late);
}

static bool is_true(void *user)
{
    return *(bool *)user;
}

/* ---- Clocks and chance ---- */

void env_contract_clocks(struct env_contract *c)
{
    struct env *env = c->open(c);
    uint64_t before = env_now(env);
    CHECK(before > 0);
    for (int i = 0; i < 1000; i++) {
        uint64_t now = env_now(env);
        CHECK(now >= before);
        before = now;
    }
    CHECK(env_wall(env) > 1577836800 * (uint64_t)1000000000); /* this was written after 2020 */
    c->close(c);
}

void env_contract_random_differs(struct env_contract *c)
{
    struct env *env = c->open(c);
    uint8_t a[37] = { 0 }, b[37] = { 0 };
    env_random(env, a, sizeof a);
    env_random(env, b, sizeof b);
    CHECK(memcmp(a, b, sizeof a) != 0);
    CHECK(env_random_u64(env) != env_random_u64(env));
    c->close(c);
}

/* ---- Timers ---- */

enum { TIMERS = 3 };

struct test_timer {
    struct env_timer timer;
    struct timers *all;
    char name;
    uint64_t due;
    int fired;
};

struct timers {
    struct env *env;
    struct test_timer t[TIMERS]; /* 'a', 'b', 'c' */
    char log[8]; /* the names of the fired, in order; a counter alone for those that go on */
    size_t goal;
};

static struct test_timer *test_timer(struct env_timer *timer)
{
    return container_of(timer, struct test_timer, timer);
}

static void record(struct env_timer *timer)
{
    struct test_timer *t = test_timer(timer);
    CHECK(env_now(t->all->env) >= t->due);
    CHECK(!env_timer_active(timer));
    t->fired++;
    t->all->log[strlen(t->all->log)] = t->name;
}

static bool enough_fired(void *user)
{
    struct timers *t = user;
    return strlen(t->log) >= t->goal;
}

static void timers_init(struct timers *t, struct env *env, size_t goal)
{
    *t = (struct timers){ .env = env, .goal = goal };
    for (int i = 0; i < TIMERS; i++)
        t->t[i] = (struct test_timer){ .timer.fire = record, .all = t, .name = (char)('a' + i) };
}

static void start(struct test_timer *t, uint64_t ms)
{
    t->due = env_now(t->all->env) + ms * 1000000;
    env_timer_start(t->all->env, &t->timer, ms * 1000000);
    CHECK(env_timer_active(&t->timer));
}

void env_contract_timers_fire_in_order_and_never_early(struct env_contract *c)
{
    struct timers t;
    timers_init(&t, c->open(c), 3);
    start(&t.t[0], 30);
    start(&t.t[1], 3);
    start(&t.t[2], 0);
    env_contract_until(c, t.env, enough_fired, &t);
    CHECK_STR(t.log, "cba");
    c->close(c);
}

void env_contract_timer_restart_and_stop(struct env_contract *c)
{
    struct timers t;
    timers_init(&t, c->open(c), 2);
    start(&t.t[0], 1);
    start(&t.t[1], 5);
    start(&t.t[2], 20);
    start(&t.t[0], 30); /* instead: it fires once, later */
    env_timer_stop(t.env, &t.t[1].timer);
    CHECK(!env_timer_active(&t.t[1].timer));
    env_timer_stop(t.env, &t.t[1].timer); /* harmless */
    env_contract_until(c, t.env, enough_fired, &t);
    CHECK_STR(t.log, "ca");
    c->close(c);
}

static void stop_the_next(struct env_timer *timer)
{
    struct test_timer *t = test_timer(timer);
    record(timer);
    env_timer_stop(t->all->env, &t[1].timer);
}

void env_contract_timer_stops_another_inside_fire(struct env_contract *c)
{
    struct timers t;
    timers_init(&t, c->open(c), 2);
    t.t[0].timer.fire = stop_the_next;
    start(&t.t[0], 0);
    start(&t.t[1], 0); /* due together with the first */
    start(&t.t[2], 5);
    env_contract_until(c, t.env, enough_fired, &t);
    CHECK_STR(t.log, "ac");
    c->close(c);
}

static void again(struct env_timer *timer)
{
    struct test_timer *t = test_timer(timer);
    t->fired++;
    env_timer_start(t->all->env, timer, 0);
}

void env_contract_timer_without_delay_starves_nobody(struct env_contract *c)
{
    struct timers t;
    timers_init(&t, c->open(c), 1);
    t.t[0].timer.fire = again;
    start(&t.t[0], 0);
    start(&t.t[1], 3);
    env_contract_until(c, t.env, enough_fired, &t);
    CHECK_STR(t.log, "b");
    CHECK(t.t[0].fired > 0);
    env_timer_stop(t.env, &t.t[0].timer);
    c->close(c);
}

/* ---- Turns ---- */

struct hook {
    struct env_turn turn;
    struct turns *all;
    int id;
};

struct turns {
    struct env *env;
    struct hook hook[3];
    char log[64];
    int len;
    struct env_job job;
    int events, seen_events, turns;
    bool over;
};

static void log_hook(struct env_turn *turn)
{
    struct hook *h = container_of(turn, struct hook, turn);
    struct turns *t = h->all;
    if (t->len < 60)
        t->log[t->len++] = (char)('a' + h->id);
}

static void log_and_leave(struct env_turn *turn)
{
    struct hook *h = container_of(turn, struct hook, turn);
    log_hook(turn);
    env_turn_remove(h->all->env, turn);
    env_turn_remove(h->all->env, &h->all->hook[1].turn); /* the next one, before it ran */
    env_turn_add(h->all->env, &h->all->hook[2].turn);    /* at the end: runs in this turn */
}

static bool logged_three(void *user)
{
    return ((struct turns *)user)->len >= 3;
}

void env_contract_turn_hooks_run_once_in_order(struct env_contract *c)
{
    struct turns t = { .env = c->open(c) };
    struct timers events; /* something must happen for a turn to be */
    for (int i = 0; i < 3; i++)
        t.hook[i] = (struct hook){ { .run = i == 0 ? log_and_leave : log_hook }, &t, i };
    env_turn_add(t.env, &t.hook[0].turn);
    env_turn_add(t.env, &t.hook[1].turn);
    timers_init(&events, t.env, 0);
    events.t[0].timer.fire = again;
    start(&events.t[0], 0);
    env_contract_until(c, t.env, logged_three, &t);
    /* The first ran once; the second never, it was removed before; the third from that turn on. */
    CHECK_EQ(t.log[0], 'a');
    CHECK_EQ(strspn(t.log + 1, "c"), t.len - 1);
    env_turn_remove(t.env, &t.hook[2].turn);
    int len = t.len;
    env_contract_until(c, t.env, enough_fired, &events);
    CHECK_EQ(t.len, len);
    env_timer_stop(t.env, &events.t[0].timer);
    c->close(c);
}

static void event(struct env_job *job)
{
    container_of(job, struct turns, job)->events++;
}

/* Every event is seen by a hook that runs after it; what the hook posts is an event again. */
static void post_again(struct env_turn *turn)
{
    struct turns *t = container_of(turn, struct hook, turn)->all;
    t->turns++;
    if (t->events == t->seen_events)
        return;
    t->seen_events = t->events;
    if (t->events < 100)
        env_post(t->env, &t->job);
    else
        t->over = true;
}

static bool turns_over(void *user)
{
    return ((struct turns *)user)->over;
}

void env_contract_turn_hook_work_makes_another_turn(struct env_contract *c)
{
    struct turns t = { .env = c->open(c), .job.done = event };
    t.hook[0] = (struct hook){ { .run = post_again }, &t, 0 };
    env_turn_add(t.env, &t.hook[0].turn);
    env_post(t.env, &t.job);
    env_contract_until(c, t.env, turns_over, &t);
    CHECK_EQ(t.events, 100);
    CHECK(t.turns >= 100);
    env_turn_remove(t.env, &t.hook[0].turn);
    c->close(c);
}

/* ---- Posts ---- */

enum { POSTS = 500, POSTERS = 4 };

struct posts {
    struct env *env;
    struct post {
        struct env_job job;
        struct posts *all;
        int poster, n;
    } post[POSTERS * POSTS];
    int next[POSTERS], arrived, goal;
    pthread_t loop;
};

static void post_done(struct env_job *job)
{
    struct post *p = container_of(job, struct post, job);
    CHECK_EQ(p->all->next[p->poster], p->n);
    CHECK(pthread_equal(p->all->loop, pthread_self()));
    p->all->next[p->poster]++;
    p->all->arrived++;
}

static bool posts_arrived(void *user)
{
    struct posts *p = user;
    return p->arrived == p->goal;
}

static struct posts *posts_new(struct env *env, int goal)
{
    struct posts *p = calloc(1, sizeof *p);
    p->env = env;
    p->goal = goal;
    p->loop = pthread_self();
    for (int i = 0; i < POSTERS * POSTS; i++)
        p->post[i] = (struct post){ { .done = post_done }, p, i / POSTS, i % POSTS };
    return p;
}

void env_contract_posts_arrive_in_order(struct env_contract *c)
{
    struct posts *p = posts_new(c->open(c), POSTS);
    for (int i = 0; i < POSTS; i++)
        env_post(p->env, &p->post[i].job);
    CHECK_EQ(p->arrived, 0); /* never from inside */
    env_contract_until(c, p->env, posts_arrived, p);
    c->close(c);
    free(p);
}

struct poster {
    struct posts *posts;
    int id;
};

static void *post_all(void *arg)
{
    struct poster *who = arg;
    for (int i = 0; i < POSTS; i++)
        env_post(who->posts->env, &who->posts->post[who->id * POSTS + i].job);
    return NULL;
}

void env_contract_posts_from_threads(struct env_contract *c)
{
    struct posts *p = posts_new(c->open(c), POSTERS * POSTS);
    pthread_t thread[POSTERS];
    struct poster poster[POSTERS];
    for (int i = 0; i < POSTERS; i++) {
        poster[i] = (struct poster){ p, i };
        CHECK_EQ(pthread_create(&thread[i], NULL, post_all, &poster[i]), 0);
    }
    env_contract_until(c, p->env, posts_arrived, p);
    for (int i = 0; i < POSTERS; i++)
        pthread_join(thread[i], NULL);
    c->close(c);
    free(p);
}

/* A thread posts at the very moment at which the loop, having served it, goes to sleep: thousands of times. */
enum { ROUNDS = 10000 };

struct rally {
    struct env *env;
    struct env_job job;
    atomic_int served;
};

static void rally_served(struct env_job *job)
{
    atomic_fetch_add(&container_of(job, struct rally, job)->served, 1);
}

static void *rally_posts(void *arg)
{
    struct rally *r = arg;
    for (int i = 0; i < ROUNDS; i++) {
        env_post(r->env, &r->job);
        for (unsigned spins = 0; atomic_load(&r->served) <= i; spins++)
            if (spins % 1000 == 999)
                sched_yield();
        for (volatile int wait = i % 4000; wait > 0; wait--)
            ;
    }
    return NULL;
}

static bool rally_over(void *user)
{
    return atomic_load(&((struct rally *)user)->served) == ROUNDS;
}

void env_contract_posts_wake_a_loop_about_to_sleep(struct env_contract *c)
{
    struct rally r = { .env = c->open(c), .job.done = rally_served };
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, rally_posts, &r), 0);
    env_contract_until(c, r.env, rally_over, &r);
    pthread_join(thread, NULL);
    c->close(c);
}

void env_contract_stop_before_run(struct env_contract *c)
{
    struct env *env = c->open(c);
    env_stop(env);
    c->run(c); /* returns */
    bool yes = true;
    env_contract_until(c, env, is_true,
                       &yes); /* and can run again: a guard timer makes it a turn in any case */
    c->close(c);
}

static void *stop_it(void *env)
{
    env_stop(env);
    return NULL;
}

void env_contract_stop_from_a_thread(struct env_contract *c)
{
    struct env *env = c->open(c);
    for (int i = 0; i < 50; i++) {
        pthread_t thread;
        CHECK_EQ(pthread_create(&thread, NULL, stop_it, env), 0);
        c->run(c); /* with nothing else to wake it */
        pthread_join(thread, NULL);
    }
    c->close(c);
}

/* ---- Lanes ---- */

enum { JOBS = 300 };

struct lanes {
    struct env_contract *c;
    struct env *env;
    struct env_lane *lane;
    struct lane_job {
        struct env_job job;
        struct lanes *all;
        int n, ran_as;
    } job[JOBS];
    int ran; /* the lane's thread alone */
    int done;
    pthread_t loop;
};

static void job_runs(struct env_job *job)
{
    struct lane_job *j = container_of(job, struct lane_job, job);
    if (j->all->c->threads && pthread_equal(j->all->loop, pthread_self()))
        abort(); /* CHECK does not work on other threads */
    j->ran_as = j->all->ran++;
}

static void job_is_done(struct env_job *job)
{
    struct lane_job *j = container_of(job, struct lane_job, job);
    CHECK(pthread_equal(j->all->loop, pthread_self()));
    CHECK_EQ(j->ran_as, j->n);
    CHECK_EQ(j->all->done, j->n);
    j->all->done++;
}

static void job_done_queues_next(struct env_job *job)
{
    struct lane_job *j = container_of(job, struct lane_job, job);
    job_is_done(job);
    CHECK_EQ(env_lane_depth(j->all->lane), 0);
    if (j->n + 1 < JOBS)
        env_work(j->all->lane, &j->all->job[j->n + 1].job);
}

static struct lanes *lanes_new(struct env_contract *c, enum env_lane_kind kind,
                               void (*done)(struct env_job *job))
{
    struct lanes *l = calloc(1, sizeof *l);
    struct err e = { 0 };
    l->c = c;
    l->env = c->open(c);
    l->loop = pthread_self();
    CHECK_OK(env_lane_open(l->env, kind, "contract", &l->lane, &e), e);
    for (int i = 0; i < JOBS; i++)
        l->job[i] = (struct lane_job){ { .run = job_runs, .done = done }, l, i, -1 };
    return l;
}

static void lanes_free(struct lanes *l)
{
    env_lane_close(l->lane);
    l->c->close(l->c);
    free(l);
}

static bool jobs_done(void *user)
{
    return ((struct lanes *)user)->done == JOBS;
}

void env_contract_lane_is_a_fifo(struct env_contract *c)
{
    static const enum env_lane_kind kinds[] = { ENV_LANE_LOG, ENV_LANE_APPLY, ENV_LANE_READ,
                                                ENV_LANE_BULK, ENV_LANE_SCRIPT };
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        struct lanes *l = lanes_new(c, kinds[k], job_is_done);
        for (int i = 0; i < JOBS; i++)
            env_work(l->lane, &l->job[i].job);
        CHECK_EQ(l->done, 0); /* never from inside */
        CHECK_EQ(env_lane_depth(l->lane), JOBS);
        env_contract_until(c, l->env, jobs_done, l);
        CHECK_EQ(env_lane_depth(l->lane), 0);
        lanes_free(l);
    }
}

void env_contract_lane_done_queues_more(struct env_contract *c)
{
    struct lanes *l = lanes_new(c, ENV_LANE_LOG, job_done_queues_next);
    env_work(l->lane, &l->job[0].job);
    env_contract_until(c, l->env, jobs_done, l);
    lanes_free(l);
}

void env_contract_lane_close_serves_everything(struct env_contract *c)
{
    struct lanes *l = lanes_new(c, ENV_LANE_BULK, job_is_done);
    for (int i = 0; i < JOBS; i++)
        env_work(l->lane, &l->job[i].job);
    env_lane_close(l->lane);
    CHECK_EQ(l->done, JOBS);
    struct err e = { 0 };
    CHECK_OK(env_lane_open(l->env, ENV_LANE_BULK, "again", &l->lane, &e), e);
    l->ran = l->done = 0;
    for (int i = 0; i < JOBS; i++)
        l->job[i].job.done = job_done_queues_next;
    env_work(l->lane, &l->job[0].job);
    env_lane_close(l->lane); /* with everything that `done` queues */
    CHECK_EQ(l->done, JOBS);
    l->lane = NULL;
    lanes_free(l);
}

struct pair {
    struct env_job job;
    atomic_bool *wait_for, *tell;
    bool done;
};

static void run_pair(struct env_job *job)
{
    struct pair *p = container_of(job, struct pair, job);
    while (p->wait_for != NULL && !atomic_load(p->wait_for))
        ;
    if (p->tell != NULL)
        atomic_store(p->tell, true);
}

static void pair_done(struct env_job *job)
{
    container_of(job, struct pair, job)->done = true;
}

/* A job that waits for one of another lane comes to its end. */
void env_contract_lanes_do_not_wait_for_each_other(struct env_contract *c)
{
    struct env *env = c->open(c);
    struct env_lane *a, *b;
    struct err e = { 0 };
    CHECK_OK(env_lane_open(env, ENV_LANE_READ, "a", &a, &e), e);
    CHECK_OK(env_lane_open(env, ENV_LANE_READ, "b", &b, &e), e);
    atomic_bool told = false;
    struct pair waits = {
        { .run = run_pair, .done = pair_done }, c->threads ? &told : NULL, NULL, false
    };
    struct pair tells = { { .run = run_pair, .done = pair_done }, NULL, &told, false };
    env_work(a, &waits.job);
    env_work(b, &tells.job);
    env_contract_until(c, env, is_true, &waits.done);
    env_lane_close(a);
    env_lane_close(b);
    CHECK(tells.done);
    c->close(c);
}

/* ---- Locks ---- */

void env_contract_locks(struct env_contract *c)
{
    struct env *env = c->open(c);
    struct env_lock *lock;
    struct err e = { 0 };
    CHECK_OK(env_lock_new(env, &lock, &e), e);
    env_lock_enter(lock);
    env_lock_wake(lock); /* nobody waits */
    env_lock_leave(lock);
    env_lock_enter(lock);
    env_lock_leave(lock);
    env_lock_free(lock);
    env_lock_free(NULL);
    c->close(c);
}

struct turnstile {
    struct env_lock *lock;
    int turn, rounds;
};

static void *other_side(void *arg)
{
    struct turnstile *t = arg;
    env_lock_enter(t->lock);
    for (int i = 0; i < t->rounds; i++) {
        while (t->turn != 1)
            (void)env_lock_wait(t->lock, UINT64_MAX);
        t->turn = 0;
        env_lock_wake(t->lock);
    }
    env_lock_leave(t->lock);
    return NULL;
}

void env_contract_lock_waits(struct env_contract *c)
{
    struct env *env = c->open(c);
    struct turnstile t = { .rounds = 200 };
    struct err e = { 0 };
    pthread_t thread;
    CHECK_OK(env_lock_new(env, &t.lock, &e), e);
    env_lock_enter(t.lock);
    uint64_t before = env_now(env);
    while (env_lock_wait(t.lock, 2000000)) /* spurious returns happen */
        ;
    CHECK(env_now(env) - before >= 2000000);
    CHECK_EQ(pthread_create(&thread, NULL, other_side, &t), 0);
    for (int i = 0; i < t.rounds; i++) {
        t.turn = 1;
        env_lock_wake(t.lock);
        while (t.turn != 0)
            (void)env_lock_wait(t.lock, 60000000000);
    }
    env_lock_leave(t.lock);
    pthread_join(thread, NULL);
    env_lock_free(t.lock);
    c->close(c);
}
