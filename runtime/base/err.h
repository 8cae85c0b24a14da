/* One error code and one error context for the whole tree.
 *
 * A function that can fail returns err_t, fills its `ret` parameters on ERR_OK only, and adds its own context:
 *
 *     return err_wrap(e, rc, "could not open store \"%s\"", path);
 *
 * so that the text reads from the outside in: what was attempted, then why it failed, then what to try. The
 * numbers below 64 are also the codes of `Status` on the wire (proto/kvrpc.proto) and never change. */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#define MUST_USE               __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))

/* X(number, name). 1 to 16 keep gRPC's numbers; 17 to 63 are ours and travel; from 64 on they stay in a process. */
#define ERR_TABLE(X)                                                                               \
    X(0, OK)                                                                                       \
    X(1, CANCELLED)                                                                                \
    X(3, INVALID_ARGUMENT)                                                                         \
    X(4, DEADLINE_EXCEEDED)                                                                        \
    X(5, NOT_FOUND)                                                                                \
    X(6, ALREADY_EXISTS)                                                                           \
    X(7, PERMISSION_DENIED)                                                                        \
    X(8, RESOURCE_EXHAUSTED)                                                                       \
    X(9, FAILED_PRECONDITION)                                                                      \
    X(10, ABORTED)                                                                                 \
    X(12, UNIMPLEMENTED)                                                                           \
    X(13, INTERNAL)                                                                                \
    X(14, UNAVAILABLE)                                                                             \
    X(15, DATA_LOSS)                                                                               \
    X(17, UNDETERMINED)   /* the outcome of a write is not known: it may or may not happen */      \
    X(18, CONFLICT)       /* CAS: the version is another; Status carries the current one */        \
    X(19, TOO_LARGE)      /* above a limit that has a name */                                      \
    X(20, SERVER_IS_BUSY) /* a queue is full; Status carries a suggested backoff */                \
    X(21, DISK_FULL)                                                                               \
    X(22, NOT_LEADER)                                                                              \
    X(23, EPOCH_NOT_MATCH)                                                                         \
    X(24, REGION_NOT_FOUND)                                                                        \
    X(25, MODE_MISMATCH) /* CAS in an eventual namespace, and the like */                          \
    X(26, UPGRADE_REQUIRED)                                                                        \
    X(27, SESSION_EXPIRED)                                                                         \
    X(28, WRITE_FENCED)                                                                            \
    X(29, CORRUPTION)  /* a stored record is not what its format says */                           \
    X(30, HLC_REFUSED) /* a remote stamp is further ahead than the maximum offset */               \
    X(31, OVERFLOW)    /* a counter or version at its end; nothing was changed */                  \
    X(64, SHORT)       /* a decoder needs more bytes: not a fault */                               \
    X(65, NOMEM)                                                                                   \
    X(66, IO)                                                                                      \
    X(67, CLOSED) /* the other side, or we, ended the stream */                                    \
    X(68, ADDRESS_IN_USE)                                                                          \
    X(69, PANIC_MARK) /* the last run ended in a failed write; see `flotilla start --help` */      \
    X(70, AMNESIA)    /* the store has lost the end of its log */                                  \
    X(71, SCRIPT)     /* Lua raised an error */                                                    \
    X(72, BUDGET)     /* Lua used up its instructions or its memory */                             \
    X(73, LOCKED)     /* another process holds the directory */                                    \
    /* 80 to 101: the identities of runtime/catalog, whose error.h has their words */              \
    X(80, CATALOG_STORE_REQUIRED)                                                                  \
    X(81, CATALOG_VERSION_MISMATCH)                                                                \
    X(82, CATALOG_VERSION_OVERFLOW)                                                                \
    X(83, CATALOG_ROUTE_ID_OVERFLOW)                                                               \
    X(84, CATALOG_ROUTE_ID_REQUIRED)                                                               \
    X(85, CATALOG_GROUP_ID_REQUIRED)                                                               \
    X(86, CATALOG_DUPLICATE_ROUTE_ID)                                                              \
    X(87, CATALOG_INVALID_ROUTE_RANGE)                                                             \
    X(88, CATALOG_INVALID_VERSION_RECORD)                                                          \
    X(89, CATALOG_INVALID_NEXT_ROUTE_ID)                                                           \
    X(90, CATALOG_INVALID_ROUTE_RECORD)                                                            \
    X(91, CATALOG_INVALID_ROUTE_STATE)                                                             \
    X(92, CATALOG_INVALID_ROUTE_KEY)                                                               \
    X(93, CATALOG_ROUTE_KEY_ID_MISMATCH)                                                           \
    X(94, ENGINE_SNAPSHOT_VERSION_STALE)                                                           \
    X(95, ENGINE_SNAPSHOT_DUPLICATE_ID)                                                            \
    X(96, ENGINE_SNAPSHOT_ROUTE_OVERLAP)                                                           \
    X(97, ENGINE_SNAPSHOT_ROUTE_ORDER)                                                             \
    X(98, ENGINE_REQUIRED)                                                                         \
    X(99, CATALOG_INTEGRITY)                                                                       \
    X(100, CATALOG_CURSOR_AHEAD)                                                                   \
    X(101, CATALOG_HISTORY_TRIMMED)

typedef enum err_code {
#define ERR_ENUM(number, name) ERR_##name = number,
    ERR_TABLE(ERR_ENUM)
#undef ERR_ENUM
} err_t;

/* Context of a failure, owned by whoever called first. `{0}` is "no error". Never allocates. */
struct err {
    err_t code;
    char msg[1000];
};

/* Sets code and message; returns `rc`, so that it can end a function. `e` may be NULL. */
err_t err_set(struct err *e, err_t rc, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Puts "text: " before what is there (or sets the text alone if nothing is); returns `rc`. `e` may be NULL. */
err_t err_wrap(struct err *e, err_t rc, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* As err_set with ERR_IO (or a closer code: NOMEM, DISK_FULL, NOT_FOUND, ...) and strerror(number) behind. */
err_t err_errno(struct err *e, int number, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* "NOT_FOUND"; "UNKNOWN" for a number that is not in the table. Static. */
const char *err_name(err_t rc);
/* True if `number` is in the table and below 64, that is: may stand in a Status. */
bool err_is_wire(unsigned number);
/* The code that travels for `rc`: itself below 64; INTERNAL, UNAVAILABLE or RESOURCE_EXHAUSTED for the others. */
err_t err_to_wire(err_t rc);
