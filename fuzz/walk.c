#include "walk.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/prng.h"
#include "fuzz.h"

struct file {
    char *path;
    struct bytes data; /* own */
};

struct walk {
    struct file *files;
    size_t count;
    struct prng seed;
};

/* ---- The corpus ------------------------------------------------------------------------------ */

static void add_file(struct walk *w, const char *path)
{
    static const size_t most = 1 << 20;
    FILE *f = fopen(path, "rb");
    if (f == NULL) {
        fprintf(stderr, "fuzz: no file %s\n", path);
        exit(1);
    }
    uint8_t *data = malloc(most);
    FUZZ_CHECK(data != NULL);
    struct bytes exact = fuzz_copy(bytes_from(data, fread(data, 1, most, f)));
    free(data);
    fclose(f);
    w->files = realloc(w->files, (w->count + 1) * sizeof *w->files);
    FUZZ_CHECK(w->files != NULL);
    w->files[w->count++] = (struct file){ strdup(path), exact };
}

static void add_path(struct walk *w, const char *path)
{
    DIR *dir = opendir(path);
    if (dir == NULL) {
        add_file(w, path);
        return;
    }
    for (struct dirent *d; (d = readdir(dir)) != NULL;) {
        char below[1024];
        snprintf(below, sizeof below, "%s/%s", path, d->d_name);
        if (d->d_name[0] != '.')
            add_file(w, below);
    }
    closedir(dir);
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct file *)a)->path, ((const struct file *)b)->path);
}

/* ---- Mutants: one draw a statement, or the compiler would choose the order of the draws ------ */

struct mutant {
    uint8_t data[WALK_INPUT_MAX];
    size_t len;
};

/* Puts `with` in the place of `cut` bytes at `at`; what would be too long is cut off. */
static void splice(struct mutant *m, size_t at, size_t cut, struct bytes with)
{
    size_t room = sizeof m->data - at;
    if (with.len > room)
        with.len = room;
    size_t tail = m->len - at - cut;
    if (tail > room - with.len)
        tail = room - with.len;
    memmove(m->data + at + with.len, m->data + at + cut, tail);
    if (with.len > 0)
        memmove(m->data + at, with.data, with.len);
    m->len = at + with.len + tail;
}

static struct bytes part_of(struct bytes all, struct prng *p)
{
    size_t from = (size_t)prng_below(p, all.len + 1);
    return bytes_from(all.data + from, (size_t)prng_below(p, all.len - from + 1));
}

/* Numbers at which codecs turn, in either order of bytes and of any width up to eight. */
static struct bytes edge(uint8_t out[8], struct prng *p)
{
    static const uint64_t edges[] = { 0,        1,        0x7f,       0x80,       0xff,
                                      0x7fff,   0xffff,   0x10000,    0x7fffffff, 0xffffffff,
                                      1u << 24, 1u << 20, UINT64_MAX, INT64_MAX };
    uint64_t x = edges[prng_below(p, sizeof edges / sizeof *edges)];
    x += prng_below(p, 3) - 1;
    size_t width = (size_t)1 << prng_below(p, 4);
    bool big = prng_chance(p, 1, 2);
    for (size_t i = 0; i < width; i++)
        out[big ? width - 1 - i : i] = (uint8_t)(x >> 8 * i);
    return bytes_from(out, width);
}

/* One step from an input to a neighbour of it; `other` is an input of the corpus. */
static void mutate(struct mutant *m, struct bytes other, struct prng *p)
{
    uint8_t few[8];
    size_t at = (size_t)prng_below(p, m->len + 1), left = m->len - at;
    size_t some = (size_t)prng_below(p, (left < 16 ? left : 16) + 1);
    switch (prng_below(p, 7)) {
    case 0: /* a bit flips */
        if (left > 0)
            m->data[at] ^= (uint8_t)(1u << prng_below(p, 8));
        break;
    case 1: /* bytes are lost */
        splice(m, at, some, bytes_from(NULL, 0));
        break;
    case 2: /* the end is lost */
        m->len = at;
        break;
    case 3: /* other bytes stand there */
        prng_fill(p, few, sizeof few);
        splice(m, at, some < sizeof few ? some : sizeof few,
               bytes_from(few, (size_t)prng_below(p, sizeof few + 1)));
        break;
    case 4: { /* a number is another one */
        struct bytes number = edge(few, p);
        splice(m, at, number.len < left ? number.len : left, number);
        break;
    }
    case 5: { /* a part of another input comes in */
        struct bytes part = part_of(other, p);
        splice(m, at, prng_chance(p, 1, 2) ? some : 0, part);
        break;
    }
    case 6: /* the same again */
        splice(m, at, 0, bytes_from(m->data + at, some));
        break;
    }
}

static struct bytes mutant(const struct walk *w, uint64_t number)
{
    struct prng p = prng_fork(&w->seed, number);
    struct mutant m;
    struct bytes from = w->files[prng_below(&p, w->count)].data;
    m.len = from.len < sizeof m.data ? from.len : sizeof m.data;
    memcpy(m.data, from.data, m.len);
    for (uint64_t steps = prng_range(&p, 1, 6); steps > 0; steps--)
        mutate(&m, w->files[prng_below(&p, w->count)].data, &p);
    return fuzz_copy(bytes_from(m.data, m.len));
}

/* ---- Public ---------------------------------------------------------------------------------- */

struct walk *walk_open(char **paths, int count, uint64_t seed)
{
    struct walk *w = calloc(1, sizeof *w);
    FUZZ_CHECK(w != NULL);
    prng_seed(&w->seed, seed);
    for (int i = 0; i < count; i++)
        add_path(w, paths[i]);
    if (w->count == 0) {
        fprintf(stderr, "fuzz: no inputs\n");
        exit(1);
    }
    qsort(w->files, w->count, sizeof *w->files, by_path);
    return w;
}

size_t walk_files(const struct walk *w)
{
    return w->count;
}

struct bytes walk_input(const struct walk *w, uint64_t i)
{
    return i < w->count ? fuzz_copy(w->files[i].data) : mutant(w, i - w->count);
}

const char *walk_name(const struct walk *w, uint64_t i, char out[64])
{
    if (i < w->count)
        return w->files[i].path;
    snprintf(out, 64, "mutant %llu", (unsigned long long)(i - w->count));
    return out;
}

void walk_free(struct walk *w)
{
    for (size_t i = 0; i < w->count; i++) {
        free(w->files[i].path);
        free((void *)(uintptr_t)w->files[i].data.data);
    }
    free(w->files);
    free(w);
}
