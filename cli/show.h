/* Results on standard output: tables for people, JSON and Lua for programs, raw for the shell.
 *
 *     table   key   value         json   [{"key":"a","value":"1"},      lua   { { key = "a", value = "1" },
 *             a     1                     {"key":"b","value":"2"}]             { key = "b", value = "2" } }
 *             b     2             raw    a<TAB>1<NEWLINE>b<TAB>2<NEWLINE>, bytes as they are
 *
 * In JSON, bytes that are no UTF-8 become {"base64": "..."}; numbers above 2^53 become text. */
#pragma once

#include "base/value.h"
#include "cli.h"
#include "text.h"

/* A result: a list of maps is a table, a map is a list of names and values, anything else is itself. */
void show(struct cli *cli, const struct value *v);

/* Rows one by one, so that a long scan needs no memory: begin, row (a map, with the same names in every row), end. */
struct show_rows {
    struct cli *cli;
    enum cli_coding coding; /* of bytes in tables and raw */
    size_t cut;             /* bytes of a value that a table shows; 0: all */
    struct value page;      /* rows of a table, gathered until their widths are known */
    uint64_t count;
    size_t widths[16]; /* of the pages before */
};
void show_rows_begin(struct show_rows *rows, struct cli *cli, enum cli_coding coding, size_t cut);
/* Where the next row is filled in; NULL-kind until then. Shown at the next call. */
struct value *show_rows_add(struct show_rows *rows);
void show_rows_end(struct show_rows *rows);

/* Appends a value as a Lua literal. */
void show_lua(const struct value *v, struct buf *out);
