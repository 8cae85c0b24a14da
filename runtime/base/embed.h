/* A text file that was embedded at build time (cmake/embed_lua.cmake). */
#pragma once

#include <stddef.h>

struct embedded_file {
    const char *name;        /* path relative to its source folder, e.g. "lib/set.lua" */
    const char *begin, *end; /* static; *end is NUL */
};
