/* The policy door: the placement driver asks, somebody (script/policy.c, or a test) proposes.
 *
 * A policy is a pure function of a view. What it answers is a proposal with a reason; the core checks every proposal
 * and may refuse it. Nothing here is executed before the placement driver says so. */
#pragma once

#include "base/buf.h"
#include "base/err.h"

struct pd_region_view {
    uint64_t id, conf_ver, version;
    struct bytes start_key, end_key; /* end_unbounded: no end */
    bool end_unbounded;
    uint64_t approx_bytes, approx_keys;
    double reads_per_s, writes_per_s; /* decayed means of the last minute */
    uint64_t reads, writes;           /* since the node started */
    const struct bytes *samples; /* keys, sorted, evenly drawn from what was accessed or stored */
    size_t sample_count;
    uint64_t leader_store;
};
struct pd_store_view {
    uint64_t id;
    const char *address, *state; /* "up" */
    uint64_t capacity_bytes, available_bytes, region_count, leader_count;
};
struct pd_view {
    uint64_t now_ms;      /* HLC's physical part: the only clock of a policy */
    uint64_t decision_id; /* seeds the policy's PRNG; unique per plan */
    const struct pd_store_view *stores;
    size_t store_count;
    const struct pd_region_view *regions;
    size_t region_count;
};

enum pd_kind { PD_SPLIT = 1, PD_MOVE = 2, PD_MERGE = 3, PD_TRANSFER_LEADER = 4 };
struct pd_proposal {
    enum pd_kind kind;
    uint64_t region_id, from_store, to_store;
    uint64_t conf_ver, version; /* the region's epoch in the view: for another one it is stale */
    struct buf split_key;
    char reason[240];
};

/* What a plan answered. Owned by the policy until `done` returns. */
struct pd_plan {
    err_t rc; /* not OK: the whole set is discarded; `error` says why */
    const char *error;
    const struct pd_proposal *proposals;
    size_t count;
    const char *notes; /* text for people: why nothing was proposed, and the like */
    uint64_t instructions, elapsed_ns;
};

struct pd_policy {
    /* Copies what it needs of `view`, answers later on the loop thread, exactly once. One plan at
     * a time. */
    void (*plan)(void *self, const struct pd_view *view,
                 void (*done)(void *user, const struct pd_plan *plan), void *user);
    void *self;
};
