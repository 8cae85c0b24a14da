/* Entries that memory has let go are read back from the log: for a follower that is behind, or for our own apply
 * after a start. A window is a stretch of them; a region has at most two, and keeps them while somebody looks at
 * them. */
#include "region_int.h"

#include <assert.h>
#include <stdlib.h>

#include "base/container.h"

enum { UNUSED_TICKS = 20 };

struct region_entry *region_window_get(struct region *r, raft_index index)
{
    for (unsigned i = 0; i < REGION_WINDOWS; i++) {
        struct region_window *w = r->windows[i];
        if (w == NULL || w->reading || index < w->lo || index >= w->hi)
            continue;
        w->used = r->rs->ticks;
        return w->entries[index - w->lo];
    }
    return NULL;
}

static void window_clear(struct region_window *w)
{
    for (raft_index i = w->lo; w->entries != NULL && i < w->hi; i++)
        region_entry_unref(w->entries[i - w->lo]);
    free(w->entries);
    w->entries = NULL;
    w->lo = w->hi = 0;
}

static void window_free(struct region_window *w)
{
    window_clear(w);
    buf_free(&w->bytes);
    free(w->ents);
    free(w);
}

static void read_run(struct env_job *job)
{
    struct region_window *w = container_of(job, struct region_window, job);
    struct region_store *rs = w->region->rs;
    w->rc = storage_entries(rs->store, w->region->meta.id, w->lo, w->hi, REGION_WINDOW_BYTES,
                            REGION_WINDOW_COUNT, &w->bytes, w->ents, &w->count, &w->error);
}

/* What was read becomes entries; those that the log has replaced meanwhile are left out by their term. */
static void take(struct region_window *w)
{
    struct region *r = w->region;
    uint32_t n = 0;
    w->entries = calloc(w->count, sizeof(void *));
    for (; w->entries != NULL && n < w->count; n++) {
        const struct raft_ent *ent = &w->ents[n];
        raft_term term;
        if (!raft_term_of(r->raft, ent->index, &term) || term != ent->term)
            break;
        struct region_entry *entry = region_entry_new(ent->len);
        if (entry == NULL)
            break;
        entry->term = ent->term;
        entry->index = ent->index;
        entry->type = ent->type;
        if (ent->len > 0)
            memcpy(entry->data, ent->data, ent->len);
        w->entries[n] = entry;
    }
    w->hi = w->lo + n;
}

static void read_done(struct env_job *job)
{
    struct region_window *w = container_of(job, struct region_window, job);
    struct region *r = w->region;
    w->reading = false;
    w->used = r->rs->ticks;
    if (w->rc == ERR_OK && !r->rs->closing)
        take(w);
    else
        w->hi = w->lo;
    buf_free(&w->bytes);
    if (w->rc != ERR_OK && w->rc != ERR_NOT_FOUND) {
        region_fail(r->rs, w->rc, &w->error);
        return;
    }
    region_apply_fed(r);
    for (unsigned i = 0; i < r->meta.conf.n; i++)
        raft_kick(r->raft, r->meta.conf.id[i]);
    region_touch(r);
}

/* A window that is free, or the one that was used least lately; NULL: all are being read. */
static struct region_window *window_for(struct region *r)
{
    struct region_window *best = NULL;
    for (unsigned i = 0; i < REGION_WINDOWS; i++) {
        struct region_window *w = r->windows[i];
        if (w == NULL) {
            w = r->windows[i] = calloc(1, sizeof *w);
            if (w == NULL)
                abort(); /* small and fixed */
            w->region = r;
            w->job = (struct env_job){ .run = read_run, .done = read_done };
            return w;
        }
        if (!w->reading && (best == NULL || w->used < best->used))
            best = w;
    }
    return best;
}

void region_window_read(struct region *r)
{
    raft_index lo = r->wanted, hi = raft_last(r->raft) + 1;
    r->wanted = 0;
    for (unsigned i = 0; i < REGION_WINDOWS; i++)
        if (r->windows[i] != NULL && r->windows[i]->reading && r->windows[i]->lo == lo)
            return;
    struct region_window *w = lo < hi && r->rs->read_lane != NULL ? window_for(r) : NULL;
    if (w == NULL)
        return; /* it will be asked for again */
    window_clear(w);
    if (w->ents == NULL && (w->ents = malloc(REGION_WINDOW_COUNT * sizeof *w->ents)) == NULL)
        return;
    w->lo = lo;
    w->hi = hi;
    w->reading = true;
    w->error = (struct err){ 0 };
    env_work(r->rs->read_lane, &w->job);
}

void region_window_trim(struct region *r)
{
    for (unsigned i = 0; i < REGION_WINDOWS; i++) {
        struct region_window *w = r->windows[i];
        if (w == NULL || w->reading || r->rs->ticks - w->used < UNUSED_TICKS)
            continue;
        window_free(w);
        r->windows[i] = NULL;
    }
}

void region_window_close(struct region *r)
{
    for (unsigned i = 0; i < REGION_WINDOWS; i++)
        if (r->windows[i] != NULL) {
            assert(!r->windows[i]->reading); /* its lane has gone */
            window_free(r->windows[i]);
            r->windows[i] = NULL;
        }
}
