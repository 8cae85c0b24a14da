/* What is in the log, and which segment is still needed: see ledger.h for the picture. */
#include "ledger.h"

#include <assert.h>
#include <stdlib.h>

void ledger_init(struct ledger *ledger, uint64_t seed)
{
    *ledger = (struct ledger){ 0 };
    map_init(&ledger->regions, seed);
}

static void drop_snap(struct ledger_region *region)
{
    if (region->snap == NULL)
        return;
    buf_free(&region->snap->bytes);
    free(region->snap);
    region->snap = NULL;
}

static void region_free(struct ledger_region *region)
{
    drop_snap(region);
    free(region->gone);
    free(region->places);
    free(region->runs);
    free(region);
}

void ledger_free(struct ledger *ledger)
{
    map_for_each(entry, &ledger->regions)
        region_free(entry->value);
    map_free(&ledger->regions);
    for (size_t i = 0; i < ledger->count; i++)
        free(ledger->seals[i].regions);
    free(ledger->seals);
    for (unsigned kind = 0; kind < LEDGER_LOCALS; kind++)
        buf_free(&ledger->locals[kind].value);
    *ledger = (struct ledger){ 0 };
}

static struct ledger_seal *newest(struct ledger *ledger)
{
    assert(ledger->count > 0);
    return &ledger->seals[ledger->count - 1];
}

void ledger_segment(struct ledger *ledger, uint64_t segment)
{
    if (ledger->count > 0 && newest(ledger)->segment == segment)
        return;
    if (ledger->count == ledger->cap) {
        ledger->cap = ledger->cap == 0 ? 8 : ledger->cap * 2;
        ledger->seals = realloc(ledger->seals, ledger->cap * sizeof ledger->seals[0]);
        if (ledger->seals == NULL)
            abort(); /* small: one per segment */
    }
    ledger->seals[ledger->count++] = (struct ledger_seal){ .segment = segment };
}

/* ---- Regions --------------------------------------------------------------------------------- */

struct ledger_region *ledger_region(const struct ledger *ledger, uint64_t id)
{
    return map_get_u64(&ledger->regions, id);
}

/* Room for `more` elements of `size` behind `count`. */
static bool grow(void **array, uint32_t *cap, uint32_t count, uint32_t more, size_t size)
{
    if (more <= *cap - count)
        return true;
    if (more > UINT32_MAX / 2 - count)
        return false;
    uint32_t want = *cap == 0 ? 2 : *cap * 2; /* many regions have little in the log */
    if (want < count + more)
        want = count + more;
    void *grown = realloc(*array, want * size);
    if (grown == NULL)
        return false;
    *array = grown;
    *cap = want;
    return true;
}

/* The region, in the newest segment's list. NULL: no memory. */
static struct ledger_region *touch(struct ledger *ledger, uint64_t id)
{
    struct ledger_region *region = ledger_region(ledger, id);
    struct ledger_seal *seal = newest(ledger);
    if (region == NULL) {
        region = calloc(1, sizeof *region);
        if (region == NULL)
            return NULL;
        region->id = id;
        if (map_put_u64(&ledger->regions, id, region, NULL) != ERR_OK) {
            free(region);
            return NULL;
        }
    }
    if (region->touched == seal->segment)
        return region;
    if (seal->count == seal->cap) {
        size_t cap = seal->cap == 0 ? 4 : seal->cap * 2;
        struct ledger_region **regions = realloc(seal->regions, cap * sizeof regions[0]);
        if (regions == NULL)
            return NULL;
        seal->regions = regions;
        seal->cap = cap;
    }
    seal->regions[seal->count++] = region;
    region->touched = seal->segment;
    return region;
}

/* How many places begin below `index`. */
static uint32_t places_below(const struct ledger_region *region, raft_index index)
{
    uint32_t lo = 0, hi = region->place_count;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (region->places[mid].first < index)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* How many runs end below `index`. */
static uint32_t runs_below(const struct ledger_region *region, raft_index index)
{
    uint32_t lo = 0, hi = region->run_count;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (region->runs[mid].last < index)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

raft_term ledger_region_term(const struct ledger_region *region, raft_index index)
{
    if (index == region->base)
        return region->base_term;
    if (index < region->base || index > region->last || index < region->places[0].first)
        return 0;
    return region->runs[runs_below(region, index)].term;
}

bool ledger_region_find(const struct ledger_region *region, raft_index index, uint32_t *place)
{
    if (index <= region->base || index > region->last)
        return false;
    uint32_t below = places_below(region, index + 1);
    assert(below > 0);
    *place = below - 1;
    return true;
}

/* The log ends before `index` now. */
static void truncate(struct ledger_region *region, raft_index index)
{
    assert(index > region->base);
    if (index > region->last)
        return;
    region->place_count = places_below(region, index);
    region->run_count = region->place_count > 0 ? runs_below(region, index - 1) + 1 : 0;
    if (region->run_count > 0)
        region->runs[region->run_count - 1].last = index - 1;
    region->last = index - 1;
}

/* The log begins behind `index` now. */
static void advance(struct ledger_region *region, raft_index index, raft_term term)
{
    uint32_t drop = index >= region->last ? region->place_count : places_below(region, index + 2);
    if (index < region->last &&
        drop > 0) /* the place of index + 1 stays; its record may begin before it */
        drop--;
    region->place_count -= drop;
    if (region->place_count > 0) {
        memmove(region->places, region->places + drop,
                region->place_count * sizeof region->places[0]);
    } else {
        free(region->places); /* an idle region is small */
        region->places = NULL;
        region->place_cap = 0;
    }
    drop = runs_below(region, index + 1);
    region->run_count -= drop;
    if (region->run_count > 0) {
        memmove(region->runs, region->runs + drop, region->run_count * sizeof region->runs[0]);
    } else {
        free(region->runs);
        region->runs = NULL;
        region->run_cap = 0;
    }
    if (region->last < index)
        region->last = index;
    if (region->released < index)
        region->released = index;
    region->base = index;
    region->base_term = term;
}

static void reset(struct ledger_region *region)
{
    region->place_count = region->run_count = 0;
    region->base = region->last = region->released = 0;
    region->base_term = 0;
    region->base_segment = 0;
    drop_snap(region);
}

/* ---- Records --------------------------------------------------------------------------------- */

/* Whether entries may begin at `first`: they follow, or replace what is there. */
static bool follows(const struct ledger *ledger, const struct ledger_region *region,
                    raft_index first)
{
    bool anywhere = ledger->replaying && region->place_count == 0;
    return first > region->base && (anywhere || first <= region->last + 1);
}

/* Whether the terms grow, also from the entry before. */
static bool terms_grow(const struct ledger_region *region, const struct ledger_entries *entries)
{
    raft_term before = ledger_region_term(region, entries->first - 1);
    for (uint32_t i = 0; i < entries->run_count; i++) {
        if (entries->runs[i].term < before)
            return false;
        before = entries->runs[i].term;
    }
    return true;
}

static void add_run(struct ledger_region *region, raft_index last, raft_term term, bool conf)
{
    struct raft_run *before = region->run_count > 0 ? &region->runs[region->run_count - 1] : NULL;
    if (before != NULL && before->term == term && before->conf == conf)
        before->last = last;
    else
        region->runs[region->run_count++] =
            (struct raft_run){ .last = last, .term = term, .conf = conf };
}

static err_t add_entries(struct ledger *ledger, struct ledger_region *region,
                         const struct ledger_entries *entries)
{
    raft_index first = entries->first;
    if (!follows(ledger, region, first))
        return ERR_DATA_LOSS;
    if (!terms_grow(region, entries))
        return ERR_CORRUPTION;
    if (!grow((void **)&region->places, &region->place_cap, region->place_count, 1,
              sizeof region->places[0]) ||
        !grow((void **)&region->runs, &region->run_cap, region->run_count, entries->run_count + 1,
              sizeof region->runs[0]))
        return ERR_NOMEM;
    truncate(region, first);
    region->places[region->place_count++] =
        (struct ledger_place){ .first = first,
                               .segment = newest(ledger)->segment,
                               .block = (uint32_t)(entries->offset / WAL_BLOCK),
                               .at = entries->at };
    for (uint32_t i = 0; i < entries->run_count; i++)
        add_run(region, first - 1 + entries->runs[i].last, entries->runs[i].term,
                entries->runs[i].conf);
    region->last = first + entries->count - 1;
    return ERR_OK;
}

err_t ledger_append(struct ledger *ledger, uint64_t id, struct raft_hs hs,
                    const struct ledger_entries *entries)
{
    struct ledger_region *region = touch(ledger, id);
    if (region == NULL)
        return ERR_NOMEM;
    if (entries->count > 0) {
        err_t rc = add_entries(ledger, region, entries);
        if (rc != ERR_OK)
            return rc;
    }
    region->hs = hs;
    region->hs_segment = newest(ledger)->segment;
    return ERR_OK;
}

err_t ledger_cut(struct ledger *ledger, uint64_t id, raft_index index, raft_term term)
{
    struct ledger_region *region = touch(ledger, id);
    if (region == NULL)
        return ERR_NOMEM;
    if (index < region->base)
        return ERR_OK; /* written again by a start that had not yet freed what it let go */
    advance(region, index, term);
    region->base_segment = newest(ledger)->segment;
    if (region->snap != NULL && region->snap->index <= index)
        drop_snap(region);
    return ERR_OK;
}

err_t ledger_snap(struct ledger *ledger, uint64_t id, bool again, raft_index index, raft_term term,
                  struct bytes conf, struct bytes files)
{
    struct ledger_region *region = touch(ledger, id);
    struct ledger_snap *snap = region != NULL ? calloc(1, sizeof *snap) : NULL;
    if (snap == NULL || buf_append(&snap->bytes, conf) != ERR_OK ||
        buf_append(&snap->bytes, files) != ERR_OK) {
        if (snap != NULL)
            buf_free(&snap->bytes);
        free(snap);
        return ERR_NOMEM;
    }
    snap->index = index;
    snap->term = term;
    snap->conf = conf.len;
    snap->segment = newest(ledger)->segment;
    drop_snap(region);
    if (!again)
        reset(region);
    advance(region, index, term);
    region->base_segment = snap->segment;
    region->snap = snap;
    return ERR_OK;
}

err_t ledger_gone_again(struct ledger *ledger, uint64_t id, uint64_t peer, uint64_t conf_ver,
                        uint64_t version)
{
    struct ledger_region *region = touch(ledger, id);
    if (region != NULL && region->gone == NULL)
        region->gone = malloc(sizeof *region->gone);
    if (region == NULL || region->gone == NULL)
        return ERR_NOMEM;
    *region->gone = (struct ledger_gone){ newest(ledger)->segment, peer, conf_ver, version };
    return ERR_OK;
}

err_t ledger_gone(struct ledger *ledger, uint64_t id, uint64_t peer, uint64_t conf_ver,
                  uint64_t version)
{
    err_t rc = ledger_gone_again(ledger, id, peer, conf_ver, version);
    if (rc != ERR_OK)
        return rc;
    struct ledger_region *region = ledger_region(ledger, id);
    reset(region);
    advance(region, 0, 0); /* frees what is no more needed */
    region->hs = (struct raft_hs){ 0 };
    region->hs_segment = 0;
    return ERR_OK;
}

err_t ledger_local(struct ledger *ledger, uint32_t kind, struct bytes value)
{
    assert(kind < LEDGER_LOCALS);
    buf_clear(&ledger->locals[kind].value);
    ledger->locals[kind].segment = newest(ledger)->segment;
    return buf_append(&ledger->locals[kind].value, value);
}

/* ---- Giving segments up ---------------------------------------------------------------------- */

/* The last entry of the region in the oldest segment, 0 if none is in it. */
static raft_index last_in(const struct ledger_region *region, uint64_t segment)
{
    if (region->place_count == 0 || region->places[0].segment != segment)
        return 0;
    uint32_t lo = 1, hi = region->place_count; /* the first place of a later segment */
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (region->places[mid].segment == segment)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < region->place_count ? region->places[lo].first - 1 : region->last;
}

struct ledger_region *ledger_holder(const struct ledger *ledger, size_t *next, raft_index *index)
{
    if (ledger->count < 2)
        return NULL;
    const struct ledger_seal *oldest = &ledger->seals[0];
    for (; *next < oldest->count; ++*next) {
        struct ledger_region *region = oldest->regions[*next];
        raft_index last = last_in(region, oldest->segment);
        if (last > region->released) {
            *index = last;
            return region;
        }
    }
    return NULL;
}

/* Who holds the segment no more never does again: nothing is written to it, and what was released stays so. */
bool ledger_oldest_spent(struct ledger *ledger)
{
    raft_index index;
    return ledger->count > 1 && ledger_holder(ledger, &ledger->checked, &index) == NULL;
}

/* What a region has in the oldest segment that must be written again. */
struct need {
    bool cut, snap, hs, gone;
    raft_index index; /* of the cut */
    raft_term term;
};

static struct need need_of(const struct ledger_region *region, uint64_t segment)
{
    raft_index last = last_in(region, segment);
    bool snap = region->snap != NULL && last == 0; /* a CUT ends it */
    return (struct need){
        .cut = last > 0 || (region->base_segment == segment && !snap),
        .snap = snap && region->snap->segment == segment,
        .hs = region->hs_segment == segment,
        .gone = region->gone != NULL && region->gone->segment == segment,
        .index = last > 0 ? last : region->base,
        .term = ledger_region_term(region, last > 0 ? last : region->base),
    };
}

enum {
    NEED_MAX = 4 * WAL_RECORD_HEADER + 24 + 8 + 24 + WAL_APPEND_HEADER + 32
}; /* and the snapshot's bytes */

static void forward(const struct ledger_region *region, uint64_t segment, struct wal_batch *batch)
{
    struct need need = need_of(region, segment);
    if (need.snap) {
        struct bytes all = buf_bytes(&region->snap->bytes);
        size_t conf = region->snap->conf;
        wal_batch_snap_again(batch, region->id, region->snap->index, region->snap->term,
                             bytes_from(all.data, conf),
                             bytes_from(all.data + conf, all.len - conf));
    }
    if (need.cut)
        wal_batch_cut(batch, region->id, need.index, need.term);
    if (need.gone)
        wal_batch_gone_again(batch, region->id, region->gone->peer, region->gone->conf_ver,
                             region->gone->version);
    if (need.hs)
        wal_batch_append(batch, region->id, region->hs, region->last + 1, NULL, 0);
}

bool ledger_forward(const struct ledger *ledger, size_t *next, struct wal_batch *batch, size_t max)
{
    const struct ledger_seal *oldest = &ledger->seals[0];
    for (; *next < oldest->count; ++*next) {
        const struct ledger_region *region = oldest->regions[*next];
        size_t bytes = NEED_MAX + (region->snap != NULL ? region->snap->bytes.len : 0);
        if (batch->records > 0 && batch->length + bytes > max)
            return true;
        forward(region, oldest->segment, batch);
    }
    for (; *next < oldest->count + LEDGER_LOCALS; ++*next) {
        unsigned kind = (unsigned)(*next - oldest->count);
        struct bytes value = buf_bytes(&ledger->locals[kind].value);
        if (ledger->locals[kind].segment != oldest->segment || kind == STORAGE_LOCAL_CLEAN)
            continue;
        if (batch->records > 0 && batch->length + WAL_RECORD_HEADER + 8 + value.len > max)
            return true;
        wal_batch_local(batch, kind, value);
    }
    return batch->records > 0;
}

static err_t forwarded(struct ledger *ledger, struct ledger_region *region, uint64_t segment)
{
    struct need need = need_of(region, segment);
    if (!need.snap && !need.cut && !need.hs && !need.gone)
        return ERR_OK;
    if (touch(ledger, region->id) == NULL)
        return ERR_NOMEM;
    uint64_t now = newest(ledger)->segment;
    if (need.snap)
        region->snap->segment = region->base_segment = now;
    if (need.gone)
        region->gone->segment = now;
    if (need.hs)
        region->hs_segment = now;
    return need.cut ? ledger_cut(ledger, region->id, need.index, need.term) : ERR_OK;
}

err_t ledger_forwarded(struct ledger *ledger, size_t from, size_t to)
{
    uint64_t segment = ledger->seals[0].segment;
    size_t count = ledger->seals[0].count;
    assert(newest(ledger)->segment != segment);
    for (; from < to && from < count; from++) {
        err_t rc = forwarded(ledger, ledger->seals[0].regions[from], segment);
        if (rc != ERR_OK)
            return rc;
    }
    for (; from < to; from++)
        if (ledger->locals[from - count].segment == segment)
            ledger->locals[from - count].segment =
                from - count == STORAGE_LOCAL_CLEAN ? 0 : newest(ledger)->segment;
    return ERR_OK;
}

void ledger_drop_oldest(struct ledger *ledger)
{
    assert(ledger->count > 1);
    free(ledger->seals[0].regions);
    ledger->count--;
    memmove(ledger->seals, ledger->seals + 1, ledger->count * sizeof ledger->seals[0]);
    ledger->checked = 0;
}
