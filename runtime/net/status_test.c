/* Status by hand: against protobuf-c, and against what is no protobuf at all. */
#include "base/prng.h"
#include "base/test.h"
#include "net/status.h"
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

TEST(net_status_reads_who_leads)
{
    Flotilla__Kv__Status m = FLOTILLA__KV__STATUS__INIT;
    Flotilla__Kv__NotLeader leader = FLOTILLA__KV__NOT_LEADER__INIT;
    uint8_t address[] = "127.0.0.1:7702", wire[128];
    m.code = ERR_NOT_LEADER;
    m.detail_case = FLOTILLA__KV__STATUS__DETAIL_NOT_LEADER;
    m.not_leader = &leader;
    leader.region_id = UINT64_MAX;
    leader.leader_store = 3;
    leader.leader_address = (ProtobufCBinaryData){ 14, address };
    struct net_status s;
    size_t len = flotilla__kv__status__pack(&m, wire);
    CHECK_EQ(net_status_read(bytes_from(wire, len), &s), ERR_OK);
    CHECK(s.has_leader && !s.has_conflict);
    CHECK(s.region_id == UINT64_MAX && s.leader_store == 3);
    CHECK_BYTES(s.leader_address, BYTES("127.0.0.1:7702"));
    memcpy(wire + len, wire + 2, len - 2); /* twice */
    CHECK_EQ(net_status_read(bytes_from(wire, 2 * len - 2), &s), ERR_CORRUPTION);
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

TEST(net_status_read_stays_in_its_bytes)
{
    struct prng p;
    prng_seed(&p, 42);
    for (int round = 0; round < 20000; round++) {
        size_t len = prng_below(&p, 40);
        uint8_t *exact = malloc(len == 0 ? 1 : len);
        prng_fill(&p, exact, len);
        if (len > 0 && round % 2 == 0)
            exact[0] = round % 4 == 0 ? 0x12 : 0x1a; /* often a bytes field, or a conflict */
        struct net_status s = { 0 };
        if (net_status_read(bytes_from(exact, len), &s) == ERR_OK && s.message.len > 0)
            CHECK(s.message.data >= exact && s.message.data + s.message.len <= exact + len);
        free(exact);
    }
}

TEST_MAIN()
