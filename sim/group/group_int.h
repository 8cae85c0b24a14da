/* The inside of a run. */
#pragma once

#include "group.h"

struct group;

/* One write that is not durable yet: in order, all or none of it (the log's batches are atomic). */
struct group_write {
    bool has_hs;
    struct raft_hs hs;
    raft_index first; /* entries from here on; the tail behind them is cut */
    uint32_t nents;
    struct group_ent *ents;
    bool has_snap;
    struct raft_snap snap;
    uint64_t snap_chain;
    raft_index compact;    /* 0: no */
    struct raft_msg *resp; /* asynchronous mode: to be sent once durable */
    uint32_t nresp;
};

/* Work for the apply thread: it got its entries by value when it was handed out. */
struct group_apply {
    struct raft_range range;
    struct group_ent *ents;
    struct raft_msg done;
};

enum {
    WRITES_MAX = 64,
    ECHOES_MAX = 64,
    CLOCKS_DIFFER = 10, /* leases: in percent, the fastest clock against the slowest */
};

struct member {
    struct group *g;
    raft_id id;
    bool up;
    struct raft *r;
    struct raft_cfg cfg;

    struct group_ent *log; /* payloads as the core names them: [first, first + count) */
    raft_index first;
    uint32_t count, cap;

    /* the disk: what a crash leaves, and what it may take */
    struct raft_hs d_hs;
    struct raft_snap d_snap; /* the base of the durable log, with the configuration there */
    uint64_t d_chain;        /* the state machine's hash at d_snap.index */
    struct group_ent *d_log;
    uint32_t d_count, d_cap;
    struct group_write writes[WRITES_MAX];
    unsigned nwrites;
    struct group_apply applies[WRITES_MAX];
    unsigned napplies;

    /* the state machine, volatile: rebuilt from d_snap at a restart */
    raft_index applied;
    uint64_t chain;
    struct raft_conf conf; /* as of applied */
    bool
        overtaken; /* a change was refused: nothing is applied until the snapshot is there (duty 7) */

    /* what the checker remembers of this incarnation */
    raft_term seen_term;
    raft_index seen_commit, seen_applied;
    enum raft_role seen_role;
    raft_term led_term; /* as leader: matches are monotone within it */
    raft_index seen_match[RAFT_MAX_PEERS];
    raft_id seen_match_id[RAFT_MAX_PEERS];
    uint64_t stalled_until; /* event number: neither ticks nor messages nor disk until then */

    uint32_t period;      /* leases: a tick of this member's clock, in hundredths of a true one */
    uint64_t phase, told; /* leases: when its clock began; ticks that the core knows of */
};

struct group_pending_read {
    raft_id member;
    uint64_t incarnation;
    uint64_t ctx;
    raft_index committed; /* anywhere, when it was asked */
};

struct group {
    uint64_t seed;
    struct prng prng;
    struct group_swarm swarm;
    struct member members[GROUP_MEMBERS_MAX];
    uint64_t incarnation[GROUP_MEMBERS_MAX];
    bool cut[GROUP_MEMBERS_MAX][GROUP_MEMBERS_MAX]; /* from, to */
    struct group_msg *flight[GROUP_FLIGHT_MAX];
    unsigned nflight;
    struct group_msg *echo[ECHOES_MAX]; /* copies of what was sent, some of it long ago */
    uint64_t next_value;
    uint64_t event;
    uint64_t now;       /* leases: true time, in hundredths of a tick */
    uint64_t leased_at; /* event at which somebody last held a lease */
    FILE *trace;
    struct group_result *ret;

    /* the history */
    raft_id *leader_of;     /* by term */
    raft_id *voted;         /* by term * members + voter - 1: who got a grant */
    raft_term *commit_term; /* by index: as anybody ever called it committed; 0: not yet */
    uint64_t *commit_value;
    raft_term *commit_in; /* by index: the term of the leader that committed it */
    uint64_t
        *chain_at; /* by index: the state machine's hash after it; 0: not yet applied anywhere */
    raft_index committed; /* the largest ever */
    struct group_pending_read *reads;
    unsigned nreads, reads_cap;
};

/* group.c */
void group_fail(struct group *g, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void group_mix(struct group *g, uint64_t x);
void group_send(struct group *g, const struct raft_msg *m, const struct member *from);
void group_tell(struct group *g, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static inline bool group_failed(const struct group *g)
{
    return g->ret->failed;
}

/* member.c */
bool member_stalled(const struct member *m);
/* Leases: tells the ticks that have passed. Before anything else that touches a member (raft.h, duty 7). */
void member_catch_up(struct member *m);
void member_create(struct group *g, raft_id id, const struct raft_conf *conf);
void member_free(struct member *m);
void member_open(struct member *m);
void member_crash(struct member *m,
                  unsigned keep); /* of the unsynced writes: the first `keep` survive */
void member_ready(struct member *m);
bool member_write_one(struct member *m); /* the oldest unsynced write becomes durable */
bool member_apply_one(struct member *m);
void member_step(struct member *m, struct group_msg *msg);
void member_compact(struct member *m, raft_index index);
void msg_free(struct group_msg *msg);
struct group_msg *msg_copy(const struct group_msg *msg);
/* The durable entry at `index`: its term. False: not there (then, below the base, it is in a snapshot). */
bool member_durable_term(const struct member *m, raft_index index, raft_term *ret);

/* check.c */
void check_init(struct group *g);
void check_free(struct group *g);
void check_member(struct member *m); /* after everything that touched it */
void check_sent(struct group *g, const struct member *from,
                const struct raft_msg *m); /* as it leaves */
void check_applied(struct member *m, raft_index index, const struct group_ent *ent);
void check_read_asked(struct member *m, uint64_t ctx);
void check_read_served(struct member *m, const struct raft_read *read);
void check_logs(struct group *g); /* now and then */
/* One leader, everybody of its configuration has applied the same, nothing begun is left open. `why` may be NULL. */
bool check_settled(struct group *g, const char **why);
