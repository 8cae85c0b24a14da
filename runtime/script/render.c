#include "render.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { CELL_MAX = 64, VALUE_MAX = 240, COLUMNS_MAX = 24 }; /* bytes of a cell, of a map's value */

struct out {
    struct buf *to;
    err_t rc;
};

static void put(struct out *o, struct bytes b)
{
    if (o->rc == ERR_OK)
        o->rc = buf_append(o->to, b);
}

static void put_text(struct out *o, const char *text)
{
    put(o, BYTES(text));
}

static void put_spaces(struct out *o, size_t n)
{
    for (size_t i = 0; i < n; i++)
        put_text(o, " ");
}

/* ---- Lua literals -------------------------------------------------------------------------- */

static void put_quoted(struct out *o, struct bytes s)
{
    char text[8];
    put_text(o, "'");
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.data[i];
        if (c == '\'' || c == '\\')
            snprintf(text, sizeof text, "\\%c", c);
        else if (c == '\n')
            snprintf(text, sizeof text, "\\n");
        else if (c < 0x20 || c >= 0x7F)
            snprintf(text, sizeof text, "\\%03u", c);
        else
            snprintf(text, sizeof text, "%c", c);
        put_text(o, text);
    }
    put_text(o, "'");
}

static void put_number(struct out *o, double x)
{
    char text[40];
    if (isnan(x))
        snprintf(text, sizeof text, "0/0");
    else if (isinf(x))
        snprintf(text, sizeof text, "%smath.huge", x < 0 ? "-" : "");
    else if (x == floor(x) && fabs(x) < 1e15)
        snprintf(text, sizeof text, "%.0f", x == 0 ? 0.0 : x);
    else
        for (int digits = 14; digits <= 17; digits++) {
            snprintf(text, sizeof text, "%.*g", digits, x);
            if (strtod(text, NULL) == x)
                break;
        }
    put_text(o, text);
}

static bool is_name(struct bytes s)
{
    bool name = s.len > 0 && !isdigit(s.data[0]);
    for (size_t i = 0; i < s.len && name; i++)
        name = isalnum(s.data[i]) || s.data[i] == '_';
    return name;
}

static void put_lua(struct out *o, const struct value *v, size_t depth)
{
    char text[32];
    switch (v->kind) {
    case VALUE_NIL:
        put_text(o, "nil");
        return;
    case VALUE_BOOL:
        put_text(o, v->boolean ? "true" : "false");
        return;
    case VALUE_NUMBER:
        put_number(o, v->number);
        return;
    case VALUE_U64:
        snprintf(text, sizeof text, "u64('%llu')", (unsigned long long)v->u64);
        put_text(o, text);
        return;
    case VALUE_BYTES:
        put_quoted(o, buf_bytes(&v->bytes));
        return;
    case VALUE_LIST:
    case VALUE_MAP:
        break;
    }
    if (v->count == 0) {
        put_text(o, "{}");
        return;
    }
    put_text(o, "{\n");
    for (size_t i = 0; i < v->count; i++) {
        put_spaces(o, 2 * depth + 2);
        if (v->keys != NULL && is_name(buf_bytes(&v->keys[i]))) {
            put(o, buf_bytes(&v->keys[i]));
            put_text(o, " = ");
        } else if (v->keys != NULL) {
            put_text(o, "[");
            put_quoted(o, buf_bytes(&v->keys[i]));
            put_text(o, "] = ");
        }
        put_lua(o, &v->items[i], depth + 1);
        put_text(o, ",\n");
    }
    put_spaces(o, 2 * depth);
    put_text(o, "}");
}

/* ---- Tables -------------------------------------------------------------------------------- */

/* Text for a terminal: printable as it is, UTF-8 as it is, the rest as \xNN. `line_ends` may stay. */
static void put_plain(struct out *o, struct bytes s, bool line_ends)
{
    char text[8];
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.data[i];
        if ((c >= 0x20 && c != 0x7F) || (line_ends && (c == '\n' || c == '\t')))
            put(o, bytes_from(&c, 1));
        else {
            snprintf(text, sizeof text, "\\x%02x", c);
            put_text(o, text);
        }
    }
}

/* The text of `v` on one line of at most `max` bytes; inner tables in short. */
static struct buf cell_of(const struct value *v, size_t max)
{
    struct buf cell = { 0 };
    struct out o = { &cell, ERR_OK };
    char text[32];
    switch (v == NULL ? VALUE_NIL : v->kind) {
    case VALUE_NIL:
        put_text(&o, "-");
        break;
    case VALUE_BYTES:
        put_plain(&o, buf_bytes(&v->bytes), false);
        break;
    case VALUE_U64:
        snprintf(text, sizeof text, "%llu", (unsigned long long)v->u64);
        put_text(&o, text);
        break;
    case VALUE_LIST:
    case VALUE_MAP:
        if (value_to_json(v, false, &cell) != ERR_OK)
            put_text(&o, "...");
        break;
    default:
        put_lua(&o, v, 0);
    }
    if (cell.len > max) {
        cell.len = max - 3;
        while (cell.len > 0 && (cell.data[cell.len] & 0xC0) == 0x80) /* not amid a character */
            cell.len--;
        put_text(&o, "...");
    }
    if (o.rc != ERR_OK)
        abort();
    return cell;
}

/* Columns on the screen: characters, not bytes. */
static size_t width_of(struct bytes s)
{
    size_t width = 0;
    for (size_t i = 0; i < s.len; i++)
        width += (s.data[i] & 0xC0) != 0x80;
    return width;
}

static bool is_scalar(const struct value *v)
{
    return v->kind != VALUE_LIST && v->kind != VALUE_MAP;
}

static bool is_right_aligned(const struct value *v)
{
    return v != NULL && (v->kind == VALUE_NUMBER || v->kind == VALUE_U64);
}

/* A list of maps: the columns are all keys, in the order in which they occur. */
static bool columns_of(const struct value *list, struct bytes *columns, size_t *count)
{
    *count = 0;
    for (size_t i = 0; i < list->count; i++) {
        const struct value *row = &list->items[i];
        if (row->kind != VALUE_MAP)
            return false;
        for (size_t k = 0; k < row->count; k++) {
            size_t c = 0;
            while (c < *count && !bytes_equal(columns[c], buf_bytes(&row->keys[k])))
                c++;
            if (c == COLUMNS_MAX)
                return false;
            if (c == *count)
                columns[(*count)++] = buf_bytes(&row->keys[k]);
        }
    }
    return *count > 0;
}

static const struct value *item_of(const struct value *row, struct bytes key)
{
    for (size_t i = 0; i < row->count; i++)
        if (bytes_equal(buf_bytes(&row->keys[i]), key))
            return &row->items[i];
    return NULL;
}

static void put_cell(struct out *o, struct bytes cell, size_t width, bool right, bool last)
{
    size_t pad = width - width_of(cell);
    if (right)
        put_spaces(o, pad);
    put(o, cell);
    if (!right && !last)
        put_spaces(o, pad);
    put_text(o, last ? "" : "  ");
}

static void put_rows(struct out *o, const struct value *list, const struct bytes *columns,
                     size_t count)
{
    size_t widths[COLUMNS_MAX];
    bool right[COLUMNS_MAX];
    for (size_t c = 0; c < count; c++) {
        widths[c] = width_of(columns[c]);
        right[c] = true;
        for (size_t i = 0; i < list->count; i++) {
            const struct value *v = item_of(&list->items[i], columns[c]);
            struct buf cell = cell_of(v, CELL_MAX);
            size_t width = width_of(buf_bytes(&cell));
            widths[c] = width > widths[c] ? width : widths[c];
            right[c] = right[c] && (v == NULL || is_right_aligned(v));
            buf_free(&cell);
        }
    }
    for (size_t c = 0; c < count; c++)
        put_cell(o, columns[c], widths[c], right[c], c + 1 == count);
    for (size_t i = 0; i < list->count; i++) {
        put_text(o, "\n");
        for (size_t c = 0; c < count; c++) {
            struct buf cell = cell_of(item_of(&list->items[i], columns[c]), CELL_MAX);
            put_cell(o, buf_bytes(&cell), widths[c], right[c], c + 1 == count);
            buf_free(&cell);
        }
    }
}

static void put_table(struct out *o, const struct value *v, size_t depth);

/* Text of several lines: it gets lines of its own. */
static bool is_block(const struct value *v)
{
    return v->kind == VALUE_BYTES && v->bytes.len > 0 &&
           memchr(v->bytes.data, '\n', v->bytes.len) != NULL;
}

/* Moves a block that begins each line at the margin to the right. */
static void put_indented(struct out *o, struct bytes block, size_t depth)
{
    for (size_t i = 0; i < block.len; i++) {
        if (i == 0 || block.data[i - 1] == '\n')
            put_spaces(o, 2 * depth);
        put(o, bytes_from(block.data + i, 1));
    }
}

static void put_block(struct out *o, const struct value *v, size_t depth)
{
    struct buf block = { 0 };
    struct out inner = { &block, ERR_OK };
    put_plain(&inner, buf_bytes(&v->bytes), true);
    put_indented(o, buf_bytes(&block), depth);
    buf_free(&block);
    o->rc = o->rc == ERR_OK ? inner.rc : o->rc;
}

static void put_map(struct out *o, const struct value *v, size_t depth)
{
    size_t width = 0;
    for (size_t i = 0; i < v->count; i++) {
        size_t w = width_of(buf_bytes(&v->keys[i]));
        width = w > width && is_scalar(&v->items[i]) ? w : width;
    }
    for (size_t i = 0; i < v->count; i++) {
        const struct value *item = &v->items[i];
        if (i > 0)
            put_text(o, "\n");
        put_spaces(o, 2 * depth);
        put(o, buf_bytes(&v->keys[i]));
        if (is_block(item)) {
            put_text(o, "\n");
            put_block(o, item, depth + 1);
        } else if (is_scalar(item)) {
            struct buf cell = cell_of(item, VALUE_MAX);
            put_spaces(o, width - width_of(buf_bytes(&v->keys[i])) + 2);
            put(o, buf_bytes(&cell));
            buf_free(&cell);
        } else if (item->count == 0) {
            put_text(o, "  (none)");
        } else {
            put_text(o, "\n");
            put_table(o, item, depth + 1);
        }
    }
}

static void put_list(struct out *o, const struct value *v, size_t depth)
{
    for (size_t i = 0; i < v->count; i++) {
        struct buf cell = cell_of(&v->items[i], VALUE_MAX);
        if (i > 0)
            put_text(o, "\n");
        put_spaces(o, 2 * depth);
        put(o, buf_bytes(&cell));
        buf_free(&cell);
    }
}

static void put_table(struct out *o, const struct value *v, size_t depth)
{
    struct bytes columns[COLUMNS_MAX];
    size_t count;
    if (v->kind == VALUE_LIST && columns_of(v, columns, &count)) {
        struct buf block = { 0 };
        struct out inner = { &block, ERR_OK };
        put_rows(&inner, v, columns, count);
        put_indented(o, buf_bytes(&block), depth);
        buf_free(&block);
        if (inner.rc != ERR_OK)
            o->rc = inner.rc;
    } else if (v->kind == VALUE_LIST && v->count > 0) {
        put_list(o, v, depth);
    } else if (v->kind == VALUE_MAP && v->count > 0) {
        put_map(o, v, depth);
    } else if (v->kind == VALUE_LIST || v->kind == VALUE_MAP) {
        put_text(o, "(none)");
    } else if (v->kind == VALUE_BYTES) {
        put_plain(o, buf_bytes(&v->bytes), true);
    } else if (v->kind == VALUE_U64) {
        struct buf cell = cell_of(v, VALUE_MAX);
        put(o, buf_bytes(&cell));
        buf_free(&cell);
    } else {
        put_lua(o, v, depth);
    }
}

err_t script_render(const struct value *v, const char *format, struct buf *ret)
{
    struct out o = { ret, ERR_OK };
    if (strcmp(format, "json") == 0)
        return value_to_json(v, true, ret);
    if (strcmp(format, "lua") == 0)
        put_lua(&o, v, 0);
    else
        put_table(&o, v, 0);
    return o.rc;
}
