/* Raft groups alone, in one thread, from one seed: millions of events a second.
 *
 *   seed ── swarm: size, flags, limits, fault rates
 *     │
 *     └─> event, event, event ...        tick, Ready, a storage write ends, a message arrives (is lost, late, twice),
 *            │                           propose, change the configuration, read, transfer, compact, crash, restart,
 *            │                           cut links, heal
 *            └─> after each: every invariant (check.c). At the end: heal everything, and progress is due.
 *
 *   group.c   the world of a run: swarm, events, network, the finale
 *   member.c  one member: the driver of a struct raft, its disk with what is not yet durable, its state machine
 *   check.c   the history that nobody in the group has: who led, who voted, what was committed, what was applied */
#pragma once

#include <stdio.h>

#include "base/prng.h"
#include "raft/raft.h"

enum {
    GROUP_MEMBERS_MAX = 9,
    GROUP_INDEX_MAX = 1 << 16,
    GROUP_TERM_MAX = 1 << 16,
    GROUP_FLIGHT_MAX = 4096, /* messages on their way; more are lost */
};

/* An entry as the simulation keeps it: the value is the proposal's number, changes carry themselves. */
struct group_ent {
    raft_term term;
    uint64_t value;
    uint8_t type;
    struct raft_cc cc; /* of type RAFT_ENT_CONF */
};

struct group_msg {
    struct raft_msg m; /* ents and snap point into this message */
    struct group_ent *ents;
    struct raft_snap snap;
    uint64_t snap_chain; /* SNAP: the state machine's hash there */
    uint64_t sent,
        not_before; /* events; held back until the latter, or, if it lies in ambush, until there is a lease */
    bool ambush;
};

/* How a run goes wrong. Rates are per 1,000 events of their kind. */
struct group_swarm {
    unsigned members; /* ids 1 .. members exist; a part of them are voters at first */
    unsigned voters;
    unsigned flags; /* enum raft_flags */
    uint16_t election_tick, heartbeat_tick;
    uint32_t max_inflight;
    uint64_t max_msg_bytes, max_inflight_bytes, max_apply_bytes, max_uncommitted;
    unsigned lose, duplicate, late; /* messages */
    unsigned echo;                  /* a message of long ago comes once more */
    unsigned hold;                  /* messages that take very long; many of elections */
    unsigned isolate;               /* a leader is cut off, and goes on taking proposals */
    unsigned crash,
        lose_unsynced;  /* a crash keeps a prefix of the unsynced writes, or everything */
    unsigned cut, heal; /* links */
    unsigned ready, write, apply, tick,
        propose; /* weights of ordinary events, beside DELIVER: each may be slow */
    unsigned change, transfer, read, compact, forget, stall;
    unsigned sleep;  /* quiet groups; the lower, the longer they stay awake */
    unsigned differ; /* leases: percent between the fastest clock and the slowest */
    unsigned grain;  /* leases: true time moves by up to so much, in hundredths of a tick */
    unsigned clock_rate[GROUP_MEMBERS_MAX]; /* ticks a member gets, relative: 1 to 4 */
};

struct group_counts {
    uint64_t events, ticks, delivered, lost, duplicated, late, crashes, torn, restarts, cuts,
        one_way_cuts, heals, isolations, echoes, held;
    uint64_t proposals, changes, joint, transfers, reads, reads_served, leases, compactions,
        snapshots, elections;
    uint64_t committed, stalls, sleeps, lost_leaders;
};

struct group_result {
    bool failed;
    char why[400];
    uint64_t event; /* at which */
    uint64_t hash;  /* of everything that happened */
    struct group_counts counts;
};

/* What a swarm may be without: bits over the names of group_switches. A seed draws the same swarm either way. */
extern const char *const group_switches[];
enum { GROUP_SWITCHES = 16 };

struct group_plan {
    uint64_t seed, events;
    unsigned without; /* switches that are off */
};
/* One run; `trace` may be NULL. The same plan gives the same result everywhere. */
void group_run(const struct group_plan *plan, FILE *trace, struct group_result *ret);
/* The smallest plan found that still fails: fewest switches on, then fewest events. `plan` fails. */
void group_shrink(struct group_plan *plan, struct group_result *ret);
