#include "base/hlc.h"
#include "base/prng.h"
#include "base/test.h"

#include <jansson.h>
#include <pthread.h>

static struct hlc make(uint32_t max_offset_ms)
{
    struct hlc h;
    hlc_init(&h, &(struct hlc_config){ .node_id = 1, .max_offset_ms = max_offset_ms });
    return h;
}

static uint64_t now(struct hlc *h, uint64_t wall_ms)
{
    uint64_t stamp = 0;
    CHECK_EQ(hlc_now(h, wall_ms, &stamp), ERR_OK);
    return stamp;
}

/* ---- The shared vectors ---------------------------------------------------------------------- */

static json_t *vectors(void)
{
    char path[600];
    snprintf(path, sizeof path, "%s/vectors/hlc.json", test_shared());
    json_t *root = json_load_file(path, 0, NULL);
    CHECK(root != NULL);
    return root;
}

static int64_t number(const json_t *row, const char *name)
{
    json_t *v = json_object_get(row, name);
    CHECK(json_is_integer(v));
    return json_integer_value(v);
}

static bool flag(const json_t *row, const char *name)
{
    json_t *v = json_object_get(row, name);
    CHECK(json_is_boolean(v));
    return json_is_true(v);
}

static uint64_t pair(const json_t *v)
{
    CHECK_EQ(json_array_size(v), 2);
    return hlc_pack((uint64_t)json_integer_value(json_array_get(v, 0)),
                    (uint32_t)json_integer_value(json_array_get(v, 1)));
}

TEST(hlc_vectors_sequences)
{
    json_t *root = vectors(), *sequence, *step;
    size_t i, k, steps = 0;
    json_array_foreach(json_object_get(root, "sequences"), i, sequence)
    {
        struct hlc h = make(0);
        json_array_foreach(json_object_get(sequence, "steps"), k, step)
        {
            uint64_t have;
            if (strcmp(json_string_value(json_object_get(step, "do")), "now") == 0) {
                have = now(&h, (uint64_t)number(step, "phys"));
            } else {
                CHECK_EQ(hlc_observe(&h, 0, pair(json_object_get(step, "remote"))), ERR_OK);
                have = hlc_last(&h);
            }
            CHECK_EQ(have, pair(json_object_get(step, "expect")));
            steps++;
        }
    }
    CHECK_EQ(i, 6);
    CHECK(steps >= 30);
    json_decref(root);
}

TEST(hlc_vectors_max_offset)
{
    json_t *root = vectors(), *row;
    size_t i;
    json_array_foreach(json_object_get(json_object_get(root, "max_offset"), "cases"), i, row)
    {
        uint64_t wall = 5000000 + (uint64_t)number(row, "phys_ms"), stamp = 0;
        struct hlc h = make((uint32_t)number(row, "max_offset_ms"));
        uint64_t before = now(&h, wall - 2000000);
        uint64_t remote = hlc_pack(wall + (uint64_t)number(row, "remote_ahead_ms"), 3);
        err_t want = flag(row, "accept") ? ERR_OK : ERR_HLC_REFUSED;
        CHECK_EQ(hlc_observe(&h, wall, remote), want);
        if (want != ERR_OK)
            CHECK_EQ(hlc_last(&h), before); /* a refused stamp moves nothing */
        CHECK_EQ(hlc_receive(&h, wall, remote, &stamp), want);
        if (want == ERR_OK)
            CHECK(stamp > remote);
        else
            CHECK(hlc_last(&h) == before && stamp == 0);
    }
    CHECK_EQ(i, 10);
    json_decref(root);
}

TEST(hlc_vectors_jumps)
{
    json_t *root = vectors(), *row;
    size_t i;
    int64_t jump;
    json_array_foreach(json_object_get(json_object_get(root, "forward_jump"), "cases"), i, row)
    {
        struct hlc_jump j = { 0 };
        uint32_t max = (uint32_t)number(row, "max_offset_ms");
        CHECK_EQ(hlc_jump_check(&j, 10000, 70, max, &jump), HLC_JUMP_NONE); /* nothing to compare */
        CHECK_EQ(hlc_jump_check(&j, 70000, 60070, max, &jump), HLC_JUMP_NONE); /* an idle minute */
        enum hlc_jump_kind kind =
            hlc_jump_check(&j, (uint64_t)(70100 + number(row, "jump_ms")), 60170, max, &jump);
        CHECK_EQ(jump, number(row, "jump_ms"));
        CHECK_EQ(kind == HLC_JUMP_FORWARD, flag(row, "fatal"));
    }
    CHECK_EQ(i, 7);
    json_array_foreach(json_object_get(json_object_get(root, "forward_jump"), "live_node"), i, row)
    {
        struct hlc_jump j = { 0 };
        uint32_t max = flag(row, "check") ? 500 : 0;
        (void)hlc_jump_check(&j, 10000, 0, max, &jump);
        enum hlc_jump_kind kind =
            hlc_jump_check(&j, (uint64_t)(10000 + number(row, "jump_ms")), 0, max, &jump);
        CHECK_EQ(kind != HLC_JUMP_FORWARD, flag(row, "alive"));
    }
    json_array_foreach(json_object_get(json_object_get(root, "backward_jump"), "cases"), i, row)
    {
        struct hlc_jump j = { 0 };
        uint32_t max = (uint32_t)number(row, "max_offset_ns");
        (void)hlc_jump_check(&j, 10000, 0, max, &jump);
        enum hlc_jump_kind kind =
            hlc_jump_check(&j, (uint64_t)(10000 - number(row, "back_ns")), 0, max, &jump);
        CHECK_EQ(kind == HLC_JUMP_BACKWARD, flag(row, "counted"));
    }
    CHECK_EQ(i, 2);
    json_decref(root);
}

TEST(hlc_vectors_bound)
{
    json_t *root = vectors(), *row;
    size_t i;
    json_array_foreach(json_object_get(json_object_get(root, "wall_upper_bound"), "cases"), i, row)
    {
        uint64_t bound = (uint64_t)number(row, "bound"), stamp;
        struct hlc h;
        hlc_init(&h, &(struct hlc_config){ .bound_ahead_ms = bound == 0 ? 0 : 10 });
        hlc_bound_saved(&h, bound);
        CHECK_EQ(hlc_now(&h, (uint64_t)number(row, "wall"), &stamp),
                 flag(row, "fatal") ? ERR_UNAVAILABLE : ERR_OK);
    }
    CHECK_EQ(i, 4);
    json_decref(root);
}

/* ---- The rules ------------------------------------------------------------------------------- */

/* Decision 3: all four cases, and the one in which last, remote and wall agree. */
TEST(hlc_receive_is_the_papers_rule)
{
    static const struct {
        uint64_t last_p, last_l, remote_p, remote_l, wall, want_p, want_l;
    } rows[] = {
        { 100, 2, 90, 9, 80, 100, 3 },   /* the last one is ahead */
        { 100, 2, 110, 9, 80, 110, 10 }, /* the remote one is ahead */
        { 100, 2, 100, 7, 80, 100, 8 },  /* both, remote.logical > last.logical */
        { 100, 7, 100, 2, 80, 100, 8 },  /* both, the other way */
        { 100, 2, 110, 9, 120, 120, 0 }, /* the wall clock is ahead */
        { 100, 2, 100, 7, 100, 100, 8 }, /* all three agree (trap D41) */
        { 100, 2, 90, 7, 100, 100, 3 },  { 90, 2, 100, 7, 100, 100, 8 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct hlc h = make(500);
        uint64_t stamp;
        CHECK_EQ(
            hlc_observe(&h, rows[i].last_p, hlc_pack(rows[i].last_p, (uint32_t)rows[i].last_l)),
            ERR_OK);
        CHECK_EQ(hlc_receive(&h, rows[i].wall,
                             hlc_pack(rows[i].remote_p, (uint32_t)rows[i].remote_l), &stamp),
                 ERR_OK);
        CHECK_EQ(stamp, hlc_pack(rows[i].want_p, (uint32_t)rows[i].want_l));
        CHECK_EQ(hlc_last(&h), stamp);
    }
}

TEST(hlc_order_is_physical_logical_node)
{
    static const struct hlc_stamp sorted[] = {
        { 1, 9, 9 }, { 2, 0, 9 }, { 2, 1, 0 }, { 2, 1, 7 }, { 3, 0, 0 }
    };
    for (int i = 0; i < 5; i++)
        for (int k = 0; k < 5; k++)
            CHECK_EQ((hlc_compare(sorted[i], sorted[k]) > 0) -
                         (hlc_compare(sorted[i], sorted[k]) < 0),
                     (i > k) - (i < k));
    struct hlc_stamp s = hlc_unpack(hlc_pack(HLC_PHYSICAL_MAX, 5), 3);
    CHECK(s.physical == HLC_PHYSICAL_MAX && s.logical == 5 && s.node_id == 3);
}

/* Row 004-09: set back an hour under load, then run on for longer than one millisecond's stamps. */
TEST(hlc_grows_when_the_wall_clock_is_set_back_an_hour)
{
    struct hlc h = make(500);
    uint64_t hour = 3600 * 1000, wall = 10 * hour, last = now(&h, wall);
    for (int i = 0; i < 200000; i++) {
        uint64_t next = now(&h, wall - hour + (uint64_t)i / 1000);
        CHECK(next > last);
        last = next;
    }
    CHECK(hlc_physical(last) < wall + 10); /* it carried, and did not run away */
    CHECK_EQ(hlc_physical(now(&h, wall + 100)), wall + 100);
}

TEST(hlc_logical_overflow_carries_then_refuses_and_never_wraps)
{
    struct hlc h = make(2);
    uint64_t last = now(&h, 100), next, made = 1;
    err_t rc;
    while ((rc = hlc_now(&h, 100, &next)) == ERR_OK) {
        CHECK(next > last);
        last = next;
        made++;
    }
    CHECK_EQ(rc, ERR_OVERFLOW);
    CHECK_EQ(made, 3 * 65536); /* milliseconds 100, 101 and 102 = wall + max_offset */
    CHECK_EQ(last, hlc_pack(102, HLC_LOGICAL_MAX));
    CHECK_EQ(hlc_last(&h), last);
    CHECK_EQ(hlc_receive(&h, 100, hlc_pack(101, 0), &next), ERR_OVERFLOW);
    CHECK_EQ(now(&h, 101), hlc_pack(103, 0)); /* the wall clock moved: there is room again */
    CHECK_EQ(hlc_observe(&h, 101, hlc_pack(103, HLC_LOGICAL_MAX)), ERR_OK);
    CHECK_EQ(hlc_now(&h, 101, &next), ERR_OVERFLOW);
    CHECK_EQ(hlc_now(&h, HLC_PHYSICAL_MAX + 1, &next), ERR_OVERFLOW);
    struct hlc end = make(0);
    CHECK_EQ(hlc_observe(&end, 0, UINT64_MAX), ERR_OK);
    CHECK_EQ(hlc_now(&end, 5, &next), ERR_OVERFLOW);
}

/* Trap D43, forward and then back: the far stamp is refused, and later our own are not. */
TEST(hlc_refuses_a_far_future_and_takes_its_own_back)
{
    struct hlc h = make(500);
    uint64_t mine = now(&h, 1000000), next;
    CHECK_EQ(hlc_receive(&h, 1000000, hlc_pack(1000501, 0), &next), ERR_HLC_REFUSED);
    CHECK_EQ(hlc_last(&h), mine);
    CHECK_EQ(hlc_receive(&h, 1000000, hlc_pack(1000500, 9), &next), ERR_OK);
    CHECK_EQ(next, hlc_pack(1000500, 10));
    CHECK_EQ(hlc_receive(&h, 1000, next, &next),
             ERR_OK); /* set back: what we have reached passes */
    CHECK_EQ(next, hlc_pack(1000500, 11));
    CHECK_EQ(hlc_observe(&h, 1000, next + 1), ERR_HLC_REFUSED);
}

TEST(hlc_bound_is_first_synchronous_then_ahead_of_use)
{
    struct hlc h;
    uint64_t stamp, wall = 1000;
    hlc_init(&h, &(struct hlc_config){ .max_offset_ms = 500, .bound_ahead_ms = 100 });
    CHECK_EQ(hlc_now(&h, wall, &stamp), ERR_UNAVAILABLE);
    uint64_t bound = hlc_bound_wanted(&h, wall);
    CHECK(bound > wall + 100 - 1);
    CHECK_EQ(hlc_now(&h, wall, &stamp), ERR_UNAVAILABLE); /* wanted is not saved */
    hlc_bound_saved(&h, bound);
    CHECK_EQ(hlc_bound_wanted(&h, wall), 0);
    unsigned saves = 0;
    for (; wall < 3000; wall++) {
        CHECK_EQ(hlc_now(&h, wall, &stamp), ERR_OK);
        uint64_t wanted = hlc_bound_wanted(&h, wall);
        if (wanted != 0) {
            CHECK(wanted > bound);
            hlc_bound_saved(&h, bound = wanted);
            saves++;
        }
    }
    CHECK(saves >= 20 && saves <= 45);
    CHECK_EQ(hlc_now(&h, bound, &stamp), ERR_OK);
    CHECK_EQ(hlc_now(&h, bound + 1, &stamp), ERR_UNAVAILABLE);
    hlc_bound_saved(&h, bound - 50); /* late news of an old save changes nothing */
    CHECK_EQ(hlc_now(&h, bound + 1, &stamp), ERR_UNAVAILABLE);
}

/* Runs, crashes and restarts, the wall clock jumping both ways; of each run only what it saved is
 * left. Saves fail now and then. */
TEST(hlc_grows_across_restarts_with_any_clock)
{
    struct prng p;
    prng_seed(&p, 4);
    uint64_t saved = 0, last = 0, wall = 1u << 30;
    unsigned stamps = 0, restarts = 0;
    for (int run = 0; run < 300; run++, restarts++) {
        struct hlc h;
        hlc_init(&h, &(struct hlc_config){
                         .max_offset_ms = 500, .bound_ahead_ms = 200, .saved_bound_ms = saved });
        wall += prng_below(&p, 8000);
        wall -= prng_below(&p, 8000);
        for (int i = 0; i < 100; i++) {
            uint64_t wanted = hlc_bound_wanted(&h, wall);
            if (wanted != 0 && prng_chance(&p, 9, 10))
                hlc_bound_saved(&h, saved = wanted);
            uint64_t stamp;
            err_t rc = hlc_now(&h, wall, &stamp);
            CHECK(rc == ERR_OK || rc == ERR_UNAVAILABLE);
            if (rc == ERR_OK) {
                CHECK(stamp > last);
                CHECK(hlc_physical(stamp) <= saved);
                last = stamp;
                stamps++;
            }
            wall += prng_below(&p, 50);
        }
    }
    CHECK(stamps > 20000 && restarts == 300);
}

TEST(hlc_ahead_and_uncertainty)
{
    struct hlc h = make(500);
    (void)now(&h, 10000);
    CHECK_EQ(hlc_ahead(&h, 10000), 0);
    CHECK_EQ(hlc_ahead(&h, 9000), 1000);
    struct hlc_interval i = hlc_uncertainty(&h, 9000);
    CHECK(i.earliest_ms == 8500 && i.latest_ms == 10500);
    CHECK_EQ(hlc_uncertainty(&h, 100).earliest_ms, 0);
}

TEST(hlc_text_round_trips_and_sorts)
{
    static const uint64_t stamps[] = {
        0, 1, 65535, 65536, 1767323045678ull << 16 | 42, UINT64_MAX
    };
    char before[HLC_TEXT_MAX] = "";
    for (size_t i = 0; i < sizeof stamps / sizeof *stamps; i++) {
        char text[HLC_TEXT_MAX];
        uint64_t back = 7;
        hlc_print(stamps[i], text);
        CHECK(strcmp(text, before) > 0);
        CHECK_EQ(hlc_parse(text, &back), ERR_OK);
        CHECK_EQ(back, stamps[i]);
        memcpy(before, text, sizeof text);
    }
    CHECK_STR(before, "281474976710655.65535");
    static const char *const bad[] = { "",
                                       "1.2",
                                       "001767323045678.0004",
                                       "001767323045678.000421",
                                       "001767323045678.65536",
                                       "281474976710656.00000",
                                       "00176732304567x.00042",
                                       "001767323045678,00042" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        uint64_t v;
        CHECK_EQ(hlc_parse(bad[i], &v), ERR_INVALID_ARGUMENT);
    }
}

/* ---- Row 004-60 ------------------------------------------------------------------------------ */

enum { THREADS = 8, EACH = 20000 };

struct writer {
    struct hlc *h;
    uint64_t *stamps;
    uint64_t seed;
};

static void *write_stamps(void *user)
{
    struct writer *w = user;
    struct prng p;
    prng_seed(&p, w->seed);
    for (size_t i = 0; i < EACH; i++)
        while (hlc_now(w->h, 1000000 + prng_below(&p, 400), &w->stamps[i]) != ERR_OK)
            continue;
    return NULL;
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

TEST(hlc_monotonic_under_concurrent_writes)
{
    struct hlc h = make(500);
    uint64_t *all = calloc(THREADS * EACH, sizeof *all);
    struct writer w[THREADS];
    pthread_t t[THREADS];
    for (size_t i = 0; i < THREADS; i++) {
        w[i] = (struct writer){ &h, all + i * EACH, i };
        CHECK_EQ(pthread_create(&t[i], NULL, write_stamps, &w[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(t[i], NULL);
    for (size_t i = 0; i < THREADS; i++)
        for (size_t k = 1; k < EACH; k++)
            CHECK(w[i].stamps[k] > w[i].stamps[k - 1]);
    qsort(all, THREADS * EACH, sizeof *all, by_value);
    for (size_t i = 1; i < THREADS * EACH; i++)
        CHECK(all[i] > all[i - 1]);
    CHECK_EQ(all[THREADS * EACH - 1], hlc_last(&h));
    free(all);
}

/* A, then B that has seen A, at nodes whose clocks differ by up to 400 ms: B's stamp is greater. */
TEST(hlc_causality_a_then_b_superseding_a)
{
    struct prng p;
    prng_seed(&p, 9);
    struct hlc node[4];
    uint64_t skew[4], last[4] = { 0 }, a = 0, wall = 1000000;
    for (size_t i = 0; i < 4; i++) {
        node[i] = make(500);
        skew[i] = prng_below(&p, 400);
    }
    uint64_t *seen = calloc(40000, sizeof *seen);
    for (size_t n = 0; n < 40000; n++, wall += prng_below(&p, 2)) {
        size_t at = prng_below(&p, 4);
        uint64_t b;
        CHECK_EQ(hlc_receive(&node[at], wall + skew[at], a, &b), ERR_OK);
        CHECK(b > a && b > last[at]);
        a = last[at] = b;
        seen[n] = b;
        CHECK(hlc_physical(b) <= wall + 400 + 1);
    }
    for (size_t n = 1; n < 40000; n++)
        CHECK(seen[n] > seen[n - 1]);
    free(seen);
}

TEST_MAIN()
