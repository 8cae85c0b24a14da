/* The allow list: all that Lua can name on a node. What is not put here does not exist for scripts. */
#pragma once

#include "state.h"

/* Fills a state: lua_CFunction for script_state_run(). */
int script_sandbox_open(lua_State *L);
/* Pushes the text of the value at `index`: numbers, strings, u64 as they are, __tostring asked, other tables and
 * functions by their type alone, since an address would differ from run to run. May raise. */
void script_sandbox_tostring(lua_State *L, int index);
/* True for the globals of the sandbox (and print, host, which some states have). */
bool script_sandbox_global(struct bytes name);

/* Its parts; each fills the table on top of the stack or sets globals there. */
void script_strings_open(lua_State *L); /* strings.c: string, and the strings' metatable */
void script_pattern_open(
    lua_State *L); /* pattern.c: find, match, gmatch, gsub into the table on top */
void script_tables_open(lua_State *L); /* tables.c: table, unpack */
void script_order_open(lua_State *L);  /* order.c: pairs, next */
void script_u64_open(lua_State *L);    /* u64.c: u64 */
void script_format_open(lua_State *L); /* format.c: format into the table on top */
