#include "policy.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "params.h"
#include "sandbox.h"
#include "u64.h"

struct planning {
    const struct view *view;
    struct script_plan *plan;
};

static const struct {
    const char *name;
    enum pd_kind kind;
    bool from, to, key;
} kinds[] = { { "split", PD_SPLIT, false, false, true },
              { "move", PD_MOVE, true, true, false },
              { "merge", PD_MERGE, false, false, false },
              { "transfer_leader", PD_TRANSFER_LEADER, false, true, false } };
enum { KINDS = sizeof kinds / sizeof kinds[0] };

/* ---- Reading one proposal (the table on top) ----------------------------------------------- */

/* Raises with the place of plan() in front. */
static int complain(lua_State *L, const char *fmt, ...) PRINTF_LIKE(2, 3);
static int complain(lua_State *L, const char *fmt, ...)
{
    char text[300];
    lua_Debug ar;
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    script_bundle_push_policy(L);
    lua_getfield(L, -1, "plan");
    lua_getinfo(L, ">S", &ar);
    return luaL_error(L, "%s:%d: plan() %s", ar.short_src, ar.linedefined, text);
}

static int bad(lua_State *L, size_t number, const char *what)
{
    return complain(L, "gave proposal %zu: %s", number, what);
}

static const char *const fields[] = { "kind", "region", "from", "to", "key", "reason" };

static void check_fields(lua_State *L, int at, size_t number)
{
    for (lua_pushnil(L); lua_next(L, at) != 0; lua_pop(L, 1)) {
        const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "?";
        size_t i = 0;
        while (i < sizeof fields / sizeof fields[0] && strcmp(fields[i], name) != 0)
            i++;
        if (i == sizeof fields / sizeof fields[0])
            complain(L, "gave proposal %d: unknown field \"%s\"", (int)number, name);
    }
}

static size_t read_kind(lua_State *L, int at, size_t number)
{
    lua_getfield(L, at, "kind");
    const char *name = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "";
    size_t i = 0;
    while (i < KINDS && strcmp(kinds[i].name, name) != 0)
        i++;
    if (i == KINDS)
        bad(L, number, "kind is split, move, merge or transfer_leader");
    lua_pop(L, 1);
    return i;
}

static const struct pd_region_view *read_region(lua_State *L, int at, size_t number,
                                                const struct view *view)
{
    uint64_t id = 0;
    lua_getfield(L, at, "region");
    if (!script_view_region_id(L, -1, &id))
        bad(L, number, "region is the id of a region (u64), or a region of this view");
    const struct pd_region_view *region = script_view_region(view, id);
    if (region == NULL)
        bad(L, number, "the view has no such region");
    lua_pop(L, 1);
    return region;
}

static uint64_t read_store(lua_State *L, int at, size_t number, const struct view *view,
                           const char *field)
{
    uint64_t id = 0;
    const struct pd_view *plain = script_view_plain(view);
    lua_getfield(L, at, field);
    bool known = false;
    if (script_u64_from(L, -1, &id))
        for (size_t i = 0; i < plain->store_count; i++)
            known = known || plain->stores[i].id == id;
    if (!known)
        bad(L, number, "from and to are ids of stores of the view");
    lua_pop(L, 1);
    return id;
}

static void read_key(lua_State *L, int at, size_t number, const struct pd_region_view *region,
                     struct buf *ret)
{
    size_t len = 0;
    lua_getfield(L, at, "key");
    if (lua_type(L, -1) != LUA_TSTRING)
        bad(L, number, "a split wants its key");
    const char *text = lua_tolstring(L, -1, &len);
    struct bytes key = bytes_from(text, len);
    bool inside = bytes_compare(key, region->start_key) > 0 &&
                  (region->end_unbounded || bytes_compare(key, region->end_key) < 0);
    if (!inside)
        bad(L, number, "the key is not strictly inside the region: one half would be empty");
    if (buf_append(ret, key) != ERR_OK)
        bad(L, number, "no memory for the key");
    lua_pop(L, 1);
}

static void read_reason(lua_State *L, int at, size_t number, char *out, size_t size)
{
    size_t len = 0;
    lua_getfield(L, at, "reason");
    const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &len) : NULL;
    if (text == NULL || len == 0 || len >= size || strlen(text) != len)
        complain(L, "gave proposal %zu: a reason of 1 to %zu bytes is expected", number, size - 1);
    memcpy(out, text, len + 1);
    lua_pop(L, 1);
}

static void read_proposal(lua_State *L, struct planning *p, size_t number)
{
    int at = lua_gettop(L);
    struct pd_proposal *to = &p->plan->proposals[number - 1];
    if (!lua_istable(L, at))
        bad(L, number, "it is no table");
    check_fields(L, at, number);
    size_t kind = read_kind(L, at, number);
    const struct pd_region_view *region = read_region(L, at, number, p->view);
    *to = (struct pd_proposal){ .kind = kinds[kind].kind,
                                .region_id = region->id,
                                .conf_ver = region->conf_ver,
                                .version = region->version };
    p->plan->count = number; /* from here on script_policy_free() knows of it */
    if (kinds[kind].from)
        to->from_store = read_store(L, at, number, p->view, "from");
    if (kinds[kind].to)
        to->to_store = read_store(L, at, number, p->view, "to");
    if (kinds[kind].from && to->from_store == to->to_store)
        bad(L, number, "from and to are the same store");
    if (kinds[kind].key)
        read_key(L, at, number, region, &to->split_key);
    read_reason(L, at, number, to->reason, sizeof to->reason);
}

/* ---- The plan ------------------------------------------------------------------------------ */

static void read_proposals(lua_State *L, int at, struct planning *p)
{
    if (lua_isnil(L, at))
        return;
    if (!lua_istable(L, at))
        complain(L, "must return a list of proposals, not a %s", luaL_typename(L, at));
    size_t n = lua_objlen(L, at);
    if (n > SCRIPT_PROPOSALS_MAX)
        complain(L, "gave more than %d proposals", SCRIPT_PROPOSALS_MAX);
    p->plan->proposals = calloc(n + 1, sizeof *p->plan->proposals);
    if (p->plan->proposals == NULL)
        luaL_error(L, "no memory for %d proposals", (int)n);
    for (size_t i = 1; i <= n; i++) {
        script_state_charge(L, 10);
        lua_rawgeti(L, at, (int)i);
        read_proposal(L, p, i);
        lua_pop(L, 1);
    }
}

static void add_note(lua_State *L, struct buf *notes)
{
    size_t len;
    script_sandbox_tostring(L, -1);
    const char *text = lua_tolstring(L, -1, &len);
    lua_pop(L, 1);
    if (notes->len + len + 2 > SCRIPT_NOTES_MAX)
        return;
    if ((notes->len > 0 && buf_append(notes, BYTES("\n")) != ERR_OK) ||
        buf_append(notes, bytes_from(text, len)) != ERR_OK)
        luaL_error(L, "no memory for notes");
}

static void read_notes(lua_State *L, int at, struct planning *p)
{
    if (lua_isnil(L, at))
        return;
    if (!lua_istable(L, at)) {
        lua_pushvalue(L, at);
        add_note(L, &p->plan->notes);
        return;
    }
    for (size_t i = 1; i <= lua_objlen(L, at) && i <= 100; i++) {
        lua_rawgeti(L, at, (int)i);
        add_note(L, &p->plan->notes);
        lua_pop(L, 1);
    }
}

static int ask(lua_State *L)
{
    struct planning *p = lua_touserdata(L, 1);
    lua_settop(L, 0);
    script_bundle_push_policy(L);
    lua_getfield(L, 1, "plan");
    script_view_push(L);
    script_params_push(L, 1);
    lua_getfield(L, LUA_REGISTRYINDEX, "script.kept");
    lua_call(L, 3, 2);
    read_proposals(L, 2, p);
    read_notes(L, 3, p);
    return 0;
}

static const char *text_of(struct buf *b)
{
    if (buf_append(b, bytes_from("", 1)) != ERR_OK)
        abort();
    return (const char *)b->data;
}

void script_policy_plan(struct script_bundle *b, const struct script_stop *stop,
                        const struct view *view, struct script_plan *ret)
{
    struct script_state *s = b->state;
    struct planning planning = { view, ret };
    struct err e = { 0 };
    *ret = (struct script_plan){ 0 };
    s->view = view;
    s->plan++;
    prng_seed(&s->prng, script_view_plain(view)->decision_id);
    err_t rc = script_state_run(s, stop, ask, &planning, &e);
    s->view = NULL;
    if (rc != ERR_OK &&
        (buf_append(&ret->error, BYTES(e.msg)) != ERR_OK ||
         (s->trace.len > 0 && (buf_append(&ret->error, BYTES("\n")) != ERR_OK ||
                               buf_append(&ret->error, buf_bytes(&s->trace)) != ERR_OK))))
        abort();
    ret->plain = (struct pd_plan){ .rc = rc,
                                   .error = rc != ERR_OK ? text_of(&ret->error) : NULL,
                                   .proposals = rc == ERR_OK ? ret->proposals : NULL,
                                   .count = rc == ERR_OK ? ret->count : 0,
                                   .notes = text_of(&ret->notes),
                                   .instructions = s->used };
}

void script_policy_free(struct script_plan *plan)
{
    for (size_t i = 0; i < plan->count; i++)
        buf_free(&plan->proposals[i].split_key);
    free(plan->proposals);
    buf_free(&plan->notes);
    buf_free(&plan->error);
    *plan = (struct script_plan){ 0 };
}
