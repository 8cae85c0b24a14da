/* Which segment is still needed: see ledger.h for the picture. */
#include "ledger.h"

#include <assert.h>
#include <stdlib.h>

void ledger_free(struct ledger *ledger)
{
    free(ledger->seals);
    for (unsigned kind = 0; kind < LEDGER_LOCALS; kind++)
        buf_free(&ledger->locals[kind].value);
    *ledger = (struct ledger){ 0 };
}

static struct ledger_seal *newest(struct ledger *ledger)
{
    assert(ledger->count > 0);
    return &ledger->seals[ledger->count - 1];
}

void ledger_segment(struct ledger *ledger, uint64_t segment)
{
    if (ledger->count > 0 && newest(ledger)->segment == segment)
        return;
    if (ledger->count == ledger->cap) {
        ledger->cap = ledger->cap == 0 ? 8 : ledger->cap * 2;
        ledger->seals = realloc(ledger->seals, ledger->cap * sizeof ledger->seals[0]);
        if (ledger->seals == NULL)
            abort(); /* small: one per segment */
    }
    ledger->seals[ledger->count++] = (struct ledger_seal){ .segment = segment };
}

void ledger_append(struct ledger *ledger, struct raft_hs hs, raft_index last, raft_term term)
{
    struct ledger_seal *seal = newest(ledger);
    ledger->hs = hs;
    ledger->hs_segment = seal->segment;
    if (last == 0)
        return;
    seal->last = last;
    seal->term = term;
    ledger->last = last;
}

void ledger_cut(struct ledger *ledger, raft_index index, raft_term term)
{
    ledger->cut = index;
    ledger->cut_term = term;
    if (ledger->last < index)
        ledger->last = index;
}

err_t ledger_local(struct ledger *ledger, uint32_t kind, struct bytes value)
{
    assert(kind < LEDGER_LOCALS);
    buf_clear(&ledger->locals[kind].value);
    ledger->locals[kind].segment = newest(ledger)->segment;
    return buf_append(&ledger->locals[kind].value, value);
}

bool ledger_oldest_spent(const struct ledger *ledger, raft_index durable)
{
    return ledger->count > 1 && ledger->seals[0].last <= durable;
}

static void after_oldest(const struct ledger *ledger, raft_index *cut, raft_term *term)
{
    const struct ledger_seal *oldest = &ledger->seals[0];
    bool moves = oldest->last > ledger->cut;
    *cut = moves ? oldest->last : ledger->cut;
    *term = moves ? oldest->term : ledger->cut_term;
}

void ledger_forward(const struct ledger *ledger, struct wal_batch *batch)
{
    uint64_t oldest = ledger->seals[0].segment;
    raft_index cut;
    raft_term term;
    after_oldest(ledger, &cut, &term);
    wal_batch_cut(batch, LEDGER_REGION, cut, term);
    if (ledger->hs_segment == oldest)
        wal_batch_append(batch, LEDGER_REGION, ledger->hs, ledger->last + 1, NULL, 0);
    for (unsigned kind = 0; kind < LEDGER_LOCALS; kind++)
        if (ledger->locals[kind].segment == oldest && kind != STORAGE_LOCAL_CLEAN)
            wal_batch_local(batch, kind, buf_bytes(&ledger->locals[kind].value));
}

void ledger_drop_oldest(struct ledger *ledger, uint64_t segment)
{
    uint64_t oldest = ledger->seals[0].segment;
    after_oldest(ledger, &ledger->cut, &ledger->cut_term);
    if (ledger->hs_segment == oldest)
        ledger->hs_segment = segment;
    for (unsigned kind = 0; kind < LEDGER_LOCALS; kind++)
        if (ledger->locals[kind].segment == oldest)
            ledger->locals[kind].segment = kind == STORAGE_LOCAL_CLEAN ? 0 : segment;
    ledger->count--;
    memmove(ledger->seals, ledger->seals + 1, ledger->count * sizeof ledger->seals[0]);
}
