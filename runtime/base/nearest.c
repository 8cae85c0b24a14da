/* Which word was meant: the smallest number of slips of the hand. */
#include "base/nearest.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

enum { WORD_MAX = 63 };

static size_t min3(size_t a, size_t b, size_t c)
{
    size_t m = a < b ? a : b;
    return m < c ? m : c;
}

static bool same(char a, char b)
{
    return tolower((unsigned char)a) == tolower((unsigned char)b);
}

size_t nearest_distance(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);
    if (n > WORD_MAX || m > WORD_MAX)
        return SIZE_MAX / 2;
    size_t row[3][WORD_MAX + 1]; /* this line of the matrix and the two above it */
    for (size_t j = 0; j <= m; j++)
        row[0][j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t *now = row[i % 3], *above = row[(i + 2) % 3], *two = row[(i + 1) % 3];
        now[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t replaced = above[j - 1] + (same(a[i - 1], b[j - 1]) ? 0 : 1);
            now[j] = min3(above[j] + 1, now[j - 1] + 1, replaced);
            if (i > 1 && j > 1 && same(a[i - 1], b[j - 2]) && same(a[i - 2], b[j - 1]) &&
                two[j - 2] + 1 < now[j])
                now[j] = two[j - 2] + 1;
        }
    }
    return row[n % 3][m];
}

static bool is_beginning(const char *word, const char *whole)
{
    size_t len = strlen(word);
    return len >= 3 && strncasecmp(word, whole, len) == 0;
}

const char *nearest(const char *word, const char *const *words, size_t count)
{
    const char *best = NULL;
    size_t least = SIZE_MAX;
    for (size_t i = 0; i < count; i++) {
        size_t len = strlen(words[i]) > strlen(word) ? strlen(words[i]) : strlen(word);
        size_t edits = nearest_distance(word, words[i]);
        bool near = edits <= len / 3 || (len == 2 && edits == 1);
        if (near && edits < least) {
            best = words[i];
            least = edits;
        }
    }
    for (size_t i = 0; best == NULL && i < count; i++)
        if (is_beginning(word, words[i]) || is_beginning(words[i], word))
            best = words[i];
    return best;
}
