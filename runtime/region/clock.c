/* The store's hybrid logical clock: a stamp for every entry, and the bound that keeps stamps
 * growing across restarts (base/hlc.h).
 *
 * The bound rides in the batch of the first entry that needs it, so an idle store saves nothing, and no write
 * ever waits for a bound. Followers may see the stamp before that batch is durable here; whoever leads after a crash
 * has the entry in its log, and takes its stamp in (region_clock_saw). A clean stop saves the last stamp itself, so
 * that the next run need not begin ahead of the clock.
 *
 * A wall clock that jumps ahead is not followed where others would have to follow (trap D43): stamps go on by the
 * steady clock, so that nobody ever sees one from there, and the store serves nothing and hands its leaderships over
 * until the clock is right again, or until another store's stamps say that it was right to jump. */
#include "region_int.h"

#include <assert.h>

#include "base/codec.h"
#include "base/container.h"

static uint64_t machine_ms(const struct region_store *rs)
{
    return env_wall(rs->env) / 1000000;
}

/* What the wall clock would read if it had gone on as the steady one does. */
static uint64_t steady_ms(const struct region_store *rs)
{
    return rs->anchor_ms + (env_now(rs->env) - rs->anchor_ns) / 1000000;
}

static bool runs_ahead(const struct region_store *rs, uint64_t ms)
{
    return rs->clock_guarded && ms > steady_ms(rs) + rs->config.max_offset_ms / 2;
}

/* The clock that stamps are made of. */
static uint64_t wall_ms(const struct region_store *rs)
{
    uint64_t ms = machine_ms(rs);
    return runs_ahead(rs, ms) ? steady_ms(rs) : ms;
}

static void follow(struct region_store *rs, uint64_t ms)
{
    rs->anchor_ms = ms;
    rs->anchor_ns = env_now(rs->env);
    if (rs->clock_suspect)
        logger_info(rs->log, "the wall clock is believed again");
    rs->clock_suspect = false;
}

static bool has_company(const struct region_store *rs)
{
    list_for_each(node, &rs->regions)
        if (!region_is_alone(container_of(node, struct region, node)))
            return true;
    return false;
}

static void tell_jump(struct region_store *rs, uint64_t ms)
{
    int64_t jump_ms = 0;
    enum hlc_jump_kind kind = hlc_jump_check(&rs->jump, ms, env_now(rs->env) / 1000000,
                                             rs->config.max_offset_ms, &jump_ms);
    rs->stats.clock_jumps += kind != HLC_JUMP_NONE;
    if (kind == HLC_JUMP_FORWARD)
        logger_warn(rs->log, "the wall clock jumped forward: check this machine's time service",
                    logger_i64("ms", jump_ms));
    if (kind == HLC_JUMP_BACKWARD)
        logger_warn(rs->log, "the wall clock was set back: stamps go on growing",
                    logger_i64("ms", jump_ms));
}

/* Compares the wall clock with the steady one. */
static void watch_fire(struct env_timer *timer)
{
    struct region_store *rs = container_of(timer, struct region_store, clock_watch);
    uint64_t ms = machine_ms(rs);
    tell_jump(rs, ms);
    rs->clock_guarded = has_company(rs);
    if (!runs_ahead(rs, ms)) {
        follow(rs, ms);
    } else {
        if (!rs->clock_suspect)
            logger_warn(
                rs->log,
                "the wall clock is not believed: this store serves nothing until it is right",
                logger_u64("ahead_ms", ms - steady_ms(rs)));
        rs->clock_suspect = true;
        region_store_hand_over(rs);
    }
    env_timer_start(rs->env, &rs->clock_watch, rs->watch_ns);
}

void region_clock_doubted(struct region_store *rs, uint64_t stamp)
{
    uint64_t ms = machine_ms(rs), theirs = hlc_physical(stamp);
    uint64_t apart = ms > theirs ? ms - theirs : theirs - ms;
    if (rs->clock_suspect && apart <= rs->config.max_offset_ms)
        follow(rs, ms); /* so we were behind, before the jump */
}

err_t region_clock_open(struct region_store *rs, struct err *e)
{
    struct bytes saved = storage_local(rs->store, STORAGE_LOCAL_HLC);
    uint64_t bound_ms = 0;
    if (saved.len != 0 && saved.len != 8)
        return err_set(e, ERR_CORRUPTION, "the saved HLC bound has %zu bytes, not 8", saved.len);
    if (saved.len == 8)
        bound_ms = load_u64(saved.data);
    if (wall_ms(rs) == 0)
        return err_set(e, ERR_FAILED_PRECONDITION,
                       "the wall clock reads 1970: set this machine's time first");
    hlc_init(&rs->clock, &(struct hlc_config){
                             .node_id = storage_ident(rs->store)->store_id,
                             .max_offset_ms = rs->config.max_offset_ms,
                             .bound_ahead_ms = rs->config.hlc_window_ms,
                             .saved_bound_ms = bound_ms,
                         });
    uint64_t ahead = hlc_ahead(&rs->clock, wall_ms(rs));
    if (ahead > rs->config.max_offset_ms + rs->config.hlc_window_ms) /* more than a quick restart */
        logger_warn(rs->log, "the wall clock is behind the last run's: stamps go on from there",
                    logger_u64("behind_ms", ahead));
    rs->anchor_ms = machine_ms(rs);
    rs->anchor_ns = env_now(rs->env);
    rs->watch_ns = (uint64_t)(rs->config.max_offset_ms / 4 + 1) * 1000000;
    rs->clock_watch.fire = watch_fire;
    if (rs->config.max_offset_ms > 0)
        env_timer_start(rs->env, &rs->clock_watch, 0);
    return ERR_OK;
}

bool region_clock_stamp(struct region_store *rs, uint64_t *ret)
{
    uint64_t now = wall_ms(rs), bound = hlc_bound_wanted(&rs->clock, now);
    if (bound != 0) {
        hlc_bound_saved(&rs->clock, bound); /* it will be, with the entry: see region_log_pump() */
        rs->bound_owed = bound;
    }
    return hlc_now(&rs->clock, now, ret) == ERR_OK;
}

void region_clock_saw(struct region_store *rs, uint64_t stamp)
{
    /* A committed stamp counts whatever our own clock says; one that is far ahead is not taken in, and then a leader
     * of ours would stamp below it: its group has refused the messages of who made it. */
    if (stamp != 0)
        (void)!hlc_observe(&rs->clock, wall_ms(rs), stamp);
}

void region_clock_stop(struct region_store *rs)
{
    env_timer_stop(rs->env, &rs->clock_watch);
    env_timer_stop(rs->env, &rs->clock_retry);
}

uint64_t region_hlc(const struct region_store *rs)
{
    uint64_t now = hlc_pack(wall_ms(rs), 0), last = hlc_last(&rs->clock);
    return now > last ? now : last;
}

err_t region_hlc_observe(struct region_store *rs, uint64_t stamp, struct err *e)
{
    uint64_t now = wall_ms(rs);
    if (hlc_observe(&rs->clock, now, stamp) == ERR_OK)
        return ERR_OK;
    rs->stats.refused_hlc++;
    return err_set(e, ERR_HLC_REFUSED,
                   "the request's stamp is %llu ms ahead of this node's clock, at most %u are "
                   "taken in: check the clocks of both machines",
                   (unsigned long long)(hlc_physical(stamp) - now), rs->config.max_offset_ms);
}
