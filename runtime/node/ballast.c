#include "ballast.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/prng.h"
#include "node/config.h"

enum { CHUNK = 256 << 10 };

/* For whoever finds it. */
static const char note[] =
    "This file holds room in reserve. If the disk is full: remove it, start the node, delete keys or\n"
    "make room in another way. The next start with room makes it again. More: docs/operations.md\n";

/* Bytes that no file system compresses or finds twice, or the room would not be held. */
static err_t write_all(struct env_file *file, uint64_t bytes, struct err *e)
{
    struct prng noise;
    uint8_t *chunk = malloc(CHUNK);
    if (chunk == NULL)
        return err_set(e, ERR_NOMEM, "no memory to write it");
    prng_seed(&noise, bytes);
    err_t rc = ERR_OK;
    for (uint64_t at = 0; rc == ERR_OK && at < bytes; at += CHUNK) {
        size_t len = bytes - at < CHUNK ? (size_t)(bytes - at) : CHUNK;
        prng_fill(&noise, chunk, len);
        if (at == 0)
            memcpy(chunk, note, len < sizeof note - 1 ? len : sizeof note - 1);
        rc = env_file_write(file, at, &(struct bytes){ chunk, len }, 1, e);
    }
    free(chunk);
    return rc == ERR_OK ? env_file_sync(file, e) : rc; /* until then its blocks may not be taken */
}

/* Its name need not be durable: after a power cut the next start looks again. */
static err_t make(struct env *env, const char *path, uint64_t bytes, struct err *e)
{
    struct env_file *file = NULL;
    err_t rc =
        env_file_open(env, path, ENV_OPEN_WRITE | ENV_OPEN_CREATE | ENV_OPEN_TRUNCATE, &file, e);
    if (rc != ERR_OK)
        return rc;
    rc = write_all(file, bytes, e);
    env_file_close(file);
    if (rc != ERR_OK)
        (void)!env_remove(env, path, NULL); /* half of it holds room that nobody knows of */
    return rc;
}

static err_t shorten(struct env *env, const char *path, uint64_t bytes, struct err *e)
{
    struct env_file *file = NULL;
    if (bytes == 0)
        return env_remove(env, path, e);
    err_t rc = env_file_open(env, path, ENV_OPEN_WRITE, &file, e);
    if (rc == ERR_OK)
        rc = env_file_truncate(file, bytes, e);
    env_file_close(file);
    return rc;
}

static err_t size_of(struct env *env, const char *path, uint64_t *ret, struct err *e)
{
    bool is_dir;
    *ret = 0;
    err_t rc = env_stat(env, path, &is_dir, ret, e);
    return rc == ERR_NOT_FOUND ? ERR_OK : rc;
}

void node_ballast_keep(struct env *env, struct logger *log, const char *data_dir, uint64_t bytes,
                       uint32_t reserve_percent)
{
    char path[NODE_PATH_MAX + sizeof NODE_BALLAST_NAME + 1];
    struct err e = { 0 };
    uint64_t available = 0, total = 0, have = 0;
    snprintf(path, sizeof path, "%s/%s", data_dir, NODE_BALLAST_NAME);
    err_t rc = size_of(env, path, &have, &e);
    if (rc == ERR_OK)
        rc = env_disk_free(env, data_dir, &available, &total, &e);
    if (bytes > total / 100)
        bytes = total / 100;
    bool fits = available + have >= bytes + total / 100 * reserve_percent;
    if (rc == ERR_OK && have > bytes)
        rc = shorten(env, path, bytes, &e);
    else if (rc == ERR_OK && have < bytes && fits)
        rc = make(env, path, bytes, &e);
    else if (rc == ERR_OK && have < bytes)
        logger_warn(log, "no room for the ballast: a full disk would be hard to recover from",
                    logger_u64("ballast_bytes", bytes), logger_u64("available_bytes", available));
    if (rc != ERR_OK)
        logger_warn(log, "the ballast could not be kept", logger_text("path", path),
                    logger_err(&e));
}
