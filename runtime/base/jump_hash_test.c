#include "base/jump_hash.h"
#include "base/prng.h"
#include "base/test.h"

#include <jansson.h>

static uint32_t bucket(uint64_t key, uint32_t buckets)
{
    uint32_t b = UINT32_MAX;
    CHECK_EQ(jump_hash(key, buckets, &b), ERR_OK);
    CHECK(b < buckets);
    return b;
}

/* Row 004-23. */
TEST(jump_hash_required_values)
{
    CHECK_EQ(bucket(0, 1), 0);
    CHECK_EQ(bucket(42, 57), 43);
    CHECK_EQ(bucket(0xDEAD10CC, 666), 361);
    CHECK_EQ(bucket(256, 1024), 520);
    CHECK_EQ(bucket(UINT64_MAX, 10), 9);
    uint32_t untouched = 77;
    CHECK_EQ(jump_hash(5, 0, &untouched), ERR_INVALID_ARGUMENT);
    CHECK_EQ(untouched, 77);
}

TEST(jump_hash_passes_the_vectors)
{
    char path[600];
    snprintf(path, sizeof path, "%s/vectors/jump_hash.json", test_shared());
    json_t *root = json_load_file(path, 0, NULL), *row;
    CHECK(root != NULL);
    static const char *const tables[] = { "published", "own" };
    size_t rows = 0, i;
    for (size_t t = 0; t < 2; t++) {
        json_array_foreach(json_object_get(root, tables[t]), i, row)
        {
            uint64_t key = strtoull(json_string_value(json_object_get(row, "key")), NULL, 10);
            CHECK_EQ(bucket(key, (uint32_t)json_integer_value(json_object_get(row, "buckets"))),
                     json_integer_value(json_object_get(row, "out")));
            rows++;
        }
    }
    CHECK_EQ(rows, 103 + 81);
    json_decref(root);
}

/* Row 004-24; the keys are spread by the golden ratio, as Fibonacci hashing does. */
TEST(jump_hash_moves_the_least)
{
    unsigned moved = 0;
    for (uint64_t i = 0; i < 100000; i++) {
        uint64_t key = i * 0x9e3779b97f4a7c15;
        uint32_t before = bucket(key, 10), after = bucket(key, 11);
        if (before != after) {
            CHECK_EQ(after, 10);
            moved++;
        }
    }
    CHECK_EQ(moved, 9074);
}

TEST(jump_hash_key_stays_or_moves_to_the_new_bucket)
{
    static const uint64_t keys[] = { 0, 1, 2, UINT64_MAX, INT64_MAX, 1ull << 63 };
    for (size_t k = 0; k < sizeof keys / sizeof *keys; k++) {
        uint32_t last = 0;
        for (uint32_t n = 1; n <= 10000; n++) {
            uint32_t b = bucket(keys[k], n);
            CHECK(b == last || b == n - 1);
            last = b;
        }
    }
    (void)bucket(12345, UINT32_MAX);
}

/* Row 004-22. */
TEST(jump_hash_of_digests)
{
    struct buf d = test_hex("0102030405060708ffff");
    uint32_t by_jump, by_modulo;
    CHECK_EQ(jump_hash_digest(d.data, 57, &by_jump), ERR_OK);
    CHECK_EQ(by_jump, bucket(0x0807060504030201, 57));
    CHECK_EQ(jump_hash_modulo_compat(d.data, 1000, &by_modulo), ERR_OK);
    CHECK_EQ(by_modulo, 0x04030201 % 1000);
    CHECK_EQ(jump_hash_modulo_compat(d.data, 0, &by_modulo), ERR_INVALID_ARGUMENT);
    CHECK_EQ(jump_hash_digest(d.data, 0, &by_jump), ERR_INVALID_ARGUMENT);
    buf_free(&d);
}

TEST_MAIN()
