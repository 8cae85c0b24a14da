/* One simulated machine: clocks, timers, posts, locks, and the table that makes it an env. */
#include "world_int.h"

#include <assert.h>
#include <stdlib.h>

/* 2026-01-01T00:00:00Z: where every wall clock begins. */
static const uint64_t wall_begin = 1767225600u * (uint64_t)1000000000u;

enum { PPM = 1000000, POST_NS_LEAST = 500, POST_NS_MOST = 20000 };

/* ---- Clocks ---- */

static uint64_t scale(uint64_t ns, uint64_t num, uint64_t den)
{
    return ns / den * num + ns % den * num / den;
}

static uint64_t true_now(const struct sim_world *world)
{
    return world->sim->now + (world->sim->in_job ? world->sim->job_ns : 0);
}

uint64_t sim_world_local_now(const struct sim_world *world)
{
    return world->now_base + scale(true_now(world) - world->true_base, world->rate_ppm, PPM);
}

static uint64_t ops_now(struct env *env)
{
    return sim_world_local_now(world_of(env));
}

static uint64_t ops_wall(struct env *env)
{
    struct sim_world *world = world_of(env);
    return wall_begin + (uint64_t)((int64_t)sim_world_local_now(world) + world->wall_offset);
}

void sim_world_step_wall(struct sim_world *world, int64_t ns)
{
    world->wall_offset += ns;
    sim_note(world->sim, world, "wall", 0, (uint64_t)ns, 0);
}

int64_t sim_world_wall_error(const struct sim_world *world)
{
    return (int64_t)sim_world_local_now(world) + world->wall_offset - (int64_t)true_now(world);
}

void sim_world_clock_rate(struct sim_world *world, uint32_t ppm)
{
    world->now_base = sim_world_local_now(world);
    world->true_base = true_now(world);
    world->rate_ppm = ppm;
    sim_note(world->sim, world, "rate", 0, ppm, 0);
    sim_world_arm(world);
}

uint64_t sim_world_true_now(const struct sim_world *world)
{
    return world->sim->now;
}

static void ops_random(struct env *env, void *out, size_t len)
{
    prng_fill(&world_of(env)->chance, out, len);
}

/* ---- Timers ---- */

/* Sets the wake event to the earliest timer. */
void sim_world_arm(struct sim_world *world)
{
    uint64_t due = env_timers_next(&world->env), local = sim_world_local_now(world);
    if (due == UINT64_MAX || world->crashed || world->rate_ppm == 0) {
        sim_cancel(world->sim, &world->wake);
        return;
    }
    uint64_t wait = due > local ? scale(due - local, PPM, world->rate_ppm) + 1 : 0;
    sim_at(world->sim, &world->wake,
           wait > UINT64_MAX - true_now(world) ? UINT64_MAX : true_now(world) + wait);
}

static void wake(struct sim_event *event)
{
    struct sim_world *world = container_of(event, struct sim_world, wake);
    env_timers_fire(&world->env, sim_world_local_now(world));
    sim_world_arm(world);
}

static void ops_timers_changed(struct env *env)
{
    sim_world_arm(world_of(env));
}

/* ---- Posts, stop, locks ---- */

struct post {
    struct sim_event event;
    struct list link; /* in world->posts */
    struct env_job *job;
};

static void post_arrives(struct sim_event *event)
{
    struct post *post = container_of(event, struct post, event);
    struct env_job *job = post->job;
    list_remove(&post->link);
    free(post);
    job->done(job);
}

static void ops_post(struct env *env, struct env_job *job)
{
    struct sim_world *world = world_of(env);
    struct post *post = disk_alloc(sizeof *post);
    post->job = job;
    post->event = (struct sim_event){ .world = world, .fire = post_arrives, .what = "post" };
    list_push_back(&world->posts, &post->link);
    uint64_t at = true_now(world) + sim_draw(world->sim, POST_NS_LEAST, POST_NS_MOST);
    world->last_post = at > world->last_post ? at : world->last_post;
    sim_at(world->sim, &post->event, world->last_post);
}

static void ops_stop(struct env *env)
{
    world_of(env)->stop = true;
}

struct lock {
    struct env_lock base;
    bool held;
};

static err_t ops_lock_new(struct env *env, struct env_lock **ret, struct err *e)
{
    (void)e;
    struct lock *lock = disk_alloc(sizeof *lock);
    lock->base.env = env;
    *ret = &lock->base;
    return ERR_OK;
}

static void ops_lock_free(struct env_lock *base)
{
    struct lock *lock = container_of(base, struct lock, base);
    assert(!lock->held);
    free(lock);
}

static void ops_lock_enter(struct env_lock *base)
{
    struct lock *lock = container_of(base, struct lock, base);
    assert(!lock->held); /* one thread: this would wait for ever */
    lock->held = true;
}

static void ops_lock_leave(struct env_lock *base)
{
    struct lock *lock = container_of(base, struct lock, base);
    assert(lock->held);
    lock->held = false;
}

static bool ops_lock_wait(struct env_lock *base, uint64_t timeout_ns)
{
    (void)base, (void)timeout_ns;
    assert(!"waiting in the simulator: there is no other thread that could wake this one");
    return false;
}

static void ops_lock_wake(struct env_lock *base)
{
    assert(container_of(base, struct lock, base)->held);
}

static const struct env_ops ops = {
    .now = ops_now,
    .wall = ops_wall,
    .random = ops_random,
    .timers_changed = ops_timers_changed,
    .lane_open = sim_lane_open,
    .work = sim_lane_work,
    .lane_depth = sim_lane_depth,
    .lane_close = sim_lane_close,
    .post = ops_post,
    .stop = ops_stop,
    .lock_new = ops_lock_new,
    .lock_free = ops_lock_free,
    .lock_enter = ops_lock_enter,
    .lock_leave = ops_lock_leave,
    .lock_wait = ops_lock_wait,
    .lock_wake = ops_lock_wake,
    .listen = sim_net_listen,
    .listener_address = sim_net_listener_address,
    .listener_close = sim_net_listener_close,
    .connect = sim_net_connect,
    .connect_cancel = sim_net_connect_cancel,
    .stream_start = sim_stream_start,
    .stream_pause = sim_stream_pause,
    .stream_resume = sim_stream_resume,
    .stream_write = sim_stream_write,
    .stream_backlog = sim_stream_backlog,
    .stream_end = sim_stream_finish,
    .stream_close = sim_stream_close,
    .stream_peer = sim_stream_peer,
    .file_open = sim_file_open,
    .file_read = sim_file_read,
    .file_write = sim_file_write,
    .file_sync = sim_file_sync,
    .file_size = sim_file_size,
    .file_truncate = sim_file_truncate,
    .file_lock = sim_file_lock,
    .file_close = sim_file_close,
    .rename = sim_file_rename,
    .remove = sim_file_remove,
    .mkdir = sim_file_mkdir,
    .dir_sync = sim_file_dir_sync,
    .dir_list = sim_file_dir_list,
    .stat = sim_file_stat,
    .disk_free = sim_file_disk_free,
    .watch_start = sim_file_watch_start,
    .watch_stop = sim_file_watch_stop,
};

/* ---- Birth and end ---- */

static struct sim_world *world_new(struct sim *sim, struct sim_disk *disk)
{
    struct sim_world *world = disk_alloc(sizeof *world);
    world->env.ops = &ops;
    world->sim = sim;
    world->id = sim->next_world++;
    world->own_disk = disk == NULL;
    world->disk = disk != NULL ? disk : sim_disk_new(prng_u64(&sim->chance));
    assert(world->disk->host.user == NULL); /* one world at a time */
    world->disk->host = sim_file_host;
    world->disk->host.user = world;
    world->chance = prng_fork(&sim->chance, world->id);
    world->true_base = sim->now;
    world->now_base =
        sim_draw(sim, 1000000000, 3600000000000); /* machines have been up for different times */
    world->wall_offset = (int64_t)sim->now - (int64_t)world->now_base;
    world->rate_ppm = PPM;
    world->wake = (struct sim_event){ .world = world, .fire = wake, .what = "timers" };
    world->thaw = (struct sim_event){ .world = world, .fire = sim_thaw, .what = "thaw" };
    list_init(&world->frozen);
    list_init(&world->posts);
    list_init(&world->lanes);
    list_init(&world->connects);
    list_init(&world->ends);
    list_init(&world->segments);
    list_init(&world->watches);
    list_init(&world->cuts);
    for (size_t i = 0; i <= ENV_LANE_SCRIPT; i++) {
        world->lane_time[i].least = 1000;
        world->lane_time[i].most = 50000;
    }
    list_push_back(&sim->worlds, &world->link);
    sim->world_count++;
    sim_note(sim, world, "boot", 0, 0, 0);
    return world;
}

struct sim_world *sim_world_new(uint64_t seed, struct sim_disk *disk)
{
    return world_new(sim_new(seed), disk);
}

struct sim_world *sim_world_beside(struct sim_world *other, struct sim_disk *disk)
{
    return world_new(other->sim, disk);
}

static void drop_posts(struct sim_world *world)
{
    list_for_each_safe(at, &world->posts) {
        struct post *post = container_of(at, struct post, link);
        sim_cancel(world->sim, &post->event);
        list_remove(at);
        free(post);
    }
}

void sim_world_close(struct sim_world *world)
{
    if (world == NULL)
        return;
    struct sim *sim = world->sim;
    bool crashed = sim_world_crashed(world);
    while (!crashed && !list_empty(&world->posts)) {
        struct post *first = container_of(world->posts.next, struct post, link);
        sim_cancel(sim, &first->event);
        post_arrives(&first->event);
    }
    drop_posts(world);
    bool clean = sim_net_forget(world) && list_empty(&world->lanes) && list_empty(&world->watches);
    assert(clean || crashed); /* or a stream, listener, connect, lane or watch was not closed */
    sim_file_forget_watches(world);
    sim_lane_forget(world);
    sim_cancel(sim, &world->wake);
    sim_cancel(sim, &world->thaw);
    assert(list_empty(&world->frozen));
    env_fini(&world->env);
    world->disk->host = (struct disk_host){ 0 };
    if (world->own_disk)
        sim_disk_free(world->disk);
    sim_note(sim, world, "end", 0, 0, 0);
    list_remove(&world->link);
    if (--sim->world_count == 0)
        sim_free(sim);
    free(world);
}

struct env *sim_world_env(struct sim_world *world)
{
    return &world->env;
}

struct sim_disk *sim_world_disk(struct sim_world *world)
{
    return world->disk;
}

/* ---- Running ---- */

bool sim_world_run_for(struct sim_world *world, uint64_t ns)
{
    struct sim *sim = world->sim;
    uint64_t until = ns > UINT64_MAX - sim->now ? UINT64_MAX : sim->now + ns;
    while (!world->stop && !sim_world_crashed(world) && sim_turn(sim, until))
        ;
    bool stopped = world->stop;
    world->stop = false;
    if (!stopped && ns != UINT64_MAX && sim->now < until)
        sim->now = until;
    return stopped;
}

bool sim_world_run(struct sim_world *world)
{
    return sim_world_run_for(world, UINT64_MAX);
}

bool sim_world_turn(struct sim_world *world)
{
    return sim_turn(world->sim, UINT64_MAX);
}

/* ---- Faults ---- */

void sim_world_lane_time(struct sim_world *world, enum env_lane_kind kind, uint64_t least_ns,
                         uint64_t most_ns)
{
    world->lane_time[kind].least = least_ns;
    world->lane_time[kind].most = most_ns;
}

void sim_world_stall_lane(struct sim_world *world, enum env_lane_kind kind, uint64_t ns)
{
    world->lane_time[kind].stall += ns;
    sim_note(world->sim, world, "stall", (uint64_t)kind, ns, 0);
}

void sim_world_freeze(struct sim_world *world, uint64_t ns)
{
    struct sim *sim = world->sim;
    uint64_t until = sim->now + ns;
    sim_note(sim, world, "freeze", 0, ns, 0);
    if (!world->is_frozen || world->thaw.node.due < until)
        sim_at(sim, &world->thaw, until);
    world->is_frozen = true;
}

bool sim_world_frozen(const struct sim_world *world)
{
    return world->is_frozen;
}

void sim_world_crash(struct sim_world *world, enum sim_crash how)
{
    sim_note(world->sim, world, "crash", (uint64_t)how, 0, 0);
    world->crashed = true;
    world->powerless = how != SIM_CRASH_KILL;
    sim_disk_crash(world->disk, how);
    sim_net_crash(world);
    sim_cancel(world->sim, &world->wake);
    sim_cancel(world->sim, &world->thaw);
}

bool sim_world_crashed(const struct sim_world *world)
{
    return world->crashed || world->disk->stopped;
}

/* ---- What happened ---- */

uint64_t sim_world_hash(const struct sim_world *world)
{
    return world->sim->hash;
}

uint64_t sim_world_events(const struct sim_world *world)
{
    return world->sim->events;
}

uint64_t sim_world_turns(const struct sim_world *world)
{
    return world->sim->turns;
}

uint64_t sim_world_resets(const struct sim_world *world)
{
    return world->sim->resets;
}

void sim_world_trace(struct sim_world *world, FILE *to)
{
    world->sim->trace = to;
}
