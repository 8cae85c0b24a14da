/* Lines, floods and the ring; all three without a lock.
 *
 * Floods: an open hash table of kinds. A kind's state is one word, second << 32 | lines in that
 * second, so that counting is one compare-and-swap.
 *
 * Ring: line n goes to place n % size, guarded by a sequence word (2n + 1 while it is written,
 * 2n + 2 after). A reader copies and then asks whether the word is still the same; the text is
 * copied in atomic words, so that a writer that overtakes it is no data race. */
#include "base/logger.h"

#include <assert.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/utf8.h"

enum {
    KINDS = 256,       /* kinds of lines that are counted apart; a power of two */
    PROBES = 8,        /* places looked at before two kinds share a count */
    RESERVE = 32,      /* kept free for truncated=true and the end of the line */
    MESSAGE_MAX = 512, /* bytes; each may become six */
    RING_WORDS = (LOGGER_RING_LINE_MAX + 8) / 8, /* length, then text */
};

struct kind {
    _Atomic uint64_t hash; /* 0: free */
    _Atomic uint64_t state;
    _Atomic(const char *) message;
};

struct ring_line {
    _Atomic uint64_t seq;
    _Atomic uint64_t words[RING_WORDS];
};

struct logger {
    struct logger_config config;
    char *name;
    _Atomic int level;
    struct kind kinds[KINDS];
    _Atomic uint64_t ring_head; /* lines given to the ring so far */
    struct ring_line *ring;
};

static const char *const level_names[] = { "trace", "debug", "info", "warn", "error" };

/* ---- Building a line ------------------------------------------------------------------------- */

struct line {
    char text[LOGGER_LINE_MAX];
    size_t len, max; /* put_*() beyond max sets `full` and writes nothing more */
    bool full, json;
};

static void put(struct line *line, const char *text, size_t len)
{
    if (line->full || len > line->max - line->len) {
        line->full = true;
        return;
    }
    memcpy(line->text + line->len, text, len);
    line->len += len;
}

static void put_text(struct line *line, const char *text)
{
    put(line, text, strlen(text));
}

PRINTF_LIKE(2, 3) static void put_format(struct line *line, const char *fmt, ...)
{
    char text[64];
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    assert(len >= 0 && (size_t)len < sizeof text);
    put(line, text, (size_t)len);
}

/* One character of a quoted value. `text`: valid UTF-8 passes; else only printable ASCII does.
 * Answers the bytes of `in` that it has dealt with. */
static size_t put_char(struct line *line, struct bytes in, bool text)
{
    uint8_t c = in.data[0];
    const char *slash = line->json ? "\\\\" : "\\"; /* a backslash of the value's own notation */
    if (c == '"' || c == '\\') {
        if (c == '\\' && !text && line->json)
            put_text(line, "\\\\"); /* \xNN is told apart from a literal \x */
        put_format(line, "\\%c", c);
    } else if (c == '\n' || c == '\t' || c == '\r') {
        put_format(line, "\\%c", c == '\n' ? 'n' : c == '\t' ? 't' : 'r');
    } else if (c >= 0x20 && c < 0x7f) {
        put(line, (const char *)in.data, 1);
    } else if (!text) {
        put_format(line, "%sx%02x", slash, c);
    } else {
        size_t n = utf8_next(in);
        if (n > 1) {
            put(line, (const char *)in.data, n);
            return n;
        }
        if (c < 0x80 && line->json)
            put_format(line, "\\u%04x", c);
        else if (c < 0x80)
            put_format(line, "\\x%02x", c);
        else
            put_text(line, "\xef\xbf\xbd"); /* U+FFFD: text that is not UTF-8 */
    }
    return 1;
}

/* True if logfmt may write it without quotes. */
static bool is_bare(struct bytes value)
{
    for (size_t i = 0; i < value.len; i++)
        if (value.data[i] <= ' ' || value.data[i] >= 0x7f || strchr("\"\\=", value.data[i]) != NULL)
            return false;
    return value.len > 0;
}

static void put_value(struct line *line, struct bytes value, bool text)
{
    if (!line->json && is_bare(value)) {
        put(line, (const char *)value.data, value.len);
        return;
    }
    put_text(line, "\"");
    while (value.len > 0) {
        size_t n = put_char(line, value, text);
        value.data += n;
        value.len -= n;
    }
    put_text(line, "\"");
}

static void put_key(struct line *line, const char *key)
{
    if (line->json)
        put_format(line, "%s\"%.40s\":", line->len > 1 ? "," : "", key);
    else
        put_format(line, "%s%.40s=", line->len > 0 ? " " : "", key);
}

static void put_pair(struct line *line, const char *key, struct bytes value, bool text)
{
    put_key(line, key);
    put_value(line, value, text);
}

static void put_double(struct line *line, double value)
{
    if (line->json && !isfinite(value))
        put_text(line, isnan(value) ? "\"nan\"" : value > 0 ? "\"inf\"" : "\"-inf\"");
    else
        put_format(line, "%.9g", value);
}

static void put_field(struct line *line, const struct logger_field *f)
{
    switch (f->kind) {
    case LOGGER_FIELD_TEXT:
    case LOGGER_FIELD_BYTES:
        put_pair(line, f->key, f->bytes, f->kind == LOGGER_FIELD_TEXT);
        return;
    case LOGGER_FIELD_ERR:
        put_pair(line, f->key, BYTES(err_name(f->err->code)), true);
        put_pair(line, "reason", BYTES(f->err->msg), true);
        return;
    case LOGGER_FIELD_U64:
        put_key(line, f->key);
        put_format(line, "%llu", (unsigned long long)f->u64);
        return;
    case LOGGER_FIELD_I64:
        put_key(line, f->key);
        put_format(line, "%lld", (long long)f->i64);
        return;
    case LOGGER_FIELD_DOUBLE:
        put_key(line, f->key);
        put_double(line, f->real);
        return;
    case LOGGER_FIELD_BOOL:
        put_key(line, f->key);
        put_text(line, f->yes ? "true" : "false");
        return;
    case LOGGER_FIELD_END:
        return;
    }
}

/* Adds a field whole, or leaves it out and answers false: a shorter one may still fit. */
static bool add_field(struct line *line, struct logger_field f)
{
    size_t before = line->len;
    put_field(line, &f);
    bool fits = !line->full;
    if (!fits)
        line->len = before;
    line->full = false;
    return fits;
}

/* RFC 3339 in UTC with milliseconds. The calendar is worked out here: gmtime's is libc's, and
 * knows time zones. */
static void put_time(struct line *line, uint64_t wall_ns)
{
    uint64_t ms = wall_ns / 1000000, s = ms / 1000;
    uint64_t day = s / 86400, of_day = s % 86400;
    /* Days since 0000-03-01, in eras of 400 years, so that a leap day is the last day of a year. */
    uint64_t z = day + 719468, era = z / 146097, doe = z % 146097;
    uint64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    uint64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    unsigned month = (unsigned)(mp < 10 ? mp + 3 : mp - 9),
             mday = (unsigned)(doy - (153 * mp + 2) / 5 + 1);
    uint64_t year = era * 400 + yoe + (month <= 2);
    put_key(line, "ts");
    put_format(line, "%s%04llu-%02u-%02uT%02u:%02u:%02u.%03uZ%s", line->json ? "\"" : "",
               (unsigned long long)year, month, mday, (unsigned)(of_day / 3600),
               (unsigned)(of_day / 60 % 60), (unsigned)(of_day % 60), (unsigned)(ms % 1000),
               line->json ? "\"" : "");
}

/* ---- Floods ---------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t hash, const void *data, size_t len)
{
    for (const uint8_t *b = data; len > 0; b++, len--)
        hash = (hash ^ *b) * 0x100000001b3; /* FNV-1a */
    return hash;
}

static uint64_t kind_hash(enum logger_level level, const char *message,
                          const struct logger_field *fields)
{
    uint64_t hash = mix(0xcbf29ce484222325, &level, sizeof level);
    hash = mix(hash, message, strlen(message));
    for (const struct logger_field *f = fields + 1; f->kind != LOGGER_FIELD_END; f++) {
        if (!f->each)
            continue;
        if (f->kind == LOGGER_FIELD_TEXT || f->kind == LOGGER_FIELD_BYTES)
            hash = mix(hash, f->bytes.data, f->bytes.len);
        else if (f->kind == LOGGER_FIELD_ERR)
            hash = mix(hash, &f->err->code, sizeof f->err->code);
        else if (f->kind == LOGGER_FIELD_BOOL)
            hash = mix(hash, &f->yes, sizeof f->yes);
        else
            hash = mix(hash, &f->u64, sizeof f->u64);
    }
    hash ^= hash >> 32;
    return hash == 0 ? 1 : hash;
}

/* The place that counts for `hash`. When all places near are taken, one that has been quiet for
 * a second and owes no report is taken over; else the kind shares a count with another, which
 * lets fewer lines pass, never more. */
static struct kind *kind_find(struct logger *l, uint64_t hash, const char *message, uint32_t second)
{
    for (size_t i = 0; i < PROBES; i++) {
        struct kind *k = &l->kinds[(hash + i) % KINDS];
        uint64_t there = atomic_load(&k->hash);
        if (there == 0 && atomic_compare_exchange_strong(&k->hash, &there, hash))
            atomic_store(&k->message, message);
        else if (there != hash)
            continue;
        return k;
    }
    for (size_t i = 0; i < PROBES; i++) {
        struct kind *k = &l->kinds[(hash + i) % KINDS];
        uint64_t there = atomic_load(&k->hash), state = atomic_load(&k->state);
        if ((uint32_t)(state >> 32) != second && (uint32_t)state <= l->config.burst &&
            atomic_compare_exchange_strong(&k->hash, &there, hash)) {
            atomic_store(&k->message, message);
            return k;
        }
    }
    return &l->kinds[hash % KINDS];
}

/* True if the line may pass; `*suppressed` is what was held back before it. */
static bool admit(struct logger *l, struct kind *kind, uint32_t second, uint32_t *suppressed)
{
    uint64_t state = atomic_load(&kind->state), next;
    uint32_t count;
    do {
        count = (uint32_t)state;
        *suppressed = 0;
        if ((uint32_t)(state >> 32) != second) {
            *suppressed = count > l->config.burst ? count - l->config.burst : 0;
            count = 0;
        }
        if (count < UINT32_MAX)
            count++;
        next = (uint64_t)second << 32 | count;
    } while (!atomic_compare_exchange_weak(&kind->state, &state, next));
    return count <= l->config.burst;
}

/* ---- The ring -------------------------------------------------------------------------------- */

static void ring_put(struct logger *l, const char *text, size_t len)
{
    uint64_t n = atomic_fetch_add(&l->ring_head, 1);
    struct ring_line *at = &l->ring[n % l->config.ring];
    uint64_t seq = atomic_load(&at->seq);
    if (seq % 2 == 1 || seq > 2 * n || !atomic_compare_exchange_strong(&at->seq, &seq, 2 * n + 1))
        return; /* somebody is a whole ring ahead or behind: the sink alone has this line */
    atomic_thread_fence(memory_order_release);
    if (len > LOGGER_RING_LINE_MAX)
        len = LOGGER_RING_LINE_MAX;
    atomic_store_explicit(&at->words[0], len, memory_order_relaxed);
    for (size_t i = 0; i < len; i += 8) {
        uint64_t word = 0;
        memcpy(&word, text + i, len - i < 8 ? len - i : 8);
        atomic_store_explicit(&at->words[1 + i / 8], word, memory_order_relaxed);
    }
    atomic_store_explicit(&at->seq, 2 * n + 2, memory_order_release);
}

/* Copies line `n`, if it is still there and whole. */
static bool ring_get(const struct logger *l, uint64_t n, char *text, size_t *ret)
{
    const struct ring_line *at = &l->ring[n % l->config.ring];
    if (atomic_load_explicit(&at->seq, memory_order_acquire) != 2 * n + 2)
        return false;
    uint64_t len = atomic_load_explicit(&at->words[0], memory_order_relaxed);
    if (len > LOGGER_RING_LINE_MAX)
        return false;
    for (size_t i = 0; i < len; i += 8) {
        uint64_t word = atomic_load_explicit(&at->words[1 + i / 8], memory_order_relaxed);
        memcpy(text + i, &word, len - i < 8 ? len - i : 8);
    }
    atomic_thread_fence(memory_order_acquire);
    *ret = len;
    return atomic_load_explicit(&at->seq, memory_order_relaxed) == 2 * n + 2;
}

/* ---- Public ---------------------------------------------------------------------------------- */

struct logger *logger_new(const struct logger_config *config)
{
    assert(config->wall != NULL && config->write != NULL);
    struct logger *l = calloc(1, sizeof *l);
    if (l == NULL)
        return NULL;
    l->config = *config;
    atomic_init(&l->level, config->level);
    if (config->name != NULL)
        l->name = strdup(config->name);
    if (config->ring > 0)
        l->ring = calloc(config->ring, sizeof *l->ring);
    if ((config->name != NULL && l->name == NULL) || (config->ring > 0 && l->ring == NULL)) {
        logger_free(l);
        return NULL;
    }
    return l;
}

void logger_free(struct logger *l)
{
    if (l == NULL)
        return;
    free(l->ring);
    free(l->name);
    free(l);
}

void logger_level_set(struct logger *l, enum logger_level level)
{
    atomic_store_explicit(&l->level, level, memory_order_relaxed);
}

enum logger_level logger_level(const struct logger *l)
{
    return (enum logger_level)atomic_load_explicit(&l->level, memory_order_relaxed);
}

const char *logger_level_name(enum logger_level level)
{
    return level_names[level];
}

err_t logger_level_parse(const char *text, enum logger_level *ret, struct err *e)
{
    for (size_t i = 0; i < sizeof level_names / sizeof *level_names; i++) {
        if (strcmp(text, level_names[i]) == 0) {
            *ret = (enum logger_level)i;
            return ERR_OK;
        }
    }
    return err_set(e, ERR_INVALID_ARGUMENT,
                   "\"%.40s\" is no log level; use trace, debug, info, warn or error", text);
}

bool logger_on(const struct logger *l, enum logger_level level)
{
    return l != NULL && level >= logger_level(l);
}

/* Renders and hands over; `suppressed` 0 is not mentioned. */
static void emit(struct logger *l, uint64_t wall_ns, enum logger_level level, const char *message,
                 const struct logger_field *fields, uint32_t suppressed)
{
    struct line line;
    line.len = 0;
    line.full = false;
    line.max = sizeof line.text - RESERVE;
    line.json = l->config.format == LOGGER_JSON;
    if (line.json)
        put_text(&line, "{");
    put_time(&line, wall_ns);
    put_pair(&line, "level", BYTES(level_names[level]), true);
    struct bytes msg = BYTES(message);
    if (msg.len > MESSAGE_MAX)
        msg.len = MESSAGE_MAX;
    put_pair(&line, "msg", msg, true);
    bool whole = l->name == NULL || add_field(&line, logger_text("node", l->name));
    if (suppressed > 0)
        whole &= add_field(&line, logger_u64("suppressed", suppressed));
    for (const struct logger_field *f = fields + 1; f->kind != LOGGER_FIELD_END; f++)
        whole &= add_field(&line, *f);
    line.max = sizeof line.text;
    if (!whole)
        whole = add_field(&line, logger_bool("truncated", true));
    assert(whole && !line.full); /* RESERVE is for this */
    put_text(&line, line.json ? "}\n" : "\n");
    if (l->ring != NULL)
        ring_put(l, line.text, line.len - 1);
    l->config.write(l->config.user, bytes_from(line.text, line.len));
}

void logger_write(struct logger *l, enum logger_level level, const char *message,
                  const struct logger_field *fields)
{
    if (!logger_on(l, level))
        return;
    uint64_t wall_ns = l->config.wall(l->config.user);
    uint32_t suppressed = 0;
    if (l->config.burst > 0) {
        uint32_t second = (uint32_t)(wall_ns / 1000000000);
        struct kind *kind = kind_find(l, kind_hash(level, message, fields), message, second);
        if (!admit(l, kind, second, &suppressed))
            return;
    }
    emit(l, wall_ns, level, message, fields, suppressed);
}

void logger_tick(struct logger *l)
{
    if (l == NULL || l->config.burst == 0)
        return;
    uint64_t wall_ns = l->config.wall(l->config.user);
    uint32_t second = (uint32_t)(wall_ns / 1000000000);
    for (size_t i = 0; i < KINDS; i++) {
        struct kind *k = &l->kinds[i];
        uint64_t state = atomic_load(&k->state);
        if ((uint32_t)state <= l->config.burst || (uint32_t)(state >> 32) == second ||
            !atomic_compare_exchange_strong(&k->state, &state, (uint64_t)second << 32))
            continue;
        const char *message = atomic_load(&k->message);
        emit(l, wall_ns, LOGGER_WARN, "lines suppressed",
             (const struct logger_field[]){ { .kind = LOGGER_FIELD_END },
                                            logger_text("of", message),
                                            { .kind = LOGGER_FIELD_END } },
             (uint32_t)state - l->config.burst);
    }
}

void logger_recent(const struct logger *l, unsigned lines,
                   void (*each)(void *user, struct bytes line), void *user)
{
    if (l == NULL || l->ring == NULL)
        return;
    uint64_t head = atomic_load(&l->ring_head);
    if (lines > l->config.ring)
        lines = l->config.ring;
    for (uint64_t n = head > lines ? head - lines : 0; n < head; n++) {
        char text[LOGGER_RING_LINE_MAX];
        size_t len;
        if (ring_get(l, n, text, &len))
            each(user, bytes_from(text, len));
    }
}
