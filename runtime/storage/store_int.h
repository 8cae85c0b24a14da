/* The inside of a store, shared by store.c (open, close, latch), store_init.c, store_boot.c (what a start reads),
 * store_records.c (log), store_entries.c (reading it back), store_tend.c (freeing it), store_apply.c (state),
 * store_write.c (blocking writes), store_read.c (reads, facts), store_digest.c.
 *
 * Who may touch what:   log side    one thread at a time, inside stage `log`:   wal, ledger, batch, watermark;
 *                                   the ledger under its lock too, so that others can look
 *                       apply side  inside stage `applying`, in log order:      apply, engine writes
 *                       the rest    any thread
 * Order of locks: ledger_lock before progress's own. */
#pragma once

#include <stdatomic.h>

#include "apply.h"
#include "base/logger.h"
#include "command_int.h"
#include "ident.h"
#include "ledger.h"
#include "namespaces.h"
#include "progress.h"
#include "storage/state.h"
#include "wal.h"
#include "watermark.h"

enum {
    STORE_REGION = 1,  /* the library's: a group of one, */
    STORE_VOTE = 1,    /* which votes for itself, */
    STORE_VERSION = 1, /* and never splits */
    STORE_SEGMENT = 64 << 20,
    STORE_SEGMENT_MIN = 64 << 10,
    STORE_SEGMENT_MAX = 1 << 30,
    STORE_SPARES = 2,
    STORE_SEGMENTS_MAX = 16,  /* more live ones: the log is long */
    STORE_REFRESH_MAX = 1024, /* regions that one tend asks the engine for */
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
    struct env_lock *ledger_lock;
    struct ledger ledger;
    struct wal_batch batch; /* of the store's own records */

    struct store_stage applying;
    struct apply *apply;
    struct progress *progress;
    struct namespaces *namespaces;

    struct env_lock *latch_lock;
    _Atomic bool latched;
    struct err latch; /* once set, never changes */

    struct env_lock *queue_lock; /* store_write.c */
    struct store_group *forming, *idle, *groups;
    _Atomic uint64_t stamp; /* of the last entry that the library stamped itself */

    struct buf locals[LEDGER_LOCALS]; /* as of open */
    uint64_t tso_floor;               /* of a store of the first format */
    struct env_lock *stats_lock;
    struct store_histogram syncs_ns;
    _Atomic uint64_t batches, syncs, commands, wal_bytes, user_bytes, segments;
    uint64_t replayed;
};

/* store.c */

/* Latches: the first error stays, the panic mark is written, and `e` gets what every later call
 * will answer. */
err_t store_latch(struct storage *store, err_t rc, struct err *e);
/* "path/name", from malloc; aborts if memory is gone. */
char *store_join(const char *path, const char *name);
MUST_USE err_t store_lock_directory(struct env *env, const char *path, struct env_file **ret,
                                    struct err *e);
MUST_USE err_t store_check_config(const struct storage_config *config, struct err *e);
struct wal_config store_wal_config(const struct storage_config *config, const char *dir,
                                   uint64_t incarnation);

/* store_boot.c */

/* Reads the log, compares it with watermark and engine; alone, applies what the engine has lost. */
MUST_USE err_t store_boot(struct storage *store, struct err *e);

/* store_records.c: inside stage `log` */

/* Writes a batch, keeps the counts, latches. */
MUST_USE err_t store_write_batch(struct storage *store, struct wal_batch *batch, struct err *e);
MUST_USE err_t store_sync(struct storage *store, struct storage_records *records, struct err *e);
uint64_t store_histogram_quantile(const struct store_histogram *histogram, unsigned percent);

/* store_entries.c: while nothing is written */

struct store_shown {
    struct storage_group group; /* points to the others, and into the ledger */
    struct storage_snap snap;
    struct storage_gone gone;
};
/* A region as log and engine have it, without its meta. */
void store_group(struct storage *store, uint64_t id, struct store_shown *ret);
/* Calls `each` for every region that log or engine know, in the order of ids; an error ends it. */
MUST_USE err_t store_each_region(struct storage *store,
                                 err_t (*each)(void *user, struct storage *store, uint64_t id,
                                               struct err *e),
                                 void *user, struct err *e);

/* store_tend.c: inside stage `log` */
MUST_USE err_t store_tend_log(struct storage *store, struct err *e);

/* store_apply.c: inside stage `applying` */
MUST_USE err_t store_apply(struct storage *store, struct storage_apply *apply, struct err *e);
/* For a start: it ends with the error, and nothing has failed yet. */
MUST_USE err_t store_apply_unlatched(struct storage *store, struct storage_apply *apply,
                                     struct err *e);
/* Moves a result out: of command `i` of all that were applied. */
struct storage_result store_apply_take(struct storage_apply *apply, uint32_t i);

/* store_write.c, store_read.c */
void store_groups_free(struct storage *store);
MUST_USE err_t store_namespace_check(const struct storage *store, uint32_t ns, struct err *e);
