/* Values across the boundary. Both directions raise in Lua's way, so the tree under work is always s->value, which the
 * state frees; the caller takes it away with script_marshal_take(). */
#pragma once

#include "state.h"

enum { SCRIPT_MARSHAL_BYTES = 4 << 20 }; /* text of one tree */

/* Makes s->value of the Lua value at `index`. A table whose keys are 1..n is a list, any other a map whose keys become
 * text, in the order in which the node gave them,
 * or else in pairs() order; an empty table is an empty list. Functions and other things without a value: their
 * tostring() if `lenient`, else an error. */
void script_marshal_read(lua_State *L, int index, bool lenient);
/* Takes s->value away (NULL if there is none). */
struct value *script_marshal_take(struct script_state *s);
/* Pushes `v`, which the caller keeps alive across a raise. */
void script_marshal_push(lua_State *L, const struct value *v);
/* Prepares a state. May raise. */
void script_marshal_open(lua_State *L);
