/* The console's door: a server on the node's Unix socket whose requests are Lua (adminpb.proto).
 *
 * One Lua session per connection, made at its first request, closed with it. Only the node's own
 * user and root are let in (peer credentials). */
#pragma once

#include "base/logger.h"
#include "env/env.h"
#include "node/config.h"
#include "script/script.h"

struct node_console;

struct node_console_config {
    const char *address; /* "unix:/..." */
    uint32_t idle_ms;
    struct bytes cluster_id;
    uint64_t node_id;
};
MUST_USE err_t node_console_open(struct env *env, struct logger *log, struct script_host *scripts,
                                 const struct node_console_config *config,
                                 struct node_console **ret, struct err *e);
const char *node_console_address(const struct node_console *console);
/* Ends running evaluations, closes every session; before the script host. NULL is welcome. */
void node_console_close(struct node_console *console);
