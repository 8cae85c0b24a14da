/* The region's hybrid logical clock: a stamp for every entry, and the bound that keeps stamps
 * growing across restarts (base/hlc.h).
 *
 * The bound rides in the batch of the first entry that needs it: batch and bound are durable
 * together, and nobody sees the stamp before that. So an idle store saves nothing, and no write
 * ever waits for a bound. A clean stop saves the last stamp itself, so that the next run need not
 * begin ahead of the clock. */
#include "region_int.h"

#include <assert.h>

#include "base/codec.h"
#include "base/container.h"

static uint64_t wall_ms(const struct region *r)
{
    return env_wall(r->env) / 1000000;
}

/* Compares the wall clock with the steady one: jumps are logged and counted. With more than one
 * replica a forward jump will also end this node's leadership. */
static void watch_fire(struct env_timer *timer)
{
    struct region *r = container_of(timer, struct region, clock_watch);
    int64_t jump_ms = 0;
    switch (hlc_jump_check(&r->jump, wall_ms(r), env_now(r->env) / 1000000, r->config.max_offset_ms,
                           &jump_ms)) {
    case HLC_JUMP_NONE:
        break;
    case HLC_JUMP_BACKWARD:
        r->stats.clock_jumps++;
        logger_warn(r->log, "the wall clock was set back: stamps go on growing",
                    logger_i64("ms", jump_ms));
        break;
    case HLC_JUMP_FORWARD:
        r->stats.clock_jumps++;
        logger_warn(r->log, "the wall clock jumped forward: check this machine's time service",
                    logger_i64("ms", jump_ms));
        break;
    }
    env_timer_start(r->env, &r->clock_watch, r->watch_ns);
}

err_t region_clock_open(struct region *r, struct err *e)
{
    struct bytes saved = storage_local(r->store, STORAGE_LOCAL_HLC);
    uint64_t bound_ms = 0;
    if (saved.len != 0 && saved.len != 8)
        return err_set(e, ERR_CORRUPTION, "the saved HLC bound has %zu bytes, not 8", saved.len);
    if (saved.len == 8)
        bound_ms = load_u64(saved.data);
    if (wall_ms(r) == 0)
        return err_set(e, ERR_FAILED_PRECONDITION,
                       "the wall clock reads 1970: set this machine's time first");
    hlc_init(&r->clock, &(struct hlc_config){
                            .node_id = storage_ident(r->store)->store_id,
                            .max_offset_ms = r->config.max_offset_ms,
                            .bound_ahead_ms = r->config.hlc_window_ms,
                            .saved_bound_ms = bound_ms,
                        });
    uint64_t ahead = hlc_ahead(&r->clock, wall_ms(r));
    if (ahead > r->config.max_offset_ms + r->config.hlc_window_ms) /* more than a quick restart */
        logger_warn(r->log, "the wall clock is behind the last run's: stamps go on from there",
                    logger_u64("behind_ms", ahead));
    r->watch_ns = (uint64_t)(r->config.max_offset_ms / 4 + 1) * 1000000;
    r->clock_watch.fire = watch_fire;
    if (r->config.max_offset_ms > 0)
        env_timer_start(r->env, &r->clock_watch, 0);
    return ERR_OK;
}

bool region_clock_stamp(struct region *r, struct region_turn *t)
{
    uint64_t now = wall_ms(r), bound = hlc_bound_wanted(&r->clock, now);
    if (bound != 0) {
        hlc_bound_saved(&r->clock, bound); /* it will be, before the stamp leaves */
        r->bound_owed = bound;
    }
    if (hlc_now(&r->clock, now, &t->stamp) != ERR_OK)
        return false;
    t->has_bound = r->bound_owed != 0;
    if (t->has_bound) {
        store_u64(t->bound, r->bound_owed);
        err_t rc = storage_turn_add_local(t->records, STORAGE_LOCAL_HLC,
                                          bytes_from(t->bound, sizeof t->bound));
        assert(rc == ERR_OK); /* the turn has kept room for it */
        (void)rc;
        r->bound_owed = 0;
    }
    return true;
}

void region_clock_stop(struct region *r)
{
    env_timer_stop(r->env, &r->clock_watch);
    uint8_t value[8];
    store_u64(value, hlc_physical(hlc_last(&r->clock)));
    region_local_at_close(r, STORAGE_LOCAL_HLC, bytes_from(value, sizeof value));
}

uint64_t region_hlc(const struct region *r)
{
    uint64_t now = hlc_pack(wall_ms(r), 0), last = hlc_last(&r->clock);
    return now > last ? now : last;
}

err_t region_hlc_observe(struct region *r, uint64_t stamp, struct err *e)
{
    uint64_t now = wall_ms(r);
    if (hlc_observe(&r->clock, now, stamp) == ERR_OK)
        return ERR_OK;
    r->stats.refused_hlc++;
    return err_set(e, ERR_HLC_REFUSED,
                   "the request's stamp is %llu ms ahead of this node's clock, at most %u are "
                   "taken in: check the clocks of both machines",
                   (unsigned long long)(hlc_physical(stamp) - now), r->config.max_offset_ms);
}
