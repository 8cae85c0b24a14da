/* The globals of every state. A fresh table is filled from a list and then put in place of the library's own, which
 * nothing can reach any more: scripts have no debug library, and the registry is C's. */
#include "sandbox.h"

#include <luajit.h>
#include <stdlib.h>

#include "marshal.h"
#include "sources.h"
#include "u64.h"

/* Taken from the library as they are: they do a bounded amount of work, or the hook counts it. */
static const char *const base_names[] = { "assert",       "getmetatable", "ipairs", "pcall",
                                          "rawequal",     "rawget",       "rawset", "select",
                                          "setmetatable", "type" };
static const char *const math_names[] = { "abs",   "acos", "asin",  "atan", "atan2", "ceil",
                                          "cos",   "cosh", "deg",   "exp",  "floor", "fmod",
                                          "frexp", "huge", "ldexp", "log",  "log10", "max",
                                          "min",   "modf", "pi",    "pow",  "rad",   "sin",
                                          "sinh",  "sqrt", "tan",   "tanh" };
static const char *const bit_names[] = { "arshift", "band", "bnot", "bor",    "bswap", "bxor",
                                         "lshift",  "rol",  "ror",  "rshift", "tobit", "tohex" };
static const char *const coroutine_names[] = { "create", "running", "status", "yield" };
static const char *const own_globals[] = { "_G",        "_VERSION", "bit",    "error",
                                           "coroutine", "keys",     "math",   "next",
                                           "pairs",     "require",  "string", "table",
                                           "tonumber",  "tostring", "u64",    "unpack",
                                           "xpcall",    "print",    "host" };
#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

bool script_sandbox_global(struct bytes name)
{
    for (size_t i = 0; i < COUNT(base_names); i++)
        if (bytes_equal(name, BYTES(base_names[i])))
            return true;
    for (size_t i = 0; i < COUNT(own_globals); i++)
        if (bytes_equal(name, BYTES(own_globals[i])))
            return true;
    return false;
}

/* ---- Functions that replace the library's -------------------------------------------------- */

void script_sandbox_tostring(lua_State *L, int index)
{
    uint64_t x;
    if (index < 0)
        index = lua_gettop(L) + 1 + index;
    script_state_descend(L);
    if (luaL_callmeta(L, index, "__tostring")) {
        if (!lua_isstring(L, -1))
            luaL_error(L, "__tostring must return a string");
        return;
    }
    switch (lua_type(L, index)) {
    case LUA_TNUMBER:
    case LUA_TSTRING:
        lua_pushvalue(L, index);
        lua_tostring(L, -1);
        return;
    case LUA_TBOOLEAN:
        lua_pushstring(L, lua_toboolean(L, index) ? "true" : "false");
        return;
    case LUA_TUSERDATA:
        if (script_u64_is(L, index, &x)) {
            script_u64_text(L, x);
            return;
        } /* fall through */
    default:
        lua_pushstring(L, luaL_typename(L, index));
    }
}

static int l_tostring(lua_State *L)
{
    luaL_checkany(L, 1);
    script_sandbox_tostring(L, 1);
    return 1;
}

static int digit_of(char c)
{
    int digit = c >= '0' && c <= '9'                     ? c - '0'
                : (c | 0x20) >= 'a' && (c | 0x20) <= 'z' ? (c | 0x20) - 'a' + 10
                                                         : 99;
    return digit;
}

static int l_tonumber(lua_State *L)
{
    uint64_t x;
    size_t len;
    luaL_checkany(L, 1);
    int base = luaL_optint(L, 2, 10);
    if (script_u64_is(L, 1, &x)) {
        if (x <= SCRIPT_U64_EXACT)
            lua_pushnumber(L, (lua_Number)x);
        else
            lua_pushnil(L);
        return 1;
    }
    if (lua_type(L, 1) == LUA_TSTRING)
        script_state_charge(L, lua_objlen(L, 1) / 8);
    if (base == 10) {
        if (lua_isnumber(L, 1))
            lua_pushnumber(L, lua_tonumber(L, 1));
        else
            lua_pushnil(L);
        return 1;
    }
    luaL_argcheck(L, base >= 2 && base <= 36, 2, "a base is 2 to 36");
    const char *s = luaL_checklstring(L, 1, &len);
    lua_Number sum = 0;
    bool valid = len > 0;
    for (size_t i = 0; i < len && valid; i++) {
        int digit = digit_of(s[i]);
        valid = digit < base;
        sum = sum * base + digit;
    }
    if (valid)
        lua_pushnumber(L, sum);
    else
        lua_pushnil(L);
    return 1;
}

/* Raising unwinds C frames, which costs as much as hundreds of instructions. */
enum { SCRIPT_ERROR_COST = 200 };

static int l_error(lua_State *L)
{
    int level = luaL_optint(L, 2, 1);
    lua_settop(L, 1);
    script_state_charge(L, SCRIPT_ERROR_COST);
    if (lua_type(L, 1) == LUA_TSTRING && level > 0) {
        luaL_where(L, level);
        lua_pushvalue(L, 1);
        lua_concat(L, 2);
    }
    return lua_error(L);
}

/* The handler runs outside: after the error, as any function, so that it is counted and cannot nest. */
static int l_xpcall(lua_State *L)
{
    luaL_checkany(L, 2);
    int n = lua_gettop(L);
    script_state_descend(L);
    lua_pushvalue(L, 2); /* handler f handler args... -> below the results */
    lua_insert(L, 1);
    lua_remove(L, 3);
    int status = lua_pcall(L, n - 2, LUA_MULTRET, 0);
    if (status == 0) {
        lua_pushboolean(L, 1);
        lua_replace(L, 1);
        return lua_gettop(L);
    }
    script_state_charge(L, SCRIPT_ERROR_COST); /* and a breach is not for the handler */
    lua_pushvalue(L, 1);
    lua_insert(L, -2);
    lua_call(L, 1, LUA_MULTRET);
    lua_pushboolean(L, 0);
    lua_replace(L, 1);
    return lua_gettop(L);
}

/* Runs the coroutine at index 1 with the `n` values on top; answers how many it gave, or -1 and an error on top. */
static int resume(lua_State *L, lua_State *co, int n)
{
    script_state_descend(L);
    if (co == L || lua_status(co) > LUA_YIELD || (lua_status(co) == 0 && lua_gettop(co) == 0)) {
        lua_pushliteral(L, "cannot resume a coroutine that is dead or running");
        return -1;
    }
    if (lua_status(co) == 0) { /* running, further out? It then has frames. */
        lua_Debug ar;
        if (lua_getstack(co, 0, &ar)) {
            lua_pushliteral(L, "cannot resume a coroutine that is dead or running");
            return -1;
        }
    }
    if (!lua_checkstack(co, n))
        luaL_error(L, "too many arguments to a coroutine");
    lua_xmove(L, co, n);
    int status = lua_resume(co, n);
    int given = status == 0 || status == LUA_YIELD ? lua_gettop(co) : 1;
    if (!lua_checkstack(L, given + 1)) {
        lua_settop(co, 0);
        luaL_error(L, "too many results of a coroutine");
    }
    lua_xmove(co, L, given);
    return status == 0 || status == LUA_YIELD ? given : -1;
}

static int l_resume(lua_State *L)
{
    lua_State *co = lua_tothread(L, 1);
    luaL_argcheck(L, co != NULL, 1, "a coroutine is expected");
    int n = resume(L, co, lua_gettop(L) - 1);
    lua_pushboolean(L, n >= 0);
    lua_insert(L, n >= 0 ? -(n + 1) : -2);
    return n >= 0 ? n + 1 : 2;
}

static int l_wrapped(lua_State *L)
{
    int n = resume(L, lua_tothread(L, lua_upvalueindex(1)), lua_gettop(L));
    if (n < 0)
        return lua_error(L);
    return n;
}

static int l_wrap(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_State *co = lua_newthread(L);
    lua_pushvalue(L, 1);
    lua_xmove(L, co, 1);
    lua_pushcclosure(L, l_wrapped, 1);
    return 1;
}

static int l_random(lua_State *L)
{
    struct prng *prng = &script_state_of(L)->prng;
    int n = lua_gettop(L);
    if (n == 0) {
        lua_pushnumber(L, prng_unit(prng));
        return 1;
    }
    lua_Number lo = n > 1 ? luaL_checknumber(L, 1) : 1, hi = luaL_checknumber(L, n > 1 ? 2 : 1);
    const lua_Number max = (lua_Number)SCRIPT_U64_EXACT;
    luaL_argcheck(L, lo >= -max && hi <= max && lo <= hi, n > 1 ? 2 : 1, "the interval is empty");
    lua_pushnumber(L, lo + (lua_Number)prng_below(prng, (uint64_t)(hi - lo) + 1));
    return 1;
}

/* A module of the same bundle, run once per state. */
static int l_require(lua_State *L)
{
    struct script_state *s = script_state_of(L);
    const char *name = luaL_checkstring(L, 1);
    lua_settop(L, 1);
    lua_getfield(L, LUA_REGISTRYINDEX, "script.modules");
    lua_pushvalue(L, 1);
    lua_rawget(L, 2);
    if (lua_isboolean(L, 3))
        return luaL_error(L, "require \"%s\": it requires itself, maybe through others", name);
    if (!lua_isnil(L, 3))
        return 1;
    lua_pop(L, 1);
    script_state_descend(L);
    int status = script_sources_load(s->sources, L, name);
    if (status == LUA_ERRRUN) { /* no such file: the fault is in the line that asks for it */
        luaL_where(L, 1);
        lua_insert(L, -2);
        lua_concat(L, 2);
    }
    if (status != 0)
        return lua_error(L);
    lua_pushvalue(L, 1);
    lua_pushboolean(L, 0);
    lua_rawset(L, 2);
    lua_call(L, 0, 1);
    if (lua_isnil(L, -1) || lua_isboolean(L, -1))
        return luaL_error(L, "%s.lua: a module returns a table", name);
    lua_pushvalue(L, 1);
    lua_pushvalue(L, -2);
    lua_rawset(L, 2);
    return 1;
}

enum { OUT_MAX = 1 << 20 };

static int l_print(lua_State *L)
{
    struct script_state *s = script_state_of(L);
    int n = lua_gettop(L);
    for (int i = 1; i <= n; i++) {
        size_t len;
        script_sandbox_tostring(L, i);
        const char *text = lua_tolstring(L, -1, &len);
        script_state_charge_bytes(L, len);
        if (s->out == NULL)
            return 0;
        if (s->out->len + len + 1 > OUT_MAX) {
            s->out_cut = true;
            return 0;
        }
        if (buf_append(s->out, bytes_from(text, len)) != ERR_OK ||
            buf_append(s->out, BYTES(i < n ? "\t" : "\n")) != ERR_OK)
            return luaL_error(L, "no memory for output");
        lua_pop(L, 1);
    }
    return 0;
}

/* ---- Putting it together ------------------------------------------------------------------- */

/* Copies `names` from the table of the library at `from` to the table on top. */
static void take(lua_State *L, int from, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        lua_getfield(L, from, names[i]);
        lua_setfield(L, -2, names[i]);
    }
}

static void open_library(lua_State *L, lua_CFunction open, const char *name)
{
    lua_pushcfunction(L, open);
    lua_pushstring(L, name);
    lua_call(L, 1, 0);
}

static void take_library(lua_State *L, const char *name, const char *const *names, size_t count)
{
    lua_getfield(L, LUA_GLOBALSINDEX, name);
    lua_newtable(L);
    take(L, lua_gettop(L) - 1, names, count);
    lua_remove(L, -2);
}

static void put_function(lua_State *L, const char *name, lua_CFunction function)
{
    lua_pushcfunction(L, function);
    lua_setfield(L, -2, name);
}

static int infinity_text(lua_State *L)
{
    lua_pushliteral(L, "keys.INF");
    return 1;
}

/* keys.INF: the end of a range without end. A userdata, so that it equals nothing else. */
static void open_keys(lua_State *L)
{
    lua_newtable(L);
    lua_newuserdata(L, 1);
    lua_newtable(L);
    put_function(L, "__tostring", infinity_text);
    lua_pushliteral(L, "locked");
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, -2);
    lua_pushvalue(L, -1);
    lua_setfield(L, LUA_REGISTRYINDEX, "script.inf");
    lua_setfield(L, -2, "INF");
}

int script_sandbox_open(lua_State *L)
{
    luaJIT_setmode(L, 0,
                   LUAJIT_MODE_ENGINE | LUAJIT_MODE_OFF); /* hooks never fire in compiled code */
    lua_settop(L, 0);
    open_library(L, luaopen_base, "");
    open_library(L, luaopen_math, LUA_MATHLIBNAME);
    open_library(L, luaopen_bit, LUA_BITLIBNAME);
    lua_gc(L, LUA_GCSETPAUSE,
           120); /* LuaJIT has no emergency collection: garbage counts against the cap */
    lua_gc(L, LUA_GCSETSTEPMUL, 400);
    lua_newtable(L);
    lua_setfield(L, LUA_REGISTRYINDEX, "script.modules");

    lua_newtable(L);
    take(L, LUA_GLOBALSINDEX, base_names, COUNT(base_names));
    take_library(L, "math", math_names, COUNT(math_names));
    put_function(L, "random", l_random);
    lua_setfield(L, 1, "math");
    take_library(L, "bit", bit_names, COUNT(bit_names));
    lua_setfield(L, 1, "bit");
    take_library(L, "coroutine", coroutine_names, COUNT(coroutine_names));
    put_function(L, "resume", l_resume);
    put_function(L, "wrap", l_wrap);
    lua_setfield(L, 1, "coroutine");
    put_function(L, "tostring", l_tostring);
    put_function(L, "tonumber", l_tonumber);
    put_function(L, "error", l_error);
    put_function(L, "xpcall", l_xpcall);
    put_function(L, "require", l_require);
    put_function(L, "print", l_print);
    script_strings_open(L);
    script_tables_open(L);
    script_order_open(L);
    script_marshal_open(L);
    script_u64_open(L);
    open_keys(L);
    lua_setfield(L, 1, "keys");
    lua_pushliteral(L, "Flotilla Lua 1");
    lua_setfield(L, 1, "_VERSION");
    lua_pushvalue(L, 1);
    lua_setfield(L, 1, "_G");
    lua_replace(L, LUA_GLOBALSINDEX);
    return 0;
}
