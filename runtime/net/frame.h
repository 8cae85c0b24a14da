/* Frames: how requests and replies lie on a byte stream. Server and client share this file; docs/wire.md tells it
 * to everybody else.
 *
 *   0        4     5      6        8             12            20         24       28
 *   | length | ver | kind | method | deadline_ms | request id  | body_len | crc32c | body | raw value |
 *   '--------'--------------------------- length counts all of this ----------------------------------'
 *
 * Little-endian. `body_len` ends the body (a protobuf message); what is left up to `length` is the raw value of
 * methods that have one. The checksum covers the whole frame, from its first byte, with its own field zero. */
#pragma once

#include "base/buf.h"
#include "base/err.h"

enum {
    NET_FRAME_VERSION = 1,
    NET_FRAME_HEADER = 28,            /* bytes before the body */
    NET_FRAME_MAX_UNKNOWN = 4096,     /* the largest frame of a peer that has not said hello */
    NET_FRAME_MAX = 16 * 1024 * 1024, /* the largest frame after hello, header included */
};

enum net_frame_kind {
    NET_FRAME_REQUEST = 1,
    NET_FRAME_RESPONSE = 2, /* answers the request with the same id */
    NET_FRAME_PUSH = 3,     /* between stores: answered by nothing */
    NET_FRAME_ERROR = 4,    /* body is a Status; id 0: about the connection, which then closes */
    NET_FRAME_CANCEL =
        5, /* the request with this id is no longer wanted; it is answered all the same */
    NET_FRAME_PING = 6, /* comes back as it is, with method 1 instead of 0 */
};

struct net_frame {
    enum net_frame_kind kind;
    uint16_t method;
    uint32_t deadline_ms;   /* requests: what is left of the client's patience; 0: no end */
    uint64_t request_id;    /* chosen by who asks; one at a time per connection */
    struct bytes body, raw; /* borrowed */
};

/* How many bytes the frame at the front of `in` has in all. Looks at the first five bytes alone, so that nobody
 * allocates what a length field promises: ERR_SHORT while they are not there; ERR_TOO_LARGE above `max`;
 * ERR_UPGRADE_REQUIRED for another version; ERR_CORRUPTION for a length that no frame has. */
MUST_USE err_t net_frame_size(struct bytes in, uint32_t max, size_t *ret);
/* Draws the frame at the front of `in`; its bytes are borrowed from there. As net_frame_size(), and: ERR_SHORT until
 * the whole frame is there; ERR_CORRUPTION for a checksum, kind or body length that is wrong. The stream is then out
 * of step and must be closed. `*ret` and `*size` are filled on ERR_OK only. */
MUST_USE err_t net_frame_decode(struct bytes in, uint32_t max, struct net_frame *ret, size_t *size);
/* Writes the header that goes before f->body and f->raw, which may lie anywhere. Asserts NET_FRAME_MAX. */
void net_frame_encode(const struct net_frame *f, uint8_t header[NET_FRAME_HEADER]);
/* Header, body and raw value in one piece. */
MUST_USE err_t net_frame_append(struct buf *out, const struct net_frame *f);
