/* The promises of engine.h as tests; engine_contract.h says how an engine's test program runs them. */
#include "engine_contract.h"

#include <pthread.h>
#include <stdatomic.h>

typedef const struct engine_subject *subject_t;

/* ---- Helpers ------------------------------------------------------------------------------------------------- */

static struct engine_config config_of(subject_t t, char *path, size_t cap, bool create)
{
    snprintf(path, cap, "%s/db", t->dir);
    return (struct engine_config){ .path = path,
                                   .create = create,
                                   .memtable_bytes = t->memtable_bytes,
                                   .block_cache_bytes = 1 << 20 };
}

struct engine *engine_contract_open(subject_t t, bool create)
{
    char path[512];
    struct engine_config config = config_of(t, path, sizeof path, create);
    struct engine *engine = NULL;
    struct err e = { 0 };
    CHECK_OK(t->ops->open(t->env, &config, &engine, &e), e);
    if (create) /* as the contract asks of the caller */
        CHECK_OK(env_dir_sync(t->env, t->dir, &e), e);
    return engine;
}

static void put1(subject_t t, struct engine *engine, enum engine_family family, const char *key,
                 const char *value)
{
    struct err e = { 0 };
    uint64_t n;
    struct engine_batch *batch = t->ops->batch_new(engine);
    if (value != NULL)
        t->ops->put(batch, family, BYTES(key), BYTES(value));
    else
        t->ops->del(batch, family, BYTES(key));
    CHECK_OK(t->ops->last(engine, &n, &e), e);
    CHECK_OK(t->ops->write(engine, batch, n + 1, &e), e);
    t->ops->batch_free(batch);
}

/* `want` NULL: not there. */
static void check_get(subject_t t, struct engine *engine, enum engine_family family,
                      struct bytes key, const char *want, bool durable)
{
    struct err e = { 0 };
    struct buf have = { 0 };
    err_t rc = durable ? t->ops->get_durable(engine, family, key, &have, &e)
                       : t->ops->get(engine, family, key, false, &have, &e);
    if (want == NULL) {
        CHECK_EQ(rc, ERR_NOT_FOUND);
        CHECK_EQ(have.len, 0);
        CHECK_EQ(e.code, ERR_OK);
    } else {
        CHECK_OK(rc, e);
        CHECK_BYTES(buf_bytes(&have), BYTES(want));
    }
    buf_free(&have);
}

/* The keys of a scan, joined by spaces, against `want`. */
static void check_iter(subject_t t, struct engine_iter *iter, const char *want)
{
    struct err e = { 0 };
    struct buf have = { 0 };
    struct bytes key, value;
    while (t->ops->iter_next(iter, &key, &value)) {
        if (have.len > 0)
            CHECK_EQ(buf_append(&have, BYTES(" ")), ERR_OK);
        CHECK_EQ(buf_append(&have, key), ERR_OK);
        CHECK_EQ(buf_append(&have, BYTES("=")), ERR_OK);
        CHECK_EQ(buf_append(&have, value), ERR_OK);
    }
    CHECK(!t->ops->iter_next(iter, &key, &value)); /* the end stays the end */
    CHECK_OK(t->ops->iter_error(iter, &e), e);
    t->ops->iter_close(iter);
    CHECK_BYTES(buf_bytes(&have), BYTES(want));
    buf_free(&have);
}

static struct engine_iter *scan(subject_t t, struct engine *engine, enum engine_family family,
                                const char *start, const char *end)
{
    struct err e = { 0 };
    struct engine_iter *iter = NULL;
    CHECK_OK(t->ops->scan(engine, family, BYTES(start),
                          end != NULL ? BYTES(end) : (struct bytes){ 0 }, &iter, &e),
             e);
    return iter;
}

static uint64_t last_of(subject_t t, struct engine *engine)
{
    struct err e = { 0 };
    uint64_t n = 0;
    CHECK_OK(t->ops->last(engine, &n, &e), e);
    return n;
}

static uint64_t durable_of(subject_t t, struct engine *engine)
{
    struct err e = { 0 };
    uint64_t n = 0;
    CHECK_OK(t->ops->durable(engine, &n, &e), e);
    return n;
}

static void force(subject_t t, struct engine *engine)
{
    struct err e = { 0 };
    CHECK_OK(t->ops->force(engine, &e), e);
}

void engine_contract_write(subject_t t, struct engine *engine, uint64_t n)
{
    char text[32], row[32];
    struct err e = { 0 };
    struct engine_batch *batch = t->ops->batch_new(engine);
    snprintf(text, sizeof text, "%llu", (unsigned long long)n);
    snprintf(row, sizeof row, "row-%llu", (unsigned long long)n);
    for (unsigned family = 0; family < ENGINE_TICK; family++)
        t->ops->put(batch, (enum engine_family)family, BYTES("n"), BYTES(text));
    t->ops->put(batch, ENGINE_CAS, BYTES(row), BYTES(text));
    CHECK_OK(t->ops->write(engine, batch, n, &e), e);
    t->ops->batch_free(batch);
}

uint64_t engine_contract_check_cut(subject_t t, struct engine *engine, uint64_t most)
{
    uint64_t last = last_of(t, engine);
    char text[32], row[32];
    snprintf(text, sizeof text, "%llu", (unsigned long long)last);
    for (unsigned family = 0; family < ENGINE_TICK; family++)
        check_get(t, engine, (enum engine_family)family, BYTES("n"), last != 0 ? text : NULL,
                  false);
    for (uint64_t n = 1; n <= most; n++) {
        snprintf(row, sizeof row, "row-%llu", (unsigned long long)n);
        snprintf(text, sizeof text, "%llu", (unsigned long long)n);
        check_get(t, engine, ENGINE_CAS, BYTES(row), n <= last ? text : NULL, false);
    }
    return last;
}

/* ---- The promises -------------------------------------------------------------------------------------------- */

void engine_contract_start_never_creates(subject_t t)
{
    char path[512];
    struct engine_config config = config_of(t, path, sizeof path, false);
    struct engine *engine = NULL;
    struct err e = { 0 };
    bool is_dir;
    uint64_t size;
    CHECK_EQ(t->ops->open(t->env, &config, &engine, &e), ERR_NOT_FOUND);
    CHECK_CONTAINS(e.msg, path);
    CHECK_CONTAINS(e.msg, "init");
    CHECK(engine == NULL);
    CHECK_EQ(env_stat(t->env, path, &is_dir, &size, NULL), ERR_NOT_FOUND);
}

void engine_contract_create_then_reopen(subject_t t)
{
    struct engine *engine = engine_contract_open(t, true);
    CHECK_EQ(last_of(t, engine), 0);
    CHECK_EQ(durable_of(t, engine), 0);
    force(t, engine); /* nothing to do */
    put1(t, engine, ENGINE_DEFAULT, "k1", "v1");
    check_get(t, engine, ENGINE_DEFAULT, BYTES("k1"), "v1", false);
    force(t, engine);
    t->ops->close(engine);
    engine = engine_contract_open(t, false);
    CHECK_EQ(last_of(t, engine), 1);
    CHECK_EQ(durable_of(t, engine), 1);
    check_get(t, engine, ENGINE_DEFAULT, BYTES("k1"), "v1", false);
    t->ops->close(engine);
    engine = engine_contract_open(t, true); /* an init that was cut short is gone on with */
    check_get(t, engine, ENGINE_DEFAULT, BYTES("k1"), "v1", false);
    t->ops->close(engine);
}

void engine_contract_families_are_apart(subject_t t)
{
    static const char *const names[] = { "default", "cas",    "raft_log", "raft_state",
                                         "meta",    "system", "tick" };
    struct engine *engine = engine_contract_open(t, true);
    CHECK_EQ(ENGINE_FAMILIES, 7);
    for (unsigned family = 0; family < ENGINE_FAMILIES; family++) {
        CHECK_STR(engine_family_name((enum engine_family)family), names[family]);
        if (family == ENGINE_TICK)
            continue;
        check_get(t, engine, (enum engine_family)family, BYTES("same"), NULL, false);
        put1(t, engine, (enum engine_family)family, "same", names[family]);
    }
    put1(t, engine, ENGINE_RAFT_LOG, "same", NULL);
    for (unsigned family = 0; family < ENGINE_TICK; family++)
        check_get(t, engine, (enum engine_family)family, BYTES("same"),
                  family == ENGINE_RAFT_LOG ? NULL : names[family], false);
    check_iter(t, scan(t, engine, ENGINE_CAS, "", NULL), "same=cas");
    check_iter(t, scan(t, engine, ENGINE_RAFT_LOG, "", NULL), "");
    t->ops->close(engine);
}

void engine_contract_later_one_of_a_batch_wins(subject_t t)
{
    struct engine *engine = engine_contract_open(t, true);
    struct engine_batch *batch = t->ops->batch_new(engine);
    struct err e = { 0 };
    size_t empty = t->ops->batch_bytes(batch);
    put1(t, engine, ENGINE_META, "was", "there");
    t->ops->put(batch, ENGINE_META, BYTES("dropped"), BYTES("x"));
    CHECK(t->ops->batch_bytes(batch) > empty);
    t->ops->batch_clear(batch);
    CHECK_EQ(t->ops->batch_bytes(batch), empty);
    t->ops->put(batch, ENGINE_META, BYTES("a"), BYTES("1"));
    t->ops->put(batch, ENGINE_META, BYTES("a"), BYTES("2"));
    t->ops->put(batch, ENGINE_META, BYTES("b"), BYTES("1"));
    t->ops->del(batch, ENGINE_META, BYTES("b"));
    t->ops->del(batch, ENGINE_META, BYTES("was"));
    t->ops->put(batch, ENGINE_META, BYTES("was"), BYTES("again"));
    t->ops->del(batch, ENGINE_META, BYTES("never"));
    check_get(t, engine, ENGINE_META, BYTES("a"), NULL, false); /* not before write() */
    CHECK_OK(t->ops->write(engine, batch, 2, &e), e);
    t->ops->batch_free(batch);
    t->ops->batch_free(NULL);
    check_iter(t, scan(t, engine, ENGINE_META, "", NULL), "a=2 was=again");
    force(t, engine);
    check_iter(t, scan(t, engine, ENGINE_META, "", NULL), "a=2 was=again");
    t->ops->close(engine);
    engine = engine_contract_open(t, false);
    check_iter(t, scan(t, engine, ENGINE_META, "", NULL), "a=2 was=again");
    t->ops->close(engine);
}

void engine_contract_numbers_rise_and_durable_follows(subject_t t)
{
    struct engine *engine = engine_contract_open(t, true);
    uint64_t seen = 0, advanced = 0;
    char value[1024];
    memset(value, 'v', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    /* Without any force, enough bytes make older batches durable by themselves. */
    uint64_t most = 20 * t->memtable_bytes / sizeof value;
    for (uint64_t n = 1; n <= most; n++) {
        put1(t, engine, ENGINE_DEFAULT, "k", value);
        CHECK_EQ(last_of(t, engine), n);
        uint64_t durable = durable_of(t, engine);
        CHECK(durable >= seen);
        CHECK(durable <= n);
        advanced += durable > seen;
        seen = durable;
    }
    CHECK(advanced > 0);
    force(t, engine);
    CHECK_EQ(durable_of(t, engine), most);
    t->ops->close(engine);
    engine = engine_contract_open(t, false);
    CHECK_EQ(last_of(t, engine), most);
    t->ops->close(engine);
}

void engine_contract_close_takes_a_suffix_alone(subject_t t)
{
    struct engine *engine = engine_contract_open(t, true);
    uint64_t most = 0;
    for (int round = 0; round < 4; round++) {
        uint64_t first = last_of(t, engine) + 1;
        for (uint64_t n = first; n < first + 50; n++)
            engine_contract_write(t, engine, n);
        force(t, engine);
        for (uint64_t n = first + 50; n < first + 80; n++)
            engine_contract_write(t, engine, n);
        if (first + 79 > most)
            most = first + 79;
        uint64_t durable = durable_of(t, engine);
        CHECK(durable >= first + 49);
        t->ops->close(engine);
        engine = engine_contract_open(t, false);
        CHECK(engine_contract_check_cut(t, engine, most) >= durable);
    }
    t->ops->close(engine);
}

void engine_contract_durable_read_lags(subject_t t)
{
    struct engine *engine = engine_contract_open(t, true);
    put1(t, engine, ENGINE_CAS, "k", "old");
    check_get(t, engine, ENGINE_CAS, BYTES("k"), NULL, true);
    force(t, engine);
    check_get(t, engine, ENGINE_CAS, BYTES("k"), "old", true);
    put1(t, engine, ENGINE_CAS, "k", "new");
    put1(t, engine, ENGINE_DEFAULT, "k", "other");
    check_get(t, engine, ENGINE_CAS, BYTES("k"), "new", false);
    check_get(t, engine, ENGINE_CAS, BYTES("k"), "old", true);
    check_get(t, engine, ENGINE_DEFAULT, BYTES("k"), NULL, true);
    force(t, engine);
    check_get(t, engine, ENGINE_CAS, BYTES("k"), "new", true);
    put1(t, engine, ENGINE_CAS, "k", NULL);
    check_get(t, engine, ENGINE_CAS, BYTES("k"), NULL, false);
    check_get(t, engine, ENGINE_CAS, BYTES("k"), "new", true);
    force(t, engine);
    check_get(t, engine, ENGINE_CAS, BYTES("k"), NULL, true);
    check_get(t, engine, ENGINE_DEFAULT, BYTES("k"), "other", true);
    t->ops->close(engine);
}

void engine_contract_get_is_exact(subject_t t)
{
    struct engine *engine = engine_contract_open(t, true);
    struct err e = { 0 };
    static uint8_t large[1 << 20], key[4096];
    for (size_t i = 0; i < sizeof large; i++)
        large[i] = (uint8_t)(i * 31 >> 3);
    memset(key, 0xff, sizeof key);
    struct engine_batch *batch = t->ops->batch_new(engine);
    t->ops->put(batch, ENGINE_DEFAULT, BYTES("empty value"), BYTES(""));
    t->ops->put(batch, ENGINE_DEFAULT, bytes_from("", 0), BYTES("empty key"));
    t->ops->put(batch, ENGINE_DEFAULT, bytes_from("a\0b", 3), bytes_from("\0\xff", 2));
    t->ops->put(batch, ENGINE_DEFAULT, bytes_from(key, sizeof key),
                bytes_from(large, sizeof large));
    CHECK_OK(t->ops->write(engine, batch, 1, &e), e);
    t->ops->batch_free(batch);
    for (int round = 0; round < 2; round++) {
        struct buf have = { 0 };
        check_get(t, engine, ENGINE_DEFAULT, BYTES("empty value"), "", false);
        check_get(t, engine, ENGINE_DEFAULT, BYTES(""), "empty key", false);
        check_get(t, engine, ENGINE_DEFAULT, BYTES("a"), NULL, false);
        CHECK_EQ(buf_append(&have, BYTES("before")), ERR_OK); /* get appends */
        CHECK_OK(t->ops->get(engine, ENGINE_DEFAULT, bytes_from("a\0b", 3), false, &have, &e), e);
        CHECK_BYTES(buf_bytes(&have), bytes_from("before\0\xff", 8));
        CHECK_EQ(t->ops->get(engine, ENGINE_DEFAULT, BYTES("a"), false, &have, &e), ERR_NOT_FOUND);
        CHECK_EQ(have.len, 8);
        buf_clear(&have);
        CHECK_OK(t->ops->get(engine, ENGINE_DEFAULT, bytes_from(key, sizeof key), false, &have, &e),
                 e);
        CHECK(bytes_equal(buf_bytes(&have), bytes_from(large, sizeof large)));
        buf_free(&have);
        force(t, engine);
        t->ops->close(engine);
        engine = engine_contract_open(t, false);
    }
    t->ops->close(engine);
}

void engine_contract_cached_get_never_lies(subject_t t)
{
    struct engine *engine = engine_contract_open(t, true);
    struct err e = { 0 };
    struct buf have = { 0 };
    put1(t, engine, ENGINE_DEFAULT, "k", "v");
    CHECK_OK(t->ops->get(engine, ENGINE_DEFAULT, BYTES("k"), true, &have, &e),
             e); /* just written */
    CHECK_BYTES(buf_bytes(&have), BYTES("v"));
    force(t, engine);
    t->ops->close(engine);
    engine = engine_contract_open(t, false);
    buf_clear(&have);
    err_t rc = t->ops->get(engine, ENGINE_DEFAULT, BYTES("k"), true, &have, &e);
    CHECK(rc == ERR_OK || rc == ERR_UNAVAILABLE);
    CHECK_EQ(have.len, rc == ERR_OK ? 1 : 0);
    rc = t->ops->get(engine, ENGINE_DEFAULT, BYTES("l"), true, &have, &e);
    CHECK(rc == ERR_NOT_FOUND || rc == ERR_UNAVAILABLE);
    check_get(t, engine, ENGINE_DEFAULT, BYTES("k"), "v", false); /* brings it into the cache */
    buf_clear(&have);
    CHECK_OK(t->ops->get(engine, ENGINE_DEFAULT, BYTES("k"), true, &have, &e), e);
    CHECK_BYTES(buf_bytes(&have), BYTES("v"));
    buf_free(&have);
    t->ops->close(engine);
}

void engine_contract_scan_bounds(subject_t t)
{
    struct engine *engine = engine_contract_open(t, true);
    static const char *const keys[] = { "b", "a", "ab", "c", "a\xff" };
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        put1(t, engine, ENGINE_DEFAULT, keys[i], "1");
    put1(t, engine, ENGINE_DEFAULT, "b", NULL);
    for (int round = 0; round < 2; round++) {
        check_iter(t, scan(t, engine, ENGINE_DEFAULT, "", NULL), "a=1 ab=1 a\xff=1 c=1");
        check_iter(t, scan(t, engine, ENGINE_DEFAULT, "a", "c"), "a=1 ab=1 a\xff=1");
        check_iter(t, scan(t, engine, ENGINE_DEFAULT, "a\xff", "d"), "a\xff=1 c=1");
        check_iter(t, scan(t, engine, ENGINE_DEFAULT, "aa", "ab"), "");
        check_iter(t, scan(t, engine, ENGINE_DEFAULT, "b", NULL), "c=1");
        check_iter(t, scan(t, engine, ENGINE_DEFAULT, "d", NULL), "");
        check_iter(t, scan(t, engine, ENGINE_DEFAULT, "c", "a"), "");
        check_iter(t, scan(t, engine, ENGINE_DEFAULT, "c", "c"), "");
        check_iter(t, scan(t, engine, ENGINE_DEFAULT, "", ""), "");
        struct engine_iter *iter = scan(t, engine, ENGINE_DEFAULT, "", NULL);
        struct bytes key, value;
        CHECK(t->ops->iter_next(iter, &key, &value));
        t->ops->iter_close(iter); /* before the end there is nothing to ask */
        t->ops->iter_close(NULL);
        force(t, engine);
    }
    t->ops->close(engine);
}

void engine_contract_scan_is_as_of_its_call(subject_t t)
{
    struct engine *engine = engine_contract_open(t, true);
    put1(t, engine, ENGINE_DEFAULT, "a", "1");
    put1(t, engine, ENGINE_DEFAULT, "b", "1");
    put1(t, engine, ENGINE_DEFAULT, "c", "1");
    struct engine_iter *first = scan(t, engine, ENGINE_DEFAULT, "", NULL);
    put1(t, engine, ENGINE_DEFAULT, "aa", "2");
    put1(t, engine, ENGINE_DEFAULT, "b", "2");
    struct engine_iter *second = scan(t, engine, ENGINE_DEFAULT, "", NULL);
    struct bytes key, value;
    CHECK(t->ops->iter_next(first, &key, &value));
    CHECK_BYTES(key, BYTES("a"));
    put1(t, engine, ENGINE_DEFAULT, "a", NULL); /* under the first one's feet */
    put1(t, engine, ENGINE_DEFAULT, "b", NULL);
    put1(t, engine, ENGINE_DEFAULT, "c", "3");
    put1(t, engine, ENGINE_DEFAULT, "c", NULL);
    put1(t, engine, ENGINE_DEFAULT, "d", "3");
    force(t, engine);
    check_iter(t, first, "b=1 c=1");
    check_iter(t, scan(t, engine, ENGINE_DEFAULT, "", NULL), "aa=2 d=3");
    force(t, engine);
    check_iter(t, second, "a=1 aa=2 b=2 c=1");
    put1(t, engine, ENGINE_DEFAULT, "e", "4");
    check_iter(t, scan(t, engine, ENGINE_DEFAULT, "", NULL), "aa=2 d=3 e=4");
    t->ops->close(engine);
}

void engine_contract_missing_current_is_refused_twice(subject_t t)
{
    struct engine *engine = engine_contract_open(t, true);
    put1(t, engine, ENGINE_DEFAULT, "k", "v");
    force(t, engine);
    t->ops->close(engine);
    char path[512], current[600], aside[600];
    struct engine_config config = config_of(t, path, sizeof path, false);
    snprintf(current, sizeof current, "%s/CURRENT", path);
    snprintf(aside, sizeof aside, "%s/aside", path);
    struct err e = { 0 };
    CHECK_OK(env_rename(t->env, current, aside, &e), e);
    for (int i = 0; i < 3; i++) {
        e = (struct err){ 0 };
        CHECK_EQ(t->ops->open(t->env, &config, &engine, &e), ERR_DATA_LOSS);
        CHECK_CONTAINS(e.msg, "CURRENT");
    }
    CHECK_OK(env_rename(t->env, aside, current, &e), e);
    engine = engine_contract_open(t, false); /* nothing was touched */
    check_get(t, engine, ENGINE_DEFAULT, BYTES("k"), "v", false);
    t->ops->close(engine);
}

/* ---- A model ------------------------------------------------------------------------------------------------- */

enum { MODEL_KEYS = 24, MODEL_FAMILIES = 3, MODEL_BATCHES = 400 };

/* history[n]: the state after batch n; each cell holds the number of the batch that wrote it, 0: absent. */
struct model {
    uint32_t history[MODEL_BATCHES + 1][MODEL_FAMILIES][MODEL_KEYS];
    uint64_t random;
};

static uint32_t draw(struct model *model, uint32_t below)
{
    model->random = model->random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(model->random >> 33) % below;
}

static struct bytes model_key(char *out, size_t cap, uint32_t key)
{
    snprintf(out, cap, "%c%02u", 'a' + (int)(key % 3), key);
    return BYTES(out);
}

static void model_write(subject_t t, struct engine *engine, struct model *model, uint64_t n)
{
    struct engine_batch *batch = t->ops->batch_new(engine);
    struct err e = { 0 };
    memcpy(model->history[n], model->history[n - 1], sizeof model->history[n]);
    for (uint32_t rows = draw(model, 8); rows > 0; rows--) {
        uint32_t family = draw(model, MODEL_FAMILIES), key = draw(model, MODEL_KEYS);
        char name[16], value[300];
        struct bytes k = model_key(name, sizeof name, key);
        if (draw(model, 4) == 0) {
            t->ops->del(batch, (enum engine_family)family, k);
            model->history[n][family][key] = 0;
        } else {
            int len = snprintf(value, sizeof value, "%llu-%0*d", (unsigned long long)n,
                               (int)draw(model, 200) + 1, 0);
            t->ops->put(batch, (enum engine_family)family, k, bytes_from(value, (size_t)len));
            model->history[n][family][key] = (uint32_t)n;
        }
    }
    CHECK_OK(t->ops->write(engine, batch, n, &e), e);
    t->ops->batch_free(batch);
}

/* Every row that `iter` gives is in the model's state, and every row of the state was given, in order. */
static void model_check(subject_t t, struct engine_iter *iter, const uint32_t state[MODEL_KEYS])
{
    struct bytes key, value;
    struct err e = { 0 };
    size_t rows = 0, want = 0;
    char before[16] = "";
    while (t->ops->iter_next(iter, &key, &value)) {
        CHECK(bytes_compare(BYTES(before), key) < 0);
        CHECK(key.len == 3);
        memcpy(before, key.data, 3);
        uint32_t at = (uint32_t)(before[1] - '0') * 10 + (uint32_t)(before[2] - '0');
        CHECK(at < MODEL_KEYS);
        CHECK_EQ(strtoull((const char *)value.data, NULL, 10), state[at]);
        rows++;
    }
    CHECK_OK(t->ops->iter_error(iter, &e), e);
    t->ops->iter_close(iter);
    for (size_t i = 0; i < MODEL_KEYS; i++)
        want += state[i] != 0;
    CHECK_EQ(rows, want);
}

void engine_contract_agrees_with_a_model(subject_t t)
{
    static struct model model;
    memset(&model, 0, sizeof model);
    model.random = 2;
    struct engine *engine = engine_contract_open(t, true);
    struct engine_iter *old = NULL;
    uint64_t old_n = 0, n = 0;
    for (int step = 0; step < 1200 && n < MODEL_BATCHES; step++) {
        model_write(t, engine, &model, ++n);
        uint32_t family = draw(&model, MODEL_FAMILIES);
        if (old == NULL && draw(&model, 10) == 0) {
            old = scan(t, engine, ENGINE_CAS, "", NULL);
            old_n = n;
        } else if (old != NULL && draw(&model, 10) == 0) {
            model_check(t, old, model.history[old_n][ENGINE_CAS]);
            old = NULL;
        }
        if (draw(&model, 5) == 0)
            model_check(t, scan(t, engine, (enum engine_family)family, "", NULL),
                        model.history[n][family]);
        if (draw(&model, 40) == 0)
            force(t, engine);
        if (old == NULL && draw(&model, 30) == 0) {
            uint64_t durable = durable_of(t, engine);
            t->ops->close(engine);
            engine = engine_contract_open(t, false);
            uint64_t last = last_of(t, engine);
            CHECK(last >= durable && last <= n);
            n = last;
            for (unsigned f = 0; f < MODEL_FAMILIES; f++)
                model_check(t, scan(t, engine, (enum engine_family)f, "", NULL),
                            model.history[n][f]);
        }
    }
    if (old != NULL)
        model_check(t, old, model.history[old_n][ENGINE_CAS]);
    t->ops->close(engine);
}

void engine_contract_stats_tell_of_data(subject_t t)
{
    struct engine *engine = engine_contract_open(t, true);
    struct engine_stats stats;
    char key[16], value[4096] = "";
    uint32_t random = 1;
    t->ops->stats(engine, &stats);
    uint64_t before = stats.approximate_bytes;
    for (int i = 0; i < 50; i++) {
        snprintf(key, sizeof key, "k%d", i);
        for (size_t at = 0; at + 1 < sizeof value; at++) { /* what does not compress */
            random = random * 1664525 + 1013904223;
            value[at] = (char)(' ' + (random >> 24) % 95);
        }
        put1(t, engine, ENGINE_DEFAULT, key, value);
    }
    t->ops->stats(engine, &stats);
    CHECK(stats.approximate_bytes >= before + 50 * 3000);
    CHECK_EQ(stats.background_errors, 0);
    t->ops->close(engine);
}

/* ---- Readers beside the writer ------------------------------------------------------------------------------- */

enum { READER_KEYS = 16 };
struct reader {
    subject_t t;
    struct engine *engine;
    _Atomic bool stop;
    _Atomic uint64_t scans;
    const char *wrong; /* read after the join */
};

/* Every batch sets all keys to its number: a scan that sees two numbers has seen a part of a batch. */
static void *read_along(void *argument)
{
    struct reader *reader = argument;
    subject_t t = reader->t;
    uint64_t before = 0;
    while (!atomic_load(&reader->stop) && reader->wrong == NULL) {
        struct engine_iter *iter = NULL;
        struct bytes key, value;
        uint64_t rows = 0, n = 0;
        if (t->ops->scan(reader->engine, ENGINE_CAS, BYTES("k"), BYTES("l"), &iter, NULL) !=
            ERR_OK) {
            reader->wrong = "no scan";
            break;
        }
        while (t->ops->iter_next(iter, &key, &value)) {
            uint64_t have = strtoull((const char *)value.data, NULL, 10);
            if (rows++ > 0 && have != n)
                reader->wrong = "a scan saw a part of a batch";
            n = have;
        }
        if (t->ops->iter_error(iter, NULL) != ERR_OK || (rows != 0 && rows != READER_KEYS))
            reader->wrong = "a scan lost rows";
        t->ops->iter_close(iter);
        if (n < before)
            reader->wrong = "a scan went back in time";
        before = n;
        atomic_fetch_add(&reader->scans, 1);
    }
    return NULL;
}

void engine_contract_readers_see_whole_batches(subject_t t)
{
    struct reader readers[2] = { { 0 } };
    pthread_t threads[2];
    struct engine *engine = engine_contract_open(t, true);
    for (int i = 0; i < 2; i++) {
        readers[i].t = t;
        readers[i].engine = engine;
        CHECK_EQ(pthread_create(&threads[i], NULL, read_along, &readers[i]), 0);
    }
    struct err e = { 0 };
    err_t rc = ERR_OK;
    uint64_t n = 0;
    struct engine_batch *batch = t->ops->batch_new(engine);
    /* until both have scanned often beside us, but no longer than it takes to see that they never will */
    while (rc == ERR_OK && n < 200000 &&
           (n < 2000 || atomic_load(&readers[0].scans) < 200 ||
            atomic_load(&readers[1].scans) < 200)) {
        t->ops->batch_clear(batch);
        n++;
        for (int k = 0; k < READER_KEYS; k++) {
            char key[16], value[64];
            snprintf(key, sizeof key, "k%02d", k);
            snprintf(value, sizeof value, "%llu-%050d", (unsigned long long)n, 0);
            t->ops->put(batch, ENGINE_CAS, BYTES(key), BYTES(value));
        }
        rc = t->ops->write(engine, batch, n, &e);
        if (rc == ERR_OK && n % 1000 == 0)
            rc = t->ops->force(engine, &e);
    }
    for (int i = 0; i < 2; i++) {
        atomic_store(&readers[i].stop, true);
        pthread_join(threads[i], NULL);
    }
    CHECK_OK(rc, e);
    for (int i = 0; i < 2; i++) {
        CHECK(readers[i].wrong == NULL);
        CHECK(atomic_load(&readers[i].scans) >= 200);
    }
    t->ops->batch_free(batch);
    t->ops->close(engine);
}
