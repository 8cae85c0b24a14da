/* Payloads of log entries in memory: who needs one holds a reference, the cache of a region finds them by index.
 *
 *   entries   [ 41 | 42 | 43 | 44 ]            a ring without a hole; the newest is the log's last
 *   window    [ 7 | 8 | 9 ]                    read back from the disk, for a follower that is behind or after a
 *   start
 *
 * An entry never changes once it is made. References are counted on the loop thread; a lane may read the bytes of an
 * entry that somebody holds meanwhile. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "raft/raft.h"

struct region_entry {
    uint32_t refs, len;
    raft_term term;
    raft_index index;
    uint8_t type; /* enum raft_ent_type */
    uint8_t data[];
};

/* With one reference; NULL if memory is gone. The caller fills in the rest. */
struct region_entry *region_entry_new(uint32_t len);
struct region_entry *region_entry_ref(struct region_entry *entry);
void region_entry_unref(struct region_entry *entry); /* NULL is welcome */
/* The entry whose data somebody points to. */
struct region_entry *region_entry_of(const void *data);
struct raft_ent region_entry_ent(const struct region_entry *entry); /* its data is borrowed */

struct region_entries {
    struct region_entry **ring;
    uint32_t cap, at, count; /* cap: a power of 2; at: place of the first one */
    raft_index first;
    size_t bytes;
};

void region_entries_free(struct region_entries *c);
/* Takes one reference over. What stood at its index and behind is gone; an index that does not follow begins anew. */
void region_entries_push(struct region_entries *c, struct region_entry *entry);
/* NULL: not here. */
struct region_entry *region_entries_get(const struct region_entries *c, raft_index index);
/* Lets go of all up to and with `index`. */
void region_entries_drop(struct region_entries *c, raft_index index);
