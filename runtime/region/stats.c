/* What the policies, the metrics and the console know about the regions, and the store's periodic
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

#define TICK_NS        (1000 * UINT64_C(1000000))
#define LENGTH_TOLD_NS (60000 * UINT64_C(1000000))
enum {
    ACCESSES_REMEMBERED = 100000,
    RATE_SECONDS = 60, /* time constant of the decayed means */
    FIRST_NAMESPACE = 1,
    FIRST_ROWS = 1000, /* of each key space: looked at once at open, for the mean size of a row */
    ROWS_MEAN = 1 << 20,
};

/* ---- The reservoir ------------------------------------------------------------------------ */

void region_stats_touch(struct region_store *rs, uint32_t ns, struct bytes key)
{
    if (rs->config.samples == 0)
        return;
    if (rs->sampled < ACCESSES_REMEMBERED)
        rs->sampled++;
    uint64_t slot = rs->sample_count < rs->config.samples ? rs->sample_count
                                                          : prng_below(&rs->prng, rs->sampled);
    if (slot >= rs->config.samples)
        return;
    if (slot == rs->sample_count)
        rs->sample_count++;
    struct region_sample *s = &rs->samples[slot];
    size_t len = key.len < REGION_SAMPLE_BYTES - 4 ? key.len : REGION_SAMPLE_BYTES - 4;
    store_u32_be(s->key, ns); /* a region's keys: namespace, then the user's */
    if (len > 0)
        memcpy(s->key + 4, key.data, len);
    s->len = (uint32_t)len + 4;
}

void region_stats_row(struct region_store *rs, size_t key, size_t value)
{
    if (rs->row_count >= ROWS_MEAN) { /* the mean follows what is seen now */
        rs->row_count /= 2;
        rs->row_bytes /= 2;
    }
    rs->row_count++;
    rs->row_bytes += key + value;
}

static int compare_samples(const void *a, const void *b)
{
    return bytes_compare(*(const struct bytes *)a, *(const struct bytes *)b);
}

size_t region_samples(struct region_store *rs, const struct bytes **keys)
{
    *keys = rs->sorted;
    if (rs->sample_count == 0)
        return 0;
    for (uint32_t i = 0; i < rs->sample_count; i++)
        rs->sorted[i] = bytes_from(rs->samples[i].key, rs->samples[i].len);
    qsort(rs->sorted, rs->sample_count, sizeof *rs->sorted, compare_samples);
    size_t n = 0;
    for (uint32_t i = 0; i < rs->sample_count; i++)
        if (n == 0 || !bytes_equal(rs->sorted[n - 1], rs->sorted[i]))
            rs->sorted[n++] = rs->sorted[i];
    return n;
}

/* ---- The tick ----------------------------------------------------------------------------- */

static void tend_run(struct env_job *job)
{
    struct region_store *rs = container_of(job, struct region_store, tend);
    struct err ignored = { 0 };
    rs->tend_rc = storage_tend(rs->store, &rs->tend_error);
    if (env_disk_free(rs->env, rs->config.path, &rs->tend_available, &rs->tend_total, &ignored) !=
        ERR_OK)
        rs->tend_total = 0;
    storage_stats(rs->store, &rs->tend_stats);
}

static void prepare_run(struct env_job *job)
{
    struct region_store *rs = container_of(job, struct region_store, prepare);
    rs->prepare_rc = storage_prepare(rs->store, &rs->prepare_error);
}

static void prepare_done(struct env_job *job)
{
    struct region_store *rs = container_of(job, struct region_store, prepare);
    rs->preparing = false;
    if (rs->prepare_rc != ERR_OK && rs->prepare_rc != ERR_DISK_FULL)
        region_fail(rs, rs->prepare_rc, &rs->prepare_error);
    rs->no_segment = rs->prepare_rc == ERR_DISK_FULL;
    if (rs->prepare_rc == ERR_OK || rs->prepare_rc == ERR_DISK_FULL)
        if (!rs->closing)
            env_timer_start(rs->env, &rs->tick, TICK_NS);
}

static void take_disk(struct region_store *rs)
{
    rs->stats.disk_available = rs->tend_available;
    rs->stats.disk_total = rs->tend_total;
    bool full = rs->tend_total > 0 &&
                rs->tend_available < rs->tend_total / 100 * rs->config.disk_reserve_percent;
    full = full || rs->no_segment;
    if (full && !rs->stats.disk_full)
        logger_warn(rs->log,
                    "the disk is nearly full: writes are refused, deletes and reads served",
                    logger_u64("available_bytes", rs->tend_available),
                    logger_u64("total_bytes", rs->tend_total));
    if (!full && rs->stats.disk_full)
        logger_info(rs->log, "the disk has room again: writes are served",
                    logger_u64("available_bytes", rs->tend_available));
    rs->stats.disk_full = full;
}

static double decay(double mean, uint64_t count, double seconds)
{
    double weight = seconds / (RATE_SECONDS + seconds);
    return mean + ((double)count / seconds - mean) * weight;
}

static void take_rates(struct region_store *rs)
{
    uint64_t now = env_now(rs->env);
    double seconds = (double)(now - rs->last_tick) / 1e9;
    if (seconds <= 0)
        return;
    rs->stats.reads_per_s = decay(rs->stats.reads_per_s, rs->stats.reads - rs->last_reads, seconds);
    rs->stats.writes_per_s =
        decay(rs->stats.writes_per_s, rs->stats.writes - rs->last_writes, seconds);
    rs->last_reads = rs->stats.reads;
    rs->last_writes = rs->stats.writes;
    rs->last_tick = now;
}

static void take_size(struct region_store *rs)
{
    rs->stats.storage = rs->tend_stats;
    /* A memtable takes megabytes from its first row on: what was written into it is the better
     * estimate while that is less. */
    const struct engine_stats *engine = &rs->tend_stats.engine;
    uint64_t tables = engine->approximate_bytes > engine->memtable_bytes
                          ? engine->approximate_bytes - engine->memtable_bytes
                          : 0;
    rs->stats.approx_bytes =
        tables +
        (rs->written_bytes < engine->memtable_bytes ? rs->written_bytes : engine->memtable_bytes);
    uint64_t mean = rs->row_count > 0 ? rs->row_bytes / rs->row_count : 0;
    rs->stats.approx_keys = mean > 0 ? rs->stats.approx_bytes / mean : 0;
}

/* ---- The log, shorter --------------------------------------------------------------------- */

/* What every member has, as the leader knows it; others are told with its messages. */
static void find_held(struct region *r)
{
    struct raft_status s;
    raft_index least = UINT64_MAX;
    if (r->role != RAFT_LEADER)
        return;
    raft_status(r->raft, &s);
    for (unsigned i = 0; i < s.conf.n; i++)
        if (s.conf.id[i] != r->peer && s.peers[i].match < least)
            least = s.peers[i].match;
    if (least > r->held)
        r->held = least;
}

/* Lets go of entries that are applied durably and that every member has: any of us may have to lead, and there are no
 * snapshots to send to who is behind. So a member that is away holds the log; the disk's reserve is the limit. */
static void release(struct region *r)
{
    struct region_store *rs = r->rs;
    raft_index index = storage_durable(rs->store, r->meta.id);
    raft_term term;
    if (r->held < index)
        index = r->held;
    if (index == 0 || !raft_term_of(r->raft, index, &term) ||
        raft_compacted(r->raft, index) != ERR_OK)
        return;
    storage_release(rs->store, r->meta.id, index, term);
}

static void warn_of_length(struct region_store *rs)
{
    uint64_t holder = 0, now = env_now(rs->env);
    if (!storage_log_is_long(rs->store, &holder) || now < rs->length_told)
        return;
    rs->length_told = now + LENGTH_TOLD_NS;
    logger_warn(rs->log, "the log is long: a store that is away or behind still needs its entries",
                logger_u64("segments", rs->tend_stats.segments), logger_u64("region", holder));
}

static void shorten_logs(struct region_store *rs)
{
    uint64_t cached = 0;
    warn_of_length(rs);
    list_for_each(node, &rs->regions) {
        struct region *r = container_of(node, struct region, node);
        find_held(r);
        release(r);
        region_window_trim(r);
        cached += r->entries.bytes;
    }
    rs->stats.cache_bytes = cached;
}

static void tend_done(struct env_job *job)
{
    struct region_store *rs = container_of(job, struct region_store, tend);
    if (rs->tend_rc != ERR_OK) {
        region_fail(rs, rs->tend_rc, &rs->tend_error);
        return;
    }
    take_disk(rs);
    take_rates(rs);
    take_size(rs);
    if (rs->closing)
        return;
    shorten_logs(rs);
    rs->preparing = true;
    env_work(rs->bulk_lane, &rs->prepare);
}

static void tick_fire(struct env_timer *timer)
{
    struct region_store *rs = container_of(timer, struct region_store, tick);
    env_work(rs->log_lane, &rs->tend);
}

/* ---- Opening ------------------------------------------------------------------------------ */

static err_t first_row(void *user, struct bytes key, uint64_t version, struct bytes value)
{
    struct region_store *rs = user;
    (void)version;
    region_stats_touch(rs, FIRST_NAMESPACE, key);
    region_stats_row(rs, key.len, value.len);
    return ERR_OK;
}

err_t region_stats_open(struct region_store *rs, struct err *e)
{
    prng_seed(&rs->prng, env_random_u64(rs->env));
    if (rs->config.samples > 0) {
        rs->samples = calloc(rs->config.samples, sizeof *rs->samples);
        rs->sorted = calloc(rs->config.samples, sizeof *rs->sorted);
        if (rs->samples == NULL || rs->sorted == NULL)
            return err_set(e, ERR_NOMEM, "no memory for %u samples", rs->config.samples);
    }
    for (int cas = 0; cas < 2; cas++) {
        struct storage_scan first = {
            .cas = cas, .ns = FIRST_NAMESPACE, .limit = FIRST_ROWS, .limit_bytes = 1 << 20
        };
        bool more;
        struct buf next = { 0 };
        err_t rc = storage_scan(rs->store, &first, first_row, rs, &more, &next, e);
        buf_free(&next);
        if (rc != ERR_OK)
            return rc;
    }
    rs->tend = (struct env_job){ .run = tend_run, .done = tend_done };
    rs->prepare = (struct env_job){ .run = prepare_run, .done = prepare_done };
    rs->tick.fire = tick_fire;
    rs->last_tick = env_now(rs->env);
    storage_stats(rs->store, &rs->tend_stats);
    take_size(rs);
    env_timer_start(rs->env, &rs->tick, 0);
    return ERR_OK;
}

void region_stats_stop(struct region_store *rs)
{
    env_timer_stop(rs->env, &rs->tick);
}

void region_stats_close(struct region_store *rs)
{
    free(rs->samples);
    free(rs->sorted);
    rs->samples = NULL;
    rs->sorted = NULL;
}

const struct region_stats *region_stats(const struct region_store *rs)
{
    return &rs->stats;
}
