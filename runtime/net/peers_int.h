/* What the files of the connections to other stores share.
 *
 *   peers.c        stores, limits, messages, calls: what waits and how it ends
 *   peers_conn.c   one connection: connecting, hello, frames out and in, silence
 *
 * Who owns what. A store lives from net_peers_set() to net_peers_remove(). A connection lives until its stream is
 * closed; a store that has no use for it lets it go at once (conn->store becomes NULL) and may have another one by
 * then. A frame belongs to its store's queue, then to its connection until the kernel has it. A call belongs to its
 * caller; whoever holds a frame of it is told when it is over. */
#pragma once

#include "base/map.h"
#include "net/frame.h"
#include "net/peers.h"

enum {
    PEERS_WINDOW =
        1 << 20, /* bytes that a stream is given ahead of the kernel: more are not in doubt when it
                                      breaks, and a ping does not wait behind them */
    PEERS_READ = 64 * 1024,        /* room for a read */
    PEERS_INPUT_KEPT = 256 * 1024, /* a larger input buffer is freed when it is empty */
    PEERS_FRAMES_KEPT = 256,
    PEERS_BODY_KEPT = 4096, /* bytes of room that a pooled frame keeps */
    PEERS_ADDRESS_MAX = 128,
    PEERS_WHY_MAX = 200,
};

struct net_peers_frame {
    struct env_write write;
    struct list link;           /* store->queue; conn->given; peers->pool */
    struct peers_conn *conn;    /* whose stream has it; NULL: it waits */
    struct net_peer_call *call; /* whose request it is; NULL: of nobody who waits */
    struct buf body;
    enum net_frame_kind kind;
    uint16_t method;
    uint64_t id;
    bool counted; /* in the limits of its store: a message's or a call's bytes */
    uint8_t header[NET_FRAME_HEADER];
};

struct peers_conn {
    struct net_peers *peers;
    struct net_peers_store *store; /* NULL: let go, nothing that comes is looked at */
    struct env_connect connect;
    struct env_stream
        *stream; /* a sealed session will stand between it and the frames (design, section 9) */
    struct list given; /* frames that the stream has and the kernel has not */
    size_t given_bytes;
    struct buf in; /* received: [at, len) is not looked at yet */
    size_t at;
    bool starved; /* no memory to read into: the next read ends it */
    uint8_t spare_byte;
    uint32_t frame_max;
    uint64_t last_read;
};

struct net_peers_store {
    struct net_peers *peers;
    uint64_t id;
    char address[PEERS_ADDRESS_MAX];
    enum net_peer_state state;
    struct peers_conn *conn;
    struct env_timer
        timer;         /* CONNECTING, HELLO: gives up. PAUSED: tries again. READY: looks for life */
    uint64_t ping_ns;  /* between looks */
    struct list queue; /* frames that wait for their stream */
    struct list calls; /* not over */
    struct list tell;  /* peers->tell, while `unreachable` is to be called */
    bool wanted;       /* somebody has asked since the last attempt */
    bool told;         /* of lost messages, and none has left since */
    bool carried;      /* this connection was given messages: they may be lost with it */

    unsigned failures; /* in a row */
    uint32_t messages, call_count;
    uint64_t message_bytes, call_bytes;
    uint64_t sent, sent_bytes, dropped, connected, lost;
    char why[PEERS_WHY_MAX];       /* the last failure */
    char complaint[PEERS_WHY_MAX]; /* what the log has about it */
};

struct net_peers {
    struct env *env;
    struct logger *log;
    struct net_peers_limits limits;
    struct buf cluster_id, identity;
    uint64_t node_id, incarnation;
    void (*unreachable)(void *user, uint64_t store);
    void *user;
    struct map stores;     /* by id */
    struct map calls;      /* by request id: sent or waiting, not over */
    struct list over;      /* calls whose `done` is to be called */
    struct list tell;      /* stores whose `unreachable` is to be called */
    struct env_timer kick; /* does both */
    struct list pool;
    unsigned pooled;
    size_t conns;
    uint64_t next_id;
    bool closing;
};

/* ---- peers.c ------------------------------------------------------------------------------------------------- */

/* A frame without a body, the caller's. Aborts if memory is gone: their number is limited. */
struct net_peers_frame *net_peers_frame_new(struct net_peers *p, enum net_frame_kind kind,
                                            uint16_t method, uint64_t id);
void net_peers_frame_free(struct net_peers *p, struct net_peers_frame *f);
/* Takes a frame out of the counts of its store: the kernel has it, or it is dropped. */
void net_peers_frame_uncount(struct net_peers_store *s, struct net_peers_frame *f);
/* A message has left. */
void net_peers_left(struct net_peers_store *s, const struct net_peers_frame *f);
/* A frame of the queue is above what the other side takes. */
void net_peers_too_large(struct net_peers_store *s, struct net_peers_frame *f);
/* The response to a call. False: it is none that we understand. */
bool net_peers_answer(struct net_peers_store *s, const struct net_frame *f);
/* The connection, or the attempt, has failed with the reason in s->why: everything under way ends, a pause begins.
 * `sent`: what calls end with that may have been sent. */
void net_peers_lose(struct net_peers_store *s, err_t sent);
void net_peers_free_if_done(struct net_peers *p);

/* ---- peers_conn.c -------------------------------------------------------------------------------------------- */

/* Begins to connect; a failure comes back through net_peers_lose(), perhaps from inside. */
void peers_conn_start(struct net_peers_store *s);
/* Gives the stream what waits, as far as the window goes. */
void peers_conn_give(struct peers_conn *c);
/* Says something in front of what waits. */
void peers_conn_say(struct peers_conn *c, struct net_peers_frame *f);
/* The store has no more use for it. */
void peers_conn_let_go(struct peers_conn *c);
/* The store's timer in READY. */
void peers_conn_look(struct peers_conn *c);
