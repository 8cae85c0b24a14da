/* The machines of a simulated cluster (cluster.h has the picture). */
#include "sim_cluster/cluster.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "storage/engine_mem.h"

#define MS     UINT64_C(1000000)
#define SECOND UINT64_C(1000000000)
enum { MACHINES_MAX = SIM_CLUSTER_NODES_MAX + SIM_CLUSTER_CLIENTS_MAX, PPM = 1000000 };

/* How often somebody looks after machines that have ended. */
static const uint64_t slice_ns = 20 * MS;

/* Small, so that an hour of virtual time meets every stage of log and engine many times. */
enum {
    SEGMENT_BYTES = 256 << 10,
    SEGMENT_BYTES_OF_MANY = 4 << 20, /* there are no snapshots yet: who was away needs the log */
    MEMTABLE_BYTES = 4 << 10,
    BALLAST_BYTES = 16 << 10,
    SPARE_SEGMENTS = 1,
};

enum machine_state { MACHINE_DOWN, MACHINE_UP, MACHINE_CRASHED };

struct machine { /* of a node */
    struct sim_cluster *cluster;
    unsigned index;
    char name[8];
    enum machine_state state;
    struct sim_disk *disk;
    struct sim_world *world; /* NULL while down */
    struct node *node;
    struct node_config config;
    struct logger *log;
    bool initialised, stopped;
    enum node_exit exit_code;
    uint64_t start_at; /* when down or crashed */
    int64_t wall_offset;
    uint32_t ppm;
    char why[300];
};

struct customer { /* the machine of a client */
    struct sim_world *world;
    struct sim_client *client;
};

struct sim_cluster {
    struct sim_cluster_config config;
    struct sim_cluster_counts counts;
    struct prng prng;
    struct sim_world *home;
    struct machine machines[SIM_CLUSTER_NODES_MAX];
    struct customer customers[SIM_CLUSTER_CLIENTS_MAX];
    bool cut[MACHINES_MAX][MACHINES_MAX];
};

const struct sim_cluster_config *sim_cluster_config(const struct sim_cluster *c)
{
    return &c->config;
}

const struct sim_cluster_counts *sim_cluster_counts(const struct sim_cluster *c)
{
    return &c->counts;
}

uint64_t sim_cluster_now(const struct sim_cluster *c)
{
    return sim_world_true_now(c->home);
}

uint64_t sim_cluster_hash(const struct sim_cluster *c)
{
    return sim_world_hash(c->home);
}

struct sim_world *sim_cluster_home(struct sim_cluster *c)
{
    return c->home;
}

/* ---- Telling ------------------------------------------------------------------------------------------------ */

static void begin_line(const struct sim_cluster *c, const char *who)
{
    uint64_t us = sim_cluster_now(c) / 1000;
    fprintf(c->config.trace, "%7" PRIu64 ".%06" PRIu64 " %-8s", us / 1000000, us % 1000000, who);
}

void sim_cluster_tell(const struct sim_cluster *c, const char *who, const char *fmt, ...)
{
    va_list args;
    if (c->config.trace == NULL)
        return;
    begin_line(c, who);
    va_start(args, fmt);
    vfprintf(c->config.trace, fmt, args);
    va_end(args);
    fputc('\n', c->config.trace);
}

static void log_line(void *user, struct bytes line)
{
    const struct machine *m = user;
    begin_line(m->cluster, m->name);
    fprintf(m->cluster->config.trace, "log %.*s", (int)line.len, (const char *)line.data);
}

static uint64_t log_wall(void *user)
{
    const struct machine *m = user;
    return m->world != NULL ? env_wall(sim_world_env(m->world)) : 0;
}

/* ---- Nodes: birth and end ----------------------------------------------------------------------------------- */

bool sim_cluster_is_up(const struct sim_cluster *c, unsigned node)
{
    return c->machines[node].state == MACHINE_UP;
}

struct node *sim_cluster_node(struct sim_cluster *c, unsigned node)
{
    return c->machines[node].state == MACHINE_UP ? c->machines[node].node : NULL;
}

struct sim_world *sim_cluster_world(struct sim_cluster *c, unsigned node)
{
    return c->machines[node].world;
}

struct sim_disk *sim_cluster_disk(struct sim_cluster *c, unsigned node)
{
    return c->machines[node].disk;
}

const char *sim_cluster_address(const struct sim_cluster *c, unsigned node)
{
    return c->machines[node].config.address;
}

const char *sim_cluster_why(const struct sim_cluster *c, unsigned node)
{
    return c->machines[node].why;
}

static void node_stopped(void *user, enum node_exit code)
{
    struct machine *m = user;
    m->stopped = true;
    m->exit_code = code;
}

static void rest(struct machine *m, uint64_t most_ns)
{
    m->start_at =
        sim_cluster_now(m->cluster) + prng_range(&m->cluster->prng, most_ns / 10, most_ns);
}

/* Frees what a crash has left. */
static void bury(struct machine *m)
{
    if (m->state != MACHINE_CRASHED)
        return;
    node_abandon(m->node);
    sim_world_close(m->world);
    m->node = NULL;
    m->world = NULL;
    m->state = MACHINE_DOWN;
}

/* The node has ended by itself: so does its process. A failed write leaves pages of which nobody knows whether they are
 * on the disk; an operator reboots before starting such a store again, and says that he knows (accept_panic). */
static void reap(struct machine *m)
{
    struct sim_cluster *c = m->cluster;
    bool clean = m->exit_code == NODE_EXIT_CLEAN;
    sim_cluster_tell(c, m->name, "ended with %d", (int)m->exit_code);
    *(clean ? &c->counts.exits_clean : &c->counts.exits_failed) += 1;
    node_close(m->node);
    sim_world_close(m->world);
    m->node = NULL;
    m->world = NULL;
    m->state = MACHINE_DOWN;
    if (!clean)
        sim_disk_crash(m->disk, SIM_CRASH_DRAW);
    m->config.accept_panic = !clean;
    rest(m, 5 * SECOND);
}

static void apply_machine(struct machine *m)
{
    struct sim_cluster *c = m->cluster;
    for (unsigned i = 0; i < c->config.nodes + c->config.clients; i++) {
        struct sim_world *w =
            i < c->config.nodes ? c->machines[i].world : c->customers[i - c->config.nodes].world;
        if (w != NULL && c->cut[m->index][i])
            sim_world_cut_link(m->world, w, true);
        if (w != NULL && c->cut[i][m->index])
            sim_world_cut_link(w, m->world, true);
    }
    if (m->wall_offset != 0)
        sim_world_step_wall(m->world, m->wall_offset);
    if (m->ppm != PPM)
        sim_world_clock_rate(m->world, m->ppm);
}

static struct node_options node_options_of(struct machine *m)
{
    return (struct node_options){ .env = sim_world_env(m->world),
                                  .log = m->log,
                                  .engine = &engine_mem,
                                  .config = &m->config,
                                  .version = "sim",
                                  .memtable_bytes = MEMTABLE_BYTES,
                                  .without_scripts = true,
                                  .stopped = node_stopped,
                                  .user = m };
}

err_t sim_cluster_start(struct sim_cluster *c, unsigned node, struct err *e)
{
    struct machine *m = &c->machines[node];
    if (m->state == MACHINE_UP)
        return ERR_OK;
    bury(m);
    enum node_exit code = NODE_EXIT_CLEAN;
    m->world = sim_world_beside(c->home, m->disk);
    m->stopped = false;
    apply_machine(m);
    struct node_options options = node_options_of(m);
    err_t rc = ERR_OK;
    if (!m->initialised)
        rc = node_init(&options, e);
    m->initialised = m->initialised || rc == ERR_OK;
    if (rc == ERR_OK)
        rc = node_open(&options, &m->node, &code, e);
    if (rc != ERR_OK) {
        sim_cluster_tell(c, m->name, "did not start: %s: %s", err_name(rc), e->msg);
        snprintf(m->why, sizeof m->why, "%s: %s", err_name(rc), e->msg);
        c->counts.refused_starts++;
        sim_world_close(m->world);
        m->world = NULL;
        m->node = NULL;
        /* As after any failed write: see reap(). */
        m->config.accept_panic = true;
        sim_disk_crash(m->disk, SIM_CRASH_DRAW);
        rest(m, 2 * SECOND);
        return rc;
    }
    m->state = MACHINE_UP;
    m->why[0] = '\0';
    m->config.accept_panic = false;
    c->counts.boots++;
    sim_cluster_tell(c, m->name, "up");
    return ERR_OK;
}

void sim_cluster_crash(struct sim_cluster *c, unsigned node, enum sim_crash how, uint64_t most_ns)
{
    struct machine *m = &c->machines[node];
    if (m->state != MACHINE_UP)
        return;
    sim_cluster_tell(c, m->name, "crash %d", (int)how);
    sim_world_crash(m->world, how);
    m->state = MACHINE_CRASHED;
    c->counts.crashes++;
    rest(m, most_ns);
}

void sim_cluster_hurry(struct sim_cluster *c)
{
    for (unsigned i = 0; i < c->config.nodes; i++) {
        struct machine *m = &c->machines[i];
        if (m->state != MACHINE_UP && m->start_at > sim_cluster_now(c) + 5 * SECOND)
            m->start_at = sim_cluster_now(c) + 5 * SECOND;
    }
}

void sim_cluster_drain(struct sim_cluster *c, unsigned node)
{
    if (c->machines[node].state == MACHINE_UP)
        node_drain(c->machines[node].node);
}

/* ---- Running ------------------------------------------------------------------------------------------------ */

static void tend(struct machine *m)
{
    struct sim_cluster *c = m->cluster;
    struct err e = { 0 };
    if (m->state == MACHINE_UP && sim_world_crashed(m->world)) /* its disk has stopped it */
        sim_cluster_crash(c, m->index, SIM_CRASH_DRAW, 5 * SECOND);
    else if (m->state == MACHINE_UP && m->stopped && !sim_world_frozen(m->world))
        reap(m);
    if (m->state != MACHINE_UP && sim_cluster_now(c) >= m->start_at)
        (void)!sim_cluster_start(c, m->index, &e);
}

void sim_cluster_run(struct sim_cluster *c, uint64_t ns)
{
    uint64_t until = sim_cluster_now(c) + ns;
    while (sim_cluster_now(c) < until) {
        uint64_t left = until - sim_cluster_now(c);
        sim_world_run_for(c->home, left < slice_ns ? left : slice_ns);
        for (unsigned i = 0; i < c->config.nodes; i++)
            tend(&c->machines[i]);
    }
}

/* ---- Machines ----------------------------------------------------------------------------------------------- */

static struct sim_world *world_of_machine(struct sim_cluster *c, unsigned i)
{
    return i < c->config.nodes ? c->machines[i].world : c->customers[i - c->config.nodes].world;
}

void sim_cluster_cut(struct sim_cluster *c, unsigned from, unsigned to, bool cut)
{
    struct sim_world *a = world_of_machine(c, from), *b = world_of_machine(c, to);
    if (from == to || c->cut[from][to] == cut)
        return;
    c->cut[from][to] = cut;
    if (a != NULL && b != NULL)
        sim_world_cut_link(a, b, cut);
}

void sim_cluster_heal(struct sim_cluster *c)
{
    unsigned n = c->config.nodes + c->config.clients;
    for (unsigned a = 0; a < n; a++)
        for (unsigned b = 0; b < n; b++)
            sim_cluster_cut(c, a, b, false);
}

void sim_cluster_wall(struct sim_cluster *c, unsigned node, int64_t offset_ns)
{
    struct machine *m = &c->machines[node];
    m->wall_offset = offset_ns;
    if (m->world != NULL)
        sim_world_step_wall(m->world, offset_ns - sim_world_wall_error(m->world));
}

void sim_cluster_rate(struct sim_cluster *c, unsigned node, uint32_t ppm)
{
    struct machine *m = &c->machines[node];
    if (m->world != NULL)
        sim_world_clock_rate(m->world, ppm);
    m->ppm = ppm;
}

struct sim_client *sim_cluster_client(struct sim_cluster *c, unsigned client)
{
    return c->customers[client].client;
}

struct env *sim_cluster_client_env(struct sim_cluster *c, unsigned client)
{
    return sim_world_env(c->customers[client].world);
}

/* ---- The whole ---------------------------------------------------------------------------------------------- */

static void configure(struct machine *m)
{
    const struct sim_cluster *c = m->cluster;
    struct node_config *o = &m->config;
    node_config_defaults(o);
    strcpy(o->data_dir, "/store");
    o->allow_remote = true;
    o->http.address[0] = '\0';
    o->storage.segment_bytes = c->config.nodes == 1 ? SEGMENT_BYTES : SEGMENT_BYTES_OF_MANY;
    o->storage.spare_segments = SPARE_SEGMENTS;
    o->storage.ballast_bytes = BALLAST_BYTES;
    o->init.store_id = m->index + 1;
    snprintf(o->init.cluster_id, sizeof o->init.cluster_id, "%032" PRIx64, c->config.seed);
    o->cluster.count = c->config.nodes;
    for (unsigned i = 0; i < c->config.nodes; i++) {
        o->cluster.stores[i].id = i + 1;
        snprintf(o->cluster.stores[i].address, NODE_ADDRESS_MAX, "10.0.0.%u:7700", i + 1);
    }
    strcpy(o->address, o->cluster.stores[m->index].address);
    if (c->config.nodes == 1)
        o->cluster.count = 0;
}

static void machine_new(struct sim_cluster *c, unsigned i)
{
    struct machine *m = &c->machines[i];
    m->cluster = c;
    m->index = i;
    m->ppm = PPM;
    snprintf(m->name, sizeof m->name, "n%u", i + 1);
    m->disk = sim_disk_new(prng_u64(&c->prng));
    configure(m);
    if (c->config.trace != NULL)
        m->log = logger_new(&(struct logger_config){ .level = c->config.log,
                                                     .format = LOGGER_LOGFMT,
                                                     .wall = log_wall,
                                                     .write = log_line,
                                                     .user = m });
}

static void customer_new(struct sim_cluster *c, unsigned i)
{
    const char *addresses[SIM_CLUSTER_NODES_MAX];
    for (unsigned n = 0; n < c->config.nodes; n++)
        addresses[n] = c->machines[n].config.address;
    c->customers[i].world = sim_world_beside(c->home, NULL);
    c->customers[i].client = sim_client_new(sim_world_env(c->customers[i].world),
                                            prng_u64(&c->prng), addresses, c->config.nodes);
}

struct sim_cluster *sim_cluster_new(const struct sim_cluster_config *config)
{
    struct sim_cluster *c = calloc(1, sizeof *c);
    assert(c != NULL && config->nodes >= 1 && config->nodes <= SIM_CLUSTER_NODES_MAX &&
           config->clients <= SIM_CLUSTER_CLIENTS_MAX);
    c->config = *config;
    prng_seed(&c->prng, config->seed);
    c->home = sim_world_new(config->seed, NULL);
    sim_world_trace(c->home, config->events);
    for (unsigned i = 0; i < config->nodes; i++)
        machine_new(c, i);
    for (unsigned i = 0; i < config->clients; i++)
        customer_new(c, i);
    return c;
}

static void machine_free(struct machine *m)
{
    if (m->state == MACHINE_UP)
        sim_world_crash(m->world, SIM_CRASH_KILL);
    if (m->state == MACHINE_UP)
        m->state = MACHINE_CRASHED;
    bury(m);
    sim_disk_free(m->disk);
    logger_free(m->log);
}

void sim_cluster_free(struct sim_cluster *c)
{
    if (c == NULL)
        return;
    for (unsigned i = 0; i < c->config.clients; i++) {
        sim_client_stop(c->customers[i].client);
        sim_world_crash(c->customers[i].world, SIM_CRASH_KILL);
    }
    for (unsigned i = 0; i < c->config.nodes; i++)
        machine_free(&c->machines[i]);
    for (unsigned i = 0; i < c->config.clients; i++) {
        sim_world_close(c->customers[i].world);
        sim_client_free(c->customers[i].client);
    }
    sim_world_close(c->home);
    free(c);
}
