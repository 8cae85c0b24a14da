/* flotilla config: what a config file says, and what is wrong with it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config_file.h"
#include "node/config_load.h"
#include "show.h"

/* At most CONFIG_TEXT_MAX + 1 bytes: one more than config_load() takes. */
static bool read_text(const char *path, struct buf *ret)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        return false;
    bool ok = true;
    while (ok && ret->len <= CONFIG_TEXT_MAX) {
        uint8_t *room = buf_reserve(ret, 64 << 10);
        size_t n = room != NULL ? fread(room, 1, 64 << 10, f) : 0;
        ret->len += n;
        if (n == 0)
            break;
    }
    int number = errno;
    ok = !ferror(f);
    fclose(f);
    errno = number;
    return ok;
}

int config_file_read(struct cli *cli, const char *path, struct node_config *ret)
{
    struct buf text = { 0 }, report = { 0 };
    struct err e = { 0 };
    if (!read_text(path, &text)) {
        int code =
            cli_fail(cli, CLI_USAGE, "could not read the config %s: %s%s", path, strerror(errno),
                     errno == ENOENT ? "; config/node.lua in the sources shows every option" : "");
        buf_free(&text);
        return code;
    }
    err_t rc = config_load(buf_bytes(&text), path, ret, &report, &e);
    if (rc != ERR_OK) {
        fflush(cli->out);
        if (report.len > 0)
            fwrite(report.data, 1, report.len, cli->err);
        else
            fprintf(cli->err, "%s\n", e.msg);
    }
    buf_free(&text);
    buf_free(&report);
    return rc == ERR_OK ? CLI_OK : CLI_USAGE;
}

static int run_check(struct cli *cli, int argc, char **argv)
{
    (void)argc;
    struct node_config config;
    int code = config_file_read(cli, argv[0], &config);
    if (code == CLI_OK)
        fprintf(cli->out, "%s: sound\n", argv[0]);
    return code;
}

/* ---- config show: every option of the schema, with its default and doc ---------------------------------------- */

static void add_options(struct show_rows *rows, const char *path, const struct value *options)
{
    for (size_t i = 0; i < options->count; i++) {
        const struct value *o = &options->items[i];
        struct bytes name = value_get_bytes(o, "name", BYTES(""));
        struct bytes doc = value_get_bytes(o, "doc", BYTES(""));
        char full[128];
        snprintf(full, sizeof full, "%s%s%.*s", path, path[0] != '\0' ? "." : "", (int)name.len,
                 (const char *)name.data);
        const struct value *inner = value_get(o, "options"), *given = value_get(o, "default");
        bool list = bytes_equal(value_get_bytes(o, "type", BYTES("")), BYTES("list"));
        bool values = bytes_equal(value_get_bytes(o, "type", BYTES("")), BYTES("values"));
        if (inner != NULL && !list) {
            add_options(rows, full, inner);
            continue;
        }
        struct value *row = show_rows_add(rows);
        value_put_text(value_set(row, "option"), full);
        value_put_bytes(value_set(row, "type"), value_get_bytes(o, "type", BYTES("")));
        if (given != NULL && !list && !values) /* theirs are empty; a list's items have none */
            value_put_copy(value_set(row, "default"), given);
        else
            value_put_text(value_set(row, "default"), "");
        value_put_bytes(value_set(row, "doc"), doc);
        if (list) {
            snprintf(full + strlen(full), sizeof full - strlen(full), "[]");
            add_options(rows, full, inner);
        }
    }
}

static int run_options(struct cli *cli, int argc, char **argv)
{
    (void)argc, (void)argv;
    struct value *schema;
    struct err e = { 0 };
    if (config_load_schema(&schema, &e) != ERR_OK)
        return cli_fail(cli, CLI_FAILED, "%s", e.msg);
    struct show_rows rows;
    show_rows_begin(&rows, cli, CLI_TEXT, 0);
    add_options(&rows, "", schema);
    show_rows_end(&rows);
    value_free(schema);
    return CLI_OK;
}

const struct cli_command cli_config_commands[] = {
    { .name = "config check",
      .arguments = "FILE",
      .summary = "what is wrong with a config file",
      .detail =
          "Every mistake is a line: file:line: option: what is wrong; what to write. Exits with 2 if there is\n"
          "one.\n",
      .examples = "flotilla config check config/dev.lua\n",
      .least = 1,
      .most = 1,
      .run = run_check },
    { .name = "config options",
      .arguments = "",
      .summary = "every option, its default, what it does",
      .examples = "flotilla config options\nflotilla config options -o json\n",
      .formats = true,
      .run = run_options },
    { 0 },
};
