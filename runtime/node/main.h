/* A node as a process: what `flotilla init` and `flotilla start` do once the config is read.
 *
 * Exit codes are a contract with service managers and scripts (docs/operations.md). */
#pragma once

#include <stdio.h>

#include "node/config.h"

enum node_exit {
    NODE_EXIT_CLEAN = 0,  /* stopped as asked */
    NODE_EXIT_FAILED = 1, /* none of the others: no memory, no threads */
    NODE_EXIT_USAGE = 2,  /* a mistake in the command line or the config */
    NODE_EXIT_STORE = 3,  /* the store was refused: missing, damaged, panic mark, amnesia, in use */
    NODE_EXIT_ADDRESS = 4,     /* an address could not be listened on */
    NODE_EXIT_WRITE_ERROR = 5, /* a write or sync failed while running: the panic mark was left */
};

/* Creates the store's directory. Says on `out` what was made, on standard error why not. */
int node_init_main(const struct node_config *config, FILE *out);
/* Runs a node until SIGTERM or SIGINT. One line goes to `ready` once it serves:
 *   ready: listening on 127.0.0.1:7700, console at unix:/..., http on 127.0.0.1:7780
 * SIGHUP reloads the policies and reopens the log. */
int node_main(const struct node_config *config, FILE *ready);
