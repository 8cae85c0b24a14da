/* 64-bit identities and stamps in Lua: a userdata, interned, so that equal values are the same object.
 *
 * Hence `==`, table keys and sets work; `<` and `<=` compare two of them; tostring and .. print decimal. A double
 * would join 2^53 and 2^53 + 1 (trap D82). */
#pragma once

#include "state.h"

#define SCRIPT_U64_EXACT (1ull << 53) /* whole numbers up to here are exact in a double */

/* Pushes the one object of `x`. May raise. */
void script_u64_push(lua_State *L, uint64_t x);
/* True if the value at `index` is a u64. Never raises. */
bool script_u64_is(lua_State *L, int index, uint64_t *ret);
/* True if it is a u64 or a whole number from 0 to 2^53. Never raises. */
bool script_u64_from(lua_State *L, int index, uint64_t *ret);
/* As script_u64_from for an argument of a function: raises what is expected. */
uint64_t script_u64_check(lua_State *L, int index);
/* Pushes it in decimal. */
void script_u64_text(lua_State *L, uint64_t x);
