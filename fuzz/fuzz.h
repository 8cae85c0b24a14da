/* What every fuzz target shares. A target is one function over one input:
 *
 *     int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) { ...; return 0; }
 *
 * It keeps nothing between calls, and states with FUZZ_CHECK what must hold for any input. In
 * the preset `fuzz` libFuzzer calls it; in the others replay.c does, for every file of the
 * corpus. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define FUZZ_CHECK(cond)                                                                           \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "%s:%d: %s is false\n", __FILE__, __LINE__, #cond);                    \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* A copy of exactly its size on the heap, so that a read beyond its end is seen. The caller
 * frees `data`. */
static inline struct bytes fuzz_copy(struct bytes in)
{
    uint8_t *copy = malloc(in.len > 0 ? in.len : 1);
    FUZZ_CHECK(copy != NULL);
    if (in.len > 0)
        memcpy(copy, in.data, in.len);
    return bytes_from(copy, in.len);
}
