#include "base/test.h"

TEST(buf_append_survives_aliasing)
{
    struct buf b = { 0 };
    CHECK_EQ(buf_append(&b, BYTES("abc")), ERR_OK);
    for (int i = 0; i < 8; i++)
        CHECK_EQ(buf_append(&b, buf_bytes(&b)), ERR_OK);
    CHECK_EQ(b.len, 3 << 8);
    CHECK_EQ(memcmp(b.data + b.len - 3, "abc", 3), 0);
    buf_free(&b);
    CHECK(b.data == NULL && b.len == 0 && b.cap == 0);
    buf_free(&b);
    buf_free(NULL);
}

TEST(bytes_order_is_memcmp_then_length)
{
    CHECK(bytes_compare(BYTES("a"), BYTES("ab")) < 0);
    CHECK(bytes_compare(BYTES("b"), BYTES("ab")) > 0);
    CHECK_EQ(bytes_compare(BYTES(""), (struct bytes){ 0 }), 0);
    CHECK(bytes_compare(bytes_from("\xff", 1), bytes_from("\x7f", 1)) > 0);
    CHECK(bytes_starts_with(BYTES("abc"), BYTES("ab")) &&
          !bytes_starts_with(BYTES("a"), BYTES("ab")));
}

TEST(buf_take_empties_the_source)
{
    struct buf b = { 0 };
    CHECK_EQ(buf_printf(&b, "%d-%s", 7, "x"), ERR_OK);
    struct buf taken = buf_take(&b);
    CHECK_BYTES(buf_bytes(&taken), BYTES("7-x"));
    CHECK(b.data == NULL);
    buf_free(&taken);
}

TEST(buf_reserve_refuses_an_absurd_size)
{
    struct buf b = { 0 };
    CHECK(buf_reserve(&b, SIZE_MAX - 1) == NULL);
    CHECK(b.data == NULL);
}

TEST_MAIN()
