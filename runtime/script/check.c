/* `policy check FILE`: what a reload would say of one file, without a node. */
#include <stdio.h>
#include <stdlib.h>

#include "bundle.h"
#include "script.h"

/* Limits of a check: those of a node's defaults (runtime/node/config.c) are of the same order. */
static const struct script_limits check_limits = { 32 << 20, 20000000, 0 };

static const struct script_policy_info *info_of(const struct script_bundle *b, const char *file)
{
    for (size_t i = 0; i < b->policy_count; i++)
        if (strcmp(b->policies[i].file, file) == 0)
            return &b->policies[i];
    return NULL;
}

err_t script_check_file(struct env *env, const char *path, struct buf *report, struct err *e)
{
    const char *slash = strrchr(path, '/'), *name = slash != NULL ? slash + 1 : path;
    size_t len = strlen(name);
    struct script_bundle *b = NULL;
    struct buf text = { 0 };
    if (len <= 4 || strcmp(name + len - 4, ".lua") != 0)
        return err_set(e, ERR_INVALID_ARGUMENT, "%s: a script's name ends with .lua", path);
    err_t rc = env_read_file(env, path, SCRIPT_FILE_MAX, &text, e);
    if (rc == ERR_OK) {
        /* A placement policy is asked in pd.lua's place, whatever its file is called. */
        rc = script_bundle_build(script_sources_embedded(name, buf_bytes(&text)), &check_limits,
                                 NULL, 1, name, NULL, NULL, &b, e);
    }
    buf_free(&text);
    if (rc != ERR_OK)
        return rc;
    const struct script_policy_info *info = info_of(b, name);
    err_t put =
        info != NULL
            ? buf_printf(report,
                         "%s: ok: %s %s, kind %s; dry run: %zu proposals, %llu instructions\n",
                         name, info->name, info->version, info->kind, b->check_proposals,
                         (unsigned long long)b->check_instructions)
            : buf_printf(report, "%s: ok: a module without a policy of its own\n", name);
    script_bundle_free(b);
    return put;
}
