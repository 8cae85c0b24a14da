/* raft_script FILE...: runs scripts against the core and prints them with what really came out.
 *
 *   --check      compare with the expected text instead; exits with 1 at the first difference of a file
 *   --rewrite    write the actual output into the file
 *   --jitter 0   every randomised election timeout is the election timeout (what the scripts expect) */
#include "script.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

static char *read_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    struct buf text = { 0 };
    char chunk[4096];
    size_t n;
    if (file == NULL) {
        fprintf(stderr, "raft_script: cannot read %s\n", path);
        exit(2);
    }
    while ((n = fread(chunk, 1, sizeof chunk, file)) > 0)
        if (buf_append(&text, bytes_from(chunk, n)) != ERR_OK)
            abort();
    fclose(file);
    if (buf_append(&text, bytes_from("", 1)) != ERR_OK)
        abort();
    return (char *)text.data;
}

/* Runs one file; `out` is the file with actual outputs. Answers the number of differences. */
static unsigned run_file(const char *path, bool no_jitter, bool check, struct buf *out)
{
    char *text = read_file(path);
    const char *at = text;
    unsigned line = 0, differ = 0;
    struct env_nodes *nodes = nodes_new(no_jitter);
    struct table *table = table_new();
    struct script_cmd cmd;
    while (script_next(&at, &line, out, &cmd)) {
        struct buf actual = { 0 };
        if (!nodes_run(nodes, &cmd, &actual) && !table_run(table, &cmd, &actual)) {
            fprintf(stderr, "raft_script: %s:%u: there is no command \"%s\"\n", path, cmd.line,
                    cmd.name);
            exit(2);
        }
        if (actual.len == 0)
            say(&actual, "ok");
        if (actual.data[actual.len - 1] != '\n')
            say(&actual, "\n");
        if (!bytes_equal(buf_bytes(&actual), BYTES(cmd.expected))) {
            differ++;
            if (check && differ == 1)
                printf("%s:%u: %s differs\n--- expected\n%s--- actual\n%.*s", path, cmd.line,
                       cmd.name, cmd.expected, (int)actual.len, (const char *)actual.data);
        }
        say(out, "%.*s", (int)actual.len, (const char *)actual.data);
        buf_free(&actual);
        script_cmd_free(&cmd);
    }
    nodes_free(nodes);
    table_free(table);
    free(text);
    return differ;
}

int main(int argc, char **argv)
{
    static const struct option options[] = { { "check", no_argument, NULL, 'c' },
                                             { "rewrite", no_argument, NULL, 'r' },
                                             { "jitter", required_argument, NULL, 'j' },
                                             { NULL, 0, NULL, 0 } };
    bool check = false, rewrite = false, no_jitter = false;
    unsigned failed = 0;
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 'c')
            check = true;
        else if (c == 'r')
            rewrite = true;
        else if (c == 'j')
            no_jitter = strcmp(optarg, "0") == 0;
        else
            return 2;
    }
    if (optind == argc) {
        fprintf(stderr, "usage: raft_script [--check | --rewrite] [--jitter 0] FILE...\n");
        return 2;
    }
    for (int i = optind; i < argc; i++) {
        struct buf out = { 0 };
        unsigned differ = run_file(argv[i], no_jitter, check, &out);
        failed += differ > 0;
        if (check) {
            printf("%-4s %s\n", differ == 0 ? "ok" : "FAIL", argv[i]);
        } else if (rewrite) {
            FILE *file = fopen(argv[i], "wb");
            if (file == NULL || fwrite(out.data, 1, out.len, file) != out.len || fclose(file) != 0)
                return 2;
        } else {
            fwrite(out.data, 1, out.len, stdout);
        }
        buf_free(&out);
    }
    if (check)
        printf("%d passed, %u failed\n", argc - optind - (int)failed, failed);
    return check && failed > 0;
}
