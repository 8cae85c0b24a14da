/* flotilla sim: whole nodes in virtual time, under faults, from a seed. */
#include <stdlib.h>
#include <string.h>

#include "base/logger.h"
#include "cli.h"
#include "sim_cluster/seeds.h"

static const char detail[] =
    "Runs a cluster of simulated machines under load and faults, all drawn from the seed, then heals everything and\n"
    "checks: nothing acknowledged is lost, no read is stale (every history is checked for linearizability), timestamps\n"
    "grow, every node serves again. The same seed gives the same run everywhere; its hash says so.\n"
    "\n"
    "exit codes: 0 passed; 1 failed, and a line that repeats it with less is printed; 3 void: nothing is proved, since\n"
    "too few operations were acknowledged (100 a minute) or no fault has hit.\n"
    "\n"
    "The columns of --trace:\n"
    "  12.345678 c2.5   put k03 value 17 ...      seconds of virtual time, client 2, slot 5: an operation and its answer\n"
    "  12.345678 n1     log ...                   a line that node 1 has logged, stamped by its own clock\n"
    "  12.345678 n1     up, crash KIND, ended N   what became of its process or machine\n"
    "  12.345678 nemesis #12 cut n1 for 800 ms    attack 12 (--skip 12 leaves it out), its kind, its node, how long\n"
    "The columns of --events are in docs/internals/sim.md; --history writes what clients saw, for history_check.\n"
    "--list names the faults; a seed has some of them.\n";

/* A number of an option that may be missing. */
static bool number(struct cli *cli, const char *option, uint64_t max, uint64_t *ret, int *code)
{
    char name[40];
    snprintf(name, sizeof name, "--%s", option);
    const char *text = cli_given(cli, option);
    return text == NULL || cli_number(cli, name, text, max, ret, code);
}

static int take_faults(struct cli *cli, struct nemesis_plan *ret)
{
    const char *list = cli_given(cli, "faults"), *skip = cli_given(cli, "skip");
    char bad[32];
    ret->allowed = NEMESIS_ALL;
    if (list != NULL && !seeds_parse_faults(list, &ret->allowed, bad))
        return cli_usage(cli, "there is no fault \"%s\"; flotilla sim --list names them", bad);
    if (skip != NULL && !seeds_parse_skip(skip, ret))
        return cli_usage(cli, "--skip takes numbers of attacks, for example 3,17,20-25");
    return CLI_OK;
}

static FILE *open_output(struct cli *cli, const char *option)
{
    const char *path = cli_given(cli, option);
    return path == NULL ? NULL : strcmp(path, "-") == 0 ? cli->out : fopen(path, "w");
}

static int open_outputs(struct cli *cli, struct run_output *ret)
{
    struct err e = { 0 };
    const char *level = cli_given(cli, "log");
    ret->log = LOGGER_WARN;
    if (level != NULL && logger_level_parse(level, &ret->log, &e) != ERR_OK)
        return cli_usage(cli, "--log: %s", e.msg);
    ret->trace = cli_given(cli, "trace") != NULL || level != NULL ? cli->out : NULL;
    ret->events = open_output(cli, "events");
    ret->history = open_output(cli, "history");
    if ((cli_given(cli, "events") != NULL && ret->events == NULL) ||
        (cli_given(cli, "history") != NULL && ret->history == NULL))
        return cli_fail(cli, CLI_FAILED, "could not write the file of --events or --history");
    return CLI_OK;
}

static int list_faults(struct cli *cli)
{
    for (unsigned i = 0; i < NEMESIS_KINDS; i++)
        fprintf(cli->out, "%-10s%s\n", nemesis_name(i), nemesis_doc(i));
    return CLI_OK;
}

static int run_sim(struct cli *cli, int argc, char **argv)
{
    (void)argc, (void)argv;
    int code = CLI_OK;
    uint64_t seed = 1, seeds = 1, nodes = RUN_NODES_DEFAULT, minutes = RUN_SECONDS_DEFAULT / 60;
    uint64_t seconds = 0, jobs = 1;
    struct seeds_plan plan = { .shrink = cli_given(cli, "no-shrink") == NULL };
    if (cli_given(cli, "list") != NULL)
        return list_faults(cli);
    if (!number(cli, "seed", UINT64_MAX, &seed, &code) ||
        !number(cli, "seeds", 1u << 30, &seeds, &code) ||
        !number(cli, "nodes", SIM_CLUSTER_NODES_MAX, &nodes, &code) ||
        !number(cli, "minutes", 100000, &minutes, &code) ||
        !number(cli, "seconds", 6000000, &seconds, &code) || !number(cli, "jobs", 64, &jobs, &code))
        return code;
    if (nodes == 0 || seeds == 0 || (minutes == 0 && seconds == 0))
        return cli_usage(cli, "--nodes, --seeds and --minutes are at least 1");
    if ((code = take_faults(cli, &plan.first.faults)) != CLI_OK ||
        (code = open_outputs(cli, &plan.output)) != CLI_OK)
        return code;
    plan.first.seed = seed;
    plan.first.nodes = (unsigned)nodes;
    plan.first.seconds = seconds != 0 ? seconds : minutes * 60;
    plan.count = seeds;
    plan.jobs = (unsigned)jobs;
    plan.twice_every = seeds > 1 ? 10 : 0;
    return seeds_run(&plan, cli->out);
}

static const struct cli_option options[] = {
    { "seed", 0, "N", "the first seed (default: 1)" },
    { "seeds", 0, "COUNT", "how many (default: 1)" },
    { "nodes", 0, "N", "nodes of the cluster (default: 3)" },
    { "minutes", 0, "N", "of virtual time under load (default: 10)" },
    { "seconds", 0, "N", "the same in seconds" },
    { "faults", 0, "LIST",
      "all (default), none, kill,cut,...: only these; -clock,...: all but these" },
    { "skip", 0, "LIST", "attacks that are left out, by number: 3,17,20-25" },
    { "jobs", 0, "N", "seeds at a time (default: 1)" },
    { "trace", 0, NULL, "a line for everything that nodes, clients and nemesis do" },
    { "log", 0, "LEVEL", "the same, with what nodes log from that level on (default: warn)" },
    { "events", 0, "FILE",
      "a line for every event of the simulated universe (-: standard output)" },
    { "history", 0, "FILE", "what clients saw, as JSON lines" },
    { "no-shrink", 0, NULL, "leave a failure as it is" },
    { "list", 0, NULL, "the faults" },
    { 0 },
};

const struct cli_command cli_sim_commands[] = {
    { .name = "sim",
      .arguments = "",
      .summary = "a cluster in virtual time, under faults, from a seed",
      .detail = detail,
      .examples =
          "flotilla sim --seed 7\nflotilla sim --seed 7 --minutes 2 --trace\n"
          "flotilla sim --seeds 100 --jobs 2\nflotilla sim --seed 7 --nodes 5 --faults kill,cut\n",
      .options = options,
      .least = 0,
      .most = 0,
      .run = run_sim },
    { 0 },
};
