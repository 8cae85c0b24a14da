/* The other stores of the cluster: one connection to each, made when something has to go there.
 *
 *   net_peers_send --+                                           +--> net_server of the other store: config.push
 *                    +--> frames, in order --> one connection ---+
 *   net_peers_call --+                                           +--> its handlers
 *         done <-------------- responses, in any order <---------+
 *
 *   IDLE --wanted--> CONNECTING --> HELLO --> READY      CONNECTING, HELLO: what is sent waits, within the limits
 *     ^                  |            |         |        PAUSED: it is refused at once. The pause grows from failure
 *     '-- not wanted -- PAUSED <------+---------'        to failure, and is drawn, so that stores do not march in step
 *
 * Messages are one-way, in order per store, and may be lost: Raft repeats what matters. Whenever some may have been
 * lost (a limit, no connection, a broken one), `unreachable` tells it, once until a message has left again. Calls are
 * requests with an answer, each ended exactly once. What leaves in one turn of the loop leaves in one write.
 *
 * Who is there is proved by hello as far as it can be without keys: the other end must be of this cluster and the very
 * store that is meant. A foreign or wiped node at that address is refused, with a line in the log that names both.
 *
 * What one store sends us does not come here: it arrives at our net_server over the connection that it has made.
 *
 * Everything on the loop thread. No callback comes from inside of a function below, but for net_peers_close(). */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/list.h"
#include "base/logger.h"
#include "env/env.h"
#include "net/method.h"

struct net_peers;
struct net_peers_store;
struct net_peers_frame;

/* For each store; 0: as said. */
struct net_peers_limits {
    uint32_t messages_max;      /* that the kernel has not taken; above: dropped. 4,096 */
    uint64_t message_bytes_max; /* of their bodies. 64 MiB */
    uint32_t calls_max;         /* not ended; above: SERVER_IS_BUSY. 1,024 */
    uint64_t call_bytes_max;    /* of the bodies that the kernel has not taken. 64 MiB */
    uint32_t connect_ms;        /* for connecting and hello together. 3,000 */
    uint32_t
        pause_least_ms; /* between attempts: from half of it to all of it, doubled at every failure. 50 */
    uint32_t pause_most_ms; /* 3,000 */
    uint32_t ping_ms;       /* without a byte from there for so long, it is asked for one. 2,000 */
    uint32_t silent_ms;     /* without one for so long, the connection is given up. 10,000 */
};

struct net_peers_config {
    struct bytes cluster_id; /* not empty */
    uint64_t node_id;        /* our own store, not 0 */
    uint64_t incarnation;    /* of our data directory */
    const char *identity;    /* "flotilla/0.1.0" */
    struct net_peers_limits limits;
    /* Messages to that store were lost, or may have been. NULL: nobody cares. It may call anything here but
     * net_peers_close(). */
    void (*unreachable)(void *user, uint64_t store);
    void *user;
};

/* The config is copied. Nothing is connected yet. ERR_NOMEM. */
MUST_USE err_t net_peers_open(struct env *env, struct logger *log,
                              const struct net_peers_config *config, struct net_peers **ret,
                              struct err *e);
/* Ends every call (their `done` is called before this returns: UNAVAILABLE or UNDETERMINED) and every connection; no
 * callback comes afterwards. Memory goes when the streams are gone: the world must live until then. NULL is welcome. */
void net_peers_close(struct net_peers *p);

/* Where a store is, as env_connect() takes it (copied). Another address than before ends the connection, as if it had
 * broken, and the new one is tried at once. Not our own store. */
void net_peers_set(struct net_peers *p, uint64_t store, const char *address);
/* Forgets a store: its messages are dropped without a word, its calls end. One that is not there is welcome. */
void net_peers_remove(struct net_peers *p, uint64_t store);

/* ---- Messages ----------------------------------------------------------------------------------------------- */

/* Sends one message as a push of `method`. `body` is taken over (it becomes {0}), whatever becomes of it. To a store
 * that was not set it is dropped without a word. */
void net_peers_send(struct net_peers *p, uint64_t store, uint16_t method, struct buf *body);

/* ---- Calls -------------------------------------------------------------------------------------------------- */

/* A request. Lies in its caller's memory until `done`, or until net_peers_cancel() has returned. */
struct net_peer_call {
    uint16_t method;
    struct bytes body; /* copied by net_peers_call() */
    uint64_t deadline; /* env_now() at which nobody waits any more; UINT64_MAX: never. It travels */
    /* It may call anything here but net_peers_close().
     * ERR_OK: `body` is the response message, whatever Status it has (borrowed until this returns). Else nothing came,
     * and `body` is empty:
     *   UNAVAILABLE        not sent as a whole: nothing was done, nor will be. Also: the store is not set, or has told
     *                      that it stops and did not do it
     *   SERVER_IS_BUSY     calls_max, call_bytes_max: not sent
     *   DEADLINE_EXCEEDED  not sent by then: nothing was done
     *   UNDETERMINED       sent, at least perhaps; then the connection broke, or the deadline came
     *   TOO_LARGE          no frame takes the body */
    void (*done)(struct net_peer_call *call, err_t rc, struct bytes body);

    /* The rest is net's. */
    struct list link;
    struct env_timer timer;
    struct net_peers *peers;
    struct net_peers_store *store; /* NULL: over, `done` is about to be called with rc */
    struct net_peers_frame *frame; /* NULL: the kernel has all of it */
    uint64_t id;
    err_t rc;
};
/* method, body, deadline and done are set; the rest need not be. `done` is called once, later. */
void net_peers_call(struct net_peers *p, uint64_t store, struct net_peer_call *call);
/* A call that is not over: `done` will not be called. True if the other side may have got it; it is then told that
 * nobody waits any more. Not from inside its own `done`. */
bool net_peers_cancel(struct net_peer_call *call);

/* ---- What is seen ------------------------------------------------------------------------------------------- */

enum net_peer_state {
    NET_PEER_IDLE,
    NET_PEER_CONNECTING,
    NET_PEER_HELLO,
    NET_PEER_READY,
    NET_PEER_PAUSED,
};
const char *net_peer_state_name(enum net_peer_state state); /* "ready"; static */

struct net_peer_status {
    enum net_peer_state state;
    const char *address;      /* valid until the store is set or removed */
    uint32_t messages, calls; /* waiting for the kernel; not ended */
    uint64_t message_bytes;
    uint64_t sent, sent_bytes; /* messages that the kernel has taken */
    uint64_t dropped;          /* messages that it has not */
    uint64_t connected,
        lost;        /* times that it came to READY; that a connection or an attempt failed */
    const char *why; /* the last failure, "" if none; valid as above, and until the next */
};
/* False: that store is not set. */
bool net_peers_status(const struct net_peers *p, uint64_t store, struct net_peer_status *ret);
