/* Whole files, over the primitives that a world fills. */
#include "env/env_ops.h"

#include <stdio.h>
#include <stdlib.h>

err_t env_read_file(struct env *env, const char *path, size_t max, struct buf *ret, struct err *e)
{
    struct env_file *file = NULL;
    struct buf content = { 0 };
    uint64_t size = 0;
    size_t got = 0;
    err_t rc = env_file_open(env, path, ENV_OPEN_READ, &file, e);
    if (rc == ERR_OK)
        rc = env_file_size(file, &size, e);
    if (rc == ERR_OK && size > max)
        rc = err_set(e, ERR_TOO_LARGE, "\"%s\" has %llu bytes, the limit is %zu", path,
                     (unsigned long long)size, max);
    if (rc == ERR_OK && buf_reserve(&content, size == 0 ? 1 : (size_t)size) == NULL)
        rc = err_set(e, ERR_NOMEM, "no memory for the %llu bytes of \"%s\"",
                     (unsigned long long)size, path);
    if (rc == ERR_OK)
        rc = env_file_read(file, 0, content.data, (size_t)size, &got, e);
    env_file_close(file);
    if (rc != ERR_OK) {
        buf_free(&content);
        return rc;
    }
    content.len = got; /* less than `size` if somebody cut the file meanwhile */
    *ret = content;
    return ERR_OK;
}

static err_t write_new(struct env *env, const char *path, struct bytes content, struct err *e)
{
    struct env_file *file = NULL;
    err_t rc =
        env_file_open(env, path, ENV_OPEN_WRITE | ENV_OPEN_CREATE | ENV_OPEN_TRUNCATE, &file, e);
    if (rc == ERR_OK)
        rc = env_file_write(file, 0, &content, 1, e);
    if (rc == ERR_OK)
        rc = env_file_sync(file, e);
    env_file_close(file);
    return rc;
}

/* "a/b/c" -> "a/b", "c" -> ".", "/c" -> "/"; cuts in place. */
static const char *parent(char *path)
{
    char *slash = strrchr(path, '/');
    if (slash == NULL)
        return ".";
    if (slash == path)
        return "/";
    *slash = '\0';
    return path;
}

err_t env_write_file(struct env *env, const char *path, struct bytes content, struct err *e)
{
    size_t len = strlen(path);
    char *temporary = malloc(len + sizeof ".tmp");
    if (temporary == NULL)
        abort();
    memcpy(temporary, path, len);
    memcpy(temporary + len, ".tmp", sizeof ".tmp");
    err_t rc = write_new(env, temporary, content, e);
    if (rc == ERR_OK)
        rc = env_rename(env, temporary, path, e);
    if (rc == ERR_OK)
        rc = env_dir_sync(env, parent(temporary), e); /* the same directory as that of `path` */
    free(temporary);
    return rc == ERR_OK ? ERR_OK : err_wrap(e, rc, "could not write file \"%s\"", path);
}
