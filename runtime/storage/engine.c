/* What both engines share: the names of the families, and the rule of the missing CURRENT. */
#include "storage/engine.h"

#include "engine_int.h"

const char *engine_family_name(enum engine_family family)
{
    static const char *const names[ENGINE_FAMILIES] = {
        [ENGINE_DEFAULT] = "default",   [ENGINE_CAS] = "cas",
        [ENGINE_RAFT_LOG] = "raft_log", [ENGINE_RAFT_STATE] = "raft_state",
        [ENGINE_META] = "meta",         [ENGINE_SYSTEM] = "system",
        [ENGINE_TICK] = "tick",
    };
    return (unsigned)family < ENGINE_FAMILIES ? names[family] : "unknown";
}

/* Data without CURRENT is a damaged store. The first name of such data ends the listing. */
static err_t is_data(void *user, const char *name, bool is_dir)
{
    size_t len = strlen(name);
    bool *found = user;
    if (!is_dir && len > 4 && strcmp(name + len - 4, ".sst") == 0)
        *found = true;
    return ERR_OK;
}

err_t engine_find_current(struct env *env, const struct engine_config *config, bool *found,
                          struct err *e)
{
    struct buf path = { 0 };
    bool is_dir, data = false;
    uint64_t size;
    err_t rc = env_stat(env, config->path, &is_dir, &size, NULL);
    if (rc == ERR_NOT_FOUND && config->create) {
        *found = false;
        return ERR_OK;
    }
    if (rc != ERR_OK)
        return err_set(e, rc, "no database directory at \"%s\": run init first", config->path);
    rc = buf_printf(&path, "%s/CURRENT", config->path);
    if (rc == ERR_OK)
        rc = buf_append(&path, bytes_from("", 1));
    if (rc == ERR_OK)
        rc = env_stat(env, (const char *)path.data, &is_dir, &size, e);
    buf_free(&path);
    *found = rc == ERR_OK;
    if (rc != ERR_NOT_FOUND)
        return rc;
    rc = env_dir_list(env, config->path, is_data, &data, e);
    if (rc != ERR_OK)
        return rc;
    if (config->create && !data)
        return ERR_OK;
    return err_set(e, ERR_DATA_LOSS,
                   "\"%s\" has no CURRENT file: the database is damaged, and opening it would make "
                   "an empty one in its place. Restore the file or replace this store",
                   config->path);
}
