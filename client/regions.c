/* The regions that a handle knows: where keys live, so far as answers have said.
 *
 *     [start a ......... end)[start b ... end)      (not known)      [start c .................. no end
 *
 * Sorted by their first keys; none overlaps another. What is known may be old: whoever is asked then says
 * EPOCH_NOT_MATCH, and what it says is learned. An answer may be older than what is known, from a server that lags
 * behind: of one region, either part of its epoch; of two that overlap, the version (trap D4). It is not believed. */
#include "client_int.h"

#include <stdlib.h>

enum { ENCODED_MAX = 4 + CLIENT_KEY_MAX };

static struct bytes start_of(const struct client_region *r)
{
    return bytes_from(r->keys, r->start_len);
}

/* The order of (ns, key) encoded and `other`, without making the encoding. */
static int compare(uint32_t ns, struct bytes key, struct bytes other)
{
    uint8_t head[4] = { (uint8_t)(ns >> 24), (uint8_t)(ns >> 16), (uint8_t)(ns >> 8), (uint8_t)ns };
    size_t n = other.len < 4 ? other.len : 4;
    int order = n > 0 ? memcmp(head, other.data, n) : 0;
    if (order != 0)
        return order;
    if (other.len < 4)
        return 1;
    return bytes_compare(key, bytes_from(other.data + 4, other.len - 4));
}

bool client_regions_holds(const struct client_region *r, uint32_t ns, struct bytes key)
{
    return compare(ns, key, start_of(r)) >= 0 &&
           (!r->bounded || compare(ns, key, client_region_end(r)) < 0);
}

struct client_region *client_regions_find(struct flotilla *f, uint32_t ns, struct bytes key)
{
    size_t low = 0, high = f->region_count;
    while (low < high) { /* behind the last one that does not begin behind the key */
        size_t middle = low + (high - low) / 2;
        if (compare(ns, key, start_of(f->regions[middle])) >= 0)
            low = middle + 1;
        else
            high = middle;
    }
    struct client_region *r = low > 0 ? f->regions[low - 1] : NULL;
    return r != NULL && client_regions_holds(r, ns, key) ? r : NULL;
}

void client_regions_free(struct flotilla *f)
{
    while (f->region_count > 0)
        free(f->regions[--f->region_count]);
    free(f->regions);
    f->regions = NULL;
    f->region_cap = 0;
}

void client_regions_leaderless(struct flotilla *f, const struct client_conn *c)
{
    for (size_t i = 0; i < f->region_count; i++)
        if (f->regions[i]->leader == c)
            f->regions[i]->leader = NULL;
}

void client_regions_forget(struct flotilla *f, const struct client_region *r)
{
    for (size_t i = 0; i < f->region_count; i++)
        if (f->regions[i] == r) {
            free(f->regions[i]);
            memmove(f->regions + i, f->regions + i + 1,
                    (--f->region_count - i) * sizeof(struct client_region *));
            return;
        }
}

/* ---- Learning ----------------------------------------------------------------------------------------------- */

static bool read_epoch(struct bytes in, struct client_epoch *ret)
{
    struct pb_field f;
    while (pb_next(&in, &f))
        if (f.number == 1 && f.type == PB_VARINT)
            ret->conf_ver = f.value;
        else if (f.number == 2 && f.type == PB_VARINT)
            ret->version = f.value;
    return in.len == 0;
}

struct seen {
    struct client_epoch epoch;
    struct bytes start, end;
    bool bounded, unbounded;
};

static bool read_region(struct bytes in, struct seen *ret)
{
    struct seen s = { 0 };
    struct pb_field f;
    while (pb_next(&in, &f)) {
        if (f.number == 1 && f.type == PB_VARINT)
            s.epoch.id = f.value;
        else if (f.number == 2 && f.type == PB_BYTES)
            s.start = f.bytes;
        else if (f.number == 3 && f.type == PB_BYTES)
            s.end = f.bytes, s.bounded = true;
        else if (f.number == 4 && f.type == PB_VARINT)
            s.unbounded = f.value != 0;
        else if (f.number == 5 && (f.type != PB_BYTES || !read_epoch(f.bytes, &s.epoch)))
            return false;
    }
    *ret = s;
    return in.len == 0 && s.epoch.id != 0 && s.bounded != s.unbounded &&
           s.start.len <= ENCODED_MAX && s.end.len <= ENCODED_MAX &&
           (s.unbounded || bytes_compare(s.start, s.end) < 0);
}

/* Whether it adds nothing to `known`, which it overlaps. */
static bool not_newer(const struct seen *s, const struct client_region *known)
{
    const struct client_epoch *a = &s->epoch, *b = &known->epoch;
    if (a->id == b->id)
        return a->version < b->version || a->conf_ver < b->conf_ver ||
               (a->version == b->version && a->conf_ver == b->conf_ver);
    return a->version < b->version;
}

/* The known regions that it overlaps: from *first on, answers how many. */
static size_t overlapped(const struct flotilla *f, const struct seen *s, size_t *first)
{
    size_t low = 0, high = f->region_count;
    while (low < high) { /* the first that ends behind its start */
        size_t middle = low + (high - low) / 2;
        const struct client_region *r = f->regions[middle];
        if (r->bounded && bytes_compare(client_region_end(r), s->start) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    size_t n = 0;
    while (low + n < f->region_count &&
           (!s->bounded || bytes_compare(start_of(f->regions[low + n]), s->end) < 0))
        n++;
    *first = low;
    return n;
}

static struct client_region *region_new(const struct seen *s, struct client_conn *leader)
{
    struct client_region *r = malloc(sizeof *r + s->start.len + s->end.len);
    if (r == NULL)
        return NULL;
    *r = (struct client_region){ .epoch = s->epoch,
                                 .leader = leader,
                                 .bounded = s->bounded,
                                 .start_len = (uint32_t)s->start.len,
                                 .end_len = (uint32_t)s->end.len };
    if (s->start.len > 0)
        memcpy(r->keys, s->start.data, s->start.len);
    if (s->end.len > 0)
        memcpy(r->keys + s->start.len, s->end.data, s->end.len);
    return r;
}

static bool make_room(struct flotilla *f)
{
    if (f->region_count == CLIENT_REGIONS_MAX)
        client_regions_free(f);
    if (f->region_count < f->region_cap)
        return true;
    size_t cap = f->region_cap == 0 ? 16 : f->region_cap * 2;
    struct client_region **more = realloc(f->regions, cap * sizeof(struct client_region *));
    if (more == NULL)
        return false;
    f->regions = more;
    f->region_cap = cap;
    return true;
}

bool client_regions_learn(struct flotilla *f, struct bytes message, struct client_conn *leader)
{
    struct seen s;
    size_t first;
    if (!read_region(message, &s) || !make_room(f))
        return false;
    size_t n = overlapped(f, &s, &first);
    for (size_t i = first; i < first + n; i++) {
        struct client_region *known = f->regions[i];
        if (not_newer(&s, known)) {
            bool same = memcmp(&s.epoch, &known->epoch, sizeof s.epoch) == 0;
            if (leader != NULL && same)
                known->leader = leader;
            return false;
        }
        if (leader == NULL)
            leader = known->leader; /* whoever led the range before is the best guess */
    }
    struct client_region *r = region_new(&s, leader);
    if (r == NULL)
        return false;
    for (size_t i = first; i < first + n; i++)
        free(f->regions[i]);
    memmove(f->regions + first + 1, f->regions + first + n,
            (f->region_count - first - n) * sizeof(struct client_region *));
    f->regions[first] = r;
    f->region_count += 1 - n;
    return true;
}
