/* flotilla admin, status, log level, policy list, policy reload: verbs of lua/admin.lua.
 *
 * A verb takes a JSON object and answers JSON; which verbs there are is the node's business. */
#include <stdlib.h>
#include <string.h>

#include "show.h"

/* Runs a verb and shows what it answers. `arguments` becomes {0}. */
static int run_verb(struct cli *cli, const char *verb, struct value *arguments)
{
    struct buf json = { 0 };
    struct err e = { 0 };
    struct flotilla_error error;
    struct value *answer;
    char *text;
    int code = cli_connect(cli);
    if (code == CLI_OK && (value_to_json(arguments, false, &json) != ERR_OK ||
                           buf_append(&json, bytes_from("", 1)) != ERR_OK))
        code = cli_fail(cli, CLI_FAILED, "the arguments are too large");
    value_put_nil(arguments);
    if (code == CLI_OK &&
        flotilla_admin(cli->db, verb, (char *)json.data, &text, &error) != FLOTILLA_OK) {
        bool refused =
            error.code == FLOTILLA_INVALID_ARGUMENT || error.code == FLOTILLA_FAILED_PRECONDITION;
        code = cli_error(cli, &error);
        code = refused ? CLI_NO : code;
    } else if (code == CLI_OK) {
        if (value_from_json(BYTES(text), &answer, &e) == ERR_OK) {
            show(cli, answer);
            value_free(answer);
        } else {
            code = cli_fail(cli, CLI_FAILED, "the answer of %s is no JSON: %s", verb, e.msg);
        }
        flotilla_free(text);
    }
    buf_free(&json);
    return code;
}

static int run_plain(struct cli *cli, const char *verb)
{
    struct value arguments = { 0 };
    value_put_map(&arguments);
    return run_verb(cli, verb, &arguments);
}

static int run_status(struct cli *cli, int argc, char **argv)
{
    (void)argc, (void)argv;
    return run_plain(cli, "status");
}

static int run_policy_list(struct cli *cli, int argc, char **argv)
{
    (void)argc, (void)argv;
    return run_plain(cli, "policy.list");
}

static int run_policy_reload(struct cli *cli, int argc, char **argv)
{
    (void)argc, (void)argv;
    return run_plain(cli, "policy.reload");
}

static int run_log_level(struct cli *cli, int argc, char **argv)
{
    struct value arguments = { 0 };
    value_put_map(&arguments);
    if (argc > 0)
        value_put_text(value_set(&arguments, "level"), argv[0]);
    return run_verb(cli, "log.level", &arguments);
}

/* key=value: the value is JSON if it is, else text. key:=... would be one way too many. */
static bool add_argument(struct cli *cli, struct value *arguments, const char *word)
{
    const char *equals = strchr(word, '=');
    if (equals == NULL || equals == word) {
        cli_usage(cli, "\"%s\" is no argument of a verb; write name=value", word);
        return false;
    }
    struct value *json;
    struct err e = { 0 };
    struct value *to = value_set_bytes(arguments, bytes_from(word, (size_t)(equals - word)));
    if (value_from_json(BYTES(equals + 1), &json, &e) == ERR_OK) {
        value_put_copy(to, json);
        value_free(json);
    } else {
        value_put_text(to, equals + 1);
    }
    return true;
}

static int run_admin(struct cli *cli, int argc, char **argv)
{
    struct value arguments = { 0 };
    value_put_map(&arguments);
    for (int i = 1; i < argc; i++)
        if (!add_argument(cli, &arguments, argv[i])) {
            value_put_nil(&arguments);
            return CLI_USAGE;
        }
    return run_verb(cli, argc > 0 ? argv[0] : "help", &arguments);
}

const struct cli_command cli_admin_commands[] = {
    { .name = "status",
      .arguments = "",
      .summary = "how the node is",
      .examples = "flotilla status\nflotilla -e 127.0.0.1:7701 status -o json\n",
      .formats = true,
      .connects = true,
      .run = run_status },
    { .name = "log level",
      .arguments = "[LEVEL]",
      .summary = "show or set what the node logs",
      .detail = "LEVEL is debug, info, warn or error; it lasts until the node stops.\n",
      .examples = "flotilla log level\nflotilla log level debug\n",
      .least = 0,
      .most = 1,
      .formats = true,
      .connects = true,
      .run = run_log_level },
    { .name = "policy list",
      .arguments = "",
      .summary = "which scripts run, with their digest",
      .examples = "flotilla policy list\n",
      .formats = true,
      .connects = true,
      .run = run_policy_list },
    { .name = "policy reload",
      .arguments = "",
      .summary = "read the scripts again",
      .detail =
          "The node builds and checks them first. If anything is wrong it says what, with file and line,\n"
          "keeps the scripts that run, and this exits with 1.\n",
      .examples = "flotilla policy reload\n",
      .formats = true,
      .connects = true,
      .run = run_policy_reload },
    { .name = "admin",
      .arguments = "[VERB [NAME=VALUE]...]",
      .summary = "run any verb of lua/admin.lua",
      .detail =
          "Without a verb it lists them. A value that is JSON is taken as JSON, anything else as text.\n",
      .examples = "flotilla admin\n"
                  "flotilla admin namespace.create name=orders mode=strong\n"
                  "flotilla admin log.tail lines=5 -o raw\n",
      .most = -1,
      .formats = true,
      .connects = true,
      .run = run_admin },
    { 0 },
};
