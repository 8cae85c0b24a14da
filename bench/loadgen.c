/* Load on a node through libflotilla, and what came of it.
 *
 *   callers   each has one operation on the way, and submits the next when it is answered (closed loop)
 *   --rate    operations begin at their appointed times, whatever became of the earlier ones (open loop); latency
 *             counts from the appointed time, so that a server that stalls is not forgiven
 *
 * One thread drives all connections: what it costs is printed too, so that nobody takes the generator's limit for the
 * server's. Exit code: 0; 1 if an operation failed; 2 for wrong arguments. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "flotilla/client.h"

enum { PIDS_MAX = 8 };
enum { CONNECTIONS_MAX = 1024, FILL_BATCH = 200, KEY_SIZE = 20 };

/* ---- Latencies: 64 buckets to each power of two, so within 1.6 % ---- */

enum { SUB = 64, BUCKETS = 60 * SUB };

struct latencies {
    uint64_t count, max, sum, buckets[BUCKETS];
};

static unsigned bucket_of(uint64_t ns)
{
    if (ns < SUB)
        return (unsigned)ns;
    unsigned power = 63 - (unsigned)__builtin_clzll(ns), shift = power - 6;
    return (shift + 1) * SUB + (unsigned)(ns >> shift) - SUB;
}

static uint64_t bucket_value(unsigned b)
{
    if (b < SUB)
        return b;
    unsigned shift = b / SUB - 1;
    return ((uint64_t)(b % SUB) + SUB + 1) << shift;
}

static void record(struct latencies *l, uint64_t ns)
{
    l->count++;
    l->sum += ns;
    l->max = ns > l->max ? ns : l->max;
    l->buckets[bucket_of(ns)]++;
}

static double percentile_ms(const struct latencies *l, double percent)
{
    uint64_t want = (uint64_t)((double)l->count * percent / 100), seen = 0;
    for (unsigned b = 0; b < BUCKETS; b++) {
        seen += l->buckets[b];
        if (seen > want)
            return (double)bucket_value(b) / 1e6;
    }
    return (double)l->max / 1e6;
}

/* ---- The load ---- */

enum kind { PUT, GET, CAS, KINDS };
static const char *const kind_names[KINDS] = { "put", "get", "cas" };

struct load;

struct caller {
    struct load *load;
    struct flotilla *db;
    uint64_t began; /* or the appointed time */
    enum kind kind;
    uint32_t key;
    bool busy;
};

struct load {
    const char *endpoint;
    unsigned callers, connections, seconds, warm_seconds, value_size, keys;
    unsigned share[KINDS]; /* percent */
    double rate;           /* 0: closed loop */
    pid_t pids[PIDS_MAX];  /* of the servers; 0: no more */
    bool brief, fill;
    struct flotilla *db[CONNECTIONS_MAX];
    struct caller *all;
    uint32_t *versions; /* of versioned keys, as far as known */
    char *value;
    uint64_t random, begins, ends, appointed; /* ns */
    bool measuring, stopping;
    struct latencies latencies[KINDS];
    uint64_t errors, conflicts, misses, late;
    unsigned idle; /* callers without an operation */
    struct caller **free_callers;
    char first_error[600];
};

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t draw(struct load *l) /* xorshift64* */
{
    l->random ^= l->random >> 12;
    l->random ^= l->random << 25;
    l->random ^= l->random >> 27;
    return l->random * 2685821657736338717u;
}

static void key_text(char out[KEY_SIZE + 1], enum kind kind, uint32_t key)
{
    snprintf(out, KEY_SIZE + 1, "%s:%010u", kind == CAS ? "version" : "load", (unsigned)key);
}

static void begin(struct caller *c, uint64_t at);

static void answered(void *user, const struct flotilla_result *r)
{
    struct caller *c = user;
    struct load *l = c->load;
    uint64_t now = now_ns();
    bool fine = r->code == FLOTILLA_OK || (c->kind == CAS && r->code == FLOTILLA_CONFLICT);
    if (fine && l->measuring)
        record(&l->latencies[c->kind], now - c->began);
    if (!fine && l->errors++ == 0)
        snprintf(l->first_error, sizeof l->first_error, "%s: %s: %s", kind_names[c->kind],
                 flotilla_code_name(r->code), r->message);
    l->conflicts += r->code == FLOTILLA_CONFLICT;
    l->misses += c->kind == GET && fine && !r->found;
    if (c->kind == CAS && fine)
        l->versions[c->key] = (uint32_t)r->version;
    c->busy = false;
    if (!l->stopping && l->rate <= 0)
        begin(c, now);
    else
        l->free_callers[l->idle++] = c;
}

static void begin(struct caller *c, uint64_t at)
{
    struct load *l = c->load;
    struct flotilla_error e;
    char key[KEY_SIZE + 1];
    unsigned lot = (unsigned)(draw(l) >> 32) % 100;
    c->kind = lot < l->share[PUT] ? PUT : lot < l->share[PUT] + l->share[GET] ? GET : CAS;
    c->key = (uint32_t)((draw(l) >> 32) % l->keys);
    if (c->kind == CAS) /* keys of its own: a conflict is then the server's fault */
        c->key = c->key / l->callers * l->callers + (unsigned)(c - l->all);
    c->began = at;
    c->busy = true;
    key_text(key, c->kind, c->key);
    static const enum flotilla_op_kind kinds[] = { FLOTILLA_OP_RAW_PUT, FLOTILLA_OP_GET,
                                                   FLOTILLA_OP_CAS_PUT };
    struct flotilla_op op = { .kind = kinds[c->kind],
                              .ns = FLOTILLA_NAMESPACE,
                              .key = flotilla_bytes(key, strlen(key)) };
    if (c->kind != GET)
        op.value = flotilla_bytes(l->value, l->value_size);
    if (c->kind == CAS)
        op.expected = l->versions[c->key];
    if (flotilla_submit(c->db, &op, answered, c, &e) == FLOTILLA_OK)
        return;
    if (l->errors++ == 0)
        snprintf(l->first_error, sizeof l->first_error, "%s", e.message);
    c->busy = false;
    l->stopping = true;
    l->free_callers[l->idle++] = c;
}

/* Open loop: begins what is due. Answers nanoseconds to the next, -1 if every caller waits. */
static int64_t begin_due(struct load *l)
{
    uint64_t now = now_ns(), step = (uint64_t)(1e9 / l->rate);
    while (l->appointed <= now && l->idle > 0 && !l->stopping) {
        begin(l->free_callers[--l->idle], l->appointed);
        l->appointed += step;
    }
    if (l->appointed <= now) { /* every caller waits: the appointment stands, and its wait counts */
        l->late++;
        return -1;
    }
    return (int64_t)(l->appointed - now);
}

/* Lets every connection do what it can; sleeps until one of them, or the clock, has more. */
static void drive(struct load *l, int64_t wait_ns)
{
    struct pollfd p[CONNECTIONS_MAX];
    for (unsigned i = 0; i < l->connections; i++) {
        flotilla_process(l->db[i]);
        p[i] = (struct pollfd){ flotilla_fd(l->db[i]), flotilla_events(l->db[i]), 0 };
        int due = flotilla_timeout(l->db[i]);
        if (due >= 0 && (wait_ns < 0 || due < wait_ns / 1000000))
            wait_ns = (int64_t)due * 1000000;
    }
    if (l->rate > 0 && l->idle > 0 &&
        !l->stopping) { /* an answer that just came may have freed who is overdue */
        uint64_t now = now_ns();
        int64_t until = l->appointed > now ? (int64_t)(l->appointed - now) : 0;
        if (wait_ns < 0 || until < wait_ns)
            wait_ns = until;
    }
    /* To the nanosecond: a generator that polls in circles would take the core that the server needs. */
    struct timespec wait = { wait_ns / 1000000000, wait_ns % 1000000000 };
    ppoll(p, l->connections, wait_ns < 0 ? NULL : &wait, NULL);
}

static bool open_all(struct load *l)
{
    struct flotilla_options o = {
        .size = sizeof o, .endpoint = l->endpoint, .timeout_ms = 30000, .identity = "loadgen"
    };
    struct flotilla_error e;
    for (unsigned i = 0; i < l->connections; i++)
        if (flotilla_open(&o, &l->db[i], &e) != FLOTILLA_OK) {
            fprintf(stderr, "loadgen: %s\n", e.message);
            return false;
        }
    l->all = calloc(l->callers, sizeof *l->all);
    l->free_callers = calloc(l->callers, sizeof *l->free_callers);
    l->versions = calloc(l->keys + l->callers, sizeof *l->versions);
    l->value = malloc(l->value_size + 1);
    if (l->all == NULL || l->free_callers == NULL || l->versions == NULL || l->value == NULL)
        return false;
    memset(l->value, 'v', l->value_size);
    for (unsigned i = 0; i < l->callers; i++) {
        l->all[i] = (struct caller){ .load = l, .db = l->db[i % l->connections] };
        l->free_callers[l->idle++] = &l->all[i];
    }
    return true;
}

static bool filled(struct load *l, enum kind kind)
{
    char key[KEY_SIZE + 1];
    struct flotilla_value v;
    struct flotilla_error e;
    key_text(key, kind, l->keys - 1);
    int rc = flotilla_get(l->db[0], FLOTILLA_NAMESPACE, FLOTILLA_TEXT(key), &v, &e);
    bool found = rc == FLOTILLA_OK && v.found && v.len == l->value_size;
    flotilla_value_free(&v);
    return found;
}

/* Gets should find something: every key is put once, in batches. */
static bool fill(struct load *l)
{
    struct flotilla_batch *b = flotilla_batch_new();
    struct flotilla_error e = { 0 };
    bool fine = b != NULL;
    for (uint32_t k = 0; fine && k < l->keys; k++) {
        char key[KEY_SIZE + 1];
        key_text(key, PUT, k);
        int rc = flotilla_batch_put(b, FLOTILLA_NAMESPACE, FLOTILLA_TEXT(key),
                                    flotilla_bytes(l->value, l->value_size));
        bool full = flotilla_batch_count(b) == FILL_BATCH || k + 1 == l->keys ||
                    flotilla_batch_size(b) > 1 << 20;
        if (rc == FLOTILLA_OK && full) {
            rc = flotilla_batch_commit(l->db[0], b, &e);
            flotilla_batch_clear(b);
        }
        fine = rc == FLOTILLA_OK;
    }
    if (!fine)
        fprintf(stderr, "loadgen: could not fill: %s\n", e.message);
    flotilla_batch_free(b);
    return fine;
}

/* Versioned keys have a version already when the last run wrote them. */
static bool learn_versions(struct load *l)
{
    struct flotilla_range range = { .start = FLOTILLA_TEXT("version:"),
                                    .end = FLOTILLA_TEXT("version;"),
                                    .keys_only = true };
    struct flotilla_scan *scan;
    struct flotilla_row row;
    struct flotilla_error e;
    if (flotilla_cas_scan(l->db[0], FLOTILLA_NAMESPACE, &range, &scan, &e) != FLOTILLA_OK)
        return false;
    while (flotilla_scan_next(scan, &row, &e)) {
        char text[KEY_SIZE + 1];
        snprintf(text, sizeof text, "%.*s", (int)row.key.len, (const char *)row.key.data);
        unsigned long key = strtoul(text + strlen("version:"), NULL, 10);
        if (key < l->keys + l->callers)
            l->versions[key] = (uint32_t)row.version;
    }
    flotilla_scan_close(scan);
    return e.code == FLOTILLA_OK;
}

static double cpu_seconds(pid_t pid)
{
    char path[64], text[1024];
    unsigned long user = 0, system = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "r");
    if (f == NULL)
        return 0;
    size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[n] = '\0';
    const char *at = strrchr(text, ')'); /* the name may hold anything */
    if (at != NULL &&
        sscanf(at + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2)
        return 0;
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

static double servers_cpu_seconds(const struct load *l)
{
    double sum = 0;
    for (unsigned i = 0; i < PIDS_MAX && l->pids[i] != 0; i++)
        sum += cpu_seconds(l->pids[i]);
    return sum;
}

static double own_cpu_seconds(void)
{
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) +
           1e-6 * (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec);
}

static void run_until(struct load *l, uint64_t end)
{
    while (!l->stopping && now_ns() < end) {
        int64_t most = 100000000, wait = most;
        if (l->rate > 0)
            wait = begin_due(l);
        drive(l, wait < 0 || wait > most ? most : wait);
    }
}

static void print(const struct load *l, double seconds, double server_cpu, double own_cpu)
{
    struct latencies all = { 0 };
    for (int k = 0; k < KINDS; k++) {
        const struct latencies *one = &l->latencies[k];
        all.count += one->count;
        all.sum += one->sum;
        all.max = one->max > all.max ? one->max : all.max;
        for (unsigned b = 0; b < BUCKETS; b++)
            all.buckets[b] += one->buckets[b];
    }
    double n = all.count > 0 ? (double)all.count : 1;
    if (l->brief) {
        printf("%.0f %.3f %.3f %.1f\n", n / seconds, percentile_ms(&all, 50),
               percentile_ms(&all, 99), server_cpu / n * 1e6);
        return;
    }
    printf("%u callers, %u connections, %u bytes, %s loop, %.1f s\n", l->callers, l->connections,
           l->value_size, l->rate > 0 ? "open" : "closed", seconds);
    printf("%-5s %10s %10s %9s %9s %9s %9s\n", "op", "count", "per s", "p50 ms", "p99 ms",
           "p99.9 ms", "max ms");
    for (int k = 0; k <= KINDS; k++) {
        const struct latencies *one = k < KINDS ? &l->latencies[k] : &all;
        if (one->count > 0)
            printf("%-5s %10" PRIu64 " %10.0f %9.3f %9.3f %9.3f %9.3f\n",
                   k < KINDS ? kind_names[k] : "all", one->count, (double)one->count / seconds,
                   percentile_ms(one, 50), percentile_ms(one, 99), percentile_ms(one, 99.9),
                   (double)one->max / 1e6);
    }
    if (l->pids[0] != 0)
        printf("server CPU %.1f us per operation, %.2f cores\n", server_cpu / n * 1e6,
               server_cpu / seconds);
    printf("generator CPU %.1f us per operation, %.2f cores\n", own_cpu / n * 1e6,
           own_cpu / seconds);
    printf("errors %" PRIu64 ", conflicts %" PRIu64 ", misses %" PRIu64 "\n", l->errors,
           l->conflicts, l->misses);
}

static int run(struct load *l)
{
    if (!open_all(l))
        return 1;
    if (l->share[GET] > 0 && l->fill && !filled(l, PUT) && !fill(l))
        return 1;
    if (l->share[CAS] > 0 && !learn_versions(l))
        return 1;
    uint64_t start = now_ns();
    l->appointed = start;
    while (l->rate <= 0 && l->idle > 0 && !l->stopping)
        begin(l->free_callers[--l->idle], start);
    run_until(l, start + (uint64_t)l->warm_seconds * 1000000000u);
    l->measuring = true;
    uint64_t from = now_ns();
    double server = servers_cpu_seconds(l), own = own_cpu_seconds();
    run_until(l, from + (uint64_t)l->seconds * 1000000000u);
    double seconds = (double)(now_ns() - from) / 1e9;
    server = servers_cpu_seconds(l) - server;
    own = own_cpu_seconds() - own;
    l->measuring = false;
    l->stopping = true;
    while (l->idle < l->callers)
        drive(l, 100000000);
    print(l, seconds, server, own);
    for (unsigned i = 0; i < l->connections; i++)
        flotilla_close(l->db[i]);
    if (l->errors > 0)
        fprintf(stderr, "loadgen: %" PRIu64 " errors; the first: %s\n", l->errors, l->first_error);
    free(l->all);
    free(l->free_callers);
    free(l->versions);
    free(l->value);
    return l->errors > 0;
}

static void take_pids(struct load *l, const char *text)
{
    for (unsigned i = 0; i < PIDS_MAX && *text != 0; i++) {
        char *end;
        l->pids[i] = (pid_t)strtol(text, &end, 10);
        text = *end == ',' ? end + 1 : "";
    }
}

static const char usage[] =
    "usage: loadgen [--endpoint HOST:PORT] [--op put|get|cas|mix] [--callers N] [--connections N]\n"
    "               [--seconds N] [--warm SECONDS] [--rate PER_SECOND] [--value BYTES] [--keys N]\n"
    "               [--pid SERVER,...] [--no-fill] [--brief]\n"
    "mix is 50 % get, 40 % put, 10 % cas. --rate: open loop.\n"
    "--brief prints: operations per second, p50 ms, p99 ms, server CPU us per operation.\n";

static bool set_op(struct load *l, const char *op)
{
    static const struct {
        const char *name;
        unsigned share[KINDS];
    } ops[] = { { "put", { 100, 0, 0 } },
                { "get", { 0, 100, 0 } },
                { "cas", { 0, 0, 100 } },
                { "mix", { 40, 50, 10 } } };
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if (strcmp(op, ops[i].name) == 0) {
            memcpy(l->share, ops[i].share, sizeof l->share);
            return true;
        }
    return false;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        { "endpoint", 1, NULL, 'e' },
        { "op", 1, NULL, 'o' },
        { "callers", 1, NULL, 'c' },
        { "connections", 1, NULL, 'n' },
        { "seconds", 1, NULL, 's' },
        { "rate", 1, NULL, 'r' },
        { "value", 1, NULL, 'v' },
        { "keys", 1, NULL, 'k' },
        { "pid", 1, NULL, 'p' },
        { "brief", 0, NULL, 'b' },
        { "no-fill", 0, NULL, 'f' },
        { "warm", 1, NULL, 'w' },
        { 0 },
    };
    static struct load l; /* its histograms are large */
    l = (struct load){ .endpoint = getenv("FLOTILLA_ENDPOINT"),
                       .callers = 16,
                       .connections = 1,
                       .seconds = 3,
                       .warm_seconds = 1,
                       .value_size = 128,
                       .keys = 100000,
                       .random = 88172645463325252u,
                       .fill = true };
    bool fine = set_op(&l, "put");
    int o;
    while (fine && (o = getopt_long(argc, argv, "", options, NULL)) != -1) {
        unsigned number = optarg != NULL ? (unsigned)strtoul(optarg, NULL, 10) : 0;
        switch (o) {
        case 'e':
            l.endpoint = optarg;
            break;
        case 'o':
            fine = set_op(&l, optarg);
            break;
        case 'c':
            l.callers = number;
            break;
        case 'n':
            l.connections = number;
            break;
        case 's':
            l.seconds = number;
            break;
        case 'w':
            l.warm_seconds = number;
            break;
        case 'r':
            l.rate = strtod(optarg, NULL);
            break;
        case 'v':
            l.value_size = number;
            break;
        case 'k':
            l.keys = number;
            break;
        case 'p':
            take_pids(&l, optarg);
            break;
        case 'b':
            l.brief = true;
            break;
        case 'f':
            l.fill = false;
            break;
        default:
            fine = false;
        }
    }
    if (!fine || optind != argc || l.callers == 0 || l.connections == 0 ||
        l.connections > CONNECTIONS_MAX || l.seconds == 0 || l.keys < l.callers ||
        l.value_size > 1 << 20) {
        fputs(usage, stderr);
        return 2;
    }
    return run(&l);
}
