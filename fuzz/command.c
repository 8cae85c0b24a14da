/* Commands, decoded in place: the first byte chooses the kind (or a whole entry), and what is
 * accepted is what protobuf-c reads from the same bytes. */
#include "storage/command.h"

#include "command_int.h"
#include "decode/decode.h"
#include "fuzz.h"
#include "proto/kvrpc.pb-c.h"
#include "proto/pdpb.pb-c.h"

static bool same(struct bytes ours, ProtobufCBinaryData theirs)
{
    return bytes_equal(ours, bytes_from(theirs.data, theirs.len));
}

static void check_context(const struct command *c, const Flotilla__Kv__Context *context)
{
    Flotilla__Kv__Context none = FLOTILLA__KV__CONTEXT__INIT;
    if (context == NULL)
        context = &none;
    FUZZ_CHECK(c->region_id == context->region_id && c->conf_ver == context->conf_ver);
    FUZZ_CHECK(c->version == context->version && c->peer_id == context->peer_id);
    FUZZ_CHECK(c->client_hlc == context->hlc);
}

static const ProtobufCMessageDescriptor *type_of(enum command_kind kind)
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
    case COMMAND_NAMESPACE:
        return &flotilla__pd__namespace__descriptor;
    case COMMAND_TSO:
        return &flotilla__pd__tso_window__descriptor;
    }
    abort();
}

static void check_fields(const struct command *c, const ProtobufCMessage *m)
{
    const Flotilla__Kv__RawPutRequest *put = (const void *)m;
    const Flotilla__Kv__RawDeleteRequest *del = (const void *)m;
    const Flotilla__Kv__CasRequest *cas = (const void *)m;
    const Flotilla__Kv__CasDeleteRequest *cas_del = (const void *)m;
    const Flotilla__Pd__Namespace *ns = (const void *)m;
    switch (c->kind) {
    case COMMAND_RAW_PUT:
        FUZZ_CHECK(c->namespace_id == put->namespace_id && same(c->key, put->key) &&
                   same(c->value, put->value));
        check_context(c, put->context);
        break;
    case COMMAND_RAW_DELETE:
        FUZZ_CHECK(c->namespace_id == del->namespace_id && same(c->key, del->key));
        check_context(c, del->context);
        break;
    case COMMAND_CAS:
        FUZZ_CHECK(c->namespace_id == cas->namespace_id && same(c->key, cas->key) &&
                   same(c->value, cas->value));
        FUZZ_CHECK(c->expected_version == cas->expected_version &&
                   c->want_current == !!cas->want_current);
        check_context(c, cas->context);
        break;
    case COMMAND_CAS_DELETE:
        FUZZ_CHECK(c->namespace_id == cas_del->namespace_id && same(c->key, cas_del->key));
        FUZZ_CHECK(c->conditional == !!cas_del->conditional &&
                   c->expected_version == cas_del->expected_version);
        check_context(c, cas_del->context);
        break;
    case COMMAND_NAMESPACE:
        FUZZ_CHECK(c->namespace_id == ns->id && same(c->key, ns->name) && same(c->value, ns->mode));
        break;
    case COMMAND_TSO:
        FUZZ_CHECK(c->window_ms == ((const Flotilla__Pd__TsoWindow *)(const void *)m)->window_ms);
        break;
    }
}

static void fuzz_body(enum command_kind kind, struct bytes body)
{
    struct command c = { 0 };
    struct err e = { 0 };
    if (command_decode(kind, body, &c, &e) != ERR_OK) {
        FUZZ_CHECK(e.msg[0] != '\0');
        return;
    }
    FUZZ_CHECK(c.kind == kind && (c.key.len > 0) == (kind != COMMAND_TSO) &&
               c.key.len <= COMMAND_KEY_MAX && c.value.len <= COMMAND_VALUE_MAX);
    ProtobufCMessage *m = protobuf_c_message_unpack(type_of(kind), NULL, body.len, body.data);
    FUZZ_CHECK(m != NULL);
    check_fields(&c, m);
    protobuf_c_message_free_unpacked(m, NULL);
    struct buf again = { 0 };
    struct command back = { 0 };
    FUZZ_CHECK(command_encode(&c, &again) == ERR_OK);
    FUZZ_CHECK(command_decode(kind, buf_bytes(&again), &back, &e) == ERR_OK);
    FUZZ_CHECK(bytes_equal(back.key, c.key) && bytes_equal(back.value, c.value) &&
               back.window_ms == c.window_ms);
    buf_free(&again);
}

static void fuzz_entry(struct bytes in)
{
    uint16_t count;
    uint64_t hlc, version;
    struct err e = { 0 };
    if (command_take_entry(&in, &count, &hlc, &version, &e) != ERR_OK)
        return;
    for (; count > 0; count--) {
        struct command c;
        size_t before = in.len;
        if (command_take(&in, &c, &e) != ERR_OK)
            return;
        FUZZ_CHECK(in.len < before);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len == 0)
        return 0;
    struct bytes in = { data + 1, len - 1 };
    unsigned what = data[0] % (COMMAND_TSO + 1);
    if (what == 0)
        fuzz_entry(in);
    else
        fuzz_body((enum command_kind)what, in);
    return 0;
}
