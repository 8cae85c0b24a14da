/* Lua on a node: policies, admin verbs, console sessions.
 *
 *      loop thread                                SCRIPT lanes (idle priority)
 *   script_plan(view) ---- view, by value ---->  lua_State of the active bundle
 *        done(plan)   <--- proposals ----------
 *   script_session_eval / script_admin ------->  a lua_State per session
 *        door->call(name, args) <-------------   a script asks the node; the lane waits for the answer
 *
 * Views, arguments and answers cross as values without pointers (base/value.h), so that the scripts' host can become
 * a child process. A bundle is all files of lua/: built, checked, switched, torn down; the last good one keeps
 * running. No lua_State is ever reachable from apply. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/logger.h"
#include "base/value.h"
#include "env/env.h"
#include "pd/policy.h"

struct script_limits {
    uint64_t memory_bytes; /* per state */
    uint64_t instructions; /* per call */
    uint32_t deadline_ms;  /* per call: the watchdog, outside of Lua */
};

/* What scripts may ask of the node. Called on the loop thread; answers once, now or later, by script_call_answer(). */
struct script_call;
struct script_door {
    void (*call)(void *user, const char *name, const struct value *arguments,
                 struct script_call *call);
    void *user;
};
/* Gives the answer: takes over `result` (a value tree, may be NULL for nil) or an error with its text. Loop thread. */
void script_call_answer(struct script_call *call, err_t rc, const char *error,
                        struct value *result);

struct script_config {
    const char *lua_dir; /* NULL: the scripts embedded in the program */
    struct script_limits policy, session;
    uint32_t sessions_max;
    struct script_door door;
    bool watch; /* reload when lua_dir changes */
    /* What the node sets of the policies' parameters: a map, script (its file without .lua) -> name -> number, boolean
     * or bytes. NULL: nothing. Taken over, also on failure. */
    struct value *params;
};

struct script_host;
/* Loads the first bundle; if lua_dir's is bad, falls back to the embedded one with an error in the log (and to its
 * defaults, if the parameters fit lua_dir's alone). Without lua_dir, parameters that do not fit are
 * ERR_INVALID_ARGUMENT. */
MUST_USE err_t script_host_open(struct env *env, struct logger *log,
                                const struct script_config *config, struct script_host **ret,
                                struct err *e);
void script_host_close(struct script_host *host); /* ends running scripts; NULL is welcome */
/* Fills the placement driver's door. */
void script_host_policy(struct script_host *host, struct pd_policy *ret);
/* Reads lua_dir again, builds, checks, switches; `done` on the loop: ERR_OK (also if nothing changed) or why the
 * active bundle stays. */
void script_reload(struct script_host *host,
                   void (*done)(void *user, err_t rc, const char *message, bool changed),
                   void *user);
/* Builds and checks one file, as reload would, without switching (policy check). Blocking; also for the CLI. */
MUST_USE err_t script_check_file(struct env *env, const char *path, struct buf *report,
                                 struct err *e);

struct script_bundle_info {
    char digest[65];    /* BLAKE2b-256 of the bundle, hex */
    const char *source; /* "embedded" or the directory */
    uint64_t generation, reloads, failures, loaded_at_ms;
    char last_error[512]; /* of the last refused reload; "" if the last one was accepted */
    size_t policy_count;
    struct script_policy_info {
        char name[32], version[32], kind[16], file[64];
    } policies[32];
};
void script_bundle(const struct script_host *host, struct script_bundle_info *ret);

/* Runs an admin verb of lua/admin.lua in a state of its own: JSON in, JSON out. `done` on the loop, once. */
void script_admin(struct script_host *host, struct bytes verb, struct bytes arguments_json,
                  const char *who,
                  void (*done)(void *user, err_t rc, struct bytes result_json_or_error),
                  void *user);

struct script_session; /* a console's Lua state */
MUST_USE err_t script_session_open(struct script_host *host, const char *who,
                                   struct script_session **ret, struct err *e);
/* Evaluates; one at a time per session. The answer is borrowed until `done` returns. */
struct script_answer {
    err_t rc; /* ERR_SCRIPT, ERR_BUDGET, ERR_CANCELLED */
    struct bytes
        output; /* what was printed, then values in the asked format; or the error with its traceback */
    bool incomplete;
    uint64_t instructions, elapsed_ns;
};
void script_session_eval(struct script_session *session, struct bytes text, const char *format,
                         uint32_t budget_ms,
                         void (*done)(void *user, const struct script_answer *answer), void *user);
/* Ends the running evaluation within milliseconds; its `done` gets ERR_CANCELLED. */
void script_session_cancel(struct script_session *session);
/* Words that complete the end of `line`: `each` is called in order, `*start` is where the word begins. Loop thread;
 * answers by `done` since the state may be busy. */
void script_session_complete(struct script_session *session, struct bytes line,
                             void (*done)(void *user, size_t start, const struct bytes *words,
                                          size_t count),
                             void *user);
void script_session_close(struct script_session *session);

/* A sandboxed Lua file that returns a table (config files): no globals but the pure library, bounded, text only.
 * Errors name file and line. Blocking; also for the CLI. */
MUST_USE err_t script_load_table(struct env *env, const char *path, struct value **ret,
                                 struct err *e);
MUST_USE err_t script_load_table_text(struct bytes text, const char *chunk, struct value **ret,
                                      struct err *e);

struct script_stats {
    uint64_t plans, plan_errors, budget_breaches, cancelled, sessions, calls;
    uint64_t plan_ns_last, plan_instructions_last, memory_bytes;
};
void script_host_stats(const struct script_host *host, struct script_stats *ret);
