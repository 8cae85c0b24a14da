/* The table library of scripts: paid for by size; a sort that is stable and safe with any comparator. */
#include "sandbox.h"

static int length(lua_State *L, int index)
{
    luaL_checktype(L, index, LUA_TTABLE);
    return (int)lua_objlen(L, index);
}

static int l_insert(lua_State *L)
{
    int n = length(L, 1), at = n + 1;
    luaL_argcheck(L, lua_gettop(L) == 2 || lua_gettop(L) == 3, 2,
                  "insert wants (table, [position,] value)");
    if (lua_gettop(L) == 3) {
        at = luaL_checkint(L, 2);
        luaL_argcheck(L, at >= 1 && at <= n + 1, 2, "the position is outside of the list");
        script_state_charge(L, (uint64_t)(n + 1 - at));
        for (int i = n + 1; i > at; i--) {
            lua_rawgeti(L, 1, i - 1);
            lua_rawseti(L, 1, i);
        }
    }
    lua_rawseti(L, 1, at);
    return 0;
}

static int l_remove(lua_State *L)
{
    int n = length(L, 1), at = luaL_optint(L, 2, n);
    if (n == 0 && lua_isnoneornil(L, 2))
        return 0;
    luaL_argcheck(L, at >= 1 && at <= n + 1, 2, "the position is outside of the list");
    script_state_charge(L, (uint64_t)(n >= at ? n - at : 0));
    lua_rawgeti(L, 1, at);
    for (int i = at; i < n; i++) {
        lua_rawgeti(L, 1, i + 1);
        lua_rawseti(L, 1, i);
    }
    if (at <= n) {
        lua_pushnil(L);
        lua_rawseti(L, 1, n);
    }
    return 1;
}

static int l_concat(lua_State *L)
{
    size_t gap_len;
    int n = length(L, 1);
    const char *gap = luaL_optlstring(L, 2, "", &gap_len);
    int first = luaL_optint(L, 3, 1), last = luaL_optint(L, 4, n);
    luaL_Buffer out;
    luaL_buffinit(L, &out);
    for (int64_t i = first; i <= last; i++) { /* wider than int: `last` may be its maximum */
        lua_rawgeti(L, 1, (int)i);
        uint64_t len = lua_objlen(L, -1);
        if (!lua_isstring(L, -1))
            return luaL_error(L, "item %d of the list is a %s, not a string", (int)i,
                              luaL_typename(L, -1));
        luaL_addvalue(&out);
        if (i < last)
            luaL_addlstring(&out, gap, gap_len);
        script_state_charge(L, 1);
        script_state_charge_bytes(L, len + gap_len);
    }
    luaL_pushresult(&out);
    return 1;
}

static int l_unpack(lua_State *L)
{
    int n = length(L, 1), first = luaL_optint(L, 2, 1), last = luaL_optint(L, 3, n);
    if (first > last)
        return 0;
    if ((int64_t)last - first >= 7000 || !lua_checkstack(L, last - first + 1))
        return luaL_error(L, "too many results to unpack");
    script_state_charge(L, (uint64_t)(last - first) / 4);
    for (int i = first; i <= last; i++)
        lua_rawgeti(L, 1, i);
    return last - first + 1;
}

/* ---- sort ---------------------------------------------------------------------------------- */

/* True if the value at `a` must come before the one at `b`. The comparator, if any, is at index 2. */
static bool before(lua_State *L, int a, int b)
{
    if (lua_isnil(L, 2))
        return lua_lessthan(L, a, b) == 1;
    lua_pushvalue(L, 2);
    lua_pushvalue(L, a);
    lua_pushvalue(L, b);
    lua_call(L, 2, 1);
    bool yes = lua_toboolean(L, -1) == 1;
    lua_pop(L, 1);
    return yes;
}

/* Merges [lo, mid) and [mid, hi) of the list at `from` into the one at `to`. The right one goes first only if it
 * must: that is what makes the order stable, and why a comparator that lies cannot lead outside. */
static void merge(lua_State *L, int from, int to, int lo, int mid, int hi)
{
    int left = lo, right = mid;
    for (int i = lo; i < hi; i++) {
        script_state_charge(L, 2);
        bool take_right = left == mid;
        if (left < mid && right < hi) {
            lua_rawgeti(L, from, left);
            lua_rawgeti(L, from, right);
            int top = lua_gettop(L);
            take_right = before(L, top, top - 1);
            lua_pop(L, 2);
        }
        lua_rawgeti(L, from, take_right ? right++ : left++);
        lua_rawseti(L, to, i);
    }
}

/* The list itself changes at the end, at once: an error on the way leaves it as it was. */
static int l_sort(lua_State *L)
{
    int n = length(L, 1);
    lua_settop(L, 2);
    if (!lua_isnil(L, 2))
        luaL_checktype(L, 2, LUA_TFUNCTION);
    script_state_descend(L);
    script_state_charge(L, (uint64_t)n);
    lua_createtable(L, n, 0); /* 3 and 4 take turns */
    lua_createtable(L, n, 0);
    for (int i = 1; i <= n; i++) {
        lua_rawgeti(L, 1, i);
        if (lua_isnil(L, -1))
            return luaL_error(L, "sort: item %d of the list is nil", i);
        lua_rawseti(L, 3, i);
    }
    int from = 3, to = 4;
    for (int64_t width = 1; width < n; width *= 2) {
        for (int64_t lo = 1; lo <= n; lo += 2 * width) {
            int64_t mid = lo + width < n + 1 ? lo + width : n + 1;
            int64_t hi = lo + 2 * width < n + 1 ? lo + 2 * width : n + 1;
            merge(L, from, to, (int)lo, (int)mid, (int)hi);
        }
        int swap = from;
        from = to;
        to = swap;
    }
    for (int i = 1; i <= n; i++) {
        lua_rawgeti(L, from, i);
        lua_rawseti(L, 1, i);
    }
    return 0;
}

void script_tables_open(lua_State *L)
{
    static const luaL_Reg functions[] = { { "insert", l_insert },
                                          { "remove", l_remove },
                                          { "concat", l_concat },
                                          { "sort", l_sort },
                                          { "unpack", l_unpack } };
    lua_newtable(L);
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
        lua_pushcfunction(L, functions[i].func);
        lua_setfield(L, -2, functions[i].name);
    }
    lua_setfield(L, -2, "table");
    lua_pushcfunction(L, l_unpack);
    lua_setfield(L, -2, "unpack");
}
