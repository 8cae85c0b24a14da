/* Listeners: our own sockets under a uv_poll, so that accepting can pause.
 *
 * F-R1, no descriptors left: the reserve descriptor is given up, one connection is accepted with it and closed (its
 * client sees an end instead of hanging), the reserve is taken back, and the listener rests for 100 ms. */
#include "world_int.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 1024, ACCEPTS_PER_EVENT = 64, PAUSE_NS = 100000000 };

struct listener {
    struct env_listener base;
    struct world *world;
    uv_poll_t poll;
    int fd;
    bool is_unix;
    struct env_timer pause;
    void (*accept)(void *user, struct env_stream *stream);
    void *user;
    char address[128];
    dev_t device; /* of the socket file that we made */
    ino_t inode;
};

socklen_t world_sockaddr(const struct env_address *address, struct sockaddr_storage *ret)
{
    memset(ret, 0, sizeof *ret);
    if (address->kind == ENV_ADDRESS_IP4) {
        struct sockaddr_in *a = (struct sockaddr_in *)ret;
        a->sin_family = AF_INET;
        a->sin_port = htons(address->port);
        inet_pton(AF_INET, address->host, &a->sin_addr);
        return sizeof *a;
    }
    if (address->kind == ENV_ADDRESS_IP6) {
        struct sockaddr_in6 *a = (struct sockaddr_in6 *)ret;
        a->sin6_family = AF_INET6;
        a->sin6_port = htons(address->port);
        inet_pton(AF_INET6, address->host, &a->sin6_addr);
        return sizeof *a;
    }
    struct sockaddr_un *a = (struct sockaddr_un *)ret;
    a->sun_family = AF_UNIX;
    memcpy(a->sun_path, address->host,
           sizeof a->sun_path); /* env_address_parse has checked the length */
    a->sun_path[sizeof a->sun_path - 1] = '\0';
    return sizeof *a;
}

/* ---- Accepting ---- */

static void on_ready(uv_poll_t *poll, int status, int events);

static void resume(struct env_timer *timer)
{
    struct listener *l = container_of(timer, struct listener, pause);
    uv_poll_start(&l->poll, UV_READABLE, on_ready);
}

static void rest(struct listener *l)
{
    struct world *world = l->world;
    world->stats.accept_pauses++;
    if (world->reserve_fd >= 0)
        close(world->reserve_fd);
    int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd >= 0)
        close(fd);
    world->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    uv_poll_stop(&l->poll);
    env_timer_start(&world->env, &l->pause, PAUSE_NS);
}

static void welcome(struct listener *l, int fd)
{
    struct world *world = l->world;
    struct world_stream *stream = world_stream_new(world, l->is_unix);
    uv_handle_t *handle = world_stream_handle(stream);
    int rc =
        l->is_unix ? uv_pipe_open((uv_pipe_t *)handle, fd) : uv_tcp_open((uv_tcp_t *)handle, fd);
    if (rc != 0) {
        close(fd);
        env_stream_close(world_stream_env(stream));
        return;
    }
    world->stats.accepted++;
    l->accept(l->user, world_stream_env(stream));
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
    (void)status, (void)events;
    struct listener *l = poll->data;
    for (unsigned i = 0; i < ACCEPTS_PER_EVENT && !uv_is_closing((uv_handle_t *)&l->poll); i++) {
        int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) {
            welcome(l, fd);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            rest(l);
            return;
        } else if (errno != EINTR && errno != ECONNABORTED) {
            return; /* no more, or an error of that connection alone */
        }
    }
}

/* ---- Sockets ---- */

/* True if somebody accepts connections at the path. */
static bool somebody_listens(const struct sockaddr_storage *a, socklen_t len)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool alive =
        fd < 0 || connect(fd, (const struct sockaddr *)a, len) == 0 || errno != ECONNREFUSED;
    if (fd >= 0)
        close(fd);
    return alive;
}

static err_t bind_unix(int fd, const char *path, const struct sockaddr_storage *a, socklen_t len,
                       struct err *e)
{
    struct stat st;
    fchmod(fd, 0600); /* before bind: the file never has another mode */
    if (bind(fd, (const struct sockaddr *)a, len) == 0)
        return ERR_OK;
    if (errno != EADDRINUSE)
        return err_errno(e, errno, "could not make socket \"%s\"", path);
    if (stat(path, &st) == 0 && !S_ISSOCK(st.st_mode))
        return err_set(e, ERR_ADDRESS_IN_USE,
                       "\"%s\" exists and is no socket: remove it or choose another path", path);
    if (somebody_listens(a, len))
        return err_set(e, ERR_ADDRESS_IN_USE, "another process listens on \"%s\"", path);
    unlink(path); /* its process is gone */
    if (bind(fd, (const struct sockaddr *)a, len) == 0)
        return ERR_OK;
    return err_errno(e, errno, "could not make socket \"%s\"", path);
}

static err_t bind_ip(int fd, const char *address, const struct sockaddr_storage *a, socklen_t len,
                     struct err *e)
{
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* accepted sockets inherit it */
    if (a->ss_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (bind(fd, (const struct sockaddr *)a, len) == 0)
        return ERR_OK;
    return err_errno(e, errno, "could not bind to %s", address);
}

static void name_listener(struct listener *l, const struct env_address *asked)
{
    union {
        struct sockaddr any;
        struct sockaddr_in ip4;
        struct sockaddr_in6 ip6;
    } a;
    socklen_t len = sizeof a;
    memset(&a, 0, sizeof a);
    if (asked->kind == ENV_ADDRESS_UNIX) {
        snprintf(l->address, sizeof l->address, "unix:%s", asked->host);
        return;
    }
    (void)!getsockname(l->fd, &a.any, &len);
    bool six = asked->kind == ENV_ADDRESS_IP6;
    snprintf(l->address, sizeof l->address, six ? "[%s]:%u" : "%s:%u", asked->host,
             ntohs(six ? a.ip6.sin6_port : a.ip4.sin_port));
}

static err_t make_socket(const char *text, const struct env_address *address, int *ret,
                         struct err *e)
{
    struct sockaddr_storage a;
    socklen_t len = world_sockaddr(address, &a);
    int fd = socket(a.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return err_errno(e, errno, "could not make a socket");
    bool is_unix = address->kind == ENV_ADDRESS_UNIX;
    err_t rc = is_unix ? bind_unix(fd, address->host, &a, len, e) : bind_ip(fd, text, &a, len, e);
    if (rc == ERR_OK && listen(fd, BACKLOG) != 0)
        rc = err_errno(e, errno, "could not listen on %s", text);
    if (rc != ERR_OK) {
        close(fd);
        return rc;
    }
    *ret = fd;
    return ERR_OK;
}

err_t world_listen(struct env *env, const char *address,
                   void (*accept)(void *user, struct env_stream *stream), void *user,
                   struct env_listener **ret, struct err *e)
{
    struct env_address parsed;
    struct stat st;
    int fd = -1;
    assert(world_on_loop(world_of(env)));
    err_t rc = env_address_parse(address, &parsed, e);
    if (rc == ERR_OK)
        rc = make_socket(address, &parsed, &fd, e);
    if (rc == ERR_ADDRESS_IN_USE)
        return err_wrap(e, rc, "%s is in use: stop the other process or choose another address",
                        address);
    if (rc != ERR_OK)
        return rc;
    struct listener *l = world_alloc(sizeof *l);
    l->base.env = env;
    l->world = world_of(env);
    l->fd = fd;
    l->is_unix = parsed.kind == ENV_ADDRESS_UNIX;
    l->accept = accept;
    l->user = user;
    l->pause.fire = resume;
    name_listener(l, &parsed);
    if (l->is_unix && stat(parsed.host, &st) == 0) {
        l->device = st.st_dev;
        l->inode = st.st_ino;
    }
    int uv_rc = uv_poll_init(&l->world->loop, &l->poll, fd);
    if (uv_rc != 0) {
        close(fd);
        free(l);
        return err_errno(e, -uv_rc, "could not watch the socket of %s", address);
    }
    l->poll.data = l;
    uv_poll_start(&l->poll, UV_READABLE, on_ready);
    l->world->users++;
    *ret = &l->base;
    return ERR_OK;
}

const char *world_listener_address(const struct env_listener *base)
{
    return ((const struct listener *)(const void *)base)->address;
}

static void on_closed(uv_handle_t *handle)
{
    struct listener *l = handle->data;
    l->world->closing--;
    free(l);
}

void world_listener_close(struct env_listener *base)
{
    struct listener *l = container_of(base, struct listener, base);
    struct stat st;
    const char *path = l->address + 5;
    if (l->is_unix && stat(path, &st) == 0 && st.st_dev == l->device && st.st_ino == l->inode)
        unlink(path); /* not one that somebody else has put there since */
    env_timer_stop(&l->world->env, &l->pause);
    l->world->users--;
    l->world->closing++;
    uv_poll_stop(&l->poll);
    uv_close((uv_handle_t *)&l->poll, on_closed);
    close(l->fd);
}
