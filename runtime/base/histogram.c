#include "base/histogram.h"

uint64_t histogram_bound(unsigned bucket)
{
    return bucket >= HISTOGRAM_BUCKETS - 1 ? UINT64_MAX : (uint64_t)1 << bucket;
}

void histogram_add(struct histogram *h, uint64_t value)
{
    /* the least b with value <= 2^b */
    unsigned b = value <= 1 ? 0 : 64 - (unsigned)__builtin_clzll(value - 1);
    h->buckets[b < HISTOGRAM_BUCKETS ? b : HISTOGRAM_BUCKETS - 1]++;
    h->count++;
    h->sum += value;
}

uint64_t histogram_percentile(const struct histogram *h, double percent)
{
    if (h->count == 0)
        return 0;
    double want = (double)h->count * percent / 100;
    uint64_t seen = 0;
    for (unsigned b = 0; b < HISTOGRAM_BUCKETS; b++) {
        seen += h->buckets[b];
        if (h->buckets[b] != 0 && (double)seen >= want)
            return histogram_bound(b);
    }
    return histogram_bound(HISTOGRAM_BUCKETS - 1);
}
