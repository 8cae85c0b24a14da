#include "peer.h"

#include "base/container.h"
#include "fuzz.h"

static struct env_room make_room(void *user, size_t suggested)
{
    (void)suggested;
    struct peer *p = user;
    return (struct env_room){ p->room, sizeof p->room };
}

static void on_read(void *user, size_t len, err_t rc)
{
    (void)rc;
    struct peer *p = user;
    if (len == 0)
        p->ended = true;
    else
        FUZZ_CHECK(buf_append(&p->in, bytes_from(p->room, len)) == ERR_OK);
}

static void on_closed(void *user)
{
    ((struct peer *)user)->closed = true;
}

static void on_written(struct env_write *write, err_t rc)
{
    (void)write, (void)rc;
}

static void on_connected(struct env_connect *connect, err_t rc, struct env_stream *stream)
{
    static const struct env_stream_ops ops = { make_room, on_read, on_closed };
    struct peer *p = container_of(connect, struct peer, connect);
    FUZZ_CHECK(rc == ERR_OK);
    p->stream = stream;
    env_stream_start(stream, &ops, p);
    p->write.done = on_written;
    struct bytes all = buf_bytes(&p->out);
    env_stream_write(stream, &all, 1, &p->write);
}

struct peer *peer_new(void)
{
    struct peer *p = calloc(1, sizeof *p);
    FUZZ_CHECK(p != NULL);
    return p;
}

void peer_connect(struct peer *p, struct env *env, const char *address)
{
    struct err e = { 0 };
    p->connect.done = on_connected;
    FUZZ_CHECK(env_connect(env, address, &p->connect, &e) == ERR_OK);
}

void peer_close(struct peer *p)
{
    env_stream_close(p->stream);
}

void peer_free(struct peer *p)
{
    FUZZ_CHECK(p->closed);
    buf_free(&p->out);
    buf_free(&p->in);
    free(p);
}
