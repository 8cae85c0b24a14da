/* What the policies, the metrics and the console know about the region, and the store's periodic
 * work.
 *
 *   every second   LOG lane: storage_tend, free space of the disk, facts of store and engine
 *                  BULK lane: log segments are zero-filled ahead
 *                  loop: rates decay, DISK_FULL is set or lifted
 *   every access   a reservoir of keys: each of the last ACCESSES_REMEMBERED or so accesses is
 *                  equally likely to be in it (Vitter's algorithm R with a bounded count) */
#include "region_int.h"

#include <stdlib.h>

#include "base/codec.h"
#include "base/container.h"

#define TICK_NS (1000 * UINT64_C(1000000))
enum {
    ACCESSES_REMEMBERED = 100000,
    RATE_SECONDS = 60, /* time constant of the decayed means */
    FIRST_NAMESPACE = 1,
    FIRST_ROWS = 1000, /* of each key space: looked at once at open, for the mean size of a row */
    ROWS_MEAN = 1 << 20,
};

/* ---- The reservoir ------------------------------------------------------------------------ */

void region_stats_touch(struct region *r, uint32_t ns, struct bytes key)
{
    if (r->config.samples == 0)
        return;
    if (r->sampled < ACCESSES_REMEMBERED)
        r->sampled++;
    uint64_t slot =
        r->sample_count < r->config.samples ? r->sample_count : prng_below(&r->prng, r->sampled);
    if (slot >= r->config.samples)
        return;
    if (slot == r->sample_count)
        r->sample_count++;
    struct region_sample *s = &r->samples[slot];
    size_t len = key.len < REGION_SAMPLE_BYTES - 4 ? key.len : REGION_SAMPLE_BYTES - 4;
    store_u32_be(s->key, ns); /* a region's keys: namespace, then the user's */
    if (len > 0)
        memcpy(s->key + 4, key.data, len);
    s->len = (uint32_t)len + 4;
}

void region_stats_row(struct region *r, size_t key, size_t value)
{
    if (r->row_count >= ROWS_MEAN) { /* the mean follows what is seen now */
        r->row_count /= 2;
        r->row_bytes /= 2;
    }
    r->row_count++;
    r->row_bytes += key + value;
}

static int compare_samples(const void *a, const void *b)
{
    return bytes_compare(*(const struct bytes *)a, *(const struct bytes *)b);
}

size_t region_samples(struct region *r, const struct bytes **keys)
{
    *keys = r->sorted;
    if (r->sample_count == 0)
        return 0;
    for (uint32_t i = 0; i < r->sample_count; i++)
        r->sorted[i] = bytes_from(r->samples[i].key, r->samples[i].len);
    qsort(r->sorted, r->sample_count, sizeof *r->sorted, compare_samples);
    size_t n = 0;
    for (uint32_t i = 0; i < r->sample_count; i++)
        if (n == 0 || !bytes_equal(r->sorted[n - 1], r->sorted[i]))
            r->sorted[n++] = r->sorted[i];
    return n;
}

/* ---- The tick ----------------------------------------------------------------------------- */

static void tend_run(struct env_job *job)
{
    struct region *r = container_of(job, struct region, tend);
    struct err ignored = { 0 };
    r->tend_rc = storage_tend(r->store, &r->tend_error);
    if (env_disk_free(r->env, r->config.path, &r->tend_available, &r->tend_total, &ignored) !=
        ERR_OK)
        r->tend_total = 0;
    storage_stats(r->store, &r->tend_stats);
}

static void prepare_run(struct env_job *job)
{
    struct region *r = container_of(job, struct region, prepare);
    r->prepare_rc = storage_prepare(r->store, &r->prepare_error);
}

static void prepare_done(struct env_job *job)
{
    struct region *r = container_of(job, struct region, prepare);
    r->preparing = false;
    if (r->prepare_rc != ERR_OK && r->prepare_rc != ERR_DISK_FULL)
        region_fail(r, r->prepare_rc, &r->prepare_error);
    else if (!r->closing)
        env_timer_start(r->env, &r->tick, TICK_NS);
}

static void take_disk(struct region *r)
{
    r->stats.disk_available = r->tend_available;
    r->stats.disk_total = r->tend_total;
    bool full = r->tend_total > 0 &&
                r->tend_available < r->tend_total / 100 * r->config.disk_reserve_percent;
    if (full && !r->stats.disk_full)
        logger_warn(r->log, "the disk is nearly full: writes are refused, deletes and reads served",
                    logger_u64("available_bytes", r->tend_available),
                    logger_u64("total_bytes", r->tend_total));
    if (!full && r->stats.disk_full)
        logger_info(r->log, "the disk has room again: writes are served",
                    logger_u64("available_bytes", r->tend_available));
    r->stats.disk_full = full;
}

static double decay(double mean, uint64_t count, double seconds)
{
    double weight = seconds / (RATE_SECONDS + seconds);
    return mean + ((double)count / seconds - mean) * weight;
}

static void take_rates(struct region *r)
{
    uint64_t now = env_now(r->env);
    double seconds = (double)(now - r->last_tick) / 1e9;
    if (seconds <= 0)
        return;
    r->stats.reads_per_s = decay(r->stats.reads_per_s, r->stats.reads - r->last_reads, seconds);
    r->stats.writes_per_s = decay(r->stats.writes_per_s, r->stats.writes - r->last_writes, seconds);
    r->last_reads = r->stats.reads;
    r->last_writes = r->stats.writes;
    r->last_tick = now;
}

static void take_size(struct region *r)
{
    r->stats.storage = r->tend_stats;
    /* A memtable takes megabytes from its first row on: what was written into it is the better
     * estimate while that is less. */
    const struct engine_stats *engine = &r->tend_stats.engine;
    uint64_t tables = engine->approximate_bytes > engine->memtable_bytes
                          ? engine->approximate_bytes - engine->memtable_bytes
                          : 0;
    r->stats.approx_bytes =
        tables +
        (r->written_bytes < engine->memtable_bytes ? r->written_bytes : engine->memtable_bytes);
    uint64_t mean = r->row_count > 0 ? r->row_bytes / r->row_count : 0;
    r->stats.approx_keys = mean > 0 ? r->stats.approx_bytes / mean : 0;
}

static void tend_done(struct env_job *job)
{
    struct region *r = container_of(job, struct region, tend);
    if (r->tend_rc != ERR_OK) {
        region_fail(r, r->tend_rc, &r->tend_error);
        return;
    }
    take_disk(r);
    take_rates(r);
    take_size(r);
    if (r->closing)
        return;
    r->preparing = true;
    env_work(r->bulk_lane, &r->prepare);
}

static void tick_fire(struct env_timer *timer)
{
    struct region *r = container_of(timer, struct region, tick);
    env_work(r->log_lane, &r->tend);
}

/* ---- Opening ------------------------------------------------------------------------------ */

static err_t first_row(void *user, struct bytes key, uint64_t version, struct bytes value)
{
    struct region *r = user;
    (void)version;
    region_stats_touch(r, FIRST_NAMESPACE, key);
    region_stats_row(r, key.len, value.len);
    return ERR_OK;
}

err_t region_stats_open(struct region *r, struct err *e)
{
    prng_seed(&r->prng, env_random_u64(r->env));
    if (r->config.samples > 0) {
        r->samples = calloc(r->config.samples, sizeof *r->samples);
        r->sorted = calloc(r->config.samples, sizeof *r->sorted);
        if (r->samples == NULL || r->sorted == NULL)
            return err_set(e, ERR_NOMEM, "no memory for %u samples", r->config.samples);
    }
    for (int cas = 0; cas < 2; cas++) {
        struct storage_scan first = {
            .cas = cas, .ns = FIRST_NAMESPACE, .limit = FIRST_ROWS, .limit_bytes = 1 << 20
        };
        bool more;
        struct buf next = { 0 };
        err_t rc = storage_scan(r->store, &first, first_row, r, &more, &next, e);
        buf_free(&next);
        if (rc != ERR_OK)
            return rc;
    }
    r->tend = (struct env_job){ .run = tend_run, .done = tend_done };
    r->prepare = (struct env_job){ .run = prepare_run, .done = prepare_done };
    r->tick.fire = tick_fire;
    r->last_tick = env_now(r->env);
    storage_stats(r->store, &r->tend_stats);
    if (r->tend_stats.replayed > 0)
        r->written_bytes = r->tend_stats.engine.memtable_bytes; /* by the run before */
    take_size(r);
    r->stats.committed = r->stats.applied = r->tend_stats.applied;
    env_timer_start(r->env, &r->tick, 0);
    return ERR_OK;
}

void region_stats_stop(struct region *r)
{
    env_timer_stop(r->env, &r->tick);
}

void region_stats_close(struct region *r)
{
    free(r->samples);
    free(r->sorted);
    r->samples = NULL;
    r->sorted = NULL;
}

const struct region_stats *region_stats(const struct region *r)
{
    return &r->stats;
}
