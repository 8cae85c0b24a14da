#include "config_lines.h"

#include "base/test.h"

static uint32_t config_line_of(const char *text, const char *path)
{
    struct config_lines lines;
    config_lines_scan(&lines, BYTES(text));
    uint32_t line = config_lines_find(&lines, path);
    config_lines_free(&lines);
    return line;
}

TEST(config_lines_follow_nested_tables)
{
    const char *text = "-- a comment\n"
                       "return {\n"
                       "  a = 1, b = 'x',\n"
                       "  c = {\n"
                       "    d = { e = 2 },\n"
                       "    ['f'] = 3; [\"g\"] = 4\n"
                       "  },\n"
                       "  h = 5 }\n";
    CHECK_EQ(config_line_of(text, "a"), 3);
    CHECK_EQ(config_line_of(text, "b"), 3);
    CHECK_EQ(config_line_of(text, "c"), 4);
    CHECK_EQ(config_line_of(text, "c.d"), 5);
    CHECK_EQ(config_line_of(text, "c.d.e"), 5);
    CHECK_EQ(config_line_of(text, "c.f"), 6);
    CHECK_EQ(config_line_of(text, "c.g"), 6);
    CHECK_EQ(config_line_of(text, "h"), 8);
    CHECK_EQ(config_line_of(text, "d"), 0);
    CHECK_EQ(config_line_of(text, "c.h"), 0);
}

TEST(config_lines_number_the_items_of_a_list)
{
    const char *text = "return {\n"
                       "  s = {\n"
                       "    { id = 1,\n"
                       "      at = 'x' },\n"
                       "    f { id = 9 },\n"
                       "    { id = 2, id = 3 } },\n"
                       "  h = 5 }\n";
    CHECK_EQ(config_line_of(text, "s[1]"), 3);
    CHECK_EQ(config_line_of(text, "s[1].id"), 3);
    CHECK_EQ(config_line_of(text, "s[1].at"), 4);
    CHECK_EQ(config_line_of(text, "s[2].id"), 0); /* computed: it has a number and no line */
    CHECK_EQ(config_line_of(text, "s[3].id"), 6);
    CHECK_EQ(config_line_of(text, "h"), 7);
    struct config_lines lines;
    config_lines_scan(&lines, BYTES(text));
    unsigned twice = 0;
    for (size_t i = 0; i < lines.count; i++)
        twice += lines.items[i].before > 0;
    CHECK_EQ(twice, 1); /* in s[3] alone: two items are two tables */
    config_lines_free(&lines);
}

TEST(config_lines_are_not_misled_by_strings_comments_and_expressions)
{
    const char *text = "local x = { a = 1 }\n"
                       "--[[ return { a = 1,\n"
                       "]] --[==[ ]] ]==]\n"
                       "return {\n"
                       "  b = 'it\\'s { c = 1', -- d = 2 }\n"
                       "  e = [[\n"
                       "    f = 1 }\n"
                       "  ]],\n"
                       "  g = f(1, { i = 2 }, (3)) .. x.a,\n"
                       "  j = 1 == 2, k = 1 <= 2 and { l = 1 },\n"
                       "  m, n[1],\n"
                       "  o = x }\n";
    CHECK_EQ(config_line_of(text, "a"), 0);
    CHECK_EQ(config_line_of(text, "b"), 5);
    CHECK_EQ(config_line_of(text, "c"), 0);
    CHECK_EQ(config_line_of(text, "d"), 0);
    CHECK_EQ(config_line_of(text, "e"), 6);
    CHECK_EQ(config_line_of(text, "f"), 0);
    CHECK_EQ(config_line_of(text, "g"), 9);
    CHECK_EQ(config_line_of(text, "i"), 0);
    CHECK_EQ(config_line_of(text, "j"), 10);
    CHECK_EQ(config_line_of(text, "k"), 10);
    CHECK_EQ(config_line_of(text, "m"), 0);
    CHECK_EQ(config_line_of(text, "o"), 12);
}

TEST(config_lines_know_a_key_that_is_set_twice)
{
    struct config_lines lines;
    config_lines_scan(&lines, BYTES("return {\n a = 1,\n b = { a = 2 },\n a = 3 }"));
    CHECK_EQ(lines.count, 4);
    CHECK_EQ(lines.items[0].before, 0);
    CHECK_STR(lines.items[2].path, "b.a");
    CHECK_EQ(lines.items[2].before, 0); /* another table's */
    CHECK_STR(lines.items[3].path, "a");
    CHECK_EQ(lines.items[3].line, 4);
    CHECK_EQ(lines.items[3].before, 2);
    config_lines_free(&lines);
}

/* Every prefix of a tricky file ends: no loop, no read behind the end (ASan watches). */
TEST(config_lines_survive_every_truncation)
{
    const char *text = "return{a={b=[==[x]=]]==],['c']={{{}}},d=f{e=1}},[g]=--[[\n]]'\\'',h}}}";
    for (size_t n = 0; n <= strlen(text); n++) {
        char *copy = malloc(n + 1); /* exactly as long as it says */
        memcpy(copy, text, n);
        struct config_lines lines;
        config_lines_scan(&lines, bytes_from(copy, n));
        config_lines_free(&lines);
        free(copy);
    }
}

TEST(config_lines_are_bounded)
{
    struct buf text = { 0 };
    CHECK_EQ(buf_append(&text, BYTES("return ")), ERR_OK);
    for (int i = 0; i < 20000; i++)
        CHECK_EQ(buf_append(&text, BYTES("{a=")), ERR_OK);
    struct config_lines lines;
    config_lines_scan(&lines, buf_bytes(&text)); /* 20,000 levels: no stack of ours */
    CHECK(lines.count <= CONFIG_DEPTH_MAX + 2);
    config_lines_free(&lines);
    buf_clear(&text);
    CHECK_EQ(buf_append(&text, BYTES("return {")), ERR_OK);
    for (int i = 0; i < 5000; i++)
        CHECK_EQ(buf_printf(&text, "a%d=1,", i), ERR_OK);
    config_lines_scan(&lines, buf_bytes(&text));
    CHECK_EQ(lines.count, CONFIG_LINES_MAX);
    config_lines_free(&lines);
    buf_free(&text);
}

TEST_MAIN()
