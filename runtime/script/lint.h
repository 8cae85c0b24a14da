/* Names in a script that nobody defines: forbidden globals, and typing errors, found before anything runs. */
#pragma once

#include "base/buf.h"

struct script_finding {
    char name[64];
    unsigned line;
};

/* The first name in `text` that is read or written as a global but is none of the sandbox's. The text must compile.
 * A name that the file declares anywhere (local, parameter, loop variable) counts as declared everywhere: a miss is
 * caught when it runs, a false alarm never happens. */
bool script_lint(struct bytes text, struct script_finding *ret);
