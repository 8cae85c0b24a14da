/* Row 002-40: the store that the catalog needs, against a model that only appends. */
#include "catalog_rig.h"

#include "base/codec.h"
#include "base/crc32c.h"
#include "base/prng.h"

static void put(struct mvcc_mem *m, const char *key, const char *value)
{
    struct bytes v = BYTES(value);
    rig_write(m, BYTES(key), &v);
}

static uint64_t last(const struct mvcc_mem *m)
{
    struct mvcc_mem_stats s;
    mvcc_mem_stats(m, &s);
    return s.last_commit_ts;
}

static void check_get(const struct mvcc_mem *m, const char *key, uint64_t ts, const char *want)
{
    struct bytes value;
    err_t rc = mvcc_mem_get(m, BYTES(key), ts, &value, NULL);
    CHECK_EQ(rc, want == NULL ? ERR_NOT_FOUND : ERR_OK);
    if (want != NULL)
        CHECK_BYTES(value, BYTES(want));
}

TEST(r002_40_a_read_sees_the_newest_version_at_its_time)
{
    struct mvcc_mem *m = mvcc_mem_new();
    put(m, "a", "1");
    put(m, "b", "2");
    put(m, "a", "3");
    rig_write(m, BYTES("a"), NULL);
    put(m, "a", "");
    const char *a[] = { NULL, "1", "1", "3", NULL, "", "" }, *b[] = { NULL, NULL, "2", "2", "2" };
    for (unsigned ts = 0; ts < RIG_COUNT(a); ts++)
        check_get(m, "a", ts, a[ts]);
    for (unsigned ts = 0; ts < RIG_COUNT(b); ts++)
        check_get(m, "b", ts, b[ts]);
    check_get(m, "c", 5, NULL);
    check_get(m, "a", UINT64_MAX, "");
    mvcc_mem_free(m);
}

TEST(r002_40_a_batch_is_whole_or_nothing)
{
    struct mvcc_mem *m = mvcc_mem_new();
    put(m, "a", "old");
    struct mvcc_mutation two[] = { { .key = BYTES("a"), .value = BYTES("x") },
                                   { .key = BYTES("b"), .value = BYTES("y") } };
    struct mvcc_batch b = { .mutations = two, .count = 2, .start_ts = 0, .commit_ts = 9 };
    uint64_t at = 77;
    struct err e = { 0 };
    CHECK_EQ(mvcc_mem_apply(m, &b, &at, &e), ERR_CONFLICT); /* a was written at 1, after 0 */
    CHECK_EQ(at, 77);
    CHECK_EQ(last(m), 1);
    check_get(m, "a", 9, "old");
    check_get(m, "b", 9, NULL);
    b.start_ts = 1;
    CHECK_OK(mvcc_mem_apply(m, &b, &at, &e), e);
    CHECK_EQ(at, 9);
    check_get(m, "a", 8, "old");
    check_get(m, "a", 9, "x");
    check_get(m, "b", 9, "y");
    mvcc_mem_free(m);
}

TEST(r002_40_a_removal_and_a_key_that_never_was_conflict_too)
{
    struct mvcc_mem *m = mvcc_mem_new();
    put(m, "a", "1");
    rig_write(m, BYTES("a"), NULL); /* at 2 */
    struct mvcc_mutation one = { .key = BYTES("a"), .value = BYTES("x") };
    struct mvcc_batch b = { .mutations = &one, .count = 1, .start_ts = 1 };
    CHECK_EQ(mvcc_mem_apply(m, &b, NULL, NULL), ERR_CONFLICT);
    one.key = BYTES("never");
    CHECK_EQ(mvcc_mem_apply(m, &b, NULL, NULL), ERR_OK);
    mvcc_mem_free(m);
}

TEST(mvcc_mem_commits_above_everything)
{
    struct mvcc_mem *m = mvcc_mem_new();
    struct mvcc_mutation one = { .key = BYTES("a"), .value = BYTES("x") };
    struct mvcc_batch b = {
        .mutations = &one, .count = 1, .start_ts = UINT64_MAX, .commit_ts = 50
    };
    uint64_t at = 0;
    CHECK_EQ(mvcc_mem_apply(m, &b, &at, NULL), ERR_OK);
    CHECK_EQ(at, 50);
    b.commit_ts = 7; /* planned before the other one was committed */
    CHECK_EQ(mvcc_mem_apply(m, &b, &at, NULL), ERR_OK);
    CHECK_EQ(at, 51);
    b.commit_ts = UINT64_MAX;
    CHECK_EQ(mvcc_mem_apply(m, &b, &at, NULL), ERR_OK);
    CHECK_EQ(mvcc_mem_apply(m, &b, &at, NULL), ERR_OVERFLOW);
    CHECK(last(m) == UINT64_MAX);
    struct buf image = { 0 }; /* the end of time can be stored */
    struct mvcc_mem *back;
    CHECK_EQ(mvcc_mem_encode(m, &image, NULL), ERR_OK);
    CHECK_EQ(mvcc_mem_decode(buf_bytes(&image), &back, NULL), ERR_OK);
    mvcc_mem_free(back);
    buf_free(&image);
    mvcc_mem_free(m);
}

TEST(mvcc_mem_of_two_mutations_of_one_key_the_later_counts)
{
    struct mvcc_mem *m = mvcc_mem_new();
    struct mvcc_mutation two[] = { { .key = BYTES("a"), .value = BYTES("first") },
                                   { .key = BYTES("a"), .value = BYTES("second") } };
    struct mvcc_batch b = { .mutations = two, .count = 2 };
    CHECK_EQ(mvcc_mem_apply(m, &b, NULL, NULL), ERR_OK);
    check_get(m, "a", 1, "second");
    struct mvcc_mem_stats s;
    mvcc_mem_stats(m, &s);
    CHECK_EQ(s.keys, 1);
    CHECK_EQ(s.versions, 1);
    CHECK_EQ(s.bytes, 1 + 6);
    mvcc_mem_free(m);
}

TEST(mvcc_mem_trim_keeps_what_the_floor_sees)
{
    struct mvcc_mem *m = mvcc_mem_new();
    put(m, "a", "1");               /* 1 */
    put(m, "b", "2");               /* 2 */
    put(m, "a", "3");               /* 3 */
    rig_write(m, BYTES("b"), NULL); /* 4 */
    put(m, "a", "5");               /* 5 */
    mvcc_mem_trim(m, 4);
    check_get(m, "a", 4, "3");
    check_get(m, "a", 5, "5");
    check_get(m, "b", 4, NULL);
    struct bytes value;
    struct err e = { 0 };
    CHECK_EQ(mvcc_mem_get(m, BYTES("a"), 3, &value, &e), ERR_CATALOG_HISTORY_TRIMMED);
    CHECK_CONTAINS(e.msg, "catalog history was trimmed");
    struct mvcc_mem_stats s;
    mvcc_mem_stats(m, &s);
    CHECK_EQ(s.floor, 4);
    CHECK_EQ(s.keys, 1); /* b is gone altogether */
    CHECK_EQ(s.versions, 2);
    mvcc_mem_trim(m, 2); /* the floor never sinks */
    mvcc_mem_stats(m, &s);
    CHECK_EQ(s.floor, 4);
    mvcc_mem_trim(m, 1000); /* the last commit stays readable */
    mvcc_mem_stats(m, &s);
    CHECK_EQ(s.floor, 5);
    check_get(m, "a", 5, "5");
    mvcc_mem_free(m);
}

TEST(mvcc_mem_a_batch_from_below_the_floor_conflicts)
{
    /* The tombstone that it should have met may be gone. */
    struct mvcc_mem *m = mvcc_mem_new();
    put(m, "a", "1");
    rig_write(m, BYTES("a"), NULL);
    put(m, "z", "3");
    mvcc_mem_trim(m, 3);
    struct mvcc_mutation one = { .key = BYTES("a"), .value = BYTES("x") };
    struct mvcc_batch b = { .mutations = &one, .count = 1, .start_ts = 1 };
    CHECK_EQ(mvcc_mem_apply(m, &b, NULL, NULL), ERR_CONFLICT);
    b.start_ts = 3;
    CHECK_EQ(mvcc_mem_apply(m, &b, NULL, NULL), ERR_OK);
    mvcc_mem_free(m);
}

/* ---- Against a model ---- */

enum { KEYS = 40, STEPS = 4000, LOG_MAX = 20000 };

struct model {
    struct written {
        uint64_t ts;
        unsigned key, value;
        bool removed;
    } log[LOG_MAX];
    size_t count;
    uint64_t floor;
};

static const struct written *model_get(const struct model *model, unsigned key, uint64_t ts)
{
    const struct written *best = NULL;
    for (size_t i = 0; i < model->count; i++) {
        const struct written *w = &model->log[i];
        if (w->key == key && w->ts <= ts)
            best = w; /* in the order of writing */
    }
    return best == NULL || best->removed ? NULL : best;
}

static bool model_conflicts(const struct model *model, unsigned key, uint64_t start_ts)
{
    for (size_t i = 0; i < model->count; i++) {
        if (model->log[i].key == key && model->log[i].ts > start_ts)
            return true;
    }
    return start_ts < model->floor;
}

/* Keys of many lengths that begin with each other. */
static struct bytes key_bytes(unsigned key, uint8_t out[8])
{
    memset(out, 'k', 8);
    out[key % 7] = (uint8_t)(key / 7);
    return bytes_from(out, key % 7 + 1);
}

static void model_apply(struct model *model, struct mvcc_mem *m, struct prng *p)
{
    struct mvcc_mutation mutations[4];
    uint8_t keys[4][8], values[4][4];
    struct written writes[4];
    unsigned count = (unsigned)prng_range(p, 1, 4);
    bool conflict = false;
    uint64_t now = last(m), start = prng_chance(p, 3, 4) ? now : prng_below(p, now + 1);
    for (unsigned i = 0; i < count; i++) {
        writes[i] = (struct written){ .key = (unsigned)prng_below(p, KEYS),
                                      .value = (unsigned)prng_below(p, 1000),
                                      .removed = prng_chance(p, 1, 4) };
        store_u32(values[i], writes[i].value);
        mutations[i] = (struct mvcc_mutation){ .remove = writes[i].removed,
                                               .key = key_bytes(writes[i].key, keys[i]),
                                               .value = bytes_from(values[i], 4) };
        conflict = conflict || model_conflicts(model, writes[i].key, start);
    }
    struct mvcc_batch b = { .mutations = mutations,
                            .count = count,
                            .start_ts = start,
                            .commit_ts = now + prng_below(p, 3) };
    uint64_t at;
    err_t rc = mvcc_mem_apply(m, &b, &at, NULL);
    CHECK_EQ(rc, conflict ? ERR_CONFLICT : ERR_OK);
    for (unsigned i = 0; i < count && rc == ERR_OK; i++) {
        CHECK(at > now && at >= b.commit_ts);
        writes[i].ts = at;
        model->log[model->count++] = writes[i];
    }
}

struct seen {
    const struct model *model;
    uint64_t ts;
    unsigned rows;
    uint8_t last[8];
    size_t last_len;
};

static err_t check_row(void *user, struct bytes key, struct bytes value, struct err *e)
{
    struct seen *seen = user;
    uint8_t raw[8];
    (void)e;
    CHECK(seen->rows == 0 || bytes_compare(bytes_from(seen->last, seen->last_len), key) < 0);
    for (unsigned k = 0; k < KEYS; k++) {
        if (!bytes_equal(key_bytes(k, raw), key))
            continue;
        const struct written *w = model_get(seen->model, k, seen->ts);
        CHECK(w != NULL && load_u32(value.data) == w->value);
    }
    memcpy(seen->last, key.data, key.len);
    seen->last_len = key.len;
    seen->rows++;
    return ERR_OK;
}

static void check_all(const struct model *model, struct mvcc_mem *m, uint64_t ts)
{
    struct mvcc door = mvcc_mem_door(m);
    struct seen seen = { .model = model, .ts = ts };
    struct mvcc_range range = { .end = bytes_from("\xff", 1), .limit = SIZE_MAX, .ts = ts };
    unsigned want = 0;
    for (unsigned k = 0; k < KEYS; k++) {
        uint8_t raw[8];
        struct bytes value, key = key_bytes(k, raw);
        const struct written *w = model_get(model, k, ts);
        want += w != NULL;
        err_t rc = mvcc_mem_get(m, key, ts, &value, NULL);
        CHECK_EQ(rc, w == NULL ? ERR_NOT_FOUND : ERR_OK);
        if (w != NULL)
            CHECK_EQ(load_u32(value.data), w->value);
    }
    CHECK_EQ(door.scan_at(door.self, &range, check_row, &seen, NULL), ERR_OK);
    CHECK_EQ(seen.rows, want);
}

static struct buf image_of(const struct mvcc_mem *m)
{
    struct buf image = { 0 };
    CHECK_EQ(mvcc_mem_encode(m, &image, NULL), ERR_OK);
    return image;
}

TEST(r002_40_against_a_model_with_trims_and_images)
{
    struct model *model = calloc(1, sizeof *model);
    struct mvcc_mem *m = mvcc_mem_new();
    struct prng p;
    prng_seed(&p, 40);
    for (unsigned step = 0; step < STEPS; step++) {
        model_apply(model, m, &p);
        if (step % 100 == 99)
            check_all(model, m, prng_range(&p, model->floor, last(m)));
        if (step % 1000 == 500) {
            model->floor = prng_range(&p, model->floor, last(m));
            mvcc_mem_trim(m, model->floor);
        }
        if (step % 1000 == 900) { /* goes on as its own copy */
            struct buf image = image_of(m);
            struct mvcc_mem_stats before, after;
            mvcc_mem_stats(m, &before);
            mvcc_mem_free(m);
            CHECK_EQ(mvcc_mem_decode(buf_bytes(&image), &m, NULL), ERR_OK);
            mvcc_mem_stats(m, &after);
            CHECK(memcmp(&before, &after, sizeof before) == 0);
            buf_free(&image);
        }
    }
    CHECK(model->count > STEPS);
    mvcc_mem_free(m);
    free(model);
}

TEST(r002_40_scans_have_pages_bounds_and_stop_at_an_error)
{
    struct rig *r = rig_new();
    char key[8];
    for (unsigned i = 0; i < 10; i++) {
        snprintf(key, sizeof key, "k%u", i);
        put(r->mem, key, "v");
    }
    struct model none = { 0 };
    unsigned before = r->rows;
    struct seen seen = { .model = &none, .ts = 99 };
    struct mvcc_range range = { .start = BYTES("k2"), .end = BYTES("k9"), .limit = 4, .ts = 99 };
    CHECK_EQ(r->door.scan_at(r, &range, check_row, &seen, NULL), ERR_OK);
    CHECK_EQ(seen.rows, 4);
    CHECK_BYTES(bytes_from(seen.last, seen.last_len), BYTES("k5"));
    range.start = bytes_from("k5\0", 3);
    seen.rows = 0;
    CHECK_EQ(r->door.scan_at(r, &range, check_row, &seen, NULL), ERR_OK);
    CHECK_EQ(seen.rows, 3); /* k6, k7, k8 */
    CHECK_EQ(r->rows - before, 7);
    range.limit = 0;
    CHECK_EQ(r->door.scan_at(r, &range, check_row, &seen, NULL), ERR_OK);
    CHECK_EQ(r->rows - before, 7);
    rig_free(r);
}

/* ---- As the state of a log ---- */

static void check_replay(struct bytes entry, struct mvcc_mem *replica)
{
    struct arena arena;
    struct mvcc_batch b;
    struct err e = { 0 };
    arena_init(&arena, SIZE_MAX, NULL, 0);
    CHECK_OK(mvcc_batch_decode(entry, &arena, &b, &e), e);
    (void)!mvcc_mem_apply(replica, &b, NULL, NULL); /* a conflict too is the same everywhere */
    arena_free(&arena);
}

TEST(r002_40_a_log_of_batches_gives_the_same_bytes_everywhere)
{
    struct mvcc_mem *a = mvcc_mem_new(), *b = mvcc_mem_new();
    struct prng p;
    prng_seed(&p, 41);
    for (unsigned i = 0; i < 2000; i++) {
        uint8_t key[2] = { 'k', (uint8_t)prng_below(&p, 50) }, value[3];
        prng_fill(&p, value, sizeof value);
        struct mvcc_mutation m = { .remove = prng_chance(&p, 1, 5),
                                   .key = bytes_from(key, 2),
                                   .value = bytes_from(value, prng_below(&p, 4)) };
        if (m.remove)
            m.value = (struct bytes){ 0 };
        struct mvcc_batch batch = {
            .mutations = &m, .count = 1, .start_ts = prng_below(&p, last(a) + 1), .commit_ts = i
        };
        struct buf entry = { 0 };
        CHECK_EQ(mvcc_batch_encode(&batch, &entry, NULL), ERR_OK);
        check_replay(buf_bytes(&entry), a);
        check_replay(buf_bytes(&entry), b);
        buf_free(&entry);
        if (i % 300 == 299) {
            mvcc_mem_trim(a, last(a) / 2);
            mvcc_mem_trim(b, last(b) / 2);
        }
        if (i == 1000) { /* one of them is replaced by its snapshot */
            struct buf image = image_of(b);
            mvcc_mem_free(b);
            CHECK_EQ(mvcc_mem_decode(buf_bytes(&image), &b, NULL), ERR_OK);
            buf_free(&image);
        }
    }
    struct buf left = image_of(a), right = image_of(b);
    CHECK(left.len > 500);
    CHECK_BYTES(buf_bytes(&left), buf_bytes(&right));
    buf_free(&left);
    buf_free(&right);
    mvcc_mem_free(a);
    mvcc_mem_free(b);
}

TEST(mvcc_batch_golden_and_every_truncation)
{
    struct mvcc_mutation two[] = { { .key = BYTES("a"), .value = BYTES("xy") },
                                   { .remove = true, .key = BYTES("b") } };
    struct mvcc_batch b = { .mutations = two, .count = 2, .start_ts = 3, .commit_ts = 4 },
                      back = { 0 };
    struct buf have = { 0 }, want = test_hex("01"
                                             "0300000000000000"
                                             "0400000000000000"
                                             "02000000"
                                             "00"
                                             "01000000"
                                             "61"
                                             "02000000"
                                             "7879"
                                             "01"
                                             "01000000"
                                             "62");
    struct err e = { 0 };
    struct arena arena;
    arena_init(&arena, SIZE_MAX, NULL, 0);
    CHECK_OK(mvcc_batch_encode(&b, &have, &e), e);
    CHECK_BYTES(buf_bytes(&have), buf_bytes(&want));
    for (size_t n = 0; n < want.len; n++)
        CHECK_EQ(mvcc_batch_decode(bytes_from(want.data, n), &arena, &back, &e), ERR_CORRUPTION);
    CHECK(back.mutations == NULL);
    CHECK_OK(mvcc_batch_decode(buf_bytes(&want), &arena, &back, &e), e);
    CHECK_EQ(back.count, 2);
    CHECK_EQ(back.start_ts, 3);
    CHECK_EQ(back.commit_ts, 4);
    CHECK_BYTES(back.mutations[0].value, BYTES("xy"));
    CHECK(back.mutations[1].remove && bytes_equal(back.mutations[1].key, BYTES("b")));
    want.data[17] = 0xff,
    want.data[20] = 0xff; /* a count that the bytes cannot hold: nothing is allocated for it */
    struct arena small;
    arena_init(&small, 0, NULL, 0);
    CHECK_EQ(mvcc_batch_decode(buf_bytes(&want), &small, &back, &e), ERR_CORRUPTION);
    CHECK(!small.refused);
    buf_free(&have);
    buf_free(&want);
    arena_free(&arena);
}

TEST(mvcc_mem_image_golden)
{
    struct mvcc_mem *m = mvcc_mem_new();
    put(m, "a", "x");
    rig_write(m, BYTES("a"), NULL);
    put(m, "b", "");
    struct buf have = image_of(m);
    struct buf want = test_hex("4d564343"
                               "01"
                               "0300000000000000"
                               "0000000000000000"
                               "0200000000000000"
                               "01000000"
                               "61"
                               "02000000"
                               "0200000000000000"
                               "01"
                               "0100000000000000"
                               "00"
                               "01000000"
                               "78"
                               "01000000"
                               "62"
                               "01000000"
                               "0300000000000000"
                               "00"
                               "00000000");
    uint8_t crc[4];
    store_u32(crc, crc32c(0, buf_bytes(&want)));
    CHECK_EQ(buf_append(&want, bytes_from(crc, 4)), ERR_OK);
    CHECK_BYTES(buf_bytes(&have), buf_bytes(&want));
    buf_free(&have);
    buf_free(&want);
    mvcc_mem_free(m);
}

TEST(mvcc_mem_images_that_are_damaged_are_refused)
{
    struct mvcc_mem *m = mvcc_mem_new(), *back = NULL;
    put(m, "a", "x");
    put(m, "b", "y");
    put(m, "a", "z");
    struct buf image = image_of(m);
    for (size_t n = 0; n < image.len; n++)
        CHECK_EQ(mvcc_mem_decode(bytes_from(image.data, n), &back, NULL), ERR_CORRUPTION);
    unsigned refused = 0;
    for (size_t at = 0; at < image.len - 4; at++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            struct buf copy = { 0 };
            CHECK_EQ(buf_append(&copy, buf_bytes(&image)), ERR_OK);
            copy.data[at] ^= (uint8_t)(1u << bit);
            CHECK_EQ(mvcc_mem_decode(buf_bytes(&copy), &back, NULL), ERR_CORRUPTION);
            /* The same with a checksum that is right: refused, or what it decodes to is what it
             * encodes to. */
            store_u32(copy.data + copy.len - 4, crc32c(0, bytes_from(copy.data, copy.len - 4)));
            if (mvcc_mem_decode(buf_bytes(&copy), &back, NULL) == ERR_OK) {
                struct buf again = image_of(back);
                CHECK_BYTES(buf_bytes(&again), buf_bytes(&copy));
                buf_free(&again);
                mvcc_mem_free(back);
            } else {
                refused++;
            }
            buf_free(&copy);
        }
    }
    CHECK(refused > 300);
    buf_free(&image);
    mvcc_mem_free(m);
}

TEST_MAIN()
