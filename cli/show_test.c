#include "show.h"

#include <locale.h>

#include "base/test.h"

static struct buf shown_text; /* of the last show_as() */

/* Shows JSON in a format; the text that came out. */
static const char *show_as(enum cli_format format, const char *json)
{
    setlocale(LC_CTYPE, "C.UTF-8");
    FILE *out = tmpfile();
    struct cli cli = { .format = format, .out = out, .err = stderr };
    struct value *v;
    struct err e = { 0 };
    CHECK_OK(value_from_json(BYTES(json), &v, &e), e);
    show(&cli, v);
    value_free(v);
    rewind(out);
    buf_clear(&shown_text);
    uint8_t *room = buf_reserve(&shown_text, 65536);
    size_t n = fread(room, 1, 65535, out);
    room[n] = 0;
    fclose(out);
    return (char *)room;
}

TEST(show_tables_line_up)
{
    CHECK_STR(
        show_as(CLI_TABLE,
                "[{\"key\":\"a\",\"value\":\"1\"},{\"key\":\"gr\\u00fcn\",\"value\":\"22\"}]"),
        "key   value\n"
        "a     1\n"
        "gr\xc3\xbcn  22\n");
    CHECK_STR(
        show_as(CLI_TABLE, "[{\"bytes\":1,\"doc\":\"d\",\"id\":7,\"keys\":2,\"name\":\"n\"}]"),
        "id  name  bytes  keys  doc\n"
        "7   n     1      2     d\n");
    CHECK_STR(show_as(CLI_TABLE, "[]"), "");
    CHECK_STR(show_as(CLI_TABLE, "[1,\"two\",null,true]"), "1\ntwo\n-\ntrue\n");
    CHECK_STR(show_as(CLI_TABLE, "{\"version\":3,\"value\":\"a\\nb\"}"),
              "version  3\nvalue    a\\nb\n");
    CHECK_STR(show_as(CLI_TABLE, "{\"n\":1,\"rows\":[{\"a\":1}]}"), "n     1\nrows:\na\n1\n");
    CHECK_STR(show_as(CLI_TABLE, "\"text\""), "text\n");
    CHECK_STR(show_as(CLI_TABLE, "null"), "");
}

TEST(show_json_is_json)
{
    CHECK_STR(show_as(CLI_JSON, "5"), "5\n");
    CHECK_STR(show_as(CLI_JSON, "\"a\\nb\""), "\"a\\nb\"\n");
    CHECK_STR(show_as(CLI_JSON, "{\"base64\":\"AP8=\"}"), "{ \"base64\": \"AP8=\" }\n");
}

TEST(show_lua_is_lua)
{
    CHECK_STR(show_as(CLI_LUA, "{\"a\":[1,2.5,true,null],\"b c\":\"x\\\"\\n\\u00011\",\"end\":{}}"),
              "{ a = { 1, 2.5, true, nil }, [\"b c\"] = \"x\\\"\\n\\0011\", [\"end\"] = {} }\n");
    CHECK_STR(show_as(CLI_LUA, "18446744073709551615"), "18446744073709551615ULL\n");
    CHECK_STR(show_as(CLI_LUA, "[]"), "{}\n");
}

TEST(show_raw_is_for_the_shell)
{
    CHECK_STR(
        show_as(CLI_RAW, "[{\"key\":\"a\",\"value\":\"1\"},{\"key\":\"b\",\"value\":\"\\\\\"}]"),
        "a\t1\nb\t\\\n");
    CHECK_STR(show_as(CLI_RAW, "7"), "7\n");
    CHECK_STR(show_as(CLI_RAW, "{\"version\":3}"), "3\n");
}

static const char *show_some_rows(enum cli_format format, int count)
{
    FILE *out = tmpfile();
    struct cli cli = { .format = format, .out = out, .err = stderr };
    struct show_rows rows;
    show_rows_begin(&rows, &cli, CLI_TEXT, 3);
    for (int i = 0; i < count; i++) {
        struct value *row = show_rows_add(&rows);
        char text[20];
        snprintf(text, sizeof text, "k%d", i);
        value_put_text(value_set(row, "key"), text);
        value_put_bytes(value_set(row, "value"), BYTES("\xff"
                                                       "2345"));
    }
    show_rows_end(&rows);
    rewind(out);
    buf_clear(&shown_text);
    uint8_t *room = buf_reserve(&shown_text, 1 << 20);
    size_t n = fread(room, 1, (1 << 20) - 1, out);
    room[n] = 0;
    fclose(out);
    return (char *)room;
}

TEST(show_rows_in_every_format)
{
    CHECK_STR(show_some_rows(CLI_TABLE, 2),
              "key  value\nk0   \\xff23... (5 bytes)\nk1   \\xff23... (5 bytes)\n");
    CHECK_STR(show_some_rows(CLI_RAW, 2), "k0\t\xff"
                                          "2345\nk1\t\xff"
                                          "2345\n");
    CHECK_STR(show_some_rows(CLI_TABLE, 0), "");
    CHECK_STR(show_some_rows(CLI_JSON, 0), "[]\n");
    CHECK_STR(show_some_rows(CLI_LUA, 0), "{}\n");
    struct value *v;
    struct err e = { 0 };
    const char *json = show_some_rows(CLI_JSON, 3);
    CHECK_OK(value_from_json(BYTES(json), &v, &e), e);
    CHECK_EQ(v->count, 3);
    CHECK_BYTES(value_get_bytes(&v->items[2], "key", BYTES("")), BYTES("k2"));
    CHECK_BYTES(value_get_bytes(&v->items[2], "value", BYTES("")), BYTES("\xff"
                                                                         "2345"));
    value_free(v);
}

TEST(show_rows_of_many_pages_have_one_header)
{
    const char *text = show_some_rows(CLI_TABLE, 2500);
    int lines = 0, headers = 0;
    for (const char *c = text; *c != '\0'; c = strchr(c, '\n') + 1) {
        lines++;
        headers += strncmp(c, "key", 3) == 0;
    }
    CHECK_EQ(lines, 2501);
    CHECK_EQ(headers, 1);
    buf_free(&shown_text);
}

TEST_MAIN()
