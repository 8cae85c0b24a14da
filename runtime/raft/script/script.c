/* The text: stanzas of commands (script.h). */
#include "script.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

static void bad(unsigned line, const char *what)
{
    fprintf(stderr, "raft_script: line %u: %s\n", line, what);
    exit(2);
}

/* The line at `at` without its end; `at` moves behind it. */
static struct bytes take_line(const char **at, unsigned *line)
{
    const char *end = strchr(*at, '\n');
    struct bytes text = bytes_from(*at, end != NULL ? (size_t)(end - *at) : strlen(*at));
    *at = end != NULL ? end + 1 : *at + text.len;
    ++*line;
    return text;
}

static bool blank(struct bytes text)
{
    for (size_t i = 0; i < text.len; i++)
        if (!isspace(text.data[i]))
            return false;
    return true;
}

static bool comment(struct bytes text)
{
    size_t i = 0;
    while (i < text.len && isspace(text.data[i]))
        i++;
    return i < text.len && text.data[i] == '#';
}

static char *trimmed(struct buf *b)
{
    size_t from = 0, to = b->len;
    while (from < to && isspace(b->data[from]))
        from++;
    while (to > from && isspace(b->data[to - 1]))
        to--;
    return strndup(b->data != NULL ? (char *)b->data + from : "", to - from);
}

static void add_value(struct script_arg *arg, const char *text, size_t len, unsigned line)
{
    if (arg->count == VALUES_MAX || len >= sizeof arg->value[0])
        bad(line, "too long a value");
    memcpy(arg->value[arg->count], text, len);
    arg->value[arg->count++][len] = '\0';
}

/* (a, b, c): `at` stands behind the opening parenthesis. */
static const char *take_list(struct script_arg *arg, const char *at, unsigned line)
{
    for (;;) {
        while (*at == ' ')
            at++;
        size_t len = strcspn(at, ",)");
        if (at[len] == '\0')
            bad(line, "a list without its end");
        add_value(arg, at, len, line);
        at += len + 1;
        if (at[-1] == ')')
            return at;
    }
}

static void parse_command(const char *at, struct script_cmd *cmd)
{
    size_t len = strcspn(at, " ");
    if (len >= sizeof cmd->name)
        bad(cmd->line, "too long a command");
    memcpy(cmd->name, at, len);
    cmd->name[len] = '\0';
    for (at += len; at[strspn(at, " ")] != '\0';) {
        at += strspn(at, " ");
        if (cmd->nargs == ARGS_MAX)
            bad(cmd->line, "too many arguments");
        struct script_arg *arg = &cmd->args[cmd->nargs++];
        memset(arg, 0, sizeof *arg);
        len = strcspn(at, " =");
        if (len >= sizeof arg->key)
            bad(cmd->line, "too long a key");
        memcpy(arg->key, at, len);
        at += len;
        if (*at != '=')
            continue;
        at++;
        if (*at == '(') {
            at = take_list(arg, at + 1, cmd->line);
        } else {
            len = strcspn(at, " ");
            add_value(arg, at, len, cmd->line);
            at += len;
        }
    }
}

static void echo_line(struct buf *echo, struct bytes text)
{
    say(echo, "%.*s\n", (int)text.len, (const char *)text.data);
}

bool script_next(const char **at, unsigned *line, struct buf *echo, struct script_cmd *cmd)
{
    struct buf command = { 0 }, input = { 0 }, expected = { 0 };
    struct bytes text;
    *cmd = (struct script_cmd){ 0 };
    for (;;) {
        if (**at == '\0')
            return false;
        text = take_line(at, line);
        echo_line(echo, text);
        if (!blank(text) && !comment(text))
            break;
    }
    cmd->line = *line;
    for (;;
         text = take_line(at, line), echo_line(echo, text)) { /* a trailing \ continues the line */
        bool more = text.len > 0 && text.data[text.len - 1] == '\\';
        say(&command, "%.*s", (int)(text.len - more), (const char *)text.data);
        if (!more)
            break;
    }
    for (;;) {
        if (**at == '\0')
            bad(*line, "a command without ----");
        text = take_line(at, line);
        if (bytes_equal(text, BYTES("----")))
            break;
        echo_line(echo, text);
        say(&input, "%.*s\n", (int)text.len, (const char *)text.data);
    }
    say(echo, "----\n");
    while (**at != '\0') {
        const char *before = *at;
        text = take_line(at, line);
        if (text.len == 0) {
            *at = before; /* the blank line belongs to what follows */
            --*line;
            break;
        }
        say(&expected, "%.*s\n", (int)text.len, (const char *)text.data);
    }
    char *trimmed_command = trimmed(&command);
    parse_command(trimmed_command, cmd);
    free(trimmed_command);
    cmd->input = trimmed(&input);
    cmd->expected = strndup(expected.data != NULL ? (char *)expected.data : "", expected.len);
    buf_free(&command);
    buf_free(&input);
    buf_free(&expected);
    return true;
}

void script_cmd_free(struct script_cmd *cmd)
{
    free(cmd->input);
    free(cmd->expected);
}

const struct script_arg *script_arg(const struct script_cmd *cmd, const char *key)
{
    for (unsigned i = 0; i < cmd->nargs; i++)
        if (strcmp(cmd->args[i].key, key) == 0)
            return &cmd->args[i];
    return NULL;
}

const char *script_value(const struct script_cmd *cmd, const char *key, const char *otherwise)
{
    const struct script_arg *arg = script_arg(cmd, key);
    return arg != NULL && arg->count > 0 ? arg->value[0] : otherwise;
}

unsigned long script_number(const struct script_cmd *cmd, const char *key, unsigned long otherwise)
{
    const char *text = script_value(cmd, key, NULL);
    return text != NULL ? strtoul(text, NULL, 10) : otherwise;
}

bool script_flag(const struct script_cmd *cmd, const char *key)
{
    const struct script_arg *arg = script_arg(cmd, key);
    return arg != NULL && (arg->count == 0 || strcmp(arg->value[0], "true") == 0);
}
