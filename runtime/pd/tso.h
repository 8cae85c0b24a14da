/* The timestamp oracle as a service: requests in, stamps out, on whichever store leads the system region.
 *
 *   pd_tso_get ... (all that wait) --> region_barrier: we lead, and know every window that was saved
 *                                         |
 *                                      tso_take --stamps--> done
 *                                         | window used up
 *                                         v
 *                       COMMAND_TSO through the region's log, applied --> prove again
 *
 * 1. No stamp at or above the window is given before that window is committed, and a new leader begins at the window of
 *    the last one: stamps grow across restarts, leaders and any wall clock (base/tso.h, trap D45).
 * 2. Stamps are drawn at a moment for which it is proved that nobody else leads: a deposed leader, which may still have
 *    a window, gives none that a newer one's are already above. */
#pragma once

#include "base/err.h"
#include "base/list.h"
#include "base/logger.h"
#include "env/env.h"
#include "region/region.h"

struct pd_tso;

struct pd_tso_config {
    uint32_t window_ms;   /* how far ahead of the clock a window reaches */
    uint32_t count_max;   /* stamps of one request */
    uint32_t waiting_max; /* requests that wait; above: SERVER_IS_BUSY */
};

/* `regions` and `store` stay the caller's. */
struct pd_tso *pd_tso_open(struct env *env, struct logger *log, struct storage *store,
                           struct region_store *regions, const struct pd_tso_config *config);
/* Answers all that wait with UNAVAILABLE. region_store_stop() must follow. */
void pd_tso_stop(struct pd_tso *t);
/* After region_store_stop(): frees. NULL is welcome. */
void pd_tso_close(struct pd_tso *t);

/* Embedded in its caller until `done`. */
struct pd_tso_request {
    uint32_t count;
    uint64_t deadline; /* env_now() after which nobody wants the answer */
    void (*done)(struct pd_tso_request *q);
    err_t rc; /* OK; INVALID_ARGUMENT, SERVER_IS_BUSY, DEADLINE_EXCEEDED, UNAVAILABLE, NOT_LEADER */
    struct region_hint hint; /* with NOT_LEADER */
    uint64_t first;          /* first ... first + count - 1 are the caller's */
    struct err error;
    struct list node; /* the service's */
};
/* Calls q->done once, perhaps before it returns. */
void pd_tso_get(struct pd_tso *t, struct pd_tso_request *q);

struct pd_tso_stats {
    uint64_t requests, stamps, windows, waits, waiting;
    uint64_t last;      /* the newest stamp given; 0: none in this run */
    uint64_t window_ms; /* committed, by us */
};
void pd_tso_stats(const struct pd_tso *t, struct pd_tso_stats *ret);
