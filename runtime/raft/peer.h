/* What a leader knows of one member, and how it feeds it.
 *
 *              rejected append, unreachable
 *            +-----------------------------+
 *            v                             |
 *         PROBE ------- an ack ------> REPLICATE      probe: one append at a time, from match + 1
 *          ^  |                            |          replicate: optimistic, up to a full window
 *   done,  |  | what it needs is compacted |          snapshot: nothing until it is reported or acknowledged
 *   failed |  v                            v
 *         SNAPSHOT <-----------------------+
 *
 * match < next always. The window (flight) is a ring of {last index, bytes} of appends under way, grown on demand. */
#pragma once

#include "raft/raft.h"

struct raft_flight {
    struct raft_flight_one {
        raft_index last;
        uint64_t bytes;
    } * ring;
    uint32_t cap, head, count;
    uint64_t bytes;
};

struct raft_peer {
    raft_index match, next;
    raft_index sent_commit;  /* the largest commit index that was sent */
    raft_index pending_snap; /* SNAPSHOT: the index on its way */
    uint64_t read_ack;       /* the largest read sequence that was confirmed */
    struct raft_flight flight;
    uint8_t state; /* enum raft_peer_state */
    bool paused;   /* an append is in flight (probe), or the window is full (replicate) */
    bool active;   /* heard of since the last check of the quorum */
};

struct raft_window {
    uint32_t msgs;
    uint64_t bytes; /* 0: no limit */
    void *(*mem)(void *ctx, void *old, size_t size);
    void *mem_ctx;
};

void raft_peer_probe(struct raft_peer *p);
void raft_peer_replicate(struct raft_peer *p);
void raft_peer_snapshot(struct raft_peer *p, raft_index index);
bool raft_peer_paused(const struct raft_peer *p);
bool raft_peer_full(const struct raft_peer *p, const struct raft_window *w);
/* Room in the ring for one more append. ERR_NOMEM, nothing changed. */
MUST_USE err_t raft_peer_reserve(struct raft_peer *p, const struct raft_window *w);
/* An append of n entries with that many bytes was sent, from p->next on. */
void raft_peer_sent(struct raft_peer *p, const struct raft_window *w, uint32_t n, uint64_t bytes);
/* The peer acknowledged everything up to `index`. False: it is no news. */
bool raft_peer_acked(struct raft_peer *p, raft_index index);
/* The peer rejected an append at `rejected` and hints where it may match. False: a stale answer. */
bool raft_peer_rejected(struct raft_peer *p, raft_index rejected, raft_index hint);
/* Frees the window up to `index`. */
void raft_peer_free_to(struct raft_peer *p, raft_index index);
/* Would another append tell it of a newer commit? */
static inline bool raft_peer_wants_commit(const struct raft_peer *p, raft_index commit)
{
    return commit > p->sent_commit && p->sent_commit < p->next - 1;
}
