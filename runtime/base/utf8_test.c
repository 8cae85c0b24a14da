#include "base/test.h"
#include "base/utf8.h"

/* Encodes any number as its length asks, valid or not. */
static struct bytes encode(uint32_t c, size_t n, uint8_t out[4])
{
    static const uint8_t lead[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
    for (size_t i = n; i-- > 1; c >>= 6)
        out[i] = (uint8_t)(0x80 | (c & 0x3f));
    out[0] = (uint8_t)(n == 1 ? c : lead[n] | c);
    return bytes_from(out, n);
}

TEST(utf8_takes_every_character_in_its_shortest_form_alone)
{
    static const uint32_t below[] = { 0, 0x80, 0x800, 0x10000, 0x200000 };
    for (uint32_t c = 0; c < 0x110400; c++) {
        for (size_t n = 1; n <= 4; n++) {
            uint8_t out[4];
            if (c >= below[n] || (n == 1 && c >= 0x80))
                continue; /* does not fit in n bytes */
            struct bytes text = encode(c, n, out);
            bool shortest = n == 1 || c >= below[n - 1];
            bool good = shortest && c <= 0x10ffff && (c < 0xd800 || c > 0xdfff);
            CHECK_EQ(utf8_next(text), good ? n : 0);
            CHECK_EQ(utf8_is_valid(text), good);
            if (good && n > 1)
                CHECK_EQ(utf8_next(bytes_from(out, n - 1)), 0);
        }
    }
}

TEST(utf8_refuses_stray_bytes)
{
    for (unsigned b = 0x80; b < 0x100; b++) {
        uint8_t text[3] = { 'a', (uint8_t)b, 'b' };
        CHECK(!utf8_is_valid(bytes_from(text, 3)));
    }
    CHECK(utf8_is_valid(BYTES("")));
    CHECK(utf8_is_valid(BYTES("J\xc3\xbcrgen \xf0\x9f\x90\x9f")));
}

TEST_MAIN()
