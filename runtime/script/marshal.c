#include "marshal.h"

#include "sandbox.h"
#include "u64.h"

/* Registry: table -> list of its keys in the order in which they came; keeps no table alive. */
static const char ORDERS[] = "script.orders";

struct reading {
    lua_State *L;
    size_t items, bytes;
    bool lenient;
};

static void put_text(struct reading *r, struct value *to, int index)
{
    size_t len;
    const char *text = lua_tolstring(r->L, index, &len);
    r->bytes += len;
    if (r->bytes > SCRIPT_MARSHAL_BYTES)
        luaL_error(r->L, "the value is too large: more than %d bytes of text",
                   SCRIPT_MARSHAL_BYTES);
    script_state_charge_bytes(r->L, len);
    value_put_bytes(to, bytes_from(text, len));
}

static void read_value(struct reading *r, int index, struct value *to, int depth);

static void read_list(struct reading *r, int index, struct value *to, int count, int depth)
{
    value_put_list(to);
    for (int i = 1; i <= count; i++) {
        lua_rawgeti(r->L, index, i);
        read_value(r, lua_gettop(r->L), value_add(to), depth + 1);
        lua_pop(r->L, 1);
    }
}

/* Puts the pair with the key at `key` and the value at `item` into the map. */
static void read_pair(struct reading *r, int key, int item, struct value *to, int depth)
{
    lua_State *L = r->L;
    size_t len;
    if (to->count == VALUE_KEYS_MAX)
        luaL_error(L, "the value is too large: a table with more than %d keys", VALUE_KEYS_MAX);
    script_sandbox_tostring(L, key);
    const char *text = lua_tolstring(L, -1, &len);
    r->bytes += len;
    struct value *place = value_set_bytes(to, bytes_from(text, len));
    script_state_charge(L, 1 + to->count / 16);
    lua_pop(L, 1);
    read_value(r, item, place, depth + 1);
}

/* A table that came from the node remembers the order of its keys, as long as it has the same ones. */
static bool read_in_order(struct reading *r, int index, struct value *to, int depth)
{
    lua_State *L = r->L;
    int top = lua_gettop(L);
    size_t present = 0;
    lua_getfield(L, LUA_REGISTRYINDEX, ORDERS);
    lua_pushvalue(L, index);
    lua_rawget(L, -2);
    int order = lua_gettop(L);
    size_t count = lua_istable(L, order) ? lua_objlen(L, order) : 0;
    for (lua_pushnil(L); count > 0 && lua_next(L, index) != 0; lua_pop(L, 1))
        present++;
    bool same = count > 0 && present == count;
    for (size_t i = 1; i <= count && same; i++) {
        lua_rawgeti(L, order, (int)i);
        lua_rawget(L, index);
        same = !lua_isnil(L, -1);
        lua_settop(L, order);
    }
    for (size_t i = 1; i <= count && same; i++) {
        lua_rawgeti(L, order, (int)i);
        lua_pushvalue(L, -1);
        lua_rawget(L, index);
        read_pair(r, order + 1, order + 2, to, depth);
        lua_settop(L, order);
    }
    script_state_charge(L, present);
    lua_settop(L, top);
    return same;
}

static void read_map(struct reading *r, int index, struct value *to, int depth)
{
    lua_State *L = r->L;
    value_put_map(to);
    if (read_in_order(r, index, to, depth))
        return;
    lua_getfield(L, LUA_REGISTRYINDEX, "script.pairs"); /* a script may have replaced the global */
    lua_pushvalue(L, index);
    lua_call(L, 1, 1);
    int each = lua_gettop(L);
    for (;;) {
        lua_pushvalue(L, each);
        lua_call(L, 0, 2);
        if (lua_isnil(L, -2))
            break;
        read_pair(r, each + 1, each + 2, to, depth);
        lua_settop(L, each);
    }
    lua_settop(L, each - 1);
}

/* The number of items if the keys of the table are 1..n, else -1. */
static int list_length(lua_State *L, int index)
{
    size_t n = lua_objlen(L, index), seen = 0;
    for (lua_pushnil(L); lua_next(L, index) != 0; lua_pop(L, 1)) {
        lua_Number key = lua_type(L, -2) == LUA_TNUMBER ? lua_tonumber(L, -2) : 0;
        if (!(key >= 1 && key <= (lua_Number)n && key == (lua_Number)(size_t)key)) {
            lua_pop(L, 2);
            return -1;
        }
        seen++;
    }
    script_state_charge(L, seen);
    return seen == n && n < INT32_MAX ? (int)n : -1;
}

static void read_value(struct reading *r, int index, struct value *to, int depth)
{
    lua_State *L = r->L;
    uint64_t x;
    luaL_checkstack(L, 16, "a value");
    script_state_charge(L, 1);
    if (depth > VALUE_DEPTH_MAX)
        luaL_error(L, "the value is nested too deep (more than %d levels), or contains itself",
                   VALUE_DEPTH_MAX);
    if (++r->items > VALUE_ITEMS_MAX)
        luaL_error(L, "the value is too large: more than %d items", VALUE_ITEMS_MAX);
    switch (lua_type(L, index)) {
    case LUA_TNIL:
        value_put_nil(to);
        return;
    case LUA_TBOOLEAN:
        value_put_bool(to, lua_toboolean(L, index) == 1);
        return;
    case LUA_TNUMBER:
        value_put_number(to, lua_tonumber(L, index));
        return;
    case LUA_TSTRING:
        put_text(r, to, index);
        return;
    case LUA_TTABLE: {
        int count = list_length(L, index);
        if (count >= 0)
            read_list(r, index, to, count, depth);
        else
            read_map(r, index, to, depth);
        return;
    }
    default:
        if (script_u64_is(L, index, &x)) {
            value_put_u64(to, x);
            return;
        }
        if (!r->lenient)
            luaL_error(L, "a %s is no value that can leave Lua", luaL_typename(L, index));
        script_sandbox_tostring(L, index);
        put_text(r, to, -1);
        lua_pop(L, 1);
    }
}

void script_marshal_read(lua_State *L, int index, bool lenient)
{
    struct script_state *s = script_state_of(L);
    struct reading r = { .L = L, .lenient = lenient };
    if (index < 0)
        index = lua_gettop(L) + 1 + index;
    value_free(s->value);
    s->value = value_new(VALUE_NIL);
    read_value(&r, index, s->value, 0);
}

struct value *script_marshal_take(struct script_state *s)
{
    struct value *v = s->value;
    s->value = NULL;
    return v;
}

static void push_map(lua_State *L, const struct value *v)
{
    lua_createtable(L, 0, (int)v->count);
    lua_createtable(L, (int)v->count, 0); /* the order of its keys */
    for (size_t i = 0; i < v->count; i++) {
        struct bytes key = buf_bytes(&v->keys[i]);
        lua_pushlstring(L, key.len > 0 ? (const char *)key.data : "", key.len);
        lua_pushvalue(L, -1);
        lua_rawseti(L, -3, (int)i + 1);
        script_marshal_push(L, &v->items[i]);
        lua_rawset(L, -4);
    }
    lua_getfield(L, LUA_REGISTRYINDEX, ORDERS);
    lua_pushvalue(L, -3);
    lua_pushvalue(L, -3);
    lua_rawset(L, -3);
    lua_pop(L, 2);
}

void script_marshal_push(lua_State *L, const struct value *v)
{
    luaL_checkstack(L, 8, "a value");
    script_state_charge(L, 1);
    switch (v == NULL ? VALUE_NIL : v->kind) {
    case VALUE_NIL:
        lua_pushnil(L);
        return;
    case VALUE_BOOL:
        lua_pushboolean(L, v->boolean);
        return;
    case VALUE_NUMBER:
        lua_pushnumber(L, v->number);
        return;
    case VALUE_U64:
        script_u64_push(L, v->u64);
        return;
    case VALUE_BYTES:
        script_state_charge_bytes(L, v->bytes.len);
        lua_pushlstring(L, v->bytes.data != NULL ? (const char *)v->bytes.data : "", v->bytes.len);
        return;
    case VALUE_LIST:
        lua_createtable(L, (int)v->count, 0);
        for (size_t i = 0; i < v->count; i++) {
            script_marshal_push(L, &v->items[i]);
            lua_rawseti(L, -2, (int)i + 1);
        }
        return;
    case VALUE_MAP:
        push_map(L, v);
        return;
    }
}

void script_marshal_open(lua_State *L)
{
    lua_newtable(L);
    lua_newtable(L);
    lua_pushliteral(L, "k");
    lua_setfield(L, -2, "__mode");
    lua_setmetatable(L, -2);
    lua_setfield(L, LUA_REGISTRYINDEX, ORDERS);
}
