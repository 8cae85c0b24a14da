/* A config file from disk, checked. */
#pragma once

#include "cli.h"
#include "node/config.h"

/* Reads and checks; complains about every mistake, a line each. CLI_OK, CLI_USAGE, CLI_FAILED (no such file). */
int config_file_read(struct cli *cli, const char *path, struct node_config *ret);
