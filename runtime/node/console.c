/* Console requests to Lua sessions, and back.
 *
 *   connection ──eval──> session (made at the first request) ──> script lane
 *        │  cancel ────────^                                        │
 *        └─gone──> closed, as soon as nothing runs in it <──done────┘
 *
 * A session is idle, or it owes an answer to `call` (eval or complete is with the script host). When its connection
 * goes it is marked, told to stop, and closed by the reaper once it owes nothing: never from within the answer of a
 * script, whose lane would have to wait for itself.
 *
 * One request of a connection at a time: a person cannot type two. */
#include "node/console.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/container.h"
#include "net/rpc.h"
#include "base/pb.h"

enum { TEXT_MAX = 1 << 20, FORMAT_MAX = 16, MORE_CONNECTIONS = 8 };

struct session {
    struct node_console *console;
    struct session *next;
    uint64_t connection;
    bool gone; /* its connection */
    struct script_session *script;
    struct net_call *call; /* unanswered; NULL: idle */
    char format[FORMAT_MAX];
};

struct node_console {
    struct env *env;
    struct logger *log;
    struct script_host *scripts;
    struct net_server *server;
    struct net_handler handlers[2];
    struct session *sessions;
    struct env_timer reaper;
    char address[NODE_PATH_MAX + 16]; /* as people elsewhere can use it: with an absolute path */
};

/* ---- Sessions ----------------------------------------------------------------------------------------------- */

static struct session *find(struct node_console *c, uint64_t connection)
{
    struct session *s = c->sessions;
    while (s != NULL && (s->gone || s->connection != connection))
        s = s->next;
    return s;
}

/* Takes the session off its console and closes it; a running evaluation answers CANCELLED in here. */
static void end_session(struct session *s)
{
    struct session **at = &s->console->sessions;
    while (*at != s)
        at = &(*at)->next;
    script_session_close(s->script);
    *at = s->next;
    free(s);
}

static void reap(struct env_timer *timer)
{
    struct node_console *c = container_of(timer, struct node_console, reaper);
    for (struct session *next, *s = c->sessions; s != NULL; s = next) {
        next = s->next;
        if (s->gone && s->call == NULL)
            end_session(s);
    }
}

static struct session *make_session(struct node_console *c, struct net_call *call, struct err *e)
{
    struct session *s = calloc(1, sizeof *s);
    if (s == NULL)
        abort(); /* small; their number is limited */
    char who[40];
    snprintf(who, sizeof who, "uid %u", net_call_peer(call)->uid);
    if (script_session_open(c->scripts, who, &s->script, e) != ERR_OK) {
        free(s);
        return NULL;
    }
    s->console = c;
    s->connection = net_call_connection(call);
    s->next = c->sessions;
    c->sessions = s;
    logger_info(c->log, "console opened", logger_text("who", who),
                logger_u64("connection", s->connection));
    return s;
}

/* The connection's idle session, or NULL: then the call is answered. */
static struct session *session_of(struct node_console *c, struct net_call *call)
{
    struct err e = { 0 };
    struct session *s = find(c, net_call_connection(call));
    if (s != NULL && s->call != NULL) {
        net_call_fail(call, ERR_FAILED_PRECONDITION,
                      "a statement of this console is running; wait for it, or cancel it");
        return NULL;
    }
    if (s == NULL && (s = make_session(c, call, &e)) == NULL)
        net_call_fail(call, e.code, e.msg);
    return s;
}

static void connection_ended(void *user, uint64_t connection)
{
    struct node_console *c = user;
    struct session *s = find(c, connection);
    if (s == NULL)
        return;
    logger_info(c->log, "console closed", logger_u64("connection", connection));
    s->gone = true;
    if (s->call != NULL)
        script_session_cancel(s->script);
    else
        env_timer_start(c->env, &c->reaper, 0);
}

static void cancelled(void *user)
{
    struct session *s = user;
    script_session_cancel(s->script);
}

static void answered(struct session *s, struct buf *body)
{
    struct net_call *call = s->call;
    s->call = NULL;
    net_call_reply(call, body);
    if (s->gone)
        env_timer_start(s->console->env, &s->console->reaper, 0);
}

/* ---- Eval --------------------------------------------------------------------------------------------------- */

static void put_status(struct buf *body, err_t rc, struct bytes message)
{
    struct buf status = { 0 };
    pb_append_u64(&status, 1, (uint64_t)err_to_wire(rc));
    pb_append_bytes(&status, 2, message);
    pb_append_item(body, 1, buf_bytes(&status));
    buf_free(&status);
}

static void eval_done(void *user, const struct script_answer *answer)
{
    struct session *s = user;
    struct buf body = { 0 };
    /* The beginning of a statement is no error: the console asks for more. */
    bool failed = answer->rc != ERR_OK && !answer->incomplete;
    err_t rc = answer->incomplete         ? ERR_OK
               : answer->rc == ERR_SCRIPT ? ERR_INVALID_ARGUMENT
                                          : answer->rc;
    put_status(&body, rc, failed ? answer->output : (struct bytes){ 0 });
    if (!failed && !answer->incomplete)
        pb_append_bytes(&body, 2, answer->output);
    pb_append_u64(&body, 3, answer->incomplete);
    pb_append_u64(&body, 4, answer->elapsed_ns / 1000);
    pb_append_u64(&body, 5, answer->instructions);
    answered(s, &body);
}

static void handle_eval(void *user, struct net_call *call)
{
    struct node_console *c = user;
    struct bytes in = net_call_body(call), text = { 0 }, format = BYTES("table");
    uint64_t budget_ms = 0;
    struct pb_field f;
    while (pb_next(&in, &f)) {
        if (f.type == PB_BYTES && f.number == 1)
            text = f.bytes;
        else if (f.type == PB_BYTES && f.number == 2 && f.bytes.len > 0)
            format = f.bytes;
        else if (f.type == PB_VARINT && f.number == 3)
            budget_ms = f.value;
    }
    if (in.len != 0 || text.len > TEXT_MAX) {
        net_call_fail(call, ERR_INVALID_ARGUMENT, "a statement has at most 1 MiB");
        return;
    }
    if (!bytes_equal(format, BYTES("table")) && !bytes_equal(format, BYTES("lua")) &&
        !bytes_equal(format, BYTES("json"))) {
        net_call_fail(call, ERR_INVALID_ARGUMENT, "the format is none of table, lua, json");
        return;
    }
    struct session *s = session_of(c, call);
    if (s == NULL)
        return;
    s->call = call;
    snprintf(s->format, sizeof s->format, "%.*s", (int)format.len, (const char *)format.data);
    net_call_on_cancel(call, cancelled, s);
    script_session_eval(s->script, text, s->format,
                        budget_ms > UINT32_MAX ? UINT32_MAX : (uint32_t)budget_ms, eval_done, s);
}

/* ---- Complete ----------------------------------------------------------------------------------------------- */

static void complete_done(void *user, size_t start, const struct bytes *words, size_t count)
{
    struct buf body = { 0 };
    put_status(&body, ERR_OK, (struct bytes){ 0 });
    pb_append_u64(&body, 2, start);
    for (size_t i = 0; i < count; i++)
        pb_append_item(&body, 3, words[i]);
    answered(user, &body);
}

static void handle_complete(void *user, struct net_call *call)
{
    struct node_console *c = user;
    struct bytes in = net_call_body(call), text = { 0 };
    struct pb_field f;
    while (pb_next(&in, &f))
        if (f.type == PB_BYTES && f.number == 1)
            text = f.bytes;
    if (in.len != 0 || text.len > TEXT_MAX) {
        net_call_fail(call, ERR_INVALID_ARGUMENT, "a statement has at most 1 MiB");
        return;
    }
    struct session *s = session_of(c, call);
    if (s == NULL)
        return;
    s->call = call;
    net_call_on_cancel(call, cancelled, s);
    script_session_complete(s->script, text, complete_done, s);
}

/* ---- The door ----------------------------------------------------------------------------------------------- */

/* A console may read every key and steer the node: it is for who runs the node, and for root. */
static bool admit(void *user, const struct env_peer *peer)
{
    struct node_console *c = user;
    bool ok = peer->has_credentials && (peer->uid == 0 || peer->uid == geteuid());
    if (!ok)
        logger_warn(c->log, "console refused", logger_u64("uid", peer->uid),
                    logger_u64("pid", peer->pid));
    return ok;
}

/* "unix:data/console.sock" is of use in our working directory alone. */
static void make_absolute(char *out, size_t cap, const char *address)
{
    char cwd[NODE_PATH_MAX];
    bool relative = strncmp(address, "unix:", 5) == 0 && address[5] != '/' && address[5] != '@';
    if (relative && getcwd(cwd, sizeof cwd) != NULL)
        snprintf(out, cap, "unix:%s/%s", cwd, address + 5);
    else
        snprintf(out, cap, "%s", address);
}

err_t node_console_open(struct env *env, struct logger *log, struct script_host *scripts,
                        const struct node_console_config *config, struct node_console **ret,
                        struct err *e)
{
    struct node_console *c = calloc(1, sizeof *c);
    if (c == NULL)
        abort();
    c->env = env;
    c->log = log;
    c->reaper.fire = reap;
    c->scripts = scripts;
    c->handlers[0] = (struct net_handler){ NET_CONSOLE_EVAL, "ConsoleEval", handle_eval, c, false };
    c->handlers[1] =
        (struct net_handler){ NET_CONSOLE_COMPLETE, "ConsoleComplete", handle_complete, c, false };
    struct net_server_config server = {
        .address = config->address,
        .limits = {
            .frame_max = 8 << 20,
            /* Some more than sessions: who comes too late is told so by the script host. */
            .connections_max = 256 + MORE_CONNECTIONS,
            .inflight_max = 4,
            .inflight_bytes_max = 32 << 20,
            .backlog_max = 32 << 20,
            .hello_ms = 5000,
            .slow_ms = 30000,
            .idle_ms = config->idle_ms,
        },
        .handlers = c->handlers,
        .handler_count = 2,
        .cluster_id = config->cluster_id,
        .node_id = config->node_id,
        .identity = "flotilla/" FLOTILLA_VERSION,
        .admit = admit,
        .admit_user = c,
    };
    err_t rc = net_server_open(env, log, &server, &c->server, e);
    if (rc != ERR_OK) {
        free(c);
        return rc;
    }
    net_server_on_disconnect(c->server, connection_ended, c);
    make_absolute(c->address, sizeof c->address, net_server_address(c->server));
    *ret = c;
    return ERR_OK;
}

const char *node_console_address(const struct node_console *c)
{
    return c->address;
}

void node_console_close(struct node_console *c)
{
    if (c == NULL)
        return;
    while (c->sessions != NULL)
        end_session(c->sessions); /* what runs answers CANCELLED */
    env_timer_stop(c->env, &c->reaper);
    net_server_on_disconnect(c->server, NULL, NULL); /* connections end later than we do */
    net_server_close(c->server);
    free(c);
}
