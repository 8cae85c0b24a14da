/* Connections, pipelining, retries, deadlines of one simulated client (client.h has the picture). */
#include "sim_cluster/client.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/pb.h"
#include "net/frame.h"
#include "net/method.h"

#define MS UINT64_C(1000000)
static const uint64_t connect_patience = 1000 * MS, rest_least = 50 * MS, rest_most = 400 * MS;

enum { ROOM = 8192, NAMESPACE = 1 };

enum conn_state {
    CONN_IDLE,
    CONN_CONNECTING,
    CONN_HELLO,
    CONN_READY,
    CONN_CLOSING, /* until the stream says that it is gone */
    CONN_RESTING, /* it failed: not at once again */
};

struct conn {
    struct sim_client *client;
    unsigned index;
    char address[SIM_CLIENT_ADDRESS_MAX];
    enum conn_state state;
    struct env_connect connect;
    struct env_stream *stream;
    struct env_timer timer; /* of connecting and hello; of the rest */
    struct buf in;
    struct list sent;   /* operations */
    struct list writes; /* struct outgoing */
    uint64_t heard;     /* env_now() of the last bytes */
};

struct outgoing {
    struct env_write write;
    struct list link;
    struct buf bytes;
};

struct sim_client {
    struct env *env;
    struct prng prng;
    struct conn conns[SIM_CLIENT_ENDPOINTS_MAX];
    unsigned count, leader;
    struct list waiting;
    bool stopped;
    uint64_t next_id;
    struct sim_client_counts counts;
};

static void pump(struct sim_client *c);

const char *sim_client_kind_name(enum sim_client_kind kind)
{
    static const char *const names[] = { "put",     "delete",     "get", "cas",
                                         "cas_get", "cas_delete", "tso" };
    return names[kind];
}

unsigned sim_client_leader(const struct sim_client *c)
{
    return c->leader;
}

void sim_client_prefer(struct sim_client *c, unsigned endpoint)
{
    assert(endpoint < c->count);
    c->leader = endpoint;
}

const struct sim_client_counts *sim_client_counts(const struct sim_client *c)
{
    return &c->counts;
}

/* ---- Ends of operations ------------------------------------------------------------------------------------- */

static void op_end(struct sim_client_op *op, enum sim_client_outcome outcome)
{
    list_remove(&op->link);
    env_timer_stop(op->client->env, &op->deadline);
    env_timer_stop(op->client->env, &op->pause);
    op->outcome = outcome;
    op->done(op);
}

/* What is sent and will not be answered: a write is in doubt, anything else was asked for nothing. */
static void op_unanswered(struct sim_client_op *op)
{
    op_end(op, sim_client_kind_writes(op->kind) ? SIM_CLIENT_UNDETERMINED : SIM_CLIENT_NOT_DONE);
}

/* It was not done: once more, after a pause. */
static void op_again(struct sim_client_op *op, uint64_t least, uint64_t most)
{
    struct sim_client *c = op->client;
    list_remove(&op->link);
    op->sent = false;
    c->counts.retries++;
    if (op->again != NULL)
        op->again(op);
    env_timer_start(c->env, &op->pause, prng_range(&c->prng, least, most));
}

static void op_pause_over(struct env_timer *timer)
{
    struct sim_client_op *op = container_of(timer, struct sim_client_op, pause);
    list_push_back(&op->client->waiting, &op->link);
    pump(op->client);
}

/* ---- Connections -------------------------------------------------------------------------------------------- */

static void rotate(struct sim_client *c, const struct conn *from)
{
    if (c->leader == from->index)
        c->leader = (c->leader + 1) % c->count;
}

/* What was under way on it: writes are in doubt unless the server has said otherwise; reads are asked again. */
static void conn_ops_end(struct conn *conn, bool not_done)
{
    while (!list_empty(&conn->sent)) {
        struct sim_client_op *op = container_of(conn->sent.next, struct sim_client_op, link);
        op->code = not_done ? ERR_UNAVAILABLE : 0;
        if (not_done || !sim_client_kind_writes(op->kind))
            op_again(op, 1 * MS, 20 * MS);
        else
            op_unanswered(op);
    }
}

static void conn_rest(struct conn *conn)
{
    struct sim_client *c = conn->client;
    conn->state = CONN_RESTING;
    buf_clear(&conn->in);
    env_timer_start(c->env, &conn->timer, prng_range(&c->prng, rest_least, rest_most));
    rotate(c, conn);
    pump(c);
}

static void conn_drop(struct conn *conn, bool not_done)
{
    struct sim_client *c = conn->client;
    assert(conn->state == CONN_HELLO || conn->state == CONN_READY);
    conn->state = CONN_CLOSING;
    c->counts.drops++;
    env_timer_stop(c->env, &conn->timer);
    env_stream_close(conn->stream);
    rotate(c, conn);
    conn_ops_end(conn, not_done);
    pump(c);
}

static void conn_timer(struct env_timer *timer)
{
    struct conn *conn = container_of(timer, struct conn, timer);
    if (conn->state == CONN_CONNECTING) {
        env_connect_cancel(conn->client->env, &conn->connect); /* then it rests */
    } else if (conn->state == CONN_HELLO) {
        conn_drop(conn, false);
    } else if (conn->state == CONN_RESTING) {
        conn->state = CONN_IDLE;
        pump(conn->client);
    }
}

/* ---- Out ---------------------------------------------------------------------------------------------------- */

static void outgoing_done(struct env_write *write, err_t rc)
{
    struct outgoing *o = container_of(write, struct outgoing, write);
    (void)rc; /* a broken stream says so by `read` */
    list_remove(&o->link);
    buf_free(&o->bytes);
    free(o);
}

static void conn_send(struct conn *conn, const struct net_frame *f)
{
    struct outgoing *o = calloc(1, sizeof *o);
    if (o == NULL || net_frame_append(&o->bytes, f) != ERR_OK)
        abort();
    o->write.done = outgoing_done;
    list_push_back(&conn->writes, &o->link);
    struct bytes iov = buf_bytes(&o->bytes);
    env_stream_write(conn->stream, &iov, 1, &o->write);
}

static void encode(const struct sim_client_op *op, struct buf *body)
{
    if (op->kind == SIM_CLIENT_TSO) {
        pb_append_u64(body, 1, op->count);
        return;
    }
    pb_append_u64(body, 2, NAMESPACE);
    pb_append_bytes(body, 3, op->key);
    if (op->kind == SIM_CLIENT_PUT)
        pb_append_bytes(body, 4, op->value);
    if (op->kind == SIM_CLIENT_CAS) {
        pb_append_u64(body, 4, op->expected);
        pb_append_bytes(body, 5, op->value);
    }
    if (op->kind == SIM_CLIENT_CAS_DELETE && op->conditional) {
        pb_append_u64(body, 4, 1);
        pb_append_u64(body, 5, op->expected);
    }
}

static void send_op(struct conn *conn, struct sim_client_op *op)
{
    static const uint16_t methods[] = {
        [SIM_CLIENT_PUT] = NET_RAW_PUT,     [SIM_CLIENT_DELETE] = NET_RAW_DELETE,
        [SIM_CLIENT_GET] = NET_RAW_GET,     [SIM_CLIENT_CAS] = NET_CAS,
        [SIM_CLIENT_CAS_GET] = NET_CAS_GET, [SIM_CLIENT_CAS_DELETE] = NET_CAS_DELETE,
        [SIM_CLIENT_TSO] = NET_GET_TSO,
    };
    struct sim_client *c = conn->client;
    struct buf body = { 0 };
    uint64_t now = env_now(c->env);
    encode(op, &body);
    op->id = ++c->next_id;
    op->sent = true;
    op->sent_at = now;
    op->endpoint = conn->index;
    op->tries++;
    c->counts.requests++;
    list_remove(&op->link);
    list_push_back(&conn->sent, &op->link);
    uint64_t left = op->give_up > now ? (op->give_up - now) / MS : 0;
    conn_send(conn, &(struct net_frame){ .kind = NET_FRAME_REQUEST,
                                         .method = methods[op->kind],
                                         .deadline_ms = left > 0 ? (uint32_t)left : 1,
                                         .request_id = op->id,
                                         .body = buf_bytes(&body) });
    buf_free(&body);
}

/* ---- In ----------------------------------------------------------------------------------------------------- */

struct status {
    unsigned code;
    bool has_conflict, absent;
    uint64_t version;
    uint32_t backoff_ms;
    struct bytes leader; /* its address; empty: not known */
};

/* Status: code 1, conflict 3 { current_version 1, absent 2 }, backoff_ms 4, not_leader 6 { leader_address 3 } */
static bool take_status(struct bytes in, struct status *s)
{
    struct pb_field f, inner;
    *s = (struct status){ 0 };
    while (pb_next(&in, &f)) {
        if (f.number == 1)
            s->code = (unsigned)f.value;
        if (f.number == 4)
            s->backoff_ms = (uint32_t)f.value;
        s->has_conflict |= f.number == 3;
        while (f.number == 3 && pb_next(&f.bytes, &inner)) {
            if (inner.number == 1)
                s->version = inner.value;
            if (inner.number == 2)
                s->absent = inner.value != 0;
        }
        while (f.number == 6 && pb_next(&f.bytes, &inner))
            if (inner.number == 3)
                s->leader = inner.bytes;
    }
    return in.len == 0;
}

/* The fields of a response that is OK. */
static void take_answer(struct sim_client_op *op, const struct pb_field *f)
{
    bool get = op->kind == SIM_CLIENT_GET, cas_get = op->kind == SIM_CLIENT_CAS_GET;
    if ((get || cas_get) && f->number == 2)
        op->found = f->value != 0;
    if (((get && f->number == 3) || (cas_get && f->number == 4)) &&
        buf_append(&op->have, f->bytes) != ERR_OK)
        abort();
    if ((cas_get && f->number == 3) ||
        ((op->kind == SIM_CLIENT_CAS || op->kind == SIM_CLIENT_CAS_DELETE) && f->number == 2))
        op->version = f->value;
    if (op->kind == SIM_CLIENT_TSO && f->number == 2)
        op->first = f->value;
}

static void follow(struct conn *conn, struct sim_client_op *op, struct bytes leader)
{
    struct sim_client *c = conn->client;
    for (unsigned i = 0; leader.len > 0 && i < c->count; i++) {
        if (i == conn->index || !bytes_equal(leader, BYTES(c->conns[i].address)))
            continue;
        c->leader = i;
        c->counts.hints++;
        op_again(op, 0, 5 * MS);
        return;
    }
    rotate(c, conn);
    op_again(op, 20 * MS, 100 * MS);
}

static void answered(struct conn *conn, struct sim_client_op *op, const struct status *s)
{
    op->code = s->code;
    conn->client->counts.codes[s->code < 64 ? s->code : 63]++;
    switch (s->code) {
    case ERR_CONFLICT:
        op->version = s->version;
        op->absent = s->absent;
        op_end(op, s->has_conflict ? SIM_CLIENT_DONE : SIM_CLIENT_NOT_DONE);
        break;
    case ERR_OK:
    case ERR_NOT_FOUND:
        op_end(op, SIM_CLIENT_DONE);
        break;
    case ERR_NOT_LEADER:
        follow(conn, op, s->leader);
        break;
    case ERR_SERVER_IS_BUSY:
        op_again(op, (s->backoff_ms + 1) * MS, (2 * (uint64_t)s->backoff_ms + 5) * MS);
        break;
    case ERR_UNAVAILABLE:
    case ERR_EPOCH_NOT_MATCH:
    case ERR_REGION_NOT_FOUND:
    case ERR_WRITE_FENCED:
    case ERR_DISK_FULL:
        rotate(conn->client, conn);
        op_again(op, 20 * MS, 100 * MS);
        break;
    case ERR_CANCELLED:
    case ERR_INVALID_ARGUMENT:
    case ERR_DEADLINE_EXCEEDED:
    case ERR_FAILED_PRECONDITION:
    case ERR_RESOURCE_EXHAUSTED:
    case ERR_TOO_LARGE:
    case ERR_HLC_REFUSED:
    case ERR_OVERFLOW:
        op_end(op, SIM_CLIENT_NOT_DONE);
        break;
    default: /* UNDETERMINED, and whatever says nothing certain of a write */
        op_unanswered(op);
    }
}

static void take_response(struct conn *conn, const struct net_frame *frame)
{
    struct status s = { .code = ERR_INTERNAL };
    struct bytes in = frame->body;
    struct pb_field f;
    struct sim_client_op *op = NULL;
    list_for_each(at, &conn->sent) {
        struct sim_client_op *o = container_of(at, struct sim_client_op, link);
        if (o->id == frame->request_id)
            op = o;
    }
    if (op == NULL)
        return; /* it came too late: nobody waits for it */
    buf_clear(&op->have);
    bool whole = true, has_status = false;
    while (whole && pb_next(&in, &f)) {
        if (f.number == 1) {
            has_status = true;
            whole = take_status(f.bytes, &s);
        } else {
            take_answer(op, &f);
        }
    }
    if (!whole || !has_status || in.len > 0)
        s.code = ERR_INTERNAL;
    answered(conn, op, &s);
}

/* False: the connection has gone meanwhile. */
static bool take_frame(struct conn *conn, const struct net_frame *f)
{
    struct status s;
    if (f->kind == NET_FRAME_ERROR) { /* a farewell: what it has not answered, it has not done */
        bool whole = take_status(f->body, &s);
        conn_drop(conn, whole && s.code == ERR_UNAVAILABLE);
    } else if (f->kind == NET_FRAME_RESPONSE && f->method == NET_HELLO) {
        struct bytes in = f->body;
        struct pb_field field;
        bool ok = pb_next(&in, &field) && field.number == 1 && take_status(field.bytes, &s) &&
                  s.code == ERR_OK;
        if (!ok) {
            conn_drop(conn, true);
        } else if (conn->state == CONN_HELLO) {
            conn->state = CONN_READY;
            env_timer_stop(conn->client->env, &conn->timer);
            pump(conn->client);
        }
    } else if (f->kind == NET_FRAME_RESPONSE) {
        take_response(conn, f);
    }
    return conn->state == CONN_HELLO || conn->state == CONN_READY;
}

static struct env_room conn_room(void *user, size_t suggested)
{
    struct conn *conn = user;
    (void)suggested;
    uint8_t *room = buf_reserve(&conn->in, ROOM);
    if (room == NULL)
        abort();
    return (struct env_room){ room, ROOM };
}

static void conn_read(void *user, size_t len, err_t rc)
{
    struct conn *conn = user;
    (void)rc;
    if (len == 0) {
        conn_drop(conn, false);
        return;
    }
    conn->heard = env_now(conn->client->env);
    conn->in.len += len;
    size_t at = 0, size;
    struct net_frame f;
    err_t taken = ERR_OK;
    bool open = true;
    while (open && (taken = net_frame_decode(bytes_from(conn->in.data + at, conn->in.len - at),
                                             NET_FRAME_MAX, &f, &size)) == ERR_OK) {
        at += size;
        open = take_frame(conn, &f);
    }
    if (!open)
        return;
    if (taken != ERR_SHORT) { /* out of step */
        conn_drop(conn, false);
        return;
    }
    memmove(conn->in.data, conn->in.data + at, conn->in.len - at);
    conn->in.len -= at;
}

static void conn_closed(void *user)
{
    struct conn *conn = user;
    conn->stream = NULL;
    if (!conn->client->stopped)
        conn_rest(conn);
}

static const struct env_stream_ops conn_ops = { conn_room, conn_read, conn_closed };

/* ---- Connecting --------------------------------------------------------------------------------------------- */

static void conn_connected(struct env_connect *connect, err_t rc, struct env_stream *stream)
{
    struct conn *conn = container_of(connect, struct conn, connect);
    if (rc != ERR_OK) {
        env_timer_stop(conn->client->env, &conn->timer);
        conn_rest(conn);
        return;
    }
    struct buf body = { 0 };
    conn->stream = stream;
    conn->state = CONN_HELLO;
    env_stream_start(stream, &conn_ops, conn);
    pb_append_u64(&body, 1, 1); /* protocol_min, protocol_max */
    pb_append_u64(&body, 2, 1);
    conn_send(conn, &(struct net_frame){ .kind = NET_FRAME_REQUEST,
                                         .method = NET_HELLO,
                                         .request_id = 0,
                                         .body = buf_bytes(&body) });
    buf_free(&body);
}

static void conn_open(struct conn *conn)
{
    struct sim_client *c = conn->client;
    struct err e = { 0 };
    conn->state = CONN_CONNECTING;
    c->counts.connects++;
    env_timer_start(c->env, &conn->timer, connect_patience);
    err_t rc = env_connect(c->env, conn->address, &conn->connect, &e);
    assert(rc == ERR_OK); /* addresses are ours */
    (void)rc;
}

static void pump(struct sim_client *c)
{
    struct conn *conn = &c->conns[c->leader];
    if (list_empty(&c->waiting))
        return;
    if (conn->state == CONN_IDLE)
        conn_open(conn);
    while (conn->state == CONN_READY && !list_empty(&c->waiting))
        send_op(conn, container_of(c->waiting.next, struct sim_client_op, link));
}

/* ---- Asking ------------------------------------------------------------------------------------------------- */

static void op_deadline(struct env_timer *timer)
{
    struct sim_client_op *op = container_of(timer, struct sim_client_op, deadline);
    struct conn *conn = &op->client->conns[op->endpoint];
    bool silent = op->sent && conn->state == CONN_READY && conn->heard <= op->sent_at;
    if (op->sent)
        op_unanswered(op);
    else
        op_end(op, SIM_CLIENT_NOT_DONE);
    if (silent && conn->state == CONN_READY) /* nothing came since: perhaps there is nobody */
        conn_drop(conn, false);
}

void sim_client_ask(struct sim_client *c, struct sim_client_op *op)
{
    op->client = c;
    op->outcome = SIM_CLIENT_NOT_DONE;
    op->code = 0;
    op->found = op->absent = op->sent = false;
    op->version = op->first = 0;
    op->tries = 0;
    op->give_up = env_now(c->env) + op->patience_ns;
    op->deadline = (struct env_timer){ .fire = op_deadline };
    op->pause = (struct env_timer){ .fire = op_pause_over };
    env_timer_start(c->env, &op->deadline, op->patience_ns);
    list_push_back(&c->waiting, &op->link);
    pump(c);
}

struct sim_client *sim_client_new(struct env *env, uint64_t seed, const char *const *addresses,
                                  unsigned count)
{
    struct sim_client *c = calloc(1, sizeof *c);
    assert(c != NULL && count >= 1 && count <= SIM_CLIENT_ENDPOINTS_MAX);
    c->env = env;
    c->count = count;
    prng_seed(&c->prng, seed);
    list_init(&c->waiting);
    for (unsigned i = 0; i < count; i++) {
        struct conn *conn = &c->conns[i];
        conn->client = c;
        conn->index = i;
        snprintf(conn->address, sizeof conn->address, "%s", addresses[i]);
        conn->connect.done = conn_connected;
        conn->timer.fire = conn_timer;
        list_init(&conn->sent);
        list_init(&conn->writes);
    }
    return c;
}

void sim_client_stop(struct sim_client *c)
{
    c->stopped = true;
}

void sim_client_free(struct sim_client *c)
{
    if (c == NULL)
        return;
    for (unsigned i = 0; i < c->count; i++) {
        struct conn *conn = &c->conns[i];
        while (!list_empty(&conn->writes)) {
            struct outgoing *o = container_of(conn->writes.next, struct outgoing, link);
            outgoing_done(&o->write, ERR_CLOSED);
        }
        buf_free(&conn->in);
    }
    free(c);
}
