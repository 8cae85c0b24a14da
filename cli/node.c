/* flotilla init, flotilla start: a node, from a config file. */
#include "config_file.h"
#include "node/main.h"

static int read_config(struct cli *cli, struct node_config *ret)
{
    const char *path = cli_given(cli, "config");
    if (path == NULL)
        return cli_usage(cli, "--config FILE is missing");
    return config_file_read(cli, path, ret);
}

static int run_init(struct cli *cli, int argc, char **argv)
{
    (void)argc, (void)argv;
    struct node_config config;
    int code = read_config(cli, &config);
    return code == CLI_OK ? node_init_main(&config, cli->out) : code;
}

static int run_start(struct cli *cli, int argc, char **argv)
{
    (void)argc, (void)argv;
    struct node_config config;
    int code = read_config(cli, &config);
    config.accept_panic = cli_given(cli, "accept-panic") != NULL;
    return code == CLI_OK ? node_main(&config, cli->out) : code;
}

static const struct cli_option init_options[] = {
    { "config", 'c', "FILE", "the node's config" },
    { 0 },
};
static const struct cli_option start_options[] = {
    { "config", 'c', "FILE", "the node's config" },
    { "accept-panic", 0, NULL,
      "start although the last run ended in a failed write, and forget its mark" },
    { 0 },
};

const struct cli_command cli_node_commands[] = {
    { .name = "init",
      .arguments = "--config FILE",
      .summary = "create a node's data directory",
      .detail =
          "Refuses a directory that holds a store already. Only init creates: start on a missing or damaged\n"
          "directory says so instead of beginning an empty store.\n",
      .examples = "flotilla init --config config/dev.lua\n",
      .options = init_options,
      .run = run_init },
    { .name = "start",
      .arguments = "--config FILE",
      .summary = "run a node in the foreground",
      .detail =
          "One line on standard output says when it serves, and where; the log goes to standard error.\n"
          "SIGTERM or Ctrl-C stops it cleanly, SIGHUP reloads the policies and opens the log file again.\n"
          "\n"
          "A failed write or sync stops a node at once, since nobody knows what is on the disk then; it\n"
          "leaves a mark, and the next start refuses. Look at the disk first, then use --accept-panic.\n"
          "\n"
          "Exit codes: 0 stopped as asked; 1 no memory, no threads; 2 a mistake in the command line or\n"
          "the config; 3 the store was refused: missing (run init), in use, damaged, panic mark; 4 an\n"
          "address is in use; 5 a write failed while running.\n",
      .examples = "flotilla start --config config/dev.lua\n"
                  "flotilla start --config /etc/flotilla/node.lua --accept-panic\n",
      .options = start_options,
      .run = run_start },
    { 0 },
};
