/* Frames for targets that speak to a server, or are one. */
#pragma once

#include "base/codec.h"
#include "base/crc32c.h"
#include "base/pb.h"
#include "fuzz.h"
#include "net/frame.h"
#include "net/method.h"

enum { FRAMES_HELLO_ID = 1 };

/* A hello as a client says it: protocol 1 to 1, any cluster. */
static inline void frames_hello(struct buf *out)
{
    static const uint8_t body[] = { 0x08, 1, 0x10, 1 };
    struct net_frame hello = { .kind = NET_FRAME_REQUEST,
                               .method = NET_HELLO,
                               .request_id = FRAMES_HELLO_ID,
                               .body = { body, sizeof body } };
    FUZZ_CHECK(net_frame_append(out, &hello) == ERR_OK);
}

/* As a store of that cluster says it. */
static inline void frames_hello_of_store(struct buf *out, struct bytes cluster, uint64_t store,
                                         uint64_t incarnation)
{
    struct buf body = { 0 };
    pb_append_u64(&body, 1, 1);
    pb_append_u64(&body, 2, 1);
    pb_append_bytes(&body, 3, cluster);
    pb_append_u64(&body, 6, store);
    pb_append_fixed64(&body, 7, incarnation);
    struct net_frame hello = { .kind = NET_FRAME_REQUEST,
                               .method = NET_HELLO,
                               .request_id = FRAMES_HELLO_ID,
                               .body = buf_bytes(&body) };
    FUZZ_CHECK(net_frame_append(out, &hello) == ERR_OK);
    buf_free(&body);
}

/* Puts checksums right, so that the checks behind them are reached; stops at what is no frame. */
static inline void frames_repair(uint8_t *data, size_t len)
{
    enum { CRC_AT = 24 };
    for (size_t at = 0; len - at >= NET_FRAME_HEADER;) {
        uint64_t size = 4 + (uint64_t)load_u32(data + at);
        if (size < NET_FRAME_HEADER || size > len - at)
            return;
        store_u32(data + at + CRC_AT, 0);
        store_u32(data + at + CRC_AT, crc32c(0, bytes_from(data + at, (size_t)size)));
        at += (size_t)size;
    }
}
