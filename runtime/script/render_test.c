#include "render.h"

#include <math.h>

#include "base/test.h"

static void check(const char *json, const char *format, const char *want)
{
    struct err e = { 0 };
    struct value *v = NULL;
    struct buf out = { 0 };
    CHECK_OK(value_from_json(BYTES(json), &v, &e), e);
    CHECK_EQ(script_render(v, format, &out), ERR_OK);
    CHECK_BYTES(buf_bytes(&out), BYTES(want));
    buf_free(&out);
    value_free(v);
}

TEST(render_scalars)
{
    check("1", "table", "1");
    check("1.5", "lua", "1.5");
    check("\"a\\nb\"", "table", "a\nb");
    check("\"a\\n'b\"", "lua", "'a\\n\\'b'");
    check("\"\\u0007\"", "table", "\\x07");
    check("18446744073709551615", "table", "18446744073709551615");
    check("18446744073709551615", "lua", "u64('18446744073709551615')");
    check("null", "table", "nil");
    check("[]", "table", "(none)");
    check("{}", "lua", "{}");
    check("true", "no such format", "true");
}

TEST(render_rows_are_aligned_by_characters)
{
    check("[{\"id\":1,\"name\":\"\xC3\xA4\xC3\xB6\"},{\"id\":100,\"name\":\"abc\",\"more\":true}]",
          "table", " id  name  more\n  1  \xC3\xA4\xC3\xB6    -\n100  abc   true");
}

TEST(render_a_cell_is_cut_between_characters)
{
    struct value *list = value_new(VALUE_LIST);
    struct buf out = { 0 }, text = { 0 };
    for (int i = 0; i < 61; i++)
        CHECK_EQ(buf_append(&text, BYTES(i == 60 ? "\xE2\x82\xAC\xE2\x82\xAC" : "x")), ERR_OK);
    struct value *row = value_add(list);
    value_put_map(row);
    value_put_bytes(value_set(row, "k"), buf_bytes(&text));
    CHECK_EQ(script_render(list, "table", &out), ERR_OK);
    text.len = 60;
    CHECK_EQ(buf_append(&text, BYTES("...")), ERR_OK);
    CHECK(out.len > 2);
    CHECK_BYTES(bytes_from(out.data + 2, out.len - 2), buf_bytes(&text)); /* behind "k\n" */
    buf_free(&out);
    buf_free(&text);
    value_free(list);
}

TEST(render_maps_and_what_is_in_them)
{
    check("{\"name\":\"n\",\"rows\":[{\"a\":1},{\"a\":22}],\"none\":[],\"inner\":{\"x\":1}}",
          "table", "name  n\nrows\n   a\n   1\n  22\nnone  (none)\ninner\n  x  1");
    check("{\"a\":[1,\"x\"],\"b c\":{}}", "lua",
          "{\n  a = {\n    1,\n    'x',\n  },\n  ['b c'] = {},\n}");
    check("{\"k\":1,\"notes\":\"one\\ntwo\"}", "table", "k      1\nnotes\n  one\n  two");
    check("[1,\"x\",[2]]", "table", "1\nx\n[2]");
}

TEST_MAIN()
