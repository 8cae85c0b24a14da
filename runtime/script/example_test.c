/* Every file of examples/policies/ and lua/ passes `policy check`; a broken one does not. */
#include <dirent.h>

#include "base/test.h"
#include "script.h"
#include "uv/world.h"

static int check_folder(struct env *env, const char *folder)
{
    char dir[512], path[1024];
    const char *source = getenv("FLOTILLA_SOURCE");
    struct dirent **entries;
    snprintf(dir, sizeof dir, "%s/%s", source != NULL ? source : ".", folder);
    int n = scandir(dir, &entries, NULL, alphasort), checked = 0;
    if (n < 0)
        fail_msg("cannot list %s (set FLOTILLA_SOURCE)", dir);
    for (int i = 0; i < n; i++) {
        size_t len = strlen(entries[i]->d_name);
        if (len > 4 && strcmp(entries[i]->d_name + len - 4, ".lua") == 0) {
            struct err e = { 0 };
            struct buf report = { 0 };
            snprintf(path, sizeof path, "%s/%s", dir, entries[i]->d_name);
            CHECK_OK(script_check_file(env, path, &report, &e), e);
            print_message("%.*s", (int)report.len, (const char *)report.data);
            CHECK(report.len > 0);
            buf_free(&report);
            checked++;
        }
        free(entries[i]);
    }
    free(entries);
    return checked;
}

TEST(examples_pass_policy_check)
{
    struct err e = { 0 };
    struct world *world = NULL;
    CHECK_OK(world_open(NULL, &world, &e), e);
    CHECK(check_folder(world_env(world), "examples/policies") >= 3);
    CHECK_EQ(check_folder(world_env(world), "lua"), 4);
    world_close(world);
}

TEST(examples_broken_ones_do_not)
{
    struct err e = { 0 };
    struct world *world = NULL;
    struct buf report = { 0 };
    char *dir = test_dir(), path[600];
    CHECK_OK(world_open(NULL, &world, &e), e);
    snprintf(path, sizeof path, "%s/mine.lua", dir);
    CHECK_OK(
        env_write_file(world_env(world), path,
                       BYTES("return { api = 1, name = 'mine', version = '1', kind = 'placement',\n"
                             "  plan = function(view) return view.x end }"),
                       &e),
        e);
    CHECK_EQ(script_check_file(world_env(world), path, &report, &e), ERR_SCRIPT);
    CHECK_CONTAINS(e.msg, "mine.lua:2: a view has no field \"x\"");
    CHECK_EQ(script_check_file(world_env(world), "/nowhere/at/all.lua", &report, &e),
             ERR_NOT_FOUND);
    CHECK_EQ(script_check_file(world_env(world), dir, &report, &e), ERR_INVALID_ARGUMENT);
    CHECK_EQ(report.len, 0);
    world_close(world);
    free(dir);
}

TEST_MAIN()
