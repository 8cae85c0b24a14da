/* Reloads scripts again and again and reports what resident memory does.
 *
 *   script_reload_soak [RELOADS] [KIB_ALLOWED]
 *
 * Exits with 1 if memory grew by more than was allowed (0: only report). Memory is measured in the release build: under
 * a sanitizer freed memory is kept. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "script.h"
#include "sources.h"
#include "uv/world.h"

enum { WARM_UP = 200 };

static void write_file(const char *dir, const char *name, struct bytes text, const char *more)
{
    char path[600];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "wb");
    if (f == NULL || fwrite(text.data, 1, text.len, f) != text.len || fputs(more, f) < 0 ||
        fclose(f) != 0)
        abort();
}

struct reload {
    struct env *env;
    err_t rc;
    bool changed;
};

static void on_reload(void *user, err_t rc, const char *message, bool changed)
{
    struct reload *r = user;
    r->rc = rc;
    r->changed = changed;
    if (rc != ERR_OK)
        fprintf(stderr, "refused: %s\n", message);
    env_stop(r->env);
}

static long resident_kib(void)
{
    long pages = 0, unused;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f == NULL || fscanf(f, "%ld %ld", &unused, &pages) != 2)
        abort();
    fclose(f);
    return pages * sysconf(_SC_PAGESIZE) / 1024;
}

static void done_planning(void *user, const struct pd_plan *plan)
{
    struct reload *r = user;
    r->rc = plan->rc;
    env_stop(r->env);
}

int main(int argc, char **argv)
{
    int reloads = argc > 1 ? atoi(argv[1]) : 10000;
    long allowed = argc > 2 ? atol(argv[2]) : 1024, before = 0;
    char dir[] = "/tmp/flotilla-soak-XXXXXX", path[600];
    struct err e = { 0 };
    struct world *world = NULL;
    struct script_host *host = NULL;
    struct bytes split = { 0 };
    if (mkdtemp(dir) == NULL || world_open(NULL, &world, &e) != ERR_OK)
        return 2;
    snprintf(path, sizeof path, "%s/lib", dir);
    mkdir(path, 0700);
    struct script_sources *sources = script_sources_embedded(NULL, (struct bytes){ 0 });
    for (size_t i = 0; i < script_sources_count(sources); i++)
        write_file(dir, script_sources_name(sources, i), script_sources_text(sources, i), "");
    if (!script_sources_find(sources, "split.lua", &split))
        return 2;
    const struct script_limits limits = { 32 << 20, 10000000, 10000 };
    const struct script_config config = { .lua_dir = dir, .policy = limits, .session = limits };
    struct reload r = { .env = world_env(world) };
    struct pd_policy policy;
    const struct pd_view view = { .now_ms = 1, .decision_id = 1 };
    if (script_host_open(r.env, NULL, &config, &host, &e) != ERR_OK) {
        fprintf(stderr, "%s\n", e.msg);
        return 2;
    }
    script_host_policy(host, &policy);
    for (int i = 0; i < reloads; i++) {
        char comment[40];
        snprintf(comment, sizeof comment, "-- edit %d\n", i);
        if (i == WARM_UP)
            before = resident_kib();
        write_file(dir, "split.lua", split, comment);
        script_reload(host, on_reload, &r);
        world_run(world);
        if (r.rc != ERR_OK || !r.changed)
            return 2;
        policy.plan(policy.self, &view, done_planning, &r);
        world_run(world);
        if (r.rc != ERR_OK)
            return 2;
    }
    long after = resident_kib();
    struct script_bundle_info info;
    script_bundle(host, &info);
    printf("%llu reloads; resident memory %ld KiB after %d, %ld KiB at the end: %+ld KiB\n",
           (unsigned long long)info.reloads, before, WARM_UP, after, after - before);
    script_host_close(host);
    world_close(world);
    for (size_t i = 0; i < script_sources_count(sources); i++) {
        snprintf(path, sizeof path, "%s/%s", dir, script_sources_name(sources, i));
        unlink(path);
    }
    script_sources_drop(sources);
    snprintf(path, sizeof path, "%s/lib", dir);
    rmdir(path);
    rmdir(dir);
    return allowed > 0 && reloads > WARM_UP && after - before > allowed;
}
