/* A client in virtual time: it speaks frames over the streams of its env, as any client would, and knows of every
 * request whether it was done, was not done, or may have been.
 *
 *   sim_client_ask ──> waiting ──> sent on the connection to whoever is taken for the leader ──> done(op)
 *                    ^  refused (NOT_LEADER, busy, stopping), or a read whose connection broke  │
 *                    └──────────────── again, soon, perhaps somewhere else ─────────────────────┘
 *
 * One connection to each endpoint, made when it is needed; requests are pipelined. A write is never repeated unless
 * the server said that it was not done. Patience bounds it all. */
#pragma once

#include "base/buf.h"
#include "base/list.h"
#include "base/prng.h"
#include "env/env.h"

enum { SIM_CLIENT_ENDPOINTS_MAX = 16, SIM_CLIENT_ADDRESS_MAX = 64 };

enum sim_client_kind {
    SIM_CLIENT_PUT,
    SIM_CLIENT_DELETE,
    SIM_CLIENT_GET,
    SIM_CLIENT_CAS,
    SIM_CLIENT_CAS_GET,
    SIM_CLIENT_CAS_DELETE,
    SIM_CLIENT_TSO,
    SIM_CLIENT_KINDS
};
static inline bool sim_client_kind_writes(enum sim_client_kind kind)
{
    return kind == SIM_CLIENT_PUT || kind == SIM_CLIENT_DELETE || kind == SIM_CLIENT_CAS ||
           kind == SIM_CLIENT_CAS_DELETE;
}

enum sim_client_outcome {
    SIM_CLIENT_DONE,     /* answered: OK, or CONFLICT or NOT_FOUND, which tell something */
    SIM_CLIENT_NOT_DONE, /* nothing happened, or it was a read and nothing was learnt */
    SIM_CLIENT_UNDETERMINED,
};

/* One logical request, the caller's; the client's from sim_client_ask() until `done`. */
struct sim_client_op {
    enum sim_client_kind kind;
    struct bytes key, value; /* borrowed until `done` */
    uint64_t expected;       /* CAS, and CAS_DELETE if conditional */
    bool conditional;
    uint32_t count; /* TSO */
    uint64_t patience_ns;
    void (*done)(struct sim_client_op *op);
    /* Each time that it was not done and will be asked again; op->code says why. May be NULL. */
    void (*again)(struct sim_client_op *op);

    /* the answer */
    enum sim_client_outcome outcome;
    unsigned code;   /* of the last Status; 0: OK, or never answered */
    bool found;      /* GET, CAS_GET */
    bool absent;     /* CONFLICT: there is no value now */
    struct buf have; /* GET, CAS_GET: the value; the caller frees it */
    uint64_t version;
    uint64_t first; /* TSO */
    unsigned tries, endpoint;

    /* the client's */
    struct sim_client *client;
    struct list link; /* waiting, or sent on a connection; or in none: it pauses */
    struct env_timer deadline, pause;
    uint64_t id, give_up, sent_at;
    bool sent;
};

struct sim_client_counts {
    uint64_t requests, retries, connects, drops, hints;
    uint64_t codes[64]; /* answers by the code of their Status */
};

struct sim_client;
/* `addresses` are copied. `seed` draws pauses. */
struct sim_client *sim_client_new(struct env *env, uint64_t seed, const char *const *addresses,
                                  unsigned count);
/* From now on it does nothing: operations under way are forgotten. Then its world crashes and is closed, and then the
 * client is freed: in that order, since the world still knows its streams. */
void sim_client_stop(struct sim_client *c);
void sim_client_free(struct sim_client *c); /* NULL is welcome */
void sim_client_ask(struct sim_client *c, struct sim_client_op *op);
/* The endpoint that is taken for the leader's. */
unsigned sim_client_leader(const struct sim_client *c);
void sim_client_prefer(struct sim_client *c, unsigned endpoint);
const struct sim_client_counts *sim_client_counts(const struct sim_client *c);
const char *sim_client_kind_name(enum sim_client_kind kind);
