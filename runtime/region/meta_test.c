#include "region/meta.h"

#include "base/codec.h"
#include "base/prng.h"
#include "base/test.h"

static struct region_meta sample(void)
{
    static const uint64_t stores[] = { 2, 5, 9 };
    struct region_meta m;
    region_meta_first(&m, stores, 3);
    m.id = 7;
    m.conf_ver = 3;
    m.version = 4;
    m.end_unbounded = false;
    CHECK_EQ(buf_append(&m.start, BYTES("\1\2\3\4m")), ERR_OK);
    CHECK_EQ(buf_append(&m.end, BYTES("\1\2\3\4t")), ERR_OK);
    return m;
}

TEST(meta_round_trip_and_every_truncation)
{
    struct region_meta m = sample(), back;
    struct buf bytes = { 0 };
    CHECK_EQ(region_meta_encode(&m, &bytes), ERR_OK);
    for (size_t n = 0; n < bytes.len; n++)
        CHECK_EQ(region_meta_decode(bytes_from(bytes.data, n), &back), ERR_CORRUPTION);
    CHECK_EQ(region_meta_decode(buf_bytes(&bytes), &back), ERR_OK);
    CHECK_EQ(back.id, 7);
    CHECK_EQ(back.conf_ver, 3);
    CHECK_EQ(back.version, 4);
    CHECK_EQ(back.conf.n, 3);
    CHECK_EQ(back.conf.voters, 7);
    CHECK_EQ(region_meta_store(&back, 5), 5);
    CHECK_EQ(region_meta_peer(&back, 9), 9);
    CHECK_EQ(region_meta_peer(&back, 1), RAFT_NONE);
    CHECK_BYTES(buf_bytes(&back.start), buf_bytes(&m.start));
    CHECK_BYTES(buf_bytes(&back.end), buf_bytes(&m.end));
    bytes.data[0] = 2; /* the future */
    region_meta_free(&back);
    CHECK_EQ(region_meta_decode(buf_bytes(&bytes), &back), ERR_UPGRADE_REQUIRED);
    buf_free(&bytes);
    region_meta_free(&m);
}

TEST(meta_refuses_what_no_region_is)
{
    struct region_meta m = sample(), back;
    struct buf bytes = { 0 };
    m.conf.id[1] = m.conf.id[0]; /* ids ascend */
    CHECK_EQ(region_meta_encode(&m, &bytes), ERR_OK);
    CHECK_EQ(region_meta_decode(buf_bytes(&bytes), &back), ERR_CORRUPTION);
    region_meta_free(&m);
    m = sample();
    m.conf.voters = 8; /* a peer that is not there */
    buf_clear(&bytes);
    CHECK_EQ(region_meta_encode(&m, &bytes), ERR_OK);
    CHECK_EQ(region_meta_decode(buf_bytes(&bytes), &back), ERR_CORRUPTION);
    region_meta_free(&m);
    m = sample();
    buf_clear(&m.end); /* a present, empty end (decision 1) */
    buf_clear(&bytes);
    CHECK_EQ(region_meta_encode(&m, &bytes), ERR_OK);
    CHECK_EQ(region_meta_decode(buf_bytes(&bytes), &back), ERR_CORRUPTION);
    buf_free(&bytes);
    region_meta_free(&m);
}

/* Row 000-09: against bytes_compare() of whole keys. */
TEST(r000_09_contains_is_start_inclusive_end_exclusive)
{
    struct prng prng;
    prng_seed(&prng, 9);
    for (int i = 0; i < 100000; i++) {
        struct region_meta m = { .end_unbounded = prng_chance(&prng, 1, 4) };
        uint8_t key[8], start[8], end[8];
        uint8_t *const all[] = { key, start, end };
        size_t len[3];
        for (int k = 0; k < 3; k++) {
            len[k] = (size_t)prng_range(&prng, k == 0 ? 4 : 0, 7);
            for (size_t b = 0; b < len[k]; b++)
                all[k][b] = (uint8_t)prng_below(&prng, 2);
        }
        CHECK_EQ(buf_append(&m.start, bytes_from(start, len[1])), ERR_OK);
        CHECK_EQ(buf_append(&m.end, bytes_from(end, len[2])), ERR_OK);
        bool want = bytes_compare(bytes_from(key, len[0]), bytes_from(start, len[1])) >= 0 &&
                    (m.end_unbounded ||
                     bytes_compare(bytes_from(key, len[0]), bytes_from(end, len[2])) < 0);
        CHECK_EQ(region_meta_holds(&m, load_u32_be(key), bytes_from(key + 4, len[0] - 4)), want);
        region_meta_free(&m);
    }
}

TEST(meta_adopts_a_change_with_the_stores_of_newcomers)
{
    struct region_meta m = sample();
    struct raft_cc cc = { .n = 1, .change = { { RAFT_CC_LEARNER, 11 } } };
    struct raft_conf conf = m.conf;
    uint8_t entry[RAFT_CC_BYTES_MAX + 16];
    size_t len = raft_cc_encode(&cc, entry);
    uint8_t *at = entry + len;
    put_u64(&at, 11);
    put_u64(&at, 4);
    conf.id[conf.n++] = 11;
    conf.learners = 8;
    CHECK_EQ(region_meta_adopt(&m, &conf, &cc, bytes_from(entry, len)), ERR_CORRUPTION);
    CHECK_EQ(m.conf_ver, 3);
    CHECK_EQ(region_meta_adopt(&m, &conf, &cc, bytes_from(entry, len + 16)), ERR_OK);
    CHECK_EQ(m.conf_ver, 4);
    CHECK_EQ(region_meta_store(&m, 11), 4);
    CHECK_EQ(region_meta_store(&m, 2), 2);
    region_meta_free(&m);
}

TEST_MAIN()
