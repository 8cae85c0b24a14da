/* How a world fills the door. For runtime/uv, sim/world and env.c alone; users of env never include it.
 *
 *     struct my_world { struct env env; ... };      ops: one static const table
 *     struct my_file  { struct env_file base; ... };  every object begins with its env, so that env.c finds the table
 *
 * What both worlds would write twice is here once: the heap of timers, the list of turn hooks, addresses, and the
 * helpers over files. A world asks env_timers_next() how long it may sleep, and calls env_timers_fire() and
 * env_turns_run(). */
#pragma once

#include "env/env.h"

struct env_ops {
    uint64_t (*now)(struct env *env);
    uint64_t (*wall)(struct env *env);
    void (*random)(struct env *env, void *out, size_t len);
    /* The earliest due is another. NULL: the world asks before every sleep anyway. */
    void (*timers_changed)(struct env *env);

    err_t (*lane_open)(struct env *env, enum env_lane_kind kind, const char *name,
                       struct env_lane **ret, struct err *e);
    void (*work)(struct env_lane *lane, struct env_job *job);
    size_t (*lane_depth)(const struct env_lane *lane);
    void (*lane_close)(struct env_lane *lane);
    void (*post)(struct env *env, struct env_job *job);
    void (*stop)(struct env *env);

    err_t (*lock_new)(struct env *env, struct env_lock **ret, struct err *e);
    void (*lock_free)(struct env_lock *lock);
    void (*lock_enter)(struct env_lock *lock);
    void (*lock_leave)(struct env_lock *lock);
    bool (*lock_wait)(struct env_lock *lock, uint64_t timeout_ns);
    void (*lock_wake)(struct env_lock *lock);

    err_t (*listen)(struct env *env, const char *address,
                    void (*accept)(void *user, struct env_stream *stream), void *user,
                    struct env_listener **ret, struct err *e);
    const char *(*listener_address)(const struct env_listener *listener);
    void (*listener_close)(struct env_listener *listener);
    err_t (*connect)(struct env *env, const char *address, struct env_connect *connect,
                     struct err *e);
    void (*connect_cancel)(struct env *env, struct env_connect *connect);
    void (*stream_start)(struct env_stream *stream, const struct env_stream_ops *ops, void *user);
    void (*stream_pause)(struct env_stream *stream);
    void (*stream_resume)(struct env_stream *stream);
    void (*stream_write)(struct env_stream *stream, const struct bytes *iov, unsigned n,
                         struct env_write *write);
    size_t (*stream_backlog)(const struct env_stream *stream);
    void (*stream_end)(struct env_stream *stream);
    void (*stream_close)(struct env_stream *stream);
    void (*stream_peer)(struct env_stream *stream, struct env_peer *ret);

    err_t (*file_open)(struct env *env, const char *path, unsigned flags, struct env_file **ret,
                       struct err *e);
    err_t (*file_read)(struct env_file *file, uint64_t offset, void *out, size_t len, size_t *got,
                       struct err *e);
    err_t (*file_write)(struct env_file *file, uint64_t offset, const struct bytes *iov, unsigned n,
                        struct err *e);
    err_t (*file_sync)(struct env_file *file, struct err *e);
    err_t (*file_size)(struct env_file *file, uint64_t *ret, struct err *e);
    err_t (*file_truncate)(struct env_file *file, uint64_t size, struct err *e);
    err_t (*file_lock)(struct env_file *file, struct err *e);
    void (*file_close)(struct env_file *file);

    err_t (*rename)(struct env *env, const char *from, const char *to, struct err *e);
    err_t (*remove)(struct env *env, const char *path, struct err *e);
    err_t (*mkdir)(struct env *env, const char *path, struct err *e);
    err_t (*dir_sync)(struct env *env, const char *path, struct err *e);
    err_t (*dir_list)(struct env *env, const char *path,
                      err_t (*each)(void *user, const char *name, bool is_dir), void *user,
                      struct err *e);
    err_t (*stat)(struct env *env, const char *path, bool *is_dir, uint64_t *size, struct err *e);
    err_t (*disk_free)(struct env *env, const char *path, uint64_t *available, uint64_t *total,
                       struct err *e);
    err_t (*watch_start)(struct env *env, struct env_watch *watch, const char *directory,
                         struct err *e);
    void (*watch_stop)(struct env *env, struct env_watch *watch);
};

struct env {
    const struct env_ops *ops;
    struct heap timers;                 /* that are started */
    struct env_turn *turns, *turn_next; /* turn_next: whom env_turns_run() calls next */
};

struct env_lane {
    struct env *env;
};
struct env_lock {
    struct env *env;
};
struct env_listener {
    struct env *env;
};
struct env_stream {
    struct env *env;
};
struct env_file {
    struct env *env;
};

/* Every started timer is forgotten (its `slot` becomes 0), hooks too. */
void env_fini(struct env *env);

/* The earliest due, UINT64_MAX if no timer is started. */
uint64_t env_timers_next(const struct env *env);
/* Fires what is due at `now`, in order; a timer started meanwhile waits for the next call. True: one was fired. */
bool env_timers_fire(struct env *env, uint64_t now);
/* Runs every hook once. One may remove itself and others, and add. */
void env_turns_run(struct env *env);

/* An address, checked. */
struct env_address {
    enum { ENV_ADDRESS_IP4, ENV_ADDRESS_IP6, ENV_ADDRESS_UNIX } kind;
    char host[108]; /* "127.0.0.1", "::1", or the path of a unix socket */
    uint16_t port;
};
MUST_USE err_t env_address_parse(const char *text, struct env_address *ret, struct err *e);
