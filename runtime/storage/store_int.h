/* The inside of a store, shared by store.c (open, close, latch), store_turn.c (the halves),
 * store_write.c (blocking writes), store_read.c (reads, facts).
 *
 * Who may touch what:   log side    one thread at a time, inside stage `log`:   wal, ledger, batch,
 * watermark
 *                       apply side  inside stage `applying`, in log order:      apply, engine writes
 *                       the rest    any thread */
#pragma once

#include <stdatomic.h>

#include "apply.h"
#include "base/logger.h"
#include "command_int.h"
#include "ident.h"
#include "ledger.h"
#include "namespaces.h"
#include "storage/store.h"
#include "wal.h"
#include "watermark.h"

enum {
    STORE_REGION = LEDGER_REGION,
    STORE_TERM = 1,
    STORE_VOTE = 1,
    STORE_SEGMENT = 64 << 20,
    STORE_SEGMENT_MIN = 64 << 10,
    STORE_SEGMENT_MAX = 1 << 30,
    STORE_SPARES = 2,
    STORE_SEGMENTS_MAX = 16, /* more live ones: the engine is asked to make its state durable */
    STORE_TURN_LOCALS = 8,
};
#define STORE_WATERMARK_NS 1000000000u /* the watermark is at most so old */

/* A section that one thread at a time may be in; it may be long (a sync), so waiting is by
 * condition. */
struct store_stage {
    struct env_lock *lock;
    bool busy;
};
void store_stage_enter(struct store_stage *stage);
void store_stage_leave(struct store_stage *stage);

struct store_slot {
    struct command command;
    struct bytes body;
    struct storage_result result;
};
struct storage_turn {
    struct storage *store;
    struct store_slot *slots;
    uint32_t count, cap;
    struct {
        enum storage_local kind;
        struct bytes value;
    } locals[STORE_TURN_LOCALS];
    uint32_t local_count;
    size_t bytes; /* of the entry and the local records */
    raft_index index;
    uint64_t hlc;
    enum { TURN_OPEN, TURN_SYNCED, TURN_APPLIED } state;
};

enum { STORE_BUCKETS = 64 };
/* Sync times: bucket i counts those below 2^(i/2) microseconds, roughly; the last full minute and
 * the running one. */
struct store_histogram {
    uint32_t now[STORE_BUCKETS], before[STORE_BUCKETS];
    uint64_t since;
};

struct store_group; /* store_write.c */

struct storage {
    struct env *env;
    struct storage_config config;
    char *path, *db_path, *wal_path;
    const struct engine_ops *ops;
    struct engine *engine;
    struct env_file *lock_file;
    struct storage_ident ident;
    struct logger *log_to;

    struct store_stage log;
    struct wal *wal;
    struct watermark *watermark;
    uint64_t watermark_at; /* env_now() of its last write */
    struct ledger ledger;
    struct wal_batch batch;
    _Atomic raft_index last;

    struct store_stage applying;
    struct apply *apply;
    struct namespaces *namespaces;
    _Atomic raft_index applied;

    struct env_lock *latch_lock;
    _Atomic bool latched;
    struct err latch; /* once set, never changes */

    struct env_lock *queue_lock; /* store_write.c */
    struct store_group *forming, *idle, *groups;
    _Atomic uint64_t stamp; /* of the last entry that the library stamped itself */

    struct buf locals[LEDGER_LOCALS]; /* as of open */
    struct env_lock *stats_lock;
    struct store_histogram syncs_ns;
    _Atomic uint64_t batches, syncs, commands, wal_bytes, user_bytes, segments;
    uint64_t replayed;
};

/* Latches: the first error stays, the panic mark is written, and `e` gets what every later call
 * will answer. */
err_t store_latch(struct storage *store, err_t rc, struct err *e);
/* "path/name", from malloc; aborts if memory is gone. */
char *store_join(const char *path, const char *name);
/* Writes the store's batch (log side), keeps the counts, latches. */
MUST_USE err_t store_write_batch(struct storage *store, struct err *e);
void store_groups_free(struct storage *store);
MUST_USE err_t store_namespace_check(const struct storage *store, uint32_t ns, struct err *e);
uint64_t store_histogram_quantile(const struct store_histogram *histogram, unsigned percent);
