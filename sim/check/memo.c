#include "memo.h"

#include "texts.h"

enum { CAP_LEAST = 1024 };

/* SplitMix64's finalizer (Steele, Lea, Flood 2014). */
static uint64_t scramble(uint64_t x)
{
    x += 0x9e3779b97f4a7c15;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    x = (x ^ x >> 27) * 0x94d049bb133111eb;
    return x ^ x >> 31;
}

struct mark mark_of(uint64_t what, uint64_t more)
{
    uint64_t a = scramble(scramble(what) + more);
    return (struct mark){ a, scramble(scramble(more ^ 0x5851f42d4c957f2d) + what) };
}

/* Where `mark` is, or would be. */
static size_t place_of(const struct memo *m, struct mark mark)
{
    size_t place = mark.a & (m->cap - 1);
    while ((m->table[place].a | m->table[place].b) != 0 &&
           (m->table[place].a != mark.a || m->table[place].b != mark.b))
        place = (place + 1) & (m->cap - 1);
    return place;
}

static void grow(struct memo *m)
{
    struct memo old = *m;
    m->cap = old.cap == 0 ? CAP_LEAST : 2 * old.cap;
    m->table = texts_zeroed(m->cap, sizeof *m->table);
    for (size_t i = 0; i < old.cap; i++)
        if ((old.table[i].a | old.table[i].b) != 0)
            m->table[place_of(m, old.table[i])] = old.table[i];
    free(old.table);
}

bool memo_add(struct memo *m, struct mark mark)
{
    if (mark.a == 0 && mark.b == 0)
        mark.b = 1;
    if (2 * m->count >= m->cap)
        grow(m);
    size_t place = place_of(m, mark);
    if ((m->table[place].a | m->table[place].b) != 0)
        return false;
    m->table[place] = mark;
    m->count++;
    return true;
}

void memo_free(struct memo *m)
{
    free(m->table);
    *m = (struct memo){ 0 };
}
