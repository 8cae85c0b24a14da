/* The word that somebody probably meant: "did you mean ...". */
#pragma once

#include <stddef.h>

/* Edits (insert, delete, replace, swap of neighbours) that turn `a` into `b`, both at most 63
 * bytes; case counts nothing. Longer words: a number above every limit. (Damerau 1964, in the
 * restricted form: no part is edited twice.) */
size_t nearest_distance(const char *a, const char *b);

/* The one of `words` that is nearest to `word`, if it is near enough to be a slip of the hand:
 * at most a third of its length in edits, or the one is the beginning of the other (three
 * letters at least). NULL: none. Of equally near ones the first. */
const char *nearest(const char *word, const char *const *words, size_t count);
