/* The universe: one queue of events in virtual time, one PRNG, one hash.
 *
 *   turn:  now = due of the first event
 *          everything due by now, and scheduled before this turn began, happens in order (due, then scheduling)
 *          hooks of the worlds that were touched, in the order of their ids
 *          now += drawn length of the turn */
#include "world_int.h"

#include <stdlib.h>

enum { TURN_NS_LEAST = 500, TURN_NS_MOST = 10000 };

struct sim *sim_new(uint64_t seed)
{
    struct sim *sim = disk_alloc(sizeof *sim);
    prng_seed(&sim->chance, seed);
    sim->net = sim_world_net_default();
    list_init(&sim->worlds);
    list_init(&sim->listeners);
    sim->next_world = 1;
    sim->next_id = 1;
    sim->next_port = 40000;
    sim->hash = 0x9e3779b97f4a7c15u ^ seed;
    return sim;
}

void sim_free(struct sim *sim)
{
    heap_free(&sim->queue);
    free(sim);
}

static void stop_waiting(struct sim_event *event)
{
    if (event->waits.next != NULL)
        list_remove(&event->waits);
}

void sim_at(struct sim *sim, struct sim_event *event, uint64_t at)
{
    stop_waiting(event);
    heap_remove(&sim->queue, &event->node);
    event->node.due = at > sim->now ? at : sim->now;
    if (heap_push(&sim->queue, &event->node) != ERR_OK)
        abort();
}

void sim_cancel(struct sim *sim, struct sim_event *event)
{
    stop_waiting(event);
    heap_remove(&sim->queue, &event->node);
}

uint64_t sim_draw(struct sim *sim, uint64_t least, uint64_t most)
{
    return prng_range(&sim->chance, least, most);
}

/* ---- Hash and trace ---- */

static void mix(struct sim *sim, uint64_t x)
{
    uint64_t h = (sim->hash ^ x) * 0xff51afd7ed558ccdu;
    sim->hash = h ^ (h >> 32);
}

void sim_hash_bytes(struct sim *sim, const void *data, size_t len)
{
    const uint8_t *at = data;
    for (; len >= 8; at += 8, len -= 8) {
        uint64_t word;
        memcpy(&word, at, sizeof word);
        mix(sim, word);
    }
    uint64_t rest = len;
    while (len > 0)
        rest = rest << 8 | at[--len];
    mix(sim, rest);
}

void sim_note(struct sim *sim, const struct sim_world *world, const char *what, uint64_t id,
              uint64_t a, uint64_t b)
{
    sim->events++;
    mix(sim, sim->now);
    mix(sim, world->id);
    sim_hash_bytes(sim, what, strlen(what));
    mix(sim, id);
    mix(sim, a);
    mix(sim, b);
    if (sim->trace != NULL)
        fprintf(sim->trace, "%14llu w%-3u %-8s %8llu %12llu %12llu\n", (unsigned long long)sim->now,
                world->id, what, (unsigned long long)id, (unsigned long long)a,
                (unsigned long long)b);
}

/* ---- Turns ---- */

static void happen(struct sim *sim, struct sim_event *event)
{
    struct sim_world *world = event->world;
    if (sim_world_crashed(world))
        return; /* its owner frees it */
    if (world->is_frozen && event != &world->thaw) {
        list_push_back(&world->frozen, &event->waits);
        return;
    }
    world->touched = true;
    sim_note(sim, world, event->what, event->id, 0, 0);
    event->fire(event);
}

void sim_thaw(struct sim_event *event)
{
    struct sim_world *world = event->world;
    struct list *first;
    world->is_frozen = false;
    while (!world->is_frozen && (first = list_pop_front(&world->frozen)) != NULL)
        happen(world->sim, container_of(first, struct sim_event, waits));
}

/* One turn that begins by `until`; false if there is none. */
bool sim_turn(struct sim *sim, uint64_t until)
{
    struct heap_node *top = heap_top(&sim->queue);
    if (top == NULL || top->due > until)
        return false;
    sim->turns++;
    sim->now = top->due > sim->now ? top->due : sim->now;
    uint64_t ready = sim->now,
             limit = sim->queue.seq; /* later ones may come while files take their time */
    while ((top = heap_top(&sim->queue)) != NULL && top->due <= ready && top->seq < limit)
        happen(sim, container_of(heap_pop(&sim->queue), struct sim_event, node));
    list_for_each(at, &sim->worlds) {
        struct sim_world *world = container_of(at, struct sim_world, link);
        if (world->touched && !sim_world_crashed(world))
            env_turns_run(&world->env);
        world->touched = false;
    }
    sim->now += sim_draw(sim, TURN_NS_LEAST, TURN_NS_MOST);
    return true;
}
