/* flotilla kv put, get, delete, cas, scan. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "show.h"
#include "text.h"

#define CODING_OPTIONS                                                                             \
    { "hex", 0, NULL, "keys and values are hexadecimal, in the arguments and in tables" },         \
    {                                                                                              \
        "base64", 0, NULL, "keys and values are base64, in the arguments and in tables"            \
    }

static struct flotilla_bytes outward(const struct buf *b)
{
    return flotilla_bytes(b->data, b->len);
}

static struct bytes inward(struct flotilla_bytes b)
{
    return bytes_from(b.data, b.len);
}

/* What a command was told: a key, in commands that write also a value, and how both are spelt. */
struct told {
    enum cli_coding coding;
    struct buf key, value;
};

static void told_free(struct told *t)
{
    buf_free(&t->key);
    buf_free(&t->value);
}

/* Takes KEY [VALUE|-], and connects before it waits for standard input. CLI_OK, or complained; on CLI_OK the caller
 * frees `ret`. */
static int begin(struct cli *cli, int argc, char **argv, struct told *ret)
{
    struct told t = { 0 };
    if (!text_coding(cli, &t.coding) || !text_parse(cli, "the key", argv[0], t.coding, &t.key))
        return CLI_USAGE;
    if (t.key.len == 0)
        return cli_usage(cli, "the key is empty");
    int code = cli_namespace(cli);
    if (code == CLI_OK && argc > 1 &&
        !text_parse_or_read(cli, "the value", argv[1], t.coding, &t.value))
        code = CLI_USAGE;
    if (code == CLI_OK)
        *ret = t;
    else
        told_free(&t);
    return code;
}

/* A key as messages name it. */
static const char *shown(const struct buf *key, char out[120])
{
    struct buf b = { 0 };
    text_escape(buf_bytes(key), 60, &b);
    snprintf(out, 120, "%.*s", (int)b.len, (const char *)b.data);
    buf_free(&b);
    return out;
}

/* ---- put ---------------------------------------------------------------------------------------------------- */

static int run_put(struct cli *cli, int argc, char **argv)
{
    struct told t;
    int code = begin(cli, argc, argv, &t);
    if (code != CLI_OK)
        return code;
    struct flotilla_error error;
    if (flotilla_raw_put(cli->db, cli->ns, outward(&t.key), outward(&t.value), &error) !=
        FLOTILLA_OK)
        code = cli_error(cli, &error);
    told_free(&t);
    return code;
}

/* ---- get ---------------------------------------------------------------------------------------------------- */

/* The value alone: for people a line, in the other formats exactly. */
static void show_value(struct cli *cli, enum cli_coding coding, struct bytes value)
{
    struct value v = { 0 };
    struct buf b = { 0 };
    switch (cli->format) {
    case CLI_JSON:
    case CLI_LUA:
        value_put_bytes(&v, value);
        show(cli, &v);
        value_put_nil(&v);
        return;
    case CLI_TABLE:
        text_encode(value, coding, &b);
        fprintf(cli->out, "%.*s\n", (int)b.len, (const char *)b.data);
        break;
    case CLI_RAW:
        if (coding == CLI_TEXT && value.len > 0)
            fwrite(value.data, 1, value.len, cli->out);
        else if (coding != CLI_TEXT)
            text_encode(value, coding, &b);
        fprintf(cli->out, "%.*s", (int)b.len, (const char *)b.data);
        break;
    }
    buf_free(&b);
}

static void show_versioned(struct cli *cli, enum cli_coding coding,
                           const struct flotilla_value *value)
{
    struct bytes bytes = bytes_from(value->data, value->len);
    if (cli->format == CLI_RAW) {
        show_value(cli, coding, bytes);
        return;
    }
    struct value v = { 0 };
    struct buf b = { 0 };
    value_put_map(&v);
    value_put_u64(value_set(&v, "version"), value->version);
    if (cli->format == CLI_TABLE && coding != CLI_TEXT) {
        text_encode(bytes, coding, &b);
        bytes = buf_bytes(&b);
    }
    value_put_bytes(value_set(&v, "value"), bytes);
    show(cli, &v);
    value_put_nil(&v);
    buf_free(&b);
}

static int run_get(struct cli *cli, int argc, char **argv)
{
    struct told t;
    int code = begin(cli, argc, argv, &t);
    if (code != CLI_OK)
        return code;
    bool cas = cli_given(cli, "cas") != NULL;
    struct flotilla_value value = { 0 };
    struct flotilla_error error;
    char name[120];
    if ((cas ? flotilla_cas_get : flotilla_get)(cli->db, cli->ns, outward(&t.key), &value,
                                                &error) != FLOTILLA_OK)
        code = cli_error(cli, &error);
    else if (!value.found && value.version > 0)
        code = cli_fail(cli, CLI_NO, "\"%s\" was deleted, at version %" PRIu64, shown(&t.key, name),
                        value.version);
    else if (!value.found)
        code = cli_fail(cli, CLI_NO, "there is no %s \"%s\"", cas ? "versioned key" : "key",
                        shown(&t.key, name));
    else if (cas)
        show_versioned(cli, t.coding, &value);
    else
        show_value(cli, t.coding, bytes_from(value.data, value.len));
    flotilla_value_free(&value);
    told_free(&t);
    return code;
}

/* ---- cas and delete ----------------------------------------------------------------------------------------- */

static void show_version(struct cli *cli, uint64_t version)
{
    struct value v = { 0 };
    if (cli->format == CLI_RAW) {
        value_put_u64(&v, version);
    } else {
        value_put_map(&v);
        value_put_u64(value_set(&v, "version"), version);
    }
    show(cli, &v);
    value_put_nil(&v);
}

static int conflict(struct cli *cli, const struct buf *key, uint64_t expected,
                    const struct flotilla_value *current)
{
    char name[120];
    if (current->found)
        return cli_fail(cli, CLI_NO,
                        "conflict on \"%s\": its current version is %" PRIu64 ", not %" PRIu64
                        "; read it (kv get --cas), then expect that version",
                        shown(key, name), current->version, expected);
    return cli_fail(cli, CLI_NO,
                    "conflict on \"%s\": it is absent%s (last version: %" PRIu64
                    "), not at version %" PRIu64 "; to create it, --expect 0",
                    shown(key, name), current->version > 0 ? ", deleted" : "", current->version,
                    expected);
}

/* What a versioned write came to. `expected` is looked at in a conflict alone. */
static int outcome(struct cli *cli, const struct buf *key, int rc, uint64_t version,
                   uint64_t expected, const struct flotilla_value *current,
                   const struct flotilla_error *error)
{
    if (rc == FLOTILLA_CONFLICT)
        return conflict(cli, key, expected, current);
    if (rc != FLOTILLA_OK)
        return cli_error(cli, error);
    show_version(cli, version);
    return CLI_OK;
}

/* --expect N. False: complained. */
static bool take_expect(struct cli *cli, bool *given, uint64_t *ret)
{
    const char *text = cli_given(cli, "expect");
    int code;
    *given = text != NULL;
    return text == NULL || cli_number(cli, "--expect", text, UINT64_MAX, ret, &code);
}

static int run_cas(struct cli *cli, int argc, char **argv)
{
    bool given;
    uint64_t expected, version;
    if (!take_expect(cli, &given, &expected))
        return CLI_USAGE;
    if (!given)
        return cli_usage(
            cli, "--expect N is missing: the version that the key must have; 0: it must be absent");
    struct told t;
    int code = begin(cli, argc, argv, &t);
    if (code != CLI_OK)
        return code;
    struct flotilla_value current = { 0 };
    struct flotilla_error error;
    int rc = flotilla_cas_put(cli->db, cli->ns, outward(&t.key), expected, outward(&t.value),
                              &version, &current, &error);
    code = outcome(cli, &t.key, rc, version, expected, &current, &error);
    flotilla_value_free(&current);
    told_free(&t);
    return code;
}

static int delete_versioned(struct cli *cli, const struct buf *key, const uint64_t *expect)
{
    struct flotilla_value current = { 0 };
    struct flotilla_error error;
    uint64_t version, expected = expect != NULL ? *expect : 0;
    char name[120];
    int code, rc = flotilla_cas_delete(cli->db, cli->ns, outward(key), expect, &version, &current,
                                       &error);
    if (rc == FLOTILLA_NOT_FOUND)
        code = cli_fail(cli, CLI_NO, "there is no versioned key \"%s\"", shown(key, name));
    else
        code = outcome(cli, key, rc, version, expected, &current, &error);
    flotilla_value_free(&current);
    return code;
}

static int run_delete(struct cli *cli, int argc, char **argv)
{
    bool given, cas = cli_given(cli, "cas") != NULL;
    uint64_t expected;
    if (!take_expect(cli, &given, &expected))
        return CLI_USAGE;
    if (given && !cas)
        return cli_usage(cli, "--expect needs --cas: only versioned keys have versions");
    struct told t;
    int code = begin(cli, argc, argv, &t);
    if (code != CLI_OK)
        return code;
    struct flotilla_error error;
    if (cas)
        code = delete_versioned(cli, &t.key, given ? &expected : NULL);
    else if (flotilla_delete(cli->db, cli->ns, outward(&t.key), &error) != FLOTILLA_OK)
        code = cli_error(cli, &error);
    told_free(&t);
    return code;
}

/* ---- scan --------------------------------------------------------------------------------------------------- */

enum { SCAN_LIMIT = 100, SCAN_CUT = 80 };

static int scan(struct cli *cli, enum cli_coding coding, bool cas, bool keys_only, uint64_t limit,
                struct flotilla_range *range)
{
    struct flotilla_scan *at;
    struct flotilla_error error;
    range->limit = limit == 0 ? 0 : limit + 1; /* one more tells whether there are more */
    range->keys_only = keys_only;
    if ((cas ? flotilla_cas_scan : flotilla_scan)(cli->db, cli->ns, range, &at, &error) !=
        FLOTILLA_OK)
        return cli_error(cli, &error);
    struct show_rows rows;
    struct flotilla_row row;
    bool more = false;
    show_rows_begin(&rows, cli, coding, SCAN_CUT);
    while (flotilla_scan_next(at, &row, &error)) {
        more = limit != 0 && rows.count == limit;
        if (more)
            break;
        struct value *v = show_rows_add(&rows);
        value_put_bytes(value_set(v, "key"), inward(row.key));
        if (cas)
            value_put_u64(value_set(v, "version"), row.version);
        if (!keys_only)
            value_put_bytes(value_set(v, "value"), inward(row.value));
    }
    show_rows_end(&rows);
    flotilla_scan_close(at);
    if (!more && error.code != FLOTILLA_OK)
        return cli_error(cli, &error);
    if (more)
        fprintf(cli->err,
                "flotilla kv scan: there are more rows; --limit N shows N of them, 0 all\n");
    return CLI_OK;
}

static int run_scan(struct cli *cli, int argc, char **argv)
{
    (void)argc, (void)argv;
    enum cli_coding coding;
    uint64_t limit = SCAN_LIMIT;
    const char *from = cli_given(cli, "from"), *to = cli_given(cli, "to"),
               *limit_text = cli_given(cli, "limit");
    int code;
    if (limit_text != NULL &&
        !cli_number(cli, "--limit", limit_text, UINT64_MAX - 1, &limit, &code))
        return code;
    struct buf start = { 0 }, end = { 0 };
    if (!text_coding(cli, &coding) ||
        (from != NULL && !text_parse(cli, "--from", from, coding, &start)))
        return CLI_USAGE;
    if (to != NULL && !text_parse(cli, "--to", to, coding, &end)) {
        buf_free(&start);
        return CLI_USAGE;
    }
    struct flotilla_range range = { .start = outward(&start), .end = outward(&end) };
    if (to != NULL && end.len == 0)
        code = cli_usage(cli, "--to is empty; leave it out to scan to the last key");
    else
        code = cli_namespace(cli);
    if (code == CLI_OK)
        code = scan(cli, coding, cli_given(cli, "cas") != NULL, cli_given(cli, "keys-only") != NULL,
                    limit, &range);
    buf_free(&start);
    buf_free(&end);
    return code;
}

/* ---- The table ---------------------------------------------------------------------------------------------- */

static const struct cli_option put_options[] = { CODING_OPTIONS, { 0 } };
static const struct cli_option get_options[] = {
    { "cas", 0, NULL, "a versioned key: shows its version too" },
    CODING_OPTIONS,
    { 0 },
};
static const struct cli_option delete_options[] = {
    { "cas", 0, NULL, "a versioned key: the delete is a version of its own" },
    { "expect", 0, "N", "with --cas: only if its version is N" },
    CODING_OPTIONS,
    { 0 },
};
static const struct cli_option cas_options[] = {
    { "expect", 0, "N", "the version that the key must have; 0: it must be absent now" },
    CODING_OPTIONS,
    { 0 },
};
static const struct cli_option scan_options[] = {
    { "from", 0, "KEY", "the first key (default: the very first)" },
    { "to", 0, "KEY", "up to, and without, this key (default: to the end)" },
    { "limit", 0, "N", "at most N rows; 0: all (default: 100)" },
    { "cas", 0, NULL, "the versioned keys, with their versions" },
    { "keys-only", 0, NULL, "no values" },
    CODING_OPTIONS,
    { 0 },
};

const struct cli_command cli_kv_commands[] = {
    { .name = "kv put",
      .arguments = "KEY VALUE|-",
      .summary = "write a raw key",
      .detail =
          "A value of - is standard input, byte by byte. When it returns with 0, the value is on disk.\n",
      .examples = "flotilla kv put k1 v1\n"
                  "flotilla kv put photo - < photo.jpg\n"
                  "flotilla kv put --hex 00ff 0102\n",
      .options = put_options,
      .least = 2,
      .most = 2,
      .connects = true,
      .keys = true,
      .run = run_put },
    { .name = "kv get",
      .arguments = "KEY",
      .summary = "read a key; a miss exits with 1",
      .detail =
          "A table shows bytes that are no text as \\xNN. -o raw gives exactly the value, without a\n"
          "newline. Raw and versioned keys (--cas) are two key spaces.\n",
      .examples = "flotilla kv get k1\n"
                  "flotilla kv get photo -o raw > photo.jpg\n"
                  "flotilla kv get counter --cas\n",
      .options = get_options,
      .least = 1,
      .most = 1,
      .formats = true,
      .connects = true,
      .keys = true,
      .run = run_get },
    { .name = "kv delete",
      .arguments = "KEY",
      .summary = "delete a key",
      .detail =
          "Deleting a raw key that is not there is no error; a versioned one exits with 1. A deleted\n"
          "versioned key keeps counting: the next create continues its versions.\n",
      .examples = "flotilla kv delete k1\n"
                  "flotilla kv delete counter --cas\n"
                  "flotilla kv delete counter --cas --expect 3\n",
      .options = delete_options,
      .least = 1,
      .most = 1,
      .formats = true,
      .connects = true,
      .keys = true,
      .run = run_delete },
    { .name = "kv cas",
      .arguments = "KEY --expect N VALUE|-",
      .summary = "compare and swap a versioned key; a conflict exits with 1",
      .detail =
          "Writes if the key's version is N, and shows the new version. --expect 0: the key must be\n"
          "absent. A conflict names the current version.\n",
      .examples = "flotilla kv cas counter --expect 0 one\n"
                  "flotilla kv cas counter --expect 1 two\n"
                  "flotilla kv cas config --expect 7 - < config.json\n",
      .options = cas_options,
      .least = 2,
      .most = 2,
      .formats = true,
      .connects = true,
      .keys = true,
      .run = run_cas },
    { .name = "kv scan",
      .arguments = "",
      .summary = "list keys in their order",
      .detail =
          "Tables cut values after 80 bytes; the other formats are exact. A page of a long scan is one\n"
          "moment, the whole scan is not.\n",
      .examples = "flotilla kv scan --from a --to b --limit 100 -o json\n"
                  "flotilla kv scan --from user/ --to user0 --keys-only\n"
                  "flotilla kv scan --cas --limit 0\n",
      .options = scan_options,
      .least = 0,
      .most = 0,
      .formats = true,
      .connects = true,
      .keys = true,
      .run = run_scan },
    { 0 },
};
