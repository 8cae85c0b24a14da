/* Commands: what a log entry holds, decoded in place.
 *
 *   entry    | 2 u8 | 0 u8 | count u16 | 0 u32 | hlc u64 | version u64 | command ... command |       little-endian
 *   command  | kind u8 | 0 u8 0 u8 0 u8 | len u32 | body: len bytes of protobuf, as the client sent it |
 *
 * `version` is that of the region's epoch when the entry was proposed. The first format had none and is read
 * as version 1: | 1 u8 | 0 u8 | count u16 | hlc u64 |.
 *
 * The body is the request message of proto/kvrpc.proto: its bytes go from the socket's slab into
 * the log and the engine without being encoded again. Decoding here and protobuf-c agree on every
 * input (command_test.c). */
#pragma once

#include "base/buf.h"
#include "base/err.h"

enum command_kind {                         /* numbers are on disk: never change, never reuse */
                    COMMAND_RAW_PUT = 1,    /* RawPutRequest */
                    COMMAND_RAW_DELETE = 2, /* RawDeleteRequest */
                    COMMAND_CAS = 3,        /* CasRequest */
                    COMMAND_CAS_DELETE = 4, /* CasDeleteRequest */
                    COMMAND_NAMESPACE = 5,  /* pd.Namespace: create it under this id */
                    COMMAND_TSO = 6,        /* pd.TsoWindow: stamps up to there may be given out */
};

enum {
    COMMAND_KEY_MAX = 4096,      /* bytes */
    COMMAND_VALUE_MAX = 1 << 20, /* bytes */
    COMMAND_ENTRY_MAX = 4 << 20, /* bytes of one entry, and of one request batch */
    COMMAND_COUNT_MAX = 65535,   /* commands of one entry */
};

struct command {
    enum command_kind kind;
    uint32_t namespace_id;
    struct bytes key, value;                        /* borrowed from the body */
    uint64_t expected_version;                      /* CAS, CAS_DELETE */
    bool conditional;                               /* CAS_DELETE: expected_version counts */
    bool want_current;                              /* CAS */
    uint64_t region_id, conf_ver, version, peer_id; /* the client's context; 0: not given */
    uint64_t client_hlc;                            /* 0: none */
    uint64_t window_ms;                             /* TSO */
};

/* Decodes and checks one body: limits (ERR_TOO_LARGE), empty key and malformed input
 * (ERR_INVALID_ARGUMENT). */
MUST_USE err_t command_decode(enum command_kind kind, struct bytes body, struct command *ret,
                              struct err *e);

/* What became of a command. `value` is owned by whoever owns the result; storage_result_free() ends
 * it. */
struct storage_result {
    err_t rc; /* OK, CONFLICT, NOT_FOUND, CORRUPTION, OVERFLOW, ... */
    uint64_t
        version; /* OK: the new version. CONFLICT: the current one (0: never written). TSO: the window */
    bool absent; /* CONFLICT: current_version is a tombstone's, or 0 */
    bool has_value;
    struct buf value; /* CONFLICT with want_current */
};
void storage_result_free(struct storage_result *result);
