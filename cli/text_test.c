#include "text.h"

#include <locale.h>

#include "base/test.h"

static struct buf text_escaped(struct bytes in, size_t max)
{
    struct buf b = { 0 };
    setlocale(LC_CTYPE, "C.UTF-8");
    text_escape(in, max, &b);
    return b;
}

#define CHECK_ESCAPED(in, len, max, want)                                                          \
    do {                                                                                           \
        struct buf b_ = text_escaped(bytes_from(in, len), max);                                    \
        CHECK_BYTES(buf_bytes(&b_), BYTES(want));                                                  \
        buf_free(&b_);                                                                             \
    } while (0)

TEST(text_escape_shows_text_and_escapes_the_rest)
{
    CHECK_ESCAPED("plain", 5, 0, "plain");
    CHECK_ESCAPED("", 0, 0, "");
    CHECK_ESCAPED("a\0b", 3, 0, "a\\x00b");
    CHECK_ESCAPED("a\nb\tc\rd", 7, 0, "a\\nb\\tc\\rd");
    CHECK_ESCAPED("back\\slash", 10, 0, "back\\\\slash");
    CHECK_ESCAPED("\xff\xfe", 2, 0, "\\xff\\xfe");
    CHECK_ESCAPED("gr\xc3\xbc\xc3\x9f", 6, 0, "gr\xc3\xbc\xc3\x9f");
    CHECK_ESCAPED("\xe2\x82", 2, 0, "\\xe2\\x82");      /* half a character */
    CHECK_ESCAPED("\x1b[31mred", 8, 0, "\\x1b[31mred"); /* no terminal is steered */
    CHECK_ESCAPED("\xc2\x9b", 2, 0, "\\xc2\\x9b");      /* nor by the C1 form */
}

TEST(text_escape_cuts)
{
    CHECK_ESCAPED("0123456789", 10, 10, "0123456789");
    CHECK_ESCAPED("0123456789", 10, 4, "0123... (10 bytes)");
}

TEST(text_width_counts_columns)
{
    setlocale(LC_CTYPE, "C.UTF-8");
    CHECK_EQ(text_width(BYTES("")), 0);
    CHECK_EQ(text_width(BYTES("abc")), 3);
    CHECK_EQ(text_width(BYTES("gr\xc3\xbc\xc3\x9f")), 4);
    CHECK_EQ(text_width(BYTES("\xe6\xbc\xa2")), 2); /* a wide character */
}

static const struct cli_option no_options[] = { { 0 } };
static const struct cli_command no_command = {
    .name = "test", .arguments = "", .examples = "", .options = no_options
};

TEST(text_parse_reads_each_coding_and_refuses_what_is_none)
{
    struct buf b;
    FILE *err = tmpfile();
    struct cli cli = { .command = &no_command, .err = err, .out = err };
    CHECK(text_parse(&cli, "the key", "k\\x1", CLI_TEXT, &b));
    CHECK_BYTES(buf_bytes(&b), BYTES("k\\x1"));
    buf_free(&b);
    CHECK(text_parse(&cli, "the key", "00fF", CLI_HEX, &b));
    CHECK_BYTES(buf_bytes(&b), bytes_from("\0\xff", 2));
    buf_free(&b);
    CHECK(text_parse(&cli, "the key", "AP8=", CLI_BASE64, &b));
    CHECK_BYTES(buf_bytes(&b), bytes_from("\0\xff", 2));
    buf_free(&b);
    CHECK(!text_parse(&cli, "the key", "00f", CLI_HEX, &b));
    CHECK(!text_parse(&cli, "the key", "zz", CLI_HEX, &b));
    CHECK(!text_parse(&cli, "the key", "AP8", CLI_BASE64, &b));
    fclose(err);
}

TEST(text_parse_or_read_takes_standard_input_byte_by_byte)
{
    struct buf b;
    FILE *in = tmpfile();
    fwrite("a\0\n\xff", 1, 4, in);
    rewind(in);
    struct cli cli = { .command = &no_command, .in = in, .err = stderr, .out = stdout };
    CHECK(text_parse_or_read(&cli, "the value", "-", CLI_HEX, &b));
    CHECK_BYTES(buf_bytes(&b), bytes_from("a\0\n\xff", 4));
    buf_free(&b);
    fclose(in);
}

TEST_MAIN()
