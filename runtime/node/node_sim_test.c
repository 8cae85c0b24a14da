/* A whole node in virtual time: two machines, a wire between them, a disk that forgets.
 *
 *   client's machine --frames--> node on engine_mem over a simulated disk
 *
 * A seed draws what the client does, where the machine stops (before which write, sync or rename of
 * the disk) and what the crash takes. Then the node starts again on what is left, and the client
 * looks: what was acknowledged is there; what was not answered is whole or absent, for ever; a
 * compare-and-swap happened at most once; timestamps have grown, though the wall clock was set back
 * by an hour in between. */
#include "node/node.h"

#include "base/container.h"
#include "base/prng.h"
#include "base/test.h"
#include "net/frame.h"
#include "net/rpc.h"
#include "sim_world/disk.h"
#include "sim_world/world.h"
#include "storage/engine_mem.h"
#include "base/pb.h"

#define SECOND UINT64_C(1000000000)
enum { KEYS = 12, OPS = 80, ROUNDS = 4, SEEDS = 10 };

/* ---- A client on the wire ----------------------------------------------------------------- */

struct op {
    enum { OP_NONE, OP_PUT, OP_DELETE, OP_CAS, OP_GET, OP_CAS_GET, OP_TSO } kind;
    unsigned key;
    uint64_t number; /* what a write writes; 0: a delete */
    uint64_t id;     /* of the request */
    bool answered;
    unsigned code;
    bool found;
    uint64_t have, version, first; /* the answer */
};

struct client {
    struct env *env;
    struct env_connect connect;
    struct env_stream *stream;
    struct buf in;
    uint64_t next_id;
    bool hello, gone;
    struct op ops[OPS];
    unsigned count;
};

static uint64_t first_seed = 1, seeds = SEEDS; /* main: --seeds FIRST COUNT */

static struct env_room client_room(void *user, size_t suggested)
{
    struct client *c = user;
    (void)suggested;
    return (struct env_room){ buf_reserve(&c->in, 4096), 4096 };
}

static void take_status(struct bytes in, unsigned *code, uint64_t *version)
{
    struct pb_field f, inner;
    *code = 0;
    while (pb_next(&in, &f)) {
        if (f.number == 1 && f.type == PB_VARINT)
            *code = (unsigned)f.value;
        if (f.number == 3 && f.type == PB_BYTES) /* Conflict: current_version 1 */
            while (pb_next(&f.bytes, &inner))
                if (inner.number == 1)
                    *version = inner.value;
    }
    CHECK_EQ(in.len, 0);
}

static void take_answer(struct op *op, struct bytes in)
{
    struct pb_field f;
    struct bytes value = { 0 };
    CHECK(!op->answered);
    op->answered = true;
    while (pb_next(&in, &f)) {
        if (f.number == 1)
            take_status(f.bytes, &op->code, &op->version);
        else if (op->kind == OP_TSO && f.number == 2)
            op->first = f.value;
        else if (op->kind == OP_CAS && f.number == 2)
            op->version = f.value;
        else if ((op->kind == OP_GET || op->kind == OP_CAS_GET) && f.number == 2)
            op->found = f.value;
        else if (op->kind == OP_CAS_GET && f.number == 3)
            op->version = f.value;
        else if (f.type == PB_BYTES)
            value = f.bytes;
    }
    CHECK_EQ(in.len, 0);
    if (op->found) {
        CHECK_EQ(value.len, 8);
        memcpy(&op->have, value.data, 8);
    }
}

static void client_read(void *user, size_t len, err_t rc)
{
    struct client *c = user;
    (void)rc;
    if (len == 0) {
        c->gone = true;
        env_stream_close(c->stream);
        return;
    }
    c->in.len += len;
    size_t at = 0, size;
    struct net_frame f;
    while (net_frame_decode(bytes_from(c->in.data + at, c->in.len - at), NET_FRAME_MAX, &f,
                            &size) == ERR_OK) {
        at += size;
        if (f.kind == NET_FRAME_RESPONSE && f.method == NET_HELLO)
            c->hello = true;
        for (unsigned i = 0; i < c->count; i++)
            if (f.kind == NET_FRAME_ERROR && !c->ops[i].answered) { /* a farewell: not done */
                c->ops[i].answered = true;
                take_status(f.body, &c->ops[i].code, &c->ops[i].version);
            } else if (f.kind == NET_FRAME_RESPONSE && f.method != NET_HELLO &&
                       c->ops[i].id == f.request_id)
                take_answer(&c->ops[i], f.body);
    }
    memmove(c->in.data, c->in.data + at, c->in.len - at);
    c->in.len -= at;
}

static void client_closed(void *user)
{
    struct client *c = user;
    c->gone = true;
    c->stream = NULL;
}

static const struct env_stream_ops client_ops = { client_room, client_read, client_closed };

struct sent {
    struct env_write write;
    struct buf bytes;
};

static void sent_done(struct env_write *write, err_t rc)
{
    struct sent *s = container_of(write, struct sent, write);
    (void)rc;
    buf_free(&s->bytes);
    free(s);
}

static uint64_t client_send(struct client *c, uint16_t method, struct buf *body)
{
    struct sent *s = calloc(1, sizeof *s);
    struct net_frame f = { .kind = NET_FRAME_REQUEST,
                           .method = method,
                           .request_id = ++c->next_id,
                           .body = buf_bytes(body) };
    CHECK_EQ(net_frame_append(&s->bytes, &f), ERR_OK);
    buf_free(body);
    s->write.done = sent_done;
    struct bytes iov = buf_bytes(&s->bytes);
    env_stream_write(c->stream, &iov, 1, &s->write);
    return f.request_id;
}

static void client_connected(struct env_connect *connect, err_t rc, struct env_stream *stream)
{
    struct client *c = container_of(connect, struct client, connect);
    if (rc != ERR_OK) {
        c->gone = true;
        return;
    }
    struct buf body = { 0 };
    c->stream = stream;
    env_stream_start(stream, &client_ops, c);
    pb_append_u64(&body, 1, 1); /* protocol_min, protocol_max */
    pb_append_u64(&body, 2, 1);
    (void)client_send(c, NET_HELLO, &body);
}

static struct op *client_ask(struct client *c, struct op what)
{
    static const uint16_t methods[] = {
        [OP_PUT] = NET_RAW_PUT, [OP_DELETE] = NET_RAW_DELETE, [OP_CAS] = NET_CAS,
        [OP_GET] = NET_RAW_GET, [OP_CAS_GET] = NET_CAS_GET,   [OP_TSO] = NET_GET_TSO,
    };
    struct buf body = { 0 };
    char key[8];
    snprintf(key, sizeof key, "k%02u", what.key);
    struct bytes value = bytes_from(&what.number, 8);
    if (what.kind == OP_TSO) {
        pb_append_u64(&body, 1, 3);
    } else {
        pb_append_u64(&body, 2, 1);
        pb_append_bytes(&body, 3, BYTES(key));
    }
    if (what.kind == OP_PUT)
        pb_append_bytes(&body, 4, value);
    if (what.kind == OP_CAS) {
        pb_append_u64(&body, 4, what.version);
        pb_append_bytes(&body, 5, value);
    }
    CHECK(c->count < OPS);
    struct op *op = &c->ops[c->count++];
    *op = what;
    op->version = 0;
    op->id = client_send(c, methods[what.kind], &body);
    return op;
}

/* ---- What must be there ------------------------------------------------------------------- */

struct key {
    uint64_t number, maybe; /* raw: what is there; what may be there instead */
    bool open;
    uint64_t version, cas, cas_maybe; /* the same for the versioned key of that name */
    bool cas_open;
    struct op *raw_op, *cas_op; /* under way */
};

struct run {
    uint64_t seed;
    struct prng prng;
    struct sim_disk *disk;
    struct sim_world *home, *machine; /* the client's, the node's */
    struct node_config config;
    struct node_options options;
    struct node *node;
    enum node_exit exit_code;
    bool stopped;
    struct client *client;
    struct key keys[KEYS];
    uint64_t next, last_stamp;
    unsigned acknowledged, unanswered, crashes;
};

static void run_stopped(void *user, enum node_exit code)
{
    struct run *r = user;
    r->stopped = true;
    r->exit_code = code;
}

static void run_boot(struct run *r)
{
    struct err e = { 0 };
    enum node_exit code;
    r->machine = sim_world_beside(r->home, r->disk);
    r->options.env = sim_world_env(r->machine);
    r->stopped = false;
    /* An hour back, then less, then on time: never the same twice in a row. */
    sim_world_step_wall(r->machine, -(int64_t)(prng_below(&r->prng, 3) * 1800 * SECOND));
    if (r->crashes == 0 && r->next == 0)
        CHECK_OK(node_init(&r->options, &e), e);
    CHECK_OK(node_open(&r->options, &r->node, &code, &e), e);
}

static bool turn(struct run *r)
{
    return sim_world_turn(r->home);
}

static void run_connect(struct run *r)
{
    struct err e = { 0 };
    r->client = calloc(1, sizeof *r->client);
    r->client->env = sim_world_env(r->home);
    r->client->connect.done = client_connected;
    CHECK_OK(env_connect(r->client->env, node_address(r->node), &r->client->connect, &e), e);
    for (int i = 0; i < 100000 && !r->client->hello; i++)
        CHECK(turn(r) && !r->client->gone);
    CHECK(r->client->hello);
}

static void run_disconnect(struct run *r)
{
    struct client *c = r->client;
    if (c->stream != NULL)
        env_stream_close(c->stream);
    for (int i = 0; i < 100000 && c->stream != NULL; i++)
        CHECK(turn(r));
    CHECK(c->stream == NULL);
    buf_free(&c->in);
    free(c);
    r->client = NULL;
}

static void wait_for(struct run *r, const struct op *op)
{
    for (int i = 0; i < 1000000 && !op->answered; i++)
        CHECK(turn(r) && !r->client->gone);
    CHECK(op->answered);
    CHECK_EQ(op->code, 0);
}

/* After a restart: every key is in a state that it may be in, and from now on in that one. */
static void run_look(struct run *r)
{
    run_connect(r);
    for (unsigned i = 0; i < KEYS; i++) {
        struct key *k = &r->keys[i];
        struct op *op = client_ask(r->client, (struct op){ .kind = OP_GET, .key = i });
        wait_for(r, op);
        if (op->have != k->number && !(k->open && op->have == k->maybe))
            fail_msg("seed %llu: key %u has %llu, not %llu (or %llu)", (unsigned long long)r->seed,
                     i, (unsigned long long)op->have, (unsigned long long)k->number,
                     (unsigned long long)k->maybe);
        k->number = op->have;
        k->open = false;
        op = client_ask(r->client, (struct op){ .kind = OP_CAS_GET, .key = i });
        wait_for(r, op);
        bool before = op->version == k->version && op->have == k->cas,
             after = k->cas_open && op->version == k->version + 1 && op->have == k->cas_maybe;
        if (!before && !after)
            fail_msg("seed %llu: versioned key %u has version %llu, not %llu%s",
                     (unsigned long long)r->seed, i, (unsigned long long)op->version,
                     (unsigned long long)k->version, k->cas_open ? " or the next" : "");
        k->version = op->version;
        k->cas = op->have;
        k->cas_open = false;
    }
    struct op *op = client_ask(r->client, (struct op){ .kind = OP_TSO });
    wait_for(r, op);
    CHECK(op->first > r->last_stamp);
    r->last_stamp = op->first + 2;
    run_disconnect(r);
}

/* Take the outcome of what was under way. */
static void settle_raw(struct run *r, struct key *k)
{
    struct op *op = k->raw_op;
    k->raw_op = NULL;
    if (op == NULL)
        return;
    if (op->answered && op->code == 0) {
        k->number = op->number;
        r->acknowledged++;
    } else if (!op->answered || op->code == ERR_UNDETERMINED) {
        k->maybe = op->number;
        k->open = true;
        r->unanswered++;
    }
}

static void settle_cas(struct run *r, struct key *k)
{
    struct op *op = k->cas_op;
    k->cas_op = NULL;
    if (op == NULL)
        return;
    CHECK(op->code != ERR_CONFLICT); /* nobody else writes this key */
    if (op->answered && op->code == 0) {
        CHECK_EQ(op->version, k->version + 1);
        k->version = op->version;
        k->cas = op->number;
        r->acknowledged++;
    } else if (!op->answered || op->code == ERR_UNDETERMINED) {
        k->cas_maybe = op->number;
        k->cas_open = true;
        r->unanswered++;
    }
}

static void start_one(struct run *r)
{
    unsigned i = (unsigned)prng_below(&r->prng, KEYS);
    struct key *k = &r->keys[i];
    if (prng_chance(&r->prng, 1, 2)) {
        if (k->cas_op != NULL && !k->cas_op->answered)
            return;
        settle_cas(r, k);
        k->cas_op = client_ask(
            r->client,
            (struct op){ .kind = OP_CAS, .key = i, .version = k->version, .number = ++r->next });
        return;
    }
    if (k->raw_op != NULL && !k->raw_op->answered)
        return;
    settle_raw(r, k);
    bool delete = prng_chance(&r->prng, 1, 4);
    k->raw_op = client_ask(r->client, (struct op){ .kind = delete ? OP_DELETE : OP_PUT,
                                                   .key = i,
                                                   .number = delete ? 0 : ++r->next });
}

/* Writes until the machine stops before a drawn effect of its disk. */
static void run_write(struct run *r)
{
    run_connect(r);
    sim_disk_stop_at(r->disk, sim_disk_effects(r->disk) + prng_range(&r->prng, 1, 60));
    struct client *c = r->client;
    while (!c->gone && !sim_world_crashed(r->machine) && !r->stopped) {
        if (c->count < OPS && prng_chance(&r->prng, 1, 3))
            start_one(r);
        if (!turn(r))
            break;
        if (c->count == OPS && sim_world_true_now(r->machine) % 7 == 0)
            break; /* enough: the crash comes between writes */
    }
}

static void run_crash(struct run *r)
{
    static const enum sim_crash kinds[] = { SIM_CRASH_DRAW, SIM_CRASH_KILL, SIM_CRASH_LOSE,
                                            SIM_CRASH_SECTORS, SIM_CRASH_PREFIX };
    sim_world_crash(r->machine, kinds[prng_below(&r->prng, 5)]);
    for (int i = 0; i < 1000 && !r->client->gone; i++) /* what was on its way may still arrive */
        if (!turn(r))
            break;
    for (unsigned i = 0; i < KEYS; i++) {
        settle_raw(r, &r->keys[i]);
        settle_cas(r, &r->keys[i]);
    }
    run_disconnect(r);
    node_abandon(r->node);
    sim_world_close(r->machine);
    r->crashes++;
}

static struct run *run_new(uint64_t seed)
{
    struct run *r = calloc(1, sizeof *r);
    r->seed = seed;
    prng_seed(&r->prng, seed);
    r->disk = sim_disk_new(seed);
    r->home = sim_world_new(seed, NULL);
    node_config_defaults(&r->config);
    strcpy(r->config.data_dir, "/store");
    strcpy(r->config.address, "127.0.0.1:7700");
    r->config.http.address[0] = 0;
    r->config.storage.segment_bytes = 256 << 10;
    r->config.storage.ballast_bytes = 8 << 10; /* simulated disks lie in memory */
    r->options = (struct node_options){ .engine = &engine_mem,
                                        .config = &r->config,
                                        .version = "test",
                                        .memtable_bytes = 1 << 10,
                                        .without_scripts = true,
                                        .stopped = run_stopped,
                                        .user = r };
    return r;
}

static void run_free(struct run *r)
{
    sim_world_close(r->home);
    sim_disk_free(r->disk);
    free(r);
}

TEST(node_survives_crashes_at_drawn_effects)
{
    unsigned acknowledged = 0, unanswered = 0;
    for (uint64_t seed = first_seed; seed < first_seed + seeds; seed++) {
        struct run *r = run_new(seed);
        for (int round = 0; round < ROUNDS; round++) {
            run_boot(r);
            run_look(r);
            run_write(r);
            run_crash(r);
        }
        run_boot(r);
        run_look(r);
        run_look(r); /* what was whole or absent stays so */
        node_close(r->node);
        sim_world_close(r->machine);
        acknowledged += r->acknowledged;
        unanswered += r->unanswered;
        run_free(r);
    }
    print_message("%u acknowledged, %u cut off, %u crashes\n", acknowledged, unanswered,
                  (unsigned)seeds * ROUNDS);
    CHECK(acknowledged > seeds * 20); /* else the runs were void */
    CHECK(unanswered > seeds);
}

TEST(node_timestamps_grow_across_restarts_and_a_clock_set_back_by_an_hour)
{
    struct run *r = run_new(77);
    uint64_t last = 0;
    for (int round = 0; round < 8; round++) {
        run_boot(r);
        r->next++; /* the store is there now */
        run_connect(r);
        for (int i = 0; i < 20; i++) {
            struct op *op = client_ask(r->client, (struct op){ .kind = OP_TSO });
            wait_for(r, op);
            CHECK(op->first > last);
            last = op->first + 2;
            if (i == 10)
                sim_world_step_wall(r->machine, -(int64_t)(3600 * SECOND));
        }
        run_disconnect(r);
        if (round % 2 == 0) {
            sim_world_crash(r->machine, SIM_CRASH_LOSE);
            node_abandon(r->node);
        } else {
            node_close(r->node);
        }
        sim_world_close(r->machine);
    }
    run_free(r);
}

TEST(node_drains_what_is_in_flight_and_ends_clean)
{
    struct run *r = run_new(78);
    run_boot(r);
    run_connect(r);
    for (unsigned i = 0; i < KEYS; i++) {
        r->keys[i].raw_op =
            client_ask(r->client, (struct op){ .kind = OP_PUT, .key = i, .number = ++r->next });
        if (i == KEYS / 2)
            wait_for(r, r->keys[i].raw_op); /* so that some are done, and others on their way */
    }
    for (int i = 0; i < 3; i++)
        CHECK(turn(r));
    CHECK(!r->keys[KEYS - 1].raw_op->answered);
    node_drain(r->node);
    for (int i = 0; i < 1000000 && !r->stopped; i++)
        CHECK(turn(r));
    CHECK(r->stopped);
    CHECK_EQ(r->exit_code, NODE_EXIT_CLEAN);
    for (int i = 0; i < 1000 && !r->client->gone; i++)
        turn(r);
    for (unsigned i = 0; i < KEYS; i++) {
        CHECK(r->keys[i].raw_op->answered); /* done, or refused: nobody is left in doubt */
        CHECK(r->keys[i].raw_op->code == 0 || r->keys[i].raw_op->code == ERR_UNAVAILABLE);
        settle_raw(r, &r->keys[i]);
    }
    CHECK(r->acknowledged > 0);
    run_disconnect(r);
    node_close(r->node);
    sim_world_close(r->machine);
    run_boot(r);
    run_look(r);
    node_close(r->node);
    sim_world_close(r->machine);
    run_free(r);
}

TEST(node_says_that_it_must_exit_when_a_sync_fails)
{
    struct run *r = run_new(79);
    run_boot(r);
    run_connect(r);
    sim_disk_fault(r->disk, SIM_FAULT_SYNC, "wal", 1);
    struct op *op = client_ask(r->client, (struct op){ .kind = OP_PUT, .key = 1, .number = 9 });
    for (int i = 0; i < 100000 && !(r->stopped && op->answered); i++)
        CHECK(turn(r));
    CHECK_EQ(r->exit_code, NODE_EXIT_WRITE_ERROR);
    CHECK_EQ(op->code, ERR_UNDETERMINED);
    run_disconnect(r);
    node_close(r->node);
    sim_world_close(r->machine);
    struct err e = { 0 };
    enum node_exit code;
    r->machine = sim_world_beside(r->home, r->disk);
    r->options.env = sim_world_env(r->machine);
    CHECK_EQ(node_open(&r->options, &r->node, &code, &e), ERR_PANIC_MARK);
    CHECK_EQ(code, NODE_EXIT_STORE);
    r->config.accept_panic = true; /* told to */
    CHECK_OK(node_open(&r->options, &r->node, &code, &e), e);
    node_close(r->node);
    sim_world_close(r->machine);
    run_free(r);
}

TEST(node_refuses_a_directory_without_a_store)
{
    struct run *r = run_new(80);
    struct err e = { 0 };
    enum node_exit code;
    r->machine = sim_world_beside(r->home, r->disk);
    r->options.env = sim_world_env(r->machine);
    CHECK_EQ(node_open(&r->options, &r->node, &code, &e), ERR_NOT_FOUND);
    CHECK_EQ(code, NODE_EXIT_STORE);
    CHECK_CONTAINS(e.msg, "init");
    sim_world_close(r->machine);
    run_free(r);
}

struct test_case *test_cases;

/* node_sim_test [NAME], or --seeds FIRST COUNT: for make test-deep. */
int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "--seeds") == 0) {
        char name[] = "survives", *run[] = { argv[0], name, NULL };
        first_seed = strtoull(argv[2], NULL, 0);
        seeds = strtoull(argv[3], NULL, 0);
        return test_main(2, run);
    }
    return test_main(argc, argv);
}
