/* A whole node as a real process: timestamps under many threads, stamps of concurrent writes, idle
 * connections, a stop under load, what it says when it cannot start. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/test.h"
#include "flotilla/client.h"
#include "process.h"

struct test_case *test_cases;

struct rig {
    char *base;
    char dir[300];
    struct process node;
};

static struct rig rig_new(const char *const *options)
{
    struct rig r = { .base = test_dir() };
    snprintf(r.dir, sizeof r.dir, "%s/store", r.base);
    process_init(r.dir);
    process_start(&r.node, r.dir, options);
    return r;
}

static void rig_free(struct rig *r)
{
    if (r->node.pid != 0)
        CHECK_EQ(process_end(&r->node, SIGTERM), 0);
    free(r->base);
}

static struct flotilla *open_client(const char *endpoint)
{
    struct flotilla *db = NULL;
    struct flotilla_error e;
    struct flotilla_options o = { .size = sizeof o, .endpoint = endpoint, .timeout_ms = 60000 };
    if (flotilla_open(&o, &db, &e) != FLOTILLA_OK)
        fprintf(stderr, "open: %s\n", e.message);
    return db;
}

/* ---- Timestamps --------------------------------------------------------------------------- */

/* 16 threads, each with a connection and a window of requests in flight. Rows 001-12 and 001-13. */
enum { THREADS = 16, WINDOW = 64 };

static atomic_ullong newest; /* the greatest stamp that anybody has received */

struct hammer {
    pthread_t thread;
    const char *endpoint;
    unsigned want, asked, got;
    uint64_t *stamps, *floors; /* floors: `newest` when the request was made */
    struct slot {
        struct hammer *h;
        uint64_t floor;
        bool used;
    } slots[WINDOW];
    unsigned bad; /* stamps not above what was received before they were asked for */
    char failure[300];
};

static void stamped(void *user, const struct flotilla_result *result)
{
    struct slot *s = user;
    struct hammer *h = s->h;
    s->used = false;
    if (result->code != FLOTILLA_OK) {
        snprintf(h->failure, sizeof h->failure, "%s", result->message);
        return;
    }
    h->bad += result->first <= s->floor;
    h->stamps[h->got++] = result->first;
    unsigned long long have = atomic_load(&newest);
    while (have < result->first && !atomic_compare_exchange_weak(&newest, &have, result->first))
        continue;
}

static void *hammer_run(void *arg)
{
    struct hammer *h = arg;
    struct flotilla_error e;
    struct flotilla *db = open_client(h->endpoint);
    if (db == NULL) {
        snprintf(h->failure, sizeof h->failure, "could not connect");
        return NULL;
    }
    while (h->got < h->want && h->failure[0] == 0) {
        for (unsigned i = 0; i < WINDOW && h->asked < h->want; i++) {
            struct slot *s = &h->slots[i];
            if (s->used)
                continue;
            *s = (struct slot){ h, atomic_load(&newest), true };
            struct flotilla_op op = { .kind = FLOTILLA_OP_GET_TSO, .count = 1 };
            if (flotilla_submit(db, &op, stamped, s, &e) != FLOTILLA_OK) {
                snprintf(h->failure, sizeof h->failure, "%s", e.message);
                break;
            }
            h->asked++;
        }
        flotilla_wait(db, -1);
    }
    flotilla_close(db);
    return NULL;
}

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Every stamp of the round is distinct, ordered, and above `floor`. Answers the greatest. */
static uint64_t hammer_round(const char *endpoint, unsigned each, uint64_t floor)
{
    struct hammer *h = calloc(THREADS, sizeof *h);
    uint64_t *all = calloc((size_t)THREADS * each, sizeof *all), began = now_ms();
    atomic_store(&newest, floor);
    for (unsigned i = 0; i < THREADS; i++) {
        h[i].endpoint = endpoint;
        h[i].want = each;
        h[i].stamps = &all[(size_t)i * each];
        CHECK_EQ(pthread_create(&h[i].thread, NULL, hammer_run, &h[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(h[i].thread, NULL);
        CHECK_STR(h[i].failure, "");
        CHECK_EQ(h[i].got, each);
        CHECK_EQ(h[i].bad, 0);
        for (unsigned j = 1; j < each; j++) /* answers of one connection come in order here: */
            CHECK(h[i].stamps[j] > h[i].stamps[j - 1]); /* the oracle answers as it is asked */
    }
    size_t n = (size_t)THREADS * each;
    qsort(all, n, sizeof *all, compare_u64);
    for (size_t i = 1; i < n; i++)
        CHECK(all[i] > all[i - 1]);
    CHECK(all[0] > floor);
    uint64_t last = all[n - 1];
    print_message("%zu timestamps, all distinct and ordered, in %llu ms\n", n,
                  (unsigned long long)(now_ms() - began));
    free(all);
    free(h);
    return last;
}

TEST(timestamps_of_16_threads_are_distinct_and_ordered_also_across_restarts)
{
    struct rig r = rig_new(NULL);
    uint64_t last = hammer_round(r.node.endpoint, 100000, 0);
    CHECK_EQ(process_end(&r.node, SIGKILL), 1000 + SIGKILL);
    process_start(&r.node, r.dir, NULL);
    last = hammer_round(r.node.endpoint, 1000, last);
    CHECK_EQ(process_end(&r.node, SIGTERM), 0);
    process_start(&r.node, r.dir, NULL);
    hammer_round(r.node.endpoint, 1000, last);
    rig_free(&r);
}

/* ---- Stamps of writes --------------------------------------------------------------------- */

struct stamper {
    pthread_t thread;
    const char *endpoint;
    unsigned id, writes, bad;
    uint64_t hlc;
    bool done;
    int code;
};

static void stamper_done(void *user, const struct flotilla_result *result)
{
    struct stamper *s = user;
    s->done = true;
    s->code = result->code;
    s->hlc = result->hlc;
}

/* A write that begins after another one was answered has a greater stamp (row 004-60). */
static void *stamper_run(void *arg)
{
    struct stamper *s = arg;
    struct flotilla_error e;
    struct flotilla *db = open_client(s->endpoint);
    char key[32];
    for (unsigned i = 0; db != NULL && i < s->writes; i++) {
        unsigned long long before = atomic_load(&newest);
        snprintf(key, sizeof key, "%u/%u", s->id, i % 10);
        struct flotilla_op op = { .kind = FLOTILLA_OP_RAW_PUT,
                                  .ns = FLOTILLA_NAMESPACE,
                                  .key = FLOTILLA_TEXT(key),
                                  .value = FLOTILLA_TEXT("v") };
        s->done = false;
        if (flotilla_submit(db, &op, stamper_done, s, &e) != FLOTILLA_OK)
            break;
        while (!s->done)
            flotilla_wait(db, -1);
        if (s->code != FLOTILLA_OK)
            break;
        s->bad += s->hlc <= before;
        while (before < s->hlc && !atomic_compare_exchange_weak(&newest, &before, s->hlc))
            continue;
    }
    flotilla_close(db);
    return NULL;
}

TEST(hlc_grows_under_concurrent_writes)
{
    struct rig r = rig_new(NULL);
    struct stamper s[8] = { 0 };
    atomic_store(&newest, 0);
    for (unsigned i = 0; i < 8; i++) {
        s[i] = (struct stamper){ .endpoint = r.node.endpoint, .id = i, .writes = 500 };
        CHECK_EQ(pthread_create(&s[i].thread, NULL, stamper_run, &s[i]), 0);
    }
    for (unsigned i = 0; i < 8; i++) {
        pthread_join(s[i].thread, NULL);
        CHECK_EQ(s[i].code, FLOTILLA_OK);
        CHECK_EQ(s[i].bad, 0);
        CHECK(s[i].hlc != 0);
    }
    rig_free(&r);
}

/* ---- Idle connections --------------------------------------------------------------------- */

TEST(five_thousand_idle_connections_cost_little_and_disturb_nobody)
{
    enum { IDLE = 5000 };
    static const char *const options[] = { "limits.connections_max=6000", NULL };
    if (sysconf(_SC_OPEN_MAX) < IDLE + 100) {
        print_message("skipped: this process may open %ld files alone; raise ulimit -n\n",
                      sysconf(_SC_OPEN_MAX));
        skip();
    }
    struct rig r = rig_new(options);
    struct flotilla **idle = calloc(IDLE, sizeof *idle);
    struct flotilla_error e;
    struct flotilla *db = open_client(r.node.endpoint);
    CHECK(db != NULL);
    CHECK_EQ(flotilla_raw_put(db, 1, FLOTILLA_TEXT("k"), FLOTILLA_TEXT("v"), &e), FLOTILLA_OK);
    uint64_t before = process_memory(&r.node);
    for (unsigned i = 0; i < IDLE; i++) {
        idle[i] = open_client(r.node.endpoint);
        CHECK(idle[i] != NULL);
    }
    uint64_t after = process_memory(&r.node);
    for (unsigned i = 0; i < 100; i++) {
        struct flotilla_value v = { 0 };
        CHECK_EQ(flotilla_get(db, 1, FLOTILLA_TEXT("k"), &v, &e), FLOTILLA_OK);
        CHECK(v.found);
        flotilla_value_free(&v);
    }
    /* Some of them wake up again. */
    for (unsigned i = 0; i < IDLE; i += 500)
        CHECK_EQ(flotilla_raw_put(idle[i], 1, FLOTILLA_TEXT("k"), FLOTILLA_TEXT("w"), &e),
                 FLOTILLA_OK);
    print_message("%d idle connections: %llu bytes each\n", IDLE,
                  (unsigned long long)((after - before) / IDLE));
    if (!process_sanitized())
        CHECK((after - before) / IDLE <= 8192);
    for (unsigned i = 0; i < IDLE; i++)
        flotilla_close(idle[i]);
    free(idle);
    flotilla_close(db);
    rig_free(&r);
}

/* ---- Stopping under load ------------------------------------------------------------------ */

struct loader {
    pthread_t thread;
    const char *endpoint;
    unsigned id;
    uint64_t acknowledged, undetermined; /* keys id/0 ... id/acknowledged-1 were written */
};

static void *loader_run(void *arg)
{
    struct loader *l = arg;
    struct flotilla_error e;
    struct flotilla *db = open_client(l->endpoint);
    char key[32];
    if (db == NULL)
        return NULL;
    flotilla_set_timeout(db, 2000);
    for (;;) {
        snprintf(key, sizeof key, "%u/%llu", l->id, (unsigned long long)l->acknowledged);
        int code = flotilla_raw_put(db, 1, FLOTILLA_TEXT(key), FLOTILLA_TEXT("v"), &e);
        if (code != FLOTILLA_OK) {
            l->undetermined += flotilla_error_class(code) == FLOTILLA_CLASS_UNDETERMINED;
            break;
        }
        l->acknowledged++;
    }
    flotilla_close(db);
    return NULL;
}

TEST(sigterm_under_load_loses_nothing_and_ends_with_0_in_time)
{
    struct rig r = rig_new(NULL);
    struct loader l[8] = { 0 };
    for (unsigned i = 0; i < 8; i++) {
        l[i] = (struct loader){ .endpoint = r.node.endpoint, .id = i };
        CHECK_EQ(pthread_create(&l[i].thread, NULL, loader_run, &l[i]), 0);
    }
    sleep_ms(300);
    uint64_t began = now_ms();
    kill(r.node.pid, SIGTERM);
    int code = process_wait(&r.node, 30000);
    uint64_t took = now_ms() - began;
    CHECK_EQ(code, 0);
    uint64_t acknowledged = 0, undetermined = 0;
    for (unsigned i = 0; i < 8; i++) {
        pthread_join(l[i].thread, NULL);
        acknowledged += l[i].acknowledged;
        undetermined += l[i].undetermined;
    }
    print_message("stopped in %llu ms, %llu writes acknowledged before\n", (unsigned long long)took,
                  (unsigned long long)acknowledged);
    CHECK_EQ(undetermined, 0); /* in flight or on its way: answered, or told that it was not done */
    CHECK(acknowledged > 0);
    CHECK(took < (process_sanitized() ? 20000 : 5000));
    process_start(&r.node, r.dir, NULL);
    struct flotilla *db = open_client(r.node.endpoint);
    CHECK(db != NULL);
    struct flotilla_error e;
    char key[32];
    for (unsigned i = 0; i < 8; i++) {
        for (uint64_t j = 0; j < l[i].acknowledged; j++) {
            struct flotilla_value v = { 0 };
            snprintf(key, sizeof key, "%u/%llu", i, (unsigned long long)j);
            CHECK_EQ(flotilla_get(db, 1, FLOTILLA_TEXT(key), &v, &e), FLOTILLA_OK);
            CHECK(v.found);
            flotilla_value_free(&v);
        }
    }
    flotilla_close(db);
    rig_free(&r);
}

/* ---- HTTP --------------------------------------------------------------------------------- */

/* The answer to GET `path`, headers and all; the caller frees. */
static char *http_get(const char *address, const char *path)
{
    char command[400];
    snprintf(command, sizeof command, "curl -s -i --max-time 20 http://%s%s", address, path);
    FILE *f = popen(command, "r");
    CHECK(f != NULL);
    size_t cap = 1 << 20;
    char *text = calloc(1, cap);
    size_t len = fread(text, 1, cap - 1, f);
    text[len] = 0;
    CHECK_EQ(pclose(f), 0);
    return text;
}

/* Every sample belongs to the family that the last TYPE line names; buckets never shrink. */
static void check_metrics(char *text)
{
    char family[128] = "", *save = NULL;
    unsigned samples = 0;
    double bucket = 0;
    for (char *line = strtok_r(strstr(text, "# HELP"), "\n", &save); line != NULL;
         line = strtok_r(NULL, "\n", &save)) {
        if (strncmp(line, "# TYPE ", 7) == 0) {
            CHECK_EQ(sscanf(line, "# TYPE %127s", family), 1);
            continue;
        }
        if (line[0] == '#')
            continue;
        CHECK_EQ(strncmp(line, family, strlen(family)), 0);
        char *end, *value = strrchr(line, ' ');
        CHECK(value != NULL);
        double x = strtod(value + 1, &end);
        CHECK(*end == 0 || *end == '\r');
        if (strstr(line, "_bucket{") != NULL) {
            bool first = strstr(line, "le=\"0.000001\"") != NULL;
            CHECK(first || x >= bucket);
            bucket = x;
        }
        samples++;
    }
    CHECK(samples > 300);
}

TEST(metrics_and_health_are_served_from_snapshots)
{
    static const char *const options[] = { "http=on", NULL };
    struct rig r = rig_new(options);
    struct flotilla_error e;
    struct flotilla *db = open_client(r.node.endpoint);
    CHECK(db != NULL);
    for (int i = 0; i < 7; i++)
        CHECK_EQ(flotilla_raw_put(db, 1, FLOTILLA_TEXT("k"), FLOTILLA_TEXT("v"), &e), FLOTILLA_OK);
    char *text = NULL;
    for (int i = 0; i < 200; i++) { /* the next snapshot is at most a second away */
        free(text);
        text = http_get(r.node.http, "/metrics");
        if (strstr(text, "flotilla_requests_total{method=\"RawPut\",code=\"OK\"} 7\n") != NULL)
            break;
        sleep_ms(100);
    }
    CHECK_CONTAINS(text, "HTTP/1.1 200");
    CHECK_CONTAINS(text, "flotilla_requests_total{method=\"RawPut\",code=\"OK\"} 7\n");
    CHECK_CONTAINS(text, "flotilla_ready 1\n");
    check_metrics(text);
    free(text);
    text = http_get(r.node.http, "/readyz");
    CHECK_CONTAINS(text, "HTTP/1.1 200");
    free(text);
    text = http_get(r.node.http, "/healthz");
    CHECK_CONTAINS(text, "HTTP/1.1 200");
    free(text);
    text = http_get(r.node.http, "/elsewhere");
    CHECK_CONTAINS(text, "HTTP/1.1 404");
    free(text);
    flotilla_close(db);
    rig_free(&r);
}

/* ---- Starts that fail --------------------------------------------------------------------- */

/* Runs this program as a server that must not get ready; its standard error, static. */
static const char *failed_start(const char *dir, const char *option, int *code)
{
    static char text[2000];
    char command[900], self[400];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    CHECK(n > 0);
    self[n] = 0;
    snprintf(command, sizeof command, "%s serve %s %s 2>&1 </dev/null", self, dir, option);
    FILE *f = popen(command, "r");
    CHECK(f != NULL);
    size_t len = fread(text, 1, sizeof text - 1, f);
    text[len] = 0;
    *code = WEXITSTATUS(pclose(f));
    return text;
}

TEST(a_port_in_use_and_a_store_in_use_are_named_with_their_own_exit_codes)
{
    int code;
    char option[100], other[320];
    struct rig r = rig_new(NULL);
    snprintf(other, sizeof other, "%s/other", r.base);
    process_init(other);
    snprintf(option, sizeof option, "address=%s", r.node.endpoint);
    const char *text = failed_start(other, option, &code);
    CHECK_EQ(code, 4);
    CHECK_CONTAINS(text, r.node.endpoint);
    CHECK_CONTAINS(text, "in use");
    text = failed_start(r.dir, "", &code);
    CHECK_EQ(code, 3);
    CHECK_CONTAINS(text, "another process");
    snprintf(other, sizeof other, "%s/nothing", r.base);
    text = failed_start(other, "", &code);
    CHECK_EQ(code, 3);
    CHECK_CONTAINS(text, "init");
    rig_free(&r);
}

int main(int argc, char **argv)
{
    int code;
    if (process_serve(argc, argv, &code))
        return code;
    return test_main(argc, argv);
}
