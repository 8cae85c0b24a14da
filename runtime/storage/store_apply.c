/* Committed entries of any regions become one engine batch.
 *
 *   items      7: 41   12: 8   7: 42         as they were added
 *   commands   c c c | c | c c               decoded once, before the first is applied; results beside them
 *   batch      rows, apply states of 7 and 12, metas */
#include <assert.h>
#include <stdlib.h>

#include "store_int.h"

enum { PROBES_MAX = 64 };

struct item {
    uint64_t region, version, hlc;
    raft_term term;
    raft_index index;
    struct bytes data;
    bool commands; /* a list of them */
    err_t outcome;
    uint32_t first, count; /* in `slots` */
};

struct slot {
    struct command command;
    struct storage_result result;
};

struct meta {
    uint64_t region;
    size_t offset, len; /* in `meta_bytes` */
};

struct snap {
    uint64_t region;
    struct layout_apply_state state;
};

struct storage_apply {
    struct storage *store;
    struct item *items;
    uint32_t count, cap;
    struct slot *slots;
    uint32_t slot_count, slot_cap;
    struct meta *metas;
    uint32_t meta_count, meta_cap;
    struct buf meta_bytes, probe;
    struct snap *snaps;
    uint32_t snap_count, snap_cap;
    size_t bytes;
    uint32_t decoded;   /* items */
    uint32_t versioned; /* commands on versioned keys, of those */
    bool ran, values;   /* values: some result owns one */
};

struct storage_apply *storage_apply_new(struct storage *store)
{
    struct storage_apply *apply = calloc(1, sizeof *apply);
    if (apply == NULL)
        abort(); /* small and fixed */
    apply->store = store;
    return apply;
}

void storage_apply_reset(struct storage_apply *apply)
{
    for (uint32_t i = 0; apply->values && i < apply->slot_count; i++)
        storage_result_free(&apply->slots[i].result);
    buf_clear(&apply->meta_bytes);
    apply->count = apply->slot_count = apply->meta_count = apply->snap_count = 0;
    apply->bytes = 0;
    apply->decoded = apply->versioned = 0;
    apply->ran = apply->values = false;
}

void storage_apply_free(struct storage_apply *apply)
{
    if (apply == NULL)
        return;
    storage_apply_reset(apply);
    buf_free(&apply->meta_bytes);
    buf_free(&apply->probe);
    free(apply->items);
    free(apply->slots);
    free(apply->metas);
    free(apply->snaps);
    free(apply);
}

/* ---- Adding ---------------------------------------------------------------------------------- */

/* Room for `more` elements of `size` behind `count`; the memory is kept. */
static bool grow(void **array, uint32_t *cap, uint32_t count, uint32_t more, size_t size)
{
    if (more <= *cap - count)
        return true;
    if (more > UINT32_MAX / 2 - count)
        return false;
    uint32_t want = *cap == 0 ? 16 : *cap * 2;
    if (want < count + more)
        want = count + more;
    void *grown = realloc(*array, want * size);
    if (grown == NULL)
        return false;
    *array = grown;
    *cap = want;
    return true;
}

err_t storage_apply_entry(struct storage_apply *apply, uint64_t region, const struct raft_ent *ent,
                          uint64_t version, uint32_t *slot)
{
    assert(!apply->ran && apply->decoded == 0);
    if (!grow((void **)&apply->items, &apply->cap, apply->count, 1, sizeof apply->items[0]))
        return ERR_NOMEM;
    apply->items[apply->count] =
        (struct item){ .region = region,
                       .version = version,
                       .term = ent->term,
                       .index = ent->index,
                       .data = bytes_from(ent->data, ent->len),
                       .commands = ent->type == RAFT_ENT_NORMAL && ent->len > 0 };
    apply->bytes += ent->len;
    *slot = apply->count++;
    return ERR_OK;
}

err_t storage_apply_meta(struct storage_apply *apply, uint64_t region, struct bytes meta)
{
    assert(!apply->ran);
    if (!grow((void **)&apply->metas, &apply->meta_cap, apply->meta_count, 1,
              sizeof apply->metas[0]))
        return ERR_NOMEM;
    struct meta *to = &apply->metas[apply->meta_count];
    *to = (struct meta){ .region = region, .offset = apply->meta_bytes.len, .len = meta.len };
    err_t rc = buf_append(&apply->meta_bytes, meta);
    if (rc == ERR_OK)
        apply->meta_count++;
    return rc;
}

err_t storage_apply_snap(struct storage_apply *apply, uint64_t region, raft_index index,
                         raft_term term, uint64_t hlc)
{
    assert(!apply->ran);
    if (!grow((void **)&apply->snaps, &apply->snap_cap, apply->snap_count, 1,
              sizeof apply->snaps[0]))
        return ERR_NOMEM;
    apply->snaps[apply->snap_count++] =
        (struct snap){ .region = region, .state = { .index = index, .term = term, .hlc = hlc } };
    return ERR_OK;
}

uint32_t storage_apply_count(const struct storage_apply *apply)
{
    return apply->count;
}

size_t storage_apply_bytes(const struct storage_apply *apply)
{
    return apply->bytes;
}

/* ---- Decoding -------------------------------------------------------------------------------- */

static bool is_versioned(const struct command *command)
{
    return command->kind == COMMAND_CAS || command->kind == COMMAND_CAS_DELETE;
}

static err_t decode_item(struct storage_apply *apply, struct item *item, struct err *e)
{
    uint16_t count = 0;
    uint64_t version;
    struct bytes in = item->data;
    item->first = apply->slot_count;
    if (!item->commands)
        return ERR_OK;
    err_t rc = command_take_entry(&in, &count, &item->hlc, &version, e);
    if (rc != ERR_OK)
        return rc;
    if (version != item->version) {
        item->outcome = ERR_EPOCH_NOT_MATCH; /* nobody looks at the rest */
        return ERR_OK;
    }
    if (!grow((void **)&apply->slots, &apply->slot_cap, apply->slot_count, count,
              sizeof apply->slots[0]))
        return err_set(e, ERR_NOMEM, "no memory to apply an entry");
    uint32_t versioned = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct slot *slot = &apply->slots[item->first + i];
        rc = command_take(&in, &slot->command, e);
        if (rc != ERR_OK)
            return rc;
        slot->result = (struct storage_result){ 0 };
        versioned += is_versioned(&slot->command);
    }
    if (in.len != 0)
        return err_set(e, ERR_CORRUPTION, "a log entry has more bytes than its commands");
    item->count = count;
    apply->slot_count += count;
    apply->versioned += versioned;
    return ERR_OK;
}

static err_t decode(struct storage_apply *apply, struct err *e)
{
    err_t rc = ERR_OK;
    while (apply->decoded < apply->count && rc == ERR_OK) {
        struct item *item = &apply->items[apply->decoded];
        rc = decode_item(apply, item, e);
        if (rc == ERR_INVALID_ARGUMENT || rc == ERR_TOO_LARGE)
            rc = ERR_CORRUPTION; /* nobody can have proposed it */
        if (rc != ERR_OK)
            return err_wrap(e, rc, "entry %llu of region %llu cannot be applied",
                            (unsigned long long)item->index, (unsigned long long)item->region);
        apply->decoded++;
    }
    return rc;
}

bool storage_apply_is_cached(struct storage_apply *apply)
{
    const struct storage *store = apply->store;
    unsigned probes = 0;
    if (decode(apply, NULL) != ERR_OK)
        return true; /* the run will tell */
    for (uint32_t i = 0; i < apply->slot_count && probes < apply->versioned; i++) {
        const struct command *command = &apply->slots[i].command;
        if (!is_versioned(command))
            continue;
        if (++probes > PROBES_MAX)
            return false;
        bool live;
        uint64_t version;
        buf_clear(&apply->probe);
        if (apply_read(store->ops, store->engine, command->namespace_id, command->key, true, &live,
                       &version, &apply->probe, NULL) == ERR_UNAVAILABLE)
            return false;
    }
    return true;
}

/* ---- Running --------------------------------------------------------------------------------- */

static err_t run_item(struct storage *store, struct storage_apply *apply, struct item *item,
                      struct err *e)
{
    err_t rc = ERR_OK;
    for (uint32_t i = item->first; i < item->first + item->count && rc == ERR_OK; i++) {
        struct slot *slot = &apply->slots[i];
        rc = apply_command(store->apply, &slot->command, &slot->result, e);
        apply->values = apply->values || slot->result.value.data != NULL;
    }
    if (rc == ERR_OK)
        rc = apply_move(store->apply, item->region, item->index, item->term, item->hlc, e);
    return rc;
}

static void count_commands(struct storage *store, const struct storage_apply *apply)
{
    uint64_t user = 0;
    for (uint32_t i = 0; i < apply->slot_count; i++)
        user += apply->slots[i].command.key.len + apply->slots[i].command.value.len;
    atomic_fetch_add_explicit(&store->commands, apply->slot_count, memory_order_relaxed);
    atomic_fetch_add_explicit(&store->user_bytes, user, memory_order_relaxed);
}

static err_t run_all(struct storage *store, struct storage_apply *apply, struct err *e)
{
    apply_begin(store->apply, apply->versioned);
    err_t rc = ERR_OK;
    for (uint32_t i = 0; i < apply->count && rc == ERR_OK; i++)
        rc = run_item(store, apply, &apply->items[i], e);
    for (uint32_t i = 0; i < apply->snap_count && rc == ERR_OK; i++)
        rc = apply_snap(store->apply, apply->snaps[i].region, &apply->snaps[i].state, e);
    for (uint32_t i = 0; i < apply->meta_count && rc == ERR_OK; i++) {
        const struct meta *meta = &apply->metas[i];
        rc = apply_meta(store->apply, meta->region,
                        bytes_from(apply->meta_bytes.data + meta->offset, meta->len), e);
    }
    return rc == ERR_OK ? apply_commit(store->apply, e) : rc;
}

err_t store_apply_unlatched(struct storage *store, struct storage_apply *apply, struct err *e)
{
    assert(apply->store == store && !apply->ran);
    err_t rc = decode(apply, e);
    if (rc == ERR_OK && apply->count + apply->meta_count + apply->snap_count > 0)
        rc = run_all(store, apply, e);
    if (rc != ERR_OK)
        return rc;
    count_commands(store, apply);
    apply->ran = true;
    return ERR_OK;
}

err_t store_apply(struct storage *store, struct storage_apply *apply, struct err *e)
{
    err_t rc = storage_latched(store, e);
    if (rc != ERR_OK)
        return rc;
    rc = store_apply_unlatched(store, apply, e);
    return rc == ERR_OK ? ERR_OK : store_latch(store, rc, e);
}

err_t storage_apply_run(struct storage *store, struct storage_apply *apply, struct err *e)
{
    store_stage_enter(&store->applying);
    err_t rc = store_apply(store, apply, e);
    store_stage_leave(&store->applying);
    return rc;
}

/* ---- Results --------------------------------------------------------------------------------- */

static const struct item *item_of(const struct storage_apply *apply, uint32_t slot)
{
    assert(apply->ran && slot < apply->count);
    return &apply->items[slot];
}

err_t storage_apply_outcome(const struct storage_apply *apply, uint32_t slot)
{
    return item_of(apply, slot)->outcome;
}

uint32_t storage_apply_commands(const struct storage_apply *apply, uint32_t slot)
{
    return item_of(apply, slot)->count;
}

uint64_t storage_apply_hlc(const struct storage_apply *apply, uint32_t slot)
{
    return item_of(apply, slot)->hlc;
}

const struct storage_result *storage_apply_result(const struct storage_apply *apply, uint32_t slot,
                                                  uint32_t i, const struct command **command)
{
    const struct item *item = item_of(apply, slot);
    assert(item->outcome == ERR_OK && i < item->count);
    if (command != NULL)
        *command = &apply->slots[item->first + i].command;
    return &apply->slots[item->first + i].result;
}

struct storage_result store_apply_take(struct storage_apply *apply, uint32_t i)
{
    assert(apply->ran && i < apply->slot_count);
    struct storage_result result = apply->slots[i].result;
    apply->slots[i].result = (struct storage_result){ 0 };
    return result;
}

uint64_t storage_tso_window(const struct storage *store)
{
    uint64_t row = apply_tso(store->apply);
    return row > store->tso_floor ? row : store->tso_floor;
}

/* ---- Entries --------------------------------------------------------------------------------- */

err_t storage_entry_begin(struct buf *ret, uint64_t hlc, uint64_t version)
{
    assert(ret->len == 0);
    uint8_t *at = buf_reserve(ret, COMMAND_ENTRY_HEADER);
    if (at == NULL)
        return ERR_NOMEM;
    command_put_entry_header(at, 0, hlc, version);
    ret->len += COMMAND_ENTRY_HEADER;
    return ERR_OK;
}

err_t storage_entry_add(struct buf *ret, enum command_kind kind, struct bytes body)
{
    uint8_t *at = buf_reserve(ret, COMMAND_HEADER + body.len);
    if (at == NULL)
        return ERR_NOMEM;
    command_put_header(at, kind, (uint32_t)body.len);
    if (body.len > 0)
        memcpy(at + COMMAND_HEADER, body.data, body.len);
    ret->len += COMMAND_HEADER + body.len;
    return ERR_OK;
}

void storage_entry_end(struct buf *ret, uint16_t count)
{
    assert(ret->len >= COMMAND_ENTRY_HEADER);
    store_u16(ret->data + 2, count);
}

uint64_t storage_entry_hlc(struct bytes entry)
{
    uint16_t count;
    uint64_t hlc, version;
    return command_take_entry(&entry, &count, &hlc, &version, NULL) == ERR_OK ? hlc : 0;
}
