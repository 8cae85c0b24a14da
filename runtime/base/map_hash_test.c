/* The hash under base/map.c: the library that we link gives the published values. */
#include "base/test.h"

#include <jansson.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

/* The vectors' other seed is a number above 2^63, which jansson reads as a double alone. */
static const uint64_t PRIME64 = 11400714785074694797u;

TEST(xxh3_passes_the_vectors)
{
    char path[600];
    snprintf(path, sizeof path, "%s/vectors/xxhash.json", test_shared());
    json_t *root = json_load_file(path, JSON_DECODE_INT_AS_REAL, NULL), *row;
    CHECK(root != NULL);
    static uint8_t in[8192];
    uint64_t gen = 2654435761;
    for (size_t i = 0; i < sizeof in; i++) {
        in[i] = (uint8_t)(gen >> 56);
        gen *= PRIME64;
    }
    size_t i;
    json_array_foreach(json_object_get(root, "XXH3_64"), i, row)
    {
        size_t len = (size_t)json_number_value(json_object_get(row, "len"));
        uint64_t seed = json_number_value(json_object_get(row, "seed")) == 0 ? 0 : PRIME64;
        CHECK(len <= sizeof in);
        CHECK_EQ(XXH3_64bits_withSeed(in, len, seed),
                 strtoull(json_string_value(json_object_get(row, "hash")), NULL, 16));
    }
    CHECK_EQ(i, 26);
    json_decref(root);
}

TEST_MAIN()
