/* Records on their way into the log: a turn's batch is built on the loop, written and synced in the LOG lane.
 *
 *   batch    | APPEND(7, hs, 41..43) | APPEND(12, hs) | LOCAL(HLC) |      bytes, as they will lie in the log
 *   notes      7: 41..43, at byte 24   12: hs           HLC        what the ledger learns when they are durable */
#include <assert.h>
#include <stdlib.h>

#include "store_int.h"

struct note {
    enum wal_kind kind;
    uint64_t region;
    union {
        struct {
            struct raft_hs hs;
            raft_index first;
            uint32_t count, at, run, run_count;
        } append;
        struct {
            raft_index index;
            raft_term term;
            struct bytes conf, files; /* SNAP */
        } snap;                       /* and CUT */
        struct storage_gone gone;
        struct {
            enum storage_local kind;
            size_t offset, len; /* in `values` */
        } local;
    };
};

struct storage_records {
    struct storage *store;
    struct wal_batch batch;
    struct note *notes;
    uint32_t count, cap;
    struct raft_run *runs; /* of all appends; `last` counts from the record's first entry */
    uint32_t run_count, run_cap;
    struct buf values;
};

struct storage_records *storage_records_new(struct storage *store)
{
    struct storage_records *records = calloc(1, sizeof *records);
    if (records == NULL)
        abort(); /* small and fixed */
    records->store = store;
    wal_batch_reset(&records->batch);
    return records;
}

void storage_records_free(struct storage_records *records)
{
    if (records == NULL)
        return;
    wal_batch_free(&records->batch);
    buf_free(&records->values);
    free(records->notes);
    free(records->runs);
    free(records);
}

void storage_records_reset(struct storage_records *records)
{
    wal_batch_reset(&records->batch);
    buf_clear(&records->values);
    records->count = records->run_count = 0;
}

bool storage_records_empty(const struct storage_records *records)
{
    return records->count == 0;
}

size_t storage_records_bytes(const struct storage_records *records)
{
    return records->count == 0 ? 0 : records->batch.length;
}

size_t storage_records_max(const struct storage *store)
{
    return wal_capacity(store->wal);
}

size_t storage_entry_max(const struct storage *store)
{
    size_t around = WAL_BATCH_HEADER + WAL_RECORD_HEADER + WAL_APPEND_HEADER + WAL_ENTRY_HEADER;
    size_t fits = storage_records_max(store) - around;
    return fits < COMMAND_ENTRY_MAX ? fits : COMMAND_ENTRY_MAX;
}

/* ---- Gathering ------------------------------------------------------------------------------- */

/* The next note, for a record of `bytes`. */
static err_t note_new(struct storage_records *records, enum wal_kind kind, uint64_t region,
                      size_t bytes, struct note **ret)
{
    if (records->batch.rc != ERR_OK)
        return records->batch.rc;
    if (bytes > storage_records_max(records->store) - records->batch.length)
        return ERR_TOO_LARGE;
    if (records->count == records->cap) {
        uint32_t cap = records->cap == 0 ? 64 : records->cap * 2;
        struct note *notes = realloc(records->notes, cap * sizeof notes[0]);
        if (notes == NULL)
            return ERR_NOMEM;
        records->notes = notes;
        records->cap = cap;
    }
    *ret = &records->notes[records->count++];
    **ret = (struct note){ .kind = kind, .region = region };
    return ERR_OK;
}

/* What was built may have found no memory. */
static err_t built(const struct storage_records *records)
{
    return records->batch.rc;
}

static err_t add_runs(struct storage_records *records, struct note *note,
                      const struct raft_ent *ents, uint32_t n)
{
    note->append.run = records->run_count;
    for (uint32_t i = 0; i < n; i++) {
        assert(ents[i].index == ents[0].index + i);
        bool conf = ents[i].type == RAFT_ENT_CONF;
        struct raft_run *before = i > 0 ? &records->runs[records->run_count - 1] : NULL;
        if (before != NULL && before->term == ents[i].term && before->conf == conf) {
            before->last = i + 1;
            continue;
        }
        if (records->run_count == records->run_cap) {
            uint32_t cap = records->run_cap == 0 ? 64 : records->run_cap * 2;
            struct raft_run *runs = realloc(records->runs, cap * sizeof runs[0]);
            if (runs == NULL)
                return ERR_NOMEM;
            records->runs = runs;
            records->run_cap = cap;
        }
        records->runs[records->run_count++] =
            (struct raft_run){ .last = i + 1, .term = ents[i].term, .conf = conf };
    }
    note->append.run_count = records->run_count - note->append.run;
    return ERR_OK;
}

err_t storage_records_append(struct storage_records *records, uint64_t region, struct raft_hs hs,
                             const struct raft_ent *ents, uint32_t n)
{
    struct note *note;
    size_t bytes = WAL_RECORD_HEADER + WAL_APPEND_HEADER + (size_t)n * WAL_ENTRY_HEADER;
    for (uint32_t i = 0; i < n; i++)
        bytes += ents[i].len;
    err_t rc = note_new(records, WAL_APPEND, region, bytes, &note);
    if (rc != ERR_OK)
        return rc;
    note->append.hs = hs;
    note->append.first = n > 0 ? ents[0].index : 0;
    note->append.count = n;
    note->append.at = (uint32_t)records->batch.length;
    rc = add_runs(records, note, ents, n);
    if (rc != ERR_OK)
        return records->batch.rc = rc;
    wal_batch_append(&records->batch, region, hs, note->append.first, ents, n);
    return built(records);
}

err_t storage_records_snap(struct storage_records *records, uint64_t region, raft_index index,
                           raft_term term, struct bytes conf, struct bytes files)
{
    struct note *note;
    err_t rc =
        note_new(records, WAL_SNAP, region, WAL_RECORD_HEADER + 32 + conf.len + files.len, &note);
    if (rc != ERR_OK)
        return rc;
    note->snap.index = index;
    note->snap.term = term;
    note->snap.conf = conf;
    note->snap.files = files;
    wal_batch_snap(&records->batch, region, index, term, conf, files);
    return built(records);
}

err_t storage_records_cut(struct storage_records *records, uint64_t region, raft_index index,
                          raft_term term)
{
    struct note *note;
    assert(index <= storage_durable(records->store, region));
    err_t rc = note_new(records, WAL_CUT, region, WAL_RECORD_HEADER + 24, &note);
    if (rc != ERR_OK)
        return rc;
    note->snap.index = index;
    note->snap.term = term;
    wal_batch_cut(&records->batch, region, index, term);
    return built(records);
}

err_t storage_records_gone(struct storage_records *records, uint64_t region, uint64_t peer,
                           uint64_t conf_ver, uint64_t version)
{
    struct note *note;
    err_t rc = note_new(records, WAL_GONE, region, WAL_RECORD_HEADER + 32, &note);
    if (rc != ERR_OK)
        return rc;
    note->gone = (struct storage_gone){ peer, conf_ver, version };
    wal_batch_gone(&records->batch, region, peer, conf_ver, version);
    return built(records);
}

err_t storage_records_local(struct storage_records *records, enum storage_local kind,
                            struct bytes value)
{
    struct note *note;
    assert((unsigned)kind < LEDGER_LOCALS && value.len <= STORAGE_LOCAL_MAX);
    err_t rc = note_new(records, WAL_LOCAL, 0, WAL_RECORD_HEADER + 8 + value.len, &note);
    if (rc != ERR_OK)
        return rc;
    note->local.kind = kind;
    note->local.offset = records->values.len;
    note->local.len = value.len;
    rc = buf_append(&records->values, value);
    if (rc != ERR_OK)
        return records->batch.rc = rc;
    wal_batch_local(&records->batch, kind, value); /* so small a value is copied */
    return built(records);
}

/* ---- Syncing --------------------------------------------------------------------------------- */

static unsigned bucket_of(uint64_t ns)
{
    unsigned bucket = 0;
    for (uint64_t edge = 1000; bucket + 1 < STORE_BUCKETS && ns >= edge; bucket++)
        edge = bucket % 2 == 0 ? edge + edge / 2 : edge / 3 * 4; /* 1, 1.5, 2, 3, 4, 6 ... us */
    return bucket;
}

uint64_t store_histogram_quantile(const struct store_histogram *histogram, unsigned percent)
{
    uint64_t total = 0, seen = 0;
    for (unsigned i = 0; i < STORE_BUCKETS; i++)
        total += histogram->now[i] + histogram->before[i];
    uint64_t edge = 1000;
    for (unsigned i = 0; i < STORE_BUCKETS && total > 0; i++) {
        seen += histogram->now[i] + histogram->before[i];
        if (seen * 100 >= total * percent)
            return edge;
        edge = i % 2 == 0 ? edge + edge / 2 : edge / 3 * 4;
    }
    return 0;
}

static void count_sync(struct storage *store, uint64_t began, uint64_t ended)
{
    env_lock_enter(store->stats_lock);
    struct store_histogram *histogram = &store->syncs_ns;
    if (ended - histogram->since > 30000000000u) {
        memcpy(histogram->before, histogram->now, sizeof histogram->now);
        memset(histogram->now, 0, sizeof histogram->now);
        histogram->since = ended;
    }
    histogram->now[bucket_of(ended - began)]++;
    env_lock_leave(store->stats_lock);
}

err_t store_write_batch(struct storage *store, struct wal_batch *batch, struct err *e)
{
    uint64_t number, began = env_now(store->env);
    err_t rc = wal_write(store->wal, batch, &number, e);
    if (rc != ERR_OK)
        return wal_broken(store->wal) ? store_latch(store, rc, e) : rc;
    count_sync(store, began, env_now(store->env));
    atomic_fetch_add_explicit(&store->batches, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&store->syncs, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&store->wal_bytes, wal_batch_bytes(batch), memory_order_relaxed);
    atomic_store_explicit(&store->segments, wal_segment(store->wal) - wal_oldest(store->wal) + 1,
                          memory_order_relaxed);
    env_lock_enter(store->ledger_lock);
    ledger_segment(&store->ledger, wal_segment(store->wal));
    env_lock_leave(store->ledger_lock);
    return ERR_OK;
}

/* The record is durable. */
static err_t enter_note(struct storage *store, const struct storage_records *records,
                        const struct note *note)
{
    struct ledger *ledger = &store->ledger;
    switch (note->kind) {
    case WAL_APPEND: {
        struct ledger_entries entries = { .first = note->append.first,
                                          .count = note->append.count,
                                          .runs = records->runs + note->append.run,
                                          .run_count = note->append.run_count,
                                          .offset = wal_offset(store->wal),
                                          .at = note->append.at };
        return ledger_append(ledger, note->region, note->append.hs, &entries);
    }
    case WAL_CUT:
        return ledger_cut(ledger, note->region, note->snap.index, note->snap.term);
    case WAL_SNAP:
        return ledger_snap(ledger, note->region, false, note->snap.index, note->snap.term,
                           note->snap.conf, note->snap.files);
    case WAL_GONE:
        return ledger_gone(ledger, note->region, note->gone.peer, note->gone.conf_ver,
                           note->gone.version);
    default:
        return ledger_local(ledger, note->local.kind,
                            bytes_from(records->values.data + note->local.offset, note->local.len));
    }
}

err_t store_sync(struct storage *store, struct storage_records *records, struct err *e)
{
    assert(records->store == store && records->count > 0);
    err_t rc = storage_latched(store, e);
    if (rc == ERR_OK)
        rc = store_write_batch(store, &records->batch, e);
    if (rc != ERR_OK)
        return rc;
    env_lock_enter(store->ledger_lock);
    for (uint32_t i = 0; i < records->count && rc == ERR_OK; i++)
        rc = enter_note(store, records, &records->notes[i]);
    env_lock_leave(store->ledger_lock);
    assert(rc == ERR_OK || rc == ERR_NOMEM); /* they follow, and terms grow: see log.h */
    if (rc != ERR_OK)
        return store_latch(store, err_set(e, rc, "no memory for what is in the log"), e);
    /* Where nobody calls storage_tend() the writers do its work. */
    if (env_now(store->env) - store->watermark_at >= STORE_WATERMARK_NS)
        return store_tend_log(store, e);
    return ERR_OK;
}

err_t storage_sync(struct storage *store, struct storage_records *records, struct err *e)
{
    store_stage_enter(&store->log);
    err_t rc = store_sync(store, records, e);
    store_stage_leave(&store->log);
    return rc;
}
