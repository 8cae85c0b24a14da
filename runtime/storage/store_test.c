/* The store on the simulated disk: what a user of the library is promised. */
#include "rig.h"

#include "store_int.h"

/* Row 001-03, its four steps: create, raw put, CAS that succeeds, CAS that fails on the version. */
TEST(four_steps_on_a_fresh_directory)
{
    struct err e = { 0 };
    struct storage_result result;
    struct rig rig = rig_ready(1);
    CHECK_OK(storage_put_raw(rig.store, 1, BYTES("k1"), BYTES("v1"), &e), e);
    CHECK_OK(storage_cas(rig.store, 1, BYTES("k1"), 0, BYTES("v"), false, &result, &e), e);
    CHECK_EQ(result.version, 1);
    CHECK_EQ(storage_cas(rig.store, 1, BYTES("k1"), 0, BYTES("w"), true, &result, &e),
             ERR_CONFLICT);
    CHECK_EQ(result.version, 1);
    CHECK_BYTES(buf_bytes(&result.value), BYTES("v"));
    storage_result_free(&result);

    struct buf row = { 0 };
    CHECK_OK(
        engine_mem.get(rig.store->engine, ENGINE_CAS, bytes_from("\0\0\0\1k1", 6), false, &row, &e),
        e);
    struct buf want = test_hex("000000000000000176"); /* row 001-05, byte for byte */
    CHECK_BYTES(buf_bytes(&row), buf_bytes(&want));
    buf_free(&row);
    buf_free(&want);
    rig_expect(&rig, "k1", "v1"); /* two key spaces: trap D52 */
    rig_free(&rig);
}

static struct digest digest_of_rig(const struct rig *rig)
{
    struct err e = { 0 };
    struct digest ret = { { 0 } };
    CHECK_OK(storage_digest(rig->store, &ret, &e), e);
    return ret;
}

/* Two stores that applied the same have one digest, whatever happened to their logs; a row, a version or an index more,
 * and they have two. */
TEST(digest_is_of_what_replicas_have_alike)
{
    struct rig a = rig_ready(3), b = rig_ready(4);
    struct err e = { 0 };
    struct storage_result result;
    struct digest before = digest_of_rig(&a), one, other;
    for (struct rig *rig = &a; rig != NULL; rig = rig == &a ? &b : NULL) {
        rig_put(rig, "k", "v");
        CHECK_OK(storage_cas(rig->store, 1, BYTES("k"), 0, BYTES("v"), false, &result, &e), e);
    }
    rig_crash(&b, SIM_CRASH_KILL);
    rig_reopen(&b); /* its log was replayed */
    one = digest_of_rig(&a);
    other = digest_of_rig(&b);
    CHECK(digest_equal(&one, &other) && !digest_equal(&one, &before));
    rig_put(&a, "k", "w");
    CHECK_OK(storage_cas(b.store, 1, BYTES("k"), 1, BYTES("w"), false, &result, &e), e);
    one = digest_of_rig(&a);
    other = digest_of_rig(&b);
    CHECK(!digest_equal(&one, &other)); /* the same key and value, in two key spaces */
    rig_free(&a);
    rig_free(&b);
}

TEST(writes_survive_a_clean_stop_a_kill_and_a_power_cut)
{
    struct rig rig = rig_ready(2);
    struct err e = { 0 };
    struct storage_result result;
    rig_put(&rig, "stopped", "1");
    storage_close(rig.store);
    rig_reopen(&rig);
    CHECK_EQ(rig.store->replayed, 0); /* close makes the engine durable */
    CHECK_EQ(storage_local(rig.store, STORAGE_LOCAL_CLEAN).len, 8);
    rig_put(&rig, "killed", "2");
    CHECK_OK(storage_cas(rig.store, 1, BYTES("c"), 0, BYTES("x"), false, &result, &e), e);
    rig_crash(&rig, SIM_CRASH_KILL);
    rig_reopen(&rig);
    CHECK_EQ(rig.store->replayed, 2);
    CHECK_EQ(storage_local(rig.store, STORAGE_LOCAL_CLEAN).len, 0); /* that stop was none */
    rig_put(&rig, "cut", "3");
    rig_crash(&rig, SIM_CRASH_LOSE);
    rig_reopen(&rig);
    rig_expect(&rig, "stopped", "1");
    rig_expect(&rig, "killed", "2");
    rig_expect(&rig, "cut", "3");
    uint64_t version = 0;
    struct buf value = { 0 };
    CHECK_OK(storage_get_cas(rig.store, 1, BYTES("c"), &version, &value, &e), e);
    CHECK_EQ(version, 1);
    CHECK_BYTES(buf_bytes(&value), BYTES("x"));
    buf_free(&value);
    rig_free(&rig);
}

TEST_MAIN()
