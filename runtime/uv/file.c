/* Files: blocking calls, from any thread. What the kernel does in parts is done here until it is whole. */
#include "world_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { IOV_AT_ONCE = 64 };

struct file {
    struct env_file base;
    int fd;
    char path[]; /* for messages */
};

static struct file *file_of(struct env_file *base)
{
    return container_of(base, struct file, base);
}

static int open_flags(unsigned flags)
{
    int f = O_CLOEXEC;
    f |= flags & ENV_OPEN_WRITE ? (flags & ENV_OPEN_READ ? O_RDWR : O_WRONLY) : O_RDONLY;
    f |= flags & ENV_OPEN_CREATE ? O_CREAT : 0;
    f |= flags & ENV_OPEN_EXCL ? O_EXCL : 0;
    f |= flags & ENV_OPEN_TRUNCATE ? O_TRUNC : 0;
    return f;
}

err_t world_file_open(struct env *env, const char *path, unsigned flags, struct env_file **ret,
                      struct err *e)
{
    int fd;
    do
        fd = open(path, open_flags(flags), 0600);
    while (fd < 0 && errno == EINTR);
    if (fd < 0)
        return err_errno(e, errno, "could not %s \"%s\"", flags & ENV_OPEN_EXCL ? "create" : "open",
                         path);
    struct stat st;
    if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
        close(fd);
        return err_errno(e, EISDIR, "could not open \"%s\"", path);
    }
    size_t len = strlen(path) + 1;
    struct file *file = world_alloc(sizeof *file + len);
    file->base.env = env;
    file->fd = fd;
    memcpy(file->path, path, len);
    *ret = &file->base;
    return ERR_OK;
}

err_t world_file_read(struct env_file *base, uint64_t offset, void *out, size_t len, size_t *got,
                      struct err *e)
{
    struct file *file = file_of(base);
    size_t done = 0;
    while (done < len) {
        ssize_t n = pread(file->fd, (uint8_t *)out + done, len - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(e, errno, "could not read %zu bytes of \"%s\" at %llu", len,
                             file->path, (unsigned long long)offset);
        if (n == 0)
            break;
        done += (size_t)n;
    }
    *got = done;
    return ERR_OK;
}

/* Writes all of `v`, which it uses up. */
static err_t write_all(struct file *file, uint64_t offset, struct iovec *v, int n, struct err *e)
{
    while (n > 0) {
        ssize_t wrote = pwritev(file->fd, v, n, (off_t)offset);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0)
            return err_errno(e, errno, "could not write \"%s\" at %llu", file->path,
                             (unsigned long long)offset);
        offset += (uint64_t)wrote;
        for (; n > 0 && (size_t)wrote >= v->iov_len; v++, n--)
            wrote -= (ssize_t)v->iov_len;
        if (n > 0) {
            v->iov_base = (uint8_t *)v->iov_base + wrote;
            v->iov_len -= (size_t)wrote;
        }
    }
    return ERR_OK;
}

err_t world_file_write(struct env_file *base, uint64_t offset, const struct bytes *iov, unsigned n,
                       struct err *e)
{
    struct file *file = file_of(base);
    while (n > 0) {
        struct iovec v[IOV_AT_ONCE];
        int count = 0;
        uint64_t len = 0;
        for (; n > 0 && count < IOV_AT_ONCE; iov++, n--) {
            if (iov->len == 0)
                continue;
            v[count].iov_base = (void *)(uintptr_t)iov->data; /* pwritev does not write there */
            v[count++].iov_len = iov->len;
            len += iov->len;
        }
        err_t rc = write_all(file, offset, v, count, e);
        if (rc != ERR_OK)
            return rc;
        offset += len;
    }
    return ERR_OK;
}

err_t world_file_sync(struct env_file *base, struct err *e)
{
    struct file *file = file_of(base);
    if (fdatasync(file->fd) !=
        0) /* EINTR too: after an error nothing is known, and it is not called again */
        return err_errno(e, errno, "could not sync \"%s\"", file->path);
    return ERR_OK;
}

err_t world_file_size(struct env_file *base, uint64_t *ret, struct err *e)
{
    struct file *file = file_of(base);
    struct stat st;
    if (fstat(file->fd, &st) != 0)
        return err_errno(e, errno, "could not ask the size of \"%s\"", file->path);
    *ret = (uint64_t)st.st_size;
    return ERR_OK;
}

err_t world_file_truncate(struct env_file *base, uint64_t size, struct err *e)
{
    struct file *file = file_of(base);
    int rc;
    do
        rc = ftruncate(file->fd, (off_t)size);
    while (rc != 0 && errno == EINTR);
    return rc == 0 ? ERR_OK : err_errno(e, errno, "could not truncate \"%s\"", file->path);
}

err_t world_file_lock(struct env_file *base, struct err *e)
{
    struct file *file = file_of(base);
    if (flock(file->fd, LOCK_EX | LOCK_NB) == 0)
        return ERR_OK;
    if (errno == EWOULDBLOCK)
        return err_set(e, ERR_LOCKED, "\"%s\" is locked by another process", file->path);
    return err_errno(e, errno, "could not lock \"%s\"", file->path);
}

void world_file_close(struct env_file *base)
{
    struct file *file = file_of(base);
    close(file->fd);
    free(file);
}
