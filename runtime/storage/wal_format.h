/* The bytes of the write-ahead log. Little-endian; every crc is a CRC-32C.
 *
 *   segment   | header block | batch ... batch | zeros, or what an earlier life left |
 *   header    | "FLOTWAL\n" | format u32 | 0 u32 | number u64 | incarnation u64 | bytes u64 |
 *               salt u64 | crc u32 | zeros |
 *   batch     | length u32 | crc u32 | number u64 | records u32 | head u32 | record ... record | zeros |
 *   record    | kind u8 | 0 u8 | 0 u16 | length u32 | payload: length bytes |
 *
 *   APPEND    region u64, term u64, vote u64, commit u64, first u64, count u32, 0 u32, then count times:
 *               term u64, length u32, type u8, 0 u8, 0 u16, length bytes          hard state and entries: one record
 *   CUT       region u64, index u64, term u64                                     the log begins behind index
 *   SNAP      region u64, index u64, term u64, length u32, conf, length u32, files
 *   GONE      region u64, peer u64, conf_ver u64, version u64            what came before of this region is void
 *   AGAIN     of GONE, of SNAP: the newest one of its region, written again before its segment went; forgets nothing
 *   LOCAL     kind u32, 0 u32, the rest is its bytes
 *
 * 1. `length` of a batch counts header and records, not the padding. Its crc covers them (its own
 *    field as zero); `head` is the crc of length, number and records alone, so that nobody reads by
 *    a length that was made up. Both begin with the seed: the crc of the segment's number, the
 *    store's incarnation and the salt, which is drawn when the file becomes this segment. So what
 *    is left of an earlier life is no batch, and no client can have put one there: it does not know
 *    the salt.
 * 2. Every length is compared with what holds it before anybody allocates or reads by it. Fields
 *    shown as 0 are 0.
 * 3. Batches are numbered 1, 2, 3 ... without a hole, over all segments. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "raft/raft.h"

enum {
    WAL_FORMAT = 1,
    WAL_BLOCK = 4096,        /* batches begin at multiples of it; the header has one */
    WAL_SEGMENT_HEADER = 52, /* used bytes of the header block */
    WAL_BATCH_HEADER = 24,
    WAL_RECORD_HEADER = 8,
    WAL_APPEND_HEADER = 48,
    WAL_ENTRY_HEADER = 16,
    WAL_BATCH_MAX = 8 << 20, /* bytes: an entry of 4 MiB and everything around it */
};

struct wal_segment_header {
    uint64_t number, incarnation, bytes, salt;
};

struct wal_batch_header {
    uint32_t length, crc;
    uint64_t number;
    uint32_t records;
};

enum wal_kind { /* on disk: never change, never reuse */
                WAL_APPEND = 1,
                WAL_CUT = 2,
                WAL_SNAP = 3,
                WAL_GONE = 4,
                WAL_LOCAL = 5,
                WAL_GONE_AGAIN = 6,
                WAL_SNAP_AGAIN = 7,
};

/* A decoded record. What it points to lies in the input. */
struct wal_record {
    enum wal_kind kind;
    uint64_t region;
    union {
        struct {
            struct raft_hs hs;
            raft_index first;
            uint32_t count;
            struct bytes entries; /* draw them with wal_format_take_entry() */
        } append;
        struct {
            raft_index index;
            raft_term term;
        } cut;
        struct {
            raft_index index;
            raft_term term;
            struct bytes conf, files;
        } snap;
        struct {
            uint64_t peer, conf_ver, version;
        } gone;
        struct {
            uint32_t kind;
            struct bytes value;
        } local;
    };
};

/* What the checksums of every batch of this segment begin with. */
uint32_t wal_format_seed(const struct wal_segment_header *segment);

/* `out` has WAL_SEGMENT_HEADER bytes. */
void wal_format_segment_header(const struct wal_segment_header *header, uint8_t *out);
/* ERR_SHORT; ERR_CORRUPTION (magic or crc); ERR_UPGRADE_REQUIRED (written by a later version). */
MUST_USE err_t wal_format_take_segment_header(struct bytes in, struct wal_segment_header *ret);

/* `out` has WAL_BATCH_HEADER bytes; the crc is written as given (0 while it is computed). */
void wal_format_batch_header(const struct wal_batch_header *header, uint32_t seed, uint8_t *out);
/* ERR_SHORT; ERR_CORRUPTION: no batch of this seed begins here, or it cannot have `room` bytes in
 * its segment. The crc of the records is not checked: the caller reads `length` bytes first. */
MUST_USE err_t wal_format_take_batch_header(struct bytes in, uint32_t seed, uint64_t room,
                                            struct wal_batch_header *ret);
/* The crc of header and records; `whole` is length bytes, its crc field may hold anything. */
uint32_t wal_format_batch_crc(uint32_t seed, struct bytes whole);

/* Fixed parts of records, written at the cursor: the record header and what comes before variable
 * bytes. `length` is the payload's. */
void wal_format_put_record(uint8_t **at, enum wal_kind kind, uint32_t length);
void wal_format_put_append(uint8_t **at, uint64_t region, struct raft_hs hs, raft_index first,
                           uint32_t count);
void wal_format_put_entry(uint8_t **at, raft_term term, uint8_t type, uint32_t length);

/* Draws the next record, whole or not at all. ERR_SHORT: the input ends within it; ERR_CORRUPTION:
 * not what the format says; ERR_UPGRADE_REQUIRED: a kind from the future. The entries of an APPEND
 * are checked here, once. */
MUST_USE err_t wal_format_take_record(struct bytes *in, struct wal_record *ret);
/* Draws the next entry of a checked APPEND; its index is the caller's to count. False: there is no
 * more. */
bool wal_format_take_entry(struct bytes *entries, struct raft_ent *ret);
