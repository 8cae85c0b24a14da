/* Raft: a pure, deterministic consensus core. Messages and ticks in, one Ready of effects out.
 *
 *   raft_step  raft_tick  raft_propose ...            raft_ready
 *        |         |          |                           |
 *        v         v          v          entries to make durable, hard state, messages to send,
 *   +---------------------------------+  entries to apply, reads that may be answered
 *   |  struct raft: one group, no I/O |----> the driver does them, then raft_advance()
 *   +---------------------------------+
 *
 * Ongaro, "Consensus: bridging theory and practice" (the thesis); etcd-io/raft's policies where the thesis leaves a
 * choice. The core names entries by index alone: payloads stay with the driver, who is told of every entry that
 * enters the log (raft_log_ops.append) and finds the current payload of any position when it has to write or send it.
 *
 * The driver's duties (checked by the simulator):
 *  1. Hard state and entries of one Ready become durable together, or the hard state first; term and vote never apart.
 *  2. A truncating append removes the old tail durably before anything of its Ready is acknowledged.
 *  3. Synchronous mode: messages of a Ready leave after its entries and hard state are durable. Asynchronous mode
 *     (RAFT_ASYNC): ordinary messages leave at once; the responses attached to a storage message leave after its work.
 *  4. A snapshot, the reset of the log and the hard state change atomically.
 *  5. At a restart, applied <= durable commit.
 *  6. With leases, or where time is told late: all ticks that have passed on a clock that does not stop while the
 *     machine sleeps (CLOCK_BOOTTIME) are told by raft_tick() before any other call. Clocks of members may differ by a
 *     tenth. boot.restarted is set whenever a replica is opened again.
 *  7. Asynchronous mode: a snapshot may arrive while older entries are still being applied. Their work is answered as
 *     ever (STORE_APPLY_RESP), and the snapshot is installed behind it; raft_apply_conf() refuses their changes, and
 *     from the first refusal on nothing is applied until then: state without its configuration must not become durable.
 *
 * Errors. A refusal leaves the state unchanged. A situation that the protocol forbids breaks the group
 * (raft_broken()): it answers nothing any more, and the process lives. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

typedef uint64_t raft_id, raft_term, raft_index;

enum {
    RAFT_MAX_PEERS = 16,
    RAFT_NONE = 0, /* no node */
};
/* The storage threads of asynchronous mode, as senders and receivers of messages. */
#define RAFT_APPEND_THREAD UINT64_MAX
#define RAFT_APPLY_THREAD  (UINT64_MAX - 1)

enum raft_role { RAFT_FOLLOWER, RAFT_PRECANDIDATE, RAFT_CANDIDATE, RAFT_LEADER };

enum raft_ent_type { RAFT_ENT_NORMAL = 0, RAFT_ENT_CONF = 1 };
struct raft_ent {
    raft_term term;
    raft_index index;
    uint32_t len;
    uint8_t type;     /* enum raft_ent_type */
    const void *data; /* borrowed for the call */
};

struct raft_hs {
    raft_term term;
    raft_id vote;
    raft_index commit;
};

/* A configuration: ids in ascending order, sets as masks over their places. Joint while `outgoing` is not empty. */
struct raft_conf {
    uint8_t n;
    bool auto_leave;
    uint16_t voters, outgoing, learners, learners_next;
    raft_id id[RAFT_MAX_PEERS];
};
/* Every rule of a configuration: disjoint sets, learners_next within outgoing, ids ascending. Answers NULL, or which
 * one is broken (static). Whoever reads one from outside asks. */
const char *raft_conf_broken(const struct raft_conf *c);

enum raft_cc_kind { RAFT_CC_VOTER, RAFT_CC_LEARNER, RAFT_CC_REMOVE, RAFT_CC_UPDATE };
enum raft_cc_transition {
    RAFT_CC_AUTO,     /* joint only if it must be, left automatically */
    RAFT_CC_IMPLICIT, /* joint, left automatically */
    RAFT_CC_EXPLICIT, /* joint, left by an empty change */
};
struct raft_cc_one {
    enum raft_cc_kind kind;
    raft_id id;
};
/* A change of configuration; none of `n` and RAFT_CC_AUTO: leave the joint state. */
struct raft_cc {
    enum raft_cc_transition transition;
    uint8_t n;
    struct raft_cc_one change[RAFT_MAX_PEERS];
};
enum { RAFT_CC_BYTES_MAX = 3 + RAFT_MAX_PEERS * 9 };
/* The payload of an entry of type RAFT_ENT_CONF. Encoding answers its length; an empty payload is the empty change.
 * The driver may put bytes of its own behind it (which store a peer is on, and the like): they are carried along. */
size_t raft_cc_encode(const struct raft_cc *cc, uint8_t out[RAFT_CC_BYTES_MAX]);
MUST_USE err_t raft_cc_decode(const void *data, size_t len, struct raft_cc *ret);

struct raft_snap {
    raft_index index; /* 0: none */
    raft_term term;
    struct raft_conf conf;
};

enum raft_msg_type {
    RAFT_MSG_PROP,
    RAFT_MSG_APP,
    RAFT_MSG_APP_RESP,
    RAFT_MSG_VOTE,
    RAFT_MSG_VOTE_RESP,
    RAFT_MSG_PREVOTE,
    RAFT_MSG_PREVOTE_RESP,
    RAFT_MSG_SNAP,
    RAFT_MSG_HEARTBEAT,
    RAFT_MSG_HEARTBEAT_RESP,
    RAFT_MSG_TRANSFER,
    RAFT_MSG_TIMEOUT_NOW,
    RAFT_MSG_READ,
    RAFT_MSG_READ_RESP,
    RAFT_MSG_SLEEP,        /* `index`: the last entry, which everybody has */
    RAFT_MSG_STORE_APPEND, /* asynchronous mode: to and from the storage threads */
    RAFT_MSG_STORE_APPEND_RESP,
    RAFT_MSG_STORE_APPLY,
    RAFT_MSG_STORE_APPLY_RESP,
    RAFT_MSG_TYPES
};

/* A message. What leaves names its entries by place: [first, first + nents) of the sender's log, `ents` NULL; the
 * driver fills `ents` before it is stepped elsewhere. Forwarded proposals alone carry `ents` of their own. */
struct raft_msg {
    uint8_t type;
    bool reject;
    bool
        forced; /* votes of a transfer: leases and pre-votes are bypassed, unless it was given up */
    raft_id from, to;
    raft_id vote; /* STORE_APPEND: of the hard state */
    raft_term term, log_term;
    raft_index index, commit, hint;
    raft_term
        commit_term; /* RAFT_COMMIT_IN_VOTE: with `commit` in votes and their rejections; else 0 */
    /* heartbeats: the read sequence; reads: the request's number; TIMEOUT_NOW and the votes that it forces: which
     * transfer of its leader, `hint` of a heartbeat being the last that was given up */
    uint64_t ctx;
    raft_index first;
    uint32_t nents;
    const struct raft_ent *ents;
    const struct raft_snap *snap; /* SNAP, STORE_APPEND, STORE_APPEND_RESP */
    uint32_t nresp;
    const struct raft_msg *resp; /* STORE_*: to be sent when the work is done */
};

/* The log's payloads, kept by the driver. None of these may block. */
struct raft_log_ops {
    /* From ents[0].index on the log is now these; what stood there is gone. Copy or take a reference. */
    void (*append)(void *ctx, const struct raft_ent *ents, uint32_t n);
    /* How many of the entries [lo, hi) fit into max_bytes of payload, at least 1 if lo is in the cache; 0: its
     * payload must be read first (the driver calls raft_kick() then). `*bytes` is the payload of those. */
    uint32_t (*fit)(void *ctx, raft_index lo, raft_index hi, uint64_t max_bytes, uint64_t *bytes);
    /* The newest snapshot that could be sent; false: not now. */
    bool (*snapshot)(void *ctx, struct raft_snap *ret);
    void *ctx;
};

enum raft_flags {
    RAFT_PREVOTE = 1 << 0,
    RAFT_CHECK_QUORUM = 1 << 1,
    RAFT_LEASE_READ = 1 << 2, /* with CHECK_QUORUM: reads within a lease need no round */
    RAFT_ASYNC = 1 << 3,
    RAFT_STEP_DOWN_ON_REMOVAL = 1 << 4,
    RAFT_TRANSFER_ON_REMOVAL =
        1 << 5,                  /* with the former: hand over to the most advanced voter first */
    RAFT_NO_FORWARD = 1 << 6,    /* followers refuse proposals */
    RAFT_NO_CONF_CHECK = 1 << 7, /* tests: a second change may be proposed while one is unapplied */
    RAFT_COMMIT_IN_VOTE = 1 << 8,
    RAFT_GATHER = 1 << 9, /* appends are sent once per Ready, not once per proposal */
};

struct raft_cfg {
    raft_id id;
    uint64_t seed;           /* of the group; the node's id is mixed in */
    uint16_t election_tick;  /* 10 */
    uint16_t heartbeat_tick; /* 3 */
    bool no_jitter;          /* scripts: every randomised election timeout is election_tick */
    unsigned flags;
    uint64_t max_msg_bytes;      /* payload of one append; the first entry always goes */
    uint32_t max_inflight_msgs;  /* appends on their way to one follower */
    uint64_t max_inflight_bytes; /* 0: no limit */
    uint64_t
        max_uncommitted; /* bytes proposed and not committed; 0: no limit; empty entries are never refused */
    uint64_t max_apply_bytes; /* handed out and not yet applied; 0: no limit */
    struct raft_log_ops log;
    void *(*mem)(void *ctx, void *old, size_t size); /* as realloc, size 0 frees; NULL: realloc */
    void *mem_ctx;
};

/* A run of the log: entries up to and with `last` have this term and kind (conf: of type RAFT_ENT_CONF). */
struct raft_run {
    raft_index last;
    raft_term term;
    bool conf;
};
/* What was durable at a restart. `first` is snap.index + 1 where there is a snapshot or a compaction. */
struct raft_boot {
    struct raft_hs hs;
    struct raft_snap
        snap; /* index and term before the first entry; the configuration as of `applied` */
    raft_index applied;          /* 0: snap.index */
    const struct raft_run *runs; /* ascending, from snap.index + 1 on */
    uint32_t nruns;
    /* LEASE_READ: it was open before, and may have promised a leader not to vote: for one election minimum it neither
     * votes nor campaigns (a voter that is alone need not wait). False for a replica that is new. */
    bool restarted;
};

struct raft_range {
    raft_index lo, hi; /* [lo, hi) */
};
struct raft_read {
    raft_index index; /* answer once this is applied */
    uint64_t ctx;
};

/* What has to be done. Valid until raft_advance(); parts that are not there are empty. */
struct raft_ready {
    bool soft_changed; /* lead or role are other than in the last Ready */
    raft_id lead;
    enum raft_role role;
    bool hs_changed;
    struct raft_hs hs;
    bool must_sync;               /* entries, term or vote: the write must be synced */
    struct raft_range ents;       /* to be made durable */
    struct raft_range committed;  /* to be applied */
    const struct raft_snap *snap; /* to be installed before `ents` */
    const struct raft_msg *msgs;
    uint32_t nmsgs;
    const struct raft_read *reads;
    uint32_t nreads;
};

struct raft;

/* Makes a group. ERR_INVALID_ARGUMENT for a senseless config or boot; ERR_NOMEM. */
MUST_USE err_t raft_open(const struct raft_cfg *cfg, const struct raft_boot *boot,
                         struct raft **ret);
void raft_close(struct raft *r); /* NULL is welcome */

/* Time passes: `n` ticks. */
void raft_tick(struct raft *r, uint32_t n);
/* Ticks until the next one that would do something, for a timer wheel; UINT32_MAX: none. */
uint32_t raft_deadline(const struct raft *r);

/* Takes a message from a peer (or from a storage thread). ERR_NOT_FOUND: a response of a node that is not in the
 * configuration; ERR_UNAVAILABLE: a forwarded proposal was dropped; ERR_INVALID_ARGUMENT; ERR_NOMEM. */
MUST_USE err_t raft_step(struct raft *r, const struct raft_msg *m);

/* Proposes `n` entries (type, data, len are given; term and index are filled in). ERR_UNAVAILABLE: dropped (no leader,
 * a transfer is pending, removed); ERR_SERVER_IS_BUSY: max_uncommitted is reached. */
MUST_USE err_t raft_propose(struct raft *r, struct raft_ent *ents, uint32_t n);
/* The same with a change of configuration; `context` (may be empty) are the driver's bytes behind it. */
MUST_USE err_t raft_propose_conf(struct raft *r, const struct raft_cc *cc, struct bytes context);
/* A committed change of configuration was reached by apply: adopts it. ERR_INVALID_ARGUMENT: it cannot be applied
 * (with NO_CONF_CHECK, or from a foreign log): the group breaks. ERR_FAILED_PRECONDITION: a snapshot has overtaken this
 * work (duty 7). `ret` may be NULL. */
MUST_USE err_t raft_apply_conf(struct raft *r, const struct raft_cc *cc, struct raft_conf *ret);

/* Asks for a linearizable read (thesis 6.4): its answer comes in Ready.reads under `ctx`. The index is fixed now; a
 * leader without a commit in its own term keeps it until it has one. ERR_UNAVAILABLE: no leader known. */
MUST_USE err_t raft_read_index(struct raft *r, uint64_t ctx);
/* True on a leader whose lease is valid: a read may be answered at the commit index without a round. */
bool raft_lease_valid(const struct raft *r);

/* Campaigns now; nothing happens on a leader, a learner, and while a promise forbids it (restarted, leases). */
MUST_USE err_t raft_campaign(struct raft *r);
MUST_USE err_t raft_transfer(struct raft *r, raft_id to); /* on the leader, or forwarded to it */
/* Forgets a leader that is known to be dead, without a new term; refused with lease reads. */
MUST_USE err_t raft_forget_leader(struct raft *r);
void raft_unreachable(struct raft *r, raft_id peer); /* an append could not be sent */
void raft_snap_done(struct raft *r, raft_id peer,
                    bool ok);                 /* the outcome of a snapshot that was sent */
void raft_kick(struct raft *r, raft_id peer); /* payloads that were missing are in the cache now */
/* The driver wants to drop the log up to `index`. ERR_FAILED_PRECONDITION: a message that waits for a Ready names
 * those entries: ask again behind it. ERR_INVALID_ARGUMENT: not applied yet. */
MUST_USE err_t raft_compacted(struct raft *r, raft_index index);

bool raft_has_ready(const struct raft *r);
const struct raft_ready *raft_ready(struct raft *r);
/* Synchronous mode: everything of the Ready is durable, sent and applied. Asynchronous: the driver has taken it. */
void raft_advance(struct raft *r);
/* Frees what an idle group does not need. */
void raft_trim(struct raft *r);

/* Hibernation (sleep.c has the picture). A sleeper needs no ticks: its deadline is UINT32_MAX, and those that pass are
 * told when it is touched again. Any message and any request wakes it. The driver decides when a quiet group sleeps,
 * and watches stores in its place: when one is lost, raft_wake(r, true) for every group whose leader was there. */
/* True if nothing is under way: a leader with everybody caught up, all applied, no change, transfer or read pending. */
bool raft_quiet(const struct raft *r);
/* The leader sleeps, and tells the others to. ERR_FAILED_PRECONDITION: it is not quiet, or without CHECK_QUORUM. */
MUST_USE err_t raft_sleep(struct raft *r);
bool raft_asleep(const struct raft *r);
/* `leader_lost`: the leader's store is known to be dead. Then a follower votes for others now, so far as it has
 * promised nothing, and campaigns within an election timeout; without, it waits for its leader first. */
void raft_wake(struct raft *r, bool leader_lost);

enum raft_peer_state { RAFT_PROBE, RAFT_REPLICATE, RAFT_SNAPSHOT };
struct raft_peer_status {
    raft_id id;
    enum raft_peer_state state;
    raft_index match, next, pending_snap;
    bool learner, paused, active, full;
    uint32_t inflight;
};
struct raft_status {
    raft_id id, lead, vote, transferee;
    raft_term term;
    enum raft_role role;
    raft_index first, last, commit, applying, applied, stable;
    struct raft_conf conf;
    struct raft_peer_status peers[RAFT_MAX_PEERS]; /* by the places of conf.id */
    bool broken;
    const char *why; /* it broke; static */
    size_t bytes;    /* memory in use */
};
void raft_status(const struct raft *r, struct raft_status *ret);
/* Single facts, for every turn: raft_status() copies a kilobyte. */
raft_id raft_lead(const struct raft *r); /* RAFT_NONE: not known */
enum raft_role raft_role(const struct raft *r);
raft_term raft_term_now(const struct raft *r);
raft_index raft_commit(const struct raft *r);
raft_index raft_applied(const struct raft *r);
raft_index raft_last(const struct raft *r);
/* The term of an index in the log; false: compacted away, or beyond the end. */
bool raft_term_of(const struct raft *r, raft_index index, raft_term *ret);
bool raft_broken(const struct raft *r);
/* Scripts: sets the randomised election timeout until the next change of role. */
void raft_set_election_timeout(struct raft *r, uint32_t ticks);
