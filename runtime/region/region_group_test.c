/* Three stores and a wire between them, in virtual time: one region that all of them hold.
 *
 *   machine 1 --batches--> machine 2        a batch takes some time, and is lost while a wire is cut
 *        \------> machine 3 <----/          crashes take what the disk had not synced */
#include "region/meta.h"
#include "region/region.h"

#include "base/container.h"
#include "base/prng.h"
#include "base/test.h"
#include "sim_world/disk.h"
#include "sim_world/world.h"
#include "storage/engine_mem.h"

#define SECOND UINT64_C(1000000000)
#define MS     UINT64_C(1000000)
enum { STORES = 3 };

struct cluster;
struct machine {
    struct cluster *cluster;
    uint64_t id;
    struct sim_disk *disk;
    struct sim_world *world; /* NULL: down */
    struct env *env;
    struct storage *store;
    struct region_store *regions;
    struct env_timer kick; /* a request comes in an event of its machine */
    bool cut;              /* from everybody */
};

struct cluster {
    struct machine machines[STORES];
    struct prng prng;
    uint64_t seed;
    unsigned on_the_way;
};

/* ---- The wire ----------------------------------------------------------------------------- */

struct parcel {
    struct env_timer timer;
    struct cluster *cluster;
    uint64_t from, to;
    struct buf body;
};

static struct machine *machine(struct cluster *c, uint64_t id)
{
    return &c->machines[id - 1];
}

static void arrive(struct env_timer *timer)
{
    struct parcel *p = container_of(timer, struct parcel, timer);
    struct machine *from = machine(p->cluster, p->from), *to = machine(p->cluster, p->to);
    struct err e = { 0 };
    if (to->regions != NULL && !to->cut && !from->cut)
        CHECK_OK(region_store_receive(to->regions, p->from, buf_bytes(&p->body), &e), e);
    p->cluster->on_the_way--;
    buf_free(&p->body);
    free(p);
}

/* On the receiver's clock: what is on the way to a machine that crashes is lost. */
static void transport_send(void *user, uint64_t store, struct buf *body)
{
    struct machine *m = user;
    struct machine *to = machine(m->cluster, store);
    if (to->world == NULL) {
        buf_free(body);
        return;
    }
    struct parcel *p = calloc(1, sizeof *p);
    p->cluster = m->cluster;
    p->from = m->id;
    p->to = store;
    p->body = buf_take(body);
    p->timer.fire = arrive;
    m->cluster->on_the_way++;
    env_timer_start(to->env, &p->timer, prng_range(&m->cluster->prng, MS / 10, 2 * MS));
}

/* ---- Machines ----------------------------------------------------------------------------- */

static void must_not_fail(void *user, err_t rc, const char *why)
{
    (void)user, (void)rc;
    CHECK_STR(why, "");
}

static struct storage_config store_config(void)
{
    return (struct storage_config){ .path = "/store",
                                    .engine = &engine_mem,
                                    .engine_config = { .memtable_bytes = 64 << 10 },
                                    .segment_bytes = 8 << 20,
                                    .spare_segments = 1 };
}

static void machine_make(struct machine *m)
{
    static const uint64_t stores[STORES] = { 1, 2, 3 };
    struct storage_config c = store_config();
    struct storage_ident ident = { .cluster_id = { 1 }, .store_id = m->id, .incarnation = m->id };
    struct region_meta meta;
    struct buf bytes = { 0 };
    struct err e = { 0 };
    region_meta_first(&meta, stores, STORES);
    CHECK_EQ(region_meta_encode(&meta, &bytes), ERR_OK);
    struct storage_first first = { .region = REGION_SYSTEM, .meta = buf_bytes(&bytes) };
    CHECK_OK(storage_init(m->env, &c, &ident, &first, &e), e);
    region_meta_free(&meta);
    buf_free(&bytes);
}

static void kicked(struct env_timer *timer)
{
    (void)timer;
}

static void machine_open(struct machine *m)
{
    m->kick.fire = kicked;
    struct storage_config c = store_config();
    struct region_config config = { .uncommitted_bytes_max = 16 << 20,
                                    .uncommitted_max = 10000,
                                    .busy_backoff_ms = 20,
                                    .reads_max = 1000,
                                    .apply_inline_bytes = 64 << 10,
                                    .samples = 16,
                                    .max_offset_ms = 500,
                                    .hlc_window_ms = 500,
                                    .transport = { transport_send, m },
                                    .path = "/store",
                                    .failed = must_not_fail };
    struct err e = { 0 };
    CHECK_OK(storage_open(m->env, &c, &m->store, &e), e);
    CHECK_OK(region_store_open(m->env, NULL, m->store, &config, &m->regions, &e), e);
}

static void machine_boot(struct machine *m)
{
    struct machine *beside = NULL;
    for (unsigned i = 0; i < STORES; i++)
        if (m->cluster->machines[i].world != NULL)
            beside = &m->cluster->machines[i];
    m->world = beside == NULL ? sim_world_new(m->cluster->seed, m->disk)
                              : sim_world_beside(beside->world, m->disk);
    m->env = sim_world_env(m->world);
}

static void machine_crash(struct machine *m, enum sim_crash how)
{
    env_timer_stop(m->env, &m->kick);
    sim_world_crash(m->world, how);
    region_store_stop(m->regions, false);
    region_store_close(m->regions);
    storage_abandon(m->store);
    m->regions = NULL;
    sim_world_close(m->world);
    m->world = NULL;
}

static struct cluster *cluster_new(uint64_t seed)
{
    struct cluster *c = calloc(1, sizeof *c);
    c->seed = seed;
    prng_seed(&c->prng, seed);
    for (unsigned i = 0; i < STORES; i++) {
        struct machine *m = &c->machines[i];
        *m = (struct machine){ .cluster = c, .id = i + 1, .disk = sim_disk_new(seed * 10 + i) };
        machine_boot(m);
        machine_make(m);
        machine_open(m);
    }
    return c;
}

static struct machine *any_up(struct cluster *c)
{
    for (unsigned i = 0; i < STORES; i++)
        if (c->machines[i].world != NULL)
            return &c->machines[i];
    return NULL;
}

static void cluster_free(struct cluster *c)
{
    for (unsigned i = 0; i < STORES; i++) {
        struct machine *m = &c->machines[i];
        if (m->world != NULL) {
            region_store_stop(m->regions, true);
            region_store_close(m->regions);
            storage_close(m->store);
            env_timer_stop(m->env, &m->kick);
            sim_world_crash(m->world, SIM_CRASH_KILL);
        }
    }
    for (unsigned i = 0; i < STORES; i++) {
        sim_world_close(c->machines[i].world);
        sim_disk_free(c->machines[i].disk);
    }
    free(c);
}

static void run_for(struct cluster *c, uint64_t ns)
{
    sim_world_run_for(any_up(c)->world, ns);
}

/* The machine that leads and may serve, after some virtual seconds at most. */
static struct machine *leader(struct cluster *c)
{
    for (int i = 0; i < 300; i++) {
        for (unsigned k = 0; k < STORES; k++)
            if (c->machines[k].regions != NULL && !c->machines[k].cut &&
                region_leads(c->machines[k].regions, REGION_SYSTEM, NULL))
                return &c->machines[k];
        run_for(c, 100 * MS);
    }
    CHECK(false);
    return NULL;
}

/* ---- Operations --------------------------------------------------------------------------- */

struct put {
    struct region_write write;
    struct command command;
    struct bytes body;
    uint8_t bytes[64];
    bool done;
};

static void put_done(struct region_write *w)
{
    container_of(w, struct put, write)->done = true;
}

static void put_start(struct machine *m, struct put *p, const char *key, const char *value,
                      uint64_t deadline)
{
    struct err e = { 0 };
    uint8_t *at = p->bytes;
    memset(p, 0, sizeof *p);
    *at++ = 2 << 3, *at++ = 1;
    *at++ = 3 << 3 | 2, *at++ = (uint8_t)strlen(key);
    at = memcpy(at, key, strlen(key)), at += strlen(key);
    *at++ = 4 << 3 | 2, *at++ = (uint8_t)strlen(value);
    at = memcpy(at, value, strlen(value)), at += strlen(value);
    p->body = bytes_from(p->bytes, (size_t)(at - p->bytes));
    CHECK_OK(command_decode(COMMAND_RAW_PUT, p->body, &p->command, &e), e);
    p->write = (struct region_write){ .commands = &p->command,
                                      .bodies = &p->body,
                                      .count = 1,
                                      .deadline = env_now(m->env) + deadline,
                                      .done = put_done };
    region_propose(m->regions, &p->write);
    env_timer_start(m->env, &m->kick, 0);
}

static err_t put_now(struct cluster *c, struct machine *m, const char *key, const char *value)
{
    struct put p;
    put_start(m, &p, key, value, 10 * SECOND);
    for (int i = 0; i < 2000 && !p.done; i++)
        run_for(c, 10 * MS);
    CHECK(p.done);
    return p.write.rc;
}

struct get {
    struct region_read read;
    struct buf value;
    bool done;
};

static void get_done(struct region_read *q)
{
    container_of(q, struct get, read)->done = true;
}

/* "" if absent, "?" if refused; static until the next call. */
static const char *get_now(struct cluster *c, struct machine *m, const char *key)
{
    static char text[64];
    struct get g = { 0 };
    g.read = (struct region_read){ .ns = 1,
                                   .key = BYTES(key),
                                   .value = &g.value,
                                   .deadline = env_now(m->env) + 10 * SECOND,
                                   .done = get_done };
    region_get(m->regions, &g.read);
    env_timer_start(m->env, &m->kick, 0);
    for (int i = 0; i < 2000 && !g.done; i++)
        run_for(c, 10 * MS);
    CHECK(g.done);
    snprintf(text, sizeof text, "%.*s", (int)g.value.len, (char *)g.value.data);
    buf_free(&g.value);
    return g.read.rc == ERR_OK || g.read.rc == ERR_NOT_FOUND ? text : "?";
}

static void put_many(struct machine *m, int count)
{
    char key[16];
    for (int i = 0; i < count; i++) {
        struct put p;
        snprintf(key, sizeof key, "k%d", i);
        put_start(m, &p, key, "0123456789012345678901234567890", SECOND);
        while (!p.done)
            CHECK(sim_world_turn(m->world));
        CHECK_EQ(p.write.rc, ERR_OK);
    }
}

/* ---- Tests -------------------------------------------------------------------------------- */

TEST(group_elects_writes_reads_and_everybody_applies)
{
    struct cluster *c = cluster_new(1);
    struct machine *m = leader(c);
    CHECK_EQ(put_now(c, m, "k", "v"), ERR_OK);
    CHECK_STR(get_now(c, m, "k"), "v");
    run_for(c, SECOND);
    for (unsigned i = 0; i < STORES; i++) {
        struct buf value = { 0 };
        struct err e = { 0 };
        CHECK_OK(storage_get_raw(c->machines[i].store, 1, BYTES("k"), &value, &e), e);
        CHECK_BYTES(buf_bytes(&value), BYTES("v"));
        buf_free(&value);
    }
    cluster_free(c);
}

TEST(group_followers_name_the_leader_and_do_nothing)
{
    struct cluster *c = cluster_new(2);
    struct machine *m = leader(c);
    run_for(c, SECOND);
    for (unsigned i = 0; i < STORES; i++) {
        struct machine *other = &c->machines[i];
        struct put p;
        if (other == m)
            continue;
        put_start(other, &p, "k", "no", SECOND);
        CHECK(p.done);
        CHECK_EQ(p.write.rc, ERR_NOT_LEADER);
        CHECK_EQ(p.write.hint.leader_store, m->id);
        CHECK_STR(get_now(c, other, "k"), "?");
    }
    CHECK_STR(get_now(c, m, "k"), "");
    cluster_free(c);
}

TEST(group_idle_commit_does_not_wait_for_a_tick)
{
    struct cluster *c = cluster_new(3);
    struct machine *m = leader(c);
    for (int i = 0; i < 20; i++) { /* trap D91 */
        struct put p;
        uint64_t began = env_now(m->env);
        put_start(m, &p, "k", "v", SECOND);
        while (!p.done)
            CHECK(sim_world_turn(m->world));
        CHECK_EQ(p.write.rc, ERR_OK);
        CHECK(env_now(m->env) - began < 20 * MS);
        run_for(c, 37 * MS);
    }
    cluster_free(c);
}

TEST(d24_group_without_a_quorum_never_acknowledges)
{
    struct cluster *c = cluster_new(4);
    struct machine *m = leader(c);
    CHECK_EQ(put_now(c, m, "k", "v"), ERR_OK);
    for (unsigned i = 0; i < STORES; i++)
        if (&c->machines[i] != m)
            machine_crash(&c->machines[i], SIM_CRASH_KILL);
    err_t rc = put_now(c, m, "k", "lost");
    CHECK(rc == ERR_UNDETERMINED || rc == ERR_NOT_LEADER);
    CHECK_STR(get_now(c, m, "k"), "?");
    cluster_free(c);
}

TEST(d36_group_deposed_leader_reads_nothing_old)
{
    for (uint64_t seed = 20; seed < 26; seed++) {
        struct cluster *c = cluster_new(seed);
        struct machine *old = leader(c);
        CHECK_EQ(put_now(c, old, "k", "old"), ERR_OK);
        old->cut = true;
        struct machine *next = leader(c);
        CHECK(next != old);
        CHECK_EQ(put_now(c, next, "k", "new"), ERR_OK);
        CHECK_STR(get_now(c, old, "k"), "?"); /* whatever it believes */
        old->cut = false;
        run_for(c, 3 * SECOND);
        CHECK_STR(get_now(c, leader(c), "k"), "new");
        cluster_free(c);
    }
}

/* Whoever wants to be elected needs the vote of one that restarts, which may have promised the old leader to wait. */
TEST(d37_group_voter_that_restarts_waits_an_election_minimum)
{
    for (uint64_t seed = 60; seed < 72; seed++) {
        struct cluster *c = cluster_new(seed);
        struct machine *old = leader(c), *voter = &c->machines[old->id % STORES];
        machine_crash(old, SIM_CRASH_KILL);
        machine_crash(voter, SIM_CRASH_KILL);
        run_for(c, 2 * SECOND); /* the third asks for votes, and goes on asking */
        machine_boot(voter);
        machine_open(voter);
        for (int i = 0; i < 90; i++) {
            run_for(c, 10 * MS);
            for (unsigned k = 0; k < STORES; k++)
                CHECK(c->machines[k].regions == NULL ||
                      !region_leads(c->machines[k].regions, REGION_SYSTEM, NULL));
        }
        CHECK(leader(c) != old);
        cluster_free(c);
    }
}

TEST(group_survives_crashes_of_everybody_in_turn_under_load)
{
    for (uint64_t seed = 40; seed < 52; seed++) {
        struct cluster *c = cluster_new(seed);
        char key[16], value[16];
        char acked[8][16] = { { 0 } };
        unsigned count = 0;
        for (unsigned round = 0; round < 6; round++) {
            for (unsigned i = 0; i < 20; i++) {
                struct machine *m = leader(c);
                unsigned k = (unsigned)prng_below(&c->prng, 8);
                snprintf(key, sizeof key, "k%u", k);
                snprintf(value, sizeof value, "%u.%u", round, i);
                err_t rc = put_now(c, m, key, value);
                CHECK(rc == ERR_OK || rc == ERR_UNDETERMINED || rc == ERR_NOT_LEADER);
                if (rc == ERR_OK) {
                    snprintf(acked[k], sizeof acked[k], "%s", value);
                    count++;
                } else {
                    acked[k][0] = '?'; /* not known */
                }
            }
            struct machine *victim = &c->machines[prng_below(&c->prng, STORES)];
            machine_crash(victim, prng_chance(&c->prng, 1, 2) ? SIM_CRASH_DRAW : SIM_CRASH_KILL);
            run_for(c, prng_below(&c->prng, 3 * SECOND));
            machine_boot(victim);
            machine_open(victim);
        }
        CHECK(count > 60);
        struct machine *m = leader(c);
        for (unsigned k = 0; k < 8; k++) {
            snprintf(key, sizeof key, "k%u", k);
            if (acked[k][0] != '?')
                CHECK_STR(get_now(c, m, key), acked[k]);
        }
        cluster_free(c);
    }
}

/* Found by flotilla sim --seed 91: who leads again before its old proposals are decided has two of one index. */
TEST(group_leader_again_answers_each_proposal_by_its_own_entry)
{
    struct cluster *c = cluster_new(55);
    struct machine *m = leader(c);
    struct put old[6], new[8];
    char value[16];
    CHECK_EQ(put_now(c, m, "k", "v"), ERR_OK);
    m->cut = true;
    for (unsigned i = 0; i < 6; i++) { /* an entry each */
        snprintf(value, sizeof value, "old%u", i);
        put_start(m, &old[i], "k", value, 60 * SECOND);
        run_for(c, 10 * MS);
    }
    struct machine *next = leader(c);
    CHECK_EQ(put_now(c, next, "k", "between"), ERR_OK);
    m->cut = false;
    run_for(c, 400 * MS);
    struct err e = { 0 };
    CHECK_OK(region_transfer(next->regions, REGION_SYSTEM, m->id, &e), e);
    env_timer_start(next->env, &next->kick, 0);
    for (int i = 0; i < 100 && !region_leads(m->regions, REGION_SYSTEM, NULL); i++)
        run_for(c, 10 * MS);
    CHECK(region_leads(m->regions, REGION_SYSTEM, NULL));
    for (unsigned i = 0; i < 8; i++) {
        snprintf(value, sizeof value, "new%u", i);
        put_start(m, &new[i], "k", value, 60 * SECOND);
        run_for(c, 10 * MS);
    }
    run_for(c, 5 * SECOND);
    for (unsigned i = 0; i < 8; i++) {
        CHECK(new[i].done);
        CHECK_EQ(new[i].write.rc, ERR_OK);
    }
    for (unsigned i = 0; i < 6; i++) {
        CHECK(old[i].done);
        CHECK(old[i].write.rc == ERR_NOT_LEADER || old[i].write.rc == ERR_UNDETERMINED);
    }
    CHECK_STR(get_now(c, m, "k"), "new7");
    cluster_free(c);
}

TEST(group_follower_that_was_away_catches_up_from_the_log)
{
    struct cluster *c = cluster_new(60);
    struct machine *m = leader(c);
    struct machine *away = &c->machines[m->id % STORES];
    machine_crash(away, SIM_CRASH_KILL);
    put_many(m, 2000); /* more than a leader keeps in memory */
    machine_boot(away);
    machine_open(away);
    struct region_info ours, theirs;
    for (int i = 0; i < 100; i++) {
        run_for(c, 100 * MS);
        CHECK_EQ(region_info(leader(c)->regions, REGION_SYSTEM, &ours), ERR_OK);
        CHECK_EQ(region_info(away->regions, REGION_SYSTEM, &theirs), ERR_OK);
        if (theirs.applied == ours.applied)
            break;
    }
    CHECK_EQ(theirs.applied, ours.applied);
    cluster_free(c);
}

TEST(d35_group_cuts_no_log_above_what_every_member_has)
{
    struct cluster *c = cluster_new(90);
    struct machine *m = leader(c);
    struct machine *away = &c->machines[m->id % STORES],
                   *other = &c->machines[(m->id + 1) % STORES];
    struct region_info ours, theirs, last;
    put_many(m, 3000);
    run_for(c, 5 * SECOND);
    CHECK_EQ(region_info(m->regions, REGION_SYSTEM, &ours), ERR_OK);
    CHECK_EQ(region_info(other->regions, REGION_SYSTEM, &theirs), ERR_OK);
    CHECK(ours.first > 1000 && theirs.first > 1000); /* while all are there it is cut */
    CHECK_EQ(region_info(away->regions, REGION_SYSTEM, &last), ERR_OK);
    machine_crash(away, SIM_CRASH_KILL);
    put_many(m, 3000);
    run_for(c, 5 * SECOND);
    CHECK_EQ(region_info(m->regions, REGION_SYSTEM, &ours), ERR_OK);
    CHECK_EQ(region_info(other->regions, REGION_SYSTEM, &theirs), ERR_OK);
    CHECK(ours.first <= last.last + 1 && theirs.first <= last.last + 1);
    machine_crash(m, SIM_CRASH_KILL); /* and now the one that knew it by hearsay has to lead */
    machine_boot(away);
    machine_open(away);
    CHECK(leader(c) == other);
    CHECK_EQ(put_now(c, other, "k", "v"), ERR_OK);
    cluster_free(c);
}

TEST(d43_group_leader_whose_clock_jumps_ahead_evicts_itself_and_comes_back)
{
    struct cluster *c = cluster_new(80);
    struct machine *m = leader(c);
    CHECK_EQ(put_now(c, m, "k", "v"), ERR_OK);
    uint64_t half_an_hour = 1800 * SECOND, before = region_hlc(m->regions);
    sim_world_step_wall(m->world, (int64_t)half_an_hour);
    struct put p;
    put_start(m, &p, "k", "w", 10 * SECOND); /* at once, before anybody has noticed */
    run_for(c, 2 * SECOND);
    CHECK(p.done);
    CHECK(p.write.hlc < before + ((uint64_t)10000 << 16)); /* no stamp from there was ever made */
    CHECK_EQ(put_now(c, m, "k", "x"), ERR_UNAVAILABLE);
    CHECK(!region_leads(m->regions, REGION_SYSTEM, NULL));
    struct machine *next = leader(c);
    CHECK(next != m);
    CHECK_EQ(put_now(c, next, "k", "y"), ERR_OK);
    sim_world_step_wall(m->world, -(int64_t)half_an_hour);
    run_for(c, 2 * SECOND);
    struct err e = { 0 };
    CHECK_OK(region_transfer(next->regions, REGION_SYSTEM, m->id, &e), e);
    env_timer_start(next->env, &next->kick, 0);
    run_for(c, 2 * SECOND);
    CHECK(region_leads(m->regions, REGION_SYSTEM, NULL));
    CHECK_EQ(put_now(c, m, "k", "z"), ERR_OK);
    CHECK(region_hlc(m->regions) < before + ((uint64_t)60000 << 16));
    cluster_free(c);
}

TEST(d43_group_believes_a_jump_that_brings_its_clock_to_the_others)
{
    struct cluster *c = cluster_new(81);
    struct machine *m = leader(c);
    struct machine *slow = &c->machines[m->id % STORES];
    sim_world_step_wall(slow->world, -(int64_t)(10 * SECOND));
    run_for(c, 5 * SECOND);
    sim_world_step_wall(slow->world, (int64_t)(10 * SECOND));
    run_for(c, 5 * SECOND);
    CHECK_EQ(put_now(c, leader(c), "k", "v"), ERR_OK);
    run_for(c, SECOND);
    struct buf value = { 0 };
    struct err e = { 0 };
    CHECK_OK(storage_get_raw(slow->store, 1, BYTES("k"), &value, &e),
             e); /* it hears the others again */
    buf_free(&value);
    cluster_free(c);
}

TEST(group_hands_over_before_it_stops)
{
    struct cluster *c = cluster_new(70);
    struct machine *m = leader(c);
    CHECK_EQ(put_now(c, m, "k", "v"), ERR_OK);
    region_store_hand_over(m->regions);
    env_timer_start(m->env, &m->kick, 0);
    uint64_t began = env_now(m->env);
    while (region_leads(m->regions, REGION_SYSTEM, NULL))
        CHECK(sim_world_turn(m->world));
    struct machine *next = leader(c);
    CHECK(next != m);
    CHECK(env_now(m->env) - began < 500 * MS); /* sooner than any election by time-out */
    CHECK_STR(get_now(c, next, "k"), "v");
    cluster_free(c);
}

TEST_MAIN()
