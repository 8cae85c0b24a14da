/* Many regions on one store: writes become log entries, entries become state, reads see it.
 *
 *   region_propose ... (one turn of the loop)          transport --batch--> region_store_receive
 *          |  turn hook                                                           |
 *          v                                                                      v
 *   one entry a region and turn ------------> raft (one group a region) <---------+
 *                                              | ready
 *                 all regions' records --------+---> LOG lane: one write, one sync; then acks and votes leave
 *                 one batch a peer store <-----+     appends leave before our own sync ends
 *                                              | committed
 *   done(write) <--- results --- APPLY lane, or the loop: one engine batch for all regions of the turn
 *
 * What holds. A write is answered OK after a quorum has it durable and this store has applied it. A read takes the
 * commit index at its arrival, proves that this replica led then (lease, or a round of ReadIndex), and waits until
 * that index is applied (thesis 6.4). Only what is locally durable is applied, so no read sees what a crash can
 * take. Whoever does not lead answers NOT_LEADER and whom it follows: nothing was done.
 *
 * Everything here is called on the loop thread. Operations are embedded in their callers' memory: nothing is
 * allocated per request, one entry per region and turn. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/histogram.h"
#include "base/list.h"
#include "base/logger.h"
#include "env/env.h"
#include "raft/raft.h"
#include "region/transport.h"
#include "storage/state.h"

struct region_store; /* all regions of one store */
struct region;

enum { REGION_SYSTEM = 1 }; /* the region that holds namespaces and the timestamp oracle's window */

struct region_config {
    uint64_t uncommitted_bytes_max;    /* proposed and not yet answered; above: SERVER_IS_BUSY */
    uint32_t uncommitted_max;          /* the same by count of commands */
    uint32_t busy_backoff_ms;          /* suggested with SERVER_IS_BUSY */
    uint32_t reads_max;                /* reads and scans that wait or run in the READ lane */
    uint32_t apply_inline_bytes;       /* a turn up to that size is applied on the loop thread */
    uint32_t samples;                  /* keys in the reservoir */
    uint32_t disk_reserve_percent;     /* free space below which writes answer DISK_FULL */
    uint32_t max_offset_ms;            /* a stamp further ahead is HLC_REFUSED */
    uint32_t hlc_window_ms;            /* how far ahead the HLC's bound is saved */
    uint32_t tick_ms;                  /* Raft's unit of time; 0: 100 */
    uint32_t election_ticks;           /* 0: 10 */
    uint32_t heartbeat_ticks;          /* 0: 3 */
    uint64_t cache_bytes;              /* entries kept for followers that are behind; 0: 64 MiB */
    struct region_transport transport; /* may be zeros where every region has one replica */
    const char *path; /* whose file system must have room; must outlive the store */
    /* A write, a sync or the engine has failed: the store is latched. Called once; the node must
     * exit. */
    void (*failed)(void *user, err_t rc, const char *why);
    void *user;
};

/* Opens every region that the store knows. `store` stays the caller's and must outlive this. */
MUST_USE err_t region_store_open(struct env *env, struct logger *log, struct storage *store,
                                 const struct region_config *config, struct region_store **ret,
                                 struct err *e);
/* Asks followers to take over what this store leads; soon, or never if there is nobody. */
void region_store_hand_over(struct region_store *rs);
/* Finishes what can be finished alone and, if `clean`, writes the last local records; from here on everything
 * is refused with UNAVAILABLE. Blocks; on the loop thread, outside of hooks and of operations'
 * `done`. */
void region_store_stop(struct region_store *rs, bool clean);
/* Frees a stopped store. NULL is welcome. */
void region_store_close(struct region_store *rs);

/* A batch of messages has come from a peer store (message.h); `body` is borrowed for the call. ERR_CORRUPTION: it is
 * none. */
MUST_USE err_t region_store_receive(struct region_store *rs, uint64_t from, struct bytes body,
                                    struct err *e);
/* What was sent to that store lately did not arrive. */
void region_store_unreachable(struct region_store *rs, uint64_t store);

/* Which region and epoch the client believes in; zeros: not given. */
struct region_context {
    uint64_t region_id, conf_ver, version, peer_id;
    uint64_t hlc; /* a stamp that the client has seen; 0: none */
};

/* Whom to ask instead, with NOT_LEADER. */
struct region_hint {
    uint64_t region_id, leader_store; /* 0: not known */
};

/* ---- Writes ------------------------------------------------------------------------------- */

/* Commands that are one request: in one log entry, applied in order, each with its own result. */
struct region_write {
    const struct command *commands; /* decoded; borrowed with their bodies until `done` */
    const struct bytes *bodies;
    uint32_t count;
    uint64_t deadline; /* env_now() after which it is not begun any more; UINT64_MAX: never */
    void (*done)(struct region_write *w);

    /* Set at `done`. rc OK: applied, see region_write_result(). UNDETERMINED: it may or may not
     * happen. Others: nothing was done. */
    err_t rc;
    uint32_t backoff_ms;     /* with SERVER_IS_BUSY */
    struct region_hint hint; /* with NOT_LEADER */
    uint64_t hlc;            /* the entry's stamp, packed */
    struct err error;        /* text of rc */

    struct list node; /* from here on: the region's */
    const struct storage_apply *apply;
    uint32_t slot, first; /* its entry in `apply`; its first command in the entry */
    size_t cost;
    uint64_t began;
};
/* Calls w->done once: before it returns if the write is refused, else in a later turn. */
void region_propose(struct region_store *rs, struct region_write *w);
/* What became of command `i`. Valid inside `done`, with rc OK. */
const struct storage_result *region_write_result(const struct region_write *w, uint32_t i);

/* ---- Reads -------------------------------------------------------------------------------- */

/* A read's way: asked (a round of ReadIndex is under way) -> index known -> applied. The region's. */
struct region_wait {
    struct list node;
    struct region *region;
    uint64_t round; /* of ReadIndex */
    raft_index index;
    uint64_t deadline;
    void (*go)(struct region_wait *w, err_t rc); /* ERR_OK: it may be served now */
};

struct region_read {
    struct region_context context;
    bool cas;
    uint32_t ns;
    struct bytes key;  /* borrowed until `done` */
    struct buf *value; /* the value is appended here; untouched from other places until `done` */
    uint64_t deadline;
    void (*done)(struct region_read *q);

    err_t rc; /* NOT_FOUND; SERVER_IS_BUSY, ... */
    uint32_t backoff_ms;
    struct region_hint hint; /* with NOT_LEADER */
    uint64_t version;        /* versioned keys; with NOT_FOUND the tombstone's, or 0 */
    struct err error;

    struct region_wait wait; /* from here on: the region's */
    struct env_job job;
};
/* Calls q->done once: before it returns if memory had the answer, else in a later turn. */
void region_get(struct region_store *rs, struct region_read *q);

struct region_scan {
    struct region_context context;
    struct storage_scan args; /* its keys are borrowed until `done` */
    uint64_t deadline;
    /* Called for every row, on the READ lane's thread. */
    err_t (*row)(void *user, struct bytes key, uint64_t version, struct bytes value);
    void *user;
    void (*done)(struct region_scan *s);

    err_t rc;
    uint32_t backoff_ms;
    struct region_hint hint;
    bool more;       /* rows are left, from `next` on */
    struct buf next; /* the caller frees it */
    struct err error;

    struct region_wait wait; /* from here on: the region's */
    struct env_job job;
    uint64_t rows, row_bytes;
};
/* Calls s->done once; in a later turn unless it is refused. */
void region_scan(struct region_store *rs, struct region_scan *s);

/* Waits until this store has proved that it leads the region, and has applied all that was committed when it was
 * asked: what the caller then reads of the applied state is linearizable. */
struct region_barrier {
    uint64_t region_id;
    uint64_t deadline;
    void (*done)(struct region_barrier *b);

    err_t rc;
    uint32_t backoff_ms;
    struct region_hint hint;
    raft_term term; /* in which it leads */
    struct err error;

    struct region_wait wait; /* from here on: the region's */
};
/* Calls b->done once: before it returns if a lease says so, else in a later turn. */
void region_barrier(struct region_store *rs, struct region_barrier *b);

/* ---- Clock -------------------------------------------------------------------------------- */

/* A stamp of now for what is not written (views, the console): at least every stamp issued. */
uint64_t region_hlc(const struct region_store *rs);
/* Takes in a stamp from outside; ERR_HLC_REFUSED, and nothing changed, if it is too far ahead. */
MUST_USE err_t region_hlc_observe(struct region_store *rs, uint64_t stamp, struct err *e);

/* ---- Facts -------------------------------------------------------------------------------- */

/* Of the store: all its regions together. */
struct region_stats {
    raft_index committed, applied; /* sums over the regions */
    uint64_t regions, leaders;
    uint64_t reads, writes, conflicts; /* keys read; commands applied; CAS conflicts */
    double reads_per_s, writes_per_s;  /* decayed means of the last minute */
    uint64_t approx_bytes, approx_keys;
    uint64_t uncommitted, uncommitted_bytes; /* now */
    uint64_t reads_waiting;                  /* for a round, for apply, or in the READ lane; now */
    uint64_t turns, turns_inline;            /* apply batches; of them on the loop thread */
    uint64_t reads_cached, reads_lane;       /* served from memory; by the READ lane */
    uint64_t refused_busy, refused_disk, refused_hlc, refused_epoch, refused_leader, expired;
    uint64_t undetermined, clock_jumps;
    uint64_t messages_in, messages_out, messages_refused, batches_out;
    uint64_t elections;   /* won by this store */
    uint64_t replayed;    /* entries that the log had at the start and the engine had not */
    uint64_t cache_bytes; /* of entries in memory */
    uint64_t disk_available, disk_total;
    bool disk_full;
    bool latched;
    uint64_t sync_began; /* env_now() when the running log write was given away; 0: none runs */
    struct histogram sync_us, apply_us, write_us; /* a turn's log write and sync; its apply; a
                                                     write from proposal to answer */
    struct storage_stats storage;                 /* at most about a second old */
};
/* Borrowed: as it stands, until the next turn. */
const struct region_stats *region_stats(const struct region_store *rs);

/* Of one region. */
struct region_peer_info {
    uint64_t id, store;
    bool voter, learner, active;
    raft_index match; /* on the leader */
};
struct region_info {
    uint64_t id, conf_ver, version, peer_id, leader_peer, leader_store;
    struct bytes start, end; /* borrowed until the next turn; encoded keys (namespace, user key) */
    bool end_unbounded, leads, broken;
    raft_term term;
    raft_index first, last, committed, applied;
    uint64_t applied_hlc; /* of the newest applied entry that has a stamp; 0: there was none */
    size_t peer_count;
    struct region_peer_info peers[RAFT_MAX_PEERS];
};
/* Calls `each` in the order of ranges. */
void region_each(struct region_store *rs, void (*each)(void *user, const struct region_info *info),
                 void *user);
/* ERR_REGION_NOT_FOUND. */
MUST_USE err_t region_info(struct region_store *rs, uint64_t id, struct region_info *ret);
/* True while this store leads the region and has applied an entry of its own term; `*term` (may be NULL) is that
 * term. It may already have been deposed: who answers by it needs a region_barrier(). */
bool region_leads(const struct region_store *rs, uint64_t id, raft_term *term);
/* Asks the region's leader, which must be this store, to hand over to the peer on `store`. */
MUST_USE err_t region_transfer(struct region_store *rs, uint64_t id, uint64_t store, struct err *e);

/* Keys drawn evenly from what was read and written, the newer ones likelier. Sorted, without
 * doubles; valid until the next call. Answers how many. */
size_t region_samples(struct region_store *rs, const struct bytes **keys);
