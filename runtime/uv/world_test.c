/* The machine's world keeps the contract, and what is true of machines alone. */
#include "base/test.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/container.h"
#include "env_contract/env_contract.h"
#include "uv/world.h"

/* ---- The contract ---- */

static struct env *machine_open(struct env_contract *c)
{
    struct world *world = NULL;
    struct err e = { 0 };
    CHECK_OK(world_open(NULL, &world, &e), e);
    c->world = world;
    c->dir = c->unix_dir = test_dir();
    c->uid = (uint32_t)getuid();
    return world_env(world);
}

static void machine_run(struct env_contract *c)
{
    world_run(c->world);
}

static void machine_close(struct env_contract *c)
{
    world_close(c->world);
    free((char *)(uintptr_t)c->dir);
}

static struct env_contract machine = {
    .open = machine_open, .run = machine_run, .close = machine_close, .threads = true
};

#define ADD(name)                                                                                  \
    TEST(contract_##name)                                                                          \
    {                                                                                              \
        env_contract_##name(&machine);                                                             \
    }
ENV_CONTRACT(ADD)
ENV_CONTRACT_THREADS(ADD)

/* The same with lanes that spin. */
static struct env *spinning_open(struct env_contract *c)
{
    static const struct world_config config = { .spin_ns = 20000 };
    struct world *world = NULL;
    struct err e = { 0 };
    CHECK_OK(world_open(&config, &world, &e), e);
    c->world = world;
    c->dir = c->unix_dir = test_dir();
    return world_env(world);
}

static struct env_contract spinning = {
    .open = spinning_open, .run = machine_run, .close = machine_close, .threads = true
};

TEST(spinning_lanes)
{
    env_contract_lane_is_a_fifo(&spinning);
    env_contract_lane_done_queues_more(&spinning);
    env_contract_lane_close_serves_everything(&spinning);
}

/* ---- Lanes are threads with their priority ---- */

struct look {
    struct env_job job;
    int policy, nice;
    bool blocks_sigterm, blocks_sigsegv, done;
    char name[16];
};

static void look_around(struct env_job *job)
{
    struct look *l = container_of(job, struct look, job);
    sigset_t blocked;
    l->policy = sched_getscheduler(0);
    l->nice = getpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid));
    pthread_sigmask(SIG_BLOCK, NULL, &blocked);
    l->blocks_sigterm = sigismember(&blocked, SIGTERM);
    l->blocks_sigsegv = sigismember(&blocked, SIGSEGV);
    pthread_getname_np(pthread_self(), l->name, sizeof l->name);
}

static void looked(struct env_job *job)
{
    container_of(job, struct look, job)->done = true;
}

static struct look look_at(struct env *env, enum env_lane_kind kind)
{
    struct look l = { .job = { .run = look_around, .done = looked } };
    struct env_lane *lane;
    struct err e = { 0 };
    CHECK_OK(env_lane_open(env, kind, "fifteen letters", &lane, &e), e);
    env_work(lane, &l.job);
    env_lane_close(lane);
    CHECK(l.done);
    return l;
}

TEST(lane_threads_have_their_priority)
{
    struct env *env = machine_open(&machine);
    int own = getpriority(PRIO_PROCESS, 0);
    struct look l = look_at(env, ENV_LANE_LOG);
    CHECK_EQ(l.policy, SCHED_OTHER);
    CHECK_EQ(l.nice, own);
    CHECK(l.blocks_sigterm && !l.blocks_sigsegv);
    CHECK_STR(l.name, "fifteen letters");
    l = look_at(env, ENV_LANE_BULK);
    CHECK_EQ(l.policy, SCHED_OTHER);
    CHECK(l.nice >= 10);
    l = look_at(env, ENV_LANE_SCRIPT);
    CHECK_EQ(l.policy, SCHED_IDLE);
    CHECK_EQ(getpriority(PRIO_PROCESS, 0), own); /* the loop's thread keeps its own */
    CHECK_EQ(sched_getscheduler(0), SCHED_OTHER);
    machine_close(&machine);
}

/* ---- Unix sockets and their files ---- */

static void refuse(void *user, struct env_stream *stream)
{
    (void)user;
    env_stream_close(stream);
}

static void dead_socket(const char *path)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK_EQ(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    CHECK_EQ(listen(fd, 1), 0);
    close(fd); /* as a killed process leaves it */
}

TEST(unix_socket_files)
{
    struct env *env = machine_open(&machine);
    struct env_listener *listener = NULL, *second = NULL;
    struct err e = { 0 };
    struct stat st;
    char path[256], address[300];
    snprintf(path, sizeof path, "%s/s", machine.dir);
    snprintf(address, sizeof address, "unix:%s", path);
    dead_socket(path);
    mode_t mask = umask(0);
    CHECK_OK(env_listen(env, address, refuse, NULL, &listener, &e), e); /* replaces the dead one */
    umask(mask);
    CHECK_EQ(stat(path, &st), 0);
    CHECK_EQ(st.st_mode & 0777, 0600);
    CHECK_EQ(env_listen(env, address, refuse, NULL, &second, &e), ERR_ADDRESS_IN_USE);
    CHECK_EQ(stat(path, &st), 0); /* the living one is not touched */
    env_listener_close(listener);
    CHECK(stat(path, &st) != 0); /* a clean end leaves no file */

    CHECK_OK(env_listen(env, address, refuse, NULL, &listener, &e), e);
    CHECK_EQ(unlink(path), 0);
    int fd = open(path, O_CREAT | O_WRONLY, 0600); /* somebody else's file, at the same path */
    close(fd);
    env_listener_close(listener);
    CHECK_EQ(stat(path, &st), 0);
    CHECK_EQ(env_listen(env, address, refuse, NULL, &second, &e),
             ERR_ADDRESS_IN_USE); /* not a socket: not ours */
    CHECK_CONTAINS(e.msg, "no socket");
    CHECK_EQ(stat(path, &st), 0);
    machine_close(&machine);
}

/* ---- Signals ---- */

struct signals {
    struct env *env;
    int got[2];
};

static void on_signal(void *user, int signum)
{
    struct signals *s = user;
    s->got[signum == SIGUSR2]++;
    if (s->got[0] > 0 && s->got[1] > 0)
        env_stop(s->env);
}

TEST(signals_arrive_on_the_loop)
{
    struct signals s = { .env = machine_open(&machine) };
    struct err e = { 0 };
    CHECK_OK(world_on_signal(machine.world, SIGUSR1, on_signal, &s, &e), e);
    CHECK_OK(world_on_signal(machine.world, SIGUSR2, on_signal, &s, &e), e);
    CHECK(world_on_signal(machine.world, SIGKILL, on_signal, &s, &e) != ERR_OK);
    kill(getpid(), SIGUSR1);
    kill(getpid(), SIGUSR2);
    CHECK_EQ(s.got[0] + s.got[1], 0);
    world_run(machine.world);
    CHECK(s.got[0] == 1 && s.got[1] == 1);
    machine_close(&machine);
}

/* ---- Descriptors run out (F-R1) ---- */

enum { CLIENTS = 40 };

struct crowd {
    struct env *env;
    struct env_stream *stream[CLIENTS];
    int accepted;
    int fd[CLIENTS];
    uint64_t pause_seen[2];
};

static struct env_room one_byte(void *user, size_t suggested)
{
    (void)user, (void)suggested;
    static uint8_t byte;
    return (struct env_room){ &byte, 1 };
}

static void ignore_read(void *user, size_t len, err_t rc)
{
    (void)user, (void)len, (void)rc;
}

static void ignore_closed(void *user)
{
    (void)user;
}

static const struct env_stream_ops ignoring = { one_byte, ignore_read, ignore_closed };

static void crowd_accept(void *user, struct env_stream *stream)
{
    struct crowd *c = user;
    if (c->accepted < CLIENTS)
        c->stream[c->accepted] = stream;
    c->accepted++;
    env_stream_start(stream, &ignoring, c);
}

static bool paused_twice(void *user)
{
    struct crowd *c = user;
    struct world_stats stats;
    world_stats(machine.world, &stats);
    for (uint64_t i = 0; i < stats.accept_pauses && i < 2; i++)
        if (c->pause_seen[i] == 0)
            c->pause_seen[i] = env_now(c->env);
    return stats.accept_pauses >= 2;
}

static bool eleven(void *user)
{
    return ((struct crowd *)user)->accepted > 10;
}

static void close_all(struct crowd *c)
{
    for (int i = 0; i < c->accepted && i < CLIENTS; i++)
        if (c->stream[i] != NULL)
            env_stream_close(c->stream[i]);
    memset(c->stream, 0, sizeof c->stream);
    c->accepted = 0;
}

static int count_descriptors(void)
{
    int n = 0;
    for (int fd = 0; fd < 1024; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

TEST(accept_survives_without_descriptors)
{
    struct crowd c = { .env = machine_open(&machine) };
    struct env_listener *listener;
    struct err e = { 0 };
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    char address[300];
    snprintf(a.sun_path, sizeof a.sun_path, "%s/s", machine.dir);
    snprintf(address, sizeof address, "unix:%s", a.sun_path);
    CHECK_OK(env_listen(c.env, address, crowd_accept, &c, &listener, &e), e);
    for (int i = 0; i < CLIENTS; i++)
        c.fd[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    for (int i = 0; i < CLIENTS; i++)
        CHECK_EQ(connect(c.fd[i], (struct sockaddr *)&a, sizeof a), 0);
    struct rlimit before, low;
    getrlimit(RLIMIT_NOFILE, &before);
    low = before;
    low.rlim_cur = (rlim_t)count_descriptors() + 12; /* a few connections, not forty */
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
    env_contract_until(&machine, c.env, paused_twice, &c);
    struct world_stats stats;
    world_stats(machine.world, &stats);
    CHECK(c.accepted > 0 && c.accepted < CLIENTS);
    CHECK(c.pause_seen[1] - c.pause_seen[0] > 50000000); /* it rests: no busy loop */
    setrlimit(RLIMIT_NOFILE, &before);
    /* Each pause has turned one client away, visibly. */
    int turned_away = 0;
    for (int i = 0; i < CLIENTS; i++) {
        char byte;
        turned_away += recv(c.fd[i], &byte, 1, MSG_DONTWAIT) == 0;
    }
    CHECK_EQ(turned_away, stats.accept_pauses);
    env_contract_until(&machine, c.env, eleven, &c); /* and with descriptors again, it goes on */
    for (int i = 0; i < CLIENTS; i++)
        close(c.fd[i]);
    close_all(&c);
    env_listener_close(listener);
    machine_close(&machine);
}

/* ---- Statistics ---- */

static void burn(struct env_timer *timer)
{
    (void)timer;
    struct timespec t = { .tv_nsec = 3000000 };
    nanosleep(&t, NULL); /* the loop's worst friend */
    env_stop(world_env(machine.world));
}

TEST(stats_show_a_long_turn)
{
    struct env *env = machine_open(&machine);
    struct env_timer timer = { .fire = burn };
    env_timer_start(env, &timer, 0);
    world_run(machine.world);
    struct world_stats stats;
    world_stats(machine.world, &stats);
    uint64_t turns = 0, late = 0;
    for (int i = 0; i < WORLD_HISTOGRAM; i++) {
        turns += stats.turn_log2[i];
        late += stats.late_log2[i];
    }
    CHECK_EQ(turns, stats.turns);
    CHECK(late > 0);
    CHECK(stats.longest_ns >= 3000000);
    CHECK(stats.busy_ns >= stats.longest_ns);
    machine_close(&machine);
}

TEST_MAIN()
