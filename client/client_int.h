/* The inside of libflotilla.
 *
 *   submit -> route -> queue of a server -> its wire ---- answered ----> finish (the caller's callback)
 *               ^                             |
 *               '--- delayed, or at once: refused, sent elsewhere, lost before it was sent as a whole, or a read
 *
 *   handle.c   options, open, close               loop.c      what an event loop asks, and waiting without one
 *   servers.c  the servers that are known         conn.c      a server's socket: connect, hello, send, receive, loss
 *   route.c    which server an operation goes to  op.c        one request and its outcome
 *   regions.c  which regions are known            ask.c       asking for one that is not
 *   split.c    batches over several regions       message.c   requests and answers as protobuf
 *   kv.c scan.c batch.c admin.c                   the calls of client.h, a file a noun
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
    CLIENT_ENDPOINT_MAX = 255,     /* characters of one */
    CLIENT_ENDPOINTS_MAX = 32,     /* in the options */
    CLIENT_CONNS_MAX = 64,         /* servers that a handle knows, pointed to by answers included */
    CLIENT_MANY_CONNECT_MS = 1500, /* for one attempt, where another server could be tried */
    CLIENT_SILENT_MS = 2000,       /* of a server that owes answers: then it is asked by ping */
    CLIENT_REDIRECTS_MAX = 3,      /* followed at once; then with a pause before each */
    CLIENT_ROUTE_LEAST_MS = 20,    /* pauses while nobody leads, or servers disagree on who does */
    CLIENT_ROUTE_MOST_MS = 200,
    CLIENT_KEY_MAX = 4096,
    CLIENT_CONTEXT_MAX = 40,     /* bytes of a request's context: three numbers */
    CLIENT_REGIONS_MAX = 65536,  /* remembered; one more, and all are forgotten */
    CLIENT_ASK_LATER_MS = 1000,  /* after nobody could say where a key lives */
    CLIENT_ASK_NEVER_MS = 60000, /* after a server did not know the question */
};

enum client_op_flags {
    CLIENT_WRITE = 1,   /* sent and not answered means UNDETERMINED */
    CLIENT_ONCE = 2,    /* not sent a second time, even if it was refused */
    CLIENT_CONTROL = 4, /* hello, cancel, ping: ours, not counted as an operation */
    CLIENT_ONE_WAY = 8, /* nobody answers it */
    CLIENT_INNER = 16,  /* part of another one, or our own question: not counted as an operation */
};

/* Which keys a request is about, for its route. */
enum client_keys {
    CLIENT_KEYS_NONE, /* of no region */
    CLIENT_KEYS_ONE,
    CLIENT_KEYS_RANGE, /* from its key on: clipped at its region's end */
    CLIENT_KEYS_MANY,  /* a batch: split where regions meet */
};

/* A region and its epoch; id 0: none, "route it for me". */
struct client_epoch {
    uint64_t id, conf_ver, version;
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
    struct list link;         /* a connection's queue or wire, or the handle's delayed */
    struct client_conn *conn; /* where it is queued or on the wire, or was last */
    uint64_t id, deadline, not_before;
    unsigned flags, attempts, redirects;
    uint16_t method;
    bool sent_whole;                /* as its connection was lost */
    bool zombie;                    /* has its outcome already; its answer is still under way */
    size_t size;                    /* of the frame, without context and tail */
    uint32_t context_len, tail_len; /* before and behind the body, made when it is routed */
    enum client_keys keys;
    uint32_t ns, key_at, key_len; /* the key lies in the body; MANY: the first one */
    uint32_t count;               /* MANY: commands */
    struct client_epoch region;   /* of its context */
    struct bytes end;             /* RANGE: borrowed from the scan; NULL: none */
    bool clipped;                 /* RANGE: the tail ends it at the region's end */
    void (*finish)(struct client_op *op, const struct client_reply *reply);
    void *user;
    flotilla_done *done; /* public operations: these three */
    enum flotilla_op_kind kind;
    struct flotilla_batch *batch;
    struct client_whole *whole; /* a batch that was split: of the whole, and of each part */
    uint32_t *order;            /* a part: which command of the whole each of its commands is */
    uint8_t frame[];            /* room for a context, header, body, room for a tail */
};

/* The bytes that are sent: header, context, body, tail. */
static inline uint8_t *client_op_wire(struct client_op *op)
{
    return op->frame + CLIENT_CONTEXT_MAX - op->context_len;
}
static inline size_t client_op_wire_size(const struct client_op *op)
{
    return op->size + op->context_len + op->tail_len;
}
static inline uint8_t *client_op_body(struct client_op *op)
{
    return op->frame + CLIENT_CONTEXT_MAX + NET_FRAME_HEADER;
}
static inline uint8_t *client_op_tail(struct client_op *op)
{
    return op->frame + CLIENT_CONTEXT_MAX + op->size;
}
static inline struct bytes client_op_key(struct client_op *op)
{
    return bytes_from(client_op_body(op) + op->key_at, op->key_len);
}

enum client_state { CLIENT_OFFLINE, CLIENT_CONNECTING, CLIENT_HELLO, CLIENT_READY };

struct client_name {
    struct list link;
    uint32_t id;
    char name[65];
};

/* A server, and the connection to it if there is one. */
struct client_conn {
    struct flotilla *f;
    char endpoint[CLIENT_ENDPOINT_MAX + 1];
    char peer[64]; /* its numeric address, once there was a connection; "" of a Unix socket */
    bool seed;     /* from the options: never forgotten */
    bool refused;  /* its last answer to hello was a refusal for good */
    enum client_state state;
    int fd;
    struct addrinfo *addresses, *address; /* of a host: all, and the one being tried */
    uint64_t attempt_until; /* a connect or hello that is not done by then has failed */
    uint64_t retry_at;      /* no attempt before */
    uint64_t
        probe_until;   /* a silent connection is asked by ping, and given up then; 0: not asked */
    uint64_t heard_at; /* something came, or the wire was empty */
    unsigned failures; /* attempts in a row */
    struct flotilla_error last; /* why the last attempt or connection ended */
    uint32_t frame_max, inflight_max;
    struct list queue, wire; /* wire: given to the socket in this order */
    struct list *unsent;     /* first of wire with bytes still to write; &wire: none */
    size_t unsent_at;        /* of them already written */
    size_t wire_count;
    struct buf in;
    size_t in_at;
    uint32_t watched; /* what the handle's epoll waits for; 0: this socket is not in it */
    bool stirred;     /* the epoll has said that there is something */
};

struct flotilla {
    char identity[64];
    uint8_t cluster_id[16];
    bool have_cluster_id;
    uint32_t timeout_ms, connect_ms, inflight_max;
    size_t queue_bytes_max;

    struct client_conn *conns[CLIENT_CONNS_MAX]; /* the seeds first */
    size_t conn_count, seed_count;
    struct client_conn *current;    /* where what has no better address goes */
    struct client_conn *driver;     /* leads the placement driver; NULL: not known */
    struct client_region **regions; /* sorted by their first keys, none overlaps another */
    size_t region_count, region_cap;
    struct client_op *ask; /* the question under way: one at a time */
    struct list asking;    /* batches that wait for its answer */
    bool ask_off;          /* nobody could answer: not before ask_again_at */
    uint64_t ask_again_at;
    int epoll;      /* of all sockets, once there were two; else -1 */
    bool unwatched; /* the epoll failed us: look at all sockets, often */
    bool stirred;   /* the marks of the connections are of this moment */

    struct flotilla_server server;
    bool have_server;
    struct list delayed;
    size_t pending, pending_bytes;
    uint64_t next_deadline, next_delayed; /* nothing expires, or is due, before */
    uint64_t next_id;
    bool want_open; /* connect even without work: flotilla_open() waits */
    bool busy;      /* in flotilla_process(), so perhaps in a callback */
    bool closing;
    size_t completed;
    struct prng chance;
    struct list names; /* namespaces that were found */
};

/* ---- op.c --------------------------------------------------------------------------------------------------- */

uint64_t client_now(void); /* nanoseconds, monotonic */
int client_error(struct flotilla_error *error, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);
void client_error_clear(struct flotilla_error *error);
/* A new operation with room for a body of `size` bytes and a tail of `tail`; NULL if memory is gone. Its user fills
 * client_op_body(). */
struct client_op *client_op_new(uint16_t method, unsigned flags, size_t size, size_t tail);
void client_op_free(struct client_op *op);
/* Queues an inner one, with a deadline, for the first time. */
void client_op_start(struct flotilla *f, struct client_op *op, uint64_t deadline);
/* Hands over an outcome and frees the operation, which is in no list. */
void client_op_finish(struct flotilla *f, struct client_op *op, const struct client_reply *reply);
/* Queues it; from now on it is the handle's. A failure frees it. timeout_ms 0: the handle's. */
int client_op_submit(struct flotilla *f, struct client_op *op, uint32_t timeout_ms,
                     struct flotilla_error *error);
/* A pause of at most 1.5 times `most_ms`, or what the server asked for: `least_ms` doubled by every attempt, and drawn
 * from the upper half, so that many clients do not come back together. */
uint64_t client_op_pause(struct flotilla *f, unsigned attempts, uint32_t least_ms, uint32_t most_ms,
                         uint32_t asked_ms);
/* Puts it aside until `due`; it is in no list. */
void client_op_delay(struct flotilla *f, struct client_op *op, uint64_t due);
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
/* Tells the server that nobody wants the answer of operation `id` any more, if it is on a wire. */
void client_op_cancel(struct flotilla *f, uint64_t id);
/* Submits and waits until finish() has called client_wait_end(). Answers the code. */
int client_op_run(struct flotilla *f, struct client_op *op, struct client_wait *wait,
                  struct flotilla_error *error);
void client_wait_end(struct client_wait *wait, int code, uint32_t backoff_ms, const char *message);

/* ---- servers.c ---------------------------------------------------------------------------------------------- */

/* Adds the servers of an option's text: endpoints with commas between. */
int client_servers_parse(struct flotilla *f, const char *text, struct flotilla_error *error);
/* The server at an address that an answer has named: known, or added. NULL: not an address of the form ip:port, or
 * there is no room for one more. */
struct client_conn *client_servers_hinted(struct flotilla *f, struct bytes address);
/* The server to try after `c`: the next in the circle that may be tried now, else the first that may be again. */
struct client_conn *client_servers_next(struct flotilla *f, struct client_conn *c, uint64_t now);
void client_servers_free(struct flotilla *f);

/* ---- route.c ------------------------------------------------------------------------------------------------ */

/* Queues an operation, which is in no list, where it goes now. */
void client_route(struct flotilla *f, struct client_op *op);
/* Likewise, to the region `r`; NULL: nobody knows which. */
void client_route_to(struct flotilla *f, struct client_op *op, const struct client_region *r);
/* The connection to `c` has ended or could not be made: what is queued there goes elsewhere. `idle`: it was good and
 * owed nobody anything, so it is no reason to try another. */
void client_route_lost(struct flotilla *f, struct client_conn *c, bool idle, uint64_t now);
/* The server has done nothing: goes elsewhere, or waits and tries again. False: the answer is the outcome. */
bool client_route_again(struct flotilla *f, struct client_op *op, const struct client_reply *reply);
/* All seeds have refused us for good: whoever waits is told what `c` said. */
void client_route_refused(struct flotilla *f, struct client_conn *c);

/* ---- regions.c ---------------------------------------------------------------------------------------------- */

struct client_region {
    struct client_epoch epoch;
    struct client_conn *leader; /* NULL: not known */
    bool bounded;               /* it has an end */
    uint32_t start_len, end_len;
    uint8_t keys[]; /* start, then end, encoded: u32_be namespace, user's key */
};
static inline struct bytes client_region_end(const struct client_region *r)
{
    return bytes_from(r->keys + r->start_len, r->end_len);
}
/* The region that holds a key, NULL if it is not known. Valid until one is learned or forgotten. */
struct client_region *client_regions_find(struct flotilla *f, uint32_t ns, struct bytes key);
bool client_regions_holds(const struct client_region *r, uint32_t ns, struct bytes key);
/* Takes in a kv.Region and who leads it (NULL: not known). False: it is damaged, known already, or older than what is
 * known; or memory is gone. */
bool client_regions_learn(struct flotilla *f, struct bytes message, struct client_conn *leader);
void client_regions_forget(struct flotilla *f, const struct client_region *r);
/* `c` leads no region any more, so far as we know. */
void client_regions_leaderless(struct flotilla *f, const struct client_conn *c);
void client_regions_free(struct flotilla *f);

/* ---- ask.c -------------------------------------------------------------------------------------------------- */

/* Asks which region holds a key, unless something is being asked. False: nobody can say now. */
bool client_ask(struct flotilla *f, uint32_t ns, struct bytes key);
/* Asking may have become worth a try. */
void client_ask_tick(struct flotilla *f, uint64_t now);

/* ---- split.c ------------------------------------------------------------------------------------------------ */

/* A batch that is to be queued. True: it was split into parts, or waits until a region is known. False: all of its keys
 * lie in one region, or nobody knows better. */
bool client_split(struct flotilla *f, struct client_op *op);

/* ---- loop.c ------------------------------------------------------------------------------------------------- */

/* Sleeps until a socket or the clock has something, at most `timeout_ms` (-1: no bound of its own). */
void client_loop_wait(struct flotilla *f, int timeout_ms);

/* ---- conn.c ------------------------------------------------------------------------------------------------- */

/* Readies the memory of a new server: offline, nothing queued. */
void client_conn_init(struct client_conn *c, struct flotilla *f);
/* Frees what it holds; it is offline and nothing is queued. */
void client_conn_free(struct client_conn *c);
/* True if assign() has something to do: room on the wire, and somebody who waits for it. */
bool client_conn_assignable(const struct client_conn *c);
/* True if somebody waits for a connection to be made. */
bool client_conn_wanted(const struct client_conn *c);
/* When it has something to do by time: UINT64_MAX, or a moment. */
uint64_t client_conn_due(const struct client_conn *c);
/* Whatever can be done without waiting: connect and receive, then send. `look`: there may be something to read. */
void client_conn_receive(struct client_conn *c, bool look, uint64_t now);
void client_conn_send(struct client_conn *c, uint64_t now);
/* Ends the connection; c->last says why. Operations on the wire are lost. */
void client_conn_drop(struct client_conn *c, uint64_t now);
/* Takes an operation whose frame was not begun off the wire. False: it was begun. */
bool client_conn_recall(struct client_conn *c, struct client_op *op);
/* Sends a cancel frame for it, if there is memory for one. */
void client_conn_cancel(struct client_conn *c, uint64_t id);
/* The connection is asked whether it lives, unless that was done. */
void client_conn_probe(struct client_conn *c, uint64_t now);

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
/* The outcomes of a commit, from the response to all of it. False: it does not fit. */
bool client_batch_fill(struct flotilla_batch *batch, struct bytes response);
/* All writes have this outcome. */
void client_batch_fill_all(struct flotilla_batch *batch, int code);
/* The outcomes of `n` of its writes, `order` says which, from the response to them. False: it does not fit. */
bool client_batch_fill_part(struct flotilla_batch *batch, const uint32_t *order, size_t n,
                            struct bytes response);
void client_batch_fill_part_all(struct flotilla_batch *batch, const uint32_t *order, size_t n,
                                int code);

static inline struct bytes client_bytes(struct flotilla_bytes b)
{
    return bytes_from(b.data, b.len);
}
