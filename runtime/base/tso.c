/* The timestamp oracle's arithmetic. */
#include "base/tso.h"

#include <assert.h>

static uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static struct tso at(uint32_t count_max, uint32_t ahead_ms, uint64_t next)
{
    assert(count_max > 0 && count_max <= TSO_COUNT_MAX && ahead_ms > 0);
    return (struct tso){ .next = next, .count_max = count_max, .ahead_ms = ahead_ms };
}

err_t tso_start(struct tso *t, uint32_t count_max, uint32_t ahead_ms, uint64_t now_ms,
                uint64_t saved_window_ms, bool first_start, uint32_t guard_ms, struct err *e)
{
    if (saved_window_ms == 0 && !first_start)
        return err_set(e, ERR_DATA_LOSS,
                       "the saved window of the timestamp oracle is missing; starting without it "
                       "could repeat timestamps: give a floor above every timestamp in use");
    *t = at(count_max, ahead_ms, tso_pack(max_u64(saved_window_ms, now_ms) + guard_ms, 0));
    return ERR_OK;
}

void tso_start_above(struct tso *t, uint32_t count_max, uint32_t ahead_ms, uint64_t floor)
{
    *t = at(count_max, ahead_ms, tso_pack(tso_physical(floor) + 1, 0));
}

err_t tso_take(struct tso *t, uint64_t now_ms, uint32_t count, struct tso_answer *ret,
               struct err *e)
{
    if (count == 0 || count > t->count_max)
        return err_set(e, ERR_INVALID_ARGUMENT, "%u timestamps were asked for; take 1 to %u", count,
                       t->count_max);
    uint64_t first = max_u64(t->next, tso_pack(now_ms, 0));
    if (tso_logical(first) + count > TSO_COUNT_MAX)
        first = tso_pack(tso_physical(first) + 1, 0);
    if (tso_logical(first) == 0 && tso_physical(first) == now_ms + 1) {
        *ret = (struct tso_answer){ .kind = TSO_WAIT, .until_ms = now_ms + 1 };
        return ERR_OK;
    }
    if (tso_physical(first) >= t->window_ms) {
        *ret = (struct tso_answer){ .kind = TSO_WINDOW,
                                    .window_ms = tso_physical(first) + t->ahead_ms };
        return ERR_OK;
    }
    t->next = first + count; /* of a full millisecond: the first of the next one */
    *ret = (struct tso_answer){ .kind = TSO_STAMPS, .first = first };
    return ERR_OK;
}

uint64_t tso_window_wanted(const struct tso *t, uint64_t now_ms)
{
    uint64_t front = max_u64(tso_physical(t->next), now_ms);
    return t->window_ms >= front + t->ahead_ms / 2 ? 0 : front + t->ahead_ms;
}

void tso_window_saved(struct tso *t, uint64_t window_ms)
{
    t->window_ms = max_u64(t->window_ms, window_ms);
}
