/* A console's Lua state, on a lane of its own. */
#pragma once

#include "host_int.h"

struct session_work;
struct script_session {
    struct script_host *host;
    struct env_lane *lane;
    struct list link; /* in host->sessions */
    struct script_sources *sources;
    struct script_state *state; /* the lane's; made by the first piece of work */
    struct script_line line;
    struct buf text; /* of the last evaluation: error messages quote its lines */
    struct session_work *running;
};
