/* Decoding of commands in place. Which field means what is a table; how bytes become fields is
 * protobuf-c's rule:
 *
 *   - a scalar or a byte string that comes again replaces the earlier one; the submessage `context` may come once:
 *     implementations differ in how they merge two (faults.md 3.2)
 *   - a bool of another wire type than varint is refused: protobuf-c does not look, the specification
 *     calls it unknown
 *   - u32 takes the low 32 bits of a varint, bool is "any bit of it is set"; varints may be longer than they need
 *   - a field that this version does not know is refused. A proposer would let through what a later replica reads as a
 *     condition, and replicas would apply one entry differently. */
#include "storage/command.h"

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>

#include "base/pb.h"
#include "command_int.h"
#include "layout.h"

enum field_type {
    FIELD_NONE,
    FIELD_U64,
    FIELD_U32,
    FIELD_BOOL,
    FIELD_BYTES,
    FIELD_CONTEXT,
    FIELD_FIXED64,
};

struct field {
    enum field_type type;
    size_t offset; /* in struct command */
};
#define FIELD(type, member)                                                                        \
    {                                                                                              \
        type, offsetof(struct command, member)                                                     \
    }

enum { FIELDS_MAX = 7 }; /* numbers 1 to 6 */
static const struct field fields[][FIELDS_MAX] = {
    [COMMAND_RAW_PUT] = { [1] = { FIELD_CONTEXT, 0 },
                          [2] = FIELD(FIELD_U32, namespace_id),
                          [3] = FIELD(FIELD_BYTES, key),
                          [4] = FIELD(FIELD_BYTES, value) },
    [COMMAND_RAW_DELETE] = { [1] = { FIELD_CONTEXT, 0 },
                             [2] = FIELD(FIELD_U32, namespace_id),
                             [3] = FIELD(FIELD_BYTES, key) },
    [COMMAND_CAS] = { [1] = { FIELD_CONTEXT, 0 },
                      [2] = FIELD(FIELD_U32, namespace_id),
                      [3] = FIELD(FIELD_BYTES, key),
                      [4] = FIELD(FIELD_U64, expected_version),
                      [5] = FIELD(FIELD_BYTES, value),
                      [6] = FIELD(FIELD_BOOL, want_current) },
    [COMMAND_CAS_DELETE] = { [1] = { FIELD_CONTEXT, 0 },
                             [2] = FIELD(FIELD_U32, namespace_id),
                             [3] = FIELD(FIELD_BYTES, key),
                             [4] = FIELD(FIELD_BOOL, conditional),
                             [5] = FIELD(FIELD_U64, expected_version) },
    [COMMAND_NAMESPACE] = { [1] = FIELD(FIELD_U32, namespace_id),
                            [2] = FIELD(FIELD_BYTES, key),
                            [3] = FIELD(FIELD_BYTES, value) },
    [COMMAND_TSO] = { [1] = FIELD(FIELD_FIXED64, window_ms) },
};
static const struct field context_fields[FIELDS_MAX] = { [1] = FIELD(FIELD_U64, region_id),
                                                         [2] = FIELD(FIELD_U64, conf_ver),
                                                         [3] = FIELD(FIELD_U64, version),
                                                         [4] = FIELD(FIELD_U64, peer_id),
                                                         [5] = FIELD(FIELD_U64, client_hlc) };

/* A varint of at most `max` bytes; bits above 64 fall off. False: cut off, or longer. */
static bool take_loose_varint(struct bytes *in, unsigned max, uint64_t *ret)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < max && i < in->len; i++) {
        v |= (uint64_t)(in->data[i] & 0x7f) << (7 * i);
        if ((in->data[i] & 0x80) == 0) {
            in->data += i + 1;
            in->len -= i + 1;
            *ret = v;
            return true;
        }
    }
    return false;
}

static bool take_sized(struct bytes *in, struct bytes *ret)
{
    uint64_t len;
    if (!take_loose_varint(in, 5, &len) || len > INT_MAX || len > in->len)
        return false;
    *ret = bytes_from(in->data, (size_t)len);
    in->data += len;
    in->len -= len;
    return true;
}

static enum pb_type type_on_wire(enum field_type type)
{
    if (type == FIELD_FIXED64)
        return PB_FIXED64;
    return type == FIELD_BYTES || type == FIELD_CONTEXT ? PB_BYTES : PB_VARINT;
}

/* A number or the view of some bytes. */
static bool take_field(struct bytes *in, enum pb_type wire, uint64_t *number, struct bytes *bytes)
{
    if (wire == PB_BYTES)
        return take_sized(in, bytes);
    return wire == PB_FIXED64 ? take_u64(in, number) : take_loose_varint(in, 10, number);
}

static err_t take_fields(struct bytes in, const struct field *table, struct command *ret,
                         struct err *e)
{
    bool has_context = false;
    while (in.len > 0) {
        uint64_t tag, number = 0;
        if (!take_loose_varint(&in, 5, &tag))
            return err_set(e, ERR_INVALID_ARGUMENT, "malformed message: a tag is cut off");
        const uint64_t id = tag >> 3; /* up to 32 bits, all of them: protobuf-c's */
        const struct field *field = id < FIELDS_MAX ? &table[id] : NULL;
        if (field == NULL || field->type == FIELD_NONE)
            return err_set(e, ERR_INVALID_ARGUMENT,
                           "unknown field %" PRIu64 ": is the client newer than this node?", id);
        const enum pb_type want = type_on_wire(field->type);
        struct bytes bytes = { 0 };
        if ((tag & 7) != want || !take_field(&in, want, &number, &bytes))
            return err_set(e, ERR_INVALID_ARGUMENT, "malformed message: field %" PRIu64, id);
        void *to = (char *)ret + field->offset;
        switch (field->type) {
        case FIELD_U64:
        case FIELD_FIXED64:
            *(uint64_t *)to = number;
            break;
        case FIELD_U32:
            *(uint32_t *)to = (uint32_t)number;
            break;
        case FIELD_BOOL:
            *(bool *)to = number != 0;
            break;
        case FIELD_BYTES:
            *(struct bytes *)to = bytes;
            break;
        default: {
            if (has_context)
                return err_set(e, ERR_INVALID_ARGUMENT,
                               "malformed message: field %" PRIu64 " comes twice", id);
            has_context = true;
            err_t rc = take_fields(bytes, context_fields, ret, e);
            if (rc != ERR_OK)
                return rc;
        }
        }
    }
    return ERR_OK;
}

/* ---- Limits ---------------------------------------------------------------------------------- */

static err_t check_size(const char *what, size_t have, size_t max, struct err *e)
{
    if (have <= max)
        return ERR_OK;
    return err_set(e, ERR_TOO_LARGE, "%s has %zu bytes, the limit %s_max is %zu", what, have, what,
                   max);
}

static err_t check_namespace(const struct command *command, struct err *e)
{
    bool sound = command->key.len >= 1 && command->key.len <= LAYOUT_NAME_MAX;
    for (size_t i = 0; sound && i < command->key.len; i++) {
        uint8_t c = command->key.data[i];
        sound = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
    }
    if (!sound)
        return err_set(e, ERR_INVALID_ARGUMENT,
                       "a namespace's name is 1 to %d of a-z, 0-9, _ and -", LAYOUT_NAME_MAX);
    if (!bytes_equal(command->value, BYTES("strong")))
        return err_set(e, ERR_INVALID_ARGUMENT,
                       "a namespace's mode is \"strong\"; there is no other yet");
    if (command->namespace_id < 2)
        return err_set(e, ERR_INVALID_ARGUMENT, "namespace ids 0 and 1 are taken: use 2 or above");
    return ERR_OK;
}

err_t command_check(const struct command *command, struct err *e)
{
    if (command->kind == COMMAND_NAMESPACE)
        return check_namespace(command, e);
    if (command->kind == COMMAND_TSO)
        return command->window_ms != 0
                   ? ERR_OK
                   : err_set(e, ERR_INVALID_ARGUMENT, "a TSO window is above 0");
    if (command->key.len == 0)
        return err_set(e, ERR_INVALID_ARGUMENT, "the key is empty");
    err_t rc = check_size("key", command->key.len, COMMAND_KEY_MAX, e);
    return rc == ERR_OK ? check_size("value", command->value.len, COMMAND_VALUE_MAX, e) : rc;
}

err_t command_decode(enum command_kind kind, struct bytes body, struct command *ret, struct err *e)
{
    if ((int)kind < COMMAND_RAW_PUT || kind > COMMAND_TSO)
        return err_set(e, ERR_UPGRADE_REQUIRED, "command kind %d is of a later version", (int)kind);
    struct command command = { .kind = kind };
    err_t rc = take_fields(body, fields[kind], &command, e);
    if (rc == ERR_OK)
        rc = command_check(&command, e);
    if (rc == ERR_OK)
        *ret = command;
    return rc;
}

void storage_result_free(struct storage_result *result)
{
    buf_free(&result->value);
    *result = (struct storage_result){ 0 };
}

/* ---- Encoding -------------------------------------------------------------------------------- */

err_t command_encode(const struct command *command, struct buf *ret)
{
    const struct field *table = fields[command->kind];
    uint8_t *begin =
        buf_reserve(ret, command->key.len + command->value.len + FIELDS_MAX * (5 + VARINT_MAX));
    if (begin == NULL)
        return ERR_NOMEM;
    uint8_t *at = begin;
    for (unsigned id = 1; id < FIELDS_MAX; id++) {
        const void *from = (const char *)command + table[id].offset;
        switch (table[id].type) {
        case FIELD_U64:
            pb_put_u64(&at, id, *(const uint64_t *)from);
            break;
        case FIELD_U32:
            pb_put_u64(&at, id, *(const uint32_t *)from);
            break;
        case FIELD_BOOL:
            pb_put_u64(&at, id, *(const bool *)from);
            break;
        case FIELD_BYTES:
            pb_put_bytes(&at, id, *(const struct bytes *)from);
            break;
        case FIELD_FIXED64:
            pb_put_fixed64(&at, id, *(const uint64_t *)from);
            break;
        default:
            break; /* the context is the client's */
        }
    }
    ret->len += (size_t)(at - begin);
    return ERR_OK;
}

/* ---- Entries --------------------------------------------------------------------------------- */

void command_put_entry_header(uint8_t *out, uint16_t count, uint64_t hlc, uint64_t version)
{
    put_u8(&out, COMMAND_ENTRY_VERSION);
    put_u8(&out, 0);
    put_u16(&out, count);
    put_u32(&out, 0);
    put_u64(&out, hlc);
    put_u64(&out, version);
}

void command_put_header(uint8_t *out, enum command_kind kind, uint32_t len)
{
    put_u8(&out, (uint8_t)kind);
    put_u8(&out, 0);
    put_u16(&out, 0);
    put_u32(&out, len);
}

/* Behind the count. The first format had no region in it: all of its entries are of version 1. */
static bool take_stamps(struct bytes *in, uint8_t format, uint64_t *hlc, uint64_t *version)
{
    uint32_t zero;
    if (format == 1) {
        *version = 1;
        return take_u64(in, hlc);
    }
    return take_u32(in, &zero) && zero == 0 && take_u64(in, hlc) && take_u64(in, version);
}

err_t command_take_entry(struct bytes *in, uint16_t *count, uint64_t *hlc, uint64_t *version,
                         struct err *e)
{
    struct bytes rest = *in;
    uint8_t format, zero;
    if (!take_u8(&rest, &format) || !take_u8(&rest, &zero) || !take_u16(&rest, count))
        return err_set(e, ERR_CORRUPTION, "a log entry is shorter than its header");
    if (format == 0 || format > COMMAND_ENTRY_VERSION || zero != 0)
        return err_set(e, ERR_UPGRADE_REQUIRED, "a log entry has version %u, this program knows %u",
                       format, (unsigned)COMMAND_ENTRY_VERSION);
    if (!take_stamps(&rest, format, hlc, version))
        return err_set(e, ERR_CORRUPTION, "the header of a log entry is damaged");
    *in = rest;
    return ERR_OK;
}

err_t command_take(struct bytes *in, struct command *ret, struct err *e)
{
    uint8_t kind, pad;
    uint16_t pad2;
    uint32_t len;
    struct bytes body;
    if (!take_u8(in, &kind) || !take_u8(in, &pad) || !take_u16(in, &pad2) || !take_u32(in, &len) ||
        !take_bytes(in, len, &body))
        return err_set(e, ERR_CORRUPTION, "a log entry ends within a command");
    if (pad != 0 || pad2 != 0)
        return err_set(e, ERR_UPGRADE_REQUIRED,
                       "a command in the log has flags of a later version");
    return command_decode((enum command_kind)kind, body, ret, e);
}
