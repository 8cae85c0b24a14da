/* Connecting: `done` is called once, from the loop, whatever happens. */
#include "world_int.h"

#include <assert.h>
#include <stdlib.h>

struct connecting {
    uv_connect_t request;
    struct world *world;
    struct world_stream *stream;
    struct env_connect *user;
    bool cancelled;
};

static void on_connect(uv_connect_t *request, int status)
{
    struct connecting *c = container_of(request, struct connecting, request);
    struct env_connect *user = c->user;
    struct env_stream *stream = world_stream_env(c->stream);
    err_t rc = c->cancelled  ? ERR_CANCELLED
               : status == 0 ? ERR_OK
                             : err_errno(NULL, -status, "%s", "");
    c->world->users--;
    free(c);
    if (rc != ERR_OK)
        env_stream_close(stream);
    user->world = NULL;
    user->done(user, rc, rc == ERR_OK ? stream : NULL);
}

err_t world_connect(struct env *env, const char *address, struct env_connect *user, struct err *e)
{
    struct world *world = world_of(env);
    struct env_address parsed;
    assert(world_on_loop(world));
    err_t rc = env_address_parse(address, &parsed, e);
    if (rc != ERR_OK)
        return rc;
    bool is_unix = parsed.kind == ENV_ADDRESS_UNIX;
    struct connecting *c = world_alloc(sizeof *c);
    c->world = world;
    c->user = user;
    c->stream = world_stream_new(world, is_unix);
    uv_handle_t *handle = world_stream_handle(c->stream);
    int uv_rc = 0;
    if (is_unix) {
        uv_pipe_connect(&c->request, (uv_pipe_t *)handle, parsed.host,
                        on_connect); /* reports through on_connect */
    } else {
        struct sockaddr_storage a;
        world_sockaddr(&parsed, &a);
        uv_tcp_nodelay((uv_tcp_t *)handle, 1);
        uv_rc = uv_tcp_connect(&c->request, (uv_tcp_t *)handle, (const struct sockaddr *)&a,
                               on_connect);
    }
    if (uv_rc != 0) {
        env_stream_close(world_stream_env(c->stream));
        free(c);
        return err_errno(e, -uv_rc, "could not connect to %s", address);
    }
    world->users++;
    user->world = c;
    return ERR_OK;
}

void world_connect_cancel(struct env *env, struct env_connect *user)
{
    (void)env;
    struct connecting *c = user->world;
    assert(c != NULL);
    c->cancelled = true;
    env_stream_close(world_stream_env(c->stream)); /* libuv answers the request with UV_ECANCELED */
}
