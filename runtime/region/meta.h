/* What a region is: its range, its epoch, who holds it. Written with the rows that depend on it, by
 * storage_apply_meta().
 *
 *   | 1 u8 | flags u8 | peers u8 | 0 u8 | id u64 | conf_ver u64 | version u64 |
 *   | voters u16 | outgoing u16 | learners u16 | learners_next u16 | peers times: id u64, store u64 |
 *   | length u32 | start key | length u32 | end key |                                        little-endian
 *
 * Keys are encoded: namespace big-endian, then the user's bytes. The masks are raft_conf's, over the peers' places.
 * Inside the range means start <= key < end; `end_unbounded` has no end (requirements, decision 1). */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "raft/raft.h"

enum { REGION_KEY_MAX = 4 + 4096 }; /* bytes of an encoded key */

struct region_meta {
    uint64_t id, conf_ver, version;
    struct raft_conf conf;          /* ids are peers' */
    uint64_t store[RAFT_MAX_PEERS]; /* by the places of conf.id */
    struct buf start, end;          /* owned */
    bool end_unbounded;
};

/* The whole key space on these stores, epoch {1,1}; a peer's id is its store's number: the first region of a cluster.
 * `n` is 1 to RAFT_MAX_PEERS, the stores ascending. */
void region_meta_first(struct region_meta *ret, const uint64_t *stores, unsigned n);
void region_meta_free(struct region_meta *meta); /* {0} is welcome */
MUST_USE err_t region_meta_encode(const struct region_meta *meta,
                                  struct buf *ret); /* appends; ERR_NOMEM */
/* ERR_CORRUPTION; ERR_UPGRADE_REQUIRED; ERR_NOMEM. */
MUST_USE err_t region_meta_decode(struct bytes in, struct region_meta *ret);

/* A change of configuration was applied: `entry` is its payload, the change and behind it 16 bytes for each peer
 * that it brings (id u64, store u64). conf_ver grows by one. ERR_CORRUPTION: a peer without a store. */
MUST_USE err_t region_meta_adopt(struct region_meta *meta, const struct raft_conf *conf,
                                 const struct raft_cc *cc, struct bytes entry);

/* The peer on a store, RAFT_NONE if there is none; the store of a peer, 0. */
raft_id region_meta_peer(const struct region_meta *meta, uint64_t store);
uint64_t region_meta_store(const struct region_meta *meta, raft_id peer);
/* True if the key, given in its two parts, is not before the range; true if it lies in it. */
bool region_meta_begins(const struct region_meta *meta, uint32_t ns, struct bytes key);
bool region_meta_holds(const struct region_meta *meta, uint32_t ns, struct bytes key);
