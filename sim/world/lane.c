/* Virtual lanes: a FIFO whose jobs run at once and take drawn time.
 *
 *   work ──> queue ──wake──> run (now) ──cost──> finished ──wake──> done
 *                                      └──> the next job runs
 *
 * A crash between run and done is a write that happened and was never answered. */
#include "world_int.h"

#include <assert.h>
#include <stdlib.h>

enum { WAKE_NS_LEAST = 1000, WAKE_NS_MOST = 30000 };

struct jobs {
    struct env_job *first, *last;
};

struct lane {
    struct env_lane base;
    struct sim_world *world;
    struct list link; /* in world->lanes */
    enum env_lane_kind kind;
    uint64_t id;
    struct jobs queue, finished;
    struct env_job *running; /* has run; its time is not over */
    size_t depth;
    struct sim_event thread, done;
};

static void push(struct jobs *jobs, struct env_job *job)
{
    job->next = NULL;
    if (jobs->first == NULL)
        jobs->first = job;
    else
        jobs->last->next = job;
    jobs->last = job;
}

static struct env_job *pop(struct jobs *jobs)
{
    struct env_job *job = jobs->first;
    if (job != NULL)
        jobs->first = job->next;
    return job;
}

/* Runs the next job; answers how long that took. */
static uint64_t run_next(struct lane *lane)
{
    struct sim_world *world = lane->world;
    struct sim *sim = world->sim;
    bool outer = sim->in_job;
    uint64_t outer_ns = sim->job_ns;
    sim->in_job = true;
    sim->job_ns =
        sim_draw(sim, world->lane_time[lane->kind].least, world->lane_time[lane->kind].most);
    sim->job_ns += world->lane_time[lane->kind].stall;
    world->lane_time[lane->kind].stall = 0;
    lane->running = pop(&lane->queue);
    lane->running->run(lane->running);
    uint64_t cost = sim->job_ns;
    sim->in_job = outer;
    sim->job_ns = outer_ns;
    return cost;
}

static void thread_goes_on(struct sim_event *event)
{
    struct lane *lane = container_of(event, struct lane, thread);
    struct sim *sim = lane->world->sim;
    if (lane->running != NULL) {
        push(&lane->finished, lane->running);
        lane->running = NULL;
        if (!heap_linked(&lane->done.node))
            sim_at(sim, &lane->done, sim->now + sim_draw(sim, WAKE_NS_LEAST, WAKE_NS_MOST));
    }
    if (lane->queue.first != NULL) {
        uint64_t cost = run_next(lane);
        sim_at(sim, &lane->thread, sim->now + cost);
    }
}

static void call_done(struct lane *lane)
{
    struct env_job *job;
    while ((job = pop(&lane->finished)) != NULL) {
        lane->depth--;
        job->done(job);
        if (sim_world_crashed(lane->world))
            return; /* the rest is served when the lane is closed */
    }
}

static void loop_wakes(struct sim_event *event)
{
    call_done(container_of(event, struct lane, done));
}

err_t sim_lane_open(struct env *env, enum env_lane_kind kind, const char *name,
                    struct env_lane **ret, struct err *e)
{
    (void)name, (void)e;
    struct sim_world *world = world_of(env);
    struct lane *lane = disk_alloc(sizeof *lane);
    lane->base.env = env;
    lane->world = world;
    lane->kind = kind;
    lane->id = world->sim->next_id++;
    lane->thread = (struct sim_event){
        .world = world, .fire = thread_goes_on, .what = "lane", .id = lane->id
    };
    lane->done =
        (struct sim_event){ .world = world, .fire = loop_wakes, .what = "done", .id = lane->id };
    list_push_back(&world->lanes, &lane->link);
    *ret = &lane->base;
    return ERR_OK;
}

void sim_lane_work(struct env_lane *base, struct env_job *job)
{
    struct lane *lane = container_of(base, struct lane, base);
    struct sim *sim = lane->world->sim;
    push(&lane->queue, job);
    lane->depth++;
    if (lane->running == NULL && !heap_linked(&lane->thread.node))
        sim_at(sim, &lane->thread, sim->now + sim_draw(sim, WAKE_NS_LEAST, WAKE_NS_MOST));
}

size_t sim_lane_depth(const struct env_lane *base)
{
    return ((const struct lane *)(const void *)base)->depth;
}

void sim_lane_close(struct env_lane *base)
{
    struct lane *lane = container_of(base, struct lane, base);
    struct sim *sim = lane->world->sim;
    for (;;) {
        sim_cancel(sim, &lane->thread);
        sim_cancel(sim, &lane->done);
        if (lane->running != NULL) {
            push(&lane->finished, lane->running);
            lane->running = NULL;
        }
        struct env_job *job = pop(&lane->finished);
        if (job != NULL) {
            lane->depth--;
            job->done(job);
        } else if (lane->queue.first != NULL) {
            sim->now += run_next(lane);
        } else {
            break;
        }
    }
    assert(lane->depth == 0);
    sim_note(sim, lane->world, "laneend", lane->id, 0, 0);
    list_remove(&lane->link);
    free(lane);
}

void sim_lane_forget(struct sim_world *world)
{
    list_for_each_safe(at, &world->lanes) {
        struct lane *lane = container_of(at, struct lane, link);
        sim_cancel(world->sim, &lane->thread);
        sim_cancel(world->sim, &lane->done);
        list_remove(at);
        free(lane);
    }
}
