/* The cache of regions: what is learned from whom, and what is not believed. */
#include "base/test.h"
#include "client_int.h"

static struct flotilla *handle(void)
{
    struct flotilla *f;
    struct flotilla_error e;
    struct flotilla_options o = { .size = sizeof o,
                                  .endpoint = "127.0.0.1:1,127.0.0.1:2",
                                  .lazy = true };
    if (flotilla_open(&o, &f, &e) != FLOTILLA_OK)
        fail_msg("open: %s", e.message);
    f->ask_off = true;
    f->ask_again_at = UINT64_MAX;
    return f;
}

/* A kv.Region; keys are of namespace 1, NULL: no border. */
static struct bytes region(uint8_t out[256], uint64_t id, const char *start, const char *end,
                           uint64_t conf_ver, uint64_t version)
{
    uint8_t *at = out, key[64] = { 0, 0, 0, 1 };
    pb_put_u64(&at, 1, id);
    if (start != NULL) {
        memcpy(key + 4, start, strlen(start));
        pb_put_bytes(&at, 2, bytes_from(key, 4 + strlen(start)));
    }
    if (end != NULL) {
        memcpy(key + 4, end, strlen(end));
        pb_put_bytes(&at, 3, bytes_from(key, 4 + strlen(end)));
    } else {
        pb_put_u64(&at, 4, 1);
    }
    pb_put_head(&at, 5, pb_u64_size(1, conf_ver) + pb_u64_size(2, version));
    pb_put_u64(&at, 1, conf_ver);
    pb_put_u64(&at, 2, version);
    return bytes_from(out, (size_t)(at - out));
}

static bool learn(struct flotilla *f, uint64_t id, const char *start, const char *end,
                  uint64_t conf_ver, uint64_t version)
{
    uint8_t out[256];
    return client_regions_learn(f, region(out, id, start, end, conf_ver, version), NULL);
}

/* The id of the region that holds a key, 0: none is known. */
static uint64_t at(struct flotilla *f, uint32_t ns, const char *key)
{
    const struct client_region *r = client_regions_find(f, ns, BYTES(key));
    return r != NULL ? r->epoch.id : 0;
}

TEST(regions_hold_the_keys_between_their_borders)
{
    struct flotilla *f = handle();
    CHECK_EQ(at(f, 1, "a"), 0);
    CHECK(learn(f, 7, "b", "d", 1, 1));
    CHECK(learn(f, 9, "f", NULL, 1, 1));
    CHECK(learn(f, 8, NULL, "b", 1, 1));
    static const struct {
        uint32_t ns;
        const char *key;
        uint64_t id;
    } cases[] = {
        { 0, "zzz", 8 }, { 1, "", 8 },    { 1, "a", 8 },   { 1, "azzzz", 8 },
        { 1, "b", 7 },   { 1, "c", 7 },   { 1, "cz", 7 },  { 1, "d", 0 },
        { 1, "e", 0 },   { 1, "ez", 0 },  { 1, "f", 9 },   { 1, "zz", 9 },
        { 2, "", 9 },    { 255, "a", 9 }, { 256, "a", 9 }, { 1u << 31, "", 9 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        CHECK_EQ(at(f, cases[i].ns, cases[i].key), cases[i].id);
    flotilla_close(f);
}

TEST(regions_are_patched_by_what_is_newer)
{
    struct flotilla *f = handle();
    CHECK(learn(f, 1, NULL, NULL, 1, 1));
    CHECK(!learn(f, 1, NULL, NULL, 1, 1)); /* known */
    CHECK(learn(f, 2, "m", NULL, 1, 2));   /* a split: the right half; the left one is forgotten */
    CHECK_EQ(at(f, 1, "a"), 0);
    CHECK_EQ(at(f, 1, "m"), 2);
    CHECK(learn(f, 1, NULL, "m", 1, 2));
    CHECK_EQ(at(f, 1, "a"), 1);
    CHECK(learn(f, 1, NULL, "m", 2, 2));  /* a peer more */
    CHECK(learn(f, 2, NULL, NULL, 1, 3)); /* a merge */
    CHECK_EQ(at(f, 1, "a"), 2);
    CHECK_EQ(f->region_count, 1);
    flotilla_close(f);
}

/* Trap D4: of one region either part may be behind; of two that overlap the version decides. */
TEST(d04_regions_that_are_older_are_not_believed)
{
    struct flotilla *f = handle();
    CHECK(learn(f, 1, "a", "m", 5, 5));
    CHECK(!learn(f, 1, "a", "z", 5, 4));
    CHECK(!learn(f, 1, "a", "z", 4, 5));
    CHECK(!learn(f, 1, "a", "z", 4, 6)); /* behind in one of them: from two different times */
    CHECK(!learn(f, 1, "a", "z", 6, 4));
    CHECK(!learn(f, 2, "a", "z", 9, 4));
    CHECK(learn(f, 2, "c", "d", 1, 6)); /* a fresh region counts its peers from the beginning */
    CHECK_EQ(at(f, 1, "c"), 2);
    CHECK(learn(f, 3, "x", "y", 1, 1));  /* overlaps nothing */
    CHECK(!learn(f, 4, "b", "z", 1, 5)); /* older than one of several */
    CHECK_EQ(at(f, 1, "x"), 3);
    CHECK_EQ(at(f, 1, "c"), 2);
    flotilla_close(f);
}

TEST(regions_that_make_no_sense_are_not_taken_in)
{
    struct flotilla *f = handle();
    uint8_t out[256], long_key[5000] = { 0 }, big[6000], *to = big;
    CHECK(!learn(f, 0, "a", "b", 1, 1));
    CHECK(!learn(f, 1, "b", "b", 1, 1));
    CHECK(!learn(f, 1, "c", "b", 1, 1));
    struct bytes good = region(out, 1, "a", "b", 1, 1);
    for (size_t n = 0; n < good.len; n++) {
        client_regions_learn(f, bytes_from(out, n), NULL);
        CHECK(f->region_count <= 1);
    }
    CHECK(
        !client_regions_learn(f, bytes_from("\x08\x05", 2), NULL)); /* no end, and not unbounded */
    pb_put_u64(&to, 1, 3);
    pb_put_bytes(&to, 2, bytes_from(long_key, sizeof long_key));
    pb_put_u64(&to, 4, 1);
    CHECK(!client_regions_learn(f, bytes_from(big, (size_t)(to - big)), NULL));
    flotilla_close(f);
}

TEST(regions_after_a_split_are_looked_for_where_the_whole_was_led)
{
    struct flotilla *f = handle();
    uint8_t out[256];
    CHECK(client_regions_learn(f, region(out, 1, NULL, NULL, 1, 1), f->conns[1]));
    CHECK(learn(f, 2, "m", NULL, 1, 2));
    CHECK(client_regions_find(f, 1, BYTES("z"))->leader == f->conns[1]);
    CHECK(!client_regions_learn(f, region(out, 2, "m", NULL, 1, 2),
                                f->conns[0])); /* says who leads */
    CHECK(client_regions_find(f, 1, BYTES("z"))->leader == f->conns[0]);
    CHECK(!client_regions_learn(f, region(out, 2, "m", NULL, 1, 1), f->conns[1])); /* long ago */
    CHECK(client_regions_find(f, 1, BYTES("z"))->leader == f->conns[0]);
    client_regions_leaderless(f, f->conns[0]);
    CHECK(client_regions_find(f, 1, BYTES("z"))->leader == NULL);
    flotilla_close(f);
}

/* Against an array of every border: whatever is learned, lookups find the last that was believed. */
TEST(regions_random_history_agrees_with_a_map_of_every_key)
{
    enum { KEYS = 40 };
    struct prng chance;
    prng_seed(&chance, 11);
    for (int round = 0; round < 50; round++) {
        struct flotilla *f = handle();
        uint64_t map[KEYS] = { 0 }, version = 0;
        for (uint64_t id = 1; id < 60; id++) {
            uint64_t from = prng_below(&chance, KEYS), to = prng_range(&chance, from + 1, KEYS);
            char start[4], end[4];
            snprintf(start, sizeof start, "%02u", (unsigned)from);
            snprintf(end, sizeof end, "%02u", (unsigned)to);
            CHECK(learn(f, id, start, to < KEYS ? end : NULL, 1, ++version));
            for (uint64_t k = 0; k < KEYS; k++)
                for (uint64_t j = from; j < to && map[k] != 0 && map[k] != id; j++)
                    if (map[j] == map[k]) { /* whoever loses a key is forgotten as a whole */
                        uint64_t gone = map[k];
                        for (uint64_t i = 0; i < KEYS; i++)
                            map[i] = map[i] == gone ? 0 : map[i];
                    }
            for (uint64_t j = from; j < to; j++)
                map[j] = id;
            for (unsigned k = 0; k < KEYS; k++) {
                char key[8];
                snprintf(key, sizeof key, "%02u", k);
                CHECK_EQ(at(f, 1, key), map[k]);
                strcat(key, "x");
                CHECK_EQ(at(f, 1, key), map[k]);
            }
        }
        flotilla_close(f);
    }
}

TEST(regions_forget_all_when_there_are_too_many)
{
    struct flotilla *f = handle();
    char start[16], end[16];
    for (unsigned i = 0; i <= CLIENT_REGIONS_MAX; i++) {
        snprintf(start, sizeof start, "%07u", i);
        snprintf(end, sizeof end, "%07u", i + 1);
        CHECK(learn(f, i + 1, start, end, 1, 1));
    }
    CHECK_EQ(f->region_count, 1);
    CHECK_EQ(at(f, 1, start), CLIENT_REGIONS_MAX + 1);
    flotilla_close(f);
}

TEST_MAIN()
