/* The frame codec: golden bytes, every truncation, every flipped bit, every limit at n and n + 1. */
#include "base/test.h"
#include "base/codec.h"
#include "net/frame.h"

/* Made apart from frame.c, by hand and a checksum tool: a put request of 5 body bytes and 2 raw ones. */
static const char golden[] = "1f000000" /* length 31 */
                             "01"
                             "01"
                             "0101"             /* version, request, method 0x0101 */
                             "e8030000"         /* 1,000 ms */
                             "efcdab8967452301" /* request id */
                             "05000000"         /* body_len */
                             "130391e5"         /* crc32c */
                             "68656c6c6f"       /* hello */
                             "7677";            /* vw */

static struct net_frame sample(void)
{
    return (struct net_frame){
        .kind = NET_FRAME_REQUEST,
        .method = 0x0101,
        .deadline_ms = 1000,
        .request_id = 0x0123456789abcdef,
        .body = BYTES("hello"),
        .raw = BYTES("vw"),
    };
}

static struct buf sample_wire(void)
{
    struct buf wire = { 0 };
    struct net_frame f = sample();
    CHECK_EQ(net_frame_append(&wire, &f), ERR_OK);
    return wire;
}

TEST(net_frame_has_golden_bytes)
{
    struct buf wire = sample_wire(), want = test_hex(golden);
    CHECK_BYTES(buf_bytes(&wire), buf_bytes(&want));
    buf_free(&wire);
    buf_free(&want);
}

/* The example of docs/wire.md, for those who write a client from it. */
TEST(net_frame_agrees_with_the_documentation)
{
    static const char documented[] = "1d00000001010201e8030000010000000000000005000000"
                                     "f2d5dad910011a016b";
    struct buf wire = { 0 }, want = test_hex(documented);
    struct net_frame f = {
        .kind = NET_FRAME_REQUEST,
        .method = 0x0102,
        .deadline_ms = 1000,
        .request_id = 1,
        .body = bytes_from("\x10\x01\x1a\x01k", 5),
    };
    CHECK_EQ(net_frame_append(&wire, &f), ERR_OK);
    CHECK_BYTES(buf_bytes(&wire), buf_bytes(&want));
    buf_free(&wire);
    buf_free(&want);
}

TEST(net_frame_decodes_what_it_encoded)
{
    struct buf wire = sample_wire();
    struct net_frame f, want = sample();
    size_t size = 0;
    CHECK_EQ(net_frame_decode(buf_bytes(&wire), NET_FRAME_MAX, &f, &size), ERR_OK);
    CHECK_EQ(size, wire.len);
    CHECK_EQ(f.kind, want.kind);
    CHECK_EQ(f.method, want.method);
    CHECK_EQ(f.deadline_ms, want.deadline_ms);
    CHECK_EQ(f.request_id, want.request_id);
    CHECK_BYTES(f.body, want.body);
    CHECK_BYTES(f.raw, want.raw);
    buf_free(&wire);
}

TEST(net_frame_leaves_the_next_frame_alone)
{
    struct buf wire = sample_wire();
    size_t one = wire.len, size = 0;
    struct net_frame f = { .kind = NET_FRAME_PING, .request_id = 7 };
    CHECK_EQ(net_frame_append(&wire, &f), ERR_OK);
    CHECK_EQ(net_frame_decode(buf_bytes(&wire), NET_FRAME_MAX, &f, &size), ERR_OK);
    CHECK_EQ(size, one);
    CHECK_EQ(
        net_frame_decode(bytes_from(wire.data + one, wire.len - one), NET_FRAME_MAX, &f, &size),
        ERR_OK);
    CHECK_EQ(size, NET_FRAME_HEADER);
    CHECK_EQ(f.kind, NET_FRAME_PING);
    buf_free(&wire);
}

TEST(net_frame_short_input_leaves_output_alone)
{
    struct buf wire = sample_wire();
    for (size_t n = 0; n < wire.len; n++) {
        uint8_t *exact = malloc(n == 0 ? 1 : n); /* so that ASan sees a read behind the end */
        memcpy(exact, wire.data, n);
        struct net_frame f = { .request_id = 42 };
        size_t size = 43;
        CHECK_EQ(net_frame_decode(bytes_from(exact, n), NET_FRAME_MAX, &f, &size), ERR_SHORT);
        CHECK_EQ(f.request_id, 42);
        CHECK_EQ(size, 43);
        free(exact);
    }
    buf_free(&wire);
}

TEST(net_frame_notices_every_flipped_bit)
{
    struct buf wire = sample_wire();
    for (size_t bit = 0; bit < wire.len * 8; bit++) {
        wire.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        struct net_frame f;
        size_t size;
        err_t rc = net_frame_decode(buf_bytes(&wire), NET_FRAME_MAX, &f, &size);
        CHECK(
            rc !=
            ERR_OK); /* a greater length is ERR_SHORT: the checksum decides when the rest is there */
        if (bit >= 40)
            CHECK_EQ(rc, ERR_CORRUPTION);
        wire.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    buf_free(&wire);
}

TEST(net_frame_refuses_a_length_before_its_bytes_are_there)
{
    uint8_t head[5] = { 0, 0, 0, 0, NET_FRAME_VERSION };
    struct {
        uint32_t length;
        err_t want;
    } cases[] = {
        { 0, ERR_CORRUPTION },
        { 23, ERR_CORRUPTION },
        { 24, ERR_OK },
        { 4092, ERR_OK },
        { 4093, ERR_TOO_LARGE },
        { UINT32_MAX - 3, ERR_TOO_LARGE },
        { UINT32_MAX, ERR_TOO_LARGE },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        store_u32(head, cases[i].length);
        size_t size = 0;
        CHECK_EQ(net_frame_size(bytes_from(head, sizeof head), NET_FRAME_MAX_UNKNOWN, &size),
                 cases[i].want);
        CHECK_EQ(size, cases[i].want == ERR_OK ? cases[i].length + 4 : 0);
        CHECK_EQ(net_frame_size(bytes_from(head, 4), NET_FRAME_MAX_UNKNOWN, &size), ERR_SHORT);
    }
}

TEST(net_frame_names_another_version)
{
    struct buf wire = sample_wire();
    wire.data[4] = 2;
    struct net_frame f;
    size_t size;
    CHECK_EQ(net_frame_decode(buf_bytes(&wire), NET_FRAME_MAX, &f, &size), ERR_UPGRADE_REQUIRED);
    buf_free(&wire);
}

TEST_MAIN()
