/* A disk that forgets, tears and lies, in memory, by a seed.
 *
 *   process writes ──> now    what a process reads                     survives a kill
 *                       │ unsynced operations, in their order          a crash takes any of them
 *   sync, dir_sync ──> safe   contents and names that no crash takes   survives a power cut
 *
 * A disk outlives the worlds that use it: run a world on it, crash, open a fresh world on the same disk.
 *
 *     struct sim_disk *disk = sim_disk_new(seed);
 *     struct sim_world *world = sim_world_new(seed, disk);
 *     ... storage_open(sim_world_env(world), ...) and work ...
 *     sim_disk_crash(disk, SIM_CRASH_DRAW);          // first close or abandon what used it
 *     ... a fresh sim_world_new(seed + 1, disk), open again, check ...
 *
 * Effects. Every write, sync, truncate, create, rename, remove, mkdir and dir_sync is an effect and has a number,
 * from 1. sim_disk_stop_at(n) stops the machine before effect n: a loop over n crashes between every two effects.
 *
 * Sectors of 512 bytes are the unit that a power cut leaves whole. Contents and names are apart: fdatasync of a new
 * file does not keep its name, dir_sync does. */
#pragma once

#include <stdio.h>

#include "base/buf.h"
#include "base/err.h"

enum { SIM_SECTOR = 512 };

struct sim_disk;

/* An empty disk with a root directory ("/"; relative paths begin there too). Aborts if memory is gone. */
struct sim_disk *sim_disk_new(uint64_t seed);
/* An independent copy of both states, with chances from `seed`: for many damages to one history. Faults that were
 * planned, locks and open files are not copied. */
struct sim_disk *sim_disk_copy(const struct sim_disk *disk, uint64_t seed);
/* After the worlds on it are closed. NULL is welcome. */
void sim_disk_free(struct sim_disk *disk);

/* ---- Crashes ---- */

enum sim_crash {
    SIM_CRASH_DRAW, /* power cut: LOSE, PREFIX or SECTORS, drawn */
    SIM_CRASH_KILL, /* the process alone: all that was written stays, as unsynced as before */
    SIM_CRASH_KEEP, /* power cut: everything happened to be on the disk already */
    SIM_CRASH_LOSE, /* power cut: nothing unsynced survives */
    SIM_CRASH_PREFIX, /* power cut: operations up to a drawn one, over all files; the last may be torn */
    SIM_CRASH_SECTORS, /* power cut: each sector in one of its versions, each name operation on its own */
    SIM_CRASH_COUNT
};
/* Takes what this kind of crash takes. Open files answer ERR_IO from now on, locks are gone, a stop has ended. */
void sim_disk_crash(struct sim_disk *disk, enum sim_crash how);
/* Effects so far. */
uint64_t sim_disk_effects(const struct sim_disk *disk);
/* Before effect `n` the machine stops: that effect and everything later on this disk, reads too, answers ERR_IO
 * and does nothing, until sim_disk_crash(). 0: never. */
void sim_disk_stop_at(struct sim_disk *disk, uint64_t n);
bool sim_disk_stopped(const struct sim_disk *disk);
/* Bytes written and not yet synced, over all files. */
uint64_t sim_disk_unsynced(const struct sim_disk *disk);

/* ---- Faults ---- */

enum sim_fault {
    SIM_FAULT_WRITE, /* ERR_IO, and a drawn beginning of the bytes was written */
    SIM_FAULT_FULL,  /* ERR_DISK_FULL, likewise */
    SIM_FAULT_SYNC, /* ERR_IO once, and what was unsynced never reaches the disk, though reads still show it */
    SIM_FAULT_LIE,   /* a sync or dir_sync answers ERR_OK and does nothing */
    SIM_FAULT_NAME,  /* create, rename, remove, mkdir or dir_sync: ERR_IO, not done */
    SIM_FAULT_READ,  /* ERR_IO */
    SIM_FAULT_FLIP,  /* a drawn bit of what is read is another; the disk is whole */
    SIM_FAULT_STALL, /* a write, sync or read takes sim_disk_stall_ns() longer */
    SIM_FAULT_COUNT
};
const char *sim_fault_name(enum sim_fault fault);
/* Plans one fault: at the `nth` operation from now (1: the next) that it can hit and whose path contains `part`
 * (NULL: any). Several may be planned. */
void sim_disk_fault(struct sim_disk *disk, enum sim_fault fault, const char *part, uint64_t nth);
/* Every operation that the fault can hit is hit with this chance. */
void sim_disk_chance(struct sim_disk *disk, enum sim_fault fault, uint32_t per_million);
/* How often it was injected. A test whose fault never came is void. */
uint64_t sim_disk_fault_count(const struct sim_disk *disk, enum sim_fault fault);
/* How often the disk crashed in that way. A drawn crash counts as what was drawn. */
uint64_t sim_disk_crash_count(const struct sim_disk *disk, enum sim_crash how);
/* One line: every fault and every kind of crash that happened, with its count, and the effects in all. */
void sim_disk_report(const struct sim_disk *disk, FILE *to);
/* A write that would hold more than this in all answers ERR_DISK_FULL. 0 (the default): 1 TiB. */
void sim_disk_capacity(struct sim_disk *disk, uint64_t bytes);
/* Length of a stall; the default is 1 s of virtual time. */
void sim_disk_stall_ns(struct sim_disk *disk, uint64_t ns);

/* ---- A look, and damage by hand: on both states at once, unsynced operations of the file are settled first ---- */

/* The content as a process sees it; the caller frees `ret`. ERR_NOT_FOUND. */
MUST_USE err_t sim_disk_peek(struct sim_disk *disk, const char *path, struct buf *ret);
/* Where the file's last write went, synced or not. False: it was never written. */
bool sim_disk_last_write(struct sim_disk *disk, const char *path, uint64_t *offset, uint64_t *len);
MUST_USE err_t sim_disk_poke(struct sim_disk *disk, const char *path, uint64_t offset,
                             struct bytes src);
MUST_USE err_t sim_disk_flip(struct sim_disk *disk, const char *path, uint64_t offset,
                             unsigned bit);
MUST_USE err_t sim_disk_zero(struct sim_disk *disk, const char *path, uint64_t offset,
                             uint64_t len);
MUST_USE err_t sim_disk_cut(struct sim_disk *disk, const char *path, uint64_t size);
/* Removes the name from both states, as a lost directory block would. */
MUST_USE err_t sim_disk_lose(struct sim_disk *disk, const char *path);
