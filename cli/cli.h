/* The program `flotilla`: one table of commands, from which parsing, help, the man page and
 * completion are made.
 *
 *      flotilla kv get --cas k1 -o json
 *               ------ ----- --    ---- a global option: allowed anywhere
 *               |      |     an argument
 *               |      an option of the command
 *               a row of the table: kv.c
 *
 * Results go to standard output; everything else (errors, progress, hints) to standard error. */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "flotilla/client.h"

/* Exit codes, documented in `flotilla help` and docs/cli.md. `flotilla start` has its own
 * (node/main.h). */
enum cli_exit {
    CLI_OK = 0,
    CLI_NO = 1,          /* the answer is no: a miss, a conflict, a check or a script that failed */
    CLI_USAGE = 2,       /* a mistake in the command line or the config */
    CLI_FAILED = 3,      /* the server refused, or something here failed; nothing was written */
    CLI_UNREACHABLE = 4, /* no server, or no answer in time; nothing was written */
    CLI_UNDETERMINED =
        5, /* a write was sent and not answered: it may have happened, or may still */
    CLI_INTERRUPTED = 130,
};

enum cli_format { CLI_TABLE, CLI_JSON, CLI_LUA, CLI_RAW };

struct cli_option {
    const char *name;     /* long name; NULL ends a list */
    char letter;          /* 0: none */
    const char *argument; /* "N"; NULL: a flag */
    const char *doc;
};

struct cli;
struct cli_command {
    const char *name;      /* one or two words: "tso", "kv put"; NULL ends a list */
    const char *arguments; /* "KEY VALUE|-" */
    const char *summary;   /* one line */
    const char *detail;    /* more lines; may be NULL */
    const char *examples;  /* command lines, each ended by a newline */
    const struct cli_option *options;
    int least, most; /* arguments; most -1: any number */
    bool formats;    /* -o makes sense */
    bool connects;   /* -e and --timeout make sense */
    bool keys;       /* --namespace makes sense */
    int (*run)(struct cli *cli, int argc, char **argv);
};

enum { CLI_OPTIONS_MAX = 16 };
struct cli {
    const struct cli_command *command;
    const char *endpoint;       /* -e, else $FLOTILLA_ENDPOINT, else the default */
    const char *endpoint_from;  /* where it was said, for messages */
    const char *namespace_name; /* -n, else "default" */
    enum cli_format format;
    bool format_given;
    uint32_t timeout_ms;                /* 0: the library's */
    const char *given[CLI_OPTIONS_MAX]; /* of the command's options: the argument, "" for a flag */
    FILE *in, *out, *err;
    /* From its call on, Ctrl-C sets the flag that it answers instead of ending the program (main.c). */
    volatile sig_atomic_t *(*catch_interrupts)(void);
    struct flotilla *db; /* after cli_connect() */
    uint32_t ns;         /* after cli_namespace() */
};

/* ---- run.c: the command line -------------------------------------------------------------------------------- */

/* The whole program but for the streams. Answers the exit code. */
int cli_main(struct cli *cli, int argc, char **argv);
/* The commands, in the order of help; NULL behind the last one. */
const struct cli_command *cli_command_at(size_t i);
const struct cli_option *cli_global_options(void);
/* The argument of an option of the running command; "" for a flag; NULL: not given. */
const char *cli_given(const struct cli *cli, const char *option);
/* Complains about the command line: what is wrong, the usage, where to read more. Answers CLI_USAGE. */
int cli_usage(struct cli *cli, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Complains on standard error, "flotilla kv get: ...", and answers `code`. */
int cli_fail(struct cli *cli, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* A whole number from an option or argument. False: complained, and `*exit` is set. */
bool cli_number(struct cli *cli, const char *what, const char *text, uint64_t max, uint64_t *ret,
                int *code);

/* ---- connect.c: the server ---------------------------------------------------------------------------------- */

/* Opens cli->db. CLI_OK, or complained. */
int cli_connect(struct cli *cli);
/* Connects, and resolves --namespace to cli->ns. */
int cli_namespace(struct cli *cli);
/* Complains about a failed call; answers the exit code that fits. */
int cli_error(struct cli *cli, const struct flotilla_error *error);
/* The console's Unix socket as an endpoint: --socket, else asked of the node at cli->endpoint. The caller frees. */
char *cli_console_endpoint(struct cli *cli, int *code);

/* ---- help.c ------------------------------------------------------------------------------------------------- */

void cli_help_all(FILE *out);
void cli_help_command(FILE *out, const struct cli_command *command);
/* "kv": lists its commands. False: there is no such noun. */
bool cli_help_noun(FILE *out, const char *noun);
void cli_help_usage(FILE *out, const struct cli_command *command);
void cli_help_man(FILE *out);
/* For the shell: what may stand where the last of `words` begins, one a line. */
void cli_help_complete(FILE *out, int count, char **words);

/* ---- The commands, a file a noun ---------------------------------------------------------------------------- */

extern const struct cli_command cli_node_commands[], cli_kv_commands[], cli_load_commands[],
    cli_tso_commands[], cli_admin_commands[], cli_namespace_commands[], cli_policy_commands[],
    cli_config_commands[], cli_console_commands[], cli_demo_commands[], cli_sim_commands[],
    cli_help_commands[];
