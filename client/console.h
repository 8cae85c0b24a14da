/* The console's calls, for our own CLI: they work on the node's Unix socket alone and are not installed. */
#pragma once

#include <signal.h>

#include "flotilla/client.h"

struct flotilla_output {
    char *text; /* what was printed, then the values; NUL behind; flotilla_free() */
    size_t len;
    bool incomplete; /* the text is the beginning of a statement: send it again with more lines */
    uint64_t elapsed_us, instructions;
};

/* Runs `text` in the connection's Lua state. `format`: "table", "lua", "json". `budget_ms` 0: the session's. When
 * `*cancel` (may be NULL) becomes non-zero, say by a signal handler, the running script is told to end, and the call
 * answers CANCELLED once it has. Never retried: a lost connection is UNDETERMINED, and the next call begins a fresh
 * session. A script's error is INVALID_ARGUMENT; what it printed before is in ret->text all the same. */
int flotilla_console_eval(struct flotilla *db, const char *text, const char *format,
                          uint32_t budget_ms, volatile sig_atomic_t *cancel,
                          struct flotilla_output *ret, struct flotilla_error *error);

/* Words that may stand where the word at the end of `text` begins (`*start`, a byte offset). An array of NUL-ended
 * texts with a NULL at its end, in one piece: flotilla_free(). */
int flotilla_console_complete(struct flotilla *db, const char *text, uint32_t *start, char ***words,
                              size_t *count, struct flotilla_error *error);
