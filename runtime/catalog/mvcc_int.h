/* The memory store from inside, for mvcc_mem.c and mvcc_image.c. */
#pragma once

#include "base/prng.h"
#include "catalog/mvcc_mem.h"

enum { MVCC_HEIGHT_MAX = 16 };

struct mvcc_version {
    struct mvcc_version *older;
    uint64_t commit_ts;
    bool removed;
    size_t len;
    uint8_t data[];
};

/* A key in the skip list; its bytes lie behind next[height]. */
struct mvcc_node {
    struct mvcc_version *newest; /* NULL: a batch that needed the key failed; nobody sees it */
    const uint8_t *key;
    size_t key_len;
    unsigned height;
    struct mvcc_node *next[];
};

struct mvcc_mem {
    struct mvcc_node *head;
    struct prng prng; /* of heights: no part of the state */
    struct mvcc_mem_stats stats;
};

/* The first node at or behind `key`; `links`, if not NULL, gets the links that lead to it, one
 * for every height. */
struct mvcc_node *mvcc_node_seek(const struct mvcc_mem *m, struct bytes key,
                                 struct mvcc_node ***links);
/* Finds or makes the key's node. NULL if memory is gone. */
struct mvcc_node *mvcc_node_take(struct mvcc_mem *m, struct bytes key);
/* NULL if memory is gone. */
struct mvcc_version *mvcc_version_new(uint64_t commit_ts, bool removed, struct bytes value);
/* Puts `version` before the node's newest one (of the same commit: in its place), and counts it. */
void mvcc_version_push(struct mvcc_mem *m, struct mvcc_node *node, struct mvcc_version *version);
