#include "raft/log.h"

#include "base/prng.h"
#include "base/test.h"

/* The naive model: a term for every index. */
enum { INDEX_MAX = 4096, RUNS = 64 };

struct model {
    raft_term term[INDEX_MAX];
    raft_index prev, last, stable, commit, applied;
};

static bool model_term(const struct model *m, raft_index i, raft_term *ret)
{
    if (i < m->prev || i > m->last)
        return false;
    *ret = m->term[i];
    return true;
}

static raft_index model_hint(const struct model *m, raft_index index, raft_term term,
                             raft_term *ret)
{
    if (index > m->last)
        index = m->last;
    for (raft_index i = index; i >= m->prev; i--) {
        if (m->term[i] <= term) {
            *ret = m->term[i];
            return i;
        }
        if (i == 0)
            break;
    }
    *ret = 0;
    return index < m->prev ? index : m->prev;
}

static void compare(const struct raft_log *l, const struct model *m, struct prng *p)
{
    raft_log_check(l);
    CHECK_EQ(raft_log_first(l), m->prev + 1);
    CHECK_EQ(l->last, m->last);
    CHECK_EQ(l->stable, m->stable);
    CHECK_EQ(l->commit, m->commit);
    CHECK_EQ(l->applied, m->applied);
    CHECK_EQ(raft_log_last_term(l), m->term[m->last]);
    for (raft_index i = m->prev > 2 ? m->prev - 2 : 0; i <= m->last + 2; i++) {
        raft_term have = 0, want = 0;
        CHECK_EQ(raft_log_term(l, i, &have), model_term(m, i, &want));
        CHECK_EQ(have, want);
        raft_term term = prng_below(p, m->term[m->last] + 2), have_hint, want_hint;
        CHECK_EQ(raft_log_matches(l, i, term), want == term && i >= m->prev && i <= m->last);
        CHECK_EQ(raft_log_hint(l, i, term, &have_hint), model_hint(m, i, term, &want_hint));
        CHECK_EQ(have_hint, want_hint);
    }
}

/* A log as another member might hold it: ours up to some index, then other terms. */
static void check_conflict(const struct raft_log *l, const struct model *m, struct prng *p)
{
    struct raft_ent ents[40];
    raft_index from = 1 + prng_below(p, m->last + 1);
    uint32_t n = (uint32_t)prng_below(p, 40), differ = (uint32_t)prng_below(p, 60);
    raft_index want = n == 0 ? 0 : from + n;
    for (uint32_t i = 0; i < n; i++) {
        raft_index at = from + i;
        raft_term term = at <= m->last && i < differ ? m->term[at] : m->term[m->last] + 1;
        ents[i] = (struct raft_ent){ .index = at, .term = term };
        if (want == from + n && at > m->prev && (at > m->last || m->term[at] != term))
            want = at;
    }
    CHECK_EQ(raft_log_conflict(l, ents, n), want);
}

static void step(struct raft_log *l, struct model *m, struct prng *p)
{
    raft_term term = m->term[m->last];
    raft_index i;
    uint32_t n;
    switch (prng_below(p, 9)) {
    case 0:
    case 1:
    case 2: /* append; now and then in a new term, or in an old one */
        n = (uint32_t)prng_below(p, 12);
        term += prng_chance(p, 1, 3) ? 1 + prng_below(p, 3) : term == 0;
        if (prng_chance(p, 1, 20) && term > 1 && n > 0) {
            CHECK_EQ(raft_log_append(l, m->term[m->last] - 1, n), ERR_FAILED_PRECONDITION);
            break;
        }
        if (m->last + n >= INDEX_MAX)
            break;
        if (raft_log_append(l, term, n) == ERR_RESOURCE_EXHAUSTED) {
            CHECK_EQ(l->count, l->cap);
            break;
        }
        for (; n > 0; n--)
            m->term[++m->last] = term;
        break;
    case 3: /* truncate, also where it is forbidden */
        i = m->last + 3 - prng_below(p, m->last + 3 - m->prev < 12 ? m->last + 3 - m->prev : 12);
        if (i <= m->commit) {
            CHECK_EQ(raft_log_truncate(l, i), ERR_FAILED_PRECONDITION);
            break;
        }
        CHECK_EQ(raft_log_truncate(l, i), ERR_OK);
        if (i <= m->last)
            m->last = i - 1;
        if (m->stable > m->last)
            m->stable = m->last;
        break;
    case 4: /* synced, or late news of a tail that is gone */
        i = m->stable + prng_below(p, m->last - m->stable + 3);
        term = i <= m->last ? m->term[i] + prng_chance(p, 1, 4) : term;
        raft_log_stable_to(l, i, term);
        if (i > m->stable && i <= m->last && m->term[i] == term)
            m->stable = i;
        break;
    case 5:
        i = m->prev + prng_below(p, m->last - m->prev + 3);
        CHECK_EQ(raft_log_commit_to(l, i), i > m->last ? ERR_FAILED_PRECONDITION : ERR_OK);
        if (i <= m->last && i > m->commit)
            m->commit = i;
        break;
    case 6:
        CHECK_EQ(raft_log_applicable(l), m->commit < m->stable ? m->commit : m->stable);
        i = m->applied + prng_below(p, raft_log_applicable(l) - m->applied + 1);
        raft_log_applied_to(l, m->applied = i);
        break;
    case 7:
        if (!prng_chance(p, 1, 3))
            break;
        i = m->prev + prng_below(p, m->applied - m->prev + 1);
        raft_log_compact(l, m->prev = i);
        break;
    case 8:
        if (!prng_chance(p, 1, 60) || m->last + 20 >= INDEX_MAX)
            break;
        i = m->commit + 1 + prng_below(p, 20);
        term += 1;
        raft_log_reset(l, i, term);
        m->prev = m->last = m->stable = m->commit = m->applied = i;
        m->term[i] = term;
        break;
    }
}

TEST(raft_log_agrees_with_a_term_for_every_index)
{
    for (uint64_t seed = 0; seed < 60; seed++) {
        struct raft_run runs[RUNS], more[2 * RUNS];
        static struct model m;
        struct raft_log l;
        struct prng p;
        memset(&m, 0, sizeof m);
        prng_seed(&p, seed);
        raft_log_init(&l, runs, seed % 3 == 0 ? 3 : RUNS);
        for (int i = 0; i < 400; i++) {
            step(&l, &m, &p);
            if (i == 200)
                raft_log_move(&l, more, seed % 3 == 0 ? 4 : 2 * RUNS);
            compare(&l, &m, &p);
            check_conflict(&l, &m, &p);
        }
    }
}

TEST(raft_log_restores_what_it_was)
{
    struct raft_run runs[8], again[8];
    struct raft_log l, r;
    struct err e = { 0 };
    raft_log_init(&l, runs, 8);
    CHECK_EQ(raft_log_append(&l, 1, 5), ERR_OK);
    CHECK_EQ(raft_log_append(&l, 3, 2), ERR_OK);
    raft_log_stable_to(&l, 7, 3);
    CHECK_EQ(raft_log_commit_to(&l, 6), ERR_OK);
    raft_log_applied_to(&l, 4);
    raft_log_compact(&l, 3); /* in the middle of a term */
    raft_log_init(&r, again, 8);
    CHECK_OK(raft_log_restore(&r, l.prev_index, l.prev_term,
                              (struct raft_run[]){ { 5, 1 }, { 7, 3 } }, 2, 6, 4, &e),
             e);
    for (raft_index i = 0; i < 10; i++) {
        raft_term a = 0, b = 0;
        CHECK_EQ(raft_log_term(&l, i, &a), raft_log_term(&r, i, &b));
        CHECK_EQ(a, b);
    }
    CHECK(r.commit == 6 && r.applied == 4 && r.stable == 7);
}

TEST(raft_log_restore_names_the_contradiction)
{
    struct raft_run runs[4];
    struct raft_log l;
    struct err e = { 0 };
    raft_log_init(&l, runs, 4);
    CHECK_EQ(raft_log_restore(&l, 0, 0, (struct raft_run[]){ { 5, 2 }, { 5, 3 } }, 2, 0, 0, &e),
             ERR_FAILED_PRECONDITION);
    CHECK_EQ(raft_log_restore(&l, 0, 0, (struct raft_run[]){ { 5, 2 }, { 6, 2 } }, 2, 0, 0, &e),
             ERR_FAILED_PRECONDITION);
    CHECK_CONTAINS(e.msg, "out of order");
    CHECK_EQ(raft_log_restore(&l, 0, 0, (struct raft_run[]){ { 5, 2 } }, 1, 0, 6, &e),
             ERR_FAILED_PRECONDITION); /* amnesia */
    CHECK_CONTAINS(e.msg, "6 is applied");
    CHECK_EQ(raft_log_restore(&l, 8, 2, (struct raft_run[]){ { 9, 2 } }, 1, 0, 6, &e),
             ERR_FAILED_PRECONDITION); /* a gap between applied and first */
    CHECK_EQ(raft_log_restore(&l, 0, 0, (struct raft_run[]){ { 1, 1 } }, 5, 0, 0, &e),
             ERR_RESOURCE_EXHAUSTED);
    CHECK_EQ(l.last, 0);
    CHECK_OK(raft_log_restore(&l, 8, 2, NULL, 0, 3, 8, &e), e); /* commit is raised to applied */
    CHECK_EQ(l.commit, 8);
}

/* The ABA of overlapping appends: 5 to 7 of term 2 go to disk, are truncated and replaced by
 * term 3; then the sync of the old ones is reported. */
TEST(raft_log_late_sync_of_a_truncated_tail_does_not_count)
{
    struct raft_run runs[4];
    struct raft_log l;
    raft_log_init(&l, runs, 4);
    CHECK_EQ(raft_log_append(&l, 1, 4), ERR_OK);
    raft_log_stable_to(&l, 4, 1);
    CHECK_EQ(raft_log_append(&l, 2, 3), ERR_OK);
    CHECK_EQ(raft_log_truncate(&l, 5), ERR_OK);
    CHECK_EQ(raft_log_append(&l, 3, 3), ERR_OK);
    raft_log_stable_to(&l, 7, 2);
    CHECK_EQ(l.stable, 4);
    raft_log_stable_to(&l, 7, 3);
    CHECK_EQ(l.stable, 7);
}

TEST(raft_log_votes_go_to_the_more_recent_log)
{
    struct raft_run runs[4];
    struct raft_log l;
    raft_log_init(&l, runs, 4);
    CHECK(raft_log_is_up_to_date(&l, 0, 0));
    CHECK_EQ(raft_log_append(&l, 2, 5), ERR_OK);
    CHECK(raft_log_is_up_to_date(&l, 5, 2) && raft_log_is_up_to_date(&l, 6, 2));
    CHECK(raft_log_is_up_to_date(&l, 1, 3));
    CHECK(!raft_log_is_up_to_date(&l, 4, 2) && !raft_log_is_up_to_date(&l, 100, 1));
}

TEST_MAIN()
