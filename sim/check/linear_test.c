/* The checker as its users see it: the shared vectors, hand-made histories, big ones, spoiled ones, explanations. */
#include <jansson.h>

#include "rig.h"

enum { BIG_OPS = 100000, BIG_KEYS = 100, DEEP_OPS = 6000, DEEP_CLIENTS = 64 };

/* ---- Shared vectors ------------------------------------------------------------------------ */

static char *text_of(json_t *value)
{
    return json_is_string(value) ? strdup(json_string_value(value))
                                 : json_dumps(value, JSON_ENCODE_ANY);
}

/* [process, op, expect, value, result, start, end, status]: one register, swaps by value. */
static void add_etcd(struct history *h, json_t *row)
{
    const char *op = json_string_value(json_array_get(row, 1));
    const char *status = json_string_value(json_array_get(row, 7));
    json_t *result = json_array_get(row, 4);
    char *wanted = text_of(json_array_get(row, 2)), *value = text_of(json_array_get(row, 3));
    char *saw = text_of(result);
    bool get = strcmp(op, "get") == 0, cas = strcmp(op, "cas") == 0;
    struct history_call call = { .client = (uint64_t)json_integer_value(json_array_get(row, 0)),
                                 .at = (uint64_t)json_integer_value(json_array_get(row, 5)),
                                 .kind = get   ? HISTORY_GET
                                         : cas ? HISTORY_SWAP
                                               : HISTORY_PUT,
                                 .key = BYTES("register") };
    if (!get)
        call.value = BYTES(value);
    if (cas)
        call.wanted = BYTES(wanted);
    struct history_answer answer = { .at = (uint64_t)json_integer_value(json_array_get(row, 6)),
                                     .outcome = HISTORY_OK };
    if (strcmp(status, "ok") != 0) {
        answer.outcome = strcmp(status, "fail") == 0 ? HISTORY_FAILED : HISTORY_UNDETERMINED;
    } else if (get) {
        answer.outcome = json_is_null(result) ? HISTORY_NOT_FOUND : HISTORY_OK;
        answer.has_value = !json_is_null(result);
        answer.value = BYTES(saw);
    } else if (cas && !json_is_true(result)) {
        answer.outcome = HISTORY_CONFLICT;
    }
    history_add(h, &call, &answer);
    free(wanted), free(value), free(saw);
}

/* [process, key, op, value, result, start, end, status]: many registers, with appends. */
static void add_kv(struct history *h, json_t *row)
{
    const char *op = json_string_value(json_array_get(row, 2));
    const char *saw = json_string_value(json_array_get(row, 4));
    const char *value = json_string_value(json_array_get(row, 3));
    CHECK_STR(json_string_value(json_array_get(row, 7)), "ok");
    struct history_call call = { .client = (uint64_t)json_integer_value(json_array_get(row, 0)),
                                 .at = (uint64_t)json_integer_value(json_array_get(row, 5)),
                                 .kind = strcmp(op, "get") == 0   ? HISTORY_GET
                                         : strcmp(op, "put") == 0 ? HISTORY_PUT
                                                                  : HISTORY_APPEND,
                                 .key = BYTES(json_string_value(json_array_get(row, 1))),
                                 .value = BYTES(value != NULL ? value : "") };
    struct history_answer answer = { .at = (uint64_t)json_integer_value(json_array_get(row, 6)),
                                     .outcome = HISTORY_OK };
    if (call.kind == HISTORY_GET && saw == NULL)
        answer.outcome = HISTORY_NOT_FOUND;
    if (call.kind == HISTORY_GET && saw != NULL)
        answer.has_value = true, answer.value = BYTES(saw);
    history_add(h, &call, &answer);
}

static void check_vector(json_t *row, void (*add)(struct history *h, json_t *row))
{
    struct history *h = history_new();
    size_t i;
    json_t *op;
    json_array_foreach(json_object_get(row, "ops"), i, op) add(h, op);
    struct linear_report report;
    struct linear_options options = { .explanations = SIZE_MAX };
    enum linear_verdict have = linear_check(h, &options, &report);
    bool want = json_is_true(json_object_get(row, "linearizable"));
    if (have != (want ? LINEAR_YES : LINEAR_NO))
        fail_msg("%s: %s", json_string_value(json_object_get(row, "name")),
                 linear_verdict_name(have));
    linear_report_free(&report);
    history_free(h);
}

static void check_vectors(const char *name, size_t want,
                          void (*add)(struct history *h, json_t *row))
{
    char path[512];
    snprintf(path, sizeof path, "%s/vectors/%s", test_shared(), name);
    FILE *file = fopen(path, "r");
    CHECK(file != NULL);
    size_t count = 0;
    for (json_t *row; (row = json_loadf(file, JSON_DISABLE_EOF_CHECK, NULL)) != NULL; count++) {
        check_vector(row, add);
        json_decref(row);
    }
    fclose(file);
    CHECK_EQ(count, want);
}

TEST(linear_passes_the_vectors_of_etcd)
{
    check_vectors("porcupine_etcd.jsonl", 102, add_etcd);
}
TEST(linear_passes_the_vectors_of_a_key_value_store)
{
    check_vectors("porcupine_kv.jsonl", 4, add_kv);
}

/* ---- By hand ------------------------------------------------------------------------------- */

static enum linear_verdict verdict_of(const struct history *h, struct linear_report *report)
{
    return linear_check(h, &(struct linear_options){ .explanations = SIZE_MAX }, report);
}

/* Rows "op arguments [call return] answer" as a person writes them. */
struct row {
    enum history_kind kind;
    uint64_t expected;
    const char *value;
    uint64_t call, ret; /* ret 0: never */
    enum history_outcome outcome;
    uint64_t version;
    const char *saw;
};

#define ANY UINT64_MAX /* cas_delete without a condition; a version that the answer did not tell */

static struct history *history_of(const struct row *rows, size_t count)
{
    struct history *h = history_new();
    for (size_t i = 0; i < count; i++) {
        const struct row *r = &rows[i];
        bool conditional = r->kind == HISTORY_CAS_DELETE && r->expected != ANY;
        struct history_call call = { .client = i,
                                     .at = r->call,
                                     .kind = r->kind,
                                     .key = BYTES("k"),
                                     .value = BYTES(r->value != NULL ? r->value : ""),
                                     .expected = r->expected != ANY ? r->expected : 0,
                                     .conditional = conditional };
        struct history_answer answer = { .at = r->ret,
                                         .outcome = r->outcome,
                                         .has_value = r->saw != NULL,
                                         .value = BYTES(r->saw != NULL ? r->saw : ""),
                                         .has_version = r->version != ANY,
                                         .version = r->version };
        if (!(r->kind >= HISTORY_CAS && r->outcome >= HISTORY_OK))
            answer.has_version = false;
        history_add(h, &call, r->ret != 0 ? &answer : NULL);
    }
    return h;
}

static void check_rows(const struct row *rows, size_t count, enum linear_verdict want)
{
    struct history *h = history_of(rows, count);
    struct linear_report report;
    enum linear_verdict have = verdict_of(h, &report);
    if (have != want)
        print_message("%.*s", (int)report.registers[0].why.len,
                      (char *)report.registers[0].why.data);
    CHECK_EQ(have, want);
    linear_report_free(&report);
    history_free(h);
}

#define CHECK_ROWS(want, ...)                                                                      \
    check_rows((const struct row[]){ __VA_ARGS__ },                                                \
               sizeof((const struct row[]){ __VA_ARGS__ }) / sizeof(struct row), want)

#define PUT(value, call, ret)                                                                      \
    {                                                                                              \
        HISTORY_PUT, 0, value, call, ret, HISTORY_OK, 0, NULL                                      \
    }
#define DELETE(call, ret)                                                                          \
    {                                                                                              \
        HISTORY_DELETE, 0, NULL, call, ret, HISTORY_OK, 0, NULL                                    \
    }
#define GET(saw, call, ret)                                                                        \
    {                                                                                              \
        HISTORY_GET, 0, NULL, call, ret, HISTORY_OK, 0, saw                                        \
    }
#define MISS(call, ret)                                                                            \
    {                                                                                              \
        HISTORY_GET, 0, NULL, call, ret, HISTORY_NOT_FOUND, 0, NULL                                \
    }
#define CAS(e, value, c, r, v)                                                                     \
    {                                                                                              \
        HISTORY_CAS, e, value, c, r, HISTORY_OK, v, NULL                                           \
    }
#define LOSE(e, value, c, r, v)                                                                    \
    {                                                                                              \
        HISTORY_CAS, e, value, c, r, HISTORY_CONFLICT, v, NULL                                     \
    }
#define REMOVE(e, c, r, v)                                                                         \
    {                                                                                              \
        HISTORY_CAS_DELETE, e, NULL, c, r, HISTORY_OK, v, NULL                                     \
    }
#define GONE(e, c, r, v)                                                                           \
    {                                                                                              \
        HISTORY_CAS_DELETE, e, NULL, c, r, HISTORY_NOT_FOUND, v, NULL                              \
    }
#define LOOK(saw, c, r, v)                                                                         \
    {                                                                                              \
        HISTORY_CAS_GET, 0, NULL, c, r, HISTORY_OK, v, saw                                         \
    }
#define LOOK_MISS(c, r, v)                                                                         \
    {                                                                                              \
        HISTORY_CAS_GET, 0, NULL, c, r, HISTORY_NOT_FOUND, v, NULL                                 \
    }
#define LOST(kind, e, value, c)                                                                    \
    {                                                                                              \
        kind, e, value, c, 0, HISTORY_PENDING, 0, NULL                                             \
    }

TEST(linear_reads_see_the_last_write_in_some_order)
{
    CHECK_ROWS(LINEAR_YES, MISS(1, 2));
    CHECK_ROWS(LINEAR_NO, GET("a", 1, 2)); /* nobody wrote it */
    CHECK_ROWS(LINEAR_YES, PUT("a", 1, 2), GET("a", 3, 4));
    CHECK_ROWS(LINEAR_NO, PUT("a", 1, 2), MISS(3, 4)); /* a lost write */
    CHECK_ROWS(LINEAR_YES, PUT("a", 1, 3), MISS(2, 4));
    CHECK_ROWS(LINEAR_YES, PUT("a", 1, 2), MISS(2, 4));                     /* one instant */
    CHECK_ROWS(LINEAR_NO, PUT("a", 1, 2), PUT("b", 3, 4), GET("a", 5, 6));  /* stale */
    CHECK_ROWS(LINEAR_YES, PUT("a", 1, 2), PUT("b", 3, 6), GET("a", 4, 5)); /* not yet */
    CHECK_ROWS(LINEAR_NO, GET("a", 1, 2), PUT("a", 3, 4));                  /* from the future */
    CHECK_ROWS(LINEAR_NO, PUT("a", 1, 9), GET("a", 2, 3), MISS(4, 5));      /* there and back */
    CHECK_ROWS(LINEAR_YES, PUT("a", 1, 9), DELETE(1, 9), GET("a", 2, 3), MISS(4, 5));
    CHECK_ROWS(LINEAR_NO, PUT("a", 1, 9), DELETE(1, 9), GET("a", 2, 3), MISS(4, 5), GET("a", 6, 7));
    CHECK_ROWS(LINEAR_YES, PUT("", 1, 2), GET("", 3, 4)); /* an empty value is not an absent one */
    CHECK_ROWS(LINEAR_NO, PUT("", 1, 2), MISS(3, 4));
}

TEST(linear_undetermined_writes_happen_late_or_never_but_once)
{
    CHECK_ROWS(LINEAR_YES, PUT("a", 1, 2), LOST(HISTORY_PUT, 0, "b", 3), GET("a", 90, 91));
    CHECK_ROWS(LINEAR_YES, PUT("a", 1, 2), LOST(HISTORY_PUT, 0, "b", 3), GET("a", 90, 91),
               GET("b", 92, 93));
    CHECK_ROWS(LINEAR_NO, LOST(HISTORY_PUT, 0, "b", 3), GET("b", 1, 2)); /* not before it began */
    CHECK_ROWS(LINEAR_NO, PUT("a", 1, 2), LOST(HISTORY_PUT, 0, "b", 3), GET("b", 4, 5),
               GET("a", 6, 7), GET("b", 8, 9)); /* not twice, and `a` only once */
    CHECK_ROWS(LINEAR_NO, PUT("a", 1, 2), LOST(HISTORY_DELETE, 0, NULL, 3), MISS(4, 5),
               GET("a", 6, 7));
    CHECK_ROWS(LINEAR_YES, PUT("a", 1, 2), LOST(HISTORY_DELETE, 0, NULL, 3), PUT("c", 6, 7),
               GET("c", 8, 9), MISS(10, 11));
    const struct row failed[] = { { HISTORY_PUT, 0, "a", 1, 2, HISTORY_FAILED, 0, NULL },
                                  GET("a", 3, 4) };
    check_rows(failed, 2, LINEAR_NO); /* a failed write never happens */
}

/* Decision 15: 0 expects an absent key, a delete is a version, versions never come again. */
TEST(linear_versions_go_on_over_a_tombstone)
{
    CHECK_ROWS(LINEAR_YES, LOOK_MISS(1, 2, 0), CAS(0, "a", 3, 4, 1), REMOVE(1, 5, 6, 2),
               LOOK_MISS(7, 8, 2), CAS(0, "b", 9, 10, 3), LOOK("b", 11, 12, 3));
    CHECK_ROWS(LINEAR_NO, CAS(0, "a", 3, 4, 1), REMOVE(1, 5, 6, 2), CAS(0, "b", 9, 10, 1));
    CHECK_ROWS(LINEAR_NO, CAS(0, "a", 3, 4, 1), REMOVE(1, 5, 6, 2), CAS(2, "b", 9, 10, 3));
    CHECK_ROWS(LINEAR_NO, CAS(0, "a", 3, 4, 1), REMOVE(ANY, 5, 6, 2), LOOK_MISS(7, 8, 0));
    CHECK_ROWS(LINEAR_YES, CAS(0, "a", 3, 4, 1), REMOVE(ANY, 5, 6, 2), GONE(ANY, 7, 8, 2),
               GONE(1, 9, 10, 2));
    CHECK_ROWS(LINEAR_NO, CAS(0, "a", 3, 4, 1), GONE(ANY, 7, 8, 1));
    CHECK_ROWS(LINEAR_NO, CAS(0, "a", 3, 4, 1), LOOK("a", 5, 6, 2));
    CHECK_ROWS(LINEAR_NO, CAS(0, "a", 3, 4, 1), LOOK("b", 5, 6, 1));
    CHECK_ROWS(LINEAR_NO, CAS(0, "a", 3, 4, 0));
}

/* Of two that expect the same version one wins; the conflict tells who stood there. */
TEST(linear_cas_succeeds_once_per_version)
{
    CHECK_ROWS(LINEAR_NO, CAS(0, "a", 1, 9, 1), CAS(0, "b", 1, 9, 1)); /* doubled */
    CHECK_ROWS(LINEAR_NO, CAS(0, "a", 1, 9, ANY), CAS(0, "b", 1, 9, ANY));
    CHECK_ROWS(LINEAR_YES, CAS(0, "a", 1, 9, 1), LOSE(0, "b", 1, 9, 1));
    CHECK_ROWS(LINEAR_NO, CAS(0, "a", 1, 9, 1), LOSE(0, "b", 1, 9, 2));
    CHECK_ROWS(LINEAR_NO, CAS(0, "a", 1, 2, 1), LOSE(1, "b", 3, 4, 1)); /* it should have won */
    CHECK_ROWS(LINEAR_NO, CAS(0, "a", 1, 2, 1), LOSE(1, "b", 3, 4, ANY));
    CHECK_ROWS(LINEAR_YES, CAS(0, "a", 1, 2, 1), LOST(HISTORY_CAS, 1, "b", 3),
               LOSE(1, "c", 4, 5, 2));
    CHECK_ROWS(LINEAR_YES, LOST(HISTORY_CAS, 0, "b", 1), LOOK("b", 4, 5, 1));
    CHECK_ROWS(LINEAR_NO, LOST(HISTORY_CAS, 0, "b", 1), LOOK("b", 4, 5, 2));
    CHECK_ROWS(LINEAR_NO, LOST(HISTORY_CAS, 0, "b", 6), LOOK("b", 4, 5, 1));
    CHECK_ROWS(LINEAR_YES, CAS(0, "a", 1, 2, 1), LOST(HISTORY_CAS_DELETE, ANY, NULL, 3),
               CAS(0, "b", 4, 5, 3)); /* trap D51: what was not answered happened */
    CHECK_ROWS(LINEAR_NO, CAS(0, "a", 1, 2, 1), LOST(HISTORY_CAS_DELETE, ANY, NULL, 3),
               CAS(0, "b", 4, 5, 2));
}

TEST(linear_raw_and_versioned_keys_are_two_registers)
{
    CHECK_ROWS(LINEAR_YES, PUT("a", 1, 2), LOOK_MISS(3, 4, 0), CAS(0, "b", 5, 6, 1),
               GET("a", 7, 8));
}

/* ---- Many and big -------------------------------------------------------------------------- */

static void check_right(const struct rig_plan *plan, uint64_t most_per_op)
{
    struct rig rig;
    struct linear_report report;
    rig_run(&rig, plan);
    struct history *h = rig_history(&rig);
    enum linear_verdict verdict = verdict_of(h, &report);
    uint64_t configurations = 0;
    for (size_t i = 0; i < report.count; i++) {
        configurations += report.registers[i].configurations;
        if (report.registers[i].verdict == LINEAR_NO)
            print_message("%.*s", (int)report.registers[i].why.len,
                          (char *)report.registers[i].why.data);
    }
    CHECK_EQ(verdict, LINEAR_YES);
    CHECK(configurations <= most_per_op * plan->ops);
    CHECK_EQ(report.answered + report.undetermined + report.failed, plan->ops);
    linear_report_free(&report);
    history_free(h);
    rig_free(&rig);
}

/* Moments are drawn, between call and return; nobody knows them but the rig. */
TEST(linear_accepts_what_a_right_register_did)
{
    for (uint64_t seed = 1; seed <= 4000; seed++) {
        struct rig_plan plan = { .seed = seed,
                                 .family = seed % RIG_FAMILIES,
                                 .ops = 10 + seed % 50,
                                 .clients = 1 + seed % 9,
                                 .keys = 1 + seed % 3,
                                 .values = seed % 5,
                                 .lost = seed % 7 * 40,
                                 .failed = 30,
                                 .quiet = seed % 2 * 200,
                                 .ties = seed % 3 == 0 };
        if (plan.family == RIG_APPEND) /* texts of the rig are short */
            plan.ops = 10 + seed % 8, plan.values = 1 + seed % 4;
        check_right(&plan, 1000);
    }
}

static struct rig_plan deep_plan(enum rig_family family)
{
    return (struct rig_plan){ .seed = 7,
                              .family = family,
                              .ops = DEEP_OPS,
                              .clients = DEEP_CLIENTS,
                              .keys = 1,
                              .lost = 50, /* 300 */
                              .failed = 10 };
}

/* One hot key, 64 clients, 300 operations whose outcome nobody knows: no search at all. */
TEST(linear_one_hot_key_needs_no_search)
{
    struct rig_plan plan = deep_plan(RIG_PLAIN);
    check_right(&plan, 1);
    plan.family = RIG_VERSIONED;
    check_right(&plan, 1);
    plan.quiet = 100;
    check_right(&plan, 1);
}

TEST(linear_a_hundred_thousand_operations)
{
    struct rig_plan plan = { .seed = 3,
                             .ops = BIG_OPS,
                             .clients = 2 * BIG_KEYS,
                             .keys = BIG_KEYS,
                             .lost = 10,
                             .failed = 10 };
    check_right(&plan, 1);
    plan.family = RIG_VERSIONED;
    check_right(&plan, 1);
}

/* ---- Spoiled, and explained ---------------------------------------------------------------- */

static size_t count_lines(struct buf text)
{
    size_t lines = 0;
    for (size_t i = 0; i < text.len; i++)
        lines += text.data[i] == '\n';
    return lines;
}

/* The history is refused, and what is said of it is short and names these operations. */
static void check_refused(struct rig *rig, const unsigned *numbers, size_t count)
{
    struct history *h = rig_history(rig);
    struct linear_report report;
    CHECK_EQ(verdict_of(h, &report), LINEAR_NO);
    struct buf *why = &report.registers[0].why;
    CHECK_EQ(report.registers[0].verdict, LINEAR_NO);
    CHECK(count_lines(*why) < 30);
    CHECK_EQ(buf_append(why, bytes_from("", 1)), ERR_OK);
    char *core = strstr((char *)why->data, "contradict"), *also = strstr((char *)why->data, "Also");
    CHECK(core != NULL);
    if (also != NULL)
        *also = '\0';
    for (size_t i = 0; i < count; i++) {
        char cell[24];
        snprintf(cell, sizeof cell, " %u ", numbers[i]);
        CHECK_CONTAINS(core, cell);
    }
    linear_report_free(&report);
    history_free(h);
    rig_free(rig);
}

/* The first answered operation of that kind and outcome at or after number `from`. */
static unsigned find_op(const struct rig *rig, enum history_kind kind, enum history_outcome outcome,
                        unsigned from)
{
    while (rig->ops[from].kind != kind || rig->ops[from].outcome != outcome)
        from++;
    return from;
}

TEST(linear_a_stale_read_among_thousands_is_found_and_explained)
{
    struct rig rig;
    struct rig_plan plan = deep_plan(RIG_PLAIN);
    rig_run(&rig, &plan);
    unsigned get = find_op(&rig, HISTORY_GET, HISTORY_OK, DEEP_OPS / 2);
    unsigned old = find_op(&rig, HISTORY_GET, HISTORY_OK, DEEP_OPS / 4);
    strcpy(rig.ops[get].saw, rig.ops[old].saw);
    check_refused(&rig, &get, 1);
}

TEST(linear_a_lost_write_is_found_and_explained)
{
    struct rig rig;
    struct rig_plan plan = deep_plan(RIG_PLAIN);
    rig_run(&rig, &plan);
    unsigned get = find_op(&rig, HISTORY_GET, HISTORY_OK, DEEP_OPS / 2);
    for (unsigned i = 0; i < rig.count; i++)
        if (strcmp(rig.ops[i].value, rig.ops[get].saw) == 0)
            rig_answer(&rig.ops[i], HISTORY_FAILED);
    check_refused(&rig, NULL, 0);
}

TEST(linear_a_doubled_cas_is_found_and_explained)
{
    struct rig rig;
    struct rig_plan plan = deep_plan(RIG_VERSIONED);
    rig_run(&rig, &plan);
    unsigned cas[2];
    cas[0] = find_op(&rig, HISTORY_CAS, HISTORY_OK, DEEP_OPS / 2);
    cas[1] = cas[0] + 3;
    rig.ops[cas[1]] = rig.ops[cas[0]];
    rig.ops[cas[1]].client = 99;
    check_refused(&rig, cas, 2);
}

TEST(linear_a_read_from_the_future_is_found_and_explained)
{
    struct rig rig;
    struct rig_plan plan = deep_plan(RIG_VERSIONED);
    rig_run(&rig, &plan);
    unsigned get = find_op(&rig, HISTORY_CAS_GET, HISTORY_OK, DEEP_OPS / 2);
    rig.ops[get].call = rig.ops[DEEP_OPS / 4].call;
    rig.ops[get].ret = rig.ops[get].call + 1;
    check_refused(&rig, &get, 1);
}

/* The report to the letter: three of five operations, and what went on beside them. */
TEST(linear_explains_a_stale_read)
{
    const struct row rows[] = { PUT("a", 1, 2), PUT("b", 3, 4),  GET("b", 5, 6),
                                GET("a", 7, 9), PUT("c", 8, 12), GET("c", 13, 14) };
    struct history *h = history_of(rows, 6);
    struct linear_report report;
    CHECK_EQ(verdict_of(h, &report), LINEAR_NO);
    CHECK_BYTES(
        buf_bytes(&report.registers[0].why),
        BYTES(
            "  There is no order of the first 5 of 6 operations, those called until number 3 returned.\n"
            "  These operations alone contradict each other:\n"
            "      number   client           called         returned  operation                        answer\n"
            "           0        0                1                2  put(\"a\")                         ok\n"
            "           1        1                3                4  put(\"b\")                         ok\n"
            "  >        3        3                7                9  get()                            ok, \"a\"\n"
            "  Also concurrent with number 3:\n"
            "      number   client           called         returned  operation                        answer\n"
            "           4        4                8               12  put(\"c\")                         ok\n"));
    linear_report_free(&report);
    history_free(h);
}

/* ---- Undecided ----------------------------------------------------------------------------- */

/* Writes of few values, and a read at the end that no order explains: a search that the budget ends. */
TEST(linear_a_budget_that_ends_is_no_verdict)
{
    struct rig rig;
    struct rig_plan plan = {
        .seed = 5, .family = RIG_SWAP, .ops = 60, .clients = 20, .keys = 1, .values = 3
    };
    rig_run(&rig, &plan);
    struct rig_op *last = &rig.ops[plan.ops - 1];
    *last = (struct rig_op){ .kind = HISTORY_SWAP,
                             .value = "z",
                             .wanted = "z",
                             .outcome = HISTORY_OK,
                             .call = rig.now,
                             .ret = rig.now + 1 };
    struct history *h = rig_history(&rig);
    struct rig_op other = { .key = 1, .kind = HISTORY_PUT, .outcome = HISTORY_OK };
    rig_add(h, &other); /* a register that is right does not make it better */
    struct linear_report report;
    struct linear_options options = { .budget = 1 };
    CHECK_EQ(linear_check(h, &options, &report), LINEAR_UNKNOWN);
    CHECK_EQ(report.registers[0].verdict, LINEAR_UNKNOWN);
    CHECK_EQ(report.registers[1].verdict, LINEAR_YES);
    linear_report_free(&report);
    CHECK_EQ(linear_check(h, NULL, &report), LINEAR_NO);
    linear_report_free(&report);
    history_free(h);
    rig_free(&rig);
}

TEST(linear_an_empty_history_is_linearizable_and_says_that_it_is_empty)
{
    struct history *h = history_new();
    struct linear_report report;
    CHECK_EQ(linear_check(h, NULL, &report), LINEAR_YES);
    CHECK_EQ(report.answered, 0);
    CHECK_EQ(report.count, 0);
    linear_report_free(&report);
    history_free(h);
}

TEST_MAIN()
