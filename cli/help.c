/* Help, the man page and completion, from the table of commands. */
#include <string.h>

#include "cli.h"

static const char about[] = "a distributed, ordered key-value store whose decisions are Lua";

static const struct {
    int code;
    const char *meaning;
} codes[] = {
    { CLI_OK, "done" },
    { CLI_NO, "the answer is no: a miss, a conflict, a failed check, an error of a script" },
    { CLI_USAGE, "a mistake in the command line or the config" },
    { CLI_FAILED, "refused or failed; nothing was written" },
    { CLI_UNREACHABLE, "no server, or no answer in time; nothing was written" },
    { CLI_UNDETERMINED,
      "a write was sent and not answered: it may have happened; look before you repeat it" },
    { CLI_INTERRUPTED, "interrupted by Ctrl-C" },
};

static int width_of(const struct cli_command *c)
{
    return (int)(strlen(c->name) + 1 + strlen(c->arguments));
}

static void one_line(FILE *out, const struct cli_command *c)
{
    int pad = 34 - width_of(c);
    fprintf(out, "  %s %s%*s  %s\n", c->name, c->arguments, pad > 0 ? pad : 0, "", c->summary);
}

static void options(FILE *out, const struct cli_option *o, const struct cli_command *only)
{
    for (; o != NULL && o->name != NULL; o++) {
        if (only != NULL && ((o->name[0] == 'e' || o->name[0] == 't') ? !only->connects
                             : o->name[0] == 'n'                      ? !only->keys
                             : o->name[0] == 'o'                      ? !only->formats
                                                                      : false))
            continue;
        char left[64];
        if (o->letter != 0)
            snprintf(left, sizeof left, "-%c, --%s%s%s", o->letter, o->name,
                     o->argument != NULL ? " " : "", o->argument != NULL ? o->argument : "");
        else
            snprintf(left, sizeof left, "    --%s%s%s", o->name, o->argument != NULL ? " " : "",
                     o->argument != NULL ? o->argument : "");
        fprintf(out, "  %-26s %s\n", left, o->doc);
    }
}

void cli_help_usage(FILE *out, const struct cli_command *c)
{
    fprintf(out, "usage: flotilla %s%s%s%s\n", c->name,
            c->options != NULL && c->options[0].name != NULL ? " [OPTION]..." : "",
            c->arguments[0] != '\0' ? " " : "", c->arguments);
}

void cli_help_command(FILE *out, const struct cli_command *c)
{
    fprintf(out, "flotilla %s: %s\n\n", c->name, c->summary);
    cli_help_usage(out, c);
    if (c->detail != NULL)
        fprintf(out, "\n%s", c->detail);
    fprintf(out, "\noptions:\n");
    options(out, c->options, NULL);
    options(out, cli_global_options(), c);
    fprintf(out, "\nexamples:\n");
    for (const char *at = c->examples; *at != '\0';) {
        size_t len = strcspn(at, "\n");
        fprintf(out, "  %.*s\n", (int)len, at);
        at += len + (at[len] == '\n');
    }
}

bool cli_help_noun(FILE *out, const char *noun)
{
    size_t len = strlen(noun);
    const struct cli_command *c;
    bool any = false;
    for (size_t i = 0; (c = cli_command_at(i)) != NULL; i++) {
        if (strncmp(c->name, noun, len) != 0 || c->name[len] != ' ')
            continue;
        if (!any)
            fprintf(out, "usage: flotilla %s COMMAND\n\n", noun);
        any = true;
        one_line(out, c);
    }
    if (any)
        fprintf(out, "\nsee: flotilla %s COMMAND --help\n", noun);
    return any;
}

void cli_help_all(FILE *out)
{
    const struct cli_command *c;
    fprintf(out, "flotilla: %s\n\nusage: flotilla [OPTION]... COMMAND [ARGUMENT]...\n\n", about);
    for (size_t i = 0; (c = cli_command_at(i)) != NULL; i++)
        one_line(out, c);
    fprintf(out, "\noptions, before or behind the command:\n");
    options(out, cli_global_options(), NULL);
    fprintf(out, "\nexit codes (those of start: flotilla start --help):\n");
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        fprintf(out, "  %3d  %s\n", codes[i].code, codes[i].meaning);
    fprintf(out, "\nsee: flotilla COMMAND --help\n");
}

/* ---- The man page ------------------------------------------------------------------------------------------- */

/* A hyphen is a minus in what one types, and a dot or quote at the margin is a macro. */
static void roff(FILE *out, const char *text)
{
    for (const char *c = text; *c != '\0'; c++) {
        if ((*c == '.' || *c == '\'') && (c == text || c[-1] == '\n'))
            fputs("\\&", out);
        if (*c == '\\')
            fputs("\\e", out);
        else if (*c == '-')
            fputs("\\-", out);
        else
            fputc(*c, out);
    }
}

static void man_options(FILE *out, const struct cli_option *o)
{
    for (; o != NULL && o->name != NULL; o++) {
        fputs(".TP\n", out);
        if (o->letter != 0)
            fprintf(out, "\\fB\\-%c\\fR, ", o->letter);
        fputs("\\fB\\-\\-", out);
        roff(out, o->name);
        fputs("\\fR", out);
        if (o->argument != NULL)
            fprintf(out, " \\fI%s\\fR", o->argument);
        fputc('\n', out);
        roff(out, o->doc);
        fputc('\n', out);
    }
}

static void man_command(FILE *out, const struct cli_command *c)
{
    fprintf(out, ".SS %s \\fI", c->name);
    roff(out, c->arguments);
    fputs("\\fR\n", out);
    roff(out, c->summary);
    fputs(".\n", out);
    if (c->detail != NULL) {
        fputs(".PP\n", out);
        roff(out, c->detail);
    }
    man_options(out, c->options);
    fputs(".PP\n.nf\n", out);
    roff(out, c->examples);
    fputs(".fi\n", out);
}

void cli_help_man(FILE *out)
{
    const struct cli_command *c;
    fprintf(out, ".TH FLOTILLA 1 \"\" \"flotilla %s\" \"Flotilla\"\n.SH NAME\nflotilla \\- ",
            flotilla_version());
    roff(out, about);
    fputs("\n.SH SYNOPSIS\n.B flotilla\n[\\fIOPTION\\fR]... \\fICOMMAND\\fR [\\fIARGUMENT\\fR]...\n"
          ".SH DESCRIPTION\nRuns a node (init, start), and talks to one (all the others).\n"
          ".SH OPTIONS\nThese may stand before or behind the command.\n",
          out);
    man_options(out, cli_global_options());
    fputs(".SH COMMANDS\n", out);
    for (size_t i = 0; (c = cli_command_at(i)) != NULL; i++)
        man_command(out, c);
    fputs(".SH EXIT STATUS\n", out);
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        fprintf(out, ".TP\n%d\n", codes[i].code);
        roff(out, codes[i].meaning);
        fputc('\n', out);
    }
    fputs(
        ".SH ENVIRONMENT\n.TP\nFLOTILLA_ENDPOINT\nThe node, or several of one cluster "
        "with commas between, where \\fB\\-\\-endpoint\\fR does not say it.\n.TP\nXDG_STATE_HOME\nWhere the console keeps its history "
        "(flotilla/history; default: ~/.local/state).\n",
        out);
}

/* ---- Completion --------------------------------------------------------------------------------------------- */

static void offer(FILE *out, const char *word, size_t len, const char *prefix)
{
    if (strncmp(word, prefix, strlen(prefix)) == 0)
        fprintf(out, "%.*s\n", (int)len, word);
}

static void complete_options(FILE *out, const struct cli_option *o, const char *prefix)
{
    for (; o != NULL && o->name != NULL; o++) {
        char word[64];
        snprintf(word, sizeof word, "--%s", o->name);
        offer(out, word, strlen(word), prefix);
    }
}

/* The command that `words` name, if they do; the words may have options before and between. */
static const struct cli_command *named(int count, char **words, const char **noun)
{
    const struct cli_command *c;
    char first[64] = "", both[130];
    for (int i = 0; i < count; i++) {
        if (words[i][0] == '-')
            continue;
        snprintf(both, sizeof both, "%.63s%s%.63s", first, first[0] != '\0' ? " " : "", words[i]);
        for (size_t k = 0; (c = cli_command_at(k)) != NULL; k++)
            if (strcmp(c->name, both) == 0)
                return c;
        if (first[0] != '\0')
            return NULL;
        snprintf(first, sizeof first, "%s", words[i]);
        *noun = words[i];
    }
    return NULL;
}

void cli_help_complete(FILE *out, int count, char **words)
{
    if (count == 0)
        return;
    const char *prefix = words[count - 1], *noun = NULL, *last = "";
    const struct cli_command *c = named(count - 1, words, &noun);
    if (prefix[0] == '-') {
        complete_options(out, c != NULL ? c->options : NULL, prefix);
        complete_options(out, cli_global_options(), prefix);
        return;
    }
    const char *before = count > 1 ? words[count - 2] : "";
    if (strcmp(before, "-o") == 0 || strcmp(before, "--output") == 0) {
        static const char *const formats[] = { "table", "json", "lua", "raw" };
        for (int i = 0; i < 4; i++)
            offer(out, formats[i], strlen(formats[i]), prefix);
        return;
    }
    const struct cli_command *each;
    for (size_t i = 0; c == NULL && (each = cli_command_at(i)) != NULL; i++) {
        const char *name = each->name;
        size_t len = strcspn(name, " ");
        bool again = strncmp(name, last, len) == 0 && (last[len] == ' ' || last[len] == '\0');
        if (noun == NULL && !again)
            offer(out, name, len, prefix);
        else if (noun != NULL && len == strlen(noun) && strncmp(name, noun, len) == 0 &&
                 name[len] == ' ')
            offer(out, name + len + 1, strlen(name + len + 1), prefix);
        last = name;
    }
}

/* ---- flotilla help ------------------------------------------------------------------------------------------ */

static int run_help(struct cli *cli, int argc, char **argv)
{
    if (cli_given(cli, "man") != NULL) {
        cli_help_man(cli->out);
        return CLI_OK;
    }
    if (cli_given(cli, "complete") != NULL) {
        cli_help_complete(cli->out, argc, argv);
        return CLI_OK;
    }
    if (argc == 0) {
        cli_help_all(cli->out);
        return CLI_OK;
    }
    char name[64];
    snprintf(name, sizeof name, "%s%s%s", argv[0], argc > 1 ? " " : "", argc > 1 ? argv[1] : "");
    const struct cli_command *c;
    for (size_t i = 0; (c = cli_command_at(i)) != NULL; i++)
        if (strcmp(c->name, name) == 0) {
            cli_help_command(cli->out, c);
            return CLI_OK;
        }
    if (argc == 1 && cli_help_noun(cli->out, argv[0]))
        return CLI_OK;
    return cli_usage(cli, "there is no command \"%s\"", name);
}

static const struct cli_option help_options[] = {
    { "man", 0, NULL, "print the man page" },
    { "complete", 0, NULL, "print what may complete the last word (behind --); for the shell" },
    { 0 },
};

const struct cli_command cli_help_commands[] = {
    { .name = "help",
      .arguments = "[COMMAND]",
      .summary = "what a command does, with examples",
      .examples = "flotilla help\nflotilla help kv put\nflotilla help --man | man -l -\n",
      .options = help_options,
      .most = -1,
      .run = run_help },
    { 0 },
};
