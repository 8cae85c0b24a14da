/* Files of a simulated world: env's calls on its disk, and watches. */
#include "world_int.h"

#include <assert.h>
#include <stdlib.h>

struct file {
    struct env_file base;
    struct disk_inode *inode;
    uint64_t generation;
    unsigned flags;
    char path[];
};

static struct sim_disk *disk_of(struct env *env)
{
    return world_of(env)->disk;
}

/* A file that was opened before the crash is dead; so is every file of a machine that has ended. */
static err_t check(const struct file *file, unsigned need, struct err *e)
{
    if (file->generation != file->inode->disk->generation || world_of(file->base.env)->crashed)
        return err_set(e, ERR_IO, "\"%s\" was opened before the crash", file->path);
    if ((file->flags & need) != need)
        return err_set(e, ERR_IO, "\"%s\" is not open for %s", file->path,
                       need == ENV_OPEN_WRITE ? "writing" : "reading");
    return ERR_OK;
}

static err_t machine_alive(struct env *env, const char *path, struct err *e)
{
    if (world_of(env)->crashed)
        return err_set(e, ERR_IO, "\"%s\": the simulated machine has ended", path);
    return disk_alive(disk_of(env), path, e);
}

err_t sim_file_open(struct env *env, const char *path, unsigned flags, struct env_file **ret,
                    struct err *e)
{
    err_t rc = machine_alive(env, path, e);
    if (rc != ERR_OK)
        return rc;
    struct disk_inode *inode = disk_find(disk_of(env), path);
    if (inode == NULL && !(flags & ENV_OPEN_CREATE))
        return err_set(e, ERR_NOT_FOUND, "could not open \"%s\": no such file or directory", path);
    if (inode != NULL && (flags & ENV_OPEN_CREATE) && (flags & ENV_OPEN_EXCL))
        return err_set(e, ERR_ALREADY_EXISTS, "could not create \"%s\": it exists", path);
    if (inode == NULL && (rc = disk_create(disk_of(env), path, false, &inode, e)) != ERR_OK)
        return rc;
    if (inode->is_dir)
        return err_set(e, ERR_IO, "could not open \"%s\": it is a directory", path);
    if ((flags & ENV_OPEN_TRUNCATE) && inode->now.len > 0 &&
        (rc = disk_truncate(inode, path, 0, e)) != ERR_OK)
        return rc;
    size_t len = strlen(path) + 1;
    struct file *file = disk_alloc(sizeof *file + len);
    file->base.env = env;
    file->inode = inode;
    file->flags = flags;
    file->generation = inode->disk->generation;
    memcpy(file->path, path, len);
    disk_ref(inode);
    *ret = &file->base;
    return ERR_OK;
}

err_t sim_file_read(struct env_file *base, uint64_t offset, void *out, size_t len, size_t *got,
                    struct err *e)
{
    struct file *file = container_of(base, struct file, base);
    err_t rc = check(file, ENV_OPEN_READ, e);
    return rc == ERR_OK ? disk_read(file->inode, file->path, offset, out, len, got, e) : rc;
}

/* Watches of the directory see contents change too. */
static void content_changed(struct file *file)
{
    struct sim_disk *disk = file->inode->disk;
    list_for_each(at, &disk->inodes) {
        struct disk_inode *dir = container_of(at, struct disk_inode, link);
        for (size_t i = 0; dir->watched && i < dir->now_names.len; i++)
            if (dir->now_names.of[i].inode == file->inode)
                disk->host.changed(disk->host.user, dir);
    }
}

err_t sim_file_write(struct env_file *base, uint64_t offset, const struct bytes *iov, unsigned n,
                     struct err *e)
{
    struct file *file = container_of(base, struct file, base);
    err_t rc = check(file, ENV_OPEN_WRITE, e);
    if (rc != ERR_OK)
        return rc;
    rc = disk_write(file->inode, file->path, offset, iov, n, e);
    for (unsigned i = 0; i < n; i++)
        sim_hash_bytes(world_of(base->env)->sim, iov[i].data, iov[i].len);
    if (!list_empty(&world_of(base->env)->watches))
        content_changed(file);
    return rc;
}

err_t sim_file_sync(struct env_file *base, struct err *e)
{
    struct file *file = container_of(base, struct file, base);
    err_t rc = check(file, 0, e);
    return rc == ERR_OK ? disk_sync(file->inode, file->path, e) : rc;
}

err_t sim_file_size(struct env_file *base, uint64_t *ret, struct err *e)
{
    struct file *file = container_of(base, struct file, base);
    err_t rc = check(file, 0, e);
    if (rc == ERR_OK && (rc = disk_alive(file->inode->disk, file->path, e)) == ERR_OK)
        *ret = file->inode->now.len;
    return rc;
}

err_t sim_file_truncate(struct env_file *base, uint64_t size, struct err *e)
{
    struct file *file = container_of(base, struct file, base);
    err_t rc = check(file, ENV_OPEN_WRITE, e);
    return rc == ERR_OK ? disk_truncate(file->inode, file->path, size, e) : rc;
}

err_t sim_file_lock(struct env_file *base, struct err *e)
{
    struct file *file = container_of(base, struct file, base);
    err_t rc = check(file, 0, e);
    if (rc != ERR_OK)
        return rc;
    if (file->inode->locked_by != NULL && file->inode->locked_by != file)
        return err_set(e, ERR_LOCKED, "\"%s\" is locked by another process", file->path);
    file->inode->locked_by = file;
    return ERR_OK;
}

void sim_file_close(struct env_file *base)
{
    struct file *file = container_of(base, struct file, base);
    if (file->inode->locked_by == file)
        file->inode->locked_by = NULL;
    disk_unref(file->inode);
    free(file);
}

/* ---- Names ---- */

err_t sim_file_rename(struct env *env, const char *from, const char *to, struct err *e)
{
    err_t rc = machine_alive(env, from, e);
    return rc == ERR_OK ? disk_rename(disk_of(env), from, to, e) : rc;
}

err_t sim_file_remove(struct env *env, const char *path, struct err *e)
{
    err_t rc = machine_alive(env, path, e);
    return rc == ERR_OK ? disk_remove(disk_of(env), path, e) : rc;
}

err_t sim_file_mkdir(struct env *env, const char *path, struct err *e)
{
    err_t rc = machine_alive(env, path, e);
    if (rc != ERR_OK)
        return rc;
    if (disk_find(disk_of(env), path) != NULL)
        return err_set(e, ERR_ALREADY_EXISTS, "could not make directory \"%s\": it exists", path);
    return disk_create(disk_of(env), path, true, NULL, e);
}

err_t sim_file_dir_sync(struct env *env, const char *path, struct err *e)
{
    err_t rc = machine_alive(env, path, e);
    return rc == ERR_OK ? disk_dir_sync(disk_of(env), path, e) : rc;
}

err_t sim_file_dir_list(struct env *env, const char *path,
                        err_t (*each)(void *user, const char *name, bool is_dir), void *user,
                        struct err *e)
{
    err_t rc = machine_alive(env, path, e);
    if (rc != ERR_OK)
        return rc;
    struct disk_inode *dir = disk_find(disk_of(env), path);
    if (dir == NULL || !dir->is_dir)
        return err_set(e, ERR_NOT_FOUND, "could not list \"%s\": no such directory", path);
    /* A copy: `each` may remove what it is shown. */
    struct disk_names names = { 0 };
    for (size_t i = 0; i < dir->now_names.len; i++)
        disk_names_set(&names, dir->now_names.of[i].name, dir->now_names.of[i].inode);
    for (size_t i = 0; i < names.len && rc == ERR_OK; i++)
        rc = each(user, names.of[i].name, names.of[i].inode->is_dir);
    disk_names_clear(&names);
    return rc;
}

err_t sim_file_stat(struct env *env, const char *path, bool *is_dir, uint64_t *size, struct err *e)
{
    err_t rc = machine_alive(env, path, e);
    if (rc != ERR_OK)
        return rc;
    struct disk_inode *inode = disk_find(disk_of(env), path);
    if (inode == NULL)
        return err_set(e, ERR_NOT_FOUND, "\"%s\": no such file or directory", path);
    *is_dir = inode->is_dir;
    *size = inode->now.len;
    return ERR_OK;
}

err_t sim_file_disk_free(struct env *env, const char *path, uint64_t *available, uint64_t *total,
                         struct err *e)
{
    err_t rc = machine_alive(env, path, e);
    if (rc != ERR_OK)
        return rc;
    struct sim_disk *disk = disk_of(env);
    if (disk_find(disk, path) == NULL)
        return err_set(e, ERR_NOT_FOUND, "\"%s\": no such file or directory", path);
    *available = disk->used < disk->capacity ? disk->capacity - disk->used : 0;
    *total = disk->capacity;
    return ERR_OK;
}

/* ---- Watches ---- */

struct watch {
    struct list link; /* in world->watches */
    struct sim_world *world;
    struct env_watch *user;
    struct disk_inode *dir;
    struct sim_event event;
};

static void watch_fires(struct sim_event *event)
{
    struct env_watch *user = container_of(event, struct watch, event)->user;
    user->changed(user);
}

err_t sim_file_watch_start(struct env *env, struct env_watch *user, const char *directory,
                           struct err *e)
{
    struct sim_world *world = world_of(env);
    struct disk_inode *dir = disk_find(world->disk, directory);
    if (dir == NULL || !dir->is_dir)
        return err_set(e, ERR_NOT_FOUND, "could not watch \"%s\": no such directory", directory);
    struct watch *watch = disk_alloc(sizeof *watch);
    watch->world = world;
    watch->user = user;
    watch->dir = dir;
    disk_ref(dir);
    dir->watched++;
    watch->event =
        (struct sim_event){ .world = world, .fire = watch_fires, .what = "watch", .id = dir->id };
    list_push_back(&world->watches, &watch->link);
    user->world = watch;
    return ERR_OK;
}

void sim_file_watch_stop(struct env *env, struct env_watch *user)
{
    struct watch *watch = user->world;
    if (watch == NULL)
        return;
    sim_cancel(world_of(env)->sim, &watch->event);
    list_remove(&watch->link);
    watch->dir->watched--;
    disk_unref(watch->dir);
    user->world = NULL;
    free(watch);
}

void sim_file_forget_watches(struct sim_world *world)
{
    while (!list_empty(&world->watches))
        sim_file_watch_stop(&world->env,
                            container_of(world->watches.next, struct watch, link)->user);
}

/* ---- What the disk tells its world ---- */

static void spent(void *user, uint64_t ns)
{
    struct sim *sim = ((struct sim_world *)user)->sim;
    *(sim->in_job ? &sim->job_ns : &sim->now) += ns;
}

static void changed(void *user, const struct disk_inode *dir)
{
    struct sim_world *world = user;
    list_for_each(at, &world->watches) {
        struct watch *watch = container_of(at, struct watch, link);
        if (watch->dir == dir && !heap_linked(&watch->event.node))
            sim_at(world->sim, &watch->event,
                   world->sim->now + sim_draw(world->sim, 1000, 1000000));
    }
}

static void note(void *user, const char *what, uint64_t id, uint64_t a, uint64_t b)
{
    struct sim_world *world = user;
    sim_note(world->sim, world, what, id, a, b);
}

const struct disk_host sim_file_host = { .spent = spent, .changed = changed, .note = note };
