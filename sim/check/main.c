/* history_check: reads histories and says whether they are linearizable (usage below). */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "sim_check/linear.h"

enum { EXIT_NO = 1, EXIT_USAGE = 2, EXIT_VOID = 3, EXIT_UNDECIDED = 4 };

static const char usage[] =
    "usage: history_check [--min-ops N] [--budget N] [--explain N] [--merge] [--quiet] FILE...\n"
    "\n"
    "Says of every register (key and key space) of a history whether its operations look as if they had happened one\n"
    "after the other, each between its call and its return. A history is JSON lines (sim/check/README.md); - reads the\n"
    "standard input. Every file is a history of its own.\n"
    "\n"
    "  --min-ops N   a history with fewer answered operations is void (1)\n"
    "  --budget N    configurations to look at, per register, beyond one an operation (1000000)\n"
    "  --explain N   explain the first N violations of a history (3)\n"
    "  --merge       the files are parts of one history, with one clock\n"
    "  --quiet       of registers, print those that are not linearizable\n"
    "\n"
    "Exit code: 0 linearizable; 1 not; 2 usage, or a file that is no history; 3 void: nothing is wrong, and nothing is\n"
    "proved; 4 undecided: the budget ended first.\n";

struct plan {
    struct linear_options options;
    uint64_t min_ops;
    bool merge, quiet;
};

static bool read_stream(FILE *file, struct buf *ret)
{
    enum { STEP = 1 << 16 };
    for (;;) {
        uint8_t *to = buf_reserve(ret, STEP);
        size_t n = to != NULL ? fread(to, 1, STEP, file) : 0;
        ret->len += n;
        if (n == 0)
            return to != NULL && !ferror(file);
    }
}

static bool read_file(const char *path, struct history *h)
{
    bool standard = strcmp(path, "-") == 0;
    FILE *file = standard ? stdin : fopen(path, "rb");
    struct buf text = { 0 };
    struct err e = { 0 };
    bool ok = file != NULL && read_stream(file, &text);
    if (!ok)
        fprintf(stderr, "history_check: could not read %s: %s\n", path, strerror(errno));
    else if (history_read(buf_bytes(&text), h, &e) != ERR_OK)
        ok = false, fprintf(stderr, "history_check: %s: %s\n", path, e.msg);
    if (file != NULL && !standard)
        fclose(file);
    buf_free(&text);
    return ok;
}

static void print_register(const struct linear_register *r)
{
    printf("%-16s  %-9s  \"%.*s\"  %zu operations, %" PRIu64 " configurations\n",
           linear_verdict_name(r->verdict), r->versioned ? "versioned" : "raw", (int)r->key.len,
           (const char *)r->key.data, r->operations, r->configurations);
    if (r->why.len > 0)
        printf("%.*s", (int)r->why.len, (const char *)r->why.data);
}

static int code_of(const struct plan *plan, const struct linear_report *r)
{
    if (r->verdict != LINEAR_YES)
        return r->verdict == LINEAR_NO ? EXIT_NO : EXIT_UNDECIDED;
    return r->answered < plan->min_ops ? EXIT_VOID : 0;
}

static int check(const struct plan *plan, const char *name, const struct history *h)
{
    struct linear_report r;
    linear_check(h, &plan->options, &r);
    int code = code_of(plan, &r);
    for (size_t i = 0; i < r.count; i++)
        if (!plan->quiet || r.registers[i].verdict != LINEAR_YES)
            print_register(&r.registers[i]);
    printf("%s: %s%s, %zu registers, %zu operations (%zu answered, %zu undetermined, %zu failed)\n",
           name, code == EXIT_VOID ? "void: " : "", linear_verdict_name(r.verdict), r.count,
           r.operations, r.answered, r.undetermined, r.failed);
    linear_report_free(&r);
    return code;
}

/* The worst first. */
static int worse(int a, int b)
{
    static const int order[] = { EXIT_USAGE, EXIT_NO, EXIT_UNDECIDED, EXIT_VOID };
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++)
        if (a == order[i] || b == order[i])
            return order[i];
    return 0;
}

static int run(const struct plan *plan, char **paths, int count)
{
    int code = 0;
    for (int i = 0; i < count;) {
        struct history *h = history_new();
        const char *name = plan->merge ? "all files" : paths[i];
        bool ok = true;
        do
            ok = read_file(paths[i++], h) && ok;
        while (plan->merge && i < count);
        code = worse(code, ok ? check(plan, name, h) : EXIT_USAGE);
        history_free(h);
    }
    return code;
}

static bool parse_number(const char *text, uint64_t *ret)
{
    char *end;
    errno = 0;
    *ret = strtoull(text, &end, 10);
    if (errno == 0 && end != text && *end == '\0' && text[0] != '-')
        return true;
    fprintf(stderr, "history_check: \"%s\" is no number\n", text);
    return false;
}

static int help(FILE *to, int code)
{
    fputs(usage, to);
    return code;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        { "min-ops", required_argument, NULL, 'm' },
        { "budget", required_argument, NULL, 'b' },
        { "explain", required_argument, NULL, 'e' },
        { "merge", no_argument, NULL, 'j' },
        { "quiet", no_argument, NULL, 'q' },
        { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 },
    };
    struct plan plan = { .options = { .explanations = 3 }, .min_ops = 1 };
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        uint64_t number = 0;
        if (c == 'h')
            return help(stdout, 0);
        if (c == '?')
            return help(stderr, EXIT_USAGE);
        if (optarg != NULL && !parse_number(optarg, &number))
            return EXIT_USAGE;
        if (c == 'm')
            plan.min_ops = number;
        else if (c == 'b')
            plan.options.budget = number;
        else if (c == 'e')
            plan.options.explanations = number;
        else if (c == 'j')
            plan.merge = true;
        else if (c == 'q')
            plan.quiet = true;
    }
    if (optind == argc)
        return help(stderr, EXIT_USAGE);
    return run(&plan, argv + optind, argc - optind);
}
