/* What a start reads: the log, from its oldest segment to its end, compared with what the engine holds.
 *
 *   region's log        base + 1 ......... last         by APPEND, CUT, SNAP, GONE, through the ledger
 *   engine                        ^ applied
 *
 *   applied > last              AMNESIA: the end of the log is lost, and with it promises
 *   applied < base              DATA_LOSS: replace this replica (but not while a snapshot is being installed)
 *   another entry at `applied`  DATA_LOSS: replace this replica
 *   a hole, or no beginning     DATA_LOSS with segment and offset
 *   batch below WATERMARK       AMNESIA
 *
 * A region that the engine does not know is kept: a child, or a peer that waits for its first snapshot. One
 * that is gone is judged by whoever removes its remainders. What is committed is not for the log to say:
 * consensus applies, and only a store that is alone does so here. */
#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "store_int.h"

struct opening {
    struct storage *store;
    struct raft_run *runs; /* scratch: of one record */
    uint32_t run_count, run_cap;
    uint64_t clean; /* the number of the batch with the newest clean mark */
};

static err_t add_run(struct opening *opening, uint32_t at, const struct raft_ent *ent)
{
    bool conf = ent->type == RAFT_ENT_CONF;
    struct raft_run *last = at > 1 ? &opening->runs[opening->run_count - 1] : NULL;
    if (last != NULL && last->term == ent->term && last->conf == conf) {
        last->last = at;
        return ERR_OK;
    }
    if (opening->run_count == opening->run_cap) {
        uint32_t cap = opening->run_cap == 0 ? 16 : opening->run_cap * 2;
        struct raft_run *runs = realloc(opening->runs, cap * sizeof runs[0]);
        if (runs == NULL)
            return ERR_NOMEM;
        opening->runs = runs;
        opening->run_cap = cap;
    }
    opening->runs[opening->run_count++] =
        (struct raft_run){ .last = at, .term = ent->term, .conf = conf };
    return ERR_OK;
}

static err_t found_append(struct opening *opening, const struct wal_place *place,
                          const struct wal_record *record, struct err *e)
{
    struct ledger *ledger = &opening->store->ledger;
    struct bytes rest = record->append.entries;
    struct raft_ent ent;
    err_t rc = ERR_OK;
    opening->run_count = 0;
    for (uint32_t at = 1; rc == ERR_OK && wal_format_take_entry(&rest, &ent); at++)
        rc = add_run(opening, at, &ent);
    const uint8_t *begin = record->append.entries.data - WAL_APPEND_HEADER - WAL_RECORD_HEADER;
    struct ledger_entries entries = { .first = record->append.first,
                                      .count = record->append.count,
                                      .runs = opening->runs,
                                      .run_count = opening->run_count,
                                      .offset = place->offset,
                                      .at = (uint32_t)(begin - place->batch.data) };
    if (rc == ERR_OK)
        rc = ledger_append(ledger, record->region, record->append.hs, &entries);
    if (rc == ERR_CORRUPTION)
        return err_set(e, ERR_DATA_LOSS,
                       "the log has entries of region %" PRIu64 " from %" PRIu64
                       " on whose terms go back: segment %016" PRIx64 ", offset %" PRIu64,
                       record->region, record->append.first, place->segment, place->offset);
    if (rc != ERR_DATA_LOSS)
        return rc;
    const struct ledger_region *region = ledger_region(ledger, record->region);
    return err_set(e, rc,
                   "entries of region %" PRIu64 " are missing in the log: it has %" PRIu64
                   " to %" PRIu64 ", and goes on with %" PRIu64 " in segment %016" PRIx64
                   ", offset %" PRIu64,
                   record->region, region->base + 1, region->last, record->append.first,
                   place->segment, place->offset);
}

static err_t found_local(struct opening *opening, const struct wal_place *place,
                         const struct wal_record *record, struct err *e)
{
    if (record->local.kind >= LEDGER_LOCALS)
        return err_set(e, ERR_UPGRADE_REQUIRED,
                       "the log carries a local record of a later version");
    if (record->local.kind == STORAGE_LOCAL_CLEAN)
        opening->clean = place->number;
    return ledger_local(&opening->store->ledger, record->local.kind, record->local.value);
}

static err_t found_record(void *user, const struct wal_place *place,
                          const struct wal_record *record, struct err *e)
{
    struct opening *opening = user;
    struct ledger *ledger = &opening->store->ledger;
    err_t rc;
    ledger_segment(ledger, place->segment);
    switch (record->kind) {
    case WAL_APPEND:
        rc = found_append(opening, place, record, e);
        break;
    case WAL_CUT:
        rc = ledger_cut(ledger, record->region, record->cut.index, record->cut.term);
        break;
    case WAL_SNAP:
    case WAL_SNAP_AGAIN:
        rc = ledger_snap(ledger, record->region, record->kind == WAL_SNAP_AGAIN, record->snap.index,
                         record->snap.term, record->snap.conf, record->snap.files);
        break;
    case WAL_GONE:
        rc = ledger_gone(ledger, record->region, record->gone.peer, record->gone.conf_ver,
                         record->gone.version);
        break;
    case WAL_GONE_AGAIN:
        rc = ledger_gone_again(ledger, record->region, record->gone.peer, record->gone.conf_ver,
                               record->gone.version);
        break;
    default:
        rc = found_local(opening, place, record, e);
    }
    return rc == ERR_NOMEM ? err_set(e, rc, "no memory for what is in the log") : rc;
}

/* ---- Is it whole? ---------------------------------------------------------------------------- */

static err_t check_batches(struct storage *store, const struct opening *opening, struct err *e)
{
    uint64_t number = wal_number(store->wal), mark = 0;
    bool clean = number != 0 && opening->clean == number;
    if (store->watermark != NULL)
        mark = watermark_batch(store->watermark);
    else if (!clean)
        return err_set(
            e, ERR_AMNESIA,
            "WATERMARK is missing or broken, and the log does not end with a clean stop: nobody knows "
            "whether the log is whole. Replace this replica, or restore the store");
    if (number < mark)
        return err_set(e, ERR_AMNESIA,
                       "the log ends at batch %" PRIu64 ", but batch %" PRIu64
                       " was synced: its end is lost. "
                       "Replace this replica, or restore the store",
                       number, mark);
    return ERR_OK;
}

static err_t check_hole(const struct ledger_region *region, struct err *e)
{
    const struct ledger_place *first = region != NULL ? region->places : NULL;
    if (first != NULL && first->first > region->base + 1)
        return err_set(e, ERR_DATA_LOSS,
                       "entries %" PRIu64 " to %" PRIu64 " of region %" PRIu64
                       " are missing before segment %016" PRIx64 ", offset %" PRIu64
                       ", and nothing says that they were given up. Replace this replica",
                       region->base + 1, first->first - 1, region->id, first->segment,
                       (uint64_t)first->block * WAL_BLOCK);
    return ERR_OK;
}

static err_t check_region(void *user, struct storage *store, uint64_t id, struct err *e)
{
    (void)user;
    struct store_shown shown;
    store_group(store, id, &shown);
    const struct storage_group *group = &shown.group;
    const struct ledger_region *region = ledger_region(&store->ledger, id);
    err_t rc = check_hole(region, e);
    if (rc != ERR_OK || group->gone != NULL)
        return rc;
    if (group->applied > group->last)
        return err_set(e, ERR_AMNESIA,
                       "the log of region %" PRIu64 " ends at index %" PRIu64 ", but index %" PRIu64
                       " was applied: its end is lost. "
                       "Replace this replica, or restore the store",
                       group->region, group->last, group->applied);
    if (region != NULL && group->applied >= region->base &&
        ledger_region_term(region, group->applied) != group->applied_term)
        return err_set(e, ERR_DATA_LOSS,
                       "the log of region %" PRIu64 " has another entry at index %" PRIu64
                       " than the one that was applied: its terms are %" PRIu64 " and %" PRIu64
                       ". Replace this replica",
                       group->region, group->applied, ledger_region_term(region, group->applied),
                       group->applied_term);
    bool waits = group->snap != NULL && !(store->config.alone && group->region == STORE_REGION);
    if (group->applied < group->base && !waits)
        return err_set(e, ERR_DATA_LOSS,
                       "the log of region %" PRIu64 " begins at index %" PRIu64
                       ", but the engine needs it from %" PRIu64 " on: replace this replica",
                       group->region, group->base + 1, group->applied + 1);
    return ERR_OK;
}

/* ---- Alone ----------------------------------------------------------------------------------- */

enum { AGAIN_ENTRIES = 256, AGAIN_BYTES = 1 << 20 }; /* of one engine batch */

static err_t apply_some(struct storage *store, struct storage_apply *apply,
                        const struct raft_ent *ents, uint32_t n, struct err *e)
{
    err_t rc = ERR_OK;
    uint32_t slot;
    for (uint32_t i = 0; i < n && rc == ERR_OK; i++)
        rc = storage_apply_entry(apply, STORE_REGION, &ents[i], STORE_VERSION, &slot);
    if (rc != ERR_OK)
        return err_set(e, rc, "no memory to apply the log again");
    rc = store_apply_unlatched(store, apply, e);
    storage_apply_reset(apply); /* whoever waited for the results is gone */
    return rc;
}

static err_t apply_again(struct storage *store, struct err *e)
{
    const struct ledger_region *region = ledger_region(&store->ledger, STORE_REGION);
    struct storage_apply *apply = storage_apply_new(store);
    struct buf bytes = { 0 };
    struct layout_apply_state applied;
    err_t rc = ERR_OK;
    progress_applied(store->progress, STORE_REGION, &applied);
    while (rc == ERR_OK && region != NULL && applied.index < region->last) {
        struct raft_ent ents[AGAIN_ENTRIES];
        uint32_t n = 0;
        buf_clear(&bytes);
        rc = storage_entries(store, STORE_REGION, applied.index + 1, region->last + 1, AGAIN_BYTES,
                             AGAIN_ENTRIES, &bytes, ents, &n, e);
        if (rc == ERR_OK)
            rc = apply_some(store, apply, ents, n, e);
        applied.index += n;
        store->replayed += n;
    }
    buf_free(&bytes);
    storage_apply_free(apply);
    return rc;
}

/* ---- The whole ------------------------------------------------------------------------------- */

static err_t renew_watermark(struct storage *store, const char *path, struct err *e)
{
    err_t rc = ERR_OK;
    if (store->watermark == NULL) {
        rc = watermark_create(store->env, path, store->ident.incarnation, e);
        if (rc == ERR_OK)
            rc = env_dir_sync(store->env, store->path, e);
        if (rc == ERR_OK)
            rc = watermark_open(store->env, path, store->ident.incarnation, &store->watermark, e);
    }
    return rc == ERR_OK ? watermark_write(store->watermark, wal_number(store->wal), e) : rc;
}

static err_t take_locals(struct storage *store, const struct opening *opening, struct err *e)
{
    err_t rc = ERR_OK;
    for (unsigned kind = 0; kind < LEDGER_LOCALS && rc == ERR_OK; kind++)
        if (kind != STORAGE_LOCAL_CLEAN || opening->clean == wal_number(store->wal))
            rc = buf_append(&store->locals[kind], buf_bytes(&store->ledger.locals[kind].value));
    if (rc != ERR_OK)
        return err_set(e, rc, "no memory for local records");
    struct bytes window = buf_bytes(&store->locals[STORAGE_LOCAL_TSO]);
    if (window.len == sizeof store->tso_floor) /* else whoever wrote it knows better */
        store->tso_floor = load_u64(window.data);
    return ERR_OK;
}

static err_t read_log(struct storage *store, struct opening *opening, struct err *e)
{
    struct wal_config config =
        store_wal_config(&store->config, store->wal_path, store->ident.incarnation);
    store->ledger.replaying = true;
    err_t rc = wal_open(store->env, &config, found_record, opening, &store->wal, e);
    store->ledger.replaying = false;
    if (rc == ERR_OK)
        rc = check_batches(store, opening, e);
    if (rc == ERR_OK)
        rc = store_each_region(store, check_region, NULL, e);
    if (rc == ERR_OK)
        ledger_segment(&store->ledger, wal_segment(store->wal));
    return rc;
}

err_t store_boot(struct storage *store, struct err *e)
{
    char *mark = store_join(store->path, "WATERMARK");
    struct opening opening = { .store = store };
    err_t rc = watermark_open(store->env, mark, store->ident.incarnation, &store->watermark, e);
    if (rc == ERR_OK || rc == ERR_NOT_FOUND)
        rc = read_log(store, &opening, e);
    if (rc == ERR_OK && store->config.alone)
        rc = apply_again(store, e);
    if (rc == ERR_OK)
        rc = renew_watermark(store, mark, e);
    if (rc == ERR_OK)
        rc = take_locals(store, &opening, e);
    free(opening.runs);
    free(mark);
    if (rc != ERR_OK)
        return rc;
    struct layout_apply_state applied;
    progress_applied(store->progress, STORE_REGION, &applied);
    atomic_store(&store->stamp, applied.hlc);
    atomic_store(&store->commands, 0); /* since open */
    atomic_store(&store->user_bytes, 0);
    atomic_store(&store->segments, wal_segment(store->wal) - wal_oldest(store->wal) + 1);
    store->watermark_at = env_now(store->env);
    return ERR_OK;
}
