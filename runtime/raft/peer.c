/* The progress of one member (peer.h has the picture). */
#include "peer.h"

#include <assert.h>
#include <string.h>

static raft_index lesser(raft_index a, raft_index b)
{
    return a < b ? a : b;
}

static raft_index greater(raft_index a, raft_index b)
{
    return a > b ? a : b;
}

static void enter(struct raft_peer *p, enum raft_peer_state state)
{
    p->paused = false;
    p->pending_snap = 0;
    p->state = (uint8_t)state;
    p->flight.head = p->flight.count = 0;
    p->flight.bytes = 0;
}

void raft_peer_probe(struct raft_peer *p)
{
    raft_index sent = p->state == RAFT_SNAPSHOT ? p->pending_snap : 0;
    enter(p, RAFT_PROBE);
    p->next =
        greater(p->match, sent) + 1; /* the snapshot may have arrived although nobody said so */
    p->sent_commit = lesser(p->sent_commit, p->next - 1);
}

void raft_peer_replicate(struct raft_peer *p)
{
    enter(p, RAFT_REPLICATE);
    p->next = p->match + 1;
}

void raft_peer_snapshot(struct raft_peer *p, raft_index index)
{
    enter(p, RAFT_SNAPSHOT);
    p->pending_snap = index;
    p->next = index + 1;
    p->sent_commit = index;
}

bool raft_peer_paused(const struct raft_peer *p)
{
    return p->state == RAFT_SNAPSHOT || p->paused;
}

bool raft_peer_full(const struct raft_peer *p, const struct raft_window *w)
{
    return p->flight.count >= w->msgs || (w->bytes != 0 && p->flight.bytes >= w->bytes);
}

err_t raft_peer_reserve(struct raft_peer *p, const struct raft_window *w)
{
    struct raft_flight *f = &p->flight;
    if (p->state != RAFT_REPLICATE || f->count < f->cap)
        return ERR_OK;
    uint32_t cap = f->cap == 0 ? 8 : f->cap * 2;
    struct raft_flight_one *ring = w->mem(w->mem_ctx, NULL, cap * sizeof *ring);
    if (ring == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < f->count; i++)
        ring[i] = f->ring[(f->head + i) % f->cap];
    w->mem(w->mem_ctx, f->ring, 0);
    f->ring = ring;
    f->cap = cap;
    f->head = 0;
    return ERR_OK;
}

void raft_peer_sent(struct raft_peer *p, const struct raft_window *w, uint32_t n, uint64_t bytes)
{
    if (p->state == RAFT_PROBE) {
        p->paused = p->paused || n > 0;
        return;
    }
    assert(p->state == RAFT_REPLICATE);
    if (n > 0) {
        struct raft_flight *f = &p->flight;
        assert(f->count < f->cap);
        p->next += n;
        f->ring[(f->head + f->count++) % f->cap] =
            (struct raft_flight_one){ .last = p->next - 1, .bytes = bytes };
        f->bytes += bytes;
    }
    p->paused = raft_peer_full(p, w);
}

bool raft_peer_acked(struct raft_peer *p, raft_index index)
{
    if (index <= p->match)
        return false;
    p->match = index;
    p->next = greater(p->next, index + 1);
    p->paused = false;
    return true;
}

bool raft_peer_rejected(struct raft_peer *p, raft_index rejected, raft_index hint)
{
    if (p->state == RAFT_REPLICATE) {
        if (rejected <= p->match)
            return false; /* the peer has it by now */
        p->next = p->match + 1;
    } else {
        if (p->next - 1 != rejected)
            return false; /* an answer to an older probe */
        p->next = greater(lesser(rejected, hint + 1), p->match + 1);
        p->paused = false;
    }
    p->sent_commit = lesser(p->sent_commit, p->next - 1);
    return true;
}

void raft_peer_free_to(struct raft_peer *p, raft_index index)
{
    struct raft_flight *f = &p->flight;
    while (f->count > 0 && f->ring[f->head].last <= index) {
        f->bytes -= f->ring[f->head].bytes;
        f->head = (f->head + 1) % f->cap;
        f->count--;
    }
}
