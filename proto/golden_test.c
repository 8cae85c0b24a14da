/* Every message has its bytes in golden.txt, and they never change: an old peer reads them.
 *
 * Each message is filled by rule from its descriptor, so that number, type and name of every field
 * show: bytes are the field's name with a counter, a NUL and 0xff behind; numbers are 12 bits of the
 * name's checksum (u64: 2^40 more); a list has two elements; flags are true. A oneof gives one line
 * for each of its members. `decode_golden_test --print` writes the file anew; a change of an existing
 * line is a broken protocol. */
#include "base/arena.h"
#include "base/crc32c.h"
#include "base/test.h"
#include "corpus/corpus.pb-c.h"
#include "decode/decode.h"
#include "proto/all.h"

static struct arena memory;

static void *fresh(size_t size)
{
    void *p = arena_zalloc(&memory, 1, size);
    if (p == NULL)
        abort();
    return p;
}

/* ---- Filling by rule ------------------------------------------------------------------------- */

static ProtobufCMessage *fill(const ProtobufCMessageDescriptor *type, uint32_t member);

static bool in_oneof(const ProtobufCFieldDescriptor *f)
{
    return (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0;
}

/* The first member of the message's oneof, 0 if it has none. */
static uint32_t first_member(const ProtobufCMessageDescriptor *type)
{
    for (unsigned i = 0; i < type->n_fields; i++)
        if (in_oneof(&type->fields[i]))
            return type->fields[i].id;
    return 0;
}

static size_t size_of(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_UINT32:
        return sizeof(uint32_t);
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        return sizeof(uint64_t);
    case PROTOBUF_C_TYPE_BOOL:
        return sizeof(protobuf_c_boolean);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(ProtobufCMessage *);
    default:
        fail_msg("a field type without a rule: add one here");
        return 0;
    }
}

static void fill_value(const ProtobufCFieldDescriptor *f, void *at, uint32_t nth)
{
    uint32_t number = (crc32c(0, BYTES(f->name)) & 0xfff) + nth; /* names tell fields apart */
    uint64_t wide = (1ull << 40) + number;
    ProtobufCBinaryData *b = at;
    ProtobufCMessage *sub;
    switch (f->type) {
    case PROTOBUF_C_TYPE_UINT32:
        memcpy(at, &number, sizeof number);
        break;
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        memcpy(at, &wide, sizeof wide);
        break;
    case PROTOBUF_C_TYPE_BOOL:
        *(protobuf_c_boolean *)at = 1;
        break;
    case PROTOBUF_C_TYPE_BYTES:
        b->data = fresh(64);
        b->len = (size_t)snprintf((char *)b->data, 60, "%s%u", f->name, nth);
        memcpy(b->data + b->len, "\0\xff", 2);
        b->len += 2;
        break;
    default:
        sub = fill(f->descriptor, first_member(f->descriptor));
        memcpy(at, &sub, sizeof sub);
    }
}

static ProtobufCMessage *fill(const ProtobufCMessageDescriptor *type, uint32_t member)
{
    ProtobufCMessage *m = fresh(type->sizeof_message);
    protobuf_c_message_init(type, m);
    for (unsigned i = 0; i < type->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &type->fields[i];
        uint8_t *at = (uint8_t *)m + f->offset;
        size_t size = size_of(f->type);
        if (f->label == PROTOBUF_C_LABEL_REPEATED) {
            uint8_t *items = fresh(2 * size);
            fill_value(f, items, 0);
            fill_value(f, items + size, 1);
            *(size_t *)(void *)((uint8_t *)m + f->quantifier_offset) = 2;
            memcpy(at, &items, sizeof items);
        } else if (!in_oneof(f)) {
            fill_value(f, at, 0);
        } else if (f->id == member) {
            *(uint32_t *)(void *)((uint8_t *)m + f->quantifier_offset) = f->id;
            fill_value(f, at, 0);
        }
    }
    return m;
}

/* ---- Comparing field by field ---------------------------------------------------------------- */

static void check_same(const ProtobufCMessage *a, const ProtobufCMessage *b);

static void check_value(const ProtobufCFieldDescriptor *f, const void *a, const void *b)
{
    const ProtobufCBinaryData *x = a, *y = b;
    switch (f->type) {
    case PROTOBUF_C_TYPE_BYTES:
        CHECK_BYTES(bytes_from(x->data, x->len), bytes_from(y->data, y->len));
        break;
    case PROTOBUF_C_TYPE_MESSAGE:
        check_same(*(ProtobufCMessage *const *)a, *(ProtobufCMessage *const *)b);
        break;
    default:
        CHECK_EQ(memcmp(a, b, size_of(f->type)), 0);
    }
}

static void check_same(const ProtobufCMessage *a, const ProtobufCMessage *b)
{
    CHECK(a->descriptor == b->descriptor && a->n_unknown_fields == 0);
    for (unsigned i = 0; i < a->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &a->descriptor->fields[i];
        const uint8_t *x = (const uint8_t *)a + f->offset, *y = (const uint8_t *)b + f->offset;
        const void *nx = (const uint8_t *)a + f->quantifier_offset,
                   *ny = (const uint8_t *)b + f->quantifier_offset;
        if (f->label == PROTOBUF_C_LABEL_REPEATED) {
            CHECK(*(const size_t *)nx == 2 && *(const size_t *)ny == 2);
            const uint8_t *items_x, *items_y;
            memcpy(&items_x, x, sizeof items_x);
            memcpy(&items_y, y, sizeof items_y);
            check_value(f, items_x, items_y);
            check_value(f, items_x + size_of(f->type), items_y + size_of(f->type));
        } else if (!in_oneof(f)) {
            check_value(f, x, y);
        } else {
            CHECK_EQ(*(const uint32_t *)nx, *(const uint32_t *)ny);
            if (*(const uint32_t *)nx == f->id)
                check_value(f, x, y);
        }
    }
}

/* ---- The file -------------------------------------------------------------------------------- */

/* Calls `each` for every message and every member of its oneof; the title is "package.Name" or
 * "package.Name/member". */
static void for_all(void (*each)(const char *title, ProtobufCMessage *m, void *user), void *user)
{
    for (size_t i = 0; i < proto_all_count; i++) {
        const ProtobufCMessageDescriptor *type = proto_all[i];
        if (first_member(type) == 0)
            each(type->name, fill(type, 0), user);
        for (unsigned k = 0; k < type->n_fields; k++) {
            char title[200];
            snprintf(title, sizeof title, "%s/%s", type->name, type->fields[k].name);
            if (in_oneof(&type->fields[k]))
                each(title, fill(type, type->fields[k].id), user);
        }
    }
}

static struct buf packed(const ProtobufCMessage *m)
{
    struct buf b = { 0 };
    uint8_t *at = buf_reserve(&b, protobuf_c_message_get_packed_size(m) + 1);
    if (at == NULL)
        abort();
    b.len = protobuf_c_message_pack(m, at);
    return b;
}

struct golden {
    char *text;
    unsigned lines, found;
};

static void check_line(const char *title, ProtobufCMessage *m, void *user)
{
    struct golden *g = user;
    char want[220];
    snprintf(want, sizeof want, "\n%s ", title);
    char *line = strstr(g->text, want);
    if (line == NULL)
        fail_msg("golden.txt has no line for %s: add it with decode_golden_test --print", title);
    char *hex = line + strlen(want), *end = strchr(hex, '\n');
    *end = '\0';
    struct buf golden = test_hex(hex), have = packed(m);
    *end = '\n';
    print_message("%s\n", title);
    CHECK_BYTES(buf_bytes(&have), buf_bytes(&golden));
    ProtobufCMessage *back = NULL;
    struct err e = { 0 };
    CHECK_OK(decode_message(m->descriptor, buf_bytes(&golden), DECODE_LIMITS, &memory, &back, &e),
             e);
    check_same(back, m);
    buf_free(&golden), buf_free(&have);
    g->found++;
}

TEST(golden_bytes_of_every_message)
{
    char path[600];
    const char *source = getenv("FLOTILLA_SOURCE");
    snprintf(path, sizeof path, "%s/proto/golden.txt", source != NULL ? source : ".");
    FILE *f = fopen(path, "r");
    if (f == NULL)
        fail_msg("%s is missing", path);
    struct golden g = { .text = calloc(1, 1 << 20) };
    g.text[0] = '\n';
    CHECK(fread(g.text + 1, 1, (1 << 20) - 2, f) > 0);
    fclose(f);
    for (char *line = g.text; (line = strchr(line, '\n')) != NULL && line[1] != '\0'; line++)
        g.lines += line[1] != '#';
    for_all(check_line, &g);
    CHECK_EQ(g.found, g.lines); /* and no line without its message */
    CHECK(g.found > 40);
    arena_reset(&memory);
    free(g.text);
}

/* ---- Rules over the descriptors -------------------------------------------------------------- */

enum { PATH_MAX_DEPTH = 16 };

static bool in_table(const ProtobufCMessageDescriptor *type)
{
    for (size_t i = 0; i < proto_all_count; i++)
        if (proto_all[i] == type)
            return true;
    return false;
}

/* How deep messages nest below `type`, itself included; 0: it contains itself. */
static unsigned depth_of(const ProtobufCMessageDescriptor *type,
                         const ProtobufCMessageDescriptor **path, unsigned n)
{
    unsigned deepest = 1;
    for (unsigned i = 0; i < n; i++)
        if (path[i] == type)
            return 0;
    CHECK(n < PATH_MAX_DEPTH);
    path[n] = type;
    for (unsigned i = 0; i < type->n_fields; i++) {
        if (type->fields[i].type != PROTOBUF_C_TYPE_MESSAGE)
            continue;
        unsigned below = depth_of(type->fields[i].descriptor, path, n + 1);
        if (below == 0)
            return 0;
        deepest = below + 1 > deepest ? below + 1 : deepest;
    }
    return deepest;
}

TEST(proto_no_message_contains_itself)
{
    const ProtobufCMessageDescriptor *path[PATH_MAX_DEPTH];
    for (size_t i = 0; i < proto_all_count; i++) {
        unsigned depth = depth_of(proto_all[i], path, 0);
        if (depth == 0)
            fail_msg("%s is recursive: a peer could overflow our stack with it",
                     proto_all[i]->name);
        CHECK(depth <= DECODE_DEPTH_MAX);
    }
    CHECK_EQ(depth_of(&corpus__rec__descriptor, path, 0), 0); /* the check does see one */
    CHECK_EQ(depth_of(&corpus__t__descriptor, path, 0), 2);
}

/* No `string`, no map (a message that is in no file's first column), no `optional`; few fields. */
TEST(proto_fields_are_of_the_kinds_that_we_allow)
{
    for (size_t i = 0; i < proto_all_count; i++) {
        CHECK(proto_all[i]->n_fields <= 64);
        for (unsigned k = 0; k < proto_all[i]->n_fields; k++) {
            const ProtobufCFieldDescriptor *f = &proto_all[i]->fields[k];
            bool good =
                f->type != PROTOBUF_C_TYPE_STRING && f->type != PROTOBUF_C_TYPE_ENUM &&
                (f->label == PROTOBUF_C_LABEL_NONE || f->label == PROTOBUF_C_LABEL_REPEATED) &&
                (f->type != PROTOBUF_C_TYPE_MESSAGE || in_table(f->descriptor));
            if (!good)
                fail_msg("%s.%s: not of a kind that proto/README.md allows", proto_all[i]->name,
                         f->name);
        }
    }
}

static void print_line(const char *title, ProtobufCMessage *m, void *user)
{
    (void)user;
    struct buf b = packed(m);
    printf("%s ", title);
    for (size_t i = 0; i < b.len; i++)
        printf("%02x", b.data[i]);
    printf("\n");
    buf_free(&b);
}

struct test_case *test_cases;
int main(int argc, char **argv)
{
    arena_init(&memory, 8 << 20, NULL, 0);
    if (argc == 2 && strcmp(argv[1], "--print") == 0) {
        printf(
            "# The bytes of every message, filled by the rule of golden_test.c. Lines are added, "
            "never changed.\n# build/dev/bin/decode_golden_test --print > proto/golden.txt\n");
        for_all(print_line, NULL);
        arena_free(&memory);
        return 0;
    }
    int rc = test_main(argc, argv);
    arena_free(&memory);
    return rc;
}
