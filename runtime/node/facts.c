/* What the node knows about itself, as values for scripts, the console and the CLI. */
#include "door.h"
#include "node/config_load.h"

#include <stdio.h>
#include <string.h>

static void put_number(struct value *map, const char *key, double x)
{
    value_put_number(value_set(map, key), x);
}

static void put_u64(struct value *map, const char *key, uint64_t x)
{
    value_put_u64(value_set(map, key), x);
}

static void put_text(struct value *map, const char *key, const char *x)
{
    value_put_text(value_set(map, key), x);
}

struct value *node_fact_status(struct node *n, const struct value *arguments)
{
    (void)arguments;
    const struct region_stats *s = region_stats(n->regions);
    struct value *v = value_new(VALUE_MAP);
    char hex[2 * STORAGE_CLUSTER_ID + 1], not_ready[512];
    for (unsigned i = 0; i < STORAGE_CLUSTER_ID; i++)
        snprintf(hex + 2 * i, 3, "%02x", n->cluster_id[i]);
    node_not_ready(n, not_ready, sizeof not_ready);
    put_u64(v, "node_id", n->node_id);
    put_text(v, "cluster_id", hex);
    put_text(v, "version", n->options.version);
    put_text(v, "state", node_state_name(n->state));
    value_put_bool(value_set(v, "ready"), not_ready[0] == 0);
    if (not_ready[0] != 0)
        put_text(v, "not_ready", not_ready);
    uint64_t uptime_ms = (env_now(n->env) - n->opened) / 1000000;
    put_number(v, "uptime_ms", (double)uptime_ms);
    put_text(v, "address", node_address(n));
    put_text(v, "console", node_console_text(n));
    put_text(v, "http", node_http_text(n));
    put_text(v, "data_dir", n->config.data_dir);
    put_u64(v, "regions", s->regions);
    put_u64(v, "leads", s->leaders);
    put_u64(v, "committed", s->committed);
    put_u64(v, "applied", s->applied);
    put_u64(v, "durable", s->storage.durable);
    put_number(v, "replayed", (double)s->replayed);
    put_number(v, "bytes", (double)s->approx_bytes);
    put_number(v, "keys", (double)s->approx_keys);
    put_number(v, "reads_per_s", s->reads_per_s);
    put_number(v, "writes_per_s", s->writes_per_s);
    put_number(v, "disk_available_bytes", (double)s->disk_available);
    put_number(v, "disk_total_bytes", (double)s->disk_total);
    put_u64(v, "hlc", region_hlc(n->regions));
    struct net_stats net = { 0 };
    if (n->server != NULL)
        net_server_stats(n->server, &net);
    put_number(v, "connections", (double)net.connections);
    put_number(v, "in_flight", (double)net.inflight);
    if (n->scripts != NULL) {
        struct script_bundle_info b;
        script_bundle(n->scripts, &b);
        put_text(v, "scripts", b.digest);
        put_text(v, "scripts_from", b.source);
    }
    return v;
}

/* ---- Metrics ------------------------------------------------------------------------------ */

struct rows {
    struct value *list;
    struct bytes prefix;
};

static void row_named(const struct rows *r, const char *name, const char *labels, double x)
{
    if (!bytes_starts_with(BYTES(name), r->prefix))
        return;
    struct value *row = value_add(r->list);
    value_put_map(row);
    put_text(row, "name", name);
    put_text(row, "labels", labels);
    put_number(row, "value", x);
}

static void row_sample(void *user, const struct metric *m, const char *labels, double x)
{
    row_named(user, m->name, labels, x);
}

static void row_histogram(void *user, const struct metric *m, const char *labels,
                          const struct histogram *h)
{
    static const struct {
        const char *suffix;
        double percent;
    } points[] = { { "p50", 50 }, { "p99", 99 }, { "p99.9", 99.9 } };
    char name[96];
    snprintf(name, sizeof name, "%s_count", m->name);
    row_named(user, name, labels, (double)h->count);
    for (size_t i = 0; i < sizeof points / sizeof *points; i++) {
        snprintf(name, sizeof name, "%s_%s", m->name, points[i].suffix);
        row_named(user, name, labels, (double)histogram_percentile(h, points[i].percent) / 1e6);
    }
}

struct value *node_fact_metrics(struct node *n, const struct value *arguments)
{
    struct rows r = { value_new(VALUE_LIST),
                      value_get_bytes(arguments, "prefix", bytes_from("", 0)) };
    node_metrics(n, &(struct metrics_sink){ row_sample, row_histogram, &r });
    return r.list;
}

/* ---- Region, plan ------------------------------------------------------------------------- */

static void put_peers(struct value *v, const struct region_info *info)
{
    struct value *list = value_set(v, "peers");
    value_put_list(list);
    for (size_t i = 0; i < info->peer_count; i++) {
        const struct region_peer_info *peer = &info->peers[i];
        struct value *p = value_add(list);
        value_put_map(p);
        put_u64(p, "id", peer->id);
        put_u64(p, "store", peer->store);
        put_text(p, "role", peer->learner ? "learner" : "voter");
        if (info->leads)
            put_u64(p, "match", peer->match);
    }
}

/* Sizes and rates are the store's: it has one region until regions split. */
static void put_region(struct value *v, struct node *n, const struct region_info *info)
{
    const struct region_stats *s = region_stats(n->regions);
    put_u64(v, "id", info->id);
    put_u64(v, "conf_ver", info->conf_ver);
    put_u64(v, "version", info->version);
    value_put_bytes(value_set(v, "start_key"), info->start);
    if (!info->end_unbounded) /* else end_key is nil: there is no end */
        value_put_bytes(value_set(v, "end_key"), info->end);
    put_number(v, "bytes", (double)s->approx_bytes);
    put_number(v, "keys", (double)s->approx_keys);
    put_number(v, "reads", (double)s->reads);
    put_number(v, "writes", (double)s->writes);
    put_number(v, "reads_per_s", s->reads_per_s);
    put_number(v, "writes_per_s", s->writes_per_s);
    put_u64(v, "term", info->term);
    put_u64(v, "last", info->last);
    put_u64(v, "committed", info->committed);
    put_u64(v, "applied", info->applied);
    put_u64(v, "leader", info->leader_store);
    put_u64(v, "peer", info->peer_id);
    put_peers(v, info);
}

struct value *node_fact_region(struct node *n)
{
    struct region_info info;
    struct value *v = value_new(VALUE_MAP);
    if (region_info(n->regions, REGION_SYSTEM, &info) == ERR_OK)
        put_region(v, n, &info);
    return v;
}

struct region_rows {
    struct node *n;
    struct value *list;
};

static void add_region(void *user, const struct region_info *info)
{
    struct region_rows *rows = user;
    struct value *v = value_add(rows->list);
    value_put_map(v);
    put_region(v, rows->n, info);
}

struct value *node_fact_region_list(struct node *n, const struct value *arguments)
{
    (void)arguments;
    struct region_rows rows = { n, value_new(VALUE_LIST) };
    region_each(n->regions, add_region, &rows);
    return rows.list;
}

struct value *node_fact_plan(struct node *n, const struct value *arguments)
{
    (void)arguments;
    const struct pd_decision *d = n->pd != NULL ? pd_decision(n->pd, 0) : NULL;
    struct value *v = value_new(VALUE_MAP);
    if (d == NULL) {
        value_put_bool(value_set(v, "ok"), false);
        put_text(v, "notes", "the policies have not been asked yet");
        value_put_list(value_set(v, "proposals"));
        return v;
    }
    put_number(v, "at_ms", (double)d->at_ms);
    put_u64(v, "id", d->id);
    value_put_bool(value_set(v, "ok"), d->rc == ERR_OK);
    put_text(v, "error", d->error);
    put_text(v, "notes", d->notes);
    put_number(v, "instructions", (double)d->instructions);
    put_number(v, "elapsed_us", (double)d->elapsed_ns / 1000);
    struct value *list = value_set(v, "proposals");
    value_put_list(list);
    for (unsigned i = 0; i < d->count; i++) {
        const struct pd_checked *c = &d->proposals[i];
        struct value *p = value_add(list);
        value_put_map(p);
        put_text(p, "kind", pd_kind_name(c->kind));
        put_u64(p, "region", c->region_id);
        if (c->kind == PD_SPLIT)
            value_put_bytes(value_set(p, "key"), bytes_from(c->split_key, c->split_key_len));
        if (c->to_store != 0)
            put_u64(p, "to_store", c->to_store);
        put_text(p, "reason", c->reason);
        value_put_bool(value_set(p, "accepted"), c->accepted);
        put_text(p, "verdict", c->verdict);
    }
    return v;
}

struct value *node_fact_config(struct node *n, const struct value *arguments)
{
    (void)arguments;
    return config_load_tree(&n->config);
}
