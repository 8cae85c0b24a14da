/* The inside of the disk: shared by disk.c (names), disk_data.c (contents), disk_crash.c, disk_fault.c, file.c. */
#pragma once

#include "base/list.h"
#include "base/prng.h"
#include "disk.h"

/* One unsynced change of a file's content. */
struct disk_write {
    struct list link; /* in inode->unsynced */
    uint64_t seq;     /* order over all files and names */
    bool cut;         /* truncate to `offset`; no data */
    uint64_t offset;
    size_t len;
    uint8_t data[];
};

struct disk_name {
    char *name;
    struct disk_inode *inode;
};
struct disk_names {
    struct disk_name *of; /* sorted by bytes */
    size_t len, cap;
};

struct disk_inode {
    struct list link; /* in disk->inodes */
    struct sim_disk *disk;
    uint64_t id;
    bool is_dir;
    unsigned refs;        /* names in either state, unsynced name operations, open files */
    struct buf now, safe; /* contents; `safe` is what no crash takes */
    struct list unsynced; /* struct disk_write; now = safe + unsynced, but for a failed sync */
    struct disk_names now_names, safe_names;
    const void *locked_by; /* the open file that holds the lock */
    unsigned watched;      /* watches on this directory */
    uint64_t last_offset, last_len;
    bool written;
    struct disk_inode *twin; /* sim_disk_copy's */
};

/* One unsynced change of names: a rename has two steps and is atomic. */
struct disk_step {
    struct disk_inode *dir;
    char *name;
    struct disk_inode *inode; /* NULL: the name goes */
};
struct disk_move {
    struct list link; /* in disk->moves */
    uint64_t seq;
    unsigned count;
    struct disk_step steps[2];
};

struct disk_plan {
    struct list link; /* in disk->plans */
    enum sim_fault fault;
    uint64_t nth;
    char *part;
};

/* Who lives above the disk: a world, or nobody. */
struct disk_host {
    void *user;
    void (*spent)(void *user, uint64_t ns);                    /* an operation took this long */
    void (*changed)(void *user, const struct disk_inode *dir); /* for watches */
    void (*note)(void *user, const char *what, uint64_t id, uint64_t a,
                 uint64_t b); /* for hash and trace */
};

struct sim_disk {
    struct prng chance;
    struct disk_inode *root;
    struct list inodes, moves, plans;
    uint64_t seq, next_id;
    uint64_t generation; /* of open files: a crash ends the older ones */
    uint64_t effects, stop_at;
    bool stopped;
    uint64_t used, capacity, stall_ns;
    uint32_t per_million[SIM_FAULT_COUNT];
    uint64_t count[SIM_FAULT_COUNT], crashes[SIM_CRASH_COUNT];
    struct disk_host host;
};

/* disk.c: names */
struct disk_inode *disk_inode_new(struct sim_disk *disk, bool is_dir);
void disk_ref(struct disk_inode *inode);
void disk_unref(struct disk_inode *inode);
struct disk_inode *disk_names_get(const struct disk_names *names, const char *name);
void disk_names_set(struct disk_names *names, const char *name, struct disk_inode *inode);
void disk_names_clear(struct disk_names *names);
/* The inode at `path`, NULL if there is none. */
struct disk_inode *disk_find(struct sim_disk *disk, const char *path);
/* The directory of `path` and the last name in it (256 bytes of room), NULL if that directory is not there. */
struct disk_inode *disk_find_parent(struct sim_disk *disk, const char *path, char name[256]);
void disk_move_free(struct disk_move *move);
void disk_move_apply_safe(struct disk_move *move);
err_t disk_create(struct sim_disk *disk, const char *path, bool is_dir, struct disk_inode **ret,
                  struct err *e);
err_t disk_rename(struct sim_disk *disk, const char *from, const char *to, struct err *e);
err_t disk_remove(struct sim_disk *disk, const char *path, struct err *e);
err_t disk_dir_sync(struct sim_disk *disk, const char *path, struct err *e);

/* disk_data.c: contents */
void disk_set_size(struct disk_inode *inode, struct buf *content, uint64_t size);
void disk_apply(struct disk_inode *inode, struct buf *content, const struct disk_write *write,
                size_t from, size_t len);
void disk_forget_unsynced(struct disk_inode *inode);
err_t disk_read(struct disk_inode *inode, const char *path, uint64_t offset, void *out, size_t len,
                size_t *got, struct err *e);
err_t disk_write(struct disk_inode *inode, const char *path, uint64_t offset,
                 const struct bytes *iov, unsigned n, struct err *e);
err_t disk_truncate(struct disk_inode *inode, const char *path, uint64_t size, struct err *e);
err_t disk_sync(struct disk_inode *inode, const char *path, struct err *e);

/* disk_fault.c */
/* Counts an operation that `fault` can hit and tells whether it is hit now. */
bool disk_hit(struct sim_disk *disk, enum sim_fault fault, const char *path);
/* Begins effect number `effects + 1`; ERR_IO if the machine has stopped or stops here. */
err_t disk_effect(struct sim_disk *disk, const char *what, const char *path, uint64_t id,
                  uint64_t a, uint64_t b, struct err *e);
/* ERR_IO if the machine has stopped. */
err_t disk_alive(struct sim_disk *disk, const char *path, struct err *e);
/* Tells the world that an operation took a time drawn from [least, 4 * least], or a stall. */
void disk_spend(struct sim_disk *disk, const char *path, uint64_t least_ns);

void *disk_alloc(size_t len); /* zeroed; aborts if memory is gone */
