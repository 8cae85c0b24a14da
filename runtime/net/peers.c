/* Stores, messages and calls: what waits for a connection, and how each of them ends.
 *
 *   send --> queue --given--> stream --written--> left            a message is counted until it has left
 *                |               |
 *                '--- lose ------'--> dropped, `unreachable`      a call that was not given was not sent
 *
 * 1. Nothing waits while there is no attempt: what is asked for in a pause is refused at once, but remembered, so that
 *    the pause ends in an attempt.
 * 2. Callbacks are called from the loop (a timer without delay) or from what came over the wire, never from inside of
 *    a call of their user; so every list here may be walked without fear. */
#include "peers_int.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint64_t ms = 1000000;

/* ---- Frames ------------------------------------------------------------------------------------------------- */

struct net_peers_frame *net_peers_frame_new(struct net_peers *p, enum net_frame_kind kind,
                                            uint16_t method, uint64_t id)
{
    struct list *node = list_pop_front(&p->pool);
    struct net_peers_frame *f;
    if (node != NULL) {
        f = container_of(node, struct net_peers_frame, link);
        p->pooled--;
    } else if ((f = calloc(1, sizeof *f)) == NULL) {
        abort(); /* small; limited by messages_max and calls_max */
    }
    struct buf room = buf_take(&f->body);
    *f = (struct net_peers_frame){ .kind = kind, .method = method, .id = id, .body = room };
    buf_clear(&f->body);
    list_init(&f->link);
    return f;
}

void net_peers_frame_free(struct net_peers *p, struct net_peers_frame *f)
{
    list_remove(&f->link);
    if (f->body.cap > PEERS_BODY_KEPT)
        buf_free(&f->body);
    if (p->pooled >= PEERS_FRAMES_KEPT) {
        buf_free(&f->body);
        free(f);
        return;
    }
    p->pooled++;
    list_push_front(&p->pool, &f->link);
}

void net_peers_frame_uncount(struct net_peers_store *s, struct net_peers_frame *f)
{
    if (!f->counted)
        return;
    f->counted = false;
    if (f->kind == NET_FRAME_PUSH) {
        s->messages--;
        s->message_bytes -= f->body.len;
    } else {
        s->call_bytes -= f->body.len;
    }
}

/* Back into the pool with a frame that waits. */
static void drop_frame(struct net_peers_store *s, struct net_peers_frame *f)
{
    s->dropped += f->kind == NET_FRAME_PUSH;
    net_peers_frame_uncount(s, f);
    if (f->call != NULL)
        f->call->frame = NULL;
    net_peers_frame_free(s->peers, f);
}

void net_peers_left(struct net_peers_store *s, const struct net_peers_frame *f)
{
    if (f->kind != NET_FRAME_PUSH)
        return;
    s->sent++;
    s->sent_bytes += f->body.len;
    s->told = false;
}

/* ---- What is told later -------------------------------------------------------------------------------------- */

static void kick(struct net_peers *p)
{
    if (!p->closing && !env_timer_active(&p->kick))
        env_timer_start(p->env, &p->kick, 0);
}

static void tell_lost(struct net_peers_store *s)
{
    if (s->told)
        return;
    s->told = true;
    if (s->peers->unreachable == NULL || list_linked(&s->tell))
        return;
    list_push_back(&s->peers->tell, &s->tell);
    kick(s->peers);
}

static void end_over(struct net_peers *p)
{
    while (!list_empty(&p->over)) {
        struct net_peer_call *call =
            container_of(list_pop_front(&p->over), struct net_peer_call, link);
        call->done(call, call->rc, (struct bytes){ 0 });
    }
}

static void kicked(struct env_timer *timer)
{
    struct net_peers *p = container_of(timer, struct net_peers, kick);
    while (!list_empty(&p->tell)) {
        struct net_peers_store *s =
            container_of(list_pop_front(&p->tell), struct net_peers_store, tell);
        p->unreachable(p->user, s->id); /* may remove it */
    }
    end_over(p);
}

/* ---- Calls -------------------------------------------------------------------------------------------------- */

/* Takes a call out of everything: it is its caller's again. */
static void forget_call(struct net_peer_call *call)
{
    struct net_peers_store *s = call->store;
    map_remove_u64(&call->peers->calls, call->id);
    env_timer_stop(call->peers->env, &call->timer);
    list_remove(&call->link);
    s->call_count--;
    if (call->frame != NULL) {
        call->frame->call = NULL;
        if (call->frame->conn == NULL)
            drop_frame(s, call->frame);
    }
    call->frame = NULL;
    call->store = NULL;
}

static bool is_sent(const struct net_peer_call *call)
{
    return call->frame == NULL || call->frame->conn != NULL;
}

static void call_over(struct net_peer_call *call, err_t rc)
{
    struct net_peers *p = call->peers;
    if (call->store != NULL)
        forget_call(call);
    call->rc = rc;
    list_push_back(&p->over, &call->link);
    kick(p);
}

static void call_late(struct env_timer *timer)
{
    struct net_peer_call *call = container_of(timer, struct net_peer_call, timer);
    bool sent = is_sent(call);
    forget_call(call);
    call->done(call, sent ? ERR_UNDETERMINED : ERR_DEADLINE_EXCEEDED, (struct bytes){ 0 });
}

bool net_peers_answer(struct net_peers_store *s, const struct net_frame *f)
{
    struct net_peer_call *call = map_get_u64(&s->peers->calls, f->request_id);
    if (call == NULL)
        return true; /* cancelled, or too late */
    if (call->store != s || call->method != f->method || !is_sent(call))
        return false;
    forget_call(call);
    call->done(call, ERR_OK, f->body);
    return true;
}

void net_peers_too_large(struct net_peers_store *s, struct net_peers_frame *f)
{
    logger_error(s->peers->log, "a frame is larger than a store takes",
                 logger_each(logger_u64("store", s->id)), logger_u64("method", f->method),
                 logger_u64("bytes", f->body.len));
    if (f->call != NULL) {
        call_over(f->call, ERR_TOO_LARGE);
        return;
    }
    drop_frame(s, f);
    tell_lost(s);
}

/* ---- Attempts and their ends --------------------------------------------------------------------------------- */

static void want(struct net_peers_store *s)
{
    s->wanted = true;
    if (s->state == NET_PEER_IDLE)
        peers_conn_start(s);
    else if (s->state == NET_PEER_READY)
        peers_conn_give(s->conn);
}

/* From half of it to all of it. */
static uint64_t draw_pause(struct net_peers_store *s)
{
    const struct net_peers_limits *l = &s->peers->limits;
    uint64_t pause = l->pause_least_ms;
    for (unsigned i = 1; i < s->failures && pause < l->pause_most_ms; i++)
        pause *= 2;
    if (pause > l->pause_most_ms)
        pause = l->pause_most_ms;
    pause *= ms;
    return pause - env_random_u64(s->peers->env) % (pause / 2 + 1);
}

/* Ends all that is under way and lets the connection go. */
static void drop_all(struct net_peers_store *s, err_t sent)
{
    struct net_peers *p = s->peers;
    while (!list_empty(&s->calls)) {
        struct net_peer_call *call = container_of(s->calls.next, struct net_peer_call, link);
        call_over(call, is_sent(call) ? sent : ERR_UNAVAILABLE);
    }
    while (!list_empty(&s->queue))
        drop_frame(s, container_of(s->queue.next, struct net_peers_frame, link));
    if (s->conn != NULL)
        peers_conn_let_go(s->conn);
    s->dropped += s->messages; /* given, and perhaps on their way: nobody will know */
    s->messages = 0;
    s->message_bytes = s->call_bytes = 0;
    env_timer_stop(p->env, &s->timer);
    if (s->carried)
        tell_lost(s);
    s->carried = false;
}

void net_peers_lose(struct net_peers_store *s, err_t sent)
{
    struct net_peers *p = s->peers;
    bool was_ready = s->state == NET_PEER_READY;
    if (strcmp(s->complaint, s->why) != 0) /* once for a row of attempts that end alike */
        logger_warn(p->log, "a store cannot be reached", logger_each(logger_u64("store", s->id)),
                    logger_text("address", s->address), logger_text("reason", s->why));
    memcpy(s->complaint, s->why, sizeof s->complaint);
    s->lost++;
    s->failures++;
    drop_all(s, sent);
    s->state = NET_PEER_PAUSED;
    s->wanted = s->wanted || was_ready; /* whoever was talking to it will want to go on */
    env_timer_start(p->env, &s->timer, draw_pause(s));
}

static void store_timer(struct env_timer *timer)
{
    struct net_peers_store *s = container_of(timer, struct net_peers_store, timer);
    switch (s->state) {
    case NET_PEER_CONNECTING:
    case NET_PEER_HELLO:
        snprintf(s->why, sizeof s->why, "no %s within %u ms",
                 s->state == NET_PEER_HELLO ? "answer to hello" : "connection",
                 (unsigned)s->peers->limits.connect_ms);
        net_peers_lose(s, ERR_UNDETERMINED);
        break;
    case NET_PEER_READY:
        peers_conn_look(s->conn);
        break;
    default:
        s->state = NET_PEER_IDLE;
        if (s->wanted)
            peers_conn_start(s);
    }
}

/* ---- The stores ---------------------------------------------------------------------------------------------- */

static struct net_peers_store *find(const struct net_peers *p, uint64_t store)
{
    return map_get_u64(&p->stores, store);
}

static struct net_peers_store *store_new(struct net_peers *p, uint64_t id)
{
    struct net_peers_store *s = calloc(1, sizeof *s);
    if (s == NULL || map_put_u64(&p->stores, id, s, NULL) != ERR_OK)
        abort(); /* small, and as many as the cluster has */
    s->peers = p;
    s->id = id;
    s->timer.fire = store_timer;
    list_init(&s->queue);
    list_init(&s->calls);
    list_init(&s->tell);
    return s;
}

void net_peers_set(struct net_peers *p, uint64_t store, const char *address)
{
    assert(!p->closing && store != 0 && store != p->node_id);
    assert(strlen(address) < PEERS_ADDRESS_MAX);
    struct net_peers_store *s = find(p, store);
    if (s == NULL)
        s = store_new(p, store);
    if (strcmp(s->address, address) == 0)
        return;
    bool wanted = s->wanted || (s->state != NET_PEER_IDLE && s->state != NET_PEER_PAUSED);
    drop_all(s, ERR_UNDETERMINED);
    snprintf(s->address, sizeof s->address, "%s", address);
    s->why[0] = '\0';
    s->failures = 0;
    s->complaint[0] = '\0';
    s->wanted = false;
    s->state = NET_PEER_IDLE;
    if (wanted)
        want(s);
}

static void store_free(struct net_peers_store *s)
{
    drop_all(s, ERR_UNDETERMINED);
    list_remove(&s->tell);
    map_remove_u64(&s->peers->stores, s->id);
    free(s);
}

void net_peers_remove(struct net_peers *p, uint64_t store)
{
    struct net_peers_store *s = find(p, store);
    if (s != NULL)
        store_free(s);
}

/* ---- Sending ------------------------------------------------------------------------------------------------- */

static void enqueue(struct net_peers_store *s, struct net_peers_frame *f)
{
    f->counted = true;
    list_push_back(&s->queue, &f->link);
    want(s);
}

static bool has_room(const struct net_peers_store *s, size_t bytes)
{
    const struct net_peers_limits *l = &s->peers->limits;
    return s->messages < l->messages_max && bytes <= l->message_bytes_max &&
           s->message_bytes <= l->message_bytes_max - bytes;
}

void net_peers_send(struct net_peers *p, uint64_t store, uint16_t method, struct buf *body)
{
    struct net_peers_store *s = p->closing ? NULL : find(p, store);
    bool fits = body->len <= NET_FRAME_MAX - NET_FRAME_HEADER;
    if (s != NULL && !fits)
        logger_error(p->log, "a message is larger than a frame", logger_u64("store", store),
                     logger_u64("bytes", body->len));
    if (s == NULL || !fits || s->state == NET_PEER_PAUSED || !has_room(s, body->len)) {
        buf_free(body);
        if (s == NULL)
            return;
        s->wanted = true;
        s->dropped++;
        tell_lost(s);
        return;
    }
    struct net_peers_frame *f = net_peers_frame_new(p, NET_FRAME_PUSH, method, 0);
    buf_free(&f->body);
    f->body = buf_take(body);
    s->messages++;
    s->message_bytes += f->body.len;
    s->carried = true;
    enqueue(s, f);
}

static err_t refusal(struct net_peers *p, struct net_peers_store *s, const struct net_peer_call *c)
{
    const struct net_peers_limits *l = &p->limits;
    if (c->body.len > NET_FRAME_MAX - NET_FRAME_HEADER)
        return ERR_TOO_LARGE;
    if (s == NULL || p->closing)
        return ERR_UNAVAILABLE;
    if (c->deadline <= env_now(p->env))
        return ERR_DEADLINE_EXCEEDED;
    if (s->state == NET_PEER_PAUSED) {
        s->wanted = true;
        return ERR_UNAVAILABLE;
    }
    if (s->call_count >= l->calls_max || c->body.len > l->call_bytes_max ||
        s->call_bytes > l->call_bytes_max - c->body.len)
        return ERR_SERVER_IS_BUSY;
    return ERR_OK;
}

void net_peers_call(struct net_peers *p, uint64_t store, struct net_peer_call *call)
{
    struct net_peers_store *s = find(p, store);
    call->peers = p;
    call->store = NULL;
    call->frame = NULL;
    call->timer = (struct env_timer){ .fire = call_late };
    call->id = ++p->next_id;
    list_init(&call->link);
    err_t rc = refusal(p, s, call);
    if (rc == ERR_OK && map_put_u64(&p->calls, call->id, call, NULL) != ERR_OK)
        rc = ERR_SERVER_IS_BUSY;
    if (rc != ERR_OK) {
        call_over(call, rc);
        return;
    }
    struct net_peers_frame *f = net_peers_frame_new(p, NET_FRAME_REQUEST, call->method, call->id);
    if (buf_append(&f->body, call->body) != ERR_OK)
        abort(); /* limited by call_bytes_max */
    f->call = call;
    call->frame = f;
    call->store = s;
    call->body = (struct bytes){ 0 }; /* a copy travels */
    list_push_back(&s->calls, &call->link);
    s->call_count++;
    s->call_bytes += f->body.len;
    if (call->deadline != UINT64_MAX)
        env_timer_start(p->env, &call->timer, call->deadline - env_now(p->env));
    enqueue(s, f);
}

bool net_peers_cancel(struct net_peer_call *call)
{
    struct net_peers_store *s = call->store;
    if (s == NULL) { /* over: only `done` was to come */
        list_remove(&call->link);
        return call->rc == ERR_UNDETERMINED;
    }
    bool sent = is_sent(call);
    forget_call(call);
    if (sent)
        peers_conn_say(s->conn, net_peers_frame_new(s->peers, NET_FRAME_CANCEL, 0, call->id));
    return sent;
}

/* ---- Opening and closing -------------------------------------------------------------------------------------- */

static void fill_limits(struct net_peers_limits *l)
{
    static const struct net_peers_limits usual = {
        .messages_max = 4096,
        .message_bytes_max = 64u << 20,
        .calls_max = 1024,
        .call_bytes_max = 64u << 20,
        .connect_ms = 3000,
        .pause_least_ms = 50,
        .pause_most_ms = 3000,
        .ping_ms = 2000,
        .silent_ms = 10000,
    };
#define USUAL(field) l->field = l->field != 0 ? l->field : usual.field
    USUAL(messages_max);
    USUAL(message_bytes_max);
    USUAL(calls_max);
    USUAL(call_bytes_max);
    USUAL(connect_ms);
    USUAL(pause_least_ms);
    USUAL(pause_most_ms);
    USUAL(ping_ms);
    USUAL(silent_ms);
#undef USUAL
}

err_t net_peers_open(struct env *env, struct logger *log, const struct net_peers_config *config,
                     struct net_peers **ret, struct err *e)
{
    assert(config->node_id != 0 && config->cluster_id.len > 0);
    struct net_peers *p = calloc(1, sizeof *p);
    if (p == NULL || buf_append(&p->cluster_id, config->cluster_id) != ERR_OK ||
        buf_append(&p->identity, BYTES(config->identity)) != ERR_OK) {
        if (p != NULL)
            buf_free(&p->cluster_id);
        free(p);
        return err_set(e, ERR_NOMEM, "no memory for the connections to other stores");
    }
    p->env = env;
    p->log = log;
    p->limits = config->limits;
    fill_limits(&p->limits);
    p->node_id = config->node_id;
    p->incarnation = config->incarnation;
    p->unreachable = config->unreachable;
    p->user = config->user;
    p->kick.fire = kicked;
    map_init(&p->stores, env_random_u64(env));
    map_init(&p->calls, env_random_u64(env));
    list_init(&p->over);
    list_init(&p->tell);
    list_init(&p->pool);
    *ret = p;
    return ERR_OK;
}

void net_peers_free_if_done(struct net_peers *p)
{
    if (!p->closing || p->conns > 0)
        return;
    while (!list_empty(&p->pool)) {
        struct net_peers_frame *f =
            container_of(list_pop_front(&p->pool), struct net_peers_frame, link);
        buf_free(&f->body);
        free(f);
    }
    map_free(&p->stores);
    map_free(&p->calls);
    buf_free(&p->cluster_id);
    buf_free(&p->identity);
    free(p);
}

void net_peers_close(struct net_peers *p)
{
    if (p == NULL)
        return;
    assert(!p->closing);
    p->conns++; /* not before the end of this function */
    p->closing = true;
    env_timer_stop(p->env, &p->kick);
    size_t cursor = 0;
    for (struct map_entry *at; (at = map_next(&p->stores, &cursor)) != NULL; cursor = 0)
        store_free(at->value);
    end_over(p);
    assert(list_empty(&p->tell) && p->calls.count == 0);
    p->conns--;
    net_peers_free_if_done(p);
}

/* ---- What is seen --------------------------------------------------------------------------------------------- */

const char *net_peer_state_name(enum net_peer_state state)
{
    static const char *const names[] = { [NET_PEER_IDLE] = "idle",
                                         [NET_PEER_CONNECTING] = "connecting",
                                         [NET_PEER_HELLO] = "hello",
                                         [NET_PEER_READY] = "ready",
                                         [NET_PEER_PAUSED] = "paused" };
    return names[state];
}

bool net_peers_status(const struct net_peers *p, uint64_t store, struct net_peer_status *ret)
{
    const struct net_peers_store *s = find(p, store);
    if (s == NULL)
        return false;
    *ret = (struct net_peer_status){
        .state = s->state,
        .address = s->address,
        .messages = s->messages,
        .calls = s->call_count,
        .message_bytes = s->message_bytes,
        .sent = s->sent,
        .sent_bytes = s->sent_bytes,
        .dropped = s->dropped,
        .connected = s->connected,
        .lost = s->lost,
        .why = s->why,
    };
    return true;
}
