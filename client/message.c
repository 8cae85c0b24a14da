/* Requests and answers of the public operations as protobuf (proto/kvrpc.proto, pdpb.proto). */
#include "client_int.h"

#include <assert.h>

#include "net/method.h"

enum { VALUE_MAX = 1024 * 1024, TSO_COUNT_MAX = 1 << 18 };

bool client_message_valid(struct bytes message)
{
    struct pb_field f;
    while (pb_next(&message, &f)) {}
    return message.len == 0;
}

static bool find(struct bytes message, uint32_t number, struct pb_field *ret)
{
    bool found = false;
    struct pb_field f;
    while (pb_next(&message, &f))
        if (f.number == number) {
            *ret = f; /* the last one counts */
            found = true;
        }
    return found;
}

uint64_t client_message_u64(struct bytes message, uint32_t number)
{
    struct pb_field f;
    return find(message, number, &f) ? f.value : 0;
}

struct bytes client_message_bytes(struct bytes message, uint32_t number)
{
    struct pb_field f;
    return find(message, number, &f) ? f.bytes : (struct bytes){ 0 };
}

/* ---- Requests ----------------------------------------------------------------------------------------------- */

static uint16_t method_of(enum flotilla_op_kind kind)
{
    switch (kind) {
    case FLOTILLA_OP_RAW_PUT:
        return NET_RAW_PUT;
    case FLOTILLA_OP_GET:
        return NET_RAW_GET;
    case FLOTILLA_OP_DELETE:
        return NET_RAW_DELETE;
    case FLOTILLA_OP_CAS_PUT:
        return NET_CAS;
    case FLOTILLA_OP_CAS_GET:
        return NET_CAS_GET;
    case FLOTILLA_OP_CAS_DELETE:
        return NET_CAS_DELETE;
    case FLOTILLA_OP_BATCH:
        return NET_BATCH;
    case FLOTILLA_OP_GET_TSO:
        return NET_GET_TSO;
    }
    return 0;
}

static int check(const struct flotilla_op *op, struct flotilla_error *error)
{
    if (method_of(op->kind) == 0)
        return client_error(error, FLOTILLA_INVALID_ARGUMENT, "there is no operation %d",
                            (int)op->kind);
    if (op->kind == FLOTILLA_OP_GET_TSO && (op->count == 0 || op->count > TSO_COUNT_MAX))
        return client_error(error, FLOTILLA_INVALID_ARGUMENT, "%u timestamps: ask for 1 to %d",
                            (unsigned)op->count, (int)TSO_COUNT_MAX);
    if (op->kind == FLOTILLA_OP_BATCH &&
        (op->batch == NULL || flotilla_batch_count(op->batch) == 0))
        return client_error(error, FLOTILLA_INVALID_ARGUMENT, "the batch is empty");
    if (op->kind == FLOTILLA_OP_GET_TSO || op->kind == FLOTILLA_OP_BATCH)
        return FLOTILLA_OK;
    if (op->key.len == 0)
        return client_error(error, FLOTILLA_INVALID_ARGUMENT, "the key is empty");
    if (op->key.len > CLIENT_KEY_MAX)
        return client_error(error, FLOTILLA_TOO_LARGE, "the key has %zu bytes, at most %d go",
                            op->key.len, (int)CLIENT_KEY_MAX);
    if (op->value.len > VALUE_MAX)
        return client_error(error, FLOTILLA_TOO_LARGE, "the value has %zu bytes, at most %d go",
                            op->value.len, (int)VALUE_MAX);
    return FLOTILLA_OK;
}

static bool is_write(enum flotilla_op_kind kind)
{
    return kind != FLOTILLA_OP_GET && kind != FLOTILLA_OP_CAS_GET && kind != FLOTILLA_OP_GET_TSO;
}

static bool is_cas(enum flotilla_op_kind kind)
{
    return kind == FLOTILLA_OP_CAS_PUT || kind == FLOTILLA_OP_CAS_DELETE;
}

/* The fields behind namespace and key: numbers differ from message to message. */
static size_t tail_size(const struct flotilla_op *op)
{
    switch (op->kind) {
    case FLOTILLA_OP_RAW_PUT:
        return pb_bytes_size(4, op->value.len);
    case FLOTILLA_OP_CAS_PUT:
        return pb_u64_size(4, op->expected) + pb_bytes_size(5, op->value.len) +
               pb_u64_size(6, op->want_current);
    case FLOTILLA_OP_CAS_DELETE:
        return pb_u64_size(4, op->conditional) + pb_u64_size(5, op->conditional ? op->expected : 0);
    default:
        return 0;
    }
}

static void put_tail(uint8_t **at, const struct flotilla_op *op)
{
    if (op->kind == FLOTILLA_OP_RAW_PUT) {
        pb_put_bytes(at, 4, client_bytes(op->value));
    } else if (op->kind == FLOTILLA_OP_CAS_PUT) {
        pb_put_u64(at, 4, op->expected);
        pb_put_bytes(at, 5, client_bytes(op->value));
        pb_put_u64(at, 6, op->want_current);
    } else if (op->kind == FLOTILLA_OP_CAS_DELETE) {
        pb_put_u64(at, 4, op->conditional);
        pb_put_u64(at, 5, op->conditional ? op->expected : 0);
    }
}

static size_t body_size(const struct flotilla_op *op)
{
    if (op->kind == FLOTILLA_OP_GET_TSO)
        return pb_u64_size(1, op->count);
    if (op->kind == FLOTILLA_OP_BATCH)
        return client_batch_bytes(op->batch).len;
    return pb_u64_size(2, op->ns) + pb_bytes_size(3, op->key.len) + tail_size(op);
}

struct client_op *client_message_request(const struct flotilla_op *op, struct flotilla_error *error)
{
    if (check(op, error) != FLOTILLA_OK)
        return NULL;
    size_t size = body_size(op);
    struct client_op *request =
        client_op_new(method_of(op->kind), is_write(op->kind) ? CLIENT_WRITE : 0, size, 0);
    if (request == NULL) {
        client_error(error, FLOTILLA_RESOURCE_EXHAUSTED, "no memory for a request of %zu bytes",
                     size);
        return NULL;
    }
    request->kind = op->kind;
    request->batch = op->batch;
    uint8_t *at = client_op_body(request);
    if (op->kind == FLOTILLA_OP_GET_TSO) {
        pb_put_u64(&at, 1, op->count);
    } else if (op->kind == FLOTILLA_OP_BATCH) {
        request->keys = CLIENT_KEYS_MANY;
        request->count = (uint32_t)flotilla_batch_count(op->batch);
        put_bytes(&at, client_batch_bytes(op->batch));
    } else {
        request->keys = CLIENT_KEYS_ONE;
        request->ns = op->ns;
        request->key_len = (uint32_t)op->key.len;
        pb_put_u64(&at, 2, op->ns);
        pb_put_bytes(&at, 3, client_bytes(op->key));
        request->key_at = (uint32_t)(at - client_op_body(request)) - request->key_len;
        put_tail(&at, op);
    }
    assert(at == client_op_body(request) + size);
    return request;
}

/* ---- Answers ------------------------------------------------------------------------------------------------ */

/* Field numbers of what an answer may hold, by kind; 0: not in this message. */
struct shape {
    uint32_t found, version, value, hlc, first;
};

static struct shape shape_of(enum flotilla_op_kind kind)
{
    switch (kind) {
    case FLOTILLA_OP_RAW_PUT:
    case FLOTILLA_OP_DELETE:
        return (struct shape){ .hlc = 2 };
    case FLOTILLA_OP_GET:
        return (struct shape){ .found = 2, .value = 3 };
    case FLOTILLA_OP_CAS_PUT:
    case FLOTILLA_OP_CAS_DELETE:
        return (struct shape){ .version = 2, .hlc = 3 };
    case FLOTILLA_OP_CAS_GET:
        return (struct shape){ .found = 2, .version = 3, .value = 4 };
    case FLOTILLA_OP_BATCH:
        return (struct shape){ .hlc = 3 };
    case FLOTILLA_OP_GET_TSO:
        return (struct shape){ .first = 2 };
    }
    return (struct shape){ 0 };
}

bool client_message_result(const struct client_op *op, const struct client_reply *reply,
                           struct flotilla_result *ret)
{
    if (reply->code == FLOTILLA_CONFLICT) {
        const struct net_status *s = &reply->status;
        ret->version = s->current_version;
        ret->found = s->has_conflict && !s->absent && s->current_version != 0;
        if (s->has_value)
            ret->value =
                flotilla_bytes(s->current_value.len > 0 ? (const void *)s->current_value.data : "",
                               s->current_value.len);
        return s->has_conflict;
    }
    struct shape shape = shape_of(op->kind);
    struct bytes in = reply->body;
    struct pb_field f;
    while (pb_next(&in, &f)) { /* whole, or its status had not been found */
        if (f.number == shape.found)
            ret->found = f.value != 0;
        else if (f.number == shape.version)
            ret->version = f.value;
        else if (f.number == shape.value)
            ret->value = flotilla_bytes(f.bytes.data, f.bytes.len);
        else if (f.number == shape.hlc)
            ret->hlc = f.value;
        else if (f.number == shape.first)
            ret->first = f.value;
    }
    if (ret->found && ret->value.data == NULL)
        ret->value = flotilla_bytes("", 0); /* an empty value is not an absent one */
    if (op->kind == FLOTILLA_OP_BATCH)
        return client_batch_fill(op->batch, reply->body);
    if (op->kind == FLOTILLA_OP_GET_TSO)
        return ret->first != 0;
    return !is_cas(op->kind) || ret->version != 0;
}
