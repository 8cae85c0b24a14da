/* Lines of JSON for dump and load. */
#include "jsonl.h"

#include <inttypes.h>

#include "base/base64.h"
#include "base/value.h"

err_t jsonl_write(struct bytes key, struct bytes value, bool versioned, uint64_t version,
                  struct buf *out)
{
    size_t before = out->len;
    err_t rc = buf_append(out, BYTES("{\"key\":\""));
    if (rc == ERR_OK)
        rc = base64_encode(key, out);
    if (rc == ERR_OK)
        rc = buf_append(out, BYTES("\",\"value\":\""));
    if (rc == ERR_OK)
        rc = base64_encode(value, out);
    if (rc == ERR_OK)
        rc = versioned ? buf_printf(out, "\",\"version\":%" PRIu64 "}\n", version)
                       : buf_append(out, BYTES("\"}\n"));
    if (rc != ERR_OK)
        out->len = before;
    return rc;
}

/* One of the two forms of a field: `name` is base64, `name`_text is text. */
static err_t take(const struct value *line, const char *name, const char *text_name,
                  struct buf *ret, struct err *e)
{
    const struct value *coded = value_get(line, name), *text = value_get(line, text_name);
    if ((coded == NULL) == (text == NULL))
        return err_set(e, ERR_INVALID_ARGUMENT, "it must have either \"%s\" or \"%s\"", name,
                       text_name);
    const struct value *v = coded != NULL ? coded : text;
    if (v->kind != VALUE_BYTES)
        return err_set(e, ERR_INVALID_ARGUMENT, "\"%s\" must be text",
                       coded != NULL ? name : text_name);
    if (text != NULL)
        return buf_append(ret, buf_bytes(&v->bytes));
    err_t rc = base64_decode(buf_bytes(&v->bytes), ret);
    if (rc == ERR_INVALID_ARGUMENT)
        return err_set(e, rc, "\"%s\" is not base64; plain text goes into \"%s\"", name, text_name);
    return rc;
}

static err_t check_names(const struct value *line, struct err *e)
{
    static const char *const known[] = { "key", "key_text", "value", "value_text", "version" };
    for (size_t i = 0; i < line->count; i++) {
        bool found = false;
        for (size_t k = 0; k < sizeof known / sizeof known[0]; k++)
            found |= bytes_equal(buf_bytes(&line->keys[i]), BYTES(known[k]));
        if (!found)
            return err_set(e, ERR_INVALID_ARGUMENT, "the field \"%.*s\" is none of a dump",
                           (int)line->keys[i].len, (const char *)line->keys[i].data);
    }
    return ERR_OK;
}

static err_t take_version(const struct value *line, struct jsonl_row *row, struct err *e)
{
    const struct value *v = value_get(line, "version");
    row->versioned = v != NULL;
    row->version = value_get_u64(line, "version", 0);
    if (v != NULL && row->version == 0)
        return err_set(e, ERR_INVALID_ARGUMENT, "\"version\" must be a whole number from 1");
    return ERR_OK;
}

err_t jsonl_read(struct bytes text, struct jsonl_row *ret, struct err *e)
{
    struct jsonl_row row = { 0 };
    struct value *line;
    err_t rc = value_from_json(text, &line, e);
    if (rc != ERR_OK)
        return rc;
    if (line->kind != VALUE_MAP)
        rc = err_set(e, ERR_INVALID_ARGUMENT, "it is no JSON object");
    if (rc == ERR_OK)
        rc = check_names(line, e);
    if (rc == ERR_OK)
        rc = take(line, "key", "key_text", &row.key, e);
    if (rc == ERR_OK && row.key.len == 0)
        rc = err_set(e, ERR_INVALID_ARGUMENT, "the key is empty");
    if (rc == ERR_OK)
        rc = take(line, "value", "value_text", &row.value, e);
    if (rc == ERR_OK)
        rc = take_version(line, &row, e);
    value_free(line);
    if (rc != ERR_OK)
        jsonl_row_free(&row);
    else
        *ret = row;
    return rc;
}

void jsonl_row_free(struct jsonl_row *row)
{
    buf_free(&row->key);
    buf_free(&row->value);
}
