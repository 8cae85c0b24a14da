/* Reads: a proof that we led when they came, then what was committed then is applied, then memory, else the READ lane.
 *
 *   region_get --lease, applied--> memory --miss--> READ lane --> done
 *       |                             ^
 *       |--lease--> waiting (index) --+      until the index is applied
 *       '---------> asked (round) ----'      one round of ReadIndex for all reads of a turn (thesis 6.4)
 *
 * The commit index that counts is the one of the read's arrival: whoever was told that a write is done was told by us,
 * after it was applied. A lease replaces the round alone, never the wait (traps D36, D37). */
#include "region_int.h"

#include "base/container.h"

/* ---- Checks ------------------------------------------------------------------------------- */

static err_t check(struct region_store *rs, uint64_t deadline, uint32_t *backoff_ms, struct err *e)
{
    e->code = ERR_OK;
    e->msg[0] = 0;
    *backoff_ms = 0;
    if (rs->stats.latched)
        return err_set(e, ERR_UNAVAILABLE, "the store has failed and the node is about to exit");
    if (rs->closing)
        return err_set(e, ERR_UNAVAILABLE, "the node is stopping: try another, or wait");
    if (rs->clock_suspect)
        return err_set(e, ERR_UNAVAILABLE,
                       "the clock of this machine has jumped ahead: try another node");
    if (rs->stats.reads_waiting >= rs->config.reads_max) {
        rs->stats.refused_busy++;
        *backoff_ms = rs->config.busy_backoff_ms;
        return err_set(e, ERR_SERVER_IS_BUSY, "region.reads_max is reached: try again in %u ms",
                       *backoff_ms);
    }
    if (deadline <= env_now(rs->env)) {
        rs->stats.expired++;
        return err_set(e, ERR_DEADLINE_EXCEEDED, "the deadline passed before the read was begun");
    }
    return ERR_OK;
}

static err_t check_leads(const struct region *r, struct region_hint *hint, struct err *e)
{
    if (r->broken_told)
        return err_set(e, ERR_UNAVAILABLE, "this replica has stopped: ask another one");
    return r->role == RAFT_LEADER || region_is_alone(r) ? ERR_OK : region_not_leader(r, hint, e);
}

/* ---- Waiting ------------------------------------------------------------------------------ */

static void go(struct region_wait *w, err_t rc)
{
    w->region->rs->stats.reads_waiting--;
    list_remove(&w->node);
    w->go(w, rc);
}

/* A lease that is valid now, not as of the last tick. Alone, nobody else can lead. */
static bool has_lease(struct region *r)
{
    if (r->role != RAFT_LEADER)
        return false;
    if (region_is_alone(r))
        return r->led_term != 0;
    region_catch_up(r);
    return raft_lease_valid(r->raft);
}

/* Goes on when it may be served: at once (true), or later. */
static bool wait_for(struct region *r, struct region_wait *w, uint64_t deadline,
                     void (*then)(struct region_wait *w, err_t rc))
{
    *w = (struct region_wait){ .region = r, .deadline = deadline, .go = then };
    list_init(&w->node);
    if (has_lease(r)) {
        w->index = raft_commit(r->raft); /* not as of the last Ready: the proof is of now */
        if (w->index <= r->applied)
            return true;
        list_push_back(&r->waiting, &w->node);
    } else {
        list_push_back(&r->asked, &w->node);
        region_touch(r);
    }
    r->rs->stats.reads_waiting++;
    return false;
}

void region_read_ask(struct region *r)
{
    if (list_empty(&r->asked) || r->role != RAFT_LEADER)
        return;
    struct region_wait *newest = container_of(r->asked.prev, struct region_wait, node);
    if (newest->round != 0 || raft_read_index(r->raft, r->round + 1) != ERR_OK)
        return; /* all are on their way; or the next turn asks again */
    r->round++;
    for (struct list *node = r->asked.prev; node != &r->asked; node = node->prev) {
        struct region_wait *w = container_of(node, struct region_wait, node);
        if (w->round != 0)
            break;
        w->round = r->round;
    }
}

/* Indexes grow from round to round, so `waiting` stays in their order; but those with a lease came between. */
static void await_applied(struct region *r, struct region_wait *w)
{
    struct list *at = &r->waiting;
    while (at->prev != &r->waiting &&
           container_of(at->prev, struct region_wait, node)->index > w->index)
        at = at->prev;
    list_remove(&w->node);
    list_push_back(at, &w->node);
}

void region_read_confirmed(struct region *r, const struct raft_read *read)
{
    while (!list_empty(&r->asked)) {
        struct region_wait *w = container_of(r->asked.next, struct region_wait, node);
        if (w->round == 0 || w->round > read->ctx)
            break;
        w->index = read->index;
        await_applied(r, w);
    }
    region_read_applied(r);
}

void region_read_applied(struct region *r)
{
    while (!list_empty(&r->waiting)) {
        struct region_wait *w = container_of(r->waiting.next, struct region_wait, node);
        if (w->index > r->applied)
            return;
        go(w, ERR_OK);
    }
}

void region_read_deposed(struct region *r)
{
    struct list asked;
    list_init(&asked);
    if (!region_is_alone(r))
        list_splice(&asked, &r->asked);
    while (!list_empty(&asked))
        go(container_of(asked.next, struct region_wait, node), ERR_NOT_LEADER);
    list_for_each(node, &r->asked)
        container_of(node, struct region_wait, node)->round =
            0; /* alone: it will lead, and is asked again */
}

static void expire(struct list *waits, uint64_t now)
{
    list_for_each_safe(node, waits) {
        struct region_wait *w = container_of(node, struct region_wait, node);
        if (w->deadline <= now)
            go(w, ERR_DEADLINE_EXCEEDED);
    }
}

void region_read_expire(struct region *r, uint64_t now)
{
    expire(&r->asked, now);
    expire(&r->waiting, now);
}

void region_read_end(struct region *r, err_t rc)
{
    while (!list_empty(&r->asked))
        go(container_of(r->asked.next, struct region_wait, node), rc);
    while (!list_empty(&r->waiting))
        go(container_of(r->waiting.next, struct region_wait, node), rc);
}

static err_t explain(const struct region_wait *w, err_t rc, struct region_hint *hint, struct err *e)
{
    if (rc == ERR_NOT_LEADER)
        return region_not_leader(w->region, hint, e);
    if (rc == ERR_DEADLINE_EXCEEDED)
        return err_set(e, rc,
                       "the deadline passed while the read waited for a quorum, or for apply");
    return err_set(e, rc, "the node is stopping, or its store has failed: ask another one");
}

/* ---- Gets --------------------------------------------------------------------------------- */

static void get_end(struct region_store *rs, struct region_read *q, err_t rc)
{
    q->rc = rc;
    rs->stats.reads++;
    region_stats_touch(rs, q->ns, q->key);
    if (rc == ERR_OK)
        region_stats_row(rs, q->key.len, q->value->len);
    q->done(q);
}

static void get_run(struct env_job *job)
{
    struct region_read *q = container_of(job, struct region_read, job);
    struct region_store *rs = q->wait.region->rs;
    if (q->deadline <= env_now(rs->env))
        q->rc = err_set(&q->error, ERR_DEADLINE_EXCEEDED, "the deadline passed in the queue");
    else
        q->rc =
            storage_read(rs->store, q->cas, q->ns, q->key, false, &q->version, q->value, &q->error);
}

static void get_done(struct env_job *job)
{
    struct region_read *q = container_of(job, struct region_read, job);
    struct region_store *rs = q->wait.region->rs;
    rs->stats.reads_waiting--;
    get_end(rs, q, q->rc);
}

/* It may be served now. */
static void get_start(struct region_store *rs, struct region_read *q)
{
    err_t rc =
        storage_read(rs->store, q->cas, q->ns, q->key, true, &q->version, q->value, &q->error);
    if (rc != ERR_UNAVAILABLE) {
        rs->stats.reads_cached++;
        get_end(rs, q, rc);
        return;
    }
    rs->stats.reads_lane++;
    rs->stats.reads_waiting++;
    q->error.code = ERR_OK;
    q->error.msg[0] = 0;
    q->job = (struct env_job){ .run = get_run, .done = get_done };
    env_work(rs->read_lane, &q->job);
}

static void get_go(struct region_wait *w, err_t rc)
{
    struct region_read *q = container_of(w, struct region_read, wait);
    if (rc == ERR_OK) {
        get_start(w->region->rs, q);
        return;
    }
    q->rc = explain(w, rc, &q->hint, &q->error);
    q->done(q);
}

void region_get(struct region_store *rs, struct region_read *q)
{
    struct region *r = NULL;
    q->version = 0;
    q->hint = (struct region_hint){ 0 };
    err_t rc = check(rs, q->deadline, &q->backoff_ms, &q->error);
    if (rc == ERR_OK)
        rc = region_route(rs, &q->context, q->ns, q->key, &r, &q->error);
    if (rc == ERR_OK)
        rc = check_leads(r, &q->hint, &q->error);
    if (rc != ERR_OK) {
        q->rc = rc;
        q->done(q);
        return;
    }
    if (wait_for(r, &q->wait, q->deadline, get_go))
        get_start(rs, q);
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
    struct region_store *rs = s->wait.region->rs;
    if (s->deadline <= env_now(rs->env))
        s->rc = err_set(&s->error, ERR_DEADLINE_EXCEEDED, "the deadline passed in the queue");
    else
        s->rc = storage_scan(rs->store, &s->args, scan_row, s, &s->more, &s->next, &s->error);
}

static void scan_done(struct env_job *job)
{
    struct region_scan *s = container_of(job, struct region_scan, job);
    struct region_store *rs = s->wait.region->rs;
    rs->stats.reads_waiting--;
    rs->stats.reads += s->rows;
    if (s->rows > 0) {
        rs->row_count += s->rows;
        rs->row_bytes += s->row_bytes;
    }
    s->done(s);
}

static void scan_start(struct region_store *rs, struct region_scan *s)
{
    rs->stats.reads_lane++;
    rs->stats.reads_waiting++;
    s->job = (struct env_job){ .run = scan_run, .done = scan_done };
    env_work(rs->read_lane, &s->job);
}

static void scan_go(struct region_wait *w, err_t rc)
{
    struct region_scan *s = container_of(w, struct region_scan, wait);
    if (rc == ERR_OK) {
        scan_start(w->region->rs, s);
        return;
    }
    s->rc = explain(w, rc, &s->hint, &s->error);
    s->done(s);
}

void region_scan(struct region_store *rs, struct region_scan *s)
{
    struct region *r = NULL;
    s->more = false;
    s->rows = 0;
    s->row_bytes = 0;
    s->hint = (struct region_hint){ 0 };
    err_t rc = check(rs, s->deadline, &s->backoff_ms, &s->error);
    if (rc == ERR_OK)
        rc = region_route(rs, &s->context, s->args.ns, s->args.start, &r, &s->error);
    if (rc == ERR_OK)
        rc = check_leads(r, &s->hint, &s->error);
    if (rc != ERR_OK) {
        s->rc = rc;
        s->done(s);
        return;
    }
    if (wait_for(r, &s->wait, s->deadline, scan_go))
        scan_start(rs, s);
}

/* ---- Barriers ----------------------------------------------------------------------------- */

static void barrier_end(struct region_barrier *b)
{
    b->rc = ERR_OK;
    b->term = b->wait.region->hs.term;
    b->done(b);
}

static void barrier_go(struct region_wait *w, err_t rc)
{
    struct region_barrier *b = container_of(w, struct region_barrier, wait);
    if (rc == ERR_OK) {
        barrier_end(b);
        return;
    }
    b->rc = explain(w, rc, &b->hint, &b->error);
    b->done(b);
}

void region_barrier(struct region_store *rs, struct region_barrier *b)
{
    struct region *r = NULL;
    b->hint = (struct region_hint){ 0 };
    err_t rc = check(rs, b->deadline, &b->backoff_ms, &b->error);
    if (rc == ERR_OK) {
        r = region_find(rs, b->region_id);
        rc = r == NULL ? err_set(&b->error, ERR_REGION_NOT_FOUND, "region %llu is not here",
                                 (unsigned long long)b->region_id)
                       : check_leads(r, &b->hint, &b->error);
    }
    if (rc != ERR_OK) {
        b->rc = rc;
        b->done(b);
        return;
    }
    if (wait_for(r, &b->wait, b->deadline, barrier_go))
        barrier_end(b);
}
