#include "view.h"

#include <stdlib.h>

#include "u64.h"

struct view {
    struct pd_view plain;
    _Alignas(16) char block[]; /* what `plain` points to */
};

/* ---- Copying ------------------------------------------------------------------------------- */

static size_t text_size(const char *text)
{
    return text != NULL ? strlen(text) + 1 : 0;
}

static size_t aligned(size_t n)
{
    return (n + 15) & ~(size_t)15;
}

static size_t size_of(const struct pd_view *v)
{
    size_t size =
        aligned(v->store_count * sizeof *v->stores) + aligned(v->region_count * sizeof *v->regions);
    for (size_t i = 0; i < v->store_count; i++)
        size += text_size(v->stores[i].address) + text_size(v->stores[i].state);
    size = aligned(size);
    for (size_t i = 0; i < v->region_count; i++) {
        const struct pd_region_view *r = &v->regions[i];
        size += aligned(r->sample_count * sizeof *r->samples);
        for (size_t k = 0; k < r->sample_count; k++)
            size += r->samples[k].len;
        size = aligned(size + r->start_key.len + r->end_key.len);
    }
    return size;
}

static void *place(char **at, const void *from, size_t len)
{
    char *to = *at;
    if (len > 0)
        memcpy(to, from, len);
    *at += len;
    return to;
}

static void align(struct view *view, char **at)
{
    *at = view->block + aligned((size_t)(*at - view->block));
}

static struct bytes place_bytes(char **at, struct bytes b)
{
    return bytes_from(place(at, b.data, b.len), b.len);
}

err_t script_view_copy(const struct pd_view *from, struct view **ret)
{
    size_t size = size_of(from);
    struct view *view = malloc(sizeof *view + size);
    if (view == NULL)
        return ERR_NOMEM;
    view->plain = *from;
    char *at = view->block;
    struct pd_store_view *stores = place(&at, from->stores, from->store_count * sizeof *stores);
    align(view, &at);
    struct pd_region_view *regions =
        place(&at, from->regions, from->region_count * sizeof *regions);
    align(view, &at);
    for (size_t i = 0; i < from->store_count; i++) {
        if (stores[i].address != NULL)
            stores[i].address = place(&at, stores[i].address, text_size(stores[i].address));
        if (stores[i].state != NULL)
            stores[i].state = place(&at, stores[i].state, text_size(stores[i].state));
    }
    align(view, &at);
    for (size_t i = 0; i < from->region_count; i++) {
        struct pd_region_view *r = &regions[i];
        struct bytes *samples = place(&at, r->samples, r->sample_count * sizeof *samples);
        align(view, &at);
        for (size_t k = 0; k < r->sample_count; k++)
            samples[k] = place_bytes(&at, samples[k]);
        r->samples = samples;
        r->start_key = place_bytes(&at, r->start_key);
        r->end_key = place_bytes(&at, r->end_key);
        align(view, &at);
    }
    view->plain.stores = stores;
    view->plain.regions = regions;
    *ret = view;
    return ERR_OK;
}

void script_view_free(struct view *view)
{
    free(view);
}

const struct pd_view *script_view_plain(const struct view *view)
{
    return &view->plain;
}

const struct pd_region_view *script_view_region(const struct view *view, uint64_t id)
{
    for (size_t i = 0; i < view->plain.region_count; i++)
        if (view->plain.regions[i].id == id)
            return &view->plain.regions[i];
    return NULL;
}

err_t script_view_sample(struct view **ret)
{
    const struct bytes samples[] = { BYTES("b"), BYTES("d"), BYTES("f"), BYTES("h") };
    const struct pd_store_view stores[] = {
        { 1, "127.0.0.1:7700", "up", 1ull << 40, 1ull << 39, 2, 2 },
        { 2, "127.0.0.1:7701", "up", 1ull << 40, 1ull << 38, 1, 1 },
    };
    const struct pd_region_view regions[] = {
        { .id = 1, .conf_ver = 1, .version = 1, .end_key = BYTES("a"), .leader_store = 1 },
        { .id = 2,
          .conf_ver = 1,
          .version = 2,
          .start_key = BYTES("a"),
          .end_key = BYTES("m"),
          .approx_bytes = 1ull << 40,
          .approx_keys = 1ull << 30,
          .reads_per_s = 1e6,
          .writes_per_s = 1e6,
          .reads = 1ull << 40,
          .writes = 1ull << 40,
          .samples = samples,
          .sample_count = 4,
          .leader_store = 1 },
        { .id = 3,
          .conf_ver = 1,
          .version = 2,
          .start_key = BYTES("m"),
          .end_unbounded = true,
          .approx_bytes = 100,
          .approx_keys = 10,
          .leader_store = 2 },
    };
    const struct pd_view view = { 1767323045678, 1, stores, 2, regions, 3 };
    return script_view_copy(&view, ret);
}

/* ---- Lua ----------------------------------------------------------------------------------- */

static const char VIEW[] = "script.view", STORE[] = "script.store", REGION[] = "script.region";

struct handle {
    uint64_t plan;
    size_t index;
};

static void push_handle(lua_State *L, const char *meta, size_t index)
{
    struct handle *h = lua_newuserdata(L, sizeof *h);
    *h = (struct handle){ script_state_of(L)->plan, index };
    luaL_getmetatable(L, meta);
    lua_setmetatable(L, -2);
}

/* The plain view of this plan, and the place that the handle names in it. */
static const struct pd_view *check_handle(lua_State *L, const char *meta, size_t *index)
{
    const struct script_state *s = script_state_of(L);
    const struct handle *h = luaL_checkudata(L, 1, meta);
    if (s->view == NULL || h->plan != s->plan)
        luaL_error(L, "this %s is of an earlier plan: keep ids, not what a view gave",
                   meta + strlen("script."));
    *index = h->index;
    return &s->view->plain;
}

static void push_bytes(lua_State *L, struct bytes b)
{
    script_state_charge_bytes(L, b.len);
    lua_pushlstring(L, b.len > 0 ? (const char *)b.data : "", b.len);
}

static int region_index(lua_State *L)
{
    size_t at;
    const struct pd_region_view *r = &check_handle(L, REGION, &at)->regions[at];
    const char *key = luaL_checkstring(L, 2);
    if (strcmp(key, "id") == 0)
        script_u64_push(L, r->id);
    else if (strcmp(key, "conf_ver") == 0)
        script_u64_push(L, r->conf_ver);
    else if (strcmp(key, "version") == 0)
        script_u64_push(L, r->version);
    else if (strcmp(key, "start_key") == 0)
        push_bytes(L, r->start_key);
    else if (strcmp(key, "end_key") == 0 && r->end_unbounded)
        lua_getfield(L, LUA_REGISTRYINDEX, "script.inf");
    else if (strcmp(key, "end_key") == 0)
        push_bytes(L, r->end_key);
    else if (strcmp(key, "bytes") == 0)
        lua_pushnumber(L, (lua_Number)r->approx_bytes);
    else if (strcmp(key, "keys") == 0)
        lua_pushnumber(L, (lua_Number)r->approx_keys);
    else if (strcmp(key, "reads_per_s") == 0)
        lua_pushnumber(L, r->reads_per_s);
    else if (strcmp(key, "writes_per_s") == 0)
        lua_pushnumber(L, r->writes_per_s);
    else if (strcmp(key, "reads") == 0)
        lua_pushnumber(L, (lua_Number)r->reads);
    else if (strcmp(key, "writes") == 0)
        lua_pushnumber(L, (lua_Number)r->writes);
    else if (strcmp(key, "leader") == 0)
        script_u64_push(L, r->leader_store);
    else if (strcmp(key, "samples") == 0) {
        lua_createtable(L, (int)r->sample_count, 0);
        for (size_t i = 0; i < r->sample_count; i++) {
            push_bytes(L, r->samples[i]);
            lua_rawseti(L, -2, (int)i + 1);
        }
    } else {
        return luaL_error(L, "a region of the view has no field \"%s\"", key);
    }
    return 1;
}

static int store_index(lua_State *L)
{
    size_t at;
    const struct pd_store_view *s = &check_handle(L, STORE, &at)->stores[at];
    const char *key = luaL_checkstring(L, 2);
    if (strcmp(key, "id") == 0)
        script_u64_push(L, s->id);
    else if (strcmp(key, "address") == 0)
        lua_pushstring(L, s->address);
    else if (strcmp(key, "state") == 0)
        lua_pushstring(L, s->state);
    else if (strcmp(key, "capacity_bytes") == 0)
        lua_pushnumber(L, (lua_Number)s->capacity_bytes);
    else if (strcmp(key, "available_bytes") == 0)
        lua_pushnumber(L, (lua_Number)s->available_bytes);
    else if (strcmp(key, "regions") == 0)
        lua_pushnumber(L, (lua_Number)s->region_count);
    else if (strcmp(key, "leaders") == 0)
        lua_pushnumber(L, (lua_Number)s->leader_count);
    else
        return luaL_error(L, "a store of the view has no field \"%s\"", key);
    return 1;
}

/* Upvalue: the index of the next store. */
static int next_store(lua_State *L)
{
    const struct view *view = script_state_of(L)->view;
    size_t i = (size_t)lua_tointeger(L, lua_upvalueindex(1));
    if (view == NULL || i >= view->plain.store_count)
        return 0;
    lua_pushinteger(L, (lua_Integer)i + 1);
    lua_replace(L, lua_upvalueindex(1));
    push_handle(L, STORE, i);
    return 1;
}

static int view_stores(lua_State *L)
{
    size_t unused;
    check_handle(L, VIEW, &unused);
    lua_pushinteger(L, 0);
    lua_pushcclosure(L, next_store, 1);
    return 1;
}

/* Upvalues: the index of the next region, store (u64 or nil), hot (number or nil), how many may still follow. */
static int next_region(lua_State *L)
{
    const struct view *view = script_state_of(L)->view;
    size_t i = (size_t)lua_tointeger(L, lua_upvalueindex(1));
    lua_Integer left = lua_tointeger(L, lua_upvalueindex(4));
    uint64_t store = 0;
    bool of_store = script_u64_from(L, lua_upvalueindex(2), &store);
    bool only_hot = !lua_isnil(L, lua_upvalueindex(3));
    lua_Number hot = lua_tonumber(L, lua_upvalueindex(3));
    for (; view != NULL && left > 0 && i < view->plain.region_count; i++) {
        const struct pd_region_view *r = &view->plain.regions[i];
        script_state_charge(L, 1);
        if ((of_store && r->leader_store != store) ||
            (only_hot && r->reads_per_s + r->writes_per_s < hot))
            continue;
        lua_pushinteger(L, (lua_Integer)i + 1);
        lua_replace(L, lua_upvalueindex(1));
        lua_pushinteger(L, left - 1);
        lua_replace(L, lua_upvalueindex(4));
        push_handle(L, REGION, i);
        return 1;
    }
    return 0;
}

static int view_regions(lua_State *L)
{
    size_t unused;
    uint64_t store;
    check_handle(L, VIEW, &unused);
    lua_settop(L, 2);
    if (lua_isnil(L, 2)) {
        lua_newtable(L);
        lua_replace(L, 2);
    }
    luaL_checktype(L, 2, LUA_TTABLE);
    for (lua_pushnil(L); lua_next(L, 2) != 0; lua_pop(L, 1)) {
        const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "";
        if (strcmp(key, "store") != 0 && strcmp(key, "hot") != 0 && strcmp(key, "limit") != 0)
            return luaL_error(L, "regions{}: only store, hot and limit are known");
    }
    lua_pushinteger(L, 0);
    lua_getfield(L, 2, "store");
    if (!lua_isnil(L, -1) && !script_u64_from(L, -1, &store))
        return luaL_error(L, "regions{store = ...}: the id of a store is expected");
    lua_getfield(L, 2, "hot");
    if (!lua_isnil(L, -1) && lua_type(L, -1) != LUA_TNUMBER)
        return luaL_error(L, "regions{hot = ...}: operations per second are expected");
    lua_getfield(L, 2, "limit");
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        lua_pushinteger(L, INT32_MAX);
    } else if (lua_type(L, -1) != LUA_TNUMBER) {
        return luaL_error(L, "regions{limit = ...}: a number is expected");
    }
    lua_pushcclosure(L, next_region, 4);
    return 1;
}

static int view_region(lua_State *L)
{
    size_t unused;
    const struct pd_view *view = check_handle(L, VIEW, &unused);
    uint64_t id = script_u64_check(L, 2);
    script_state_charge(L, view->region_count / 16);
    for (size_t i = 0; i < view->region_count; i++)
        if (view->regions[i].id == id) {
            push_handle(L, REGION, i);
            return 1;
        }
    lua_pushnil(L);
    return 1;
}

static int view_index(lua_State *L)
{
    size_t unused;
    const struct pd_view *view = check_handle(L, VIEW, &unused);
    const char *key = luaL_checkstring(L, 2);
    if (strcmp(key, "now") == 0)
        lua_pushnumber(L, (lua_Number)view->now_ms);
    else if (strcmp(key, "decision_id") == 0)
        script_u64_push(L, view->decision_id);
    else if (strcmp(key, "store_count") == 0)
        lua_pushnumber(L, (lua_Number)view->store_count);
    else if (strcmp(key, "region_count") == 0)
        lua_pushnumber(L, (lua_Number)view->region_count);
    else if (strcmp(key, "stores") == 0)
        lua_pushcfunction(L, view_stores);
    else if (strcmp(key, "regions") == 0)
        lua_pushcfunction(L, view_regions);
    else if (strcmp(key, "region") == 0)
        lua_pushcfunction(L, view_region);
    else
        return luaL_error(L, "a view has no field \"%s\"", key);
    return 1;
}

static int refuse_write(lua_State *L)
{
    return luaL_error(L, "a view cannot be changed");
}

static void make_meta(lua_State *L, const char *name, lua_CFunction index)
{
    luaL_newmetatable(L, name);
    lua_pushcfunction(L, index);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, refuse_write);
    lua_setfield(L, -2, "__newindex");
    lua_pushstring(L, name + strlen("script."));
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
}

void script_view_open(lua_State *L)
{
    make_meta(L, VIEW, view_index);
    make_meta(L, STORE, store_index);
    make_meta(L, REGION, region_index);
}

void script_view_push(lua_State *L)
{
    push_handle(L, VIEW, 0);
}

bool script_view_region_id(lua_State *L, int index, uint64_t *ret)
{
    const struct script_state *s = script_state_of(L);
    if (script_u64_from(L, index, ret))
        return true;
    if (lua_type(L, index) != LUA_TUSERDATA || !lua_getmetatable(L, index))
        return false;
    luaL_getmetatable(L, REGION);
    bool is = lua_rawequal(L, -1, -2) == 1;
    lua_pop(L, 2);
    const struct handle *h = lua_touserdata(L, index);
    if (!is || s->view == NULL || h->plan != s->plan)
        return false;
    *ret = s->view->plain.regions[h->index].id;
    return true;
}
