/* The log of a node: one line an event, a message and key=value pairs, logfmt or JSON.
 *
 *     logger_info(log, "region split", logger_u64("region", id), logger_bytes("cut", key));
 *
 *     ts=2026-01-02T03:04:05.678Z level=info msg="region split" region=12 cut="k\x00"
 *
 * A line is built on the caller's stack and given to the sink as one piece, newline included:
 * any thread may log, no lock is taken, and a thread of idle priority never makes the loop wait.
 * Floods are cut: of one kind of line (level and message, and the fields named by logger_each)
 * `burst` pass in a second; the next one that passes says suppressed=N, and logger_tick()
 * reports what no later line did. The last lines are kept for the console.
 *
 * The clock and the sink come as arguments: base knows no world. */
#pragma once

#include "base/buf.h"

enum logger_level { LOGGER_TRACE, LOGGER_DEBUG, LOGGER_INFO, LOGGER_WARN, LOGGER_ERROR };
enum logger_format { LOGGER_LOGFMT, LOGGER_JSON };

enum {
    LOGGER_LINE_MAX =
        4096, /* bytes of a line; what does not fit is left out and truncated=true says so */
    LOGGER_RING_LINE_MAX = 1016, /* bytes of a line in the ring; longer ones are cut there */
};

struct logger;

struct logger_config {
    enum logger_level level; /* lines below it are not written */
    enum logger_format format;
    uint64_t (*wall)(void *user);                 /* nanoseconds since 1970; any thread */
    void (*write)(void *user, struct bytes line); /* one whole line; any thread, also two at once */
    void *user;
    const char *name; /* if not NULL, every line carries node=<name>; copied */
    unsigned burst;   /* lines of one kind in a second; 0: no limit */
    unsigned ring;    /* lines kept for logger_recent(); 0: none */
};

/* One key=value pair, made by the functions below; keys are literals. What a field points to is
 * borrowed for the call alone. */
struct logger_field {
    enum {
        LOGGER_FIELD_END,
        LOGGER_FIELD_TEXT,
        LOGGER_FIELD_BYTES,
        LOGGER_FIELD_U64,
        LOGGER_FIELD_I64,
        LOGGER_FIELD_DOUBLE,
        LOGGER_FIELD_BOOL,
        LOGGER_FIELD_ERR,
    } kind;
    bool each; /* lines with another value are another kind of line */
    const char *key;
    union {
        struct bytes bytes;
        uint64_t u64;
        int64_t i64;
        double real;
        bool yes;
        const struct err *err;
    };
};

/* UTF-8 text; NULL is "". */
static inline struct logger_field logger_text(const char *key, const char *value)
{
    return (struct logger_field){ LOGGER_FIELD_TEXT, .key = key,
                                  .bytes = BYTES(value != NULL ? value : "") };
}
/* Any bytes, such as keys: what is not printable ASCII is written as \xNN. */
static inline struct logger_field logger_bytes(const char *key, struct bytes value)
{
    return (struct logger_field){ LOGGER_FIELD_BYTES, .key = key, .bytes = value };
}
static inline struct logger_field logger_u64(const char *key, uint64_t value)
{
    return (struct logger_field){ LOGGER_FIELD_U64, .key = key, .u64 = value };
}
static inline struct logger_field logger_i64(const char *key, int64_t value)
{
    return (struct logger_field){ LOGGER_FIELD_I64, .key = key, .i64 = value };
}
static inline struct logger_field logger_double(const char *key, double value)
{
    return (struct logger_field){ LOGGER_FIELD_DOUBLE, .key = key, .real = value };
}
static inline struct logger_field logger_bool(const char *key, bool value)
{
    return (struct logger_field){ LOGGER_FIELD_BOOL, .key = key, .yes = value };
}
/* Two pairs: error=<name of the code> reason=<text>. */
static inline struct logger_field logger_err(const struct err *e)
{
    return (struct logger_field){ LOGGER_FIELD_ERR, .key = "error", .err = e };
}
/* Marks a field: floods are counted apart for each of its values. */
static inline struct logger_field logger_each(struct logger_field field)
{
    field.each = true;
    return field;
}

/* Makes a logger; `config` is copied. NULL if memory is gone. */
struct logger *logger_new(const struct logger_config *config);
/* Frees it. Nobody logs any more. NULL is welcome. */
void logger_free(struct logger *l);

/* The level, at run time; any thread. */
void logger_level_set(struct logger *l, enum logger_level level);
enum logger_level logger_level(const struct logger *l);
/* "info"; static. */
const char *logger_level_name(enum logger_level level);
/* ERR_INVALID_ARGUMENT names the words that are known. */
MUST_USE err_t logger_level_parse(const char *text, enum logger_level *ret, struct err *e);

/* True if a line of `level` would be written. A NULL logger writes nothing. */
bool logger_on(const struct logger *l, enum logger_level level);
/* Writes a line; the macros below call it. `fields` begins with an unused one and ends at
 * LOGGER_FIELD_END. */
void logger_write(struct logger *l, enum logger_level level, const char *message,
                  const struct logger_field *fields);
/* Reports kinds of lines whose flood has ended and left a count; call it about once a second.
 * Any thread. */
void logger_tick(struct logger *l);
/* Calls `each` for the last lines, at most `lines`, the oldest first, without their newline. Any
 * thread. Lines that are being replaced at that moment are left out. */
void logger_recent(const struct logger *l, unsigned lines,
                   void (*each)(void *user, struct bytes line), void *user);

/* `message` is a literal. */
#define LOGGER_WRITE(l, level, message, ...)                                                       \
    do {                                                                                           \
        if (logger_on(l, level))                                                                   \
            logger_write(l, level, "" message "",                                                  \
                         (const struct logger_field[]){ { .kind = LOGGER_FIELD_END },              \
                                                        ##__VA_ARGS__,                             \
                                                        { .kind = LOGGER_FIELD_END } });           \
    } while (0)
#define logger_trace(l, ...) LOGGER_WRITE(l, LOGGER_TRACE, __VA_ARGS__)
#define logger_debug(l, ...) LOGGER_WRITE(l, LOGGER_DEBUG, __VA_ARGS__)
#define logger_info(l, ...)  LOGGER_WRITE(l, LOGGER_INFO, __VA_ARGS__)
#define logger_warn(l, ...)  LOGGER_WRITE(l, LOGGER_WARN, __VA_ARGS__)
#define logger_error(l, ...) LOGGER_WRITE(l, LOGGER_ERROR, __VA_ARGS__)
