/* Names, directories, watches. */
#include "world_int.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

err_t world_rename(struct env *env, const char *from, const char *to, struct err *e)
{
    (void)env;
    return rename(from, to) == 0
               ? ERR_OK
               : err_errno(e, errno, "could not rename \"%s\" to \"%s\"", from, to);
}

err_t world_remove(struct env *env, const char *path, struct err *e)
{
    (void)env;
    return remove(path) == 0 ? ERR_OK : err_errno(e, errno, "could not remove \"%s\"", path);
}

err_t world_mkdir(struct env *env, const char *path, struct err *e)
{
    (void)env;
    return mkdir(path, 0700) == 0 ? ERR_OK
                                  : err_errno(e, errno, "could not make directory \"%s\"", path);
}

err_t world_dir_sync(struct env *env, const char *path, struct err *e)
{
    (void)env;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_errno(e, errno, "could not open directory \"%s\"", path);
    err_t rc =
        fsync(fd) == 0 ? ERR_OK : err_errno(e, errno, "could not sync directory \"%s\"", path);
    close(fd);
    return rc;
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int no_dots(const struct dirent *entry)
{
    return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
}

/* Some file systems do not tell the kind with the name. */
static bool entry_is_dir(const char *path, const struct dirent *entry)
{
    char full[4096];
    struct stat st;
    if (entry->d_type != DT_UNKNOWN)
        return entry->d_type == DT_DIR;
    snprintf(full, sizeof full, "%s/%s", path, entry->d_name);
    return lstat(full, &st) == 0 && S_ISDIR(st.st_mode);
}

err_t world_dir_list(struct env *env, const char *path,
                     err_t (*each)(void *user, const char *name, bool is_dir), void *user,
                     struct err *e)
{
    (void)env;
    struct dirent **entries = NULL;
    int n = scandir(path, &entries, no_dots, by_bytes);
    if (n < 0)
        return err_errno(e, errno, "could not list \"%s\"", path);
    err_t rc = ERR_OK;
    for (int i = 0; i < n; i++) {
        if (rc == ERR_OK)
            rc = each(user, entries[i]->d_name, entry_is_dir(path, entries[i]));
        free(entries[i]);
    }
    free(entries);
    return rc;
}

err_t world_stat(struct env *env, const char *path, bool *is_dir, uint64_t *size, struct err *e)
{
    (void)env;
    struct stat st;
    if (stat(path, &st) != 0)
        return err_errno(e, errno, "could not look at \"%s\"", path);
    *is_dir = S_ISDIR(st.st_mode);
    *size = (uint64_t)st.st_size;
    return ERR_OK;
}

err_t world_disk_free(struct env *env, const char *path, uint64_t *available, uint64_t *total,
                      struct err *e)
{
    (void)env;
    struct statvfs st;
    if (statvfs(path, &st) != 0)
        return err_errno(e, errno, "could not ask for the free space at \"%s\"", path);
    *available = (uint64_t)st.f_bavail * st.f_frsize;
    *total = (uint64_t)st.f_blocks * st.f_frsize;
    return ERR_OK;
}

/* ---- Watches ---- */

struct watch {
    uv_fs_event_t handle;
    struct world *world;
    struct env_watch *user; /* NULL: stopped */
};

static void on_change(uv_fs_event_t *handle, const char *name, int events, int status)
{
    (void)name, (void)events, (void)status; /* lost events are a change, too */
    struct watch *watch = handle->data;
    if (watch->user != NULL)
        watch->user->changed(watch->user);
}

static void on_closed(uv_handle_t *handle)
{
    struct watch *watch = handle->data;
    watch->world->closing--;
    free(watch);
}

static void end(struct watch *watch)
{
    watch->user = NULL;
    watch->world->closing++;
    uv_close((uv_handle_t *)&watch->handle, on_closed);
}

err_t world_watch_start(struct env *env, struct env_watch *user, const char *directory,
                        struct err *e)
{
    struct watch *watch = world_alloc(sizeof *watch);
    watch->world = world_of(env);
    watch->user = user;
    uv_fs_event_init(&watch->world->loop, &watch->handle);
    watch->handle.data = watch;
    int rc = uv_fs_event_start(&watch->handle, on_change, directory, 0);
    if (rc != 0) {
        end(watch);
        return err_errno(e, -rc, "could not watch \"%s\"", directory);
    }
    watch->world->users++;
    user->world = watch;
    return ERR_OK;
}

void world_watch_stop(struct env *env, struct env_watch *user)
{
    struct watch *watch = user->world;
    if (watch == NULL)
        return;
    user->world = NULL;
    world_of(env)->users--;
    end(watch);
}
