/* Contents of files: what a process sees at once, and what has reached the disk.
 *
 *   write:  now changes, the bytes are queued          sync:  the queue goes to safe, in its order
 *   failed sync: the queue is dropped, now keeps showing it, the next sync answers ERR_OK (this is fsyncgate) */
#include "disk_int.h"

#include <assert.h>
#include <stdlib.h>

enum { FILE_BYTES_MAX = 1 << 30, OP_NS = 4000, SYNC_NS = 60000, BYTES_PER_NS = 2 };

void disk_set_size(struct disk_inode *inode, struct buf *content, uint64_t size)
{
    if (size > content->len) {
        size_t more = (size_t)size - content->len;
        uint8_t *to = buf_reserve(content, more);
        if (to == NULL)
            abort();
        memset(to, 0, more);
    }
    if (content == &inode->now)
        inode->disk->used += size - content->len; /* modulo 2^64: shrinks too */
    content->len = (size_t)size;
}

void disk_apply(struct disk_inode *inode, struct buf *content, const struct disk_write *write,
                size_t from, size_t len)
{
    if (write->cut) {
        disk_set_size(inode, content, write->offset);
        return;
    }
    uint64_t begin = write->offset + from, end = begin + len;
    if (end > content->len)
        disk_set_size(inode, content, end);
    if (len > 0)
        memcpy(content->data + begin, write->data + from, len);
}

void disk_forget_unsynced(struct disk_inode *inode)
{
    struct list *at;
    while ((at = list_pop_front(&inode->unsynced)) != NULL)
        free(container_of(at, struct disk_write, link));
}

uint64_t sim_disk_unsynced(const struct sim_disk *disk)
{
    uint64_t bytes = 0;
    list_for_each(at, &disk->inodes)
        list_for_each(w, &container_of(at, struct disk_inode, link)->unsynced)
            bytes += container_of(w, struct disk_write, link)->len;
    return bytes;
}

err_t disk_read(struct disk_inode *inode, const char *path, uint64_t offset, void *out, size_t len,
                size_t *got, struct err *e)
{
    struct sim_disk *disk = inode->disk;
    err_t rc = disk_alive(disk, path, e);
    if (rc != ERR_OK)
        return rc;
    if (disk_hit(disk, SIM_FAULT_READ, path))
        return err_set(e, ERR_IO, "could not read \"%s\" at %llu: injected", path,
                       (unsigned long long)offset);
    size_t n = 0;
    if (offset < inode->now.len) {
        n = inode->now.len - (size_t)offset;
        n = n < len ? n : len;
        memcpy(out, inode->now.data + offset, n);
    }
    if (n > 0 && disk_hit(disk, SIM_FAULT_FLIP, path))
        ((uint8_t *)out)[prng_below(&disk->chance, n)] ^=
            (uint8_t)(1u << prng_below(&disk->chance, 8));
    disk_spend(disk, path, OP_NS / 4 + n / BYTES_PER_NS);
    *got = n;
    return ERR_OK;
}

static struct disk_write *change_new(struct disk_inode *inode, uint64_t offset, size_t len)
{
    struct disk_write *w = disk_alloc(sizeof *w + len);
    w->offset = offset;
    w->len = len;
    w->seq = inode->disk->seq++;
    return w;
}

static void change_add(struct disk_inode *inode, struct disk_write *w)
{
    disk_apply(inode, &inode->now, w, 0, w->len);
    list_push_back(&inode->unsynced, &w->link);
}

err_t disk_write(struct disk_inode *inode, const char *path, uint64_t offset,
                 const struct bytes *iov, unsigned n, struct err *e)
{
    struct sim_disk *disk = inode->disk;
    size_t len = 0;
    for (unsigned i = 0; i < n; i++)
        len += iov[i].len;
    err_t rc = disk_effect(disk, "write", path, inode->id, offset, len, e);
    if (rc != ERR_OK)
        return rc;
    if (offset + len > FILE_BYTES_MAX)
        return err_set(e, ERR_TOO_LARGE, "\"%s\": a simulated file holds at most %d bytes", path,
                       FILE_BYTES_MAX);
    struct disk_write *w = change_new(inode, offset, len);
    size_t at = 0;
    for (unsigned i = 0; i < n; at += iov[i].len, i++)
        if (iov[i].len > 0)
            memcpy(w->data + at, iov[i].data, iov[i].len);

    uint64_t growth = offset + len > inode->now.len ? offset + len - inode->now.len : 0;
    if (disk_hit(disk, SIM_FAULT_WRITE, path)) {
        rc = err_set(e, ERR_IO, "could not write \"%s\" at %llu: injected", path,
                     (unsigned long long)offset);
        w->len = prng_below(&disk->chance, len + 1);
    } else if (disk_hit(disk, SIM_FAULT_FULL, path)) {
        rc = err_set(e, ERR_DISK_FULL, "could not write \"%s\" at %llu: injected", path,
                     (unsigned long long)offset);
        w->len = prng_below(&disk->chance, len + 1);
    } else if (disk->used + growth > disk->capacity) {
        rc = err_set(e, ERR_DISK_FULL,
                     "could not write \"%s\": all %llu bytes of the simulated disk are used", path,
                     (unsigned long long)disk->capacity);
        uint64_t room = disk->used < disk->capacity ? disk->capacity - disk->used : 0;
        w->len = len - growth + room < len ? (size_t)(len - growth + room) : len;
    }
    disk_spend(disk, path, OP_NS + len / BYTES_PER_NS);
    inode->last_offset = offset;
    inode->last_len = w->len;
    inode->written = true;
    if (w->len > 0)
        change_add(inode, w);
    else
        free(w);
    return rc;
}

err_t disk_truncate(struct disk_inode *inode, const char *path, uint64_t size, struct err *e)
{
    err_t rc = disk_effect(inode->disk, "truncate", path, inode->id, size, 0, e);
    if (rc != ERR_OK)
        return rc;
    if (disk_hit(inode->disk, SIM_FAULT_WRITE, path))
        return err_set(e, ERR_IO, "could not truncate \"%s\": injected", path);
    if (size > FILE_BYTES_MAX)
        return err_set(e, ERR_TOO_LARGE, "\"%s\": a simulated file holds at most %d bytes", path,
                       FILE_BYTES_MAX);
    disk_spend(inode->disk, path, OP_NS);
    struct disk_write *w = change_new(inode, size, 0);
    w->cut = true;
    change_add(inode, w);
    return ERR_OK;
}

err_t disk_sync(struct disk_inode *inode, const char *path, struct err *e)
{
    struct sim_disk *disk = inode->disk;
    err_t rc = disk_effect(disk, "sync", path, inode->id, inode->now.len, 0, e);
    if (rc != ERR_OK)
        return rc;
    disk_spend(disk, path, SYNC_NS);
    if (disk_hit(disk, SIM_FAULT_LIE, path))
        return ERR_OK;
    if (disk_hit(disk, SIM_FAULT_SYNC, path)) {
        disk_forget_unsynced(inode);
        return err_set(e, ERR_IO, "could not sync \"%s\": injected", path);
    }
    list_for_each(at, &inode->unsynced) {
        struct disk_write *w = container_of(at, struct disk_write, link);
        disk_apply(inode, &inode->safe, w, 0, w->len);
    }
    disk_forget_unsynced(inode);
    return ERR_OK;
}
