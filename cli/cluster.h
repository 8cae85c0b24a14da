/* A cluster of nodes as processes of this machine, for `flotilla demo`: made in a directory of its own, started,
 * killed, stopped.
 *
 *   dir/1/   the data of store 1        dir/1.lua   its config        dir/1.log   what it said
 *
 * Each node is this program again (`flotilla start`), so that kill -9 is a kill -9. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "cli.h"

enum { CLUSTER_NODES_MAX = 7 };

struct cluster_node {
    pid_t pid; /* 0: not running */
    unsigned port, http_port;
};
struct cluster {
    char dir[256], program[256];
    unsigned count;
    struct cluster_node nodes[CLUSTER_NODES_MAX]; /* store i + 1 */
};

/* Makes `count` data directories below `dir`, which is made if it is missing; NULL: a new one in the temporary
 * folder. CLI_OK, or complained. */
int cluster_make(struct cli *cli, struct cluster *c, unsigned count, const char *dir);
/* Starts node `i` and waits until it answers. CLI_OK, or complained with the end of its log. */
int cluster_start(struct cli *cli, struct cluster *c, unsigned i);
/* Ends node `i` by a signal and waits for that; a node that is not running is welcome. */
void cluster_end(struct cluster *c, unsigned i, int signum);
/* "127.0.0.1:7001,127.0.0.1:7002,..." */
void cluster_endpoints(const struct cluster *c, char *out, size_t size);
/* A handle for node `i` alone; NULL: it does not answer. The caller closes it. */
struct flotilla *cluster_connect(const struct cluster *c, unsigned i);
/* Which node leads, by its own word; -1: none within `ms`. */
int cluster_leader(const struct cluster *c, unsigned ms);
/* A number of a node's status; false: it did not answer. */
bool cluster_status(const struct cluster *c, unsigned i, const char *name, double *ret);
/* Ends what runs; removes the directory unless `keep`. */
void cluster_finish(struct cluster *c, bool keep);
