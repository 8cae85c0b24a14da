#include "log.h"

#include <stdlib.h>

#include "base/prng.h"
#include "base/test.h"

enum { INDEX_MAX = 600 };

/* The naive model: a term and a kind for every index. */
struct model {
    raft_term term[INDEX_MAX];
    bool conf[INDEX_MAX];
    raft_index base, last;
};

static void *mem(void *ctx, void *old, size_t size)
{
    (void)ctx;
    if (size == 0) {
        free(old);
        return NULL;
    }
    return realloc(old, size);
}

static raft_index model_conflict(const struct model *m, raft_index index, raft_term term,
                                 raft_term *ret)
{
    *ret = 0;
    if (index > m->last || index < m->base)
        return index;
    for (;; index--) {
        if (m->term[index] <= term) {
            *ret = m->term[index];
            return index;
        }
        if (index == m->base)
            return index > 0 ? index - 1 : 0;
    }
}

static void compare(const struct raft_log *l, const struct model *m, struct prng *p)
{
    CHECK_EQ(raft_log_last(l), m->last);
    CHECK_EQ(raft_log_last_term(l), m->term[m->last]);
    for (raft_index i = 0; i <= m->last + 2; i++) {
        raft_term have = 0, hint = 0, want_hint = 0, term = prng_below(p, m->term[m->last] + 2);
        bool known = i >= m->base && i <= m->last;
        CHECK_EQ(raft_log_term(l, i, &have), known);
        CHECK(!known || have == m->term[i]);
        CHECK_EQ(raft_log_match(l, i, term), known && m->term[i] == term);
        CHECK_EQ(raft_log_conflict(l, i, term, &hint), model_conflict(m, i, term, &want_hint));
        CHECK_EQ(hint, want_hint);
        raft_index lo = prng_below(p, i + 1);
        bool conf = false;
        for (raft_index k = lo < m->base ? m->base + 1 : lo + 1; k <= i && k <= m->last; k++)
            conf = conf || m->conf[k];
        CHECK_EQ(raft_log_has_conf(l, lo, i), conf);
    }
}

TEST(raft_log_is_its_naive_model)
{
    for (uint64_t seed = 0; seed < 60; seed++) {
        struct prng p;
        struct raft_log l = { .mem = mem };
        struct model *m = calloc(1, sizeof *m);
        raft_term term = 1;
        prng_seed(&p, seed);
        for (unsigned step = 0; step < 150 && m->last + 20 < INDEX_MAX; step++) {
            switch (prng_below(&p, 5)) {
            case 0:
                term += prng_below(&p, 3);
                break;
            case 1: /* cut a tail that is not committed, as a follower does */
                if (m->last > l.commit) {
                    raft_index at = prng_range(&p, l.commit + 1, m->last);
                    raft_log_truncate(&l, at);
                    m->last = at - 1;
                    CHECK(l.stable <= m->last && l.staged <= m->last);
                    term++;
                }
                break;
            case 2:
                l.commit = prng_range(&p, l.commit, m->last);
                l.applied = l.applying = l.commit;
                break;
            case 3:
                if (l.applied > m->base && prng_chance(&p, 1, 3)) {
                    m->base = prng_range(&p, m->base, l.applied);
                    raft_log_compact(&l, m->base);
                }
                break;
            default:
                for (uint64_t n = prng_below(&p, 12); n > 0; n--) {
                    bool conf = prng_chance(&p, 1, 8);
                    CHECK_EQ(raft_log_reserve(&l, 1), ERR_OK);
                    raft_log_push(&l, term, conf);
                    m->term[++m->last] = term;
                    m->conf[m->last] = conf;
                }
            }
            compare(&l, m, &p);
        }
        raft_log_free(&l);
        free(m);
    }
}

TEST(raft_log_stable_ignores_an_entry_that_was_replaced)
{
    struct raft_log l = { .mem = mem };
    CHECK_EQ(raft_log_reserve(&l, 4), ERR_OK);
    raft_log_push(&l, 1, false);
    raft_log_push(&l, 1, false);
    l.staged = 2; /* being written */
    raft_log_truncate(&l, 2);
    raft_log_push(&l, 3, false);
    raft_log_stable_to(&l, 2, 1); /* the write of 1/2 ends: it is not our 3/2 (ABA) */
    CHECK_EQ(l.stable, 0);
    raft_log_stable_to(&l, 2, 3);
    CHECK_EQ(l.stable, 2);
    raft_log_free(&l);
}

TEST(raft_log_votes_compare_terms_before_lengths)
{
    struct raft_log l = { .mem = mem };
    CHECK_EQ(raft_log_reserve(&l, 4), ERR_OK);
    raft_log_push(&l, 2, false);
    raft_log_push(&l, 2, false);
    CHECK(raft_log_up_to_date(&l, 1, 3));
    CHECK(raft_log_up_to_date(&l, 2, 2));
    CHECK(!raft_log_up_to_date(&l, 1, 2));
    CHECK(!raft_log_up_to_date(&l, 9, 1));
    raft_log_free(&l);
}

TEST_MAIN()
