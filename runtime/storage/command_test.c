/* Decoding in place agrees with protobuf-c: on messages, on damaged messages, on the shapes of the
 * malformed corpus. */
#include "base/test.h"

#include "base/prng.h"
#include "command_int.h"
#include "layout.h"
#pragma GCC diagnostic ignored "-Wmissing-braces"
#include "proto/kvrpc.pb-c.h"
#include "proto/pdpb.pb-c.h"

static const ProtobufCMessageDescriptor *descriptor_of(enum command_kind kind)
{
    switch (kind) {
    case COMMAND_RAW_PUT:
        return &flotilla__kv__raw_put_request__descriptor;
    case COMMAND_RAW_DELETE:
        return &flotilla__kv__raw_delete_request__descriptor;
    case COMMAND_CAS:
        return &flotilla__kv__cas_request__descriptor;
    case COMMAND_CAS_DELETE:
        return &flotilla__kv__cas_delete_request__descriptor;
    case COMMAND_TSO:
        return &flotilla__pd__tso_window__descriptor;
    default:
        return &flotilla__pd__namespace__descriptor;
    }
}

static struct bytes view(ProtobufCBinaryData data)
{
    return bytes_from(data.data, data.len);
}

/* What protobuf-c has read, as a command. */
static struct command command_of(enum command_kind kind, const ProtobufCMessage *message)
{
    struct command c = { .kind = kind };
    const Flotilla__Kv__Context *context = NULL;
    if (kind == COMMAND_RAW_PUT) {
        const Flotilla__Kv__RawPutRequest *m = (const void *)message;
        c.namespace_id = m->namespace_id, c.key = view(m->key), c.value = view(m->value),
        context = m->context;
    } else if (kind == COMMAND_RAW_DELETE) {
        const Flotilla__Kv__RawDeleteRequest *m = (const void *)message;
        c.namespace_id = m->namespace_id, c.key = view(m->key), context = m->context;
    } else if (kind == COMMAND_CAS) {
        const Flotilla__Kv__CasRequest *m = (const void *)message;
        c.namespace_id = m->namespace_id, c.key = view(m->key), c.value = view(m->value),
        context = m->context;
        c.expected_version = m->expected_version, c.want_current = m->want_current;
    } else if (kind == COMMAND_CAS_DELETE) {
        const Flotilla__Kv__CasDeleteRequest *m = (const void *)message;
        c.namespace_id = m->namespace_id, c.key = view(m->key), context = m->context;
        c.expected_version = m->expected_version, c.conditional = m->conditional;
    } else if (kind == COMMAND_TSO) {
        c.window_ms = ((const Flotilla__Pd__TsoWindow *)(const void *)message)->window_ms;
    } else {
        const Flotilla__Pd__Namespace *m = (const void *)message;
        c.namespace_id = m->id, c.key = view(m->name), c.value = view(m->mode);
    }
    if (context != NULL) {
        c.region_id = context->region_id, c.conf_ver = context->conf_ver,
        c.version = context->version;
        c.peer_id = context->peer_id, c.client_hlc = context->hlc;
    }
    return c;
}

static bool equal(const struct command *a, const struct command *b)
{
    return a->kind == b->kind && a->namespace_id == b->namespace_id &&
           bytes_equal(a->key, b->key) && bytes_equal(a->value, b->value) &&
           a->expected_version == b->expected_version && a->conditional == b->conditional &&
           a->want_current == b->want_current && a->region_id == b->region_id &&
           a->conf_ver == b->conf_ver && a->version == b->version && a->peer_id == b->peer_id &&
           a->client_hlc == b->client_hlc;
}

static uint64_t draw_varint(struct bytes *in)
{
    uint64_t v = 0;
    for (unsigned shift = 0, more = 1; more && in->len > 0; shift += 7, in->data++, in->len--) {
        v |= shift < 64 ? (uint64_t)(in->data[0] & 0x7f) << shift : 0;
        more = in->data[0] & 0x80;
    }
    return v;
}

/* Where we refuse what protobuf-c has accepted, beside unknown fields: a context that comes twice,
 * which it merges in its own way; and a bool of another wire type, at which it does not look, and
 * which the specification calls unknown. */
static bool stricter(enum command_kind kind, struct bytes in)
{
    unsigned flag = kind == COMMAND_CAS ? 6 : kind == COMMAND_CAS_DELETE ? 4 : 0, contexts = 0;
    while (in.len > 0) {
        uint64_t tag = draw_varint(&in), wire = tag & 7;
        size_t len = wire == 5 ? 4 : wire == 1 ? 8 : 0;
        if (wire == 0 || wire == 2) {
            uint64_t number = draw_varint(&in);
            len = wire == 2 ? (size_t)number : 0;
        }
        in.data += len;
        in.len -= len;
        contexts += tag >> 3 == 1 && kind < COMMAND_NAMESPACE;
        if (contexts > 1 || (flag != 0 && tag >> 3 == flag && wire != 0))
            return true;
    }
    return false;
}

static bool has_unknown(const ProtobufCMessage *message, enum command_kind kind)
{
    if (message->n_unknown_fields > 0)
        return true;
    if (kind >= COMMAND_NAMESPACE)
        return false;
    const Flotilla__Kv__RawDeleteRequest *m =
        (const void *)message; /* every request begins with its context */
    return m->context != NULL && m->context->base.n_unknown_fields > 0;
}

/* One input, both decoders. Answers whether protobuf-c took it. */
static bool agree(enum command_kind kind, struct bytes body)
{
    struct err e = { 0 };
    struct command ours = { 0 };
    err_t rc = command_decode(kind, body, &ours, &e);
    ProtobufCMessage *message =
        protobuf_c_message_unpack(descriptor_of(kind), NULL, body.len, body.data);
    if (message == NULL) {
        CHECK_EQ(rc, ERR_INVALID_ARGUMENT);
        return false;
    }
    struct command theirs = command_of(kind, message);
    if (has_unknown(message, kind) || stricter(kind, body))
        CHECK_EQ(rc, ERR_INVALID_ARGUMENT);
    else if (rc != command_check(&theirs, NULL)) /* the limits, and nothing else */
        test_fail_bytes(__FILE__, __LINE__, e.msg, body, (struct bytes){ 0 });
    if (rc == ERR_OK)
        CHECK(equal(&ours, &theirs));
    protobuf_c_message_free_unpacked(message, NULL);
    return true;
}

static uint64_t odd_number(struct prng *chance)
{
    static const uint64_t odd[] = {
        0, 1, 127, 128, 1ull << 31, 1ull << 32, 1ull << 63, UINT64_MAX
    };
    return prng_chance(chance, 1, 2) ? odd[prng_below(chance, 8)]
                                     : prng_u64(chance) >> prng_below(chance, 64);
}

/* A varint with up to three bytes more than it needs. */
static void put_loose(struct buf *b, struct prng *chance, uint64_t v)
{
    uint8_t bytes[VARINT_MAX], *at = bytes;
    put_varint(&at, v);
    unsigned extra = prng_chance(chance, 1, 4) ? (unsigned)prng_below(chance, 4) : 0;
    for (; extra > 0 && at < bytes + VARINT_MAX; extra--) {
        at[-1] |= 0x80;
        put_u8(&at, 0);
    }
    CHECK_EQ(buf_append(b, bytes_from(bytes, (size_t)(at - bytes))), ERR_OK);
}

/* Fields of the message's own numbers and types, often right, sometimes not; any order, any
 * repetition. */
static void draw_message(struct prng *chance, struct buf *b, unsigned depth)
{
    for (uint64_t n = prng_below(chance, 8); n > 0; n--) {
        uint64_t id =
            prng_chance(chance, 1, 12) ? prng_below(chance, 1ull << 33) : 1 + prng_below(chance, 6);
        unsigned wire = prng_chance(chance, 1, 10) ? (unsigned)prng_below(chance, 8)
                        : id == 3 || (id == 1 && depth == 0) || id == 5 ? 2
                                                                        : 0;
        if (prng_chance(chance, 1, 3) && (id == 4 || id == 2))
            wire = wire == 0 ? 2 : 0;
        put_loose(b, chance, id << 3 | wire);
        if (wire == 2) {
            struct buf inner = { 0 };
            if (id == 1 && depth == 0)
                draw_message(chance, &inner, 1);
            else
                for (uint64_t k = prng_below(chance, 20); k > 0; k--)
                    CHECK_EQ(buf_append(&inner, bytes_from(&"strong"[k % 6], 1)), ERR_OK);
            put_loose(b, chance,
                      inner.len + (prng_chance(chance, 1, 30) ? prng_below(chance, 300) : 0));
            CHECK_EQ(buf_append(b, buf_bytes(&inner)), ERR_OK);
            buf_free(&inner);
        } else {
            put_loose(b, chance, odd_number(chance));
        }
    }
}

TEST(agrees_with_protobuf_c_on_drawn_messages)
{
    struct prng chance;
    prng_seed(&chance, 1);
    unsigned accepted = 0, taken = 0;
    for (unsigned i = 0; i < 60000; i++) {
        enum command_kind kind = (enum command_kind)(1 + i % 5);
        struct buf drawn = { 0 };
        draw_message(&chance, &drawn, 0);
        if (drawn.len > 0 && prng_chance(&chance, 1, 3))
            drawn.data[prng_below(&chance, drawn.len)] = (uint8_t)prng_u64(&chance);
        size_t len = drawn.len > 0 && prng_chance(&chance, 1, 5)
                         ? (size_t)prng_below(&chance, drawn.len)
                         : drawn.len;
        uint8_t *exact =
            malloc(len + (len == 0)); /* of its exact size, for the address sanitizer */
        if (len > 0)
            memcpy(exact, drawn.data, len);
        struct command ours;
        accepted += command_decode(kind, bytes_from(exact, len), &ours, NULL) == ERR_OK;
        taken += agree(kind, bytes_from(exact, len));
        free(exact);
        buf_free(&drawn);
    }
    CHECK(accepted > 1000 && taken > 10000 && taken < 59000);
}

TEST(agrees_with_protobuf_c_on_random_bytes)
{
    struct prng chance;
    prng_seed(&chance, 2);
    for (unsigned i = 0; i < 60000; i++) {
        uint8_t bytes[24];
        size_t len = (size_t)prng_below(&chance, sizeof bytes);
        prng_fill(&chance, bytes, len);
        for (size_t k = 0; k < len; k++)
            if (prng_chance(&chance, 1, 2))
                bytes[k] &= 0x3f; /* plausible tags and short lengths */
        agree((enum command_kind)(1 + i % 5), bytes_from(bytes, len));
    }
}

/* By hand: what chance finds rarely. */
TEST(agrees_with_protobuf_c_on_long_tags_and_numbers)
{
    static const char *const hex[] = {
        "9a808080100141", /* field 2^29 + 3, as long a tag as there is: not field 3 */
        "9a8080808000"
        "0141", /* a tag of six bytes */
        "9a80808000"
        "0141"
        "1001", /* field 3 in five bytes */
        "1a0141"
        "10ffffffffffffffffff01", /* namespace -1: its low 32 bits */
        "1a0141"
        "10ffffffffffffffffff7f", /* bits above the 64th */
        "1a0141"
        "10ffffffffffffffffffff01", /* eleven bytes */
        "1a0141"
        "10818080808000",   /* 1, with five bytes more than it needs */
        "1a81808080800041", /* a length of six bytes */
        "1affffffff0741",   /* a length of 2^31 - 1 */
        "1affffffff0f41",   /* of 2^32 - 1 */
        "1a0141"
        "1a00", /* the key again, empty */
        "1a0141"
        "0b", /* a group */
        "1a0141"
        "02", /* field 0 */
        "1a0141"
        "0a00"
        "0a00", /* the context twice */
    };
    for (size_t i = 0; i < sizeof hex / sizeof hex[0]; i++) {
        struct buf body = test_hex(hex[i]);
        for (unsigned kind = COMMAND_RAW_PUT; kind <= COMMAND_TSO; kind++)
            agree((enum command_kind)kind, buf_bytes(&body));
        buf_free(&body);
    }
}

/* The shared corpus speaks of another schema; its bytes are good abuse for ours. */
TEST(agrees_with_protobuf_c_on_the_malformed_corpus)
{
    char path[600];
    snprintf(path, sizeof path, "%s/vectors/protobuf_malformed.json", test_shared());
    FILE *file = fopen(path, "r");
    CHECK(file != NULL);
    static char text[1 << 20];
    size_t n = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[n] = '\0';
    unsigned cases = 0;
    for (char *at = text; (at = strstr(at, "\"hex\"")) != NULL; at++) {
        char *from = strchr(at + 5, '"') + 1, *to = strchr(from, '"');
        *to = '\0';
        struct buf body = test_hex(from);
        *to = '"';
        for (unsigned kind = COMMAND_RAW_PUT; kind <= COMMAND_TSO; kind++)
            agree((enum command_kind)kind, buf_bytes(&body));
        buf_free(&body);
        cases++;
    }
    CHECK(cases >= 60);
}

/* What we encode, protobuf-c reads, and would have written. */
TEST(encoding_is_protobuf_c_s)
{
    static const struct command rows[] = {
        { .kind = COMMAND_RAW_PUT, .namespace_id = 1 },
        { .kind = COMMAND_RAW_DELETE, .namespace_id = 300 },
        { .kind = COMMAND_CAS,
          .namespace_id = UINT32_MAX,
          .expected_version = UINT64_MAX,
          .want_current = true },
        { .kind = COMMAND_CAS, .namespace_id = 1 },
        { .kind = COMMAND_CAS_DELETE,
          .namespace_id = 1,
          .conditional = true,
          .expected_version = 7 },
        { .kind = COMMAND_NAMESPACE, .namespace_id = 2 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct command c = rows[i], back;
        c.key = BYTES("name");
        if (c.kind != COMMAND_RAW_DELETE && c.kind != COMMAND_CAS_DELETE)
            c.value = BYTES("strong");
        struct buf body = { 0 };
        struct err e = { 0 };
        CHECK_EQ(command_encode(&c, &body), ERR_OK);
        CHECK_OK(command_decode(c.kind, buf_bytes(&body), &back, &e), e);
        CHECK(equal(&c, &back));
        ProtobufCMessage *message =
            protobuf_c_message_unpack(descriptor_of(c.kind), NULL, body.len, body.data);
        CHECK(message != NULL);
        uint8_t packed[256];
        CHECK(protobuf_c_message_get_packed_size(message) <= sizeof packed);
        size_t len = protobuf_c_message_pack(message, packed);
        CHECK_BYTES(buf_bytes(&body), bytes_from(packed, len));
        protobuf_c_message_free_unpacked(message, NULL);
        buf_free(&body);
    }
}

static err_t check_sizes(enum command_kind kind, size_t key, size_t value)
{
    static uint8_t much[COMMAND_VALUE_MAX + 1];
    struct command c = { .kind = kind,
                         .namespace_id = 1,
                         .key = bytes_from(much, key),
                         .value = bytes_from(much, value) };
    struct command back;
    struct buf body = { 0 };
    CHECK_EQ(command_encode(&c, &body), ERR_OK);
    err_t rc = command_decode(kind, buf_bytes(&body), &back, NULL);
    buf_free(&body);
    return rc;
}

TEST(limits_at_their_edges)
{
    static const enum command_kind kinds[] = { COMMAND_RAW_PUT, COMMAND_CAS };
    for (size_t i = 0; i < 2; i++) {
        CHECK_EQ(check_sizes(kinds[i], 0, 1), ERR_INVALID_ARGUMENT);
        CHECK_EQ(check_sizes(kinds[i], 1, 0), ERR_OK);
        CHECK_EQ(check_sizes(kinds[i], COMMAND_KEY_MAX - 1, 1), ERR_OK);
        CHECK_EQ(check_sizes(kinds[i], COMMAND_KEY_MAX, 1), ERR_OK);
        CHECK_EQ(check_sizes(kinds[i], COMMAND_KEY_MAX + 1, 1), ERR_TOO_LARGE);
        CHECK_EQ(check_sizes(kinds[i], 1, COMMAND_VALUE_MAX - 1), ERR_OK);
        CHECK_EQ(check_sizes(kinds[i], 1, COMMAND_VALUE_MAX), ERR_OK);
        CHECK_EQ(check_sizes(kinds[i], 1, COMMAND_VALUE_MAX + 1), ERR_TOO_LARGE);
    }
}

static err_t check_name(const char *name, const char *mode, uint32_t id)
{
    struct command c = {
        .kind = COMMAND_NAMESPACE, .namespace_id = id, .key = BYTES(name), .value = BYTES(mode)
    };
    return command_check(&c, NULL);
}

TEST(namespaces_have_plain_names)
{
    char longest[66];
    memset(longest, 'a', 65);
    longest[65] = '\0';
    CHECK_EQ(check_name(longest, "strong", 2), ERR_INVALID_ARGUMENT);
    longest[64] = '\0';
    CHECK_EQ(check_name(longest, "strong", 2), ERR_OK);
    CHECK_EQ(check_name("a", "strong", 2), ERR_OK);
    CHECK_EQ(check_name("or_ders-9", "strong", UINT32_MAX), ERR_OK);
    CHECK_EQ(check_name("", "strong", 2), ERR_INVALID_ARGUMENT);
    CHECK_EQ(check_name("Orders", "strong", 2), ERR_INVALID_ARGUMENT);
    CHECK_EQ(check_name("a/b", "strong", 2), ERR_INVALID_ARGUMENT);
    CHECK_EQ(check_name("a", "eventual", 2), ERR_INVALID_ARGUMENT);
    CHECK_EQ(check_name("a", "strong", 1), ERR_INVALID_ARGUMENT);
    CHECK_EQ(check_name("a", "strong", 0), ERR_INVALID_ARGUMENT);
}

TEST(entry_golden_bytes_and_every_truncation)
{
    struct buf body = { 0 };
    struct command c = {
        .kind = COMMAND_RAW_PUT, .namespace_id = 1, .key = BYTES("k"), .value = BYTES("v")
    };
    CHECK_EQ(command_encode(&c, &body), ERR_OK);
    uint8_t entry[COMMAND_ENTRY_HEADER + COMMAND_HEADER + 16];
    command_put_entry_header(entry, 1, 0x0102030405060708, 0x1112131415161718);
    command_put_header(entry + COMMAND_ENTRY_HEADER, COMMAND_RAW_PUT, (uint32_t)body.len);
    memcpy(entry + COMMAND_ENTRY_HEADER + COMMAND_HEADER, body.data, body.len);
    size_t len = COMMAND_ENTRY_HEADER + COMMAND_HEADER + body.len;
    struct buf want = test_hex("0200010000000000"
                               "0807060504030201"
                               "1817161514131211"
                               "0100000008000000"
                               "10011a016b220176");
    CHECK_BYTES(bytes_from(entry, len), buf_bytes(&want));
    for (size_t n = 0; n <= len; n++) {
        struct bytes in = bytes_from(entry, n);
        struct command back;
        struct err e = { 0 };
        uint16_t count;
        uint64_t hlc, version;
        err_t rc = command_take_entry(&in, &count, &hlc, &version, &e);
        CHECK_EQ(rc, n < COMMAND_ENTRY_HEADER ? ERR_CORRUPTION : ERR_OK);
        if (rc == ERR_OK)
            CHECK_EQ(command_take(&in, &back, &e), n < len ? ERR_CORRUPTION : ERR_OK);
    }
    struct bytes in = bytes_from(entry, len);
    struct command back;
    uint16_t count;
    uint64_t hlc, version;
    entry[0] = 3;
    CHECK_EQ(command_take_entry(&in, &count, &hlc, &version, NULL), ERR_UPGRADE_REQUIRED);
    entry[0] = 2;
    entry[5] = 1;
    CHECK_EQ(command_take_entry(&in, &count, &hlc, &version, NULL), ERR_CORRUPTION);
    entry[5] = 0;
    entry[COMMAND_ENTRY_HEADER] = 99; /* an unknown command stops the replica */
    CHECK_EQ(command_take_entry(&in, &count, &hlc, &version, NULL), ERR_OK);
    CHECK_EQ(count, 1);
    CHECK_EQ(hlc, 0x0102030405060708);
    CHECK_EQ(version, 0x1112131415161718);
    CHECK_EQ(command_take(&in, &back, NULL), ERR_UPGRADE_REQUIRED);
    buf_free(&body);
    buf_free(&want);
}

/* What the first format has left in logs: no region, so version 1. */
TEST(entries_of_the_first_format_are_read)
{
    struct buf old = test_hex("01000100"
                              "0807060504030201"
                              "0100000008000000"
                              "10011a016b220176");
    for (size_t n = 0; n <= old.len; n++) {
        struct bytes in = bytes_from(old.data, n);
        struct command c;
        uint16_t count;
        uint64_t hlc, version;
        err_t rc = command_take_entry(&in, &count, &hlc, &version, NULL);
        CHECK_EQ(rc, n < 12 ? ERR_CORRUPTION : ERR_OK);
        if (rc != ERR_OK)
            continue;
        CHECK_EQ(hlc, 0x0102030405060708);
        CHECK_EQ(version, 1);
        CHECK_EQ(command_take(&in, &c, NULL), n < old.len ? ERR_CORRUPTION : ERR_OK);
    }
    buf_free(&old);
}

TEST(a_window_is_eight_bytes_and_above_zero)
{
    struct command c = { .kind = COMMAND_TSO, .window_ms = 0x0102030405060708 }, back;
    struct buf body = { 0 }, want = test_hex("090807060504030201");
    CHECK_EQ(command_encode(&c, &body), ERR_OK);
    CHECK_BYTES(buf_bytes(&body), buf_bytes(&want));
    CHECK_EQ(command_decode(COMMAND_TSO, buf_bytes(&body), &back, NULL), ERR_OK);
    CHECK_EQ(back.window_ms, c.window_ms);
    for (size_t n = 0; n < body.len; n++)
        CHECK_EQ(command_decode(COMMAND_TSO, bytes_from(body.data, n), &back, NULL),
                 ERR_INVALID_ARGUMENT);
    buf_free(&body);
    buf_free(&want);
}

TEST_MAIN()
