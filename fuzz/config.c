/* Config files. The first byte chooses: the scanner of lines alone; a whole file, run in the
 * sandbox and checked; or a tree (JSON, for speed) against the schema. Whatever a file says, the
 * answer is a config that passes its own check, or a report. */
#include "node/config_load.h"

#include "config_lines.h"
#include "config_schema.h"
#include "fuzz.h"
#include "node/config.h"

static void fuzz_lines(struct bytes text)
{
    struct config_lines lines;
    config_lines_scan(&lines, text);
    FUZZ_CHECK(lines.count <= CONFIG_LINES_MAX);
    for (size_t i = 0; i < lines.count; i++) {
        FUZZ_CHECK(strnlen(lines.items[i].path, CONFIG_PATH_MAX) < CONFIG_PATH_MAX);
        FUZZ_CHECK(lines.items[i].line > 0 && lines.items[i].before <= lines.items[i].line);
        FUZZ_CHECK(config_lines_find(&lines, lines.items[i].path) > 0);
    }
    config_lines_free(&lines);
}

static void fuzz_file(struct bytes text)
{
    struct node_config config;
    struct buf report = { 0 };
    struct err e = { 0 };
    if (config_load(text, "fuzz.lua", &config, &report, &e) == ERR_OK)
        FUZZ_CHECK(report.len == 0);
    else
        FUZZ_CHECK(report.len > 0 && e.msg[0] != '\0');
    buf_free(&report);
}

static void fuzz_tree(struct bytes json)
{
    static struct value *schema; /* the same for every input, never written again */
    struct err e = { 0 };
    struct value *given = NULL, *checked = NULL;
    if (schema == NULL)
        FUZZ_CHECK(config_load_schema(&schema, &e) == ERR_OK);
    if (value_from_json(json, &given, &e) != ERR_OK)
        return;
    struct config_report report = { .file = "fuzz.lua" };
    err_t rc = config_schema_apply(schema, given, &report, &checked, &e);
    FUZZ_CHECK((rc == ERR_OK) == (report.count == 0) && (rc == ERR_OK) == (checked != NULL));
    value_free(given), value_free(checked);
    buf_free(&report.text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len == 0)
        return 0;
    struct bytes in = { data + 1, len - 1 };
    switch (data[0] % 3) {
    case 0:
        fuzz_lines(in);
        break;
    case 1:
        fuzz_file(in);
        break;
    case 2:
        fuzz_tree(in);
        break;
    }
    return 0;
}
