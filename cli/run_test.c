/* The command line without a server: usage, help, completion, suggestions, exit codes. */
#include "base/test.h"
#include "cli.h"

static char out_text[65536], err_text[65536];

static void slurp(FILE *f, char *to)
{
    rewind(f);
    size_t n = fread(to, 1, 65535, f);
    to[n] = '\0';
    fclose(f);
}

/* Runs "flotilla LINE", words split at spaces. */
static int cli_run(const char *line)
{
    char copy[500], *argv[40] = { (char[]){ "flotilla" } };
    int argc = 1;
    snprintf(copy, sizeof copy, "%s", line);
    for (char *save, *w = strtok_r(copy, " ", &save); w != NULL; w = strtok_r(NULL, " ", &save))
        argv[argc++] = w;
    struct cli cli = { .in = stdin, .out = tmpfile(), .err = tmpfile() };
    FILE *out = cli.out, *err = cli.err;
    int code = cli_main(&cli, argc, argv);
    slurp(out, out_text);
    slurp(err, err_text);
    return code;
}

TEST(cli_says_what_is_wrong_with_a_command_line)
{
    static const struct {
        const char *line, *want;
    } rows[] = {
        { "", "usage: flotilla [OPTION]... COMMAND" },
        { "frobnicate", "flotilla: there is no command \"frobnicate\"" },
        { "stauts", "there is no command \"stauts\"; did you mean \"status\"?" },
        { "get k1", "there is no command \"get\"; did you mean \"kv get\"?" },
        { "kv", "flotilla kv: what to do is missing" },
        { "kv gte k1", "there is no command \"kv gte\"; did you mean \"kv get\"?" },
        { "kv frobnicate", "there is no command \"kv frobnicate\"" },
        { "kv get", "flotilla kv get: what to work on is missing\n"
                    "usage: flotilla kv get [OPTION]... KEY\nsee: flotilla kv get --help" },
        { "kv put k", "flotilla kv put: an argument is missing" },
        { "kv put k v w", "\"w\" is one argument too many" },
        { "kv get k --cass", "there is no option --cass; did you mean --cas?" },
        { "kv get k --frob", "there is no option --frob\n" },
        { "kv get k -x", "there is no option -x" },
        { "kv get k -o", "the option -o needs an argument" },
        { "kv get k --cas=1", "the option --cas takes no argument" },
        { "kv get k -o xml", "there is no output format \"xml\"; use table, json, lua or raw" },
        { "kv get k --timeout soon", "--timeout must be a whole number, and \"soon\" is none" },
        { "kv get k --timeout 99999999999", "the most is 3600000" },
        { "kv put k v -o json", "--output means nothing to this command" },
        { "tso -n x", "--namespace means nothing to this command" },
        { "config check x -e y", "--endpoint means nothing to this command" },
        { "kv cas k v", "--expect N is missing" },
        { "kv cas k v --expect x", "--expect must be a whole number" },
        { "kv cas k v --expect 99999999999999999999",
          "--expect is 99999999999999999999: the most is" },
        { "kv delete k --expect 3", "--expect needs --cas" },
        { "kv scan --limit x", "--limit must be a whole number" },
        { "kv scan --hex --base64", "--hex and --base64 exclude each other" },
        { "kv scan --hex --from zz", "--from \"zz\" is not an even number of hexadecimal digits" },
        { "tso --count 0", "--count must be at least 1" },
        { "start", "flotilla start: --config FILE is missing" },
        { "init --config /nowhere/n.lua",
          "could not read the config /nowhere/n.lua: No such file or directory" },
        { "console -o raw", "the console has no raw output" },
        { "help frob", "there is no command \"frob\"" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int code = cli_run(rows[i].line);
        if (code != CLI_USAGE || strstr(err_text, rows[i].want) == NULL)
            fail_msg("flotilla %s: exit %d, says \"%s\", without \"%s\"", rows[i].line, code,
                     err_text, rows[i].want);
        CHECK_STR(out_text, "");
    }
}

TEST(cli_helps_with_every_command)
{
    const struct cli_command *c;
    size_t n = 0;
    for (; (c = cli_command_at(n)) != NULL; n++) {
        char line[100];
        snprintf(line, sizeof line, "%s --help", c->name);
        CHECK_EQ(cli_run(line), CLI_OK);
        CHECK_STR(err_text, "");
        CHECK_CONTAINS(out_text, "usage: flotilla ");
        CHECK_CONTAINS(out_text, "examples:\n  ");
        CHECK_CONTAINS(out_text, c->summary);
        CHECK_EQ(c->examples[strlen(c->examples) - 1], '\n');
        int options = 0;
        while (c->options != NULL && c->options[options].name != NULL)
            options++;
        CHECK(options <= CLI_OPTIONS_MAX);
        snprintf(line, sizeof line, "help %s", c->name);
        CHECK_EQ(cli_run(line), CLI_OK);
        CHECK_CONTAINS(out_text, c->summary);
    }
    CHECK(n >= 20);
    CHECK_EQ(cli_run("--help"), CLI_OK);
    CHECK_CONTAINS(out_text, "kv put KEY VALUE|-");
    CHECK_CONTAINS(out_text, "exit codes");
    CHECK_EQ(cli_run("kv --help"), CLI_OK);
    CHECK_CONTAINS(out_text, "kv scan");
    CHECK_EQ(cli_run("help kv"), CLI_OK);
    CHECK_CONTAINS(out_text, "kv scan");
}

TEST(cli_says_its_version)
{
    char want[50];
    snprintf(want, sizeof want, "flotilla %s\n", flotilla_version());
    CHECK_EQ(cli_run("--version"), CLI_OK);
    CHECK_STR(out_text, want);
}

TEST(cli_man_page_has_every_command_and_option)
{
    CHECK_EQ(cli_run("help --man"), CLI_OK);
    const struct cli_command *c;
    for (size_t i = 0; (c = cli_command_at(i)) != NULL; i++) {
        char head[100];
        snprintf(head, sizeof head, "\n.SS %s ", c->name);
        CHECK_CONTAINS(out_text, head);
    }
    CHECK_CONTAINS(out_text, "\\-\\-keys\\-only");
    CHECK_CONTAINS(out_text, ".SH EXIT STATUS");
}

TEST(cli_completes_commands_verbs_options_and_formats)
{
    static const struct {
        const char *line, *want;
    } rows[] = {
        { "help --complete -- kv g", "get\n" },
        { "help --complete -- st", "start\nstatus\n" },
        { "help --complete -- k", "kv\n" },
        { "help --complete -- kv scan --ke", "--keys-only\n" },
        { "help --complete -- kv scan -o j", "json\n" },
        { "help --complete -- -n x kv ge",
          "" }, /* x is taken for a noun: nothing, rather than nonsense */
        { "help --complete -- kv get x", "" },
        { "help --complete -- --vers", "--version\n" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        CHECK_EQ(cli_run(rows[i].line), CLI_OK);
        CHECK_STR(out_text, rows[i].want);
    }
}

TEST(cli_says_where_no_server_is)
{
    CHECK_EQ(cli_run("-e 127.0.0.1:1 --timeout 2000 kv get k"), CLI_UNREACHABLE);
    CHECK_CONTAINS(err_text, "flotilla kv get: ");
    CHECK_CONTAINS(err_text, "127.0.0.1:1");
    CHECK_CONTAINS(err_text, "the endpoint comes from --endpoint; -e names another one");
    setenv("FLOTILLA_ENDPOINT", "nonsense", 1);
    CHECK_EQ(cli_run("kv get k"), CLI_UNREACHABLE);
    CHECK_CONTAINS(err_text, "$FLOTILLA_ENDPOINT");
    unsetenv("FLOTILLA_ENDPOINT");
}

TEST_MAIN()
