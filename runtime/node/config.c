/* Defaults, and the rules that tie options to each other. */
#include "node/config.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

#define KIB(n) ((uint64_t)(n) << 10)
#define MIB(n) ((uint64_t)(n) << 20)

void node_config_defaults(struct node_config *config)
{
    *config = (struct node_config){
        .address = "127.0.0.1:7700",
        .init = { .store_id = 1 },
        .console = { .sessions_max = 16, .idle_s = 3600 },
        .http = { .address = "127.0.0.1:7780" },
        .log = { .level = "info", .format = "logfmt" },
        .memory_bytes = MIB(512),
        .storage = { .segment_bytes = MIB(64),
                     .spare_segments = 2,
                     .background_jobs = 3,
                     .disk_reserve_percent = 5,
                     .ballast_bytes = MIB(64) },
        .limits = { .frame_max = 16 << 20,
                    .connections_max = 10000,
                    .inflight_max = 1024,
                    .backlog_max = MIB(64),
                    .hello_ms = 5000,
                    .idle_ms = 300000 },
        .region = { .uncommitted_bytes_max = MIB(64),
                    .uncommitted_max = 65536,
                    .busy_backoff_ms = 20,
                    .reads_max = 65536,
                    .apply_inline_bytes = 64 << 10,
                    .scan_rows_max = 10000,
                    .scan_bytes_max = 4 << 20,
                    .samples = 128 },
        .hlc = { .max_offset_ms = 500, .window_ms = 500 },
        .tso = { .window_ms = 500, .count_max = 65536 },
        .policy = { .interval_ms = 5000,
                    .watch = true,
                    .memory_bytes = MIB(64),
                    .instructions = 50000000,
                    .deadline_ms = 1000,
                    .session_memory_bytes = MIB(64),
                    .session_instructions = 500000000,
                    .session_deadline_ms = 10000 },
        .drain_ms = 3000,
    };
}

struct node_memory node_memory_divide(const struct node_config *config)
{
    uint64_t m = config->memory_bytes;
    struct node_memory ret = {
        .lua = config->policy.memory_bytes +
               config->policy.session_memory_bytes, /* one of each; more are metered */
    };
    uint64_t rest = m > ret.lua ? m - ret.lua : m / 2;
    ret.memtables = rest / 8 < MIB(16) ? MIB(16) : rest / 8 > MIB(64) ? MIB(64) : rest / 8;
    ret.requests =
        config->limits.inflight_bytes_max != 0 ? config->limits.inflight_bytes_max : rest / 4;
    if (ret.requests < 2 * (uint64_t)config->limits.frame_max)
        ret.requests = 2 * (uint64_t)config->limits.frame_max; /* or the longest could starve */
    ret.block_cache =
        rest > ret.memtables + ret.requests ? rest - ret.memtables - ret.requests : MIB(8);
    return ret;
}

/* "127.0.0.1:1", "[::1]:1", "localhost:1" and unix sockets stay on this machine. */
static bool is_local(const char *address)
{
    return strncmp(address, "127.", 4) == 0 || strncmp(address, "[::1]:", 6) == 0 ||
           strncmp(address, "localhost:", 10) == 0 || strncmp(address, "unix:", 5) == 0;
}

static bool is_one_of(const char *word, const char *const *words)
{
    for (; *words != NULL; words++)
        if (strcmp(word, *words) == 0)
            return true;
    return false;
}

static err_t check_cluster_id(const char *text, struct err *e)
{
    size_t n = 0;
    while (isxdigit((unsigned char)text[n]))
        n++;
    if (text[0] == 0 || (n == 32 && text[n] == 0))
        return ERR_OK;
    return err_set(
        e, ERR_INVALID_ARGUMENT,
        "init.cluster_id is \"%s\": write 32 hex digits, or leave it out and one is drawn", text);
}

/* ---- The cluster ---- */

const struct node_store *node_config_self(const struct node_config *c)
{
    for (uint32_t i = 0; i < c->cluster.count; i++)
        if (c->cluster.stores[i].id == c->init.store_id)
            return &c->cluster.stores[i];
    return NULL;
}

/* The others must find it: a real address, and one that is allowed to be reached. */
static err_t check_store(const struct node_config *c, const struct node_store *s, struct err *e)
{
    const char *colon = strrchr(s->address, ':');
    if (s->id == 0)
        return err_set(e, ERR_INVALID_ARGUMENT, "cluster.stores has id 0: store ids begin at 1");
    if (strncmp(s->address, "unix:", 5) == 0 || colon == NULL || strtol(colon + 1, NULL, 10) == 0)
        return err_set(e, ERR_INVALID_ARGUMENT,
                       "cluster.stores has \"%s\" for store %llu: the others connect there, so "
                       "write an ip and a port, for example \"127.0.0.1:7701\"",
                       s->address, (unsigned long long)s->id);
    if (!c->allow_remote && !is_local(s->address))
        return err_set(e, ERR_INVALID_ARGUMENT,
                       "cluster.stores has \"%s\" for store %llu, on another machine, and "
                       "connections are not sealed yet: set allow_remote = true if the network is "
                       "trusted",
                       s->address, (unsigned long long)s->id);
    for (const struct node_store *o = c->cluster.stores; o < s; o++) {
        if (o->id == s->id)
            return err_set(e, ERR_INVALID_ARGUMENT, "cluster.stores has store %llu twice",
                           (unsigned long long)s->id);
        if (strcmp(o->address, s->address) == 0)
            return err_set(e, ERR_INVALID_ARGUMENT,
                           "cluster.stores has address \"%s\" twice, for stores %llu and %llu",
                           s->address, (unsigned long long)o->id, (unsigned long long)s->id);
    }
    return ERR_OK;
}

static err_t check_cluster(const struct node_config *c, struct err *e)
{
    const struct node_store *self = node_config_self(c);
    if (c->cluster.count == 0)
        return ERR_OK;
    for (uint32_t i = 0; i < c->cluster.count; i++) {
        err_t rc = check_store(c, &c->cluster.stores[i], e);
        if (rc != ERR_OK)
            return rc;
    }
    if (self == NULL)
        return err_set(e, ERR_INVALID_ARGUMENT,
                       "cluster.stores has no store %llu, which is this node's init.store_id: add "
                       "it with its address, or set init.store_id to the one that this node is",
                       (unsigned long long)c->init.store_id);
    if (strcmp(self->address, c->address) != 0)
        return err_set(e, ERR_INVALID_ARGUMENT,
                       "cluster.stores has \"%s\" for this node, store %llu, but address is "
                       "\"%s\": write the same in both",
                       self->address, (unsigned long long)self->id, c->address);
    if (c->init.cluster_id[0] == 0)
        return err_set(e, ERR_INVALID_ARGUMENT,
                       "init.cluster_id is not set: the nodes of cluster.stores know each other by "
                       "it; write the same 32 hex digits on every node");
    return ERR_OK;
}

err_t node_config_check(const struct node_config *c, struct err *e)
{
    static const char *const levels[] = { "debug", "info", "warn", "error", NULL };
    static const char *const formats[] = { "logfmt", "json", NULL };
    if (c->data_dir[0] == 0)
        return err_set(e, ERR_INVALID_ARGUMENT,
                       "data_dir is not set: name the directory that holds the data");
    if (c->address[0] == 0)
        return err_set(e, ERR_INVALID_ARGUMENT,
                       "address is not set: write for example \"127.0.0.1:7700\"");
    if (!c->allow_remote && !is_local(c->address))
        return err_set(
            e, ERR_INVALID_ARGUMENT,
            "address \"%s\" can be reached from other machines, and connections are not sealed yet: "
            "use 127.0.0.1, or set allow_remote = true if the network is trusted",
            c->address);
    if (!c->allow_remote && c->http.address[0] != 0 && !is_local(c->http.address))
        return err_set(
            e, ERR_INVALID_ARGUMENT,
            "http.address \"%s\" can be reached from other machines: use 127.0.0.1, or set "
            "allow_remote = true if the network is trusted",
            c->http.address);
    if (c->console.address[0] != 0 && strcmp(c->console.address, "off") != 0 &&
        strncmp(c->console.address, "unix:", 5) != 0)
        return err_set(
            e, ERR_INVALID_ARGUMENT,
            "console.address is \"%s\": the console listens on a Unix socket alone; write "
            "\"unix:/path/console.sock\", \"off\", or leave it out",
            c->console.address);
    if (!is_one_of(c->log.level, levels))
        return err_set(e, ERR_INVALID_ARGUMENT,
                       "log.level is \"%s\": write debug, info, warn or error", c->log.level);
    if (!is_one_of(c->log.format, formats))
        return err_set(e, ERR_INVALID_ARGUMENT, "log.format is \"%s\": write logfmt or json",
                       c->log.format);
    if (c->init.store_id == 0)
        return err_set(e, ERR_INVALID_ARGUMENT, "init.store_id is 0: store ids begin at 1");
    if (c->limits.frame_max < KIB(64) || c->limits.frame_max > MIB(64))
        return err_set(e, ERR_INVALID_ARGUMENT,
                       "limits.frame_max is %u: write 65536 to 67108864 bytes",
                       c->limits.frame_max);
    if (c->storage.background_jobs < 3)
        return err_set(
            e, ERR_INVALID_ARGUMENT,
            "storage.background_jobs is %u: at least 3, or a flush can wait behind compactions",
            c->storage.background_jobs);
    if (c->storage.disk_reserve_percent > 50)
        return err_set(e, ERR_INVALID_ARGUMENT, "storage.disk_reserve_percent is %u: write 0 to 50",
                       c->storage.disk_reserve_percent);
    if (c->region.uncommitted_bytes_max < MIB(4))
        return err_set(
            e, ERR_INVALID_ARGUMENT,
            "region.uncommitted_bytes_max is %llu: at least 4194304, the size of one batch",
            (unsigned long long)c->region.uncommitted_bytes_max);
    if (c->hlc.window_ms == 0 || c->tso.window_ms == 0)
        return err_set(e, ERR_INVALID_ARGUMENT,
                       "%s.window_ms is 0: stamps are saved ahead of use by at least 1 ms",
                       c->hlc.window_ms == 0 ? "hlc" : "tso");
    if (c->tso.count_max == 0 || c->tso.count_max > 1 << 18)
        return err_set(e, ERR_INVALID_ARGUMENT,
                       "tso.count_max is %u: write 1 to 262144, the stamps of one millisecond",
                       c->tso.count_max);
    if (c->drain_ms >= 5000)
        return err_set(e, ERR_INVALID_ARGUMENT,
                       "drain_ms is %u: below 5000, so that a stop ends within 5 s", c->drain_ms);
    if (c->memory_bytes < MIB(64))
        return err_set(e, ERR_INVALID_ARGUMENT, "memory_bytes is %llu: at least 67108864",
                       (unsigned long long)c->memory_bytes);
    err_t rc = check_cluster_id(c->init.cluster_id, e);
    return rc == ERR_OK ? check_cluster(c, e) : rc;
}
