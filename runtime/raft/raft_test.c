/* Single cases: one member, one message, one answer. Rare states that scripts do not name and simulators seldom
 * meet. */
#include "raft/raft.h"

#include "base/test.h"

static void take(void *ctx, const struct raft_ent *ents, uint32_t n)
{
    (void)ctx, (void)ents, (void)n;
}

static uint32_t fit(void *ctx, raft_index lo, raft_index hi, uint64_t max, uint64_t *bytes)
{
    (void)ctx, (void)max;
    *bytes = hi - lo;
    return (uint32_t)(hi - lo);
}

/* The one that the test has put there, if any. */
static bool snapshot(void *ctx, struct raft_snap *ret)
{
    if (ctx == NULL)
        return false;
    *ret = *(const struct raft_snap *)ctx;
    return true;
}

/* Member 1 of (1, 2, 3), with a log of one entry per term given: "1123" is 1/1, 1/2, 2/3, 3/4; an upper-case C behind
 * a digit makes that entry a change of configuration. */
static struct raft *member_with(struct raft_snap *snap, unsigned flags, raft_term term,
                                raft_index commit, const char *log)
{
    struct raft_run runs[32];
    struct raft_boot boot = { .hs = { .term = term, .commit = commit }, .runs = runs };
    struct raft_cfg cfg = { .id = 1,
                            .election_tick = 10,
                            .heartbeat_tick = 3,
                            .no_jitter = true,
                            .flags = flags,
                            .log = { take, fit, snapshot, snap } };
    raft_index index = 0;
    for (; *log != '\0'; log++) {
        bool conf = log[1] == 'C';
        runs[boot.nruns++] = (struct raft_run){ ++index, (raft_term)(*log - '0'), conf };
        log += conf;
    }
    for (unsigned i = 0; i < 3; i++)
        boot.snap.conf.id[i] = i + 1;
    boot.snap.conf.n = 3;
    boot.snap.conf.voters = 7;
    struct raft *r = NULL;
    CHECK_EQ(raft_open(&cfg, &boot, &r), ERR_OK);
    return r;
}

static struct raft *member(unsigned flags, raft_term term, raft_index commit, const char *log)
{
    return member_with(NULL, flags, term, commit, log);
}

/* The only message of the next Ready to `to`; the Ready is done. Type RAFT_MSG_TYPES: there is none. */
static struct raft_msg sent(struct raft *r, raft_id to)
{
    struct raft_msg m = { .type = RAFT_MSG_TYPES };
    while (raft_has_ready(r)) {
        const struct raft_ready *rd = raft_ready(r);
        for (uint32_t i = 0; i < rd->nmsgs; i++)
            if (rd->msgs[i].to == to)
                m = rd->msgs[i];
        raft_advance(r);
    }
    return m;
}

static void step(struct raft *r, struct raft_msg m)
{
    struct raft_ent ents[8];
    for (uint32_t i = 0; i < m.nents; i++)
        ents[i] = (struct raft_ent){ .term = m.ents[i].term,
                                     .index = m.index + 1 + i,
                                     .type = m.ents[i].type };
    m.ents = ents;
    CHECK_EQ(raft_step(r, &m), ERR_OK);
}

static struct raft_status status(const struct raft *r)
{
    struct raft_status s;
    raft_status(r, &s);
    return s;
}

TEST(append_vouches_for_what_it_covers_and_no_more)
{
    /* 2/3 is left over from an older leader; the append ends before it. */
    struct raft *r = member(0, 2, 0, "112");
    struct raft_ent one = { .term = 1 };
    step(r, (struct raft_msg){ .type = RAFT_MSG_APP,
                               .from = 2,
                               .to = 1,
                               .term = 3,
                               .index = 1,
                               .log_term = 1,
                               .commit = 3,
                               .nents = 1,
                               .ents = &one });
    CHECK_EQ(status(r).commit, 2);
    CHECK_EQ(status(r).last, 3);
    struct raft_msg ack = sent(r, 2);
    CHECK_EQ(ack.type, RAFT_MSG_APP_RESP);
    CHECK_EQ(ack.index, 2);
    CHECK(!ack.reject);
    raft_close(r);
}

TEST(append_that_agrees_cuts_nothing)
{
    struct raft *r = member(0, 2, 0, "1222");
    struct raft_ent one = { .term = 2 };
    step(r, (struct raft_msg){ .type = RAFT_MSG_APP,
                               .from = 2,
                               .to = 1,
                               .term = 2,
                               .index = 1,
                               .log_term = 1,
                               .nents = 1,
                               .ents = &one });
    CHECK_EQ(status(r).last, 4);
    raft_close(r);
}

TEST(append_that_differs_cuts_the_rest)
{
    struct raft *r = member(0, 2, 1, "1222");
    struct raft_ent one = { .term = 3 };
    step(r, (struct raft_msg){ .type = RAFT_MSG_APP,
                               .from = 2,
                               .to = 1,
                               .term = 3,
                               .index = 1,
                               .log_term = 1,
                               .nents = 1,
                               .ents = &one });
    CHECK_EQ(status(r).last, 2);
    CHECK_EQ(status(r).stable, 1);
    raft_close(r);
}

TEST(append_that_contradicts_what_is_committed_breaks_the_group_alone)
{
    struct raft *r = member(0, 2, 3, "1222");
    struct raft_ent two[2] = { { .term = 2 }, { .term = 3 } };
    step(r, (struct raft_msg){ .type = RAFT_MSG_APP,
                               .from = 2,
                               .to = 1,
                               .term = 3,
                               .index = 3,
                               .log_term = 2,
                               .nents = 0,
                               .ents = two });
    CHECK(!raft_broken(r));
    struct raft_msg m = {
        .type = RAFT_MSG_APP, .from = 2, .to = 1, .term = 3, .index = 0, .log_term = 0
    };
    step(r, m); /* stale: answered with the commit index */
    CHECK(!raft_broken(r));
    CHECK_EQ(sent(r, 2).index, 3);
    raft_close(r);
}

TEST(nobody_campaigns_over_a_change_that_is_committed_and_not_applied)
{
    struct raft *r = member(0, 2, 2, "12C2");
    CHECK_EQ(raft_campaign(r), ERR_OK);
    CHECK_EQ(status(r).role, RAFT_FOLLOWER);
    raft_close(r);
    r = member(0, 2, 1, "12C2"); /* not committed: no matter */
    while (raft_has_ready(r)) {
        (void)raft_ready(r);
        raft_advance(r);
    }
    CHECK_EQ(raft_campaign(r), ERR_OK);
    CHECK_EQ(status(r).role, RAFT_CANDIDATE);
    raft_close(r);
}

TEST(a_vote_is_one_per_term_and_survives_a_step_down)
{
    struct raft *r = member(0, 2, 0, "12");
    step(r, (struct raft_msg){
                .type = RAFT_MSG_VOTE, .from = 2, .to = 1, .term = 3, .index = 2, .log_term = 2 });
    CHECK(!sent(r, 2).reject);
    CHECK_EQ(status(r).vote, 2);
    step(r, (struct raft_msg){
                .type = RAFT_MSG_VOTE, .from = 3, .to = 1, .term = 3, .index = 9, .log_term = 2 });
    CHECK(sent(r, 3).reject);
    step(r, (struct raft_msg){
                .type = RAFT_MSG_APP, .from = 2, .to = 1, .term = 3, .index = 2, .log_term = 2 });
    CHECK_EQ(raft_forget_leader(r), ERR_OK);
    step(r, (struct raft_msg){
                .type = RAFT_MSG_VOTE, .from = 3, .to = 1, .term = 3, .index = 9, .log_term = 2 });
    CHECK(sent(r, 3).reject);
    raft_close(r);
}

TEST(a_candidate_that_is_behind_is_told_the_term)
{
    struct raft *r = member(0, 7, 0, "12");
    struct raft_msg ask = { .type = RAFT_MSG_VOTE, .from = 3, .to = 1, .term = 5, .index = 9 };
    step(r, ask);
    struct raft_msg no = sent(r, 3);
    CHECK_EQ(no.type, RAFT_MSG_VOTE_RESP);
    CHECK(no.reject);
    CHECK_EQ(no.term, 7);
    CHECK_EQ(status(r).vote, RAFT_NONE);
    raft_close(r);
}

TEST(a_candidate_that_loses_keeps_its_own_vote)
{
    struct raft *r = member(0, 2, 0, "12");
    CHECK_EQ(raft_campaign(r), ERR_OK);
    (void)sent(r, 2);
    step(r, (struct raft_msg){
                .type = RAFT_MSG_VOTE_RESP, .from = 2, .to = 1, .term = 3, .reject = true });
    step(r, (struct raft_msg){
                .type = RAFT_MSG_VOTE_RESP, .from = 3, .to = 1, .term = 3, .reject = true });
    CHECK_EQ(status(r).role, RAFT_FOLLOWER);
    CHECK_EQ(status(r).vote, 1);
    step(r, (struct raft_msg){
                .type = RAFT_MSG_VOTE, .from = 3, .to = 1, .term = 3, .index = 9, .log_term = 2 });
    CHECK(sent(r, 3).reject);
    raft_close(r);
}

TEST(a_commit_index_in_a_vote_is_believed_only_for_the_same_entry)
{
    struct raft *r = member(RAFT_COMMIT_IN_VOTE, 2, 0, "112");
    struct raft_msg m = { .type = RAFT_MSG_VOTE,
                          .from = 2,
                          .to = 1,
                          .term = 3,
                          .index = 3,
                          .log_term = 3,
                          .commit = 3,
                          .commit_term = 3 };
    step(r, m);
    CHECK_EQ(status(r).commit, 0);
    m.term = 4;
    m.commit_term = 2;
    step(r, m);
    CHECK_EQ(status(r).commit, 3);
    raft_close(r);
}

/* Elects member 1 by the vote of 2; its no-op is not committed yet. */
static struct raft *elect(struct raft *r)
{
    CHECK_EQ(raft_campaign(r), ERR_OK);
    (void)sent(r, 2);
    step(r, (struct raft_msg){ .type = RAFT_MSG_VOTE_RESP, .from = 2, .to = 1, .term = 3 });
    CHECK_EQ(status(r).role, RAFT_LEADER);
    return r;
}

static struct raft *leader(unsigned flags, const char *log)
{
    return elect(member(flags, 2, 0, log));
}

TEST(a_snapshot_that_is_too_old_when_it_arrives_is_followed_by_another)
{
    struct raft_snap snap = { 0 };
    struct raft *r = elect(member_with(&snap, 0, 2, 0, "1112"));
    struct raft_msg ack = { .type = RAFT_MSG_APP_RESP, .from = 3, .to = 1, .term = 3, .index = 5 };
    (void)sent(r, 2);
    step(r, ack); /* 5 is committed, and applied with the Ready */
    (void)sent(r, 2);
    snap = (struct raft_snap){ .index = 3, .term = 1, .conf = status(r).conf };
    CHECK_EQ(raft_compacted(r, 3), ERR_OK);
    struct raft_msg beat = { .type = RAFT_MSG_HEARTBEAT_RESP, .from = 2, .to = 1, .term = 3 };
    struct raft_msg reject = {
        .type = RAFT_MSG_APP_RESP, .from = 2, .to = 1, .term = 3, .index = 4, .reject = true
    };
    step(r, reject);
    CHECK_EQ(sent(r, 2).type, RAFT_MSG_SNAP);
    CHECK_EQ(raft_compacted(r, 5), ERR_OK);
    snap.index = 5;
    snap.term = 3;
    ack.from = 2;
    ack.index = 3;
    step(r, ack); /* installed, and the log begins behind 5 by now */
    CHECK_EQ(sent(r, 2).type, RAFT_MSG_TYPES);
    step(r, beat);
    CHECK_EQ(sent(r, 2).type, RAFT_MSG_SNAP);
    CHECK_EQ(status(r).peers[1].pending_snap, 5);
    raft_close(r);
}

TEST(a_new_leader_commits_older_entries_only_with_its_own)
{
    struct raft *r = leader(0, "12");
    (void)sent(r, 2);
    step(r,
         (struct raft_msg){ .type = RAFT_MSG_APP_RESP, .from = 2, .to = 1, .term = 3, .index = 2 });
    CHECK_EQ(status(r).commit, 0);
    step(r,
         (struct raft_msg){ .type = RAFT_MSG_APP_RESP, .from = 2, .to = 1, .term = 3, .index = 3 });
    CHECK_EQ(status(r).commit, 3);
    raft_close(r);
}

TEST(a_read_waits_for_the_first_commit_of_the_term)
{
    struct raft *r = leader(0, "12");
    CHECK_EQ(raft_read_index(r, 77), ERR_OK);
    while (raft_has_ready(r)) {
        CHECK_EQ(raft_ready(r)->nreads, 0);
        raft_advance(r);
    }
    step(r,
         (struct raft_msg){ .type = RAFT_MSG_APP_RESP, .from = 2, .to = 1, .term = 3, .index = 3 });
    struct raft_msg beat = sent(r, 3);
    CHECK_EQ(beat.type, RAFT_MSG_HEARTBEAT);
    step(r, (struct raft_msg){
                .type = RAFT_MSG_HEARTBEAT_RESP, .from = 3, .to = 1, .term = 3, .ctx = beat.ctx });
    const struct raft_ready *rd = raft_ready(r);
    CHECK_EQ(rd->nreads, 1);
    CHECK_EQ(rd->reads[0].ctx, 77);
    CHECK_EQ(rd->reads[0].index, 3);
    raft_advance(r);
    raft_close(r);
}

TEST(a_transfer_refuses_proposals_and_ends_by_itself)
{
    struct raft *r = leader(0, "12");
    (void)sent(r, 2);
    struct raft_ent ent = { .len = 1, .data = "x" };
    CHECK_EQ(raft_transfer(r, 3), ERR_OK);
    CHECK_EQ(status(r).transferee, 3);
    CHECK_EQ(raft_propose(r, &ent, 1), ERR_UNAVAILABLE);
    CHECK(sent(r, 3).type != RAFT_MSG_TIMEOUT_NOW); /* it lacks entries */
    raft_tick(r, 10);
    CHECK_EQ(status(r).transferee, RAFT_NONE);
    CHECK_EQ(raft_propose(r, &ent, 1), ERR_OK);
    raft_close(r);
}

TEST(a_leader_refuses_what_it_cannot_apply)
{
    struct raft *r = leader(0, "12");
    struct raft_cc all = {
        .n = 3, .change = { { RAFT_CC_REMOVE, 1 }, { RAFT_CC_REMOVE, 2 }, { RAFT_CC_REMOVE, 3 } }
    };
    struct raft_cc leave = { 0 };
    CHECK_EQ(raft_propose_conf(r, &all, (struct bytes){ 0 }),
             ERR_OK); /* its place is taken by an empty entry */
    CHECK_EQ(raft_propose_conf(r, &leave, (struct bytes){ 0 }), ERR_OK);
    while (raft_has_ready(r)) {
        (void)raft_ready(r);
        raft_advance(r);
    }
    CHECK_EQ(status(r).last, 5);
    CHECK(!raft_broken(r));
    raft_close(r);
}

TEST(nonsense_is_refused_and_changes_nothing)
{
    struct raft *r = member(0, 2, 1, "12");
    struct raft_ent bad[2] = { { .term = 2, .index = 9 }, { .term = 1, .index = 3 } };
    struct raft_msg cases[] = {
        { .type = RAFT_MSG_TYPES, .from = 2, .term = 9 },
        { .type = RAFT_MSG_APP, .from = RAFT_NONE, .term = 9 },
        { .type = RAFT_MSG_APP,
          .from = 2,
          .term = 9,
          .index = 1,
          .log_term = 1,
          .nents = 1,
          .ents = &bad[0] },
        { .type = RAFT_MSG_APP,
          .from = 2,
          .term = 9,
          .index = 2,
          .log_term = 2,
          .nents = 1,
          .ents = &bad[1] },
        { .type = RAFT_MSG_APP,
          .from = 2,
          .term = 9,
          .index = UINT64_MAX,
          .log_term = 2,
          .nents = 1,
          .ents = bad },
        { .type = RAFT_MSG_APP, .from = 2, .term = 9, .nents = 1 },
        { .type = RAFT_MSG_HEARTBEAT, .from = 2, .term = UINT64_MAX },
        { .type = RAFT_MSG_HEARTBEAT, .from = 2 },
        { .type = RAFT_MSG_SNAP, .from = 2, .term = 9 },
        { .type = RAFT_MSG_STORE_APPEND_RESP, .from = 2, .index = 2, .log_term = 2 },
        { .type = RAFT_MSG_HEARTBEAT, .from = RAFT_APPEND_THREAD, .term = 9 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        CHECK_EQ(raft_step(r, &cases[i]), ERR_INVALID_ARGUMENT);
        CHECK_EQ(status(r).term, 2);
        CHECK_EQ(status(r).last, 2);
    }
    struct raft_msg stranger = { .type = RAFT_MSG_APP_RESP, .from = 8, .to = 1, .term = 2 };
    CHECK_EQ(raft_step(r, &stranger), ERR_NOT_FOUND);
    raft_close(r);
}

TEST(an_idle_group_is_small_and_wakes_up)
{
    struct raft *r = leader(0, "12");
    (void)sent(r, 2);
    for (raft_id peer = 2; peer <= 3; peer++)
        step(r, (struct raft_msg){
                    .type = RAFT_MSG_APP_RESP, .from = peer, .to = 1, .term = 3, .index = 3 });
    (void)sent(r, 2);
    CHECK(raft_quiet(r));
    size_t awake = status(r).bytes;
    raft_trim(r);
    CHECK(status(r).bytes < 1024 && status(r).bytes < awake);
    CHECK(raft_quiet(r) && !raft_has_ready(r));
    CHECK_EQ(raft_compacted(r, 2), ERR_OK);
    struct raft_ent ent = { .len = 1, .data = "x" };
    CHECK_EQ(raft_propose(r, &ent, 1), ERR_OK);
    CHECK_EQ(sent(r, 2).nents, 1);
    raft_close(r);
}

TEST(the_reads_of_a_ready_stay_while_more_are_asked)
{
    struct raft *r = leader(0, "12");
    (void)sent(r, 2);
    CHECK_EQ(raft_read_index(r, 77), ERR_OK);
    step(r,
         (struct raft_msg){ .type = RAFT_MSG_APP_RESP, .from = 2, .to = 1, .term = 3, .index = 3 });
    struct raft_msg beat = { .type = RAFT_MSG_HEARTBEAT_RESP, .from = 3, .to = 1, .term = 3 };
    beat.ctx = sent(r, 3).ctx;
    step(r, beat);
    const struct raft_ready *rd = raft_ready(r);
    CHECK_EQ(rd->nreads, 1);
    for (uint64_t ctx = 100; ctx < 200; ctx++)
        CHECK_EQ(raft_read_index(r, ctx), ERR_OK);
    CHECK_EQ(rd->reads[0].ctx, 77);
    raft_advance(r);
    beat.ctx = sent(r, 3).ctx;
    step(r, beat);
    rd = raft_ready(r);
    CHECK_EQ(rd->nreads, 100);
    CHECK_EQ(rd->reads[99].ctx, 199);
    raft_advance(r);
    raft_close(r);
}

TEST(a_snapshot_that_overtakes_apply_brings_the_configuration)
{
    struct raft *r = member(RAFT_ASYNC, 2, 2, "1C2");
    const struct raft_ready *rd = raft_ready(r);
    CHECK_EQ(rd->committed.hi, 3);
    struct raft_msg done = rd->msgs[rd->nmsgs - 1].resp[0];
    raft_advance(r);
    struct raft_snap snap = { .index = 9, .term = 2, .conf = status(r).conf };
    snap.conf.outgoing = snap.conf.voters;
    step(r,
         (struct raft_msg){ .type = RAFT_MSG_SNAP, .from = 2, .to = 1, .term = 2, .snap = &snap });
    CHECK_EQ(status(r).last, 9);
    struct raft_cc joint = { .transition = RAFT_CC_EXPLICIT,
                             .n = 1,
                             .change = { { RAFT_CC_LEARNER, 4 } } };
    CHECK_EQ(raft_apply_conf(r, &joint, NULL), ERR_FAILED_PRECONDITION);
    CHECK_EQ(status(r).conf.n, 3);
    CHECK(!raft_broken(r));
    CHECK_EQ(raft_step(r, &done),
             ERR_OK); /* from here on, what is applied is behind the snapshot */
    struct raft_cc leave = { 0 };
    CHECK_EQ(raft_apply_conf(r, &leave, NULL), ERR_OK);
    CHECK_EQ(status(r).conf.outgoing, 0);
    raft_close(r);
}

TEST(single_facts_are_those_of_the_status)
{
    struct raft *r = member(0, 3, 2, "1123");
    struct raft_status s;
    raft_status(r, &s);
    CHECK_EQ(raft_role(r), RAFT_FOLLOWER);
    CHECK_EQ(raft_lead(r), RAFT_NONE);
    CHECK_EQ(raft_term_now(r), s.term);
    CHECK_EQ(raft_commit(r), 2);
    CHECK_EQ(raft_applied(r), s.applied);
    CHECK_EQ(raft_last(r), 4);
    struct raft_msg beat = { .type = RAFT_MSG_HEARTBEAT, .from = 2, .to = 1, .term = 3 };
    CHECK_EQ(raft_step(r, &beat), ERR_OK);
    CHECK_EQ(raft_lead(r), 2);
    raft_close(r);
}

TEST(the_election_of_a_transfer_bypasses_lease_and_pre_vote)
{
    unsigned flags = RAFT_PREVOTE | RAFT_CHECK_QUORUM;
    struct raft_msg beat = { .type = RAFT_MSG_HEARTBEAT, .from = 2, .to = 1, .term = 2 };
    struct raft *r = member(flags, 2, 0, "12");
    step(r, beat);
    (void)sent(r, 2);
    step(r, (struct raft_msg){
                .type = RAFT_MSG_TIMEOUT_NOW, .from = 2, .to = 1, .term = 2, .ctx = 1 });
    struct raft_msg ask = sent(r, 3);
    CHECK_EQ(ask.ctx, 1);
    CHECK_EQ(ask.type, RAFT_MSG_VOTE);
    CHECK_EQ(ask.term, 3);
    CHECK(ask.forced);
    raft_close(r);

    r = member(flags, 2, 0, "12"); /* and whoever hears the leader grants it */
    step(r, beat);
    (void)sent(r, 2);
    ask.from = 3;
    ask.to = 1;
    ask.forced = false;
    step(r, ask);
    CHECK_EQ(status(r).term, 2);
    ask.forced = true;
    step(r, ask);
    CHECK_EQ(status(r).vote, 3);
    raft_close(r);

    r = member(flags, 2, 0, "12"); /* unless the leader has given that transfer up */
    beat.hint = 1;
    step(r, beat);
    (void)sent(r, 2);
    step(r, ask);
    CHECK_EQ(status(r).term, 2);
    ask.ctx = 2;
    step(r, ask);
    CHECK_EQ(status(r).vote, 3);
    raft_close(r);
}

/* A change of configuration: those who gave the lease need not be a part of every quorum of the one after the next. */
TEST(a_lease_ends_with_its_configuration)
{
    struct raft *r = leader(RAFT_LEASE_READ | RAFT_CHECK_QUORUM, "12");
    struct raft_cc cc = { .n = 1, .change = { { RAFT_CC_LEARNER, 4 } } };
    step(r,
         (struct raft_msg){ .type = RAFT_MSG_APP_RESP, .from = 2, .to = 1, .term = 3, .index = 3 });
    raft_tick(r, 3);
    struct raft_msg beat = sent(r, 3);
    CHECK(!raft_lease_valid(r));
    step(r, (struct raft_msg){
                .type = RAFT_MSG_HEARTBEAT_RESP, .from = 3, .to = 1, .term = 3, .ctx = beat.ctx });
    CHECK(raft_lease_valid(r));
    CHECK_EQ(raft_apply_conf(r, &cc, NULL), ERR_OK);
    CHECK(!raft_lease_valid(r));
    raft_close(r);
}

TEST(a_follower_that_lacks_an_entry_does_not_sleep)
{
    struct raft *r = member(0, 2, 2, "12");
    struct raft_msg sleep = { .type = RAFT_MSG_SLEEP, .from = 2, .to = 1, .term = 2, .index = 3 };
    CHECK_EQ(sent(r, 2).type, RAFT_MSG_TYPES); /* what it has is applied */
    step(r, sleep);
    CHECK(!raft_asleep(r));
    CHECK(sent(r, 2).reject);
    sleep.index = 2;
    step(r, sleep);
    CHECK(raft_asleep(r));
    CHECK_EQ(sent(r, 2).type, RAFT_MSG_TYPES);
    raft_close(r);
}

TEST(a_leader_that_wakes_alone_steps_down_within_an_election_timeout)
{
    struct raft *r = leader(RAFT_CHECK_QUORUM, "12");
    struct raft_msg ack = { .type = RAFT_MSG_APP_RESP, .to = 1, .term = 3, .index = 3 };
    (void)sent(r, 2);
    for (ack.from = 2; ack.from <= 3; ack.from++)
        step(r, ack);
    CHECK_EQ(raft_sleep(r), ERR_FAILED_PRECONDITION); /* it has not applied 3 */
    (void)sent(r, 2);
    CHECK(raft_quiet(r));
    raft_tick(r, 10);
    (void)sent(r, 2);
    CHECK(!raft_quiet(r)); /* nobody was heard of since the quorum was checked */
    struct raft_msg beat = { .type = RAFT_MSG_HEARTBEAT_RESP, .to = 1, .term = 3 };
    for (beat.from = 2; beat.from <= 3; beat.from++)
        step(r, beat);
    CHECK_EQ(raft_sleep(r), ERR_OK);
    CHECK_EQ(sent(r, 2).type, RAFT_MSG_SLEEP);
    CHECK_EQ(raft_deadline(r), UINT32_MAX);
    raft_tick(r, 1000);
    CHECK(!raft_has_ready(r) && raft_asleep(r));
    raft_unreachable(r, 3); /* whoever did not hear the word to sleep would wait for heartbeats */
    CHECK(!raft_asleep(r));
    CHECK_EQ(raft_deadline(r), 1);
    raft_tick(r, 1);
    CHECK_EQ(sent(r, 2).type, RAFT_MSG_HEARTBEAT);
    raft_tick(r, 9);
    CHECK_EQ(raft_role(r), RAFT_FOLLOWER);
    raft_close(r);
}

TEST(a_machine_that_slept_campaigns_once_or_twice)
{
    struct raft *r = member(0, 2, 0, "12");
    raft_tick(r, 1000000);
    CHECK(status(r).term <= 4);
    raft_close(r);
}

TEST_MAIN()
