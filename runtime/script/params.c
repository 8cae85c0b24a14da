#include "params.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/nearest.h"

enum { NAMES_MAX = 32, WORD_MAX = 64 };

/* ---- One parameter: its schema is on top ----------------------------------------------------- */

static const char *text_at(lua_State *L, const char *field, char *out, size_t size)
{
    lua_getfield(L, -1, field);
    snprintf(out, size, "%s", lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "");
    lua_pop(L, 1);
    return out;
}

/* A bound, or `otherwise` where the schema has none. */
static double bound_at(lua_State *L, const char *field, double otherwise)
{
    lua_getfield(L, -1, field);
    double x = lua_isnil(L, -1) ? otherwise : lua_tonumber(L, -1);
    lua_pop(L, 1);
    return x;
}

static bool fits(lua_State *L, const char *type, const struct value *v)
{
    if (strcmp(type, "boolean") == 0)
        return v->kind == VALUE_BOOL;
    if (strcmp(type, "string") == 0)
        return v->kind == VALUE_BYTES;
    return v->kind == VALUE_NUMBER && v->number >= bound_at(L, "min", -INFINITY) &&
           v->number <= bound_at(L, "max", INFINITY) &&
           (type[0] != 'i' || v->number == floor(v->number));
}

/* "an integer from 1 to 9". */
static const char *wanted(lua_State *L, const char *type, char *out, size_t size)
{
    double min = bound_at(L, "min", -INFINITY), max = bound_at(L, "max", INFINITY);
    size_t n = (size_t)snprintf(out, size, "%s %s", type[0] == 'i' ? "an" : "a", type);
    if (min > -INFINITY && max < INFINITY)
        snprintf(out + n, size - n, " from %.15g to %.15g", min, max);
    else if (min > -INFINITY)
        snprintf(out + n, size - n, ", at least %.15g", min);
    else if (max < INFINITY)
        snprintf(out + n, size - n, ", at most %.15g", max);
    return out;
}

static const char *told(const struct value *v, char *out, size_t size)
{
    switch (v->kind) {
    case VALUE_NUMBER:
        snprintf(out, size, "%.15g", v->number);
        break;
    case VALUE_BOOL:
        snprintf(out, size, "%s", v->boolean ? "true" : "false");
        break;
    case VALUE_BYTES:
        snprintf(out, size, "the text \"%.*s\"", (int)(v->bytes.len < 40 ? v->bytes.len : 40),
                 v->bytes.len > 0 ? (const char *)v->bytes.data : "");
        break;
    default:
        snprintf(out, size, "a table");
    }
    return out;
}

static void push_value(lua_State *L, const struct value *v)
{
    if (v->kind == VALUE_NUMBER)
        lua_pushnumber(L, v->number);
    else if (v->kind == VALUE_BOOL)
        lua_pushboolean(L, v->boolean);
    else
        lua_pushlstring(L, v->bytes.len > 0 ? (const char *)v->bytes.data : "", v->bytes.len);
}

static bool set_one(lua_State *L, const char *name, const struct value *v,
                    char why[SCRIPT_PARAMS_WHY_MAX])
{
    char type[16], doc[120], has[80], wants[120];
    text_at(L, "type", type, sizeof type);
    if (!fits(L, type, v)) {
        snprintf(why, SCRIPT_PARAMS_WHY_MAX, ".%s: %s is not %s (%s)", name,
                 told(v, has, sizeof has), wanted(L, type, wants, sizeof wants),
                 text_at(L, "doc", doc, sizeof doc));
        return false;
    }
    push_value(L, v);
    lua_setfield(L, -2, "value");
    return true;
}

/* ---- All of a module ------------------------------------------------------------------------- */

struct names {
    char text[NAMES_MAX][WORD_MAX];
    const char *at[NAMES_MAX];
    size_t count;
};

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The keys of the table on top, sorted; none if it is no table. */
static void names_of(lua_State *L, struct names *n)
{
    int top = lua_gettop(L);
    n->count = 0;
    if (!lua_istable(L, -1))
        return;
    for (lua_pushnil(L); n->count < NAMES_MAX && lua_next(L, top) != 0; lua_pop(L, 1)) {
        snprintf(n->text[n->count], WORD_MAX, "%s", lua_tostring(L, -2)); /* text: check_params */
        n->at[n->count] = n->text[n->count];
        n->count++;
    }
    lua_settop(L, top);
    qsort(n->at, n->count, sizeof *n->at, by_name);
}

/* params, on top, has no `name`. */
static void say_unknown(lua_State *L, const char *name, char why[SCRIPT_PARAMS_WHY_MAX])
{
    struct names n;
    names_of(L, &n);
    const char *meant = nearest(name, n.at, n.count);
    int used = snprintf(why, SCRIPT_PARAMS_WHY_MAX, ".%s: there is no such parameter; ", name);
    if (meant != NULL)
        used += snprintf(why + used, (size_t)(SCRIPT_PARAMS_WHY_MAX - used), "did you mean \"%s\"?",
                         meant);
    else
        used += snprintf(why + used, (size_t)(SCRIPT_PARAMS_WHY_MAX - used), "it has %s",
                         n.count == 0 ? "none" : n.at[0]);
    for (size_t i = 1; meant == NULL && i < n.count && used < SCRIPT_PARAMS_WHY_MAX; i++)
        used += snprintf(why + used, (size_t)(SCRIPT_PARAMS_WHY_MAX - used), ", %s", n.at[i]);
}

/* params is on top. */
static bool set_named(lua_State *L, const char *name, const struct value *v,
                      char why[SCRIPT_PARAMS_WHY_MAX])
{
    if (lua_istable(L, -1))
        lua_getfield(L, -1, name);
    else
        lua_pushnil(L);
    bool there = lua_istable(L, -1), ok = there && set_one(L, name, v, why);
    lua_pop(L, 1);
    if (!there)
        say_unknown(L, name, why);
    return ok;
}

bool script_params_set(lua_State *L, const struct value *given, char why[SCRIPT_PARAMS_WHY_MAX])
{
    bool ok = true;
    lua_getfield(L, -1, "params");
    for (size_t i = 0; ok && i < given->count; i++) {
        char name[WORD_MAX];
        snprintf(name, sizeof name, "%.*s", (int)given->keys[i].len,
                 (const char *)given->keys[i].data);
        ok = set_named(L, name, &given->items[i], why);
    }
    lua_pop(L, 1);
    return ok;
}

void script_params_push(lua_State *L, int module)
{
    lua_newtable(L);
    lua_getfield(L, module, "params");
    if (lua_istable(L, -1))
        for (lua_pushnil(L); lua_next(L, -2) != 0; lua_pop(L, 1)) {
            lua_pushvalue(L, -2);
            lua_getfield(L, -2, "value");
            if (lua_isnil(L, -1)) {
                lua_pop(L, 1);
                lua_getfield(L, -2, "default");
            }
            lua_rawset(L, -6);
        }
    lua_pop(L, 1);
}
