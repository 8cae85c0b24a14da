#include "history_int.h"

#include "base/test.h"

/* ---- Recording ----------------------------------------------------------------------------- */

static size_t begin(struct history *h, uint64_t client, uint64_t at)
{
    return history_begin(h, &(struct history_call){ .client = client,
                                                    .at = at,
                                                    .kind = HISTORY_PUT,
                                                    .key = BYTES("k"),
                                                    .value = BYTES("v") });
}

static void end(struct history *h, size_t number, uint64_t at)
{
    history_end(h, number, &(struct history_answer){ .at = at, .outcome = HISTORY_OK });
}

/* Within one instant of the simulator an answer comes and its client asks on: that is an order. */
TEST(recording_keeps_the_order_of_one_instant)
{
    struct history *h = history_new();
    size_t a = begin(h, 1, 0);
    end(h, a, 70);
    size_t b = begin(h, 1, 70);
    size_t c = begin(h, 2, 70);
    end(h, c, 60); /* a clock that was set back */
    end(h, b, 500);
    CHECK_EQ(history_count(h), 3);
    CHECK_EQ(h->ops[a].call, 0);
    CHECK_EQ(h->ops[a].ret, 70);
    CHECK_EQ(h->ops[b].call, 71);
    CHECK_EQ(h->ops[c].call, 72);
    CHECK_EQ(h->ops[c].ret, 73);
    CHECK_EQ(h->ops[b].ret, 500);
    history_free(h);
}

TEST(history_copies_what_it_is_given)
{
    struct history *h = history_new();
    char key[] = "key", value[] = "value";
    struct history_call call = { .kind = HISTORY_PUT, .key = BYTES(key), .value = BYTES(value) };
    history_begin(h, &call);
    memset(key, 'x', 3), memset(value, 'x', 5);
    CHECK_BYTES(texts_get(&h->texts, h->ops[0].key), BYTES("key"));
    CHECK_BYTES(texts_get(&h->texts, h->ops[0].value), BYTES("value"));
    history_free(h);
    history_free(NULL);
}

/* ---- What is possible ---------------------------------------------------------------------- */

TEST(history_refuses_what_no_register_is_asked)
{
    static const struct history_call bad[] = {
        { .kind = HISTORY_KINDS },
        { .kind = HISTORY_GET, .at = UINT64_MAX },
        { .kind = HISTORY_GET, .value = { (const uint8_t *)"v", 1 } },
        { .kind = HISTORY_PUT, .wanted = { (const uint8_t *)"v", 1 } },
        { .kind = HISTORY_CAS_DELETE, .expected = 1 },
        { .kind = HISTORY_DELETE, .expected = 1 },
    };
    struct err e = { 0 };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK_EQ(history_check_call(&bad[i], &e), ERR_INVALID_ARGUMENT);
}

TEST(history_refuses_what_no_register_answers)
{
    static const struct {
        struct history_call call;
        struct history_answer answer;
        const char *why;
    } bad[] = {
        { { .kind = HISTORY_PUT }, { .outcome = HISTORY_PENDING }, "no outcome" },
        { { .kind = HISTORY_PUT }, { .outcome = HISTORY_NOT_FOUND }, "never answered not_found" },
        { { .kind = HISTORY_GET }, { .outcome = HISTORY_CONFLICT }, "never answered conflict" },
        { { .kind = HISTORY_GET }, { .outcome = HISTORY_OK }, "which value?" },
        { { .kind = HISTORY_GET },
          { .outcome = HISTORY_NOT_FOUND, .has_value = true },
          "no value" },
        { { .kind = HISTORY_GET },
          { .outcome = HISTORY_OK, .has_value = true, .has_version = true },
          "no version" },
        { { .kind = HISTORY_CAS_GET }, { .outcome = HISTORY_OK }, "which value or version?" },
        { { .kind = HISTORY_CAS }, { .outcome = HISTORY_OK, .has_value = true }, "no value" },
        { { .kind = HISTORY_CAS },
          { .outcome = HISTORY_FAILED, .has_version = true },
          "no version" },
        { { .kind = HISTORY_CAS }, { .outcome = HISTORY_CONFLICT, .absent = true }, "\"absent\"" },
        { { .kind = HISTORY_CAS },
          { .outcome = HISTORY_CONFLICT, .has_version = true, .absent = true, .has_value = true },
          "and yet a value" },
        { { .kind = HISTORY_CAS_DELETE }, { .outcome = HISTORY_CONFLICT }, "has no conflicts" },
        { { .kind = HISTORY_PUT }, { .outcome = HISTORY_OK, .at = UINT64_MAX }, "no time" },
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct err e = { 0 };
        CHECK_EQ(history_check_answer(&bad[i].call, &bad[i].answer, &e), ERR_INVALID_ARGUMENT);
        CHECK_CONTAINS(e.msg, bad[i].why);
    }
}

/* ---- JSON lines ---------------------------------------------------------------------------- */

/* One line of every kind and outcome that there is; what is written is what was read. */
static const char lines[] =
    "{\"client\":1,\"op\":\"put\",\"key\":\"k\",\"value\":\"v\",\"call\":1,\"return\":2,\"outcome\":\"ok\"}\n"
    "{\"client\":1,\"op\":\"put\",\"key\":\"k\",\"value\":\"\",\"call\":1}\n"
    "{\"client\":2,\"op\":\"delete\",\"key\":\"k\",\"call\":1,\"return\":9,\"outcome\":\"undetermined\"}\n"
    "{\"client\":3,\"op\":\"get\",\"key\":{\"base64\":\"AP8=\"},\"call\":3,\"return\":4,\"outcome\":\"ok\",\"saw\":\"\"}\n"
    "{\"client\":3,\"op\":\"get\",\"key\":\"k\",\"call\":5,\"return\":6,\"outcome\":\"not_found\"}\n"
    "{\"client\":3,\"op\":\"append\",\"key\":\"l\",\"value\":\"v\",\"call\":5,\"return\":6,\"outcome\":\"failed\"}\n"
    "{\"client\":3,\"op\":\"swap\",\"key\":\"m\",\"wanted\":\"v\",\"value\":\"w\",\"call\":5,\"return\":6,\"outcome\":\"ok\"}\n"
    "{\"client\":3,\"op\":\"swap\",\"key\":\"m\",\"wanted\":\"\",\"value\":\"w\",\"call\":5,\"return\":6,\"outcome\":\"conflict\",\"saw\":\"v\"}\n"
    "{\"client\":4,\"op\":\"cas\",\"key\":\"k\",\"expected\":0,\"value\":\"v\",\"call\":7,\"return\":8,\"outcome\":\"ok\",\"version\":1}\n"
    "{\"client\":4,\"op\":\"cas\",\"key\":\"k\",\"expected\":\"18446744073709551615\",\"value\":\"v\",\"call\":7,\"return\":8,\"outcome\":\"conflict\",\"version\":3,\"absent\":true}\n"
    "{\"client\":4,\"op\":\"cas_delete\",\"key\":\"k\",\"expected\":0,\"call\":7,\"return\":8,\"outcome\":\"conflict\",\"version\":3,\"saw\":\"v\"}\n"
    "{\"client\":4,\"op\":\"cas_delete\",\"key\":\"k\",\"call\":7,\"return\":8,\"outcome\":\"not_found\",\"version\":3}\n"
    "{\"client\":4,\"op\":\"cas_get\",\"key\":\"k\",\"call\":7,\"return\":8,\"outcome\":\"ok\",\"version\":3,\"saw\":\"v\"}\n"
    "{\"client\":4,\"op\":\"cas_get\",\"key\":\"k\",\"call\":7,\"return\":7,\"outcome\":\"not_found\",\"version\":0}\n";

TEST(history_writes_what_it_reads)
{
    struct history *h = history_new();
    struct buf out = { 0 };
    struct err e = { 0 };
    CHECK_OK(history_read(BYTES(lines), h, &e), e);
    CHECK_EQ(history_count(h), 14);
    CHECK_EQ(history_write(h, &out), ERR_OK);
    CHECK_BYTES(buf_bytes(&out), BYTES(lines));
    CHECK_OK(history_read(bytes_from(lines, sizeof lines - 2), h, &e),
             e); /* the last \n is a courtesy */
    CHECK_EQ(history_count(h), 28);
    buf_free(&out);
    history_free(h);
}

#define CALL "{\"client\":1,\"op\":\"get\",\"key\":\"k\",\"call\":5"

TEST(history_refuses_lines_that_it_would_have_to_guess)
{
    static const struct {
        const char *line, *why;
    } bad[] = {
        { "", "JSON" },
        { "[]", "an object" },
        { "{}", "\"client\" is missing" },
        { "{\"client\":1,\"op\":\"get\",\"call\":5}", "\"key\" is missing" },
        { "{\"client\":-1,\"op\":\"get\",\"key\":\"k\",\"call\":5}",
          "\"client\" is a whole number" },
        { "{\"client\":1,\"op\":\"get\",\"key\":7,\"call\":5}", "\"key\" is text" },
        { "{\"client\":1,\"op\":\"got\",\"key\":\"k\",\"call\":5}", "no \"op\"" },
        { "{\"client\":1,\"op\":\"put\",\"key\":\"k\",\"call\":5}", "\"value\" is missing" },
        { "{\"client\":1,\"op\":\"cas\",\"key\":\"k\",\"value\":\"\",\"call\":5}",
          "\"expected\" is missing" },
        { CALL ",\"value\":\"v\"}", "\"value\" does not belong" },
        { CALL ",\"expected\":1}", "\"expected\" does not belong" },
        { CALL ",\"returned\":9}", "nobody knows" },
        { CALL ",\"return\":9}", "\"return\" does not belong" },
        { CALL ",\"saw\":\"v\"}", "\"saw\" does not belong" },
        { CALL ",\"outcome\":\"not_found\"}", "\"return\" is missing" },
        { CALL ",\"return\":4,\"outcome\":\"not_found\"}", "before it is called" },
        { CALL ",\"return\":6,\"outcome\":\"found\"}", "no \"outcome\"" },
        { CALL ",\"return\":6,\"outcome\":\"pending\"}", "no outcome" },
        { CALL ",\"return\":6,\"outcome\":\"ok\"}", "which value?" },
        { CALL ",\"return\":6,\"outcome\":\"not_found\",\"absent\":1}",
          "\"absent\" is true or false" },
        { CALL ",\"call\":5}", "JSON" }, /* twice */
        { CALL "} x", "JSON" },
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct history *h = history_new();
        struct err e = { 0 };
        char text[400];
        snprintf(text, sizeof text, CALL "}\n%s\n" CALL "}\n", bad[i].line);
        CHECK_EQ(history_read(BYTES(text), h, &e), ERR_INVALID_ARGUMENT);
        CHECK_CONTAINS(e.msg, "line 2");
        CHECK_CONTAINS(e.msg, bad[i].why);
        CHECK_EQ(history_count(h), 1); /* those before are in */
        history_free(h);
    }
}

/* ---- For people ---------------------------------------------------------------------------- */

TEST(history_prints_operations_for_people)
{
    static const char *const want[] = {
        "put(\"v\") ok",
        "put(\"\") pending",
        "delete() undetermined",
        "get() ok, \"\"",
        "get() not_found",
        "append(\"v\") failed",
        "swap(\"v\", \"w\") ok",
        "swap(\"\", \"w\") conflict, \"v\"",
        "cas(expected 0, \"v\") ok, version 1",
        "cas(expected 18446744073709551615, \"v\") conflict, version 3 (absent)",
        "cas_delete(expected 0) conflict, version 3, \"v\"",
        "cas_delete() not_found, version 3",
        "cas_get() ok, version 3, \"v\"",
        "cas_get() not_found, version 0",
    };
    struct history *h = history_new();
    struct err e = { 0 };
    CHECK_OK(history_read(BYTES(lines), h, &e), e);
    for (size_t i = 0; i < h->count; i++) {
        struct buf out = { 0 };
        history_print_call(h, &h->ops[i], &out);
        CHECK_EQ(buf_append(&out, BYTES(" ")), ERR_OK);
        history_print_answer(h, &h->ops[i], &out);
        CHECK_BYTES(buf_bytes(&out), BYTES(want[i]));
        buf_free(&out);
    }
    history_free(h);
}

TEST(history_prints_bytes_short_and_readable)
{
    static const struct {
        struct bytes in;
        const char *out;
    } rows[] = {
        { { (const uint8_t *)"\x01\xff", 2 }, "x'01ff'" },
        { { (const uint8_t *)"abcdefghijklmnopqrstuvwxyz", 26 },
          "\"abcdefghijklmnopqrstuvwx\"... (26 bytes)" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf out = { 0 };
        history_print_bytes(rows[i].in, &out);
        CHECK_BYTES(buf_bytes(&out), BYTES(rows[i].out));
        buf_free(&out);
    }
}

TEST_MAIN()
