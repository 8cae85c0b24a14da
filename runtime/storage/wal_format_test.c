/* The log's bytes: golden, whole or not at all, and never trusted. */
#include "base/test.h"

#include "base/codec.h"
#include "base/crc32c.h"
#include "base/prng.h"
#include "wal_batch.h"

static const struct wal_segment_header segment = {
    .number = 7, .incarnation = 0x1122334455667788, .bytes = 1 << 20, .salt = 0x99
};
static const struct raft_hs hs = { .term = 2, .vote = 3, .commit = 4 };

/* One batch with a record of every kind. */
static void build(struct wal_batch *batch)
{
    struct raft_ent ents[2] = { { .term = 6, .len = 2, .type = RAFT_ENT_NORMAL, .data = "ab" },
                                { .term = 7, .len = 1, .type = RAFT_ENT_CONF, .data = "c" } };
    wal_batch_reset(batch);
    wal_batch_append(batch, 1, hs, 5, ents, 2);
    wal_batch_cut(batch, 1, 8, 9);
    wal_batch_snap(batch, 1, 10, 11, BYTES("conf"), BYTES("files!"));
    wal_batch_gone(batch, 12, 13, 14, 15);
    wal_batch_local(batch, 2, BYTES("window"));
}

static struct buf bytes_of(struct wal_batch *batch, uint64_t number, uint32_t seed)
{
    struct buf all = { 0 };
    unsigned n = 0;
    CHECK_EQ(wal_batch_seal(batch, number, seed, &n), ERR_OK);
    for (unsigned i = 0; i < n; i++)
        CHECK_EQ(buf_append(&all, batch->iov[i]), ERR_OK);
    CHECK_EQ(all.len, wal_batch_bytes(batch));
    CHECK_EQ(all.len % WAL_BLOCK, 0);
    return all;
}

#define GOLDEN_RECORDS                                                                             \
    "0100000053000000"                                                                             \
    "0100000000000000"                                                                             \
    "0200000000000000"                                                                             \
    "0300000000000000"                                                                             \
    "0400000000000000"                                                                             \
    "0500000000000000"                                                                             \
    "02000000"                                                                                     \
    "00000000"                                                                                     \
    "0600000000000000"                                                                             \
    "02000000"                                                                                     \
    "00"                                                                                           \
    "00"                                                                                           \
    "0000"                                                                                         \
    "6162"                                                                                         \
    "0700000000000000"                                                                             \
    "01000000"                                                                                     \
    "01"                                                                                           \
    "00"                                                                                           \
    "0000"                                                                                         \
    "63"                                                                                           \
    "0200000018000000"                                                                             \
    "0100000000000000"                                                                             \
    "0800000000000000"                                                                             \
    "0900000000000000"                                                                             \
    "030000002a000000"                                                                             \
    "0100000000000000"                                                                             \
    "0a00000000000000"                                                                             \
    "0b00000000000000"                                                                             \
    "04000000"                                                                                     \
    "636f6e66"                                                                                     \
    "06000000"                                                                                     \
    "66696c657321"                                                                                 \
    "0400000020000000"                                                                             \
    "0c00000000000000"                                                                             \
    "0d00000000000000"                                                                             \
    "0e00000000000000"                                                                             \
    "0f00000000000000"                                                                             \
    "050000000e000000"                                                                             \
    "02000000"                                                                                     \
    "00000000"                                                                                     \
    "77696e646f77"

#define GOLDEN_HEAD "0301000087ec3ada2a00000000000000050000005e5adbe4"

TEST(batch_golden_bytes)
{
    struct wal_batch batch = { 0 };
    build(&batch);
    uint32_t seed = wal_format_seed(&segment);
    struct buf have = bytes_of(&batch, 42, seed);
    struct buf records = test_hex(GOLDEN_RECORDS);
    CHECK_EQ(batch.length, WAL_BATCH_HEADER + records.len);
    CHECK_BYTES(bytes_from(have.data + WAL_BATCH_HEADER, records.len), buf_bytes(&records));
    uint8_t head[WAL_BATCH_HEADER];
    store_u32(head, (uint32_t)batch.length);
    store_u64(head + 4, 42);
    store_u32(head + 12, 5);
    uint32_t made_of = crc32c(seed, bytes_from(head, 16)); /* length, number, records */
    store_u32(head + 4, 0);                                /* its own field as zero */
    store_u64(head + 8, 42);
    store_u32(head + 16, 5);
    store_u32(head + 20, made_of);
    uint32_t crc = crc32c(crc32c(seed, bytes_from(head, sizeof head)), buf_bytes(&records));
    store_u32(head + 4, crc);
    CHECK_BYTES(bytes_from(have.data, sizeof head), bytes_from(head, sizeof head));
    struct buf golden = test_hex(GOLDEN_HEAD); /* and never another, while the format is 1 */
    CHECK_BYTES(bytes_from(have.data, sizeof head), buf_bytes(&golden));
    buf_free(&golden);
    for (size_t i = batch.length; i < have.len; i++)
        CHECK_EQ(have.data[i], 0);
    buf_free(&have);
    buf_free(&records);
    wal_batch_free(&batch);
}

TEST(segment_header_golden_bytes)
{
    struct wal_segment_header header = segment;
    uint8_t out[WAL_SEGMENT_HEADER];
    wal_format_segment_header(&header, out);
    struct buf want = test_hex("464c4f5457414c0a"
                               "01000000"
                               "00000000"
                               "0700000000000000"
                               "8877665544332211"
                               "0000100000000000"
                               "9900000000000000");
    CHECK_BYTES(bytes_from(out, want.len), buf_bytes(&want));
    CHECK_EQ(load_u32(out + want.len), crc32c(0, buf_bytes(&want)));
    buf_free(&want);
    struct wal_segment_header back = { .number = 99 };
    for (size_t n = 0; n < sizeof out; n++) {
        CHECK_EQ(wal_format_take_segment_header(bytes_from(out, n), &back), ERR_SHORT);
        CHECK_EQ(back.number, 99);
    }
    for (size_t i = 0; i < sizeof out * 8; i++) {
        out[i / 8] ^= (uint8_t)(1 << i % 8);
        CHECK_EQ(wal_format_take_segment_header(bytes_from(out, sizeof out), &back),
                 ERR_CORRUPTION);
        out[i / 8] ^= (uint8_t)(1 << i % 8);
    }
    CHECK_EQ(wal_format_take_segment_header(bytes_from(out, sizeof out), &back), ERR_OK);
    CHECK_EQ(back.number, 7);
    CHECK_EQ(back.bytes, 1 << 20);
    store_u32(out + 8, 2); /* format 2, with its crc */
    store_u32(out + 48, crc32c(0, bytes_from(out, 48)));
    CHECK_EQ(wal_format_take_segment_header(bytes_from(out, sizeof out), &back),
             ERR_UPGRADE_REQUIRED);
}

/* The checksums begin with number, incarnation and salt: the same bytes elsewhere are no batch. */
TEST(a_batch_belongs_to_its_segment_and_store)
{
    struct wal_segment_header others[3] = { segment, segment, segment };
    others[0].number++;
    others[1].incarnation++;
    others[2].salt++;
    struct wal_batch batch = { 0 };
    build(&batch);
    uint32_t seed = wal_format_seed(&segment);
    struct buf have = bytes_of(&batch, 42, seed);
    struct bytes whole = bytes_from(have.data, batch.length);
    struct wal_batch_header header;
    CHECK_EQ(wal_format_take_batch_header(whole, seed, have.len, &header), ERR_OK);
    CHECK_EQ(wal_format_batch_crc(seed, whole), header.crc);
    for (unsigned i = 0; i < 3; i++) {
        uint32_t other = wal_format_seed(&others[i]);
        CHECK(wal_format_batch_crc(other, whole) != header.crc);
        CHECK_EQ(wal_format_take_batch_header(whole, other, have.len, &header), ERR_CORRUPTION);
    }
    buf_free(&have);
    wal_batch_free(&batch);
}

TEST(batch_header_is_bounded_before_anybody_trusts_it)
{
    static const struct {
        uint32_t length, records;
        uint64_t number, room;
        err_t rc;
    } rows[] = {
        { 32, 1, 1, 4096, ERR_OK },
        { 31, 1, 1, 4096, ERR_CORRUPTION }, /* no record fits */
        { 0, 0, 0, 4096, ERR_CORRUPTION },  /* zeros are the end */
        { 4096, 1, 1, 4096, ERR_OK },
        { 4097, 1, 1, 4096, ERR_CORRUPTION }, /* beyond its segment */
        { WAL_BATCH_MAX, 1, 1, 1ull << 40, ERR_OK },
        { WAL_BATCH_MAX + 1, 1, 1, 1ull << 40, ERR_CORRUPTION },
        { UINT32_MAX, 1, 1, UINT64_MAX, ERR_CORRUPTION },
        { 40, 2, 1, 4096, ERR_OK },
        { 39, 2, 1, 4096, ERR_CORRUPTION }, /* two records need 16 bytes */
        { 32, 0, 1, 4096, ERR_CORRUPTION },
        { 32, 1, 0, 4096, ERR_CORRUPTION },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint8_t bytes[WAL_BATCH_HEADER];
        struct wal_batch_header header = { .length = rows[i].length,
                                           .number = rows[i].number,
                                           .records = rows[i].records },
                                back = { .length = 7 };
        wal_format_batch_header(&header, 3, bytes);
        CHECK_EQ(
            wal_format_take_batch_header(bytes_from(bytes, sizeof bytes), 3, rows[i].room, &back),
            rows[i].rc);
        CHECK_EQ(back.length, rows[i].rc == ERR_OK ? rows[i].length : 7);
        for (size_t n = 0; n < sizeof bytes; n++)
            CHECK_EQ(wal_format_take_batch_header(bytes_from(bytes, n), 3, rows[i].room, &back),
                     ERR_SHORT);
    }
}

/* Every truncation of every kind: short, and neither the input nor the output has moved. */
TEST(every_truncation_of_every_record)
{
    struct buf all = test_hex(GOLDEN_RECORDS);
    struct bytes in = buf_bytes(&all);
    static const enum wal_kind kinds[] = { WAL_APPEND, WAL_CUT, WAL_SNAP, WAL_GONE, WAL_LOCAL };
    for (size_t k = 0; k < 5; k++) {
        struct bytes before = in;
        struct wal_record record;
        CHECK_EQ(wal_format_take_record(&in, &record), ERR_OK);
        CHECK_EQ(record.kind, kinds[k]);
        size_t size = before.len - in.len;
        for (size_t n = 0; n < size; n++) {
            struct bytes cut = bytes_from(before.data, n);
            struct wal_record none = { .region = 77 };
            CHECK_EQ(wal_format_take_record(&cut, &none), ERR_SHORT);
            CHECK_EQ(cut.len, n);
            CHECK_EQ(none.region, 77);
        }
        /* A length that lies: the payload ends too early, or goes on. */
        uint8_t *copy = malloc(size + 8);
        for (size_t n = WAL_RECORD_HEADER; n < size + 8; n++) {
            memcpy(copy, before.data, size);
            memset(copy + size, 1, 8);
            store_u32(copy + 4, (uint32_t)(n - WAL_RECORD_HEADER));
            struct bytes lie = bytes_from(copy, size + 8);
            err_t rc = wal_format_take_record(&lie, &record);
            bool plain =
                kinds[k] == WAL_LOCAL && n >= WAL_RECORD_HEADER + 8; /* its value is what is left */
            CHECK_EQ(rc, n == size || plain ? ERR_OK : ERR_CORRUPTION);
        }
        free(copy);
    }
    CHECK_EQ(in.len, 0);
    buf_free(&all);
}

TEST(records_hold_what_was_written)
{
    struct buf all = test_hex(GOLDEN_RECORDS);
    struct bytes in = buf_bytes(&all);
    struct wal_record record;
    struct raft_ent ent;
    CHECK_EQ(wal_format_take_record(&in, &record), ERR_OK);
    CHECK_EQ(record.region, 1);
    CHECK_EQ(record.append.hs.term, 2);
    CHECK_EQ(record.append.hs.vote, 3);
    CHECK_EQ(record.append.hs.commit, 4);
    CHECK_EQ(record.append.first, 5);
    CHECK_EQ(record.append.count, 2);
    CHECK(wal_format_take_entry(&record.append.entries, &ent));
    CHECK_EQ(ent.term, 6);
    CHECK_EQ(ent.type, RAFT_ENT_NORMAL);
    CHECK_BYTES(bytes_from(ent.data, ent.len), BYTES("ab"));
    CHECK(wal_format_take_entry(&record.append.entries, &ent));
    CHECK_EQ(ent.type, RAFT_ENT_CONF);
    CHECK(!wal_format_take_entry(&record.append.entries, &ent));
    CHECK_EQ(wal_format_take_record(&in, &record), ERR_OK);
    CHECK_EQ(record.cut.index, 8);
    CHECK_EQ(record.cut.term, 9);
    CHECK_EQ(wal_format_take_record(&in, &record), ERR_OK);
    CHECK_EQ(record.snap.index, 10);
    CHECK_BYTES(record.snap.conf, BYTES("conf"));
    CHECK_BYTES(record.snap.files, BYTES("files!"));
    CHECK_EQ(wal_format_take_record(&in, &record), ERR_OK);
    CHECK_EQ(record.region, 12);
    CHECK_EQ(record.gone.peer, 13);
    CHECK_EQ(record.gone.conf_ver, 14);
    CHECK_EQ(record.gone.version, 15);
    CHECK_EQ(wal_format_take_record(&in, &record), ERR_OK);
    CHECK_EQ(record.local.kind, 2);
    CHECK_BYTES(record.local.value, BYTES("window"));
    buf_free(&all);
}

TEST(unknown_kinds_are_of_the_future_and_flags_are_damage)
{
    struct buf bytes = test_hex("0800000000000000");
    struct bytes in = buf_bytes(&bytes);
    struct wal_record record;
    CHECK_EQ(wal_format_take_record(&in, &record), ERR_UPGRADE_REQUIRED);
    bytes.data[0] = 0;
    CHECK_EQ(wal_format_take_record(&in, &record), ERR_CORRUPTION);
    bytes.data[0] = WAL_LOCAL;
    bytes.data[1] = 1;
    CHECK_EQ(wal_format_take_record(&in, &record), ERR_CORRUPTION);
    buf_free(&bytes);
}

/* What is written again has kinds of its own, and the same payload. */
TEST(again_is_another_kind)
{
    struct wal_batch batch = { 0 };
    wal_batch_reset(&batch);
    wal_batch_snap(&batch, 1, 10, 11, BYTES("conf"), BYTES("files!"));
    wal_batch_snap_again(&batch, 1, 10, 11, BYTES("conf"), BYTES("files!"));
    wal_batch_gone(&batch, 12, 13, 14, 15);
    wal_batch_gone_again(&batch, 12, 13, 14, 15);
    struct bytes in =
        bytes_from(batch.scratch.data + WAL_BATCH_HEADER, batch.scratch.len - WAL_BATCH_HEADER);
    static const enum wal_kind kinds[] = { WAL_SNAP, WAL_SNAP_AGAIN, WAL_GONE, WAL_GONE_AGAIN };
    for (size_t k = 0; k < 4; k++) {
        size_t size = WAL_RECORD_HEADER + (k < 2 ? 42 : 32);
        CHECK_EQ(in.data[0], kinds[k]);
        if (k % 2 == 1)
            CHECK_BYTES(bytes_from(in.data + 1, size - 1),
                        bytes_from(in.data + 1 - size, size - 1));
        struct wal_record record;
        CHECK_EQ(wal_format_take_record(&in, &record), ERR_OK);
        CHECK_EQ(record.kind, kinds[k]);
        CHECK_EQ(record.region, k < 2 ? 1 : 12);
    }
    CHECK_EQ(in.len, 0);
    wal_batch_free(&batch);
}

/* Counts and lengths that would overflow, or make somebody allocate. */
TEST(append_with_absurd_counts_is_refused)
{
    uint8_t bytes[WAL_RECORD_HEADER + WAL_APPEND_HEADER + WAL_ENTRY_HEADER];
    static const struct {
        raft_index first;
        uint32_t count, length;
    } rows[] = { { 1, UINT32_MAX, 0 }, { 1, 2, 0 },          { 0, 1, 0 },
                 { UINT64_MAX, 1, 0 }, { 1, 1, UINT32_MAX }, { 1, 1, 1 } };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint8_t *at = bytes;
        wal_format_put_record(&at, WAL_APPEND, WAL_APPEND_HEADER + WAL_ENTRY_HEADER);
        wal_format_put_append(&at, 1, hs, rows[i].first, rows[i].count);
        wal_format_put_entry(&at, 1, 0, rows[i].length);
        struct bytes in = bytes_from(bytes, sizeof bytes);
        struct wal_record record;
        CHECK_EQ(wal_format_take_record(&in, &record), ERR_CORRUPTION);
    }
}

TEST(random_bytes_are_never_trusted)
{
    struct prng chance;
    prng_seed(&chance, 5);
    struct buf golden = test_hex(GOLDEN_RECORDS);
    unsigned taken = 0;
    for (unsigned i = 0; i < 20000; i++) {
        size_t len = i % 2 ? golden.len : (size_t)prng_below(&chance, 200);
        uint8_t *bytes = malloc(len + 1); /* of its exact size, for the address sanitizer */
        prng_fill(&chance, bytes, len);
        if (i % 2) {
            memcpy(bytes, golden.data, len);
            for (unsigned k = 0; k < 3; k++)
                bytes[prng_below(&chance, len)] = (uint8_t)prng_u64(&chance);
        }
        struct bytes in = bytes_from(bytes, len);
        struct wal_record record;
        while (in.len > 0 && wal_format_take_record(&in, &record) == ERR_OK) {
            struct raft_ent ent;
            taken++;
            if (record.kind == WAL_APPEND)
                while (wal_format_take_entry(&record.append.entries, &ent))
                    CHECK((const uint8_t *)ent.data + ent.len <= bytes + len);
        }
        free(bytes);
    }
    CHECK(taken > 1000);
    buf_free(&golden);
}

/* Large parts are borrowed, small ones copied: the bytes are the same. */
TEST(entry_in_parts_equals_entry_in_one)
{
    enum { BIG = 100000 };
    uint8_t *big = malloc(BIG);
    memset(big, 'x', BIG);
    struct buf one = { 0 };
    CHECK_EQ(buf_append(&one, BYTES("head")), ERR_OK);
    CHECK_EQ(buf_append(&one, bytes_from(big, BIG)), ERR_OK);
    CHECK_EQ(buf_append(&one, BYTES("tail")), ERR_OK);
    struct raft_ent ent = { .term = 1, .len = (uint32_t)one.len, .data = one.data };
    struct wal_batch whole = { 0 }, parts = { 0 };
    wal_batch_reset(&whole);
    wal_batch_append(&whole, 1, hs, 5, &ent, 1);
    wal_batch_reset(&parts);
    wal_batch_entry_begin(&parts, 1, hs, 1, 5, RAFT_ENT_NORMAL);
    uint8_t *room = wal_batch_room(&parts, 2);
    memcpy(room, "he", 2);
    wal_batch_part(&parts, BYTES("ad"));
    wal_batch_part(&parts, bytes_from(big, BIG));
    wal_batch_part(&parts, BYTES("tail"));
    wal_batch_entry_end(&parts);
    struct buf a = bytes_of(&whole, 9, 1), b = bytes_of(&parts, 9, 1);
    CHECK(parts.piece_count == 3);
    CHECK(bytes_equal(buf_bytes(&a), buf_bytes(&b)));
    buf_free(&a);
    buf_free(&b);
    buf_free(&one);
    free(big);
    wal_batch_free(&whole);
    wal_batch_free(&parts);
}

TEST(a_batch_has_a_limit)
{
    static uint8_t much[WAL_BATCH_MAX];
    struct wal_batch batch = { 0 };
    unsigned n;
    wal_batch_reset(&batch);
    wal_batch_local(&batch, 1,
                    bytes_from(much, WAL_BATCH_MAX - WAL_BATCH_HEADER - WAL_RECORD_HEADER - 8));
    CHECK_EQ(wal_batch_seal(&batch, 1, 1, &n), ERR_OK);
    CHECK_EQ(wal_batch_bytes(&batch), WAL_BATCH_MAX);
    wal_batch_local(&batch, 1, BYTES(""));
    CHECK_EQ(wal_batch_seal(&batch, 1, 1, &n), ERR_TOO_LARGE);
    wal_batch_reset(&batch);
    wal_batch_local(&batch, 1, BYTES("again"));
    CHECK_EQ(wal_batch_seal(&batch, 1, 1, &n), ERR_OK);
    wal_batch_free(&batch);
}

TEST_MAIN()
