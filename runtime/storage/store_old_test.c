/* What the first format has left: a directory that was written before there were regions, byte for byte.
 *
 *   log      put a = 1 | cas c: x | cas c: y, cas c: z, namespace 2, TSO, HLC | put b = 2 | CUT(4) and more
 *   engine   the first two are durable
 *
 * The last batch is one that the old store wrote when it freed a segment; without it the engine is brought
 * forward, with it (it must not have been written yet) entries are missing. */
#include "rig.h"

#include "store_int.h"

static const struct part {
    const char *path;
    unsigned offset;
    const char *hex;
} parts[] = {
    { "/store/wal/0000000000000001.seg", 0,
      "464c4f5457414c0a0100000000000000010000000000000034120000000000000000010000000000"
      "0bf879d8f73a653421f011d5" },
    { "/store/wal/0000000000000001.seg", 4096,
      "7c0000008f0ef4ef010000000000000001000000cb192b1d010000005c0000000100000000000000"
      "01000000000000000100000000000000000000000000000001000000000000000100000000000000"
      "01000000000000001c0000000000000001000100000003a8da769b01010000000800000010011a01"
      "61220131" },
    { "/store/wal/0000000000000001.seg", 8192,
      "7c000000eeb265880200000000000000010000009b65b94e010000005c0000000100000000000000"
      "01000000000000000100000000000000010000000000000002000000000000000100000000000000"
      "01000000000000001c0000000000000001000100010003a8da769b01030000000800000010011a01"
      "632a0178" },
    { "/store/wal/0000000000000001.seg", 12288,
      "da00000019a982180300000000000000030000004a47227a010000008a0000000100000000000000"
      "01000000000000000100000000000000020000000000000003000000000000000100000000000000"
      "01000000000000004a000000000000000100030005000068e5cf8b01030000000a00000010011a01"
      "6320012a0179030000000a00000010011a016320022a017a0500000012000000080212066f726465"
      "72731a067374726f6e67050000001000000002000000000000007b68e5cf8b010000050000001000"
      "00000100000000000000c869e5cf8b01" },
    { "/store/wal/0000000000000001.seg", 16384,
      "7c00000024a8676d0400000000000000010000003b9d9de9010000005c0000000100000000000000"
      "01000000000000000100000000000000030000000000000004000000000000000100000000000000"
      "01000000000000001c0000000000000001000100020003a8da769b01010000000800000010011a01"
      "62220132" },
    { "/store/wal/0000000000000001.seg", 20480,
      "a0000000e55c8158050000000000000004000000379ee5ce02000000180000000100000000000000"
      "04000000000000000100000000000000010000003000000001000000000000000100000000000000"
      "01000000000000000300000000000000050000000000000000000000000000000500000010000000"
      "0100000000000000c869e5cf8b010000050000001000000002000000000000007b68e5cf8b01" },
    { "/store/db/CURRENT", 0,
      "464c4f544d454d314f000000000000000100000000000000ea01e902000000000100050000000100"
      "00000000000161310103090000001900000000000000000000010201000000000000000100000000"
      "00000001019b76daa8030000010601000000080000006e0000000000000001570000000000000002"
      "00000000000000f93190c80000000001010500000009000000000000016300000000000000017801"
      "0309000000190000000000000000000001020100000000000000020000000000000001019b76daa8"
      "030001010601000000080000006e0000000000000002" },
    { "/store/IDENT", 0,
      "666c6f74696c6c612073746f72650a666f726d617420310a6d696e5f72656164657220310a636c75"
      "737465722030313032303330303030303030303030303030303030303030303030303030300a7374"
      "6f726520370a696e6361726e6174696f6e20303030303030303030303030313233340a6372633332"
      "632031303939303330370a" },
    { "/store/WATERMARK", 0,
      "464c4f544d41524b0200000000000000000000000000000034120000000000007d811c66" },
    { "/store/WATERMARK", 4096,
      "464c4f544d41524b0100000000000000000000000000000034120000000000001eb020ad" },
};
enum { CUT_AT = 20480, WINDOW = 123, BOUND = 456 };
#define YEAR_2023_MS UINT64_C(1700000000000)

static struct rig old_store(bool alone, bool with_cut)
{
    struct err e = { 0 };
    struct rig rig = rig_new(5);
    rig.config.alone = alone;
    CHECK_OK(rig_init(&rig, &e), e); /* the names; the bytes follow */
    CHECK_EQ(sim_disk_cut(rig.disk, "/store/db/CURRENT", 0), ERR_OK);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        struct buf bytes = test_hex(parts[i].hex);
        if (with_cut || parts[i].offset != CUT_AT)
            CHECK_EQ(sim_disk_poke(rig.disk, parts[i].path, parts[i].offset, buf_bytes(&bytes)),
                     ERR_OK);
        buf_free(&bytes);
    }
    return rig;
}

static void expect_rows(struct rig *rig)
{
    struct err e = { 0 };
    struct buf value = { 0 };
    struct storage_namespace ns;
    uint64_t version = 0;
    rig_expect(rig, "a", "1");
    rig_expect(rig, "b", "2");
    CHECK_OK(storage_get_cas(rig->store, 1, BYTES("c"), &version, &value, &e), e);
    CHECK_EQ(version, 3);
    CHECK_BYTES(buf_bytes(&value), BYTES("z"));
    CHECK_EQ(storage_namespace_find(rig->store, BYTES("orders"), &ns), ERR_OK);
    CHECK_EQ(ns.id, 2);
    buf_free(&value);
}

static void expect_locals(struct rig *rig)
{
    uint8_t bound[8];
    store_u64(bound, YEAR_2023_MS + BOUND);
    CHECK_BYTES(storage_local(rig->store, STORAGE_LOCAL_HLC), bytes_from(bound, 8));
    CHECK_EQ(storage_tso_window(rig->store), YEAR_2023_MS + WINDOW);
}

TEST(an_old_directory_opens_alone)
{
    struct rig rig = old_store(true, false);
    rig_reopen(&rig);
    CHECK_EQ(rig.store->replayed, 2);
    expect_rows(&rig);
    expect_locals(&rig);
    rig_put(&rig, "d", "new"); /* both formats in one log */
    rig_crash(&rig, SIM_CRASH_LOSE);
    rig_reopen(&rig);
    expect_rows(&rig);
    rig_expect(&rig, "d", "new");
    CHECK_EQ(rig_group(&rig, 1).last, 5);
    rig_free(&rig);
}

/* For consensus: region 1, a group of one in term 1; its entries are of version 1. */
TEST(an_old_directory_opens_for_consensus)
{
    struct rig rig = old_store(false, false);
    struct err e = { 0 };
    rig_reopen(&rig);
    expect_locals(&rig);
    struct storage_group group = rig_group(&rig, 1);
    CHECK(group.hs.term == 1 && group.hs.vote == 1 && group.hs.commit == 3);
    CHECK(group.base == 0 && group.last == 4 && group.applied == 2 && group.applied_term == 1);
    struct raft_ent ents[2];
    struct buf bytes = { 0 };
    uint32_t n = 0, slot;
    CHECK_OK(storage_entries(rig.store, 1, 3, 5, 1 << 20, 2, &bytes, ents, &n, &e), e);
    CHECK_EQ(n, 2);
    CHECK_EQ(storage_entry_hlc(bytes_from(ents[0].data, ents[0].len)), YEAR_2023_MS << 16 | 5);
    struct storage_apply *apply = storage_apply_new(rig.store);
    CHECK_EQ(storage_apply_entry(apply, 1, &ents[0], 1, &slot), ERR_OK);
    CHECK_EQ(storage_apply_entry(apply, 1, &ents[1], 1, &slot), ERR_OK);
    CHECK_OK(storage_apply_run(rig.store, apply, &e), e);
    CHECK_EQ(storage_apply_outcome(apply, 0), ERR_OK);
    CHECK_EQ(storage_apply_commands(apply, 0), 3);
    expect_rows(&rig);
    storage_apply_free(apply);
    buf_free(&bytes);
    rig_free(&rig);
}

TEST(what_an_old_store_has_let_go_is_missed)
{
    for (unsigned alone = 0; alone < 2; alone++) {
        struct rig rig = old_store(alone, true);
        struct err e = { 0 };
        CHECK_EQ(rig_open(&rig, &e), ERR_DATA_LOSS);
        CHECK_CONTAINS(e.msg, "log of region 1 begins at index 5, but the engine needs it from 3");
        rig_free(&rig);
    }
}

TEST_MAIN()
