/* Who listens where, and how a connection begins.
 *
 *   connect --latency--> syn at the listener's machine: accept() --latency--> done(ERR_OK, stream)
 *                        nobody there: refused ------------latency----------> done(ERR_CLOSED)
 *                        no power, frozen, or cut off: silence -------------> done(ERR_DEADLINE_EXCEEDED) */
#include "world_int.h"

#include <assert.h>
#include <stdlib.h>

static const uint64_t connect_timeout_ns = 130000000000; /* as long as Linux sends SYNs */

struct listener {
    struct env_listener base;
    struct list link; /* in sim->listeners */
    struct sim_world *world;
    char address[128];
    bool is_unix;
    void (*accept)(void *user, struct env_stream *stream);
    void *user;
};

struct connecting {
    struct sim_event event; /* of the listener's world, then of ours */
    struct list link;       /* in world->connects */
    struct sim_world *world;
    struct env_connect *user;
    char address[128];
    bool is_unix, settled;
    uint64_t give_up;
    err_t rc;
    struct env_stream *stream;
};

struct sim_net sim_world_net_default(void)
{
    return (struct sim_net){ .least_ns = 20000,
                             .most_ns = 200000,
                             .segment_least = 1,
                             .segment_most = 16384,
                             .window = 256 * 1024 };
}

void sim_world_set_net(struct sim_world *world, const struct sim_net *net)
{
    assert(net->least_ns <= net->most_ns && net->segment_least >= 1 &&
           net->segment_least <= net->segment_most);
    assert(net->window >= 1);
    world->sim->net = *net;
}

static struct sim_cut *find_cut(const struct sim_world *from, const struct sim_world *to)
{
    list_for_each(at, &from->cuts) {
        struct sim_cut *cut = container_of(at, struct sim_cut, link);
        if (cut->to == to)
            return cut;
    }
    return NULL;
}

bool sim_net_is_cut(const struct sim_world *from, const struct sim_world *to)
{
    return find_cut(from, to) != NULL;
}

static void heal(struct sim_world *from, struct sim_world *to)
{
    struct sim_cut *cut = find_cut(from, to);
    if (cut != NULL) {
        list_remove(&cut->link);
        free(cut);
        sim_stream_release(from, to);
    }
}

void sim_world_cut_link(struct sim_world *from, struct sim_world *to, bool cut)
{
    sim_note(from->sim, from, cut ? "cut" : "heal", to->id, 0, 0);
    if (!cut)
        heal(from, to);
    else if (!sim_net_is_cut(from, to)) {
        struct sim_cut *new = disk_alloc(sizeof *new);
        new->to = to;
        list_push_back(&from->cuts, &new->link);
    }
}

/* ---- Listeners ---- */

/* The name under which the universe knows an address: unix sockets belong to a machine, IP addresses do not. */
static err_t universal(const char *address, struct env_address *a, char name[128], struct err *e)
{
    err_t rc = env_address_parse(address, a, e);
    if (rc != ERR_OK)
        return rc;
    if (a->kind == ENV_ADDRESS_UNIX)
        snprintf(name, 128, "unix:%s", a->host);
    else
        snprintf(name, 128, a->kind == ENV_ADDRESS_IP6 ? "[%s]:%u" : "%s:%u", a->host, a->port);
    return ERR_OK;
}

/* A living one if there is one; else one of a machine that has ended, whose silence or refusal is its own. */
static struct listener *find_listener(const struct sim_world *world, const char *name, bool is_unix)
{
    struct listener *dead = NULL;
    list_for_each(at, &world->sim->listeners) {
        struct listener *l = container_of(at, struct listener, link);
        if (strcmp(l->address, name) != 0 || (is_unix && l->world != world))
            continue;
        if (!sim_world_crashed(l->world))
            return l;
        dead = l;
    }
    return dead;
}

static bool in_use(const struct sim_world *world, const char *name, bool is_unix)
{
    const struct listener *l = find_listener(world, name, is_unix);
    return l != NULL && !sim_world_crashed(l->world);
}

err_t sim_net_listen(struct env *env, const char *address,
                     void (*accept)(void *user, struct env_stream *stream), void *user,
                     struct env_listener **ret, struct err *e)
{
    struct sim_world *world = world_of(env);
    struct env_address a;
    char name[128];
    err_t rc = universal(address, &a, name, e);
    if (rc != ERR_OK)
        return rc;
    bool is_unix = a.kind == ENV_ADDRESS_UNIX;
    while (!is_unix && a.port == 0) {
        char text[128];
        snprintf(text, sizeof text, a.kind == ENV_ADDRESS_IP6 ? "[%s]:%u" : "%s:%u", a.host,
                 world->sim->next_port++);
        rc = universal(text, &a, name, e);
        if (rc != ERR_OK)
            return rc;
        if (in_use(world, name, false))
            a.port = 0;
    }
    if (in_use(world, name, is_unix))
        return err_set(e, ERR_ADDRESS_IN_USE, "could not listen on %s: somebody else listens there",
                       address);
    struct listener *l = disk_alloc(sizeof *l);
    l->base.env = env;
    l->world = world;
    l->is_unix = is_unix;
    l->accept = accept;
    l->user = user;
    memcpy(l->address, name, sizeof l->address);
    list_push_back(&world->sim->listeners, &l->link);
    sim_note(world->sim, world, "listen", 0, a.port, 0);
    *ret = &l->base;
    return ERR_OK;
}

const char *sim_net_listener_address(const struct env_listener *base)
{
    return ((const struct listener *)(const void *)base)->address;
}

void sim_net_listener_close(struct env_listener *base)
{
    struct listener *l = container_of(base, struct listener, base);
    list_remove(&l->link);
    free(l);
}

/* ---- Connects ---- */

static uint64_t latency(struct sim *sim)
{
    return sim_draw(sim, sim->net.least_ns, sim->net.most_ns);
}

static void answer(struct sim_event *event)
{
    struct connecting *c = container_of(event, struct connecting, event);
    struct env_connect *user = c->user;
    struct env_stream *stream = c->stream;
    err_t rc = c->rc;
    list_remove(&c->link);
    free(c);
    user->world = NULL;
    user->done(user, rc, rc == ERR_OK ? stream : NULL);
}

/* Back to the one who connects, with `rc`. */
static void settle(struct connecting *c, err_t rc, uint64_t after)
{
    c->settled = true;
    c->rc = rc;
    c->event.fire = answer;
    c->event.what = "connect";
    sim_at(c->world->sim, &c->event, c->world->sim->now + after);
}

static void syn_arrives(struct sim_event *event)
{
    struct connecting *c = container_of(event, struct connecting, event);
    struct sim *sim = c->world->sim;
    struct listener *l = find_listener(c->world, c->address, c->is_unix);
    struct sim_world *server = l == NULL ? c->world : l->world;
    bool cut = sim_net_is_cut(c->world, server) || sim_net_is_cut(server, c->world);
    if (cut || server->is_frozen || (sim_world_crashed(server) && server->powerless)) {
        if (sim->now >= c->give_up)
            settle(c, ERR_DEADLINE_EXCEEDED, 0);
        else
            sim_at(sim, event, sim->now + 200000000); /* another SYN */
        return;
    }
    if (l == NULL || sim_world_crashed(server)) {
        settle(c, ERR_CLOSED, latency(sim));
        return;
    }
    struct env_peer client_sees = { .has_credentials = c->is_unix, .uid = 1000, .pid = server->id };
    struct env_peer server_sees = { .has_credentials = c->is_unix,
                                    .uid = 1000,
                                    .pid = c->world->id };
    snprintf(client_sees.address, sizeof client_sees.address, "%s", c->address);
    if (c->is_unix)
        snprintf(server_sees.address, sizeof server_sees.address, "%s", c->address);
    else
        snprintf(server_sees.address, sizeof server_sees.address, "127.0.0.1:%u", sim->next_port++);
    struct sim_stream_end *ends[2];
    sim_stream_pair(c->world, server, &client_sees, &server_sees, ends);
    c->stream = sim_stream_of(ends[0]);
    settle(c, ERR_OK, latency(sim));
    server->touched = true;
    l->accept(l->user, sim_stream_of(ends[1]));
}

err_t sim_net_connect(struct env *env, const char *address, struct env_connect *user, struct err *e)
{
    struct sim_world *world = world_of(env);
    struct env_address a;
    char name[128];
    err_t rc = universal(address, &a, name, e);
    if (rc != ERR_OK)
        return rc;
    struct connecting *c = disk_alloc(sizeof *c);
    c->world = world;
    c->user = user;
    c->is_unix = a.kind == ENV_ADDRESS_UNIX;
    memcpy(c->address, name, sizeof c->address);
    c->event =
        (struct sim_event){ .world = world, .fire = syn_arrives, .what = "syn", .id = a.port };
    c->give_up = world->sim->now + connect_timeout_ns;
    list_push_back(&world->connects, &c->link);
    sim_at(world->sim, &c->event, world->sim->now + latency(world->sim));
    user->world = c;
    return ERR_OK;
}

static void drop_stream(struct connecting *c)
{
    if (c->stream != NULL)
        sim_stream_close(c->stream);
    c->stream = NULL;
}

void sim_net_connect_cancel(struct env *env, struct env_connect *user)
{
    (void)env;
    struct connecting *c = user->world;
    assert(c != NULL);
    drop_stream(c);
    settle(c, ERR_CANCELLED, 0);
}

/* ---- The end of a machine ---- */

void sim_net_crash(struct sim_world *world)
{
    sim_stream_crash(world);
    list_for_each(at, &world->connects)
        sim_cancel(world->sim, &container_of(at, struct connecting, link)->event);
}

size_t sim_world_reset_streams(struct sim_world *world)
{
    return sim_stream_reset_all(world);
}

/* Who has given up is told so, also by a world that ends: then the memory can be freed. */
static void run_cancelled(struct sim_world *world)
{
    for (;;) {
        struct connecting *found = NULL;
        list_for_each(at, &world->connects) {
            struct connecting *c = container_of(at, struct connecting, link);
            if (c->settled && c->rc == ERR_CANCELLED)
                found = c;
        }
        if (found == NULL)
            return;
        sim_cancel(world->sim, &found->event);
        answer(&found->event);
    }
}

bool sim_net_forget(struct sim_world *world)
{
    run_cancelled(world);
    sim_stream_run_closing(world);
    bool clean = list_empty(&world->connects);
    list_for_each_safe(at, &world->connects) {
        struct connecting *c = container_of(at, struct connecting, link);
        sim_cancel(world->sim, &c->event);
        c->user->world = NULL;
        list_remove(at);
        free(c);
    }
    clean = sim_stream_forget(world) && clean;
    list_for_each_safe(at, &world->sim->listeners) {
        struct listener *l = container_of(at, struct listener, link);
        if (l->world == world) {
            clean = false;
            sim_net_listener_close(&l->base);
        }
    }
    list_for_each(at, &world->sim->worlds)
        heal(container_of(at, struct sim_world, link), world);
    while (!list_empty(&world->cuts))
        heal(world, container_of(world->cuts.next, struct sim_cut, link)->to);
    return clean;
}
