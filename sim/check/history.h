/* Histories: what clients asked of registers, what they were answered, and when.
 *
 *   client 1   put(k, "a") |--------| ok
 *   client 2         get(k)   |--------------| "a"
 *   client 3   put(k, "b")        |------------ ...      undetermined: it may take effect at any later time, or never
 *              -----------------------------------------> time
 *
 * A history is append-only and has no clock: times are arguments, in any unit. Equal inputs give equal histories.
 *
 * Two key spaces, as the store has them: raw (put, delete, get; also append, and swap, which compares values) and
 * versioned (cas, cas_delete, cas_get). Equal keys of the two spaces are two registers. Every register begins absent,
 * with version 0: a run on old keys first records what it finds as puts.
 *
 * A client that has no answer, or one that does not say whether the write happened, ends its operation with
 * HISTORY_UNDETERMINED or not at all; HISTORY_FAILED is the promise that nothing happened and never will. Reads that
 * do not claim to be linearizable (stale, local) do not belong in a history. */
#pragma once

#include "base/buf.h"

enum history_kind {
    HISTORY_PUT,    /* value */
    HISTORY_DELETE, /* no argument; succeeds on an absent key too */
    HISTORY_GET,    /* OK with a value, or NOT_FOUND */
    HISTORY_APPEND, /* value; an absent key is empty */
    HISTORY_SWAP, /* wanted, value: OK if the value was `wanted`; CONFLICT, maybe with the value that was there */
    HISTORY_CAS, /* expected, value: OK or CONFLICT. 0 expects an absent key, whatever its tombstone's version */
    HISTORY_CAS_DELETE, /* if conditional: expected. OK, CONFLICT, or NOT_FOUND; a delete is a version too */
    HISTORY_CAS_GET, /* OK or NOT_FOUND */
    HISTORY_KINDS,
};

enum history_outcome {
    HISTORY_PENDING,      /* not ended; in the end the same as UNDETERMINED */
    HISTORY_UNDETERMINED, /* time-outs, lost connections, ERR_UNDETERMINED */
    HISTORY_FAILED,       /* definitely without effect: it is left out */
    HISTORY_OK,
    HISTORY_CONFLICT,
    HISTORY_NOT_FOUND,
    HISTORY_OUTCOMES,
};

#define HISTORY_TIME_MAX (UINT64_MAX - 1)

struct history_call { /* everything is copied */
    uint64_t client, at;
    enum history_kind kind;
    struct bytes key, value, wanted;
    uint64_t expected;
    bool conditional;
};

/* What an answer does not say is not checked. */
struct history_answer {
    uint64_t at;
    enum history_outcome outcome;
    bool has_value, has_version;
    struct bytes value;
    uint64_t
        version; /* the new one; with CONFLICT and NOT_FOUND the current one, which may be a tombstone's */
    bool absent; /* CONFLICT with a version: that is a tombstone's, or 0 */
};

struct history;

struct history *history_new(void);
void history_free(struct history *h); /* NULL is welcome */

/* Notes that an operation begins, before its request leaves, and answers its number (0, 1, 2, ...); notes its end
 * after the answer came. Calls come in the order of what they note: times that do not grow are moved up by as little
 * as makes them grow, so that what happened within one instant keeps its order. The call and the answer must be
 * possible (history_check_call, _answer), and an operation ends once: both are asserted. */
size_t history_begin(struct history *h, const struct history_call *call);
void history_end(struct history *h, size_t number, const struct history_answer *answer);

/* Adds a whole operation in any order, with its times as they are (equal ones are concurrent); `answer` is NULL for
 * one that never ended. The same assertions, and that it ends no earlier than it began. */
size_t history_add(struct history *h, const struct history_call *call,
                   const struct history_answer *answer);

size_t history_count(const struct history *h);

/* ERR_INVALID_ARGUMENT if no register could be asked that, or answer that to `call`. */
MUST_USE err_t history_check_call(const struct history_call *call, struct err *e);
MUST_USE err_t history_check_answer(const struct history_call *call,
                                    const struct history_answer *answer, struct err *e);

/* JSON lines, one operation a line (README.md). Writing appends to `ret` (ERR_NOMEM: nothing is appended). Reading
 * adds to `h`; a line that is none (ERR_INVALID_ARGUMENT, ERR_TOO_LARGE) is named, the ones before it are in. */
MUST_USE err_t history_write(const struct history *h, struct buf *ret);
MUST_USE err_t history_read(struct bytes text, struct history *h, struct err *e);
