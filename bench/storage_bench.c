/* The storage library against bare RocksDB with the same durability, interleaved A B A B in one run.
 *
 *   storage_bench [--seconds N] [--reps N] [--dir DIR] [--only TEXT]
 *
 * Each measurement is a process of its own on a fresh directory, so that memory and CPU are its own. The table shows
 * medians over the repetitions, and the median of the ratios ours/bare of the pairs. The exit code tells of
 * malfunction alone, not of a goal that was missed: machines differ. */
#include "storage_bench.h"

#include <errno.h>
#include <ftw.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { REPS_MAX = 25 };

static const struct bench_case cases[] = {
    { "put, batch of 100", ">= 0.8", BENCH_PUT, 1, 100, false },
    { "put, batch of 100, lanes", ">= 0.8", BENCH_PUT, 1, 100, true },
    { "cas, batch of 100", ">= 0.8", BENCH_CAS, 1, 100, false },
    { "cas, batch of 100, lanes", ">= 0.8", BENCH_CAS, 1, 100, true },
    { "put, 64 writers", ">= 1.5", BENCH_PUT, 64, 1, false },
    { "cas, 64 writers", "", BENCH_CAS, 64, 1, false },
    { "put, 1 writer", "", BENCH_PUT, 1, 1, false },
    { "cas, 1 writer", "", BENCH_CAS, 1, 1, false },
};

/* ---- The work -------------------------------------------------------------------------------------------------- */

void bench_key(uint32_t number, uint8_t out[BENCH_KEY])
{
    uint64_t x = (number + 1) * 0x9e3779b97f4a7c15u;
    x ^= x >> 29;
    for (int i = 0; i < BENCH_KEY; i++)
        out[i] = (uint8_t) "0123456789abcdef"[x >> (60 - 4 * i) & 15];
}

void bench_value(uint64_t *random, uint8_t out[BENCH_VALUE])
{
    for (int i = 0; i < BENCH_VALUE; i += 8) {
        uint64_t x = bench_random(random);
        memcpy(out + i, &x, 8);
    }
}

uint64_t bench_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

double bench_cpu(void)
{
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
           (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) * 1e-6;
}

void bench_samples_add(struct bench_samples *samples, uint64_t ns)
{
    if (samples->count == samples->cap) {
        samples->cap = samples->cap != 0 ? 2 * samples->cap : 4096;
        samples->ns = realloc(samples->ns, samples->cap * sizeof samples->ns[0]);
        if (samples->ns == NULL)
            abort();
    }
    samples->ns[samples->count++] = ns < UINT32_MAX ? (uint32_t)ns : UINT32_MAX;
}

static int compare_ns(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

void bench_samples_finish(struct bench_samples *samples, unsigned n, struct bench_result *ret)
{
    struct bench_samples all = { 0 };
    for (unsigned i = 0; i < n; i++) {
        for (size_t j = 0; j < samples[i].count; j++)
            bench_samples_add(&all, samples[i].ns[j]);
        free(samples[i].ns);
    }
    qsort(all.ns, all.count, sizeof all.ns[0], compare_ns);
    if (all.count > 0) {
        ret->p50_ns = all.ns[all.count / 2];
        ret->p99_ns = all.ns[all.count * 99 / 100];
    }
    free(all.ns);
}

/* ---- A measurement: a process on a fresh directory -------------------------------------------------------------- */

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st, (void)flag, (void)ftw;
    return remove(path);
}

static struct bench_result measure(bench_side *side, const struct bench_case *what, const char *dir,
                                   double seconds)
{
    struct bench_result result = { 0 };
    struct rusage use = { 0 };
    int ends[2], status = 0;
    nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    if (mkdir(dir, 0700) != 0 || pipe(ends) != 0) {
        snprintf(result.error, sizeof result.error, "%s: %s", dir, strerror(errno));
        return result;
    }
    pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        side(what, dir, seconds, &result);
        _exit(write(ends[1], &result, sizeof result) == sizeof result ? 0 : 1);
    }
    close(ends[1]);
    if (child < 0 || read(ends[0], &result, sizeof result) != sizeof result) {
        result.ok = false;
        snprintf(result.error, sizeof result.error, "the measuring process died");
    }
    close(ends[0]);
    if (child > 0 && wait4(child, &status, 0, &use) == child)
        result.peak_mib = (double)use.ru_maxrss / 1024;
    nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return result;
}

/* ---- Medians ----------------------------------------------------------------------------------------------------- */

static int compare_double(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int n)
{
    qsort(values, (size_t)n, sizeof values[0], compare_double);
    return n % 2 == 1 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

enum figure { OPS, P50, P99, CPU, LOG, PEAK, FIGURES };

static double figure_of(const struct bench_result *r, enum figure figure)
{
    double ops = r->ops > 0 ? (double)r->ops : 1;
    switch (figure) {
    case OPS:
        return ops / r->seconds;
    case P50:
        return (double)r->p50_ns / 1000;
    case P99:
        return (double)r->p99_ns / 1000;
    case CPU:
        return r->cpu_seconds * 1e6 / ops;
    case LOG:
        return r->user_bytes > 0 ? r->log_bytes / r->user_bytes : 0;
    default:
        return r->peak_mib;
    }
}

static void print_row(const struct bench_case *what, const struct bench_result *ours,
                      const struct bench_result *bare, int reps)
{
    double a[FIGURES], b[FIGURES], ratio[FIGURES], values[REPS_MAX];
    for (enum figure f = OPS; f < FIGURES; f++) {
        for (int i = 0; i < reps; i++)
            values[i] = figure_of(&ours[i], f);
        a[f] = median(values, reps);
        for (int i = 0; i < reps; i++)
            values[i] = figure_of(&bare[i], f);
        b[f] = median(values, reps);
        for (int i = 0; i < reps; i++)
            values[i] = figure_of(&ours[i], f) / figure_of(&bare[i], f);
        ratio[f] = median(values, reps);
    }
    printf("%-25s ours %9.0f %8.1f %8.1f %7.2f %6.2f %6.0f\n", what->name, a[OPS], a[P50], a[P99],
           a[CPU], a[LOG], a[PEAK]);
    printf("%-25s bare %9.0f %8.1f %8.1f %7.2f %6.2f %6.0f\n", "", b[OPS], b[P50], b[P99], b[CPU],
           b[LOG], b[PEAK]);
    printf("%-24s ratio %9.2f %8.2f %8.2f %7.2f %6.2f %6.2f   %s%s\n", "", ratio[OPS], ratio[P50],
           ratio[P99], ratio[CPU], ratio[LOG], ratio[PEAK], what->goal[0] ? "goal: ops " : "",
           what->goal);
    fflush(stdout);
}

static int run_case(const struct bench_case *what, const char *dir, double seconds, int reps)
{
    struct bench_result ours[REPS_MAX], bare[REPS_MAX];
    for (int i = 0; i < reps; i++) {
        ours[i] = measure(bench_ours, what, dir, seconds);
        bare[i] = measure(bench_rocks, what, dir, seconds);
        if (!ours[i].ok || !bare[i].ok) {
            fprintf(stderr, "storage_bench: %s: %s: %s\n", what->name, ours[i].ok ? "bare" : "ours",
                    ours[i].ok ? bare[i].error : ours[i].error);
            return 1;
        }
    }
    print_row(what, ours, bare, reps);
    return 0;
}

int main(int argc, char **argv)
{
    static const struct option options[] = { { "seconds", required_argument, NULL, 's' },
                                             { "reps", required_argument, NULL, 'r' },
                                             { "dir", required_argument, NULL, 'd' },
                                             { "only", required_argument, NULL, 'o' },
                                             { NULL, 0, NULL, 0 } };
    double seconds = 3;
    int reps = 3, failed = 0, option;
    const char *dir = NULL, *only = "";
    char made[] = "/tmp/flotilla-bench-XXXXXX";
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 's')
            seconds = atof(optarg);
        else if (option == 'r')
            reps = atoi(optarg);
        else if (option == 'd')
            dir = optarg;
        else if (option == 'o')
            only = optarg;
        else
            return 2;
    }
    if (seconds <= 0 || reps < 1 || reps > REPS_MAX) {
        fprintf(stderr, "storage_bench: --seconds above 0, --reps from 1 to %d\n", REPS_MAX);
        return 2;
    }
    if (dir == NULL && (dir = mkdtemp(made)) == NULL) {
        perror("storage_bench: no temporary directory");
        return 1;
    }
    printf(
        "%d-byte keys, %d-byte values, %d keys overwritten at random; %g s, medians of %d pairs\n",
        BENCH_KEY, BENCH_VALUE, BENCH_KEYS, seconds, reps);
    printf("%-30s %9s %8s %8s %7s %6s %6s\n", "", "ops/s", "p50 us", "p99 us", "cpu us", "log/B",
           "MiB");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (strstr(cases[i].name, only) != NULL)
            failed |= run_case(&cases[i], dir, seconds, reps);
    puts(
        "p50, p99: of one call, an operation or a whole batch. cpu: of all threads, per operation, background work\n"
        "included. log/B: bytes of log per byte of key and value. MiB: peak memory of the process.");
    rmdir(dir);
    return failed;
}
