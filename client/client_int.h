/* The inside of libflotilla.
 *
 *   submit -> queue -> wire ---- answered ----> finish (the caller's callback)
 *               ^        |
 *               '- delayed, or back again: refused, or lost before it was sent as a whole, or a read
 *
 *   handle.c   options, open, close, waiting      conn.c      the socket: connect, hello, send, receive, loss
 *   op.c       one request and its outcome        message.c   requests and answers as protobuf
 *   kv.c scan.c batch.c admin.c                   the calls of client.h, one file a noun
 *
 * Nothing here aborts or keeps a global: whoever embeds us decides. */
#pragma once

#include <netdb.h>

#include "base/list.h"
#include "base/pb.h"
#include "base/prng.h"
#include "flotilla/client.h"
#include "net/frame.h"
#include "net/status.h"

enum {
    CLIENT_TIMEOUT_MS = 10000,
    CLIENT_CONNECT_MS = 5000,
    CLIENT_QUEUE_BYTES = 64 * 1024 * 1024,
    CLIENT_BACKOFF_LEAST_MS = 10,
    CLIENT_BACKOFF_MOST_MS = 2000,
    CLIENT_BATCH_MAX = 4 * 1024 * 1024,
};

enum client_op_flags {
    CLIENT_WRITE = 1,   /* sent and not answered means UNDETERMINED */
    CLIENT_ONCE = 2,    /* not sent a second time, even if it was refused */
    CLIENT_CONTROL = 4, /* hello, cancel, ping: ours, not counted as an operation */
    CLIENT_ONE_WAY = 8, /* nobody answers it */
};

/* An answer, or why there is none. Borrowed for the time of finish(). */
struct client_reply {
    int code;
    uint32_t backoff_ms;
    const char *message;      /* "" if there is none */
    struct net_status status; /* zero if no answer came */
    struct bytes body;        /* of the response; empty if none came */
};

struct client_op {
    struct list link; /* queue, delayed, wire */
    uint64_t id, deadline, not_before;
    unsigned flags, attempts;
    uint16_t method;
    bool sent_whole; /* as its connection was lost */
    bool zombie;     /* has its outcome already; its answer is still under way */
    size_t size;     /* of the frame */
    void (*finish)(struct client_op *op, const struct client_reply *reply);
    void *user;
    flotilla_done *done; /* public operations: these three */
    enum flotilla_op_kind kind;
    struct flotilla_batch *batch;
    uint8_t frame[]; /* header and body, as they are sent */
};

enum client_state { CLIENT_OFFLINE, CLIENT_CONNECTING, CLIENT_HELLO, CLIENT_READY };

struct client_name {
    struct list link;
    uint32_t id;
    char name[65];
};

struct flotilla {
    char endpoint[256], identity[64];
    uint8_t cluster_id[16];
    bool have_cluster_id;
    uint32_t timeout_ms, connect_ms, inflight_max;
    size_t queue_bytes_max;

    enum client_state state;
    int fd;
    struct addrinfo *addresses, *address; /* of a host: all, and the one being tried */
    uint64_t attempt_until; /* a connect or hello that is not done by then has failed */
    uint64_t retry_at;      /* no attempt before */
    uint64_t
        probe_until;   /* a silent connection is asked by ping, and given up then; 0: not asked */
    unsigned failures; /* attempts in a row */
    struct flotilla_error last; /* why the last attempt or connection ended */
    struct flotilla_server server;
    bool have_server;

    struct list queue, delayed, wire; /* wire: given to the socket in this order */
    struct list *unsent;              /* first of wire with bytes still to write; &wire: none */
    size_t unsent_at;                 /* of them already written */
    size_t wire_count, pending, pending_bytes;
    uint64_t next_deadline, next_delayed; /* nothing expires, or is due, before */
    uint64_t next_id;
    struct buf in;
    size_t in_at;
    bool want_open; /* connect even without work: flotilla_open() waits */
    bool busy;      /* in flotilla_process(), so perhaps in a callback */
    size_t completed;
    struct prng chance;
    struct list names; /* namespaces that were found */
};

/* ---- op.c --------------------------------------------------------------------------------------------------- */

uint64_t client_now(void); /* nanoseconds, monotonic */
int client_error(struct flotilla_error *error, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);
void client_error_clear(struct flotilla_error *error);
/* A new operation with room for a body of `size` bytes; NULL if memory is gone. Its user fills client_op_body(). */
struct client_op *client_op_new(uint16_t method, unsigned flags, size_t size);
uint8_t *client_op_body(struct client_op *op);
void client_op_free(struct client_op *op);
/* Queues it; from now on it is the handle's. A failure frees it. timeout_ms 0: the handle's. */
int client_op_submit(struct flotilla *f, struct client_op *op, uint32_t timeout_ms,
                     struct flotilla_error *error);
/* Ends it with an outcome that did not come from the server. */
void client_op_fail(struct flotilla *f, struct client_op *op, int code, uint32_t backoff_ms,
                    const char *fmt, ...) PRINTF_LIKE(5, 6);
/* An answer has come; the operation was taken off the wire. */
void client_op_answer(struct flotilla *f, struct client_op *op, const struct net_frame *frame);
/* Its connection has ended, and it was taken off the wire. `whole`: it was sent as a whole. */
void client_op_lost(struct flotilla *f, struct client_op *op, bool whole);
/* Ends those whose deadline is over, and queues those whose pause is. */
void client_op_tick(struct flotilla *f, uint64_t now);
/* What a call that waits is waiting for: the `user` of its operation, whose finish() ends it. */
struct client_wait {
    struct flotilla_error *error;
    bool done;
    int code;
};
/* Submits and waits until finish() has called client_wait_end(). Answers the code. */
int client_op_run(struct flotilla *f, struct client_op *op, struct client_wait *wait,
                  struct flotilla_error *error);
void client_wait_end(struct client_wait *wait, int code, uint32_t backoff_ms, const char *message);

/* ---- conn.c ------------------------------------------------------------------------------------------------- */

/* Whatever can be done without waiting. */
void client_conn_process(struct flotilla *f, uint64_t now);
/* Ends the connection; f->last says why. Operations on the wire are lost. */
void client_conn_drop(struct flotilla *f, uint64_t now);
/* Takes an operation whose frame was not begun off the wire. False: it was begun. */
bool client_conn_recall(struct flotilla *f, struct client_op *op);
/* Sends a cancel frame for it, if there is memory for one. */
void client_conn_cancel(struct flotilla *f, uint64_t id);
/* The connection is asked whether it lives, unless that was done. */
void client_conn_probe(struct flotilla *f, uint64_t now);

/* ---- message.c ---------------------------------------------------------------------------------------------- */

/* The request of a public operation; NULL with an error if its arguments are wrong or memory is gone. */
struct client_op *client_message_request(const struct flotilla_op *op,
                                         struct flotilla_error *error);
/* Fills a result from an answer with code OK or CONFLICT. False: it is not what such an answer looks like. */
bool client_message_result(const struct client_op *op, const struct client_reply *reply,
                           struct flotilla_result *ret);
/* Reads the varint field `number` of a message; 0 if it is not there. */
uint64_t client_message_u64(struct bytes message, uint32_t number);
struct bytes client_message_bytes(struct bytes message, uint32_t number);
/* True if `message` is whole: every field can be drawn. */
bool client_message_valid(struct bytes message);
/* ---- batch.c ---- */
struct bytes client_batch_bytes(const struct flotilla_batch *batch);
bool client_batch_fill(struct flotilla_batch *batch, struct bytes response);
void client_batch_forget(struct flotilla_batch *batch);

static inline struct bytes client_bytes(struct flotilla_bytes b)
{
    return bytes_from(b.data, b.len);
}
