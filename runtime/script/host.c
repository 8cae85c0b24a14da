/* The scripts' host: which bundle is active, how it is replaced, and the tasks on the lanes.
 *
 *   build (lane) -> check (lane) -> switch (loop) -> tear down (lane)
 *
 * A plan that was queued before the switch runs in the old bundle: its lane is a FIFO, and the tear-down is behind. */
#include "host_int.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/container.h"
#include "policy.h"
#include "session.h"

static const uint64_t MS = 1000000;

const void *script_host_thread(void)
{
    static _Thread_local const char mark = 0; /* never read: its address is the answer */
    return &mark;
}

/* ---- Tasks --------------------------------------------------------------------------------- */

static void task_run(struct env_job *job)
{
    struct script_task *task = container_of(job, struct script_task, job);
    task->run(task);
}

static void task_done(struct env_job *job)
{
    struct script_task *task = container_of(job, struct script_task, job);
    env_timer_stop(task->host->env, &task->deadline);
    list_remove(&task->link);
    list_init(&task->link);
    task->done(task);
}

static void task_late(struct env_timer *timer)
{
    script_task_stop(container_of(timer, struct script_task, deadline), ERR_DEADLINE_EXCEEDED);
}

void script_task_stop(struct script_task *task, err_t reason)
{
    int none = 0;
    struct script_host *host = task->host;
    atomic_compare_exchange_strong(&task->stop.reason, &none,
                                   (int)reason); /* the first reason stays */
    env_lock_enter(host->lock);
    env_lock_wake(host->lock); /* it may wait for an answer */
    env_lock_leave(host->lock);
}

void script_task_start(struct script_task *task, struct script_host *host, struct env_lane *lane,
                       uint32_t deadline_ms)
{
    task->host = host;
    task->job = (struct env_job){ .run = task_run, .done = task_done };
    task->deadline = (struct env_timer){ .fire = task_late };
    atomic_init(&task->stop.reason, host->closing ? ERR_CANCELLED : 0);
    list_push_back(&host->tasks, &task->link);
    if (deadline_ms > 0)
        env_timer_start(host->env, &task->deadline, deadline_ms * MS);
    env_work(lane, &task->job);
}

/* ---- Plans --------------------------------------------------------------------------------- */

struct plan_task {
    struct script_task task;
    struct script_bundle *bundle;
    struct view *view;
    struct script_plan plan;
    uint64_t memory_bytes;
    void (*done)(void *user, const struct pd_plan *plan);
    void *user;
};

static void plan_run(struct script_task *task)
{
    struct plan_task *p = container_of(task, struct plan_task, task);
    uint64_t begin = env_now(task->host->env);
    script_policy_plan(p->bundle, &task->stop, p->view, &p->plan);
    p->plan.plain.elapsed_ns = env_now(task->host->env) - begin;
    p->memory_bytes = p->bundle->state->memory; /* when done() is called the bundle may be gone */
}

static void plan_done(struct script_task *task)
{
    struct plan_task *p = container_of(task, struct plan_task, task);
    struct script_stats *stats = &task->host->stats;
    stats->plans++;
    stats->plan_errors += p->plan.plain.rc != ERR_OK;
    stats->budget_breaches += p->plan.plain.rc == ERR_BUDGET;
    stats->cancelled +=
        p->plan.plain.rc == ERR_CANCELLED || p->plan.plain.rc == ERR_DEADLINE_EXCEEDED;
    stats->plan_ns_last = p->plan.plain.elapsed_ns;
    stats->plan_instructions_last = p->plan.plain.instructions;
    stats->memory_bytes = p->memory_bytes;
    p->done(p->user, &p->plan.plain);
    script_policy_free(&p->plan);
    script_view_free(p->view);
    free(p);
}

static void plan(void *self, const struct pd_view *view,
                 void (*done)(void *user, const struct pd_plan *plan), void *user)
{
    struct script_host *host = self;
    struct plan_task *p = calloc(1, sizeof *p);
    if (p == NULL || script_view_copy(view, &p->view) != ERR_OK)
        abort();
    p->bundle = host->active;
    p->done = done;
    p->user = user;
    p->task.run = plan_run;
    p->task.done = plan_done;
    script_task_start(&p->task, host, host->policy_lane, host->config.policy.deadline_ms);
}

void script_host_policy(struct script_host *host, struct pd_policy *ret)
{
    *ret = (struct pd_policy){ plan, host };
}

/* ---- Tear down ----------------------------------------------------------------------------- */

struct teardown {
    struct script_task task;
    struct script_bundle *bundle;
};

static void teardown_run(struct script_task *task)
{
    script_bundle_free(container_of(task, struct teardown, task)->bundle);
}

static void teardown_done(struct script_task *task)
{
    free(container_of(task, struct teardown, task));
}

static void tear_down(struct script_host *host, struct script_bundle *bundle)
{
    struct teardown *t = calloc(1, sizeof *t);
    if (t == NULL)
        abort();
    t->bundle = bundle;
    t->task.run = teardown_run;
    t->task.done = teardown_done;
    script_task_start(&t->task, host, host->policy_lane, 0);
}

/* ---- Reloading ----------------------------------------------------------------------------- */

struct script_reload {
    struct script_task task;
    struct script_bundle *from, *built; /* built NULL and rc OK: nothing has changed */
    struct script_reload_wait *waiting;
    uint64_t generation;
    err_t rc;
    struct err e;
};

static void watch_again(struct script_host *host);

static void reload_run(struct script_task *task)
{
    struct script_reload *r = container_of(task, struct script_reload, task);
    struct script_host *host = task->host;
    struct script_sources *sources = NULL;
    r->rc = ERR_OK;
    if (host->lua_dir != NULL)
        r->rc = script_sources_read(host->env, host->lua_dir, &sources, &r->e);
    else
        sources = script_sources_embedded(NULL, (struct bytes){ 0 });
    if (r->rc != ERR_OK)
        return;
    if (strcmp(script_sources_digest(sources), script_sources_digest(r->from->sources)) == 0 &&
        strcmp(script_sources_origin(sources), script_sources_origin(r->from->sources)) == 0) {
        script_sources_drop(sources);
        return;
    }
    r->rc = script_bundle_build(sources, &host->config.policy, &task->stop, r->generation, NULL,
                                host->config.params, r->from, &r->built, &r->e);
}

static void reload_start(struct script_host *host);

static void answer_all(struct script_reload_wait *waiting, err_t rc, const char *message,
                       bool changed)
{
    for (struct script_reload_wait *w = waiting, *next; w != NULL; w = next) {
        next = w->next;
        if (w->done != NULL)
            w->done(w->user, rc, rc != ERR_OK ? message : "", changed);
        free(w);
    }
}

static void reload_done(struct script_task *task)
{
    struct script_reload *r = container_of(task, struct script_reload, task);
    struct script_host *host = task->host;
    bool changed = r->built != NULL;
    if (r->rc != ERR_OK) {
        host->failures++;
        snprintf(host->last_error, sizeof host->last_error, "%s", r->e.msg);
        logger_error(host->log, "scripts refused, the active ones go on",
                     logger_text("error", r->e.msg),
                     logger_text("active", script_sources_digest(host->active->sources)));
    } else {
        host->last_error[0] = '\0';
    }
    if (changed) {
        struct script_bundle *old = host->active;
        host->active = r->built;
        host->generation = r->built->generation;
        host->reloads++;
        host->loaded_at_ms = env_wall(host->env) / MS;
        if (host->closing)
            host->retired = old; /* the lane takes no more work */
        else
            tear_down(host, old);
        logger_info(host->log, "scripts loaded",
                    logger_text("digest", script_sources_digest(host->active->sources)),
                    logger_text("source", script_sources_origin(host->active->sources)),
                    logger_u64("generation", host->generation));
    }
    host->reload = NULL;
    answer_all(r->waiting, r->rc, r->e.msg, changed);
    free(r);
    if (host->closing)
        return;
    watch_again(host);
    if (host->waiting != NULL)
        reload_start(host);
}

static void reload_start(struct script_host *host)
{
    struct script_reload *r = calloc(1, sizeof *r);
    if (r == NULL)
        abort();
    r->from = host->active;
    r->generation = host->generation + 1;
    r->waiting = host->waiting;
    host->waiting = NULL;
    host->reload = r;
    r->task.run = reload_run;
    r->task.done = reload_done;
    script_task_start(&r->task, host, host->policy_lane, host->config.policy.deadline_ms * 4);
}

void script_reload(struct script_host *host,
                   void (*done)(void *user, err_t rc, const char *message, bool changed),
                   void *user)
{
    struct script_reload_wait *w = calloc(1, sizeof *w), **last = &host->waiting;
    if (w == NULL)
        abort();
    w->done = done;
    w->user = user;
    while (*last != NULL)
        last = &(*last)->next;
    *last = w;
    if (host->reload == NULL)
        reload_start(host);
}

/* ---- Watching ------------------------------------------------------------------------------ */

static void debounced(struct env_timer *timer)
{
    script_reload(container_of(timer, struct script_host, debounce), NULL, NULL);
}

static void file_changed(struct env_watch *watch)
{
    struct script_host *host = container_of(watch, struct script_watched, watch)->host;
    env_timer_start(host->env, &host->debounce,
                    SCRIPT_DEBOUNCE_MS * MS); /* an editor writes more than once */
}

static void watch_stop(struct script_host *host)
{
    for (size_t i = 0; i < SCRIPT_WATCHES; i++)
        if (host->watched[i].on) {
            env_watch_stop(host->env, &host->watched[i].watch);
            host->watched[i].on = false;
        }
}

static void watch_one(struct script_host *host, const char *dir)
{
    struct err e = { 0 };
    for (size_t i = 0; i < SCRIPT_WATCHES; i++) {
        struct script_watched *w = &host->watched[i];
        if (w->on)
            continue;
        w->host = host;
        w->watch.changed = file_changed;
        if (env_watch_start(host->env, &w->watch, dir, &e) == ERR_OK)
            w->on = true;
        else
            logger_warn(host->log,
                        "cannot watch a folder of scripts; `flotilla policy reload` still works",
                        logger_text("dir", dir), logger_err(&e));
        return;
    }
}

struct folders {
    struct script_host *host;
    const char *root;
    int depth;
};

static err_t watch_folder(void *user, const char *name, bool is_dir)
{
    struct folders *f = user;
    char path[1024];
    if (!is_dir || name[0] == '.' || f->depth == SCRIPT_FOLDERS_MAX)
        return ERR_OK;
    int n = snprintf(path, sizeof path, "%s/%s", f->root, name);
    if (n < 0 || (size_t)n >= sizeof path)
        return ERR_OK;
    watch_one(f->host, path);
    struct folders inner = { f->host, path, f->depth + 1 };
    return env_dir_list(f->host->env, path, watch_folder, &inner, NULL);
}

/* After every reload, since folders come and go. */
static void watch_again(struct script_host *host)
{
    if (host->lua_dir == NULL || !host->config.watch)
        return;
    struct folders folders = { host, host->lua_dir, 1 };
    watch_stop(host);
    watch_one(host, host->lua_dir);
    if (env_dir_list(host->env, host->lua_dir, watch_folder, &folders, NULL) != ERR_OK)
        logger_warn(host->log, "cannot list the folder of scripts",
                    logger_text("dir", host->lua_dir));
}

/* ---- Life ---------------------------------------------------------------------------------- */

static err_t load_embedded(struct script_host *host, const struct value *params, struct err *e)
{
    return script_bundle_build(script_sources_embedded(NULL, (struct bytes){ 0 }),
                               &host->config.policy, NULL, 1, NULL, params, NULL, &host->active, e);
}

static err_t load_dir(struct script_host *host, struct err *e)
{
    struct script_sources *sources = NULL;
    err_t rc = script_sources_read(host->env, host->lua_dir, &sources, e);
    if (rc == ERR_OK)
        rc = script_bundle_build(sources, &host->config.policy, NULL, 1, NULL, host->config.params,
                                 NULL, &host->active, e);
    return rc;
}

/* A node that has data to serve does not stay down for its scripts: instead of lua_dir's the embedded ones run. */
static err_t fall_back(struct script_host *host, struct err *e)
{
    struct err why = { 0 };
    host->failures++;
    snprintf(host->last_error, sizeof host->last_error, "%s", e->msg);
    logger_error(host->log, "scripts of lua_dir refused, the embedded ones run",
                 logger_text("dir", host->lua_dir), logger_text("error", e->msg));
    if (load_embedded(host, host->config.params, &why) == ERR_OK)
        return ERR_OK;
    logger_error(host->log, "policy.params refused, the embedded scripts run with their defaults",
                 logger_text("error", why.msg));
    return load_embedded(host, NULL, e);
}

static err_t load_first(struct script_host *host, struct err *e)
{
    host->generation = 1;
    err_t rc =
        host->lua_dir != NULL ? load_dir(host, e) : load_embedded(host, host->config.params, e);
    if (rc != ERR_OK && host->lua_dir != NULL)
        rc = fall_back(host, e);
    if (rc == ERR_OK || rc == ERR_INVALID_ARGUMENT)
        return rc;
    return err_wrap(e, rc, "the embedded scripts do not load (is policy.memory_bytes too small?)");
}

err_t script_host_open(struct env *env, struct logger *log, const struct script_config *config,
                       struct script_host **ret, struct err *e)
{
    struct script_host *host = calloc(1, sizeof *host);
    if (host == NULL)
        abort();
    host->env = env;
    host->log = log;
    host->config = *config;
    host->loop_mark = script_host_thread();
    host->debounce.fire = debounced;
    list_init(&host->calls);
    list_init(&host->tasks);
    list_init(&host->sessions);
    if (config->lua_dir != NULL && config->lua_dir[0] != '\0' &&
        (host->lua_dir = strdup(config->lua_dir)) == NULL)
        abort();
    host->config.lua_dir = host->lua_dir;
    err_t rc = env_lock_new(env, &host->lock, e);
    if (rc == ERR_OK)
        rc = load_first(host, e);
    if (rc == ERR_OK)
        rc = env_lane_open(env, ENV_LANE_SCRIPT, "policy", &host->policy_lane, e);
    if (rc == ERR_OK)
        rc = env_lane_open(env, ENV_LANE_SCRIPT, "admin", &host->admin_lane, e);
    if (rc != ERR_OK) {
        script_host_close(host);
        return err_wrap(e, rc, "could not start the scripts");
    }
    host->loaded_at_ms = env_wall(env) / MS;
    logger_info(log, "scripts loaded",
                logger_text("digest", script_sources_digest(host->active->sources)),
                logger_text("source", script_sources_origin(host->active->sources)),
                logger_u64("generation", 1));
    watch_again(host);
    *ret = host;
    return ERR_OK;
}

void script_host_close(struct script_host *host)
{
    if (host == NULL)
        return;
    host->closing = true;
    watch_stop(host);
    env_timer_stop(host->env, &host->debounce);
    while (!list_empty(&host->sessions))
        script_session_close(container_of(host->sessions.next, struct script_session, link));
    for (struct list *l = host->tasks.next; l != &host->tasks; l = l->next)
        script_task_stop(container_of(l, struct script_task, link), ERR_CANCELLED);
    env_lane_close(host->admin_lane);
    env_lane_close(host->policy_lane);
    assert(list_empty(&host->tasks));
    answer_all(host->waiting, ERR_CANCELLED, "the node is stopping", false);
    script_bundle_free(host->retired);
    script_bundle_free(host->active);
    if (host->lock != NULL)
        script_door_close(host);
    env_lock_free(host->lock);
    value_free(host->config.params);
    free(host->lua_dir);
    free(host);
}

/* ---- Telling ------------------------------------------------------------------------------- */

void script_bundle(const struct script_host *host, struct script_bundle_info *ret)
{
    const struct script_bundle *b = host->active;
    *ret = (struct script_bundle_info){
        .source = script_sources_origin(b->sources),
        .generation = b->generation,
        .reloads = host->reloads,
        .failures = host->failures,
        .loaded_at_ms = host->loaded_at_ms,
        .policy_count = b->policy_count,
    };
    snprintf(ret->digest, sizeof ret->digest, "%s", script_sources_digest(b->sources));
    snprintf(ret->last_error, sizeof ret->last_error, "%s", host->last_error);
    memcpy(ret->policies, b->policies, sizeof ret->policies);
}

void script_host_stats(const struct script_host *host, struct script_stats *ret)
{
    *ret = host->stats;
    ret->sessions = 0;
    for (const struct list *l = host->sessions.next; l != &host->sessions; l = l->next)
        ret->sessions++;
}

static struct value *describe_bundle(const struct script_host *host)
{
    const struct script_bundle *b = host->active;
    struct value *v = value_new(VALUE_MAP);
    value_put_text(value_set(v, "digest"), script_sources_digest(b->sources));
    value_put_text(value_set(v, "source"), script_sources_origin(b->sources));
    value_put_number(value_set(v, "generation"), (double)b->generation);
    value_put_number(value_set(v, "reloads"), (double)host->reloads);
    value_put_number(value_set(v, "failures"), (double)host->failures);
    value_put_number(value_set(v, "loaded_at_ms"), (double)host->loaded_at_ms);
    if (host->last_error[0] != '\0')
        value_put_text(value_set(v, "last_error"), host->last_error);
    struct value *list = value_set(v, "policies");
    value_put_list(list);
    for (size_t i = 0; i < b->policy_count; i++) {
        struct value *row = value_add(list);
        value_put_map(row);
        value_put_text(value_set(row, "name"), b->policies[i].name);
        value_put_text(value_set(row, "version"), b->policies[i].version);
        value_put_text(value_set(row, "kind"), b->policies[i].kind);
        value_put_text(value_set(row, "file"), b->policies[i].file);
        struct value *params = value_set(row, "params");
        if (b->params->items[i].count > 0)
            value_put_copy(params, &b->params->items[i]);
        else
            value_put_map(params); /* Lua's empty table came as a list */
    }
    return v;
}

static void reload_answered(void *user, err_t rc, const char *message, bool changed)
{
    struct script_call *call = user;
    struct value *v = NULL;
    if (rc == ERR_OK) {
        v = value_new(VALUE_MAP);
        value_put_bool(value_set(v, "changed"), changed);
    }
    script_call_answer(call, rc, message, v);
}

bool script_host_ask(struct script_host *host, const char *name, const struct value *arguments,
                     struct script_call *call)
{
    (void)arguments;
    if (strcmp(name, "policy.list") == 0)
        script_call_answer(call, ERR_OK, NULL, describe_bundle(host));
    else if (strcmp(name, "policy.reload") == 0)
        script_reload(host, reload_answered, call);
    else
        return false;
    return true;
}
