/* Values as people read them in a console. */
#pragma once

#include "base/value.h"

/* Appends `v` in a format, without a final line end:
 *   table   a list of maps as a table with aligned columns, a map as names and values, the rest as text
 *   lua     a literal that Lua reads back
 *   json    pretty JSON (base/value.h)
 * An unknown format is "table". */
MUST_USE err_t script_render(const struct value *v, const char *format, struct buf *ret);
