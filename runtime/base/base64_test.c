#include "base/base64.h"
#include "base/prng.h"
#include "base/test.h"

static void check_encodes(const char *bytes, const char *want)
{
    struct buf out = { 0 }, back = { 0 };
    CHECK_EQ(base64_encode(BYTES(bytes), &out), ERR_OK);
    CHECK_BYTES(buf_bytes(&out), BYTES(want));
    CHECK_EQ(base64_decode(buf_bytes(&out), &back), ERR_OK);
    CHECK_BYTES(buf_bytes(&back), BYTES(bytes));
    buf_free(&out), buf_free(&back);
}

TEST(base64_passes_the_vectors_of_rfc_4648)
{
    check_encodes("", "");
    check_encodes("f", "Zg==");
    check_encodes("fo", "Zm8=");
    check_encodes("foo", "Zm9v");
    check_encodes("foob", "Zm9vYg==");
    check_encodes("fooba", "Zm9vYmE=");
    check_encodes("foobar", "Zm9vYmFy");
    check_encodes("\xfb\xff\xbf", "+/+/");
}

TEST(base64_refuses_everything_else)
{
    static const char *const bad[] = { "Z",    "Zg",   "Zg=",  "Zh==",  "Zm9=",     "Zm8= ",
                                       "Zm 8", "=m8=", "Z===", "====",  "Zg==Zg==", "Zm9v\n",
                                       "Zm9-", "_m9v", "Zg=a", "Zm9vZ", "\x80m9v" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct buf out = { 0 };
        CHECK_EQ(buf_append(&out, BYTES("kept")), ERR_OK);
        CHECK_EQ(base64_decode(BYTES(bad[i]), &out), ERR_INVALID_ARGUMENT);
        CHECK_BYTES(buf_bytes(&out), BYTES("kept"));
        buf_free(&out);
    }
}

/* Every text of four characters that decodes encodes to itself. */
TEST(base64_is_one_to_one)
{
    static const char some[] = "AQZgw+/=9";
    unsigned accepted = 0;
    for (unsigned n = 0; n < 9 * 9 * 9 * 9; n++) {
        char text[5] = { some[n % 9], some[n / 9 % 9], some[n / 81 % 9], some[n / 729], '\0' };
        struct buf bytes = { 0 }, again = { 0 };
        if (base64_decode(BYTES(text), &bytes) == ERR_OK) {
            CHECK_EQ(base64_encode(buf_bytes(&bytes), &again), ERR_OK);
            CHECK_BYTES(buf_bytes(&again), BYTES(text));
            accepted++;
        }
        buf_free(&bytes), buf_free(&again);
    }
    CHECK(accepted > 4096 && accepted < 9 * 9 * 9 * 9);
}

TEST(base64_round_trips_any_bytes)
{
    struct prng p;
    uint8_t in[200];
    prng_seed(&p, 6);
    for (size_t n = 0; n <= sizeof in; n++) {
        struct buf text = { 0 }, back = { 0 };
        prng_fill(&p, in, n);
        CHECK_EQ(base64_encode(bytes_from(in, n), &text), ERR_OK);
        CHECK_EQ(base64_decode(buf_bytes(&text), &back), ERR_OK);
        CHECK_BYTES(buf_bytes(&back), bytes_from(in, n));
        buf_free(&text), buf_free(&back);
    }
}

TEST_MAIN()
