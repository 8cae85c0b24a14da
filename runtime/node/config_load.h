/* From the text of a config file to struct node_config. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/value.h"
#include "node/config.h"

enum { CONFIG_TEXT_MAX = 1 << 20 }; /* bytes of a config file */

/* Runs the text in the scripts' sandbox, checks the table that it returns against the schema and
 * the rules that tie options to each other, and fills `ret`. `name` is the file as messages name
 * it. On failure `report` (may be NULL; appended to; the caller frees it) has every mistake, one
 * a line, and `e` the first: "node.lua:4: limits.frame_max: 1KiB is too small; the least is 5MiB".
 * ERR_INVALID_ARGUMENT, ERR_SCRIPT (the text is no Lua, or raised an error), ERR_TOO_LARGE. */
MUST_USE err_t config_load(struct bytes text, const char *name, struct node_config *ret,
                           struct buf *report, struct err *e);

/* A config as a tree, every option with its value in the smallest unit (bytes, ms); the caller frees
 * it. */
struct value *config_load_tree(const struct node_config *config);
/* Its policy.params: script -> name -> value. The caller frees it. */
struct value *config_load_params(const struct node_config *config);
/* The options of config/schema.lua, as text and as a tree (the caller frees it). */
struct bytes config_load_schema_text(void);
MUST_USE err_t config_load_schema(struct value **ret, struct err *e);
