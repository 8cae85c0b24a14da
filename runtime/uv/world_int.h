/* The inside of the machine's world. The prefix is world_: a uv_something of ours would replace libuv's. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <uv.h>

#include "base/container.h"
#include "base/list.h"
#include "env/env_ops.h"
#include "world.h"

struct world {
    struct env env;
    struct world_config config;
    uv_loop_t loop;
    pthread_t thread; /* that runs the loop: who opened the world, then who runs it */
    uv_poll_t
        timer; /* over timer_fd: wakes the loop for the earliest env timer, fires nothing itself */
    int timer_fd;         /* on CLOCK_BOOTTIME, as env_now(): exact, and right after a suspend */
    uint64_t timer_due;   /* what it is set to; UINT64_MAX: not set, or it has woken us */
    uv_prepare_t prepare; /* the end of every turn */
    uv_check_t check;     /* the beginning of the next */
    uv_idle_t idle;       /* keeps the loop from sleeping while a turn could not finish */
    uv_poll_t wake;       /* over wake_fd, an eventfd: how other threads end the loop's sleep */
    int wake_fd;
    _Atomic(struct env_job *) posted; /* newest first */
    atomic_bool asleep; /* the loop sleeps or is about to: who brings work must wake it */
    atomic_bool stop;
    struct list lanes, signals;
    uint64_t lane_round;
    struct list dirty;                  /* streams with writes of this turn */
    struct env_write *done, *done_last; /* writes that are over; rc in `world` */
    size_t users;   /* streams, listeners, connects, watches that are not closing */
    size_t closing; /* handles that libuv has not let go yet */
    int reserve_fd; /* given up to turn a connection away when descriptors run out */
    uint64_t turn_began;
    struct world_stats stats;
};

static inline struct world *world_of(struct env *env)
{
    return container_of(env, struct world, env);
}

/* What is only for the loop's thread, is only for the loop's thread. */
static inline bool world_on_loop(const struct world *world)
{
    return pthread_equal(world->thread, pthread_self());
}

void *world_alloc(size_t len); /* zeroed; aborts if memory is gone: for small and fixed things */

/* world.c */
/* After work was put where the loop finds it. Any thread. */
void world_wake(struct world *world);
/* A write is over: its `done` is called at the end of the turn. */
void world_write_over(struct world *world, struct env_write *write, err_t rc);
/* Calls what world_write_over() has gathered. True: there was one. */
bool world_serve_writes(struct world *world);

/* lane.c */
err_t world_lane_open(struct env *env, enum env_lane_kind kind, const char *name,
                      struct env_lane **ret, struct err *e);
void world_lane_work(struct env_lane *lane, struct env_job *job);
size_t world_lane_depth(const struct env_lane *lane);
void world_lane_close(struct env_lane *lane);
bool world_lanes_have_results(struct world *world);
bool world_lanes_serve(
    struct world *world); /* calls `done` of finished jobs; true: there was one */

/* lock.c */
err_t world_lock_new(struct env *env, struct env_lock **ret, struct err *e);
void world_lock_free(struct env_lock *lock);
void world_lock_enter(struct env_lock *lock);
void world_lock_leave(struct env_lock *lock);
bool world_lock_wait(struct env_lock *lock, uint64_t timeout_ns);
void world_lock_wake(struct env_lock *lock);

/* stream.c */
struct world_stream;
struct world_stream *world_stream_new(struct world *world, bool is_unix);
struct env_stream *world_stream_env(struct world_stream *stream);
uv_handle_t *world_stream_handle(struct world_stream *stream);
void world_stream_flush(struct list *dirty_link);
void world_stream_start(struct env_stream *stream, const struct env_stream_ops *ops, void *user);
void world_stream_pause(struct env_stream *stream);
void world_stream_resume(struct env_stream *stream);
void world_stream_write(struct env_stream *stream, const struct bytes *iov, unsigned n,
                        struct env_write *write);
size_t world_stream_backlog(const struct env_stream *stream);
void world_stream_end(struct env_stream *stream);
void world_stream_close(struct env_stream *stream);
void world_stream_peer(struct env_stream *stream, struct env_peer *ret);

/* listen.c */
err_t world_listen(struct env *env, const char *address,
                   void (*accept)(void *user, struct env_stream *stream), void *user,
                   struct env_listener **ret, struct err *e);
const char *world_listener_address(const struct env_listener *listener);
void world_listener_close(struct env_listener *listener);
/* connect.c */
err_t world_connect(struct env *env, const char *address, struct env_connect *connect,
                    struct err *e);
void world_connect_cancel(struct env *env, struct env_connect *connect);
/* Fills a socket address; answers its length. */
socklen_t world_sockaddr(const struct env_address *address, struct sockaddr_storage *ret);

/* file.c */
err_t world_file_open(struct env *env, const char *path, unsigned flags, struct env_file **ret,
                      struct err *e);
err_t world_file_read(struct env_file *file, uint64_t offset, void *out, size_t len, size_t *got,
                      struct err *e);
err_t world_file_write(struct env_file *file, uint64_t offset, const struct bytes *iov, unsigned n,
                       struct err *e);
err_t world_file_sync(struct env_file *file, struct err *e);
err_t world_file_size(struct env_file *file, uint64_t *ret, struct err *e);
err_t world_file_truncate(struct env_file *file, uint64_t size, struct err *e);
err_t world_file_lock(struct env_file *file, struct err *e);
void world_file_close(struct env_file *file);
/* dir.c */
err_t world_rename(struct env *env, const char *from, const char *to, struct err *e);
err_t world_remove(struct env *env, const char *path, struct err *e);
err_t world_mkdir(struct env *env, const char *path, struct err *e);
err_t world_dir_sync(struct env *env, const char *path, struct err *e);
err_t world_dir_list(struct env *env, const char *path,
                     err_t (*each)(void *user, const char *name, bool is_dir), void *user,
                     struct err *e);
err_t world_stat(struct env *env, const char *path, bool *is_dir, uint64_t *size, struct err *e);
err_t world_disk_free(struct env *env, const char *path, uint64_t *available, uint64_t *total,
                      struct err *e);
err_t world_watch_start(struct env *env, struct env_watch *watch, const char *directory,
                        struct err *e);
void world_watch_stop(struct env *env, struct env_watch *watch);
