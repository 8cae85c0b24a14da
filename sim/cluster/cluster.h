/* Machines in one universe: nodes with their disks and clocks, clients, and what somebody may do to them.
 *
 *   home      runs the universe; nothing ever happens to it
 *   node i    a sim_world on a sim_disk that outlives it, with a whole node from runtime/node on engine_mem
 *             up -> (crash: its world stays as a corpse, silent or refusing) -> down -> up
 *             up -> (the node ends by itself: drained, or a write failed)    -> down -> up
 *   client j  a sim_world with a client on the wire (client.h)
 *
 * A node that is down starts again by itself after a while, as under systemd, unless it is held down. What concerns a
 * machine and not a process (cuts, clocks, its disk) stays through restarts. */
#pragma once

#include <stdio.h>

#include "base/logger.h"
#include "sim_cluster/client.h"
#include "node/node.h"
#include "sim_world/world.h"

enum { SIM_CLUSTER_NODES_MAX = 9, SIM_CLUSTER_CLIENTS_MAX = 8 };

struct sim_cluster_config {
    uint64_t seed;
    unsigned nodes, clients;
    FILE *trace;           /* NULL: none; what nodes log is in it too */
    enum logger_level log; /* the least level of that */
    FILE *events;          /* NULL: none; every event of the universe (docs/internals/sim.md) */
};

struct sim_cluster_counts {
    uint64_t boots, crashes, exits_clean, exits_failed, refused_starts;
};

struct sim_cluster;
/* Makes all machines; the nodes are down. */
struct sim_cluster *sim_cluster_new(const struct sim_cluster_config *config);
/* Ends whatever still runs. NULL is welcome. */
void sim_cluster_free(struct sim_cluster *c);
const struct sim_cluster_config *sim_cluster_config(const struct sim_cluster *c);
const struct sim_cluster_counts *sim_cluster_counts(const struct sim_cluster *c);

/* Virtual time passes; nodes that ended are buried, those that are due start again. */
void sim_cluster_run(struct sim_cluster *c, uint64_t ns);
uint64_t sim_cluster_now(const struct sim_cluster *c); /* true time, ns */
uint64_t sim_cluster_hash(const struct sim_cluster *c);
struct sim_world *sim_cluster_home(struct sim_cluster *c);
/* A line of the trace: time, who ("n1", "c2", "nemesis"), what. */
void sim_cluster_tell(const struct sim_cluster *c, const char *who, const char *fmt, ...)
    PRINTF_LIKE(3, 4);

/* ---- Nodes, from 0 ---- */

bool sim_cluster_is_up(const struct sim_cluster *c, unsigned node);
struct node *sim_cluster_node(struct sim_cluster *c, unsigned node); /* NULL while it is down */
struct sim_world *sim_cluster_world(struct sim_cluster *c, unsigned node);
struct sim_disk *sim_cluster_disk(struct sim_cluster *c, unsigned node);
const char *sim_cluster_address(const struct sim_cluster *c, unsigned node);
/* Starts it now, if it is down. On an error it is down still, and tried again later. */
err_t sim_cluster_start(struct sim_cluster *c, unsigned node, struct err *e);
/* Ends its machine, if it is up. It starts again after a while drawn from up to `most_ns`. */
void sim_cluster_crash(struct sim_cluster *c, unsigned node, enum sim_crash how, uint64_t most_ns);
/* As SIGTERM: it ends by itself, then starts again. */
void sim_cluster_drain(struct sim_cluster *c, unsigned node);
/* Those that are down and would stay away for long start within a few seconds. */
void sim_cluster_hurry(struct sim_cluster *c);
/* The last reason why it did not start; "" if it did. */
const char *sim_cluster_why(const struct sim_cluster *c, unsigned node);

/* ---- Clients, from 0 ---- */

struct sim_client *sim_cluster_client(struct sim_cluster *c, unsigned client);
struct env *sim_cluster_client_env(struct sim_cluster *c, unsigned client);

/* ---- Machines: nodes first, then clients ---- */

/* Nothing gets from one to the other, through restarts. */
void sim_cluster_cut(struct sim_cluster *c, unsigned from, unsigned to, bool cut);
void sim_cluster_heal(struct sim_cluster *c); /* all cuts */
/* Sets a node's wall clock off from true time by so much (0 also takes back what another rate has gathered), and the
 * rate of both its clocks. */
void sim_cluster_wall(struct sim_cluster *c, unsigned node, int64_t offset_ns);
void sim_cluster_rate(struct sim_cluster *c, unsigned node, uint32_t ppm);
