/* Shared by the engines alone. */
#pragma once

#include "storage/engine.h"

/* Rule R2 of the fault catalogue: an engine that finds no CURRENT creates a database only if it was told to and there
 * is no data beside it; otherwise ERR_DATA_LOSS (ERR_NOT_FOUND if the directory is missing), each time, for RocksDB
 * would put an empty database in the place of a damaged one at the second try. `*found`: there is one. */
MUST_USE err_t engine_find_current(struct env *env, const struct engine_config *config, bool *found,
                                   struct err *e);

/* Where every batch leaves its number in family `tick`: key "n", u64 big-endian. */
static inline struct bytes engine_tick_key(void)
{
    return bytes_from("n", 1);
}
static inline void engine_tick_encode(uint64_t n, uint8_t out[8])
{
    for (int i = 0; i < 8; i++)
        out[i] = (uint8_t)(n >> (56 - 8 * i));
}
static inline uint64_t engine_tick_decode(const uint8_t in[8])
{
    uint64_t n = 0;
    for (int i = 0; i < 8; i++)
        n = n << 8 | in[i];
    return n;
}

/* RocksDB databases as ours never are, for the tests: without atomic flush (the planted bug that the hunter of torn
 * cuts must find), with a family that we do not know (`extra_family`), without `tick`. */
struct engine_rocks_shape {
    bool torn, without_tick;
    const char *extra_family;
};
MUST_USE err_t engine_rocks_open_shape(struct env *env, const struct engine_config *config,
                                       const struct engine_rocks_shape *shape, struct engine **ret,
                                       struct err *e);
