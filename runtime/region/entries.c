#include "entries.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>

struct region_entry *region_entry_new(uint32_t len)
{
    struct region_entry *entry = malloc(sizeof *entry + len);
    if (entry != NULL)
        *entry = (struct region_entry){ .refs = 1, .len = len };
    return entry;
}

struct region_entry *region_entry_ref(struct region_entry *entry)
{
    entry->refs++;
    return entry;
}

void region_entry_unref(struct region_entry *entry)
{
    if (entry == NULL)
        return;
    assert(entry->refs > 0);
    if (--entry->refs == 0)
        free(entry);
}

struct region_entry *region_entry_of(const void *data)
{
    return (struct region_entry *)((uintptr_t)data - offsetof(struct region_entry, data));
}

struct raft_ent region_entry_ent(const struct region_entry *entry)
{
    return (struct raft_ent){ .term = entry->term,
                              .index = entry->index,
                              .len = entry->len,
                              .type = entry->type,
                              .data = entry->data };
}

static struct region_entry **place(const struct region_entries *c, uint32_t i)
{
    return &c->ring[(c->at + i) & (c->cap - 1)];
}

static void drop_first(struct region_entries *c)
{
    struct region_entry *entry = *place(c, 0);
    c->bytes -= entry->len;
    region_entry_unref(entry);
    c->at = (c->at + 1) & (c->cap - 1);
    c->count--;
    c->first++;
}

static void drop_last(struct region_entries *c)
{
    struct region_entry *entry = *place(c, --c->count);
    c->bytes -= entry->len;
    region_entry_unref(entry);
}

void region_entries_free(struct region_entries *c)
{
    while (c->count > 0)
        drop_last(c);
    free(c->ring);
    *c = (struct region_entries){ 0 };
}

static void grow(struct region_entries *c)
{
    uint32_t cap = c->cap == 0 ? 16 : c->cap * 2;
    struct region_entry **ring = malloc(cap * sizeof(void *));
    if (ring == NULL)
        abort(); /* pointers alone: small beside what they point to */
    for (uint32_t i = 0; i < c->count; i++)
        ring[i] = *place(c, i);
    free(c->ring);
    c->ring = ring;
    c->cap = cap;
    c->at = 0;
}

void region_entries_push(struct region_entries *c, struct region_entry *entry)
{
    if (c->count > 0 && (entry->index < c->first || entry->index > c->first + c->count))
        region_entries_drop(c, UINT64_MAX);
    while (c->count > 0 && entry->index < c->first + c->count)
        drop_last(c);
    if (c->count == 0)
        c->first = entry->index;
    if (c->count == c->cap)
        grow(c);
    *place(c, c->count++) = entry;
    c->bytes += entry->len;
}

struct region_entry *region_entries_get(const struct region_entries *c, raft_index index)
{
    if (index < c->first || index >= c->first + c->count)
        return NULL;
    return *place(c, (uint32_t)(index - c->first));
}

void region_entries_drop(struct region_entries *c, raft_index index)
{
    while (c->count > 0 && c->first <= index)
        drop_first(c);
    if (c->count == 0 && c->cap > 64) { /* an idle region keeps little */
        free(c->ring);
        *c = (struct region_entries){ 0 };
    }
}
