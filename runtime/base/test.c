/* The test harness over cmocka. Linked into test programs alone. */
#include "base/test.h"

#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CASES_MAX = 512, DIRS_MAX = 256 };

static char *dirs[DIRS_MAX];
static size_t dir_count;

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st, (void)flag, (void)ftw;
    return remove(path);
}

static void remove_dirs(void)
{
    for (size_t i = 0; i < dir_count; i++) {
        nftw(dirs[i], remove_one, 16, FTW_DEPTH | FTW_PHYS);
        free(dirs[i]);
    }
    dir_count = 0;
}

char *test_dir(void)
{
    const char *tmp = getenv("TMPDIR");
    char path[512];
    snprintf(path, sizeof path, "%s/flotilla-test-XXXXXX", tmp != NULL ? tmp : "/tmp");
    if (dir_count == DIRS_MAX || mkdtemp(path) == NULL)
        fail_msg("no temporary directory %s", path);
    dirs[dir_count++] = strdup(path);
    return strdup(path);
}

const char *test_shared(void)
{
    static char path[512];
    const char *named = getenv("FLOTILLA_SHARED"), *source = getenv("FLOTILLA_SOURCE");
    if (named != NULL)
        snprintf(path, sizeof path, "%s", named);
    else
        snprintf(path, sizeof path, "%s/../shared", source != NULL ? source : ".");
    if (access(path, R_OK) == 0)
        return path;
    const char *ci = getenv("CI");
    if (ci != NULL && strcmp(ci, "true") == 0)
        fail_msg("%s is missing (set FLOTILLA_SHARED), and CI=true", path);
    print_message("SKIP: no shared vectors at %s (set FLOTILLA_SHARED)\n", path);
    skip();
    return NULL;
}

struct buf test_hex(const char *hex)
{
    struct buf b = { 0 };
    for (; hex[0] != '\0'; hex += 2) {
        unsigned byte;
        if (hex[1] == '\0' || sscanf(hex, "%2x", &byte) != 1)
            abort();
        uint8_t *to = buf_reserve(&b, 1);
        if (to == NULL)
            abort();
        *to = (uint8_t)byte;
        b.len++;
    }
    return b;
}

static void print_bytes(char *out, size_t cap, struct bytes b)
{
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < b.len && used + 4 < cap; i++)
        used += (size_t)snprintf(out + used, cap - used, "%02x", b.data[i]);
}

void test_fail_bytes(const char *file, int line, const char *what, struct bytes have,
                     struct bytes want)
{
    char h[512], w[512];
    print_bytes(h, sizeof h, have);
    print_bytes(w, sizeof w, want);
    fail_msg("%s:%d: %s is %zu bytes %s, not %zu bytes %s", file, line, what, have.len, h, want.len,
             w);
}

int test_main(int argc, char **argv)
{
    struct CMUnitTest run[CASES_MAX];
    size_t count = 0;
    for (struct test_case *c = test_cases; c != NULL && count < CASES_MAX; c = c->next)
        if (argc < 2 || strstr(c->name, argv[1]) != NULL)
            run[count++] = (struct CMUnitTest){ .name = c->name, .test_func = c->run };
    for (size_t i = 0; i < count / 2; i++) { /* constructors of a file run in order: restore it */
        struct CMUnitTest t = run[i];
        run[i] = run[count - 1 - i];
        run[count - 1 - i] = t;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    int failed = _cmocka_run_group_tests(argv[0], run, count, NULL, NULL);
    remove_dirs();
    return failed != 0 || count == 0;
}
