/* Contract: listeners, connections, streams. */
#include "env_contract/env_contract.h"

#include "base/container.h"
#include "base/test.h"

/* One side of a connection: reads into `in`, counts what was called. */
struct side {
    struct env *env;
    struct env_stream *stream;
    struct buf in;
    uint8_t room[4096];
    size_t room_len; /* how much of it is offered; 0: all */
    bool echo, keep; /* write back what comes; keep it in `in` */
    size_t received;
    int ends, closed;
    err_t end_rc;
    bool close_at_end, close_in_read;
    int writes_over; /* of our own writes */
    err_t write_rc;
    bool inside; /* env_stream_write() is running */
};

struct writing {
    struct env_write write;
    struct side *side;
    int number;
    struct buf bytes; /* echo: what was read */
};

static struct env_room side_room(void *user, size_t suggested)
{
    struct side *s = user;
    CHECK(suggested > 0);
    return (struct env_room){ s->room, s->room_len == 0 ? sizeof s->room : s->room_len };
}

static void echo_over(struct env_write *write, err_t rc)
{
    struct writing *w = container_of(write, struct writing, write);
    CHECK(!w->side->inside);
    CHECK_EQ(w->side->closed, 0);
    w->side->write_rc = rc;
    w->side->writes_over++;
    buf_free(&w->bytes);
    free(w);
}

static void side_write(struct side *s, struct bytes b)
{
    struct writing *w = calloc(1, sizeof *w);
    w->write.done = echo_over;
    w->side = s;
    CHECK_EQ(buf_append(&w->bytes, b), ERR_OK);
    struct bytes pieces[3] = { { w->bytes.data, b.len / 3 },
                               { NULL, 0 },
                               { w->bytes.data + b.len / 3, b.len - b.len / 3 } };
    s->inside = true;
    env_stream_write(s->stream, pieces, 3, &w->write);
    s->inside = false;
    memset(pieces, 0xee, sizeof pieces); /* the array is ours again */
}

static void side_read(void *user, size_t len, err_t rc)
{
    struct side *s = user;
    CHECK_EQ(s->ends, 0); /* the end is the last */
    CHECK_EQ(s->closed, 0);
    CHECK(len <= sizeof s->room);
    s->received += len;
    if (len == 0) {
        CHECK(rc != ERR_OK);
        s->ends++;
        s->end_rc = rc;
        if (s->close_at_end)
            env_stream_close(s->stream);
        return;
    }
    CHECK_EQ(rc, ERR_OK);
    if (s->echo)
        side_write(s, bytes_from(s->room, len));
    if (s->keep)
        CHECK_EQ(buf_append(&s->in, bytes_from(s->room, len)), ERR_OK);
    memset(s->room, 0xdd, len);
    if (s->close_in_read)
        env_stream_close(s->stream);
}

static void side_closed(void *user)
{
    struct side *s = user;
    s->closed++;
    s->stream = NULL;
}

static const struct env_stream_ops side_ops = { side_room, side_read, side_closed };

/* A listener, a connection, and both its sides. */
struct talk {
    struct env_contract *c;
    struct env *env;
    struct err e;
    struct env_listener *listener;
    struct env_connect connect;
    struct side client, server;
    bool accepted, connected, start_server;
    err_t connect_rc;
};

static void talk_accept(void *user, struct env_stream *stream)
{
    struct talk *t = user;
    CHECK(!t->accepted);
    t->accepted = true;
    t->server.stream = stream;
    if (t->start_server)
        env_stream_start(stream, &side_ops, &t->server);
}

static void talk_connected(struct env_connect *connect, err_t rc, struct env_stream *stream)
{
    struct talk *t = container_of(connect, struct talk, connect);
    CHECK(!t->connected);
    CHECK((rc == ERR_OK) == (stream != NULL));
    CHECK(connect->world == NULL);
    t->connected = true;
    t->connect_rc = rc;
    t->client.stream = stream;
    if (rc == ERR_OK)
        env_stream_start(stream, &side_ops, &t->client);
}

static bool both_there(void *user)
{
    struct talk *t = user;
    return t->accepted && t->connected;
}

static struct talk *talk_new(struct env_contract *c)
{
    struct talk *t = calloc(1, sizeof *t);
    t->c = c;
    t->env = t->client.env = t->server.env = c->open(c);
    t->connect.done = talk_connected;
    t->start_server = true;
    return t;
}

static void talk_begin(struct talk *t, const char *address)
{
    CHECK_OK(env_listen(t->env, address, talk_accept, t, &t->listener, &t->e), t->e);
    CHECK_OK(env_connect(t->env, env_listener_address(t->listener), &t->connect, &t->e), t->e);
    CHECK(!t->connected && !t->accepted); /* never from inside */
    env_contract_until(t->c, t->env, both_there, t);
    CHECK_EQ(t->connect_rc, ERR_OK);
}

static bool both_closed(void *user)
{
    struct talk *t = user;
    return (t->client.stream == NULL) && (t->server.stream == NULL);
}

static void talk_end(struct talk *t)
{
    if (t->client.stream != NULL)
        env_stream_close(t->client.stream);
    if (t->server.stream != NULL)
        env_stream_close(t->server.stream);
    env_listener_close(t->listener);
    env_contract_until(t->c, t->env, both_closed, t);
    buf_free(&t->client.in);
    buf_free(&t->server.in);
    t->c->close(t->c);
    CHECK(t->client.closed <= 1 && t->server.closed <= 1);
    free(t);
}

static uint8_t pattern(size_t i)
{
    return (uint8_t)(i * 31 + (i >> 8) * 7 + (i >> 16));
}

static struct buf patterned(size_t len)
{
    struct buf b = { 0 };
    uint8_t *to = buf_reserve(&b, len);
    for (size_t i = 0; i < len; i++)
        to[i] = pattern(i);
    b.len = len;
    return b;
}

static bool client_got_all(void *user)
{
    struct talk *t = user;
    return t->client.received == t->server.received && t->client.writes_over > 0 &&
           t->client.in.len >= t->server.received && t->server.received >= 3 * 1024 * 1024 + 77;
}

void env_contract_tcp_echo_of_megabytes(struct env_contract *c)
{
    enum { LEN = 3 * 1024 * 1024 + 77 };
    struct talk *t = talk_new(c);
    t->server.echo = t->client.keep = true;
    t->server.room_len = 4096;
    talk_begin(t, "127.0.0.1:0");
    struct buf all = patterned(LEN);
    size_t at = 0;
    for (size_t piece = 1; at < LEN; at += piece, piece = piece * 3 % 700001 + 1) {
        piece = piece < LEN - at ? piece : LEN - at;
        side_write(&t->client, bytes_from(all.data + at, piece));
    }
    env_contract_until(c, t->env, client_got_all, t);
    CHECK_EQ(t->client.received, LEN);
    CHECK(memcmp(t->client.in.data, all.data, LEN) == 0);
    CHECK_EQ(env_stream_backlog(t->client.stream), 0);
    buf_free(&all);
    talk_end(t);
}

static bool client_has_5(void *user)
{
    return ((struct talk *)user)->client.received >= 5;
}

static void echo_five(struct talk *t)
{
    t->server.echo = t->client.keep = true;
    side_write(&t->client, BYTES("hello"));
    env_contract_until(t->c, t->env, client_has_5, t);
    CHECK_BYTES(buf_bytes(&t->client.in), BYTES("hello"));
}

void env_contract_tcp6_echo(struct env_contract *c)
{
    struct talk *t = talk_new(c);
    err_t rc = env_listen(t->env, "[::1]:0", talk_accept, t, &t->listener, &t->e);
    if (rc != ERR_OK) {
        print_message("SKIP: no IPv6 here: %s\n", t->e.msg);
        c->close(c);
        free(t);
        skip();
    }
    CHECK_CONTAINS(env_listener_address(t->listener), "[::1]:");
    CHECK_OK(env_connect(t->env, env_listener_address(t->listener), &t->connect, &t->e), t->e);
    env_contract_until(c, t->env, both_there, t);
    echo_five(t);
    struct env_peer peer;
    env_stream_peer(t->client.stream, &peer);
    CHECK_STR(peer.address, env_listener_address(t->listener));
    CHECK(!peer.has_credentials);
    talk_end(t);
}

void env_contract_unix_echo_with_credentials(struct env_contract *c)
{
    struct talk *t = talk_new(c);
    char address[128];
    snprintf(address, sizeof address, "unix:%s/sock", c->unix_dir);
    talk_begin(t, address);
    CHECK_STR(env_listener_address(t->listener), address);
    echo_five(t);
    struct env_peer peer;
    env_stream_peer(t->server.stream, &peer);
    CHECK(peer.has_credentials);
    CHECK_EQ(peer.uid, c->uid);
    CHECK(peer.pid != 0);
    CHECK_STR(peer.address, address);
    env_stream_peer(t->client.stream, &peer);
    CHECK(peer.has_credentials);
    CHECK_STR(peer.address, address);
    talk_end(t);
}

static bool backlog_stands(void *user)
{
    struct talk *t = user;
    static size_t last;
    static int same;
    size_t now = env_stream_backlog(t->client.stream);
    same = now == last ? same + 1 : 0;
    last = now;
    return same > 20;
}

static void tick(struct env_timer *timer);

struct ticker {
    struct env_timer timer;
    struct env *env;
};

static void tick(struct env_timer *timer)
{
    env_timer_start(container_of(timer, struct ticker, timer)->env, timer, 2000000);
}

static bool server_got_8m(void *user)
{
    return ((struct talk *)user)->server.received >= 8 * 1024 * 1024;
}

void env_contract_stream_back_pressure(struct env_contract *c)
{
    enum { LEN = 8 * 1024 * 1024 };
    struct talk *t = talk_new(c);
    t->server.keep = true;
    talk_begin(t, "127.0.0.1:0");
    env_stream_pause(t->server.stream);
    env_stream_pause(t->server.stream); /* again: harmless */
    size_t before = t->server.received;
    struct buf all = patterned(LEN);
    for (size_t at = 0; at < LEN; at += LEN / 16)
        side_write(&t->client, bytes_from(all.data + at, LEN / 16));
    CHECK(env_stream_backlog(t->client.stream) > 0);
    struct ticker ticker = { { .fire = tick }, t->env };
    tick(&ticker.timer);
    env_contract_until(c, t->env, backlog_stands, t);
    CHECK_EQ(t->server.received, before);
    CHECK(env_stream_backlog(t->client.stream) > 0); /* more than any socket buffer holds */
    CHECK(t->client.writes_over < 16);
    env_timer_stop(t->env, &ticker.timer);
    env_stream_resume(t->server.stream);
    env_stream_resume(t->server.stream);
    env_contract_until(c, t->env, server_got_8m, t);
    CHECK_EQ(t->server.in.len, LEN);
    CHECK(memcmp(t->server.in.data, all.data, LEN) == 0);
    buf_free(&all);
    talk_end(t);
}

enum { NUMBERED = 64 };

struct numbered {
    struct writing w[NUMBERED];
    int over;
};

static void numbered_over(struct env_write *write, err_t rc)
{
    struct writing *w = container_of(write, struct writing, write);
    struct numbered *all = container_of(w - w->number, struct numbered, w[0]);
    CHECK(!w->side->inside);
    CHECK_EQ(rc, ERR_OK);
    CHECK_EQ(w->number, all->over);
    all->over++;
}

static bool numbered_all_over(void *user)
{
    return ((struct numbered *)user)->over == NUMBERED;
}

void env_contract_stream_writes_end_in_order_never_inside(struct env_contract *c)
{
    struct talk *t = talk_new(c);
    talk_begin(t, "127.0.0.1:0");
    struct numbered n = { .over = 0 };
    struct buf big = patterned(300000);
    for (int i = 0; i < NUMBERED; i++) {
        n.w[i] = (struct writing){ .write.done = numbered_over, .side = &t->client, .number = i };
        struct bytes b =
            bytes_from(big.data, i % 8 == 7 ? big.len : (size_t)(i % 3)); /* also of nothing */
        t->client.inside = true;
        env_stream_write(t->client.stream, &b, i % 5 == 0 && b.len == 0 ? 0 : 1, &n.w[i].write);
        t->client.inside = false;
    }
    env_contract_until(c, t->env, numbered_all_over, &n);
    buf_free(&big);
    talk_end(t);
}

static bool server_read_end(void *user)
{
    return ((struct talk *)user)->server.ends == 1;
}

static bool client_read_end(void *user)
{
    return ((struct talk *)user)->client.ends == 1;
}

void env_contract_stream_half_close(struct env_contract *c)
{
    struct talk *t = talk_new(c);
    t->server.keep = t->client.keep = true;
    talk_begin(t, "127.0.0.1:0");
    side_write(&t->client, BYTES("question"));
    env_stream_end(t->client.stream);
    env_contract_until(c, t->env, server_read_end, t);
    CHECK_EQ(t->server.end_rc, ERR_CLOSED);
    CHECK_BYTES(buf_bytes(&t->server.in), BYTES("question"));
    side_write(&t->server, BYTES("answer")); /* the other direction is open */
    env_stream_end(t->server.stream);
    env_contract_until(c, t->env, client_read_end, t);
    CHECK_BYTES(buf_bytes(&t->client.in), BYTES("answer"));
    CHECK_EQ(t->client.closed + t->server.closed, 0); /* an end is no close */
    talk_end(t);
}

static bool client_closed(void *user)
{
    return ((struct talk *)user)->client.closed == 1;
}

void env_contract_stream_close_ends_pending_writes(struct env_contract *c)
{
    struct talk *t = talk_new(c);
    t->server.close_at_end = true;
    talk_begin(t, "127.0.0.1:0");
    env_stream_pause(t->server.stream);
    struct buf big = patterned(8 * 1024 * 1024);
    side_write(&t->client, buf_bytes(&big));
    side_write(&t->client, BYTES("never leaves"));
    env_stream_close(t->client.stream);
    CHECK_EQ(t->client.closed, 0); /* never from inside */
    side_write(&t->client, BYTES("after the close"));
    env_stream_close(t->client.stream); /* again: harmless */
    env_contract_until(c, t->env, client_closed, t);
    CHECK_EQ(t->client.writes_over, 3);
    CHECK_EQ(t->client.write_rc, ERR_CLOSED);
    buf_free(&big);
    env_stream_resume(t->server.stream);
    env_contract_until(c, t->env, both_closed, t); /* the server reads an end */
    CHECK_EQ(t->server.ends, 1);
    talk_end(t);
}

void env_contract_stream_close_inside_read(struct env_contract *c)
{
    struct talk *t = talk_new(c);
    t->server.close_in_read = t->client.close_at_end = true;
    t->server.room_len = 1;
    talk_begin(t, "127.0.0.1:0");
    side_write(&t->client, BYTES("more than one byte"));
    env_contract_until(c, t->env, both_closed, t);
    CHECK_EQ(t->server.received, 1); /* no `read` after the close */
    CHECK_EQ(t->server.closed, 1);
    CHECK_EQ(t->client.ends, 1);
    talk_end(t);
}

static bool client_wrote(void *user)
{
    return ((struct talk *)user)->client.writes_over == 1;
}

static bool server_has_5(void *user)
{
    return ((struct talk *)user)->server.received == 5;
}

void env_contract_stream_started_later(struct env_contract *c)
{
    struct talk *t = talk_new(c);
    t->start_server = false;
    t->server.keep = true;
    talk_begin(t, "127.0.0.1:0");
    side_write(&t->client, BYTES("early"));
    env_contract_until(c, t->env, client_wrote, t);
    CHECK_EQ(t->server.received, 0);
    env_stream_start(t->server.stream, &side_ops, &t->server);
    CHECK_EQ(t->server.received, 0); /* never from inside */
    env_contract_until(c, t->env, server_has_5, t);
    CHECK_BYTES(buf_bytes(&t->server.in), BYTES("early"));
    talk_end(t);
}

/* Writes until the other side's absence is noticed. */
static bool write_fails(void *user)
{
    struct talk *t = user;
    if (t->client.write_rc != ERR_OK)
        return true;
    if (t->client.stream != NULL && env_stream_backlog(t->client.stream) == 0)
        side_write(&t->client, BYTES("is anybody there?"));
    return false;
}

void env_contract_stream_peer_gone(struct env_contract *c)
{
    struct talk *t = talk_new(c);
    talk_begin(t, "127.0.0.1:0");
    env_stream_close(t->server.stream);
    env_contract_until(c, t->env, client_read_end, t);
    CHECK_EQ(t->client.end_rc, ERR_CLOSED);
    struct ticker ticker = { { .fire = tick }, t->env };
    tick(&ticker.timer);
    env_contract_until(c, t->env, write_fails, t);
    CHECK_EQ(t->client.write_rc, ERR_CLOSED);
    env_timer_stop(t->env, &ticker.timer);
    talk_end(t);
}

static bool has_answer(void *user)
{
    return ((struct talk *)user)->connected;
}

void env_contract_connect_refused(struct env_contract *c)
{
    struct talk *t = talk_new(c);
    char address[128];
    CHECK_OK(env_listen(t->env, "127.0.0.1:0", talk_accept, t, &t->listener, &t->e), t->e);
    snprintf(address, sizeof address, "%s", env_listener_address(t->listener));
    env_listener_close(t->listener);
    t->listener = NULL;
    CHECK_OK(env_connect(t->env, address, &t->connect, &t->e), t->e);
    env_contract_until(c, t->env, has_answer, t);
    CHECK_EQ(t->connect_rc, ERR_CLOSED);
    CHECK(t->client.stream == NULL);
    talk_end(t);
}

void env_contract_connect_cancelled(struct env_contract *c)
{
    struct talk *t = talk_new(c);
    t->server.close_at_end = true;
    CHECK_OK(env_listen(t->env, "127.0.0.1:0", talk_accept, t, &t->listener, &t->e), t->e);
    CHECK_OK(env_connect(t->env, env_listener_address(t->listener), &t->connect, &t->e), t->e);
    env_connect_cancel(t->env, &t->connect);
    CHECK(!t->connected); /* never from inside */
    env_contract_until(c, t->env, has_answer, t);
    CHECK_EQ(t->connect_rc, ERR_CANCELLED);
    talk_end(t);
}

#define TWENTY    "/twenty bytes of path"
#define LONG_PATH "unix:" TWENTY TWENTY TWENTY TWENTY TWENTY TWENTY

void env_contract_bad_addresses(struct env_contract *c)
{
    static const char *const bad[] = { "",
                                       "127.0.0.1",
                                       "127.0.0.1:",
                                       "127.0.0.1:65536",
                                       "127.0.0.1:-1",
                                       "127.0.0.1:7x",
                                       "127.0.0:7001",
                                       "::1:7001x",
                                       "[::1:7001",
                                       "[]:7001",
                                       "localhost:7001",
                                       ":7001",
                                       "unix:",
                                       LONG_PATH };
    struct talk *t = talk_new(c);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK_EQ(env_listen(t->env, bad[i], talk_accept, t, &t->listener, &t->e),
                 ERR_INVALID_ARGUMENT);
        CHECK_EQ(env_connect(t->env, bad[i], &t->connect, &t->e), ERR_INVALID_ARGUMENT);
        CHECK(t->e.msg[0] != '\0');
    }
    CHECK(t->listener == NULL);
    talk_end(t);
}

void env_contract_address_in_use(struct env_contract *c)
{
    struct talk *t = talk_new(c);
    struct env_listener *second = NULL;
    char address[2][128];
    CHECK_OK(env_listen(t->env, "127.0.0.1:0", talk_accept, t, &t->listener, &t->e), t->e);
    snprintf(address[0], sizeof address[0], "%s", env_listener_address(t->listener));
    snprintf(address[1], sizeof address[1], "unix:%s/sock", c->unix_dir);
    CHECK(strcmp(address[0], "127.0.0.1:0") != 0);
    for (int i = 0; i < 2; i++) {
        if (i == 1) {
            env_listener_close(t->listener);
            CHECK_OK(env_listen(t->env, address[1], talk_accept, t, &t->listener, &t->e), t->e);
        }
        CHECK_EQ(env_listen(t->env, address[i], talk_accept, t, &second, &t->e),
                 ERR_ADDRESS_IN_USE);
        CHECK(second == NULL);
        CHECK_CONTAINS(t->e.msg, address[i]);
        env_listener_close(t->listener); /* frees the address at once */
        CHECK_OK(env_listen(t->env, address[i], talk_accept, t, &t->listener, &t->e), t->e);
    }
    talk_end(t);
}

enum { MANY = 100 };

struct many {
    struct env_contract *c;
    struct env *env;
    struct talk *talk[MANY];
    struct side server[MANY];
    int accepted;
};

static void many_accept(void *user, struct env_stream *stream)
{
    struct many *m = user;
    struct side *s = &m->server[m->accepted++];
    s->env = m->env;
    s->stream = stream;
    s->echo = s->close_at_end = true;
    env_stream_start(stream, &side_ops, s);
}

static bool many_answered(void *user)
{
    struct many *m = user;
    int answered = 0;
    for (int i = 0; i < MANY; i++) {
        struct talk *t = m->talk[i];
        if (t->client.stream != NULL && t->client.writes_over == 0 && t->client.received == 0 &&
            !t->accepted) {
            t->accepted = true; /* asked once */
            side_write(&t->client, BYTES("hello"));
        }
        answered += t->client.received == 5;
    }
    return answered == MANY;
}

static bool many_closed(void *user)
{
    struct many *m = user;
    int closed = 0;
    for (int i = 0; i < MANY; i++)
        closed += m->talk[i]->client.closed + m->server[i].closed;
    return closed == 2 * MANY;
}

void env_contract_many_connections(struct env_contract *c)
{
    struct many *m = calloc(1, sizeof *m);
    struct env_listener *listener;
    struct err e = { 0 };
    m->c = c;
    m->env = c->open(c);
    CHECK_OK(env_listen(m->env, "127.0.0.1:0", many_accept, m, &listener, &e), e);
    for (int i = 0; i < MANY; i++) {
        m->talk[i] = calloc(1, sizeof *m->talk[i]);
        m->talk[i]->env = m->talk[i]->client.env = m->env;
        m->talk[i]->connect.done = talk_connected;
        CHECK_OK(env_connect(m->env, env_listener_address(listener), &m->talk[i]->connect, &e), e);
    }
    env_contract_until(c, m->env, many_answered, m);
    for (int i = 0; i < MANY; i++)
        env_stream_close(m->talk[i]->client.stream);
    env_listener_close(listener);
    env_contract_until(c, m->env, many_closed, m);
    c->close(c);
    for (int i = 0; i < MANY; i++)
        free(m->talk[i]);
    free(m);
}
