/* How far regions were applied: see progress.h for the picture. */
#include "progress.h"

#include <assert.h>
#include <stdlib.h>

#include "base/codec.h"

struct progress {
    const struct engine_ops *ops;
    struct engine *engine;
    struct env_lock *lock;
    struct map regions; /* id -> struct progress_region; added by the applier, under the lock */
    struct progress_region **moved; /* a ring: those behind durable, the longest waiting first */
    uint32_t first, count, cap;
    uint64_t asked;   /* the engine's durable() that they were asked for; 0: ask again */
    uint32_t unasked; /* those of the ring that were not yet asked for it; refresh's alone */
};

static err_t damaged(struct err *e, uint64_t id)
{
    return err_set(e, ERR_CORRUPTION, "the apply state of region %llu in the engine is damaged",
                   (unsigned long long)id);
}

/* What a crash would leave. */
static err_t read_durable(const struct progress *progress, uint64_t id, struct buf *scratch,
                          raft_index *ret, struct err *e)
{
    uint8_t key[9];
    struct layout_apply_state state = { 0 };
    layout_raft_state_key(id, LAYOUT_APPLY_STATE, key);
    buf_clear(scratch);
    err_t rc = progress->ops->get_durable(progress->engine, ENGINE_RAFT_STATE,
                                          bytes_from(key, sizeof key), scratch, e);
    if (rc == ERR_OK && layout_take_apply_state(buf_bytes(scratch), &state) != ERR_OK)
        return damaged(e, id);
    if (rc != ERR_OK && rc != ERR_NOT_FOUND)
        return rc;
    *ret = state.index;
    return ERR_OK;
}

/* ---- Open ------------------------------------------------------------------------------------ */

static err_t load_row(struct progress *progress, struct bytes key, struct bytes value,
                      struct err *e)
{
    uint64_t id;
    enum layout_state kind;
    if (layout_take_raft_state_key(key, &id, &kind) != ERR_OK)
        return err_set(e, ERR_CORRUPTION, "a key of family raft_state has %zu bytes", key.len);
    struct progress_region *region = progress_region(progress, id);
    if (region == NULL)
        return err_set(e, ERR_NOMEM, "no memory for the store's regions");
    if (kind != LAYOUT_APPLY_STATE)
        return ERR_OK;
    return layout_take_apply_state(value, &region->applied) == ERR_OK ? ERR_OK : damaged(e, id);
}

static err_t load(struct progress *progress, struct err *e)
{
    struct engine_iter *iter = NULL;
    struct bytes key, value;
    err_t rc = progress->ops->scan(progress->engine, ENGINE_RAFT_STATE, (struct bytes){ 0 },
                                   (struct bytes){ 0 }, &iter, e);
    if (rc != ERR_OK)
        return rc;
    while (rc == ERR_OK && progress->ops->iter_next(iter, &key, &value))
        rc = load_row(progress, key, value, e);
    if (rc == ERR_OK)
        rc = progress->ops->iter_error(iter, e);
    progress->ops->iter_close(iter);
    return rc;
}

/* After a start all of it is durable, as a rule: then nobody needs to ask for each. */
static err_t load_durable(struct progress *progress, struct err *e)
{
    uint64_t last = 0, durable = 0;
    struct buf scratch = { 0 };
    err_t rc = progress->ops->last(progress->engine, &last, e);
    if (rc == ERR_OK)
        rc = progress->ops->durable(progress->engine, &durable, e);
    map_for_each(entry, &progress->regions) {
        struct progress_region *region = entry->value;
        if (rc == ERR_OK && durable == last)
            region->durable = region->applied.index;
        else if (rc == ERR_OK)
            rc = read_durable(progress, region->id, &scratch, &region->durable, e);
    }
    buf_free(&scratch);
    return rc;
}

err_t progress_open(struct env *env, const struct engine_ops *ops, struct engine *engine,
                    uint64_t seed, struct progress **ret, struct err *e)
{
    struct progress *progress = calloc(1, sizeof *progress);
    if (progress == NULL)
        abort(); /* small and fixed */
    progress->ops = ops;
    progress->engine = engine;
    map_init(&progress->regions, seed);
    err_t rc = env_lock_new(env, &progress->lock, e);
    if (rc == ERR_OK)
        rc = load(progress, e);
    if (rc == ERR_OK)
        rc = load_durable(progress, e);
    if (rc != ERR_OK) {
        progress_close(progress);
        return rc;
    }
    *ret = progress;
    return ERR_OK;
}

void progress_close(struct progress *progress)
{
    if (progress == NULL)
        return;
    map_for_each(entry, &progress->regions)
        free(entry->value);
    map_free(&progress->regions);
    env_lock_free(progress->lock);
    free(progress->moved);
    free(progress);
}

/* ---- The applier ----------------------------------------------------------------------------- */

struct progress_region *progress_region(struct progress *progress, uint64_t id)
{
    struct progress_region *region = map_get_u64(&progress->regions, id);
    if (region != NULL)
        return region;
    region = calloc(1, sizeof *region);
    if (region == NULL)
        return NULL;
    region->id = id;
    env_lock_enter(progress->lock);
    err_t rc = map_put_u64(&progress->regions, id, region, NULL);
    env_lock_leave(progress->lock);
    if (rc == ERR_OK)
        return region;
    free(region);
    return NULL;
}

/* With the lock held: room for `more` in the ring. */
static bool reserve(struct progress *progress, uint32_t more)
{
    if (more <= progress->cap - progress->count)
        return true;
    uint32_t cap = progress->cap == 0 ? 16 : progress->cap;
    while (cap - progress->count < more)
        cap *= 2;
    struct progress_region **moved = malloc(cap * sizeof moved[0]);
    if (moved == NULL)
        return false;
    for (uint32_t i = 0; i < progress->count; i++)
        moved[i] = progress->moved[(progress->first + i) % progress->cap];
    free(progress->moved);
    progress->moved = moved;
    progress->first = 0;
    progress->cap = cap;
    return true;
}

static void push(struct progress *progress, struct progress_region *region)
{
    progress->moved[(progress->first + progress->count++) % progress->cap] = region;
}

err_t progress_move(struct progress *progress, uint64_t number,
                    struct progress_region *const *regions, const struct layout_apply_state *states,
                    uint32_t n)
{
    env_lock_enter(progress->lock);
    err_t rc = reserve(progress, n) ? ERR_OK : ERR_NOMEM;
    for (uint32_t i = 0; i < n && rc == ERR_OK; i++) {
        regions[i]->applied = states[i];
        if (!regions[i]->moved)
            push(progress, regions[i]);
        regions[i]->moved = true;
    }
    if (number <= progress->asked)
        progress->asked = 0; /* it became durable, and was asked for, before we came here */
    env_lock_leave(progress->lock);
    return rc;
}

/* ---- Everybody ------------------------------------------------------------------------------- */

void progress_applied(struct progress *progress, uint64_t id, struct layout_apply_state *ret)
{
    env_lock_enter(progress->lock);
    const struct progress_region *region = map_get_u64(&progress->regions, id);
    *ret = region != NULL ? region->applied : (struct layout_apply_state){ 0 };
    env_lock_leave(progress->lock);
}

raft_index progress_durable(struct progress *progress, uint64_t id)
{
    env_lock_enter(progress->lock);
    const struct progress_region *region = map_get_u64(&progress->regions, id);
    raft_index durable = region != NULL ? region->durable : 0;
    env_lock_leave(progress->lock);
    return durable;
}

/* The region that waits longest is asked for; what is not all durable waits again. */
static err_t refresh_one(struct progress *progress, struct buf *scratch, struct err *e)
{
    env_lock_enter(progress->lock);
    struct progress_region *region = progress->moved[progress->first];
    progress->first = (progress->first + 1) % progress->cap;
    progress->count--;
    env_lock_leave(progress->lock);
    raft_index durable = 0;
    err_t rc = read_durable(progress, region->id, scratch, &durable, e);
    env_lock_enter(progress->lock);
    if (rc == ERR_OK)
        region->durable = durable;
    region->moved = durable != region->applied.index;
    if (region->moved) {
        if (reserve(progress, 1))
            push(progress, region);
        else
            rc = err_set(e, ERR_NOMEM, "no memory for the store's regions");
    }
    env_lock_leave(progress->lock);
    return rc;
}

err_t progress_refresh(struct progress *progress, uint32_t max, struct err *e)
{
    uint64_t durable = 0;
    err_t rc = progress->ops->durable(progress->engine, &durable, e);
    env_lock_enter(progress->lock);
    if (rc == ERR_OK && durable != progress->asked) {
        progress->unasked = progress->count;
        progress->asked = durable;
    }
    env_lock_leave(progress->lock);
    struct buf scratch = { 0 };
    for (; max > 0 && progress->unasked > 0 && rc == ERR_OK; max--, progress->unasked--)
        rc = refresh_one(progress, &scratch, e);
    buf_free(&scratch);
    return rc;
}

static int by_id(const void *a, const void *b)
{
    uint64_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

err_t progress_ids(struct progress *progress, struct buf *ret)
{
    size_t before = ret->len;
    err_t rc = ERR_OK;
    env_lock_enter(progress->lock);
    map_for_each(entry, &progress->regions) {
        if (rc == ERR_OK)
            rc = buf_append(ret, bytes_from(&entry->id, sizeof entry->id));
    }
    env_lock_leave(progress->lock);
    if (rc != ERR_OK)
        ret->len = before;
    else if (ret->len > before)
        qsort(ret->data + before, (ret->len - before) / sizeof(uint64_t), sizeof(uint64_t), by_id);
    return rc;
}
