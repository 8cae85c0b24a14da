/* Contract: files, directories, watches. */
#include "env_contract/env_contract.h"

#include "base/container.h"
#include "base/test.h"

struct files {
    struct env_contract *c;
    struct env *env;
    struct err e;
    char path[4][256];
};

static struct files files_open(struct env_contract *c)
{
    struct files f = { .c = c };
    f.env = c->open(c);
    return f;
}

/* "dir/name"; four at a time. */
static const char *in_dir(struct files *f, unsigned slot, const char *name)
{
    snprintf(f->path[slot], sizeof f->path[slot], "%s/%s", f->c->dir, name);
    return f->path[slot];
}

static struct env_file *open_or_fail(struct files *f, const char *name, unsigned flags)
{
    struct env_file *file = NULL;
    CHECK_OK(env_file_open(f->env, in_dir(f, 3, name), flags, &file, &f->e), f->e);
    return file;
}

enum {
    RW = ENV_OPEN_READ | ENV_OPEN_WRITE,
    MAKE = ENV_OPEN_READ | ENV_OPEN_WRITE | ENV_OPEN_CREATE
};

static void write_text(struct files *f, struct env_file *file, uint64_t offset, const char *text)
{
    struct bytes b = BYTES(text);
    CHECK_OK(env_file_write(file, offset, &b, 1, &f->e), f->e);
}

static void make(struct files *f, const char *name, const char *text)
{
    struct env_file *file = open_or_fail(f, name, MAKE);
    write_text(f, file, 0, text);
    env_file_close(file);
}

static void check_file(struct files *f, const char *name, struct bytes want)
{
    struct buf have = { 0 };
    CHECK_OK(env_read_file(f->env, in_dir(f, 3, name), 1 << 20, &have, &f->e), f->e);
    CHECK_BYTES(buf_bytes(&have), want);
    buf_free(&have);
}

void env_contract_file_reads_what_was_written(struct env_contract *c)
{
    struct files f = files_open(c);
    struct env_file *file = open_or_fail(&f, "a", MAKE);
    write_text(&f, file, 0, "hello world");
    write_text(&f, file, 6, "there");
    CHECK_OK(env_file_sync(file, &f.e), f.e);
    char out[11];
    size_t got = 0;
    CHECK_OK(env_file_read(file, 0, out, 11, &got, &f.e), f.e);
    CHECK_EQ(got, 11);
    CHECK(memcmp(out, "hello there", 11) == 0);
    env_file_close(file);
    env_file_close(NULL);
    check_file(&f, "a", BYTES("hello there"));
    c->close(c);
}

void env_contract_file_short_reads_at_the_end(struct env_contract *c)
{
    struct files f = files_open(c);
    struct env_file *file = open_or_fail(&f, "a", MAKE);
    write_text(&f, file, 0, "0123456789");
    char out[16];
    size_t got = 99;
    CHECK_OK(env_file_read(file, 7, out, sizeof out, &got, &f.e), f.e);
    CHECK_EQ(got, 3);
    CHECK_OK(env_file_read(file, 10, out, sizeof out, &got, &f.e), f.e);
    CHECK_EQ(got, 0);
    CHECK_OK(env_file_read(file, 1 << 20, out, sizeof out, &got, &f.e), f.e);
    CHECK_EQ(got, 0);
    env_file_close(file);
    c->close(c);
}

void env_contract_file_gaps_are_zero(struct env_contract *c)
{
    struct files f = files_open(c);
    struct env_file *file = open_or_fail(&f, "a", MAKE);
    write_text(&f, file, 4, "x");
    env_file_close(file);
    check_file(&f, "a", bytes_from("\0\0\0\0x", 5));
    c->close(c);
}

/* More pieces than a system call takes, some of them empty. */
void env_contract_file_many_pieces(struct env_contract *c)
{
    enum { PIECES = 3000 };
    struct files f = files_open(c);
    struct env_file *file = open_or_fail(&f, "a", MAKE);
    uint8_t *all = malloc(PIECES * 2);
    struct bytes *iov = calloc(PIECES, sizeof *iov);
    size_t len = 0;
    for (size_t i = 0; i < PIECES; i++) {
        iov[i] = bytes_from(all + len, i % 3);
        for (size_t k = 0; k < i % 3; k++)
            all[len++] = (uint8_t)(i * 7 + k);
    }
    CHECK_OK(env_file_write(file, 5, iov, PIECES, &f.e), f.e);
    CHECK_OK(env_file_write(file, 0, iov, 0, &f.e), f.e);
    uint8_t *back = calloc(1, PIECES * 2 + 5);
    size_t got = 0;
    CHECK_OK(env_file_read(file, 5, back, PIECES * 2, &got, &f.e), f.e);
    CHECK_BYTES(bytes_from(back, got), bytes_from(all, len));
    free(all);
    free(back);
    free(iov);
    env_file_close(file);
    c->close(c);
}

void env_contract_file_open_flags(struct env_contract *c)
{
    struct files f = files_open(c);
    struct env_file *file = NULL, *untouched = (struct env_file *)&f;
    file = untouched;
    CHECK_EQ(env_file_open(f.env, in_dir(&f, 0, "none"), ENV_OPEN_READ, &file, &f.e),
             ERR_NOT_FOUND);
    CHECK(file == untouched); /* `ret` is filled on success only */
    CHECK_CONTAINS(f.e.msg, "none");
    CHECK_EQ(env_file_open(f.env, in_dir(&f, 0, "no/dir"), MAKE, &file, &f.e), ERR_NOT_FOUND);
    make(&f, "a", "text");
    CHECK_EQ(env_file_open(f.env, in_dir(&f, 0, "a"), MAKE | ENV_OPEN_EXCL, &file, &f.e),
             ERR_ALREADY_EXISTS);
    file = open_or_fail(&f, "b", MAKE | ENV_OPEN_EXCL);
    env_file_close(file);
    file = open_or_fail(&f, "a", ENV_OPEN_READ);
    struct bytes b = BYTES("x");
    CHECK(env_file_write(file, 0, &b, 1, &f.e) != ERR_OK);
    env_file_close(file);
    file = open_or_fail(&f, "a", ENV_OPEN_WRITE);
    char out;
    size_t got;
    CHECK(env_file_read(file, 0, &out, 1, &got, &f.e) != ERR_OK);
    env_file_close(file);
    check_file(&f, "a", BYTES("text"));
    file = open_or_fail(&f, "a", ENV_OPEN_WRITE | ENV_OPEN_TRUNCATE);
    env_file_close(file);
    check_file(&f, "a", BYTES(""));
    CHECK(env_file_open(f.env, c->dir, RW, &file, &f.e) != ERR_OK); /* a directory */
    CHECK(env_file_open(f.env, c->dir, ENV_OPEN_READ, &file, &f.e) != ERR_OK);
    c->close(c);
}

void env_contract_file_truncate(struct env_contract *c)
{
    struct files f = files_open(c);
    struct env_file *file = open_or_fail(&f, "a", MAKE);
    uint64_t size = 0;
    write_text(&f, file, 0, "0123456789");
    CHECK_OK(env_file_truncate(file, 4, &f.e), f.e);
    CHECK_OK(env_file_size(file, &size, &f.e), f.e);
    CHECK_EQ(size, 4);
    CHECK_OK(env_file_truncate(file, 6, &f.e), f.e); /* what was cut off does not come back */
    CHECK_OK(env_file_size(file, &size, &f.e), f.e);
    CHECK_EQ(size, 6);
    env_file_close(file);
    check_file(&f, "a", bytes_from("0123\0\0", 6));
    c->close(c);
}

void env_contract_file_lives_without_a_name(struct env_contract *c)
{
    struct files f = files_open(c);
    struct env_file *file = open_or_fail(&f, "a", MAKE);
    CHECK_OK(env_remove(f.env, in_dir(&f, 0, "a"), &f.e), f.e);
    write_text(&f, file, 0, "still");
    char out[5];
    size_t got = 0;
    CHECK_OK(env_file_read(file, 0, out, 5, &got, &f.e), f.e);
    CHECK_BYTES(bytes_from(out, got), BYTES("still"));
    env_file_close(file);
    CHECK_EQ(env_file_open(f.env, in_dir(&f, 0, "a"), RW, &file, &f.e), ERR_NOT_FOUND);
    c->close(c);
}

void env_contract_file_lock_conflict(struct env_contract *c)
{
    struct files f = files_open(c);
    struct env_file *a = open_or_fail(&f, "LOCK", MAKE), *b = open_or_fail(&f, "LOCK", RW);
    CHECK_OK(env_file_lock(a, &f.e), f.e);
    CHECK_OK(env_file_lock(a, &f.e), f.e); /* ours already */
    CHECK_EQ(env_file_lock(b, &f.e), ERR_LOCKED);
    CHECK_CONTAINS(f.e.msg, "LOCK");
    env_file_close(a);
    CHECK_OK(env_file_lock(b, &f.e), f.e);
    env_file_close(b);
    c->close(c);
}

void env_contract_rename_replaces(struct env_contract *c)
{
    struct files f = files_open(c);
    make(&f, "a", "new");
    make(&f, "b", "old");
    CHECK_OK(env_rename(f.env, in_dir(&f, 0, "a"), in_dir(&f, 1, "b"), &f.e), f.e);
    CHECK_OK(env_dir_sync(f.env, c->dir, &f.e), f.e);
    check_file(&f, "b", BYTES("new"));
    CHECK_EQ(env_rename(f.env, in_dir(&f, 0, "a"), in_dir(&f, 1, "b"), &f.e), ERR_NOT_FOUND);
    CHECK_OK(env_mkdir(f.env, in_dir(&f, 0, "d"), &f.e), f.e);
    CHECK(env_rename(f.env, in_dir(&f, 1, "b"), in_dir(&f, 0, "d"), &f.e) != ERR_OK);
    CHECK_OK(env_rename(f.env, in_dir(&f, 1, "b"), in_dir(&f, 0, "d/b"), &f.e),
             f.e); /* to another directory */
    check_file(&f, "d/b", BYTES("new"));
    CHECK_OK(env_rename(f.env, in_dir(&f, 0, "d"), in_dir(&f, 1, "e"), &f.e),
             f.e); /* a directory itself */
    check_file(&f, "e/b", BYTES("new"));
    c->close(c);
}

void env_contract_remove_and_mkdir(struct env_contract *c)
{
    struct files f = files_open(c);
    bool is_dir = false;
    uint64_t size = 99;
    CHECK_EQ(env_remove(f.env, in_dir(&f, 0, "none"), &f.e), ERR_NOT_FOUND);
    CHECK_EQ(env_stat(f.env, in_dir(&f, 0, "none"), &is_dir, &size, &f.e), ERR_NOT_FOUND);
    CHECK_EQ(size, 99);
    CHECK_OK(env_mkdir(f.env, in_dir(&f, 0, "d"), &f.e), f.e);
    CHECK_EQ(env_mkdir(f.env, in_dir(&f, 0, "d"), &f.e), ERR_ALREADY_EXISTS);
    CHECK_EQ(env_mkdir(f.env, in_dir(&f, 1, "x/y"), &f.e), ERR_NOT_FOUND);
    CHECK_OK(env_stat(f.env, in_dir(&f, 0, "d"), &is_dir, &size, &f.e), f.e);
    CHECK(is_dir);
    make(&f, "d/a", "123");
    CHECK_OK(env_stat(f.env, in_dir(&f, 1, "d/a"), &is_dir, &size, &f.e), f.e);
    CHECK(!is_dir);
    CHECK_EQ(size, 3);
    CHECK(env_remove(f.env, in_dir(&f, 0, "d"), &f.e) != ERR_OK); /* not empty */
    CHECK_OK(env_remove(f.env, in_dir(&f, 1, "d/a"), &f.e), f.e);
    CHECK_OK(env_remove(f.env, in_dir(&f, 0, "d"), &f.e), f.e);
    CHECK_EQ(env_dir_sync(f.env, in_dir(&f, 0, "d"), &f.e), ERR_NOT_FOUND);
    c->close(c);
}

struct listing {
    char text[256];
    int left;
};

static err_t add_name(void *user, const char *name, bool is_dir)
{
    struct listing *l = user;
    snprintf(l->text + strlen(l->text), sizeof l->text - strlen(l->text), "%s%s ", name,
             is_dir ? "/" : "");
    return --l->left == 0 ? ERR_CANCELLED : ERR_OK;
}

void env_contract_dir_list_is_sorted(struct env_contract *c)
{
    struct files f = files_open(c);
    static const char *const names[] = { "b", "a", "B", "10", "9", "\xc3\xa4", "aa" };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        make(&f, names[i], "");
    CHECK_OK(env_mkdir(f.env, in_dir(&f, 0, "c"), &f.e), f.e);
    struct listing l = { .left = 0 };
    CHECK_OK(env_dir_list(f.env, c->dir, add_name, &l, &f.e), f.e);
    CHECK_STR(l.text, "10 9 B a aa b c/ \xc3\xa4 ");
    l = (struct listing){ .left = 2 };
    CHECK_EQ(env_dir_list(f.env, c->dir, add_name, &l, &f.e), ERR_CANCELLED);
    CHECK_STR(l.text, "10 9 ");
    CHECK_EQ(env_dir_list(f.env, in_dir(&f, 0, "none"), add_name, &l, &f.e), ERR_NOT_FOUND);
    c->close(c);
}

void env_contract_whole_files(struct env_contract *c)
{
    struct files f = files_open(c);
    struct buf have = { 0 };
    const char *path = in_dir(&f, 0, "whole");
    CHECK_EQ(env_read_file(f.env, path, 10, &have, &f.e), ERR_NOT_FOUND);
    CHECK_OK(env_write_file(f.env, path, BYTES("first, and long"), &f.e), f.e);
    CHECK_OK(env_write_file(f.env, path, BYTES("second"), &f.e), f.e);
    check_file(&f, "whole", BYTES("second"));
    CHECK_EQ(env_read_file(f.env, path, 5, &have, &f.e), ERR_TOO_LARGE);
    CHECK(have.data == NULL);
    CHECK_OK(env_read_file(f.env, path, 6, &have, &f.e), f.e);
    buf_free(&have);
    CHECK_OK(env_write_file(f.env, path, BYTES(""), &f.e), f.e);
    check_file(&f, "whole", BYTES(""));
    struct listing l = { 0 };
    CHECK_OK(env_dir_list(f.env, c->dir, add_name, &l, &f.e), f.e);
    CHECK_STR(l.text, "whole "); /* no temporary file is left */
    CHECK_EQ(env_write_file(f.env, in_dir(&f, 0, "no/dir"), BYTES(""), &f.e), ERR_NOT_FOUND);
    c->close(c);
}

struct watching {
    struct env_watch watch;
    struct env *env;
    int changes, goal;
    bool stop_inside;
};

static void on_change(struct env_watch *watch)
{
    struct watching *w = container_of(watch, struct watching, watch);
    w->changes++;
    if (w->stop_inside)
        env_watch_stop(w->env, watch);
}

static bool changed_enough(void *user)
{
    struct watching *w = user;
    return w->changes >= w->goal;
}

void env_contract_watch_sees_changes(struct env_contract *c)
{
    struct files f = files_open(c);
    CHECK_OK(env_mkdir(f.env, in_dir(&f, 0, "d"), &f.e), f.e);
    struct watching w = { .watch.changed = on_change, .env = f.env, .goal = 1 };
    CHECK_EQ(env_watch_start(f.env, &w.watch, in_dir(&f, 1, "none"), &f.e), ERR_NOT_FOUND);
    CHECK_OK(env_watch_start(f.env, &w.watch, f.path[0], &f.e), f.e);
    make(&f, "d/a", "");
    env_contract_until(c, f.env, changed_enough, &w);
    w.goal = w.changes + 1;
    make(&f, "d/a", "other contents");
    env_contract_until(c, f.env, changed_enough, &w);
    w.goal = w.changes + 1;
    CHECK_OK(env_rename(f.env, in_dir(&f, 1, "d/a"), in_dir(&f, 2, "d/b"), &f.e), f.e);
    env_contract_until(c, f.env, changed_enough, &w);
    w.goal = w.changes + 1;
    w.stop_inside = true;
    CHECK_OK(env_remove(f.env, f.path[2], &f.e), f.e);
    env_contract_until(c, f.env, changed_enough, &w);
    env_watch_stop(f.env, &w.watch); /* again: harmless */
    c->close(c);
}

void env_contract_disk_free_is_plausible(struct env_contract *c)
{
    struct files f = files_open(c);
    uint64_t available = 0, total = 0;
    CHECK_OK(env_disk_free(f.env, c->dir, &available, &total, &f.e), f.e);
    CHECK(total > 0 && available <= total);
    CHECK_EQ(env_disk_free(f.env, in_dir(&f, 0, "none"), &available, &total, &f.e), ERR_NOT_FOUND);
    c->close(c);
}
