/* What a crash takes, and damage by hand.
 *
 * After a power cut: names first (safe_names and the moves that survive), then the contents of every file (safe and the
 * unsynced writes that survive), then both states are one. A sector is whole and is in one of the versions that it had
 * since the last sync: sectors do not wait for each other, but one never skips a write that a later one implies. */
#include "disk_int.h"

#include <assert.h>
#include <stdlib.h>

/* Survivors of a drawn prefix: operations with seq < cut wholly, the one at `cut` torn. */
struct survive {
    enum sim_crash how;
    uint64_t cut;
};

static bool move_survives(struct sim_disk *disk, const struct survive *s, uint64_t seq)
{
    switch (s->how) {
    case SIM_CRASH_KEEP:
        return true;
    case SIM_CRASH_PREFIX:
        return seq < s->cut;
    case SIM_CRASH_SECTORS:
        return prng_chance(&disk->chance, 1, 2);
    default:
        return false;
    }
}

/* Each sector of the file stops at one of its versions; a truncate that is lost loses what follows it. */
static void survive_sectors(struct disk_inode *inode)
{
    struct prng *chance = &inode->disk->chance;
    uint64_t end = inode->now.len, keep = prng_range(chance, 1, 3); /* of four */
    list_for_each(at, &inode->unsynced) {
        struct disk_write *w = container_of(at, struct disk_write, link);
        end = w->offset + w->len > end ? w->offset + w->len : end;
    }
    uint8_t *stopped = disk_alloc((size_t)(end / SIM_SECTOR) + 1);
    bool all = true;
    list_for_each(at, &inode->unsynced) {
        struct disk_write *w = container_of(at, struct disk_write, link);
        if (w->cut) {
            if (!prng_chance(chance, keep, 4)) {
                all = false;
                break;
            }
            disk_apply(inode, &inode->safe, w, 0, 0);
            continue;
        }
        for (size_t from = 0; from < w->len;) {
            uint64_t sector = (w->offset + from) / SIM_SECTOR;
            size_t len = (size_t)((sector + 1) * SIM_SECTOR - (w->offset + from));
            len = len < w->len - from ? len : w->len - from;
            if (!stopped[sector] && prng_chance(chance, keep, 4))
                disk_apply(inode, &inode->safe, w, from, len);
            else
                stopped[sector] = 1;
            from += len;
        }
    }
    free(stopped);
    /* The size may be ahead of the data: zeros stand where sectors never arrived. */
    if (all && inode->safe.len < inode->now.len && prng_chance(chance, 1, 4))
        disk_set_size(inode, &inode->safe, prng_range(chance, inode->safe.len, inode->now.len));
}

static void survive_prefix(struct disk_inode *inode, uint64_t cut)
{
    list_for_each(at, &inode->unsynced) {
        struct disk_write *w = container_of(at, struct disk_write, link);
        if (w->seq > cut)
            return;
        size_t len = w->len;
        if (w->seq == cut) {
            if (w->cut)
                return;
            uint64_t whole =
                prng_below(&inode->disk->chance, w->len + 1); /* then down to a sector's edge */
            uint64_t edge = (w->offset + whole) / SIM_SECTOR * SIM_SECTOR;
            len = edge <= w->offset ? 0 : (size_t)(edge - w->offset);
            if (len == 0)
                return;
        }
        disk_apply(inode, &inode->safe, w, 0, len);
    }
}

static void settle_content(struct disk_inode *inode, const struct survive *s)
{
    if (s->how == SIM_CRASH_SECTORS)
        survive_sectors(inode);
    else if (s->how != SIM_CRASH_LOSE)
        survive_prefix(inode, s->cut); /* KEEP: the cut is behind everything */
    disk_forget_unsynced(inode);
    disk_set_size(inode, &inode->now, 0);
    disk_set_size(inode, &inode->now, inode->safe.len);
    if (inode->safe.len > 0)
        memcpy(inode->now.data, inode->safe.data, inode->safe.len);
    inode->locked_by = NULL;
}

static void settle_names(struct disk_inode *dir)
{
    disk_names_clear(&dir->now_names);
    for (size_t i = 0; i < dir->safe_names.len; i++)
        disk_names_set(&dir->now_names, dir->safe_names.of[i].name, dir->safe_names.of[i].inode);
}

/* Every inode is held while `each` runs, which may drop names. */
static void for_all_inodes(struct sim_disk *disk, const struct survive *s,
                           void (*each)(struct disk_inode *inode, const struct survive *s))
{
    list_for_each(at, &disk->inodes)
        disk_ref(container_of(at, struct disk_inode, link));
    list_for_each(at, &disk->inodes)
        each(container_of(at, struct disk_inode, link), s);
    /* An inode that goes may take others with it: look again from the start after each. */
    size_t count = 0;
    list_for_each(at, &disk->inodes)
        count++;
    struct disk_inode **held = disk_alloc((count + 1) * sizeof *held);
    count = 0;
    list_for_each(at, &disk->inodes)
        held[count++] = container_of(at, struct disk_inode, link);
    for (size_t i = 0; i < count; i++)
        disk_unref(held[i]);
    free(held);
}

static void settle_one(struct disk_inode *inode, const struct survive *s)
{
    if (inode->is_dir)
        settle_names(inode);
    else
        settle_content(inode, s);
}

static void unlock_one(struct disk_inode *inode, const struct survive *s)
{
    (void)s;
    inode->locked_by = NULL;
}

static struct survive draw(struct sim_disk *disk, enum sim_crash how)
{
    static const enum sim_crash cuts[] = { SIM_CRASH_LOSE, SIM_CRASH_PREFIX, SIM_CRASH_PREFIX,
                                           SIM_CRASH_SECTORS, SIM_CRASH_SECTORS };
    if (how == SIM_CRASH_DRAW)
        how = cuts[prng_below(&disk->chance, sizeof cuts / sizeof cuts[0])];
    struct survive s = { how, disk->seq };
    if (how != SIM_CRASH_PREFIX)
        return s;
    uint64_t first = disk->seq;
    list_for_each(at, &disk->inodes) {
        struct disk_inode *inode = container_of(at, struct disk_inode, link);
        if (!list_empty(&inode->unsynced)) {
            uint64_t seq = container_of(inode->unsynced.next, struct disk_write, link)->seq;
            first = seq < first ? seq : first;
        }
    }
    if (!list_empty(&disk->moves)) {
        uint64_t seq = container_of(disk->moves.next, struct disk_move, link)->seq;
        first = seq < first ? seq : first;
    }
    s.cut = prng_range(&disk->chance, first, disk->seq);
    return s;
}

void sim_disk_crash(struct sim_disk *disk, enum sim_crash how)
{
    disk->generation++;
    disk->stopped = false;
    disk->stop_at = 0;
    if (how == SIM_CRASH_KILL) {
        disk->crashes[how]++;
        for_all_inodes(disk, NULL, unlock_one);
        return;
    }
    struct survive s = draw(disk, how);
    disk->crashes[s.how]++;
    list_for_each_safe(at, &disk->moves) {
        struct disk_move *move = container_of(at, struct disk_move, link);
        if (move_survives(disk, &s, move->seq))
            disk_move_apply_safe(move);
        disk_move_free(move);
    }
    for_all_inodes(disk, &s, settle_one);
}

/* ---- A copy ---- */

static void copy_bytes(struct buf *to, const struct buf *from)
{
    if (buf_append(to, buf_bytes(from)) != ERR_OK)
        abort();
}

static void copy_names(struct disk_names *to, const struct disk_names *from)
{
    for (size_t i = 0; i < from->len; i++)
        disk_names_set(to, from->of[i].name, from->of[i].inode->twin);
}

struct sim_disk *sim_disk_copy(const struct sim_disk *from, uint64_t seed)
{
    struct sim_disk *to = sim_disk_new(seed);
    list_for_each(at, &from->inodes) {
        struct disk_inode *old = container_of(at, struct disk_inode, link);
        struct disk_inode *inode = old == from->root ? to->root : disk_inode_new(to, old->is_dir);
        old->twin = inode;
        disk_ref(inode); /* until its names are there */
        inode->id = old->id;
        copy_bytes(&inode->now, &old->now);
        copy_bytes(&inode->safe, &old->safe);
        inode->last_offset = old->last_offset;
        inode->last_len = old->last_len;
        inode->written = old->written;
        to->used += inode->now.len;
        list_for_each(w, &old->unsynced) {
            struct disk_write *was = container_of(w, struct disk_write, link);
            struct disk_write *is = disk_alloc(sizeof *is + was->len);
            memcpy(is, was, sizeof *is + was->len);
            list_push_back(&inode->unsynced, &is->link);
        }
    }
    list_for_each(at, &from->inodes) {
        struct disk_inode *old = container_of(at, struct disk_inode, link);
        copy_names(&old->twin->now_names, &old->now_names);
        copy_names(&old->twin->safe_names, &old->safe_names);
    }
    list_for_each(at, &from->moves) {
        struct disk_move *was = container_of(at, struct disk_move, link),
                         *is = disk_alloc(sizeof *is);
        is->seq = was->seq;
        is->count = was->count;
        for (unsigned i = 0; i < was->count; i++) {
            struct disk_step *step = &was->steps[i];
            is->steps[i] = (struct disk_step){ step->dir->twin, strdup(step->name),
                                               step->inode == NULL ? NULL : step->inode->twin };
            disk_ref(is->steps[i].dir);
            if (is->steps[i].inode != NULL)
                disk_ref(is->steps[i].inode);
        }
        list_push_back(&to->moves, &is->link);
    }
    list_for_each(at, &from->inodes)
        disk_unref(container_of(at, struct disk_inode, link)->twin);
    to->seq = from->seq;
    to->next_id = from->next_id;
    to->effects = from->effects;
    to->capacity = from->capacity;
    to->stall_ns = from->stall_ns;
    return to;
}

/* ---- A look, and damage ---- */

static err_t find_file(struct sim_disk *disk, const char *path, struct disk_inode **ret)
{
    struct disk_inode *inode = disk_find(disk, path);
    if (inode == NULL || inode->is_dir)
        return ERR_NOT_FOUND;
    *ret = inode;
    return ERR_OK;
}

err_t sim_disk_peek(struct sim_disk *disk, const char *path, struct buf *ret)
{
    struct disk_inode *inode;
    err_t rc = find_file(disk, path, &inode);
    if (rc == ERR_OK) {
        struct buf copy = { 0 };
        copy_bytes(&copy, &inode->now);
        *ret = copy;
    }
    return rc;
}

bool sim_disk_last_write(struct sim_disk *disk, const char *path, uint64_t *offset, uint64_t *len)
{
    struct disk_inode *inode;
    if (find_file(disk, path, &inode) != ERR_OK || !inode->written)
        return false;
    *offset = inode->last_offset;
    *len = inode->last_len;
    return true;
}

/* Makes both states of the file one, as processes see it. */
static err_t settle_file(struct sim_disk *disk, const char *path, struct disk_inode **ret)
{
    err_t rc = find_file(disk, path, ret);
    if (rc == ERR_OK) {
        disk_forget_unsynced(*ret);
        buf_clear(&(*ret)->safe);
        copy_bytes(&(*ret)->safe, &(*ret)->now);
    }
    return rc;
}

err_t sim_disk_poke(struct sim_disk *disk, const char *path, uint64_t offset, struct bytes src)
{
    struct disk_inode *inode;
    err_t rc = settle_file(disk, path, &inode);
    if (rc != ERR_OK || src.len == 0)
        return rc;
    uint64_t end = offset + src.len;
    if (end > inode->now.len) {
        disk_set_size(inode, &inode->now, end);
        disk_set_size(inode, &inode->safe, end);
    }
    memcpy(inode->now.data + offset, src.data, src.len);
    memcpy(inode->safe.data + offset, src.data, src.len);
    return ERR_OK;
}

err_t sim_disk_flip(struct sim_disk *disk, const char *path, uint64_t offset, unsigned bit)
{
    struct disk_inode *inode;
    err_t rc = settle_file(disk, path, &inode);
    if (rc != ERR_OK)
        return rc;
    if (offset >= inode->now.len)
        return ERR_INVALID_ARGUMENT;
    uint8_t byte = (uint8_t)(inode->now.data[offset] ^ (1u << bit % 8));
    return sim_disk_poke(disk, path, offset, bytes_from(&byte, 1));
}

err_t sim_disk_zero(struct sim_disk *disk, const char *path, uint64_t offset, uint64_t len)
{
    uint8_t *zeros = disk_alloc((size_t)len + 1);
    err_t rc = sim_disk_poke(disk, path, offset, bytes_from(zeros, (size_t)len));
    free(zeros);
    return rc;
}

err_t sim_disk_cut(struct sim_disk *disk, const char *path, uint64_t size)
{
    struct disk_inode *inode;
    err_t rc = settle_file(disk, path, &inode);
    if (rc == ERR_OK) {
        disk_set_size(inode, &inode->now, size);
        disk_set_size(inode, &inode->safe, size);
    }
    return rc;
}

err_t sim_disk_lose(struct sim_disk *disk, const char *path)
{
    char name[256];
    struct disk_inode *dir = disk_find_parent(disk, path, name);
    if (dir == NULL || disk_names_get(&dir->now_names, name) == NULL)
        return ERR_NOT_FOUND;
    disk_names_set(&dir->now_names, name, NULL);
    disk_names_set(&dir->safe_names, name, NULL);
    list_for_each_safe(at, &disk->moves) {
        struct disk_move *move = container_of(at, struct disk_move, link);
        for (unsigned i = 0; i < move->count; i++)
            if (move->steps[i].dir == dir && strcmp(move->steps[i].name, name) == 0) {
                disk_unref(move->steps[i].inode);
                move->steps[i].inode = NULL;
            }
    }
    return ERR_OK;
}
