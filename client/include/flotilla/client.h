/* libflotilla: the C client of Flotilla.
 *
 *     struct flotilla *db;
 *     struct flotilla_error error;
 *     if (flotilla_open(NULL, &db, &error) != FLOTILLA_OK)
 *         fprintf(stderr, "%s\n", error.message);
 *     flotilla_raw_put(db, FLOTILLA_NAMESPACE, FLOTILLA_TEXT("k1"), FLOTILLA_TEXT("v1"), &error);
 *
 * Threads. A handle has no lock: one thread at a time uses it. Open one per thread; a handle is a socket and two
 * buffers for each server that it talks to. Different handles share nothing.
 *
 * Clusters. A handle is given some nodes, and is told by their answers who leads. A lost or refused connection makes it
 * try the next node, at once; pauses, growing and jittered, come after a whole round. A node that does not lead names
 * who does: the handle keeps a connection to each and sends the request there (three times at once, then with pauses
 * of about 20 to 200 ms); where nobody leads it asks around with such pauses. Only numeric addresses are followed.
 * It also asks which region holds a key, remembers that, sends requests to the regions' leaders, and learns from
 * refusals what has changed. Nothing of this is seen outside, but for batches: see there.
 *
 * Outcomes. Every call answers one of the codes below and, if `error` is not NULL, a sentence for people. What to do
 * with a code is flotilla_error_class(). The library retries what is safe to retry, within one deadline per call:
 *
 *     reads and timestamps    after a lost connection or answer, and while the server is busy
 *     writes                  while the server has refused them (busy, does not lead, knows another range), or while
 *                             they have not been sent as a whole
 *     never                   a write that was sent and not answered: FLOTILLA_UNDETERMINED. It may have happened,
 *                             or may still happen. Read the key (a versioned one tells by its version) and decide.
 *
 * Memory. What goes in is copied before a call returns; what comes out says who frees it. The library never ends the
 * process: when memory is gone, calls answer FLOTILLA_RESOURCE_EXHAUSTED. It installs no signal handlers. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#define FLOTILLA_API __attribute__((visibility("default")))

struct flotilla;

/* ---- Codes and errors --------------------------------------------------------------------------------------- */

/* The numbers of Status on the wire (docs/wire.md). More may come: treat an unknown one by its class. */
enum flotilla_code {
    FLOTILLA_OK = 0,
    FLOTILLA_CANCELLED = 1,
    FLOTILLA_INVALID_ARGUMENT = 3,
    FLOTILLA_DEADLINE_EXCEEDED = 4, /* nothing was written */
    FLOTILLA_NOT_FOUND = 5,
    FLOTILLA_ALREADY_EXISTS = 6,
    FLOTILLA_PERMISSION_DENIED = 7,
    FLOTILLA_RESOURCE_EXHAUSTED = 8,
    FLOTILLA_FAILED_PRECONDITION = 9,
    FLOTILLA_ABORTED = 10,
    FLOTILLA_UNIMPLEMENTED = 12,
    FLOTILLA_INTERNAL = 13,
    FLOTILLA_UNAVAILABLE = 14,
    FLOTILLA_DATA_LOSS = 15,
    FLOTILLA_UNDETERMINED = 17, /* the write may or may not have happened, or may still happen */
    FLOTILLA_CONFLICT = 18,     /* CAS: the version is another one */
    FLOTILLA_TOO_LARGE = 19,
    FLOTILLA_SERVER_IS_BUSY = 20,
    FLOTILLA_DISK_FULL = 21,
    FLOTILLA_NOT_LEADER = 22,
    FLOTILLA_EPOCH_NOT_MATCH = 23,
    FLOTILLA_REGION_NOT_FOUND = 24,
    FLOTILLA_MODE_MISMATCH = 25,
    FLOTILLA_UPGRADE_REQUIRED = 26,
    FLOTILLA_SESSION_EXPIRED = 27,
    FLOTILLA_WRITE_FENCED = 28,
    FLOTILLA_CORRUPTION = 29,
    FLOTILLA_HLC_REFUSED = 30,
    FLOTILLA_OVERFLOW = 31,
};

enum flotilla_class {
    FLOTILLA_CLASS_OK,
    FLOTILLA_CLASS_RETRY_SAME, /* not done; the same request may go to the same place after a pause */
    FLOTILLA_CLASS_RETRY_ROUTE,  /* not done; ask again where the key lives, then retry */
    FLOTILLA_CLASS_FINAL,        /* not done; the same request would fail again */
    FLOTILLA_CLASS_UNDETERMINED, /* perhaps done: never retry without looking */
};

struct flotilla_error {
    int code;            /* enum flotilla_code */
    uint32_t backoff_ms; /* with SERVER_IS_BUSY: what the server suggests; else 0 */
    char message[500];   /* what was attempted, why it failed, what to try; "" with FLOTILLA_OK */
};

FLOTILLA_API enum flotilla_class flotilla_error_class(int code);
FLOTILLA_API const char *flotilla_code_name(int code); /* "CONFLICT"; "UNKNOWN"; static */
FLOTILLA_API const char *flotilla_version(void);       /* "0.1.0"; static */

/* ---- Bytes -------------------------------------------------------------------------------------------------- */

struct flotilla_bytes {
    const void *data;
    size_t len;
};

static inline struct flotilla_bytes flotilla_bytes(const void *data, size_t len)
{
    struct flotilla_bytes b = { data, len };
    return b;
}
#define FLOTILLA_TEXT(text) flotilla_bytes((text), strlen(text))
#define FLOTILLA_NONE       flotilla_bytes(NULL, 0)

/* A value that a call hands over: end it with flotilla_value_free(). An empty value is not an absent one. */
struct flotilla_value {
    bool found;
    uint64_t
        version; /* versioned keys: also of a deleted one, whose `found` is false; 0: never written */
    void *data; /* `len` bytes and a NUL behind them; NULL if there is nothing */
    size_t len;
};
/* Frees and resets to {0}. NULL and {0} are welcome. */
FLOTILLA_API void flotilla_value_free(struct flotilla_value *value);
/* Frees what flotilla_admin() and the like have handed over. NULL is welcome. */
FLOTILLA_API void flotilla_free(void *memory);

/* ---- Handles ------------------------------------------------------------------------------------------------ */

struct flotilla_options {
    size_t size; /* sizeof(struct flotilla_options) */
    /* "host:port", "[::1]:7700" or "unix:/path"; NULL: 127.0.0.1:7700. Several with commas between, at most 32: any
     * nodes of one cluster. */
    const char *endpoint;
    const char *cluster_id; /* 32 hex digits; NULL: whichever answers */
    const char *identity;   /* who we are, for the server's log; NULL: "libflotilla/VERSION" */
    uint32_t timeout_ms;    /* deadline of a call, retries and all; 0: 10,000 */
    uint32_t connect_ms; /* for one attempt to connect and say hello; 0: 5,000, of several 1,500 */
    uint32_t inflight_max;  /* requests on one wire; 0, or more than the server's: the server's */
    size_t queue_bytes_max; /* submitted and unanswered; above: RESOURCE_EXHAUSTED; 0: 64 MiB */
    bool lazy;              /* flotilla_open() does not connect: the first call does */
};
#define FLOTILLA_ENDPOINT_DEFAULT "127.0.0.1:7700"

/* Opens a handle and connects to one of the endpoints, each tried once, so that a wrong address or cluster is said
 * here; later a lost connection is made again as needed (with growing, jittered pauses). `options` may be NULL or
 * {.size = sizeof options}; it is copied. The caller ends `*ret` with flotilla_close(). A host name is resolved by
 * getaddrinfo(), which blocks. */
FLOTILLA_API int flotilla_open(const struct flotilla_options *options, struct flotilla **ret,
                               struct flotilla_error *error);
/* Ends the handle. Operations without an outcome end now: CANCELLED, or UNDETERMINED for a write that was sent.
 * Iterators of the handle must be closed before. NULL is welcome. */
FLOTILLA_API void flotilla_close(struct flotilla *db);
/* The deadline of every following call, in milliseconds; 0: 10,000. */
FLOTILLA_API void flotilla_set_timeout(struct flotilla *db, uint32_t timeout_ms);

struct flotilla_server {
    char identity[64]; /* "flotilla/0.1.0" */
    char cluster_id[33];
    uint64_t node_id;
    uint32_t protocol, frame_max, inflight_max;
};
/* What the server said in its last hello. UNAVAILABLE before the first. */
FLOTILLA_API int flotilla_server(const struct flotilla *db, struct flotilla_server *ret);

/* ---- Namespaces --------------------------------------------------------------------------------------------- */

/* Keys live in namespaces, which are numbers in every call. This one always exists; its name is "default". */
#define FLOTILLA_NAMESPACE 1u

struct flotilla_namespace {
    uint32_t id;
    char name[65], mode[16];
};
/* The number of a name; remembered by the handle. NOT_FOUND if there is none. */
FLOTILLA_API int flotilla_namespace_find(struct flotilla *db, const char *name, uint32_t *ret,
                                         struct flotilla_error *error);
/* Makes one; `mode` is "strong" (NULL: that). ALREADY_EXISTS if the name is taken. */
FLOTILLA_API int flotilla_namespace_create(struct flotilla *db, const char *name, const char *mode,
                                           uint32_t *ret, struct flotilla_error *error);
/* All of them, sorted by id, as an array that the caller ends with flotilla_free(). */
FLOTILLA_API int flotilla_namespace_list(struct flotilla *db, struct flotilla_namespace **ret,
                                         size_t *count, struct flotilla_error *error);

/* ---- Raw keys: put, get, delete ----------------------------------------------------------------------------- */

FLOTILLA_API int flotilla_raw_put(struct flotilla *db, uint32_t ns, struct flotilla_bytes key,
                                  struct flotilla_bytes value, struct flotilla_error *error);
/* OK also for a miss: look at ret->found. */
FLOTILLA_API int flotilla_get(struct flotilla *db, uint32_t ns, struct flotilla_bytes key,
                              struct flotilla_value *ret, struct flotilla_error *error);
/* OK also if there was nothing. */
FLOTILLA_API int flotilla_delete(struct flotilla *db, uint32_t ns, struct flotilla_bytes key,
                                 struct flotilla_error *error);

/* ---- Versioned keys: compare and swap. A key space of its own, apart from the raw keys ---------------------- */

/* Writes `value` if the key's version is `expected` (0: the key must be absent, never written or deleted). `*version`
 * (may be NULL) is the new one. On CONFLICT `*current` (may be NULL; the caller frees it) has the current version and
 * value, all of one moment. */
FLOTILLA_API int flotilla_cas_put(struct flotilla *db, uint32_t ns, struct flotilla_bytes key,
                                  uint64_t expected, struct flotilla_bytes value, uint64_t *version,
                                  struct flotilla_value *current, struct flotilla_error *error);
FLOTILLA_API int flotilla_cas_get(struct flotilla *db, uint32_t ns, struct flotilla_bytes key,
                                  struct flotilla_value *ret, struct flotilla_error *error);
/* Deletes if the version is `*expected` (NULL: whatever it is). Versions go on counting over a delete: `*version` (may
 * be NULL) is the tombstone's. NOT_FOUND if the key is absent. On CONFLICT `*current` (may be NULL)
 * has the current version, and no value. */
FLOTILLA_API int flotilla_cas_delete(struct flotilla *db, uint32_t ns, struct flotilla_bytes key,
                                     const uint64_t *expected, uint64_t *version,
                                     struct flotilla_value *current, struct flotilla_error *error);

/* ---- Scans -------------------------------------------------------------------------------------------------- */

struct flotilla_range {
    struct flotilla_bytes start; /* inclusive; empty: from the first key */
    struct flotilla_bytes end;   /* exclusive; data NULL: to the last key */
    uint64_t limit;              /* rows in all; 0: no limit */
    uint32_t page;               /* rows a request; 0: 1,000. The server may send fewer */
    bool keys_only;
};
struct flotilla_row { /* borrowed until the next call on the iterator */
    struct flotilla_bytes key, value;
    uint64_t version; /* versioned keys alone */
};
struct flotilla_scan;

/* Begins a scan of raw or versioned keys in the order of their bytes; `range` is copied, NULL is everything. A page
 * is one consistent moment; the whole scan is not. End it with flotilla_scan_close(). */
FLOTILLA_API int flotilla_scan(struct flotilla *db, uint32_t ns, const struct flotilla_range *range,
                               struct flotilla_scan **ret, struct flotilla_error *error);
FLOTILLA_API int flotilla_cas_scan(struct flotilla *db, uint32_t ns,
                                   const struct flotilla_range *range, struct flotilla_scan **ret,
                                   struct flotilla_error *error);
/* True: a row. False: the end, with error->code FLOTILLA_OK, or a failure. `error` must not be NULL. */
FLOTILLA_API bool flotilla_scan_next(struct flotilla_scan *scan, struct flotilla_row *row,
                                     struct flotilla_error *error);
FLOTILLA_API void flotilla_scan_close(struct flotilla_scan *scan); /* NULL is welcome */

/* ---- Batches ------------------------------------------------------------------------------------------------ */

/* Several writes in one request: durable together, applied in order, each with its own outcome (the conflict of one
 * does not undo another). At most 4 MiB. Keys of several regions are a request for each region: durable together and in
 * order within their region alone, and then it can happen that some were done and others were not. */
struct flotilla_batch;

FLOTILLA_API struct flotilla_batch *flotilla_batch_new(void); /* NULL: memory is gone */
FLOTILLA_API void flotilla_batch_free(struct flotilla_batch *batch);
FLOTILLA_API void flotilla_batch_clear(
    struct flotilla_batch *batch); /* forgets writes and outcomes, keeps memory */
/* Each adds a copy, or answers RESOURCE_EXHAUSTED (memory) or TOO_LARGE (commit what is there first) and adds
 * nothing. */
FLOTILLA_API int flotilla_batch_put(struct flotilla_batch *batch, uint32_t ns,
                                    struct flotilla_bytes key, struct flotilla_bytes value);
FLOTILLA_API int flotilla_batch_delete(struct flotilla_batch *batch, uint32_t ns,
                                       struct flotilla_bytes key);
FLOTILLA_API int flotilla_batch_cas_put(struct flotilla_batch *batch, uint32_t ns,
                                        struct flotilla_bytes key, uint64_t expected,
                                        struct flotilla_bytes value);
FLOTILLA_API int flotilla_batch_cas_delete(struct flotilla_batch *batch, uint32_t ns,
                                           struct flotilla_bytes key, const uint64_t *expected);
FLOTILLA_API size_t flotilla_batch_count(const struct flotilla_batch *batch);
FLOTILLA_API size_t flotilla_batch_size(const struct flotilla_batch *batch); /* bytes on the wire */
/* OK: the batch is durable; look at each outcome. UNDETERMINED: some of it may have been done, and the outcomes say
 * what is known of each write. Any other code: none of it was done. */
FLOTILLA_API int flotilla_batch_commit(struct flotilla *db, struct flotilla_batch *batch,
                                       struct flotilla_error *error);
/* Outcome of write `i` of the last commit; `*version` (may be NULL) is the new version of a versioned key, or the
 * current one on CONFLICT. INVALID_ARGUMENT if there was no commit, or writes were added since. */
FLOTILLA_API int flotilla_batch_result(const struct flotilla_batch *batch, size_t i,
                                       uint64_t *version);

/* ---- Timestamps, admin -------------------------------------------------------------------------------------- */

/* `count` stamps that nobody else gets, greater than all handed out before: *first, *first + 1, ... Layout:
 * milliseconds since 1970 << 18 | counter. */
FLOTILLA_API int flotilla_get_tso(struct flotilla *db, uint32_t count, uint64_t *first,
                                  struct flotilla_error *error);
/* Runs an admin verb ("namespace.list"). `arguments` is a JSON object or NULL; `*result` is JSON text that the caller
 * ends with flotilla_free(). */
FLOTILLA_API int flotilla_admin(struct flotilla *db, const char *verb, const char *arguments,
                                char **result, struct flotilla_error *error);

/* ---- The core: many operations at once, any event loop ------------------------------------------------------ */

enum flotilla_op_kind {
    FLOTILLA_OP_RAW_PUT,
    FLOTILLA_OP_GET,
    FLOTILLA_OP_DELETE,
    FLOTILLA_OP_CAS_PUT,
    FLOTILLA_OP_CAS_GET,
    FLOTILLA_OP_CAS_DELETE,
    FLOTILLA_OP_BATCH,
    FLOTILLA_OP_GET_TSO,
};
struct flotilla_op {
    enum flotilla_op_kind kind;
    uint32_t ns;
    struct flotilla_bytes key, value;
    uint64_t expected;            /* CAS_PUT, conditional CAS_DELETE */
    bool conditional;             /* CAS_DELETE */
    bool want_current;            /* CAS_PUT: on CONFLICT send the current value too */
    struct flotilla_batch *batch; /* BATCH: must stay until `done`, which has filled its outcomes */
    uint32_t count;               /* GET_TSO */
    uint32_t timeout_ms;          /* 0: the handle's */
};
/* An outcome. Everything in it is borrowed for the time of the callback. */
struct flotilla_result {
    int code;
    uint32_t backoff_ms;
    const char *message;
    bool found;
    uint64_t version;            /* CAS_*: new, or current on CONFLICT; of a tombstone too */
    uint64_t hlc;                /* writes: their stamp */
    uint64_t first;              /* GET_TSO */
    struct flotilla_bytes value; /* data NULL: none was sent */
};
typedef void flotilla_done(void *user, const struct flotilla_result *result);

/* Queues an operation; `done` is called exactly once, from flotilla_process(), flotilla_wait(), flotilla_close() or a
 * synchronous call on the same handle, never from here. It may submit more, but not call what waits or ends
 * the handle. An answer other than OK means that `done` will not be called. Requests go out together at the next
 * flotilla_process(). */
FLOTILLA_API int flotilla_submit(struct flotilla *db, const struct flotilla_op *op,
                                 flotilla_done *done, void *user, struct flotilla_error *error);
/* Operations without an outcome. */
FLOTILLA_API size_t flotilla_pending(const struct flotilla *db);
/* For poll(): the socket, or with several servers an epoll of all (-1: none now, wait for the time alone; it changes
 * at every connect), POLLIN | POLLOUT as needed, and milliseconds until flotilla_process() has something to do by time
 * (-1: nothing). Ask again after every flotilla_submit() and flotilla_process(). */
FLOTILLA_API int flotilla_fd(const struct flotilla *db);
FLOTILLA_API short flotilla_events(const struct flotilla *db);
FLOTILLA_API int flotilla_timeout(const struct flotilla *db);
/* For loops that dislike descriptors that change: one for the handle's whole life, an epoll that can be read when
 * flotilla_process() has something to do. flotilla_fd() is this one from now on. -1: the kernel has none left. */
FLOTILLA_API int flotilla_loop_fd(struct flotilla *db);
/* Does what can be done without waiting: connect, send, receive, complete, expire. */
FLOTILLA_API void flotilla_process(struct flotilla *db);
/* Processes; if nothing was completed, waits for the socket at most `timeout_ms` (-1: as long as flotilla_timeout()
 * says) and processes again. Answers how many operations were completed. Returns early at a signal. */
FLOTILLA_API size_t flotilla_wait(struct flotilla *db, int timeout_ms);

/* ---- Completion queues: operations without callbacks, for other languages ------------------------------------ */

/* Submitted operations whose outcomes are fetched. A handle may have several queues. Close them before it. */
struct flotilla_queue;
struct flotilla_completion {
    uint64_t tag; /* as it was submitted */
    int code;
    uint32_t backoff_ms;
    const char
        *message; /* "" with OK; this and the value are valid until the next call on the queue */
    bool found;
    uint64_t version, hlc, first; /* as in flotilla_result */
    struct flotilla_bytes value;  /* with a NUL behind; data NULL: none */
};

FLOTILLA_API int flotilla_queue_open(struct flotilla *db, struct flotilla_queue **ret,
                                     struct flotilla_error *error);
/* Forgets the outcomes that were not fetched; operations under way go on. NULL is welcome. */
FLOTILLA_API void flotilla_queue_close(struct flotilla_queue *queue);
/* Like flotilla_submit(). An answer other than OK means that nothing with this tag will come. */
FLOTILLA_API int flotilla_queue_submit(struct flotilla_queue *queue, const struct flotilla_op *op,
                                       uint64_t tag, struct flotilla_error *error);
/* Fetches an outcome, in the order in which they came. If there is none, works on the handle's connections and waits
 * at most `timeout_ms` (0: only works, -1: for as long as something is pending). False: nothing has come. */
FLOTILLA_API bool flotilla_queue_next(struct flotilla_queue *queue, int timeout_ms,
                                      struct flotilla_completion *ret);
/* Submitted and not fetched. */
FLOTILLA_API size_t flotilla_queue_pending(const struct flotilla_queue *queue);

#ifdef __cplusplus
}
#endif
