/* A Lua state in chains: every lua_State of a node is one of these, and every entry into Lua is script_state_run().
 *
 *      memory        the allocator refuses what would pass the cap
 *      instructions  a count hook; C functions add what they did by script_charge()
 *      watchdog      somebody outside sets struct script_stop; hook and C loops look at it
 *
 * After the first violation the hook is armed at every instruction and raises each time: no pcall, coroutine or
 * handler swallows it, and the run ends as ERR_BUDGET, ERR_CANCELLED or ERR_DEADLINE_EXCEEDED whatever Lua says. */
#pragma once

#include <stdatomic.h>

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/prng.h"
#include "base/value.h"

/* Set from any thread; looked at by the run that was given it. 0 goes on, else the code that ends the run. */
struct script_stop {
    atomic_int reason; /* 0, ERR_CANCELLED, ERR_DEADLINE_EXCEEDED */
};

struct script_sources; /* sources.h */
struct script_line;    /* door.h */
struct view;           /* view.h */

/* One state, used by one thread at a time. C functions that Lua calls find it by script_state_of() and keep in it
 * whatever must be freed if Lua raises: they own nothing themselves. */
struct script_state {
    lua_State *L;
    /* memory */
    uint64_t memory, memory_peak, memory_max, allocations;
    uint64_t fail_at; /* tests: this allocation and all later ones fail; 0: none */
    bool heavy;       /* holds or held a block large enough that single instructions may be slow */
    /* instructions */
    uint64_t used, budget;
    uint64_t armed; /* instructions between the last tick and the next */
    uint64_t debt;  /* bytes allocated since somebody looked at `stop` */
    err_t breach;   /* sticky for the run */
    const struct script_stop *stop;
    const char *stack; /* where the C stack of this run began */
    /* What crosses the boundary in this run. */
    struct value *value;                  /* between Lua and C, in either direction */
    struct buf text, trace;               /* the error, for people */
    struct buf *out;                      /* what print() writes to; NULL: there is no print */
    bool out_cut;                         /* print() wrote more than OUT_MAX */
    struct prng prng;                     /* math.random */
    const struct script_sources *sources; /* what require() finds; borrowed */
    struct bytes chunk;       /* the text that chunk "=console" and the like was made from */
    struct script_line *line; /* host.call(); NULL where Lua may ask nobody */
    const struct view *view;  /* valid during a plan */
    uint64_t plan;            /* number of that plan: userdata of an earlier one are refused */
};

struct script_state_config {
    uint64_t memory_bytes; /* cap of everything the state allocates; 256 KiB at least make sense */
    uint64_t instructions; /* per run */
    uint64_t fail_at;
};

/* Opens a state whose globals are the sandbox. ERR_BUDGET if the cap does not even hold that. */
MUST_USE err_t script_state_open(const struct script_state_config *config,
                                 struct script_state **ret, struct err *e);
void script_state_close(struct script_state *s); /* NULL is welcome */

/* Calls `body` protected, with `arg` as light userdata at index 1 and a new budget. On ERR_SCRIPT, ERR_BUDGET,
 * ERR_CANCELLED, ERR_DEADLINE_EXCEEDED s->text is the message with the source line behind it, s->trace the traceback,
 * and `e` has as much of the message as fits. `stop` may be NULL. Lua's stack is empty before and after. */
MUST_USE err_t script_state_run(struct script_state *s, const struct script_stop *stop,
                                lua_CFunction body, void *arg, struct err *e);
/* The same budget goes on: for a second step of the same call. */
MUST_USE err_t script_state_rerun(struct script_state *s, lua_CFunction body, void *arg,
                                  struct err *e);

/* ---- For C functions called from Lua -------------------------------------------------------- */

struct script_state *script_state_of(lua_State *L);
/* Adds `n` instructions' worth of work; raises if the budget is used up or the watchdog says stop. */
void script_state_charge(lua_State *L, uint64_t n);
/* Work on `len` bytes: building 16 of them into a string costs about as much as an instruction. */
void script_state_charge_bytes(lua_State *L, size_t len);
/* Call it before calling back into Lua: raises if C frames are nested too deep. */
void script_state_descend(lua_State *L);
