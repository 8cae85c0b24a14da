/* The server's side of the wire: connections, requests, replies.
 *
 *   bytes -> frame (length checked before memory) -> hello -> request -> method handler
 *                                                                           |  later, in any order
 *   bytes <- frames of this turn, one write per connection  <------ net_call_reply
 *
 * A connection whose hello says that it is a store of this cluster may send pushes: messages without an answer. A store
 * has one connection, the last; an older one is ended, so that nothing old comes behind what is new. Such a
 * connection is read from also while it has inflight_max requests: a busy gateway must not silence its heartbeats.
 *
 * A handler gets a call, keeps it as long as it likes, and answers it exactly once. The call keeps the slab of its
 * body alive, so that the body can be borrowed until the answer. Everything happens on the loop thread. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/logger.h"
#include "env/env.h"
#include "net/method.h"

struct net_server;
struct net_call;

struct net_handler {
    uint16_t method;
    const char *name; /* "RawPut": for logs and metrics */
    void (*handle)(void *user, struct net_call *call);
    void *user;
    bool internal; /* for stores of this cluster alone: everybody else is refused */
};

struct net_limits {
    uint32_t frame_max;       /* bytes after hello; before it 4 KiB */
    uint32_t connections_max; /* one more is accepted, told why, closed */
    uint32_t
        inflight_max; /* unanswered requests of one connection; above: reading pauses (stores: BUSY) */
    uint64_t
        inflight_bytes_max; /* bodies of unanswered requests, all connections; above: SERVER_IS_BUSY */
    uint64_t
        backlog_max; /* unsent reply bytes of one connection; above: reading pauses, then it is closed */
    uint32_t hello_ms,
        idle_ms; /* deadlines for the whole first frame, and for each frame after the one before */
    uint32_t slow_ms; /* a reader whose backlog stays above its limit for that long is closed */
};

struct net_server_config {
    const char *address; /* as env_listen() */
    struct net_limits limits;
    const struct net_handler *handlers; /* must outlive the server */
    size_t handler_count;
    struct bytes cluster_id;
    uint64_t node_id;
    const char *identity; /* "flotilla/0.1.0" */
    bool (*admit)(
        void *user,
        const struct env_peer *peer); /* NULL: everybody; false: closed with a readable line */
    void *admit_user;
    /* A push came from a store; `body` is borrowed until this returns. Other than ERR_OK: the connection is told so and
     * ended. NULL: no pushes are taken here. */
    err_t (*push)(void *user, uint64_t store, uint64_t incarnation, uint16_t method,
                  struct bytes body);
    void *push_user;
};

MUST_USE err_t net_server_open(struct env *env, struct logger *log,
                               const struct net_server_config *config, struct net_server **ret,
                               struct err *e);
const char *net_server_address(const struct net_server *server);
/* Stops accepting; new requests answer UNAVAILABLE; `drained` is called once nothing is unanswered or unsent. */
void net_server_drain(struct net_server *server, void (*drained)(void *user), void *user);
/* After `drained`: tells every connection by an error frame UNAVAILABLE that what it was not answered will never be
 * done, and ends it. A request that was on its way then leaves nobody in doubt. */
void net_server_part(struct net_server *server);
/* Closes every connection; handlers' late replies are dropped. NULL is welcome. */
void net_server_close(struct net_server *server);

/* ---- A call ------------------------------------------------------------------------------------------------- */

uint16_t net_call_method(const struct net_call *call);
struct bytes net_call_body(const struct net_call *call); /* borrowed until the answer */
/* env_now() at which the client gives up; UINT64_MAX: never. */
uint64_t net_call_deadline(const struct net_call *call);
/* Who asks; valid until the answer. */
const struct env_peer *net_call_peer(const struct net_call *call);
/* The store that asks, by its hello; 0: a client. */
uint64_t net_call_store(const struct net_call *call);
/* A number that is one per connection for the life of the process: sessions hang on it. */
uint64_t net_call_connection(const struct net_call *call);
/* Called at most once, when the client cancels or its connection ends before the answer. The call must still be
 * answered (the answer to a closed connection is dropped). */
void net_call_on_cancel(struct net_call *call, void (*cancelled)(void *user), void *user);
/* Answers with an encoded response message (copied or taken over: `body` becomes {0}) and ends the call. */
void net_call_reply(struct net_call *call, struct buf *body);
/* The same with bytes that the caller keeps: copied. The way of small answers: no allocation. */
void net_call_reply_bytes(struct net_call *call, struct bytes body);
/* Answers with a Status alone: every response message has it as field 1. `message` may be NULL. */
void net_call_fail(struct net_call *call, err_t rc, const char *message);
/* Answers SERVER_IS_BUSY: nothing was done, try again after `backoff_ms`. */
void net_call_busy(struct net_call *call, uint32_t backoff_ms, const char *message);
/* Calls `ended` whenever a connection is gone (for sessions that hang on it). */
void net_server_on_disconnect(struct net_server *server,
                              void (*ended)(void *user, uint64_t connection), void *user);

struct net_stats {
    uint64_t connections, accepted, refused, requests, replies, pushes, inflight, inflight_bytes;
    uint64_t bytes_in, bytes_out, protocol_errors, slow_closed, idle_closed;
};
void net_server_stats(const struct net_server *server, struct net_stats *ret);
