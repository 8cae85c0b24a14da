/* Versioned keys: what compare and swap means (decision 15, traps D49 to D53), also within one
 * turn, also after a restart, and what reads and scans see. */
#include "rig.h"

#include "store_int.h"

enum word { CAS, DELETE, DELETE_IF, REOPEN, CRASH };
struct row {
    enum word word;
    uint64_t expected;
    const char *value;
    err_t rc;
    uint64_t version; /* of the result */
    bool absent;      /* of a conflict */
};

static const struct row life_of_a_key[] = {
    { DELETE, 0, "", ERR_NOT_FOUND, 0, true }, /* never written */
    { DELETE_IF, 0, "", ERR_NOT_FOUND, 0, true },
    { CAS, 1, "x", ERR_CONFLICT, 0, true },  /* absent is version 0, not 1 */
    { CAS, 0, "a", ERR_OK, 1, false },       /* create */
    { CAS, 0, "x", ERR_CONFLICT, 1, false }, /* must be absent, and is not */
    { CAS, 2, "x", ERR_CONFLICT, 1, false },
    { CAS, 1, "b", ERR_OK, 2, false },
    { CAS, 1, "x", ERR_CONFLICT, 2, false }, /* an old version never matches again */
    { REOPEN, 0, NULL, ERR_OK, 0, false },
    { DELETE_IF, 1, "", ERR_CONFLICT, 2, false },
    { DELETE_IF, 0, "", ERR_CONFLICT, 2, false },
    { DELETE_IF, 2, "", ERR_OK, 3, false }, /* a delete is itself a version */
    { DELETE, 0, "", ERR_NOT_FOUND, 3, true },
    { CAS, 3, "x", ERR_CONFLICT, 3, true }, /* a tombstone's version is no version to expect */
    { CAS, 1, "x", ERR_CONFLICT, 3, true }, /* trap D50: no ABA on a key that was created again */
    { CRASH, 0, NULL, ERR_OK, 0, false },
    { CAS, 0, "c", ERR_OK, 4, false }, /* absent now: it goes on from the tombstone */
    { CAS, 1, "x", ERR_CONFLICT, 4, false },
    { DELETE, 0, "", ERR_OK, 5, false },
    { CAS, 0, "", ERR_OK, 6, false }, /* an empty value is not an absent one */
    { CRASH, 0, NULL, ERR_OK, 0, false },
    { CAS, 6, "d", ERR_OK, 7, false },
};

static void do_row(struct rig *rig, const struct row *row, char *value)
{
    struct err e = { 0 };
    struct storage_result result = { 0 };
    struct bytes key = BYTES("key");
    err_t rc = ERR_OK;
    if (row->word == REOPEN || row->word == CRASH) {
        if (row->word == REOPEN) {
            storage_close(rig->store);
            rig->store = NULL;
        } else {
            rig_crash(rig, SIM_CRASH_LOSE);
        }
        rig_reopen(rig);
        return;
    }
    if (row->word == CAS)
        rc = storage_cas(rig->store, 1, key, row->expected, BYTES(row->value), true, &result, &e);
    else
        rc = storage_delete_cas(rig->store, 1, key, row->word == DELETE_IF, row->expected, &result,
                                &e);
    CHECK_EQ(rc, row->rc);
    CHECK_EQ(result.version, row->version);
    CHECK_EQ(result.absent, row->absent);
    CHECK_EQ(result.has_value, row->word == CAS && rc == ERR_CONFLICT && !row->absent);
    if (result.has_value)
        CHECK_BYTES(buf_bytes(&result.value), BYTES(value));
    if (rc == ERR_OK && row->word == CAS)
        snprintf(value, 32, "%s", row->value);
    storage_result_free(&result);
}

TEST(life_of_a_versioned_key)
{
    struct rig rig = rig_ready(1);
    char value[32] = "";
    for (size_t i = 0; i < sizeof life_of_a_key / sizeof life_of_a_key[0]; i++) {
        do_row(&rig, &life_of_a_key[i], value);
        const struct row *row = &life_of_a_key[i];
        if (row->word == REOPEN || row->word == CRASH)
            continue;
        struct buf got = { 0 };
        uint64_t version = 99;
        struct err e = { 0 };
        bool live = row->rc == ERR_OK ? row->word == CAS : !row->absent;
        CHECK_EQ(storage_get_cas(rig.store, 1, BYTES("key"), &version, &got, &e),
                 live ? ERR_OK : ERR_NOT_FOUND);
        CHECK_EQ(version, row->version);
        if (live)
            CHECK_BYTES(buf_bytes(&got), BYTES(value));
        buf_free(&got);
    }
    rig_free(&rig);
}

/* Trap D49, D50 within one entry: every command sees the ones before it, and the outcome is that of
 * one by one. */
TEST(commands_of_one_entry_see_each_other)
{
    struct rig rig = rig_ready(2);
    struct err e = { 0 };
    struct storage_apply *apply = storage_apply_new(rig.store);
    struct buf entry = { 0 };
    size_t rows = sizeof life_of_a_key / sizeof life_of_a_key[0];
    uint16_t count = 0;
    uint32_t slot;
    CHECK_EQ(storage_entry_begin(&entry, 5, 1), ERR_OK);
    for (size_t i = 0; i < rows; i++) {
        const struct row *row = &life_of_a_key[i];
        if (row->word == REOPEN || row->word == CRASH)
            continue;
        struct command c = { .kind = row->word == CAS ? COMMAND_CAS : COMMAND_CAS_DELETE,
                             .namespace_id = 1,
                             .key = BYTES("key"),
                             .value = BYTES(row->value),
                             .expected_version = row->expected,
                             .conditional = row->word == DELETE_IF };
        rig_add(&entry, &c);
        count++;
    }
    storage_entry_end(&entry, count);
    CHECK_EQ(storage_entry_hlc(buf_bytes(&entry)), 5);
    rig_entry(&rig, 1, 1, buf_bytes(&entry), apply, &slot);
    CHECK_EQ(storage_apply_outcome(apply, slot), ERR_OK);
    CHECK_EQ(storage_apply_commands(apply, slot), count);
    CHECK_EQ(storage_apply_hlc(apply, slot), 5);
    for (size_t i = 0, at = 0; i < rows; i++) {
        const struct row *row = &life_of_a_key[i];
        if (row->word == REOPEN || row->word == CRASH)
            continue;
        const struct command *command;
        const struct storage_result *result =
            storage_apply_result(apply, slot, (uint32_t)at++, &command);
        CHECK_EQ(result->rc, row->rc);
        CHECK_EQ(result->version, row->version);
        CHECK_EQ(command->expected_version, row->expected);
    }
    storage_apply_free(apply);
    buf_free(&entry);
    for (unsigned again = 0; again < 2; again++) {
        struct buf got = { 0 };
        uint64_t version = 0;
        CHECK_OK(storage_get_cas(rig.store, 1, BYTES("key"), &version, &got, &e), e);
        CHECK_EQ(version, 7);
        CHECK_BYTES(buf_bytes(&got), BYTES("d"));
        buf_free(&got);
        rig_crash(&rig, SIM_CRASH_KILL); /* applied again from the log: the same */
        rig_reopen(&rig);
    }
    CHECK_EQ(rig.store->replayed, 1);
    rig_free(&rig);
}

/* Puts a record into the engine behind the store's back. */
static void plant(struct rig *rig, enum engine_family family, struct bytes key, const char *hex)
{
    struct err e = { 0 };
    struct engine_batch *batch = engine_mem.batch_new(rig->store->engine);
    struct buf value = test_hex(hex);
    uint64_t last;
    engine_mem.put(batch, family, key, buf_bytes(&value));
    CHECK_OK(engine_mem.last(rig->store->engine, &last, &e), e);
    CHECK_OK(engine_mem.write(rig->store->engine, batch, last + 1, &e), e);
    CHECK_OK(engine_mem.force(rig->store->engine, &e), e);
    engine_mem.batch_free(batch);
    buf_free(&value);
    storage_abandon(rig->store);
    rig_reopen(rig); /* the applier counts the engine's batches itself */
}

TEST(damaged_records_and_the_last_version_change_nothing)
{
    struct rig rig = rig_ready(3);
    struct err e = { 0 };
    struct storage_result result;
    struct buf got = { 0 };
    uint64_t version;
    plant(&rig, ENGINE_CAS, bytes_from("\0\0\0\1short", 9), "00000000000001");
    plant(&rig, ENGINE_CAS, bytes_from("\0\0\0\1end", 7), "ffffffffffffffff76");
    plant(&rig, ENGINE_META, bytes_from("t\0\0\0\1gone", 9), "ffffffffffffffff");
    plant(&rig, ENGINE_META, bytes_from("t\0\0\0\1bad", 8), "ffff");
    CHECK_EQ(storage_cas(rig.store, 1, BYTES("short"), 0, BYTES("x"), false, &result, &e),
             ERR_CORRUPTION);
    CHECK_EQ(storage_delete_cas(rig.store, 1, BYTES("short"), false, 0, &result, &e),
             ERR_CORRUPTION);
    CHECK_EQ(storage_get_cas(rig.store, 1, BYTES("short"), &version, &got, &e), ERR_CORRUPTION);
    CHECK_EQ(storage_cas(rig.store, 1, BYTES("bad"), 0, BYTES("x"), false, &result, &e),
             ERR_CORRUPTION);
    CHECK_EQ(storage_cas(rig.store, 1, BYTES("end"), UINT64_MAX, BYTES("x"), false, &result, &e),
             ERR_OVERFLOW);
    CHECK_EQ(storage_delete_cas(rig.store, 1, BYTES("end"), false, 0, &result, &e), ERR_OVERFLOW);
    CHECK_EQ(storage_cas(rig.store, 1, BYTES("gone"), 0, BYTES("x"), false, &result, &e),
             ERR_OVERFLOW);
    CHECK_OK(storage_get_cas(rig.store, 1, BYTES("end"), &version, &got, &e), e);
    CHECK_EQ(version, UINT64_MAX);
    CHECK_BYTES(buf_bytes(&got), BYTES("v"));
    buf_clear(&got);
    CHECK_EQ(storage_get_cas(rig.store, 1, BYTES("gone"), &version, &got, &e), ERR_NOT_FOUND);
    CHECK_EQ(version, UINT64_MAX);
    CHECK_OK(storage_cas(rig.store, 1, BYTES("fine"), 0, BYTES("x"), false, &result, &e),
             e); /* the store goes on */
    buf_free(&got);
    rig_free(&rig);
}

/* Trap D52: raw and versioned keys of one name are two keys. */
TEST(raw_and_versioned_keys_are_disjoint)
{
    struct rig rig = rig_ready(4);
    struct err e = { 0 };
    struct storage_result result;
    struct buf got = { 0 };
    uint64_t version = 0;
    CHECK_OK(storage_cas(rig.store, 1, BYTES("k"), 0, BYTES("versioned"), false, &result, &e), e);
    CHECK_EQ(storage_get_raw(rig.store, 1, BYTES("k"), &got, &e), ERR_NOT_FOUND);
    rig_put(&rig, "k", "raw");
    CHECK_OK(storage_delete_raw(rig.store, 1, BYTES("k"), &e), e);
    CHECK_OK(storage_get_cas(rig.store, 1, BYTES("k"), &version, &got, &e), e);
    CHECK_EQ(version, 1);
    CHECK_BYTES(buf_bytes(&got), BYTES("versioned"));
    buf_free(&got);
    rig_free(&rig);
}

TEST(empty_values_binary_keys_and_limits)
{
    struct rig rig = rig_ready(5);
    struct err e = { 0 };
    struct storage_result result;
    struct buf got = { 0 };
    static uint8_t much[COMMAND_VALUE_MAX + 1];
    struct bytes odd = bytes_from("\0\xff\0", 3);
    CHECK_OK(storage_put_raw(rig.store, 1, odd, BYTES(""), &e), e);
    CHECK_OK(storage_get_raw(rig.store, 1, odd, &got, &e), e);
    CHECK_EQ(got.len, 0);
    CHECK_EQ(storage_get_raw(rig.store, 1, bytes_from("\0\xff", 2), &got, &e), ERR_NOT_FOUND);
    CHECK_EQ(storage_put_raw(rig.store, 1, BYTES(""), BYTES("v"), &e), ERR_INVALID_ARGUMENT);
    CHECK_EQ(storage_get_raw(rig.store, 1, BYTES(""), &got, &e), ERR_INVALID_ARGUMENT);
    CHECK_OK(storage_put_raw(rig.store, 1, bytes_from(much, COMMAND_KEY_MAX), BYTES("v"), &e), e);
    CHECK_EQ(storage_put_raw(rig.store, 1, bytes_from(much, COMMAND_KEY_MAX + 1), BYTES("v"), &e),
             ERR_TOO_LARGE);
    CHECK_CONTAINS(e.msg, "key_max");
    CHECK_EQ(storage_cas(rig.store, 1, BYTES("k"), 0, bytes_from(much, COMMAND_VALUE_MAX + 1),
                         false, &result, &e),
             ERR_TOO_LARGE);
    CHECK_CONTAINS(e.msg, "value_max");
    CHECK_EQ(storage_put_raw(rig.store, 1, BYTES("k"), bytes_from(much, RIG_SEGMENT), &e),
             ERR_TOO_LARGE);
    CHECK_CONTAINS(e.msg, "segment_bytes is too small");
    CHECK_EQ(storage_latched(rig.store, &e), ERR_OK);
    storage_close(rig.store);
    rig.store = NULL;
    rig.config.segment_bytes = 4 << 20;
    rig_reopen(&rig);
    CHECK_OK(storage_put_raw(rig.store, 1, BYTES("k"), bytes_from(much, COMMAND_VALUE_MAX), &e), e);
    rig_crash(&rig, SIM_CRASH_LOSE);
    rig_reopen(&rig);
    CHECK_OK(storage_get_raw(rig.store, 1, BYTES("k"), &got, &e), e);
    CHECK_EQ(got.len, COMMAND_VALUE_MAX);
    buf_free(&got);
    rig_free(&rig);
}

/* ---- Batches -------------------------------------------------------------------------------- */

TEST(a_batch_has_a_limit_at_n_minus_1_n_and_n_plus_1)
{
    struct rig rig = rig_ready(6);
    struct err e = { 0 };
    static uint8_t data[RIG_SEGMENT];
    size_t max = storage_entry_max(rig.store);
    struct storage_records *records = storage_records_new(rig.store);
    struct raft_hs hs = { 1, 1, 0 };
    struct raft_ent ent = { .term = 1, .index = 1, .len = (uint32_t)max + 1, .data = data };
    CHECK_EQ(storage_records_append(records, 1, hs, &ent, 1), ERR_TOO_LARGE);
    CHECK(storage_records_empty(records));
    ent.len = (uint32_t)max - WAL_RECORD_HEADER - 8 - 1;
    CHECK_EQ(storage_records_append(records, 1, hs, &ent, 1), ERR_OK);
    CHECK_EQ(storage_records_local(records, STORAGE_LOCAL_HLC, BYTES("ab")), ERR_TOO_LARGE);
    CHECK_EQ(storage_records_bytes(records),
             storage_records_max(rig.store) - WAL_RECORD_HEADER - 8 - 1);
    CHECK_EQ(storage_records_local(records, STORAGE_LOCAL_HLC, BYTES("a")), ERR_OK);
    CHECK_EQ(storage_records_bytes(records), storage_records_max(rig.store));
    CHECK_EQ(storage_records_append(records, 2, hs, NULL, 0), ERR_TOO_LARGE);
    uint64_t before = rig.store->wal_bytes;
    CHECK_OK(storage_sync(rig.store, records, &e), e); /* and the log takes it */
    CHECK_EQ(rig.store->wal_bytes - before, RIG_SEGMENT - WAL_BLOCK);
    storage_records_reset(records);
    ent.index = 2, ent.len = (uint32_t)max;
    CHECK_EQ(storage_records_append(records, 1, hs, &ent, 1), ERR_OK);
    CHECK_OK(storage_sync(rig.store, records, &e), e);
    storage_records_free(records);
    rig_free(&rig);
}

TEST(one_entry_is_one_batch_and_one_sync)
{
    struct rig rig = rig_ready(7);
    struct storage_apply *apply = storage_apply_new(rig.store);
    struct storage_stats before, after;
    struct buf entry = { 0 };
    uint32_t slot;
    storage_stats(rig.store, &before);
    uint64_t effects = sim_disk_effects(rig.disk);
    CHECK_EQ(storage_entry_begin(&entry, 0, 1), ERR_OK);
    for (unsigned i = 0; i < 100; i++) {
        char key[8];
        snprintf(key, sizeof key, "k%u", i);
        struct command c = {
            .kind = COMMAND_RAW_PUT, .namespace_id = 1, .key = BYTES(key), .value = BYTES("v")
        };
        rig_add(&entry, &c);
    }
    storage_entry_end(&entry, 100);
    rig_entry(&rig, 1, 1, buf_bytes(&entry), apply, &slot);
    CHECK_EQ(sim_disk_effects(rig.disk) - effects, 2); /* one write, one sync */
    storage_stats(rig.store, &after);
    CHECK_EQ(after.batches - before.batches, 1);
    CHECK_EQ(after.commands - before.commands, 100);
    CHECK_EQ(after.wal_bytes - before.wal_bytes, WAL_BLOCK);
    CHECK(after.sync_ns_p50 > 0 && after.sync_ns_p99 >= after.sync_ns_p50);
    storage_apply_free(apply);
    buf_free(&entry);
    rig_expect(&rig, "k99", "v");
    rig_free(&rig);
}

/* ---- Namespaces ----------------------------------------------------------------------------- */

static void count_namespace(void *user, const struct storage_namespace *ns)
{
    struct buf *names = user;
    CHECK_EQ(buf_printf(names, "%u:%s:%s ", ns->id, ns->name, ns->mode), ERR_OK);
}

TEST(namespaces_are_created_kept_and_apart)
{
    struct rig rig = rig_ready(8);
    struct err e = { 0 };
    struct storage_result result;
    struct buf got = { 0 };
    CHECK_EQ(storage_put_raw(rig.store, 2, BYTES("k"), BYTES("v"), &e), ERR_NOT_FOUND);
    CHECK_EQ(storage_put_raw(rig.store, 0, BYTES("k"), BYTES("v"), &e),
             ERR_NOT_FOUND); /* the system's */
    CHECK_EQ(storage_namespace_next(rig.store), 2);
    CHECK_OK(storage_create_namespace(rig.store, 7, BYTES("orders"), BYTES("strong"), &e), e);
    CHECK_EQ(storage_create_namespace(rig.store, 7, BYTES("other"), BYTES("strong"), &e),
             ERR_ALREADY_EXISTS);
    CHECK_EQ(storage_create_namespace(rig.store, 8, BYTES("orders"), BYTES("strong"), &e),
             ERR_ALREADY_EXISTS);
    CHECK_EQ(storage_create_namespace(rig.store, 8, BYTES("default"), BYTES("strong"), &e),
             ERR_ALREADY_EXISTS);
    CHECK_EQ(storage_create_namespace(rig.store, 8, BYTES("x"), BYTES("eventual"), &e),
             ERR_INVALID_ARGUMENT);
    CHECK_OK(storage_create_namespace(rig.store, 3, BYTES("events"), BYTES("strong"), &e), e);
    CHECK_EQ(storage_namespace_next(rig.store), 8);
    CHECK_OK(storage_put_raw(rig.store, 7, BYTES("k"), BYTES("seven"), &e), e);
    CHECK_OK(storage_cas(rig.store, 3, BYTES("k"), 0, BYTES("three"), false, &result, &e), e);
    for (unsigned again = 0; again < 3; again++) {
        buf_clear(&got);
        storage_namespaces(rig.store, count_namespace, &got);
        CHECK_BYTES(buf_bytes(&got), BYTES("1:default:strong 3:events:strong 7:orders:strong "));
        buf_clear(&got);
        CHECK_OK(storage_get_raw(rig.store, 7, BYTES("k"), &got, &e), e);
        CHECK_BYTES(buf_bytes(&got), BYTES("seven"));
        CHECK_EQ(storage_get_raw(rig.store, 1, BYTES("k"), &got, &e), ERR_NOT_FOUND);
        CHECK_EQ(storage_get_raw(rig.store, 3, BYTES("k"), &got, &e), ERR_NOT_FOUND);
        struct storage_namespace ns;
        CHECK_EQ(storage_namespace_find(rig.store, BYTES("orders"), &ns), ERR_OK);
        CHECK_EQ(ns.id, 7);
        CHECK_EQ(storage_namespace_find(rig.store, BYTES("order"), &ns), ERR_NOT_FOUND);
        CHECK(storage_namespace_exists(rig.store, 3) && !storage_namespace_exists(rig.store, 4));
        if (again == 0) {
            rig_crash(&rig, SIM_CRASH_LOSE);
        } else {
            storage_close(rig.store);
            rig.store = NULL;
        }
        rig_reopen(&rig);
    }
    buf_free(&got);
    rig_free(&rig);
}

TEST(namespaces_have_a_limit)
{
    struct rig rig = rig_ready(11);
    struct err e = { 0 };
    char name[16];
    for (uint32_t id = 2; id <= NAMESPACES_MAX; id++) { /* 1 is "default" */
        snprintf(name, sizeof name, "n%u", id);
        CHECK_OK(storage_create_namespace(rig.store, id, BYTES(name), BYTES("strong"), &e), e);
    }
    CHECK_EQ(storage_create_namespace(rig.store, 5000, BYTES("more"), BYTES("strong"), &e),
             ERR_RESOURCE_EXHAUSTED);
    CHECK_EQ(storage_create_namespace(rig.store, 7, BYTES("again"), BYTES("strong"), &e),
             ERR_ALREADY_EXISTS);
    rig_crash(&rig, SIM_CRASH_LOSE);
    rig_reopen(&rig);
    CHECK_EQ(storage_namespace_next(rig.store), NAMESPACES_MAX + 1);
    CHECK(!storage_namespace_exists(rig.store, 5000));
    rig_free(&rig);
}

/* Entries are stamped, and never backwards: also with the wall clock set back, also after a restart. */
TEST(stamps_go_forward)
{
    struct rig rig = rig_ready(12);
    uint64_t last = 0;
    for (unsigned i = 0; i < 12; i++) {
        rig_put(&rig, "k", "v");
        struct layout_apply_state applied;
        progress_applied(rig.store->progress, 1, &applied);
        uint64_t hlc = applied.hlc;
        CHECK(hlc > last);
        last = hlc;
        if (i % 3 == 1)
            sim_world_step_wall(rig.world, -3600000000000);
        if (i % 3 == 2) {
            rig_crash(&rig, SIM_CRASH_LOSE);
            sim_world_step_wall(rig.world, -7200000000000);
            rig_reopen(&rig);
        }
    }
    rig_free(&rig);
}

/* A command may use the namespace that one before it in the same entry creates; others see it when
 * it is applied. */
TEST(a_namespace_and_its_first_write_in_one_entry)
{
    struct rig rig = rig_ready(9);
    struct storage_apply *apply = storage_apply_new(rig.store);
    struct command make = {
        .kind = COMMAND_NAMESPACE, .namespace_id = 2, .key = BYTES("ns"), .value = BYTES("strong")
    };
    struct command put = {
        .kind = COMMAND_RAW_PUT, .namespace_id = 2, .key = BYTES("k"), .value = BYTES("v")
    };
    struct buf entry = { 0 };
    uint32_t slot;
    CHECK_EQ(storage_entry_begin(&entry, 0, 1), ERR_OK);
    rig_add(&entry, &put); /* too early */
    rig_add(&entry, &make);
    rig_add(&entry, &put);
    storage_entry_end(&entry, 3);
    CHECK(!storage_namespace_exists(rig.store, 2));
    rig_entry(&rig, 1, 1, buf_bytes(&entry), apply, &slot);
    CHECK(storage_namespace_exists(rig.store, 2));
    CHECK_EQ(storage_apply_result(apply, slot, 0, NULL)->rc, ERR_NOT_FOUND);
    CHECK_EQ(storage_apply_result(apply, slot, 1, NULL)->rc, ERR_OK);
    CHECK_EQ(storage_apply_result(apply, slot, 2, NULL)->rc, ERR_OK);
    storage_apply_free(apply);
    buf_free(&entry);
    rig_free(&rig);
}

/* ---- Scans ---------------------------------------------------------------------------------- */

static err_t add_row(void *user, struct bytes key, uint64_t version, struct bytes value)
{
    struct buf *rows = user;
    return buf_printf(rows, "%.*s/%d=%.*s ", (int)key.len, (const char *)key.data, (int)version,
                      (int)value.len, (const char *)value.data);
}

static void check_scan(struct rig *rig, struct storage_scan scan, const char *want,
                       const char *next)
{
    struct err e = { 0 };
    struct buf rows = { 0 }, from = { 0 };
    bool more = !next;
    CHECK_OK(storage_scan(rig->store, &scan, add_row, &rows, &more, &from, &e), e);
    CHECK_BYTES(buf_bytes(&rows), BYTES(want));
    CHECK_EQ(more, next != NULL);
    CHECK_BYTES(buf_bytes(&from), BYTES(next != NULL ? next : ""));
    buf_free(&rows);
    buf_free(&from);
}

static err_t refuse_row(void *user, struct bytes key, uint64_t version, struct bytes value)
{
    (void)user, (void)key, (void)version, (void)value;
    return ERR_CANCELLED;
}

TEST(scans)
{
    struct rig rig = rig_ready(10);
    struct err e = { 0 };
    struct storage_result result;
    const struct bytes end = BYTES("d"), none = { 0 };
    const size_t all = SIZE_MAX;
    CHECK_OK(storage_create_namespace(rig.store, 2, BYTES("two"), BYTES("strong"), &e), e);
    CHECK_OK(storage_create_namespace(rig.store, UINT32_MAX, BYTES("last"), BYTES("strong"), &e),
             e);
    for (const char *k = "abcde"; *k != '\0'; k++) {
        struct bytes key = bytes_from(k, 1);
        CHECK_OK(storage_put_raw(rig.store, 1, key, BYTES("r"), &e), e);
        CHECK_OK(storage_put_raw(rig.store, UINT32_MAX, key, BYTES("m"), &e), e);
        CHECK_OK(storage_cas(rig.store, 1, key, 0, BYTES("v"), false, &result, &e), e);
    }
    CHECK_OK(storage_put_raw(rig.store, 2, BYTES("a"), BYTES("other"), &e), e);
    CHECK_OK(storage_delete_cas(rig.store, 1, BYTES("c"), false, 0, &result, &e), e);
    CHECK_OK(storage_delete_raw(rig.store, 1, BYTES("b"), &e), e);
    struct storage_scan raw = {
        .ns = 1, .start = none, .end = none, .limit = 100, .limit_bytes = all
    };
    check_scan(&rig, raw, "a/0=r c/0=r d/0=r e/0=r ", NULL); /* not a row of namespace 2 */
    raw.end = end;
    check_scan(&rig, raw, "a/0=r c/0=r ", NULL);
    raw.start = BYTES("b");
    check_scan(&rig, raw, "c/0=r ", NULL);
    raw.start = BYTES("d");
    check_scan(&rig, raw, "", NULL); /* an empty range */
    raw.start = BYTES("e");
    check_scan(&rig, raw, "", NULL); /* a reversed one */
    raw = (struct storage_scan){ .ns = 1, .limit = 2, .limit_bytes = all };
    check_scan(&rig, raw, "a/0=r c/0=r ", "d");
    raw.limit = 4;
    check_scan(&rig, raw, "a/0=r c/0=r d/0=r e/0=r ", NULL); /* exactly all: no more */
    raw.limit_bytes = 4;
    check_scan(&rig, raw, "a/0=r c/0=r ", "d");
    raw.limit_bytes = 3;
    check_scan(&rig, raw, "a/0=r ", "c");
    raw.limit_bytes = 0;
    check_scan(&rig, raw, "a/0=r ", "c"); /* one at least */
    raw.limit_bytes = 2;
    raw.keys_only = true;
    check_scan(&rig, raw, "a/0= c/0= ", "d");
    check_scan(&rig, (struct storage_scan){ .cas = true, .ns = 1, .limit = 10, .limit_bytes = all },
               "a/1=v b/1=v d/1=v e/1=v ", NULL); /* tombstones are left out */
    check_scan(&rig, (struct storage_scan){ .ns = UINT32_MAX, .limit = 3, .limit_bytes = all },
               "a/0=m b/0=m c/0=m ", "d");
    check_scan(&rig, (struct storage_scan){ .ns = UINT32_MAX, .limit = 9, .limit_bytes = all },
               "a/0=m b/0=m c/0=m d/0=m e/0=m ", NULL);
    struct buf next = { 0 };
    bool more = false;
    struct storage_scan scan = { .ns = 1, .limit = 5, .limit_bytes = all };
    CHECK_EQ(storage_scan(rig.store, &scan, refuse_row, NULL, &more, &next, &e), ERR_CANCELLED);
    scan.ns = 9;
    CHECK_EQ(storage_scan(rig.store, &scan, add_row, NULL, &more, &next, &e), ERR_NOT_FOUND);
    plant(&rig, ENGINE_CAS, bytes_from("\0\0\0\1cc", 6), "0001");
    struct buf rows = { 0 };
    scan = (struct storage_scan){ .cas = true, .ns = 1, .limit = 5, .limit_bytes = all };
    CHECK_EQ(storage_scan(rig.store, &scan, add_row, &rows, &more, &next, &e), ERR_CORRUPTION);
    buf_free(&rows);
    buf_free(&next);
    rig_free(&rig);
}

TEST_MAIN()
