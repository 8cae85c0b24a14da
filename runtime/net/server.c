/* The server: what holds all connections together.
 *
 *   listener -> conns          one turn hook writes what the turn has gathered, one connection after the other
 *                              one wheel asks connections about their deadlines
 *                              one slab pool lends them memory
 *
 * 1. Every limit over all connections is kept here or in call.c; a connection alone keeps its own.
 * 2. After net_server_close() nothing is read or answered any more; memory goes with the last call. */
#include "net_int.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

enum { SLABS_IDLE = 8 * 1024 * 1024 };

static void server_free(struct net_server *s)
{
    while (!list_empty(&s->idle_calls))
        free(container_of(list_pop_front(&s->idle_calls), struct net_call, link));
    slab_unref(s->shared);
    slab_pool_free(s->slabs);
    buf_free(&s->cluster_id);
    buf_free(&s->identity);
    free(s);
}

void net_server_kick(struct net_server *s)
{
    if (!env_timer_active(&s->kick) && !s->closing)
        env_timer_start(s->env, &s->kick, 0);
}

const struct net_handler *net_server_handler(const struct net_server *s, uint16_t method)
{
    for (size_t i = 0; i < s->handler_count; i++)
        if (s->handlers[i].method == method)
            return &s->handlers[i];
    return NULL;
}

void net_server_forget(struct net_conn *c)
{
    struct net_server *s = c->server;
    list_remove(&c->link);
    s->stats.connections--;
    if (list_empty(&s->conns))
        env_timer_stop(s->env, &s->tick);
    free(c);
    if (s->closing && list_empty(&s->conns))
        server_free(s);
    else if (s->draining)
        net_server_kick(s);
}

/* ---- Turns and deadlines ------------------------------------------------------------------------------------ */

static void flush_dirty(struct net_server *s)
{
    while (!list_empty(&s->dirty))
        net_out_flush(container_of(s->dirty.next, struct net_conn, dirty));
}

static void check_drained(struct net_server *s)
{
    if (!s->draining || s->drained == NULL || s->stats.inflight > 0 || s->unsent > 0)
        return;
    void (*drained)(void *user) = s->drained;
    s->drained = NULL;
    drained(s->drained_user);
}

/* Every turn's end. What a hook behind ours gathers is seen by the timer, at once in the next turn. */
static void turn_end(struct env_turn *turn)
{
    struct net_server *s = container_of(turn, struct net_server, turn);
    flush_dirty(s);
    if (list_empty(&s->ready) && !s->draining)
        env_timer_stop(s->env, &s->kick);
}

static void kicked(struct env_timer *timer)
{
    struct net_server *s = container_of(timer, struct net_server, kick);
    struct list ready;
    list_init(&ready);
    list_splice(&ready, &s->ready);
    while (!list_empty(&ready))
        net_conn_go_on(container_of(ready.next, struct net_conn, ready), env_now(s->env));
    flush_dirty(s);
    check_drained(s);
}

static void visit(void *user, struct list *node)
{
    struct net_server *s = user;
    struct net_conn *c = container_of(node, struct net_conn, wheel);
    uint64_t due = net_conn_judge(c, env_now(s->env));
    if (due != 0)
        net_wheel_put(&s->wheel, node, due);
}

static void tick(struct env_timer *timer)
{
    struct net_server *s = container_of(timer, struct net_server, tick);
    net_wheel_advance(&s->wheel, env_now(s->env), visit, s);
    if (!list_empty(&s->conns))
        env_timer_start(s->env, &s->tick, s->wheel.tick_ns);
}

/* ---- Accepting ---------------------------------------------------------------------------------------------- */

static void refuse(struct net_conn *c, err_t rc, const char *message)
{
    c->server->stats.refused++;
    net_hello_refuse(c, rc, message);
}

static void accepted(void *user, struct env_stream *stream)
{
    struct net_server *s = user;
    struct env_peer peer = { 0 };
    bool welcome = true;
    if (s->admit != NULL) {
        env_stream_peer(stream, &peer);
        welcome = s->admit(s->admit_user, &peer);
    }
    if (list_empty(&s->conns)) {
        net_wheel_init(&s->wheel, s->wheel.tick_ns, env_now(s->env));
        env_timer_start(s->env, &s->tick, s->wheel.tick_ns);
    }
    struct net_conn *c = net_conn_new(s, stream);
    if (c == NULL) {
        logger_warn(s->log, "no memory for a connection");
        return;
    }
    s->stats.connections++;
    s->stats.accepted++;
    char text[160];
    if (!welcome) {
        logger_warn(s->log, "a connection was not admitted", logger_text("peer", peer.address),
                    logger_u64("uid", peer.uid));
        refuse(c, ERR_PERMISSION_DENIED,
               "you may not connect here; ask for the right user or address");
    } else if (s->stats.connections > s->limits.connections_max) {
        snprintf(text, sizeof text,
                 "the node has its limit of %u connections; close some, or raise connections_max",
                 (unsigned)s->limits.connections_max);
        logger_warn(s->log, "too many connections",
                    logger_u64("connections_max", s->limits.connections_max));
        refuse(c, ERR_RESOURCE_EXHAUSTED, text);
    }
}

/* ---- The face ----------------------------------------------------------------------------------------------- */

static err_t check_config(const struct net_server_config *config, struct err *e)
{
    const struct net_limits *l = &config->limits;
    if (l->frame_max < NET_FRAME_MAX_UNKNOWN || l->frame_max > NET_FRAME_MAX)
        return err_set(e, ERR_INVALID_ARGUMENT, "frame_max is %u; choose %d to %d bytes",
                       (unsigned)l->frame_max, (int)NET_FRAME_MAX_UNKNOWN, (int)NET_FRAME_MAX);
    if (l->inflight_bytes_max < l->frame_max)
        return err_set(e, ERR_INVALID_ARGUMENT,
                       "inflight_bytes_max is %llu, less than one frame of frame_max %u bytes",
                       (unsigned long long)l->inflight_bytes_max, (unsigned)l->frame_max);
    if (l->connections_max == 0 || l->inflight_max == 0 || l->backlog_max == 0 ||
        l->hello_ms == 0 || l->idle_ms == 0 || l->slow_ms == 0)
        return err_set(e, ERR_INVALID_ARGUMENT,
                       "a limit of the network is 0; each needs a positive value");
    for (size_t i = 0; i < config->handler_count; i++) {
        assert(config->handlers[i].handle != NULL && config->handlers[i].method != NET_HELLO);
        for (size_t k = 0; k < i; k++)
            assert(config->handlers[i].method != config->handlers[k].method);
    }
    return ERR_OK;
}

static err_t server_new(struct env *env, struct logger *log, const struct net_server_config *config,
                        struct net_server **ret)
{
    struct net_server *s = calloc(1, sizeof *s);
    if (s == NULL)
        return ERR_NOMEM;
    s->env = env;
    s->log = log;
    s->limits = config->limits;
    s->handlers = config->handlers;
    s->handler_count = config->handler_count;
    s->node_id = config->node_id;
    s->admit = config->admit;
    s->admit_user = config->admit_user;
    s->push = config->push;
    s->push_user = config->push_user;
    s->turn.run = turn_end;
    s->kick.fire = kicked;
    s->tick.fire = tick;
    list_init(&s->conns);
    list_init(&s->dirty);
    list_init(&s->ready);
    list_init(&s->idle_calls);
    net_wheel_init(&s->wheel, NET_TICK_MS * 1000000u, env_now(env));
    s->slabs = slab_pool_new(SLABS_IDLE);
    if (s->slabs == NULL || buf_append(&s->cluster_id, config->cluster_id) != ERR_OK ||
        buf_append(&s->identity, BYTES(config->identity)) != ERR_OK) {
        server_free(s);
        return ERR_NOMEM;
    }
    *ret = s;
    return ERR_OK;
}

err_t net_server_open(struct env *env, struct logger *log, const struct net_server_config *config,
                      struct net_server **ret, struct err *e)
{
    struct net_server *s;
    err_t rc = check_config(config, e);
    if (rc != ERR_OK)
        return rc;
    rc = server_new(env, log, config, &s);
    if (rc != ERR_OK)
        return err_set(e, rc, "no memory for a server on %s", config->address);
    rc = env_listen(env, config->address, accepted, s, &s->listener, e);
    if (rc != ERR_OK) {
        server_free(s);
        return err_wrap(e, rc, "could not listen on %s", config->address);
    }
    env_turn_add(env, &s->turn);
    *ret = s;
    return ERR_OK;
}

const char *net_server_address(const struct net_server *server)
{
    return env_listener_address(server->listener);
}

void net_server_drain(struct net_server *server, void (*drained)(void *user), void *user)
{
    env_listener_close(server->listener);
    server->listener = NULL;
    server->draining = true;
    server->drained = drained;
    server->drained_user = user;
    net_server_kick(server);
}

void net_server_part(struct net_server *server)
{
    assert(server->draining && server->stats.inflight == 0);
    list_for_each_safe(node, &server->conns) {
        struct net_conn *c = container_of(node, struct net_conn, link);
        if (c->state == NET_CONN_OPEN)
            net_hello_refuse(c, ERR_UNAVAILABLE,
                             "the node is stopping; what it has not answered was not done");
    }
}

void net_server_close(struct net_server *server)
{
    if (server == NULL)
        return;
    assert(!server->closing);
    env_listener_close(server->listener);
    server->listener = NULL;
    env_turn_remove(server->env, &server->turn);
    env_timer_stop(server->env, &server->kick);
    env_timer_stop(server->env, &server->tick);
    list_for_each(node, &server->conns) {
        net_conn_close(container_of(node, struct net_conn, link));
    }
    server->closing = true;
    env_timer_stop(server->env,
                   &server->kick); /* a late answer of a cancelled call may have set it */
    if (list_empty(&server->conns))
        server_free(server);
}

void net_server_on_disconnect(struct net_server *server,
                              void (*ended)(void *user, uint64_t connection), void *user)
{
    server->on_disconnect = ended;
    server->on_disconnect_user = user;
}

void net_server_stats(const struct net_server *server, struct net_stats *ret)
{
    *ret = server->stats;
}
