/* The command line: which command, which options, how many arguments; then run it. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/nearest.h"
#include "cli.h"

enum { COMMANDS_MAX = 64, NAME_MAX_ = 64 };

static const struct cli_option globals[] = {
    { "endpoint", 'e', "ADDRESS",
      "the node: host:port or unix:/path; several with commas (default: $FLOTILLA_ENDPOINT, "
      "else " FLOTILLA_ENDPOINT_DEFAULT ")" },
    { "namespace", 'n', "NAME", "the namespace of the keys (default: default)" },
    { "output", 'o', "FORMAT", "table (default), json, lua or raw" },
    { "timeout", 0, "MS", "give up after so many milliseconds (default: 10000)" },
    { "help", 'h', NULL, "what a command does, with examples" },
    { "version", 'V', NULL, "the version of this program" },
    { 0 },
};

const struct cli_option *cli_global_options(void)
{
    return globals;
}

const struct cli_command *cli_command_at(size_t i)
{
    static const struct cli_command *const nouns[] = {
        cli_node_commands,    cli_kv_commands,        cli_load_commands,   cli_tso_commands,
        cli_admin_commands,   cli_namespace_commands, cli_policy_commands, cli_config_commands,
        cli_console_commands, cli_demo_commands,      cli_sim_commands,    cli_help_commands,
    };
    for (size_t n = 0; n < sizeof nouns / sizeof nouns[0]; n++)
        for (const struct cli_command *c = nouns[n]; c->name != NULL; c++)
            if (i-- == 0)
                return c;
    return NULL;
}

/* ---- Complaints --------------------------------------------------------------------------------------------- */

static void complain(struct cli *cli, const char *fmt, va_list args)
{
    fflush(cli->out);
    fprintf(cli->err, "flotilla%s%s: ", cli->command != NULL ? " " : "",
            cli->command != NULL ? cli->command->name : "");
    vfprintf(cli->err, fmt, args);
    fputc('\n', cli->err);
}

int cli_fail(struct cli *cli, int code, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    complain(cli, fmt, args);
    va_end(args);
    return code;
}

int cli_usage(struct cli *cli, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    complain(cli, fmt, args);
    va_end(args);
    if (cli->command != NULL) {
        cli_help_usage(cli->err, cli->command);
        fprintf(cli->err, "see: flotilla %s --help\n", cli->command->name);
    } else {
        fprintf(cli->err, "see: flotilla help\n");
    }
    return CLI_USAGE;
}

bool cli_number(struct cli *cli, const char *what, const char *text, uint64_t max, uint64_t *ret,
                int *code)
{
    char *end;
    errno = 0;
    uint64_t n = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0') {
        *code = cli_usage(cli, "%s must be a whole number, and \"%s\" is none", what, text);
        return false;
    }
    if (errno != 0 || n > max) {
        *code = cli_usage(cli, "%s is %s: the most is %" PRIu64, what, text, max);
        return false;
    }
    *ret = n;
    return true;
}

/* ---- Finding the command ------------------------------------------------------------------------------------ */

static bool is_noun(const char *word)
{
    size_t len = strlen(word);
    const struct cli_command *c;
    for (size_t i = 0; (c = cli_command_at(i)) != NULL; i++)
        if (strncmp(c->name, word, len) == 0 && c->name[len] == ' ')
            return true;
    return false;
}

static const struct cli_command *find(const char *name)
{
    const struct cli_command *c;
    for (size_t i = 0; (c = cli_command_at(i)) != NULL; i++)
        if (strcmp(c->name, name) == 0)
            return c;
    return NULL;
}

static int unknown(struct cli *cli, const char *word)
{
    size_t count = 0;
    const struct cli_command *c;
    const char *names[COMMANDS_MAX], *verb_of = NULL;
    char nouns[COMMANDS_MAX][NAME_MAX_];
    for (size_t i = 0; i < COMMANDS_MAX && (c = cli_command_at(i)) != NULL; i++) {
        snprintf(nouns[i], sizeof nouns[i], "%.*s", (int)strcspn(c->name, " "), c->name);
        names[count++] = nouns[i];
        const char *verb = strchr(c->name, ' ');
        if (verb != NULL && strcmp(verb + 1, word) == 0 && verb_of == NULL)
            verb_of = c->name; /* "flotilla get": kv get was meant */
    }
    const char *meant = verb_of != NULL ? verb_of : nearest(word, names, count);
    if (meant != NULL)
        return cli_usage(cli, "there is no command \"%s\"; did you mean \"%s\"?", word, meant);
    return cli_usage(cli, "there is no command \"%s\"", word);
}

static int unknown_verb(struct cli *cli, const char *noun, const char *verb)
{
    size_t count = 0, len = strlen(noun);
    const struct cli_command *c;
    const char *names[COMMANDS_MAX];
    for (size_t i = 0; i < COMMANDS_MAX && (c = cli_command_at(i)) != NULL; i++)
        if (strncmp(c->name, noun, len) == 0 && c->name[len] == ' ')
            names[count++] = c->name + len + 1;
    if (verb == NULL) {
        fprintf(cli->err, "flotilla %s: what to do is missing\n", noun);
        cli_help_noun(cli->err, noun);
        return CLI_USAGE;
    }
    const char *meant = nearest(verb, names, count);
    if (meant != NULL)
        return cli_usage(cli, "there is no command \"%s %s\"; did you mean \"%s %s\"?", noun, verb,
                         noun, meant);
    fprintf(cli->err, "flotilla: there is no command \"%s %s\"\n", noun, verb);
    cli_help_noun(cli->err, noun);
    return CLI_USAGE;
}

/* ---- Options ------------------------------------------------------------------------------------------------ */

enum { GLOBAL_FIRST = 1000, COMMAND_FIRST = 2000, LONG_MAX_ = 40 };

struct parser {
    struct option longs[LONG_MAX_];
    char shorts[2 * LONG_MAX_];
    size_t count;
};

static void add_option(struct parser *p, const struct cli_option *o, int value)
{
    p->longs[p->count++] =
        (struct option){ o->name, o->argument != NULL ? required_argument : no_argument, NULL,
                         value };
    if (o->letter != 0) {
        size_t at = strlen(p->shorts);
        p->shorts[at] = o->letter;
        if (o->argument != NULL)
            p->shorts[at + 1] = ':';
    }
}

static void make_parser(struct parser *p, const struct cli_command *command, const char *mode)
{
    memset(p, 0, sizeof *p);
    strcpy(p->shorts, mode);
    for (int i = 0; globals[i].name != NULL; i++)
        add_option(p, &globals[i], GLOBAL_FIRST + i);
    for (int i = 0; command != NULL && command->options != NULL && command->options[i].name != NULL;
         i++)
        add_option(p, &command->options[i], COMMAND_FIRST + i);
}

static int bad_option(struct cli *cli, const struct parser *p, char **argv, int result)
{
    const char *word = argv[optind - 1];
    if (result == ':')
        return cli_usage(cli, "the option %s needs an argument", word);
    if (strncmp(word, "--", 2) != 0)
        return cli_usage(cli, "there is no option -%c", optopt);
    char name[NAME_MAX_];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(word + 2, "="), word + 2);
    const char *names[LONG_MAX_];
    for (size_t i = 0; i < p->count; i++) {
        names[i] = p->longs[i].name;
        if (strcmp(names[i], name) == 0)
            return cli_usage(cli, "the option --%s takes no argument", name);
    }
    const char *meant = nearest(name, names, p->count);
    if (meant != NULL)
        return cli_usage(cli, "there is no option --%s; did you mean --%s?", name, meant);
    return cli_usage(cli, "there is no option --%s", name);
}

/* -1: go on. Else the exit code. */
static int take_global(struct cli *cli, int which, const char *argument, bool *help)
{
    static const char *const formats[] = { "table", "json", "lua", "raw" };
    int code = -1;
    uint64_t n;
    switch (globals[which].name[0]) {
    case 'e':
        cli->endpoint = argument;
        cli->endpoint_from = "--endpoint";
        break;
    case 'n':
        cli->namespace_name = argument;
        break;
    case 'o':
        for (unsigned i = 0; i < 4; i++)
            if (strcmp(argument, formats[i]) == 0) {
                cli->format = (enum cli_format)i;
                cli->format_given = true;
                return -1;
            }
        return cli_usage(cli, "there is no output format \"%s\"; use table, json, lua or raw",
                         argument);
    case 't':
        if (cli_number(cli, "--timeout", argument, 3600000, &n, &code))
            cli->timeout_ms = (uint32_t)n;
        break;
    case 'h':
        *help = true;
        break;
    case 'v':
        fprintf(cli->out, "flotilla %s\n", flotilla_version());
        return CLI_OK;
    }
    return code;
}

static bool applies(const struct cli_command *c, const char *global)
{
    switch (global[0]) {
    case 'e':
    case 't':
        return c->connects;
    case 'n':
        return c->keys;
    case 'o':
        return c->formats;
    }
    return true;
}

/* Parses up to the end (or, before the command is known, up to the first word). -1: go on. */
static int parse(struct cli *cli, int argc, char **argv, const char *mode, bool *help)
{
    struct parser p;
    make_parser(&p, cli->command, mode);
    opterr = 0;
    for (;;) {
        int r = getopt_long(argc, argv, p.shorts, p.longs, NULL);
        if (r == -1)
            return -1;
        if (r == '?' || r == ':')
            return bad_option(cli, &p, argv, r);
        for (int i = 0; r < GLOBAL_FIRST && globals[i].name != NULL; i++)
            if (globals[i].letter == r)
                r = GLOBAL_FIRST + i;
        for (int i = 0; r < GLOBAL_FIRST && cli->command->options[i].name != NULL; i++)
            if (cli->command->options[i].letter == r)
                r = COMMAND_FIRST + i;
        if (r >= COMMAND_FIRST) {
            cli->given[r - COMMAND_FIRST] = optarg != NULL ? optarg : "";
            continue;
        }
        const char *name = globals[r - GLOBAL_FIRST].name;
        if (cli->command != NULL && !applies(cli->command, name))
            return cli_usage(cli, "--%s means nothing to this command", name);
        int code = take_global(cli, r - GLOBAL_FIRST, optarg, help);
        if (code != -1)
            return code;
    }
}

const char *cli_given(const struct cli *cli, const char *option)
{
    for (int i = 0; cli->command->options != NULL && cli->command->options[i].name != NULL; i++)
        if (strcmp(cli->command->options[i].name, option) == 0)
            return cli->given[i];
    return NULL;
}

/* ---- The whole ---------------------------------------------------------------------------------------------- */

static int check_count(struct cli *cli, int count, char **words)
{
    const struct cli_command *c = cli->command;
    if (count < c->least)
        return cli_usage(cli, count == 0 ? "what to work on is missing" : "an argument is missing");
    if (c->most >= 0 && count > c->most)
        return cli_usage(cli, "\"%s\" is one argument too many", words[c->most]);
    return -1;
}

static int finish(struct cli *cli, int code)
{
    flotilla_close(cli->db);
    cli->db = NULL;
    if ((fflush(cli->out) != 0 || ferror(cli->out)) && errno != EPIPE && code == CLI_OK)
        return cli_fail(cli, CLI_FAILED, "could not write the output: %s", strerror(errno));
    return code;
}

int cli_main(struct cli *cli, int argc, char **argv)
{
    cli->endpoint = getenv("FLOTILLA_ENDPOINT");
    cli->endpoint_from = "$FLOTILLA_ENDPOINT";
    if (cli->endpoint == NULL || cli->endpoint[0] == '\0') {
        cli->endpoint = FLOTILLA_ENDPOINT_DEFAULT;
        cli->endpoint_from = "the default";
    }
    cli->namespace_name = "default";
    bool help = false;
    optind = 0;
    int code = parse(cli, argc, argv, "+:", &help);
    if (code != -1)
        return finish(cli, code);
    int rest = argc - optind;
    char **words = argv + optind;
    if (rest == 0) {
        cli_help_all(help ? cli->out : cli->err);
        return finish(cli, help ? CLI_OK : CLI_USAGE);
    }
    int used = 1;
    if (is_noun(words[0]) && find(words[0]) == NULL) {
        char name[NAME_MAX_];
        bool asks = rest > 1 && (strcmp(words[1], "--help") == 0 || strcmp(words[1], "-h") == 0);
        if (asks || (help && rest == 1)) {
            cli_help_noun(cli->out, words[0]);
            return finish(cli, CLI_OK);
        }
        snprintf(name, sizeof name, "%s %s", words[0], rest > 1 ? words[1] : "");
        cli->command = find(name);
        used = 2;
        if (cli->command == NULL)
            return finish(cli, unknown_verb(cli, words[0], rest > 1 ? words[1] : NULL));
    } else {
        cli->command = find(words[0]);
        if (cli->command == NULL)
            return finish(cli, unknown(cli, words[0]));
    }
    /* The command's own words: its name takes the place of argv[0]. */
    optind = 0;
    int count = rest - used + 1;
    char **own = words + used - 1;
    code = parse(cli, count, own, ":", &help);
    if (code != -1)
        return finish(cli, code);
    if (help) {
        cli_help_command(cli->out, cli->command);
        return finish(cli, CLI_OK);
    }
    code = check_count(cli, count - optind, own + optind);
    if (code == -1)
        code = cli->command->run(cli, count - optind, own + optind);
    return finish(cli, code);
}
