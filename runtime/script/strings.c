/* The string library of scripts: bounded, paid for by length, free of addresses. Patterns are in pattern.c. */
#include "sandbox.h"

#include <ctype.h>
#include <stdio.h>

#include "u64.h"

/* ---- Functions over bytes ------------------------------------------------------------------ */

/* A position as Lua counts, from 1, negative from the end; answers 0 for one before the first byte. */
static size_t position(lua_Integer at, size_t len)
{
    if (at >= 0)
        return (size_t)at;
    return (size_t)-at > len ? 0 : len - (size_t)-at + 1;
}

static int l_len(lua_State *L)
{
    luaL_checkstring(L, 1);
    lua_pushinteger(L, (lua_Integer)lua_objlen(L, 1));
    return 1;
}

static int l_sub(lua_State *L)
{
    size_t len;
    const char *s = luaL_checklstring(L, 1, &len);
    size_t from = position(luaL_checkinteger(L, 2), len),
           to = position(luaL_optinteger(L, 3, -1), len);
    from = from < 1 ? 1 : from;
    to = to > len ? len : to;
    script_state_charge_bytes(L, from <= to ? to - from + 1 : 0);
    lua_pushlstring(L, from <= to ? s + from - 1 : "", from <= to ? to - from + 1 : 0);
    return 1;
}

static int l_byte(lua_State *L)
{
    size_t len;
    const char *s = luaL_checklstring(L, 1, &len);
    lua_Integer first = luaL_optinteger(L, 2, 1);
    size_t from = position(first, len), to = position(luaL_optinteger(L, 3, first), len);
    from = from < 1 ? 1 : from;
    to = to > len ? len : to;
    if (from > to)
        return 0;
    luaL_argcheck(L, to - from < 4096, 3, "at most 4096 bytes at once");
    luaL_checkstack(L, (int)(to - from + 1), "too many bytes");
    for (size_t i = from; i <= to; i++)
        lua_pushinteger(L, (unsigned char)s[i - 1]);
    return (int)(to - from + 1);
}

static int l_char(lua_State *L)
{
    luaL_Buffer out;
    int n = lua_gettop(L);
    luaL_buffinit(L, &out);
    for (int i = 1; i <= n; i++) {
        lua_Integer c = luaL_checkinteger(L, i);
        luaL_argcheck(L, c >= 0 && c <= 255, i, "a byte is 0 to 255");
        luaL_addchar(&out, (char)c);
    }
    luaL_pushresult(&out);
    return 1;
}

/* A result of `len` bytes must fit under the cap before anybody tries. */
static void expect_length(lua_State *L, uint64_t len)
{
    if (len > script_state_of(L)->memory_max / 2)
        luaL_error(L, "the resulting string would be too large (%.0f bytes)", (lua_Number)len);
    script_state_charge_bytes(L, len);
}

static int l_rep(lua_State *L)
{
    size_t len, gap_len;
    const char *s = luaL_checklstring(L, 1, &len);
    lua_Number n = luaL_checknumber(L, 2);
    const char *gap = luaL_optlstring(L, 3, "", &gap_len);
    uint64_t count = n >= 1 ? (n < 1e15 ? (uint64_t)n : (uint64_t)1e15) : 0;
    uint64_t total = 0;
    if (count > 0 && (__builtin_mul_overflow(count, (uint64_t)len + gap_len, &total)))
        total = UINT64_MAX;
    expect_length(L, total);
    script_state_charge(L, total > 0 ? count : 0);
    luaL_Buffer out;
    luaL_buffinit(L, &out);
    for (uint64_t i = 0; total > 0 && i < count; i++) {
        luaL_addlstring(&out, s, len);
        if (gap_len > 0 && i + 1 < count)
            luaL_addlstring(&out, gap, gap_len);
    }
    luaL_pushresult(&out);
    return 1;
}

static int each_byte(lua_State *L, int (*change)(int), bool backwards)
{
    size_t len;
    const char *s = luaL_checklstring(L, 1, &len);
    luaL_Buffer out;
    script_state_charge(L, len / 8);
    luaL_buffinit(L, &out);
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)s[backwards ? len - 1 - i : i];
        luaL_addchar(&out, (char)(change != NULL ? change(c) : c));
    }
    luaL_pushresult(&out);
    return 1;
}

static int l_lower(lua_State *L)
{
    return each_byte(L, tolower, false);
}

static int l_upper(lua_State *L)
{
    return each_byte(L, toupper, false);
}

static int l_reverse(lua_State *L)
{
    return each_byte(L, NULL, true);
}

/* ---- format -------------------------------------------------------------------------------- */

struct directive {
    char text[32]; /* "%-08.3" and room for a length modifier and the conversion */
    size_t len;
    char conversion;
    bool plain; /* no flags, width or precision */
};

/* `p` is behind "%"; answers behind the conversion. */
static const char *read_directive(lua_State *L, const char *p, const char *end, struct directive *d)
{
    size_t n = 0, digits;
    d->text[n++] = '%';
    while (p < end && *p != '\0' && strchr("-+ #0", *p) != NULL && n < 7)
        d->text[n++] = *p++;
    for (digits = 0; p < end && isdigit((unsigned char)*p) && digits < 2; digits++)
        d->text[n++] = *p++;
    if (p < end && *p == '.') {
        d->text[n++] = *p++;
        for (digits = 0; p < end && isdigit((unsigned char)*p) && digits < 2; digits++)
            d->text[n++] = *p++;
    }
    if (p >= end || isdigit((unsigned char)*p))
        luaL_error(
            L, "format: a width or precision has at most two digits, and a conversion follows it");
    d->plain = n == 1;
    d->len = n;
    d->conversion = *p;
    return p + 1;
}

static void add_printed(luaL_Buffer *out, const struct directive *d, const char *modifier, ...)
{
    char spec[48], text[512]; /* %99.99f of 1e308 has 409 bytes */
    va_list args;
    snprintf(spec, sizeof spec, "%.*s%s%c", (int)d->len, d->text, modifier, d->conversion);
    va_start(args, modifier);
    int n = vsnprintf(text, sizeof text, spec, args);
    va_end(args);
    luaL_addlstring(out, text, n < 0 ? 0 : (size_t)n < sizeof text ? (size_t)n : sizeof text - 1);
}

static void add_integer(lua_State *L, luaL_Buffer *out, struct directive *d, int index)
{
    uint64_t x;
    if (script_u64_is(L, index, &x)) {
        if (d->conversion == 'd' || d->conversion == 'i')
            d->conversion = 'u';
        add_printed(out, d, "ll", (unsigned long long)x);
        return;
    }
    lua_Number number = luaL_checknumber(L, index);
    luaL_argcheck(L, number >= -9223372036854775808.0 && number < 9223372036854775808.0, index,
                  "a number within 64 bits is expected");
    add_printed(out, d, "ll", (long long)number);
}

static void add_quoted(lua_State *L, luaL_Buffer *out, int index)
{
    size_t len;
    const char *s = luaL_checklstring(L, index, &len);
    luaL_addchar(out, '"');
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)s[i];
        char escape[8];
        if (c == '"' || c == '\\')
            snprintf(escape, sizeof escape, "\\%c", c);
        else if (c == '\n')
            snprintf(escape, sizeof escape, "\\n");
        else if (c < 0x20 || c == 0x7F)
            snprintf(escape, sizeof escape, "\\%03u", c);
        else
            snprintf(escape, sizeof escape, "%c", c);
        luaL_addstring(out, escape);
    }
    luaL_addchar(out, '"');
}

/* The text of the value at `index`, already converted to a string there. */
static void add_text(lua_State *L, luaL_Buffer *out, const struct directive *d, int index)
{
    size_t len;
    const char *s = lua_tolstring(L, index, &len);
    script_state_charge_bytes(L, len);
    if (d->plain || len >= 100)
        luaL_addlstring(out, s, len);
    else
        add_printed(out, d, "", s);
}

static int l_format(lua_State *L)
{
    size_t len;
    const char *p = luaL_checklstring(L, 1, &len), *end = p + len;
    int top = lua_gettop(L), index = 1;
    luaL_Buffer out;
    script_state_charge_bytes(L, len);
    /* What "%s" will want is made text first: __tostring is Lua, and must not run amid a luaL_Buffer. */
    for (int i = 2; i <= top; i++)
        if (lua_type(L, i) != LUA_TNUMBER && lua_type(L, i) != LUA_TSTRING) {
            uint64_t x;
            if (script_u64_is(L, i, &x))
                continue;
            script_sandbox_tostring(L, i);
            lua_replace(L, i);
        }
    luaL_buffinit(L, &out);
    while (p < end) {
        if (*p != '%') {
            luaL_addchar(&out, *p++);
            continue;
        }
        if (++p < end && *p == '%') {
            luaL_addchar(&out, *p++);
            continue;
        }
        struct directive d;
        uint64_t x;
        p = read_directive(L, p, end, &d);
        if (++index > top)
            return luaL_argerror(L, index, "no value for this conversion");
        switch (d.conversion) {
        case 'c':
            luaL_addchar(&out, (char)luaL_checkinteger(L, index));
            break;
        case 'd':
        case 'i':
        case 'u':
        case 'o':
        case 'x':
        case 'X':
            add_integer(L, &out, &d, index);
            break;
        case 'e':
        case 'E':
        case 'f':
        case 'g':
        case 'G':
            add_printed(&out, &d, "", luaL_checknumber(L, index));
            break;
        case 'q':
            add_quoted(L, &out, index);
            break;
        case 's':
            if (script_u64_is(L, index, &x)) {
                d.conversion = 'u';
                add_printed(&out, &d, "ll", (unsigned long long)x);
            } else {
                add_text(L, &out, &d, index);
            }
            break;
        default:
            return luaL_error(L, "format: no such conversion as %%%c", d.conversion);
        }
    }
    luaL_pushresult(&out);
    return 1;
}

/* ---- Opening ------------------------------------------------------------------------------- */

void script_strings_open(lua_State *L)
{
    static const luaL_Reg functions[] = { { "len", l_len },      { "sub", l_sub },
                                          { "byte", l_byte },    { "char", l_char },
                                          { "rep", l_rep },      { "lower", l_lower },
                                          { "upper", l_upper },  { "reverse", l_reverse },
                                          { "format", l_format } };
    lua_newtable(L);
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
        lua_pushcfunction(L, functions[i].func);
        lua_setfield(L, -2, functions[i].name);
    }
    script_pattern_open(L);
    /* ("x"):rep(3) finds these same functions; the metatable itself cannot be had. */
    lua_pushliteral(L, "");
    lua_newtable(L);
    lua_pushvalue(L, -3);
    lua_setfield(L, -2, "__index");
    lua_pushliteral(L, "locked");
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, -2);
    lua_pop(L, 1);
    lua_setfield(L, -2, "string");
}
