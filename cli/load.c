/* flotilla kv load, kv dump: everything in, everything out.
 *
 *      file --line--> batch being filled --full--> up to 4 batches on the wire --any order--> acknowledged
 *
 * 1. Rows of a batch are applied in their order; batches on the wire may overtake one another (the library sends one
 *    again while the server is busy). So a key that stands in an unanswered batch waits until all are answered:
 *    of equal keys the last one wins, as in the file.
 * 2. `acknowledged` is the line up to which everything is on the server's disk: what --skip takes to resume. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/value.h"
#include "jsonl.h"
#include "progress.h"
#include "text.h"

enum { BATCHES = 4, BATCH_ROWS = 500, BATCH_BYTES = 512 << 10, SEEN = 2048, DUMP_FLUSH = 64 << 10 };
_Static_assert(SEEN >= 2 * BATCH_ROWS, "the tables of keys stay half empty");

struct loader;
struct slot {
    struct loader *loader;
    struct flotilla_batch *batch;
    bool on_wire;
    uint64_t last_line;  /* the last line in it */
    uint64_t seen[SEEN]; /* hashes of its keys, open addressing; 0: free */
    uint64_t lines[BATCH_ROWS];
};
struct loader {
    struct cli *cli;
    struct slot slots[BATCHES];
    struct slot *filling;
    FILE *file;
    bool cas;      /* --cas: every row */
    uint64_t line; /* the last line that was read */
    uint64_t done_rows, done_line, bytes;
    uint64_t failed_line; /* the first line of a batch without an outcome; 0: none */
    uint64_t conflicts, refused;
    int code; /* CLI_OK, or why it ends */
    struct progress progress;
    volatile sig_atomic_t *interrupted;
};

/* ---- Batches ------------------------------------------------------------------------------------------------ */

static uint64_t key_hash(const struct jsonl_row *row, bool cas)
{
    uint64_t h = cas ? 0x9ae16a3b2f90404full : 0xcbf29ce484222325ull; /* FNV-1a, then mixed */
    for (size_t i = 0; i < row->key.len; i++)
        h = (h ^ row->key.data[i]) * 0x100000001b3ull;
    h ^= h >> 32;
    return h == 0 ? 1 : h;
}

static bool has_key(const struct slot *s, uint64_t hash)
{
    for (size_t i = hash % SEEN; s->seen[i] != 0; i = (i + 1) % SEEN)
        if (s->seen[i] == hash)
            return true;
    return false;
}

static void add_key(struct slot *s, uint64_t hash)
{
    size_t i = hash % SEEN;
    while (s->seen[i] != 0 && s->seen[i] != hash)
        i = (i + 1) % SEEN;
    s->seen[i] = hash;
}

/* The line up to which everything is answered: below every batch that is on the wire or has failed. */
static void advance(struct loader *l, uint64_t answered_line)
{
    uint64_t line = answered_line > l->done_line ? answered_line : l->done_line;
    for (int i = 0; i < BATCHES; i++)
        if (l->slots[i].on_wire && l->slots[i].lines[0] <= line)
            line = l->slots[i].lines[0] - 1;
    if (l->failed_line != 0 && l->failed_line <= line)
        line = l->failed_line - 1;
    l->done_line = line;
}

static void report_outcomes(struct loader *l, struct slot *s)
{
    size_t n = flotilla_batch_count(s->batch);
    for (size_t i = 0; i < n; i++) {
        uint64_t version = 0;
        int rc = flotilla_batch_result(s->batch, i, &version);
        l->done_rows += rc == FLOTILLA_OK;
        if (rc == FLOTILLA_CONFLICT && l->conflicts++ < 5)
            cli_fail(l->cli, 0,
                     "line %" PRIu64 ": the versioned key is there already, at version %" PRIu64
                     "; it was left as it is",
                     s->lines[i], version);
        else if (rc != FLOTILLA_OK && rc != FLOTILLA_CONFLICT && l->refused++ < 5)
            cli_fail(l->cli, 0, "line %" PRIu64 ": %s", s->lines[i], flotilla_code_name(rc));
    }
}

static void batch_done(void *user, const struct flotilla_result *result)
{
    struct slot *s = user;
    struct loader *l = s->loader;
    s->on_wire = false;
    if (result->code == FLOTILLA_OK) {
        report_outcomes(l, s);
        advance(l, s->last_line);
    } else if (l->failed_line == 0 || s->lines[0] < l->failed_line) {
        l->failed_line = s->lines[0];
        struct flotilla_error error = { .code = result->code };
        snprintf(error.message, sizeof error.message, "lines %" PRIu64 " to %" PRIu64 ": %s",
                 s->lines[0], s->last_line, result->message);
        l->code = cli_error(l->cli, &error);
    }
    flotilla_batch_clear(s->batch);
    memset(s->seen, 0, sizeof s->seen);
}

static void wait_some(struct loader *l)
{
    flotilla_wait(l->cli->db, 200);
    progress_update(&l->progress, l->bytes, l->done_rows);
}

static void drain(struct loader *l)
{
    while (flotilla_pending(l->cli->db) > 0)
        wait_some(l);
}

static void send_batch(struct loader *l)
{
    struct slot *s = l->filling;
    if (s == NULL || flotilla_batch_count(s->batch) == 0)
        return;
    struct flotilla_op op = { .kind = FLOTILLA_OP_BATCH, .batch = s->batch };
    struct flotilla_error error;
    s->on_wire = true;
    s->last_line = s->lines[flotilla_batch_count(s->batch) - 1];
    if (flotilla_submit(l->cli->db, &op, batch_done, s, &error) != FLOTILLA_OK) {
        s->on_wire = false;
        l->code = cli_error(l->cli, &error);
    }
    l->filling = NULL;
    flotilla_process(l->cli->db);
    progress_update(&l->progress, l->bytes, l->done_rows);
}

/* A free batch to fill: waits for one. */
static struct slot *next_slot(struct loader *l)
{
    while (l->filling == NULL && l->code == CLI_OK) {
        for (int i = 0; i < BATCHES && l->filling == NULL; i++)
            if (!l->slots[i].on_wire && flotilla_batch_count(l->slots[i].batch) == 0)
                l->filling = &l->slots[i];
        if (l->filling == NULL)
            wait_some(l);
    }
    return l->filling;
}

/* ---- Rows --------------------------------------------------------------------------------------------------- */

static int add_to_batch(struct loader *l, const struct jsonl_row *row, bool cas)
{
    struct flotilla_bytes key = flotilla_bytes(row->key.data, row->key.len);
    struct flotilla_bytes value = flotilla_bytes(row->value.data, row->value.len);
    struct flotilla_batch *batch = l->filling->batch;
    return cas ? flotilla_batch_cas_put(batch, l->cli->ns, key, 0, value)
               : flotilla_batch_put(batch, l->cli->ns, key, value);
}

static void add_row(struct loader *l, const struct jsonl_row *row)
{
    bool cas = l->cas || row->versioned;
    uint64_t hash = key_hash(row, cas);
    for (int i = 0; i < BATCHES; i++)
        if (l->slots[i].on_wire && has_key(&l->slots[i], hash)) {
            drain(l);
            break;
        }
    if (next_slot(l) == NULL)
        return;
    int rc = add_to_batch(l, row, cas);
    if (rc == FLOTILLA_TOO_LARGE && flotilla_batch_count(l->filling->batch) > 0) {
        send_batch(l);
        if (next_slot(l) == NULL)
            return;
        rc = add_to_batch(l, row, cas);
    }
    if (rc != FLOTILLA_OK) {
        l->code = cli_fail(l->cli, CLI_FAILED, "line %" PRIu64 ": %s", l->line,
                           rc == FLOTILLA_TOO_LARGE ? "key and value are larger than a batch may be"
                                                    : flotilla_code_name(rc));
        return;
    }
    add_key(l->filling, hash);
    size_t n = flotilla_batch_count(l->filling->batch);
    l->filling->lines[n - 1] = l->line;
    if (n == BATCH_ROWS || flotilla_batch_size(l->filling->batch) >= BATCH_BYTES)
        send_batch(l);
}

static void read_rows(struct loader *l, uint64_t skip)
{
    char *text = NULL;
    size_t cap = 0;
    ssize_t len;
    while (l->code == CLI_OK && !*l->interrupted && (len = getline(&text, &cap, l->file)) >= 0) {
        l->line++;
        l->bytes += (uint64_t)len;
        while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r'))
            len--;
        if (len == 0 || l->line <= skip)
            continue;
        struct jsonl_row row;
        struct err e = { 0 };
        err_t rc = len > JSONL_LINE_MAX
                       ? err_set(&e, ERR_TOO_LARGE, "it has %zd bytes; the most is %d", len,
                                 JSONL_LINE_MAX)
                       : jsonl_read(bytes_from(text, (size_t)len), &row, &e);
        if (rc != ERR_OK) {
            l->code = cli_fail(l->cli, CLI_FAILED, "line %" PRIu64 " is no row of a dump: %s",
                               l->line, e.msg);
            break;
        }
        add_row(l, &row);
        jsonl_row_free(&row);
    }
    if (l->code == CLI_OK && !*l->interrupted && ferror(l->file))
        l->code = cli_fail(l->cli, CLI_FAILED, "could not read on behind line %" PRIu64 ": %s",
                           l->line, strerror(errno));
    free(text);
}

/* ---- load --------------------------------------------------------------------------------------------------- */

static void say_end(struct loader *l, const char *name, uint64_t ms)
{
    struct cli *cli = l->cli;
    fprintf(cli->err, "flotilla kv load: %" PRIu64 " rows in %.1f s, %.0f rows/s\n", l->done_rows,
            (double)ms / 1000, (double)l->done_rows * 1000 / (double)(ms > 0 ? ms : 1));
    if (l->conflicts > 0)
        fprintf(cli->err,
                "flotilla kv load: %" PRIu64 " versioned keys were there already, and were left\n",
                l->conflicts);
    if (l->refused > 0)
        fprintf(cli->err, "flotilla kv load: %" PRIu64 " rows were refused\n", l->refused);
    if (l->code == CLI_OK)
        return;
    fprintf(cli->err,
            "flotilla kv load: everything up to line %" PRIu64 " is stored; to go on: flotilla",
            l->done_line);
    if (strcmp(cli->namespace_name, "default") != 0)
        fprintf(cli->err, " -n %s", cli->namespace_name);
    fprintf(cli->err, " kv load --skip %" PRIu64 "%s %s\n", l->done_line, l->cas ? " --cas" : "",
            name);
}

static bool make_batches(struct loader *l)
{
    for (int i = 0; i < BATCHES; i++) {
        l->slots[i].loader = l;
        l->slots[i].batch = flotilla_batch_new();
        if (l->slots[i].batch == NULL)
            return false;
    }
    return true;
}

static int load(struct cli *cli, const char *name, FILE *file, uint64_t skip)
{
    struct stat st;
    struct loader *l = calloc(1, sizeof *l);
    int code = cli_namespace(cli);
    if (l == NULL || code != CLI_OK) {
        free(l);
        return code != CLI_OK ? code : cli_fail(cli, CLI_FAILED, "out of memory");
    }
    *l = (struct loader){ .cli = cli, .file = file, .cas = cli_given(cli, "cas") != NULL };
    l->done_line = skip;
    l->interrupted = cli->catch_interrupts();
    bool sized = fstat(fileno(file), &st) == 0 && S_ISREG(st.st_mode);
    progress_begin(&l->progress, cli->err, sized ? (uint64_t)st.st_size : 0);
    if (make_batches(l))
        read_rows(l, skip);
    else
        l->code = cli_fail(cli, CLI_FAILED, "out of memory");
    if (l->failed_line == 0) /* also what stood before a line that is no row */
        send_batch(l);
    drain(l);
    uint64_t ms = progress_end(&l->progress);
    if (l->code == CLI_OK && *l->interrupted)
        l->code = cli_fail(cli, CLI_INTERRUPTED, "interrupted");
    say_end(l, name, ms);
    code = l->code;
    if (code == CLI_OK && (l->conflicts > 0 || l->refused > 0))
        code = l->refused > 0 ? CLI_FAILED : CLI_NO;
    for (int i = 0; i < BATCHES; i++)
        flotilla_batch_free(l->slots[i].batch);
    free(l);
    return code;
}

static int run_load(struct cli *cli, int argc, char **argv)
{
    (void)argc;
    uint64_t skip = 0;
    int code;
    const char *text = cli_given(cli, "skip");
    if (text != NULL && !cli_number(cli, "--skip", text, UINT64_MAX, &skip, &code))
        return code;
    if (strcmp(argv[0], "-") == 0)
        return load(cli, "-", cli->in, skip);
    FILE *file = fopen(argv[0], "rb");
    if (file == NULL)
        return cli_fail(cli, CLI_USAGE, "could not open %s: %s", argv[0], strerror(errno));
    code = load(cli, argv[0], file, skip);
    fclose(file);
    return code;
}

/* ---- dump --------------------------------------------------------------------------------------------------- */

static bool flush_out(struct cli *cli, struct buf *out, int *code)
{
    if (out->len > 0 && fwrite(out->data, 1, out->len, cli->out) != out->len) {
        *code = cli_fail(cli, CLI_FAILED, "could not write the dump: %s", strerror(errno));
        return false;
    }
    buf_clear(out);
    return true;
}

static int dump_rows(struct cli *cli, struct flotilla_scan *at, bool cas)
{
    struct flotilla_error error = { 0 };
    struct flotilla_row row;
    struct buf out = { 0 };
    struct progress progress;
    uint64_t rows = 0, bytes = 0;
    int code = CLI_OK;
    volatile sig_atomic_t *interrupted = cli->catch_interrupts();
    progress_begin(&progress, cli->err, 0);
    while (code == CLI_OK && !*interrupted && flotilla_scan_next(at, &row, &error)) {
        size_t before = out.len;
        if (jsonl_write(bytes_from(row.key.data, row.key.len),
                        bytes_from(row.value.data, row.value.len), cas, row.version,
                        &out) != ERR_OK)
            code = cli_fail(cli, CLI_FAILED, "out of memory");
        rows++;
        bytes += out.len - before;
        if (out.len >= DUMP_FLUSH && flush_out(cli, &out, &code))
            progress_update(&progress, bytes, rows);
    }
    if (code == CLI_OK)
        flush_out(cli, &out, &code);
    uint64_t ms = progress_end(&progress);
    buf_free(&out);
    if (code == CLI_OK && *interrupted)
        return cli_fail(cli, CLI_INTERRUPTED,
                        "interrupted: %" PRIu64 " rows were written, the dump is not whole", rows);
    if (code == CLI_OK && error.code != FLOTILLA_OK) {
        code = cli_error(cli, &error);
        fprintf(cli->err,
                "flotilla kv dump: %" PRIu64 " rows were written, the dump is not whole\n", rows);
    }
    if (progress.shown && code == CLI_OK)
        fprintf(cli->err, "flotilla kv dump: %" PRIu64 " rows in %.1f s\n", rows,
                (double)ms / 1000);
    return code;
}

static int run_dump(struct cli *cli, int argc, char **argv)
{
    (void)argc, (void)argv;
    const char *from = cli_given(cli, "from"), *to = cli_given(cli, "to");
    if (to != NULL && to[0] == '\0')
        return cli_usage(cli, "--to is empty; leave it out to dump to the last key");
    bool cas = cli_given(cli, "cas") != NULL;
    int code = cli_namespace(cli);
    if (code != CLI_OK)
        return code;
    struct flotilla_range range = { .start = from != NULL ? FLOTILLA_TEXT(from) : FLOTILLA_NONE,
                                    .end = to != NULL ? FLOTILLA_TEXT(to) : FLOTILLA_NONE };
    struct flotilla_scan *at;
    struct flotilla_error error;
    if ((cas ? flotilla_cas_scan : flotilla_scan)(cli->db, cli->ns, &range, &at, &error) !=
        FLOTILLA_OK)
        return cli_error(cli, &error);
    code = dump_rows(cli, at, cas);
    flotilla_scan_close(at);
    return code;
}

/* ---- The table ---------------------------------------------------------------------------------------------- */

static const struct cli_option load_options[] = {
    { "skip", 0, "N", "leave out the first N lines: how an interrupted load goes on" },
    { "cas", 0, NULL, "write versioned keys, also from lines without a version" },
    { 0 },
};
static const struct cli_option dump_options[] = {
    { "cas", 0, NULL, "the versioned keys instead of the raw ones" },
    { "from", 0, "KEY", "the first key" },
    { "to", 0, "KEY", "up to, and without, this key" },
    { 0 },
};

const struct cli_command cli_load_commands[] = {
    { .name = "kv load",
      .arguments = "FILE|-",
      .summary = "write the rows of a dump",
      .detail =
          "A row is a line of JSON, key and value in base64; or key_text and value_text, for rows written by\n"
          "hand. Lines with a version are versioned keys: they are created (versions begin anew), and a\n"
          "key that is there already is left and counted. Of equal raw keys the last one wins.\n"
          "\n"
          "Ctrl-C ends it after the batches that are on the way, and says how to go on.\n",
      .examples = "flotilla kv load all.jsonl\n"
                  "flotilla kv dump | flotilla -e 127.0.0.1:7701 kv load -\n"
                  "echo '{\"key_text\":\"k1\",\"value_text\":\"v1\"}' | flotilla kv load -\n",
      .options = load_options,
      .least = 1,
      .most = 1,
      .connects = true,
      .keys = true,
      .run = run_load },
    { .name = "kv dump",
      .arguments = "",
      .summary = "write all rows to standard output",
      .detail =
          "A line of JSON for each, in the order of keys:\n"
          "  {\"key\":\"azE=\",\"value\":\"djE=\"}                raw, both in base64\n"
          "  {\"key\":\"azE=\",\"value\":\"djE=\",\"version\":3}    versioned (--cas)\n"
          "What kv load wrote from a dump dumps again as the same bytes, but for the versions.\n",
      .examples = "flotilla kv dump > all.jsonl\n"
                  "(flotilla kv dump; flotilla kv dump --cas) > everything.jsonl\n",
      .options = dump_options,
      .connects = true,
      .keys = true,
      .run = run_dump },
    { 0 },
};
