/* The timestamp oracle: unique, strictly increasing numbers for the whole cluster.
 *
 *    63                              18 17           0
 *   | physical: milliseconds since 1970 | logical      |      physical_ms << 18 | logical
 *
 * A pure state machine: time and the saved window come in, stamps or a wish come out; the owner
 * does the saving (through the log) and the waiting.
 *
 *        last                          window
 *   ------|-------- may be given ---------|------ only after a greater window is durable ------>
 *
 * 1. Stamps strictly grow, whatever the clock does; a batch lies within one millisecond (trap
 * D47). 2. A full millisecond waits for the next one; logical never wraps into physical. When
 * the clock is
 *    behind our physical part, as after it was set back, there is nothing to wait for: the physical
 *    part then goes on by one.
 * 3. No stamp at or above the window is given before that window is durable; who starts begins
 * at
 *    the saved window, so that an older run's stamps are all below (trap D45).
 * 4. A window that should be there and is not is an error, never a fresh start (trap D46). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum {
    TSO_LOGICAL_BITS = 18,
    TSO_COUNT_MAX = 1 << TSO_LOGICAL_BITS, /* stamps of one millisecond, and of the largest batch */
};

static inline uint64_t tso_physical(uint64_t stamp)
{
    return stamp >> TSO_LOGICAL_BITS;
}
static inline uint32_t tso_logical(uint64_t stamp)
{
    return stamp & (TSO_COUNT_MAX - 1);
}
static inline uint64_t tso_pack(uint64_t physical_ms, uint32_t logical)
{
    return physical_ms << TSO_LOGICAL_BITS | logical;
}

struct tso {
    uint64_t next;      /* no stamp below it will be given */
    uint64_t window_ms; /* saved: stamps with physical < window_ms may be given */
    uint32_t count_max; /* stamps of one request */
    uint32_t ahead_ms;  /* how far ahead of the clock a window reaches */
};

/* Starts from the window that the last run had saved. `saved_window_ms` 0: none was found, which
 * is right on the `first_start` of a cluster alone, else ERR_DATA_LOSS; then tso_start_above()
 * is the explicit way on. `guard_ms` is added to the start, against a clock that read too low. A
 * window has to be saved before the first stamp. */
MUST_USE err_t tso_start(struct tso *t, uint32_t count_max, uint32_t ahead_ms, uint64_t now_ms,
                         uint64_t saved_window_ms, bool first_start, uint32_t guard_ms,
                         struct err *e);
/* Starts above `floor`, the greatest stamp seen in any store: an operator's order after a lost
 * window. */
void tso_start_above(struct tso *t, uint32_t count_max, uint32_t ahead_ms, uint64_t floor);

enum tso_kind {
    TSO_STAMPS, /* first, first + 1, ... first + count - 1 are the caller's */
    TSO_WINDOW, /* save window_ms, report tso_window_saved(), ask again */
    TSO_WAIT,   /* this millisecond is full: ask again when the clock says until_ms */
};
struct tso_answer {
    enum tso_kind kind;
    uint64_t first, window_ms, until_ms;
};
/* ERR_INVALID_ARGUMENT for a count of 0 or above count_max. Only TSO_STAMPS changes anything. */
MUST_USE err_t tso_take(struct tso *t, uint64_t now_ms, uint32_t count, struct tso_answer *ret,
                        struct err *e);
/* The window that should be saved by now, before somebody has to wait for it; 0: none. */
uint64_t tso_window_wanted(const struct tso *t, uint64_t now_ms);
/* `window_ms` is durable. */
void tso_window_saved(struct tso *t, uint64_t window_ms);
