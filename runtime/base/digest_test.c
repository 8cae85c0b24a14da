#include "base/digest.h"
#include "base/test.h"

#include <jansson.h>

static json_t *vectors(void)
{
    char path[600];
    snprintf(path, sizeof path, "%s/vectors/blake2b.json", test_shared());
    json_t *root = json_load_file(path, 0, NULL);
    CHECK(root != NULL);
    return root;
}

static void check_hex(struct bytes have, const json_t *want)
{
    struct buf b = test_hex(json_string_value(want));
    CHECK_BYTES(have, buf_bytes(&b));
    buf_free(&b);
}

TEST(digest_passes_the_known_answers)
{
    json_t *root = vectors(), *row;
    uint8_t in[256], out[64];
    size_t n;
    for (size_t i = 0; i < sizeof in; i++)
        in[i] = (uint8_t)i;
    json_array_foreach(json_object_get(root, "unkeyed"), n, row)
    {
        digest_make(out, 64, bytes_from(in, n), (struct bytes){ NULL, 0 });
        check_hex(bytes_from(out, 64), row);
    }
    CHECK_EQ(n, 256);
    json_array_foreach(json_object_get(root, "keyed"), n, row)
    {
        digest_make(out, 64, bytes_from(in, n), bytes_from(in, 64)); /* the key is 00 to 3f */
        check_hex(bytes_from(out, 64), row);
    }
    CHECK_EQ(n, 256);
    digest_make(out, 64, BYTES("abc"), (struct bytes){ NULL, 0 });
    check_hex(bytes_from(out, 64), json_object_get(root, "abc"));
    json_decref(root);
}

/* RFC 7693 appendix E: the generator of its self-test. */
static void selftest_fill(uint8_t *out, size_t len, uint32_t seed)
{
    uint32_t a = 0xDEAD4BAD * seed, b = 1;
    for (size_t i = 0; i < len; i++) {
        uint32_t t = a + b;
        a = b;
        b = t;
        out[i] = (uint8_t)(t >> 24);
    }
}

TEST(digest_passes_the_self_test_of_rfc_7693)
{
    static const size_t outs[] = { 20, 32, 48, 64 }, ins[] = { 0, 3, 128, 129, 255, 1024 };
    json_t *root = vectors();
    struct digest_state all;
    digest_begin(&all);
    for (size_t o = 0; o < 4; o++) {
        for (size_t i = 0; i < 6; i++) {
            uint8_t in[1024], key[64], out[64];
            selftest_fill(in, ins[i], (uint32_t)ins[i]);
            digest_make(out, outs[o], bytes_from(in, ins[i]), (struct bytes){ NULL, 0 });
            digest_add(&all, bytes_from(out, outs[o]));
            selftest_fill(key, outs[o], (uint32_t)outs[o]);
            digest_make(out, outs[o], bytes_from(in, ins[i]), bytes_from(key, outs[o]));
            digest_add(&all, bytes_from(out, outs[o]));
        }
    }
    struct digest d = digest_end(&all);
    check_hex(bytes_from(d.bytes, DIGEST_SIZE),
              json_object_get(json_object_get(root, "rfc7693_selftest"), "grand_digest32"));
    json_decref(root);
}

TEST(digest_pieces_are_the_whole)
{
    CHECK_EQ(digest_init(), ERR_OK);
    uint8_t in[300];
    memset(in, 7, sizeof in);
    struct digest whole = digest_of(bytes_from(in, sizeof in));
    for (size_t cut = 0; cut <= sizeof in; cut += 37) {
        struct digest_state s;
        digest_begin(&s);
        digest_add(&s, bytes_from(in, cut));
        digest_add(&s, bytes_from(in + cut, sizeof in - cut));
        struct digest_state copy = s;
        struct digest a = digest_end(&s), b = digest_end(&copy);
        CHECK(digest_equal(&a, &whole) && digest_equal(&b, &whole));
    }
    struct digest other = digest_of(bytes_from(in, sizeof in - 1));
    CHECK(!digest_equal(&other, &whole));
}

TEST_MAIN()
