/* From an endpoint to an open handle, and from a failed call to an exit code. */
#include <stdlib.h>
#include <string.h>

#include "base/value.h"
#include "cli.h"

int cli_error(struct cli *cli, const struct flotilla_error *error)
{
    int code = CLI_FAILED;
    const char *hint = "";
    switch (error->code) {
    case FLOTILLA_NOT_FOUND:
    case FLOTILLA_ALREADY_EXISTS:
    case FLOTILLA_CONFLICT:
        code = CLI_NO;
        break;
    case FLOTILLA_UNAVAILABLE:
    case FLOTILLA_DEADLINE_EXCEEDED:
        code = CLI_UNREACHABLE;
        break;
    case FLOTILLA_UNDETERMINED:
        code = CLI_UNDETERMINED;
        hint = "\nit may have happened, or may still: look before you repeat it";
        break;
    case FLOTILLA_CANCELLED:
        code = CLI_INTERRUPTED;
        break;
    }
    return cli_fail(cli, code, "%s%s", error->message, hint);
}

int cli_connect(struct cli *cli)
{
    struct flotilla_error error;
    struct flotilla_options options = {
        .size = sizeof options,
        .endpoint = cli->endpoint,
        .identity = "flotilla-cli",
        .timeout_ms = cli->timeout_ms,
        .connect_ms = cli->timeout_ms,
    };
    int rc = flotilla_open(&options, &cli->db, &error);
    if (rc == FLOTILLA_OK)
        return CLI_OK;
    cli->db = NULL;
    int code = rc == FLOTILLA_INVALID_ARGUMENT                                  ? CLI_USAGE
               : rc == FLOTILLA_UNAVAILABLE || rc == FLOTILLA_DEADLINE_EXCEEDED ? CLI_UNREACHABLE
                                                                                : CLI_FAILED;
    return cli_fail(cli, code, "%s\nthe endpoint comes from %s; -e names another one",
                    error.message, cli->endpoint_from);
}

int cli_namespace(struct cli *cli)
{
    int code = cli_connect(cli);
    if (code != CLI_OK)
        return code;
    cli->ns = FLOTILLA_NAMESPACE;
    if (strcmp(cli->namespace_name, "default") == 0)
        return CLI_OK;
    struct flotilla_error error;
    int rc = flotilla_namespace_find(cli->db, cli->namespace_name, &cli->ns, &error);
    if (rc == FLOTILLA_NOT_FOUND)
        return cli_fail(
            cli, CLI_FAILED,
            "there is no namespace \"%s\"; see flotilla namespace list, or make it with "
            "flotilla namespace create %s",
            cli->namespace_name, cli->namespace_name);
    return rc == FLOTILLA_OK ? CLI_OK : cli_error(cli, &error);
}

char *cli_console_endpoint(struct cli *cli, int *code)
{
    const char *socket = cli_given(cli, "socket");
    char *text = NULL;
    if (socket != NULL) {
        if (asprintf(&text, "%s%s", strncmp(socket, "unix:", 5) == 0 ? "" : "unix:", socket) < 0)
            abort();
        return text;
    }
    if (strncmp(cli->endpoint, "unix:", 5) == 0)
        return strdup(cli->endpoint);
    *code = cli_connect(cli);
    if (*code != CLI_OK)
        return NULL;
    struct flotilla_error error;
    struct err e = { 0 };
    char *json;
    if (flotilla_admin(cli->db, "status", NULL, &json, &error) != FLOTILLA_OK) {
        *code = cli_error(cli, &error);
        return NULL;
    }
    struct value *status;
    if (value_from_json(BYTES(json), &status, &e) == ERR_OK) {
        struct bytes at = value_get_bytes(status, "console", BYTES(""));
        if (at.len > 0 && asprintf(&text, "%.*s", (int)at.len, (const char *)at.data) < 0)
            abort();
        value_free(status);
    }
    flotilla_free(json);
    if (text == NULL || strncmp(text, "unix:", 5) != 0) {
        free(text);
        *code = cli_fail(cli, CLI_FAILED,
                         "the node at %s has no console; look at console.address in its config, or "
                         "name the socket with --socket",
                         cli->endpoint);
        return NULL;
    }
    return text;
}
