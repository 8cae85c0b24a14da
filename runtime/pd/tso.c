#include "pd/tso.h"

#include <assert.h>
#include <stdlib.h>

#include "base/codec.h"
#include "base/container.h"
#include "base/tso.h"

struct pd_tso {
    struct env *env;
    struct logger *log;
    struct region *region;
    struct pd_tso_config config;
    struct tso tso;
    struct list waiting; /* struct pd_tso_request, in the order of arrival */
    struct region_local save;
    uint64_t saving_ms; /* the window that is being saved; 0: none */
    uint64_t renewed;   /* stamps given when a window was last asked for ahead of need */
    struct env_timer timer;
    struct pd_tso_stats stats;
    bool closing;
};

static void save_window(struct pd_tso *t, uint64_t window_ms)
{
    if (t->saving_ms != 0 || t->closing)
        return;
    t->saving_ms = window_ms;
    t->save.kind = STORAGE_LOCAL_TSO;
    t->save.len = 8;
    store_u64(t->save.value, window_ms);
    region_propose_local(t->region, &t->save);
}

static void request_end(struct pd_tso_request *q, err_t rc)
{
    q->rc = rc;
    q->done(q);
}

/* False: `q` has to wait. */
static bool serve_one(struct pd_tso *t, struct pd_tso_request *q, uint64_t now_ms)
{
    struct tso_answer answer;
    err_t rc = tso_take(&t->tso, now_ms, q->count, &answer, &q->error);
    if (rc != ERR_OK) {
        request_end(q, rc);
        return true;
    }
    switch (answer.kind) {
    case TSO_STAMPS:
        q->first = answer.first;
        t->stats.stamps += q->count;
        t->stats.last = answer.first + q->count - 1;
        request_end(q, ERR_OK);
        return true;
    case TSO_WINDOW:
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

static void serve(struct pd_tso *t)
{
    uint64_t now = env_now(t->env), now_ms = env_wall(t->env) / 1000000;
    while (!list_empty(&t->waiting)) {
        struct pd_tso_request *q =
            container_of(list_pop_front(&t->waiting), struct pd_tso_request, node);
        t->stats.waiting--;
        if (q->deadline <= now) {
            request_end(q, err_set(&q->error, ERR_DEADLINE_EXCEEDED,
                                   "the deadline passed before a stamp was drawn"));
            continue;
        }
        if (!serve_one(t, q, now_ms)) {
            list_push_front(&t->waiting, &q->node);
            t->stats.waiting++;
            break;
        }
    }
    if (t->stats.stamps == t->renewed)
        return; /* an idle oracle saves nothing */
    uint64_t wanted = tso_window_wanted(&t->tso, now_ms);
    if (wanted != 0 && t->saving_ms == 0) {
        t->renewed = t->stats.stamps;
        save_window(t, wanted);
    }
}

static void refuse_all(struct pd_tso *t, const char *why)
{
    while (!list_empty(&t->waiting)) {
        struct pd_tso_request *q =
            container_of(list_pop_front(&t->waiting), struct pd_tso_request, node);
        t->stats.waiting--;
        request_end(q, err_set(&q->error, ERR_UNAVAILABLE, "%s", why));
    }
}

static void saved(struct region_local *save, err_t rc)
{
    struct pd_tso *t = container_of(save, struct pd_tso, save);
    uint64_t window_ms = t->saving_ms;
    t->saving_ms = 0;
    if (rc == ERR_OK) {
        tso_window_saved(&t->tso, window_ms);
        t->stats.windows++;
        t->stats.window_ms = window_ms;
        serve(t);
        return;
    }
    refuse_all(t, "the window could not be saved");
}

static void timer_fire(struct env_timer *timer)
{
    serve(container_of(timer, struct pd_tso, timer));
}

err_t pd_tso_open(struct env *env, struct logger *log, struct storage *store, struct region *region,
                  const struct pd_tso_config *config, struct pd_tso **ret, struct err *e)
{
    struct bytes saved_window = storage_local(store, STORAGE_LOCAL_TSO);
    if (saved_window.len != 0 && saved_window.len != 8)
        return err_set(e, ERR_CORRUPTION, "the saved TSO window has %zu bytes, not 8",
                       saved_window.len);
    uint64_t window_ms = saved_window.len == 8 ? load_u64(saved_window.data) : 0;
    struct storage_stats stats;
    storage_stats(store, &stats);
    struct pd_tso *t = calloc(1, sizeof *t);
    if (t == NULL)
        abort(); /* small and fixed */
    err_t rc = tso_start(&t->tso, config->count_max, config->window_ms, env_wall(env) / 1000000,
                         window_ms, stats.last == 0, 0, e);
    if (rc != ERR_OK) {
        free(t);
        return err_wrap(e, rc, "could not start the timestamp oracle");
    }
    t->env = env;
    t->log = log;
    t->region = region;
    t->config = *config;
    t->save.done = saved;
    t->timer.fire = timer_fire;
    list_init(&t->waiting);
    /* The first window goes into the first turn, before any entry: a store with entries has one. */
    uint64_t first = tso_window_wanted(&t->tso, env_wall(env) / 1000000);
    if (first != 0)
        save_window(t, first);
    *ret = t;
    return ERR_OK;
}

void pd_tso_stop(struct pd_tso *t)
{
    t->closing = true;
    env_timer_stop(t->env, &t->timer);
    refuse_all(t, "the node is stopping");
    /* No stamp from here on: the next run may begin right behind the last one. */
    uint64_t next = t->tso.next;
    uint8_t value[8];
    store_u64(value, tso_physical(next) + (tso_logical(next) != 0));
    region_local_at_close(t->region, STORAGE_LOCAL_TSO, bytes_from(value, sizeof value));
}

void pd_tso_close(struct pd_tso *t)
{
    if (t == NULL)
        return;
    assert(t->closing && t->saving_ms == 0); /* the region has stopped: nothing is under way */
    free(t);
}

void pd_tso_get(struct pd_tso *t, struct pd_tso_request *q)
{
    list_init(&q->node);
    q->error.code = ERR_OK;
    q->error.msg[0] = 0;
    t->stats.requests++;
    if (t->closing) {
        request_end(q, err_set(&q->error, ERR_UNAVAILABLE, "the node is stopping"));
        return;
    }
    if (t->stats.waiting >= t->config.waiting_max) {
        request_end(q,
                    err_set(&q->error, ERR_SERVER_IS_BUSY,
                            "%u requests wait for stamps: try again later", t->config.waiting_max));
        return;
    }
    list_push_back(&t->waiting, &q->node);
    t->stats.waiting++;
    if (t->stats.waiting == 1)
        serve(t);
}

void pd_tso_stats(const struct pd_tso *t, struct pd_tso_stats *ret)
{
    *ret = t->stats;
}
