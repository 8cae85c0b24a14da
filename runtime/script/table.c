/* Config files: Lua that returns a table, in a state that knows nothing but the pure library. */
#include <stdio.h>
#include <stdlib.h>

#include "marshal.h"
#include "script.h"
#include "sources.h"
#include "state.h"

enum { TABLE_MEMORY = 16 << 20, TABLE_INSTRUCTIONS = 5000000, TABLE_FILE_MAX = 256 << 10 };

struct loading {
    struct bytes text;
    const char *chunk;
};

static int load(lua_State *L)
{
    const struct loading *loading = lua_touserdata(L, 1);
    if (script_sources_compile(L, loading->text, loading->chunk) != 0)
        return lua_error(L);
    lua_call(L, 0, 1);
    if (!lua_istable(L, -1))
        return luaL_error(L, "%s:1: the file must return a table: return { ... }",
                          loading->chunk + 1);
    script_marshal_read(L, -1, false);
    return 0;
}

err_t script_load_table_text(struct bytes text, const char *chunk, struct value **ret,
                             struct err *e)
{
    const struct script_state_config config = { TABLE_MEMORY, TABLE_INSTRUCTIONS, 0 };
    struct script_state *s = NULL;
    struct buf named = { 0 };
    err_t rc = script_state_open(&config, &s, e);
    if (rc != ERR_OK)
        return rc;
    if (buf_printf(&named, "@%s%c", chunk, '\0') != ERR_OK)
        abort();
    struct loading loading = { text, (const char *)named.data };
    s->chunk = text;
    rc = script_state_run(s, NULL, load, &loading, e);
    if (rc == ERR_OK)
        *ret = script_marshal_take(s);
    script_state_close(s);
    buf_free(&named);
    return rc;
}

err_t script_load_table(struct env *env, const char *path, struct value **ret, struct err *e)
{
    struct buf text = { 0 };
    err_t rc = env_read_file(env, path, TABLE_FILE_MAX, &text, e);
    if (rc == ERR_OK)
        rc = script_load_table_text(buf_bytes(&text), path, ret, e);
    buf_free(&text);
    return rc;
}
