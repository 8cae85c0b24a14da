#include "door.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/container.h"
#include "host_int.h"
#include "marshal.h"

struct script_call {
    struct env_job job;       /* carries it to the loop */
    struct list link;         /* in host->calls, under its lock */
    struct script_host *host; /* NULL once the host is gone; loop thread */
    char name[64];
    struct value *arguments;
    /* under the lock */
    bool answered, abandoned;
    err_t rc;
    char error[400];
    struct value *result;
};

static void call_free(struct script_call *call)
{
    value_free(call->arguments);
    value_free(call->result);
    free(call);
}

/* With the lock held: takes the call out of the books. */
static void unlink_call(struct script_call *call)
{
    list_remove(&call->link);
    list_init(&call->link);
}

/* ---- Loop thread --------------------------------------------------------------------------- */

static void on_loop(struct env_job *job)
{
    struct script_call *call = container_of(job, struct script_call, job);
    struct script_host *host = call->host;
    if (host == NULL) {
        call_free(call);
        return;
    }
    env_lock_enter(host->lock);
    bool abandoned = call->abandoned;
    if (abandoned)
        unlink_call(call);
    env_lock_leave(host->lock);
    if (abandoned) {
        call_free(call);
        return;
    }
    host->stats.calls++;
    if (script_host_ask(host, call->name, call->arguments, call))
        return;
    if (host->config.door.call != NULL)
        host->config.door.call(host->config.door.user, call->name, call->arguments, call);
    else
        script_call_answer(call, ERR_UNIMPLEMENTED, "this node answers no questions", NULL);
}

void script_call_answer(struct script_call *call, err_t rc, const char *error, struct value *result)
{
    struct script_host *host = call->host;
    assert(!call->answered);
    call->rc = rc;
    snprintf(call->error, sizeof call->error, "%s",
             error != NULL && error[0] != '\0' ? error : err_name(rc));
    call->result = result;
    if (host == NULL) {
        call_free(call);
        return;
    }
    env_lock_enter(host->lock);
    bool abandoned = call->abandoned;
    if (abandoned)
        unlink_call(call);
    call->answered = true;
    env_lock_wake(host->lock);
    env_lock_leave(host->lock);
    if (abandoned)
        call_free(call);
}

void script_door_close(struct script_host *host)
{
    while (!list_empty(&host->calls)) {
        struct script_call *call = container_of(host->calls.next, struct script_call, link);
        assert(call->abandoned);
        unlink_call(call);
        call->host = NULL;
    }
}

/* ---- Lanes --------------------------------------------------------------------------------- */

static bool stopped(const struct script_line *line)
{
    return line->stop != NULL &&
           atomic_load_explicit(&line->stop->reason, memory_order_relaxed) != 0;
}

static struct script_call *make_call(const struct script_line *line, const char *name,
                                     struct value *arguments)
{
    struct script_call *call = calloc(1, sizeof *call);
    if (call == NULL)
        abort();
    if (arguments == NULL)
        arguments = value_new(VALUE_MAP);
    value_put_text(value_set(arguments, "who"), line->who);
    call->job.done = on_loop;
    call->host = line->host;
    call->arguments = arguments;
    snprintf(call->name, sizeof call->name, "%s", name);
    return call;
}

err_t script_door_ask(const struct script_line *line, const char *name, struct value *arguments,
                      struct value **ret, struct err *e)
{
    struct script_host *host = line->host;
    if (arguments != NULL && arguments->kind != VALUE_MAP) {
        bool empty = arguments->kind == VALUE_NIL ||
                     (arguments->kind == VALUE_LIST && arguments->count == 0);
        value_free(arguments);
        arguments = NULL;
        if (!empty)
            return err_set(e, ERR_INVALID_ARGUMENT, "%s: the arguments must be a table with names",
                           name);
    }
    struct script_call *call = make_call(line, name, arguments);
    bool here = host->loop_mark == script_host_thread(); /* a world without threads */
    env_lock_enter(host->lock);
    list_push_back(&host->calls, &call->link);
    env_lock_leave(host->lock);
    if (here)
        on_loop(&call->job);
    else
        env_post(host->env, &call->job);
    env_lock_enter(host->lock);
    while (!here && !call->answered && !stopped(line))
        env_lock_wait(
            host->lock,
            100000000); /* every wake is signalled; the limit is a belt beside the braces */
    bool answered = call->answered;
    call->abandoned = !answered;
    if (answered)
        unlink_call(call);
    env_lock_leave(host->lock);
    if (!answered)
        return here ? err_set(e, ERR_UNAVAILABLE,
                              "%s: the answer comes later, and this world has no thread to wait",
                              name)
                    : err_set(e, ERR_CANCELLED, "%s: cancelled while waiting for the node", name);
    err_t rc = call->rc;
    if (rc == ERR_OK) {
        *ret = call->result;
        call->result = NULL;
    } else {
        err_set(e, rc, "%s: %s", err_name(rc), call->error);
    }
    call_free(call);
    return rc;
}

static int l_call(lua_State *L)
{
    struct script_state *s = script_state_of(L);
    struct err e = { 0 };
    const char *name = luaL_checkstring(L, 1);
    lua_settop(L, 2);
    if (s->line == NULL)
        return luaL_error(L, "host.call: nobody to ask here");
    script_state_charge(L, 100);
    script_marshal_read(L, 2, false);
    struct value *arguments = script_marshal_take(s), *result = NULL;
    err_t rc = script_door_ask(s->line, name, arguments, &result, &e);
    s->value = result; /* the state's, since all that follows may raise */
    script_state_charge(L, 0);
    if (rc != ERR_OK)
        return luaL_error(L, "%s", e.msg);
    script_marshal_push(L, result);
    value_free(script_marshal_take(s));
    return 1;
}

void script_door_open(lua_State *L)
{
    lua_newtable(L);
    lua_pushcfunction(L, l_call);
    lua_setfield(L, -2, "call");
    lua_setglobal(L, "host");
}
