/* find, match, gmatch, gsub: Lua 5.1's patterns (reference manual 5.4.1), matched by our own engine.
 *
 * Backtracking can take exponential time, and the library's matcher cannot be stopped. This one pays an instruction
 * for every step, so a hostile pattern ends as a hostile loop does. Strings that it borrows stay on Lua's stack. */
#include "sandbox.h"

#include <ctype.h>

enum {
    CAPTURES = 32,
    DEPTH = 180,   /* nested choices; each is a C frame */
    OPEN = -1,     /* length of a capture that has no end yet */
    POSITION = -2, /* "()": a capture that is a place */
    STEPS = 64,    /* paid for together */
};

struct matcher {
    lua_State *L;
    const char *begin, *end; /* the subject */
    const char *pattern_end;
    int depth, steps, captures;
    struct {
        const char *at;
        ptrdiff_t len;
    } capture[CAPTURES];
};

static void step(struct matcher *m)
{
    if (++m->steps == STEPS) {
        m->steps = 0;
        script_state_charge(m->L, STEPS);
    }
}

/* ---- One item of a pattern ----------------------------------------------------------------- */

/* `p` is behind "[": answers where the set ends (behind "]"). */
static const char *set_end(struct matcher *m, const char *p)
{
    if (p < m->pattern_end && *p == '^')
        p++;
    do { /* a "]" in the first place is itself */
        if (p < m->pattern_end && *p == '%')
            p++;
        if (p >= m->pattern_end)
            luaL_error(m->L, "malformed pattern: a set without \"]\"");
        p++;
    } while (p >= m->pattern_end || *p != ']');
    return p + 1;
}

static const char *item_end(struct matcher *m, const char *p)
{
    if (*p == '[')
        return set_end(m, p + 1);
    if (*p != '%')
        return p + 1;
    if (p + 1 >= m->pattern_end)
        luaL_error(m->L, "malformed pattern: it ends with \"%%\"");
    return p + 2;
}

static bool in_class(unsigned char c, char name)
{
    bool is;
    switch (name | 0x20) {
    case 'a':
        is = isalpha(c);
        break;
    case 'c':
        is = iscntrl(c);
        break;
    case 'd':
        is = isdigit(c);
        break;
    case 'l':
        is = islower(c);
        break;
    case 'p':
        is = ispunct(c);
        break;
    case 's':
        is = isspace(c);
        break;
    case 'u':
        is = isupper(c);
        break;
    case 'w':
        is = isalnum(c);
        break;
    case 'x':
        is = isxdigit(c);
        break;
    case 'z':
        is = c == 0;
        break;
    default:
        return name == (char)c;
    }
    return (name & 0x20) != 0 ? is : !is;
}

/* The set from `p` (behind "[") to `end` (at "]"). */
static bool in_set(struct matcher *m, unsigned char c, const char *p, const char *end)
{
    bool inverted = *p == '^';
    for (p += inverted; p < end; p++) {
        step(m);
        if (*p == '%' && p + 1 < end) {
            if (in_class(c, *++p))
                return !inverted;
        } else if (p + 2 < end && p[1] == '-') {
            if ((unsigned char)p[0] <= c && c <= (unsigned char)p[2])
                return !inverted;
            p += 2;
        } else if ((unsigned char)*p == c) {
            return !inverted;
        }
    }
    return inverted;
}

/* Does the character at `s` match the single item [p, end)? */
static bool single(struct matcher *m, const char *s, const char *p, const char *end)
{
    step(m);
    if (s >= m->end)
        return false;
    unsigned char c = (unsigned char)*s;
    switch (*p) {
    case '.':
        return true;
    case '%':
        return isalpha((unsigned char)p[1]) ? in_class(c, p[1]) : p[1] == (char)c;
    case '[':
        return in_set(m, c, p + 1, end - 1);
    default:
        return *p == (char)c;
    }
}

/* ---- Matching ------------------------------------------------------------------------------ */

static const char *match(struct matcher *m, const char *s, const char *p);

static const char *longest(struct matcher *m, const char *s, const char *p, const char *end)
{
    ptrdiff_t n = 0;
    while (single(m, s + n, p, end))
        n++;
    for (; n >= 0; n--) {
        const char *rest = match(m, s + n, end + 1);
        if (rest != NULL)
            return rest;
    }
    return NULL;
}

static const char *shortest(struct matcher *m, const char *s, const char *p, const char *end)
{
    for (;; s++) {
        const char *rest = match(m, s, end + 1);
        if (rest != NULL)
            return rest;
        if (!single(m, s, p, end))
            return NULL;
    }
}

static const char *begin_capture(struct matcher *m, const char *s, const char *p)
{
    bool position = p < m->pattern_end && *p == ')';
    if (m->captures == CAPTURES)
        luaL_error(m->L, "a pattern with more than %d captures", CAPTURES);
    m->capture[m->captures].at = s;
    m->capture[m->captures].len = position ? POSITION : OPEN;
    m->captures++;
    const char *rest = match(m, s, position ? p + 1 : p);
    if (rest == NULL)
        m->captures--;
    return rest;
}

static const char *end_capture(struct matcher *m, const char *s, const char *p)
{
    int i = m->captures - 1;
    while (i >= 0 && m->capture[i].len != OPEN)
        i--;
    if (i < 0)
        luaL_error(m->L, "malformed pattern: \")\" without \"(\"");
    m->capture[i].len = s - m->capture[i].at;
    const char *rest = match(m, s, p);
    if (rest == NULL)
        m->capture[i].len = OPEN;
    return rest;
}

/* "%b()": a balanced piece; answers its end. */
static const char *balanced(struct matcher *m, const char *s, const char *p)
{
    if (p + 1 >= m->pattern_end)
        luaL_error(m->L, "malformed pattern: \"%%b\" wants two characters");
    if (s >= m->end || *s != p[0])
        return NULL;
    size_t open = 1;
    for (const char *at = s + 1; at < m->end; at++) {
        step(m);
        if (*at == p[1]) {
            if (--open == 0)
                return at + 1;
        } else if (*at == p[0]) {
            open++;
        }
    }
    return NULL;
}

/* "%f[set]": between a character outside of the set and one inside; the ends of the subject count as \0. */
static bool frontier(struct matcher *m, const char *s, const char *set, const char *end)
{
    unsigned char before = s == m->begin ? 0 : (unsigned char)s[-1];
    unsigned char after = s == m->end ? 0 : (unsigned char)*s;
    return !in_set(m, before, set, end) && in_set(m, after, set, end);
}

/* "%1": what a capture took, again. */
static const char *again(struct matcher *m, const char *s, char digit)
{
    int i = digit - '1';
    if (i < 0 || i >= m->captures || m->capture[i].len == OPEN)
        luaL_error(m->L, "malformed pattern: no such capture as %%%c", digit);
    ptrdiff_t len = m->capture[i].len == POSITION ? 0 : m->capture[i].len;
    script_state_charge_bytes(m->L, (size_t)len);
    bool same = m->end - s >= len && memcmp(m->capture[i].at, s, (size_t)len) == 0;
    return same ? s + len : NULL;
}

/* The rest of the pattern from `p` against the subject from `s`: where the match ends, or NULL. */
static const char *match_rest(struct matcher *m, const char *s, const char *p)
{
    while (p < m->pattern_end) {
        step(m);
        if (*p == '(')
            return begin_capture(m, s, p + 1);
        if (*p == ')')
            return end_capture(m, s, p + 1);
        if (*p == '$' && p + 1 == m->pattern_end)
            return s == m->end ? s : NULL;
        if (*p == '%' && p + 1 < m->pattern_end && p[1] == 'b') {
            if ((s = balanced(m, s, p + 2)) == NULL)
                return NULL;
            p += 4;
            continue;
        }
        if (*p == '%' && p + 1 < m->pattern_end && p[1] == 'f') {
            if (p + 2 >= m->pattern_end || p[2] != '[')
                luaL_error(m->L, "malformed pattern: \"%%f\" wants a set");
            const char *end = set_end(m, p + 3);
            if (!frontier(m, s, p + 3, end - 1))
                return NULL;
            p = end;
            continue;
        }
        if (*p == '%' && p + 1 < m->pattern_end && isdigit((unsigned char)p[1])) {
            if ((s = again(m, s, p[1])) == NULL)
                return NULL;
            p += 2;
            continue;
        }
        const char *end = item_end(m, p);
        char suffix = end < m->pattern_end ? *end : '\0';
        if (suffix == '*')
            return longest(m, s, p, end);
        if (suffix == '+')
            return single(m, s, p, end) ? longest(m, s + 1, p, end) : NULL;
        if (suffix == '-')
            return shortest(m, s, p, end);
        bool one = single(m, s, p, end);
        if (suffix == '?') {
            const char *rest = one ? match(m, s + 1, end + 1) : NULL;
            if (rest != NULL)
                return rest;
            p = end + 1;
            continue;
        }
        if (!one)
            return NULL;
        s++;
        p = end;
    }
    return s;
}

static const char *match(struct matcher *m, const char *s, const char *p)
{
    if (++m->depth > DEPTH)
        luaL_error(m->L, "the pattern is too complex");
    const char *rest = match_rest(m, s, p);
    m->depth--;
    return rest;
}

static const char *match_at(struct matcher *m, const char *s, const char *p)
{
    m->depth = 0;
    m->captures = 0;
    return match(m, s, p);
}

/* ---- Captures as values -------------------------------------------------------------------- */

/* Pushes capture `i`, or the whole match if there are no captures at all and `i` is 0. */
static void push_capture(struct matcher *m, int i, const char *s, const char *end)
{
    if (i >= m->captures) {
        if (i != 0)
            luaL_error(m->L, "no such capture as %%%d", i + 1);
        lua_pushlstring(m->L, s, (size_t)(end - s));
        return;
    }
    ptrdiff_t len = m->capture[i].len;
    if (len == OPEN)
        luaL_error(m->L, "malformed pattern: a capture without \")\"");
    if (len == POSITION)
        lua_pushinteger(m->L, m->capture[i].at - m->begin + 1);
    else
        lua_pushlstring(m->L, m->capture[i].at, (size_t)len);
}

/* Pushes all captures; the whole match if there are none and `whole`. */
static int push_captures(struct matcher *m, const char *s, const char *end, bool whole)
{
    int n = m->captures == 0 && whole ? 1 : m->captures;
    luaL_checkstack(m->L, n, "too many captures");
    for (int i = 0; i < n; i++)
        push_capture(m, i, s, end);
    return n;
}

/* The subject at index 1, the pattern at index 2. */
static const char *matcher_open(struct matcher *m, lua_State *L, int subject, int pattern)
{
    size_t len, pattern_len;
    const char *s = luaL_checklstring(L, subject, &len),
               *p = luaL_checklstring(L, pattern, &pattern_len);
    *m = (struct matcher){ .L = L, .begin = s, .end = s + len, .pattern_end = p + pattern_len };
    return p;
}

/* ---- find, match --------------------------------------------------------------------------- */

static bool is_plain(const char *p, const char *end)
{
    for (; p < end; p++)
        if (strchr("^$*+?.([%-", *p) != NULL && *p != '\0')
            return false;
    return true;
}

static int find_plain(struct matcher *m, const char *from, const char *p)
{
    size_t len = (size_t)(m->pattern_end - p);
    script_state_charge(m->L, (uint64_t)(m->end - from) / 8);
    const char *at = len == 0 ? from : memmem(from, (size_t)(m->end - from), p, len);
    if (at == NULL) {
        lua_pushnil(m->L);
        return 1;
    }
    lua_pushinteger(m->L, at - m->begin + 1);
    lua_pushinteger(m->L, at - m->begin + (ptrdiff_t)len);
    return 2;
}

static int search(lua_State *L, bool find)
{
    struct matcher m;
    const char *p = matcher_open(&m, L, 1, 2);
    ptrdiff_t len = m.end - m.begin, init = luaL_optinteger(L, 3, 1);
    init = init < 0 ? len + init : init - 1;
    if (init < 0)
        init = 0;
    if (init > len)
        init = len; /* as Lua 5.1: a search behind the end looks at the end */
    const char *s = m.begin + init;
    if (find && (lua_toboolean(L, 4) || is_plain(p, m.pattern_end)))
        return find_plain(&m, s, p);
    bool anchored = p < m.pattern_end && *p == '^';
    p += anchored;
    do {
        const char *end = match_at(&m, s, p);
        if (end != NULL) {
            if (!find)
                return push_captures(&m, s, end, true);
            lua_pushinteger(L, s - m.begin + 1);
            lua_pushinteger(L, end - m.begin);
            return 2 + push_captures(&m, s, end, false);
        }
    } while (!anchored && s++ < m.end);
    lua_pushnil(L);
    return 1;
}

static int l_find(lua_State *L)
{
    return search(L, true);
}

static int l_match(lua_State *L)
{
    return search(L, false);
}

/* ---- gmatch -------------------------------------------------------------------------------- */

/* Upvalues: subject, pattern, where to go on. */
static int next_match(lua_State *L)
{
    struct matcher m;
    const char *p = matcher_open(&m, L, lua_upvalueindex(1), lua_upvalueindex(2));
    for (const char *s = m.begin + lua_tointeger(L, lua_upvalueindex(3)); s <= m.end; s++) {
        const char *end = match_at(&m, s, p);
        if (end == NULL)
            continue;
        lua_pushinteger(L, end - m.begin + (end == s)); /* an empty match goes on by one */
        lua_replace(L, lua_upvalueindex(3));
        return push_captures(&m, s, end, true);
    }
    return 0;
}

static int l_gmatch(lua_State *L)
{
    luaL_checkstring(L, 1);
    luaL_checkstring(L, 2);
    lua_settop(L, 2);
    lua_pushinteger(L, 0);
    lua_pushcclosure(L, next_match, 3);
    return 1;
}

/* ---- gsub ---------------------------------------------------------------------------------- */

static void add_template(struct matcher *m, luaL_Buffer *out, const char *s, const char *end)
{
    size_t len;
    const char *t = lua_tolstring(m->L, 3, &len);
    script_state_charge_bytes(m->L, len);
    for (size_t i = 0; i < len; i++) {
        if (t[i] != '%') {
            luaL_addchar(out, t[i]);
            continue;
        }
        i++;
        if (i < len && t[i] == '0')
            luaL_addlstring(out, s, (size_t)(end - s));
        else if (i < len && isdigit((unsigned char)t[i])) {
            push_capture(m, t[i] - '1', s, end);
            luaL_addvalue(out);
        } else if (i < len) {
            luaL_addchar(out, t[i]);
        }
    }
}

static void add_replacement(struct matcher *m, luaL_Buffer *out, const char *s, const char *end)
{
    lua_State *L = m->L;
    switch (lua_type(L, 3)) {
    case LUA_TFUNCTION:
        lua_pushvalue(L, 3);
        lua_call(L, push_captures(m, s, end, true), 1);
        break;
    case LUA_TTABLE:
        push_capture(m, 0, s, end);
        lua_gettable(L, 3);
        break;
    default:
        add_template(m, out, s, end);
        return;
    }
    if (!lua_toboolean(L, -1)) {
        lua_pop(L, 1);
        lua_pushlstring(L, s, (size_t)(end - s));
    } else if (!lua_isstring(L, -1)) {
        luaL_error(L, "a replacement is a string, not a %s", luaL_typename(L, -1));
    }
    luaL_addvalue(out);
}

static int l_gsub(lua_State *L)
{
    struct matcher m;
    luaL_Buffer out;
    const char *p = matcher_open(&m, L, 1, 2);
    int type = lua_type(L, 3);
    luaL_argcheck(L,
                  type == LUA_TNUMBER || type == LUA_TSTRING || type == LUA_TFUNCTION ||
                      type == LUA_TTABLE,
                  3, "a string, function or table is expected");
    if (type == LUA_TNUMBER) /* converted once, in its place */
        lua_tostring(L, 3);
    lua_Number max = luaL_optnumber(L, 4, (lua_Number)(m.end - m.begin + 1));
    script_state_descend(L);
    script_state_charge_bytes(L, (size_t)(m.end - m.begin));
    bool anchored = p < m.pattern_end && *p == '^';
    p += anchored;
    int count = 0;
    const char *s = m.begin;
    luaL_buffinit(L, &out);
    while (count < max) {
        const char *end = match_at(&m, s, p);
        if (end != NULL) {
            count++;
            add_replacement(&m, &out, s, end);
        }
        if (end != NULL && end > s)
            s = end;
        else if (s < m.end)
            luaL_addchar(&out, *s++);
        else
            break;
        if (anchored)
            break;
    }
    luaL_addlstring(&out, s, (size_t)(m.end - s));
    luaL_pushresult(&out);
    lua_pushinteger(L, count);
    return 2;
}

void script_pattern_open(lua_State *L)
{
    static const luaL_Reg functions[] = {
        { "find", l_find }, { "match", l_match }, { "gmatch", l_gmatch }, { "gsub", l_gsub }
    };
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
        lua_pushcfunction(L, functions[i].func);
        lua_setfield(L, -2, functions[i].name);
    }
}
