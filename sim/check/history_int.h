/* What the checker sees of a history. */
#pragma once

#include "sim_check/history.h"
#include "texts.h"

struct history_op {
    uint64_t client, call, ret; /* ret: meaningless while PENDING */
    uint64_t expected, version;
    uint32_t key, value, wanted, saw; /* numbers in texts, 0: none */
    uint8_t kind, outcome;
    bool conditional, has_version, absent;
};

struct history {
    struct history_op *ops;
    size_t count, cap;
    struct texts texts;
    uint64_t last; /* the latest time that begin and end have given out */
};

extern const char *const history_kind_names[HISTORY_KINDS];
extern const char *const history_outcome_names[HISTORY_OUTCOMES];

static inline bool history_is_versioned(unsigned kind)
{
    return kind >= HISTORY_CAS;
}
/* It has an answer, so it took effect, or saw something, between its two times. */
static inline bool history_is_answered(unsigned outcome)
{
    return outcome >= HISTORY_OK;
}

/* For people: `cas(expected 6, "b")`, `conflict, version 7`, a key or value alone. Bytes that are not printable are
 * shown in hex, long ones are cut. Appends; ends with the process where memory is gone. */
void history_print_call(const struct history *h, const struct history_op *op, struct buf *out);
void history_print_answer(const struct history *h, const struct history_op *op, struct buf *out);
void history_print_bytes(struct bytes b, struct buf *out);
