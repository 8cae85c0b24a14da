#include "lint.h"

#include <ctype.h>
#include <stdio.h>

#include "sandbox.h"

enum { DECLARED_MAX = 1024, NESTING_MAX = 200 };

enum kind { END, NAME, WORD /* keyword */, OTHER };
struct token {
    enum kind kind;
    struct bytes text;
    unsigned line;
};
struct lexer {
    const uint8_t *at, *end;
    unsigned line;
};

/* ---- Tokens -------------------------------------------------------------------------------- */

/* At "[", "[=", ...: the level of a long bracket, or -1. */
static int long_bracket(const struct lexer *l)
{
    const uint8_t *p = l->at;
    int level = 0;
    if (p >= l->end || *p++ != '[')
        return -1;
    for (; p < l->end && *p == '='; p++)
        level++;
    return p < l->end && *p == '[' ? level : -1;
}

static void skip_long(struct lexer *l, int level)
{
    for (l->at += level + 2; l->at < l->end; l->at++) {
        l->line += *l->at == '\n';
        if (*l->at != ']')
            continue;
        const uint8_t *p = l->at + 1;
        int n = 0;
        for (; p < l->end && *p == '='; p++)
            n++;
        if (n == level && p < l->end && *p == ']') {
            l->at = p + 1;
            return;
        }
    }
}

static void skip_quoted(struct lexer *l)
{
    uint8_t quote = *l->at++;
    while (l->at < l->end && *l->at != quote) {
        l->line += *l->at == '\n';
        if (*l->at == '\\' && l->at + 1 < l->end) {
            l->at++;
            l->line += *l->at == '\n';
        }
        l->at++;
    }
    l->at += l->at < l->end;
}

static void skip_space(struct lexer *l)
{
    while (l->at < l->end) {
        if (isspace(*l->at)) {
            l->line += *l->at == '\n';
            l->at++;
        } else if (l->end - l->at >= 2 && l->at[0] == '-' && l->at[1] == '-') {
            l->at += 2;
            int level = long_bracket(l);
            if (level >= 0)
                skip_long(l, level);
            else
                while (l->at < l->end && *l->at != '\n')
                    l->at++;
        } else {
            return;
        }
    }
}

static bool is_keyword(struct bytes name)
{
    static const char *const words[] = { "and",   "break", "do",       "else",   "elseif", "end",
                                         "false", "for",   "function", "if",     "in",     "local",
                                         "nil",   "not",   "or",       "repeat", "return", "then",
                                         "true",  "until", "while" };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (bytes_equal(name, BYTES(words[i])))
            return true;
    return false;
}

static struct token next_token(struct lexer *l)
{
    skip_space(l);
    struct token t = { END, { l->at, 0 }, l->line };
    if (l->at >= l->end)
        return t;
    const uint8_t *begin = l->at;
    if (isalpha(*l->at) || *l->at == '_' || *l->at >= 0x80) {
        while (l->at < l->end && (isalnum(*l->at) || *l->at == '_' || *l->at >= 0x80))
            l->at++;
        t.text = bytes_from(begin, (size_t)(l->at - begin));
        t.kind = is_keyword(t.text) ? WORD : NAME;
        return t;
    }
    t.kind = OTHER;
    if (isdigit(
            *l->at)) { /* the dot of "1.5" is part of the number, the ones of "1 .. x" are not */
        while (l->at < l->end &&
               (isalnum(*l->at) || (*l->at == '.' && !(l->at + 1 < l->end && l->at[1] == '.'))))
            l->at++;
    } else if (*l->at == '"' || *l->at == '\'') {
        skip_quoted(l);
    } else if (long_bracket(l) >= 0) {
        skip_long(l, long_bracket(l));
    } else {
        static const char *const longer[] = { "...", "..", "==", "~=", "<=", ">=", "::" };
        size_t n = 1;
        for (size_t i = 0; i < sizeof longer / sizeof longer[0] && n == 1; i++)
            if (bytes_starts_with(bytes_from(begin, (size_t)(l->end - begin)), BYTES(longer[i])))
                n = strlen(longer[i]);
        l->at += n;
    }
    t.text = bytes_from(begin, (size_t)(l->at - begin));
    return t;
}

static bool is(const struct token *t, const char *text)
{
    return t->kind != END && bytes_equal(t->text, BYTES(text));
}

/* ---- Declarations, then uses --------------------------------------------------------------- */

struct names {
    struct bytes name[DECLARED_MAX];
    size_t count;
};

static bool known(const struct names *names, struct bytes name)
{
    for (size_t i = 0; i < names->count; i++)
        if (bytes_equal(names->name[i], name))
            return true;
    return false;
}

static void declare(struct names *names, const struct token *t)
{
    if (t->kind == NAME && !known(names, t->text) && names->count < DECLARED_MAX)
        names->name[names->count++] = t->text;
}

/* The list of names behind `local` or `for`: ends at the first thing that is neither name nor comma. */
static struct token declare_list(struct lexer *l, struct names *names)
{
    struct token t = next_token(l);
    while (t.kind == NAME) {
        declare(names, &t);
        t = next_token(l);
        if (is(&t, ","))
            t = next_token(l);
    }
    return t;
}

static void declare_all(struct bytes text, struct names *names)
{
    struct lexer l = { text.data, text.data + text.len, 1 };
    struct token t = next_token(&l);
    while (t.kind != END) {
        if (is(&t, "local")) {
            t = next_token(&l);
            if (is(&t, "function")) {
                struct token name = next_token(&l);
                declare(names, &name);
                continue; /* `t` is still "function": its parameters come next */
            }
            declare(names, &t);
            t = t.kind == NAME ? next_token(&l) : t;
            if (is(&t, ","))
                t = declare_list(&l, names);
        } else if (is(&t, "for")) {
            t = declare_list(&l, names);
        } else if (is(&t, "function")) { /* a.b:c (parameters) */
            do
                t = next_token(&l);
            while (t.kind != END && !is(&t, "("));
            t = declare_list(&l, names);
        } else {
            t = next_token(&l);
        }
    }
}

bool script_lint(struct bytes text, struct script_finding *ret)
{
    struct names names = { .count = 0 };
    struct lexer l = { text.data, text.data + text.len, 1 };
    char open[NESTING_MAX];
    size_t depth = 0;
    declare_all(text, &names);
    struct token before = { OTHER, BYTES(";"), 1 }, t = next_token(&l), after;
    for (; t.kind != END; before = t, t = after) {
        after = next_token(&l);
        char c = t.kind == OTHER ? (char)t.text.data[0] : '\0';
        if ((c == '{' || c == '(' || (c == '[' && t.text.len == 1)) && depth < NESTING_MAX)
            open[depth++] = c;
        else if ((c == '}' || c == ')' || c == ']') && depth > 0)
            depth--;
        bool field =
            is(&before, ".") || is(&before, ":") || is(&before, "goto") || is(&before, "::");
        bool key = depth > 0 && open[depth - 1] == '{' && is(&after, "=") &&
                   (is(&before, "{") || is(&before, ",") || is(&before, ";"));
        if (t.kind != NAME || field || key || known(&names, t.text) ||
            script_sandbox_global(t.text) || is(&t, "self") || is(&t, "goto"))
            continue;
        snprintf(ret->name, sizeof ret->name, "%.*s", (int)t.text.len, (const char *)t.text.data);
        ret->line = t.line;
        return true;
    }
    return false;
}
