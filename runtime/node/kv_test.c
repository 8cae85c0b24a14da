/* The handlers over a fake store (row 001-23), with messages by protobuf-c on the other side: what
 * we read and write by hand is what the .proto files say.
 *
 * The calls are fakes too: this program defines net_call_*, so that no connection is needed. */
#include "kv.h"

#include "base/container.h"
#include "base/test.h"
#include "proto/kvrpc.pb-c.h"

/* ---- A call without a connection ---------------------------------------------------------- */

struct net_call {
    struct buf body, reply;
    unsigned replies;
};

struct bytes net_call_body(const struct net_call *call)
{
    return buf_bytes(&call->body);
}

uint64_t net_call_deadline(const struct net_call *call)
{
    (void)call;
    return 12345;
}

void net_call_reply(struct net_call *call, struct buf *body)
{
    call->replies++;
    call->reply = buf_take(body);
}

void net_call_reply_bytes(struct net_call *call, struct bytes body)
{
    call->replies++;
    CHECK_EQ(buf_append(&call->reply, body), ERR_OK);
}

uint64_t env_now(struct env *env)
{
    (void)env;
    return 1;
}

/* ---- A store without a disk --------------------------------------------------------------- */

struct fake {
    struct node_calls calls;
    struct kv *kv;
    struct net_call call;
    /* what it answers */
    err_t rc;
    uint32_t backoff_ms;
    const char *error, *value;
    struct storage_result results[8];
    uint64_t version;
    bool more;
    /* what it was asked */
    unsigned writes, gets, scans;
    struct command commands[8];
    struct bytes bodies[8];
    uint32_t count;
    uint64_t deadline;
    struct region_context context;
    struct storage_scan scan;
    char key[64];
};

static void fake_write(void *self, struct region_write *w)
{
    struct fake *f = self;
    f->writes++;
    f->count = w->count;
    f->deadline = w->deadline;
    for (uint32_t i = 0; i < w->count && i < 8; i++) {
        f->commands[i] = w->commands[i];
        f->bodies[i] = w->bodies[i];
    }
    snprintf(f->key, sizeof f->key, "%.*s", (int)w->commands[0].key.len,
             (const char *)w->commands[0].key.data);
    w->rc = f->rc;
    w->hlc = 77;
    w->backoff_ms = f->backoff_ms;
    snprintf(w->error.msg, sizeof w->error.msg, "%s", f->error != NULL ? f->error : "");
    w->done(w);
}

static const struct storage_result *fake_result(void *self, const struct region_write *w,
                                                uint32_t i)
{
    (void)w;
    return &((struct fake *)self)->results[i];
}

static void fake_get(void *self, struct region_read *q)
{
    struct fake *f = self;
    f->gets++;
    f->context = q->context;
    f->deadline = q->deadline;
    snprintf(f->key, sizeof f->key, "%.*s", (int)q->key.len, (const char *)q->key.data);
    q->rc = f->rc;
    q->version = f->version;
    q->backoff_ms = f->backoff_ms;
    snprintf(q->error.msg, sizeof q->error.msg, "%s", f->error != NULL ? f->error : "");
    if (f->rc == ERR_OK)
        CHECK_EQ(buf_append(q->value, BYTES(f->value)), ERR_OK);
    q->done(q);
}

static void fake_scan(void *self, struct region_scan *s)
{
    struct fake *f = self;
    f->scans++;
    f->scan = s->args;
    s->rc = f->rc;
    if (f->rc == ERR_OK) {
        CHECK_EQ(s->row(s->user, BYTES("a"), f->version, BYTES("1")), ERR_OK);
        CHECK_EQ(s->row(s->user, BYTES("b"), f->version, BYTES("")), ERR_OK);
    }
    s->more = f->more;
    if (f->more)
        CHECK_EQ(buf_append(&s->next, BYTES("c")), ERR_OK);
    s->done(s);
}

static bool fake_namespace(void *self, uint32_t id)
{
    (void)self;
    return id == 1 || id == 5;
}

static struct fake *fake_new(void)
{
    struct fake *f = calloc(1, sizeof *f);
    struct kv_backend b = { fake_write, fake_result, fake_get, fake_scan, fake_namespace, f };
    f->kv = kv_new(&f->calls, &b,
                   &(struct kv_config){ .scan_rows_max = 100, .scan_bytes_max = 1 << 20 });
    return f;
}

static void fake_free(struct fake *f)
{
    kv_free(f->kv);
    buf_free(&f->call.body);
    buf_free(&f->call.reply);
    free(f);
}

static void send_bytes(struct fake *f, uint16_t method, struct bytes body)
{
    buf_clear(&f->call.reply);
    buf_clear(&f->call.body);
    CHECK_EQ(buf_append(&f->call.body, body), ERR_OK);
    f->call.replies = 0;
    const struct net_handler *h = kv_handlers(f->kv);
    for (unsigned i = 0; i < KV_HANDLERS; i++)
        if (h[i].method == method)
            h[i].handle(h[i].user, &f->call);
    CHECK_EQ(f->call.replies, 1);
    CHECK_EQ(kv_under_way(f->kv), 0);
}

static void send(struct fake *f, uint16_t method, const ProtobufCMessage *m)
{
    uint8_t bytes[4096];
    CHECK(protobuf_c_message_get_packed_size(m) <= sizeof bytes);
    send_bytes(f, method, bytes_from(bytes, protobuf_c_message_pack(m, bytes)));
}

/* The reply as a message of that type; the caller frees it. */
#define REPLY(f, type)                                                                             \
    flotilla__kv__##type##__unpack(NULL, (f)->call.reply.len, (f)->call.reply.data)
#define FREE(type, m)       flotilla__kv__##type##__free_unpacked(m, NULL)
#define MESSAGE(Type, name) Flotilla__Kv__##Type name

static ProtobufCBinaryData text(const char *s)
{
    union {
        const char *in;
        uint8_t *out;
    } u = { .in = s };
    return (ProtobufCBinaryData){ strlen(s), u.out };
}

static void check_bytes(ProtobufCBinaryData have, const char *want)
{
    CHECK_BYTES(bytes_from(have.data, have.len), BYTES(want));
}

/* ---- Writes ------------------------------------------------------------------------------- */

TEST(kv_put_becomes_one_command_with_the_bytes_of_the_request)
{
    struct fake *f = fake_new();
    MESSAGE(Context, context) = FLOTILLA__KV__CONTEXT__INIT;
    context.region_id = 1;
    context.hlc = 99;
    MESSAGE(RawPutRequest, q) = FLOTILLA__KV__RAW_PUT_REQUEST__INIT;
    q.context = &context;
    q.namespace_id = 5;
    q.key = text("k");
    q.value = text("v");
    send(f, NET_RAW_PUT, &q.base);
    CHECK_EQ(f->writes, 1);
    CHECK_EQ(f->count, 1);
    CHECK_EQ(f->commands[0].kind, COMMAND_RAW_PUT);
    CHECK_EQ(f->commands[0].namespace_id, 5);
    CHECK_EQ(f->commands[0].client_hlc, 99);
    CHECK_EQ(f->deadline, 12345);
    CHECK_STR(f->key, "k");
    CHECK_BYTES(f->bodies[0], buf_bytes(&f->call.body)); /* in place: the request's own bytes */
    Flotilla__Kv__RawPutResponse *r = REPLY(f, raw_put_response);
    CHECK(r != NULL && r->status != NULL);
    CHECK_EQ(r->status->code, 0);
    CHECK_EQ(r->hlc, 77);
    FREE(raw_put_response, r);
    fake_free(f);
}

TEST(kv_refuses_what_is_wrong_before_the_store_sees_it)
{
    struct fake *f = fake_new();
    MESSAGE(RawPutRequest, q) = FLOTILLA__KV__RAW_PUT_REQUEST__INIT;
    q.namespace_id = 1;
    send(f, NET_RAW_PUT, &q.base); /* no key */
    Flotilla__Kv__RawPutResponse *r = REPLY(f, raw_put_response);
    CHECK_EQ(r->status->code, ERR_INVALID_ARGUMENT);
    FREE(raw_put_response, r);
    q.key = text("k");
    q.namespace_id = 6;
    send(f, NET_RAW_PUT, &q.base);
    r = REPLY(f, raw_put_response);
    CHECK_EQ(r->status->code, ERR_NOT_FOUND);
    CHECK(memmem(r->status->message.data, r->status->message.len, "namespace 6", 11) != NULL);
    FREE(raw_put_response, r);
    static const uint8_t cut[] = { 3 << 3 | 2, 200, 1, 'k' }; /* promises 200 bytes */
    static const uint16_t methods[] = { NET_RAW_PUT,  NET_RAW_GET,    NET_RAW_DELETE,
                                        NET_RAW_SCAN, NET_CAS,        NET_CAS_GET,
                                        NET_CAS_SCAN, NET_CAS_DELETE, NET_BATCH };
    for (unsigned i = 0; i < sizeof methods / sizeof *methods; i++) {
        send_bytes(f, methods[i], bytes_from(cut, sizeof cut));
        r = REPLY(f, raw_put_response); /* field 1 is the status everywhere */
        CHECK_EQ(r->status->code, ERR_INVALID_ARGUMENT);
        FREE(raw_put_response, r);
    }
    CHECK_EQ(f->writes + f->gets + f->scans, 0);
    fake_free(f);
}

TEST(kv_put_passes_on_busy_with_its_backoff)
{
    struct fake *f = fake_new();
    MESSAGE(RawPutRequest, q) = FLOTILLA__KV__RAW_PUT_REQUEST__INIT;
    q.namespace_id = 1;
    q.key = text("k");
    f->rc = ERR_SERVER_IS_BUSY;
    f->backoff_ms = 20;
    f->error = "try again";
    send(f, NET_RAW_PUT, &q.base);
    Flotilla__Kv__RawPutResponse *r = REPLY(f, raw_put_response);
    CHECK_EQ(r->status->code, ERR_SERVER_IS_BUSY);
    CHECK_EQ(r->status->detail_case, FLOTILLA__KV__STATUS__DETAIL_BACKOFF_MS);
    CHECK_EQ(r->status->backoff_ms, 20);
    check_bytes(r->status->message, "try again");
    FREE(raw_put_response, r);
    fake_free(f);
}

TEST(kv_cas_answers_the_new_version_or_the_conflict_with_what_is_there)
{
    struct fake *f = fake_new();
    MESSAGE(CasRequest, q) = FLOTILLA__KV__CAS_REQUEST__INIT;
    q.namespace_id = 1;
    q.key = text("k");
    q.value = text("v");
    q.expected_version = 5;
    q.want_current = 1;
    f->results[0].version = 6;
    send(f, NET_CAS, &q.base);
    CHECK_EQ(f->commands[0].kind, COMMAND_CAS);
    CHECK_EQ(f->commands[0].expected_version, 5);
    CHECK(f->commands[0].want_current);
    Flotilla__Kv__CasResponse *r = REPLY(f, cas_response);
    CHECK_EQ(r->status->code, 0);
    CHECK_EQ(r->version, 6);
    CHECK_EQ(r->hlc, 77);
    FREE(cas_response, r);

    f->results[0] = (struct storage_result){ .rc = ERR_CONFLICT, .version = 10, .has_value = true };
    CHECK_EQ(buf_append(&f->results[0].value, BYTES("now")), ERR_OK);
    send(f, NET_CAS, &q.base);
    r = REPLY(f, cas_response);
    CHECK_EQ(r->status->code, ERR_CONFLICT);
    CHECK_EQ(r->version, 0);
    CHECK_EQ(r->status->detail_case, FLOTILLA__KV__STATUS__DETAIL_CONFLICT);
    CHECK_EQ(r->status->conflict->current_version, 10);
    CHECK(!r->status->conflict->absent);
    CHECK(r->status->conflict->has_value);
    check_bytes(r->status->conflict->current_value, "now");
    check_bytes(r->status->message, "the key is at version 10, not 5");
    FREE(cas_response, r);
    buf_free(&f->results[0].value);

    f->results[0] = (struct storage_result){ .rc = ERR_CONFLICT, .version = 3, .absent = true };
    send(f, NET_CAS, &q.base);
    r = REPLY(f, cas_response);
    CHECK(r->status->conflict->absent);
    CHECK_EQ(r->status->conflict->current_version, 3);
    CHECK(!r->status->conflict->has_value);
    FREE(cas_response, r);
    fake_free(f);
}

TEST(kv_cas_delete_names_absence_corruption_and_overflow)
{
    struct fake *f = fake_new();
    MESSAGE(CasDeleteRequest, q) = FLOTILLA__KV__CAS_DELETE_REQUEST__INIT;
    q.namespace_id = 1;
    q.key = text("k");
    static const err_t codes[] = { ERR_NOT_FOUND, ERR_CORRUPTION, ERR_OVERFLOW };
    for (unsigned i = 0; i < 3; i++) {
        f->results[0] = (struct storage_result){ .rc = codes[i] };
        send(f, NET_CAS_DELETE, &q.base);
        Flotilla__Kv__CasDeleteResponse *r = REPLY(f, cas_delete_response);
        CHECK_EQ(r->status->code, codes[i]);
        CHECK(r->status->message.len > 10);
        FREE(cas_delete_response, r);
    }
    CHECK(!f->commands[0].conditional);
    fake_free(f);
}

/* ---- Reads -------------------------------------------------------------------------------- */

TEST(kv_get_tells_an_empty_value_from_an_absent_one)
{
    struct fake *f = fake_new();
    MESSAGE(Context, context) = FLOTILLA__KV__CONTEXT__INIT;
    context.version = 4;
    MESSAGE(RawGetRequest, q) = FLOTILLA__KV__RAW_GET_REQUEST__INIT;
    q.context = &context;
    q.namespace_id = 1;
    q.key = text("key");
    f->value = "";
    send(f, NET_RAW_GET, &q.base);
    CHECK_STR(f->key, "key");
    CHECK_EQ(f->context.version, 4);
    Flotilla__Kv__RawGetResponse *r = REPLY(f, raw_get_response);
    CHECK_EQ(r->status->code, 0);
    CHECK(r->found);
    CHECK_EQ(r->value.len, 0);
    FREE(raw_get_response, r);
    f->value = "value";
    send(f, NET_RAW_GET, &q.base);
    r = REPLY(f, raw_get_response);
    CHECK(r->found);
    check_bytes(r->value, "value");
    FREE(raw_get_response, r);
    f->rc = ERR_NOT_FOUND;
    send(f, NET_RAW_GET, &q.base);
    r = REPLY(f, raw_get_response);
    CHECK_EQ(r->status->code, 0);
    CHECK(!r->found);
    FREE(raw_get_response, r);
    f->rc = ERR_CORRUPTION;
    f->error = "a short record";
    send(f, NET_RAW_GET, &q.base);
    r = REPLY(f, raw_get_response);
    CHECK_EQ(r->status->code, ERR_CORRUPTION);
    FREE(raw_get_response, r);
    fake_free(f);
}

TEST(kv_cas_get_gives_the_version_also_of_a_tombstone)
{
    struct fake *f = fake_new();
    MESSAGE(CasGetRequest, q) = FLOTILLA__KV__CAS_GET_REQUEST__INIT;
    q.namespace_id = 1;
    q.key = text("k");
    f->value = "v";
    f->version = 8;
    send(f, NET_CAS_GET, &q.base);
    Flotilla__Kv__CasGetResponse *r = REPLY(f, cas_get_response);
    CHECK(r->found);
    CHECK_EQ(r->version, 8);
    check_bytes(r->value, "v");
    FREE(cas_get_response, r);
    f->rc = ERR_NOT_FOUND;
    send(f, NET_CAS_GET, &q.base);
    r = REPLY(f, cas_get_response);
    CHECK(!r->found);
    CHECK_EQ(r->version, 8);
    FREE(cas_get_response, r);
    fake_free(f);
}

TEST(kv_scan_rows_come_in_order_with_where_to_go_on)
{
    struct fake *f = fake_new();
    MESSAGE(CasScanRequest, q) = FLOTILLA__KV__CAS_SCAN_REQUEST__INIT;
    q.namespace_id = 1;
    q.start_key = text("a");
    q.end_case = FLOTILLA__KV__CAS_SCAN_REQUEST__END_END_KEY;
    q.end_key = text("z");
    q.limit = 1000;
    f->more = true;
    f->version = 3;
    send(f, NET_CAS_SCAN, &q.base);
    CHECK(f->scan.cas);
    CHECK_EQ(f->scan.limit, 100); /* the server's own limit */
    Flotilla__Kv__CasScanResponse *r = REPLY(f, cas_scan_response);
    CHECK_EQ(r->status->code, 0);
    CHECK_EQ(r->n_rows, 2);
    check_bytes(r->rows[0]->key, "a");
    check_bytes(r->rows[0]->value, "1");
    CHECK_EQ(r->rows[0]->version, 3);
    check_bytes(r->rows[1]->key, "b");
    CHECK(r->more);
    check_bytes(r->next_key, "c");
    FREE(cas_scan_response, r);

    MESSAGE(RawScanRequest, raw) = FLOTILLA__KV__RAW_SCAN_REQUEST__INIT;
    raw.namespace_id = 1;
    raw.keys_only = 1;
    raw.limit = 7;
    f->more = false;
    send(f, NET_RAW_SCAN, &raw.base);
    CHECK(!f->scan.cas && f->scan.keys_only && f->scan.end.data == NULL);
    CHECK_EQ(f->scan.limit, 7);
    Flotilla__Kv__RawScanResponse *rr = REPLY(f, raw_scan_response);
    CHECK_EQ(rr->n_rows, 2);
    CHECK_EQ(rr->rows[0]->value.len, 0);
    CHECK(!rr->more);
    FREE(raw_scan_response, rr);
    fake_free(f);
}

TEST(kv_scan_refuses_an_end_that_is_present_and_empty)
{
    struct fake *f = fake_new();
    MESSAGE(RawScanRequest, q) = FLOTILLA__KV__RAW_SCAN_REQUEST__INIT;
    q.namespace_id = 1;
    q.end_case = FLOTILLA__KV__RAW_SCAN_REQUEST__END_END_KEY;
    send(f, NET_RAW_SCAN, &q.base);
    Flotilla__Kv__RawScanResponse *r = REPLY(f, raw_scan_response);
    CHECK_EQ(r->status->code, ERR_INVALID_ARGUMENT);
    FREE(raw_scan_response, r);
    q.start_key = text("b");
    q.end_key = text("a");
    send(f, NET_RAW_SCAN, &q.base);
    r = REPLY(f, raw_scan_response);
    CHECK_EQ(r->status->code, ERR_INVALID_ARGUMENT);
    FREE(raw_scan_response, r);
    CHECK_EQ(f->scans, 0);
    q.end_case = FLOTILLA__KV__RAW_SCAN_REQUEST__END_UNBOUNDED;
    q.unbounded = 1;
    send(f, NET_RAW_SCAN, &q.base);
    CHECK_EQ(f->scans, 1);
    fake_free(f);
}

/* ---- Batches ------------------------------------------------------------------------------ */

TEST(kv_batch_gives_each_command_its_own_outcome)
{
    struct fake *f = fake_new();
    MESSAGE(RawPutRequest, put) = FLOTILLA__KV__RAW_PUT_REQUEST__INIT;
    MESSAGE(CasRequest, cas) = FLOTILLA__KV__CAS_REQUEST__INIT;
    MESSAGE(Command, one) = FLOTILLA__KV__COMMAND__INIT;
    MESSAGE(Command, two) = FLOTILLA__KV__COMMAND__INIT;
    MESSAGE(Context, context) = FLOTILLA__KV__CONTEXT__INIT;
    MESSAGE(BatchRequest, q) = FLOTILLA__KV__BATCH_REQUEST__INIT;
    Flotilla__Kv__Command *commands[] = { &one, &two };
    put.namespace_id = cas.namespace_id = 1;
    put.key = text("a");
    put.value = text("1");
    cas.key = text("b");
    one.command_case = FLOTILLA__KV__COMMAND__COMMAND_RAW_PUT;
    one.raw_put = &put;
    two.command_case = FLOTILLA__KV__COMMAND__COMMAND_CAS;
    two.cas = &cas;
    context.hlc = 42;
    q.context = &context;
    q.n_commands = 2;
    q.commands = commands;
    f->results[1] = (struct storage_result){ .rc = ERR_CONFLICT, .version = 9 };
    send(f, NET_BATCH, &q.base);
    CHECK_EQ(f->writes, 1);
    CHECK_EQ(f->count, 2);
    CHECK_EQ(f->commands[0].kind, COMMAND_RAW_PUT);
    CHECK_EQ(f->commands[1].kind, COMMAND_CAS);
    CHECK_EQ(f->commands[0].client_hlc, 42); /* from the batch's context */
    Flotilla__Kv__BatchResponse *r = REPLY(f, batch_response);
    CHECK_EQ(r->status->code, 0);
    CHECK_EQ(r->hlc, 77);
    CHECK_EQ(r->n_results, 2);
    CHECK_EQ(r->results[0]->status->code, 0);
    CHECK_EQ(r->results[1]->status->code, ERR_CONFLICT);
    CHECK_EQ(r->results[1]->status->conflict->current_version, 9);
    FREE(batch_response, r);

    two.command_case = 0; /* a command that is none */
    send(f, NET_BATCH, &q.base);
    r = REPLY(f, batch_response);
    CHECK_EQ(r->status->code, ERR_INVALID_ARGUMENT);
    CHECK(memmem(r->status->message.data, r->status->message.len, "command 1", 9) != NULL);
    FREE(batch_response, r);
    q.n_commands = 0;
    send(f, NET_BATCH, &q.base);
    r = REPLY(f, batch_response);
    CHECK_EQ(r->status->code, ERR_INVALID_ARGUMENT);
    FREE(batch_response, r);
    CHECK_EQ(f->writes, 1);
    fake_free(f);
}

TEST(kv_counts_every_answer_by_method_and_outcome)
{
    struct fake *f = fake_new();
    MESSAGE(RawGetRequest, q) = FLOTILLA__KV__RAW_GET_REQUEST__INIT;
    q.namespace_id = 1;
    q.key = text("k");
    f->value = "v";
    send(f, NET_RAW_GET, &q.base);
    f->rc = ERR_SERVER_IS_BUSY;
    send(f, NET_RAW_GET, &q.base);
    for (unsigned i = 0; i < f->calls.count; i++) {
        const struct node_method *m = &f->calls.methods[i];
        if (strcmp(m->name, "RawGet") == 0) {
            CHECK_EQ(m->outcomes[ERR_OK], 1);
            CHECK_EQ(m->outcomes[ERR_SERVER_IS_BUSY], 1);
            CHECK_EQ(m->latency_us.count, 2);
        } else {
            CHECK_EQ(m->latency_us.count, 0);
        }
    }
    fake_free(f);
}

TEST_MAIN()
