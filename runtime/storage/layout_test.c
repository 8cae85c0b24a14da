/* Keys and values in the engine, byte for byte. */
#include "base/test.h"

#include "layout.h"

static void check_hex(struct bytes have, const char *hex)
{
    struct buf want = test_hex(hex);
    CHECK_BYTES(have, buf_bytes(&want));
    buf_free(&want);
}

TEST(golden_bytes)
{
    struct buf b = { 0 };
    CHECK_EQ(layout_key(1, BYTES("k1"), &b), ERR_OK);
    check_hex(buf_bytes(&b), "000000016b31");
    buf_clear(&b);
    CHECK_EQ(layout_tombstone_key(258, BYTES("k"), &b), ERR_OK);
    check_hex(buf_bytes(&b), "74000001026b");
    buf_clear(&b);
    CHECK_EQ(layout_cas_value(1, BYTES("v"), &b), ERR_OK);
    check_hex(buf_bytes(&b), "000000000000000176"); /* row 001-05 */
    buf_clear(&b);
    CHECK_EQ(layout_cas_value(0x0102030405060708, BYTES(""), &b), ERR_OK);
    check_hex(buf_bytes(&b), "0102030405060708");
    buf_clear(&b);
    CHECK_EQ(layout_namespace(BYTES("orders"), BYTES("strong"), &b), ERR_OK);
    check_hex(buf_bytes(&b), "01066f7264657273067374726f6e67");
    buf_free(&b);
    uint8_t log[16], kept[9], applied[25], ns[5];
    layout_raft_log_key(256, 7, log); /* row 000-27 */
    check_hex(bytes_from(log, sizeof log), "00000000000001000000000000000007");
    layout_raft_state_key(1ull << 63, LAYOUT_APPLY_STATE, kept);
    check_hex(bytes_from(kept, sizeof kept), "800000000000000002");
    layout_apply_state(&(struct layout_apply_state){ .index = 9, .term = 1, .hlc = 0x10000 },
                       applied);
    check_hex(bytes_from(applied, sizeof applied),
              "01000000000000000900000000000000010000000000010000");
    layout_namespace_key(7, ns);
    check_hex(bytes_from(ns, sizeof ns), "6e00000007");
}

/* Row 000-27: the keys of one region are one range, and no other region's lie in it. */
TEST(regions_do_not_mix)
{
    static const uint64_t regions[] = {
        1, 2, 255, 256, 257, 1ull << 32, (1ull << 63) - 1, 1ull << 63, UINT64_MAX
    };
    static const raft_index indexes[] = { 0, 1, 255, 256, UINT64_MAX };
    uint8_t last[16] = { 0 }, key[16];
    for (size_t r = 0; r < sizeof regions / sizeof regions[0]; r++)
        for (size_t i = 0; i < sizeof indexes / sizeof indexes[0]; i++) {
            layout_raft_log_key(regions[r], indexes[i], key);
            CHECK(bytes_compare(bytes_from(last, 16), bytes_from(key, 16)) < 0);
            memcpy(last, key, sizeof key);
        }
}

TEST(records_that_are_none_are_corruption)
{
    uint64_t version = 99;
    struct bytes value = { 0 };
    uint8_t record[9] = { 0, 0, 0, 0, 0, 0, 0, 5, 'v' };
    for (size_t n = 0; n < 8; n++) { /* trap D53: shorter than a version is not version 0 */
        CHECK_EQ(layout_take_cas_value(bytes_from(record, n), &version, &value), ERR_CORRUPTION);
        CHECK_EQ(layout_take_tombstone(bytes_from(record, n), &version), ERR_CORRUPTION);
        CHECK_EQ(version, 99);
    }
    CHECK_EQ(layout_take_tombstone(bytes_from(record, 9), &version), ERR_CORRUPTION);
    CHECK_EQ(layout_take_tombstone(bytes_from(record, 8), &version), ERR_OK);
    CHECK_EQ(version, 5);
    CHECK_EQ(layout_take_cas_value(bytes_from(record, 9), &version, &value), ERR_OK);
    CHECK_BYTES(value, BYTES("v"));
    record[7] = 0; /* version 0 is "absent": nobody writes it */
    CHECK_EQ(layout_take_cas_value(bytes_from(record, 9), &version, &value), ERR_CORRUPTION);
}

TEST(states_and_namespaces_are_whole_or_corrupt)
{
    uint8_t bytes[26] = { 0 }, key[5];
    struct layout_apply_state written = { .index = 3, .term = 2, .hlc = 1 }, back = { 0 };
    layout_apply_state(&written, bytes);
    for (size_t n = 0; n <= 26; n++)
        CHECK_EQ(layout_take_apply_state(bytes_from(bytes, n), &back),
                 n == 25 ? ERR_OK : ERR_CORRUPTION);
    CHECK_EQ(back.index, 3);
    CHECK_EQ(back.term, 2);
    CHECK_EQ(back.hlc, 1);
    bytes[0] = 2;
    CHECK_EQ(layout_take_apply_state(bytes_from(bytes, 25), &back), ERR_CORRUPTION);

    struct buf value = { 0 };
    struct bytes name, mode;
    uint32_t id;
    layout_namespace_key(7, key);
    CHECK_EQ(layout_namespace(BYTES("orders"), BYTES("strong"), &value), ERR_OK);
    for (size_t n = 0; n < value.len; n++)
        CHECK_EQ(
            layout_take_namespace(bytes_from(key, 5), bytes_from(value.data, n), &id, &name, &mode),
            ERR_CORRUPTION);
    for (size_t n = 0; n < 5; n++)
        CHECK_EQ(layout_take_namespace(bytes_from(key, n), buf_bytes(&value), &id, &name, &mode),
                 ERR_CORRUPTION);
    CHECK_EQ(layout_take_namespace(bytes_from(key, 5), buf_bytes(&value), &id, &name, &mode),
             ERR_OK);
    CHECK_EQ(id, 7);
    CHECK_BYTES(name, BYTES("orders"));
    CHECK_BYTES(mode, BYTES("strong"));
    value.data[1] = 200; /* a length beyond the value */
    CHECK_EQ(layout_take_namespace(bytes_from(key, 5), buf_bytes(&value), &id, &name, &mode),
             ERR_CORRUPTION);
    buf_free(&value);
}

TEST_MAIN()
