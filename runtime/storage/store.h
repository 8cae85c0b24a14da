/* A store: one directory with a write-ahead log and an engine of applied state.
 *
 *   dir/LOCK IDENT WATERMARK PANIC(after a failed write)   wal/   db/
 *
 * Two ways in. The library: blocking calls (storage_put_raw, storage_cas, ...) from any number of
 * threads, without network or consensus, on a store that was opened `alone`: region 1, a group of
 * one. Callers that meet share one log write and one sync (group commit). A node uses the halves of
 * the same path for all of its regions, each in the lane where it belongs,
 *
 *   storage_sync (log.h, LOG lane)  ->  consensus  ->  storage_apply_run (state.h, APPLY lane or loop)
 *
 * and reads by the calls below. A command is acknowledged after its apply. After any failed write or sync the
 * store is latched: every call answers the first error, the panic mark is left, and the process is expected
 * to exit (faults.md R4). An error of a write means "unknown", never "not applied". */
#pragma once

#include "base/buf.h"
#include "base/digest.h"
#include "base/err.h"
#include "env/env.h"
#include "raft/raft.h"
#include "storage/command.h"
#include "storage/engine.h"

struct storage;

enum { STORAGE_CLUSTER_ID = 16 }; /* bytes */

struct storage_config {
    const char *path;                   /* the store's directory */
    const struct engine_ops *engine;    /* engine_rocks or engine_mem */
    struct engine_config engine_config; /* path and create are filled in by the store */
    uint64_t segment_bytes;             /* log segments; 0: 64 MiB */
    uint32_t spare_segments;            /* kept zero-filled ahead; 0: 2 */
    bool
        alone; /* the library: all of the log of region 1 counts as committed, blocking writes are allowed */
    bool accept_panic; /* start although a panic mark is there, and remove it */
    void *log;         /* struct logger *, may be NULL */
};

struct storage_ident {
    uint8_t cluster_id[STORAGE_CLUSTER_ID];
    uint64_t store_id;
    uint64_t incarnation; /* random, drawn by init */
};

/* A region that a new store begins with: its meta is there, durably, before the store is one. */
struct storage_first {
    uint64_t region;
    struct bytes meta; /* not empty */
};

/* Creates the directory and everything in it; `first` may be NULL. ERR_ALREADY_EXISTS if there is a store; a
 * half-made one is completed or removed, never taken for a store (IDENT is written last). */
MUST_USE err_t storage_init(struct env *env, const struct storage_config *config,
                            const struct storage_ident *ident, const struct storage_first *first,
                            struct err *e);
/* Opens: locks, reads IDENT, replays the log, compares it with the engine region by region; alone, also
 * re-applies what the engine has lost (else consensus does: storage_groups). ERR_NOT_FOUND: no store here
 * (run init); ERR_LOCKED; ERR_PANIC_MARK; ERR_DATA_LOSS with segment and offset; ERR_AMNESIA. */
MUST_USE err_t storage_open(struct env *env, const struct storage_config *config,
                            struct storage **ret, struct err *e);
/* Makes everything durable, writes the clean-stop mark, closes. NULL is welcome. */
void storage_close(struct storage *store);
/* As a kill -9 would leave it, without the mark: for tests. */
void storage_abandon(struct storage *store);
const struct storage_ident *storage_ident(const struct storage *store);

/* ---- Blocking calls: any thread; writes on a store that is alone ----------------------------- */

MUST_USE err_t storage_put_raw(struct storage *store, uint32_t ns, struct bytes key,
                               struct bytes value, struct err *e);
MUST_USE err_t storage_delete_raw(struct storage *store, uint32_t ns, struct bytes key,
                                  struct err *e);
/* Appends the value to `ret`; ERR_NOT_FOUND. */
MUST_USE err_t storage_get_raw(struct storage *store, uint32_t ns, struct bytes key,
                               struct buf *ret, struct err *e);

/* Compare and swap (decision 15): `expected` 0 means "absent now". On ERR_OK `result->version` is
 * the new version; on ERR_CONFLICT the current one, and its value if `want_current`. The caller
 * frees `result`. */
MUST_USE err_t storage_cas(struct storage *store, uint32_t ns, struct bytes key, uint64_t expected,
                           struct bytes value, bool want_current, struct storage_result *result,
                           struct err *e);
MUST_USE err_t storage_delete_cas(struct storage *store, uint32_t ns, struct bytes key,
                                  bool conditional, uint64_t expected,
                                  struct storage_result *result, struct err *e);
/* ERR_NOT_FOUND when absent; `*version` is then the tombstone's, or 0. */
MUST_USE err_t storage_get_cas(struct storage *store, uint32_t ns, struct bytes key,
                               uint64_t *version, struct buf *ret, struct err *e);

/* Makes a namespace: `id` is storage_namespace_next()'s answer. ERR_ALREADY_EXISTS: the id or the
 * name is taken. */
MUST_USE err_t storage_create_namespace(struct storage *store, uint32_t id, struct bytes name,
                                        struct bytes mode, struct err *e);

/* ---- Reads for the node: any thread ---------------------------------------------------------- */

/* `cached_only`: ERR_UNAVAILABLE where the answer would need the disk (then ask again in the READ
 * lane). */
MUST_USE err_t storage_read(struct storage *store, bool cas, uint32_t ns, struct bytes key,
                            bool cached_only, uint64_t *version, struct buf *ret, struct err *e);

struct storage_scan {
    bool cas; /* versioned keys */
    uint32_t ns;
    struct bytes start, end; /* end.data NULL: to the end of the namespace */
    uint32_t limit;          /* rows, at least 1 */
    size_t limit_bytes;      /* of keys and values; at least one row is always given */
    bool keys_only;
};
/* Calls `row` in key order (tombstones are left out). `*more`: rows are left, beginning at `*next`
 * (appended). An error of `row` ends the scan and is answered. A corrupt block is an error, never a
 * short scan. */
MUST_USE err_t storage_scan(struct storage *store, const struct storage_scan *scan,
                            err_t (*row)(void *user, struct bytes key, uint64_t version,
                                         struct bytes value),
                            void *user, bool *more, struct buf *next, struct err *e);

/* A digest of all that replicas of the same regions have alike once they have applied the same entries, rows and apply
 * states; while entries are being applied it is of some moment in between. Reads everything: for checks. */
MUST_USE err_t storage_digest(struct storage *store, struct digest *ret, struct err *e);

/* ---- Local records --------------------------------------------------------------------------- */

enum storage_local { STORAGE_LOCAL_HLC = 1, STORAGE_LOCAL_TSO = 2, STORAGE_LOCAL_CLEAN = 3 };
/* The newest local record of a kind, as of open; {NULL, 0} if there was none. Of the clean mark: only
 * if the log ended with it (u64, little-endian: the applied index of region 1), that is, after storage_close(). */
struct bytes storage_local(const struct storage *store, enum storage_local kind);

/* ---- Facts ----------------------------------------------------------------------------------- */

struct storage_stats {
    raft_index last, applied,
        durable; /* of region 1: log end, applied, what the engine cannot lose */
    uint64_t batches, syncs, commands, wal_bytes,
        user_bytes;   /* since open; commands: applied ones */
    uint64_t regions; /* that the log has something of */
    uint64_t segments, spare_segments;
    uint64_t sync_ns_p50, sync_ns_p99; /* over the last minute or so */
    uint64_t replayed;                 /* entries re-applied at open (alone) */
    struct engine_stats engine;
};
void storage_stats(struct storage *store, struct storage_stats *ret);
/* Periodic work: watermark, what has become durable, freeing segments, background errors of the engine. Once
 * a second or so, LOG lane. Not ERR_OK: the store is latched and the node must exit. */
MUST_USE err_t storage_tend(struct storage *store, struct err *e);
/* Zero-fills log segments ahead until `spare_segments` of them wait. Once a second or so, BULK lane
 * (any thread, but one at a time): it writes up to a segment's bytes. Nobody must call it: without
 * a spare the write that needs one makes it, and waits. ERR_DISK_FULL: no room, nothing has
 * changed, the store goes on with the spares that it has. Any other error: the store is latched. */
MUST_USE err_t storage_prepare(struct storage *store, struct err *e);
/* ERR_OK, or the first write error. */
err_t storage_latched(const struct storage *store, struct err *e);

/* Namespaces, as applied: calls `each` in the order of ids. 1 "default" always exists. Any thread.
 * */
struct storage_namespace {
    uint32_t id;
    char name[65], mode[16];
};
void storage_namespaces(struct storage *store,
                        void (*each)(void *user, const struct storage_namespace *ns), void *user);
/* ERR_NOT_FOUND. */
MUST_USE err_t storage_namespace_find(struct storage *store, struct bytes name,
                                      struct storage_namespace *ret);
bool storage_namespace_exists(struct storage *store, uint32_t id);
/* The id that the next namespace gets. */
uint32_t storage_namespace_next(struct storage *store);
