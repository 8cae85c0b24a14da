/* Attacks, one function a kind (nemesis.h has the picture). */
#include "sim_cluster/nemesis.h"

#include <assert.h>
#include <stdlib.h>

#define MS     UINT64_C(1000000)
#define SECOND UINT64_C(1000000000)

enum kind_number {
    KILL,
    POWER,
    BLACKOUT,
    EFFECT,
    RESTART,
    WRITE,
    SYNC,
    NAME,
    FULL,
    READ,
    STALL,
    SPACE,
    LANE,
    FREEZE,
    CUT,
    ONEWAY,
    ISOLATE,
    MESH,
    DEAF,
    RESET,
    FLAKY,
    SLOW,
    CHOP,
    CLOCK,
    RATE,
    ABSENT,
    JUMP, /* from here on: on demand only, not of the swarm */
    LIE,
};

struct attack {
    struct prng prng;
    unsigned number;
    unsigned node;
    uint64_t ends; /* true time */
};

struct nemesis {
    struct sim_cluster *c;
    struct nemesis_plan plan;
    struct prng prng; /* forked for each attack and each storm; never drawn from itself */
    uint32_t swarm;
    unsigned next, storms;
    uint64_t next_at, turn_at; /* of the next attack; when storm and calm change */
    bool storm, healed;
    struct attack active[NEMESIS_KINDS];
    uint32_t active_set;
    uint64_t counts[NEMESIS_KINDS];
};

/* One draw a statement: compilers differ in the order of arguments. */
static uint64_t draw(struct attack *a, uint64_t least, uint64_t most)
{
    return prng_range(&a->prng, least, most);
}

static void tell(const struct nemesis *n, const struct attack *a, const char *what)
{
    sim_cluster_tell(n->c, "nemesis", "#%u %s n%u for %llu ms", a->number, what, a->node + 1,
                     (unsigned long long)(a->ends > sim_cluster_now(n->c)
                                              ? (a->ends - sim_cluster_now(n->c)) / MS
                                              : 0));
}

static unsigned node_count(const struct nemesis *n)
{
    return sim_cluster_config(n->c)->nodes;
}

static unsigned machine_count(const struct nemesis *n)
{
    return sim_cluster_config(n->c)->nodes + sim_cluster_config(n->c)->clients;
}

/* ---- Ends of processes and machines ------------------------------------------------------------------------- */

static bool begin_kill(struct nemesis *n, struct attack *a)
{
    bool up = sim_cluster_is_up(n->c, a->node);
    sim_cluster_crash(n->c, a->node, SIM_CRASH_KILL, draw(a, 10 * MS, 10 * SECOND));
    return up;
}

static enum sim_crash power_cut(struct attack *a)
{
    static const enum sim_crash kinds[] = { SIM_CRASH_DRAW, SIM_CRASH_KEEP, SIM_CRASH_LOSE,
                                            SIM_CRASH_PREFIX, SIM_CRASH_SECTORS };
    return kinds[draw(a, 0, 4)];
}

static bool begin_power(struct nemesis *n, struct attack *a)
{
    bool up = sim_cluster_is_up(n->c, a->node);
    enum sim_crash how = power_cut(a);
    sim_cluster_crash(n->c, a->node, how, draw(a, 10 * MS, 20 * SECOND));
    return up;
}

/* Long enough that the others forget what it would need from their logs. */
static bool begin_absent(struct nemesis *n, struct attack *a)
{
    bool up = sim_cluster_is_up(n->c, a->node);
    enum sim_crash how = power_cut(a);
    uint64_t most = draw(a, 60 * SECOND, 300 * SECOND);
    sim_cluster_crash(n->c, a->node, how, most);
    a->ends = sim_cluster_now(n->c) + most; /* one at a time: two of three are no quorum */
    return up;
}

static void end_absent(struct nemesis *n, struct attack *a)
{
    (void)n, (void)a;
}

/* All at the same moment. */
static bool begin_blackout(struct nemesis *n, struct attack *a)
{
    uint64_t most = draw(a, 10 * MS, 10 * SECOND);
    for (unsigned i = 0; i < node_count(n); i++)
        sim_cluster_crash(n->c, i, power_cut(a), most);
    return true;
}

/* The machine stops before a drawn effect of its disk: between two steps of whatever it does then. */
static bool begin_effect(struct nemesis *n, struct attack *a)
{
    struct sim_disk *disk = sim_cluster_disk(n->c, a->node);
    bool up = sim_cluster_is_up(n->c, a->node);
    if (up)
        sim_disk_stop_at(disk, sim_disk_effects(disk) + draw(a, 1, 100));
    return up;
}

static void end_effect(struct nemesis *n, struct attack *a)
{
    struct sim_disk *disk = sim_cluster_disk(n->c, a->node);
    if (!sim_disk_stopped(disk))
        sim_disk_stop_at(disk, 0);
}

static bool begin_restart(struct nemesis *n, struct attack *a)
{
    bool up = sim_cluster_is_up(n->c, a->node);
    sim_cluster_drain(n->c, a->node);
    return up;
}

/* ---- Disks -------------------------------------------------------------------------------------------------- */

static bool begin_disk(struct nemesis *n, struct attack *a, enum sim_fault fault)
{
    sim_disk_chance(sim_cluster_disk(n->c, a->node), fault, (uint32_t)draw(a, 2000, 100000));
    return false; /* the disk counts */
}

static void end_disk(struct nemesis *n, const struct attack *a, enum sim_fault fault)
{
    sim_disk_chance(sim_cluster_disk(n->c, a->node), fault, 0);
}

#define DISK_ATTACK(name, FAULT)                                                                   \
    static bool begin_##name(struct nemesis *n, struct attack *a)                                  \
    {                                                                                              \
        return begin_disk(n, a, FAULT);                                                            \
    }                                                                                              \
    static void end_##name(struct nemesis *n, struct attack *a)                                    \
    {                                                                                              \
        end_disk(n, a, FAULT);                                                                     \
    }
DISK_ATTACK(write, SIM_FAULT_WRITE)
DISK_ATTACK(sync, SIM_FAULT_SYNC)
DISK_ATTACK(name, SIM_FAULT_NAME)
DISK_ATTACK(full, SIM_FAULT_FULL)
DISK_ATTACK(read, SIM_FAULT_READ)

/* Every sync: what is then lost shows at the next crash. */
static bool begin_lie(struct nemesis *n, struct attack *a)
{
    sim_disk_chance(sim_cluster_disk(n->c, a->node), SIM_FAULT_LIE, 1000000);
    return false;
}

static void end_lie(struct nemesis *n, struct attack *a)
{
    end_disk(n, a, SIM_FAULT_LIE);
}

static bool begin_stall(struct nemesis *n, struct attack *a)
{
    sim_disk_stall_ns(sim_cluster_disk(n->c, a->node), draw(a, 1 * MS, 4000 * MS));
    return begin_disk(n, a, SIM_FAULT_STALL);
}

static void end_stall(struct nemesis *n, struct attack *a)
{
    end_disk(n, a, SIM_FAULT_STALL);
}

/* Nearly no space: writes are refused with a reason, nothing fails. */
static bool begin_space(struct nemesis *n, struct attack *a)
{
    struct sim_world *w = sim_cluster_world(n->c, a->node);
    uint64_t available, total;
    struct err e = { 0 };
    if (!sim_cluster_is_up(n->c, a->node) ||
        env_disk_free(sim_world_env(w), "/", &available, &total, &e) != ERR_OK)
        return false;
    uint64_t used = total - available;
    sim_disk_capacity(sim_cluster_disk(n->c, a->node), used + used / 50 + (1 << 20));
    return true;
}

static void end_space(struct nemesis *n, struct attack *a)
{
    sim_disk_capacity(sim_cluster_disk(n->c, a->node), 0);
}

/* ---- Slowness ----------------------------------------------------------------------------------------------- */

static bool begin_lane(struct nemesis *n, struct attack *a)
{
    enum env_lane_kind kind = (enum env_lane_kind)draw(a, ENV_LANE_LOG, ENV_LANE_READ);
    uint64_t ns = draw(a, 1 * MS, 5 * SECOND);
    if (!sim_cluster_is_up(n->c, a->node))
        return false;
    sim_world_stall_lane(sim_cluster_world(n->c, a->node), kind, ns);
    return true;
}

static bool begin_freeze(struct nemesis *n, struct attack *a)
{
    if (!sim_cluster_is_up(n->c, a->node))
        return false;
    sim_world_freeze(sim_cluster_world(n->c, a->node), draw(a, 10 * MS, 10 * SECOND));
    return true;
}

/* ---- The network -------------------------------------------------------------------------------------------- */

static void cut_both(struct nemesis *n, unsigned a, unsigned b)
{
    sim_cluster_cut(n->c, a, b, true);
    sim_cluster_cut(n->c, b, a, true);
}

/* Two parts; clients are on either side. */
static bool begin_cut(struct nemesis *n, struct attack *a)
{
    bool side[SIM_CLUSTER_NODES_MAX + SIM_CLUSTER_CLIENTS_MAX];
    for (unsigned i = 0; i < machine_count(n); i++)
        side[i] = i != a->node && (i < node_count(n) || draw(a, 0, 2) > 0) && draw(a, 0, 1) == 1;
    for (unsigned i = 0; i < machine_count(n); i++)
        for (unsigned k = 0; k < i; k++)
            if (side[i] != side[k])
                cut_both(n, i, k);
    return true;
}

/* Some directions of some links. */
static bool begin_oneway(struct nemesis *n, struct attack *a)
{
    for (unsigned i = 0; i < node_count(n); i++)
        for (unsigned k = 0; k < node_count(n); k++)
            if (draw(a, 0, 2) == 0)
                sim_cluster_cut(n->c, i, k, true);
    return node_count(n) > 1;
}

/* One node hears no other, or is not heard, or neither; clients still reach it. */
static bool begin_isolate(struct nemesis *n, struct attack *a)
{
    uint64_t how = draw(a, 0, 3);
    for (unsigned i = 0; i < node_count(n); i++) {
        if (how != 1)
            sim_cluster_cut(n->c, i, a->node, true);
        if (how != 2)
            sim_cluster_cut(n->c, a->node, i, true);
    }
    return node_count(n) > 1;
}

/* Each node keeps its links to half of the others: no two agree on who is there. */
static bool begin_mesh(struct nemesis *n, struct attack *a)
{
    for (unsigned i = 0; i < node_count(n); i++)
        for (unsigned k = 0; k < i; k++)
            if (draw(a, 0, 1) == 0)
                cut_both(n, i, k);
    return node_count(n) > 2;
}

/* Clients are cut off, nodes are not. */
static bool begin_deaf(struct nemesis *n, struct attack *a)
{
    for (unsigned i = node_count(n); i < machine_count(n); i++)
        if (draw(a, 0, 1) == 0)
            cut_both(n, i, a->node);
    return true;
}

/* Cuts are one matrix: what one kind ends may be another's, which then ends earlier. */
static void end_cuts(struct nemesis *n, struct attack *a)
{
    (void)a;
    sim_cluster_heal(n->c);
}

static bool begin_reset(struct nemesis *n, struct attack *a)
{
    return sim_cluster_is_up(n->c, a->node) &&
           sim_world_reset_streams(sim_cluster_world(n->c, a->node)) > 0;
}

/* Three kinds change the wire of the universe; what each does follows from its attack. */
static void apply_net(struct nemesis *n)
{
    struct sim_net net = sim_world_net_default();
    if (n->active_set >> FLAKY & 1) {
        struct attack a = n->active[FLAKY];
        net.reset_per_million = (uint32_t)draw(&a, 500, 20000);
    }
    if (n->active_set >> SLOW & 1) {
        struct attack a = n->active[SLOW];
        net.most_ns = draw(&a, 1 * MS, 300 * MS);
        net.least_ns = draw(&a, 0, net.most_ns);
    }
    if (n->active_set >> CHOP & 1) {
        struct attack a = n->active[CHOP];
        net.segment_least = 1;
        net.segment_most = (size_t)draw(&a, 20, 200);
        net.window = (size_t)draw(&a, 4096, 65536);
    }
    sim_world_set_net(sim_cluster_home(n->c), &net);
}

static bool begin_net(struct nemesis *n, struct attack *a)
{
    (void)a;
    apply_net(n);
    return true;
}

static void end_net(struct nemesis *n, struct attack *a)
{
    (void)a;
    apply_net(n);
}

/* ---- Clocks ------------------------------------------------------------------------------------------------- */

/* Somebody sets a wall clock: back by anything, or ahead by less than what is taken for a wrong clock. */
static bool begin_wall(struct nemesis *n, struct attack *a)
{
    static const uint64_t back[] = { 50 * MS, 400 * MS, 10 * SECOND, 3600 * SECOND };
    uint64_t most = back[draw(a, 0, 3)];
    int64_t ahead = (int64_t)draw(a, 1, 400 * MS), behind = -(int64_t)draw(a, 1, most);
    sim_cluster_wall(n->c, a->node, draw(a, 0, 1) == 0 ? ahead : behind);
    return true;
}

static bool begin_jump(struct nemesis *n, struct attack *a)
{
    sim_cluster_wall(n->c, a->node, (int64_t)draw(a, 1 * SECOND, 3600 * SECOND));
    return true;
}

static void end_wall(struct nemesis *n, struct attack *a)
{
    sim_cluster_wall(n->c, a->node, 0);
}

/* Clocks of different rates, within what a lease allows: 0.9 of an election minimum is 10 % of room. */
static bool begin_rate(struct nemesis *n, struct attack *a)
{
    for (unsigned i = 0; i < node_count(n); i++)
        sim_cluster_rate(n->c, i, (uint32_t)draw(a, 960000, 1040000));
    return true;
}

static void end_rate(struct nemesis *n, struct attack *a)
{
    (void)a;
    for (unsigned i = 0; i < node_count(n); i++) {
        sim_cluster_rate(n->c, i, 1000000);
        bool set = (n->active_set >> CLOCK & 1) && n->active[CLOCK].node == i;
        if (!set)
            sim_cluster_wall(n->c, i, 0); /* as an NTP daemon would, at last */
    }
}

/* ---- The table ---------------------------------------------------------------------------------------------- */

struct kind {
    const char *name;
    bool (*begin)(struct nemesis *n, struct attack *a); /* true: it has hit, count it */
    void (*end)(struct nemesis *n, struct attack *a);   /* NULL: nothing lasts */
    int fault;                                          /* of the disk, which counts it; -1: none */
    const char *doc;
};

/* The order is part of what a seed means. */
static const struct kind kinds[NEMESIS_KINDS] = {
    [KILL] = { "kill", begin_kill, NULL, -1, "kill -9 of a node" },
    [POWER] = { "power", begin_power, NULL, -1,
                "power cut of a node: unsynced writes are lost, torn, reordered" },
    [BLACKOUT] = { "blackout", begin_blackout, NULL, -1, "power cut of all nodes at once" },
    [EFFECT] = { "effect", begin_effect, end_effect, -1,
                 "a machine stops before a drawn write, sync or rename" },
    [RESTART] = { "restart", begin_restart, NULL, -1, "a node is told to stop, and starts again" },
    [WRITE] = { "write", begin_write, end_write, SIM_FAULT_WRITE, "writes fail" },
    [SYNC] = { "sync", begin_sync, end_sync, SIM_FAULT_SYNC,
               "syncs fail, and what they should have kept is lost" },
    [NAME] = { "name", begin_name, end_name, SIM_FAULT_NAME,
               "create, rename, remove or directory sync fails" },
    [FULL] = { "full", begin_full, end_full, SIM_FAULT_FULL, "writes find the disk full" },
    [READ] = { "read", begin_read, end_read, SIM_FAULT_READ, "reads fail" },
    [STALL] = { "stall", begin_stall, end_stall, SIM_FAULT_STALL,
                "reads, writes and syncs take up to 4 s longer" },
    [SPACE] = { "space", begin_space, end_space, -1, "the disk is nearly full" },
    [LANE] = { "lane", begin_lane, NULL, -1,
               "a thread of log, apply or reads stands still for up to 5 s" },
    [FREEZE] = { "freeze", begin_freeze, NULL, -1,
                 "a machine stands still for up to 10 s; its clocks go on" },
    [CUT] = { "cut", begin_cut, end_cuts, -1, "a partition in two parts, clients on either side" },
    [ONEWAY] = { "oneway", begin_oneway, end_cuts, -1,
                 "some links let nothing through in one direction" },
    [ISOLATE] = { "isolate", begin_isolate, end_cuts, -1,
                  "a node does not hear the others, or is not heard" },
    [MESH] = { "mesh", begin_mesh, end_cuts, -1, "half of the links between nodes are cut" },
    [DEAF] = { "deaf", begin_deaf, end_cuts, -1, "a node is cut off from half of the clients" },
    [RESET] = { "reset", begin_reset, NULL, -1, "every connection of a node is reset" },
    [FLAKY] = { "flaky", begin_net, end_net, -1, "connections are reset at random" },
    [SLOW] = { "slow", begin_net, end_net, -1, "up to 300 ms from machine to machine, jittered" },
    [CHOP] = { "chop", begin_net, end_net, -1, "bytes come in small pieces, windows are small" },
    [CLOCK] = { "clock", begin_wall, end_wall, -1,
                "a wall clock is set: ahead by up to 400 ms, or back by up to an hour" },
    [RATE] = { "rate", begin_rate, end_rate, -1, "clocks run up to 4 % too fast or slow" },
    [ABSENT] = { "absent", begin_absent, end_absent, -1,
                 "power cut of a node that stays away for minutes" },
    [JUMP] = { "jump", begin_jump, end_wall, -1,
               "a wall clock is set ahead by up to an hour; on demand only" },
    [LIE] = { "lie", begin_lie, end_lie, SIM_FAULT_LIE,
              "syncs do nothing and say OK; on demand only: acknowledged writes are lost" },
};

const char *nemesis_name(unsigned kind)
{
    return kinds[kind].name;
}

const char *nemesis_doc(unsigned kind)
{
    return kinds[kind].doc;
}

/* ---- Attacks ------------------------------------------------------------------------------------------------ */

static void end_attack(struct nemesis *n, unsigned kind)
{
    n->active_set &= ~(UINT32_C(1) << kind);
    if (kinds[kind].end != NULL)
        kinds[kind].end(n, &n->active[kind]);
}

static void end_due(struct nemesis *n, bool all)
{
    for (unsigned i = 0; i < NEMESIS_KINDS; i++)
        if ((n->active_set >> i & 1) && (all || sim_cluster_now(n->c) >= n->active[i].ends))
            end_attack(n, i);
}

/* Half of the attacks go to whoever the first client takes for the leader. */
static unsigned draw_node(struct nemesis *n, struct attack *a)
{
    unsigned leader = sim_client_leader(sim_cluster_client(n->c, 0)),
             any = (unsigned)draw(a, 0, 255);
    return draw(a, 0, 1) == 0 ? leader : any % node_count(n);
}

static void attack(struct nemesis *n)
{
    unsigned number = n->next++;
    struct attack a = { .prng = prng_fork(&n->prng, number), .number = number };
    unsigned of = (unsigned)draw(&a, 0, (uint64_t)__builtin_popcount(n->swarm) - 1), kind = 0;
    for (unsigned left = of;; kind++)
        if ((n->swarm >> kind & 1) && left-- == 0)
            break;
    n->next_at = sim_cluster_now(n->c) + draw(&a, 100 * MS, draw(&a, 200 * MS, 10 * SECOND));
    a.node = draw_node(n, &a);
    a.ends = sim_cluster_now(n->c) + draw(&a, 50 * MS, draw(&a, 100 * MS, 20 * SECOND));
    bool skipped =
        number < NEMESIS_ATTACKS_MAX && (n->plan.skipped[number / 64] >> number % 64 & 1);
    bool allowed = (n->plan.allowed >> kind & 1) && !skipped;
    if (!allowed || (n->active_set >> kind & 1))
        return;
    if (kinds[kind].end != NULL)
        n->active_set |= UINT32_C(1) << kind;
    n->active[kind] = a;
    tell(n, &a, kinds[kind].name);
    n->counts[kind] += kinds[kind].begin(n, &n->active[kind]);
}

static void turn(struct nemesis *n)
{
    struct prng p = prng_fork(&n->prng, NEMESIS_ATTACKS_MAX + n->storms++);
    n->storm = !n->storm;
    n->turn_at = sim_cluster_now(n->c) + (n->storm ? prng_range(&p, 10 * SECOND, 60 * SECOND)
                                                   : prng_range(&p, 5 * SECOND, 20 * SECOND));
    if (!n->storm)
        end_due(n, true);
    n->next_at = sim_cluster_now(n->c);
    sim_cluster_tell(n->c, "nemesis", n->storm ? "storm" : "calm");
}

void nemesis_step(struct nemesis *n)
{
    if (n->healed)
        return;
    end_due(n, false);
    if (sim_cluster_now(n->c) >= n->turn_at)
        turn(n);
    if (n->storm && sim_cluster_now(n->c) >= n->next_at)
        attack(n);
}

void nemesis_heal(struct nemesis *n)
{
    end_due(n, true);
    sim_cluster_heal(n->c);
    sim_cluster_hurry(n->c);
    n->healed = true;
    sim_cluster_tell(n->c, "nemesis", "all is healed");
}

unsigned nemesis_attacks(const struct nemesis *n)
{
    return n->next;
}

uint32_t nemesis_swarm(const struct nemesis *n)
{
    return n->swarm;
}

void nemesis_counts(const struct nemesis *n, uint64_t ret[NEMESIS_KINDS])
{
    for (unsigned i = 0; i < NEMESIS_KINDS; i++) {
        ret[i] = n->counts[i];
        for (unsigned k = 0; kinds[i].fault >= 0 && k < node_count(n); k++)
            ret[i] +=
                sim_disk_fault_count(sim_cluster_disk(n->c, k), (enum sim_fault)kinds[i].fault);
    }
}

struct nemesis *nemesis_new(struct sim_cluster *c, uint64_t seed, const struct nemesis_plan *plan)
{
    struct nemesis *n = calloc(1, sizeof *n);
    assert(n != NULL);
    n->c = c;
    n->plan = *plan;
    prng_seed(&n->prng, seed);
    struct prng p = prng_fork(&n->prng, UINT64_MAX);
    while (__builtin_popcount(n->swarm) < 4)
        n->swarm |= UINT32_C(1) << prng_below(&p, NEMESIS_SWARM);
    for (unsigned i = 0; i < NEMESIS_SWARM; i++)
        if (prng_chance(&p, 1, 3))
            n->swarm |= UINT32_C(1) << i;
    n->swarm |= plan->allowed & ~NEMESIS_ALL;
    n->turn_at = sim_cluster_now(c) + 5 * SECOND;
    return n;
}

void nemesis_free(struct nemesis *n)
{
    free(n);
}
