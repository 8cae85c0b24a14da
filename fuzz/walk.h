/* The inputs of a gate: the files of a corpus in the order of their paths, then mutants of them.
 *
 * Input i is a function of (corpus, seed, i): not of the code under test, nor of compiler, machine
 * or time. So a commit has one verdict, and a mutant is named by its number. libFuzzer, which goes
 * where coverage leads it, is for hunting (docs/decisions/0003). */
#pragma once

#include "base/buf.h"

enum { WALK_INPUT_MAX = 8192 }; /* bytes of a mutant */

struct walk;

/* Reads files, and the files of folders. What cannot be read ends the process. */
struct walk *walk_open(char **paths, int count, uint64_t seed);
size_t walk_files(const struct walk *w);
/* The caller frees `data`, which has exactly that size, so that a read beyond its end is seen. */
struct bytes walk_input(const struct walk *w, uint64_t i);
/* The file's path; for a mutant, its number. */
const char *walk_name(const struct walk *w, uint64_t i, char out[64]);
void walk_free(struct walk *w);
