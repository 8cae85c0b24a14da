/* Protobuf's wire format by hand: against protobuf-c, and against what is no protobuf at all. */
#include "base/prng.h"
#include "base/test.h"
#include "net/pb.h"
#include "proto/kvrpc.pb-c.h"

TEST(net_status_reads_what_protobuf_c_writes)
{
    Flotilla__Kv__Status m = FLOTILLA__KV__STATUS__INIT;
    Flotilla__Kv__Conflict c = FLOTILLA__KV__CONFLICT__INIT;
    uint8_t text[] = "why", value[] = "now", wire[128];
    m.code = ERR_CONFLICT;
    m.message = (ProtobufCBinaryData){ 3, text };
    m.detail_case = FLOTILLA__KV__STATUS__DETAIL_CONFLICT;
    m.conflict = &c;
    c.current_version = UINT64_MAX;
    c.absent = true;
    c.has_value = true;
    c.current_value = (ProtobufCBinaryData){ 3, value };
    struct net_status s;
    size_t len = flotilla__kv__status__pack(&m, wire);
    CHECK_EQ(net_status_read(bytes_from(wire, len), &s), ERR_OK);
    CHECK_EQ(s.code, ERR_CONFLICT);
    CHECK_BYTES(s.message, BYTES("why"));
    CHECK(s.has_conflict && s.absent && s.has_value);
    CHECK(s.current_version == UINT64_MAX);
    CHECK_BYTES(s.current_value, BYTES("now"));
    for (size_t n = 1; n < len; n++) { /* every truncation: whole fields or none */
        struct net_status part = { .backoff_ms = 77 };
        if (net_status_read(bytes_from(wire, n), &part) != ERR_OK)
            CHECK_EQ(part.backoff_ms, 77);
    }
}

TEST(net_status_writes_what_protobuf_c_reads)
{
    struct buf b = { 0 };
    CHECK_EQ(net_status_append(&b, ERR_SERVER_IS_BUSY, "later", 300), ERR_OK);
    Flotilla__Kv__RawPutResponse *m = flotilla__kv__raw_put_response__unpack(NULL, b.len, b.data);
    CHECK(m != NULL && m->status != NULL);
    CHECK_EQ(m->status->code, ERR_SERVER_IS_BUSY);
    CHECK_EQ(m->status->backoff_ms, 300);
    CHECK_BYTES(bytes_from(m->status->message.data, m->status->message.len), BYTES("later"));
    flotilla__kv__raw_put_response__free_unpacked(m, NULL);
    buf_clear(&b);
    CHECK_EQ(net_status_append(&b, ERR_NOMEM, NULL, 0), ERR_OK); /* a code that does not travel */
    CHECK_BYTES(buf_bytes(&b), bytes_from("\x0a\x02\x08\x08", 4));
    buf_free(&b);
}

TEST(net_status_does_not_take_a_code_that_it_does_not_know_for_ok)
{
    struct net_status s;
    CHECK_EQ(net_status_read(bytes_from("\x08\x3f", 2), &s), ERR_OK);
    CHECK_EQ(s.code, ERR_INTERNAL);
    CHECK_EQ(s.number, 63);
    CHECK_EQ(net_status_read(bytes_from("\x08\x80\x80\x80\x80\x10", 6), &s),
             ERR_OK); /* 2^32: 0 if cut to 32 bits */
    CHECK_EQ(s.code, ERR_INTERNAL);
}

TEST(net_pb_next_refuses_what_is_no_field)
{
    static const struct {
        const char *wire;
        size_t len;
    } bad[] = {
        { "\x00\x01", 2 },                                      /* number 0 */
        { "\x0b", 1 },                                          /* a group */
        { "\x0e\x01", 2 },                                      /* type 6 */
        { "\x08", 1 },                                          /* no value */
        { "\x08\x80", 2 },                                      /* half a varint */
        { "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 11 }, /* above 2^64 - 1 */
        { "\x12\x05"
          "abcd",
          6 },                                                  /* longer than the message */
        { "\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11 }, /* far longer */
        { "\x09"
          "1234567",
          8 }, /* half of eight bytes */
        { "\x0d"
          "123",
          4 },                             /* half of four */
        { "\x80\x80\x80\x80\x10\x01", 6 }, /* number 2^29 */
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        uint8_t *exact = malloc(bad[i].len);
        memcpy(exact, bad[i].wire, bad[i].len);
        struct bytes in = bytes_from(exact, bad[i].len);
        struct net_pb_field f;
        CHECK_EQ(net_pb_next(&in, &f), ERR_CORRUPTION);
        free(exact);
    }
}

TEST(net_pb_next_stays_in_its_bytes)
{
    struct prng p;
    prng_seed(&p, 42);
    for (int round = 0; round < 20000; round++) {
        size_t len = prng_below(&p, 40);
        uint8_t *noise = malloc(len + 1);
        prng_fill(&p, noise, len);
        if (len > 0 && round % 2 == 0)
            noise[0] = 0x12; /* often a bytes field */
        uint8_t *exact = realloc(noise, len == 0 ? 1 : len);
        struct bytes in = bytes_from(exact, len);
        struct net_pb_field f;
        while (net_pb_next(&in, &f) == ERR_OK)
            if (f.bytes.len > 0)
                CHECK(f.bytes.data >= exact && f.bytes.data + f.bytes.len <= exact + len);
        struct net_status s;
        (void)!net_status_read(bytes_from(exact, len), &s);
        free(exact);
    }
}

TEST_MAIN()
