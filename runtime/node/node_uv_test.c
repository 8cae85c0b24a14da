/* A whole node in the machine's world, on engine_mem: real threads, so that the thread sanitizer
 * can look at all of ours (RocksDB's own threads are not built for it). Clients in threads of
 * their own write, read, scan, ask for timestamps and scrape the metrics while the node runs. */
#include "node/node.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/container.h"
#include "base/test.h"
#include "flotilla/client.h"
#include "storage/engine_mem.h"
#include "uv/world.h"

enum { CLIENTS = 4, ROUNDS = 300 };

struct rig {
    struct world *world;
    struct env *env;
    struct node *node;
    char address[NODE_ADDRESS_MAX];
    struct env_job end; /* posted by the last client */
    atomic_int running;
    enum node_exit code;
    bool stopped;
};

struct client {
    struct rig *rig;
    pthread_t thread;
    unsigned id;
    uint32_t ns;
    char failure[300];
};

static bool work(struct client *c, struct flotilla *db, unsigned i, struct flotilla_error *e)
{
    char key[32];
    uint64_t version, stamp;
    struct flotilla_value v = { 0 };
    struct flotilla_scan *scan;
    struct flotilla_row row;
    snprintf(key, sizeof key, "%u/%03u", c->id, i);
    if (flotilla_raw_put(db, 1, FLOTILLA_TEXT(key), FLOTILLA_TEXT(key), e) != FLOTILLA_OK ||
        flotilla_get(db, 1, FLOTILLA_TEXT(key), &v, e) != FLOTILLA_OK)
        return false;
    bool same = v.found && v.len == strlen(key) && memcmp(v.data, key, v.len) == 0;
    flotilla_value_free(&v);
    if (!same) {
        snprintf(e->message, sizeof e->message, "%s reads back wrong", key);
        return false;
    }
    if (flotilla_cas_put(db, 1, FLOTILLA_TEXT(key), 0, FLOTILLA_TEXT("1"), &version, NULL, e) !=
            FLOTILLA_OK ||
        flotilla_get_tso(db, 3, &stamp, e) != FLOTILLA_OK)
        return false;
    if (i % 10 != 0)
        return true;
    unsigned rows = 0;
    if (flotilla_scan(db, 1, NULL, &scan, e) != FLOTILLA_OK)
        return false;
    while (flotilla_scan_next(scan, &row, e))
        rows++;
    flotilla_scan_close(scan);
    if (rows <= i)
        snprintf(e->message, sizeof e->message, "a scan has %u rows alone", rows);
    return rows > i;
}

/* Row 000-17. All clients create theirs at the same time: each gets an id of its own. */
static bool use_namespace(struct client *c, struct flotilla *db, struct flotilla_error *e)
{
    char name[16];
    struct flotilla_value here = { 0 }, there = { 0 };
    snprintf(name, sizeof name, "space-%u", c->id);
    if (flotilla_namespace_create(db, name, "strong", &c->ns, e) != FLOTILLA_OK ||
        flotilla_raw_put(db, c->ns, FLOTILLA_TEXT("only-here"), FLOTILLA_TEXT(name), e) !=
            FLOTILLA_OK ||
        flotilla_get(db, c->ns, FLOTILLA_TEXT("only-here"), &here, e) != FLOTILLA_OK ||
        flotilla_get(db, 1, FLOTILLA_TEXT("only-here"), &there, e) != FLOTILLA_OK)
        return false;
    bool good = here.found && here.len == strlen(name) && memcmp(here.data, name, here.len) == 0 &&
                !there.found;
    flotilla_value_free(&here);
    flotilla_value_free(&there);
    if (good && flotilla_namespace_create(db, name, NULL, NULL, e) != FLOTILLA_ALREADY_EXISTS)
        good = false;
    if (good &&
        flotilla_namespace_create(db, "No Name", NULL, NULL, e) != FLOTILLA_INVALID_ARGUMENT)
        good = false;
    if (good && flotilla_namespace_create(db, "ev", "eventual", NULL, e) != FLOTILLA_UNIMPLEMENTED)
        good = false;
    if (!good)
        snprintf(e->message, sizeof e->message, "namespace %s is not what it should be", name);
    return good;
}

static void *client_run(void *arg)
{
    struct client *c = arg;
    struct flotilla *db;
    struct flotilla_error e = { 0 };
    struct flotilla_options o = { .size = sizeof o,
                                  .endpoint = c->rig->address,
                                  .timeout_ms = 60000 };
    bool good = flotilla_open(&o, &db, &e) == FLOTILLA_OK && use_namespace(c, db, &e);
    for (unsigned i = 0; good && i < ROUNDS; i++)
        good = work(c, db, i, &e);
    if (!good)
        snprintf(c->failure, sizeof c->failure, "%s", e.message);
    flotilla_close(db);
    if (atomic_fetch_sub(&c->rig->running, 1) == 1)
        env_post(c->rig->env, &c->rig->end);
    return NULL;
}

static void all_done(struct env_job *job)
{
    node_drain(container_of(job, struct rig, end)->node);
}

static void stopped(void *user, enum node_exit code)
{
    struct rig *r = user;
    r->stopped = true;
    r->code = code;
    env_stop(r->env);
}

TEST(node_in_the_machine_serves_clients_of_many_threads_and_drains)
{
    struct rig r = { .end = { .done = all_done } };
    struct err e = { 0 };
    struct node_config config;
    struct client clients[CLIENTS] = { 0 };
    enum node_exit code;
    char *dir = test_dir();
    node_config_defaults(&config);
    snprintf(config.data_dir, sizeof config.data_dir, "%s/store", dir);
    strcpy(config.address, "127.0.0.1:0");
    strcpy(config.http.address, "127.0.0.1:0");
    config.storage.segment_bytes = 1 << 20;
    config.storage.ballast_bytes = 1 << 20;
    config.policy.interval_ms = 50; /* plans run beside the requests */
    CHECK_OK(world_open(NULL, &r.world, &e), e);
    r.env = world_env(r.world);
    struct node_options o = { .env = r.env,
                              .engine = &engine_mem,
                              .config = &config,
                              .version = "test",
                              .stopped = stopped,
                              .user = &r };
    CHECK_OK(node_init(&o, &e), e);
    CHECK_OK(node_open(&o, &r.node, &code, &e), e);
    snprintf(r.address, sizeof r.address, "%s", node_address(r.node));
    atomic_store(&r.running, CLIENTS);
    for (unsigned i = 0; i < CLIENTS; i++) {
        clients[i] = (struct client){ .rig = &r, .id = i };
        CHECK_EQ(pthread_create(&clients[i].thread, NULL, client_run, &clients[i]), 0);
    }
    world_run(r.world);
    CHECK(r.stopped);
    CHECK_EQ(r.code, NODE_EXIT_CLEAN);
    for (unsigned i = 0; i < CLIENTS; i++) {
        pthread_join(clients[i].thread, NULL);
        CHECK_STR(clients[i].failure, "");
        for (unsigned j = 0; j < i; j++)
            CHECK(clients[i].ns != clients[j].ns);
    }
    node_close(r.node);
    world_close(r.world);
    free(dir);
}

TEST_MAIN()
