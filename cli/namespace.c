/* flotilla namespace: key spaces with a name. */
#include "show.h"

static void put_row(struct value *row, uint32_t id, const char *name, const char *mode)
{
    value_put_u64(value_set(row, "id"), id);
    value_put_text(value_set(row, "name"), name);
    value_put_text(value_set(row, "mode"), mode);
}

static int run_create(struct cli *cli, int argc, char **argv)
{
    (void)argc;
    int code = cli_connect(cli);
    if (code != CLI_OK)
        return code;
    const char *mode = cli_given(cli, "mode") != NULL ? cli_given(cli, "mode") : "strong";
    struct flotilla_error error;
    uint32_t id;
    if (flotilla_namespace_create(cli->db, argv[0], mode, &id, &error) != FLOTILLA_OK)
        return cli_error(cli, &error);
    struct value row = { 0 };
    value_put_map(&row);
    put_row(&row, id, argv[0], mode);
    show(cli, &row);
    value_put_nil(&row);
    return CLI_OK;
}

static int run_list(struct cli *cli, int argc, char **argv)
{
    (void)argc, (void)argv;
    int code = cli_connect(cli);
    if (code != CLI_OK)
        return code;
    struct flotilla_error error;
    struct flotilla_namespace *all;
    size_t count;
    if (flotilla_namespace_list(cli->db, &all, &count, &error) != FLOTILLA_OK)
        return cli_error(cli, &error);
    struct show_rows rows;
    show_rows_begin(&rows, cli, CLI_TEXT, 0);
    for (size_t i = 0; i < count; i++)
        put_row(show_rows_add(&rows), all[i].id, all[i].name, all[i].mode);
    show_rows_end(&rows);
    flotilla_free(all);
    return CLI_OK;
}

static const struct cli_option create_options[] = {
    { "mode", 0, "MODE",
      "strong (default): every write is durable and ordered before it is answered" },
    { 0 },
};

const struct cli_command cli_namespace_commands[] = {
    { .name = "namespace create",
      .arguments = "NAME",
      .summary = "make a key space of its own",
      .detail =
          "NAME is 1 to 64 of a-z 0-9 _ -. What is written in one namespace is invisible in another. Exits\n"
          "with 1 if the name is taken.\n",
      .examples = "flotilla namespace create orders\n"
                  "flotilla -n orders kv put 1 apples\n",
      .options = create_options,
      .least = 1,
      .most = 1,
      .formats = true,
      .connects = true,
      .run = run_create },
    { .name = "namespace list",
      .arguments = "",
      .summary = "the namespaces, by number",
      .examples = "flotilla namespace list\nflotilla namespace list -o json\n",
      .formats = true,
      .connects = true,
      .run = run_list },
    { 0 },
};
