/* A region on its store: writes become log entries, entries become state, reads see it.
 *
 *   region_propose ... (one turn of the loop)
 *          |  turn hook: all that waits becomes one turn, if no sync is running
 *          v
 *   storage_append_sync   LOG lane      one entry, one write, one sync
 *          |  commit: in a group of one, what this store has synced. Raft will stand here
 *          v
 *   storage_apply         APPLY lane, or the loop thread while the lane is idle and the turn small
 *          |
 *          v
 *   done(write)           acknowledged: durable, applied, visible
 *
 * For now a store has one region: id 1, epoch {1,1}, the whole range, this replica alone.
 *
 * What holds. A write is answered OK after it is synced and applied, so every read that begins
 * later sees it. A read takes the commit index at its arrival and waits until that is applied: it
 * sees everything committed before it came, though nobody was told of it yet. Nothing is applied
 * that is not synced, so no read sees what a crash can take. With one replica its own log is the
 * majority and it leads for ever: no read needs to ask anybody (a lease or ReadIndex will replace
 * that, never the wait).
 *
 * Everything here is called on the loop thread. Operations are embedded in their callers' memory:
 * the region allocates nothing per request. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/histogram.h"
#include "base/list.h"
#include "base/logger.h"
#include "env/env.h"
#include "raft/raft.h"
#include "storage/store.h"

struct region;

enum { REGION_ID = 1, REGION_CONF_VER = 1, REGION_VERSION = 1, REGION_PEER_ID = 1 };

struct region_config {
    uint64_t uncommitted_bytes_max; /* proposed and not yet answered; above: SERVER_IS_BUSY */
    uint32_t uncommitted_max;       /* the same by count of commands */
    uint32_t busy_backoff_ms;       /* suggested with SERVER_IS_BUSY */
    uint32_t reads_max;             /* reads and scans that wait or run in the READ lane */
    uint32_t apply_inline_bytes;    /* a turn up to that size is applied on the loop thread */
    uint32_t samples;               /* keys in the reservoir */
    uint32_t disk_reserve_percent;  /* free space below which writes answer DISK_FULL */
    uint32_t max_offset_ms;         /* a client's stamp further ahead is HLC_REFUSED */
    uint32_t hlc_window_ms;         /* how far ahead the HLC's bound is saved */
    const char *path;               /* whose file system must have room; must outlive the region */
    /* A write, a sync or the engine has failed: the store is latched. Called once; the node must
     * exit. */
    void (*failed)(void *user, err_t rc, const char *why);
    void *user;
};

/* `store` stays the caller's and must outlive the region. */
MUST_USE err_t region_open(struct env *env, struct logger *log, struct storage *store,
                           const struct region_config *config, struct region **ret, struct err *e);
/* Finishes what was begun and, if `clean`, writes the last local records; from here on everything
 * is refused with UNAVAILABLE. Blocks; on the loop thread, outside of hooks and of operations'
 * `done`. */
void region_stop(struct region *r, bool clean);
/* Frees a stopped region. NULL is welcome. */
void region_close(struct region *r);

/* Which region and epoch the client believes in; zeros: not given. */
struct region_context {
    uint64_t region_id, conf_ver, version, peer_id;
    uint64_t hlc; /* a stamp that the client has seen; 0: none */
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
    uint32_t backoff_ms; /* with SERVER_IS_BUSY */
    uint64_t hlc;        /* the entry's stamp, packed */
    struct err error;    /* text of rc */

    struct list node; /* from here on: the region's */
    const struct storage_turn *turn;
    uint32_t first_slot;
    size_t cost;
    uint64_t began;
};
/* Calls w->done once: before it returns if the write is refused, else in a later turn. */
void region_propose(struct region *r, struct region_write *w);
/* What became of command `i`. Valid inside `done`, with rc OK. */
const struct storage_result *region_write_result(const struct region_write *w, uint32_t i);

/* A record of the store's own that must be durable before it is relied on. */
struct region_local {
    enum storage_local kind;
    uint8_t value[16];
    uint32_t len;
    void (*done)(struct region_local *l, err_t rc);
    struct list node;
};
/* Calls l->done once, in a later turn: OK when it is synced. Not limited by the disk's reserve. */
void region_propose_local(struct region *r, struct region_local *l);
/* The record that region_stop() writes, so that a clean restart need not skip ahead. */
void region_local_at_close(struct region *r, enum storage_local kind, struct bytes value);

/* ---- Reads -------------------------------------------------------------------------------- */

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
    uint64_t version; /* versioned keys; with NOT_FOUND the tombstone's, or 0 */
    struct err error;

    struct list node; /* from here on: the region's */
    struct env_job job;
    struct region *region;
    raft_index wait;
};
/* Calls q->done once: before it returns if memory had the answer, else in a later turn. */
void region_get(struct region *r, struct region_read *q);

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
    bool more;       /* rows are left, from `next` on */
    struct buf next; /* the caller frees it */
    struct err error;

    struct list node; /* from here on: the region's */
    struct env_job job;
    struct region *region;
    raft_index wait;
    uint64_t rows, row_bytes;
};
/* Calls s->done once; in a later turn unless it is refused. */
void region_scan(struct region *r, struct region_scan *s);

/* ---- Clock -------------------------------------------------------------------------------- */

/* A stamp of now for what is not written (views, the console): at least every stamp issued. */
uint64_t region_hlc(const struct region *r);
/* Takes in a stamp from outside; ERR_HLC_REFUSED, and nothing changed, if it is too far ahead. */
MUST_USE err_t region_hlc_observe(struct region *r, uint64_t stamp, struct err *e);

/* ---- Facts -------------------------------------------------------------------------------- */

struct region_stats {
    raft_index committed, applied;
    uint64_t reads, writes, conflicts; /* keys read; commands applied; CAS conflicts */
    double reads_per_s, writes_per_s;  /* decayed means of the last minute */
    uint64_t approx_bytes, approx_keys;
    uint64_t uncommitted, uncommitted_bytes; /* now */
    uint64_t reads_waiting;                  /* for apply, or in the READ lane; now */
    uint64_t turns, turns_inline;            /* turns logged; of them applied on the loop thread */
    uint64_t reads_cached, reads_lane;       /* served from memory; by the READ lane */
    uint64_t refused_busy, refused_disk, refused_hlc, refused_epoch, expired, clock_jumps;
    uint64_t disk_available, disk_total;
    bool disk_full;
    bool latched;
    uint64_t sync_began; /* env_now() when the running log write was given away; 0: none runs */
    struct histogram sync_us, apply_us, write_us; /* a turn's log write and sync; its apply; a
                                                     write from proposal to answer */
    struct storage_stats storage;                 /* at most about a second old */
};
/* Borrowed: as it stands, until the next turn. */
const struct region_stats *region_stats(const struct region *r);

/* Keys drawn evenly from what was read and written, the newer ones likelier. Sorted, without
 * doubles; valid until the next call. Answers how many. */
size_t region_samples(struct region *r, const struct bytes **keys);
