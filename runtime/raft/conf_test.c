#include "conf.h"

#include "base/prng.h"
#include "base/test.h"

static struct raft_conf start(struct prng *p)
{
    struct raft_conf c = { 0 };
    struct raft_cc_one first = { RAFT_CC_VOTER, 1 };
    CHECK(conf_simple(&c, &first, 1, &c, NULL) == NULL);
    for (unsigned i = 0; i < 6; i++) {
        struct raft_cc_one one = { (enum raft_cc_kind)prng_below(p, 3), prng_range(p, 1, 9) };
        struct raft_conf next;
        if (conf_simple(&c, &one, 1, &next, NULL) == NULL)
            c = next;
    }
    return c;
}

/* etcd-io/raft's TestConfChangeQuick: a list of simple changes one by one equals one joint change that is left. */
TEST(conf_simple_changes_equal_a_joint_one)
{
    struct prng p;
    unsigned compared = 0;
    prng_seed(&p, 20);
    for (unsigned round = 0; round < 50000; round++) {
        struct raft_conf from = start(&p), one_by_one = from, joint;
        struct raft_cc_one change[5];
        unsigned n = (unsigned)prng_range(&p, 1, 5);
        bool possible = true;
        for (unsigned i = 0; i < n; i++) {
            change[i] =
                (struct raft_cc_one){ (enum raft_cc_kind)prng_below(&p, 4), prng_range(&p, 1, 9) };
            possible =
                possible && conf_simple(&one_by_one, &change[i], 1, &one_by_one, NULL) == NULL;
        }
        if (!possible)
            continue;
        CHECK(conf_enter_joint(&from, false, change, n, &joint, NULL) == NULL);
        CHECK(raft_conf_broken(&joint) == NULL && conf_joint(&joint));
        CHECK(conf_leave_joint(&joint, &joint, NULL) == NULL);
        CHECK(raft_conf_broken(&joint) == NULL);
        CHECK(conf_equal(&joint, &one_by_one));
        compared++;
    }
    CHECK(compared > 10000);
}

/* Whatever is asked for, what comes out is a configuration, and a refusal changes nothing. */
TEST(conf_random_walks_stay_whole)
{
    struct prng p;
    unsigned refused = 0;
    prng_seed(&p, 21);
    for (unsigned round = 0; round < 2000; round++) {
        struct raft_conf c = start(&p);
        for (unsigned i = 0; i < 25; i++) {
            struct raft_cc cc = { .transition = (enum raft_cc_transition)prng_below(&p, 3),
                                  .n = (uint8_t)prng_below(&p, 5) };
            struct raft_conf before = c;
            uint16_t fresh = 0;
            for (unsigned k = 0; k < cc.n; k++)
                cc.change[k] = (struct raft_cc_one){ (enum raft_cc_kind)prng_below(&p, 4),
                                                     prng_below(&p, 24) };
            if (conf_apply(&c, &cc, &c, &fresh) != NULL) {
                CHECK(memcmp(&before, &c, sizeof c) == 0);
                refused++;
                continue;
            }
            CHECK(raft_conf_broken(&c) == NULL && c.voters != 0);
            CHECK((fresh & ~((1u << c.n) - 1)) == 0);
        }
    }
    CHECK(refused > 100);
}

TEST(conf_codec_round_trips_and_refuses_every_truncation)
{
    struct raft_cc cc = { .transition = RAFT_CC_EXPLICIT,
                          .n = 2,
                          .change = { { RAFT_CC_VOTER, 7 }, { RAFT_CC_REMOVE, 1ull << 63 } } };
    uint8_t bytes[RAFT_CC_BYTES_MAX];
    size_t len = raft_cc_encode(&cc, bytes);
    CHECK_BYTES(bytes_from(bytes, len),
                bytes_from("\x01\x02\x02\x00\x07\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x80", 21));
    for (size_t n = 1; n < len; n++) {
        struct raft_cc out = { .n = 9 };
        CHECK_EQ(raft_cc_decode(bytes, n, &out), ERR_CORRUPTION);
        CHECK_EQ(out.n, 9);
    }
    struct raft_cc out;
    CHECK_EQ(raft_cc_decode(bytes, len, &out), ERR_OK);
    CHECK_EQ(out.n, 2);
    CHECK_EQ(out.change[1].id, 1ull << 63);
    CHECK_EQ(raft_cc_decode(NULL, 0, &out), ERR_OK);
    CHECK(conf_leaves(&out));
    bytes[0] = 2;
    CHECK_EQ(raft_cc_decode(bytes, len, &out), ERR_CORRUPTION);
}

TEST(conf_is_full_at_its_limit)
{
    struct raft_conf c = { 0 };
    for (raft_id id = 1; id <= RAFT_MAX_PEERS; id++) {
        struct raft_cc_one one = { RAFT_CC_VOTER, id };
        CHECK(conf_simple(&c, &one, 1, &c, NULL) == NULL);
    }
    struct raft_cc_one more = { RAFT_CC_LEARNER, 99 };
    CHECK_STR(conf_simple(&c, &more, 1, &c, NULL), "too many members");
    CHECK_EQ(c.n, RAFT_MAX_PEERS);
}

TEST_MAIN()
