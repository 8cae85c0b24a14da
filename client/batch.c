/* Batches: commands encoded as they are added (kvrpc.BatchRequest), and an outcome for each. */
#include "client_int.h"

#include <assert.h>
#include <stdlib.h>

enum { COMMAND_PUT = 1, COMMAND_DELETE = 2, COMMAND_CAS = 3, COMMAND_CAS_DELETE = 4 };

struct outcome {
    uint64_t version;
    int code;
};

struct flotilla_batch {
    struct buf wire; /* the body of the request */
    size_t count;
    struct outcome *outcomes;
    size_t outcome_count, outcome_cap; /* count: 0 unless there was a commit */
};

struct flotilla_batch *flotilla_batch_new(void)
{
    return calloc(1, sizeof(struct flotilla_batch));
}

void flotilla_batch_clear(struct flotilla_batch *b)
{
    buf_clear(&b->wire);
    b->count = b->outcome_count = 0;
}

void flotilla_batch_free(struct flotilla_batch *b)
{
    if (b == NULL)
        return;
    buf_free(&b->wire);
    free(b->outcomes);
    free(b);
}

size_t flotilla_batch_count(const struct flotilla_batch *b)
{
    return b->count;
}

size_t flotilla_batch_size(const struct flotilla_batch *b)
{
    return b->wire.len;
}

struct bytes client_batch_bytes(const struct flotilla_batch *b)
{
    return buf_bytes(&b->wire);
}

/* Room for one more outcome is made here, so that an answer never fails for want of it. */
static bool reserve_outcome(struct flotilla_batch *b)
{
    if (b->count < b->outcome_cap)
        return true;
    size_t cap = b->outcome_cap == 0 ? 64 : b->outcome_cap * 2;
    struct outcome *more = realloc(b->outcomes, cap * sizeof *more);
    if (more == NULL)
        return false;
    b->outcomes = more;
    b->outcome_cap = cap;
    return true;
}

struct command {
    uint32_t number, ns;
    struct bytes key, value;
    uint32_t value_field, expected_field;
    uint64_t expected;
    bool conditional;
};

static int add(struct flotilla_batch *b, const struct command *c)
{
    if (c->key.len == 0)
        return FLOTILLA_INVALID_ARGUMENT;
    size_t request = pb_u64_size(2, c->ns) + pb_bytes_size(3, c->key.len) +
                     (c->conditional ? pb_u64_size(4, 1) : 0) +
                     pb_u64_size(c->expected_field, c->expected) +
                     pb_bytes_size(c->value_field, c->value.len);
    size_t command = pb_head_size(c->number, request) + request;
    size_t size = pb_head_size(2, command) + command;
    if (size > CLIENT_BATCH_MAX || b->wire.len > CLIENT_BATCH_MAX - size)
        return FLOTILLA_TOO_LARGE;
    uint8_t *at = buf_reserve(&b->wire, size);
    if (at == NULL || !reserve_outcome(b))
        return FLOTILLA_RESOURCE_EXHAUSTED;
    const uint8_t *end = at + size;
    pb_put_head(&at, 2, command);
    pb_put_head(&at, c->number, request);
    pb_put_u64(&at, 2, c->ns);
    pb_put_bytes(&at, 3, c->key);
    if (c->conditional)
        pb_put_u64(&at, 4, 1);
    pb_put_u64(&at, c->expected_field,
               c->expected); /* 4 of a CAS, 5 of a delete: before or behind its value */
    pb_put_bytes(&at, c->value_field, c->value);
    assert(at == end);
    b->wire.len += size;
    b->count++;
    b->outcome_count = 0;
    return FLOTILLA_OK;
}

int flotilla_batch_put(struct flotilla_batch *b, uint32_t ns, struct flotilla_bytes key,
                       struct flotilla_bytes value)
{
    return add(b, &(struct command){ .number = COMMAND_PUT,
                                     .ns = ns,
                                     .key = client_bytes(key),
                                     .value = client_bytes(value),
                                     .value_field = 4 });
}

int flotilla_batch_delete(struct flotilla_batch *b, uint32_t ns, struct flotilla_bytes key)
{
    return add(b,
               &(struct command){ .number = COMMAND_DELETE, .ns = ns, .key = client_bytes(key) });
}

int flotilla_batch_cas_put(struct flotilla_batch *b, uint32_t ns, struct flotilla_bytes key,
                           uint64_t expected, struct flotilla_bytes value)
{
    return add(b, &(struct command){ .number = COMMAND_CAS,
                                     .ns = ns,
                                     .key = client_bytes(key),
                                     .value = client_bytes(value),
                                     .value_field = 5,
                                     .expected_field = 4,
                                     .expected = expected });
}

int flotilla_batch_cas_delete(struct flotilla_batch *b, uint32_t ns, struct flotilla_bytes key,
                              const uint64_t *expected)
{
    return add(b, &(struct command){ .number = COMMAND_CAS_DELETE,
                                     .ns = ns,
                                     .key = client_bytes(key),
                                     .conditional = expected != NULL,
                                     .expected_field = 5,
                                     .expected = expected != NULL ? *expected : 0 });
}

int flotilla_batch_result(const struct flotilla_batch *b, size_t i, uint64_t *version)
{
    if (i >= b->outcome_count)
        return FLOTILLA_INVALID_ARGUMENT;
    if (version != NULL)
        *version = b->outcomes[i].version;
    return b->outcomes[i].code;
}

/* One CommandResult. False: it says nothing about its command. */
static bool read_outcome(struct bytes in, struct outcome *ret)
{
    struct net_status status = { 0 };
    if (!client_message_valid(in))
        return false;
    struct bytes wire = client_message_bytes(in, 1);
    if (wire.data == NULL || net_status_read(wire, &status) != ERR_OK)
        return false;
    ret->code = status.number == (uint64_t)status.code ? (int)status.code : FLOTILLA_UNDETERMINED;
    ret->version = status.has_conflict ? status.current_version : client_message_u64(in, 2);
    return true;
}

/* `order` NULL: the first n. */
static bool fill(struct flotilla_batch *b, const uint32_t *order, size_t n, struct bytes response)
{
    struct pb_field f;
    size_t i = 0;
    while (pb_next(&response, &f)) {
        if (f.number != 2)
            continue;
        struct outcome o;
        if (i == n || f.type != PB_BYTES || !read_outcome(f.bytes, &o))
            return false;
        b->outcomes[order != NULL ? order[i] : i] = o;
        i++;
    }
    return i == n;
}

bool client_batch_fill(struct flotilla_batch *b, struct bytes response)
{
    b->outcome_count = b->count;
    return fill(b, NULL, b->count, response);
}

void client_batch_fill_all(struct flotilla_batch *b, int code)
{
    b->outcome_count = b->count;
    for (size_t i = 0; i < b->count; i++)
        b->outcomes[i] = (struct outcome){ .code = code };
}

bool client_batch_fill_part(struct flotilla_batch *b, const uint32_t *order, size_t n,
                            struct bytes response)
{
    return fill(b, order, n, response);
}

void client_batch_fill_part_all(struct flotilla_batch *b, const uint32_t *order, size_t n, int code)
{
    for (size_t i = 0; i < n; i++)
        b->outcomes[order[i]] = (struct outcome){ .code = code };
}
