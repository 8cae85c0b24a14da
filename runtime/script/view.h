/* What a policy sees: a copy of the placement driver's view, and the userdata through which Lua reads it.
 *
 * A view lives for one plan. Lua may keep its userdata longer, but each carries the number of its plan, and one of an
 * earlier plan is refused (trap D85). 100,000 regions cost nothing until they are looked at. */
#pragma once

#include "pd/policy.h"
#include "state.h"

struct view;

/* Copies all of `from`, in one block. ERR_NOMEM. */
MUST_USE err_t script_view_copy(const struct pd_view *from, struct view **ret);
void script_view_free(struct view *view); /* NULL is welcome */
const struct pd_view *script_view_plain(const struct view *view);
const struct pd_region_view *script_view_region(const struct view *view,
                                                uint64_t id); /* NULL: none */

/* Makes the metatables. May raise. */
void script_view_open(lua_State *L);
/* Pushes s->view for Lua. May raise. */
void script_view_push(lua_State *L);
/* The id of what is at `index`: a u64, a whole number, or a region of this plan. Never raises. */
bool script_view_region_id(lua_State *L, int index, uint64_t *ret);
/* A tiny view for the self-test of a bundle: two stores; an empty, a small and a large busy region. */
MUST_USE err_t script_view_sample(struct view **ret);
