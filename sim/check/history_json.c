/* A history as JSON lines. A line is read by base's strict JSON; then every field must be known, of its type and
 * possible for the operation, or the line is refused: a checker that guesses proves nothing. */
#include "history_int.h"

#include "base/value.h"

/* ---- Writing ------------------------------------------------------------------------------- */

static void put_text(const struct history *h, struct value *line, const char *name, uint32_t number)
{
    if (number != 0)
        value_put_bytes(value_set(line, name), texts_get(&h->texts, number));
}

static void put_answer(const struct history *h, struct value *line, const struct history_op *op)
{
    if (op->outcome == HISTORY_PENDING)
        return;
    value_put_u64(value_set(line, "return"), op->ret);
    value_put_text(value_set(line, "outcome"), history_outcome_names[op->outcome]);
    if (op->has_version)
        value_put_u64(value_set(line, "version"), op->version);
    if (op->absent)
        value_put_bool(value_set(line, "absent"), true);
    put_text(h, line, "saw", op->saw);
}

static struct value *line_of(const struct history *h, const struct history_op *op)
{
    struct value *line = value_new(VALUE_MAP);
    value_put_u64(value_set(line, "client"), op->client);
    value_put_text(value_set(line, "op"), history_kind_names[op->kind]);
    put_text(h, line, "key", op->key);
    if (op->kind == HISTORY_CAS || op->conditional)
        value_put_u64(value_set(line, "expected"), op->expected);
    put_text(h, line, "wanted", op->wanted);
    put_text(h, line, "value", op->value);
    value_put_u64(value_set(line, "call"), op->call);
    put_answer(h, line, op);
    return line;
}

err_t history_write(const struct history *h, struct buf *ret)
{
    size_t before = ret->len;
    err_t rc = ERR_OK;
    for (size_t i = 0; i < h->count && rc == ERR_OK; i++) {
        struct value *line = line_of(h, &h->ops[i]);
        rc = value_to_json(line, false, ret);
        if (rc == ERR_OK)
            rc = buf_append(ret, BYTES("\n"));
        value_free(line);
    }
    if (rc != ERR_OK)
        ret->len = before;
    return rc;
}

/* ---- Reading ------------------------------------------------------------------------------- */

enum field {
    CLIENT,
    OP,
    KEY,
    EXPECTED,
    WANTED,
    VALUE,
    CALL,
    RETURN,
    OUTCOME,
    VERSION,
    ABSENT,
    SAW,
    FIELDS,
};

static const struct {
    const char *name;
    enum value_kind kind; /* VALUE_U64 takes whole numbers and their text too */
} fields[FIELDS] = {
    [CLIENT] = { "client", VALUE_U64 },     [OP] = { "op", VALUE_BYTES },
    [KEY] = { "key", VALUE_BYTES },         [EXPECTED] = { "expected", VALUE_U64 },
    [WANTED] = { "wanted", VALUE_BYTES },   [VALUE] = { "value", VALUE_BYTES },
    [CALL] = { "call", VALUE_U64 },         [RETURN] = { "return", VALUE_U64 },
    [OUTCOME] = { "outcome", VALUE_BYTES }, [VERSION] = { "version", VALUE_U64 },
    [ABSENT] = { "absent", VALUE_BOOL },    [SAW] = { "saw", VALUE_BYTES },
};

struct line {
    bool has[FIELDS];
    uint64_t u64[FIELDS];
    struct bytes bytes[FIELDS]; /* borrowed from the tree */
    bool absent;
};

static bool take_u64(const struct value *map, const char *name, uint64_t *ret)
{
    *ret = value_get_u64(map, name, 0);
    return *ret == value_get_u64(map, name, 1); /* or it is no whole number */
}

static err_t take_field(const struct value *map, enum field f, struct line *line, struct err *e)
{
    const char *name = fields[f].name;
    const struct value *v = value_get(map, name);
    if (v == NULL)
        return ERR_OK;
    line->has[f] = true;
    if (fields[f].kind == VALUE_U64) {
        if (!take_u64(map, name, &line->u64[f]))
            return err_set(e, ERR_INVALID_ARGUMENT, "\"%s\" is a whole number", name);
    } else if (v->kind != fields[f].kind) {
        return err_set(e, ERR_INVALID_ARGUMENT, "\"%s\" is %s", name,
                       fields[f].kind == VALUE_BOOL ? "true or false" : "text or {\"base64\"}");
    } else if (v->kind == VALUE_BOOL) {
        line->absent = v->boolean;
    } else {
        line->bytes[f] = buf_bytes(&v->bytes);
    }
    return ERR_OK;
}

static err_t take_fields(const struct value *map, struct line *line, struct err *e)
{
    if (map->kind != VALUE_MAP)
        return err_set(e, ERR_INVALID_ARGUMENT, "a line is an object");
    size_t known = 0;
    for (enum field f = 0; f < FIELDS; f++) {
        err_t rc = take_field(map, f, line, e);
        if (rc != ERR_OK)
            return rc;
        known += line->has[f];
    }
    if (known != map->count)
        return err_set(e, ERR_INVALID_ARGUMENT, "there is a field that nobody knows");
    static const enum field always[] = { CLIENT, OP, KEY, CALL };
    for (size_t i = 0; i < sizeof always / sizeof always[0]; i++)
        if (!line->has[always[i]])
            return err_set(e, ERR_INVALID_ARGUMENT, "\"%s\" is missing", fields[always[i]].name);
    return ERR_OK;
}

static int find_name(const char *const *names, int count, struct bytes name)
{
    int i = 0;
    while (i < count && !bytes_equal(BYTES(names[i]), name))
        i++;
    return i;
}

static err_t check_has(const struct line *line, enum field f, bool want, struct err *e)
{
    if (line->has[f] == want)
        return ERR_OK;
    return err_set(e, ERR_INVALID_ARGUMENT, "\"%s\" %s", fields[f].name,
                   want ? "is missing" : "does not belong here");
}

static err_t take_call(const struct line *line, struct history_call *ret, struct err *e)
{
    int kind = find_name(history_kind_names, HISTORY_KINDS, line->bytes[OP]);
    if (kind == HISTORY_KINDS)
        return err_set(e, ERR_INVALID_ARGUMENT, "there is no \"op\" of that name");
    bool swap = kind == HISTORY_SWAP, cas = kind == HISTORY_CAS;
    bool writes = swap || cas || kind == HISTORY_PUT || kind == HISTORY_APPEND;
    err_t rc = check_has(line, VALUE, writes, e);
    if (rc == ERR_OK)
        rc = check_has(line, WANTED, swap, e);
    if (rc == ERR_OK && kind != HISTORY_CAS_DELETE)
        rc = check_has(line, EXPECTED, cas, e);
    if (rc != ERR_OK)
        return rc;
    *ret =
        (struct history_call){ .client = line->u64[CLIENT],
                               .at = line->u64[CALL],
                               .kind = (enum history_kind)kind,
                               .key = line->bytes[KEY],
                               .value = line->bytes[VALUE],
                               .wanted = line->bytes[WANTED],
                               .expected = line->u64[EXPECTED],
                               .conditional = kind == HISTORY_CAS_DELETE && line->has[EXPECTED] };
    return history_check_call(ret, e);
}

static err_t take_answer(const struct line *line, const struct history_call *call,
                         struct history_answer *ret, struct err *e)
{
    int outcome = find_name(history_outcome_names, HISTORY_OUTCOMES, line->bytes[OUTCOME]);
    err_t rc = check_has(line, RETURN, true, e);
    if (rc != ERR_OK)
        return rc;
    if (outcome == HISTORY_OUTCOMES)
        return err_set(e, ERR_INVALID_ARGUMENT, "there is no \"outcome\" of that name");
    if (line->u64[RETURN] < call->at)
        return err_set(e, ERR_INVALID_ARGUMENT, "it returns before it is called");
    *ret = (struct history_answer){ .at = line->u64[RETURN],
                                    .outcome = (enum history_outcome)outcome,
                                    .has_value = line->has[SAW],
                                    .has_version = line->has[VERSION],
                                    .value = line->bytes[SAW],
                                    .version = line->u64[VERSION],
                                    .absent = line->absent };
    return history_check_answer(call, ret, e);
}

static err_t take_line(const struct value *map, struct history *h, struct err *e)
{
    struct line line = { 0 };
    struct history_call call;
    struct history_answer answer;
    err_t rc = take_fields(map, &line, e);
    if (rc == ERR_OK)
        rc = take_call(&line, &call, e);
    if (rc != ERR_OK)
        return rc;
    if (!line.has[OUTCOME]) {
        for (enum field f = RETURN; f <= SAW && rc == ERR_OK; f++)
            rc = check_has(&line, f, false, e);
        if (rc == ERR_OK)
            history_add(h, &call, NULL);
        return rc;
    }
    rc = take_answer(&line, &call, &answer, e);
    if (rc == ERR_OK)
        history_add(h, &call, &answer);
    return rc;
}

static err_t read_line(struct bytes text, struct history *h, struct err *e)
{
    struct value *map = NULL;
    err_t rc = value_from_json(text, &map, e);
    if (rc == ERR_OK)
        rc = take_line(map, h, e);
    value_free(map);
    return rc;
}

err_t history_read(struct bytes text, struct history *h, struct err *e)
{
    for (size_t number = 1; text.len > 0; number++) {
        const uint8_t *newline = memchr(text.data, '\n', text.len);
        size_t len = newline != NULL ? (size_t)(newline - text.data) : text.len;
        err_t rc = read_line(bytes_from(text.data, len), h, e);
        if (rc != ERR_OK)
            return err_wrap(e, rc, "line %zu", number);
        size_t with = newline != NULL ? len + 1 : len;
        text = bytes_from(text.data + with, text.len - with);
    }
    return ERR_OK;
}
