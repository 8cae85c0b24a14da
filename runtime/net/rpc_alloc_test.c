/* The hot path allocates nothing: malloc and its kin are wrapped by the linker (CMakeLists.txt) and counted while
 * requests go from a plain socket through the loop, the server and back. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rpc_fixture.inc"
#include "uv/world.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *memory, size_t size);

static unsigned long counted;

void *__wrap_malloc(size_t size)
{
    counted++;
    return __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    counted++;
    return __real_calloc(n, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    counted++;
    return __real_realloc(memory, size);
}

static struct world *world;
static struct fixture fixture, *const f = &fixture;

static void stop_hook(struct env_turn *hook)
{
    (void)hook;
    env_stop(world_env(world));
}

static void turn(void)
{
    struct env_turn hook = { .run = stop_hook };
    env_turn_add(world_env(world), &hook);
    world_run(world);
    env_turn_remove(world_env(world), &hook);
}

static struct env *the_env(void)
{
    return world_env(world);
}

static int dial(void)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    const char *port = strrchr(net_server_address(f->server), ':');
    to.sin_port = htons((uint16_t)atoi(port + 1));
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    CHECK_EQ(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

/* Sends what is ready, then takes at least `want` bytes of answers. */
static void exchange(int fd, struct bytes out, ssize_t want)
{
    uint8_t in[8192];
    CHECK_EQ(send(fd, out.data, out.len, 0), out.len);
    while (want > 0) {
        turn();
        ssize_t n = recv(fd, in, sizeof in, MSG_DONTWAIT);
        want -= n > 0 ? n : 0;
    }
}

TEST(net_server_allocates_nothing_on_the_hot_path)
{
    enum { PIPELINED = 16 };
    struct err e = { 0 };
    struct buf hello = { 0 }, echo_once = { 0 }, burst = { 0 };
    CHECK_OK(world_open(NULL, &world, &e), e);
    fixture_open(f, limits_small());
    int fd = dial();
    CHECK_EQ(
        net_frame_append(&hello, &(struct net_frame){ .kind = NET_FRAME_REQUEST,
                                                      .method = NET_HELLO,
                                                      .body = bytes_from("\x08\x01\x10\x01", 4) }),
        ERR_OK);
    struct net_frame request = { .kind = NET_FRAME_REQUEST,
                                 .method = ECHO,
                                 .deadline_ms = 5000,
                                 .body = BYTES(
                                     "a body of the usual size, such as a key and a small value") };
    CHECK_EQ(net_frame_append(&echo_once, &request), ERR_OK);
    for (int i = 0; i < PIPELINED; i++)
        CHECK_EQ(buf_append(&burst, buf_bytes(&echo_once)), ERR_OK);
    exchange(fd, buf_bytes(&hello), 1);
    unsigned long before = 0;
    for (int round = 0; round < 400; round++) {
        if (round == 100) /* pools are warm */
            before = counted;
        exchange(fd, buf_bytes(&echo_once), (ssize_t)echo_once.len);
        exchange(fd, buf_bytes(&burst), (ssize_t)burst.len);
    }
    CHECK(before > 0); /* the wrappers are in the way */
    CHECK_EQ(counted - before, 0);
    close(fd);
    buf_free(&hello);
    buf_free(&echo_once);
    buf_free(&burst);
    WAIT(f->disconnects == 1);
    net_server_close(f->server);
    world_close(world);
}

TEST_MAIN()
