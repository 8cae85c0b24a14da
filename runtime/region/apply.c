/* From committed to answered.
 *
 *   committed  [turn][turn] --one at a time, in log order--> engine --> results --> done
 *
 * Small turns are applied on the loop thread: waking a lane costs more than the insert. The lane
 * takes over where the loop would wait: large turns, versioned keys that are not in memory, an
 * engine that throttles. */
#include "region_int.h"

#include <assert.h>

#include "base/container.h"

#define SLOW_APPLY_NS  (2 * UINT64_C(1000000))   /* an inline apply that took longer ... */
#define LANE_PERIOD_NS (200 * UINT64_C(1000000)) /* ... sends the next ones to the lane so long */
enum { PROBES_MAX = 64 };                        /* versioned commands of an inline turn */

static void apply_run(struct env_job *job)
{
    struct region_turn *t = container_of(job, struct region_turn, apply);
    t->began = env_now(t->region->env);
    t->rc = storage_apply(t->region->store, t->records, &t->error);
    t->ended = env_now(t->region->env);
}

static void count_results(struct region *r, struct region_turn *t)
{
    list_for_each(node, &t->writes) {
        struct region_write *w = container_of(node, struct region_write, node);
        w->rc = ERR_OK;
        for (uint32_t i = 0; i < w->count; i++) {
            const struct command *c = &w->commands[i];
            r->stats.conflicts += region_write_result(w, i)->rc == ERR_CONFLICT;
            region_stats_touch(r, c->namespace_id, c->key);
            r->written_bytes += c->key.len + c->value.len;
            if (c->kind == COMMAND_RAW_PUT || c->kind == COMMAND_CAS)
                region_stats_row(r, c->key.len, c->value.len);
        }
    }
    r->stats.writes += t->commands;
}

static void turn_applied(struct region *r, struct region_turn *t)
{
    r->applying = false;
    histogram_add(&r->stats.apply_us, (t->ended - t->began) / 1000);
    if (t->rc != ERR_OK) {
        struct err why = t->error;
        region_fail(r, t->rc, &why);
        region_turn_done(r, t, ERR_UNDETERMINED);
        return;
    }
    assert(t->index >= r->stats.applied);
    r->stats.applied = t->index;
    count_results(r, t);
    region_turn_done(r, t, ERR_OK);
    region_read_applied(r);
}

static void apply_done(struct env_job *job)
{
    struct region_turn *t = container_of(job, struct region_turn, apply);
    struct region *r = t->region;
    turn_applied(r, t);
    region_apply_next(r);
}

/* True if every versioned key of the turn is answered from memory. */
static bool keys_are_cached(struct region *r, struct region_turn *t)
{
    unsigned probes = 0;
    list_for_each(node, &t->writes) {
        struct region_write *w = container_of(node, struct region_write, node);
        for (uint32_t i = 0; i < w->count; i++) {
            const struct command *c = &w->commands[i];
            if (c->kind != COMMAND_CAS && c->kind != COMMAND_CAS_DELETE)
                continue;
            if (++probes > PROBES_MAX)
                return false;
            uint64_t version;
            buf_clear(&r->probe);
            if (storage_read(r->store, true, c->namespace_id, c->key, true, &version, &r->probe,
                             NULL) == ERR_UNAVAILABLE)
                return false;
        }
    }
    return true;
}

static bool apply_inline(struct region *r, struct region_turn *t)
{
    if (r->closing || t->commands == 0)
        return true;
    return !r->preparing && t->bytes <= r->config.apply_inline_bytes &&
           env_now(r->env) >= r->lane_until && !r->stats.storage.engine.stalled &&
           (!t->probe_cas || keys_are_cached(r, t));
}

void region_apply_next(struct region *r)
{
    while (!r->applying && !r->stats.latched && !list_empty(&r->committed)) {
        struct region_turn *t =
            container_of(list_pop_front(&r->committed), struct region_turn, node);
        r->applying = true;
        t->apply = (struct env_job){ .run = apply_run, .done = apply_done };
        if (!apply_inline(r, t)) {
            env_work(r->apply_lane, &t->apply);
            return;
        }
        if (t->commands == 0) { /* local records alone: nothing to apply */
            t->rc = ERR_OK;
            t->began = t->ended = 0;
            t->index = r->stats.applied > t->index ? r->stats.applied : t->index;
        } else {
            apply_run(&t->apply);
            r->stats.turns_inline++;
            if (t->ended - t->began > SLOW_APPLY_NS)
                r->lane_until = t->ended + LANE_PERIOD_NS;
        }
        turn_applied(r, t);
    }
}

/* In a group of one the entry is committed as soon as its own log has it. */
void region_commit(struct region *r, struct region_turn *t)
{
    if (r->stats.latched) {
        region_turn_done(r, t, ERR_UNDETERMINED);
        return;
    }
    if (t->commands > 0) {
        assert(t->index > r->stats.committed);
        r->stats.committed = t->index;
    } else {
        t->index = r->stats.committed;
    }
    list_push_back(&r->committed, &t->node);
    region_apply_next(r);
}
