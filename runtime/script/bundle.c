#include "bundle.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "lint.h"
#include "marshal.h"
#include "params.h"
#include "policy.h"
#include "view.h"

/* ---- Naming the place ---------------------------------------------------------------------- */

static const uint8_t *line_at(struct bytes text, unsigned line, size_t *len)
{
    const uint8_t *at = text.data, *end = text.data + text.len;
    for (unsigned n = 1; n < line && at != NULL; n++) {
        const uint8_t *newline = memchr(at, '\n', (size_t)(end - at));
        at = newline != NULL ? newline + 1 : NULL;
    }
    if (at == NULL)
        at = end;
    const uint8_t *stop = at < end ? memchr(at, '\n', (size_t)(end - at)) : NULL;
    *len = (size_t)((stop != NULL ? stop : end) - at);
    return at;
}

/* The line where a field is written ("kind = ..."), for errors about it; 1 if it is not there. */
static unsigned line_of(struct bytes text, const char *field)
{
    size_t n = strlen(field);
    unsigned line = 1;
    for (size_t i = 0; i < text.len; i++) {
        line += text.data[i] == '\n';
        bool begins = i == 0 || !(isalnum(text.data[i - 1]) || text.data[i - 1] == '_');
        if (!begins || text.len - i < n || memcmp(text.data + i, field, n) != 0)
            continue;
        size_t k = i + n;
        while (k < text.len && (text.data[k] == ' ' || text.data[k] == '\t'))
            k++;
        if (k + 1 < text.len && text.data[k] == '=' && text.data[k + 1] != '=')
            return line;
    }
    return 1;
}

static err_t refuse(struct script_bundle *b, const char *file, const char *field, struct err *e,
                    const char *what)
{
    struct bytes text = { 0 };
    size_t len = 0;
    script_sources_find(b->sources, file, &text);
    unsigned line = line_of(text, field);
    const uint8_t *source = line_at(text, line, &len);
    return err_set(e, ERR_SCRIPT, "%s:%u: %s\n  %u | %.*s", file, line, what, line,
                   (int)(len < 200 ? len : 200), (const char *)source);
}

/* ---- Compile and lint ---------------------------------------------------------------------- */

static int compile_all(lua_State *L)
{
    struct script_bundle *b = lua_touserdata(L, 1);
    for (size_t i = 0; i < script_sources_count(b->sources); i++) {
        char chunk[SCRIPT_FILES_MAX + 400];
        snprintf(chunk, sizeof chunk, "@%s", script_sources_name(b->sources, i));
        script_state_charge(L, script_sources_text(b->sources, i).len / 64);
        if (script_sources_compile(L, script_sources_text(b->sources, i), chunk) != 0)
            return lua_error(L);
        lua_pop(L, 1);
    }
    return 0;
}

static err_t lint_all(struct script_bundle *b, struct err *e)
{
    struct script_finding f;
    for (size_t i = 0; i < script_sources_count(b->sources); i++) {
        struct bytes text = script_sources_text(b->sources, i);
        size_t len;
        if (!script_lint(text, &f))
            continue;
        const uint8_t *source = line_at(text, f.line, &len);
        return err_set(
            e, ERR_SCRIPT,
            "%s:%u: global '%s' does not exist for scripts (declare it local, or see docs/policies.md for what there is)\n  %u | %.*s",
            script_sources_name(b->sources, i), f.line, f.name, f.line,
            (int)(len < 200 ? len : 200), (const char *)source);
    }
    return ERR_OK;
}

/* ---- Load and read the schemas ------------------------------------------------------------- */

struct loading {
    struct script_bundle *b;
    const char *file;  /* whose schema is being read */
    const char *field; /* what is wrong with it, in `what`; NULL: nothing */
    char what[200];
};

static bool wrong(struct loading *l, const char *field, const char *fmt, ...) PRINTF_LIKE(3, 4);
static bool wrong(struct loading *l, const char *field, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(l->what, sizeof l->what, fmt, args);
    va_end(args);
    l->field = field;
    return false;
}

/* A short text at `field` of the table on top. */
static bool read_text(lua_State *L, struct loading *l, const char *field, char *out, size_t size)
{
    size_t len = 0;
    lua_pushstring(L, field);
    lua_rawget(L, -2);
    const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &len) : NULL;
    bool ok = text != NULL && len > 0 && len < size && strlen(text) == len;
    if (ok)
        memcpy(out, text, len + 1);
    lua_pop(L, 1);
    return ok || wrong(l, field, "%s must be a text of 1 to %zu bytes", field, size - 1);
}

/* One parameter, on top: { type, default, doc, min, max }. */
static bool check_param(lua_State *L, struct loading *l, const char *name)
{
    char type[16], doc[512];
    if (!lua_istable(L, -1))
        return wrong(l, name, "params.%s must be a table { type, default, doc }", name);
    if (!read_text(L, l, "type", type, sizeof type) || !read_text(L, l, "doc", doc, sizeof doc))
        return false;
    bool number = strcmp(type, "number") == 0 || strcmp(type, "integer") == 0;
    bool known = number || strcmp(type, "boolean") == 0 || strcmp(type, "string") == 0;
    if (!known)
        return wrong(l, name, "params.%s: type is number, integer, boolean or string, not \"%s\"",
                     name, type);
    lua_getfield(L, -1, "default");
    lua_getfield(L, -2, "value");
    bool own = lua_isnil(L, -1);
    lua_pop(L, 1);
    bool fits = number ? lua_type(L, -1) == LUA_TNUMBER : strcmp(luaL_typename(L, -1), type) == 0;
    lua_Number x = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : 0;
    lua_getfield(L, -2, "min");
    lua_getfield(L, -3, "max");
    bool inside = (lua_isnil(L, -2) || x >= lua_tonumber(L, -2)) &&
                  (lua_isnil(L, -1) || x <= lua_tonumber(L, -1));
    lua_pop(L, 3);
    if (!own)
        return wrong(l, name, "params.%s: value is the node's config's to set; write default",
                     name);
    if (!fits || (type[0] == 'i' && x != (lua_Number)(int64_t)x))
        return wrong(l, name, "params.%s: the default is no %s", name, type);
    return inside || wrong(l, name, "params.%s: the default is outside of min and max", name);
}

static bool check_params(lua_State *L, struct loading *l)
{
    lua_getfield(L, -1, "params");
    bool ok = true;
    if (!lua_isnil(L, -1) && !lua_istable(L, -1))
        ok = wrong(l, "params", "params must be a table");
    if (lua_istable(L, -1))
        for (lua_pushnil(L); ok && lua_next(L, -2) != 0;) {
            if (lua_type(L, -2) != LUA_TSTRING)
                ok = wrong(l, "params", "the names of params are text");
            else
                ok = check_param(L, l, lua_tostring(L, -2));
            lua_pop(L, 1);
            if (!ok)
                lua_pop(L, 1);
        }
    lua_pop(L, 1);
    return ok;
}

static bool has_function(lua_State *L, struct loading *l, const char *field, const char *kind)
{
    lua_getfield(L, -1, field);
    bool ok = lua_isfunction(L, -1);
    lua_pop(L, 1);
    return ok || wrong(l, field, "a bundle's file of kind %s has a function %s", kind, field);
}

/* What each kind must bring along. */
static const struct {
    const char *kind, *function;
} kinds[] = { { "placement", "plan" }, { "split", "decide" }, { "move", "step" },
              { "merge", "decide" },   { "admin", "call" },   { "console", "globals" } };

/* plan() is asked of the module in `file`. */
static void set_main(lua_State *L, const char *file)
{
    lua_pushlstring(L, file, strlen(file) - strlen(".lua"));
    lua_setfield(L, LUA_REGISTRYINDEX, "script.main");
}

/* The module's table is on top. */
static bool check_schema(lua_State *L, struct loading *l)
{
    struct script_policy_info info = { 0 };
    lua_getfield(L, -1, "api");
    bool api = lua_type(L, -1) == LUA_TNUMBER && lua_tonumber(L, -1) == 1;
    lua_pop(L, 1);
    if (!api)
        return wrong(l, "api", "api must be 1: this node speaks no other");
    if (!read_text(L, l, "name", info.name, sizeof info.name) ||
        !read_text(L, l, "version", info.version, sizeof info.version) ||
        !read_text(L, l, "kind", info.kind, sizeof info.kind))
        return false;
    size_t i = 0;
    while (i < sizeof kinds / sizeof kinds[0] && strcmp(kinds[i].kind, info.kind) != 0)
        i++;
    if (i == sizeof kinds / sizeof kinds[0])
        return wrong(l, "kind",
                     "kind is placement, split, move, merge, admin or console, not \"%s\"",
                     info.kind);
    if (!check_params(L, l) || !has_function(L, l, kinds[i].function, info.kind))
        return false;
    snprintf(info.file, sizeof info.file, "%s", l->file);
    struct script_bundle *b = l->b;
    if (b->preferred != NULL && strcmp(l->file, b->preferred) == 0 &&
        strcmp(info.kind, "placement") == 0)
        set_main(L, l->file);
    if (b->policy_count == sizeof b->policies / sizeof b->policies[0])
        return wrong(l, "api", "more than %zu files with a schema", b->policy_count);
    b->policies[b->policy_count++] = info;
    return true;
}

static int load_all(lua_State *L)
{
    struct loading *l = lua_touserdata(L, 1);
    struct script_sources *sources = l->b->sources;
    script_view_open(L);
    set_main(L, "pd.lua");
    lua_settop(L, 0);
    for (size_t i = 0; i < script_sources_count(sources); i++) {
        char module[64];
        const char *name = script_sources_name(sources, i);
        if (strchr(name, '/') != NULL) /* lib/: loaded by whoever requires it */
            continue;
        if (strlen(name) - 4 >= sizeof module)
            return luaL_error(L, "%s:1: a file's name has at most %d bytes", name,
                              (int)sizeof module + 3);
        snprintf(module, sizeof module, "%.*s", (int)strlen(name) - 4, name);
        lua_getglobal(L, "require");
        lua_pushstring(L, module);
        lua_call(L, 1, 1);
        l->file = name;
        bool described = false;
        if (lua_istable(L, -1)) {
            lua_getfield(L, -1, "kind");
            lua_getfield(L, -2, "api");
            described = !lua_isnil(L, -1) || !lua_isnil(L, -2);
            lua_pop(L, 2);
        }
        bool ok = lua_istable(L, -1) || wrong(l, "", "a file of a bundle returns a table");
        if (!ok || (described && !check_schema(L, l)))
            return 0;
        lua_settop(L, 0);
    }
    return 0;
}

/* The files that every bundle has: the placement policy, consoles, admin verbs. */
static const struct {
    const char *file, *kind, *otherwise;
} wanted[] = { { "pd.lua", "placement", "pd.lua must be of kind placement" },
               { "admin.lua", "admin", "admin.lua must be of kind admin" },
               { "console.lua", "console", "console.lua must be of kind console" } };
enum { WANTED = sizeof wanted / sizeof wanted[0] };

static err_t check_files(struct script_bundle *b, struct err *e)
{
    struct bytes unused;
    for (size_t i = 0; i < WANTED; i++)
        if (!script_sources_find(b->sources, wanted[i].file, &unused))
            return err_set(
                e, ERR_SCRIPT,
                "%s:1: the file is missing (a bundle has pd.lua, admin.lua and console.lua; "
                "copy the installed ones)",
                wanted[i].file);
    return ERR_OK;
}

static err_t check_kinds(struct script_bundle *b, struct err *e)
{
    for (size_t i = 0; i < WANTED; i++) {
        bool right = false;
        for (size_t k = 0; k < b->policy_count; k++)
            right = right || (strcmp(b->policies[k].file, wanted[i].file) == 0 &&
                              strcmp(b->policies[k].kind, wanted[i].kind) == 0);
        if (!right)
            return refuse(b, wanted[i].file, "kind", e, wanted[i].otherwise);
    }
    return ERR_OK;
}

/* ---- Parameters ---------------------------------------------------------------------------- */

struct configuring {
    const struct script_bundle *b;
    const struct value *params; /* may be NULL */
    char why[SCRIPT_PARAMS_WHY_MAX + 64];
};

/* The name of a file's module; false for one that no config may speak of: verbs and consoles run in states of their
 * own, which know no parameters. */
static bool takes_params(const struct script_policy_info *info, char module[64])
{
    snprintf(module, 64, "%.*s", (int)strlen(info->file) - 4, info->file);
    return strcmp(info->kind, "admin") != 0 && strcmp(info->kind, "console") != 0;
}

static err_t check_scripts(const struct script_bundle *b, const struct value *params, struct err *e)
{
    char module[64], all[300] = "";
    for (size_t i = 0, used = 0; i < b->policy_count && used < sizeof all; i++)
        if (takes_params(&b->policies[i], module))
            used += (size_t)snprintf(all + used, sizeof all - used, "%s%s", used > 0 ? ", " : "",
                                     module);
    for (size_t i = 0; i < params->count; i++) {
        bool known = false;
        for (size_t k = 0; !known && k < b->policy_count; k++)
            known = takes_params(&b->policies[k], module) &&
                    bytes_equal(buf_bytes(&params->keys[i]), BYTES(module));
        if (!known)
            return err_set(e, ERR_INVALID_ARGUMENT,
                           "policy.params.%.*s: there is no such policy among the scripts; there "
                           "are %s",
                           (int)params->keys[i].len, (const char *)params->keys[i].data, all);
    }
    return ERR_OK;
}

/* Sets the parameters of every policy, and leaves what is in force as a list of tables. */
static int configure_all(lua_State *L)
{
    struct configuring *c = lua_touserdata(L, 1);
    char module[64], why[SCRIPT_PARAMS_WHY_MAX];
    lua_settop(L, 0);
    lua_newtable(L);
    for (size_t i = 0; i < c->b->policy_count; i++) {
        const struct value *given = NULL;
        if (takes_params(&c->b->policies[i], module))
            given = value_get(c->params, module);
        lua_getglobal(L, "require");
        lua_pushstring(L, module);
        lua_call(L, 1, 1);
        if (given != NULL && !script_params_set(L, given, why)) {
            snprintf(c->why, sizeof c->why, "%s%s", module, why);
            return 0;
        }
        script_params_push(L, 2);
        lua_rawseti(L, 1, (int)i + 1);
        lua_settop(L, 1);
    }
    script_marshal_read(L, 1, false);
    return 0;
}

static err_t configure(struct script_bundle *b, const struct script_stop *stop,
                       const struct value *params, struct err *e)
{
    struct configuring c = { .b = b, .params = params };
    err_t rc = params != NULL ? check_scripts(b, params, e) : ERR_OK;
    if (rc == ERR_OK)
        rc = script_state_run(b->state, stop, configure_all, &c, e);
    if (rc == ERR_OK && c.why[0] != '\0')
        rc = err_set(e, ERR_INVALID_ARGUMENT, "policy.params.%s", c.why);
    if (rc == ERR_OK)
        b->params = script_marshal_take(b->state);
    return rc;
}

/* ---- State across a reload ----------------------------------------------------------------- */

void script_bundle_push_policy(lua_State *L)
{
    lua_getglobal(L, "require");
    lua_getfield(L, LUA_REGISTRYINDEX, "script.main");
    lua_call(L, 1, 1);
}

static int save_state(lua_State *L)
{
    lua_settop(L, 0);
    script_bundle_push_policy(L);
    lua_getfield(L, 1, "save");
    if (lua_isnil(L, -1))
        return 0;
    lua_getfield(L, LUA_REGISTRYINDEX, "script.kept");
    lua_call(L, 1, 1);
    script_marshal_read(L, -1, false);
    return 0;
}

struct starting {
    const struct value *saved;
    const char *from_version;
};

static int init_state(lua_State *L)
{
    struct starting *starting = lua_touserdata(L, 1);
    lua_settop(L, 0);
    script_bundle_push_policy(L);
    lua_getfield(L, 1, "init");
    if (lua_isnil(L, -1)) {
        lua_newtable(L);
    } else {
        script_params_push(L, 1);
        script_marshal_push(L, starting->saved);
        if (starting->from_version != NULL)
            lua_pushstring(L, starting->from_version);
        else
            lua_pushnil(L);
        lua_call(L, 3, 1);
        if (!lua_istable(L, -1))
            return luaL_error(L,
                              "pd.lua: init() must return the table that plan() gets as its state");
    }
    lua_setfield(L, LUA_REGISTRYINDEX, "script.kept");
    return 0;
}

static const char *version_of(const struct script_bundle *b)
{
    for (size_t i = 0; i < b->policy_count; i++)
        if (strcmp(b->policies[i].file, "pd.lua") == 0)
            return b->policies[i].version;
    return NULL;
}

static err_t carry_state(struct script_bundle *b, const struct script_stop *stop,
                         struct script_bundle *before, struct err *e)
{
    struct starting starting = { 0 };
    struct err inner = { 0 };
    struct value *saved = NULL;
    if (before != NULL &&
        script_state_run(before->state, stop, save_state, NULL, &inner) == ERR_OK) {
        saved = script_marshal_take(before->state);
        starting = (struct starting){ saved, version_of(before) };
    } /* else: a policy that cannot save begins anew; it must not hold up its successor */
    err_t rc = script_state_run(b->state, stop, init_state, &starting, e);
    value_free(saved);
    return rc;
}

/* ---- Building ------------------------------------------------------------------------------ */

static err_t dry_run(struct script_bundle *b, const struct script_stop *stop, struct err *e)
{
    struct view *view = NULL;
    struct script_plan plan = { 0 };
    if (script_view_sample(&view) != ERR_OK)
        return err_set(e, ERR_NOMEM, "no memory for a dry run");
    script_policy_plan(b, stop, view, &plan);
    err_t rc = plan.plain.rc;
    if (rc != ERR_OK)
        err_set(e, rc, "%s (in the dry run over a small made-up view)", plan.plain.error);
    b->check_instructions = plan.plain.instructions;
    b->check_proposals = plan.plain.count;
    script_policy_free(&plan);
    script_view_free(view);
    return rc;
}

static err_t check(struct script_bundle *b, const struct script_stop *stop,
                   const struct value *params, struct script_bundle *before, struct err *e)
{
    struct loading l = { .b = b };
    err_t rc = check_files(b, e);
    if (rc == ERR_OK)
        rc = script_state_run(b->state, stop, compile_all, b, e);
    if (rc == ERR_OK)
        rc = lint_all(b, e);
    if (rc == ERR_OK)
        rc = script_state_run(b->state, stop, load_all, &l, e);
    if (rc == ERR_OK && l.field != NULL)
        rc = refuse(b, l.file, l.field, e, l.what);
    if (rc == ERR_OK)
        rc = check_kinds(b, e);
    if (rc == ERR_OK)
        rc = configure(b, stop, params, e);
    if (rc ==
        ERR_OK) /* the dry run has a state of its own: what it changes there is not carried on */
        rc = carry_state(b, stop, NULL, e);
    if (rc == ERR_OK)
        rc = dry_run(b, stop, e);
    if (rc == ERR_OK)
        rc = carry_state(b, stop, before, e);
    return rc;
}

err_t script_bundle_build(struct script_sources *sources, const struct script_limits *limits,
                          const struct script_stop *stop, uint64_t generation,
                          const char *preferred, const struct value *params,
                          struct script_bundle *before, struct script_bundle **ret, struct err *e)
{
    const struct script_state_config config = { limits->memory_bytes, limits->instructions, 0 };
    struct script_bundle *b = calloc(1, sizeof *b);
    if (b == NULL)
        abort();
    b->sources = sources;
    b->generation = generation;
    b->preferred = preferred;
    err_t rc = script_state_open(&config, &b->state, e);
    if (rc == ERR_OK) {
        b->state->sources = sources;
        rc = check(b, stop, params, before, e);
    }
    b->preferred = NULL; /* the caller's */
    if (rc != ERR_OK) {
        script_bundle_free(b);
        return rc;
    }
    *ret = b;
    return ERR_OK;
}

void script_bundle_free(struct script_bundle *b)
{
    if (b == NULL)
        return;
    script_state_close(b->state);
    script_sources_drop(b->sources);
    value_free(b->params);
    free(b);
}
