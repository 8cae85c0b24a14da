/* The machine as a world: one libuv loop, lanes as threads, files as files.
 *
 *     world_open(NULL, &world, &e);
 *     struct env *env = world_env(world);      everything else goes through env/env.h
 *     ... node_start(env, ...) ...
 *     world_run(world);                        until env_stop(env)
 *     world_close(world);
 *
 * A process may hold several worlds, each run by its own thread. SIGPIPE is ignored from the first world_open() on. */
#pragma once

#include "env/env.h"

struct world;

struct world_config {
    /* A LOG or APPLY thread that has finished its jobs looks for the next one so long before it sleeps, and only
     * while that is mostly not in vain. 0: it sleeps at once. For machines with a core to spare. */
    uint64_t spin_ns;
};

/* `config` NULL: the defaults (no spinning). */
MUST_USE err_t world_open(const struct world_config *config, struct world **ret, struct err *e);
struct env *world_env(struct world *world);
/* Turns until env_stop(). May be called again. */
void world_run(struct world *world);
/* Finishes what is closing and what was posted, then frees. Every stream, listener, connect, lane and watch must have
 * been closed or cancelled, else it asserts. Timers and hooks are forgotten. NULL is welcome. */
void world_close(struct world *world);

/* Calls `fired` on the loop for every signal `signum` that the process gets, until world_close(). For main alone. */
MUST_USE err_t world_on_signal(struct world *world, int signum,
                               void (*fired)(void *user, int signum), void *user, struct err *e);

/* How the loop is doing: what metrics and "loop delay" are made of. Loop thread. */
enum { WORLD_HISTOGRAM = 40 };
struct world_stats {
    uint64_t turns;
    uint64_t busy_ns;    /* time not asleep: events, hooks, writes */
    uint64_t longest_ns; /* the longest turn */
    uint64_t
        turn_log2[WORLD_HISTOGRAM]; /* turns by length: [i] counts those of [2^i, 2^(i+1)) ns */
    uint64_t late_log2[WORLD_HISTOGRAM]; /* timers by how late they fired, likewise */
    uint64_t streams;                    /* open now */
    uint64_t accepted;
    uint64_t
        accept_pauses; /* times that descriptors ran out (F-R1): one connection dropped, 100 ms without accept */
};
void world_stats(struct world *world, struct world_stats *ret);
