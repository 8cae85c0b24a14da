/* What the files of this folder share: the region's state. All of it belongs to the loop thread;
 * a job in a lane touches its own turn or read, and the store's thread-safe calls. */
#pragma once

#include "base/hlc.h"
#include "base/prng.h"
#include "region/region.h"

enum {
    REGION_TURNS = 4,          /* one gathers nothing yet, one syncs, others wait for apply */
    REGION_SAMPLE_BYTES = 256, /* longer keys are sampled by their first bytes */
    REGION_LOCALS = 4,         /* kinds of local records are below that */
};

/* The writes that share one log entry, from submission to answer. */
struct region_turn {
    struct region *region;
    struct storage_turn *records;
    struct list writes, locals, node;
    struct env_job log, apply;
    uint64_t stamp;   /* packed HLC of the entry */
    uint8_t bound[8]; /* the HLC's, if the turn carries one */
    bool has_bound;
    size_t bytes;
    uint32_t commands;
    raft_index index;
    bool probe_cas; /* holds versioned commands: apply reads */
    err_t rc;
    struct err error;
    uint64_t began, ended; /* of the job that ran last */
};

struct region_sample {
    uint8_t key[REGION_SAMPLE_BYTES];
    uint32_t len;
};

struct region {
    struct env *env;
    struct logger *log;
    struct storage *store;
    struct region_config config;
    struct env_lane *log_lane, *apply_lane, *read_lane, *bulk_lane;
    struct env_turn hook;
    bool closing;
    size_t turn_max; /* bytes of a turn */

    struct list queue;  /* struct region_write: proposed, in no turn yet */
    struct list locals; /* struct region_local: the same */
    struct region_turn turns[REGION_TURNS];
    struct list idle;      /* turns in no use */
    struct list committed; /* turns to be applied, in log order */
    bool logging, applying;
    uint64_t lane_until; /* env_now(): an inline apply was slow, use the lane until then */
    struct buf probe;    /* scratch */

    struct list waiting; /* struct region_read: until their index is applied */
    struct list waiting_scans;

    struct hlc clock;
    uint64_t bound_owed; /* ms: the next turn must carry this bound; 0: none */
    struct hlc_jump jump;
    struct env_timer clock_watch, clock_retry;
    uint64_t watch_ns;
    struct {
        uint8_t value[16];
        uint32_t len;            /* 0: none */
    } last_local[REGION_LOCALS]; /* by kind: written at close */

    struct env_timer tick;
    struct env_job tend, prepare;
    bool preparing; /* the apply stage may be held: nothing is applied on the loop thread */
    err_t tend_rc, prepare_rc;
    struct err tend_error, prepare_error;
    struct storage_stats tend_stats;
    uint64_t tend_available, tend_total;

    struct region_stats stats;
    uint64_t last_reads, last_writes, last_tick; /* for the rates */
    uint64_t written_bytes;                      /* keys and values, since the start */
    uint64_t row_count, row_bytes;               /* of rows seen: their mean size */
    struct prng prng;
    struct region_sample *samples;
    uint32_t sample_count;
    uint64_t sampled;
    struct bytes *sorted;
};

/* region.c */
/* First failure of the store: everything in flight ends, the node is told. */
void region_fail(struct region *r, err_t rc, const struct err *why);
MUST_USE err_t region_check_context(struct region *r, const struct region_context *context,
                                    struct err *e);

/* propose.c */
void region_propose_open(struct region *r);
void region_propose_turn(struct region *r);   /* the turn hook's part */
void region_propose_refuse(struct region *r); /* ends what no turn has taken */
void region_propose_fail(struct region *r);   /* ends all that no lane holds */
/* At close, with the lanes gone: writes the last local records. */
MUST_USE err_t region_propose_last(struct region *r, struct err *e);
void region_propose_close(struct region *r);
void region_turn_done(struct region *r, struct region_turn *t, err_t rc); /* answers its writes */

/* apply.c */
void region_commit(struct region *r, struct region_turn *t); /* what Raft will decide */
void region_apply_next(struct region *r);

/* read.c */
void region_read_applied(struct region *r); /* the applied index has moved */
void region_read_fail(struct region *r);

/* clock.c */
MUST_USE err_t region_clock_open(struct region *r, struct err *e);
/* Draws the stamp of a turn; if the log's bound does not cover it, a new bound joins the turn.
 * False: none is left in this millisecond. */
MUST_USE bool region_clock_stamp(struct region *r, struct region_turn *t);
void region_clock_stop(struct region *r); /* leaves the last bound for region_propose_last() */

/* stats.c */
MUST_USE err_t region_stats_open(struct region *r, struct err *e);
void region_stats_stop(struct region *r);
void region_stats_close(struct region *r);
void region_stats_touch(struct region *r, uint32_t ns, struct bytes key); /* was read or written */
void region_stats_row(struct region *r, size_t key, size_t value);
