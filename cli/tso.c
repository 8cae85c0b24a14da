/* flotilla tso: timestamps that nobody else gets. */
#include <stdlib.h>
#include <time.h>

#include "show.h"

enum { COUNT_MAX = 1000000, COUNT_OF_REQUEST = 10000, LOGICAL_BITS = 18 };

static void show_stamp(struct show_rows *rows, uint64_t stamp)
{
    struct value *row = show_rows_add(rows);
    uint64_t ms = stamp >> LOGICAL_BITS;
    value_put_u64(value_set(row, "stamp"), stamp);
    if (rows->cli->format == CLI_RAW)
        return;
    char text[40], whole[64];
    time_t s = (time_t)(ms / 1000);
    struct tm tm;
    gmtime_r(&s, &tm);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(whole, sizeof whole, "%s.%03uZ", text, (unsigned)(ms % 1000));
    value_put_text(value_set(row, "time"), whole);
    value_put_u64(value_set(row, "counter"), stamp & ((1u << LOGICAL_BITS) - 1));
}

static int run_tso(struct cli *cli, int argc, char **argv)
{
    (void)argc, (void)argv;
    uint64_t count = 1, first;
    int code = CLI_OK;
    const char *text = cli_given(cli, "count");
    if (text != NULL && !cli_number(cli, "--count", text, COUNT_MAX, &count, &code))
        return code;
    if (count == 0)
        return cli_usage(cli, "--count must be at least 1");
    code = cli_connect(cli);
    if (code != CLI_OK)
        return code;
    struct show_rows rows;
    show_rows_begin(&rows, cli, CLI_TEXT, 0);
    while (count > 0 && code == CLI_OK) {
        struct flotilla_error error;
        uint32_t n = count < COUNT_OF_REQUEST ? (uint32_t)count : COUNT_OF_REQUEST;
        if (flotilla_get_tso(cli->db, n, &first, &error) != FLOTILLA_OK)
            code = cli_error(cli, &error);
        for (uint32_t i = 0; code == CLI_OK && i < n; i++)
            show_stamp(&rows, first + i);
        count -= n;
    }
    show_rows_end(&rows);
    return code;
}

static const struct cli_option options[] = {
    { "count", 0, "N", "how many (default: 1)" },
    { 0 },
};

const struct cli_command cli_tso_commands[] = {
    { .name = "tso",
      .arguments = "",
      .summary = "get timestamps from the oracle",
      .detail =
          "Each is greater than every one handed out before, to anybody, also across restarts. A stamp\n"
          "is milliseconds since 1970 times 2^18, plus a counter. -o raw gives the number alone.\n",
      .examples = "flotilla tso\nflotilla tso --count 3\nflotilla tso -o raw\n",
      .options = options,
      .least = 0,
      .most = 0,
      .formats = true,
      .connects = true,
      .run = run_tso },
    { 0 },
};
