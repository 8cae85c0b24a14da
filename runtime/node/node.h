/* A node is a value, built from (config, env, engine): a process holds one, a simulation many.
 *
 *   opening --> serving --> draining --> drained         node_drain(), in-flight requests end
 *                  |            |
 *                  +------------+--> failed              a write or sync failed: exit, do not retry
 *
 *   storage . region . oracle . handlers . server . scripts . placement driver . console . http
 *
 * opened in that order; closed so that everything under way is answered first (node_close). */
#pragma once

#include "base/digest.h"
#include "base/logger.h"
#include "env/env.h"
#include "node/config.h"
#include "node/main.h"
#include "storage/engine.h"

struct node;

struct node_options {
    struct env *env;
    struct logger *log;
    const struct engine_ops *engine;
    const struct node_config *config; /* copied */
    const char *version;              /* "0.1.0"; must outlive the node */
    uint64_t memtable_bytes;          /* 0: memory's share; small in simulations, so that it cuts */
    bool without_scripts;             /* no Lua, no placement driver, no console: simulations */
    /* Called once, on the loop: the node is drained, or has failed. Its owner ends the loop and
     * closes it. */
    void (*stopped)(void *user, enum node_exit code);
    void *user;
};

/* Creates the store's directory (storage_init) with the config's ids. */
MUST_USE err_t node_init(const struct node_options *options, struct err *e);
/* Opens everything and serves. On an error nothing is left open; `*exit_code` says what a process
 * should end with. */
MUST_USE err_t node_open(const struct node_options *options, struct node **ret,
                         enum node_exit *exit_code, struct err *e);
/* Stops accepting, lets in-flight requests end (config.drain_ms at most), then calls `stopped`. */
void node_drain(struct node *n);
/* Reads the scripts again. */
void node_reload(struct node *n);
/* Answers what is under way and closes all. A store that has not failed gets its clean mark.
 * The loop must not be in one of the node's callbacks. NULL is welcome. */
void node_close(struct node *n);
/* As a kill -9 would leave the store; memory is freed. For tests, and after a failed write. */
void node_abandon(struct node *n);

/* How far this node has applied its first region, and a digest of what it holds (storage_digest): for checks that
 * replicas are equal. */
MUST_USE err_t node_digest(struct node *n, uint64_t *applied, struct digest *ret, struct err *e);

/* The bound addresses; "" where there is none. */
const char *node_address(const struct node *n);
const char *node_console_text(const struct node *n);
const char *node_http_text(const struct node *n);
