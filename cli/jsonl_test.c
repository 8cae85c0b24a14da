#include "jsonl.h"

#include "base/test.h"

static void check_round_trip(struct bytes key, struct bytes value, bool versioned, uint64_t version)
{
    struct buf line = { 0 };
    struct err e = { 0 };
    struct jsonl_row row;
    CHECK_EQ(jsonl_write(key, value, versioned, version, &line), ERR_OK);
    CHECK_EQ(line.data[line.len - 1], '\n');
    CHECK(memchr(line.data, '\n', line.len - 1) == NULL);
    CHECK_OK(jsonl_read(bytes_from(line.data, line.len - 1), &row, &e), e);
    CHECK_BYTES(buf_bytes(&row.key), key);
    CHECK_BYTES(buf_bytes(&row.value), value);
    CHECK_EQ(row.versioned, versioned);
    CHECK_EQ(row.version, version);
    jsonl_row_free(&row);
    buf_free(&line);
}

TEST(jsonl_keeps_every_byte)
{
    uint8_t all[256];
    for (int i = 0; i < 256; i++)
        all[i] = (uint8_t)i;
    check_round_trip(bytes_from(all, 256), bytes_from(all, 256), false, 0);
    check_round_trip(BYTES("k"), BYTES(""), false, 0); /* an empty value is a value */
    check_round_trip(BYTES("k"), BYTES("v"), true, 1);
    check_round_trip(BYTES("k"), BYTES("v"), true, UINT64_MAX);
}

TEST(jsonl_writes_the_documented_form)
{
    struct buf line = { 0 };
    CHECK_EQ(jsonl_write(BYTES("k1"), BYTES("v1"), false, 0, &line), ERR_OK);
    CHECK_BYTES(buf_bytes(&line), BYTES("{\"key\":\"azE=\",\"value\":\"djE=\"}\n"));
    buf_clear(&line);
    CHECK_EQ(jsonl_write(BYTES("k1"), BYTES("v1"), true, 3, &line), ERR_OK);
    CHECK_BYTES(buf_bytes(&line), BYTES("{\"key\":\"azE=\",\"value\":\"djE=\",\"version\":3}\n"));
    buf_free(&line);
}

TEST(jsonl_reads_what_people_write)
{
    struct err e = { 0 };
    struct jsonl_row row;
    CHECK_OK(jsonl_read(BYTES(" {\"value_text\": \"gr\\u00fc\\u00df\\n\", \"key_text\": \"k\"} "),
                        &row, &e),
             e);
    CHECK_BYTES(buf_bytes(&row.key), BYTES("k"));
    CHECK_BYTES(buf_bytes(&row.value), BYTES("gr\xc3\xbc\xc3\x9f\n"));
    CHECK(!row.versioned);
    jsonl_row_free(&row);
    CHECK_OK(jsonl_read(BYTES("{\"key_text\":\"k\",\"value\":\"AP8=\"}"), &row, &e), e);
    CHECK_BYTES(buf_bytes(&row.value), bytes_from("\0\xff", 2));
    jsonl_row_free(&row);
}

TEST(jsonl_refuses_what_is_no_row)
{
    static const struct {
        const char *line, *want;
    } rows[] = {
        { "", "" },
        { "not json", "" },
        { "[]", "it is no JSON object" },
        { "{}", "it must have either \"key\" or \"key_text\"" },
        { "{\"key\":\"azE=\"}", "it must have either \"value\" or \"value_text\"" },
        { "{\"key\":\"azE=\",\"key_text\":\"k\",\"value\":\"\"}",
          "it must have either \"key\" or \"key_text\"" },
        { "{\"key\":\"k1\",\"value\":\"djE=\"}",
          "\"key\" is not base64; plain text goes into \"key_text\"" },
        { "{\"key\":\"azE=\",\"value\":\"v1\"}", "\"value\" is not base64" },
        { "{\"key\":5,\"value\":\"djE=\"}", "\"key\" must be text" },
        { "{\"key\":\"\",\"value\":\"djE=\"}", "the key is empty" },
        { "{\"key\":\"azE=\",\"value\":\"djE=\",\"version\":0}",
          "\"version\" must be a whole number from 1" },
        { "{\"key\":\"azE=\",\"value\":\"djE=\",\"version\":\"x\"}", "\"version\" must be" },
        { "{\"key\":\"azE=\",\"value\":\"djE=\",\"ttl\":5}",
          "the field \"ttl\" is none of a dump" },
        { "{\"key\":\"azE=\",\"value\":\"djE=\"} {}", "" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct err e = { 0 };
        struct jsonl_row row = { .version = 77 };
        if (jsonl_read(BYTES(rows[i].line), &row, &e) == ERR_OK)
            fail_msg("accepted: %s", rows[i].line);
        CHECK_CONTAINS(e.msg, rows[i].want);
        CHECK_EQ(row.version, 77);
    }
}

TEST_MAIN()
