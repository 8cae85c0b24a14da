/* The ledger alone: places and terms through every kind of record, who holds a segment, what is written again. */
#include "base/test.h"

#include "ledger.h"

enum { R = 7 };

static void append(struct ledger *ledger, uint64_t id, raft_index first, uint32_t n, raft_term term,
                   err_t want)
{
    struct raft_run run = { .last = n, .term = term };
    struct ledger_entries entries = {
        .first = first, .count = n, .runs = &run, .run_count = 1, .offset = first * WAL_BLOCK
    };
    struct raft_hs hs = { .term = term };
    CHECK_EQ(ledger_append(ledger, id, hs, &entries), want);
}

/* "1-5:1 6:2 / 1 6": runs with their terms, then where places begin. */
static void expect(const struct ledger *ledger, uint64_t id, const char *want)
{
    const struct ledger_region *region = ledger_region(ledger, id);
    struct buf have = { 0 };
    raft_index from = region->base + 1;
    for (uint32_t i = 0; i < region->run_count; from = region->runs[i++].last + 1)
        CHECK_EQ(buf_printf(&have, "%d-%d:%d ", (int)from, (int)region->runs[i].last,
                            (int)region->runs[i].term),
                 ERR_OK);
    CHECK_EQ(buf_printf(&have, "/"), ERR_OK);
    for (uint32_t i = 0; i < region->place_count; i++)
        CHECK_EQ(buf_printf(&have, " %d", (int)region->places[i].first), ERR_OK);
    CHECK_BYTES(buf_bytes(&have), BYTES(want));
    buf_free(&have);
}

static uint32_t place_of(const struct ledger *ledger, raft_index index)
{
    uint32_t place = UINT32_MAX;
    return ledger_region_find(ledger_region(ledger, R), index, &place) ? place : UINT32_MAX;
}

TEST(appends_follow_or_replace)
{
    struct ledger ledger;
    ledger_init(&ledger, 1);
    ledger_segment(&ledger, 1);
    append(&ledger, R, 2, 1, 1, ERR_DATA_LOSS); /* a new region begins at 1 */
    append(&ledger, R, 1, 3, 1, ERR_OK);
    append(&ledger, R, 4, 2, 1, ERR_OK);
    append(&ledger, R, 7, 1, 1, ERR_DATA_LOSS); /* a hole */
    append(&ledger, R, 6, 1, 2, ERR_OK);
    expect(&ledger, R, "1-5:1 6-6:2 / 1 4 6");
    append(&ledger, R, 7, 1, 1, ERR_CORRUPTION); /* terms do not go back */
    append(&ledger, R, 5, 4, 3, ERR_OK);
    expect(&ledger, R, "1-4:1 5-8:3 / 1 4 5");
    CHECK(place_of(&ledger, 3) == 0 && place_of(&ledger, 4) == 1 && place_of(&ledger, 5) == 2 &&
          place_of(&ledger, 8) == 2);
    CHECK(place_of(&ledger, 0) == UINT32_MAX && place_of(&ledger, 9) == UINT32_MAX);
    append(&ledger, R, 1, 1, 4, ERR_OK);
    expect(&ledger, R, "1-1:4 / 1");
    ledger_free(&ledger);
}

TEST(cuts_leave_the_record_that_goes_on)
{
    struct ledger ledger;
    ledger_init(&ledger, 1);
    ledger_segment(&ledger, 1);
    append(&ledger, R, 1, 3, 1, ERR_OK);
    append(&ledger, R, 4, 3, 2, ERR_OK);
    CHECK_EQ(ledger_cut(&ledger, R, 2, 1), ERR_OK);
    expect(&ledger, R, "3-3:1 4-6:2 / 1 4");
    CHECK(place_of(&ledger, 2) == UINT32_MAX && place_of(&ledger, 3) == 0);
    CHECK_EQ(ledger_cut(&ledger, R, 3, 1), ERR_OK);
    expect(&ledger, R, "4-6:2 / 4");
    CHECK_EQ(ledger_region_term(ledger_region(&ledger, R), 3), 1);
    CHECK_EQ(ledger_cut(&ledger, R, 1, 1), ERR_OK); /* an older one says nothing new */
    append(&ledger, R, 3, 1, 2, ERR_DATA_LOSS);     /* what was given up is not replaced */
    CHECK_EQ(ledger_cut(&ledger, R, 6, 2), ERR_OK);
    expect(&ledger, R, "/");
    append(&ledger, R, 7, 1, 2, ERR_OK);
    expect(&ledger, R, "7-7:2 / 7");
    ledger_free(&ledger);
}

/* Read back from the middle of a life: the segment with 1 to 5 is gone, so is what 6 to 9 had replaced. */
TEST(a_log_that_is_read_back_may_begin_anywhere)
{
    struct ledger ledger;
    ledger_init(&ledger, 1);
    ledger.replaying = true;
    ledger_segment(&ledger, 5);
    append(&ledger, R, 9, 2, 1, ERR_OK);
    append(&ledger, R, 11, 1, 1, ERR_OK);
    append(&ledger, R, 13, 1, 1, ERR_DATA_LOSS); /* but once begun it has no hole */
    append(&ledger, R, 6, 2, 2, ERR_OK);         /* replaces all of that, and more */
    CHECK_EQ(ledger_cut(&ledger, R, 5, 1), ERR_OK);
    expect(&ledger, R, "6-7:2 / 6");
    CHECK_EQ(ledger_cut(&ledger, 8, 5, 1), ERR_OK);
    append(&ledger, 8, 9, 1, 1, ERR_OK);
    append(&ledger, 8, 5, 1, 1, ERR_DATA_LOSS);
    CHECK(ledger_region(&ledger, 8)->places[0].first > ledger_region(&ledger, 8)->base + 1);
    ledger_free(&ledger);
}

TEST(a_snapshot_resets_and_again_does_not)
{
    struct ledger ledger;
    ledger_init(&ledger, 1);
    ledger_segment(&ledger, 1);
    append(&ledger, R, 1, 3, 1, ERR_OK);
    CHECK_EQ(ledger_snap(&ledger, R, false, 50, 2, BYTES("c"), BYTES("f")), ERR_OK);
    expect(&ledger, R, "/");
    append(&ledger, R, 51, 2, 2, ERR_OK);
    CHECK_EQ(ledger_snap(&ledger, R, true, 50, 2, BYTES("c"), BYTES("f")), ERR_OK);
    expect(&ledger, R, "51-52:2 / 51");
    CHECK(ledger_region(&ledger, R)->snap != NULL);
    CHECK_EQ(ledger_cut(&ledger, R, 50, 2), ERR_OK);
    CHECK(ledger_region(&ledger, R)->snap == NULL);
    CHECK_EQ(ledger_gone(&ledger, R, 3, 4, 5), ERR_OK);
    expect(&ledger, R, "/");
    CHECK_EQ(ledger_region(&ledger, R)->hs_segment, 0);
    append(&ledger, R, 1, 1, 1, ERR_OK);
    CHECK_EQ(ledger_gone_again(&ledger, R, 3, 4, 5), ERR_OK);
    expect(&ledger, R, "1-1:1 / 1");
    ledger_free(&ledger);
}

/* What 300 regions need before their segment goes, in batches of a few; then nobody needs anything of it. */
TEST(a_segment_is_written_again_in_portions)
{
    struct ledger ledger;
    struct wal_batch batch = { 0 };
    raft_index index;
    size_t at = 0;
    ledger_init(&ledger, 1);
    ledger_segment(&ledger, 1);
    for (uint64_t id = 1; id <= 300; id++)
        append(&ledger, id, 1, 2, 1, ERR_OK);
    CHECK_EQ(ledger_local(&ledger, STORAGE_LOCAL_HLC, BYTES("bound")), ERR_OK);
    CHECK(ledger_holder(&ledger, &at, &index) == NULL); /* the only one */
    CHECK(!ledger_oldest_spent(&ledger));
    ledger_segment(&ledger, 2);
    append(&ledger, 9, 3, 1, 1, ERR_OK);
    for (uint64_t id = 1; id <= 300; id++) {
        struct ledger_region *holder = ledger_holder(&ledger, &at, &index);
        CHECK(holder != NULL && holder->id == id && index == 2);
        holder->released = 1;
        CHECK(ledger_holder(&ledger, &at, &index) == holder); /* one of two */
        holder->released = 2;
    }
    CHECK(ledger_holder(&ledger, &at, &index) == NULL);
    CHECK(ledger_oldest_spent(&ledger));
    unsigned batches = 0, records = 0;
    for (size_t next = 0, from = 0;; from = next, batches++) {
        wal_batch_reset(&batch);
        if (!ledger_forward(&ledger, &next, &batch, 4096))
            break;
        CHECK(batch.length <= 4096);
        records += batch.records;
        CHECK_EQ(ledger_forwarded(&ledger, from, next), ERR_OK);
    }
    CHECK(batches > 5 && batches < 20);
    CHECK_EQ(records,
             300 + 299 + 1); /* CUTs; hard states, but region 9 has a newer one; the local record */
    size_t next = 0;
    wal_batch_reset(&batch);
    CHECK(!ledger_forward(&ledger, &next, &batch, 4096));
    ledger_drop_oldest(&ledger);
    expect(&ledger, 9, "3-3:1 / 3");
    expect(&ledger, 10, "/");
    CHECK_EQ(ledger_region(&ledger, 10)->last, 2);
    CHECK_EQ(ledger_region(&ledger, 10)->hs_segment, 2);
    CHECK_EQ(ledger_region(&ledger, 10)->base_segment, 2);
    CHECK_EQ(ledger.locals[STORAGE_LOCAL_HLC].segment, 2);
    wal_batch_free(&batch);
    ledger_free(&ledger);
}

TEST_MAIN()
