/* The watcher. */
#include "catalog/watcher.h"

#include <inttypes.h>

#include "base/container.h"
#include "catalog/error.h"
#include "catalog/hash.h"
#include "catalog_int.h"

#define MS UINT64_C(1000000)

void catalog_watcher_init(struct catalog_watcher *w, struct env *env, const struct catalog *catalog,
                          struct catalog_engine *engine)
{
    *w = (struct catalog_watcher){ .env = env,
                                   .catalog = catalog,
                                   .engine = engine,
                                   .interval_ns = CATALOG_WATCHER_INTERVAL_MS * MS };
}

void catalog_watcher_set_interval(struct catalog_watcher *w, int64_t interval_ns)
{
    if (interval_ns > 0)
        w->interval_ns = (uint64_t)interval_ns;
}

void catalog_watcher_set_logger(struct catalog_watcher *w, struct logger *log)
{
    if (log != NULL)
        w->log = log;
}

static err_t check(const struct catalog_watcher *w, struct err *e)
{
    err_t rc = catalog_check(w->catalog, e);
    if (rc == ERR_OK && w->engine == NULL)
        rc = catalog_error(e, ERR_ENGINE_REQUIRED, "a catalog watcher has none");
    if (rc == ERR_OK && w->interval_ns == 0)
        rc = err_set(e, ERR_INVALID_ARGUMENT, "a catalog watcher needs an interval");
    return rc;
}

/* The routes, read at the timestamp of the version that was found newer. */
static err_t take_over(struct catalog_watcher *w, uint64_t ts, struct err *e)
{
    struct catalog_snapshot s;
    err_t rc = catalog_snapshot_at(w->catalog, ts, &s, e);
    if (rc != ERR_OK)
        return rc;
    rc = catalog_engine_apply(w->engine, &s, e);
    if (rc == ERR_OK)
        w->stats.applied++;
    catalog_snapshot_free(&s);
    return rc == ERR_ENGINE_SNAPSHOT_VERSION_STALE ? ERR_OK : rc;
}

static err_t sync(struct catalog_watcher *w, struct err *e)
{
    struct catalog_stamp have, there;
    const struct mvcc *store = w->catalog->store;
    catalog_engine_stamp(w->engine, &have);
    uint64_t ts = store->last_commit_ts(store->self);
    err_t rc = catalog_stamp_at(w->catalog, ts, &there, e);
    if (rc == ERR_OK)
        rc = catalog_hash_check(&have, &there, e);
    if (rc != ERR_OK)
        return rc;
    if (there.version < have.version)
        return catalog_error(e, ERR_CATALOG_CURSOR_AHEAD,
                             "it is at version %" PRIu64 ", the engine at %" PRIu64, there.version,
                             have.version);
    return there.version == have.version ? ERR_OK : take_over(w, ts, e);
}

err_t catalog_watcher_poll(struct catalog_watcher *w, struct err *e)
{
    err_t rc = check(w, e);
    if (rc != ERR_OK)
        return rc;
    w->stats.polls++;
    rc = sync(w, e);
    catalog_engine_reclaim(w->engine); /* tables that were still read at the last swap */
    return rc;
}

static void poll_and_log(struct catalog_watcher *w)
{
    struct err e = { 0 };
    err_t rc = catalog_watcher_poll(w, &e);
    if (rc == ERR_OK)
        return;
    w->stats.failed++;
    w->last_error = e;
    if (rc == ERR_CATALOG_INTEGRITY) {
        w->stats.alarms++;
        logger_error(w->log, "catalog integrity alarm", logger_err(&e));
    } else {
        logger_error(w->log, "catalog watcher sync failed", logger_err(&e));
    }
}

static void on_timer(struct env_timer *timer)
{
    struct catalog_watcher *w = container_of(timer, struct catalog_watcher, timer);
    env_timer_start(w->env, &w->timer, w->interval_ns);
    poll_and_log(w);
}

err_t catalog_watcher_start(struct catalog_watcher *w, struct err *e)
{
    err_t rc = check(w, e);
    if (rc != ERR_OK)
        return rc;
    w->timer.fire = on_timer;
    on_timer(&w->timer);
    return ERR_OK;
}

err_t catalog_watcher_run(struct catalog_watcher *w, struct env *env, const struct catalog *catalog,
                          struct catalog_engine *engine, struct logger *log, struct err *e)
{
    catalog_watcher_init(w, env, catalog, engine);
    catalog_watcher_set_logger(w, log);
    return catalog_watcher_start(w, e);
}

void catalog_watcher_stop(struct catalog_watcher *w)
{
    if (w->env != NULL && env_timer_active(&w->timer))
        env_timer_stop(w->env, &w->timer);
}
