/* A tree of plain values: what crosses between Lua, the node, JSON and people. No pointers into anything.
 *
 * Text and bytes are one kind. u64 (ids, versions, stamps) is a kind of its own, since a double cannot hold it. */
#pragma once

#include "base/buf.h"
#include "base/err.h"

enum value_kind {
    VALUE_NIL,
    VALUE_BOOL,
    VALUE_NUMBER,
    VALUE_U64,
    VALUE_BYTES,
    VALUE_LIST,
    VALUE_MAP
};

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

/* Limits of a tree that comes from outside (JSON, Lua). */
enum {
    VALUE_DEPTH_MAX = 32,
    VALUE_KEYS_MAX = 4096,     /* of one map: finding a key is a walk */
    VALUE_ITEMS_MAX = 1 << 18, /* of the whole tree */
    VALUE_TEXT_MAX = 4 << 20,  /* bytes of JSON text */
};

/* Constructors allocate and abort if memory is gone (trees of a node's own making are small); a tree from outside is
 * limited before it is built. value_free(NULL) is welcome; it frees the tree below and the root itself. */
struct value *value_new(enum value_kind kind);
void value_free(struct value *v);
/* Adds to a list, or sets a key of a map (replacing): answers the place to fill, a VALUE_NIL owned by the tree, valid
 * until the next addition to that list or map. */
struct value *value_add(struct value *list);
struct value *value_set(struct value *map, const char *key);
struct value *value_set_bytes(struct value *map,
                              struct bytes key); /* the same for a key that is not text */
/* These replace what `v` holds, and free it. */
void value_put_nil(struct value *v);
void value_put_bool(struct value *v, bool x);
void value_put_number(struct value *v, double x);
void value_put_u64(struct value *v, uint64_t x);
void value_put_bytes(struct value *v, struct bytes x); /* copies */
void value_put_text(struct value *v, const char *x);   /* copies */
void value_put_list(struct value *v);                  /* becomes an empty list, map */
void value_put_map(struct value *v);
void value_put_copy(struct value *v, const struct value *from); /* deep; nothing is shared */
/* NULL if `map` is no map or has no such key. */
const struct value *value_get(const struct value *map, const char *key);
/* Conveniences: the default where the key is missing or of another kind. */
struct bytes value_get_bytes(const struct value *map, const char *key, struct bytes otherwise);
double value_get_number(const struct value *map, const char *key, double otherwise);
/* Also of a whole number, and of decimal text: how JSON carries a u64 above 2^53. */
uint64_t value_get_u64(const struct value *map, const char *key, uint64_t otherwise);
bool value_get_bool(const struct value *map, const char *key, bool otherwise);

/* Same kind and content; maps also in the same order. */
bool value_equal(const struct value *a, const struct value *b);

/* JSON (RFC 8259), in value_json.c. Bytes that are UTF-8 become a string, others {"base64": "..."} (and back: an
 * object with that one key is bytes). A u64 above 2^53 becomes a decimal string. Maps keep their order. NaN and the
 * infinities, which JSON lacks, become null; bytes of a key that are not UTF-8 become U+FFFD. ERR_TOO_LARGE above
 * VALUE_DEPTH_MAX, ERR_NOMEM; `ret` is appended to. */
MUST_USE err_t value_to_json(const struct value *v, bool pretty, struct buf *ret);
/* Strict: no comments, no duplicate keys, no trailing text, the limits above. A whole number above 2^53 that fits is
 * a u64. ERR_INVALID_ARGUMENT with the byte offset, or ERR_TOO_LARGE with the limit. The caller frees `ret`. */
MUST_USE err_t value_from_json(struct bytes text, struct value **ret, struct err *e);
