/* The placement driver: looks at what there is, asks the policies, checks what they propose.
 *
 *   every interval   view (one store, one region, live statistics) --> pd_policy.plan
 *                    proposals with reasons <-------------------------------+
 *                         | each checked here, in C: a script proposes, the core disposes
 *                         v
 *                    log, last decisions (console: plan.last)
 *
 * It runs where the system region is led. Nothing executes a proposal yet: accepted ones are logged as such. */
#pragma once

#include "base/buf.h"
#include "base/logger.h"
#include "env/env.h"
#include "pd/policy.h"
#include "region/region.h"

struct pd;

struct pd_config {
    uint32_t interval_ms; /* 0: never asks */
    uint64_t store_id;
    const char *address; /* of the store's server; must outlive the driver */
};

struct pd *pd_new(struct env *env, struct logger *log, struct region_store *regions,
                  const struct pd_policy *policy, const struct pd_config *config);
/* Asks no more. A plan that is under way may still answer, until pd_close(). */
void pd_stop(struct pd *pd);
void pd_close(struct pd *pd); /* NULL is welcome */

enum { PD_PROPOSALS_KEPT = 16, PD_DECISIONS_KEPT = 16, PD_TEXT_MAX = 512 };

struct pd_decision {
    uint64_t id, at_ms;
    err_t rc;                /* of the plan */
    char error[PD_TEXT_MAX]; /* why the plan failed; "" */
    char notes[PD_TEXT_MAX]; /* what the policies said besides */
    uint64_t instructions, elapsed_ns;
    unsigned count, left_out; /* proposals kept below; more than that */
    struct pd_checked {
        enum pd_kind kind;
        uint64_t region_id, from_store, to_store;
        uint8_t split_key[64]; /* its first bytes */
        uint32_t split_key_len;
        char reason[240];
        bool accepted;
        char verdict[160]; /* "accepted: ..." or why it was refused */
    } proposals[PD_PROPOSALS_KEPT];
};
/* The newest decision, NULL if there was none; `back` 1: the one before it, and so on. */
const struct pd_decision *pd_decision(const struct pd *pd, unsigned back);

struct pd_stats {
    uint64_t plans, failed, accepted, refused;
};
void pd_stats(const struct pd *pd, struct pd_stats *ret);

/* True if the proposal may be done as things stand; `why` (at least 160 bytes) gets the verdict. */
bool pd_check(const struct pd_view *view, const struct pd_proposal *proposal, char *why,
              size_t len);
/* "split", "move", ... */
const char *pd_kind_name(enum pd_kind kind);
