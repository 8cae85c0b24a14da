/* A world in which one seed decides everything: one thread, one queue of events, virtual time.
 *
 *   universe    one clock, one queue, one PRNG, one network, one hash over all that happened
 *     world     a machine: its clocks, timers, lanes, streams (an env), on a disk (disk.h) that outlives it
 *     world     ... sim_world_beside() puts another machine into the same universe
 *
 * A turn: time moves to the next event; what is due by then happens; the turn hooks of the worlds concerned run; then
 * time moves on by the drawn length of the turn, so that late events meet in the next one. Files take virtual time too.
 *
 * Blocking code needs no loop: with the env of a world, file calls, clocks and chance work at once. */
#pragma once

#include <stdio.h>

#include "disk.h"
#include "env/env.h"

struct sim_world;

/* A world, alone in a new universe. `disk` is borrowed and may be shared by one world at a time; NULL: an empty one of
 * its own, from the seed. Aborts if memory is gone. */
struct sim_world *sim_world_new(uint64_t seed, struct sim_disk *disk);
/* Another machine in the universe of `other`. */
struct sim_world *sim_world_beside(struct sim_world *other, struct sim_disk *disk);
/* Runs what is left of closing, then frees. Streams, listeners, lanes, watches and files must have been closed, but not
 * those of a world that has crashed: they are freed without a word. NULL is welcome. */
void sim_world_close(struct sim_world *world);
struct env *sim_world_env(struct sim_world *world);
struct sim_disk *sim_world_disk(struct sim_world *world);

/* ---- Running: all worlds of the universe ---- */

/* Until env_stop() of this world (true); false: nothing is left to happen, or this world has crashed. */
bool sim_world_run(struct sim_world *world);
/* As above, and at most `ns` of virtual time; afterwards that much has passed, if it was not stopped. */
bool sim_world_run_for(struct sim_world *world, uint64_t ns);
/* One turn. False: nothing is left to happen. */
bool sim_world_turn(struct sim_world *world);

/* ---- Clocks ---- */

/* Moves the wall clock by `ns`, also back; env_now() does not notice. */
void sim_world_step_wall(struct sim_world *world, int64_t ns);
/* How far the wall clock is from true time, whose wall clock all worlds begin with. */
int64_t sim_world_wall_error(const struct sim_world *world);
/* Both clocks run at ppm / 1,000,000 of true time from now on. */
void sim_world_clock_rate(struct sim_world *world, uint32_t ppm);
/* True time: nanoseconds since the universe began. */
uint64_t sim_world_true_now(const struct sim_world *world);

/* ---- Lanes ---- */

/* A job takes a time drawn from [least, most], besides that of its file calls. */
void sim_world_lane_time(struct sim_world *world, enum env_lane_kind kind, uint64_t least_ns,
                         uint64_t most_ns);
/* The next job in a lane of that kind takes so much longer. */
void sim_world_stall_lane(struct sim_world *world, enum env_lane_kind kind, uint64_t ns);

/* No event of this machine happens for so long, as if somebody had stopped it with all its threads; its clocks go on.
 * Then everything that has come due happens at once. Later calls lengthen it. */
void sim_world_freeze(struct sim_world *world, uint64_t ns);
bool sim_world_frozen(const struct sim_world *world);

/* ---- Network: of the universe ---- */

struct sim_net {
    uint64_t least_ns, most_ns;         /* one way */
    size_t segment_least, segment_most; /* bytes that arrive together; 1 and 1: one by one */
    size_t window;                      /* bytes on the way or unread before a sender is blocked */
    uint32_t reset_per_million;         /* chance that a segment becomes a reset of its stream */
};
/* The defaults: 20 to 200 us, 1 to 16384 bytes, 256 KiB, no resets. */
struct sim_net sim_world_net_default(void);
void sim_world_set_net(struct sim_world *world, const struct sim_net *net);
/* While cut, nothing gets from one world to the other. It arrives after healing, as with a patient TCP, unless its
 * sender has ended by then. */
void sim_world_cut_link(struct sim_world *from, struct sim_world *to, bool cut);
/* Resets every stream of this world: both ends read ERR_CLOSED, what was on the way is lost. Answers how many. */
size_t sim_world_reset_streams(struct sim_world *world);

/* ---- Crashes ---- */

/* Ends this machine now, and its disk by `how` (disk.h). No more event of it happens; closing its streams, lanes and
 * files still works, so that its user can be freed. Others see resets after SIM_CRASH_KILL, else silence. */
void sim_world_crash(struct sim_world *world, enum sim_crash how);
/* True after that, or once the disk has stopped (sim_disk_stop_at). */
bool sim_world_crashed(const struct sim_world *world);

/* ---- What happened ---- */

/* 64 bits over every event of the universe so far, the same for the same seed and inputs. */
uint64_t sim_world_hash(const struct sim_world *world);
/* Events so far; turns so far. */
uint64_t sim_world_events(const struct sim_world *world);
uint64_t sim_world_turns(const struct sim_world *world);
uint64_t sim_world_resets(const struct sim_world *world); /* streams reset by fault or by hand */
/* Writes a line per event from now on (docs/internals/sim.md); NULL ends it. */
void sim_world_trace(struct sim_world *world, FILE *to);
