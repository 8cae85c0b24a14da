/* A register and what its operations do to it: the sequential object that a history must look like.
 *
 *   state    { version, value }                value 0: absent; raw registers stay at version 0
 *   write    accepted in some states, and then moves to another      put, cas that answered ok, ...
 *   look     accepted in some states, and changes nothing            get, cas that answered conflict, ...
 *
 * Values are small numbers of this register: those that some answer showed, or some swap wanted, are told apart; all
 * others are MODEL_UNSEEN, since no operation can tell them apart. In a register with appends they are the numbers of
 * the texts themselves. */
#pragma once

#include "history_int.h"

enum { MODEL_ABSENT = 0, MODEL_UNSEEN = 1 };
#define MODEL_NEVER UINT64_MAX /* a time after all times */
#define MODEL_NONE  UINT32_MAX

/* How much is known about writes, which decides what the search may skip (search.c). */
enum model_family {
    MODEL_PLAIN,     /* put, delete, get: a write needs no particular state */
    MODEL_SWAP,      /* also swap */
    MODEL_APPEND,    /* also append: states are not known beforehand */
    MODEL_VERSIONED, /* every write makes the next version */
};

struct model_state {
    uint64_t version;
    uint32_t value;
};

struct model_op {
    uint64_t call, ret; /* ret: MODEL_NEVER if the outcome is not known */
    uint64_t expected, version;
    uint32_t number;             /* in the history */
    uint32_t value, wanted, saw; /* saw: MODEL_NONE if the answer showed none */
    uint32_t
        twin; /* writes with equal twins are accepted and act alike, and only differ in their times */
    uint8_t kind, outcome; /* UNDETERMINED, OK, CONFLICT, NOT_FOUND */
    bool conditional, has_version,
        absent; /* has_version: also of an undetermined write, if it follows */
};

struct model {
    enum model_family family;
    struct model_op *ops; /* owned */
    size_t count;
    struct model_state start;
    uint32_t values;           /* they are below; of no meaning in a register with appends */
    const struct texts *known; /* the history's, which outlives the model */
    struct texts made;         /* values that appends have made, numbered behind the known ones */
};

/* Which numbers a register's values have: room for all texts of a history, used by one register after the other. */
struct model_numbers {
    uint32_t *local, *owner;
    uint32_t registers;
};
void model_numbers_init(struct model_numbers *n, const struct history *h);
void model_numbers_free(struct model_numbers *n);

/* The register of these operations of the history, without the failed ones. model_free() ends it. */
void model_build(struct model *m, const struct history *h, const uint32_t *numbers, size_t count,
                 struct model_numbers *n);
/* The same with other operations: `ops` is owned by it from now on. */
void model_with(struct model *m, const struct model *from, struct model_op *ops, size_t count);
void model_free(struct model *m);

/* It changes nothing: it may be done as soon as it is accepted. */
bool model_looks(const struct model_op *op);
bool model_accepts(const struct model *m, const struct model_op *op, struct model_state s);
/* What an accepted write leaves. */
struct model_state model_after(struct model *m, const struct model_op *op, struct model_state s);

/* The one value (versioned: version, as `*ret`) in which the operation is accepted, if that is known. */
bool model_needs(const struct model *m, const struct model_op *op, uint64_t *ret);
/* The value that the write leaves; MODEL_NONE of looks, and where it depends. */
uint32_t model_makes(const struct model *m, const struct model_op *op);
/* It became unknown what this operation did. */
void model_forget(struct model_op *op);
