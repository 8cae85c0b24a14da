/* The inside of the universe: shared by sim.c (queue), world.c (env), net.c (streams), file.c (files). */
#pragma once

#include "base/container.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/prng.h"
#include "disk_int.h"
#include "env/env_ops.h"
#include "world.h"

struct sim;

/* Something that will happen, embedded in its owner. An event of a world makes a turn of that world. */
struct sim_event {
    struct heap_node node;
    struct list waits; /* in world->frozen; untouched ({0}) if it never was */
    struct sim_world *world;
    void (*fire)(struct sim_event *event);
    const char *what; /* at most 8 characters, for the trace */
    uint64_t id;      /* of what it happens to */
};

struct sim {
    uint64_t now; /* true time */
    struct heap queue;
    struct prng chance;
    struct sim_net net;
    struct list worlds, listeners;
    unsigned world_count; /* open ones: the universe ends with its last */
    uint32_t next_world;
    uint64_t next_id;
    uint16_t next_port;
    uint64_t hash, events, turns, resets;
    bool in_job;     /* a lane's job is running: */
    uint64_t job_ns; /* so far it took this long */
    FILE *trace;
};

struct sim_cut {
    struct list link; /* in world->cuts */
    struct sim_world *to;
};

struct sim_world {
    struct env env;
    struct sim *sim;
    struct list link; /* in sim->worlds */
    uint32_t id;
    struct sim_disk *disk;
    bool own_disk, stop, crashed, powerless, touched, is_frozen;
    struct prng chance;           /* env_random */
    uint64_t true_base, now_base; /* env_now() was now_base at true_base */
    uint64_t rate_ppm;
    int64_t wall_offset;
    struct sim_event wake; /* at the earliest timer */
    struct sim_event thaw;
    struct list frozen; /* events that came due while it was, in their order */
    uint64_t last_post; /* posts keep their order */
    struct list posts, lanes, connects, ends, segments, watches, cuts;
    struct {
        uint64_t least, most, stall;
    } lane_time[ENV_LANE_SCRIPT + 1];
};

static inline struct sim_world *world_of(struct env *env)
{
    return container_of(env, struct sim_world, env);
}

/* sim.c */
struct sim *sim_new(uint64_t seed);
void sim_free(struct sim *sim);
/* (Re)schedules `event` at true time `at`, or now if that has passed. */
void sim_at(struct sim *sim, struct sim_event *event, uint64_t at);
void sim_cancel(struct sim *sim, struct sim_event *event);
/* Draws from the universe's PRNG, both ends included. */
uint64_t sim_draw(struct sim *sim, uint64_t least, uint64_t most);
/* One event into the hash and the trace. */
void sim_note(struct sim *sim, const struct sim_world *world, const char *what, uint64_t id,
              uint64_t a, uint64_t b);
/* Bytes into the hash. */
void sim_hash_bytes(struct sim *sim, const void *data, size_t len);
bool sim_turn(struct sim *sim, uint64_t until);
/* Everything that waited happens, in order. */
void sim_thaw(struct sim_event *event);

/* world.c */
void sim_world_arm(struct sim_world *world);
uint64_t sim_world_local_now(const struct sim_world *world);

/* file.c */
extern const struct disk_host sim_file_host; /* but `user` */
err_t sim_file_open(struct env *env, const char *path, unsigned flags, struct env_file **ret,
                    struct err *e);
err_t sim_file_read(struct env_file *file, uint64_t offset, void *out, size_t len, size_t *got,
                    struct err *e);
err_t sim_file_write(struct env_file *file, uint64_t offset, const struct bytes *iov, unsigned n,
                     struct err *e);
err_t sim_file_sync(struct env_file *file, struct err *e);
err_t sim_file_size(struct env_file *file, uint64_t *ret, struct err *e);
err_t sim_file_truncate(struct env_file *file, uint64_t size, struct err *e);
err_t sim_file_lock(struct env_file *file, struct err *e);
void sim_file_close(struct env_file *file);
err_t sim_file_rename(struct env *env, const char *from, const char *to, struct err *e);
err_t sim_file_remove(struct env *env, const char *path, struct err *e);
err_t sim_file_mkdir(struct env *env, const char *path, struct err *e);
err_t sim_file_dir_sync(struct env *env, const char *path, struct err *e);
err_t sim_file_dir_list(struct env *env, const char *path,
                        err_t (*each)(void *user, const char *name, bool is_dir), void *user,
                        struct err *e);
err_t sim_file_stat(struct env *env, const char *path, bool *is_dir, uint64_t *size, struct err *e);
err_t sim_file_disk_free(struct env *env, const char *path, uint64_t *available, uint64_t *total,
                         struct err *e);
err_t sim_file_watch_start(struct env *env, struct env_watch *watch, const char *directory,
                           struct err *e);
void sim_file_watch_stop(struct env *env, struct env_watch *watch);
void sim_file_forget_watches(struct sim_world *world);

/* lane.c */
err_t sim_lane_open(struct env *env, enum env_lane_kind kind, const char *name,
                    struct env_lane **ret, struct err *e);
void sim_lane_work(struct env_lane *lane, struct env_job *job);
size_t sim_lane_depth(const struct env_lane *lane);
void sim_lane_close(struct env_lane *lane);
void sim_lane_forget(struct sim_world *world); /* frees the lanes that a crashed world has left */

/* net.c, stream.c */
err_t sim_net_listen(struct env *env, const char *address,
                     void (*accept)(void *user, struct env_stream *stream), void *user,
                     struct env_listener **ret, struct err *e);
const char *sim_net_listener_address(const struct env_listener *listener);
void sim_net_listener_close(struct env_listener *listener);
err_t sim_net_connect(struct env *env, const char *address, struct env_connect *connect,
                      struct err *e);
void sim_net_connect_cancel(struct env *env, struct env_connect *connect);
/* True while nothing gets from one world to the other. */
bool sim_net_is_cut(const struct sim_world *from, const struct sim_world *to);
/* The machine has ended: its listeners answer no more; its streams are reset, or silent. */
void sim_net_crash(struct sim_world *world);
/* At the end of a world: frees what a crashed one has left; true if nothing was. */
bool sim_net_forget(struct sim_world *world);

struct sim_stream_end;
/* Both ends of a new connection; each is closed by its user. */
void sim_stream_pair(struct sim_world *client, struct sim_world *server,
                     const struct env_peer *client_sees, const struct env_peer *server_sees,
                     struct sim_stream_end *ret[2]);
struct env_stream *sim_stream_of(struct sim_stream_end *end);
void sim_stream_reset(struct sim_stream_end *end);
void sim_stream_crash(struct sim_world *world);
size_t sim_stream_reset_all(struct sim_world *world);
/* The link is whole again: what was held back arrives. */
void sim_stream_release(struct sim_world *from, struct sim_world *to);
void sim_stream_run_closing(struct sim_world *world);
/* True if every end was closed. */
bool sim_stream_forget(struct sim_world *world);
void sim_stream_start(struct env_stream *stream, const struct env_stream_ops *ops, void *user);
void sim_stream_pause(struct env_stream *stream);
void sim_stream_resume(struct env_stream *stream);
void sim_stream_write(struct env_stream *stream, const struct bytes *iov, unsigned n,
                      struct env_write *write);
size_t sim_stream_backlog(const struct env_stream *stream);
void sim_stream_finish(struct env_stream *stream);
void sim_stream_close(struct env_stream *stream);
void sim_stream_peer(struct env_stream *stream, struct env_peer *ret);
