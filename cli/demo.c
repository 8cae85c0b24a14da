/* flotilla demo: a cluster on this machine, under load, whose leader is killed.
 *
 *   start N nodes --> load --> kill -9 the leader --> load goes on --> start it again --> look for every write
 *
 * What was acknowledged must be there; what was not answered may be. Counters are compare-and-swapped up by one, so
 * that a step that happened twice, or was lost, is seen. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cluster.h"

enum {
    CALLERS = 64, /* operations on their way at any time */
    COUNTERS = 8, /* callers that count up; the others put new keys */
    KEYS_MAX = 4 << 20,
    VALUE = 128,
};

struct demo;
struct caller {
    struct demo *demo;
    unsigned number;
    uint64_t key;     /* being put */
    uint64_t version; /* of the counter, as last acknowledged; its value is the same number */
    bool in_doubt;    /* the last step may or may not have happened */
    bool under_way;
};

struct demo {
    struct cli *cli;
    struct cluster cluster;
    struct flotilla *db;
    volatile sig_atomic_t *interrupted;
    struct caller callers[CALLERS];
    uint8_t *acknowledged; /* a bit a key */
    uint64_t next_key;
    bool loading;
    uint64_t acks, doubts, refused, last_ack,
        gap; /* gap: the longest time without an acknowledgement, ns */
    uint64_t missing, wrong, looked;
};

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void say(struct demo *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(struct demo *d, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vfprintf(d->cli->out, fmt, args);
    va_end(args);
    fputc('\n', d->cli->out);
    fflush(d->cli->out);
}

/* ---- Load --------------------------------------------------------------------------------- */

static void next_op(struct caller *c);

static void count_ack(struct demo *d)
{
    uint64_t now = now_ns();
    if (d->last_ack != 0 && now - d->last_ack > d->gap)
        d->gap = now - d->last_ack;
    d->last_ack = now;
    d->acks++;
}

static void put_done(void *user, const struct flotilla_result *r)
{
    struct caller *c = user;
    struct demo *d = c->demo;
    c->under_way = false;
    if (r->code == FLOTILLA_OK) {
        d->acknowledged[c->key / 8] |= (uint8_t)(1u << c->key % 8);
        count_ack(d);
    } else if (r->code == FLOTILLA_UNDETERMINED) {
        d->doubts++;
    } else {
        d->refused++;
    }
    if (d->loading)
        next_op(c);
}

static void count_done(void *user, const struct flotilla_result *r)
{
    struct caller *c = user;
    struct demo *d = c->demo;
    c->under_way = false;
    if (r->code == FLOTILLA_OK) {
        c->version = r->version;
        c->in_doubt = false;
        count_ack(d);
    } else if (r->code == FLOTILLA_CONFLICT) {
        /* Only a step of our own that was in doubt can have moved it, and by one. */
        if (!c->in_doubt || r->version != c->version + 1)
            d->wrong++;
        c->version = r->version;
        c->in_doubt = false;
    } else if (r->code == FLOTILLA_UNDETERMINED) {
        c->in_doubt = true;
        d->doubts++;
    } else {
        d->refused++;
    }
    if (d->loading)
        next_op(c);
}

static void next_op(struct caller *c)
{
    struct demo *d = c->demo;
    char key[32], value[VALUE];
    bool counts = c->number < COUNTERS;
    struct flotilla_op op = { .kind = counts ? FLOTILLA_OP_CAS_PUT : FLOTILLA_OP_RAW_PUT,
                              .ns = FLOTILLA_NAMESPACE };
    memset(value, '.', sizeof value);
    if (counts) {
        snprintf(key, sizeof key, "demo/counter/%u", c->number);
        snprintf(value, sizeof value, "%llu", (unsigned long long)c->version + 1);
        op.expected = c->version;
    } else {
        if (d->next_key == KEYS_MAX)
            return;
        c->key = d->next_key++;
        snprintf(key, sizeof key, "demo/%08llu", (unsigned long long)c->key);
        memcpy(value, key, strlen(key));
    }
    op.key = flotilla_bytes(key, strlen(key));
    op.value = flotilla_bytes(value, counts ? strlen(value) : sizeof value);
    c->under_way =
        flotilla_submit(d->db, &op, counts ? count_done : put_done, c, NULL) == FLOTILLA_OK;
}

/* Runs the load for some seconds, a line for each. False: Ctrl-C. */
static bool run_for(struct demo *d, unsigned seconds)
{
    for (unsigned s = 0; s < seconds && !*d->interrupted; s++) {
        uint64_t until = now_ns() + 1000000000u, before = d->acks;
        d->gap = 0;
        while (now_ns() < until && !*d->interrupted)
            (void)flotilla_wait(d->db, 50);
        uint64_t quiet = d->last_ack != 0 ? now_ns() - d->last_ack : 0;
        say(d, "  %8llu writes acknowledged, longest pause %llu ms",
            (unsigned long long)(d->acks - before),
            (unsigned long long)((quiet > d->gap ? quiet : d->gap) / 1000000));
    }
    return !*d->interrupted;
}

static void begin_load(struct demo *d)
{
    d->loading = true;
    for (unsigned i = 0; i < CALLERS; i++) {
        d->callers[i].demo = d;
        d->callers[i].number = i;
        next_op(&d->callers[i]);
    }
}

static void end_load(struct demo *d)
{
    d->loading = false;
    while (flotilla_pending(d->db) > 0 && !*d->interrupted)
        (void)flotilla_wait(d->db, 100);
}

/* ---- Looking ------------------------------------------------------------------------------ */

static void look_next(struct caller *c);

static void look_done(void *user, const struct flotilla_result *r)
{
    struct caller *c = user;
    struct demo *d = c->demo;
    char key[32];
    snprintf(key, sizeof key, "demo/%08llu", (unsigned long long)c->key);
    d->looked++;
    if (r->code != FLOTILLA_OK || !r->found)
        d->missing++;
    else if (r->value.len != VALUE || memcmp(r->value.data, key, strlen(key)) != 0)
        d->wrong++;
    look_next(c);
}

/* The next acknowledged key that nobody has looked at; demo->next_key walks over them. */
static void look_next(struct caller *c)
{
    struct demo *d = c->demo;
    char key[32];
    while (d->next_key > 0 && !*d->interrupted) {
        c->key = --d->next_key;
        if (!(d->acknowledged[c->key / 8] >> c->key % 8 & 1))
            continue;
        snprintf(key, sizeof key, "demo/%08llu", (unsigned long long)c->key);
        struct flotilla_op op = { .kind = FLOTILLA_OP_GET,
                                  .ns = FLOTILLA_NAMESPACE,
                                  .key = flotilla_bytes(key, strlen(key)) };
        if (flotilla_submit(d->db, &op, look_done, c, NULL) != FLOTILLA_OK)
            d->missing++;
        return;
    }
}

static void look_at_counters(struct demo *d)
{
    for (unsigned i = 0; i < COUNTERS; i++) {
        char key[32];
        struct flotilla_value v = { 0 };
        snprintf(key, sizeof key, "demo/counter/%u", i);
        int rc = flotilla_cas_get(d->db, FLOTILLA_NAMESPACE, FLOTILLA_TEXT(key), &v, NULL);
        uint64_t version = d->callers[i].version;
        bool right = rc == FLOTILLA_OK &&
                     (v.version == version || (d->callers[i].in_doubt && v.version == version + 1));
        if (right && v.found && strtoull(v.data, NULL, 10) != v.version)
            right = false; /* a step that counted twice */
        d->wrong += !right;
        flotilla_value_free(&v);
    }
}

static bool look(struct demo *d)
{
    for (unsigned i = 0; i < CALLERS; i++)
        look_next(&d->callers[i]);
    while (flotilla_pending(d->db) > 0 && !*d->interrupted)
        (void)flotilla_wait(d->db, 100);
    look_at_counters(d);
    return !*d->interrupted;
}

/* ---- The tour ----------------------------------------------------------------------------- */

/* Waits until every node has applied the same; false if that does not come. */
static bool replicas_agree(struct demo *d, double *applied)
{
    for (unsigned tries = 0; tries < 100; tries++) {
        bool agree = true;
        double first = -1, one;
        for (unsigned i = 0; i < d->cluster.count && agree; i++) {
            agree = cluster_status(&d->cluster, i, "applied", &one) && (first < 0 || one == first);
            first = first < 0 ? one : first;
        }
        if (agree) {
            *applied = first;
            return true;
        }
        (void)flotilla_wait(d->db, 100);
    }
    return false;
}

static int fail_over(struct demo *d, unsigned seconds)
{
    struct cluster *c = &d->cluster;
    int leader = cluster_leader(c, 20000);
    if (leader < 0)
        return cli_fail(d->cli, CLI_FAILED, "nobody has been elected; the logs are in %s", c->dir);
    say(d,
        "store %d leads. %d callers write: new keys of %d bytes, and %d counters by compare-and-swap",
        leader + 1, CALLERS, VALUE, COUNTERS);
    begin_load(d);
    if (!run_for(d, seconds))
        return CLI_INTERRUPTED;
    if (c->count >= 3) {
        say(d, "kill -9 of the leader, store %d (pid %d), under that load", leader + 1,
            (int)c->nodes[leader].pid);
        cluster_end(c, (unsigned)leader, SIGKILL);
        if (!run_for(d, seconds))
            return CLI_INTERRUPTED;
        int next = cluster_leader(c, 20000);
        if (next < 0)
            return cli_fail(d->cli, CLI_FAILED, "nobody has taken over; the logs are in %s",
                            c->dir);
        say(d, "store %d leads now. Store %d comes back and catches up", next + 1, leader + 1);
        int code = cluster_start(d->cli, c, (unsigned)leader);
        if (code != CLI_OK)
            return code;
        if (!run_for(d, seconds))
            return CLI_INTERRUPTED;
    }
    end_load(d);
    return *d->interrupted ? CLI_INTERRUPTED : CLI_OK;
}

static int verdict(struct demo *d)
{
    double applied = 0;
    say(d,
        "%llu writes were acknowledged, %llu have an unknown outcome, %llu were refused; looking for all of them",
        (unsigned long long)d->acks, (unsigned long long)d->doubts, (unsigned long long)d->refused);
    if (!look(d))
        return CLI_INTERRUPTED;
    if (d->missing > 0 || d->wrong > 0)
        return cli_fail(d->cli, CLI_NO,
                        "%llu acknowledged writes are missing, %llu are wrong: this is a bug",
                        (unsigned long long)d->missing, (unsigned long long)d->wrong);
    if (!replicas_agree(d, &applied))
        return cli_fail(d->cli, CLI_NO, "the replicas have not applied the same within 10 s");
    say(d,
        "%llu keys and %d counters: every acknowledged write is there, once. All %u replicas have applied index %.0f",
        (unsigned long long)d->looked, COUNTERS, d->cluster.count, applied);
    return CLI_OK;
}

static int open_all(struct demo *d, unsigned count)
{
    char endpoints[256];
    for (unsigned i = 0; i < count; i++) {
        int code = cluster_start(d->cli, &d->cluster, i);
        if (code != CLI_OK)
            return code;
        say(d, "store %u: 127.0.0.1:%u, metrics on 127.0.0.1:%u, pid %d", i + 1,
            d->cluster.nodes[i].port, d->cluster.nodes[i].http_port, (int)d->cluster.nodes[i].pid);
    }
    struct flotilla_error error;
    cluster_endpoints(&d->cluster, endpoints, sizeof endpoints);
    struct flotilla_options options = { .size = sizeof options, .endpoint = endpoints };
    return flotilla_open(&options, &d->db, &error) == FLOTILLA_OK ? CLI_OK
                                                                  : cli_error(d->cli, &error);
}

static void stay(struct demo *d)
{
    char endpoints[256];
    cluster_endpoints(&d->cluster, endpoints, sizeof endpoints);
    say(d,
        "The cluster runs on until Ctrl-C. In another terminal:\n"
        "  export FLOTILLA_ENDPOINT=%s\n"
        "  flotilla kv scan --from demo/counter --to demo/d --cas\n"
        "  flotilla console",
        endpoints);
    while (!*d->interrupted)
        (void)flotilla_wait(d->db, 1000);
}

static int run_demo(struct cli *cli, int argc, char **argv)
{
    (void)argc, (void)argv;
    uint64_t count = 3, seconds = 3;
    int code = CLI_OK;
    const char *text = cli_given(cli, "nodes");
    if (text != NULL && !cli_number(cli, "--nodes", text, CLUSTER_NODES_MAX, &count, &code))
        return code;
    text = cli_given(cli, "seconds");
    if (text != NULL && !cli_number(cli, "--seconds", text, 3600, &seconds, &code))
        return code;
    if (count == 0 || seconds == 0)
        return cli_usage(cli, "--nodes and --seconds must be at least 1");
    struct demo *d = calloc(1, sizeof *d);
    if (d == NULL || (d->acknowledged = calloc(1, KEYS_MAX / 8)) == NULL)
        abort(); /* half a megabyte */
    d->cli = cli;
    d->interrupted = cli->catch_interrupts();
    code = cluster_make(cli, &d->cluster, (unsigned)count, cli_given(cli, "dir"));
    if (code == CLI_OK)
        code = open_all(d, (unsigned)count);
    if (code == CLI_OK)
        code = fail_over(d, (unsigned)seconds);
    if (code == CLI_OK)
        code = verdict(d);
    if (code == CLI_OK && cli_given(cli, "stay") != NULL)
        stay(d);
    flotilla_close(d->db);
    bool keep = cli_given(cli, "dir") != NULL || (code != CLI_OK && code != CLI_INTERRUPTED);
    cluster_finish(&d->cluster, keep);
    if (keep && d->cluster.dir[0] != 0)
        say(d, "data and logs: %s", d->cluster.dir);
    free(d->acknowledged);
    free(d);
    return code;
}

static const struct cli_option options[] = {
    { "nodes", 0, "N", "stores of the cluster, 1 to 7 (default: 3)" },
    { "seconds", 0, "N", "length of each part of the load (default: 3)" },
    { "dir", 0, "DIR", "make the data here, and keep it (default: a temporary folder, removed)" },
    { "stay", 0, NULL, "leave the cluster running until Ctrl-C" },
    { 0 },
};

const struct cli_command cli_demo_commands[] = {
    { .name = "demo",
      .arguments = "",
      .summary = "run a cluster on this machine, and kill its leader under load",
      .detail =
          "Starts N nodes as processes of their own, writes, kills the leader with -9, writes on, starts it\n"
          "again, and looks for every write that was acknowledged. Exit code 1 if one is missing.\n",
      .examples = "flotilla demo\nflotilla demo --nodes 5 --seconds 10\nflotilla demo --stay\n",
      .options = options,
      .run = run_demo },
    { 0 },
};
