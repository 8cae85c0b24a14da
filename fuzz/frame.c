/* Frames off a stream, with their checksum put right in every second input: the decoder's checks
 * behind the checksum are reached too. Then protobuf's wire format and Status, as the hot path
 * reads them. */
#include "net/frame.h"

#include "decode/decode.h"
#include "frames.h"
#include "fuzz.h"
#include "base/pb.h"
#include "net/status.h"
#include "proto/kvrpc.pb-c.h"

static void fuzz_stream(struct bytes in, uint32_t max)
{
    while (in.len > 0) {
        struct net_frame f;
        size_t promised = 0, size = 0;
        err_t peek = net_frame_size(in, max, &promised), rc = net_frame_decode(in, max, &f, &size);
        if (peek != ERR_OK)
            FUZZ_CHECK(rc == peek);
        else
            FUZZ_CHECK(promised <= max && (rc != ERR_SHORT || in.len < promised));
        if (rc != ERR_OK)
            return;
        FUZZ_CHECK(size == promised && size <= in.len);
        FUZZ_CHECK(f.body.len + f.raw.len + NET_FRAME_HEADER == size);
        struct buf again = { 0 };
        FUZZ_CHECK(net_frame_append(&again, &f) == ERR_OK);
        FUZZ_CHECK(bytes_equal(buf_bytes(&again), bytes_from(in.data, size)));
        buf_free(&again);
        in.data += size;
        in.len -= size;
    }
}

static void fuzz_fields(struct bytes in)
{
    struct pb_field f;
    size_t before = in.len;
    while (pb_next(&in, &f)) {
        FUZZ_CHECK(in.len < before && f.bytes.len <= before);
        before = in.len;
    }
    f.number = 77; /* malformed from here on: what was there stays */
    FUZZ_CHECK(!pb_next(&in, &f) && f.number == 77 && in.len <= before);
}

static void fuzz_status(struct bytes in)
{
    struct net_status s;
    err_t rc = net_status_read(in, &s);
    if (decode_check(&flotilla__kv__status__descriptor, in, DECODE_LIMITS, NULL) != ERR_OK)
        return; /* the strict walk refuses more */
    FUZZ_CHECK(rc == ERR_OK);
    Flotilla__Kv__Status *m = flotilla__kv__status__unpack(NULL, in.len, in.data);
    FUZZ_CHECK(m != NULL && bytes_equal(s.message, bytes_from(m->message.data, m->message.len)));
    /* A number above 32 bits is no code; protobuf-c would cut it down to one. */
    bool known = s.number == m->code && err_is_wire(m->code);
    FUZZ_CHECK(s.code == (known ? (err_t)m->code : ERR_INTERNAL));
    flotilla__kv__status__free_unpacked(m, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len == 0)
        return 0;
    struct bytes copy = fuzz_copy(bytes_from(data + 1, len - 1));
    uint8_t *mine = (uint8_t *)(uintptr_t)copy.data;
    switch (data[0] % 4) {
    case 0:
        fuzz_stream(copy, NET_FRAME_MAX_UNKNOWN);
        break;
    case 1:
        frames_repair(mine, copy.len);
        fuzz_stream(copy, NET_FRAME_MAX);
        break;
    case 2:
        fuzz_fields(copy);
        break;
    case 3:
        fuzz_status(copy);
        break;
    }
    free(mine);
    return 0;
}
