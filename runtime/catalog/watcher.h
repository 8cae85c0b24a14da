/* Keeps a routing engine at the newest version of a catalog that can be read here.
 *
 *   start: poll --- interval ---> poll --- interval ---> poll ...            until stop
 *
 *   poll   version and identity, at one timestamp
 *            the engine's own         nothing
 *            older                    refused (ERR_CATALOG_CURSOR_AHEAD): a replica that lags, or a catalog set back
 *            newer                    the routes, at the same timestamp, go to the engine; if that has meanwhile got a
 *                                     newer version from somebody else, all is well
 *            another content          integrity alarm; the engine keeps what it has
 *
 * What fails is counted, logged and tried again at the next poll; a watcher never gives up. Loop
 * thread only. */
#pragma once

#include "base/logger.h"
#include "catalog/catalog.h"
#include "catalog/engine.h"
#include "env/env.h"

enum { CATALOG_WATCHER_INTERVAL_MS = 100 };

struct catalog_watcher_stats {
    uint64_t polls, applied, failed, alarms; /* alarms: of the failed, those that say integrity */
};

struct catalog_watcher {
    struct env *env;
    const struct catalog *catalog;
    struct catalog_engine *engine;
    struct logger *log;
    uint64_t interval_ns;
    struct env_timer timer;
    struct catalog_watcher_stats stats;
    struct err last_error; /* of the last poll that failed */
};

/* The default interval, and the default logger: none. What it is given outlives it. */
void catalog_watcher_init(struct catalog_watcher *w, struct env *env, const struct catalog *catalog,
                          struct catalog_engine *engine);
/* Ignored unless positive; from the next poll on. */
void catalog_watcher_set_interval(struct catalog_watcher *w, int64_t interval_ns);
/* NULL is ignored. */
void catalog_watcher_set_logger(struct catalog_watcher *w, struct logger *log);

/* Polls now, and then every interval. Fails only for a missing catalog or store, engine, or
 * interval; never because of what a poll met. */
MUST_USE err_t catalog_watcher_start(struct catalog_watcher *w, struct err *e);
/* Init, set_logger and start in one. */
MUST_USE err_t catalog_watcher_run(struct catalog_watcher *w, struct env *env,
                                   const struct catalog *catalog, struct catalog_engine *engine,
                                   struct logger *log, struct err *e);
/* No poll follows. Also for one that was never started. */
void catalog_watcher_stop(struct catalog_watcher *w);

/* One poll, and its outcome, for who has a timer of his own. */
MUST_USE err_t catalog_watcher_poll(struct catalog_watcher *w, struct err *e);
