/* What the files of the host share: tasks on lanes, and the host itself. */
#pragma once

#include "bundle.h"
#include "door.h"
#include "script.h"

/* A piece of work on a SCRIPT lane with its watchdog. The owner embeds it; run() is called on the lane, then done() on
 * the loop, which may free the owner. */
struct script_task {
    struct env_job job;
    struct env_timer deadline;
    struct script_stop stop;
    struct script_host *host;
    struct list link; /* in host->tasks until done() */
    void (*run)(struct script_task *task);
    void (*done)(struct script_task *task);
};
/* Loop thread. deadline_ms 0: none. */
void script_task_start(struct script_task *task, struct script_host *host, struct env_lane *lane,
                       uint32_t deadline_ms);
/* Loop thread: ends what it runs, or makes it end as soon as it runs. */
void script_task_stop(struct script_task *task, err_t reason);

enum { SCRIPT_WATCHES = 16, SCRIPT_DEBOUNCE_MS = 100 };

struct script_reload_wait { /* who waits for the reload after the one that runs */
    struct script_reload_wait *next;
    void (*done)(void *user, err_t rc, const char *message, bool changed);
    void *user;
};
struct script_reload;
struct script_watched {
    struct env_watch watch;
    struct script_host *host;
    bool on;
};
struct script_host {
    struct env *env;
    struct logger *log;
    struct script_config config;
    char *lua_dir; /* NULL: embedded */
    struct script_bundle *active;
    struct script_bundle *retired; /* replaced while the host was closing; freed with it */
    struct env_lane *policy_lane, *admin_lane;
    struct env_lock *lock; /* of calls, and of what waits for them */
    struct list calls, tasks, sessions;
    const void *loop_mark; /* tells the loop's thread from others */
    bool closing;
    /* reloading */
    struct script_reload *reload;
    struct script_reload_wait *waiting;
    struct script_watched watched[SCRIPT_WATCHES];
    struct env_timer debounce;
    uint64_t generation, reloads, failures, loaded_at_ms;
    char last_error[512];
    struct script_stats stats;
};

/* An address that differs from thread to thread. */
const void *script_host_thread(void);
/* Loop thread: answers policy.*; false if `name` is none of these. */
bool script_host_ask(struct script_host *host, const char *name, const struct value *arguments,
                     struct script_call *call);
