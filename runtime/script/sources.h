/* The text of a bundle: every .lua file of a folder (or of the program itself), by name, under one digest.
 *
 * Immutable and counted: the bundle that runs, the one that is being built, consoles and admin verbs share it across
 * threads. */
#pragma once

#include <lua.h>

#include "base/buf.h"
#include "base/embed.h"
#include "base/err.h"
#include "env/env.h"

enum {
    SCRIPT_FILES_MAX = 128,
    SCRIPT_FILE_MAX = 512 << 10, /* bytes of a file */
    SCRIPT_BUNDLE_MAX = 4 << 20, /* bytes of all files */
    SCRIPT_FOLDERS_MAX = 4,      /* levels of folders */
};

struct script_sources;

/* Reads `dir` and the folders in it, but not types/ (stubs for editors) nor names that begin with a dot. ERR_NOT_FOUND,
 * ERR_TOO_LARGE, ERR_IO name the file. */
MUST_USE err_t script_sources_read(struct env *env, const char *dir, struct script_sources **ret,
                                   struct err *e);
/* The files in the program; `over` (may be NULL) takes the place of the one of its name, or is added. */
struct script_sources *script_sources_embedded(const char *over, struct bytes text);
struct script_sources *script_sources_keep(
    struct script_sources *s);                      /* one more owner; NULL is welcome */
void script_sources_drop(struct script_sources *s); /* one less; NULL is welcome */

size_t script_sources_count(const struct script_sources *s);
const char *script_sources_name(const struct script_sources *s,
                                size_t i); /* "lib/args.lua"; sorted by bytes */
struct bytes script_sources_text(const struct script_sources *s, size_t i);
/* "embedded" or the directory. */
const char *script_sources_origin(const struct script_sources *s);
/* BLAKE2b-256 over names and contents, in hex. */
const char *script_sources_digest(const struct script_sources *s);
bool script_sources_find(const struct script_sources *s, const char *name,
                         struct bytes *ret); /* s may be NULL */

/* Pushes the compiled chunk of module "lib.args" (file lib/args.lua) and answers 0, or an error text and non-zero:
 * LUA_ERRRUN if there is no such file. */
int script_sources_load(const struct script_sources *s, lua_State *L, const char *module);
/* The same for any text; chunk "@name" makes errors say "name:12:". Refuses bytecode. */
int script_sources_compile(lua_State *L, struct bytes text, const char *chunk);
