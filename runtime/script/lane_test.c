/* The host with real threads: waiting at the door, cancelling, closing amid everything. Also for TSan. */
#include "script.h"

#include "base/container.h"
#include "base/test.h"
#include "uv/world.h"

static const struct script_limits limits = { 32 << 20, UINT64_MAX / 4, 60000 };
enum { HELD = 64 };

struct fixture {
    struct world *world;
    struct env *env;
    struct script_host *host;
    struct script_call *held[HELD]; /* questions that the door does not answer yet */
    int held_count, waiting, ticks;
    struct env_timer tick;
};

/* "tso" is answered later, by answer_held(); others at once. */
static void door(void *user, const char *name, const struct value *arguments,
                 struct script_call *call)
{
    struct fixture *f = user;
    (void)arguments;
    if (strcmp(name, "tso") == 0 && f->held_count < HELD) {
        f->held[f->held_count++] = call;
        return;
    }
    struct value *v = value_new(VALUE_NIL);
    value_put_text(v, name);
    script_call_answer(call, ERR_OK, NULL, v);
}

static void answer_held(struct fixture *f)
{
    for (int i = 0; i < f->held_count; i++) {
        struct value *v = value_new(VALUE_NIL);
        value_put_number(v, 7);
        script_call_answer(f->held[i], ERR_OK, NULL, v);
    }
    f->held_count = 0;
}

static void on_tick(struct env_timer *timer)
{
    struct fixture *f = container_of(timer, struct fixture, tick);
    f->ticks++;
    env_stop(f->env); /* so that whoever waits looks again */
    env_timer_start(f->env, timer, 1000000);
}

static struct fixture *open_host(void)
{
    struct err e = { 0 };
    struct fixture *f = calloc(1, sizeof *f);
    CHECK_OK(world_open(NULL, &f->world, &e), e);
    f->env = world_env(f->world);
    f->tick.fire = on_tick;
    env_timer_start(f->env, &f->tick, 1000000);
    const struct script_config config = { .policy = { 32 << 20, 50000000, 60000 },
                                          .session = limits,
                                          .sessions_max = 8,
                                          .door = { door, f } };
    CHECK_OK(script_host_open(f->env, NULL, &config, &f->host, &e), e);
    return f;
}

static void close_host(struct fixture *f)
{
    script_host_close(f->host);
    answer_held(f); /* answers to nobody: freed */
    env_timer_stop(f->env, &f->tick);
    world_close(f->world);
    free(f);
}

/* Turns until `*done`, for a generous minute. */
static void wait_until(struct fixture *f, const bool *done)
{
    for (int i = 0; i < 60000 && !*done; i++)
        world_run(f->world);
    CHECK(*done);
}

struct answer {
    bool there;
    err_t rc;
    char text[512];
};

static void on_eval(void *user, const struct script_answer *answer)
{
    struct answer *a = user;
    a->there = true;
    a->rc = answer->rc;
    snprintf(a->text, sizeof a->text, "%.*s", (int)answer->output.len,
             answer->output.len > 0 ? (const char *)answer->output.data : "");
}

static struct script_session *open_session(struct fixture *f)
{
    struct err e = { 0 };
    struct script_session *s = NULL;
    CHECK_OK(script_session_open(f->host, "test", &s, &e), e);
    return s;
}

TEST(lane_answers_come_later)
{
    struct fixture *f = open_host();
    struct script_session *s = open_session(f);
    struct answer a = { 0 }, b = { 0 };
    script_session_eval(s, BYTES("status()"), NULL, 0, on_eval, &a);
    wait_until(f, &a.there);
    CHECK_STR(a.text, "status\n");
    script_session_eval(s, BYTES("tso() + tso()"), NULL, 0, on_eval, &b);
    for (int i = 0; i < 60000 && !b.there; i++) {
        world_run(f->world);
        answer_held(f);
    }
    CHECK_STR(b.text, "14\n");
    script_session_close(s);
    close_host(f);
}

TEST(lane_cancel_ends_a_loop_and_a_wait)
{
    static const char *const texts[] = {
        "while true do end", "while true do pcall(function() while true do end end) end", "tso()",
        "pcall(tso) while true do pcall(tso) end", "('a'):rep(200000):find('.-.-.-b')"
    };
    struct fixture *f = open_host();
    struct script_session *s = open_session(f);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct answer a = { 0 };
        bool asks = strstr(texts[i], "tso") != NULL;
        int from = f->ticks, held = f->held_count;
        script_session_eval(s, BYTES(texts[i]), NULL, 0, on_eval, &a);
        while (asks ? f->held_count == held : f->ticks < from + 30)
            world_run(f->world);
        CHECK(!a.there);
        script_session_cancel(s);
        wait_until(f, &a.there);
        CHECK_EQ(a.rc, ERR_CANCELLED);
        CHECK_CONTAINS(a.text, "cancelled");
    }
    answer_held(f); /* to calls that were left behind */
    struct answer a = { 0 };
    script_session_eval(s, BYTES("1"), NULL, 0, on_eval, &a);
    wait_until(f, &a.there);
    CHECK_STR(a.text, "1\n");
    script_session_close(s);
    close_host(f);
}

TEST(lane_watchdog_ends_what_takes_too_long)
{
    struct fixture *f = open_host();
    struct script_session *s = open_session(f);
    struct answer a = { 0 };
    script_session_eval(s, BYTES("while true do end"), NULL, 50, on_eval, &a);
    wait_until(f, &a.there);
    CHECK_EQ(a.rc, ERR_DEADLINE_EXCEEDED);
    script_session_close(s);
    close_host(f);
}

/* Rule 5: the loop goes on while every lane is busy. */
TEST(lane_busy_scripts_do_not_stop_the_loop)
{
    struct fixture *f = open_host();
    struct script_session *s[4];
    struct answer a[4] = { 0 };
    for (int i = 0; i < 4; i++) {
        s[i] = open_session(f);
        script_session_eval(s[i], BYTES("while true do end"), NULL, 0, on_eval, &a[i]);
    }
    for (int from = f->ticks; f->ticks < from + 200;)
        world_run(f->world);
    for (int i = 0; i < 4; i++) {
        CHECK(!a[i].there);
        script_session_cancel(s[i]);
        wait_until(f, &a[i].there);
        CHECK_EQ(a[i].rc, ERR_CANCELLED);
    }
    close_host(f); /* and the sessions with it */
}

static void on_plan(void *user, const struct pd_plan *plan)
{
    struct answer *a = user;
    a->there = true;
    a->rc = plan->rc;
}

static void on_reload(void *user, err_t rc, const char *message, bool changed)
{
    struct answer *a = user;
    (void)message, (void)changed;
    a->there = true;
    a->rc = rc;
}

static void on_admin(void *user, err_t rc, struct bytes text)
{
    struct answer *a = user;
    (void)text;
    a->there = true;
    a->rc = rc;
}

TEST(lane_close_amid_everything)
{
    for (int round = 0; round < 5; round++) {
        struct fixture *f = open_host();
        struct script_session *s = open_session(f), *t = open_session(f);
        struct answer a[6] = { 0 };
        struct pd_policy policy;
        const struct pd_view view = { .now_ms = 1, .decision_id = 1 };
        script_host_policy(f->host, &policy);
        script_session_eval(s, BYTES("while true do end"), NULL, 0, on_eval, &a[0]);
        script_session_eval(t, BYTES("tso()"), NULL, 0, on_eval, &a[1]);
        policy.plan(policy.self, &view, on_plan, &a[2]);
        script_reload(f->host, on_reload, &a[3]);
        script_admin(f->host, BYTES("status"), BYTES(""), "test", on_admin, &a[4]);
        script_reload(f->host, on_reload, &a[5]);
        for (int from = f->ticks; f->ticks < from + round * 4;)
            world_run(f->world);
        close_host(f);
        for (int i = 0; i < 6; i++)
            CHECK(a[i].there); /* everybody was answered, once */
        CHECK(a[0].rc == ERR_CANCELLED);
        CHECK(a[1].rc == ERR_CANCELLED);
    }
}

TEST_MAIN()
