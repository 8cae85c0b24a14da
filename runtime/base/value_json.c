/* JSON of value trees (RFC 8259), hand-written since the limits come first: depth, keys of a map, items of the tree,
 * bytes of the text. Nothing is allocated for input that breaks a limit. */
#include "base/value.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/base64.h"
#include "base/units.h"
#include "base/utf8.h"

#define WHOLE_MAX 9007199254740992.0 /* 2^53: whole numbers up to here are exact in a double */

/* ---- Encoding ------------------------------------------------------------------------------ */

struct writer {
    struct buf *out;
    bool pretty;
    err_t rc;
};

static void put(struct writer *w, const void *data, size_t len)
{
    if (w->rc == ERR_OK)
        w->rc = buf_append(w->out, bytes_from(data, len));
}

static void put_text(struct writer *w, const char *text)
{
    put(w, text, strlen(text));
}

static void put_string(struct writer *w, struct bytes s)
{
    static const char two[] = "\"\"\\\\\bb\ff\nn\rr\tt";
    char escape[8];
    put(w, "\"", 1);
    size_t from = 0, i = 0;
    while (i < s.len) {
        size_t n = utf8_next(bytes_from(s.data + i, s.len - i));
        if (n > 0 && s.data[i] >= 0x20 && s.data[i] != '"' && s.data[i] != '\\' &&
            s.data[i] != 0x7F) {
            i += n;
            continue;
        }
        const char *pair = NULL;
        for (size_t k = 0; k + 1 < sizeof two - 1; k += 2)
            if (n > 0 && (uint8_t)two[k] == s.data[i])
                pair = two + k;
        if (pair != NULL)
            snprintf(escape, sizeof escape, "\\%c", pair[1]);
        else
            snprintf(escape, sizeof escape, "\\u%04x", n > 0 ? s.data[i] : 0xFFFDu);
        put(w, s.data + from, i - from);
        put_text(w, escape);
        from = ++i;
    }
    put(w, s.data + from, s.len - from);
    put(w, "\"", 1);
}

static void put_number(struct writer *w, double x)
{
    char text[40];
    if (!isfinite(x)) {
        put_text(w, "null");
        return;
    }
    if (x == floor(x) && fabs(x) <= WHOLE_MAX) {
        snprintf(text, sizeof text, "%.0f", x == 0 ? 0.0 : x);
        put_text(w, text);
        return;
    }
    for (int digits = 15; digits <= 17; digits++) { /* the shortest that reads back the same */
        snprintf(text, sizeof text, "%.*g", digits, x);
        if (strtod(text, NULL) == x)
            break;
    }
    put_text(w, text);
    if (strpbrk(text, ".e") == NULL)
        put_text(w, ".0"); /* above 2^53, where digits alone would read back as a u64 */
}

static void put_break(struct writer *w, int depth)
{
    if (!w->pretty)
        return;
    put_text(w, "\n");
    for (int i = 0; i < depth; i++)
        put_text(w, "  ");
}

static void put_value(struct writer *w, const struct value *v, int depth);

static void put_members(struct writer *w, const struct value *v, int depth)
{
    bool map = v->kind == VALUE_MAP;
    put_text(w, map ? "{" : "[");
    for (size_t i = 0; i < v->count && w->rc == ERR_OK; i++) {
        if (i > 0)
            put_text(w, ",");
        put_break(w, depth + 1);
        if (map) {
            put_string(w, buf_bytes(&v->keys[i]));
            put_text(w, w->pretty ? ": " : ":");
        }
        put_value(w, &v->items[i], depth + 1);
    }
    if (v->count > 0)
        put_break(w, depth);
    put_text(w, map ? "}" : "]");
}

static void put_value(struct writer *w, const struct value *v, int depth)
{
    char text[32];
    if (depth > VALUE_DEPTH_MAX && w->rc == ERR_OK)
        w->rc = ERR_TOO_LARGE;
    if (w->rc != ERR_OK)
        return;
    switch (v->kind) {
    case VALUE_NIL:
        put_text(w, "null");
        return;
    case VALUE_BOOL:
        put_text(w, v->boolean ? "true" : "false");
        return;
    case VALUE_NUMBER:
        put_number(w, v->number);
        return;
    case VALUE_U64:
        snprintf(text, sizeof text, v->u64 > (uint64_t)WHOLE_MAX ? "\"%llu\"" : "%llu",
                 (unsigned long long)v->u64);
        put_text(w, text);
        return;
    case VALUE_BYTES:
        if (utf8_is_valid(buf_bytes(&v->bytes))) {
            put_string(w, buf_bytes(&v->bytes));
            return;
        }
        put_text(w, w->pretty ? "{ \"base64\": \"" : "{\"base64\":\"");
        if (w->rc == ERR_OK)
            w->rc = base64_encode(buf_bytes(&v->bytes), w->out);
        put_text(w, w->pretty ? "\" }" : "\"}");
        return;
    case VALUE_LIST:
    case VALUE_MAP:
        put_members(w, v, depth);
        return;
    }
}

err_t value_to_json(const struct value *v, bool pretty, struct buf *ret)
{
    struct writer w = { ret, pretty, ERR_OK };
    size_t before = ret->len;
    put_value(&w, v, 0);
    if (w.rc != ERR_OK)
        ret->len = before;
    return w.rc;
}

/* ---- Decoding ------------------------------------------------------------------------------ */

struct reader {
    const uint8_t *begin, *at, *end;
    size_t items;
    struct err *e;
};

static err_t fault(struct reader *r, const char *what)
{
    return err_set(r->e, ERR_INVALID_ARGUMENT, "JSON, byte %zu: %s", (size_t)(r->at - r->begin),
                   what);
}

static err_t too_large(struct reader *r, const char *limit, long long value)
{
    return err_set(r->e, ERR_TOO_LARGE, "JSON, byte %zu: more than %s (%lld)",
                   (size_t)(r->at - r->begin), limit, value);
}

static void skip_space(struct reader *r)
{
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r'))
        r->at++;
}

static bool take(struct reader *r, char c)
{
    skip_space(r);
    if (r->at == r->end || *r->at != (uint8_t)c)
        return false;
    r->at++;
    return true;
}

static bool take_word(struct reader *r, const char *word)
{
    size_t len = strlen(word);
    if ((size_t)(r->end - r->at) < len || memcmp(r->at, word, len) != 0)
        return false;
    r->at += len;
    return true;
}

static void append(struct buf *out, const void *data, size_t len)
{
    if (buf_append(out, bytes_from(data, len)) != ERR_OK)
        abort(); /* the text is limited, so this is */
}

static bool take_hex4(struct reader *r, uint32_t *ret)
{
    uint32_t x = 0;
    if (r->end - r->at < 4)
        return false;
    for (int i = 0; i < 4; i++, r->at++) {
        uint8_t c = *r->at | 0x20;
        if (c >= '0' && c <= '9' && *r->at < 0x40)
            x = x << 4 | (c - '0');
        else if (c >= 'a' && c <= 'f')
            x = x << 4 | (c - 'a' + 10);
        else
            return false;
    }
    *ret = x;
    return true;
}

static void append_utf8(struct buf *out, uint32_t point)
{
    uint8_t s[4];
    size_t n = point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    static const uint8_t lead[] = { 0, 0, 0xC0, 0xE0, 0xF0 };
    for (size_t i = n; i-- > 1; point >>= 6)
        s[i] = (uint8_t)(0x80 | (point & 0x3F));
    s[0] = (uint8_t)(lead[n] | point);
    append(out, s, n);
}

static err_t take_escape(struct reader *r, struct buf *out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (r->at == r->end)
        return fault(r, "the text ends in an escape");
    char c = (char)*r->at++;
    const char *known = c != '\0' ? strchr(from, c) : NULL;
    if (known != NULL) {
        append(out, &to[known - from], 1);
        return ERR_OK;
    }
    uint32_t point, low;
    if (c != 'u' || !take_hex4(r, &point))
        return fault(r, "no such escape");
    if (point >= 0xD800 && point <= 0xDBFF) {
        if (!take_word(r, "\\u") || !take_hex4(r, &low) || low < 0xDC00 || low > 0xDFFF)
            return fault(r, "half a surrogate pair");
        point = 0x10000 + ((point - 0xD800) << 10) + (low - 0xDC00);
    } else if (point >= 0xDC00 && point <= 0xDFFF) {
        return fault(r, "half a surrogate pair");
    }
    append_utf8(out, point);
    return ERR_OK;
}

/* Behind the opening quote. */
static err_t take_string(struct reader *r, struct buf *out)
{
    while (r->at < r->end && *r->at != '"') {
        if (*r->at < 0x20)
            return fault(r, "a control character in a string");
        if (*r->at == '\\') {
            r->at++;
            err_t rc = take_escape(r, out);
            if (rc != ERR_OK)
                return rc;
            continue;
        }
        size_t n = utf8_next(bytes_from(r->at, (size_t)(r->end - r->at)));
        if (n == 0)
            return fault(r, "not UTF-8");
        append(out, r->at, n);
        r->at += n;
    }
    if (r->at == r->end)
        return fault(r, "a string without its end");
    r->at++;
    return ERR_OK;
}

static size_t take_digits(struct reader *r)
{
    size_t n = 0;
    for (; r->at < r->end && *r->at >= '0' && *r->at <= '9'; r->at++)
        n++;
    return n;
}

static err_t take_number(struct reader *r, struct value *ret)
{
    const uint8_t *from = r->at;
    char text[64];
    take_word(r, "-");
    bool zero = r->at < r->end && *r->at == '0', whole = true;
    size_t digits = take_digits(r);
    if (digits == 0 || (zero && digits > 1))
        return fault(r, "no value begins like this");
    if (take_word(r, ".")) {
        whole = false;
        if (take_digits(r) == 0)
            return fault(r, "no digit behind the point");
    }
    if (take_word(r, "e") || take_word(r, "E")) {
        whole = false;
        if (!take_word(r, "+"))
            take_word(r, "-");
        if (take_digits(r) == 0)
            return fault(r, "no digit in the exponent");
    }
    size_t len = (size_t)(r->at - from);
    if (len >= sizeof text)
        return too_large(r, "digits of a number", sizeof text - 1);
    memcpy(text, from, len);
    text[len] = '\0';
    uint64_t u;
    /* By its digits, since a double would round: 2^53 + 1 is none. */
    if (whole && units_decimal(bytes_from(text, len), &u) && u > (uint64_t)WHOLE_MAX) {
        value_put_u64(ret, u);
        return ERR_OK;
    }
    double x = strtod(text, NULL);
    if (!isfinite(x))
        return fault(r, "a number beyond the range of a double");
    value_put_number(ret, x);
    return ERR_OK;
}

/* {"base64": "..."} is how bytes that are no text travel. */
static void fold_base64(struct value *v)
{
    struct buf raw = { 0 };
    if (v->count != 1 || v->items[0].kind != VALUE_BYTES ||
        !bytes_equal(buf_bytes(&v->keys[0]), BYTES("base64")))
        return;
    if (base64_decode(buf_bytes(&v->items[0].bytes), &raw) == ERR_OK)
        value_put_bytes(v, buf_bytes(&raw));
    buf_free(&raw);
}

static err_t take_value(struct reader *r, struct value *ret, int depth);

static err_t take_list(struct reader *r, struct value *ret, int depth)
{
    value_put_list(ret);
    if (take(r, ']'))
        return ERR_OK;
    do {
        err_t rc = take_value(r, value_add(ret), depth + 1);
        if (rc != ERR_OK)
            return rc;
    } while (take(r, ','));
    return take(r, ']') ? ERR_OK : fault(r, "a list goes on with \",\" or ends with \"]\"");
}

static err_t take_member(struct reader *r, struct value *map, int depth)
{
    struct buf key = { 0 };
    if (!take(r, '"'))
        return fault(r, "a key must be a string");
    err_t rc = take_string(r, &key);
    size_t before = map->count;
    if (rc == ERR_OK && before == VALUE_KEYS_MAX)
        rc = too_large(r, "keys of an object", VALUE_KEYS_MAX);
    if (rc == ERR_OK && !take(r, ':'))
        rc = fault(r, "no \":\" behind a key");
    if (rc == ERR_OK) {
        struct value *to = value_set_bytes(map, buf_bytes(&key));
        rc = map->count == before ? fault(r, "a key occurs twice") : take_value(r, to, depth + 1);
    }
    buf_free(&key);
    return rc;
}

static err_t take_map(struct reader *r, struct value *ret, int depth)
{
    value_put_map(ret);
    if (take(r, '}'))
        return ERR_OK;
    do {
        err_t rc = take_member(r, ret, depth);
        if (rc != ERR_OK)
            return rc;
    } while (take(r, ','));
    if (!take(r, '}'))
        return fault(r, "an object goes on with \",\" or ends with \"}\"");
    fold_base64(ret);
    return ERR_OK;
}

static err_t take_value(struct reader *r, struct value *ret, int depth)
{
    if (depth > VALUE_DEPTH_MAX)
        return too_large(r, "levels", VALUE_DEPTH_MAX);
    if (++r->items > VALUE_ITEMS_MAX)
        return too_large(r, "values", VALUE_ITEMS_MAX);
    if (take(r, '{'))
        return take_map(r, ret, depth);
    if (take(r, '['))
        return take_list(r, ret, depth);
    if (take(r, '"')) {
        struct buf text = { 0 };
        err_t rc = take_string(r, &text);
        if (rc == ERR_OK)
            value_put_bytes(ret, buf_bytes(&text));
        buf_free(&text);
        return rc;
    }
    if (take_word(r, "null"))
        value_put_nil(ret);
    else if (take_word(r, "true"))
        value_put_bool(ret, true);
    else if (take_word(r, "false"))
        value_put_bool(ret, false);
    else
        return take_number(r, ret);
    return ERR_OK;
}

err_t value_from_json(struct bytes text, struct value **ret, struct err *e)
{
    struct reader r = { text.data, text.data, text.data + text.len, 0, e };
    if (text.len > VALUE_TEXT_MAX)
        return too_large(&r, "bytes of text", VALUE_TEXT_MAX);
    struct value *v = value_new(VALUE_NIL);
    err_t rc = take_value(&r, v, 0);
    skip_space(&r);
    if (rc == ERR_OK && r.at != r.end)
        rc = fault(&r, "text behind the end of the value");
    if (rc == ERR_OK)
        *ret = v;
    else
        value_free(v);
    return rc;
}
