#include "base/codec.h"
#include "base/test.h"

TEST(codec_numbers_have_their_bytes)
{
    uint8_t wire[32], *at = wire;
    put_u8(&at, 1);
    put_u16(&at, 0x0203);
    put_u32_be(&at, 0x04050607);
    put_u64(&at, 0x08090a0b0c0d0e0f);
    put_u64_be(&at, 0x1011121314151617);
    put_bytes(&at, BYTES("xy"));
    struct buf want = test_hex("010302040506070f0e0d0c0b0a090810111213141516177879");
    CHECK_BYTES(bytes_from(wire, (size_t)(at - wire)), buf_bytes(&want));
    CHECK_EQ(load_u16_be(wire + 1), 0x0302);
    CHECK_EQ(load_u32(wire + 3), 0x07060504);
    buf_free(&want);
}

TEST(codec_take_gives_back_what_put_wrote_and_nothing_on_any_cut)
{
    uint8_t wire[17], *at = wire;
    put_u8(&at, 7);
    put_u16_be(&at, 0x1234);
    put_u32(&at, 0xdeadbeef);
    put_u64(&at, 1ull << 63);
    put_bytes(&at, BYTES("ab"));
    for (size_t n = 0; n <= sizeof wire; n++) {
        struct bytes in = { wire, n }, tail = { 0 };
        uint8_t a = 0;
        uint16_t b = 0;
        uint32_t c = 0;
        uint64_t d = 0;
        bool all = take_u8(&in, &a) && take_u16_be(&in, &b) && take_u32(&in, &c) &&
                   take_u64(&in, &d) && take_bytes(&in, 2, &tail);
        CHECK_EQ(all, n == sizeof wire);
        CHECK_EQ(d != 0, n >= 15);
        if (!all)
            CHECK(tail.data == NULL);
        if (all)
            CHECK_BYTES(tail, BYTES("ab"));
    }
}

TEST(codec_take_leaves_the_input_alone_when_it_fails)
{
    uint8_t wire[3] = { 1, 2, 3 };
    struct bytes in = { wire, 3 }, view;
    uint32_t v = 99;
    CHECK(!take_u32(&in, &v));
    CHECK(!take_bytes(&in, 4, &view));
    CHECK(in.data == wire && in.len == 3 && v == 99);
    struct bytes nothing = { NULL, 0 };
    CHECK(take_bytes(&nothing, 0, &view) && view.len == 0);
}

TEST(codec_varints_round_trip_at_every_width)
{
    for (unsigned bit = 0; bit < 64; bit++) {
        for (int delta = -1; delta <= 1; delta++) {
            uint64_t v = (1ull << bit) + (uint64_t)delta, back = 0;
            uint8_t wire[VARINT_MAX], *at = wire;
            put_varint(&at, v);
            struct bytes in = { wire, (size_t)(at - wire) };
            CHECK_EQ(in.len, varint_size(v));
            for (size_t n = 0; n < in.len; n++) {
                struct bytes cut = { wire, n };
                CHECK(!take_varint(&cut, &back) && cut.len == n);
            }
            CHECK(take_varint(&in, &back) && in.len == 0);
            CHECK_EQ(back, v);
        }
    }
}

TEST(codec_varints_above_64_bits_are_refused)
{
    static const char *const bad[] = { "ffffffffffffffffff02", "80808080808080808080",
                                       "ffffffffffffffffffff01", "80808080808080808010" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct buf b = test_hex(bad[i]);
        struct bytes in = buf_bytes(&b);
        uint64_t v = 5;
        CHECK(!take_varint(&in, &v));
        CHECK(v == 5 && in.len == b.len);
        buf_free(&b);
    }
    struct buf longest =
        test_hex("80808080808080808000"); /* zero, in ten bytes: legal on the wire */
    struct bytes in = buf_bytes(&longest);
    uint64_t v = 5;
    CHECK(take_varint(&in, &v) && v == 0);
    buf_free(&longest);
}

TEST_MAIN()
