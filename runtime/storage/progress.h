/* How far every region of the store was applied, and how far no crash takes it.
 *
 *   region   applied          durable
 *   1        977 (term 4)     912        moved since the engine was asked last: asked again at the next tend
 *   12       41  (term 2)     41
 *
 * The applier alone moves the applied state; everybody may ask, under the lock that lies here. The engine is
 * asked for what is durable only when it has made something durable, and only for regions that have moved. */
#pragma once

#include "base/map.h"
#include "layout.h"
#include "storage/engine.h"

struct progress;

struct progress_region {
    uint64_t id;
    struct layout_apply_state applied;
    raft_index durable;
    uint64_t turn; /* the applier's: it has been met in this one, at `place` */
    uint32_t place;
    bool moved; /* waits in the queue of regions to be asked for */
};

/* Reads every region's state from the engine. ERR_CORRUPTION. */
MUST_USE err_t progress_open(struct env *env, const struct engine_ops *ops, struct engine *engine,
                             uint64_t seed, struct progress **ret, struct err *e);
void progress_close(struct progress *progress); /* NULL is welcome */

/* The applier alone. The region, made if it is new; NULL: no memory. */
struct progress_region *progress_region(struct progress *progress, uint64_t id);
/* The engine has taken batch `number` with these states: `states[i]` is of regions[i]. ERR_NOMEM. */
MUST_USE err_t progress_move(struct progress *progress, uint64_t number,
                             struct progress_region *const *regions,
                             const struct layout_apply_state *states, uint32_t n);

/* Any thread. */
void progress_applied(struct progress *progress, uint64_t id, struct layout_apply_state *ret);
raft_index progress_durable(struct progress *progress, uint64_t id);
/* One thread at a time: asks the engine what has become durable, for at most `max` regions that have moved. */
MUST_USE err_t progress_refresh(struct progress *progress, uint32_t max, struct err *e);
/* The ids of all regions, ascending, appended as u64. */
MUST_USE err_t progress_ids(struct progress *progress, struct buf *ret);
