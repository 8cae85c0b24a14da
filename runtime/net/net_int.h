/* What the files of the server share. Everything here belongs to the loop thread.
 *
 *   server.c   the listener, limits over all connections, the turn hook, deadlines, drain, close
 *   conn.c     one connection: bytes in, frames, pausing and going on, closing
 *   hello.c    the first frame, and what strangers are told
 *   call.c     one request from handler to answer
 *   out.c      replies of a turn gathered into one write
 *
 * Who owns what. A connection lives until its stream is closed and its last call is answered; the server until
 * net_server_close() was called and its last connection is gone. A call holds its connection and its body's slab. */
#pragma once

#include "base/codec.h"
#include "base/list.h"
#include "base/slab.h"
#include "net/frame.h"
#include "net/rpc.h"
#include "wheel.h"

enum {
    NET_READ_SLAB = 64 * 1024,  /* shared by connections that have nothing half read */
    NET_READ_LEAST = 16 * 1024, /* room below which a shared slab is not read into any more */
    NET_OUT_FIRST =
        4096, /* first piece of output of a turn; the following ones are four times the last */
    NET_OUT_PIECE_MAX = 64 * 1024,
    NET_REPLY_COPIED = 2048, /* a body up to that is copied, a larger one taken over */
    NET_BUSY_BACKOFF_MS = 50,
    NET_LINGER_MS = 1000, /* how long a connection that was told goodbye may take to end */
    NET_TICK_MS = 100,
};

enum net_conn_state {
    NET_CONN_HELLO,  /* no hello yet: frames of 4 KiB, one deadline */
    NET_CONN_OPEN,   /* requests */
    NET_CONN_LINGER, /* told why; reads and forgets until the other side ends */
    NET_CONN_CLOSED, /* env_stream_close() was called */
};

struct net_conn {
    struct net_server *server;
    struct env_stream *stream;
    uint64_t id;
    enum net_conn_state state;
    bool paused;      /* not reading, not dispatching: a limit of this connection */
    bool reading_off; /* env_stream_pause() is in force */
    bool parsing;     /* a handler runs below us: do not enter again */
    bool gone;        /* ops->closed was called */
    bool ended;       /* env_stream_end() was called: we write no more */
    bool peer_ended;  /* so did they */
    bool starved;     /* no memory to read into: the next read closes */
    uint8_t spare_byte;
    bool have_peer;
    uint32_t inflight;
    uint64_t store, incarnation; /* the other side is a store of this cluster; 0: a client */
    struct list link;            /* server->conns */
    struct list wheel;           /* server->wheel */
    struct list dirty;           /* server->dirty, while there is output that was not written */
    struct list ready;           /* server->ready, while pending bytes may be dispatched */
    struct list calls;           /* unanswered */
    /* Received and not dispatched: in[begin, end). NULL while there is nothing. */
    struct slab *in;
    size_t begin, end;
    bool in_shared;   /* `in` is the shared slab, lent to us between room and read */
    uint64_t read_at; /* env_now() when these bytes came */
    uint64_t now;     /* when they are looked at: the clock is read once for many requests */
    struct net_out *out, *out_last;                   /* gathered in this turn */
    size_t unsent;                                    /* reply bytes not yet taken by the kernel */
    uint64_t opened, last;                            /* accepted; last sign of life, either way */
    uint64_t partial_since, slow_since, linger_until; /* 0: not so */
    struct env_peer peer;
};

struct net_call {
    struct net_conn *conn;
    struct slab *slab; /* holds the body */
    struct list link;  /* conn->calls; server->idle_calls */
    struct bytes body;
    uint64_t id, deadline;
    uint16_t method;
    bool cancelled;
    void (*on_cancel)(void *user);
    void *on_cancel_user;
};

struct net_server {
    struct env *env;
    struct logger *log;
    struct net_limits limits;
    const struct net_handler *handlers;
    size_t handler_count;
    struct buf cluster_id, identity;
    uint64_t node_id;
    bool (*admit)(void *user, const struct env_peer *peer);
    void *admit_user;
    err_t (*push)(void *user, uint64_t store, uint64_t incarnation, uint16_t method,
                  struct bytes body);
    void *push_user;
    void (*on_disconnect)(void *user, uint64_t connection);
    void *on_disconnect_user;
    struct env_listener *listener;
    struct env_turn turn;
    struct env_timer kick; /* due at once while something waits for a hook that may have passed */
    struct env_timer tick;
    struct net_wheel wheel;
    struct slab_pool *slabs;
    struct slab *shared; /* the next read of a connection that has nothing half read */
    size_t shared_used;
    struct list conns, dirty, ready, idle_calls;
    size_t idle_call_count;
    uint64_t next_id;
    uint64_t unsent; /* of all connections */
    bool draining, closing;
    void (*drained)(void *user);
    void *drained_user;
    struct net_stats stats;
};

/* ---- server.c ----------------------------------------------------------------------------------------------- */

/* NULL: nobody handles `method`. */
const struct net_handler *net_server_handler(const struct net_server *s, uint16_t method);
/* A connection's memory is given back; ends a server that is only waiting for that. */
void net_server_forget(struct net_conn *c);
/* Makes sure that the turn hook, or the timer that stands in for it, comes. */
void net_server_kick(struct net_server *s);

/* ---- conn.c ------------------------------------------------------------------------------------------------- */

/* Takes a stream in. NULL if memory is gone (the stream is then closed). */
struct net_conn *net_conn_new(struct net_server *s, struct env_stream *stream);
/* Dispatches what is pending until a limit or its end, and settles whether to read on. */
void net_conn_go_on(struct net_conn *c, uint64_t now);
/* A limit may have been left: goes on soon, not from within. */
void net_conn_wake(struct net_conn *c);
/* Says nothing more: closes once what is gathered has left, at the latest in NET_LINGER_MS. */
void net_conn_linger(struct net_conn *c);
void net_conn_close(struct net_conn *c);
/* Lets go of a reference to a connection that may be the last. */
void net_conn_settle(struct net_conn *c);
/* When the wheel should ask again about this connection; 0: it was closed just now. */
uint64_t net_conn_judge(struct net_conn *c, uint64_t now);

/* ---- hello.c ------------------------------------------------------------------------------------------------ */

/* Handles the first frame of a connection. */
void net_hello_handle(struct net_conn *c, const struct net_frame *f);
/* Says a readable line to somebody whose first bytes are no frame of ours, and ends. */
void net_hello_stranger(struct net_conn *c, struct bytes first);
/* Sends an error frame about the connection (id 0), and ends it. */
void net_hello_refuse(struct net_conn *c, err_t rc, const char *message);

/* ---- call.c ------------------------------------------------------------------------------------------------- */

/* Hands a request to its handler, or answers it. */
void net_call_dispatch(struct net_conn *c, const struct net_frame *f);
/* The client no longer wants the call. */
void net_call_cancel(struct net_call *call);
void net_call_cancel_all(struct net_conn *c);

/* ---- out.c -------------------------------------------------------------------------------------------------- */

/* Gathers bytes, or a frame, for this turn's write. A connection that cannot get memory for it is closed. */
void net_out_bytes(struct net_conn *c, struct bytes bytes);
void net_out_frame(struct net_conn *c, const struct net_frame *f);
/* As net_out_frame() with `body` as the body; a large one is taken over. `body` becomes {0}. */
void net_out_frame_owned(struct net_conn *c, const struct net_frame *f, struct buf *body);
/* Gives what is gathered to the stream. */
void net_out_flush(struct net_conn *c);
/* Frees what is gathered and was not written. */
void net_out_drop(struct net_conn *c);
