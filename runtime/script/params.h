/* Parameters of policies: what a schema allows, what the node's config sets.
 *
 *   schema   params = { max_bytes = { type = 'number', default = 67108864, min = 1024, doc = '...' } }
 *   config   policy = { params = { split = { max_bytes = 1048576 } } }
 *
 * The config's value is put into the schema as `value`, beside the default: every file of the bundle finds it there
 * (lib/values.lua), not only the one that is asked. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <lua.h>

#include "base/value.h"

enum { SCRIPT_PARAMS_WHY_MAX = 400 }; /* bytes of what is wrong, with the NUL */

/* The module, whose schema has been checked, is on top of the stack. Sets what `given` (a map) says.
 * False: what is wrong, behind "policy.params.<script>", in `why`; the bundle is of no use then. May raise. */
bool script_params_set(lua_State *L, const struct value *given, char why[SCRIPT_PARAMS_WHY_MAX]);
/* Pushes a fresh table of the values in force. May raise. */
void script_params_push(lua_State *L, int module);
