/* Rows 002-09, 10, 13, 20 to 24, 27, 28, and the words of 01 to 19. */
#include "catalog_rig.h"

TEST(r002_20_next_route_id_key)
{
    CHECK_BYTES(record_next_route_id_key(), BYTES("!dist|meta|next_route_id"));
}

TEST(r002_21_version_key)
{
    CHECK_BYTES(record_version_key(), BYTES("!dist|meta|version"));
}

TEST(r002_22_route_key_golden_and_in_the_order_of_ids)
{
    struct buf want = test_hex("21646973747c726f7574657c000000000000000b");
    uint8_t key[RECORD_ROUTE_KEY_SIZE], before[RECORD_ROUTE_KEY_SIZE];
    record_route_key(11, key);
    CHECK_BYTES(bytes_from(key, sizeof key), buf_bytes(&want));
    buf_free(&want);
    const uint64_t ids[] = { 0, 1, 255, 256, 65535, 1ull << 32, 1ull << 63, UINT64_MAX };
    for (unsigned i = 1; i < RIG_COUNT(ids); i++) {
        record_route_key(ids[i - 1], before);
        record_route_key(ids[i], key);
        CHECK(memcmp(before, key, sizeof key) < 0);
    }
    CHECK(bytes_compare(bytes_from(key, sizeof key), record_route_prefix_end()) < 0);
    CHECK(bytes_starts_with(bytes_from(key, sizeof key), record_route_prefix()));
}

TEST(r002_23_id_from_key_wants_the_prefix_and_8_bytes)
{
    uint8_t key[RECORD_ROUTE_KEY_SIZE + 1] = { 0 };
    uint64_t id = 5;
    record_route_key(0x0102030405060708, key);
    CHECK(record_route_id_from_key(bytes_from(key, RECORD_ROUTE_KEY_SIZE), &id));
    CHECK(id == 0x0102030405060708);
    id = 5;
    CHECK(!record_route_id_from_key(bytes_from(key, RECORD_ROUTE_KEY_SIZE + 1), &id));
    for (size_t n = 0; n < RECORD_ROUTE_KEY_SIZE; n++)
        CHECK(!record_route_id_from_key(bytes_from(key, n), &id));
    key[3] = 'X';
    CHECK(!record_route_id_from_key(bytes_from(key, RECORD_ROUTE_KEY_SIZE), &id));
    CHECK_EQ(id, 5);
}

TEST(r002_24_is_route_key_looks_at_the_prefix_alone)
{
    CHECK(record_is_route_key(BYTES("!dist|route|")));
    CHECK(record_is_route_key(BYTES("!dist|route|anything at all")));
    CHECK(!record_is_route_key(BYTES("!dist|route")));
    CHECK(!record_is_route_key(BYTES("!dist|meta|version")));
    CHECK(!record_is_route_key(BYTES("")));
}

TEST(r002_27_version_record_golden)
{
    struct buf want = test_hex("01000000000000002a");
    uint8_t record[RECORD_NUMBER_SIZE];
    uint64_t version = 0;
    record_version_encode(42, record);
    CHECK_BYTES(bytes_from(record, sizeof record), buf_bytes(&want));
    CHECK_EQ(record_version_decode(buf_bytes(&want), &version, NULL), ERR_OK);
    CHECK_EQ(version, 42);
    buf_free(&want);
}

TEST(r002_28_next_route_id_record_golden)
{
    struct buf want = test_hex("01000000000000004d");
    uint8_t record[RECORD_NUMBER_SIZE];
    uint64_t id = 0;
    record_next_route_id_encode(77, record);
    CHECK_BYTES(bytes_from(record, sizeof record), buf_bytes(&want));
    CHECK_EQ(record_next_route_id_decode(buf_bytes(&want), &id, NULL), ERR_OK);
    CHECK_EQ(id, 77);
    buf_free(&want);
}

static void check_number(const char *hex, err_t version_rc, err_t id_rc)
{
    struct buf in = test_hex(hex);
    uint64_t out = 5;
    struct err e = { 0 };
    CHECK_EQ(record_version_decode(buf_bytes(&in), &out, &e), version_rc);
    if (version_rc != ERR_OK)
        CHECK_CONTAINS(e.msg, "catalog version record is invalid");
    out = 5;
    CHECK_EQ(record_next_route_id_decode(buf_bytes(&in), &out, &e), id_rc);
    CHECK_CONTAINS(e.msg, "catalog next route id record is invalid");
    CHECK_EQ(out, 5);
    buf_free(&in);
}

TEST(r002_09_and_10_what_is_no_number)
{
    const err_t v = ERR_CATALOG_INVALID_VERSION_RECORD, n = ERR_CATALOG_INVALID_NEXT_ROUTE_ID;
    check_number("", v, n);
    check_number("01", v, n);
    check_number("010000000000000001"
                 "00",
                 v, n);
    check_number("0100000000000001", v, n);
    check_number("020000000000000001", v, n);
    check_number("000000000000000001", v, n);
    check_number("010000000000000000", ERR_OK, n); /* version 0 is a version, id 0 is none */
}

TEST(record_identity_round_trip_and_damage)
{
    struct catalog_stamp stamp = { .version = 9,
                                   .incarnation = { { 1, 2, 3 } },
                                   .hash = { { 4, 5 } } };
    struct catalog_stamp back = { 0 };
    uint8_t record[RECORD_IDENTITY_SIZE + 1] = { 0 };
    struct err e = { 0 };
    record_identity_encode(&stamp, record);
    CHECK_OK(record_identity_decode(bytes_from(record, RECORD_IDENTITY_SIZE), &back, &e), e);
    CHECK(memcmp(&stamp, &back, sizeof stamp) == 0);
    for (size_t n = 0; n < RECORD_IDENTITY_SIZE; n++)
        CHECK_EQ(record_identity_decode(bytes_from(record, n), &back, &e), ERR_CATALOG_INTEGRITY);
    CHECK_EQ(record_identity_decode(bytes_from(record, sizeof record), &back, &e),
             ERR_CATALOG_INTEGRITY);
    record[0] = 2;
    CHECK_EQ(record_identity_decode(bytes_from(record, RECORD_IDENTITY_SIZE), &back, &e),
             ERR_CATALOG_INTEGRITY);
}

TEST(r002_01_to_19_every_identity_has_its_own_words)
{
    const char *words[] = {
        "catalog store is required",
        "catalog version mismatch",
        "catalog version overflow",
        "catalog route id overflow",
        "catalog route id is required",
        "catalog group id is required",
        "catalog route id must be unique",
        "catalog route range is invalid",
        "catalog version record is invalid",
        "catalog next route id record is invalid",
        "catalog route record is invalid",
        "catalog route state is invalid",
        "catalog route key is invalid",
        "catalog route key and record route id mismatch",
        "engine snapshot version is stale",
        "engine snapshot has duplicate route id",
        "engine snapshot has overlapping routes",
        "engine snapshot has invalid route order",
        "engine is required",
    };
    for (unsigned i = 0; i < RIG_COUNT(words); i++) {
        err_t rc = (err_t)(ERR_CATALOG_STORE_REQUIRED + i);
        struct err e = { 0 };
        CHECK_STR(catalog_error_text(rc), words[i]);
        CHECK_EQ(catalog_error(&e, rc, "%s", ""), rc);
        CHECK_STR(e.msg, words[i]);
        CHECK(err_is_wire(err_to_wire(rc)));
        CHECK(strcmp(err_name(rc), "UNKNOWN") != 0);
    }
    CHECK_STR(catalog_error_text(ERR_IO), "");
}

TEST_MAIN()
