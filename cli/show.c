/* Values as tables, JSON, Lua and raw bytes. */
#include "show.h"

#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

enum { PAGE_ROWS = 1000, COLUMNS_MAX = 16 };

static void must(err_t rc)
{
    if (rc != ERR_OK) {
        fprintf(stderr, "flotilla: out of memory\n");
        exit(CLI_FAILED);
    }
}

static void put(struct cli *cli, const struct buf *b)
{
    if (b->len > 0)
        fwrite(b->data, 1, b->len, cli->out);
}

/* ---- Lua ---------------------------------------------------------------------------------------------------- */

static void lua_string(struct bytes text, struct buf *out)
{
    must(buf_append(out, BYTES("\"")));
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        bool digit_follows = i + 1 < text.len && isdigit(text.data[i + 1]);
        if (c == '"' || c == '\\')
            must(buf_printf(out, "\\%c", c));
        else if (c == '\n')
            must(buf_append(out, BYTES("\\n")));
        else if (c < 32 || c == 127)
            must(buf_printf(out, digit_follows ? "\\%03u" : "\\%u", c));
        else
            must(buf_append(out, bytes_from(&c, 1)));
    }
    must(buf_append(out, BYTES("\"")));
}

static bool is_name(struct bytes text)
{
    static const char *const words[] = {
        "and",      "break",  "do",   "else", "elseif", "end",   "false", "for",
        "function", "goto",   "if",   "in",   "local",  "nil",   "not",   "or",
        "repeat",   "return", "then", "true", "until",  "while",
    };
    if (text.len == 0 || isdigit(text.data[0]))
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (!isalnum(text.data[i]) && text.data[i] != '_')
            return false;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (bytes_equal(text, BYTES(words[i])))
            return false;
    return true;
}

static void number(double x, struct buf *out)
{
    if (isnan(x))
        must(buf_append(out, BYTES("0/0")));
    else if (isinf(x))
        must(buf_append(out, BYTES(x > 0 ? "1/0" : "-1/0")));
    else if (x == floor(x) && fabs(x) < 1e15)
        must(buf_printf(out, "%.0f", x));
    else
        must(buf_printf(out, "%.17g", x));
}

void show_lua(const struct value *v, struct buf *out)
{
    switch (v->kind) {
    case VALUE_NIL:
        must(buf_append(out, BYTES("nil")));
        return;
    case VALUE_BOOL:
        must(buf_append(out, BYTES(v->boolean ? "true" : "false")));
        return;
    case VALUE_NUMBER:
        number(v->number, out);
        return;
    case VALUE_U64: /* LuaJIT's literal, where a double would lose digits */
        must(buf_printf(out, v->u64 > (1ull << 53) ? "%" PRIu64 "ULL" : "%" PRIu64, v->u64));
        return;
    case VALUE_BYTES:
        lua_string(buf_bytes(&v->bytes), out);
        return;
    case VALUE_LIST:
    case VALUE_MAP:
        break;
    }
    must(buf_append(out, BYTES(v->count > 0 ? "{ " : "{")));
    for (size_t i = 0; i < v->count; i++) {
        if (i > 0)
            must(buf_append(out, BYTES(", ")));
        if (v->kind == VALUE_MAP) {
            bool plain = is_name(buf_bytes(&v->keys[i]));
            must(buf_append(out, BYTES(plain ? "" : "[")));
            if (plain)
                must(buf_append(out, buf_bytes(&v->keys[i])));
            else
                lua_string(buf_bytes(&v->keys[i]), out);
            must(buf_append(out, BYTES(plain ? " = " : "] = ")));
        }
        show_lua(&v->items[i], out);
    }
    must(buf_append(out, BYTES(v->count > 0 ? " }" : "}")));
}

/* ---- Tables ------------------------------------------------------------------------------------------------- */

/* One cell, as the table or the raw row has it. */
static void cell(const struct value *v, enum cli_coding coding, size_t cut, bool raw,
                 struct buf *out)
{
    switch (v->kind) {
    case VALUE_NIL:
        must(buf_append(out, BYTES(raw ? "" : "-")));
        return;
    case VALUE_NUMBER:
        if (v->number == floor(v->number))
            number(v->number, out);
        else
            must(buf_printf(out, raw ? "%.17g" : "%.6g", v->number));
        return;
    case VALUE_BYTES:
        if (raw && coding == CLI_TEXT)
            must(buf_append(out, buf_bytes(&v->bytes)));
        else if (coding == CLI_TEXT)
            text_escape(buf_bytes(&v->bytes), cut, out);
        else
            text_encode(buf_bytes(&v->bytes), coding, out);
        return;
    case VALUE_LIST:
    case VALUE_MAP:
        must(value_to_json(v, false, out));
        return;
    case VALUE_U64:
        must(buf_printf(out, "%" PRIu64, v->u64));
        return;
    case VALUE_BOOL:
        show_lua(v, out);
        return;
    }
}

/* What comes from Lua is sorted by name. People look for what a row is about first, and for its prose last. */
static int rank(struct bytes name)
{
    static const char *const first[] = { "id", "name", "verb", "call", "key", "option" };
    static const char *const last[] = { "doc", "reason", "error", "value" };
    for (int i = 0; i < (int)(sizeof first / sizeof first[0]); i++)
        if (bytes_equal(name, BYTES(first[i])))
            return i - 100;
    for (int i = 0; i < (int)(sizeof last / sizeof last[0]); i++)
        if (bytes_equal(name, BYTES(last[i])))
            return i + 100;
    return 0;
}

/* The columns of a row in the order of their ranks; equal ones stay as they are. Answers how many. */
static size_t ordered(const struct value *row, size_t at[COLUMNS_MAX])
{
    size_t n = 0;
    for (size_t i = 0; i < row->count && n < COLUMNS_MAX; i++) {
        size_t k = n++;
        for (; k > 0 && rank(buf_bytes(&row->keys[at[k - 1]])) > rank(buf_bytes(&row->keys[i]));
             k--)
            at[k] = at[k - 1];
        at[k] = i;
    }
    return n;
}

static void pad(struct buf *line, size_t from, size_t width)
{
    size_t have = text_width(bytes_from(line->data + from, line->len - from));
    for (; have < width; have++)
        must(buf_append(line, BYTES(" ")));
}

static void table_line(struct cli *cli, const struct value *row, bool names, enum cli_coding coding,
                       size_t cut, const size_t *widths)
{
    struct buf line = { 0 };
    size_t at[COLUMNS_MAX], n = ordered(row, at);
    for (size_t i = 0; i < n; i++) {
        size_t from = line.len;
        if (names)
            text_escape(buf_bytes(&row->keys[at[i]]), 0, &line);
        else
            cell(&row->items[at[i]], coding, cut, false, &line);
        if (i + 1 < n) {
            pad(&line, from, widths[i]);
            must(buf_append(&line, BYTES("  ")));
        }
    }
    must(buf_append(&line, BYTES("\n")));
    put(cli, &line);
    buf_free(&line);
}

static void widen(const struct value *row, enum cli_coding coding, size_t cut, size_t *widths)
{
    size_t at[COLUMNS_MAX], n = ordered(row, at);
    for (size_t i = 0; i < n; i++) {
        struct buf b = { 0 };
        text_escape(buf_bytes(&row->keys[at[i]]), 0, &b);
        size_t name = text_width(buf_bytes(&b));
        buf_clear(&b);
        cell(&row->items[at[i]], coding, cut, false, &b);
        size_t width = text_width(buf_bytes(&b));
        buf_free(&b);
        widths[i] = width > widths[i] ? width : widths[i];
        widths[i] = name > widths[i] ? name : widths[i];
    }
}

static void table(struct cli *cli, const struct value *rows, bool header, enum cli_coding coding,
                  size_t cut, size_t *widths)
{
    for (size_t r = 0; r < rows->count; r++)
        if (rows->items[r].kind == VALUE_MAP)
            widen(&rows->items[r], coding, cut, widths);
    for (size_t r = 0; r < rows->count; r++) {
        const struct value *row = &rows->items[r];
        if (row->kind != VALUE_MAP) {
            struct buf b = { 0 };
            cell(row, coding, cut, false, &b);
            must(buf_append(&b, BYTES("\n")));
            put(cli, &b);
            buf_free(&b);
            continue;
        }
        if (header)
            table_line(cli, row, true, coding, cut, widths);
        header = false;
        table_line(cli, row, false, coding, cut, widths);
    }
}

/* A map: a line for each name; a table within it stands below its name. */
static void names_and_values(struct cli *cli, const struct value *map)
{
    size_t widest = 0;
    for (size_t i = 0; i < map->count; i++) {
        size_t width = text_width(buf_bytes(&map->keys[i]));
        widest = width > widest ? width : widest;
    }
    for (size_t i = 0; i < map->count; i++) {
        const struct value *v = &map->items[i];
        struct buf line = { 0 };
        text_escape(buf_bytes(&map->keys[i]), 0, &line);
        bool below = v->kind == VALUE_LIST && v->count > 0 && v->items[0].kind == VALUE_MAP;
        if (!below) {
            pad(&line, 0, widest);
            must(buf_append(&line, BYTES("  ")));
            cell(v, CLI_TEXT, 0, false, &line);
        }
        must(buf_append(&line, BYTES(below ? ":\n" : "\n")));
        put(cli, &line);
        buf_free(&line);
        size_t widths[COLUMNS_MAX] = { 0 };
        if (below)
            table(cli, v, true, CLI_TEXT, 120, widths);
    }
}

static void raw_row(struct cli *cli, const struct value *v, enum cli_coding coding)
{
    struct buf b = { 0 };
    if (v->kind == VALUE_MAP)
        for (size_t i = 0; i < v->count; i++) {
            must(buf_append(&b, BYTES(i > 0 ? "\t" : "")));
            cell(&v->items[i], coding, 0, true, &b);
        }
    else
        cell(v, coding, 0, true, &b);
    must(buf_append(&b, BYTES("\n")));
    put(cli, &b);
    buf_free(&b);
}

void show(struct cli *cli, const struct value *v)
{
    struct buf b = { 0 };
    size_t widths[COLUMNS_MAX] = { 0 };
    switch (cli->format) {
    case CLI_JSON:
        must(value_to_json(v, true, &b));
        must(buf_append(&b, BYTES("\n")));
        break;
    case CLI_LUA:
        show_lua(v, &b);
        must(buf_append(&b, BYTES("\n")));
        break;
    case CLI_RAW:
        if (v->kind == VALUE_LIST)
            for (size_t i = 0; i < v->count; i++)
                raw_row(cli, &v->items[i], CLI_TEXT);
        else
            raw_row(cli, v, CLI_TEXT);
        break;
    case CLI_TABLE:
        if (v->kind == VALUE_MAP) {
            names_and_values(cli, v);
        } else if (v->kind == VALUE_LIST) {
            table(cli, v, true, CLI_TEXT, 120, widths);
        } else if (v->kind != VALUE_NIL) {
            cell(v, CLI_TEXT, 0, false, &b);
            must(buf_append(&b, BYTES("\n")));
        }
        break;
    }
    put(cli, &b);
    buf_free(&b);
}

/* ---- Rows --------------------------------------------------------------------------------------------------- */

void show_rows_begin(struct show_rows *rows, struct cli *cli, enum cli_coding coding, size_t cut)
{
    *rows = (struct show_rows){ .cli = cli, .coding = coding, .cut = cut };
    value_put_list(&rows->page);
    if (cli->format == CLI_JSON)
        fputs("[", cli->out);
    else if (cli->format == CLI_LUA)
        fputs("{", cli->out);
}

/* Shows what is gathered: a page of a table, one row of the other formats. */
static void flush_page(struct show_rows *rows)
{
    struct cli *cli = rows->cli;
    size_t n = rows->page.count;
    if (n == 0)
        return;
    if (cli->format == CLI_TABLE) {
        table(cli, &rows->page, rows->count == n, rows->coding, rows->cut, rows->widths);
    } else if (cli->format == CLI_RAW) {
        raw_row(cli, &rows->page.items[0], rows->coding);
    } else {
        struct buf b = { 0 };
        must(buf_append(&b, BYTES(rows->count > 1 ? ",\n " : cli->format == CLI_LUA ? " " : "")));
        if (cli->format == CLI_LUA)
            show_lua(&rows->page.items[0], &b);
        else
            must(value_to_json(&rows->page.items[0], false, &b));
        put(cli, &b);
        buf_free(&b);
    }
    value_put_list(&rows->page);
}

struct value *show_rows_add(struct show_rows *rows)
{
    if (rows->cli->format != CLI_TABLE || rows->page.count == PAGE_ROWS)
        flush_page(rows);
    rows->count++;
    struct value *row = value_add(&rows->page);
    value_put_map(row);
    return row;
}

void show_rows_end(struct show_rows *rows)
{
    flush_page(rows);
    if (rows->cli->format == CLI_JSON)
        fputs("]\n", rows->cli->out);
    else if (rows->cli->format == CLI_LUA)
        fputs(rows->count > 0 ? " }\n" : "}\n", rows->cli->out);
    value_put_nil(&rows->page);
}
