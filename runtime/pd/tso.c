#include "pd/tso.h"

#include <assert.h>
#include <stdlib.h>

#include "base/codec.h"
#include "base/container.h"
#include "base/pb.h"
#include "base/tso.h"

#define SAVE_NS UINT64_C(5000000000) /* for a window, or for a proof that we lead */

struct pd_tso {
    struct env *env;
    struct logger *log;
    struct storage *store;
    struct region_store *regions;
    struct pd_tso_config config;

    struct tso tso;
    raft_term term;      /* in which `tso` was started; 0: not yet */
    struct list waiting; /* struct pd_tso_request: nobody has proved for them yet that we lead */
    struct list asking;  /* somebody is doing so */
    struct region_barrier barrier;
    bool proving; /* it is under way */

    struct region_write save;
    struct command command;
    struct buf body;
    struct bytes body_bytes;
    uint64_t saving_ms; /* the window that is being saved; 0: none */
    bool stuck;         /* nobody gets a stamp before that */
    uint64_t renewed;   /* stamps given when a window was last asked for ahead of need */
    struct env_timer timer;
    struct pd_tso_stats stats;
    bool closing;
};

static void serve(struct pd_tso *t);
static void prove(struct pd_tso *t);

/* ---- Answers ------------------------------------------------------------------------------ */

static void request_end(struct pd_tso *t, struct pd_tso_request *q, err_t rc)
{
    list_remove(&q->node);
    t->stats.waiting--;
    q->rc = rc;
    q->done(q);
}

/* What stood between a request and its stamps: nothing was given, so it may be asked again anywhere. */
static void refuse(struct pd_tso *t, struct list *requests, err_t rc,
                   const struct region_hint *hint, const char *why)
{
    struct list all;
    list_init(&all);
    list_splice(&all, requests);
    while (!list_empty(&all)) {
        struct pd_tso_request *q = container_of(all.next, struct pd_tso_request, node);
        q->hint = hint != NULL ? *hint : (struct region_hint){ 0 };
        request_end(t, q, err_set(&q->error, rc, "%s", why));
    }
}

/* ---- The window --------------------------------------------------------------------------- */

static void saved(struct region_write *w)
{
    struct pd_tso *t = container_of(w, struct pd_tso, save);
    uint64_t window_ms = t->saving_ms;
    t->saving_ms = 0;
    t->stuck = false;
    err_t rc = w->rc;
    if (rc == ERR_OK && region_write_result(w, 0)->rc == ERR_OK) {
        tso_window_saved(&t->tso, window_ms);
        t->stats.windows++;
        t->stats.window_ms = window_ms;
    } else {
        t->term = 0; /* another leader has saved one, or may have: what we knew is worth nothing */
        if (rc !=
            ERR_OK) { /* perhaps at once: then whoever needs the window is still in `asking` */
            list_splice(&t->waiting, &t->asking);
            refuse(t, &t->waiting, rc == ERR_NOT_LEADER ? rc : ERR_UNAVAILABLE,
                   rc == ERR_NOT_LEADER ? &w->hint : NULL,
                   rc == ERR_NOT_LEADER ? w->error.msg
                                        : "the window could not be saved: no stamp was given");
        }
    }
    prove(t); /* again: somebody else may lead by now */
}

static void save_window(struct pd_tso *t, uint64_t window_ms)
{
    struct err e = { 0 };
    if (t->saving_ms != 0 || t->closing)
        return;
    buf_clear(&t->body);
    pb_append_fixed64(&t->body, 1, window_ms);
    t->body_bytes = buf_bytes(&t->body);
    err_t rc = command_decode(COMMAND_TSO, t->body_bytes, &t->command, &e);
    assert(rc == ERR_OK); /* our own bytes */
    (void)rc;
    t->saving_ms = window_ms;
    t->save = (struct region_write){ .commands = &t->command,
                                     .bodies = &t->body_bytes,
                                     .count = 1,
                                     .deadline = env_now(t->env) + SAVE_NS,
                                     .done = saved };
    region_propose(t->regions, &t->save);
}

/* We lead, and all that was committed before is applied: the window of whoever led before us is known. A cluster has
 * one from its first moment on (storage_init), so one that is missing is lost (trap D46), unless nothing was ever
 * written: then the directory is from before that. */
static err_t start(struct pd_tso *t, raft_term term, struct err *e)
{
    struct region_info info = { 0 };
    (void)!region_info(t->regions, REGION_SYSTEM, &info);
    err_t rc =
        tso_start(&t->tso, t->config.count_max, t->config.window_ms, env_wall(t->env) / 1000000,
                  storage_tso_window(t->store), info.applied_hlc == 0, 0, e);
    if (rc != ERR_OK)
        return err_wrap(e, rc, "could not start the timestamp oracle");
    t->stuck = false;
    t->term = term;
    t->renewed = t->stats.stamps;
    return ERR_OK;
}

/* ---- Stamps ------------------------------------------------------------------------------- */

/* False: `q` has to wait. */
static bool serve_one(struct pd_tso *t, struct pd_tso_request *q, uint64_t now_ms)
{
    struct tso_answer answer;
    err_t rc = tso_take(&t->tso, now_ms, q->count, &answer, &q->error);
    if (rc != ERR_OK) {
        request_end(t, q, rc);
        return true;
    }
    switch (answer.kind) {
    case TSO_STAMPS:
        q->first = answer.first;
        t->stats.stamps += q->count;
        t->stats.last = answer.first + q->count - 1;
        request_end(t, q, ERR_OK);
        return true;
    case TSO_WINDOW:
        t->stuck = true;
        save_window(t, answer.window_ms);
        return false;
    case TSO_WAIT:
        t->stats.waits++;
        env_timer_start(t->env, &t->timer,
                        answer.until_ms > now_ms ? (answer.until_ms - now_ms) * 1000000 : 0);
        return false;
    }
    return false;
}

/* We lead, now: whoever waited for the proof gets stamps, or waits on for a window or for time. */
static void serve(struct pd_tso *t)
{
    uint64_t now = env_now(t->env), now_ms = env_wall(t->env) / 1000000;
    while (!list_empty(&t->asking)) {
        struct pd_tso_request *q = container_of(t->asking.next, struct pd_tso_request, node);
        if (q->deadline <= now)
            request_end(t, q,
                        err_set(&q->error, ERR_DEADLINE_EXCEEDED,
                                "the deadline passed before a stamp was drawn"));
        else if (!serve_one(t, q, now_ms))
            break;
    }
    list_splice(&t->asking, &t->waiting); /* behind those who have waited longer */
    list_splice(&t->waiting, &t->asking);
    if (t->stats.stamps == t->renewed)
        return; /* an idle oracle saves nothing */
    uint64_t wanted = tso_window_wanted(&t->tso, now_ms);
    if (wanted != 0 && t->saving_ms == 0) {
        t->renewed = t->stats.stamps;
        save_window(t, wanted);
    }
}

static void timer_fire(struct env_timer *timer)
{
    prove(container_of(timer, struct pd_tso, timer));
}

/* ---- The proof ---------------------------------------------------------------------------- */

static void proved(struct region_barrier *b)
{
    struct pd_tso *t = container_of(b, struct pd_tso, barrier);
    t->proving = false;
    if (b->rc != ERR_OK) {
        t->term = 0;
        refuse(t, &t->asking, b->rc, &b->hint, b->error.msg);
    } else if (b->term == t->term || t->saving_ms == 0) {
        err_t rc = b->term == t->term ? ERR_OK : start(t, b->term, &b->error);
        if (rc == ERR_OK)
            serve(t);
        else
            refuse(t, &t->asking, rc, NULL, b->error.msg);
    } else { /* the window of an earlier term is being saved: its outcome comes first */
        t->term = 0;
        list_splice(&t->waiting, &t->asking);
    }
    prove(t);
}

/* True while a new proof would bring nothing: a window, or time, has to come first. */
static bool has_to_wait(const struct pd_tso *t)
{
    return t->proving || t->closing || env_timer_active(&t->timer) ||
           (t->saving_ms != 0 && (t->term == 0 || t->stuck));
}

/* One proof for all that wait; who comes while it is under way needs the next one (thesis 6.4). */
static void prove(struct pd_tso *t)
{
    if (has_to_wait(t) || list_empty(&t->waiting))
        return;
    list_splice(&t->asking, &t->waiting);
    t->proving = true;
    t->barrier = (struct region_barrier){ .region_id = REGION_SYSTEM,
                                          .deadline = env_now(t->env) + SAVE_NS,
                                          .done = proved };
    region_barrier(t->regions, &t->barrier);
}

/* ---- Opening, asking ---------------------------------------------------------------------- */

struct pd_tso *pd_tso_open(struct env *env, struct logger *log, struct storage *store,
                           struct region_store *regions, const struct pd_tso_config *config)
{
    struct pd_tso *t = calloc(1, sizeof *t);
    if (t == NULL)
        abort(); /* small and fixed */
    t->env = env;
    t->log = log;
    t->store = store;
    t->regions = regions;
    t->config = *config;
    t->timer.fire = timer_fire;
    list_init(&t->waiting);
    list_init(&t->asking);
    return t;
}

void pd_tso_stop(struct pd_tso *t)
{
    t->closing = true;
    env_timer_stop(t->env, &t->timer);
    refuse(t, &t->waiting, ERR_UNAVAILABLE, NULL, "the node is stopping");
}

void pd_tso_close(struct pd_tso *t)
{
    if (t == NULL)
        return;
    assert(t->closing && t->saving_ms == 0 && !t->proving); /* the regions have stopped */
    buf_free(&t->body);
    free(t);
}

void pd_tso_get(struct pd_tso *t, struct pd_tso_request *q)
{
    list_init(&q->node);
    q->error.code = ERR_OK;
    q->error.msg[0] = 0;
    q->hint = (struct region_hint){ 0 };
    t->stats.requests++;
    t->stats.waiting++;
    if (t->closing) {
        request_end(t, q, err_set(&q->error, ERR_UNAVAILABLE, "the node is stopping"));
        return;
    }
    if (t->stats.waiting > t->config.waiting_max) {
        request_end(t, q,
                    err_set(&q->error, ERR_SERVER_IS_BUSY,
                            "%u requests wait for stamps: try again later", t->config.waiting_max));
        return;
    }
    list_push_back(&t->waiting, &q->node);
    prove(t);
}

void pd_tso_stats(const struct pd_tso *t, struct pd_tso_stats *ret)
{
    *ret = t->stats;
}
