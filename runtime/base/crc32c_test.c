#include "base/crc32c.h"
#include "base/prng.h"
#include "base/test.h"

#include <jansson.h>

/* The definition, bit by bit: what both implementations must agree with. */
static uint32_t by_definition(struct bytes in)
{
    uint32_t crc = ~0u;
    for (size_t i = 0; i < in.len; i++) {
        crc ^= in.data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
    }
    return ~crc;
}

TEST(crc32c_passes_the_vectors_at_every_split)
{
    char path[600];
    snprintf(path, sizeof path, "%s/vectors/crc32c.json", test_shared());
    json_t *root = json_load_file(path, 0, NULL), *row;
    CHECK(root != NULL);
    size_t i, rows = 0;
    json_array_foreach(json_object_get(root, "vectors"), i, row)
    {
        struct buf in = test_hex(json_string_value(json_object_get(row, "input_hex")));
        uint32_t want =
            (uint32_t)strtoul(json_string_value(json_object_get(row, "crc32c")), NULL, 16);
        for (size_t cut = 0; cut <= in.len; cut++) {
            struct bytes a = { in.data, cut },
                         b = { in.len > 0 ? in.data + cut : NULL, in.len - cut };
            CHECK_EQ(crc32c(crc32c(0, a), b), want);
            CHECK_EQ(crc32c_portable(crc32c_portable(0, a), b), want);
        }
        buf_free(&in);
        rows++;
    }
    CHECK_EQ(rows, 7);
    json_decref(root);
}

TEST(crc32c_both_ways_agree_with_the_definition_at_every_length_and_alignment)
{
    uint8_t bytes[300];
    struct prng p;
    prng_seed(&p, 5);
    prng_fill(&p, bytes, sizeof bytes);
    for (size_t from = 0; from < 9; from++) {
        for (size_t len = 0; from + len <= sizeof bytes; len++) {
            struct bytes in = { bytes + from, len };
            uint32_t want = by_definition(in);
            CHECK_EQ(crc32c(0, in), want);
            CHECK_EQ(crc32c_portable(0, in), want);
        }
    }
}

TEST(crc32c_sees_every_flipped_bit)
{
    uint8_t bytes[64] = { 0 };
    struct bytes in = { bytes, sizeof bytes };
    uint32_t whole = crc32c(0, in);
    for (size_t bit = 0; bit < 8 * sizeof bytes; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        CHECK(crc32c(0, in) != whole);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

TEST_MAIN()
