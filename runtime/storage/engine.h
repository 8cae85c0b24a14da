/* The engine contract: where applied state lives.
 *
 *   write(n) write(n+1) write(n+2)          batches, numbered by us, one writer, atomic over all families
 *   |<-- durable() = n -->|<- a crash may take a suffix of these ->|
 *
 * A crash may take a suffix of the batches; never a part of one, never one whose successor survived, and the same cut
 * in all families. durable() answers the number of the last batch that no crash can take; after a restart the log is
 * re-applied from there, and the log is never cut above it. Two engines keep this: engine_rocks.c (RocksDB, its own
 * log off) and engine_mem.c, which forgets what was not durable. One suite tests both (engine_contract.c).
 *
 * Threads: write, force, close: one at a time (the apply lane). Everything else: any thread, at any time; a batch and
 * an iterator belong to one thread each. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "env/env.h"

/* Column families, by their names in RocksDB. Numbers are ours and never change. */
enum engine_family {
    ENGINE_DEFAULT,    /* "default"     raw values */
    ENGINE_CAS,        /* "cas"         [u64_be version][value], or a tombstone: see layout.h */
    ENGINE_RAFT_LOG,   /* "raft_log"    region_id be64, index be64 */
    ENGINE_RAFT_STATE, /* "raft_state"  region_id be64, kind */
    ENGINE_META,       /* "meta"        region metas, namespaces, tombstones */
    ENGINE_SYSTEM,     /* "system"      versions of the system namespace */
    ENGINE_TICK,       /* "tick"        the number of every batch: how durable() knows */
    ENGINE_FAMILIES
};
const char *engine_family_name(enum engine_family family);

struct engine;
struct engine_batch; /* puts and deletes in order; the later one of a key wins */
struct engine_iter;

struct engine_config {
    const char *path;           /* the store's db/ directory */
    bool create;                /* init alone: a start never creates (faults.md R2) */
    uint64_t block_cache_bytes; /* 0: 64 MiB */
    uint64_t memtable_bytes; /* of all families together; 0: 64 MiB (mem: 1 MiB between two cuts) */
    uint32_t background_jobs; /* at least 3, or it is 3 */
};

struct engine_stats {
    uint64_t
        approximate_bytes; /* data files and what is in memory; about the size of the live data */
    uint64_t memtable_bytes, block_cache_bytes, sst_files, running_compactions, running_flushes;
    uint64_t background_errors; /* non-zero: the node must exit */
    bool stalled;               /* writes are delayed or stopped */
};

struct engine_ops {
    const char *name; /* "rocks", "mem" */
    /* Opens the database, or makes it if `create` is set and there is none; missing families are made, unknown ones
     * kept. ERR_NOT_FOUND: no directory; ERR_DATA_LOSS: data without its CURRENT file, or the file missing at a
     * start; ERR_CORRUPTION; ERR_LOCKED. The caller syncs the directory above. */
    err_t (*open)(struct env *env, const struct engine_config *config, struct engine **ret,
                  struct err *e);
    /* Waits for running work. Does not flush: what is not durable is re-applied at the next start. */
    void (*close)(struct engine *engine);

    struct engine_batch *(*batch_new)(
        struct engine *engine); /* small and fixed: aborts if memory is gone */
    void (*batch_free)(struct engine_batch *batch);
    void (*batch_clear)(struct engine_batch *batch);
    void (*put)(struct engine_batch *batch, enum engine_family family, struct bytes key,
                struct bytes value);
    void (*del)(struct engine_batch *batch, enum engine_family family, struct bytes key);
    size_t (*batch_bytes)(const struct engine_batch *batch);

    /* Applies the batch as number `n`, one above the last. After an error nothing is known: latch, exit. */
    err_t (*write)(struct engine *engine, struct engine_batch *batch, uint64_t n, struct err *e);
    /* The last batch in the engine (durable or not), the last durable one. 0: none. */
    err_t (*last)(struct engine *engine, uint64_t *n, struct err *e);
    err_t (*durable)(struct engine *engine, uint64_t *n,
                     struct err *e); /* ERR_IO after a background error */
    /* Makes everything written so far durable: asks for a flush and waits. For shutdown, tests, the log's cutter.
     * ERR_DEADLINE_EXCEEDED if nothing became durable for a minute. */
    err_t (*force)(struct engine *engine, struct err *e);

    /* Appends the value to `ret`. ERR_NOT_FOUND (`e` is left alone: misses are no failures); ERR_CORRUPTION.
     * `cached_only`: ERR_UNAVAILABLE instead of disk I/O. */
    err_t (*get)(struct engine *engine, enum engine_family family, struct bytes key,
                 bool cached_only, struct buf *ret, struct err *e);
    /* What a crash would leave of this key: the persisted read tier. For tests of the contract. */
    err_t (*get_durable)(struct engine *engine, enum engine_family family, struct bytes key,
                         struct buf *ret, struct err *e);

    /* Rows in [start, end) in key order, as of this call. `end.data` NULL: unbounded. */
    err_t (*scan)(struct engine *engine, enum engine_family family, struct bytes start,
                  struct bytes end, struct engine_iter **ret, struct err *e);
    /* True: key and value are set, valid until the next call. False: the end, and then iter_error must be asked:
     * a corrupt block merely ends the loop (faults.md R3). */
    bool (*iter_next)(struct engine_iter *iter, struct bytes *key, struct bytes *value);
    err_t (*iter_error)(struct engine_iter *iter, struct err *e);
    void (*iter_close)(
        struct engine_iter
            *iter); /* asserts that iter_error was asked at the end; NULL is welcome */

    void (*stats)(struct engine *engine, struct engine_stats *ret);
};

extern const struct engine_ops engine_rocks;
extern const struct engine_ops engine_mem;
