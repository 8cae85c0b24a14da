/* A tree of plain values: what crosses between Lua, the node, JSON and people. No pointers into anything.
 *
 * Text and bytes are one kind. u64 (ids, versions, stamps) is a kind of its own, since a double cannot hold it. */
#pragma once

#include "base/buf.h"
#include "base/err.h"

enum value_kind { VALUE_NIL, VALUE_BOOL, VALUE_NUMBER, VALUE_U64, VALUE_BYTES, VALUE_LIST, VALUE_MAP };

struct value {
    enum value_kind kind;
    union {
        bool boolean;
        double number;
        uint64_t u64;
        struct buf bytes;
        struct {
            struct value *items; /* lists: items; maps: items with keys, in order of insertion */
            struct buf *keys;    /* NULL for a list */
            size_t count, cap;
        };
    };
};

enum { VALUE_DEPTH_MAX = 32 };

/* Constructors allocate and abort if memory is gone (trees of a node's own making are small); a tree from outside is
 * limited before it is built. value_free(NULL) is welcome; it frees the tree below and the root itself. */
struct value *value_new(enum value_kind kind);
void value_free(struct value *v);
/* Adds to a list, or sets a key of a map (replacing): answers the place to fill, a VALUE_NIL owned by the tree, valid
 * until the next addition to that list or map. */
struct value *value_add(struct value *list);
struct value *value_set(struct value *map, const char *key);
void value_put_bool(struct value *v, bool x);
void value_put_number(struct value *v, double x);
void value_put_u64(struct value *v, uint64_t x);
void value_put_bytes(struct value *v, struct bytes x); /* copies */
void value_put_text(struct value *v, const char *x);   /* copies */
void value_put_list(struct value *v);                  /* becomes an empty list, map */
void value_put_map(struct value *v);
/* NULL if `map` is no map or has no such key. */
const struct value *value_get(const struct value *map, const char *key);
/* Conveniences: the default where the key is missing or of another kind. */
struct bytes value_get_bytes(const struct value *map, const char *key, struct bytes otherwise);
double value_get_number(const struct value *map, const char *key, double otherwise);
uint64_t value_get_u64(const struct value *map, const char *key, uint64_t otherwise); /* also of a whole number */
bool value_get_bool(const struct value *map, const char *key, bool otherwise);

/* JSON: bytes that are UTF-8 become a string, others {"base64": "..."}; a u64 above 2^53 becomes a decimal string.
 * Maps keep their order. `limit` bounds the text, VALUE_DEPTH_MAX the depth. */
MUST_USE err_t value_to_json(const struct value *v, bool pretty, struct buf *ret);
MUST_USE err_t value_from_json(struct bytes text, struct value **ret, struct err *e);
