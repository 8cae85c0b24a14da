/* The halves of a write: a turn is gathered, appended and synced, applied.
 *
 *   entry     | entry header | command header | body | command header | body | ...      command.h
 *   record    APPEND(region 1, hard state, index, entry)  LOCAL ...                      one batch of the log */
#include <assert.h>
#include <stdlib.h>

#include "store_int.h"

enum { TURN_AROUND = WAL_BATCH_HEADER + WAL_RECORD_HEADER + WAL_APPEND_HEADER + WAL_ENTRY_HEADER };

struct storage_turn *storage_turn_new(struct storage *store)
{
    struct storage_turn *turn = calloc(1, sizeof *turn);
    if (turn == NULL)
        abort(); /* small and fixed */
    turn->store = store;
    return turn;
}

void storage_turn_reset(struct storage_turn *turn)
{
    for (uint32_t i = 0; i < turn->count; i++)
        if (turn->slots[i].result.value.data != NULL)
            storage_result_free(&turn->slots[i].result);
    turn->count = turn->local_count = 0;
    turn->bytes = 0;
    turn->index = 0;
    turn->state = TURN_OPEN;
}

void storage_turn_free(struct storage_turn *turn)
{
    if (turn == NULL)
        return;
    storage_turn_reset(turn);
    free(turn->slots);
    free(turn);
}

uint32_t storage_turn_count(const struct storage_turn *turn)
{
    return turn->count;
}

size_t storage_turn_bytes(const struct storage_turn *turn)
{
    return turn->bytes;
}

/* What the entry and the local records together may take: an entry's limit, or what fits into a
 * small segment. */
size_t storage_turn_max(const struct storage *store)
{
    size_t fits = wal_capacity(store->wal) - TURN_AROUND;
    return fits < COMMAND_ENTRY_MAX ? fits : COMMAND_ENTRY_MAX;
}

static size_t turn_max(const struct storage_turn *turn)
{
    return storage_turn_max(turn->store);
}

err_t storage_turn_add(struct storage_turn *turn, const struct command *command, struct bytes body,
                       uint32_t *slot)
{
    assert(turn->state == TURN_OPEN);
    size_t bytes = COMMAND_HEADER + body.len + (turn->count == 0 ? COMMAND_ENTRY_HEADER : 0);
    if (turn->count == COMMAND_COUNT_MAX || bytes > turn_max(turn) - turn->bytes)
        return ERR_TOO_LARGE;
    if (turn->count == turn->cap) {
        uint32_t cap = turn->cap == 0 ? 64 : turn->cap * 2;
        struct store_slot *slots = realloc(turn->slots, cap * sizeof *slots);
        if (slots == NULL)
            return ERR_NOMEM;
        turn->slots = slots;
        turn->cap = cap;
    }
    turn->slots[turn->count] = (struct store_slot){ .command = *command, .body = body };
    turn->bytes += bytes;
    *slot = turn->count++;
    return ERR_OK;
}

err_t storage_turn_add_local(struct storage_turn *turn, enum storage_local kind, struct bytes value)
{
    assert(turn->state == TURN_OPEN && (unsigned)kind < LEDGER_LOCALS);
    size_t bytes = WAL_RECORD_HEADER + 8 + value.len;
    if (turn->local_count == STORE_TURN_LOCALS || bytes > turn_max(turn) - turn->bytes)
        return ERR_TOO_LARGE;
    turn->locals[turn->local_count].kind = kind;
    turn->locals[turn->local_count++].value = value;
    turn->bytes += bytes;
    return ERR_OK;
}

const struct storage_result *storage_turn_result(const struct storage_turn *turn, uint32_t slot)
{
    assert(turn->state == TURN_APPLIED && slot < turn->count);
    return &turn->slots[slot].result;
}

/* ---- Log ------------------------------------------------------------------------------------- */

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

static err_t write_watermark(struct storage *store, struct err *e)
{
    err_t rc = watermark_write(store->watermark, wal_number(store->wal), e);
    if (rc != ERR_OK)
        return store_latch(store, rc, e);
    store->watermark_at = env_now(store->env);
    return ERR_OK;
}

err_t store_write_batch(struct storage *store, struct err *e)
{
    uint64_t number, began = env_now(store->env);
    err_t rc = wal_write(store->wal, &store->batch, &number, e);
    if (rc != ERR_OK)
        return wal_broken(store->wal) ? store_latch(store, rc, e) : rc;
    uint64_t ended = env_now(store->env);
    count_sync(store, began, ended);
    atomic_fetch_add_explicit(&store->batches, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&store->syncs, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&store->wal_bytes, wal_batch_bytes(&store->batch),
                              memory_order_relaxed);
    atomic_store_explicit(&store->segments, wal_segment(store->wal) - wal_oldest(store->wal) + 1,
                          memory_order_relaxed);
    ledger_segment(&store->ledger, wal_segment(store->wal));
    return ERR_OK;
}

/* The turn becomes the store's batch. Small bodies are copied, large ones borrowed. */
static void build_batch(struct storage *store, const struct storage_turn *turn, struct raft_hs hs)
{
    struct wal_batch *batch = &store->batch;
    wal_batch_reset(batch);
    if (turn->count > 0) {
        wal_batch_entry_begin(batch, STORE_REGION, hs, STORE_TERM, turn->index, RAFT_ENT_NORMAL);
        uint8_t *at = wal_batch_room(batch, COMMAND_ENTRY_HEADER);
        if (at != NULL)
            command_put_entry_header(at, (uint16_t)turn->count, turn->hlc);
        for (uint32_t i = 0; i < turn->count; i++) {
            const struct store_slot *slot = &turn->slots[i];
            at = wal_batch_room(batch, COMMAND_HEADER);
            if (at != NULL)
                command_put_header(at, slot->command.kind, (uint32_t)slot->body.len);
            wal_batch_part(batch, slot->body);
        }
        wal_batch_entry_end(batch);
    }
    for (uint32_t i = 0; i < turn->local_count; i++)
        wal_batch_local(batch, turn->locals[i].kind, turn->locals[i].value);
}

static err_t tend_log(struct storage *store, struct err *e);

static err_t append_turn(struct storage *store, struct storage_turn *turn, uint64_t hlc,
                         struct err *e)
{
    err_t rc = storage_latched(store, e);
    if (rc != ERR_OK)
        return rc;
    raft_index last = store->ledger.last;
    struct raft_hs hs = { .term = STORE_TERM, .vote = STORE_VOTE, .commit = last };
    turn->hlc = hlc;
    turn->index = turn->count > 0 ? last + 1 : last;
    build_batch(store, turn, hs);
    rc = store_write_batch(store, e);
    if (rc != ERR_OK)
        return rc;
    if (turn->count > 0) {
        ledger_append(&store->ledger, hs, turn->index, STORE_TERM);
        atomic_store(&store->last, turn->index);
    }
    for (uint32_t i = 0; i < turn->local_count; i++)
        if (ledger_local(&store->ledger, turn->locals[i].kind, turn->locals[i].value) != ERR_OK)
            return store_latch(store, err_set(e, ERR_NOMEM, "no memory for a local record"), e);
    uint64_t user = 0;
    for (uint32_t i = 0; i < turn->count; i++)
        user += turn->slots[i].command.key.len + turn->slots[i].command.value.len;
    atomic_fetch_add_explicit(&store->commands, turn->count, memory_order_relaxed);
    atomic_fetch_add_explicit(&store->user_bytes, user, memory_order_relaxed);
    turn->state = TURN_SYNCED;
    /* Where nobody calls storage_tend() the writers do its work. */
    if (env_now(store->env) - store->watermark_at >= STORE_WATERMARK_NS)
        return tend_log(store, e);
    return ERR_OK;
}

err_t storage_append_sync(struct storage *store, struct storage_turn *turn, uint64_t hlc,
                          raft_index *index, struct err *e)
{
    assert(turn->store == store && turn->state == TURN_OPEN && turn->count + turn->local_count > 0);
    store_stage_enter(&store->log);
    err_t rc = append_turn(store, turn, hlc, e);
    store_stage_leave(&store->log);
    if (rc == ERR_OK)
        *index = turn->index;
    return rc;
}

/* ---- Apply ----------------------------------------------------------------------------------- */

static err_t apply_turn(struct storage *store, struct storage_turn *turn, struct err *e)
{
    err_t rc = storage_latched(store, e);
    if (rc != ERR_OK)
        return rc;
    apply_begin(store->apply, turn->count);
    for (uint32_t i = 0; i < turn->count && rc == ERR_OK; i++)
        rc = apply_command(store->apply, &turn->slots[i].command, &turn->slots[i].result, e);
    struct layout_apply_state state = { .index = turn->index,
                                        .term = STORE_TERM,
                                        .hlc = turn->hlc };
    if (rc == ERR_OK)
        rc = apply_commit(store->apply, &state, e);
    return rc == ERR_OK ? ERR_OK : store_latch(store, rc, e);
}

err_t storage_apply(struct storage *store, struct storage_turn *turn, struct err *e)
{
    assert(turn->store == store && turn->state == TURN_SYNCED);
    if (turn->count == 0) {
        turn->state = TURN_APPLIED;
        return ERR_OK;
    }
    struct store_stage *stage = &store->applying;
    env_lock_enter(stage->lock);
    while (stage->busy ||
           (atomic_load(&store->applied) + 1 != turn->index && !atomic_load(&store->latched)))
        env_lock_wait(stage->lock, UINT64_MAX); /* the turns before this one are on their way */
    stage->busy = true;
    env_lock_leave(stage->lock);
    err_t rc = apply_turn(store, turn, e);
    if (rc == ERR_OK) {
        turn->state = TURN_APPLIED;
        atomic_store(&store->applied, turn->index);
    }
    store_stage_leave(stage);
    return rc;
}

/* ---- Tending --------------------------------------------------------------------------------- */

/* Gives up the oldest segment after what is live in it was written again (ledger.h). */
static err_t free_oldest(struct storage *store, struct err *e)
{
    wal_batch_reset(&store->batch);
    ledger_forward(&store->ledger, &store->batch);
    err_t rc = store_write_batch(store, e);
    if (rc != ERR_OK)
        return rc;
    rc = wal_free_oldest(store->wal, e);
    if (rc != ERR_OK)
        return store_latch(store, rc, e);
    ledger_drop_oldest(&store->ledger, wal_segment(store->wal));
    atomic_fetch_sub(&store->segments, 1);
    return ERR_OK;
}

static err_t tend_log(struct storage *store, struct err *e)
{
    err_t rc = storage_latched(store, e);
    if (rc == ERR_OK)
        rc = write_watermark(store, e);
    if (rc != ERR_OK || store->ledger.count < 2)
        return rc;
    struct layout_apply_state durable;
    rc = apply_durable(store->ops, store->engine, STORE_REGION, &durable, e);
    if (rc != ERR_OK)
        return store_latch(store, rc, e);
    while (rc == ERR_OK && ledger_oldest_spent(&store->ledger, durable.index))
        rc = free_oldest(store, e);
    return rc == ERR_DISK_FULL && !wal_broken(store->wal) ? ERR_OK
                                                          : rc; /* later, when there is room */
}

err_t storage_tend(struct storage *store, struct err *e)
{
    struct engine_stats stats;
    store->ops->stats(store->engine, &stats);
    if (stats.background_errors != 0)
        return store_latch(store,
                           err_set(e, ERR_IO, "the engine reports %llu background errors",
                                   (unsigned long long)stats.background_errors),
                           e);
    store_stage_enter(&store->log);
    err_t rc = tend_log(store, e);
    store_stage_leave(&store->log);
    return rc;
}

/* The log is long because the engine keeps a little in memory for very long: make it durable, so
 * that the next tending can give segments up. */
static err_t shorten(struct storage *store, struct err *e)
{
    if (atomic_load(&store->segments) <= STORE_SEGMENTS_MAX)
        return ERR_OK;
    struct layout_apply_state durable;
    err_t rc = apply_durable(store->ops, store->engine, STORE_REGION, &durable, e);
    if (rc == ERR_OK && durable.index < atomic_load(&store->applied)) {
        store_stage_enter(&store->applying);
        rc = store->ops->force(store->engine, e);
        store_stage_leave(&store->applying);
    }
    return rc == ERR_OK ? ERR_OK : store_latch(store, rc, e);
}

err_t storage_prepare(struct storage *store, struct err *e)
{
    err_t rc = storage_latched(store, e);
    for (bool more = true; more && rc == ERR_OK;)
        rc = wal_prepare(store->wal, &more, e);
    if (rc != ERR_OK && wal_broken(store->wal))
        return store_latch(store, rc, e);
    return rc == ERR_OK ? shorten(store, e) : rc;
}
