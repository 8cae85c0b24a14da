/* One plan: a view goes in, checked proposals come out. Lua proposes; what it says is limited, then checked, then
 * trusted. One wrong proposal, an error or a breach of the budget discards the whole set. */
#pragma once

#include "bundle.h"
#include "pd/policy.h"
#include "view.h"

enum { SCRIPT_PROPOSALS_MAX = 1000, SCRIPT_NOTES_MAX = 4096 /* bytes */ };

struct script_plan {
    struct pd_plan plain; /* what the placement driver sees; points into the rest */
    struct pd_proposal *proposals;
    size_t count;
    struct buf notes, error;
};

/* Always fills `ret`, but its elapsed_ns: a refused plan carries rc and error. Free it with script_policy_free(). */
void script_policy_plan(struct script_bundle *b, const struct script_stop *stop,
                        const struct view *view, struct script_plan *ret);
void script_policy_free(struct script_plan *plan);
