/* Applying commands: see apply.h for the picture. */
#include "apply.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/map.h"

/* A versioned key that this batch has written. */
struct row {
    uint64_t version;
    bool live;
    struct bytes value; /* borrowed from the command */
    struct bytes key;   /* ns and user key; behind the row */
};

enum {
    ROWS_FIRST = 64 << 10, /* bytes of rows that cost no allocation */
    OVERLAY_KEPT = 4096,   /* places of a table that is emptied, not freed */
};

/* How far a region comes with this batch. */
struct moves {
    struct progress_region **regions;
    struct layout_apply_state *states;
    uint32_t count, cap;
};

struct apply {
    const struct engine_ops *ops;
    struct engine *engine;
    struct engine_batch *batch;
    struct namespaces *namespaces;
    struct progress *progress;
    uint64_t number; /* of the last engine batch */
    uint64_t turn;
    struct moves moves;
    _Atomic uint64_t tso;
    uint64_t tso_staged;

    struct map overlay; /* ns and key -> row */
    struct arena rows;
    void *rows_first;
    bool alone; /* one versioned command: nobody will look into the overlay */
    bool begun;
    struct buf key, value, read;
};

static err_t load_tso(struct apply *apply, struct err *e)
{
    uint64_t window = 0;
    buf_clear(&apply->read);
    err_t rc =
        apply->ops->get(apply->engine, ENGINE_META, BYTES(LAYOUT_TSO_KEY), false, &apply->read, e);
    if (rc == ERR_NOT_FOUND)
        return ERR_OK;
    if (rc == ERR_OK && layout_take_tso(buf_bytes(&apply->read), &window) != ERR_OK)
        rc = err_set(e, ERR_CORRUPTION, "the row of the TSO in the engine is damaged");
    apply->tso_staged = window;
    atomic_store(&apply->tso, window);
    return rc;
}

err_t apply_open(const struct engine_ops *ops, struct engine *engine, struct namespaces *namespaces,
                 struct progress *progress, uint64_t seed, struct apply **ret, struct err *e)
{
    struct apply *apply = calloc(1, sizeof *apply);
    void *rows = malloc(ROWS_FIRST);
    if (apply == NULL || rows == NULL)
        abort(); /* small and fixed */
    apply->ops = ops;
    apply->engine = engine;
    apply->namespaces = namespaces;
    apply->progress = progress;
    apply->rows_first = rows;
    arena_init(&apply->rows, SIZE_MAX, rows, ROWS_FIRST);
    apply->batch = ops->batch_new(engine);
    map_init(&apply->overlay, seed);
    err_t rc = ops->last(engine, &apply->number, e);
    if (rc == ERR_OK)
        rc = load_tso(apply, e);
    if (rc != ERR_OK) {
        apply_close(apply);
        return rc;
    }
    *ret = apply;
    return ERR_OK;
}

static void clear_overlay(struct apply *apply)
{
    if (apply->overlay.count == 0)
        return;
    if (apply->overlay.cap > OVERLAY_KEPT)
        map_free(&apply->overlay);
    else
        map_clear(&apply->overlay);
    arena_reset(&apply->rows);
}

void apply_close(struct apply *apply)
{
    if (apply == NULL)
        return;
    map_free(&apply->overlay);
    arena_free(&apply->rows);
    free(apply->rows_first);
    apply->ops->batch_free(apply->batch);
    free(apply->moves.regions);
    free(apply->moves.states);
    buf_free(&apply->key);
    buf_free(&apply->value);
    buf_free(&apply->read);
    free(apply);
}

size_t apply_bytes(const struct apply *apply)
{
    return apply->ops->batch_bytes(apply->batch);
}

uint64_t apply_tso(const struct apply *apply)
{
    return atomic_load_explicit(&apply->tso, memory_order_acquire);
}

/* ---- The batch ------------------------------------------------------------------------------- */

void apply_begin(struct apply *apply, uint32_t versioned)
{
    assert(!apply->begun);
    apply->begun = true;
    apply->alone = versioned <= 1;
    apply->turn++;
    apply->moves.count = 0;
    apply->ops->batch_clear(apply->batch);
    clear_overlay(apply);
}

/* The region's state, as this batch will leave it. NULL: no memory. */
static struct layout_apply_state *move_of(struct apply *apply, uint64_t id)
{
    struct moves *moves = &apply->moves;
    if (moves->count > 0 && moves->regions[moves->count - 1]->id == id)
        return &moves->states[moves->count - 1]; /* as often as not */
    struct progress_region *region = progress_region(apply->progress, id);
    if (region == NULL)
        return NULL;
    if (region->turn == apply->turn)
        return &moves->states[region->place];
    if (moves->count == moves->cap) {
        uint32_t cap = moves->cap == 0 ? 16 : moves->cap * 2;
        void *regions = realloc(moves->regions, cap * sizeof moves->regions[0]);
        if (regions != NULL)
            moves->regions = regions;
        void *states = realloc(moves->states, cap * sizeof moves->states[0]);
        if (states != NULL)
            moves->states = states;
        if (regions == NULL || states == NULL)
            return NULL;
        moves->cap = cap;
    }
    region->turn = apply->turn;
    region->place = moves->count;
    moves->regions[moves->count] = region;
    moves->states[moves->count] = region->applied;
    return &moves->states[moves->count++];
}

err_t apply_move(struct apply *apply, uint64_t region, raft_index index, raft_term term,
                 uint64_t hlc, struct err *e)
{
    struct layout_apply_state *state = move_of(apply, region);
    if (state == NULL)
        return err_set(e, ERR_NOMEM, "no memory for the store's regions");
    assert(index == state->index + 1 && term >= state->term); /* each entry once, in order */
    state->index = index;
    state->term = term;
    if (hlc != 0)
        state->hlc = hlc;
    return ERR_OK;
}

err_t apply_snap(struct apply *apply, uint64_t region, const struct layout_apply_state *state,
                 struct err *e)
{
    struct layout_apply_state *have = move_of(apply, region);
    if (have == NULL)
        return err_set(e, ERR_NOMEM, "no memory for the store's regions");
    assert(state->index > have->index);
    *have = *state;
    return ERR_OK;
}

err_t apply_meta(struct apply *apply, uint64_t region, struct bytes meta, struct err *e)
{
    uint8_t key[9];
    struct layout_apply_state *state = move_of(apply, region);
    if (state == NULL)
        return err_set(e, ERR_NOMEM, "no memory for the store's regions");
    layout_raft_state_key(region, LAYOUT_META, key);
    if (meta.len > 0) {
        apply->ops->put(apply->batch, ENGINE_RAFT_STATE, bytes_from(key, sizeof key), meta);
        return ERR_OK;
    }
    apply->ops->del(apply->batch, ENGINE_RAFT_STATE, bytes_from(key, sizeof key));
    *state = (struct layout_apply_state){ 0 };
    return ERR_OK;
}

static void put_state(struct apply *apply, uint64_t id, const struct layout_apply_state *state)
{
    uint8_t key[9], value[25];
    layout_raft_state_key(id, LAYOUT_APPLY_STATE, key);
    layout_apply_state(state, value);
    if (state->index > 0)
        apply->ops->put(apply->batch, ENGINE_RAFT_STATE, bytes_from(key, sizeof key),
                        bytes_from(value, sizeof value));
    else
        apply->ops->del(apply->batch, ENGINE_RAFT_STATE, bytes_from(key, sizeof key));
}

err_t apply_commit(struct apply *apply, struct err *e)
{
    struct moves *moves = &apply->moves;
    assert(apply->begun && moves->count > 0);
    for (uint32_t i = 0; i < moves->count; i++)
        put_state(apply, moves->regions[i]->id, &moves->states[i]);
    err_t rc = apply->ops->write(apply->engine, apply->batch, apply->number + 1, e);
    if (rc != ERR_OK)
        return err_wrap(e, rc, "could not apply up to index %llu of region %llu",
                        (unsigned long long)moves->states[0].index,
                        (unsigned long long)moves->regions[0]->id);
    apply->number++;
    apply->begun = false;
    namespaces_publish(apply->namespaces);
    atomic_store_explicit(&apply->tso, apply->tso_staged, memory_order_release);
    rc = progress_move(apply->progress, apply->number, moves->regions, moves->states, moves->count);
    return rc == ERR_OK ? ERR_OK : err_set(e, rc, "no memory for the store's regions");
}

/* ---- Versioned keys -------------------------------------------------------------------------- */

err_t apply_read(const struct engine_ops *ops, struct engine *engine, uint32_t ns, struct bytes key,
                 bool cached_only, bool *live, uint64_t *version, struct buf *ret, struct err *e)
{
    struct buf name = { 0 }, record = { 0 };
    struct bytes value = { 0 };
    uint64_t v = 0;
    bool found = false, sound = true;
    err_t rc = layout_key(ns, key, &name);
    if (rc == ERR_OK)
        rc = ops->get(engine, ENGINE_CAS, buf_bytes(&name), cached_only, &record, e);
    if (rc == ERR_OK) {
        found = true;
        rc = layout_take_cas_value(buf_bytes(&record), &v, &value);
        sound = rc == ERR_OK;
    } else if (rc == ERR_NOT_FOUND) {
        buf_clear(&name);
        rc = layout_tombstone_key(ns, key, &name);
        if (rc == ERR_OK)
            rc = ops->get(engine, ENGINE_META, buf_bytes(&name), cached_only, &record, e);
        if (rc == ERR_OK) {
            rc = layout_take_tombstone(buf_bytes(&record), &v);
            sound = rc == ERR_OK;
        } else if (rc == ERR_NOT_FOUND) {
            rc = ERR_OK;
        }
    }
    if (!sound)
        err_set(e, rc, "the record of a versioned key is damaged (%zu bytes)", record.len);
    if (rc == ERR_OK && found && ret != NULL)
        rc = buf_append(ret, value);
    buf_free(&name);
    buf_free(&record);
    if (rc != ERR_OK)
        return rc;
    *live = found;
    *version = v;
    return ERR_OK;
}

/* What is there now: overlay, then engine. The value is valid until the next read. ERR_CORRUPTION
 * alone is the command's own result. */
struct current {
    bool live;
    uint64_t version;
    struct bytes value;
};

static err_t look(struct apply *apply, const struct command *command, struct current *ret,
                  struct err *e)
{
    buf_clear(&apply->key);
    err_t rc = layout_key(command->namespace_id, command->key, &apply->key);
    if (rc != ERR_OK)
        return err_set(e, rc, "no memory for a key");
    const struct row *row =
        apply->overlay.count > 0 ? map_get(&apply->overlay, buf_bytes(&apply->key)) : NULL;
    if (row != NULL) {
        *ret = (struct current){ row->live, row->version, row->value };
        return ERR_OK;
    }
    buf_clear(&apply->read);
    *ret = (struct current){ 0 };
    rc = apply->ops->get(apply->engine, ENGINE_CAS, buf_bytes(&apply->key), false, &apply->read, e);
    if (rc == ERR_OK) {
        ret->live = true;
        return layout_take_cas_value(buf_bytes(&apply->read), &ret->version, &ret->value);
    }
    if (rc != ERR_NOT_FOUND)
        return rc == ERR_CORRUPTION ? ERR_IO
                                    : rc; /* a damaged block: this machine's, not the log's */
    buf_clear(&apply->key);
    rc = layout_tombstone_key(command->namespace_id, command->key, &apply->key);
    if (rc != ERR_OK)
        return err_set(e, rc, "no memory for a key");
    rc =
        apply->ops->get(apply->engine, ENGINE_META, buf_bytes(&apply->key), false, &apply->read, e);
    if (rc == ERR_OK)
        return layout_take_tombstone(buf_bytes(&apply->read), &ret->version);
    if (rc == ERR_NOT_FOUND)
        return ERR_OK;
    return rc == ERR_CORRUPTION ? ERR_IO : rc;
}

static err_t remember(struct apply *apply, const struct command *command, bool live,
                      uint64_t version, struct err *e)
{
    if (apply->alone)
        return ERR_OK;
    size_t len = LAYOUT_KEY_HEAD + command->key.len;
    struct row *row = map_get(&apply->overlay, buf_bytes(&apply->key));
    if (row == NULL) {
        row = arena_alloc(&apply->rows, sizeof *row + len);
        if (row == NULL)
            return err_set(e, ERR_NOMEM, "no memory to apply a command");
        row->key = bytes_from(row + 1, len);
        memcpy(row + 1, apply->key.data, len);
        err_t rc = map_put(&apply->overlay, row->key, row, NULL);
        if (rc != ERR_OK)
            return err_set(e, rc, "no memory to apply a command");
    }
    row->live = live;
    row->version = version;
    row->value = live ? command->value : (struct bytes){ 0 };
    return ERR_OK;
}

/* Writes the key's next version: a live record, or a tombstone. */
static err_t advance(struct apply *apply, const struct command *command, bool live,
                     uint64_t version, struct err *e)
{
    buf_clear(&apply->key);
    err_t rc = layout_key(command->namespace_id, command->key, &apply->key);
    if (rc == ERR_OK)
        rc = remember(apply, command, live, version, e);
    buf_clear(&apply->value);
    if (rc == ERR_OK)
        rc = layout_cas_value(version, live ? command->value : (struct bytes){ 0 }, &apply->value);
    if (rc != ERR_OK)
        return err_set(e, rc, "no memory to apply a command");
    if (live) {
        apply->ops->put(apply->batch, ENGINE_CAS, buf_bytes(&apply->key), buf_bytes(&apply->value));
        return ERR_OK;
    }
    apply->ops->del(apply->batch, ENGINE_CAS, buf_bytes(&apply->key));
    buf_clear(&apply->key);
    rc = layout_tombstone_key(command->namespace_id, command->key, &apply->key);
    if (rc != ERR_OK)
        return err_set(e, rc, "no memory to apply a command");
    apply->ops->put(apply->batch, ENGINE_META, buf_bytes(&apply->key), buf_bytes(&apply->value));
    return ERR_OK;
}

static err_t conflict(const struct command *command, const struct current *now,
                      struct storage_result *result, struct err *e)
{
    result->rc = ERR_CONFLICT;
    result->version = now->version;
    result->absent = !now->live;
    result->has_value = command->want_current && now->live;
    if (result->has_value && buf_append(&result->value, now->value) != ERR_OK)
        return err_set(e, ERR_NOMEM, "no memory for the current value");
    return ERR_OK;
}

static err_t apply_versioned(struct apply *apply, const struct command *command,
                             struct storage_result *result, struct err *e)
{
    struct current now;
    err_t rc = look(apply, command, &now, e);
    if (rc == ERR_CORRUPTION) {
        result->rc = rc;
        return ERR_OK;
    }
    if (rc != ERR_OK)
        return rc;
    bool erase = command->kind == COMMAND_CAS_DELETE;
    if (erase && !now.live) {
        *result =
            (struct storage_result){ .rc = ERR_NOT_FOUND, .version = now.version, .absent = true };
        return ERR_OK;
    }
    bool match =
        now.live ? now.version == command->expected_version : command->expected_version == 0;
    if (erase && !command->conditional)
        match = true;
    if (!match)
        return conflict(command, &now, result, e);
    if (now.version == UINT64_MAX) {
        *result = (struct storage_result){ .rc = ERR_OVERFLOW, .version = now.version };
        return ERR_OK;
    }
    result->version = now.version + 1;
    return advance(apply, command, !erase, result->version, e);
}

/* ---- The others ------------------------------------------------------------------------------ */

static err_t apply_raw(struct apply *apply, const struct command *command, struct err *e)
{
    buf_clear(&apply->key);
    err_t rc = layout_key(command->namespace_id, command->key, &apply->key);
    if (rc != ERR_OK)
        return err_set(e, rc, "no memory to apply a command");
    if (command->kind == COMMAND_RAW_PUT)
        apply->ops->put(apply->batch, ENGINE_DEFAULT, buf_bytes(&apply->key), command->value);
    else
        apply->ops->del(apply->batch, ENGINE_DEFAULT, buf_bytes(&apply->key));
    return ERR_OK;
}

static err_t apply_namespace(struct apply *apply, const struct command *command,
                             struct storage_result *result, struct err *e)
{
    err_t rc =
        namespaces_stage(apply->namespaces, command->namespace_id, command->key, command->value);
    if (rc == ERR_ALREADY_EXISTS || rc == ERR_RESOURCE_EXHAUSTED) {
        result->rc = rc;
        return ERR_OK;
    }
    uint8_t key[5];
    layout_namespace_key(command->namespace_id, key);
    buf_clear(&apply->value);
    if (rc == ERR_OK)
        rc = layout_namespace(command->key, command->value, &apply->value);
    if (rc != ERR_OK)
        return err_set(e, rc, "no memory to apply a command");
    apply->ops->put(apply->batch, ENGINE_META, bytes_from(key, sizeof key),
                    buf_bytes(&apply->value));
    return ERR_OK;
}

/* A window never shrinks, and nobody gets one twice: who asks for what another leader of the group has, is late. */
static void apply_window(struct apply *apply, const struct command *command,
                         struct storage_result *result)
{
    if (command->window_ms <= apply->tso_staged) {
        result->rc = ERR_CONFLICT;
        result->version = apply->tso_staged;
        return;
    }
    uint8_t row[9];
    layout_tso(command->window_ms, row);
    apply->ops->put(apply->batch, ENGINE_META, BYTES(LAYOUT_TSO_KEY), bytes_from(row, sizeof row));
    apply->tso_staged = result->version = command->window_ms;
}

err_t apply_command(struct apply *apply, const struct command *command,
                    struct storage_result *result, struct err *e)
{
    assert(apply->begun);
    *result = (struct storage_result){ 0 };
    if (command->kind == COMMAND_NAMESPACE)
        return apply_namespace(apply, command, result, e);
    if (command->kind == COMMAND_TSO) {
        apply_window(apply, command, result);
        return ERR_OK;
    }
    if (!namespaces_staged_exists(apply->namespaces, command->namespace_id)) {
        result->rc = ERR_NOT_FOUND;
        return ERR_OK;
    }
    if (command->kind == COMMAND_RAW_PUT || command->kind == COMMAND_RAW_DELETE)
        return apply_raw(apply, command, e);
    return apply_versioned(apply, command, result, e);
}
