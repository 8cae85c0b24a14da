/* The clock is one word: a stamp is made by one compare-and-swap, and the packed form makes the
 * carry from logical to physical an ordinary + 1. */
#include "base/hlc.h"

static uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

int hlc_compare(struct hlc_stamp a, struct hlc_stamp b)
{
    if (a.physical != b.physical)
        return a.physical < b.physical ? -1 : 1;
    if (a.logical != b.logical)
        return a.logical < b.logical ? -1 : 1;
    return (a.node_id > b.node_id) - (a.node_id < b.node_id);
}

void hlc_init(struct hlc *h, const struct hlc_config *config)
{
    h->config = *config;
    uint64_t bound = config->saved_bound_ms;
    atomic_init(&h->last, bound == 0 ? 0 : hlc_pack(bound, HLC_LOGICAL_MAX));
    atomic_init(&h->wall_high, bound == 0 ? 0 : bound + 1);
    atomic_init(&h->bound, 0);
}

static void raise_to(_Atomic uint64_t *at, uint64_t value)
{
    uint64_t have = atomic_load_explicit(at, memory_order_relaxed);
    while (have < value && !atomic_compare_exchange_weak(at, &have, value))
        continue;
}

/* Makes the stamp above the last one and `floor`. */
static err_t make(struct hlc *h, uint64_t wall_ms, uint64_t floor, uint64_t *ret)
{
    if (wall_ms > HLC_PHYSICAL_MAX)
        return ERR_OVERFLOW;
    raise_to(&h->wall_high, wall_ms);
    uint64_t last = atomic_load(&h->last), next;
    do {
        uint64_t base = max_u64(last, floor);
        if (wall_ms > hlc_physical(base)) {
            next = hlc_pack(wall_ms, 0);
        } else {
            if (base == UINT64_MAX)
                return ERR_OVERFLOW;
            next = base + 1;
            uint64_t reach = atomic_load(&h->wall_high) + h->config.max_offset_ms;
            if (hlc_logical(next) == 0 && h->config.max_offset_ms > 0 && hlc_physical(next) > reach)
                return ERR_OVERFLOW;
        }
        if (h->config.bound_ahead_ms > 0 && hlc_physical(next) > atomic_load(&h->bound))
            return ERR_UNAVAILABLE;
    } while (!atomic_compare_exchange_weak(&h->last, &last, next));
    *ret = next;
    return ERR_OK;
}

/* Rule 3; the local physical time counts, not the local stamp, which may itself run ahead. */
static bool refused(const struct hlc *h, uint64_t wall_ms, uint64_t remote)
{
    return h->config.max_offset_ms > 0 && remote > hlc_last(h) &&
           hlc_physical(remote) > wall_ms + h->config.max_offset_ms;
}

err_t hlc_now(struct hlc *h, uint64_t wall_ms, uint64_t *ret)
{
    return make(h, wall_ms, 0, ret);
}

err_t hlc_receive(struct hlc *h, uint64_t wall_ms, uint64_t remote, uint64_t *ret)
{
    if (refused(h, wall_ms, remote))
        return ERR_HLC_REFUSED;
    return make(h, wall_ms, remote, ret);
}

err_t hlc_observe(struct hlc *h, uint64_t wall_ms, uint64_t remote)
{
    if (refused(h, wall_ms, remote))
        return ERR_HLC_REFUSED;
    raise_to(&h->last, remote);
    return ERR_OK;
}

uint64_t hlc_bound_wanted(const struct hlc *h, uint64_t wall_ms)
{
    uint64_t ahead = h->config.bound_ahead_ms;
    uint64_t front = max_u64(hlc_physical(hlc_last(h)), wall_ms);
    if (ahead == 0 || atomic_load(&h->bound) >= front + ahead / 2 + 1)
        return 0;
    return front + ahead + 1;
}

void hlc_bound_saved(struct hlc *h, uint64_t bound_ms)
{
    raise_to(&h->bound, bound_ms);
}

uint64_t hlc_last(const struct hlc *h)
{
    return atomic_load(&h->last);
}

uint64_t hlc_ahead(const struct hlc *h, uint64_t wall_ms)
{
    uint64_t physical = hlc_physical(hlc_last(h));
    return physical > wall_ms ? physical - wall_ms : 0;
}

struct hlc_interval hlc_uncertainty(const struct hlc *h, uint64_t wall_ms)
{
    uint64_t offset = h->config.max_offset_ms;
    return (struct hlc_interval){
        .earliest_ms = wall_ms > offset ? wall_ms - offset : 0,
        .latest_ms = max_u64(wall_ms, hlc_physical(hlc_last(h))) + offset,
    };
}

enum hlc_jump_kind hlc_jump_check(struct hlc_jump *j, uint64_t wall_ms, uint64_t steady_ms,
                                  uint32_t max_offset_ms, int64_t *jump_ms)
{
    int64_t wall = (int64_t)(wall_ms - j->wall_ms), steady = (int64_t)(steady_ms - j->steady_ms);
    *jump_ms = j->started ? wall - steady : 0; /* the first reading has nothing to compare with */
    *j = (struct hlc_jump){ .started = true, .wall_ms = wall_ms, .steady_ms = steady_ms };
    if (max_offset_ms == 0)
        return HLC_JUMP_NONE;
    if (*jump_ms >= (int64_t)(max_offset_ms / 2) && *jump_ms > 0)
        return HLC_JUMP_FORWARD;
    if (-*jump_ms > (int64_t)(max_offset_ms / 10))
        return HLC_JUMP_BACKWARD;
    return HLC_JUMP_NONE;
}

enum { PHYSICAL_DIGITS = 15, LOGICAL_DIGITS = 5 }; /* fixed, so that text sorts as numbers do */

void hlc_print(uint64_t packed, char out[HLC_TEXT_MAX])
{
    uint64_t physical = hlc_physical(packed);
    uint32_t logical = hlc_logical(packed);
    char *end = out + PHYSICAL_DIGITS + 1 + LOGICAL_DIGITS;
    *end = '\0';
    for (int i = 0; i < LOGICAL_DIGITS; i++, logical /= 10)
        *--end = (char)('0' + logical % 10);
    *--end = '.';
    for (int i = 0; i < PHYSICAL_DIGITS; i++, physical /= 10)
        *--end = (char)('0' + physical % 10);
}

static bool digits(const char **text, int count, uint64_t *ret)
{
    for (*ret = 0; count > 0; count--, (*text)++) {
        if (**text < '0' || **text > '9')
            return false;
        *ret = *ret * 10 + (uint64_t)(**text - '0');
    }
    return true;
}

err_t hlc_parse(const char *text, uint64_t *ret)
{
    uint64_t physical, logical;
    if (!digits(&text, PHYSICAL_DIGITS, &physical) || *text++ != '.' ||
        !digits(&text, LOGICAL_DIGITS, &logical) || *text != '\0' || physical > HLC_PHYSICAL_MAX ||
        logical > HLC_LOGICAL_MAX)
        return ERR_INVALID_ARGUMENT;
    *ret = hlc_pack(physical, (uint32_t)logical);
    return ERR_OK;
}
