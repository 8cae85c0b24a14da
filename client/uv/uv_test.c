/* A handle in a libuv loop: everything ends, the loop ends with it, servers may come and go. */
#include <stdlib.h>

#include "flotilla_uv.h"

#include "fake_server.inc"

static void serve(struct fake *s)
{
    struct net_frame f;
    if (!fake_hello(s))
        return;
    while (fake_request(s, &f))
        fake_answer(s, &f, bytes_from("\x0a\x00", 2));
}

/* Three, then the connection ends. */
static void serve_a_few(struct fake *s)
{
    struct net_frame f;
    if (!fake_hello(s))
        return;
    for (int i = 0; i < 3 && fake_request(s, &f); i++)
        fake_answer(s, &f, bytes_from("\x0a\x00", 2));
}

static void never_answer(struct fake *s)
{
    struct net_frame f;
    if (!fake_hello(s))
        return;
    while (fake_request(s, &f)) {}
}

static void point_elsewhere(struct fake *s)
{
    struct net_frame f;
    if (!fake_hello(s))
        return;
    while (fake_request(s, &f))
        fake_answer_not_leader(s, &f, s->user);
}

struct work {
    uv_loop_t loop;
    struct flotilla *db;
    struct flotilla_uv *uv;
    unsigned left, done, ok, stopped;
};

static struct work *begin(const char *endpoint, uint32_t timeout_ms)
{
    struct work *w = calloc(1, sizeof *w);
    struct flotilla_error e;
    struct flotilla_options o = {
        .size = sizeof o, .endpoint = endpoint, .timeout_ms = timeout_ms, .lazy = true
    };
    CHECK_EQ(uv_loop_init(&w->loop), 0);
    CHECK_EQ(flotilla_open(&o, &w->db, &e), FLOTILLA_OK);
    CHECK_EQ(flotilla_uv_start(&w->loop, w->db, &w->uv), 0);
    return w;
}

static void stopped(void *user)
{
    ((struct work *)user)->stopped++;
}

static void end(struct work *w)
{
    flotilla_uv_stop(w->uv, stopped, w);
    CHECK_EQ(uv_run(&w->loop, UV_RUN_DEFAULT), 0);
    CHECK_EQ(w->stopped, 1);
    flotilla_close(w->db);
    CHECK_EQ(uv_loop_close(&w->loop), 0);
    free(w);
}

static void done(void *user, const struct flotilla_result *r)
{
    struct work *w = user;
    struct flotilla_error e;
    w->done++;
    w->ok += r->code == FLOTILLA_OK;
    if (w->left == 0)
        return;
    w->left--;
    struct flotilla_op op = { .kind = FLOTILLA_OP_GET, .ns = 1, .key = FLOTILLA_TEXT("k") };
    CHECK_EQ(flotilla_uv_submit(w->uv, &op, done, w, &e), FLOTILLA_OK);
}

static void submit(struct work *w, unsigned n, unsigned more)
{
    struct flotilla_error e;
    w->left = more;
    for (unsigned i = 0; i < n; i++) {
        struct flotilla_op op = { .kind = FLOTILLA_OP_GET, .ns = 1, .key = FLOTILLA_TEXT("k") };
        CHECK_EQ(flotilla_uv_submit(w->uv, &op, done, w, &e), FLOTILLA_OK);
    }
}

TEST(uv_loop_ends_when_nothing_is_pending)
{
    struct fake s = { .scripts = { serve } };
    fake_start(&s);
    struct work *w = begin(s.endpoint, 20000);
    CHECK_EQ(uv_run(&w->loop, UV_RUN_DEFAULT), 0); /* at once */
    submit(w, 50, 500);
    CHECK_EQ(uv_run(&w->loop, UV_RUN_DEFAULT), 0);
    CHECK_EQ(w->ok, 550);
    submit(w, 1, 0); /* and again, with the connection as it is */
    CHECK_EQ(uv_run(&w->loop, UV_RUN_DEFAULT), 0);
    CHECK_EQ(w->ok, 551);
    CHECK_EQ(atomic_load(&s.connections), 1);
    end(w);
    fake_stop(&s);
}

TEST(uv_loop_sees_connections_come_and_go)
{
    struct fake s = { .scripts = { serve_a_few } };
    fake_start(&s);
    struct work *w = begin(s.endpoint, 20000);
    submit(w, 5, 25);
    CHECK_EQ(uv_run(&w->loop, UV_RUN_DEFAULT), 0);
    CHECK_EQ(w->ok, 30);
    CHECK(atomic_load(&s.connections) >= 10);
    end(w);
    fake_stop(&s);
}

TEST(uv_loop_serves_several_servers)
{
    struct fake a = { .scripts = { point_elsewhere } }, b = { .scripts = { serve } };
    fake_start(&a);
    fake_start(&b);
    a.user = b.endpoint;
    struct work *w = begin(a.endpoint, 20000);
    submit(w, 20, 100);
    CHECK_EQ(uv_run(&w->loop, UV_RUN_DEFAULT), 0);
    CHECK_EQ(w->ok, 120);
    end(w);
    fake_stop(&a);
    fake_stop(&b);
}

TEST(uv_loop_ends_what_is_too_late)
{
    struct fake s = { .scripts = { never_answer } };
    fake_start(&s);
    struct work *w = begin(s.endpoint, 200);
    submit(w, 3, 0);
    CHECK_EQ(uv_run(&w->loop, UV_RUN_DEFAULT), 0);
    CHECK_EQ(w->done, 3);
    CHECK_EQ(w->ok, 0);
    end(w);
    fake_stop(&s);
}

TEST(uv_stop_leaves_what_is_pending)
{
    struct fake s = { .scripts = { never_answer } };
    fake_start(&s);
    struct work *w = begin(s.endpoint, 20000);
    submit(w, 3, 0);
    uv_run(&w->loop, UV_RUN_NOWAIT);
    CHECK_EQ(flotilla_pending(w->db), 3);
    end(w); /* whose flotilla_close() ends them */
    fake_stop(&s);
}

TEST_MAIN()
