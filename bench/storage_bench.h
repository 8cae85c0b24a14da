/* What the two sides of the storage benchmark share: the work, the clock, the numbers.
 *
 *   storage_bench.c   the table: cases, repetitions A B A B, medians, ratios
 *   storage_ours.c    side A: the storage library
 *   storage_rocks.c   side B: bare RocksDB C calls with the same durability */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    BENCH_KEY = 16,      /* bytes */
    BENCH_VALUE = 128,   /* bytes */
    BENCH_KEYS = 100000, /* written before the clock starts, then overwritten at random */
    BENCH_THREADS_MAX = 64,
    BENCH_BATCH_MAX = 1000,
};

enum bench_op { BENCH_PUT, BENCH_CAS };

struct bench_case {
    const char *name, *goal;
    enum bench_op op;
    unsigned threads; /* callers that wait for their write */
    unsigned batch;   /* operations that share one sync; 1: blocking calls */
    bool lanes;       /* ours alone: log and apply on a thread each, as in a node */
};

struct bench_result {
    bool ok;
    double seconds, cpu_seconds;
    uint64_t ops;
    uint64_t p50_ns, p99_ns; /* of a call: an operation, or a whole batch */
    double log_bytes, user_bytes;
    double peak_mib;
    char error[400];
};

/* A side: works in the empty directory `dir` for `seconds`. Runs in a process of its own. */
typedef void bench_side(const struct bench_case *what, const char *dir, double seconds,
                        struct bench_result *ret);
bench_side bench_ours, bench_rocks;

/* ---- The work ---- */

static inline uint64_t bench_random(uint64_t *state)
{
    uint64_t x = *state;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return *state = x;
}

/* The key of a number: scattered over the whole order, the same on both sides. */
void bench_key(uint32_t number, uint8_t out[BENCH_KEY]);
/* Bytes that do not compress. */
void bench_value(uint64_t *random, uint8_t out[BENCH_VALUE]);

/* ---- The clock and the samples of one thread ---- */

struct bench_samples {
    uint32_t *ns;
    size_t count, cap;
};

uint64_t bench_now(void); /* nanoseconds */
double bench_cpu(void);   /* seconds of this process, all threads */
void bench_samples_add(struct bench_samples *samples, uint64_t ns);
/* Fills p50, p99 from the samples of all threads and frees them. */
void bench_samples_finish(struct bench_samples *samples, unsigned n, struct bench_result *ret);
