/* The simulated client against servers that answer what they are told to. */
#include "sim_cluster/client.h"

#include "base/pb.h"
#include "base/test.h"
#include "net/rpc.h"
#include "sim_world/world.h"

#define MS     UINT64_C(1000000)
#define SECOND UINT64_C(1000000000)

/* ---- A server whose answers are set by the test ---- */

struct fake {
    struct sim_world *world;
    struct net_server *server;
    struct net_handler handlers[2];
    const char *hint; /* NOT_LEADER, with that leader; "": without one */
    bool silent;      /* takes requests and never answers */
    err_t refuse;     /* 0: does not */
    struct net_call *held[16];
    unsigned asked, held_count;
};

static void fake_status(struct fake *f, struct buf *out)
{
    struct buf hint = { 0 };
    if (f->hint != NULL) {
        pb_append_u64(out, 1, ERR_NOT_LEADER);
        pb_append_u64(&hint, 2, 2);
        pb_append_bytes(&hint, 3, BYTES(f->hint));
        if (f->hint[0] != '\0')
            pb_append_item(out, 6, buf_bytes(&hint));
    } else {
        pb_append_u64(out, 1, f->refuse);
    }
    buf_free(&hint);
}

static void fake_handle(void *user, struct net_call *call)
{
    struct fake *f = user;
    struct buf status = { 0 }, body = { 0 };
    f->asked++;
    if (f->silent) {
        f->held[f->held_count++] = call;
        return;
    }
    fake_status(f, &status);
    pb_append_item(&body, 1, buf_bytes(&status));
    if (net_call_method(call) == NET_RAW_GET && status.len == 0) {
        pb_append_u64(&body, 2, 1);
        pb_append_bytes(&body, 3, BYTES("here"));
    }
    net_call_reply(call, &body);
    buf_free(&status);
    buf_free(&body);
}

static struct fake *fake_new(struct sim_world *home, const char *address)
{
    struct fake *f = calloc(1, sizeof *f);
    struct err e = { 0 };
    f->world = sim_world_beside(home, NULL);
    f->handlers[0] = (struct net_handler){
        .method = NET_RAW_PUT, .name = "RawPut", .handle = fake_handle, .user = f
    };
    f->handlers[1] = (struct net_handler){
        .method = NET_RAW_GET, .name = "RawGet", .handle = fake_handle, .user = f
    };
    struct net_server_config c = { .address = address,
                                   .limits = { .frame_max = 1 << 20,
                                               .connections_max = 10,
                                               .inflight_max = 100,
                                               .inflight_bytes_max = 1 << 24,
                                               .backlog_max = 1 << 24,
                                               .hello_ms = 5000,
                                               .idle_ms = 600000,
                                               .slow_ms = 60000 },
                                   .handlers = f->handlers,
                                   .handler_count = 2,
                                   .cluster_id = BYTES("0123456789abcdef"),
                                   .node_id = 1,
                                   .identity = "fake" };
    CHECK_OK(net_server_open(sim_world_env(f->world), NULL, &c, &f->server, &e), e);
    return f;
}

static void fake_free(struct fake *f)
{
    for (unsigned i = 0; i < f->held_count; i++)
        net_call_fail(f->held[i], ERR_UNAVAILABLE, NULL);
    net_server_close(f->server);
    sim_world_close(f->world);
    free(f);
}

/* ---- Two servers and a client ---- */

struct asked {
    struct sim_client_op op;
    bool done;
};

struct scene {
    struct sim_world *home, *world; /* the client's */
    struct fake *a, *b;
    struct sim_client *client;
};

static void asked_done(struct sim_client_op *op)
{
    container_of(op, struct asked, op)->done = true;
}

static struct scene scene_new(uint64_t seed)
{
    static const char *const addresses[] = { "10.0.0.1:1", "10.0.0.2:1" };
    struct scene s = { .home = sim_world_new(seed, NULL) };
    s.a = fake_new(s.home, addresses[0]);
    s.b = fake_new(s.home, addresses[1]);
    s.world = sim_world_beside(s.home, NULL);
    s.client = sim_client_new(sim_world_env(s.world), seed, addresses, 2);
    return s;
}

static void scene_free(struct scene *s)
{
    sim_client_stop(s->client);
    sim_world_crash(s->world, SIM_CRASH_KILL);
    fake_free(s->a);
    fake_free(s->b);
    sim_world_close(s->world);
    sim_client_free(s->client);
    sim_world_close(s->home);
}

static void scene_ask(struct scene *s, struct asked *a, enum sim_client_kind kind,
                      uint64_t patience)
{
    *a = (struct asked){ .op = { .kind = kind,
                                 .key = BYTES("k"),
                                 .value = BYTES("v"),
                                 .patience_ns = patience,
                                 .done = asked_done } };
    sim_client_ask(s->client, &a->op);
}

static void scene_run(struct scene *s, uint64_t ns)
{
    sim_world_run_for(s->home, ns);
}

TEST(sim_client_reads_and_writes)
{
    struct scene s = scene_new(1);
    struct asked put, get;
    scene_ask(&s, &put, SIM_CLIENT_PUT, SECOND);
    scene_ask(&s, &get, SIM_CLIENT_GET, SECOND);
    scene_run(&s, 20 * MS);
    CHECK(put.done && put.op.outcome == SIM_CLIENT_DONE && put.op.code == 0);
    CHECK(get.done && get.op.outcome == SIM_CLIENT_DONE && get.op.found);
    CHECK_BYTES(buf_bytes(&get.op.have), BYTES("here"));
    CHECK_EQ(s.a->asked, 2); /* on one connection */
    CHECK_EQ(sim_client_counts(s.client)->connects, 1);
    buf_free(&get.op.have);
    scene_free(&s);
}

TEST(sim_client_follows_a_hint)
{
    struct scene s = scene_new(2);
    struct asked put;
    s.a->hint = "10.0.0.2:1";
    scene_ask(&s, &put, SIM_CLIENT_PUT, SECOND);
    scene_run(&s, 50 * MS);
    CHECK(put.done && put.op.outcome == SIM_CLIENT_DONE);
    CHECK_EQ(put.op.tries, 2);
    CHECK_EQ(sim_client_leader(s.client), 1);
    CHECK_EQ(sim_client_counts(s.client)->hints, 1);
    scene_free(&s);
}

TEST(sim_client_looks_further_without_a_hint)
{
    struct scene s = scene_new(3);
    struct asked put;
    s.a->hint = "";
    scene_ask(&s, &put, SIM_CLIENT_PUT, SECOND);
    scene_run(&s, 500 * MS);
    CHECK(put.done && put.op.outcome == SIM_CLIENT_DONE);
    CHECK_EQ(sim_client_leader(s.client), 1);
    scene_free(&s);
}

TEST(sim_client_goes_elsewhere_when_refused)
{
    struct scene s = scene_new(4);
    struct asked put;
    sim_world_crash(s.a->world, SIM_CRASH_KILL); /* nobody listens */
    scene_ask(&s, &put, SIM_CLIENT_PUT, 5 * SECOND);
    scene_run(&s, 2 * SECOND);
    CHECK(put.done && put.op.outcome == SIM_CLIENT_DONE);
    CHECK_EQ(s.b->asked, 1);
    scene_free(&s);
}

/* Sent and not answered: a write is in doubt, whether time is over or the connection breaks; a read is not. */
TEST(sim_client_knows_what_is_in_doubt)
{
    for (int breaks = 0; breaks < 2; breaks++) {
        struct scene s = scene_new(5);
        struct asked put, get, late;
        s.a->silent = true;
        scene_ask(&s, &put, SIM_CLIENT_PUT, SECOND);
        scene_ask(&s, &get, SIM_CLIENT_GET, SECOND);
        scene_run(&s, 20 * MS);
        CHECK(!put.done && !get.done && s.a->asked == 2);
        if (breaks)
            sim_world_reset_streams(s.a->world);
        scene_run(&s, breaks ? 900 * MS : 2 * SECOND);
        CHECK(put.done && put.op.outcome == SIM_CLIENT_UNDETERMINED);
        CHECK_EQ(put.op.tries, 1); /* never twice */
        CHECK(get.done && get.op.outcome == (breaks ? SIM_CLIENT_DONE : SIM_CLIENT_NOT_DONE));
        CHECK_EQ(sim_client_leader(s.client), 1); /* and nobody waits for it again */
        scene_ask(&s, &late, SIM_CLIENT_PUT, SECOND);
        scene_run(&s, 500 * MS);
        CHECK(late.done && late.op.outcome == SIM_CLIENT_DONE);
        buf_free(&get.op.have);
        scene_free(&s);
    }
}

/* What never left was not done. */
TEST(sim_client_knows_what_was_not_done)
{
    struct scene s = scene_new(6);
    struct asked put;
    sim_world_crash(s.a->world, SIM_CRASH_LOSE); /* silence */
    sim_world_crash(s.b->world, SIM_CRASH_KILL);
    scene_ask(&s, &put, SIM_CLIENT_PUT, 3 * SECOND);
    scene_run(&s, 4 * SECOND);
    CHECK(put.done && put.op.outcome == SIM_CLIENT_NOT_DONE);
    CHECK_EQ(put.op.tries, 0);
    scene_free(&s);
}

TEST(sim_client_takes_a_refusal_for_what_it_says)
{
    static const struct {
        err_t refuse;
        enum sim_client_outcome want;
        bool again;
    } rows[] = {
        { ERR_UNDETERMINED, SIM_CLIENT_UNDETERMINED, false },
        { ERR_INTERNAL, SIM_CLIENT_UNDETERMINED, false },
        { ERR_DEADLINE_EXCEEDED, SIM_CLIENT_NOT_DONE, false },
        { ERR_TOO_LARGE, SIM_CLIENT_NOT_DONE, false },
        { ERR_UNAVAILABLE, SIM_CLIENT_NOT_DONE, true },
        { ERR_SERVER_IS_BUSY, SIM_CLIENT_NOT_DONE, true },
        { ERR_DISK_FULL, SIM_CLIENT_NOT_DONE, true },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct scene s = scene_new(7);
        struct asked put;
        s.a->refuse = s.b->refuse = rows[i].refuse;
        scene_ask(&s, &put, SIM_CLIENT_PUT, SECOND);
        scene_run(&s, 2 * SECOND);
        CHECK(put.done);
        CHECK_EQ(put.op.outcome, rows[i].want);
        CHECK_EQ(put.op.code, rows[i].refuse);
        CHECK(rows[i].again ? put.op.tries > 2 : put.op.tries == 1);
        scene_free(&s);
    }
}

static void fake_drained(void *user)
{
    net_server_part(((struct fake *)user)->server);
}

/* A server that parts says that what it has not answered was not done. */
TEST(sim_client_asks_again_after_a_farewell)
{
    struct scene s = scene_new(8);
    struct asked first, put;
    scene_ask(&s, &first, SIM_CLIENT_PUT, SECOND);
    scene_run(&s, 20 * MS);
    CHECK_EQ(s.a->asked, 1);
    net_server_drain(s.a->server, fake_drained, s.a);
    scene_ask(&s, &put, SIM_CLIENT_PUT, 5 * SECOND); /* it meets the farewell on the way */
    scene_run(&s, SECOND);
    CHECK(put.done && put.op.outcome == SIM_CLIENT_DONE);
    CHECK_EQ(put.op.tries, 2);
    CHECK(s.a->asked == 1 && s.b->asked == 1);
    scene_free(&s);
}

TEST_MAIN()
