#include "base/value.h"

#include <math.h>

#include "base/test.h"

static void check_round(const char *text)
{
    struct err e = { 0 };
    struct value *v = NULL, *again = NULL;
    struct buf out = { 0 };
    CHECK_OK(value_from_json(BYTES(text), &v, &e), e);
    CHECK_EQ(value_to_json(v, false, &out), ERR_OK);
    CHECK_BYTES(buf_bytes(&out), BYTES(text));
    buf_clear(&out);
    CHECK_EQ(value_to_json(v, true, &out), ERR_OK);
    CHECK_OK(value_from_json(buf_bytes(&out), &again, &e), e);
    CHECK(value_equal(v, again));
    buf_free(&out);
    value_free(v);
    value_free(again);
}

static void check_refused(struct bytes text, err_t want)
{
    struct err e = { 0 };
    struct value *v = NULL;
    CHECK_EQ(value_from_json(text, &v, &e), want);
    CHECK(v == NULL);
    CHECK_CONTAINS(e.msg, "JSON, byte ");
}

TEST(value_json_round_trips)
{
    check_round("null");
    check_round("[]");
    check_round("{}");
    check_round("{\"z\":1,\"a\":[true,false,null,-0.5,1e+300],\"m\":{\"k\":\"v\"}}");
    check_round("\"\\\"\\\\\\b\\f\\n\\r\\t\\u0001\\u0000\\u007f\"");
    check_round("\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x9A\xA2\"");
    check_round("{\"base64\":\"/w==\"}");
    check_round("{\"base64\":\"gP8A\"}");
    check_round("{\"base64\":\"not base64!\"}");
    check_round("[9007199254740992,0.1,123456789012]");
}

TEST(value_u64_keeps_every_bit)
{
    static const uint64_t edges[] = {
        0, 1, (1ull << 53) - 1, 1ull << 53, (1ull << 53) + 1, 1ull << 63, UINT64_MAX - 1, UINT64_MAX
    };
    for (size_t i = 0; i < sizeof edges / sizeof edges[0]; i++) {
        struct err e = { 0 };
        struct value *map = value_new(VALUE_MAP), *back = NULL;
        struct buf out = { 0 };
        value_put_u64(value_set(map, "id"), edges[i]);
        CHECK_EQ(value_to_json(map, false, &out), ERR_OK);
        CHECK_OK(value_from_json(buf_bytes(&out), &back, &e), e);
        CHECK_EQ(value_get_u64(back, "id", 7), edges[i]);
        value_free(map);
        value_free(back);
        buf_free(&out);
    }
    struct err e = { 0 };
    struct value *v = NULL;
    CHECK_OK(value_from_json(BYTES("18446744073709551615"), &v, &e), e);
    CHECK_EQ(v->kind, VALUE_U64);
    CHECK_EQ(v->u64, UINT64_MAX);
    value_free(v);
    CHECK_OK(value_from_json(BYTES("18446744073709551616"), &v, &e), e);
    CHECK_EQ(v->kind, VALUE_NUMBER);
    value_free(v);
}

/* A text of a number means the same number, of the same kind, each time that it is read. */
TEST(value_json_numbers_keep_their_kind_above_2_53)
{
    static const struct {
        const char *text;
        enum value_kind kind;
        const char *again;
    } rows[] = {
        { "9007199254740992", VALUE_NUMBER, "9007199254740992" },
        { "9007199254740993", VALUE_U64, "\"9007199254740993\"" },
        { "-9007199254740994", VALUE_NUMBER, "-9007199254740994.0" },
        { "9007199254740994.0", VALUE_NUMBER, "9007199254740994.0" },
        { "11151111111111113.111", VALUE_NUMBER, "11151111111111114.0" },
        { "1e18", VALUE_NUMBER, "1e+18" },
        { "18446744073709551616", VALUE_NUMBER, "1.8446744073709552e+19" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct err e = { 0 };
        struct value *v = NULL;
        struct buf out = { 0 };
        CHECK_OK(value_from_json(BYTES(rows[i].text), &v, &e), e);
        CHECK_EQ(v->kind, rows[i].kind);
        CHECK_EQ(value_to_json(v, false, &out), ERR_OK);
        CHECK_BYTES(buf_bytes(&out), BYTES(rows[i].again));
        if (v->kind == VALUE_NUMBER)
            check_round(rows[i].again);
        value_free(v);
        buf_free(&out);
    }
}

TEST(value_json_refuses_what_is_not_json)
{
    static const char *const bad[] = {
        "",
        " ",
        "nul",
        "truex",
        "01",
        "1.",
        "1e",
        "-",
        "+1",
        ".5",
        "[1,]",
        "[1 2]",
        "[",
        "{\"a\"}",
        "{\"a\":}",
        "{a:1}",
        "{\"a\":1,}",
        "\"\\x\"",
        "\"\\ud800\"",
        "\"\\udc00\"",
        "\"a",
        "\"\n\"",
        "1 2",
        "NaN",
        "1e999",
        "\"\xFF\"",
        "\"\xC0\x80\"",
        "\"\\u00g0\"",
        "\"\xED\xA0\x80\"",
        "{\"a\":1,\"a\":2}",
        "\"\\ud800\\u0041\"",
        "// x\n1",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        check_refused(BYTES(bad[i]), ERR_INVALID_ARGUMENT);
}

TEST(value_json_every_truncation_is_refused)
{
    const char *text = "{\"a\":[1.5e3,\"\\u20ac\xE2\x82\xAC\",true],\"b\":{\"c\":null}}";
    for (size_t n = 0; n < strlen(text); n++) {
        char *exact = malloc(n + 1); /* its own block, so that a read behind the end is seen */
        memcpy(exact, text, n);
        check_refused(bytes_from(exact, n), ERR_INVALID_ARGUMENT);
        free(exact);
    }
}

TEST(value_json_limits_come_first)
{
    struct buf b = { 0 };
    for (int i = 0; i < VALUE_DEPTH_MAX; i++)
        CHECK_EQ(buf_append(&b, BYTES("[")), ERR_OK);
    check_refused(buf_bytes(&b), ERR_INVALID_ARGUMENT); /* deep enough, but it has no end */
    CHECK_EQ(buf_append(&b, BYTES("[")), ERR_OK);
    check_refused(buf_bytes(&b), ERR_TOO_LARGE);
    buf_clear(&b);
    CHECK_EQ(buf_append(&b, BYTES("{\"k\":0")), ERR_OK);
    for (int i = 0; i < VALUE_KEYS_MAX; i++)
        CHECK_EQ(buf_printf(&b, ",\"%d\":0", i), ERR_OK);
    CHECK_EQ(buf_append(&b, BYTES("}")), ERR_OK);
    check_refused(buf_bytes(&b), ERR_TOO_LARGE);
    buf_clear(&b);
    CHECK(buf_reserve(&b, VALUE_TEXT_MAX + 1) != NULL);
    memset(b.data, ' ', VALUE_TEXT_MAX + 1);
    b.len = VALUE_TEXT_MAX + 1;
    check_refused(buf_bytes(&b), ERR_TOO_LARGE);
    buf_free(&b);
}

TEST(value_to_json_what_json_cannot_say)
{
    struct value *v = value_new(VALUE_LIST);
    struct buf out = { 0 };
    value_put_number(value_add(v), NAN);
    value_put_number(value_add(v), -INFINITY);
    value_put_number(value_add(v), -0.0);
    struct value *map = value_add(v);
    value_put_map(map);
    value_put_bool(value_set_bytes(map, bytes_from("\xFFk", 2)), true);
    CHECK_EQ(value_to_json(v, false, &out), ERR_OK);
    CHECK_BYTES(buf_bytes(&out), BYTES("[null,null,0,{\"\\ufffdk\":true}]"));
    struct value *deep = v;
    for (int i = 0; i <= VALUE_DEPTH_MAX; i++) {
        deep = value_add(deep);
        value_put_list(deep);
    }
    size_t before = out.len;
    CHECK_EQ(value_to_json(v, false, &out), ERR_TOO_LARGE);
    CHECK_EQ(out.len, before);
    buf_free(&out);
    value_free(v);
}

TEST(value_map_sets_replaces_and_keeps_order)
{
    struct value *map = value_new(VALUE_MAP);
    for (int i = 0; i < 100; i++) {
        char key[8];
        snprintf(key, sizeof key, "k%d", i);
        value_put_number(value_set(map, key), i);
    }
    value_put_text(value_set(map, "k3"), "three");
    CHECK_EQ(map->count, 100);
    CHECK_BYTES(value_get_bytes(map, "k3", BYTES("")), BYTES("three"));
    CHECK_BYTES(buf_bytes(&map->keys[3]), BYTES("k3"));
    CHECK(value_get(map, "none") == NULL);
    CHECK_EQ(value_get_u64(map, "k99", 0), 99);
    CHECK_EQ(value_get_u64(map, "k3", 5), 5);
    CHECK_EQ(value_get_number(map, "k3", -1), -1);
    value_put_number(value_set(map, "x"), -1);
    CHECK_EQ(value_get_u64(map, "x", 5), 5);
    value_put_number(value_set(map, "x"), 1.5);
    CHECK_EQ(value_get_u64(map, "x", 5), 5);
    struct value *copy = value_new(VALUE_NIL);
    value_put_copy(copy, map);
    CHECK(value_equal(copy, map));
    value_put_bool(value_set(map, "k3"), true);
    CHECK(!value_equal(copy, map));
    CHECK(value_get_bool(map, "k3", false));
    value_free(copy);
    value_free(map);
    value_free(NULL);
}

TEST_MAIN()
