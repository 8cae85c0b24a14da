/* Writers, kill -9, restart, check: round after round on one store.
 *
 *   kill_loop [ROUNDS [WRITERS [SEED]]]           defaults 5, 8, 1
 *
 * Every writer owns some keys, so the history of a key is a line. For each key it knows the states
 * that it may be in: one after an answer; two after a request that was cut off (before it, after
 * it). After a restart the key must be in one of them, and from then on in that one for ever.
 *
 *   raw       put or delete; values are drawn from (key, number) and compared byte by byte
 *   versioned CAS from the known version: applied at most once, or the version would tell
 *   batches   of three keys: all or none
 *   counter   one key that all writers increment by CAS: it must lie between the acknowledged
 *             increments and these plus the unanswered ones
 *
 * A round without acknowledged writes, or a run in which no kill hit a request, is void: it fails. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/prng.h"
#include "flotilla/client.h"
#include "process.h"

enum { KEYS = 12, BATCHES = 4, BATCH_KEYS = 3, VALUE_MAX = 3000 };

/* What a key (or a batch of keys) holds: the number of a value, 0 for none. If `open`, it may hold `maybe` instead, and
 * then its version is one more. A raw key has no version that could be checked. */
struct state {
    uint64_t version, number, maybe;
    bool open;
};
struct writer {
    pthread_t thread;
    unsigned id;
    struct prng prng;
    struct state raw[KEYS], batch[BATCHES], cas[KEYS];
    uint64_t next; /* numbers of values */
    uint64_t acknowledged, cut_off;
    char failure[400];
};

static atomic_bool stopping;
static atomic_ullong counter_acknowledged, counter_cut_off;
static char endpoint[64];
static bool verify_only;

/* ---- Values ------------------------------------------------------------------------------- */

static size_t value_make(uint8_t *out, unsigned writer, unsigned key, uint64_t number)
{
    struct prng p;
    prng_seed(&p, (uint64_t)writer << 48 ^ (uint64_t)key << 40 ^ number);
    size_t len = 8 + prng_below(&p, VALUE_MAX - 8);
    prng_fill(&p, out, len);
    memcpy(out, &number, 8);
    return len;
}

/* 0: absent. UINT64_MAX: torn, or somebody else's. */
static uint64_t value_number(const struct flotilla_value *v, unsigned writer, unsigned key)
{
    uint8_t want[VALUE_MAX];
    uint64_t number;
    if (!v->found)
        return 0;
    if (v->len < 8)
        return UINT64_MAX;
    memcpy(&number, v->data, 8);
    size_t len = value_make(want, writer, key, number);
    return len == v->len && memcmp(want, v->data, len) == 0 ? number : UINT64_MAX;
}

static struct flotilla_bytes key_make(char *out, const char *kind, unsigned writer, unsigned i)
{
    snprintf(out, 40, "%s/%03u/%03u", kind, writer, i);
    return FLOTILLA_TEXT(out);
}

static void fail(struct writer *w, const char *what, const char *key, uint64_t have, uint64_t want,
                 uint64_t maybe)
{
    if (w->failure[0] == 0)
        snprintf(w->failure, sizeof w->failure, "%s of %s: have %llu, expected %llu or %llu", what,
                 key, (unsigned long long)have, (unsigned long long)want,
                 (unsigned long long)maybe);
    atomic_store(&stopping, true);
}

enum answer {
    KNOWN,     /* answered */
    CUT_OFF,   /* it happened, or it did not */
    NO_ANSWER, /* it did not happen, or it has ended the writer */
};

static enum answer take_answer(struct writer *w, int code, const struct flotilla_error *e)
{
    if (code == FLOTILLA_OK || code == FLOTILLA_CONFLICT || code == FLOTILLA_NOT_FOUND) {
        w->acknowledged++;
        return KNOWN;
    }
    if (flotilla_error_class(code) == FLOTILLA_CLASS_UNDETERMINED) {
        w->cut_off++;
        return CUT_OFF;
    }
    if (code != FLOTILLA_UNAVAILABLE && code != FLOTILLA_DEADLINE_EXCEEDED &&
        code != FLOTILLA_SERVER_IS_BUSY && w->failure[0] == 0)
        snprintf(w->failure, sizeof w->failure, "%s: %s", flotilla_code_name(code), e->message);
    return NO_ANSWER;
}

/* Moves a state by what a write of `number` came to. False: the writer has to end. */
static bool settle(struct writer *w, struct state *s, uint64_t number, int code,
                   const struct flotilla_error *e)
{
    enum answer answer = take_answer(w, code, e);
    if (answer == KNOWN)
        *s = (struct state){ .version = s->version + 1, .number = number };
    if (answer == CUT_OFF) {
        s->maybe = number;
        s->open = true;
    }
    return answer == KNOWN;
}

/* ---- Checking after a restart ------------------------------------------------------------- */

static bool check_raw_key(struct writer *w, struct flotilla *db, const char *kind, unsigned i,
                          unsigned seed, uint64_t *ret)
{
    char key[40];
    struct flotilla_error e;
    struct flotilla_value v = { 0 };
    int code = flotilla_get(db, FLOTILLA_NAMESPACE, key_make(key, kind, w->id, i), &v, &e);
    if (code != FLOTILLA_OK) {
        snprintf(w->failure, sizeof w->failure, "could not read %s: %s", key, e.message);
        return false;
    }
    *ret = value_number(&v, w->id, seed);
    flotilla_value_free(&v);
    return true;
}

/* After this it is what it was found to be, for ever. */
static void check_state(struct writer *w, const char *what, struct state *s, uint64_t have)
{
    if (have != s->number && !(s->open && have == s->maybe))
        fail(w, "value", what, have, s->number, s->open ? s->maybe : s->number);
    *s = (struct state){ .number = have };
}

static void check_raw(struct writer *w, struct flotilla *db)
{
    for (unsigned i = 0; i < KEYS && w->failure[0] == 0; i++) {
        uint64_t have;
        if (!check_raw_key(w, db, "raw", i, i, &have))
            return;
        check_state(w, "a raw key", &w->raw[i], have);
    }
    for (unsigned i = 0; i < BATCHES && w->failure[0] == 0; i++) {
        uint64_t have[BATCH_KEYS];
        for (unsigned j = 0; j < BATCH_KEYS; j++) {
            unsigned n = i * BATCH_KEYS + j;
            if (!check_raw_key(w, db, "bat", n, 100 + n, &have[j]))
                return;
            if (have[j] != have[0])
                fail(w, "a torn batch", "a key", have[j], have[0], have[0]);
        }
        check_state(w, "a batch", &w->batch[i], have[0]);
    }
}

static void check_cas(struct writer *w, struct flotilla *db)
{
    char key[40];
    struct flotilla_error e;
    for (unsigned i = 0; i < KEYS && w->failure[0] == 0; i++) {
        struct state *s = &w->cas[i];
        struct flotilla_value v = { 0 };
        int code = flotilla_cas_get(db, FLOTILLA_NAMESPACE, key_make(key, "cas", w->id, i), &v, &e);
        if (code != FLOTILLA_OK) {
            snprintf(w->failure, sizeof w->failure, "could not read %s: %s", key, e.message);
            return;
        }
        uint64_t have = value_number(&v, w->id, 200 + i);
        if (v.version == s->version && have == s->number)
            ; /* as known; a CAS that was cut off never happened */
        else if (s->open && v.version == s->version + 1 && have == s->maybe)
            ; /* it happened, once */
        else
            fail(w, "version", key, v.version, s->version, s->version + s->open);
        *s = (struct state){ .version = v.version, .number = have };
        flotilla_value_free(&v);
    }
}

/* ---- Writing ------------------------------------------------------------------------------ */

static bool write_raw(struct writer *w, struct flotilla *db)
{
    char key[40];
    uint8_t value[VALUE_MAX];
    struct flotilla_error e;
    unsigned i = (unsigned)prng_below(&w->prng, KEYS);
    struct flotilla_bytes k = key_make(key, "raw", w->id, i);
    uint64_t number = prng_chance(&w->prng, 1, 5) ? 0 : ++w->next;
    int code;
    if (number == 0)
        code = flotilla_delete(db, FLOTILLA_NAMESPACE, k, &e);
    else
        code = flotilla_raw_put(db, FLOTILLA_NAMESPACE, k,
                                flotilla_bytes(value, value_make(value, w->id, i, number)), &e);
    return settle(w, &w->raw[i], number, code, &e);
}

static bool write_cas(struct writer *w, struct flotilla *db)
{
    char key[40];
    uint8_t value[VALUE_MAX];
    struct flotilla_error e;
    unsigned i = (unsigned)prng_below(&w->prng, KEYS);
    struct state *s = &w->cas[i];
    struct flotilla_bytes k = key_make(key, "cas", w->id, i);
    uint64_t number = s->number != 0 && prng_chance(&w->prng, 1, 5) ? 0 : ++w->next, version = 0;
    int code;
    if (number == 0)
        code = flotilla_cas_delete(db, FLOTILLA_NAMESPACE, k, &s->version, &version, NULL, &e);
    else
        code = flotilla_cas_put(db, FLOTILLA_NAMESPACE, k, s->number == 0 ? 0 : s->version,
                                flotilla_bytes(value, value_make(value, w->id, 200 + i, number)),
                                &version, NULL, &e);
    if (!settle(w, s, number, code, &e))
        return false;
    if (code != FLOTILLA_OK || version != s->version) /* nobody else writes this key */
        fail(w, "new version", key, version, s->version, (uint64_t)code);
    return true;
}

static bool write_batch(struct writer *w, struct flotilla *db)
{
    char key[40];
    uint8_t value[VALUE_MAX];
    struct flotilla_error e;
    unsigned i = (unsigned)prng_below(&w->prng, BATCHES);
    uint64_t number = ++w->next;
    struct flotilla_batch *b = flotilla_batch_new();
    for (unsigned j = 0; j < BATCH_KEYS; j++) {
        unsigned n = i * BATCH_KEYS + j;
        size_t len = value_make(value, w->id, 100 + n, number);
        flotilla_batch_put(b, FLOTILLA_NAMESPACE, key_make(key, "bat", w->id, n),
                           flotilla_bytes(value, len));
    }
    int code = flotilla_batch_commit(db, b, &e);
    flotilla_batch_free(b);
    return settle(w, &w->batch[i], number, code, &e);
}

static bool count_up(struct writer *w, struct flotilla *db)
{
    struct flotilla_error e;
    struct flotilla_value v = { 0 };
    unsigned long long n = 0;
    if (flotilla_cas_get(db, FLOTILLA_NAMESPACE, FLOTILLA_TEXT("counter"), &v, &e) != FLOTILLA_OK)
        return false;
    if (v.found)
        n = strtoull(v.data, NULL, 10);
    char text[24];
    snprintf(text, sizeof text, "%llu", n + 1);
    int code = flotilla_cas_put(db, FLOTILLA_NAMESPACE, FLOTILLA_TEXT("counter"), v.version,
                                FLOTILLA_TEXT(text), NULL, NULL, &e);
    flotilla_value_free(&v);
    enum answer answer = take_answer(w, code, &e);
    if (code == FLOTILLA_OK)
        atomic_fetch_add(&counter_acknowledged, 1);
    if (answer == CUT_OFF)
        atomic_fetch_add(&counter_cut_off, 1);
    return answer == KNOWN;
}

static void *writer_run(void *arg)
{
    struct writer *w = arg;
    struct flotilla *db;
    struct flotilla_error e;
    struct flotilla_options o = { .size = sizeof o,
                                  .endpoint = endpoint,
                                  .timeout_ms = 20000 }; /* to check: all the time it takes */
    if (flotilla_open(&o, &db, &e) != FLOTILLA_OK) {
        if (!atomic_load(&stopping))
            snprintf(w->failure, sizeof w->failure, "open: %s", e.message);
        return NULL;
    }
    check_raw(w, db);
    check_cas(w, db);
    bool go = !verify_only;
    flotilla_set_timeout(db, 1000); /* to write: a read after the kill is not to be waited for */
    while (go && !atomic_load(&stopping) && w->failure[0] == 0) {
        switch (prng_below(&w->prng, 8)) {
        case 0:
            go = write_batch(w, db);
            break;
        case 1:
            go = count_up(w, db);
            break;
        case 2:
        case 3:
        case 4:
            go = write_cas(w, db);
            break;
        default:
            go = write_raw(w, db);
            break;
        }
    }
    flotilla_close(db);
    return NULL;
}

/* ---- Rounds ------------------------------------------------------------------------------- */

static int check_counter(void)
{
    struct flotilla *db;
    struct flotilla_error e;
    struct flotilla_value v = { 0 };
    struct flotilla_options o = { .size = sizeof o, .endpoint = endpoint };
    if (flotilla_open(&o, &db, &e) != FLOTILLA_OK ||
        flotilla_cas_get(db, FLOTILLA_NAMESPACE, FLOTILLA_TEXT("counter"), &v, &e) != FLOTILLA_OK) {
        fprintf(stderr, "counter: %s\n", e.message);
        return 1;
    }
    unsigned long long have = v.found ? strtoull(v.data, NULL, 10) : 0,
                       least = atomic_load(&counter_acknowledged),
                       most = least + atomic_load(&counter_cut_off);
    bool good = have >= least && have <= most && have == v.version;
    if (!good)
        fprintf(stderr, "counter: %llu at version %llu, expected %llu to %llu\n", have,
                (unsigned long long)v.version, least, most);
    flotilla_value_free(&v);
    flotilla_close(db);
    return good ? 0 : 1;
}

/* One life of the node: verify, write, kill. 0 if all is well. */
static int one_round(struct process *node, const char *dir, struct writer *writers, unsigned count,
                     struct prng *prng)
{
    process_start(node, dir, NULL);
    snprintf(endpoint, sizeof endpoint, "%s", node->endpoint);
    atomic_store(&stopping, false);
    if (check_counter() != 0)
        return 1;
    uint64_t before = 0, after = 0;
    bool failed = false;
    for (unsigned i = 0; i < count; i++) {
        before += writers[i].acknowledged;
        pthread_create(&writers[i].thread, NULL, writer_run, &writers[i]);
    }
    uint64_t until = now_ms() + prng_range(prng, 50, 600) * (process_sanitized() ? 2 : 1);
    while (!verify_only && now_ms() < until && !atomic_load(&stopping))
        sleep_ms(1);
    if (!verify_only)
        kill(node->pid, SIGKILL); /* while they write */
    for (unsigned i = 0; i < count; i++) {
        pthread_join(writers[i].thread, NULL);
        after += writers[i].acknowledged;
        if (writers[i].failure[0] != 0)
            fprintf(stderr, "writer %u: %s\n", i, writers[i].failure);
        failed |= writers[i].failure[0] != 0;
    }
    if (failed)
        return 1;
    if (verify_only)
        return process_end(node, SIGTERM) == 0 ? 0 : 1;
    int code = process_wait(node, UINT64_MAX);
    if (code != 1000 + SIGKILL) {
        fprintf(stderr, "the node ended with %d before it was killed\n", code);
        return 1;
    }
    if (after == before) {
        fprintf(stderr, "void: no write was acknowledged\n");
        return 1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    int code;
    if (process_serve(argc, argv, &code))
        return code;
    setvbuf(stdout, NULL, _IONBF, 0);
    unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 5;
    unsigned count = argc > 2 ? (unsigned)atoi(argv[2]) : 8;
    uint64_t seed = argc > 3 ? strtoull(argv[3], NULL, 0) : 1;
    printf("kill_loop: %u rounds, %u writers, seed %llu\n", rounds, count,
           (unsigned long long)seed);
    char base[] = "/tmp/flotilla-kill-XXXXXX", dir[64], command[128];
    if (mkdtemp(base) == NULL)
        return 1;
    snprintf(dir, sizeof dir, "%s/store", base);
    struct prng prng;
    prng_seed(&prng, seed);
    struct writer *writers = calloc(count, sizeof *writers);
    for (unsigned i = 0; i < count; i++) {
        writers[i].id = i;
        writers[i].prng = prng_fork(&prng, i);
    }
    process_init(dir);
    struct process node = { 0 };
    int failed = 0;
    for (unsigned i = 0; i <= rounds && failed == 0; i++) {
        verify_only = i == rounds;
        failed = one_round(&node, dir, writers, count, &prng);
        if (i % 10 == 9)
            printf("%u rounds\n", i + 1);
    }
    uint64_t acknowledged = 0, cut_off = 0;
    for (unsigned i = 0; i < count; i++) {
        acknowledged += writers[i].acknowledged;
        cut_off += writers[i].cut_off;
    }
    free(writers);
    if (failed == 0 && cut_off == 0) {
        printf("void: no kill hit a request\n");
        failed = 1;
    }
    printf("%s: %u kills, %llu acknowledged, %llu cut off, seed %llu\n",
           failed == 0 ? "all well" : "FAILED", rounds, (unsigned long long)acknowledged,
           (unsigned long long)cut_off, (unsigned long long)seed);
    if (node.pid != 0)
        process_end(&node, SIGKILL);
    if (failed != 0) {
        printf("the store is kept in %s\n", dir);
        return 1;
    }
    snprintf(command, sizeof command, "rm -rf %s", base);
    return system(command) == 0 ? 0 : 1;
}
