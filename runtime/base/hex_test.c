#include "base/hex.h"
#include "base/test.h"

TEST(hex_round_trips_every_byte)
{
    uint8_t all[256];
    struct buf text = { 0 }, back = { 0 };
    for (size_t i = 0; i < 256; i++)
        all[i] = (uint8_t)i;
    CHECK_EQ(hex_encode(bytes_from(all, 256), &text), ERR_OK);
    CHECK_EQ(text.len, 512);
    CHECK(memcmp(text.data, "000102", 6) == 0 && memcmp(text.data + 506, "fdfeff", 6) == 0);
    CHECK_EQ(hex_decode(buf_bytes(&text), &back), ERR_OK);
    CHECK_BYTES(buf_bytes(&back), bytes_from(all, 256));
    buf_clear(&back);
    CHECK_EQ(hex_decode(BYTES("DeadBEEF"), &back), ERR_OK);
    CHECK_BYTES(buf_bytes(&back), bytes_from("\xde\xad\xbe\xef", 4));
    buf_free(&text), buf_free(&back);
}

TEST(hex_refuses_everything_else)
{
    for (unsigned c = 0; c < 256; c++) {
        bool digit = c != 0 && strchr("0123456789abcdefABCDEF", (int)c) != NULL;
        uint8_t text[4] = { '1', '2', '3', (uint8_t)c };
        struct buf out = { 0 };
        CHECK_EQ(hex_decode(bytes_from(text, 4), &out), digit ? ERR_OK : ERR_INVALID_ARGUMENT);
        CHECK_EQ(out.len, digit ? 2 : 0);
        CHECK_EQ(hex_decode(bytes_from(text, 3), &out), ERR_INVALID_ARGUMENT);
        buf_free(&out);
    }
}

TEST_MAIN()
