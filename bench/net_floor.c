/* A node that stores nothing: the server and the loop, with handlers that answer at once. What loadgen measures here
 * is the floor under every request: sockets, frames, checksums, the loop.
 *
 *     net_floor [ADDRESS]       prints the address, runs until it is ended */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "net/rpc.h"
#include "uv/world.h"

/* Status {}, and for gets `found` and a value of 128 bytes. */
static uint8_t value[2 + 2 + 3 + 128] = { 0x0a, 0, 0x10, 1, 0x1a, 0x80, 0x01 };

static void put(void *user, struct net_call *call)
{
    (void)user;
    net_call_reply_bytes(call, bytes_from("\x0a\x00\x10\x01", 4));
}

static void get(void *user, struct net_call *call)
{
    (void)user;
    net_call_reply_bytes(call, bytes_from(value, sizeof value));
}

static void stop(void *user, int signum)
{
    (void)signum;
    env_stop(user);
}

static bool open_server(struct world *world, struct net_server **server, const char *address)
{
    static const struct net_handler handlers[] = { { NET_RAW_PUT, "RawPut", put, NULL, false },
                                                   { NET_RAW_GET, "RawGet", get, NULL, false },
                                                   { NET_CAS, "Cas", put, NULL, false } };
    struct net_server_config config = {
        .address = address,
        .limits = { .frame_max = 16u << 20,
                    .connections_max = 20000,
                    .inflight_max = 1024,
                    .inflight_bytes_max = 256u << 20,
                    .backlog_max = 8u << 20,
                    .hello_ms = 5000,
                    .idle_ms = 300000,
                    .slow_ms = 10000 },
        .handlers = handlers,
        .handler_count = 3,
        .identity = "flotilla/floor",
    };
    struct err e = { 0 };
    if (net_server_open(world_env(world), NULL, &config, server, &e) == ERR_OK &&
        world_on_signal(world, SIGTERM, stop, world_env(world), &e) == ERR_OK &&
        world_on_signal(world, SIGINT, stop, world_env(world), &e) == ERR_OK)
        return true;
    fprintf(stderr, "net_floor: %s\n", e.msg);
    return false;
}

int main(int argc, char **argv)
{
    struct world *world;
    struct net_server *server = NULL;
    struct err e = { 0 };
    if (world_open(NULL, &world, &e) != ERR_OK) {
        fprintf(stderr, "net_floor: %s\n", e.msg);
        return 1;
    }
    bool fine = open_server(world, &server, argc > 1 ? argv[1] : "127.0.0.1:0");
    if (fine) {
        printf("%s\n", net_server_address(server));
        fflush(stdout);
        world_run(world);
    }
    net_server_close(server);
    world_close(world);
    return fine ? 0 : 1;
}
