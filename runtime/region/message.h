/* Messages between stores: all that a turn has for another store is one batch, and one batch is one frame.
 *
 *   batch     from store | to store | hlc | message | message | ...              proto/raftpb.proto
 *   message   region, peers, epoch | the numbers of a raft_msg | entries | snapshot
 *
 * Written at the end of a buffer and read where they lie: entries are copied once when they leave, never when they
 * come. What leaves is ours and is asserted. What comes is limited, checked and then trusted:
 *
 *  1. A type that travels, a region, two peers; never a message of the storage threads, which are in this process.
 *  2. Terms and indexes are below 2^63, also that of the last entry, so that what Raft adds to them does not come
 *     round.
 *  3. Entries in appends and proposals alone; a snapshot in snapshot messages alone, and then with an index and a
 *     configuration that keeps every rule and has a voter.
 *  4. A count is compared with its limit before anybody makes room for it.
 *
 * Whether the message is for this store, and what a message of that type may say, is for its receiver to judge
 * (region_store_receive, raft_step). Fields that nobody here knows are passed over. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "raft/raft.h"
#include "storage/command.h"

enum {
    REGION_BATCH_MAX = (16 << 20) - 4096, /* bytes: a frame without its header */
    REGION_MESSAGE_ENTRIES_MAX = 16384, /* whoever says how many fit (raft_log_ops.fit) keeps it */
    REGION_ENTRY_MAX = COMMAND_ENTRY_MAX, /* bytes of one entry's data */
};

struct region_message {
    uint64_t region_id;
    uint64_t conf_ver, version; /* the sender's epoch */
    struct raft_msg raft;       /* from, to: peers' ids. Travels: all but vote, resp, nresp */
    raft_index held;            /* of a leader: every member has the entries up to it */
    struct bytes snap_data;     /* with raft.snap: the region's own bytes about it */
};

/* ---- Writing ------------------------------------------------------------------------------------------------ */

/* Begins a batch in an empty buffer. None of the numbers is 0. ERR_NOMEM. */
MUST_USE err_t region_batch_begin(struct buf *out, uint64_t from_store, uint64_t to_store,
                                  uint64_t hlc);
/* Appends a message; raft.ents is filled (of an append: from raft.index + 1 on) and copied. Else `out` has not changed:
 * ERR_TOO_LARGE: the batch is full, send it and begin another (an empty one has room for 15 MiB of entries' data, and
 * as much less as snap_data has); ERR_NOMEM. */
MUST_USE err_t region_batch_add(struct buf *out, const struct region_message *m);

/* ---- Reading ------------------------------------------------------------------------------------------------ */

/* Kept by whoever reads, from batch to batch: {0} is ready. Its room for entries grows to what messages needed. */
struct region_batch_reader {
    uint64_t from_store, to_store, hlc; /* of the open batch */
    struct bytes rest;
    struct raft_ent *ents;
    uint32_t cap;
    struct raft_snap snap;
};

/* Opens a batch, whose bytes must stay until the last message of it was handled. ERR_CORRUPTION, with the reason in
 * `e` (which may be NULL), as below. */
MUST_USE err_t region_batch_open(struct region_batch_reader *r, struct bytes in, struct err *e);
/* Reads the next message. It points into the batch and into `r`: valid until the next call. ERR_NOT_FOUND: that was
 * the last one; ERR_CORRUPTION: the rest cannot be trusted; ERR_NOMEM. */
MUST_USE err_t region_batch_next(struct region_batch_reader *r, struct region_message *ret,
                                 struct err *e);
void region_batch_reader_free(struct region_batch_reader *r); /* {0} is welcome */
