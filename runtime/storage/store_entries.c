/* The log read back: what every region had at open, and entries by region and index.
 *
 *   region 7   41..43 at segment 3, offset 8192, byte 24      44..44 at segment 3, offset 12288, byte 24
 *                 |                                              |
 *   batch      | header | APPEND(7: 41, 42, 43) | ... |       | header | APPEND(7: 44) | ... |
 *
 * Places are looked up under the ledger's lock, the disk is read without it: a segment on which somebody reads is not
 * given up meanwhile, and one that was is no more asked for. */
#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "store_int.h"

enum { PLACES_MAX = 128, READ_AHEAD = 256 << 10 };

/* Part of a record: the entries from `first` on, `count` of them. */
struct part {
    struct ledger_place place;
    raft_index first;
    uint32_t count;
};

/* The parts that hold lo ... hi - 1, as many as there is room for. ERR_NOT_FOUND. */
static err_t find_parts(struct storage *store, uint64_t id, raft_index lo, raft_index hi,
                        struct part *parts, uint32_t *count)
{
    uint32_t at, n = 0;
    env_lock_enter(store->ledger_lock);
    const struct ledger_region *region = ledger_region(&store->ledger, id);
    bool found = region != NULL && ledger_region_find(region, lo, &at);
    for (; found && n < PLACES_MAX && at < region->place_count && lo < hi; at++) {
        raft_index next =
            at + 1 < region->place_count ? region->places[at + 1].first : region->last + 1;
        if (next > hi)
            next = hi;
        parts[n++] = (struct part){ .place = region->places[at],
                                    .first = lo,
                                    .count = (uint32_t)(next - lo) };
        lo = next;
    }
    env_lock_leave(store->ledger_lock);
    *count = n;
    return n > 0 ? ERR_OK : ERR_NOT_FOUND;
}

struct taking {
    size_t max_bytes;
    uint32_t cap, n;
    size_t from; /* of `bytes`, at the beginning */
    struct buf *bytes;
    struct raft_ent *ents; /* `data` is an offset until the end */
};

static bool is_full(const struct taking *taking, size_t more)
{
    size_t have = taking->bytes->len - taking->from;
    return taking->n == taking->cap ||
           (taking->n > 0 && (have > taking->max_bytes || more > taking->max_bytes - have));
}

/* Copies entries of a checked record, which must be those that the ledger means. */
static err_t take_part(struct taking *taking, uint64_t region, const struct part *part,
                       struct bytes batch, bool *full, struct err *e)
{
    struct wal_record record = { 0 };
    struct bytes in = batch;
    err_t rc = ERR_DATA_LOSS;
    if (part->place.at < batch.len) {
        in = bytes_from(batch.data + part->place.at, batch.len - part->place.at);
        rc = wal_format_take_record(&in, &record);
    }
    if (rc != ERR_OK || record.kind != WAL_APPEND || record.region != region ||
        record.append.first != part->place.first ||
        record.append.first + record.append.count < part->first + part->count)
        return err_set(e, ERR_DATA_LOSS, "log segment %016" PRIx64 " holds other entries now",
                       part->place.segment);
    struct raft_ent ent;
    raft_index index = record.append.first;
    for (; wal_format_take_entry(&record.append.entries, &ent); index++) {
        if (index < part->first)
            continue;
        *full = *full || is_full(taking, ent.len);
        if (*full || index == part->first + part->count)
            return ERR_OK;
        struct raft_ent *to = &taking->ents[taking->n];
        *to = ent;
        to->index = index;
        to->data = NULL;
        rc = buf_append(taking->bytes, bytes_from(ent.data, ent.len));
        if (rc != ERR_OK)
            return err_set(e, rc, "no memory for entries of the log");
        taking->n++;
    }
    return ERR_OK;
}

/* Only now the bytes stay where they are. */
static void point(struct taking *taking)
{
    size_t at = taking->from;
    for (uint32_t i = 0; i < taking->n; i++) {
        if (taking->ents[i].len > 0)
            taking->ents[i].data = taking->bytes->data + at;
        at += taking->ents[i].len;
    }
}

err_t storage_entries(struct storage *store, uint64_t region, raft_index lo, raft_index hi,
                      size_t max_bytes, uint32_t cap, struct buf *bytes, struct raft_ent *ents,
                      uint32_t *n, struct err *e)
{
    assert(lo < hi && cap > 0);
    struct part parts[PLACES_MAX];
    uint32_t count;
    if (hi - lo > cap)
        hi = lo + cap;
    err_t rc = find_parts(store, region, lo, hi, parts, &count);
    if (rc != ERR_OK)
        return err_set(e, rc, "entry %" PRIu64 " of region %" PRIu64 " is not in the log", lo,
                       region);
    struct wal_cursor cursor = { .wal = store->wal, .ahead = count > 1 ? READ_AHEAD : 0 };
    struct taking taking = {
        .max_bytes = max_bytes, .cap = cap, .from = bytes->len, .bytes = bytes, .ents = ents
    };
    bool full = false;
    for (uint32_t i = 0; i < count && rc == ERR_OK && !full; i++) {
        struct bytes batch;
        rc = wal_cursor_read(&cursor, parts[i].place.segment,
                             (uint64_t)parts[i].place.block * WAL_BLOCK, &batch, e);
        if (rc == ERR_OK)
            rc = take_part(&taking, region, &parts[i], batch, &full, e);
    }
    wal_cursor_end(&cursor);
    if (rc != ERR_OK) {
        bytes->len = taking.from;
        return rc == ERR_NOT_FOUND
                   ? rc
                   : err_wrap(e, rc, "could not read entry %" PRIu64 " of region %" PRIu64, lo,
                              region);
    }
    point(&taking);
    *n = taking.n;
    return ERR_OK;
}

/* ---- At open --------------------------------------------------------------------------------- */

static int by_id(const void *a, const void *b)
{
    uint64_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

/* The ids that log or engine know: ascending, some twice. */
static err_t all_ids(struct storage *store, struct buf *ret)
{
    err_t rc = progress_ids(store->progress, ret);
    map_for_each(entry, &store->ledger.regions) {
        if (rc == ERR_OK)
            rc = buf_append(ret, bytes_from(&entry->id, sizeof entry->id));
    }
    if (ret->len > 0)
        qsort(ret->data, ret->len / sizeof(uint64_t), sizeof(uint64_t), by_id);
    return rc;
}

static err_t read_meta(struct storage *store, uint64_t id, struct buf *ret, struct err *e)
{
    uint8_t key[9];
    layout_raft_state_key(id, LAYOUT_META, key);
    buf_clear(ret);
    err_t rc = store->ops->get(store->engine, ENGINE_RAFT_STATE, bytes_from(key, sizeof key), false,
                               ret, e);
    return rc == ERR_NOT_FOUND ? ERR_OK : rc;
}

static void show_snap(const struct ledger_snap *from, struct storage_snap *snap)
{
    struct bytes all = buf_bytes(&from->bytes);
    *snap =
        (struct storage_snap){ .index = from->index,
                               .term = from->term,
                               .conf = bytes_from(all.data, from->conf),
                               .files = bytes_from(all.data + from->conf, all.len - from->conf) };
}

void store_group(struct storage *store, uint64_t id, struct store_shown *ret)
{
    struct layout_apply_state applied;
    progress_applied(store->progress, id, &applied);
    struct storage_group *group = &ret->group;
    *group = (struct storage_group){ .region = id,
                                     .applied = applied.index,
                                     .applied_term = applied.term,
                                     .applied_hlc = applied.hlc };
    const struct ledger_region *region = ledger_region(&store->ledger, id);
    if (region == NULL)
        return;
    group->hs = region->hs;
    group->base = region->base;
    group->base_term = region->base_term;
    group->last = region->last;
    group->runs = region->runs;
    group->nruns = region->run_count;
    if (region->snap != NULL) {
        show_snap(region->snap, &ret->snap);
        group->snap = &ret->snap;
    }
    if (region->gone != NULL) {
        ret->gone = (struct storage_gone){ region->gone->peer, region->gone->conf_ver,
                                           region->gone->version };
        group->gone = &ret->gone;
    }
}

err_t store_each_region(struct storage *store,
                        err_t (*each)(void *user, struct storage *store, uint64_t id,
                                      struct err *e),
                        void *user, struct err *e)
{
    struct buf ids = { 0 };
    uint64_t id, before = 0;
    err_t rc = all_ids(store, &ids);
    if (rc != ERR_OK)
        err_set(e, rc, "no memory for the store's regions");
    for (size_t at = 0; at < ids.len && rc == ERR_OK; at += sizeof id, before = id) {
        memcpy(&id, ids.data + at, sizeof id);
        if (at == 0 || id != before)
            rc = each(user, store, id, e);
    }
    buf_free(&ids);
    return rc;
}

struct giving {
    err_t (*each)(void *user, const struct storage_group *group, struct err *e);
    void *user;
    struct buf meta;
};

static err_t give_group(void *user, struct storage *store, uint64_t id, struct err *e)
{
    struct giving *giving = user;
    struct store_shown shown;
    err_t rc = read_meta(store, id, &giving->meta, e);
    if (rc != ERR_OK)
        return rc;
    store_group(store, id, &shown);
    shown.group.meta = buf_bytes(&giving->meta);
    return giving->each(giving->user, &shown.group, e);
}

err_t storage_groups(struct storage *store,
                     err_t (*each)(void *user, const struct storage_group *group, struct err *e),
                     void *user, struct err *e)
{
    struct giving giving = { .each = each, .user = user };
    err_t rc = store_each_region(store, give_group, &giving, e);
    buf_free(&giving.meta);
    return rc;
}

/* ---- Letting go ------------------------------------------------------------------------------ */

raft_index storage_durable(const struct storage *store, uint64_t region)
{
    return progress_durable(store->progress, region);
}

void storage_release(struct storage *store, uint64_t id, raft_index index, raft_term term)
{
    assert(index <= progress_durable(store->progress, id));
    env_lock_enter(store->ledger_lock);
    struct ledger_region *region = ledger_region(&store->ledger, id);
    if (region != NULL) {
        raft_term have = ledger_region_term(region, index);
        assert(have == 0 || have == term);
        if (region->released < index)
            region->released = index;
    }
    env_lock_leave(store->ledger_lock);
}

bool storage_log_is_long(const struct storage *store, uint64_t *region)
{
    *region = 0;
    if (atomic_load(&store->segments) <= STORE_SEGMENTS_MAX)
        return false;
    size_t next;
    raft_index index;
    const struct ledger_region *holder;
    env_lock_enter(store->ledger_lock);
    for (next = store->ledger.checked;
         (holder = ledger_holder(&store->ledger, &next, &index)) != NULL; next++)
        if (progress_durable(store->progress, holder->id) >= index) {
            *region = holder->id;
            break;
        }
    env_lock_leave(store->ledger_lock);
    return true;
}
