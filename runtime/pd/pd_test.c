/* What the core demands of proposals, and the driver's round: view, plan, checks, decisions. */
#include "pd/pd.h"

#include "base/test.h"
#include "sim_world/disk.h"
#include "sim_world/world.h"
#include "storage/engine_mem.h"

#define SECOND UINT64_C(1000000000)

/* ---- The checks --------------------------------------------------------------------------- */

static const struct pd_store_view stores[] = { { .id = 1, .state = "up" },
                                               { .id = 2, .state = "up" } };
static const struct pd_region_view regions[] = {
    { .id = 1,
      .start_key = { (const uint8_t *)"b", 1 },
      .end_key = { (const uint8_t *)"m", 1 },
      .leader_store = 1 },
    { .id = 2, .start_key = { (const uint8_t *)"m", 1 }, .end_unbounded = true, .leader_store = 1 },
};
static const struct pd_view view = {
    .stores = stores, .store_count = 2, .regions = regions, .region_count = 2
};

static bool check(struct pd_proposal p, const char *key, const char *expected)
{
    char why[160];
    uint8_t bytes[8192] = { 0 };
    if (key != NULL) {
        memcpy(bytes, key, strlen(key));
        p.split_key = (struct buf){ bytes, strlen(key), sizeof bytes };
    }
    bool accepted = pd_check(&view, &p, why, sizeof why);
    CHECK_CONTAINS(why, expected);
    return accepted;
}

#define SPLIT(region)                                                                              \
    ((struct pd_proposal){ .kind = PD_SPLIT, .region_id = (region), .reason = "r" })

TEST(pd_check_split_keys_lie_strictly_inside)
{
    CHECK(check(SPLIT(1), "c", "accepted"));
    CHECK(check(SPLIT(1), "bb", "accepted"));
    CHECK(!check(SPLIT(1), "b", "behind the region's start"));
    CHECK(!check(SPLIT(1), "a", "behind the region's start"));
    CHECK(!check(SPLIT(1), "m", "before the region's end"));
    CHECK(!check(SPLIT(1), "z", "before the region's end"));
    CHECK(!check(SPLIT(1), NULL, "no split key"));
    CHECK(check(SPLIT(2), "zzz", "accepted")); /* no end */
    CHECK(!check(SPLIT(3), "c", "region is unknown"));
    static uint8_t key[5000];
    memset(key, 'c', sizeof key);
    struct pd_proposal p = SPLIT(1);
    char why[160];
    p.split_key = (struct buf){ key, 4101, sizeof key };
    CHECK(!pd_check(&view, &p, why, sizeof why));
    CHECK_CONTAINS(why, "longer");
    p.split_key.len = 4100;
    CHECK(pd_check(&view, &p, why, sizeof why));
}

TEST(pd_check_demands_reasons_and_known_places)
{
    struct pd_proposal p = SPLIT(1);
    p.reason[0] = 0;
    CHECK(!check(p, "c", "carries a reason"));
    p = SPLIT(1);
    p.version = 3;
    CHECK(!check(p, "c", "has changed since"));
    p = (struct pd_proposal){
        .kind = PD_MOVE, .region_id = 1, .from_store = 1, .to_store = 2, .reason = "r"
    };
    CHECK(check(p, NULL, "accepted"));
    p.to_store = 9;
    CHECK(!check(p, NULL, "target store is unknown"));
    p.to_store = 1;
    CHECK(!check(p, NULL, "same store"));
    p.from_store = 2;
    CHECK(!check(p, NULL, "already holds"));
    p.from_store = 7, p.to_store = 2;
    CHECK(!check(p, NULL, "source store is unknown"));
    p.kind = PD_TRANSFER_LEADER;
    CHECK(check(p, NULL, "accepted"));
    p.kind = PD_MERGE;
    CHECK(check(p, NULL, "accepted"));
    p.kind = 77;
    CHECK(!check(p, NULL, "unknown kind"));
}

/* ---- The driver --------------------------------------------------------------------------- */

struct policy {
    unsigned asked;
    uint64_t last_id;
    struct pd_plan answer;
};

static void plan(void *self, const struct pd_view *v,
                 void (*done)(void *user, const struct pd_plan *plan), void *user)
{
    struct policy *p = self;
    p->asked++;
    CHECK_EQ(v->region_count, 1);
    CHECK_EQ(v->regions[0].id, REGION_SYSTEM);
    CHECK(v->regions[0].end_unbounded);
    CHECK_EQ(v->store_count, 1);
    CHECK(v->decision_id > p->last_id); /* seeds the policy's PRNG: never the same twice */
    CHECK(v->now_ms > 0);
    p->last_id = v->decision_id;
    done(user, &p->answer);
}

TEST(pd_asks_checks_and_keeps_decisions)
{
    struct err e = { 0 };
    struct sim_world *world = sim_world_new(1, NULL);
    struct env *env = sim_world_env(world);
    struct storage *store;
    struct region_store *opened;
    struct storage_config c = { .path = "/store", .engine = &engine_mem, .segment_bytes = 1 << 20 };
    struct storage_ident ident = { .store_id = 1, .incarnation = 1 };
    CHECK_OK(storage_init(env, &c, &ident, NULL, &e), e);
    CHECK_OK(storage_open(env, &c, &store, &e), e);
    struct region_config rc = { .uncommitted_bytes_max = 1 << 20,
                                .uncommitted_max = 10,
                                .max_offset_ms = 500,
                                .hlc_window_ms = 500,
                                .path = "/store" };
    CHECK_OK(region_store_open(env, NULL, store, &rc, &opened, &e), e);

    static uint8_t key[] = "\0\0\0\1m";
    struct pd_proposal proposals[] = {
        { .kind = PD_SPLIT,
          .region_id = 1,
          .conf_ver = 1,
          .version = 1,
          .split_key = { key, 5, 5 },
          .reason = "too large" },
        { .kind = PD_SPLIT,
          .region_id = 1,
          .conf_ver = 1,
          .version = 1,
          .split_key = { key, 4, 5 },
          .reason = "again" },
        { .kind = PD_MOVE, .region_id = 8, .reason = "nowhere" },
    };
    struct policy p = { .answer = { .proposals = proposals, .count = 3, .notes = "three" } };
    struct pd_policy door = { plan, &p };
    struct pd *pd =
        pd_new(env, NULL, opened, &door,
               &(struct pd_config){ .interval_ms = 1000, .store_id = 1, .address = "here" });
    CHECK(pd_decision(pd, 0) == NULL);
    sim_world_run_for(world, 3 * SECOND + SECOND / 2);
    CHECK_EQ(p.asked, 3);
    const struct pd_decision *d = pd_decision(pd, 0);
    CHECK_EQ(d->count, 3);
    CHECK_STR(d->notes, "three");
    CHECK(d->proposals[0].accepted);
    CHECK_STR(d->proposals[0].reason, "too large");
    CHECK(!d->proposals[1].accepted);
    CHECK_CONTAINS(d->proposals[1].verdict, "one for the region already");
    CHECK_CONTAINS(d->proposals[2].verdict, "region is unknown");
    CHECK(pd_decision(pd, 2) != NULL && pd_decision(pd, 3) == NULL);

    p.answer = (struct pd_plan){ .rc = ERR_BUDGET, .error = "too many instructions" };
    sim_world_run_for(world, 20 * SECOND); /* more than are kept */
    struct pd_stats s;
    pd_stats(pd, &s);
    CHECK_EQ(s.accepted, 3);
    CHECK_EQ(s.refused, 6);
    CHECK(s.failed >= 19);
    CHECK_EQ(pd_decision(pd, 0)->rc, ERR_BUDGET);
    CHECK_STR(pd_decision(pd, 0)->error, "too many instructions");
    CHECK_EQ(pd_decision(pd, 0)->count, 0); /* the set is discarded */
    CHECK(pd_decision(pd, PD_DECISIONS_KEPT) == NULL);
    pd_stop(pd);
    pd_close(pd);
    region_store_stop(opened, true);
    region_store_close(opened);
    storage_close(store);
    sim_world_close(world);
}

TEST_MAIN()
