/* host.call(): how a script asks the node, and waits.
 *
 *   lane                                      loop
 *   script_door_ask --env_post-------------->  door.call(name, arguments, call)
 *        waits under the host's lock                 ...
 *        <-------------------- wake ----------  script_call_answer(call, ...)
 *
 * A script that is cancelled leaves its call behind; the answer then frees it. A host that is gone is no host to
 * answer to: its calls stay whole until they are answered, and are freed then. */
#pragma once

#include "base/list.h"
#include "script.h"
#include "state.h"

/* A lane's access to the door; in s->line for the time of a run. */
struct script_line {
    struct script_host *host;
    const struct script_stop *stop;
    char who[96]; /* "console:root": added to every question as `who` */
};

/* Asks and waits for the answer; takes over `arguments` (a map, or NULL). Not on the loop thread, but in a world
 * without threads: there only what is answered at once is an answer. On ERR_OK the caller frees `ret` (may be NULL). */
err_t script_door_ask(const struct script_line *line, const char *name, struct value *arguments,
                      struct value **ret, struct err *e);
/* Loop thread: every call that nobody waits for any more forgets its host. All lanes are closed. */
void script_door_close(struct script_host *host);
/* Sets the global `host` = { call = function(name, arguments) }. May raise. */
void script_door_open(lua_State *L);
