/* One walk over the bytes with the generated descriptor in hand. It is recursive, as deep as the
 * limit says. */
#include "decode/decode.h"

#include <assert.h>
#include <stdio.h>

#include "base/codec.h"
#include "base/utf8.h"

struct walk {
    struct decode_limits left;
    struct err *e;
};

enum { TAG_MAX = 5, NUMBER_MAX = (1 << 29) - 1 };
enum { VARINT = 0, FIXED64 = 1, LENGTH = 2, FIXED32 = 5 }; /* wire types */

static const char *name_of(const ProtobufCFieldDescriptor *field)
{
    return field != NULL ? field->name : "unknown field";
}

#define MALFORMED(w, type, field, ...)                                                             \
    malformed(w, ERR_INVALID_ARGUMENT, (type)->name, name_of(field), __VA_ARGS__)
#define BEYOND(w, type, field, ...)                                                                \
    malformed(w, ERR_TOO_LARGE, (type)->name, name_of(field), __VA_ARGS__)

PRINTF_LIKE(5, 6)
static err_t malformed(struct walk *w, err_t rc, const char *type, const char *field,
                       const char *fmt, ...)
{
    char why[160];
    va_list args;
    va_start(args, fmt);
    vsnprintf(why, sizeof why, fmt, args);
    va_end(args);
    return err_set(w->e, rc, "malformed message %s.%s: %s", type, field, why);
}

static unsigned wire_type_of(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
        return FIXED32;
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return FIXED64;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_MESSAGE:
        return LENGTH;
    default:
        return VARINT;
    }
}

static bool take_scalar(struct bytes *in, unsigned wire)
{
    uint64_t wide;
    uint32_t small;
    return wire == VARINT    ? take_varint(in, &wide)
           : wire == FIXED64 ? take_u64(in, &wide)
                             : take_u32(in, &small);
}

static err_t count_items(struct walk *w, const ProtobufCMessageDescriptor *type,
                         const ProtobufCFieldDescriptor *field)
{
    if (w->left.items == 0)
        return BEYOND(w, type, field, "too many elements in lists");
    w->left.items--;
    return ERR_OK;
}

static err_t walk_packed(struct walk *w, const ProtobufCMessageDescriptor *type,
                         const ProtobufCFieldDescriptor *field, struct bytes in)
{
    while (in.len > 0) {
        if (!take_scalar(&in, wire_type_of(field->type)))
            return MALFORMED(w, type, field, "an element of the packed list is cut off");
        err_t rc = count_items(w, type, field);
        if (rc != ERR_OK)
            return rc;
    }
    return ERR_OK;
}

static err_t walk_message(struct walk *w, const ProtobufCMessageDescriptor *type, struct bytes in);

/* What a length-delimited field holds. */
static err_t walk_content(struct walk *w, const ProtobufCMessageDescriptor *type,
                          const ProtobufCFieldDescriptor *field, struct bytes content)
{
    if (field->type == PROTOBUF_C_TYPE_MESSAGE)
        return walk_message(w, field->descriptor, content);
    if (field->type == PROTOBUF_C_TYPE_STRING &&
        (!utf8_is_valid(content) || memchr(content.data, '\0', content.len) != NULL))
        return MALFORMED(w, type, field, "text is not UTF-8, or contains a NUL");
    return ERR_OK;
}

static err_t take_content(struct walk *w, const ProtobufCMessageDescriptor *type,
                          const ProtobufCFieldDescriptor *field, struct bytes *in,
                          struct bytes *ret)
{
    uint64_t len;
    size_t before = in->len;
    if (!take_varint(in, &len) || before - in->len > TAG_MAX)
        return MALFORMED(w, type, field, "its length is no varint of at most 5 bytes");
    if (len > in->len)
        return MALFORMED(w, type, field, "length %llu is beyond the end, %zu bytes are left",
                         (unsigned long long)len, in->len);
    bool taken = take_bytes(in, (size_t)len, ret);
    assert(taken);
    (void)taken;
    return ERR_OK;
}

static err_t walk_unknown(struct walk *w, const ProtobufCMessageDescriptor *type, unsigned wire,
                          struct bytes *in)
{
    struct bytes content;
    if (w->left.unknown == 0)
        return BEYOND(w, type, NULL, "too many of them");
    w->left.unknown--;
    if (wire == LENGTH)
        return take_content(w, type, NULL, in, &content);
    if (!take_scalar(in, wire))
        return MALFORMED(w, type, NULL, "its value is cut off");
    return ERR_OK;
}

static err_t walk_known(struct walk *w, const ProtobufCMessageDescriptor *type,
                        const ProtobufCFieldDescriptor *field, unsigned wire, struct bytes *in,
                        uint64_t *seen)
{
    bool list = field->label == PROTOBUF_C_LABEL_REPEATED;
    if (field->type == PROTOBUF_C_TYPE_MESSAGE && !list) {
        uint64_t bit = 1ull << (field - type->fields);
        if (*seen & bit)
            return MALFORMED(w, type, field, "given twice");
        *seen |= bit;
    }
    unsigned own = wire_type_of(field->type);
    bool packed = list && own != LENGTH && wire == LENGTH;
    if (wire != own && !packed)
        return MALFORMED(w, type, field, "wire type %u, not %u", wire, own);
    if (wire != LENGTH) {
        if (!take_scalar(in, wire))
            return MALFORMED(w, type, field, "its value is cut off");
        return list ? count_items(w, type, field) : ERR_OK;
    }
    struct bytes content;
    err_t rc = take_content(w, type, field, in, &content);
    if (rc != ERR_OK)
        return rc;
    if (packed)
        return walk_packed(w, type, field, content);
    if (list)
        rc = count_items(w, type, field);
    return rc != ERR_OK ? rc : walk_content(w, type, field, content);
}

static err_t walk_message(struct walk *w, const ProtobufCMessageDescriptor *type, struct bytes in)
{
    uint64_t seen = 0; /* message fields, by their place in the descriptor */
    assert(type->n_fields <= 64);
    if (w->left.depth == 0)
        return err_set(w->e, ERR_TOO_LARGE, "malformed message %s: nested too deeply", type->name);
    w->left.depth--;
    while (in.len > 0) {
        uint64_t tag;
        size_t before = in.len;
        if (!take_varint(&in, &tag) || before - in.len > TAG_MAX || tag >> 3 == 0 ||
            tag >> 3 > NUMBER_MAX)
            return err_set(w->e, ERR_INVALID_ARGUMENT,
                           "malformed message %s: no tag of a field, %zu bytes before its end",
                           type->name, before);
        unsigned wire = tag & 7;
        const ProtobufCFieldDescriptor *field =
            protobuf_c_message_descriptor_get_field(type, (unsigned)(tag >> 3));
        if (wire != VARINT && wire != FIXED64 && wire != LENGTH && wire != FIXED32)
            return MALFORMED(w, type, field, "wire type %u: groups are not spoken here", wire);
        err_t rc = field == NULL ? walk_unknown(w, type, wire, &in)
                                 : walk_known(w, type, field, wire, &in, &seen);
        if (rc != ERR_OK)
            return rc;
    }
    w->left.depth++;
    return ERR_OK;
}

err_t decode_check(const ProtobufCMessageDescriptor *type, struct bytes in,
                   struct decode_limits limits, struct err *e)
{
    struct walk w = { .left = limits, .e = e };
    return walk_message(&w, type, in);
}

err_t decode_message(const ProtobufCMessageDescriptor *type, struct bytes in,
                     struct decode_limits limits, struct arena *arena, ProtobufCMessage **ret,
                     struct err *e)
{
    err_t rc = decode_check(type, in, limits, e);
    if (rc != ERR_OK)
        return rc;
    ProtobufCAllocator allocator = { arena_allocator_alloc, arena_allocator_free, arena };
    bool refused_before = arena->refused;
    arena->refused = false;
    ProtobufCMessage *m = protobuf_c_message_unpack(type, &allocator, in.len, in.data);
    bool refused = arena->refused;
    arena->refused |= refused_before;
    if (m == NULL && refused)
        return err_set(e, ERR_RESOURCE_EXHAUSTED, "message %s needs more than %zu bytes of memory",
                       type->name, arena->cap);
    if (m == NULL)
        return err_set(e, ERR_INVALID_ARGUMENT, "malformed message %s", type->name);
    *ret = m;
    return ERR_OK;
}
