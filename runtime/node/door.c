/* What scripts may ask of the node, name by name: the table in runtime/script/README.md.
 *
 *   host.call(name, arguments) --> node_door: looks the name up --> answers now, or starts an
 *   operation of the region or the oracle and answers when it is done
 *
 * Everything here only reads, but `namespace.create` and `log.level`. */
#include "door.h"

#include <stdlib.h>
#include <string.h>

#include "base/container.h"

enum { ROWS_DEFAULT = 100, ROWS_MAX = 1000, SCAN_BYTES_MAX = 1 << 20, LINES_MAX = 200 };

struct door_op {
    struct node *node;
    struct script_call *call;
    bool cas;
    union {
        struct region_read read;
        struct region_scan scan;
        struct pd_tso_request tso;
        struct node_namespace_create create;
    };
    struct buf key, end, value;
    struct value *rows;
};

static struct door_op *op_new(struct node *n, struct script_call *call)
{
    struct door_op *op = calloc(1, sizeof *op);
    if (op == NULL)
        abort(); /* small; one per running script */
    op->node = n;
    op->call = call;
    return op;
}

static void op_end(struct door_op *op, err_t rc, const char *error, struct value *result)
{
    script_call_answer(op->call, rc, error, result);
    buf_free(&op->key);
    buf_free(&op->end);
    buf_free(&op->value);
    free(op);
}

static void take_copy(struct buf *to, struct bytes from)
{
    if (buf_append(to, from) != ERR_OK)
        abort(); /* a key: limited by the scripts' own memory */
}

static bool take_namespace(struct node *n, const struct value *arguments, uint32_t *ret,
                           struct script_call *call)
{
    struct storage_namespace ns;
    struct bytes name = value_get_bytes(arguments, "namespace", BYTES("default"));
    if (storage_namespace_find(n->store, name, &ns) != ERR_OK) {
        script_call_answer(call, ERR_NOT_FOUND, "there is no namespace of that name", NULL);
        return false;
    }
    *ret = ns.id;
    return true;
}

/* ---- Reads -------------------------------------------------------------------------------- */

static void get_done(struct region_read *q)
{
    struct door_op *op = container_of(q, struct door_op, read);
    struct value *result = NULL;
    if (q->rc == ERR_OK && op->cas) {
        result = value_new(VALUE_MAP);
        value_put_bytes(value_set(result, "value"), buf_bytes(&op->value));
        value_put_u64(value_set(result, "version"), q->version);
    } else if (q->rc == ERR_OK) {
        result = value_new(VALUE_NIL);
        value_put_bytes(result, buf_bytes(&op->value));
    }
    op_end(op, q->rc == ERR_NOT_FOUND ? ERR_OK : q->rc, q->error.msg, result);
}

static void ask_get(struct node *n, const struct value *arguments, struct script_call *call,
                    bool cas)
{
    uint32_t ns;
    struct bytes key = value_get_bytes(arguments, "key", (struct bytes){ 0 });
    if (key.len == 0 || key.len > COMMAND_KEY_MAX) {
        script_call_answer(call, ERR_INVALID_ARGUMENT, "a key has 1 to 4096 bytes", NULL);
        return;
    }
    if (!take_namespace(n, arguments, &ns, call))
        return;
    struct door_op *op = op_new(n, call);
    take_copy(&op->key, key);
    op->cas = cas;
    op->read = (struct region_read){ .cas = cas,
                                     .ns = ns,
                                     .key = buf_bytes(&op->key),
                                     .value = &op->value,
                                     .deadline = UINT64_MAX,
                                     .done = get_done };
    region_get(n->regions, &op->read);
}

static void kv_get(struct node *n, const struct value *arguments, struct script_call *call)
{
    ask_get(n, arguments, call, false);
}

static void cas_get(struct node *n, const struct value *arguments, struct script_call *call)
{
    ask_get(n, arguments, call, true);
}

static err_t scan_row(void *user, struct bytes key, uint64_t version, struct bytes value)
{
    struct door_op *op = user;
    struct value *row = value_add(op->rows);
    value_put_map(row);
    value_put_bytes(value_set(row, "key"), key);
    value_put_bytes(value_set(row, "value"), value);
    if (op->cas)
        value_put_u64(value_set(row, "version"), version);
    return ERR_OK;
}

static void scan_done(struct region_scan *s)
{
    struct door_op *op = container_of(s, struct door_op, scan);
    buf_free(&s->next);
    struct value *rows = op->rows;
    if (s->rc != ERR_OK) {
        value_free(rows);
        rows = NULL;
    }
    op_end(op, s->rc, s->error.msg, rows);
}

static void ask_scan(struct node *n, const struct value *arguments, struct script_call *call,
                     bool cas)
{
    uint32_t ns;
    struct bytes from = value_get_bytes(arguments, "from", (struct bytes){ 0 });
    struct bytes to = value_get_bytes(arguments, "to", (struct bytes){ 0 });
    double limit = value_get_number(arguments, "limit", ROWS_DEFAULT);
    if (from.len > COMMAND_KEY_MAX || to.len > COMMAND_KEY_MAX || !(limit >= 1)) {
        script_call_answer(call, ERR_INVALID_ARGUMENT,
                           "a bound is a key of at most 4096 bytes, a limit at least 1", NULL);
        return;
    }
    if (!take_namespace(n, arguments, &ns, call))
        return;
    struct door_op *op = op_new(n, call);
    take_copy(&op->key, from);
    take_copy(&op->end, to);
    op->cas = cas;
    op->rows = value_new(VALUE_LIST);
    op->scan = (struct region_scan){
        .args = { .cas = cas,
                  .ns = ns,
                  .start = from.len > 0 ? buf_bytes(&op->key) : bytes_from("", 0),
                  .limit = limit > ROWS_MAX ? ROWS_MAX : (uint32_t)limit,
                  .limit_bytes = SCAN_BYTES_MAX },
        .deadline = UINT64_MAX,
        .row = scan_row,
        .user = op,
        .done = scan_done,
    };
    if (to.len > 0)
        op->scan.args.end = buf_bytes(&op->end);
    region_scan(n->regions, &op->scan);
}

static void kv_scan(struct node *n, const struct value *arguments, struct script_call *call)
{
    ask_scan(n, arguments, call, false);
}

static void cas_scan(struct node *n, const struct value *arguments, struct script_call *call)
{
    ask_scan(n, arguments, call, true);
}

/* ---- Timestamps, namespaces --------------------------------------------------------------- */

static void tso_done(struct pd_tso_request *q)
{
    struct door_op *op = container_of(q, struct door_op, tso);
    struct value *result = NULL;
    if (q->rc == ERR_OK) {
        result = value_new(VALUE_MAP);
        value_put_u64(value_set(result, "first"), q->first);
        value_put_number(value_set(result, "count"), q->count);
    }
    op_end(op, q->rc, q->error.msg, result);
}

static void tso(struct node *n, const struct value *arguments, struct script_call *call)
{
    double count = value_get_number(arguments, "count", 1);
    struct door_op *op = op_new(n, call);
    op->tso.count = count >= 1 && count <= UINT32_MAX ? (uint32_t)count : 0;
    op->tso.deadline = UINT64_MAX;
    op->tso.done = tso_done;
    pd_tso_get(n->oracle, &op->tso);
}

static void put_namespace(struct value *v, const struct storage_namespace *ns)
{
    value_put_map(v);
    value_put_number(value_set(v, "id"), ns->id);
    value_put_text(value_set(v, "name"), ns->name);
    value_put_text(value_set(v, "mode"), ns->mode);
}

static void list_namespace(void *user, const struct storage_namespace *ns)
{
    put_namespace(value_add(user), ns);
}

static void namespace_list(struct node *n, const struct value *arguments, struct script_call *call)
{
    (void)arguments;
    struct value *list = value_new(VALUE_LIST);
    storage_namespaces(n->store, list_namespace, list);
    script_call_answer(call, ERR_OK, NULL, list);
}

static void create_done(struct node_namespace_create *c)
{
    struct door_op *op = container_of(c, struct door_op, create);
    struct value *result = NULL;
    if (c->rc == ERR_OK) {
        result = value_new(VALUE_NIL);
        put_namespace(result, &c->created);
    }
    op_end(op, c->rc, c->error.msg, result);
}

static void namespace_create(struct node *n, const struct value *arguments,
                             struct script_call *call)
{
    struct door_op *op = op_new(n, call);
    take_copy(&op->key, value_get_bytes(arguments, "name", (struct bytes){ 0 }));
    take_copy(&op->end, value_get_bytes(arguments, "mode", (struct bytes){ 0 }));
    op->create = (struct node_namespace_create){ .name = buf_bytes(&op->key),
                                                 .mode = buf_bytes(&op->end),
                                                 .deadline = UINT64_MAX,
                                                 .done = create_done };
    node_namespaces_create(n->namespaces, &op->create);
}

/* ---- The log ------------------------------------------------------------------------------ */

static void log_level(struct node *n, const struct value *arguments, struct script_call *call)
{
    struct bytes text = value_get_bytes(arguments, "level", (struct bytes){ 0 });
    char word[16];
    enum logger_level level;
    struct err e = { 0 };
    if (n->log == NULL) {
        script_call_answer(call, ERR_UNAVAILABLE, "this node has no log", NULL);
        return;
    }
    if (text.len > 0) {
        snprintf(word, sizeof word, "%.*s", (int)(text.len < 15 ? text.len : 15), text.data);
        err_t rc = logger_level_parse(word, &level, &e);
        if (rc != ERR_OK) {
            script_call_answer(call, rc, e.msg, NULL);
            return;
        }
        logger_level_set(n->log, level);
        logger_info(n->log, "log level set", logger_text("level", word));
    }
    struct value *result = value_new(VALUE_NIL);
    value_put_text(result, logger_level_name(logger_level(n->log)));
    script_call_answer(call, ERR_OK, NULL, result);
}

static void tail_line(void *user, struct bytes line)
{
    value_put_bytes(value_add(user), line);
}

static void log_tail(struct node *n, const struct value *arguments, struct script_call *call)
{
    double lines = value_get_number(arguments, "lines", 20);
    struct value *list = value_new(VALUE_LIST);
    if (n->log != NULL && lines >= 1)
        logger_recent(n->log, lines > LINES_MAX ? LINES_MAX : (unsigned)lines, tail_line, list);
    script_call_answer(call, ERR_OK, NULL, list);
}

/* ---- The table ---------------------------------------------------------------------------- */

static void answer(struct node *n, const char *name, const struct value *arguments,
                   struct script_call *call)
{
    static const struct {
        const char *name;
        struct value *(*make)(struct node *n, const struct value *arguments);
    } facts[] = {
        { "status", node_fact_status },           { "metrics", node_fact_metrics },
        { "region.list", node_fact_region_list }, { "config.show", node_fact_config },
        { "plan.last", node_fact_plan },
    };
    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++) {
        if (strcmp(name, facts[i].name) == 0) {
            script_call_answer(call, ERR_OK, NULL, facts[i].make(n, arguments));
            return;
        }
    }
    static const struct {
        const char *name;
        void (*ask)(struct node *n, const struct value *arguments, struct script_call *call);
    } questions[] = {
        { "kv.get", kv_get },
        { "kv.scan", kv_scan },
        { "cas.get", cas_get },
        { "cas.scan", cas_scan },
        { "tso", tso },
        { "namespace.list", namespace_list },
        { "log.level", log_level },
        { "namespace.create", namespace_create },
        { "log.tail", log_tail },
    };
    for (size_t i = 0; i < sizeof questions / sizeof *questions; i++) {
        if (strcmp(name, questions[i].name) == 0) {
            questions[i].ask(n, arguments, call);
            return;
        }
    }
    script_call_answer(call, ERR_UNIMPLEMENTED, "the node has no answer of that name", NULL);
}

static void door_call(void *user, const char *name, const struct value *arguments,
                      struct script_call *call)
{
    struct node *n = user;
    if (strcmp(name, "region.show") == 0) {
        uint64_t id = value_get_u64(arguments, "id", REGION_SYSTEM);
        if (id != REGION_SYSTEM)
            script_call_answer(call, ERR_REGION_NOT_FOUND, "there is no region of that id", NULL);
        else
            script_call_answer(call, ERR_OK, NULL, node_fact_region(n));
        return;
    }
    answer(n, name, arguments, call);
}

struct script_door node_door(struct node *n)
{
    return (struct script_door){ .call = door_call, .user = n };
}
