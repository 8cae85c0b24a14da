#include "u64.h"

#include <math.h>
#include <stdio.h>

#include "base/units.h"
#include "sandbox.h"

static const char META[] = "script.u64", POOL[] = "script.u64.pool";

void script_u64_push(lua_State *L, uint64_t x)
{
    luaL_checkstack(L, 4, "u64");
    lua_getfield(L, LUA_REGISTRYINDEX, POOL);
    lua_pushlstring(L, (const char *)&x, sizeof x);
    lua_pushvalue(L, -1);
    lua_rawget(L, -3);
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        *(uint64_t *)lua_newuserdata(L, sizeof x) = x;
        lua_getfield(L, LUA_REGISTRYINDEX, META);
        lua_setmetatable(L, -2);
        lua_pushvalue(L, -2); /* pool key object key */
        lua_pushvalue(L, -2);
        lua_rawset(L, -5);
    }
    lua_replace(L, -3);
    lua_pop(L, 1);
}

bool script_u64_is(lua_State *L, int index, uint64_t *ret)
{
    const void *p = lua_touserdata(L, index);
    if (p == NULL || lua_islightuserdata(L, index) || !lua_getmetatable(L, index))
        return false;
    lua_getfield(L, LUA_REGISTRYINDEX, META);
    bool is = lua_rawequal(L, -1, -2) == 1;
    lua_pop(L, 2);
    if (is)
        *ret = *(const uint64_t *)p;
    return is;
}

bool script_u64_from(lua_State *L, int index, uint64_t *ret)
{
    if (lua_type(L, index) != LUA_TNUMBER)
        return script_u64_is(L, index, ret);
    lua_Number x = lua_tonumber(L, index);
    if (!(x >= 0 && x <= (lua_Number)SCRIPT_U64_EXACT) || x != floor(x))
        return false;
    *ret = (uint64_t)x;
    return true;
}

uint64_t script_u64_check(lua_State *L, int index)
{
    uint64_t x = 0;
    if (!script_u64_from(L, index, &x))
        luaL_argerror(L, index, "a u64, or a whole number from 0 to 2^53, is expected");
    return x;
}

void script_u64_text(lua_State *L, uint64_t x)
{
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)x);
    lua_pushstring(L, text);
}

/* ---- The metatable ------------------------------------------------------------------------- */

static int l_lt(lua_State *L)
{
    lua_pushboolean(L, script_u64_check(L, 1) < script_u64_check(L, 2));
    return 1;
}

static int l_le(lua_State *L)
{
    lua_pushboolean(L, script_u64_check(L, 1) <= script_u64_check(L, 2));
    return 1;
}

static int l_add(lua_State *L)
{
    uint64_t sum;
    if (__builtin_add_overflow(script_u64_check(L, 1), script_u64_check(L, 2), &sum))
        return luaL_error(L, "the sum is above 2^64 - 1");
    script_u64_push(L, sum);
    return 1;
}

static int l_sub(lua_State *L)
{
    uint64_t difference;
    if (__builtin_sub_overflow(script_u64_check(L, 1), script_u64_check(L, 2), &difference))
        return luaL_error(L, "the difference is below 0, and a u64 has no sign");
    script_u64_push(L, difference);
    return 1;
}

/* For buckets: u64 % number is a number. */
static int l_mod(lua_State *L)
{
    uint64_t a = script_u64_check(L, 1), b = script_u64_check(L, 2);
    if (b == 0)
        return luaL_error(L, "modulo zero");
    if (lua_type(L, 2) == LUA_TNUMBER)
        lua_pushnumber(L, (lua_Number)(a % b));
    else
        script_u64_push(L, a % b);
    return 1;
}

static int l_text(lua_State *L)
{
    script_u64_text(L, script_u64_check(L, 1));
    return 1;
}

static int l_concat(lua_State *L)
{
    lua_settop(L, 2);
    for (int i = 1; i <= 2; i++) {
        uint64_t x;
        if (script_u64_is(L, i, &x)) {
            script_u64_text(L, x);
            lua_replace(L, i);
        } else if (!lua_isstring(L, i)) {
            return luaL_error(L, "attempt to concatenate a u64 with a %s value",
                              luaL_typename(L, i));
        }
    }
    lua_concat(L, 2);
    return 1;
}

static int l_new(lua_State *L)
{
    size_t len;
    uint64_t x = 0;
    if (lua_type(L, 1) != LUA_TSTRING) {
        script_u64_push(L, script_u64_check(L, 1));
        return 1;
    }
    const char *s = lua_tolstring(L, 1, &len);
    luaL_argcheck(L, units_decimal(bytes_from(s, len), &x), 1,
                  "decimal digits of a number up to 2^64 - 1 are expected");
    script_u64_push(L, x);
    return 1;
}

void script_u64_open(lua_State *L)
{
    static const luaL_Reg methods[] = { { "__lt", l_lt },        { "__le", l_le },
                                        { "__add", l_add },      { "__sub", l_sub },
                                        { "__mod", l_mod },      { "__tostring", l_text },
                                        { "__concat", l_concat } };
    lua_newtable(L);
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        lua_pushcfunction(L, methods[i].func);
        lua_setfield(L, -2, methods[i].name);
    }
    lua_pushliteral(L, "u64");
    lua_setfield(L, -2, "__metatable");
    lua_setfield(L, LUA_REGISTRYINDEX, META);

    lua_newtable(L); /* the pool keeps nothing alive */
    lua_newtable(L);
    lua_pushliteral(L, "v");
    lua_setfield(L, -2, "__mode");
    lua_setmetatable(L, -2);
    lua_setfield(L, LUA_REGISTRYINDEX, POOL);

    lua_pushcfunction(L, l_new);
    lua_setfield(L, -2, "u64");
}
