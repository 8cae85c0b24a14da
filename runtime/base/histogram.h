/* How long things took: counts in buckets whose bounds double, as Prometheus wants them.
 *
 *   bucket 0   up to 1    bucket 1   up to 2    bucket 2   up to 4  ...  the last: everything above
 *
 * One owner; copying it is a snapshot. Whoever fills it chooses the unit (microseconds, mostly). */
#pragma once

#include <stdint.h>

enum { HISTOGRAM_BUCKETS = 26 };

struct histogram {
    uint64_t count, sum;
    uint64_t buckets[HISTOGRAM_BUCKETS]; /* each by itself, not cumulated */
};

void histogram_add(struct histogram *h, uint64_t value);
/* The upper bound of a bucket, included; UINT64_MAX for the last. */
uint64_t histogram_bound(unsigned bucket);
/* An upper estimate of the value below which `percent` of the values lie (0 to 100): the bound of
 * its bucket. 0 if empty. */
uint64_t histogram_percentile(const struct histogram *h, double percent);
