#include "config_schema.h"

#include "base/test.h"

/* A schema of every type; JSON, so that this test needs no Lua. */
static const char schema_text[] =
    "[{\"name\":\"dir\",\"type\":\"path\",\"default\":\"data\"},"
    " {\"name\":\"to\",\"type\":\"address\",\"default\":\"127.0.0.1:1\"},"
    " {\"name\":\"on\",\"type\":\"boolean\",\"default\":true},"
    " {\"name\":\"level\",\"type\":\"text\",\"default\":\"info\",\"choices\":[\"debug\",\"info\",\"warn\"]},"
    " {\"name\":\"file\",\"type\":\"path\",\"default\":\"\",\"empty\":\"standard error\"},"
    " {\"name\":\"t\",\"type\":\"table\",\"options\":["
    "   {\"name\":\"count\",\"type\":\"integer\",\"default\":3,\"min\":1,\"max\":9},"
    "   {\"name\":\"size\",\"type\":\"size\",\"default\":\"64MiB\",\"min\":\"1KiB\",\"max\":\"1GiB\"},"
    "   {\"name\":\"wait_ms\",\"type\":\"duration\",\"default\":\"5s\",\"min\":10,\"max\":\"1h\"},"
    "   {\"name\":\"idle_s\",\"type\":\"duration\",\"default\":\"2m\"},"
    "   {\"name\":\"con\",\"type\":\"address\",\"default\":\"\",\"empty\":\"-\",\"choices\":[\"off\"]}]},"
    " {\"name\":\"l\",\"type\":\"list\",\"max\":2,\"default\":[],\"options\":["
    "   {\"name\":\"id\",\"type\":\"integer\",\"min\":1},"
    "   {\"name\":\"rate\",\"type\":\"integer\",\"default\":7}]}]";

/* Applies; answers the report's text in `report`, the tree if it is sound. */
static struct value *config_apply(const char *given_text, struct buf *report_text)
{
    struct err e = { 0 };
    struct value *schema, *given, *ret = NULL;
    CHECK_OK(value_from_json(BYTES(schema_text), &schema, &e), e);
    CHECK_OK(value_from_json(BYTES(given_text), &given, &e), e);
    struct config_report report = { .file = "f.lua" };
    err_t rc = config_schema_apply(schema, given, &report, &ret, &e);
    CHECK_EQ(rc, report.count == 0 ? ERR_OK : ERR_INVALID_ARGUMENT);
    CHECK_EQ(ret != NULL, rc == ERR_OK);
    if (rc != ERR_OK)
        CHECK_EQ(strncmp(e.msg, (const char *)report.text.data, 8), 0);
    CHECK_EQ(buf_append(&report.text, bytes_from("", 1)), ERR_OK);
    *report_text = report.text;
    value_free(schema);
    value_free(given);
    return ret;
}

TEST(config_schema_fills_defaults_in_the_base_unit)
{
    struct buf report;
    struct value *v = config_apply("{}", &report);
    CHECK_STR((char *)report.data, "");
    CHECK_EQ(v->count, 7);
    CHECK_EQ(value_get(v, "l")->kind, VALUE_LIST);
    CHECK_EQ(value_get(v, "l")->count, 0);
    CHECK_BYTES(value_get_bytes(v, "dir", BYTES("?")), BYTES("data"));
    CHECK(value_get_bool(v, "on", false));
    CHECK_EQ(value_get_bytes(v, "file", BYTES("?")).len, 0);
    const struct value *t = value_get(v, "t");
    CHECK_EQ(value_get_u64(t, "count", 0), 3);
    CHECK_EQ(value_get_u64(t, "size", 0), 64 << 20);
    CHECK_EQ(value_get_u64(t, "wait_ms", 0), 5000);
    CHECK_EQ(value_get_u64(t, "idle_s", 0), 120);
    value_free(v);
    buf_free(&report);
}

TEST(config_schema_takes_numbers_and_units)
{
    static const struct {
        const char *given, *name;
        uint64_t want;
    } rows[] = {
        { "{\"t\":{\"count\":9}}", "count", 9 },
        { "{\"t\":{\"size\":1024}}", "size", 1024 },
        { "{\"t\":{\"size\":\"1024B\"}}", "size", 1024 },
        { "{\"t\":{\"size\":\"1KiB\"}}", "size", 1024 },
        { "{\"t\":{\"size\":\"3MiB\"}}", "size", 3 << 20 },
        { "{\"t\":{\"size\":\"1GiB\"}}", "size", 1 << 30 },
        { "{\"t\":{\"wait_ms\":10}}", "wait_ms", 10 },
        { "{\"t\":{\"wait_ms\":\"10ms\"}}", "wait_ms", 10 },
        { "{\"t\":{\"wait_ms\":\"2m\"}}", "wait_ms", 120000 },
        { "{\"t\":{\"wait_ms\":\"1h\"}}", "wait_ms", 3600000 },
        { "{\"t\":{\"idle_s\":7}}", "idle_s", 7 },
        { "{\"t\":{\"idle_s\":\"3000ms\"}}", "idle_s", 3 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf report;
        struct value *v = config_apply(rows[i].given, &report);
        if (v == NULL)
            fail_msg("%s: %s", rows[i].given, (char *)report.data);
        CHECK_EQ(value_get_u64(value_get(v, "t"), rows[i].name, 0), rows[i].want);
        value_free(v);
        buf_free(&report);
    }
}

TEST(config_schema_takes_lists_of_tables)
{
    struct buf report;
    struct value *v = config_apply("{\"l\":[{\"id\":3},{\"id\":4,\"rate\":1}]}", &report);
    CHECK_STR((char *)report.data, "");
    const struct value *l = value_get(v, "l");
    CHECK_EQ(l->count, 2);
    CHECK_EQ(value_get_u64(&l->items[0], "id", 0), 3);
    CHECK_EQ(value_get_u64(&l->items[0], "rate", 0), 7);
    CHECK_EQ(value_get_u64(&l->items[1], "rate", 0), 1);
    value_free(v);
    buf_free(&report);
}

TEST(config_schema_takes_addresses)
{
    static const char *const good[] = { "127.0.0.1:0", "0.0.0.0:65535", "[::1]:7700",
                                        "unix:/run/a.sk" };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        char given[100];
        snprintf(given, sizeof given, "{\"to\":\"%s\",\"t\":{\"con\":\"off\"}}", good[i]);
        struct buf report;
        struct value *v = config_apply(given, &report);
        if (v == NULL)
            fail_msg("%s: %s", given, (char *)report.data);
        value_free(v);
        buf_free(&report);
    }
}

TEST(config_schema_says_what_is_wrong_and_what_to_write)
{
    static const struct {
        const char *given, *want;
    } rows[] = {
        { "{\"dri\":1}", "f.lua: dri: there is no such option; did you mean \"dir\"?" },
        { "{\"zzz\":1}", "there is no such option; a config has dir, to, on, level, file, t, l" },
        { "{\"t\":{\"cuont\":1}}", "t.cuont: there is no such option; did you mean \"count\"?" },
        { "{\"count\":1}", "count: there is no such option here; it belongs into t" },
        { "{\"t\":{\"dir\":\"x\"}}",
          "t.dir: there is no such option here; it belongs into the top" },
        { "{\"t\":5}", "t: the number 5 is no table of options; write t = { ... }" },
        { "{\"t\":[1]}", "t: a list is no table of options" },
        { "[1]", "a config is a table of names, name = value; this is a list" },
        { "{\"on\":\"yes\"}", "on: the text \"yes\" is neither true nor false" },
        { "{\"on\":1}", "on: the number 1 is neither true nor false" },
        { "{\"dir\":true}", "dir: true is no text; put it in quotes" },
        { "{\"dir\":\"\"}", "dir: is empty; leave it out for the default, \"data\"" },
        { "{\"dir\":\"a\\nb\"}", "dir: the text \"a\\x0ab\" has a control character in it" },
        { "{\"level\":\"inof\"}",
          "level: \"inof\" is not one of debug, info, warn; did you mean \"info\"?" },
        { "{\"level\":\"loud\"}", "level: \"loud\" is not one of debug, info, warn\n" },
        { "{\"t\":{\"count\":0}}", "t.count: 0 is too small; the least is 1" },
        { "{\"t\":{\"count\":10}}", "t.count: 10 is too large; the most is 9" },
        { "{\"t\":{\"count\":-1}}", "t.count: the number -1 is not a whole number from 0 to 2^53" },
        { "{\"t\":{\"count\":1.5}}", "t.count: the number 1.5 is not a whole number" },
        { "{\"t\":{\"count\":\"3\"}}",
          "t.count: the text \"3\" is no whole number; write for example 3" },
        { "{\"t\":{\"size\":\"1MB\"}}",
          "t.size: the text \"1MB\" is not a size: write a whole number and B, KiB" },
        { "{\"t\":{\"size\":\"1mib\"}}", "\"1mib\" is not a size" },
        { "{\"t\":{\"size\":\"5s\"}}", "\"5s\" is not a size" },
        { "{\"t\":{\"size\":\"1.5GiB\"}}", "\"1.5GiB\" is not a size" },
        { "{\"t\":{\"size\":\"MiB\"}}", "\"MiB\" is not a size" },
        { "{\"t\":{\"size\":\"-1MiB\"}}", "is not a size" },
        { "{\"t\":{\"size\":\"64\"}}", "has no unit; write a number without quotes" },
        { "{\"t\":{\"size\":\"\"}}", "is not a size" },
        { "{\"t\":{\"size\":\"99999999999999999999B\"}}", "is too large" },
        { "{\"t\":{\"size\":\"16777216TiB\"}}", "is too large" },
        { "{\"t\":{\"size\":\"2GiB\"}}", "t.size: 2GiB is too large; the most is 1GiB" },
        { "{\"t\":{\"size\":1000}}", "t.size: 1000B is too small; the least is 1KiB" },
        { "{\"t\":{\"size\":true}}",
          "t.size: true is no size; write a number or text with a unit" },
        { "{\"t\":{\"size\":{\"a\":1}}}", "t.size: a table is no size" },
        { "{\"t\":{\"wait_ms\":9}}", "t.wait_ms: 9ms is too small; the least is 10ms" },
        { "{\"t\":{\"wait_ms\":\"2h\"}}", "t.wait_ms: 2h is too large; the most is 1h" },
        { "{\"t\":{\"wait_ms\":\"5sec\"}}",
          "\"5sec\" is not a duration: write a whole number and ns, us, ms, s, m, h or d" },
        { "{\"t\":{\"idle_s\":\"1500ms\"}}", "is not a whole number of seconds" },
        { "{\"to\":\"localhost\"}",
          "to: \"localhost\" has no port; write for example '127.0.0.1:7700'" },
        { "{\"to\":\"localhost:80\"}", "to: \"localhost:80\" has no IP address before the port" },
        { "{\"to\":\":80\"}", "has no IP address before the port" },
        { "{\"to\":\"::1:80\"}", "is IPv6 without brackets; write for example '[::1]:7700'" },
        { "{\"to\":\"[::1]\"}", "has no port" },
        { "{\"to\":\"1.2.3.4:65536\"}", "has no port from 0 to 65535" },
        { "{\"to\":\"1.2.3.4:\"}", "has no port from 0 to 65535" },
        { "{\"to\":\"1.2.3.4:8x\"}", "has no port from 0 to 65535" },
        { "{\"to\":\"unix:\"}", "has no path; write 'unix:/path/to/socket'" },
        { "{\"to\":\"off\"}", "to: \"off\" has no port" },
        { "{\"l\":5}", "l: the number 5 is no list; write l = { { ... }, { ... } }" },
        { "{\"l\":{\"id\":1}}", "l: a table with names is no list" },
        { "{\"l\":[1]}", "l[1]: the number 1 is no table of options; write { ... }" },
        { "{\"l\":[{\"id\":1},{}]}", "l[2].id: is not set" },
        { "{\"l\":[{\"id\":0}]}", "l[1].id: 0 is too small" },
        { "{\"l\":[{\"id\":1,\"rat\":1}]}",
          "l[1].rat: there is no such option; did you mean \"rate\"?" },
        { "{\"l\":[{\"id\":1},{\"id\":2},{\"id\":3}]}", "l: has 3 items; the most is 2" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf report;
        struct value *v = config_apply(rows[i].given, &report);
        if (v != NULL || strstr((char *)report.data, rows[i].want) == NULL)
            fail_msg("%s: the report is \"%s\", without \"%s\"", rows[i].given, (char *)report.data,
                     rows[i].want);
        buf_free(&report);
    }
}

TEST(config_schema_reports_all_mistakes_at_once)
{
    struct buf report;
    struct value *v = config_apply("{\"on\":1,\"x\":2,\"t\":{\"count\":0,\"size\":0}}", &report);
    CHECK(v == NULL);
    const char *text = (char *)report.data;
    CHECK_CONTAINS(text, "x: there is no such option");
    CHECK_CONTAINS(text, "on: ");
    CHECK_CONTAINS(text, "t.count: ");
    CHECK_CONTAINS(text, "t.size: ");
    buf_free(&report);
}

TEST(config_schema_names_lines_and_what_is_set_twice)
{
    struct err e = { 0 };
    struct value *schema, *given, *ret = NULL;
    CHECK_OK(value_from_json(BYTES(schema_text), &schema, &e), e);
    CHECK_OK(value_from_json(BYTES("{\"t\":{\"count\":2}}"), &given, &e), e);
    struct config_lines lines;
    config_lines_scan(&lines, BYTES("return {\n t = { count = 1,\n count = 2 } }"));
    struct config_report report = { .file = "f.lua", .lines = &lines };
    CHECK_EQ(config_schema_apply(schema, given, &report, &ret, &e), ERR_INVALID_ARGUMENT);
    CHECK_STR(e.msg, "f.lua:3: t.count: is set twice, first in line 2; remove one of them");
    buf_free(&report.text);
    config_lines_free(&lines);
    value_free(schema);
    value_free(given);
}

TEST_MAIN()
