/* Base's text forms: the first byte chooses the codec. What decodes encodes to the same text,
 * and what a logger writes is one line whatever it is given. */
#include "base/base64.h"
#include "base/codec.h"
#include "base/hex.h"
#include "base/hlc.h"
#include "base/logger.h"
#include "base/nearest.h"
#include "base/units.h"
#include "base/utf8.h"
#include "base/value.h"
#include "fuzz.h"

static void fuzz_base64(struct bytes in)
{
    struct buf bytes = { 0 }, text = { 0 };
    if (base64_decode(in, &bytes) == ERR_OK) {
        FUZZ_CHECK(base64_encode(buf_bytes(&bytes), &text) == ERR_OK);
        FUZZ_CHECK(bytes_equal(buf_bytes(&text), in));
    } else {
        FUZZ_CHECK(bytes.len == 0);
    }
    buf_clear(&bytes), buf_clear(&text);
    FUZZ_CHECK(base64_encode(in, &text) == ERR_OK);
    FUZZ_CHECK(base64_decode(buf_bytes(&text), &bytes) == ERR_OK);
    FUZZ_CHECK(bytes_equal(buf_bytes(&bytes), in));
    buf_free(&bytes), buf_free(&text);
}

static void fuzz_hex(struct bytes in)
{
    struct buf bytes = { 0 }, text = { 0 };
    if (hex_decode(in, &bytes) == ERR_OK) {
        FUZZ_CHECK(2 * bytes.len == in.len);
        FUZZ_CHECK(hex_encode(buf_bytes(&bytes), &text) == ERR_OK && text.len == in.len);
    }
    buf_free(&bytes), buf_free(&text);
}

static void fuzz_varint(struct bytes in)
{
    uint64_t v, again;
    while (in.len > 0) {
        size_t before = in.len;
        if (!take_varint(&in, &v)) {
            FUZZ_CHECK(in.len == before);
            return;
        }
        uint8_t wire[VARINT_MAX], *at = wire;
        put_varint(&at, v);
        struct bytes short_form = { wire, (size_t)(at - wire) };
        FUZZ_CHECK(short_form.len == varint_size(v) && short_form.len <= before - in.len);
        FUZZ_CHECK(take_varint(&short_form, &again) && again == v && short_form.len == 0);
    }
}

static void fuzz_words(const char *text)
{
    uint64_t v, again;
    char printed[UNITS_TEXT_MAX], stamp[HLC_TEXT_MAX];
    struct err e = { 0 };
    if (units_parse_bytes(text, &v, &e) == ERR_OK) {
        units_print_bytes(v, printed);
        FUZZ_CHECK(units_parse_bytes(printed, &again, &e) == ERR_OK && again == v);
        units_about_bytes(v, printed);
    }
    if (units_parse_ns(text, &v, &e) == ERR_OK) {
        units_print_ns(v, printed);
        FUZZ_CHECK(units_parse_ns(printed, &again, &e) == ERR_OK && again == v);
    }
    if (hlc_parse(text, &v) == ERR_OK) {
        hlc_print(v, stamp);
        FUZZ_CHECK(strcmp(stamp, text) == 0);
    }
    static const char *const words[] = { "address", "limits", "frame_max", "x" };
    const char *near = nearest(text, words, 4);
    FUZZ_CHECK(near == NULL || nearest_distance(near, near) == 0);
}

static void fuzz_json(struct bytes in)
{
    struct value *v = NULL, *again = NULL;
    struct buf text = { 0 }, twice = { 0 };
    struct err e = { 0 };
    err_t rc = value_from_json(in, &v, &e);
    FUZZ_CHECK((rc == ERR_OK) == (v != NULL));
    if (rc == ERR_OK && value_to_json(v, in.len % 2 == 0, &text) == ERR_OK) {
        FUZZ_CHECK(utf8_is_valid(buf_bytes(&text)));
        FUZZ_CHECK(value_from_json(buf_bytes(&text), &again, &e) == ERR_OK);
        FUZZ_CHECK(value_to_json(again, in.len % 2 == 0, &twice) == ERR_OK);
        FUZZ_CHECK(bytes_equal(buf_bytes(&text), buf_bytes(&twice)));
    }
    value_free(v), value_free(again);
    buf_free(&text), buf_free(&twice);
}

static uint64_t wall(void *user)
{
    (void)user;
    return 1767323045678000000;
}

static void line_out(void *user, struct bytes line)
{
    struct buf *out = user;
    FUZZ_CHECK(line.len > 0 && line.len <= LOGGER_LINE_MAX);
    FUZZ_CHECK(memchr(line.data, '\n', line.len) == line.data + line.len - 1);
    FUZZ_CHECK(utf8_is_valid(line));
    FUZZ_CHECK(buf_append(out, line) == ERR_OK);
}

static void fuzz_logger(struct bytes in, const char *text)
{
    for (enum logger_format format = LOGGER_LOGFMT; format <= LOGGER_JSON; format++) {
        struct buf out = { 0 };
        struct logger *l = logger_new(&(struct logger_config){
            .format = format, .wall = wall, .write = line_out, .user = &out, .name = text });
        FUZZ_CHECK(l != NULL);
        struct err e = { ERR_IO, "" };
        snprintf(e.msg, sizeof e.msg, "%s", text);
        logger_warn(l, "fuzz", logger_text("t", text), logger_bytes("b", in), logger_err(&e));
        struct value *v = NULL;
        if (format == LOGGER_JSON && out.len < LOGGER_LINE_MAX) {
            out.len--; /* the newline */
            FUZZ_CHECK(value_from_json(buf_bytes(&out), &v, &e) == ERR_OK);
        }
        value_free(v);
        logger_free(l);
        buf_free(&out);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len == 0)
        return 0;
    struct bytes in = { data + 1, len - 1 };
    char *text = malloc(len);
    FUZZ_CHECK(text != NULL);
    memcpy(text, data + 1, len - 1);
    text[len - 1] = '\0';
    switch (data[0] % 6) {
    case 0:
        fuzz_base64(in);
        break;
    case 1:
        fuzz_hex(in);
        break;
    case 2:
        fuzz_varint(in);
        break;
    case 3:
        fuzz_words(text);
        break;
    case 4:
        fuzz_json(in);
        break;
    case 5:
        fuzz_logger(in, text);
        break;
    }
    free(text);
    return 0;
}
