/* Config text -> sandboxed Lua -> schema -> struct node_config -> the rules between options.
 *
 * What is written here once: which option fills which field. An option's name is the field's. */
#include "node/config_load.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/embed.h"
#include "config_lines.h"
#include "config_schema.h"
#include "script/script.h"

extern const struct embedded_file config_files[];
extern const size_t config_files_count;

enum field_kind { TEXT, BOOL, U32, U64 };
struct field {
    const char *path;
    enum field_kind kind;
    size_t offset, size;
};
#define FIELD(kind, name)                                                                          \
    {                                                                                              \
#name, kind, offsetof(struct node_config, name), sizeof(((struct node_config *)0)->name)   \
    }

static const struct field fields[] = {
    FIELD(TEXT, data_dir),
    FIELD(TEXT, address),
    FIELD(BOOL, allow_remote),
    FIELD(U64, memory_bytes),
    FIELD(U32, drain_ms),
    FIELD(U64, init.store_id),
    FIELD(TEXT, init.cluster_id),
    FIELD(TEXT, console.address),
    FIELD(U32, console.sessions_max),
    FIELD(U32, console.idle_s),
    FIELD(TEXT, http.address),
    FIELD(TEXT, log.level),
    FIELD(TEXT, log.format),
    FIELD(TEXT, log.file),
    FIELD(U64, storage.segment_bytes),
    FIELD(U32, storage.spare_segments),
    FIELD(U32, storage.background_jobs),
    FIELD(U32, storage.disk_reserve_percent),
    FIELD(U64, storage.ballast_bytes),
    FIELD(U32, limits.frame_max),
    FIELD(U32, limits.connections_max),
    FIELD(U32, limits.inflight_max),
    FIELD(U64, limits.inflight_bytes_max),
    FIELD(U64, limits.backlog_max),
    FIELD(U32, limits.hello_ms),
    FIELD(U32, limits.idle_ms),
    FIELD(U64, region.uncommitted_bytes_max),
    FIELD(U32, region.uncommitted_max),
    FIELD(U32, region.busy_backoff_ms),
    FIELD(U32, region.reads_max),
    FIELD(U32, region.apply_inline_bytes),
    FIELD(U32, region.scan_rows_max),
    FIELD(U32, region.scan_bytes_max),
    FIELD(U32, region.samples),
    FIELD(U32, hlc.max_offset_ms),
    FIELD(U32, hlc.window_ms),
    FIELD(U32, tso.window_ms),
    FIELD(U32, tso.count_max),
    FIELD(U32, policy.interval_ms),
    FIELD(TEXT, policy.lua_dir),
    FIELD(BOOL, policy.watch),
    FIELD(U64, policy.memory_bytes),
    FIELD(U64, policy.instructions),
    FIELD(U32, policy.deadline_ms),
    FIELD(U64, policy.session_memory_bytes),
    FIELD(U64, policy.session_instructions),
    FIELD(U32, policy.session_deadline_ms),
};

/* ---- Filling ------------------------------------------------------------------------------------------------ */

static const struct field *find_field(const char *path)
{
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        if (strcmp(fields[i].path, path) == 0)
            return &fields[i];
    return NULL;
}

static void fill_field(const struct field *f, const struct value *v, struct node_config *config,
                       struct config_report *report)
{
    char *to = (char *)config + f->offset;
    uint32_t small;
    switch (f->kind) {
    case TEXT:
        if (v->bytes.len >= f->size)
            config_report_add(report, f->path, "has %zu bytes; the most is %zu", v->bytes.len,
                              f->size - 1);
        else
            snprintf(to, f->size, "%.*s", (int)v->bytes.len, (const char *)v->bytes.data);
        return;
    case BOOL:
        memcpy(to, &v->boolean, sizeof v->boolean);
        return;
    case U32:
        assert(v->u64 <= UINT32_MAX); /* the schema's max; config_load_test.c */
        small = (uint32_t)v->u64;
        memcpy(to, &small, sizeof small);
        return;
    case U64:
        memcpy(to, &v->u64, sizeof v->u64);
        return;
    }
}

/* The one list: the schema limits its length and what its items are. */
static const char stores_path[] = "cluster.stores";

static void fill_stores(const struct value *list, struct node_config *config,
                        struct config_report *report)
{
    assert(list->count <= NODE_STORES_MAX); /* the schema's max; config_load_test.c */
    config->cluster.count = (uint32_t)list->count;
    for (size_t i = 0; i < list->count; i++) {
        struct node_store *s = &config->cluster.stores[i];
        struct bytes address = value_get_bytes(&list->items[i], "address", BYTES(""));
        s->id = value_get_u64(&list->items[i], "id", 0);
        if (address.len >= sizeof s->address)
            config_report_add(report, stores_path, "has an address of %zu bytes; the most is %zu",
                              address.len, sizeof s->address - 1);
        else
            snprintf(s->address, sizeof s->address, "%.*s", (int)address.len,
                     (const char *)address.data);
    }
}

/* The one option of free names: the schema limits how many there are, how long, and of which kinds. */
static const char params_path[] = "policy.params";

static void fill_param(struct bytes script, struct bytes name, const struct value *v,
                       struct node_param *to)
{
    snprintf(to->script, sizeof to->script, "%.*s", (int)script.len, (const char *)script.data);
    snprintf(to->name, sizeof to->name, "%.*s", (int)name.len, (const char *)name.data);
    if (v->kind == VALUE_NUMBER) {
        to->kind = NODE_PARAM_NUMBER;
        to->number = v->number;
    } else if (v->kind == VALUE_BOOL) {
        to->kind = NODE_PARAM_BOOLEAN;
        to->boolean = v->boolean;
    } else {
        to->kind = NODE_PARAM_TEXT;
        snprintf(to->text, sizeof to->text, "%.*s", (int)v->bytes.len, (const char *)v->bytes.data);
    }
}

static void fill_params(const struct value *scripts, struct node_config *config)
{
    for (size_t i = 0; i < scripts->count; i++) {
        const struct value *names = &scripts->items[i];
        for (size_t k = 0; k < names->count; k++) {
            assert(config->policy.params.count < NODE_PARAMS_MAX); /* the schema's max */
            fill_param(buf_bytes(&scripts->keys[i]), buf_bytes(&names->keys[k]), &names->items[k],
                       &config->policy.params.items[config->policy.params.count++]);
        }
    }
}

/* Copies every leaf of the checked tree to its field. */
static void fill(const char *path, const struct value *v, struct node_config *config,
                 struct config_report *report)
{
    if (strcmp(path, stores_path) == 0) {
        fill_stores(v, config, report);
        return;
    }
    if (strcmp(path, params_path) == 0) {
        fill_params(v, config);
        return;
    }
    if (v->kind != VALUE_MAP) {
        const struct field *f = find_field(path);
        assert(f != NULL); /* an option of the schema without a field */
        fill_field(f, v, config, report);
        return;
    }
    for (size_t i = 0; i < v->count; i++) {
        char full[CONFIG_PATH_MAX];
        snprintf(full, sizeof full, "%s%s%.*s", path, path[0] != '\0' ? "." : "",
                 (int)v->keys[i].len, (const char *)v->keys[i].data);
        fill(full, &v->items[i], config, report);
    }
}

/* ---- Telling ------------------------------------------------------------------------------ */

static void tell_field(const struct field *f, const struct node_config *config, struct value *v)
{
    const char *from = (const char *)config + f->offset;
    uint32_t small;
    uint64_t large;
    switch (f->kind) {
    case TEXT:
        value_put_text(v, from);
        return;
    case BOOL:
        value_put_bool(v, *(const bool *)from);
        return;
    case U32:
        memcpy(&small, from, sizeof small);
        value_put_number(v, small);
        return;
    case U64:
        memcpy(&large, from, sizeof large);
        value_put_number(v, (double)large); /* sizes and counts: far below 2^53 */
        return;
    }
}

/* The map under `key`, made if it is not there. */
static struct value *map_of(struct value *map, const char *key)
{
    for (size_t i = 0; i < map->count; i++)
        if (bytes_equal(buf_bytes(&map->keys[i]), BYTES(key)))
            return &map->items[i];
    struct value *made = value_set(map, key);
    value_put_map(made);
    return made;
}

static void tell_stores(const struct node_config *config, struct value *list)
{
    value_put_list(list);
    for (uint32_t i = 0; i < config->cluster.count; i++) {
        struct value *item = value_add(list);
        value_put_map(item);
        value_put_number(value_set(item, "id"), (double)config->cluster.stores[i].id);
        value_put_text(value_set(item, "address"), config->cluster.stores[i].address);
    }
}

static void tell_params(const struct node_config *config, struct value *scripts)
{
    value_put_map(scripts);
    for (uint32_t i = 0; i < config->policy.params.count; i++) {
        const struct node_param *p = &config->policy.params.items[i];
        struct value *v = value_set(map_of(scripts, p->script), p->name);
        if (p->kind == NODE_PARAM_NUMBER)
            value_put_number(v, p->number);
        else if (p->kind == NODE_PARAM_BOOLEAN)
            value_put_bool(v, p->boolean);
        else
            value_put_text(v, p->text);
    }
}

struct value *config_load_params(const struct node_config *config)
{
    struct value *scripts = value_new(VALUE_NIL);
    tell_params(config, scripts);
    return scripts;
}

struct value *config_load_tree(const struct node_config *config)
{
    struct value *root = value_new(VALUE_MAP);
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        char group[CONFIG_PATH_MAX];
        struct value *at = root;
        const char *name = fields[i].path, *dot = strchr(name, '.');
        if (dot != NULL) {
            snprintf(group, sizeof group, "%.*s", (int)(dot - name), name);
            at = map_of(root, group);
            name = dot + 1;
        }
        tell_field(&fields[i], config, value_set(at, name));
    }
    tell_stores(config, value_set(map_of(root, "cluster"), "stores"));
    tell_params(config, value_set(map_of(root, "policy"), "params"));
    return root;
}

/* ---- Rules between options ---------------------------------------------------------------------------------- */

static long port_of(const char *address)
{
    const char *colon = strrchr(address, ':');
    return colon == NULL || strncmp(address, "unix:", 5) == 0 ? 0 : strtol(colon + 1, NULL, 10);
}

/* Two addresses that cannot both be listened on: one port, and one host or one of them every host. */
static bool collide(const char *a, const char *b)
{
    if (strncmp(a, "unix:", 5) == 0)
        return strcmp(a, b) == 0;
    if (port_of(a) == 0 || port_of(a) != port_of(b))
        return false;
    size_t na = (size_t)(strrchr(a, ':') - a), nb = (size_t)(strrchr(b, ':') - b);
    bool any = strncmp(a, "0.0.0.0:", 8) == 0 || strncmp(b, "0.0.0.0:", 8) == 0 ||
               strncmp(a, "[::]:", 5) == 0 || strncmp(b, "[::]:", 5) == 0;
    return any || (na == nb && memcmp(a, b, na) == 0);
}

static void check_addresses(const struct node_config *c, struct config_report *report)
{
    const struct config_lines *lines = report->lines;
    if (collide(c->address, c->http.address))
        config_report_add(report, "http.address",
                          "\"%s\" and address \"%s\" (line %u) cannot share a port; change one",
                          c->http.address, c->address, config_lines_find(lines, "address"));
    if (collide(c->address, c->console.address))
        config_report_add(report, "console.address", "is the same socket as address; change one");
    if (collide(c->http.address, c->console.address))
        config_report_add(report, "console.address",
                          "is the same socket as http.address; change one");
    size_t path = strlen(c->data_dir) + strlen("/console.sock");
    if (c->console.address[0] == '\0' && path > 107)
        config_report_add(report, "data_dir",
                          "is too long for a Unix socket in it (%zu bytes, the most is 107); set "
                          "console.address to a shorter 'unix:/path'",
                          path);
}

static void check_sizes(const struct node_config *c, struct config_report *report)
{
    uint64_t lua = c->policy.memory_bytes + c->policy.session_memory_bytes;
    if (lua > c->memory_bytes / 2)
        config_report_add(report, "memory_bytes",
                          "%" PRIu64 " is too small for these scripts: policy.memory_bytes and "
                          "policy.session_memory_bytes are %" PRIu64
                          " together, and must not be more than half of it",
                          c->memory_bytes, lua);
    if (c->limits.inflight_bytes_max > c->memory_bytes / 2)
        config_report_add(report, "limits.inflight_bytes_max",
                          "is more than half of memory_bytes (%" PRIu64
                          "); leave it out for a share of it",
                          c->memory_bytes);
    if (c->limits.inflight_bytes_max != 0 && c->limits.inflight_bytes_max < c->limits.frame_max)
        config_report_add(report, "limits.inflight_bytes_max",
                          "is below limits.frame_max (%" PRIu32
                          "), so that the longest request could never be served",
                          c->limits.frame_max);
    if (c->region.scan_bytes_max > c->limits.frame_max - (1 << 20))
        config_report_add(report, "region.scan_bytes_max",
                          "needs limits.frame_max (%" PRIu32 ") to be at least 1MiB above it",
                          c->limits.frame_max);
    if (c->limits.backlog_max < c->limits.frame_max)
        config_report_add(report, "limits.backlog_max",
                          "is below limits.frame_max (%" PRIu32
                          "), so that the longest answer would close its connection",
                          c->limits.frame_max);
    if (c->limits.idle_ms <= c->limits.hello_ms)
        config_report_add(report, "limits.idle_ms",
                          "must be longer than limits.hello_ms (%" PRIu32 "ms)",
                          c->limits.hello_ms);
}

/* node_config_check() begins its message with the option's name: that finds the line. */
static void check_node(const struct node_config *c, struct config_report *report)
{
    struct err e = { 0 };
    if (node_config_check(c, &e) == ERR_OK)
        return;
    char path[CONFIG_PATH_MAX];
    size_t len = strcspn(e.msg, " ");
    snprintf(path, sizeof path, "%.*s", (int)len, e.msg);
    bool named = e.msg[len] == ' ' && (find_field(path) != NULL || strcmp(path, stores_path) == 0);
    config_report_add(report, named ? path : "", "%s", named ? e.msg + len + 1 : e.msg);
}

/* ---- The whole ---------------------------------------------------------------------------------------------- */

struct bytes config_load_schema_text(void)
{
    return bytes_from(config_files[0].begin, (size_t)(config_files[0].end - config_files[0].begin));
}

err_t config_load_schema(struct value **ret, struct err *e)
{
    return script_load_table_text(config_load_schema_text(), "schema.lua", ret, e);
}

static err_t check_all(const struct value *given, struct config_report *report,
                       struct node_config *ret, struct err *e)
{
    struct value *schema, *checked;
    err_t rc = config_load_schema(&schema, e);
    if (rc != ERR_OK)
        return err_wrap(e, rc, "the embedded schema does not load");
    rc = config_schema_apply(schema, given, report, &checked, e);
    value_free(schema);
    if (rc != ERR_OK)
        return rc;
    struct node_config config;
    node_config_defaults(&config);
    fill("", checked, &config, report);
    value_free(checked);
    if (report->count == 0) {
        check_addresses(&config, report);
        check_sizes(&config, report);
        check_node(&config, report);
    }
    if (report->count > 0) {
        size_t first = strcspn((const char *)report->text.data, "\n");
        return err_set(e, ERR_INVALID_ARGUMENT, "%.*s", (int)first,
                       (const char *)report->text.data);
    }
    *ret = config;
    return ERR_OK;
}

err_t config_load(struct bytes text, const char *name, struct node_config *ret,
                  struct buf *report_text, struct err *e)
{
    struct err own = { 0 };
    if (e == NULL)
        e = &own;
    if (text.len > CONFIG_TEXT_MAX)
        return err_set(e, ERR_TOO_LARGE, "%s: %zu bytes are no config; the most is %d", name,
                       text.len, CONFIG_TEXT_MAX);
    struct value *given;
    err_t rc = script_load_table_text(text, name, &given, e);
    if (rc != ERR_OK) {
        if (strstr(e->msg, name) == NULL)
            err_wrap(e, rc, "%s", name);
        if (report_text != NULL)
            (void)!buf_printf(report_text, "%s\n", e->msg);
        return rc;
    }
    struct config_lines lines;
    config_lines_scan(&lines, text);
    struct config_report report = { .file = name, .lines = &lines };
    rc = check_all(given, &report, ret, e);
    if (report_text != NULL)
        (void)!buf_append(report_text, buf_bytes(&report.text));
    buf_free(&report.text);
    config_lines_free(&lines);
    value_free(given);
    return rc;
}
