/* What the groups promise, on its way to the disk.
 *
 *   STORE_APPEND of a region -> appends [7][12][7] ...          in order
 *                                  | as many as fit
 *                               open batch                       LOG lane idle?
 *                                  v                                v
 *                               one write, one sync  ->  replies: own copy counts, acks and votes leave (trap D30)
 *
 * 1. While one batch syncs the next one gathers: at most one is unsynced.
 * 2. A commit index alone is no promise: it rides with the region's next record.
 * 3. Replies without anything to write wait for what the region has written before them, and for nothing else. */
#include "region_int.h"

#include <assert.h>
#include <stdlib.h>

#include "base/codec.h"
#include "base/container.h"

enum {
    RECORD_OVERHEAD = 64, /* around the entries of one record */
    ENTRY_OVERHEAD = 16,  /* around an entry's bytes */
    LOCAL_OVERHEAD = 64,  /* a local record, generously */
    CLOCK_BYTES = 8,
};
#define RETRY_NS UINT64_C(100000000) /* no room for a segment */

/* ---- Appends ------------------------------------------------------------------------------ */

static struct region_append *append_new(struct region *r)
{
    struct region_store *rs = r->rs;
    struct region_append *a;
    if (!list_empty(&rs->spare_appends))
        a = container_of(list_pop_front(&rs->spare_appends), struct region_append, node);
    else if ((a = calloc(1, sizeof *a)) == NULL)
        abort(); /* small; as many as Readys wait */
    list_init(&a->node);
    a->region = r;
    a->count = a->done = a->reply_count = 0;
    return a;
}

static void *room(void *array, uint32_t *cap, uint32_t count, size_t size)
{
    if (count <= *cap)
        return array;
    while (*cap < count)
        *cap = *cap == 0 ? 8 : *cap * 2;
    array = realloc(array, *cap * size);
    if (array == NULL)
        abort(); /* pointers and messages: small beside what they speak of */
    return array;
}

static void deliver(struct region *r, const struct raft_msg *m)
{
    if (m->to == r->peer) {
        (void)!raft_step(r->raft, m);
        region_touch(r);
    } else {
        region_send(r, m);
    }
}

static struct region_reply *reply_new(struct region_batch *b)
{
    if (b->reply_count == b->reply_cap) {
        b->reply_cap = b->reply_cap == 0 ? 16 : b->reply_cap * 2;
        b->replies = realloc(b->replies, b->reply_cap * sizeof *b->replies);
        if (b->replies == NULL)
            abort(); /* messages of one turn */
    }
    return &b->replies[b->reply_count++];
}

/* The batch that is being synced; NULL: none. */
static struct region_batch *running(struct region_store *rs)
{
    return !rs->logging ? NULL : rs->open == &rs->batches[0] ? &rs->batches[1] : &rs->batches[0];
}

static bool waits_in_queue(const struct region *r)
{
    list_for_each(node, &r->rs->appends)
        if (container_of(node, struct region_append, node)->region == r)
            return true;
    return false;
}

/* Nothing to write: the replies leave behind what the region has under way. */
static bool reply_early(struct region *r, const struct raft_msg *m)
{
    struct region_batch *b = running(r->rs);
    if (r->writing > 0 && (b == NULL || waits_in_queue(r)))
        return false;
    for (uint32_t i = 0; i < m->nresp; i++)
        if (r->writing == 0)
            deliver(r, &m->resp[i]);
        else
            *reply_new(b) = (struct region_reply){ .region = r, .msg = m->resp[i] };
    return true;
}

void region_log_take(struct region *r, const struct raft_msg *m)
{
    assert(m->snap == NULL); /* nobody sends one yet */
    bool promise = r->hs.term != r->saved.term || r->hs.vote != r->saved.vote;
    if (m->nents == 0 && !promise && reply_early(r, m))
        return;
    struct region_append *a = append_new(r);
    a->hs = r->hs;
    a->write = m->nents > 0 || promise;
    a->entries = room(a->entries, &a->cap, m->nents, sizeof *a->entries);
    for (; a->count < m->nents; a->count++) {
        struct region_entry *entry = region_entries_get(&r->entries, m->first + a->count);
        assert(entry != NULL); /* not durable yet, so still here */
        a->entries[a->count] = region_entry_ref(entry);
    }
    a->replies = room(a->replies, &a->reply_cap, m->nresp, sizeof *a->replies);
    if (m->nresp > 0)
        memcpy(a->replies, m->resp, m->nresp * sizeof *a->replies);
    a->reply_count = m->nresp;
    r->saved = r->hs;
    r->writing++;
    list_push_back(&r->rs->appends, &a->node);
}

/* ---- Batches ------------------------------------------------------------------------------ */

static void hold(struct region_batch *b, struct region_entry *entry)
{
    if (b->held_count == b->held_cap) {
        b->held_cap = b->held_cap == 0 ? 16 : b->held_cap * 2;
        b->held = realloc(b->held, b->held_cap * sizeof(void *));
        if (b->held == NULL)
            abort(); /* pointers alone */
    }
    b->held[b->held_count++] = entry;
}

static struct raft_ent *scratch(struct region_store *rs, size_t n)
{
    if (n > rs->ents_cap) {
        rs->ents = realloc(rs->ents, n * sizeof *rs->ents);
        if (rs->ents == NULL)
            abort(); /* a place a message's entry */
        rs->ents_cap = n;
    }
    return rs->ents;
}

/* Puts as much of the append into the batch as fits. False: something is left. */
static bool put(struct region_batch *b, struct region_append *a)
{
    struct region_store *rs = b->rs;
    size_t max = storage_records_max(rs->store) - LOCAL_OVERHEAD;
    size_t bytes = storage_records_bytes(b->records) + RECORD_OVERHEAD;
    struct raft_ent *ents = scratch(rs, a->count - a->done);
    uint32_t n = 0;
    if (!a->write)
        return true;
    if (bytes > max)
        return false;
    for (; a->done + n < a->count; n++) {
        ents[n] = region_entry_ent(a->entries[a->done + n]);
        bytes += ENTRY_OVERHEAD + ents[n].len;
        if (bytes > max)
            break;
    }
    if (n == 0 && a->done < a->count) {
        assert(!storage_records_empty(b->records)); /* one entry fits an empty batch */
        return false;
    }
    err_t rc = storage_records_append(b->records, a->region->meta.id, a->hs, ents, n);
    assert(rc == ERR_OK); /* the sizes are the storage's own */
    (void)rc;
    for (uint32_t i = 0; i < n; i++)
        hold(b, a->entries[a->done + i]); /* with its reference */
    a->done += n;
    return a->done == a->count;
}

static void fill(struct region_batch *b)
{
    struct region_store *rs = b->rs;
    while (!list_empty(&rs->appends)) {
        struct region_append *a = container_of(rs->appends.next, struct region_append, node);
        if (!put(b, a))
            return;
        for (uint32_t i = 0; i < a->reply_count; i++)
            *reply_new(b) = (struct region_reply){ .region = a->region, .msg = a->replies[i] };
        *reply_new(b) = (struct region_reply){ .region = a->region, .durable = true };
        list_remove(&a->node);
        list_push_back(&rs->spare_appends, &a->node);
    }
}

static void add_bound(struct region_batch *b)
{
    struct region_store *rs = b->rs;
    uint8_t bound[CLOCK_BYTES];
    if (rs->bound_owed == 0)
        return;
    store_u64(bound, rs->bound_owed);
    err_t rc =
        storage_records_local(b->records, STORAGE_LOCAL_HLC, bytes_from(bound, sizeof bound));
    assert(rc == ERR_OK); /* its room was kept */
    (void)rc;
    rs->bound_owed = 0;
}

static void batch_reset(struct region_batch *b)
{
    storage_records_reset(b->records);
    for (size_t i = 0; i < b->held_count; i++)
        region_entry_unref(b->held[i]);
    b->held_count = b->reply_count = 0;
}

/* The batch is durable. */
static void batch_done(struct region_batch *b)
{
    for (size_t i = 0; i < b->reply_count; i++) {
        struct region_reply reply = b->replies[i];
        if (reply.durable) {
            assert(reply.region->writing > 0);
            reply.region->writing--;
        } else {
            deliver(reply.region, &reply.msg);
        }
    }
    batch_reset(b);
}

static void log_run(struct env_job *job)
{
    struct region_batch *b = container_of(job, struct region_batch, job);
    b->began = env_now(b->rs->env);
    b->rc = storage_sync(b->rs->store, b->records, &b->error);
    b->ended = env_now(b->rs->env);
}

static void log_done(struct env_job *job)
{
    struct region_batch *b = container_of(job, struct region_batch, job);
    struct region_store *rs = b->rs;
    rs->stats.sync_began = 0;
    if (b->rc == ERR_DISK_FULL && !rs->closing && !rs->stats.latched) {
        rs->no_segment = rs->stats.disk_full =
            true; /* nothing was written: again, when there is room */
        env_timer_start(rs->env, &rs->log_retry, RETRY_NS);
        return;
    }
    rs->logging = false;
    if (b->rc != ERR_OK) {
        region_fail(rs, b->rc, &b->error);
        return;
    }
    histogram_add(&rs->stats.sync_us, (b->ended - b->began) / 1000);
    if (rs->stats.latched)
        return;
    batch_done(b);
    if (rs->closing)
        region_store_work(rs);
}

static void submit(struct region_store *rs, struct region_batch *b)
{
    rs->logging = true;
    rs->stats.sync_began = env_now(rs->env);
    b->error = (struct err){ 0 };
    env_work(rs->log_lane, &b->job);
}

static void retry_fire(struct env_timer *timer)
{
    struct region_store *rs = container_of(timer, struct region_store, log_retry);
    submit(rs, running(rs));
}

void region_log_pump(struct region_store *rs)
{
    struct region_batch *b = rs->open;
    if (rs->stats.latched || rs->logging || rs->log_lane == NULL)
        return;
    fill(b);
    add_bound(b);
    if (storage_records_empty(b->records)) {
        if (b->reply_count > 0)
            batch_done(b); /* what they waited for is durable */
        return;
    }
    rs->open = b == &rs->batches[0] ? &rs->batches[1] : &rs->batches[0];
    submit(rs, b);
}

/* ---- Opening and closing ------------------------------------------------------------------ */

void region_log_open(struct region_store *rs)
{
    for (unsigned i = 0; i < 2; i++) {
        struct region_batch *b = &rs->batches[i];
        b->rs = rs;
        b->records = storage_records_new(rs->store);
        b->job = (struct env_job){ .run = log_run, .done = log_done };
    }
    rs->open = &rs->batches[0];
    rs->log_retry.fire = retry_fire;
    rs->entry_max = storage_entry_max(rs->store) - LOCAL_OVERHEAD;
}

void region_log_last(struct region_store *rs, bool clean)
{
    struct region_batch *b = rs->open;
    struct err e = { 0 };
    uint8_t value[CLOCK_BYTES];
    if (!clean || rs->stats.latched)
        return;
    store_u64(value, hlc_physical(hlc_last(&rs->clock)));
    fill(b); /* votes that nobody will hear of: they may be written all the same */
    err_t rc =
        storage_records_local(b->records, STORAGE_LOCAL_HLC, bytes_from(value, sizeof value));
    if (rc == ERR_OK)
        rc = storage_sync(rs->store, b->records, &e);
    if (rc != ERR_OK)
        logger_error(rs->log, "could not save the clock at the end", logger_err(&e));
}

static void append_free(struct region_append *a, uint32_t held)
{
    for (uint32_t i = held; i < a->count; i++)
        region_entry_unref(a->entries[i]);
    free(a->entries);
    free(a->replies);
    free(a);
}

void region_log_close(struct region_store *rs)
{
    while (!list_empty(&rs->appends)) {
        struct region_append *a =
            container_of(list_pop_front(&rs->appends), struct region_append, node);
        append_free(a, a->done);
    }
    while (!list_empty(&rs->spare_appends)) {
        struct region_append *a =
            container_of(list_pop_front(&rs->spare_appends), struct region_append, node);
        append_free(a, a->count);
    }
    for (unsigned i = 0; i < 2; i++) {
        struct region_batch *b = &rs->batches[i];
        batch_reset(b);
        storage_records_free(b->records);
        free(b->held);
        free(b->replies);
    }
    list_for_each(node, &rs->regions)
        container_of(node, struct region, node)->writing = 0;
    free(rs->ents);
}
