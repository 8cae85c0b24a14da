/* A scanner for the lines of a config file: just enough of Lua to follow `return { a = { b = 1 } }`. */
#include "config_lines.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

enum token { END, NAME, STRING, OPEN, CLOSE, ASSIGN, SEPARATOR, OTHER };

struct scanner {
    const char *at, *end;
    uint32_t line;
    struct config_lines *found;
    /* of the last token */
    enum token kind;
    char symbol;
    char text[64]; /* a name, or a short string without escapes; "" if it is another */
    uint32_t token_line;
};

static char peek(const struct scanner *s, size_t ahead)
{
    return (size_t)(s->end - s->at) > ahead ? s->at[ahead] : '\0';
}

static void step(struct scanner *s)
{
    if (*s->at == '\n')
        s->line++;
    s->at++;
}

/* At "[[", "[=[", ...: the level. -1: no long bracket. */
static int long_level(const struct scanner *s)
{
    if (peek(s, 0) != '[')
        return -1;
    size_t n = 1;
    while (peek(s, n) == '=')
        n++;
    return peek(s, n) == '[' ? (int)n - 1 : -1;
}

static void skip_long(struct scanner *s, int level)
{
    for (int i = 0; i < level + 2; i++)
        step(s);
    while (s->at < s->end) {
        if (*s->at == ']') {
            int n = 1;
            while (peek(s, (size_t)n) == '=')
                n++;
            if (n == level + 1 && peek(s, (size_t)n) == ']') {
                s->at += n + 1;
                return;
            }
        }
        step(s);
    }
}

static void skip_blank(struct scanner *s)
{
    while (s->at < s->end) {
        if (isspace((unsigned char)*s->at)) {
            step(s);
        } else if (peek(s, 0) == '-' && peek(s, 1) == '-') {
            s->at += 2;
            int level = long_level(s);
            if (level >= 0) {
                skip_long(s, level);
                continue;
            }
            while (s->at < s->end && *s->at != '\n')
                s->at++;
        } else {
            return;
        }
    }
}

static void keep(struct scanner *s, const char *from, size_t len)
{
    s->text[0] = '\0';
    if (len < sizeof s->text && memchr(from, '\\', len) == NULL && memchr(from, '.', len) == NULL &&
        memchr(from, '\0', len) == NULL)
        snprintf(s->text, sizeof s->text, "%.*s", (int)len, from);
}

static void take_string(struct scanner *s, char quote)
{
    const char *from = ++s->at;
    while (s->at < s->end && *s->at != quote) {
        if (*s->at == '\\' && s->at + 1 < s->end)
            step(s);
        step(s);
    }
    keep(s, from, (size_t)(s->at - from));
    if (s->at < s->end)
        s->at++;
    s->kind = STRING;
}

static void next(struct scanner *s)
{
    skip_blank(s);
    s->token_line = s->line;
    s->text[0] = '\0';
    if (s->at >= s->end) {
        s->kind = END;
        return;
    }
    char c = s->symbol = *s->at;
    int level = long_level(s);
    if (isalpha((unsigned char)c) || c == '_') {
        const char *from = s->at;
        while (s->at < s->end && (isalnum((unsigned char)*s->at) || *s->at == '_'))
            s->at++;
        keep(s, from, (size_t)(s->at - from));
        s->kind = NAME;
    } else if (c == '\'' || c == '"') {
        take_string(s, c);
    } else if (level >= 0) {
        skip_long(s, level);
        s->kind = STRING;
    } else {
        s->at++;
        bool compares = strchr("=<>~", c) != NULL && peek(s, 0) == '=';
        if (compares)
            s->at++;
        s->kind = compares                   ? OTHER
                  : strchr("{([", c) != NULL ? OPEN
                  : strchr("})]", c) != NULL ? CLOSE
                  : c == '='                 ? ASSIGN
                  : c == ',' || c == ';'     ? SEPARATOR
                                             : OTHER;
    }
}

/* Skips what is left of a value: up to the separator or the bracket that ends it, which stays the last token. */
static void skip_value(struct scanner *s)
{
    unsigned depth = 0;
    while (s->kind != END) {
        if (s->kind == OPEN)
            depth++;
        else if (s->kind == CLOSE && depth-- == 0)
            return;
        else if (s->kind == SEPARATOR && depth == 0)
            return;
        next(s);
    }
}

static void add(struct scanner *s, const char *path, uint32_t line, size_t table_from)
{
    struct config_lines *f = s->found;
    if (f->count == CONFIG_LINES_MAX)
        return;
    uint32_t before = 0;
    for (size_t i = table_from; i < f->count; i++)
        if (strcmp(f->items[i].path, path) == 0)
            before = f->items[i].line;
    if (f->count == f->cap) {
        size_t cap = f->cap == 0 ? 64 : f->cap * 2;
        struct config_line *more = realloc(f->items, cap * sizeof *more);
        if (more == NULL)
            return;
        f->items = more;
        f->cap = cap;
    }
    struct config_line *l = &f->items[f->count++];
    *l = (struct config_line){ .line = line, .before = before };
    snprintf(l->path, sizeof l->path, "%s", path);
}

/* The path of the field `key`, or of the item with that number. False: it has none, or too long a one. */
static bool name_field(char out[CONFIG_PATH_MAX], const char *path, const char *key, unsigned item)
{
    const char *dot = path[0] != '\0' ? "." : "";
    int n = key[0] == '\0' ? snprintf(out, CONFIG_PATH_MAX, "%s[%u]", path, item)
                           : snprintf(out, CONFIG_PATH_MAX, "%s%s%s", path, dot, key);
    return (key[0] != '\0' || item > 0) && n < CONFIG_PATH_MAX;
}

/* After "{": the fields up to "}", which stays the last token. */
static void scan_table(struct scanner *s, const char *path, unsigned depth)
{
    size_t table_from = s->found->count;
    unsigned items = 0;
    next(s);
    while (s->kind != END && s->kind != CLOSE) {
        char key[sizeof s->text] = "", full[CONFIG_PATH_MAX];
        uint32_t line = s->token_line;
        bool table = s->kind == OPEN && s->symbol == '{', bracket = false;
        if (s->kind == NAME) { /* name =, or a positional value that begins with a name */
            memcpy(key, s->text, sizeof key);
            next(s);
            if (s->kind != ASSIGN)
                key[0] = '\0';
        } else if (s->kind == OPEN && s->symbol == '[') { /* ['name'] = */
            bracket = true;
            next(s);
            if (s->kind == STRING)
                memcpy(key, s->text, sizeof key);
            skip_value(s);
            next(s);
        }
        if (key[0] == '\0' && !bracket)
            items++;
        bool named = name_field(full, path, key, table ? items : 0);
        if (named)
            add(s, full, line, table_from);
        if (s->kind == ASSIGN)
            next(s);
        if (named && depth < CONFIG_DEPTH_MAX && s->kind == OPEN && s->symbol == '{') {
            scan_table(s, full, depth + 1);
            next(s);
        }
        skip_value(s);
        if (s->kind == SEPARATOR)
            next(s);
    }
}

void config_lines_scan(struct config_lines *ret, struct bytes text)
{
    *ret = (struct config_lines){ 0 };
    struct scanner s = {
        .at = (const char *)text.data,
        .end = (const char *)text.data + text.len,
        .line = 1,
        .found = ret,
    };
    if (text.len == 0)
        return;
    next(&s);
    while (s.kind != END) {
        bool returns = s.kind == NAME && strcmp(s.text, "return") == 0;
        next(&s);
        if (returns && s.kind == OPEN && s.symbol == '{') {
            config_lines_free(ret); /* the last one is the file's own */
            scan_table(&s, "", 0);
        }
    }
}

uint32_t config_lines_find(const struct config_lines *lines, const char *path)
{
    uint32_t line = 0;
    for (size_t i = 0; i < lines->count; i++)
        if (strcmp(lines->items[i].path, path) == 0)
            line = lines->items[i].line;
    return line;
}

void config_lines_free(struct config_lines *lines)
{
    free(lines->items);
    *lines = (struct config_lines){ 0 };
}
