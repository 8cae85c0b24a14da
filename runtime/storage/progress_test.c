/* How far regions were applied: what is asked of the engine, and when. */
#include "rig.h"

#include "progress.h"

struct state {
    struct rig rig;
    struct engine *engine;
    struct engine_batch *batch;
    struct progress *progress;
    uint64_t number;
};

static struct engine_ops counting;
static unsigned asked;

static err_t count_gets(struct engine *engine, enum engine_family family, struct bytes key,
                        struct buf *ret, struct err *e)
{
    asked++;
    return engine_mem.get_durable(engine, family, key, ret, e);
}

static void state_open(struct state *s)
{
    struct err e = { 0 };
    struct engine_config config = { .path = "/db", .create = true };
    s->rig = rig_new(1);
    counting = engine_mem;
    counting.get_durable = count_gets;
    CHECK_OK(engine_mem.open(s->rig.env, &config, &s->engine, &e), e);
    engine_mem_hold(s->engine, true);
    s->batch = engine_mem.batch_new(s->engine);
    s->number = 0;
    CHECK_OK(progress_open(s->rig.env, &counting, s->engine, 1, &s->progress, &e), e);
}

static void state_close(struct state *s)
{
    progress_close(s->progress);
    engine_mem.batch_free(s->batch);
    engine_mem.close(s->engine);
    rig_free(&s->rig);
}

static void put_state(struct state *s, uint64_t id, raft_index index)
{
    uint8_t key[9], value[25];
    struct layout_apply_state state = { .index = index, .term = 1 };
    layout_raft_state_key(id, LAYOUT_APPLY_STATE, key);
    layout_apply_state(&state, value);
    engine_mem.put(s->batch, ENGINE_RAFT_STATE, bytes_from(key, 9), bytes_from(value, 25));
}

static void write_batch(struct state *s)
{
    struct err e = { 0 };
    CHECK_OK(engine_mem.write(s->engine, s->batch, ++s->number, &e), e);
    engine_mem.batch_clear(s->batch);
}

static void move(struct state *s, uint64_t id, raft_index index)
{
    struct progress_region *region = progress_region(s->progress, id);
    struct layout_apply_state state = { .index = index, .term = 1 };
    CHECK_EQ(progress_move(s->progress, s->number, &region, &state, 1), ERR_OK);
}

static void refresh(struct state *s, uint32_t max)
{
    struct err e = { 0 };
    asked = 0;
    CHECK_OK(progress_refresh(s->progress, max, &e), e);
}

static void force(struct state *s)
{
    struct err e = { 0 };
    CHECK_OK(engine_mem.force(s->engine, &e), e);
}

TEST(the_engine_is_asked_for_regions_that_moved_when_it_has_made_something_durable)
{
    struct state s;
    struct layout_apply_state applied;
    state_open(&s);
    for (uint64_t id = 1; id <= 10; id++)
        put_state(&s, id, 5);
    write_batch(&s);
    for (uint64_t id = 1; id <= 10; id++)
        move(&s, id, 5);
    refresh(&s, 100);
    CHECK_EQ(asked, 0); /* nothing is durable yet */
    CHECK_EQ(progress_durable(s.progress, 3), 0);
    progress_applied(s.progress, 3, &applied);
    CHECK_EQ(applied.index, 5);
    force(&s);
    refresh(&s, 4);
    CHECK_EQ(asked, 4); /* in portions */
    refresh(&s, 100);
    CHECK_EQ(asked, 6);
    for (uint64_t id = 1; id <= 10; id++)
        CHECK_EQ(progress_durable(s.progress, id), 5);
    put_state(&s, 3, 6);
    write_batch(&s);
    move(&s, 3, 6);
    refresh(&s, 100);
    CHECK_EQ(asked, 0);
    force(&s);
    refresh(&s, 100);
    CHECK_EQ(asked, 1);
    CHECK_EQ(progress_durable(s.progress, 3), 6);
    CHECK_EQ(progress_durable(s.progress, 77), 0);
    state_close(&s);
}

/* The engine may have taken a batch, made it durable and been asked before the applier tells of it. */
TEST(who_tells_late_is_asked_for_again)
{
    struct state s;
    state_open(&s);
    put_state(&s, 1, 5);
    write_batch(&s);
    force(&s);
    refresh(&s, 100);
    move(&s, 1, 5);
    refresh(&s, 100);
    CHECK_EQ(progress_durable(s.progress, 1), 5);
    state_close(&s);
}

TEST(what_was_there_at_open_is_durable)
{
    struct state s;
    struct err e = { 0 };
    struct buf ids = { 0 };
    static const uint64_t want[] = { 1, 256, (uint64_t)1 << 63 };
    state_open(&s);
    for (unsigned i = 3; i > 0; i--)
        put_state(&s, want[i - 1], 7);
    write_batch(&s);
    force(&s);
    progress_close(s.progress);
    CHECK_OK(progress_open(s.rig.env, &counting, s.engine, 2, &s.progress, &e), e);
    CHECK_EQ(progress_ids(s.progress, &ids), ERR_OK);
    CHECK_BYTES(buf_bytes(&ids), bytes_from(want, sizeof want));
    for (unsigned i = 0; i < 3; i++)
        CHECK_EQ(progress_durable(s.progress, want[i]), 7);
    buf_free(&ids);
    state_close(&s);
}

TEST(damage_is_told)
{
    struct state s;
    struct err e = { 0 };
    state_open(&s);
    progress_close(s.progress);
    s.progress = NULL;
    engine_mem.put(s.batch, ENGINE_RAFT_STATE, (struct bytes){ 0 }, BYTES("x"));
    uint8_t key[9];
    layout_raft_state_key(5, LAYOUT_APPLY_STATE, key);
    engine_mem.put(s.batch, ENGINE_RAFT_STATE, bytes_from(key, 9), BYTES("short"));
    write_batch(&s);
    CHECK_EQ(progress_open(s.rig.env, &counting, s.engine, 2, &s.progress, &e), ERR_CORRUPTION);
    CHECK_CONTAINS(e.msg, "raft_state");
    engine_mem.del(s.batch, ENGINE_RAFT_STATE, (struct bytes){ 0 });
    write_batch(&s);
    CHECK_EQ(progress_open(s.rig.env, &counting, s.engine, 2, &s.progress, &e), ERR_CORRUPTION);
    CHECK_CONTAINS(e.msg, "region 5");
    state_close(&s);
}

TEST_MAIN()
