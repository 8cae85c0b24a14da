/* The region as a whole: opening, the end of a turn, the first failure, closing.
 *
 *   open --> serving --> closing --> closed        what was begun is finished
 *               |
 *               +--> latched: a write or sync failed. In flight: UNDETERMINED; new: UNAVAILABLE */
#include "region_int.h"

#include <assert.h>
#include <stdlib.h>

#include "base/container.h"

static void turn_end(struct env_turn *hook)
{
    region_propose_turn(container_of(hook, struct region, hook));
}

err_t region_open(struct env *env, struct logger *log, struct storage *store,
                  const struct region_config *config, struct region **ret, struct err *e)
{
    struct region *r = calloc(1, sizeof *r);
    if (r == NULL)
        abort(); /* small and fixed */
    r->env = env;
    r->log = log;
    r->store = store;
    r->config = *config;
    r->hook.run = turn_end;
    region_propose_open(r);
    list_init(&r->waiting);
    list_init(&r->waiting_scans);
    err_t rc = env_lane_open(env, ENV_LANE_LOG, "log", &r->log_lane, e);
    if (rc == ERR_OK)
        rc = env_lane_open(env, ENV_LANE_APPLY, "apply", &r->apply_lane, e);
    if (rc == ERR_OK)
        rc = env_lane_open(env, ENV_LANE_READ, "read", &r->read_lane, e);
    if (rc == ERR_OK)
        rc = env_lane_open(env, ENV_LANE_BULK, "bulk", &r->bulk_lane, e);
    if (rc == ERR_OK)
        rc = region_clock_open(r, e);
    if (rc == ERR_OK)
        rc = region_stats_open(r, e);
    if (rc != ERR_OK) {
        r->closing = true;
        env_timer_stop(env, &r->clock_watch);
        env_lane_close(r->log_lane);
        env_lane_close(r->apply_lane);
        env_lane_close(r->read_lane);
        env_lane_close(r->bulk_lane);
        region_close(r);
        return err_wrap(e, rc, "could not open region %d", REGION_ID);
    }
    env_turn_add(env, &r->hook);
    *ret = r;
    return ERR_OK;
}

void region_stop(struct region *r, bool clean)
{
    assert(!r->closing);
    r->closing = true;
    env_turn_remove(r->env, &r->hook);
    region_propose_refuse(r);
    env_lane_close(r->bulk_lane); /* first: apply may be waiting for it */
    r->bulk_lane = NULL;
    env_lane_close(r->log_lane); /* its last turn commits, and is applied on this thread */
    r->log_lane = NULL;
    env_lane_close(r->apply_lane);
    r->apply_lane = NULL;
    env_lane_close(r->read_lane);
    r->read_lane = NULL;
    assert(list_empty(&r->waiting) && list_empty(&r->waiting_scans));
    region_clock_stop(r);
    struct err e = { 0 };
    if (clean && !r->stats.latched && region_propose_last(r, &e) != ERR_OK)
        logger_error(r->log, "could not save the clocks at the end", logger_err(&e));
    region_stats_stop(r);
}

void region_close(struct region *r)
{
    if (r == NULL)
        return;
    assert(r->closing);
    region_propose_close(r);
    region_stats_close(r);
    buf_free(&r->probe);
    free(r);
}

void region_fail(struct region *r, err_t rc, const struct err *why)
{
    if (r->stats.latched)
        return;
    r->stats.latched = true;
    logger_error(r->log, "the store has failed: nothing more is written", logger_err(why));
    region_propose_fail(r);
    region_read_fail(r);
    if (r->config.failed != NULL)
        r->config.failed(r->config.user, rc, why->msg);
}

err_t region_check_context(struct region *r, const struct region_context *c, struct err *e)
{
    if (c->region_id != 0 && c->region_id != REGION_ID) {
        r->stats.refused_epoch++;
        return err_set(e, ERR_REGION_NOT_FOUND, "region %llu is not here: ask for the routes again",
                       (unsigned long long)c->region_id);
    }
    if ((c->conf_ver != 0 && c->conf_ver != REGION_CONF_VER) ||
        (c->version != 0 && c->version != REGION_VERSION) ||
        (c->peer_id != 0 && c->peer_id != REGION_PEER_ID)) {
        r->stats.refused_epoch++;
        return err_set(e, ERR_EPOCH_NOT_MATCH,
                       "region %d has epoch {%d,%d} and peer %d, the request says {%llu,%llu} and "
                       "%llu: ask for the routes again",
                       REGION_ID, REGION_CONF_VER, REGION_VERSION, REGION_PEER_ID,
                       (unsigned long long)c->conf_ver, (unsigned long long)c->version,
                       (unsigned long long)c->peer_id);
    }
    if (c->hlc != 0)
        return region_hlc_observe(r, c->hlc, e);
    return ERR_OK;
}
