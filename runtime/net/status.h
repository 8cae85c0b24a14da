/* Status, field 1 of every response, read and written in place (proto/kvrpc.proto). */
#pragma once

#include "base/buf.h"
#include "base/err.h"

struct net_status {
    err_t code;
    uint64_t number; /* as it came: code is ERR_INTERNAL if err.h does not know it */
    struct bytes message;
    uint32_t backoff_ms; /* with SERVER_IS_BUSY */
    bool has_conflict;   /* with CONFLICT: the fields below */
    uint64_t current_version;
    bool absent;
    struct bytes current_value;
    bool has_value;
    bool has_leader; /* with NOT_LEADER: the fields below */
    uint64_t region_id, leader_store;
    struct bytes leader_address;
    struct bytes epoch_not_match; /* with EPOCH_NOT_MATCH: an EpochNotMatch, unread */
};
/* Reads a Status; a number that err.h does not know is ERR_INTERNAL. ERR_CORRUPTION if it is none. */
MUST_USE err_t net_status_read(struct bytes in, struct net_status *ret);
/* Appends field 1 of a response: a Status with code, message and, if not 0, the backoff. */
MUST_USE err_t net_status_append(struct buf *out, err_t code, const char *message,
                                 uint32_t backoff_ms);
