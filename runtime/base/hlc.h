/* Hybrid logical clock: stamps that respect causality and stay close to the wall clock. Kulkarni
 * and others, "Logical Physical Clocks and Consistent Snapshots" (2014).
 *
 *    63                                16 15          0
 *   | physical: milliseconds since 1970  | logical     |      packed; as a number it sorts as time
 *
 * A full stamp is (physical, logical, node id), compared in that order: with the node id behind,
 * no two nodes ever make the same one.
 *
 * 1. Stamps of one node strictly grow, whatever its wall clock does, and across restarts. 2. A
 * stamp made after one was received is greater than it. 3. A stamp from elsewhere that is more
 * than max_offset ahead of our wall clock is refused and
 *    moves nothing: one broken clock must not drag the cluster (trap D43).
 * 4. The wall clock is read by the caller and never set.
 *
 * Persisted bound. To keep 1 across restarts with a clock that was set back, a bound is made
 * durable ahead of use; no stamp above it is handed out, and the next run begins above it:
 *
 *   hlc_now() .... stamps .... | bound_wanted() -> save -> bound_saved() | until then refused
 *
 * Any thread, no lock, no allocation, no libc. Times are milliseconds. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { HLC_LOGICAL_BITS = 16, HLC_LOGICAL_MAX = 0xffff };
#define HLC_PHYSICAL_MAX ((1ull << 48) - 1) /* ms: the year 10889 */

static inline uint64_t hlc_pack(uint64_t physical_ms, uint32_t logical)
{
    return physical_ms << HLC_LOGICAL_BITS | logical;
}
static inline uint64_t hlc_physical(uint64_t packed)
{
    return packed >> HLC_LOGICAL_BITS;
}
static inline uint32_t hlc_logical(uint64_t packed)
{
    return packed & HLC_LOGICAL_MAX;
}

struct hlc_stamp {
    uint64_t physical, logical, node_id;
};
/* Negative, 0 or positive: by physical, then logical, then node id. */
int hlc_compare(struct hlc_stamp a, struct hlc_stamp b);
static inline struct hlc_stamp hlc_unpack(uint64_t packed, uint64_t node_id)
{
    return (struct hlc_stamp){ hlc_physical(packed), hlc_logical(packed), node_id };
}

struct hlc_config {
    uint64_t node_id;
    uint32_t max_offset_ms;  /* refuse stamps further ahead of the wall clock; 0: refuse none */
    uint32_t bound_ahead_ms; /* how far ahead of use a bound is saved; 0: bounds are not kept */
    uint64_t saved_bound_ms; /* what the last run had saved; 0: nothing */
};

struct hlc {
    struct hlc_config config;
    _Atomic uint64_t last;      /* packed: the greatest stamp given or taken in */
    _Atomic uint64_t wall_high; /* ms: the greatest wall reading, a saved bound included */
    _Atomic uint64_t bound;     /* ms: stamps with physical <= bound may be given */
};

/* With a saved bound, the first stamp is above every stamp that it allowed. While bounds are kept,
 * hlc_now() refuses until the first hlc_bound_saved(): the first bound is synchronous. */
void hlc_init(struct hlc *h, const struct hlc_config *config);

/* A new stamp for a local event: (wall, 0) if the wall clock is ahead of the last stamp, else the
 * last one with logical + 1. A full logical part carries into physical as long as that stays within
 * max_offset of the greatest wall reading (trap D42). Nothing has changed on:
 *   ERR_OVERFLOW     no stamp is left until the wall clock moves on
 *   ERR_UNAVAILABLE  the stamp would be above the bound: save a new one first */
MUST_USE err_t hlc_now(struct hlc *h, uint64_t wall_ms, uint64_t *ret);

/* A new stamp for the event of receiving `remote`: above it, and above every earlier one of ours.
 * Errors as hlc_now(), and ERR_HLC_REFUSED: `remote` is further ahead than max_offset. A stamp that
 * we have reached already is never refused: it moves nothing, and after the wall clock was set back
 * it may be our own coming home. */
MUST_USE err_t hlc_receive(struct hlc *h, uint64_t wall_ms, uint64_t remote, uint64_t *ret);

/* Takes note of `remote` without making a stamp: later ones are above it. Or ERR_HLC_REFUSED. */
MUST_USE err_t hlc_observe(struct hlc *h, uint64_t wall_ms, uint64_t remote);

/* The bound, in ms, that its owner should now make durable; 0: none is needed yet. It asks again
 * once less than half of bound_ahead_ms is left, so that nobody ever waits for a save. */
uint64_t hlc_bound_wanted(const struct hlc *h, uint64_t wall_ms);
/* The bound is durable. A save that failed is not reported: the old bound stays. */
void hlc_bound_saved(struct hlc *h, uint64_t bound_ms);

/* The greatest stamp so far, packed. */
uint64_t hlc_last(const struct hlc *h);
/* How far the last stamp is ahead of the wall clock, in ms; 0 if it is not. After a restart an
 * owner may wait that long, so that its first stamps are not refused elsewhere. */
uint64_t hlc_ahead(const struct hlc *h, uint64_t wall_ms);

/* True time, as far as a wall clock that is right within max_offset can tell; every stamp that a
 * healthy node has made by now is at most latest_ms. */
struct hlc_interval {
    uint64_t earliest_ms, latest_ms;
};
struct hlc_interval hlc_uncertainty(const struct hlc *h, uint64_t wall_ms);

/* ---- Jumps of the wall clock ----------------------------------------------------------------- */

/* Compares the wall clock with a steady one between two calls. A forward jump of half of max_offset
 * or more means that this node's stamps are no longer to be trusted (the node leaves leadership); a
 * backward one of more than a tenth is counted and logged, and harmless: stamps still grow. */
struct hlc_jump {
    bool started;
    uint64_t wall_ms, steady_ms;
};
enum hlc_jump_kind { HLC_JUMP_NONE, HLC_JUMP_BACKWARD, HLC_JUMP_FORWARD };
/* Call it at least every max_offset / 4. `*jump_ms` is how far the wall clock went beyond the
 * steady one since the last call. max_offset_ms 0: never a jump. */
enum hlc_jump_kind hlc_jump_check(struct hlc_jump *j, uint64_t wall_ms, uint64_t steady_ms,
                                  uint32_t max_offset_ms, int64_t *jump_ms);

/* ---- Text ------------------------------------------------------------------------------------ */

enum { HLC_TEXT_MAX = 24 }; /* with the NUL */
/* "001767323045678.00042": sorts as the stamps do. */
void hlc_print(uint64_t packed, char out[HLC_TEXT_MAX]);
/* Exactly what hlc_print() writes, or ERR_INVALID_ARGUMENT. */
MUST_USE err_t hlc_parse(const char *text, uint64_t *ret);
