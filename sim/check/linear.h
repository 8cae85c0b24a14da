/* Is a history linearizable? Did every operation take effect at one moment between its call and its return?
 *
 *   history  ->  one register per key and key space  ->  an order that explains all answers?  ->  verdict, reasons
 *
 * Registers are independent, so the history is linearizable exactly if each of them is. */
#pragma once

#include "sim_check/history.h"

enum linear_verdict {
    LINEAR_YES,     /* an order was found, and replayed */
    LINEAR_NO,      /* there is none */
    LINEAR_UNKNOWN, /* the budget ended first: not a pass */
};

struct linear_options {
    uint64_t budget;     /* configurations per register beyond one an operation; 0: LINEAR_BUDGET */
    size_t explanations; /* of registers at most, the first ones */
};
#define LINEAR_BUDGET 1000000u /* at most 32 bytes each */

struct linear_register {
    struct bytes key; /* borrowed from the history */
    bool versioned;
    enum linear_verdict verdict;
    size_t operations;
    uint64_t configurations;
    struct buf why; /* LINEAR_NO: text for people, if an explanation was asked for; else empty */
};

struct linear_report {
    enum linear_verdict verdict; /* NO if any register says so, else UNKNOWN if any does */
    size_t operations, answered, undetermined,
        failed; /* a run with too few answers proves nothing */
    struct linear_register
        *registers; /* in the order in which the history first names their keys */
    size_t count;
};

/* Fills `ret`, which borrows keys from `h`; linear_report_free() ends it. `options` may be NULL. Time and memory are
 * bounded by the history and the budget; equal histories give equal reports. */
enum linear_verdict linear_check(const struct history *h, const struct linear_options *options,
                                 struct linear_report *ret);
void linear_report_free(struct linear_report *r);

/* "linearizable", "NOT linearizable", "undecided". Static. */
const char *linear_verdict_name(enum linear_verdict v);
