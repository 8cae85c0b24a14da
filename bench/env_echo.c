/* An echo server over env, and the same over bare libuv: what the door costs.
 *
 *   env_echo env|uv PORT        serves until SIGTERM; any client of 64-byte messages may drive it
 *
 * Compare throughput and system calls (strace -c -p) at 1 and 64 connections; docs/benchmarks.md has the figures. */
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/container.h"
#include "uv/world.h"

/* ---- Over env ---- */

enum { ROOM = 64 * 1024 };

struct conn {
    struct env_stream *stream;
    struct env_write write;
    size_t reads; /* bytes of the room that are being written back */
    uint8_t room[ROOM];
};

static struct env_room room(void *user, size_t suggested)
{
    (void)suggested;
    struct conn *c = user;
    return (struct env_room){ c->room + c->reads, ROOM - c->reads };
}

static void written(struct env_write *write, err_t rc)
{
    struct conn *c = container_of(write, struct conn, write);
    c->reads = 0;
    if (rc == ERR_OK)
        env_stream_resume(c->stream);
}

static void on_read(void *user, size_t len, err_t rc)
{
    (void)rc;
    struct conn *c = user;
    if (len == 0) {
        env_stream_close(c->stream);
        return;
    }
    struct bytes b = { c->room + c->reads, len };
    c->reads += len;
    env_stream_pause(c->stream);
    env_stream_write(c->stream, &b, 1, &c->write);
}

static void closed(void *user)
{
    free(user);
}

static const struct env_stream_ops conn_ops = { room, on_read, closed };

static void on_accept(void *user, struct env_stream *stream)
{
    (void)user;
    struct conn *c = calloc(1, sizeof *c);
    if (c == NULL)
        abort();
    c->stream = stream;
    c->write.done = written;
    env_stream_start(stream, &conn_ops, c);
}

static void on_term(void *user, int signum)
{
    (void)signum;
    struct world_stats s;
    world_stats(user, &s);
    fprintf(stderr, "turns %llu, mean %llu ns, longest %llu ns\n", (unsigned long long)s.turns,
            (unsigned long long)(s.busy_ns / (s.turns + 1)), (unsigned long long)s.longest_ns);
    exit(0);
}

static int serve_env(const char *port)
{
    struct world *world;
    struct env_listener *listener;
    struct err e = { 0 };
    char address[64];
    snprintf(address, sizeof address, "127.0.0.1:%s", port);
    if (world_open(NULL, &world, &e) != ERR_OK ||
        env_listen(world_env(world), address, on_accept, NULL, &listener, &e) != ERR_OK ||
        world_on_signal(world, SIGTERM, on_term, world, &e) != ERR_OK) {
        fprintf(stderr, "%s\n", e.msg);
        return 1;
    }
    world_run(world);
    return 0;
}

/* ---- Over bare libuv ---- */

struct bare_conn {
    uv_tcp_t tcp;
    uv_write_t write;
    uv_buf_t rest;
    char room[ROOM];
};

static void bare_room(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
    (void)suggested;
    *ret = uv_buf_init(((struct bare_conn *)handle->data)->room, ROOM);
}

static void bare_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf);

static void bare_written(uv_write_t *write, int status)
{
    struct bare_conn *c = write->data;
    if (status == 0)
        uv_read_start((uv_stream_t *)&c->tcp, bare_room, bare_read);
}

static void bare_gone(uv_handle_t *handle)
{
    free(handle->data);
}

static void bare_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct bare_conn *c = stream->data;
    if (n < 0) {
        uv_close((uv_handle_t *)stream, bare_gone);
        return;
    }
    uv_buf_t b = uv_buf_init(buf->base, (unsigned)n);
    int took = uv_try_write(stream, &b, 1);
    took = took < 0 ? 0 : took;
    if (took == n)
        return;
    uv_read_stop(stream);
    c->rest = uv_buf_init(b.base + took, (unsigned)(n - took));
    c->write.data = c;
    uv_write(&c->write, stream, &c->rest, 1, bare_written);
}

static void bare_accepts(uv_stream_t *server, int status)
{
    struct bare_conn *c = calloc(1, sizeof *c);
    if (status != 0 || c == NULL)
        abort();
    uv_tcp_init(server->loop, &c->tcp);
    c->tcp.data = c;
    uv_accept(server, (uv_stream_t *)&c->tcp);
    uv_tcp_nodelay(&c->tcp, 1);
    uv_read_start((uv_stream_t *)&c->tcp, bare_room, bare_read);
}

static int serve_bare(const char *port)
{
    signal(SIGPIPE, SIG_IGN);
    uv_loop_t *loop = uv_default_loop();
    uv_tcp_t server;
    struct sockaddr_in a;
    uv_ip4_addr("127.0.0.1", atoi(port), &a);
    uv_tcp_init(loop, &server);
    uv_tcp_bind(&server, (struct sockaddr *)&a, 0);
    if (uv_listen((uv_stream_t *)&server, 512, bare_accepts) != 0)
        return 1;
    return uv_run(loop, UV_RUN_DEFAULT);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "env") == 0)
        return serve_env(argv[2]);
    if (argc == 3 && strcmp(argv[1], "uv") == 0)
        return serve_bare(argv[2]);
    fprintf(stderr, "usage: env_echo env|uv PORT\n");
    return 2;
}
