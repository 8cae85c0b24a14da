#include "node_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ballast.h"
#include "base/container.h"
#include "node/config_load.h"

#define MS         UINT64_C(1000000)
#define PUBLISH_NS (1000 * MS)
#define DELAY_NS   (100 * MS)
#define LINGER_NS  (100 * MS)
#define HUNG_NS    (5000 * MS) /* of one sync: the disk hangs (docs/operations.md) */
enum { TSO_WAITING_MAX = 65536, SLOW_READER_MS = 30000 };

uint64_t node_wall_ms(const struct node *n)
{
    return env_wall(n->env) / MS;
}

const char *node_state_name(enum node_state state)
{
    static const char *const names[] = { "opening", "serving", "draining", "drained", "failed" };
    return names[state];
}

/* How long the log's sync that runs now has been running, in ns; 0: none runs. */
static uint64_t sync_age(const struct node *n)
{
    uint64_t began = region_stats(n->regions)->sync_began;
    return began != 0 ? env_now(n->env) - began : 0;
}

void node_not_ready(const struct node *n, char *out, size_t len)
{
    out[0] = 0;
    if (n->state == NODE_FAILED)
        snprintf(out, len, "the store has failed: %s", n->failure);
    else if (n->state == NODE_OPENING)
        snprintf(out, len, "starting");
    else if (n->state != NODE_SERVING)
        snprintf(out, len, "stopping");
    else if (region_stats(n->regions)->disk_full)
        snprintf(out, len, "the disk is nearly full: writes are refused");
    else if (sync_age(n) > HUNG_NS)
        snprintf(out, len, "the disk has not answered a sync for %llu s",
                 (unsigned long long)(sync_age(n) / (1000 * MS)));
}

const char *node_address(const struct node *n)
{
    return n->address;
}

err_t node_digest(struct node *n, uint64_t *applied, struct digest *ret, struct err *e)
{
    struct region_info info;
    err_t rc = region_info(n->regions, REGION_SYSTEM, &info);
    if (rc != ERR_OK)
        return err_set(e, rc, "this store has no region %d", REGION_SYSTEM);
    rc = storage_digest(n->store, ret, e);
    if (rc == ERR_OK)
        *applied = info.applied;
    return rc;
}

const char *node_console_text(const struct node *n)
{
    return n->console != NULL ? node_console_address(n->console) : "";
}

const char *node_http_text(const struct node *n)
{
    return n->http != NULL ? node_http_address(n->http) : "";
}

/* ---- Ending ------------------------------------------------------------------------------- */

static void tell(struct node *n, enum node_exit code)
{
    if (n->told)
        return;
    n->told = true;
    if (n->options.stopped != NULL)
        n->options.stopped(n->options.user, code);
}

static void store_failed(void *user, err_t rc, const char *why)
{
    struct node *n = user;
    n->state = NODE_FAILED;
    snprintf(n->failure, sizeof n->failure, "%s: %s", err_name(rc), why);
    tell(n, NODE_EXIT_WRITE_ERROR);
}

/* Everything is answered. Those who are still connected are told, and have a moment to read it: a
 * request that meets a closed socket without a word would leave its sender in doubt. */
static void drained(void *user)
{
    struct node *n = user;
    struct net_stats s;
    if (n->state != NODE_DRAINING)
        return;
    n->state = NODE_DRAINED;
    net_server_stats(n->server, &s);
    net_server_part(n->server);
    env_timer_start(n->env, &n->drain_deadline, s.connections > 0 ? LINGER_NS : 0);
}

static void drain_over(struct env_timer *timer)
{
    struct node *n = container_of(timer, struct node, drain_deadline);
    if (n->state == NODE_DRAINING) {
        struct net_stats s;
        net_server_stats(n->server, &s);
        logger_warn(n->log, "requests were still in flight at the end of the drain",
                    logger_u64("in_flight", s.inflight), logger_u64("ms", n->config.drain_ms));
    } else if (n->state == NODE_DRAINED && n->server != NULL) {
        /* Now, while the loop runs: closing the store may take a while, and whoever asked in the
         * meantime would never get an answer. */
        net_server_close(n->server);
        n->server = NULL;
        env_timer_start(n->env, &n->drain_deadline, 10 * MS);
        return;
    }
    n->state = NODE_DRAINED;
    tell(n, NODE_EXIT_CLEAN);
}

void node_drain(struct node *n)
{
    if (n->state != NODE_SERVING)
        return;
    n->state = NODE_DRAINING;
    logger_info(n->log, "stopping: no new requests are taken");
    env_timer_start(n->env, &n->drain_deadline, n->config.drain_ms * MS);
    region_store_hand_over(n->regions);
    if (n->pd != NULL)
        pd_stop(n->pd);
    net_server_drain(n->server, drained, n);
}

static void reloaded(void *user, err_t rc, const char *message, bool changed)
{
    struct node *n = user;
    if (rc != ERR_OK)
        logger_error(n->log, "the scripts were not reloaded, the old ones run on",
                     logger_text("reason", message));
    else
        logger_info(n->log, "scripts reloaded", logger_bool("changed", changed));
}

void node_reload(struct node *n)
{
    if (n->scripts != NULL)
        script_reload(n->scripts, reloaded, n);
}

/* ---- Periodic ----------------------------------------------------------------------------- */

static void publish(struct env_timer *timer)
{
    struct node *n = container_of(timer, struct node, publish);
    logger_tick(n->log);
    if (n->http != NULL) {
        char not_ready[512];
        node_not_ready(n, not_ready, sizeof not_ready);
        buf_clear(&n->snapshot);
        node_metrics_text(n, &n->snapshot);
        node_http_publish(n->http, &n->snapshot, not_ready);
    }
    env_timer_start(n->env, &n->publish, PUBLISH_NS);
}

static void delay(struct env_timer *timer)
{
    struct node *n = container_of(timer, struct node, delay);
    uint64_t now = env_now(n->env);
    histogram_add(&n->loop_delay_us, (now - n->delay_due) / 1000);
    n->delay_due = now + DELAY_NS;
    env_timer_start(n->env, &n->delay, DELAY_NS);
}

/* ---- Opening ------------------------------------------------------------------------------ */

static struct storage_config storage_config(const struct node_options *o)
{
    struct node_memory memory = node_memory_divide(o->config);
    return (struct storage_config){
        .path = o->config->data_dir,
        .engine = o->engine,
        .engine_config = { .block_cache_bytes = memory.block_cache,
                           .memtable_bytes =
                               o->memtable_bytes != 0 ? o->memtable_bytes : memory.memtables,
                           .background_jobs = o->config->storage.background_jobs },
        .segment_bytes = o->config->storage.segment_bytes,
        .spare_segments = o->config->storage.spare_segments,
        .accept_panic = o->config->accept_panic,
        .log = o->log,
    };
}

/* ---- Other stores ------------------------------------------------------------------------- */

static void send_batch(void *user, uint64_t store, struct buf *body)
{
    struct node *n = user;
    net_peers_send(n->peers, store, NET_RAFT, body);
}

static err_t take_push(void *user, uint64_t store, uint64_t incarnation, uint16_t method,
                       struct bytes body)
{
    struct node *n = user;
    struct err e = { 0 };
    (void)incarnation;
    err_t rc = method == NET_RAFT
                   ? region_store_receive(n->regions, store, body, &e)
                   : err_set(&e, ERR_UNIMPLEMENTED, "no push has the number %u", (unsigned)method);
    if (rc != ERR_OK)
        logger_warn(n->log, "a message of another store was refused", logger_u64("store", store),
                    logger_err(&e));
    return rc;
}

static void peer_unreachable(void *user, uint64_t store)
{
    struct node *n = user;
    if (n->regions != NULL)
        region_store_unreachable(n->regions, store);
}

static const char *address_of(void *self, uint64_t store)
{
    const struct node *n = self;
    for (uint32_t i = 0; i < n->config.cluster.count; i++)
        if (n->config.cluster.stores[i].id == store)
            return n->config.cluster.stores[i].address;
    return NULL;
}

static err_t open_peers(struct node *n, struct err *e)
{
    snprintf(n->identity, sizeof n->identity, "flotilla/%s", n->options.version);
    struct net_peers_config c = { .cluster_id = bytes_from(n->cluster_id, sizeof n->cluster_id),
                                  .node_id = n->node_id,
                                  .incarnation = storage_ident(n->store)->incarnation,
                                  .identity = n->identity,
                                  .unreachable = peer_unreachable,
                                  .user = n };
    err_t rc = net_peers_open(n->env, n->log, &c, &n->peers, e);
    for (uint32_t i = 0; rc == ERR_OK && i < n->config.cluster.count; i++)
        if (n->config.cluster.stores[i].id != n->node_id)
            net_peers_set(n->peers, n->config.cluster.stores[i].id,
                          n->config.cluster.stores[i].address);
    return rc;
}

static err_t open_store(struct node *n, struct err *e)
{
    struct storage_config c = storage_config(&n->options);
    err_t rc = storage_open(n->env, &c, &n->store, e);
    if (rc != ERR_OK)
        return rc;
    const struct storage_ident *ident = storage_ident(n->store);
    n->node_id = ident->store_id;
    memcpy(n->cluster_id, ident->cluster_id, sizeof n->cluster_id);
    rc = open_peers(n, e);
    if (rc != ERR_OK)
        return rc;
    const struct node_config *o = &n->config;
    struct region_config rc_config = {
        .uncommitted_bytes_max = o->region.uncommitted_bytes_max,
        .uncommitted_max = o->region.uncommitted_max,
        .busy_backoff_ms = o->region.busy_backoff_ms,
        .reads_max = o->region.reads_max,
        .apply_inline_bytes = o->region.apply_inline_bytes,
        .samples = o->region.samples,
        .disk_reserve_percent = o->storage.disk_reserve_percent,
        .max_offset_ms = o->hlc.max_offset_ms,
        .hlc_window_ms = o->hlc.window_ms,
        .transport = { .send = send_batch, .user = n },
        .path = o->data_dir,
        .failed = store_failed,
        .user = n,
    };
    rc = region_store_open(n->env, n->log, n->store, &rc_config, &n->regions, e);
    if (rc != ERR_OK)
        return rc;
    struct pd_tso_config tso = { .window_ms = o->tso.window_ms,
                                 .count_max = o->tso.count_max,
                                 .waiting_max = TSO_WAITING_MAX };
    n->oracle = pd_tso_open(n->env, n->log, n->store, n->regions, &tso);
    return ERR_OK;
}

static void backend_write(void *self, struct region_write *w)
{
    region_propose(((struct node *)self)->regions, w);
}

static const struct storage_result *backend_result(void *self, const struct region_write *w,
                                                   uint32_t i)
{
    (void)self;
    return region_write_result(w, i);
}

static void backend_get(void *self, struct region_read *q)
{
    region_get(((struct node *)self)->regions, q);
}

static void backend_scan(void *self, struct region_scan *s)
{
    region_scan(((struct node *)self)->regions, s);
}

/* Who does not lead the system region may not have heard of it yet: there the region says whom to ask. */
static bool backend_namespace(void *self, uint32_t id)
{
    struct node *n = self;
    return id == 1 || storage_namespace_exists(n->store, id) ||
           !region_leads(n->regions, REGION_SYSTEM, NULL);
}

static void make_handlers(struct node *n)
{
    n->calls.env = n->env;
    n->calls.address_of = address_of;
    n->calls.self = n;
    n->backend = (struct kv_backend){ .write = backend_write,
                                      .result = backend_result,
                                      .get = backend_get,
                                      .scan = backend_scan,
                                      .namespace_exists = backend_namespace,
                                      .self = n };
    n->kv = kv_new(&n->calls, &n->backend,
                   &(struct kv_config){ .scan_rows_max = n->config.region.scan_rows_max,
                                        .scan_bytes_max = n->config.region.scan_bytes_max });
    n->namespaces = node_namespaces_new(&n->calls, n->regions, n->store);
    n->tso = node_tso_new(&n->calls, n->oracle);
    n->admin = node_admin_new(&n->calls);
    struct net_handler *h = n->handlers;
    memcpy(h, kv_handlers(n->kv), KV_HANDLERS * sizeof *h);
    h += KV_HANDLERS;
    memcpy(h, node_namespaces_handlers(n->namespaces), NODE_NAMESPACE_HANDLERS * sizeof *h);
    h += NODE_NAMESPACE_HANDLERS;
    h[0] = node_tso_handler(n->tso);
    h[1] = node_admin_handler(n->admin);
}

static err_t open_server(struct node *n, struct err *e)
{
    const struct node_config *o = &n->config;
    struct node_memory memory = node_memory_divide(o);
    struct net_server_config c = {
        .address = o->address,
        .limits = { .frame_max = o->limits.frame_max,
                    .connections_max = o->limits.connections_max,
                    .inflight_max = o->limits.inflight_max,
                    .inflight_bytes_max = memory.requests,
                    .backlog_max = o->limits.backlog_max,
                    .hello_ms = o->limits.hello_ms,
                    .idle_ms = o->limits.idle_ms,
                    .slow_ms = SLOW_READER_MS },
        .handlers = n->handlers,
        .handler_count = NODE_HANDLERS,
        .cluster_id = bytes_from(n->cluster_id, sizeof n->cluster_id),
        .node_id = n->node_id,
        .identity = n->identity,
        .push = take_push,
        .push_user = n,
    };
    err_t rc = net_server_open(n->env, n->log, &c, &n->server, e);
    if (rc == ERR_OK)
        snprintf(n->address, sizeof n->address, "%s", net_server_address(n->server));
    return rc;
}

static err_t open_scripts(struct node *n, struct err *e)
{
    const struct node_config *o = &n->config;
    struct script_config c = {
        .lua_dir = o->policy.lua_dir[0] != 0 ? o->policy.lua_dir : NULL,
        .policy = { o->policy.memory_bytes, o->policy.instructions, o->policy.deadline_ms },
        .session = { o->policy.session_memory_bytes, o->policy.session_instructions,
                     o->policy.session_deadline_ms },
        .sessions_max = o->console.sessions_max,
        .door = node_door(n),
        .watch = o->policy.watch,
        .params = config_load_params(o),
    };
    err_t rc = script_host_open(n->env, n->log, &c, &n->scripts, e);
    if (rc != ERR_OK)
        return rc;
    node_admin_host(n->admin, n->scripts);
    struct pd_policy policy;
    script_host_policy(n->scripts, &policy);
    n->pd = pd_new(n->env, n->log, n->regions, &policy,
                   &(struct pd_config){ .interval_ms = o->policy.interval_ms,
                                        .store_id = n->node_id,
                                        .address = n->address });
    return ERR_OK;
}

static err_t open_console(struct node *n, struct err *e)
{
    const struct node_config *o = &n->config;
    char address[NODE_PATH_MAX + 32];
    if (strcmp(o->console.address, "off") == 0)
        return ERR_OK;
    snprintf(address, sizeof address, "unix:%s/console.sock", o->data_dir);
    struct node_console_config c = {
        .address = o->console.address[0] != 0 ? o->console.address : address,
        .idle_ms = o->console.idle_s * 1000,
        .cluster_id = bytes_from(n->cluster_id, sizeof n->cluster_id),
        .node_id = n->node_id,
    };
    return node_console_open(n->env, n->log, n->scripts, &c, &n->console, e);
}

static enum node_exit exit_of_store(err_t rc)
{
    return rc == ERR_INVALID_ARGUMENT ? NODE_EXIT_USAGE : NODE_EXIT_STORE;
}

static enum node_exit exit_of_address(err_t rc)
{
    return rc == ERR_NOMEM ? NODE_EXIT_FAILED : NODE_EXIT_ADDRESS;
}

static err_t open_all(struct node *n, enum node_exit *code, struct err *e)
{
    *code = NODE_EXIT_USAGE;
    err_t rc = node_config_check(&n->config, e);
    if (rc != ERR_OK)
        return rc;
    if ((rc = open_store(n, e)) != ERR_OK) {
        *code = exit_of_store(rc);
        return err_wrap(e, rc, "could not open the store in \"%s\"", n->config.data_dir);
    }
    node_ballast_keep(n->env, n->log, n->config.data_dir, n->config.storage.ballast_bytes,
                      n->config.storage.disk_reserve_percent);
    make_handlers(n);
    if ((rc = open_server(n, e)) != ERR_OK) {
        *code = exit_of_address(rc);
        if (rc == ERR_ADDRESS_IN_USE)
            return err_wrap(e, rc,
                            "address %s is in use: is a node running already? Stop it, or set "
                            "another address",
                            n->config.address);
        return rc; /* it names the address */
    }
    if (!n->options.without_scripts) {
        if ((rc = open_scripts(n, e)) != ERR_OK) {
            *code = rc == ERR_INVALID_ARGUMENT ? NODE_EXIT_USAGE : NODE_EXIT_FAILED;
            return rc; /* it says that it is about scripts */
        }
        if ((rc = open_console(n, e)) != ERR_OK) {
            *code = exit_of_address(rc);
            return err_wrap(e, rc, "could not open the console");
        }
    }
    if (n->config.http.address[0] != 0) {
        rc = node_http_open(n->env, n->config.http.address, &n->http, e);
        if (rc != ERR_OK) {
            *code = rc == ERR_INVALID_ARGUMENT ? NODE_EXIT_USAGE : NODE_EXIT_ADDRESS;
            return rc;
        }
    }
    *code = NODE_EXIT_CLEAN;
    return ERR_OK;
}

err_t node_open(const struct node_options *options, struct node **ret, enum node_exit *exit_code,
                struct err *e)
{
    struct node *n = calloc(1, sizeof *n);
    if (n == NULL)
        abort(); /* small and fixed */
    n->options = *options;
    n->config = *options->config;
    n->options.config = &n->config;
    n->env = options->env;
    n->log = options->log;
    n->opened = env_now(n->env);
    n->drain_deadline.fire = drain_over;
    n->publish.fire = publish;
    n->delay.fire = delay;
    err_t rc = open_all(n, exit_code, e);
    if (rc != ERR_OK) {
        node_close(n);
        return rc;
    }
    n->state = NODE_SERVING;
    n->delay_due = env_now(n->env) + DELAY_NS;
    env_timer_start(n->env, &n->publish, 0);
    env_timer_start(n->env, &n->delay, DELAY_NS);
    logger_info(n->log, "serving", logger_text("address", node_address(n)),
                logger_u64("node", n->node_id),
                logger_u64("applied", region_stats(n->regions)->applied),
                logger_u64("replayed", region_stats(n->regions)->replayed));
    *ret = n;
    return ERR_OK;
}

/* Everything under way is answered before what it hangs on goes: first the region (its lanes end,
 * its operations are answered), then the scripts (what they still ask is refused at once), then
 * the connections. */
static void close_all(struct node *n, bool clean)
{
    env_timer_stop(n->env, &n->drain_deadline);
    env_timer_stop(n->env, &n->publish);
    env_timer_stop(n->env, &n->delay);
    node_http_close(n->http);
    if (n->pd != NULL)
        pd_stop(n->pd);
    if (n->oracle != NULL)
        pd_tso_stop(n->oracle);
    if (n->regions != NULL)
        region_store_stop(n->regions, clean);
    node_console_close(n->console);
    if (n->admin != NULL)
        node_admin_host(n->admin, NULL);
    script_host_close(n->scripts);
    pd_close(n->pd);
    net_server_close(n->server);
    node_admin_free(n->admin);
    node_tso_free(n->tso);
    node_namespaces_free(n->namespaces);
    kv_free(n->kv);
    pd_tso_close(n->oracle);
    region_store_close(n->regions);
    net_peers_close(n->peers);
    if (clean)
        storage_close(n->store);
    else
        storage_abandon(n->store);
    buf_free(&n->snapshot);
    free(n);
}

void node_close(struct node *n)
{
    if (n != NULL)
        close_all(n, n->state != NODE_FAILED);
}

void node_abandon(struct node *n)
{
    if (n != NULL)
        close_all(n, false);
}

static int compare_ids(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* The stores that hold the first region, ascending. */
static unsigned first_stores(const struct node_config *c, uint64_t stores[RAFT_MAX_PEERS])
{
    unsigned n = 0;
    for (; n < c->cluster.count; n++)
        stores[n] = c->cluster.stores[n].id;
    if (n == 0)
        stores[n++] = c->init.store_id;
    qsort(stores, n, sizeof *stores, compare_ids);
    return n;
}

err_t node_init(const struct node_options *o, struct err *e)
{
    err_t rc = node_config_check(o->config, e);
    if (rc != ERR_OK)
        return rc;
    struct storage_ident ident = { .store_id = o->config->init.store_id,
                                   .incarnation = env_random_u64(o->env) };
    const char *hex = o->config->init.cluster_id;
    if (hex[0] == 0)
        env_random(o->env, ident.cluster_id, sizeof ident.cluster_id);
    for (unsigned i = 0; hex[0] != 0 && i < sizeof ident.cluster_id; i++) {
        unsigned byte = 0;
        (void)sscanf(hex + 2 * i, "%2x", &byte); /* 32 hex digits: node_config_check() */
        ident.cluster_id[i] = (uint8_t)byte;
    }
    uint64_t stores[RAFT_MAX_PEERS];
    unsigned count = first_stores(o->config, stores);
    struct region_meta meta;
    struct buf bytes = { 0 };
    region_meta_first(&meta, stores, count);
    rc = region_meta_encode(&meta, &bytes);
    region_meta_free(&meta);
    struct storage_config c = storage_config(o);
    struct storage_first first = { .region = REGION_SYSTEM, .meta = buf_bytes(&bytes) };
    if (rc == ERR_OK)
        rc = storage_init(o->env, &c, &ident, &first, e);
    else
        err_set(e, rc, "no memory for the first region");
    buf_free(&bytes);
    return rc;
}
