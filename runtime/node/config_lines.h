/* Where in a config file an option stands.
 *
 *      1  return {                          limits                 line 3
 *      2    address = '127.0.0.1:7700',     limits.frame_max       line 4
 *      3    limits = {
 *      4      frame_max = '16MiB',
 *      5    stores = { { id = 1 },         stores[1].id           line 5
 *
 * A table that Lua has evaluated knows no lines, and of a key that is set twice it knows only the
 * last one. So the text is read a second time, by a scanner that understands strings, comments and
 * nested tables and no more. What a file computes instead of writing down has no line; that costs
 * a line number in a message, nothing else. */
#pragma once

#include <stdint.h>

#include "base/buf.h"

enum {
    CONFIG_PATH_MAX = 128, /* bytes of a dotted path, with the NUL */
    CONFIG_LINES_MAX = 4096,
    CONFIG_DEPTH_MAX = 16,
};

struct config_line {
    char path[CONFIG_PATH_MAX];
    uint32_t line;
    uint32_t before; /* the line of an earlier setting of the same key in the same table; 0: none */
};
struct config_lines {
    struct config_line *items;
    size_t count, cap;
};

/* Finds every `name =` and `['name'] =` of the table that the file returns. Never fails: what it
 * does not understand, it leaves out. The caller ends it with config_lines_free(). */
void config_lines_scan(struct config_lines *ret, struct bytes text);
/* The line of the last setting of `path`; 0: not in the text. */
uint32_t config_lines_find(const struct config_lines *lines, const char *path);
void config_lines_free(struct config_lines *lines); /* {0} is welcome */
