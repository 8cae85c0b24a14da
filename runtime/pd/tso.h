/* The timestamp oracle as a service: requests in, stamps out, the window saved through the log.
 *
 *   pd_tso_get ... (all that wait) --> tso_take --stamps--> done
 *                                         | window used up
 *                                         v
 *                       STORAGE_LOCAL_TSO in the log, synced --> ask again
 *
 * No stamp at or above the window is given before that window is durable, and a run begins at the
 * window of the last one: stamps grow across restarts and with any wall clock (base/tso.h). */
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

/* Reads the saved window from `store`. ERR_DATA_LOSS if a store with entries has none. `region`
 * and `store` stay the caller's. */
MUST_USE err_t pd_tso_open(struct env *env, struct logger *log, struct storage *store,
                           struct region *region, const struct pd_tso_config *config,
                           struct pd_tso **ret, struct err *e);
/* Answers all that wait with UNAVAILABLE and leaves the last window to region_stop(), which
 * must follow. */
void pd_tso_stop(struct pd_tso *t);
/* After region_stop(): frees. NULL is welcome. */
void pd_tso_close(struct pd_tso *t);

/* Embedded in its caller until `done`. */
struct pd_tso_request {
    uint32_t count;
    uint64_t deadline; /* env_now() after which nobody wants the answer */
    void (*done)(struct pd_tso_request *q);
    err_t rc;       /* OK; INVALID_ARGUMENT, SERVER_IS_BUSY, DEADLINE_EXCEEDED, UNAVAILABLE */
    uint64_t first; /* first ... first + count - 1 are the caller's */
    struct err error;
    struct list node; /* the service's */
};
/* Calls q->done once, perhaps before it returns. */
void pd_tso_get(struct pd_tso *t, struct pd_tso_request *q);

struct pd_tso_stats {
    uint64_t requests, stamps, windows, waits, waiting;
    uint64_t last;      /* the newest stamp given; 0: none in this run */
    uint64_t window_ms; /* saved */
};
void pd_tso_stats(const struct pd_tso *t, struct pd_tso_stats *ret);
