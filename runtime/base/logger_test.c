#include "base/logger.h"
#include "base/test.h"

#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>

struct world {
    uint64_t now;
    struct buf out;
    unsigned lines;
};

static uint64_t world_wall(void *user)
{
    return ((struct world *)user)->now;
}

static void world_write(void *user, struct bytes line)
{
    struct world *w = user;
    CHECK(line.len > 0 && line.data[line.len - 1] == '\n');
    CHECK(memchr(line.data, '\n', line.len - 1) == NULL);
    CHECK_EQ(buf_append(&w->out, line), ERR_OK);
    w->lines++;
}

static struct logger *make(struct world *w, enum logger_format format, unsigned burst,
                           unsigned ring)
{
    *w = (struct world){ .now = 1767323045678000000 };
    struct logger *l = logger_new(&(struct logger_config){ .level = LOGGER_INFO,
                                                           .format = format,
                                                           .wall = world_wall,
                                                           .write = world_write,
                                                           .user = w,
                                                           .burst = burst,
                                                           .ring = ring });
    CHECK(l != NULL);
    return l;
}

/* What was written since the last call, as text. */
static const char *text(struct world *w)
{
    static char out[3 * LOGGER_LINE_MAX];
    CHECK(w->out.len < sizeof out);
    if (w->out.len > 0)
        memcpy(out, w->out.data, w->out.len);
    out[w->out.len] = '\0';
    buf_clear(&w->out);
    return out;
}

static void end(struct logger *l, struct world *w)
{
    logger_free(l);
    buf_free(&w->out);
}

TEST(logger_logfmt_quotes_what_needs_it)
{
    struct world w;
    struct logger *l = make(&w, LOGGER_LOGFMT, 0, 0);
    struct err e = { ERR_NOT_FOUND, "no \"x\" in a=b" };
    logger_info(l, "region split", logger_u64("region", 12),
                logger_bytes("cut", bytes_from("k\0\xff\\\"", 5)),
                logger_text("who", "J\xc3\xbcrgen\x01"), logger_text("bare", "a-b/c"),
                logger_text("none", ""), logger_text("eq", "a=b"), logger_i64("delta", -3),
                logger_double("load", 0.25), logger_bool("leader", true), logger_err(&e));
    CHECK_STR(
        text(&w),
        "ts=2026-01-02T03:04:05.678Z level=info msg=\"region split\" region=12 "
        "cut=\"k\\x00\\xff\\\\\\\"\" who=\"J\xc3\xbcrgen\\x01\" bare=a-b/c none=\"\" eq=\"a=b\" "
        "delta=-3 load=0.25 leader=true error=NOT_FOUND reason=\"no \\\"x\\\" in a=b\"\n");
    logger_warn(l, "alone");
    CHECK_STR(text(&w), "ts=2026-01-02T03:04:05.678Z level=warn msg=alone\n");
    end(l, &w);
}

TEST(logger_json_is_read_back_by_a_json_parser)
{
    struct world w;
    struct logger *l = make(&w, LOGGER_JSON, 0, 0);
    struct err e = { ERR_IO, "disk\tgone\n" };
    logger_error(l, "a \"b\"", logger_text("t", "x\x01\x1f\\ \xff\xc3\xbc"),
                 logger_bytes("k", bytes_from("\\x00 \0\n\xff", 8)),
                 logger_u64("n", UINT64_MAX / 2), logger_double("nan", 0.0 / 0.0),
                 logger_bool("b", false), logger_err(&e));
    json_t *o = json_loads(text(&w), 0, NULL);
    CHECK(o != NULL);
    CHECK_STR(json_string_value(json_object_get(o, "ts")), "2026-01-02T03:04:05.678Z");
    CHECK_STR(json_string_value(json_object_get(o, "level")), "error");
    CHECK_STR(json_string_value(json_object_get(o, "msg")), "a \"b\"");
    CHECK_STR(json_string_value(json_object_get(o, "t")), "x\x01\x1f\\ \xef\xbf\xbd\xc3\xbc");
    CHECK_STR(json_string_value(json_object_get(o, "k")), "\\\\x00 \\x00\n\\xff");
    CHECK_EQ(json_integer_value(json_object_get(o, "n")), INT64_MAX);
    CHECK_STR(json_string_value(json_object_get(o, "nan")), "nan");
    CHECK(json_is_false(json_object_get(o, "b")));
    CHECK_STR(json_string_value(json_object_get(o, "error")), "IO");
    CHECK_STR(json_string_value(json_object_get(o, "reason")), "disk\tgone\n");
    json_decref(o);
    end(l, &w);
}

TEST(logger_every_byte_survives_both_formats_on_one_line)
{
    for (enum logger_format f = LOGGER_LOGFMT; f <= LOGGER_JSON; f++) {
        for (unsigned c = 1; c < 256; c++) { /* world_write() checks: one newline, at the end */
            struct world w;
            struct logger *l = make(&w, f, 0, 0);
            char value[3] = { 'a', (char)c, '\0' };
            logger_info(l, "m", logger_text("t", value), logger_bytes("b", BYTES(value)));
            if (f == LOGGER_JSON) {
                json_t *o = json_loads(text(&w), 0, NULL);
                CHECK(o != NULL);
                CHECK(c >= 0x80 || strcmp(json_string_value(json_object_get(o, "t")), value) == 0);
                json_decref(o);
            }
            end(l, &w);
        }
    }
}

TEST(logger_refuses_what_is_not_utf8)
{
    static const char *const bad[] = {
        "\xc0\x80",         "\xed\xa0\x80", "\xf4\x90\x80\x80",     "\xe2\x82",
        "\xf0\x80\x80\x80", "\x80",         "\xf8\x88\x80\x80\x80", "\xe0\x9f\xbf"
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct world w;
        struct logger *l = make(&w, LOGGER_JSON, 0, 0);
        logger_info(l, "m", logger_text("t", bad[i]));
        const char *out = text(&w);
        CHECK_CONTAINS(out, "\"t\":\"\xef\xbf\xbd");
        json_t *o = json_loads(out, 0, NULL);
        CHECK(o != NULL);
        json_decref(o);
        end(l, &w);
    }
}

TEST(logger_levels_at_run_time)
{
    struct world w;
    struct logger *l = make(&w, LOGGER_LOGFMT, 0, 0);
    struct err e = { 0 };
    enum logger_level level;
    logger_debug(l, "hidden");
    CHECK_EQ(w.lines, 0);
    CHECK_OK(logger_level_parse("trace", &level, &e), e);
    logger_level_set(l, level);
    logger_debug(l, "shown");
    logger_trace(l, "shown");
    CHECK_EQ(w.lines, 2);
    logger_level_set(l, LOGGER_ERROR);
    logger_warn(l, "hidden");
    CHECK_EQ(w.lines, 2);
    CHECK_EQ(logger_level_parse("loud", &level, &e), ERR_INVALID_ARGUMENT);
    CHECK_CONTAINS(e.msg, "trace, debug, info, warn or error");
    CHECK_STR(logger_level_name(logger_level(l)), "error");
    logger_error((struct logger *)NULL, "nobody listens");
    end(l, &w);
}

TEST(logger_long_lines_lose_fields_and_stay_well_formed)
{
    static char big[6000], medium[1500];
    memset(big, 'x', sizeof big - 1);
    memset(medium, '\n', sizeof medium - 1);
    struct world w;
    struct logger *l = make(&w, LOGGER_JSON, 0, 0);
    logger_info(l, "m", logger_text("big", big), logger_text("medium", medium),
                logger_text("again", medium), logger_u64("last", 7));
    const char *out = text(&w);
    CHECK(strlen(out) <= LOGGER_LINE_MAX);
    json_t *o = json_loads(out, 0, NULL);
    CHECK(o != NULL);
    CHECK(json_object_get(o, "big") == NULL && json_object_get(o, "again") == NULL);
    CHECK_STR(json_string_value(json_object_get(o, "medium")), medium);
    CHECK_EQ(json_integer_value(json_object_get(o, "last")), 7);
    CHECK(json_is_true(json_object_get(o, "truncated")));
    json_decref(o);
    end(l, &w);
}

/* Found by fuzzing: a name that did not fit was cut in the middle of its quotes. */
TEST(logger_long_names_and_messages_leave_the_line_well_formed)
{
    static char name[6000];
    memset(name, '\n', sizeof name - 1);
    for (enum logger_format f = LOGGER_LOGFMT; f <= LOGGER_JSON; f++) {
        struct world w = { .now = 1 };
        struct logger *l = logger_new(&(struct logger_config){
            .format = f, .wall = world_wall, .write = world_write, .user = &w, .name = name });
        logger_write(l, LOGGER_WARN, name, (struct logger_field[]){ { 0 }, { 0 } });
        const char *out = text(&w);
        CHECK_CONTAINS(out, "truncated");
        CHECK(strstr(out, "node") == NULL);
        json_t *o = json_loads(out, 0, NULL);
        CHECK((o != NULL) == (f == LOGGER_JSON));
        json_decref(o);
        end(l, &w);
    }
}

TEST(logger_floods_are_cut_and_counted)
{
    struct world w;
    struct logger *l = make(&w, LOGGER_LOGFMT, 3, 0);
    for (int i = 0; i < 10; i++)
        logger_warn(l, "flood", logger_u64("i", (uint64_t)i));
    logger_warn(l, "other");
    CHECK_EQ(w.lines, 4);
    (void)text(&w);
    w.now += 1000000000;
    logger_warn(l, "flood", logger_u64("i", 10));
    CHECK_CONTAINS(text(&w), "msg=flood suppressed=7 i=10\n");
    logger_warn(l, "flood", logger_u64("i", 11));
    CHECK(strstr(text(&w), "suppressed") == NULL);
    w.now -=
        3600ull * 1000000000; /* the clock was set back: a new second, no silence for an hour */
    logger_warn(l, "flood");
    CHECK_CONTAINS(text(&w), "flood");
    end(l, &w);
}

TEST(logger_tick_reports_a_flood_that_just_ended)
{
    struct world w;
    struct logger *l = make(&w, LOGGER_LOGFMT, 2, 0);
    for (int i = 0; i < 10; i++)
        logger_info(l, "flood");
    (void)text(&w);
    logger_tick(l); /* still the same second: it may go on */
    CHECK_STR(text(&w), "");
    w.now += 1000000000;
    logger_tick(l);
    CHECK_CONTAINS(text(&w), "level=warn msg=\"lines suppressed\" suppressed=8 of=flood\n");
    logger_tick(l);
    CHECK_STR(text(&w), "");
    end(l, &w);
}

TEST(logger_each_counts_floods_apart)
{
    struct world w;
    struct logger *l = make(&w, LOGGER_LOGFMT, 1, 0);
    for (uint64_t i = 0; i < 30; i++)
        logger_info(l, "slow store", logger_each(logger_u64("store", i % 3)));
    CHECK_EQ(w.lines, 3);
    end(l, &w);
}

/* More kinds than the table holds: some share a count, and no more lines pass than with counts
 * of their own. */
TEST(logger_too_many_kinds_stay_bounded)
{
    struct world w;
    struct logger *l = make(&w, LOGGER_LOGFMT, 1, 0);
    for (uint64_t i = 0; i < 5000; i++)
        logger_info(l, "kind", logger_each(logger_u64("i", i)));
    CHECK(w.lines >= 200 && w.lines <= 256);
    w.lines = 0;
    w.now += 1000000000;
    logger_info(l, "kind", logger_each(logger_u64("i", 77777)));
    CHECK_EQ(w.lines, 1);
    end(l, &w);
}

static void gather(void *user, struct bytes line)
{
    struct world *w = user;
    const char *msg = memmem(line.data, line.len, "i=", 2);
    CHECK(msg != NULL && line.data[line.len - 1] != '\n');
    char number[16] = "";
    memcpy(number, msg + 2, (size_t)((const char *)line.data + line.len - msg - 2));
    CHECK_EQ(buf_printf(&w->out, "%s ", number), ERR_OK);
}

TEST(logger_ring_keeps_the_last_lines)
{
    struct world w;
    struct logger *l = make(&w, LOGGER_LOGFMT, 0, 4);
    logger_recent(l, 10, gather, &w);
    CHECK_STR(text(&w), "");
    for (uint64_t i = 0; i < 3; i++)
        logger_info(l, "m", logger_u64("i", i));
    (void)text(&w);
    logger_recent(l, 2, gather, &w);
    CHECK_STR(text(&w), "1 2 ");
    for (uint64_t i = 3; i < 11; i++)
        logger_info(l, "m", logger_u64("i", i));
    (void)text(&w);
    logger_recent(l, 10, gather, &w);
    CHECK_STR(text(&w), "7 8 9 10 ");
    end(l, &w);
}

static _Atomic unsigned passed;

static uint64_t fixed_wall(void *user)
{
    (void)user;
    return 1000000000;
}

static void count_line(void *user, struct bytes line)
{
    (void)user;
    atomic_fetch_add(&passed, line.data[line.len - 1] == '\n');
}

static void *shout(void *user)
{
    for (uint64_t i = 0; i < 2000; i++) {
        logger_info(user, "from a thread", logger_u64("a", i), logger_u64("b", i));
        logger_warn(user, "limited", logger_each(logger_u64("a", i % 5)));
    }
    return NULL;
}

static void whole(void *user, struct bytes line)
{
    (void)user;
    unsigned long long a, b;
    char copy[LOGGER_RING_LINE_MAX + 1] = "";
    memcpy(copy, line.data, line.len);
    if (sscanf(copy, "ts=1970-01-01T00:00:01.000Z level=info msg=\"from a thread\" a=%llu b=%llu",
               &a, &b) == 2)
        CHECK_EQ(a, b);
    else
        CHECK_CONTAINS(copy, "msg=limited");
}

TEST(logger_threads_write_whole_lines_and_the_limit_holds)
{
    atomic_store(&passed, 0);
    struct logger *l = logger_new(&(struct logger_config){
        .level = LOGGER_INFO, .wall = fixed_wall, .write = count_line, .burst = 100, .ring = 8 });
    pthread_t t[4];
    for (size_t i = 0; i < 4; i++)
        CHECK_EQ(pthread_create(&t[i], NULL, shout, l), 0);
    for (int i = 0; i < 300; i++)
        logger_recent(l, 8, whole, NULL);
    for (size_t i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    CHECK_EQ(atomic_load(&passed), 100 + 5 * 100);
    logger_free(l);
}

TEST_MAIN()
