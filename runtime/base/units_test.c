#include "base/test.h"
#include "base/units.h"

TEST(units_decimal_is_digits_up_to_2_64)
{
    uint64_t v = 7;
    static const char *const bad[] = {
        "", "-1", "+1", " 1", "1 ", "0x1", "18446744073709551616", "184467440737095516150"
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK(!units_decimal(BYTES(bad[i]), &v) && v == 7);
    CHECK(units_decimal(BYTES("007"), &v) && v == 7);
    CHECK(units_decimal(BYTES("18446744073709551615"), &v) && v == UINT64_MAX);
}

TEST(units_parse_what_people_write)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } sizes[] = { { "0", 0 },
                  { "0B", 0 },
                  { "1B", 1 },
                  { "64MiB", 64 << 20 },
                  { "3KiB", 3072 },
                  { "2GiB", 2ull << 30 },
                  { "1TiB", 1ull << 40 },
                  { "18446744073709551615B", UINT64_MAX } };
    struct err e = { 0 };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        uint64_t v = 1;
        CHECK_OK(units_parse_bytes(sizes[i].text, &v, &e), e);
        CHECK_EQ(v, sizes[i].bytes);
    }
    static const struct {
        const char *text;
        uint64_t ns;
    } times[] = { { "7ns", 7 },
                  { "500ms", 500000000 },
                  { "2us", 2000 },
                  { "3s", 3000000000 },
                  { "2m", 120000000000 },
                  { "1h", 3600000000000 },
                  { "1d", 86400000000000 } };
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        uint64_t v = 1;
        CHECK_OK(units_parse_ns(times[i].text, &v, &e), e);
        CHECK_EQ(v, times[i].ns);
    }
}

TEST(units_refuse_and_say_what_to_write)
{
    static const char *const bad[] = { "",
                                       "MiB",
                                       "64",
                                       "64MB",
                                       "64 MiB",
                                       "64mib",
                                       "-1B",
                                       "1.5GiB",
                                       "64MiBx",
                                       "0x10B",
                                       "18446744073709551616B",
                                       "16777216TiB",
                                       " 1B" };
    struct err e = { 0 };
    uint64_t v = 5;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK_EQ(units_parse_bytes(bad[i], &v, &e), ERR_INVALID_ARGUMENT);
    CHECK_EQ(units_parse_bytes("64MB", &v, &e), ERR_INVALID_ARGUMENT);
    CHECK_CONTAINS(e.msg, "\"64MB\" is not a size");
    CHECK_CONTAINS(e.msg, "\"64MiB\"");
    CHECK_EQ(units_parse_ns("5 s", &v, &e), ERR_INVALID_ARGUMENT);
    CHECK_EQ(units_parse_ns("300000d", &v, &e), ERR_INVALID_ARGUMENT);
    CHECK_CONTAINS(e.msg, "too large");
    CHECK_EQ(v, 5);
}

TEST(units_print_parses_back)
{
    static const uint64_t numbers[] = { 0,    1,       1000,        1023,       1024,
                                        1536, 1 << 20, 90000000000, 1500000000, UINT64_MAX };
    char text[UNITS_TEXT_MAX];
    struct err e = { 0 };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        uint64_t back;
        units_print_bytes(numbers[i], text);
        CHECK_OK(units_parse_bytes(text, &back, &e), e);
        CHECK_EQ(back, numbers[i]);
        units_print_ns(numbers[i], text);
        CHECK_OK(units_parse_ns(text, &back, &e), e);
        CHECK_EQ(back, numbers[i]);
    }
    units_print_bytes(64 << 20, text);
    CHECK_STR(text, "64MiB");
    units_print_ns(1500000000, text);
    CHECK_STR(text, "1500ms");
    units_about_bytes(1536ull << 20, text);
    CHECK_STR(text, "1.5 GiB");
    units_about_bytes(7, text);
    CHECK_STR(text, "7 B");
    units_about_ns(37249000, text);
    CHECK_STR(text, "37.2 ms");
}

TEST_MAIN()
