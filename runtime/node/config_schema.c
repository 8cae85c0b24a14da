/* A config tree against its schema: names, types, units, ranges. */
#include "config_schema.h"

#include <arpa/inet.h>
#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/nearest.h"
#include "base/units.h"

enum { NAMES_MAX = 64, UNIX_PATH_MAX = 107 };
enum { VALUES_NAME_MAX = 31, VALUES_TEXT_MAX = 127 }; /* bytes in a table of values */

/* What kind of number an option is. Text with a unit is parsed to the smallest one; `base` of those
 * make one of the option's own (bytes; milliseconds or seconds, as its name ends). */
struct measure {
    const char *what, *example;
    err_t (*parse)(const char *text, uint64_t *ret, struct err *e); /* NULL: no units */
    void (*print)(uint64_t x, char out[UNITS_TEXT_MAX]);
    uint64_t base;
    const char *base_name;
};

struct checker {
    struct config_report *report;
    const struct value *schema; /* the root: to say where a misplaced option belongs */
};

/* ---- The report --------------------------------------------------------------------------------------------- */

/* What an item of a list lacks has no line: then the item's. */
static uint32_t line_of(const struct config_lines *lines, const char *path)
{
    uint32_t line = config_lines_find(lines, path);
    const char *close = strrchr(path, ']');
    if (line > 0 || close == NULL)
        return line;
    char item[CONFIG_PATH_MAX];
    snprintf(item, sizeof item, "%.*s", (int)(close + 1 - path), path);
    return config_lines_find(lines, item);
}

void config_report_add(struct config_report *report, const char *path, const char *fmt, ...)
{
    char text[700];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    uint32_t line = report->lines != NULL ? line_of(report->lines, path) : 0;
    char where[16] = "";
    if (line > 0)
        snprintf(where, sizeof where, ":%u", line);
    report->count++;
    (void)!buf_printf(&report->text, "%s%s: %s%s%s\n", report->file, where, path,
                      path[0] != '\0' ? ": " : "", text);
}

/* ---- Looking into the schema -------------------------------------------------------------------------------- */

static bool is_type(const struct value *option, const char *type)
{
    return bytes_equal(value_get_bytes(option, "type", BYTES("")), BYTES(type));
}

static struct bytes name_of(const struct value *option)
{
    return value_get_bytes(option, "name", BYTES(""));
}

static const struct value *find_option(const struct value *options, struct bytes name)
{
    for (size_t i = 0; i < options->count; i++)
        if (bytes_equal(name_of(&options->items[i]), name))
            return &options->items[i];
    return NULL;
}

/* Words of a list of texts, or the names of a list of options, as NUL-ended copies. */
struct names {
    char text[NAMES_MAX][64];
    const char *at[NAMES_MAX];
    size_t count;
};

static void add_name(struct names *n, struct bytes word)
{
    if (n->count == NAMES_MAX)
        return;
    snprintf(n->text[n->count], sizeof n->text[0], "%.*s", (int)word.len, (const char *)word.data);
    n->at[n->count] = n->text[n->count];
    n->count++;
}

static struct names *names_of(const struct value *list, struct names *n)
{
    n->count = 0;
    for (size_t i = 0; list != NULL && i < list->count; i++) {
        const struct value *v = &list->items[i];
        add_name(n, v->kind == VALUE_BYTES ? buf_bytes(&v->bytes) : name_of(v));
    }
    return n;
}

static const char *joined(const struct names *n, char *out, size_t cap)
{
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < n->count && used < cap; i++)
        used += (size_t)snprintf(out + used, cap - used, "%s%s", i > 0 ? ", " : "", n->text[i]);
    return out;
}

/* The table in which an option of that name stands, if it stands elsewhere: "limits", "the top". */
static const char *home_of(const struct value *schema, struct bytes name, char *out, size_t cap)
{
    if (find_option(schema, name) != NULL)
        return "the top of the file";
    for (size_t i = 0; i < schema->count; i++) {
        const struct value *options = value_get(&schema->items[i], "options");
        if (options != NULL && find_option(options, name) != NULL) {
            struct bytes table = name_of(&schema->items[i]);
            snprintf(out, cap, "%.*s", (int)table.len, (const char *)table.data);
            return out;
        }
    }
    return NULL;
}

/* ---- What a value is, for people ---------------------------------------------------------------------------- */

static const char *described(const struct value *v, char *out, size_t cap)
{
    switch (v->kind) {
    case VALUE_NIL:
        snprintf(out, cap, "nil");
        break;
    case VALUE_BOOL:
        snprintf(out, cap, "%s", v->boolean ? "true" : "false");
        break;
    case VALUE_NUMBER:
        snprintf(out, cap, "the number %.15g", v->number);
        break;
    case VALUE_U64:
        snprintf(out, cap, "the number %" PRIu64, v->u64);
        break;
    case VALUE_BYTES: {
        size_t used = (size_t)snprintf(out, cap, "the text \"");
        for (size_t i = 0; i < v->bytes.len && used + 8 < cap && i < 80; i++) {
            uint8_t c = v->bytes.data[i];
            used +=
                (size_t)snprintf(out + used, cap - used, c < 32 || c > 126 ? "\\x%02x" : "%c", c);
        }
        snprintf(out + used, cap - used, "%s\"", v->bytes.len > 80 ? "..." : "");
        break;
    }
    case VALUE_LIST:
    case VALUE_MAP:
        snprintf(out, cap, "a table");
        break;
    }
    return out;
}

/* 5242880 as "5MiB". */
static const char *shown(uint64_t x, const struct measure *m, char out[UNITS_TEXT_MAX])
{
    uint64_t small;
    if (m->print != NULL && !__builtin_mul_overflow(x, m->base, &small))
        m->print(small, out);
    else
        snprintf(out, UNITS_TEXT_MAX, "%" PRIu64, x);
    return out;
}

/* ---- Numbers ------------------------------------------------------------------------------------------------ */

static struct measure measure_of(const struct value *option)
{
    struct bytes name = name_of(option);
    bool seconds = name.len > 2 && memcmp(name.data + name.len - 2, "_s", 2) == 0;
    if (is_type(option, "size"))
        return (
            struct measure){ "size", "'64MiB'", units_parse_bytes, units_print_bytes, 1, "bytes" };
    if (is_type(option, "duration"))
        return (struct measure){ "duration",
                                 "'500ms'",
                                 units_parse_ns,
                                 units_print_ns,
                                 seconds ? 1000000000 : 1000000,
                                 seconds ? "seconds" : "milliseconds" };
    return (struct measure){ "whole number", "3", NULL, NULL, 1, "" };
}

/* "64MiB" in units of the base. False, and what is wrong with it in `why`. */
static bool parse_text(struct bytes text, const struct measure *m, uint64_t *ret, char *why,
                       size_t cap)
{
    char copy[64], shortened[64];
    uint64_t n;
    struct err e = { 0 };
    snprintf(copy, sizeof copy, "%.*s", (int)text.len, (const char *)text.data);
    snprintf(shortened, sizeof shortened, "\"%.40s\" is ", copy);
    if (text.len > 0 && strspn(copy, "0123456789") == text.len && text.len < sizeof copy) {
        snprintf(why, cap, "has no unit; write a number without quotes, or one such as %s",
                 m->example);
        return false;
    }
    if (m->parse(copy, &n, &e) != ERR_OK) { /* its message begins with the text, as ours does */
        size_t skip = strncmp(e.msg, shortened, strlen(shortened)) == 0 ? strlen(shortened) : 0;
        snprintf(why, cap, "is %s", e.msg + skip);
        return false;
    }
    if (n % m->base != 0) {
        snprintf(why, cap, "is not a whole number of %s, the unit of this option", m->base_name);
        return false;
    }
    *ret = n / m->base;
    return true;
}

static bool parse_number(const struct value *v, const struct measure *m, uint64_t *ret, char *why,
                         size_t cap)
{
    if (v->kind == VALUE_U64) {
        *ret = v->u64;
        return true;
    }
    if (v->kind == VALUE_BYTES && m->parse != NULL)
        return parse_text(buf_bytes(&v->bytes), m, ret, why, cap);
    if (v->kind != VALUE_NUMBER) {
        snprintf(why, cap, "is no %s; write %s%s", m->what,
                 m->parse != NULL ? "a number or text with a unit, for example " : "for example ",
                 m->example);
        return false;
    }
    if (!(v->number >= 0 && v->number <= 9007199254740992.0) || v->number != floor(v->number)) {
        snprintf(why, cap, "is not a whole number from 0 to 2^53");
        return false;
    }
    *ret = (uint64_t)v->number;
    return true;
}

static bool bound(const struct value *option, const char *key, const struct measure *m,
                  uint64_t *ret)
{
    const struct value *v = value_get(option, key);
    char why[100];
    if (v == NULL)
        return false;
    bool ok = parse_number(v, m, ret, why, sizeof why);
    assert(ok); /* the schema is ours */
    return ok;
}

static bool check_number(struct checker *c, const char *path, const struct value *option,
                         const struct value *v, struct value *ret)
{
    struct measure m = measure_of(option);
    char is[120], why[200], limit[UNITS_TEXT_MAX], have[UNITS_TEXT_MAX];
    uint64_t n, min = 0, max = UINT64_MAX;
    if (!parse_number(v, &m, &n, why, sizeof why)) {
        config_report_add(c->report, path, "%s %s", described(v, is, sizeof is), why);
        return false;
    }
    if (bound(option, "min", &m, &min) && n < min) {
        config_report_add(c->report, path, "%s is too small; the least is %s", shown(n, &m, have),
                          shown(min, &m, limit));
        return false;
    }
    if (bound(option, "max", &m, &max) && n > max) {
        config_report_add(c->report, path, "%s is too large; the most is %s", shown(n, &m, have),
                          shown(max, &m, limit));
        return false;
    }
    value_put_u64(ret, n);
    return true;
}

/* ---- Texts -------------------------------------------------------------------------------------------------- */

/* What is wrong with an address, or NULL. */
static const char *address_fault(const char *text)
{
    if (strncmp(text, "unix:", 5) == 0) {
        if (text[5] == '\0')
            return "has no path; write 'unix:/path/to/socket'";
        return strlen(text + 5) > UNIX_PATH_MAX
                   ? "has a path of more than 107 bytes, the longest of a Unix socket"
                   : NULL;
    }
    const char *colon = strrchr(text, ':');
    const char *close = strrchr(text, ']');
    if (colon == NULL || (close != NULL && colon < close))
        return "has no port; write for example '127.0.0.1:7700'";
    char host[64];
    size_t len = (size_t)(colon - text);
    bool six = text[0] == '[' && len > 1 && text[len - 1] == ']';
    if (six)
        snprintf(host, sizeof host, "%.*s", (int)(len - 2), text + 1);
    else
        snprintf(host, sizeof host, "%.*s", (int)len, text);
    struct in6_addr address;
    if (len >= sizeof host || inet_pton(six ? AF_INET6 : AF_INET, host, &address) != 1) {
        if (!six && inet_pton(AF_INET6, host, &address) == 1)
            return "is IPv6 without brackets; write for example '[::1]:7700'";
        return "has no IP address before the port; write for example '127.0.0.1:7700'";
    }
    const char *port = colon + 1;
    size_t digits = strspn(port, "0123456789");
    if (digits == 0 || port[digits] != '\0' || digits > 5 || atoi(port) > 65535)
        return "has no port from 0 to 65535; write for example '127.0.0.1:7700'";
    return NULL;
}

static bool is_choice(const struct value *choices, const char *text)
{
    struct names words;
    names_of(choices, &words);
    for (size_t i = 0; i < words.count; i++)
        if (strcmp(words.text[i], text) == 0)
            return true;
    return false;
}

static bool check_choices(struct checker *c, const char *path, const struct value *choices,
                          const char *text)
{
    if (is_choice(choices, text))
        return true;
    struct names words;
    names_of(choices, &words);
    char all[300];
    const char *meant = nearest(text, words.at, words.count);
    config_report_add(c->report, path, "\"%s\" is not one of %s%s%s%s", text,
                      joined(&words, all, sizeof all), meant != NULL ? "; did you mean \"" : "",
                      meant != NULL ? meant : "", meant != NULL ? "\"?" : "");
    return false;
}

static void report_empty(struct checker *c, const char *path, const struct value *option)
{
    struct bytes instead = value_get_bytes(option, "default", BYTES(""));
    config_report_add(c->report, path, "is empty; leave it out for the default, \"%.*s\"",
                      (int)instead.len, (const char *)instead.data);
}

static bool check_text(struct checker *c, const char *path, const struct value *option,
                       const struct value *v, struct value *ret)
{
    char is[160];
    described(v, is, sizeof is);
    if (v->kind != VALUE_BYTES) {
        config_report_add(c->report, path, "%s is no text; put it in quotes", is);
        return false;
    }
    struct bytes text = buf_bytes(&v->bytes);
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] < 32) {
            config_report_add(c->report, path, "%s has a control character in it", is);
            return false;
        }
    if (text.len > 1000) {
        config_report_add(c->report, path, "%s has %zu bytes; the most is 1000", is, text.len);
        return false;
    }
    char copy[1001];
    snprintf(copy, sizeof copy, "%.*s", (int)text.len, (const char *)text.data);
    const struct value *choices = value_get(option, "choices");
    bool may_be_empty = value_get(option, "empty") != NULL;
    if (text.len == 0 && !may_be_empty) {
        report_empty(c, path, option);
        return false;
    }
    if (text.len > 0 && is_type(option, "address")) {
        const char *fault = address_fault(copy);
        if (fault != NULL && !is_choice(choices, copy)) {
            config_report_add(c->report, path, "\"%s\" %s", copy, fault);
            return false;
        }
    } else if (text.len > 0 && choices != NULL && !check_choices(c, path, choices, copy)) {
        return false;
    }
    value_put_bytes(ret, text);
    return true;
}

/* ---- The tree ----------------------------------------------------------------------------------------------- */

static void join_path(char *out, const char *path, struct bytes name)
{
    snprintf(out, CONFIG_PATH_MAX, "%s%s%.*s", path, path[0] != '\0' ? "." : "", (int)name.len,
             (const char *)name.data);
}

static void check_table(struct checker *c, const char *path, const struct value *options,
                        const struct value *given, struct value *ret);

/* What stands where a table of options should. */
static void check_given_table(struct checker *c, const char *path, const struct value *options,
                              const struct value *v, struct value *ret)
{
    char is[160];
    if (v == NULL || v->kind == VALUE_MAP || (v->kind == VALUE_LIST && v->count == 0)) {
        check_table(c, path, options, v, ret);
        return;
    }
    config_report_add(c->report, path, "%s is no table of options; write %s%s{ ... }",
                      v->kind == VALUE_LIST ? "a list" : described(v, is, sizeof is),
                      strchr(path, '[') == NULL ? path : "",
                      strchr(path, '[') == NULL ? " = " : "");
}

static void check_list(struct checker *c, const char *path, const struct value *option,
                       const struct value *v, struct value *ret)
{
    char is[160], full[CONFIG_PATH_MAX];
    size_t most = (size_t)value_get_u64(option, "max", SIZE_MAX);
    bool given = v != NULL && !(v->kind == VALUE_MAP && v->count == 0); /* {}: no items */
    value_put_list(ret);
    if (given && v->kind != VALUE_LIST) {
        config_report_add(c->report, path, "%s is no list; write %s = { { ... }, { ... } }",
                          v->kind == VALUE_MAP ? "a table with names" : described(v, is, sizeof is),
                          path);
        return;
    }
    if (given && v->count > most) {
        config_report_add(c->report, path, "has %zu items; the most is %zu", v->count, most);
        return;
    }
    for (size_t i = 0; given && i < v->count; i++) {
        snprintf(full, sizeof full, "%s[%zu]", path, i + 1);
        check_given_table(c, full, value_get(option, "options"), &v->items[i], value_add(ret));
    }
}

static bool short_text(struct bytes text)
{
    return text.len <= VALUES_TEXT_MAX && (text.len == 0 || memchr(text.data, 0, text.len) == NULL);
}

/* One of the values: a number, a boolean, or a short text. */
static void check_value(struct checker *c, const char *path, const struct value *v,
                        struct value *ret)
{
    char is[160];
    described(v, is, sizeof is);
    if (v->kind == VALUE_NUMBER && !isfinite(v->number))
        config_report_add(c->report, path, "%s is not finite", is);
    else if (v->kind == VALUE_BYTES && !short_text(buf_bytes(&v->bytes)))
        config_report_add(c->report, path, "%s has more than %d bytes, or a NUL in it", is,
                          VALUES_TEXT_MAX);
    else if (v->kind != VALUE_NUMBER && v->kind != VALUE_BOOL && v->kind != VALUE_BYTES)
        config_report_add(c->report, path, "%s is neither number, boolean nor text", is);
    else
        value_put_copy(ret, v);
}

/* A name that nobody knows here: only that it is one. */
static bool check_free_name(struct checker *c, const char *path, struct bytes name)
{
    bool good = name.len > 0 && name.len <= VALUES_NAME_MAX;
    for (size_t i = 0; good && i < name.len; i++)
        good = isalnum(name.data[i]) || name.data[i] == '_' || name.data[i] == '-';
    if (!good)
        config_report_add(
            c->report, path, "\"%.*s\" is no name; it has 1 to %d letters, digits, _ and -",
            (int)(name.len < 40 ? name.len : 40), (const char *)name.data, VALUES_NAME_MAX);
    return good;
}

/* { script = { name = value } }. `depth` levels of names stand above the values. */
static void check_values(struct checker *c, const char *path, const struct value *v, int depth,
                         struct value *ret)
{
    char is[160], full[CONFIG_PATH_MAX];
    value_put_map(ret);
    if (v == NULL || (v->kind == VALUE_LIST && v->count == 0))
        return; /* {} */
    if (v->kind != VALUE_MAP) {
        config_report_add(c->report, path, "%s is no table of names; write { name = ... }",
                          v->kind == VALUE_LIST ? "a list" : described(v, is, sizeof is));
        return;
    }
    for (size_t i = 0; i < v->count; i++) {
        struct bytes name = buf_bytes(&v->keys[i]);
        if (!check_free_name(c, path, name))
            continue;
        join_path(full, path, name);
        struct value *to = value_set_bytes(ret, name);
        if (depth > 1)
            check_values(c, full, &v->items[i], depth - 1, to);
        else
            check_value(c, full, &v->items[i], to);
    }
}

static void check_all_values(struct checker *c, const char *path, const struct value *option,
                             const struct value *v, struct value *ret)
{
    size_t count = 0, most = (size_t)value_get_u64(option, "max", SIZE_MAX);
    check_values(c, path, v, 2, ret);
    for (size_t i = 0; i < ret->count; i++)
        count += ret->items[i].count;
    if (count > most)
        config_report_add(c->report, path, "has %zu values; the most is %zu", count, most);
}

static void check_option(struct checker *c, const char *path, const struct value *option,
                         const struct value *v, struct value *ret)
{
    char is[160];
    if (is_type(option, "list")) {
        check_list(c, path, option, v, ret);
        return;
    }
    if (is_type(option, "values")) {
        check_all_values(c, path, option, v, ret);
        return;
    }
    if (is_type(option, "table")) {
        check_given_table(c, path, value_get(option, "options"), v, ret);
        return;
    }
    if (v == NULL)
        v = value_get(option, "default");
    if (v == NULL) { /* of an item: each must say it */
        config_report_add(c->report, path, "is not set");
        return;
    }
    if (is_type(option, "boolean")) {
        if (v->kind == VALUE_BOOL)
            value_put_bool(ret, v->boolean);
        else
            config_report_add(c->report, path, "%s is neither true nor false",
                              described(v, is, sizeof is));
    } else if (is_type(option, "text") || is_type(option, "path") || is_type(option, "address")) {
        (void)check_text(c, path, option, v, ret);
    } else {
        (void)check_number(c, path, option, v, ret);
    }
}

static void report_unknown(struct checker *c, const char *path, const struct value *options,
                           struct bytes name)
{
    char full[CONFIG_PATH_MAX], word[64], home[64], all[500];
    join_path(full, path, name);
    snprintf(word, sizeof word, "%.*s", (int)name.len, (const char *)name.data);
    struct names known;
    names_of(options, &known);
    const char *place = home_of(c->schema, name, home, sizeof home);
    const char *meant = nearest(word, known.at, known.count);
    if (place != NULL)
        config_report_add(c->report, full, "there is no such option here; it belongs into %s",
                          place);
    else if (meant != NULL)
        config_report_add(c->report, full, "there is no such option; did you mean \"%s\"?", meant);
    else
        config_report_add(c->report, full, "there is no such option; %s has %s",
                          path[0] != '\0' ? path : "a config", joined(&known, all, sizeof all));
}

static void check_table(struct checker *c, const char *path, const struct value *options,
                        const struct value *given, struct value *ret)
{
    bool is_map = given != NULL && given->kind == VALUE_MAP;
    for (size_t i = 0; is_map && i < given->count; i++)
        if (find_option(options, buf_bytes(&given->keys[i])) == NULL)
            report_unknown(c, path, options, buf_bytes(&given->keys[i]));
    value_put_map(ret);
    for (size_t i = 0; i < options->count; i++) {
        const struct value *option = &options->items[i];
        char full[CONFIG_PATH_MAX], name[CONFIG_PATH_MAX];
        join_path(full, path, name_of(option));
        join_path(name, "", name_of(option));
        check_option(c, full, option, is_map ? value_get(given, name) : NULL, value_set(ret, name));
    }
}

err_t config_schema_apply(const struct value *schema, const struct value *given,
                          struct config_report *report, struct value **ret, struct err *e)
{
    struct checker c = { report, schema };
    for (size_t i = 0; report->lines != NULL && i < report->lines->count; i++) {
        const struct config_line *l = &report->lines->items[i];
        if (l->before > 0)
            config_report_add(report, l->path, "is set twice, first in line %u; remove one of them",
                              l->before);
    }
    struct value *tree = value_new(VALUE_NIL);
    if (given->kind == VALUE_LIST && given->count > 0)
        config_report_add(report, "", "a config is a table of names, name = value; this is a list");
    else
        check_table(&c, "", schema, given, tree);
    if (report->count == 0) {
        *ret = tree;
        return ERR_OK;
    }
    value_free(tree);
    const char *text = (const char *)report->text.data;
    const char *end = memchr(text, '\n', report->text.len);
    char more[40] = "";
    if (report->count > 1)
        snprintf(more, sizeof more, " (and %u more)", report->count - 1);
    return err_set(e, ERR_INVALID_ARGUMENT, "%.*s%s", (int)(end - text), text, more);
}
