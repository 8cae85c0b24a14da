/* Owned copies of messages and entries: what is on its way, and the payloads of a log. */
#include "script_int.h"

#include <assert.h>
#include <stdlib.h>

void *must(void *memory)
{
    if (memory == NULL)
        abort();
    return memory;
}

struct raft_ent ent_copy(const struct raft_ent *ent)
{
    struct raft_ent copy = *ent;
    copy.data = must(malloc(ent->len + 1u));
    if (ent->len > 0)
        memcpy((void *)(uintptr_t)copy.data, ent->data, ent->len);
    return copy;
}

void ents_free(struct raft_ent *ents, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        free((void *)(uintptr_t)ents[i].data);
    free(ents);
}

void wire_free(struct wire *w)
{
    ents_free(w->ents, w->m.nents);
    for (uint32_t i = 0; i < w->nresp; i++)
        wire_free(&w->resp[i]);
    free(w->resp);
    *w = (struct wire){ 0 };
}

void wire_copy(struct wire *to, const struct wire *from)
{
    *to = *from;
    to->ents = must(calloc(from->m.nents + 1u, sizeof *to->ents));
    for (uint32_t i = 0; i < from->m.nents; i++)
        to->ents[i] = ent_copy(&from->ents[i]);
    to->m.ents = to->ents;
    to->m.snap = from->m.snap != NULL ? &to->snap : NULL;
    to->resp = must(calloc(from->nresp + 1u, sizeof *to->resp));
    for (uint32_t i = 0; i < from->nresp; i++)
        wire_copy(&to->resp[i], &from->resp[i]);
}

/* Binds what a wire's message points to after the wire was moved. */
struct raft_msg *wire_msg(struct wire *w)
{
    w->m.ents = w->ents;
    if (w->m.snap != NULL)
        w->m.snap = &w->snap;
    return &w->m;
}

void queue_push(struct queue *q, struct wire w)
{
    if (q->n == q->cap) {
        q->cap = q->cap == 0 ? 16 : 2 * q->cap;
        q->items = must(realloc(q->items, q->cap * sizeof *q->items));
    }
    q->items[q->n++] = w;
    wire_msg(&q->items[q->n - 1]);
}

struct wire queue_take(struct queue *q, size_t at)
{
    struct wire w = q->items[at];
    memmove(q->items + at, q->items + at + 1, (q->n - at - 1) * sizeof *q->items);
    q->n--;
    return w;
}

void queue_free(struct queue *q)
{
    for (size_t i = 0; i < q->n; i++)
        wire_free(&q->items[i]);
    free(q->items);
    *q = (struct queue){ 0 };
}
/* ---- The log's payloads ------------------------------------------------------------------------------------- */

void ents_put(struct raft_ent **ents, size_t *n, size_t *cap, raft_index *first,
              const struct raft_ent *more, uint32_t count)
{
    if (count == 0)
        return;
    if (*n == 0)
        *first = more[0].index;
    assert(more[0].index >= *first && more[0].index <= *first + *n);
    while (*first + *n > more[0].index)
        free((void *)(uintptr_t)(*ents)[--*n].data);
    for (uint32_t i = 0; i < count; i++) {
        if (*n == *cap) {
            *cap = *cap == 0 ? 32 : 2 * *cap;
            *ents = must(realloc(*ents, *cap * sizeof **ents));
        }
        (*ents)[(*n)++] = ent_copy(&more[i]);
    }
}

void ents_drop(struct raft_ent *ents, size_t *n, raft_index *first, raft_index upto)
{
    size_t gone = upto >= *first ? upto + 1 - *first : 0;
    if (gone > *n)
        gone = *n;
    for (size_t i = 0; i < gone; i++)
        free((void *)(uintptr_t)ents[i].data);
    if (gone > 0)
        memmove(ents, ents + gone, (*n - gone) * sizeof *ents);
    *n -= gone;
    *first = upto + 1;
}
