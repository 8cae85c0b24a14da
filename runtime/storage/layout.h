/* Where everything lies in the engine: keys and values, byte for byte.
 *
 *   default      ns u32 | user key                  ->  the value
 *   cas          ns u32 | user key                  ->  version u64 | the value                  a live versioned key
 *   meta         't' | ns u32 | user key            ->  version u64                              its newest tombstone
 *   meta         'n' | id u32                       ->  1 u8 | length u8 | name | length u8 | mode
 *   meta         'w'                                ->  1 u8 | window_ms u64                            of the TSO
 *   raft_log     region u64 | index u64             ->  an entry (none yet: the log keeps them)
 *   raft_state   region u64 | kind u8               ->  by kind: 2, apply: 1 u8 | index u64 | term u64 | hlc u64
 *                                                       3, meta: bytes of the region layer
 *
 * Numbers are big-endian: bytes sort as numbers do. A live record of `cas` may hold any value, also
 * none, so a tombstone cannot lie among them; it lies in `meta` and stays when the key is created
 * again: the live record is then the newer one. So a reader that finds no live record and then
 * reads the tombstone gets a state that was there (docs/decisions). */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "raft/raft.h"

enum {
    LAYOUT_KEY_HEAD = 4,       /* bytes in front of a user key in `default` and `cas` */
    LAYOUT_TOMBSTONE_HEAD = 5, /* and of a tombstone's */
    LAYOUT_VERSION = 8,        /* bytes in front of the value in `cas` */
    LAYOUT_NAME_MAX = 64,      /* of a namespace */
    LAYOUT_MODE_MAX = 15,
};
enum layout_state { /* kinds of raft_state: never reuse */
                    LAYOUT_HARD_STATE = 1,
                    LAYOUT_APPLY_STATE = 2,
                    LAYOUT_META = 3,
};

struct layout_apply_state {
    raft_index index;
    raft_term term;
    uint64_t hlc;
};

/* Appends the key of `default` and `cas`; ERR_NOMEM. */
MUST_USE err_t layout_key(uint32_t ns, struct bytes key, struct buf *ret);
MUST_USE err_t layout_tombstone_key(uint32_t ns, struct bytes key, struct buf *ret);
/* Appends [version][value]. */
MUST_USE err_t layout_cas_value(uint64_t version, struct bytes value, struct buf *ret);
/* ERR_CORRUPTION: shorter than a version, or version 0 (trap D53). `value` lies in `record`. */
MUST_USE err_t layout_take_cas_value(struct bytes record, uint64_t *version, struct bytes *value);
MUST_USE err_t layout_take_tombstone(struct bytes record, uint64_t *version);

void layout_raft_log_key(uint64_t region, raft_index index, uint8_t out[16]);
void layout_raft_state_key(uint64_t region, enum layout_state kind, uint8_t out[9]);
/* ERR_CORRUPTION: another length. Kinds of later versions are answered as they are. */
MUST_USE err_t layout_take_raft_state_key(struct bytes key, uint64_t *region,
                                          enum layout_state *kind);
void layout_apply_state(const struct layout_apply_state *state, uint8_t out[25]);
/* ERR_CORRUPTION. */
MUST_USE err_t layout_take_apply_state(struct bytes in, struct layout_apply_state *ret);

#define LAYOUT_TSO_KEY "w"
void layout_tso(uint64_t window_ms, uint8_t out[9]);
/* ERR_CORRUPTION. */
MUST_USE err_t layout_take_tso(struct bytes in, uint64_t *window_ms);

void layout_namespace_key(uint32_t id, uint8_t out[5]);
MUST_USE err_t layout_namespace(struct bytes name, struct bytes mode, struct buf *ret);
/* ERR_CORRUPTION. Views into the input. */
MUST_USE err_t layout_take_namespace(struct bytes key, struct bytes value, uint32_t *id,
                                     struct bytes *name, struct bytes *mode);
