/* One suite for every engine: what engine.h promises, as tests.
 *
 *     static void subject(struct engine_subject *ret) { ... }
 *     ENGINE_CONTRACT(subject)                              one TEST per promise
 *
 * A test program links storage_contract (engine_contract.c). */
#pragma once

#include "base/test.h"
#include "storage/engine.h"

struct engine_subject {
    const struct engine_ops *ops;
    struct env *env;
    const char *dir;         /* an empty directory of this world, for this test alone */
    uint64_t memtable_bytes; /* small enough for a test to fill */
};

#define ENGINE_PROMISES(X)                                                                         \
    X(start_never_creates)                                                                         \
    X(create_then_reopen)                                                                          \
    X(families_are_apart)                                                                          \
    X(later_one_of_a_batch_wins)                                                                   \
    X(numbers_rise_and_durable_follows)                                                            \
    X(close_takes_a_suffix_alone)                                                                  \
    X(durable_read_lags)                                                                           \
    X(get_is_exact)                                                                                \
    X(cached_get_never_lies)                                                                       \
    X(scan_bounds)                                                                                 \
    X(scan_is_as_of_its_call)                                                                      \
    X(missing_current_is_refused_twice)                                                            \
    X(agrees_with_a_model)                                                                         \
    X(stats_tell_of_data)

#define ENGINE_DECLARE(name) void engine_contract_##name(const struct engine_subject *subject);
ENGINE_PROMISES(ENGINE_DECLARE)
/* Readers beside the writer, on threads: for the machine alone. */
ENGINE_DECLARE(readers_see_whole_batches)
#undef ENGINE_DECLARE

/* ---- Helpers, for the suites of single engines too ------------------------------------------------------------- */

struct engine *engine_contract_open(const struct engine_subject *subject, bool create);
/* One batch: the number `n` as text under key "n" of every family, and the row "row-<n>" in `cas`. */
void engine_contract_write(const struct engine_subject *subject, struct engine *engine, uint64_t n);
/* All families hold the same number, rows 1 to that number exist and no other: answers the number. */
uint64_t engine_contract_check_cut(const struct engine_subject *subject, struct engine *engine,
                                   uint64_t most);
