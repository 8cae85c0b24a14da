/* flotilla console: a Lua prompt on a running node.
 *
 *      line ──> statement so far ──eval──> node      incomplete: one more line
 *                                     <──────        output: printed, values in the chosen format
 *                                                    error: the text, with its line and traceback
 *
 * The node keeps one Lua state for this connection; nothing of Lua is here. Ctrl-C while a statement runs ends it on
 * the node, at the prompt it forgets the line. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/nearest.h"
#include "cli.h"
#include "client/console.h"
#include "editor.h"

enum { TIMEOUT_MS = 24 * 3600 * 1000 }; /* the node's budget ends a statement, not we */

struct console {
    struct cli *cli;
    const char *format;
    bool timing;
    struct buf statement; /* the lines of an unfinished statement */
    volatile sig_atomic_t *interrupted;
};

static const char *const formats[] = { "table", "json", "lua" };

static void append(struct buf *b, struct bytes text)
{
    if (buf_append(b, text) != ERR_OK) {
        fprintf(stderr, "flotilla: out of memory\n");
        exit(CLI_FAILED);
    }
}

/* ---- One statement ------------------------------------------------------------------------------------------ */

enum outcome { DONE, INCOMPLETE, FAILED, LOST };

static void say(FILE *out, const char *text, size_t len)
{
    if (len == 0)
        return;
    fwrite(text, 1, len, out);
    if (text[len - 1] != '\n')
        fputc('\n', out);
}

/* Runs what is gathered. On INCOMPLETE it stays, else it is forgotten. */
static enum outcome run(struct console *c, int *code)
{
    struct cli *cli = c->cli;
    struct flotilla_output output = { 0 };
    struct flotilla_error error = { 0 };
    append(&c->statement, bytes_from("", 1));
    c->statement.len--;
    *c->interrupted = 0;
    int rc = flotilla_console_eval(cli->db, (char *)c->statement.data, c->format, 0, c->interrupted,
                                   &output, &error);
    *c->interrupted = 0; /* that Ctrl-C has done its work */
    *code = CLI_OK;
    enum outcome outcome = DONE;
    if (rc == FLOTILLA_OK && output.incomplete) {
        flotilla_free(output.text);
        return INCOMPLETE;
    }
    if (output.text != NULL)
        say(cli->out, output.text, output.len);
    fflush(cli->out);
    if (rc == FLOTILLA_UNDETERMINED || rc == FLOTILLA_UNAVAILABLE ||
        rc == FLOTILLA_DEADLINE_EXCEEDED) {
        *code = cli_error(cli, &error);
        outcome = LOST;
    } else if (rc == FLOTILLA_CANCELLED) {
        fprintf(cli->err, "cancelled\n");
        *code = CLI_INTERRUPTED;
        outcome = FAILED;
    } else if (rc != FLOTILLA_OK) {
        say(cli->err, error.message, strlen(error.message));
        *code = rc == FLOTILLA_INVALID_ARGUMENT || rc == FLOTILLA_RESOURCE_EXHAUSTED ||
                        rc == FLOTILLA_ABORTED
                    ? CLI_NO
                    : CLI_FAILED;
        outcome = FAILED;
    }
    if (c->timing)
        fprintf(cli->err, "%.3f ms, %llu instructions\n", (double)output.elapsed_us / 1000,
                (unsigned long long)output.instructions);
    flotilla_free(output.text);
    buf_clear(&c->statement);
    return outcome;
}

/* ---- Colon commands ----------------------------------------------------------------------------------------- */

static void colon_help(struct console *c)
{
    fputs(
        "A line is Lua, evaluated on the node; an expression shows its value.\n"
        "  help()              what the node offers here\n"
        "  :format FORMAT      show values as table, lua or json\n"
        "  :timing             show how long statements take: on and off\n"
        "  :help               this\n"
        "  :quit               leave (or Ctrl-D)\n"
        "TAB completes. An unfinished statement goes on in the next line. Ctrl-C ends what runs, or forgets what\n"
        "is typed.\n",
        c->cli->out);
}

static void colon_format(struct console *c, const char *argument)
{
    for (size_t i = 0; i < 3; i++)
        if (strcmp(argument, formats[i]) == 0) {
            c->format = formats[i];
            return;
        }
    fprintf(c->cli->err, "the format is %s; :format takes table, lua or json\n", c->format);
}

/* True: leave. */
static bool colon(struct console *c, const char *line)
{
    static const char *const names[] = { "format", "timing", "help", "quit" };
    char name[16] = "", argument[16] = "";
    sscanf(line, ": %15s %15s", name, argument);
    if (strcmp(name, "q") == 0 || strcmp(name, "quit") == 0)
        return true;
    if (strcmp(name, "help") == 0)
        colon_help(c);
    else if (strcmp(name, "format") == 0)
        colon_format(c, argument);
    else if (strcmp(name, "timing") == 0)
        fprintf(c->cli->out, "timing is %s\n", (c->timing = !c->timing) ? "on" : "off");
    else {
        const char *meant = nearest(name, names, 4);
        fprintf(c->cli->err, "there is no :%s; %s%s\n", name,
                meant != NULL ? "did you mean :" : "see :help", meant != NULL ? meant : "");
    }
    return false;
}

/* ---- At a terminal ------------------------------------------------------------------------------------------ */

/* All that is typed so far and the line up to the cursor go to the node; `*start` counts in the line alone. */
static char **complete(void *user, const char *line, size_t *start, size_t *count)
{
    struct console *c = user;
    struct flotilla_error error;
    char **words = NULL;
    uint32_t at = 0;
    size_t before = c->statement.len;
    append(&c->statement, bytes_from(line, strlen(line) + 1));
    flotilla_set_timeout(c->cli->db, 2000);
    int rc = flotilla_console_complete(c->cli->db, (char *)c->statement.data, &at, &words, count,
                                       &error);
    flotilla_set_timeout(c->cli->db, TIMEOUT_MS);
    c->statement.len = before;
    if (rc != FLOTILLA_OK || at < before) {
        if (rc == FLOTILLA_OK)
            flotilla_free(words);
        *count = 0;
        return NULL;
    }
    *start = at - before;
    return words;
}

static void free_words(char **words)
{
    flotilla_free(words);
}

static char *history_path(void)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    char *path = NULL;
    int n = -1;
    if (state != NULL && state[0] == '/')
        n = asprintf(&path, "%s/flotilla/history", state);
    else if (home != NULL && home[0] == '/')
        n = asprintf(&path, "%s/.local/state/flotilla/history", home);
    return n >= 0 ? path : NULL;
}

static void remember(struct console *c, struct editor *ed)
{
    /* A statement of several lines comes back as one, unless a comment would swallow its rest. */
    append(&c->statement, bytes_from("", 1));
    c->statement.len--;
    char *text = strdup((char *)c->statement.data);
    bool comment = text != NULL && strstr(text, "--") != NULL;
    for (char *p = text; p != NULL && *p != '\0'; p++)
        if (*p == '\n' && !comment)
            *p = ' ';
    if (text != NULL)
        editor_remember(ed, text);
    free(text);
}

static int interact(struct console *c)
{
    struct cli *cli = c->cli;
    char *history = history_path();
    struct editor *ed = editor_open(&(struct editor_config){ .in = cli->in,
                                                             .out = cli->out,
                                                             .err = cli->err,
                                                             .history = history,
                                                             .complete = complete,
                                                             .words_free = free_words,
                                                             .user = c,
                                                             .interrupted = c->interrupted });
    if (ed == NULL) {
        free(history);
        return cli_fail(
            cli, CLI_FAILED,
            "the terminal cannot be edited on; give statements by --eval or standard input");
    }
    struct flotilla_server server;
    if (flotilla_server(cli->db, &server) == FLOTILLA_OK)
        fprintf(cli->out, "%s, node %llu. :help helps, Ctrl-D leaves.\n", server.identity,
                (unsigned long long)server.node_id);
    const char *line = "";
    int code;
    for (;;) {
        enum editor_event event =
            editor_read(ed, c->statement.len > 0 ? "     ...> " : "flotilla> ", &line);
        if (event == EDITOR_END)
            break;
        if (event == EDITOR_DROPPED) {
            buf_clear(&c->statement);
            continue;
        }
        if (c->statement.len == 0 && line[strspn(line, " \t")] == '\0')
            continue;
        if (c->statement.len == 0 && line[0] == ':') {
            editor_remember(ed, line);
            if (colon(c, line))
                break;
            continue;
        }
        append(&c->statement, BYTES(line));
        struct buf whole = { 0 };
        append(&whole, buf_bytes(&c->statement));
        enum outcome outcome = run(c, &code);
        if (outcome == INCOMPLETE) {
            append(&c->statement, BYTES("\n"));
        } else {
            struct buf none = c->statement;
            c->statement = whole;
            remember(c, ed);
            whole = c->statement;
            c->statement = none;
        }
        buf_free(&whole);
        if (outcome == LOST)
            fprintf(cli->err, "the next statement begins a new session: its variables are gone\n");
    }
    editor_close(ed);
    free(history);
    return CLI_OK;
}

/* ---- Without a terminal ------------------------------------------------------------------------------------- */

static int run_lines(struct console *c)
{
    char *line = NULL;
    size_t cap = 0;
    int code = CLI_OK;
    enum outcome outcome = DONE;
    while (code == CLI_OK && getline(&line, &cap, c->cli->in) >= 0) {
        if (outcome != INCOMPLETE && line[strspn(line, " \t\r\n")] == '\0')
            continue;
        append(&c->statement, BYTES(line));
        outcome = run(c, &code);
    }
    free(line);
    if (code == CLI_OK && outcome == INCOMPLETE)
        return cli_fail(c->cli, CLI_NO, "the last statement is not finished");
    return code;
}

static int run_text(struct console *c, const char *text)
{
    int code;
    append(&c->statement, BYTES(text));
    if (run(c, &code) == INCOMPLETE)
        return cli_fail(c->cli, CLI_NO, "the statement is not finished: %s", text);
    return code;
}

/* ---- The command -------------------------------------------------------------------------------------------- */

static int open_console(struct cli *cli)
{
    int code = CLI_OK;
    char *endpoint = cli_console_endpoint(cli, &code);
    if (endpoint == NULL)
        return code;
    struct flotilla_error error;
    struct flotilla_options options = {
        .size = sizeof options,
        .endpoint = endpoint,
        .identity = "flotilla-console",
        .timeout_ms = cli->timeout_ms != 0 ? cli->timeout_ms : TIMEOUT_MS,
    };
    flotilla_close(cli->db);
    cli->db = NULL;
    if (flotilla_open(&options, &cli->db, &error) != FLOTILLA_OK) {
        cli->db = NULL;
        code = cli_fail(
            cli, error.code == FLOTILLA_PERMISSION_DENIED ? CLI_FAILED : CLI_UNREACHABLE,
            "%s\nthe console is the Unix socket of a running node; only its user and root are let in",
            error.message);
    }
    free(endpoint);
    return code;
}

static int run_console(struct cli *cli, int argc, char **argv)
{
    (void)argc, (void)argv;
    struct console c = { .cli = cli, .format = formats[cli->format == CLI_RAW ? 0 : cli->format] };
    if (cli->format == CLI_RAW)
        return cli_usage(cli, "the console has no raw output; use -o table, json or lua");
    const char *text = cli_given(cli, "eval");
    c.timing = cli_given(cli, "timing") != NULL;
    c.interrupted = cli->catch_interrupts();
    int code = open_console(cli);
    if (code != CLI_OK)
        return code;
    if (text != NULL)
        code = run_text(&c, text);
    else if (isatty(fileno(cli->in)) && isatty(fileno(cli->out)))
        code = interact(&c);
    else
        code = run_lines(&c);
    buf_free(&c.statement);
    return code;
}

static const struct cli_option options_of_console[] = {
    { "eval", 0, "TEXT", "run this and leave; exits with 1 if it fails" },
    { "socket", 0, "PATH", "the console's socket (default: asked of the node at --endpoint)" },
    { "timing", 0, NULL, "show how long statements take" },
    { 0 },
};

const struct cli_command cli_console_commands[] = {
    { .name = "console",
      .arguments = "",
      .summary = "a Lua prompt on the running node",
      .detail =
          "Statements run on the node, in a sandbox of their own, with a budget; they see namespaces, keys,\n"
          "the region, metrics and policies, and may run admin verbs. Without a terminal, statements\n"
          "come from standard input and the first error ends it with 1.\n",
      .examples = "flotilla console\n"
                  "flotilla console --eval 'status()'\n"
                  "flotilla console --eval 'plan()' -o json\n"
                  "flotilla console < statements.lua\n",
      .options = options_of_console,
      .least = 0,
      .most = 0,
      .formats = true,
      .connects = true,
      .run = run_console },
    { 0 },
};
