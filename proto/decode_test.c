#include "decode/decode.h"

#include "base/codec.h"
#include "base/prng.h"
#include "base/test.h"

#include <jansson.h>

#include "corpus/corpus.pb-c.h"
#include "proto/all.h"
#include "proto/kvrpc.pb-c.h"

enum { CAP = 1 << 20 };

static const struct decode_limits few = { DECODE_DEPTH_MAX, DECODE_UNKNOWN_MAX, 512 };

/* Decodes under the cap and packs again: the bytes go to `again` (may be NULL). */
static err_t decode(const ProtobufCMessageDescriptor *type, struct bytes in,
                    struct decode_limits limits, struct buf *again, struct err *e)
{
    struct arena arena;
    ProtobufCMessage *m = NULL;
    arena_init(&arena, CAP, NULL, 0);
    err_t rc = decode_message(type, in, limits, &arena, &m, e);
    CHECK((rc == ERR_OK) == (m != NULL));
    CHECK(arena.used <= CAP);
    if (rc == ERR_OK && again != NULL) {
        size_t len = protobuf_c_message_get_packed_size(m);
        uint8_t *out = buf_reserve(again, len);
        CHECK(out != NULL);
        again->len += protobuf_c_message_pack(m, out);
    }
    if (rc != ERR_OK)
        CHECK_CONTAINS(e->msg, "message ");
    arena_free(&arena);
    return rc;
}

/* We are stricter than the specification here, and say so in decode.h. */
static bool is_stricter(const char *name)
{
    return strcmp(name, "submessage given twice: merged") == 0;
}

TEST(decode_gives_the_malformed_corpus_its_verdicts)
{
    char path[600];
    snprintf(path, sizeof path, "%s/vectors/protobuf_malformed.json", test_shared());
    json_t *root = json_load_file(path, 0, NULL), *row;
    CHECK(root != NULL);
    unsigned accepted = 0, refused = 0, either = 0;
    size_t i;
    json_array_foreach(json_object_get(root, "cases"), i, row)
    {
        const char *name = json_string_value(json_object_get(row, "name"));
        const char *expect = json_string_value(json_object_get(row, "expect"));
        struct buf in = test_hex(json_string_value(json_object_get(row, "hex"))), again = { 0 };
        struct err e = { 0 };
        err_t rc = decode(&corpus__t__descriptor, buf_bytes(&in), few, &again, &e);
        if (strcmp(expect, "either") == 0) {
            either++;
        } else if (strcmp(expect, "accept") == 0 && !is_stricter(name)) {
            if (rc != ERR_OK)
                fail_msg("%s: refused: %s", name, e.msg);
            const char *seen = json_string_value(json_object_get(row, "protobuf_c_1_4_1"));
            struct buf want = test_hex(strstr(seen, "re=") + 3);
            CHECK_BYTES(buf_bytes(&again), buf_bytes(&want));
            buf_free(&want);
            accepted++;
        } else {
            if (rc != ERR_INVALID_ARGUMENT && rc != ERR_TOO_LARGE)
                fail_msg("%s: %s, but it should be refused", name, err_name(rc));
            refused++;
        }
        buf_free(&in), buf_free(&again);
    }
    CHECK_EQ(i, 71);
    print_message("%u accepted, %u refused, %u may be either\n", accepted, refused, either);
    CHECK(accepted >= 15 && refused >= 45);
    json_decref(root);
}

TEST(decode_says_where_and_what)
{
    struct err e = { 0 };
    struct buf in = test_hex("1a056b");
    CHECK_EQ(
        decode(&flotilla__kv__raw_put_request__descriptor, buf_bytes(&in), DECODE_LIMITS, NULL, &e),
        ERR_INVALID_ARGUMENT);
    CHECK_STR(
        e.msg,
        "malformed message flotilla.kv.RawPutRequest.key: length 5 is beyond the end, 1 bytes "
        "are left");
    buf_free(&in);
    in = test_hex("0a0008010a00"); /* the context twice, with something between */
    CHECK_EQ(
        decode(&flotilla__kv__raw_put_request__descriptor, buf_bytes(&in), DECODE_LIMITS, NULL, &e),
        ERR_INVALID_ARGUMENT);
    buf_free(&in);
    in = test_hex("0a0010010a00");
    CHECK_EQ(
        decode(&flotilla__kv__raw_put_request__descriptor, buf_bytes(&in), DECODE_LIMITS, NULL, &e),
        ERR_INVALID_ARGUMENT);
    CHECK_CONTAINS(e.msg, "RawPutRequest.context: given twice");
    buf_free(&in);
}

/* faults.md: forty times the input, for empty messages in a list. The limits stop it before
 * anything is allocated; with the limits raised, the arena does, and nothing leaks (ASan
 * watches). */
TEST(decode_memory_stays_below_the_cap_whatever_the_input)
{
    static const uint8_t bombs[][2] = { { 0x5a, 0x00 } /* subs {} */,
                                        { 0x20, 0x01 } /* d = 1 */,
                                        { 0x78, 0x01 } /* unknown = 1 */ };
    struct buf in = { 0 };
    for (size_t b = 0; b < 3; b++) {
        buf_clear(&in);
        for (size_t i = 0; i < 1 << 20; i++)
            CHECK_EQ(buf_append(&in, bytes_from(bombs[b], 2)), ERR_OK);
        struct err e = { 0 };
        CHECK_EQ(decode(&corpus__t__descriptor, buf_bytes(&in), DECODE_LIMITS, NULL, &e),
                 ERR_TOO_LARGE);
        CHECK_CONTAINS(e.msg, "too many");
        struct decode_limits wide = { 8, UINT32_MAX, UINT32_MAX };
        CHECK_EQ(decode(&corpus__t__descriptor, buf_bytes(&in), wide, NULL, &e),
                 ERR_RESOURCE_EXHAUSTED);
        CHECK_CONTAINS(e.msg, "1048576 bytes");
    }
    buf_free(&in);
}

/* Rec { next { next ... } }, n deep, its lengths worked out from the inside. */
static void nest(struct buf *out, unsigned n)
{
    uint8_t *all = malloc(8 * n + 8), *at = all + 8 * n + 8;
    size_t len = 0;
    for (unsigned i = 0; i < n; i++) {
        uint8_t head[1 + VARINT_MAX] = { 0x0a }, *to = head + 1;
        put_varint(&to, len);
        size_t used = (size_t)(to - head);
        at -= used;
        memcpy(at, head, used);
        len += used;
    }
    CHECK_EQ(buf_append(out, bytes_from(at, len)), ERR_OK);
    free(all);
}

TEST(decode_depth_is_limited_before_the_stack_is)
{
    struct err e = { 0 };
    struct buf in = { 0 };
    nest(&in, DECODE_DEPTH_MAX - 1);
    CHECK_EQ(decode(&corpus__rec__descriptor, buf_bytes(&in), DECODE_LIMITS, NULL, &e), ERR_OK);
    buf_clear(&in);
    nest(&in, DECODE_DEPTH_MAX);
    CHECK_EQ(decode(&corpus__rec__descriptor, buf_bytes(&in), DECODE_LIMITS, NULL, &e),
             ERR_TOO_LARGE);
    CHECK_CONTAINS(e.msg, "nested too deeply");
    buf_clear(&in);
    nest(&in, 10000);
    CHECK_EQ(decode(&corpus__rec__descriptor, buf_bytes(&in), DECODE_LIMITS, NULL, &e),
             ERR_TOO_LARGE);
    buf_free(&in);
}

TEST(decode_list_limits_are_exact)
{
    struct err e = { 0 };
    struct buf in = { 0 };
    for (uint32_t n = 1; n <= 3; n++) { /* packed, unpacked and in one: three elements in all */
        CHECK_EQ(buf_append(&in, bytes_from("\x20\x07", 2)), ERR_OK);
        struct decode_limits limits = { 8, 8, n };
        CHECK_EQ(decode(&corpus__t__descriptor, buf_bytes(&in), limits, NULL, &e), ERR_OK);
        limits.items = n - 1;
        CHECK_EQ(decode(&corpus__t__descriptor, buf_bytes(&in), limits, NULL, &e), ERR_TOO_LARGE);
    }
    CHECK_EQ(buf_append(&in, bytes_from("\x22\x02\x01\x02", 4)), ERR_OK);
    CHECK_EQ(
        decode(&corpus__t__descriptor, buf_bytes(&in), (struct decode_limits){ 8, 8, 5 }, NULL, &e),
        ERR_OK);
    CHECK_EQ(
        decode(&corpus__t__descriptor, buf_bytes(&in), (struct decode_limits){ 8, 8, 4 }, NULL, &e),
        ERR_TOO_LARGE);
    buf_free(&in);
}

/* What the walk accepts, protobuf-c decodes: over random damage to real messages of every type. */
TEST(decode_walk_and_protobuf_c_agree)
{
    struct prng p;
    prng_seed(&p, 12);
    unsigned ok = 0, bad = 0;
    for (int round = 0; round < 60000; round++) {
        const ProtobufCMessageDescriptor *type = prng_chance(&p, 1, 4)
                                                     ? &corpus__t__descriptor
                                                     : proto_all[prng_below(&p, proto_all_count)];
        uint8_t wire[64];
        size_t len = 0;
        while (len < 40 && prng_chance(&p, 4, 5)) { /* fields that nearly fit the type */
            const ProtobufCFieldDescriptor *f =
                type->n_fields > 0 ? &type->fields[prng_below(&p, type->n_fields)] : NULL;
            wire[len++] = (uint8_t)((f != NULL ? f->id : 1) << 3 |
                                    (prng_chance(&p, 1, 2) ? 2 : prng_below(&p, 8)));
            wire[len++] = (uint8_t)prng_below(&p, 6);
            for (uint64_t n = prng_below(&p, 5); n > 0; n--)
                wire[len++] = (uint8_t)(prng_chance(&p, 1, 3) ? prng_u64(&p) : prng_below(&p, 20));
        }
        struct err e = { 0 };
        struct buf again = { 0 };
        err_t rc = decode(type, bytes_from(wire, len), few, &again, &e);
        CHECK(rc == ERR_OK || decode_check(type, bytes_from(wire, len), few, &e) != ERR_OK);
        if (rc == ERR_OK) /* and what it packs is decoded again */
            CHECK_EQ(decode(type, buf_bytes(&again), few, NULL, &e), ERR_OK);
        rc == ERR_OK ? ok++ : bad++;
        buf_free(&again);
    }
    print_message("%u decoded, %u refused\n", ok, bad);
    CHECK(ok > 5000 && bad > 5000);
}

TEST_MAIN()
