#include "metrics.h"

#include <stdio.h>
#include <string.h>

#include "node_int.h"

static void one(const struct metrics_sink *s, enum metric_kind kind, const char *name,
                const char *help, double value)
{
    const struct metric m = { name, help, kind };
    s->sample(s->user, &m, "", value);
}

static void counter(const struct metrics_sink *s, const char *name, const char *help,
                    uint64_t value)
{
    one(s, METRIC_COUNTER, name, help, (double)value);
}

static void gauge(const struct metrics_sink *s, const char *name, const char *help, double value)
{
    one(s, METRIC_GAUGE, name, help, value);
}

static void histogram(const struct metrics_sink *s, const char *name, const char *help,
                      const struct histogram *h)
{
    const struct metric m = { name, help, METRIC_HISTOGRAM };
    s->histogram(s->user, &m, "", h);
}

static void requests(const struct node *n, const struct metrics_sink *s)
{
    const struct metric total = { "flotilla_requests_total", "requests answered, by outcome",
                                  METRIC_COUNTER };
    const struct metric latency = { "flotilla_request_seconds",
                                    "from a request's handler to its answer", METRIC_HISTOGRAM };
    char labels[128];
    for (unsigned i = 0; i < n->calls.count; i++) {
        const struct node_method *m = &n->calls.methods[i];
        for (unsigned code = 0; code < NODE_CODES; code++) {
            if (m->outcomes[code] == 0 && code != ERR_OK)
                continue;
            snprintf(labels, sizeof labels, "method=\"%s\",code=\"%s\"", m->name,
                     err_name((err_t)code));
            s->sample(s->user, &total, labels, (double)m->outcomes[code]);
        }
    }
    for (unsigned i = 0; i < n->calls.count; i++) {
        const struct node_method *m = &n->calls.methods[i];
        snprintf(labels, sizeof labels, "method=\"%s\"", m->name);
        s->histogram(s->user, &latency, labels, &m->latency_us);
    }
}

static void connections(const struct node *n, const struct metrics_sink *s)
{
    struct net_stats v = { 0 };
    if (n->server != NULL)
        net_server_stats(n->server, &v);
    gauge(s, "flotilla_connections", "client connections that are open", (double)v.connections);
    counter(s, "flotilla_connections_accepted_total", "connections accepted", v.accepted);
    counter(s, "flotilla_connections_refused_total", "connections above the limit", v.refused);
    counter(s, "flotilla_connections_idle_closed_total", "closed for being idle", v.idle_closed);
    counter(s, "flotilla_connections_slow_closed_total", "closed for not reading", v.slow_closed);
    counter(s, "flotilla_protocol_errors_total", "malformed frames", v.protocol_errors);
    gauge(s, "flotilla_requests_in_flight", "requests not answered yet", (double)v.inflight);
    gauge(s, "flotilla_requests_in_flight_bytes", "their bodies", (double)v.inflight_bytes);
    counter(s, "flotilla_network_receive_bytes_total", "bytes from clients", v.bytes_in);
    counter(s, "flotilla_network_transmit_bytes_total", "bytes to clients", v.bytes_out);
}

static void region(const struct node *n, const struct metrics_sink *s)
{
    const struct region_stats *v = region_stats(n->regions);
    gauge(s, "flotilla_region_committed_index", "newest committed log entry", (double)v->committed);
    gauge(s, "flotilla_region_applied_index", "newest applied log entry", (double)v->applied);
    gauge(s, "flotilla_region_bytes", "estimated size of the data", (double)v->approx_bytes);
    gauge(s, "flotilla_region_keys", "estimated number of keys", (double)v->approx_keys);
    counter(s, "flotilla_region_reads_total", "keys read", v->reads);
    counter(s, "flotilla_region_writes_total", "commands applied", v->writes);
    counter(s, "flotilla_region_conflicts_total", "compare-and-swaps that found another version",
            v->conflicts);
    gauge(s, "flotilla_region_reads_per_second", "decayed mean of a minute", v->reads_per_s);
    gauge(s, "flotilla_region_writes_per_second", "decayed mean of a minute", v->writes_per_s);
    gauge(s, "flotilla_region_uncommitted", "commands proposed and not answered",
          (double)v->uncommitted);
    gauge(s, "flotilla_region_uncommitted_bytes", "their bodies", (double)v->uncommitted_bytes);
    gauge(s, "flotilla_region_reads_waiting", "reads waiting for apply or for the disk",
          (double)v->reads_waiting);
    counter(s, "flotilla_region_turns_total", "log batches of commands", v->turns);
    counter(s, "flotilla_region_turns_inline_total", "of them applied on the loop thread",
            v->turns_inline);
    counter(s, "flotilla_region_reads_cached_total", "reads that memory answered", v->reads_cached);
    counter(s, "flotilla_region_reads_lane_total", "reads and scans that went to the READ lane",
            v->reads_lane);
    gauge(s, "flotilla_regions", "regions that have a replica here", (double)v->regions);
    gauge(s, "flotilla_leaders", "of them led by this node", (double)v->leaders);
    counter(s, "flotilla_elections_total", "elections won", v->elections);
    counter(s, "flotilla_raft_messages_received_total", "messages from other stores",
            v->messages_in);
    counter(s, "flotilla_raft_messages_sent_total", "messages to other stores", v->messages_out);
    counter(s, "flotilla_raft_batches_sent_total", "frames that carried them", v->batches_out);
    counter(s, "flotilla_raft_messages_refused_total", "for no peer of this store",
            v->messages_refused);
    gauge(s, "flotilla_entry_cache_bytes", "log entries in memory", (double)v->cache_bytes);
    counter(s, "flotilla_refused_not_leader_total", "refused with NOT_LEADER", v->refused_leader);
    counter(s, "flotilla_undetermined_total", "writes whose outcome is not known", v->undetermined);
    counter(s, "flotilla_refused_busy_total", "refused with SERVER_IS_BUSY", v->refused_busy);
    counter(s, "flotilla_refused_disk_full_total", "refused with DISK_FULL", v->refused_disk);
    counter(s, "flotilla_refused_hlc_total", "refused with HLC_REFUSED", v->refused_hlc);
    counter(s, "flotilla_refused_epoch_total", "meant another region or epoch", v->refused_epoch);
    counter(s, "flotilla_expired_total", "deadline passed before the work began", v->expired);
    counter(s, "flotilla_clock_jumps_total", "jumps of the wall clock", v->clock_jumps);
    histogram(s, "flotilla_log_sync_seconds", "a log batch: write and sync", &v->sync_us);
    histogram(s, "flotilla_apply_seconds", "applying a log batch", &v->apply_us);
    histogram(s, "flotilla_write_seconds", "a write from proposal to answer", &v->write_us);
}

static void storage(const struct node *n, const struct metrics_sink *s)
{
    const struct region_stats *r = region_stats(n->regions);
    const struct storage_stats *v = &r->storage;
    counter(s, "flotilla_log_batches_total", "batches written to the log", v->batches);
    counter(s, "flotilla_log_syncs_total", "syncs of the log", v->syncs);
    counter(s, "flotilla_log_commands_total", "commands written to the log", v->commands);
    counter(s, "flotilla_log_bytes_total", "bytes written to the log", v->wal_bytes);
    counter(s, "flotilla_log_user_bytes_total", "keys and values in them", v->user_bytes);
    gauge(s, "flotilla_log_sync_running_seconds", "age of the sync that runs now; 0 if none",
          r->sync_began != 0 ? (double)(env_now(n->env) - r->sync_began) / 1e9 : 0);
    gauge(s, "flotilla_log_segments", "log segments in use", (double)v->segments);
    gauge(s, "flotilla_log_spare_segments", "log segments ready for use",
          (double)v->spare_segments);
    gauge(s, "flotilla_log_durable_index", "newest entry that the engine cannot lose",
          (double)v->durable);
    gauge(s, "flotilla_log_replayed_entries", "entries re-applied at the start",
          (double)r->replayed);
    gauge(s, "flotilla_engine_bytes", "live data in the engine",
          (double)v->engine.approximate_bytes);
    gauge(s, "flotilla_engine_memtable_bytes", "not flushed yet", (double)v->engine.memtable_bytes);
    gauge(s, "flotilla_engine_block_cache_bytes", "blocks in memory",
          (double)v->engine.block_cache_bytes);
    gauge(s, "flotilla_engine_sst_files", "table files", (double)v->engine.sst_files);
    gauge(s, "flotilla_engine_compactions", "running compactions",
          (double)v->engine.running_compactions);
    gauge(s, "flotilla_engine_flushes", "running flushes", (double)v->engine.running_flushes);
    gauge(s, "flotilla_engine_background_errors", "above 0 the node exits",
          (double)v->engine.background_errors);
    gauge(s, "flotilla_engine_stalled", "1 while the engine delays writes", v->engine.stalled);
    gauge(s, "flotilla_disk_available_bytes", "free space", (double)r->disk_available);
    gauge(s, "flotilla_disk_total_bytes", "size of the file system", (double)r->disk_total);
    gauge(s, "flotilla_disk_full", "1 while writes answer DISK_FULL", r->disk_full);
}

static void pd(const struct node *n, const struct metrics_sink *s)
{
    struct pd_tso_stats t;
    pd_tso_stats(n->oracle, &t);
    counter(s, "flotilla_tso_requests_total", "requests for timestamps", t.requests);
    counter(s, "flotilla_tso_stamps_total", "timestamps given", t.stamps);
    counter(s, "flotilla_tso_windows_total", "windows saved", t.windows);
    counter(s, "flotilla_tso_waits_total", "waits for the next millisecond", t.waits);
    if (n->pd == NULL)
        return;
    struct pd_stats p;
    pd_stats(n->pd, &p);
    counter(s, "flotilla_policy_plans_total", "plans asked of the policies", p.plans);
    counter(s, "flotilla_policy_plans_failed_total", "plans that failed", p.failed);
    counter(s, "flotilla_policy_proposals_accepted_total", "proposals that passed the checks",
            p.accepted);
    counter(s, "flotilla_policy_proposals_refused_total", "proposals that did not", p.refused);
}

static void scripts(const struct node *n, const struct metrics_sink *s)
{
    if (n->scripts == NULL)
        return;
    struct script_stats v;
    struct script_bundle_info b;
    script_host_stats(n->scripts, &v);
    script_bundle(n->scripts, &b);
    counter(s, "flotilla_script_calls_total", "questions of scripts to the node", v.calls);
    counter(s, "flotilla_script_budget_breaches_total", "scripts ended by their budget",
            v.budget_breaches);
    counter(s, "flotilla_script_cancelled_total", "scripts ended by their user", v.cancelled);
    gauge(s, "flotilla_script_sessions", "console sessions", (double)v.sessions);
    gauge(s, "flotilla_script_memory_bytes", "memory of all Lua states", (double)v.memory_bytes);
    gauge(s, "flotilla_script_last_plan_seconds", "the last plan took",
          (double)v.plan_ns_last / 1e9);
    gauge(s, "flotilla_script_last_plan_instructions", "the last plan ran",
          (double)v.plan_instructions_last);
    gauge(s, "flotilla_script_generation", "grows with every switch of the scripts",
          (double)b.generation);
    counter(s, "flotilla_script_reloads_total", "scripts switched", b.reloads);
    counter(s, "flotilla_script_reload_failures_total", "reloads refused", b.failures);
}

static void process(struct node *n, const struct metrics_sink *s)
{
    char labels[160];
    snprintf(labels, sizeof labels, "version=\"%s\",node=\"%llu\"", n->options.version,
             (unsigned long long)n->node_id);
    const struct metric info = { "flotilla_build_info", "what runs here", METRIC_GAUGE };
    s->sample(s->user, &info, labels, 1);
    gauge(s, "flotilla_uptime_seconds", "since the node was opened",
          (double)(env_now(n->env) - n->opened) / 1e9);
    gauge(s, "flotilla_ready", "1 while requests are served", n->state == NODE_SERVING);
    struct node_memory m = node_memory_divide(&n->config);
    const struct metric memory = { "flotilla_memory_limit_bytes", "shares of memory_bytes",
                                   METRIC_GAUGE };
    s->sample(s->user, &memory, "part=\"block_cache\"", (double)m.block_cache);
    s->sample(s->user, &memory, "part=\"memtables\"", (double)m.memtables);
    s->sample(s->user, &memory, "part=\"requests\"", (double)m.requests);
    s->sample(s->user, &memory, "part=\"lua\"", (double)m.lua);
    histogram(s, "flotilla_loop_delay_seconds", "how late a timer of the loop fired",
              &n->loop_delay_us);
}

void node_metrics(struct node *n, const struct metrics_sink *s)
{
    process(n, s);
    requests(n, s);
    connections(n, s);
    region(n, s);
    storage(n, s);
    pd(n, s);
    scripts(n, s);
}

/* ---- Prometheus --------------------------------------------------------------------------- */

struct text {
    struct buf *out;
    char family[64]; /* whose HELP and TYPE are written */
};

static void print(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void print(struct buf *b, const char *fmt, ...)
{
    char line[512];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    if (n > 0 && (size_t)n < sizeof line && buf_append(b, bytes_from(line, (size_t)n)) != ERR_OK)
        return; /* an answer cut short; the next one is whole again */
}

static void head(struct text *t, const struct metric *m)
{
    static const char *const kinds[] = { "counter", "gauge", "histogram" };
    if (strcmp(t->family, m->name) == 0)
        return;
    snprintf(t->family, sizeof t->family, "%s", m->name);
    print(t->out, "# HELP %s %s\n# TYPE %s %s\n", m->name, m->help, m->name, kinds[m->kind]);
}

static void text_sample(void *user, const struct metric *m, const char *labels, double value)
{
    struct text *t = user;
    head(t, m);
    if (labels[0] != 0)
        print(t->out, "%s{%s} %.17g\n", m->name, labels, value);
    else
        print(t->out, "%s %.17g\n", m->name, value);
}

static void text_histogram(void *user, const struct metric *m, const char *labels,
                           const struct histogram *h)
{
    struct text *t = user;
    const char *comma = labels[0] != 0 ? "," : "", *open = labels[0] != 0 ? "{" : "",
               *close = labels[0] != 0 ? "}" : "";
    uint64_t seen = 0;
    head(t, m);
    for (unsigned b = 0; b + 1 < HISTOGRAM_BUCKETS; b++) {
        seen += h->buckets[b];
        print(t->out, "%s_bucket{%s%sle=\"%.6f\"} %llu\n", m->name, labels, comma,
              (double)histogram_bound(b) / 1e6, (unsigned long long)seen);
    }
    print(t->out, "%s_bucket{%s%sle=\"+Inf\"} %llu\n", m->name, labels, comma,
          (unsigned long long)h->count);
    print(t->out, "%s_sum%s%s%s %.6f\n", m->name, open, labels, close, (double)h->sum / 1e6);
    print(t->out, "%s_count%s%s%s %llu\n", m->name, open, labels, close,
          (unsigned long long)h->count);
}

void node_metrics_text(struct node *n, struct buf *ret)
{
    struct text t = { .out = ret };
    node_metrics(n, &(struct metrics_sink){ text_sample, text_histogram, &t });
}
