/* Checks what a config file returned against config/schema.lua, and fills in what it left out.
 *
 *      schema (list of options)  +  given (map)   ->   a map with every option, in the schema's order
 *
 *      { name = 'idle_ms', type = 'duration',          idle_ms = '5min'   ->   u64 300000
 *        default = '5min', min = '1s' }
 *
 * Every mistake is one line of the report, `file:line: option: what is wrong; what to write`, and
 * all mistakes of a file are reported at once. */
#pragma once

#include "base/buf.h"
#include "base/value.h"
#include "config_lines.h"

struct config_report {
    const char *file;                 /* as the messages name it */
    const struct config_lines *lines; /* where options stand; may be NULL */
    struct buf text;                  /* a line for each mistake; buf_free() */
    unsigned count;
};

/* Adds a mistake in option `path` ("limits.frame_max"; "": the file as a whole). */
void config_report_add(struct config_report *report, const char *path, const char *fmt, ...)
    PRINTF_LIKE(3, 4);

/* The checked tree: text stays bytes, sizes are u64 bytes, durations u64 in the unit that ends the
 * option's name, integers u64. ERR_INVALID_ARGUMENT with the first mistake in `e` and all of them
 * in the report. The caller frees `ret` with value_free(). */
MUST_USE err_t config_schema_apply(const struct value *schema, const struct value *given,
                                   struct config_report *report, struct value **ret, struct err *e);
