/* The simulated world keeps the contract, under many seeds, and is the same for the same seed. */
#include "base/test.h"

#include "base/container.h"
#include "env_contract/env_contract.h"
#include "sim_world/world.h"

/* ---- The contract ---- */

static uint64_t seed;

static struct env *sim_open(struct env_contract *c)
{
    struct sim_world *world = sim_world_new(seed, NULL);
    struct env *env = sim_world_env(world);
    struct err e = { 0 };
    CHECK_OK(env_mkdir(env, "/test", &e), e);
    c->world = world;
    c->dir = c->unix_dir = "/test";
    c->uid = 1000;
    return env;
}

static void sim_run(struct env_contract *c)
{
    CHECK(sim_world_run(c->world)); /* false: everybody waits for nothing */
}

static void sim_close(struct env_contract *c)
{
    sim_world_close(c->world);
}

static struct env_contract virtual = { .open = sim_open, .run = sim_run, .close = sim_close };

enum { SEEDS = 5 };

#define ADD(name)                                                                                  \
    TEST(contract_##name)                                                                          \
    {                                                                                              \
        for (seed = 1; seed <= SEEDS; seed++)                                                      \
            env_contract_##name(&virtual);                                                         \
    }
ENV_CONTRACT(ADD)

/* ---- A small workload: one machine talks to another and writes what comes to a log ---- */

enum { MESSAGES = 20, MESSAGE = 700 };

struct machine {
    struct sim_world *world;
    struct env *env;
    struct env_stream *stream;
    uint8_t room[512];
    size_t received;
    int ends, closed, over;
    err_t write_rc;
};

struct load {
    struct sim_disk *disk;
    struct machine client, server;
    struct env_listener *listener;
    struct env_connect connect;
    struct env_write write[MESSAGES];
    uint8_t message[MESSAGE];
    const uint8_t *ordered; /* if not NULL: what is sent instead, all in all */
    struct env_timer timer;
    int sent;
    struct env_lane *lane;
    struct env_job job;
    struct env_file *log;
    uint64_t logged, in_job; /* bytes durable as far as we know; bytes that the job writes */
    bool job_running, no_log;
    err_t log_rc;
};

static struct env_room machine_room(void *user, size_t suggested)
{
    (void)suggested;
    struct machine *m = user;
    return (struct env_room){ m->room, sizeof m->room };
}

static void log_more(struct load *l)
{
    if (l->no_log || l->job_running || l->logged == l->server.received)
        return;
    l->in_job = l->server.received - l->logged;
    l->job_running = true;
    env_work(l->lane, &l->job);
}

static void server_read(void *user, size_t len, err_t rc)
{
    struct load *l = container_of(user, struct load, server);
    for (size_t i = 0; l->ordered != NULL && i < len; i++)
        CHECK_EQ(l->server.room[i], l->ordered[l->server.received + i]);
    l->server.received += len;
    if (len == 0) {
        CHECK_EQ(rc, ERR_CLOSED);
        l->server.ends++;
    }
    log_more(l);
}

static void client_read(void *user, size_t len, err_t rc)
{
    struct machine *m = user;
    CHECK(len == 0 && rc == ERR_CLOSED);
    m->ends++;
}

static void machine_closed(void *user)
{
    ((struct machine *)user)->closed++;
}

static const struct env_stream_ops server_ops = { machine_room, server_read, machine_closed };
static const struct env_stream_ops client_ops = { machine_room, client_read, machine_closed };

static void job_logs(struct env_job *job)
{
    struct load *l = container_of(job, struct load, job);
    size_t most = sizeof l->server.room;
    struct bytes b = bytes_from(l->server.room, l->in_job < most ? l->in_job : most);
    l->log_rc = env_file_write(l->log, l->logged, &b, 1, NULL);
    if (l->log_rc == ERR_OK)
        l->log_rc = env_file_sync(l->log, NULL);
    l->in_job = b.len;
}

static void job_logged(struct env_job *job)
{
    struct load *l = container_of(job, struct load, job);
    l->job_running = false;
    if (l->log_rc != ERR_OK)
        return;
    l->logged += l->in_job;
    log_more(l);
}

static void load_accept(void *user, struct env_stream *stream)
{
    struct load *l = user;
    l->server.stream = stream;
    env_stream_start(stream, &server_ops, &l->server);
}

static void message_over(struct env_write *write, err_t rc)
{
    (void)write;
    (void)rc;
}

static void send_next(struct env_timer *timer)
{
    struct load *l = container_of(timer, struct load, timer);
    struct bytes b = bytes_from(l->message, sizeof l->message);
    if (l->ordered != NULL)
        b.data = l->ordered + (size_t)l->sent * MESSAGE;
    l->write[l->sent].done = message_over;
    env_stream_write(l->client.stream, &b, 1, &l->write[l->sent]);
    if (++l->sent < MESSAGES)
        env_timer_start(l->client.env, timer, 1000000);
}

static void load_connected(struct env_connect *connect, err_t rc, struct env_stream *stream)
{
    struct load *l = container_of(connect, struct load, connect);
    CHECK_EQ(rc, ERR_OK);
    l->client.stream = stream;
    env_stream_start(stream, &client_ops, &l->client);
    env_timer_start(l->client.env, &l->timer, 0);
}

static struct load *load_new(uint64_t with_seed)
{
    struct load *l = calloc(1, sizeof *l);
    struct err e = { 0 };
    l->disk = sim_disk_new(with_seed);
    l->server.world = sim_world_new(with_seed, l->disk);
    l->client.world = sim_world_beside(l->server.world, NULL);
    l->server.env = sim_world_env(l->server.world);
    l->client.env = sim_world_env(l->client.world);
    l->job = (struct env_job){ .run = job_logs, .done = job_logged };
    l->connect.done = load_connected;
    l->timer.fire = send_next;
    memset(l->message, 'm', sizeof l->message);
    CHECK_OK(env_file_open(l->server.env, "log", ENV_OPEN_WRITE | ENV_OPEN_CREATE, &l->log, &e), e);
    CHECK_OK(env_dir_sync(l->server.env, "/", &e), e);
    CHECK_OK(env_lane_open(l->server.env, ENV_LANE_LOG, "log", &l->lane, &e), e);
    CHECK_OK(env_listen(l->server.env, "127.0.0.1:7001", load_accept, l, &l->listener, &e), e);
    CHECK_OK(env_connect(l->client.env, "127.0.0.1:7001", &l->connect, &e), e);
    return l;
}

static void load_free(struct load *l)
{
    env_listener_close(l->listener);
    if (l->client.stream != NULL)
        env_stream_close(l->client.stream);
    if (l->server.stream != NULL)
        env_stream_close(l->server.stream);
    env_timer_stop(l->client.env, &l->timer);
    env_lane_close(l->lane);
    env_file_close(l->log);
    sim_world_close(l->client.world);
    sim_world_close(l->server.world);
    CHECK_EQ(l->client.closed, l->client.stream != NULL);
    CHECK_EQ(l->server.closed, l->server.stream != NULL);
    sim_disk_free(l->disk);
    free(l);
}

enum { ALL = MESSAGES * MESSAGE };

TEST(sim_same_seed_same_hash)
{
    uint64_t hash[40];
    for (uint64_t run = 0; run < 40; run++) {
        struct load *l = load_new(run / 2);     /* each seed twice */
        CHECK(!sim_world_run(l->server.world)); /* nothing is left to happen */
        CHECK_EQ(l->server.received, ALL);
        CHECK_EQ(l->logged, ALL);
        hash[run] = sim_world_hash(l->server.world);
        load_free(l);
        if (run % 2 == 1)
            CHECK(hash[run] == hash[run - 1]);
        for (uint64_t i = 0; run % 2 == 1 && i < run - 1; i++)
            CHECK(hash[i] != hash[run]);
    }
}

/* Another byte on the wire or in a file is another history. */
TEST(sim_hash_sees_contents)
{
    for (int logs = 0; logs < 2; logs++) {
        struct load *a = load_new(1), *b = load_new(1);
        a->no_log = b->no_log = !logs;
        b->message[MESSAGE - 1] = 'x';
        sim_world_run(a->server.world);
        sim_world_run(b->server.world);
        CHECK_EQ(sim_world_events(a->server.world), sim_world_events(b->server.world));
        CHECK(sim_world_hash(a->server.world) != sim_world_hash(b->server.world));
        load_free(a);
        load_free(b);
    }
}

TEST(sim_one_byte_segments)
{
    struct load *l = load_new(3);
    struct sim_net net = sim_world_net_default();
    net.segment_least = net.segment_most = 1;
    sim_world_set_net(l->server.world, &net);
    sim_world_run(l->server.world);
    CHECK_EQ(l->server.received, ALL);
    CHECK(sim_world_events(l->server.world) > ALL);
    load_free(l);
}

TEST(sim_cut_link_holds_bytes_back)
{
    struct load *l = load_new(4);
    while (l->server.received == 0)
        CHECK(sim_world_turn(l->server.world));
    sim_world_cut_link(l->client.world, l->server.world, true);
    sim_world_run_for(l->server.world, 5000000000);
    CHECK_EQ(l->sent, MESSAGES);
    size_t before = l->server.received;
    CHECK(before < ALL);
    sim_world_run_for(l->server.world, 5000000000);
    CHECK_EQ(l->server.received, before);
    CHECK_EQ(l->server.ends + l->client.ends, 0); /* nobody was told */
    sim_world_cut_link(l->client.world, l->server.world, false);
    sim_world_run_for(l->server.world, 5000000000);
    CHECK_EQ(l->server.received, ALL);
    load_free(l);
}

/* However often a link is cut and healed, the bytes of a stream keep their order. */
TEST(sim_flapping_link_keeps_the_order_of_bytes)
{
    static uint8_t counted[ALL];
    for (size_t i = 0; i < ALL; i++)
        counted[i] = (uint8_t)(i ^ i >> 8);
    for (uint64_t s = 0; s < 50; s++) {
        struct load *l = load_new(s);
        struct sim_net net = sim_world_net_default();
        net.segment_most = 200; /* many on their way at once */
        net.most_ns = 5000000;
        l->no_log = true;
        l->ordered = counted;
        sim_world_set_net(l->server.world, &net);
        for (unsigned i = 0; i < 200; i++) {
            sim_world_run_for(l->server.world, (s * 7919 + i * 104729) % 500000);
            sim_world_cut_link(l->client.world, l->server.world, i % 2 == 0);
        }
        sim_world_run(l->server.world);
        CHECK_EQ(l->server.received, ALL);
        load_free(l);
    }
}

/* What was held back dies with the power of its sender; after it came back the stream is reset at the next word. */
TEST(sim_power_takes_what_a_cut_holds_back)
{
    struct load *l = load_new(20);
    while (l->server.received == 0)
        CHECK(sim_world_turn(l->server.world));
    sim_world_cut_link(l->client.world, l->server.world, true);
    sim_world_run_for(l->server.world, 5000000000);
    size_t received = l->server.received;
    CHECK(received < ALL);
    sim_world_crash(l->client.world, SIM_CRASH_LOSE);
    sim_world_cut_link(l->client.world, l->server.world, false);
    sim_world_run_for(l->server.world, 5000000000);
    CHECK_EQ(l->server.received, received);
    CHECK_EQ(l->server.ends, 0);
    load_free(l);
}

TEST(sim_frozen_machine_misses_nothing)
{
    const uint64_t second = 1000000000;
    struct load *l = load_new(21);
    while (l->server.received == 0)
        CHECK(sim_world_turn(l->server.world));
    sim_world_freeze(l->server.world, second);
    sim_world_freeze(l->server.world, 3 * second);
    sim_world_freeze(l->server.world, second); /* the longest counts */
    CHECK(sim_world_frozen(l->server.world));
    uint64_t now = env_now(l->server.env);
    size_t before = l->server.received;
    sim_world_run_for(l->client.world, 2900000000);
    CHECK_EQ(l->sent, MESSAGES); /* the others run on */
    CHECK_EQ(l->server.received, before);
    CHECK(sim_world_frozen(l->server.world));
    CHECK(env_now(l->server.env) - now >= 2900000000); /* as a clock does while one sleeps */
    sim_world_run(l->client.world);
    CHECK(!sim_world_frozen(l->server.world));
    CHECK_EQ(l->server.received, ALL);
    CHECK_EQ(l->logged, ALL);
    load_free(l);
}

TEST(sim_frozen_machine_can_lose_its_power)
{
    for (uint64_t s = 0; s < 20; s++) {
        struct load *l = load_new(s);
        sim_world_run_for(l->server.world, 2000000 + s * 700000);
        sim_world_freeze(l->server.world, 1000000000);
        sim_world_run_for(l->client.world, 5000000);
        sim_world_crash(l->server.world, s % 2 ? SIM_CRASH_KILL : SIM_CRASH_LOSE);
        size_t received = l->server.received;
        sim_world_run_for(l->client.world, 2000000000);
        CHECK_EQ(l->server.received, received);
        load_free(l);
    }
}

TEST(sim_resets_are_counted_and_end_both_sides)
{
    unsigned reset_runs = 0;
    for (uint64_t s = 0; s < 20; s++) {
        struct load *l = load_new(s);
        struct sim_net net = sim_world_net_default();
        net.reset_per_million = 50000;
        sim_world_set_net(l->server.world, &net);
        sim_world_run(l->server.world);
        if (sim_world_resets(l->server.world) > 0) {
            reset_runs++;
            CHECK_EQ(l->server.ends, 1);
            CHECK_EQ(l->client.ends, 1);
        } else {
            CHECK_EQ(l->server.received, ALL);
        }
        load_free(l);
    }
    CHECK(reset_runs > 5 && reset_runs < 20);
    struct load *l = load_new(5);
    while (l->server.received == 0)
        CHECK(sim_world_turn(l->server.world));
    CHECK_EQ(sim_world_reset_streams(l->server.world), 1);
    sim_world_run(l->server.world);
    CHECK(l->server.ends == 1 && l->client.ends == 1 && l->server.received < ALL);
    load_free(l);
}

/* A killed process is noticed, a machine without power is not. */
TEST(sim_crash_is_loud_or_silent)
{
    for (int power = 0; power < 2; power++) {
        struct load *l = load_new(6);
        while (l->logged == 0)
            CHECK(sim_world_turn(l->server.world));
        sim_world_crash(l->server.world, power ? SIM_CRASH_DRAW : SIM_CRASH_KILL);
        CHECK(sim_world_crashed(l->server.world));
        CHECK(!sim_world_run(l->server.world));
        size_t received = l->server.received, logged = l->logged;
        sim_world_run_for(l->client.world, 60000000000);
        CHECK_EQ(l->client.ends, power ? 0 : 1);
        CHECK_EQ(l->server.received, received); /* nothing happens to the dead */
        CHECK_EQ(l->logged, logged);
        uint64_t size = 0;
        struct buf content = { 0 };
        CHECK_EQ(sim_disk_peek(l->disk, "log", &content), ERR_OK);
        size = content.len;
        buf_free(&content);
        CHECK(size >= logged); /* what was synced and answered is there */
        load_free(l);
    }
}

/* A machine that comes back listens where it did, although nobody has cleaned up after its former life. */
TEST(sim_machine_comes_back_at_its_address)
{
    struct load *l = load_new(14);
    struct env_listener *listener;
    struct err e = { 0 };
    while (l->logged == 0)
        CHECK(sim_world_turn(l->server.world));
    sim_world_crash(l->server.world, SIM_CRASH_KILL);
    struct load *again = calloc(1, sizeof *again);
    again->server.world = sim_world_beside(l->client.world, NULL);
    again->server.env = sim_world_env(again->server.world);
    again->connect.done = load_connected;
    again->timer.fire = send_next;
    again->no_log = true;
    again->client.env = l->client.env;
    CHECK_OK(env_listen(again->server.env, "127.0.0.1:7001", load_accept, again, &listener, &e), e);
    CHECK_OK(env_connect(l->client.env, "127.0.0.1:7001", &again->connect, &e), e);
    sim_world_run_for(again->server.world, 60000000000);
    CHECK_EQ(again->server.received, ALL);
    env_stream_close(again->client.stream);
    env_stream_close(again->server.stream);
    env_listener_close(listener);
    sim_world_close(again->server.world);
    load_free(l);
    CHECK(again->client.closed == 1 && again->server.closed == 1);
    free(again);
}

/* The machine stops before each effect in turn: what was acknowledged survives every one of them. */
TEST(sim_stop_at_every_effect)
{
    unsigned stops = 0;
    for (uint64_t n = 1;; n++) {
        struct load *l = load_new(7);
        sim_disk_stop_at(l->disk, sim_disk_effects(l->disk) + n);
        CHECK(!sim_world_run(l->server.world));
        bool stopped = sim_world_crashed(l->server.world);
        uint64_t acknowledged = l->logged;
        sim_world_crash(l->server.world, SIM_CRASH_DRAW);
        struct buf content = { 0 };
        CHECK_EQ(sim_disk_peek(l->disk, "log", &content), ERR_OK);
        CHECK(content.len >= acknowledged);
        for (size_t i = 0; i < acknowledged; i++)
            CHECK_EQ(content.data[i], 'm');
        buf_free(&content);
        load_free(l);
        if (!stopped)
            break;
        stops++;
    }
    CHECK(stops > 50); /* two effects a job */
}

TEST(sim_clocks_step_and_drift)
{
    struct sim_world *a = sim_world_new(8, NULL), *b = sim_world_beside(a, NULL);
    struct env *env_a = sim_world_env(a), *env_b = sim_world_env(b);
    const uint64_t second = 1000000000;
    CHECK_EQ(env_wall(env_a), env_wall(env_b)); /* at first all agree */
    CHECK(env_now(env_a) != env_now(env_b));    /* these never could */
    uint64_t wall = env_wall(env_a), now = env_now(env_a);
    sim_world_step_wall(a, -3600 * (int64_t)second);
    CHECK_EQ(env_wall(env_a), wall - 3600 * second);
    CHECK_EQ(env_now(env_a), now);
    sim_world_clock_rate(b, 1100000);
    uint64_t now_b = env_now(env_b), wall_b = env_wall(env_b);
    sim_world_run_for(a, 100 * second);
    CHECK_EQ(env_now(env_a) - now, 100 * second);
    CHECK_EQ(env_now(env_b) - now_b, 110 * second);
    CHECK_EQ(env_wall(env_b) - wall_b, 110 * second);
    CHECK_EQ(sim_world_wall_error(a), -3600 * (int64_t)second);
    CHECK_EQ(sim_world_wall_error(b), 10 * (int64_t)second);
    sim_world_step_wall(b, -sim_world_wall_error(b));
    CHECK_EQ(sim_world_wall_error(b), 0);
    sim_world_close(b);
    sim_world_close(a);
}

struct alarm {
    struct env_timer timer;
    struct env *env;
    uint64_t due, at;
};

static void ring(struct env_timer *timer)
{
    struct alarm *a = container_of(timer, struct alarm, timer);
    a->at = env_now(a->env);
}

TEST(sim_timers_follow_their_clock)
{
    struct sim_world *world = sim_world_new(9, NULL);
    struct alarm a = { .timer.fire = ring, .env = sim_world_env(world) };
    const uint64_t second = 1000000000;
    sim_world_clock_rate(world, 500000); /* half as fast */
    a.due = env_now(a.env) + second;
    env_timer_start(a.env, &a.timer, second);
    sim_world_run_for(world, second);
    CHECK_EQ(a.at, 0);
    sim_world_clock_rate(world, 2000000); /* now twice: the other half second takes a quarter */
    sim_world_run_for(world, second / 4 + 1000000);
    CHECK(a.at >= a.due && a.at < a.due + 10000000);
    sim_world_close(world);
}

static void job_nothing(struct env_job *job)
{
    (void)job;
}

static void job_ends(struct env_job *job)
{
    (void)job;
}

struct counted {
    struct env_job job;
    int count;
};

static void count_job(struct env_job *job)
{
    container_of(job, struct counted, job)->count++;
}

/* Closing finishes what was posted, and takes it off the queue: another world of the universe runs on. */
TEST(sim_close_serves_posts)
{
    struct sim_world *a = sim_world_new(13, NULL), *b = sim_world_beside(a, NULL);
    struct counted c = { .job.done = count_job };
    env_post(sim_world_env(a), &c.job);
    sim_world_close(a);
    CHECK_EQ(c.count, 1);
    CHECK(!sim_world_run(b));
    CHECK_EQ(c.count, 1);
    sim_world_close(b);
}

TEST(sim_stalled_lane_takes_its_time)
{
    struct sim_world *world = sim_world_new(10, NULL);
    struct env *env = sim_world_env(world);
    struct env_lane *lane;
    struct err e = { 0 };
    struct env_job job = { .run = job_nothing, .done = job_ends };
    CHECK_OK(env_lane_open(env, ENV_LANE_LOG, "log", &lane, &e), e);
    sim_world_stall_lane(world, ENV_LANE_LOG, 5000000000);
    env_work(lane, &job);
    sim_world_run_for(world, 4900000000);
    CHECK_EQ(env_lane_depth(lane), 1);
    sim_world_run_for(world, 200000000);
    CHECK_EQ(env_lane_depth(lane), 0);
    env_lane_close(lane);
    sim_world_close(world);
}

TEST(sim_stalled_disk_moves_time)
{
    struct sim_world *world = sim_world_new(11, NULL);
    struct env *env = sim_world_env(world);
    uint64_t before = env_now(env);
    struct err e = { 0 };
    sim_disk_stall_ns(sim_world_disk(world), 7000000000);
    sim_disk_fault(sim_world_disk(world), SIM_FAULT_STALL, "slow", 1);
    CHECK_OK(env_write_file(env, "slow", BYTES("x"), &e), e);
    CHECK(env_now(env) - before >= 7000000000);
    CHECK_EQ(sim_disk_fault_count(sim_world_disk(world), SIM_FAULT_STALL), 1);
    sim_world_close(world);
}

/* Closes the server's machine, which has crashed; the client's runs on for a while: the ends that it has read. */
static int load_end_without_server(struct load *l, uint64_t ns)
{
    env_listener_close(l->listener);
    env_stream_close(l->server.stream);
    env_lane_close(l->lane);
    env_file_close(l->log);
    sim_world_close(l->server.world);
    sim_world_run_for(l->client.world, ns);
    int ends = l->client.ends;
    env_stream_close(l->client.stream);
    env_timer_stop(l->client.env, &l->timer);
    sim_world_close(l->client.world);
    sim_disk_free(l->disk);
    free(l);
    return ends;
}

/* Without power: silence. Once the machine has started again, whoever writes to it is reset. */
TEST(sim_restarted_machine_knows_no_old_streams)
{
    struct load *l = load_new(23);
    while (l->logged == 0)
        CHECK(sim_world_turn(l->server.world));
    sim_world_crash(l->server.world, SIM_CRASH_LOSE);
    sim_world_run_for(l->client.world, 5000000);
    CHECK(l->sent < MESSAGES && l->client.ends == 0);
    CHECK_EQ(load_end_without_server(l, 5000000), 1);
}

/* A machine can end between the healing of a link and the arrival of what was held back, frozen or not. */
TEST(sim_machine_ends_before_what_was_held_back_arrives)
{
    for (uint64_t s = 0; s < 10; s++) {
        struct load *l = load_new(s);
        while (l->server.received == 0)
            CHECK(sim_world_turn(l->server.world));
        sim_world_cut_link(l->client.world, l->server.world, true);
        sim_world_run_for(l->client.world, 5000000);
        if (s % 2 == 1)
            sim_world_freeze(l->server.world, 1000000000);
        sim_world_cut_link(l->client.world, l->server.world, false);
        if (s % 2 == 1)
            sim_world_run_for(l->client.world, 5000000);
        sim_world_crash(l->server.world, s % 3 == 0 ? SIM_CRASH_KILL : SIM_CRASH_LOSE);
        (void)load_end_without_server(l, 50000000);
    }
}

/* A world that crashed in the midst of everything can be thrown away as it is. */
TEST(sim_crashed_world_needs_no_cleaning)
{
    for (uint64_t s = 0; s < 30; s++) {
        struct load *l = load_new(s);
        sim_world_run_for(l->server.world, s * 700000);
        sim_world_crash(l->server.world, s % 2 ? SIM_CRASH_KILL : SIM_CRASH_LOSE);
        sim_world_crash(l->client.world, s % 3 ? SIM_CRASH_KILL : SIM_CRASH_LOSE);
        env_file_close(l->log); /* files alone keep the disk busy */
        sim_world_close(l->server.world);
        sim_world_close(l->client.world);
        sim_disk_free(l->disk);
        free(l);
    }
}

static void gave_up(struct env_connect *connect, err_t rc, struct env_stream *stream)
{
    CHECK(connect->world == NULL && rc == ERR_CANCELLED && stream == NULL);
    connect->done = NULL;
}

/* Whoever gives up connecting and ends the world in one breath is told all the same: he has memory to free. */
TEST(sim_cancelled_connects_end_with_their_world)
{
    for (uint64_t s = 0; s < 20; s++) {
        struct sim_world *world = sim_world_new(s, NULL), *other = sim_world_beside(world, NULL);
        struct env_connect connect = { .done = gave_up };
        struct err e = { 0 };
        sim_world_cut_link(world, other, s % 2 == 0);
        CHECK_OK(env_connect(sim_world_env(world), "127.0.0.1:7", &connect, &e), e);
        sim_world_run_for(world, s * 500);
        if (s % 3 == 0)
            sim_world_crash(world, SIM_CRASH_KILL);
        env_connect_cancel(sim_world_env(world), &connect);
        sim_world_close(world);
        sim_world_close(other);
        CHECK(connect.done == NULL);
    }
}

TEST(sim_trace_has_a_line_per_event)
{
    char *text = NULL;
    size_t len = 0;
    FILE *to = open_memstream(&text, &len);
    struct load *l = load_new(12);
    uint64_t before = sim_world_events(l->server.world), lines = 0;
    sim_world_trace(l->server.world, to);
    sim_world_run(l->server.world);
    uint64_t events = sim_world_events(l->server.world) - before;
    sim_world_trace(l->server.world, NULL);
    fclose(to);
    for (size_t i = 0; i < len; i++)
        lines += text[i] == '\n';
    CHECK_EQ(lines, events);
    CHECK_CONTAINS(text, " sync ");
    CHECK_CONTAINS(text, " data ");
    free(text);
    load_free(l);
}

TEST_MAIN()
