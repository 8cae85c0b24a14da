/* Names: directories as a process sees them, as the disk has them, and the moves between.
 *
 *   create, rename, remove ──> now_names, and one disk_move
 *   dir_sync(d) ──> moves that touch d go to safe_names
 *
 * An inode lives as long as a name in either state, an unsynced move or an open file refers to it. */
#include "disk_int.h"

#include <assert.h>
#include <stdlib.h>

enum { NAME_NS = 8000, DIR_SYNC_NS = 60000 };

void *disk_alloc(size_t len)
{
    void *p = calloc(1, len);
    if (p == NULL)
        abort();
    return p;
}

static char *copy_text(const char *text)
{
    char *copy = strdup(text);
    if (copy == NULL)
        abort();
    return copy;
}

/* ---- Inodes ---- */

struct disk_inode *disk_inode_new(struct sim_disk *disk, bool is_dir)
{
    struct disk_inode *inode = disk_alloc(sizeof *inode);
    inode->disk = disk;
    inode->id = disk->next_id++;
    inode->is_dir = is_dir;
    list_init(&inode->unsynced);
    list_push_back(&disk->inodes, &inode->link);
    return inode;
}

void disk_ref(struct disk_inode *inode)
{
    inode->refs++;
}

void disk_unref(struct disk_inode *inode)
{
    if (inode == NULL || --inode->refs > 0)
        return;
    list_remove(&inode->link);
    disk_names_clear(&inode->now_names);
    disk_names_clear(&inode->safe_names);
    disk_forget_unsynced(inode);
    inode->disk->used -= inode->now.len;
    buf_free(&inode->now);
    buf_free(&inode->safe);
    free(inode);
}

/* ---- One directory's names ---- */

static size_t lower_bound(const struct disk_names *names, const char *name)
{
    size_t lo = 0, hi = names->len;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (strcmp(names->of[mid].name, name) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

struct disk_inode *disk_names_get(const struct disk_names *names, const char *name)
{
    size_t at = lower_bound(names, name);
    return at < names->len && strcmp(names->of[at].name, name) == 0 ? names->of[at].inode : NULL;
}

/* NULL removes the name. */
void disk_names_set(struct disk_names *names, const char *name, struct disk_inode *inode)
{
    size_t at = lower_bound(names, name);
    bool there = at < names->len && strcmp(names->of[at].name, name) == 0;
    if (inode != NULL)
        disk_ref(inode);
    if (there && inode != NULL) {
        struct disk_inode *old = names->of[at].inode;
        names->of[at].inode = inode;
        disk_unref(old);
    } else if (there) {
        struct disk_name old = names->of[at];
        names->len--;
        memmove(&names->of[at], &names->of[at + 1], (names->len - at) * sizeof names->of[0]);
        free(old.name);
        disk_unref(old.inode);
    } else if (inode != NULL) {
        if (names->len == names->cap) {
            names->cap = names->cap == 0 ? 8 : 2 * names->cap;
            names->of = realloc(names->of, names->cap * sizeof names->of[0]);
            if (names->of == NULL)
                abort();
        }
        memmove(&names->of[at + 1], &names->of[at], (names->len - at) * sizeof names->of[0]);
        names->of[at] = (struct disk_name){ copy_text(name), inode };
        names->len++;
    }
}

void disk_names_clear(struct disk_names *names)
{
    for (size_t i = 0; i < names->len; i++) {
        free(names->of[i].name);
        disk_unref(names->of[i].inode);
    }
    free(names->of);
    *names = (struct disk_names){ 0 };
}

/* ---- Paths ---- */

/* Takes the next name off `*path`; false at the end. Empty names and "." are nothing. */
static bool next_name(const char **path, char name[256])
{
    for (;;) {
        while (**path == '/')
            (*path)++;
        size_t len = strcspn(*path, "/");
        if (len == 0)
            return false;
        assert(len < 256 &&
               !(len == 2 && memcmp(*path, "..", 2) == 0)); /* the tree has no use for ".." */
        memcpy(name, *path, len);
        name[len] = '\0';
        *path += len;
        if (strcmp(name, ".") != 0)
            return true;
    }
}

struct disk_inode *disk_find(struct sim_disk *disk, const char *path)
{
    struct disk_inode *at = disk->root;
    char name[256];
    while (at != NULL && next_name(&path, name))
        at = at->is_dir ? disk_names_get(&at->now_names, name) : NULL;
    return at;
}

struct disk_inode *disk_find_parent(struct sim_disk *disk, const char *path, char name[256])
{
    struct disk_inode *at = disk->root;
    char next[256];
    if (!next_name(&path, name))
        return NULL; /* the root has no parent */
    while (next_name(&path, next)) {
        at = at->is_dir ? disk_names_get(&at->now_names, name) : NULL;
        if (at == NULL)
            return NULL;
        memcpy(name, next, sizeof next);
    }
    return at->is_dir ? at : NULL;
}

/* ---- Moves ---- */

static struct disk_move *move_new(struct sim_disk *disk)
{
    struct disk_move *move = disk_alloc(sizeof *move);
    move->seq = disk->seq++;
    list_push_back(&disk->moves, &move->link);
    return move;
}

/* Adds a step and does it in the state that processes see. */
static void move_step(struct disk_move *move, struct disk_inode *dir, const char *name,
                      struct disk_inode *inode)
{
    disk_ref(dir);
    if (inode != NULL)
        disk_ref(inode);
    move->steps[move->count++] = (struct disk_step){ dir, copy_text(name), inode };
    disk_names_set(&dir->now_names, name, inode);
    if (dir->disk->host.changed != NULL)
        dir->disk->host.changed(dir->disk->host.user, dir);
}

void disk_move_apply_safe(struct disk_move *move)
{
    for (unsigned i = 0; i < move->count; i++)
        disk_names_set(&move->steps[i].dir->safe_names, move->steps[i].name, move->steps[i].inode);
}

void disk_move_free(struct disk_move *move)
{
    list_remove(&move->link);
    for (unsigned i = 0; i < move->count; i++) {
        free(move->steps[i].name);
        disk_unref(move->steps[i].inode);
        disk_unref(move->steps[i].dir);
    }
    free(move);
}

static err_t name_effect(struct sim_disk *disk, const char *what, const char *path, uint64_t id,
                         struct err *e)
{
    err_t rc = disk_effect(disk, what, path, id, 0, 0, e);
    if (rc != ERR_OK)
        return rc;
    if (disk_hit(disk, SIM_FAULT_NAME, path))
        return err_set(e, ERR_IO, "%s \"%s\": injected", what, path);
    disk_spend(disk, path, NAME_NS);
    return ERR_OK;
}

err_t disk_create(struct sim_disk *disk, const char *path, bool is_dir, struct disk_inode **ret,
                  struct err *e)
{
    char name[256];
    struct disk_inode *dir = disk_find_parent(disk, path, name);
    if (dir == NULL)
        return err_set(e, ERR_NOT_FOUND, "could not create \"%s\": its directory does not exist",
                       path);
    err_t rc = name_effect(disk, is_dir ? "mkdir" : "create", path, disk->next_id, e);
    if (rc != ERR_OK)
        return rc;
    struct disk_inode *inode = disk_inode_new(disk, is_dir);
    move_step(move_new(disk), dir, name, inode);
    if (ret != NULL)
        *ret = inode;
    return ERR_OK;
}

err_t disk_rename(struct sim_disk *disk, const char *from, const char *to, struct err *e)
{
    char from_name[256], to_name[256];
    struct disk_inode *from_dir = disk_find_parent(disk, from, from_name);
    struct disk_inode *to_dir = disk_find_parent(disk, to, to_name);
    struct disk_inode *inode =
        from_dir == NULL ? NULL : disk_names_get(&from_dir->now_names, from_name);
    struct disk_inode *old = to_dir == NULL ? NULL : disk_names_get(&to_dir->now_names, to_name);
    if (inode == NULL || to_dir == NULL)
        return err_set(e, ERR_NOT_FOUND,
                       "could not rename \"%s\" to \"%s\": no such file or directory", from, to);
    size_t len = strlen(from);
    if ((old != NULL && (old->is_dir || inode->is_dir)) ||
        (strncmp(from, to, len) == 0 && to[len] == '/'))
        return err_set(e, ERR_IO, "could not rename \"%s\" to \"%s\": a directory is in the way",
                       from, to);
    err_t rc = name_effect(disk, "rename", to, inode->id, e);
    if (rc != ERR_OK || old == inode)
        return rc;
    struct disk_move *move = move_new(disk);
    disk_ref(inode); /* between its two names */
    move_step(move, from_dir, from_name, NULL);
    move_step(move, to_dir, to_name, inode);
    disk_unref(inode);
    return ERR_OK;
}

err_t disk_remove(struct sim_disk *disk, const char *path, struct err *e)
{
    char name[256];
    struct disk_inode *dir = disk_find_parent(disk, path, name);
    struct disk_inode *inode = dir == NULL ? NULL : disk_names_get(&dir->now_names, name);
    if (inode == NULL)
        return err_set(e, ERR_NOT_FOUND, "could not remove \"%s\": no such file or directory",
                       path);
    if (inode->now_names.len > 0)
        return err_set(e, ERR_IO, "could not remove \"%s\": the directory is not empty", path);
    err_t rc = name_effect(disk, "remove", path, inode->id, e);
    if (rc == ERR_OK)
        move_step(move_new(disk), dir, name, NULL);
    return rc;
}

err_t disk_dir_sync(struct sim_disk *disk, const char *path, struct err *e)
{
    struct disk_inode *dir = disk_find(disk, path);
    if (dir == NULL || !dir->is_dir)
        return err_set(e, ERR_NOT_FOUND, "could not sync directory \"%s\": it does not exist",
                       path);
    err_t rc = name_effect(disk, "dirsync", path, dir->id, e);
    if (rc != ERR_OK)
        return rc;
    disk_spend(disk, path, DIR_SYNC_NS);
    if (disk_hit(disk, SIM_FAULT_LIE, path))
        return ERR_OK;
    list_for_each_safe(at, &disk->moves) {
        struct disk_move *move = container_of(at, struct disk_move, link);
        if (move->steps[0].dir == dir || (move->count == 2 && move->steps[1].dir == dir)) {
            disk_move_apply_safe(move);
            disk_move_free(move);
        }
    }
    return ERR_OK;
}

/* ---- The disk ---- */

struct sim_disk *sim_disk_new(uint64_t seed)
{
    struct sim_disk *disk = disk_alloc(sizeof *disk);
    prng_seed(&disk->chance, seed);
    list_init(&disk->inodes);
    list_init(&disk->moves);
    list_init(&disk->plans);
    disk->next_id = 1;
    disk->stall_ns = 1000000000;
    sim_disk_capacity(disk, 0);
    disk->root = disk_inode_new(disk, true);
    disk_ref(disk->root);
    return disk;
}

void sim_disk_free(struct sim_disk *disk)
{
    if (disk == NULL)
        return;
    list_for_each_safe(at, &disk->moves)
        disk_move_free(container_of(at, struct disk_move, link));
    list_for_each_safe(at, &disk->plans) {
        struct disk_plan *plan = container_of(at, struct disk_plan, link);
        free(plan->part);
        free(plan);
    }
    disk_unref(disk->root);
    assert(list_empty(&disk->inodes)); /* or a world on this disk still has files open */
    free(disk);
}
