/* The world of a run: swarm, events, network, finale (group.h has the picture). */
#include "group_int.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { FINALE_ROUNDS = 4000, DELIVER = 45 };

/* ---- Telling ------------------------------------------------------------------------------------------------ */

static void tell_member(FILE *trace, const struct member *m)
{
    static const char *const roles[] = { "follower", "precandidate", "candidate", "leader" };
    static const char *const states[] = { "probe", "replicate", "snapshot" };
    struct raft_status s;
    if (!m->up) {
        fprintf(trace, "%8lu down\n", (unsigned long)m->id);
        return;
    }
    raft_status(m->r, &s);
    fprintf(
        trace,
        "%8lu %s term %lu vote %lu lead %lu log %lu-%lu commit %lu applied %lu stable %lu voters %x outgoing %x "
        "learners %x flags %x writes %u applies %u\n",
        (unsigned long)s.id, roles[s.role], (unsigned long)s.term, (unsigned long)s.vote,
        (unsigned long)s.lead, (unsigned long)s.first, (unsigned long)s.last,
        (unsigned long)s.commit, (unsigned long)s.applied, (unsigned long)s.stable, s.conf.voters,
        s.conf.outgoing, s.conf.learners, m->cfg.flags, m->nwrites, m->napplies);
    for (unsigned i = 0; s.role == RAFT_LEADER && i < s.conf.n; i++)
        fprintf(trace, "%16lu %s match %lu next %lu%s%s\n", (unsigned long)s.conf.id[i],
                states[s.peers[i].state], (unsigned long)s.peers[i].match,
                (unsigned long)s.peers[i].next, s.peers[i].paused ? " paused" : "",
                s.peers[i].active ? " active" : "");
}

void group_fail(struct group *g, const char *fmt, ...)
{
    va_list args;
    if (g->ret->failed)
        return; /* the first failure is the one that counts */
    g->ret->failed = true;
    g->ret->event = g->event;
    va_start(args, fmt);
    vsnprintf(g->ret->why, sizeof g->ret->why, fmt, args);
    va_end(args);
    if (g->trace == NULL)
        return;
    fprintf(g->trace, "%8lu FAIL %s\n", (unsigned long)g->event, g->ret->why);
    for (unsigned i = 0; i < g->swarm.members; i++)
        tell_member(g->trace, &g->members[i]);
}

void group_tell(struct group *g, const char *fmt, ...)
{
    va_list args;
    if (g->trace == NULL)
        return;
    fprintf(g->trace, "%8lu ", (unsigned long)g->event);
    va_start(args, fmt);
    vfprintf(g->trace, fmt, args);
    va_end(args);
    fputc('\n', g->trace);
}

void group_mix(struct group *g, uint64_t x)
{
    uint64_t h = (g->ret->hash ^ x) * 0x9e3779b97f4a7c15u;
    g->ret->hash = h ^ h >> 32;
}

/* ---- The network -------------------------------------------------------------------------------------------- */

static bool chance(struct group *g, unsigned per_thousand)
{
    return per_thousand > 0 && prng_chance(&g->prng, per_thousand, 1000);
}

/* Takes `m` over: it is the first field of a group_msg. */
void group_send(struct group *g, const struct raft_msg *m, const struct member *from)
{
    struct group_msg *msg = (struct group_msg *)(uintptr_t)m;
    struct group_counts *c = &g->ret->counts;
    group_tell(g, "%lu->%lu type %u term %lu log %lu/%lu commit %lu ents %u%s",
               (unsigned long)from->id, (unsigned long)m->to, m->type, (unsigned long)m->term,
               (unsigned long)m->log_term, (unsigned long)m->index, (unsigned long)m->commit,
               m->nents, m->reject ? " reject" : "");
    bool known = m->to >= 1 && m->to <= g->swarm.members;
    if (!known || g->cut[from->id - 1][m->to - 1] || g->nflight == GROUP_FLIGHT_MAX ||
        chance(g, g->swarm.lose)) {
        c->lost++;
        msg_free(msg);
        return;
    }
    bool election = m->type == RAFT_MSG_TIMEOUT_NOW || m->type == RAFT_MSG_VOTE;
    if (g->swarm.echo > 0 && prng_chance(&g->prng, election ? 8 : 1, 16)) {
        struct group_msg **place = &g->echo[prng_below(&g->prng, ECHOES_MAX)];
        msg_free(*place);
        *place = msg_copy(msg);
    }
    /* The messages of elections are few, and what they do when they come late is worth more than their number: that of
     * a transfer ends a lease, so a lease that is there again is the worst time for it to come. */
    msg->sent = g->event;
    if (election ? g->swarm.hold > 0 && prng_chance(&g->prng, 1, 3) : chance(g, g->swarm.hold)) {
        msg->not_before = g->event + prng_range(&g->prng, 32, 64) * (1u << prng_below(&g->prng, 8));
        msg->ambush = election && (g->swarm.flags & RAFT_LEASE_READ) != 0;
        c->held++;
    }
    if (chance(g, g->swarm.duplicate) && g->nflight + 1 < GROUP_FLIGHT_MAX) {
        g->flight[g->nflight++] = msg_copy(msg);
        c->duplicated++;
    }
    g->flight[g->nflight++] = msg;
}

static void restart(struct member *m)
{
    m->g->ret->counts.restarts++;
    group_tell(m->g, "restart %lu", (unsigned long)m->id);
    member_open(m);
}

/* Just before it is asked for its vote a member may restart: what it has promised to others must hold all the same. */
static void maybe_restart(struct member *m, const struct raft_msg *asked)
{
    struct group *g = m->g;
    if ((asked->type != RAFT_MSG_VOTE && asked->type != RAFT_MSG_PREVOTE) || g->swarm.crash == 0 ||
        !prng_chance(&g->prng, 1, 16))
        return;
    member_crash(m, m->nwrites);
    restart(m);
}

static void deliver(struct group *g, unsigned at)
{
    struct group_msg *msg = g->flight[at];
    struct member *to = &g->members[msg->m.to - 1];
    memmove(g->flight + at, g->flight + at + 1, (g->nflight - at - 1) * sizeof g->flight[0]);
    g->nflight--;
    if (to->up && !g->cut[msg->m.from - 1][msg->m.to - 1]) {
        g->ret->counts.delivered++;
        member_catch_up(to);
        maybe_restart(to, &msg->m);
        member_step(to, msg);
        check_member(to);
    } else {
        g->ret->counts.lost++;
    }
    msg_free(msg);
}

static bool held(struct group *g, const struct group_msg *msg)
{
    bool comes = msg->ambush && g->leased_at > msg->sent && prng_chance(&g->prng, 1, 8);
    return msg->not_before > g->event && !comes;
}

/* Mostly the oldest; sometimes any, which is how messages overtake each other and come after their term. What is held
 * back, or goes to a stalled member, waits and holds up nobody else. Answers nflight: none. */
static unsigned pick_message(struct group *g)
{
    unsigned at = 0;
    if (g->nflight > 0 && chance(g, g->swarm.late)) {
        g->ret->counts.late++;
        at = (unsigned)prng_below(&g->prng, g->nflight);
    }
    while (at < g->nflight &&
           (member_stalled(&g->members[g->flight[at]->m.to - 1]) || held(g, g->flight[at])))
        at++;
    return at;
}

/* A message of long ago, of an older term perhaps, arrives once more. */
static void echo(struct group *g)
{
    const struct group_msg *old = g->echo[prng_below(&g->prng, ECHOES_MAX)];
    if (old == NULL || g->nflight == GROUP_FLIGHT_MAX)
        return;
    g->flight[g->nflight++] = msg_copy(old);
    g->ret->counts.echoes++;
}

/* ---- Swarm -------------------------------------------------------------------------------------------------- */

static unsigned sometimes(struct prng *p, unsigned most)
{
    return prng_chance(p, 1, 2) ? 0 : (unsigned)prng_range(p, 1, most);
}

/* Leases are held where little goes wrong. What does is what they depend on: transfers whose messages come late, voters
 * that restart, a member that hears everybody but the leader. */
static void draw_calm(struct prng *p, struct group_swarm *s)
{
    s->members = s->voters = prng_chance(p, 2, 3) ? 3 : 5;
    s->lose = s->duplicate = s->change = s->stall = s->compact = 0;
    s->late /= 4;
    s->cut = s->cut == 0 ? 0 : 1;
    s->isolate = (unsigned)prng_range(p, 1, 4);
    s->heal = (unsigned)prng_range(p, 2, 6);
    s->ready = 22;
    s->write = 14;
    s->apply = 12;
    s->propose = 0; /* whoever is cut off stays up to date, and may win */
    s->tick = (unsigned)prng_range(p, 4, 12);
    s->grain = 20;
    s->max_inflight = 256;
    s->hold = (unsigned)prng_range(p, 1, 30);
    s->transfer = sometimes(p, 60);
}

static void draw_swarm(struct group *g)
{
    struct prng *p = &g->prng;
    struct group_swarm *s = &g->swarm;
    static const uint32_t inflights[] = { 1, 2, 4, 16, 256 };
    static const unsigned grains[] = { 20, 60, 200 };
    static const uint64_t bytes[] = { 1, 200, 4096, 0, 0 };
    *s = (struct group_swarm){ 0 };
    s->members = (unsigned)prng_range(p, 1, 7);
    s->voters = (unsigned)prng_range(p, 1, s->members);
    static const unsigned optional[] = { RAFT_PREVOTE, RAFT_CHECK_QUORUM, RAFT_ASYNC,
                                         RAFT_NO_FORWARD, RAFT_GATHER };
    for (size_t i = 0; i < sizeof optional / sizeof optional[0]; i++)
        if (prng_chance(p, 1, 2))
            s->flags |= optional[i];
    /* Without the first a removed leader heartbeats for ever and refuses proposals (etcd#11038); without the second
     * those who stay may never learn what is committed (etcd#12359, raft.md section 6): policies of ours, always. */
    s->flags |= RAFT_STEP_DOWN_ON_REMOVAL | RAFT_COMMIT_IN_VOTE;
    if (prng_chance(p, 1, 2))
        s->flags |= RAFT_TRANSFER_ON_REMOVAL;
    s->heartbeat_tick = (uint16_t)prng_range(p, 1, 3);
    s->election_tick = (uint16_t)(s->heartbeat_tick * prng_range(p, 3, 6));
    s->max_inflight = inflights[prng_below(p, 5)];
    s->max_msg_bytes = bytes[prng_below(p, 5)];
    s->max_inflight_bytes = bytes[prng_below(p, 5)];
    s->max_apply_bytes = bytes[prng_below(p, 5)];
    s->max_uncommitted = prng_chance(p, 1, 4) ? 2000 : 0;
    s->lose = sometimes(p, 100);
    s->duplicate = sometimes(p, 100);
    s->late = sometimes(p, 400);
    s->crash = sometimes(p, 8);
    s->echo = sometimes(p, 40);
    s->hold = sometimes(p, 60);
    s->cut = sometimes(p, 30);
    s->isolate = sometimes(p, 20);
    s->heal = (unsigned)prng_range(p, 2, 30);
    s->tick = (unsigned)prng_range(p, 2, 25);
    s->ready = (unsigned)prng_range(p, 2, 22);
    s->apply = (unsigned)prng_range(p, 1, 12);
    s->write = (unsigned)prng_range(p, 2, 14);
    s->propose = (unsigned)prng_range(p, 1, 20);
    s->change = sometimes(p, 30);
    s->transfer = sometimes(p, 20);
    s->grain = grains[prng_below(p, 3)];
    s->read = sometimes(p, 40);
    s->compact = sometimes(p, 20);
    s->forget = sometimes(p, 3);
    s->stall = sometimes(p, 3);
    s->sleep = sometimes(p, 100);
    s->differ = CLOCKS_DIFFER;
    for (unsigned i = 0; i < s->members; i++)
        s->clock_rate[i] = prng_chance(p, 1, 3) ? (unsigned)prng_range(p, 1, 4) : 2;
    /* Leases rest on clocks that differ by no more than CLOCKS_DIFFER, and on checks of the quorum. */
    if (prng_chance(p, 1, 3)) {
        s->flags |= RAFT_LEASE_READ | RAFT_CHECK_QUORUM;
        if (prng_chance(p, 1, 2))
            draw_calm(p, s);
    }
}

const char *const group_switches[GROUP_SWITCHES] = {
    "lose",     "duplicate", "late",    "echo",   "crash", "cut",  "isolate", "change",
    "transfer", "read",      "compact", "forget", "stall", "hold", "sleep",   "skew",
};

static void switch_off(struct group_swarm *s, unsigned without)
{
    unsigned *const rates[GROUP_SWITCHES] = {
        &s->lose,    &s->duplicate, &s->late,     &s->echo, &s->crash,   &s->cut,
        &s->isolate, &s->change,    &s->transfer, &s->read, &s->compact, &s->forget,
        &s->stall,   &s->hold,      &s->sleep,    NULL,
    };
    for (unsigned i = 0; i < GROUP_SWITCHES; i++)
        if ((without >> i & 1) && rates[i] != NULL)
            *rates[i] = 0;
    for (unsigned i = 0; (without >> (GROUP_SWITCHES - 1) & 1) && i < GROUP_MEMBERS_MAX; i++)
        s->clock_rate[i] = 2;
    if (without >> (GROUP_SWITCHES - 1) & 1)
        s->differ = 0;
}

/* ---- Events ------------------------------------------------------------------------------------------------- */

static struct member *any_member(struct group *g)
{
    return &g->members[prng_below(&g->prng, g->swarm.members)];
}

/* Whoever believes to lead, the newest or an old one; nobody, if nobody does. */
static struct member *some_leader(struct group *g)
{
    struct member *leaders[GROUP_MEMBERS_MAX];
    unsigned n = 0;
    for (unsigned i = 0; i < g->swarm.members; i++)
        if (g->members[i].up && g->members[i].seen_role == RAFT_LEADER)
            leaders[n++] = &g->members[i];
    return n == 0 ? NULL : leaders[prng_below(&g->prng, n)];
}

static void propose(struct member *m)
{
    struct group *g = m->g;
    struct group_ent ents[4];
    struct raft_ent given[4];
    unsigned n = (unsigned)prng_range(&g->prng, 1, 4);
    for (unsigned i = 0; i < n; i++) {
        ents[i] = (struct group_ent){ .value = ++g->next_value };
        given[i] =
            (struct raft_ent){ .type = RAFT_ENT_NORMAL, .len = sizeof ents[i], .data = &ents[i] };
    }
    if (raft_propose(m->r, given, n) == ERR_OK)
        g->ret->counts.proposals += n;
}

static void ask_read(struct member *m)
{
    uint64_t ctx = ++m->g->next_value;
    member_catch_up(m);
    check_read_asked(m, ctx);
    if (raft_read_index(m->r, ctx) == ERR_OK)
        m->g->ret->counts.reads++;
    check_member(m);
}

/* Mostly asked of a leader: forwarded requests find one less often. */
static void transfer(struct group *g, struct member *m)
{
    struct member *leader = some_leader(g);
    if (leader != NULL && !member_stalled(leader) && prng_chance(&g->prng, 3, 4))
        m = leader;
    member_catch_up(m);
    if (raft_transfer(m->r, prng_range(&g->prng, 1, g->swarm.members)) == ERR_OK)
        g->ret->counts.transfers++;
    check_member(m);
}

static void change(struct member *m)
{
    struct group *g = m->g;
    struct raft_cc cc = { .transition = (enum raft_cc_transition)prng_below(&g->prng, 3) };
    cc.n = (uint8_t)prng_range(&g->prng, 0, 3);
    for (unsigned i = 0; i < cc.n; i++)
        cc.change[i] = (struct raft_cc_one){ (enum raft_cc_kind)prng_below(&g->prng, 3),
                                             prng_range(&g->prng, 1, g->swarm.members) };
    if (cc.n == 0)
        cc.transition = RAFT_CC_AUTO;
    if (raft_propose_conf(m->r, &cc, (struct bytes){ 0 }) == ERR_OK)
        g->ret->counts.changes++;
}

/* What a store that watches others does for its sleepers (raft.h). It may be wrong, and it may not know for long. */
static void watch(struct member *m)
{
    struct group *g = m->g;
    raft_id lead = raft_lead(m->r);
    bool lost = lead != m->id && (!g->members[lead - 1].up || g->cut[lead - 1][m->id - 1]);
    if (!chance(g, lost ? 100 : 1))
        return;
    raft_wake(m->r, lost || prng_chance(&g->prng, 1, 2));
    g->ret->counts.lost_leaders += lost;
}

static void cut_links(struct group *g)
{
    unsigned n = g->swarm.members;
    bool one_way = prng_chance(&g->prng, 1, 3);
    for (unsigned a = 0; a < n; a++)
        for (unsigned b = a + 1; b < n; b++)
            if (prng_chance(&g->prng, 1, 2)) {
                g->cut[a][b] = true;
                g->cut[b][a] = !one_way || prng_chance(&g->prng, 1, 2);
            }
    g->ret->counts.cuts++;
    g->ret->counts.one_way_cuts += one_way;
    group_tell(g, "cut%s", one_way ? " one way" : "");
}

/* Others elect another leader while this one's log grows on: nothing makes logs differ more. */
static void isolate(struct group *g)
{
    const struct member *m = some_leader(g);
    if (m == NULL)
        return;
    if (prng_chance(&g->prng, 1, 2)) { /* from one member only, which everybody else still hears */
        raft_id deaf = prng_range(&g->prng, 1, g->swarm.members);
        g->cut[m->id - 1][deaf - 1] = g->cut[deaf - 1][m->id - 1] = true;
        g->ret->counts.isolations++;
        group_tell(g, "cut %lu from %lu", (unsigned long)deaf, (unsigned long)m->id);
        return;
    }
    bool hears = prng_chance(&g->prng, 1, 4), speaks = !hears && prng_chance(&g->prng, 1, 4);
    for (unsigned i = 0; i < g->swarm.members; i++) {
        g->cut[m->id - 1][i] = !speaks;
        g->cut[i][m->id - 1] = !hears;
    }
    g->ret->counts.isolations++;
    group_tell(g, "isolate %lu", (unsigned long)m->id);
}

static void heal(struct group *g)
{
    memset(g->cut, 0, sizeof g->cut);
    g->ret->counts.heals++;
    group_tell(g, "heal");
}

static void crash(struct group *g, struct member *m)
{
    if (!m->up) {
        restart(m);
        return;
    }
    member_crash(m, (unsigned)prng_below(&g->prng, m->nwrites + 1));
    if (prng_chance(&g->prng, 1, 2))
        restart(m);
}

/* Seldom things, each with its rate. */
static void nemesis(struct group *g)
{
    const struct group_swarm *s = &g->swarm;
    struct member *m = any_member(g);
    if (chance(g, s->crash) || (!m->up && chance(g, 20)))
        crash(g, m);
    if (chance(g, s->cut))
        cut_links(g);
    if (chance(g, s->isolate))
        isolate(g);
    if (chance(g, s->echo))
        echo(g);
    if (chance(g, s->heal))
        heal(g);
    if (!m->up || group_failed(g) || member_stalled(m))
        return;
    member_catch_up(m);
    if (chance(g, s->change))
        change(m);
    if (chance(g, s->transfer))
        transfer(g, m);
    if (chance(g, s->read)) {
        struct member *leader = some_leader(g);
        if (leader != NULL && !member_stalled(leader) && prng_chance(&g->prng, 1, 2))
            ask_read(leader);
        else
            ask_read(m);
    }
    if (raft_asleep(m->r))
        watch(m);
    else if (chance(g, s->sleep) && raft_sleep(m->r) == ERR_OK)
        g->ret->counts.sleeps++;
    if (chance(g, s->compact))
        member_compact(m, m->applied);
    if (chance(g, 5))
        propose(m);
    if (chance(g, 3))
        (void)!raft_campaign(m->r);
    if (chance(g, 20))
        raft_trim(m->r);
    if (chance(g, s->forget))
        (void)!raft_forget_leader(m->r);
    if (chance(g, s->stall)) {
        m->stalled_until = g->event + prng_range(&g->prng, 100, 3000);
        g->ret->counts.stalls++;
    }
    if (chance(g, 5))
        raft_unreachable(m->r, prng_range(&g->prng, 1, s->members));
    if (chance(g, 5))
        raft_snap_done(m->r, prng_range(&g->prng, 1, s->members), prng_chance(&g->prng, 1, 2));
    check_member(m);
}

/* A tick of one member, or, where leases rest on it, of true time: then each member is told what its own clock shows
 * before anything else happens to it. */
static void tick(struct group *g, struct member *m)
{
    g->ret->counts.ticks++;
    if (!(g->swarm.flags & RAFT_LEASE_READ)) {
        raft_tick(m->r, g->swarm.clock_rate[m->id - 1] > prng_below(&g->prng, 4) + 1 ? 2 : 1);
        return;
    }
    g->now += prng_range(&g->prng, 1, g->swarm.grain);
    member_catch_up(m);
}

/* Ticks are scarce beside messages: an election takes many events, as it takes many round trips. */
static void ordinary(struct group *g)
{
    struct member *m = any_member(g);
    const struct group_swarm *s = &g->swarm;
    const unsigned weights[] = { DELIVER, s->ready, s->apply, s->write, s->tick, s->propose };
    unsigned sum = 0, what = 0;
    for (unsigned i = 0; i < sizeof weights / sizeof weights[0]; i++)
        sum += weights[i];
    for (unsigned at = (unsigned)prng_below(&g->prng, sum); at >= weights[what]; what++)
        at -= weights[what];
    if (what == 0) {
        unsigned at = pick_message(g);
        if (at < g->nflight)
            deliver(g, at);
        return;
    }
    if (!m->up || member_stalled(m))
        return;
    member_catch_up(m);
    if (what == 1)
        member_ready(m);
    else if (what == 2)
        member_apply_one(m);
    else if (what == 3)
        member_write_one(m);
    else if (what == 4)
        tick(g, m);
    else
        propose(m);
    check_member(m);
}

/* Everything works again: within a bounded time there is a leader, a proposal commits, a read is served, everybody has
 * applied the same, and what was begun is ended. */
static void finale(struct group *g)
{
    heal(g);
    g->swarm.lose = g->swarm.duplicate = g->swarm.late = g->swarm.echo = g->swarm.crash = 0;
    for (unsigned i = 0; i < g->swarm.members; i++) {
        g->members[i].stalled_until = 0;
        if (!g->members[i].up)
            member_open(&g->members[i]);
    }
    const char *why = NULL;
    raft_index before = g->committed;
    uint64_t served = g->ret->counts.reads_served;
    for (unsigned round = 0; round < FINALE_ROUNDS && !group_failed(g); round++) {
        bool busy = true;
        for (unsigned spin = 0; spin < 100000 && busy && !group_failed(g);
             spin++) { /* until nothing moves without ticks */
            busy = g->nflight > 0;
            for (unsigned n = g->nflight; n > 0 && g->nflight > 0 && !group_failed(g); n--)
                deliver(g, 0);
            for (unsigned i = 0; i < g->swarm.members && !group_failed(g); i++) {
                struct member *m = &g->members[i];
                for (; member_write_one(m) && !group_failed(g); busy = true)
                    check_member(m);
                for (; member_apply_one(m) && !group_failed(g); busy = true)
                    check_member(m);
                if (!group_failed(g) && raft_has_ready(m->r)) {
                    member_ready(m);
                    busy = true;
                }
                check_member(m);
            }
        }
        if (busy && !group_failed(g))
            group_fail(g, "messages never end although no time passes (I20)");
        bool done =
            g->committed > before && g->ret->counts.reads_served > served && check_settled(g, NULL);
        g->now += 100;
        for (unsigned i = 0; i < g->swarm.members && !group_failed(g); i++) {
            struct member *m = &g->members[i];
            if (!done) {
                member_catch_up(m);
                if (round % 64 == 63) /* the transport reports a snapshot that did not arrive */
                    for (unsigned to = 1; to <= g->swarm.members; to++)
                        raft_snap_done(m->r, to, false);
                if (round % 16 == 3) {
                    uint64_t ctx = ++g->next_value;
                    propose(m);
                    check_read_asked(m, ctx);
                    (void)!raft_read_index(m->r, ctx);
                }
                if (!(g->swarm.flags & RAFT_LEASE_READ))
                    raft_tick(m->r, 1);
            }
            check_member(m);
        }
        if (done && !busy)
            break;
    }
    if (group_failed(g))
        return;
    if (g->committed <= before)
        group_fail(g, "nothing commits after everything was healed (I20)");
    else if (g->ret->counts.reads_served <= served)
        group_fail(g, "no read is served after everything was healed (I20)");
    else if (!check_settled(g, &why))
        group_fail(g, "after everything was healed, %s (I20)", why);
    check_logs(g);
}

void group_run(const struct group_plan *plan, FILE *trace, struct group_result *ret)
{
    struct group *g = calloc(1, sizeof *g);
    struct raft_conf conf = { 0 };
    if (g == NULL)
        abort();
    *ret = (struct group_result){ .hash = 1 };
    g->seed = plan->seed;
    g->trace = trace;
    g->ret = ret;
    prng_seed(&g->prng, plan->seed);
    draw_swarm(g);
    switch_off(&g->swarm, plan->without);
    check_init(g);
    for (unsigned i = 0; i < g->swarm.voters; i++) {
        conf.id[conf.n] = i + 1;
        conf.voters |= (uint16_t)(1u << conf.n++);
    }
    for (unsigned i = 0; i < g->swarm.members; i++)
        member_create(g, i + 1, i < g->swarm.voters ? &conf : NULL);
    for (; g->event < plan->events && !group_failed(g) && g->committed + 2000 < GROUP_INDEX_MAX;
         g->event++) {
        if (prng_chance(&g->prng, 1, 10))
            nemesis(g);
        else
            ordinary(g);
        if (g->event % 5000 == 0)
            check_logs(g);
    }
    if (!group_failed(g))
        finale(g);
    ret->counts.events = g->event;
    for (unsigned i = 0; i < g->nflight; i++)
        msg_free(g->flight[i]);
    for (unsigned i = 0; i < ECHOES_MAX; i++)
        msg_free(g->echo[i]);
    for (unsigned i = 0; i < g->swarm.members; i++)
        member_free(&g->members[i]);
    check_free(g);
    free(g);
}

/* ---- Shrinking ---------------------------------------------------------------------------------------------- */

static bool still_fails(const struct group_plan *plan, struct group_result *ret)
{
    struct group_result one;
    group_run(plan, NULL, &one);
    if (one.failed)
        *ret = one;
    return one.failed;
}

void group_shrink(struct group_plan *plan, struct group_result *ret)
{
    struct group_plan less = *plan;
    for (unsigned i = 0; i < GROUP_SWITCHES; i++) {
        less.without = plan->without | 1u << i;
        if (less.without != plan->without && still_fails(&less, ret))
            plan->without = less.without;
    }
    less = *plan;
    /* Cut where it failed; then, since an earlier end may fail in the finale too, by ever smaller steps. */
    less.events = ret->event + 1;
    if (less.events < plan->events && still_fails(&less, ret))
        plan->events = less.events;
    for (uint64_t step = plan->events / 2; step > 0; step /= 2) {
        less.events = plan->events - step;
        if (still_fails(&less, ret))
            plan->events = less.events;
    }
}
