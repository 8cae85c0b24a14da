/* The region over a real store on a simulated machine: virtual time, virtual lanes, a disk that
 * forgets. */
#include "region/region.h"

#include "base/container.h"
#include "base/hlc.h"
#include "base/test.h"
#include "sim_world/disk.h"
#include "sim_world/world.h"
#include "storage/engine_mem.h"

#define SECOND UINT64_C(1000000000)

struct machine {
    struct sim_disk *disk;
    struct sim_world *world;
    struct env *env;
    struct storage *store;
    struct region_store *region;
    struct region_config config;
    uint64_t seed;
    unsigned failures;
};

static void machine_failed(void *user, err_t rc, const char *why)
{
    struct machine *m = user;
    (void)rc, (void)why;
    m->failures++;
}

static struct storage_config store_config(void)
{
    return (struct storage_config){
        .path = "/store", .engine = &engine_mem, .segment_bytes = 8 << 20, .spare_segments = 1
    };
}

static void machine_start(struct machine *m)
{
    struct err e = { 0 };
    struct storage_config c = store_config();
    m->world = sim_world_new(m->seed++, m->disk);
    m->env = sim_world_env(m->world);
    err_t rc = storage_open(m->env, &c, &m->store, &e);
    if (rc == ERR_NOT_FOUND) {
        struct storage_ident ident = { .cluster_id = { 1 }, .store_id = 7, .incarnation = 3 };
        CHECK_OK(storage_init(m->env, &c, &ident, NULL, &e), e);
        rc = storage_open(m->env, &c, &m->store, &e);
    }
    CHECK_OK(rc, e);
    CHECK_OK(region_store_open(m->env, NULL, m->store, &m->config, &m->region, &e), e);
}

static struct machine *machine_new(uint64_t seed)
{
    struct machine *m = calloc(1, sizeof *m);
    m->disk = sim_disk_new(seed);
    m->seed = seed;
    m->config = (struct region_config){ .uncommitted_bytes_max = 16 << 20,
                                        .uncommitted_max = 10000,
                                        .busy_backoff_ms = 20,
                                        .reads_max = 1000,
                                        .apply_inline_bytes = 64 << 10,
                                        .samples = 16,
                                        .disk_reserve_percent = 5,
                                        .max_offset_ms = 500,
                                        .hlc_window_ms = 500,
                                        .path = "/store",
                                        .failed = machine_failed,
                                        .user = m };
    machine_start(m);
    return m;
}

static void machine_stop(struct machine *m)
{
    region_store_stop(m->region, true);
    region_store_close(m->region);
    storage_close(m->store);
    sim_world_close(m->world);
}

static void machine_kill(struct machine *m, enum sim_crash how)
{
    sim_world_crash(m->world, how);
    region_store_stop(m->region, false);
    region_store_close(m->region);
    storage_abandon(m->store);
    sim_world_close(m->world);
}

static void machine_free(struct machine *m)
{
    machine_stop(m);
    sim_disk_free(m->disk);
    free(m);
}

/* ---- Operations --------------------------------------------------------------------------- */

struct put {
    struct region_write write;
    struct command command;
    struct bytes body;
    uint8_t bytes[64];
    bool done;
    err_t rc, result;
    uint64_t version, hlc;
};

static void put_done(struct region_write *w)
{
    struct put *p = container_of(w, struct put, write);
    CHECK(!p->done);
    p->done = true;
    p->rc = w->rc;
    p->hlc = w->hlc;
    if (w->rc == ERR_OK) {
        const struct storage_result *r = region_write_result(w, 0);
        p->result = r->rc;
        p->version = r->version;
    }
}

/* The command and a body that decodes to it: namespace_id 2, key 3, value 4 or 5, as RawPut and
 * Cas have them. */
static void put_make(struct put *p, enum command_kind kind, const char *key, const char *value,
                     uint64_t expected)
{
    struct err e = { 0 };
    uint8_t *at = p->bytes;
    memset(p, 0, sizeof *p);
    *at++ = 2 << 3, *at++ = 1;
    *at++ = 3 << 3 | 2, *at++ = (uint8_t)strlen(key);
    at = memcpy(at, key, strlen(key)), at += strlen(key);
    if (kind == COMMAND_CAS)
        *at++ = 4 << 3, *at++ = (uint8_t)expected;
    if (kind == COMMAND_CAS || kind == COMMAND_RAW_PUT) {
        *at++ = (kind == COMMAND_CAS ? 5 : 4) << 3 | 2, *at++ = (uint8_t)strlen(value);
        at = memcpy(at, value, strlen(value)), at += strlen(value);
    }
    p->body = bytes_from(p->bytes, (size_t)(at - p->bytes));
    CHECK_OK(command_decode(kind, p->body, &p->command, &e), e);
    p->write = (struct region_write){ .commands = &p->command,
                                      .bodies = &p->body,
                                      .count = 1,
                                      .deadline = UINT64_MAX,
                                      .done = put_done };
}

static void put_start(struct machine *m, struct put *p, const char *key, const char *value)
{
    put_make(p, COMMAND_RAW_PUT, key, value, 0);
    region_propose(m->region, &p->write);
}

static void run_until(struct machine *m, const bool *done)
{
    for (int i = 0; i < 100000 && !*done; i++)
        CHECK(sim_world_turn(m->world));
    CHECK(*done);
}

static struct put put_now(struct machine *m, enum command_kind kind, const char *key,
                          const char *value, uint64_t expected)
{
    struct put p;
    put_make(&p, kind, key, value, expected);
    region_propose(m->region, &p.write);
    run_until(m, &p.done);
    return p;
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

static void get_start(struct machine *m, struct get *g, const char *key)
{
    memset(g, 0, sizeof *g);
    g->read = (struct region_read){
        .ns = 1, .key = BYTES(key), .value = &g->value, .deadline = UINT64_MAX, .done = get_done
    };
    region_get(m->region, &g->read);
}

/* The value in hex-free text, "" if absent; static until the next call. */
static const char *get_now(struct machine *m, const char *key)
{
    static char text[64];
    struct get g;
    get_start(m, &g, key);
    run_until(m, &g.done);
    CHECK(g.read.rc == ERR_OK || g.read.rc == ERR_NOT_FOUND);
    snprintf(text, sizeof text, "%.*s", (int)g.value.len, (char *)g.value.data);
    buf_free(&g.value);
    return text;
}

/* ---- Tests -------------------------------------------------------------------------------- */

TEST(region_put_is_read_after_its_answer_and_after_a_clean_restart)
{
    struct machine *m = machine_new(1);
    struct put p = put_now(m, COMMAND_RAW_PUT, "k", "v", 0);
    CHECK_EQ(p.rc, ERR_OK);
    CHECK_EQ(p.result, ERR_OK);
    CHECK(p.hlc != 0);
    CHECK_STR(get_now(m, "k"), "v");
    CHECK_STR(get_now(m, "other"), "");
    machine_stop(m);
    machine_start(m);
    CHECK_STR(get_now(m, "k"), "v");
    machine_free(m);
}

TEST(region_cas_is_decided_at_apply_in_log_order)
{
    struct machine *m = machine_new(2);
    struct put a, b;
    put_make(&a, COMMAND_CAS, "c", "one", 0);
    put_make(&b, COMMAND_CAS, "c", "two", 0);
    region_propose(m->region, &a.write); /* both in one turn, both expect absence */
    region_propose(m->region, &b.write);
    run_until(m, &b.done);
    CHECK_EQ(a.result, ERR_OK);
    CHECK_EQ(a.version, 1);
    CHECK_EQ(b.result, ERR_CONFLICT);
    CHECK_EQ(b.version, 1);
    CHECK_EQ(region_stats(m->region)->conflicts, 1);
    machine_free(m);
}

TEST(region_turns_gather_while_one_syncs)
{
    struct machine *m = machine_new(3);
    enum { N = 500 };
    struct put *p = calloc(N, sizeof *p);
    char key[16];
    for (int i = 0; i < N; i++) {
        snprintf(key, sizeof key, "k%d", i);
        put_start(m, &p[i], key, "v");
        if (i == 0)
            sim_world_turn(m->world); /* the first one alone is under way */
    }
    run_until(m, &p[N - 1].done);
    for (int i = 0; i < N; i++)
        CHECK(p[i].done && p[i].rc == ERR_OK);
    /* one turn for the first, one for all others: not one sync a write */
    CHECK(region_stats(m->region)->turns <= 4);
    CHECK_EQ(region_stats(m->region)->writes, N);
    free(p);
    machine_free(m);
}

TEST(region_limits_answer_busy_with_a_backoff_and_nothing_is_done)
{
    struct machine *m = machine_new(4);
    region_store_stop(m->region, true);
    region_store_close(m->region);
    struct err e = { 0 };
    m->config.uncommitted_max = 2;
    CHECK_OK(region_store_open(m->env, NULL, m->store, &m->config, &m->region, &e), e);
    struct put p[3];
    put_start(m, &p[0], "a", "1");
    put_start(m, &p[1], "b", "1");
    put_start(m, &p[2], "c", "1");
    CHECK(p[2].done);
    CHECK_EQ(p[2].rc, ERR_SERVER_IS_BUSY);
    CHECK_EQ(p[2].write.backoff_ms, 20);
    CHECK_CONTAINS(p[2].write.error.msg, "uncommitted_max");
    run_until(m, &p[1].done);
    CHECK_EQ(p[1].rc, ERR_OK);
    CHECK_STR(get_now(m, "c"), "");
    CHECK_EQ(put_now(m, COMMAND_RAW_PUT, "c", "2", 0).rc, ERR_OK); /* there is room again */
    machine_free(m);
}

TEST(region_expired_write_is_never_begun)
{
    struct machine *m = machine_new(5);
    struct put first, late;
    CHECK_EQ(put_now(m, COMMAND_RAW_PUT, "z", "0", 0).rc, ERR_OK); /* it leads now */
    put_start(m, &first, "a", "1");
    sim_world_turn(m->world); /* under way: the next one has to wait for its sync */
    put_make(&late, COMMAND_RAW_PUT, "late", "1", 0);
    late.write.deadline = env_now(m->env) + 1;
    region_propose(m->region, &late.write);
    run_until(m, &late.done);
    CHECK_EQ(late.rc, ERR_DEADLINE_EXCEEDED);
    CHECK_STR(get_now(m, "late"), "");
    CHECK_EQ(region_stats(m->region)->expired, 1);
    machine_free(m);
}

TEST(region_read_waits_for_what_was_committed_when_it_came)
{
    struct machine *m = machine_new(6);
    region_store_stop(m->region, true);
    region_store_close(m->region);
    struct err e = { 0 };
    m->config.apply_inline_bytes = 0; /* every turn goes to the APPLY lane */
    CHECK_OK(region_store_open(m->env, NULL, m->store, &m->config, &m->region, &e), e);
    CHECK_EQ(put_now(m, COMMAND_RAW_PUT, "z", "0", 0).rc, ERR_OK); /* it leads now */
    sim_world_lane_time(m->world, ENV_LANE_APPLY, SECOND, SECOND); /* and is slow there */
    struct put p;
    put_start(m, &p, "k", "v");
    const struct region_stats *s = region_stats(m->region);
    raft_index before = s->committed;
    for (int i = 0; i < 10000 && s->committed == before; i++)
        sim_world_turn(m->world);
    CHECK(s->committed > s->applied && !p.done);
    struct get g;
    get_start(m, &g, "k");
    CHECK(!g.done);
    CHECK_EQ(s->reads_waiting, 1);
    run_until(m, &g.done);
    CHECK(s->applied >= s->committed);
    CHECK_BYTES(buf_bytes(&g.value), BYTES("v"));
    CHECK_EQ(s->reads_waiting, 0);
    buf_free(&g.value);
    machine_free(m);
}

TEST(region_acknowledged_survives_every_kind_of_crash_unanswered_is_whole_or_absent)
{
    for (uint64_t seed = 100; seed < 112; seed++) {
        struct machine *m = machine_new(seed);
        enum { N = 60 };
        struct put *p = calloc(N, sizeof *p);
        char key[16];
        for (int i = 0; i < N; i++) {
            snprintf(key, sizeof key, "k%02d", i);
            put_start(m, &p[i], key, "value");
            for (uint64_t t = 0; t < (seed * 7 + (uint64_t)i) % 5; t++)
                sim_world_turn(m->world);
        }
        machine_kill(m, seed % 2 == 0 ? SIM_CRASH_DRAW : SIM_CRASH_KILL);
        int answered = 0;
        for (int i = 0; i < N; i++)
            CHECK(p[i].done); /* every write is answered once, whatever happens */
        machine_start(m);
        for (int i = 0; i < N; i++) {
            snprintf(key, sizeof key, "k%02d", i);
            const char *have = get_now(m, key);
            if (p[i].rc == ERR_OK)
                CHECK_STR(have, "value");
            else if (p[i].rc == ERR_UNAVAILABLE)
                CHECK_STR(have, "");
            else
                CHECK(strcmp(have, "") == 0 || strcmp(have, "value") == 0);
            answered += p[i].rc == ERR_OK;
        }
        CHECK(answered > 0);
        free(p);
        machine_free(m);
    }
}

TEST(region_failed_sync_latches_answers_undetermined_and_tells_the_node)
{
    struct machine *m = machine_new(7);
    CHECK_EQ(put_now(m, COMMAND_RAW_PUT, "a", "1", 0).rc, ERR_OK);
    sim_disk_fault(m->disk, SIM_FAULT_SYNC, "wal", 1);
    struct put p = put_now(m, COMMAND_RAW_PUT, "b", "1", 0);
    CHECK_EQ(sim_disk_fault_count(m->disk, SIM_FAULT_SYNC), 1);
    CHECK_EQ(p.rc, ERR_UNDETERMINED);
    CHECK_EQ(m->failures, 1);
    CHECK(region_stats(m->region)->latched);
    CHECK_EQ(put_now(m, COMMAND_RAW_PUT, "c", "1", 0).rc, ERR_UNAVAILABLE);
    struct get g;
    get_start(m, &g, "a");
    CHECK(g.done);
    CHECK_EQ(g.read.rc, ERR_UNAVAILABLE);
    region_store_stop(m->region, false);
    region_store_close(m->region);
    storage_abandon(m->store);
    sim_world_close(m->world);
    sim_disk_free(m->disk);
    free(m);
}

TEST(region_hlc_grows_across_crash_and_a_clock_set_back_an_hour)
{
    struct machine *m = machine_new(8);
    uint64_t last = 0;
    for (int round = 0; round < 6; round++) {
        for (int i = 0; i < 20; i++) {
            struct put p = put_now(m, COMMAND_RAW_PUT, "k", "v", 0);
            CHECK(p.hlc > last);
            last = p.hlc;
        }
        CHECK(region_hlc(m->region) >= last);
        if (round % 2 == 0)
            machine_kill(m, SIM_CRASH_LOSE);
        else
            machine_stop(m);
        machine_start(m);
        sim_world_step_wall(m->world, -(int64_t)(3600 * SECOND));
    }
    machine_free(m);
}

TEST(region_hlc_of_a_client_is_taken_in_or_refused_at_the_limit)
{
    struct machine *m = machine_new(9);
    uint64_t now_ms = env_wall(m->env) / 1000000;
    struct put p;
    put_make(&p, COMMAND_RAW_PUT, "k", "v", 0);
    p.command.client_hlc = hlc_pack(now_ms + 501 + 100, 0);
    region_propose(m->region, &p.write);
    CHECK(p.done);
    CHECK_EQ(p.rc, ERR_HLC_REFUSED);
    uint64_t ahead = hlc_pack(now_ms + 400, 7);
    put_make(&p, COMMAND_RAW_PUT, "k", "v", 0);
    p.command.client_hlc = ahead;
    region_propose(m->region, &p.write);
    run_until(m, &p.done);
    CHECK_EQ(p.rc, ERR_OK);
    CHECK(p.hlc > ahead); /* causality: our stamp is behind what the client has seen */
    CHECK_EQ(region_stats(m->region)->refused_hlc, 1);
    machine_free(m);
}

TEST(region_refuses_another_epoch_and_another_region)
{
    struct machine *m = machine_new(10);
    struct put p;
    put_make(&p, COMMAND_RAW_PUT, "k", "v", 0);
    p.command.version = 2;
    region_propose(m->region, &p.write);
    CHECK_EQ(p.rc, ERR_EPOCH_NOT_MATCH);
    put_make(&p, COMMAND_RAW_PUT, "k", "v", 0);
    p.command.region_id = 9;
    region_propose(m->region, &p.write);
    CHECK_EQ(p.rc, ERR_REGION_NOT_FOUND);
    CHECK_STR(get_now(m, "k"), "");
    machine_free(m);
}

TEST(region_full_disk_refuses_writes_and_lets_deletes_and_reads_pass)
{
    struct machine *m = machine_new(11);
    CHECK_EQ(put_now(m, COMMAND_RAW_PUT, "k", "v", 0).rc, ERR_OK);
    region_store_stop(m->region, true);
    region_store_close(m->region);
    struct err e = { 0 };
    uint64_t available, total;
    CHECK_OK(env_disk_free(m->env, "/store", &available, &total, &e), e);
    sim_disk_capacity(m->disk, (total - available) * 100 / 97); /* three per cent are free */
    CHECK_OK(region_store_open(m->env, NULL, m->store, &m->config, &m->region, &e), e);
    sim_world_run_for(m->world, 3 * SECOND);
    CHECK(region_stats(m->region)->disk_full);
    CHECK_EQ(put_now(m, COMMAND_RAW_PUT, "n", "v", 0).rc, ERR_DISK_FULL);
    CHECK_STR(get_now(m, "k"), "v");
    CHECK_EQ(put_now(m, COMMAND_RAW_DELETE, "k", "", 0).rc, ERR_OK);
    CHECK_STR(get_now(m, "k"), "");
    sim_disk_capacity(m->disk, 0);
    sim_world_run_for(m->world, 3 * SECOND);
    CHECK_EQ(put_now(m, COMMAND_RAW_PUT, "n", "v", 0).rc, ERR_OK);
    machine_free(m);
}

TEST(region_without_room_for_a_log_segment_refuses_and_goes_on_when_there_is_room)
{
    struct machine *m = machine_new(14);
    region_store_stop(m->region, true);
    region_store_close(m->region);
    storage_close(m->store);
    struct err e = { 0 };
    struct storage_config c = store_config();
    c.segment_bytes = 64 << 10; /* sixteen batches */
    m->config.disk_reserve_percent = 0;
    CHECK_OK(storage_open(m->env, &c, &m->store, &e), e);
    CHECK_OK(region_store_open(m->env, NULL, m->store, &m->config, &m->region, &e), e);
    uint64_t available, total, last = 0;
    CHECK_OK(env_disk_free(m->env, "/store", &available, &total, &e), e);
    sim_disk_capacity(m->disk, total - available + (96 << 10));
    struct put p[3000];
    unsigned written = 0;
    for (; written < 3000;
         written++) { /* one that finds no room waits: it is in the log of its group already */
        put_start(m, &p[written], "k", "v");
        for (int i = 0; i < 50 && !p[written].done; i++)
            sim_world_turn(m->world);
        if (!p[written].done || p[written].rc != ERR_OK)
            break;
        last = p[written].hlc;
    }
    CHECK(written > 10 && written < 3000);
    CHECK(!p[written].done || p[written].rc == ERR_DISK_FULL);
    CHECK_EQ(put_now(m, COMMAND_RAW_PUT, "k", "no", 0).rc, ERR_DISK_FULL);
    CHECK(!region_stats(m->region)->latched);
    CHECK_EQ(m->failures, 0);
    CHECK_STR(get_now(m, "k"), "v");
    sim_disk_capacity(m->disk, 0);
    run_until(m, &p[written].done);
    sim_world_run_for(m->world, 3 * SECOND);
    struct put again = put_now(m, COMMAND_RAW_PUT, "k", "w", 0);
    CHECK_EQ(again.rc, ERR_OK);
    CHECK(again.hlc > last);
    CHECK_STR(get_now(m, "k"), "w");
    machine_free(m);
}

static err_t row_count(void *user, struct bytes key, uint64_t version, struct bytes value)
{
    (void)key, (void)version, (void)value;
    ++*(int *)user;
    return ERR_OK;
}

struct scan {
    struct region_scan scan;
    bool done;
};

static void scan_done(struct region_scan *s)
{
    container_of(s, struct scan, scan)->done = true;
}

TEST(region_scan_stops_at_its_limit_and_says_where_to_go_on)
{
    struct machine *m = machine_new(12);
    char key[16];
    for (int i = 0; i < 10; i++) {
        snprintf(key, sizeof key, "k%d", i);
        CHECK_EQ(put_now(m, COMMAND_RAW_PUT, key, "v", 0).rc, ERR_OK);
    }
    int rows = 0;
    struct scan s = { .scan = { .args = { .ns = 1, .limit = 4, .limit_bytes = 1000 },
                                .deadline = UINT64_MAX,
                                .row = row_count,
                                .user = &rows,
                                .done = scan_done } };
    region_scan(m->region, &s.scan);
    run_until(m, &s.done);
    CHECK_EQ(s.scan.rc, ERR_OK);
    CHECK_EQ(rows, 4);
    CHECK(s.scan.more);
    CHECK_BYTES(buf_bytes(&s.scan.next), BYTES("k4"));
    buf_free(&s.scan.next);
    machine_free(m);
}

TEST(region_samples_are_sorted_distinct_keys_with_their_namespace)
{
    struct machine *m = machine_new(13);
    char key[16];
    for (int i = 0; i < 100; i++) {
        snprintf(key, sizeof key, "k%02d", i % 40);
        CHECK_EQ(put_now(m, COMMAND_RAW_PUT, key, "v", 0).rc, ERR_OK);
    }
    const struct bytes *keys;
    size_t n = region_samples(m->region, &keys);
    CHECK(n >= 4 && n <= 16);
    for (size_t i = 0; i < n; i++) {
        CHECK_EQ(keys[i].len, 4 + 3);
        CHECK_EQ(memcmp(keys[i].data, "\0\0\0\1k", 5), 0);
        if (i > 0)
            CHECK(bytes_compare(keys[i - 1], keys[i]) < 0);
    }
    sim_world_run_for(m->world, 5 * SECOND);
    CHECK(region_stats(m->region)->writes_per_s > 0);
    machine_free(m);
}

TEST_MAIN()
