/* Console sessions: text in, output out, one at a time, and a way to end it.
 *
 * The state is made on the lane by the first evaluation, from the scripts that were active when the console was
 * opened; its globals are lua/console.lua's. What a session leaves behind in its globals is the user's own. */
#include "session.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/container.h"
#include "marshal.h"
#include "render.h"
#include "sandbox.h"

struct session_work {
    struct script_task task;
    struct script_session *session;
    char format[8];
    struct buf text, output;
    err_t rc;
    bool incomplete;
    uint64_t instructions, elapsed_ns;
    size_t start;
    struct value *words;
    void (*evaluated)(void *user, const struct script_answer *answer);
    void (*completed)(void *user, size_t start, const struct bytes *words, size_t count);
    void *user;
};

/* ---- On the lane: Lua ---------------------------------------------------------------------- */

/* Puts what console.lua's globals() gives into the globals. */
static int fill_globals(lua_State *L)
{
    lua_settop(L, 0);
    script_door_open(L);
    lua_getglobal(L, "require");
    lua_pushliteral(L, "console");
    lua_call(L, 1, 1);
    lua_pushvalue(L, -1);
    lua_setfield(L, LUA_REGISTRYINDEX, "script.console");
    lua_getfield(L, -1, "globals");
    lua_getglobal(L, "host");
    lua_call(L, 1, 1);
    luaL_checktype(L, -1, LUA_TTABLE);
    for (lua_pushnil(L); lua_next(L, 2) != 0; lua_pop(L, 1)) {
        lua_pushvalue(L, -2);
        lua_pushvalue(L, -2);
        lua_rawset(L, LUA_GLOBALSINDEX);
    }
    return 0;
}

/* Compiles `text` as an expression, else as statements. Error text on top if it is neither. */
static int compile(lua_State *L, struct bytes text)
{
    lua_pushliteral(L, "return ");
    lua_pushlstring(L, text.len > 0 ? (const char *)text.data : "", text.len);
    lua_concat(L, 2);
    size_t len;
    const char *expression = lua_tolstring(L, -1, &len);
    if (script_sources_compile(L, bytes_from(expression, len), "=console") == 0)
        return 0;
    lua_pop(L, 1);
    return script_sources_compile(L, text, "=console");
}

/* "... near '<eof>'": more text could make it whole. */
static bool wants_more(lua_State *L)
{
    static const char eof[] = "'<eof>'";
    size_t len;
    const char *text = lua_tolstring(L, -1, &len);
    return text != NULL && len >= sizeof eof - 1 &&
           memcmp(text + len - (sizeof eof - 1), eof, sizeof eof - 1) == 0;
}

static int evaluate(lua_State *L)
{
    struct session_work *w = lua_touserdata(L, 1);
    lua_settop(L, 0);
    if (compile(L, buf_bytes(&w->text)) != 0) {
        w->incomplete = wants_more(L);
        return lua_error(L);
    }
    lua_replace(L, 1);
    lua_settop(L, 1);
    lua_call(L, 0, LUA_MULTRET);
    int n = lua_gettop(L);
    if (n > 100)
        return luaL_error(L, "%d values: at most 100 are shown, put them into a table", n);
    lua_createtable(L, n,
                    0); /* a list with holes is no list: each value stands in a table of its own */
    for (int i = 1; i <= n; i++) {
        lua_createtable(L, 0, 1);
        lua_pushvalue(L, i);
        lua_setfield(L, -2, "value");
        lua_rawseti(L, n + 1, i);
    }
    script_marshal_read(L, n + 1, true);
    return 0;
}

static int find_words(lua_State *L)
{
    struct session_work *w = lua_touserdata(L, 1);
    lua_settop(L, 0);
    lua_getfield(L, LUA_REGISTRYINDEX, "script.console");
    lua_getfield(L, 1, "complete");
    lua_pushlstring(L, w->text.len > 0 ? (const char *)w->text.data : "", w->text.len);
    lua_pushvalue(L, LUA_GLOBALSINDEX);
    lua_call(L, 2, 2);
    w->start = (size_t)lua_tointeger(L, 2);
    script_marshal_read(L, 3, false);
    return 0;
}

/* ---- On the lane: tasks -------------------------------------------------------------------- */

static err_t make_state(struct script_session *session, const struct script_stop *stop,
                        struct err *e)
{
    const struct script_limits *limits = &session->host->config.session;
    const struct script_state_config config = { limits->memory_bytes, limits->instructions, 0 };
    struct script_state *s = NULL;
    err_t rc = script_state_open(&config, &s, e);
    if (rc != ERR_OK)
        return rc;
    s->sources = session->sources;
    s->line = &session->line;
    rc = script_state_run(s, stop, fill_globals, NULL, e);
    if (rc != ERR_OK) {
        script_state_close(s);
        return err_wrap(e, rc, "console.lua");
    }
    session->state = s;
    return ERR_OK;
}

static void show_error(struct session_work *w, const struct script_state *s, const struct err *e)
{
    bool traced = w->rc == ERR_SCRIPT && s != NULL && s->trace.len > 0 && !w->incomplete;
    if (buf_append(&w->output,
                   s != NULL && s->text.len > 0 ? buf_bytes(&s->text) : BYTES(e->msg)) != ERR_OK ||
        (traced && (buf_append(&w->output, BYTES("\n")) != ERR_OK ||
                    buf_append(&w->output, buf_bytes(&s->trace)) != ERR_OK)))
        abort();
}

static void show_values(struct session_work *w, const struct value *values)
{
    for (size_t i = 0; i < values->count; i++) {
        static const struct value nothing = { .kind = VALUE_NIL };
        const struct value *v = value_get(&values->items[i], "value");
        if (script_render(v != NULL ? v : &nothing, w->format, &w->output) != ERR_OK ||
            buf_append(&w->output, BYTES("\n")) != ERR_OK)
            abort();
    }
}

static void eval_run(struct script_task *task)
{
    struct session_work *w = container_of(task, struct session_work, task);
    struct script_session *session = w->session;
    struct env *env = task->host->env;
    struct err e = { 0 };
    uint64_t begin = env_now(env);
    session->line.stop = &task->stop;
    w->rc = session->state != NULL ? ERR_OK : make_state(session, &task->stop, &e);
    struct script_state *s = session->state;
    if (w->rc == ERR_OK) {
        buf_clear(&session->text);
        if (buf_append(&session->text, buf_bytes(&w->text)) != ERR_OK)
            abort();
        s->chunk = buf_bytes(&session->text);
        s->out = &w->output;
        s->out_cut = false;
        w->rc = script_state_run(s, &task->stop, evaluate, w, &e);
        s->out = NULL;
        w->instructions = s->used;
        if (s->out_cut &&
            buf_append(&w->output, BYTES("(what more was printed is left out)\n")) != ERR_OK)
            abort();
        struct value *values = script_marshal_take(s);
        if (w->rc == ERR_OK)
            show_values(w, values);
        value_free(values);
    }
    if (w->rc != ERR_OK)
        show_error(w, s, &e);
    session->line.stop = NULL;
    w->elapsed_ns = env_now(env) - begin;
}

static void complete_run(struct script_task *task)
{
    struct session_work *w = container_of(task, struct session_work, task);
    struct script_session *session = w->session;
    struct err e = { 0 };
    session->line.stop = &task->stop;
    w->rc = session->state != NULL ? ERR_OK : make_state(session, &task->stop, &e);
    if (w->rc == ERR_OK)
        w->rc = script_state_run(session->state, &task->stop, find_words, w, &e);
    if (w->rc == ERR_OK)
        w->words = script_marshal_take(session->state);
    session->line.stop = NULL;
}

/* ---- On the loop --------------------------------------------------------------------------- */

static void work_free(struct session_work *w)
{
    buf_free(&w->text);
    buf_free(&w->output);
    value_free(w->words);
    free(w);
}

static void eval_done(struct script_task *task)
{
    struct session_work *w = container_of(task, struct session_work, task);
    struct script_session *session = w->session;
    const struct script_answer answer = { .rc = w->rc,
                                          .output = buf_bytes(&w->output),
                                          .incomplete = w->incomplete,
                                          .instructions = w->instructions,
                                          .elapsed_ns = w->elapsed_ns };
    if (session->running == w)
        session->running = NULL;
    task->host->stats.budget_breaches += w->rc == ERR_BUDGET;
    task->host->stats.cancelled += w->rc == ERR_CANCELLED || w->rc == ERR_DEADLINE_EXCEEDED;
    w->evaluated(w->user, &answer);
    work_free(w);
}

static void complete_done(struct script_task *task)
{
    struct session_work *w = container_of(task, struct session_work, task);
    size_t count = w->words != NULL && w->words->kind == VALUE_LIST ? w->words->count : 0;
    struct bytes *words = calloc(count + 1, sizeof *words);
    if (words == NULL)
        abort();
    size_t n = 0;
    for (size_t i = 0; i < count; i++)
        if (w->words->items[i].kind == VALUE_BYTES)
            words[n++] = buf_bytes(&w->words->items[i].bytes);
    w->completed(w->user, w->start <= w->text.len ? w->start : w->text.len, words, n);
    free(words);
    work_free(w);
}

static struct session_work *make_work(struct script_session *session, struct bytes text, void *user)
{
    struct session_work *w = calloc(1, sizeof *w);
    if (w == NULL || buf_append(&w->text, text) != ERR_OK)
        abort();
    w->session = session;
    w->user = user;
    return w;
}

void script_session_eval(struct script_session *session, struct bytes text, const char *format,
                         uint32_t budget_ms,
                         void (*done)(void *user, const struct script_answer *answer), void *user)
{
    uint32_t limit = session->host->config.session.deadline_ms;
    struct session_work *w = make_work(session, text, user);
    snprintf(w->format, sizeof w->format, "%s",
             format != NULL && format[0] != '\0' ? format : "table");
    w->evaluated = done;
    w->task.run = eval_run;
    w->task.done = eval_done;
    session->running = w;
    script_task_start(&w->task, session->host, session->lane,
                      budget_ms > 0 && budget_ms < limit ? budget_ms : limit);
}

void script_session_cancel(struct script_session *session)
{
    if (session->running != NULL)
        script_task_stop(&session->running->task, ERR_CANCELLED);
}

void script_session_complete(struct script_session *session, struct bytes line,
                             void (*done)(void *user, size_t start, const struct bytes *words,
                                          size_t count),
                             void *user)
{
    struct session_work *w = make_work(session, line, user);
    w->completed = done;
    w->task.run = complete_run;
    w->task.done = complete_done;
    script_task_start(&w->task, session->host, session->lane, 1000);
}

err_t script_session_open(struct script_host *host, const char *who, struct script_session **ret,
                          struct err *e)
{
    struct script_stats stats;
    script_host_stats(host, &stats);
    if (host->config.sessions_max > 0 && stats.sessions >= host->config.sessions_max)
        return err_set(e, ERR_RESOURCE_EXHAUSTED,
                       "%u consoles are open, and console.sessions_max allows no more",
                       host->config.sessions_max);
    struct script_session *session = calloc(1, sizeof *session);
    if (session == NULL)
        abort();
    err_t rc = env_lane_open(host->env, ENV_LANE_SCRIPT, "console", &session->lane, e);
    if (rc != ERR_OK) {
        free(session);
        return rc;
    }
    session->host = host;
    session->sources = script_sources_keep(host->active->sources);
    session->line.host = host;
    snprintf(session->line.who, sizeof session->line.who, "console:%s", who);
    list_push_back(&host->sessions, &session->link);
    *ret = session;
    return ERR_OK;
}

void script_session_close(struct script_session *session)
{
    struct script_host *host = session->host;
    for (struct list *l = host->tasks.next; l != &host->tasks; l = l->next) {
        struct script_task *task = container_of(l, struct script_task, link);
        if ((task->run == eval_run || task->run == complete_run) &&
            container_of(task, struct session_work, task)->session == session)
            script_task_stop(task, ERR_CANCELLED);
    }
    env_lane_close(session->lane); /* their done() are called in here */
    list_remove(&session->link);
    script_state_close(session->state);
    script_sources_drop(session->sources);
    buf_free(&session->text);
    free(session);
}
