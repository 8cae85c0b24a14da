/* Bytes and people: keys and values on the command line and on the screen. */
#pragma once

#include "base/buf.h"
#include "cli.h"

enum cli_coding { CLI_TEXT, CLI_HEX, CLI_BASE64 };

/* From --hex and --base64. False: complained (both were given). */
bool text_coding(struct cli *cli, enum cli_coding *ret);
/* An argument as bytes, by its coding. False: complained. The caller frees `ret`. */
bool text_parse(struct cli *cli, const char *what, const char *argument, enum cli_coding coding,
                struct buf *ret);
/* As text_parse(), but "-" is all of standard input, byte by byte. */
bool text_parse_or_read(struct cli *cli, const char *what, const char *argument,
                        enum cli_coding coding, struct buf *ret);

/* Appends what a terminal may show: UTF-8 stays, everything else and the backslash become \xNN, \n, \\. `max` bytes
 * of input at most (0: all), then "..." and the length. */
void text_escape(struct bytes in, size_t max, struct buf *out);
/* Appends the bytes in a coding; CLI_TEXT: as text_escape() without a limit. */
void text_encode(struct bytes in, enum cli_coding coding, struct buf *out);
/* Columns that a terminal needs for UTF-8 text. */
size_t text_width(struct bytes text);
