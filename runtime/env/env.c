/* The door itself: every call goes through the table of the object's world. */
#include "env/env_ops.h"

#include <assert.h>
#include <stdlib.h>

void env_fini(struct env *env)
{
    heap_free(&env->timers);
    env->turns = env->turn_next = NULL;
}

/* ---- Turn hooks ---- */

void env_turn_add(struct env *env, struct env_turn *turn)
{
    struct env_turn **end = &env->turns;
    while (*end != NULL)
        end = &(*end)->next;
    turn->next = NULL;
    *end = turn;
}

void env_turn_remove(struct env *env, struct env_turn *turn)
{
    for (struct env_turn **at = &env->turns; *at != NULL; at = &(*at)->next) {
        if (*at != turn)
            continue;
        if (env->turn_next == turn)
            env->turn_next = turn->next;
        *at = turn->next;
        turn->next = NULL;
        return;
    }
}

void env_turns_run(struct env *env)
{
    for (struct env_turn *turn = env->turns; turn != NULL; turn = env->turn_next) {
        env->turn_next = turn->next;
        turn->run(turn);
    }
}

/* ---- Dispatch ---- */

uint64_t env_random_u64(struct env *env)
{
    uint64_t n;
    env->ops->random(env, &n, sizeof n);
    return n;
}

uint64_t env_now(struct env *env)
{
    return env->ops->now(env);
}

uint64_t env_wall(struct env *env)
{
    return env->ops->wall(env);
}

void env_random(struct env *env, void *out, size_t len)
{
    env->ops->random(env, out, len);
}

err_t env_lane_open(struct env *env, enum env_lane_kind kind, const char *name,
                    struct env_lane **ret, struct err *e)
{
    return env->ops->lane_open(env, kind, name, ret, e);
}

void env_work(struct env_lane *lane, struct env_job *job)
{
    lane->env->ops->work(lane, job);
}

size_t env_lane_depth(const struct env_lane *lane)
{
    return lane->env->ops->lane_depth(lane);
}

void env_lane_close(struct env_lane *lane)
{
    if (lane != NULL)
        lane->env->ops->lane_close(lane);
}

void env_post(struct env *env, struct env_job *job)
{
    env->ops->post(env, job);
}

void env_stop(struct env *env)
{
    env->ops->stop(env);
}

err_t env_lock_new(struct env *env, struct env_lock **ret, struct err *e)
{
    return env->ops->lock_new(env, ret, e);
}

void env_lock_free(struct env_lock *lock)
{
    if (lock != NULL)
        lock->env->ops->lock_free(lock);
}

void env_lock_enter(struct env_lock *lock)
{
    lock->env->ops->lock_enter(lock);
}

void env_lock_leave(struct env_lock *lock)
{
    lock->env->ops->lock_leave(lock);
}

bool env_lock_wait(struct env_lock *lock, uint64_t timeout_ns)
{
    return lock->env->ops->lock_wait(lock, timeout_ns);
}

void env_lock_wake(struct env_lock *lock)
{
    lock->env->ops->lock_wake(lock);
}

err_t env_listen(struct env *env, const char *address,
                 void (*accept)(void *user, struct env_stream *stream), void *user,
                 struct env_listener **ret, struct err *e)
{
    return env->ops->listen(env, address, accept, user, ret, e);
}

const char *env_listener_address(const struct env_listener *listener)
{
    return listener->env->ops->listener_address(listener);
}

void env_listener_close(struct env_listener *listener)
{
    if (listener != NULL)
        listener->env->ops->listener_close(listener);
}

err_t env_connect(struct env *env, const char *address, struct env_connect *connect, struct err *e)
{
    return env->ops->connect(env, address, connect, e);
}

void env_connect_cancel(struct env *env, struct env_connect *connect)
{
    env->ops->connect_cancel(env, connect);
}

void env_stream_start(struct env_stream *stream, const struct env_stream_ops *ops, void *user)
{
    stream->env->ops->stream_start(stream, ops, user);
}

void env_stream_pause(struct env_stream *stream)
{
    stream->env->ops->stream_pause(stream);
}

void env_stream_resume(struct env_stream *stream)
{
    stream->env->ops->stream_resume(stream);
}

void env_stream_write(struct env_stream *stream, const struct bytes *iov, unsigned n,
                      struct env_write *write)
{
    stream->env->ops->stream_write(stream, iov, n, write);
}

size_t env_stream_backlog(const struct env_stream *stream)
{
    return stream->env->ops->stream_backlog(stream);
}

void env_stream_end(struct env_stream *stream)
{
    stream->env->ops->stream_end(stream);
}

void env_stream_close(struct env_stream *stream)
{
    stream->env->ops->stream_close(stream);
}

void env_stream_peer(struct env_stream *stream, struct env_peer *ret)
{
    stream->env->ops->stream_peer(stream, ret);
}

err_t env_file_open(struct env *env, const char *path, unsigned flags, struct env_file **ret,
                    struct err *e)
{
    return env->ops->file_open(env, path, flags, ret, e);
}

err_t env_file_read(struct env_file *file, uint64_t offset, void *out, size_t len, size_t *got,
                    struct err *e)
{
    return file->env->ops->file_read(file, offset, out, len, got, e);
}

err_t env_file_write(struct env_file *file, uint64_t offset, const struct bytes *iov, unsigned n,
                     struct err *e)
{
    return file->env->ops->file_write(file, offset, iov, n, e);
}

err_t env_file_sync(struct env_file *file, struct err *e)
{
    return file->env->ops->file_sync(file, e);
}

err_t env_file_size(struct env_file *file, uint64_t *ret, struct err *e)
{
    return file->env->ops->file_size(file, ret, e);
}

err_t env_file_truncate(struct env_file *file, uint64_t size, struct err *e)
{
    return file->env->ops->file_truncate(file, size, e);
}

err_t env_file_lock(struct env_file *file, struct err *e)
{
    return file->env->ops->file_lock(file, e);
}

void env_file_close(struct env_file *file)
{
    if (file != NULL)
        file->env->ops->file_close(file);
}

err_t env_rename(struct env *env, const char *from, const char *to, struct err *e)
{
    return env->ops->rename(env, from, to, e);
}

err_t env_remove(struct env *env, const char *path, struct err *e)
{
    return env->ops->remove(env, path, e);
}

err_t env_mkdir(struct env *env, const char *path, struct err *e)
{
    return env->ops->mkdir(env, path, e);
}

err_t env_dir_sync(struct env *env, const char *path, struct err *e)
{
    return env->ops->dir_sync(env, path, e);
}

err_t env_dir_list(struct env *env, const char *path,
                   err_t (*each)(void *user, const char *name, bool is_dir), void *user,
                   struct err *e)
{
    return env->ops->dir_list(env, path, each, user, e);
}

err_t env_stat(struct env *env, const char *path, bool *is_dir, uint64_t *size, struct err *e)
{
    return env->ops->stat(env, path, is_dir, size, e);
}

err_t env_disk_free(struct env *env, const char *path, uint64_t *available, uint64_t *total,
                    struct err *e)
{
    return env->ops->disk_free(env, path, available, total, e);
}

err_t env_watch_start(struct env *env, struct env_watch *watch, const char *directory,
                      struct err *e)
{
    return env->ops->watch_start(env, watch, directory, e);
}

void env_watch_stop(struct env *env, struct env_watch *watch)
{
    env->ops->watch_stop(env, watch);
}
