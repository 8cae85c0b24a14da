#include "sources.h"

#include <lauxlib.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/digest.h"

extern const struct embedded_file script_files[];
extern const size_t script_files_count;

struct file {
    char *name;
    struct buf text;
};
struct script_sources {
    atomic_uint owners;
    char *origin, digest[2 * DIGEST_SIZE + 1];
    struct file files[SCRIPT_FILES_MAX];
    size_t count;
};

/* ---- Making -------------------------------------------------------------------------------- */

static struct script_sources *make(const char *origin)
{
    struct script_sources *s = calloc(1, sizeof *s);
    if (s == NULL || (s->origin = strdup(origin)) == NULL)
        abort();
    atomic_init(&s->owners, 1);
    return s;
}

/* Takes `text` over. */
static void add(struct script_sources *s, const char *name, struct buf text)
{
    struct file *file = &s->files[s->count++];
    file->name = strdup(name);
    if (file->name == NULL)
        abort();
    file->text = text;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct file *)a)->name, ((const struct file *)b)->name);
}

/* Lengths stand before what they measure, so that no two bundles are written the same way. */
static void add_measured(struct digest_state *d, struct bytes b)
{
    char text[24];
    snprintf(text, sizeof text, "%zu:", b.len);
    digest_add(d, BYTES(text));
    digest_add(d, b);
}

static struct script_sources *seal(struct script_sources *s)
{
    struct digest_state d;
    qsort(s->files, s->count, sizeof s->files[0], by_name);
    digest_begin(&d);
    for (size_t i = 0; i < s->count; i++) {
        add_measured(&d, BYTES(s->files[i].name));
        add_measured(&d, buf_bytes(&s->files[i].text));
    }
    struct digest digest = digest_end(&d);
    for (size_t i = 0; i < DIGEST_SIZE; i++)
        snprintf(s->digest + 2 * i, 3, "%02x", digest.bytes[i]);
    return s;
}

struct script_sources *script_sources_embedded(const char *over, struct bytes text)
{
    struct script_sources *s = make("embedded");
    for (size_t i = 0; i < script_files_count; i++) {
        const struct embedded_file *file = &script_files[i];
        struct buf copy = { 0 };
        if (over != NULL && strcmp(over, file->name) == 0)
            continue;
        if (buf_append(&copy, bytes_from(file->begin, (size_t)(file->end - file->begin))) != ERR_OK)
            abort();
        add(s, file->name, copy);
    }
    if (over != NULL) {
        struct buf copy = { 0 };
        if (buf_append(&copy, text) != ERR_OK)
            abort();
        add(s, over, copy);
    }
    return seal(s);
}

/* ---- Reading a folder ---------------------------------------------------------------------- */

struct reading {
    struct env *env;
    struct script_sources *s;
    const char *root, *prefix; /* of the folder being read: "" or "lib/" */
    int depth;
    size_t total;
    struct err *e;
};

static err_t read_folder(struct reading *r);

static err_t read_file(struct reading *r, const char *name)
{
    struct buf path = { 0 }, text = { 0 };
    if (r->s->count == SCRIPT_FILES_MAX)
        return err_set(r->e, ERR_TOO_LARGE, "more than %d files", SCRIPT_FILES_MAX);
    if (buf_printf(&path, "%s/%s%c", r->root, name, '\0') != ERR_OK)
        abort();
    err_t rc = env_read_file(r->env, (const char *)path.data, SCRIPT_FILE_MAX, &text, r->e);
    buf_free(&path);
    if (rc != ERR_OK)
        return err_wrap(r->e, rc, "%s", name);
    r->total += text.len;
    add(r->s, name, text);
    if (r->total > SCRIPT_BUNDLE_MAX)
        return err_set(r->e, ERR_TOO_LARGE, "more than %d bytes of scripts", SCRIPT_BUNDLE_MAX);
    return ERR_OK;
}

static err_t read_entry(void *user, const char *name, bool is_dir)
{
    struct reading *r = user;
    size_t len = strlen(name);
    char full[512];
    if (name[0] == '.' || (r->prefix[0] == '\0' && is_dir && strcmp(name, "types") == 0))
        return ERR_OK;
    if (!is_dir && (len <= 4 || strcmp(name + len - 4, ".lua") != 0))
        return ERR_OK;
    int n = snprintf(full, sizeof full, is_dir ? "%s%s/" : "%s%s", r->prefix, name);
    if (n < 0 || (size_t)n >= sizeof full)
        return err_set(r->e, ERR_TOO_LARGE, "a path of more than %zu bytes", sizeof full - 1);
    if (!is_dir)
        return read_file(r, full);
    if (r->depth == SCRIPT_FOLDERS_MAX)
        return err_set(r->e, ERR_TOO_LARGE, "%s: more than %d levels of folders", full,
                       SCRIPT_FOLDERS_MAX);
    struct reading inner = *r;
    inner.prefix = full;
    inner.depth++;
    err_t rc = read_folder(&inner);
    r->total = inner.total;
    return rc;
}

static err_t read_folder(struct reading *r)
{
    struct buf path = { 0 };
    if (buf_printf(&path, "%s/%s%c", r->root, r->prefix, '\0') != ERR_OK)
        abort();
    err_t rc = env_dir_list(r->env, (const char *)path.data, read_entry, r, r->e);
    buf_free(&path);
    return rc;
}

err_t script_sources_read(struct env *env, const char *dir, struct script_sources **ret,
                          struct err *e)
{
    struct script_sources *s = make(dir);
    struct reading r = { .env = env, .s = s, .root = dir, .prefix = "", .e = e };
    err_t rc = read_folder(&r);
    if (rc != ERR_OK) {
        script_sources_drop(s);
        return err_wrap(e, rc, "could not read the scripts in %s", dir);
    }
    *ret = seal(s);
    return ERR_OK;
}

struct script_sources *script_sources_keep(struct script_sources *s)
{
    if (s != NULL)
        atomic_fetch_add(&s->owners, 1);
    return s;
}

void script_sources_drop(struct script_sources *s)
{
    if (s == NULL || atomic_fetch_sub(&s->owners, 1) > 1)
        return;
    for (size_t i = 0; i < s->count; i++) {
        free(s->files[i].name);
        buf_free(&s->files[i].text);
    }
    free(s->origin);
    free(s);
}

/* ---- Asking -------------------------------------------------------------------------------- */

size_t script_sources_count(const struct script_sources *s)
{
    return s->count;
}

const char *script_sources_name(const struct script_sources *s, size_t i)
{
    return s->files[i].name;
}

struct bytes script_sources_text(const struct script_sources *s, size_t i)
{
    return buf_bytes(&s->files[i].text);
}

const char *script_sources_origin(const struct script_sources *s)
{
    return s->origin;
}

const char *script_sources_digest(const struct script_sources *s)
{
    return s->digest;
}

bool script_sources_find(const struct script_sources *s, const char *name, struct bytes *ret)
{
    for (size_t i = 0; s != NULL && i < s->count; i++)
        if (strcmp(s->files[i].name, name) == 0) {
            *ret = buf_bytes(&s->files[i].text);
            return true;
        }
    return false;
}

int script_sources_compile(lua_State *L, struct bytes text, const char *chunk)
{
    if (text.len > 0 && text.data[0] == LUA_SIGNATURE[0]) {
        lua_pushfstring(L, "%s:1: bytecode is not accepted, only text", chunk + 1);
        return LUA_ERRSYNTAX;
    }
    return luaL_loadbufferx(L, text.data != NULL ? (const char *)text.data : "", text.len, chunk,
                            "t");
}

int script_sources_load(const struct script_sources *s, lua_State *L, const char *module)
{
    char name[256], chunk[260];
    struct bytes text;
    size_t n = 0;
    for (const char *p = module; *p != '\0' && n < sizeof name - 5; p++)
        name[n++] = *p == '.' ? '/' : *p;
    snprintf(name + n, sizeof name - n, ".lua");
    if (!script_sources_find(s, name, &text)) {
        lua_pushfstring(L, "require \"%s\": there is no %s in the bundle", module, name);
        return LUA_ERRRUN;
    }
    snprintf(chunk, sizeof chunk, "@%s", name);
    return script_sources_compile(L, text, chunk);
}
