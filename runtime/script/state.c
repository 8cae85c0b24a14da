/* Memory cap, instruction budget, watchdog, and the one way into Lua.
 *
 * Instructions are counted in ticks of TICK. In a state that has seen a large block a single instruction may take a
 * millisecond (a string of megabytes concatenated, compared, converted), so there a tick is TICK_HEAVY; and when
 * DEBT_MAX bytes were allocated since the last tick, the allocator itself looks whether somebody says stop.
 *
 * Nothing that is counted depends on time, or on what the collector has freed so far: the same script uses up its
 * budget at the same count. (LuaJIT seeds its string hash anew in every state, so the order in which it frees strings
 * differs: only the moment at which a script full of garbage meets its memory cap may vary a little.) */
#include "state.h"

#include <assert.h>
#include <luajit.h>
#include <stdio.h>
#include <stdlib.h>

#include "sources.h"
#include "sandbox.h"

enum {
    TICK = 100,
    TICK_HEAVY = 8,
    HEAVY = 256 << 10,  /* bytes of a block that makes a state heavy */
    DEBT_MAX = 1 << 20, /* bytes allocated between two ticks */
    GRACE = 16,         /* the last 1/16 of the memory is there to fail in good order */
    BYTES_PER_INSTRUCTION = 16,
    C_STACK_MAX = 192 << 10, /* bytes of nested C frames in one run; a thread has at least 1 MiB */
};

static void on_tick(lua_State *L, lua_Debug *ar);

struct script_state *script_state_of(lua_State *L)
{
    void *s;
    lua_getallocf(L, &s);
    return s;
}

/* Why the watchdog wants an end; 0: it does not. */
static int told(const struct script_state *s)
{
    return s->stop != NULL ? atomic_load_explicit(&s->stop->reason, memory_order_relaxed) : 0;
}

/* The only mask ever set is LUA_MASKCOUNT, so this is three stores: safe from within the allocator. */
static void arm(struct script_state *s, int count)
{
    s->armed = (uint64_t)count;
    lua_sethook(s->L, on_tick, LUA_MASKCOUNT, count);
}

static int tick_of(const struct script_state *s)
{
    return s->heavy ? TICK_HEAVY : TICK;
}

/* ---- Memory -------------------------------------------------------------------------------- */

static void *allocate(void *user, void *block, size_t old_size, size_t size)
{
    struct script_state *s = user;
    if (block == NULL)
        old_size = 0;
    if (size == 0) {
        s->memory -= old_size;
        free(block);
        return NULL;
    }
    if (size > old_size) {
        s->allocations += s->L != NULL;
        uint64_t after = s->memory - old_size + size;
        bool refused = after > s->memory_max || (s->fail_at != 0 && s->allocations >= s->fail_at);
        if (s->L != NULL && (refused || after > s->memory_max - s->memory_max / GRACE)) {
            if (s->breach == ERR_OK)
                s->breach = ERR_NOMEM;
            if (refused)
                return NULL;
            arm(s, 1); /* the hook can say where, a refusal cannot */
        }
    }
    void *moved = realloc(block, size);
    if (moved == NULL && s->L == NULL)
        abort(); /* lua_newstate() of LuaJIT 2.1 crashes when its second block is refused; it wants 13 KiB */
    if (moved == NULL)
        return NULL;
    s->memory = s->memory - old_size + size;
    if (s->memory > s->memory_peak)
        s->memory_peak = s->memory;
    s->heavy = s->heavy || (size >= HEAVY && (size & (size - 1)) != 0);
    s->debt += size;
    if (s->debt > DEBT_MAX && told(s) != 0 && s->L != NULL)
        arm(s, 1);
    return moved;
}

/* ---- Instructions and the watchdog --------------------------------------------------------- */

static const char *breach_text(const struct script_state *s, char *out, size_t size)
{
    switch (s->breach) {
    case ERR_CANCELLED:
        return "cancelled";
    case ERR_DEADLINE_EXCEEDED:
        return "the deadline of the script has passed";
    case ERR_NOMEM:
        snprintf(out, size, "not enough memory (the cap is %llu bytes)",
                 (unsigned long long)s->memory_max);
        return out;
    default:
        snprintf(out, size, "the budget of %llu instructions is used up",
                 (unsigned long long)s->budget);
        return out;
    }
}

/* True if the run may go on. */
static bool spend(struct script_state *s, uint64_t n)
{
    s->debt = 0;
    if (s->breach != ERR_OK)
        return false;
    s->used += n;
    if (told(s) != 0)
        s->breach = (err_t)told(s);
    else if (s->used > s->budget)
        s->breach = ERR_BUDGET;
    return s->breach == ERR_OK;
}

static void on_tick(lua_State *L, lua_Debug *ar)
{
    struct script_state *s = script_state_of(L);
    char text[96];
    if (spend(s, s->armed)) {
        arm(s, tick_of(s));
        return;
    }
    arm(s, 1);
    const char *why = breach_text(s, text, sizeof text);
    if (lua_getinfo(L, "Sl", ar) && ar->currentline > 0)
        luaL_error(L, "%s:%d: %s", ar->short_src, ar->currentline, why);
    luaL_error(L, "%s", why);
}

void script_state_charge(lua_State *L, uint64_t n)
{
    struct script_state *s = script_state_of(L);
    char text[96];
    if (spend(s, n))
        return;
    arm(s, 1);
    luaL_error(L, "%s", breach_text(s, text, sizeof text));
}

void script_state_charge_bytes(lua_State *L, size_t len)
{
    script_state_charge(L, len / BYTES_PER_INSTRUCTION);
}

void script_state_descend(lua_State *L)
{
    const char *here = __builtin_frame_address(0);
    const char *begin = script_state_of(L)->stack;
    size_t depth = here < begin ? (size_t)(begin - here) : (size_t)(here - begin);
    if (depth > C_STACK_MAX)
        luaL_error(L, "calls are nested too deep");
}

/* ---- Entering ------------------------------------------------------------------------------ */

struct entry {
    struct script_state *s;
    lua_CFunction body;
    void *arg;
    int status;
};

static void keep(struct buf *to, const char *text, size_t len)
{
    buf_clear(to);
    if (buf_append(to, bytes_from(text, len)) != ERR_OK)
        buf_clear(to);
}

/* A traceback without addresses: they differ from run to run, and are nobody's business. Our own frames at its end
 * ("[C]: at 0x...") say nothing else, and go as a whole. */
static void keep_trace(struct buf *to, const char *trace, size_t len)
{
    static const char address[] = ": at 0x", ours[] = "\n\t[C]", head[] = "stack traceback:";
    const char *end = trace + len;
    buf_clear(to);
    for (const char *line = trace; line < end;) {
        const char *next = memchr(line + 1, '\n', (size_t)(end - line - 1));
        size_t n = (size_t)((next != NULL ? next : end) - line);
        const char *at = memmem(line, n, address, sizeof address - 1);
        if (at != NULL)
            n = (size_t)(at - line);
        bool is_ours = at != NULL && n == sizeof ours - 1 && memcmp(line, ours, n) == 0;
        if (!is_ours && buf_append(to, bytes_from(line, n)) != ERR_OK)
            return;
        line = next != NULL ? next : end;
    }
    if (to->len == sizeof head - 1) /* the head alone */
        buf_clear(to);
}

/* Runs at the place of the error; calls no Lua. The message itself is made readable later, outside. */
static int on_error(lua_State *L)
{
    size_t len;
    luaL_traceback(L, L, NULL, 1);
    const char *trace = lua_tolstring(L, -1, &len);
    keep_trace(&script_state_of(L)->trace, trace, len);
    lua_pop(L, 1);
    return 1;
}

static int describe(lua_State *L)
{
    lua_settop(L, 1);
    if (lua_type(L, 1) == LUA_TTABLE) { /* a convention of many: error{ message = ... } */
        lua_pushliteral(L, "message");
        lua_rawget(L, 1);
        if (!lua_isstring(L, -1))
            lua_pop(L, 1);
    }
    script_sandbox_tostring(L, -1);
    return 1;
}

static int enter(lua_State *L)
{
    struct entry *entry = lua_touserdata(L, 1);
    struct script_state *s = entry->s;
    lua_settop(L, 0);
    if (s->memory >
        s->memory_max /
            2) /* LuaJIT collects at its own pace; an earlier run's garbage is not this one's */
        lua_gc(L, LUA_GCCOLLECT, 0);
    lua_pushcfunction(L, on_error);
    lua_pushcfunction(L, entry->body);
    lua_pushlightuserdata(L, entry->arg);
    entry->status = lua_pcall(L, 1, 0, 1);
    if (entry->status == 0)
        return 0;
    static const char mute[] = "an error whose object has no text";
    size_t len = sizeof mute - 1;
    lua_pushcfunction(L, describe);
    lua_insert(L, -2);
    const char *text = mute;
    if (lua_pcall(L, 1, 1, 0) == 0 || lua_type(L, -1) == LUA_TSTRING)
        text = lua_tolstring(L, -1, &len);
    keep(&s->text, text, len);
    return 0;
}

/* "name:12: ..." gets the line itself behind it. */
static void add_source_line(struct script_state *s)
{
    char name[128], out[400];
    unsigned line;
    int begin = 0;
    if (buf_append(&s->text, bytes_from("", 1)) != ERR_OK)
        return;
    s->text.len--;
    const char *text = (const char *)s->text.data;
    if (sscanf(text, "%127[^:\n]:%u:%n", name, &line, &begin) != 2 || begin == 0)
        return;
    struct bytes source;
    if (!script_sources_find(s->sources, name, &source))
        source = s->chunk;
    const uint8_t *at = source.data, *end = source.data + source.len;
    for (unsigned n = 1; n < line && at != NULL; n++) {
        const uint8_t *newline = memchr(at, '\n', (size_t)(end - at));
        at = newline != NULL ? newline + 1 : NULL;
    }
    if (at == NULL || at >= end || line == 0)
        return;
    const uint8_t *stop = memchr(at, '\n', (size_t)(end - at));
    size_t len = (size_t)((stop != NULL ? stop : end) - at);
    int n = snprintf(out, sizeof out, "\n  %u | %.*s", line, (int)(len < 300 ? len : 300),
                     (const char *)at);
    if (n > 0 && buf_append(&s->text, bytes_from(out, (size_t)n)) != ERR_OK)
        return;
}

static err_t finish(struct script_state *s, int status, struct err *e)
{
    char text[96];
    if (status == 0 && s->breach == ERR_OK)
        return ERR_OK;
    err_t rc = s->breach == ERR_OK ? ERR_SCRIPT : s->breach == ERR_NOMEM ? ERR_BUDGET : s->breach;
    if (status == LUA_ERRMEM && s->breach == ERR_OK) { /* the machine's memory, not the cap's */
        s->breach = ERR_NOMEM;
        rc = ERR_BUDGET;
    }
    const char *why = breach_text(s, text, sizeof text);
    /* Whatever Lua made of it (swallowed it, or died of something else on the way out), the breach is the reason. */
    bool said =
        s->breach == ERR_OK ||
        (s->text.len >= strlen(why) && memmem(s->text.data, s->text.len, why, strlen(why)) != NULL);
    if (!said)
        keep(&s->text, why, strlen(why));
    add_source_line(s);
    return err_set(e, rc, "%.*s", (int)s->text.len,
                   s->text.len > 0 ? (const char *)s->text.data : "");
}

err_t script_state_rerun(struct script_state *s, lua_CFunction body, void *arg, struct err *e)
{
    struct entry entry = { s, body, arg, 0 };
    s->stack = __builtin_frame_address(0);
    buf_clear(&s->text);
    buf_clear(&s->trace);
    arm(s, s->breach == ERR_OK ? tick_of(s) : 1);
    int outer = lua_cpcall(s->L, enter, &entry);
    lua_settop(s->L, 0);
    return finish(s, outer != 0 ? outer : entry.status, e);
}

err_t script_state_run(struct script_state *s, const struct script_stop *stop, lua_CFunction body,
                       void *arg, struct err *e)
{
    s->used = 0;
    s->debt = 0;
    s->breach = ERR_OK;
    s->stop = stop;
    return script_state_rerun(s, body, arg, e);
}

/* ---- Life ---------------------------------------------------------------------------------- */

err_t script_state_open(const struct script_state_config *config, struct script_state **ret,
                        struct err *e)
{
    struct script_state *s = calloc(1, sizeof *s);
    if (s == NULL)
        return err_set(e, ERR_NOMEM, "no memory for a Lua state");
    s->memory_max = config->memory_bytes;
    s->fail_at = config->fail_at;
    prng_seed(&s->prng, 0);
    s->L = lua_newstate(allocate, s);
    assert(s->L != NULL);
    s->budget = UINT64_MAX; /* our own code */
    err_t rc = script_state_run(s, NULL, script_sandbox_open, NULL, e);
    if (rc != ERR_OK) {
        script_state_close(s);
        return err_wrap(e, rc, "could not set up the Lua sandbox");
    }
    s->budget = config->instructions;
    *ret = s;
    return ERR_OK;
}

void script_state_close(struct script_state *s)
{
    if (s == NULL)
        return;
    if (s->L != NULL) {
        s->budget = 0; /* no ticks from here on */
        lua_sethook(s->L, NULL, 0, 0);
        lua_close(s->L);
    }
    value_free(s->value);
    buf_free(&s->text);
    buf_free(&s->trace);
    free(s);
}
