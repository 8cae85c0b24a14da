/* One run from beginning to end (run.h has the picture). */
#include "sim_cluster/run.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define MS     UINT64_C(1000000)
#define SECOND UINT64_C(1000000000)

static const uint64_t step_ns = 20 * MS;
/* After everything was healed: until all nodes run, until each has served whoever asks it first. Election time-outs
 * are a second or two: this is twenty of them. */
static const uint64_t start_ns = 60 * SECOND, calm_ns = 20 * SECOND, look_ns = 40 * SECOND;

enum { CLIENTS = 3 };

struct run {
    const struct run_plan *plan;
    const struct run_output *output;
    struct run_result *ret;
    struct sim_cluster *cluster;
    struct workload *load;
    struct nemesis *nemesis;
};

static void fail(struct run *r, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void fail(struct run *r, const char *fmt, ...)
{
    va_list args;
    if (r->ret->verdict == RUN_FAILED)
        return; /* the first failure is the one that counts */
    r->ret->verdict = RUN_FAILED;
    va_start(args, fmt);
    vsnprintf(r->ret->why, sizeof r->ret->why, fmt, args);
    va_end(args);
    sim_cluster_tell(r->cluster, "run", "FAILED: %s", r->ret->why);
}

static bool failed(struct run *r)
{
    const char *fault = workload_fault(r->load);
    if (fault != NULL)
        fail(r, "%s", fault);
    return r->ret->verdict == RUN_FAILED;
}

/* ---- The way ------------------------------------------------------------------------------------------------ */

static void begin(struct run *r)
{
    struct prng prng;
    struct workload_plan load;
    prng_seed(&prng, r->plan->seed);
    struct sim_cluster_config config = { .seed = r->plan->seed,
                                         .nodes = r->plan->nodes,
                                         .clients = CLIENTS,
                                         .trace = r->output->trace,
                                         .log = r->output->log,
                                         .events = r->output->events };
    r->cluster = sim_cluster_new(&config);
    workload_draw(&load, &prng);
    for (unsigned i = 0; i < config.nodes; i++) {
        struct err e = { 0 };
        if (sim_cluster_start(r->cluster, i, &e) != ERR_OK)
            fail(r, "n%u did not start at first: %s", i + 1, e.msg);
    }
    r->load = workload_new(r->cluster, prng_u64(&prng), &load);
    r->nemesis = nemesis_new(r->cluster, prng_u64(&prng), &r->plan->faults);
}

static void suffer(struct run *r)
{
    uint64_t until = sim_cluster_now(r->cluster) + r->plan->seconds * SECOND;
    while (sim_cluster_now(r->cluster) < until && !failed(r)) {
        sim_cluster_run(r->cluster, step_ns);
        nemesis_step(r->nemesis);
    }
    nemesis_heal(r->nemesis);
}

static unsigned first_down(const struct run *r)
{
    unsigned i = 0;
    while (i < r->plan->nodes && sim_cluster_is_up(r->cluster, i))
        i++;
    return i;
}

/* Runs until everybody is up or the client has no operation under way, or the time is over (false). */
static bool until_up(struct run *r)
{
    uint64_t end = sim_cluster_now(r->cluster) + start_ns;
    while (first_down(r) < r->plan->nodes && sim_cluster_now(r->cluster) < end)
        sim_cluster_run(r->cluster, step_ns);
    return first_down(r) == r->plan->nodes;
}

static bool until_idle(struct run *r)
{
    uint64_t end = sim_cluster_now(r->cluster) + look_ns;
    while (workload_busy(r->load) > 0 && sim_cluster_now(r->cluster) < end)
        sim_cluster_run(r->cluster, step_ns);
    return workload_busy(r->load) == 0;
}

static void look(struct run *r, unsigned endpoint)
{
    bool all_keys = endpoint + 1 == r->plan->nodes; /* once is enough: reads are linearizable */
    workload_look(r->load, endpoint, all_keys);
    if (!until_idle(r) || workload_look_failed(r->load) > 0)
        fail(r,
             "everything is healed, but whoever asks n%u first is not served (%u requests failed)",
             endpoint + 1, workload_look_failed(r->load));
}

/* ---- Replicas ----------------------------------------------------------------------------------------------- */

struct replica {
    uint64_t applied;
    struct digest digest;
};

/* False: somebody is not up, or cannot be read. */
static bool read_replicas(struct run *r, struct replica replicas[SIM_CLUSTER_NODES_MAX])
{
    for (unsigned i = 0; i < r->plan->nodes; i++) {
        struct node *node = sim_cluster_node(r->cluster, i);
        struct err e = { 0 };
        if (node == NULL ||
            node_digest(node, &replicas[i].applied, &replicas[i].digest, &e) != ERR_OK)
            return false;
    }
    return true;
}

static unsigned first_behind(const struct run *r, const struct replica *replicas)
{
    unsigned i = 1;
    while (i < r->plan->nodes && replicas[i].applied == replicas[0].applied)
        i++;
    return i;
}

/* Nobody writes any more: soon all have applied the same, and then they hold the same. */
static void compare_replicas(struct run *r)
{
    struct replica replicas[SIM_CLUSTER_NODES_MAX];
    uint64_t end = sim_cluster_now(r->cluster) + look_ns;
    bool read;
    while (!(read = read_replicas(r, replicas)) || first_behind(r, replicas) < r->plan->nodes) {
        if (sim_cluster_now(r->cluster) >= end)
            break;
        sim_cluster_run(r->cluster, 5 * step_ns);
    }
    unsigned behind = read ? first_behind(r, replicas) : 0;
    if (!read)
        fail(r, "the replicas cannot be read");
    else if (behind < r->plan->nodes)
        fail(r, "n%u has applied up to %" PRIu64 ", n1 up to %" PRIu64 ", although nobody writes",
             behind + 1, replicas[behind].applied, replicas[0].applied);
    for (unsigned i = 1; i < r->plan->nodes && !failed(r); i++)
        if (!digest_equal(&replicas[i].digest, &replicas[0].digest))
            fail(r, "n%u and n1 have both applied up to %" PRIu64 " and hold different data", i + 1,
                 replicas[0].applied);
}

static void heal(struct run *r)
{
    if (!until_up(r)) {
        unsigned i = first_down(r);
        fail(r, "everything is healed, but n%u does not start: %s", i + 1,
             sim_cluster_why(r->cluster, i));
        return;
    }
    sim_cluster_run(r->cluster, calm_ns);
    workload_stop(r->load);
    if (!until_idle(r))
        fail(r, "everything is healed, but %u operations do not end", workload_busy(r->load));
    for (unsigned i = 0; i < r->plan->nodes && !failed(r); i++)
        look(r, i);
    if (!failed(r))
        compare_replicas(r);
}

/* ---- The verdict -------------------------------------------------------------------------------------------- */

static void check(struct run *r)
{
    struct buf why = { 0 };
    enum linear_verdict verdict = workload_check(r->load, &why);
    if (verdict == LINEAR_NO)
        fail(r, "%.*s", (int)why.len, (const char *)why.data);
    else if (verdict == LINEAR_UNKNOWN) {
        r->ret->verdict = RUN_VOID;
        snprintf(r->ret->why, sizeof r->ret->why, "the checker gave up: %.*s", (int)why.len,
                 (const char *)why.data);
    }
    buf_free(&why);
}

static void check_void(struct run *r)
{
    struct run_result *ret = r->ret;
    uint64_t faults = 0, least = r->plan->seconds * RUN_ACKNOWLEDGED_PER_MINUTE / 60;
    for (unsigned i = 0; i < NEMESIS_KINDS; i++)
        faults += ret->faults[i];
    if (ret->verdict != RUN_PASSED)
        return;
    if (ret->ops.acknowledged < least)
        snprintf(ret->why, sizeof ret->why,
                 "%" PRIu64 " operations were acknowledged, fewer than %" PRIu64,
                 ret->ops.acknowledged, least);
    else if (faults == 0 && (r->plan->faults.allowed & ret->swarm) != 0)
        snprintf(ret->why, sizeof ret->why, "no fault has hit");
    else
        return;
    ret->verdict = RUN_VOID;
}

static void collect(struct run *r)
{
    struct run_result *ret = r->ret;
    ret->virtual_ns = sim_cluster_now(r->cluster);
    ret->ended_s = ret->virtual_ns / SECOND;
    ret->hash = sim_cluster_hash(r->cluster);
    ret->events = sim_world_events(sim_cluster_home(r->cluster));
    ret->nodes = *sim_cluster_counts(r->cluster);
    ret->attacks = nemesis_attacks(r->nemesis);
    ret->swarm = nemesis_swarm(r->nemesis);
    workload_counts(r->load, &ret->ops);
    nemesis_counts(r->nemesis, ret->faults);
}

static void write_history(struct run *r)
{
    struct buf text = { 0 };
    if (r->output->history != NULL && history_write(workload_history(r->load), &text) == ERR_OK)
        fwrite(text.data, 1, text.len, r->output->history);
    buf_free(&text);
}

void run_one(const struct run_plan *plan, const struct run_output *output, struct run_result *ret)
{
    struct run r = { .plan = plan, .output = output, .ret = ret };
    memset(ret, 0, sizeof *ret);
    begin(&r);
    suffer(&r);
    if (!failed(&r))
        heal(&r);
    collect(&r);
    if (!failed(&r))
        check(&r);
    check_void(&r);
    write_history(&r);
    nemesis_free(r.nemesis);
    sim_cluster_free(r.cluster);
    workload_free(r.load);
}
