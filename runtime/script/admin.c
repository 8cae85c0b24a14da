/* Admin verbs: lua/admin.lua in a fresh state per call. JSON in, JSON out; the node is asked through the door. */
#include <stdio.h>
#include <stdlib.h>

#include "base/container.h"
#include "host_int.h"
#include "marshal.h"

struct admin_work {
    struct script_task task;
    struct script_sources *sources;
    struct script_line line;
    struct buf verb, result;
    struct value *arguments;
    err_t rc;
    void (*done)(void *user, err_t rc, struct bytes result_json_or_error);
    void *user;
};

static int call_verb(lua_State *L)
{
    struct admin_work *w = lua_touserdata(L, 1);
    lua_settop(L, 0);
    script_door_open(L);
    lua_getglobal(L, "require");
    lua_pushliteral(L, "admin");
    lua_call(L, 1, 1);
    lua_getfield(L, -1, "call");
    lua_pushlstring(L, w->verb.len > 0 ? (const char *)w->verb.data : "", w->verb.len);
    script_marshal_push(L, w->arguments);
    lua_getglobal(L, "host");
    lua_call(L, 3, 1);
    script_marshal_read(L, -1, false);
    return 0;
}

static void verb_run(struct script_task *task)
{
    struct admin_work *w = container_of(task, struct admin_work, task);
    const struct script_limits *limits = &task->host->config.session;
    const struct script_state_config config = { limits->memory_bytes, limits->instructions, 0 };
    struct script_state *s = NULL;
    struct err e = { 0 };
    w->rc = script_state_open(&config, &s, &e);
    if (w->rc == ERR_OK) {
        s->sources = w->sources;
        s->line = &w->line;
        w->rc = script_state_run(s, &task->stop, call_verb, w, &e);
    }
    if (w->rc == ERR_OK && value_to_json(s->value, false, &w->result) != ERR_OK)
        w->rc = err_set(&e, ERR_TOO_LARGE, "the result does not fit into JSON");
    if (w->rc != ERR_OK && buf_append(&w->result, BYTES(e.msg)) != ERR_OK)
        abort();
    script_state_close(s);
}

static void verb_done(struct script_task *task)
{
    struct admin_work *w = container_of(task, struct admin_work, task);
    w->done(w->user, w->rc, buf_bytes(&w->result));
    script_sources_drop(w->sources);
    value_free(w->arguments);
    buf_free(&w->verb);
    buf_free(&w->result);
    free(w);
}

static void refused_run(struct script_task *task)
{
    (void)task;
}

void script_admin(struct script_host *host, struct bytes verb, struct bytes arguments_json,
                  const char *who,
                  void (*done)(void *user, err_t rc, struct bytes result_json_or_error), void *user)
{
    struct err e = { 0 };
    struct admin_work *w = calloc(1, sizeof *w);
    if (w == NULL || buf_append(&w->verb, verb) != ERR_OK)
        abort();
    w->sources = script_sources_keep(host->active->sources);
    w->line.host = host;
    w->line.stop = &w->task.stop;
    snprintf(w->line.who, sizeof w->line.who, "admin:%s", who);
    w->done = done;
    w->user = user;
    w->task.run = verb_run;
    w->task.done = verb_done;
    if (arguments_json.len > 0)
        w->rc = value_from_json(arguments_json, &w->arguments, &e);
    if (w->rc != ERR_OK) {
        w->task.run = refused_run;
        if (buf_append(&w->result, BYTES(e.msg)) != ERR_OK)
            abort();
    }
    script_task_start(&w->task, host, host->admin_lane, host->config.session.deadline_ms);
}
