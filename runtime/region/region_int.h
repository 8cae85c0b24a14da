/* What the files of this folder share: the state of a store's regions. All of it belongs to the loop thread; a job in a
 * lane touches what it was given, and the store's thread-safe calls. */
#pragma once

#include "base/hlc.h"
#include "base/map.h"
#include "base/prng.h"
#include "entries.h"
#include "message.h"
#include "region/meta.h"
#include "region/region.h"

enum {
    REGION_SAMPLE_BYTES = 256, /* longer keys are sampled by their first bytes */
    REGION_READY_MAX = 16,     /* Readys of one region in one go */
    REGION_KEEP_BYTES =
        1 << 20, /* applied entries that a leader keeps for followers a little behind */
    REGION_KEEP_COUNT = 256,
    REGION_WINDOW_BYTES = 4 << 20, /* entries read back at once */
    REGION_WINDOW_COUNT = 4096,
    REGION_WINDOWS = 2, /* of one region: one follower that is behind, and our own apply */
};

/* Writes that are one log entry, until it is applied. */
struct region_proposal {
    struct list node, writes;
    raft_index index;
    raft_term term;
};

/* Entries that were read back from the log. */
struct region_window {
    struct region *region;
    raft_index lo, hi; /* [lo, hi) is here, or being read */
    struct region_entry **entries;
    bool reading;
    uint64_t used; /* rs->ticks when it was last looked at */
    struct env_job job;
    struct buf bytes;
    struct raft_ent *ents;
    uint32_t count;
    err_t rc;
    struct err error;
};

/* Committed entries on their way to apply. */
struct region_task {
    struct list node;
    struct region *region;
    struct region_entry **entries;
    uint32_t count, cap, missing; /* entries whose payloads are not in memory yet */
    raft_index lo;
    struct raft_msg done; /* for raft_step() when it is applied */
    uint32_t slot;        /* of the first entry, in the batch */
};

struct region {
    struct region_store *rs;
    struct raft *raft;
    struct region_meta meta;
    raft_id peer; /* ours */

    /* As of the last Ready. */
    enum raft_role role;
    raft_id lead;
    struct raft_hs hs;
    raft_term led_term;   /* an entry of this term, in which we lead, was applied; else 0 */
    struct raft_hs saved; /* term and vote as they were given to the log */
    unsigned writing;     /* appends given to the log and not durable yet */
    raft_index applied;   /* visible to reads */
    uint64_t applied_hlc;
    bool broken_told;

    struct region_entries entries;
    struct region_window *windows[REGION_WINDOWS];
    raft_index wanted;   /* a payload that was asked for and is not in memory; 0: none */
    struct list starved; /* struct region_task: wait for payloads, in order */

    struct list queue;     /* struct region_write: proposed, in no entry yet */
    struct list proposals; /* struct region_proposal, by term and index */
    struct list asked;     /* struct region_wait: a round is, or has to be, asked for */
    struct list waiting;   /* struct region_wait: until their index is applied */
    raft_index held;       /* every member has the entries up to it, as far as we know */
    uint64_t round;        /* of ReadIndex: the newest one asked for */

    struct list node;      /* rs->regions */
    struct list dirty;     /* rs->dirty */
    struct list proposing; /* rs->proposing: has a queue */
    uint64_t ticked;       /* rs->ticks that the core knows of */
};

/* One turn of the log. */
struct region_batch {
    struct storage_records *records;
    struct region_entry **held; /* their bytes are borrowed by the records */
    size_t held_count, held_cap;
    struct region_reply { /* to be said when it is durable */
        struct region *region;
        struct raft_msg msg;
        bool durable; /* the end of an append: region->writing goes down */
    } * replies;
    size_t reply_count, reply_cap;
    struct region_store *rs;
    struct env_job job;
    err_t rc;
    struct err error;
    uint64_t began, ended;
};

/* One turn of apply. */
struct region_turn {
    struct region_store *rs;
    struct storage_apply *apply;
    struct list tasks;
    struct env_job job;
    err_t rc;
    struct err error;
    uint64_t began, ended;
};

/* What waits to be written: an append of one region. */
struct region_append {
    struct list node;
    struct region *region;
    struct raft_hs hs;
    bool write; /* hard state or entries: false if only replies wait */
    struct region_entry **entries;
    uint32_t count, cap, done; /* entries; of them in a batch */
    struct raft_msg *replies;
    uint32_t reply_count, reply_cap;
};

/* Messages to one store, gathered in a turn. */
struct region_link {
    struct list node; /* rs->links_out, while there is something */
    uint64_t store;
    struct buf out;
};

struct region_sample {
    uint8_t key[REGION_SAMPLE_BYTES];
    uint32_t len;
};

struct region_store {
    struct env *env;
    struct logger *log;
    struct storage *store;
    struct region_config config;
    uint64_t store_id;
    struct env_lane *log_lane, *apply_lane, *read_lane, *bulk_lane;
    struct env_turn hook;
    bool closing;

    struct list regions; /* struct region */
    struct map by_id;
    struct region **by_start; /* in the order of ranges */
    size_t count, cap;
    struct list dirty, proposing;

    /* Raft's time. */
    struct env_timer ticker, again;
    uint64_t tick_ns, ticks, tick_due; /* env_now() of the next tick */

    /* The log. */
    size_t entry_max;    /* bytes of an entry */
    struct list appends; /* struct region_append, in order */
    struct list spare_appends;
    struct region_batch batches[2], *open; /* one gathers, the other one is perhaps being synced */
    bool logging;
    struct env_timer log_retry;

    /* Apply. */
    struct list tasks, spare_tasks;
    struct region_turn turn;
    bool applying;
    uint64_t lane_until; /* env_now(): an inline apply was slow, use the lane until then */

    /* Messages. */
    struct region_link **links;
    size_t link_count;
    struct list links_out;
    struct raft_ent *ents; /* scratch */
    size_t ents_cap;
    struct region_batch_reader reader;

    struct list spare_proposals;

    struct hlc clock;
    uint64_t bound_owed; /* ms: the next log turn must carry this bound; 0: none */
    struct hlc_jump jump;
    uint64_t anchor_ms, anchor_ns; /* the wall clock read that, when the steady one read this */
    bool clock_guarded;            /* other stores hold regions with us */
    bool clock_suspect;            /* the wall clock has jumped ahead, and is not followed */
    struct env_timer clock_watch, clock_retry;
    uint64_t watch_ns, refused_told, length_told;

    struct env_timer tick;
    struct env_job tend, prepare;
    bool preparing;  /* the apply stage may be held: nothing is applied on the loop thread */
    bool no_segment; /* there was no room for a log segment */
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

/* store.c */
/* First failure of the store: everything in flight ends, the node is told. */
void region_fail(struct region_store *rs, err_t rc, const struct err *why);
/* The region has something to do: it is looked at before the turn ends. */
void region_touch(struct region *r);
/* Works until nothing is left that can be done without waiting. */
void region_store_work(struct region_store *rs);
/* Tells the core of the ticks that have passed: before it is asked or told anything. */
void region_catch_up(struct region *r);

/* region.c */
MUST_USE err_t region_open(struct region_store *rs, const struct storage_group *group,
                           struct err *e);
void region_close(struct region *r);
struct region *region_find(struct region_store *rs, uint64_t id);                 /* NULL */
struct region *region_at(struct region_store *rs, uint32_t ns, struct bytes key); /* NULL */
/* The region of a request, or why not. */
MUST_USE err_t region_route(struct region_store *rs, const struct region_context *context,
                            uint32_t ns, struct bytes key, struct region **ret, struct err *e);
/* True where this replica alone is the quorum: it leads, or soon will. */
bool region_is_alone(const struct region *r);
/* Sets NOT_LEADER and the hint. */
err_t region_not_leader(const struct region *r, struct region_hint *hint, struct err *e);

/* ready.c */
void region_ready(struct region *r);
/* The payload at an index, NULL if it is not in memory (then it is asked for). */
struct region_entry *region_payload(struct region *r, raft_index index);
struct raft_log_ops region_log_ops(struct region *r);

/* window.c */
struct region_entry *region_window_get(struct region *r, raft_index index);
/* Reads what region->wanted asks for. */
void region_window_read(struct region *r);
void region_window_trim(struct region *r); /* those that nobody has looked at for a while */
void region_window_close(struct region *r);

/* log.c */
void region_log_open(struct region_store *rs);
/* Entries, hard state and replies of a STORE_APPEND. */
void region_log_take(struct region *r, const struct raft_msg *m);
void region_log_pump(struct region_store *rs); /* gives a batch to the lane, if it is idle */
/* At close, with the lane gone: what is left is written here. */
void region_log_last(struct region_store *rs, bool clean);
void region_log_close(struct region_store *rs);

/* send.c */
void region_send(struct region *r, const struct raft_msg *m);
void region_send_flush(struct region_store *rs);
void region_send_close(struct region_store *rs);

/* propose.c */
void region_propose_turn(struct region_store *rs); /* queues become entries */
/* An entry was applied: answers those who wait for it. `slot` in the running apply. */
void region_propose_applied(struct region *r, const struct region_entry *entry, uint32_t slot);
void region_propose_deposed(struct region *r); /* it leads no more */
void region_propose_expire(struct region *r, uint64_t now);
void region_propose_refuse(struct region *r, err_t rc,
                           const char *why); /* ends what is in no entry */
void region_propose_doubt(struct region *r,
                          const char *why); /* UNDETERMINED to all that are in entries */
void region_propose_close(struct region_store *rs);

/* apply.c */
void region_apply_open(struct region_store *rs);
void region_apply_take(struct region *r, struct raft_range range, const struct raft_msg *done);
/* Payloads have come: starved tasks go on. */
void region_apply_fed(struct region *r);
/* True if something was done. */
bool region_apply_pump(struct region_store *rs);
void region_apply_close(struct region_store *rs);

/* read.c */
void region_read_ask(struct region *r); /* a round for those who need one */
void region_read_confirmed(struct region *r, const struct raft_read *read);
void region_read_applied(struct region *r); /* the applied index has moved */
void region_read_deposed(struct region *r); /* the rounds will not be answered */
void region_read_expire(struct region *r, uint64_t now);
void region_read_end(struct region *r, err_t rc);

/* clock.c */
MUST_USE err_t region_clock_open(struct region_store *rs, struct err *e);
/* Draws the stamp of an entry; the bound that covers it goes into the same log turn.
 * False: none is left in this millisecond. */
MUST_USE bool region_clock_stamp(struct region_store *rs, uint64_t *ret);
/* Stamps of entries that others made: ours will be above them. */
void region_clock_saw(struct region_store *rs, uint64_t stamp);
/* A store's stamp was refused for being ahead of ours: perhaps it is ours that is wrong. */
void region_clock_doubted(struct region_store *rs, uint64_t stamp);
void region_clock_stop(struct region_store *rs);

/* stats.c */
MUST_USE err_t region_stats_open(struct region_store *rs, struct err *e);
void region_stats_stop(struct region_store *rs);
void region_stats_close(struct region_store *rs);
void region_stats_touch(struct region_store *rs, uint32_t ns,
                        struct bytes key); /* was read or written */
void region_stats_row(struct region_store *rs, size_t key, size_t value);
