/* Protobuf's wire format: what is written is drawn again, whatever else comes is refused or stays in its bytes.
 * Agreement with protobuf-c is tested where messages are: net/status_test.c, client/message_test.c and others. */
#include "base/pb.h"
#include "base/prng.h"
#include "base/test.h"

/* ---- What is written is drawn again ------------------------------------------------------------------------- */

enum { ROUNDS = 20000, FIELDS = 6, TEXT_MAX = 300 };

static void draw_field(struct prng *p, struct pb_field *f, const uint8_t text[TEXT_MAX])
{
    static const enum pb_type types[] = { PB_VARINT, PB_FIXED64, PB_BYTES };
    uint32_t number = (uint32_t)prng_u64(p) >> (3 + prng_below(p, 29));
    *f = (struct pb_field){ .number = number == 0 ? 1 : number, .type = types[prng_below(p, 3)] };
    if (f->type == PB_BYTES)
        f->bytes = bytes_from(text, prng_below(p, prng_chance(p, 1, 4) ? TEXT_MAX : 4));
    else
        f->value = prng_chance(p, 1, 5) ? 0 : prng_u64(p) >> prng_below(p, 64);
}

static size_t size_of(const struct pb_field *f, bool item)
{
    return f->type == PB_VARINT    ? pb_u64_size(f->number, f->value)
           : f->type == PB_FIXED64 ? pb_fixed64_size(f->number, f->value)
           : item                  ? pb_item_size(f->number, f->bytes.len)
                                   : pb_bytes_size(f->number, f->bytes.len);
}

static void put(uint8_t **at, const struct pb_field *f, bool item)
{
    if (f->type == PB_VARINT)
        pb_put_u64(at, f->number, f->value);
    else if (f->type == PB_FIXED64)
        pb_put_fixed64(at, f->number, f->value);
    else if (item)
        pb_put_item(at, f->number, f->bytes);
    else
        pb_put_bytes(at, f->number, f->bytes);
}

static void append(struct buf *b, const struct pb_field *f, bool item)
{
    if (f->type == PB_VARINT)
        pb_append_u64(b, f->number, f->value);
    else if (f->type == PB_FIXED64)
        pb_append_fixed64(b, f->number, f->value);
    else if (item)
        pb_append_item(b, f->number, f->bytes);
    else
        pb_append_bytes(b, f->number, f->bytes);
}

TEST(pb_draws_what_it_writes_and_its_sizes_are_right)
{
    struct prng p;
    uint8_t text[TEXT_MAX], wire[TEXT_MAX + 2 * VARINT_MAX];
    struct buf whole = { 0 };
    prng_seed(&p, 7);
    prng_fill(&p, text, sizeof text);
    for (int round = 0; round < ROUNDS; round++) {
        struct pb_field f[FIELDS], have;
        bool item[FIELDS];
        buf_clear(&whole);
        for (int i = 0; i < FIELDS; i++) {
            draw_field(&p, &f[i], text);
            item[i] = prng_chance(&p, 1, 2);
            uint8_t *at = wire;
            size_t before = whole.len;
            put(&at, &f[i], item[i]);
            append(&whole, &f[i], item[i]);
            CHECK_EQ(at - wire, size_of(&f[i], item[i]));
            CHECK_BYTES(bytes_from(whole.data + before, whole.len - before),
                        bytes_from(wire, (size_t)(at - wire)));
        }
        struct bytes in = buf_bytes(&whole);
        for (int i = 0; i < FIELDS; i++) {
            if (size_of(&f[i], item[i]) == 0)
                continue; /* zero or empty: left out */
            CHECK(pb_next(&in, &have));
            CHECK(have.number == f[i].number && have.type == f[i].type);
            CHECK(have.value == f[i].value);
            CHECK_BYTES(have.bytes, f[i].bytes);
        }
        CHECK(!pb_next(&in, &have) && in.len == 0);
    }
    buf_free(&whole);
}

TEST(pb_an_item_is_there_also_if_empty)
{
    struct buf b = { 0 };
    struct pb_field f;
    pb_append_bytes(&b, 3, (struct bytes){ 0 });
    CHECK_EQ(b.len, 0);
    pb_append_item(&b, 3, (struct bytes){ 0 });
    pb_append_head(&b, 4, 2);
    CHECK_EQ(buf_append(&b, BYTES("ab")), ERR_OK);
    struct bytes in = buf_bytes(&b);
    CHECK(pb_next(&in, &f) && f.number == 3 && f.type == PB_BYTES);
    CHECK(f.bytes.data != NULL && f.bytes.len == 0);
    CHECK(pb_next(&in, &f) && f.number == 4);
    CHECK_BYTES(f.bytes, BYTES("ab"));
    CHECK_EQ(in.len, 0);
    buf_free(&b);
}

/* ---- What is no field --------------------------------------------------------------------------------------- */

TEST(pb_next_refuses_what_is_no_field)
{
    static const struct {
        const char *wire;
        size_t len;
    } bad[] = {
        { "\x00\x01", 2 },                                      /* number 0 */
        { "\x0b", 1 },                                          /* a group */
        { "\x0e\x01", 2 },                                      /* type 6 */
        { "\x08", 1 },                                          /* no value */
        { "\x08\x80", 2 },                                      /* half a varint */
        { "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 11 }, /* above 2^64 - 1 */
        { "\x12\x05"
          "abcd",
          6 },                                                  /* longer than the message */
        { "\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11 }, /* far longer */
        { "\x09"
          "1234567",
          8 }, /* half of eight bytes */
        { "\x0d"
          "123",
          4 },                                  /* half of four */
        { "\x80\x80\x80\x80\x10\x01", 6 },      /* number 2^29 */
        { "\x88\x80\x80\x80\x80\x00\x01", 7 },  /* number 1 in six bytes */
        { "\x12\x81\x80\x80\x80\x80\x00g", 8 }, /* a length of six bytes */
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        uint8_t *exact = malloc(bad[i].len);
        memcpy(exact, bad[i].wire, bad[i].len);
        struct bytes in = bytes_from(exact, bad[i].len);
        struct pb_field f = { .number = 77 };
        CHECK(!pb_next(&in, &f));
        CHECK(f.number == 77 && in.data == exact && in.len == bad[i].len);
        free(exact);
    }
}

TEST(pb_next_stays_in_its_bytes)
{
    struct prng p;
    prng_seed(&p, 42);
    for (int round = 0; round < ROUNDS; round++) {
        size_t len = prng_below(&p, 40);
        uint8_t *exact = malloc(len == 0 ? 1 : len);
        prng_fill(&p, exact, len);
        if (len > 0 && round % 2 == 0)
            exact[0] = 0x12; /* often a bytes field */
        struct bytes in = bytes_from(exact, len);
        struct pb_field f;
        while (pb_next(&in, &f))
            if (f.bytes.len > 0)
                CHECK(f.bytes.data >= exact && f.bytes.data + f.bytes.len <= exact + len);
        CHECK(in.data >= exact && in.data + in.len == exact + len);
        free(exact);
    }
}

TEST_MAIN()
