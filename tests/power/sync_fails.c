/* A disk whose sync fails once, for a program that does not know: LD_PRELOAD.
 *
 *   SYNC_FAILS_PATH=part of a path   SYNC_FAILS_AT=n    the n-th fdatasync or fsync of such a file answers EIO */
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool fails(int fd)
{
    static atomic_long seen;
    const char *part = getenv("SYNC_FAILS_PATH"), *at = getenv("SYNC_FAILS_AT");
    char link[64], path[PATH_MAX];
    if (part == NULL || at == NULL)
        return false;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof path - 1);
    if (len < 0)
        return false;
    path[len] = '\0';
    return strstr(path, part) != NULL && atomic_fetch_add(&seen, 1) + 1 == atol(at);
}

__attribute__((visibility("default"))) int fdatasync(int fd)
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    if (!fails(fd))
        return real(fd);
    errno = EIO;
    return -1;
}

__attribute__((visibility("default"))) int fsync(int fd)
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    if (!fails(fd))
        return real(fd);
    errno = EIO;
    return -1;
}
