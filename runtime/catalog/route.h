/* A route: a range of keys and the Raft group that serves it.
 *
 *   [start ............ end)  --> group_id        end_unbounded: to the end of all keys
 *
 * One struct is both the durable descriptor and the entry of the routing engine. An end that is
 * present is greater than the start; "no end" is the flag and never an empty key, so that
 * nothing in between can confuse the two (trap D60).
 *
 * The record of a route:
 *
 *   0       1          9          17      18          26          34
 *   | codec | route id | group id | state | parent id | start len | start | 0               no end
 *   |  = 1  |   be64   |   be64   |  u8   |   be64    |   be64    |       | 1 | end len be64 | end */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/digest.h"

/* The numbers are on disk and on the wire. */
enum route_state {
    ROUTE_ACTIVE = 0,
    ROUTE_WRITE_FENCED = 1,     /* refuses writes during a cutover */
    ROUTE_MIGRATING_SOURCE = 2, /* its data is being copied out; serves until the cutover */
    ROUTE_MIGRATING_TARGET = 3, /* its data is being copied in; serves nothing until it is ready */
};

struct route {
    uint64_t id; /* 0: ephemeral, from no catalog */
    uint64_t group_id, parent_id;
    uint64_t load; /* accesses counted by an engine, in copies that it gives; never stored */
    struct bytes start, end;
    enum route_state state;
    bool end_unbounded; /* then `end` is empty */
};

/* "active", "write_fenced", ...; "unknown". Static. */
const char *route_state_name(enum route_state state);
/* What a replica in that state admits: ERR_OK; ERR_WRITE_FENCED (retryable) for a write behind a
 * fence; ERR_UNAVAILABLE for anything on a target that is not ready. */
MUST_USE err_t route_state_admits(enum route_state state, bool write);

/* True if `key` lies in the range. */
bool route_contains(const struct route *r, struct bytes key);
/* The range and the id for people, cut to `len`: route 7 ["a", "m\x00"). Answers `out`. */
const char *route_text(const struct route *r, char *out, size_t len);
enum { ROUTE_TEXT_MAX = 160 };

/* The rules of one route, in this order: id, group id, state, range. Each has a code of its own. */
MUST_USE err_t route_check(const struct route *r, struct err *e);
/* What several routes need, sorted by start: no equal starts and no end of all keys but the last
 * one's (ERR_ENGINE_SNAPSHOT_ROUTE_ORDER), no end behind the next start
 * (ERR_ENGINE_SNAPSHOT_ROUTE_OVERLAP). Gaps are legal. The message names both ranges. */
MUST_USE err_t route_check_order(const struct route *routes, size_t count, struct err *e);
/* route_check() of every route in the order given, and `duplicate` at the first id that was
 * there before. */
MUST_USE err_t route_check_each(const struct route *routes, size_t count, err_t duplicate,
                                struct err *e);
/* By start, then end (unbounded last), then id. */
int route_compare(const struct route *a, const struct route *b);
/* The smallest id above all of `routes`, 1 if there are none; ERR_CATALOG_ROUTE_ID_OVERFLOW. */
MUST_USE err_t route_next_id_floor(const struct route *routes, size_t count, uint64_t *ret,
                                   struct err *e);

/* Appends the record. What route_check() refuses is refused; on ERR_NOMEM nothing has changed. */
MUST_USE err_t route_encode(const struct route *r, struct buf *out, struct err *e);
/* The same into `out`, which has route_encoded_size() bytes of room, for a route that was
 * checked. Answers the end. */
uint8_t *route_put(const struct route *r, uint8_t *out);
size_t route_encoded_size(const struct route *r);
enum { ROUTE_ENCODED_MIN = 35 }; /* bytes of the smallest record: all keys */
/* BLAKE2b-256 of the record. */
struct digest route_digest(const struct route *r);
/* Keys are views into `in`: nothing is allocated, whatever the lengths say. What is accepted
 * encodes to `in`. */
MUST_USE err_t route_decode(struct bytes in, struct route *ret, struct err *e);

/* Deep copies of one owner. NULL stays NULL, empty stays empty and not NULL. End with free() of
 * `data`, or with route_free(); on ERR_NOMEM `ret` is as before. */
MUST_USE err_t route_clone_bytes(struct bytes in, struct bytes *ret);
MUST_USE err_t route_clone(const struct route *r, struct route *ret);
/* Frees the keys of a clone and resets to {0}. NULL and {0} are welcome. */
void route_free(struct route *r);

/* Many routes with one owner; {0} is empty. */
struct route_list {
    struct route *items;
    size_t count, cap;
    struct arena keys;
};

/* Appends a deep copy. On ERR_NOMEM nothing has changed. */
MUST_USE err_t route_list_add(struct route_list *list, const struct route *r);
/* Copies all; `ret` is filled on ERR_OK only. */
MUST_USE err_t route_list_copy(const struct route *routes, size_t count, struct route_list *ret);
/* Sorts by route_compare(). */
void route_list_sort(struct route_list *list);
/* Frees and resets to {0}. NULL and {0} are welcome. */
void route_list_free(struct route_list *list);
