/* A bundle that runs: its sources, its one lua_State, what its files say they are.
 *
 *   sources --compile--> --lint--> --load--> --schema--> --parameters--> --dry run--> bundle
 *
 *   any step may refuse: nothing changes
 *
 * A bundle is used by one lane at a time. State crosses to its successor only through save() and init(). */
#pragma once

#include "script.h"
#include "sources.h"
#include "state.h"

struct script_bundle {
    struct script_sources *sources;
    struct script_state *state;
    uint64_t generation;
    const char *preferred;       /* while building */
    uint64_t check_instructions; /* of the dry run, for `policy check` */
    size_t check_proposals;
    struct script_policy_info policies[32];
    size_t policy_count;
    struct value
        *params; /* a list beside `policies`: maps of the parameters in force; empty: none */
};

/* Builds and checks; takes over one ownership of `sources`, also on failure. `before` (may be NULL) is the bundle
 * whose state is carried over; it stays as it is. If
 * `preferred` (may be NULL) names a file with a placement policy, that one is asked instead of pd.lua. `params` (may be
 * NULL) is the config's: script -> name -> number, boolean or bytes; one that fits no schema is ERR_INVALID_ARGUMENT.
 * ERR_SCRIPT, ERR_BUDGET, ...: `e` has file, line, source line. */
MUST_USE err_t script_bundle_build(struct script_sources *sources,
                                   const struct script_limits *limits,
                                   const struct script_stop *stop, uint64_t generation,
                                   const char *preferred, const struct value *params,
                                   struct script_bundle *before, struct script_bundle **ret,
                                   struct err *e);
void script_bundle_free(struct script_bundle *b); /* NULL is welcome */

/* Pushes the placement policy's table. May raise. */
void script_bundle_push_policy(lua_State *L);
