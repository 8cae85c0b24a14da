/* flotilla policy check: a script, built and checked as the node would, without a node. */
#include "base/buf.h"
#include "cli.h"
#include "script/script.h"
#include "uv/world.h"

static int run_check(struct cli *cli, int argc, char **argv)
{
    (void)argc;
    struct world *world;
    struct err e = { 0 };
    struct buf report = { 0 };
    if (world_open(NULL, &world, &e) != ERR_OK)
        return cli_fail(cli, CLI_FAILED, "%s", e.msg);
    err_t rc = script_check_file(world_env(world), argv[0], &report, &e);
    if (report.len > 0)
        fwrite(report.data, 1, report.len, cli->out);
    if (report.len > 0 && report.data[report.len - 1] != '\n')
        fputc('\n', cli->out);
    int code = CLI_OK;
    if (rc == ERR_NOT_FOUND || rc == ERR_IO)
        code = cli_fail(cli, CLI_FAILED, "%s", e.msg);
    else if (rc != ERR_OK)
        code = cli_fail(cli, CLI_NO, "%s", e.msg);
    buf_free(&report);
    world_close(world);
    return code;
}

const struct cli_command cli_policy_commands[] = {
    { .name = "policy check",
      .arguments = "FILE",
      .summary = "build and check a script without a node",
      .detail =
          "Compiles it in the sandbox, checks its shape, and runs it dry. Exits with 1 if it would be\n"
          "refused, and says where and why.\n",
      .examples = "flotilla policy check lua/split.lua\n",
      .least = 1,
      .most = 1,
      .run = run_check },
    { 0 },
};
