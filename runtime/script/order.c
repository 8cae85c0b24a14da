/* pairs and next with one order on every machine: numbers ascending, then strings by bytes, u64 ascending, false,
 * true. Other keys have no order that two machines would share, so iterating over them is an error. */
#include "sandbox.h"

#include <stdlib.h>

#include "u64.h"

enum rank { RANK_NUMBER, RANK_STRING, RANK_U64, RANK_BOOLEAN };

struct key {
    enum rank rank;
    union {
        lua_Number number;
        uint64_t u64;
        struct {
            const char *s; /* borrowed: the table holds the string */
            size_t len;
        };
    };
};

static int compare(const struct key *a, const struct key *b)
{
    if (a->rank != b->rank)
        return a->rank < b->rank ? -1 : 1;
    if (a->rank == RANK_STRING)
        return bytes_compare(bytes_from(a->s, a->len), bytes_from(b->s, b->len));
    if (a->rank == RANK_NUMBER)
        return a->number < b->number ? -1 : a->number > b->number;
    return a->u64 < b->u64 ? -1 : a->u64 > b->u64;
}

static struct key read_key(lua_State *L, int index)
{
    struct key key = { 0 };
    switch (lua_type(L, index)) {
    case LUA_TNUMBER:
        key.rank = RANK_NUMBER;
        key.number = lua_tonumber(L, index);
        return key;
    case LUA_TSTRING:
        key.rank = RANK_STRING;
        key.s = lua_tolstring(L, index, &key.len);
        return key;
    case LUA_TBOOLEAN:
        key.rank = RANK_BOOLEAN;
        key.u64 = (uint64_t)lua_toboolean(L, index);
        return key;
    default:
        key.rank = RANK_U64;
        if (!script_u64_is(L, index, &key.u64))
            luaL_error(L, "keys that are a %s have no order: use a number, a string or a u64",
                       luaL_typename(L, index));
        return key;
    }
}

static void push_key(lua_State *L, const struct key *key)
{
    switch (key->rank) {
    case RANK_NUMBER:
        lua_pushnumber(L, key->number);
        return;
    case RANK_STRING:
        lua_pushlstring(L, key->s, key->len);
        return;
    case RANK_U64:
        script_u64_push(L, key->u64);
        return;
    case RANK_BOOLEAN:
        lua_pushboolean(L, (int)key->u64);
        return;
    }
}

/* ---- next ---------------------------------------------------------------------------------- */

/* The least key above `after` (NULL: of all). A walk over the table: pairs() is for loops. */
static int l_next(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 2);
    bool first = lua_isnil(L, 2), found = false;
    struct key after = { 0 }, best = { 0 };
    if (!first)
        after = read_key(L, 2);
    uint64_t seen = 0;
    for (lua_pushnil(L); lua_next(L, 1) != 0; lua_pop(L, 1), seen++) {
        struct key key = read_key(L, -2);
        if ((!first && compare(&key, &after) <= 0) || (found && compare(&key, &best) >= 0))
            continue;
        best = key;
        found = true;
    }
    script_state_charge(L, seen);
    if (!found) {
        lua_pushnil(L);
        return 1;
    }
    push_key(L, &best);
    lua_pushvalue(L, -1);
    lua_rawget(L, 1);
    return 2;
}

/* ---- pairs --------------------------------------------------------------------------------- */

static void merge(const struct key *from, struct key *to, size_t lo, size_t mid, size_t hi)
{
    size_t left = lo, right = mid;
    for (size_t i = lo; i < hi; i++) {
        bool take_right = left == mid || (right < hi && compare(&from[right], &from[left]) < 0);
        to[i] = from[take_right ? right++ : left++];
    }
}

/* Sorts with as much room behind the keys; answers where the result is. Lists come in order already. Whether other
 * keys do is luck (LuaJIT seeds its string hash anew in every state), so it may make no difference to what is paid. */
static struct key *sort(lua_State *L, struct key *keys, size_t n)
{
    struct key *from = keys, *to = keys + n;
    bool list = true;
    for (size_t i = 0; i < n && list; i++)
        list = keys[i].rank == RANK_NUMBER && (i == 0 || keys[i - 1].number < keys[i].number);
    for (size_t width = 1; width < n && !list; width *= 2) {
        script_state_charge(L, n / 2);
        for (size_t lo = 0; lo < n; lo += 2 * width) {
            size_t mid = lo + width < n ? lo + width : n;
            merge(from, to, lo, mid, lo + 2 * width < n ? lo + 2 * width : n);
        }
        struct key *swap = from;
        from = to;
        to = swap;
    }
    return from;
}

/* Upvalues: the table, its keys in order, how many were given. Keys removed meanwhile are passed over. */
static int next_pair(lua_State *L)
{
    lua_Integer i = lua_tointeger(L, lua_upvalueindex(3));
    for (;;) {
        lua_rawgeti(L, lua_upvalueindex(2), (int)++i);
        if (lua_isnil(L, -1))
            return 1;
        lua_pushvalue(L, -1);
        lua_rawget(L, lua_upvalueindex(1));
        if (!lua_isnil(L, -1))
            break;
        lua_pop(L, 2);
        script_state_charge(L, 1);
    }
    lua_pushinteger(L, i);
    lua_replace(L, lua_upvalueindex(3));
    return 2;
}

static int l_pairs(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    size_t n = 0;
    for (lua_pushnil(L); lua_next(L, 1) != 0; lua_pop(L, 1))
        n++;
    script_state_charge(L, n);
    lua_pushvalue(L, 1);
    lua_createtable(L, (int)n, 0);
    struct key *keys = lua_newuserdata(L, (n + 1) * 2 * sizeof *keys);
    size_t i = 0;
    for (lua_pushnil(L); lua_next(L, 1) != 0; lua_pop(L, 1))
        keys[i++] = read_key(L, -2);
    struct key *ordered = sort(L, keys, n);
    for (i = 0; i < n; i++) {
        push_key(L, &ordered[i]);
        lua_rawseti(L, 3, (int)i + 1);
    }
    lua_settop(L, 3);
    lua_pushinteger(L, 0);
    lua_pushcclosure(L, next_pair, 3);
    return 1;
}

void script_order_open(lua_State *L)
{
    lua_pushcfunction(L, l_pairs);
    lua_pushvalue(L, -1);
    lua_setfield(L, LUA_REGISTRYINDEX, "script.pairs"); /* marshal.c's */
    lua_setfield(L, -2, "pairs");
    lua_pushcfunction(L, l_next);
    lua_setfield(L, -2, "next");
}
