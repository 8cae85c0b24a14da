/* The inside of a group, shared by the files of this layer. */
#pragma once

#include "base/prng.h"
#include "conf.h"
#include "log.h"
#include "peer.h"
#include "quorum.h"
#include "raft/raft.h"

/* Messages that wait for the next Ready, grown on demand and kept. */
struct raft_box {
    struct raft_msg *msgs;
    uint32_t n, cap;
};

/* A read that waits: for the first commit of the term (index 0), or for a round of heartbeats. */
struct raft_wait {
    uint64_t seq; /* confirmed once a quorum acknowledged it */
    raft_index index;
    raft_id from; /* ourselves, or the follower that asked */
    uint64_t ctx;
};

/* Answered reads, grown on demand and kept. */
struct raft_answers {
    struct raft_read *reads;
    uint32_t n, cap;
};

/* What passes through a group on its way to the driver. It is there while something happens: raft_reserve() makes it
 * at the entrance of every call, raft_trim() frees it again, and an idle group is small. */
struct raft_turn {
    struct raft_box out;       /* leave at once */
    struct raft_box after;     /* leave when what is unstable now is durable */
    struct raft_box self;      /* synchronous mode: our own acks, stepped by raft_advance() */
    struct raft_box given;     /* the messages of the Ready that is out */
    struct raft_box resp;      /* asynchronous mode: the responses that it attaches to its append */
    struct raft_answers reads; /* for the next Ready */
    struct raft_answers given_reads; /* of the Ready that is out */
    struct raft_msg apply_done;
    struct raft_ready ready;
};

/* What a voter owes a leader whose heartbeat it has answered (vote.c has the picture). */
struct raft_promise {
    raft_term term; /* of that leader */
    uint64_t until; /* ticks: no vote before, whatever the term */
    uint64_t
        given_up; /* transfers of that term, by number, that are over: their votes bypass nothing any more */
};

struct raft {
    struct raft_cfg cfg;
    struct raft_window window;
    struct raft_log log;
    struct raft_conf conf;
    struct raft_peer *peers; /* conf.n of them, by the places of conf.id */

    raft_term term;
    raft_id vote, lead, transferee;
    enum raft_role role;
    uint16_t granted, rejected; /* of the running vote */
    uint32_t election_elapsed, heartbeat_elapsed, election_timeout;
    raft_index pending_conf; /* no change may be proposed until this is applied */
    uint64_t uncommitted;    /* bytes */

    uint64_t read_seq;       /* of the last round of heartbeats that carried one */
    struct raft_wait *waits; /* in order of their asking */
    uint32_t nwaits, waits_cap;
    uint64_t ticks;                 /* since the group was opened */
    uint64_t lease_seq, lease_sent; /* the round that may renew the lease, and when it was sent */
    uint64_t lease_until;           /* ticks; 0: no lease */
    uint64_t transfers;             /* that this leader has begun in its term */
    struct raft_promise promise;    /* a leader keeps its own `given_up` there, and owes nothing */
    uint64_t wait_until;            /* ticks; restarted: neither a vote nor a campaign before */

    struct raft_turn *turn; /* NULL: nothing happened since raft_trim() */
    bool gather;            /* appends are due at the next Ready */
    bool asleep;            /* time brings nothing (sleep.c) */

    struct raft_hs hs_given; /* as of the last Ready */
    raft_id lead_given;
    enum raft_role role_given;
    bool ready_out;

    struct prng prng;
    const char *why_broken; /* NULL: it is not */
};

static inline bool raft_flag(const struct raft *r, enum raft_flags flag)
{
    return (r->cfg.flags & flag) != 0;
}
static inline struct raft_peer *raft_peer_of(struct raft *r, raft_id id) /* NULL: not a member */
{
    int place = conf_find(&r->conf, id);
    return place < 0 ? NULL : &r->peers[place];
}
static inline struct raft_peer *raft_self(struct raft *r)
{
    return raft_peer_of(r, r->cfg.id);
}

/* raft.c: a situation that the protocol excludes; the first reason stays. */
void raft_break(struct raft *r, const char *why);

/* role.c */
void raft_role_follower(struct raft *r, raft_term term, raft_id lead);
void raft_role_precandidate(struct raft *r);
void raft_role_candidate(struct raft *r);
void raft_role_leader(struct raft *r);
bool raft_role_promotable(const struct raft *r);

/* ready.c: sending. Room was reserved by raft_reserve() at the entrance of every call. */
MUST_USE err_t raft_reserve(struct raft *r, uint32_t msgs);
bool raft_room(struct raft *r); /* room for one more message, made if need be */
void raft_send(struct raft *r, struct raft_msg m);
struct raft_snap *raft_snap_copy(struct raft *r,
                                 const struct raft_snap *snap); /* NULL: memory is gone */
/* Frees the turn, and whatever is in it. */
void raft_turn_free(struct raft *r);
size_t raft_turn_bytes(const struct raft *r);
/* Does a message that waits name entries of [from, to]? */
bool raft_names_entries(const struct raft *r, raft_index from, raft_index to);
/* Entries from `from` on are about to be replaced: appends that wait and name them are as good as lost. */
void raft_forget_appends(struct raft *r, raft_index from);

/* follower.c */
void raft_follower_append(struct raft *r, const struct raft_msg *m);
void raft_follower_heartbeat(struct raft *r, const struct raft_msg *m);
void raft_follower_snapshot(struct raft *r, const struct raft_msg *m);
err_t raft_follower_step(struct raft *r, const struct raft_msg *m);

/* vote.c */
enum raft_campaign_kind { RAFT_CAMPAIGN, RAFT_CAMPAIGN_ELECTION, RAFT_CAMPAIGN_FORCED };
/* `transfer`: the number of the transfer that forces it, else 0. */
void raft_vote_campaign(struct raft *r, enum raft_campaign_kind kind, uint64_t transfer);
/* Must this request for a vote be ignored, since we hear a leader or have promised one to wait? */
bool raft_vote_kept(const struct raft *r, const struct raft_msg *m);
void raft_vote_promise(struct raft *r, const struct raft_msg *heartbeat);
void raft_vote_asked(struct raft *r, const struct raft_msg *m);
void raft_vote_refuse(struct raft *r, const struct raft_msg *m);
void raft_vote_step(struct raft *r, const struct raft_msg *m); /* a candidate of either kind */
/* Learns a commit index from a vote or its rejection, of whatever term: else a removed leader that alone knows that its
 * removal is committed, and those who need its vote until they know too, wait for each other (etcd#12359). */
void raft_vote_commit(struct raft *r, const struct raft_msg *m);

/* leader.c */
err_t raft_leader_step(struct raft *r, const struct raft_msg *m);
err_t raft_leader_propose(struct raft *r, struct raft_ent *ents, uint32_t n);
void raft_leader_append_own(struct raft *r, struct raft_ent *ents, uint32_t n);
void raft_leader_broadcast(struct raft *r);
void raft_leader_heartbeat(struct raft *r);
bool raft_leader_send(struct raft *r, unsigned place, bool even_if_empty);
bool raft_leader_commit(struct raft *r);
void raft_leader_committed(struct raft *r);
void raft_leader_transfer(struct raft *r, raft_id to);
void raft_leader_transfer_end(struct raft *r); /* given up, if there is one */
void raft_leader_timeout_now(struct raft *r, raft_id to);
void raft_leader_leave_joint(struct raft *r);
void raft_leader_switched(struct raft *r);

/* sleep.c */
void raft_sleep_told(struct raft *r, const struct raft_msg *m); /* a follower, by its leader */
/* Wakes a sleeper, unless the message is none that should; NULL: a request. */
void raft_sleep_disturbed(struct raft *r, const struct raft_msg *m);

/* read.c */
void raft_read_asked(struct raft *r, raft_id from, uint64_t ctx);
void raft_read_committed(struct raft *r); /* the first commit of the term is there */
void raft_read_confirmed(struct raft *r);
void raft_read_drop(struct raft *r);
void raft_read_end_lease(struct raft *r);
void raft_read_answer(struct raft *r, raft_index index, uint64_t ctx);

/* check.c: every invariant of one group; asserts. The configuration's alone wherever it is replaced. */
void raft_check(const struct raft *r);
void raft_check_conf(const struct raft *r);
