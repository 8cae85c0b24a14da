/* Every message: the first byte chooses the type, the rest are its bytes. */
#include "decode/decode.h"
#include "fuzz.h"
#include "proto/all.h"

enum { CAP = 1 << 20 };

static err_t decode(const ProtobufCMessageDescriptor *type, struct bytes in, struct buf *again)
{
    struct arena arena;
    ProtobufCMessage *m = NULL;
    struct err e = { 0 };
    arena_init(&arena, CAP, NULL, 0);
    err_t rc = decode_message(type, in, DECODE_LIMITS, &arena, &m, &e);
    FUZZ_CHECK((rc == ERR_OK) == (m != NULL) && (rc == ERR_OK) == (e.msg[0] == '\0'));
    FUZZ_CHECK(arena.used <= CAP);
    if (rc == ERR_OK) {
        size_t len = protobuf_c_message_get_packed_size(m);
        uint8_t *out = buf_reserve(again, len + 1);
        FUZZ_CHECK(out != NULL && protobuf_c_message_pack(m, out) == len);
        again->len = len;
    }
    arena_free(&arena);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len == 0)
        return 0;
    const ProtobufCMessageDescriptor *type = proto_all[data[0] % proto_all_count];
    struct bytes in = { data + 1, len - 1 };
    struct buf once = { 0 }, twice = { 0 };
    err_t rc = decode(type, in, &once), checked = decode_check(type, in, DECODE_LIMITS, NULL);
    /* The walk and protobuf-c agree; only memory may come between them. */
    FUZZ_CHECK(rc == checked || rc == ERR_RESOURCE_EXHAUSTED);
    if (rc == ERR_OK) { /* what was packed is decoded again, to the same bytes */
        FUZZ_CHECK(decode(type, buf_bytes(&once), &twice) == ERR_OK);
        FUZZ_CHECK(bytes_equal(buf_bytes(&once), buf_bytes(&twice)));
    }
    buf_free(&once), buf_free(&twice);
    return 0;
}
