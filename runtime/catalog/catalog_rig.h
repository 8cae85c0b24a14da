/* What the tests of this layer share: short routes, and a store that counts, fails and lets
 * others in between. */
#pragma once

#include "base/test.h"

#include "catalog/catalog.h"
#include "catalog/error.h"
#include "catalog/hash.h"
#include "catalog/mvcc_mem.h"

#pragma GCC diagnostic ignored "-Wunused-function"

/* A store in front of another one. */
struct rig {
    struct mvcc_mem *mem;
    struct mvcc inner, door;
    struct catalog catalog;
    unsigned gets, scans, applies, rows; /* calls; rows given */
    unsigned fail_gets, fail_scans;      /* so many next ones end with ERR_IO */
    bool repeat;                         /* scans give every row twice */
    void (*before_apply)(void *user);    /* once, then forgotten; it may write to `inner` */
    void (*before_scan)(void *user);
    void (*after_now)(void *user); /* once, after the next last_commit_ts() */
    void *user;
    size_t last_limit;
    struct buf last_batch; /* encoded */
};

static void rig_hook(void (**hook)(void *user), void *user)
{
    void (*run)(void *) = *hook;
    *hook = NULL;
    if (run != NULL)
        run(user);
}

static err_t rig_get_at(void *self, struct bytes key, uint64_t ts, struct buf *ret, struct err *e)
{
    struct rig *r = self;
    r->gets++;
    if (r->fail_gets > 0) {
        r->fail_gets--;
        return err_set(e, ERR_IO, "the store is away");
    }
    return r->inner.get_at(r->inner.self, key, ts, ret, e);
}

struct rig_each {
    struct rig *rig;
    err_t (*each)(void *user, struct bytes key, struct bytes value, struct err *e);
    void *user;
};

static err_t rig_row(void *user, struct bytes key, struct bytes value, struct err *e)
{
    struct rig_each *each = user;
    each->rig->rows++;
    err_t rc = each->each(each->user, key, value, e);
    return rc == ERR_OK && each->rig->repeat ? each->each(each->user, key, value, e) : rc;
}

static err_t rig_scan_at(void *self, const struct mvcc_range *range,
                         err_t (*each)(void *user, struct bytes key, struct bytes value,
                                       struct err *e),
                         void *user, struct err *e)
{
    struct rig *r = self;
    struct rig_each with = { .rig = r, .each = each, .user = user };
    r->scans++;
    r->last_limit = range->limit;
    rig_hook(&r->before_scan, r->user);
    if (r->fail_scans > 0) {
        r->fail_scans--;
        return err_set(e, ERR_IO, "the store is away");
    }
    return r->inner.scan_at(r->inner.self, range, rig_row, &with, e);
}

static err_t rig_apply(void *self, const struct mvcc_batch *batch, struct err *e)
{
    struct rig *r = self;
    r->applies++;
    rig_hook(&r->before_apply, r->user);
    buf_clear(&r->last_batch);
    CHECK_EQ(mvcc_batch_encode(batch, &r->last_batch, e), ERR_OK);
    return r->inner.apply(r->inner.self, batch, e);
}

static uint64_t rig_last_commit_ts(void *self)
{
    struct rig *r = self;
    uint64_t ts = r->inner.last_commit_ts(r->inner.self);
    rig_hook(&r->after_now, r->user);
    return ts;
}

static struct rig *rig_new(void)
{
    struct rig *r = calloc(1, sizeof *r);
    r->mem = mvcc_mem_new();
    r->inner = mvcc_mem_door(r->mem);
    r->door = (struct mvcc){ .self = r,
                             .get_at = rig_get_at,
                             .scan_at = rig_scan_at,
                             .apply = rig_apply,
                             .last_commit_ts = rig_last_commit_ts };
    r->catalog = (struct catalog){ .store = &r->door, .fresh = { { 0xc0, 0xff, 0xee } } };
    return r;
}

static void rig_free(struct rig *r)
{
    mvcc_mem_free(r->mem);
    buf_free(&r->last_batch);
    free(r);
}

/* Writes (value NULL: removes) one row, as another user of the store would. */
static void rig_write(struct mvcc_mem *mem, struct bytes key, const struct bytes *value)
{
    struct mvcc_mutation m = { .remove = value == NULL, .key = key };
    if (value != NULL)
        m.value = *value;
    struct mvcc_mem_stats s;
    mvcc_mem_stats(mem, &s);
    struct mvcc_batch b = { .mutations = &m, .count = 1, .start_ts = s.last_commit_ts };
    CHECK_EQ(mvcc_mem_apply(mem, &b, NULL, NULL), ERR_OK);
}

static uint64_t rig_now(const struct rig *r)
{
    struct mvcc_mem_stats s;
    mvcc_mem_stats(r->mem, &s);
    return s.last_commit_ts;
}

/* `end` NULL: unbounded. */
static struct route rig_route(uint64_t id, const char *start, const char *end, uint64_t group)
{
    return (struct route){ .id = id,
                           .group_id = group,
                           .start = BYTES(start),
                           .end = end != NULL ? BYTES(end) : (struct bytes){ 0 },
                           .end_unbounded = end == NULL };
}

static bool rig_same(const struct route *a, const struct route *b)
{
    return route_compare(a, b) == 0 && a->group_id == b->group_id && a->parent_id == b->parent_id &&
           a->state == b->state && a->load == b->load;
}

#define RIG_COUNT(array) (sizeof(array) / sizeof((array)[0]))
