/* A program with a libuv loop of its own: writes and a timer in one thread, and the loop ends when both are done.
 *
 *     event_loop [ENDPOINT [COUNT]] */
#include <flotilla/flotilla_uv.h>

#include <stdio.h>
#include <stdlib.h>

enum { WINDOW = 64 };

struct program {
    struct flotilla_uv *uv;
    unsigned begun, ended, failed, count, ticks;
    uv_timer_t timer;
};

static void begin_one(struct program *p);

static void done(void *user, const struct flotilla_result *r)
{
    struct program *p = user;
    p->ended++;
    if (r->code != FLOTILLA_OK) {
        p->failed++;
        fprintf(stderr, "%s\n", r->message);
    }
    if (p->begun < p->count)
        begin_one(p);
    if (p->ended == p->count)
        uv_timer_stop(&p->timer);
}

static void begin_one(struct program *p)
{
    char key[32];
    struct flotilla_error e;
    snprintf(key, sizeof key, "loop/%06u", p->begun++);
    struct flotilla_op op = { .kind = FLOTILLA_OP_RAW_PUT,
                              .ns = FLOTILLA_NAMESPACE,
                              .key = FLOTILLA_TEXT(key),
                              .value = FLOTILLA_TEXT("v") };
    if (flotilla_uv_submit(p->uv, &op, done, p, &e) != FLOTILLA_OK) {
        fprintf(stderr, "%s\n", e.message);
        exit(1);
    }
}

static void tick(uv_timer_t *timer)
{
    ((struct program *)timer->data)->ticks++; /* the loop has time for other things */
}

int main(int argc, char **argv)
{
    struct program p = { .count = argc > 2 ? (unsigned)atoi(argv[2]) : 1000 };
    struct flotilla_options options = { .size = sizeof options,
                                        .endpoint = argc > 1 ? argv[1] : NULL,
                                        .lazy = true };
    struct flotilla *db;
    struct flotilla_error e;
    uv_loop_t *loop = uv_default_loop();
    if (flotilla_open(&options, &db, &e) != FLOTILLA_OK) {
        fprintf(stderr, "%s\n", e.message);
        return 1;
    }
    if (flotilla_uv_start(loop, db, &p.uv) != 0) {
        fprintf(stderr, "the loop does not take it\n");
        return 1;
    }
    uv_timer_init(loop, &p.timer);
    p.timer.data = &p;
    uv_timer_start(&p.timer, tick, 1, 1);
    for (unsigned i = 0; i < WINDOW && p.begun < p.count; i++)
        begin_one(&p);
    uv_run(loop, UV_RUN_DEFAULT);
    printf("%u writes, %u failed\n", p.ended, p.failed);

    flotilla_uv_stop(p.uv, NULL, NULL);
    uv_close((uv_handle_t *)&p.timer, NULL);
    uv_run(loop, UV_RUN_DEFAULT);
    uv_loop_close(loop);
    flotilla_close(db);
    return p.failed > 0;
}
