/* Reads: from memory on the loop thread, else in the READ lane; never before what was committed at
 * their arrival is applied.
 *
 *   region_get --> waiting (commit > applied) --> memory --miss--> READ lane --> done */
#include "region_int.h"

#include "base/container.h"

static err_t read_check(struct region *r, const struct region_context *context, uint64_t deadline,
                        uint32_t *backoff_ms, struct err *e)
{
    e->code = ERR_OK;
    e->msg[0] = 0;
    *backoff_ms = 0;
    if (r->stats.latched)
        return err_set(e, ERR_UNAVAILABLE, "the store has failed and the node is about to exit");
    if (r->closing)
        return err_set(e, ERR_UNAVAILABLE, "the node is stopping: try another, or wait");
    if (r->stats.reads_waiting >= r->config.reads_max) {
        r->stats.refused_busy++;
        *backoff_ms = r->config.busy_backoff_ms;
        return err_set(e, ERR_SERVER_IS_BUSY, "region.reads_max is reached: try again in %u ms",
                       *backoff_ms);
    }
    if (deadline <= env_now(r->env)) {
        r->stats.expired++;
        return err_set(e, ERR_DEADLINE_EXCEEDED, "the deadline passed before the read was begun");
    }
    return region_check_context(r, context, e);
}

static void get_end(struct region *r, struct region_read *q, err_t rc)
{
    q->rc = rc;
    r->stats.reads++;
    region_stats_touch(r, q->ns, q->key);
    if (rc == ERR_OK)
        region_stats_row(r, q->key.len, q->value->len);
    q->done(q);
}

static void get_run(struct env_job *job)
{
    struct region_read *q = container_of(job, struct region_read, job);
    if (q->deadline <= env_now(q->region->env))
        q->rc = err_set(&q->error, ERR_DEADLINE_EXCEEDED, "the deadline passed in the queue");
    else
        q->rc = storage_read(q->region->store, q->cas, q->ns, q->key, false, &q->version, q->value,
                             &q->error);
}

static void get_done(struct env_job *job)
{
    struct region_read *q = container_of(job, struct region_read, job);
    q->region->stats.reads_waiting--;
    get_end(q->region, q, q->rc);
}

/* The index that the read asked for is applied. `waited`: it is counted in reads_waiting. */
static void get_start(struct region *r, struct region_read *q, bool waited)
{
    err_t rc =
        storage_read(r->store, q->cas, q->ns, q->key, true, &q->version, q->value, &q->error);
    if (rc != ERR_UNAVAILABLE) {
        r->stats.reads_cached++;
        r->stats.reads_waiting -= waited;
        get_end(r, q, rc);
        return;
    }
    r->stats.reads_lane++;
    r->stats.reads_waiting += !waited;
    q->error.code = ERR_OK;
    q->error.msg[0] = 0;
    q->job = (struct env_job){ .run = get_run, .done = get_done };
    env_work(r->read_lane, &q->job);
}

void region_get(struct region *r, struct region_read *q)
{
    list_init(&q->node);
    q->region = r;
    q->version = 0;
    err_t rc = read_check(r, &q->context, q->deadline, &q->backoff_ms, &q->error);
    if (rc != ERR_OK) {
        q->rc = rc;
        q->done(q);
        return;
    }
    q->wait = r->stats.committed;
    if (q->wait > r->stats.applied) {
        r->stats.reads_waiting++;
        list_push_back(&r->waiting, &q->node);
        return;
    }
    get_start(r, q, false);
}

/* ---- Scans -------------------------------------------------------------------------------- */

static err_t scan_row(void *user, struct bytes key, uint64_t version, struct bytes value)
{
    struct region_scan *s = user;
    s->rows++;
    s->row_bytes += key.len + value.len;
    return s->row(s->user, key, version, value);
}

static void scan_run(struct env_job *job)
{
    struct region_scan *s = container_of(job, struct region_scan, job);
    if (s->deadline <= env_now(s->region->env))
        s->rc = err_set(&s->error, ERR_DEADLINE_EXCEEDED, "the deadline passed in the queue");
    else
        s->rc =
            storage_scan(s->region->store, &s->args, scan_row, s, &s->more, &s->next, &s->error);
}

static void scan_done(struct env_job *job)
{
    struct region_scan *s = container_of(job, struct region_scan, job);
    struct region *r = s->region;
    r->stats.reads_waiting--;
    r->stats.reads += s->rows;
    if (s->rows > 0) {
        r->row_count += s->rows;
        r->row_bytes += s->row_bytes;
    }
    s->done(s);
}

static void scan_start(struct region *r, struct region_scan *s)
{
    r->stats.reads_lane++;
    s->job = (struct env_job){ .run = scan_run, .done = scan_done };
    env_work(r->read_lane, &s->job);
}

void region_scan(struct region *r, struct region_scan *s)
{
    list_init(&s->node);
    s->region = r;
    s->more = false;
    s->rows = 0;
    s->row_bytes = 0;
    err_t rc = read_check(r, &s->context, s->deadline, &s->backoff_ms, &s->error);
    if (rc != ERR_OK) {
        s->rc = rc;
        s->done(s);
        return;
    }
    s->wait = r->stats.committed;
    r->stats.reads_waiting++;
    if (s->wait > r->stats.applied)
        list_push_back(&r->waiting_scans, &s->node);
    else
        scan_start(r, s);
}

/* ---- Waiting ------------------------------------------------------------------------------ */

void region_read_applied(struct region *r)
{
    while (!list_empty(&r->waiting)) {
        struct region_read *q = container_of(r->waiting.next, struct region_read, node);
        if (q->wait > r->stats.applied)
            break; /* indexes were taken in order: those behind wait for more */
        list_remove(&q->node);
        get_start(r, q, true);
    }
    while (!list_empty(&r->waiting_scans)) {
        struct region_scan *s = container_of(r->waiting_scans.next, struct region_scan, node);
        if (s->wait > r->stats.applied)
            break;
        list_remove(&s->node);
        scan_start(r, s);
    }
}

void region_read_fail(struct region *r)
{
    static const char why[] = "the store has failed and the node is about to exit";
    while (!list_empty(&r->waiting)) {
        struct region_read *q = container_of(list_pop_front(&r->waiting), struct region_read, node);
        r->stats.reads_waiting--;
        q->rc = err_set(&q->error, ERR_UNAVAILABLE, "%s", why);
        q->done(q);
    }
    while (!list_empty(&r->waiting_scans)) {
        struct region_scan *s =
            container_of(list_pop_front(&r->waiting_scans), struct region_scan, node);
        r->stats.reads_waiting--;
        s->rc = err_set(&s->error, ERR_UNAVAILABLE, "%s", why);
        s->done(s);
    }
}
