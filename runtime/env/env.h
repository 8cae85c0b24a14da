/* The one door to the world: clocks, chance, timers, streams, files, lanes.
 *
 *            node, region, storage, net ... call env_*() and nothing else
 *                                |
 *              +-----------------+------------------+
 *         runtime/uv                             sim/world
 *         the machine: libuv, pthreads           one seed decides everything, one thread
 *
 * Threads. A world has one loop thread. Everything here is called on it, except what says otherwise: files, clocks
 * and locks may be used from any thread, and env_post() is how another thread reaches the loop.
 *
 * A turn. The loop handles every event that is ready, then calls the turn hooks once (env_turn_add). Effects are
 * gathered during the turn and emitted in its hook: one log write, one frame per peer (design: "turns, not ticks").
 *
 * Both worlds pass one contract suite (env_contract.h). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/heap.h"

struct env;

/* ---- Clocks and chance (any thread) ------------------------------------------------------------------------- */

/* Nanoseconds on a clock that never steps back and goes on during suspend (CLOCK_BOOTTIME). For durations, leases. */
uint64_t env_now(struct env *env);
/* Nanoseconds since 1970 on a clock that people set, also back. For HLC, TSO and the log alone. */
uint64_t env_wall(struct env *env);
/* Fills `out` with random bytes: the kernel's in the machine, the seed's in the simulator. */
void env_random(struct env *env, void *out, size_t len);
uint64_t env_random_u64(struct env *env);

/* ---- Timers ------------------------------------------------------------------------------------------------- */

/* Embedded in its owner, who finds itself again by container_of. All fields belong to the world once started. */
struct env_timer {
    void (*fire)(struct env_timer *timer);
    /* due: env_now() at which it fires; equal dues fire in the order of their start */
    struct heap_node node;
};
/* (Re)starts: fires once, not before `delay_ns` from now. */
void env_timer_start(struct env *env, struct env_timer *timer, uint64_t delay_ns);
/* Stops if started; after it returns `fire` is not called. From inside `fire` too, of any timer. */
void env_timer_stop(struct env *env, struct env_timer *timer);
static inline bool env_timer_active(const struct env_timer *timer)
{
    return heap_linked(&timer->node);
}

/* ---- Turns, tasks, lanes ------------------------------------------------------------------------------------ */

/* Called once at the end of every turn of the loop, in the order of adding. A hook may do everything; what it
 * starts (a write, a post, a timer without delay) makes another turn before the loop sleeps. */
struct env_turn {
    void (*run)(struct env_turn *turn);
    struct env_turn *next;
};
void env_turn_add(struct env *env, struct env_turn *turn);
void env_turn_remove(struct env *env, struct env_turn *turn);

/* Work for a lane, embedded in its owner; the world's from env_work() until `done` is called. */
struct env_job {
    /* On the lane's thread; gets what it needs by value. NULL with env_post(). */
    void (*run)(struct env_job *job);
    void (*done)(struct env_job *job); /* then on the loop thread */
    struct env_job *next;
};

/* A lane is a FIFO served by one thread (in the simulator: virtual, with a duration drawn from the seed).
 * BULK and SCRIPT run at low priority; SCRIPT at idle priority (SCHED_IDLE). */
enum env_lane_kind { ENV_LANE_LOG, ENV_LANE_APPLY, ENV_LANE_READ, ENV_LANE_BULK, ENV_LANE_SCRIPT };
struct env_lane;

/* Opens a lane; `name` (at most 15 characters) is the thread's name in the machine. */
MUST_USE err_t env_lane_open(struct env *env, enum env_lane_kind kind, const char *name,
                             struct env_lane **ret, struct err *e);
/* Queues a job: run, then done. Loop thread only; `done` is never called from inside. */
void env_work(struct env_lane *lane, struct env_job *job);
/* Jobs given whose `done` has not begun. Loop thread only: so 0 means that the owner has seen all results. */
size_t env_lane_depth(const struct env_lane *lane);
/* Waits until every queued job has run, calls their `done` (those may queue more, which is served too), ends the
 * thread. Loop thread only; not from inside this lane's `run` or `done`. NULL is welcome. */
void env_lane_close(struct env_lane *lane);
/* Any thread: calls job->done on the loop thread, soon, in the order of posting. `run` is ignored. */
void env_post(struct env *env, struct env_job *job);
/* Makes the world's run return after this turn. Any thread, also from a signal handler. */
void env_stop(struct env *env);

/* A mutex with its condition, for the few places where threads meet: blocking callers of the storage library, and
 * script threads that wait for the loop. In the simulator there is one thread: locking is free and waiting asserts. */
struct env_lock;
MUST_USE err_t env_lock_new(struct env *env, struct env_lock **ret, struct err *e);
void env_lock_free(struct env_lock *lock); /* NULL is welcome */
void env_lock_enter(struct env_lock *lock);
void env_lock_leave(struct env_lock *lock);
/* Waits for env_lock_wake() at most `timeout_ns` (UINT64_MAX: for ever); spurious returns happen. False: time-out. */
bool env_lock_wait(struct env_lock *lock, uint64_t timeout_ns);
void env_lock_wake(struct env_lock *lock); /* wakes all; call it with the lock held */

/* ---- Streams (loop thread) ---------------------------------------------------------------------------------- */

/* An address is text: "127.0.0.1:7001", "[::1]:7001" (port 0: any free one), or "unix:/path/to/socket" (107 bytes of
 * path at most). Names are not resolved. */
struct env_listener;
struct env_stream;

struct env_room {
    uint8_t *data;
    size_t len;
};
struct env_stream_ops {
    /* Where the next bytes go: at least one byte of room. The memory is the user's; it stays valid until `read`, or
     * until room is asked for again (there was nothing to read after all), or until `closed`. */
    struct env_room (*room)(void *user, size_t suggested);
    /* `len` bytes have arrived in that room. 0: no more will come, last `read` (`rc` is ERR_CLOSED at a clean end and
     * at a reset, else why). The other side may still read: its end and ours are two things. */
    void (*read)(void *user, size_t len, err_t rc);
    /* The stream is gone: last call, after env_stream_close() and after every `done` of its writes, never from inside
     * either. Free your state here. */
    void (*closed)(void *user);
};

/* `accept` gets a new stream; it must call env_stream_start() or env_stream_close() on it, at once or later.
 * A unix socket is made with mode 0600 and replaces a dead socket file; ERR_ADDRESS_IN_USE if somebody listens. */
MUST_USE err_t env_listen(struct env *env, const char *address,
                          void (*accept)(void *user, struct env_stream *stream), void *user,
                          struct env_listener **ret, struct err *e);
/* The bound address, with the real port. Valid as long as the listener. */
const char *env_listener_address(const struct env_listener *listener);
/* Stops accepting and frees, soon. NULL is welcome. */
void env_listener_close(struct env_listener *listener);

/* Connects. `done` is called once, later: ERR_OK and the stream, or why not and NULL. */
struct env_connect {
    void (*done)(struct env_connect *connect, err_t rc, struct env_stream *stream);
    void *world; /* the world's own; NULL once `done` was called */
};
MUST_USE err_t env_connect(struct env *env, const char *address, struct env_connect *connect,
                           struct err *e);
/* Gives up: `done` is called, later, with ERR_CANCELLED. For deadlines and shutdown; not after `done`. */
void env_connect_cancel(struct env *env, struct env_connect *connect);

/* Begins reading. `ops` must outlive the stream. */
void env_stream_start(struct env_stream *stream, const struct env_stream_ops *ops, void *user);
/* Back-pressure: no `read` is called while paused. */
void env_stream_pause(struct env_stream *stream);
void env_stream_resume(struct env_stream *stream);

/* Writes all of `iov`, in order behind earlier writes, then calls `done` (ERR_OK: the kernel has it; or ERR_CLOSED and
 * others), never from inside. Borrows the bytes (not the array) until `done`. Writes of one turn leave together at its
 * end: many small writes cost one system call. A write on a closing stream answers ERR_CLOSED through `done`. */
struct env_write {
    void (*done)(struct env_write *write, err_t rc);
    void *world;
    struct env_write *next;
};
void env_stream_write(struct env_stream *stream, const struct bytes *iov, unsigned n,
                      struct env_write *write);
/* Bytes given to env_stream_write() and not yet taken by the kernel. */
size_t env_stream_backlog(const struct env_stream *stream);
/* Half-closes: after the pending writes the other side reads the end; we may still read. No write may follow. This is
 * how a last message gets through: end, read until the other side ends too (or a deadline), close. */
void env_stream_end(struct env_stream *stream);
/* Closes: pending writes end with ERR_CLOSED, no `read` follows, then ops->closed is called (if the stream was
 * started). Calling it again before `closed` does nothing. */
void env_stream_close(struct env_stream *stream);

/* Who is on the other side. uid and pid are set for unix sockets (SO_PEERCRED), else has_credentials is false. */
struct env_peer {
    char address[108];
    bool has_credentials;
    uint32_t uid, pid;
};
void env_stream_peer(struct env_stream *stream, struct env_peer *ret);

/* ---- Files (any thread; blocking) --------------------------------------------------------------------------- */

/* Rules that every caller keeps (faults.md section 3): a failed write or sync means "unknown" and is never retried;
 * a created, renamed or removed name is durable only after env_dir_sync() of its directory. */
struct env_file;
enum env_open {
    ENV_OPEN_READ = 1,
    ENV_OPEN_WRITE = 2,  /* with READ: both */
    ENV_OPEN_CREATE = 4, /* create if it does not exist */
    ENV_OPEN_EXCL = 8,   /* with CREATE: ERR_ALREADY_EXISTS if it does */
    ENV_OPEN_TRUNCATE = 16,
};
MUST_USE err_t env_file_open(struct env *env, const char *path, unsigned flags,
                             struct env_file **ret, struct err *e);
/* Reads up to `len` bytes at `offset`; `*got` is less only at the end of the file, and 0 behind it. */
MUST_USE err_t env_file_read(struct env_file *file, uint64_t offset, void *out, size_t len,
                             size_t *got, struct err *e);
/* Writes all of `iov` at `offset`, or fails with an unknown part of it written. */
MUST_USE err_t env_file_write(struct env_file *file, uint64_t offset, const struct bytes *iov,
                              unsigned n, struct err *e);
/* fdatasync: contents and size are durable on ERR_OK. After any error nothing is known. */
MUST_USE err_t env_file_sync(struct env_file *file, struct err *e);
MUST_USE err_t env_file_size(struct env_file *file, uint64_t *ret, struct err *e);
MUST_USE err_t env_file_truncate(struct env_file *file, uint64_t size, struct err *e);
/* An exclusive advisory lock on the file, held until it is closed. ERR_LOCKED if another open file has it, in another
 * process or in this one. */
MUST_USE err_t env_file_lock(struct env_file *file, struct err *e);
void env_file_close(struct env_file *file); /* NULL is welcome */

/* Replaces `to` if it is a file. */
MUST_USE err_t env_rename(struct env *env, const char *from, const char *to, struct err *e);
/* A file, or an empty directory. */
MUST_USE err_t env_remove(struct env *env, const char *path, struct err *e);
/* ERR_ALREADY_EXISTS; mode 0700. */
MUST_USE err_t env_mkdir(struct env *env, const char *path, struct err *e);
MUST_USE err_t env_dir_sync(struct env *env, const char *path, struct err *e);
/* Calls `each` for every name but . and .., sorted by bytes; stops at the first error and answers it. */
MUST_USE err_t env_dir_list(struct env *env, const char *path,
                            err_t (*each)(void *user, const char *name, bool is_dir), void *user,
                            struct err *e);
/* ERR_NOT_FOUND if nothing is there. */
MUST_USE err_t env_stat(struct env *env, const char *path, bool *is_dir, uint64_t *size,
                        struct err *e);
/* Bytes free to us and in all, on the file system of `path`. */
MUST_USE err_t env_disk_free(struct env *env, const char *path, uint64_t *available,
                             uint64_t *total, struct err *e);
/* Reads a whole file of at most `max` bytes (ERR_TOO_LARGE above). The caller frees `ret`. */
MUST_USE err_t env_read_file(struct env *env, const char *path, size_t max, struct buf *ret,
                             struct err *e);
/* Writes a small file so that a crash leaves the old one or the new one: "<path>.tmp", sync, rename, directory sync.
 * After an error the temporary file may be left; the next call begins by truncating it. */
MUST_USE err_t env_write_file(struct env *env, const char *path, struct bytes content,
                              struct err *e);

/* Calls `changed` on the loop when anything in the directory changes: names and contents, not sub-directories' insides.
 * One change may call more than once (debounce is the user's). Stop is allowed from inside `changed`. */
struct env_watch {
    void (*changed)(struct env_watch *watch);
    void *world;
};
MUST_USE err_t env_watch_start(struct env *env, struct env_watch *watch, const char *directory,
                               struct err *e);
void env_watch_stop(struct env *env, struct env_watch *watch);

/* ---- For the worlds: how the door is filled ----------------------------------------------------------------- */

/* env_ops.h declares the table that a world fills; users of env never include it. */
