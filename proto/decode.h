/* Messages from outside: checked by one walk over their bytes, then decoded by protobuf-c into a
 * capped arena.
 *
 *   bytes -> decode_check: well-formed, within limits? -> protobuf_c_message_unpack into the arena
 *
 * protobuf-c alone accepts more than is good for us, or takes more memory than its input is
 * worth (forty times for empty messages in a list). The walk refuses, before anything is
 * allocated:
 *   - tags that are overlong, have number 0 or above 2^29 - 1, groups, wire types that do not exist
 *   - lengths beyond the end; varints that are cut off or above 64 bits
 *   - a known field with a wrong wire type, or a message field given twice (protobuf-c loses the first
 *     one's scalars, where the specification merges)
 *   - text that is not UTF-8 or contains a NUL (ours are all `bytes`; a `string` would be checked)
 *   - more elements in lists, more unknown fields, or deeper nesting than the limits say
 *
 * A message never refers to its input after decode_message(): bytes are copied into the arena. */
#pragma once

#include <protobuf-c/protobuf-c.h>

#include "base/arena.h"
#include "base/buf.h"

enum {
    DECODE_DEPTH_MAX = 8,     /* messages within messages */
    DECODE_UNKNOWN_MAX = 64,  /* unknown fields: enough for a newer peer, too few to waste memory */
    DECODE_ITEMS_MAX = 65536, /* elements of all lists of a message: the commands of a batch */
};

struct decode_limits {
    uint32_t depth, unknown, items;
};
#define DECODE_LIMITS                                                                              \
    (struct decode_limits)                                                                         \
    {                                                                                              \
        DECODE_DEPTH_MAX, DECODE_UNKNOWN_MAX, DECODE_ITEMS_MAX                                     \
    }

/* Checks alone. ERR_INVALID_ARGUMENT with the place in `e` ("flotilla.kv.CasRequest.key: ..."), or
 * ERR_TOO_LARGE above a limit. */
MUST_USE err_t decode_check(const ProtobufCMessageDescriptor *type, struct bytes in,
                            struct decode_limits limits, struct err *e);
/* Checks, then decodes into `arena`; `ret` lives until the arena is reset, and needs no free.
 * The same errors, and ERR_RESOURCE_EXHAUSTED above the arena's cap. */
MUST_USE err_t decode_message(const ProtobufCMessageDescriptor *type, struct bytes in,
                              struct decode_limits limits, struct arena *arena,
                              ProtobufCMessage **ret, struct err *e);
